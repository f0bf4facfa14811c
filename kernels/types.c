/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "types.h"

#include <math.h>

static const struct {
    size_t size;
    const char *name;
} dtypes[GPUDL_DTYPE_LAST + 1] = {
    [GPUDL_DTYPE_NONE] = {0, "none"},
    [GPUDL_DTYPE_F32] = {4, "float32"},
    [GPUDL_DTYPE_F16] = {2, "float16"},
    [GPUDL_DTYPE_BF16] = {2, "bfloat16"},
    [GPUDL_DTYPE_F64] = {8, "float64"},
    [GPUDL_DTYPE_I8] = {1, "int8"},
    [GPUDL_DTYPE_U8] = {1, "uint8"},
    [GPUDL_DTYPE_I16] = {2, "int16"},
    [GPUDL_DTYPE_U16] = {2, "uint16"},
    [GPUDL_DTYPE_I32] = {4, "int32"},
    [GPUDL_DTYPE_U32] = {4, "uint32"},
    [GPUDL_DTYPE_I64] = {8, "int64"},
    [GPUDL_DTYPE_U64] = {8, "uint64"},
    [GPUDL_DTYPE_BOOL] = {1, "bool"},
    [GPUDL_DTYPE_F8E4M3FN] = {1, "float8e4m3fn"},
    [GPUDL_DTYPE_F8E4M3FNUZ] = {1, "float8e4m3fnuz"},
    [GPUDL_DTYPE_F8E5M2] = {1, "float8e5m2"},
    [GPUDL_DTYPE_F8E5M2FNUZ] = {1, "float8e5m2fnuz"},
    [GPUDL_DTYPE_F8E8M0] = {1, "float8e8m0"},
    [GPUDL_DTYPE_F4E2M1] = {1, "float4e2m1"},
    [GPUDL_DTYPE_I4] = {1, "int4"},
    [GPUDL_DTYPE_U4] = {1, "uint4"},
    [GPUDL_DTYPE_I2] = {1, "int2"},
    [GPUDL_DTYPE_U2] = {1, "uint2"},
};

size_t gpudl_dtype_size(GpudlDType dtype)
{
    return (unsigned)dtype <= GPUDL_DTYPE_LAST ? dtypes[dtype].size : 0;
}

size_t gpudl_dtype_file_bits(GpudlDType dtype)
{
    switch (dtype) {
    case GPUDL_DTYPE_F4E2M1:
    case GPUDL_DTYPE_I4:
    case GPUDL_DTYPE_U4:
        return 4;
    case GPUDL_DTYPE_I2:
    case GPUDL_DTYPE_U2:
        return 2;
    default:
        return 8 * gpudl_dtype_size(dtype);
    }
}

const char *gpudl_dtype_name(GpudlDType dtype)
{
    return (unsigned)dtype <= GPUDL_DTYPE_LAST ? dtypes[dtype].name : "unknown";
}

int64_t gpudl_shape_elements(const GpudlShape *shape)
{
    int64_t n = 1;

    for (int i = 0; i < shape->rank; i++)
        if (shape->dims[i] < 0 || __builtin_mul_overflow(n, shape->dims[i], &n))
            return -1;
    return n;
}

int gpudl_shape_equal(const GpudlShape *a, const GpudlShape *b)
{
    if (a->rank != b->rank)
        return 0;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i])
            return 0;
    return 1;
}

static double clamp(double x, double low, double high)
{
    x = x < low ? low : x;
    return x > high ? high : x; /* last: where low > high, high it is, as ONNX has it */
}

double gpudl_activate(const GpudlAct *act, double x)
{
    switch (act->kind) {
    case GPUDL_ACT_NONE:
        break;
    case GPUDL_ACT_RELU:
        return x < 0 ? 0 : x;
    case GPUDL_ACT_CLIP:
        return clamp(x, act->alpha, act->beta);
    case GPUDL_ACT_LEAKY_RELU:
        return x < 0 ? act->alpha * x : x;
    case GPUDL_ACT_SIGMOID:
        return 1 / (1 + exp(-x));
    case GPUDL_ACT_SILU:
        return x / (1 + exp(-x));
    case GPUDL_ACT_HARD_SIGMOID:
        return clamp(act->alpha * x + act->beta, 0, 1);
    case GPUDL_ACT_HARD_SWISH:
        return x * clamp(x / 6 + 0.5, 0, 1);
    case GPUDL_ACT_TANH:
        return tanh(x);
    case GPUDL_ACT_GELU:
        return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
    case GPUDL_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(0.79788456080286535588 * x * (1 + 0.044715 * x * x)));
    case GPUDL_ACT_MISH: /* exp(x) overflows where log(1 + exp(x)) is x */
        return x * tanh(x > 40 ? x : log1p(exp(x)));
    }
    return x;
}

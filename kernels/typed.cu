/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "integers.cuh"
#include "reduce.h"
#include "strided.cuh"
#include "typed_cuda.h"

namespace
{

struct Operand {
    void *data;
    GpudlDType dtype;
};

/* Y, A, B; where: condition last. */
template <int N> struct Problem {
    GpudlPlaces<N> places;
    Operand operands[N];
    int op;
    GpudlAct act;
    int64_t low, high; /* of an integer's activation */
};

__device__ __forceinline__ bool is_float(GpudlDType dtype)
{
    return dtype <= GPUDL_DTYPE_BF16;
}

__device__ __forceinline__ float get_float(const Operand &o, int64_t at)
{
    return gpudl_get_float(o.data, o.dtype, at);
}

__device__ __forceinline__ int64_t get_integer(const Operand &o, int64_t at)
{
    return gpudl_get_integer(o.data, o.dtype, at);
}

/* low and high come from limits() */
template <int N> __device__ __forceinline__ int64_t activate_integer(const Problem<N> &p, bool is_unsigned, int64_t x)
{
    if (p.act.kind == GPUDL_ACT_NONE)
        return x;
    x = gpudl_ordered(x, is_unsigned) < gpudl_ordered(p.low, is_unsigned) ? p.low : x;
    return gpudl_ordered(x, is_unsigned) > gpudl_ordered(p.high, is_unsigned) ? p.high : x;
}

/* ---- floats ------------------------------------------------------------------------------------------------------ */

__device__ float modulo(float a, float b)
{
    const float rest = fmodf(a, b);

    if (rest != 0 && (rest < 0) != (b < 0))
        return rest + b;
    return rest == 0 ? copysignf(rest, b) : rest;
}

__device__ bool compare_floats(int op, float a, float b)
{
    switch (op) {
    case GPUDL_BINARY_EQUAL:
        return a == b;
    case GPUDL_BINARY_LESS:
        return a < b;
    case GPUDL_BINARY_LESS_OR_EQUAL:
        return a <= b;
    case GPUDL_BINARY_GREATER:
        return a > b;
    default:
        return a >= b;
    }
}

/* Truncated, then clamped to the type; NaN is 0. bool: not 0. */
__device__ void put_truncated(const Operand &o, int64_t at, double x)
{
    int64_t low = INT64_MIN, high = INT64_MAX;

    switch (o.dtype) {
    case GPUDL_DTYPE_BOOL:
        static_cast<uint8_t *>(o.data)[at] = x != 0;
        return;
    case GPUDL_DTYPE_U64:
        static_cast<uint64_t *>(o.data)[at] = !(x > 0) ? 0 : x >= 0x1p64 ? UINT64_MAX : (uint64_t)x;
        return;
    case GPUDL_DTYPE_I8:
        low = INT8_MIN;
        high = INT8_MAX;
        break;
    case GPUDL_DTYPE_U8:
        low = 0;
        high = UINT8_MAX;
        break;
    case GPUDL_DTYPE_I16:
        low = INT16_MIN;
        high = INT16_MAX;
        break;
    case GPUDL_DTYPE_U16:
        low = 0;
        high = UINT16_MAX;
        break;
    case GPUDL_DTYPE_I32:
        low = INT32_MIN;
        high = INT32_MAX;
        break;
    case GPUDL_DTYPE_U32:
        low = 0;
        high = UINT32_MAX;
        break;
    default:
        break;
    }
    gpudl_put_integer(o.data, o.dtype, at, x != x ? 0 : x <= (double)low ? low : x >= (double)high ? high : (int64_t)x);
}

/* pow() is off by 2 units in the last place at the most: what is so near to an integer is it, as truncating would take
 * a whole one away from a root or a power that is an integer. */
__device__ double power(double a, double b)
{
    const double y = pow(a, b), whole = rint(y);

    return fabs(y - whole) <= 0x1p-51 * fabs(whole) ? whole : y;
}

/* Rounded once: float32 holds all integers below 2^24, and of what is larger one with a bit behind the last for all
 * that it cuts off, so that a narrower type does not take for a tie what is none. */
__device__ void put_rounded(const Operand &o, int64_t at, int64_t x, bool is_unsigned)
{
    const bool negative = x < 0 && !is_unsigned;
    const uint64_t size = negative ? 0 - (uint64_t)x : (uint64_t)x;
    float value = __ull2float_rn(size);

    if (o.dtype != GPUDL_DTYPE_F32 && size >= 1 << 24) {
        const int cut = 40 - __clzll((long long)size);

        value = __ull2float_rn((size >> cut | ((size & (((uint64_t)1 << cut) - 1)) != 0)) << cut);
    }
    gpudl_put_float(o.data, o.dtype, at, negative ? -value : value);
}

/* Of a double, likewise. */
__device__ void put_rounded(const Operand &o, int64_t at, double x)
{
    float value = (float)x;

    if (o.dtype != GPUDL_DTYPE_F32 && (double)value != x && isfinite(x)) {
        unsigned bits = __float_as_uint(value);

        /* towards 0, then odd */
        bits -= fabs((double)value) > fabs(x);
        value = __uint_as_float(bits | 1);
    }
    gpudl_put_float(o.data, o.dtype, at, value);
}

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

__global__ void __launch_bounds__(256) unary(const __grid_constant__ Problem<2> p)
{
    gpudl_begin();

    const uint32_t step = gridDim.x * blockDim.x;
    const bool is_unsigned = p.operands[1].dtype == GPUDL_DTYPE_U64;

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.places.elements; i += step) {
        int64_t at[2], x;

        p.places.locate(i, at);
        x = get_integer(p.operands[1], at[1]);
        if (p.op == GPUDL_UNARY_ACTIVATION)
            x = activate_integer(p, is_unsigned, x);
        else if (p.op == GPUDL_UNARY_NOT)
            x = !x;
        else if (p.op == GPUDL_UNARY_NEG || (x < 0 && !is_unsigned))
            x = (int64_t)(0 - (uint64_t)x);
        gpudl_put_integer(p.operands[0].data, p.operands[0].dtype, at[0], x);
    }
}

enum Class { INTEGERS, FLOATS, DOUBLE };

template <Class CLASS> __global__ void __launch_bounds__(256) binary(const __grid_constant__ Problem<3> p)
{
    gpudl_begin();

    const uint32_t step = gridDim.x * blockDim.x;
    /* of a power, the exponent's sign alone matters */
    const bool is_unsigned = p.operands[p.op == GPUDL_BINARY_POW ? 2 : 1].dtype == GPUDL_DTYPE_U64;

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.places.elements; i += step) {
        int64_t at[3];

        p.places.locate(i, at);
        if (CLASS == INTEGERS) {
            const int64_t y = gpudl_binary_integer(p.op, get_integer(p.operands[1], at[1]),
                                                   get_integer(p.operands[2], at[2]), is_unsigned);

            gpudl_put_integer(p.operands[0].data, p.operands[0].dtype, at[0],
                              activate_integer(p, p.operands[0].dtype == GPUDL_DTYPE_U64, y));
        } else if (CLASS == FLOATS) {
            const float a = get_float(p.operands[1], at[1]), b = get_float(p.operands[2], at[2]);

            if (p.op >= GPUDL_BINARY_EQUAL)
                static_cast<uint8_t *>(p.operands[0].data)[at[0]] = compare_floats(p.op, a, b);
            else
                gpudl_put_float(p.operands[0].data, p.operands[0].dtype, at[0],
                                gpudl_activate_f32(p.act, p.op == GPUDL_BINARY_MOD ? modulo(a, b) : fmodf(a, b)));
        } else { /* POW, one of them an integer */
            double v[2];

            for (int k = 0; k < 2; k++) {
                const Operand &o = p.operands[1 + k];

                v[k] = is_float(o.dtype)            ? (double)get_float(o, at[1 + k])
                       : o.dtype == GPUDL_DTYPE_U64 ? (double)(uint64_t)get_integer(o, at[1 + k])
                                                    : (double)get_integer(o, at[1 + k]);
            }
            v[0] = power(v[0], v[1]);
            if (is_float(p.operands[0].dtype))
                put_rounded(p.operands[0], at[0], v[0]);
            else
                put_truncated(p.operands[0], at[0], v[0]);
        }
    }
}

/* Y, A, B, condition. T: void for floats of either kind. */
template <typename T> __global__ void __launch_bounds__(256) where(const __grid_constant__ Problem<4> p)
{
    gpudl_begin();

    const uint32_t step = gridDim.x * blockDim.x;

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.places.elements; i += step) {
        int64_t at[4];
        int from;

        p.places.locate(i, at);
        from = static_cast<const uint8_t *>(p.operands[3].data)[at[3]] ? 1 : 2;
        static_cast<T *>(p.operands[0].data)[at[0]] =
            static_cast<const T *>(p.operands[from].data)[from == 1 ? at[1] : at[2]];
    }
}

__global__ void __launch_bounds__(256) where_floats(const __grid_constant__ Problem<4> p)
{
    gpudl_begin();

    const uint32_t step = gridDim.x * blockDim.x;

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.places.elements; i += step) {
        int64_t at[4];

        p.places.locate(i, at);
        gpudl_put_float(p.operands[0].data, p.operands[0].dtype, at[0],
                        static_cast<const uint8_t *>(p.operands[3].data)[at[3]] ? get_float(p.operands[1], at[1])
                                                                                : get_float(p.operands[2], at[2]));
    }
}

__global__ void __launch_bounds__(256) cast(const __grid_constant__ Problem<2> p)
{
    gpudl_begin();

    const uint32_t step = gridDim.x * blockDim.x;
    const Operand &x = p.operands[1], &y = p.operands[0];

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.places.elements; i += step) {
        int64_t at[2];

        p.places.locate(i, at);
        if (is_float(x.dtype)) {
            const float value = get_float(x, at[1]);

            if (is_float(y.dtype))
                gpudl_put_float(y.data, y.dtype, at[0], value);
            else
                put_truncated(y, at[0], value);
        } else {
            const int64_t value = get_integer(x, at[1]);

            if (is_float(y.dtype))
                put_rounded(y, at[0], value, x.dtype == GPUDL_DTYPE_U64);
            else
                gpudl_put_integer(y.data, y.dtype, at[0], value);
        }
    }
}

/* Integers; one thread a result. */
struct Reduce {
    GpudlPlaces<2> places; /* of y; x's but for what is reduced */
    GpudlPlaces<1> inner;
    GpudlDType dtype;
    const void *x;
    void *y;
    int kind;
    int64_t neutral;
};

__global__ void __launch_bounds__(256) reduce(const __grid_constant__ Reduce p)
{
    gpudl_begin();

    const uint32_t step = gridDim.x * blockDim.x;
    const bool is_unsigned = p.dtype == GPUDL_DTYPE_U64;

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.places.elements; i += step) {
        int64_t at[2], value = p.neutral;

        p.places.locate(i, at);
        for (uint32_t k = 0; k < p.inner.elements; k++) {
            int64_t behind, x;

            p.inner.locate(k, &behind);
            x = gpudl_get_integer(p.x, p.dtype, at[1] + behind);
            if (p.kind == GPUDL_REDUCE_PROD)
                value = (int64_t)((uint64_t)value * (uint64_t)x);
            else if (p.kind == GPUDL_REDUCE_MAX)
                value = gpudl_ordered(x, is_unsigned) > gpudl_ordered(value, is_unsigned) ? x : value;
            else if (p.kind == GPUDL_REDUCE_MIN)
                value = gpudl_ordered(x, is_unsigned) < gpudl_ordered(value, is_unsigned) ? x : value;
            else
                value = (int64_t)((uint64_t)value + (uint64_t)x);
        }
        if (p.kind == GPUDL_REDUCE_MEAN)
            value = gpudl_divide(value, p.inner.elements, is_unsigned);
        gpudl_put_integer(p.y, p.dtype, at[0], value);
    }
}

/* ---- launches ---------------------------------------------------------------------------------------------------- */

template <int N> int begin(Problem<N> *p, const GpudlShape *shape, const GpudlStrided *const *operands)
{
    const int status = gpudl_places_begin(&p->places, shape, operands);

    for (int o = 0; o < N; o++) {
        p->operands[o].data = operands[o]->data;
        p->operands[o].dtype = operands[o]->dtype;
    }
    if (status == GPUDL_KERNEL_OK && p->places.elements > 0)
        p->places.simplify();
    return status;
}

void integer_range(GpudlDType dtype, int64_t *low, int64_t *high)
{
    const int bits = dtype == GPUDL_DTYPE_BOOL ? 1 : 8 * (int)gpudl_dtype_size(dtype);
    const bool is_signed =
        dtype == GPUDL_DTYPE_I8 || dtype == GPUDL_DTYPE_I16 || dtype == GPUDL_DTYPE_I32 || dtype == GPUDL_DTYPE_I64;

    *high = is_signed ? (int64_t)(UINT64_MAX >> (65 - bits)) : (int64_t)(UINT64_MAX >> (64 - bits));
    *low = is_signed ? -*high - 1 : 0;
}

/* x within low .. high; of uint64, high is -1 as the bits of its largest. */
int64_t clamped(double x, GpudlDType dtype, int64_t low, int64_t high)
{
    if (dtype == GPUDL_DTYPE_U64)
        return !(x > 0) ? 0 : x >= 0x1p64 ? -1 : (int64_t)(uint64_t)x;
    return x <= (double)low ? low : x >= (double)high ? high : (int64_t)x;
}

/* Bounds of an activation between two integers: the values that lie inside them. */
int set_act(const GpudlAct *act, GpudlDType dtype, GpudlAct *to, int64_t *low, int64_t *high)
{
    int64_t least, most;

    if (!act || act->kind == GPUDL_ACT_NONE)
        return GPUDL_KERNEL_OK;
    *to = *act;
    if (!gpudl_is_computed_integer(dtype))
        return GPUDL_KERNEL_OK;
    if (act->kind != GPUDL_ACT_RELU && act->kind != GPUDL_ACT_CLIP)
        return GPUDL_KERNEL_DTYPE;
    integer_range(dtype, &least, &most);
    *low = act->kind == GPUDL_ACT_RELU ? 0
           : dtype == GPUDL_DTYPE_U64  ? clamped(act->alpha, dtype, least, most)
                                       : clamped(ceil((double)act->alpha), dtype, least, most);
    *high = act->kind == GPUDL_ACT_CLIP ? clamped(floor((double)act->beta), dtype, least, most)
            : dtype == GPUDL_DTYPE_U64  ? most
                                        : INT64_MAX;
    return GPUDL_KERNEL_OK;
}

} // namespace

extern "C" int gpudl_typed_unary_cuda(GpudlUnaryOp op, const GpudlAct *act, const GpudlShape *shape,
                                      const GpudlStrided *x, const GpudlStrided *y, GpudlKernelStream stream)
{
    const GpudlStrided *const operands[] = {y, x};
    Problem<2> p = {};
    int status;

    if (x->dtype != y->dtype || !gpudl_is_computed_integer(x->dtype) ||
        (op != GPUDL_UNARY_ACTIVATION && op != GPUDL_UNARY_ABS && op != GPUDL_UNARY_NEG && op != GPUDL_UNARY_NOT) ||
        (op == GPUDL_UNARY_NOT && x->dtype != GPUDL_DTYPE_BOOL))
        return GPUDL_KERNEL_DTYPE;
    status = set_act(op == GPUDL_UNARY_ACTIVATION ? act : NULL, x->dtype, &p.act, &p.low, &p.high);
    if (status == GPUDL_KERNEL_OK)
        status = begin(&p, shape, operands);
    if (status != GPUDL_KERNEL_OK || p.places.elements == 0)
        return status;
    p.op = op;
    gpudl_launch(unary, gpudl_blocks(p.places.elements), 256, 0, stream, p);
    return (int)cudaGetLastError();
}

/* Whether the types are those of the operation. */
static int is_typed(GpudlBinaryOp op, GpudlDType a, GpudlDType b, GpudlDType y)
{
    const bool floats = gpudl_is_picture_type(a) && gpudl_is_picture_type(b);

    if (op < GPUDL_BINARY_ADD || op > GPUDL_BINARY_LAST)
        return 0;
    if (op >= GPUDL_BINARY_AND)
        return a == GPUDL_DTYPE_BOOL && b == a && y == a;
    if (op >= GPUDL_BINARY_EQUAL)
        return y == GPUDL_DTYPE_BOOL && (floats || (gpudl_is_computed_integer(a) && a == b));
    if (floats)
        return gpudl_is_picture_type(y) && (op == GPUDL_BINARY_MOD || op == GPUDL_BINARY_FMOD);
    if (op == GPUDL_BINARY_POW)
        return (gpudl_is_picture_type(a) ? gpudl_is_picture_type(y) : gpudl_is_computed_integer(a) && y == a) &&
               (gpudl_is_picture_type(b) || gpudl_is_computed_integer(b));
    return gpudl_is_computed_integer(a) && a == b && y == a;
}

extern "C" int gpudl_typed_binary_cuda(GpudlBinaryOp op, const GpudlAct *act, const GpudlShape *shape,
                                       const GpudlStrided *a, const GpudlStrided *b, const GpudlStrided *y,
                                       GpudlKernelStream stream)
{
    const GpudlStrided *const operands[] = {y, a, b};
    const bool a_float = gpudl_is_picture_type(a->dtype), b_float = gpudl_is_picture_type(b->dtype);
    Problem<3> p = {};
    int status;

    if (!is_typed(op, a->dtype, b->dtype, y->dtype))
        return GPUDL_KERNEL_DTYPE;
    status = set_act(op < GPUDL_BINARY_EQUAL ? act : NULL, y->dtype, &p.act, &p.low, &p.high);
    if (status == GPUDL_KERNEL_OK)
        status = begin(&p, shape, operands);
    if (status != GPUDL_KERNEL_OK || p.places.elements == 0)
        return status;
    p.op = op;
    if (a_float != b_float && p.act.kind != GPUDL_ACT_NONE)
        return GPUDL_KERNEL_DTYPE;
    if (a_float && b_float)
        gpudl_launch(binary<FLOATS>, gpudl_blocks(p.places.elements), 256, 0, stream, p);
    else if (a_float || b_float)
        gpudl_launch(binary<DOUBLE>, gpudl_blocks(p.places.elements), 256, 0, stream, p);
    else
        gpudl_launch(binary<INTEGERS>, gpudl_blocks(p.places.elements), 256, 0, stream, p);
    return (int)cudaGetLastError();
}

extern "C" int gpudl_where_cuda(const GpudlShape *shape, const GpudlStrided *condition, const GpudlStrided *a,
                                const GpudlStrided *b, const GpudlStrided *y, GpudlKernelStream stream)
{
    const GpudlStrided *const operands[] = {y, a, b, condition};
    const bool same = a->dtype == y->dtype && b->dtype == y->dtype;
    Problem<4> p = {};
    int status;

    if (condition->dtype != GPUDL_DTYPE_BOOL ||
        (!same &&
         !(gpudl_is_picture_type(a->dtype) && gpudl_is_picture_type(b->dtype) && gpudl_is_picture_type(y->dtype))))
        return GPUDL_KERNEL_DTYPE;
    status = begin(&p, shape, operands);
    if (status != GPUDL_KERNEL_OK || p.places.elements == 0)
        return status;
    const unsigned blocks = gpudl_blocks(p.places.elements);

    switch (same ? gpudl_dtype_size(y->dtype) : 16) {
    case 1:
        gpudl_launch(where<uint8_t>, blocks, 256, 0, stream, p);
        break;
    case 2:
        gpudl_launch(where<uint16_t>, blocks, 256, 0, stream, p);
        break;
    case 4:
        gpudl_launch(where<uint32_t>, blocks, 256, 0, stream, p);
        break;
    case 8:
        gpudl_launch(where<uint64_t>, blocks, 256, 0, stream, p);
        break;
    case 16:
        gpudl_launch(where_floats, blocks, 256, 0, stream, p);
        break;
    default:
        return GPUDL_KERNEL_DTYPE;
    }
    return (int)cudaGetLastError();
}

extern "C" int gpudl_cast_cuda(const GpudlShape *shape, const GpudlStrided *x, const GpudlStrided *y,
                               GpudlKernelStream stream)
{
    const GpudlStrided *const operands[] = {y, x};
    Problem<2> p = {};
    int status;

    for (const GpudlStrided *o : operands)
        if (!gpudl_is_picture_type(o->dtype) && !gpudl_is_computed_integer(o->dtype))
            return GPUDL_KERNEL_DTYPE;
    status = begin(&p, shape, operands);
    if (status != GPUDL_KERNEL_OK || p.places.elements == 0)
        return status;
    gpudl_launch(cast, gpudl_blocks(p.places.elements), 256, 0, stream, p);
    return (int)cudaGetLastError();
}

extern "C" int gpudl_typed_reduce_cuda(int32_t kind, const GpudlShape *shape, const GpudlStrided *x,
                                       const int32_t *axes, int32_t n_axes, const GpudlStrided *y,
                                       GpudlKernelStream stream)
{
    GpudlStrided x_kept = *x, y_kept = *y, x_inner = *x;
    const GpudlStrided *const kept[] = {&y_kept, &x_kept};
    GpudlShape kept_shape = {}, inner_shape = {};
    bool reduced[GPUDL_MAX_RANK] = {};
    Reduce p = {{}, {}, x->dtype, x->data, y->data, kind, kind == GPUDL_REDUCE_PROD};
    int64_t low, high;
    int status;

    if (x->dtype != y->dtype || !gpudl_is_computed_integer(x->dtype))
        return GPUDL_KERNEL_DTYPE;
    if (shape->rank < 0 || shape->rank > GPUDL_MAX_RANK || gpudl_shape_elements(shape) < 1 ||
        gpudl_shape_elements(shape) > INT32_MAX || n_axes < 0 || (unsigned)kind > GPUDL_REDUCE_LAST)
        return GPUDL_KERNEL_SHAPE;
    for (int i = 0; i < n_axes; i++) {
        if (axes[i] < 0 || axes[i] >= shape->rank)
            return GPUDL_KERNEL_SHAPE;
        reduced[axes[i]] = true;
    }
    integer_range(x->dtype, &low, &high);
    p.neutral = kind == GPUDL_REDUCE_MAX ? low : kind == GPUDL_REDUCE_MIN ? high : p.neutral;
    for (int d = 0; d < shape->rank; d++) {
        const bool out = reduced[d] || n_axes == 0;
        GpudlShape *to = out ? &inner_shape : &kept_shape;

        (out ? x_inner : x_kept).strides[to->rank] = x->strides[d];
        if (!out)
            y_kept.strides[to->rank] = y->strides[d];
        to->dims[to->rank++] = shape->dims[d];
    }
    status = gpudl_places_begin(&p.places, &kept_shape, kept);
    if (status != GPUDL_KERNEL_OK)
        return status;
    p.places.simplify();
    p.inner.rank = inner_shape.rank;
    p.inner.elements = (uint32_t)gpudl_shape_elements(&inner_shape);
    for (int d = 0; d < inner_shape.rank; d++) {
        p.inner.dims[d] = (uint32_t)inner_shape.dims[d];
        p.inner.strides[0][d] = x_inner.strides[d];
    }
    gpudl_launch(reduce, gpudl_blocks(p.places.elements), 256, 0, stream, p);
    return (int)cudaGetLastError();
}

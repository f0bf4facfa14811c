/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Element types and tensor descriptions shared by all kernels. Plain C: no GLib, no graph, no CUDA.
 */
#ifndef GPUDL_KERNELS_TYPES_H
#define GPUDL_KERNELS_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Highest tensor rank anywhere in the project. */
#define GPUDL_MAX_RANK 6
/** Highest number of spatial dimensions of convolution and pooling: depth, height, width. */
#define GPUDL_MAX_SPATIAL 3

/** Element types. The values are stored in model files: never renumber. */
typedef enum {
    GPUDL_DTYPE_NONE = 0,
    GPUDL_DTYPE_F32 = 1,
    GPUDL_DTYPE_F16 = 2,  /* IEEE 754 binary16 */
    GPUDL_DTYPE_BF16 = 3, /* upper half of binary32 */
    GPUDL_DTYPE_F64 = 4,
    GPUDL_DTYPE_I8 = 5,
    GPUDL_DTYPE_U8 = 6,
    GPUDL_DTYPE_I16 = 7,
    GPUDL_DTYPE_U16 = 8,
    GPUDL_DTYPE_I32 = 9,
    GPUDL_DTYPE_U32 = 10,
    GPUDL_DTYPE_I64 = 11,
    GPUDL_DTYPE_U64 = 12,
    GPUDL_DTYPE_BOOL = 13, /* one byte, 0 or 1 */
    /* Storage types, converted and moved but not computed with; layouts in narrow.h. In memory, and in net.bin, each
     * element has a byte of its own. Those of fewer bits lie in its low bits, signed integers with their sign in the
     * others; readers ignore what lies above the type's bits. Files of other formats pack them: importers unpack. */
    GPUDL_DTYPE_F8E4M3FN = 14,
    GPUDL_DTYPE_F8E4M3FNUZ = 15,
    GPUDL_DTYPE_F8E5M2 = 16,
    GPUDL_DTYPE_F8E5M2FNUZ = 17,
    GPUDL_DTYPE_F8E8M0 = 18, /* powers of two, no sign */
    GPUDL_DTYPE_F4E2M1 = 19,
    GPUDL_DTYPE_I4 = 20,
    GPUDL_DTYPE_U4 = 21,
    GPUDL_DTYPE_I2 = 22,
    GPUDL_DTYPE_U2 = 23,
    GPUDL_DTYPE_LAST = GPUDL_DTYPE_U2
} GpudlDType;

/** Shape of a dense tensor, outermost dimension first (N, C, H, W for images). rank 0 is a scalar. */
typedef struct {
    int32_t rank;
    int64_t dims[GPUDL_MAX_RANK];
} GpudlShape;

/** A dense, row-major tensor in host memory; the data belongs to the caller. */
typedef struct {
    GpudlDType dtype;
    GpudlShape shape;
    void *data;
} GpudlTensorView;

/** Activations that a node can carry fused behind its sum; alpha and beta as in gpudl_activate(). */
typedef enum {
    GPUDL_ACT_NONE = 0,
    GPUDL_ACT_RELU = 1,
    GPUDL_ACT_CLIP = 2,         /* min(max(x, alpha), beta) */
    GPUDL_ACT_LEAKY_RELU = 3,   /* x < 0 ? alpha * x : x */
    GPUDL_ACT_SIGMOID = 4,      /* 1 / (1 + exp(-x)) */
    GPUDL_ACT_SILU = 5,         /* x * sigmoid(x) */
    GPUDL_ACT_HARD_SIGMOID = 6, /* min(max(alpha * x + beta, 0), 1) */
    GPUDL_ACT_HARD_SWISH = 7,   /* x * min(max(x / 6 + 0.5, 0), 1) */
    GPUDL_ACT_TANH = 8,
    GPUDL_ACT_GELU = 9,       /* x / 2 * (1 + erf(x / sqrt(2))) */
    GPUDL_ACT_GELU_TANH = 10, /* x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) */
    GPUDL_ACT_MISH = 11,      /* x * tanh(log(1 + exp(x))) */
    GPUDL_ACT_LAST = GPUDL_ACT_MISH
} GpudlActKind;

/** An activation with its parameters; unused parameters are 0. */
typedef struct {
    GpudlActKind kind;
    float alpha;
    float beta;
} GpudlAct;

/** Bytes of one element; 0 for GPUDL_DTYPE_NONE and unknown values. */
size_t gpudl_dtype_size(GpudlDType dtype);

/** Bits of one element where a file packs them: 4 or 2 for the types below a byte, else 8 times the size. */
size_t gpudl_dtype_file_bits(GpudlDType dtype);

/** Name as used in messages and listings: "float32", "int64", ...; "none" or "unknown" otherwise. */
const char *gpudl_dtype_name(GpudlDType dtype);

/** Number of elements (1 for a scalar, 0 if any dimension is 0), or -1 if the product overflows int64 or a dimension is
 * negative. */
int64_t gpudl_shape_elements(const GpudlShape *shape);

/** Nonzero if rank and every dimension are equal. */
int gpudl_shape_equal(const GpudlShape *a, const GpudlShape *b);

/** One activation in double, the truth that all backends are compared with. */
double gpudl_activate(const GpudlAct *act, double x);

#ifdef __cplusplus
}
#endif
#endif

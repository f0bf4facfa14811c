/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A constant matrix times one vector on the CPU: fully connected layers of one frame. As many bytes of weights as there
 * are have to come from memory, and nothing else counts: they lie in the order in which they are read.
 */
#ifndef GPUDL_KERNELS_MATVEC_H
#define GPUDL_KERNELS_MATVEC_H

#include "simd.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    GpudlDType type;   /* of x and of what weights are rounded to: float32, bfloat16 */
    GpudlDType y_type; /* of y: float32; or of x's type */
    int32_t n, k;      /* elements of y and x, 1 to 2^28 */
    GpudlAct act;      /* none, relu, clip, silu, hard swish */
} GpudlMatvec;

/** Nonzero if all of d is as said there: the functions rely on it. */
int gpudl_matvec_supported(const GpudlMatvec *d);

/** Bytes of packed weights and biases, a multiple of 64. */
size_t gpudl_matvec_weights_size(const GpudlMatvec *d);

/** Write all of packed, so many bytes, aligned to 64: biases, bias: those of rows way apart (0: one for all), or NULL,
 * which is zeros; weights, w: [n][k] if by_rows, else [k][n]; each times factor. */
void gpudl_matvec_pack_biases(const GpudlMatvec *d, const float *bias, int way, float factor, void *packed);
void gpudl_matvec_pack_weights(const GpudlMatvec *d, const float *w, int by_rows, float factor, void *packed);

/**
 * y = act(w x + bias); sums and biases are float32. y is rounded to its type when stored; before bfloat16 silu may be
 * off by 2e-4 of its value (and 1e-35). Of bfloat16 subnormals may become zero. NaN and infinities go where they are
 * seen. x and y are aligned to an element, packed to 64 bytes. Single-threaded; keeps no state.
 */
typedef void GpudlMatvecFunc(const GpudlMatvec *d, const void *x, const void *packed, void *y);

/** What an instruction set has of these. */
typedef struct {
    const char *name; /* "matvec:avx512" */
    GpudlMatvecFunc *run;
} GpudlMatvecKernels;

/** Those of an instruction set for x of this type; NULL where the processor or the build has it not, and of sets that
 * do not multiply that: float32 from AVX2 on, bfloat16 AVX512_BF16. */
const GpudlMatvecKernels *gpudl_matvec_kernels(GpudlSimd simd, GpudlDType type);

#ifdef __cplusplus
}
#endif
#endif

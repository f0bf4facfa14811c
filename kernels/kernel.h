/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What all kernel families share: status codes, the stream, and the rules that every reference (_ref) keeps.
 *
 * - Tensors are GpudlTensorView: dense, row-major, last dimension fastest. The caller owns all memory and gives outputs
 *   their dtype and shape; a kernel checks that they fit and writes each output element exactly once, nothing beside.
 *   Outputs do not overlap inputs, unless the family says that it works in place. Data need not be aligned to its
 * element size. Nothing is allocated.
 * - A tensor without elements is valid everywhere; its data is never touched and may be NULL.
 * - References: float32, float16, bfloat16 and float64 compute in double and round once, to nearest even, when stored.
 *   Integers (bool counts as one) compute in 64 bits and wrap around to the type. Only data movement takes any mixture.
 *   NaN goes through sums, products, minimum, maximum and activations (a ReLU of it is NaN).
 * - On a status other than GPUDL_KERNEL_OK the outputs' contents are undefined, but nothing outside them was written.
 */
#ifndef GPUDL_KERNELS_KERNEL_H
#define GPUDL_KERNELS_KERNEL_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Outcome of a kernel. Positive values are codes of the device's runtime (a launcher's CUDA error). */
enum {
    GPUDL_KERNEL_OK = 0,
    GPUDL_KERNEL_DTYPE = -1, /* not implemented for these element types */
    GPUDL_KERNEL_SHAPE = -2, /* shapes or parameters contradict each other */
    GPUDL_KERNEL_INDEX = -3, /* an index points outside its dimension */
    GPUDL_KERNEL_DIVIDE = -4 /* integer division by zero */
};

/** A CUDA stream (CUstream, cudaStream_t), nameable without CUDA's headers. References ignore it; NULL is usual. */
typedef struct CUstream_st *GpudlKernelStream;

/** One sentence for a status, without full stop: "integer division by zero". Static; never NULL. */
const char *gpudl_kernel_status_text(int status);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Softmax and its logarithm: ONNX Softmax-13 and LogSoftmax-13, and their older form over all dimensions from axis on.
 */
#ifndef GPUDL_KERNELS_SOFTMAX_H
#define GPUDL_KERNELS_SOFTMAX_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { GPUDL_SOFTMAX = 0, GPUDL_LOG_SOFTMAX } GpudlSoftmaxKind;

/**
 * y = exp(x - max) / s, or x - max - log(s), s the sum of exp(x - max) over the group.
 *
 * x, y     equal shapes of rank 1 or more (flatten: also 0), one float type, else GPUDL_KERNEL_DTYPE; may be one memory
 * axis     0 .. rank - 1 (flatten: .. rank): the elements along it form a group
 * flatten  nonzero: all dimensions from axis on form a group (ONNX before opset 13)
 *
 * A group with NaN or +infinity, or of -infinity alone, is NaN throughout where infinities cancel, as in numpy.
 */
typedef int GpudlSoftmaxFunc(GpudlSoftmaxKind kind, const GpudlTensorView *x, int32_t axis, int flatten,
                             const GpudlTensorView *y, GpudlKernelStream stream);

GpudlSoftmaxFunc gpudl_softmax_ref;

#ifdef __cplusplus
}
#endif
#endif

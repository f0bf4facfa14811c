/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Convolution as a product of matrices that are gathered as they are read (implicit GEMM), on tensor cores where the
 * type has them; products with constant matrices are convolutions of one tap.
 */
#ifndef GPUDL_KERNELS_CONV_GEMM_CUDA_H
#define GPUDL_KERNELS_CONV_GEMM_CUDA_H

#include "nhwc.h"
#include "window.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a problem is computed from. */
typedef enum {
    GPUDL_CONV_GEMM_F32,  /* float32, exactly */
    GPUDL_CONV_GEMM_TF32, /* float32, rounded to the nearest of TF32 before it is multiplied */
    GPUDL_CONV_GEMM_F16,
    GPUDL_CONV_GEMM_BF16
} GpudlConvGemmType;
#define GPUDL_CONV_GEMM_TYPE_LAST GPUDL_CONV_GEMM_BF16

/** A way to compute a problem: results of a block, and in how many parts the sums are made. */
typedef struct {
    int32_t tile; /* 0 .. GPUDL_CONV_GEMM_TILES - 1 */
    int32_t splits;
    int64_t workspace_bytes; /* 0 where splits is 1 */
} GpudlConvGemmPlan;

#define GPUDL_CONV_GEMM_TILES 7
/** Most plans that a problem has. */
#define GPUDL_CONV_GEMM_PLANS 14

/** The plans of a problem that differ, in the order of what they are thought to take; how many. Among the first three
 * is as a rule the fastest one, or one within 1 % of it. multiprocessors: of the device that is to be filled;
 * shared_bytes: of shared memory that a block can have there. Needs no device. */
int gpudl_conv_gemm_plans(GpudlConvGemmType type, const GpudlNhwc *xs, const GpudlWindow *window, int32_t groups,
                          const GpudlNhwc *ys, int32_t multiprocessors, int32_t shared_bytes, GpudlConvGemmPlan *plans);

/**
 * y = act(sum over taps and channels of x * w + bias + z), in float32, rounded once when stored. Parameters as in
 * conv_cuda.h, x, w, z, y of type's elements; and
 *
 * w, bias    not written by what is queued before on this stream: w is read while that still runs
 * plan       of these extents, from gpudl_conv_gemm_plans()
 * workspace  at a multiple of 16 bytes, plan->workspace_bytes of any contents; NULL where that is 0
 *
 * Any channel count, pitch and alignment to an element; fastest where channels of a group are whole vectors of 16 bytes
 * at such addresses. TF32 and bfloat16 have tensor cores from compute capability 8 on; before, they are computed
 * without. GPUDL_KERNEL_SHAPE too where pixels, positions, elements of x or of a group's weights leave 32 bits, or
 * groups 65535. A plan that needs more shared memory than the device has: cudaErrorInvalidValue. Returns before the
 * device is done: 0, a status or the launch's CUDA error.
 */
int gpudl_conv_gemm_cuda(GpudlConvGemmType type, const void *x, const GpudlNhwc *xs, const void *w, const float *bias,
                         const void *z, int64_t z_pitch, const GpudlWindow *window, int32_t groups, const GpudlAct *act,
                         void *y, const GpudlNhwc *ys, const GpudlConvGemmPlan *plan, void *workspace,
                         GpudlKernelStream stream);

#ifdef __cplusplus
}
#endif
#endif

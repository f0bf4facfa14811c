/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Convolution of few pixels, whose time is that of the way to memory and back: a block fetches all that it needs at
 * once, the weights while what was queued before still runs. For compute capability 9.0 (sm_90a) alone;
 * conv_gemm_cuda.h has the same for all devices.
 */
#ifndef GPUDL_KERNELS_CONV_ONCE_CUDA_H
#define GPUDL_KERNELS_CONV_ONCE_CUDA_H

#include "nhwc.h"
#include "window.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How a block gets its pixels. */
typedef enum {
    GPUDL_CONV_ONCE_PLACES, /* one after another, for each tap anew */
    GPUDL_CONV_ONCE_ROWS    /* whole rows of outputs, all that their taps see once; stride 1 */
} GpudlConvOnceForm;

/** A way to compute a problem. */
typedef struct {
    int32_t form;  /* GpudlConvOnceForm */
    int32_t tile;  /* pixels of a block: a multiple of 8 that there is a kernel for */
    int32_t parts; /* blocks that share the sums of a tile: 1, 2, 4 or 8, a cluster */
    int32_t held; /* slices of weights, of 64 channels of a tap, that a block has in registers: all; 0: shared memory */
} GpudlConvOncePlan;

/** Most plans that a problem has. */
#define GPUDL_CONV_ONCE_PLANS 96

/**
 * The plans of a problem, in the order of what they are thought to take; how many: 0 where it does not fit, which are
 * other types than float16 and bfloat16; channels of a group, or x's pitch, that are no multiple of 8; several groups
 * whose channels are no multiple of 64; sums of so many terms, or windows so wide, that no block has room for them;
 * strides above 8, pads and dilations that leave 127. multiprocessors: of the device that is to be filled;
 * shared_bytes: of shared memory that a block can have there. Needs no device.
 */
int gpudl_conv_once_plans(GpudlDType dtype, const GpudlNhwc *xs, const GpudlWindow *window, int32_t groups,
                          const GpudlNhwc *ys, int32_t multiprocessors, int32_t shared_bytes, GpudlConvOncePlan *plans);

/** TRUE if the current device runs this family's kernels. */
int gpudl_conv_once_runs(void);

/**
 * y = act(sum over taps and channels of x * w + bias + z), in float32, rounded once when stored. Parameters as in
 * conv_cuda.h, and
 *
 * x, w       at multiples of 16 bytes
 * w, bias    not written by what is queued before on this stream: they are read while that still runs
 * plan       of these extents, from gpudl_conv_once_plans()
 *
 * GPUDL_KERNEL_SHAPE too where the problem or the plan does not fit, GPUDL_KERNEL_DTYPE for other types; a device that
 * does not run it: cudaErrorNotSupported. Returns before the device is done: 0, a status or the launch's CUDA error.
 */
int gpudl_conv_once_cuda(GpudlDType dtype, const void *x, const GpudlNhwc *xs, const void *w, const float *bias,
                         const void *z, int64_t z_pitch, const GpudlWindow *window, int32_t groups, const GpudlAct *act,
                         void *y, const GpudlNhwc *ys, const GpudlConvOncePlan *plan, GpudlKernelStream stream);

#ifdef __cplusplus
}
#endif
#endif

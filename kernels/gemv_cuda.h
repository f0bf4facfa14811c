/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Products of a matrix with few vectors, which take as long as reading the matrix does: the last layers of a network in
 * small batches. The vectors may be the means of pictures' pixels, which are made on the way.
 */
#ifndef GPUDL_KERNELS_GEMV_CUDA_H
#define GPUDL_KERNELS_GEMV_CUDA_H

#include "kernel.h"
#include "nhwc.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Most vectors. */
#define GPUDL_GEMV_VECTORS 8

/** A way to compute a problem. */
typedef struct {
    int32_t rows;  /* of the matrix, of a block: 16, 32, 64 or 128 */
    int32_t parts; /* blocks that share the terms of a sum: 1, 2, 4 or 8, a cluster */
    int32_t warps; /* of a block: 8 or 16 */
} GpudlGemvPlan;

/** Most plans that a problem has. */
#define GPUDL_GEMV_PLANS 32

/**
 * The plans of a problem, in the order of what they are thought to take; how many: 0 where it does not fit, which are
 * other types than float16 and bfloat16, no vectors or more than GPUDL_GEMV_VECTORS, channels or a pitch that are no
 * multiple of 8, vectors that find no room in shared memory. k: rows of the matrix; multiprocessors: of the device that
 * is to be filled; shared_bytes: of shared memory that a block can have there; clusters: nonzero if it has them, else
 * there is one part. Needs no device.
 */
int gpudl_gemv_plans(GpudlDType dtype, const GpudlNhwc *xs, int32_t k, int32_t multiprocessors, int32_t shared_bytes,
                     int clusters, GpudlGemvPlan *plans);

/** TRUE if the current device has clusters, so that sums can have several parts. */
int gpudl_gemv_has_clusters(void);

/**
 * y = act(w * mean + bias), mean over the pixels of a picture, rounded to dtype; of one pixel, itself. Sums in float32,
 * in an order that does not change, rounded once when stored.
 *
 * x       xs, of dtype, at a multiple of 16 bytes; at least one pixel
 * w       [k][c] of dtype, at a multiple of 16 bytes
 * bias    float32 [k]; NULL: zeros
 * y       [n][k] of dtype, rows y_pitch elements apart, at an element's alignment; not x
 * plan    of this problem, from gpudl_gemv_plans()
 *
 * w and bias are read while what was queued before still runs, and are not written by that. GPUDL_KERNEL_DTYPE for
 * other types, GPUDL_KERNEL_SHAPE where problem or plan do not fit. Returns before the device is done: 0, a status or
 * the launch's CUDA error.
 */
int gpudl_gemv_cuda(GpudlDType dtype, const void *x, const GpudlNhwc *xs, const void *w, const float *bias, int32_t k,
                    const GpudlAct *act, void *y, int64_t y_pitch, const GpudlGemvPlan *plan, GpudlKernelStream stream);

#ifdef __cplusplus
}
#endif
#endif

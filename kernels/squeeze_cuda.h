/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Squeeze-and-excite on a CUDA device, but for its product with the picture: each channel's scale, which two small
 * products make of all channels' means, in one launch.
 */
#ifndef GPUDL_KERNELS_SQUEEZE_CUDA_H
#define GPUDL_KERNELS_SQUEEZE_CUDA_H

#include "kernel.h"
#include "nhwc.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Most channels, and most between the products, that find room in shared memory. */
#define GPUDL_SQUEEZE_CUDA_CHANNELS 4096
#define GPUDL_SQUEEZE_CUDA_INNER 1024

/** Elements from a row of packed weights to the next, of so many channels. */
static inline int64_t gpudl_squeeze_cuda_pitch(int32_t channels)
{
    return ((int64_t)channels + 7) / 8 * 8;
}

/**
 * y = gate(w2 * inner(w1 * mean + bias1) + bias2), mean over the pixels of a picture.
 *
 * x       xs, of dtype, float16, bfloat16 or float32, else GPUDL_KERNEL_DTYPE; at least one pixel
 * w       of dtype: w1 [r][pitch], then w2 transposed [r][pitch], channels fastest, of gpudl_squeeze_cuda_pitch()
 *         elements, those beyond the channels 0; at a multiple of 16 bytes. Not written by what is queued before
 * bias    float32 [r], then [c]; likewise; NULL: zeros
 * r       1 .. GPUDL_SQUEEZE_CUDA_INNER, of at most GPUDL_SQUEEZE_CUDA_CHANNELS channels, else GPUDL_KERNEL_SHAPE
 * y       [n][c] of dtype, rows y_pitch elements apart; not x
 *
 * All in float32, sums in an order that does not change, rounded once when stored. Any channel count, pitch and
 * alignment to an element; whole vectors of 16 bytes are faster. A picture is a cluster's of up to 8 blocks from
 * compute capability 9 on; before, a block's, which is no faster than single steps. Returns before the device is done:
 * 0, a status or the launch's CUDA error.
 */
int gpudl_squeeze_cuda(GpudlDType dtype, const void *x, const GpudlNhwc *xs, const void *w, const float *bias,
                       int32_t r, const GpudlAct *inner, const GpudlAct *gate, void *y, int64_t y_pitch,
                       GpudlKernelStream stream);

#ifdef __cplusplus
}
#endif
#endif

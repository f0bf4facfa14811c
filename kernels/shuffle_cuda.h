/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Pictures whose channels come from several others on a CUDA device: concatenation, shuffle and choice of channels in
 * one pass.
 */
#ifndef GPUDL_KERNELS_SHUFFLE_CUDA_H
#define GPUDL_KERNELS_SHUFFLE_CUDA_H

#include "kernel.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Pictures that a call may read. */
#define GPUDL_SHUFFLE_SOURCES 8

/** Where a channel comes from. */
#define GPUDL_SHUFFLE_FROM(source, channel) ((uint32_t)(source) << 24 | (uint32_t)(channel))
/** A channel of zeros. */
#define GPUDL_SHUFFLE_ZERO UINT32_MAX

/** One picture that is read: channels last, its pixels pitch elements apart and dense otherwise; aligned to its type.
 */
typedef struct {
    const void *data;
    int32_t pitch;
} GpudlShuffleSource;

/**
 * y[pixel][c] = sources[s].data[pixel * pitch + k], where from[c] = GPUDL_SHUFFLE_FROM(s, k), bit by bit.
 *
 * dtype     any of 2 or 4 bytes, else GPUDL_KERNEL_DTYPE
 * n         1 to GPUDL_SHUFFLE_SOURCES sources; those that from does not name are not read
 * from      device memory, aligned to 16 bytes: channels entries. Not written by what is queued before
 * pixels    of all images; pixels * channels at most 2^31 - 1
 * channels  a multiple of 8; y_pitch as well, and not below it
 * y         aligned to 16 bytes, with nothing in common with a source; elements between its pixels stay as they are
 *
 * Returns before the device is done: 0, GPUDL_KERNEL_SHAPE for what contradicts this, or the launch's CUDA error.
 */
typedef int GpudlShuffleCudaFunc(GpudlDType dtype, const GpudlShuffleSource *sources, int32_t n, const uint32_t *from,
                                 int64_t pixels, int32_t channels, int32_t y_pitch, void *y, GpudlKernelStream stream);

GpudlShuffleCudaFunc gpudl_shuffle_cuda;

#ifdef __cplusplus
}
#endif
#endif

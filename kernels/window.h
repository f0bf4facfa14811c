/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The sliding window of convolution and pooling.
 *
 * Arrays hold depth, height, width; n_spatial (1..3) says how many of the last entries are the tensor's, those in front
 * are 1 (pads 0). Output position p along a dimension reads input positions p * stride - pad_begin + r * dilation for
 * r = 0 .. kernel - 1.
 */
#ifndef GPUDL_KERNELS_WINDOW_H
#define GPUDL_KERNELS_WINDOW_H

#include "kernel.h"

typedef struct {
    int32_t n_spatial;
    int32_t kernel[GPUDL_MAX_SPATIAL];    /* taps, >= 1 */
    int32_t stride[GPUDL_MAX_SPATIAL];    /* >= 1 */
    int32_t pad_begin[GPUDL_MAX_SPATIAL]; /* elements; negative crops */
    int32_t pad_end[GPUDL_MAX_SPATIAL];
    int32_t dilation[GPUDL_MAX_SPATIAL]; /* >= 1 */
} GpudlWindow;

#endif

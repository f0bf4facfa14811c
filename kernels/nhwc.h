/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Pictures as the CUDA kernels take them: channels fastest, then width, height, batch.
 */
#ifndef GPUDL_KERNELS_NHWC_H
#define GPUDL_KERNELS_NHWC_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Extents, and the way from pixel to pixel in elements. pitch is at least c; more is the slice of a wider tensor, whose
 * other channels stay as they are. Rows and pictures follow without a gap: element (n, y, x, c) lies at
 * ((n * h + y) * w + x) * pitch + c.
 */
typedef struct {
    int32_t n, h, w, c;
    int64_t pitch;
} GpudlNhwc;

#ifdef __cplusplus
}
#endif
#endif

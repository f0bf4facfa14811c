/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "depthwise.h"

#include "depthwise_x86.h"
#include "lanes.h"

#define MOST (1 << 28)

static int64_t blocks_of(const GpudlDepthwise *d)
{
    return ((int64_t)d->c + GPUDL_DEPTHWISE_BLOCK - 1) / GPUDL_DEPTHWISE_BLOCK;
}

int gpudl_depthwise_supported(const GpudlDepthwise *d)
{
    if (d->type != GPUDL_DTYPE_F32 && d->type != GPUDL_DTYPE_BF16)
        return 0;
    if (d->n < 1 || d->h < 1 || d->w < 1 || d->c < 1 || d->p < 1 || d->q < 1)
        return 0;
    if (d->x_pixel < d->c || d->x_row / d->w < d->x_pixel || d->x_frame / d->h < d->x_row || d->y_pixel < d->c ||
        d->y_row / d->q < d->y_pixel || d->y_frame / d->p < d->y_row)
        return 0;
    /* positions are counted in int32 */
    if (d->pad_top < -MOST || d->pad_top > MOST || d->pad_left < -MOST || d->pad_left > MOST || d->w > MOST ||
        d->p > MOST / 2 || d->q > MOST / 2)
        return 0;
    if ((d->kernel != 3 && d->kernel != 5 && d->kernel != 7) || (d->stride != 1 && d->stride != 2))
        return 0;
    return gpudl_lanes_act(&d->act);
}

size_t gpudl_depthwise_weights_size(const GpudlDepthwise *d)
{
    return (size_t)(blocks_of(d) * (1 + d->kernel * d->kernel)) * GPUDL_DEPTHWISE_BLOCK * sizeof(float);
}

void gpudl_depthwise_pack(const GpudlDepthwise *d, const float *w, const float *bias, float *packed)
{
    const int32_t taps = d->kernel * d->kernel;

    for (int64_t b = 0; b < blocks_of(d); b++)
        for (int64_t i = 0; i < GPUDL_DEPTHWISE_BLOCK; i++) {
            const int64_t channel = b * GPUDL_DEPTHWISE_BLOCK + i;
            float *to = packed + b * (1 + taps) * GPUDL_DEPTHWISE_BLOCK + i;

            to[0] = bias != NULL && channel < d->c ? bias[channel] : 0.f;
            for (int32_t t = 0; t < taps; t++)
                to[(1 + t) * GPUDL_DEPTHWISE_BLOCK] = channel < d->c ? w[channel * taps + t] : 0.f;
        }
}

const GpudlDepthwiseKernels *gpudl_depthwise_kernels(GpudlSimd simd)
{
    return simd == GPUDL_SIMD_GENERIC ? &gpudl_depthwise_generic : gpudl_depthwise_native(simd);
}

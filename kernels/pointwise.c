/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pointwise.h"

#include <stddef.h>
#include <string.h>

#include "pairs.h"
#include "pointwise_x86.h"

int gpudl_pointwise_supported(const GpudlPointwise *d)
{
    if ((d->type != GPUDL_DTYPE_BF16 && d->type != GPUDL_DTYPE_F32) || d->n < 1 || d->h < 1 || d->w < 1 || d->c < 1 ||
        d->k < 1 || d->p < 1 || d->q < 1)
        return 0;
    if (d->x_pixel < d->c || d->x_row / d->w < d->x_pixel || d->x_frame / d->h < d->x_row || d->y_pixel < d->k ||
        d->y_row / d->q < d->y_pixel || d->y_frame / d->p < d->y_row)
        return 0;
    if ((d->stride != 1 && d->stride != 2) || (d->p - 1) > (d->h - 1) / d->stride ||
        (d->q - 1) > (d->w - 1) / d->stride)
        return 0;
    return gpudl_lanes_act(&d->act);
}

size_t gpudl_pointwise_weights_size(const GpudlPointwise *d)
{
    return (size_t)(gpudl_lanes_vectors(d->k) * GPUDL_LANES) *
           (sizeof(float) + (size_t)gpudl_pointwise_steps(d) * sizeof(uint32_t));
}

static uint32_t word_of(float value)
{
    uint32_t word;

    memcpy(&word, &value, sizeof word);
    return word;
}

void gpudl_pointwise_pack(const GpudlPointwise *d, const float *w, const float *bias, void *packed)
{
    const int64_t vectors = gpudl_lanes_vectors(d->k), steps = gpudl_pointwise_steps(d), lanes = GPUDL_LANES;
    const int bf16 = d->type == GPUDL_DTYPE_BF16;
    float *biases = packed;
    uint32_t *to = (uint32_t *)(void *)(biases + vectors * lanes);

    for (int64_t i = 0; i < vectors * lanes; i++)
        biases[i] = bias != NULL && i < d->k ? bias[i] : 0.f;
    for (int64_t first = 0, n; first < vectors; first += n) {
        n = gpudl_lanes_group(vectors, first);
        for (int64_t step = 0; step < steps; step++)
            for (int64_t i = 0; i < n * lanes; i++) {
                const int64_t channel = bf16 ? 2 * step : step, at = (first * lanes + i) * d->c + channel;
                const int here = first * lanes + i < d->k;

                *to++ = bf16 ? gpudl_pairs_of(here ? w[at] : 0.f, here && channel + 1 < d->c ? w[at + 1] : 0.f)
                             : word_of(here ? w[at] : 0.f);
            }
    }
}

const GpudlPointwiseKernels *gpudl_pointwise_kernels(GpudlSimd simd, GpudlDType type)
{
    return gpudl_pointwise_native(simd, type);
}

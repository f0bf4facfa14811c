/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stem.h"

#include <stddef.h>

#include "pairs.h"
#include "stem_x86.h"

#define MOST (1 << 28)

int gpudl_stem_supported(const GpudlStem *d)
{
    if ((d->type != GPUDL_DTYPE_F32 && d->type != GPUDL_DTYPE_BF16) || d->n < 1 || d->h < 1 || d->w < 1 || d->c < 1 ||
        d->k < 1 || d->p < 1 || d->q < 1 || d->c > GPUDL_STEM_CHANNELS)
        return 0;
    if (d->x_row / d->w < d->c || d->x_frame / d->h < d->x_row || d->y_pixel < d->k || d->y_row / d->q < d->y_pixel ||
        d->y_frame / d->p < d->y_row)
        return 0;
    if (d->kernel < 1 || d->kernel > GPUDL_STEM_KERNEL || d->stride < 1 || d->stride > GPUDL_STEM_STRIDE ||
        d->pad_top < 0 || d->pad_top >= GPUDL_STEM_KERNEL || d->pad_left < 0 || d->pad_left >= GPUDL_STEM_KERNEL ||
        d->h > MOST || d->w > MOST || d->p > MOST || d->q > MOST)
        return 0;
    return gpudl_lanes_act(&d->act);
}

size_t gpudl_stem_weights_size(const GpudlStem *d)
{
    return (size_t)(gpudl_lanes_vectors(d->k) * GPUDL_LANES) * (size_t)(1 + d->kernel * gpudl_stem_steps(d)) *
           sizeof(float);
}

/* The weight of channel k of y for a number in a row of its window, 0 beyond. */
static float weight(const GpudlStem *d, const float *w, int64_t k, int64_t row, int64_t i)
{
    const int64_t column = i / d->c, c = i % d->c;

    return k < d->k && column < d->kernel ? w[((k * d->c + c) * d->kernel + row) * d->kernel + column] : 0.f;
}

/* Of a step of a window's row, those of n channels of y from k on. */
static void pack_step(const GpudlStem *d, const float *w, int64_t row, int64_t step, int64_t k, int64_t n, void *packed)
{
    uint32_t *pairs = packed;
    float *single = packed;

    for (int64_t i = 0; i < n; i++)
        if (d->type == GPUDL_DTYPE_F32)
            single[i] = weight(d, w, k + i, row, step);
        else
            pairs[i] = gpudl_pairs_of(weight(d, w, k + i, row, 2 * step), weight(d, w, k + i, row, 2 * step + 1));
}

void gpudl_stem_pack(const GpudlStem *d, const float *w, const float *bias, void *packed)
{
    const int64_t vectors = gpudl_lanes_vectors(d->k), lanes = GPUDL_LANES;
    float *biases = packed, *to = biases + vectors * lanes;

    for (int64_t i = 0; i < vectors * lanes; i++)
        biases[i] = bias != NULL && i < d->k ? bias[i] : 0.f;
    for (int64_t first = 0, n; first < vectors; first += n) {
        n = gpudl_lanes_group(vectors, first);
        for (int64_t row = 0; row < d->kernel; row++)
            for (int64_t step = 0; step < gpudl_stem_steps(d); step++, to += n * lanes)
                pack_step(d, w, row, step, first * lanes, n * lanes, to);
    }
}

const GpudlStemKernels *gpudl_stem_kernels(GpudlSimd simd, GpudlDType type)
{
    return gpudl_stem_native(simd, type);
}

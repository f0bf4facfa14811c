/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "winograd.h"

#include <string.h>

#include "half.h"
#include "winograd_x86.h"

#define MOST (1 << 28)
#define MOST_CHANNELS 65536
#define MOST_TILES 64
#define PIXELS_BYTES (448 << 10) /* of scratch for transformed pixels, which are to stay in the second cache */

int gpudl_winograd_supported(const GpudlWinograd *d)
{
    if (d->type != GPUDL_DTYPE_BF16 || d->n < 1 || d->h < 1 || d->w < 1 || d->c < 1 || d->k < 1 || d->p < 1 || d->q < 1)
        return 0;
    if (d->x_pixel < d->c || d->x_row / d->w < d->x_pixel || d->x_frame / d->h < d->x_row || d->y_pixel < d->k ||
        d->y_row / d->q < d->y_pixel || d->y_frame / d->p < d->y_row)
        return 0;
    /* positions are counted in int32 */
    if (d->pad_top < -MOST || d->pad_top > MOST || d->pad_left < -MOST || d->pad_left > MOST || d->h > MOST ||
        d->w > MOST || d->p > MOST || d->q > MOST || d->c > MOST_CHANNELS)
        return 0;
    switch (d->act.kind) {
    case GPUDL_ACT_NONE:
    case GPUDL_ACT_RELU:
    case GPUDL_ACT_CLIP:
    case GPUDL_ACT_SILU:
    case GPUDL_ACT_HARD_SWISH:
        return 1;
    default:
        return 0;
    }
}

int64_t gpudl_winograd_tiles(const GpudlWinograd *d)
{
    const int64_t all = ((int64_t)d->p + 1) / 2 * (((int64_t)d->q + 1) / 2);
    int64_t most = PIXELS_BYTES / (GPUDL_WINOGRAD_POINTS * 2 * gpudl_winograd_channels(d)), blocks;

    most = most < 6 ? 6 : most > MOST_TILES ? MOST_TILES : most;
    blocks = (all + most - 1) / most;
    return (all + blocks - 1) / blocks;
}

size_t gpudl_winograd_weights_size(const GpudlWinograd *d)
{
    return (size_t)(gpudl_winograd_vectors(d) * GPUDL_WINOGRAD_LANES) *
           (sizeof(float) + (size_t)(GPUDL_WINOGRAD_POINTS * 2 * gpudl_winograd_pairs(d)) * sizeof(uint16_t));
}

size_t gpudl_winograd_scratch_size(const GpudlWinograd *d)
{
    const int64_t tiles = gpudl_winograd_tiles(d);

    return (size_t)GPUDL_WINOGRAD_POINTS * ((size_t)gpudl_winograd_point(d, tiles) * sizeof(uint16_t) +
                                            (size_t)gpudl_winograd_products(tiles) * sizeof(float));
}

/* G w G', G being [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1], and what belongs to its sixth. */
static void transform(const float w[9], float u[GPUDL_WINOGRAD_POINTS])
{
    float rows[4][3];

    for (int i = 0; i < 3; i++) {
        rows[0][i] = w[i];
        rows[1][i] = .5f * (w[i] + w[3 + i] + w[6 + i]);
        rows[2][i] = .5f * (w[i] - w[3 + i] + w[6 + i]);
        rows[3][i] = w[6 + i];
    }
    for (int i = 0; i < 4; i++) {
        u[4 * i] = rows[i][0];
        u[4 * i + 1] = .5f * (rows[i][0] + rows[i][1] + rows[i][2]);
        u[4 * i + 2] = .5f * (rows[i][0] - rows[i][1] + rows[i][2]);
        u[4 * i + 3] = rows[i][2];
    }
    u[GPUDL_WINOGRAD_SUM_LEFT] = u[GPUDL_WINOGRAD_SUM];
    u[GPUDL_WINOGRAD_WEIGHTS_LEFT] =
        u[GPUDL_WINOGRAD_SUM] - gpudl_bf16_to_f32(gpudl_f32_to_bf16(u[GPUDL_WINOGRAD_SUM]));
}

void gpudl_winograd_pack(const GpudlWinograd *d, const float *w, const float *bias, void *packed)
{
    const int64_t vectors = gpudl_winograd_vectors(d), pairs = gpudl_winograd_pairs(d), lanes = GPUDL_WINOGRAD_LANES;
    float *biases = packed, u[GPUDL_WINOGRAD_POINTS];
    uint16_t *to = (uint16_t *)(void *)(biases + vectors * lanes);

    memset(packed, 0, gpudl_winograd_weights_size(d));
    for (int64_t i = 0; bias != NULL && i < d->k; i++)
        biases[i] = bias[i];
    for (int64_t first = 0, n; first < vectors; first += n) {
        n = gpudl_winograd_group(vectors, first);
        for (int64_t i = 0; i < n * lanes && first * lanes + i < d->k; i++)
            for (int64_t c = 0; c < d->c; c++) {
                transform(w + ((first * lanes + i) * d->c + c) * 9, u);
                for (int64_t point = 0; point < GPUDL_WINOGRAD_POINTS; point++)
                    to[((point * pairs + c / 2) * n * lanes + i) * 2 + c % 2] = gpudl_f32_to_bf16(u[point]);
            }
        to += GPUDL_WINOGRAD_POINTS * pairs * n * lanes * 2;
    }
}

const GpudlWinogradKernels *gpudl_winograd_kernels(GpudlSimd simd)
{
    return gpudl_winograd_native(simd);
}

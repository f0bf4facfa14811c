/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "winograd.h"

#include "pairs.h"
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
    return gpudl_lanes_act(&d->act);
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
    return (size_t)(gpudl_lanes_vectors(d->k) * GPUDL_LANES) *
           (sizeof(float) + (size_t)(GPUDL_WINOGRAD_POINTS * 2 * gpudl_winograd_pairs(d)) * sizeof(uint16_t));
}

size_t gpudl_winograd_scratch_size(const GpudlWinograd *d)
{
    const int64_t tiles = gpudl_winograd_tiles(d);

    return (size_t)GPUDL_WINOGRAD_POINTS * ((size_t)gpudl_winograd_point(d, tiles) * sizeof(uint16_t) +
                                            (size_t)gpudl_winograd_products(tiles) * sizeof(float));
}

#define LANES GPUDL_LANES

typedef float Lanes[LANES];

/* Windows of channel c of so many channels of y, the others zeros. */
static void gather(const GpudlWinograd *d, const float *w, int64_t channels, int64_t c, Lanes taps[9])
{
    for (int64_t i = 0; i < LANES; i++)
        for (int64_t t = 0; t < 9; t++)
            taps[t][i] = i < channels && c < d->c ? w[(i * d->c + c) * 9 + t] : 0.f;
}

/* G w G', G being [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1], and what belongs to its sixth. */
static void transform(const Lanes taps[9], Lanes u[GPUDL_WINOGRAD_POINTS])
{
    Lanes rows[4][3];

    for (int t = 0; t < 3; t++)
        for (int i = 0; i < LANES; i++) {
            const float a = taps[t][i], b = taps[3 + t][i], c = taps[6 + t][i];

            rows[0][t][i] = a;
            rows[1][t][i] = .5f * (a + b + c);
            rows[2][t][i] = .5f * (a - b + c);
            rows[3][t][i] = c;
        }
    for (int t = 0; t < 4; t++)
        for (int i = 0; i < LANES; i++) {
            const float a = rows[t][0][i], b = rows[t][1][i], c = rows[t][2][i];

            u[4 * t][i] = a;
            u[4 * t + 1][i] = .5f * (a + b + c);
            u[4 * t + 2][i] = .5f * (a - b + c);
            u[4 * t + 3][i] = c;
        }
    for (int i = 0; i < LANES; i++) {
        const float sum = u[GPUDL_WINOGRAD_SUM][i];

        u[GPUDL_WINOGRAD_SUM_LEFT][i] = sum;
        u[GPUDL_WINOGRAD_WEIGHTS_LEFT][i] = sum - gpudl_pairs_float(gpudl_pairs_rounded(sum));
    }
}

/* A vector of channels of y; ways are in vectors of pairs. */
static void pack_vector(const GpudlWinograd *d, const float *w, int64_t channels, uint32_t *to, int64_t pair_way,
                        int64_t point_way)
{
    for (int64_t c = 0; c < d->c; c += 2, to += pair_way * LANES) {
        Lanes taps[2][9], u[2][GPUDL_WINOGRAD_POINTS];

        for (int j = 0; j < 2; j++) {
            gather(d, w, channels, c + j, taps[j]);
            transform((const Lanes *)taps[j], u[j]);
        }
        for (int point = 0; point < GPUDL_WINOGRAD_POINTS; point++)
            for (int i = 0; i < LANES; i++)
                to[point * point_way * LANES + i] = gpudl_pairs_of(u[0][point][i], u[1][point][i]);
    }
}

void gpudl_winograd_pack(const GpudlWinograd *d, const float *w, const float *bias, void *packed)
{
    const int64_t vectors = gpudl_lanes_vectors(d->k), pairs = gpudl_winograd_pairs(d);
    float *biases = packed;
    uint32_t *to = (uint32_t *)(void *)(biases + vectors * LANES);

    for (int64_t i = 0; i < vectors * LANES; i++)
        biases[i] = bias != NULL && i < d->k ? bias[i] : 0.f;
    for (int64_t first = 0, n; first < vectors; first += n) {
        n = gpudl_lanes_group(vectors, first);
        for (int64_t v = 0; v < n; v++) {
            const int64_t k = (first + v) * LANES, left = d->k - k;

            pack_vector(d, w + k * d->c * 9, left < LANES ? left : LANES, to + v * LANES, n, pairs * n);
        }
        to += GPUDL_WINOGRAD_POINTS * pairs * n * LANES;
    }
}

const GpudlWinogradKernels *gpudl_winograd_kernels(GpudlSimd simd)
{
    return gpudl_winograd_native(simd);
}

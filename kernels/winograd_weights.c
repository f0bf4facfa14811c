/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "winograd_weights.h"

#define LANES GPUDL_WINOGRAD_BLOCK
#define BLOCK (LANES * LANES)
#define TAPS 9
#define MOST_POINTS 6
#define MOST_CHANNELS 65536

int gpudl_winograd_weights_supported(const GpudlWinogradWeights *d)
{
    if ((d->points != 4 && d->points != 6) || d->k < 1 || d->c < 1 || d->k > MOST_CHANNELS || d->c > MOST_CHANNELS ||
        d->k % LANES != 0 || d->c % LANES != 0 || d->k_blocks < 1 || d->c_blocks < 1)
        return 0;
    return d->k / LANES % d->k_blocks == 0 && d->c / LANES % d->c_blocks == 0;
}

int64_t gpudl_winograd_weights_count(const GpudlWinogradWeights *d)
{
    return (int64_t)d->points * d->points * d->k * d->c;
}

/* G for so many points: a pair of points x and -x has rows s [1 / x^2, 1 / x, 1] and s [1 / x^2, -1 / x, 1]. */
typedef struct {
    float first;                             /* row of 0: [first, 0, 0]; that of infinity is [0, 0, 1] */
    int pairs;                               /* of points between these */
    float square[2], linear[2], constant[2]; /* of each pair */
} Rows;

static const Rows rows_of_4 = {1.f, 1, {.5f}, {.5f}, {.5f}};
/* a = 5/8 and b = 3/2: first = 1 / (a b)^2, s = -+1 / (2 (b^2 - a^2)) */
#define A 0.625
#define B 1.5
#define S (1 / (2 * (B * B - A * A)))
static const Rows rows_of_6 = {(float)(1 / (A * A * B * B)),
                               2,
                               {(float)(-S / (A * A)), (float)(S / (B * B))},
                               {(float)(-S / A), (float)(S / B)},
                               {(float)-S, (float)S}};

typedef float Block[BLOCK]; /* [c][k] */

/* Three taps, of a column or a row, become so many points, point_way blocks from one to the next. */
static void transform(const Rows *rows, const float *a, const float *b, const float *c, float *to, int64_t point_way)
{
    for (int i = 0; i < BLOCK; i++)
        to[i] = rows->first * a[i];
    for (int pair = 0; pair < rows->pairs; pair++) {
        const float square = rows->square[pair], linear = rows->linear[pair], constant = rows->constant[pair];
        float *plus = to + (2 * pair + 1) * point_way, *minus = plus + point_way;

        for (int i = 0; i < BLOCK; i++) {
            const float even = square * a[i] + constant * c[i], odd = linear * b[i];

            plus[i] = even + odd;
            minus[i] = even - odd;
        }
    }
    to += (2 * rows->pairs + 1) * point_way;
    for (int i = 0; i < BLOCK; i++)
        to[i] = c[i];
}

/* Windows of a block by taps: a line of w, all taps of 16 channels of x, is a column. */
static void gather(const float *w, int64_t k_way, Block taps[TAPS])
{
    for (int k = 0; k < LANES; k++)
        for (int c = 0; c < LANES; c++)
            for (int t = 0; t < TAPS; t++)
                taps[t][c * LANES + k] = w[k * k_way + c * TAPS + t];
}

void gpudl_winograd_weights(const GpudlWinogradWeights *d, const float *w, float *to)
{
    const Rows *rows = d->points == 4 ? &rows_of_4 : &rows_of_6;
    const int64_t k_way = (int64_t)d->c * TAPS, group = (int64_t)d->k_blocks * d->c_blocks * BLOCK;
    const int64_t point_way = d->c / (LANES * d->c_blocks) * group;
    Block taps[TAPS], half[MOST_POINTS * 3];

    for (int64_t k = 0; k < d->k / LANES; k++)
        for (int64_t c = 0; c < d->c / LANES; c++) {
            float *block = to + k / d->k_blocks * d->points * d->points * point_way + c / d->c_blocks * group +
                           (k % d->k_blocks * d->c_blocks + c % d->c_blocks) * BLOCK;

            gather(w + k * LANES * k_way + c * LANES * TAPS, k_way, taps);
            for (int t = 0; t < 3; t++) /* down the columns */
                transform(rows, taps[t], taps[3 + t], taps[6 + t], half[t], 3 * BLOCK);
            for (int p = 0; p < d->points; p++)
                transform(rows, half[3 * p], half[3 * p + 1], half[3 * p + 2], block + p * d->points * point_way,
                          point_way);
        }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * winograd.h by AVX512_BF16. Tiles of 2x2 results are taken some dozens at a time: their pixels are transformed, then
 * for each group of channels of y small products of matrices are made, a point after the other, whose results are
 * transformed back while they are in the second cache.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "winograd_x86.h"

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma")
#define SIMD_BF16 1
#include "simd_avx512.inc"

#include "simd_act.inc"

#define POINTS GPUDL_WINOGRAD_POINTS
#define VECTORS GPUDL_GROUP_VECTORS
#define MOST_ROWS 6 /* tiles whose products are made at once: with VECTORS and their weights, all registers */

/* ---- pixels ------------------------------------------------------------------------------------------------------ */

/* B' v B, B' being [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1]. */
INLINE void transform(Vector v[16])
{
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const Vector a = v[j], b = v[4 + j], c = v[8 + j], d = v[12 + j];

        v[j] = _mm512_sub_ps(a, c);
        v[4 + j] = add(b, c);
        v[8 + j] = _mm512_sub_ps(c, b);
        v[12 + j] = _mm512_sub_ps(b, d);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        const Vector a = v[i], b = v[i + 1], c = v[i + 2], d = v[i + 3];

        v[i] = _mm512_sub_ps(a, c);
        v[i + 1] = add(b, c);
        v[i + 2] = _mm512_sub_ps(c, b);
        v[i + 3] = _mm512_sub_ps(b, d);
    }
}

/* The 4x4 pixels that tile row, column sees; to: of its first point. Pixels outside of x are zeros. */
INLINE void tile_pixels(const GpudlWinograd *d, const uint16_t *x, int32_t row, int32_t column, int inside,
                        uint16_t *to, int64_t way)
{
    for (int64_t c = 0; c < d->c; c += LANES) {
        const Part part = part_of(d->c - c < LANES ? d->c - c : LANES);
        Vector v[16], left;

#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            const int32_t h = row + i / 4, w = column + i % 4;

            v[i] = inside || (h >= 0 && h < d->h && w >= 0 && w < d->w)
                       ? load_bf16(x + h * d->x_row + w * d->x_pixel + c, part)
                       : splat(0.f);
        }
        transform(v);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            store_bf16(to + i * way + c, v[i], ALL_LANES);
        left = _mm512_sub_ps(v[GPUDL_WINOGRAD_SUM], load_bf16(to + GPUDL_WINOGRAD_SUM * way + c, ALL_LANES));
        store_bf16(to + GPUDL_WINOGRAD_SUM_LEFT * way + c, left, ALL_LANES);
    }
}

static void transform_pixels(const GpudlWinograd *d, const uint16_t *x, int64_t first, int64_t tiles, uint16_t *to)
{
    const int64_t columns = ((int64_t)d->q + 1) / 2, channels = gpudl_winograd_channels(d),
                  way = gpudl_winograd_point(d, tiles);

    for (int64_t t = 0; t < tiles; t++) {
        const int32_t row = (int32_t)((first + t) / columns * 2) - d->pad_top,
                      column = (int32_t)((first + t) % columns * 2) - d->pad_left;

        if (row >= 0 && row + 4 <= d->h && column >= 0 && column + 4 <= d->w)
            tile_pixels(d, x, row, column, 1, to + t * channels, way);
        else
            tile_pixels(d, x, row, column, 0, to + t * channels, way);
    }
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* So many tiles by so many vectors. pixels: of the first tile, channels apart; products: VECTORS vectors apart. */
INLINE void products_of(const uint16_t *pixels, int64_t channels, const uint16_t *weights, int64_t pairs,
                        float *products, int rows, int vectors)
{
    Vector sums[MOST_ROWS][VECTORS];

#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sums[r][v] = splat(0.f);
#pragma GCC unroll 1
    for (int64_t i = 0; i < pairs; i++) {
        __m512bh w[VECTORS];

#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            w[v] = (__m512bh)_mm512_loadu_si512(weights + v * 2 * LANES);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            int32_t pair;
            __m512bh x;

            memcpy(&pair, pixels + r * channels + 2 * i, sizeof pair);
            x = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sums[r][v] = _mm512_dpbf16_ps(sums[r][v], w[v], x);
        }
        weights += vectors * 2 * LANES;
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            store_f32(products + (r * VECTORS + v) * LANES, sums[r][v], ALL_LANES);
}

typedef void ProductsFunc(const uint16_t *pixels, int64_t channels, const uint16_t *weights, int64_t pairs,
                          float *products);

#define PRODUCTS(rows, vectors)                                                                                        \
    static void products_##rows##_##vectors(const uint16_t *pixels, int64_t channels, const uint16_t *weights,         \
                                            int64_t pairs, float *products)                                            \
    {                                                                                                                  \
        products_of(pixels, channels, weights, pairs, products, rows, vectors);                                        \
    }
#define FOR_ROWS(F, vectors) F(1, vectors) F(2, vectors) F(3, vectors) F(4, vectors) F(5, vectors) F(6, vectors)
#define FOR_ALL(F) FOR_ROWS(F, 1) FOR_ROWS(F, 2) FOR_ROWS(F, 3) FOR_ROWS(F, 4)
FOR_ALL(PRODUCTS)

#define PRODUCTS_OF(rows, vectors) [rows - 1][vectors - 1] = products_##rows##_##vectors,
static ProductsFunc *const products_funcs[MOST_ROWS][VECTORS] = {FOR_ALL(PRODUCTS_OF)};

/* Of all points; weights: the group's. Rows are dealt out evenly. */
static void make_products(const GpudlWinograd *d, const uint16_t *pixels, int64_t tiles, const uint16_t *weights,
                          int64_t vectors, float *products)
{
    const int64_t channels = gpudl_winograd_channels(d), pairs = gpudl_winograd_pairs(d),
                  way = gpudl_winograd_point(d, tiles);

    for (int point = 0; point < POINTS; point++) {
        const uint16_t *from = pixels + (point == GPUDL_WINOGRAD_WEIGHTS_LEFT ? GPUDL_WINOGRAD_SUM : point) * way;

        for (int64_t t = 0, rows; t < tiles; t += rows) {
            const int64_t left = tiles - t, n = (left + MOST_ROWS - 1) / MOST_ROWS;

            rows = (left + n - 1) / n;
            products_funcs[rows - 1][vectors - 1](from + t * channels, channels, weights, pairs,
                                                  products + t * VECTORS * LANES);
        }
        weights += pairs * vectors * 2 * LANES;
        products += gpudl_winograd_products(tiles);
    }
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* A' m A of one vector, A' being [1 1 1 0; 0 1 -1 -1]. */
INLINE void transform_back(const float *products, int64_t way, Vector results[4])
{
    Vector rows[2][4];

#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const Vector a = load_f32(products + j * way, ALL_LANES), c = load_f32(products + (8 + j) * way, ALL_LANES),
                     e = load_f32(products + (12 + j) * way, ALL_LANES);
        Vector b = load_f32(products + (4 + j) * way, ALL_LANES);

        if (4 + j == GPUDL_WINOGRAD_SUM)
            b = add(b, add(load_f32(products + GPUDL_WINOGRAD_SUM_LEFT * way, ALL_LANES),
                           load_f32(products + GPUDL_WINOGRAD_WEIGHTS_LEFT * way, ALL_LANES)));
        rows[0][j] = add(add(a, b), c);
        rows[1][j] = _mm512_sub_ps(_mm512_sub_ps(b, c), e);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        results[2 * i] = add(add(rows[i][0], rows[i][1]), rows[i][2]);
        results[2 * i + 1] = _mm512_sub_ps(_mm512_sub_ps(rows[i][1], rows[i][2]), rows[i][3]);
    }
}

/* What one tile's results become; y: of its first pixel. */
INLINE void finish(const GpudlWinograd *d, const Act *act, Vector results[4], Vector bias, Part part, int rows,
                   int columns, uint16_t *y)
{
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        uint16_t *pixel = y + i / 2 * d->y_row + i % 2 * d->y_pixel;
        Vector v = add(results[i], bias);

        if (i / 2 >= rows || i % 2 >= columns)
            continue;
        if (d->onto)
            v = add(v, load_bf16(pixel, part));
        store_bf16(pixel, activate(act->kind, splat(act->low), splat(act->high), v, 1), part);
    }
}

/* Of the group's vectors, whose first channel is k. */
static void transform_products(const GpudlWinograd *d, const float *products, int64_t first, int64_t tiles,
                               const float *biases, int64_t k, int64_t vectors, uint16_t *y)
{
    const int64_t columns = ((int64_t)d->q + 1) / 2, way = gpudl_winograd_products(tiles);
    const Act act = act_of(&d->act);

    for (int64_t t = 0; t < tiles; t++) {
        const int64_t row = (first + t) / columns * 2, column = (first + t) % columns * 2;
        const int rows = d->p - row > 1 ? 2 : 1, here = d->q - column > 1 ? 2 : 1;
        uint16_t *to = y + row * d->y_row + column * d->y_pixel + k;

        for (int64_t v = 0; v < vectors; v++) {
            const int64_t left = d->k - k - v * LANES;
            Vector results[4];

            transform_back(products + (t * VECTORS + v) * LANES, way, results);
            finish(d, &act, results, load_f32(biases + k + v * LANES, ALL_LANES), part_of(left < LANES ? left : LANES),
                   rows, here, to + v * LANES);
        }
    }
}

static void run(const GpudlWinograd *d, const void *x, const void *packed, void *scratch, void *y)
{
    const int64_t all = ((int64_t)d->p + 1) / 2 * (((int64_t)d->q + 1) / 2), most = gpudl_winograd_tiles(d);
    const int64_t vectors = gpudl_lanes_vectors(d->k);
    const float *biases = packed;
    uint16_t *pixels = scratch;
    float *products = (float *)(void *)(pixels + POINTS * gpudl_winograd_point(d, most));

    for (int64_t n = 0; n < d->n; n++)
        for (int64_t first = 0; first < all; first += most) {
            const int64_t tiles = all - first < most ? all - first : most;
            const uint16_t *weights = (const uint16_t *)(const void *)(biases + vectors * LANES);

            transform_pixels(d, (const uint16_t *)x + n * d->x_frame, first, tiles, pixels);
            for (int64_t v = 0, group; v < vectors; v += group) {
                group = gpudl_lanes_group(vectors, v);
                make_products(d, pixels, tiles, weights, group, products);
                transform_products(d, products, first, tiles, biases, v * LANES, group, (uint16_t *)y + n * d->y_frame);
                weights += POINTS * gpudl_winograd_pairs(d) * group * 2 * LANES;
            }
        }
}

const GpudlWinogradKernels gpudl_winograd_avx512_bf16 = {"winograd:avx512_bf16", run};

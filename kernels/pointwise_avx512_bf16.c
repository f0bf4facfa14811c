/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pointwise.h by AVX512_BF16. Some dozens of pixels are taken at a time, which stay in the caches while all groups of
 * channels of y are made of them, a few pixels after the other in registers alone.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pointwise_x86.h"

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma")
#define SIMD_BF16 1
#include "simd_avx512.inc"

#include "simd_act.inc"

#define VECTORS GPUDL_POINTWISE_VECTORS
#define MOST_ROWS 6 /* pixels at once: with VECTORS and their weights, all registers */
#define MOST_PIXELS 96

/* Of one group of channels of y. Ways are in elements. */
typedef struct {
    const uint16_t *weights;
    const float *biases;
    int64_t x_way, y_way, c;
    int64_t z_way;
    Part last;      /* of the group's last vector */
    int adds, wide; /* z is added; y is float32, in whole vectors */
    Act act;
} Group;

/* half: the last vector has but its first half, which takes half the time where vectors go by halves. */
INLINE void add_pair(Vector sums[MOST_ROWS][VECTORS], const __m512bh w[VECTORS], int r, uint32_t pair, int vectors,
                     int half)
{
    const __m512i x = _mm512_set1_epi32((int32_t)pair);

#pragma GCC unroll 4
    for (int v = 0; v < vectors - half; v++)
        sums[r][v] = _mm512_dpbf16_ps(sums[r][v], w[v], (__m512bh)x);
    if (half) {
        const __m256i y = _mm512_castsi512_si256((__m512i)w[vectors - 1]);
        const __m256 sum = _mm512_castps512_ps256(sums[r][vectors - 1]);

        sums[r][vectors - 1] =
            _mm512_castps256_ps512(_mm256_dpbf16_ps(sum, (__m256bh)y, (__m256bh)_mm512_castsi512_si256(x)));
    }
}

INLINE void load_weights(const uint16_t *weights, __m512bh w[VECTORS], int vectors)
{
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        w[v] = (__m512bh)_mm512_loadu_si512(weights + v * 2 * LANES);
}

INLINE void finish_wide(const Group *g, Vector sums[MOST_ROWS][VECTORS], float *y, int rows, int vectors,
                        GpudlActKind act)
{
    const Vector low = splat(g->act.low), high = splat(g->act.high);

#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            store_f32(y + v * LANES, activate(act, low, high, sums[r][v], 1), ALL_LANES);
        y += g->y_way;
    }
}

INLINE void finish(const Group *g, Vector sums[MOST_ROWS][VECTORS], const uint16_t *z, uint16_t *y, int rows,
                   int vectors, GpudlActKind act)
{
    const Vector low = splat(g->act.low), high = splat(g->act.high);

#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            const Part part = v == vectors - 1 ? g->last : ALL_LANES;

            if (g->adds)
                sums[r][v] = add(sums[r][v], load_bf16(z + v * LANES, part));
            store_bf16(y + v * LANES, activate(act, low, high, sums[r][v], 1), part);
        }
        y += g->y_way;
        z += g->z_way;
    }
}

INLINE void finish_as(const Group *g, Vector sums[MOST_ROWS][VECTORS], const uint16_t *z, void *y, int rows,
                      int vectors, GpudlActKind act)
{
    if (g->wide)
        finish_wide(g, sums, y, rows, vectors, act);
    else
        finish(g, sums, z, y, rows, vectors, act);
}

/* So many pixels from x on by so many vectors. */
INLINE void pixels_of(const Group *g, const uint16_t *x, const uint16_t *z, void *y, int rows, int vectors, int half)
{
    const uint16_t *weights = g->weights;
    const int64_t x_way = g->x_way, c = g->c;
    Vector sums[MOST_ROWS][VECTORS];
    __m512bh w[VECTORS];
    int64_t i = 0;

#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        const Vector bias = load_f32(g->biases + v * LANES, ALL_LANES);

#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
            sums[r][v] = bias;
    }
#pragma GCC unroll 1
    for (; i + 1 < c; i += 2) {
        load_weights(weights, w, vectors);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            uint32_t pair;

            memcpy(&pair, x + r * x_way + i, sizeof pair);
            add_pair(sums, w, r, pair, vectors, half);
        }
        weights += vectors * 2 * LANES;
    }
    if (i < c) { /* beside the last channel nothing is read */
        load_weights(weights, w, vectors);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
            add_pair(sums, w, r, x[r * x_way + i], vectors, half);
    }
    if (g->act.kind == GPUDL_ACT_NONE)
        finish_as(g, sums, z, y, rows, vectors, GPUDL_ACT_NONE);
    else if (g->act.kind == GPUDL_ACT_SILU)
        finish_as(g, sums, z, y, rows, vectors, GPUDL_ACT_SILU);
    else
        finish_as(g, sums, z, y, rows, vectors, GPUDL_ACT_HARD_SWISH);
}

typedef void PixelsFunc(const Group *g, const uint16_t *x, const uint16_t *z, void *y);

#define PIXELS(rows, vectors)                                                                                          \
    static void pixels_##rows##_##vectors(const Group *g, const uint16_t *x, const uint16_t *z, void *y)               \
    {                                                                                                                  \
        pixels_of(g, x, z, y, rows, vectors, 0);                                                                       \
    }                                                                                                                  \
    static void pixels_##rows##_##vectors##_half(const Group *g, const uint16_t *x, const uint16_t *z, void *y)        \
    {                                                                                                                  \
        pixels_of(g, x, z, y, rows, vectors, 1);                                                                       \
    }
#define FOR_ROWS(F, vectors) F(1, vectors) F(2, vectors) F(3, vectors) F(4, vectors) F(5, vectors) F(6, vectors)
#define FOR_ALL(F) FOR_ROWS(F, 1) FOR_ROWS(F, 2) FOR_ROWS(F, 3) FOR_ROWS(F, 4)
FOR_ALL(PIXELS)

#define PIXELS_OF(rows, vectors)                                                                                       \
    [rows - 1][vectors - 1] = {pixels_##rows##_##vectors, pixels_##rows##_##vectors##_half},
/* [pixels][vectors][the last one is half] */
static PixelsFunc *const pixels_funcs[MOST_ROWS][VECTORS][2] = {FOR_ALL(PIXELS_OF)};

void gpudl_pointwise_group_avx512_bf16(const GpudlPointwise *d, int64_t first, const GpudlPointwisePixels *at,
                                       int64_t n)
{
    const int64_t vectors = gpudl_pointwise_vectors(d), group = gpudl_pointwise_group(vectors, first);
    const int64_t left = d->k - (first + group - 1) * LANES;
    const int64_t size = at->wide ? sizeof(float) : sizeof(uint16_t);
    const float *biases = at->packed;
    Group g = {.x_way = at->x_way, .y_way = at->y_way, .z_way = at->z_way, .c = d->c};

    g.weights =
        (const uint16_t *)(const void *)(biases + vectors * LANES) + gpudl_pointwise_pairs(d) * first * 2 * LANES;
    g.biases = biases + first * LANES;
    g.last = part_of(left < LANES ? left : LANES);
    g.adds = at->z != NULL;
    g.wide = at->wide;
    g.act = act_of(&d->act);
    for (int64_t i = 0, rows; i < n; i += rows) {
        const int64_t blocks = (n - i + MOST_ROWS - 1) / MOST_ROWS;

        rows = (n - i + blocks - 1) / blocks;
        pixels_funcs[rows - 1][group - 1][left <= LANES / 2](
            &g, at->x + i * g.x_way, at->z != NULL ? at->z + i * g.z_way : NULL, (char *)at->y + i * g.y_way * size);
    }
}

void gpudl_pointwise_pixels_avx512_bf16(const GpudlPointwise *d, const GpudlPointwisePixels *at, int64_t n)
{
    const int64_t vectors = gpudl_pointwise_vectors(d);

    for (int64_t i = 0, pixels; i < n; i += pixels) {
        const int64_t blocks = (n - i + MOST_PIXELS - 1) / MOST_PIXELS;

        pixels = (n - i + blocks - 1) / blocks;
        for (int64_t v = 0; v < vectors; v += gpudl_pointwise_group(vectors, v)) {
            GpudlPointwisePixels here = *at;

            here.x += i * at->x_way;
            here.y = (uint16_t *)at->y + i * at->y_way + v * LANES;
            if (at->z != NULL)
                here.z += i * at->z_way + v * LANES;
            gpudl_pointwise_group_avx512_bf16(d, v, &here, pixels);
        }
    }
}

/* In blocks as even as can be. */
static void run_row(const GpudlPointwise *d, const uint16_t *x, const void *packed, uint16_t *y, int64_t n)
{
    const GpudlPointwisePixels at = {.packed = packed,
                                     .x = x,
                                     .z = d->onto ? y : NULL,
                                     .y = y,
                                     .x_way = d->x_pixel * d->stride,
                                     .z_way = d->y_pixel,
                                     .y_way = d->y_pixel};

    gpudl_pointwise_pixels_avx512_bf16(d, &at, n);
}

static void run(const GpudlPointwise *d, const void *x, const void *packed, void *y)
{
    const int one_row =
        d->stride == 1 && d->w == d->q && d->x_row == d->w * d->x_pixel && d->y_row == d->q * d->y_pixel;

    for (int64_t n = 0; n < d->n; n++) {
        const uint16_t *from = (const uint16_t *)x + n * d->x_frame;
        uint16_t *to = (uint16_t *)y + n * d->y_frame;

        if (one_row)
            run_row(d, from, packed, to, (int64_t)d->p * d->q);
        else
            for (int64_t p = 0; p < d->p; p++)
                run_row(d, from + p * d->stride * d->x_row, packed, to + p * d->y_row, d->q);
    }
}

const GpudlPointwiseKernels gpudl_pointwise_avx512_bf16 = {"pointwise:avx512_bf16", run};

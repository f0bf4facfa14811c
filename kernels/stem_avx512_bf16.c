/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stem.h by AVX512_BF16. A row of a window is a run of neighbours, whichever its channels are: sums of some pixels of y
 * go through it by pairs, in registers alone. Where windows hang over x they are copied, with zeros around.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "stem_x86.h"

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma")
#define SIMD_BF16 1
#include "simd_avx512.inc"

#include "simd_act.inc"

#define VECTORS GPUDL_STEM_VECTORS
#define MOST_PIXELS 6 /* of y at once: with VECTORS and their weights, all registers */
#define STRIP_ELEMENTS (((MOST_PIXELS - 1) * GPUDL_STEM_STRIDE + GPUDL_STEM_KERNEL) * GPUDL_STEM_CHANNELS)

/* Of one group of channels of y and some rows of windows. Ways are in elements. */
typedef struct {
    const uint16_t *x, *weights;
    const float *biases;
    uint16_t *y;
    int64_t x_row, x_pixel, y_pixel, rows, numbers; /* numbers: of a row of a window */
    Part last;                                      /* of the group's last vector */
    Act act;
} Piece;

INLINE void add_pair(Vector sums[MOST_PIXELS][VECTORS], const uint16_t *weights, const uint16_t *x, int64_t x_pixel,
                     int pixels, int vectors, int single)
{
    __m512bh w[VECTORS];

#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        w[v] = (__m512bh)_mm512_loadu_si512(weights + v * 2 * LANES);
#pragma GCC unroll 6
    for (int i = 0; i < pixels; i++) {
        uint32_t pair;
        __m512bh both;

        if (single) /* beside the last number nothing is read */
            pair = x[i * x_pixel];
        else
            memcpy(&pair, x + i * x_pixel, sizeof pair);
        both = (__m512bh)_mm512_set1_epi32((int32_t)pair);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sums[i][v] = _mm512_dpbf16_ps(sums[i][v], w[v], both);
    }
}

INLINE void piece(const Piece *g, int pixels, int vectors, GpudlActKind act)
{
    const int64_t x_pixel = g->x_pixel, numbers = g->numbers;
    const Vector low = splat(g->act.low), high = splat(g->act.high);
    const uint16_t *x = g->x, *weights = g->weights;
    Vector sums[MOST_PIXELS][VECTORS];
    uint16_t *y = g->y;

#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        const Vector bias = load_f32(g->biases + v * LANES, ALL_LANES);

#pragma GCC unroll 6
        for (int i = 0; i < pixels; i++)
            sums[i][v] = bias;
    }
#pragma GCC unroll 1
    for (int64_t row = 0; row < g->rows; row++) {
        int64_t at = 0;

#pragma GCC unroll 1
        for (; at + 1 < numbers; at += 2, weights += vectors * 2 * LANES)
            add_pair(sums, weights, x + at, x_pixel, pixels, vectors, 0);
        if (at < numbers) {
            add_pair(sums, weights, x + at, x_pixel, pixels, vectors, 1);
            weights += vectors * 2 * LANES;
        }
        x += g->x_row;
    }
#pragma GCC unroll 6
    for (int i = 0; i < pixels; i++) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            store_bf16(y + v * LANES, activate(act, low, high, sums[i][v], 1), v == vectors - 1 ? g->last : ALL_LANES);
        y += g->y_pixel;
    }
}

typedef void PieceFunc(const Piece *g);

#define PIECES(pixels, vectors)                                                                                        \
    static void piece_##pixels##_##vectors(const Piece *g)                                                             \
    {                                                                                                                  \
        if (g->act.kind == GPUDL_ACT_NONE)                                                                             \
            piece(g, pixels, vectors, GPUDL_ACT_NONE);                                                                 \
        else if (g->act.kind == GPUDL_ACT_SILU)                                                                        \
            piece(g, pixels, vectors, GPUDL_ACT_SILU);                                                                 \
        else                                                                                                           \
            piece(g, pixels, vectors, GPUDL_ACT_HARD_SWISH);                                                           \
    }
#define FOR_PIXELS(F, vectors) F(1, vectors) F(2, vectors) F(3, vectors) F(4, vectors) F(5, vectors) F(6, vectors)
#define FOR_ALL(F) FOR_PIXELS(F, 1) FOR_PIXELS(F, 2) FOR_PIXELS(F, 3) FOR_PIXELS(F, 4)
FOR_ALL(PIECES)

#define PIECE_OF(pixels, vectors) [pixels - 1][vectors - 1] = piece_##pixels##_##vectors,
static PieceFunc *const piece_funcs[MOST_PIXELS][VECTORS] = {FOR_ALL(PIECE_OF)};

/* All groups of channels of some pixels, whose windows' seen rows g has, from the row first of the window on. */
static void run_groups(const GpudlStem *d, Piece *g, const void *packed, int64_t first, int64_t pixels)
{
    const int64_t vectors = gpudl_stem_vectors(d), pairs = gpudl_stem_pairs(d);
    const float *biases = packed;
    const uint16_t *weights = (const uint16_t *)(const void *)(biases + vectors * LANES);

    for (int64_t v = 0, group; v < vectors; v += group) {
        int64_t left;

        group = gpudl_stem_group(vectors, v);
        left = d->k - (v + group - 1) * LANES;
        g->biases = biases + v * LANES;
        g->weights = weights + first * pairs * group * 2 * LANES;
        g->last = part_of(left < LANES ? left : LANES);
        piece_funcs[pixels - 1][group - 1](g);
        g->y += group * LANES;
        weights += d->kernel * pairs * group * 2 * LANES;
    }
}

/* The windows of so many pixels from column on (of x, perhaps before it), the rest zeros. */
static void copy_strip(const GpudlStem *d, const uint16_t *x, int64_t rows, int64_t column, int64_t columns,
                       uint16_t *strip)
{
    const int64_t begin = column > 0 ? column : 0, end = column + columns < d->w ? column + columns : d->w;

    memset(strip, 0, (size_t)(rows * columns * d->c) * sizeof *strip);
    for (int64_t r = 0; r < rows && begin < end; r++)
        memcpy(strip + (r * columns + begin - column) * d->c, x + r * d->x_row + begin * d->c,
               (size_t)((end - begin) * d->c) * sizeof *strip);
}

/* Pixels q .. end of row p. */
static void run_pixels(const GpudlStem *d, const uint16_t *x, const void *packed, int64_t p, int64_t q, int64_t end,
                       uint16_t *y)
{
    const int64_t top = p * d->stride - d->pad_top, first = top < 0 ? -top : 0;
    const int64_t bottom = top + d->kernel < d->h ? top + d->kernel : d->h, rows = bottom - top - first;
    uint16_t strip[GPUDL_STEM_KERNEL * STRIP_ELEMENTS];
    Piece g = {.y_pixel = d->y_pixel,
               .x_pixel = (int64_t)d->stride * d->c,
               .numbers = (int64_t)d->kernel * d->c,
               .rows = rows > 0 ? rows : 0};

    g.act = act_of(&d->act);
    for (int64_t n; q < end; q += n) {
        const int64_t blocks = (end - q + MOST_PIXELS - 1) / MOST_PIXELS, column = q * d->stride - d->pad_left;
        int64_t columns;

        n = (end - q + blocks - 1) / blocks;
        columns = (n - 1) * d->stride + d->kernel;
        if (g.rows == 0) {
            g.x = strip;
        } else if (column >= 0 && column + columns <= d->w) {
            g.x = x + (top + first) * d->x_row + column * d->c;
            g.x_row = d->x_row;
        } else {
            copy_strip(d, x + (top + first) * d->x_row, rows, column, columns, strip);
            g.x = strip;
            g.x_row = columns * d->c;
        }
        g.y = y + p * d->y_row + q * d->y_pixel;
        run_groups(d, &g, packed, first, n);
    }
}

static int64_t between(int64_t low, int64_t high, int64_t v)
{
    return v < low ? low : v > high ? high : v;
}

static void run(const GpudlStem *d, const void *x, const void *packed, void *y)
{
    /* the first pixel whose window begins in x, the first after it whose window hangs over its end */
    const int64_t begin = between(0, d->q, (d->pad_left + d->stride - 1) / d->stride);
    const int64_t room = (int64_t)d->w + d->pad_left - d->kernel;
    const int64_t end = between(begin, d->q, room < 0 ? 0 : room / d->stride + 1);

    for (int64_t n = 0; n < d->n; n++)
        for (int64_t p = 0; p < d->p; p++) {
            const uint16_t *from = (const uint16_t *)x + n * d->x_frame;
            uint16_t *to = (uint16_t *)y + n * d->y_frame;

            run_pixels(d, from, packed, p, 0, begin, to);
            run_pixels(d, from, packed, p, begin, end, to);
            run_pixels(d, from, packed, p, end, d->q, to);
        }
}

const GpudlStemKernels gpudl_stem_avx512_bf16 = {"stem:avx512_bf16", run};

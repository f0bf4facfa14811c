/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inverted.h by AVX512_BF16: strips, of the pieces that pointwise_avx512_bf16.c and depthwise_avx512_bf16.c have. */
#include <stddef.h>
#include <stdint.h>

#include "depthwise_x86.h"
#include "inverted_x86.h"
#include "pointwise_x86.h"

typedef struct {
    const GpudlInverted *d;
    GpudlInvertedCut cut;
    const char *packed;
    const uint16_t *x;
    uint16_t *y;
    float *rings;
    uint16_t *filtered;
} Frame;

static int32_t at_most(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* Of the group of hidden channels that begins with vector first: rows of x from..to, into its ring. */
static void expand(const Frame *f, float *ring, int64_t first, int64_t lanes, int32_t from, int32_t to)
{
    const GpudlInverted *d = f->d;
    const int one_row = d->x_row == d->w * d->x_pixel;
    GpudlPointwisePixels at = {.packed = f->packed + f->cut.weights[0], .x_way = d->x_pixel, .y_way = lanes, .wide = 1};

    for (int32_t row = from, rows; row < to; row += rows) {
        const int64_t place = row % f->cut.ring;

        rows = one_row ? at_most(to - row, f->cut.ring - (int32_t)place) : 1;
        at.x = f->x + row * d->x_row;
        at.y = ring + place * d->w * lanes;
        gpudl_pointwise_group_avx512_bf16(&f->cut.expand, first, &at, (int64_t)rows * d->w);
    }
}

/* n rows of y from p on, of lanes channels from vector first on; x's rows are in ring, NULL: x itself. */
static void filter(const Frame *f, const float *ring, int64_t first, int64_t lanes, int32_t p, int32_t n)
{
    const GpudlInverted *d = f->d;
    const int64_t taps = d->kernel * d->kernel;
    GpudlDepthwise depthwise = f->cut.depthwise;
    const void *x[GPUDL_INVERTED_X_ROWS];

    for (int32_t i = 0; i < (n - 1) * d->stride + d->kernel; i++) {
        const int32_t row = p * d->stride + i - d->pad_top;

        if (row < 0 || row >= d->h)
            x[i] = NULL;
        else if (ring != NULL)
            x[i] = ring + row % f->cut.ring * (int64_t)d->w * lanes;
        else
            x[i] = f->x + row * d->x_row;
    }
    depthwise.c = ring != NULL ? (int32_t)lanes : d->hidden;
    depthwise.x_pixel = ring != NULL ? lanes : d->x_pixel;
    depthwise.y_pixel = f->cut.way;
    depthwise.y_row = d->q * f->cut.way;
    gpudl_depthwise_rows_avx512_bf16(&depthwise, ring != NULL ? GPUDL_DEPTHWISE_NARROWS : GPUDL_DEPTHWISE_BF16, n, x,
                                     (const float *)(const void *)(f->packed + f->cut.weights[1]) +
                                         first * (1 + taps) * GPUDL_DEPTHWISE_BLOCK,
                                     f->filtered + first * GPUDL_POINTWISE_LANES);
}

static void project(const Frame *f, int32_t p, int32_t n)
{
    const GpudlInverted *d = f->d;
    const int one_row = d->y_row == d->q * d->y_pixel && (!d->shortcut || d->x_row == d->w * d->x_pixel);
    GpudlPointwisePixels at = {
        .packed = f->packed + f->cut.weights[2], .x_way = f->cut.way, .z_way = d->x_pixel, .y_way = d->y_pixel};

    for (int32_t row = 0; row < n; row += one_row ? n : 1) {
        at.x = f->filtered + (int64_t)row * d->q * f->cut.way;
        at.z = d->shortcut ? f->x + (p + row) * d->x_row : NULL;
        at.y = f->y + (p + row) * d->y_row;
        gpudl_pointwise_pixels_avx512_bf16(&f->cut.project, &at, (int64_t)(one_row ? n : 1) * d->q);
    }
}

/* Strips in their order: what is expanded once stays for the next one. */
static void run_frame(const Frame *f)
{
    const GpudlInverted *d = f->d;
    const int64_t vectors = f->cut.lanes / GPUDL_POINTWISE_LANES;
    int32_t next = 0;

    for (int32_t p = 0, n; p < d->p; p += n) {
        int32_t end;

        n = at_most(d->p - p, f->cut.rows);
        end = at_most((p + n - 1) * d->stride + d->kernel - d->pad_top, d->h);
        for (int64_t v = 0, group; v < vectors && d->expands; v += group) {
            const int64_t lanes = (group = gpudl_pointwise_group(vectors, v)) * GPUDL_POINTWISE_LANES;
            float *ring = f->rings;

            if (f->cut.rows < d->p)
                ring += v * GPUDL_POINTWISE_LANES * f->cut.ring * d->w;
            expand(f, ring, v, lanes, next, end);
            filter(f, ring, v, lanes, p, n);
        }
        if (!d->expands)
            filter(f, NULL, 0, 0, p, n);
        project(f, p, n);
        next = end > next ? end : next;
    }
}

static void run(const GpudlInverted *d, const void *x, const void *packed, void *scratch, void *y)
{
    Frame f = {.d = d, .packed = packed, .rings = scratch};

    gpudl_inverted_cut(d, &f.cut);
    f.filtered = (uint16_t *)(void *)((char *)scratch + f.cut.filtered);
    for (int32_t n = 0; n < d->n; n++) {
        f.x = (const uint16_t *)x + n * d->x_frame;
        f.y = (uint16_t *)y + n * d->y_frame;
        run_frame(&f);
    }
}

const GpudlInvertedKernels gpudl_inverted_avx512_bf16 = {"inverted:avx512_bf16", run};

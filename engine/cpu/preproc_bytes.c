/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "preproc_bytes.h"

#include <stddef.h>
#include <stdlib.h>

/* One axis: destination sample i is made of count[i] samples from first[i] on. */
typedef struct {
    int32_t n, taps;
    int32_t *first, *count;
    int32_t *weights; /* [n][taps] */
} Windows;

struct CpuPreprocBytes {
    const GpudlPixelLayout *layout;
    Windows across, down;
    int32_t begin, end; /* rows of the frame that are needed */
    uint8_t *between;   /* [component][end - begin][across.n] */
    int32_t *sums;      /* of one row */
};

static int make_windows(const GpudlAxis *axis, Windows *windows)
{
    double *weights;

    windows->n = axis->n;
    windows->taps = gpudl_axis_max_taps(axis);
    weights = calloc((size_t)windows->taps, sizeof(double));
    windows->first = calloc((size_t)axis->n, sizeof(int32_t));
    windows->count = calloc((size_t)axis->n, sizeof(int32_t));
    windows->weights = calloc((size_t)axis->n * (size_t)windows->taps, sizeof(int32_t));
    if (weights == NULL || windows->first == NULL || windows->count == NULL || windows->weights == NULL) {
        free(weights);
        return -1;
    }
    for (int32_t i = 0; i < axis->n; i++) {
        windows->count[i] = gpudl_axis_taps(axis, i, &windows->first[i], weights);
        for (int32_t k = 0; k < windows->count[i]; k++)
            windows->weights[(size_t)i * windows->taps + k] = gpudl_bytes_weight(weights[k]);
    }
    free(weights);
    return 0;
}

CpuPreprocBytes *cpu_preproc_bytes_new(const GpudlFrame *frame, const GpudlPreproc *pp,
                                       const GpudlPreprocGeometry *geometry)
{
    CpuPreprocBytes *self = calloc(1, sizeof *self);
    GpudlAxis axis;

    if (self == NULL)
        return NULL;
    self->layout = gpudl_pixel_layout(frame->format);
    gpudl_preproc_axis(frame, pp, geometry, &self->layout->components[0], 0, &axis);
    if (make_windows(&axis, &self->across) != 0)
        goto fail;
    gpudl_preproc_axis(frame, pp, geometry, &self->layout->components[0], 1, &axis);
    if (make_windows(&axis, &self->down) != 0)
        goto fail;
    self->begin = axis.hi;
    self->end = axis.lo;
    for (int32_t i = 0; i < axis.n; i++) {
        const int32_t end = self->down.first[i] + self->down.count[i];

        self->begin = self->down.first[i] < self->begin ? self->down.first[i] : self->begin;
        self->end = end > self->end ? end : self->end;
    }
    self->between =
        calloc((size_t)self->layout->n_components * (size_t)(self->end - self->begin), (size_t)self->across.n);
    self->sums = calloc((size_t)self->across.n, sizeof(int32_t));
    if (self->between == NULL || self->sums == NULL)
        goto fail;
    return self;
fail:
    cpu_preproc_bytes_free(self);
    return NULL;
}

static void clear_windows(Windows *windows)
{
    free(windows->first);
    free(windows->count);
    free(windows->weights);
}

void cpu_preproc_bytes_free(CpuPreprocBytes *self)
{
    if (self == NULL)
        return;
    clear_windows(&self->across);
    clear_windows(&self->down);
    free(self->between);
    free(self->sums);
    free(self);
}

/* The three components of packed pixels at once, step bytes from one pixel to the next. */
static void pixels_across(const Windows *w, const uint8_t *const from[3], int32_t step, uint8_t *const to[3])
{
    for (int32_t x = 0; x < w->n; x++) {
        const int32_t *weights = w->weights + (size_t)x * w->taps, count = w->count[x];
        const ptrdiff_t at = (ptrdiff_t)w->first[x] * step;
        const uint8_t *a = from[0] + at, *b = from[1] + at, *c = from[2] + at;
        int32_t sum_a = 0, sum_b = 0, sum_c = 0;

        for (int32_t k = 0; k < count; k++) {
            sum_a += weights[k] * a[(ptrdiff_t)k * step];
            sum_b += weights[k] * b[(ptrdiff_t)k * step];
            sum_c += weights[k] * c[(ptrdiff_t)k * step];
        }
        to[0][x] = gpudl_bytes_round(sum_a);
        to[1][x] = gpudl_bytes_round(sum_b);
        to[2][x] = gpudl_bytes_round(sum_c);
    }
}

static void samples_across(const Windows *w, const uint8_t *from, uint8_t *to)
{
    for (int32_t x = 0; x < w->n; x++) {
        const int32_t *weights = w->weights + (size_t)x * w->taps, count = w->count[x];
        const uint8_t *at = from + w->first[x];
        int32_t sum = 0;

        for (int32_t k = 0; k < count; k++)
            sum += weights[k] * at[k];
        to[x] = gpudl_bytes_round(sum);
    }
}

void cpu_preproc_bytes_across(CpuPreprocBytes *self, const GpudlFrame *frame)
{
    const GpudlComponentLayout *components = self->layout->components;
    const int32_t n = self->layout->n_components;
    const size_t plane = (size_t)(self->end - self->begin) * (size_t)self->across.n;

    for (int32_t y = self->begin; y < self->end; y++) {
        const uint8_t *from[3];
        uint8_t *to[3];

        for (int32_t k = 0; k < n; k++) {
            from[k] = (const uint8_t *)frame->planes[components[k].plane] + components[k].offset +
                      (ptrdiff_t)y * frame->strides[components[k].plane];
            to[k] = self->between + (size_t)k * plane + (size_t)(y - self->begin) * (size_t)self->across.n;
        }
        if (components[0].step > 1) /* packed pixels: there is no format of one component with more than a byte of it */
            pixels_across(&self->across, from, components[0].step, to);
        else
            for (int32_t k = 0; k < n; k++)
                samples_across(&self->across, from[k], to[k]);
    }
}

void cpu_preproc_bytes_row(const CpuPreprocBytes *self, int32_t y, float *const out[3])
{
    const int32_t n = self->across.n, count = self->down.count[y];
    const int32_t *weights = self->down.weights + (size_t)y * self->down.taps;
    const size_t plane = (size_t)(self->end - self->begin) * (size_t)n;

    for (int32_t c = 0; c < self->layout->n_components; c++) {
        const uint8_t *from =
            self->between + (size_t)c * plane + (size_t)(self->down.first[y] - self->begin) * (size_t)n;
        int32_t *sums = self->sums;

        for (int32_t x = 0; x < n; x++)
            sums[x] = 0;
        for (int32_t k = 0; k < count; k++, from += n)
            for (int32_t x = 0; x < n; x++)
                sums[x] += weights[k] * from[x];
        for (int32_t x = 0; x < n; x++)
            out[c][x] = gpudl_bytes_round(sums[x]);
    }
}

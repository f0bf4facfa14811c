/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "preproc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/half.h"
#include "kernels/preproc_parts.h"
#include "kernels/triples.h"
#include "preproc_bytes.h"
#include "preproc_kernels.h"

#define N_CACHED 8

/* Resampling of one plane's rows; what their samples, of one byte or two, mean does not matter here. */
typedef struct {
    int32_t plane;
    int32_t begin, n;  /* samples of the row that are needed */
    int32_t n_weights; /* room per destination row, even */
    int32_t *first, *count;
    int16_t *weights; /* fixed point: weight / gain */
    float *gains;
    float *row; /* the resampled row, n values and slack that stays finite */
} RowPass;

/* Resampling of one component's columns on a resampled row. */
typedef struct {
    const RowPass *rows;
    int32_t k;
    int32_t *first; /* in floats of the row */
    float *weights; /* k per column, those of neighbouring components 0 */
    float *out;     /* one destination row */
} ColumnPass;

/* All that decides the tables. Compared as bytes, so it is filled after zeroing. */
typedef struct {
    int32_t format, width, height, matrix, range, chroma_site, par_n, par_d, crop[4];
    GpudlPreproc pp;
} Key;

typedef struct {
    Key key;
    uint64_t used; /* tick of the last use, 0: empty */
    const GpudlPixelLayout *layout;
    GpudlPreprocGeometry geometry;
    CpuPreprocColor color;
    float pad[3];
    int32_t n_rows, n_columns;
    RowPass rows[3];
    ColumnPass columns[3];
    CpuPreprocBytes *bytes; /* of bicubic-bytes, in place of rows and columns' weights */
    float *triple;          /* three rows of the destination, before they are interleaved */
} Tables;

struct CpuPreproc {
    const CpuPreprocKernels *kernels;
    const GpudlTriplesKernels *triples;
    uint64_t tick;
    Tables cache[N_CACHED];
};

/* ---- instruction sets -------------------------------------------------------------------------------------------- */

static const CpuPreprocKernels *find_kernels(CpuPreprocIsa isa)
{
    return isa == CPU_PREPROC_GENERIC ? &cpu_preproc_generic : cpu_preproc_native(isa);
}

CpuPreprocIsa cpu_preproc_best(void)
{
    int isa = CPU_PREPROC_N_ISAS - 1;

    while (find_kernels((CpuPreprocIsa)isa) == NULL)
        isa--;
    return (CpuPreprocIsa)isa;
}

const char *cpu_preproc_isa_name(CpuPreprocIsa isa)
{
    static const char *const names[CPU_PREPROC_N_ISAS] = {"generic", "avx2", "avx512"};

    return names[isa];
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static void *aligned_zeroed(size_t n, size_t size)
{
    size_t bytes = (n * size + 63) / 64 * 64;
    void *block = aligned_alloc(64, bytes != 0 ? bytes : 64);

    if (block != NULL)
        memset(block, 0, bytes);
    return block;
}

static void clear_tables(Tables *tables)
{
    for (int i = 0; i < 3; i++) {
        free(tables->rows[i].first);
        free(tables->rows[i].count);
        free(tables->rows[i].weights);
        free(tables->rows[i].gains);
        free(tables->rows[i].row);
        free(tables->columns[i].first);
        free(tables->columns[i].weights);
        free(tables->columns[i].out);
    }
    cpu_preproc_bytes_free(tables->bytes);
    free(tables->triple);
    memset(tables, 0, sizeof *tables);
}

/* Bits behind the point that a 32-bit sum of the largest samples allows: bicubic weights of both signs sum to 1.3. */
static int most_bits(const GpudlPixelLayout *layout)
{
    return 30 - layout->depth;
}

/* Fixed-point weights with as many bits as int16 and most_bits() allow. Each is rounded so that the running sum stays
 * exact: a flat picture keeps its value whatever the number of taps. */
static float quantise(const double *weights, int32_t count, int most, int16_t *out)
{
    double largest = 0, scale, sum = 0;
    long before = 0;
    int bits;

    for (int32_t k = 0; k < count; k++)
        largest = fmax(largest, fabs(weights[k]));
    bits = (int)fmin(floor(log2(32766.0 / largest)), most);
    scale = ldexp(1.0, bits);
    for (int32_t k = 0; k < count; k++) {
        long now;

        sum += weights[k];
        now = lround(sum * scale);
        out[k] = (int16_t)(now - before);
        before = now;
    }
    return (float)(1.0 / scale);
}

/* first and last + 1 sample that any destination sample of the axis reads */
static int axis_span(const GpudlAxis *axis, int32_t *begin, int32_t *end)
{
    double *weights = calloc((size_t)gpudl_axis_max_taps(axis), sizeof(double));

    if (weights == NULL)
        return -1;
    *begin = INT32_MAX;
    *end = 0;
    for (int32_t i = 0; i < axis->n; i++) {
        int32_t first, count = gpudl_axis_taps(axis, i, &first, weights);

        *begin = first < *begin ? first : *begin;
        *end = first + count > *end ? first + count : *end;
    }
    free(weights);
    return 0;
}

static int make_row_pass(const GpudlAxis *axis, int bits, RowPass *pass)
{
    int32_t taps = gpudl_axis_max_taps(axis);
    double *weights = calloc((size_t)taps, sizeof(double));

    pass->n_weights = (taps + 1) / 2 * 2;
    pass->first = calloc((size_t)axis->n, sizeof(int32_t));
    pass->count = calloc((size_t)axis->n, sizeof(int32_t));
    pass->gains = calloc((size_t)axis->n, sizeof(float));
    pass->weights = calloc((size_t)axis->n * pass->n_weights, sizeof(int16_t));
    if (weights == NULL || pass->first == NULL || pass->count == NULL || pass->gains == NULL || pass->weights == NULL) {
        free(weights);
        return -1;
    }
    for (int32_t i = 0; i < axis->n; i++) {
        pass->count[i] = gpudl_axis_taps(axis, i, &pass->first[i], weights);
        pass->gains[i] = quantise(weights, pass->count[i], bits, pass->weights + (size_t)i * pass->n_weights);
    }
    free(weights);
    return 0;
}

static int make_column_pass(const GpudlAxis *axis, int32_t step, int32_t offset, ColumnPass *pass)
{
    int32_t taps = gpudl_axis_max_taps(axis);
    int32_t padded = (axis->n + CPU_PREPROC_LANES - 1) / CPU_PREPROC_LANES * CPU_PREPROC_LANES;
    double *weights = calloc((size_t)taps, sizeof(double));

    pass->k = ((taps - 1) * step + CPU_PREPROC_LANES) / CPU_PREPROC_LANES * CPU_PREPROC_LANES;
    pass->first = calloc((size_t)padded, sizeof(int32_t));
    pass->weights = aligned_zeroed((size_t)padded * pass->k, sizeof(float));
    pass->out = aligned_zeroed((size_t)padded + CPU_PREPROC_SLACK, sizeof(float));
    if (weights == NULL || pass->first == NULL || pass->weights == NULL || pass->out == NULL) {
        free(weights);
        return -1;
    }
    for (int32_t i = 0; i < axis->n; i++) {
        int32_t first, count = gpudl_axis_taps(axis, i, &first, weights);

        pass->first[i] = first * step + offset - pass->rows->begin;
        for (int32_t k = 0; k < count; k++)
            pass->weights[(size_t)i * pass->k + (size_t)k * step] = (float)weights[k];
    }
    free(weights);
    return 0;
}

/* Components that no channel of the network depends on are left out: chroma of a grey network. */
static int component_matters(const GpudlColorTransform *transform, int channels, int k)
{
    for (int c = 0; c < channels; c++)
        if (transform->matrix[c][k] != 0)
            return 1;
    return 0;
}

static void make_color(const GpudlColorTransform *transform, const GpudlPreproc *pp, Tables *tables)
{
    for (int c = 0; c < 3; c++) {
        for (int k = 0; k < 3; k++)
            tables->color.matrix[c][k] = (float)transform->matrix[c][k];
        tables->color.offset[c] = (float)transform->offset[c];
        tables->color.gain[c] = (float)transform->gain[c];
        tables->color.bias[c] = (float)transform->bias[c];
        tables->pad[c] = (float)transform->pad[c];
    }
    tables->color.n_in = tables->n_columns;
    tables->color.n_out = pp->channels;
}

/* Samples of a component's plane from one of the component to the next, and to the first. */
static int32_t sample_step(const GpudlPixelLayout *layout, const GpudlComponentLayout *component)
{
    return component->step / gpudl_sample_bytes(layout);
}

static int32_t sample_offset(const GpudlPixelLayout *layout, const GpudlComponentLayout *component)
{
    return component->offset / gpudl_sample_bytes(layout);
}

/* The samples of each plane's row that its components' columns read. */
static int plan_rows(const GpudlFrame *frame, const GpudlPreproc *pp, const GpudlPixelLayout *layout, Tables *tables)
{
    GpudlAxis axis;

    for (int32_t k = 0; k < tables->n_columns; k++) {
        const GpudlComponentLayout *component = &layout->components[k];
        RowPass *pass = NULL;
        int32_t begin, end;

        for (int32_t r = 0; r < tables->n_rows && pass == NULL; r++)
            if (tables->rows[r].plane == component->plane)
                pass = &tables->rows[r];
        if (pass == NULL) {
            pass = &tables->rows[tables->n_rows++];
            pass->plane = component->plane;
            pass->begin = INT32_MAX;
            gpudl_preproc_axis(frame, pp, &tables->geometry, component, 1, &axis);
            if (make_row_pass(&axis, most_bits(layout), pass) != 0)
                return -1;
        }
        tables->columns[k].rows = pass;
        gpudl_preproc_axis(frame, pp, &tables->geometry, component, 0, &axis);
        if (axis_span(&axis, &begin, &end) != 0)
            return -1;
        begin = begin * sample_step(layout, component) + sample_offset(layout, component);
        end = (end - 1) * sample_step(layout, component) + sample_offset(layout, component) + 1;
        if (begin < pass->begin) {
            pass->n += pass->begin != INT32_MAX ? pass->begin - begin : 0;
            pass->begin = begin;
        }
        if (end - pass->begin > pass->n)
            pass->n = end - pass->begin;
    }
    return 0;
}

/* The passes of filters that are sums of samples, first over rows. */
static int make_passes(const GpudlFrame *frame, const GpudlPreproc *pp, Tables *tables)
{
    const GpudlPixelLayout *layout = tables->layout;
    int32_t most[3] = {0};
    GpudlAxis axis;

    if (plan_rows(frame, pp, layout, tables) != 0)
        return -1;
    for (int32_t k = 0; k < tables->n_columns; k++) {
        const GpudlComponentLayout *component = &layout->components[k];
        ColumnPass *pass = &tables->columns[k];

        gpudl_preproc_axis(frame, pp, &tables->geometry, component, 0, &axis);
        if (make_column_pass(&axis, sample_step(layout, component), sample_offset(layout, component), pass) != 0)
            return -1;
        most[pass->rows - tables->rows] =
            pass->k > most[pass->rows - tables->rows] ? pass->k : most[pass->rows - tables->rows];
    }
    for (int32_t r = 0; r < tables->n_rows; r++) {
        tables->rows[r].row = aligned_zeroed((size_t)tables->rows[r].n + most[r] + CPU_PREPROC_SLACK, sizeof(float));
        if (tables->rows[r].row == NULL)
            return -1;
    }
    return 0;
}

static int make_bytes(const GpudlFrame *frame, const GpudlPreproc *pp, Tables *tables)
{
    tables->bytes = cpu_preproc_bytes_new(frame, pp, &tables->geometry);
    if (tables->bytes == NULL)
        return -1;
    for (int32_t k = 0; k < tables->n_columns; k++) {
        tables->columns[k].out = aligned_zeroed((size_t)tables->geometry.dst_width + CPU_PREPROC_SLACK, sizeof(float));
        if (tables->columns[k].out == NULL)
            return -1;
    }
    return 0;
}

static int make_tables(const GpudlFrame *frame, const GpudlPreproc *pp, Tables *tables)
{
    const GpudlPixelLayout *layout = gpudl_pixel_layout(frame->format);
    const int bytes = gpudl_preproc_method(frame, pp) == GPUDL_SCALE_BICUBIC_BYTES;
    GpudlColorTransform transform;

    tables->layout = layout;
    if (gpudl_preproc_geometry(frame, pp, &tables->geometry) != 0)
        return -1;
    gpudl_preproc_color(frame, pp, &transform);
    while (tables->n_columns < layout->n_components && component_matters(&transform, pp->channels, tables->n_columns))
        tables->n_columns++;
    make_color(&transform, pp, tables);
    if ((bytes ? make_bytes(frame, pp, tables) : make_passes(frame, pp, tables)) != 0)
        return -1;
    tables->triple = aligned_zeroed(3 * (size_t)tables->geometry.dst_width, sizeof(float));
    return tables->triple != NULL ? 0 : -1;
}

static void make_key(const GpudlFrame *frame, const GpudlPreproc *pp, Key *key)
{
    memset(key, 0, sizeof *key);
    key->format = frame->format;
    key->width = frame->width;
    key->height = frame->height;
    key->matrix = frame->matrix;
    key->range = frame->range;
    key->chroma_site = frame->chroma_site;
    key->par_n = frame->par_n;
    key->par_d = frame->par_d;
    if (frame->crop_width != 0) {
        key->crop[0] = frame->crop_x;
        key->crop[1] = frame->crop_y;
        key->crop[2] = frame->crop_width;
        key->crop[3] = frame->crop_height;
    }
    key->pp = *pp;
}

static Tables *find_tables(CpuPreproc *self, const GpudlFrame *frame, const GpudlPreproc *pp)
{
    Tables *oldest = &self->cache[0];
    Key key;

    make_key(frame, pp, &key);
    self->tick++;
    for (int i = 0; i < N_CACHED; i++) {
        Tables *tables = &self->cache[i];

        if (tables->used != 0 && memcmp(&tables->key, &key, sizeof key) == 0) {
            tables->used = self->tick;
            return tables;
        }
        if (tables->used < oldest->used)
            oldest = tables;
    }
    clear_tables(oldest);
    if (make_tables(frame, pp, oldest) != 0) {
        clear_tables(oldest);
        return NULL;
    }
    oldest->key = key;
    oldest->used = self->tick;
    return oldest;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static void fill(float *dst, int64_t n, float value)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = value;
}

/* Everything of a channel round the destination rectangle. */
static void pad_channel(const GpudlPreproc *pp, const GpudlPreprocGeometry *g, float value, float *channel)
{
    int32_t right = g->dst_x + g->dst_width, below = g->dst_y + g->dst_height;

    fill(channel, (int64_t)g->dst_y * pp->width, value);
    for (int32_t y = g->dst_y; y < below && g->dst_width < pp->width; y++) {
        fill(channel + (size_t)y * pp->width, g->dst_x, value);
        fill(channel + (size_t)y * pp->width + right, pp->width - right, value);
    }
    fill(channel + (size_t)below * pp->width, (int64_t)(pp->height - below) * pp->width, value);
}

/* A value of an interleaved destination, of either type. */
static void put(CpuPreprocLayout layout, void *dst, size_t at, float value)
{
    if (layout == CPU_PREPROC_INTERLEAVED_BF16)
        ((uint16_t *)dst)[at] = gpudl_f32_to_bf16(value);
    else
        ((float *)dst)[at] = value;
}

/* The same for triples: rows above and below, and what lies beside. */
static void pad_triples(const GpudlPreproc *pp, const GpudlPreprocGeometry *g, const float pad[3],
                        CpuPreprocLayout layout, void *dst)
{
    for (int32_t y = 0; y < pp->height; y++) {
        int inside = y >= g->dst_y && y < g->dst_y + g->dst_height;
        const size_t row = (size_t)y * pp->width * 3;

        for (int32_t x = 0; x < pp->width; x++) {
            if (inside && x == g->dst_x)
                x += g->dst_width;
            for (int c = 0; c < 3 && x < pp->width; c++)
                put(layout, dst, row + 3 * (size_t)x + c, pad[c]);
        }
    }
}

/* Row y of the destination rectangle: components resampled, into tables->columns[].out. */
static void resample_row(const CpuPreprocKernels *kernels, const Tables *tables, const GpudlFrame *frame, int32_t y)
{
    if (tables->bytes != NULL) {
        float *const out[3] = {tables->columns[0].out, tables->columns[1].out, tables->columns[2].out};

        cpu_preproc_bytes_row(tables->bytes, y, out);
        return;
    }
    for (int32_t r = 0; r < tables->n_rows; r++) {
        const RowPass *pass = &tables->rows[r];
        ptrdiff_t stride = frame->strides[pass->plane];
        const uint8_t *src = (const uint8_t *)frame->planes[pass->plane] + pass->first[y] * stride +
                             pass->begin * (ptrdiff_t)gpudl_sample_bytes(tables->layout);
        const int16_t *weights = pass->weights + (size_t)y * pass->n_weights;

        if (tables->layout->depth > 8)
            kernels->vertical_words(tables->layout, src, stride, weights, pass->count[y], pass->n, pass->gains[y],
                                    pass->row);
        else
            kernels->vertical(src, stride, weights, pass->count[y], pass->n, pass->gains[y], pass->row);
    }
    for (int32_t k = 0; k < tables->n_columns; k++) {
        const ColumnPass *pass = &tables->columns[k];

        kernels->horizontal(pass->rows->row, pass->first, pass->weights, pass->k, tables->geometry.dst_width,
                            pass->out);
    }
}

const char *cpu_preproc_run(CpuPreproc *self, const GpudlFrame *frame, const GpudlPreproc *pp, CpuPreprocLayout layout,
                            void *dst)
{
    const char *fault = gpudl_preproc_fault(frame, pp);
    const float *in[3] = {NULL};
    const GpudlPreprocGeometry *g;
    const Tables *tables;
    size_t plane = (size_t)pp->width * pp->height;
    int triples = layout != CPU_PREPROC_PLANAR && pp->channels == 3;

    if (fault != NULL)
        return fault;
    tables = find_tables(self, frame, pp);
    if (tables == NULL)
        return "no memory for the resampling tables";
    g = &tables->geometry;
    for (int32_t k = 0; k < tables->n_columns; k++)
        in[k] = tables->columns[k].out;
    if (triples)
        pad_triples(pp, g, tables->pad, layout, dst);
    for (int32_t c = 0; c < pp->channels && !triples; c++)
        pad_channel(pp, g, tables->pad[c], (float *)dst + c * plane);
    if (tables->bytes != NULL)
        cpu_preproc_bytes_across(tables->bytes, frame);
    for (int32_t y = 0; y < g->dst_height; y++) {
        size_t at = (size_t)(g->dst_y + y) * pp->width + g->dst_x;
        float *out[3] = {NULL};

        resample_row(self->kernels, tables, frame, y);
        for (int32_t c = 0; c < pp->channels; c++)
            out[c] = triples ? tables->triple + (size_t)c * g->dst_width : (float *)dst + c * plane + at;
        self->kernels->color(&tables->color, in, g->dst_width, out);
        if (triples && layout == CPU_PREPROC_INTERLEAVED_BF16)
            self->triples->bf16((const float *const *)out, g->dst_width, (uint16_t *)dst + 3 * at);
        else if (triples)
            self->triples->f32((const float *const *)out, g->dst_width, (float *)dst + 3 * at);
    }
    return NULL;
}

CpuPreproc *cpu_preproc_new(CpuPreprocIsa isa)
{
    const CpuPreprocKernels *kernels = find_kernels(isa);
    CpuPreproc *self = kernels != NULL ? calloc(1, sizeof *self) : NULL;

    if (self != NULL) {
        self->kernels = kernels;
        self->triples = gpudl_triples_kernels(isa == CPU_PREPROC_AVX512 ? GPUDL_SIMD_AVX512
                                              : isa == CPU_PREPROC_AVX2 ? GPUDL_SIMD_AVX2
                                                                        : GPUDL_SIMD_GENERIC);
    }
    return self;
}

void cpu_preproc_free(CpuPreproc *self)
{
    if (self == NULL)
        return;
    for (int i = 0; i < N_CACHED; i++)
        clear_tables(&self->cache[i]);
    free(self);
}

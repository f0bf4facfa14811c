/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inverted residuals: oneDNN's three primitives one after the other, and our own kernel; on a second line our own three
 * kernels one after the other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench-kernels.h"
#include "kernels/depthwise.h"
#include "kernels/inverted.h"
#include "kernels/pointwise.h"

static const struct {
    const char *net;
    int c, hidden, k, size, kernel, stride;
    GpudlActKind act;
} blocks[] = {
    {"mobilenet_v2", 16, 96, 24, 112, 3, 2, GPUDL_ACT_CLIP},  {"mobilenet_v2", 24, 144, 24, 56, 3, 1, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 24, 144, 32, 56, 3, 2, GPUDL_ACT_CLIP},  {"mobilenet_v2", 32, 192, 32, 28, 3, 1, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 64, 384, 64, 14, 3, 1, GPUDL_ACT_CLIP},  {"mobilenet_v2", 96, 576, 96, 14, 3, 1, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 160, 960, 160, 7, 3, 1, GPUDL_ACT_CLIP}, {"lite0", 24, 144, 40, 56, 5, 2, GPUDL_ACT_CLIP},
    {"lite0", 40, 240, 40, 28, 5, 1, GPUDL_ACT_CLIP},         {"lite0", 112, 672, 112, 14, 5, 1, GPUDL_ACT_CLIP},
    {"lite0", 192, 1152, 192, 7, 5, 1, GPUDL_ACT_CLIP},
};

/* One of oneDNN's three; groups: as many as channels. */
static dnnl_primitive_desc_t describe(dnnl_data_type_t type, int c, int k, int size, int kernel, int stride, int groups,
                                      const GpudlAct *act, dnnl_format_tag_t tag)
{
    const int out = (size + stride - 1) / stride, end = (out - 1) * stride + kernel - size - kernel / 2;
    const int64_t x[4] = {1, c, size, size}, w[4] = {k, c, kernel, kernel}, grouped[5] = {c, 1, 1, kernel, kernel},
                  y[4] = {1, k, out, out}, bias[1] = {k}, strides[2] = {stride, stride}, none[2] = {0, 0},
                  low[2] = {kernel / 2, kernel / 2}, high[2] = {end, end};
    const DnnPost post = {0, *act};
    DnnMd mds[4] = {dnn_md_typed(type, 4, x, tag),
                    groups > 1 ? dnn_md_typed(type, 5, grouped, dnnl_format_tag_any)
                               : dnn_md_typed(type, 4, w, dnnl_format_tag_any),
                    dnn_md_tag(1, bias, dnnl_a), dnn_md_typed(type, 4, y, tag)};
    dnnl_primitive_attr_t attr = dnn_attr(&post);
    dnnl_primitive_desc_t pd = dnn_convolution(engine, attr, mds[0], mds[1], mds[2], mds[3], strides, none, low, high);

    dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < 4; i++)
        dnn_md_free(mds[i]);
    return pd;
}

/* steps: room for the second and the third primitive. */
static void set_primitives(Party *first, Party steps[2], int i, GpudlDType type, dnnl_format_tag_t tag)
{
    const dnnl_data_type_t dnn = type == GPUDL_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
    const GpudlAct act = {blocks[i].act, 0, 6}, none = {GPUDL_ACT_NONE, 0, 0};
    const int out = (blocks[i].size + blocks[i].stride - 1) / blocks[i].stride, hidden = blocks[i].hidden;

    set_primitive(&steps[0],
                  describe(dnn, hidden, hidden, blocks[i].size, blocks[i].kernel, blocks[i].stride, hidden, &act, tag));
    set_primitive(&steps[1], describe(dnn, hidden, blocks[i].k, out, 1, 1, 1, &none, tag));
    set_primitive(first, describe(dnn, blocks[i].c, hidden, blocks[i].size, 1, 1, 1, &act, tag));
    first->next = &steps[0];
    steps[0].next = &steps[1];
    if (steps[0].run == NULL || steps[1].run == NULL)
        first->run = NULL;
}

static void run_inverted(Party *party)
{
    ((const GpudlInvertedKernels *)party->kernels)->run(party->what, party->x, party->packed, party->scratch, party->y);
}

/* Our own three, and what lies between them. */
typedef struct {
    GpudlPointwise expand, project;
    GpudlDepthwise filter;
    const GpudlPointwiseKernels *pointwise;
    const GpudlDepthwiseKernels *depthwise;
    void *expanded, *filtered;
} Apart;

static void run_apart(Party *party)
{
    const Apart *a = party->what;

    /* weights are any numbers: each kernel takes as many from where the block's begin */
    a->pointwise->run(&a->expand, party->x, party->packed, a->expanded);
    a->depthwise->run(&a->filter, a->expanded, party->packed, a->filtered);
    a->pointwise->run(&a->project, a->filtered, party->packed, party->y);
}

static Apart make_apart(const GpudlInverted *d, GpudlSimd simd)
{
    const int64_t hidden = d->hidden, row = d->w * hidden, out_row = d->q * hidden;
    const size_t size = gpudl_dtype_size(d->type);

    return (Apart){{d->type, 1, d->h, d->w, d->c, d->hidden, d->h, d->w, 1, d->x_pixel, d->x_row, d->x_frame, hidden,
                    row, row * d->h, 0, d->expand},
                   {d->type, 1, d->p, d->q, d->hidden, d->k, d->p, d->q, 1, hidden, out_row, out_row * d->p, d->y_pixel,
                    d->y_row, d->y_frame, 0, d->project},
                   {d->type, 1, d->h, d->w, d->hidden, d->p, d->q, hidden, row, row * d->h, hidden, out_row,
                    out_row * d->p, d->kernel, d->stride, d->pad_top, d->pad_left, d->depthwise},
                   gpudl_pointwise_kernels(simd, d->type),
                   gpudl_depthwise_kernels(simd),
                   values((size_t)(row * d->h) * size),
                   values((size_t)(out_row * d->p) * size)};
}

static GpudlInverted make_block(int i, GpudlDType type)
{
    const int size = blocks[i].size, out = (size + blocks[i].stride - 1) / blocks[i].stride;
    GpudlInverted d = {.type = type,
                       .n = 1,
                       .h = size,
                       .w = size,
                       .c = blocks[i].c,
                       .hidden = blocks[i].hidden,
                       .p = out,
                       .q = out,
                       .k = blocks[i].k,
                       .x_pixel = blocks[i].c,
                       .y_pixel = blocks[i].k,
                       .expands = 1,
                       .projects = 1,
                       .kernel = blocks[i].kernel,
                       .stride = blocks[i].stride,
                       .pad_top = blocks[i].kernel / 2,
                       .pad_left = blocks[i].kernel / 2,
                       .expand = {blocks[i].act, 0, 6},
                       .depthwise = {blocks[i].act, 0, 6}};

    d.x_row = d.x_pixel * size;
    d.x_frame = d.x_row * size;
    d.y_row = d.y_pixel * out;
    d.y_frame = d.y_row * out;
    return d;
}

static void bench_block(int i, GpudlDType type, const char *filter)
{
    const GpudlSimd simd = type == GPUDL_DTYPE_BF16 ? GPUDL_SIMD_AVX512_BF16 : GPUDL_SIMD_AVX512;
    const GpudlInverted d = make_block(i, type);
    const double in = (double)d.h * d.w, out = (double)d.p * d.q;
    const double operations =
        2. * d.c * d.hidden * in + 2. * d.kernel * d.kernel * d.hidden * out + 2. * d.hidden * d.k * out;
    Party parties[MOST_PARTIES] = {0}, apart[MOST_PARTIES] = {0}, steps[2][2] = {{{0}}};
    Party *own = &parties[2 + simd - GPUDL_SIMD_AVX2], *three = &apart[2 + simd - GPUDL_SIMD_AVX2];
    char name[80];
    Apart a;

    snprintf(name, sizeof name, "%s %d,%d,%d %dx%d", blocks[i].net, d.c, d.hidden, d.k, d.h, d.w);
    if (strstr(name, filter) == NULL || gpudl_inverted_kernels(simd, type) == NULL)
        return;
    a = make_apart(&d, simd);
    own->what = &d;
    own->kernels = gpudl_inverted_kernels(simd, type);
    own->x = values((size_t)d.x_frame * gpudl_dtype_size(type));
    own->packed = values(gpudl_inverted_weights_size(&d));
    own->scratch = values(gpudl_inverted_scratch_size(&d));
    own->y = values((size_t)d.y_frame * gpudl_dtype_size(type));
    own->run = run_inverted;
    *three = *own;
    three->what = &a;
    three->run = run_apart;
    set_primitives(&parties[0], steps[0], i, type, dnnl_nhwc);
    set_primitives(&parties[1], steps[1], i, type, dnnl_nChw16c);
    compete(parties, MOST_PARTIES - 1);
    print_line(name, type, operations, parties, MOST_PARTIES - 1);
    compete(apart, MOST_PARTIES - 1);
    apart[0].least = parties[0].least;
    apart[1].least = parties[1].least;
    print_line("  in three steps", type, operations, apart, MOST_PARTIES - 1);
    free_parties(parties, MOST_PARTIES);
    free_parties(steps[0], 2);
    free_parties(steps[1], 2);
    free((void *)own->x);
    free((void *)own->packed);
    free(own->scratch);
    free(own->y);
    free(a.expanded);
    free(a.filtered);
}

void bench_inverted(const char *filter)
{
    for (unsigned i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        bench_block((int)i, GPUDL_DTYPE_F32, filter);
        bench_block((int)i, GPUDL_DTYPE_BF16, filter);
    }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CPU's own kernels beside oneDNN's, on shapes of well-known networks, in turns, on one thread.
 *
 *   bench-kernels [FILTER]   lines whose name contains FILTER; processor time
 *
 * A line a shape: the least time a call of oneDNN with channels last, of oneDNN with channels in blocks of 16, of each
 * instruction set's own, and how many times faster than the better of oneDNN's the best of those is.
 */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench-kernels.h"
#include "kernels/depthwise.h"
#include "kernels/squeeze.h"

#define ROUNDS 15
#define ROUND_SECONDS 0.004

/* ---- parties ----------------------------------------------------------------------------------------------------- */

dnnl_engine_t engine;
static dnnl_stream_t stream;

static void check(dnnl_status_t status, const char *what)
{
    if (status == dnnl_success)
        return;
    fprintf(stderr, "bench-kernels: oneDNN's %s failed with status %d\n", what, (int)status);
    exit(1);
}

static double processor_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double time_calls(Party *party, int calls)
{
    const double start = processor_seconds();

    for (int i = 0; i < calls; i++)
        party->run(party);
    return (processor_seconds() - start) / calls;
}

void compete(Party *parties, int n)
{
    for (int i = 0; i < n; i++) {
        parties[i].least = INFINITY;
        if (parties[i].run == NULL)
            continue;
        (void)time_calls(&parties[i], 2);
        parties[i].calls = 1 + (int)(ROUND_SECONDS / (1e-7 + time_calls(&parties[i], 3)));
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < n; i++)
            if (parties[i].run != NULL)
                parties[i].least = fmin(parties[i].least, time_calls(&parties[i], parties[i].calls));
}

void *values(size_t bytes)
{
    uint32_t *p = aligned_alloc(64, (bytes + 127) / 64 * 64), state = 1;

    for (size_t i = 0; i < bytes / 4 + 1; i++) {
        state = state * 1664525u + 1013904223u;
        p[i] = 0x3f003f00u | (state & 0x807f807fu);
    }
    return p;
}

/* ---- oneDNN ------------------------------------------------------------------------------------------------------ */

static void run_primitive(Party *party)
{
    for (Party *p = party; p != NULL; p = p->next)
        check(dnnl_primitive_execute(p->primitive, stream, p->n_args, p->args), "primitive");
    check(dnnl_stream_wait(stream), "stream");
}

static void add_memory(Party *party, int arg, DnnMdRef md)
{
    if (md == NULL || dnn_md_bytes(md) == 0)
        return;
    party->memories[party->n_args] = dnn_memory(engine, md, values(dnn_md_bytes(md)));
    party->args[party->n_args] = (dnnl_exec_arg_t){arg, party->memories[party->n_args]};
    party->n_args++;
}

void set_primitive(Party *party, dnnl_primitive_desc_t pd)
{
    static const struct {
        int arg;
        dnnl_query_t what;
        int index;
    } all[] = {{DNNL_ARG_SRC, dnnl_query_src_md, 0},         {DNNL_ARG_SRC_1, dnnl_query_src_md, 1},
               {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0}, {DNNL_ARG_BIAS, dnnl_query_weights_md, 1},
               {DNNL_ARG_DST, dnnl_query_dst_md, 0},         {DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, 0}};

    if (pd == NULL)
        return;
    snprintf(party->name, sizeof party->name, "%s", dnn_pd_name(pd));
    check(dnnl_primitive_create(&party->primitive, pd), "primitive");
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        add_memory(party, all[i].arg, dnn_pd_md(pd, all[i].what, all[i].index));
    party->run = run_primitive;
    dnnl_primitive_desc_destroy(pd);
}

static dnnl_data_type_t dnn_type(GpudlDType type)
{
    return type == GPUDL_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
}

/* ---- the contest ------------------------------------------------------------------------------------------------- */

void print_line(const char *name, GpudlDType type, double operations, const Party *parties, int n)
{
    const double theirs = fmin(parties[0].least, parties[1].least);
    double ours = INFINITY;

    printf("%-34s %-5s", name, type == GPUDL_DTYPE_BF16 ? "bf16" : "f32");
    for (int i = 0; i < n; i++) {
        if (parties[i].run == NULL)
            printf(" %15s", "-");
        else
            printf(" %8.4f (%4.0f)", parties[i].least * 1e3, operations / parties[i].least * 1e-9);
        if (i >= 2)
            ours = fmin(ours, parties[i].least);
    }
    printf("  %5.2f  %s | %s\n", theirs / ours, parties[0].name, parties[1].name);
    fflush(stdout);
}

void free_parties(Party *parties, int n)
{
    for (int i = 0; i < n; i++) {
        if (parties[i].primitive != NULL)
            dnnl_primitive_destroy(parties[i].primitive);
        for (int k = 0; k < parties[i].n_args; k++) {
            void *data = NULL;

            dnnl_memory_get_data_handle(parties[i].memories[k], &data);
            dnnl_memory_destroy(parties[i].memories[k]);
            free(data);
        }
    }
}

/* ---- depthwise --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *net;
    int c, size, kernel, stride;
    GpudlActKind act;
} depthwise[] = {
    {"mobilenet_v2", 32, 112, 3, 1, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 96, 112, 3, 2, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 144, 56, 3, 1, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 144, 56, 3, 2, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 192, 28, 3, 1, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 192, 28, 3, 2, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 384, 14, 3, 1, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 576, 14, 3, 1, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 576, 14, 3, 2, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 960, 7, 3, 1, GPUDL_ACT_CLIP},
    {"lite0", 144, 56, 5, 2, GPUDL_ACT_CLIP},
    {"lite0", 240, 28, 5, 1, GPUDL_ACT_CLIP},
    {"lite0", 480, 14, 5, 1, GPUDL_ACT_CLIP},
    {"lite0", 672, 14, 5, 1, GPUDL_ACT_CLIP},
    {"lite0", 672, 14, 5, 2, GPUDL_ACT_CLIP},
    {"lite0", 1152, 7, 5, 1, GPUDL_ACT_CLIP},
    {"efficientnet_b0", 32, 112, 3, 1, GPUDL_ACT_SILU},
    {"efficientnet_b0", 96, 112, 3, 2, GPUDL_ACT_SILU},
    {"efficientnet_b0", 240, 28, 5, 1, GPUDL_ACT_SILU},
    {"efficientnet_b0", 480, 14, 3, 1, GPUDL_ACT_SILU},
    {"efficientnet_b0", 672, 14, 5, 1, GPUDL_ACT_SILU},
    {"efficientnet_b0", 1152, 7, 5, 1, GPUDL_ACT_SILU},
    {"mobilenet_v3", 16, 112, 3, 2, GPUDL_ACT_RELU},
    {"mobilenet_v3", 72, 28, 5, 1, GPUDL_ACT_RELU},
    {"mobilenet_v3", 96, 28, 5, 2, GPUDL_ACT_HARD_SWISH},
    {"mobilenet_v3", 240, 14, 5, 1, GPUDL_ACT_HARD_SWISH},
    {"mobilenet_v3", 576, 7, 5, 1, GPUDL_ACT_HARD_SWISH},
    {"shufflenet_v2", 58, 28, 3, 1, GPUDL_ACT_NONE},
    {"convnext", 96, 56, 7, 1, GPUDL_ACT_NONE},
    {"convnext", 320, 7, 7, 1, GPUDL_ACT_NONE},
};

static void run_depthwise(Party *party)
{
    ((const GpudlDepthwiseKernels *)party->kernels)->run(party->what, party->x, party->packed, party->y);
}

static dnnl_primitive_desc_t describe_depthwise(const GpudlDepthwise *d, dnnl_format_tag_t tag)
{
    const dnnl_data_type_t type = dnn_type(d->type);
    const int64_t x[4] = {1, d->c, d->h, d->w}, w[5] = {d->c, 1, 1, d->kernel, d->kernel}, y[4] = {1, d->c, d->p, d->q},
                  bias[1] = {d->c};
    const int64_t strides[2] = {d->stride, d->stride}, dilates[2] = {0}, low[2] = {d->pad_top, d->pad_left};
    const int64_t high[2] = {(d->p - 1) * d->stride + d->kernel - d->h - low[0],
                             (d->q - 1) * d->stride + d->kernel - d->w - low[1]};
    const DnnPost post = {0, d->act};
    DnnMd mds[4] = {dnn_md_typed(type, 4, x, tag), dnn_md_typed(type, 5, w, dnnl_format_tag_any),
                    dnn_md_tag(1, bias, dnnl_a), dnn_md_typed(type, 4, y, tag)};
    dnnl_primitive_attr_t attr = dnn_attr(&post);
    dnnl_primitive_desc_t pd =
        dnn_convolution(engine, attr, mds[0], mds[1], mds[2], mds[3], strides, dilates, low, high);

    dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < 4; i++)
        dnn_md_free(mds[i]);
    return pd;
}

static void bench_depthwise(int i, GpudlDType type, const char *filter)
{
    const int c = depthwise[i].c, size = depthwise[i].size, stride = depthwise[i].stride,
              out = (size + stride - 1) / stride;
    const GpudlDepthwise d = {.type = type,
                              .n = 1,
                              .h = size,
                              .w = size,
                              .c = c,
                              .p = out,
                              .q = out,
                              .x_pixel = c,
                              .x_row = (int64_t)c * size,
                              .x_frame = (int64_t)c * size * size,
                              .y_pixel = c,
                              .y_row = (int64_t)c * out,
                              .y_frame = (int64_t)c * out * out,
                              .kernel = depthwise[i].kernel,
                              .stride = stride,
                              .pad_top = depthwise[i].kernel / 2,
                              .pad_left = depthwise[i].kernel / 2,
                              .act = {depthwise[i].act, 0, depthwise[i].act == GPUDL_ACT_CLIP ? 6 : 0}};
    const double operations = 2. * c * out * out * d.kernel * d.kernel;
    Party parties[MOST_PARTIES] = {0};
    float *packed;
    void *x, *y;
    char name[80];

    snprintf(name, sizeof name, "%s %dx%d %dx%dx%d /%d", depthwise[i].net, d.kernel, d.kernel, c, size, size, stride);
    if (strstr(name, filter) == NULL)
        return;
    x = values((size_t)d.x_frame * gpudl_dtype_size(type));
    y = values((size_t)d.y_frame * gpudl_dtype_size(type));
    packed = values(gpudl_depthwise_weights_size(&d));
    set_primitive(&parties[0], describe_depthwise(&d, dnnl_nhwc));
    set_primitive(&parties[1], describe_depthwise(&d, dnnl_nChw16c));
    for (int simd = GPUDL_SIMD_AVX2; simd <= GPUDL_SIMD_LAST; simd++) {
        Party *party = &parties[2 + simd - GPUDL_SIMD_AVX2];

        party->what = &d;
        party->kernels = gpudl_depthwise_kernels((GpudlSimd)simd);
        party->x = x;
        party->packed = packed;
        party->y = y;
        party->run = party->kernels != NULL ? run_depthwise : NULL;
    }
    compete(parties, MOST_PARTIES - 1);
    print_line(name, type, operations, parties, MOST_PARTIES - 1);
    free_parties(parties, MOST_PARTIES);
    free(x);
    free(y);
    free(packed);
}

/* ---- squeeze-and-excite and means -------------------------------------------------------------------------------- */

static const struct {
    const char *net;
    int c, size, r; /* r 0: the mean alone */
    GpudlActKind inner, gate;
} squeezes[] = {
    {"efficientnet_b0", 32, 112, 8, GPUDL_ACT_SILU, GPUDL_ACT_SIGMOID},
    {"efficientnet_b0", 96, 56, 4, GPUDL_ACT_SILU, GPUDL_ACT_SIGMOID},
    {"efficientnet_b0", 144, 28, 6, GPUDL_ACT_SILU, GPUDL_ACT_SIGMOID},
    {"efficientnet_b0", 240, 14, 10, GPUDL_ACT_SILU, GPUDL_ACT_SIGMOID},
    {"efficientnet_b0", 480, 14, 20, GPUDL_ACT_SILU, GPUDL_ACT_SIGMOID},
    {"efficientnet_b0", 672, 14, 28, GPUDL_ACT_SILU, GPUDL_ACT_SIGMOID},
    {"efficientnet_b0", 1152, 7, 48, GPUDL_ACT_SILU, GPUDL_ACT_SIGMOID},
    {"mobilenet_v3", 72, 28, 24, GPUDL_ACT_RELU, GPUDL_ACT_HARD_SIGMOID},
    {"mobilenet_v3", 576, 7, 144, GPUDL_ACT_RELU, GPUDL_ACT_HARD_SIGMOID},
    {"regnet_y_400mf", 104, 28, 12, GPUDL_ACT_RELU, GPUDL_ACT_SIGMOID},
    {"regnet_y_400mf", 440, 7, 110, GPUDL_ACT_RELU, GPUDL_ACT_SIGMOID},
    {"mobilenet_v2", 1280, 7, 0, GPUDL_ACT_NONE, GPUDL_ACT_NONE},
    {"resnet50", 2048, 7, 0, GPUDL_ACT_NONE, GPUDL_ACT_NONE},
    {"squeezenet", 1000, 13, 0, GPUDL_ACT_NONE, GPUDL_ACT_NONE},
    {"efficientnet_b0", 672, 14, 0, GPUDL_ACT_NONE, GPUDL_ACT_NONE},
};

static void run_squeeze(Party *party)
{
    ((const GpudlSqueezeKernels *)party->kernels)->run(party->what, party->x, party->packed, party->scratch, party->y);
}

static void run_mean(Party *party)
{
    ((const GpudlSqueezeKernels *)party->kernels)->mean(party->what, party->x, party->y);
}

static dnnl_primitive_desc_t describe_mean(const GpudlSqueeze *s, int size, dnnl_format_tag_t tag)
{
    const int64_t x[4] = {1, s->c, size, size}, y[4] = {1, s->c, 1, 1}, kernel[2] = {size, size}, ones[2] = {1, 1},
                  none[2] = {0, 0};
    DnnMd from = dnn_md_typed(dnn_type(s->type), 4, x, tag), to = dnn_md_typed(dnn_type(s->type), 4, y, tag);
    dnnl_primitive_attr_t attr = dnn_attr(NULL);
    dnnl_primitive_desc_t pd =
        dnn_pooling(engine, attr, dnnl_pooling_avg_exclude_padding, from, to, ones, kernel, none, none, none);

    dnnl_primitive_attr_destroy(attr);
    dnn_md_free(from);
    dnn_md_free(to);
    return pd;
}

static dnnl_primitive_desc_t describe_product(const GpudlSqueeze *s, int from, int to, const GpudlAct *act,
                                              dnnl_format_tag_t tag)
{
    const dnnl_data_type_t type = dnn_type(s->type);
    const int64_t x[4] = {1, from, 1, 1}, w[4] = {to, from, 1, 1}, y[4] = {1, to, 1, 1}, bias[1] = {to},
                  ones[2] = {1, 1}, none[2] = {0, 0};
    const DnnPost post = {0, *act};
    DnnMd mds[4] = {dnn_md_typed(type, 4, x, tag), dnn_md_typed(type, 4, w, dnnl_format_tag_any),
                    dnn_md_tag(1, bias, dnnl_a), dnn_md_typed(type, 4, y, tag)};
    dnnl_primitive_attr_t attr = dnn_attr(&post);
    dnnl_primitive_desc_t pd = dnn_convolution(engine, attr, mds[0], mds[1], mds[2], mds[3], ones, none, none, none);

    dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < 4; i++)
        dnn_md_free(mds[i]);
    return pd;
}

static dnnl_primitive_desc_t describe_scale(const GpudlSqueeze *s, int size, dnnl_format_tag_t tag)
{
    const int64_t x[4] = {1, s->c, size, size}, gates[4] = {1, s->c, 1, 1};
    DnnMd md = dnn_md_typed(dnn_type(s->type), 4, x, tag), one = dnn_md_typed(dnn_type(s->type), 4, gates, tag);
    dnnl_primitive_attr_t attr = dnn_attr(NULL);
    dnnl_primitive_desc_t pd = dnn_binary(engine, attr, dnnl_binary_mul, md, one, md);

    dnnl_primitive_attr_destroy(attr);
    dnn_md_free(md);
    dnn_md_free(one);
    return pd;
}

/* parts: three, for what follows the mean. */
static void set_squeeze(Party *party, Party *parts, const GpudlSqueeze *s, int size, dnnl_format_tag_t tag)
{
    set_primitive(party, describe_mean(s, size, tag));
    if (s->r == 0)
        return;
    set_primitive(&parts[0], describe_product(s, s->c, s->r, &s->inner, tag));
    set_primitive(&parts[1], describe_product(s, s->r, s->c, &s->gate, tag));
    set_primitive(&parts[2], describe_scale(s, size, tag));
    if (parts[0].run == NULL || parts[1].run == NULL || parts[2].run == NULL)
        party->run = NULL;
    party->next = &parts[0];
    parts[0].next = &parts[1];
    parts[1].next = &parts[2];
}

static void bench_squeeze(int i, GpudlDType type, const char *filter)
{
    const int c = squeezes[i].c, size = squeezes[i].size, r = squeezes[i].r;
    const GpudlAct inner = {squeezes[i].inner, 0, 0}, gate = {squeezes[i].gate, 1.f / 6, .5f};
    const GpudlSqueeze s = {type,  1,   size * size, c, r, c, (int64_t)c * size * size, c, (int64_t)c * size * size,
                            inner, gate};
    Party parties[MOST_PARTIES] = {0}, parts[2][3] = {0};
    void *x, *y, *packed, *scratch;
    char name[80];

    snprintf(name, sizeof name, "%s %s %dx%dx%d %d", squeezes[i].net, r > 0 ? "squeeze" : "mean", c, size, size, r);
    if (strstr(name, filter) == NULL)
        return;
    x = values((size_t)s.x_frame * gpudl_dtype_size(type));
    y = values((size_t)s.y_frame * gpudl_dtype_size(type));
    packed = values(gpudl_squeeze_weights_size(&s));
    scratch = values(gpudl_squeeze_scratch_size(&s));
    set_squeeze(&parties[0], parts[0], &s, size, dnnl_nhwc);
    set_squeeze(&parties[1], parts[1], &s, size, dnnl_nChw16c);
    for (int simd = GPUDL_SIMD_AVX2; simd <= GPUDL_SIMD_LAST; simd++) {
        Party *party = &parties[2 + simd - GPUDL_SIMD_AVX2];

        party->what = &s;
        party->kernels = gpudl_squeeze_kernels((GpudlSimd)simd);
        party->x = x;
        party->packed = packed;
        party->scratch = scratch;
        party->y = y;
        party->run = party->kernels == NULL ? NULL : r > 0 ? run_squeeze : run_mean;
    }
    compete(parties, MOST_PARTIES - 1);
    print_line(name, type, (r > 0 ? 2. : 1.) * (double)s.x_frame + 4. * c * r, parties, MOST_PARTIES - 1);
    free_parties(parties, MOST_PARTIES);
    free_parties(parts[0], 3);
    free_parties(parts[1], 3);
    free(x);
    free(y);
    free(packed);
    free(scratch);
}

int main(int argc, char **argv)
{
    const char *filter = argc > 1 ? argv[1] : "";

    if (argc > 2) {
        fprintf(stderr, "usage: bench-kernels [FILTER]\n");
        return 2;
    }
    omp_set_num_threads(1);
    check(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
    printf("%-34s %-5s %15s %15s %15s %15s %15s  times\n", "ms (GFLOP/s)", "", "oneDNN nhwc", "oneDNN nChw16c", "avx2",
           "avx512", "avx512_bf16");
    for (unsigned i = 0; i < sizeof depthwise / sizeof *depthwise; i++) {
        bench_depthwise((int)i, GPUDL_DTYPE_F32, filter);
        bench_depthwise((int)i, GPUDL_DTYPE_BF16, filter);
    }
    for (unsigned i = 0; i < sizeof squeezes / sizeof *squeezes; i++) {
        bench_squeeze((int)i, GPUDL_DTYPE_F32, filter);
        bench_squeeze((int)i, GPUDL_DTYPE_BF16, filter);
    }
    bench_dense(filter);
    bench_inverted(filter);
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
    return 0;
}

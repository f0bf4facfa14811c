/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mbconv_bench.h"

#include <stdio.h>
#include <string.h>

#include "device.h"
#include "kernels/conv_gemm_cuda.h"
#include "kernels/depthwise_cuda.h"
#include "kernels/mbconv_cuda.h"

#define PROCESSORS 132
#define MOST_SHARED (227 << 10)

enum { ROTATED = 3, LAUNCHES = 12 };

typedef struct {
    GpudlMbconv block;
    GpudlNhwc between[2]; /* the two pictures of hidden channels */
    const uint8_t *x, *weights;
    const float *bias;
    uint8_t *hidden[2], *y;
    void *workspace;
    size_t x_bytes, hidden_bytes[2], y_bytes;
    /* of which one is timed */
    GpudlMbconvPlan plan;
    GpudlConvGemmPlan gemm;
    GpudlDepthwisePlan depthwise;
} Bench;

static const GpudlWindow one = {2, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}};

static const void *z_of(const Bench *b, size_t at)
{
    return b->block.z_pitch > 0 ? b->x + at * b->x_bytes : NULL;
}

static int launch_block(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;
    const size_t at = (size_t)(i % ROTATED);

    return gpudl_mbconv_cuda(&b->block, b->x + at * b->x_bytes, b->weights, b->bias, z_of(b, at),
                             b->y + at * b->y_bytes, &b->plan, stream);
}

static int launch_expand(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;
    const size_t at = (size_t)(i % ROTATED);

    return gpudl_conv_gemm_cuda(GPUDL_CONV_GEMM_F16, b->x + at * b->x_bytes, &b->block.xs, b->weights, b->bias, NULL, 0,
                                &one, 1, &b->block.expand, b->hidden[0] + at * b->hidden_bytes[0], &b->between[0],
                                &b->gemm, b->workspace, stream);
}

static int launch_depthwise(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;
    const size_t at = (size_t)(i % ROTATED);
    const GpudlWindow window = {2,
                                {1, b->block.taps, b->block.taps},
                                {1, b->block.stride, b->block.stride},
                                {0, b->block.pad[0], b->block.pad[1]},
                                {0},
                                {1, 1, 1}};
    const GpudlDepthwiseCall call = {GPUDL_DTYPE_F16,
                                     b->hidden[0] + at * b->hidden_bytes[0],
                                     b->weights,
                                     b->bias,
                                     b->hidden[1] + at * b->hidden_bytes[1],
                                     &b->between[0],
                                     &b->between[1],
                                     &window,
                                     &b->block.depthwise};

    return gpudl_depthwise_plan_cuda(&call, &b->depthwise, stream);
}

static int launch_project(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;
    const size_t at = (size_t)(i % ROTATED);

    return gpudl_conv_gemm_cuda(GPUDL_CONV_GEMM_F16, b->hidden[1] + at * b->hidden_bytes[1], &b->between[1], b->weights,
                                b->bias, z_of(b, at), b->block.z_pitch, &one, 1, &b->block.project,
                                b->y + at * b->y_bytes, &b->block.ys, &b->gemm, b->workspace, stream);
}

static double best_product(Bench *b, DeviceLaunch *launch, const GpudlNhwc *from, const GpudlNhwc *to)
{
    GpudlConvGemmPlan plans[GPUDL_CONV_GEMM_PLANS];
    const int n = gpudl_conv_gemm_plans(GPUDL_CONV_GEMM_F16, from, &one, 1, to, PROCESSORS, MOST_SHARED, plans);
    double best = 0;

    for (int i = 0; i < n; i++) {
        double us;

        b->gemm = plans[i];
        b->workspace = device_output((size_t)plans[i].workspace_bytes, 0);
        us = 1e6 * device_time(launch, b, LAUNCHES);
        best = best == 0 || us < best ? us : best;
    }
    return best;
}

static double best_depthwise(Bench *b)
{
    const GpudlWindow window = {2,
                                {1, b->block.taps, b->block.taps},
                                {1, b->block.stride, b->block.stride},
                                {0, b->block.pad[0], b->block.pad[1]},
                                {0},
                                {1, 1, 1}};
    const GpudlDepthwiseCall call = {GPUDL_DTYPE_F16, b->hidden[0], b->weights,
                                     b->bias,         b->hidden[1], &b->between[0],
                                     &b->between[1],  &window,      &b->block.depthwise};
    GpudlDepthwisePlan plans[GPUDL_DEPTHWISE_PLANS];
    const int n = gpudl_depthwise_plans(&call, PROCESSORS, plans);
    double best = 0;

    for (int i = 0; i < n; i++) {
        double us;

        b->depthwise = plans[i];
        us = 1e6 * device_time(launch_depthwise, b, LAUNCHES);
        best = best == 0 || us < best ? us : best;
    }
    return best;
}

static size_t bytes_of(const GpudlNhwc *s)
{
    return (size_t)s->n * (size_t)s->h * (size_t)s->w * (size_t)s->pitch * 2;
}

typedef struct {
    int side, c, hidden, k, taps, stride;
    GpudlActKind act;
} Shape;

static void prepare(Bench *b, const Shape *s, int batch)
{
    const int out = (s->side - 1) / s->stride + 1;
    const GpudlAct act = {s->act, 0, s->act == GPUDL_ACT_CLIP ? 6 : 0};
    size_t weights;

    *b = (Bench){.block = {.dtype = GPUDL_DTYPE_F16,
                           .xs = {batch, s->side, s->side, s->c, s->c},
                           .ys = {batch, out, out, s->k, s->k},
                           .z_pitch = s->stride == 1 && s->c == s->k ? s->k : 0,
                           .hidden = s->hidden > 0 ? s->hidden : s->c,
                           .expands = s->hidden > 0,
                           .taps = s->taps,
                           .stride = s->stride,
                           .pad = {s->taps / 2, s->taps / 2},
                           .expand = act,
                           .depthwise = act}};
    for (int i = 0; i < 2; i++) {
        b->between[i] = i == 0 ? b->block.xs : b->block.ys;
        b->between[i].c = b->block.hidden;
        b->between[i].pitch = b->block.hidden;
        b->hidden_bytes[i] = bytes_of(&b->between[i]);
    }
    b->x_bytes = bytes_of(&b->block.xs);
    b->y_bytes = bytes_of(&b->block.ys);
    weights = (size_t)b->block.hidden * (size_t)(s->c > s->k ? s->c : s->k) * 2;
    if (weights < (size_t)gpudl_mbconv_weight_bytes(&b->block))
        weights = (size_t)gpudl_mbconv_weight_bytes(&b->block);
    b->x = device_noise(ROTATED * b->x_bytes);
    b->weights = device_noise(weights);
    b->bias = device_noise((size_t)(b->block.hidden + s->k) * 4);
    b->hidden[0] = s->hidden > 0 ? device_output(ROTATED * b->hidden_bytes[0], 0) : (uint8_t *)(uintptr_t)b->x;
    b->hidden[1] = device_output(ROTATED * b->hidden_bytes[1], 0);
    b->y = device_output(ROTATED * b->y_bytes, 0);
}

static void bench_one(const Shape *s, int batch)
{
    GpudlMbconvPlan plans[GPUDL_MBCONV_PLANS];
    double single[3] = {0}, all = 0;
    char name[64];
    Bench b;
    int n;

    prepare(&b, s, batch);
    if (b.block.expands)
        single[0] = best_product(&b, launch_expand, &b.block.xs, &b.between[0]);
    single[1] = best_depthwise(&b);
    single[2] = best_product(&b, launch_project, &b.between[1], &b.block.ys);
    for (int i = 0; i < 3; i++)
        all += single[i];
    printf("# bench b%d %dx%d %d-%d-%d %dx%d/%d: three kernels %.2f us (%.2f + %.2f + %.2f)\n", batch, s->side, s->side,
           s->c, s->hidden, s->k, s->taps, s->taps, s->stride, all, single[0], single[1], single[2]);
    n = gpudl_mbconv_plans(&b.block, PROCESSORS, MOST_SHARED, gpudl_mbconv_has_clusters(), plans);
    for (int i = 0; i < n; i++) {
        b.plan = plans[i];
        snprintf(name, sizeof(name), "  tile %d in %d parts", plans[i].tile, plans[i].parts);
        device_bench(name, launch_block, &b, LAUNCHES,
                     (double)b.x_bytes + (double)b.y_bytes + (double)gpudl_mbconv_weight_bytes(&b.block));
    }
}

void mbconv_bench(void)
{
    static const Shape shapes[] = {{112, 32, 0, 16, 3, 1, GPUDL_ACT_CLIP},    {112, 16, 96, 24, 3, 2, GPUDL_ACT_CLIP},
                                   {56, 24, 144, 24, 3, 1, GPUDL_ACT_CLIP},   {56, 24, 144, 32, 3, 2, GPUDL_ACT_CLIP},
                                   {28, 32, 192, 32, 3, 1, GPUDL_ACT_CLIP},   {28, 32, 192, 64, 3, 2, GPUDL_ACT_CLIP},
                                   {14, 64, 384, 64, 3, 1, GPUDL_ACT_CLIP},   {14, 64, 384, 96, 3, 1, GPUDL_ACT_CLIP},
                                   {14, 96, 576, 96, 3, 1, GPUDL_ACT_CLIP},   {14, 96, 576, 160, 3, 2, GPUDL_ACT_CLIP},
                                   {7, 160, 960, 160, 3, 1, GPUDL_ACT_CLIP},  {7, 160, 960, 320, 3, 1, GPUDL_ACT_CLIP},
                                   {56, 24, 144, 40, 5, 2, GPUDL_ACT_CLIP},   {28, 40, 240, 40, 5, 1, GPUDL_ACT_CLIP},
                                   {14, 112, 672, 112, 5, 1, GPUDL_ACT_CLIP}, {28, 40, 240, 40, 5, 1, GPUDL_ACT_SILU}};
    static const int batches[] = {1, 32, 128};

    for (int number = 0; number < 3 * (int)(sizeof(shapes) / sizeof(*shapes)); number++) {
        device_case(number, "bench");
        bench_one(&shapes[number / 3], batches[number % 3]);
    }
}

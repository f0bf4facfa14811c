/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Convolution as a product of matrices against the reference in double: all types, tiles and numbers of splits. */
#include <stdio.h>

#include "kernels/conv_gemm_cuda.h"
#include "tests/kernels/conv_problem.h"
#include "tests/kernels/device.h"

#define MOST_SHARED (99 << 10) /* of compute capability 8.6; others of 8 and above have more */

static GpudlDType dtype_of(GpudlConvGemmType type)
{
    return type == GPUDL_CONV_GEMM_F16    ? GPUDL_DTYPE_F16
           : type == GPUDL_CONV_GEMM_BF16 ? GPUDL_DTYPE_BF16
                                          : GPUDL_DTYPE_F32;
}

/* Plans of whole sums: one for each tile that has a kernel of its own. */
static int tiles_of(GpudlConvGemmType type, const ConvProblem *p)
{
    const int is_float = type == GPUDL_CONV_GEMM_F32 || type == GPUDL_CONV_GEMM_TF32, e = is_float ? 4 : 8;
    const int channels = p->xs.c / p->groups;

    if (channels % e != 0 || p->xs.pitch % e != 0)
        return 1;
    return type == GPUDL_CONV_GEMM_F32 ? 2 : GPUDL_CONV_GEMM_TILES;
}

static int whole_sums(const GpudlConvGemmPlan *plans, int n)
{
    int whole = 0;

    for (int i = 0; i < n; i++)
        whole += plans[i].splits == 1;
    return whole;
}

/* Values of float32 are float16's, which TF32 has too: there the bounds are those of sums as well. */
static void test_random(void)
{
    for (int number = 0; number < device_cases(600); number++) {
        const GpudlConvGemmType type = (GpudlConvGemmType)(number % (GPUDL_CONV_GEMM_TYPE_LAST + 1));
        GpudlConvGemmPlan plans[GPUDL_CONV_GEMM_PLANS], *plan;
        ConvProblem p;
        void *workspace;
        int n;

        device_case(number, "conv_gemm type %d", type);
        /* 16, 8 or few bytes lie next to one another */
        conv_problem_random(&p, dtype_of(type), (int[]){8, 4, 8, 1}[device_int(0, 3)]);
        /* a large device, so that depths are split */
        n = gpudl_conv_gemm_plans(type, &p.xs, &p.window, p.groups, &p.ys, 1 << device_int(0, 8), MOST_SHARED, plans);
        if (whole_sums(plans, n) != tiles_of(type, &p) || n > 2 * tiles_of(type, &p))
            device_fail("%d plans, %d of whole sums, expected %d", n, whole_sums(plans, n), tiles_of(type, &p));
        plan = &plans[device_int(0, n - 1)];
        device_note(", tile %d splits %d", plan->tile, plan->splits);
        workspace = device_output((size_t)plan->workspace_bytes, 0);
        device_done(gpudl_conv_gemm_cuda(type, p.from_x, &p.xs, p.from_w, p.has_bias ? p.from_bias : NULL,
                                         p.has_z ? p.from_z : NULL, p.z_pitch, &p.window, p.groups, &p.act, p.to_y,
                                         &p.ys, plan, workspace, NULL));
        conv_problem_compare(&p);
    }
}

/* Each tile is there as a whole, those with a deep sum in parts too; none that finds no room. */
static void test_plans(void)
{
    const GpudlNhwc xs = {1, 7, 7, 512, 512}, ys = {1, 7, 7, 512, 512};
    const GpudlWindow window = {2, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, {1, 1, 1}};
    GpudlConvGemmPlan plans[GPUDL_CONV_GEMM_PLANS];
    int n = gpudl_conv_gemm_plans(GPUDL_CONV_GEMM_F16, &xs, &window, 1, &ys, 132, MOST_SHARED, plans), whole = 0;

    if (n != 2 * GPUDL_CONV_GEMM_TILES)
        device_fail("found %d plans, expected %d", n, 2 * GPUDL_CONV_GEMM_TILES);
    for (int i = 0; i < n; i++) {
        const int64_t bytes = plans[i].splits > 1 ? (int64_t)plans[i].splits * 49 * 512 * 4 : 0;

        whole |= plans[i].splits == 1 ? 1 << plans[i].tile : 0;
        if (plans[i].workspace_bytes != bytes)
            device_fail("plan %d of %d parts: found %lld bytes, expected %lld", i, plans[i].splits,
                        (long long)plans[i].workspace_bytes, (long long)bytes);
    }
    if (whole != (1 << GPUDL_CONV_GEMM_TILES) - 1)
        device_fail("tiles found as a whole: %x", whole);
    if (plans[0].splits == 1)
        device_fail("49 pixels are thought to be the fastest as a whole");
    n = gpudl_conv_gemm_plans(GPUDL_CONV_GEMM_F16, &xs, &window, 1, &ys, 132, 48 << 10, plans);
    for (int i = 0; i < n; i++)
        if (plans[i].tile == 0 || plans[i].tile == 4 || plans[i].tile == 5)
            device_fail("tile %d needs more than 48 kB", plans[i].tile);
    if (n != 2 * (GPUDL_CONV_GEMM_TILES - 3))
        device_fail("found %d plans of 48 kB", n);
}

static void test_refuses(void)
{
    const GpudlNhwc xs = {1, 4, 4, 6, 6}, ys = {1, 4, 4, 8, 8}, other = {2, 4, 4, 8, 8}, none = {0, 4, 4, 6, 6},
                    empty = {0, 4, 4, 8, 8};
    const GpudlWindow good = {2, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}},
                      deep = {3, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}};
    const GpudlAct act = {GPUDL_ACT_NONE, 0, 0};
    const GpudlConvGemmPlan plan = {0, 1, 0}, unknown = {GPUDL_CONV_GEMM_TILES, 1, 0}, split = {0, 2, 1 << 20};
    void *y = device_output(256, 0);
    const struct {
        int type, groups;
        const GpudlNhwc *xs, *ys;
        const GpudlWindow *window;
        const GpudlConvGemmPlan *plan;
        int64_t z_pitch;
        int status;
    } calls[] = {
        {GPUDL_CONV_GEMM_TYPE_LAST + 1, 1, &xs, &ys, &good, &plan, 8, GPUDL_KERNEL_DTYPE},
        {GPUDL_CONV_GEMM_F16, 4, &xs, &ys, &good, &plan, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_CONV_GEMM_F16, 3, &xs, &ys, &good, &plan, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_CONV_GEMM_F16, 1, &xs, &ys, &deep, &plan, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_CONV_GEMM_F16, 1, &xs, &ys, &good, &plan, 7, GPUDL_KERNEL_SHAPE},
        {GPUDL_CONV_GEMM_F16, 1, &xs, &other, &good, &plan, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_CONV_GEMM_F16, 1, &xs, &ys, &good, &unknown, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_CONV_GEMM_F16, 1, &xs, &ys, &good, &split, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_CONV_GEMM_F16, 1, &none, &empty, &good, &plan, 8, GPUDL_KERNEL_OK},
    };

    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        const int status =
            gpudl_conv_gemm_cuda((GpudlConvGemmType)calls[i].type, y, calls[i].xs, y, NULL, y, calls[i].z_pitch,
                                 calls[i].window, calls[i].groups, &act, y, calls[i].ys, calls[i].plan, NULL, NULL);

        if (status != calls[i].status)
            device_fail("call %d: found %d, expected %d", (int)i, status, calls[i].status);
    }
}

/* ---- benches ---------------------------------------------------------------------------------------------------- */

typedef struct {
    GpudlNhwc xs, ys;
    GpudlWindow window;
    GpudlConvGemmPlan plan;
    const uint8_t *x, *w;
    const void *z;
    const float *bias;
    uint8_t *y;
    void *workspace;
    size_t x_bytes, w_bytes, y_bytes;
} Bench;

enum { ROTATED = 3 };

static int launch(void *data, int i, GpudlKernelStream stream)
{
    static const GpudlAct relu = {GPUDL_ACT_RELU, 0, 0};
    const Bench *b = data;
    const size_t at = (size_t)(i % ROTATED);

    return gpudl_conv_gemm_cuda(GPUDL_CONV_GEMM_F16, b->x + at * b->x_bytes, &b->xs, b->w + at * b->w_bytes, b->bias,
                                b->z, b->ys.pitch, &b->window, 1, &relu, b->y + at * b->y_bytes, &b->ys, &b->plan,
                                b->workspace, stream);
}

/* Layers of resnet50 and mobilenet_v2 at 224 x 224: every plan, so that the best one and the first are seen. */
static void bench(void)
{
    static const struct {
        int side, c, k, taps, stride, residual;
    } layers[] = {
        {224, 4, 64, 7, 2, 0},    {56, 64, 64, 1, 1, 0},   {56, 64, 64, 3, 1, 0},   {56, 64, 256, 1, 1, 1},
        {56, 256, 64, 1, 1, 0},   {56, 256, 512, 1, 2, 0}, {56, 128, 128, 3, 2, 0}, {28, 128, 128, 3, 1, 0},
        {28, 128, 512, 1, 1, 1},  {28, 512, 128, 1, 1, 0}, {14, 256, 256, 3, 1, 0}, {14, 256, 1024, 1, 1, 1},
        {14, 1024, 256, 1, 1, 0}, {7, 512, 512, 3, 1, 0},  {7, 512, 2048, 1, 1, 1}, {7, 2048, 512, 1, 1, 0},
        {1, 2048, 1000, 1, 1, 0}, {224, 4, 32, 3, 2, 0},   {112, 32, 16, 1, 1, 0},  {112, 16, 96, 1, 1, 0},
        {56, 24, 144, 1, 1, 0},   {56, 144, 24, 1, 1, 1},  {28, 32, 192, 1, 1, 0},  {28, 192, 32, 1, 1, 1},
        {14, 64, 384, 1, 1, 0},   {14, 384, 64, 1, 1, 1},  {14, 96, 576, 1, 1, 0},  {7, 160, 960, 1, 1, 0},
        {7, 960, 160, 1, 1, 1},   {7, 320, 1280, 1, 1, 0},
    };

    for (int number = 0; number < 3 * (int)(sizeof(layers) / sizeof(*layers)); number++) {
        const int i = number / 3, batch = (int[]){1, 8, 32}[number % 3];
        const int side = layers[i].side, out = (side - 1) / layers[i].stride + 1, pad = layers[i].taps / 2;
        const double flops = 2. * batch * out * out * layers[i].k * layers[i].c * layers[i].taps * layers[i].taps;
        GpudlConvGemmPlan plans[GPUDL_CONV_GEMM_PLANS];
        Bench b = {.xs = {batch, side, side, layers[i].c, layers[i].c},
                   .ys = {batch, out, out, layers[i].k, layers[i].k},
                   .window = {2,
                              {1, layers[i].taps, layers[i].taps},
                              {1, layers[i].stride, layers[i].stride},
                              {0, pad, pad},
                              {0, pad, pad},
                              {1, 1, 1}}};
        int n;

        device_case(number, "bench");
        b.x_bytes = (size_t)batch * (size_t)(side * side) * (size_t)layers[i].c * 2;
        b.y_bytes = (size_t)batch * (size_t)(out * out) * (size_t)layers[i].k * 2;
        b.w_bytes = (size_t)layers[i].k * (size_t)layers[i].c * (size_t)(layers[i].taps * layers[i].taps) * 2;
        b.x = device_noise(ROTATED * b.x_bytes);
        b.w = device_noise(ROTATED * b.w_bytes);
        b.z = layers[i].residual ? device_noise(b.y_bytes) : NULL;
        b.bias = device_noise((size_t)layers[i].k * 4);
        b.y = device_output(ROTATED * b.y_bytes, 0);
        n = gpudl_conv_gemm_plans(GPUDL_CONV_GEMM_F16, &b.xs, &b.window, 1, &b.ys, 132, MOST_SHARED, plans);
        for (int plan = 0; plan < n; plan++) {
            char name[96];

            b.plan = plans[plan];
            b.workspace = device_output((size_t)b.plan.workspace_bytes, 0);
            snprintf(name, sizeof(name), "b%d %dx%d %d-%d %dx%d/%d t%d s%d %.2f GFLOP", batch, side, side, layers[i].c,
                     layers[i].k, layers[i].taps, layers[i].taps, layers[i].stride, b.plan.tile, b.plan.splits,
                     flops / 1e9);
            device_bench(name, launch, &b, 12,
                         (double)b.x_bytes + (double)b.w_bytes + (double)b.y_bytes * (layers[i].residual ? 2 : 1));
        }
    }
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {
        {"random", test_random}, {"plans", test_plans}, {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"conv_gemm", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}

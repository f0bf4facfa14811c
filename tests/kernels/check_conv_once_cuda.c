/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Convolution of few pixels against the reference in double: all forms, tiles and parts. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/conv_gemm_cuda.h"
#include "kernels/conv_once_cuda.h"
#include "tests/kernels/conv_problem.h"
#include "tests/kernels/device.h"

#define MULTIPROCESSORS 132
#define NOT_SUPPORTED 801 /* cudaErrorNotSupported */
#define MOST_SHARED (227 << 10)

static int run(const ConvProblem *p, const GpudlConvOncePlan *plan)
{
    return gpudl_conv_once_cuda(p->dtype, p->from_x, &p->xs, p->from_w, p->has_bias ? p->from_bias : NULL,
                                p->has_z ? p->from_z : NULL, p->z_pitch, &p->window, p->groups, &p->act, p->to_y,
                                &p->ys, plan, NULL);
}

static void note_plan(const GpudlConvOncePlan *plan)
{
    device_note(", form %d tile %d parts %d", plan->form, plan->tile, plan->parts);
}

static void need_kernels(void)
{
    if (!gpudl_conv_once_runs())
        device_skip("of compute capability 9.0 alone, in code that is compiled for it");
}

/* Any window; pictures without, and with, a multiple of 64 channels. */
static void test_random(void)
{
    int fit = 0;

    need_kernels();
    for (int number = 0; number < device_cases(600); number++) {
        GpudlConvOncePlan plans[GPUDL_CONV_ONCE_PLANS];
        ConvProblem p;
        int n;

        device_case(number, "conv_once");
        conv_problem_random(&p, number % 3 == 2 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F16, 8);
        n = gpudl_conv_once_plans(p.dtype, &p.xs, &p.window, p.groups, &p.ys, MULTIPROCESSORS, MOST_SHARED, plans);
        if (n == 0) {
            const GpudlConvOncePlan any = {GPUDL_CONV_ONCE_PLACES, 16, 1, 0};

            if (p.groups == 1 && p.window.kernel[1] <= 3 && p.window.kernel[2] <= 3)
                device_fail("it does not fit");
            if (p.groups > 1 && run(&p, &any) != GPUDL_KERNEL_SHAPE)
                device_fail("what does not fit is not refused");
            continue;
        }
        fit++;
        note_plan(&plans[number % n]);
        device_done(run(&p, &plans[number % n]));
        conv_problem_compare(&p);
    }
    device_case(-1, "conv_once");
    if (fit < device_cases(600) / 3)
        device_fail("%d problems fit", fit);
}

/* A square picture, an odd one at times, and all plans of it in turn. */
static void choose_layer(ConvProblem *p, int number)
{
    static const struct {
        int side, c, k, taps, stride;
    } layers[] = {
        {7, 512, 64, 1, 1}, {14, 256, 72, 3, 1}, {7, 192, 192, 3, 1}, {9, 128, 128, 3, 2}, {14, 136, 24, 1, 2},
        {5, 640, 64, 3, 1}, {30, 64, 64, 3, 1},  {1, 520, 200, 1, 1}, {8, 320, 65, 5, 1},
    };
    const int i = number % (int)(sizeof(layers) / sizeof(*layers)), side = layers[i].side, pad = layers[i].taps / 2;
    const int n = (int)device_int(1, 3), wider = (int)device_int(0, 2), out = (side - 1) / layers[i].stride + 1;

    *p = (ConvProblem){.xs = {n, side, side + wider, layers[i].c, layers[i].c},
                       .ys = {n, out, (side + wider - 1) / layers[i].stride + 1, layers[i].k, layers[i].k},
                       .z_pitch = layers[i].k,
                       .window = {2,
                                  {1, layers[i].taps, layers[i].taps},
                                  {1, layers[i].stride, layers[i].stride},
                                  {0, pad, pad},
                                  {0, pad, pad},
                                  {1, 1, 1}},
                       .act = {GPUDL_ACT_RELU, 0, 0},
                       .groups = 1,
                       .has_bias = (int)device_int(0, 1),
                       .has_z = (int)device_int(0, 1),
                       .dtype = number % 4 == 3 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F16};
}

static void test_layers(void)
{
    need_kernels();
    for (int number = 0; number < device_cases(360); number++) {
        GpudlConvOncePlan plans[GPUDL_CONV_ONCE_PLANS], *plan;
        ConvProblem p;
        int n;

        device_case(number, "conv_once");
        choose_layer(&p, number);
        conv_problem_fill(&p);
        n = gpudl_conv_once_plans(p.dtype, &p.xs, &p.window, 1, &p.ys, MULTIPROCESSORS, MOST_SHARED, plans);
        if (n < 4)
            device_fail("%d plans", n);
        plan = &plans[device_int(0, n - 1)];
        note_plan(plan);
        device_done(run(&p, plan));
        conv_problem_compare(&p);
    }
}

/* Inside groups of 64 channels, of which the last tile may be short. */
static void test_groups(void)
{
    need_kernels();
    for (int number = 0; number < device_cases(40); number++) {
        GpudlConvOncePlan plans[GPUDL_CONV_ONCE_PLANS];
        const int side = (int)device_int(3, 15), groups = (int)device_int(2, 3), taps = number % 2 == 0 ? 3 : 1;
        ConvProblem p = {.xs = {2, side, side, groups * 64 * (int)device_int(1, 2), 0},
                         .ys = {2, side, side, groups * (int)device_int(1, 80), 0},
                         .window = {2, {1, taps, taps}, {1, 1, 1}, {0, taps / 2, taps / 2}, {0}, {1, 1, 1}},
                         .act = {GPUDL_ACT_SILU, 0, 0},
                         .groups = groups,
                         .has_bias = 1,
                         .has_z = 1,
                         .dtype = GPUDL_DTYPE_F16};
        int n;

        device_case(number, "conv_once");
        p.xs.pitch = p.xs.c + 8 * device_int(0, 2);
        p.z_pitch = p.ys.pitch = p.ys.c + device_int(0, 9);
        conv_problem_fill(&p);
        n = gpudl_conv_once_plans(p.dtype, &p.xs, &p.window, groups, &p.ys, MULTIPROCESSORS, MOST_SHARED, plans);
        if (n == 0)
            device_fail("it does not fit");
        note_plan(&plans[number % n]);
        device_done(run(&p, &plans[number % n]));
        conv_problem_compare(&p);
    }
}

/* ---- layers one behind the other --------------------------------------------------------------------------------- */

enum { DEPTH = 24, BUFFERS = 3 };

typedef struct {
    GpudlNhwc s;
    size_t bytes;
    GpudlWindow windows[DEPTH];
    GpudlConvOncePlan plans[DEPTH];
    const void *source, *weights[DEPTH];
    void *buffers[BUFFERS];
} Chain;

/* What layer i reads, or i - 1 adds: layers before the first one are the source. */
static const void *result_of(const Chain *chain, int i)
{
    return i < 0 ? chain->source : chain->buffers[i % BUFFERS];
}

static int launch_layer(const Chain *chain, int i, GpudlKernelStream stream)
{
    static const GpudlAct act = {GPUDL_ACT_CLIP, -1, 1};

    return gpudl_conv_once_cuda(GPUDL_DTYPE_F16, result_of(chain, i - 1), &chain->s, chain->weights[i], NULL,
                                result_of(chain, i - 2), chain->s.pitch, &chain->windows[i], 1, &act,
                                chain->buffers[i % BUFFERS], &chain->s, &chain->plans[i], stream);
}

static int launch_chain(void *data, int number, GpudlKernelStream stream)
{
    int status = 0;

    (void)number;
    for (int i = 0; i < DEPTH && status == 0; i++)
        status = launch_layer(data, i, stream);
    return status;
}

static void fill_chain(Chain *chain, int side, int channels, int n)
{
    uint16_t *values;

    chain->s = (GpudlNhwc){n, side, side, channels, channels};
    chain->bytes = (size_t)n * (size_t)(side * side) * (size_t)channels * 2;
    values = device_host(chain->bytes);
    device_random(GPUDL_DTYPE_F16, values, chain->bytes / 2, -1, 1, 0);
    chain->source = device_input(values, chain->bytes, 0);
    for (int i = 0; i < BUFFERS; i++)
        chain->buffers[i] = device_output(chain->bytes, 0);
    for (int i = 0; i < DEPTH; i++) {
        GpudlConvOncePlan plans[GPUDL_CONV_ONCE_PLANS];
        const int taps = device_int(0, 1) ? 3 : 1;
        const size_t weights = (size_t)channels * (size_t)channels * (size_t)(taps * taps);
        const double range = 2 / sqrt((double)(channels * taps * taps));
        int plan;

        chain->windows[i] =
            (GpudlWindow){2, {1, taps, taps}, {1, 1, 1}, {0, taps / 2, taps / 2}, {0, taps / 2, taps / 2}, {1, 1, 1}};
        plan = gpudl_conv_once_plans(GPUDL_DTYPE_F16, &chain->s, &chain->windows[i], 1, &chain->s, MULTIPROCESSORS,
                                     MOST_SHARED, plans);
        chain->plans[i] = plans[device_int(0, (plan < 12 ? plan : 12) - 1)];
        values = device_host(weights * 2);
        device_random(GPUDL_DTYPE_F16, values, weights, -range, range, 0);
        chain->weights[i] = device_input(values, weights * 2, 0);
    }
}

/* A network's way through a few buffers: each layer reads what the one before wrote, and adds what the one before that
 * did. Replayed as a graph, in which launches overlap, it computes what it does when each waits for the last. Benches'
 * graphs are not in the emulation: this is a bench. */
static void bench_chain(void)
{
    for (int number = 0; number < device_cases(48); number++) {
        static const int sides[] = {7, 14, 28, 56}, channels[] = {512, 256, 128, 64};
        uint16_t *expected[BUFFERS];
        Chain chain;
        double seconds;

        need_kernels();
        device_case(number, "chain of %dx%dx%d", sides[number % 4], sides[number % 4], channels[number % 4]);
        fill_chain(&chain, sides[number % 4], channels[number % 4], 1 + number / 4 % 2);
        for (int i = 0; i < DEPTH; i++)
            device_done(launch_layer(&chain, i, NULL));
        for (int i = 0; i < BUFFERS; i++)
            expected[i] = device_fetch(chain.buffers[i], chain.bytes);
        seconds = device_time(launch_chain, &chain, 4);
        for (int i = DEPTH - BUFFERS; i < DEPTH; i++) {
            const uint16_t *got = device_fetch(chain.buffers[i % BUFFERS], chain.bytes);

            for (size_t at = 0; at < chain.bytes / 2; at++)
                if (got[at] != expected[i % BUFFERS][at])
                    device_fail("layer %d (form %d tile %d parts %d held %d), value %d: found %g, expected %g", i,
                                chain.plans[i].form, chain.plans[i].tile, chain.plans[i].parts, chain.plans[i].held,
                                (int)at, device_get(GPUDL_DTYPE_F16, got, (int64_t)at),
                                device_get(GPUDL_DTYPE_F16, expected[i % BUFFERS], (int64_t)at));
        }
        printf("# chain %d: %.2f us a layer\n", number, seconds * 1e6 / DEPTH);
    }
}

/* All forms, tiles and parts are there where they help, and none that finds no room. */
static void test_plans(void)
{
    const GpudlNhwc xs = {1, 14, 14, 256, 256}, ys = {1, 14, 14, 256, 256};
    const GpudlWindow window = {2, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, {1, 1, 1}};
    GpudlConvOncePlan plans[GPUDL_CONV_ONCE_PLANS];
    const int rooms[] = {MOST_SHARED, 99 << 10, 64 << 10, 8 << 10};
    int before = GPUDL_CONV_ONCE_PLANS + 1, n;

    for (size_t i = 0; i < sizeof(rooms) / sizeof(*rooms); i++) {
        n = gpudl_conv_once_plans(GPUDL_DTYPE_F16, &xs, &window, 1, &ys, MULTIPROCESSORS, rooms[i], plans);
        if (n >= before)
            device_fail("%d plans in %d bytes, %d in more", n, rooms[i], before);
        before = n;
    }
    if (n != 0)
        device_fail("%d plans in 8 kB", n);
    n = gpudl_conv_once_plans(GPUDL_DTYPE_F16, &xs, &window, 1, &ys, MULTIPROCESSORS, MOST_SHARED, plans);
    for (int i = 0; i < n; i++) {
        /* rows of 14 outputs lie 16 apart: 14, 30, 46, 62, 94 and 126 lines; 24, 40 and 56 hold no row more */
        const int one_of = plans[i].tile == 24 || plans[i].tile == 40 || plans[i].tile == 56;

        if (plans[i].form == GPUDL_CONV_ONCE_ROWS && one_of)
            device_fail("a tile of %d has no more rows than a smaller one", plans[i].tile);
        if (plans[i].form == GPUDL_CONV_ONCE_ROWS && plans[i].parts > 4)
            device_fail("%d parts of 4 units", plans[i].parts);
    }
    if (plans[0].parts == 1)
        device_fail("sums of 2304 terms for 196 pixels are thought to be the fastest as a whole");
}

static void test_refuses(void)
{
    const GpudlNhwc xs = {1, 4, 4, 64, 64}, ys = {1, 4, 4, 8, 8}, four = {1, 4, 4, 4, 4}, odd = {1, 4, 4, 64, 68},
                    other = {2, 4, 4, 8, 8}, none = {0, 4, 4, 64, 64}, empty = {0, 4, 4, 8, 8};
    const GpudlWindow good = {2, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}},
                      deep = {3, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}},
                      fast = {2, {1, 1, 1}, {1, 1, 9}, {0}, {0}, {1, 1, 1}},
                      wide = {2, {1, 1, 2}, {1, 1, 1}, {0}, {0}, {1, 1, 256}};
    const GpudlAct act = {GPUDL_ACT_NONE, 0, 0};
    const GpudlConvOncePlan plan = {0, 16, 1, 0}, tile = {0, 20, 1, 0}, parts = {0, 16, 3, 0}, many = {0, 16, 2, 0},
                            form = {2, 16, 1, 0}, rows = {GPUDL_CONV_ONCE_ROWS, 16, 1, 0}, held = {0, 16, 1, 5};
    uint8_t *y = device_output(8192, 0);
    const struct {
        GpudlDType dtype;
        int groups, offset;
        const GpudlNhwc *xs, *ys;
        const GpudlWindow *window;
        const GpudlConvOncePlan *plan;
        int64_t z_pitch;
        int status;
    } calls[] = {
        {GPUDL_DTYPE_F32, 1, 0, &xs, &ys, &good, &plan, 8, GPUDL_KERNEL_DTYPE},
        {GPUDL_DTYPE_F16, 2, 0, &xs, &ys, &good, &plan, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, 1, 2, &xs, &ys, &good, &plan, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, 1, 0, &four, &ys, &good, &plan, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, 1, 0, &odd, &ys, &good, &plan, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, 1, 0, &xs, &other, &good, &plan, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, 1, 0, &xs, &ys, &deep, &plan, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, 1, 0, &xs, &ys, &fast, &plan, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, 1, 0, &xs, &ys, &wide, &plan, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, 1, 0, &xs, &ys, &good, &tile, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, 1, 0, &xs, &ys, &good, &parts, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, 1, 0, &xs, &ys, &good, &many, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, 1, 0, &xs, &ys, &good, &form, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, 1, 0, &xs, &ys, &good, &rows, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, 1, 0, &xs, &ys, &good, &held, 8, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, 1, 0, &xs, &ys, &good, &plan, 7, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, 1, 0, &none, &empty, &good, &plan, 8, GPUDL_KERNEL_OK},
    };

    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        const int status =
            gpudl_conv_once_cuda(calls[i].dtype, y + calls[i].offset, calls[i].xs, y, NULL, y, calls[i].z_pitch,
                                 calls[i].window, calls[i].groups, &act, y, calls[i].ys, calls[i].plan, NULL);

        if (status != calls[i].status)
            device_fail("call %d: found %d, expected %d", (int)i, status, calls[i].status);
    }
    if (!gpudl_conv_once_runs() && gpudl_conv_once_cuda(GPUDL_DTYPE_F16, y, &xs, y, NULL, y, 8, &good, 1, &act, y, &ys,
                                                        &plan, NULL) != NOT_SUPPORTED)
        device_fail("what the device does not run is not refused");
}

/* ---- benches ---------------------------------------------------------------------------------------------------- */

enum { ROTATED = 3, LAUNCHES = 24 };

typedef struct {
    GpudlNhwc xs, ys;
    GpudlWindow window;
    GpudlConvGemmPlan gemm;
    GpudlConvOncePlan once;
    const uint8_t *x, *w;
    const void *z;
    const float *bias;
    uint8_t *y;
    void *workspace;
    size_t x_bytes, w_bytes, y_bytes;
} Bench;

static const GpudlAct relu = {GPUDL_ACT_RELU, 0, 0};

static int launch_once(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;
    const size_t at = (size_t)(i % ROTATED);

    return gpudl_conv_once_cuda(GPUDL_DTYPE_F16, b->x + at * b->x_bytes, &b->xs, b->w + at * b->w_bytes, b->bias, b->z,
                                b->ys.pitch, &b->window, 1, &relu, b->y + at * b->y_bytes, &b->ys, &b->once, stream);
}

static int launch_gemm(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;
    const size_t at = (size_t)(i % ROTATED);

    return gpudl_conv_gemm_cuda(GPUDL_CONV_GEMM_F16, b->x + at * b->x_bytes, &b->xs, b->w + at * b->w_bytes, b->bias,
                                b->z, b->ys.pitch, &b->window, 1, &relu, b->y + at * b->y_bytes, &b->ys, &b->gemm,
                                b->workspace, stream);
}

/* The best of the product's first plans, in seconds. */
static double bench_gemm(Bench *b)
{
    GpudlConvGemmPlan plans[GPUDL_CONV_GEMM_PLANS];
    const int n =
        gpudl_conv_gemm_plans(GPUDL_CONV_GEMM_F16, &b->xs, &b->window, 1, &b->ys, MULTIPROCESSORS, MOST_SHARED, plans);
    double best = 1;

    for (int i = 0; i < n && i < 4; i++) {
        double seconds;

        b->gemm = plans[i];
        b->workspace = device_output((size_t)plans[i].workspace_bytes, 0);
        seconds = device_time(launch_gemm, b, LAUNCHES);
        best = seconds < best ? seconds : best;
    }
    return best;
}

/* Layers of resnet18 and resnet50 at 224 x 224: each plan, the best one beside the product's. */
static void bench(void)
{
    static const struct {
        int side, c, k, taps, stride, residual;
    } layers[] = {
        {56, 64, 64, 1, 1, 0},   {56, 64, 64, 3, 1, 0},   {56, 64, 256, 1, 1, 1},   {56, 256, 64, 1, 1, 0},
        {56, 64, 128, 3, 2, 0},  {56, 64, 128, 1, 2, 0},  {56, 128, 128, 3, 2, 0},  {56, 256, 512, 1, 2, 0},
        {28, 128, 128, 3, 1, 0}, {28, 128, 512, 1, 1, 1}, {28, 512, 128, 1, 1, 0},  {28, 128, 256, 3, 2, 0},
        {28, 256, 256, 3, 2, 0}, {14, 256, 256, 3, 1, 0}, {14, 256, 1024, 1, 1, 1}, {14, 1024, 256, 1, 1, 0},
        {14, 256, 512, 3, 2, 0}, {14, 512, 512, 3, 2, 0}, {7, 512, 512, 3, 1, 0},   {7, 512, 2048, 1, 1, 1},
        {7, 2048, 512, 1, 1, 0}, {1, 512, 1000, 1, 1, 0}, {1, 2048, 1000, 1, 1, 0},
    };

    need_kernels();
    for (int number = 0; number < 2 * (int)(sizeof(layers) / sizeof(*layers)); number++) {
        const int i = number / 2, batch = number % 2 == 0 ? 1 : 8;
        const int side = layers[i].side, out = (side - 1) / layers[i].stride + 1, pad = layers[i].taps / 2;
        GpudlConvOncePlan plans[GPUDL_CONV_ONCE_PLANS], best = {0};
        Bench b = {.xs = {batch, side, side, layers[i].c, layers[i].c},
                   .ys = {batch, out, out, layers[i].k, layers[i].k},
                   .window = {2,
                              {1, layers[i].taps, layers[i].taps},
                              {1, layers[i].stride, layers[i].stride},
                              {0, pad, pad},
                              {0, pad, pad},
                              {1, 1, 1}}};
        double seconds, least = 1, first = 0;
        char name[96];
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
        snprintf(name, sizeof(name), "b%d %dx%d %d-%d %dx%d/%d", batch, side, side, layers[i].c, layers[i].k,
                 layers[i].taps, layers[i].taps, layers[i].stride);
        n = gpudl_conv_once_plans(GPUDL_DTYPE_F16, &b.xs, &b.window, 1, &b.ys, MULTIPROCESSORS, MOST_SHARED, plans);
        for (int plan = 0; plan < n; plan++) {
            b.once = plans[plan];
            seconds = device_time(launch_once, &b, LAUNCHES);
            printf("# plan %s %d: form %d tile %d parts %d held %d %.2f us\n", name, plan, b.once.form, b.once.tile,
                   b.once.parts, b.once.held, seconds * 1e6);
            if (plan < 6 && (plan == 0 || seconds < first))
                first = seconds;
            if (seconds < least) {
                least = seconds;
                best = plans[plan];
            }
        }
        printf("# bench %-28s product %6.2f us, once %6.2f us (form %d tile %3d parts %d held %d), of the first six "
               "%6.2f us\n",
               name, bench_gemm(&b) * 1e6, least * 1e6, best.form, best.tile, best.parts, best.held, first * 1e6);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"random", test_random}, {"layers", test_layers},   {"groups", test_groups},
                                         {"plans", test_plans},   {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"conv_once", bench}, {"chain", bench_chain}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}

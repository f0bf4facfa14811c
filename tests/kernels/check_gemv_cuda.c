/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Products with few vectors against the references of means and products, in double. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/conv_gemm_cuda.h"
#include "kernels/conv_once_cuda.h"
#include "kernels/gemm.h"
#include "kernels/gemv_cuda.h"
#include "kernels/pool.h"
#include "kernels/pool_cuda.h"
#include "tests/kernels/device.h"

#define MULTIPROCESSORS 132
#define MOST_SHARED (227 << 10)

typedef struct {
    GpudlNhwc xs;
    GpudlDType dtype;
    int32_t k;
    int64_t y_pitch;
    GpudlAct act;
    int with_bias;
    uint16_t *x, *w; /* host */
    float *bias;
    GpudlGemvPlan plan;
} Problem;

static size_t elements(const Problem *p)
{
    return ((size_t)p->xs.n * (size_t)p->xs.h * (size_t)p->xs.w - 1) * (size_t)p->xs.pitch + (size_t)p->xs.c;
}

static void fill(Problem *p, int odd)
{
    const size_t n = elements(p), weights = (size_t)p->k * (size_t)p->xs.c;
    const double most = 2 / sqrt(p->xs.c);

    p->x = device_host(n * 2);
    p->w = device_host(weights * 2);
    p->bias = device_host((size_t)p->k * sizeof *p->bias);
    device_random(p->dtype, p->x, n, -2, 2, odd);
    device_random(p->dtype, p->w, weights, -most, most, 0);
    for (int i = 0; i < p->k; i++)
        p->bias[i] = (float)device_real(-1, 1);
}

static void random_problem(Problem *p, int number)
{
    static const int many[] = {0, 8, 120, 128, 136, 1000, 1032};
    const int pooled = number % 3 == 0, c = device_int(0, 1) ? 8 * (int)device_int(1, 160) : many[device_int(1, 6)];
    const GpudlActKind act = (GpudlActKind)device_int(0, GPUDL_ACT_LAST);
    GpudlGemvPlan plans[GPUDL_GEMV_PLANS];
    int n;

    memset(p, 0, sizeof *p);
    p->dtype = number % 4 == 3 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F16;
    p->xs = (GpudlNhwc){(int)device_int(1, GPUDL_GEMV_VECTORS), 1, 1, c, c + 8 * device_int(0, 2)};
    if (pooled) {
        p->xs.h = (int)device_int(1, 9);
        p->xs.w = (int)device_int(1, 9);
    }
    p->k = (int)(device_int(0, 2) ? device_int(1, 300) : 16 * device_int(1, 16));
    p->y_pitch = p->k + (device_int(0, 1) ? device_int(0, 9) : 0);
    p->act = (GpudlAct){act, act == GPUDL_ACT_CLIP ? -.5f : .2f, act == GPUDL_ACT_CLIP ? 1 : .5f};
    p->with_bias = device_int(0, 3) != 0;
    n = gpudl_gemv_plans(p->dtype, &p->xs, p->k, MULTIPROCESSORS, MOST_SHARED, gpudl_gemv_has_clusters(), plans);
    if (n < 8)
        device_fail("%d plans", n);
    p->plan = plans[device_int(0, n - 1)];
    fill(p, number % 5 == 4);
}

static GpudlTensorView doubles(int64_t a, int64_t b)
{
    return (GpudlTensorView){GPUDL_DTYPE_F64, {2, {a, b}}, device_host((size_t)(a * b) * sizeof(double))};
}

/* The vectors: means as the type has them. magnitude: of values' magnitudes. */
static GpudlTensorView means(const Problem *p, int magnitude)
{
    const int64_t plane = (int64_t)p->xs.h * p->xs.w;
    const GpudlTensorView to = doubles(p->xs.n, p->xs.c);
    const GpudlTensorView x = {GPUDL_DTYPE_F64,
                               {3, {p->xs.n, p->xs.c, plane}},
                               device_host((size_t)(p->xs.n * p->xs.c * plane) * sizeof(double))};
    const GpudlTensorView y = {GPUDL_DTYPE_F64, {3, {p->xs.n, p->xs.c, 1}}, to.data};

    for (int64_t n = 0; n < p->xs.n; n++)
        for (int64_t i = 0; i < plane; i++)
            for (int64_t c = 0; c < p->xs.c; c++) {
                const double v = device_get(p->dtype, p->x, (n * plane + i) * p->xs.pitch + c);

                ((double *)x.data)[(n * p->xs.c + c) * plane + i] = magnitude ? fabs(v) : v;
            }
    if (gpudl_global_pool_ref(GPUDL_POOL_AVERAGE, &x, &y, NULL) != 0)
        device_fail("the reference refuses");
    return to;
}

static const double *product(const Problem *p, const GpudlTensorView *x, int magnitude)
{
    const GpudlGemm params = {
        .trans_b = 1, .alpha = 1, .beta = 1, .act = magnitude ? (GpudlAct){GPUDL_ACT_NONE, 0, 0} : p->act};
    const GpudlTensorView w = doubles(p->k, p->xs.c), bias = doubles(1, p->k), y = doubles(p->xs.n, p->k);

    for (int64_t i = 0; i < (int64_t)p->k * p->xs.c; i++) {
        const double v = device_get(p->dtype, p->w, i);

        ((double *)w.data)[i] = magnitude ? fabs(v) : v;
    }
    for (int k = 0; k < p->k; k++)
        ((double *)bias.data)[k] = magnitude ? fabs((double)p->bias[k]) : (double)p->bias[k];
    if (gpudl_gemm_ref(x, &w, p->with_bias ? &bias : NULL, &params, &y, NULL) != 0)
        device_fail("the reference refuses");
    return y.data;
}

static void compare(const Problem *p, const void *got)
{
    GpudlTensorView x = means(p, 0), large = means(p, 1);
    const int pooled = p->xs.h * p->xs.w > 1;
    const double *expected, *magnitude;

    for (int64_t i = 0; i < (int64_t)p->xs.n * p->xs.c && pooled; i++)
        ((double *)x.data)[i] = device_rounded(p->dtype, ((double *)x.data)[i]);
    expected = product(p, &x, 0);
    magnitude = product(p, &large, 1);
    for (int n = 0; n < p->xs.n; n++)
        for (int64_t k = 0; k < p->y_pitch; k++) {
            const int64_t at = n * p->y_pitch + k, of = n * p->k + k;
            /* a mean that is summed in another order may be rounded to the neighbour */
            const double mean = p->dtype == GPUDL_DTYPE_BF16 ? 0x1p-8 : 0x1p-11;
            double value, wanted, bound;

            if (k >= p->k) { /* another tensor's */
                if (n + 1 < p->xs.n && ((const uint16_t *)got)[at] != 0xffff)
                    device_fail("vector %d: result %d, behind the last, was written", n, (int)k);
                continue;
            }
            value = device_get(p->dtype, got, at);
            wanted = device_rounded(p->dtype, expected[of]);
            /* sums round to 2^-24 of at most the magnitude, activations (slope at most 1.1) by a few more */
            bound = (1.1 * (p->xs.c + p->xs.h * p->xs.w + 2) * magnitude[of] + 8 * fabs(expected[of]) + 8) * 0x1p-24 +
                    (pooled ? 1.1 * mean * magnitude[of] : 0) + device_rounding(p->dtype, expected[of]);
            if (isinf(bound)) /* of an infinite sum an activation makes a limit or nothing finite */
                bound = 0;
            if (isnan(wanted) ? !isnan(value) : isinf(wanted) ? value != wanted : !(fabs(value - wanted) <= bound))
                device_fail("vector %d result %d: found %g, expected %g, bound %g", n, (int)k, value, wanted, bound);
        }
}

static void check(const Problem *p)
{
    const size_t y_bytes = ((size_t)(p->xs.n - 1) * (size_t)p->y_pitch + (size_t)p->k) * 2;
    const void *x = device_input(p->x, elements(p) * 2, 0);
    const void *w = device_input(p->w, (size_t)p->k * (size_t)p->xs.c * 2, 0);
    const float *bias = device_input(p->bias, (size_t)p->k * sizeof *p->bias, 0);
    void *y = device_output(y_bytes, device_int(0, 7) == 0 ? 2 : 0);

    device_note(", %s %dx%dx%dx%d pitches %d %d to %d, activation %d, bias %d, rows %d parts %d warps %d",
                gpudl_dtype_name(p->dtype), p->xs.n, p->xs.h, p->xs.w, p->xs.c, (int)p->xs.pitch, (int)p->y_pitch, p->k,
                p->act.kind, p->with_bias, p->plan.rows, p->plan.parts, p->plan.warps);
    device_done(gpudl_gemv_cuda(p->dtype, x, &p->xs, w, p->with_bias ? bias : NULL, p->k, &p->act, y, p->y_pitch,
                                &p->plan, NULL));
    compare(p, device_fetch(y, y_bytes));
}

static void test_random(void)
{
    for (int number = 0; number < device_cases(500); number++) {
        Problem p;

        device_case(number, "gemv");
        random_problem(&p, number);
        check(&p);
    }
}

/* All plans of a few problems: more rows than a block, more terms than its warps begin with; means of many pixels, and
 * of so many vectors that threads take several. */
static void test_plans(void)
{
    static const struct {
        GpudlNhwc xs;
        int32_t k;
    } cases[] = {{{1, 1, 1, 2048, 2048}, 40}, {{8, 1, 1, 5000, 5000}, 17}, {{3, 7, 7, 1280, 1288}, 130},
                 {{8, 3, 2, 1000, 1000}, 16}, {{2, 13, 11, 64, 64}, 200},  {{1, 1, 1, 25088, 25088}, 20}};

    for (int number = 0; number < (int)(sizeof cases / sizeof *cases); number++) {
        GpudlGemvPlan plans[GPUDL_GEMV_PLANS];
        const int n = gpudl_gemv_plans(GPUDL_DTYPE_F16, &cases[number].xs, cases[number].k, MULTIPROCESSORS,
                                       MOST_SHARED, gpudl_gemv_has_clusters(), plans);

        if (n < 8)
            device_fail("%d plans", n);
        for (int i = 0; i < n; i++) {
            Problem p = {.xs = cases[number].xs,
                         .dtype = GPUDL_DTYPE_F16,
                         .k = cases[number].k,
                         .y_pitch = cases[number].k + 3,
                         .act = {GPUDL_ACT_RELU, 0, 0},
                         .with_bias = 1,
                         .plan = plans[i]};

            device_case(number * GPUDL_GEMV_PLANS + i, "plan");
            for (int j = 0; j < i; j++)
                if (memcmp(&plans[i], &plans[j], sizeof *plans) == 0)
                    device_fail("plan %d is plan %d", i, j);
            fill(&p, 0);
            check(&p);
        }
    }
}

/* Only blocks that find room; one part without clusters; vectors that share rows of weights. */
static void test_room(void)
{
    const GpudlNhwc deep = {8, 1, 1, 25088, 25088}, wide = {9, 1, 1, 64, 64}, odd = {1, 1, 1, 68, 72},
                    gaps = {1, 1, 1, 64, 68};
    GpudlGemvPlan plans[GPUDL_GEMV_PLANS];
    int n = gpudl_gemv_plans(GPUDL_DTYPE_F16, &deep, 4096, MULTIPROCESSORS, MOST_SHARED, 1, plans);

    if (n == 0)
        device_fail("vectors of 25088 do not fit");
    for (int i = 0; i < n; i++)
        if (plans[i].parts < 2)
            device_fail("8 vectors of 25088 are thought to fit %d kilobytes", MOST_SHARED >> 10);
    n = gpudl_gemv_plans(GPUDL_DTYPE_F16, &deep, 4096, MULTIPROCESSORS, MOST_SHARED, 0, plans);
    if (n != 0)
        device_fail("%d plans without clusters", n);
    if (gpudl_gemv_plans(GPUDL_DTYPE_F16, &wide, 64, MULTIPROCESSORS, MOST_SHARED, 1, plans) != 0 ||
        gpudl_gemv_plans(GPUDL_DTYPE_F16, &odd, 64, MULTIPROCESSORS, MOST_SHARED, 1, plans) != 0 ||
        gpudl_gemv_plans(GPUDL_DTYPE_F16, &gaps, 64, MULTIPROCESSORS, MOST_SHARED, 1, plans) != 0 ||
        gpudl_gemv_plans(GPUDL_DTYPE_F32, &deep, 64, MULTIPROCESSORS, MOST_SHARED, 1, plans) != 0 ||
        gpudl_gemv_plans(GPUDL_DTYPE_F16, &deep, 0, MULTIPROCESSORS, MOST_SHARED, 1, plans) != 0)
        device_fail("what is refused has plans");
}

static void test_refuses(void)
{
    const GpudlNhwc good = {1, 1, 1, 64, 64}, none = {0, 1, 1, 64, 64}, empty = {1, 0, 1, 64, 64},
                    many = {9, 1, 1, 64, 64}, odd = {1, 1, 1, 60, 64}, narrow = {1, 1, 1, 64, 56},
                    gaps = {1, 1, 1, 64, 68};
    const GpudlGemvPlan plan = {16, 1, 8}, rows = {24, 1, 8}, parts = {16, 2, 8}, three = {16, 3, 8},
                        warps = {16, 1, 4};
    const GpudlAct act = {GPUDL_ACT_NONE, 0, 0};
    uint8_t *memory = device_output(8192, 0);
    const struct {
        GpudlDType dtype;
        const GpudlNhwc *xs;
        int32_t k;
        int64_t y_pitch;
        int x_offset, w_offset;
        const GpudlGemvPlan *plan;
        int status;
    } calls[] = {
        {GPUDL_DTYPE_F32, &good, 8, 8, 0, 0, &plan, GPUDL_KERNEL_DTYPE},
        {GPUDL_DTYPE_F16, &empty, 8, 8, 0, 0, &plan, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, &many, 8, 8, 0, 0, &plan, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, &odd, 8, 8, 0, 0, &plan, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, &narrow, 8, 8, 0, 0, &plan, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, &gaps, 8, 8, 0, 0, &plan, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, &good, -1, 8, 0, 0, &plan, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, &good, 8, 7, 0, 0, &plan, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, &good, 8, 8, 2, 0, &plan, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, &good, 8, 8, 0, 2, &plan, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, &good, 8, 8, 0, 0, &rows, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, &good, 8, 8, 0, 0, &parts, GPUDL_KERNEL_SHAPE}, /* of one chunk */
        {GPUDL_DTYPE_F16, &good, 8, 8, 0, 0, &three, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, &good, 8, 8, 0, 0, &warps, GPUDL_KERNEL_SHAPE},
        {GPUDL_DTYPE_F16, &none, 8, 8, 0, 0, &plan, GPUDL_KERNEL_OK},
        {GPUDL_DTYPE_F16, &good, 0, 8, 0, 0, &plan, GPUDL_KERNEL_OK},
    };

    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        const int status =
            gpudl_gemv_cuda(calls[i].dtype, memory + calls[i].x_offset, calls[i].xs, memory + calls[i].w_offset, NULL,
                            calls[i].k, &act, memory, calls[i].y_pitch, calls[i].plan, NULL);

        if (status != calls[i].status)
            device_fail("call %d: found %d, expected %d", (int)i, status, calls[i].status);
    }
}

/* ---- benches -------------------------------------------------------------------------------------------------------
 */

enum { LAUNCHES = 16, MOST_ROTATED = 64 };

typedef struct {
    GpudlNhwc xs, mean, ys;
    GpudlGemvPlan plan;
    GpudlConvGemmPlan gemm;
    GpudlConvOncePlan once;
    const uint8_t *x, *w;
    const float *bias;
    uint8_t *y;
    void *between, *workspace;
    size_t w_bytes;
    int rotated;
} Bench;

static const GpudlAct relu = {GPUDL_ACT_RELU, 0, 0};
static const GpudlWindow one = {2, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}};

static int launch_gemv(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;

    return gpudl_gemv_cuda(GPUDL_DTYPE_F16, b->x, &b->xs, b->w + (size_t)(i % b->rotated) * b->w_bytes, b->bias,
                           b->ys.c, &relu, b->y, b->ys.pitch, &b->plan, stream);
}

/* What the others begin with. */
static const void *pooled(const Bench *b, GpudlKernelStream stream, int *status)
{
    *status = 0;
    if (b->xs.h * b->xs.w == 1)
        return b->x;
    *status = gpudl_global_pool_cuda(GPUDL_POOL_AVERAGE, GPUDL_DTYPE_F16, b->x, &b->xs, b->between, b->xs.c, stream);
    return b->between;
}

static int launch_gemm(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;
    int status;
    const void *x = pooled(b, stream, &status);

    return status != 0
               ? status
               : gpudl_conv_gemm_cuda(GPUDL_CONV_GEMM_F16, x, &b->mean, b->w + (size_t)(i % b->rotated) * b->w_bytes,
                                      b->bias, NULL, 0, &one, 1, &relu, b->y, &b->ys, &b->gemm, b->workspace, stream);
}

static int launch_once(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;
    int status;
    const void *x = pooled(b, stream, &status);

    return status != 0
               ? status
               : gpudl_conv_once_cuda(GPUDL_DTYPE_F16, x, &b->mean, b->w + (size_t)(i % b->rotated) * b->w_bytes,
                                      b->bias, NULL, 0, &one, 1, &relu, b->y, &b->ys, &b->once, stream);
}

static double bench_gemm(Bench *b)
{
    GpudlConvGemmPlan plans[GPUDL_CONV_GEMM_PLANS];
    const int n =
        gpudl_conv_gemm_plans(GPUDL_CONV_GEMM_F16, &b->mean, &one, 1, &b->ys, MULTIPROCESSORS, MOST_SHARED, plans);
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

static double bench_once(Bench *b)
{
    GpudlConvOncePlan plans[GPUDL_CONV_ONCE_PLANS];
    const int n = gpudl_conv_once_runs() ? gpudl_conv_once_plans(GPUDL_DTYPE_F16, &b->mean, &one, 1, &b->ys,
                                                                 MULTIPROCESSORS, MOST_SHARED, plans)
                                         : 0;
    double best = 1;

    for (int i = 0; i < n && i < 8; i++) {
        double seconds;

        b->once = plans[i];
        seconds = device_time(launch_once, b, LAUNCHES);
        best = seconds < best ? seconds : best;
    }
    return best;
}

/* Last layers of networks, weights in memory rather than in a cache: each plan, the best one beside the product's and
 * that of kernels for few pixels, both behind a launch that makes the means. */
static void bench(void)
{
    static const struct {
        int side, c, k;
    } layers[] = {{1, 25088, 4096}, {1, 4096, 4096}, {1, 4096, 1000}, {1, 2048, 1000}, {7, 2048, 1000},
                  {7, 1280, 1000},  {7, 512, 1000},  {1, 512, 1000},  {1, 1024, 1000}};

    for (int number = 0; number < 2 * (int)(sizeof layers / sizeof *layers); number++) {
        const int batch = number % 2 == 0 ? 1 : 8, side = layers[number / 2].side;
        const int c = layers[number / 2].c, k = layers[number / 2].k;
        Bench b = {.xs = {batch, side, side, c, c}, .mean = {batch, 1, 1, c, c}, .ys = {batch, 1, 1, k, k}};
        GpudlGemvPlan plans[GPUDL_GEMV_PLANS], best = {0};
        double least = 1, first = 1;
        char name[64];
        int n;

        device_case(number, "bench");
        b.w_bytes = (size_t)k * (size_t)c * 2;
        b.rotated = (int)(((size_t)128 << 20) / b.w_bytes) + 1;
        b.rotated = b.rotated < MOST_ROTATED ? b.rotated : MOST_ROTATED;
        b.x = device_noise((size_t)batch * (size_t)(side * side) * (size_t)c * 2);
        b.w = device_noise((size_t)b.rotated * b.w_bytes);
        b.bias = device_noise((size_t)k * 4);
        b.y = device_output((size_t)batch * (size_t)k * 2, 0);
        b.between = device_output((size_t)batch * (size_t)c * 2, 0);
        snprintf(name, sizeof name, "b%d %dx%dx%d-%d", batch, side, side, c, k);
        n = gpudl_gemv_plans(GPUDL_DTYPE_F16, &b.xs, k, MULTIPROCESSORS, MOST_SHARED, gpudl_gemv_has_clusters(), plans);
        for (int i = 0; i < n; i++) {
            double seconds;

            b.plan = plans[i];
            seconds = device_time(launch_gemv, &b, b.rotated > LAUNCHES ? b.rotated : LAUNCHES);
            printf("# plan %s %d: rows %d parts %d warps %d %.2f us\n", name, i, plans[i].rows, plans[i].parts,
                   plans[i].warps, seconds * 1e6);
            first = i < 6 && seconds < first ? seconds : first;
            if (seconds < least) {
                least = seconds;
                best = plans[i];
            }
        }
        printf("# bench %-22s product %6.2f us, once %6.2f us, gemv %6.2f us (rows %d parts %d warps %d), of the first "
               "six %6.2f us; weights at %.0f GB/s\n",
               name, bench_gemm(&b) * 1e6, bench_once(&b) * 1e6, least * 1e6, best.rows, best.parts, best.warps,
               first * 1e6, (double)b.w_bytes / least / 1e9);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {
        {"random", test_random}, {"plans", test_plans}, {"room", test_room}, {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"gemv", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}

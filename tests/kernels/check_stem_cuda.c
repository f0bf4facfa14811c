/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Convolution and maxima in one launch against the references of both steps, in double, rounded between. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/conv.h"
#include "kernels/conv_gemm_cuda.h"
#include "kernels/pool.h"
#include "kernels/pool_cuda.h"
#include "kernels/stem_cuda.h"
#include "tests/kernels/device.h"

#define MULTIPROCESSORS 132
#define MOST_SHARED (227 << 10)

typedef struct {
    GpudlStem stem;
    GpudlDType dtype;
    int has_bias;
    uint16_t *x, *w; /* host */
    float *bias;
} Problem;

static size_t inputs(const Problem *p)
{
    return (size_t)p->stem.xs.n * (size_t)p->stem.xs.h * (size_t)p->stem.xs.w * 4;
}

static size_t filters(const Problem *p)
{
    return (size_t)p->stem.ys.c * (size_t)(p->stem.taps * p->stem.taps) * 4;
}

static void fill(Problem *p, int odd)
{
    const double most = 2.0 / p->stem.taps;

    p->x = device_host(inputs(p) * 2);
    p->w = device_host(filters(p) * 2);
    p->bias = device_host((size_t)p->stem.ys.c * sizeof *p->bias);
    device_random(p->dtype, p->x, inputs(p), -2, 2, 0);
    device_random(p->dtype, p->w, filters(p), -most, most, 0);
    for (int i = 0; i < 3 && odd; i++) /* NaN, infinities */
        device_set(p->dtype, p->x, device_int(0, (int64_t)inputs(p) - 1), i == 0 ? NAN : i == 1 ? INFINITY : -INFINITY);
    for (int k = 0; k < p->stem.ys.c; k++)
        p->bias[k] = (float)device_real(-1, 1);
}

/* Extents of the convolution and of the maxima that paddings give, or a place more where it is rounded up. */
static int places(int extent, int pads, int taps, int up)
{
    return (extent + pads - taps + (up ? 1 : 0)) / 2 + 1;
}

static void random_problem(Problem *p, int number)
{
    const GpudlActKind act = (GpudlActKind)device_int(0, GPUDL_ACT_LAST);
    GpudlStem *s = &p->stem;
    int extents[2], between[2], results[2];

    memset(p, 0, sizeof *p);
    p->dtype = number % 3 == 2 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F16;
    s->taps = number % 2 == 0 ? 7 : 3;
    for (int d = 0; d < 2; d++) {
        const int behind = (int)device_int(0, s->taps), pool_behind = (int)device_int(0, 1);

        extents[d] = (int)device_int(s->taps, 70);
        s->pad[d] = device_int(0, 1) ? s->taps / 2 : (int)device_int(0, s->taps);
        s->pool_pad[d] = (int)device_int(0, 1);
        between[d] = places(extents[d], s->pad[d] + behind, s->taps, 0);
        results[d] = between[d] + s->pool_pad[d] + pool_behind < 3
                         ? 1
                         : places(between[d], s->pool_pad[d] + pool_behind, 3, (int)device_int(0, 1));
    }
    s->xs = (GpudlNhwc){(int)device_int(1, 3), extents[0], extents[1], 4, 4};
    s->p = between[0];
    s->q = between[1];
    s->ys = (GpudlNhwc){s->xs.n, results[0], results[1], device_int(0, 1) ? 64 : 8 * (int)device_int(1, 20), 0};
    s->ys.pitch = s->ys.c + 8 * device_int(0, 2);
    s->act = (GpudlAct){act, act == GPUDL_ACT_CLIP ? -.5f : .2f, act == GPUDL_ACT_CLIP ? 1 : .5f};
    p->has_bias = device_int(0, 3) != 0;
    fill(p, number % 4 == 3);
}

static GpudlTensorView planar(const Problem *p, const uint16_t *from, int64_t a, int64_t h, int64_t w, int magnitude)
{
    double *to = device_host((size_t)(a * 4 * h * w) * sizeof *to);

    for (int64_t i = 0; i < a * h * w; i++)
        for (int64_t c = 0; c < 4; c++) {
            const double v = device_get(p->dtype, from, i * 4 + c);

            to[(i / (h * w) * 4 + c) * h * w + i % (h * w)] = magnitude ? fabs(v) : v;
        }
    return (GpudlTensorView){GPUDL_DTYPE_F64, {4, {a, 4, h, w}}, to};
}

static GpudlTensorView room(int64_t n, int64_t c, int64_t h, int64_t w)
{
    return (GpudlTensorView){GPUDL_DTYPE_F64, {4, {n, c, h, w}}, device_host((size_t)(n * c * h * w) * sizeof(double))};
}

/* What the convolution gives; with magnitude that of all values' magnitudes. */
static GpudlTensorView convolve(const Problem *p, int magnitude)
{
    const GpudlStem *s = &p->stem;
    const GpudlWindow window = {2, {1, s->taps, s->taps}, {1, 2, 2}, {0, s->pad[0], s->pad[1]}, {0}, {1, 1, 1}};
    const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};
    const GpudlTensorView x = planar(p, p->x, s->xs.n, s->xs.h, s->xs.w, magnitude),
                          w = planar(p, p->w, s->ys.c, s->taps, s->taps, magnitude),
                          y = room(s->xs.n, s->ys.c, s->p, s->q);
    double *bias = device_host((size_t)s->ys.c * sizeof *bias);
    const GpudlTensorView b = {GPUDL_DTYPE_F64, {1, {s->ys.c}}, bias};

    for (int k = 0; k < s->ys.c; k++)
        bias[k] = magnitude ? fabs((double)p->bias[k]) : (double)p->bias[k];
    if (gpudl_conv_ref(&x, &w, p->has_bias ? &b : NULL, NULL, &window, 1, magnitude ? &none : &s->act, &y, NULL) != 0)
        device_fail("the reference refuses");
    return y;
}

static const double *maxima(const Problem *p, const GpudlTensorView *x)
{
    const GpudlStem *s = &p->stem;
    const GpudlWindow window = {2, {1, 3, 3}, {1, 2, 2}, {0, s->pool_pad[0], s->pool_pad[1]}, {0}, {1, 1, 1}};
    const GpudlTensorView y = room(s->ys.n, s->ys.c, s->ys.h, s->ys.w);

    if (gpudl_pool_ref(GPUDL_POOL_MAX, x, &window, &y, NULL) != 0)
        device_fail("the reference refuses");
    return y.data;
}

static void compare(const Problem *p, const void *got)
{
    const GpudlStem *s = &p->stem;
    const GpudlTensorView values = convolve(p, 0), bounds = convolve(p, 1);
    const int64_t plane = (int64_t)s->ys.h * s->ys.w, n = (int64_t)s->xs.n * s->ys.c * s->p * s->q;
    const double *expected, *bound;

    for (int64_t i = 0; i < n; i++) {
        double *value = &((double *)values.data)[i], *off = &((double *)bounds.data)[i];

        /* sums round to 2^-24 of at most the magnitude, activations (slope at most 1.1) by a few more */
        *off = (1.1 * (s->taps * s->taps * 4 + 2) * *off + 8 * fabs(*value) + 8) * 0x1p-24 +
               device_rounding(p->dtype, *value);
        *off = isfinite(*off) ? *off : 0;
        *value = device_rounded(p->dtype, *value);
    }
    expected = maxima(p, &values);
    bound = maxima(p, &bounds);
    for (int64_t pixel = 0; pixel < s->ys.n * plane; pixel++)
        for (int64_t c = 0; c < s->ys.pitch; c++) {
            const int64_t at = (pixel / plane * s->ys.c + c) * plane + pixel % plane, place = pixel * s->ys.pitch + c;
            double value;

            if (c >= s->ys.c) { /* another tensor's */
                if (pixel + 1 < s->ys.n * plane && ((const uint16_t *)got)[place] != 0xffff)
                    device_fail("pixel %d: channel %d, behind the last, was written", (int)pixel, (int)c);
                continue;
            }
            value = device_get(p->dtype, got, place);
            if (isnan(expected[at])   ? !isnan(value)
                : isinf(expected[at]) ? value != expected[at]
                                      : !(fabs(value - expected[at]) <= bound[at]))
                device_fail("pixel %d channel %d: found %g, expected %g, bound %g", (int)pixel, (int)c, value,
                            expected[at], bound[at]);
        }
}

static void check(const Problem *p)
{
    const GpudlStem *s = &p->stem;
    const size_t bytes =
        (((size_t)s->ys.n * (size_t)s->ys.h * (size_t)s->ys.w - 1) * (size_t)s->ys.pitch + (size_t)s->ys.c) * 2;
    const void *x = device_input(p->x, inputs(p) * 2, device_int(0, 3) == 0 ? 8 : 0);
    const void *w = device_input(p->w, filters(p) * 2, device_int(0, 3) == 0 ? 8 : 0);
    const float *bias = device_input(p->bias, (size_t)s->ys.c * sizeof *p->bias, 0);
    void *y = device_output(bytes, 0);

    device_note(", %s %dx%dx%d taps %d pads %d %d to %dx%d, pads %d %d to %dx%dx%d pitch %d, activation %d, bias %d",
                gpudl_dtype_name(p->dtype), s->xs.n, s->xs.h, s->xs.w, s->taps, s->pad[0], s->pad[1], s->p, s->q,
                s->pool_pad[0], s->pool_pad[1], s->ys.h, s->ys.w, s->ys.c, (int)s->ys.pitch, s->act.kind, p->has_bias);
    device_done(gpudl_stem_cuda(p->dtype, s, x, w, p->has_bias ? bias : NULL, y, NULL));
    compare(p, device_fetch(y, bytes));
}

static void test_random(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        Problem p;

        device_case(number, "stem");
        random_problem(&p, number);
        check(&p);
    }
}

/* Activations that make of less than nothing more than nothing: padding of the maxima is no zero. */
static void test_negative(void)
{
    for (int number = 0; number < device_cases(12); number++) {
        Problem p;

        device_case(number, "negative");
        random_problem(&p, number);
        p.stem.act = (GpudlAct){GPUDL_ACT_CLIP, -90, -80};
        p.stem.pool_pad[0] = p.stem.pool_pad[1] = 1;
        check(&p);
    }
}

static void test_refuses(void)
{
    const GpudlStem good = {{1, 16, 16, 4, 4}, {1, 4, 4, 64, 64}, 7, {3, 3}, 8, 8, {1, 1}, {GPUDL_ACT_RELU, 0, 0}};
    uint8_t *memory = device_output(16 * 1024, 0);
    GpudlStem wrong[16];
    int n = 0;

    for (int i = 0; i < (int)(sizeof wrong / sizeof *wrong); i++)
        wrong[i] = good;
    wrong[n++].xs.n = 2;
    wrong[n++].xs.c = 3;
    wrong[n++].xs.pitch = 8;
    wrong[n++].xs.h = 0;
    wrong[n++].ys.c = 12;
    wrong[n++].ys.c = 72;
    wrong[n++].ys.pitch = 68;
    wrong[n++].taps = 5;
    wrong[n++].pad[1] = 8;
    wrong[n++].pad[0] = -1;
    wrong[n++].q = 0;
    wrong[n++].pool_pad[0] = 2;
    for (int i = 0; i < n; i++)
        if (gpudl_stem_cuda(GPUDL_DTYPE_F16, &wrong[i], memory, memory, NULL, memory, NULL) != GPUDL_KERNEL_SHAPE ||
            gpudl_stem_fits(GPUDL_DTYPE_F16, &wrong[i]) != GPUDL_KERNEL_SHAPE)
            device_fail("call %d, which can't be served, was not refused", i);
    if (gpudl_stem_fits(GPUDL_DTYPE_F32, &good) != GPUDL_KERNEL_DTYPE ||
        gpudl_stem_fits(GPUDL_DTYPE_F16, &good) != GPUDL_KERNEL_OK)
        device_fail("types are not told apart");
    if (gpudl_stem_cuda(GPUDL_DTYPE_F16, &good, memory + 2, memory, NULL, memory, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_stem_cuda(GPUDL_DTYPE_F16, &good, memory, memory + 2, NULL, memory, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_stem_cuda(GPUDL_DTYPE_F16, &good, memory, memory, NULL, memory + 8, NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("an odd address was not refused");
    wrong[n] = good;
    wrong[n].xs.n = wrong[n].ys.n = 0;
    device_done(gpudl_stem_cuda(GPUDL_DTYPE_F16, &wrong[n], memory, memory, NULL, memory, NULL));
}

/* ---- benches -------------------------------------------------------------------------------------------------------
 */

typedef struct {
    GpudlStem stem;
    GpudlNhwc between;
    GpudlConvGemmPlan gemm;
    const void *x, *w;
    const float *bias;
    void *z, *y, *workspace;
} Bench;

static int launch_stem(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;

    (void)i;
    return gpudl_stem_cuda(GPUDL_DTYPE_F16, &b->stem, b->x, b->w, b->bias, b->y, stream);
}

static int launch_steps(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;
    const GpudlStem *s = &b->stem;
    const GpudlWindow conv = {2, {1, s->taps, s->taps}, {1, 2, 2}, {0, s->pad[0], s->pad[1]}, {0}, {1, 1, 1}};
    const GpudlWindow pool = {2, {1, 3, 3}, {1, 2, 2}, {0, s->pool_pad[0], s->pool_pad[1]}, {0}, {1, 1, 1}};
    const int status = gpudl_conv_gemm_cuda(GPUDL_CONV_GEMM_F16, b->x, &s->xs, b->w, b->bias, NULL, 0, &conv, 1,
                                            &s->act, b->z, &b->between, &b->gemm, b->workspace, stream);

    (void)i;
    return status != 0
               ? status
               : gpudl_pool_cuda(GPUDL_POOL_MAX, GPUDL_DTYPE_F16, b->z, &b->between, &pool, b->y, &s->ys, stream);
}

/* Of resnet and squeezenet at 224 x 224, beside our product and pool: the best of four plans. */
static void bench(void)
{
    static const struct {
        int taps, pad, between, pool_pad, results;
    } nets[] = {{7, 3, 112, 1, 56}, {3, 0, 111, 0, 55}};
    static const int batches[] = {1, 8, 32};

    for (int number = 0; number < 6; number++) {
        const int i = number / 3, n = batches[number % 3];
        const GpudlStem stem = {{n, 224, 224, 4, 4},
                                {n, nets[i].results, nets[i].results, 64, 64},
                                nets[i].taps,
                                {nets[i].pad, nets[i].pad},
                                nets[i].between,
                                nets[i].between,
                                {nets[i].pool_pad, nets[i].pool_pad},
                                {GPUDL_ACT_RELU, 0, 0}};
        const GpudlWindow conv = {2,        {1, stem.taps, stem.taps}, {1, 2, 2}, {0, stem.pad[0], stem.pad[1]}, {0},
                                  {1, 1, 1}};
        Bench b = {.stem = stem, .between = {n, stem.p, stem.q, 64, 64}};
        const size_t x_bytes = (size_t)n * 224 * 224 * 8, y_bytes = (size_t)n * (size_t)(stem.ys.h * stem.ys.w) * 128;
        GpudlConvGemmPlan plans[GPUDL_CONV_GEMM_PLANS];
        double best = 1;
        char name[64];
        int many;

        device_case(number, "bench");
        b.x = device_noise(x_bytes);
        b.w = device_noise((size_t)(64 * stem.taps * stem.taps) * 8);
        b.bias = device_noise(64 * 4);
        b.z = device_output((size_t)n * (size_t)(stem.p * stem.q) * 128, 0);
        b.y = device_output(y_bytes, 0);
        many = gpudl_conv_gemm_plans(GPUDL_CONV_GEMM_F16, &stem.xs, &conv, 1, &b.between, MULTIPROCESSORS, MOST_SHARED,
                                     plans);
        for (int plan = 0; plan < many && plan < 4; plan++) {
            double seconds;

            b.gemm = plans[plan];
            b.workspace = device_output((size_t)plans[plan].workspace_bytes, 0);
            seconds = device_time(launch_steps, &b, 20);
            best = seconds < best ? seconds : best;
        }
        printf("# bench %d taps, batch %d: product and pool %.2f us\n", stem.taps, n, best * 1e6);
        snprintf(name, sizeof name, "stem of %d taps, batch %d", stem.taps, n);
        device_bench(name, launch_stem, &b, 20, (double)(x_bytes + y_bytes));
    }
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {
        {"random", test_random}, {"negative", test_negative}, {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"stem", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Depthwise convolution against the reference convolution in double, of the same values. */
#include <math.h>
#include <stdio.h>

#include "kernels/conv.h"
#include "kernels/depthwise_cuda.h"
#include "tests/kernels/device.h"

typedef struct {
    GpudlNhwc xs, ys;
    GpudlWindow window;
    GpudlAct act;
    GpudlDType dtype;
    void *x, *w; /* host */
    float *bias; /* or NULL */
} Problem;

static size_t elements(const GpudlNhwc *s)
{
    const size_t pixels = (size_t)s->n * (size_t)s->h * (size_t)s->w;

    return pixels == 0 ? 0 : (pixels - 1) * (size_t)s->pitch + (size_t)s->c;
}

static void random_window(Problem *p)
{
    GpudlWindow *w = &p->window;
    const int usual = device_int(0, 3) > 0, k = 3 + 2 * (int)device_int(0, 2), stride = (int)device_int(1, 2);

    *w = (GpudlWindow){2, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}};
    for (int d = 1; d < 3; d++) {
        w->kernel[d] = usual ? k : (int)device_int(1, 7);
        w->stride[d] = usual ? stride : (int)device_int(1, 3);
        w->dilation[d] = usual ? 1 : (int)device_int(1, 3);
        w->pad_begin[d] = (int)device_int(0, w->kernel[d]);
    }
}

/* Outputs of every extent are fine: what lies beyond the input is 0. */
static void random_shapes(Problem *p)
{
    const int large = device_int(0, 5) == 0;
    /* multiples of 8, of 2, and any */
    const int c = device_int(0, 2)   ? 8 * (int)device_int(1, large ? 30 : 5)
                  : device_int(0, 2) ? 2 * (int)device_int(1, 35)
                                     : (int)device_int(1, 70);

    p->xs = (GpudlNhwc){(int)device_int(1, 3), (int)device_int(1, large ? 60 : 19), (int)device_int(1, large ? 60 : 19),
                        c, c};
    if (large)
        p->xs.n = 3;
    p->ys = p->xs;
    p->ys.h = (p->xs.h + 2 * p->window.pad_begin[1]) / p->window.stride[1] + 1;
    p->ys.w = (p->xs.w + 2 * p->window.pad_begin[2]) / p->window.stride[2] + 1;
    if (device_int(0, 1)) {
        p->xs.pitch += device_int(0, 1) ? 8 * device_int(0, 3) : device_int(0, 9);
        p->ys.pitch += device_int(0, 1) ? 8 * device_int(0, 3) : device_int(0, 9);
    }
}

static void random_act(GpudlAct *act)
{
    *act = (GpudlAct){(GpudlActKind)device_int(0, GPUDL_ACT_LAST), 0, 0};
    if (act->kind == GPUDL_ACT_CLIP)
        act->beta = device_int(0, 1) ? 6 : 1.5f;
    if (act->kind == GPUDL_ACT_LEAKY_RELU)
        act->alpha = 0.1f;
    if (act->kind == GPUDL_ACT_HARD_SIGMOID) {
        act->alpha = 0.2f;
        act->beta = 0.5f;
    }
}

static GpudlTensorView view(void *data, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (GpudlTensorView){GPUDL_DTYPE_F64, {4, {a, b, c, d}}, data};
}

/* double [n][c][h][w] of an NHWC picture */
static double *planar(GpudlDType dtype, const void *x, const GpudlNhwc *s, int magnitude)
{
    const int64_t plane = (int64_t)s->h * s->w;
    double *to = device_host((size_t)s->n * (size_t)s->c * (size_t)plane * sizeof(double));

    for (int64_t pixel = 0; pixel < s->n * plane; pixel++)
        for (int c = 0; c < s->c; c++) {
            const double v = device_get(dtype, x, pixel * s->pitch + c);

            to[(pixel / plane * s->c + c) * plane + pixel % plane] = magnitude ? fabs(v) : v;
        }
    return to;
}

/* The reference's answer; with magnitude the sum of |x| |w| + |bias| instead: what roundings are relative to. */
static double *reference(const Problem *p, int magnitude)
{
    const GpudlNhwc *xs = &p->xs, *ys = &p->ys;
    const int r = p->window.kernel[1], s = p->window.kernel[2];
    const GpudlNhwc ws = {1, r, s, xs->c, xs->c};
    const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};
    double *out = device_host((size_t)ys->n * (size_t)ys->c * (size_t)ys->h * (size_t)ys->w * sizeof(double));
    double *bias = device_host((size_t)xs->c * sizeof(double));
    const GpudlTensorView x = view(planar(p->dtype, p->x, xs, magnitude), xs->n, xs->c, xs->h, xs->w);
    const GpudlTensorView w = view(planar(p->dtype, p->w, &ws, magnitude), xs->c, 1, r, s);
    const GpudlTensorView y = view(out, ys->n, ys->c, ys->h, ys->w);
    const GpudlTensorView b = {GPUDL_DTYPE_F64, {1, {xs->c}}, bias};

    for (int c = 0; c < xs->c && p->bias != NULL; c++)
        bias[c] = magnitude ? fabs((double)p->bias[c]) : (double)p->bias[c];
    if (gpudl_conv_ref(&x, &w, &b, NULL, &p->window, xs->c, magnitude ? &none : &p->act, &y, NULL) != 0)
        device_fail("the reference refuses");
    return out;
}

static void compare(const Problem *p, const uint16_t *got)
{
    const GpudlNhwc *s = &p->ys;
    const double *expected = reference(p, 0), *magnitude = reference(p, 1);
    const int64_t plane = (int64_t)s->h * s->w;
    const double terms = p->window.kernel[1] * p->window.kernel[2] + 1;

    for (int64_t pixel = 0; pixel < s->n * plane; pixel++)
        for (int64_t c = 0; c < s->pitch; c++) {
            const int64_t at = (pixel / plane * s->c + c) * plane + pixel % plane;
            double value, wanted, bound;

            if (c >= s->c) { /* another tensor's */
                if (pixel + 1 < s->n * plane && got[pixel * s->pitch + c] != 0xffff)
                    device_fail("pixel %d: channel %d, behind the last, was written", (int)pixel, (int)c);
                continue;
            }
            value = device_get(p->dtype, got, pixel * s->pitch + c);
            wanted = device_rounded(p->dtype, expected[at]);
            /* each sum is off by 2^-23 of at most the magnitude (tensor cores cut off, they don't round), activations
             * (slope at most 1.1) by a few 2^-24 more */
            bound = (2.2 * terms * magnitude[at] + 8 * fabs(expected[at])) * 0x1p-24 +
                    device_rounding(p->dtype, expected[at]) + 0x1p-126;
            if (isnan(wanted) ? !isnan(value) : value != wanted && !(fabs(value - wanted) <= bound))
                device_fail("pixel %d channel %d: found %g, expected %g, bound %g", (int)pixel, (int)c, value, wanted,
                            bound);
        }
}

/* Where alignment is not asked for, one operand in eight lies on an element alone. */
static size_t random_offset(int aligned)
{
    return !aligned && device_int(0, 7) == 0 ? 2 : 0;
}

/* By the plan that is named first for an H100's or H200's processors; of a call that has none, whatever is said of it.
 */
static int run_first(const GpudlDepthwiseCall *call, GpudlKernelStream stream)
{
    GpudlDepthwisePlan plans[GPUDL_DEPTHWISE_PLANS] = {{0, 0}};

    gpudl_depthwise_plans(call, 132, plans);
    return gpudl_depthwise_plan_cuda(call, &plans[0], stream);
}

/* Some of the call's plans, and two that it has not. */
static void check_plans(const Problem *p, const GpudlDepthwiseCall *call)
{
    static const GpudlDepthwisePlan none = {1, 1 << 20}, unknown = {1000, 1};
    GpudlDepthwisePlan plans[GPUDL_DEPTHWISE_PLANS];
    const int n = gpudl_depthwise_plans(call, (int)device_int(1, 200), plans);

    if (gpudl_depthwise_plan_cuda(call, &none, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_depthwise_plan_cuda(call, &unknown, NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("a plan of another call was not refused");
    for (int i = (int)device_int(0, 2); i < n; i += (int)device_int(1, 5)) {
        GpudlDepthwiseCall one = *call;

        device_note("; plan %d of %d: form %d, %d rows", i, n, plans[i].form, plans[i].rows);
        one.y = device_output(elements(&p->ys) * 2, (uintptr_t)call->y % 16);
        device_done(gpudl_depthwise_plan_cuda(&one, &plans[i], NULL));
        compare(p, device_fetch(one.y, elements(&p->ys) * 2));
    }
}

static void check_problem(Problem *p, int extremes, int aligned, int plans)
{
    const size_t taps = (size_t)p->window.kernel[1] * (size_t)p->window.kernel[2], c = (size_t)p->xs.c;
    const size_t offset = random_offset(aligned);
    const float *bias = NULL;
    const void *x, *w;
    uint16_t *y;
    GpudlDepthwiseCall call;

    p->x = device_host(elements(&p->xs) * 2);
    p->w = device_host(taps * c * 2);
    p->bias = device_int(0, 3) ? device_host(c * sizeof(float)) : NULL;
    device_random(p->dtype, p->x, elements(&p->xs), -2, 2, extremes);
    device_random(p->dtype, p->w, taps * c, -1, 1, 0);
    for (size_t i = 0; i < c && p->bias != NULL; i++)
        p->bias[i] = (float)device_real(-1, 1);
    x = device_input(p->x, elements(&p->xs) * 2, offset);
    w = device_input(p->w, taps * c * 2, random_offset(aligned));
    if (p->bias != NULL)
        bias = device_input(p->bias, c * sizeof(float), 0);
    y = device_output(elements(&p->ys) * 2, random_offset(aligned));
    device_note(
        ", %s %dx%dx%dx%d pitch %d -> %dx%d pitch %d, taps %dx%d stride %d %d pad %d %d dilation %d %d act %d bias %d "
        "offset %d",
        gpudl_dtype_name(p->dtype), p->xs.n, p->xs.h, p->xs.w, p->xs.c, (int)p->xs.pitch, p->ys.h, p->ys.w,
        (int)p->ys.pitch, p->window.kernel[1], p->window.kernel[2], p->window.stride[1], p->window.stride[2],
        p->window.pad_begin[1], p->window.pad_begin[2], p->window.dilation[1], p->window.dilation[2], p->act.kind,
        bias != NULL, (int)offset);
    call = (GpudlDepthwiseCall){p->dtype, x, w, bias, y, &p->xs, &p->ys, &p->window, &p->act};
    device_done(run_first(&call, NULL));
    compare(p, device_fetch(y, elements(&p->ys) * 2));
    if (plans)
        check_plans(p, &call);
}

/* Types that the kernels have, in turns. */
static GpudlDType narrow(int number)
{
    return number % 2 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F16;
}

static void test_random(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        Problem p = {.dtype = narrow(number)};

        device_case(number, "depthwise");
        random_window(&p);
        random_shapes(&p);
        random_act(&p.act);
        check_problem(&p, 0, 0, 1);
    }
}

static void test_extremes(void)
{
    for (int number = 0; number < device_cases(60); number++) {
        Problem p = {.dtype = narrow(number)};

        device_case(number, "depthwise of infinities, NaN and the like");
        random_window(&p);
        random_shapes(&p);
        check_problem(&p, 1, 0, 1);
    }
}

/* Pictures enough for the tiles of each size. */
static void test_batches(void)
{
    static const struct {
        int k, stride, pictures;
    } cases[] = {{3, 1, 5}, {3, 1, 11}, {3, 1, 40}, {3, 2, 20}, {3, 2, 39}, {5, 1, 5}, {5, 2, 20}, {7, 1, 5}};

    for (int number = 0; number < device_cases(2 * (int)(sizeof(cases) / sizeof(*cases))); number++) {
        const int k = cases[number / 2].k, stride = cases[number / 2].stride;
        Problem p = {
            .xs = {cases[number / 2].pictures, 57, 59, 64, 64}, .act = {GPUDL_ACT_CLIP, 0, 6}, .dtype = narrow(number)};

        device_case(number, "batch");
        p.window = (GpudlWindow){2, {1, k, k}, {1, stride, stride}, {0, k / 2, k / 2}, {0}, {1, 1, 1}};
        p.ys = p.xs;
        p.ys.h = (p.xs.h - 1) / stride + 1;
        p.ys.w = (p.xs.w - 1) / stride + 1;
        check_problem(&p, 0, 1, 0);
    }
}

static void test_refuses(void)
{
    const GpudlWindow good = {2, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, {0}, {1, 1, 1}};
    const GpudlNhwc shape = {1, 4, 4, 8, 8}, narrow = {1, 4, 4, 8, 7}, other = {1, 4, 4, 16, 16},
                    empty = {0, 4, 4, 8, 8};
    const GpudlAct act = {GPUDL_ACT_NONE, 0, 0};
    GpudlWindow window = good;
    void *y = device_output(1024, 0);
    const GpudlDepthwiseCall call = {GPUDL_DTYPE_F16, y, y, NULL, y, &shape, &shape, &good, &act};
    const GpudlDepthwiseCall nothing = {GPUDL_DTYPE_BF16, NULL, NULL, NULL, NULL, &empty, &empty, &good, &act};
    GpudlDepthwiseCall bad[] = {call, call, call, call};

    window.stride[2] = 0;
    bad[0].dtype = GPUDL_DTYPE_F32;
    bad[1].window = &window;
    bad[2].xs = &narrow;
    bad[3].ys = &other;
    for (int i = 0; i < 4; i++)
        if (run_first(&bad[i], NULL) != (i == 0 ? GPUDL_KERNEL_DTYPE : GPUDL_KERNEL_SHAPE))
            device_fail("call %d, which can't be served, was not refused", i);
    device_done(run_first(&nothing, NULL));
}

/* ---- benches -------------------------------------------------------------------------------------------------------
 */

typedef struct {
    GpudlNhwc xs, ys;
    GpudlWindow window;
    GpudlAct act;
    const uint8_t *x;
    const void *w;
    const float *bias;
    uint8_t *y;
    size_t bytes_in, bytes;
    int copies;
    const GpudlDepthwisePlan *plan; /* NULL: none is asked for */
} Bench;

static GpudlDepthwiseCall call_of(const Bench *b, int i)
{
    return (GpudlDepthwiseCall){
        GPUDL_DTYPE_F16, b->x + (size_t)(i % b->copies) * b->bytes_in, b->w, b->bias, b->y, &b->xs, &b->ys, &b->window,
        &b->act};
}

static int launch(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;
    const GpudlDepthwiseCall call = call_of(b, i);

    return b->plan != NULL ? gpudl_depthwise_plan_cuda(&call, b->plan, stream) : run_first(&call, stream);
}

#define CLIP GPUDL_ACT_CLIP
#define HARD GPUDL_ACT_HARD_SWISH
#define NONE GPUDL_ACT_NONE
#define RELU GPUDL_ACT_RELU
#define SILU GPUDL_ACT_SILU

typedef struct {
    int c, side, k, stride, n;
    GpudlActKind act;
} Shape;

static const Shape shapes[] = {
    /* the table of docs/BENCHMARKS.md */
    {32, 112, 3, 1, 1, CLIP},
    {144, 56, 3, 1, 1, CLIP},
    {96, 112, 3, 2, 1, CLIP},
    {960, 7, 3, 1, 1, CLIP},
    {672, 14, 5, 1, 1, CLIP},
    {32, 112, 3, 1, 32, CLIP},
    {144, 56, 3, 1, 32, CLIP},
    {96, 112, 3, 2, 32, CLIP},
    {576, 14, 3, 1, 32, CLIP},
    {672, 14, 5, 1, 32, CLIP},
    {96, 56, 7, 1, 32, NONE},
    {32, 112, 3, 1, 128, CLIP},
    {144, 56, 3, 1, 128, CLIP},
    {96, 112, 3, 2, 128, CLIP},
    {384, 14, 3, 1, 128, CLIP},
    {672, 14, 5, 1, 128, CLIP},
    /* MobileNetV3 */
    {16, 112, 3, 2, 1, RELU},
    {88, 28, 3, 1, 1, RELU},
    {96, 28, 5, 2, 1, HARD},
    {240, 14, 5, 1, 1, HARD},
    {288, 14, 5, 2, 1, HARD},
    {576, 7, 5, 1, 1, HARD},
    {240, 14, 5, 1, 32, HARD},
    {576, 7, 5, 1, 32, HARD},
    /* ShuffleNetV2 */
    {24, 56, 3, 2, 1, NONE},
    {58, 28, 3, 1, 1, NONE},
    {116, 14, 3, 1, 1, NONE},
    {232, 7, 3, 1, 1, NONE},
    {24, 56, 3, 2, 32, NONE},
    {58, 56, 3, 2, 32, NONE},
    {58, 28, 3, 1, 32, NONE},
    {116, 28, 3, 2, 32, NONE},
    {116, 14, 3, 1, 32, NONE},
    {232, 7, 3, 1, 32, NONE},
    /* EfficientNet */
    {144, 56, 5, 2, 1, SILU},
    {240, 28, 5, 1, 1, SILU},
    {1152, 7, 5, 1, 1, SILU},
    {32, 112, 3, 1, 32, SILU},
    {144, 56, 5, 2, 32, SILU},
    {240, 28, 5, 1, 32, SILU},
    {240, 28, 3, 2, 32, SILU},
    {480, 14, 3, 1, 32, SILU},
    {672, 14, 5, 2, 32, SILU},
    {1152, 7, 5, 1, 32, SILU},
    {1152, 7, 3, 1, 32, SILU},
    /* ConvNeXt */
    {96, 56, 7, 1, 1, NONE},
    {384, 14, 7, 1, 1, NONE},
    {192, 28, 7, 1, 32, NONE},
    {384, 14, 7, 1, 32, NONE},
    {768, 7, 7, 1, 32, NONE},
};

static Bench bench_of(const Shape *s)
{
    const int out = (s->side - 1) / s->stride + 1, k = s->k;
    const size_t weights = (size_t)(k * k * s->c) * 2;
    Bench b = {.xs = {s->n, s->side, s->side, s->c, s->c}, .ys = {s->n, out, out, s->c, s->c}, .act = {s->act, 0, 6}};

    b.window = (GpudlWindow){2, {1, k, k}, {1, s->stride, s->stride}, {0, k / 2, k / 2}, {0}, {1, 1, 1}};
    b.bytes_in = elements(&b.xs) * 2;
    b.copies = b.bytes_in > ((size_t)100 << 20) ? 1 : (int)(((size_t)100 << 20) / b.bytes_in) + 1;
    b.copies = b.copies > 40 ? 40 : b.copies;
    b.x = device_noise(b.bytes_in * (size_t)b.copies);
    b.w = device_noise(weights);
    b.bias = device_noise((size_t)s->c * 4);
    b.y = device_output(elements(&b.ys) * 2, 0);
    b.bytes = b.bytes_in + elements(&b.ys) * 2 + weights;
    return b;
}

static void bench_shapes(int first, int last, int plans)
{
    for (int i = first; i < last; i++) {
        const Shape *s = &shapes[i];
        GpudlDepthwisePlan found[GPUDL_DEPTHWISE_PLANS];
        GpudlDepthwiseCall call;
        char name[96];
        Bench b;
        int n = 0;

        device_case(i, "bench");
        b = bench_of(s);
        call = call_of(&b, 0);
        if (plans)
            n = gpudl_depthwise_plans(&call, 132, found);
        snprintf(name, sizeof(name), "depthwise %dx%d s%d, %dx%dx%d, batch %d", s->k, s->k, s->stride, s->side, s->side,
                 s->c, s->n);
        for (int j = 0; j < (plans ? n : 1); j++) {
            b.plan = plans ? &found[j] : NULL;
            if (plans)
                snprintf(name, sizeof(name), "%dx%d s%d %dx%dx%d b%d: form %d, %d rows", s->k, s->k, s->stride, s->side,
                         s->side, s->c, s->n, found[j].form, found[j].rows);
            device_bench(name, launch, &b, 40, (double)b.bytes);
        }
    }
}

static void bench(void)
{
    bench_shapes(0, 16, 0);
}

static void bench_nets(void)
{
    bench_shapes(16, (int)(sizeof(shapes) / sizeof(*shapes)), 0);
}

static void bench_plans(void)
{
    bench_shapes(0, (int)(sizeof(shapes) / sizeof(*shapes)), 1);
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"random", test_random},
                                         {"extremes", test_extremes},
                                         {"batches", test_batches},
                                         {"refuses", test_refuses},
                                         {NULL, NULL}};
    static const DeviceCheck benches[] = {
        {"depthwise", bench}, {"depthwise-nets", bench_nets}, {"depthwise-plans", bench_plans}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}

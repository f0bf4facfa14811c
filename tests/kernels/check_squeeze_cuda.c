/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Scales of squeeze-and-excite against sums in double, of the same values. */
#include <math.h>
#include <stdio.h>

#include "kernels/squeeze_cuda.h"
#include "tests/kernels/device.h"

typedef struct {
    GpudlNhwc xs;
    GpudlDType dtype;
    int32_t r;
    int64_t y_pitch;
    GpudlAct inner, gate;
    int with_bias;
    void *x, *w; /* host */
    float *bias;
} Problem;

/* A value, and how far off it may be. */
typedef struct {
    double value, bound;
} Sum;

static GpudlAct random_act(void)
{
    const GpudlActKind kind = (GpudlActKind)device_int(0, GPUDL_ACT_LAST);

    return (GpudlAct){kind, kind == GPUDL_ACT_CLIP ? -.5f : .2f, kind == GPUDL_ACT_CLIP ? 1 : .5f};
}

static size_t elements(const Problem *p)
{
    return ((size_t)p->xs.n * (size_t)p->xs.h * (size_t)p->xs.w - 1) * (size_t)p->xs.pitch + (size_t)p->xs.c;
}

static void fill(Problem *p)
{
    const int64_t pitch = gpudl_squeeze_cuda_pitch(p->xs.c);
    const size_t n = elements(p);

    p->x = device_host(n * gpudl_dtype_size(p->dtype));
    p->w = device_host((size_t)(2 * p->r * pitch) * gpudl_dtype_size(p->dtype));
    p->bias = device_host((size_t)(p->r + p->xs.c) * sizeof *p->bias);
    device_random(p->dtype, p->x, n, -2, 2, 0);
    for (int64_t i = 0; i < 2 * p->r * pitch; i++) {
        const double most = 2 / sqrt(i < p->r * pitch ? p->xs.c : p->r);

        device_set(p->dtype, p->w, i, i % pitch < p->xs.c ? device_real(-most, most) : 0);
    }
    for (int i = 0; i < p->r + p->xs.c; i++)
        p->bias[i] = (float)device_real(-1, 1);
}

static void random_problem(Problem *p, int number)
{
    const int c = device_int(0, 2) ? 8 * (int)device_int(1, 40) : (int)device_int(1, 90);

    p->dtype = (GpudlDType[]){GPUDL_DTYPE_F16, GPUDL_DTYPE_BF16, GPUDL_DTYPE_F16, GPUDL_DTYPE_F32}[number % 4];
    p->xs = (GpudlNhwc){(int)device_int(1, 3), (int)device_int(1, 12), (int)device_int(1, 12), c, c};
    p->r = (int32_t)(device_int(0, 3) ? device_int(1, 48) : device_int(1, 130));
    p->y_pitch = c + (device_int(0, 1) ? device_int(0, 9) : 0);
    if (device_int(0, 1))
        p->xs.pitch += device_int(0, 1) ? 8 * device_int(0, 3) : device_int(0, 9);
    p->inner = random_act();
    p->gate = random_act();
    p->with_bias = device_int(0, 3) != 0;
}

/* Of an activation nothing is steeper than hard swish, by 1.5; it is off by 8 roundings, of numbers up to its own
 * argument. */
static Sum activated(const GpudlAct *act, Sum x)
{
    return (Sum){gpudl_activate(act, x.value), 1.6 * x.bound + 8 * 0x1p-24 * (fabs(x.value) + 1)};
}

/* factor * x more; rounding: of all terms together, in units of their size */
static void add(Sum *sum, double *magnitude, double factor, Sum x)
{
    sum->value += factor * x.value;
    sum->bound += fabs(factor) * x.bound;
    *magnitude += fabs(factor * x.value);
}

static Sum ended(Sum sum, double magnitude, double bias, int terms)
{
    sum.value += bias;
    sum.bound += (terms + 2) * 0x1p-24 * (magnitude + fabs(bias));
    return sum;
}

static void expect(const Problem *p, int n, Sum *scales)
{
    const int c = p->xs.c, pixels = p->xs.h * p->xs.w;
    const int64_t pitch = gpudl_squeeze_cuda_pitch(c), first = (int64_t)n * pixels * p->xs.pitch;
    Sum *means = device_host((size_t)c * sizeof *means), *inner = device_host((size_t)p->r * sizeof *inner);

    for (int k = 0; k < c; k++) {
        double magnitude = 0;

        means[k] = (Sum){0, 0};
        for (int i = 0; i < pixels; i++)
            add(&means[k], &magnitude, 1.0 / pixels, (Sum){device_get(p->dtype, p->x, first + i * p->xs.pitch + k), 0});
        means[k] = ended(means[k], magnitude, 0, pixels);
    }
    for (int j = 0; j < p->r; j++) {
        double magnitude = 0;

        inner[j] = (Sum){0, 0};
        for (int k = 0; k < c; k++)
            add(&inner[j], &magnitude, device_get(p->dtype, p->w, j * pitch + k), means[k]);
        inner[j] = activated(&p->inner, ended(inner[j], magnitude, p->with_bias ? p->bias[j] : 0, c));
    }
    for (int k = 0; k < c; k++) {
        double magnitude = 0;

        scales[k] = (Sum){0, 0};
        for (int j = 0; j < p->r; j++)
            add(&scales[k], &magnitude, device_get(p->dtype, p->w, (p->r + j) * pitch + k), inner[j]);
        scales[k] = activated(&p->gate, ended(scales[k], magnitude, p->with_bias ? p->bias[p->r + k] : 0, p->r));
    }
}

static void compare(const Problem *p, const void *got)
{
    Sum *scales = device_host((size_t)p->xs.c * sizeof *scales);

    for (int n = 0; n < p->xs.n; n++) {
        expect(p, n, scales);
        for (int64_t k = 0; k < p->y_pitch; k++) {
            const int64_t at = n * p->y_pitch + k;
            double value, wanted, bound;

            if (k >= p->xs.c) { /* another tensor's */
                if (n + 1 < p->xs.n && !isnan(device_get(p->dtype, got, at)))
                    device_fail("picture %d: channel %d, behind the last, was written", n, (int)k);
                continue;
            }
            value = device_get(p->dtype, got, at);
            wanted = device_rounded(p->dtype, scales[k].value);
            bound = scales[k].bound + device_rounding(p->dtype, scales[k].value);
            if (isnan(wanted) ? !isnan(value) : !(fabs(value - wanted) <= bound))
                device_fail("picture %d channel %d: found %g, expected %g, bound %g", n, (int)k, value, wanted, bound);
        }
    }
}

static void check(Problem *p, int aligned)
{
    const size_t size = gpudl_dtype_size(p->dtype);
    const size_t y_bytes = ((size_t)(p->xs.n - 1) * (size_t)p->y_pitch + (size_t)p->xs.c) * size;
    const size_t w_bytes = (size_t)(2 * p->r * gpudl_squeeze_cuda_pitch(p->xs.c)) * size;
    const void *x = device_input(p->x, elements(p) * size, !aligned && device_int(0, 7) == 0 ? size : 0);
    const void *w = device_input(p->w, w_bytes, 0);
    const float *bias = device_input(p->bias, (size_t)(p->r + p->xs.c) * sizeof *p->bias, 0);
    void *y = device_output(y_bytes, !aligned && device_int(0, 7) == 0 ? size : 0);

    device_note(", %s %dx%dx%dx%d pitches %d %d, %d between, activations %d %d, bias %d", gpudl_dtype_name(p->dtype),
                p->xs.n, p->xs.h, p->xs.w, p->xs.c, (int)p->xs.pitch, (int)p->y_pitch, (int)p->r, p->inner.kind,
                p->gate.kind, p->with_bias);
    device_done(gpudl_squeeze_cuda(p->dtype, x, &p->xs, w, p->with_bias ? bias : NULL, p->r, &p->inner, &p->gate, y,
                                   p->y_pitch, NULL));
    compare(p, device_fetch(y, y_bytes));
}

static void test_random(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        Problem p;

        device_case(number, "squeeze");
        random_problem(&p, number);
        fill(&p);
        check(&p, 0);
    }
}

/* Pictures so large that blocks have more threads, by pixels and by channels; batches of small clusters, and of
 * pictures that take turns; most channels, and most between. */
static void test_sizes(void)
{
    static const struct {
        GpudlNhwc xs;
        int32_t r;
    } cases[] = {{{1, 130, 32, 32, 40}, 8},  {{1, 24, 23, 256, 256}, 10}, {{130, 1, 2, 40, 40}, 12},
                 {{1100, 1, 1, 16, 16}, 4},  {{1, 7, 7, 576, 576}, 144},  {{2, 1, 1, 4096, 4096}, 2},
                 {{1, 3, 3, 4095, 4095}, 1}, {{1, 2, 1, 24, 24}, 1024},   {{1, 1, 1, 1, 1}, 1}};

    for (int number = 0; number < (int)(sizeof cases / sizeof *cases); number++) {
        Problem p = {.xs = cases[number].xs,
                     .dtype = GPUDL_DTYPE_F16,
                     .r = cases[number].r,
                     .y_pitch = cases[number].xs.c,
                     .inner = {GPUDL_ACT_RELU, 0, 0},
                     .gate = {GPUDL_ACT_SIGMOID, 0, 0},
                     .with_bias = 1};

        device_case(number, "size");
        fill(&p);
        check(&p, 1);
    }
}

/* One value of one picture: its scales are no numbers, others' are. */
static void test_nan(void)
{
    for (int number = 0; number < device_cases(40); number++) {
        Problem p;

        device_case(number, "NaN");
        random_problem(&p, number);
        fill(&p);
        device_set(p.dtype, p.x, device_int(0, p.xs.h * p.xs.w - 1) * p.xs.pitch + device_int(0, p.xs.c - 1), NAN);
        check(&p, 0);
    }
}

static void test_refuses(void)
{
    const GpudlNhwc good = {1, 2, 2, 8, 8}, none = {0, 2, 2, 8, 8}, empty = {1, 0, 2, 8, 8}, narrow = {1, 2, 2, 8, 7};
    const GpudlNhwc wide = {1, 1, 1, GPUDL_SQUEEZE_CUDA_CHANNELS + 1, GPUDL_SQUEEZE_CUDA_CHANNELS + 1};
    const GpudlAct act = {GPUDL_ACT_NONE, 0, 0};
    const struct {
        const GpudlNhwc *xs;
        int32_t r;
        int64_t y_pitch;
        int offset;
    } wrong[] = {{&empty, 4, 8, 0},
                 {&narrow, 4, 8, 0},
                 {&wide, 4, wide.c, 0},
                 {&good, 0, 8, 0},
                 {&good, GPUDL_SQUEEZE_CUDA_INNER + 1, 8, 0},
                 {&good, 4, 7, 0},
                 {&good, 4, 8, 2}};
    uint8_t *memory = device_output(64, 0);

    for (int i = 0; i < (int)(sizeof wrong / sizeof *wrong); i++)
        if (gpudl_squeeze_cuda(GPUDL_DTYPE_F16, memory, wrong[i].xs, memory + wrong[i].offset, NULL, wrong[i].r, &act,
                               &act, memory, wrong[i].y_pitch, NULL) != GPUDL_KERNEL_SHAPE)
            device_fail("call %d, which can't be served, was not refused", i);
    if (gpudl_squeeze_cuda(GPUDL_DTYPE_F64, memory, &good, memory, NULL, 4, &act, &act, memory, 8, NULL) !=
        GPUDL_KERNEL_DTYPE)
        device_fail("float64 was not refused");
    device_done(gpudl_squeeze_cuda(GPUDL_DTYPE_F16, NULL, &none, memory, NULL, 4, &act, &act, memory, 8, NULL));
}

/* ---- benches -------------------------------------------------------------------------------------------------------
 */

typedef struct {
    GpudlNhwc xs;
    int32_t r;
    const uint8_t *x, *w;
    void *y;
} Bench;

static int launch(void *data, int i, GpudlKernelStream stream)
{
    static const GpudlAct inner = {GPUDL_ACT_SILU, 0, 0}, gate = {GPUDL_ACT_SIGMOID, 0, 0};
    const Bench *b = data;

    (void)i;
    return gpudl_squeeze_cuda(GPUDL_DTYPE_F16, b->x, &b->xs, b->w, NULL, b->r, &inner, &gate, b->y, b->xs.c, stream);
}

static void bench(void)
{
    static const struct {
        int side, c, r;
    } cases[] = {{112, 32, 8}, {56, 144, 6}, {28, 240, 10}, {14, 672, 28}, {7, 1152, 48}, {7, 576, 144}};
    static const int batches[] = {1, 32, 128};

    for (int i = 0; i < 3 * (int)(sizeof cases / sizeof *cases); i++) {
        const int n = batches[i % 3], side = cases[i / 3].side, c = cases[i / 3].c, r = cases[i / 3].r;
        Bench b = {.xs = {n, side, side, c, c}, .r = r};
        const size_t bytes = (size_t)n * (size_t)(side * side) * (size_t)c * 2, w_bytes = (size_t)(2 * r * c) * 2;
        char name[64];

        device_case(i, "bench");
        b.x = device_noise(bytes);
        b.w = device_noise(w_bytes);
        b.y = device_output((size_t)(n * c) * 2, 0);
        snprintf(name, sizeof name, "squeeze, %dx%dx%d to %d, batch %d", side, side, c, r, n);
        device_bench(name, launch, &b, 40, (double)(bytes + w_bytes));
    }
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {
        {"random", test_random}, {"sizes", test_sizes}, {"nan", test_nan}, {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"squeeze", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}

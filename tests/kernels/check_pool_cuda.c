/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pooling against the reference in double, of the same values. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/pool_cuda.h"
#include "tests/kernels/device.h"

typedef struct {
    GpudlPoolKind kind;
    GpudlNhwc xs, ys;
    GpudlWindow window; /* n_spatial 0: global */
    GpudlDType dtype;
    void *x; /* host */
} Problem;

static size_t elements(const GpudlNhwc *s)
{
    const size_t pixels = (size_t)s->n * (size_t)s->h * (size_t)s->w;

    return pixels == 0 ? 0 : (pixels - 1) * (size_t)s->pitch + (size_t)s->c;
}

static void random_channels(Problem *p, int most)
{
    const int c = device_int(0, 2) ? 8 * (int)device_int(1, most / 8) : (int)device_int(1, most);

    p->xs.c = p->ys.c = c;
    p->xs.pitch = p->ys.pitch = c;
    if (device_int(0, 1)) {
        p->xs.pitch += device_int(0, 1) ? 8 * device_int(0, 3) : device_int(0, 9);
        p->ys.pitch += device_int(0, 1) ? 8 * device_int(0, 3) : device_int(0, 9);
    }
}

static int32_t output_extent(const GpudlWindow *w, int d, int32_t *in)
{
    const int32_t reach = (w->kernel[d] - 1) * w->dilation[d] + 1;
    const int32_t least = reach - w->pad_begin[d] - w->pad_end[d];

    *in = *in < least ? least : *in;
    /* rounded down, or up as in ceil_mode */
    return (*in + w->pad_begin[d] + w->pad_end[d] - reach + (device_int(0, 1) ? w->stride[d] - 1 : 0)) / w->stride[d] +
           1;
}

static void random_problem(Problem *p)
{
    GpudlWindow *w = &p->window;
    const int usual = (int)device_int(0, 1), k = (int)device_int(2, 3), stride = k == 2 ? 2 : (int)device_int(1, 2);

    p->kind = (GpudlPoolKind)device_int(0, GPUDL_POOL_AVERAGE_PAD);
    *w = (GpudlWindow){2, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}};
    for (int d = 1; d < 3; d++) {
        w->kernel[d] = usual ? k : (int)device_int(1, 5);
        w->stride[d] = usual ? stride : (int)device_int(1, 4);
        w->dilation[d] = usual || device_int(0, 3) ? 1 : (int)device_int(1, 3);
        w->pad_begin[d] = (int)device_int(0, usual ? 1 : 4);
        w->pad_end[d] = (int)device_int(0, usual ? 1 : 4);
    }
    p->xs = (GpudlNhwc){(int)device_int(1, 3), (int)device_int(1, 20), (int)device_int(1, 20), 0, 0};
    p->ys = p->xs;
    p->ys.h = output_extent(w, 1, &p->xs.h);
    p->ys.w = output_extent(w, 2, &p->xs.w);
    random_channels(p, 72);
    device_note(
        ", kind %d %dx%dx%dx%d pitch %d -> %dx%d pitch %d, window %dx%d stride %d %d pads %d %d %d %d dilation %d %d",
        p->kind, p->xs.n, p->xs.h, p->xs.w, p->xs.c, (int)p->xs.pitch, p->ys.h, p->ys.w, (int)p->ys.pitch, w->kernel[1],
        w->kernel[2], w->stride[1], w->stride[2], w->pad_begin[1], w->pad_begin[2], w->pad_end[1], w->pad_end[2],
        w->dilation[1], w->dilation[2]);
}

/* [n][c][h][w] in double, of the input, or room for the output */
static GpudlTensorView planar(GpudlDType dtype, const void *x, const GpudlNhwc *s, int magnitude)
{
    const int64_t plane = (int64_t)s->h * s->w;
    double *to = device_host((size_t)s->n * (size_t)s->c * (size_t)plane * sizeof(double));

    for (int64_t pixel = 0; pixel < s->n * plane && x != NULL; pixel++)
        for (int c = 0; c < s->c; c++) {
            const double v = device_get(dtype, x, pixel * s->pitch + c);

            to[(pixel / plane * s->c + c) * plane + pixel % plane] = magnitude ? fabs(v) : v;
        }
    return (GpudlTensorView){GPUDL_DTYPE_F64, {4, {s->n, s->c, s->h, s->w}}, to};
}

static const double *reference(const Problem *p, int magnitude)
{
    const GpudlTensorView x = planar(p->dtype, p->x, &p->xs, magnitude), y = planar(p->dtype, NULL, &p->ys, 0);
    const int status = p->window.n_spatial == 0 ? gpudl_global_pool_ref(p->kind, &x, &y, NULL)
                                                : gpudl_pool_ref(p->kind, &x, &p->window, &y, NULL);

    if (status != 0)
        device_fail("the reference refuses");
    return y.data;
}

/* Whether a place of the result is as it was poisoned. */
static int is_untouched(const Problem *p, const void *got, int64_t at)
{
    return p->dtype == GPUDL_DTYPE_F32 ? ((const uint32_t *)got)[at] == 0xffffffff
                                       : ((const uint16_t *)got)[at] == 0xffff;
}

static void compare(const Problem *p, const void *got)
{
    const GpudlNhwc *s = &p->ys;
    const double *expected = reference(p, 0), *magnitude = reference(p, 1);
    const int64_t plane = (int64_t)s->h * s->w;
    const double terms =
        p->window.n_spatial == 0 ? (double)p->xs.h * p->xs.w : (double)p->window.kernel[1] * p->window.kernel[2];

    for (int64_t pixel = 0; pixel < s->n * plane; pixel++)
        for (int64_t c = 0; c < s->pitch; c++) {
            const int64_t at = (pixel / plane * s->c + c) * plane + pixel % plane;
            double value, wanted, bound;

            if (c >= s->c) { /* another tensor's */
                if (pixel + 1 < s->n * plane && !is_untouched(p, got, pixel * s->pitch + c))
                    device_fail("pixel %d: channel %d, behind the last, was written", (int)pixel, (int)c);
                continue;
            }
            value = device_get(p->dtype, got, pixel * s->pitch + c);
            wanted = device_rounded(p->dtype, expected[at]);
            /* maxima are exact; each sum rounds to 2^-24 of at most the magnitude */
            bound = p->kind == GPUDL_POOL_MAX
                        ? 0
                        : (terms + 2) * magnitude[at] * 0x1p-24 + device_rounding(p->dtype, expected[at]);
            if (isnan(wanted) ? !isnan(value) : value != wanted && !(fabs(value - wanted) <= bound))
                device_fail("pixel %d channel %d: found %g, expected %g, bound %g", (int)pixel, (int)c, value, wanted,
                            bound);
        }
}

static void check_problem(Problem *p, int extremes, int aligned)
{
    const size_t n = elements(&p->xs), size = gpudl_dtype_size(p->dtype), y_bytes = elements(&p->ys) * size;
    const void *x;
    void *y;

    p->x = device_host(n * size);
    device_random(p->dtype, p->x, n, -2, 2, extremes);
    device_note(", %s", gpudl_dtype_name(p->dtype));
    x = device_input(p->x, n * size, !aligned && device_int(0, 7) == 0 ? size : 0);
    y = device_output(y_bytes, !aligned && device_int(0, 7) == 0 ? size : 0);
    device_done(p->window.n_spatial == 0 ? gpudl_global_pool_cuda(p->kind, p->dtype, x, &p->xs, y, p->ys.pitch, NULL)
                                         : gpudl_pool_cuda(p->kind, p->dtype, x, &p->xs, &p->window, y, &p->ys, NULL));
    compare(p, device_fetch(y, y_bytes));
}

/* Half of the cases are float16. */
static GpudlDType type_of(int number)
{
    return (GpudlDType[]){GPUDL_DTYPE_F16, GPUDL_DTYPE_BF16, GPUDL_DTYPE_F16, GPUDL_DTYPE_F32}[number % 4];
}

static void test_random(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        Problem p = {.dtype = type_of(number)};

        device_case(number, "pool");
        random_problem(&p);
        check_problem(&p, 0, 0);
    }
}

static void test_extremes(void)
{
    for (int number = 0; number < device_cases(100); number++) {
        Problem p = {.dtype = type_of(number)};

        device_case(number, "pool of infinities, NaN and the like");
        random_problem(&p);
        check_problem(&p, 1, 0);
    }
}

/* Pictures enough for the form that large batches take. */
static void test_batches(void)
{
    for (int number = 0; number < 2 * 3 * 2; number++) {
        const int stride = 1 + number % 2;
        Problem p = {.kind = (GpudlPoolKind)(number / 2 % 3),
                     .xs = {stride == 1 ? 10 : 38, 57, 59, 32, 32},
                     .dtype = number < 6 ? GPUDL_DTYPE_F16 : GPUDL_DTYPE_BF16};

        device_case(number, "batch, kind %d stride %d", p.kind, stride);
        p.window = (GpudlWindow){2, {1, 3, 3}, {1, stride, stride}, {0, 1, 1}, {0, 1, 1}, {1, 1, 1}};
        p.ys = p.xs;
        p.ys.h = (p.xs.h - 1) / stride + 1;
        p.ys.w = (p.xs.w - 1) / stride + 1;
        check_problem(&p, 1, 1);
    }
}

static void test_global(void)
{
    for (int number = 0; number < device_cases(100); number++) {
        Problem p = {.dtype = type_of(number)};
        const int most = device_int(0, 3) ? 20 : 60;

        device_case(number, "global pool");
        p.kind = (GpudlPoolKind)device_int(0, GPUDL_POOL_AVERAGE);
        p.xs = (GpudlNhwc){(int)device_int(1, 3), (int)device_int(1, most), (int)device_int(1, most), 0, 0};
        p.ys = (GpudlNhwc){p.xs.n, 1, 1, 0, 0};
        random_channels(&p, most == 20 ? 600 : 40);
        device_note(", kind %d %dx%dx%dx%d pitch %d -> %d", p.kind, p.xs.n, p.xs.h, p.xs.w, p.xs.c, (int)p.xs.pitch,
                    (int)p.ys.pitch);
        check_problem(&p, number % 3 == 0, 0);
    }
}

static void test_refuses(void)
{
    const GpudlWindow good = {2, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, {1, 1, 1}};
    const GpudlNhwc shape = {1, 4, 4, 8, 8}, narrow = {1, 4, 4, 8, 7}, other = {2, 4, 4, 8, 8}, none = {0, 4, 4, 8, 8};
    const GpudlNhwc empty = {1, 0, 4, 8, 8};
    GpudlWindow window = good;
    void *y = device_output(16, 0);
    const void *got;

    window.dilation[1] = 0;
    if (gpudl_pool_cuda(GPUDL_POOL_MAX, GPUDL_DTYPE_F16, y, &shape, &window, y, &shape, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_pool_cuda(GPUDL_POOL_MAX, GPUDL_DTYPE_F16, y, &narrow, &good, y, &shape, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_pool_cuda(GPUDL_POOL_MAX, GPUDL_DTYPE_F16, y, &shape, &good, y, &other, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_global_pool_cuda(GPUDL_POOL_AVERAGE_PAD, GPUDL_DTYPE_F16, y, &shape, y, 8, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_global_pool_cuda(GPUDL_POOL_MAX, GPUDL_DTYPE_F16, y, &shape, y, 7, NULL) != GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
    device_done(gpudl_pool_cuda(GPUDL_POOL_MAX, GPUDL_DTYPE_F16, NULL, &none, &good, NULL, &none, NULL));
    /* an empty plane averages to NaN */
    device_done(gpudl_global_pool_cuda(GPUDL_POOL_AVERAGE, GPUDL_DTYPE_F16, NULL, &empty, y, 8, NULL));
    got = device_fetch(y, 16);
    for (int i = 0; i < 8; i++)
        if (!isnan(device_get(GPUDL_DTYPE_F16, got, i)))
            device_fail("an empty plane averages to %g", device_get(GPUDL_DTYPE_F16, got, i));
}

/* ---- benches -------------------------------------------------------------------------------------------------------
 */

typedef struct {
    GpudlPoolKind kind;
    GpudlNhwc xs, ys;
    GpudlWindow window;
    const uint8_t *x;
    uint8_t *y;
    size_t bytes_in;
    int copies;
} Bench;

static int launch(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;
    const uint8_t *x = b->x + (size_t)(i % b->copies) * b->bytes_in;

    if (b->window.n_spatial == 0)
        return gpudl_global_pool_cuda(b->kind, GPUDL_DTYPE_F16, x, &b->xs, b->y, b->ys.pitch, stream);
    return gpudl_pool_cuda(b->kind, GPUDL_DTYPE_F16, x, &b->xs, &b->window, b->y, &b->ys, stream);
}

static void bench(void)
{
    static const struct {
        GpudlPoolKind kind;
        int window, stride, side, channels; /* window 0: global */
        const char *name;
    } cases[] = {{GPUDL_POOL_MAX, 3, 2, 112, 64, "max 3x3 s2, 112x112x64"},
                 {GPUDL_POOL_AVERAGE_PAD, 3, 1, 28, 256, "average 3x3 s1, 28x28x256"},
                 {GPUDL_POOL_AVERAGE, 0, 0, 7, 2048, "global average, 7x7x2048"},
                 {GPUDL_POOL_AVERAGE, 0, 0, 7, 1280, "global average, 7x7x1280"},
                 {GPUDL_POOL_AVERAGE, 0, 0, 56, 144, "global average, 56x56x144"}};
    static const int batches[] = {1, 32, 128};

    for (int i = 0; i < 3 * (int)(sizeof(cases) / sizeof(*cases)); i++) {
        const int n = batches[i % 3], k = cases[i / 3].window, stride = cases[i / 3].stride, side = cases[i / 3].side;
        const int c = cases[i / 3].channels, out = k == 0 ? 1 : (side - 1) / stride + 1;
        Bench b = {.kind = cases[i / 3].kind, .xs = {n, side, side, c, c}, .ys = {n, out, out, c, c}};
        const size_t out_bytes = elements(&b.ys) * 2;
        char name[64];

        device_case(i, "bench");
        if (k > 0)
            b.window =
                (GpudlWindow){2, {1, k, k}, {1, stride, stride}, {0, k / 2, k / 2}, {0, k / 2, k / 2}, {1, 1, 1}};
        b.bytes_in = elements(&b.xs) * 2;
        b.copies = b.bytes_in > ((size_t)100 << 20) ? 1 : (int)(((size_t)100 << 20) / b.bytes_in) + 1;
        b.copies = b.copies > 40 ? 40 : b.copies;
        b.x = device_noise(b.bytes_in * (size_t)b.copies);
        b.y = device_output(out_bytes, 0);
        snprintf(name, sizeof(name), "%s, batch %d", cases[i / 3].name, n);
        device_bench(name, launch, &b, 40, (double)(b.bytes_in + out_bytes));
    }
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"random", test_random},   {"extremes", test_extremes},
                                         {"batches", test_batches}, {"global", test_global},
                                         {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"pool", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}

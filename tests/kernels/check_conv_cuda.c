/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Convolution against the reference in double, of the same values: halfs, or these as floats. */
#include <math.h>
#include <string.h>

#include "kernels/conv.h"
#include "kernels/conv_cuda.h"
#include "kernels/half.h"
#include "tests/kernels/device.h"

typedef struct {
    GpudlNhwc xs, ys;
    int64_t z_pitch;
    GpudlWindow window;
    GpudlAct act;
    int groups, floats, has_bias, has_z;
    uint16_t *x, *w, *z; /* host */
    float *bias;
} Problem;

static size_t elements(const GpudlNhwc *s, int64_t pitch)
{
    return ((size_t)s->n * (size_t)s->h * (size_t)s->w - 1) * (size_t)pitch + (size_t)s->c;
}

static void random_problem(Problem *p)
{
    GpudlWindow *w = &p->window;
    const int usual = device_int(0, 1), k = 1 + 2 * (int)device_int(0, 2);

    *w = (GpudlWindow){2, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}};
    for (int d = 1; d < 3; d++) {
        w->kernel[d] = usual ? k : (int)device_int(1, 5);
        w->stride[d] = (int)device_int(1, 2);
        w->dilation[d] = usual ? 1 : (int)device_int(1, 3);
        w->pad_begin[d] = (int)device_int(0, w->kernel[d]);
    }
    p->groups = device_int(0, 2) ? 1 : (int)device_int(1, 5);
    p->xs = (GpudlNhwc){(int)device_int(1, 3), (int)device_int(1, 13), (int)device_int(1, 13),
                        p->groups * (int)device_int(1, 70 / p->groups), 0};
    p->ys = p->xs;
    p->ys.c = p->groups * (int)device_int(1, 40 / p->groups);
    p->ys.h = (p->xs.h + 2 * w->pad_begin[1]) / w->stride[1] + 1;
    p->ys.w = (p->xs.w + 2 * w->pad_begin[2]) / w->stride[2] + 1;
    p->xs.pitch = p->xs.c + (device_int(0, 1) ? device_int(0, 9) : 0);
    p->ys.pitch = p->ys.c + (device_int(0, 1) ? device_int(0, 9) : 0);
    p->z_pitch = p->ys.c + (device_int(0, 1) ? device_int(0, 9) : 0);
    p->floats = (int)device_int(0, 1);
    p->has_bias = (int)device_int(0, 1);
    p->has_z = (int)device_int(0, 1);
    p->act = (GpudlAct){(GpudlActKind)device_int(0, GPUDL_ACT_LAST), 0.2f, 0.5f};
    device_note(", %s %dx%dx%dx%d pitch %d -> %dx%dx%d pitch %d z %d, window %dx%d stride %d %d pads %d %d dilation %d "
                "%d groups %d bias %d act %d",
                p->floats ? "float32" : "float16", p->xs.n, p->xs.h, p->xs.w, p->xs.c, (int)p->xs.pitch, p->ys.h,
                p->ys.w, p->ys.c, (int)p->ys.pitch, p->has_z ? (int)p->z_pitch : 0, w->kernel[1], w->kernel[2],
                w->stride[1], w->stride[2], w->pad_begin[1], w->pad_begin[2], w->dilation[1], w->dilation[2], p->groups,
                p->has_bias, p->act.kind);
}

static uint16_t *random_halfs(size_t n)
{
    uint16_t *to = device_host(n * sizeof(*to));

    device_random_halfs(to, n, -1, 1, 0);
    return to;
}

/* As the launcher gets it, and the bytes of that. */
static const void *typed(const Problem *p, const uint16_t *from, size_t n, size_t *bytes)
{
    float *to = device_host(n * sizeof(*to));

    *bytes = n * (p->floats ? 4 : 2);
    for (size_t i = 0; i < n; i++)
        to[i] = gpudl_f16_to_f32(from[i]);
    return p->floats ? (const void *)to : from;
}

/* double [a][b][h][w] of values whose b lies fastest */
static GpudlTensorView planar(const uint16_t *from, int64_t a, int64_t b, int64_t h, int64_t w, int64_t pitch,
                              int magnitude)
{
    double *to = device_host((size_t)(a * b * h * w) * sizeof(*to));

    for (int64_t i = 0; i < a * h * w && from != NULL; i++)
        for (int64_t c = 0; c < b; c++) {
            const double v = gpudl_f16_to_f32(from[i * pitch + c]);

            to[((i / (h * w)) * b + c) * h * w + i % (h * w)] = magnitude ? fabs(v) : v;
        }
    return (GpudlTensorView){GPUDL_DTYPE_F64, {4, {a, b, h, w}}, to};
}

/* The reference's answer; with magnitude that of all values' magnitudes, which roundings are relative to. */
static const double *reference(const Problem *p, int magnitude)
{
    const GpudlNhwc *xs = &p->xs, *ys = &p->ys;
    const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};
    const int per_group = xs->c / p->groups;
    const GpudlTensorView x = planar(p->x, xs->n, xs->c, xs->h, xs->w, xs->pitch, magnitude);
    const GpudlTensorView w =
        planar(p->w, ys->c, per_group, p->window.kernel[1], p->window.kernel[2], per_group, magnitude);
    const GpudlTensorView z = planar(p->z, ys->n, ys->c, ys->h, ys->w, p->z_pitch, magnitude);
    const GpudlTensorView y = planar(NULL, ys->n, ys->c, ys->h, ys->w, 0, 0);
    double *bias = device_host((size_t)ys->c * sizeof(*bias));
    const GpudlTensorView b = {GPUDL_DTYPE_F64, {1, {ys->c}}, bias};

    for (int k = 0; k < ys->c; k++)
        bias[k] = magnitude ? fabs((double)p->bias[k]) : (double)p->bias[k];
    if (gpudl_conv_ref(&x, &w, p->has_bias ? &b : NULL, p->has_z ? &z : NULL, &p->window, p->groups,
                       magnitude ? &none : &p->act, &y, NULL) != 0)
        device_fail("the reference refuses");
    return y.data;
}

static void compare(const Problem *p, const void *got)
{
    const GpudlNhwc *s = &p->ys;
    const double *expected = reference(p, 0), *magnitude = reference(p, 1);
    const int64_t plane = (int64_t)s->h * s->w;
    const double terms = (double)p->xs.c / p->groups * p->window.kernel[1] * p->window.kernel[2] + 2;

    for (int64_t pixel = 0; pixel < s->n * plane; pixel++)
        for (int64_t c = 0; c < s->pitch; c++) {
            const int64_t at = (pixel / plane * s->c + c) * plane + pixel % plane, place = pixel * s->pitch + c;
            double value, wanted, bound;

            if (c >= s->c) { /* another tensor's */
                if (pixel + 1 < s->n * plane && (p->floats ? ((const uint32_t *)got)[place] != 0xffffffff
                                                           : ((const uint16_t *)got)[place] != 0xffff))
                    device_fail("pixel %d: channel %d, behind the last, was written", (int)pixel, (int)c);
                continue;
            }
            value = p->floats ? ((const float *)got)[place] : gpudl_f16_to_f32(((const uint16_t *)got)[place]);
            wanted = p->floats ? expected[at] : gpudl_f16_to_f32(gpudl_f64_to_f16(expected[at]));
            /* each sum rounds to 2^-24 of at most the magnitude, activations (slope at most 1.1) by a few more; the
             * half to 2^-11, or to 2^-25 where it is subnormal, twice that, the expected value being rounded */
            bound = (1.1 * terms * magnitude[at] + 8 * fabs(expected[at]) + 8) * 0x1p-24 +
                    (p->floats ? 0 : fabs(expected[at]) * 0x1p-10 + 0x1p-24);
            if (isinf(bound)) /* of an infinite sum an activation makes a limit or nothing finite */
                bound = 0;
            if (isnan(wanted) ? !isnan(value) : isinf(wanted) ? value != wanted : !(fabs(value - wanted) <= bound))
                device_fail("pixel %d channel %d: found %g, expected %g, bound %g", (int)pixel, (int)c, value, wanted,
                            bound);
        }
}

static void test_random(void)
{
    for (int number = 0; number < device_cases(300); number++) {
        Problem p = {0};
        int odd;
        const void *x, *w, *z, *bias, *from;
        size_t bytes, n_w, y_bytes;
        void *y;

        device_case(number, "conv");
        random_problem(&p);
        odd = device_int(0, 3) == 0;
        n_w = (size_t)p.ys.c * (size_t)(p.xs.c / p.groups) * (size_t)p.window.kernel[1] * (size_t)p.window.kernel[2];
        p.x = random_halfs(elements(&p.xs, p.xs.pitch));
        for (int i = 0; i < 3 && odd && elements(&p.xs, p.xs.pitch) > 0; i++) /* NaN, infinity, a large one */
            p.x[device_int(0, (int64_t)elements(&p.xs, p.xs.pitch) - 1)] = (uint16_t[]){0x7e00, 0xfc00, 0x7800}[i];
        p.w = random_halfs(n_w);
        p.z = random_halfs(elements(&p.ys, p.z_pitch));
        p.bias = device_host((size_t)p.ys.c * sizeof(*p.bias));
        for (int k = 0; k < p.ys.c; k++)
            p.bias[k] = (float)device_real(-1, 1);
        from = typed(&p, p.x, elements(&p.xs, p.xs.pitch), &bytes);
        x = device_input(from, bytes, 0);
        from = typed(&p, p.w, n_w, &bytes);
        w = device_input(from, bytes, 0);
        from = typed(&p, p.z, elements(&p.ys, p.z_pitch), &bytes);
        z = device_input(from, bytes, 0);
        bias = device_input(p.bias, (size_t)p.ys.c * sizeof(*p.bias), 0);
        y_bytes = elements(&p.ys, p.ys.pitch) * (p.floats ? 4 : 2);
        y = device_output(y_bytes, 0);
        device_done(gpudl_conv_cuda(p.floats ? GPUDL_DTYPE_F32 : GPUDL_DTYPE_F16, x, &p.xs, w, p.has_bias ? bias : NULL,
                                    p.has_z ? z : NULL, p.z_pitch, &p.window, p.groups, &p.act, y, &p.ys, NULL));
        compare(&p, device_fetch(y, y_bytes));
    }
}

static void test_refuses(void)
{
    const GpudlNhwc xs = {1, 4, 4, 6, 6}, ys = {1, 4, 4, 8, 8}, other = {2, 4, 4, 8, 8}, none = {0, 4, 4, 6, 6},
                    empty = {0, 4, 4, 8, 8};
    const GpudlWindow good = {2, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}},
                      deep = {3, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}};
    const GpudlAct act = {GPUDL_ACT_NONE, 0, 0};
    void *y = device_output(256, 0);

    if (gpudl_conv_cuda(GPUDL_DTYPE_BF16, y, &xs, y, NULL, NULL, 0, &good, 1, &act, y, &ys, NULL) !=
            GPUDL_KERNEL_DTYPE ||
        gpudl_conv_cuda(GPUDL_DTYPE_F16, y, &xs, y, NULL, NULL, 0, &good, 4, &act, y, &ys, NULL) !=
            GPUDL_KERNEL_SHAPE ||
        gpudl_conv_cuda(GPUDL_DTYPE_F16, y, &xs, y, NULL, NULL, 0, &good, 3, &act, y, &ys, NULL) !=
            GPUDL_KERNEL_SHAPE ||
        gpudl_conv_cuda(GPUDL_DTYPE_F16, y, &xs, y, NULL, NULL, 0, &deep, 1, &act, y, &ys, NULL) !=
            GPUDL_KERNEL_SHAPE ||
        gpudl_conv_cuda(GPUDL_DTYPE_F16, y, &xs, y, NULL, y, 7, &good, 1, &act, y, &ys, NULL) != GPUDL_KERNEL_SHAPE ||
        gpudl_conv_cuda(GPUDL_DTYPE_F16, y, &xs, y, NULL, NULL, 0, &good, 1, &act, y, &other, NULL) !=
            GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
    device_done(gpudl_conv_cuda(GPUDL_DTYPE_F16, NULL, &none, y, NULL, NULL, 0, &good, 1, &act, NULL, &empty, NULL));
}

typedef struct {
    GpudlNhwc xs, ys;
    const void *x, *w;
    void *y;
} Bench;

static int launch(void *data, int i, GpudlKernelStream stream)
{
    static const GpudlWindow window = {2, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, {1, 1, 1}};
    static const GpudlAct relu = {GPUDL_ACT_RELU, 0, 0};
    const Bench *b = data;

    return gpudl_conv_cuda(GPUDL_DTYPE_F16, b->x, &b->xs, b->w, NULL, NULL, 0, &window, 1, &relu, b->y, &b->ys, stream);
}

static void bench(void)
{
    const size_t bytes = (size_t)28 * 28 * 128 * 2;
    Bench b = {.xs = {1, 28, 28, 128, 128}, .ys = {1, 28, 28, 128, 128}};

    device_case(0, "bench");
    b.x = device_noise(bytes);
    b.w = device_noise((size_t)128 * 128 * 9 * 2);
    b.y = device_output(bytes, 0);
    device_bench("3x3 of 28x28x128 to 128, any shape", launch, &b, 10, 2.0 * (double)bytes + 128 * 128 * 9 * 2);
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {{"random", test_random}, {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"conv", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}

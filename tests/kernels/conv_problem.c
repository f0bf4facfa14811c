/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conv_problem.h"

#include <math.h>

#include "kernels/conv.h"
#include "kernels/half.h"
#include "tests/kernels/device.h"

static size_t elements(const GpudlNhwc *s, int64_t pitch)
{
    return ((size_t)s->n * (size_t)s->h * (size_t)s->w - 1) * (size_t)pitch + (size_t)s->c;
}

static void choose(ConvProblem *p, int multiple)
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
                        p->groups * multiple * (int)device_int(1, 1 + 70 / (p->groups * multiple)), 0};
    p->ys = p->xs;
    p->ys.c = p->groups * multiple * (int)device_int(1, 1 + 40 / (p->groups * multiple));
    p->ys.h = (p->xs.h + 2 * w->pad_begin[1]) / w->stride[1] + 1;
    p->ys.w = (p->xs.w + 2 * w->pad_begin[2]) / w->stride[2] + 1;
    p->xs.pitch = p->xs.c + (device_int(0, 1) ? multiple * device_int(0, 9) : 0);
    p->ys.pitch = p->ys.c + (device_int(0, 1) ? multiple * device_int(0, 9) : 0);
    p->z_pitch = p->ys.c + (device_int(0, 1) ? multiple * device_int(0, 9) : 0);
    p->has_bias = (int)device_int(0, 1);
    p->has_z = (int)device_int(0, 1);
    p->act = (GpudlAct){(GpudlActKind)device_int(0, GPUDL_ACT_LAST), 0.2f, 0.5f};
}

static void tell(const ConvProblem *p)
{
    const GpudlWindow *w = &p->window;

    device_note(", %s %dx%dx%dx%d pitch %d -> %dx%dx%d pitch %d z %d, window %dx%d stride %d %d pads %d %d dilation %d "
                "%d groups %d bias %d act %d",
                gpudl_dtype_name(p->dtype), p->xs.n, p->xs.h, p->xs.w, p->xs.c, (int)p->xs.pitch, p->ys.h, p->ys.w,
                p->ys.c, (int)p->ys.pitch, p->has_z ? (int)p->z_pitch : 0, w->kernel[1], w->kernel[2], w->stride[1],
                w->stride[2], w->pad_begin[1], w->pad_begin[2], w->dilation[1], w->dilation[2], p->groups, p->has_bias,
                p->act.kind);
}

/* Type of the values: float32's are float16's. */
static GpudlDType narrow(GpudlDType dtype)
{
    return dtype == GPUDL_DTYPE_BF16 ? dtype : GPUDL_DTYPE_F16;
}

static uint16_t *random_values(const ConvProblem *p, size_t n)
{
    uint16_t *to = device_host(n * sizeof(*to));

    device_random(narrow(p->dtype), to, n, -1, 1, 0);
    return to;
}

/* As the launcher gets it, and the bytes of that. */
static const void *typed(const ConvProblem *p, const uint16_t *from, size_t n, size_t *bytes)
{
    float *to = device_host(n * sizeof(*to));

    *bytes = n * (p->dtype == GPUDL_DTYPE_F32 ? 4 : 2);
    for (size_t i = 0; i < n; i++)
        to[i] = gpudl_f16_to_f32(from[i]);
    return p->dtype == GPUDL_DTYPE_F32 ? (const void *)to : from;
}

/* double [a][b][h][w] of values whose b lies fastest */
static GpudlTensorView planar(const ConvProblem *p, const uint16_t *from, int64_t a, int64_t b, int64_t h, int64_t w,
                              int64_t pitch, int magnitude)
{
    double *to = device_host((size_t)(a * b * h * w) * sizeof(*to));

    for (int64_t i = 0; i < a * h * w && from != NULL; i++)
        for (int64_t c = 0; c < b; c++) {
            const double v = device_get(narrow(p->dtype), from, i * pitch + c);

            to[((i / (h * w)) * b + c) * h * w + i % (h * w)] = magnitude ? fabs(v) : v;
        }
    return (GpudlTensorView){GPUDL_DTYPE_F64, {4, {a, b, h, w}}, to};
}

/* The reference's answer; with magnitude that of all values' magnitudes, which roundings are relative to. */
static const double *reference(const ConvProblem *p, int magnitude)
{
    const GpudlNhwc *xs = &p->xs, *ys = &p->ys;
    const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};
    const int per_group = xs->c / p->groups;
    const GpudlTensorView x = planar(p, p->x, xs->n, xs->c, xs->h, xs->w, xs->pitch, magnitude);
    const GpudlTensorView w =
        planar(p, p->w, ys->c, per_group, p->window.kernel[1], p->window.kernel[2], per_group, magnitude);
    const GpudlTensorView z = planar(p, p->z, ys->n, ys->c, ys->h, ys->w, p->z_pitch, magnitude);
    const GpudlTensorView y = planar(p, NULL, ys->n, ys->c, ys->h, ys->w, 0, 0);
    double *bias = device_host((size_t)ys->c * sizeof(*bias));
    const GpudlTensorView b = {GPUDL_DTYPE_F64, {1, {ys->c}}, bias};

    for (int k = 0; k < ys->c; k++)
        bias[k] = magnitude ? fabs((double)p->bias[k]) : (double)p->bias[k];
    if (gpudl_conv_ref(&x, &w, p->has_bias ? &b : NULL, p->has_z ? &z : NULL, &p->window, p->groups,
                       magnitude ? &none : &p->act, &y, NULL) != 0)
        device_fail("the reference refuses");
    return y.data;
}

static void compare(const ConvProblem *p, const void *got)
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
                if (pixel + 1 < s->n * plane &&
                    (p->dtype == GPUDL_DTYPE_F32 ? ((const uint32_t *)got)[place] != 0xffffffff
                                                 : ((const uint16_t *)got)[place] != 0xffff))
                    device_fail("pixel %d: channel %d, behind the last, was written", (int)pixel, (int)c);
                continue;
            }
            value = device_get(p->dtype, got, place);
            wanted = device_rounded(p->dtype, expected[at]);
            /* each sum rounds to 2^-24 of at most the magnitude, activations (slope at most 1.1) by a few more */
            bound = (1.1 * terms * magnitude[at] + 8 * fabs(expected[at]) + 8) * 0x1p-24 +
                    device_rounding(p->dtype, expected[at]);
            if (isinf(bound)) /* of an infinite sum an activation makes a limit or nothing finite */
                bound = 0;
            if (isnan(wanted) ? !isnan(value) : isinf(wanted) ? value != wanted : !(fabs(value - wanted) <= bound))
                device_fail("pixel %d channel %d: found %g, expected %g, bound %g", (int)pixel, (int)c, value, wanted,
                            bound);
        }
}

void conv_problem_random(ConvProblem *p, GpudlDType dtype, int multiple)
{
    *p = (ConvProblem){.dtype = dtype};
    choose(p, multiple);
    conv_problem_fill(p);
}

void conv_problem_fill(ConvProblem *p)
{
    const GpudlDType dtype = p->dtype;
    size_t bytes, n_w, n_x;
    const void *from;
    int odd;

    tell(p);
    odd = device_int(0, 3) == 0;
    n_x = elements(&p->xs, p->xs.pitch);
    n_w = (size_t)p->ys.c * (size_t)(p->xs.c / p->groups) * (size_t)p->window.kernel[1] * (size_t)p->window.kernel[2];
    p->x = random_values(p, n_x);
    for (int i = 0; i < 3 && odd && n_x > 0; i++) /* NaN, infinity, a large one */
        p->x[device_int(0, (int64_t)n_x - 1)] =
            (uint16_t[]){dtype == GPUDL_DTYPE_BF16 ? 0x7fc0 : 0x7e00, dtype == GPUDL_DTYPE_BF16 ? 0xff80 : 0xfc00,
                         dtype == GPUDL_DTYPE_BF16 ? 0x4700 : 0x7800}[i];
    p->w = random_values(p, n_w);
    p->z = random_values(p, elements(&p->ys, p->z_pitch));
    p->bias = device_host((size_t)p->ys.c * sizeof(*p->bias));
    for (int k = 0; k < p->ys.c; k++)
        p->bias[k] = (float)device_real(-1, 1);
    from = typed(p, p->x, n_x, &bytes);
    p->from_x = device_input(from, bytes, 0);
    from = typed(p, p->w, n_w, &bytes);
    p->from_w = device_input(from, bytes, 0);
    from = typed(p, p->z, elements(&p->ys, p->z_pitch), &bytes);
    p->from_z = device_input(from, bytes, 0);
    p->from_bias = device_input(p->bias, (size_t)p->ys.c * sizeof(*p->bias), 0);
    p->y_bytes = elements(&p->ys, p->ys.pitch) * (dtype == GPUDL_DTYPE_F32 ? 4 : 2);
    p->to_y = device_output(p->y_bytes, 0);
}

void conv_problem_compare(const ConvProblem *p)
{
    compare(p, device_fetch(p->to_y, p->y_bytes));
}

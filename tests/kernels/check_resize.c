/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Resampling against its definition: every output element as a sum over all input elements and their distance. */
#include <math.h>
#include <string.h>

#include "kernels/resize.h"
#include "tests/kernels/check.h"

static void check_row(guint number, const gchar *text, const GpudlResize *params, double scale, gsize n_in,
                      const double *in, gsize n_out, const double *out)
{
    g_autoptr(CheckTensor) x = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE((gint64)n_in), in);
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE((gint64)n_out));

    check_case(number, "%s", text);
    check_status(gpudl_resize_ref(&x->view, &scale, params, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, out, 1e-6);
}

static void test_by_hand(void)
{
    const double four[] = {1, 2, 3, 4}, three[] = {1, 2, 4};
    GpudlResize p = {.mode = GPUDL_SAMPLE_NEAREST, .coordinate = GPUDL_SAMPLE_ASYMMETRIC};

    p.nearest = GPUDL_SAMPLE_FLOOR;
    check_row(0, "doubled", &p, 2, 3, three, 6, (double[]){1, 1, 2, 2, 4, 4});
    check_row(1, "every other one", &p, 0, 4, four, 2, (double[]){1, 3});
    p.nearest = GPUDL_SAMPLE_CEIL;
    check_row(2, "ceil", &p, 2, 3, three, 6, (double[]){1, 2, 2, 4, 4, 4});
    p.nearest = GPUDL_SAMPLE_PREFER_FLOOR;
    check_row(3, "halves down", &p, 2, 3, three, 6, (double[]){1, 1, 2, 2, 4, 4});
    p.nearest = GPUDL_SAMPLE_PREFER_CEIL;
    check_row(4, "halves up", &p, 2, 3, three, 6, (double[]){1, 2, 2, 4, 4, 4});
    p = (GpudlResize){.mode = GPUDL_SAMPLE_LINEAR, .coordinate = GPUDL_SAMPLE_HALF_PIXEL};
    check_row(5, "half pixel", &p, 2, 2, four, 4, (double[]){1, 1.25, 1.75, 2});
    p.exclude_outside = 1;
    check_row(6, "what lies outside counts nothing", &p, 2, 2, four, 4, (double[]){1, 1.25, 1.75, 2});
    p = (GpudlResize){.mode = GPUDL_SAMPLE_LINEAR, .coordinate = GPUDL_SAMPLE_ALIGN_CORNERS};
    check_row(7, "corners", &p, 0, 2, four, 3, (double[]){1, 1.5, 2});
    check_row(8, "one corner", &p, 0, 4, four, 1, (double[]){1});
    p.coordinate = GPUDL_SAMPLE_TF_HALF_PIXEL;
    check_row(9, "from the middle of the element", &p, 0, 4, four, 2, (double[]){2, 4});
    p.coordinate = GPUDL_SAMPLE_PYTORCH_HALF_PIXEL;
    check_row(10, "one element is the first", &p, 0, 4, four, 1, (double[]){1});
    p.coordinate = GPUDL_SAMPLE_HALF_PIXEL;
    check_row(11, "one element is the middle", &p, 0, 4, four, 1, (double[]){2.5});
    /* 4 by a scale of .6 makes 2: the middle of 2.4 elements would be .2 off */
    p.coordinate = GPUDL_SAMPLE_HALF_PIXEL_SYMMETRIC;
    check_row(12, "about the middle", &p, .6, 4, four, 2, (double[]){2.5 - .5 / .6, 2.5 + .5 / .6});
    p = (GpudlResize){.mode = GPUDL_SAMPLE_LINEAR, .antialias = 1};
    check_row(13, "a filter twice as wide", &p, 0, 4, four, 2, (double[]){1.625, 3.375});
    p = (GpudlResize){.mode = GPUDL_SAMPLE_CUBIC, .cubic_a = -.5f};
    check_row(14, "a cubic keeps a straight line", &p, 0, 4, (double[]){5, 5, 5, 5}, 3, (double[]){5, 5, 5});
    /* at 1/2: -1/16, 9/16, 9/16, -1/16 */
    p.coordinate = GPUDL_SAMPLE_ASYMMETRIC;
    check_row(15, "cubic between the elements", &p, 2, 4, (double[]){0, 16, 32, 96}, 8,
              (double[]){0, (16 * 9 - 32) / 16., 16, (16 + 32) * 9 / 16. - 6, 32, (32 * 9 + 96 * 9 - 16 - 96) / 16., 96,
                         (96 * 9 + 96 * 9 - 32 - 96) / 16.});
}

static void test_refused(void)
{
    g_autoptr(CheckTensor) x = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 3));
    g_autoptr(CheckTensor) bytes = check_tensor(GPUDL_DTYPE_U8, CHECK_SHAPE(2, 3));
    g_autoptr(CheckTensor) flat = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(6));
    g_autoptr(CheckTensor) none = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 0));
    const double zero[2] = {0}, negative[2] = {0, -1}, nan[2] = {NAN, 0};
    GpudlResize p = {.mode = GPUDL_SAMPLE_LINEAR}, other;

    check_case(0, "refused");
    check_status(gpudl_resize_ref(&bytes->view, zero, &p, &bytes->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_resize_ref(&x->view, zero, &p, &bytes->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_resize_ref(&x->view, zero, &p, &flat->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_resize_ref(&x->view, negative, &p, &x->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_resize_ref(&x->view, nan, &p, &x->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_resize_ref(&none->view, zero, &p, &x->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_resize_ref(&x->view, zero, &p, &none->view, NULL), GPUDL_KERNEL_OK);
    other = p;
    other.mode = (GpudlSampleMode)3;
    check_status(gpudl_resize_ref(&x->view, zero, &other, &x->view, NULL), GPUDL_KERNEL_SHAPE);
    other = p;
    other.coordinate = (GpudlSampleCoordinate)6;
    check_status(gpudl_resize_ref(&x->view, zero, &other, &x->view, NULL), GPUDL_KERNEL_SHAPE);
    other = p;
    other.nearest = (GpudlSampleNearest)4;
    check_status(gpudl_resize_ref(&x->view, zero, &other, &x->view, NULL), GPUDL_KERNEL_SHAPE);
}

/* Elements of every size, as they are. */
static void test_types(void)
{
    const GpudlResize p = {.mode = GPUDL_SAMPLE_NEAREST, .coordinate = GPUDL_SAMPLE_ASYMMETRIC, .nearest = 2};
    const double scale[] = {0, 3};

    for (guint number = 0; number < 40; number++) {
        const GpudlDType dtype = number % 2 != 0 ? check_integer_type() : GPUDL_DTYPE_BOOL;
        g_autoptr(CheckTensor) x = NULL, y = NULL;
        gint64 expected[2 * 300];

        check_case(number, "bytes");
        x = check_tensor_random(dtype, CHECK_SHAPE(2, 100), 0, 1);
        y = check_tensor(dtype, CHECK_SHAPE(2, 300));
        check_status(gpudl_resize_ref(&x->view, scale, &p, &y->view, NULL), GPUDL_KERNEL_OK);
        for (gint64 i = 0; i < 600; i++)
            expected[i] = check_get_int(x, i / 300 * 100 + i % 300 / 3);
        check_equal_int(y, expected);
    }
}

/* ---- random, against sums over everything ------------------------------------------------------------------------ */

static double place(const GpudlResize *p, double s, gint64 in, gint64 out, gint64 o)
{
    switch (p->coordinate) {
    case GPUDL_SAMPLE_HALF_PIXEL:
        return (o + .5) / s - .5;
    case GPUDL_SAMPLE_HALF_PIXEL_SYMMETRIC: {
        const double adjustment = out / (s * in), centre = in / 2., offset = centre * (1 - adjustment);

        return offset + (o + .5) / s - .5;
    }
    case GPUDL_SAMPLE_PYTORCH_HALF_PIXEL:
        return out > 1 ? (o + .5) / s - .5 : 0;
    case GPUDL_SAMPLE_ALIGN_CORNERS:
        return out == 1 ? 0 : o * ((in - 1.) / (out - 1.));
    case GPUDL_SAMPLE_ASYMMETRIC:
        return o / s;
    default:
        return (o + .5) / s;
    }
}

static double cubic(double a, double x)
{
    x = fabs(x);
    return x < 1   ? (a + 2) * pow(x, 3) - (a + 3) * pow(x, 2) + 1
           : x < 2 ? a * pow(x, 3) - 5 * a * pow(x, 2) + 8 * a * x - 4 * a
                   : 0;
}

/* Weights of all elements for output o, those outside added to the border's. */
static void weights(const GpudlResize *p, double s, gint64 in, gint64 out, gint64 o, double *w)
{
    const double shrink = p->antialias && s < 1 ? s : 1;
    double x, sum = 0, all = 0;

    memset(w, 0, (gsize)in * sizeof *w);
    if (in == out && (s == 0 || s == 1)) {
        w[o] = 1;
        return;
    }
    s = s != 0 ? s : (double)out / in;
    x = place(p, s, in, out, o);
    for (gint64 i = -200; i < in + 200; i++) {
        const double d = (i - x) * (p->antialias && s < 1 ? s : 1);
        const double one = p->mode == GPUDL_SAMPLE_CUBIC ? cubic((double)p->cubic_a, d) : MAX(0, 1 - fabs(d));

        all += one;
        if (p->exclude_outside && (i < 0 || i >= in))
            continue;
        sum += one;
        w[CLAMP(i, 0, in - 1)] += one;
    }
    for (gint64 i = 0; i < in && (p->exclude_outside || shrink < 1 || p->antialias) && sum != 0; i++)
        w[i] /= sum;
    g_assert_true(shrink < 1 || fabs(all - 1) < 1e-9);
}

static void test_random(void)
{
    for (guint number = 0; number < 300; number++) {
        GpudlResize p;
        GpudlShape in = {0}, out = {0};
        g_autoptr(CheckTensor) x = NULL, y = NULL;
        g_autofree double *expected = NULL, *w = NULL;
        double scale[GPUDL_MAX_RANK] = {0};
        GpudlDType dtype;

        check_case(number, "resize");
        p = (GpudlResize){.mode = (GpudlSampleMode)check_int(GPUDL_SAMPLE_LINEAR, GPUDL_SAMPLE_CUBIC),
                          .coordinate = (GpudlSampleCoordinate)check_int(0, GPUDL_SAMPLE_TF_HALF_PIXEL),
                          .exclude_outside = (int32_t)check_int(0, 1),
                          .antialias = (int32_t)check_int(0, 1),
                          .cubic_a = (float)check_real(-1, -.25)};
        in = check_shape(1, 3, 9);
        out = in;
        for (int d = 0; d < in.rank; d++) {
            if (check_int(0, 2) == 0)
                continue;
            out.dims[d] = check_int(1, d == in.rank - 1 && number % 20 == 0 ? 300 : 12);
            if (check_int(0, 1))
                scale[d] = (double)out.dims[d] / (double)in.dims[d] * check_real(1, 1.05);
        }
        check_note(", mode %d coordinate %d exclude %d antialias %d a %g, dims %g to %g", p.mode, p.coordinate,
                   p.exclude_outside, p.antialias, (double)p.cubic_a, (double)in.dims[0], (double)out.dims[0]);
        dtype = check_int(0, 1) ? GPUDL_DTYPE_F32 : check_float_type();
        x = check_tensor_random(dtype, in, -2, 2);
        y = check_tensor(dtype, out);
        check_status(gpudl_resize_ref(&x->view, scale, &p, &y->view, NULL), GPUDL_KERNEL_OK);
        expected = g_new0(double, check_elements(y));
        w = g_new0(double, 3 * 400);
        for (gint64 i = 0; i < check_elements(y); i++) {
            gint64 o[GPUDL_MAX_RANK], at[GPUDL_MAX_RANK];

            check_unravel(&out, i, o);
            for (int d = 0; d < in.rank; d++)
                weights(&p, scale[d], in.dims[d], out.dims[d], o[d], w + 400 * d);
            for (gint64 k = 0; k < check_elements(x); k++) {
                double product = check_get(x, k);

                check_unravel(&in, k, at);
                for (int d = 0; d < in.rank; d++)
                    product *= w[400 * d + at[d]];
                expected[i] += product;
            }
        }
        check_close(y, expected, 1e-9);
    }
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/resize/by-hand", test_by_hand);
    g_test_add_func("/resize/refused", test_refused);
    g_test_add_func("/resize/types", test_types);
    g_test_add_func("/resize/random", test_random);
    return g_test_run();
}

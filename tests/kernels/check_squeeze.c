/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CPU's squeeze-and-excite and means, of every instruction set that is there, against the references of their
 * steps. */
#include <math.h>

#include "check.h"
#include "kernels/conv.h"
#include "kernels/pool.h"
#include "kernels/squeeze.h"
#include "picture.h"

static const GpudlAct acts[] = {
    {GPUDL_ACT_NONE, 0, 0},       {GPUDL_ACT_RELU, 0, 0}, {GPUDL_ACT_CLIP, -.5f, 1},
    {GPUDL_ACT_SIGMOID, 0, 0},    {GPUDL_ACT_SILU, 0, 0}, {GPUDL_ACT_HARD_SIGMOID, 1.f / 6, .5f},
    {GPUDL_ACT_HARD_SWISH, 0, 0},
};

/* Of rank 4, float64, values as the type has them. */
static CheckTensor *widened(const CheckTensor *t, GpudlDType type, GpudlShape shape)
{
    g_autoptr(CheckTensor) rounded = check_tensor(type, shape);
    CheckTensor *wide = check_tensor(GPUDL_DTYPE_F64, shape);

    for (gint64 i = 0; i < check_elements(wide); i++) {
        check_set(rounded, i, t != NULL ? check_get(t, i) : 0);
        check_set(wide, i, check_get(rounded, i));
    }
    return wide;
}

static CheckTensor *product(const CheckTensor *x, const CheckTensor *w, const CheckTensor *bias, const GpudlAct *act)
{
    const GpudlWindow window = {2, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}, {1, 1, 1}};
    CheckTensor *y = check_tensor(GPUDL_DTYPE_F64, CHECK_SHAPE(x->view.shape.dims[0], w->view.shape.dims[0], 1, 1));

    check_status(gpudl_conv_ref(&x->view, &w->view, &bias->view, NULL, &window, 1, act, &y->view, NULL),
                 GPUDL_KERNEL_OK);
    return y;
}

static CheckTensor *means_of(const CheckTensor *planar)
{
    CheckTensor *y =
        check_tensor(GPUDL_DTYPE_F64, CHECK_SHAPE(planar->view.shape.dims[0], planar->view.shape.dims[1], 1, 1));

    check_status(gpudl_global_pool_ref(GPUDL_POOL_AVERAGE, &planar->view, &y->view, NULL), GPUDL_KERNEL_OK);
    return y;
}

static CheckTensor *reference(const GpudlSqueeze *s, const CheckTensor *planar, const CheckTensor *w1,
                              const CheckTensor *bias1, const CheckTensor *w2, const CheckTensor *bias2)
{
    g_autoptr(CheckTensor) w1_wide = widened(w1, s->type, CHECK_SHAPE(s->r, s->c, 1, 1));
    g_autoptr(CheckTensor) w2_wide = widened(w2, s->type, CHECK_SHAPE(s->c, s->r, 1, 1));
    g_autoptr(CheckTensor) bias1_wide = widened(bias1, GPUDL_DTYPE_F32, CHECK_SHAPE(s->r));
    g_autoptr(CheckTensor) bias2_wide = widened(bias2, GPUDL_DTYPE_F32, CHECK_SHAPE(s->c));
    g_autoptr(CheckTensor) means = means_of(planar);
    g_autoptr(CheckTensor) inner = product(means, w1_wide, bias1_wide, &s->inner);
    g_autoptr(CheckTensor) gates = product(inner, w2_wide, bias2_wide, &s->gate);
    CheckTensor *y = check_tensor(GPUDL_DTYPE_F64, planar->view.shape);

    for (gint64 i = 0; i < check_elements(y); i++)
        check_set(y, i, check_get(planar, i) * check_get(gates, i / s->pixels));
    return y;
}

/* What float32 leaves: of a mean of values up to 2, 130 roundings of 2^-24; of the first product, whose weights add up
 * to 4 at most, four times that and a rounding of 8 for each channel; of the second likewise 4.4 times (activations
 * stretch by 1.1), and of 37 for each of r; a sixth to 1.1 of it behind the gate; times an x of 2. */
static double bound(const GpudlSqueeze *s)
{
    const double mean = 130 * 2 * 0x1p-24, inner = 4 * mean + s->c * 8 * 0x1p-24;

    return 2 * 1.1 * (4.4 * inner + (s->r + 2) * 37 * 0x1p-24 + 1e-6);
}

static CheckPicture *make_picture(const GpudlSqueeze *s, int h, double low, double high)
{
    CheckPicture *p;

    /* rows without gaps of their own */
    do
        p = check_picture(s->type, s->n, h, s->pixels / h, s->c, low, high);
    while (p->row != p->pixel * p->w && (check_picture_free(p), TRUE));
    return p;
}

static void test_random(gconstpointer data)
{
    const GpudlSqueezeKernels *kernels = gpudl_squeeze_kernels((GpudlSimd)GPOINTER_TO_INT(data));

    if (kernels == NULL) {
        g_test_skip("this processor has it not");
        return;
    }
    for (guint i = 0; i < 200; i++) {
        g_autoptr(CheckTensor) w1 = NULL, bias1 = NULL, w2 = NULL, bias2 = NULL, packed = NULL, scratch = NULL;
        g_autoptr(CheckTensor) planar = NULL, expected = NULL, means = NULL;
        g_autoptr(CheckPicture) x = NULL, y = NULL, mean = NULL;
        GpudlSqueeze s = {.type = i % 2 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32};
        int h, in_place;

        check_case(i, "%s", kernels->name);
        h = (int)check_int(1, 15);
        s.n = (int32_t)check_int(1, 2);
        s.pixels = h * (int32_t)check_int(1, 20);
        s.c = (int32_t)check_int(1, check_int(0, 2) ? 40 : 150);
        s.r = (int32_t)check_int(1, 37);
        s.inner = acts[check_int(0, G_N_ELEMENTS(acts) - 1)];
        s.gate = acts[check_int(0, G_N_ELEMENTS(acts) - 1)];
        in_place = check_int(0, 2) == 0;
        check_note(", %s, %d frames of %d pixels, %d channels, %d inside, acts %d %d%s", gpudl_dtype_name(s.type), s.n,
                   s.pixels, s.c, s.r, s.inner.kind, s.gate.kind, in_place ? ", in place" : "");
        x = make_picture(&s, h, -2, 2);
        planar = check_picture_planar(x);
        y = make_picture(&s, h, 0, 0);
        mean = check_picture(s.type, s.n, 1, 1, s.c, 0, 0);
        w1 = check_floats(CHECK_SHAPE(s.r, s.c), -4. / s.c, 4. / s.c);
        w2 = check_floats(CHECK_SHAPE(s.c, s.r), -4. / s.r, 4. / s.r);
        bias1 = check_int(0, 2) ? check_floats(CHECK_SHAPE(s.r), -1, 1) : NULL;
        bias2 = check_int(0, 2) ? check_floats(CHECK_SHAPE(s.c), -1, 1) : NULL;
        s.x_pixel = x->pixel;
        s.x_frame = x->frame;
        s.y_pixel = in_place ? x->pixel : y->pixel;
        s.y_frame = in_place ? x->frame : y->frame;
        g_assert_true(gpudl_squeeze_supported(&s));
        packed = check_floats(CHECK_SHAPE((gint64)(gpudl_squeeze_weights_size(&s) / sizeof(float))), 0, 0);
        scratch = check_floats(CHECK_SHAPE((gint64)(gpudl_squeeze_scratch_size(&s) / sizeof(float))), 0, 0);
        for (gint64 k = 0; k < check_elements(scratch); k++)
            check_set(scratch, k, NAN);
        gpudl_squeeze_pack(&s, w1->view.data, bias1 != NULL ? bias1->view.data : NULL, w2->view.data,
                           bias2 != NULL ? bias2->view.data : NULL, packed->view.data);
        expected = reference(&s, planar, w1, bias1, w2, bias2);
        means = means_of(planar);
        {
            GpudlSqueeze to_mean = s;

            to_mean.y_frame = mean->frame;
            kernels->mean(&to_mean, x->data, mean->data);
            check_picture_close(mean, means, 130 * 2 * 0x1p-24);
        }
        kernels->run(&s, x->data, packed->view.data, scratch->view.data, in_place ? x->data : y->data);
        if (!in_place) {
            check_picture_close(y, expected, bound(&s));
        } else {
            g_autoptr(CheckTensor) got = check_picture_planar(x);
            g_autoptr(CheckTensor) typed = widened(got, s.type, expected->view.shape);
            g_autoptr(CheckTensor) narrow = check_tensor(s.type, expected->view.shape);
            g_autofree double *values = g_new(double, check_elements(expected));

            for (gint64 k = 0; k < check_elements(expected); k++) {
                values[k] = check_get(expected, k);
                check_set(narrow, k, check_get(typed, k));
            }
            check_close(narrow, values, bound(&s));
        }
    }
}

static void test_refusals(void)
{
    const GpudlSqueeze good = {GPUDL_DTYPE_F32,          1, 16, 8, 4, 8, 128, 8, 128, {GPUDL_ACT_RELU, 0, 0},
                               {GPUDL_ACT_SIGMOID, 0, 0}};
    GpudlSqueeze s;

    g_assert_true(gpudl_squeeze_supported(&good));
#define REFUSED(field, value)                                                                                          \
    s = good;                                                                                                          \
    s.field = value;                                                                                                   \
    g_assert_false(gpudl_squeeze_supported(&s))
    REFUSED(type, GPUDL_DTYPE_F16);
    REFUSED(n, 0);
    REFUSED(pixels, 0);
    REFUSED(c, 9);
    REFUSED(r, 0);
    REFUSED(x_pixel, 7);
    REFUSED(x_frame, 127);
    REFUSED(y_pixel, 7);
    REFUSED(y_frame, 127);
    REFUSED(inner.kind, GPUDL_ACT_GELU);
    REFUSED(gate.kind, GPUDL_ACT_TANH);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"generic", "avx2", "avx512", "avx512-bf16"};

    check_init(&argc, &argv);
    G_STATIC_ASSERT(G_N_ELEMENTS(names) == GPUDL_SIMD_LAST + 1);
    for (int simd = 0; simd <= GPUDL_SIMD_LAST; simd++) {
        g_autofree char *random = g_strdup_printf("/squeeze/random/%s", names[simd]);

        g_test_add_data_func(random, GINT_TO_POINTER(simd), test_random);
    }
    g_test_add_func("/squeeze/refusals", test_refusals);
    return g_test_run();
}

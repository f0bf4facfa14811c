/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/kernels/dense.h"

#include <math.h>

const GpudlAct check_dense_acts[CHECK_DENSE_ACTS] = {
    {GPUDL_ACT_NONE, 0, 0},     {GPUDL_ACT_RELU, 0, 0}, {GPUDL_ACT_CLIP, 0, 6},
    {GPUDL_ACT_CLIP, -1.5f, 2}, {GPUDL_ACT_SILU, 0, 0}, {GPUDL_ACT_HARD_SWISH, 0, 0},
};

static void add(const gchar *path, GTestDataFunc test, GpudlDType type)
{
    static const gchar *const names[] = {"generic", "avx2", "avx512", "avx512-bf16"};
    static CheckParty parties[GPUDL_SIMD_LAST + 1][GPUDL_DTYPE_LAST + 1];

    G_STATIC_ASSERT(G_N_ELEMENTS(names) == GPUDL_SIMD_LAST + 1);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree gchar *name =
            g_strconcat(path, "/", names[i], type != GPUDL_DTYPE_NONE ? "/" : NULL, gpudl_dtype_name(type), NULL);

        parties[i][type] = (CheckParty){(GpudlSimd)i, type};
        g_test_add_data_func(name, &parties[i][type], test);
    }
}

void check_add_simds(const gchar *path, GTestDataFunc test)
{
    add(path, test, GPUDL_DTYPE_NONE);
}

void check_add_parties(const gchar *path, GTestDataFunc test)
{
    add(path, test, GPUDL_DTYPE_F32);
    add(path, test, GPUDL_DTYPE_BF16);
}

gboolean check_are_here(const void *kernels)
{
    if (kernels == NULL)
        g_test_skip("this processor has it not, or it does not multiply the type");
    return kernels != NULL;
}

CheckTensor *check_packed(gsize bytes)
{
    g_assert_cmpuint(bytes % 64, ==, 0);
    return check_floats(CHECK_SHAPE((gint64)(bytes / sizeof(float))), NAN, NAN);
}

/* t NULL: zeros */
static CheckTensor *widened(const CheckTensor *t, GpudlShape shape, gboolean rounded)
{
    g_autoptr(CheckTensor) narrow = check_tensor(rounded ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32, shape);
    CheckTensor *wide = check_tensor(GPUDL_DTYPE_F64, shape);

    for (gint64 i = 0; i < check_elements(wide); i++) {
        check_set(narrow, i, t != NULL ? check_get(t, i) : 0);
        check_set(wide, i, check_get(narrow, i));
    }
    return wide;
}

CheckTensor *check_dense_reference(const CheckPicture *x, const CheckTensor *w, gboolean rounded,
                                   const CheckTensor *bias, const CheckTensor *before, const GpudlWindow *window,
                                   int groups, const GpudlAct *act, GpudlShape shape)
{
    CheckTensor *y = check_tensor(GPUDL_DTYPE_F64, shape);
    const GpudlShape taps = CHECK_SHAPE(shape.dims[1], x->c / groups, window->kernel[1], window->kernel[2]);
    g_autoptr(CheckTensor) planar = check_picture_planar(x);
    g_autoptr(CheckTensor) w64 = widened(w, taps, rounded);
    g_autoptr(CheckTensor) b64 = widened(bias, CHECK_SHAPE(shape.dims[1]), FALSE);

    check_status(gpudl_conv_ref(&planar->view, &w64->view, &b64->view, before != NULL ? &before->view : NULL, window,
                                groups, act, &y->view, NULL),
                 GPUDL_KERNEL_OK);
    return y;
}

double check_dense_bound(int n, const GpudlAct *act)
{
    return (1.1 * n * 0x1p-24 + (act->kind == GPUDL_ACT_SILU ? 2e-4 : 1e-6)) * 2 * n;
}

CheckTensor *check_dense_fill(CheckPicture *y, gboolean whole)
{
    for (gint64 n = 0; n < y->n; n++)
        for (gint64 h = 0; h < y->h; h++)
            for (gint64 w = 0; w < y->w; w++)
                for (gint64 c = 0; c < y->c; c++)
                    check_set(y->memory, n * y->frame + h * y->row + w * y->pixel + c,
                              whole ? (double)check_int(-9, 9) : check_real(-2, 2));
    return check_picture_planar(y);
}

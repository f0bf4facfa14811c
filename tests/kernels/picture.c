/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "picture.h"

#include <math.h>

static gint64 offset_of(const CheckPicture *p, gint64 planar)
{
    const gint64 x = planar % p->w, y = planar / p->w % p->h, c = planar / p->w / p->h % p->c;

    return planar / p->w / p->h / p->c * p->frame + y * p->row + x * p->pixel + c;
}

CheckPicture *check_picture(GpudlDType type, gint64 n, gint64 h, gint64 w, gint64 c, double low, double high)
{
    CheckPicture *p = g_new0(CheckPicture, 1);
    const gboolean gaps = check_int(0, 1);
    gsize size = gpudl_dtype_size(type);

    *p = (CheckPicture){.n = n, .h = h, .w = w, .c = c};
    p->pixel = c + (gaps ? check_int(0, 9) : 0);
    p->row = w * p->pixel + (gaps ? check_int(0, 9) : 0);
    p->frame = h * p->row + (gaps ? check_int(0, 9) : 0);
    /* one element more, in front: the tensor's address is odd */
    p->memory = check_tensor(type, CHECK_SHAPE((n - 1) * p->frame + (h - 1) * p->row + (w - 1) * p->pixel + c + 1));
    p->data = p->memory->view.data;
    p->data += size - (gsize)p->data % size;
    for (gint64 i = 0; high > low && i < check_elements(p->memory); i++)
        check_set(p->memory, i, NAN);
    /* the tensor, moved to where the picture begins, is one shorter and aligned */
    p->memory->view.data = p->data;
    p->memory->view.shape.dims[0]--;
    for (gint64 i = 0; high > low && i < n * c * h * w; i++)
        check_set(p->memory, offset_of(p, i), check_real(low, high));
    return p;
}

void check_picture_free(CheckPicture *p)
{
    if (p == NULL)
        return;
    check_tensor_free(p->memory);
    g_free(p);
}

CheckTensor *check_picture_planar(const CheckPicture *p)
{
    CheckTensor *t = check_tensor(GPUDL_DTYPE_F64, CHECK_SHAPE(p->n, p->c, p->h, p->w));

    for (gint64 i = 0; i < check_elements(t); i++)
        check_set(t, i, check_get(p->memory, offset_of(p, i)));
    return t;
}

void check_picture_close(const CheckPicture *p, const CheckTensor *expected, double slack)
{
    g_autoptr(CheckTensor) got = check_tensor(p->memory->view.dtype, expected->view.shape);
    g_autofree double *values = g_new(double, check_elements(expected));
    g_autofree gboolean *part = g_new0(gboolean, check_elements(p->memory));
    gsize size = gpudl_dtype_size(p->memory->view.dtype);

    for (gint64 i = 0; i < check_elements(expected); i++) {
        values[i] = check_get(expected, i);
        check_set(got, i, check_get(p->memory, offset_of(p, i)));
        part[offset_of(p, i)] = TRUE;
    }
    check_close(got, values, slack);
    for (gint64 i = 0; i < check_elements(p->memory); i++)
        for (gsize k = 0; !part[i] && k < size; k++)
            if (p->data[(gsize)i * size + k] != CHECK_FRESH_BYTE)
                check_fail("element %" G_GINT64_FORMAT " of a gap was written", i);
}

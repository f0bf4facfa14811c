/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/synthetic.h"

#include <string.h>

#include "engine/limits.h"
#include "kernels/preproc.h"

#define SEED 20260101

float *synthetic_tensor(GpudlModel *model, GError **error)
{
    const GpudlPreproc *pp = gpudl_model_get_preproc(model);
    gsize n = (gsize)pp->channels * (gsize)pp->height * (gsize)pp->width;
    float *values = g_try_new(float, n);
    g_autoptr(GRand) rand = g_rand_new_with_seed(SEED);

    if (values == NULL) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY, "no memory for an input of %" G_GSIZE_FORMAT " values",
                    n);
        return NULL;
    }
    for (gsize i = 0; i < n; i++)
        values[i] = (float)g_rand_double_range(rand, -2.0, 2.0);
    return values;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

const gchar *synthetic_format_name(GpudlPixelFormat format)
{
    return gpudl_pixel_format_name(format);
}

static gboolean parse_parts(const gchar *text, SyntheticSize *size)
{
    g_auto(GStrv) parts = g_strsplit_set(text, "x:", 3);
    guint64 width, height;

    if (g_strv_length(parts) != 3 ||
        !g_ascii_string_to_unsigned(parts[0], 10, 1, GPUDL_LIMIT_FRAME_SIDE, &width, NULL) ||
        !g_ascii_string_to_unsigned(parts[1], 10, 1, GPUDL_LIMIT_FRAME_SIDE, &height, NULL))
        return FALSE;
    *size = (SyntheticSize){.width = (gint)width, .height = (gint)height};
    for (guint f = GPUDL_PIXEL_UNKNOWN + 1; f <= GPUDL_PIXEL_LAST; f++)
        if (g_strcmp0(gpudl_pixel_format_name((GpudlPixelFormat)f), parts[2]) == 0)
            size->format = (GpudlPixelFormat)f;
    return size->format != GPUDL_PIXEL_UNKNOWN && text[strlen(parts[0])] == 'x';
}

gboolean synthetic_parse(const gchar *option, const gchar *text, SyntheticSize *size, GError **error)
{
    g_autoptr(GString) formats = g_string_new(NULL);

    if (parse_parts(text, size))
        return TRUE;
    for (guint f = GPUDL_PIXEL_UNKNOWN + 1; f <= GPUDL_PIXEL_LAST; f++)
        g_string_append_printf(formats, " %s", gpudl_pixel_format_name((GpudlPixelFormat)f));
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                "--%s: found '%s', expected WIDTHxHEIGHT:FORMAT, as 1920x1080:NV12, each side within 1 and %d, and one "
                "of the formats%s",
                option, text, GPUDL_LIMIT_FRAME_SIDE, formats->str);
    return FALSE;
}

static gboolean fill_plane(GpudlFrame *frame, guint plane, gsize row, gsize rows, GRand *rand)
{
    guint8 *data = g_try_malloc(row * rows);

    frame->planes[plane] = data;
    frame->strides[plane] = (gint32)row;
    for (gsize i = 0; data != NULL && i < row * rows; i++)
        data[i] = (guint8)(g_rand_int(rand) >> 24);
    return data != NULL;
}

GpudlFrame *synthetic_frame_new(const SyntheticSize *size, GError **error)
{
    g_autoptr(GpudlFrame) frame = g_new(GpudlFrame, 1);
    g_autoptr(GRand) rand = g_rand_new_with_seed(SEED);
    gint32 row_bytes[4], rows[4];
    int n_planes = gpudl_pixel_format_layout(size->format, size->width, size->height, row_bytes, rows);

    *frame = (GpudlFrame){.struct_size = sizeof *frame,
                          .format = size->format,
                          .width = size->width,
                          .height = size->height,
                          .chroma_site = GPUDL_CHROMA_H_COSITED};
    for (int p = 0; p < n_planes; p++) {
        if (!fill_plane(frame, (guint)p, (gsize)row_bytes[p], (gsize)rows[p], rand)) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY, "no memory for a frame of %dx%d", size->width,
                        size->height);
            return NULL;
        }
    }
    return g_steal_pointer(&frame);
}

void synthetic_frame_free(GpudlFrame *frame)
{
    for (guint p = 0; p < G_N_ELEMENTS(frame->planes); p++)
        g_free((gpointer)frame->planes[p]);
    g_free(frame);
}

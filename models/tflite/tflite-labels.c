/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/tflite/tflite-labels.h"

#include <string.h>

#include "engine/gpudl.h"
#include "engine/limits.h"
#include "models/zip.h"

#define LABELS_BYTES ((gsize)16 << 20)

gchar **tflite_labels_read(GBytes *file, const gchar *name, GError **error)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(file, &size);
    g_autoptr(GBytes) bytes = gpudl_zip_read(data, size, name, LABELS_BYTES, error);
    g_autofree gchar *text = NULL;
    g_auto(GStrv) lines = NULL;
    guint n;

    if (bytes == NULL)
        return NULL;
    /* of no bytes there is no data */
    text =
        g_bytes_get_size(bytes) > 0 ? g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes)) : g_strdup("");
    if (!g_utf8_validate(text, -1, NULL)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "it is no text in UTF-8");
        return NULL;
    }
    lines = g_strsplit(text, "\n", -1);
    n = g_strv_length(lines);
    while (n > 0 && g_strstrip(lines[n - 1])[0] == '\0')
        g_clear_pointer(&lines[--n], g_free);
    if (n == 0 || n > GPUDL_LIMIT_LABELS) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "it has %u lines, expected 1 to %u", n, GPUDL_LIMIT_LABELS);
        return NULL;
    }
    for (guint i = 0; i < n; i++)
        g_strstrip(lines[i]);
    return g_steal_pointer(&lines);
}

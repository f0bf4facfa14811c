/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/tflite/tflite-labels.h"

#include <string.h>

#include "engine/limits.h"
#include "models/zip.h"

#define LABELS_BYTES ((gsize)16 << 20)

gchar **tflite_labels_read(GBytes *file, const gchar *name)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(file, &size);
    g_autoptr(GBytes) bytes = gpudl_zip_read(data, size, name, LABELS_BYTES, NULL);
    g_autofree gchar *text = NULL;
    g_auto(GStrv) lines = NULL;
    guint n;

    if (bytes == NULL || g_bytes_get_size(bytes) == 0) /* of which there is no data */
        return NULL;
    text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    if (!g_utf8_validate(text, -1, NULL))
        return NULL;
    lines = g_strsplit(text, "\n", -1);
    n = g_strv_length(lines);
    while (n > 0 && g_strstrip(lines[n - 1])[0] == '\0')
        g_clear_pointer(&lines[--n], g_free);
    if (n == 0 || n > GPUDL_LIMIT_LABELS)
        return NULL;
    for (guint i = 0; i < n; i++)
        g_strstrip(lines[i]);
    return g_steal_pointer(&lines);
}

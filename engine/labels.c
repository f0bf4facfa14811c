/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/labels.h"

#include <string.h>

#include "engine/gpudl.h"
#include "engine/modelfile/modelfile.h"

#define LABELS_FILE_LIMIT (16u << 20)
#define PIPE_PATIENCE_MS 10000

static gchar *read_text(const gchar *path, GError **error)
{
    g_autoptr(GBytes) bytes = gpudl_file_read_text(path, LABELS_FILE_LIMIT, PIPE_PATIENCE_MS, error);
    const gchar *text;
    gsize size;

    if (!bytes)
        return NULL;
    text = g_bytes_get_data(bytes, &size);
    if (!g_utf8_validate_len(text, size, NULL)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: is no text in UTF-8, expected one label a line", path);
        return NULL;
    }
    return g_strndup(text, size);
}

gchar **gpudl_labels_read(const gchar *path, guint *n_labels, GError **error)
{
    g_autofree gchar *text = read_text(path, error);
    gchar **labels = text != NULL ? gpudl_labels_parse(text, error) : NULL;

    if (labels == NULL) {
        if (text != NULL)
            g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    if (n_labels)
        *n_labels = g_strv_length(labels);
    return labels;
}

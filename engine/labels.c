/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "engine/gpudl.h"
#include "engine/limits.h"
#include "engine/modelfile/modelfile.h"

#define LABELS_FILE_LIMIT (16u << 20)
#define PIPE_PATIENCE_MS 10000

/* "n01440764 tench, Tinca tinca": the id of WordNet's noun, then its names. */
static const gchar *skip_wordnet_id(const gchar *line)
{
    guint i = 1;

    if (line[0] != 'n')
        return line;
    while (g_ascii_isdigit(line[i]))
        i++;
    if (i != 9 || (line[i] != ' ' && line[i] != '\t'))
        return line;
    while (line[i] == ' ' || line[i] == '\t')
        i++;
    return line[i] ? line + i : line;
}

/* White space of any script, no-break ones and CR too, and U+FEFF: at a file's beginning it marks its encoding, and
 * lists that were put together of several have it in the middle. */
static gboolean is_blank(gunichar c)
{
    return g_unichar_isspace(c) || c == 0xfeff;
}

static void trim_end(gchar *text)
{
    gchar *end = text + strlen(text), *last;

    while (end > text && is_blank(g_utf8_get_char(last = g_utf8_prev_char(end))))
        end = last;
    *end = '\0';
}

/* Blanks at both ends go; in place, returns where it begins. */
static const gchar *trim(gchar *text)
{
    trim_end(text);
    while (*text != '\0' && is_blank(g_utf8_get_char(text)))
        text = g_utf8_next_char(text);
    return text;
}

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
    g_auto(GStrv) lines = NULL;
    g_autoptr(GPtrArray) labels = NULL;
    guint n;

    if (!text)
        return NULL;
    /* one piece more than is taken: what comes after the limit is not cut up */
    trim_end(text);
    lines = g_strsplit(text, "\n", GPUDL_LIMIT_LABELS + 1);
    n = g_strv_length(lines);
    if (n == 0 || n > GPUDL_LIMIT_LABELS) {
        g_set_error(error, GPUDL_ERROR, n ? GPUDL_ERROR_LIMIT : GPUDL_ERROR_FORMAT, "%s: %s labels, expected 1..%u",
                    path, n ? "too many" : "no", GPUDL_LIMIT_LABELS);
        return NULL;
    }
    labels = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < n; i++) {
        const gchar *label = skip_wordnet_id(trim(lines[i]));

        if (strlen(label) > GPUDL_LIMIT_NAME_BYTES) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT, "%s: line %u has more than %u bytes", path, i + 1,
                        GPUDL_LIMIT_NAME_BYTES);
            return NULL;
        }
        g_ptr_array_add(labels, g_strdup(label));
    }
    g_ptr_array_add(labels, NULL);
    if (n_labels)
        *n_labels = n;
    return (gchar **)g_ptr_array_free(g_steal_pointer(&labels), FALSE);
}

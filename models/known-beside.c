/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files beside a model's. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/labels.h"
#include "engine/limits.h"
#include "engine/modelfile/modelfile.h"
#include "engine/modelfile/sum.h"
#include "engine/shown.h"
#include "models/known.h"

#define MOST_BYTES ((guint64)16 << 20)
#define MOST_RANGES 3
#define MOST_DIMS 6

void gpudl_beside_clear(GpudlBeside *beside)
{
    gpudl_hint_clear(&beside->modelinfo);
    g_clear_pointer(&beside->modelinfo_name, g_free);
    for (guint i = 0; i < beside->n_files; i++) {
        gpudl_hint_clear(&beside->files[i].hint);
        g_clear_pointer(&beside->files[i].name, g_free);
    }
    beside->n_files = 0;
    g_clear_pointer(&beside->notes, g_ptr_array_unref);
    beside->sum[0] = '\0';
}

/* ---- GStreamer's .modelinfo -------------------------------------------------------------------------------------- */

/* "min,max;min,max;..": what the pixels 0 and 255 become, per channel or for all. */
static gboolean read_ranges(const gchar *text, GpudlHint *hint)
{
    g_auto(GStrv) ranges = g_strsplit(text, ";", MOST_RANGES + 1);
    const guint n = g_strv_length(ranges);
    gdouble low[MOST_RANGES], high[MOST_RANGES];

    if (n < 1 || n > MOST_RANGES || n == 2)
        return FALSE;
    for (guint i = 0; i < MOST_RANGES; i++) {
        gchar *end = NULL;

        low[i] = g_ascii_strtod(ranges[n == 1 ? 0 : i], &end);
        if (*end != ',')
            return FALSE;
        high[i] = g_ascii_strtod(end + 1, &end);
        if (*g_strchug(end) != '\0' || !(high[i] - low[i] > 1e-6) || !(high[i] - low[i] < 1e6))
            return FALSE;
    }
    /* (pixel / scale - mean) / std, with a std of 1 where one scale does for all */
    hint->preproc.pixel_scale = (float)(255 / (high[0] - low[0]));
    for (guint i = 0; i < MOST_RANGES; i++) {
        const gdouble std = (high[0] - low[0]) / (high[i] - low[i]);

        hint->preproc.std[i] = (float)std;
        hint->preproc.mean[i] = (float)(0 - low[i] * std);
    }
    hint->set |= GPUDL_KNOWN_VALUES;
    return TRUE;
}

/* "1,3,224,224": extents from the outermost, or with dims-order=col-major from the innermost; what is free is no
 * positive number. FALSE: no list of integers. */
static gboolean read_dims(const gchar *text, gboolean reversed, GpudlHint *hint)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", MOST_DIMS + 1);
    const guint n = g_strv_length(parts);
    gint64 dims[MOST_DIMS], height, width;
    gboolean last;

    if (n < 1 || n > MOST_DIMS)
        return FALSE;
    for (guint i = 0; i < n; i++) {
        gchar *end = NULL;
        const gchar *part = g_strstrip(parts[reversed ? n - 1 - i : i]);

        dims[i] = g_ascii_strtoll(part, &end, 10);
        if (end == part || *end != '\0')
            return FALSE;
    }
    if (n < 3)
        return TRUE;
    last = dims[n - 1] == 1 || dims[n - 1] == 3 || dims[n - 1] == 4;
    height = dims[last ? n - 3 : n - 2];
    width = dims[last ? n - 2 : n - 1];
    if (height >= 1 && height <= GPUDL_LIMIT_INPUT_SIDE && width >= 1 && width <= GPUDL_LIMIT_INPUT_SIDE) {
        hint->height = (gint)height;
        hint->width = (gint)width;
    }
    return TRUE;
}

/* What a group says of an input. */
static gboolean read_input(GKeyFile *file, const gchar *name, GpudlHint *hint, GError **error)
{
    g_autofree gchar *ranges = g_key_file_get_string(file, name, "ranges", NULL);
    g_autofree gchar *dims = g_key_file_get_string(file, name, "dims", NULL);
    g_autofree gchar *order = g_key_file_get_string(file, name, "dims-order", NULL);
    g_autofree gchar *group = gpudl_shown(name, GPUDL_SHOWN_BYTES), *shown = NULL;

    if (ranges != NULL && !read_ranges(ranges, hint)) {
        shown = gpudl_shown(ranges, GPUDL_SHOWN_BYTES);
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "[%s] has ranges=%s, expected \"min,max\" for all channels or three of them with ';' between",
                    group, shown);
        return FALSE;
    }
    if (dims != NULL && !read_dims(dims, g_strcmp0(order, "col-major") == 0, hint)) {
        shown = gpudl_shown(dims, GPUDL_SHOWN_BYTES);
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "[%s] has dims=%s, expected at most %d integers with ',' between, -1 where one is free", group,
                    shown, MOST_DIMS);
        return FALSE;
    }
    return TRUE;
}

gboolean gpudl_known_of_modelinfo(const gchar *text, GpudlHint *hint, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) fault = NULL;
    g_auto(GStrv) groups = NULL;

    if (!g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_NONE, &fault)) {
        g_autofree gchar *shown = gpudl_shown(fault->message, GPUDL_SHOWN_MESSAGE_BYTES);

        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "is no .modelinfo: %s", shown);
        return FALSE;
    }
    groups = g_key_file_get_groups(file, NULL);
    for (guint i = 0; groups[i] != NULL; i++) {
        g_autofree gchar *dir = g_key_file_get_string(file, groups[i], "dir", NULL);

        if (g_strcmp0(dir, "input") != 0)
            continue;
        if (!read_input(file, groups[i], hint, error))
            return FALSE;
        if (hint->set != 0 || hint->height > 0)
            break;
    }
    return TRUE;
}

/* ---- the others -------------------------------------------------------------------------------------------------- */

static gboolean read_labels(const gchar *text, GpudlHint *hint, GError **error)
{
    hint->labels = gpudl_labels_parse(text, error);
    return hint->labels != NULL;
}

typedef gboolean (*ReadFunc)(const gchar *text, GpudlHint *hint, GError **error);

/* Text of a regular file; *text NULL: it is not there. Adds it to the sum. */
static gboolean read_text(const gchar *path, const gchar *name, GpudlSum *sum, gboolean *any, gchar **text,
                          GError **error)
{
    g_autoptr(GBytes) bytes = NULL;
    const gchar *data;
    struct stat st;
    gsize size;

    *text = NULL;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return TRUE;
    bytes = gpudl_file_read_text(path, MOST_BYTES, 0, error);
    if (bytes == NULL)
        return FALSE;
    data = g_bytes_get_data(bytes, &size);
    if (!g_utf8_validate_len(data, size, NULL)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: is no text in UTF-8", path);
        return FALSE;
    }
    gpudl_sum_add(sum, name, strlen(name) + 1);
    gpudl_sum_add(sum, data, size);
    *any = TRUE;
    *text = g_strndup(data, size);
    return TRUE;
}

typedef struct {
    const gchar *folder;
    const gchar *within; /* how the names of files in the folder begin where they are told */
    GpudlSum *sum;
    gboolean any;
} Looking;

/* FALSE: it is there, and broken. */
static gboolean look(Looking *at, const gchar *name, ReadFunc read, GpudlHint *hint, gboolean *found, GError **error)
{
    g_autofree gchar *path = g_build_filename(at->folder, name, NULL), *text = NULL;

    *found = FALSE;
    if (!read_text(path, name, at->sum, &at->any, &text, error))
        return FALSE;
    if (text == NULL)
        return TRUE;
    *found = TRUE;
    if (read(text, hint, error))
        return TRUE;
    g_prefix_error(error, "%s: ", path);
    return FALSE;
}

static gboolean look_for_modelinfo(Looking *at, const gchar *path, GpudlBeside *beside, GError **error)
{
    g_autofree gchar *name = g_path_get_basename(path), *stem = g_strdup(name);
    gchar *dot = strrchr(stem, '.');

    if (dot != NULL && dot != stem)
        *dot = '\0';
    for (guint i = 0; i < 2; i++) {
        g_autofree gchar *candidate = g_strconcat(i == 0 ? name : stem, ".modelinfo", NULL);
        gboolean found;

        if (!look(at, candidate, gpudl_known_of_modelinfo, &beside->modelinfo, &found, error))
            return FALSE;
        if (found) {
            beside->modelinfo_name = g_steal_pointer(&candidate);
            break;
        }
    }
    return TRUE;
}

/* Without the folder, which is nobody's matter where the note is kept. */
static gchar *note_of(const Looking *at, const gchar *message)
{
    if (g_str_has_prefix(message, at->folder))
        message += strlen(at->folder);
    return g_strdup_printf("%s: not used", message + strspn(message, G_DIR_SEPARATOR_S));
}

static void look_in_folder(Looking *at, GpudlBeside *beside)
{
    static const struct {
        const gchar *name;
        ReadFunc read;
    } files[] = {{"preprocessor_config.json", gpudl_known_of_preprocessor},
                 {"config.json", gpudl_known_of_config},
                 {"class_indices.json", read_labels},
                 {"labels.txt", read_labels}};

    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        GpudlHint *hint = &beside->files[beside->n_files].hint;
        g_autoptr(GError) fault = NULL;
        gboolean found;

        if (!look(at, files[i].name, files[i].read, hint, &found, &fault)) {
            if (beside->notes == NULL)
                beside->notes = g_ptr_array_new_with_free_func(g_free);
            g_ptr_array_add(beside->notes, note_of(at, fault->message));
            gpudl_hint_clear(hint);
        } else if (found) {
            beside->files[beside->n_files++].name = g_strconcat(at->within, files[i].name, NULL);
        }
    }
}

gboolean gpudl_beside_read(const gchar *path, GpudlBeside *beside, GError **error)
{
    g_autofree gchar *absolute = g_canonicalize_filename(path, NULL), *folder = g_path_get_dirname(absolute);
    g_autofree gchar *last = g_path_get_basename(folder), *above = g_path_get_dirname(folder);
    g_autoptr(GpudlSum) sum = gpudl_sum_new();
    const gboolean two = strcmp(last, "onnx") == 0;
    Looking at = {.folder = folder, .within = two ? "onnx/" : "", .sum = sum};
    gboolean good;

    good = look_for_modelinfo(&at, path, beside, error);
    look_in_folder(&at, beside);
    at.folder = above;
    at.within = "";
    if (two)
        look_in_folder(&at, beside);
    if (good && at.any)
        gpudl_sum_get(sum, beside->sum);
    return good;
}

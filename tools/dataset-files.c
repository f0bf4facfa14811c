/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A folder for each class, and lists. */
#include <string.h>

#include "tools/dataset-internal.h"

#define MOST_DEPTH 32 /* of folders: links may lead round in circles */

/* ---- folders ----------------------------------------------------------------------------------------------------- */

static gint by_bytes(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const gchar *const *)a, *(const gchar *const *)b);
}

/* The names in a folder but for hidden ones, sorted as bytes. */
static GPtrArray *list_folder(const gchar *path, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) reason = NULL;
    GDir *dir = g_dir_open(path, 0, &reason);
    const gchar *name;

    if (dir == NULL) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: can't be read: %s", path, reason->message);
        return NULL;
    }
    while ((name = g_dir_read_name(dir)) != NULL)
        if (name[0] != '.')
            g_ptr_array_add(names, g_strdup(name));
    g_dir_close(dir);
    g_ptr_array_sort(names, by_bytes);
    return g_steal_pointer(&names);
}

static gboolean is_picture_by_suffix(const gchar *name)
{
    static const gchar *const suffixes[] = {".jpg",  ".jpeg", ".jpe",  ".jfif", ".png", ".bmp", ".webp",
                                            ".gif",  ".ppm",  ".pgm",  ".pbm",  ".pnm", ".tif", ".tiff",
                                            ".heic", ".heif", ".avif", ".jxl",  ".jp2"};
    g_autofree gchar *small = g_ascii_strdown(name, -1);

    for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++)
        if (g_str_has_suffix(small, suffixes[i]))
            return TRUE;
    return FALSE;
}

static gboolean add_folder(Dataset *self, const gchar *path, guint label, guint depth, GError **error)
{
    g_autoptr(GPtrArray) names = NULL;

    if (depth > MOST_DEPTH) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                    "%s: folders lie in more than %d others; is a link among them?", path, MOST_DEPTH);
        return FALSE;
    }
    names = list_folder(path, error);
    if (names == NULL)
        return FALSE;
    for (guint i = 0; i < names->len; i++) {
        g_autofree gchar *inside = g_build_filename(path, names->pdata[i], NULL);

        if (g_file_test(inside, G_FILE_TEST_IS_DIR)) {
            if (!add_folder(self, inside, label, depth + 1, error))
                return FALSE;
        } else if (!is_picture_by_suffix(names->pdata[i])) {
            self->n_left_out++;
        } else {
            dataset_add(self, label, g_steal_pointer(&inside));
        }
        if (self->pictures->len > DATASET_MOST_PICTURES) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT, "%s: has more than %d pictures", self->path,
                        DATASET_MOST_PICTURES);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean dataset_read_folders(Dataset *self, GError **error)
{
    g_autoptr(GPtrArray) names = list_folder(self->path, error);

    self->kind = DATASET_FOLDERS;
    for (guint i = 0; names != NULL && i < names->len; i++) {
        g_autofree gchar *folder = g_build_filename(self->path, names->pdata[i], NULL);

        if (!g_file_test(folder, G_FILE_TEST_IS_DIR)) {
            self->n_left_out++;
            continue;
        }
        g_ptr_array_add(self->labels, g_strdup(names->pdata[i]));
        if (!add_folder(self, folder, self->labels->len - 1, 1, error))
            return FALSE;
    }
    if (names == NULL)
        return FALSE;
    if (self->labels->len > 0 && self->pictures->len > 0)
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                self->labels->len == 0
                    ? "%s: has no folders in it, expected one for each class. Of MNIST and CIFAR name "
                      "a file of pictures, of a list its file"
                    : "%s: has no pictures in its folders (.jpg, .png, .webp and the like)",
                self->path);
    return FALSE;
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

/* Takes the quotes of CSV off. */
static void unquote(gchar *field)
{
    gsize n = strlen(field);
    gchar *to = field;

    if (n < 2 || field[0] != '"' || field[n - 1] != '"')
        return;
    field[n - 1] = '\0';
    for (const gchar *from = field + 1; *from != '\0'; from++) {
        if (from[0] == '"' && from[1] == '"')
            from++;
        *to++ = *from;
    }
    *to = '\0';
}

/* The comma that ends a field of CSV; NULL: it is the last. */
static gchar *next_comma(gchar *line)
{
    gboolean quoted = FALSE;

    for (; *line != '\0'; line++) {
        if (*line == '"')
            quoted = !quoted;
        else if (*line == ',' && !quoted)
            return line;
    }
    return NULL;
}

/* Parts a line in place; what else CSV has is passed by. */
static gboolean part_line(gchar *line, gboolean csv, gchar **file, gchar **label)
{
    gchar *end, *at = csv ? next_comma(line) : strrchr(line, '\t');

    /* without a tab the last word is the class: names of files have blanks more often than numbers do */
    if (at == NULL && !csv)
        at = strrchr(line, ' ');
    if (at == NULL)
        return FALSE;
    *at = '\0';
    end = csv ? next_comma(at + 1) : NULL;
    if (end != NULL)
        *end = '\0';
    *file = g_strstrip(line);
    *label = g_strstrip(at + 1);
    if (csv) {
        unquote(*file);
        unquote(*label);
    }
    return (*file)[0] != '\0' && (*label)[0] != '\0';
}

static guint label_of(Dataset *self, GHashTable *known, const gchar *name)
{
    gpointer value;
    gchar *kept;

    if (g_hash_table_lookup_extended(known, name, NULL, &value))
        return GPOINTER_TO_UINT(value);
    kept = g_strdup(name);
    g_ptr_array_add(self->labels, kept);
    g_hash_table_insert(known, kept, GUINT_TO_POINTER(self->labels->len - 1));
    return self->labels->len - 1;
}

static gboolean refuse_line(const Dataset *self, guint number, const gchar *line, gboolean csv, GError **error)
{
    g_autofree gchar *shown = g_utf8_substring(line, 0, MIN(g_utf8_strlen(line, -1), 80));

    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                "%s: line %u: found '%s', expected a picture's path, %s, and its class", self->path, number, shown,
                csv ? "a comma" : "a tab or blank");
    return FALSE;
}

/* The names of columns, in a file of CSV: a picture may have no suffix, but is there. */
static gboolean is_heading(const gchar *folder, const gchar *file)
{
    g_autofree gchar *path = g_build_filename(folder, file, NULL);

    return strchr(file, '.') == NULL && strchr(file, '/') == NULL && !g_file_test(path, G_FILE_TEST_EXISTS);
}

gboolean dataset_read_list(Dataset *self, const gchar *text, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree gchar *folder = g_path_get_dirname(self->path), *small = g_ascii_strdown(self->path, -1);
    gboolean here = g_str_equal(folder, "."); /* and the names stay as short */
    gboolean csv = g_str_has_suffix(small, ".csv") || g_str_has_suffix(small, ".csv.gz");

    self->kind = DATASET_LIST;
    for (guint i = 0; lines[i] != NULL; i++) {
        g_autofree gchar *line = g_strdup(g_strchomp(lines[i]));
        gchar *file, *label;

        if (line[0] == '\0')
            continue;
        if (!part_line(line, csv, &file, &label))
            return refuse_line(self, i + 1, lines[i], csv, error);
        if (csv && i == 0 && is_heading(folder, file))
            continue;
        if (self->pictures->len >= DATASET_MOST_PICTURES) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT, "%s: has more than %d pictures", self->path,
                        DATASET_MOST_PICTURES);
            return FALSE;
        }
        dataset_add(self, label_of(self, known, label),
                    here || strstr(file, "://") != NULL || g_path_is_absolute(file)
                        ? g_strdup(file)
                        : g_build_filename(folder, file, NULL));
    }
    if (self->pictures->len > 0)
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: has no lines with a picture and its class", self->path);
    return FALSE;
}

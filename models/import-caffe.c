/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Caffe's networks, which are in two files, and a third one at times: which they are, and what of them counts. */
#include <stdlib.h>
#include <string.h>

#include "engine/limits.h"
#include "engine/modelfile/modelfile.h"
#include "engine/modelfile/sum.h"
#include "models/caffe/caffe.h"
#include "models/import.h"

#define TEXT_BYTES (G_GUINT64_CONSTANT(64) << 20)
#define MOST_CANDIDATES 32u

/* ---- the other file ---------------------------------------------------------------------------------------------- */

/* TRUE if the file describes a network: solvers have the same suffix. */
static gboolean is_network(const gchar *path)
{
    g_autoptr(GpudlPages) pages = gpudl_file_read_pages(path, TEXT_BYTES, NULL, NULL, NULL);

    return pages != NULL && gpudl_caffe_sniff_text(gpudl_pages_get_data(pages), gpudl_pages_get_size(pages));
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const gchar *const *)a, *(const gchar *const *)b);
}

/* Paths of the files of a folder with a suffix that may be the other one, by name. */
static GPtrArray *candidates(const gchar *folder, const gchar *suffix, gboolean text)
{
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(folder, 0, NULL);
    const gchar *name;

    while (dir != NULL && paths->len < MOST_CANDIDATES && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree gchar *path = g_build_filename(folder, name, NULL);

        if (g_str_has_suffix(name, suffix) && (!text || is_network(path)))
            g_ptr_array_add(paths, g_steal_pointer(&path));
    }
    g_clear_pointer(&dir, g_dir_close);
    g_ptr_array_sort(paths, compare_names);
    return paths;
}

/* The one of the same name, else the only one, else, of texts, the only one that is called deploy. *found NULL: there
 * is none. FALSE if there are several. */
static gboolean find_other(const gchar *path, gboolean text, gchar **found, GError **error)
{
    const gchar *suffix = text ? ".prototxt" : ".caffemodel";
    g_autofree gchar *folder = g_path_get_dirname(path), *stem = g_strdup(path), *same = NULL, *deploy = NULL;
    gchar *dot = strrchr(stem, '.');
    g_autoptr(GPtrArray) all = NULL;
    guint n = 0;

    *found = NULL;
    if (dot != NULL && strchr(dot, G_DIR_SEPARATOR) == NULL)
        *dot = '\0';
    same = g_strconcat(stem, suffix, NULL);
    if (strcmp(same, path) != 0 && g_file_test(same, G_FILE_TEST_IS_REGULAR)) {
        *found = g_steal_pointer(&same);
        return TRUE;
    }
    all = candidates(folder, suffix, text);
    for (guint i = 0; i < all->len && text; i++) {
        g_autofree gchar *name = g_path_get_basename(all->pdata[i]);

        if (strstr(name, "deploy") == NULL)
            continue;
        n++;
        g_free(deploy);
        deploy = g_strdup(all->pdata[i]);
    }
    if (all->len == 1)
        *found = g_strdup(all->pdata[0]);
    else if (all->len > 1 && n == 1)
        *found = g_steal_pointer(&deploy);
    if (all->len < 2 || *found != NULL)
        return TRUE;
    g_set_error(
        error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
        "%u files %s lie beside it, '%s' and '%s' among them, expected one or one of the same name: 'gpudl convert "
        "NET.prototxt NET.caffemodel' says which",
        all->len, suffix, (const gchar *)all->pdata[0], (const gchar *)all->pdata[1]);
    return FALSE;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static void file_clear(gpointer data)
{
    g_free(((GpudlSourceFile *)data)->path);
}

/* Reads a file that the model is made of, and notes it. counts: its bytes are part of what the model computes. */
static GBytes *read_file(GpudlSourceInfo *info, const gchar *path, guint64 limit, gboolean counts,
                         GCancellable *cancellable, GError **error)
{
    struct stat st;
    g_autoptr(GpudlPages) pages = gpudl_file_read_pages(path, limit, &st, cancellable, error);
    GpudlSourceFile file = {.same = TRUE};
    char *real;

    if (pages == NULL)
        return NULL;
    real = realpath(path, NULL);
    file.path = g_strdup(real != NULL ? real : path);
    free(real);
    file.version = gpudl_file_version(&st);
    g_array_append_val(info->files, file);
    if (counts) {
        const GpudlSourceRead read = {.file = info->files->len - 1, .bytes = gpudl_pages_get_size(pages)};
        g_autoptr(GpudlSum) sum = gpudl_sum_new();

        g_array_append_val(info->reads, read);
        gpudl_sum_add(sum, gpudl_pages_get_data(pages), gpudl_pages_get_size(pages));
        gpudl_sum_get(sum, info->external_content);
    }
    return gpudl_pages_slice(pages, 0, gpudl_pages_get_size(pages));
}

/* What lies beside the file and counts as content is this, too. */
static void add_beside(GpudlSourceInfo *info, GBytes *bytes)
{
    g_autoptr(GpudlSum) sum = gpudl_sum_new();
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);

    gpudl_sum_add(sum, info->beside, strlen(info->beside));
    gpudl_sum_add(sum, data, size);
    gpudl_sum_get(sum, info->beside);
}

/* A mean file is looked for beside the network alone: its path is of the machine that trained it. */
static gboolean read_mean(GpudlCaffeInfo *caffe, const gchar *folder, GpudlSourceInfo *info, GCancellable *cancellable,
                          GError **error)
{
    g_autofree gchar *name = NULL, *path = NULL;
    g_autoptr(GBytes) bytes = NULL;

    if (caffe->mean_file == NULL)
        return TRUE;
    name = g_path_get_basename(caffe->mean_file);
    path = g_build_filename(folder, name, NULL);
    if (!g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND,
                    "it wants the means in '%s' subtracted, but %s is not there: put it there, or say them: 'gpudl "
                    "convert --mean B,G,R'",
                    caffe->mean_file, path);
        return FALSE;
    }
    bytes = read_file(info, path, TEXT_BYTES, FALSE, cancellable, error);
    if (bytes == NULL || !gpudl_caffe_read_mean(bytes, path, caffe, error))
        return FALSE;
    add_beside(info, bytes);
    return TRUE;
}

static void fill_info(GpudlSourceInfo *info, const GpudlCaffeInfo *caffe, const gchar *other, gboolean beside)
{
    g_autofree gchar *name = other != NULL ? g_filename_display_basename(other) : NULL;

    info->format =
        name == NULL ? g_strdup("Caffe") : g_strdup_printf("Caffe, with %s%s", name, beside ? ", found beside it" : "");
    info->graph_name = g_strdup(caffe->name);
    info->size_chosen = caffe->size_chosen;
    info->preproc = caffe->preproc;
    info->preproc_set = caffe->preproc_said ? GPUDL_SET_MEAN | GPUDL_SET_STD | GPUDL_SET_PIXEL_SCALE : 0;
    info->preproc_custom = GPUDL_SET_PIXEL_SCALE | GPUDL_SET_CHANNEL_ORDER;
    info->preproc_from = "transform_param";
}

/* Sets text and values of the two files. FALSE with error. */
static gboolean read_other(GBytes *bytes, const gchar *path, const gchar *other, gboolean text, GpudlCaffeFiles *files,
                           GpudlSourceInfo *info, GCancellable *cancellable, GError **error)
{
    GBytes *more = NULL;

    files->text_name = text ? path : other;
    files->values_name = text ? other : path;
    if (other != NULL) {
        gsize size;
        const guint8 *data;

        more = read_file(info, other, GPUDL_LIMIT_FILE_BYTES, TRUE, cancellable, error);
        if (more == NULL)
            return FALSE;
        data = g_bytes_get_data(more, &size);
        if (text ? !gpudl_caffe_sniff(data, size) : !gpudl_caffe_sniff_text(data, size)) {
            g_autofree gchar *found = gpudl_import_recognise(data, size);

            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: looks like %s, expected Caffe's %s", other, found,
                        text ? ".caffemodel" : ".prototxt with layers");
            g_bytes_unref(more);
            return FALSE;
        }
    }
    files->text = text ? g_bytes_ref(bytes) : more;
    files->values = text ? more : g_bytes_ref(bytes);
    return TRUE;
}

GpudlGraph *gpudl_import_caffe(GBytes *bytes, const gchar *path, const GpudlImportOptions *options,
                               GpudlSourceInfo *info, GCancellable *cancellable, GError **error)
{
    g_auto(GpudlSourceInfo) local = {0};
    g_auto(GpudlCaffeInfo) caffe = {0};
    const GpudlCaffeOptions caffe_options = {
        .input_height = options != NULL ? options->input_height : 0,
        .input_width = options != NULL ? options->input_width : 0,
        .default_height = info != NULL ? info->default_height : 0,
        .default_width = info != NULL ? info->default_width : 0,
        .mean_given = options != NULL && (options->preproc_set & GPUDL_SET_MEAN) != 0,
        .cancellable = cancellable,
    };
    g_autoptr(GBytes) owned = bytes;
    g_autoptr(GpudlGraph) graph = NULL;
    g_autofree gchar *other = NULL, *folder = NULL;
    const gboolean given = options != NULL && options->with_file != NULL;
    GpudlCaffeFiles files = {0};
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);
    const gboolean text = !gpudl_caffe_sniff(data, size);

    info = info != NULL ? info : &local;
    info->files = g_array_new(FALSE, FALSE, sizeof(GpudlSourceFile));
    g_array_set_clear_func(info->files, file_clear);
    info->reads = g_array_new(FALSE, FALSE, sizeof(GpudlSourceRead));
    info->metadata = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (given)
        other = g_strdup(options->with_file);
    else if (!find_other(path, !text, &other, error))
        return NULL;
    if (text && other == NULL) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND,
                    "describes a network without its values: expected a .caffemodel beside it, or 'gpudl convert "
                    "NET.prototxt NET.caffemodel'");
        return NULL;
    }
    if (!read_other(bytes, path, other, text, &files, info, cancellable, error))
        return NULL;
    g_clear_pointer(&owned, g_bytes_unref);
    graph = gpudl_caffe_import(&files, &caffe_options, &caffe, error);
    g_clear_pointer(&files.text, g_bytes_unref);
    folder = g_path_get_dirname(files.text_name != NULL ? files.text_name : path);
    if (graph == NULL || !read_mean(&caffe, folder, info, cancellable, error))
        return NULL;
    fill_info(info, &caffe, other, !given);
    return g_steal_pointer(&graph);
}

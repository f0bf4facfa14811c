/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The model in a folder, or what lies there instead. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "engine/gpudl.h"
#include "engine/modelfile/modelfile.h"
#include "engine/shown.h"
#include "models/import.h"

#define MOST_NAMED 4
#define MOST_LOOKED_AT 10000 /* names in a folder */
#define EXPORT "'optimum-cli export onnx --model NAME OUT'"

static const gchar *const places[] = {"", "onnx"};

gchar *gpudl_import_file_of(const gchar *path)
{
    static const gchar *const names[] = {"model.onnx", "onnx/model.onnx", /* to be told what they are: */
                                         "saved_model.pb", "model.safetensors", "pytorch_model.bin"};

    for (guint i = 0; i < G_N_ELEMENTS(names) && g_file_test(path, G_FILE_TEST_IS_DIR); i++) {
        g_autofree gchar *file = g_build_filename(path, names[i], NULL);

        if (g_file_test(file, G_FILE_TEST_IS_REGULAR))
            return g_steal_pointer(&file);
    }
    return g_strdup(path);
}

/* A file of this name that begins as a net.bin. */
static gboolean is_net_bin(const gchar *path, const gchar *name)
{
    guint8 begin[sizeof GPUDL_FILE_MAGIC - 1];
    const gint fd = g_str_has_suffix(name, ".bin") ? g_open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0) : -1;
    const gssize n = fd >= 0 ? read(fd, begin, sizeof begin) : 0;

    if (fd >= 0)
        close(fd);
    return n > 0 && gpudl_modelfile_sniff(begin, (gsize)n);
}

/* By its name alone, as HuggingFace's folders have them: one file or several, and those that list several. */
static gboolean is_called_weights(const gchar *name)
{
    return g_str_has_suffix(name, ".safetensors") || strcmp(name, "tf_model.h5") == 0 ||
           (g_str_has_prefix(name, "pytorch_model") && g_str_has_suffix(name, ".bin"));
}

static gboolean is_called_list(const gchar *name)
{
    return g_str_has_suffix(name, ".safetensors.index.json") || g_str_has_suffix(name, ".bin.index.json");
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const gchar *const *)a, *(const gchar *const *)b);
}

/* What is in a folder and in the one for ONNX in it, relative to it and sorted. */
typedef struct {
    GPtrArray *all, *models, *weights, *lists; /* of gchar*: lists name several files of weights */
} Found;

static void sort_in(const Found *found, const gchar *file, const gchar *name, const gchar *relative)
{
    GPtrArray *kind = NULL;

    if (!g_file_test(file, G_FILE_TEST_IS_REGULAR))
        return;
    if (gpudl_import_is_called_model(name, strlen(name)) || is_net_bin(file, name))
        kind = found->models;
    else if (is_called_weights(name))
        kind = found->weights;
    else if (is_called_list(name))
        kind = found->lists;
    if (kind != NULL)
        g_ptr_array_add(kind, g_strdup(relative));
}

static void list(const gchar *path, const Found *found)
{
    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree gchar *folder = g_build_filename(path, places[i], NULL);
        g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
        const gchar *name;

        for (guint n = 0; dir != NULL && n < MOST_LOOKED_AT && (name = g_dir_read_name(dir)) != NULL; n++) {
            g_autofree gchar *relative = g_build_filename(places[i], name, NULL);
            g_autofree gchar *file = g_build_filename(folder, name, NULL);

            sort_in(found, file, name, relative);
            g_ptr_array_add(found->all, g_steal_pointer(&relative));
        }
    }
    g_ptr_array_sort(found->all, by_name);
    g_ptr_array_sort(found->models, by_name);
    g_ptr_array_sort(found->weights, by_name);
    g_ptr_array_sort(found->lists, by_name);
}

/* "a.json, b.txt and 3 more" */
static gchar *name_some(const GPtrArray *names)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < names->len && i < MOST_NAMED; i++) {
        g_autofree gchar *name = g_filename_display_name(names->pdata[i]);
        g_autofree gchar *shown = gpudl_shown(name, GPUDL_SHOWN_BYTES);

        g_string_append_printf(text, "%s%s", i > 0 ? ", " : "", shown);
    }
    if (names->len > MOST_NAMED)
        g_string_append_printf(text, " and %u more", names->len - MOST_NAMED);
    return g_string_free(text, FALSE);
}

/* What to do, and the names that say why. */
static const gchar *advise(const gchar *path, const Found *found, const GPtrArray **told)
{
    g_autofree gchar *config = g_build_filename(path, "config.json", NULL);

    *told = found->all;
    if (found->models->len > 0) {
        *told = found->models;
        return "Give the file itself";
    }
    if (found->weights->len > 0) {
        *told = found->weights;
        return "These are weights without their graph: 'optimum-cli export onnx --model DIR OUT', with the folder, "
               "writes a network of them";
    }
    if (found->lists->len > 0) {
        *told = found->lists;
        return "The weights that it lists are not there: fetch model.onnx as well, or write it with " EXPORT;
    }
    if (g_file_test(config, G_FILE_TEST_IS_REGULAR))
        return "config.json describes a network without its values: fetch model.onnx as well, or write it "
               "with " EXPORT;
    return "Give the model's file";
}

gboolean gpudl_import_check_folder(const gchar *path, GError **error)
{
    g_autoptr(GPtrArray) all = NULL, models = NULL, weights = NULL, lists = NULL;
    g_autofree gchar *named = NULL;
    const GPtrArray *told;
    const gchar *advice;
    Found found;

    if (!g_file_test(path, G_FILE_TEST_IS_DIR))
        return TRUE;
    found.all = all = g_ptr_array_new_with_free_func(g_free);
    found.models = models = g_ptr_array_new_with_free_func(g_free);
    found.weights = weights = g_ptr_array_new_with_free_func(g_free);
    found.lists = lists = g_ptr_array_new_with_free_func(g_free);
    list(path, &found);
    advice = advise(path, &found, &told);
    named = name_some(told);
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ,
                "%s: %s, expected a model's file, or a folder with model.onnx or onnx/model.onnx%s%s. %s", path,
                found.all->len > 0 ? "is a folder without a model" : "is an empty folder",
                found.all->len > 0 ? ", but found " : "", named, advice);
    return FALSE;
}

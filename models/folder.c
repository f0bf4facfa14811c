/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The model in a folder, or what lies there instead. */
#include <string.h>

#include "engine/gpudl.h"
#include "models/import.h"
#include "models/shown.h"

#define MOST_NAMED 4
#define MOST_LOOKED_AT 10000 /* names in a folder */

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

/* By its name alone: it is only shown. */
static gboolean is_called_model(const gchar *name)
{
    static const gchar *const suffixes[] = {".onnx", ".pt2",        ".pt",       ".tflite", ".pb",
                                            ".bin",  ".caffemodel", ".prototxt", NULL};

    for (guint i = 0; suffixes[i] != NULL; i++)
        if (g_str_has_suffix(name, suffixes[i]))
            return TRUE;
    return FALSE;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const gchar *const *)a, *(const gchar *const *)b);
}

/* What is in the folder and in the one for ONNX in it, relative to it and sorted; models: files that are called so. */
static void list(const gchar *path, GPtrArray *all, GPtrArray *models)
{
    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree gchar *folder = g_build_filename(path, places[i], NULL);
        g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
        const gchar *name;

        for (guint n = 0; dir != NULL && n < MOST_LOOKED_AT && (name = g_dir_read_name(dir)) != NULL; n++) {
            g_autofree gchar *relative = g_build_filename(places[i], name, NULL);
            g_autofree gchar *file = g_build_filename(folder, name, NULL);

            if (is_called_model(name) && g_file_test(file, G_FILE_TEST_IS_REGULAR))
                g_ptr_array_add(models, g_strdup(relative));
            g_ptr_array_add(all, g_steal_pointer(&relative));
        }
    }
    g_ptr_array_sort(all, by_name);
    g_ptr_array_sort(models, by_name);
}

/* "a.json, b.txt and 3 more" */
static gchar *name_some(GPtrArray *names)
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

gboolean gpudl_import_check_folder(const gchar *path, GError **error)
{
    g_autoptr(GPtrArray) all = NULL, models = NULL;
    g_autofree gchar *found = NULL, *config = NULL;
    const gchar *advice;

    if (!g_file_test(path, G_FILE_TEST_IS_DIR))
        return TRUE;
    all = g_ptr_array_new_with_free_func(g_free);
    models = g_ptr_array_new_with_free_func(g_free);
    list(path, all, models);
    found = name_some(models->len > 0 ? models : all);
    config = g_build_filename(path, "config.json", NULL);
    if (models->len > 0)
        advice = "Give the file itself";
    else if (g_file_test(config, G_FILE_TEST_IS_REGULAR))
        advice = "It describes a network without its values: fetch model.onnx as well, or write it with 'optimum-cli "
                 "export onnx --model NAME OUT'";
    else
        advice = "Give the model's file";
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ,
                "%s: %s, expected a model's file, or a folder with model.onnx or onnx/model.onnx%s%s. %s", path,
                all->len > 0 ? "is a folder without a model" : "is an empty folder", all->len > 0 ? ", but found " : "",
                found, advice);
    return FALSE;
}

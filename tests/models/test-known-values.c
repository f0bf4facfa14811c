/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What files say that counts where something is free. */
#include <string.h>

#include <glib/gstdio.h>

#include "models/known.h"
#include "tests/models/known-files.h"

static const OnnxText free_size = {13, "x:f32:Nx?xhxw", "k:f32:3x3x1x1=1",
                                   "Conv x k -> a; GlobalAveragePool a -> p; Flatten p -> y", "y"};

static void test_free_size(KnownFixture *self, gconstpointer data)
{
    static const GpudlImportOptions options = {.input_height = 5, .input_width = 6};
    g_autoptr(GpudlModel) model = NULL, given = NULL;
    g_autoptr(GError) error = NULL;

    known_put_net(self, "net.onnx", &free_size, NULL);
    g_assert_null(gpudl_model_load(self->path, NULL, NULL, &error));
    g_assert_nonnull(strstr(error->message, "give its height and width: --input-size HxW"));
    g_clear_error(&error);
    known_put(self, "preprocessor_config.json",
              KNOWN_HF("\"ViTImageProcessor\", \"size\": {\"height\": 7, \"width\": 9}"));
    model = known_load(self);
    g_assert_cmpint(gpudl_model_get_preproc(model)->height, ==, 7);
    g_assert_cmpint(gpudl_model_get_preproc(model)->width, ==, 9);
    given = gpudl_model_load(self->path, &options, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(gpudl_model_get_preproc(given)->height, ==, 5);
    /* its constants come again from the file, of the same size */
    g_assert_true(gpudl_model_hold(model, &error));
    gpudl_model_release(model);
    g_assert_true(gpudl_model_hold(model, &error));
    g_assert_no_error(error);
    gpudl_model_release(model);
}

/* What is said of a size that the graph leaves free, in the order of the places, and who said it. */
static void test_sizes_said(KnownFixture *self, gconstpointer data)
{
    static const struct {
        const gchar *metadata[7], *file, *text;
        gint height, width;
        const gchar *from;
    } rows[] = {
        {{"names", "{0: 'a', 1: 'b', 2: 'c'}", "imgsz", "[7, 9]"}, NULL, NULL, 7, 9, GPUDL_KNOWN_METADATA},
        {{"names", "{0: 'a', 1: 'b', 2: 'c'}", "imgsz", "8"}, NULL, NULL, 8, 8, GPUDL_KNOWN_METADATA},
        {{"gpudl.input_size", "7x9"}, NULL, NULL, 7, 9, GPUDL_KNOWN_METADATA},
        {{"gpudl.input-size", "7x9"}, NULL, NULL, 7, 9, GPUDL_KNOWN_METADATA},
        {{"model_info orig_height", "7", "model_info orig_width", "9"}, NULL, NULL, 7, 9, GPUDL_KNOWN_METADATA},
        {{NULL}, "config.json", "{\"image_size\": 8}", 8, 8, "config.json"},
        {{NULL}, "config.json", "{\"image_size\": [7, 9]}", 7, 9, "config.json"},
        {{NULL}, "config.json", "{\"pretrained_cfg\": {\"input_size\": [3, 7, 9]}}", 7, 9, "config.json"},
        {{"gpudl.input_size", "7x9"}, "config.json", "{\"image_size\": 8}", 7, 9, GPUDL_KNOWN_METADATA},
        {{"gpudl.input_size", "7x9"}, "net.modelinfo", "[x]\ndir=input\ndims=-1,3,5,6\n", 5, 6, "net.modelinfo"},
        {{NULL}, "net.modelinfo", "[x]\ndir=input\ndims=1,5,6,3\n", 5, 6, "net.modelinfo"},
        {{NULL}, "net.modelinfo", "[x]\ndir=input\ndims=3,6,5,1\ndims-order=col-major\n", 5, 6, "net.modelinfo"},
        {{"gpudl.input_size", "7x9"}, "net.modelinfo", "[x]\ndir=input\ndims=1,-1,-1,3\n", 7, 9, GPUDL_KNOWN_METADATA},
    };
    static const GpudlImportOptions options = {.input_height = 5, .input_width = 4};

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GpudlModel) model = NULL, given = NULL, fixed = NULL;
        g_autoptr(GError) error = NULL;

        known_put_net(self, "net.onnx", &free_size, rows[i].metadata);
        if (rows[i].file != NULL)
            known_put(self, rows[i].file, rows[i].text);
        model = known_load(self);
        g_assert_cmpint(gpudl_model_get_preproc(model)->height, ==, rows[i].height);
        g_assert_cmpint(gpudl_model_get_preproc(model)->width, ==, rows[i].width);
        g_assert_nonnull(model->known_from);
        g_assert_nonnull(strstr(model->known_from, rows[i].from));
        /* its constants come again from the file, of the same size */
        g_assert_true(gpudl_model_hold(model, &error));
        gpudl_model_release(model);
        g_assert_true(gpudl_model_hold(model, &error));
        gpudl_model_release(model);
        given = gpudl_model_load(self->path, &options, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpint(gpudl_model_get_preproc(given)->height, ==, 5);
        g_assert_cmpint(gpudl_model_get_preproc(given)->width, ==, 4);
        known_put_net(self, "net.onnx", &known_plain, rows[i].metadata);
        fixed = known_load(self);
        g_assert_cmpint(gpudl_model_get_preproc(fixed)->height, ==, 2);
        g_assert_cmpint(gpudl_model_get_preproc(fixed)->width, ==, 4);
        if (rows[i].file != NULL) {
            g_autofree gchar *path = g_build_filename(self->directory, rows[i].file, NULL);

            g_assert_cmpint(g_unlink(path), ==, 0);
        }
    }
}

/* Sizes that can't be: of our own key and of a .modelinfo, which belong to the model, they are errors. */
static void test_sizes_wrong(KnownFixture *self, gconstpointer data)
{
    static const gchar *const values[] = {"7", "7x", "0x7", "[7, 9]", "7x8x9", "5000", "-7", "wide", ""};
    static const gchar *const dims[] = {"1,3,h,w", "1,2,3,4,5,6,7", ""};
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
        const gchar *metadata[] = {"gpudl.input_size", values[i], NULL};

        known_put_net(self, "net.onnx", &free_size, metadata);
        g_assert_null(gpudl_model_load(self->path, NULL, NULL, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
        g_assert_nonnull(strstr(error->message, "metadata 'gpudl.input_size' is '"));
        g_clear_error(&error);
    }
    known_put_net(self, "net.onnx", &free_size, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(dims); i++) {
        g_autofree gchar *text = g_strdup_printf("[x]\ndir=input\ndims=%s\n", dims[i]);

        known_put(self, "net.modelinfo", text);
        g_assert_null(gpudl_model_load(self->path, NULL, NULL, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
        g_assert_nonnull(strstr(error->message, "integers with ',' between"));
        g_clear_error(&error);
    }
}

#define ADD(name, function)                                                                                            \
    g_test_add("/known-values/" name, KnownFixture, NULL, known_set_up, function, known_tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("free-size", test_free_size);
    ADD("sizes-said", test_sizes_said);
    ADD("sizes-wrong", test_sizes_wrong);
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What files say that counts where something is free. */
#include <string.h>

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

#define ADD(name, function)                                                                                            \
    g_test_add("/known-values/" name, KnownFixture, NULL, known_set_up, function, known_tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("free-size", test_free_size);
    return g_test_run();
}

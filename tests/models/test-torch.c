/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PyTorch's files as models: what they say of themselves, sizes, and that their batch is free. */
#include <string.h>

#include "engine/model.h"
#include "models/gpudl-import.h"

static const gchar *exported, *traced; /* of one network, which PyTorch has written */

static void check_model(const gchar *path, const gchar *format, const gchar *producer)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = gpudl_model_load(path, NULL, NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(model->source_format, ==, format);
    g_assert_true(producer == NULL || g_str_has_prefix(model->producer, producer));
    g_assert_cmpint(model->preproc.channels, ==, 3);
    g_assert_cmpint(model->preproc.height, ==, 16);
    g_assert_cmpint(model->preproc.width, ==, 16);
    g_assert_false(model->preproc_known);
    g_assert_true(model->graph->symbolic_batch);
}

static void test_exported(void)
{
    check_model(exported, "torch.export", "PyTorch 2.");
}

static void test_traced(void)
{
    check_model(traced, "TorchScript", NULL);
}

static void test_other_size(void)
{
    const GpudlImportOptions options = {.struct_size = sizeof options, .input_height = 32, .input_width = 16};
    const gchar *const paths[] = {exported, traced};

    for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GpudlModel) model = gpudl_model_load(paths[i], &options, NULL, &error);

        g_assert_null(model);
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
        g_assert_nonnull(strstr(error->message, "fixed height of 16, it can't be 32"));
    }
}

static void test_cancelled(void)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;

    g_cancellable_cancel(cancellable);
    g_assert_null(gpudl_model_load(exported, NULL, cancellable, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(argc, ==, 3);
    exported = argv[1];
    traced = argv[2];
    g_test_add_func("/torch/exported", test_exported);
    g_test_add_func("/torch/traced", test_traced);
    g_test_add_func("/torch/a-fixed-size-stays", test_other_size);
    g_test_add_func("/torch/cancelled", test_cancelled);
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convert can say no: on a backend that is off by 1 % in one output it refuses, whichever output that is. */
#include <string.h>

#include <glib/gstdio.h>

#include "engine/model.h"
#include "models/gpudl-import.h"

/* Heads "means" of 3 values and "pixels" of 12, both reshaped input. */
static GpudlModel *make_model(void)
{
    g_autoptr(GError) error = NULL;
    GpudlGraph *graph = gpudl_graph_new();
    GpudlTensor *x = gpudl_graph_add_input(graph, "x", GPUDL_DTYPE_F32, &(GpudlShape){4, {1, 3, 2, 2}});
    GpudlNode *pool = gpudl_graph_add_node(graph, GPUDL_OP_GLOBAL_AVERAGE_POOL, "pool", &x, 1, NULL, 1);
    const gchar *names[] = {"means", "pixels"};

    for (guint head = 0; head < 2; head++) {
        GpudlNode *flat = gpudl_graph_add_node(graph, GPUDL_OP_RESHAPE, names[head], head == 0 ? pool->outputs : &x, 1,
                                               &names[head], 1);

        flat->attrs.shape = (GpudlShapeAttrs){.rank = 2, .dims = {0, -1}};
        gpudl_graph_add_output(graph, flat->outputs[0]);
    }
    g_assert_true(gpudl_graph_sort(graph, NULL));
    {
        GpudlModel *model = gpudl_model_new(graph, "two heads", NULL, &error);

        g_assert_no_error(error);
        return model;
    }
}

typedef struct {
    gchar *directory, *in, *out;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GpudlModel) model = make_model();

    f->directory = g_dir_make_tmp("gpudl-refuse-XXXXXX", NULL);
    f->in = g_build_filename(f->directory, "in.bin", NULL);
    f->out = g_build_filename(f->directory, "out.bin", NULL);
    g_assert_true(gpudl_model_save(model, f->in, NULL));
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_unlink(f->in);
    g_unlink(f->out);
    g_assert_cmpint(g_rmdir(f->directory), ==, 0);
    g_free(f->in);
    g_free(f->out);
    g_free(f->directory);
}

static void test_exact(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    GpudlParity parity = {.struct_size = sizeof parity};

    g_unsetenv("GPUDL_TEST_OFF_HEAD");
    gpudl_model_convert(f->in, f->out, NULL, "cpu", NULL, NULL, NULL, 0, NULL, NULL, &parity, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpfloat(parity.max_difference, <, 1e-6);
    g_assert_true(g_file_test(f->out, G_FILE_TEST_EXISTS));
}

static void test_off(Fixture *f, gconstpointer data)
{
    const guint head = GPOINTER_TO_UINT(data);
    g_autofree gchar *text = g_strdup_printf("%u", head);
    g_autoptr(GError) error = NULL;
    GpudlParity parity = {.struct_size = sizeof parity};

    g_setenv("GPUDL_TEST_OFF_HEAD", text, TRUE);
    g_assert_false(
        gpudl_model_convert(f->in, f->out, NULL, "cpu", NULL, NULL, NULL, 0, NULL, NULL, &parity, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, head == 0 ? "output 'means'" : "output 'pixels'"));
    g_assert_cmpuint(parity.head, ==, head);
    g_assert_cmpfloat(parity.max_difference, >, 0.005 * parity.range);
    g_assert_false(g_file_test(f->out, G_FILE_TEST_EXISTS));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/refuse/exact-is-taken", Fixture, NULL, set_up, test_exact, tear_down);
    g_test_add("/refuse/off-in-head-0", Fixture, GUINT_TO_POINTER(0), set_up, test_off, tear_down);
    g_test_add("/refuse/off-in-head-1", Fixture, GUINT_TO_POINTER(1), set_up, test_off, tear_down);
    return g_test_run();
}

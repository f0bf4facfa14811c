/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-test.h"

#include <string.h>
#include <sys/mman.h>

#include "engine/passes/passes.h"

GpudlModel *make_model_of(guint side, guint heads)
{
    g_autoptr(GError) error = NULL;
    g_autofree float *zeros = g_new0(float, (gsize)side *side);
    GpudlGraph *graph = gpudl_graph_new();
    GpudlShape shape = {4, {1, 1, side, side}};
    GpudlTensor *inputs[2] = {gpudl_graph_add_input(graph, "in", GPUDL_DTYPE_F32, &shape),
                              gpudl_graph_add_constant_f32(graph, "zeros", zeros, shape.dims, 4)};
    GpudlNode *add = gpudl_graph_add_node(graph, GPUDL_OP_ADD, "add", inputs, 2, NULL, 1);
    GpudlModel *model;

    for (guint i = 0; i < heads; i++) {
        g_autofree gchar *name = g_strdup_printf("head%u", i);
        GpudlNode *node = gpudl_graph_add_node(graph, GPUDL_OP_RESHAPE, name, &add->outputs[0], 1, NULL, 1);

        node->attrs.shape = (GpudlShapeAttrs){.rank = 2, .dims = {0, -1}};
        gpudl_graph_add_output(graph, node->outputs[0]);
    }
    gpudl_graph_infer(graph, 1, &error);
    g_assert_no_error(error);
    gpudl_graph_prove_batch(graph, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(graph->symbolic_batch);
    model = gpudl_model_new(graph, "flat", NULL, &error);
    g_assert_no_error(error);
    return model;
}

GpudlModel *make_model(void)
{
    return make_model_of(4, 1);
}

Fake *fake_begin(const gchar *backend)
{
    Fake *fake = fake_get(backend);

    fake->reset();
    return fake;
}

GpudlSession *acquire_with(GpudlModel *model, GpudlSessionConfig config)
{
    g_autoptr(GError) error = NULL;
    GpudlSession *session;

    config.struct_size = sizeof config;
    session = gpudl_session_acquire(model, &config, NULL, &error);
    g_assert_no_error(error);
    g_assert_nonnull(session);
    return session;
}

GpudlSession *acquire(GpudlModel *model, const gchar *backend)
{
    return acquire_with(model, (GpudlSessionConfig){.backend = backend, .cuda_device_id = -1});
}

void check_refused(GpudlModel *model, const GpudlSessionConfig *config, GpudlError code, const gchar *text)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(gpudl_session_acquire(model, config, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, (gint)code);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, text));
}

void check_unlisted(GpudlModel *model, GpudlSession *dead, const gchar *backend)
{
    GpudlSession *fresh = acquire(model, backend);

    g_assert_true(fresh != dead);
    g_assert_true(g_str_equal(backend, "cpu") || gpudl_session_get_device(fresh) != gpudl_session_get_device(dead));
    gpudl_session_unref(fresh);
}

/* ---- uses -------------------------------------------------------------------------------------------------------- */

/* The request may be under way again. */
static void count_call(GpudlRequest *request, gpointer told)
{
    g_atomic_int_inc((gint *)told);
}

Use *use_new(GpudlSessionConfig config, guint n)
{
    Use *use = g_new0(Use, 1);

    use->model = make_model();
    use->session = acquire_with(use->model, config);
    use->stream = gpudl_stream_new(use->session, use->model);
    use->n = n;
    use->requests = g_new0(GpudlRequest *, n);
    use->values = g_malloc0_n(n, sizeof use->values[0]);
    for (guint i = 0; i < n; i++) {
        use->requests[i] = gpudl_request_new(use->stream);
        gpudl_request_set_callback(use->requests[i], count_call, &use->told);
    }
    return use;
}

void use_free(Use *use)
{
    for (guint i = 0; i < use->n; i++)
        gpudl_request_free(use->requests[i]);
    gpudl_stream_free(use->stream);
    gpudl_session_unref(use->session);
    gpudl_model_unref(use->model);
    g_free(use->requests);
    g_free(use->values);
    g_free(use);
}

void use_submit(Use *use, guint i, float steer)
{
    g_autoptr(GError) error = NULL;

    for (guint v = 0; v < N_CLASSES; v++)
        use->values[i][v] = v == 0 ? steer : (float)(1000 * i + v);
    g_assert_true(gpudl_request_submit_tensor(use->requests[i], use->values[i], &error));
    g_assert_no_error(error);
}

void use_check(Use *use, guint i, gint code)
{
    g_autoptr(GError) error = NULL;
    gboolean good = gpudl_request_wait(use->requests[i], &error);

    if (code == GOOD) {
        g_assert_no_error(error);
        g_assert_true(good);
        g_assert_cmpmem(gpudl_request_get_scores(use->requests[i], 0), sizeof use->values[i], use->values[i],
                        sizeof use->values[i]);
    } else {
        g_assert_false(good);
        g_assert_error(error, GPUDL_ERROR, code);
        g_assert_null(gpudl_request_get_scores(use->requests[i], 0));
    }
}

guint8 *pixels_new(void)
{
    guint8 *pixels = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_assert_true(pixels != MAP_FAILED);
    return pixels;
}

void pixels_free(guint8 *pixels)
{
    g_assert_cmpint(munmap(pixels, 4096), ==, 0);
}

GpudlFrame make_frame(const guint8 *pixels, GpudlMemoryKind memory)
{
    return (GpudlFrame){.struct_size = sizeof(GpudlFrame),
                        .memory = memory,
                        .format = GPUDL_PIXEL_GRAY8,
                        .width = 8,
                        .height = 8,
                        .planes = {pixels},
                        .strides = {8}};
}

void add_for_both(const gchar *path, const gchar *name, GTestDataFunc func)
{
    static const gchar *const backends[] = {"cpu", "cuda"};

    for (guint i = 0; i < G_N_ELEMENTS(backends); i++) {
        g_autofree gchar *whole = g_strdup_printf("%s/%s/%s", path, backends[i], name);

        g_test_add_data_func(whole, backends[i], func);
    }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions on the real module "cpu", and on "ref": which configurations share one, and what they tell. */
#include <string.h>

#include "engine/model.h"
#include "tests/engine/builder.h"

static const gchar *const backends[] = {"cpu", "ref"};

static GpudlModel *make_model(void)
{
    Builder b = builder_new();
    GpudlTensor *x =
        builder_act(&b, builder_conv(&b, builder_input(&b, "1x3x16x16"), 3, 32, 3, TRUE), GPUDL_ACT_RELU, 0, 0);
    g_autoptr(GError) error = NULL;
    GpudlModel *model;

    x = builder_reshape(&b, builder_node(&b, GPUDL_OP_GLOBAL_AVERAGE_POOL, x, NULL), "0x-1");
    builder_output(&b, x);
    model = gpudl_model_new(g_steal_pointer(&b.graph), "small", NULL, &error);
    g_assert_no_error(error);
    g_rand_free(b.rand);
    return model;
}

static GpudlSession *acquire(GpudlModel *model, const GpudlSessionConfig *config)
{
    g_autoptr(GError) error = NULL;
    GpudlSession *session = gpudl_session_acquire(model, config, NULL, &error);

    g_assert_no_error(error);
    return session;
}

static void test_what_comes_to_the_same_is_shared(gconstpointer data)
{
    g_autoptr(GpudlModel) model = make_model();
    const GpudlSessionConfig plain = {.struct_size = sizeof plain, .backend = data, .cuda_device_id = -1};
    GpudlSession *first = acquire(model, &plain);
    GpudlSessionConfig same[7];

    for (gsize i = 0; i < G_N_ELEMENTS(same); i++)
        same[i] = plain;
    same[0].batch_size = 1;
    same[1].precision = gpudl_session_get_precision(first);
    same[2].cpu_threads = gpudl_session_get_parallelism(first);
    same[3].cuda_device_id = 1;
    same[4].memory_limit = 1 << 30;
    same[5].priority = 1;
    same[6].activation = gpudl_model_get_activation(model);
    for (gsize i = 0; i < G_N_ELEMENTS(same); i++) {
        GpudlSession *other = acquire(model, &same[i]);

        if (other != first)
            g_error("configuration %" G_GSIZE_FORMAT " has a session of its own", i);
        gpudl_session_unref(other);
    }
    gpudl_session_unref(first);
}

static void test_what_differs_is_not_shared(void)
{
    g_autoptr(GpudlModel) model = make_model();
    const GpudlSessionConfig plain = {.struct_size = sizeof plain, .backend = "cpu", .cuda_device_id = -1};
    GpudlSession *first = acquire(model, &plain), *other, *again;
    GpudlSessionConfig config = plain;
    g_autoptr(GError) error = NULL;

    config.cpu_threads = gpudl_session_get_parallelism(first) + 1;
    other = acquire(model, &config);
    g_assert_true(other != first);
    g_assert_cmpuint(gpudl_session_get_parallelism(other), ==, config.cpu_threads);
    gpudl_session_unref(other);
    config = plain;
    config.activation = GPUDL_ACTIVATION_SIGMOID;
    other = acquire(model, &config);
    g_assert_true(other != first);
    gpudl_session_unref(other);
    /* how implementations are chosen: two that choose none are one */
    config = plain;
    config.autotune = GPUDL_AUTOTUNE_OFF;
    other = acquire(model, &config);
    g_assert_true(other != first);
    config.autotune = GPUDL_AUTOTUNE_CACHED;
    config.deterministic = TRUE;
    again = acquire(model, &config);
    g_assert_true(again == other);
    gpudl_session_unref(again);
    gpudl_session_unref(other);
    /* a limit does not make a session of its own, but it is kept */
    config = plain;
    config.memory_limit = 100;
    g_assert_null(gpudl_session_acquire(model, &config, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY);
    g_clear_error(&error);
    config = plain;
    config.batch_size = 4;
    g_assert_null(gpudl_session_acquire(model, &config, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED);
    g_assert_nonnull(strstr(error->message, "can't do batches of 4"));
    gpudl_session_unref(first);
}

static void test_tells_depth_and_devices(gconstpointer data)
{
    g_autoptr(GpudlModel) model = make_model();
    const GpudlSessionConfig config = {
        .struct_size = sizeof config, .backend = data, .cuda_device_id = -1, .cpu_threads = 3};
    GpudlSession *session = acquire(model, &config);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) devices = gpudl_devices_list(data, &error);
    guint workers = gpudl_session_get_parallelism(session);

    g_assert_no_error(error);
    g_assert_cmpuint(workers, ==, g_str_equal(data, "cpu") ? 3 : 1);
    g_assert_cmpuint(gpudl_session_get_depth(session), ==, workers + 1);
    g_assert_cmpuint(gpudl_session_get_run_time(session), >, 0);
    g_assert_cmpuint(gpudl_session_get_memory(session, NULL, NULL), >, 32 * 27 * 4);
    g_assert_cmpuint(devices->len, ==, 1);
    gpudl_session_unref(session);
}

static void test_profile(void)
{
    g_autoptr(GpudlModel) model = make_model();
    const GpudlSessionConfig config = {.struct_size = sizeof config, .backend = "cpu", .cuda_device_id = -1};
    GpudlSession *session = acquire(model, &config);
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) steps = gpudl_session_profile(session, 1, 3, &error);
    guint64 flops = 0;

    g_assert_no_error(error);
    for (guint i = 0; i < steps->len; i++) {
        const GpudlProfileStep *step = &g_array_index(steps, GpudlProfileStep, i);

        if (g_str_equal(step->op, "Conv"))
            flops += step->flops;
    }
    g_assert_cmpuint(flops, ==, 2 * gpudl_model_get_macs(model));
    gpudl_session_unref(session);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(backends); i++) {
        g_autofree gchar *shared = g_strdup_printf("/cpu-session/%s/what-comes-to-the-same-is-shared", backends[i]);
        g_autofree gchar *tells = g_strdup_printf("/cpu-session/%s/tells-depth-and-devices", backends[i]);

        g_test_add_data_func(shared, backends[i], test_what_comes_to_the_same_is_shared);
        g_test_add_data_func(tells, backends[i], test_tells_depth_and_devices);
    }
    g_test_add_func("/cpu-session/what-differs-is-not-shared", test_what_differs_is_not_shared);
    g_test_add_func("/cpu-session/profile", test_profile);
    return g_test_run();
}

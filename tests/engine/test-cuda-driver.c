/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CUDA module on a machine whose driver is broken (tests/driver): one clear error, or the CPU by "auto"; soon. */
#include <string.h>

#include "engine/model.h"
#include "engine/session/session.h"
#include "tests/engine/builder.h"

static GpudlModel *make_model(void)
{
    Builder b = builder_new();
    g_autoptr(GError) error = NULL;
    GpudlModel *model;

    builder_output(&b, builder_conv(&b, builder_input(&b, "1x3x8x8"), 3, 8, 3, TRUE));
    model = gpudl_model_new(g_steal_pointer(&b.graph), "small", NULL, &error);
    g_assert_no_error(error);
    g_rand_free(b.rand);
    return model;
}

/* What each driver's message says: what, found, what to do. */
static const struct {
    const gchar *driver, *parts[4];
} drivers[] = {{"fails", {"can't be started", "CUDA_ERROR_UNKNOWN (999)", "nvidia-smi", "cuda"}},
               {"slow", {"can't be started", "CUDA_ERROR_SYSTEM_NOT_READY (802)", "nvidia-smi", "cuda"}},
               {"none", {"finds no device", "CUDA_VISIBLE_DEVICES", "cuda", "cuda"}},
               {"old", {"CUDA 11.4", "expected 13.0 or newer", "install a newer driver", "cuda"}}};

static void check_message(const gchar *message, gconstpointer data)
{
    const gchar *const *parts = data;

    for (guint i = 0; i < G_N_ELEMENTS(drivers[0].parts); i++)
        if (strstr(message, parts[i]) == NULL)
            g_error("the message '%s' lacks '%s'", message, parts[i]);
}

/* All that a program may ask, more than once, in a process of its own: a driver is started once in one. */
static void ask(gconstpointer data)
{
    g_autoptr(GpudlModel) model = make_model();
    const GpudlSessionConfig config = {.struct_size = sizeof config, .backend = "cuda", .cuda_device_id = -1};
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) session = NULL;
    g_auto(GStrv) reasons = NULL;
    g_auto(GStrv) names = gpudl_backends_list(&reasons);
    gboolean listed = FALSE;

    for (guint i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], "cuda") == 0) {
            g_autofree gchar *line = g_strdup_printf("cuda: %s", reasons[i]);

            check_message(line, data);
            listed = TRUE;
        }
    g_assert_true(listed);
    for (gint i = 0; i < 3; i++) {
        g_assert_null(gpudl_session_acquire(model, &config, NULL, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_DEVICE);
        check_message(error->message, data);
        g_clear_error(&error);
    }
    session = gpudl_session_acquire(model, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(gpudl_session_get_backend(session), ==, "cpu");
}

static void test_driver(gconstpointer data)
{
    const gsize i = GPOINTER_TO_SIZE(data);
    const gint64 begin = g_get_monotonic_time();

    if (g_test_subprocess()) {
        ask(drivers[i].parts);
        return;
    }
    g_setenv("GPUDL_TEST_DRIVER", drivers[i].driver, TRUE);
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_unsetenv("GPUDL_TEST_DRIVER");
    g_test_trap_assert_passed();
    if (strcmp(drivers[i].driver, "slow") == 0) /* it is waited for once, not at each question */
        g_assert_cmpint(g_get_monotonic_time() - begin, <, 2 * 2 * G_USEC_PER_SEC);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(drivers); i++) {
        g_autofree gchar *path = g_strdup_printf("/cuda-driver/%s", drivers[i].driver);

        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_driver);
    }
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CUDA module on a machine without a driver: it loads, says what is missing, and "auto" takes the CPU. */
#include <gmodule.h>
#include <string.h>

#include "engine/interface.h"
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

static void check_message(const gchar *message)
{
    static const gchar *const parts[] = {"cuda", "no NVIDIA driver is installed", "libcuda.so.1", "install it"};

    for (guint i = 0; i < G_N_ELEMENTS(parts); i++)
        if (strstr(message, parts[i]) == NULL)
            g_error("the message '%s' lacks '%s'", message, parts[i]);
}

static void test_a_session_is_refused(void)
{
    g_autoptr(GpudlModel) model = make_model();
    const GpudlSessionConfig config = {.struct_size = sizeof config, .backend = "cuda", .cuda_device_id = -1};
    g_autoptr(GError) error = NULL;

    g_assert_null(gpudl_session_acquire(model, &config, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_DEVICE);
    check_message(error->message);
}

static void test_auto_takes_the_cpu(void)
{
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) session = gpudl_session_acquire(model, NULL, NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(gpudl_session_get_backend(session), ==, "cpu");
}

static void test_the_list_says_why(void)
{
    g_auto(GStrv) reasons = NULL;
    g_auto(GStrv) names = gpudl_backends_list(&reasons);

    for (guint i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], "cuda") == 0) {
            check_message(reasons[i]);
            return;
        }
    g_assert_not_reached();
}

/* Called as the host never does, without asking first whether there is a device. */
static void test_calls_fail_one_by_one(void)
{
    g_auto(GStrv) folders = g_strsplit(g_getenv("GPUDL_BACKEND_PATH"), ":", 2);
    g_autofree gchar *path = g_build_filename(folders[0], "gpudl-cuda.so", NULL);
    GModule *module = g_module_open(path, G_MODULE_BIND_LOCAL); /* not lazily: all symbols are there */
    GpudlDeviceParams params = {-1, NULL};
    const GpudlBackend *backend;
    gpointer entry = NULL;
    void *device = NULL;
    GpudlFault fault = {""};
    uint32_t n = 7;

    if (module == NULL || !g_module_symbol(module, GPUDL_BACKEND_ENTRY, &entry))
        g_error("%s: %s", path, g_module_error());
    g_assert_null(((GpudlBackendEntry)entry)(GPUDL_BACKEND_ABI, "another"));
    backend = ((GpudlBackendEntry)entry)(GPUDL_BACKEND_ABI, GPUDL_BACKEND_INTERFACE);
    g_assert_nonnull(backend);
    g_assert_cmpint(backend->probe(-1, &fault), ==, GPUDL_STATUS_NO_DEVICE);
    g_assert_cmpint(backend->devices(NULL, 0, &n, &fault), ==, GPUDL_STATUS_NO_DEVICE);
    g_assert_cmpuint(n, ==, 0);
    fault.message[0] = '\0';
    g_assert_cmpint(backend->device_open(&params, &device, &fault), ==, GPUDL_STATUS_NO_DEVICE);
    g_assert_null(device);
    g_assert_nonnull(strstr(fault.message, "no NVIDIA driver"));
}

static GpudlStatus resolve(const GpudlBackend *backend, GpudlOpenParams *params, GpudlFault *fault)
{
    return backend->resolve(NULL, params, fault);
}

static void test_parameters_are_settled(void)
{
    g_auto(GStrv) folders = g_strsplit(g_getenv("GPUDL_BACKEND_PATH"), ":", 2);
    g_autofree gchar *path = g_build_filename(folders[0], "gpudl-cuda.so", NULL);
    GModule *module = g_module_open(path, G_MODULE_BIND_LOCAL);
    GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_SOFTMAX, .threads = 3, .memory_limit = 5, .priority = 9};
    GpudlFault fault = {""};
    gpointer entry = NULL;
    const GpudlBackend *backend;

    g_assert_true(module != NULL && g_module_symbol(module, GPUDL_BACKEND_ENTRY, &entry));
    backend = ((GpudlBackendEntry)entry)(GPUDL_BACKEND_ABI, GPUDL_BACKEND_INTERFACE);
    g_assert_cmpint(resolve(backend, &params, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(params.precision, ==, GPUDL_PRECISION_FP16);
    g_assert_cmpuint(params.batch_size, ==, 32);
    g_assert_cmpuint(params.threads, ==, 0);
    g_assert_cmpuint(params.memory_limit, ==, 0);
    params.precision = GPUDL_PRECISION_BF16;
    g_assert_cmpint(resolve(backend, &params, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(params.precision, ==, GPUDL_PRECISION_BF16);
    params.precision = GPUDL_PRECISION_INT8;
    g_assert_cmpint(resolve(backend, &params, &fault), ==, GPUDL_STATUS_UNSUPPORTED);
    g_assert_nonnull(strstr(fault.message, "int8"));
    params.precision = GPUDL_PRECISION_FP32;
    params.batch_size = 100000;
    g_assert_cmpint(resolve(backend, &params, &fault), ==, GPUDL_STATUS_UNSUPPORTED);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cuda-none/parameters-are-settled", test_parameters_are_settled);
    if (g_module_open("libcuda.so.1", G_MODULE_BIND_LAZY) == NULL) {
        g_test_add_func("/cuda-none/a-session-is-refused", test_a_session_is_refused);
        g_test_add_func("/cuda-none/auto-takes-the-cpu", test_auto_takes_the_cpu);
        g_test_add_func("/cuda-none/the-list-says-why", test_the_list_says_why);
        g_test_add_func("/cuda-none/calls-fail-one-by-one", test_calls_fail_one_by_one);
    }
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which cuDNN is taken: the system's, else that of the folders told at build time; where there is none, or something
 * else by its name, the message says so; none at all where the environment says that. Another search path is another
 * process; the argument says what this one has to find. */
#include <glib.h>
#include <string.h>

#include "engine/cuda/libraries.h"

static const gchar *wanted;

static void test_message(void)
{
    const gboolean broken = strcmp(wanted, "broken") == 0;
    const gchar *const parts[] = {broken ? "has no cudnnGetVersion" : "can't be loaded", "libcudnn.so.9",
                                  "install libcudnn9", broken ? "expected version 9.0" : "LD_LIBRARY_PATH",
                                  "GPUDL_CUDA_LIBS=0"};
    const CudaCudnn *cudnn;

    for (gint turn = 0; turn < 2; turn++) { /* the second says the same */
        GpudlFault fault = {""};
        const GpudlStatus status = cuda_cudnn(&cudnn, &fault);

        g_assert_cmpint(status, ==, GPUDL_STATUS_BACKEND);
        for (guint i = 0; i < G_N_ELEMENTS(parts); i++)
            if (strstr(fault.message, parts[i]) == NULL)
                g_error("the message '%s' lacks '%s'", fault.message, parts[i]);
    }
}

/* By the version: the two differ in that. */
static void test_version(void)
{
    const CudaCudnn *cudnn;
    GpudlFault fault = {""};
    const GpudlStatus status = cuda_cudnn(&cudnn, &fault);

    g_assert_cmpstr(fault.message, ==, "");
    g_assert_cmpint(status, ==, GPUDL_STATUS_OK);
    g_assert_cmpuint(cudnn->get_version(), ==, strcmp(wanted, "told") == 0 ? 92800 : 91900);
}

/* The one that would be found ends the process that opens it. */
static void test_none_is_opened(void)
{
    const CudaCudnn *cudnn = (const CudaCudnn *)&wanted;
    GpudlFault fault = {""};

    if (g_test_subprocess()) {
        cuda_cudnn(&cudnn, &fault);
        return;
    }
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_test_trap_assert_failed();
    g_assert_true(g_setenv("GPUDL_CUDA_LIBS", "0", TRUE));
    g_assert_cmpint(cuda_cudnn(&cudnn, &fault), ==, GPUDL_STATUS_OK);
    g_assert_null(cudnn);
    g_unsetenv("GPUDL_CUDA_LIBS");
}

static void test_values(void)
{
    static const gchar *const others[] = {"off", "00", "2", " 0"};
    const CudaCudnn *cudnn;

    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autofree gchar *found = g_strdup_printf("'%s'", others[i]);
        GpudlFault fault = {""};

        g_assert_true(g_setenv("GPUDL_CUDA_LIBS", others[i], TRUE));
        g_assert_cmpint(cuda_cudnn(&cudnn, &fault), ==, GPUDL_STATUS_INVALID_ARGUMENT);
        g_assert_nonnull(strstr(fault.message, "GPUDL_CUDA_LIBS"));
        g_assert_nonnull(strstr(fault.message, found));
        g_assert_nonnull(strstr(fault.message, "expected 0 "));
    }
    for (guint i = 0; i < 2; i++) {
        GpudlFault fault = {""};

        g_assert_true(g_setenv("GPUDL_CUDA_LIBS", i == 0 ? "1" : "", TRUE));
        g_assert_cmpint(cuda_cudnn(&cudnn, &fault), ==, GPUDL_STATUS_OK);
        g_assert_nonnull(cudnn);
    }
    g_unsetenv("GPUDL_CUDA_LIBS");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    wanted = g_test_subprocess() ? "off" : argv[argc - 1]; /* arguments are not handed on */
    if (strcmp(wanted, "off") == 0)
        g_test_add_func("/cuda-cudnn/none-is-opened", test_none_is_opened);
    else if (strcmp(wanted, "told") == 0 || strcmp(wanted, "installed") == 0)
        g_test_add_func("/cuda-cudnn/version", test_version);
    else
        g_test_add_func("/cuda-cudnn/message", test_message);
    if (strcmp(wanted, "told") == 0)
        g_test_add_func("/cuda-cudnn/values", test_values);
    return g_test_run();
}

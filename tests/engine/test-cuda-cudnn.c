/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which cuDNN is taken: the system's, else that of the folders told at build time; where there is none, or something
 * else by its name, the message says so. Another search path is another process; the argument says what this one has to
 * find. */
#include <glib.h>
#include <string.h>

#include "engine/cuda/libraries.h"

static const gchar *wanted;

static void test_message(void)
{
    const gboolean broken = strcmp(wanted, "broken") == 0;
    const gchar *const parts[] = {broken ? "has no cudnnGetVersion" : "can't be loaded", "libcudnn.so.9",
                                  "install libcudnn9", broken ? "expected version 9.0" : "LD_LIBRARY_PATH"};
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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    wanted = argv[argc - 1];
    if (strcmp(wanted, "told") == 0 || strcmp(wanted, "installed") == 0)
        g_test_add_func("/cuda-cudnn/version", test_version);
    else
        g_test_add_func("/cuda-cudnn/message", test_message);
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a program of somebody's does with a model file, for zoo.py:
 *
 *     zoo-run BACKEND MODEL                  loads it
 *     zoo-run BACKEND MODEL INPUT OUTPUT     and runs it on a backend in float32, on one thread
 *
 * INPUT is float32 values [channels][height][width]; OUTPUT gets the first output's, before the activation. Prints one
 * line and exits 0 if all went well: ok TAB outputs TAB values of the first TAB why it holds for batch 1 alone ("" if
 * it does not). Else error TAB what was being done (load, input, open, run) TAB message, and exits 1.
 */
#include <stdio.h>

#include "engine/gpudl.h"
#include "models/gpudl-import.h"

static int fail(const char *stage, GError *error)
{
    g_print("error\t%s\t%s\n", stage, g_strdelimit(error->message, "\n\t", ' '));
    g_error_free(error);
    return 1;
}

static gboolean read_input(GpudlModel *model, const gchar *path, gchar **values, GError **error)
{
    const GpudlPreproc *preproc = gpudl_model_get_preproc(model);
    const gsize wanted = (gsize)preproc->channels * (gsize)preproc->height * (gsize)preproc->width * sizeof(float);
    gsize size;

    if (!g_file_get_contents(path, values, &size, error))
        return FALSE;
    if (size == wanted)
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED, "the network wants %dx%dx%d, %s has %" G_GSIZE_FORMAT " bytes",
                preproc->channels, preproc->height, preproc->width, path, size);
    return FALSE;
}

static int run(GpudlModel *model, char **argv)
{
    const GpudlSessionConfig config = {.struct_size = sizeof config,
                                       .backend = argv[1],
                                       .precision = GPUDL_PRECISION_FP32,
                                       .activation = GPUDL_ACTIVATION_NONE,
                                       .cpu_threads = 1,
                                       .cuda_device_id = -1};
    g_autoptr(GpudlSession) session = NULL;
    g_autoptr(GpudlStream) stream = NULL;
    g_autoptr(GpudlRequest) request = NULL;
    g_autofree gchar *values = NULL;
    GError *error = NULL;

    if (!read_input(model, argv[3], &values, &error))
        return fail("input", error);
    session = gpudl_session_acquire(model, &config, NULL, &error);
    if (session == NULL)
        return fail("open", error);
    stream = gpudl_stream_new(session, model);
    request = gpudl_request_new(stream);
    if (!gpudl_request_submit_tensor(request, (const float *)(gconstpointer)values, &error) ||
        !gpudl_request_wait(request, &error))
        return fail("run", error);
    if (!g_file_set_contents(argv[4], (const gchar *)gpudl_request_get_scores(request, 0),
                             (gssize)(gpudl_model_get_n_classes(model, 0) * sizeof(float)), &error))
        return fail("run", error);
    return 0;
}

int main(int argc, char **argv)
{
    g_autoptr(GpudlModel) model = NULL;
    const gchar *reason = "";
    GError *error = NULL;

    if (argc != 3 && argc != 5) {
        g_printerr("usage: zoo-run BACKEND MODEL [INPUT OUTPUT]\n");
        return 2;
    }
    model = gpudl_model_load(argv[2], NULL, NULL, &error);
    if (model == NULL)
        return fail("load", error);
    if (argc == 5 && run(model, argv) != 0)
        return 1;
    if (gpudl_model_get_symbolic_batch(model, &reason))
        reason = "";
    g_print("ok\t%u\t%u\t%s\n", gpudl_model_get_n_heads(model), gpudl_model_get_n_classes(model, 0), reason);
    return 0;
}

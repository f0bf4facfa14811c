/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* usage: caffe-run BACKEND FILE WITH|- INPUT.f32 OUTPUT.f32: frames through a network of Caffe's as applications run
 * it; the outputs of all heads one behind the other, frame by frame. Prints the model's description. */
#include <stdio.h>
#include <string.h>

#include "engine/gpudl.h"
#include "models/gpudl-import.h"

static int fail(const GError *error)
{
    fprintf(stderr, "%s\n", error->message);
    return 1;
}

int main(int argc, char **argv)
{
    GpudlImportOptions options = {.struct_size = sizeof options};
    GpudlSessionConfig config = {
        .struct_size = sizeof config,
        .precision = GPUDL_PRECISION_FP32,
        .activation = GPUDL_ACTIVATION_NONE,
        .cuda_device_id = -1,
        .cpu_threads = 1,
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = NULL;
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autofree gchar *input = NULL, *description = NULL;
    GpudlSession *session;
    GpudlStream *stream;
    GpudlRequest *request;
    const GpudlPreproc *preproc;
    gsize size, frame;

    g_assert_cmpint(argc, ==, 6);
    config.backend = argv[1];
    if (strcmp(argv[3], "-") != 0)
        options.with_file = argv[3];
    model = gpudl_model_load(argv[2], &options, NULL, &error);
    if (model == NULL)
        return fail(error);
    description = gpudl_model_describe(model, FALSE);
    printf("%s\n", description);
    if (!g_file_get_contents(argv[4], &input, &size, &error))
        return fail(error);
    session = gpudl_session_acquire(model, &config, NULL, &error);
    if (session == NULL)
        return fail(error);
    stream = gpudl_stream_new(session, model);
    request = gpudl_request_new(stream);
    preproc = gpudl_model_get_preproc(model);
    frame = (gsize)preproc->channels * (gsize)preproc->height * (gsize)preproc->width * sizeof(float);
    g_assert_cmpuint(size % frame, ==, 0);
    for (gsize at = 0; at < size; at += frame) {
        float *values = g_memdup2(input + at, frame);

        if (!gpudl_request_submit_tensor(request, values, &error) || !gpudl_request_wait(request, &error))
            return fail(error);
        for (guint head = 0; head < gpudl_model_get_n_heads(model); head++)
            g_byte_array_append(out, (const guint8 *)gpudl_request_get_scores(request, head),
                                gpudl_model_get_n_classes(model, head) * (guint)sizeof(float));
        g_free(values);
    }
    gpudl_request_free(request);
    gpudl_stream_free(stream);
    gpudl_session_unref(session);
    return g_file_set_contents(argv[5], (const gchar *)out->data, (gssize)out->len, &error) ? 0 : fail(error);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames through sessions of a network, on CUDA and on the reference. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cuda-nets-run.h"

/* What a frame takes at most: one that is large is uploaded in several pieces. */
#define PIXEL_BYTES (2240 * 1360 * 3)

static void random_frame(GpudlFrame *frame, guint8 *pixels, gboolean is_large, GRand *rand)
{
    const gint more = is_large ? 2000 : 0;
    const gint width = more + 2 * g_rand_int_range(rand, 8, 120),
               height = more * 3 / 5 + 2 * g_rand_int_range(rand, 8, 80);

    for (gint i = 0; i < (is_large ? PIXEL_BYTES : 240 * 160 * 3); i++)
        pixels[i] = (guint8)(128 + 100 * sin(i * 0.001 * (1 + i % 3)) + i % 7);
    *frame = (GpudlFrame){.struct_size = sizeof *frame,
                          .memory = GPUDL_MEMORY_HOST,
                          .width = width,
                          .height = height,
                          .matrix = GPUDL_MATRIX_BT709};
    frame->planes[0] = pixels;
    if (g_rand_boolean(rand) && width % 4 == 0) {
        frame->format = GPUDL_PIXEL_P010_10LE;
        frame->strides[0] = frame->strides[1] = 2 * width;
        frame->planes[1] = pixels + (gsize)(2 * width) * (gsize)height;
    } else if (height % 4 == 0) {
        frame->format = GPUDL_PIXEL_NV12;
        frame->strides[0] = frame->strides[1] = width + 16;
        frame->planes[1] = pixels + (gsize)(width + 16) * (gsize)height;
    } else {
        frame->format = GPUDL_PIXEL_RGB;
        frame->strides[0] = 3 * width;
    }
}

enum { FRAMES = 7 };

/* Scores of all frames, one of which is given as values, through a session; some rounds, so that memory is used again.
 * The last are scaled otherwise than the model says: batches of one kind of pre-processing, of another and of both. */
static float *run_frames(GpudlSession *session, GpudlModel *model, const GpudlFrame *frames, const float *values,
                         gint rounds, GError **error)
{
    const guint classes = gpudl_model_get_n_classes(model, 0);
    GpudlStream *stream = gpudl_stream_new(session, model);
    GpudlRequest *requests[FRAMES];
    float *scores = g_new(float, FRAMES *classes);
    GpudlPreproc aliased = *gpudl_model_get_preproc(model);
    gboolean good = TRUE;

    aliased.scale_method = GPUDL_SCALE_BILINEAR_ALIASED;

    for (gint i = 0; i < FRAMES; i++)
        requests[i] = gpudl_request_new(stream);
    for (gint round = 0; round < rounds && good; round++) {
        gint submitted = 0;

        while (good && submitted < FRAMES) {
            good = submitted == 3 ? gpudl_request_submit_tensor(requests[3], values, error)
                                  : gpudl_request_submit(requests[submitted], &frames[submitted],
                                                         submitted > 3 ? &aliased : NULL, error);
            submitted += good;
        }
        for (gint i = 0; i < submitted; i++)
            good = gpudl_request_wait(requests[i], good ? error : NULL) && good;
    }
    for (gint i = 0; i < FRAMES; i++) {
        if (good)
            memcpy(scores + (guint)i * classes, gpudl_request_get_scores(requests[i], 0), classes * sizeof *scores);
        gpudl_request_free(requests[i]);
    }
    gpudl_stream_free(stream);
    if (!good)
        g_clear_pointer(&scores, g_free);
    return scores;
}

/* What bfloat16 itself costs where all else is exact, in units of the range; 0 where that can't be found out. Small
 * networks of random weights lie up to 3e-2 away on these pictures: a mean of channels that cancel keeps few of its
 * bits. */
static double cost_of_bf16(GpudlModel *model, const GpudlFrame *frames, const float *values, float *expected)
{
    g_autoptr(GError) error = NULL;
    GpudlModel *rounded = nets_rounded(model, GPUDL_DTYPE_BF16);
    GpudlSession *session =
        nets_acquire_for(rounded, "ref", GPUDL_PRECISION_FP32, 0, GPUDL_AUTOTUNE_OFF, GPUDL_ACTIVATION_NONE, &error);
    g_autofree float *got = session != NULL ? run_frames(session, rounded, frames, values, 1, &error) : NULL;
    const double cost = got != NULL ? nets_compare(model, FRAMES, &got, &expected) : 0;

    printf("# rounded to bfloat16 the reference is %.2e of the range away%s%s\n", cost, error != NULL ? ": " : "",
           error != NULL ? error->message : "");
    if (session != NULL)
        gpudl_session_unref(session);
    gpudl_model_unref(rounded);
    return cost;
}

/* float32: probabilities, which differ by the rounding of pre-processing as well; others: values before the softmax. */
static void check_frames_at(GpudlModel *model, const gchar *name, GpudlPrecision precision, const GpudlFrame *frames,
                            const float *values)
{
    const GpudlActivation activation =
        precision == GPUDL_PRECISION_FP32 ? GPUDL_ACTIVATION_SOFTMAX : GPUDL_ACTIVATION_NONE;
    double bound = precision == GPUDL_PRECISION_FP32 ? 1e-3 : nets_bound(precision);
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) reference =
        nets_acquire_for(model, "ref", GPUDL_PRECISION_FP32, 0, GPUDL_AUTOTUNE_OFF, activation, &error);
    g_autoptr(GpudlSession) cuda =
        reference != NULL ? nets_acquire_for(model, "cuda", precision, 4, GPUDL_AUTOTUNE_OFF, activation, &error)
                          : NULL;
    g_autofree float *expected = cuda != NULL ? run_frames(reference, model, frames, values, 1, &error) : NULL;
    g_autofree float *got = expected != NULL ? run_frames(cuda, model, frames, values, 3, &error) : NULL;
    double difference;
    guint flips;

    if (got == NULL) {
        nets_say(FALSE, "%s frames %s: %s", name, gpudl_precision_name(precision), error->message);
        return;
    }
    difference = nets_compare(model, FRAMES, &got, &expected);
    if (difference > bound && precision == GPUDL_PRECISION_BF16)
        bound = MAX(bound, 2 * cost_of_bf16(model, frames, values, expected));
    flips = nets_count_flips(model, FRAMES, &got, &expected, bound);
    nets_say(difference <= bound && flips == 0,
             "%s frames %s: %.2e of the range, bound %.1e; %u classes that are clear are others", name,
             gpudl_precision_name(precision), difference, bound, flips);
}

void nets_check_frames(GpudlModel *model, const gchar *name, GRand *rand)
{
    g_autofree guint8 *pixels = g_malloc(FRAMES * PIXEL_BYTES);
    g_autofree float *values = g_new(float, nets_input_size(model));
    GpudlFrame frames[FRAMES];

    if (gpudl_model_get_n_heads(model) > 1)
        return;
    nets_fill(values, nets_input_size(model), rand);
    for (gint i = 0; i < FRAMES; i++)
        random_frame(&frames[i], pixels + (gsize)i * PIXEL_BYTES, i == 1 || i == FRAMES - 1, rand);
    for (guint p = 0; p < G_N_ELEMENTS(nets_precisions); p++)
        if (nets_is_asked(nets_precisions[p].precision))
            check_frames_at(model, name, nets_precisions[p].precision, frames, values);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* EfficientNet-Lite0's logits on three photographs against those of the framework its weights come from. */
#include "engine/gpudl.h"
#include "models/gpudl-import.h"
#include "tools/media.h"

#define N_CLASSES 1000

/* The photographs are 224x224: stretched they stay as they are, as the stored logits were made. */
static const GpudlPreproc preproc = {.channel_order = GPUDL_CHANNELS_RGB,
                                     .resize_mode = GPUDL_RESIZE_STRETCH,
                                     .scale_method = GPUDL_SCALE_BILINEAR,
                                     .crop_fraction = 1.0f,
                                     .pixel_scale = 1.0f,
                                     .mean = {127.0f, 127.0f, 127.0f},
                                     .std = {128.0f, 128.0f, 128.0f}};

static const gchar *const photographs[] = {"orange.png", "resized_cat.bmp", "fish.png"};

static GpudlSession *acquire(const gchar *onnx, const gchar *backend)
{
    g_autoptr(GError) error = NULL;
    GpudlImportOptions options = {.preproc = &preproc,
                                  .preproc_set = GPUDL_SET_MEAN | GPUDL_SET_STD | GPUDL_SET_PIXEL_SCALE |
                                                 GPUDL_SET_CHANNEL_ORDER | GPUDL_SET_RESIZE_MODE |
                                                 GPUDL_SET_SCALE_METHOD};
    g_autoptr(GpudlModel) model = gpudl_model_load(onnx, &options, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(gpudl_model_get_symbolic_batch(model, NULL));
    g_assert_cmpuint(gpudl_model_get_n_classes(model, 0), ==, N_CLASSES);
    GpudlSessionConfig config = {
        .backend = backend, .precision = GPUDL_PRECISION_FP32, .activation = GPUDL_ACTIVATION_NONE};
    GpudlSession *session = gpudl_session_acquire(model, &config, NULL, &error);
    g_assert_no_error(error);
    return session;
}

static void compare(GpudlStream *stream, const gchar *data, const gchar *photograph)
{
    g_autoptr(GError) error = NULL;
    g_autofree gchar *picture = g_build_filename(data, "photos", photograph, NULL);
    g_autofree gchar *base = g_strndup(photograph, strchr(photograph, '.') - photograph);
    g_autofree gchar *golden_name = g_strdup_printf("efficientnet_lite0__%s.f32", base);
    g_autofree gchar *golden_path = g_build_filename(data, "golden", golden_name, NULL);
    g_autofree gchar *bytes = NULL;
    gsize size = 0;
    g_file_get_contents(golden_path, &bytes, &size, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(size, ==, N_CLASSES * sizeof(float));
    const float *golden = (const float *)(gpointer)bytes;

    g_autoptr(GpudlMedia) media = gpudl_media_open(picture, GPUDL_PIXEL_RGB, &error);
    g_assert_no_error(error);
    g_autoptr(GpudlMediaFrame) frame = gpudl_media_next(media, &error);
    g_assert_no_error(error);
    g_autoptr(GpudlRequest) request = gpudl_request_new(stream);
    g_assert_true(gpudl_request_submit(request, &frame->frame, NULL, &error));
    gpudl_request_wait(request, &error);
    g_assert_no_error(error);
    const float *logits = gpudl_request_get_scores(request, 0);

    float low = golden[0], high = golden[0], worst = 0.0f;
    guint best = 0, golden_best = 0;
    for (guint i = 0; i < N_CLASSES; i++) {
        low = MIN(low, golden[i]);
        high = MAX(high, golden[i]);
        worst = MAX(worst, ABS(logits[i] - golden[i]));
        g_assert_true(logits[i] == logits[i]);
        best = logits[i] > logits[best] ? i : best;
        golden_best = golden[i] > golden[golden_best] ? i : golden_best;
    }
    g_test_message("%s: class %u, largest difference %.3g of a range of %.3g", photograph, best, worst, high - low);
    g_assert_cmpuint(best, ==, golden_best);
    g_assert_cmpfloat(worst, <=, 1e-4f * (high - low));
}

static void test_logits(gconstpointer user_data)
{
    const gchar *backend = user_data;
    const gchar *data = g_getenv("GPUDL_TEST_DATA"), *demo = g_getenv("GPUDL_DEMO_FOLDER");
    g_autofree gchar *onnx = g_build_filename(demo, "efficientnet-lite0.onnx", NULL);
    if (data == NULL) {
        g_test_skip("GPUDL_TEST_DATA does not say where the photographs and logits are");
        return;
    }
    if (!g_file_test(onnx, G_FILE_TEST_EXISTS)) {
        g_test_skip("EfficientNet-Lite0 is not there: models/recipes/efficientnet-lite0/obtain downloads it");
        return;
    }
    g_autoptr(GpudlSession) session = acquire(onnx, backend);
    g_autoptr(GpudlStream) stream = gpudl_stream_new(session, gpudl_session_get_model(session));
    for (guint i = 0; i < G_N_ELEMENTS(photographs); i++)
        compare(stream, data, photographs[i]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/recipes/efficientnet-lite0/logits-on-ref", "ref", test_logits);
#ifdef HAVE_CPU_BACKEND
    g_test_add_data_func("/recipes/efficientnet-lite0/logits-on-cpu", "cpu", test_logits);
#endif
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Networks with real weights on an NVIDIA GPU: of the demo's photographs each precision says what float32 says on the
 * processor. EfficientNet-Lite0 and the photographs are in the folder given, which obtain fills; SqueezeNet 1.1 is in
 * the one that GPUDL_TEST_DATA names. Without a device all is skipped, or fails where GPUDL_REQUIRE_CUDA is 1.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/gpudl.h"
#include "models/gpudl-import.h"
#include "tools/media.h"

#define MOST_PHOTOGRAPHS 32

/* Of a probability. float32: sums in another order, in pre-processing as well. float16 and TF32 have the same 11 bits;
 * bfloat16 has 8, and what it does to probabilities is not bounded more closely than README.md says. */
static const struct {
    GpudlPrecision precision;
    gfloat bound;
} precisions[] = {{GPUDL_PRECISION_FP32, 1e-4f},
                  {GPUDL_PRECISION_TF32, 5e-3f},
                  {GPUDL_PRECISION_FP16, 5e-3f},
                  {GPUDL_PRECISION_BF16, 8e-2f}};

#define SET                                                                                                            \
    (GPUDL_SET_MEAN | GPUDL_SET_STD | GPUDL_SET_PIXEL_SCALE | GPUDL_SET_CHANNEL_ORDER | GPUDL_SET_RESIZE_MODE |        \
     GPUDL_SET_SCALE_METHOD | GPUDL_SET_CROP_FRACTION)

static const struct {
    const gchar *name, *file;
    gboolean is_data; /* in the folder of GPUDL_TEST_DATA */
    GpudlPreproc preproc;
} nets[] = {{"efficientnet-lite0",
             "efficientnet-lite0.onnx",
             FALSE,
             {.channel_order = GPUDL_CHANNELS_RGB,
              .resize_mode = GPUDL_RESIZE_CENTER_CROP,
              .scale_method = GPUDL_SCALE_BICUBIC,
              .crop_fraction = 0.875f,
              .pixel_scale = 1.0f,
              .mean = {127.0f, 127.0f, 127.0f},
              .std = {128.0f, 128.0f, 128.0f}}},
            {"squeezenet1.1",
             "squeezenet/squeezenet1.1_fp16.onnx",
             TRUE,
             {.channel_order = GPUDL_CHANNELS_BGR,
              .resize_mode = GPUDL_RESIZE_STRETCH,
              .scale_method = GPUDL_SCALE_BILINEAR,
              .crop_fraction = 1.0f,
              .pixel_scale = 1.0f,
              .mean = {104.0f, 117.0f, 123.0f},
              .std = {1.0f, 1.0f, 1.0f}}}};

static const gchar *demo;

typedef struct {
    gchar *names[MOST_PHOTOGRAPHS];
    GpudlMediaFrame *frames[MOST_PHOTOGRAPHS];
    guint n;
} Photographs;

static gint by_name(gconstpointer a, gconstpointer b)
{
    return g_strcmp0(*(const gchar *const *)a, *(const gchar *const *)b);
}

static void open_photographs(Photographs *photographs, const gchar *folder)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, &error);
    const gchar *name;

    g_assert_no_error(error);
    while ((name = g_dir_read_name(dir)) != NULL && photographs->n < MOST_PHOTOGRAPHS)
        if (g_str_has_suffix(name, ".jpg") || g_str_has_suffix(name, ".png"))
            photographs->names[photographs->n++] = g_strdup(name);
    g_assert_cmpuint(photographs->n, >=, 5);
    qsort(photographs->names, photographs->n, sizeof *photographs->names, by_name);
    for (guint i = 0; i < photographs->n; i++) {
        g_autofree gchar *path = g_build_filename(folder, photographs->names[i], NULL);
        g_autoptr(GpudlMedia) media = gpudl_media_open(path, GPUDL_PIXEL_RGB, &error);

        g_assert_no_error(error);
        photographs->frames[i] = gpudl_media_next(media, &error);
        g_assert_no_error(error);
    }
}

static void clear_photographs(Photographs *photographs)
{
    for (guint i = 0; i < photographs->n; i++) {
        g_free(photographs->names[i]);
        gpudl_media_frame_free(photographs->frames[i]);
    }
}

static GpudlModel *load(guint net)
{
    const GpudlImportOptions options = {
        .struct_size = sizeof options, .preproc = &nets[net].preproc, .preproc_set = SET};
    const gchar *folder = nets[net].is_data ? g_getenv("GPUDL_TEST_DATA") : demo;
    g_autofree gchar *path = folder != NULL ? g_build_filename(folder, nets[net].file, NULL) : NULL;
    g_autoptr(GError) error = NULL;
    GpudlModel *model;

    if (path == NULL || !g_file_test(path, G_FILE_TEST_EXISTS)) {
        g_autofree gchar *text = g_strdup_printf("%s is not there", path != NULL ? path : nets[net].file);

        g_test_skip(text);
        return NULL;
    }
    model = gpudl_model_load(path, &options, NULL, &error);
    g_assert_no_error(error);
    return model;
}

/* Probabilities of all photographs, which are under way together; the caller frees them. */
static gfloat *classify(GpudlModel *model, const Photographs *photographs, const gchar *backend,
                        GpudlPrecision precision)
{
    const GpudlSessionConfig config = {.struct_size = sizeof config,
                                       .backend = backend,
                                       .precision = precision,
                                       .activation = GPUDL_ACTIVATION_AUTO,
                                       .cuda_device_id = -1,
                                       .autotune = GPUDL_AUTOTUNE_OFF};
    const guint classes = gpudl_model_get_n_classes(model, 0);
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) session = gpudl_session_acquire(model, &config, NULL, &error);
    gfloat *scores = g_new(gfloat, (gsize)photographs->n * classes);
    GpudlRequest *requests[MOST_PHOTOGRAPHS];
    GpudlStream *stream;

    g_assert_no_error(error);
    stream = gpudl_stream_new(session, model);
    for (guint i = 0; i < photographs->n; i++) {
        requests[i] = gpudl_request_new(stream);
        gpudl_request_submit(requests[i], &photographs->frames[i]->frame, NULL, &error);
        g_assert_no_error(error);
    }
    for (guint i = 0; i < photographs->n; i++) {
        gpudl_request_wait(requests[i], &error);
        g_assert_no_error(error);
        memcpy(scores + (gsize)i * classes, gpudl_request_get_scores(requests[i], 0), classes * sizeof *scores);
        gpudl_request_free(requests[i]);
    }
    gpudl_stream_free(stream);
    return scores;
}

/* The largest difference; the best class has to be the same. */
static gfloat compare(const gchar *name, const gfloat *got, const gfloat *expected, guint classes)
{
    guint best = 0, right = 0;
    gfloat worst = 0, sum = 0;

    for (guint i = 0; i < classes; i++) {
        g_assert_true(isfinite(got[i]));
        best = got[i] > got[best] ? i : best;
        right = expected[i] > expected[right] ? i : right;
        worst = MAX(worst, ABS(got[i] - expected[i]));
        sum += expected[i];
    }
    g_assert_cmpfloat_with_epsilon(sum, 1, 0.01);
    if (best != right)
        g_error("%s: class %u of %.4f, expected %u of %.4f", name, best, (double)got[best], right,
                (double)expected[right]);
    return worst;
}

static void test_net(gconstpointer data)
{
    const guint net = GPOINTER_TO_UINT(data);
    g_autoptr(GpudlModel) model = load(net);
    g_autofree gchar *folder = g_build_filename(demo, "photos", NULL);
    g_autofree gfloat *expected = NULL;
    Photographs photographs = {0};
    guint classes;

    if (model == NULL)
        return;
    if (!g_file_test(folder, G_FILE_TEST_IS_DIR)) {
        g_test_skip("the photographs are not there: models/recipes/efficientnet-lite0/obtain downloads them");
        return;
    }
    open_photographs(&photographs, folder);
    classes = gpudl_model_get_n_classes(model, 0);
    expected = classify(model, &photographs, REFERENCE, GPUDL_PRECISION_FP32);
    for (guint p = 0; p < G_N_ELEMENTS(precisions); p++) {
        g_autofree gfloat *got = classify(model, &photographs, "cuda", precisions[p].precision);
        gfloat worst = 0;

        for (guint i = 0; i < photographs.n; i++)
            worst = MAX(
                worst, compare(photographs.names[i], got + (gsize)i * classes, expected + (gsize)i * classes, classes));
        g_test_message("%s: %u photographs, the same classes, probabilities within %.2g (bound %.2g)",
                       gpudl_precision_name(precisions[p].precision), photographs.n, (double)worst,
                       (double)precisions[p].bound);
        g_assert_cmpfloat(worst, <=, precisions[p].bound);
    }
    clear_photographs(&photographs);
}

int main(int argc, char **argv)
{
    g_autoptr(GpudlDevice) device = NULL;
    g_autoptr(GError) error = NULL;

    g_test_init(&argc, &argv, NULL);
    if (argc != 2) {
        fprintf(stderr, "test-photographs: one argument, the folder that obtain fills\n");
        return 2;
    }
    demo = argv[1];
    device = gpudl_device_acquire("cuda", -1, NULL, NULL, NULL, &error);
    if (device == NULL) {
        const gboolean required = g_strcmp0(g_getenv("GPUDL_REQUIRE_CUDA"), "1") == 0;

        printf(required ? "Bail out! %s\n" : "1..0 # SKIP %s\n", error->message);
        return required;
    }
    for (guint i = 0; i < G_N_ELEMENTS(nets); i++) {
        g_autofree gchar *path = g_strdup_printf("/photographs/%s", nets[i].name);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_net);
    }
    return g_test_run();
}

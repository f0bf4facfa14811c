/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What files say that counts where something is free. */
#include <string.h>

#include <glib/gstdio.h>

#include "models/known.h"
#include "tests/models/known-files.h"

static const OnnxText free_size = {13, "x:f32:Nx?xhxw", "k:f32:3x3x1x1=1",
                                   "Conv x k -> a; GlobalAveragePool a -> p; Flatten p -> y", "y"};

static void test_free_size(KnownFixture *self, gconstpointer data)
{
    static const GpudlImportOptions options = {.input_height = 5, .input_width = 6};
    g_autoptr(GpudlModel) model = NULL, given = NULL;
    g_autoptr(GError) error = NULL;

    known_put_net(self, "net.onnx", &free_size, NULL);
    g_assert_null(gpudl_model_load(self->path, NULL, NULL, &error));
    g_assert_nonnull(strstr(error->message, "give its height and width: --input-size HxW"));
    g_clear_error(&error);
    known_put(self, "preprocessor_config.json",
              KNOWN_HF("\"ViTImageProcessor\", \"size\": {\"height\": 7, \"width\": 9}"));
    model = known_load(self);
    g_assert_cmpint(gpudl_model_get_preproc(model)->height, ==, 7);
    g_assert_cmpint(gpudl_model_get_preproc(model)->width, ==, 9);
    given = gpudl_model_load(self->path, &options, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(gpudl_model_get_preproc(given)->height, ==, 5);
    /* its constants come again from the file, of the same size */
    g_assert_true(gpudl_model_hold(model, &error));
    gpudl_model_release(model);
    g_assert_true(gpudl_model_hold(model, &error));
    g_assert_no_error(error);
    gpudl_model_release(model);
}

/* What is said of a size that the graph leaves free, in the order of the places, and who said it. */
static void test_sizes_said(KnownFixture *self, gconstpointer data)
{
    static const struct {
        const gchar *metadata[7], *file, *text;
        gint height, width;
        const gchar *from;
    } rows[] = {
        {{"names", "{0: 'a', 1: 'b', 2: 'c'}", "imgsz", "[7, 9]"}, NULL, NULL, 7, 9, GPUDL_KNOWN_METADATA},
        {{"names", "{0: 'a', 1: 'b', 2: 'c'}", "imgsz", "8"}, NULL, NULL, 8, 8, GPUDL_KNOWN_METADATA},
        {{"gpudl.input_size", "7x9"}, NULL, NULL, 7, 9, GPUDL_KNOWN_METADATA},
        {{"gpudl.input-size", "7x9"}, NULL, NULL, 7, 9, GPUDL_KNOWN_METADATA},
        {{"model_info orig_height", "7", "model_info orig_width", "9"}, NULL, NULL, 7, 9, GPUDL_KNOWN_METADATA},
        {{NULL}, "config.json", "{\"image_size\": 8}", 8, 8, "config.json"},
        {{NULL}, "config.json", "{\"image_size\": [7, 9]}", 7, 9, "config.json"},
        {{NULL}, "config.json", "{\"pretrained_cfg\": {\"input_size\": [3, 7, 9]}}", 7, 9, "config.json"},
        {{"gpudl.input_size", "7x9"}, "config.json", "{\"image_size\": 8}", 7, 9, GPUDL_KNOWN_METADATA},
        {{"gpudl.input_size", "7x9"}, "net.modelinfo", "[x]\ndir=input\ndims=-1,3,5,6\n", 5, 6, "net.modelinfo"},
        {{NULL}, "net.modelinfo", "[x]\ndir=input\ndims=1,5,6,3\n", 5, 6, "net.modelinfo"},
        {{NULL}, "net.modelinfo", "[x]\ndir=input\ndims=3,6,5,1\ndims-order=col-major\n", 5, 6, "net.modelinfo"},
        {{"gpudl.input_size", "7x9"}, "net.modelinfo", "[x]\ndir=input\ndims=1,-1,-1,3\n", 7, 9, GPUDL_KNOWN_METADATA},
    };
    static const GpudlImportOptions options = {.input_height = 5, .input_width = 4};

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GpudlModel) model = NULL, given = NULL, fixed = NULL;
        g_autoptr(GError) error = NULL;

        known_put_net(self, "net.onnx", &free_size, rows[i].metadata);
        if (rows[i].file != NULL)
            known_put(self, rows[i].file, rows[i].text);
        model = known_load(self);
        g_assert_cmpint(gpudl_model_get_preproc(model)->height, ==, rows[i].height);
        g_assert_cmpint(gpudl_model_get_preproc(model)->width, ==, rows[i].width);
        g_assert_nonnull(model->known_from);
        g_assert_nonnull(strstr(model->known_from, rows[i].from));
        /* its constants come again from the file, of the same size */
        g_assert_true(gpudl_model_hold(model, &error));
        gpudl_model_release(model);
        g_assert_true(gpudl_model_hold(model, &error));
        gpudl_model_release(model);
        given = gpudl_model_load(self->path, &options, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpint(gpudl_model_get_preproc(given)->height, ==, 5);
        g_assert_cmpint(gpudl_model_get_preproc(given)->width, ==, 4);
        known_put_net(self, "net.onnx", &known_plain, rows[i].metadata);
        fixed = known_load(self);
        g_assert_cmpint(gpudl_model_get_preproc(fixed)->height, ==, 2);
        g_assert_cmpint(gpudl_model_get_preproc(fixed)->width, ==, 4);
        if (rows[i].file != NULL) {
            g_autofree gchar *path = g_build_filename(self->directory, rows[i].file, NULL);

            g_assert_cmpint(g_unlink(path), ==, 0);
        }
    }
}

/* Of two files of one name, in the folder called onnx and in the one above, the one is named that said the size. */
static void test_size_in_two_folders(KnownFixture *self, gconstpointer data)
{
    static const gchar size[] = "{\"image_size\": 8}", *const names[] = {"onnx/config.json", "config.json"};
    static const struct {
        const gchar *texts[2], *from;
    } rows[] = {{{"{}", size}, "config.json"}, {{size, "{}"}, "onnx/config.json"}, {{size, size}, "onnx/config.json"}};

    known_put_net(self, "onnx/net.onnx", &free_size, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GpudlModel) model = NULL;

        for (guint k = 0; k < G_N_ELEMENTS(names); k++)
            known_put(self, names[k], rows[i].texts[k]);
        model = known_load(self);
        g_assert_cmpint(gpudl_model_get_preproc(model)->height, ==, 8);
        g_assert_cmpstr(model->known_from, ==, rows[i].from);
    }
}

/* Sizes that can't be: of our own key and of a .modelinfo, which belong to the model, they are errors. */
static void test_sizes_wrong(KnownFixture *self, gconstpointer data)
{
    static const gchar *const values[] = {"7", "7x", "0x7", "[7, 9]", "7x8x9", "5000", "-7", "wide", ""};
    static const gchar *const dims[] = {"1,3,h,w", "1,2,3,4,5,6,7", ""};
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
        const gchar *metadata[] = {"gpudl.input_size", values[i], NULL};

        known_put_net(self, "net.onnx", &free_size, metadata);
        g_assert_null(gpudl_model_load(self->path, NULL, NULL, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
        g_assert_nonnull(strstr(error->message, "gpudl.input_size in the file's metadata is '"));
        g_clear_error(&error);
    }
    known_put_net(self, "net.onnx", &free_size, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(dims); i++) {
        g_autofree gchar *text = g_strdup_printf("[x]\ndir=input\ndims=%s\n", dims[i]);

        known_put(self, "net.modelinfo", text);
        g_assert_null(gpudl_model_load(self->path, NULL, NULL, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
        g_assert_nonnull(strstr(error->message, "integers with ',' between"));
        g_clear_error(&error);
    }
}

#define NAMES "names", "{0: 'a', 1: 'b', 2: 'c'}"
#define TEN "0123456789"
#define META " in the file's metadata is "
#define PREPROCESSOR(rest) "preprocessor_config.json", "{\"image_processor_type\": \"ViTImageProcessor\", " rest "}"
#define PPLCNET(rest) "preprocessor_config.json", "{\"image_processor_type\": \"PPLCNetImageProcessor\", " rest "}"
#define MEMBER(key, value) "\"" key "\": " value
#define MEAN MEMBER("image_mean", "[0.5, 0.5, 0.5]")
#define STD MEMBER("image_std", "[0.25, 0.25, 0.25]")
#define IN_PREPROCESSOR " in preprocessor_config.json is "
#define CONFIG(rest) "config.json", "{" rest "}"
#define IN_CONFIG " in config.json is "
#define SIDES "1 to 4096: not used"

/* A value that can't be used leaves a note with what it is and what was expected, and nothing else. */
static void test_unusable(KnownFixture *self, gconstpointer data)
{
    static const struct {
        const gchar *metadata[5], *file, *text, *note;
        gboolean values; /* pixels are known all the same */
    } rows[] = {
        {{NULL},
         PREPROCESSOR(MEMBER("image_mean", "[\"a\", 1, 2]") ", " STD),
         "image_mean" IN_PREPROCESSOR "[\"a\",1,2], expected a list of one or three numbers: not used",
         FALSE},
        {{NULL},
         PREPROCESSOR(MEMBER("image_mean", "[1, 2]") ", " STD),
         "image_mean" IN_PREPROCESSOR "[1,2], expected a list of one or three numbers: not used",
         FALSE},
        {{NULL},
         PREPROCESSOR(MEMBER("image_mean", "[1, 2, 3, 4]") ", " STD),
         "image_mean" IN_PREPROCESSOR "[1,2,3,4], expected a list of one or three numbers: not used",
         FALSE},
        {{NULL},
         PREPROCESSOR(MEAN ", " MEMBER("image_std", "[1, 0, 1]")),
         "image_std" IN_PREPROCESSOR "[1,0,1], expected a list of one or three numbers above 0: not used",
         FALSE},
        {{NULL},
         PREPROCESSOR(MEAN ", " MEMBER("image_std", "[1, -1, 1]")),
         "image_std" IN_PREPROCESSOR "[1,-1,1], expected a list of one or three numbers above 0: not used",
         FALSE},
        {{NULL},
         PREPROCESSOR(MEAN ", " STD ", " MEMBER("rescale_factor", "0")),
         "rescale_factor" IN_PREPROCESSOR "0, expected a number of 1e-05 to 100000: not used",
         FALSE},
        {{NULL},
         PREPROCESSOR(MEAN ", " STD ", " MEMBER("size", "\"224\"")),
         "size" IN_PREPROCESSOR "\"224\", expected a side, height and width, or shortest_edge, of " SIDES,
         TRUE},
        {{NULL},
         PREPROCESSOR(MEAN ", " STD ", " MEMBER("crop_size", "{\"height\": 0, \"width\": 8}")),
         "crop_size" IN_PREPROCESSOR "{\"height\":0,\"width\":8}, expected a side, or height and width, of " SIDES,
         TRUE},
        {{NULL},
         PREPROCESSOR(MEAN ", " STD ", " MEMBER("crop_size", "{\"shortest_edge\": 8}")),
         "crop_size" IN_PREPROCESSOR "{\"shortest_edge\":8}, expected a side, or height and width, of " SIDES,
         TRUE},
        {{NULL},
         PREPROCESSOR(MEAN ", " STD ", " MEMBER("size", "5000")),
         "size" IN_PREPROCESSOR "5000, expected a side, height and width, or shortest_edge, of " SIDES,
         TRUE},
        {{NULL},
         PPLCNET(MEMBER("resize_short", "\"big\"")),
         "resize_short" IN_PREPROCESSOR "\"big\", expected a side of 1 to 4096, or null: not used",
         TRUE},
        {{NULL},
         PPLCNET(MEMBER("image_mean", "[1, 2, \"x\"]")),
         "image_mean" IN_PREPROCESSOR "[1,2,\"x\"], expected a list of one or three numbers: not used",
         FALSE},
        {{NULL},
         PREPROCESSOR(MEAN ", " STD ", " MEMBER("crop_pct", "-1")),
         "crop_pct" IN_PREPROCESSOR "-1, expected a number of 0.001 to 10: not used",
         TRUE},
        {{NULL},
         PREPROCESSOR(MEAN ", " STD ", " MEMBER("resample", "1")),
         "resample" IN_PREPROCESSOR "1, expected 0 (nearest), 2 (bilinear), 3 (bicubic) or 4 (box): not used",
         TRUE},
        {{NULL},
         PREPROCESSOR(MEAN ", " STD ", " MEMBER("do_normalize", "\"no\"")),
         "do_normalize" IN_PREPROCESSOR "\"no\", expected true or false: not used",
         FALSE},
        {{NULL},
         PREPROCESSOR(MEAN ", " STD ", " MEMBER("image_mode", "3")),
         "image_mode" IN_PREPROCESSOR "3, expected a text: not used",
         TRUE},
        {{NULL},
         CONFIG(MEMBER("id2label", "{\"0\": \"a\", \"9\": \"b\"}")),
         "id2label" IN_CONFIG "{\"0\":\"a\",\"9\":\"b\"}, expected a name of each class (",
         FALSE},
        {{NULL},
         CONFIG(MEMBER("id2label", "{\"cat\": \"" TEN TEN TEN TEN TEN TEN TEN "\"}")),
         "neither 'cat' nor '" TEN TEN TEN TEN TEN TEN "0123...' is an id",
         FALSE},
        {{NULL},
         CONFIG(MEMBER("label_names", "\"a b c\"")),
         "label_names" IN_CONFIG "\"a b c\", expected a name of each class: not used",
         FALSE},
        {{NULL},
         CONFIG(MEMBER("image_size", "[7]")),
         "image_size" IN_CONFIG "[7], expected a side or [height, width], of " SIDES,
         FALSE},
        {{NULL},
         CONFIG(MEMBER("pretrained_cfg", "[]")),
         "pretrained_cfg" IN_CONFIG "[], expected an object: not used",
         FALSE},
        {{NULL},
         CONFIG(MEMBER("pretrained_cfg", "{\"mean\": [0, 0, 0], \"std\": [1, 1]}")),
         "std" IN_CONFIG "[1,1], expected a list of one or three numbers above 0: not used",
         FALSE},
        {{NULL},
         CONFIG(MEMBER("pretrained_cfg", "{\"input_size\": \"224\"}")),
         "input_size" IN_CONFIG "\"224\", expected [channels, height, width], sides of " SIDES,
         FALSE},
        {{NULL},
         CONFIG(MEMBER("pretrained_cfg", "{\"interpolation\": \"random\"}")),
         "interpolation" IN_CONFIG "\"random\", expected \"bilinear\" or \"bicubic\": not used",
         FALSE},
        {{NULL},
         CONFIG(MEMBER("pretrained_cfg", "{\"crop_mode\": \"corner\"}")),
         "crop_mode" IN_CONFIG "\"corner\", expected \"center\", \"squash\" or \"border\": not used",
         FALSE},
        {{NULL},
         CONFIG(MEMBER("pretrained_cfg", "{\"crop_pct\": \"x\"}")),
         "crop_pct" IN_CONFIG "\"x\", expected a number of 0.001 to 10: not used",
         FALSE},
        {{"names", "cat, dog, owl", "imgsz", "[2, 4]"},
         NULL,
         NULL,
         "names" META
         "'cat, dog, owl', expected a map or a list of all classes, as {0: 'a', 1: 'b'} or ['a', 'b']: not used",
         TRUE},
        {{"names", "{0: cat}", "imgsz", "[2, 4]"},
         NULL,
         NULL,
         "names" META
         "'{0: cat}', expected a map or a list of all classes, as {0: 'a', 1: 'b'} or ['a', 'b']: not used",
         TRUE},
        {{NAMES, "imgsz", "[2, 'wide']"},
         NULL,
         NULL,
         "imgsz" META "'[2, 'wide']', expected a side or [height, width], of " SIDES,
         TRUE},
        {{"names", TEN TEN TEN TEN TEN TEN TEN, "imgsz", "[2, 4]"},
         NULL,
         NULL,
         "names" META "'" TEN TEN TEN TEN TEN TEN "0123...', expected a map or a list of all",
         TRUE},
        {{NAMES, "imgsz", "0"}, NULL, NULL, "imgsz" META "'0', expected a side or [height, width], of " SIDES, TRUE},
        {{"model_info mean_values", "1", "model_info scale_values", "1e-30"},
         NULL,
         NULL,
         "scale_values" META "'1e-30', expected one or three numbers above 0: not used",
         FALSE},
        {{"Image.NominalPixelRange", "NominalRange_16_235"},
         NULL,
         NULL,
         "Image.NominalPixelRange" META "'NominalRange_16_235', expected NominalRange_0_255, Normalized_0_1 or "
         "Normalized_1_1: not used",
         FALSE},
        {{"Image.BitmapPixelFormat", "Nv12"},
         NULL,
         NULL,
         "Image.BitmapPixelFormat" META "'Nv12', expected Rgb8, Rgba8, Bgr8, Bgra8 or Gray8: not used",
         FALSE},
        {{"model_info mean_values", "1 2", "model_info scale_values", "2"},
         NULL,
         NULL,
         "mean_values" META "'1 2', expected one or three numbers: not used",
         FALSE},
        {{"model_info mean_values", "1", "model_info scale_values", "2 -2 2"},
         NULL,
         NULL,
         "scale_values" META "'2 -2 2', expected one or three numbers above 0: not used",
         FALSE},
        {{"model_info reverse_input_channels", "maybe"},
         NULL,
         NULL,
         "reverse_input_channels" META "'maybe', expected YES or NO: not used",
         FALSE},
        {{"model_info resize_type", "fit_to_window"},
         NULL,
         NULL,
         "resize_type" META "'fit_to_window', expected standard, fit_to_window_letterbox or crop: not used",
         FALSE},
        {{"model_info labels", ""},
         NULL,
         NULL,
         "labels" META "'', expected the classes' names with blanks between: not used",
         FALSE},
        {{"model_info orig_height", "7", "model_info orig_width", "9px"},
         NULL,
         NULL,
         "orig_width" META "'9px', expected a number of " SIDES,
         FALSE},
        {{"model_info orig_height", "7"},
         NULL,
         NULL,
         "orig_height" META "'7', expected orig_width beside it: not used",
         FALSE},
        {{"orig_width", "wide"},
         NULL,
         NULL,
         "orig_width" META "'wide', expected orig_height beside it: not used",
         FALSE},
        {{"character", "\n"},
         NULL,
         NULL,
         "character" META "' ', expected the classes' names, one a line: not used",
         FALSE},
        {{NULL},
         "class_indices.json",
         "{\"cat\": 0, \"dog\": 7}",
         "class_indices.json: id 7 among 2 labels, expected each id of 0..1 or of 1..2 once: not used",
         FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GpudlModel) model = NULL;
        const gchar *const *notes;

        known_put_net(self, "net.onnx", &known_plain, rows[i].metadata);
        if (rows[i].file != NULL)
            known_put(self, rows[i].file, rows[i].text);
        model = known_load(self);
        notes = gpudl_model_get_notes(model);
        g_assert_cmpuint(g_strv_length((gchar **)notes), ==, 1);
        if (strstr(notes[0], rows[i].note) == NULL)
            g_error("row %u: '%s', expected '%s'", i, notes[0], rows[i].note);
        g_assert_cmpint(model->preproc_known, ==, rows[i].values);
        if (rows[i].file != NULL) {
            g_autofree gchar *path = g_build_filename(self->directory, rows[i].file, NULL);

            g_assert_cmpint(g_unlink(path), ==, 0);
        }
    }
}

/* Where a part of what belongs together can't be used, nothing of it is taken: no value that nobody meant. */
static void test_parts(KnownFixture *self, gconstpointer data)
{
#define IMAGE "\"image_processor_type\": \"ViTImageProcessor\", "
#define CROP "\"size\": {\"shortest_edge\": 8}, \"crop_size\": {\"height\": 2, \"width\": 4}, \"do_center_crop\": "
#define TIMM(rest) "{\"pretrained_cfg\": {\"mean\": [0, 0, 0], \"std\": [1, 1, 1], " rest "}}"
    static const struct {
        const gchar *file, *text, *assumed;
    } rows[] = {
        {"preprocessor_config.json", "{" IMAGE CROP "true}", "nothing"},
        {"preprocessor_config.json", "{" IMAGE CROP "1}", KNOWN_WHOLE},
        {"preprocessor_config.json", "{" IMAGE CROP "true, \"do_resize\": 1}", KNOWN_WHOLE},
        {"preprocessor_config.json", "{" IMAGE CROP "true, \"crop_pct\": 0}", KNOWN_WHOLE},
        {"preprocessor_config.json", "{" IMAGE "\"crop_size\": \"8\"}", KNOWN_WHOLE},
        {"preprocessor_config.json", "{" IMAGE CROP "true, \"do_rescale\": 1}", KNOWN_VALUES},
        {"preprocessor_config.json", "{" IMAGE CROP "true, \"do_normalize\": 1}", KNOWN_VALUES},
        {"preprocessor_config.json", "{" IMAGE CROP "true, \"rescale_offset\": 1}", KNOWN_VALUES},
        {"preprocessor_config.json", "{" IMAGE CROP "true, \"image_mode\": 1}", KNOWN_ORDER},
        {"preprocessor_config.json", "{" IMAGE CROP "true, \"do_flip_channel_order\": 1}", KNOWN_ORDER},
        {"config.json", TIMM("\"crop_mode\": \"squash\""), "nothing"},
        {"config.json", TIMM("\"crop_mode\": \"corner\""), KNOWN_WHOLE},
        {"config.json", TIMM("\"crop_pct\": 0"), KNOWN_WHOLE},
    };
    g_autoptr(GError) error = NULL;

    known_put_net(self, "net.onnx", &known_plain, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GpudlModel) model = NULL;
        g_autofree gchar *path = g_build_filename(self->directory, rows[i].file, NULL), *assumed = NULL;

        known_put(self, rows[i].file, rows[i].text);
        model = known_load(self);
        assumed = gpudl_model_describe_assumed(model, 0, FALSE);
        if (g_strcmp0(assumed != NULL ? assumed : "nothing", rows[i].assumed) != 0)
            g_error("row %u: assumed is %s", i, assumed);
        g_assert_cmpint(gpudl_model_get_notes(model)[0] == NULL, ==, assumed == NULL);
        g_assert_cmpint(g_unlink(path), ==, 0);
    }
    /* nor one of the two sizes, where the graph leaves it free */
    known_put_net(self, "net.onnx", &free_size, NULL);
    known_put(self, rows[1].file, rows[1].text);
    g_assert_null(gpudl_model_load(self->path, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_nonnull(strstr(error->message, "--input-size"));
}

/* null leaves a thing open, and numbers may stand where lists of them may. */
static void test_usable(KnownFixture *self, gconstpointer data)
{
    g_autoptr(GpudlModel) model = NULL;

    known_put_net(self, "net.onnx", &known_plain, NULL);
    known_put(self, PREPROCESSOR(MEMBER("image_mean", "0.5") ", " MEMBER("image_std", "[0.25]") ", " MEMBER(
                        "crop_pct", "null") ", " MEMBER("resample", "null") ", " MEMBER("size",
                                                                                        "null") ", " MEMBER("do_resize",
                                                                                                            "null")));
    known_put(self, CONFIG(MEMBER("id2label", "null") ", " MEMBER("image_size", "null") ", " MEMBER("pretrained_cfg",
                                                                                                    "null")));
    model = known_load(self);
    g_assert_null(gpudl_model_get_notes(model)[0]);
    g_assert_cmpfloat(gpudl_model_get_preproc(model)->mean[2], ==, 0.5f);
    g_assert_cmpfloat(gpudl_model_get_preproc(model)->std[2], ==, 0.25f);
}

/* Who says a mean or a std says the other, too, as it is where it is silent, and whatever scale it can. */
static void test_halves(KnownFixture *self, gconstpointer data)
{
#define OTHER(rest) "preprocessor_config.json", "{\"image_processor_type\": \"OtherImageProcessor\", " rest "}"
#define VIT(rest) "preprocessor_config.json", "{\"image_processor_type\": \"ViTImageProcessor\", " rest "}"
    static const struct {
        const gchar *file, *text;
        double scale, mean, std; /* of the second channel; scale 0: nothing is said */
    } rows[] = {
        {OTHER(MEAN), 255, 0.5, 1},
        {OTHER(STD), 255, 0, 0.25},
        {OTHER("\"do_normalize\": false"), 255, 0, 1},
        {OTHER("\"do_normalize\": true"), 0, 0, 1},
        {CONFIG("\"pretrained_cfg\": {\"mean\": [0.5, 0.5, 0.5]}"), 255, 0.5, 0.224},
        {CONFIG("\"pretrained_cfg\": {\"std\": [0.5, 0.5, 0.5]}"), 255, 0.456, 0.5},
        {CONFIG("\"pretrained_cfg\": {}"), 0, 0, 1},
        {VIT("\"rescale_factor\": 0.00392156862745098"), 255, 0.5, 0.5},
        {VIT("\"rescale_factor\": 1e5"), 1e-5, 0.5, 0.5},
        {VIT("\"rescale_factor\": 15000"), 1 / 15000.0, 0.5, 0.5},
        {VIT("\"rescale_factor\": 300"), 1 / 300.0, 0.5, 0.5},
        {VIT("\"rescale_factor\": 1e-5"), 1e5, 0.5, 0.5},
    };

    known_put_net(self, "net.onnx", &known_plain, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree gchar *path = g_build_filename(self->directory, rows[i].file, NULL);
        g_autoptr(GpudlModel) model = NULL;
        const GpudlPreproc *pp;

        known_put(self, rows[i].file, rows[i].text);
        model = known_load(self);
        pp = gpudl_model_get_preproc(model);
        g_test_message("%s", rows[i].text);
        g_assert_null(gpudl_model_get_notes(model)[0]);
        g_assert_cmpint(model->preproc_known, ==, rows[i].scale > 0);
        g_assert_cmpfloat(pp->pixel_scale, ==, rows[i].scale > 0 ? (float)rows[i].scale : 255);
        g_assert_cmpfloat(pp->mean[1], ==, (float)rows[i].mean);
        g_assert_cmpfloat(pp->std[1], ==, (float)rows[i].std);
        g_assert_cmpint(g_unlink(path), ==, 0);
    }
}

/* Blanks before a list of names are none of them. */
static void test_names(KnownFixture *self, gconstpointer data)
{
    static const gchar *const names[] = {"['a', 'b', 'c']", " \n['a', 'b', 'c']", "\t{0: 'a', 1: 'b', 2: 'c'}"};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        const gchar *metadata[] = {"names", names[i], "imgsz", "[2, 4]", NULL};
        g_autoptr(GpudlModel) model = NULL;

        known_put_net(self, "net.onnx", &known_plain, metadata);
        model = known_load(self);
        g_assert_null(gpudl_model_get_notes(model)[0]);
        g_assert_cmpstr(gpudl_model_get_label(model, 2), ==, "c");
    }
}

#define ADD(name, function)                                                                                            \
    g_test_add("/known-values/" name, KnownFixture, NULL, known_set_up, function, known_tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("free-size", test_free_size);
    ADD("sizes-said", test_sizes_said);
    ADD("size-in-two-folders", test_size_in_two_folders);
    ADD("sizes-wrong", test_sizes_wrong);
    ADD("unusable", test_unusable);
    ADD("parts", test_parts);
    ADD("usable", test_usable);
    ADD("halves", test_halves);
    ADD("names", test_names);
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What files say of their pixels and classes: metadata, files beside them, the graph; and what is assumed of the rest.
 */
#include <string.h>

#include "engine/ref/ref.h"
#include "models/import.h"
#include "tests/models/known-files.h"

static const OnnxText rescaling = {13, "x:f32:Nx3x2x4", "s:f32:=0.00392157",
                                   "Mul x s -> a; GlobalAveragePool a -> p; Flatten p -> y", "y"};
static const OnnxText inside = {13, "x:f32:Nx3x2x4", "m:f32:1x3x1x1=0.5 s:f32:1x3x1x1=0.25",
                                "Sub x m -> a; Div a s -> b; GlobalAveragePool b -> p; Flatten p -> y", "y"};
static const OnnxText shifted = {13, "x:f32:Nx3x2x4", "m:f32:1x3x1x1=0.5",
                                 "Sub x m -> a; GlobalAveragePool a -> p; Flatten p -> y", "y"};
static const OnnxText bytes_last = {13, "x:u8:Nx2x4x3", "s:f32:=0.5",
                                    "Cast x -> c {to=1}; Transpose c -> t {perm=0,3,1,2}; Mul t s -> a; "
                                    "GlobalAveragePool a -> p; Flatten p -> y",
                                    "y"};
static const OnnxText flat = {13, "x:f32:Nx2x4", "w:f32:8x2=0.125", "Flatten x -> f; MatMul f w -> y", "y"};
static const OnnxText four = {13, "x:f32:Nx4x2x4", NULL, KNOWN_TAIL, "y"};
static const OnnxText four_bytes = {13, "x:u8:Nx2x4x4", NULL,
                                    "Cast x -> c {to=1}; Transpose c -> t {perm=0,3,1,2}; GlobalAveragePool t -> p; "
                                    "Flatten p -> y",
                                    "y"};
static const OnnxText unused = {13, "length:i64:N x:f32:Nx3x2x4 mask:f32:5", NULL, KNOWN_TAIL, "y"};

static void test_nothing(KnownFixture *self, gconstpointer data)
{
    known_put_net(self, "net.onnx", &known_plain, NULL);
    known_check(self, "rgb 255 mean 0,0,0 std 1,1,1 stretch 1 bilinear; from nothing; assumed " KNOWN_ORDER
                      ", " KNOWN_VALUES ", " KNOWN_WHOLE);
    known_put_net(self, "gray.onnx", &known_gray, NULL);
    known_check(self, "gray 255 mean 0,0,0 std 1,1,1 stretch 1 bilinear; from nothing; assumed " KNOWN_VALUES
                      ", " KNOWN_WHOLE);
}

static void test_metadata(KnownFixture *self, gconstpointer data)
{
    static const struct {
        const gchar *metadata[14], *says;
    } rows[] = {
        {{"task", "classify", "imgsz", "[2, 4]", "names", "{0: 'a', 1: \"b's\", 2: 'c'}"},
         "rgb 255 mean 0,0,0 std 1,1,1 crop 1 bilinear labels a,b's; from M; assumed nothing"},
        {{"character", "0\n90\n180"},
         "rgb 255 mean 0,0,0 std 1,1,1 stretch 1 bilinear labels 0,90; from M; assumed " KNOWN_ORDER ", " KNOWN_VALUES
         ", " KNOWN_WHOLE},
        {{"Image.NominalPixelRange", "NominalRange_0_255", "Image.BitmapPixelFormat", "Bgr8"},
         "bgr 1 mean 0,0,0 std 1,1,1 stretch 1 bilinear; from M; assumed " KNOWN_WHOLE},
        {{"Image.NominalPixelRange", "Normalized_1_1", "Image.BitmapPixelFormat", "Rgba8"},
         "rgb 127.5 mean 1,1,1 std 1,1,1 stretch 1 bilinear; from M; assumed " KNOWN_WHOLE},
        {{"model_info mean_values", "104 117 123", "model_info scale_values", "2", "model_info reverse_input_channels",
          "NO", "model_info resize_type", "fit_to_window_letterbox", "model_info labels", "cat dog owl"},
         "bgr 1 mean 104,117,123 std 2,2,2 letterbox 1 bilinear labels cat,dog; from M; assumed nothing"},
        {{"gpudl.mean", "0.1,0.2,0.3", "gpudl.std", "2", "gpudl.channel_order", "bgr", "gpudl.resize_mode",
          "center-crop", "gpudl.crop_fraction", "0.875", "gpudl.scale_method", "bicubic"},
         "bgr 255 mean 0.1,0.2,0.3 std 2,2,2 crop 0.875 bicubic; from M; assumed nothing"},
        {{"gpudl.mean", "0", "gpudl.scale", "255", "gpudl.channel_order", "rgb", "gpudl.resize_mode", "stretch",
          "gpudl.scale_method", "bilinear-aliased"},
         "rgb 255 mean 0,0,0 std 1,1,1 stretch 1 aliased; from M; assumed nothing"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(GStrv) parts = g_strsplit(rows[i].says, "from M;", 2);
        g_autofree gchar *expected = g_strjoinv("from the file's metadata;", parts);

        known_put_net(self, "net.onnx", &known_plain, rows[i].metadata);
        known_check(self, expected);
    }
}

static void test_wrong_metadata(KnownFixture *self, gconstpointer data)
{
    static const gchar *const rows[][2] = {{"gpudl.crop-fraction", "0"},   {"gpudl.scale-method", "cubic"},
                                           {"gpudl.pad-color", "red"},     {"gpudl.pad_color", "#1234567"},
                                           {"gpudl.mean", "1,2"},          {"gpudl.std", "1,0,1"},
                                           {"gpudl.scale", "none"},        {"gpudl.crop_fraction", "1.5"},
                                           {"gpudl.channel_order", "gbr"}, {"gpudl.labels", "{"}};

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const gchar *metadata[] = {rows[i][0], rows[i][1], NULL};
        g_autofree gchar *says =
            g_strdup_printf("%s in the file's metadata is '%s', expected ", rows[i][0], rows[i][1]);
        g_autoptr(GError) error = NULL;

        known_put_net(self, "net.onnx", &known_plain, metadata);
        g_assert_null(gpudl_model_load(self->path, NULL, NULL, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
        g_assert_nonnull(strstr(error->message, says));
    }
}

/* Our own keys are called as the options are, or with '_' as they once were; one that is neither is told, with what
 * stands there and what there is. */
static void test_own_keys(KnownFixture *self, gconstpointer data)
{
    static const gchar *const named[] = {"gpudl.channel-order",
                                         "bgr",
                                         "gpudl.resize-mode",
                                         "border",
                                         "gpudl.crop-fraction",
                                         "0.875",
                                         "gpudl.scale-method",
                                         "bicubic",
                                         "gpudl.pad-color",
                                         "#102030",
                                         "gpudl.mean",
                                         "0.5",
                                         "gpudl.labels",
                                         "a\nb\nc",
                                         NULL};
    static const gchar *const both[] = {"gpudl.scale-method", "area", "gpudl.scale_method", "nearest", NULL};
    static const gchar *const unknown[] = {"gpudl.size", "224",        "gpudl.Mean", "1", "GPUDL.std",
                                           "2",          "other.mean", "3",          NULL};
    static const gchar *const many[] = {"gpudl.a", "",        "gpudl.b", "",        "gpudl.c", "",        "gpudl.d",
                                        "",        "gpudl.e", "",        "gpudl.f", "",        "gpudl.g", "",
                                        "gpudl.h", "",        "gpudl.i", "",        "gpudl.j", "",        NULL};
    static const gchar *const notes[] = {"GPUDL.std in the file's metadata is '2'",
                                         "gpudl.Mean in the file's metadata is '1'",
                                         "gpudl.size in the file's metadata is '224'"};
    g_autoptr(GpudlModel) model = NULL;

    known_put_net(self, "net.onnx", &known_plain, named);
    known_check(self, "bgr 255 mean 0.5,0.5,0.5 std 1,1,1 border 0.875 bicubic labels a,b; from the file's metadata; "
                      "assumed nothing");
    model = known_load(self);
    g_assert_cmphex(gpudl_model_get_preproc(model)->pad_color, ==, 0x102030);
    g_assert_null(gpudl_model_get_notes(model)[0]);
    g_clear_pointer(&model, gpudl_model_unref);

    known_put_net(self, "both.onnx", &known_plain, both);
    model = known_load(self);
    g_assert_cmpint(gpudl_model_get_preproc(model)->scale_method, ==, GPUDL_SCALE_AREA);
    g_assert_true(g_str_has_prefix(gpudl_model_get_notes(model)[0],
                                   "gpudl.scale_method in the file's metadata is 'nearest', expected one "));
    g_assert_null(gpudl_model_get_notes(model)[1]);
    g_clear_pointer(&model, gpudl_model_unref);

    known_put_net(self, "unknown.onnx", &known_plain, unknown);
    model = known_load(self);
    g_assert_cmpuint(g_strv_length((gchar **)gpudl_model_get_notes(model)), ==, G_N_ELEMENTS(notes));
    for (guint i = 0; i < G_N_ELEMENTS(notes); i++) {
        g_autofree gchar *says = g_strdup_printf(
            i > 0 ? "%s, expected one of those keys, each once: not used"
                  : "%s, expected one of the keys gpudl.mean, gpudl.std, gpudl.scale, gpudl.channel-order, "
                    "gpudl.resize-mode, gpudl.crop-fraction, gpudl.pad-color, gpudl.scale-method, gpudl.input-size, "
                    "gpudl.labels, each once: not used",
            notes[i]);

        g_assert_cmpstr(gpudl_model_get_notes(model)[i], ==, says);
    }
    g_clear_pointer(&model, gpudl_model_unref);

    known_put_net(self, "many.onnx", &known_plain, many);
    model = known_load(self);
    g_assert_cmpuint(g_strv_length((gchar **)gpudl_model_get_notes(model)), ==, 8);
    g_assert_true(
        g_str_has_prefix(gpudl_model_get_notes(model)[7], "gpudl.h (and 2 more) in the file's metadata is '', "));
}

/* A message shows the beginning of a long value, in whole characters. */
static void test_long_value(KnownFixture *self, gconstpointer data)
{
    g_autofree gchar *a = g_strnfill(63, '1'), *value = g_strconcat(a, "\xc3\xa9 and so on", NULL);
    g_autofree gchar *says = g_strdup_printf("gpudl.scale in the file's metadata is '%s...', expected", a);
    g_autofree gchar *ranges = g_strdup_printf("[x]\ndir=input\nranges=%s\n", value);
    g_autofree gchar *says_ranges = g_strdup_printf("[x] has ranges=%s..., expected", a);
    const gchar *metadata[] = {"gpudl.scale", value, NULL};
    g_autoptr(GError) error = NULL;

    known_put_net(self, "net.onnx", &known_plain, metadata);
    g_assert_null(gpudl_model_load(self->path, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_nonnull(strstr(error->message, says));
    g_clear_error(&error);
    known_put_net(self, "net.onnx", &known_plain, NULL);
    known_put(self, "net.modelinfo", ranges);
    g_assert_null(gpudl_model_load(self->path, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_nonnull(strstr(error->message, says_ranges));
}

static void test_preprocessor(KnownFixture *self, gconstpointer data)
{
    static const struct {
        const gchar *json, *says;
    } rows[] = {
        {KNOWN_HF("\"ViTImageProcessor\", \"size\": {\"height\": 224, \"width\": 224}, \"resample\": 2"),
         "rgb 255 mean 0.5,0.5,0.5 std 0.25,0.25,0.25 stretch 1 bilinear"},
        {KNOWN_HF(
             "\"BitImageProcessor\", \"size\": {\"shortest_edge\": 256}, \"crop_size\": {\"height\": 224, \"width\": "
             "224}, \"do_center_crop\": true, \"resample\": 3"),
         "rgb 255 mean 0.5,0.5,0.5 std 0.25,0.25,0.25 crop 0.875 bicubic-bytes"},
        {KNOWN_HF(
             "\"LevitImageProcessor\", \"size\": {\"shortest_edge\": 224}, \"crop_size\": {\"height\": 224, \"width\": "
             "224}, \"do_center_crop\": true, \"resample\": 3"),
         "rgb 255 mean 0.5,0.5,0.5 std 0.25,0.25,0.25 crop 0.875 bicubic-bytes"},
        {KNOWN_HF(
             "\"ConvNextImageProcessor\", \"size\": {\"shortest_edge\": 224}, \"crop_pct\": 0.875, \"resample\": 3"),
         "rgb 255 mean 0.5,0.5,0.5 std 0.25,0.25,0.25 crop 0.875 bicubic-bytes"},
        {KNOWN_HF(
             "\"ConvNextImageProcessor\", \"size\": {\"shortest_edge\": 384}, \"crop_pct\": 0.875, \"resample\": 3"),
         "rgb 255 mean 0.5,0.5,0.5 std 0.25,0.25,0.25 stretch 1 bicubic-bytes"},
        {KNOWN_HF("\"PoolFormerImageProcessor\", \"size\": {\"shortest_edge\": 224}, \"crop_size\": {\"height\": 224, "
                  "\"width\": 224}, \"crop_pct\": 0.5, \"resample\": 3"),
         "rgb 255 mean 0.5,0.5,0.5 std 0.25,0.25,0.25 crop 0.5 bicubic-bytes"},
        {KNOWN_HF("\"MobileViTImageProcessor\", \"size\": {\"shortest_edge\": 224}, \"crop_size\": {\"height\": 224, "
                  "\"width\": 224}, \"do_center_crop\": true, \"do_flip_channel_order\": true, \"resample\": 2"),
         "bgr 255 mean 0,0,0 std 1,1,1 crop 1 bilinear"},
        {KNOWN_HF(
             "\"DeiTImageProcessor\", \"size\": {\"height\": 256, \"width\": 256}, \"crop_size\": {\"height\": 224, "
             "\"width\": 224}, \"do_center_crop\": true, \"resample\": 3"),
         "rgb 255 mean 0.5,0.5,0.5 std 0.25,0.25,0.25 squash 0.875 bicubic-bytes"},
        {KNOWN_HF(
             "\"EfficientNetImageProcessor\", \"size\": {\"height\": 346, \"width\": 346}, \"do_center_crop\": false, "
             "\"rescale_factor\": 0.00784313725490196, \"rescale_offset\": true, \"resample\": 0"),
         "rgb 127.5 mean 1.5,1.5,1.5 std 0.0625,0.0625,0.0625 stretch 1 nearest"},
        {KNOWN_HF(
             "\"ViTFeatureExtractor\", \"size\": 224, \"do_rescale\": false, \"do_normalize\": false, \"resample\": 2"),
         "rgb 1 mean 0,0,0 std 1,1,1 stretch 1 bilinear"},
    };

    known_put_net(self, "net.onnx", &known_plain, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree gchar *says = g_strconcat(rows[i].says, "; from preprocessor_config.json; assumed nothing", NULL);

        known_put(self, "preprocessor_config.json", rows[i].json);
        known_check(self, says); /* each time anew, though the model's file has not changed */
    }
}

static void test_config(KnownFixture *self, gconstpointer data)
{
    known_put_net(self, "onnx/model.onnx", &known_plain, NULL);
    known_put(self, "config.json",
              "{\"id2label\": {\"0\": \"cat\", \"2\": \"owl\", \"1\": \"dog\"}, \"num_channels\": 3}");
    known_check(self,
                "rgb 255 mean 0,0,0 std 1,1,1 stretch 1 bilinear labels cat,dog; from config.json; assumed " KNOWN_ORDER
                ", " KNOWN_VALUES ", " KNOWN_WHOLE);
    known_put(
        self, "config.json",
        "{\"num_classes\": 3, \"label_names\": [\"a\", \"b\", \"c\"], \"pretrained_cfg\": {\"input_size\": [3, 224, "
        "224], "
        "\"interpolation\": \"bicubic\", \"crop_pct\": 0.95, \"crop_mode\": \"center\", \"mean\": [0.5, 0.5, 0.5], "
        "\"std\": [0.25, 0.25, 0.25], \"test_input_size\": [3, 288, 288], \"test_crop_pct\": 1.0}}");
    known_check(
        self,
        "rgb 255 mean 0.5,0.5,0.5 std 0.25,0.25,0.25 crop 0.95 bicubic-bytes labels a,b; from config.json; assumed "
        "nothing");
    known_put(
        self, "config.json",
        "{\"pretrained_cfg\": {\"input_size\": [3, 224, 224], \"test_input_size\": [3, 2, 4], \"test_crop_pct\": 0.75, "
        "\"interpolation\": \"bilinear\", \"crop_pct\": 0.5, \"crop_mode\": \"squash\", \"mean\": [0, 0, 0], "
        "\"std\": [1, 1, 1]}}");
    known_check(self, "rgb 255 mean 0,0,0 std 1,1,1 squash 0.75 bilinear; from config.json; assumed nothing");
}

/* The mean is what timm fills up with. */
static void test_border(KnownFixture *self, gconstpointer data)
{
    g_autoptr(GpudlModel) model = NULL;

    known_put_net(self, "net.onnx", &known_plain, NULL);
    known_put(self, "config.json",
              "{\"pretrained_cfg\": {\"interpolation\": \"bicubic\", \"crop_pct\": 0.75, \"crop_mode\": \"border\", "
              "\"mean\": [0.485, 0.456, 0.5], \"std\": [1, 1, 1]}}");
    known_check(self,
                "rgb 255 mean 0.485,0.456,0.5 std 1,1,1 border 0.75 bicubic-bytes; from config.json; assumed nothing");
    model = known_load(self);
    g_assert_cmphex(gpudl_model_get_preproc(model)->pad_color, ==, 0x7c7480);
}

static void test_order_of_places(KnownFixture *self, gconstpointer data)
{
    static const gchar *const metadata[] = {"Image.NominalPixelRange", "NominalRange_0_255", "character", "a\nb\nc",
                                            NULL};
    static const GpudlPreproc preproc = {.pixel_scale = 2};
    static const GpudlImportOptions options = {.preproc = &preproc, .preproc_set = GPUDL_SET_PIXEL_SCALE};
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = NULL;
    g_autofree gchar *assumed = NULL;

    known_put_net(self, "net.onnx", &inside, NULL);
    known_check(self,
                "rgb 255 mean 0,0,0 std 1,1,1 stretch 1 bilinear; from the graph's first nodes; assumed " KNOWN_ORDER
                ", " KNOWN_WHOLE);
    known_put(self, "preprocessor_config.json",
              KNOWN_HF("\"ViTImageProcessor\", \"size\": {\"height\": 2, \"width\": 4}"));
    known_put(self, "labels.txt", "x\ny\nz\n");
    known_check(self, "rgb 255 mean 0.5,0.5,0.5 std 0.25,0.25,0.25 stretch 1 bilinear labels x,y; from "
                      "preprocessor_config.json, labels.txt; assumed nothing");
    known_put_net(self, "net.onnx", &inside, metadata);
    known_check(self, "rgb 1 mean 0,0,0 std 1,1,1 stretch 1 bilinear labels a,b; from the file's metadata, "
                      "preprocessor_config.json; assumed nothing");
    known_put(
        self, "net.onnx.modelinfo",
        "[modelinfo]\nversion=1.0\n[x]\ndir=input\ntype=float32\nranges=-1.0,1.0;-1.0,1.0;0.0,4.0\n[y]\ndir=output\n");
    known_check(self,
                "rgb 127.5 mean 1,1,0 std 1,1,0.5 stretch 1 bilinear labels a,b; from net.onnx.modelinfo, the file's "
                "metadata, preprocessor_config.json; assumed nothing");
    model = gpudl_model_load(self->path, &options, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpfloat(gpudl_model_get_preproc(model)->pixel_scale, ==, 2);
    assumed = gpudl_model_describe_assumed(model, 0, FALSE);
    g_assert_null(assumed);
}

/* What a file's parser says repeats the file: it is text all the same, and short. */
static void test_messages_beside(KnownFixture *self, gconstpointer data)
{
    g_autofree gchar *many = g_strnfill(100000, 'x'), *quoted = g_strdup_printf("{\"%s\", 1}", many);
    const struct {
        const gchar *name, *text, *says;
    } files[] = {{"config.json", "{\"a\\242\", 1}", "a backslash before what is no character of JSON"},
                 {"config.json", "{\"a\\'\": 1}", "a backslash before what is no character of JSON"},
                 {"config.json", "{\"a\\ud800\": 1}", "a backslash before what is no character of JSON"},
                 {"config.json", quoted, "unexpected string constant"},
                 {"preprocessor_config.json", quoted, "unexpected string constant"}};

    known_put_net(self, "net.onnx", &known_plain, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(GpudlModel) model = NULL;
        const gchar *note;

        known_put(self, files[i].name, files[i].text);
        model = known_load(self);
        note = gpudl_model_get_notes(model)[0];
        g_assert_nonnull(strstr(note, files[i].says));
        g_assert_true(g_utf8_validate(note, -1, NULL));
        g_assert_cmpuint(strlen(note), <, 1000);
        known_put(self, files[i].name, "{\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\": 1}");
        g_clear_pointer(&model, gpudl_model_unref);
        model = known_load(self);
        g_assert_null(gpudl_model_get_notes(model)[0]);
    }
    {
        g_autofree gchar *text = g_strdup_printf("[x]\n%s\n", many);
        g_autoptr(GError) error = NULL;

        known_put(self, "net.modelinfo", text);
        g_assert_null(gpudl_model_load(self->path, NULL, NULL, &error));
        g_assert_nonnull(strstr(error->message, "is no .modelinfo: "));
        g_assert_cmpuint(strlen(error->message), <, 1000);
    }
}

static void test_broken_beside(KnownFixture *self, gconstpointer data)
{
    g_autoptr(GpudlModel) model = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree gchar *deep = g_strnfill(100000, '[');

    known_put_net(self, "net.onnx", &known_plain, NULL);
    known_put(self, "config.json", deep);
    known_put(self, "preprocessor_config.json", "{\"image_mean\": ");
    known_put(self, "labels.txt", "a\nb\n");
    model = known_load(self);
    g_assert_null(gpudl_model_get_label(model, 0));
    g_assert_cmpuint(g_strv_length((gchar **)gpudl_model_get_notes(model)), ==, 3);
    g_assert_true(g_str_has_prefix(gpudl_model_get_notes(model)[0], "preprocessor_config.json: is no object of JSON"));
    g_assert_true(g_str_has_prefix(gpudl_model_get_notes(model)[1], "config.json: is no object of JSON"));
    g_assert_cmpstr(gpudl_model_get_notes(model)[2], ==,
                    "labels.txt has 2 labels, the network 3 classes: they are not used");
    known_put(self, "net.modelinfo", "[x]\ndir=input\nranges=5,1\n");
    g_assert_null(gpudl_model_load(self->path, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_nonnull(strstr(error->message, "net.modelinfo: [x] has ranges=5,1"));
}

/* A folder's name may be any bytes, and is nobody's matter who has the net.bin. */
static void test_broken_in_odd_folder(KnownFixture *self, gconstpointer data)
{
    g_autofree gchar *path = g_build_filename(self->directory, "net.bin", NULL);
    g_autoptr(GpudlModel) model = NULL, again = NULL;
    g_autoptr(GError) error = NULL;

    known_put_net(self, "u\xff/onnx/net.onnx", &known_plain, NULL);
    known_put(self, "u\xff/onnx/config.json", "[");
    known_put(self, "u\xff/labels.txt", "\xff\n");
    model = known_load(self);
    g_assert_cmpuint(g_strv_length((gchar **)gpudl_model_get_notes(model)), ==, 2);
    g_assert_true(g_str_has_prefix(gpudl_model_get_notes(model)[0], "config.json: is no object of JSON"));
    g_assert_cmpstr(gpudl_model_get_notes(model)[1], ==, "labels.txt: is no text in UTF-8: not used");
    g_assert_true(gpudl_model_save(model, path, &error));
    again = gpudl_model_load(path, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(gpudl_model_get_notes(again)[1], ==, gpudl_model_get_notes(model)[1]);
}

static void test_graph(KnownFixture *self, gconstpointer data)
{
    static const struct {
        const OnnxText *text;
        gint scale; /* 0: it does not show */
    } rows[] = {{&rescaling, 1}, {&inside, 255}, {&shifted, 0}, {&bytes_last, 1}, {&known_plain, 0}};

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GpudlModel) model = NULL;

        known_put_net(self, "net.onnx", rows[i].text, NULL);
        model = known_load(self);
        g_assert_cmpint(model->preproc_known, ==, rows[i].scale != 0);
        g_assert_cmpfloat(gpudl_model_get_preproc(model)->pixel_scale, ==, rows[i].scale == 1 ? 1 : 255);
    }
}

/* The answers of the graph for a picture whose channel c holds 10 c + 1.25, plane by plane. */
static void check_answers(KnownFixture *self, const OnnxText *text, const gchar *shape, const float *expected, guint n)
{
    g_autoptr(GpudlModel) model = NULL;
    g_autoptr(GPtrArray) outputs = NULL;
    g_autoptr(GBytes) input = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree gchar *found = NULL;
    float values[24];

    known_put_net(self, "net.onnx", text, NULL);
    model = known_load(self);
    found = gpudl_shape_to_string(&((GpudlTensor *)model->graph->inputs->pdata[0])->shape);
    g_assert_cmpstr(found, ==, shape);
    g_assert_true(gpudl_model_get_symbolic_batch(model, NULL));
    for (gint i = 0; i < 24; i++)
        values[i] = (float)(10 * (i / 8)) + 1.25f;
    input = g_bytes_new(values, (gsize)model->preproc.channels * 8 * sizeof *values);
    outputs = gpudl_ref_run(model->graph, &input, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(g_bytes_get_size(outputs->pdata[0]), ==, n * sizeof *expected);
    for (guint i = 0; i < n; i++)
        g_assert_cmpfloat_with_epsilon(((const float *)g_bytes_get_data(outputs->pdata[0], NULL))[i], expected[i],
                                       1e-5);
}

static void test_inputs(KnownFixture *self, gconstpointer data)
{
    check_answers(self, &bytes_last, "1x3x2x4", (const float[]){0.5f, 5.5f, 10.5f}, 3);
    check_answers(self, &flat, "1x1x2x4", (const float[]){1.25f, 1.25f}, 2);
    check_answers(self, &four, "1x3x2x4", (const float[]){1.25f, 11.25f, 21.25f, 1}, 4);
    check_answers(self, &four_bytes, "1x3x2x4", (const float[]){1, 11, 21, 255}, 4);
    check_answers(self, &unused, "1x3x2x4", (const float[]){1.25f, 11.25f, 21.25f}, 3);
}

/* The heads' names, and the notes, with | between them. */
static gchar *heads_of(GpudlModel *model)
{
    GString *text = g_string_new(NULL);
    const gchar *const *notes = gpudl_model_get_notes(model);

    for (guint i = 0; i < gpudl_model_get_n_heads(model); i++)
        g_string_append_printf(text, "%s ", gpudl_model_get_head_name(model, i));
    for (guint i = 0; notes[i] != NULL; i++)
        g_string_append_printf(text, "|%s", notes[i]);
    return g_string_free(text, FALSE);
}

#define SCORES "GlobalAveragePool x -> p; Flatten p -> f; "

static void test_heads(KnownFixture *self, gconstpointer data)
{
    static const struct {
        OnnxText text;
        const gchar *says;
    } rows[] = {
        {{13, "x:f32:Nx3x2x4", NULL, SCORES "ArgMax f -> label {axis=1}", "label"},
         "f |output 'label' is cut off at its scores, 'f'"},
        {{13, "x:f32:Nx3x2x4", "k:i64:1=1", SCORES "Softmax f -> s; TopK s k -> top index; Cast index -> i {to=6}",
          "top i"},
         "s |output 'top' is cut off at its scores, 's'|output 'i' is cut off at its scores, 's'"},
        {{13, "x:f32:Nx3x2x4", NULL, SCORES "Softmax f -> s; ArgMax f -> label {axis=1}", "label s"},
         "s |output 'label' is left out beside 's'"},
        {{13, "x:f32:Nx3x2x4", NULL, SCORES "Softmax f -> s; ZipMap.ai.onnx.ml s -> map", "map"},
         "s |output 'map' is cut off at its scores, 's'"},
        /* nothing to cut off */
        {{13, "x:f32:Nx3x2x4", NULL, SCORES "Softmax f -> s", "f s"}, "f s "},
        /* what can't be taken goes, if something else is left */
        {{13, "x:f32:Nx3x2x4", NULL, SCORES "Softmax f -> s; Frob f -> g; Add g f -> u", "u s"},
         "s |output 'u' is left out: node 'Frob_3' (Frob, opset 13): this operator is not taken"},
        {{13, "x:f32:Nx3x2x4", NULL, SCORES "Frob f -> g; Softmax f -> s; Frob x -> h; ArgMax f -> label {axis=1}",
          "s g h label"},
         "s |output 'label' is left out beside 's'"
         "|output 'g' is left out: node 'Frob_2' (Frob, opset 13): this operator is not taken"
         "|output 'h' is left out: node 'Frob_4' (Frob, opset 13): this operator is not taken"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GpudlModel) model = NULL;
        g_autofree gchar *found = NULL;

        known_put_net(self, "net.onnx", &rows[i].text, NULL);
        model = known_load(self);
        found = heads_of(model);
        g_assert_cmpstr(found, ==, rows[i].says);
    }
}

/* What every head needs can't be left out; the message is the node's. */
static void test_heads_refused(KnownFixture *self, gconstpointer data)
{
    static const OnnxText text = {13, "x:f32:Nx3x2x4", NULL, "Frob x -> z; " SCORES "Add f z -> u; Frob z -> v", "u v"};
    g_autoptr(GError) error = NULL;

    known_put_net(self, "net.onnx", &text, NULL);
    g_assert_null(gpudl_model_load(self->path, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED);
    g_assert_nonnull(strstr(error->message, "node 'Frob_0' (Frob, opset 13): this operator is not taken"));
}

/* Its names are the classes', and a net.bin keeps what was said. */
static void test_zip_map(KnownFixture *self, gconstpointer data)
{
    static const gchar *const nodes[] = {"GlobalAveragePool x -> p", "Flatten p -> f"};
    GByteArray *graph = g_byte_array_new(), *zip = onnx_write_node("ZipMap.ai.onnx.ml f -> map"),
               *attribute = g_byte_array_new();
    g_autoptr(GByteArray) bytes = NULL;
    g_autoptr(GpudlModel) model = NULL, again = NULL;
    g_autoptr(GError) error = NULL;

    pb_string(attribute, 1, "classlabels_strings");
    pb_string(attribute, 9, "cat");
    pb_string(attribute, 9, "dog");
    pb_string(attribute, 9, "owl");
    pb_int(attribute, 20, 8);
    pb_message(zip, 5, attribute);
    for (guint i = 0; i < G_N_ELEMENTS(nodes); i++)
        pb_message(graph, 1, onnx_write_node(nodes[i]));
    pb_message(graph, 1, zip);
    pb_string(graph, 2, "g");
    pb_message(graph, 11, onnx_write_value_info("x:f32:Nx3x2x4"));
    pb_message(graph, 12, onnx_write_value_info("map:f32:Nx3"));
    bytes = onnx_write_model(13, graph);
    self->path = g_build_filename(self->directory, "zip.onnx", NULL);
    g_assert_true(g_file_set_contents(self->path, (const gchar *)bytes->data, bytes->len, NULL));
    model = known_load(self);
    g_assert_cmpstr(gpudl_model_get_label(model, 2), ==, "owl");
    g_free(self->path);
    self->path = g_build_filename(self->directory, "zip.bin", NULL);
    g_assert_true(gpudl_model_save(model, self->path, &error));
    g_assert_no_error(error);
    again = known_load(self);
    g_assert_cmpstr(gpudl_model_get_label(again, 2), ==, "owl");
    g_assert_cmpstr(gpudl_model_get_notes(again)[0], ==, "output 'map' is cut off at its scores, 'f'");
    g_assert_cmpuint(again->assumed, ==, model->assumed);
}

static void test_folder(KnownFixture *self, gconstpointer data)
{
    static const gchar *const places[] = {"onnx/model.onnx", "model.onnx"};

    known_put(self, "preprocessor_config.json",
              KNOWN_HF("\"ViTImageProcessor\", \"size\": {\"height\": 2, \"width\": 4}"));
    known_put(self, "config.json", "{\"id2label\": {\"0\": \"cat\", \"1\": \"dog\", \"2\": \"owl\"}}");
    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autoptr(GpudlModel) model = NULL;
        g_autoptr(GError) error = NULL;

        known_put_net(self, places[i], i == 0 ? &known_plain : &inside, NULL);
        model = gpudl_model_load(self->directory, NULL, NULL, &error);
        g_assert_no_error(error);
        g_assert_true(gpudl_model_is_read_from(model, self->path));
        g_assert_cmpstr(gpudl_model_get_label(model, 1), ==, "dog");
        g_assert_cmpfloat(gpudl_model_get_preproc(model)->std[0], ==, 0.25f);
    }
}

#define ADD(name, function) g_test_add("/known/" name, KnownFixture, NULL, known_set_up, function, known_tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("nothing", test_nothing);
    ADD("metadata", test_metadata);
    ADD("wrong-metadata", test_wrong_metadata);
    ADD("own-keys", test_own_keys);
    ADD("long-value", test_long_value);
    ADD("preprocessor", test_preprocessor);
    ADD("config", test_config);
    ADD("border", test_border);
    ADD("order", test_order_of_places);
    ADD("messages-beside", test_messages_beside);
    ADD("broken-beside", test_broken_beside);
    ADD("broken-in-odd-folder", test_broken_in_odd_folder);
    ADD("graph", test_graph);
    ADD("inputs", test_inputs);
    ADD("heads", test_heads);
    ADD("heads-refused", test_heads_refused);
    ADD("zip-map", test_zip_map);
    ADD("folder", test_folder);
    return g_test_run();
}

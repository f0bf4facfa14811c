/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What Caffe's files say beside their layers, among the other places that say it; and the files that belong to one. */
#include <glib/gstdio.h>
#include <string.h>

#include "engine/model.h"
#include "models/gpudl-import.h"
#include "onnx-writer.h"

#define INPUT "input: 'x' input_shape { dim: 1 dim: 3 dim: 2 dim: 4 } "
#define FREE "input: 'x' input_shape { dim: 1 dim: 3 dim: 0 dim: 0 } "
#define DATA                                                                                                           \
    "layer { name: 'd' type: 'Input' top: 'x' input_param { shape { dim: 1 dim: 3 dim: 2 dim: 4 } } "                  \
    "transform_param { %s } } "
#define POOL                                                                                                           \
    "layer { name: 'p' type: 'Pooling' bottom: 'x' top: 'p' pooling_param { pool: AVE global_pooling: true } } "       \
    "layer { name: 'f' type: 'Flatten' bottom: 'p' top: 'f' }"

typedef struct {
    gchar *directory, *path;
} Fixture;

static gchar *name_in(Fixture *self, const gchar *name)
{
    return g_build_filename(self->directory, name, NULL);
}

static void put(Fixture *self, const gchar *name, const gchar *text, gsize size)
{
    g_autofree gchar *path = name_in(self, name);

    g_assert_true(g_file_set_contents(path, text, (gssize)size, NULL));
}

static void put_text(Fixture *self, const gchar *name, const gchar *text)
{
    put(self, name, text, strlen(text));
}

/* The values, of layers that have none. */
static void set_up(Fixture *self, gconstpointer data)
{
    g_autoptr(GByteArray) values = g_byte_array_new();
    GByteArray *layer = g_byte_array_new();

    self->directory = g_dir_make_tmp("gpudl-caffe-XXXXXX", NULL);
    self->path = name_in(self, "net.prototxt");
    pb_string(layer, 1, "p");
    pb_string(layer, 2, "Pooling");
    pb_string(values, 1, "net");
    pb_message(values, 100, layer);
    put(self, "net.caffemodel", (const gchar *)values->data, values->len);
}

static void tear_down(Fixture *self, gconstpointer data)
{
    g_autoptr(GDir) dir = g_dir_open(self->directory, 0, NULL);
    const gchar *name;

    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree gchar *path = name_in(self, name);

        g_unlink(path);
    }
    g_assert_cmpint(g_rmdir(self->directory), ==, 0);
    g_free(self->directory);
    g_free(self->path);
}

static GpudlModel *load(Fixture *self)
{
    g_autoptr(GError) error = NULL;
    GpudlModel *model = gpudl_model_load(self->path, NULL, NULL, &error);

    g_assert_no_error(error);
    return model;
}

/* What the model says of itself, as one line. */
static void check(Fixture *self, const gchar *expected)
{
    g_autoptr(GpudlModel) model = load(self);
    const GpudlPreproc *p = gpudl_model_get_preproc(model);
    g_autofree gchar *assumed = gpudl_model_describe_assumed(model, 0, FALSE);
    g_autofree gchar *said = g_strdup_printf(
        "%s %g mean %g,%g,%g std %g; from %s; assumed %s", p->channel_order == GPUDL_CHANNELS_BGR ? "bgr" : "other",
        (double)p->pixel_scale, (double)p->mean[0], (double)p->mean[1], (double)p->mean[2], (double)p->std[0],
        model->known_from != NULL ? model->known_from : "nothing", assumed != NULL ? assumed : "nothing");

    g_assert_cmpstr(said, ==, expected);
}

#define WHOLE "the whole picture stretched (resize-mode)"

static void test_custom(Fixture *self, gconstpointer data)
{
    put_text(self, "net.prototxt", INPUT POOL);
    check(self,
          "bgr 1 mean 0,0,0 std 1; from nothing; assumed BGR (channel-order), values within 0 and 255 (mean, std, "
          "scale), " WHOLE);
}

static void test_transform(Fixture *self, gconstpointer data)
{
    g_autofree gchar *text = g_strdup_printf(DATA POOL, "scale: 0.5 mean_value: 1 mean_value: 2 mean_value: 3");

    put_text(self, "net.prototxt", text);
    check(self, "bgr 1 mean 1,2,3 std 2; from transform_param; assumed BGR (channel-order), " WHOLE);
    put_text(self, "net.modelinfo", "[x]\ndir=input\nranges=-1.0,1.0\n");
    check(self, "bgr 127.5 mean 1,1,1 std 1; from net.modelinfo; assumed BGR (channel-order), " WHOLE);
}

static void test_free_size(Fixture *self, gconstpointer data)
{
    g_autoptr(GpudlModel) model = NULL;
    g_autoptr(GError) error = NULL;

    put_text(self, "net.prototxt", FREE POOL);
    g_assert_null(gpudl_model_load(self->path, NULL, NULL, &error));
    g_assert_nonnull(strstr(error->message, "the height of input 'x' is not said; give its height and width: "
                                            "--input-size HxW, gpudlinfer's input-size=HxW"));
    put_text(self, "preprocessor_config.json",
             "{\"image_processor_type\": \"ViTImageProcessor\", \"size\": {\"height\": 6, \"width\": 5}}");
    model = load(self);
    g_assert_cmpint(gpudl_model_get_preproc(model)->height, ==, 6);
    g_assert_cmpint(gpudl_model_get_preproc(model)->width, ==, 5);
}

static void put_mean(Fixture *self, float mean)
{
    const float values[3] = {mean, mean, mean};
    g_autoptr(GByteArray) blob = g_byte_array_new();

    pb_int(blob, 1, 1);
    pb_int(blob, 2, 3);
    pb_int(blob, 3, 1);
    pb_int(blob, 4, 1);
    pb_data(blob, 5, values, sizeof values);
    put(self, "mean.binaryproto", (const gchar *)blob->data, blob->len);
}

/* A live model of the same two files is no model of another mean. */
static void test_mean_file(Fixture *self, gconstpointer data)
{
    g_autofree gchar *text = g_strdup_printf(DATA POOL, "mean_file: '/elsewhere/mean.binaryproto'");
    g_autoptr(GpudlModel) before = NULL, after = NULL;

    put_text(self, "net.prototxt", text);
    put_mean(self, 7);
    before = load(self);
    g_assert_cmpfloat(gpudl_model_get_preproc(before)->mean[1], ==, 7);
    put_mean(self, 8);
    after = load(self);
    g_assert_cmpfloat(gpudl_model_get_preproc(after)->mean[1], ==, 8);
}

/* ONNX has no second file. */
static void test_with_file(Fixture *self, gconstpointer data)
{
    const GpudlImportOptions options = {.struct_size = sizeof options, .with_file = "net.caffemodel"};
    const OnnxText net = {13, "x:f32:Nx3x2x4", NULL, "GlobalAveragePool x -> p; Flatten p -> y", "y"};
    g_autoptr(GByteArray) bytes = onnx_write(&net);
    g_autofree gchar *path = name_in(self, "net.onnx");
    g_autoptr(GError) error = NULL;

    put(self, "net.onnx", (const gchar *)bytes->data, bytes->len);
    g_assert_null(gpudl_model_load(path, &options, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_assert_nonnull(strstr(error->message, "only Caffe's networks are in two files"));
}

#define ADD(name, function) g_test_add("/caffe/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("custom-is-assumed", test_custom);
    ADD("transform-is-what-the-file-says", test_transform);
    ADD("free-size-beside-the-file", test_free_size);
    ADD("mean-files-are-content", test_mean_file);
    ADD("one-file-of-others", test_with_file);
    return g_test_run();
}

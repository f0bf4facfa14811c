/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loading a model file: what it is told to be by its content, errors with their codes, identity, options. */
#define _XOPEN_SOURCE 700 /* mkfifo */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "engine/model.h"
#include "engine/modelfile/modelfile.h"
#include "engine/ref/ref.h"
#include "models/import.h"
#include "tests/models/onnx-writer.h"

static const OnnxText net = {13, "x:f32:Nx3x2x4", NULL, "GlobalAveragePool x -> p; Flatten p -> y", "y"};
static const OnnxText net_last = {13, "x:f32:1x2x4x3", NULL, "ReduceMean x -> y {axes=1,2 keepdims=0}", "y"};
static const OnnxText net_free = {13, "x:f32:Nx3xhxw", NULL, "GlobalAveragePool x -> p; Flatten p -> y", "y"};

typedef struct {
    gchar *directory;
    GPtrArray *paths;
} Fixture;

static void set_up(Fixture *self, gconstpointer data)
{
    self->directory = g_dir_make_tmp("gpudl-import-XXXXXX", NULL);
    self->paths = g_ptr_array_new_with_free_func(g_free);
}

static void tear_down(Fixture *self, gconstpointer data)
{
    for (guint i = 0; i < self->paths->len; i++)
        g_unlink(self->paths->pdata[i]);
    g_rmdir(self->directory);
    g_ptr_array_unref(self->paths);
    g_free(self->directory);
}

/* A path in the test's folder, removed at the end; owned by the fixture. */
static const gchar *path_for(Fixture *self, const gchar *name)
{
    g_ptr_array_add(self->paths, g_build_filename(self->directory, name, NULL));
    return self->paths->pdata[self->paths->len - 1];
}

static const gchar *write_bytes(Fixture *self, const gchar *name, gconstpointer data, gsize size)
{
    const gchar *path = path_for(self, name);

    g_assert_true(g_file_set_contents(path, data, (gssize)size, NULL));
    return path;
}

static const gchar *write_net(Fixture *self, const gchar *name, const OnnxText *text)
{
    g_autoptr(GByteArray) bytes = onnx_write(text);

    return write_bytes(self, name, bytes->data, bytes->len);
}

static void expect(const gchar *path, const GpudlImportOptions *options, GpudlError code, const gchar *says)
{
    g_autoptr(GError) error = NULL;
    GpudlModel *model = gpudl_model_load(path, options, NULL, &error);

    g_assert_null(model);
    g_assert_error(error, GPUDL_ERROR, (gint)code);
    g_assert_true(g_str_has_prefix(error->message, path));
    if (strstr(error->message, says) == NULL)
        g_error("'%s' does not say '%s'", error->message, says);
}

static void test_load(Fixture *self, gconstpointer data)
{
    const gchar *path = write_net(self, "my.net.onnx", &net);
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = gpudl_model_load(path, NULL, NULL, &error);
    g_autofree gchar *content = NULL, *digest = NULL;
    const GpudlPreproc *preproc;
    gsize size;

    g_assert_no_error(error);
    g_assert_cmpstr(gpudl_model_get_name(model), ==, "my.net");
    g_assert_true(g_file_get_contents(path, &content, &size, NULL));
    digest = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)content, size);
    g_assert_cmpstr(gpudl_model_get_id(model), ==, digest);
    g_assert_cmpuint(gpudl_model_get_n_classes(model, 0), ==, 3);
    g_assert_true(gpudl_model_get_symbolic_batch(model, NULL));
    preproc = gpudl_model_get_preproc(model);
    g_assert_cmpint(preproc->height, ==, 2);
    g_assert_cmpint(preproc->width, ==, 4);
    g_assert_cmpstr(model->source_file, ==, "my.net.onnx");
    g_assert_cmpstr(model->source_format, ==, "ONNX, opset 13");
    g_assert_cmpstr(model->producer, ==, "test");
}

/* The name says nothing: what a file is, is told by its content. */
static void test_content(Fixture *self, gconstpointer data)
{
    g_autoptr(GpudlModel) model = gpudl_model_load(write_net(self, "net.bin", &net), NULL, NULL, NULL);

    g_assert_nonnull(model);
    g_assert_cmpstr(model->source_format, ==, "ONNX, opset 13");
}

static void test_unreadable(Fixture *self, gconstpointer data)
{
    const gchar *fifo = path_for(self, "fifo.onnx"), *secret;

    expect(path_for(self, "none.onnx"), NULL, GPUDL_ERROR_NOT_FOUND, "No such file");
    expect(self->directory, NULL, GPUDL_ERROR_OPEN_READ, "is an empty folder");
    write_bytes(self, "saved_model.pb", "\x08\x01\x12\x08\x0a\x06\x0a\x04test", 12);
    expect(self->directory, NULL, GPUDL_ERROR_FORMAT, "tf2onnx.convert --saved-model");
    expect(write_bytes(self, "empty.onnx", "", 0), NULL, GPUDL_ERROR_FORMAT, "empty");
    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    expect(fifo, NULL, GPUDL_ERROR_OPEN_READ, "not a regular file");
    secret = write_net(self, "secret.onnx", &net);
    g_assert_cmpint(g_chmod(secret, 0), ==, 0);
    if (geteuid() != 0) /* root reads it all the same */
        expect(secret, NULL, GPUDL_ERROR_OPEN_READ, "Permission denied");
}

/* What a folder without a model has instead, and what to do about it. */
static void test_folders(Fixture *self, gconstpointer data)
{
#define EXPECTED ", expected a model's file, or a folder with model.onnx or onnx/model.onnx"
#define FETCH "fetch model.onnx as well, or write it with 'optimum-cli export onnx --model NAME OUT'"
#define WEIGHTS                                                                                                        \
    "These are weights without their graph: 'optimum-cli export onnx --model DIR OUT', with the folder, writes a "     \
    "network of them"
    static const gchar magic[] = GPUDL_FILE_MAGIC;
    /* one after the other, each beside those before it */
    static const struct {
        const gchar *name, *text, *says;
    } rows[] = {
        {"notes.txt", "x", ": is a folder without a model" EXPECTED ", but found notes.txt. Give the model's file"},
        {"config.json", "{}",
         ", but found config.json, notes.txt. config.json describes a network without its values: " FETCH},
        {"training_args.bin", "PK\3\4",
         ", but found config.json, notes.txt, training_args.bin. config.json describes a network without its values: "},
        {"model.safetensors.index.json", "{}",
         ", but found model.safetensors.index.json. The weights that it lists are not there: " FETCH},
        {"model-00001-of-00002.safetensors", "x", ", but found model-00001-of-00002.safetensors. " WEIGHTS},
        {"pytorch_model-00001-of-00002.bin", "PK\3\4",
         ", but found model-00001-of-00002.safetensors, pytorch_model-00001-of-00002.bin. " WEIGHTS},
        {"other.bin", magic, ", but found other.bin. Give the file itself"},
        {"quantised.onnx", "x", EXPECTED ", but found other.bin, quantised.onnx. Give the file itself"},
        {"onnx/a.onnx", "x", ", but found onnx/a.onnx, other.bin, quantised.onnx. Give the file itself"},
        {"a\nb.pb", "x", ", but found a b.pb, onnx/a.onnx, other.bin, quantised.onnx. Give the file itself"},
        {"c.pt", "x", ", but found a b.pb, c.pt, onnx/a.onnx, other.bin and 1 more. Give the file itself"},
        {"d.tflite", "x", ", but found a b.pb, c.pt, d.tflite, onnx/a.onnx and 2 more. Give the file itself"},
    };
    static const gchar *const lists[] = {"pytorch_model.bin.index.json", "model.fp16.safetensors.index.json"};
    g_autofree gchar *folder = g_build_filename(self->directory, "onnx", NULL);

    expect(self->directory, NULL, GPUDL_ERROR_OPEN_READ, ": is an empty folder" EXPECTED ". Give the model's file");
    for (guint i = 0; i < G_N_ELEMENTS(lists); i++) {
        const gchar *path = write_bytes(self, lists[i], "{}", 2);

        expect(self->directory, NULL, GPUDL_ERROR_OPEN_READ, "The weights that it lists are not there: " FETCH);
        g_assert_cmpint(g_unlink(path), ==, 0);
    }
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (g_str_has_prefix(rows[i].name, "onnx/"))
            g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
        write_bytes(self, rows[i].name, rows[i].text, strlen(rows[i].text));
        expect(self->directory, NULL, GPUDL_ERROR_OPEN_READ, rows[i].says);
    }
    for (guint i = 0; i < self->paths->len; i++)
        g_unlink(self->paths->pdata[i]);
    g_assert_cmpint(g_rmdir(folder), ==, 0);
#undef EXPECTED
#undef FETCH
#undef WEIGHTS
}

static void test_foreign(Fixture *self, gconstpointer data)
{
    static const struct {
        const gchar *data;
        gsize size;
        const gchar *says;
    } rows[] = {
        {"PK\3\4\x14\0\0\0\0\0\0\0", 12, "a ZIP archive (PyTorch's"},
        {"\x80\x02\x8a\nl\xfc\x9c\x46\xf9\x20\x6a\xa8", 12, "a Python pickle"},
        {"\x89HDF\r\n\x1a\n\0\0\0\0", 12, "an HDF5 file"},
        {"names: of\nclasses\n", 17, "a text file"},
        {"\x0a\x10"
         "abcdefghijklmnop\x5a\x02\x0a\x00",
         22, "a protobuf message that is no network of"},
        {"\x89PNG\r\n\x1a\n\0\0\0\0", 12, "a PNG picture"},
        {"\x10\0\0\0\0\0\0\0{\"a\":{}}", 16, "a safetensors file"},
        {"\xde\xad\xbe\xef\0\0\0\0", 8, "something unknown"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:", 54,
         "a git-lfs pointer, not the file itself. 'git lfs"},
        {"\n<!DOCTYPE HTML>\n<html>", 23, "an HTML page. Fetch"},
        {"<?xml version=\"1.0\"?>\n<net name=\"a\" version=\"11\">", 49, "an OpenVINO model. Take the .onnx"},
        {"7767517\n3 3\nInput x 0 1 x", 25, "an ncnn model"},
        {"\x1f\x8b\x08\0", 4, "gzip-compressed data. Unpack"},
        {"ptrt\0\0\0\0", 8, "a TensorRT engine"},
        /* as ONNX begins, but for a message where the producer's name would be */
        {"\x08\x01\x12\x04\x0a\x02\x08\x01", 8, "a TensorFlow SavedModel. python -m tf2onnx.convert --saved-model"},
        {"\x08\x05\x12\x04\x0a\x02\x08\x01", 8, "a Core ML model"},
        {"\xde", 1, "something unknown"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const gchar *path = write_bytes(self, "foreign.onnx", rows[i].data, rows[i].size);

        expect(path, NULL, GPUDL_ERROR_FORMAT, rows[i].says);
        expect(path, NULL, GPUDL_ERROR_FORMAT,
               "expected a net.bin or a file of ONNX, TensorFlow (Lite, or a frozen graph), PyTorch "
               "(torch.export's .pt2, TorchScript) or Caffe");
    }
}

/* The directory at the end of an archive with these members; their contents are not looked at. */
static GByteArray *write_zip(const gchar *const *members)
{
    GByteArray *zip = g_byte_array_new();
    guint8 entry[46] = {'P', 'K', 1, 2}, end[22] = {'P', 'K', 5, 6};

    g_byte_array_append(zip, (const guint8 *)"PK\3\4", 4);
    end[16] = 4;
    for (; *members != NULL; members++) {
        entry[28] = (guint8)strlen(*members);
        g_byte_array_append(zip, entry, sizeof entry);
        g_byte_array_append(zip, (const guint8 *)*members, (guint)strlen(*members));
    }
    g_byte_array_append(zip, end, sizeof end);
    return zip;
}

static void test_archives(Fixture *self, gconstpointer data)
{
    static const guint8 nothing[22] = {'P', 'K', 5, 6};
    static const struct {
        const gchar *members[4], *says;
    } rows[] = {
        {{"net/data.pkl", "net/data/0"}, "PyTorch weights without their graph (.pth). In Python, with the class"},
        {{"serialized_exported_program.json", "serialized_state_dict.pt"},
         "torch.export's .pt2 as PyTorch wrote it before"},
        {{"metadata.json", "config.json", "model.weights.h5"}, "a Keras model (.keras). In Python: "},
        {{"a.npy", "b.npy"}, "NumPy arrays (.npz)"},
        {{"Manifest.json", "Data/com.apple.CoreML/model.mlmodel"}, "a Core ML package"},
        {{"readme.txt", "dir/", "dir/net.onnx"},
         "a ZIP archive with 'dir/net.onnx' in it. Unpack it with unzip, and give that file"},
        {{"a\nb.tflite", "labels.txt"}, "a ZIP archive with 'a b.tflite' in it. Unpack it"},
        {{"Data/model.mlmodel", "net.onnx"}, "a ZIP archive with 'net.onnx' in it. Unpack it"},
        {{"a.npy", "net.pb"}, "a ZIP archive with 'net.pb' in it. Unpack it"},
        {{"dir/", "dir/readme.txt", "picture.png"},
         "a ZIP archive of 2 files, 'dir/readme.txt' first, and no model among them (PyTorch's .pt and .pth, Keras' "
         ".keras have other members). Take the model's file"},
        {{"readme.txt"}, "a ZIP archive of 1 file, 'readme.txt' alone, and no model among them"},
        {{"dir/"}, "an empty ZIP archive. Take the model's file"},
    };

    expect(write_bytes(self, "empty", nothing, sizeof nothing), NULL, GPUDL_ERROR_FORMAT, "an empty ZIP archive");
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GByteArray) zip = write_zip(rows[i].members);

        expect(write_bytes(self, "archive", zip->data, zip->len), NULL, GPUDL_ERROR_FORMAT, rows[i].says);
        /* cut anywhere it is told, too, and nothing behind its end is read */
        for (guint n = 4; n < zip->len; n += 7) {
            g_autofree guint8 *cut = g_memdup2(zip->data, n);
            g_autofree gchar *found = gpudl_import_recognise(cut, n);

            g_assert_nonnull(strstr(found, "that is cut off. Fetch it again"));
        }
    }
}

static void test_damaged(Fixture *self, gconstpointer data)
{
    g_autoptr(GByteArray) bytes = onnx_write(&net);

    expect(write_bytes(self, "cut.onnx", bytes->data, bytes->len - 10), NULL, GPUDL_ERROR_FORMAT, "byte ");
}

static void test_options(Fixture *self, gconstpointer data)
{
    const gchar *path = write_net(self, "net.onnx", &net);
    static const gchar *const labels[] = {"a", "b", "c", NULL}, *const few[] = {"a", NULL};
    GpudlPreproc preproc = {
        .mean = {1, 2, 3}, .std = {1, 0, 1}, .pixel_scale = 1, .channel_order = GPUDL_CHANNELS_BGR, .width = 99};
    GpudlImportOptions options = {.labels = labels,
                                  .preproc = &preproc,
                                  .preproc_set = GPUDL_SET_MEAN | GPUDL_SET_CHANNEL_ORDER | GPUDL_SET_PIXEL_SCALE,
                                  .activation = GPUDL_ACTIVATION_SIGMOID};
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = gpudl_model_load(path, &options, NULL, &error), plain = NULL;

    g_assert_no_error(error);
    g_assert_cmpstr(gpudl_model_get_label(model, 2), ==, "c");
    g_assert_cmpint(gpudl_model_get_activation(model), ==, GPUDL_ACTIVATION_SIGMOID);
    g_assert_true(model->preproc_known);
    g_assert_cmpfloat(model->preproc.mean[1], ==, 2);
    g_assert_cmpfloat(model->preproc.std[1], ==, 1); /* not among those set */
    g_assert_cmpint(model->preproc.channel_order, ==, GPUDL_CHANNELS_BGR);
    g_assert_cmpint(model->preproc.width, ==, 4);
    plain = gpudl_model_load(path, NULL, NULL, &error);
    g_assert_false(plain->preproc_known);
    g_assert_cmpint(gpudl_model_get_activation(plain), ==, GPUDL_ACTIVATION_SOFTMAX);
    options.labels = few;
    expect(path, &options, GPUDL_ERROR_FORMAT, "1 labels");
    options.labels = NULL;
    options.preproc_set |= GPUDL_SET_STD;
    expect(path, &options, GPUDL_ERROR_INVALID_ARGUMENT, "pre-processing: ");
}

static void test_size(Fixture *self, gconstpointer data)
{
    const gchar *path = write_net(self, "free.onnx", &net_free), *fixed = write_net(self, "net.onnx", &net);
    const GpudlImportOptions small = {.input_height = 8, .input_width = 8},
                             large = {.input_height = 16, .input_width = 8};
    const GpudlImportOptions own = {.input_height = 2, .input_width = 4};
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) a = gpudl_model_load(path, &small, NULL, &error),
                          b = gpudl_model_load(path, &large, NULL, &error);
    g_autoptr(GpudlModel) c = gpudl_model_load(fixed, &own, NULL, &error),
                          d = gpudl_model_load(fixed, NULL, NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpint(gpudl_model_get_preproc(b)->height, ==, 16);
    /* two sizes are two networks; a size that the file has anyway is not another one */
    g_assert_cmpstr(gpudl_model_get_id(a), !=, gpudl_model_get_id(b));
    g_assert_cmpstr(gpudl_model_get_id(c), ==, gpudl_model_get_id(d));
    expect(path, NULL, GPUDL_ERROR_FORMAT, "dimension 2 ('h') of input 'x' is free");
    expect(fixed, &small, GPUDL_ERROR_INVALID_ARGUMENT, "fixed height of 2, it can't be 8");
}

/* Channels last: the graph wants them first, and computes the same. */
static void test_channels_last(Fixture *self, gconstpointer data)
{
    const gchar *path = write_net(self, "last.onnx", &net_last);
    g_autoptr(GpudlGraph) graph = NULL;
    g_autoptr(GPtrArray) outputs = NULL;
    g_autoptr(GBytes) input = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree gchar *shape = NULL;
    float values[24], found[3];

    g_assert_true(gpudl_import_graph(path, NULL, &graph, NULL, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(graph->inputs->len, ==, 1);
    shape = gpudl_shape_to_string(&((GpudlTensor *)graph->inputs->pdata[0])->shape);
    g_assert_cmpstr(shape, ==, "1x3x2x4");
    g_assert_cmpstr(((GpudlTensor *)graph->inputs->pdata[0])->name, ==, "x");
    for (gint i = 0; i < 24; i++)
        values[i] = (float)(i / 8); /* plane c holds c */
    input = g_bytes_new(values, sizeof values);
    outputs = gpudl_ref_run(graph, &input, NULL, &error);
    g_assert_no_error(error);
    memcpy(found, g_bytes_get_data(outputs->pdata[0], NULL), sizeof found);
    for (gint c = 0; c < 3; c++)
        g_assert_cmpfloat(found[c], ==, c);
}

/* What a caller knows of the structs counts, and what it sets beyond them is refused. */
static void test_options_of_other_sizes(Fixture *self, gconstpointer data)
{
    const gchar *path = write_net(self, "net.onnx", &net);
    struct {
        GpudlImportOptions known;
        guint64 newer;
    } options = {.known = {.struct_size = sizeof options, .activation = GPUDL_ACTIVATION_SIGMOID}};
    GpudlPreproc preproc = {.struct_size = 8, .pixel_scale = 1};
    g_autoptr(GpudlModel) model = gpudl_model_load(path, &options.known, NULL, NULL);
    g_autoptr(GError) error = NULL;

    g_assert_nonnull(model);
    g_assert_cmpint(gpudl_model_get_activation(model), ==, GPUDL_ACTIVATION_SIGMOID);
    options.newer = 1;
    g_assert_null(gpudl_model_load(path, &options.known, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_assert_nonnull(strstr(error->message, "GpudlImportOptions has a field set at byte"));
    g_clear_error(&error);
    options.known.struct_size = 4;
    g_assert_null(gpudl_model_load(path, &options.known, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);
    options.known = (GpudlImportOptions){.preproc = &preproc, .preproc_set = GPUDL_SET_PIXEL_SCALE};
    g_assert_null(gpudl_model_load(path, &options.known, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_assert_nonnull(strstr(error->message, "GpudlPreproc.struct_size is 8"));
}

/* A file that changes is another model, though its digest was remembered. */
static void test_changed(Fixture *self, gconstpointer data)
{
    const gchar *path = write_net(self, "net.onnx", &net);
    g_autoptr(GpudlModel) first = gpudl_model_load(path, NULL, NULL, NULL),
                          again = gpudl_model_load(path, NULL, NULL, NULL);
    g_autoptr(GpudlModel) changed = NULL;

    write_net(self, "net.onnx", &net_last);
    changed = gpudl_model_load(path, NULL, NULL, NULL);
    g_assert_cmpstr(gpudl_model_get_id(first), ==, gpudl_model_get_id(again));
    g_assert_cmpstr(gpudl_model_get_id(first), !=, gpudl_model_get_id(changed));
}

int main(int argc, char **argv)
{
    static const struct {
        const gchar *name;
        void (*run)(Fixture *self, gconstpointer data);
    } tests[] = {{"load", test_load},
                 {"content", test_content},
                 {"unreadable", test_unreadable},
                 {"folders", test_folders},
                 {"foreign", test_foreign},
                 {"archives", test_archives},
                 {"damaged", test_damaged},
                 {"options", test_options},
                 {"options-of-other-sizes", test_options_of_other_sizes},
                 {"size", test_size},
                 {"channels-last", test_channels_last},
                 {"changed", test_changed}};

    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree gchar *path = g_strdup_printf("/import/%s", tests[i].name);

        g_test_add(path, Fixture, NULL, set_up, tests[i].run, tear_down);
    }
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What TensorFlow files say beside their operators: metadata, labels in the ZIP archive, sizes that are open. */
#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include "engine/model.h"
#include "models/gpudl-import.h"
#include "models/zip.h"
#include "tests/models/onnx-writer.h"

static const gchar *tflite, *graphdef; /* seeds of the hostile-input suite; tflite NULL: built without */
static const gchar *said;              /* tensorflow/said.tflite, whose height and width are free; NULL as well */
static const gchar *twice;             /* tensorflow/twice.tflite, the same with two entries of metadata; likewise */

static gboolean without_tflite(void)
{
    if (tflite == NULL)
        g_test_skip("built without FlatBuffers");
    return tflite == NULL;
}

static void test_metadata(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = NULL;

    if (without_tflite())
        return;
    model = gpudl_model_load(tflite, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(model->n_labels, ==, 3);
    g_assert_cmpstr(model->labels[2], ==, "plum");
    g_assert_true(model->preproc_known);
    g_assert_cmpfloat(model->preproc.mean[2], ==, 127.5f);
    g_assert_cmpfloat(model->preproc.std[0], ==, 127.5f);
    g_assert_cmpfloat(model->preproc.pixel_scale, ==, 1);
    g_assert_cmpstr(model->source_format, ==, "TensorFlow Lite 3");
    g_assert_cmpint(model->preproc.height, ==, 6);
    g_assert_true(model->graph->symbolic_batch);
}

static void test_options_win(void)
{
    static const gchar *const labels[] = {"a", "b", "c", NULL};
    const GpudlPreproc preproc = {.mean = {1, 2, 3}};
    const GpudlImportOptions options = {
        .struct_size = sizeof options, .labels = labels, .preproc = &preproc, .preproc_set = GPUDL_SET_MEAN};
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = NULL;

    if (without_tflite())
        return;
    model = gpudl_model_load(tflite, &options, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(model->labels[2], ==, "c");
    g_assert_cmpfloat(model->preproc.mean[2], ==, 3);
    g_assert_cmpfloat(model->preproc.std[2], ==, 127.5f);
}

static void test_fixed_size(void)
{
    const GpudlImportOptions options = {.struct_size = sizeof options, .input_height = 8, .input_width = 8};
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = gpudl_model_load(graphdef, &options, NULL, &error);

    g_assert_null(model);
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_assert_nonnull(strstr(error->message, "fixed height of 6, it can't be 8"));
}

/* The metadata's size where the graph leaves it free; options win. */
static void test_size_said(void)
{
    const GpudlImportOptions options = {.struct_size = sizeof options, .input_height = 4, .input_width = 5};
    g_autoptr(GpudlModel) model = NULL, given = NULL;
    g_autoptr(GError) error = NULL;

    if (without_tflite())
        return;
    model = gpudl_model_load(said, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(model->preproc.height, ==, 6);
    g_assert_cmpint(model->preproc.width, ==, 7);
    g_assert_cmpstr(model->known_from, ==, "NormalizationOptions, the file's metadata, the file's labels");
    given = gpudl_model_load(said, &options, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(given->preproc.height, ==, 4);
    g_assert_cmpint(given->preproc.width, ==, 5);
    g_assert_cmpstr(given->known_from, ==, "NormalizationOptions, the file's labels");
}

/* Of the size that the graph leaves free: .modelinfo before the metadata before config.json. */
static void test_size_beside(void)
{
    static const struct {
        const gchar *name, *text, *from;
        gint height, width;
    } rows[] = {
        {"config.json", "{\"image_size\": 9}", "NormalizationOptions, the file's metadata, the file's labels", 6, 7},
        {"net.modelinfo", "[x]\ndir=input\ndims=1,4,5,3\n", "net.modelinfo, NormalizationOptions, the file's labels", 4,
         5},
        {"net.modelinfo", "[x]\ndir=input\ndims=1,-1,-1,3\n",
         "NormalizationOptions, the file's metadata, the file's labels", 6, 7},
    };
    g_autofree gchar *folder = NULL, *path = NULL, *file = NULL;
    gsize size;

    if (without_tflite())
        return;
    folder = g_dir_make_tmp("gpudl-tensorflow-XXXXXX", NULL);
    path = g_build_filename(folder, "net.tflite", NULL);
    g_assert_true(g_file_get_contents(said, &file, &size, NULL));
    g_assert_true(g_file_set_contents(path, file, (gssize)size, NULL));
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree gchar *beside = g_build_filename(folder, rows[i].name, NULL);
        g_autoptr(GpudlModel) model = NULL;
        g_autoptr(GError) error = NULL;

        g_assert_true(g_file_set_contents(beside, rows[i].text, -1, NULL));
        model = gpudl_model_load(path, NULL, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpint(model->preproc.height, ==, rows[i].height);
        g_assert_cmpint(model->preproc.width, ==, rows[i].width);
        g_assert_cmpstr(model->known_from, ==, rows[i].from);
        g_assert_cmpint(g_unlink(beside), ==, 0);
    }
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(g_rmdir(folder), ==, 0);
}

/* A seed with one stretch of bytes replaced by another of the same length; the note that it leaves. */
static void check_changed(const gchar *seed, const guint8 *from, const guint8 *to, gsize n, gboolean known,
                          const gchar *note)
{
    g_autofree gchar *folder = g_dir_make_tmp("gpudl-tensorflow-XXXXXX", NULL), *file = NULL;
    g_autofree gchar *path = g_build_filename(folder, "net.tflite", NULL);
    g_autofree gchar *made = g_build_filename(folder, "net.bin", NULL);
    const GpudlImportOptions options = {.struct_size = sizeof options, .input_height = 4, .input_width = 5};
    g_autoptr(GpudlModel) model = NULL, again = NULL;
    g_autoptr(GError) error = NULL;
    guint found = 0;
    gsize size;

    g_assert_true(g_file_get_contents(seed, &file, &size, NULL));
    for (gsize i = 0; i + n <= size; i++)
        if (memcmp(file + i, from, n) == 0) {
            memcpy(file + i, to, n);
            found++;
        }
    g_assert_cmpuint(found, >, 0);
    g_assert_true(g_file_set_contents(path, file, (gssize)size, NULL));
    model = gpudl_model_load(path, &options, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(g_strv_length((gchar **)gpudl_model_get_notes(model)), ==, 1);
    g_assert_cmpstr(gpudl_model_get_notes(model)[0], ==, note);
    g_assert_cmpint(model->preproc_known, ==, known);
    g_assert_true(gpudl_model_save(model, made, &error));
    again = gpudl_model_load(made, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(gpudl_model_get_notes(again)[0], ==, note);
    g_assert_cmpint(g_unlink(made), ==, 0);
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(g_rmdir(folder), ==, 0);
}

/* A value of the metadata that can't be used leaves a note, and nothing else. */
static void test_unusable(void)
{
    static const float mean[] = {127.5f}, std[] = {63.75f}, zero[] = {0}, negative[] = {-1}, endless[] = {INFINITY};
    static const guint32 width[] = {7, 6}, wide[] = {70000, 6}; /* as ImageSize has them in the file */
    const gchar *const numbers = " in the file's metadata is ";
    const struct {
        gconstpointer from, to;
        gsize n;
        gboolean known;
        const gchar *key, *rest;
    } rows[] = {
        {std, zero, 4, FALSE, "NormalizationOptions' std", "[0], expected one or three numbers above 0: not used"},
        {std, negative, 4, FALSE, "NormalizationOptions' std", "[-1], expected one or three numbers above 0: not used"},
        {mean, endless, 4, FALSE, "NormalizationOptions' mean", "[inf], expected one or three numbers: not used"},
        {width, wide, 8, TRUE, "default_size", "6x70000, expected sides of 1 to 4096: not used"},
        {"M001", "M009", 4, FALSE, "TFLITE_METADATA", "damaged, expected what the metadata's schema has: not used"},
    };

    if (without_tflite())
        return;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree gchar *note = g_strconcat(rows[i].key, numbers, rows[i].rest, NULL);

        check_changed(said, rows[i].from, rows[i].to, rows[i].n, rows[i].known, note);
    }
    /* of the archive's directory */
    check_changed(
        said, (const guint8 *)"PK\1\2", (const guint8 *)"PK\1\3", 4, TRUE,
        "the labels' file in the file's metadata is 'labels.txt', expected a file of one label a line in the archive "
        "behind the model (ZIP archive: its directory is damaged): not used");
    /* of the metadata, where an end stands behind it; bytes of any kind, in a note that a net.bin keeps */
    check_changed(said, (const guint8 *)"labels.txt", (const guint8 *)"\xff\nbels.txt", sizeof "labels.txt", TRUE,
                  "the labels' file in the file's metadata is '\xef\xbf\xbd bels.txt', expected a file of one label a "
                  "line in the "
                  "archive behind the model (no '\xef\xbf\xbd bels.txt' in the ZIP archive): not used");
}

/* The first entry of the name counts, however it lies in the file, and a long name in it is shown in part. */
static void test_metadata_twice(void)
{
#define TEN "0123456789"
    static const gchar note[] = "the labels' file in the file's metadata is '" TEN TEN TEN TEN TEN TEN "0123...', "
                                "expected a file of one label a line in the archive behind the model (";
    g_autoptr(GpudlModel) model = NULL;
    g_autoptr(GError) error = NULL;

    if (without_tflite())
        return;
    model = gpudl_model_load(twice, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(model->preproc.height, ==, 6);
    g_assert_cmpint(model->preproc.width, ==, 7);
    g_assert_cmpfloat(model->preproc.std[2], ==, 63.75f);
    g_assert_cmpuint(g_strv_length((gchar **)gpudl_model_get_notes(model)), ==, 1);
    g_assert_true(g_str_has_prefix(gpudl_model_get_notes(model)[0], note));
    check_changed(
        twice, (const guint8 *)"M001", (const guint8 *)"M009", 4, FALSE,
        "TFLITE_METADATA in the file's metadata is damaged, expected what the metadata's schema has: not used");
#undef TEN
}

/* Takes the attributes. */
static void add_node(GByteArray *graph, const gchar *name, const gchar *op, const gchar *input, GByteArray *attributes)
{
    GByteArray *node = g_byte_array_new();

    pb_string(node, 1, name);
    pb_string(node, 2, op);
    if (input != NULL)
        pb_string(node, 3, input);
    if (attributes != NULL) {
        g_byte_array_append(node, attributes->data, attributes->len);
        g_byte_array_unref(attributes);
    }
    pb_message(graph, 1, node);
}

/* One entry of a node's attributes; the value is taken. */
static void add_attribute(GByteArray *attributes, const gchar *name, GByteArray *value)
{
    GByteArray *entry = g_byte_array_new();

    pb_string(entry, 1, name);
    pb_message(entry, 2, value);
    pb_message(attributes, 5, entry);
}

/* A frozen graph whose input has these dimensions, and which leaves its values as they are but for their signs. */
static gchar *write_graph(const gchar *folder, const gint64 *dims, guint rank)
{
    GByteArray *attributes = g_byte_array_new(), *type = g_byte_array_new(), *value = g_byte_array_new();
    GByteArray *shape = g_byte_array_new();
    g_autoptr(GByteArray) graph = g_byte_array_new();
    gchar *path = g_build_filename(folder, "net.pb", NULL);

    for (guint i = 0; i < rank; i++) {
        GByteArray *dim = g_byte_array_new();

        pb_int(dim, 1, dims[i]);
        pb_message(shape, 2, dim);
    }
    pb_int(type, 6, 1); /* DT_FLOAT */
    pb_message(value, 7, shape);
    add_attribute(attributes, "dtype", type);
    add_attribute(attributes, "shape", value);
    add_node(graph, "x", "Placeholder", NULL, attributes);
    add_node(graph, "y", "Neg", "x", NULL);
    g_assert_true(g_file_set_contents(path, (const gchar *)graph->data, graph->len, NULL));
    return path;
}

/* Each input is named where there is more than the picture. */
static void test_two_inputs(void)
{
    static const guint8 unknown[] = {0x3a, 0x02, 0x18, 0x01}; /* shape { unknown_rank: true } */
    static const gint64 dims[] = {-1, 784};
    g_autofree gchar *folder = g_dir_make_tmp("gpudl-tensorflow-XXXXXX", NULL), *text = NULL, *path = NULL;
    GByteArray *attributes = g_byte_array_new(), *value = g_byte_array_new(), *node = g_byte_array_new();
    g_autoptr(GByteArray) graph = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    gsize size;

    path = write_graph(folder, dims, 2);
    g_assert_true(g_file_get_contents(path, &text, &size, NULL));
    g_byte_array_append(graph, (const guint8 *)text, (guint)size);
    g_byte_array_append(value, unknown, sizeof unknown);
    add_attribute(attributes, "shape", value);
    add_node(graph, "keep_prob", "Placeholder", NULL, attributes);
    pb_string(node, 1, "z");
    pb_string(node, 2, "Mul");
    pb_string(node, 3, "y");
    pb_string(node, 3, "keep_prob");
    pb_message(graph, 1, node);
    g_assert_true(g_file_set_contents(path, (const gchar *)graph->data, graph->len, NULL));
    {
        const GpudlImportOptions options = {.struct_size = sizeof options, .input_height = 28, .input_width = 28};

        g_assert_null(gpudl_model_load(path, &options, NULL, &error));
    }
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED);
    g_assert_nonnull(strstr(error->message,
                            "one of 2 inputs, 'x' ?x784, 'keep_prob' of an unknown shape: expected one, a "
                            "picture N x H x W x C. Freeze the graph for inference"));
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(g_rmdir(folder), ==, 0);
}

/* What is wrong with the size of a picture that a graph does not say, and what says it to commands and element alike.
 */
static void test_sizes_open(void)
{
#define ADVICE "; give its height and width: --input-size HxW, gpudlinfer's input-size=HxW, e.g. "
#define SIDES "height x width, or three times as many, with sides of 1 to 4096"
    static const struct {
        gint64 dims[4];
        guint rank;
        gint height, width;
        const gchar *says; /* NULL: it is taken */
    } rows[] = {
        {{-1, 784},
         2,
         0,
         0,
         "has 784 values a frame and does not say which picture they are" ADVICE "28x28, whose product is 784"},
        {{-1, 30},
         2,
         0,
         0,
         "has 30 values a frame and does not say which picture they are" ADVICE
         "2x5, whose product is 30 or, in colour, 10"},
        {{-1, 784},
         2,
         30,
         30,
         "has 784 values a frame, and is no picture of 30x30 (height x width)" ADVICE "28x28, whose product is 784"},
        {{-1, -1},
         2,
         0,
         0,
         "has -1 values a frame, expected 1 to 50331648: a picture. Freeze the graph with the picture's shape"},
        {{-1, G_MAXINT64}, 2, 0, 0, "has 9223372036854775807 values a frame, expected 1 to 50331648"},
        {{-1, 7919}, 2, 0, 0, "has 7919 values a frame, expected those of a picture: " SIDES},
        {{-1, 7919}, 2, 28, 28, "has 7919 values a frame, expected those of a picture: " SIDES},
        {{-1, 3 * 8222}, 2, 0, 0, "has 24666 values a frame, expected those of a picture: " SIDES},
        {{-1, 3 * 4096},
         2,
         0,
         0,
         "has 12288 values a frame and does not say which picture they are" ADVICE
         "64x64, whose product is 12288 or, in colour, 4096"},
        {{-1, 5000}, 2, 1, 5000, "an input width of 5000, expected 1 to 4096"},
        {{-1, 784}, 2, 28, 28, NULL},
        {{-1, 30}, 2, 5, 2, NULL},
        {{-1, -1, 8, 3}, 4, 0, 0, "the height of input 'x' is free" ADVICE "224x224"},
        {{-1, 8, -1, 3}, 4, 0, 0, "the width of input 'x' is free" ADVICE "224x224"},
        {{-1, -1, -1, 3}, 4, 6, 5, NULL},
    };
    g_autofree gchar *folder = g_dir_make_tmp("gpudl-tensorflow-XXXXXX", NULL);

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const GpudlImportOptions options = {
            .struct_size = sizeof options, .input_height = rows[i].height, .input_width = rows[i].width};
        g_autofree gchar *path = write_graph(folder, rows[i].dims, rows[i].rank);
        g_autoptr(GError) error = NULL;
        g_autoptr(GpudlModel) model = gpudl_model_load(path, &options, NULL, &error);

        g_assert_cmpint(g_unlink(path), ==, 0);
        if (rows[i].says != NULL) {
            g_assert_null(model);
            g_assert_nonnull(error);
            g_test_message("%s", error->message);
            g_assert_nonnull(strstr(error->message, rows[i].says));
            continue;
        }
        g_assert_no_error(error);
        g_assert_cmpint(model->preproc.height, ==, rows[i].height);
        g_assert_cmpint(model->preproc.width, ==, rows[i].width);
    }
    g_assert_cmpint(g_rmdir(folder), ==, 0);
#undef SIDES
#undef ADVICE
}

/* A size that is said beside values that are no such picture is named with who says it. */
static void test_size_that_does_not_fit(void)
{
    static const gint64 dims[] = {-1, 784};
    const GpudlImportOptions options = {.struct_size = sizeof options, .input_height = 28, .input_width = 28};
    g_autofree gchar *folder = g_dir_make_tmp("gpudl-tensorflow-XXXXXX", NULL), *path = write_graph(folder, dims, 2);
    g_autofree gchar *beside = g_build_filename(folder, "config.json", NULL);
    g_autoptr(GpudlModel) given = NULL, said_28 = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(beside, "{\"image_size\": 224}", -1, NULL));
    g_assert_null(gpudl_model_load(path, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_nonnull(strstr(error->message,
                            "has 784 values a frame, and is no picture of 224x224 (height x width), the size in "
                            "config.json; give its height and width: --input-size HxW, gpudlinfer's input-size=HxW, "
                            "e.g. 28x28, whose product is 784"));
    g_clear_error(&error);
    given = gpudl_model_load(path, &options, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(given->preproc.height, ==, 28);
    g_assert_true(g_file_set_contents(beside, "{\"image_size\": 28}", -1, NULL));
    said_28 = gpudl_model_load(path, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(said_28->known_from, ==, "config.json");
    g_assert_cmpint(g_unlink(beside), ==, 0);
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(g_rmdir(folder), ==, 0);
}

static void test_zip(void)
{
    g_autofree gchar *file = NULL;
    g_autoptr(GBytes) labels = NULL;
    guint8 *data;
    gsize size;

    if (without_tflite())
        return;
    g_assert_true(g_file_get_contents(tflite, &file, &size, NULL));
    data = (guint8 *)file;
    labels = gpudl_zip_read(data, size, "labels.txt", 100, NULL);
    g_assert_nonnull(labels);
    g_assert_cmpmem(g_bytes_get_data(labels, NULL), g_bytes_get_size(labels), "apple\npear\nplum\n", 16);
    g_assert_null(gpudl_zip_read(data, size, "labels.txt", 15, NULL)); /* more than the caller takes */
    g_assert_null(gpudl_zip_read(data, size, "other.txt", 100, NULL));
    for (gsize n = 0; n < size; n++)
        g_assert_null(gpudl_zip_read(data, n, "labels.txt", 100, NULL));
    for (gsize bit = 8 * (size - 200); bit < 8 * size; bit++) { /* any answer but a wrong one */
        g_autoptr(GBytes) other = NULL;

        data[bit / 8] ^= (guint8)(1u << bit % 8);
        other = gpudl_zip_read(data, size, "labels.txt", 100, NULL);
        g_assert_true(other == NULL || g_bytes_equal(other, labels));
        data[bit / 8] ^= (guint8)(1u << bit % 8);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(argc, >=, 2);
    graphdef = argv[1];
    tflite = argc > 2 ? argv[2] : NULL;
    said = argc > 3 ? argv[3] : NULL;
    twice = argc > 4 ? argv[4] : NULL;
    g_test_add_func("/tensorflow/metadata-gives-labels-and-pixels", test_metadata);
    g_test_add_func("/tensorflow/options-come-before-metadata", test_options_win);
    g_test_add_func("/tensorflow/a-fixed-size-stays", test_fixed_size);
    g_test_add_func("/tensorflow/a-free-size-is-the-metadata's", test_size_said);
    g_test_add_func("/tensorflow/a-free-size-is-the-first-place's", test_size_beside);
    g_test_add_func("/tensorflow/a-size-that-is-open-is-asked-for", test_sizes_open);
    g_test_add_func("/tensorflow/a-size-that-does-not-fit-is-named", test_size_that_does_not_fit);
    g_test_add_func("/tensorflow/of-two-inputs-both-are-named", test_two_inputs);
    g_test_add_func("/tensorflow/what-can't-be-used-is-noted", test_unusable);
    g_test_add_func("/tensorflow/the-first-metadata-counts", test_metadata_twice);
    g_test_add_func("/tensorflow/zip-members-are-checked", test_zip);
    return g_test_run();
}

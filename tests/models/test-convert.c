/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Converting, saving, loading and describing, on a model whose answer is arithmetic: scores are the means of R, G and
 * B. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>

#include "engine/model.h"
#include "engine/modelfile/modelfile.h"
#include "models/compare.h"
#include "models/gpudl-import.h"
#include "models/import.h"
#include "tests/models/onnx-writer.h"

typedef struct {
    gchar *dir, *in, *out;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = NULL;
    GpudlGraph *graph = gpudl_graph_new();
    GpudlTensor *x = gpudl_graph_add_input(graph, "x", GPUDL_DTYPE_F32, &(GpudlShape){4, {1, 3, 6, 6}});
    GpudlNode *pool = gpudl_graph_add_node(graph, GPUDL_OP_GLOBAL_AVERAGE_POOL, "pool", &x, 1, NULL, 1);
    GpudlNode *flat = gpudl_graph_add_node(graph, GPUDL_OP_RESHAPE, "flat", pool->outputs, 1, NULL, 1);

    flat->attrs.shape = (GpudlShapeAttrs){.rank = 2, .dims = {0, -1}};
    gpudl_graph_add_output(graph, flat->outputs[0]);
    model = gpudl_model_new(graph, "means", NULL, &error);
    g_assert_no_error(error);
    f->dir = g_dir_make_tmp("gpudl-XXXXXX", NULL);
    f->in = g_build_filename(f->dir, "in.bin", NULL);
    f->out = g_build_filename(f->dir, "out.bin", NULL);
    g_assert_true(gpudl_model_save(model, f->in, &error));
    g_assert_no_error(error);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_unlink(f->in);
    g_unlink(f->out);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0); /* no half-written file is left */
    g_free(f->in);
    g_free(f->out);
    g_free(f->dir);
}

static GpudlFrame red_frame(void)
{
    static guint8 pixels[6 * 18];

    for (guint i = 0; i < sizeof pixels; i++)
        pixels[i] = i % 3 == 0 ? 255 : i % 3 == 1 ? 51 : 0;
    return (GpudlFrame){.format = GPUDL_PIXEL_RGB,
                        .width = 6,
                        .height = 6,
                        .planes = {pixels},
                        .strides = {18},
                        .range = GPUDL_RANGE_FULL};
}

static void count_progress(double done, const gchar *what, gpointer data)
{
    double *last = data;

    g_assert_nonnull(what);
    g_assert_cmpfloat(done, >=, *last);
    g_assert_cmpfloat(done, <=, 1);
    *last = done;
}

static void test_convert_keeps_what_it_was_told(Fixture *f, gconstpointer data)
{
    static const gchar *const labels[] = {"red", "green", "blue", NULL};
    const float expect[] = {1.f, 0.2f, 0.f};
    GpudlPreproc pp = {.mean = {0, 0, 0}, .std = {1, 1, 1}, .resize_mode = GPUDL_RESIZE_LETTERBOX};
    GpudlImportOptions options = {.labels = labels,
                                  .preproc = &pp,
                                  .preproc_set = GPUDL_SET_MEAN | GPUDL_SET_RESIZE_MODE,
                                  .activation = GPUDL_ACTIVATION_NONE};
    GpudlFrame frame = red_frame();
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = NULL;
    GpudlParity parity = {.struct_size = sizeof parity};
    double done = 0;

    gpudl_model_convert(f->in, f->out, &options, "ref", &frame, "red.png", expect, 3, count_progress, &done, &parity,
                        NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpfloat(done, >, 0.5);
    g_assert_cmpuint(parity.n_inputs, ==, 9);
    g_assert_cmpfloat(parity.max_difference, <=, 1e-6);
    g_assert_cmpfloat(parity.rms_difference, <=, parity.max_difference);
    g_assert_cmpfloat(parity.range, >, 0.1);
    model = gpudl_model_load(f->out, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(gpudl_model_get_label(model, 2), ==, "blue");
    g_assert_cmpint(gpudl_model_get_preproc(model)->resize_mode, ==, GPUDL_RESIZE_LETTERBOX);
    g_assert_cmpint(gpudl_model_get_activation(model), ==, GPUDL_ACTIVATION_NONE);
    g_assert_cmpstr(model->golden->description, ==, "picture red.png");
    g_assert_cmpfloat_with_epsilon(((const float *)g_bytes_get_data(model->golden->output, NULL))[1], 0.2f, 1e-6f);
}

static void write_onnx(const gchar *path, const gchar *nodes)
{
    const OnnxText net = {13, "x:f32:Nx3x6x6", NULL, nodes, "y"};
    g_autoptr(GByteArray) bytes = onnx_write(&net);

    g_assert_true(g_file_set_contents(path, (const gchar *)bytes->data, (gssize)bytes->len, NULL));
}

static void replace_file(double done, const gchar *what, gpointer path)
{
    if (strcmp(what, "comparing with the reference") == 0)
        write_onnx(path, "GlobalMaxPool x -> p; Flatten p -> y");
}

/* The model is read again to be written: what is written is what was proved. */
static void test_a_file_that_changes_is_refused(Fixture *f, gconstpointer data)
{
    g_autofree gchar *path = g_build_filename(f->dir, "in.onnx", NULL);
    g_autoptr(GError) error = NULL;

    write_onnx(path, "GlobalAveragePool x -> p; Flatten p -> y");
    g_assert_true(gpudl_model_convert(path, f->out, NULL, "ref", NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, &error));
    g_assert_cmpint(g_unlink(f->out), ==, 0);
    g_assert_false(
        gpudl_model_convert(path, f->out, NULL, "ref", NULL, NULL, NULL, 0, replace_file, path, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_nonnull(strstr(error->message, "in.onnx: the file changed since it was loaded"));
    g_assert_false(g_file_test(f->out, G_FILE_TEST_EXISTS));
    g_unlink(path);
}

/* Callers of another version: one that knows less, one that knows more, one that has no version. */
static void test_parity_is_as_large_as_the_caller_says(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    struct {
        GpudlParity known;
        guint8 more[32];
    } larger;
    GpudlParity first = {.struct_size = 0}, short_one = {.struct_size = sizeof(guint32) + 1};

    memset(&larger, 0xaa, sizeof larger);
    larger.known.struct_size = sizeof larger.known + 16;
    gpudl_model_convert(f->in, f->out, NULL, "ref", NULL, NULL, NULL, 0, NULL, NULL, &larger.known, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(larger.known.n_inputs, ==, 8);
    g_assert_cmpstr(larger.known.backend, ==, "ref");
    g_assert_cmpuint(larger.known.struct_size, ==, sizeof larger.known + 16);
    for (guint i = 0; i < sizeof larger.more; i++)
        g_assert_cmphex(larger.more[i], ==, i < 16 ? 0 : 0xaa);

    gpudl_model_convert(f->in, f->out, NULL, "ref", NULL, NULL, NULL, 0, NULL, NULL, &first, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(first.backend, ==, "ref");
    g_assert_cmpuint(first.struct_size, ==, 0);

    g_assert_cmpint(g_unlink(f->out), ==, 0);
    g_assert_false(
        gpudl_model_convert(f->in, f->out, NULL, "ref", NULL, NULL, NULL, 0, NULL, NULL, &short_one, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_assert_nonnull(strstr(error->message, "GpudlParity.struct_size is 5, expected "));
    g_assert_false(g_file_test(f->out, G_FILE_TEST_EXISTS));
}

static void test_wrong_expectation_is_refused(Fixture *f, gconstpointer data)
{
    const float expect[] = {0.f, 0.2f, 1.f};
    GpudlFrame frame = red_frame();
    g_autoptr(GError) error = NULL;

    g_assert_false(
        gpudl_model_convert(f->in, f->out, NULL, "ref", &frame, "red.png", expect, 3, NULL, NULL, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED);
    g_test_message("%s", error->message);
    g_assert_false(g_file_test(f->out, G_FILE_TEST_EXISTS));
    g_clear_error(&error);
    g_assert_false(
        gpudl_model_convert(f->in, f->out, NULL, "ref", &frame, "red.png", expect, 2, NULL, NULL, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
}

static void test_the_model_is_not_written_over(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree gchar *before = NULL, *after = NULL;
    gsize size, size_after;

    g_assert_true(g_file_get_contents(f->in, &before, &size, NULL));
    g_assert_cmpint(link(f->in, f->out), ==, 0);
    for (guint i = 0; i < 2; i++) {
        g_assert_false(gpudl_model_convert(f->in, i == 0 ? f->in : f->out, NULL, "ref", NULL, NULL, NULL, 0, NULL, NULL,
                                           NULL, NULL, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
        g_clear_error(&error);
    }
    g_assert_true(g_file_get_contents(f->in, &after, &size_after, NULL));
    g_assert_cmpmem(after, size_after, before, size);
}

static void test_without_picture_a_random_sample_is_kept(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = NULL;

    gpudl_model_convert(f->in, f->out, NULL, "ref", NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    model = gpudl_model_load(f->out, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_nonnull(model->golden);
    g_assert_cmpuint(g_bytes_get_size(model->golden->input), ==, 3 * 36 * sizeof(float));
}

/* In float16 adding 1024 leaves one bit of the fraction, in float32 thirteen: the file's half floats are storage, and
 * the two sides of the comparison both compute in float32. */
static void test_half_floats_are_compared_as_float32(Fixture *f, gconstpointer data)
{
    const OnnxText text = {.opset = 17,
                           .inputs = "x:f16:1x3x4x4",
                           .constants = "large:f16:1=1024",
                           .nodes = "Add x large -> up; Sub up large -> back; GlobalAveragePool back -> pool; "
                                    "Flatten pool -> y",
                           .outputs = "y"};
    g_autoptr(GByteArray) bytes = onnx_write(&text);
    g_autoptr(GError) error = NULL;
    GpudlParity parity = {.struct_size = sizeof parity};

    g_assert_true(g_file_set_contents(f->in, (const gchar *)bytes->data, (gssize)bytes->len, &error));
    gpudl_model_convert(f->in, f->out, NULL, "ref", NULL, NULL, NULL, 0, NULL, NULL, &parity, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpfloat(parity.range, >, 0.1);
    g_assert_cmpfloat(parity.max_difference, <, 1e-5 * parity.range);
}

static void test_unwritable_place_is_told(Fixture *f, gconstpointer data)
{
    g_autofree gchar *path = g_build_filename(f->dir, "no", "where.bin", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_false(gpudl_model_convert(f->in, path, NULL, "ref", NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_WRITE);
    g_assert_true(g_str_has_prefix(error->message, path));
}

/* Nothing is left of what can't be read back, and what stood there stays. */
static void test_what_cant_be_read_is_not_written(Fixture *f, gconstpointer data)
{
    g_autoptr(GpudlModel) model = NULL, kept = NULL;
    g_autoptr(GError) error = NULL;

    model = gpudl_import_model(f->in, NULL, NULL, &error);
    g_assert_no_error(error);
    model->producer = g_strdup("\xff");
    g_assert_false(gpudl_model_save(model, f->out, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_WRITE);
    g_assert_true(g_str_has_prefix(error->message, f->out));
    g_assert_nonnull(strstr(error->message, "can't be read back: producer 0 is not UTF-8"));
    g_assert_false(g_file_test(f->out, G_FILE_TEST_EXISTS));
    g_clear_error(&error);
    g_assert_false(gpudl_model_save(model, f->in, &error));
    g_clear_error(&error);
    kept = gpudl_import_model(f->in, NULL, NULL, &error);
    g_assert_no_error(error);
}

static void test_describe_is_json(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = gpudl_model_load(f->in, NULL, NULL, &error);
    g_autofree gchar *text = gpudl_model_describe(model, TRUE);
    g_autoptr(JsonNode) root = json_from_string(text, &error);
    JsonObject *object, *about;

    g_assert_no_error(error);
    object = json_node_get_object(root);
    about = json_object_get_object_member(object, "model");
    g_assert_cmpstr(json_object_get_string_member(about, "name"), ==, "means");
    g_assert_cmpint(json_object_get_int_member(about, "parameters"), ==, 0);
    g_assert_cmpint(json_object_get_int_member(about, "work_bytes"), >=, 3 * 36 * 4);
    g_assert_cmpuint(json_array_get_length(json_object_get_array_member(object, "inputs")), ==, 1);
    g_assert_cmpuint(json_array_get_length(json_object_get_array_member(object, "layers")), ==, 2);
    g_assert_cmpint(json_object_get_int_member(json_object_get_object_member(object, "preprocessing"), "width"), ==, 6);
}

static void add(const gchar *name, void (*func)(Fixture *, gconstpointer))
{
    g_test_add(name, Fixture, NULL, set_up, func, tear_down);
}

/* No file of that size need be made: 8 up to 8 G, then as many as make 64 G together, at least 2. */
static void test_fewer_inputs_of_large_networks(Fixture *f, gconstpointer data)
{
    static const struct {
        guint64 macs;
        guint inputs;
    } cases[] = {{0, 8},           {8000000000, 8},  {8000000001, 7},   {16000000000, 4},
                 {20000000000, 3}, {34400000000, 2}, {374000000000, 2}, {G_MAXUINT64, 2}};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpuint(gpudl_compared_inputs(cases[i].macs), ==, cases[i].inputs);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/convert/keeps-what-it-was-told", test_convert_keeps_what_it_was_told);
    add("/convert/wrong-expectation-is-refused", test_wrong_expectation_is_refused);
    add("/convert/the-model-is-not-written-over", test_the_model_is_not_written_over);
    add("/convert/without-picture-a-random-sample-is-kept", test_without_picture_a_random_sample_is_kept);
    add("/convert/a-file-that-changes-is-refused", test_a_file_that_changes_is_refused);
    add("/convert/half-floats-are-compared-as-float32", test_half_floats_are_compared_as_float32);
    add("/convert/fewer-inputs-of-large-networks", test_fewer_inputs_of_large_networks);
    add("/convert/parity-is-as-large-as-the-caller-says", test_parity_is_as_large_as_the_caller_says);
    add("/convert/unwritable-place-is-told", test_unwritable_place_is_told);
    add("/convert/what-can't-be-read-is-not-written", test_what_cant_be_read_is_not_written);
    add("/describe/is-json", test_describe_is_json);
    return g_test_run();
}

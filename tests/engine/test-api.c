/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public calls that describe: names, models, labels, backends, checks; and what a session on "ref" says of itself.
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/limits.h"
#include "engine/model.h"
#include "engine/modelfile/modelfile.h"
#include "engine/session/session.h"

static void test_names_and_back(void)
{
    GpudlPrecision precision;
    GpudlActivation activation;

    for (guint i = 0; i <= GPUDL_PRECISION_FP8; i++) {
        g_assert_true(gpudl_precision_parse(gpudl_precision_name((GpudlPrecision)i), &precision));
        g_assert_cmpuint(precision, ==, i);
    }
    for (guint i = 0; i <= GPUDL_ACTIVATION_SIGMOID; i++) {
        g_assert_true(gpudl_activation_parse(gpudl_activation_name((GpudlActivation)i), &activation));
        g_assert_cmpuint(activation, ==, i);
    }
    g_assert_cmpstr(gpudl_precision_name(GPUDL_PRECISION_BF16), ==, "bf16");
    g_assert_false(gpudl_precision_parse("fp64", &precision));
    g_assert_false(gpudl_precision_parse(NULL, &precision));
    g_assert_false(gpudl_activation_parse("relu", &activation));
    g_assert_cmpuint(strlen(gpudl_version()), >=, 5);
}

/* x {1, 3, 2, 2} * 2 (and act), averaged: one head of three classes. */
static GpudlModel *make_model(GpudlActKind act, gboolean act_last)
{
    g_autoptr(GError) error = NULL;
    GpudlGraph *graph = gpudl_graph_new();
    GpudlTensor *x = gpudl_graph_add_input(graph, "x", GPUDL_DTYPE_F32, &(GpudlShape){4, {1, 3, 2, 2}});
    GpudlTensor *two = gpudl_graph_add_constant_f32(graph, "two", (float[]){2}, NULL, 0);
    GpudlNode *pool = gpudl_graph_add_node(graph, GPUDL_OP_GLOBAL_AVERAGE_POOL, "pool", &x, 1, NULL, 1);
    GpudlNode *scale = gpudl_graph_add_node(graph, GPUDL_OP_MUL, "scale",
                                            (GpudlTensor *[]){act_last ? pool->outputs[0] : x, two}, 2, NULL, 1);
    GpudlNode *flat;
    GpudlModel *model;

    scale->attrs.binary.act.kind = act;
    if (!act_last)
        pool->inputs[0] = scale->outputs[0];
    flat = gpudl_graph_add_node(graph, GPUDL_OP_RESHAPE, "flat", act_last ? scale->outputs : pool->outputs, 1,
                                (const gchar *[]){"scores"}, 1);
    flat->attrs.shape = (GpudlShapeAttrs){.rank = 2, .dims = {0, -1}};
    gpudl_graph_add_output(graph, flat->outputs[0]);
    g_assert_true(gpudl_graph_sort(graph, &error));
    graph->symbolic_batch = TRUE;
    model = gpudl_model_new(graph, "test", NULL, &error);
    g_assert_no_error(error);
    return model;
}

static void test_model_tells_about_itself(void)
{
    g_autoptr(GpudlModel) model = make_model(GPUDL_ACT_RELU, TRUE);
    const gchar *const labels[] = {"a", "b", "c", NULL};
    const gchar *reason = "not set";
    g_autoptr(GError) error = NULL;

    g_assert_cmpstr(gpudl_model_get_name(model), ==, "test");
    g_assert_cmpstr(gpudl_model_get_id(model), ==, "");
    g_assert_cmpuint(gpudl_model_get_n_heads(model), ==, 1);
    g_assert_cmpstr(gpudl_model_get_head_name(model, 0), ==, "scores");
    g_assert_cmpuint(gpudl_model_get_n_classes(model, 0), ==, 3);
    g_assert_cmpuint(gpudl_model_get_macs(model), ==, 0);
    g_assert_cmpuint(gpudl_model_get_parameters(model), ==, 1);
    g_assert_true(gpudl_model_get_symbolic_batch(model, &reason));
    g_assert_null(reason);
    g_assert_cmpint(gpudl_model_get_preproc(model)->channel_order, ==, GPUDL_CHANNELS_RGB);
    g_assert_null(gpudl_model_get_label(model, 1));
    g_assert_true(gpudl_model_set_labels(model, labels, &error));
    g_assert_cmpstr(gpudl_model_get_label(model, 1), ==, "b");
    g_assert_null(gpudl_model_get_label(model, 3));
    g_assert_false(gpudl_model_set_labels(model, labels + 1, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_cmpstr(gpudl_model_get_label(model, 1), ==, "b"); /* a refusal changes nothing */
}

/* An activation that a pass has put into the last product is one that the net ends in. */
static void test_what_auto_activation_means(void)
{
    g_autoptr(GpudlModel) plain = make_model(GPUDL_ACT_RELU, TRUE);
    g_autoptr(GpudlModel) ends_in_sigmoid = make_model(GPUDL_ACT_SIGMOID, TRUE);
    g_autoptr(GpudlModel) sigmoid_before = make_model(GPUDL_ACT_SIGMOID, FALSE);

    g_assert_cmpint(gpudl_model_get_activation(plain), ==, GPUDL_ACTIVATION_SOFTMAX);
    g_assert_cmpint(gpudl_model_get_activation(ends_in_sigmoid), ==, GPUDL_ACTIVATION_NONE);
    g_assert_cmpint(gpudl_model_get_activation(sigmoid_before), ==, GPUDL_ACTIVATION_SOFTMAX);
}

static void test_session_tells_about_itself(void)
{
    g_autoptr(GpudlModel) model = make_model(GPUDL_ACT_NONE, TRUE);
    g_autoptr(GError) error = NULL;
    GpudlSessionConfig config = {.backend = "ref"};
    g_autoptr(GpudlSession) session = gpudl_session_acquire(model, &config, NULL, &error);
    guint64 weights, workspace;

    g_assert_no_error(error);
    g_assert_true(gpudl_session_get_model(session) == model);
    g_assert_cmpint(gpudl_session_get_precision(session), ==, GPUDL_PRECISION_FP32);
    g_assert_cmpuint(gpudl_session_get_parallelism(session), ==, 1);
    g_assert_cmpuint(gpudl_session_get_max_batch(session), ==, 1);
    g_assert_cmpuint(gpudl_session_get_run_time(session), >, 0);
    g_assert_cmpuint(gpudl_session_get_memory(session, &weights, &workspace), ==, weights + workspace);
    g_assert_cmpuint(weights, ==, sizeof(float));
    g_assert_cmpuint(workspace, >=, 12 * sizeof(float));
    g_assert_true(gpudl_session_accepts_memory(session, GPUDL_MEMORY_HOST));
    g_assert_false(gpudl_session_accepts_memory(session, GPUDL_MEMORY_CUDA));
    g_assert_false(gpudl_session_accepts_memory(session, (GpudlMemoryKind)77));
}

static void test_backends_are_listed(void)
{
    g_auto(GStrv) reasons = NULL, names = gpudl_backends_list(&reasons), alone = gpudl_backends_list(NULL);

    g_assert_cmpuint(g_strv_length(names), ==, g_strv_length(reasons));
    g_assert_cmpuint(g_strv_length(names), ==, g_strv_length(alone));
    g_assert_true(g_strv_contains((const gchar *const *)names, "ref"));
    for (guint i = 0; names[i]; i++)
        if (strcmp(names[i], "ref") == 0)
            g_assert_cmpstr(reasons[i], ==, "");
}

static gchar *label_path; /* in a folder of its own */

static gchar **read_labels(const gchar *text, gssize size, guint *n, GError **error)
{
    g_assert_true(g_file_set_contents(label_path, text, size, NULL));
    return gpudl_labels_read(label_path, n, error);
}

static void test_labels_are_read(void)
{
    g_auto(GStrv) labels = NULL;
    guint n;

    labels = read_labels("\xef\xbb\xbfn01440764 tench, Tinca\r\n\r\nnight \nn123 x\nn01440764\n \n\n", -1, &n, NULL);
    g_assert_nonnull(labels);
    g_assert_cmpuint(n, ==, 5);
    g_assert_cmpuint(g_strv_length(labels), ==, 5);
    g_assert_cmpstr(labels[0], ==, "tench, Tinca");
    g_assert_cmpstr(labels[1], ==, "");
    g_assert_cmpstr(labels[2], ==, "night");
    g_assert_cmpstr(labels[3], ==, "n123 x");
    g_assert_cmpstr(labels[4], ==, "n01440764");
}

static void test_blanks_round_labels_go(void)
{
    g_auto(GStrv) labels = NULL;
    guint n;

    labels = read_labels("  cat\n\tdog \r\n\xc2\xa0owl\xc2\xa0\xc2\xa0\r\r\n\xef\xbb\xbf big  fox\xe3\x80\x80\n"
                         " \xc2\xa0\n n01440764\xc2\xa0x\n  n01440764  bee \n\xc2\xa0\n\xef\xbb\xbf\r\n",
                         -1, &n, NULL);
    g_assert_nonnull(labels);
    g_assert_cmpuint(n, ==, 7);
    g_assert_cmpstr(labels[0], ==, "cat");
    g_assert_cmpstr(labels[1], ==, "dog");
    g_assert_cmpstr(labels[2], ==, "owl");
    g_assert_cmpstr(labels[3], ==, "big  fox"); /* those within stay */
    g_assert_cmpstr(labels[4], ==, "");
    g_assert_cmpstr(labels[5], ==, "n01440764\xc2\xa0x");
    g_assert_cmpstr(labels[6], ==, "bee");
}

/* Who writes into a pipe: in pieces, with pauses. */
typedef struct {
    const gchar *path, *text;
    guint pieces, pause_us;
} Writer;

static gpointer write_pieces(gpointer data)
{
    const Writer *writer = data;
    int fd = open(writer->path, O_WRONLY);

    for (guint i = 0; i < writer->pieces; i++) {
        if (write(fd, writer->text, strlen(writer->text)) < 0)
            break;
        g_usleep(writer->pause_us);
    }
    close(fd);
    return NULL;
}

static GBytes *read_pipe(const Writer *writer, gint patience_ms, GError **error)
{
    GThread *thread = g_thread_new("writer", write_pieces, (gpointer)writer);
    GBytes *bytes = gpudl_file_read_text(writer->path, 4000, patience_ms, error);

    g_thread_join(thread);
    return bytes;
}

static void test_labels_come_through_pipes(void)
{
    g_autofree gchar *path = g_strconcat(label_path, ".fifo", NULL);
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) labels = NULL;
    GThread *thread;
    guint n;

    signal(SIGPIPE, SIG_IGN);
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    thread = g_thread_new("writer", write_pieces, &(Writer){path, " cat\n", 3, 20000});
    labels = gpudl_labels_read(path, &n, &error);
    g_thread_join(thread);
    g_assert_no_error(error);
    g_assert_cmpuint(n, ==, 3);
    g_assert_cmpstr(labels[2], ==, "cat");
    bytes = read_pipe(&(Writer){path, "0123456789", 400, 0}, 10000, &error); /* as much as is taken */
    g_assert_no_error(error);
    g_assert_cmpuint(g_bytes_get_size(bytes), ==, 4000);
    g_assert_null(read_pipe(&(Writer){path, "0123456789", 401, 0}, 10000, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT);
    g_clear_error(&error);
    g_assert_null(read_pipe(&(Writer){path, "", 1, 0}, 10000, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_clear_error(&error);
    g_assert_null(gpudl_file_read_text(path, 4000, 20, &error)); /* nobody writes */
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ);
    g_assert_nonnull(strstr(error->message, "nothing came for 0.02 s"));
    unlink(path);
}

static void assert_labels_refused(const gchar *text, gssize size, GpudlError code)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(read_labels(text, size, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, (gint)code);
    g_assert_true(g_str_has_prefix(error->message, label_path));
}

static void test_bad_labels_are_refused(void)
{
    g_autofree gchar *many = g_strnfill(2 * (GPUDL_LIMIT_LABELS + 1), 'x');
    g_autofree gchar *most = g_strnfill(2 * GPUDL_LIMIT_LABELS, 'x');
    g_autofree gchar *wide = g_strnfill(GPUDL_LIMIT_NAME_BYTES + 1, 'x');
    g_autofree gchar *large = g_malloc0((16 << 20) + 1);
    g_autofree gchar *directory = g_path_get_dirname(label_path);
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) labels = NULL;
    guint n;

    for (guint i = 1; i < 2 * (GPUDL_LIMIT_LABELS + 1); i += 2)
        many[i] = '\n';
    for (guint i = 1; i < 2 * GPUDL_LIMIT_LABELS; i += 2)
        most[i] = '\n';
    labels = read_labels(most, -1, &n, NULL);
    g_assert_cmpuint(n, ==, GPUDL_LIMIT_LABELS);
    assert_labels_refused(many, -1, GPUDL_ERROR_LIMIT);
    assert_labels_refused(wide, -1, GPUDL_ERROR_LIMIT);
    assert_labels_refused(large, (16 << 20) + 1, GPUDL_ERROR_LIMIT);
    assert_labels_refused("", 0, GPUDL_ERROR_FORMAT);
    assert_labels_refused(" \n\r\n", -1, GPUDL_ERROR_FORMAT);
    assert_labels_refused("a\xff\n", -1, GPUDL_ERROR_FORMAT);
    assert_labels_refused("a\0b\n", 4, GPUDL_ERROR_FORMAT);
    g_assert_null(gpudl_labels_read("/nowhere/labels.txt", NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_null(gpudl_labels_read(directory, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ);
}

static void test_pre_processing_is_checked(void)
{
    const GpudlPreproc good = {.width = 8,
                               .height = 8,
                               .channels = 3,
                               .channel_order = GPUDL_CHANNELS_RGB,
                               .resize_mode = GPUDL_RESIZE_STRETCH,
                               .scale_method = GPUDL_SCALE_AREA,
                               .crop_fraction = 1,
                               .pixel_scale = 255,
                               .std = {1, 1, 1}};
    GpudlPreproc bad;
    const GpudlPreproc cases[] = {
        (bad = good, bad.width = 0, bad),
        (bad = good, bad.height = GPUDL_LIMIT_INPUT_SIDE + 1, bad),
        (bad = good, bad.channels = 2, bad),
        (bad = good, bad.channels = 1, bad),
        (bad = good, bad.channel_order = GPUDL_CHANNELS_GRAY, bad),
        (bad = good, bad.channel_order = GPUDL_CHANNELS_AUTO, bad),
        (bad = good, bad.resize_mode = GPUDL_RESIZE_AUTO, bad),
        (bad = good, bad.resize_mode = (GpudlResizeMode)9, bad),
        (bad = good, bad.scale_method = GPUDL_SCALE_AUTO, bad),
        (bad = good, bad.scale_method = (GpudlScaleMethod)-1, bad),
        (bad = good, bad.scale_method = (GpudlScaleMethod)(GPUDL_SCALE_LAST + 1), bad),
        (bad = good, bad.crop_fraction = 0, bad),
        (bad = good, bad.crop_fraction = NAN, bad),
        (bad = good, bad.crop_fraction = 1.5f, bad),
        (bad = good, bad.pad_color = 0x1000000, bad),
        (bad = good, bad.pixel_scale = 0, bad),
        (bad = good, bad.pixel_scale = INFINITY, bad),
        (bad = good, bad.mean[2] = NAN, bad),
        (bad = good, bad.std[1] = 0, bad),
        (bad = good, bad.std[0] = -INFINITY, bad),
    };

    g_assert_null(gpudl_preproc_check(&good));
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        if (!gpudl_preproc_check(&cases[i]))
            g_error("case %u is not refused", i);
}

/* A square input of 640x480, in whole pixels of it: 120 pixels of which nothing has to be rounded. */
static void test_region(void)
{
    static const struct {
        GpudlResizeMode mode;
        gfloat fraction;
        gint32 par_n, par_d, crop[4];
        gboolean good;
        gdouble region[4];
    } cases[] = {
        {GPUDL_RESIZE_STRETCH, 0.5f, 2, 1, {0}, TRUE, {0, 0, 640, 480}},
        {GPUDL_RESIZE_LETTERBOX, 0.5f, 2, 1, {0}, TRUE, {0, 0, 640, 480}},
        {GPUDL_RESIZE_LETTERBOX, 0.5f, 0, 0, {64, 48, 320, 96}, TRUE, {64, 48, 320, 96}},
        {GPUDL_RESIZE_CENTER_CROP, 1, 1, 1, {0}, TRUE, {80, 0, 480, 480}},
        {GPUDL_RESIZE_CENTER_CROP, 0.5f, 0, 0, {0}, TRUE, {200, 120, 240, 240}},
        {GPUDL_RESIZE_CENTER_CROP, 1, 1, 2, {0}, TRUE, {0, 80, 640, 320}},
        {GPUDL_RESIZE_CENTER_CROP, 1, 2, 1, {0}, TRUE, {200, 0, 240, 480}},
        {GPUDL_RESIZE_CENTER_CROP, 0.5f, 1, 1, {64, 48, 320, 96}, TRUE, {200, 72, 48, 48}},
        {GPUDL_RESIZE_SQUASH, 0.5f, 2, 1, {0}, TRUE, {160, 120, 320, 240}},
        {GPUDL_RESIZE_SQUASH, 0.5f, 1, 1, {64, 48, 320, 96}, TRUE, {144, 72, 160, 48}},
        {GPUDL_RESIZE_BORDER, 1, 1, 1, {0}, TRUE, {0, 0, 640, 480}},
        {GPUDL_RESIZE_BORDER, 0.5f, 1, 1, {0}, TRUE, {160, 80, 320, 320}},
        {GPUDL_RESIZE_BORDER, 0, 1, 1, {0}, FALSE, {0, 0, 640, 480}},
        {GPUDL_RESIZE_SQUASH, 0, 1, 1, {0}, FALSE, {0, 0, 640, 480}},
        {GPUDL_RESIZE_CENTER_CROP, 0, 1, 1, {0}, FALSE, {0, 0, 640, 480}},
        {GPUDL_RESIZE_CENTER_CROP, 1.5f, 1, 1, {0}, FALSE, {0, 0, 640, 480}},
        {GPUDL_RESIZE_STRETCH, 1, 1, 1, {0, 0, -1, 4}, FALSE, {0, 0, 640, 480}},
    };
    GpudlPreproc preproc = {.width = 120, .height = 120, .channels = 3};
    GpudlFrame frame = {.width = 640, .height = 480};
    gdouble region[4];

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        frame.par_n = cases[i].par_n;
        frame.par_d = cases[i].par_d;
        frame.crop_x = cases[i].crop[0];
        frame.crop_y = cases[i].crop[1];
        frame.crop_width = cases[i].crop[2];
        frame.crop_height = cases[i].crop[3];
        preproc.resize_mode = cases[i].mode;
        preproc.crop_fraction = cases[i].fraction;
        g_assert_cmpint(gpudl_preproc_get_region(&preproc, &frame, region), ==, cases[i].good);
        for (guint j = 0; j < 4; j++)
            g_assert_cmpfloat_with_epsilon(region[j] * (j % 2 == 0 ? 640 : 480), cases[i].region[j], 1e-3);
    }
    frame.width = 0;
    g_assert_false(gpudl_preproc_get_region(&preproc, &frame, region));
    frame.width = 640;
    frame.struct_size = 1;
    g_assert_false(gpudl_preproc_get_region(&preproc, &frame, region));
    frame.struct_size = 0;
    preproc.struct_size = 1;
    g_assert_false(gpudl_preproc_get_region(&preproc, &frame, region));
    g_assert_cmpfloat(region[2], ==, 1);
}

int main(int argc, char **argv)
{
    g_autofree gchar *folder = g_dir_make_tmp("gpudl-api-XXXXXX", NULL);
    int result;

    g_test_init(&argc, &argv, NULL);
    label_path = g_build_filename(folder, "labels.txt", NULL);
    g_test_add_func("/api/names-and-back", test_names_and_back);
    g_test_add_func("/api/model-tells-about-itself", test_model_tells_about_itself);
    g_test_add_func("/api/what-auto-activation-means", test_what_auto_activation_means);
    g_test_add_func("/api/session-tells-about-itself", test_session_tells_about_itself);
    g_test_add_func("/api/backends-are-listed", test_backends_are_listed);
    g_test_add_func("/api/labels-are-read", test_labels_are_read);
    g_test_add_func("/api/blanks-round-labels-go", test_blanks_round_labels_go);
    g_test_add_func("/api/labels-come-through-pipes", test_labels_come_through_pipes);
    g_test_add_func("/api/bad-labels-are-refused", test_bad_labels_are_refused);
    g_test_add_func("/api/pre-processing-is-checked", test_pre_processing_is_checked);
    g_test_add_func("/api/region-is-what-the-network-sees", test_region);
    result = g_test_run();
    g_unlink(label_path);
    g_rmdir(folder);
    g_free(label_path);
    return result;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that are loaded once: the live model is shared as long as its files are what they were, its constants go when
 * nobody holds them and come back, whoever cancels gets away at once. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include <glib/gstdio.h>

#include "engine/model.h"
#include "engine/modelfile/modelfile.h"
#include "engine/ref/ref.h"
#include "models/file-version.h"
#include "models/gpudl-import.h"
#include "tests/models/onnx-writer.h"

/* 4 MB of weights, filled by the file's bytes. */
static const OnnxText wide = {13, "x:f32:Nx3x8x8", "w:f32:1024x1024x1x1=0.5 v:f32:1024x3x1x1=0.25 b:f32:1024=0.125",
                              "Conv x v -> a; Conv a w b -> c; GlobalAveragePool c -> p; Flatten p -> y", "y"};
static const OnnxText small_a = {13, "x:f32:1x3x2x4", "b:f32:3=0.5",
                                 "GlobalAveragePool x -> p; Flatten p -> f; Add f b -> y", "y"};
static const OnnxText small_b = {13, "x:f32:1x3x2x4", "b:f32:3=1.5",
                                 "GlobalAveragePool x -> p; Flatten p -> f; Add f b -> y", "y"};
/* The transposes hide that they change nothing, so that the batch is proven by running, which takes long. */
#define SLOW(side)                                                                                                     \
    {                                                                                                                  \
        13, "x:f32:1x3x" side "x" side, "w:f32:64x3x7x7=0.01",                                                         \
            "Conv x w -> c {pads=3,3,3,3}; GlobalAveragePool c -> p; Transpose p -> t {perm=1,0,2,3}; "                \
            "Transpose t -> u {perm=1,0,2,3}; Flatten u -> y",                                                         \
            "y"                                                                                                        \
    }
static const OnnxText slow = SLOW("512"), brief = SLOW("64");

typedef struct {
    gchar *directory;
} Fixture;

static void set_up(Fixture *self, gconstpointer data)
{
    self->directory = g_dir_make_tmp("gpudl-load-XXXXXX", NULL);
}

static void tear_down(Fixture *self, gconstpointer data)
{
    g_autoptr(GDir) dir = g_dir_open(self->directory, 0, NULL);
    const gchar *name;

    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree gchar *path = g_build_filename(self->directory, name, NULL);

        g_unlink(path);
    }
    g_assert_cmpint(g_rmdir(self->directory), ==, 0);
    g_free(self->directory);
}

/* Written into the file that is there, if one is: the inode stays. */
static void overwrite(const gchar *path, gconstpointer data, gsize size)
{
    FILE *file = fopen(path, "r+b");

    if (file == NULL)
        file = fopen(path, "wb");
    g_assert_nonnull(file);
    g_assert_cmpuint(fwrite(data, 1, size, file), ==, size);
    g_assert_cmpint(fclose(file), ==, 0);
    g_assert_cmpint(truncate(path, (off_t)size), ==, 0);
}

static gchar *write_net(Fixture *self, const gchar *name, const OnnxText *text)
{
    g_autoptr(GByteArray) bytes = onnx_write(text);
    gchar *path = g_build_filename(self->directory, name, NULL);

    overwrite(path, bytes->data, bytes->len);
    return path;
}

static GpudlModel *load_with(const gchar *path, const GpudlImportOptions *options)
{
    g_autoptr(GError) error = NULL;
    GpudlModel *model = gpudl_model_load(path, options, NULL, &error);

    g_assert_no_error(error);
    return model;
}

static GpudlModel *load(const gchar *path)
{
    return load_with(path, NULL);
}

/* Bytes that this process has read so far. */
static guint64 bytes_read(void)
{
    g_autofree gchar *text = NULL;

    if (!g_file_get_contents("/proc/self/io", &text, NULL, NULL))
        return 0;
    return g_ascii_strtoull(strstr(text, "rchar:") + 6, NULL, 10);
}

static guint64 resident(void)
{
    g_autofree gchar *text = NULL;
    gchar *end;

    g_assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
    g_ascii_strtoull(text, &end, 10);
    return g_ascii_strtoull(end, NULL, 10) * (guint64)sysconf(_SC_PAGESIZE);
}

/* Longer than any file system's step of time. */
static void let_settle(void)
{
    g_usleep(3200 * 1000);
}

static float first_bias(GpudlModel *model)
{
    for (guint i = 0; i < model->graph->tensors->len; i++) {
        const GpudlTensor *tensor = model->graph->tensors->pdata[i];

        if (gpudl_tensor_is_constant(tensor) && gpudl_shape_elements(&tensor->shape) == 3)
            return ((const float *)g_bytes_get_data(tensor->data, NULL))[0];
    }
    g_assert_not_reached();
}

/* ---- sharing ----------------------------------------------------------------------------------------------------- */

static void test_shared(Fixture *self, gconstpointer data)
{
    static const gchar *const labels[] = {"a", "b", "c", NULL}, *const others[] = {"a", "b", "d", NULL};
    g_autofree gchar *path = write_net(self, "net.onnx", &small_a),
                     *bin = g_build_filename(self->directory, "n.bin", NULL);
    GpudlPreproc preproc = {.mean = {1, 2, 3}, .std = {4, 5, 6}}, second = {.mean = {1, 2, 4}, .std = {4, 5, 7}};
    const GpudlImportOptions options[] = {
        {0},
        {.labels = labels},
        {.labels = others},
        {.activation = GPUDL_ACTIVATION_NONE},
        {.preproc = &preproc, .preproc_set = GPUDL_SET_MEAN},
        {.preproc = &preproc, .preproc_set = GPUDL_SET_STD},
        {.preproc = &preproc, .preproc_set = GPUDL_SET_MEAN | GPUDL_SET_STD},
        {.preproc = &second, .preproc_set = GPUDL_SET_MEAN},
        {.preproc = &second, .preproc_set = GPUDL_SET_STD},
        {.input_height = 2},
    };
    g_autoptr(GpudlModel) first = load(path);

    g_assert_true(gpudl_model_save(first, bin, NULL));
    for (guint file = 0; file < 2; file++) {
        const gchar *which = file == 0 ? path : bin;
        GpudlModel *models[G_N_ELEMENTS(options)];

        for (guint i = 0; i < G_N_ELEMENTS(options); i++) {
            models[i] = load_with(which, &options[i]);
            for (guint k = 0; k < i; k++)
                g_assert_true(models[k] != models[i]);
        }
        for (guint i = 0; i < G_N_ELEMENTS(options); i++) {
            g_autoptr(GpudlModel) again = load_with(which, &options[i]);

            g_assert_true(again == models[i]);
            g_assert_cmpstr(again->content, ==, models[0]->content);
        }
        /* what is not set does not count */
        preproc.pixel_scale = 7;
        {
            g_autoptr(GpudlModel) again = load_with(which, &options[4]);

            g_assert_true(again == models[4]);
        }
        for (guint i = 0; i < G_N_ELEMENTS(options); i++)
            gpudl_model_unref(models[i]);
    }
}

/* Another name is part of the model, a copy under the same name is the same network. */
static void test_copies(Fixture *self, gconstpointer data)
{
    g_autofree gchar *path = write_net(self, "net.onnx", &small_a), *other = write_net(self, "other.onnx", &small_a);
    g_autofree gchar *below = g_build_filename(self->directory, "below", NULL),
                     *copy = g_build_filename(below, "net.onnx", NULL);
    g_autoptr(GByteArray) bytes = onnx_write(&small_a);
    g_autoptr(GpudlModel) a = load(path), b = load(other), c = NULL;

    g_assert_true(a != b);
    g_assert_cmpstr(gpudl_model_get_name(b), ==, "other");
    g_assert_cmpstr(a->content, ==, b->content);
    g_assert_cmpint(g_mkdir(below, 0700), ==, 0);
    overwrite(copy, bytes->data, bytes->len);
    c = load(copy);
    g_assert_true(a == c);
    g_unlink(copy);
    g_rmdir(below);
}

/* Nothing is read again, and nothing is kept for a model that has gone. */
static void test_not_read_again(Fixture *self, gconstpointer data)
{
    g_autofree gchar *path = write_net(self, "net.onnx", &wide);
    g_autoptr(GpudlModel) model = NULL;
    guint64 before, size;
    GStatBuf st;

    let_settle();
    g_assert_cmpint(g_stat(path, &st), ==, 0);
    size = (guint64)st.st_size;
    model = load(path);
    before = bytes_read();
    for (guint i = 0; i < 10; i++) {
        g_autoptr(GpudlModel) again = load(path);

        g_assert_true(again == model);
    }
    g_assert_cmpuint(bytes_read() - before, <, size);
    g_clear_pointer(&model, gpudl_model_unref);
    before = bytes_read();
    model = load(path);
    g_assert_cmpuint(bytes_read() - before, >=, before > 0 ? size : 0);
}

/* The same inode, size and time of modification: only the content and the time that nobody can set differ. */
static void test_overwritten(Fixture *self, gconstpointer data)
{
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

    for (guint round = 0; round < 2; round++) {
        g_autofree gchar *path = write_net(self, "net.onnx", &small_a), *again = NULL;
        g_autoptr(GpudlModel) first = NULL, second = NULL;

        g_assert_cmpint(utimensat(AT_FDCWD, path, times, 0), ==, 0);
        if (round > 0)
            let_settle(); /* else what is new looks like what is old even by that time */
        first = load(path);
        again = write_net(self, "net.onnx", &small_b);
        g_assert_cmpint(utimensat(AT_FDCWD, path, times, 0), ==, 0);
        second = load(path);
        g_assert_true(first != second);
        g_assert_cmpstr(first->content, !=, second->content);
        g_assert_cmpfloat(first_bias(first), ==, 0.5f);
        g_assert_cmpfloat(first_bias(second), ==, 1.5f);
    }
}

static void test_versions(void)
{
    const GpudlFileVersion one = {1, 2, 3, 4, 5, 6, 7};
    GpudlFileVersion other = one;

    g_assert_true(gpudl_file_version_equal(&one, &other));
    for (guint i = 0; i < sizeof one / sizeof(gint64); i++) {
        other = one;
        ((gint64 *)&other)[i] += 1;
        g_assert_false(gpudl_file_version_equal(&one, &other));
    }
    g_assert_false(gpudl_file_version_is_settled(&one, 6 * G_USEC_PER_SEC));
    g_assert_false(gpudl_file_version_is_settled(&one, 8 * G_USEC_PER_SEC));
    g_assert_true(gpudl_file_version_is_settled(&one, 9 * G_USEC_PER_SEC));
    g_assert_false(gpudl_file_version_is_settled(&one, 0)); /* a clock that was set back */
}

/* ---- external data ----------------------------------------------------------------------------------------------- */

/* A network of one constant, added to the input, that lies in bias.bin. */
static gchar *write_external(Fixture *self, const float *bias)
{
    GByteArray *graph = g_byte_array_new(), *tensor = g_byte_array_new(), *output = g_byte_array_new(), *entry, *model;
    g_autofree gchar *path = g_build_filename(self->directory, "bias.bin", NULL);
    gchar *net = g_build_filename(self->directory, "external.onnx", NULL);

    pb_message(graph, 1, onnx_write_node("GlobalAveragePool x -> p"));
    pb_message(graph, 1, onnx_write_node("Flatten p -> f"));
    pb_message(graph, 1, onnx_write_node("Add f b -> y"));
    pb_message(graph, 11, onnx_write_value_info("x:f32:1x3x2x4"));
    pb_int(tensor, 1, 3);
    pb_int(tensor, 2, 1);
    pb_string(tensor, 8, "b");
    pb_int(tensor, 14, 1);
    entry = g_byte_array_new();
    pb_string(entry, 1, "location");
    pb_string(entry, 2, "bias.bin");
    pb_message(tensor, 13, entry);
    pb_message(graph, 5, tensor);
    pb_string(output, 1, "y");
    pb_message(graph, 12, output);
    model = onnx_write_model(13, graph);
    overwrite(net, model->data, model->len);
    g_byte_array_unref(model);
    overwrite(path, bias, 3 * sizeof(float));
    return net;
}

static void test_external(Fixture *self, gconstpointer data)
{
    static const float one[] = {1, 2, 3}, two[] = {4, 5, 6};
    g_autofree gchar *path = write_external(self, one), *bias = g_build_filename(self->directory, "bias.bin", NULL);
    g_autofree gchar *id = NULL;
    g_autoptr(GpudlModel) first = NULL, again = NULL, second = NULL;

    let_settle();
    first = load(path);
    again = load(path);
    g_assert_true(first == again);
    id = g_strdup(gpudl_model_get_id(first));
    g_assert_cmpuint(strlen(id), ==, 64);
    overwrite(bias, two, sizeof two);
    second = load(path);
    g_assert_true(first != second);
    g_assert_cmpstr(first->content, !=, second->content);
    g_assert_cmpstr(gpudl_model_get_id(second), !=, id);
    g_assert_cmpstr(gpudl_model_get_id(first), ==, id); /* known already */
    g_assert_cmpfloat(first_bias(second), ==, 4);
}

static void test_external_id_of_changed_data(Fixture *self, gconstpointer data)
{
    static const float one[] = {1, 2, 3}, two[] = {4, 5, 6};
    g_autofree gchar *path = write_external(self, one), *bias = g_build_filename(self->directory, "bias.bin", NULL);
    g_autoptr(GpudlModel) model = load(path);

    overwrite(bias, two, sizeof two);
    g_assert_cmpstr(gpudl_model_get_id(model), ==, "");
    overwrite(bias, one, sizeof one);
    g_assert_cmpuint(strlen(gpudl_model_get_id(model)), ==, 64);
}

/* External data belongs to its folder: what happens to another one with the same content does not matter. */
static void test_external_elsewhere(Fixture *self, gconstpointer data)
{
    static const float one[] = {1, 2, 3}, two[] = {4, 5, 6};
    Fixture other = {g_build_filename(self->directory, "other", NULL)};
    g_autofree gchar *path = write_external(self, one), *bias = g_build_filename(self->directory, "bias.bin", NULL);
    g_autoptr(GpudlModel) first = load(path), second = NULL;
    g_autofree gchar *elsewhere = NULL;

    g_assert_cmpint(g_mkdir(other.directory, 0700), ==, 0);
    elsewhere = write_external(&other, one);
    second = load(elsewhere);
    g_assert_cmpstr(first->content, ==, second->content);
    overwrite(bias, two, sizeof two);
    g_assert_cmpuint(strlen(gpudl_model_get_id(second)), ==, 64);
    g_assert_cmpstr(gpudl_model_get_id(first), ==, "");
    tear_down(&other, NULL);
}

/* ---- constants --------------------------------------------------------------------------------------------------- */

static GPtrArray *copy_constants(const GpudlGraph *graph)
{
    GPtrArray *copies = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);

    for (guint i = 0; i < graph->tensors->len; i++) {
        const GpudlTensor *tensor = graph->tensors->pdata[i];

        if (gpudl_tensor_is_constant(tensor)) {
            gsize size;
            gconstpointer bytes = g_bytes_get_data(tensor->data, &size);

            g_ptr_array_add(copies, g_bytes_new(bytes, size));
        }
    }
    return copies;
}

static void assert_constants(const GpudlGraph *graph, const GPtrArray *copies)
{
    guint n = 0;

    for (guint i = 0; i < graph->tensors->len; i++) {
        const GpudlTensor *tensor = graph->tensors->pdata[i];

        if (gpudl_tensor_is_constant(tensor))
            g_assert_true(g_bytes_equal(tensor->data, copies->pdata[n++]));
    }
    g_assert_cmpuint(n, ==, copies->len);
}

/* All data of a plan's constants can be read, or none of those that are large is there. */
static void assert_plan(const GpudlPlan *plan, gboolean held)
{
    guint n_large = 0, n_small = 0;

    for (guint i = 0; i < plan->n_tensors; i++) {
        const GpudlPlanTensor *tensor = &plan->tensors[i];

        if (tensor->kind != GPUDL_PLAN_CONSTANT)
            continue;
        n_large += tensor->bytes > GPUDL_SMALL_CONSTANT;
        n_small += tensor->bytes <= GPUDL_SMALL_CONSTANT;
        g_assert_true((tensor->data != NULL) == (held || tensor->bytes <= GPUDL_SMALL_CONSTANT));
        g_assert_cmpuint((guintptr)tensor->data % 64, ==, 0);
        if (tensor->data != NULL)
            g_assert_cmpfloat(*(const float *)tensor->data, >, 0);
    }
    g_assert_cmpuint(n_large, >, 0);
    g_assert_cmpuint(n_small, >, 0);
}

static void test_hold(Fixture *self, gconstpointer data)
{
    g_autofree gchar *onnx = write_net(self, "net.onnx", &wide),
                     *bin = g_build_filename(self->directory, "n.bin", NULL);
    g_autoptr(GpudlModel) imported = load(onnx);

    g_assert_true(gpudl_model_save(imported, bin, NULL));
    for (guint file = 0; file < 2; file++) {
        g_autoptr(GpudlModel) model = load(file == 0 ? onnx : bin);
        g_autoptr(GPtrArray) copies = NULL;
        g_autoptr(GError) error = NULL;
        const GpudlPlan *early, *late;
        guint64 full;

        g_assert_true(gpudl_model_hold(model, &error));
        copies = copy_constants(model->graph);
        early = gpudl_planner_get(gpudl_model_get_planner(model), 1, &error);
        assert_plan(early, TRUE);
        g_assert_true(gpudl_model_hold(model, &error)); /* counted */
        gpudl_model_release(model);
        assert_plan(early, TRUE);
        assert_constants(model->graph, copies);
        full = resident();
        gpudl_model_release(model);
        g_assert_cmpuint(resident() + (3 << 20), <, full); /* 4 MB are gone */
        assert_plan(early, FALSE);
        late = gpudl_planner_get(gpudl_model_get_planner(model), 2, &error); /* shapes need no large constant */
        g_assert_no_error(error);
        assert_plan(late, FALSE);
        g_assert_cmpuint(gpudl_model_get_parameters(model), ==, 1024 * 1024 + 3 * 1024 + 1024);
        g_assert_cmpuint(strlen(gpudl_model_get_id(model)), ==, 64);
        g_assert_true(gpudl_model_hold(model, &error));
        g_assert_no_error(error);
        assert_constants(model->graph, copies);
        assert_plan(early, TRUE);
        assert_plan(late, TRUE);
        gpudl_model_release(model);
    }
}

/* 24 MB of weights that stay as they are in the file, and some that are made of others. */
static const OnnxText large = {
    13, "x:f32:Nx3x8x8", "u:f32:1024x3x1x1=0.25 s:f32:1024=2 o:f32:1024=1 w:f32:6144x1024x1x1=0.5 b:f32:6144=0.125",
    "Conv x u -> a; BatchNormalization a s o o s -> n; Conv n w b -> c; "
    "GlobalAveragePool c -> p; Flatten p -> y",
    "y"};

/* The same with its large values in another file. */
static gchar *write_apart(Fixture *self, const OnnxText *text)
{
    g_auto(GStrv) constants = g_strsplit(text->constants, " ", -1), nodes = g_strsplit(text->nodes, "; ", -1);
    gchar *path = g_build_filename(self->directory, "apart.onnx", NULL);
    g_autofree gchar *values = g_build_filename(self->directory, "apart.data", NULL);
    GByteArray *graph = g_byte_array_new(), *output = g_byte_array_new(), *all = g_byte_array_new(), *model;

    for (guint i = 0; nodes[i] != NULL; i++)
        pb_message(graph, 1, onnx_write_node(nodes[i]));
    for (guint i = 0; constants[i] != NULL; i++) {
        GByteArray *tensor = g_byte_array_new(), *entry;
        g_auto(GStrv) parts = g_strsplit_set(constants[i], ":=", -1);
        g_auto(GStrv) dims = g_strsplit(parts[2], "x", -1);
        const gchar *const keys[] = {"location", "offset", "length"};
        g_autofree gchar *offset = g_strdup_printf("%u", all->len), *length = NULL;
        gsize size = sizeof(float);

        for (guint k = 0; dims[k] != NULL; k++) {
            size *= g_ascii_strtoull(dims[k], NULL, 10);
            pb_int(tensor, 1, g_ascii_strtoll(dims[k], NULL, 10));
        }
        length = g_strdup_printf("%" G_GSIZE_FORMAT, size);
        for (gsize k = 0; k < size; k += sizeof(float)) {
            const float value = (float)g_ascii_strtod(parts[3], NULL);

            g_byte_array_append(all, (const guint8 *)&value, sizeof value);
        }
        pb_int(tensor, 2, 1);
        pb_string(tensor, 8, parts[0]);
        for (guint k = 0; k < 3; k++) {
            entry = g_byte_array_new();
            pb_string(entry, 1, keys[k]);
            pb_string(entry, 2, k == 0 ? "apart.data" : k == 1 ? offset : length);
            pb_message(tensor, 13, entry);
        }
        pb_int(tensor, 14, 1);
        pb_message(graph, 5, tensor);
    }
    pb_message(graph, 11, onnx_write_value_info(text->inputs));
    pb_string(output, 1, text->outputs);
    pb_message(graph, 12, output);
    model = onnx_write_model(text->opset, graph);
    overwrite(path, model->data, model->len);
    overwrite(values, all->data, all->len);
    g_byte_array_unref(model);
    g_byte_array_unref(all);
    return path;
}

/* Begins anew to watch for the most that is resident; 0: the system does not do it. */
static guint64 watch_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    const gboolean done = file != NULL && fputs("5", file) >= 0;

    return file != NULL && fclose(file) == 0 && done ? resident() : 0;
}

static guint64 peak(void)
{
    g_autofree gchar *text = NULL;

    g_assert_true(g_file_get_contents("/proc/self/status", &text, NULL, NULL));
    return g_ascii_strtoull(strstr(text, "VmHWM:") + 6, NULL, 10) * 1024;
}

/* Weights are in memory once while a file is read, and while it is read again. */
static void test_weights_once(Fixture *self, gconstpointer data)
{
    const guint64 weights = 6144 * 1024 * sizeof(float);

    for (guint file = 0; file < 2; file++) {
        g_autofree gchar *path = file == 0 ? write_net(self, "net.onnx", &large) : write_apart(self, &large);
        const guint64 before = watch_peak();
        g_autoptr(GpudlModel) model = load(path);
        g_autoptr(GPtrArray) copies = NULL;
        g_autoptr(GError) error = NULL;

        if (before == 0) {
            g_test_skip("this system does not say what is resident at most");
            return;
        }
        g_assert_cmpuint(peak(), <, before + weights * 3 / 2);
        g_assert_true(gpudl_model_hold(model, &error));
        copies = copy_constants(model->graph);
        gpudl_model_release(model);
        for (guint i = 0; i < 2; i++) {
            const guint64 released = watch_peak();

            g_assert_true(gpudl_model_hold(model, &error));
            g_assert_no_error(error);
            g_assert_cmpuint(peak(), <, released + weights * 3 / 2);
            assert_constants(model->graph, copies);
            gpudl_model_release(model);
        }
    }
}

/* Weights of which others are made go as soon as they are not read any more. */
static void test_replaced_weights_go(Fixture *self, gconstpointer data)
{
    static const OnnxText text = {
        13, "x:f32:Nx3x1x1", "u:f32:1024x3x1x1=0.25 w:f32:6144x1024x1x1=0.5 s:f32:6144=2 o:f32:6144=1",
        "Conv x u -> b; Conv b w -> a; BatchNormalization a s o o s -> n; Flatten n -> y", "y"};
    const guint64 weights = 6144 * 1024 * sizeof(float);
    g_autofree gchar *path = write_net(self, "net.onnx", &text);
    const guint64 before = watch_peak();
    g_autoptr(GpudlModel) model = load(path);

    if (before == 0) {
        g_test_skip("this system does not say what is resident at most");
        return;
    }
    g_assert_cmpuint(peak(), <, before + weights * 5 / 2);
}

/* One graph has its weights in memory at a time, and there they are once beside the file that is made. */
static void test_convert_weights_once(Fixture *self, gconstpointer data)
{
    static const OnnxText text = {13, "x:f32:Nx3x1x1", "u:f32:1024x3x1x1=0.25 w:f32:6144x1024x1x1=0.5",
                                  "Conv x u -> a; Conv a w -> c; Flatten c -> y", "y"};
    const guint64 weights = 6144 * 1024 * sizeof(float);
    g_autofree gchar *path = write_net(self, "net.onnx", &text),
                     *out = g_build_filename(self->directory, "net.bin", NULL);
    const guint64 before = watch_peak();
    g_autoptr(GError) error = NULL;

    if (before == 0) {
        g_test_skip("this system does not say what is resident at most");
        return;
    }
    g_assert_true(gpudl_model_convert(path, out, NULL, "ref", NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(peak(), <, before + weights * 5 / 2);
}

static struct {
    GMutex lock;
    GCond changed;
    gboolean begun, may_end;
} hashing;

static gboolean hash_until_told(GpudlModel *model, gchar id[65])
{
    g_mutex_lock(&hashing.lock);
    hashing.begun = TRUE;
    g_cond_broadcast(&hashing.changed);
    while (!hashing.may_end)
        g_cond_wait(&hashing.changed, &hashing.lock);
    g_mutex_unlock(&hashing.lock);
    memset(id, 'a', 64);
    id[64] = '\0';
    return TRUE;
}

static gpointer ask_for_id(gpointer model)
{
    return (gpointer)gpudl_model_get_id(model);
}

static gpointer hold_once(gpointer model)
{
    gboolean held = gpudl_model_hold(model, NULL);

    if (held)
        gpudl_model_release(model);
    g_mutex_lock(&hashing.lock);
    hashing.may_end = TRUE;
    g_cond_broadcast(&hashing.changed);
    g_mutex_unlock(&hashing.lock);
    return GINT_TO_POINTER(held);
}

/* Hashing a large file takes long: who wants the constants does not wait for it. */
static void test_hold_while_hashing(Fixture *self, gconstpointer data)
{
    g_autofree gchar *path = write_net(self, "net.onnx", &wide);
    g_autoptr(GpudlModel) model = load(path);
    const GpudlModelSource *own = model->source;
    GpudlModelSource slow = *own;
    gint64 end = g_get_monotonic_time() + 10 * G_TIME_SPAN_SECOND;
    GThread *asks, *holds;
    gboolean in_time = TRUE;

    slow.hash = hash_until_told;
    model->source = &slow;
    asks = g_thread_new("ask", ask_for_id, model);
    g_mutex_lock(&hashing.lock);
    while (!hashing.begun)
        g_cond_wait(&hashing.changed, &hashing.lock);
    holds = g_thread_new("hold", hold_once, model);
    while (!hashing.may_end && in_time)
        in_time = g_cond_wait_until(&hashing.changed, &hashing.lock, end);
    hashing.may_end = TRUE;
    g_cond_broadcast(&hashing.changed);
    g_mutex_unlock(&hashing.lock);
    g_assert_cmpuint(strlen(g_thread_join(asks)), ==, 64);
    g_assert_true(GPOINTER_TO_INT(g_thread_join(holds)));
    g_assert_true(in_time);
    model->source = own;
}

/* Hashing is no use of the constants: they stay for the first that uses them, and go with the last. */
static void test_hash_keeps(Fixture *self, gconstpointer data)
{
    g_autofree gchar *path = write_net(self, "net.onnx", &wide),
                     *bin = g_build_filename(self->directory, "n.bin", NULL);
    g_autoptr(GpudlModel) imported = load(path), model = NULL;

    g_assert_true(gpudl_model_save(imported, bin, NULL));
    model = load(bin);
    g_assert_cmpuint(strlen(gpudl_model_get_id(model)), ==, 64);
    g_assert_false(model->dropped);
    g_assert_true(gpudl_model_hold(model, NULL));
    g_assert_false(model->dropped);
    gpudl_model_release(model);
    g_assert_true(model->dropped);
}

/* Saving reads the constants, and lets them go. */
static void test_save_holds(Fixture *self, gconstpointer data)
{
    g_autofree gchar *path = write_net(self, "net.onnx", &wide),
                     *bin = g_build_filename(self->directory, "n.bin", NULL);
    g_autofree gchar *first = NULL, *second = NULL;
    g_autoptr(GpudlModel) model = load(path);
    gsize n, n_second;

    g_assert_true(gpudl_model_save(model, bin, NULL));
    g_assert_true(g_file_get_contents(bin, &first, &n, NULL));
    g_assert_true(model->dropped);
    g_assert_true(gpudl_model_save(model, bin, NULL));
    g_assert_true(g_file_get_contents(bin, &second, &n_second, NULL));
    g_assert_cmpmem(first, n, second, n_second);
}

static void test_changed_meanwhile(Fixture *self, gconstpointer data)
{
    const OnnxText changed = {13, wide.inputs, "w:f32:1024x1024x1x1=0.75 v:f32:1024x3x1x1=0.25 b:f32:1024=0.125",
                              wide.nodes, "y"};
    g_autofree gchar *path = write_net(self, "net.onnx", &wide), *again = NULL;
    g_autofree gchar *bin = g_build_filename(self->directory, "n.bin", NULL), *kept = NULL;
    g_autoptr(GpudlModel) onnx = load(path), net_bin = NULL;
    gsize n;

    g_assert_true(gpudl_model_save(onnx, bin, NULL));
    net_bin = load(bin);
    g_assert_true(gpudl_model_hold(net_bin, NULL));
    gpudl_model_release(net_bin);
    g_assert_true(g_file_get_contents(bin, &kept, &n, NULL));
    kept[n - 5] ^= 1;
    overwrite(bin, kept, n);
    again = write_net(self, "net.onnx", &changed);
    for (guint i = 0; i < 2; i++) {
        GpudlModel *model = i == 0 ? onnx : net_bin;
        g_autoptr(GError) error = NULL;

        g_assert_false(gpudl_model_hold(model, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
        g_assert_true(g_str_has_prefix(error->message, i == 0 ? path : bin));
        g_assert_nonnull(strstr(error->message, "the file changed since it was loaded: load it again"));
        g_assert_cmpstr(gpudl_model_get_id(model), ==, "");
    }
    kept[n - 5] ^= 1;
    overwrite(bin, kept, n);
    g_assert_true(gpudl_model_hold(net_bin, NULL)); /* it is what it was */
    gpudl_model_release(net_bin);
}

/* The same content at another place is the same model, and is there for it when the first place is gone. */
static void test_other_place(Fixture *self, gconstpointer data)
{
    g_autofree gchar *folder = g_build_filename(self->directory, "o", NULL);

    g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
    for (guint i = 0; i < 2; i++) {
        const gchar *name = i == 0 ? "net.onnx" : "n.bin";
        g_autofree gchar *first = g_build_filename(self->directory, name, NULL), *bytes = NULL;
        g_autofree gchar *second = g_build_filename(folder, name, NULL);
        g_autofree gchar *source = write_net(self, "net.onnx", &wide);
        g_autoptr(GpudlModel) imported = load(source), model = NULL, again = NULL;
        g_autoptr(GError) error = NULL;
        gsize n;

        if (i == 1)
            g_assert_true(gpudl_model_save(imported, first, NULL));
        g_assert_true(g_file_get_contents(first, &bytes, &n, NULL));
        overwrite(second, bytes, n);
        model = load(first);
        g_assert_true(gpudl_model_hold(model, NULL));
        gpudl_model_release(model);
        g_assert_true(model->dropped);
        overwrite(first, "something else", 14);
        again = load(second);
        g_assert_true(again == model);
        g_assert_true(gpudl_model_hold(again, &error));
        g_assert_no_error(error);
        gpudl_model_release(again);
        g_assert_cmpuint(strlen(gpudl_model_get_id(again)), ==, 64);
        /* and back */
        overwrite(first, bytes, n);
        g_unlink(second);
        g_assert_true(gpudl_model_hold(again, &error));
        gpudl_model_release(again);
        g_unlink(first);
        g_assert_false(gpudl_model_hold(again, &error));
        g_assert_true(g_str_has_prefix(error->message, second));
    }
    g_assert_cmpint(g_rmdir(folder), ==, 0);
}

typedef struct {
    GpudlModel *model;
    const GPtrArray *copies;
    gint *failures;
} Holder;

static gpointer hold_often(gpointer data)
{
    const Holder *holder = data;

    for (guint i = 0; i < 40; i++) {
        if (!gpudl_model_hold(holder->model, NULL)) {
            g_atomic_int_inc(holder->failures);
            continue;
        }
        assert_constants(holder->model->graph, holder->copies);
        gpudl_model_release(holder->model);
    }
    return NULL;
}

static void test_hold_from_threads(Fixture *self, gconstpointer data)
{
    g_autofree gchar *onnx = write_net(self, "net.onnx", &wide),
                     *bin = g_build_filename(self->directory, "n.bin", NULL);
    g_autoptr(GpudlModel) imported = load(onnx), model = NULL;
    g_autoptr(GPtrArray) copies = NULL;
    gint failures = 0;
    GThread *threads[4];
    Holder holder;

    g_assert_true(gpudl_model_save(imported, bin, NULL));
    model = load(bin);
    copies = copy_constants(model->graph);
    holder = (Holder){model, copies, &failures};
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("hold", hold_often, &holder);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_assert_cmpint(failures, ==, 0);
}

/* ---- together, cancelled ----------------------------------------------------------------------------------------- */

typedef struct {
    const gchar *path;
    GCancellable *cancellable;
    GError *error;
    GpudlModel *model;
} Loader;

static gpointer load_thread(gpointer data)
{
    Loader *loader = data;

    loader->model = gpudl_model_load(loader->path, NULL, loader->cancellable, &loader->error);
    return NULL;
}

static void test_together(Fixture *self, gconstpointer data)
{
    g_autofree gchar *path = write_net(self, "net.onnx", &brief);
    Loader loaders[8] = {{0}};
    GThread *threads[G_N_ELEMENTS(loaders)];

    for (guint i = 0; i < G_N_ELEMENTS(loaders); i++) {
        loaders[i].path = path;
        threads[i] = g_thread_new("load", load_thread, &loaders[i]);
    }
    for (guint i = 0; i < G_N_ELEMENTS(loaders); i++)
        g_thread_join(threads[i]);
    for (guint i = 0; i < G_N_ELEMENTS(loaders); i++) {
        g_assert_no_error(loaders[i].error);
        g_assert_true(loaders[i].model == loaders[0].model);
    }
    for (guint i = 0; i < G_N_ELEMENTS(loaders); i++)
        gpudl_model_unref(loaders[i].model);
}

/* Seconds of processor that this process has used. */
static gdouble processor(void)
{
    return (gdouble)clock() / CLOCKS_PER_SEC;
}

/* Several at once cost what one does. */
static void test_once(Fixture *self, gconstpointer data)
{
    g_autofree gchar *path = write_net(self, "net.onnx", &brief);
    gdouble begin = processor(), alone;
    GThread *threads[8];
    Loader loaders[8] = {{0}};

    let_settle();
    gpudl_model_unref(load(path));
    alone = processor() - begin;
    begin = processor();
    for (guint i = 0; i < 8; i++) {
        loaders[i].path = path;
        threads[i] = g_thread_new("load", load_thread, &loaders[i]);
    }
    for (guint i = 0; i < 8; i++)
        g_thread_join(threads[i]);
    g_test_message("one load %.3f s, eight %.3f s", alone, processor() - begin);
    g_assert_cmpfloat(processor() - begin, <, 3 * alone + 0.05);
    for (guint i = 0; i < 8; i++) {
        g_assert_no_error(loaders[i].error);
        gpudl_model_unref(loaders[i].model);
    }
}

static void test_cancelled(Fixture *self, gconstpointer data)
{
    g_autofree gchar *path = write_net(self, "net.onnx", &slow);
    Loader loader = {.path = path, .cancellable = g_cancellable_new()};
    GThread *thread = g_thread_new("load", load_thread, &loader);
    gint64 begin;

    g_usleep(300 * 1000);
    g_cancellable_cancel(loader.cancellable);
    begin = g_get_monotonic_time();
    g_thread_join(thread);
    g_assert_cmpint(g_get_monotonic_time() - begin, <, G_USEC_PER_SEC / 2); /* the convolution alone takes longer */
    g_assert_null(loader.model);
    g_assert_error(loader.error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
    g_assert_true(g_str_has_prefix(loader.error->message, path));
    g_clear_error(&loader.error);
    load_thread(&loader); /* cancelled before it began */
    g_assert_error(loader.error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
    g_clear_error(&loader.error);
    g_object_unref(loader.cancellable);
}

/* Who waits may be cancelled while the other goes on, and goes on when the other is cancelled. */
static void test_cancelled_waiting(Fixture *self, gconstpointer data)
{
    g_autofree gchar *path = write_net(self, "net.onnx", &brief);
    Loader loaders[3] = {{0}};
    GThread *threads[3];

    for (guint round = 0; round < 2; round++) {
        guint victim = round == 0 ? 0 : 1;

        for (guint i = 0; i < 3; i++) {
            loaders[i] = (Loader){.path = path, .cancellable = g_cancellable_new()};
            threads[i] = g_thread_new("load", load_thread, &loaders[i]);
            g_usleep(5 * 1000);
        }
        g_cancellable_cancel(loaders[victim].cancellable);
        for (guint i = 0; i < 3; i++)
            g_thread_join(threads[i]);
        for (guint i = 0; i < 3; i++) {
            if (i == victim && loaders[i].error != NULL) /* else it was done by then */
                g_assert_error(loaders[i].error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
            else
                g_assert_no_error(loaders[i].error);
            g_assert_true((loaders[i].model == NULL) == (loaders[i].error != NULL));
            gpudl_model_unref(loaders[i].model);
            g_clear_error(&loaders[i].error);
            g_object_unref(loaders[i].cancellable);
        }
    }
}

static void test_convert_cancelled(Fixture *self, gconstpointer data)
{
    g_autofree gchar *path = write_net(self, "net.onnx", &slow),
                     *out = g_build_filename(self->directory, "o.bin", NULL);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;

    g_cancellable_cancel(cancellable);
    g_assert_false(
        gpudl_model_convert(path, out, NULL, "ref", NULL, NULL, NULL, 0, NULL, NULL, NULL, cancellable, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
    g_assert_false(g_file_test(out, G_FILE_TEST_EXISTS));
}

static GCancellable *rename_cancels; /* atomic; what is cancelled in the middle of writing, once */

/* In the C library's place: the last that is done of a file that is replaced. Who returned at once would have done so
 * long before the file is there. */
int rename(const char *from, const char *to)
{
    GCancellable *cancellable = g_atomic_pointer_get(&rename_cancels);
    int (*real)(const char *, const char *);
    gpointer symbol = dlsym(RTLD_NEXT, "rename");

    if (cancellable != NULL && g_atomic_pointer_compare_and_exchange(&rename_cancels, cancellable, NULL)) {
        g_cancellable_cancel(cancellable);
        g_usleep(G_USEC_PER_SEC / 5);
    }
    memcpy(&real, &symbol, sizeof real);
    return real(from, to);
}

/* Who cancels while the file is being written gets it, and is told so. */
static void test_convert_cancelled_late(Fixture *self, gconstpointer data)
{
    g_autofree gchar *path = write_net(self, "net.onnx", &wide),
                     *out = g_build_filename(self->directory, "o.bin", NULL);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    gboolean done;

    g_atomic_pointer_set(&rename_cancels, cancellable);
    done = gpudl_model_convert(path, out, NULL, "ref", NULL, NULL, NULL, 0, NULL, NULL, NULL, cancellable, &error);
    g_assert_no_error(error);
    g_assert_true(done);
    g_assert_true(g_cancellable_is_cancelled(cancellable));
    g_assert_true(g_file_test(out, G_FILE_TEST_EXISTS));
}

/* The error of one load is that of all who wait for it, and nothing of it stays. */
static void test_failing(Fixture *self, gconstpointer data)
{
    g_autofree gchar *path = g_build_filename(self->directory, "net.onnx", NULL), *good = NULL;
    g_autoptr(GpudlModel) model = NULL;
    g_autoptr(GError) error = NULL;

    overwrite(path, "no model", 8);
    g_assert_null(gpudl_model_load(path, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    good = write_net(self, "net.onnx", &small_a);
    model = load(path);
    g_assert_nonnull(model);
}

/* A child does not wait for a thread of its parent, and does not have the parent's models. */
static void test_fork(Fixture *self, gconstpointer data)
{
    const OnnxText longer = SLOW("128");
    g_autofree gchar *path = write_net(self, "net.onnx", &longer), *other = write_net(self, "other.onnx", &small_a);
    g_autoptr(GpudlModel) live = load(other);
    Loader loader = {.path = path};
    GThread *thread = g_thread_new("load", load_thread, &loader);
    pid_t child;
    int status;

    g_usleep(30 * 1000);
    child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        GpudlModel *mine, *again;

        alarm(60);
        again = gpudl_model_load(other, NULL, NULL, NULL);
        mine = gpudl_model_load(path, NULL, NULL, NULL);
        _exit(mine == NULL || again == NULL || again == live);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    g_thread_join(thread);
    g_assert_no_error(loader.error);
    gpudl_model_unref(loader.model);
}

/* ---- identity ---------------------------------------------------------------------------------------------------- */

/* Gives a net.bin the id of another, its header sealed again. */
static void forge(const gchar *from, const gchar *path)
{
    g_autofree gchar *genuine = NULL, *data = NULL;
    guint64 check;
    gsize n;

    g_assert_true(g_file_get_contents(from, &genuine, &n, NULL));
    g_assert_true(g_file_get_contents(path, &data, &n, NULL));
    memcpy(data + GPUDL_FILE_AT_ID, genuine + GPUDL_FILE_AT_ID, 32);
    check = XXH3_64bits(data, GPUDL_FILE_AT_CHECK);
    memcpy(data + GPUDL_FILE_AT_CHECK, &check, sizeof check);
    g_assert_true(g_file_set_contents(path, data, (gssize)n, NULL));
}

static GpudlSession *acquire(GpudlModel *model)
{
    const GpudlSessionConfig config = {.backend = "ref", .cuda_device_id = -1, .activation = GPUDL_ACTIVATION_NONE};
    g_autoptr(GError) error = NULL;
    GpudlSession *session = gpudl_session_acquire(model, &config, NULL, &error);

    g_assert_no_error(error);
    return session;
}

/* A session answers for its model's classes, and no more. */
static void assert_answers(GpudlSession *session, GpudlModel *model)
{
    const guint n = gpudl_model_get_n_classes(model, 0);
    const GpudlPreproc *preproc = gpudl_model_get_preproc(model);
    g_autofree float *values = g_new0(float, preproc->channels * preproc->height * preproc->width);
    g_autofree GpudlClass *classes = g_new0(GpudlClass, n);
    g_autoptr(GpudlStream) stream = gpudl_stream_new(session, model);
    g_autoptr(GpudlRequest) request = gpudl_request_new(stream);

    g_assert_cmpuint(gpudl_model_get_n_classes(gpudl_session_get_model(session), 0), ==, n);
    g_assert_true(gpudl_request_submit_tensor(request, values, NULL));
    g_assert_true(gpudl_request_wait(request, NULL));
    g_assert_cmpuint(gpudl_request_top_k(request, 0, 0, -1, classes), ==, n);
}

/* Whoever computes the id keeps nobody from the constants. */
static void test_id_beside_session(Fixture *self, gconstpointer data)
{
    g_autofree gchar *path = write_net(self, "net.onnx", &small_a);
    g_autoptr(GpudlModel) model = load(path);
    g_autoptr(GpudlSession) session = NULL;

    g_mutex_lock(&model->id_lock);
    session = acquire(model);
    assert_answers(session, model);
    g_mutex_unlock(&model->id_lock);
    g_assert_cmpuint(strlen(gpudl_model_get_id(model)), ==, 64);
}

static void test_forged_id(Fixture *self, gconstpointer data)
{
    static const OnnxText many = {13, "x:f32:1x3x2x4", NULL, "Flatten x -> y", "y"};
    g_autofree gchar *a_path = g_build_filename(self->directory, "a.bin", NULL),
                     *b_path = g_build_filename(self->directory, "b.bin", NULL);
    g_autofree gchar *few_onnx = write_net(self, "few.onnx", &small_a),
                     *many_onnx = write_net(self, "many.onnx", &many);
    g_autoptr(GpudlModel) few_model = load(few_onnx), many_model = load(many_onnx), a = NULL, b = NULL, genuine = NULL;
    g_autoptr(GpudlSession) a_session = NULL, b_session = NULL;
    g_autofree gchar *true_id = NULL;

    g_assert_true(gpudl_model_save(many_model, a_path, NULL) && gpudl_model_save(few_model, b_path, NULL));
    genuine = load(b_path);
    true_id = g_strdup(gpudl_model_get_id(genuine));
    g_clear_pointer(&genuine, gpudl_model_unref);
    forge(a_path, b_path);
    a = load(a_path);
    b = load(b_path);
    a_session = acquire(a);
    b_session = acquire(b);
    g_assert_true(a_session != b_session);
    assert_answers(a_session, a);
    assert_answers(b_session, b);
    g_assert_cmpstr(gpudl_model_get_id(b), ==, true_id);
    g_assert_cmpstr(gpudl_model_get_false_id(b), ==, gpudl_model_get_id(a));
    g_assert_null(gpudl_model_get_false_id(a));
}

/* The same network from two files shares; whatever the content says, other classes or another input do not. */
static void test_sessions(Fixture *self, gconstpointer data)
{
    static const OnnxText nets[] = {
        {13, "x:f32:1x3x2x4", NULL, "Flatten x -> y", "y"},
        {13, "x:f32:1x3x4x2", NULL, "Flatten x -> y", "y"},
        {13, "x:f32:1x3x2x4", NULL, "GlobalAveragePool x -> p; Flatten p -> y", "y"},
        {13, "x:f32:1x3x2x4", NULL, "Flatten x -> y; Relu y -> z", "y z"},
        {13, "x:f32:1x3x2x4", NULL, "Flatten x -> y; GlobalAveragePool x -> p; Flatten p -> z", "y z"},
    };
    for (guint base = 0; base < G_N_ELEMENTS(nets); base++) {
        g_autofree gchar *path = write_net(self, "net.onnx", &nets[base]),
                         *other = write_net(self, "other.onnx", &nets[base]);
        g_autoptr(GpudlModel) model = load(path), same = load(other);
        g_autoptr(GpudlSession) session = acquire(model), shared = acquire(same);

        g_assert_true(session == shared);
        for (guint i = 0; i < G_N_ELEMENTS(nets); i++) {
            g_autofree gchar *odd_path = write_net(self, "odd.onnx", &nets[i]);
            g_autoptr(GpudlModel) odd = load(odd_path);
            g_autoptr(GpudlSession) odd_session = NULL, again = NULL;

            if (i == base)
                continue;
            g_strlcpy(odd->content, model->content, sizeof odd->content);
            odd_session = acquire(odd);
            g_assert_true(odd_session != session);
            assert_answers(odd_session, odd);
            again = acquire(model);
            g_assert_true(again == session); /* it is still the one that is found */
        }
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const gchar *name;
        void (*run)(Fixture *self, gconstpointer data);
    } tests[] = {{"shared", test_shared},
                 {"copies", test_copies},
                 {"not-read-again", test_not_read_again},
                 {"overwritten", test_overwritten},
                 {"external", test_external},
                 {"external-id-of-changed-data", test_external_id_of_changed_data},
                 {"hold", test_hold},
                 {"weights-once", test_weights_once},
                 {"replaced-weights-go", test_replaced_weights_go},
                 {"convert-weights-once", test_convert_weights_once},
                 {"save-holds", test_save_holds},
                 {"changed-meanwhile", test_changed_meanwhile},
                 {"hold-from-threads", test_hold_from_threads},
                 {"together", test_together},
                 {"once", test_once},
                 {"external-elsewhere", test_external_elsewhere},
                 {"other-place", test_other_place},
                 {"hold-while-hashing", test_hold_while_hashing},
                 {"hash-keeps", test_hash_keeps},
                 {"cancelled-waiting", test_cancelled_waiting},
                 {"failing", test_failing},
                 {"fork", test_fork},
                 {"forged-id", test_forged_id},
                 {"id-is-computed-beside-sessions", test_id_beside_session},
                 {"sessions", test_sessions},
                 /* last: what was cancelled goes on for a while, and takes its time from others */
                 {"convert-cancelled-late", test_convert_cancelled_late},
                 {"convert-cancelled", test_convert_cancelled},
                 {"cancelled", test_cancelled}};

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/load/versions", test_versions);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree gchar *path = g_strdup_printf("/load/%s", tests[i].name);

        g_test_add(path, Fixture, NULL, set_up, tests[i].run, tear_down);
    }
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A loaded file's constants: they are in memory once, go when nobody holds them, and come back from the file. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "engine/modelfile/modelfile.h"
#include "tests/models/load-files.h"

static guint64 resident(void)
{
    g_autofree gchar *text = NULL;
    gchar *end;

    g_assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
    g_ascii_strtoull(text, &end, 10);
    return g_ascii_strtoull(end, NULL, 10) * (guint64)sysconf(_SC_PAGESIZE);
}

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

static void test_hold(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *onnx = load_write_net(self, "net.onnx", &load_wide),
                     *bin = g_build_filename(self->directory, "n.bin", NULL);
    g_autoptr(GpudlModel) imported = load_file(onnx);

    g_assert_true(gpudl_model_save(imported, bin, NULL));
    for (guint file = 0; file < 2; file++) {
        g_autoptr(GpudlModel) model = load_file(file == 0 ? onnx : bin);
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
static gchar *write_apart(LoadFixture *self, const OnnxText *text)
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
    load_overwrite(path, model->data, model->len);
    load_overwrite(values, all->data, all->len);
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
static void test_weights_once(LoadFixture *self, gconstpointer data)
{
    const guint64 weights = 6144 * 1024 * sizeof(float);

    for (guint file = 0; file < 2; file++) {
        g_autofree gchar *path = file == 0 ? load_write_net(self, "net.onnx", &large) : write_apart(self, &large);
        const guint64 before = watch_peak();
        g_autoptr(GpudlModel) model = load_file(path);
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
static void test_replaced_weights_go(LoadFixture *self, gconstpointer data)
{
    static const OnnxText text = {
        13, "x:f32:Nx3x1x1", "u:f32:1024x3x1x1=0.25 w:f32:6144x1024x1x1=0.5 s:f32:6144=2 o:f32:6144=1",
        "Conv x u -> b; Conv b w -> a; BatchNormalization a s o o s -> n; Flatten n -> y", "y"};
    const guint64 weights = 6144 * 1024 * sizeof(float);
    g_autofree gchar *path = load_write_net(self, "net.onnx", &text);
    const guint64 before = watch_peak();
    g_autoptr(GpudlModel) model = load_file(path);

    if (before == 0) {
        g_test_skip("this system does not say what is resident at most");
        return;
    }
    g_assert_cmpuint(peak(), <, before + weights * 5 / 2);
}

/* One graph has its weights in memory at a time, and there they are once beside the file that is made. */
static void test_convert_weights_once(LoadFixture *self, gconstpointer data)
{
    static const OnnxText text = {13, "x:f32:Nx3x1x1", "u:f32:1024x3x1x1=0.25 w:f32:6144x1024x1x1=0.5",
                                  "Conv x u -> a; Conv a w -> c; Flatten c -> y", "y"};
    const guint64 weights = 6144 * 1024 * sizeof(float);
    g_autofree gchar *path = load_write_net(self, "net.onnx", &text),
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
static void test_hold_while_hashing(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *path = load_write_net(self, "net.onnx", &load_wide);
    g_autoptr(GpudlModel) model = load_file(path);
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
static void test_hash_keeps(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *path = load_write_net(self, "net.onnx", &load_wide),
                     *bin = g_build_filename(self->directory, "n.bin", NULL);
    g_autoptr(GpudlModel) imported = load_file(path), model = NULL;

    g_assert_true(gpudl_model_save(imported, bin, NULL));
    model = load_file(bin);
    g_assert_cmpuint(strlen(gpudl_model_get_id(model)), ==, 64);
    g_assert_false(model->dropped);
    g_assert_true(gpudl_model_hold(model, NULL));
    g_assert_false(model->dropped);
    gpudl_model_release(model);
    g_assert_true(model->dropped);
}

/* Saving reads the constants, and lets them go. */
static void test_save_holds(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *path = load_write_net(self, "net.onnx", &load_wide),
                     *bin = g_build_filename(self->directory, "n.bin", NULL);
    g_autofree gchar *first = NULL, *second = NULL;
    g_autoptr(GpudlModel) model = load_file(path);
    gsize n, n_second;

    g_assert_true(gpudl_model_save(model, bin, NULL));
    g_assert_true(g_file_get_contents(bin, &first, &n, NULL));
    g_assert_true(model->dropped);
    g_assert_true(gpudl_model_save(model, bin, NULL));
    g_assert_true(g_file_get_contents(bin, &second, &n_second, NULL));
    g_assert_cmpmem(first, n, second, n_second);
}

static void test_changed_meanwhile(LoadFixture *self, gconstpointer data)
{
    const OnnxText changed = {13, load_wide.inputs, "w:f32:1024x1024x1x1=0.75 v:f32:1024x3x1x1=0.25 b:f32:1024=0.125",
                              load_wide.nodes, "y"};
    g_autofree gchar *path = load_write_net(self, "net.onnx", &load_wide), *again = NULL;
    g_autofree gchar *bin = g_build_filename(self->directory, "n.bin", NULL), *kept = NULL;
    g_autoptr(GpudlModel) onnx = load_file(path), net_bin = NULL;
    gsize n;

    g_assert_true(gpudl_model_save(onnx, bin, NULL));
    net_bin = load_file(bin);
    g_assert_true(gpudl_model_hold(net_bin, NULL));
    gpudl_model_release(net_bin);
    g_assert_true(g_file_get_contents(bin, &kept, &n, NULL));
    kept[n - 5] ^= 1;
    load_overwrite(bin, kept, n);
    again = load_write_net(self, "net.onnx", &changed);
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
    load_overwrite(bin, kept, n);
    g_assert_true(gpudl_model_hold(net_bin, NULL)); /* it is what it was */
    gpudl_model_release(net_bin);
}

/* The same content at another place is the same model, and is there for it when the first place is gone. */
static void test_other_place(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *folder = g_build_filename(self->directory, "o", NULL);

    g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
    for (guint i = 0; i < 2; i++) {
        const gchar *name = i == 0 ? "net.onnx" : "n.bin";
        g_autofree gchar *first = g_build_filename(self->directory, name, NULL), *bytes = NULL;
        g_autofree gchar *second = g_build_filename(folder, name, NULL);
        g_autofree gchar *source = load_write_net(self, "net.onnx", &load_wide);
        g_autoptr(GpudlModel) imported = load_file(source), model = NULL, again = NULL;
        g_autoptr(GError) error = NULL;
        gsize n;

        if (i == 1)
            g_assert_true(gpudl_model_save(imported, first, NULL));
        g_assert_true(g_file_get_contents(first, &bytes, &n, NULL));
        load_overwrite(second, bytes, n);
        model = load_file(first);
        g_assert_true(gpudl_model_hold(model, NULL));
        gpudl_model_release(model);
        g_assert_true(model->dropped);
        load_overwrite(first, "something else", 14);
        again = load_file(second);
        g_assert_true(again == model);
        g_assert_true(gpudl_model_hold(again, &error));
        g_assert_no_error(error);
        gpudl_model_release(again);
        g_assert_cmpuint(strlen(gpudl_model_get_id(again)), ==, 64);
        /* and back */
        load_overwrite(first, bytes, n);
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

/* What one holder has used up is there again for the next one, whoever holds meanwhile. */
static void test_spend(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *onnx = load_write_net(self, "net.onnx", &load_wide);
    g_autoptr(GpudlModel) model = load_file(onnx);
    g_autoptr(GPtrArray) copies = NULL;
    g_autoptr(GError) error = NULL;
    guint64 full;

    g_assert_true(gpudl_model_hold(model, &error));
    copies = copy_constants(model->graph);
    full = resident();
    model->spend = TRUE;
    for (guint i = 0; i < model->graph->tensors->len; i++) {
        const GpudlTensor *tensor = model->graph->tensors->pdata[i];

        if (tensor->data != NULL)
            gpudl_model_spend(model, g_bytes_get_data(tensor->data, NULL), g_bytes_get_size(tensor->data));
    }
    g_assert_cmpuint(resident() + (3 << 20), <, full); /* of 4 MB */
    g_assert_true(gpudl_model_hold(model, &error));
    g_assert_no_error(error);
    assert_constants(model->graph, copies);
    gpudl_model_release(model);
    assert_constants(model->graph, copies);
    gpudl_model_release(model);
    g_assert_true(gpudl_model_hold(model, &error));
    assert_constants(model->graph, copies);
    gpudl_model_release(model);
}

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

static void test_hold_from_threads(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *onnx = load_write_net(self, "net.onnx", &load_wide),
                     *bin = g_build_filename(self->directory, "n.bin", NULL);
    g_autoptr(GpudlModel) imported = load_file(onnx), model = NULL;
    g_autoptr(GPtrArray) copies = NULL;
    gint failures = 0;
    GThread *threads[4];
    Holder holder;

    g_assert_true(gpudl_model_save(imported, bin, NULL));
    model = load_file(bin);
    copies = copy_constants(model->graph);
    holder = (Holder){model, copies, &failures};
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("hold", hold_often, &holder);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_assert_cmpint(failures, ==, 0);
}

int main(int argc, char **argv)
{
    static const LoadCase cases[] = {
        {"hold", test_hold},
        {"spend", test_spend},
        {"weights-once", test_weights_once},
        {"replaced-weights-go", test_replaced_weights_go},
        {"convert-weights-once", test_convert_weights_once},
        {"save-holds", test_save_holds},
        {"changed-meanwhile", test_changed_meanwhile},
        {"hold-from-threads", test_hold_from_threads},
        {"other-place", test_other_place},
        {"hold-while-hashing", test_hold_while_hashing},
        {"hash-keeps", test_hash_keeps},
    };

    g_test_init(&argc, &argv, NULL);
    return load_run(cases, G_N_ELEMENTS(cases));
}

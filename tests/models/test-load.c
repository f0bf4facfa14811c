/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that are loaded once: the live model is shared as long as its files, and those of external data, are what they
 * were, and has the id of their contents. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <glib/gstdio.h>

#include "engine/model.h"
#include "engine/modelfile/modelfile.h"
#include "models/file-version.h"
#include "tests/models/load-files.h"

static const OnnxText small_b = {13, "x:f32:1x3x2x4", "b:f32:3=1.5",
                                 "GlobalAveragePool x -> p; Flatten p -> f; Add f b -> y", "y"};
static GpudlModel *load_file_with(const gchar *path, const GpudlImportOptions *options)
{
    g_autoptr(GError) error = NULL;
    GpudlModel *model = gpudl_model_load(path, options, NULL, &error);

    g_assert_no_error(error);
    return model;
}

/* Bytes that this process has read so far. */
static guint64 bytes_read(void)
{
    g_autofree gchar *text = NULL;

    if (!g_file_get_contents("/proc/self/io", &text, NULL, NULL))
        return 0;
    return g_ascii_strtoull(strstr(text, "rchar:") + 6, NULL, 10);
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

static void test_shared(LoadFixture *self, gconstpointer data)
{
    static const gchar *const labels[] = {"a", "b", "c", NULL}, *const others[] = {"a", "b", "d", NULL};
    g_autofree gchar *path = load_write_net(self, "net.onnx", &load_small),
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
    g_autoptr(GpudlModel) first = load_file(path);

    g_assert_true(gpudl_model_save(first, bin, NULL));
    for (guint file = 0; file < 2; file++) {
        const gchar *which = file == 0 ? path : bin;
        GpudlModel *models[G_N_ELEMENTS(options)];

        for (guint i = 0; i < G_N_ELEMENTS(options); i++) {
            models[i] = load_file_with(which, &options[i]);
            for (guint k = 0; k < i; k++)
                g_assert_true(models[k] != models[i]);
        }
        for (guint i = 0; i < G_N_ELEMENTS(options); i++) {
            g_autoptr(GpudlModel) again = load_file_with(which, &options[i]);

            g_assert_true(again == models[i]);
            g_assert_cmpstr(again->content, ==, models[0]->content);
        }
        /* what is not set does not count */
        preproc.pixel_scale = 7;
        {
            g_autoptr(GpudlModel) again = load_file_with(which, &options[4]);

            g_assert_true(again == models[4]);
        }
        for (guint i = 0; i < G_N_ELEMENTS(options); i++)
            gpudl_model_unref(models[i]);
    }
}

/* Another name is part of the model, a copy under the same name is the same network. */
static void test_copies(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *path = load_write_net(self, "net.onnx", &load_small),
                     *other = load_write_net(self, "other.onnx", &load_small);
    g_autofree gchar *below = g_build_filename(self->directory, "below", NULL),
                     *copy = g_build_filename(below, "net.onnx", NULL);
    g_autoptr(GByteArray) bytes = onnx_write(&load_small);
    g_autoptr(GpudlModel) a = load_file(path), b = load_file(other), c = NULL;

    g_assert_true(a != b);
    g_assert_cmpstr(gpudl_model_get_name(b), ==, "other");
    g_assert_cmpstr(a->content, ==, b->content);
    g_assert_cmpint(g_mkdir(below, 0700), ==, 0);
    load_overwrite(copy, bytes->data, bytes->len);
    c = load_file(copy);
    g_assert_true(a == c);
    g_unlink(copy);
    g_rmdir(below);
}

/* Nothing is read again, and nothing is kept for a model that has gone. */
static void test_not_read_again(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *path = load_write_net(self, "net.onnx", &load_wide);
    g_autoptr(GpudlModel) model = NULL;
    guint64 before, size;
    GStatBuf st;

    load_let_settle();
    g_assert_cmpint(g_stat(path, &st), ==, 0);
    size = (guint64)st.st_size;
    model = load_file(path);
    before = bytes_read();
    for (guint i = 0; i < 10; i++) {
        g_autoptr(GpudlModel) again = load_file(path);

        g_assert_true(again == model);
    }
    g_assert_cmpuint(bytes_read() - before, <, size);
    g_clear_pointer(&model, gpudl_model_unref);
    before = bytes_read();
    model = load_file(path);
    g_assert_cmpuint(bytes_read() - before, >=, before > 0 ? size : 0);
}

/* The same inode, size and time of modification: only the content and the time that nobody can set differ. */
static void test_overwritten(LoadFixture *self, gconstpointer data)
{
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

    for (guint round = 0; round < 2; round++) {
        g_autofree gchar *path = load_write_net(self, "net.onnx", &load_small), *again = NULL;
        g_autoptr(GpudlModel) first = NULL, second = NULL;

        g_assert_cmpint(utimensat(AT_FDCWD, path, times, 0), ==, 0);
        if (round > 0)
            load_let_settle(); /* else what is new looks like what is old even by that time */
        first = load_file(path);
        again = load_write_net(self, "net.onnx", &small_b);
        g_assert_cmpint(utimensat(AT_FDCWD, path, times, 0), ==, 0);
        second = load_file(path);
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
static gchar *write_external(LoadFixture *self, const float *bias)
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
    load_overwrite(net, model->data, model->len);
    g_byte_array_unref(model);
    load_overwrite(path, bias, 3 * sizeof(float));
    return net;
}

static void test_external(LoadFixture *self, gconstpointer data)
{
    static const float one[] = {1, 2, 3}, two[] = {4, 5, 6};
    g_autofree gchar *path = write_external(self, one), *bias = g_build_filename(self->directory, "bias.bin", NULL);
    g_autofree gchar *id = NULL;
    g_autoptr(GpudlModel) first = NULL, again = NULL, second = NULL;

    load_let_settle();
    first = load_file(path);
    again = load_file(path);
    g_assert_true(first == again);
    id = g_strdup(gpudl_model_get_id(first));
    g_assert_cmpuint(strlen(id), ==, 64);
    load_overwrite(bias, two, sizeof two);
    second = load_file(path);
    g_assert_true(first != second);
    g_assert_cmpstr(first->content, !=, second->content);
    g_assert_cmpstr(gpudl_model_get_id(second), !=, id);
    g_assert_cmpstr(gpudl_model_get_id(first), ==, id); /* known already */
    g_assert_cmpfloat(first_bias(second), ==, 4);
}

static void test_external_id_of_changed_data(LoadFixture *self, gconstpointer data)
{
    static const float one[] = {1, 2, 3}, two[] = {4, 5, 6};
    g_autofree gchar *path = write_external(self, one), *bias = g_build_filename(self->directory, "bias.bin", NULL);
    g_autoptr(GpudlModel) model = load_file(path);

    load_overwrite(bias, two, sizeof two);
    g_assert_cmpstr(gpudl_model_get_id(model), ==, "");
    load_overwrite(bias, one, sizeof one);
    g_assert_cmpuint(strlen(gpudl_model_get_id(model)), ==, 64);
}

/* External data belongs to its folder: what happens to another one with the same content does not matter. */
static void test_external_elsewhere(LoadFixture *self, gconstpointer data)
{
    static const float one[] = {1, 2, 3}, two[] = {4, 5, 6};
    LoadFixture other = {g_build_filename(self->directory, "other", NULL)};
    g_autofree gchar *path = write_external(self, one), *bias = g_build_filename(self->directory, "bias.bin", NULL);
    g_autoptr(GpudlModel) first = load_file(path), second = NULL;
    g_autofree gchar *elsewhere = NULL;

    g_assert_cmpint(g_mkdir(other.directory, 0700), ==, 0);
    elsewhere = write_external(&other, one);
    second = load_file(elsewhere);
    g_assert_cmpstr(first->content, ==, second->content);
    load_overwrite(bias, two, sizeof two);
    g_assert_cmpuint(strlen(gpudl_model_get_id(second)), ==, 64);
    g_assert_cmpstr(gpudl_model_get_id(first), ==, "");
    load_tear_down(&other, NULL);
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
static void test_id_beside_session(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *path = load_write_net(self, "net.onnx", &load_small);
    g_autoptr(GpudlModel) model = load_file(path);
    g_autoptr(GpudlSession) session = NULL;

    g_mutex_lock(&model->id_lock);
    session = acquire(model);
    assert_answers(session, model);
    g_mutex_unlock(&model->id_lock);
    g_assert_cmpuint(strlen(gpudl_model_get_id(model)), ==, 64);
}

static void test_forged_id(LoadFixture *self, gconstpointer data)
{
    static const OnnxText many = {13, "x:f32:1x3x2x4", NULL, "Flatten x -> y", "y"};
    g_autofree gchar *a_path = g_build_filename(self->directory, "a.bin", NULL),
                     *b_path = g_build_filename(self->directory, "b.bin", NULL);
    g_autofree gchar *few_onnx = load_write_net(self, "few.onnx", &load_small),
                     *many_onnx = load_write_net(self, "many.onnx", &many);
    g_autoptr(GpudlModel) few_model = load_file(few_onnx), many_model = load_file(many_onnx), a = NULL, b = NULL,
                          genuine = NULL;
    g_autoptr(GpudlSession) a_session = NULL, b_session = NULL;
    g_autofree gchar *true_id = NULL;

    g_assert_true(gpudl_model_save(many_model, a_path, NULL) && gpudl_model_save(few_model, b_path, NULL));
    genuine = load_file(b_path);
    true_id = g_strdup(gpudl_model_get_id(genuine));
    g_clear_pointer(&genuine, gpudl_model_unref);
    forge(a_path, b_path);
    a = load_file(a_path);
    b = load_file(b_path);
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
static void test_sessions(LoadFixture *self, gconstpointer data)
{
    static const OnnxText nets[] = {
        {13, "x:f32:1x3x2x4", NULL, "Flatten x -> y", "y"},
        {13, "x:f32:1x3x4x2", NULL, "Flatten x -> y", "y"},
        {13, "x:f32:1x3x2x4", NULL, "GlobalAveragePool x -> p; Flatten p -> y", "y"},
        {13, "x:f32:1x3x2x4", NULL, "Flatten x -> y; Relu y -> z", "y z"},
        {13, "x:f32:1x3x2x4", NULL, "Flatten x -> y; GlobalAveragePool x -> p; Flatten p -> z", "y z"},
    };
    for (guint base = 0; base < G_N_ELEMENTS(nets); base++) {
        g_autofree gchar *path = load_write_net(self, "net.onnx", &nets[base]),
                         *other = load_write_net(self, "other.onnx", &nets[base]);
        g_autoptr(GpudlModel) model = load_file(path), same = load_file(other);
        g_autoptr(GpudlSession) session = acquire(model), shared = acquire(same);

        g_assert_true(session == shared);
        for (guint i = 0; i < G_N_ELEMENTS(nets); i++) {
            g_autofree gchar *odd_path = load_write_net(self, "odd.onnx", &nets[i]);
            g_autoptr(GpudlModel) odd = load_file(odd_path);
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
    static const LoadCase cases[] = {
        {"shared", test_shared},
        {"copies", test_copies},
        {"not-read-again", test_not_read_again},
        {"overwritten", test_overwritten},
        {"external", test_external},
        {"external-id-of-changed-data", test_external_id_of_changed_data},
        {"external-elsewhere", test_external_elsewhere},
        {"forged-id", test_forged_id},
        {"id-is-computed-beside-sessions", test_id_beside_session},
        {"sessions", test_sessions},
    };

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/load/versions", test_versions);
    return load_run(cases, G_N_ELEMENTS(cases));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Several who load a file at once do it once; whoever cancels gets away at once; processes that fork. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/modelfile/modelfile.h"
#include "tests/models/load-files.h"

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

static void test_together(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *path = load_write_net(self, "net.onnx", &brief);
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
static void test_once(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *path = load_write_net(self, "net.onnx", &brief);
    gdouble begin = processor(), alone;
    GThread *threads[8];
    Loader loaders[8] = {{0}};

    load_let_settle();
    gpudl_model_unref(load_file(path));
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

static void test_cancelled(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *path = load_write_net(self, "net.onnx", &slow);
    Loader loader = {.path = path, .cancellable = g_cancellable_new()};
    GThread *thread = g_thread_new("load", load_thread, &loader);
    gdouble begin;

    g_usleep(300 * 1000);
    g_cancellable_cancel(loader.cancellable);
    begin = processor();
    g_thread_join(thread);
    g_assert_cmpfloat(processor() - begin, <, 0.5); /* the convolution alone takes longer */
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
static void test_cancelled_waiting(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *path = load_write_net(self, "net.onnx", &brief);
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

static void test_convert_cancelled(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *path = load_write_net(self, "net.onnx", &slow),
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
static void test_convert_cancelled_late(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *path = load_write_net(self, "net.onnx", &load_wide),
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
static void test_failing(LoadFixture *self, gconstpointer data)
{
    g_autofree gchar *path = g_build_filename(self->directory, "net.onnx", NULL), *good = NULL;
    g_autoptr(GpudlModel) model = NULL;
    g_autoptr(GError) error = NULL;

    load_overwrite(path, "no model", 8);
    g_assert_null(gpudl_model_load(path, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    good = load_write_net(self, "net.onnx", &load_small);
    model = load_file(path);
    g_assert_nonnull(model);
}

/* A child does not wait for a thread of its parent, and does not have the parent's models. */
static void test_fork(LoadFixture *self, gconstpointer data)
{
    const OnnxText longer = SLOW("128");
    g_autofree gchar *path = load_write_net(self, "net.onnx", &longer),
                     *other = load_write_net(self, "other.onnx", &load_small);
    g_autoptr(GpudlModel) live = load_file(other);
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

int main(int argc, char **argv)
{
    static const LoadCase cases[] = {
        {"together", test_together},
        {"once", test_once},
        {"cancelled-waiting", test_cancelled_waiting},
        {"failing", test_failing},
        {"fork", test_fork},
        /* last: what was cancelled goes on for a while, and takes its time from others */
        {"convert-cancelled-late", test_convert_cancelled_late},
        {"convert-cancelled", test_convert_cancelled},
        {"cancelled", test_cancelled},
    };

    g_test_init(&argc, &argv, NULL);
    return load_run(cases, G_N_ELEMENTS(cases));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Children of a process that has sessions: they can make their own, and what they have inherited neither works nor
 * hangs. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/process.h"
#include "session-test.h"

/* Runs func(data) in a child, which has to end well in time. */
static void check_child(void (*func)(gpointer data), gpointer data)
{
    pid_t child = fork();
    int status;

    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        alarm(20);
        func(data);
        _exit(0);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    if (WIFSIGNALED(status))
        g_test_message("the child was killed by signal %d", WTERMSIG(status));
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

/* ---- a session of its own ---------------------------------------------------------------------------------------- */

static void use_own(gpointer backend)
{
    Use *use = use_new((GpudlSessionConfig){.backend = backend}, 8);

    for (guint i = 0; i < 8; i++)
        use_submit(use, i, 0);
    for (guint i = 0; i < 8; i++)
        use_check(use, i, GOOD);
    use_free(use);
}

static void test_child_acquires_its_own(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    Use *use = use_new((GpudlSessionConfig){.backend = backend}, 4);

    for (guint i = 0; i < 4; i++)
        use_submit(use, i, 0);
    check_child(use_own, (gpointer)backend);
    for (guint i = 0; i < 4; i++)
        use_check(use, i, GOOD); /* the parent's goes on */
    use_free(use);
    check_child(use_own, (gpointer)backend);
    g_assert_cmpuint(FAKE_SEEN(fake, engines), ==, 0);
}

/* ---- inherited --------------------------------------------------------------------------------------------------- */

typedef struct {
    Use *use;
    GpudlDevice *device;
    gpointer block;
} Inherited;

static void use_inherited(gpointer data)
{
    Inherited *inherited = data;
    Use *use = inherited->use;
    guint8 pixels[64] = {0};
    GpudlFrame frame = make_frame(pixels, GPUDL_MEMORY_HOST);
    GpudlRequest *request = gpudl_request_new(use->stream);
    GpudlClass top[N_CLASSES];
    GpudlSession *own;

    g_assert_cmpuint(gpudl_process_generation(), >, 1);
    gpudl_request_set_callback(request, NULL, NULL);
    for (guint i = 0; i <= use->n; i++) {
        GpudlRequest *r = i < use->n ? use->requests[i] : request;
        g_autoptr(GError) error = NULL;

        g_assert_true(gpudl_request_is_done(r));
        g_assert_false(gpudl_request_is_lost(r));
        gpudl_request_cancel(r);
        g_assert_false(gpudl_request_wait(r, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
        g_clear_error(&error);
        g_assert_false(gpudl_request_submit_tensor(r, use->values[0], &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
        g_assert_nonnull(strstr(error->message, "acquire one here"));
        g_clear_error(&error);
        g_assert_false(gpudl_request_submit(r, &frame, NULL, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
        g_assert_null(gpudl_request_get_scores(r, 0));
        g_assert_cmpuint(gpudl_request_top_k(r, 0, 5, 0, top), ==, 0);
    }
    {
        g_autoptr(GError) error = NULL;

        g_assert_null(gpudl_session_profile(use->session, 1, 1, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
    }
    g_assert_cmpuint(gpudl_session_get_depth(use->session), >=, 1);
    gpudl_session_get_run_time(use->session);
    gpudl_session_get_memory(use->session, NULL, NULL);
    own = acquire(use->model, gpudl_session_get_backend(use->session));
    g_assert_true(own != use->session);
    gpudl_session_unref(own);
    if (inherited->device) {
        g_autoptr(GError) error = NULL;
        GpudlDevice *device;

        g_assert_null(gpudl_device_alloc_host(inherited->device, 64, 64, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
        g_clear_error(&error);
        check_refused(use->model, &(GpudlSessionConfig){.device = inherited->device}, GPUDL_ERROR_DEVICE,
                      "acquire one here");
        device = gpudl_device_acquire("cuda", 0, NULL, NULL, NULL, &error);
        g_assert_no_error(error);
        g_assert_true(device != inherited->device);
        gpudl_device_unref(device);
        gpudl_device_free_host(inherited->device, inherited->block);
        gpudl_device_unref(inherited->device);
    }
    gpudl_request_free(request);
    use_free(use);
}

/* While frames are under way, and the parent's threads hold whatever they hold. */
static void test_inherited_fails_and_frees_nothing(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    Inherited inherited = {.use = use_new((GpudlSessionConfig){.backend = backend}, 10)};
    guint closes;

    if (g_str_equal(backend, "cuda")) {
        inherited.device = gpudl_device_ref(gpudl_session_get_device(inherited.use->session));
        inherited.block = gpudl_device_alloc_host(inherited.device, 1000, 64, NULL);
    }
    FAKE_SET(fake, does.delay_us, 2000);
    for (guint round = 0; round < 10; round++) {
        for (guint i = 0; i < 10; i++)
            use_submit(inherited.use, i, 0);
        check_child(use_inherited, &inherited);
        for (guint i = 0; i < 10; i++)
            use_check(inherited.use, i, GOOD);
    }
    closes = FAKE_SEEN(fake, closes);
    use_free(inherited.use);
    g_assert_cmpuint(FAKE_SEEN(fake, closes), ==, closes + 1);
    if (inherited.device) {
        gpudl_device_free_host(inherited.device, inherited.block);
        gpudl_device_unref(inherited.device);
    }
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
}

/* A lock of the session that another thread holds is held for ever in the child. */
static void test_inherited_locks_are_left_alone(gconstpointer backend)
{
    Inherited inherited = {NULL};

    fake_begin(backend);
    inherited.use = use_new((GpudlSessionConfig){.backend = backend}, 2);
    g_mutex_lock(&inherited.use->session->lock);
    check_child(use_inherited, &inherited);
    g_mutex_unlock(&inherited.use->session->lock);
    use_free(inherited.use);
}

static void note_release(gpointer released)
{
    *(gboolean *)released = TRUE;
}

typedef struct {
    Fake *fake;
    GpudlDevice *device;
    gboolean released;
} InheritedDevice;

static void unref_inherited(gpointer data)
{
    InheritedDevice *inherited = data;
    guint closes = FAKE_SEEN(inherited->fake, device_closes);

    gpudl_device_unref(inherited->device); /* the last reference that this process knows of */
    g_assert_cmpuint(FAKE_SEEN(inherited->fake, device_closes), ==, closes);
    g_assert_false(inherited->released);
}

/* The driver's part of a device, and the context of its owner, are the parent's. */
static void test_inherited_devices_are_not_closed(void)
{
    InheritedDevice inherited = {.fake = fake_begin("cuda")};

    inherited.device = gpudl_device_acquire("cuda", 0, NULL, note_release, &inherited.released, NULL);
    check_child(unref_inherited, &inherited);
    gpudl_device_unref(inherited.device);
    g_assert_cmpuint(FAKE_SEEN(inherited.fake, device_closes), ==, 1);
    g_assert_true(inherited.released);
}

/* ---- fork at any time -------------------------------------------------------------------------------------------- */

typedef struct {
    GpudlModel *model;
    const gchar *backend;
    gint stop;
} Churn;

static gpointer churn(gpointer data)
{
    Churn *c = data;

    while (!g_atomic_int_get(&c->stop)) {
        GpudlSessionConfig config = {.backend = c->backend, .activation = GPUDL_ACTIVATION_SIGMOID};

        gpudl_session_unref(acquire(c->model, c->backend));
        gpudl_session_unref(acquire_with(c->model, config));
    }
    return NULL;
}

/* With a model of the child's own: a lock of the parent's may be held by a thread that acquires for it. */
static void acquire_own(gpointer data)
{
    g_autoptr(GpudlModel) model = make_model();

    gpudl_session_unref(acquire(model, ((Churn *)data)->backend));
}

/* Locks that the fork takes are taken in an order that no thread goes against. */
static void test_fork_beside_everything(gconstpointer backend)
{
    g_autoptr(GpudlModel) model = make_model();
    Churn c = {model, backend, 0};
    GThread *threads[3];

    FAKE_SET(fake_begin(backend), is.quiet, 1);
    acquire_own(&c); /* what GLib does once is done: it does not heed fork() */
    for (guint i = 0; i < 3; i++)
        threads[i] = g_thread_new("churn", churn, &c);
    for (guint i = 0; i < 400; i++)
        check_child(acquire_own, &c);
    g_atomic_int_set(&c.stop, 1);
    for (guint i = 0; i < 3; i++)
        g_thread_join(threads[i]);
}

static gpointer open_device(gpointer data)
{
    *(GpudlDevice **)data = gpudl_device_acquire("cuda", 0, NULL, NULL, NULL, NULL);
    return NULL;
}

static void open_own(gpointer data)
{
    FAKE_SET((Fake *)data, does.hang_device_open, 0);
    use_own((gpointer) "cuda");
}

/* Neither the driver that forks as it opens a device, nor who forks meanwhile, nor that child waits for it. */
static void test_fork_beside_a_device_being_opened(void)
{
    Fake *fake = fake_begin("cuda");
    GpudlDevice *device = NULL;
    GThread *thread;

    gpudl_device_unref(gpudl_device_acquire("cuda", 0, NULL, NULL, NULL, NULL));
    FAKE_SET(fake, does.hang_device_open, 1);
    thread = g_thread_new("open", open_device, &device);
    FAKE_AWAIT(fake, opening, 1);
    check_child(open_own, fake);
    FAKE_SET(fake, does.hang_device_open, 0);
    g_thread_join(thread);
    gpudl_device_unref(device);
}

typedef struct {
    Fake *fake;
    GpudlModel *model;
    GpudlSessionConfig config;
} Promised;

static void use_promised(gpointer data)
{
    Promised *p = data;

    FAKE_SET(p->fake, does.hang_device_open, 0);
    for (guint i = 0; i < 2; i++) { /* the parent's, which nobody keeps here, and its own */
        gpudl_session_unref(acquire_with(p->model, p->config));
        gpudl_device_promise_free(p->config.promise);
        p->config.promise = gpudl_device_promise("cuda", -1, NULL);
    }
    gpudl_device_promise_free(p->config.promise);
    exit(0); /* waits for threads of its own alone */
}

static void test_fork_beside_a_device_promised(void)
{
    Promised p = {
        .fake = fake_begin("cuda"), .model = make_model(), .config = {.backend = "cuda", .cuda_device_id = -1}};

    gpudl_session_unref(acquire(p.model, "cuda"));
    FAKE_SET(p.fake, does.hang_device_open, 1);
    p.config.promise = gpudl_device_promise("cuda", -1, NULL);
    FAKE_AWAIT(p.fake, opening, 1);
    check_child(use_promised, &p);
    FAKE_SET(p.fake, does.hang_device_open, 0);
    gpudl_session_unref(acquire_with(p.model, p.config));
    gpudl_device_promise_free(p.config.promise);
    gpudl_model_unref(p.model);
    g_assert_cmpuint(FAKE_SEEN(p.fake, devices), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_for_both("/fork", "child-acquires-its-own", test_child_acquires_its_own);
    add_for_both("/fork", "inherited-fails-and-frees-nothing", test_inherited_fails_and_frees_nothing);
    add_for_both("/fork", "inherited-locks-are-left-alone", test_inherited_locks_are_left_alone);
    add_for_both("/fork", "fork-beside-everything", test_fork_beside_everything);
    g_test_add_func("/fork/inherited-devices-are-not-closed", test_inherited_devices_are_not_closed);
    g_test_add_func("/fork/fork-beside-a-device-being-opened", test_fork_beside_a_device_being_opened);
    g_test_add_func("/fork/fork-beside-a-device-promised", test_fork_beside_a_device_promised);
    return g_test_run();
}

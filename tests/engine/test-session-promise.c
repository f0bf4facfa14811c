/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that are opened beside the reading of a model: who gets them, who hears of failures, and when they go. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session-test.h"

static GpudlSessionConfig config_of(const gchar *backend, GpudlDevicePromise *promise)
{
    return (GpudlSessionConfig){
        .struct_size = sizeof(GpudlSessionConfig), .backend = backend, .cuda_device_id = -1, .promise = promise};
}

static void await_closed(Fake *fake)
{
    FAKE_AWAIT_EXACTLY(fake, opening, 0);
    FAKE_AWAIT_EXACTLY(fake, devices, 0);
}

static gint n_messages; /* atomic */

static void count_message(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data)
{
    g_test_message("%s", message);
    if (strstr(message, "is taken instead"))
        g_atomic_int_inc(&n_messages);
}

/* ---- taken ------------------------------------------------------------------------------------------------------- */

static void test_acquire_takes_what_is_open(gconstpointer backend)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    GpudlDevicePromise *promise = gpudl_device_promise(backend, -1, NULL);
    GpudlSession *session, *second;
    GpudlDevice *device;

    FAKE_AWAIT(fake, device_opens, 1);
    session = acquire_with(model, config_of(backend, promise));
    g_assert_cmpstr(gpudl_session_get_backend(session), ==, "cuda");
    g_assert_cmpuint(FAKE_SEEN(fake, device_tries), ==, 1);
    device = gpudl_session_get_device(session);
    gpudl_session_unref(session);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 1); /* the promise holds it */
    second = acquire_with(model, config_of(backend, promise));
    g_assert_true(gpudl_session_get_device(second) == device);
    gpudl_device_promise_free(promise);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 1);
    gpudl_session_unref(second);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
}

typedef struct {
    Fake *fake;
    gint done;
} Later;

static gpointer open_later(gpointer data)
{
    Later *later = data;

    g_usleep(50000);
    g_atomic_int_set(&later->done, 1);
    FAKE_SET(later->fake, does.hang_probe, 0);
    FAKE_SET(later->fake, does.hang_device_open, 0);
    return NULL;
}

static void test_acquire_waits(void)
{
    Later later = {.fake = fake_begin("cuda")};
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GpudlDevicePromise) promise = NULL;
    GpudlForecast *forecast;
    GThread *thread;

    FAKE_SET(later.fake, does.hang_device_open, 1);
    promise = gpudl_device_promise("cuda", 0, "/");
    FAKE_AWAIT(later.fake, opening, 1);
    thread = g_thread_new("later", open_later, &later);
    {
        GpudlSessionConfig config = config_of("cuda", promise);

        config.cuda_device_id = 0;
        forecast = gpudl_session_forecast(model, &config, NULL, NULL);
    }
    g_assert_nonnull(forecast);
    g_assert_cmpint(g_atomic_int_get(&later.done), ==, 1);
    g_assert_cmpuint(FAKE_SEEN(later.fake, device_tries), ==, 1);
    gpudl_forecast_free(forecast);
    g_thread_join(thread);
}

static gpointer cancel_later(gpointer cancellable)
{
    g_usleep(50000);
    g_cancellable_cancel(cancellable);
    return NULL;
}

/* The driver hangs; whoever waits for it, or does not need it any more, does not. */
static void test_hanging_keeps_nobody(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    GpudlDevicePromise *promise;
    GpudlSessionConfig config;
    GThread *thread;

    FAKE_SET(fake, does.hang_device_open, 1);
    promise = gpudl_device_promise("cuda", -1, NULL);
    config = config_of("cuda", promise);
    FAKE_AWAIT(fake, opening, 1);
    thread = g_thread_new("cancel", cancel_later, cancellable);
    g_assert_null(gpudl_session_acquire(model, &config, cancellable, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
    gpudl_device_promise_free(promise);
    g_assert_cmpuint(FAKE_SEEN(fake, opening), ==, 1);
    FAKE_SET(fake, does.hang_device_open, 0);
    FAKE_AWAIT(fake, device_closes, 1);
    await_closed(fake);
    g_thread_join(thread);
}

/* Of another backend or device it is as none. */
static void test_others_do_not_take_it(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    GpudlDevicePromise *promise;
    GpudlSession *session;
    GpudlSessionConfig config;

    fake_begin("cpu");
    FAKE_SET(fake, is.n_devices, 2);
    FAKE_SET(fake, does.device_status, GPUDL_STATUS_NO_MEMORY);
    promise = gpudl_device_promise("cuda", -1, NULL);
    FAKE_AWAIT(fake, device_tries, 1);
    gpudl_session_unref(acquire_with(model, config_of("cpu", promise)));
    g_usleep(10000); /* it has failed */
    FAKE_SET(fake, does.device_status, GPUDL_STATUS_OK);
    config = config_of("cuda", promise);
    config.cuda_device_id = 1;
    session = acquire_with(model, config);
    g_assert_cmpint(gpudl_device_get_id(gpudl_session_get_device(session)), ==, 1);
    config = config_of("cuda", promise);
    config.device = gpudl_session_get_device(session);
    gpudl_session_unref(acquire_with(model, config));
    config.device = NULL;
    check_refused(model, &config, GPUDL_ERROR_NO_MEMORY, "asked to open nothing");
    gpudl_session_unref(session);
    gpudl_device_promise_free(promise);
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

static void test_failure_is_told_once(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    GpudlDevicePromise *promise;
    GpudlSessionConfig config;

    FAKE_SET(fake, does.device_status, GPUDL_STATUS_NO_MEMORY);
    promise = gpudl_device_promise("cuda", -1, NULL);
    config = config_of("cuda", promise);
    check_refused(model, &config, GPUDL_ERROR_NO_MEMORY, "asked to open nothing");
    g_assert_cmpuint(FAKE_SEEN(fake, device_tries), ==, 1);
    FAKE_SET(fake, does.device_status, GPUDL_STATUS_OK); /* and who tries again gets an answer of now */
    gpudl_session_unref(acquire_with(model, config));
    gpudl_device_promise_free(promise);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);

    FAKE_SET(fake, does.probe_status, GPUDL_STATUS_NO_DEVICE);
    promise = gpudl_device_promise("cuda", -1, NULL);
    config = config_of("cuda", promise);
    check_refused(model, &config, GPUDL_ERROR_NO_DEVICE, "can't be used");
    gpudl_device_promise_free(promise);
    promise = gpudl_device_promise("tpu", -1, NULL);
    config = config_of("tpu", promise);
    check_refused(model, &config, GPUDL_ERROR_INVALID_ARGUMENT, "unknown backend 'tpu'");
    gpudl_device_promise_free(promise);
}

static void test_auto_tells_of_the_next_backend_once(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    const guint handler = g_log_set_handler("gpudl", G_LOG_LEVEL_MESSAGE, count_message, NULL);
    GpudlDevicePromise *promise;
    GpudlSession *session;

    fake_begin("cpu");
    FAKE_SET(fake, does.device_status, GPUDL_STATUS_NO_MEMORY);
    promise = gpudl_device_promise("auto", -1, NULL);
    FAKE_AWAIT(fake, device_tries, 1);
    g_usleep(10000);
    g_assert_cmpint(g_atomic_int_get(&n_messages), ==, 0);
    session = acquire_with(model, config_of(NULL, promise));
    g_assert_cmpstr(gpudl_session_get_backend(session), ==, "cpu");
    g_assert_cmpint(g_atomic_int_get(&n_messages), ==, 1);
    g_assert_cmpuint(FAKE_SEEN(fake, device_tries), ==, 1);
    gpudl_session_unref(session);
    gpudl_device_promise_free(promise);
    g_log_remove_handler("gpudl", handler);
}

static void test_nothing_is_opened_for_no_file(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GpudlDevicePromise) promise = gpudl_device_promise("cuda", -1, "/nonexistent/net.bin");

    g_usleep(20000);
    g_assert_cmpuint(FAKE_SEEN(fake, device_tries), ==, 0);
    gpudl_session_unref(acquire_with(model, config_of("cuda", promise)));
    gpudl_device_promise_free(NULL);
}

/* ---- processes --------------------------------------------------------------------------------------------------- */

static Fake *ending;

static void check_closed(void)
{
    if (FAKE_SEEN(ending, device_closes) != 1)
        _exit(3);
}

/* exit() runs what ends the driver's libraries: no thread is in them then. probing: nor on its way into them. */
static void test_exit_waits(gconstpointer probing)
{
    Later later = {0};

    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
        g_test_trap_assert_passed();
        return;
    }
    atexit(check_closed);
    ending = later.fake = fake_begin("cuda");
    FAKE_SET(later.fake, does.hang_device_open, !probing);
    FAKE_SET(later.fake, does.hang_probe, probing != NULL);
    gpudl_device_promise_free(gpudl_device_promise("cuda", -1, NULL));
    if (probing)
        FAKE_AWAIT(later.fake, probing, 1);
    else
        FAKE_AWAIT(later.fake, opening, 1);
    g_thread_unref(g_thread_new("later", open_later, &later));
    exit(0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/promise/cuda/acquire-takes-what-is-open", "cuda", test_acquire_takes_what_is_open);
    g_test_add_data_func("/promise/auto/acquire-takes-what-is-open", "auto", test_acquire_takes_what_is_open);
    g_test_add_func("/promise/acquire-waits", test_acquire_waits);
    g_test_add_func("/promise/hanging-keeps-nobody", test_hanging_keeps_nobody);
    g_test_add_func("/promise/others-do-not-take-it", test_others_do_not_take_it);
    g_test_add_func("/promise/failure-is-told-once", test_failure_is_told_once);
    g_test_add_func("/promise/auto-tells-of-the-next-backend-once", test_auto_tells_of_the_next_backend_once);
    g_test_add_func("/promise/nothing-is-opened-for-no-file", test_nothing_is_opened_for_no_file);
    g_test_add_data_func("/promise/exit-waits-for-what-is-being-opened", NULL, test_exit_waits);
    g_test_add_data_func("/promise/exit-waits-for-what-is-being-looked-for", "probing", test_exit_waits);
    return g_test_run();
}

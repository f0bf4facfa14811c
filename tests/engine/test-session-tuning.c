/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known of a session before it is loaded, and waiting until it has tuned. */
#include <string.h>

#include "session-test.h"

static GpudlForecast *forecast_with(GpudlModel *model, GpudlSessionConfig config, GCancellable *cancellable,
                                    GError **error)
{
    config.struct_size = sizeof config;
    config.cuda_device_id = -1;
    return gpudl_session_forecast(model, &config, cancellable, error);
}

/* ---- before loading ---------------------------------------------------------------------------------------------- */

static void test_forecast_is_what_the_backend_says(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlForecast) forecast = NULL;

    FAKE_SET(fake, is.n_choices, 5);
    FAKE_SET(fake, is.n_known, 3);
    strcpy(fake->is.not_kept, "the disk is full");
    forecast = forecast_with(
        model, (GpudlSessionConfig){.backend = "cuda", .batch_size = 2, .cache_dir = "/nowhere/at/all"}, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(forecast->backend, ==, "cuda");
    g_assert_cmpint(forecast->precision, ==, GPUDL_PRECISION_FP16); /* resolved */
    g_assert_cmpuint(forecast->batch_size, ==, 2);
    g_assert_cmpuint(forecast->n_choices, ==, 5);
    g_assert_cmpuint(forecast->n_known, ==, 3);
    g_assert_cmpuint(g_strv_length(forecast->missing), ==, 2);
    g_assert_cmpstr(forecast->missing[0], ==, "choice 3");
    g_assert_cmpstr(forecast->missing[1], ==, "choice 4");
    g_assert_cmpstr(forecast->cache_dir, ==, "/nowhere/at/all");
    g_assert_cmpstr(fake->seen.last_cache_dir, ==, "/nowhere/at/all");
    g_assert_cmpstr(forecast->not_kept, ==, "the disk is full");
    g_assert_cmpuint(forecast->weights, ==, 400);
    g_assert_cmpuint(forecast->workspace, ==, 600);
    /* nothing is loaded, nothing left open */
    g_assert_cmpuint(FAKE_SEEN(fake, forecasts), ==, 1);
    g_assert_cmpuint(FAKE_SEEN(fake, loads), ==, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
    g_assert_cmpuint(gpudl_session_count(), ==, 0);
}

static void test_without_forecast_there_is_nothing_to_tune(void)
{
    Fake *fake = fake_begin("cpu");
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlForecast) forecast = forecast_with(model, (GpudlSessionConfig){.backend = "cpu"}, NULL, &error);

    g_assert_no_error(error);
    g_assert_null(fake->table->forecast);
    g_assert_cmpstr(forecast->backend, ==, "cpu");
    g_assert_cmpuint(forecast->n_choices, ==, 0);
    g_assert_cmpuint(forecast->n_known, ==, 0);
    g_assert_null(forecast->missing[0]);
    g_assert_null(forecast->not_kept);
    g_assert_cmpuint(forecast->weights + forecast->workspace, ==, 0);
}

static void check_no_forecast(GpudlModel *model, const gchar *backend, GpudlError code, const gchar *text)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(forecast_with(model, (GpudlSessionConfig){.backend = backend}, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, (gint)code);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, text));
}

static void test_forecasts_may_fail(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GpudlForecast) forecast = NULL;

    fake->does.forecast_status = GPUDL_STATUS_NO_MEMORY;
    check_no_forecast(model, "cuda", GPUDL_ERROR_NO_MEMORY, "backend 'cuda' refuses model 'flat': asked to foresee");
    fake->does.forecast_status = GPUDL_STATUS_OK;
    fake->is.n_known = 2;
    check_no_forecast(model, "cuda", GPUDL_ERROR_BACKEND, "knows 2 of 0 choices");
    fake->is.n_known = 0;
    fake->does.resolve_status = GPUDL_STATUS_UNSUPPORTED;
    check_no_forecast(model, "cuda", GPUDL_ERROR_UNSUPPORTED, "asked to refuse");
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
}

/* As an acquire would. */
static void test_auto_asks_the_next_backend(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlForecast) forecast = NULL;

    fake_begin("cpu");
    fake->does.forecast_status = GPUDL_STATUS_UNSUPPORTED;
    check_no_forecast(model, "cuda", GPUDL_ERROR_UNSUPPORTED, "asked to foresee nothing");
    forecast = forecast_with(model, (GpudlSessionConfig){.backend = "auto"}, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(forecast->backend, ==, "cpu");
    fake->does.forecast_status = GPUDL_STATUS_NO_MEMORY; /* which is no reason to take another */
    check_no_forecast(model, "auto", GPUDL_ERROR_NO_MEMORY, "asked to foresee nothing");
}

static gpointer cancel_soon(gpointer data)
{
    FAKE_AWAIT(fake_get("cuda"), forecasts, 1);
    g_cancellable_cancel(data);
    return NULL;
}

static void test_forecasts_can_be_cancelled(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    GThread *thread;

    FAKE_SET(fake, does.forecast_us, 60000000);
    thread = g_thread_new("cancel", cancel_soon, cancellable);
    g_assert_null(forecast_with(model, (GpudlSessionConfig){.backend = "cuda"}, cancellable, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
    g_thread_join(thread);
}

/* ---- after loading ----------------------------------------------------------------------------------------------- */

typedef struct {
    guint n;
    double last;
    GThread *thread;
} Told;

static void on_progress(double done, const gchar *what, gpointer data)
{
    Told *told = data;

    g_assert_cmpstr(what, ==, "idling");
    g_assert_cmpfloat(done, >=, told->last);
    g_assert_cmpfloat(done, <=, 1);
    g_assert_true(g_thread_self() == told->thread);
    told->last = done;
    told->n++;
}

static void test_settle_waits_for_the_end_of_tuning(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GError) error = NULL;
    g_autoptr(Use) use = NULL;
    Told told = {.thread = g_thread_self()};

    FAKE_SET(fake, does.idle_rounds, 20);
    FAKE_SET(fake, does.idle_us, 1000);
    FAKE_SET(fake, does.idle_tells, 21);
    use = use_new((GpudlSessionConfig){.backend = "cuda", .autotune = GPUDL_AUTOTUNE_FULL}, 10);
    for (guint i = 0; i < 10; i++) /* frames come first, and are answered meanwhile */
        use_submit(use, i, 0);
    g_assert_true(gpudl_session_settle(use->session, on_progress, &told, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(FAKE_SEEN(fake, idles), ==, 21);
    g_assert_cmpuint(told.n, >=, 1);
    g_assert_cmpfloat(told.last, ==, 1);
    for (guint i = 0; i < 10; i++)
        use_check(use, i, GOOD);
    g_assert_true(gpudl_session_settle(use->session, NULL, NULL, NULL, &error)); /* at once */
}

/* A session is there long before it has tuned. */
static void test_loading_waits_for_no_tuning(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(Use) use = NULL;

    FAKE_SET(fake, does.idle_rounds, 1000000);
    FAKE_SET(fake, does.idle_us, 1000);
    use = use_new((GpudlSessionConfig){.backend = "cuda"}, 10);
    for (guint i = 0; i < 10; i++)
        use_submit(use, i, 0);
    for (guint i = 0; i < 10; i++)
        use_check(use, i, GOOD);
    FAKE_AWAIT(fake, idles, 10); /* and it goes on tuning */
}

static void test_synchronous_sessions_are_settled(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Use) use = NULL;

    fake_begin("cpu");
    use = use_new((GpudlSessionConfig){.backend = "cpu"}, 1);
    g_assert_true(gpudl_session_settle(use->session, NULL, NULL, NULL, &error));
    g_assert_no_error(error);
}

static gpointer cancel_settling(gpointer data)
{
    FAKE_AWAIT(fake_get("cuda"), idles, 5);
    g_cancellable_cancel(data);
    return NULL;
}

static void test_settling_can_be_cancelled(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(Use) use = NULL;
    GThread *thread;

    FAKE_SET(fake, does.idle_rounds, 1000000);
    FAKE_SET(fake, does.idle_us, 500);
    use = use_new((GpudlSessionConfig){.backend = "cuda"}, 1);
    thread = g_thread_new("cancel", cancel_settling, cancellable);
    g_assert_false(gpudl_session_settle(use->session, NULL, NULL, cancellable, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
    g_thread_join(thread);
    use_submit(use, 0, 0); /* the session is none the worse */
    use_check(use, 0, GOOD);
}

static void check_not_settled(GpudlStatus status, GpudlError code)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GError) error = NULL;
    g_autoptr(Use) use = NULL;

    FAKE_SET(fake, does.idle_rounds, 10);
    fake_lock(fake);
    fake->does.idle_status = status;
    fake_unlock(fake);
    use = use_new((GpudlSessionConfig){.backend = "cuda"}, 1);
    g_assert_false(gpudl_session_settle(use->session, NULL, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, (gint)code);
    g_assert_nonnull(strstr(error->message, "asked to fail while idle"));
}

static void test_what_ends_tuning_is_told(void)
{
    check_not_settled(GPUDL_STATUS_FAILED, GPUDL_ERROR_FAILED);
    check_not_settled(GPUDL_STATUS_DEVICE, GPUDL_ERROR_DEVICE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tuning/forecast-is-what-the-backend-says", test_forecast_is_what_the_backend_says);
    g_test_add_func("/tuning/without-forecast-there-is-nothing-to-tune",
                    test_without_forecast_there_is_nothing_to_tune);
    g_test_add_func("/tuning/forecasts-may-fail", test_forecasts_may_fail);
    g_test_add_func("/tuning/auto-asks-the-next-backend", test_auto_asks_the_next_backend);
    g_test_add_func("/tuning/forecasts-can-be-cancelled", test_forecasts_can_be_cancelled);
    g_test_add_func("/tuning/settle-waits-for-the-end-of-tuning", test_settle_waits_for_the_end_of_tuning);
    g_test_add_func("/tuning/loading-waits-for-no-tuning", test_loading_waits_for_no_tuning);
    g_test_add_func("/tuning/synchronous-sessions-are-settled", test_synchronous_sessions_are_settled);
    g_test_add_func("/tuning/settling-can-be-cancelled", test_settling_can_be_cancelled);
    g_test_add_func("/tuning/what-ends-tuning-is-told", test_what_ends_tuning_is_told);
    return g_test_run();
}

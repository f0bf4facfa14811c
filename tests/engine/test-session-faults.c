/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that fail, die or are slow, and requests that are given up: everything ends, once, with the right error, and
 * nothing is freed that the device still reads. */
#include <dlfcn.h>
#include <string.h>

#include "session-test.h"

/* What stage() took was given back, once; what was taken on the device, too. */
static void check_given_back(Fake *fake, guint stages)
{
    g_assert_cmpuint(FAKE_SEEN(fake, stages), ==, stages);
    g_assert_cmpuint(FAKE_SEEN(fake, staged), ==, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, tickets), ==, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, running), ==, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, engines), ==, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
}

static void add_stage(Fake *fake)
{
    GpudlBackend *table = fake->table;

    table->stage = fake->whole->stage;
    table->unstage = fake->whole->unstage;
    table->ticket_free = fake->whole->ticket_free;
}

static gint threads_left = G_MAXINT; /* that the system still has for the library */

/* In GLib's place. */
GThread *g_thread_try_new(const gchar *name, GThreadFunc func, gpointer data, GError **error)
{
    GThread *(*real)(const gchar *, GThreadFunc, gpointer, GError **);
    gpointer symbol = dlsym(RTLD_NEXT, "g_thread_try_new");

    if (g_atomic_int_add(&threads_left, -1) <= 0) {
        g_set_error_literal(error, G_THREAD_ERROR, G_THREAD_ERROR_AGAIN, "no thread is left");
        return NULL;
    }
    memcpy(&real, &symbol, sizeof real);
    return real(name, func, data, error);
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

static void test_failed_submits_leave_the_slot_free(gconstpointer backend)
{
    enum { N = 6 };
    Fake *fake = fake_begin(backend);
    Use *use = use_new((GpudlSessionConfig){.backend = backend}, N);

    FAKE_SET(fake, does.fail_submit_ppm, 1000000);
    for (guint i = 0; i < N; i++) {
        use_submit(use, i, 0);
        use_check(use, i, GPUDL_ERROR_FAILED);
    }
    FAKE_SET(fake, does.fail_submit_ppm, 0);
    for (guint i = 0; i < N; i++) {
        use_submit(use, i, 0);
        use_check(use, i, GOOD);
    }
    use_free(use);
    check_given_back(fake, g_str_equal(backend, "cuda") ? 2 * N : 0);
}

/* What is told of a run is of that run alone. */
static void test_times_are_of_the_last_run(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    g_autoptr(Use) use = use_new((GpudlSessionConfig){.backend = backend, .batch_size = 1}, 3);
    const GpudlTiming *timing = gpudl_request_get_timing(use->requests[2]);
    gint64 begin = g_get_monotonic_time() * 1000;

    use_submit(use, 2, 0);
    use_check(use, 2, GOOD);
    g_assert_cmpint(timing->submitted, >=, begin);
    g_assert_cmpint(timing->started, >=, timing->submitted);
    g_assert_cmpint(timing->finished, >=, timing->started);
    FAKE_SET(fake, does.hold, 1);
    for (guint i = 0; i < 3; i++) /* the third waits for one of two slots */
        use_submit(use, i, 0);
    gpudl_request_cancel(use->requests[2]);
    use_check(use, 2, GPUDL_ERROR_CANCELLED);
    FAKE_SET(fake, does.hold, 0);
    g_assert_cmpint(timing->started, ==, 0); /* never */
    g_assert_cmpuint(timing->batch, ==, 0);
    g_assert_cmpint(timing->finished, >=, timing->submitted);
    use_check(use, 0, GOOD);
    use_check(use, 1, GOOD);
}

static void test_each_submit_is_waited_for(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    g_autoptr(Use) use = use_new((GpudlSessionConfig){.backend = backend}, 3);

    for (guint i = 0; i < 3; i++) {
        use_submit(use, i, 0);
        use_check(use, i, GOOD);
    }
    g_assert_cmpuint(FAKE_SEEN(fake, submits), ==, 3);
    g_assert_cmpuint(FAKE_SEEN(fake, waits), ==, 3);
    g_assert_cmpuint(FAKE_SEEN(fake, runs), ==, 3);
    use_submit(use, 0, FAKE_FAILS);
    use_check(use, 0, GPUDL_ERROR_FAILED);
    use_submit(use, 0, 0);
    use_check(use, 0, GOOD);
}

/* Nor is it found by who has the device still. */
static void check_unlisted_everywhere(GpudlModel *model, GpudlSession *dead, const gchar *backend)
{
    GpudlSession *fresh;

    check_unlisted(model, dead, backend);
    fresh = acquire_with(model, (GpudlSessionConfig){.device = gpudl_session_get_device(dead)});
    g_assert_true(fresh != dead);
    gpudl_session_unref(fresh);
}

static void test_dead_device_fails_all_and_gets_nothing_more(gconstpointer backend)
{
    enum { N = 30 };
    Fake *fake = fake_begin(backend);
    Use *use = use_new((GpudlSessionConfig){.backend = backend}, N);
    g_autoptr(GError) error = NULL;

    FAKE_SET(fake, does.hold, 1);
    for (guint i = 0; i < N; i++)
        use_submit(use, i, 0);
    FAKE_AWAIT(fake, under_way, 2);
    FAKE_SET(fake, does.die, 1);
    for (guint i = 0; i < N; i++)
        use_check(use, i, GPUDL_ERROR_DEVICE);
    FAKE_SET(fake, does.hold, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, submits), ==, 2);
    g_assert_cmpuint(FAKE_SEEN(fake, died), ==, 2); /* both slots were waited for */
    g_assert_false(gpudl_request_submit_tensor(use->requests[0], use->values[0], &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
    for (guint i = 0; i < N; i++)
        g_assert_false(gpudl_request_is_lost(use->requests[i]));
    check_unlisted_everywhere(use->model, use->session, backend);
    for (guint i = 0; i < N; i++)
        gpudl_request_free(use->requests[i]);
    g_assert_cmpint(use->told, ==, N);
    use->n = 0;
    use_free(use);
    check_given_back(fake, g_str_equal(backend, "cuda") ? N : 0);
}

/* A slot whose thread learns of the death while others are still being failed takes none of them. */
static void test_nobody_takes_what_is_being_failed(gconstpointer backend)
{
    enum { N = 20 };
    Fake *fake = fake_begin(backend);
    Use *use;

    add_stage(fake);
    use = use_new((GpudlSessionConfig){.backend = backend}, N);
    FAKE_SET(fake, does.hold, 1);
    for (guint i = 0; i < N; i++)
        use_submit(use, i, 0);
    FAKE_AWAIT(fake, under_way, 2);
    FAKE_SET(fake, does.slow_unstage_us, 2000);
    FAKE_SET(fake, does.die, 1);
    for (guint i = 0; i < N; i++)
        use_check(use, i, GPUDL_ERROR_DEVICE);
    FAKE_SET(fake, does.hold, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, submits), ==, 2);
    use_free(use);
    check_given_back(fake, N);
}

/* The same where that slot's own execution ends well. */
static void test_who_survives_takes_nothing_more(void)
{
    enum { N = 20 };
    Fake *fake = fake_begin("cpu");
    guint n_good = 0;
    Use *use;

    add_stage(fake);
    use = use_new((GpudlSessionConfig){.backend = "cpu"}, N);
    FAKE_SET(fake, does.hold, 1);
    for (guint i = 0; i < N; i++)
        use_submit(use, i, 0);
    FAKE_AWAIT(fake, under_way, 2);
    FAKE_SET(fake, does.survive, 1);
    FAKE_SET(fake, does.slow_unstage_us, 5000);
    FAKE_SET(fake, does.die, 1);
    FAKE_AWAIT(fake, unstages, 2); /* they are being failed */
    FAKE_SET(fake, does.hold, 0);
    for (guint i = 0; i < N; i++)
        n_good += gpudl_request_wait(use->requests[i], NULL);
    g_assert_cmpuint(n_good, ==, 1);
    g_assert_cmpuint(FAKE_SEEN(fake, submits), ==, 2);
    use_free(use);
    check_given_back(fake, N);
}

static void test_device_may_fail_in_submit(gconstpointer backend)
{
    enum { N = 10 };
    Fake *fake = fake_begin(backend);
    Use *use = use_new((GpudlSessionConfig){.backend = backend}, N);
    gboolean taken[N] = {TRUE};

    FAKE_SET(fake, does.hold, 1);
    fake_lock(fake);
    fake->does.fail_status = GPUDL_STATUS_DEVICE;
    fake->does.fail_submit_at = 2;
    fake_unlock(fake);
    use_submit(use, 0, 0);
    FAKE_AWAIT(fake, under_way, 1);
    for (guint i = 1; i < N; i++)
        taken[i] = gpudl_request_submit_tensor(use->requests[i], use->values[i], NULL);
    for (guint i = 0; i < N; i++)
        if (taken[i]) /* others came too late */
            use_check(use, i, GPUDL_ERROR_DEVICE);
    g_assert_true(taken[1]);
    g_assert_cmpuint(FAKE_SEEN(fake, submits), ==, 2);
    use_free(use);
    FAKE_AWAIT_EXACTLY(fake, engines, 0);
}

/* The device reads frames of slots that are under way until they have been waited for, also when it has failed. */
static void test_frames_of_a_dead_device_are_kept(gconstpointer kind)
{
    enum { N = 12 };
    Fake *fake = fake_begin("cuda");
    Use *use = use_new((GpudlSessionConfig){.backend = "cuda"}, N);
    GpudlMemoryKind memory = (GpudlMemoryKind)GPOINTER_TO_UINT(kind);
    GpudlDevice *device = gpudl_device_ref(gpudl_session_get_device(use->session));
    guint8 *pixels[N];

    FAKE_SET(fake, does.hold, 1);
    for (guint i = 0; i < N; i++) {
        GpudlFrame frame;

        pixels[i] = memory == GPUDL_MEMORY_HOST_PINNED ? gpudl_device_alloc_host(device, 64, 64, NULL) : pixels_new();
        frame = make_frame(pixels[i], memory);
        g_assert_true(gpudl_request_submit(use->requests[i], &frame, NULL, NULL));
    }
    FAKE_AWAIT(fake, under_way, 2);
    g_usleep(2000);
    FAKE_SET(fake, does.die, 1);
    for (guint i = 0; i < N; i++) {
        use_check(use, i, GPUDL_ERROR_DEVICE);
        if (memory == GPUDL_MEMORY_HOST_PINNED)
            gpudl_device_free_host(device, pixels[i]);
        else
            pixels_free(pixels[i]);
    }
    g_usleep(5000);
    use_free(use);
    gpudl_device_unref(device);
    check_given_back(fake, N);
}

/* The same where nothing fails: a frame is the device's until the request is done. */
static void test_frames_are_the_callers_once_done(gconstpointer kind)
{
    enum { N = 40 };
    Fake *fake = fake_begin("cuda");
    Use *use = use_new((GpudlSessionConfig){.backend = "cuda"}, N);
    GpudlMemoryKind memory = (GpudlMemoryKind)GPOINTER_TO_UINT(kind);
    guint8 *pixels[N];

    FAKE_SET(fake, does.delay_us, 1000);
    for (guint i = 0; i < N; i++) {
        GpudlFrame frame = make_frame(pixels[i] = pixels_new(), memory);

        pixels[i][0] = (guint8)i;
        g_assert_true(gpudl_request_submit(use->requests[i], &frame, NULL, NULL));
        g_assert_cmpmem(&fake->seen.last_frame.planes[0], sizeof(gpointer), &pixels[i], sizeof(gpointer));
    }
    for (guint i = 0; i < N; i++) {
        g_assert_true(gpudl_request_wait(use->requests[i], NULL));
        g_assert_cmpfloat(gpudl_request_get_scores(use->requests[i], 0)[i % N_CLASSES], ==, 1);
        g_assert_cmpfloat(gpudl_request_get_scores(use->requests[i], 0)[(i + 1) % N_CLASSES], ==, 15.f / 16);
        pixels_free(pixels[i]);
    }
    use_free(use);
    check_given_back(fake, N);
}

/* ---- staging ----------------------------------------------------------------------------------------------------- */

static void test_stage_may_fail(void)
{
    Fake *fake = fake_begin("cuda");
    Use *use = use_new((GpudlSessionConfig){.backend = "cuda"}, 2);
    g_autoptr(GError) error = NULL;

    fake_lock(fake);
    fake->does.fail_status = GPUDL_STATUS_NO_MEMORY;
    fake->does.fail_stage_at = 1;
    fake_unlock(fake);
    g_assert_false(gpudl_request_submit_tensor(use->requests[0], use->values[0], &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY);
    g_assert_true(gpudl_request_is_done(use->requests[0]));
    use_check(use, 0, GPUDL_ERROR_NO_MEMORY);
    g_assert_cmpuint(FAKE_SEEN(fake, submits), ==, 0);
    use_submit(use, 0, 0);
    use_check(use, 0, GOOD);
    use_submit(use, 1, 0);
    use_check(use, 1, GOOD);
    g_assert_cmpuint(FAKE_SEEN(fake, unstages), ==, 2);
    use_free(use);
    check_given_back(fake, 3);
}

static void test_device_may_fail_in_stage(void)
{
    enum { N = 10 };
    Fake *fake = fake_begin("cuda");
    Use *use = use_new((GpudlSessionConfig){.backend = "cuda"}, N + 1);
    g_autoptr(GError) error = NULL;

    FAKE_SET(fake, does.hold, 1);
    for (guint i = 0; i < N; i++)
        use_submit(use, i, 0);
    FAKE_AWAIT(fake, under_way, 2);
    fake_lock(fake);
    fake->does.fail_status = GPUDL_STATUS_DEVICE;
    fake->does.fail_stage_at = N + 1;
    fake->does.slow_unstage_us = 2000; /* slots become free while what waits is being failed */
    fake_unlock(fake);
    g_assert_false(gpudl_request_submit_tensor(use->requests[N], use->values[N], &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
    for (guint i = 0; i < N; i++)
        use_check(use, i, GPUDL_ERROR_DEVICE);
    g_assert_cmpuint(FAKE_SEEN(fake, submits), ==, 2);
    check_unlisted_everywhere(use->model, use->session, "cuda");
    use_free(use);
    check_given_back(fake, N + 1);
}

/* Slots become free, their own executions good, while what waits is being failed: nothing of it is submitted. */
static void test_free_slots_of_a_dead_device_stay_free(void)
{
    enum { N = 20 };
    Fake *fake = fake_begin("cuda");
    Use *use = use_new((GpudlSessionConfig){.backend = "cuda"}, N + 1);
    guint n_good = 0;

    fake_lock(fake);
    fake->does.delay_us = 100000;
    fake->does.survive = 1;
    fake->does.slow_unstage_us = 20000;
    fake->does.fail_status = GPUDL_STATUS_DEVICE;
    fake->does.fail_stage_at = N + 1;
    fake_unlock(fake);
    for (guint i = 0; i < N; i++)
        use_submit(use, i, 0);
    FAKE_AWAIT(fake, under_way, 2);
    g_assert_false(gpudl_request_submit_tensor(use->requests[N], use->values[N], NULL));
    for (guint i = 0; i < N; i++)
        n_good += gpudl_request_wait(use->requests[i], NULL);
    g_assert_cmpuint(n_good, ==, FAKE_SEEN(fake, jobs));
    g_assert_cmpuint(FAKE_SEEN(fake, submits), ==, 2);
    use_free(use);
    check_given_back(fake, N + 1);
}

static gpointer submit_first(gpointer data)
{
    Use *use = data;

    use_submit(use, 0, 0);
    return NULL;
}

static void test_cancelled_while_staging(void)
{
    Fake *fake = fake_begin("cuda");
    Use *use = use_new((GpudlSessionConfig){.backend = "cuda"}, 1);
    GThread *thread;

    FAKE_SET(fake, does.slow_stage_us, 50000);
    thread = g_thread_new("submit", submit_first, use);
    FAKE_AWAIT(fake, stages, 1);
    gpudl_request_cancel(use->requests[0]);
    g_assert_false(gpudl_request_is_done(use->requests[0]));
    g_thread_join(thread);
    use_check(use, 0, GPUDL_ERROR_CANCELLED);
    g_assert_cmpuint(FAKE_SEEN(fake, submits), ==, 0);
    FAKE_SET(fake, does.slow_stage_us, 0);
    use_submit(use, 0, 0); /* what was cancelled was the last run */
    use_check(use, 0, GOOD);
    gpudl_request_free(use->requests[0]);
    g_assert_cmpint(use->told, ==, 2);
    use->n = 0;
    use_free(use);
    check_given_back(fake, 2);
}

/* The device dies while a frame is being staged: nothing is queued, and the frame is given back. */
static void test_dead_while_staging(void)
{
    Fake *fake = fake_begin("cuda");
    Use *use = use_new((GpudlSessionConfig){.backend = "cuda"}, 2);
    g_autoptr(GError) error = NULL;

    FAKE_SET(fake, does.hold, 1);
    use_submit(use, 0, 0);
    FAKE_AWAIT(fake, under_way, 1);
    FAKE_SET(fake, does.slow_stage_us, 50000);
    FAKE_SET(fake, does.die, 1);
    g_assert_false(gpudl_request_submit_tensor(use->requests[1], use->values[1], &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
    use_check(use, 0, GPUDL_ERROR_DEVICE);
    g_assert_cmpuint(FAKE_SEEN(fake, submits), ==, 1);
    use_free(use);
    FAKE_AWAIT_EXACTLY(fake, staged, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, tickets), ==, 0);
}

static void test_cancelled_requests_are_given_back(gconstpointer backend)
{
    enum { N = 20 };
    Fake *fake = fake_begin(backend);
    Use *use = use_new((GpudlSessionConfig){.backend = backend}, N);
    guint running;

    FAKE_SET(fake, does.hold, 1);
    for (guint i = 0; i < N; i++)
        use_submit(use, i, 0);
    FAKE_AWAIT(fake, under_way, 2);
    running = FAKE_SEEN(fake, running);
    for (guint i = 0; i < N; i++)
        gpudl_request_cancel(use->requests[i]);
    for (guint i = running; i < N; i++)
        use_check(use, i, GPUDL_ERROR_CANCELLED);
    if (g_str_equal(backend, "cuda"))
        g_assert_cmpuint(FAKE_SEEN(fake, staged), ==, running);
    FAKE_SET(fake, does.hold, 0);
    for (guint i = 0; i < running; i++)
        use_check(use, i, GOOD);
    for (guint i = 0; i < N; i++)
        gpudl_request_free(use->requests[i]);
    g_assert_cmpint(use->told, ==, N);
    use->n = 0;
    use_free(use);
    check_given_back(fake, g_str_equal(backend, "cuda") ? N : 0);
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static void test_refusals_leave_nothing_behind(gconstpointer backend)
{
    static const struct {
        GpudlStatus status;
        GpudlError code;
    } cases[] = {
        {GPUDL_STATUS_FAILED, GPUDL_ERROR_FAILED},
        {GPUDL_STATUS_UNSUPPORTED, GPUDL_ERROR_UNSUPPORTED},
        {GPUDL_STATUS_INVALID_ARGUMENT, GPUDL_ERROR_INVALID_ARGUMENT},
        {GPUDL_STATUS_BACKEND, GPUDL_ERROR_BACKEND},
        {GPUDL_STATUS_NO_DEVICE, GPUDL_ERROR_NO_DEVICE},
        {GPUDL_STATUS_NO_MEMORY, GPUDL_ERROR_NO_MEMORY},
        {GPUDL_STATUS_DEVICE, GPUDL_ERROR_DEVICE},
    };
    Fake *fake = fake_begin(backend);
    g_autoptr(GpudlModel) model = make_model();
    GpudlStatus *const statuses[] = {&fake->does.probe_status, &fake->does.device_status, &fake->does.resolve_status,
                                     &fake->does.open_status};

    for (guint i = 0; i < G_N_ELEMENTS(statuses); i++) {
        if (!fake->table->device_open && statuses[i] == &fake->does.device_status)
            continue;
        for (guint j = 0; j < G_N_ELEMENTS(cases); j++) {
            fake_lock(fake);
            *statuses[i] = cases[j].status;
            fake_unlock(fake);
            check_refused(model, &(GpudlSessionConfig){.backend = backend}, cases[j].code, "asked to");
        }
        fake_lock(fake);
        *statuses[i] = GPUDL_STATUS_OK;
        fake_unlock(fake);
        gpudl_session_unref(acquire(model, backend));
    }
    check_given_back(fake, 0);
}

static void test_no_thread_is_left(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    g_autoptr(GpudlModel) model = make_model();

    for (gint left = 0; left < 2; left++) { /* of the two that a session needs */
        g_atomic_int_set(&threads_left, left);
        check_refused(model, &(GpudlSessionConfig){.backend = backend}, GPUDL_ERROR_NO_MEMORY, "no thread is left");
        g_assert_cmpuint(FAKE_SEEN(fake, engines), ==, 0);
    }
    g_atomic_int_set(&threads_left, G_MAXINT);
    gpudl_session_unref(acquire(model, backend));
    check_given_back(fake, 0);
}

int main(int argc, char **argv)
{
    static const struct {
        const gchar *name;
        GpudlMemoryKind kind;
    } kinds[] = {{"host", GPUDL_MEMORY_HOST}, {"cuda", GPUDL_MEMORY_CUDA}, {"pinned", GPUDL_MEMORY_HOST_PINNED}};

    g_test_init(&argc, &argv, NULL);
    add_for_both("/faults", "failed-submits-leave-the-slot-free", test_failed_submits_leave_the_slot_free);
    add_for_both("/faults", "times-are-of-the-last-run", test_times_are_of_the_last_run);
    add_for_both("/faults", "each-submit-is-waited-for", test_each_submit_is_waited_for);
    add_for_both("/faults", "dead-device-fails-all-and-gets-nothing-more",
                 test_dead_device_fails_all_and_gets_nothing_more);
    add_for_both("/faults", "nobody-takes-what-is-being-failed", test_nobody_takes_what_is_being_failed);
    g_test_add_func("/faults/who-survives-takes-nothing-more", test_who_survives_takes_nothing_more);
    add_for_both("/faults", "device-may-fail-in-submit", test_device_may_fail_in_submit);
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree gchar *dead = g_strdup_printf("/faults/frames-of-a-dead-device-are-kept/%s", kinds[i].name),
                         *done = g_strdup_printf("/faults/frames-are-the-callers-once-done/%s", kinds[i].name);

        g_test_add_data_func(dead, GUINT_TO_POINTER(kinds[i].kind), test_frames_of_a_dead_device_are_kept);
        if (kinds[i].kind != GPUDL_MEMORY_HOST_PINNED)
            g_test_add_data_func(done, GUINT_TO_POINTER(kinds[i].kind), test_frames_are_the_callers_once_done);
    }
    g_test_add_func("/faults/stage-may-fail", test_stage_may_fail);
    g_test_add_func("/faults/device-may-fail-in-stage", test_device_may_fail_in_stage);
    g_test_add_func("/faults/free-slots-of-a-dead-device-stay-free", test_free_slots_of_a_dead_device_stay_free);
    g_test_add_func("/faults/cancelled-while-staging", test_cancelled_while_staging);
    g_test_add_func("/faults/dead-while-staging", test_dead_while_staging);
    add_for_both("/faults", "cancelled-requests-are-given-back", test_cancelled_requests_are_given_back);
    add_for_both("/faults", "refusals-leave-nothing-behind", test_refusals_leave_nothing_behind);
    add_for_both("/faults", "no-thread-is-left", test_no_thread_is_left);
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that fail, die, hang or are slow, and requests that are given up: everything ends, once, with the right
 * error, and nothing is freed that the device still reads. */
#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>

#include "session-test.h"

#define SOON_NS (SECOND_NS / 20)

/* Pixels of a page of their own: touching them after they were freed ends the process. */
static guint8 *pixels_new(void)
{
    guint8 *pixels = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_assert_true(pixels != MAP_FAILED);
    return pixels;
}

static void pixels_free(guint8 *pixels)
{
    g_assert_cmpint(munmap(pixels, 4096), ==, 0);
}

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

static void check_unlisted(GpudlModel *model, GpudlSession *dead, const gchar *backend)
{
    GpudlSession *fresh = acquire(model, backend);

    g_assert_true(fresh != dead);
    g_assert_true(g_str_equal(backend, "cpu") || gpudl_session_get_device(fresh) != gpudl_session_get_device(dead));
    gpudl_session_unref(fresh);
    /* for who has the device still, too */
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
    check_unlisted(use->model, use->session, backend);
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
    check_unlisted(use->model, use->session, "cuda");
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

/* ---- devices that do not answer ---------------------------------------------------------------------------------- */

/* A request that ends in time, with DEVICE. */
static void check_given_up(Use *use, guint i)
{
    gint64 begin = g_get_monotonic_time();

    use_check(use, i, GPUDL_ERROR_DEVICE);
    g_assert_cmpint(g_get_monotonic_time() - begin, <, 5 * G_USEC_PER_SEC);
}

/* Lets go of everything; told is how often each request was told in all. */
static void let_go(Use *use, gint told)
{
    gint64 begin;

    for (guint i = 0; i < use->n; i++)
        gpudl_request_free(use->requests[i]);
    g_assert_cmpint(use->told, ==, told);
    use->n = 0;
    begin = g_get_monotonic_time();
    use_free(use);
    g_assert_cmpint(g_get_monotonic_time() - begin, <, 5 * G_USEC_PER_SEC);
}

static void test_time_out(gconstpointer backend)
{
    enum { N = 20 };
    Fake *fake = fake_begin(backend);
    Use *use = use_new((GpudlSessionConfig){.backend = backend, .device_timeout = SOON_NS}, N);
    g_autoptr(GError) error = NULL;
    g_autofree gchar *told = NULL;

    FAKE_SET(fake, does.hang, 1);
    for (guint i = 0; i < N; i++)
        use_submit(use, i, 0);
    for (guint i = 0; i < N; i++)
        check_given_up(use, i);
    FAKE_SET(fake, does.hang, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, submits), ==, 2);
    for (guint i = 0; i < N; i++) /* values that were not staged are read for ever */
        g_assert_cmpint(gpudl_request_is_lost(use->requests[i]), ==,
                        g_str_equal(backend, "cpu") && i < FAKE_SEEN(fake, running));
    g_assert_false(gpudl_request_submit_tensor(use->requests[N - 1], use->values[0], &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
    told = g_strdup_printf("has not answered for 0.1 s and is given up, with %u frames under way",
                           FAKE_SEEN(fake, running));
    g_assert_nonnull(strstr(error->message, told));
    check_unlisted(use->model, use->session, backend);
    if (g_str_equal(backend, "cpu")) /* the values of what is lost: not to be freed */
        use->values = g_memdup2(use->values, N * sizeof use->values[0]);
    let_go(use, N);
    g_assert_cmpuint(FAKE_SEEN(fake, closes), ==, 2); /* the fresh ones */
    g_usleep(5000);
}

/* Frames that the device reads itself are lost, with their pixels; those copied, and those not begun, are not. */
static void test_lost_frames(void)
{
    enum { N = 24 };
    Fake *fake = fake_begin("cuda");
    Use *use = use_new((GpudlSessionConfig){.backend = "cuda", .device_timeout = SOON_NS}, N);
    guint n_lost = 0, n_running;

    FAKE_SET(fake, does.hang, 1);
    for (guint i = 0; i < N; i++) {
        GpudlFrame frame = make_frame(pixels_new(), i % 2 ? GPUDL_MEMORY_CUDA : GPUDL_MEMORY_HOST);

        g_assert_true(gpudl_request_submit(use->requests[i], &frame, NULL, NULL));
    }
    for (guint i = 0; i < N; i++) {
        check_given_up(use, i);
        if (!gpudl_request_is_lost(use->requests[i]))
            pixels_free((guint8 *)use->requests[i]->frame.planes[0]);
        else
            n_lost++;
    }
    n_running = FAKE_SEEN(fake, running);
    g_assert_cmpuint(n_running, >=, 2);
    g_assert_cmpuint(n_lost, ==, n_running / 2);
    g_usleep(5000);
    let_go(use, N);
    g_usleep(5000);
}

static void test_hung_submit(void)
{
    enum { N = 12 };
    Fake *fake = fake_begin("cuda");
    Use *use = use_new((GpudlSessionConfig){.backend = "cuda", .device_timeout = SOON_NS}, N);

    use_submit(use, 0, 0);
    use_check(use, 0, GOOD);
    FAKE_SET(fake, does.hang_submit, 1);
    for (guint i = 0; i < N; i++)
        use_submit(use, i, 0);
    for (guint i = 0; i < N; i++)
        check_given_up(use, i);
    g_assert_cmpuint(FAKE_SEEN(fake, stuck), ==, 1);
    check_unlisted(use->model, use->session, "cuda");
    let_go(use, N + 1);
    g_assert_cmpuint(FAKE_SEEN(fake, stuck), ==, 1);
    FAKE_SET(fake, does.hang_submit, 0);
    FAKE_AWAIT_EXACTLY(fake, stuck, 0);
    g_usleep(5000);
}

/* What is under way on the other slot ends as it would. */
static void test_hung_submit_beside_a_slot_that_ends(void)
{
    Fake *fake = fake_begin("cuda");
    Use *use = use_new((GpudlSessionConfig){.backend = "cuda", .device_timeout = SECOND_NS / 5}, 2);

    FAKE_SET(fake, does.hold, 1);
    use_submit(use, 0, 0);
    FAKE_AWAIT(fake, under_way, 1);
    FAKE_SET(fake, does.hang_submit, 1);
    use_submit(use, 1, 0);
    FAKE_AWAIT(fake, stuck, 1);
    FAKE_SET(fake, does.hold, 0);
    use_check(use, 0, GOOD);
    check_given_up(use, 1);
    g_assert_nonnull(strstr(use->session->dead->message, "with 1 frame under way")); /* the other one is not */
    let_go(use, 2);
    FAKE_SET(fake, does.hang_submit, 0);
    FAKE_AWAIT_EXACTLY(fake, stuck, 0);
    g_usleep(5000);
}

static void test_hung_idle(void)
{
    enum { N = 5 };
    Fake *fake = fake_begin("cuda");
    guint taken = 0; /* until it is given up */
    Use *use;

    FAKE_SET(fake, does.hang_idle, 1);
    use = use_new((GpudlSessionConfig){.backend = "cuda", .device_timeout = SOON_NS}, N);
    FAKE_AWAIT(fake, stuck, 1);
    for (guint i = 0; i < N && gpudl_request_submit_tensor(use->requests[i], use->values[i], NULL); i++)
        taken++;
    for (guint i = 0; i < taken; i++)
        check_given_up(use, i);
    let_go(use, (gint)taken);

    FAKE_SET(fake, does.hang_idle, 0);
    FAKE_AWAIT_EXACTLY(fake, stuck, 0);
    FAKE_SET(fake, does.hang_idle, 1); /* and where nobody waits for a frame */
    use = use_new((GpudlSessionConfig){.backend = "cuda", .device_timeout = SOON_NS}, 0);
    FAKE_AWAIT(fake, stuck, 1);
    let_go(use, 0);
    FAKE_SET(fake, does.hang_idle, 0);
    FAKE_AWAIT_EXACTLY(fake, stuck, 0);
    g_usleep(5000);
}

/* A driver that hangs in one call may hang in every other one. */
static void test_devices_given_up_are_left_alone(void)
{
    Fake *fake = fake_begin("cuda");
    Use *use = use_new((GpudlSessionConfig){.backend = "cuda", .device_timeout = SOON_NS}, 1);
    GpudlDevice *device = gpudl_device_ref(gpudl_session_get_device(use->session));
    gpointer block = gpudl_device_alloc_host(device, 64, 64, NULL);
    g_autoptr(GError) error = NULL;
    guint opens;

    FAKE_SET(fake, does.hang, 1);
    use_submit(use, 0, 0);
    check_given_up(use, 0);
    FAKE_SET(fake, does.hang, 0);
    opens = FAKE_SEEN(fake, opens);
    check_refused(use->model, &(GpudlSessionConfig){.device = device}, GPUDL_ERROR_DEVICE, "acquire it anew");
    g_assert_null(gpudl_device_alloc_host(device, 64, 64, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
    gpudl_device_free_host(device, block);
    gpudl_device_unref(device);
    g_assert_cmpuint(FAKE_SEEN(fake, opens), ==, opens);
    g_assert_cmpuint(FAKE_SEEN(fake, blocks), ==, 1);
    check_unlisted(use->model, use->session, "cuda");
    let_go(use, 1);
}

/* After a time-out nothing is called any more, wait() of another slot neither. */
static void test_time_out_ends_all_calls(void)
{
    Fake *fake = fake_begin("cpu");
    Use *use = use_new((GpudlSessionConfig){.backend = "cpu", .device_timeout = SOON_NS}, 2);

    FAKE_SET(fake, does.hold, 1);
    use_submit(use, 0, 0);
    FAKE_AWAIT(fake, under_way, 1);
    use_submit(use, 1, FAKE_HANGS);
    check_given_up(use, 1);
    g_assert_cmpuint(FAKE_SEEN(fake, waits), ==, 1);
    FAKE_SET(fake, does.hold, 0);
    check_given_up(use, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, waits), ==, 1);
    g_assert_true(gpudl_request_is_lost(use->requests[0]));
    use->values = g_memdup2(use->values, 2 * sizeof use->values[0]);
    let_go(use, 2);
}

/* The time-out is of the device, not of the queue. */
static void test_slow_is_not_hung(gconstpointer backend)
{
    enum { N = 20 };
    Fake *fake = fake_begin(backend);
    Use *use = use_new((GpudlSessionConfig){.backend = backend, .device_timeout = SECOND_NS / 4, .batch_size = 1}, N);

    FAKE_SET(fake, does.delay_us, 40000);
    for (guint i = 0; i < N; i++)
        use_submit(use, i, 0);
    for (guint i = 0; i < N; i++)
        use_check(use, i, GOOD);
    let_go(use, N);
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
    add_for_both("/faults", "slow-is-not-hung", test_slow_is_not_hung);
    /* from here on engines are given up for good */
    add_for_both("/faults", "time-out", test_time_out);
    g_test_add_func("/faults/lost-frames", test_lost_frames);
    g_test_add_func("/faults/hung-submit", test_hung_submit);
    g_test_add_func("/faults/hung-submit-beside-a-slot-that-ends", test_hung_submit_beside_a_slot_that_ends);
    g_test_add_func("/faults/hung-idle", test_hung_idle);
    g_test_add_func("/faults/devices-given-up-are-left-alone", test_devices_given_up_are_left_alone);
    g_test_add_func("/faults/time-out-ends-all-calls", test_time_out_ends_all_calls);
    return g_test_run();
}

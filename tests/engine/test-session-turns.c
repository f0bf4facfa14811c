/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What runs when: sizes of executions, changes, idle time, profiles, callbacks. */
#include <string.h>

#include "engine/session/batches.h"
#include "session-test.h"

/* ---- batches ----------------------------------------------------------------------------------------------------- */

static GpudlEngineInfo make_info(guint max_batch, guint n, const guint *buckets, const guint64 *times)
{
    GpudlEngineInfo info = {.n_slots = 1, .max_batch = max_batch, .n_buckets = n};

    for (guint i = 0; i < n; i++) {
        info.buckets[i] = buckets[i];
        info.bucket_ns[i] = times ? times[i] : 0;
    }
    return info;
}

static void check_takes(const GpudlEngineInfo *info, guint n, const guint *expected)
{
    GpudlBatches batches = {0};

    g_assert_null(gpudl_batches_check(info));
    gpudl_batches_set(&batches, info);
    g_assert_cmpuint(gpudl_batches_take(&batches, 0), ==, 0);
    for (guint i = 0; i < n; i++)
        g_assert_cmpuint(gpudl_batches_take(&batches, i + 1), ==, expected[i]);
    gpudl_batches_clear(&batches);
}

static void test_batches_by_hand(void)
{
    const guint sizes[] = {1, 4, 8};
    GpudlEngineInfo info;

    /* no buckets: all there is */
    info = make_info(3, 0, NULL, NULL);
    check_takes(&info, 5, (const guint[]){1, 2, 3, 3, 3});
    /* no times: the smallest bucket that holds all; up to the largest bucket, whatever the largest batch */
    info = make_info(16, 3, sizes, NULL);
    check_takes(&info, 10, (const guint[]){1, 2, 3, 4, 5, 6, 7, 8, 8, 8});
    /* one time is missing: as if all were */
    info = make_info(8, 3, sizes, (const guint64[]){1, 0, 100});
    check_takes(&info, 9, (const guint[]){1, 2, 3, 4, 5, 6, 7, 8, 8});
    /* a batch costs as much as its frames: one by one is as soon, the largest is taken */
    info = make_info(8, 3, sizes, (const guint64[]){10, 40, 80});
    check_takes(&info, 9, (const guint[]){1, 1, 1, 4, 4, 4, 4, 8, 8});
    /* a batch costs no more than a frame: everything at once */
    info = make_info(8, 3, sizes, (const guint64[]){10, 10, 10});
    check_takes(&info, 9, (const guint[]){1, 2, 3, 4, 5, 6, 7, 8, 8});
    /* 1: 10, 4: 22, 8: 60: two frames are 20 one by one; 5 are 32 as 4 and 1, 6 are 42, 7 are 44 as 4 and 3 */
    info = make_info(8, 3, sizes, (const guint64[]){10, 22, 60});
    check_takes(&info, 9, (const guint[]){1, 1, 3, 4, 4, 4, 4, 4, 4});
    /* 17 frames do not run as 32 */
    info = make_info(32, 3, (const guint[]){1, 16, 32}, (const guint64[]){5, 40, 75});
    check_takes(&info, 17, (const guint[]){1, 1, 1, 1, 1, 1, 1, 8, 9, 10, 11, 12, 13, 14, 15, 16, 16});
}

/* Least time for n frames, by trying every first execution. */
static guint64 soonest(const GpudlEngineInfo *info, guint n, guint64 *known)
{
    guint64 least = n == 0 ? 0 : G_MAXUINT64;

    if (n > 0 && known[n])
        return known[n];
    for (guint taken = 1; taken <= MIN(n, info->buckets[info->n_buckets - 1]); taken++) {
        guint i = 0;

        while (info->buckets[i] < taken)
            i++;
        least = MIN(least, info->bucket_ns[i] + soonest(info, n - taken, known));
    }
    return known[n] = least;
}

static void test_batches_of_random_times(void)
{
    GRand *rand = g_rand_new_with_seed(7);

    for (guint round = 0; round < 500; round++) {
        GpudlEngineInfo info = {.n_slots = 1, .n_buckets = (guint)g_rand_int_range(rand, 1, 7)};
        GpudlBatches batches = {0};
        guint64 known[64] = {0};

        for (guint i = 0; i < info.n_buckets; i++) {
            info.buckets[i] = (i > 0 ? info.buckets[i - 1] : 0) + (guint)g_rand_int_range(rand, 1, 8);
            info.bucket_ns[i] = (guint64)g_rand_int_range(rand, 1, 100); /* larger ones may be sooner, too */
        }
        info.max_batch = info.buckets[info.n_buckets - 1] + (guint)g_rand_int_range(rand, 0, 5);
        g_assert_null(gpudl_batches_check(&info));
        gpudl_batches_set(&batches, &info);
        for (guint n = 1; n <= info.buckets[info.n_buckets - 1]; n++) {
            guint64 time = 0;

            for (guint left = n; left > 0;) {
                guint taken = gpudl_batches_take(&batches, left), i = 0;

                g_assert_cmpuint(taken, >=, 1);
                g_assert_cmpuint(taken, <=, left);
                while (info.buckets[i] < taken)
                    i++;
                time += info.bucket_ns[i];
                left -= taken;
            }
            g_assert_cmpuint(time, ==, soonest(&info, n, known));
        }
        gpudl_batches_clear(&batches);
    }
    g_rand_free(rand);
}

static void test_wrong_buckets_are_told(void)
{
    GpudlEngineInfo info;

    info = make_info(0, 0, NULL, NULL);
    g_assert_nonnull(gpudl_batches_check(&info));
    info = (GpudlEngineInfo){.max_batch = 1};
    g_assert_nonnull(gpudl_batches_check(&info));
    info = make_info(4, 2, (const guint[]){2, 2}, NULL);
    g_assert_nonnull(gpudl_batches_check(&info));
    info = make_info(4, 2, (const guint[]){3, 2}, NULL);
    g_assert_nonnull(gpudl_batches_check(&info));
    info = make_info(4, 2, (const guint[]){0, 2}, NULL);
    g_assert_nonnull(gpudl_batches_check(&info));
    info = make_info(4, 2, (const guint[]){2, 5}, NULL);
    g_assert_nonnull(gpudl_batches_check(&info));
    info = make_info(GPUDL_MAX_BUCKETS + 1, 0, NULL, NULL);
    for (guint i = 0; i < GPUDL_MAX_BUCKETS; i++)
        info.buckets[info.n_buckets++] = i + 1;
    g_assert_null(gpudl_batches_check(&info));
    info.n_buckets = GPUDL_MAX_BUCKETS + 1;
    g_assert_nonnull(gpudl_batches_check(&info));
}

/* ---- sizes of executions ----------------------------------------------------------------------------------------- */

/* One slot of up to 16 frames, in buckets of 1, 4 and 16. */
static Fake *begin_with_buckets(const guint64 times[3])
{
    Fake *fake = fake_begin("cuda");

    fake_lock(fake);
    fake->is.n_slots = 1;
    fake->is.max_batch = 16;
    fake->is.n_buckets = 3;
    for (guint i = 0; i < 3; i++) {
        fake->is.buckets[i] = (const guint[]){1, 4, 16}[i];
        fake->is.bucket_ns[i] = times[i];
    }
    fake_unlock(fake);
    return fake;
}

/* One runs and is held while n come; asserts the sizes of the executions. */
static void check_sizes(Fake *fake, Use *use, guint n, const guint *sizes)
{
    guint before = FAKE_SEEN(fake, submits), taken = 0;

    FAKE_SET(fake, does.hold, 1);
    use_submit(use, n, 0);
    FAKE_AWAIT(fake, under_way, 1);
    for (guint i = 0; i < n; i++)
        use_submit(use, i, 0);
    FAKE_SET(fake, does.hold, 0);
    for (guint i = 0; i <= n; i++)
        use_check(use, i, GOOD);
    g_assert_cmpuint(fake->seen.sizes[before], ==, 1);
    for (guint i = 0; taken < n; i++) {
        g_assert_cmpuint(fake->seen.sizes[before + 1 + i], ==, sizes[i]);
        taken += sizes[i];
    }
    g_assert_cmpuint(FAKE_SEEN(fake, jobs), >=, n + 1);
}

static void test_executions_are_as_large_as_is_soonest(void)
{
    Fake *fake = begin_with_buckets((const guint64[]){10, 12, 100});
    g_autoptr(Use) use = use_new((GpudlSessionConfig){.backend = "cuda"}, 40);

    check_sizes(fake, use, 6, (const guint[]){4, 2});
    check_sizes(fake, use, 17, (const guint[]){4, 4, 4, 4, 1}); /* five of 4 are 60, 16 and 1 are 110 */
    check_sizes(fake, use, 3, (const guint[]){3});
}

static void test_changes_count_at_once(void)
{
    Fake *fake = begin_with_buckets((const guint64[]){10, 12, 100});
    g_autoptr(Use) use = use_new((GpudlSessionConfig){.backend = "cuda"}, 40);

    check_sizes(fake, use, 6, (const guint[]){4, 2});
    g_assert_cmpuint(gpudl_session_get_run_time(use->session), ==, 10000000);
    g_assert_cmpuint(gpudl_session_get_depth(use->session), ==, 16);
    fake_lock(fake);
    fake->is.bucket_ns[2] = 12;
    fake->is.run_time_ns = 4711;
    fake->is.depth = 5;
    fake->is.work_bytes = 7000;
    fake->is.weight_bytes = 50;
    fake_unlock(fake);
    fake->change();
    check_sizes(fake, use, 6, (const guint[]){6});
    check_sizes(fake, use, 17, (const guint[]){16, 1});
    g_assert_cmpuint(gpudl_session_get_run_time(use->session), ==, 4711);
    g_assert_cmpuint(gpudl_session_get_depth(use->session), ==, 5);
    g_assert_cmpuint(gpudl_session_get_memory(use->session, NULL, NULL), ==, 7050);
    /* buckets that appear later */
    fake_lock(fake);
    fake->is.n_buckets = 2;
    fake_unlock(fake);
    fake->change();
    check_sizes(fake, use, 9, (const guint[]){4, 4, 1});
}

static void test_changes_may_come_before_open_returns(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    g_autoptr(Use) use = NULL;

    FAKE_SET(fake, is.early_run_time_ns, 4711);
    use = use_new((GpudlSessionConfig){.backend = backend}, 0);
    g_assert_cmpuint(gpudl_session_get_run_time(use->session), ==, 4711);
}

static void test_wrong_changes_are_ignored(void)
{
    Fake *fake = begin_with_buckets((const guint64[]){10, 12, 100});
    g_autoptr(Use) use = use_new((GpudlSessionConfig){.backend = "cuda"}, 40);

    FAKE_SET(fake, is.n_slots, 2);
    g_test_expect_message("gpudl", G_LOG_LEVEL_MESSAGE, "*is ignored*another number of slots*");
    fake->change();
    g_test_assert_expected_messages();
    FAKE_SET(fake, is.n_slots, 1);
    FAKE_SET(fake, is.more_frames, 16);
    g_test_expect_message("gpudl", G_LOG_LEVEL_MESSAGE, "*is ignored*another largest batch*");
    fake->change();
    g_test_assert_expected_messages();
    FAKE_SET(fake, is.more_frames, 0);
    FAKE_SET(fake, is.buckets[1], 1);
    g_test_expect_message("gpudl", G_LOG_LEVEL_MESSAGE, "*is ignored*do not ascend*");
    fake->change();
    g_test_assert_expected_messages();
    check_sizes(fake, use, 6, (const guint[]){4, 2});
}

/* ---- idle time --------------------------------------------------------------------------------------------------- */

static void run_some(Use *use)
{
    for (guint i = 0; i < use->n; i++)
        use_submit(use, i, 0);
    for (guint i = 0; i < use->n; i++)
        use_check(use, i, GOOD);
}

static void test_idle_until_there_is_no_more(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(Use) use = NULL;

    FAKE_SET(fake, does.idle_rounds, 3);
    use = use_new((GpudlSessionConfig){.backend = "cuda"}, 20);
    FAKE_AWAIT(fake, idles, 4);
    run_some(use);
    g_usleep(20000);
    g_assert_cmpuint(FAKE_SEEN(fake, idles), ==, 4);
}

/* The fake ends the process if it is called beside anything. */
static void test_idle_only_while_nothing_is_under_way(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(Use) use = NULL;
    guint before;

    FAKE_SET(fake, does.idle_rounds, 1000000);
    FAKE_SET(fake, does.idle_us, 200);
    use = use_new((GpudlSessionConfig){.backend = "cuda"}, 40);
    for (guint i = 0; i < 10; i++) {
        FAKE_AWAIT(fake, idles, i * 3);
        run_some(use);
    }
    FAKE_SET(fake, does.hold, 1);
    use_submit(use, 0, 0);
    FAKE_AWAIT(fake, under_way, 1);
    before = FAKE_SEEN(fake, idles);
    g_usleep(20000);
    g_assert_cmpuint(FAKE_SEEN(fake, idles), ==, before);
    FAKE_SET(fake, does.hold, 0);
    use_check(use, 0, GOOD);
    FAKE_AWAIT(fake, idles, before + 3); /* and again */
    FAKE_SET(fake, does.idle_rounds, 0);
}

/* What a module waits for is waited for by the host, whom a frame wakes up. */
static void test_a_module_that_waits_is_left_alone(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(Use) use = NULL;
    gint64 begin;

    FAKE_SET(fake, does.idle_later, 1);
    FAKE_SET(fake, does.idle_rounds, 20);
    begin = g_get_monotonic_time();
    use = use_new((GpudlSessionConfig){.backend = "cuda"}, 40);
    FAKE_AWAIT(fake, idles, 5);
    run_some(use);
    FAKE_AWAIT(fake, idles, 21);
    g_assert_cmpint(g_get_monotonic_time() - begin, >=, 20 * 2000 * 9 / 10);
    FAKE_SET(fake, does.idle_later, 0);
}

/* Without the host's word it would never return. */
static void test_idle_is_told_that_something_waits(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(Use) use = NULL;

    FAKE_SET(fake, does.idle_busy, 1);
    FAKE_SET(fake, does.idle_rounds, 1000000);
    use = use_new((GpudlSessionConfig){.backend = "cuda"}, 1);
    for (guint i = 1; i <= 20; i++) {
        FAKE_AWAIT(fake, idles, i);
        FAKE_AWAIT(fake, idling, 1);
        run_some(use);
        g_assert_cmpuint(FAKE_SEEN(fake, submits), ==, i);
    }
    FAKE_AWAIT(fake, idling, 1); /* and that the session ends */
}

/* A frame that comes while the host leaves the module alone does not wait for the end of that. */
static void test_a_frame_ends_the_wait_for_a_module(void)
{
    enum { N = 200 };
    Fake *fake = fake_begin("cuda");
    g_autoptr(Use) use = NULL;
    gint64 taken[N];
    guint quick = 0;

    FAKE_SET(fake, does.idle_later, 1);
    FAKE_SET(fake, does.idle_rounds, 1000000);
    use = use_new((GpudlSessionConfig){.backend = "cuda"}, 1);
    for (guint i = 0; i < N; i++) {
        gint64 begin;

        FAKE_AWAIT(fake, idles, i);
        begin = g_get_monotonic_time();
        run_some(use);
        taken[i] = g_get_monotonic_time() - begin;
        quick += taken[i] < 900; /* uniformly spread over 2000 us it would be half of them */
    }
    g_test_message("%u of %u were served within 0.9 ms", quick, N);
    g_assert_cmpuint(quick, >, N * 6 / 10);
}

static void test_failure_while_idle_ends_tuning(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(Use) use = NULL;

    FAKE_SET(fake, does.idle_rounds, 10);
    fake_lock(fake);
    fake->does.idle_status = GPUDL_STATUS_FAILED;
    fake_unlock(fake);
    use = use_new((GpudlSessionConfig){.backend = "cuda"}, 10);
    FAKE_AWAIT(fake, idles, 1);
    run_some(use);
    g_usleep(5000);
    g_assert_cmpuint(FAKE_SEEN(fake, idles), ==, 1);
}

static void test_device_may_fail_while_idle(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(Use) use = NULL;
    g_autoptr(GError) error = NULL;
    GpudlSession *fresh;

    FAKE_SET(fake, does.hang_idle, 1);
    fake_lock(fake);
    fake->does.idle_status = GPUDL_STATUS_DEVICE;
    fake_unlock(fake);
    use = use_new((GpudlSessionConfig){.backend = "cuda"}, 5);
    FAKE_AWAIT(fake, stuck, 1);
    for (guint i = 0; i < 5; i++)
        use_submit(use, i, 0);
    FAKE_SET(fake, does.hang_idle, 0);
    for (guint i = 0; i < 5; i++)
        use_check(use, i, GPUDL_ERROR_DEVICE);
    g_assert_cmpuint(FAKE_SEEN(fake, submits), ==, 0);
    g_assert_false(gpudl_request_submit_tensor(use->requests[0], use->values[0], &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
    fake_lock(fake);
    fake->does.idle_status = GPUDL_STATUS_OK;
    fake_unlock(fake);
    fresh = acquire(use->model, "cuda");
    g_assert_true(fresh != use->session);
    gpudl_session_unref(fresh);
}

/* ---- profiles ---------------------------------------------------------------------------------------------------- */

static gpointer submit_and_wait(gpointer data)
{
    for (guint i = 0; i < 30; i++)
        run_some(data);
    return NULL;
}

static void test_profile_beside_frames(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    g_autoptr(Use) use = use_new((GpudlSessionConfig){.backend = backend}, 20);
    GThread *thread = g_thread_new("frames", submit_and_wait, use);
    guint batch = gpudl_session_get_max_batch(use->session);

    for (guint i = 0; i < 20; i++) {
        g_autoptr(GError) error = NULL;
        GArray *steps = gpudl_session_profile(use->session, batch, 3, &error);

        g_assert_no_error(error);
        g_assert_cmpuint(steps->len, ==, 2);
        for (guint k = 0; k < 2; k++) {
            const GpudlProfileStep *step = &g_array_index(steps, GpudlProfileStep, k);

            g_assert_cmpstr(step->node, ==, k == 0 ? "add" : "head0");
            g_assert_cmpstr(step->op, ==, k == 0 ? "Add" : "Reshape");
            g_assert_cmpstr(step->implementation, ==, "fake");
            g_assert_cmpuint(step->n_nodes, ==, 1);
            g_assert_cmpuint(step->ns, ==, 1000 * (k + 1) * batch);
            g_assert_cmpuint(step->bytes, ==, 64 * (k + 1));
            g_assert_cmpuint(step->flops, ==, 32 * (k + 1));
        }
        g_array_unref(steps);
    }
    g_thread_join(thread);
    g_assert_cmpuint(FAKE_SEEN(fake, profiles), ==, 20);
}

static void check_no_profile(GpudlSession *session, guint batch, guint runs, GpudlError code)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(gpudl_session_profile(session, batch, runs, &error));
    g_assert_error(error, GPUDL_ERROR, (gint)code);
}

static gpointer profile_dying(gpointer session)
{
    check_no_profile(session, 1, 1, GPUDL_ERROR_DEVICE);
    return NULL;
}

static void test_profiles_may_fail(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    g_autoptr(Use) use = use_new((GpudlSessionConfig){.backend = backend}, 10);
    GThread *thread;

    check_no_profile(use->session, 0, 1, GPUDL_ERROR_INVALID_ARGUMENT);
    check_no_profile(use->session, 1, 0, GPUDL_ERROR_INVALID_ARGUMENT);
    check_no_profile(use->session, 100, 1, GPUDL_ERROR_INVALID_ARGUMENT);
    fake_lock(fake);
    fake->does.profile_status = GPUDL_STATUS_FAILED;
    fake_unlock(fake);
    check_no_profile(use->session, 1, 1, GPUDL_ERROR_FAILED);
    fake->table->profile = NULL;
    check_no_profile(use->session, 1, 1, GPUDL_ERROR_UNSUPPORTED);
    fake->table->profile = fake->whole->profile;
    fake_lock(fake);
    fake->does.profile_status = GPUDL_STATUS_OK;
    fake_unlock(fake);
    for (guint wrong = 1; wrong <= 3; wrong++) {
        FAKE_SET(fake, does.wrong_rows, wrong);
        check_no_profile(use->session, 1, 1, GPUDL_ERROR_BACKEND);
    }
    FAKE_SET(fake, does.wrong_rows, 0);
    run_some(use);

    /* it waits for a slot while the device dies */
    FAKE_SET(fake, does.hold, 1);
    for (guint i = 0; i < 10; i++)
        use_submit(use, i, 0);
    FAKE_AWAIT(fake, under_way, 2);
    thread = g_thread_new("profile", profile_dying, use->session);
    g_usleep(10000);
    FAKE_SET(fake, does.die, 1);
    g_thread_join(thread);
    for (guint i = 0; i < 10; i++)
        use_check(use, i, GPUDL_ERROR_DEVICE);
    check_no_profile(use->session, 1, 1, GPUDL_ERROR_DEVICE);
    g_assert_cmpuint(FAKE_SEEN(fake, profiles), ==, 5);
}

static void test_device_may_fail_in_a_profile(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    g_autoptr(Use) use = use_new((GpudlSessionConfig){.backend = backend}, 1);

    fake_lock(fake);
    fake->does.profile_status = GPUDL_STATUS_DEVICE;
    fake_unlock(fake);
    check_no_profile(use->session, 1, 1, GPUDL_ERROR_DEVICE);
    g_assert_false(gpudl_request_submit_tensor(use->requests[0], use->values[0], NULL));
    check_no_profile(use->session, 1, 1, GPUDL_ERROR_DEVICE);
}

/* ---- callbacks --------------------------------------------------------------------------------------------------- */

static void wait_for_next_execution(GpudlRequest *request, gpointer data)
{
    Fake *fake = data;

    FAKE_AWAIT(fake, submits, 2);
}

/* The slot is free before its requests are told: a callback that takes its time keeps no frame from starting. */
static void test_callbacks_keep_no_frame_from_starting(void)
{
    Fake *fake = begin_with_buckets((const guint64[]){0, 0, 0});
    g_autoptr(Use) use = use_new((GpudlSessionConfig){.backend = "cuda"}, 2);

    gpudl_request_set_callback(use->requests[0], wait_for_next_execution, fake);
    FAKE_SET(fake, does.hold, 1);
    use_submit(use, 0, 0);
    FAKE_AWAIT(fake, under_way, 1);
    use_submit(use, 1, 0);
    FAKE_SET(fake, does.hold, 0);
    use_check(use, 0, GOOD);
    use_check(use, 1, GOOD);
}

static void cancel_others(GpudlRequest *request, gpointer data)
{
    Use *use = data;

    g_assert_true(gpudl_request_is_done(request));
    for (guint i = 1; i < use->n; i++)
        gpudl_request_cancel(use->requests[i]);
    g_atomic_int_inc(&use->told);
}

/* No lock is held in a callback: it may call back into the library. */
static void test_callbacks_may_cancel(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    Use *use = use_new((GpudlSessionConfig){.backend = backend, .batch_size = 1}, 20);
    guint n_cancelled = 0;

    gpudl_request_set_callback(use->requests[0], cancel_others, use);
    FAKE_SET(fake, does.hold, 1);
    for (guint i = 0; i < 20; i++)
        use_submit(use, i, 0);
    FAKE_AWAIT(fake, under_way, 2);
    FAKE_SET(fake, does.delay_us, 100000);
    FAKE_SET(fake, does.hold, 0);
    for (guint i = 0; i < 20; i++)
        n_cancelled += !gpudl_request_wait(use->requests[i], NULL);
    g_assert_cmpuint(n_cancelled, >=, 15);
    for (guint i = 0; i < 20; i++)
        gpudl_request_free(use->requests[i]);
    g_assert_cmpint(use->told, ==, 20);
    use->n = 0;
    use_free(use);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/batches/by-hand", test_batches_by_hand);
    g_test_add_func("/batches/of-random-times", test_batches_of_random_times);
    g_test_add_func("/batches/wrong-buckets-are-told", test_wrong_buckets_are_told);
    g_test_add_func("/turns/executions-are-as-large-as-is-soonest", test_executions_are_as_large_as_is_soonest);
    g_test_add_func("/turns/changes-count-at-once", test_changes_count_at_once);
    add_for_both("/turns", "changes-may-come-before-open-returns", test_changes_may_come_before_open_returns);
    g_test_add_func("/turns/wrong-changes-are-ignored", test_wrong_changes_are_ignored);
    g_test_add_func("/turns/idle-until-there-is-no-more", test_idle_until_there_is_no_more);
    g_test_add_func("/turns/idle-only-while-nothing-is-under-way", test_idle_only_while_nothing_is_under_way);
    g_test_add_func("/turns/a-module-that-waits-is-left-alone", test_a_module_that_waits_is_left_alone);
    g_test_add_func("/turns/a-frame-ends-the-wait-for-a-module", test_a_frame_ends_the_wait_for_a_module);
    g_test_add_func("/turns/idle-is-told-that-something-waits", test_idle_is_told_that_something_waits);
    g_test_add_func("/turns/failure-while-idle-ends-tuning", test_failure_while_idle_ends_tuning);
    g_test_add_func("/turns/device-may-fail-while-idle", test_device_may_fail_while_idle);
    add_for_both("/turns", "profile-beside-frames", test_profile_beside_frames);
    add_for_both("/turns", "profiles-may-fail", test_profiles_may_fail);
    add_for_both("/turns", "device-may-fail-in-a-profile", test_device_may_fail_in_a_profile);
    g_test_add_func("/turns/callbacks-keep-no-frame-from-starting", test_callbacks_keep_no_frame_from_starting);
    add_for_both("/turns", "callbacks-may-cancel", test_callbacks_may_cancel);
    return g_test_run();
}

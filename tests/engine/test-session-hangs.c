/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that do not answer: requests end in time, nobody hangs, and what the device may still read is not freed. The
 * engines stay for the life of the process. */
#include <string.h>

#include "session-test.h"

#define SOON_NS (SECOND_NS / 20)

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
    g_assert_cmpuint(FAKE_SEEN(fake, submits), <=, 2); /* the second slot may come too late on a busy machine */
    for (guint i = 0; i < N; i++)                      /* values that were not staged are read for ever */
        g_assert_cmpint(gpudl_request_is_lost(use->requests[i]), ==,
                        g_str_equal(backend, "cpu") && i < FAKE_SEEN(fake, running));
    g_assert_false(gpudl_request_submit_tensor(use->requests[N - 1], use->values[0], &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
    told = g_strdup_printf("has not answered for 0.1 s and is given up, with %u frame%s under way",
                           FAKE_SEEN(fake, running), FAKE_SEEN(fake, running) == 1 ? "" : "s");
    g_assert_nonnull(strstr(error->message, told));
    check_unlisted(use->model, use->session, backend);
    if (g_str_equal(backend, "cpu")) /* the values of what is lost: not to be freed */
        use->values = g_memdup2(use->values, N * sizeof use->values[0]);
    let_go(use, N);
    g_assert_cmpuint(FAKE_SEEN(fake, closes), ==, 1); /* the fresh one */
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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_for_both("/hangs", "slow-is-not-hung", test_slow_is_not_hung);
    add_for_both("/hangs", "time-out", test_time_out);
    g_test_add_func("/hangs/lost-frames", test_lost_frames);
    g_test_add_func("/hangs/hung-submit", test_hung_submit);
    g_test_add_func("/hangs/hung-submit-beside-a-slot-that-ends", test_hung_submit_beside_a_slot_that_ends);
    g_test_add_func("/hangs/hung-idle", test_hung_idle);
    g_test_add_func("/hangs/devices-given-up-are-left-alone", test_devices_given_up_are_left_alone);
    g_test_add_func("/hangs/time-out-ends-all-calls", test_time_out_ends_all_calls);
    return g_test_run();
}

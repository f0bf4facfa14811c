/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions, streams and requests over a fake backend, synchronous ("cpu") and asynchronous ("cuda"). */
#include <math.h>
#include <string.h>

#include "session-test.h"

static void test_shared(gconstpointer data)
{
    g_autoptr(GpudlModel) model = make_model(), other = make_model();
    GpudlSession *a = acquire(model, data), *b = acquire(model, data), *c = acquire(other, data);

    g_assert_true(a == b);
    g_assert_true(a != c); /* no id: another object is another model */
    g_assert_cmpstr(gpudl_session_get_backend(a), ==, data);
    g_assert_cmpstr(gpudl_session_get_device_name(a), ==, "fake");
    gpudl_session_unref(a);
    g_assert_cmpstr(gpudl_session_get_backend(b), ==, data);
    gpudl_session_unref(b);
    gpudl_session_unref(c);
}

static void test_defaults_are_one_configuration(gconstpointer data)
{
    Fake *fake = fake_begin(data);
    g_autoptr(GpudlModel) model = make_model();
    GpudlSessionConfig config = {.backend = data};
    GpudlSession *first, *zero, *other;

    FAKE_SET(fake, is.max_batch, 5);
    first = acquire(model, data);
    zero = gpudl_session_acquire(model, &config, NULL, NULL);
    g_assert_true(first == zero); /* device -1 and device 0 are both the first */
    config.batch_size = 3;
    other = gpudl_session_acquire(model, &config, NULL, NULL);
    g_assert_true(other != first);
    gpudl_session_unref(other);
    config = (GpudlSessionConfig){.backend = data, .activation = GPUDL_ACTIVATION_SOFTMAX};
    other = gpudl_session_acquire(model, &config, NULL, NULL);
    g_assert_true(other == first); /* what AUTO means for this model */
    gpudl_session_unref(other);
    config.activation = GPUDL_ACTIVATION_SIGMOID;
    other = gpudl_session_acquire(model, &config, NULL, NULL);
    g_assert_true(other != first);
    gpudl_session_unref(other);
    gpudl_session_unref(zero);
    gpudl_session_unref(first);
}

static void test_results_do_not_mix(gconstpointer data)
{
    enum { N_STREAMS = 3, N = 40 };
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GpudlSession) session = acquire(model, data);
    GpudlStream *streams[N_STREAMS];
    GpudlRequest *requests[N_STREAMS][N];
    float values[N_STREAMS][N][N_CLASSES];
    guint biggest = 0;

    for (guint s = 0; s < N_STREAMS; s++)
        streams[s] = gpudl_stream_new(session, gpudl_session_get_model(session));
    for (guint i = 0; i < N; i++) {
        for (guint s = 0; s < N_STREAMS; s++) {
            for (guint v = 0; v < N_CLASSES; v++)
                values[s][i][v] = v == 0 ? 300 : (float)(s * 10000 + i * 100 + v);
            requests[s][i] = gpudl_request_new(streams[s]);
            g_assert_true(gpudl_request_submit_tensor(requests[s][i], values[s][i], NULL));
        }
    }
    for (guint s = 0; s < N_STREAMS; s++) {
        for (guint i = 0; i < N; i++) {
            g_autoptr(GError) error = NULL;

            gpudl_request_wait(requests[s][i], &error);
            g_assert_no_error(error);
            g_assert_cmpmem(gpudl_request_get_scores(requests[s][i], 0), sizeof values[s][i], values[s][i],
                            sizeof values[s][i]);
            biggest = MAX(biggest, gpudl_request_get_timing(requests[s][i])->batch);
            if (i > 0) /* oldest first within a stream */
                g_assert_cmpint(gpudl_request_get_timing(requests[s][i])->started, >=,
                                gpudl_request_get_timing(requests[s][i - 1])->started);
            g_assert_cmpint(gpudl_request_get_timing(requests[s][i])->finished, >=,
                            gpudl_request_get_timing(requests[s][i])->submitted);
        }
    }
    g_assert_cmpuint(biggest, ==, gpudl_session_get_max_batch(session));
    for (guint s = 0; s < N_STREAMS; s++) {
        for (guint i = 0; i < N; i++)
            gpudl_request_free(requests[s][i]);
        gpudl_stream_free(streams[s]);
    }
}

static void test_streams_take_turns(gconstpointer data)
{
    enum { N = 20 };
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GpudlSession) session = acquire(model, data);
    GpudlStream *busy = gpudl_stream_new(session, gpudl_session_get_model(session)),
                *late = gpudl_stream_new(session, gpudl_session_get_model(session));
    GpudlRequest *requests[N], *one = gpudl_request_new(late);
    float values[N_CLASSES] = {2000 - 1}; /* about 2 ms each */

    for (guint i = 0; i < N; i++) {
        requests[i] = gpudl_request_new(busy);
        g_assert_true(gpudl_request_submit_tensor(requests[i], values, NULL));
    }
    g_assert_true(gpudl_request_submit_tensor(one, values, NULL));
    g_assert_true(gpudl_request_wait(one, NULL));
    for (guint i = 0; i < N; i++)
        g_assert_true(gpudl_request_wait(requests[i], NULL));
    /* it came last and had to wait for what ran and for one turn of the other, not for the other's long queue */
    g_assert_cmpint(gpudl_request_get_timing(one)->started, <, gpudl_request_get_timing(requests[N - 1])->started);
    g_assert_cmpint(gpudl_request_get_timing(one)->finished, <, gpudl_request_get_timing(requests[N - 1])->finished);
    for (guint i = 0; i < N; i++)
        gpudl_request_free(requests[i]);
    gpudl_request_free(one);
    gpudl_stream_free(busy);
    gpudl_stream_free(late);
}

static void count_call(GpudlRequest *request, gpointer data)
{
    g_assert_true(gpudl_request_is_done(request));
    g_atomic_int_inc((gint *)data);
}

static void test_cancelled_requests_are_told_once(gconstpointer data)
{
    enum { N = 30 };
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GpudlSession) session = acquire(model, data);
    g_autoptr(GpudlStream) stream = gpudl_stream_new(session, gpudl_session_get_model(session));
    GpudlRequest *requests[N];
    float values[N_CLASSES] = {100000};
    guint n_cancelled = 0;
    gint calls = 0;

    for (guint i = 0; i < N; i++) {
        requests[i] = gpudl_request_new(stream);
        gpudl_request_set_callback(requests[i], count_call, &calls);
        g_assert_true(gpudl_request_submit_tensor(requests[i], values, NULL));
    }
    for (guint i = 0; i < N; i++)
        gpudl_request_cancel(requests[i]);
    for (guint i = 0; i < N; i++) {
        g_autoptr(GError) error = NULL;

        if (!gpudl_request_wait(requests[i], &error)) {
            g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
            g_assert_null(gpudl_request_get_scores(requests[i], 0));
            n_cancelled++;
        }
    }
    g_assert_cmpuint(n_cancelled, >=, N - 12); /* 2 slots of at most 4 ran already, and what was taken meanwhile */
    for (guint i = 0; i < N; i++)
        gpudl_request_free(requests[i]); /* waits for the callbacks */
    g_assert_cmpint(calls, ==, N);
}

static void test_failed_run_fails_its_requests_only(gconstpointer data)
{
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GpudlSession) session = acquire(model, data);
    g_autoptr(GpudlStream) stream = gpudl_stream_new(session, gpudl_session_get_model(session));
    g_autoptr(GpudlRequest) request = gpudl_request_new(stream);
    g_autoptr(GError) error = NULL;
    float values[N_CLASSES] = {FAKE_FAILS};

    g_assert_true(gpudl_request_submit_tensor(request, values, NULL));
    g_assert_false(gpudl_request_wait(request, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED);
    g_assert_nonnull(strstr(error->message, "asked to fail"));
    values[0] = 1;
    g_assert_true(gpudl_request_submit_tensor(request, values, NULL));
    g_assert_true(gpudl_request_wait(request, NULL));
}

static void test_dead_device_ends_the_session(gconstpointer data)
{
    enum { N = 10 };
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GpudlSession) session = acquire(model, data);
    g_autoptr(GpudlStream) stream = gpudl_stream_new(session, gpudl_session_get_model(session));
    GpudlRequest *requests[N];
    float die[N_CLASSES] = {FAKE_DIES}, slow[N_CLASSES] = {5000 - 1};
    guint n_dead = 0;
    gint calls = 0;

    for (guint i = 0; i < N; i++) {
        requests[i] = gpudl_request_new(stream);
        gpudl_request_set_callback(requests[i], count_call, &calls);
        /* may be refused already */
        if (!gpudl_request_submit_tensor(requests[i], i == 0 ? die : slow, NULL))
            g_atomic_int_inc(&calls);
    }
    for (guint i = 0; i < N; i++) {
        g_autoptr(GError) error = NULL;

        if (!gpudl_request_wait(requests[i], &error) && g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE))
            n_dead++;
    }
    g_assert_cmpuint(n_dead, >=, 1);
    {
        g_autoptr(GError) error = NULL;
        GpudlSession *fresh = acquire(model, data);

        g_assert_false(gpudl_request_submit_tensor(requests[0], slow, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
        g_assert_true(fresh != session); /* the dead one is found no more */
        gpudl_session_unref(fresh);
    }
    for (guint i = 0; i < N; i++)
        gpudl_request_free(requests[i]);
    g_assert_cmpint(calls, ==, N);
}

static void test_bad_frames_are_refused(gconstpointer data)
{
    Fake *fake = fake_begin(data);
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GpudlSession) session = (FAKE_SET(fake, is.memory_kinds, 1u << GPUDL_MEMORY_HOST), acquire(model, data));
    g_autoptr(GpudlStream) stream = gpudl_stream_new(session, gpudl_session_get_model(session));
    g_autoptr(GpudlRequest) request = gpudl_request_new(stream);
    guint8 pixels[64] = {42};
    GpudlFrame good = {.format = GPUDL_PIXEL_GRAY8, .width = 8, .height = 8, .planes = {pixels}, .strides = {8}};
    GpudlPreproc pp = *gpudl_model_get_preproc(model);
    g_autoptr(GError) error = NULL;
    GpudlFrame bad;
    const struct {
        GpudlFrame frame;
        const gchar *text;
    } cases[] = {
        {(bad = good, bad.width = 0, bad), "sides"},
        {(bad = good, bad.height = 40000, bad), "sides"},
        {(bad = good, bad.format = (GpudlPixelFormat)99, bad), "format"},
        {(bad = good, bad.planes[0] = NULL, bad), "address"},
        {(bad = good, bad.strides[0] = 7, bad), "stride"},
        {(bad = good, bad.crop_width = 9, bad.crop_height = 1, bad), "crop"},
        {(bad = good, bad.crop_width = 8, bad.crop_height = 8, bad.crop_x = 1, bad), "crop"},
        {(bad = good, bad.par_n = -1, bad), "aspect"},
        {(bad = good, bad.memory = GPUDL_MEMORY_CUDA, bad), "memory"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_clear_error(&error);
        g_assert_false(gpudl_request_submit(request, &cases[i].frame, NULL, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
        g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, cases[i].text));
    }
    g_clear_error(&error);
    g_assert_false(gpudl_request_submit_tensor(request, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    pp.width = 5;
    g_assert_false(gpudl_request_submit(request, &good, &pp, NULL));
    pp = *gpudl_model_get_preproc(model);
    pp.std[0] = 0;
    g_assert_false(gpudl_request_submit(request, &good, &pp, NULL));
    g_assert_true(gpudl_request_submit(request, &good, NULL, NULL));
    g_assert_true(gpudl_request_wait(request, NULL));
    g_assert_cmpfloat(gpudl_request_get_scores(request, 0)[42 % N_CLASSES], ==, 1);
}

static void test_top_k(gconstpointer data)
{
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GpudlSession) session = acquire(model, data);
    g_autoptr(GpudlStream) stream = gpudl_stream_new(session, gpudl_session_get_model(session));
    g_autoptr(GpudlRequest) request = gpudl_request_new(stream);
    float values[N_CLASSES] = {1, 5, 3, 5, NAN, 4};
    GpudlClass top[N_CLASSES];

    g_assert_cmpuint(gpudl_request_top_k(request, 0, 3, 0, top), ==, 0); /* nothing ran yet */
    g_assert_true(gpudl_request_submit_tensor(request, values, NULL));
    g_assert_true(gpudl_request_wait(request, NULL));
    g_assert_cmpuint(gpudl_request_top_k(request, 0, 3, 0, top), ==, 3);
    g_assert_cmpuint(top[0].id, ==, 1); /* equal ones by lower id */
    g_assert_cmpuint(top[1].id, ==, 3);
    g_assert_cmpuint(top[2].id, ==, 5);
    g_assert_cmpfloat(top[2].confidence, ==, 4);
    g_assert_cmpuint(gpudl_request_top_k(request, 0, 5, 3.5f, top), ==, 3);
    g_assert_cmpuint(gpudl_request_top_k(request, 0, 0, 0, top), ==, N_CLASSES - 1); /* NaN is above no threshold */
    g_assert_cmpuint(gpudl_request_top_k(request, 0, 1000, 10, top), ==, 0);
}

/* The same rules for many classes, which are sorted in another way. */
static void test_top_k_of_many(gconstpointer data)
{
    enum { N = 100 };
    g_autoptr(GpudlModel) model = make_model_of(10, 2);
    g_autoptr(GpudlSession) session = acquire(model, data);
    g_autoptr(GpudlStream) stream = gpudl_stream_new(session, model);
    g_autoptr(GpudlRequest) request = gpudl_request_new(stream);
    GpudlClass top[N];
    float values[N];

    for (guint i = 0; i < N; i++)
        values[i] = (float)(i / 2); /* pairs */
    values[7] = NAN;
    g_assert_true(gpudl_request_submit_tensor(request, values, NULL));
    g_assert_true(gpudl_request_wait(request, NULL));
    for (guint k = 60; k <= N + 1; k++) { /* on both sides of where the way changes, and more than there are */
        guint n = gpudl_request_top_k(request, 0, k, 20, top); /* at a threshold that two classes equal */

        g_assert_cmpuint(n, ==, 60);
        for (guint i = 0; i < n; i++) {
            g_assert_cmpuint(top[i].id, ==, i % 2 == 0 ? 98 - i : 100 - i); /* of equal ones the lower first */
            g_assert_cmpfloat(top[i].confidence, ==, values[top[i].id]);
        }
    }
    g_assert_cmpuint(gpudl_request_top_k(request, 0, 0, -1, top), ==, N - 1);
    g_assert_cmpuint(gpudl_request_top_k(request, 0, 70, 0, top), ==, 70);
    g_assert_cmpuint(gpudl_request_top_k(request, 0, 0, 49, top), ==, 2);
    g_assert_cmpuint(gpudl_request_top_k(request, 0, 0, 49.5f, top), ==, 0);
    g_assert_cmpuint(gpudl_request_top_k(request, 1, 1, 0, top), ==, 1); /* the other head */
    g_assert_cmpuint(top[0].id, ==, 97);
}

static void test_bad_configurations_are_refused(void)
{
    g_autoptr(GpudlModel) model = make_model(), many_heads = make_model_of(4, GPUDL_MAX_HEADS + 1);

    check_refused(model, &(GpudlSessionConfig){.backend = "tpu"}, GPUDL_ERROR_INVALID_ARGUMENT, "tpu");
    check_refused(model, &(GpudlSessionConfig){.backend = "cuda", .cuda_device_id = 3}, GPUDL_ERROR_NO_DEVICE,
                  "device 3 of 1");
    check_refused(model, &(GpudlSessionConfig){.backend = "cpu", .precision = GPUDL_PRECISION_FP8},
                  GPUDL_ERROR_UNSUPPORTED, "fp8");
    check_refused(model, &(GpudlSessionConfig){.backend = "cpu", .cpu_threads = 1025}, GPUDL_ERROR_INVALID_ARGUMENT,
                  "at most 1024");
    check_refused(model, &(GpudlSessionConfig){.backend = "cpu", .memory_limit = 1}, GPUDL_ERROR_NO_MEMORY,
                  "1 are allowed");
    check_refused(model,
                  &(GpudlSessionConfig){.backend = "cpu", .precision = (GpudlPrecision)(GPUDL_PRECISION_FP8 + 1)},
                  GPUDL_ERROR_INVALID_ARGUMENT, "is unknown");
    check_refused(model, &(GpudlSessionConfig){.backend = "cpu", .activation = (GpudlActivation)-1},
                  GPUDL_ERROR_INVALID_ARGUMENT, "is unknown");
    check_refused(model, &(GpudlSessionConfig){.backend = "cpu", .autotune = (GpudlAutotune)(GPUDL_AUTOTUNE_KNOWN + 1)},
                  GPUDL_ERROR_INVALID_ARGUMENT, "is unknown");
    check_refused(many_heads, &(GpudlSessionConfig){.backend = "cpu"}, GPUDL_ERROR_LIMIT, "17 outputs");
    /* a failed load leaves nothing behind */
    gpudl_session_unref(acquire(model, "cpu"));
}

/* What values give as scores, by the message that refuses them, NULL: that takes them. */
static void check_scores(GpudlRequest *request, const float *values, const gchar *says)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(gpudl_request_submit_tensor(request, values, NULL));
    g_assert_true(gpudl_request_wait(request, NULL));
    g_assert_true(gpudl_request_check_scores(request, 0, &error) == (says == NULL));
    if (says == NULL) {
        g_assert_no_error(error);
        return;
    }
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FINITE);
    if (!strstr(error->message, says))
        g_error("'%s' does not say '%s'", error->message, says);
}

static void test_scores_that_are_no_numbers_are_told(gconstpointer data)
{
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GpudlSession) session = acquire(model, data);
    g_autoptr(GpudlStream) stream = gpudl_stream_new(session, model);
    g_autoptr(GpudlRequest) request = gpudl_request_new(stream);
    g_autoptr(GError) error = NULL;
    float values[N_CLASSES] = {1, 5, 3};

    g_assert_false(gpudl_request_check_scores(request, 0, &error)); /* nothing ran yet */
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED);
    check_scores(request, values, NULL);
    for (guint i = 0; i < 2; i++) { /* wherever it lies */
        values[i == 0 ? 7 : N_CLASSES - 1] = NAN;
        check_scores(request, values, i == 0 ? "1 of 16 scores" : "2 of 16 scores");
        check_scores(request, values, "the first is class 7: nan");
        check_scores(request, values, gpudl_model_get_head_name(model, 0));
    }
    values[7] = INFINITY;
    values[N_CLASSES - 1] = 0;
    check_scores(request, values, "the first is class 7: inf");
    values[7] = G_MAXFLOAT;
    values[2] = -INFINITY; /* a class that is ruled out */
    check_scores(request, values, NULL);
    for (guint i = 0; i < N_CLASSES; i++)
        values[i] = i > 0 ? -INFINITY : -G_MAXFLOAT;
    check_scores(request, values, NULL);
    values[0] = -INFINITY; /* nothing is left */
    check_scores(request, values, "16 of 16 scores");
}

static void test_auto_takes_cuda_first(void)
{
    g_autoptr(GpudlModel) model = make_model();
    GpudlSession *session = acquire(model, NULL);

    g_assert_cmpstr(gpudl_session_get_backend(session), ==, "cuda");
    gpudl_session_unref(session);
}

/* A module that has no means for the model, at open() or before; not one that fails otherwise, nor one asked for by
 * name. */
static void test_auto_takes_the_next_where_one_refuses(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    GpudlStatus *const statuses[] = {&fake->does.open_status, &fake->does.resolve_status};

    fake_begin("cpu");
    for (guint i = 0; i < G_N_ELEMENTS(statuses); i++) {
        GpudlSession *session;

        fake_lock(fake);
        *statuses[i] = GPUDL_STATUS_UNSUPPORTED;
        fake_unlock(fake);
        g_test_expect_message("gpudl", G_LOG_LEVEL_MESSAGE, "*cuda*refuses*asked to*'cpu' is taken instead");
        session = acquire(model, i == 0 ? NULL : "auto");
        g_test_assert_expected_messages();
        g_assert_cmpstr(gpudl_session_get_backend(session), ==, "cpu");
        gpudl_session_unref(session);
        check_refused(model, &(GpudlSessionConfig){.backend = "cuda"}, GPUDL_ERROR_UNSUPPORTED, "asked to");
        fake_lock(fake);
        *statuses[i] = GPUDL_STATUS_NO_MEMORY;
        fake_unlock(fake);
        check_refused(model, &(GpudlSessionConfig){.backend = "auto"}, GPUDL_ERROR_NO_MEMORY, "asked to");
        fake_lock(fake);
        *statuses[i] = GPUDL_STATUS_OK;
        fake_unlock(fake);
    }
}

/* A device that can't be opened, whatever probe() said of it, is none; to who asks by name it is an error. */
static void test_auto_takes_the_next_where_a_device_is_unusable(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    GpudlSession *session;

    fake_begin("cpu");
    FAKE_SET(fake, does.device_status, GPUDL_STATUS_NO_MEMORY);
    g_test_expect_message("gpudl", G_LOG_LEVEL_MESSAGE, "*cuda*can't open*asked to*'cpu' is taken instead");
    session = acquire(model, "auto");
    g_test_assert_expected_messages();
    g_assert_cmpstr(gpudl_session_get_backend(session), ==, "cpu");
    gpudl_session_unref(session);
    check_refused(model, &(GpudlSessionConfig){.backend = "cuda"}, GPUDL_ERROR_NO_MEMORY, "asked to");
    FAKE_SET(fake_begin("cpu"), does.probe_status, GPUDL_STATUS_NO_DEVICE);
    check_refused(model, &(GpudlSessionConfig){.backend = "auto"}, GPUDL_ERROR_NO_MEMORY, "asked to");
    fake_begin("cuda");
    fake_begin("cpu");
}

/* If nobody can, what is told is what the first one said. */
static void test_auto_tells_what_the_first_refuses(void)
{
    Fake *cuda = fake_begin("cuda"), *cpu = fake_begin("cpu");
    g_autoptr(GpudlModel) model = make_model();

    fake_lock(cuda);
    cuda->does.open_status = GPUDL_STATUS_UNSUPPORTED;
    fake_unlock(cuda);
    fake_lock(cpu);
    cpu->does.open_status = GPUDL_STATUS_UNSUPPORTED;
    fake_unlock(cpu);
    check_refused(model, &(GpudlSessionConfig){.backend = "auto"}, GPUDL_ERROR_UNSUPPORTED, "'cuda'");
    fake_begin("cuda");
    fake_begin("cpu");
}

/* Cancelled on the next one, it is not the first one's refusal that ended it. */
static void test_auto_tells_that_it_was_cancelled(void)
{
    Fake *cuda = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;

    fake_begin("cpu");
    fake_lock(cuda);
    cuda->does.resolve_status = GPUDL_STATUS_UNSUPPORTED;
    fake_unlock(cuda);
    g_cancellable_cancel(cancellable);
    g_assert_null(gpudl_session_acquire(model, NULL, cancellable, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
    fake_begin("cuda");
}

static void test_missing_module_lists_what_was_tried(void)
{
    if (g_test_subprocess()) {
        g_autoptr(GpudlModel) model = make_model();

        g_setenv("GPUDL_BACKEND_PATH", "/nowhere:/no/where", TRUE);
        check_refused(model, &(GpudlSessionConfig){.backend = "cpu"}, GPUDL_ERROR_BACKEND, "/nowhere/gpudl-cpu.so");
        check_refused(model, &(GpudlSessionConfig){.backend = "cpu"}, GPUDL_ERROR_BACKEND, "/no/where/gpudl-cpu.so");
        check_refused(model, &(GpudlSessionConfig){.backend = "auto"}, GPUDL_ERROR_BACKEND, "gpudl-cuda.so");
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_for_both("/session", "shared-by-configuration", test_shared);
    add_for_both("/session", "defaults-are-one-configuration", test_defaults_are_one_configuration);
    add_for_both("/session", "results-do-not-mix", test_results_do_not_mix);
    add_for_both("/session", "streams-take-turns", test_streams_take_turns);
    add_for_both("/session", "cancelled-requests-are-told-once", test_cancelled_requests_are_told_once);
    add_for_both("/session", "failed-run-fails-its-requests-only", test_failed_run_fails_its_requests_only);
    add_for_both("/session", "dead-device-ends-the-session", test_dead_device_ends_the_session);
    add_for_both("/session", "bad-frames-are-refused", test_bad_frames_are_refused);
    add_for_both("/session", "top-k", test_top_k);
    add_for_both("/session", "top-k-of-many", test_top_k_of_many);
    add_for_both("/session", "scores-that-are-no-numbers-are-told", test_scores_that_are_no_numbers_are_told);
    g_test_add_func("/session/bad-configurations-are-refused", test_bad_configurations_are_refused);
    g_test_add_func("/session/auto-takes-cuda-first", test_auto_takes_cuda_first);
    g_test_add_func("/session/auto-takes-the-next-where-one-refuses", test_auto_takes_the_next_where_one_refuses);
    g_test_add_func("/session/auto-takes-the-next-where-a-device-is-unusable",
                    test_auto_takes_the_next_where_a_device_is_unusable);
    g_test_add_func("/session/auto-tells-what-the-first-refuses", test_auto_tells_what_the_first_refuses);
    g_test_add_func("/session/auto-tells-that-it-was-cancelled", test_auto_tells_that_it_was_cancelled);
    g_test_add_func("/session/missing-module-lists-what-was-tried", test_missing_module_lists_what_was_tried);
    return g_test_run();
}

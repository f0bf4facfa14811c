/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who shares a session and a device with whom, and what reaches the module. */
#include <string.h>

#include "engine/process.h"
#include "session-test.h"

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

/* Whether a configuration comes to the same session as another. */
static void check_shared(GpudlModel *model, GpudlSessionConfig a, GpudlSessionConfig b, gboolean expected)
{
    GpudlSession *first = acquire_with(model, a), *second = acquire_with(model, b);

    g_assert_cmpint(first == second, ==, expected);
    gpudl_session_unref(second);
    gpudl_session_unref(first);
}

static void test_what_means_nothing_is_shared(void)
{
    Fake *fake = fake_begin("cpu");
    g_autoptr(GpudlModel) model = make_model();
    const GpudlSessionConfig base = {.backend = "cpu", .cuda_device_id = -1};
    const GpudlSessionConfig same[] = {
        {.backend = "cpu", .cuda_device_id = 1},
        {.backend = "cpu", .batch_size = 1},
        {.backend = "cpu", .precision = GPUDL_PRECISION_FP32},
        {.backend = "cpu", .cpu_threads = 2}, /* what it makes by itself */
        {.backend = "cpu", .memory_limit = 1 << 30},
        {.backend = "cpu", .deterministic = TRUE},
        {.backend = "cpu", .autotune = GPUDL_AUTOTUNE_FULL},
        {.backend = "cpu", .priority = 7},
        {.backend = "cpu", .cache_dir = "/elsewhere"},
        {.backend = "cpu", .device_timeout = SECOND_NS},
        {.backend = "cpu", .activation = GPUDL_ACTIVATION_SOFTMAX},
    };

    for (guint i = 0; i < G_N_ELEMENTS(same); i++)
        check_shared(model, base, same[i], TRUE);
    g_assert_cmpuint(FAKE_SEEN(fake, opens), ==, G_N_ELEMENTS(same));
}

/* Each difference makes another session, and open() is told of it. */
static void test_what_matters_is_not_shared(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    const GpudlSessionConfig base = {.backend = "cuda"};
    GpudlSession *session, *other;
    GpudlOpenParams seen;

    FAKE_SET(fake, is.limit_matters, 1);
    session = acquire_with(model, base);
#define CHECK(setting, field, value)                                                                                   \
    {                                                                                                                  \
        GpudlSessionConfig config = base;                                                                              \
        config.setting;                                                                                                \
        other = acquire_with(model, config);                                                                           \
        g_assert_true(other != session);                                                                               \
        fake_lock(fake);                                                                                               \
        seen = fake->seen.last_open;                                                                                   \
        fake_unlock(fake);                                                                                             \
        g_assert_cmpint((gint64)seen.field, ==, value);                                                                \
        check_shared(model, config, config, TRUE);                                                                     \
        gpudl_session_unref(other);                                                                                    \
    }
    CHECK(precision = GPUDL_PRECISION_FP32, precision, GPUDL_PRECISION_FP32)
    CHECK(precision = GPUDL_PRECISION_BF16, precision, GPUDL_PRECISION_BF16)
    CHECK(activation = GPUDL_ACTIVATION_SIGMOID, activation, GPUDL_ACTIVATION_SIGMOID)
    CHECK(activation = GPUDL_ACTIVATION_NONE, activation, GPUDL_ACTIVATION_NONE)
    CHECK(batch_size = 3, batch_size, 3)
    CHECK(memory_limit = 5000, memory_limit, 5000)
    CHECK(deterministic = TRUE, deterministic, 1)
    CHECK(autotune = GPUDL_AUTOTUNE_OFF, autotune, GPUDL_AUTOTUNE_OFF)
    CHECK(autotune = GPUDL_AUTOTUNE_KNOWN, autotune, GPUDL_AUTOTUNE_KNOWN)
    CHECK(priority = 2, priority, 2)
#undef CHECK
    gpudl_session_unref(session);
}

static void test_threads_and_slots_are_as_asked(void)
{
    g_autoptr(GpudlModel) model = make_model();
    GpudlSession *session, *other;

    fake_begin("cpu");
    session = acquire(model, "cpu");
    other = acquire_with(model, (GpudlSessionConfig){.backend = "cpu", .cpu_threads = 5});
    g_assert_true(session != other);
    g_assert_cmpuint(gpudl_session_get_parallelism(session), ==, 2);
    g_assert_cmpuint(gpudl_session_get_parallelism(other), ==, 5);
    gpudl_session_unref(session);
    gpudl_session_unref(other);
}

static void test_cache_dir_is_the_users_or_as_asked(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    g_autofree gchar *usual = g_build_filename(g_get_user_cache_dir(), "gpudl", NULL);

    gpudl_session_unref(acquire(model, "cuda"));
    g_assert_cmpstr(fake->seen.last_open.cache_dir, ==, usual);
    gpudl_session_unref(acquire_with(model, (GpudlSessionConfig){.backend = "cuda", .cache_dir = "/there"}));
    g_assert_cmpstr(fake->seen.last_open.cache_dir, ==, "/there");
    gpudl_session_unref(acquire_with(model, (GpudlSessionConfig){.backend = "cuda", .cache_dir = ""}));
    g_assert_null(fake->seen.last_open.cache_dir);
}

static void test_cache_dir_may_be_named_for_the_process(void)
{
    if (g_test_subprocess()) {
        Fake *fake = fake_begin("cuda");
        g_autoptr(GpudlModel) model = make_model();

        gpudl_session_unref(acquire(model, "cuda"));
        g_assert_cmpstr(fake->seen.last_open.cache_dir, ==, "/named/here");
        return;
    }
    g_setenv("GPUDL_CACHE_DIR", "/named/here", TRUE);
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_unsetenv("GPUDL_CACHE_DIR");
    g_test_trap_assert_passed();
}

static void test_devices_are_not_mixed_up(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    GpudlSession *first, *second;

    FAKE_SET(fake, is.n_devices, 2);
    first = acquire_with(model, (GpudlSessionConfig){.backend = "cuda", .cuda_device_id = 0});
    g_assert_cmpint(fake->seen.last_device, ==, 0);
    second = acquire_with(model, (GpudlSessionConfig){.backend = "cuda", .cuda_device_id = 1});
    g_assert_cmpint(fake->seen.last_device, ==, 1);
    g_assert_true(first != second);
    g_assert_true(gpudl_session_get_device(first) != gpudl_session_get_device(second));
    g_assert_cmpint(gpudl_device_get_id(gpudl_session_get_device(second)), ==, 1);
    gpudl_session_unref(first);
    gpudl_session_unref(second);
    check_refused(model, &(GpudlSessionConfig){.backend = "cuda", .cuda_device_id = 2}, GPUDL_ERROR_NO_DEVICE,
                  "device 2 of 2");
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
}

/* The id may be a lie: what counts is what the network is. */
static void test_models_of_one_id_and_other_sizes_are_not_shared(void)
{
    g_autoptr(GpudlModel) small = make_model_of(4, 1), large = make_model_of(5, 1), two = make_model_of(4, 2),
                          same = make_model_of(4, 1);
    GpudlSession *session, *other;

    fake_begin("cpu");
    for (guint i = 0; i < 64; i++)
        small->content[i] = large->content[i] = two->content[i] = same->content[i] = 'a';
    session = acquire(small, "cpu");
    other = acquire(large, "cpu");
    g_assert_true(session != other);
    gpudl_session_unref(other);
    other = acquire(two, "cpu");
    g_assert_true(session != other);
    gpudl_session_unref(other);
    other = acquire(same, "cpu");
    g_assert_true(session == other);
    gpudl_session_unref(other);
    gpudl_session_unref(session);
}

static GpudlModel *make_mean(void)
{
    GpudlGraph *graph = gpudl_graph_new();
    GpudlShape shape = {4, {1, 1, 4, 4}};
    GpudlTensor *input = gpudl_graph_add_input(graph, "in", GPUDL_DTYPE_F32, &shape);
    GpudlNode *mean = gpudl_graph_add_node(graph, GPUDL_OP_GLOBAL_AVERAGE_POOL, "mean", &input, 1, NULL, 1);
    GpudlModel *model;

    gpudl_graph_add_output(graph, mean->outputs[0]);
    model = gpudl_model_new(graph, "mean", NULL, NULL);
    g_assert_nonnull(model);
    return model;
}

/* Requests are sized by the session's network, callers by the stream's model. */
static void test_streams_are_of_the_same_network(void)
{
    g_autoptr(GpudlModel) model = make_model_of(4, 1), same = make_model_of(4, 1), large = make_model_of(5, 1),
                          two = make_model_of(4, 2), mean = make_mean();
    GpudlModel *const others[] = {large, two, mean};
    GpudlSession *session;

    fake_begin("cpu");
    session = acquire(model, "cpu");
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        g_test_expect_message(NULL, G_LOG_LEVEL_CRITICAL, "*is_same_network*failed*");
        g_assert_null(gpudl_stream_new(session, others[i]));
        g_test_assert_expected_messages();
    }
    gpudl_stream_free(gpudl_stream_new(session, same));
    gpudl_session_unref(session);
}

/* ---- memory limits ----------------------------------------------------------------------------------------------- */

/* A limit that only permits is no part of what is shared, and yet is kept by each. */
static void test_who_joins_is_held_to_its_own_limit(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_model();
    GpudlSession *session = acquire(model, "cuda"), *other;

    check_refused(model, &(GpudlSessionConfig){.backend = "cuda", .memory_limit = 999}, GPUDL_ERROR_NO_MEMORY,
                  "memory limit of 999");
    other = acquire_with(model, (GpudlSessionConfig){.backend = "cuda", .memory_limit = 1000});
    g_assert_true(session == other);
    gpudl_session_unref(other);
    gpudl_session_unref(session);
    g_assert_cmpuint(FAKE_SEEN(fake, opens), ==, 1);

    session = acquire_with(model, (GpudlSessionConfig){.backend = "cuda", .memory_limit = 1001});
    g_assert_cmpuint(fake->seen.last_open.memory_limit, ==, 1001);
    gpudl_session_unref(session);
    check_refused(model, &(GpudlSessionConfig){.backend = "cuda", .memory_limit = 999}, GPUDL_ERROR_NO_MEMORY,
                  "999 are allowed");
}

typedef struct {
    GpudlModel *model;
    GpudlSessionConfig config;
    GCancellable *cancellable;
    GpudlSession *session;
    GError *error;
} Loader;

static gpointer load(gpointer data)
{
    Loader *loader = data;

    loader->session = gpudl_session_acquire(loader->model, &loader->config, loader->cancellable, &loader->error);
    return NULL;
}

static void test_anothers_limit_fails_nobody_else(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    g_autoptr(GpudlModel) model = make_model();
    Loader first = {.model = model, .config = {.backend = backend, .memory_limit = 1}},
           second = {.model = model, .config = {.backend = backend}},
           third = {.model = model, .config = {.backend = backend, .memory_limit = 2}};
    GThread *threads[3];

    FAKE_SET(fake, is.open_us, 100000);
    threads[0] = g_thread_new("first", load, &first);
    FAKE_AWAIT(fake, loading, 1);
    threads[1] = g_thread_new("second", load, &second);
    threads[2] = g_thread_new("third", load, &third);
    for (guint i = 0; i < 3; i++)
        g_thread_join(threads[i]);
    g_assert_error(first.error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY);
    g_assert_no_error(second.error);
    g_assert_error(third.error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY);
    g_assert_nonnull(strstr(third.error->message, "2"));
    gpudl_session_unref(second.session);
    g_clear_error(&first.error);
    g_clear_error(&third.error);
}

/* Who allows as much learns of it from the first one. */
static void test_a_limit_shared_is_tried_once(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    g_autoptr(GpudlModel) model = make_model();
    Loader loaders[3];
    GThread *threads[3];

    FAKE_SET(fake, is.open_us, 500000);
    for (guint i = 0; i < 3; i++) {
        loaders[i] = (Loader){.model = model, .config = {.backend = backend, .memory_limit = 1}};
        threads[i] = g_thread_new("load", load, &loaders[i]);
    }
    for (guint i = 0; i < 3; i++) {
        g_thread_join(threads[i]);
        g_assert_error(loaders[i].error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY);
        g_clear_error(&loaders[i].error);
    }
    g_assert_cmpuint(FAKE_SEEN(fake, loads), ==, 1);
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static void test_loading_is_cancelled_by_one_of_two(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    Loader first = {.model = model, .config = {.backend = backend}, .cancellable = cancellable},
           second = {.model = model, .config = {.backend = backend}};
    GThread *a, *b;

    FAKE_SET(fake, is.open_us, 60 * 1000 * 1000);
    a = g_thread_new("first", load, &first);
    FAKE_AWAIT(fake, loading, 1);
    b = g_thread_new("second", load, &second);
    g_usleep(20000);
    FAKE_SET(fake, is.open_us, 20000);
    g_cancellable_cancel(cancellable);
    g_thread_join(a);
    g_assert_error(first.error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
    g_assert_null(first.session);
    g_thread_join(b); /* takes over and loads on its own */
    g_assert_no_error(second.error);
    g_assert_nonnull(second.session);
    gpudl_session_unref(second.session);
    g_clear_error(&first.error);
    g_assert_cmpuint(FAKE_SEEN(fake, opens), ==, 1);
}

static void test_who_waits_for_another_can_be_cancelled(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GCancellable) first_ends = g_cancellable_new(), second_ends = g_cancellable_new();
    Loader first = {.model = model, .config = {.backend = backend}, .cancellable = first_ends},
           second = {.model = model, .config = {.backend = backend}, .cancellable = second_ends};
    GThread *a, *b;

    FAKE_SET(fake, is.open_us, 60 * 1000 * 1000);
    a = g_thread_new("first", load, &first);
    FAKE_AWAIT(fake, loading, 1);
    b = g_thread_new("second", load, &second);
    FAKE_AWAIT(fake, resolves, 2);
    g_usleep(20000);
    g_cancellable_cancel(second_ends);
    g_thread_join(b);
    g_assert_error(second.error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
    g_assert_cmpuint(FAKE_SEEN(fake, loading), ==, 1); /* the first goes on */
    g_cancellable_cancel(first_ends);
    g_thread_join(a);
    g_assert_error(first.error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
    g_assert_cmpuint(gpudl_session_count(), ==, 0);
    g_clear_error(&first.error);
    g_clear_error(&second.error);
}

/* Once open() has returned, well or not, nobody holds what the module has made its own of. */
static void test_constants_are_let_go_after_open(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    g_autoptr(GpudlModel) model = make_model();
    GpudlSession *session = acquire(model, backend);

    g_assert_cmpuint(model->holds, ==, 0);
    gpudl_session_unref(session);
    fake_lock(fake);
    fake->does.open_status = GPUDL_STATUS_UNSUPPORTED;
    fake_unlock(fake);
    check_refused(model, &(GpudlSessionConfig){.backend = backend}, GPUDL_ERROR_UNSUPPORTED, "asked to refuse");
    g_assert_cmpuint(model->holds, ==, 0);
}

static void note_progress(double done, const gchar *what, gpointer data)
{
    double *last = data;

    g_assert_cmpfloat(done, >=, *last);
    g_assert_cmpfloat(done, <=, 1);
    g_assert_cmpstr(what, ==, "taking time");
    *last = done;
}

static void test_who_loads_is_told_how_far(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    g_autoptr(GpudlModel) model = make_model();
    double last = 0;

    FAKE_SET(fake, is.open_us, 50000);
    gpudl_session_unref(acquire_with(
        model, (GpudlSessionConfig){.backend = backend, .progress = note_progress, .progress_data = &last}));
    g_assert_cmpfloat(last, >, 0.2);
}

/* The module's own threads go on beside everything, from within open() to close(). */
static void test_modules_may_tune_in_the_background(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    GCancellable *cancellable = g_cancellable_new();
    g_autoptr(GpudlModel) model = make_model();
    GpudlSessionConfig config = {.backend = backend};
    GpudlSession *session;
    GpudlStream *stream;
    GpudlRequest *request;
    float values[N_CLASSES] = {0};

    FAKE_SET(fake, is.tunes, 1);
    session = gpudl_session_acquire(model, &config, cancellable, NULL);
    g_cancellable_cancel(cancellable); /* nobody waits for open() any more */
    g_object_unref(cancellable);
    stream = gpudl_stream_new(session, model);
    request = gpudl_request_new(stream);
    for (guint i = 0; i < 100 || FAKE_SEEN(fake, changes) < 20; i++) {
        g_assert_true(gpudl_request_submit_tensor(request, values, NULL));
        g_assert_true(gpudl_request_wait(request, NULL));
        g_assert_cmpint(gpudl_session_get_precision(session), !=, GPUDL_PRECISION_AUTO);
        g_assert_cmpstr(gpudl_session_get_device_name(session), ==, "fake");
        g_assert_cmpuint(gpudl_session_get_run_time(session), >=, 10000000);
    }
    gpudl_request_free(request);
    gpudl_stream_free(stream);
    gpudl_session_unref(session);
}

/* An engine that the host does not want is told that it is closing, too. */
static void test_refused_engines_are_closed(gconstpointer backend)
{
    Fake *fake = fake_begin(backend);
    g_autoptr(GpudlModel) model = make_model();

    FAKE_SET(fake, is.tunes, 1);
    fake_lock(fake);
    fake->is.n_buckets = 2;
    fake->is.buckets[0] = fake->is.buckets[1] = 1;
    fake_unlock(fake);
    check_refused(model, &(GpudlSessionConfig){.backend = backend}, GPUDL_ERROR_BACKEND, "do not ascend");
    g_assert_cmpuint(FAKE_SEEN(fake, opens), ==, 1);
    g_assert_cmpuint(FAKE_SEEN(fake, closes), ==, 1);
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

static void count(gpointer owner)
{
    g_atomic_int_inc((gint *)owner);
}

static GpudlDevice *device_of(FakeContext *context, gint *released)
{
    g_autoptr(GError) error = NULL;
    GpudlDevice *device = gpudl_device_acquire("cuda", -1, context, released ? count : NULL, released, &error);

    g_assert_no_error(error);
    return device;
}

static void test_one_object_for_one_place(void)
{
    Fake *fake = fake_begin("cuda");
    GpudlDevice *first = device_of(NULL, NULL), *alias = device_of(&fake->primary[0], NULL),
                *again = gpudl_device_acquire("cuda", 0, NULL, NULL, NULL, NULL);
    FakeContext own = {.device = 0, .alive = 1};
    GpudlDevice *other = device_of(&own, NULL);

    g_assert_true(first == alias);
    g_assert_true(first == again);
    g_assert_true(gpudl_device_get_context(first) == &fake->primary[0]);
    g_assert_true(first != other);
    g_assert_true(gpudl_device_get_context(other) == &own);
    g_assert_cmpint(gpudl_device_get_id(other), ==, 0);
    g_assert_cmpstr(gpudl_device_get_backend(other), ==, "cuda");
    gpudl_device_unref(first);
    gpudl_device_unref(alias);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 2);
    gpudl_device_unref(again);
    gpudl_device_unref(other);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, device_opens), ==, FAKE_SEEN(fake, device_closes));
}

static void test_contexts_are_not_shared(void)
{
    FakeContext contexts[2] = {{.alive = 1}, {.alive = 1}};
    g_autoptr(GpudlModel) model = make_model();
    GpudlDevice *devices[2];
    GpudlSession *sessions[3];

    fake_begin("cuda");
    for (guint i = 0; i < 2; i++) {
        devices[i] = device_of(&contexts[i], NULL);
        sessions[i] = acquire_with(model, (GpudlSessionConfig){.device = devices[i]});
        g_assert_true(gpudl_session_get_device(sessions[i]) == devices[i]);
    }
    sessions[2] = acquire(model, "cuda");
    g_assert_true(sessions[0] != sessions[1]);
    g_assert_true(sessions[2] != sessions[0] && sessions[2] != sessions[1]);
    for (guint i = 0; i < 3; i++)
        gpudl_session_unref(sessions[i]);
    for (guint i = 0; i < 2; i++)
        gpudl_device_unref(devices[i]);
}

static void test_device_and_its_owner_outlive_sessions(void)
{
    Fake *fake = fake_begin("cuda");
    FakeContext context = {.alive = 1};
    g_autoptr(GpudlModel) model = make_model();
    gint released = 0;
    GpudlDevice *device = device_of(&context, &released);
    GpudlSession *session = acquire_with(model, (GpudlSessionConfig){.device = device});
    GpudlStream *stream = gpudl_stream_new(session, model);

    gpudl_device_unref(device);
    gpudl_session_unref(session);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 1);
    g_assert_cmpint(released, ==, 0);
    gpudl_stream_free(stream); /* the last one */
    g_assert_cmpuint(FAKE_SEEN(fake, engines), ==, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
    g_assert_cmpint(released, ==, 1);
    context.alive = 0;
}

static void test_owner_is_released_once_whatever_comes(void)
{
    Fake *fake = fake_begin("cuda");
    FakeContext context = {.alive = 1}, foreign = {.device = 1, .alive = 1};
    gint first = 0, second = 0, third = 0, fourth = 0, fifth = 0;
    g_autoptr(GError) error = NULL;
    GpudlDevice *device = device_of(&context, &first), *again = device_of(&context, &second);

    g_assert_true(device == again);
    g_assert_cmpint(first, ==, 0);
    g_assert_cmpint(second, ==, 1); /* it has an owner of its own */
    g_assert_null(gpudl_device_acquire("cuda", 0, &foreign, count, &third, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_assert_nonnull(strstr(error->message, "of device 1"));
    g_assert_cmpint(third, ==, 1);
    g_clear_error(&error);
    g_assert_null(gpudl_device_acquire("tpu", 0, NULL, count, &fourth, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_assert_cmpint(fourth, ==, 1);
    g_clear_error(&error);
    fake_lock(fake);
    fake->does.device_status = GPUDL_STATUS_NO_MEMORY;
    fake_unlock(fake);
    foreign.device = 0;
    g_assert_null(gpudl_device_acquire("cuda", 0, &foreign, count, &fifth, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY);
    g_assert_cmpint(fifth, ==, 1);
    gpudl_device_unref(device);
    g_assert_cmpint(first, ==, 0);
    gpudl_device_unref(again);
    g_assert_cmpint(first, ==, 1);
    g_assert_cmpint(second, ==, 1);
}

static void test_blocks_hold_the_device(void)
{
    Fake *fake = fake_begin("cuda");
    FakeContext context = {.alive = 1};
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GError) error = NULL;
    gint released = 0;
    GpudlDevice *device = device_of(&context, &released);
    GpudlSession *session = acquire_with(model, (GpudlSessionConfig){.device = device});
    guint8 *blocks[3];

    g_assert_true(gpudl_device_has_host_memory(device));
    for (guint i = 0; i < 3; i++) {
        gsize align = (gsize)64 << (6 * i);

        blocks[i] = gpudl_device_alloc_host(device, 1000, align, &error);
        g_assert_no_error(error);
        g_assert_cmpuint((guintptr)blocks[i] % align, ==, 0);
        memset(blocks[i], 1, 1000);
    }
    g_assert_null(gpudl_device_alloc_host(device, 1000, 48, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);
    g_assert_null(gpudl_device_alloc_host(device, 0, 64, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);
    g_assert_null(gpudl_device_alloc_host(device, (gsize)1 << 50, 64, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY);
    gpudl_session_unref(session);
    gpudl_device_unref(device);
    for (guint i = 0; i < 3; i++) {
        g_assert_cmpint(released, ==, 0);
        g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 1);
        blocks[i][999] = 2;
        gpudl_device_free_host(device, blocks[i]);
    }
    g_assert_cmpint(released, ==, 1);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
}

static void test_backends_without_devices(void)
{
    FakeContext context = {.alive = 1};
    g_autoptr(GError) error = NULL;
    GpudlDevice *first, *second;

    fake_begin("cpu");
    first = gpudl_device_acquire("cpu", 3, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    second = gpudl_device_acquire("cpu", -1, NULL, NULL, NULL, &error);
    g_assert_true(first == second);
    g_assert_false(gpudl_device_has_host_memory(first));
    g_assert_null(gpudl_device_alloc_host(first, 64, 64, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED);
    g_clear_error(&error);
    g_assert_null(gpudl_device_acquire("cpu", 0, &context, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    gpudl_device_unref(first);
    gpudl_device_unref(second);
}

static void test_device_and_backend_have_to_agree(void)
{
    g_autoptr(GpudlModel) model = make_model();
    GpudlDevice *device;

    fake_begin("cpu");
    fake_begin("cuda");
    device = device_of(NULL, NULL);
    check_refused(model, &(GpudlSessionConfig){.backend = "cpu", .device = device}, GPUDL_ERROR_INVALID_ARGUMENT,
                  "device of backend 'cuda'");
    gpudl_session_unref(acquire_with(model, (GpudlSessionConfig){.backend = "auto", .device = device}));
    gpudl_session_unref(acquire_with(model, (GpudlSessionConfig){.backend = "cuda", .device = device}));
    gpudl_device_unref(device);
}

static void test_devices_are_listed(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GError) error = NULL;
    GPtrArray *infos;
    enum { N = 10 }; /* more than there is room for at first */

    FAKE_SET(fake, is.n_devices, N);
    infos = gpudl_devices_list("cuda", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(infos->len, ==, N);
    for (guint i = 0; i < N; i++) {
        const GpudlDeviceInfo *info = infos->pdata[i];
        g_autofree gchar *address = g_strdup_printf("0000:%02x:00.0", i);

        g_assert_cmpint(info->id, ==, (gint)i);
        g_assert_cmpstr(info->address, ==, address);
        g_assert_cmpuint(info->memory_bytes, ==, 1000 * (i + 1));
        g_assert_cmpuint(info->free_bytes, ==, 500 * (i + 1));
        g_assert_cmpint(info->capability_major, ==, 9);
        g_assert_cmpint(info->capability_minor, ==, (gint)i);
    }
    g_ptr_array_unref(infos);
    fake_lock(fake);
    fake->does.devices_status = GPUDL_STATUS_NO_DEVICE;
    fake_unlock(fake);
    g_assert_null(gpudl_devices_list("cuda", &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_DEVICE);
}

/* Many threads come and go: each place is opened and closed as often, and never twice at a time. */
static gint n_released;

static gpointer come_and_go(gpointer context)
{
    for (guint i = 0; i < 300; i++) {
        GpudlDevice *device = gpudl_device_acquire("cuda", 0, i % 2 ? context : NULL, count, &n_released, NULL);
        gpointer block = gpudl_device_alloc_host(device, 100, 64, NULL);

        gpudl_device_unref(device);
        memset(block, 1, 100);
        gpudl_device_free_host(device, block);
    }
    return NULL;
}

static void test_devices_from_many_threads(void)
{
    Fake *fake = fake_begin("cuda");
    FakeContext context = {.alive = 1};
    GThread *threads[4];

    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("user", come_and_go, &context);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_assert_cmpint(n_released, ==, 4 * 300);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, device_opens), ==, FAKE_SEEN(fake, device_closes));
}

static gpointer open_second(gpointer data)
{
    *(GpudlDevice **)data = gpudl_device_acquire("cuda", 1, NULL, NULL, NULL, NULL);
    return NULL;
}

/* A driver may take seconds to open a device: who uses another one, or loses it, does not wait for that. */
static void test_opening_a_device_keeps_nobody_else(void)
{
    Fake *fake = fake_begin("cuda");
    GpudlDevice *device, *second = NULL;
    GThread *thread;
    gpointer block;
    Use *use;

    FAKE_SET(fake, is.n_devices, 2);
    use = use_new((GpudlSessionConfig){.backend = "cuda"}, 1);
    device = gpudl_session_get_device(use->session);
    FAKE_SET(fake, does.hang_device_open, 1);
    thread = g_thread_new("open", open_second, &second);
    FAKE_AWAIT(fake, opening, 1);
    block = gpudl_device_alloc_host(device, 64, 64, NULL);
    gpudl_session_unref(acquire_with(use->model, (GpudlSessionConfig){.device = device, .priority = 1}));
    use_submit(use, 0, FAKE_DIES);
    use_check(use, 0, GPUDL_ERROR_DEVICE);
    gpudl_device_free_host(device, block);
    use_free(use);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
    FAKE_SET(fake, does.hang_device_open, 0);
    g_thread_join(thread);
    g_assert_nonnull(second);
    gpudl_device_unref(second);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session-shared/what-means-nothing-is-shared", test_what_means_nothing_is_shared);
    g_test_add_func("/session-shared/what-matters-is-not-shared", test_what_matters_is_not_shared);
    g_test_add_func("/session-shared/threads-and-slots-are-as-asked", test_threads_and_slots_are_as_asked);
    g_test_add_func("/session-shared/cache-dir-is-the-users-or-as-asked", test_cache_dir_is_the_users_or_as_asked);
    g_test_add_func("/session-shared/cache-dir-may-be-named-for-the-process",
                    test_cache_dir_may_be_named_for_the_process);
    g_test_add_func("/session-shared/devices-are-not-mixed-up", test_devices_are_not_mixed_up);
    g_test_add_func("/session-shared/models-of-one-id-and-other-sizes-are-not-shared",
                    test_models_of_one_id_and_other_sizes_are_not_shared);
    g_test_add_func("/session-shared/streams-are-of-the-same-network", test_streams_are_of_the_same_network);
    g_test_add_func("/session-shared/who-joins-is-held-to-its-own-limit", test_who_joins_is_held_to_its_own_limit);
    add_for_both("/session-shared", "anothers-limit-fails-nobody-else", test_anothers_limit_fails_nobody_else);
    add_for_both("/session-shared", "a-limit-shared-is-tried-once", test_a_limit_shared_is_tried_once);
    add_for_both("/session-shared", "loading-is-cancelled-by-one-of-two", test_loading_is_cancelled_by_one_of_two);
    add_for_both("/session-shared", "who-waits-for-another-can-be-cancelled",
                 test_who_waits_for_another_can_be_cancelled);
    add_for_both("/session-shared", "constants-are-let-go-after-open", test_constants_are_let_go_after_open);
    add_for_both("/session-shared", "who-loads-is-told-how-far", test_who_loads_is_told_how_far);
    add_for_both("/session-shared", "modules-may-tune-in-the-background", test_modules_may_tune_in_the_background);
    add_for_both("/session-shared", "refused-engines-are-closed", test_refused_engines_are_closed);
    g_test_add_func("/device/one-object-for-one-place", test_one_object_for_one_place);
    g_test_add_func("/device/contexts-are-not-shared", test_contexts_are_not_shared);
    g_test_add_func("/device/device-and-its-owner-outlive-sessions", test_device_and_its_owner_outlive_sessions);
    g_test_add_func("/device/owner-is-released-once-whatever-comes", test_owner_is_released_once_whatever_comes);
    g_test_add_func("/device/blocks-hold-the-device", test_blocks_hold_the_device);
    g_test_add_func("/device/backends-without-devices", test_backends_without_devices);
    g_test_add_func("/device/device-and-backend-have-to-agree", test_device_and_backend_have_to_agree);
    g_test_add_func("/device/devices-are-listed", test_devices_are_listed);
    g_test_add_func("/device/opening-a-device-keeps-nobody-else", test_opening_a_device_keeps_nobody_else);
    g_test_add_func("/device/devices-from-many-threads", test_devices_from_many_threads);
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who shares a session with whom, and what reaches the module. */
#include <string.h>

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
    return g_test_run();
}

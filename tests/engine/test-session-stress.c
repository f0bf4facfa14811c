/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many threads acquire, submit, cancel, wait, fail, die and let go at random, over the fake backends. Made to be run
 * under a race detector as well; by itself it asserts that each request is told once, gets its own values, and ends as
 * the device says: what ended how is counted on both sides. */
#include <string.h>

#include "session-test.h"

enum { N_USERS = 6, N_REQUESTS = 8, N_ROUNDS = 12, N_STEPS = 150 };

typedef struct {
    guint good, failed, dead, cancelled, refused;
} Ends;

typedef struct {
    const gchar *backend;
    GpudlModel *model;
    guint32 seed;
    Ends ends;
} User;

/* What one user's session, stream and requests are for. */
typedef struct {
    GpudlRequest *requests[N_REQUESTS];
    float values[N_REQUESTS][N_CLASSES];
    gboolean submitted[N_REQUESTS];
    Ends *ends;
    gint stop; /* atomic */
    gint told; /* atomic */
} Round;

static void told(GpudlRequest *request, gpointer data)
{
    g_atomic_int_inc((gint *)data);
}

static gpointer cancel_at_random(gpointer data)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    Round *round = data;

    while (!g_atomic_int_get(&round->stop)) {
        gpudl_request_cancel(round->requests[g_rand_int_range(rand, 0, N_REQUESTS)]);
        g_usleep((gulong)g_rand_int_range(rand, 0, 500));
    }
    return NULL;
}

static gpointer cancel_later(gpointer cancellable)
{
    g_usleep(3000);
    g_cancellable_cancel(cancellable);
    return NULL;
}

/* Now and then a load that takes two seconds and is given up, by one of several who want it. */
static GpudlSession *acquire_at_random(const User *user, GRand *rand)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    GpudlSessionConfig config = {.backend = user->backend, .memory_limit = (guint64)g_rand_int_range(rand, 999, 1003)};
    GThread *canceller = NULL;
    GpudlSession *session;

    if (g_rand_int_range(rand, 0, 4) == 0) {
        canceller = g_thread_new("cancel", cancel_later, cancellable);
    }
    session = gpudl_session_acquire(user->model, &config, cancellable, &error);
    if (canceller)
        g_thread_join(canceller);
    if (session)
        return session;
    if (!canceller || !g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED)) {
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY);
        g_assert_cmpuint(config.memory_limit, ==, 999);
    }
    return NULL;
}

static void wait_and_check(Round *round, guint i)
{
    g_autoptr(GError) error = NULL;

    if (!round->submitted[i])
        return;
    if (gpudl_request_wait(round->requests[i], &error)) {
        g_assert_cmpmem(gpudl_request_get_scores(round->requests[i], 0), sizeof round->values[i], round->values[i],
                        sizeof round->values[i]);
        round->ends->good++;
    } else if (g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED)) {
        round->ends->cancelled++;
    } else if (g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_FAILED)) {
        round->ends->failed++;
    } else {
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
        round->ends->dead++;
    }
    round->submitted[i] = FALSE;
}

/* Returns the number of requests that were taken. */
static gint submit_at_random(Round *round, GRand *rand)
{
    gint taken = 0;

    for (guint step = 0; step < N_STEPS; step++) {
        guint i = (guint)g_rand_int_range(rand, 0, N_REQUESTS);
        g_autoptr(GError) error = NULL;
        gint what = g_rand_int_range(rand, 0, 1500);

        wait_and_check(round, i);
        for (guint v = 0; v < N_CLASSES; v++)
            round->values[i][v] = (float)g_rand_int_range(rand, 0, 100000);
        round->values[i][0] = what < 4 ? FAKE_DIES : what < 24 ? FAKE_FAILS : (float)g_rand_int_range(rand, 1, 300);
        round->submitted[i] = gpudl_request_submit_tensor(round->requests[i], round->values[i], &error);
        if (!round->submitted[i]) {
            g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
            round->ends->refused++;
            break;
        }
        taken++;
    }
    for (guint i = 0; i < N_REQUESTS; i++)
        wait_and_check(round, i);
    return taken;
}

static void use_session(GpudlSession *session, GRand *rand, Ends *ends)
{
    g_autoptr(GpudlStream) stream = gpudl_stream_new(session, gpudl_session_get_model(session));
    Round round = {.ends = ends};
    GThread *canceller;
    gint taken;

    for (guint i = 0; i < N_REQUESTS; i++) {
        round.requests[i] = gpudl_request_new(stream);
        gpudl_request_set_callback(round.requests[i], told, &round.told);
    }
    canceller = g_thread_new("cancel", cancel_at_random, &round);
    taken = submit_at_random(&round, rand);
    g_atomic_int_set(&round.stop, 1);
    g_thread_join(canceller);
    for (guint i = 0; i < N_REQUESTS; i++)
        gpudl_request_free(round.requests[i]); /* waits for the callbacks */
    g_assert_cmpint(g_atomic_int_get(&round.told), ==, taken);
}

static gpointer use_sessions(gpointer data)
{
    User *user = data;
    g_autoptr(GRand) rand = g_rand_new_with_seed(user->seed);

    for (guint i = 0; i < N_ROUNDS; i++) {
        g_autoptr(GpudlSession) session = acquire_at_random(user, rand);

        if (session)
            use_session(session, rand, &user->ends);
    }
    return NULL;
}

static void test_everything_at_once(gconstpointer backend)
{
    g_autoptr(GpudlModel) model = make_model();
    GThread *threads[N_USERS];
    User users[N_USERS];
    Fake *fake = fake_get(backend);
    Ends ends = {0};

    fake->reset();
    FAKE_SET(fake, is.limit_matters, 1);
    FAKE_SET(fake, is.open_us, 5000);
    FAKE_SET(fake, does.fail_submit_ppm, 2000);
    FAKE_SET(fake, does.idle_rounds, 1000000);

    for (guint i = 0; i < N_USERS; i++) {
        users[i] = (User){.backend = backend, .model = model, .seed = i};
        threads[i] = g_thread_new("user", use_sessions, &users[i]);
    }
    for (guint i = 0; i < N_USERS; i++) {
        g_thread_join(threads[i]);
        ends.good += users[i].ends.good;
        ends.failed += users[i].ends.failed;
        ends.dead += users[i].ends.dead;
        ends.cancelled += users[i].ends.cancelled;
        ends.refused += users[i].ends.refused;
    }
    g_test_message("%u good, %u failed, %u with their device, %u cancelled, %u refused; %u runs, %u failed, %u dead",
                   ends.good, ends.failed, ends.dead, ends.cancelled, ends.refused, fake->seen.runs, fake->seen.failed,
                   fake->seen.died);
    /* all that was computed was got, and nothing else; failures and deaths are the device's */
    g_assert_cmpuint(ends.good, ==, fake->seen.jobs);
    g_assert_cmpuint(ends.failed, >=, fake->seen.failed);
    g_assert_cmpuint(ends.failed, <=, fake->seen.failed * 4);
    g_assert_cmpint(ends.dead > 0, ==, fake->seen.died > 0);
    g_assert_cmpuint(fake->seen.engines, ==, 0);
    g_assert_cmpuint(fake->seen.opens, ==, fake->seen.closes);
    g_assert_cmpuint(fake->seen.staged, ==, 0);
    g_assert_cmpuint(fake->seen.tickets, ==, 0);
    /* and each kind comes about */
    g_assert_cmpuint(ends.good, >, 100);
    g_assert_cmpuint(ends.failed, >, 0);
    g_assert_cmpuint(ends.dead, >, 0);
    g_assert_cmpuint(ends.cancelled, >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/session-stress/cpu", "cpu", test_everything_at_once);
    g_test_add_data_func("/session-stress/cuda", "cuda", test_everything_at_once);
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Times of graphs, of opening and of single requests. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cuda-nets-run.h"
#include "engine/session/session.h"

static void print_profile(GpudlSession *session, guint batch)
{
    g_autoptr(GArray) steps = gpudl_session_profile(session, batch, 20, NULL);

    for (guint i = 0; steps != NULL && i < steps->len; i++) {
        const GpudlProfileStep *step = &g_array_index(steps, GpudlProfileStep, i);

        printf("#   %7.2f us  %-14s %-34s %s\n", (double)step->ns / 1e3, step->op, step->implementation, step->node);
    }
}

/* Whether all batch sizes are there that are powers of 2. */
static gboolean is_settled(GpudlSession *session)
{
    gboolean settled;

    g_mutex_lock(&session->lock);
    settled = session->info.n_buckets >= g_bit_storage(session->max_batch);
    g_mutex_unlock(&session->lock);
    return settled;
}

static int by_value(const void *a, const void *b)
{
    const gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

    return x < y ? -1 : x > y;
}

/* One request after the other: from submit() to the scores, median in ns. */
static gint64 time_requests(GpudlSession *session, GpudlModel *model)
{
    enum { N = 300 };
    g_autoptr(GpudlStream) stream = gpudl_stream_new(session, model);
    g_autoptr(GpudlRequest) request = gpudl_request_new(stream);
    g_autofree float *values = g_new0(float, nets_input_size(model));
    gint64 taken[N];

    for (gint i = 0; i < N; i++) {
        struct timespec begin, end;

        clock_gettime(CLOCK_MONOTONIC, &begin);
        if (!gpudl_request_submit_tensor(request, values, NULL) || !gpudl_request_wait(request, NULL))
            return 0;
        clock_gettime(CLOCK_MONOTONIC, &end);
        taken[i] = (end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec;
    }
    qsort(taken, N, sizeof *taken, by_value);
    return taken[N / 2];
}

/* What was tuned computes what first choices compute: all frames of a batch, of which the reference would take minutes.
 * Both round, each in its own way. */
static void check_against_first(GpudlSession *session, GpudlModel *model, const gchar *name, GpudlPrecision precision,
                                guint batch)
{
    const double bound = 2 * nets_bound(precision);
    g_autoptr(GError) error = NULL;
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)nets_options.seed);
    g_autofree float *input = g_new(float, nets_input_size(model) * batch);
    float **got = nets_make_outputs(model, batch), **expected = nets_make_outputs(model, batch);
    NetsWhole tuned = {batch, input, got}, first = {batch, input, expected};
    g_autoptr(GpudlSession) off = nets_acquire(model, "cuda", precision, batch, GPUDL_AUTOTUNE_OFF, &error);

    nets_fill(input, nets_input_size(model) * batch, rand);
    if (off == NULL || !gpudl_scheduler_run(off, nets_run_whole, &first, &error) ||
        !gpudl_scheduler_run(session, nets_run_whole, &tuned, &error)) {
        nets_say(FALSE, "%s batch %u: %s", name, batch, error->message);
    } else {
        const double difference = nets_compare(model, batch, got, expected);

        nets_say(difference <= bound, "%s batch %u against first choices: %.2e of the range, bound %.0e", name, batch,
                 difference, bound);
    }
    nets_free_outputs(got);
    nets_free_outputs(expected);
}

void nets_bench(GpudlModel *model, const gchar *name, GpudlPrecision precision)
{
    g_auto(GStrv) sizes = g_strsplit(nets_options.batches != NULL ? nets_options.batches : "1,8,32", ",", -1);

    for (guint i = 0; sizes[i] != NULL; i++) {
        const guint batch = (guint)atoi(sizes[i]);
        g_autoptr(GError) error = NULL;
        const GpudlAutotune autotune = nets_autotune(GPUDL_AUTOTUNE_FULL);
        const gint64 begin = g_get_monotonic_time();
        g_autoptr(GpudlSession) session = nets_acquire(model, "cuda", precision, batch, autotune, &error);
        const gint64 opened = g_get_monotonic_time();
        guint64 weights, work;

        if (session == NULL) {
            nets_say(FALSE, "%s batch %u: %s", name, batch, error->message);
            continue;
        }
        for (gint wait = 0; nets_options.settle && wait < 600 && !is_settled(session); wait++)
            g_usleep(100000);
        gpudl_session_get_memory(session, &weights, &work);
        for (guint k = 0; k < session->info.n_buckets; k++)
            printf("# bench %s %s batch %u: %.4f ms\n", name, gpudl_precision_name(precision), session->info.buckets[k],
                   (double)session->info.bucket_ns[k] / 1e6);
        nets_say(TRUE, "%s up to batch %u on %s: opened in %.3f s, weights %.1f MB, work %.1f MB", name, batch,
                 gpudl_session_get_device_name(session), (double)(opened - begin) / 1e6, (double)weights / 1e6,
                 (double)work / 1e6);
        printf("# bench %s %s one request after the other: %.4f ms\n", name, gpudl_precision_name(precision),
               (double)time_requests(session, model) / 1e6);
        if (nets_options.profiles)
            print_profile(session, batch);
        if (nets_options.profiles && batch > 1)
            print_profile(session, 1);
        if (nets_options.tensors)
            check_against_first(session, model, name, precision, batch);
        fflush(stdout);
    }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/resource.h>

#include "tools/bench.h"

/* frames of their own for that many requests under way: more would measure the memory they fill */
#define MOST_INPUTS 8

typedef struct {
    const BenchPlan *plan;
    GpudlSession *session;
    GpudlStream *stream;
    guint depth;
    GpudlRequest **requests; /* a ring of depth */
    guint first, n_busy;     /* the oldest under way, and how many are */
    float *values;           /* or frames */
    GpudlFrame *frames[MOST_INPUTS];
    GArray *latencies; /* guint64 */
    double batches;    /* sum over frames */
} Bench;

static guint64 now_ns(void)
{
    return (guint64)g_get_monotonic_time() * 1000;
}

static guint64 processor_ns(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (guint64)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
           (guint64)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

void bench_result_clear(BenchResult *result)
{
    g_clear_pointer(&result->reason, g_free);
    g_clear_pointer(&result->backend, g_free);
    g_clear_pointer(&result->device, g_free);
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static gboolean set_up(Bench *bench, GpudlModel *model, GError **error)
{
    bench->depth = gpudl_session_get_depth(bench->session);
    bench->stream = gpudl_stream_new(bench->session, model);
    bench->requests = g_new0(GpudlRequest *, bench->depth);
    for (guint i = 0; i < bench->depth; i++)
        bench->requests[i] = gpudl_request_new(bench->stream);
    bench->latencies = g_array_new(FALSE, FALSE, sizeof(guint64));
    if (bench->plan->frames == NULL)
        return (bench->values = synthetic_tensor(model, error)) != NULL;
    for (guint i = 0; i < MIN(bench->depth, MOST_INPUTS); i++)
        if ((bench->frames[i] = synthetic_frame_new(bench->plan->frames, error)) == NULL)
            return FALSE;
    return TRUE;
}

static gboolean submit(Bench *bench, GError **error)
{
    guint i = (bench->first + bench->n_busy) % bench->depth;
    GpudlRequest *request = bench->requests[i];

    if (!(bench->values != NULL ? gpudl_request_submit_tensor(request, bench->values, error)
                                : gpudl_request_submit(request, bench->frames[i % MOST_INPUTS], NULL, error)))
        return FALSE;
    bench->n_busy++;
    return TRUE;
}

/* Waits for the oldest, and keeps what it took if that counts. */
static gboolean finish_oldest(Bench *bench, gboolean counts, GError **error)
{
    GpudlRequest *request = bench->requests[bench->first];
    const GpudlTiming *timing;
    guint64 latency;

    bench->first = (bench->first + 1) % bench->depth;
    bench->n_busy--;
    if (!gpudl_request_wait(request, error))
        return FALSE;
    for (guint head = 0; !counts && head < gpudl_model_get_n_heads(gpudl_session_get_model(bench->session)); head++)
        if (!gpudl_request_check_scores(request, head, error)) /* speeds of what is broken are not the network's */
            return FALSE;
    timing = gpudl_request_get_timing(request);
    latency = (guint64)MAX(timing->finished - timing->submitted, 0);
    if (counts) {
        g_array_append_val(bench->latencies, latency);
        bench->batches += timing->batch;
    }
    return TRUE;
}

/* What is still under way is taken back or waited for. Input that a lost device may still read is left to the end. */
static void tear_down(Bench *bench)
{
    gboolean lost = FALSE;

    for (guint i = 0; i < bench->depth; i++) {
        if (bench->requests[i] == NULL)
            continue;
        gpudl_request_cancel(bench->requests[i]);
        gpudl_request_wait(bench->requests[i], NULL);
        lost = lost || gpudl_request_is_lost(bench->requests[i]);
        gpudl_request_free(bench->requests[i]);
    }
    g_free(bench->requests);
    g_clear_pointer(&bench->stream, gpudl_stream_free);
    g_clear_pointer(&bench->session, gpudl_session_unref);
    g_clear_pointer(&bench->latencies, g_array_unref);
    if (lost)
        return;
    g_free(bench->values);
    for (guint i = 0; i < MOST_INPUTS; i++)
        g_clear_pointer(&bench->frames[i], synthetic_frame_free);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

typedef struct {
    BenchProgress func;
    gpointer data;
    double before, share; /* of the whole */
} Told;

/* Keeps depth frames under way for so long, and for a round of them at least. Leaves them under way. */
static gboolean run_for(Bench *bench, double seconds, gboolean counts, const Told *told, GCancellable *cancellable,
                        GError **error)
{
    guint64 start = now_ns(), length = (guint64)(seconds * 1e9), passed = 0;

    for (guint64 n = 0; passed < length || n < bench->depth; n++) {
        if (g_cancellable_set_error_if_cancelled(cancellable, error))
            return FALSE;
        while (bench->n_busy < bench->depth)
            if (!submit(bench, error))
                return FALSE;
        if (!finish_oldest(bench, counts, error))
            return FALSE;
        passed = now_ns() - start;
        if (told->func != NULL)
            told->func(FALSE, told->before + told->share * MIN(1.0, (double)passed / (double)MAX(length, 1)),
                       told->data);
    }
    return TRUE;
}

static gboolean run(Bench *bench, BenchProgress progress, gpointer data, GCancellable *cancellable, BenchResult *result,
                    GError **error)
{
    const BenchPlan *plan = bench->plan;
    double share = plan->warmup / (plan->warmup + plan->seconds);
    const Told warming = {progress, data, 0.0, share}, measuring = {progress, data, share, 1.0 - share};
    guint64 start, processor;

    if (!run_for(bench, plan->warmup, FALSE, &warming, cancellable, error))
        return FALSE;
    start = now_ns();
    processor = processor_ns();
    if (!run_for(bench, plan->seconds, TRUE, &measuring, cancellable, error))
        return FALSE;
    result->wall_ns = MAX(now_ns() - start, 1);
    result->processor_ns = processor_ns() - processor;
    result->frames = bench->latencies->len;
    result->mean_batch = bench->batches / (double)result->frames;
    result->latency = figures_spread((guint64 *)(gpointer)bench->latencies->data, bench->latencies->len);
    return TRUE;
}

static gboolean load(Bench *bench, GpudlModel *model, const BenchCase *asked, gint device, GCancellable *cancellable,
                     BenchResult *result, GError **error)
{
    const GpudlSessionConfig config = {.struct_size = sizeof config,
                                       .backend = asked->backend,
                                       .precision = asked->precision,
                                       .cuda_device_id = device,
                                       .cpu_threads = asked->threads,
                                       .batch_size = asked->batch};
    guint64 start = now_ns();

    bench->session = gpudl_session_acquire(model, &config, cancellable, error);
    if (bench->session == NULL)
        return FALSE;
    result->load_ns = now_ns() - start;
    result->backend = g_strdup(gpudl_session_get_backend(bench->session));
    result->device = g_strdup(gpudl_session_get_device_name(bench->session));
    result->precision = gpudl_session_get_precision(bench->session);
    result->parallelism = gpudl_session_get_parallelism(bench->session);
    result->max_batch = gpudl_session_get_max_batch(bench->session);
    result->depth = gpudl_session_get_depth(bench->session);
    gpudl_session_get_memory(bench->session, &result->weights, &result->workspace);
    return TRUE;
}

static void on_settling(double done, const gchar *what, gpointer data)
{
    const Told *told = data;

    told->func(TRUE, done, told->data);
}

/* What a backend tunes while nothing is queued it would do between the frames, and change what they run on. */
static gboolean settle(Bench *bench, BenchProgress progress, gpointer data, GCancellable *cancellable,
                       BenchResult *result, GError **error)
{
    Told told = {.func = progress, .data = data};
    guint64 start = now_ns();

    if (!gpudl_session_settle(bench->session, progress != NULL ? on_settling : NULL, &told, cancellable, error))
        return FALSE;
    result->settle_ns = now_ns() - start;
    return TRUE;
}

gboolean bench_measure(GpudlModel *model, const BenchCase *asked, const BenchPlan *plan, BenchProgress progress,
                       gpointer data, GCancellable *cancellable, BenchResult *result)
{
    Bench bench = {.plan = plan};
    g_autoptr(GError) error = NULL;
    gboolean loaded, done;

    *result = (BenchResult){.asked = *asked};
    loaded = load(&bench, model, asked, plan->device, cancellable, result, &error);
    done = loaded && settle(&bench, progress, data, cancellable, result, &error) && set_up(&bench, model, &error) &&
           run(&bench, progress, data, cancellable, result, &error);
    tear_down(&bench);
    if (done)
        return TRUE;
    bench_result_clear(result);
    if (g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED) ||
        g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return FALSE;
    *result = (BenchResult){.asked = *asked, .reason = g_strdup(error->message), .failed = loaded};
    return TRUE;
}

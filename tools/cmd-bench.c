/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gpudl bench: frames per second and latencies of a network, over lists of backends, precisions, threads, batches. */
#include <stdio.h>

#include "models/gpudl-import.h"
#include "tools/bench.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/progress.h"

#define NAME "bench"
#define MOST_VALUES 32 /* of one list */
#define MOST_SECONDS 3600.0

typedef struct {
    /* options as given */
    gboolean json;
    gchar *backend, *precision, *threads, *batch, *input, *seconds, *warmup, *device, *input_size;
    gchar **arguments;
    /* what they mean */
    gchar **backends;
    GArray *cases; /* of BenchCase */
    SyntheticSize size;
    GpudlImportOptions import;
    BenchPlan plan;
    /* state */
    GpudlModel *model;
    GArray *results; /* of BenchResult */
    guint n_begun;
} Work;

static void clean_up(Work *work)
{
    gchar *texts[] = {work->backend, work->precision, work->threads, work->batch,     work->input,
                      work->seconds, work->warmup,    work->device,  work->input_size};

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_strfreev(work->arguments);
    g_strfreev(work->backends);
    g_clear_pointer(&work->cases, g_array_unref);
    g_clear_pointer(&work->results, g_array_unref);
    g_clear_pointer(&work->model, gpudl_model_unref);
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

/* Lists as given, their values one by one. */
typedef struct {
    GpudlPrecision precisions[MOST_VALUES];
    gint threads[MOST_VALUES], batches[MOST_VALUES];
    guint n_precisions, n_threads, n_batches;
} Lists;

static gboolean read_precisions(const gchar *text, Lists *lists, GError **error)
{
    g_auto(GStrv) values = parse_list("precision", text, "auto", MOST_VALUES, error);

    for (guint i = 0; values != NULL && values[i] != NULL; i++)
        if (!parse_precision("precision", values[i], &lists->precisions[lists->n_precisions++], error))
            return FALSE;
    return values != NULL;
}

static gboolean read_counts(const gchar *text, gint *counts, guint *n, const gchar *option, gint low, gint high,
                            const gchar *zero, GError **error)
{
    g_auto(GStrv) values = parse_list(option, text, "0", MOST_VALUES, error);

    for (guint i = 0; values != NULL && values[i] != NULL; i++)
        if (!parse_count(values[i], &counts[(*n)++], option, low, high, zero, error))
            return FALSE;
    return values != NULL;
}

static gboolean read_lists(Work *work, Lists *lists, GError **error)
{
    work->backends = parse_list("backend", work->backend, "auto", MOST_VALUES, error);
    for (guint i = 0; work->backends != NULL && work->backends[i] != NULL; i++)
        if (!parse_backend("backend", work->backends[i], error))
            return FALSE;
    return work->backends != NULL && read_precisions(work->precision, lists, error) &&
           read_counts(work->threads, lists->threads, &lists->n_threads, THREADS, error) &&
           read_counts(work->batch, lists->batches, &lists->n_batches, BATCH, error);
}

static void make_cases(Work *work, const Lists *lists)
{
    work->cases = g_array_new(FALSE, FALSE, sizeof(BenchCase));
    for (guint b = 0; work->backends[b] != NULL; b++) {
        for (guint p = 0; p < lists->n_precisions; p++) {
            for (guint t = 0; t < lists->n_threads; t++) {
                for (guint n = 0; n < lists->n_batches; n++) {
                    const BenchCase one = {.backend = work->backends[b],
                                           .precision = lists->precisions[p],
                                           .threads = (guint)lists->threads[t],
                                           .batch = (guint)lists->batches[n]};

                    g_array_append_val(work->cases, one);
                }
            }
        }
    }
}

static int check_options(Work *work)
{
    g_autoptr(GError) error = NULL;
    Lists lists = {0};

    if (work->arguments == NULL)
        return say_usage(NAME, "no model given");
    if (work->arguments[1] != NULL)
        return say_usage(NAME, "one model at a time; found '%s' as well", work->arguments[1]);
    if (!read_lists(work, &lists, &error) ||
        (work->seconds != NULL &&
         !parse_number("seconds", work->seconds, 0.01, MOST_SECONDS, &work->plan.seconds, &error)) ||
        (work->warmup != NULL &&
         !parse_number("warmup", work->warmup, 0.0, MOST_SECONDS, &work->plan.warmup, &error)) ||
        !parse_optional_count(work->device, &work->plan.device, "device", 0, G_MAXINT, NULL, &error) ||
        (work->input != NULL && !synthetic_parse("input", work->input, &work->size, &error)) ||
        (work->input_size != NULL &&
         !parse_size("input-size", work->input_size, &work->import.input_height, &work->import.input_width, &error)))
        return say_usage(NAME, "%s", error->message);
    if (work->input != NULL)
        work->plan.frames = &work->size;
    make_cases(work, &lists);
    return -1;
}

/* ---- the work ---------------------------------------------------------------------------------------------------- */

static void on_progress(gboolean tuning, double done, gpointer data)
{
    const Work *work = data;
    const BenchCase *one = &g_array_index(work->cases, BenchCase, work->n_begun - 1);
    g_autofree gchar *what = g_strdup_printf("%u of %u: %s, %s%s", work->n_begun, work->cases->len, one->backend,
                                             gpudl_precision_name(one->precision), tuning ? ", tuning" : "");

    progress_update((work->n_begun - 1 + (tuning ? 0.0 : done)) / work->cases->len, what);
}

static void clear_result(gpointer data)
{
    bench_result_clear(data);
}

/* FALSE if it was cancelled; what was measured until then stays. */
static gboolean measure(Work *work, GCancellable *cancellable)
{
    work->results = g_array_new(FALSE, FALSE, sizeof(BenchResult));
    g_array_set_clear_func(work->results, clear_result);
    progress_start();
    while (work->n_begun < work->cases->len) {
        const BenchCase *one = &g_array_index(work->cases, BenchCase, work->n_begun++);
        BenchResult result;

        if (!bench_measure(work->model, one, &work->plan, on_progress, work, cancellable, &result))
            return FALSE;
        g_array_append_val(work->results, result);
    }
    return TRUE;
}

static void tell(const Work *work, gchar *const *argv)
{
    const BenchResult *results = (const BenchResult *)(gconstpointer)work->results->data;
    ReportSubject subject;
    g_autofree gchar *text = NULL;

    report_subject_init(&subject, work->model, work->arguments[0], argv);
    text = (work->json ? bench_json : bench_text)(&subject, &work->plan, results, work->results->len);
    report_subject_clear(&subject);
    fputs(text, stdout);
}

/* Something was measured, and nothing broke on the way. */
static int outcome(const Work *work)
{
    guint n_measured = 0;

    for (guint i = 0; i < work->results->len; i++) {
        const BenchResult *result = &g_array_index(work->results, BenchResult, i);

        if (result->failed)
            return EXIT_FAILED;
        n_measured += result->reason == NULL;
    }
    return n_measured > 0 ? EXIT_OK : EXIT_FAILED;
}

static int run(Work *work, gchar *const *argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GCancellable) cancellable = interrupt_begin();
    gboolean done;

    work->model = gpudl_model_load(work->arguments[0], &work->import, cancellable, &error);
    done = work->model != NULL && measure(work, cancellable);
    interrupt_end();
    progress_wipe();
    if (work->results != NULL && (done || work->results->len > 0))
        tell(work, argv);
    if (done)
        return outcome(work);
    if (error == NULL || g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED))
        interrupt_exit(NAME,
                       work->results != NULL && work->results->len > 0 ? "this is not all that was asked for" : NULL);
    say_error(NAME, "%s", error->message);
    return EXIT_FAILED;
}

static const gchar description[] =
    "Measures how many frames a second a network takes, and how long each is under way, with as many frames under\n"
    "way as keep the device busy. --backend, --precision, --threads and --batch take lists, as cpu,ref: all\n"
    "combinations are measured one after the other. One that a backend can't do is listed with the reason.\n\n"
    "What the backend tunes is tuned to the end before, and kept for later starts: seconds on a GPU the first time.\n"
    "Input is noise: for the network itself or, with --input, as frames that are pre-processed.\n\n"
    "With --json one object, all times in ns:\n"
    "  {gpudl, date, command, model: {name, file, id}, seconds, warmup_seconds,\n"
    "   input: {kind: \"values\"} or {kind: \"frames\", width, height, format},\n"
    "   results: [{asked: {backend, precision, threads, batch}, measured: true, backend, device, precision,\n"
    "              parallelism, max_batch, depth, weight_bytes, work_bytes, load_ns,\n"
    "              settle_ns: what tuning took after that, frames, wall_ns, processor_ns, processor_ns_per_frame,\n"
    "              frames_per_second, mean_batch,\n"
    "              latency_ns: {min, mean, p50, p90, p99, max}}\n"
    "             or {asked, measured: false, reason}, ...]}\n\n"
    "The exit code is 1 if nothing could be measured, or something failed while it ran.";

int cmd_bench(int argc, char **argv)
{
    Work work = {.plan = {.seconds = 3.0, .warmup = 0.5, .device = -1}};
    g_auto(GStrv) line = g_strdupv(argv);
    int status;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &work.json, "As JSON", NULL},
        {"backend", 0, 0, G_OPTION_ARG_STRING, &work.backend, "auto, cuda, cpu, ref (default auto)", "B,..."},
        {"device", 0, 0, G_OPTION_ARG_STRING, &work.device, "Number of the GPU (default the first)", "N"},
        {"precision", 0, 0, G_OPTION_ARG_STRING, &work.precision,
         "auto, fp32, tf32, fp16, bf16, int8, fp8 (default auto)", "P,..."},
        {"threads", 0, 0, G_OPTION_ARG_STRING, &work.threads, "CPU threads, 0: one per core (default)", "N,..."},
        {"batch", 0, 0, G_OPTION_ARG_STRING, &work.batch, "Largest batches, 0: the backend's choice (default)",
         "N,..."},
        {"input", 0, 0, G_OPTION_ARG_STRING, &work.input, "Frames of this size, as 1920x1080:NV12", "WxH:FORMAT"},
        {"input-size", 0, 0, G_OPTION_ARG_STRING, &work.input_size, "For files with a free input size", "HxW"},
        {"seconds", 0, 0, G_OPTION_ARG_STRING, &work.seconds, "Time to measure each combination (default 3)", "S"},
        {"warmup", 0, 0, G_OPTION_ARG_STRING, &work.warmup, "Time before that, not counted (default 0.5)", "S"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &work.arguments, NULL, NULL},
        G_OPTION_ENTRY_NULL,
    };

    status = parse_options(argv, entries, "MODEL", description);
    if (status < 0)
        status = check_options(&work);
    if (status < 0)
        status = run(&work, line);
    clean_up(&work);
    return finish_stdout(NAME, status);
}

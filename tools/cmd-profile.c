/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gpudl profile: what the steps of a network take, one by one. */
#include <stdio.h>
#include <string.h>

#include "models/gpudl-import.h"
#include "tools/command.h"
#include "tools/figures.h"
#include "tools/files.h"
#include "tools/interrupt.h"
#include "tools/profile-report.h"
#include "tools/progress.h"
#include "tools/synthetic.h"

#define NAME "profile"
#define MOST_RUNS 100000
#define MOST_BATCH 4096
#define SHARE_OF_LOADING 0.4 /* of the bar; then what the backend has left to tune */

typedef struct {
    /* options as given */
    gboolean json;
    gchar *batch_text, *runs_text, *threads_text, *top_text, *device_text, *backend, *precision, *sort, *html,
        *input_size;
    gchar **arguments;
    /* what they mean */
    gint batch, runs, threads, top, device;
    GpudlPrecision asked_precision;
    GpudlImportOptions import;
    int order;
    /* state */
    GpudlModel *model;
    GpudlSession *session;
    GArray *steps;
} Work;

static const NamedValue sorts[] = {{"run", PROFILE_BY_RUN}, {"time", PROFILE_BY_TIME}, {NULL, 0}};

static void clean_up(Work *work)
{
    gchar *texts[] = {work->batch_text, work->runs_text, work->threads_text, work->top_text, work->device_text,
                      work->backend,    work->precision, work->sort,         work->html,     work->input_size};

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_clear_pointer(&work->steps, g_array_unref);
    g_clear_pointer(&work->session, gpudl_session_unref);
    g_clear_pointer(&work->model, gpudl_model_unref);
    g_strfreev(work->arguments);
}

static int check_options(Work *work)
{
    g_autoptr(GError) error = NULL;

    if (work->arguments == NULL)
        return say_usage(NAME, "no model given");
    if (work->arguments[1] != NULL)
        return say_usage(NAME, "one model at a time; found '%s' as well", work->arguments[1]);
    if (work->html != NULL && work->html[0] == '\0')
        return say_usage(NAME, "--html: found '', expected a file to write");
    if (!parse_backend("backend", work->backend, &error) ||
        !parse_precision("precision", work->precision, &work->asked_precision, &error) ||
        !parse_optional_count(work->threads_text, &work->threads, THREADS, &error) ||
        !parse_optional_count(work->batch_text, &work->batch, "batch", 1, MOST_BATCH, NULL, &error) ||
        !parse_optional_count(work->runs_text, &work->runs, "runs", 1, MOST_RUNS, NULL, &error) ||
        !parse_optional_count(work->top_text, &work->top, "top", 0, G_MAXINT, "all", &error) ||
        !parse_optional_count(work->device_text, &work->device, "device", 0, G_MAXINT, NULL, &error) ||
        (work->sort != NULL && !parse_name("sort", work->sort, sorts, &work->order, &error)) ||
        (work->input_size != NULL &&
         !parse_size("input-size", work->input_size, &work->import.input_height, &work->import.input_width, &error)))
        return say_usage(NAME, "%s", error->message);
    return -1;
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

static void on_loading(double done, const gchar *what, gpointer data)
{
    progress_update(SHARE_OF_LOADING * done, what);
}

static void on_settling(double done, const gchar *what, gpointer data)
{
    progress_update(SHARE_OF_LOADING + (1 - SHARE_OF_LOADING) * done, what);
}

/* The session is ready when there is nothing left to tune, which would go on between the runs that are timed. */
static gboolean load(Work *work, GCancellable *cancellable, GError **error)
{
    g_autoptr(GpudlDevicePromise) promise = gpudl_device_promise(work->backend, work->device, work->arguments[0]);
    const GpudlSessionConfig config = {.struct_size = sizeof config,
                                       .backend = work->backend,
                                       .precision = work->asked_precision,
                                       .cuda_device_id = work->device,
                                       .cpu_threads = (guint)work->threads,
                                       .batch_size = (guint)work->batch,
                                       .progress = on_loading,
                                       .promise = promise};
    gboolean done;

    progress_start();
    work->model = gpudl_model_load(work->arguments[0], &work->import, cancellable, error);
    if (work->model != NULL)
        work->session = gpudl_session_acquire(work->model, &config, cancellable, error);
    done = work->session != NULL && gpudl_session_settle(work->session, on_settling, NULL, cancellable, error);
    progress_wipe();
    return done;
}

/* Profiling can't be stopped halfway: it has a thread of its own, and whoever is not patient leaves it. */
typedef struct {
    const Work *work;
    GMutex lock;
    GCond ended;
    gboolean done;
    GArray *steps;
    GError *error;
} Errand;

static gpointer time_steps(gpointer data)
{
    Errand *errand = data;
    GError *error = NULL;
    GArray *steps =
        gpudl_session_profile(errand->work->session, (guint)errand->work->batch, (guint)errand->work->runs, &error);

    g_mutex_lock(&errand->lock);
    errand->steps = steps;
    errand->error = error;
    errand->done = TRUE;
    g_cond_signal(&errand->ended);
    g_mutex_unlock(&errand->lock);
    return NULL;
}

static void on_cancelled(GCancellable *cancellable, gpointer data)
{
    Errand *errand = data;

    g_mutex_lock(&errand->lock);
    g_cond_signal(&errand->ended);
    g_mutex_unlock(&errand->lock);
}

/* Does not return when cancelled. */
static gboolean profile_steps(Work *work, GCancellable *cancellable, GError **error)
{
    Errand errand = {.work = work};
    GThread *thread;
    gulong handler;

    g_mutex_init(&errand.lock);
    g_cond_init(&errand.ended);
    thread = g_thread_try_new("profile", time_steps, &errand, error);
    if (thread == NULL)
        return FALSE;
    handler = g_cancellable_connect(cancellable, G_CALLBACK(on_cancelled), &errand, NULL);
    g_mutex_lock(&errand.lock);
    while (!errand.done && !g_cancellable_is_cancelled(cancellable))
        g_cond_wait(&errand.ended, &errand.lock);
    if (!errand.done)
        interrupt_exit(NAME, NULL);
    g_mutex_unlock(&errand.lock);
    g_cancellable_disconnect(cancellable, handler);
    g_thread_join(thread);
    g_cond_clear(&errand.ended);
    g_mutex_clear(&errand.lock);
    work->steps = errand.steps;
    if (errand.error != NULL)
        g_propagate_error(error, errand.error);
    return work->steps != NULL;
}

/* Median time of one frame alone, from when it is taken up until its result is there. 0 with error on failure. */
static guint64 time_frames(Work *work, GCancellable *cancellable, GError **error)
{
    g_autofree float *values = synthetic_tensor(work->model, error);
    g_autofree guint64 *ns = g_new(guint64, work->runs);
    g_autoptr(GpudlStream) stream = NULL;
    g_autoptr(GpudlRequest) request = NULL;

    if (values == NULL)
        return 0;
    stream = gpudl_stream_new(work->session, work->model);
    request = gpudl_request_new(stream);
    for (gint i = -1; i < work->runs; i++) { /* one to warm up */
        const GpudlTiming *timing;

        if (g_cancellable_set_error_if_cancelled(cancellable, error) ||
            !gpudl_request_submit_tensor(request, values, error) || !gpudl_request_wait(request, error))
            return 0;
        timing = gpudl_request_get_timing(request);
        if (i >= 0)
            ns[i] = (guint64)MAX(timing->finished - timing->started, 1);
    }
    return figures_spread(ns, (gsize)work->runs).p50;
}

static gboolean time_whole(Work *work, Profile *profile, GCancellable *cancellable, GError **error)
{
    /* frames that come one by one do not fill a larger batch; the backend has timed it when it was loaded */
    if (work->batch > 1) {
        if (gpudl_session_get_max_batch(work->session) == (guint)work->batch)
            profile->whole_ns = gpudl_session_get_run_time(work->session);
        return TRUE;
    }
    profile->whole_by_frames = TRUE;
    profile->whole_ns = time_frames(work, cancellable, error);
    return profile->whole_ns > 0;
}

static gboolean check_page(const Work *work, GError **error)
{
    if (work->html == NULL)
        return TRUE;
    if (!gpudl_model_is_read_from(work->model, work->html))
        return files_check_writable(work->html, error);
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                "--html: %s is what the model is read from, and would be lost: expected another file to write",
                work->html);
    return FALSE;
}

static gboolean measure(Work *work, Profile *profile, GError **error)
{
    g_autoptr(GCancellable) cancellable = interrupt_begin();
    gboolean done = load(work, cancellable, error) && check_page(work, error) &&
                    profile_steps(work, cancellable, error) && time_whole(work, profile, cancellable, error);

    interrupt_end();
    return done;
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

static gboolean write_page(const gchar *path, const Profile *profile, GError **error)
{
    gchar *page = profile_html(profile);
    g_autoptr(GBytes) bytes = g_bytes_new_take(page, strlen(page));

    return files_write(path, bytes, error);
}

static gboolean tell(const Work *work, const Profile *profile, GError **error)
{
    g_autofree gchar *text = work->json ? profile_json(profile) : profile_text(profile, work->order, (guint)work->top);

    if (work->html != NULL && !write_page(work->html, profile, error))
        return FALSE;
    fputs(text, stdout);
    return TRUE;
}

/* What the session's device could do; of a backend that opens none, the first that it lists. */
static void read_rates(GpudlSession *session, Profile *profile)
{
    GpudlDevice *device = gpudl_session_get_device(session);
    g_autoptr(GPtrArray) infos = gpudl_devices_list(gpudl_session_get_backend(session), NULL);

    for (guint i = 0; infos != NULL && i < infos->len; i++) {
        const GpudlDeviceInfo *info = infos->pdata[i];

        if (device != NULL ? info->id != gpudl_device_get_id(device) : i > 0)
            continue;
        profile->bytes_per_second = info->bytes_per_second;
        profile->flops_per_second = info->flops_per_second[gpudl_session_get_precision(session)];
    }
}

static int run(Work *work, gchar *const *argv)
{
    g_autoptr(GError) error = NULL;
    Profile profile = {.batch = (guint)work->batch, .runs = (guint)work->runs};
    gboolean done = measure(work, &profile, &error);

    if (done) {
        report_subject_init(&profile.subject, work->model, work->arguments[0], argv);
        profile.backend = gpudl_session_get_backend(work->session);
        profile.device = gpudl_session_get_device_name(work->session);
        profile.precision = gpudl_precision_name(gpudl_session_get_precision(work->session));
        profile.steps = (const GpudlProfileStep *)(gconstpointer)work->steps->data;
        profile.n_steps = work->steps->len;
        read_rates(work->session, &profile);
        done = tell(work, &profile, &error);
        report_subject_clear(&profile.subject);
    }
    if (g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED) ||
        g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        interrupt_exit(NAME, NULL);
    if (!done)
        say_error(NAME, "%s", error->message);
    return done ? EXIT_OK : EXIT_FAILED;
}

static const gchar description[] =
    "Times the steps of a network, one by one, and a whole run for comparison. A step may compute several nodes.\n"
    "What the backend tunes is tuned to the end before, and kept for later starts: seconds on a GPU the first time.\n"
    "GFLOP/s and GB/s are of what a step has to compute and to move, where the backend tells. The floor is the time\n"
    "that the longer of the two takes where the device does nothing but that at its highest clocks, where it is "
    "known.\n"
    "A step may be below it: what lies in a cache is not read from memory.\n\n"
    "The whole run has no pre-processing. The difference to the sum of the steps is what lies between them:\n"
    "copying, starting, waiting, the activation. Steps that only turn a tensor into another layout or type are also\n"
    "summed up, as reorders.\n\n"
    "With --json one object with all steps as they run, times in ns, shares within 0 and 1, null for what is not\n"
    "known:\n"
    "  {gpudl, date, command, model: {name, file, id}, backend, device, precision, batch, runs,\n"
    "   highest_rates: {bytes_per_second, flops_per_second}, steps: [{node, nodes, op, implementation, ns, share, "
    "flops,\n"
    "   bytes, floor_ns}, ...], total: {ns, flops, bytes, floor_ns},\n"
    "   reorders: {steps, ns, share, bytes}, whole_run_ns, difference_ns, whole_run_by: \"frames\" or, for batches "
    "above 1, \"backend\"}";

int cmd_profile(int argc, char **argv)
{
    Work work = {.batch = 1, .runs = 20, .device = -1};
    g_auto(GStrv) line = g_strdupv(argv);
    int status;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &work.json, "As JSON", NULL},
        {"html", 0, 0, G_OPTION_ARG_FILENAME, &work.html, "Also a page with a chart, in one file", "FILE"},
        {"sort", 0, 0, G_OPTION_ARG_STRING, &work.sort, "run (default) or time: the longest first", "ORDER"},
        {"top", 0, 0, G_OPTION_ARG_STRING, &work.top_text, "Only the N steps that take most, 0: all (default)", "N"},
        {"input-size", 0, 0, G_OPTION_ARG_STRING, &work.input_size, "For files with a free input size", "HxW"},
        {"backend", 0, 0, G_OPTION_ARG_STRING, &work.backend, "auto, cuda, cpu or ref (default auto)", "B"},
        {"device", 0, 0, G_OPTION_ARG_STRING, &work.device_text, "Number of the GPU (default the first)", "N"},
        {"precision", 0, 0, G_OPTION_ARG_STRING, &work.precision, "auto, fp32, tf32, fp16, bf16, int8 or fp8", "P"},
        {"batch", 0, 0, G_OPTION_ARG_STRING, &work.batch_text, "Frames of a run (default 1)", "N"},
        {"runs", 0, 0, G_OPTION_ARG_STRING, &work.runs_text, "Runs that the medians are of (default 20)", "N"},
        {"threads", 0, 0, G_OPTION_ARG_STRING, &work.threads_text, "CPU threads, 0: one per core (default)", "N"},
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

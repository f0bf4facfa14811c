/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What gpu.py measures of ours on an NVIDIA GPU. Results go to standard output as JSON, one object a line.
 *
 * bench-cuda net MODEL BATCH PRECISION: tunes, then runs a batch as often as each line of standard input says.
 *
 * bench-cuda start MODEL BATCH PRECISION: what it takes from the begin of the process until a first frame is answered:
 * time, and of the device's memory what a session adds, beside the forecast.
 *
 * bench-cuda stages MODEL BATCH PRECISION: the same, and before it an object for each thing that was done on the way:
 * when, by which thread, and what it and those between added to the device's memory. Looking takes time as well.
 *
 * bench-cuda bare: what a process takes that only opens the primary context, cuDNN's handle and cuBLASLt: the least
 * that a warm start may be compared with; and what memory of the device each of these takes, a second handle of cuDNN's
 * too.
 *
 * GPUDL_BENCH_LOCK: a file; while it is locked nobody else uses the device. What builds holds it.
 */
#include <fcntl.h>
#include <gmodule.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "engine/session/promise.h"
#include "engine/session/session.h"
#include "models/gpudl-import.h"

#define MOST_RUNS 100000

static double now_s(void)
{
    return (double)g_get_monotonic_time() / 1e6;
}

static int fail(const char *message)
{
    fprintf(stderr, "bench-cuda: %s\n", message);
    return 1;
}

static int lock_file = -1;

static gboolean lock_device(void)
{
    const gchar *path = g_getenv("GPUDL_BENCH_LOCK");

    if (path == NULL)
        return TRUE;
    lock_file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return lock_file >= 0 && flock(lock_file, LOCK_EX) == 0;
}

/* Ends with the process at the latest. */
static void unlock_device(void)
{
    if (lock_file >= 0)
        close(lock_file);
    lock_file = -1;
}

/* ---- the driver -------------------------------------------------------------------------------------------------- */

/* The parts of NVIDIA's libraries that are needed, by their documented signatures: no header is. */
typedef struct {
    int (*init)(unsigned);
    int (*retain)(void **context, int device);
    int (*set)(void *context);
    int (*memory)(size_t *available, size_t *total);
} Driver;

static gboolean find_symbol(GModule *module, const char *name, gpointer at)
{
    gpointer symbol = NULL;

    if (module == NULL || !g_module_symbol(module, name, &symbol))
        return FALSE;
    memcpy(at, &symbol, sizeof symbol);
    return TRUE;
}

static gboolean open_driver(Driver *driver)
{
    GModule *module = g_module_open("libcuda.so.1", G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
    void *context = NULL;

    return find_symbol(module, "cuInit", &driver->init) &&
           find_symbol(module, "cuDevicePrimaryCtxRetain", &driver->retain) &&
           find_symbol(module, "cuCtxSetCurrent", &driver->set) &&
           find_symbol(module, "cuMemGetInfo_v2", &driver->memory) && driver->init(0) == 0 &&
           driver->retain(&context, 0) == 0 && driver->set(context) == 0;
}

static double free_bytes(const Driver *driver)
{
    size_t available = 0, total = 0;

    return driver->memory(&available, &total) == 0 ? (double)available : -1;
}

/* Seconds, -1: it can't be; bytes of the device's memory. */
static double make_handle(const Driver *driver, const char *library, const char *create, double *bytes)
{
    const double before = free_bytes(driver), begin = now_s();
    GModule *module = g_module_open(library, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
    int (*function)(void **handle) = NULL;
    void *handle = NULL;
    const int made = find_symbol(module, create, &function) && function(&handle) == 0;
    const double end = now_s();

    *bytes = before - free_bytes(driver);
    return made ? end - begin : -1;
}

static int bench_bare(void)
{
    const double begin = now_s();
    double context, cudnn, lt, total, bytes[3];
    Driver driver;

    if (!open_driver(&driver))
        return fail("no context on device 0");
    context = now_s() - begin;
    cudnn = make_handle(&driver, "libcudnn.so.9", "cudnnCreate", &bytes[0]);
    lt = make_handle(&driver, "libcublasLt.so.13", "cublasLtCreate", &bytes[1]);
    total = now_s() - begin;
    make_handle(&driver, "libcudnn.so.9", "cudnnCreate", &bytes[2]);
    printf("{\"context_s\": %.3f, \"cudnn_s\": %.3f, \"cublaslt_s\": %.3f, \"total_s\": %.3f, \"cudnn_bytes\": %.0f, "
           "\"cublaslt_bytes\": %.0f, \"second_cudnn_bytes\": %.0f}\n",
           context, cudnn, lt, total, bytes[0], bytes[1], bytes[2]);
    return cudnn < 0 || lt < 0 ? fail("libcudnn.so.9 or libcublasLt.so.13 can't be opened") : 0;
}

/* ---- a network --------------------------------------------------------------------------------------------------- */

typedef struct {
    guint batch;
    GError *error;
} Replays;

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Answers the lines of standard input on one turn of a slot, so that nothing is done in idle time meanwhile. */
static GpudlStatus answer(GpudlSession *session, guint32 slot, gpointer data, GpudlFault *fault)
{
    const Replays *replays = data;
    g_autofree uint64_t *ns = g_new(uint64_t, MOST_RUNS);
    char line[64];

    while (fgets(line, sizeof line, stdin) != NULL) {
        const uint32_t runs = (uint32_t)CLAMP(atoi(line), 1, MOST_RUNS);
        GpudlStatus status = session->backend->replay(session->engine, slot, replays->batch, runs, ns, fault);

        if (status != GPUDL_STATUS_OK)
            return status;
        qsort(ns, runs, sizeof *ns, by_value);
        printf("{\"runs\": %u, \"ns\": %" G_GUINT64_FORMAT ", \"min_ns\": %" G_GUINT64_FORMAT "}\n", runs, ns[runs / 2],
               ns[0]);
        fflush(stdout);
    }
    return GPUDL_STATUS_OK;
}

static gboolean run_frame(GpudlSession *session, GpudlModel *model, GError **error)
{
    const GpudlPreproc *pp = gpudl_model_get_preproc(model);
    g_autofree float *values = g_new0(float, (gsize)pp->channels *(gsize)pp->height *(gsize)pp->width);
    g_autoptr(GpudlStream) stream = gpudl_stream_new(session, model);
    g_autoptr(GpudlRequest) request = gpudl_request_new(stream);

    return gpudl_request_submit_tensor(request, values, error) && gpudl_request_wait(request, error);
}

/* Idle time is not for tuning here: it would be while somebody else is measured. */
static void stop_tuning(GpudlSession *session)
{
    g_mutex_lock(&session->lock);
    session->idle_due = FALSE;
    g_mutex_unlock(&session->lock);
}

static GpudlSession *open_net(GpudlModel *model, GpudlSessionConfig *config, GError **error)
{
    g_autoptr(GpudlForecast) known = gpudl_session_forecast(model, config, NULL, error);
    const double begin = now_s();
    GpudlSession *session = known != NULL ? gpudl_session_acquire(model, config, NULL, error) : NULL;

    if (session == NULL)
        return NULL;
    stop_tuning(session);
    if (!run_frame(session, model, error)) {
        gpudl_session_unref(session);
        return NULL;
    }
    printf("{\"ready\": \"%s\", \"choices\": %u, \"known\": %u, \"open_s\": %.3f}\n",
           gpudl_session_get_device_name(session), known->n_choices, known->n_known, now_s() - begin);
    fflush(stdout);
    return session;
}

static int bench_net(const char *path, guint batch, GpudlPrecision precision)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = gpudl_model_load(path, NULL, NULL, &error);
    GpudlSessionConfig config = {.struct_size = sizeof config,
                                 .backend = "cuda",
                                 .cuda_device_id = -1,
                                 .precision = precision,
                                 .batch_size = batch,
                                 .autotune = GPUDL_AUTOTUNE_FULL};
    g_autoptr(GpudlSession) session = NULL;
    Replays replays = {.batch = batch};

    if (!lock_device())
        return fail("GPUDL_BENCH_LOCK can't be locked");
    session = model != NULL ? open_net(model, &config, &error) : NULL;
    unlock_device();
    if (session == NULL)
        return fail(error->message);
    if (session->backend->replay == NULL)
        return fail("the backend can't replay");
    return gpudl_scheduler_run(session, answer, &replays, &error) ? 0 : fail(error->message);
}

/* What is being done on the way to a first frame, as the backend logs it. */
typedef struct {
    GMutex lock; /* last */
    const Driver *driver;
    double begin, last;
} Stages;

static void tell_stage(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data)
{
    Stages *stages = data;
    const double at = now_s() - stages->begin;
    g_autofree gchar *text = g_strescape(message, NULL);
    double available;

    g_mutex_lock(&stages->lock);
    available = free_bytes(stages->driver);
    printf("{\"at_s\": %.4f, \"thread\": %d, \"added_bytes\": %.0f, \"done\": \"%s\"}\n", at, (int)gettid(),
           stages->last - available, text);
    stages->last = available;
    g_mutex_unlock(&stages->lock);
}

/* The device is opened while the model is read. */
typedef struct {
    double begin, model, device; /* when each was there */
    GpudlDevicePromise *promise;
    GpudlSearch found;
} Beginning;

static gpointer await_device(gpointer data)
{
    Beginning *b = data;

    gpudl_device_promise_take(b->promise, NULL, &b->found, NULL);
    b->device = now_s();
    return NULL;
}

static GpudlModel *begin(Beginning *b, const char *path, GError **error)
{
    GpudlModel *model;
    GThread *thread;

    b->begin = now_s();
    b->promise = gpudl_device_promise("cuda", -1, path);
    thread = g_thread_new("device", await_device, b);
    model = gpudl_model_load(path, NULL, NULL, error);
    b->model = now_s();
    g_thread_join(thread);
    gpudl_device_promise_free(b->promise);
    if (model != NULL && b->found.device == NULL) {
        g_propagate_error(error, b->found.error);
        g_clear_pointer(&model, gpudl_model_unref);
    }
    return model;
}

static int bench_start(const char *path, guint batch, GpudlPrecision precision, gboolean in_stages)
{
    static Driver driver; /* this and the next: threads log to the end of the process */
    static Stages stages = {.driver = &driver};
    Beginning b = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = begin(&b, path, &error);
    g_autoptr(GpudlDevice) device = b.found.device;
    const GpudlSessionConfig config = {.struct_size = sizeof config,
                                       .device = device,
                                       .cuda_device_id = -1,
                                       .precision = precision,
                                       .batch_size = batch};
    g_autoptr(GpudlSession) session = NULL;
    g_autoptr(GpudlForecast) forecast = NULL;
    double both, answered, before, after;

    if (model == NULL)
        return fail(error->message);
    both = now_s();
    before = open_driver(&driver) ? free_bytes(&driver) : -1;
    stages.begin = b.begin;
    stages.last = before;
    if (in_stages && before >= 0)
        g_log_set_handler("gpudl", G_LOG_LEVEL_DEBUG, tell_stage, &stages);
    session = gpudl_session_acquire(model, &config, NULL, &error);
    if (session == NULL || !run_frame(session, model, &error))
        return fail(error->message);
    answered = now_s();
    stop_tuning(session);
    after = before < 0 ? -1 : free_bytes(&driver);
    forecast = gpudl_session_forecast(model, &config, NULL, &error);
    if (forecast == NULL)
        return fail(error->message);
    /* the first two side by side, the third after both */
    printf("{\"model_s\": %.3f, \"device_s\": %.3f, \"session_s\": %.3f, \"total_s\": %.3f, \"choices\": %u, "
           "\"known\": %u, "
           "\"added_bytes\": %.0f, \"predicted_bytes\": %" G_GUINT64_FORMAT "}\n",
           b.model - b.begin, b.device - b.begin, answered - both, answered - b.begin, forecast->n_choices,
           forecast->n_known, before - after, forecast->weights + forecast->workspace);
    return 0;
}

int main(int argc, char **argv)
{
    GpudlPrecision precision;

    if (argc == 5 && strcmp(argv[1], "net") == 0 && atoi(argv[3]) >= 1 && gpudl_precision_parse(argv[4], &precision))
        return bench_net(argv[2], (guint)atoi(argv[3]), precision);
    if (argc == 5 && (strcmp(argv[1], "start") == 0 || strcmp(argv[1], "stages") == 0) && atoi(argv[3]) >= 1 &&
        gpudl_precision_parse(argv[4], &precision))
        return bench_start(argv[2], (guint)atoi(argv[3]), precision, strcmp(argv[1], "stages") == 0);
    if (argc == 2 && strcmp(argv[1], "bare") == 0)
        return bench_bare();
    fprintf(stderr, "usage: bench-cuda net|start|stages MODEL BATCH PRECISION | bare\n");
    return 2;
}

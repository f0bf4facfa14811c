/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A backend whose figures are known: it computes nothing, and says of its steps what stands here. Compiled twice: "cpu"
 * with profile(), "cuda" without, unless STEPS_TIMES is set. "cuda" tunes, one choice for each batch size, kept in
 * small files: in open() if it is to tune in full, else in idle(), some 20 ms each. What it runs or times while a
 * choice is not known is a line in the file STEPS_EARLY, each device that it is asked for one in STEPS_ASKED.
 *
 * It does fp32 and fp16, batches up to 4, any number of threads, one frame in 100 us. 7 threads: the first execution
 * fails. A profile of 1000 runs takes half a minute.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/backend.h"
#include "engine/interface.h"

#define MAX_BATCH 4
#define TUNES (!STEPS_PROFILE)

typedef struct {
    GpudlOpenParams params;
    const GpudlHost *host;
    uint32_t n_nodes;
    uint32_t n_tuned; /* of the choices, by idle() */
    struct {
        const GpudlJob *jobs;
        uint32_t n;
    } * slots; /* under way */
    GpudlProfileRow rows[3];
    char third[32];
} Engine;

static GpudlStatus fail(GpudlFault *fault, GpudlStatus status, const char *message)
{
    snprintf(fault->message, sizeof fault->message, "%s", message);
    return status;
}

static void note(const char *path, const char *line)
{
    const int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0644) : -1;

    if (fd >= 0 && write(fd, line, strlen(line)) >= 0)
        close(fd);
}

static GpudlStatus steps_probe(int32_t device_id, GpudlFault *fault)
{
    char line[16];

    snprintf(line, sizeof line, "%d\n", (int)device_id);
    note(getenv("STEPS_ASKED"), line);
    return device_id <= 1 ? GPUDL_STATUS_OK : fail(fault, GPUDL_STATUS_NO_DEVICE, "0 and 1 are all devices of steps");
}

static GpudlStatus steps_devices(GpudlBackendDevice *out, uint32_t room, uint32_t *n, GpudlFault *fault)
{
    *n = 2;
    if (room > 0)
        out[0] = (GpudlBackendDevice){.id = 0,
                                      .name = "Stepper \x1b[31mX",
                                      .address = "0000:65:00.0",
                                      .memory_bytes = 80000000000,
                                      .free_bytes = 79500000000,
                                      .capability = {9, 0},
                                      .bytes_per_second = 10000000000,
                                      .flops_per_second = {[GPUDL_PRECISION_FP32] = 15000000000}};
    if (room > 1)
        out[1] = (GpudlBackendDevice){.id = 1, .name = "Stepper Y"};
    return GPUDL_STATUS_OK;
}

static GpudlStatus steps_resolve(void *device, GpudlOpenParams *params, GpudlFault *fault)
{
    if (params->precision == GPUDL_PRECISION_AUTO)
        params->precision = GPUDL_PRECISION_FP32;
    if (params->precision != GPUDL_PRECISION_FP32 && params->precision != GPUDL_PRECISION_FP16)
        return fail(fault, GPUDL_STATUS_UNSUPPORTED, "fp32 and fp16 are all that steps can do");
    if (params->batch_size > MAX_BATCH)
        return fail(fault, GPUDL_STATUS_UNSUPPORTED, "4 is the largest batch of steps");
    if (params->batch_size == 0)
        params->batch_size = MAX_BATCH;
    if (params->threads == 0)
        params->threads = 1;
    return GPUDL_STATUS_OK;
}

/* ---- tuning ------------------------------------------------------------------------------------------------------ */

/* A choice's file, to be read and written; a byte is in it. */
static void choice_path(const GpudlOpenParams *params, uint32_t i, char *path, size_t room)
{
    snprintf(path, room, "%s/steps-%d-%u", params->cache_dir, (int)params->precision, i + 1);
}

static GpudlStatus steps_forecast(void *device, const GpudlHost *host, const GpudlOpenParams *params,
                                  GpudlOpenForecast *forecast, GpudlFault *fault)
{
    char path[512], name[64];

    if (getenv("STEPS_REFUSE"))
        return fail(fault, GPUDL_STATUS_UNSUPPORTED, "asked to foresee nothing");
    forecast->n_choices = params->batch_size;
    forecast->weight_bytes = 1000000;
    forecast->work_bytes = 2000000 * (uint64_t)params->batch_size;
    for (uint32_t i = 0; i < params->batch_size; i++) {
        choice_path(params, i, path, sizeof path);
        if (access(path, R_OK) == 0) {
            forecast->n_known++;
            continue;
        }
        snprintf(name, sizeof name, "batch %u: step \x1b[31m<1>", i + 1);
        host->missing(host->host, name);
    }
    if (access(params->cache_dir, W_OK) != 0)
        snprintf(forecast->not_kept, sizeof forecast->not_kept, "nothing can be kept in %.100s: %s", params->cache_dir,
                 strerror(errno));
    return GPUDL_STATUS_OK;
}

static void tune_choice(const GpudlHost *host, const GpudlOpenParams *params, uint32_t i)
{
    char path[512];
    int fd;

    choice_path(params, i, path, sizeof path);
    host->progress(host->host, (double)i / params->batch_size, "tuning");
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd >= 0 && write(fd, "", 1) != 1)
        unlink(path);
    if (fd >= 0)
        close(fd);
}

/* STEPS_SLOW: it never ends by itself. */
static void tune(const GpudlHost *host, const GpudlOpenParams *params)
{
    for (uint32_t i = 0; i < params->batch_size; i++) {
        tune_choice(host, params, i);
        while (getenv("STEPS_SLOW") && !host->cancelled(host->host))
            usleep(1000);
    }
}

static int is_tuned(const Engine *e)
{
    return !TUNES || e->params.autotune != GPUDL_AUTOTUNE_CACHED || e->n_tuned == e->params.batch_size;
}

static GpudlStatus steps_idle(void *engine, uint64_t budget_ns, int *more, GpudlFault *fault)
{
    Engine *e = engine;

    if (!is_tuned(e) && !getenv("STEPS_SLOW"))
        tune_choice(e->host, &e->params, e->n_tuned++);
    usleep(20000);
    *more = is_tuned(e) ? GPUDL_IDLE_DONE : GPUDL_IDLE_MORE;
    return GPUDL_STATUS_OK;
}

static void note_early(const Engine *e)
{
    note(is_tuned(e) ? NULL : getenv("STEPS_EARLY"), "early\n");
}

static GpudlStatus steps_open(void *device, const GpudlHost *host, const GpudlOpenParams *params, void **engine,
                              GpudlEngineInfo *info, GpudlFault *fault)
{
    const GpudlPlan *plan = host->plan(host->host, 1, fault);
    Engine *e;

    if (!plan)
        return GPUDL_STATUS_UNSUPPORTED;
    e = calloc(1, sizeof *e);
    e->params = *params;
    e->host = host;
    e->slots = calloc(params->threads, sizeof *e->slots);
    e->n_nodes = plan->n_nodes;
    if (TUNES && params->autotune == GPUDL_AUTOTUNE_FULL)
        tune(host, params);
    if (host->cancelled(host->host)) {
        free(e->slots);
        free(e);
        return fail(fault, GPUDL_STATUS_FAILED, "cancelled");
    }
    *info = (GpudlEngineInfo){.n_slots = params->threads,
                              .max_batch = params->batch_size,
                              .depth = 2 * params->threads * params->batch_size,
                              .precision = params->precision,
                              .weight_bytes = 1000,
                              .work_bytes = 2000 * (uint64_t)params->threads,
                              .run_time_ns = 20000 * (uint64_t)params->batch_size,
                              .memory_kinds = 1u << GPUDL_MEMORY_HOST,
                              .device_name = "steps <1.0> & \"more\""};
    *engine = e;
    return GPUDL_STATUS_OK;
}

static void steps_close(void *engine)
{
    Engine *e = engine;

    free(e->slots);
    free(e);
}

static void run_jobs(const GpudlJob *jobs, uint32_t n)
{
    usleep(100 * n);
    for (uint32_t i = 0; i < n; i++)
        jobs[i].outputs[0][0] = 0.0f;
}

static GpudlStatus steps_submit(void *engine, uint32_t slot, const GpudlJob *jobs, uint32_t n, GpudlFault *fault)
{
    Engine *e = engine;

    if (e->params.threads == 7)
        return fail(fault, GPUDL_STATUS_DEVICE, "tripped over seven");
    note_early(e);
    e->slots[slot].jobs = jobs;
    e->slots[slot].n = n;
    if (!TUNES)
        run_jobs(jobs, n);
    return GPUDL_STATUS_OK;
}

static GpudlStatus steps_wait(void *engine, uint32_t slot, uint64_t timeout_ns, GpudlFault *fault)
{
    const Engine *e = engine;

    if (TUNES)
        run_jobs(e->slots[slot].jobs, e->slots[slot].n);
    return GPUDL_STATUS_OK;
}

static GpudlStatus steps_profile(void *engine, uint32_t slot, int64_t batch, uint32_t runs,
                                 const GpudlProfileRow **rows, uint32_t *n_rows, GpudlFault *fault)
{
    Engine *e = engine;
    uint64_t n = (uint64_t)batch;

    note_early(e);
    if (runs == 1000)
        sleep(30);
    snprintf(e->third, sizeof e->third, "third in %u runs", runs);
    e->rows[0] = (GpudlProfileRow){0, 0, "first </title><img src=x>", 3000 * n, 6000 * n, 0};
    e->rows[1] = (GpudlProfileRow){1, 1, "second 'quoted'", 6000 * n, 12000 * n, 60000 * n};
    e->rows[2] = (GpudlProfileRow){0, (int32_t)e->n_nodes - 1, e->third, 1000 * n, 0, 0};
    *rows = e->rows;
    *n_rows = 3;
    return GPUDL_STATUS_OK;
}

static GpudlStatus run_tensors(void *engine, uint32_t slot, int64_t batch, const void *const *inputs,
                               void *const *outputs, GpudlFault *fault)
{
    return fail(fault, GPUDL_STATUS_UNSUPPORTED, "steps computes no network");
}

static GpudlStatus run_preproc(void *engine, uint32_t slot, const GpudlFrame *frame, const GpudlPreproc *preproc,
                               float *dst, GpudlFault *fault)
{
    return fail(fault, GPUDL_STATUS_UNSUPPORTED, "steps computes no picture");
}

__attribute__((visibility("default"))) const GpudlBackend *gpudl_backend_entry(uint32_t abi_version,
                                                                               const char *interface);

const GpudlBackend *gpudl_backend_entry(uint32_t abi_version, const char *interface)
{
    static GpudlBackend backend = {
        .abi_version = GPUDL_BACKEND_ABI,
        .interface = GPUDL_BACKEND_INTERFACE,
        .name = STEPS_PROFILE ? "cpu" : "cuda",
        .flags = TUNES ? GPUDL_BACKEND_ASYNC : 0,
        .precisions = 1u << GPUDL_PRECISION_FP32 | 1u << GPUDL_PRECISION_FP16,
        .probe = steps_probe,
        .devices = steps_devices,
        .resolve = steps_resolve,
        .forecast = TUNES ? steps_forecast : NULL,
        .open = steps_open,
        .close = steps_close,
        .submit = steps_submit,
        .wait = steps_wait,
        .idle = TUNES ? steps_idle : NULL,
        .run_tensors = run_tensors,
        .run_preproc = run_preproc,
    };

    if (STEPS_PROFILE || getenv("STEPS_TIMES"))
        backend.profile = steps_profile;
    return abi_version == GPUDL_BACKEND_ABI && strcmp(interface, GPUDL_BACKEND_INTERFACE) == 0 ? &backend : NULL;
}

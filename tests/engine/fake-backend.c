/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A backend that computes nothing but tells on itself: score i of a job is values[i] (or the frame's first bytes), so
 * that a mixed-up result shows. Compiled twice: synchronous as "cpu", asynchronous as "cuda".
 *
 * values[0] steers: 1000: fail this execution; 2000: the device dies; otherwise the microseconds the execution takes.
 * values[1] is copied like the others: tests put a serial number there.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/backend.h"
#include "engine/interface.h"

#define N_SLOTS 2
#define MAX_BATCH (FAKE_ASYNC ? 4 : 1)

typedef struct {
    const GpudlPlan *plan;
    uint32_t n_values;
    struct {
        const GpudlJob *jobs;
        uint32_t n;
    } slots[N_SLOTS];
} Engine;

static GpudlStatus probe(int32_t device_id, GpudlFault *fault)
{
    if (device_id > 0) {
        snprintf(fault->message, sizeof fault->message, "device %d of 1", device_id);
        return GPUDL_STATUS_NO_DEVICE;
    }
    return GPUDL_STATUS_OK;
}

static GpudlStatus fake_devices(GpudlBackendDevice *out, uint32_t room, uint32_t *n, GpudlFault *fault)
{
    *n = 1;
    if (room > 0)
        *out = (GpudlBackendDevice){.name = "fake"};
    return GPUDL_STATUS_OK;
}

static GpudlStatus fake_resolve(void *device, GpudlOpenParams *params, GpudlFault *fault)
{
    params->precision = 1;
    return GPUDL_STATUS_OK;
}

static GpudlStatus fake_open(void *device, const GpudlHost *host, const GpudlOpenParams *params, void **engine,
                             GpudlEngineInfo *info, GpudlFault *fault)
{
    Engine *e;

    /* a load that takes its time, and a memory limit that can't be kept */
    for (int i = 0; params->deterministic && i < 2000 && !host->cancelled(host->host); i++)
        usleep(1000);
    if (host->cancelled(host->host))
        return GPUDL_STATUS_FAILED;
    if (params->memory_limit == 1) {
        snprintf(fault->message, sizeof fault->message, "needs 2 bytes, 1 is allowed");
        return GPUDL_STATUS_NO_MEMORY;
    }
    e = calloc(1, sizeof *e);
    e->plan = host->plan(host->host, 1, fault);
    if (!e->plan) {
        free(e);
        return GPUDL_STATUS_UNSUPPORTED;
    }
    e->n_values = (uint32_t)gpudl_shape_elements(&e->plan->tensors[e->plan->outputs[0]].shape);
    *info = (GpudlEngineInfo){.n_slots = N_SLOTS,
                              .max_batch = MAX_BATCH,
                              .precision = 1,
                              .memory_kinds = 1u << GPUDL_MEMORY_HOST,
                              .run_time_ns = 1000,
                              .device_name = "fake"};
    host->log(host->host, GPUDL_LOG_DEBUG, "open");
    *engine = e;
    return GPUDL_STATUS_OK;
}

static void fake_close(void *engine)
{
    free(engine);
}

static GpudlStatus compute(const Engine *e, const GpudlJob *jobs, uint32_t n, GpudlFault *fault)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!jobs[i].frame && jobs[i].values[0] == 1000) {
            snprintf(fault->message, sizeof fault->message, "asked to fail");
            return GPUDL_STATUS_FAILED;
        }
        if (!jobs[i].frame && jobs[i].values[0] == 2000) {
            snprintf(fault->message, sizeof fault->message, "asked to die");
            return GPUDL_STATUS_DEVICE;
        }
    }
    if (!jobs[0].frame)
        usleep((useconds_t)jobs[0].values[0]);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < e->n_values; j++)
            jobs[i].outputs[0][j] = jobs[i].frame ? ((const uint8_t *)jobs[i].frame->planes[0])[0] : jobs[i].values[j];
    return GPUDL_STATUS_OK;
}

static GpudlStatus fake_submit(void *engine, uint32_t slot, const GpudlJob *jobs, uint32_t n, GpudlFault *fault)
{
    Engine *e = engine;

    if (!FAKE_ASYNC)
        return compute(e, jobs, n, fault);
    e->slots[slot].jobs = jobs;
    e->slots[slot].n = n;
    return GPUDL_STATUS_OK;
}

static GpudlStatus fake_wait(void *engine, uint32_t slot, uint64_t timeout_ns, GpudlFault *fault)
{
    Engine *e = engine;

    return FAKE_ASYNC ? compute(e, e->slots[slot].jobs, e->slots[slot].n, fault) : GPUDL_STATUS_OK;
}

static GpudlStatus run_tensors(void *engine, uint32_t slot, int64_t batch, const void *const *inputs,
                               void *const *outputs, GpudlFault *fault)
{
    snprintf(fault->message, sizeof fault->message, "the fake computes no network");
    return GPUDL_STATUS_UNSUPPORTED;
}

static GpudlStatus run_preproc(void *engine, uint32_t slot, const GpudlFrame *frame, const GpudlPreproc *preproc,
                               float *dst, GpudlFault *fault)
{
    snprintf(fault->message, sizeof fault->message, "the fake computes no picture");
    return GPUDL_STATUS_UNSUPPORTED;
}

__attribute__((visibility("default"))) const GpudlBackend *gpudl_backend_entry(uint32_t abi_version,
                                                                               const char *interface);

const GpudlBackend *gpudl_backend_entry(uint32_t abi_version, const char *interface)
{
    static const GpudlBackend backend = {
        .abi_version = GPUDL_BACKEND_ABI,
        .interface = GPUDL_BACKEND_INTERFACE,
        .name = FAKE_ASYNC ? "cuda" : "cpu",
        .flags = FAKE_ASYNC ? GPUDL_BACKEND_ASYNC : 0,
        .precisions = 1u << 1,
        .probe = probe,
        .devices = fake_devices,
        .resolve = fake_resolve,
        .open = fake_open,
        .close = fake_close,
        .submit = fake_submit,
        .wait = fake_wait,
        .run_tensors = run_tensors,
        .run_preproc = run_preproc,
    };

    return abi_version == GPUDL_BACKEND_ABI && strcmp(interface, GPUDL_BACKEND_INTERFACE) == 0 ? &backend : NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reference as a module "cpu" that is off by 1 % in one head: the one that GPUDL_TEST_OFF_HEAD names. What a wrong
 * rewrite or a wrong backend looks like to whoever has to find it.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/ref/ref.h"

typedef struct {
    void *engine; /* the reference's */
    const GpudlPlan *plan;
} Off;

static GpudlStatus off_open(void *device, const GpudlHost *host, const GpudlOpenParams *params, void **engine,
                            GpudlEngineInfo *info, GpudlFault *fault)
{
    Off *off = g_new0(Off, 1);
    GpudlStatus status = gpudl_ref_backend()->open(device, host, params, &off->engine, info, fault);

    if (status != GPUDL_STATUS_OK) {
        g_free(off);
        return status;
    }
    off->plan = host->plan(host->host, 1, fault);
    *engine = off;
    return GPUDL_STATUS_OK;
}

static void off_close(void *engine)
{
    gpudl_ref_backend()->close(((Off *)engine)->engine);
    g_free(engine);
}

static GpudlStatus off_submit(void *engine, uint32_t slot, const GpudlJob *jobs, uint32_t n, GpudlFault *fault)
{
    Off *off = engine;
    GpudlStatus status = gpudl_ref_backend()->submit(off->engine, slot, jobs, n, fault);
    const char *text = getenv("GPUDL_TEST_OFF_HEAD");
    uint32_t head = text != NULL ? (uint32_t)atoi(text) : UINT32_MAX;

    for (uint32_t i = 0; i < n && status == GPUDL_STATUS_OK && head < off->plan->n_outputs; i++)
        for (int64_t k = gpudl_shape_elements(&off->plan->tensors[off->plan->outputs[head]].shape); k-- > 0;)
            jobs[i].outputs[head][k] *= 1.01f;
    return status;
}

static GpudlStatus off_wait(void *engine, uint32_t slot, uint64_t timeout_ns, GpudlFault *fault)
{
    return gpudl_ref_backend()->wait(((Off *)engine)->engine, slot, timeout_ns, fault);
}

__attribute__((visibility("default"))) const GpudlBackend *gpudl_backend_entry(uint32_t abi_version,
                                                                               const char *interface);

const GpudlBackend *gpudl_backend_entry(uint32_t abi_version, const char *interface)
{
    static GpudlBackend backend;

    backend = *gpudl_ref_backend();
    backend.name = "cpu";
    backend.open = off_open;
    backend.close = off_close;
    backend.submit = off_submit;
    backend.wait = off_wait;
    return abi_version == GPUDL_BACKEND_ABI && strcmp(interface, backend.interface) == 0 ? &backend : NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module "cuda": its table. */
#include "engine/module.h"
#include "engine.h"
#include "engine/interface.h"

#define CUDA_PRECISIONS                                                                                                \
    (1u << GPUDL_PRECISION_FP16 | 1u << GPUDL_PRECISION_BF16 | 1u << GPUDL_PRECISION_FP32 | 1u << GPUDL_PRECISION_TF32)
/* Frames of an execution: at most, and where the host leaves it open. */
#define MOST_FRAMES 256
#define USUAL_FRAMES 32

static GpudlStatus cuda_resolve(void *device, GpudlOpenParams *params, GpudlFault *fault)
{
    static const GpudlModuleAbility can = {"cuda", CUDA_PRECISIONS, GPUDL_PRECISION_FP16, MOST_FRAMES, USUAL_FRAMES};
    GpudlStatus status = gpudl_module_resolve(&can, params, fault);

    params->threads = 0;
    params->deterministic = 0; /* no kernel adds in an order that changes */
    params->memory_limit = 0;  /* nothing is chosen by it */
    params->priority = params->priority > 0;
    return status;
}

__attribute__((visibility("default"))) const GpudlBackend *gpudl_backend_entry(uint32_t abi_version,
                                                                               const char *interface);

const GpudlBackend *gpudl_backend_entry(uint32_t abi_version, const char *interface)
{
    static const GpudlBackend backend = {
        .abi_version = GPUDL_BACKEND_ABI,
        .interface = GPUDL_BACKEND_INTERFACE,
        .name = "cuda",
        .flags = GPUDL_BACKEND_ASYNC,
        .precisions = CUDA_PRECISIONS,
        .probe = cuda_probe,
        .devices = cuda_devices,
        .device_open = cuda_device_open,
        .device_close = cuda_device_close,
        .host_alloc = cuda_host_alloc,
        .host_free = cuda_host_free,
        .resolve = cuda_resolve,
        .forecast = cuda_forecast,
        .open = cuda_open,
        .close = cuda_close,
        .stage = cuda_stage,
        .unstage = cuda_unstage,
        .ticket_free = cuda_ticket_free,
        .submit = cuda_submit,
        .wait = cuda_wait,
        .idle = cuda_idle,
        .profile = cuda_profile,
        .replay = cuda_replay,
        .run_tensors = cuda_run_tensors,
        .run_preproc = cuda_run_preproc,
    };

    return gpudl_module_table(&backend, abi_version, interface);
}

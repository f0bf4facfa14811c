/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The graph that frames run on, over and over: what measurements compare with other programs' graphs. */
#include "engine.h"

#include "engine/module.h"

/* So many are queued before the first is waited for, so that the device never waits for a launch. */
#define UNDER_WAY 32

static cudaError_t queue(cudaGraphExec_t graph, const CudaRun *run, const CudaNoise *noise, cudaEvent_t begin,
                         cudaEvent_t end)
{
    cudaStream_t stream = run->stream;
    cudaError_t error = cuda_noise_put(run, noise);

    if (error == cudaSuccess)
        error = cudaEventRecord(begin, stream);
    if (error == cudaSuccess)
        error = cudaGraphLaunch(graph, stream);
    return error == cudaSuccess ? cudaEventRecord(end, stream) : error;
}

static cudaError_t collect(cudaEvent_t begin, cudaEvent_t end, uint64_t *ns)
{
    cudaError_t error = cudaEventSynchronize(end);
    float ms = 0;

    if (error == cudaSuccess)
        error = cudaEventElapsedTime(&ms, begin, end);
    *ns = (uint64_t)(ms * 1e6f);
    return error;
}

static cudaError_t replay(cudaGraphExec_t graph, const CudaRun *run, const CudaNoise *noise, uint32_t runs,
                          uint64_t *ns)
{
    cudaEvent_t events[UNDER_WAY][2] = {{NULL}};
    cudaError_t error = cudaSuccess;

    for (int i = 0; i < 2 * UNDER_WAY && error == cudaSuccess; i++)
        error = cudaEventCreate(&events[i / 2][i % 2]);
    for (uint32_t i = 0; i < runs + UNDER_WAY && error == cudaSuccess; i++) {
        cudaEvent_t *pair = events[i % UNDER_WAY];

        if (i >= UNDER_WAY)
            error = collect(pair[0], pair[1], &ns[i - UNDER_WAY]);
        if (error == cudaSuccess && i < runs)
            error = queue(graph, run, noise, pair[0], pair[1]);
    }
    for (int i = 0; i < 2 * UNDER_WAY; i++)
        if (events[i / 2][i % 2] != NULL)
            cudaEventDestroy(events[i / 2][i % 2]);
    return error;
}

GpudlStatus cuda_replay(void *data, uint32_t slot, int64_t batch, uint32_t runs, uint64_t *ns, GpudlFault *fault)
{
    CudaEngine *engine = data;
    GpudlStatus status = gpudl_module_check_slot(slot, CUDA_SLOTS, fault);
    const CudaBucket *bucket = status == GPUDL_STATUS_OK ? cuda_engine_bucket(engine, batch, 1) : NULL;
    CudaNoise noise;
    CudaRun run;
    cudaError_t error;

    if (status != GPUDL_STATUS_OK)
        return status;
    if (bucket == NULL)
        return gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "batch %lld is not compiled (yet)",
                                 (long long)batch);
    cuda_enter(engine->shared.device);
    run = cuda_run_on(engine, bucket, slot);
    status = cuda_noise_make(&run, &noise, fault);
    error = status == GPUDL_STATUS_OK ? replay(bucket->graphs[slot], &run, &noise, runs, ns) : cudaSuccess;
    cuda_noise_free(&noise);
    if (error != cudaSuccess)
        status = cuda_fail(engine->shared.device, fault, error, "running batch %lld", (long long)batch);
    cuda_leave(engine->shared.device);
    return status;
}

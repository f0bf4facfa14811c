/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What open() would find in the cache and take of the device: programs are lowered and placed, but never run. */
#include "engine.h"

#include "engine/module.h"

/* One batch size's program; its bytes of work memory. */
static GpudlStatus foresee(CudaEngine *engine, int64_t batch, GpudlOpenForecast *forecast, uint64_t *work_bytes,
                           GpudlFault *fault)
{
    const GpudlHost *host = engine->shared.host;
    const GpudlPlan *plan = host->plan(host->host, batch, fault);
    GpudlStatus status = GPUDL_STATUS_UNSUPPORTED;
    CudaCompilation *compilation = plan != NULL ? cuda_compile_begin(&engine->shared, plan, &status, fault) : NULL;
    const int chooses = engine->params.autotune != GPUDL_AUTOTUNE_OFF;
    CudaProgram *program;

    if (compilation == NULL)
        return status;
    status = cuda_tuning_recall(compilation->tuning, chooses ? forecast : NULL, fault);
    if (status != GPUDL_STATUS_OK) {
        cuda_compile_free(compilation);
        return status;
    }
    program = cuda_compile_end(compilation, &status, fault);
    if (program != NULL)
        *work_bytes = program->work_bytes;
    cuda_program_free(program);
    if (host->cancelled(host->host))
        return gpudl_module_fail(fault, GPUDL_STATUS_FAILED, "cancelled while looking at the cache");
    return status;
}

static GpudlStatus foresee_all(CudaEngine *engine, GpudlOpenForecast *forecast, GpudlFault *fault)
{
    GpudlStatus status = GPUDL_STATUS_UNSUPPORTED;
    uint64_t largest = 0, single = 0, other;

    if (!cuda_engine_plan_batches(engine, fault))
        return status;
    status = gpudl_module_check_input(engine->plan1, &engine->params, fault);
    if (status == GPUDL_STATUS_OK)
        status = foresee(engine, engine->params.batch_size, forecast, &largest, fault);
    if (status == GPUDL_STATUS_OK && engine->params.batch_size > 1)
        status = foresee(engine, 1, forecast, &single, fault);
    for (uint32_t i = 0; i < engine->n_wanted && status == GPUDL_STATUS_OK; i++)
        status = foresee(engine, engine->wanted[i], forecast, &other, fault);
    forecast->weight_bytes = engine->shared.weights.bytes;
    forecast->work_bytes = (single > largest ? single : largest) * CUDA_SLOTS;
    return status;
}

GpudlStatus cuda_forecast(void *device, const GpudlHost *host, const GpudlOpenParams *params,
                          GpudlOpenForecast *forecast, GpudlFault *fault)
{
    CudaDevice *dev = device;
    GpudlStatus status = GPUDL_STATUS_NO_MEMORY;
    CudaEngine *engine;
    cudaError_t error;

    cuda_enter(dev);
    engine = cuda_engine_new(dev, host, params, fault);
    if (engine != NULL) {
        engine->shared.convs.measured = 0; /* else nothing is read of a network that is not tuned to its end */
        status = foresee_all(engine, forecast, fault);
        error = cudaStreamSynchronize(NULL); /* uploads of weights, which go now */
        if (status == GPUDL_STATUS_OK && error != cudaSuccess)
            status = cuda_fail(dev, fault, error, "uploading weights");
        gpudl_cache_can_write(&engine->shared.convs.cache, forecast->not_kept, sizeof forecast->not_kept);
    }
    cuda_leave(dev);
    if (engine != NULL)
        cuda_close(engine);
    return status;
}

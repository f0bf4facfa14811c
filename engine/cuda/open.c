/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening and closing an engine. */
#include "engine.h"

#include <stdlib.h>

#include "engine/module.h"
#include "tell.h"

/* ---- slots ------------------------------------------------------------------------------------------------------- */

static cudaError_t make_streams(const CudaEngine *engine, CudaSlot *slot)
{
    int least = 0, greatest = 0, priority;
    cudaError_t error = cudaDeviceGetStreamPriorityRange(&least, &greatest);

    priority = engine->params.priority > 0 ? greatest : least;
    if (error == cudaSuccess)
        error = cudaStreamCreateWithPriority(&slot->stream, cudaStreamNonBlocking, priority);
    if (error == cudaSuccess)
        error = cudaStreamCreateWithPriority(&slot->side, cudaStreamNonBlocking, priority);
    return error;
}

static GpudlStatus make_slot(CudaEngine *engine, CudaSlot *slot, uint32_t most, GpudlFault *fault)
{
    CudaDevice *device = engine->shared.device;
    const uint64_t outputs = cuda_output_bytes(engine->plan1) * most;
    cudaError_t error = make_streams(engine, slot);

    if (error == cudaSuccess)
        error = cudaEventCreate(&slot->begin);
    if (error == cudaSuccess)
        error = cudaEventCreate(&slot->done);
    if (error == cudaSuccess)
        error = cudaMalloc((void **)&slot->device_jobs, most * sizeof *slot->jobs);
    if (error == cudaSuccess)
        error = cudaHostAlloc((void **)&slot->outputs, outputs + 1, cudaHostAllocPortable);
    if (error == cudaSuccess)
        error = cudaMalloc((void **)&slot->workspace, engine->work_bytes + 1);
    if (error == cudaSuccess)
        error = cudaMemset(slot->workspace, 0, engine->work_bytes + 1);
    if (error != cudaSuccess)
        return cuda_fail(device, fault, error, "%llu bytes of work memory on device %d",
                         (unsigned long long)engine->work_bytes, device->id);
    slot->jobs = calloc(most, sizeof *slot->jobs);
    slot->running = calloc(most, sizeof *slot->running);
    return slot->jobs != NULL && slot->running != NULL
               ? GPUDL_STATUS_OK
               : gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for a slot");
}

static void free_slot(CudaSlot *slot)
{
    if (slot->stream != NULL)
        cudaStreamSynchronize(slot->stream);
    cudaFree(slot->workspace);
    cudaFree(slot->device_jobs);
    free(slot->jobs);
    cudaFreeHost(slot->outputs);
    if (slot->begin != NULL)
        cudaEventDestroy(slot->begin);
    if (slot->done != NULL)
        cudaEventDestroy(slot->done);
    if (slot->stream != NULL)
        cudaStreamDestroy(slot->stream);
    if (slot->side != NULL)
        cudaStreamDestroy(slot->side);
    free(slot->running);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

int cuda_engine_plan_batches(CudaEngine *engine, GpudlFault *fault)
{
    const GpudlHost *host = engine->shared.host;
    const uint32_t asked = engine->params.batch_size;

    engine->plan1 = host->plan(host->host, 1, fault);
    if (engine->plan1 == NULL)
        return 0;
    while (engine->params.batch_size > 1 && host->plan(host->host, engine->params.batch_size, fault) == NULL)
        engine->params.batch_size /= 2;
    if (engine->params.batch_size < asked) /* why there is none of twice as many */
        host->log(host->host, GPUDL_LOG_INFO, fault->message);
    for (uint32_t batch = 2; batch < engine->params.batch_size && engine->n_wanted < GPUDL_MAX_BUCKETS - 2; batch *= 2)
        engine->wanted[engine->n_wanted++] = batch;
    engine->n_wanted_ever = engine->n_wanted;
    return 1;
}

/* To the end. */
static GpudlStatus settle(CudaEngine *engine, CudaProgram *program, GpudlFault *fault)
{
    CudaRound *round = cuda_round_new(engine, program, fault);
    GpudlStatus status = round != NULL ? GPUDL_STATUS_OK : GPUDL_STATUS_NO_MEMORY;
    int done;

    if (engine->shared.convs.measured)
        engine->shared.host->progress(engine->shared.host->host, 1, "choosing inside the network's graph");
    if (status == GPUDL_STATUS_OK)
        status = cuda_round_go(round, UINT64_MAX, &done, fault);
    cuda_round_free(round);
    return status;
}

static GpudlStatus open_engine(CudaEngine *engine, GpudlFault *fault)
{
    GpudlStatus status = GPUDL_STATUS_UNSUPPORTED;
    CudaProgram *largest, *single = NULL;
    int parts;

    if (!cuda_engine_plan_batches(engine, fault))
        return status;
    parts = engine->params.batch_size > 1 ? 2 : 1;
    status = gpudl_module_check_input(engine->plan1, &engine->params, fault);
    if (status != GPUDL_STATUS_OK)
        return status;
    largest = cuda_engine_compile(engine, engine->params.batch_size, 0, parts, &status, fault);
    if (largest != NULL && engine->params.batch_size > 1) {
        single = cuda_engine_compile(engine, 1, 1, parts, &status, fault);
        if (single == NULL) {
            cuda_program_free(largest);
            largest = NULL;
        }
    }
    if (largest == NULL)
        return status;
    engine->work_bytes =
        single != NULL && single->work_bytes > largest->work_bytes ? single->work_bytes : largest->work_bytes;
    status = gpudl_module_check_memory(engine->params.memory_limit, engine->shared.weights.bytes, CUDA_SLOTS,
                                       engine->work_bytes, fault);
    for (int i = 0; i < CUDA_SLOTS && status == GPUDL_STATUS_OK; i++)
        status = make_slot(engine, &engine->slots[i], engine->params.batch_size, fault);
    engine->shared.work_limit = engine->work_bytes;
    if (status == GPUDL_STATUS_OK)
        cuda_tell(engine->shared.host, "slots made");
    if (status == GPUDL_STATUS_OK)
        status = settle(engine, largest, fault);
    if (status == GPUDL_STATUS_OK && single != NULL)
        status = settle(engine, single, fault);
    if (status == GPUDL_STATUS_OK) {
        status = cuda_engine_add(engine, largest, fault);
        largest = NULL;
    }
    if (status == GPUDL_STATUS_OK && single != NULL) {
        status = cuda_engine_add(engine, single, fault);
        single = NULL;
    }
    cuda_program_free(largest);
    cuda_program_free(single);
    return status;
}

void cuda_close(void *data)
{
    CudaEngine *engine = data;
    CudaDevice *device = engine->shared.device;

    cuda_enter(device);
    cuda_idle_end(engine);
    for (int i = 0; i < CUDA_SLOTS; i++)
        free_slot(&engine->slots[i]);
    for (uint32_t i = 0; i < engine->n_buckets; i++)
        cuda_bucket_free(&engine->buckets[i]);
    while (engine->others != NULL) {
        CudaBucket *bucket = engine->others;

        engine->others = bucket->next;
        cuda_bucket_free(bucket);
        free(bucket);
    }
    cuda_convs_clear(&engine->first_choices);
    cuda_convs_clear(&engine->shared.convs);
    cuda_weights_clear(&engine->shared.weights);
    cudaGetLastError();
    cuda_leave(device);
    pthread_mutex_destroy(&engine->lock);
    pthread_mutex_destroy(&engine->built_lock);
    free(engine);
}

CudaEngine *cuda_engine_new(CudaDevice *dev, const GpudlHost *host, const GpudlOpenParams *params, GpudlFault *fault)
{
    CudaEngine *engine = calloc(1, sizeof *engine);

    if (engine == NULL) {
        gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for the engine");
        return NULL;
    }
    pthread_mutex_init(&engine->lock, NULL);
    pthread_mutex_init(&engine->built_lock, NULL);
    engine->params = *params;
    engine->params.cache_dir = NULL;
    engine->shared = (CudaShared){.device = dev,
                                  .host = host,
                                  .activation = params->activation,
                                  .dtype = params->precision == GPUDL_PRECISION_FP16   ? GPUDL_DTYPE_F16
                                           : params->precision == GPUDL_PRECISION_BF16 ? GPUDL_DTYPE_BF16
                                                                                       : GPUDL_DTYPE_F32,
                                  .tf32 = params->precision == GPUDL_PRECISION_TF32,
                                  .memory_limit = params->memory_limit,
                                  .tries_blocks = params->autotune != GPUDL_AUTOTUNE_OFF,
                                  .tries_branches = params->autotune == GPUDL_AUTOTUNE_FULL};
    engine->shared.convs =
        (CudaConvs){.device = dev, .host = host, .measured = params->autotune == GPUDL_AUTOTUNE_FULL};
    engine->shared.weights.device = dev;
    if (params->autotune == GPUDL_AUTOTUNE_OFF || cuda_convs_open_cache(&engine->shared.convs, params->cache_dir))
        return engine;
    gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for the engine");
    cuda_close(engine);
    return NULL;
}

GpudlStatus cuda_open(void *device, const GpudlHost *host, const GpudlOpenParams *params, void **result,
                      GpudlEngineInfo *info, GpudlFault *fault)
{
    CudaDevice *dev = device;
    GpudlStatus status = GPUDL_STATUS_NO_MEMORY;
    CudaEngine *engine;

    cuda_enter(dev);
    engine = cuda_engine_new(dev, host, params, fault);
    if (engine != NULL)
        status = open_engine(engine, fault);
    cuda_leave(dev);
    if (status != GPUDL_STATUS_OK) {
        if (engine != NULL)
            cuda_close(engine);
        return status;
    }
    engine->info.n_slots = CUDA_SLOTS;
    engine->info.max_batch = engine->params.batch_size;
    engine->info.precision = params->precision;
    engine->info.memory_kinds = 1u << GPUDL_MEMORY_HOST | 1u << GPUDL_MEMORY_HOST_PINNED | 1u << GPUDL_MEMORY_CUDA;
    cuda_describe(dev, engine->info.device_name, sizeof engine->info.device_name);
    cuda_engine_tell(engine);
    *info = engine->info;
    *result = engine;
    return status;
}

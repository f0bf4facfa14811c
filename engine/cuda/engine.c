/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening and closing: buckets, slots, memory. */
#include "engine.h"

#include <stdlib.h>

#include "engine/module.h"
#include "lt.h"

/* Runs of a new graph that are timed, after a first one. */
#define WARM_RUNS 25

CudaBucket *cuda_engine_bucket(CudaEngine *engine, int64_t n, int exact)
{
    for (uint32_t i = 0; i < engine->n_buckets; i++) {
        const int64_t batch = engine->buckets[i].program->plan->batch;

        if (exact ? batch == n : batch >= n)
            return &engine->buckets[i];
    }
    return NULL;
}

/* ---- slots ------------------------------------------------------------------------------------------------------- */

static uint64_t output_bytes(const GpudlPlan *plan)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < plan->n_outputs; i++)
        n += plan->tensors[plan->outputs[i]].bytes;
    return n;
}

static GpudlStatus make_slot(CudaEngine *engine, CudaSlot *slot, uint32_t most, GpudlFault *fault)
{
    CudaDevice *device = engine->shared.device;
    const uint64_t outputs = output_bytes(engine->plan1) * most;
    int least = 0, greatest = 0;
    cudaError_t error = cudaDeviceGetStreamPriorityRange(&least, &greatest);

    if (error == cudaSuccess)
        error = cudaStreamCreateWithPriority(&slot->stream, cudaStreamNonBlocking,
                                             engine->params.priority > 0 ? greatest : least);
    if (error == cudaSuccess)
        error = cudaEventCreate(&slot->begin);
    if (error == cudaSuccess)
        error = cudaEventCreate(&slot->done);
    if (error == cudaSuccess)
        error = cudaHostAlloc((void **)&slot->jobs, most * sizeof *slot->jobs, cudaHostAllocPortable);
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
    slot->running = calloc(most, sizeof *slot->running);
    return slot->running != NULL ? GPUDL_STATUS_OK
                                 : gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for a slot");
}

static void free_slot(CudaSlot *slot)
{
    if (slot->stream != NULL)
        cudaStreamSynchronize(slot->stream);
    cudaFree(slot->workspace);
    cudaFree(slot->device_jobs);
    cudaFreeHost(slot->jobs);
    cudaFreeHost(slot->outputs);
    if (slot->begin != NULL)
        cudaEventDestroy(slot->begin);
    if (slot->done != NULL)
        cudaEventDestroy(slot->done);
    if (slot->stream != NULL)
        cudaStreamDestroy(slot->stream);
    free(slot->running);
}

/* ---- buckets ----------------------------------------------------------------------------------------------------- */

/* What who waits for open() is told: part of parts is being compiled. */
typedef struct {
    const GpudlHost *host;
    const CudaTuning *tuning;
    int64_t batch;
    int part, parts;
} Watched;

static void tell_progress(void *data)
{
    const Watched *w = data;
    char what[48];

    snprintf(what, sizeof what, "choosing for batch %lld", (long long)w->batch);
    w->host->progress(w->host->host, (w->part + cuda_tuning_done(w->tuning)) / w->parts, what);
}

/* From beginning to end on this thread. parts 0: nobody waits. */
static CudaProgram *compile(CudaEngine *engine, int64_t batch, int part, int parts, GpudlStatus *status,
                            GpudlFault *fault)
{
    CudaShared *shared = &engine->shared;
    const GpudlPlan *plan = shared->host->plan(shared->host->host, batch, fault);
    CudaCompilation *compilation;
    Watched watched = {shared->host, NULL, batch, part, parts};
    cudaError_t error;
    int done;

    *status = GPUDL_STATUS_UNSUPPORTED;
    compilation = plan != NULL ? cuda_compile_begin(shared, plan, status, fault) : NULL;
    if (compilation == NULL)
        return NULL;
    watched.tuning = compilation->tuning;
    if (parts > 0)
        cuda_tuning_watch(compilation->tuning, tell_progress, &watched);
    cuda_tuning_build(compilation->tuning);
    *status = cuda_tuning_try(compilation->tuning, UINT64_MAX, &done, fault);
    error = cudaStreamSynchronize(NULL); /* uploads of weights */
    if (*status == GPUDL_STATUS_OK && error != cudaSuccess)
        *status = cuda_fail(shared->device, fault, error, "uploading weights");
    if (*status == GPUDL_STATUS_OK)
        return cuda_compile_end(compilation, status, fault);
    cuda_compile_free(compilation);
    return NULL;
}

static void free_bucket(CudaBucket *bucket)
{
    for (int i = 0; i < CUDA_SLOTS; i++)
        if (bucket->graphs[i] != NULL)
            cudaGraphExecDestroy(bucket->graphs[i]);
    cudaFree(bucket->workspace);
    cudaFreeHost(bucket->outputs);
    cuda_program_free(bucket->program);
    free(bucket->rows);
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return x < y ? -1 : x > y;
}

/* Runs the graph a few times: code and memory are warm, and it is known what a frame has to wait for. */
static GpudlStatus warm_up(CudaEngine *engine, CudaBucket *bucket, GpudlFault *fault)
{
    CudaSlot *slot = &engine->slots[0];
    cudaError_t error = cudaSuccess;
    float ms[WARM_RUNS + 1] = {0};

    for (int i = 0; i <= WARM_RUNS && error == cudaSuccess; i++) {
        error = cudaEventRecord(slot->begin, slot->stream);
        if (error == cudaSuccess)
            error = cudaGraphLaunch(bucket->graphs[0], slot->stream);
        if (error == cudaSuccess)
            error = cudaEventRecord(slot->done, slot->stream);
        if (error == cudaSuccess)
            error = cudaEventSynchronize(slot->done);
        if (error == cudaSuccess)
            error = cudaEventElapsedTime(&ms[i], slot->begin, slot->done);
    }
    if (error != cudaSuccess)
        return cuda_fail(engine->shared.device, fault, error, "the first runs of batch %lld",
                         (long long)bucket->program->plan->batch);
    qsort(ms + 1, WARM_RUNS, sizeof *ms, by_value);
    bucket->ns = ms[1 + WARM_RUNS / 2] * 1e6f;
    return GPUDL_STATUS_OK;
}

/* Profiles have told strings of it: it stays, but for its graphs. FALSE if there is no memory. */
static int retire(CudaEngine *engine, const CudaBucket *bucket)
{
    CudaBucket *retired = calloc(1, sizeof *retired);

    if (retired == NULL)
        return 0;
    *retired = *bucket;
    for (int i = 0; i < CUDA_SLOTS; i++) {
        cudaGraphExecDestroy(retired->graphs[i]);
        retired->graphs[i] = NULL;
    }
    retired->next = engine->others; /* behind the listed ones, which are looked for first */
    engine->others = retired;
    return 1;
}

GpudlStatus cuda_engine_add(CudaEngine *engine, CudaProgram *program, GpudlFault *fault)
{
    CudaBucket *known = cuda_engine_bucket(engine, program->plan->batch, 1);
    CudaBucket bucket = {.program = program};
    GpudlStatus status = GPUDL_STATUS_OK;
    uint32_t at = engine->n_buckets;

    pthread_mutex_lock(&engine->shared.device->lock);
    for (uint32_t i = 0; i < CUDA_SLOTS && status == GPUDL_STATUS_OK; i++)
        status = cuda_capture(engine, &bucket, i, 1, &bucket.graphs[i], fault);
    pthread_mutex_unlock(&engine->shared.device->lock);
    if (status == GPUDL_STATUS_OK)
        status = warm_up(engine, &bucket, fault);
    if (status != GPUDL_STATUS_OK) {
        free_bucket(&bucket);
        return status;
    }
    if (known != NULL) {
        if (bucket.ns < known->ns && retire(engine, known))
            *known = bucket;
        else
            free_bucket(&bucket);
        return GPUDL_STATUS_OK;
    }
    while (at > 0 && engine->buckets[at - 1].program->plan->batch > program->plan->batch) {
        engine->buckets[at] = engine->buckets[at - 1];
        at--;
    }
    engine->buckets[at] = bucket;
    engine->n_buckets++;
    return GPUDL_STATUS_OK;
}

CudaBucket *cuda_engine_other(CudaEngine *engine, int64_t batch, GpudlStatus *status, GpudlFault *fault)
{
    const GpudlHost *host = engine->shared.host;
    CudaBucket *bucket = engine->others;
    cudaError_t error;

    *status = GPUDL_STATUS_OK;
    while (bucket != NULL && bucket->program->plan->batch != batch)
        bucket = bucket->next;
    if (bucket != NULL)
        return bucket;
    *status = host->hold_constants(host->host, fault);
    if (*status != GPUDL_STATUS_OK)
        return NULL;
    bucket = calloc(1, sizeof *bucket);
    if (bucket != NULL)
        bucket->program = compile(engine, batch, 0, 0, status, fault);
    else
        *status = gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for batch %lld", (long long)batch);
    host->release_constants(host->host);
    if (bucket != NULL && bucket->program != NULL) {
        error = cudaMalloc((void **)&bucket->workspace, bucket->program->work_bytes + 1);
        if (error == cudaSuccess)
            error = cudaHostAlloc((void **)&bucket->outputs, output_bytes(bucket->program->plan) + 1,
                                  cudaHostAllocPortable);
        if (error != cudaSuccess)
            *status = cuda_fail(engine->shared.device, fault, error, "%llu bytes of work memory",
                                (unsigned long long)bucket->program->work_bytes);
    }
    if (*status != GPUDL_STATUS_OK) {
        if (bucket != NULL)
            free_bucket(bucket);
        free(bucket);
        return NULL;
    }
    bucket->next = engine->others;
    return engine->others = bucket;
}

void cuda_engine_tell(CudaEngine *engine)
{
    GpudlEngineInfo *info = &engine->info;

    info->n_buckets = engine->n_buckets;
    for (uint32_t i = 0; i < engine->n_buckets; i++) {
        info->buckets[i] = (uint32_t)engine->buckets[i].program->plan->batch;
        info->bucket_ns[i] = (uint64_t)engine->buckets[i].ns;
    }
    info->run_time_ns = info->bucket_ns[engine->n_buckets - 1];
    info->weight_bytes = engine->shared.weights.bytes;
    info->work_bytes = engine->work_bytes * CUDA_SLOTS;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

int cuda_engine_plan_batches(CudaEngine *engine, GpudlFault *fault)
{
    const GpudlHost *host = engine->shared.host;

    engine->plan1 = host->plan(host->host, 1, fault);
    if (engine->plan1 == NULL)
        return 0;
    if (engine->params.batch_size > 1 && host->plan(host->host, engine->params.batch_size, fault) == NULL) {
        host->log(host->host, GPUDL_LOG_INFO, fault->message);
        engine->params.batch_size = 1;
    }
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
    largest = compile(engine, engine->params.batch_size, 0, parts, &status, fault);
    if (largest != NULL && engine->params.batch_size > 1) {
        single = compile(engine, 1, 1, parts, &status, fault);
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
        free_bucket(&engine->buckets[i]);
    while (engine->others != NULL) {
        CudaBucket *bucket = engine->others;

        engine->others = bucket->next;
        free_bucket(bucket);
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
    engine->shared =
        (CudaShared){.device = dev,
                     .host = host,
                     .activation = params->activation,
                     .dtype = params->precision == GPUDL_PRECISION_FP16 ? GPUDL_DTYPE_F16 : GPUDL_DTYPE_F32,
                     .tf32 = params->precision == GPUDL_PRECISION_TF32};
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Batch sizes: their programs, and graphs of these. */
#include <stdlib.h>

#include "engine.h"
#include "engine/module.h"
#include "tell.h"

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

uint64_t cuda_output_bytes(const GpudlPlan *plan)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < plan->n_outputs; i++)
        n += plan->tensors[plan->outputs[i]].bytes;
    return n;
}

CudaRun cuda_run_on(const CudaEngine *engine, const CudaBucket *bucket, uint32_t slot)
{
    return (CudaRun){.program = bucket->program,
                     .device = engine->shared.device,
                     .workspace = bucket->workspace != NULL ? bucket->workspace : engine->slots[slot].workspace,
                     .outputs = bucket->outputs != NULL ? bucket->outputs : engine->slots[slot].outputs,
                     .stream = engine->slots[slot].stream,
                     .handle = engine->shared.device->handles[0]};
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

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

CudaProgram *cuda_engine_compile(CudaEngine *engine, int64_t batch, int part, int parts, GpudlStatus *status,
                                 GpudlFault *fault)
{
    CudaShared *shared = &engine->shared;
    const GpudlPlan *plan = shared->host->plan(shared->host->host, batch, fault);
    CudaCompilation *compilation;
    Watched watched = {shared->host, NULL, batch, part, parts};
    int done;

    *status = GPUDL_STATUS_UNSUPPORTED;
    compilation = plan != NULL ? cuda_compile_begin(shared, plan, status, fault) : NULL;
    if (compilation == NULL)
        return NULL;
    watched.tuning = compilation->tuning;
    if (parts > 0)
        cuda_tuning_watch(compilation->tuning, tell_progress, &watched);
    cuda_tuning_build(compilation->tuning);
    cuda_tell(shared->host, "batch %lld: plans loaded or built", (long long)batch);
    *status = cuda_compile_weights(compilation, fault);
    if (*status == GPUDL_STATUS_OK)
        *status = cuda_tuning_try(compilation->tuning, UINT64_MAX, &done, fault);
    if (*status == GPUDL_STATUS_OK)
        cuda_tell(shared->host, "batch %lld: plans chosen", (long long)batch);
    if (*status == GPUDL_STATUS_OK)
        return cuda_compile_end(compilation, status, fault);
    cuda_compile_free(compilation);
    return NULL;
}

void cuda_bucket_free(CudaBucket *bucket)
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
    const CudaRun run = cuda_run_on(engine, bucket, 0);
    cudaError_t error = cudaSuccess;
    float ms[WARM_RUNS + 1] = {0};

    for (int i = 0; i <= WARM_RUNS && error == cudaSuccess; i++) {
        error = cuda_put_colour(&run);
        if (error == cudaSuccess)
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
    cuda_tell(engine->shared.host, "batch %lld: %d runs of its graph", (long long)bucket->program->plan->batch,
              WARM_RUNS + 1);
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
        cuda_bucket_free(&bucket);
        return status;
    }
    if (known != NULL) {
        if (bucket.ns < known->ns && retire(engine, known))
            *known = bucket;
        else
            cuda_bucket_free(&bucket);
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
        bucket->program = cuda_engine_compile(engine, batch, 0, 0, status, fault);
    else
        *status = gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for batch %lld", (long long)batch);
    host->release_constants(host->host);
    if (bucket != NULL && bucket->program != NULL) {
        error = cudaMalloc((void **)&bucket->workspace, bucket->program->work_bytes + 1);
        if (error == cudaSuccess)
            error = cudaHostAlloc((void **)&bucket->outputs, cuda_output_bytes(bucket->program->plan) + 1,
                                  cudaHostAllocPortable);
        if (error != cudaSuccess)
            *status = cuda_fail(engine->shared.device, fault, error, "%llu bytes of work memory",
                                (unsigned long long)bucket->program->work_bytes);
    }
    if (*status != GPUDL_STATUS_OK) {
        if (bucket != NULL)
            cuda_bucket_free(bucket);
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

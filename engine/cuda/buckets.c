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

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

/* Events of the steps that others wait for, and of the beginning, behind them. */
static cudaError_t make_events(const CudaLanes *lanes, cudaEvent_t *events, uint32_t last_side)
{
    cudaError_t error = cudaEventCreateWithFlags(&events[lanes->n], cudaEventDisableTiming);

    for (uint32_t i = 0; i <= lanes->n && error == cudaSuccess; i++) {
        const int32_t at = i < lanes->n ? lanes->wait[i] : (int32_t)last_side;

        if (at >= 0 && events[at] == NULL)
            error = cudaEventCreateWithFlags(&events[at], cudaEventDisableTiming);
    }
    return error;
}

/* Step i, behind what it waits for. */
static int queue_step(const CudaRun *run, uint32_t i, const cudaEvent_t *events)
{
    const CudaStep *step = &run->program->steps[i];
    const int32_t wait = run->program->lanes.wait[i];
    int status = wait >= 0 ? (int)cudaStreamWaitEvent(run->stream, events[wait], 0) : 0;

    if (status == 0)
        status = cuda_step_launch(step, run);
    if (status == 0 && events[i] != NULL)
        status = (int)cudaEventRecord(events[i], run->stream);
    return status;
}

/* The steps on two streams, of which the run's is being captured: the other one joins with its first wait. */
static int queue_lanes(CudaEngine *engine, const CudaRun *run, cudaStream_t side, const cudaEvent_t *events,
                       uint32_t last_side, uint32_t *failed, GpudlFault *fault)
{
    const CudaLanes *lanes = &run->program->lanes;
    CudaRun runs[CUDA_LANES] = {*run, *run};
    int status = (int)cudaEventRecord(events[lanes->n], run->stream);

    runs[1].stream = side;
    if (status == 0)
        status = (int)cudaStreamWaitEvent(side, events[lanes->n], 0);
    for (uint32_t i = 0; i < lanes->n && status == 0; i++) {
        *failed = i;
        if (cuda_bind(engine->shared.device, runs[lanes->lane[i]].stream, fault) != GPUDL_STATUS_OK)
            return CUDA_STEP_CUDNN + (int)CUDNN_STATUS_INTERNAL_ERROR;
        status = queue_step(&runs[lanes->lane[i]], i, events);
    }
    return status == 0 ? (int)cudaStreamWaitEvent(run->stream, events[last_side], 0) : status;
}

/* As many streams as the program has. Status of a step, of CUDA where it is above 0. */
static int capture_steps(CudaEngine *engine, const CudaRun *run, uint32_t slot, cudaGraph_t *graph, uint32_t *failed,
                         GpudlFault *fault)
{
    const CudaLanes *lanes = &run->program->lanes;
    const int two = run->program->streams == CUDA_LANES && lanes->n > 0;
    cudaEvent_t *events = calloc(lanes->n + 1u, sizeof *events);
    uint32_t last_side = lanes->n;
    int status = events == NULL ? (int)cudaErrorMemoryAllocation : 0, ended;

    while (two && lanes->lane[--last_side] == 0)
        ;
    if (status == 0 && two)
        status = (int)make_events(lanes, events, last_side);
    if (status == 0)
        status = (int)cudaStreamBeginCapture(run->stream, cudaStreamCaptureModeThreadLocal);
    if (status == 0) {
        status = two ? queue_lanes(engine, run, engine->slots[slot].side, events, last_side, failed, fault)
                     : cuda_program_queue(run, 0, run->program->n_frame_steps, failed);
        ended = (int)cudaStreamEndCapture(run->stream, graph);
        status = status != 0 ? status : ended;
    }
    for (uint32_t i = 0; i <= lanes->n && events != NULL; i++)
        if (events[i] != NULL)
            cudaEventDestroy(events[i]);
    free(events);
    return status;
}

GpudlStatus cuda_capture(CudaEngine *engine, const CudaBucket *bucket, uint32_t slot, int first, cudaGraphExec_t *exec,
                         GpudlFault *fault)
{
    CudaDevice *device = engine->shared.device;
    CudaRun run = cuda_run_on(engine, bucket, slot);
    cudaGraph_t graph = NULL;
    cudaError_t error;
    GpudlStatus bound;
    uint32_t failed = 0;
    int status = 0;

    *exec = NULL;
    bound = cuda_bind(device, run.stream, fault);
    if (bound != GPUDL_STATUS_OK)
        return bound;
    run.handle = device->handles[0];
    /* once outside: kernels that are loaded at their first launch can't be while capturing */
    if (first)
        status = cuda_program_queue(&run, 0, run.program->n_frame_steps, &failed);
    if (status != 0)
        return cuda_program_fault(&run, failed, status, fault);
    error = cudaStreamSynchronize(run.stream);
    if (error == cudaSuccess && first)
        cuda_tell(engine->shared.host, "batch %lld, slot %u: run once", (long long)bucket->program->plan->batch, slot);
    if (error != cudaSuccess)
        return cuda_fail(device, fault, error, "the first run of batch %lld", (long long)bucket->program->plan->batch);
    status = capture_steps(engine, &run, slot, &graph, &failed, fault);
    if (status == 0 && first)
        cuda_tell(engine->shared.host, "batch %lld, slot %u: captured", (long long)bucket->program->plan->batch, slot);
    if (status == 0)
        error = cudaGraphInstantiate(exec, graph, 0);
    if (status == 0 && error == cudaSuccess && first)
        cuda_tell(engine->shared.host, "batch %lld, slot %u: made a graph", (long long)bucket->program->plan->batch,
                  slot);
    if (graph != NULL)
        cudaGraphDestroy(graph);
    if (status != 0)
        return cuda_program_fault(&run, failed, status, fault);
    return error == cudaSuccess ? GPUDL_STATUS_OK
                                : cuda_fail(device, fault, error, "capturing the graph of batch %lld",
                                            (long long)bucket->program->plan->batch);
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
    cuda_tell(shared->host, "batch %lld: plans loaded or built", (long long)batch);
    *status = cuda_compile_weights(compilation, fault);
    if (*status == GPUDL_STATUS_OK)
        *status = cuda_tuning_try(compilation->tuning, UINT64_MAX, &done, fault);
    if (*status == GPUDL_STATUS_OK)
        cuda_tell(shared->host, "batch %lld: plans chosen", (long long)batch);
    error = cudaStreamSynchronize(NULL); /* uploads of weights */
    if (*status == GPUDL_STATUS_OK && error != cudaSuccess)
        *status = cuda_fail(shared->device, fault, error, "uploading weights");
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

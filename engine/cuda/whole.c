/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whole tensors, single frames, single steps: what checks and profiles ask for. */
#include <stdlib.h>

#include "engine.h"
#include "engine/module.h"

/* The bucket of just this batch: one of those that frames run on, or another. Then the engine's lock is held until
 * leave(), since all slots share its memory. Within the device's context. */
static CudaBucket *enter(CudaEngine *engine, int64_t batch, GpudlStatus *status, GpudlFault *fault)
{
    CudaBucket *bucket = cuda_engine_bucket(engine, batch, 1);

    *status = GPUDL_STATUS_OK;
    if (bucket != NULL)
        return bucket;
    pthread_mutex_lock(&engine->lock);
    bucket = cuda_engine_other(engine, batch, status, fault);
    if (bucket == NULL)
        pthread_mutex_unlock(&engine->lock);
    return bucket;
}

static void leave(CudaEngine *engine, const CudaBucket *bucket)
{
    if (bucket != NULL && bucket->workspace != NULL)
        pthread_mutex_unlock(&engine->lock);
}

/* Queues the network, its graph or the steps of what has none, and what makes its heads dense. */
static GpudlStatus queue_network(CudaEngine *engine, const CudaRun *run, const CudaBucket *bucket, uint32_t slot,
                                 GpudlFault *fault)
{
    CudaDevice *device = engine->shared.device;
    const CudaProgram *p = run->program;
    const int has_graph = bucket->graphs[slot] != NULL;
    cudaError_t error = has_graph ? cudaGraphLaunch(bucket->graphs[slot], run->stream) : cudaSuccess;
    GpudlStatus result;
    uint32_t failed = 0;
    int status;

    if (error != cudaSuccess)
        return cuda_fail(device, fault, error, "running a graph");
    pthread_mutex_lock(&device->lock);
    result = cuda_bind(device, run->stream, fault);
    if (result == GPUDL_STATUS_OK) {
        status = cuda_program_queue(run, has_graph ? p->n_frame_steps : 0, p->n_steps, &failed);
        if (status != 0)
            result = cuda_program_fault(run, failed, status, fault);
    }
    pthread_mutex_unlock(&device->lock);
    return result;
}

static GpudlStatus run_whole(CudaEngine *engine, uint32_t slot, const CudaBucket *bucket, const float *input,
                             void *const *outputs, GpudlFault *fault)
{
    const CudaRun run = cuda_run_on(engine, bucket, slot);
    const GpudlPlan *plan = run.program->plan;
    const GpudlPlanTensor *tensor = &plan->tensors[plan->inputs[0]];
    const int64_t frame = gpudl_shape_elements(&tensor->shape) / plan->batch;
    float *values = NULL;
    cudaError_t error = cudaMalloc((void **)&values, tensor->bytes);
    GpudlStatus result = GPUDL_STATUS_OK;
    int status = 0;

    if (error == cudaSuccess)
        error = cudaMemcpyAsync(values, input, tensor->bytes, cudaMemcpyHostToDevice, run.stream);
    for (int64_t i = 0; i < plan->batch && error == cudaSuccess && status == 0; i++)
        status = cuda_put_values(&run, (uint32_t)i, values + i * frame);
    if (error == cudaSuccess && status == 0)
        result = queue_network(engine, &run, bucket, slot, fault);
    for (uint32_t i = 0; i < plan->n_outputs && error == cudaSuccess && status == 0 && result == GPUDL_STATUS_OK; i++)
        error = cudaMemcpyAsync(outputs[i], cuda_value_data(&run, run.program->heads[i]),
                                plan->tensors[plan->outputs[i]].bytes, cudaMemcpyDeviceToHost, run.stream);
    if (error == cudaSuccess)
        error = cudaStreamSynchronize(run.stream);
    cudaFree(values);
    if (result != GPUDL_STATUS_OK)
        return result;
    if (status != 0)
        error = status > 0 ? (cudaError_t)status : cudaErrorInvalidValue;
    return error == cudaSuccess
               ? GPUDL_STATUS_OK
               : cuda_fail(engine->shared.device, fault, error, "running batch %lld", (long long)plan->batch);
}

GpudlStatus cuda_run_tensors(void *data, uint32_t slot, int64_t batch, const void *const *inputs, void *const *outputs,
                             GpudlFault *fault)
{
    CudaEngine *engine = data;
    GpudlStatus status = gpudl_module_check_slot(slot, CUDA_SLOTS, fault);
    const CudaBucket *bucket;

    if (status == GPUDL_STATUS_OK)
        status = gpudl_module_check_batch(batch, fault);
    if (status != GPUDL_STATUS_OK)
        return status;
    cuda_enter(engine->shared.device);
    bucket = enter(engine, batch, &status, fault);
    if (bucket != NULL)
        status = run_whole(engine, slot, bucket, inputs[0], outputs, fault);
    leave(engine, bucket);
    cuda_leave(engine->shared.device);
    return status;
}

/* ---- a frame ----------------------------------------------------------------------------------------------------- */

static GpudlStatus preprocess(CudaEngine *engine, uint32_t slot, const CudaTicket *ticket, const GpudlPreproc *preproc,
                              float *dst, GpudlFault *fault)
{
    CudaSlot *s = &engine->slots[slot];
    const size_t bytes = (size_t)preproc->channels * (size_t)preproc->height * (size_t)preproc->width * sizeof *dst;
    const char *wrong = gpudl_preproc_job_fill(&s->jobs[0], &ticket->frame, preproc);
    float *out = NULL;
    cudaError_t error;
    int status = 0;

    if (wrong != NULL)
        return gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "frame of %dx%d: %s", ticket->frame.width,
                                 ticket->frame.height, wrong);
    error = cudaMalloc((void **)&out, bytes);
    if (error == cudaSuccess && ticket->waits)
        error = cudaStreamWaitEvent(s->stream, ticket->ready, 0);
    if (error == cudaSuccess)
        status = cuda_queue_frames(engine, s, 1, (const int32_t[]){preproc->channels, preproc->height, preproc->width},
                                   GPUDL_PREPROC_NCHW_F32, out, s->stream);
    if (error == cudaSuccess && status == 0)
        error = cudaMemcpyAsync(dst, out, bytes, cudaMemcpyDeviceToHost, s->stream);
    if (error == cudaSuccess)
        error = cudaStreamSynchronize(s->stream);
    cudaFree(out);
    if (status != 0)
        error = status > 0 ? (cudaError_t)status : cudaErrorInvalidValue;
    return error == cudaSuccess ? GPUDL_STATUS_OK
                                : cuda_fail(engine->shared.device, fault, error, "pre-processing a frame");
}

GpudlStatus cuda_run_preproc(void *data, uint32_t slot, const GpudlFrame *frame, const GpudlPreproc *preproc,
                             float *dst, GpudlFault *fault)
{
    CudaEngine *engine = data;
    GpudlStatus status = gpudl_module_check_slot(slot, CUDA_SLOTS, fault);
    void *ticket = NULL;

    if (status != GPUDL_STATUS_OK)
        return status;
    cuda_enter(engine->shared.device);
    status = cuda_stage(engine, &ticket, frame, NULL, fault);
    if (status == GPUDL_STATUS_OK)
        status = preprocess(engine, slot, ticket, preproc, dst, fault);
    if (ticket != NULL)
        cuda_ticket_free(engine, ticket);
    cuda_leave(engine->shared.device);
    return status;
}

/* ---- profiles ---------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return x < y ? -1 : x > y;
}

/* What a step has to move: each tensor of its nodes that it reads or writes, once; of pictures that channels are chosen
 * from, as much as becomes of them. */
static uint64_t bytes_of(const CudaProgram *p, const CudaStep *step)
{
    const int is_block = step->block != NULL && cuda_conv_is_one_launch(step->block);
    const int32_t values[] = {is_block ? step->more[0] : step->x, step->z, is_block ? step->more[1] : step->w,
                              step->bias, step->y};
    uint64_t bytes = 0;

    if (is_block && step->block_steps > 1) /* its block's last step does it */
        return 0;

    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (values[i] >= 0)
            bytes += (uint64_t)gpudl_shape_elements(&p->values[values[i]].shape) *
                     gpudl_dtype_size(p->values[values[i]].dtype) *
                     (values[i] == step->y && step->n_more > 0 && step->block == NULL ? 2 : 1);
    return bytes;
}

/* So many runs of a step in one graph, since the device would wait for launches otherwise. */
#define RUNS 10

static cudaGraphExec_t capture_step(const CudaRun *run, const CudaStep *step, int *status)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    int ended;

    *status = (int)cudaStreamBeginCapture(run->stream, cudaStreamCaptureModeThreadLocal);
    if (*status != 0)
        return NULL;
    for (int i = 0; i < RUNS && *status == 0; i++)
        *status = cuda_step_launch(step, run);
    ended = (int)cudaStreamEndCapture(run->stream, &graph);
    *status = *status != 0 ? *status : ended;
    if (*status == 0)
        *status = (int)cudaGraphInstantiate(&exec, graph, 0);
    if (graph != NULL)
        cudaGraphDestroy(graph);
    return exec;
}

/* The median of runs replays, in nanoseconds of one run. */
static int time_step(const CudaSlot *slot, const CudaRun *run, const CudaStep *step, float *times, uint32_t runs,
                     uint64_t *ns)
{
    int status;
    cudaGraphExec_t exec = capture_step(run, step, &status);

    for (uint32_t i = 0; i < runs && status == 0; i++) {
        status = (int)cudaEventRecord(slot->begin, run->stream);
        if (status == 0)
            status = (int)cudaGraphLaunch(exec, run->stream);
        if (status == 0)
            status = (int)cudaEventRecord(slot->done, run->stream);
        if (status == 0)
            status = (int)cudaEventSynchronize(slot->done);
        if (status == 0)
            status = (int)cudaEventElapsedTime(&times[i], slot->begin, slot->done);
    }
    if (status == 0) {
        qsort(times, runs, sizeof *times, by_value);
        *ns = (uint64_t)(times[runs / 2] * 1e6f / RUNS);
    }
    if (exec != NULL)
        cudaGraphExecDestroy(exec);
    return status;
}

/* Before a step: what it reads, which the last one may have written over or, in place, again and again. */
static GpudlStatus prepare(const CudaRun *run, const CudaNoise *noise, uint32_t step, GpudlFault *fault)
{
    const cudaError_t error = cuda_noise_put(run, noise);
    uint32_t failed = 0;
    int status;

    if (error != cudaSuccess)
        return cuda_fail(run->device, fault, error, "making the input of step %u", step);
    status = cuda_program_queue(run, 0, step, &failed);
    return status != 0 ? cuda_program_fault(run, failed, status, fault) : GPUDL_STATUS_OK;
}

/* Of a step's node, once; of a block's nodes at its last step. */
static uint64_t count_flops(const CudaProgram *p, const CudaStep *step, int32_t *counted)
{
    const int is_block = step->block != NULL && cuda_conv_is_one_launch(step->block);
    uint64_t flops = 0;

    if (is_block && step->block_steps > 1)
        return 0;
    if (step->node != *counted)
        flops = gpudl_module_flops(p->plan, step->node);
    *counted = step->node;
    for (const CudaStep *s = step; is_block && s > p->steps && s[-1].block_steps == s->block_steps + 1; s--)
        flops += gpudl_module_flops(p->plan, s[-1].node);
    return flops;
}

static GpudlStatus profile(CudaEngine *engine, const CudaRun *run, uint32_t slot, const CudaNoise *noise,
                           CudaBucket *bucket, float *times, uint32_t runs, GpudlFault *fault)
{
    const CudaProgram *p = run->program;
    int32_t counted = -1; /* the last node whose operations have been told */
    GpudlStatus result = cuda_bind(run->device, run->stream, fault);
    int status;

    for (uint32_t i = 0; i < p->n_frame_steps && result == GPUDL_STATUS_OK; i++) {
        const CudaStep *step = &p->steps[i];
        GpudlProfileRow *row = &bucket->rows[i];

        *row = (GpudlProfileRow){
            .node = step->node, .last_node = step->last_node, .implementation = step->what, .bytes = bytes_of(p, step)};
        row->flops = count_flops(p, step, &counted);
        result = prepare(run, noise, i, fault);
        if (result != GPUDL_STATUS_OK)
            break;
        status = time_step(&engine->slots[slot], run, step, times, runs, &row->ns);
        if (status != 0)
            result = cuda_program_fault(run, i, status, fault);
    }
    return result;
}

GpudlStatus cuda_profile(void *data, uint32_t slot, int64_t batch, uint32_t runs, const GpudlProfileRow **rows,
                         uint32_t *n_rows, GpudlFault *fault)
{
    CudaEngine *engine = data;
    GpudlStatus status = gpudl_module_check_slot(slot, CUDA_SLOTS, fault);
    CudaBucket *bucket;
    float *times;

    if (status == GPUDL_STATUS_OK)
        status = gpudl_module_check_batch(batch, fault);
    if (status == GPUDL_STATUS_OK && runs < 1)
        status = gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "%u runs, expected 1 or more", runs);
    if (status != GPUDL_STATUS_OK)
        return status;
    cuda_enter(engine->shared.device);
    bucket = enter(engine, batch, &status, fault);
    times = malloc(runs * sizeof *times);
    if (bucket != NULL && bucket->rows == NULL)
        bucket->rows = calloc(bucket->program->n_steps + 1u, sizeof *bucket->rows);
    if (bucket != NULL && (bucket->rows == NULL || times == NULL))
        status = gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for the profile");
    if (status == GPUDL_STATUS_OK) {
        const CudaRun run = cuda_run_on(engine, bucket, slot);
        CudaNoise noise;

        pthread_mutex_lock(&engine->shared.device->lock);
        status = cuda_noise_make(&run, &noise, fault);
        if (status == GPUDL_STATUS_OK)
            status = profile(engine, &run, slot, &noise, bucket, times, runs, fault);
        cuda_noise_free(&noise);
        pthread_mutex_unlock(&engine->shared.device->lock);
        *n_rows = run.program->n_frame_steps;
    }
    if (status == GPUDL_STATUS_OK)
        *rows = bucket->rows;
    free(times);
    leave(engine, bucket);
    cuda_leave(engine->shared.device);
    return status;
}

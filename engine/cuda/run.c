/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Executions: submit() and wait(). */
#include <time.h>

#include "engine.h"
#include "engine/module.h"

/* wait() looks at the event without pause from so long before the end that is expected (a sleeper wakes up late by half
 * of that) until so long after it, then every so often; and never sleeps longer at a time than the last. */
#define EARLY_NS 120000u
#define LATE_NS 100000u
#define NAP_NS 20000u
#define LONGEST_NS 10000000u

/* ---- inputs ------------------------------------------------------------------------------------------------------ */

int cuda_put_values(const CudaRun *run, uint32_t i, const float *values)
{
    const CudaProgram *p = run->program;
    const CudaValue *input = &p->values[p->input];
    const int64_t *d = input->shape.dims;
    const GpudlShape shape = {3, {d[1], d[2], d[3]}};
    const GpudlStrided from = {GPUDL_DTYPE_F32, (void *)values, {d[2] * d[3], d[3], 1}};
    const size_t frame = (size_t)input->strides[0] * gpudl_dtype_size(input->dtype);
    uint8_t *at = (uint8_t *)cuda_value_data(run, p->input) + i * frame;
    GpudlStrided to = {input->dtype, at, {input->strides[1], input->strides[2], input->strides[3]}};
    int status = (int)cudaMemsetAsync(at, 0, frame, run->stream);

    return status == 0 ? gpudl_unary_cuda(GPUDL_UNARY_ACTIVATION, NULL, &shape, &from, &to, run->stream) : status;
}

cudaError_t cuda_put_colour(const CudaRun *run)
{
    const CudaProgram *p = run->program;
    const int32_t block = p->values[p->input].block;
    const int number = 0x3e; /* bytes of 0.19 in float32 and bfloat16, of 1.6 in float16 */

    return cudaMemsetAsync(run->workspace + p->blocks[block].offset, number, (size_t)p->blocks[block].bytes,
                           run->stream);
}

/* Jobs of the frames; idle ones for values and for what the batch has more. Returns what is wrong with a frame. */
static const char *fill_jobs(CudaSlot *slot, const GpudlJob *jobs, uint32_t n, uint32_t batch, uint32_t *frames)
{
    const char *wrong = NULL;

    *frames = 0;
    for (uint32_t i = 0; i < batch && wrong == NULL; i++) {
        gpudl_preproc_job_idle(&slot->jobs[i]);
        if (i < n && jobs[i].frame != NULL) {
            const CudaTicket *ticket = jobs[i].ticket;

            wrong = gpudl_preproc_job_fill(&slot->jobs[i], &ticket->frame, jobs[i].preproc);
            ++*frames;
        }
    }
    return wrong;
}

/* 0 or a status of a launch. */
static int queue_inputs(const CudaEngine *engine, CudaSlot *slot, const CudaRun *run, const GpudlJob *jobs, uint32_t n,
                        uint32_t frames)
{
    const CudaProgram *p = run->program;
    const uint32_t batch = (uint32_t)p->plan->batch;
    const GpudlPreprocLayout layout = p->values[p->input].dtype == GPUDL_DTYPE_F16    ? GPUDL_PREPROC_NHWC4_F16
                                      : p->values[p->input].dtype == GPUDL_DTYPE_BF16 ? GPUDL_PREPROC_NHWC4_BF16
                                                                                      : GPUDL_PREPROC_NHWC4_F32;
    int status = 0;

    for (uint32_t i = 0; i < n && status == 0; i++) {
        const CudaTicket *ticket = jobs[i].ticket;

        if (ticket->waits)
            status = (int)cudaStreamWaitEvent(run->stream, ticket->ready, 0);
    }
    if (frames > 0 && status == 0)
        status = cuda_queue_frames(
            engine, slot, (int32_t)batch,
            (const int32_t[]){engine->params.input_channels, engine->params.input_height, engine->params.input_width},
            layout, cuda_value_data(run, p->input), run->stream);
    for (uint32_t i = 0; i < n && status == 0; i++)
        if (jobs[i].frame == NULL)
            status = cuda_put_values(run, i, ((const CudaTicket *)jobs[i].ticket)->values);
    return status;
}

static GpudlStatus fail_launch(const CudaEngine *engine, int status, GpudlFault *fault)
{
    if (status > 0)
        return cuda_fail(engine->shared.device, fault, (cudaError_t)status, "submitting to device %d",
                         engine->shared.device->id);
    return gpudl_module_fail(fault, GPUDL_STATUS_BACKEND, "pre-processing: %s", gpudl_kernel_status_text(status));
}

/* ---- submit and wait --------------------------------------------------------------------------------------------- */

static GpudlStatus submit(CudaEngine *engine, uint32_t slot, const CudaBucket *bucket, const GpudlJob *jobs, uint32_t n,
                          GpudlFault *fault)
{
    CudaSlot *s = &engine->slots[slot];
    const CudaRun run = cuda_run_on(engine, bucket, slot);
    uint32_t frames = 0;
    const char *wrong = fill_jobs(s, jobs, n, (uint32_t)bucket->program->plan->batch, &frames);
    cudaError_t error;
    int status;

    if (wrong != NULL)
        return gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "a frame can't be taken: %s", wrong);
    status = queue_inputs(engine, s, &run, jobs, n, frames);
    if (status != 0)
        return fail_launch(engine, status, fault);
    error = cudaGraphLaunch(bucket->graphs[slot], s->stream);
    if (error == cudaSuccess)
        error = cudaEventRecord(s->done, s->stream);
    if (error != cudaSuccess)
        return cuda_fail(engine->shared.device, fault, error, "submitting batch %lld to device %d",
                         (long long)bucket->program->plan->batch, engine->shared.device->id);
    memcpy(s->running, jobs, n * sizeof *jobs);
    s->n_running = n;
    s->expected_ns = gpudl_module_now_ns() + (uint64_t)bucket->ns;
    return GPUDL_STATUS_OK;
}

GpudlStatus cuda_submit(void *data, uint32_t slot, const GpudlJob *jobs, uint32_t n, GpudlFault *fault)
{
    CudaEngine *engine = data;
    GpudlStatus status = gpudl_module_check_slot(slot, CUDA_SLOTS, fault);
    const CudaBucket *bucket;

    if (status == GPUDL_STATUS_OK)
        status = gpudl_module_check_jobs(n, engine->params.batch_size, fault);
    if (status != GPUDL_STATUS_OK)
        return status;
    bucket = cuda_engine_bucket(engine, n, 0);
    cuda_enter(engine->shared.device);
    status = submit(engine, slot, bucket, jobs, n, fault);
    if (status != GPUDL_STATUS_OK)
        cudaStreamSynchronize(
            engine->slots[slot].stream); /* what was queued reads frames that are the caller's again */
    cuda_leave(engine->shared.device);
    return status;
}

static void pause_for(uint64_t ns)
{
    const struct timespec pause = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

    nanosleep(&pause, NULL);
}

/* Sleeps for about as long as the execution takes, looks without pause around its end, and naps if it is late. */
static cudaError_t wait_event(cudaEvent_t event, uint64_t expected_ns, uint64_t timeout_ns)
{
    const uint64_t begin = gpudl_module_now_ns();
    cudaError_t error;

    while ((error = cudaEventQuery(event)) == cudaErrorNotReady) {
        const uint64_t now = gpudl_module_now_ns();

        if (now - begin >= timeout_ns)
            break;
        if (now + EARLY_NS < expected_ns)
            pause_for(expected_ns - EARLY_NS - now < LONGEST_NS ? expected_ns - EARLY_NS - now : LONGEST_NS);
        else if (now > expected_ns + LATE_NS)
            pause_for(NAP_NS);
    }
    return error;
}

/* Each frame's part of each head to where its job wants it. */
static void give_outputs(const CudaEngine *engine, const CudaSlot *slot, const GpudlPlan *plan)
{
    const uint8_t *from = slot->outputs;

    for (uint32_t h = 0; h < plan->n_outputs; h++) {
        const uint64_t bytes = engine->plan1->tensors[engine->plan1->outputs[h]].bytes;

        for (uint32_t i = 0; i < slot->n_running; i++)
            memcpy(slot->running[i].outputs[h], from + i * bytes, bytes);
        from += plan->tensors[plan->outputs[h]].bytes;
    }
}

GpudlStatus cuda_wait(void *data, uint32_t slot, uint64_t timeout_ns, GpudlFault *fault)
{
    CudaEngine *engine = data;
    GpudlStatus status = gpudl_module_check_slot(slot, CUDA_SLOTS, fault);
    CudaSlot *s;
    cudaError_t error;

    if (status != GPUDL_STATUS_OK)
        return status;
    s = &engine->slots[slot];
    cuda_enter(engine->shared.device);
    error = wait_event(s->done, s->expected_ns, timeout_ns);
    cuda_leave(engine->shared.device);
    if (error == cudaErrorNotReady) {
        atomic_store(&engine->shared.device->silent, 1);
        return gpudl_module_fail(fault, GPUDL_STATUS_TIMEOUT, "device %d has not finished within %.1f s",
                                 engine->shared.device->id, (double)timeout_ns / 1e9);
    }
    if (error != cudaSuccess)
        return cuda_fail(engine->shared.device, fault, error, "running on device %d", engine->shared.device->id);
    give_outputs(engine, s, cuda_engine_bucket(engine, s->n_running, 0)->program->plan);
    return GPUDL_STATUS_OK;
}

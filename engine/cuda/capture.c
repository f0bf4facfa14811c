/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program as a graph: its steps on as many streams as it has. */
#include <stdlib.h>

#include "engine.h"
#include "engine/module.h"
#include "kernels/launch.h"
#include "tell.h"

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
    CudaJoins joins = CUDA_JOINS_BEGIN;
    int status = (int)cudaEventRecord(events[lanes->n], run->stream);

    runs[1].stream = side;
    if (status == 0)
        status = (int)cudaStreamWaitEvent(side, events[lanes->n], 0);
    for (uint32_t i = 0; i < lanes->n && status == 0; i++) {
        *failed = i;
        if (cuda_bind(engine->shared.device, runs[lanes->lane[i]].stream, fault) != GPUDL_STATUS_OK) {
            status = CUDA_STEP_CUDNN + (int)CUDNN_STATUS_INTERNAL_ERROR;
            break;
        }
        gpudl_launches_overlap(cuda_lanes_overlap(lanes, i, cuda_step_launches(&run->program->steps[i]), &joins));
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
        gpudl_launches_overlap(run->program->streams != CUDA_APART);
        status = two ? queue_lanes(engine, run, engine->slots[slot].side, events, last_side, failed, fault)
                     : cuda_program_queue(run, 0, run->program->n_frame_steps, failed);
        gpudl_launches_overlap(1);
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A network opened on a device: programs for several batch sizes, and slots that run them as CUDA graphs.
 */
#ifndef GPUDL_ENGINE_CUDA_ENGINE_H
#define GPUDL_ENGINE_CUDA_ENGINE_H

#include "compile.h"
#include "kernels/preproc_points_cuda.h"
#include "kernels/preproc_shrink_cuda.h"
#include "round.h"

/** What a batch size has: its program, and a graph of it on each slot's memory. */
typedef struct CudaBucket CudaBucket;
struct CudaBucket {
    CudaBucket *next; /* of the engine's others */
    CudaProgram *program;
    uint8_t *workspace, *outputs; /* its own, NULL: the slots' */
    cudaGraphExec_t graphs[CUDA_SLOTS];
    float ns;              /* of one execution */
    GpudlProfileRow *rows; /* of the last profile; made at the first */
};

/** What an execution needs. Used by one thread at a time. */
typedef struct {
    cudaStream_t stream, side; /* side: of branches, while graphs are captured */
    cudaEvent_t begin, done;
    uint8_t *workspace;
    GpudlPreprocJob *jobs, *device_jobs; /* on the host, and where kernels read many of them */
    uint8_t *outputs;                    /* pinned: all heads of all frames, float32 */
    GpudlJob *running;                   /* copies of the jobs under way */
    uint32_t n_running;
    uint64_t expected_ns; /* when the execution under way ends if nothing else is before it */
} CudaSlot;

typedef struct {
    GpudlOpenParams params;
    CudaShared shared;
    const GpudlPlan *plan1;
    uint32_t n_buckets, n_wanted; /* ascending; wanted ones are compiled while idle */
    CudaBucket buckets[GPUDL_MAX_BUCKETS];
    uint32_t wanted[GPUDL_MAX_BUCKETS], n_wanted_ever;
    CudaConvs first_choices; /* those that programs were opened with, once they are measured */
    uint64_t work_bytes;     /* of a slot's workspace */
    CudaSlot slots[CUDA_SLOTS];
    pthread_mutex_t lock; /* others, for as long as one of them runs; before the device's */
    CudaBucket *others;   /* of batch sizes that only checks and profiles ask for: no graphs */
    GpudlEngineInfo info;

    /* What idle() is at: a compilation whose plans a thread builds, */
    CudaCompilation *pending;
    CudaProgram *ready; /* then: what was compiled, and the choices inside its graph */
    CudaRound *round;
    pthread_t builder;
    int has_builder;
    pthread_mutex_t built_lock;
    int built; /* under built_lock */
} CudaEngine;

/* open.c */
/** An engine without programs yet, its cache open; cuda_close() frees it. In the device's context. NULL with *fault. */
CudaEngine *cuda_engine_new(CudaDevice *device, const GpudlHost *host, const GpudlOpenParams *params,
                            GpudlFault *fault);
/** Largest batch that model and params permit becomes params.batch_size, and those between it and 1 are wanted. FALSE
 * with *fault if there is not even batch 1. */
int cuda_engine_plan_batches(CudaEngine *engine, GpudlFault *fault);
GpudlStatus cuda_open(void *device, const GpudlHost *host, const GpudlOpenParams *params, void **engine,
                      GpudlEngineInfo *info, GpudlFault *fault);
void cuda_close(void *engine);

/* buckets.c */
/** Bytes of a plan's results, as the host reads them. */
uint64_t cuda_output_bytes(const GpudlPlan *plan);
CudaRun cuda_run_on(const CudaEngine *engine, const CudaBucket *bucket, uint32_t slot);
/** A batch size's program, from beginning to end on this thread; who waits for open() is told that this is part of
 * parts. parts 0: nobody waits. In the device's context. NULL with *status and *fault. */
CudaProgram *cuda_engine_compile(CudaEngine *engine, int64_t batch, int part, int parts, GpudlStatus *status,
                                 GpudlFault *fault);
/** Its graphs, memory and program. */
void cuda_bucket_free(CudaBucket *bucket);
/** The smallest bucket that holds n frames; NULL if there is none. exact: of just that size. */
CudaBucket *cuda_engine_bucket(CudaEngine *engine, int64_t n, int exact);
/** The one of just this batch among the others, compiled on first demand. Under the engine's lock, in the device's
 * context. NULL with *status and *fault. */
CudaBucket *cuda_engine_other(CudaEngine *engine, int64_t batch, GpudlStatus *status, GpudlFault *fault);

/** Lists a program among the buckets, with graphs on all slots; in the place of the one that its batch has, if it is
 * faster. Takes it over. */
GpudlStatus cuda_engine_add(CudaEngine *engine, CudaProgram *program, GpudlFault *fault);
/** Brings the info up to date. */
void cuda_engine_tell(CudaEngine *engine);

/* capture.c */
/** Captures the bucket's program with the copies of its outputs on a slot. first: kernels may not be loaded yet, so it
 * is run once before. Under the device's lock. */
GpudlStatus cuda_capture(CudaEngine *engine, const CudaBucket *bucket, uint32_t slot, int first, cudaGraphExec_t *exec,
                         GpudlFault *fault);

/* forecast.c */
GpudlStatus cuda_forecast(void *device, const GpudlHost *host, const GpudlOpenParams *params,
                          GpudlOpenForecast *forecast, GpudlFault *fault);

/* frames.c */
/** Makes out, of size channels x height x width a frame, of the slot's first count jobs. 0 or a status of a launch. */
int cuda_queue_frames(const CudaEngine *engine, CudaSlot *slot, int32_t count, const int32_t size[3],
                      GpudlPreprocLayout layout, void *out, cudaStream_t stream);

/* idle.c */
GpudlStatus cuda_idle(void *engine, uint64_t budget_ns, int *more, GpudlFault *fault);
/** Drops what is being compiled; waits for the thread. In the device's context. */
void cuda_idle_end(CudaEngine *engine);

/* run.c */
GpudlStatus cuda_submit(void *engine, uint32_t slot, const GpudlJob *jobs, uint32_t n, GpudlFault *fault);
GpudlStatus cuda_wait(void *engine, uint32_t slot, uint64_t timeout_ns, GpudlFault *fault);
/** Puts one frame's dense planar float32 values, on the device, where the program's input has frame i. Status of the
 * launcher. */
int cuda_put_values(const CudaRun *run, uint32_t i, const float *values);
/** Before each run of a program that is measured: frames of one colour. What lies in the input's memory is what was
 * computed there last; read as numbers it has NaN, which windows by tensor cores take several times as long for, and
 * which would come out and in again from then on. */
cudaError_t cuda_put_colour(const CudaRun *run);

/* noise.c */
/** An input of a program: of numbers as normalised pictures have. What is left in the memory of the last input is later
 * tensors' bits, among them infinities and NaN, which some kernels are slower with. */
typedef struct {
    void *input; /* on the device */
    size_t bytes;
} CudaNoise;

/** Returns when it is there; cuda_noise_free() frees it, also after a failure. In the device's context, on the run's
 * slot. */
GpudlStatus cuda_noise_make(const CudaRun *run, CudaNoise *noise, GpudlFault *fault);
/** Queues its copy into the program's input. */
cudaError_t cuda_noise_put(const CudaRun *run, const CudaNoise *noise);
void cuda_noise_free(CudaNoise *noise);

/* whole.c */
GpudlStatus cuda_run_tensors(void *engine, uint32_t slot, int64_t batch, const void *const *inputs,
                             void *const *outputs, GpudlFault *fault);
GpudlStatus cuda_run_preproc(void *engine, uint32_t slot, const GpudlFrame *frame, const GpudlPreproc *preproc,
                             float *dst, GpudlFault *fault);
GpudlStatus cuda_profile(void *engine, uint32_t slot, int64_t batch, uint32_t runs, const GpudlProfileRow **rows,
                         uint32_t *n_rows, GpudlFault *fault);

/* replay.c */
GpudlStatus cuda_replay(void *engine, uint32_t slot, int64_t batch, uint32_t runs, uint64_t *ns, GpudlFault *fault);

/* ticket.c */
typedef struct {
    CudaPlace *place;    /* where it is uploaded to; from stage() to unstage() */
    cudaEvent_t ready;   /* the frame is complete, or its copy is */
    int waits;           /* the execution has to wait for the event */
    GpudlFrame frame;    /* as the device sees it */
    const float *values; /* on the device, where there is no frame */
} CudaTicket;

GpudlStatus cuda_stage(void *engine, void **ticket, const GpudlFrame *frame, const float *values, GpudlFault *fault);
void cuda_unstage(void *engine, void *ticket);
void cuda_ticket_free(void *engine, void *ticket);

#endif

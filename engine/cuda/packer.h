/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Weights are packed and uploaded by threads, beside a compilation's other work: loading a network's plans takes as
 * long and waits for libraries.
 */
#ifndef GPUDL_ENGINE_CUDA_PACKER_H
#define GPUDL_ENGINE_CUDA_PACKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "pack.h"
#include "weights.h"

#define CUDA_PACKERS 4

/** A constant whose memory is there, but not yet what belongs into it. */
typedef struct {
    CudaPacking packing;
    CudaConstant *constant;
    char what[256]; /* whose it is, for the message of a failure: "backend cuda can't run node 'x' (CONV)" */
    int64_t first;  /* of the packer's pieces */
} CudaPackerJob;

/** Zeroed is one without jobs. It does not move once it is started. */
typedef struct {
    CudaDevice *device;
    CudaPackerJob *jobs;
    uint32_t n, room;
    int64_t n_pieces;
    atomic_llong next; /* piece: each thread takes one after the other */
    pthread_t threads[CUDA_PACKERS];
    uint32_t n_threads;
    pthread_mutex_t lock; /* what follows */
    int64_t failed;       /* the first piece that did, n_pieces: none */
    GpudlStatus status;
    GpudlFault fault;
    int started, finished; /* of the thread that calls */
} CudaPacker;

/** Adds a job, which is copied; FALSE if there is no memory. Before start(). */
int cuda_packer_add(CudaPacker *packer, const CudaPackerJob *job);
/** Begins, on as many threads as can be had of those that the processors are enough for beside what loads plans. What
 * the jobs read stays until finish(). */
void cuda_packer_start(CudaPacker *packer, CudaDevice *device);
/** Does what is left on this thread as well, and waits for the others. In the device's context. Constants of a failure
 * are not found again. UNSUPPORTED: a weight is too large for its type. Once more: the same status. */
GpudlStatus cuda_packer_finish(CudaPacker *packer, GpudlFault *fault);
/** At any time. What is not finished is given up, and its constants are not found again. */
void cuda_packer_clear(CudaPacker *packer);

#endif

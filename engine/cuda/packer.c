/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "packer.h"

#include <stdlib.h>
#include <unistd.h>

#include "engine/module.h"

/* Elements of a piece: small enough that threads end at about the same time, large enough that a copy is worth its
 * call. */
#define PIECE 262144

static int64_t piece_rows(const CudaPackerJob *job)
{
    const int64_t row = job->packing.taps * job->packing.pitch;

    return row < PIECE ? PIECE / (row > 0 ? row : 1) : 1;
}

static int64_t count_pieces(const CudaPackerJob *job)
{
    const int64_t rows = piece_rows(job);

    return (job->packing.rows + rows - 1) / rows;
}

int cuda_packer_add(CudaPacker *packer, const CudaPackerJob *job)
{
    if (packer->n == packer->room) {
        CudaPackerJob *larger = realloc(packer->jobs, (packer->room * 2 + 64u) * sizeof *larger);

        if (larger == NULL)
            return 0;
        packer->jobs = larger;
        packer->room = packer->room * 2 + 64;
    }
    packer->jobs[packer->n] = *job;
    packer->jobs[packer->n++].first = packer->n_pieces;
    packer->n_pieces += count_pieces(job);
    return 1;
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

static CudaPackerJob *job_of(const CudaPacker *packer, int64_t piece)
{
    uint32_t low = 0, high = packer->n;

    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;

        if (packer->jobs[middle].first <= piece)
            low = middle;
        else
            high = middle;
    }
    return &packer->jobs[low];
}

/* Of several failures the one that a single thread would have met first is told. */
static void fail(CudaPacker *packer, int64_t piece, GpudlStatus status, const GpudlFault *fault)
{
    pthread_mutex_lock(&packer->lock);
    if (piece < packer->failed) {
        packer->failed = piece;
        packer->status = status;
        packer->fault = *fault;
    }
    pthread_mutex_unlock(&packer->lock);
}

static void fail_large(CudaPacker *packer, int64_t piece, const CudaPackerJob *job, float large)
{
    GpudlFault fault;

    gpudl_module_fail(&fault, GPUDL_STATUS_UNSUPPORTED, "%s: a weight is %g, more than %s holds; use backend cpu",
                      job->what, (double)large, gpudl_dtype_name(job->packing.dtype));
    fail(packer, piece, GPUDL_STATUS_UNSUPPORTED, &fault);
}

static void make_piece(CudaPacker *packer, int64_t piece, uint8_t *memory)
{
    const CudaPackerJob *job = job_of(packer, piece);
    const int64_t rows = piece_rows(job), begin = (piece - job->first) * rows;
    const int64_t end = begin + rows < job->packing.rows ? begin + rows : job->packing.rows;
    const uint64_t bytes = cuda_pack_bytes(&job->packing, end - begin);
    uint8_t *to = (uint8_t *)job->constant->data + cuda_pack_bytes(&job->packing, begin);
    GpudlFault fault;
    cudaError_t error;
    float large = 0;

    if (!cuda_pack_rows(&job->packing, begin, end, memory, &large))
        fail_large(packer, piece, job, large);
    error = cudaMemcpy(to, memory, bytes, cudaMemcpyHostToDevice);
    if (error != cudaSuccess)
        fail(packer, piece,
             cuda_fail(packer->device, &fault, error, "uploading %llu bytes of weights", (unsigned long long)bytes),
             &fault);
}

static uint64_t most_bytes(const CudaPacker *packer)
{
    uint64_t most = 0;

    for (uint32_t i = 0; i < packer->n; i++) {
        const CudaPacking *packing = &packer->jobs[i].packing;
        const int64_t rows = piece_rows(&packer->jobs[i]);
        const uint64_t bytes = cuda_pack_bytes(packing, rows < packing->rows ? rows : packing->rows);

        most = bytes > most ? bytes : most;
    }
    return most;
}

static void make_pieces(CudaPacker *packer)
{
    uint8_t *memory = malloc(most_bytes(packer) + 1);
    GpudlFault fault;
    int64_t piece;

    while ((piece = atomic_fetch_add(&packer->next, 1)) < packer->n_pieces)
        if (memory != NULL)
            make_piece(packer, piece, memory);
        else
            fail(packer, piece, gpudl_module_fail(&fault, GPUDL_STATUS_NO_MEMORY, "no memory to pack weights"), &fault);
    free(memory);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static void *run(void *data)
{
    CudaPacker *packer = data;

    cuda_enter(packer->device);
    make_pieces(packer);
    cuda_leave(packer->device);
    return NULL;
}

void cuda_packer_start(CudaPacker *packer, CudaDevice *device)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const int64_t spare = cores > 2 ? cores - 2 : 1, wanted = packer->n_pieces < spare ? packer->n_pieces : spare;

    packer->device = device;
    packer->failed = packer->n_pieces;
    packer->started = 1;
    pthread_mutex_init(&packer->lock, NULL);
    while (packer->n_threads < CUDA_PACKERS && packer->n_threads < wanted &&
           pthread_create(&packer->threads[packer->n_threads], NULL, run, packer) == 0)
        packer->n_threads++;
}

static void join(CudaPacker *packer)
{
    while (packer->n_threads > 0)
        pthread_join(packer->threads[--packer->n_threads], NULL);
}

static void forget_constants(const CudaPacker *packer)
{
    for (uint32_t i = 0; i < packer->n; i++)
        packer->jobs[i].constant->owner = -1;
}

GpudlStatus cuda_packer_finish(CudaPacker *packer, GpudlFault *fault)
{
    if (!packer->started)
        return GPUDL_STATUS_OK;
    if (atomic_load(&packer->next) < packer->n_pieces)
        make_pieces(packer);
    join(packer);
    packer->finished = 1;
    if (packer->failed == packer->n_pieces)
        return GPUDL_STATUS_OK;
    forget_constants(packer);
    *fault = packer->fault;
    return packer->status;
}

void cuda_packer_clear(CudaPacker *packer)
{
    if (packer->started && !packer->finished) {
        atomic_fetch_add(&packer->next, packer->n_pieces);
        join(packer);
    }
    if (!packer->finished)
        forget_constants(packer);
    if (packer->started)
        pthread_mutex_destroy(&packer->lock);
    free(packer->jobs);
    *packer = (CudaPacker){0};
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "packing.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MOST_THREADS 16

enum { FAILED = 1, CANCELLED };

typedef struct {
    CpuPacking *packing;
    const CpuShared *shared;
    atomic_uint next;
    atomic_int stop; /* FAILED, CANCELLED, or 0 */
} Run;

/* A job of zeros; NULL if there is no memory. */
static CpuPackingJob *next_job(CpuPacking *packing)
{
    if (packing->n == packing->room) {
        CpuPackingJob *jobs = realloc(packing->jobs, (packing->room * 2 + 64u) * sizeof *jobs);

        if (jobs == NULL)
            return NULL;
        packing->jobs = jobs;
        packing->room = packing->room * 2 + 64;
    }
    packing->jobs[packing->n] = (CpuPackingJob){0};
    return &packing->jobs[packing->n];
}

/* Counts a job that is complete. */
static int add(CpuPacking *packing, CpuPacked *packed, int32_t tensor, uint32_t n, const CpuSource *from)
{
    CpuPackingJob *job = &packing->jobs[packing->n++];

    job->packed = packed;
    job->tensor = tensor;
    memcpy(job->from, from, n * sizeof *from);
    packing->bytes += packed->bytes;
    return 1;
}

int cpu_packing_add(CpuPacking *packing, CpuPacked *packed, int32_t tensor, DnnMdRef md, const CpuSource *from,
                    int padded)
{
    CpuPackingJob *job = next_job(packing);

    if (job == NULL || (job->md = dnn_md_copy(md)) == NULL)
        return 0;
    job->padded = padded;
    return add(packing, packed, tensor, 1, from);
}

int cpu_packing_add_own(CpuPacking *packing, CpuPacked *packed, CpuPackFunc *pack, const void *problem, size_t size,
                        uint32_t n, const CpuSource *from)
{
    CpuPackingJob *job = next_job(packing);

    if (job == NULL || (job->problem = malloc(size)) == NULL)
        return 0;
    memcpy(job->problem, problem, size);
    job->pack = pack;
    return add(packing, packed, packed->owner, n, from);
}

/* FALSE if oneDNN can't. */
static int pack(const CpuShared *shared, const CpuPackingJob *job, dnnl_stream_t stream)
{
    GpudlWinogradWeights transforms;

    if (job->pack != NULL) {
        const float *constants[CPU_SOURCES];

        for (int i = 0; i < CPU_SOURCES; i++)
            constants[i] = job->from[i].values;
        job->pack(job->problem, constants, job->packed->data);
        return 1;
    }
    if (dnn_md_winograd(job->packed->md, &transforms) && dnn_md_is_plain(job->md)) {
        gpudl_winograd_weights(&transforms, job->from[0].values, job->packed->data);
        return 1;
    }
    if (job->padded)
        memset(job->packed->data, 0, job->packed->bytes);
    return cpu_reorder_now(shared->dnn, stream, job->md, job->from[0].values, job->packed->md, job->packed->data);
}

static void work(Run *run, dnnl_stream_t stream)
{
    const GpudlHost *host = run->shared->host;
    uint32_t i;

    while (!atomic_load(&run->stop) && (i = atomic_fetch_add(&run->next, 1)) < run->packing->n) {
        CpuPackingJob *job = &run->packing->jobs[i];

        job->done = pack(run->shared, job, stream);
        job->failed = !job->done;
        for (int k = 0; k < CPU_SOURCES && job->done && host->spend_constant != NULL; k++)
            if (job->alone[k])
                host->spend_constant(host->host, job->from[k].values, job->from[k].bytes);
        if (job->failed)
            atomic_store(&run->stop, FAILED);
        else if (stream == run->shared->stream && host->cancelled(host->host))
            atomic_store(&run->stop, CANCELLED);
    }
}

static void *work_beside(void *data)
{
    Run *run = data;
    dnnl_stream_t stream;

    omp_set_num_threads(1); /* of this thread's loops */
    if (dnnl_stream_create(&stream, run->shared->dnn, dnnl_stream_default_flags) != dnnl_success)
        return NULL; /* the others do it */
    work(run, stream);
    dnnl_stream_destroy(stream);
    return NULL;
}

/* The largest first, so that all end at about the same time. */
static int by_size(const void *a, const void *b)
{
    const CpuPackingJob *x = a, *y = b;

    if (x->packed->bytes != y->packed->bytes)
        return x->packed->bytes > y->packed->bytes ? -1 : 1;
    return x->tensor < y->tensor ? -1 : x->tensor > y->tensor;
}

/* What a job reads. */
typedef struct {
    uintptr_t begin, end;
    int *alone;
} Reading;

static int by_place(const void *a, const void *b)
{
    const Reading *x = a, *y = b;

    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* Constants may share bytes, and have several forms. Without memory to look for that, none is known to be alone. */
static void find_alone(CpuPacking *packing)
{
    Reading *readings = malloc((size_t)packing->n * CPU_SOURCES * sizeof *readings);
    uintptr_t end = 0; /* of all that begin before */
    size_t n = 0;

    for (uint32_t i = 0; i < packing->n && readings != NULL; i++)
        for (int k = 0; k < CPU_SOURCES; k++) {
            const CpuSource *from = &packing->jobs[i].from[k];

            if (from->values != NULL)
                readings[n++] = (Reading){(uintptr_t)from->values, (uintptr_t)from->values + from->bytes,
                                          &packing->jobs[i].alone[k]};
        }
    if (n > 1)
        qsort(readings, n, sizeof *readings, by_place);
    for (size_t i = 0; i < n; i++) {
        *readings[i].alone = readings[i].begin >= end && (i + 1 == n || readings[i + 1].begin >= readings[i].end);
        end = readings[i].end > end ? readings[i].end : end;
    }
    free(readings);
}

int cpu_packing_run(CpuPacking *packing, const CpuShared *shared, int32_t *failed)
{
    const uint32_t most = packing->bytes < CPU_PACKING_ALONE ? 1 : packing->n;
    const uint32_t wanted = shared->packers < MOST_THREADS ? shared->packers : MOST_THREADS;
    Run run = {.packing = packing, .shared = shared};
    pthread_t threads[MOST_THREADS];
    uint32_t n = 0;

    find_alone(packing);
    if (packing->n > 1)
        qsort(packing->jobs, packing->n, sizeof *packing->jobs, by_size);
    while (n + 1 < wanted && n + 1 < most && pthread_create(&threads[n], NULL, work_beside, &run) == 0)
        n++;
    work(&run, shared->stream);
    while (n > 0)
        pthread_join(threads[--n], NULL);
    *failed = -1;
    for (uint32_t i = 0; i < packing->n && atomic_load(&run.stop) != CANCELLED; i++)
        if (packing->jobs[i].failed)
            *failed = packing->jobs[i].tensor;
    return atomic_load(&run.stop) == 0;
}

void cpu_packing_clear(CpuPacking *packing)
{
    for (uint32_t i = 0; i < packing->n; i++) {
        if (!packing->jobs[i].done)
            packing->jobs[i].packed->owner = -1;
        dnn_md_free(packing->jobs[i].md);
        free(packing->jobs[i].problem);
    }
    free(packing->jobs);
    *packing = (CpuPacking){0};
}

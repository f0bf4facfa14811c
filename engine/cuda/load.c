/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "load.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tell.h"

#define CUDNN_LOADERS 2
_Static_assert(CUDNN_LOADERS <= CUDA_HANDLES, "each has a handle");

/* What one library is to make, by one thread or more, each taking one after the other. */
typedef struct {
    uint32_t *order;
    uint32_t n;
    atomic_uint next;
} Queue;

typedef struct {
    const CudaConvs *convs;
    CudaLoad *loads;
    Queue lt, cudnn;
} Work;

typedef struct {
    Work *work;
    Queue *queue;
    int handle; /* of the device's, -1: none is needed */
    pthread_t thread;
    int has_thread;
} Loader;

/* What is kept as the network's own may be of a library that is another one now. */
static void load(const CudaConvs *convs, cudnnHandle_t handle, CudaLoad *l)
{
    l->is_known = cuda_convs_load(convs, handle, l->key, &l->kept, &l->plan) ||
                  (l->is_own && cuda_convs_recall(convs, "", handle, l->key, &l->plan));
    free(l->kept.plan);
    l->kept.plan = NULL;
}

/* What needs no library is loaded at once. */
static void sort(Work *work, const char *network, uint32_t n)
{
    const CudaConvs *convs = work->convs;

    for (uint32_t i = 0; i < n; i++) {
        CudaLoad *l = &work->loads[i];

        l->is_own = network[0] != '\0' && cuda_convs_read(convs, network, l->key, &l->kept);
        if (!l->is_own && !cuda_convs_read(convs, "", l->key, &l->kept))
            continue;
        if (l->kept.form == CUDA_CONV_LT)
            work->lt.order[work->lt.n++] = i;
        else if (l->kept.form < CUDA_CONV_FORMS && convs->device->cudnn != NULL)
            work->cudnn.order[work->cudnn.n++] = i;
        else
            load(convs, NULL, l);
    }
    cuda_load_order(work->loads, work->lt.order, work->lt.n);
    cuda_load_order(work->loads, work->cudnn.order, work->cudnn.n);
}

void cuda_load_order(const CudaLoad *loads, uint32_t *order, uint32_t n)
{
    uint32_t firsts = 0;

    for (uint32_t i = 0; i < n; i++) {
        const uint32_t at = order[i];
        uint32_t known = 0;

        while (known < firsts && strcmp(loads[order[known]].kept.name, loads[at].kept.name) != 0)
            known++;
        if (known < firsts)
            continue;
        for (uint32_t j = i; j > firsts; j--)
            order[j] = order[j - 1];
        order[firsts++] = at;
    }
}

static void *run_loader(void *data)
{
    const Loader *self = data;
    const CudaConvs *convs = self->work->convs;
    const GpudlHost *host = convs->host;
    cudnnHandle_t handle = NULL;
    uint32_t i, n = 0;
    GpudlFault fault;

    cuda_enter(convs->device);
    if (self->handle >= 0)
        handle = cuda_handle(convs->device, self->handle, &fault);
    while ((handle != NULL || self->handle < 0) && !host->cancelled(host->host) && !host->closing(host->host) &&
           (i = atomic_fetch_add(&self->queue->next, 1)) < self->queue->n) {
        CudaLoad *l = &self->work->loads[self->queue->order[i]];

        load(convs, handle, l);
        n += (uint32_t)l->is_known;
        if (l->is_known)
            cuda_tell(host, "loaded %s", l->plan.name);
    }
    cuda_tell(host, "a thread has loaded %u plans", n);
    cuda_leave(convs->device);
    return NULL;
}

void cuda_load(const CudaConvs *convs, const char *network, CudaLoad *loads, uint32_t n)
{
    uint32_t *orders = calloc(n + 1u, 2 * sizeof *orders);
    Work work = {.convs = convs, .loads = loads, .lt.order = orders, .cudnn.order = orders + n};
    Loader loaders[1 + CUDNN_LOADERS] = {{&work, &work.lt, -1, 0, 0}};
    uint32_t wanted;

    if (orders == NULL)
        return; /* as if nothing were known */
    sort(&work, network, n);
    wanted = work.cudnn.n < CUDNN_LOADERS ? work.cudnn.n : CUDNN_LOADERS;
    for (uint32_t i = 0; i < wanted; i++)
        loaders[1 + i] = (Loader){&work, &work.cudnn, (int)i, 0, 0};
    for (uint32_t i = 0; i <= wanted; i++)
        if (i != 1 && loaders[i].queue->n > 0)
            loaders[i].has_thread = pthread_create(&loaders[i].thread, NULL, run_loader, &loaders[i]) == 0;
    if (wanted > 0)
        run_loader(&loaders[1]);
    if (work.lt.n > 0 && !loaders[0].has_thread)
        run_loader(&loaders[0]);
    for (uint32_t i = 0; i <= wanted; i++)
        if (loaders[i].has_thread)
            pthread_join(loaders[i].thread, NULL);
    for (uint32_t i = 0; i < n; i++) { /* what was not come to */
        free(loads[i].kept.plan);
        loads[i].kept.plan = NULL;
    }
    free(orders);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tune.h"

#include <stdlib.h>
#include <unistd.h>

#include "engine/module.h"

#define PLANS_PER_FORM 4
#define MOST_PLANS (CUDA_CONV_FORMS * PLANS_PER_FORM)

/* A measurement: the median of so many replays of a graph of so many runs, about the time that a layer takes in a
 * network. */
#define REPLAYS 5
#define RUNS 8

/* A problem being worked on, by one thread. */
typedef struct {
    CudaConv *conv;
    CudaConvPlan plans[MOST_PLANS];
    int n;
} Candidates;

/* Threads take one after the other. */
typedef struct {
    const CudaConvs *convs;
    Candidates *candidates;
    uint32_t n;
    atomic_uint next;
} Work;

typedef struct {
    Work *work;
    cudnnHandle_t handle;
    pthread_t thread;
} Builder;

/* ---- the list ---------------------------------------------------------------------------------------------------- */

CudaConv *cuda_convs_add(CudaConvs *convs, const CudaConvKey *key, int32_t node)
{
    CudaConv *conv;

    for (conv = convs->first; conv != NULL; conv = conv->next)
        if (memcmp(&conv->key, key, sizeof *key) == 0)
            return conv;
    conv = calloc(1, sizeof *conv);
    if (conv == NULL)
        return NULL;
    conv->key = *key;
    conv->node = node;
    conv->next = convs->first;
    convs->first = conv;
    return conv;
}

void cuda_convs_clear(CudaConvs *convs)
{
    while (convs->first != NULL) {
        CudaConv *conv = convs->first;

        convs->first = conv->next;
        cuda_conv_plan_free(convs->device, conv->plan);
        free(conv);
    }
}

/* ---- building ---------------------------------------------------------------------------------------------------- */

/* Recommended plans: all that will be measured, or one. */
static void find_plans(const CudaConvs *convs, cudnnHandle_t handle, Candidates *c)
{
    const int wanted = convs->measured ? PLANS_PER_FORM : 1;

    for (int form = 0; form < CUDA_CONV_BARE && (convs->measured || c->n == 0); form++)
        c->n += cuda_conv_plans(convs->device, handle, &c->conv->key, (CudaConvForm)form, 0, c->plans + c->n, wanted);
    if (c->n == 0)
        c->n = cuda_conv_plans(convs->device, handle, &c->conv->key, CUDA_CONV_BARE, 1, c->plans, wanted);
    if (c->n == 0)
        c->n = cuda_conv_plans(convs->device, handle, &c->conv->key, CUDA_CONV_BIAS_FIRST, 1, c->plans, wanted);
}

static void *build_plans(void *data)
{
    const Builder *self = data;
    Work *work = self->work;
    const GpudlHost *host = work->convs->host;

    cuda_enter(work->convs->device);
    for (;;) {
        uint32_t i = atomic_fetch_add(&work->next, 1);

        if (i >= work->n || host->cancelled(host->host) || host->closing(host->host))
            break;
        find_plans(work->convs, self->handle, &work->candidates[i]);
    }
    cuda_leave(work->convs->device);
    return NULL;
}

/* On as many threads as there are processors; without any of its own where none can be made. */
static GpudlStatus build_all(Work *work, GpudlFault *fault)
{
    Builder builders[CUDA_BUILDERS];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int n = 0, most = cores < 1 ? 1 : cores > CUDA_BUILDERS ? CUDA_BUILDERS : (int)cores, started = 0;

    for (; n < most && (uint32_t)n < work->n; n++) {
        builders[n] = (Builder){.work = work, .handle = cuda_handle(work->convs->device, n, fault)};
        if (builders[n].handle == NULL)
            return GPUDL_STATUS_BACKEND;
    }
    for (int i = 1; i < n; i++)
        if (pthread_create(&builders[i].thread, NULL, build_plans, &builders[i]) == 0)
            started |= 1 << i;
    build_plans(&builders[0]);
    for (int i = 1; i < n; i++)
        if ((started & 1 << i) != 0)
            pthread_join(builders[i].thread, NULL);
    return GPUDL_STATUS_OK;
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

/* One buffer for whatever a problem reads and writes. */
typedef struct {
    CudaDevice *device;
    cudaStream_t stream;
    cudaEvent_t begin, end;
    uint8_t *memory;
    size_t bytes;
} Bench;

static size_t aligned(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

/* Lays a problem's data out from base on; returns the bytes. */
static size_t lay_out(const CudaConvKey *key, size_t workspace, uint8_t *base, CudaConvData *data)
{
    const size_t size = key->half ? 2 : 4, pixels = (size_t)key->n * (size_t)key->p * (size_t)key->q;
    size_t at = 0;

    data->x = base + at;
    at += aligned((size_t)key->n * (size_t)key->h * (size_t)key->w * (size_t)key->x_pitch * size);
    data->w = base + at;
    at += aligned((size_t)key->k * (size_t)(key->c / key->groups) * (size_t)key->r * (size_t)key->s * size);
    data->y = base + at;
    at += aligned(pixels * (size_t)key->y_pitch * size);
    data->z = base + at;
    at += aligned(pixels * (size_t)key->z_pitch * size);
    data->bias = base + at;
    at += aligned((size_t)key->k * 4);
    data->half_bias = base + at;
    at += aligned((size_t)key->k * 2);
    data->workspace = base + at;
    return at + aligned(workspace);
}

static int queue(const Bench *bench, const CudaConv *conv, const CudaConvPlan *plan, const CudaConvData *data)
{
    cudnnStatus_t status =
        cuda_conv_run(bench->device, bench->device->handles[0], &conv->key, plan->form, plan->plan, data);

    if (status != CUDNN_STATUS_SUCCESS)
        return 0;
    return plan->form != CUDA_CONV_BARE || cuda_conv_finish(&conv->key, data, bench->stream) == GPUDL_KERNEL_OK;
}

static cudaGraphExec_t capture(const Bench *bench, const CudaConv *conv, const CudaConvPlan *plan,
                               const CudaConvData *data)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    int good = 1;

    if (cudaStreamBeginCapture(bench->stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess)
        return NULL;
    for (int i = 0; i < RUNS && good; i++)
        good = queue(bench, conv, plan, data);
    if (cudaStreamEndCapture(bench->stream, &graph) != cudaSuccess || !good ||
        cudaGraphInstantiate(&exec, graph, 0) != cudaSuccess)
        exec = NULL;
    if (graph != NULL)
        cudaGraphDestroy(graph);
    return exec;
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return x < y ? -1 : x > y;
}

/* Nanoseconds of one run, 0 if it can't be run. */
static float measure(const Bench *bench, const CudaConv *conv, const CudaConvPlan *plan)
{
    CudaConvData data;
    cudaGraphExec_t exec;
    float times[REPLAYS], ns = 0;
    int good;

    lay_out(&conv->key, (size_t)plan->workspace, bench->memory, &data);
    good = queue(bench, conv, plan, &data) && cudaStreamSynchronize(bench->stream) == cudaSuccess;
    exec = good ? capture(bench, conv, plan, &data) : NULL;
    good = exec != NULL;
    for (int i = 0; i < REPLAYS && good; i++)
        good = cudaEventRecord(bench->begin, bench->stream) == cudaSuccess &&
               cudaGraphLaunch(exec, bench->stream) == cudaSuccess &&
               cudaEventRecord(bench->end, bench->stream) == cudaSuccess &&
               cudaEventSynchronize(bench->end) == cudaSuccess &&
               cudaEventElapsedTime(&times[i], bench->begin, bench->end) == cudaSuccess;
    if (good) {
        qsort(times, REPLAYS, sizeof *times, by_value);
        ns = times[REPLAYS / 2] * 1e6f / RUNS;
    }
    if (exec != NULL)
        cudaGraphExecDestroy(exec);
    cudaGetLastError();
    return ns;
}

static GpudlStatus bench_open(Bench *bench, CudaDevice *device, const Work *work, GpudlFault *fault)
{
    cudaError_t error;

    *bench = (Bench){.device = device};
    for (uint32_t i = 0; i < work->n; i++)
        for (int p = 0; p < work->candidates[i].n; p++) {
            CudaConvData data;
            size_t bytes =
                lay_out(&work->candidates[i].conv->key, (size_t)work->candidates[i].plans[p].workspace, NULL, &data);

            bench->bytes = bytes > bench->bytes ? bytes : bench->bytes;
        }
    error = cudaMalloc((void **)&bench->memory, bench->bytes);
    if (error == cudaSuccess)
        error = cudaStreamCreateWithFlags(&bench->stream, cudaStreamNonBlocking);
    if (error == cudaSuccess)
        error = cudaMemsetAsync(bench->memory, 0x2c, bench->bytes, bench->stream); /* 0.065: no zeros, no infinities */
    if (error == cudaSuccess)
        error = cudaEventCreate(&bench->begin);
    if (error == cudaSuccess)
        error = cudaEventCreate(&bench->end);
    if (error == cudaSuccess && device->cudnn->set_stream(device->handles[0], bench->stream) != CUDNN_STATUS_SUCCESS)
        error = cudaErrorUnknown;
    return error == cudaSuccess ? GPUDL_STATUS_OK
                                : cuda_fail(device, fault, error, "%llu bytes to measure convolutions in",
                                            (unsigned long long)bench->bytes);
}

static void bench_close(Bench *bench)
{
    if (bench->end != NULL)
        cudaEventDestroy(bench->end);
    if (bench->begin != NULL)
        cudaEventDestroy(bench->begin);
    if (bench->stream != NULL)
        cudaStreamDestroy(bench->stream);
    cudaFree(bench->memory);
}

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

static GpudlStatus measure_all(CudaConvs *convs, Work *work, GpudlFault *fault)
{
    const GpudlHost *host = convs->host;
    Bench bench;
    GpudlStatus status = bench_open(&bench, convs->device, work, fault);

    for (uint32_t i = 0; i < work->n && status == GPUDL_STATUS_OK; i++) {
        Candidates *c = &work->candidates[i];
        int best = -1;

        if (host->cancelled(host->host))
            status = gpudl_module_fail(fault, GPUDL_STATUS_FAILED, "cancelled while measuring convolutions");
        for (int p = 0; p < c->n && status == GPUDL_STATUS_OK; p++) {
            float ns = measure(&bench, c->conv, &c->plans[p]);

            if (ns > 0 && (best < 0 || ns < c->conv->ns)) {
                c->conv->ns = ns;
                best = p;
            }
        }
        if (best > 0) {
            CudaConvPlan first = c->plans[0];

            c->plans[0] = c->plans[best];
            c->plans[best] = first;
        }
    }
    bench_close(&bench);
    return status;
}

/* The first plan becomes the conv's, the others go. */
static void take_plans(CudaConvs *convs, Candidates *c)
{
    for (int p = 0; p < c->n; p++) {
        if (p > 0) {
            cuda_conv_plan_free(convs->device, c->plans[p].plan);
            continue;
        }
        c->conv->plan = c->plans[p].plan;
        c->conv->form = c->plans[p].form;
        c->conv->workspace = c->plans[p].workspace;
        snprintf(c->conv->name, sizeof c->conv->name, "%s", c->plans[p].name);
    }
}

static GpudlStatus check_all(const Work *work, const GpudlPlan *plan, GpudlFault *fault)
{
    const GpudlHost *host = work->convs->host;

    if (host->cancelled(host->host))
        return gpudl_module_fail(fault, GPUDL_STATUS_FAILED, "cancelled while building convolutions");
    for (uint32_t i = 0; i < work->n; i++) {
        const CudaConvKey *k = &work->candidates[i].conv->key;

        if (work->candidates[i].n == 0)
            return gpudl_module_fail(fault, GPUDL_STATUS_UNSUPPORTED,
                                     "node '%s': cuDNN %zu has no %s convolution of %dx%dx%dx%d with %dx%d taps to %d "
                                     "channels in %d groups",
                                     plan->nodes[work->candidates[i].conv->node].name,
                                     work->convs->device->cudnn->get_version(), k->half ? "float16" : "float32", k->n,
                                     k->c, k->h, k->w, k->r, k->s, k->k, k->groups);
    }
    return GPUDL_STATUS_OK;
}

GpudlStatus cuda_convs_choose(CudaConvs *convs, const GpudlPlan *plan, GpudlFault *fault)
{
    Work work = {.convs = convs};
    GpudlStatus status;

    for (CudaConv *conv = convs->first; conv != NULL; conv = conv->next)
        work.n += conv->plan == NULL;
    if (work.n == 0)
        return GPUDL_STATUS_OK;
    work.candidates = calloc(work.n, sizeof *work.candidates);
    if (work.candidates == NULL)
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for %u convolutions", work.n);
    work.n = 0;
    for (CudaConv *conv = convs->first; conv != NULL; conv = conv->next)
        if (conv->plan == NULL)
            work.candidates[work.n++].conv = conv;
    status = build_all(&work, fault);
    if (status == GPUDL_STATUS_OK)
        status = check_all(&work, plan, fault);
    if (status == GPUDL_STATUS_OK && convs->measured)
        status = measure_all(convs, &work, fault);
    for (uint32_t i = 0; i < work.n; i++)
        if (status == GPUDL_STATUS_OK)
            take_plans(convs, &work.candidates[i]);
        else
            for (int p = 0; p < work.candidates[i].n; p++)
                cuda_conv_plan_free(convs->device, work.candidates[i].plans[p].plan);
    free(work.candidates);
    return status;
}

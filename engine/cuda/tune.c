/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tune.h"

#include <stdlib.h>
#include <unistd.h>

#include "engine/module.h"
#include "trial.h"

#define PLANS_PER_FORM 4
#define MOST_PLANS (CUDA_CONV_FORMS * PLANS_PER_FORM)

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

CudaConv *cuda_convs_add(CudaConvs *convs, const CudaConvKey *key)
{
    CudaConv *conv;

    for (conv = convs->first; conv != NULL; conv = conv->next)
        if (memcmp(&conv->key, key, sizeof *key) == 0)
            return conv;
    conv = calloc(1, sizeof *conv);
    if (conv == NULL)
        return NULL;
    conv->key = *key;
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

/* Recommended plans: all that will be measured, or the first. */
static void find_plans(const CudaConvs *convs, cudnnHandle_t handle, Candidates *c, int all)
{
    const int wanted = all ? PLANS_PER_FORM : 1;

    for (int form = 0; form < CUDA_CONV_BARE && (all || c->n == 0); form++)
        c->n += cuda_conv_plans(convs->device, handle, &c->conv->key, (CudaConvForm)form, 0, c->plans + c->n, wanted);
    if (c->n == 0)
        c->n = cuda_conv_plans(convs->device, handle, &c->conv->key, CUDA_CONV_BARE, 1, c->plans, wanted);
    if (c->n == 0)
        c->n = cuda_conv_plans(convs->device, handle, &c->conv->key, CUDA_CONV_BIAS_FIRST, 1, c->plans, wanted);
}

static int is_unwanted(const GpudlHost *host)
{
    return host->cancelled(host->host) || host->closing(host->host);
}

static void *build_plans(void *data)
{
    const Builder *self = data;
    Work *work = self->work;
    const GpudlHost *host = work->convs->host;

    cuda_enter(work->convs->device);
    for (;;) {
        uint32_t i = atomic_fetch_add(&work->next, 1);

        if (i >= work->n || is_unwanted(host))
            break;
        find_plans(work->convs, self->handle, &work->candidates[i], work->convs->measured);
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

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

static void free_plans(const CudaConvs *convs, Candidates *c)
{
    while (c->n > 0)
        cuda_conv_plan_free(convs->device, c->plans[--c->n].plan);
}

/* The best of the plans that are right becomes the conv's. */
static void try_plans(const CudaConvs *convs, CudaTrial *trial, Candidates *c)
{
    const GpudlHost *host = convs->host;
    char message[160];

    for (int p = 0; p < c->n; p++) {
        CudaConvPlan *plan = &c->plans[p];
        float ns;

        if (!cuda_trial_check(trial, plan)) {
            snprintf(message, sizeof message,
                     "cuDNN %zu: %s is wrong for %dx%dx%dx%d, %dx%d taps to %d channels in %d groups",
                     convs->device->cudnn->get_version(), plan->name, c->conv->key.n, c->conv->key.c, c->conv->key.h,
                     c->conv->key.w, c->conv->key.r, c->conv->key.s, c->conv->key.k, c->conv->key.groups);
            host->log(host->host, GPUDL_LOG_INFO, message);
            continue;
        }
        ns = convs->measured ? cuda_trial_time(trial, plan) : 0;
        if (c->conv->chosen && (ns <= 0 || ns >= c->conv->ns))
            continue;
        cuda_conv_plan_free(convs->device, c->conv->plan);
        c->conv->chosen = 1;
        c->conv->ns = ns;
        c->conv->plan = plan->plan;
        c->conv->form = plan->form;
        c->conv->workspace = plan->workspace;
        snprintf(c->conv->name, sizeof c->conv->name, "%s", plan->name);
        plan->plan = NULL;
        if (!convs->measured)
            break;
    }
    free_plans(convs, c);
}

/* Until one is right: what was built, then all that can be had, then our own kernel. */
static GpudlStatus choose_one(const CudaConvs *convs, CudaTrial *trial, Candidates *c, GpudlFault *fault)
{
    GpudlStatus status = cuda_trial_begin(trial, &c->conv->key, fault);

    if (status != GPUDL_STATUS_OK)
        return status;
    try_plans(convs, trial, c);
    if (!c->conv->chosen && !convs->measured) {
        size_t picture;

        find_plans(convs, convs->device->handles[0], c, 1);
        for (int p = c->n - 1; p >= 0; p--) /* what needs more room than there is */
            if (cuda_trial_bytes(&c->conv->key, c->plans[p].workspace, &picture) > trial->bytes) {
                cuda_conv_plan_free(convs->device, c->plans[p].plan);
                c->plans[p] = c->plans[--c->n];
            }
        try_plans(convs, trial, c);
    }
    if (!c->conv->chosen) {
        c->conv->chosen = 1;
        c->conv->form = CUDA_CONV_OWN;
        c->conv->workspace = 0;
        snprintf(c->conv->name, sizeof c->conv->name, "own kernel");
    }
    return status;
}

static GpudlStatus choose_all(CudaConvs *convs, Work *work, GpudlFault *fault)
{
    size_t bytes = 0, picture_bytes = 0;
    CudaTrial trial;
    GpudlStatus status;

    for (uint32_t i = 0; i < work->n; i++)
        for (int p = 0; p == 0 || p < work->candidates[i].n; p++) {
            const int64_t workspace = work->candidates[i].n > 0 ? work->candidates[i].plans[p].workspace : 0;
            size_t picture, all = cuda_trial_bytes(&work->candidates[i].conv->key, workspace, &picture);

            bytes = all > bytes ? all : bytes;
            picture_bytes = picture > picture_bytes ? picture : picture_bytes;
        }
    status = cuda_trial_open(&trial, convs->device, work->candidates[0].conv->key.half, bytes, picture_bytes, fault);
    for (uint32_t i = 0; i < work->n && status == GPUDL_STATUS_OK; i++) {
        if (is_unwanted(convs->host))
            status = gpudl_module_fail(fault, GPUDL_STATUS_FAILED, "cancelled while trying convolutions");
        else
            status = choose_one(convs, &trial, &work->candidates[i], fault);
    }
    cuda_trial_close(&trial);
    return status;
}

GpudlStatus cuda_convs_choose(CudaConvs *convs, GpudlFault *fault)
{
    Work work = {.convs = convs};
    GpudlStatus status;

    for (CudaConv *conv = convs->first; conv != NULL; conv = conv->next)
        work.n += !conv->chosen;
    if (work.n == 0)
        return GPUDL_STATUS_OK;
    work.candidates = calloc(work.n, sizeof *work.candidates);
    if (work.candidates == NULL)
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for %u convolutions", work.n);
    work.n = 0;
    for (CudaConv *conv = convs->first; conv != NULL; conv = conv->next)
        if (!conv->chosen)
            work.candidates[work.n++].conv = conv;
    status = build_all(&work, fault);
    if (status == GPUDL_STATUS_OK)
        status = choose_all(convs, &work, fault);
    for (uint32_t i = 0; i < work.n; i++)
        free_plans(convs, &work.candidates[i]);
    free(work.candidates);
    return status;
}

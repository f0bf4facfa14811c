/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tune.h"

#include <stdlib.h>
#include <unistd.h>

#include "block.h"
#include "choice.h"
#include "engine/module.h"
#include "load.h"
#include "lt.h"
#include "own.h"
#include "trial.h"

#define PLANS_PER_FORM 4
#define OWN_PLANS 3 /* of our own product, beside the libraries' */
#define BLOCK_PLANS 8
#define BLOCK_FRAMES 8 /* of fewer, what is fastest alone is not taken unless the network was measured with it */
#define ONCE_PLANS 8   /* of our own kernels for few pixels: launched they take microseconds, and none is compiled */
#define GEMV_PLANS 8   /* likewise, of a matrix and few vectors */
/* cuBLASLt's are a form more, our product's another */
#define MOST_PLANS ((CUDA_CONV_FORMS + 2) * PLANS_PER_FORM + ONCE_PLANS + GEMV_PLANS)
_Static_assert((CUDA_CONV_FORMS + 1) * PLANS_PER_FORM + OWN_PLANS + ONCE_PLANS + GEMV_PLANS + 1 <= MOST_PLANS,
               "own plans find room beside the libraries'");

_Static_assert(GPUDL_DEPTHWISE_PLANS <= MOST_PLANS, "all plans of a depthwise problem find room");

/* A problem being worked on, by one thread. */
typedef struct {
    CudaConv *conv;
    CudaConvPlan plans[MOST_PLANS];
    int n;
    int at;            /* the next plan to be tried */
    CudaConv best;     /* of those before, without a key: the conv is not chosen until all are tried */
    int is_known;      /* from the cache: plans[0], which is our direct kernel where n is 0 */
    int is_by_library; /* one of the libraries' plans was right */
} Candidates;

struct CudaTuning {
    const CudaConvs *convs;
    Candidates *candidates;
    uint32_t n;
    atomic_uint tried;
    char network[128];
    uint32_t streams; /* that the network is settled on, 0: it is not */
    atomic_uint next; /* of threads that build: each takes one after the other */
    void (*watch)(void *data);
    void *watch_data;
    CudaTrial trial;
    int is_open;
};

typedef struct {
    CudaTuning *tuning;
    cudnnHandle_t handle;
    pthread_t thread;
    int watched; /* runs on the thread that called build() */
} Builder;

/* ---- building ---------------------------------------------------------------------------------------------------- */

/* Of our own kernels for few pixels, and for few vectors. */
static void add_few_plans(const CudaConvs *convs, Candidates *c)
{
    c->n += cuda_once_plans(convs->device, &c->conv->key, c->plans + c->n, ONCE_PLANS);
    c->n += cuda_gemv_plans(convs->device, &c->conv->key, c->plans + c->n, GEMV_PLANS);
}

/* A block's plans but for its steps apart. */
static int find_launches(const CudaConvs *convs, const CudaConvKey *key, CudaConvPlan *plans)
{
    return key->means != 0    ? cuda_gemv_plans(convs->device, key, plans, GEMV_PLANS)
           : key->pooled != 0 ? cuda_stem_plans(key, plans, 1)
                              : cuda_block_plans(convs->device, key, plans, BLOCK_PLANS);
}

/* Of convolutions: all that will be measured, or the first. Own products are tried where there are no libraries, and
 * where plans are measured. */
static void find_conv_plans(const CudaConvs *convs, cudnnHandle_t handle, Candidates *c, int all)
{
    const int wanted = all ? PLANS_PER_FORM : 1;

    if (c->conv->key.depthwise != 0) {
        c->n = cuda_depthwise_plans(convs->device, &c->conv->key, c->plans, all ? MOST_PLANS : 1);
        return;
    }
    if (convs->device->cudnn == NULL) {
        c->n = cuda_gemm_plans(convs->device, &c->conv->key, c->plans, all ? PLANS_PER_FORM : 1);
        if (convs->measured)
            add_few_plans(convs, c);
        return;
    }
    for (int form = 0; form < CUDA_CONV_BARE && (all || c->n == 0); form++)
        c->n += cuda_conv_plans(convs->device, handle, &c->conv->key, (CudaConvForm)form, 0, c->plans + c->n, wanted);
    if (all && convs->measured && cuda_lt_fits(&c->conv->key) && cuda_lt_open(convs->device, convs->host))
        c->n += cuda_lt_plans(convs->device, &c->conv->key, c->plans + c->n, PLANS_PER_FORM);
    /* an activation that is several operations to cuDNN is also ours, behind what it is fastest at without */
    if (all && !cuda_conv_fuses(&c->conv->key))
        c->n += cuda_conv_plans(convs->device, handle, &c->conv->key, CUDA_CONV_BARE, 0, c->plans + c->n, wanted);
    if (c->n == 0)
        c->n = cuda_conv_plans(convs->device, handle, &c->conv->key, CUDA_CONV_BARE, 1, c->plans, wanted);
    if (c->n == 0)
        c->n = cuda_conv_plans(convs->device, handle, &c->conv->key, CUDA_CONV_BIAS_FIRST, 1, c->plans, wanted);
    if (convs->measured) {
        c->n += cuda_gemm_plans(convs->device, &c->conv->key, c->plans + c->n, OWN_PLANS);
        add_few_plans(convs, c);
    }
}

/* Recommended plans. A block's are measured, or it is its steps. */
static void find_plans(const CudaConvs *convs, cudnnHandle_t handle, Candidates *c, int all)
{
    const CudaConvKey *key = &c->conv->key;

    if (!cuda_conv_is_block(key)) {
        find_conv_plans(convs, handle, c, all);
        return;
    }
    if (all && convs->measured && cuda_conv_is_fused(key))
        c->n = find_launches(convs, key, c->plans);
    else if (all && convs->measured)
        find_conv_plans(convs, handle, c, all);
    c->plans[c->n++] = (CudaConvPlan){.form = CUDA_CONV_APART, .name = "steps apart"};
}

/* Where the activation is what is wrong: ours behind cuDNN's convolution. */
static void find_bare_plans(const CudaConvs *convs, cudnnHandle_t handle, Candidates *c)
{
    if (convs->device->cudnn != NULL)
        c->n = cuda_conv_plans(convs->device, handle, &c->conv->key, CUDA_CONV_BARE, 1, c->plans, PLANS_PER_FORM);
}

static int is_unwanted(const GpudlHost *host)
{
    return host->cancelled(host->host) || host->closing(host->host);
}

/* On this thread and up to most - 1 more, as many as can be had. What they share is theirs by an atomic number, and
 * handles of cuDNN's are their own; the first handle is for running alone. */
static void run_builders(CudaTuning *tuning, uint32_t most, void *(*function)(void *data))
{
    CudaDevice *device = tuning->convs->device;
    const int has_cudnn = device->cudnn != NULL;
    Builder builders[CUDA_BUILDERS];
    uint32_t n = 0, started = 0;
    GpudlFault fault;

    for (; n < most; n++) {
        builders[n] = (Builder){.tuning = tuning, .handle = has_cudnn ? cuda_handle(device, 1 + (int)n, &fault) : NULL};
        if (has_cudnn && builders[n].handle == NULL)
            break;
    }
    for (uint32_t i = 1; i < n; i++)
        if (pthread_create(&builders[i].thread, NULL, function, &builders[i]) == 0)
            started |= 1u << i;
    if (n > 0) {
        builders[0].watched = 1;
        function(&builders[0]);
    }
    for (uint32_t i = 1; i < n; i++)
        if ((started & 1u << i) != 0)
            pthread_join(builders[i].thread, NULL);
}

/* As many as there are processors, and work for; one where nothing is left to a library. */
static uint32_t count_builders(const CudaTuning *tuning, uint32_t problems)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const uint32_t most = cores < 1 ? 1 : cores > CUDA_BUILDERS ? CUDA_BUILDERS : (uint32_t)cores;

    if (tuning->convs->device->cudnn == NULL)
        return problems > 0;
    return problems < most ? problems : most;
}

/* All that is known. What is tuned to the end begins anew where the choices inside the network have not been made,
 * since only the fastest plan of each problem is kept. Returns how many problems nothing is known of. */
static uint32_t load_all(CudaTuning *tuning)
{
    const CudaConvs *convs = tuning->convs;
    CudaLoad *loads = calloc(tuning->n + 1u, sizeof *loads);
    uint32_t left = tuning->n;

    tuning->streams = tuning->network[0] != '\0' ? cuda_convs_network_streams(convs, tuning->network) : 0;
    for (uint32_t i = 0; i < tuning->n && loads != NULL; i++)
        loads[i].key = &tuning->candidates[i].conv->key;
    if (loads != NULL && (!convs->measured || tuning->network[0] == '\0' || tuning->streams > 0)) {
        pthread_mutex_lock(&convs->device->lock);
        cuda_load(convs, tuning->streams > 0 ? tuning->network : "", loads, tuning->n);
        pthread_mutex_unlock(&convs->device->lock);
    }
    for (uint32_t i = 0; i < tuning->n && loads != NULL; i++) {
        Candidates *c = &tuning->candidates[i];

        c->is_known = loads[i].is_known;
        if (!c->is_known)
            continue;
        c->plans[0] = loads[i].plan;
        if (cuda_conv_is_block(&c->conv->key) && tuning->streams == 0 && c->conv->key.n < BLOCK_FRAMES) {
            cuda_conv_plan_free(convs->device, c->plans[0].plan);
            c->plans[0] = (CudaConvPlan){.form = CUDA_CONV_APART, .ns = c->plans[0].ns, .name = "steps apart"};
        }
        c->n = c->plans[0].form != CUDA_CONV_OWN;
        left--;
    }
    free(loads);
    return left;
}

uint32_t cuda_tuning_streams(const CudaTuning *tuning)
{
    return tuning->streams;
}

static void tell_watcher(const CudaTuning *tuning)
{
    if (tuning->watch != NULL)
        tuning->watch(tuning->watch_data);
}

static void *build_plans(void *data)
{
    const Builder *self = data;
    CudaTuning *tuning = self->tuning;
    const CudaConvs *convs = tuning->convs;

    cuda_enter(convs->device);
    for (;;) {
        uint32_t i = atomic_fetch_add(&tuning->next, 1);

        if (i >= tuning->n || is_unwanted(convs->host))
            break;
        if (!tuning->candidates[i].is_known)
            find_plans(convs, self->handle, &tuning->candidates[i], convs->measured);
        if (self->watched)
            tell_watcher(tuning);
    }
    cuda_leave(convs->device);
    return NULL;
}

void cuda_tuning_build(CudaTuning *tuning)
{
    CudaDevice *device = tuning->convs->device;
    GpudlFault fault;

    pthread_mutex_lock(&device->building);
    cuda_enter(device);
    if (device->cudnn != NULL) {
        /* the one to run with, before threads take what there is; try() tells if there is none */
        pthread_mutex_lock(&device->lock);
        cuda_handle(device, 0, &fault);
        pthread_mutex_unlock(&device->lock);
    }
    run_builders(tuning, count_builders(tuning, load_all(tuning)), build_plans);
    cuda_leave(device);
    pthread_mutex_unlock(&device->building);
}

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

static void free_plans(const CudaConvs *convs, Candidates *c)
{
    while (c->n > 0)
        cuda_conv_plan_free(convs->device, c->plans[--c->n].plan);
}

/* TRUE if it computes what it should; tells if not. */
static int is_right(const CudaConvs *convs, CudaTrial *trial, const CudaConvPlan *plan)
{
    const CudaConvKey *key = trial->key;
    const CudaCudnn *cudnn = convs->device->cudnn;
    const char *what = NULL;
    char message[160], library[40] = "";

    if (!cuda_trial_check(trial, plan))
        what = "is wrong";
    else if (!cuda_trial_keeps_nan(trial, plan))
        what = "makes a number of NaN";
    if (what != NULL && cudnn != NULL)
        snprintf(library, sizeof library, " (cuDNN %zu)", cudnn->get_version());
    if (what != NULL) {
        snprintf(message, sizeof message, "%s %s for %dx%dx%dx%d, %dx%d taps to %d channels in %d groups%s", plan->name,
                 what, key->n, key->c, key->h, key->w, key->r, key->s, key->k, key->groups, library);
        convs->host->log(convs->host->host, GPUDL_LOG_INFO, message);
    }
    return what == NULL;
}

static void take_own(const CudaConvs *convs, CudaTrial *trial, CudaConv *conv)
{
    CudaConvPlan own = {.form = CUDA_CONV_OWN, .name = "own kernel"};

    if (trial->key->depthwise != 0) {
        own.form = CUDA_CONV_DEPTHWISE;
        own.depthwise = (GpudlDepthwisePlan){0, 0};
        snprintf(own.name, sizeof own.name, "depthwise kernel");
    }
    if (convs->measured)
        own.ns = cuda_trial_time(trial, &own);
    cuda_conv_take(conv, &own);
}

static void drop_best(const CudaDevice *device, Candidates *c)
{
    cuda_conv_settle(device, &c->best);
    cuda_conv_plan_free(device, c->best.plan);
    c->best = (CudaConv){0};
}

/* What was found is the conv's. */
static void adopt(Candidates *c)
{
    CudaConv *const next = c->conv->next;
    const CudaConvKey key = c->conv->key;

    *c->conv = c->best;
    c->conv->next = next;
    c->conv->key = key;
    c->best = (CudaConv){0};
}

/* The best of the plans that are right becomes c->best. FALSE if something waits for idle() to return; at least one
 * has been tried. */
static int try_plans(const CudaConvs *convs, CudaTrial *trial, Candidates *c, int may_stop)
{
    const int first = c->at;

    for (; c->at < c->n; c->at++) {
        CudaConvPlan *plan = &c->plans[c->at];

        if (may_stop && c->at > first && convs->host->waiting(convs->host->host))
            return 0;

        if (plan->form == CUDA_CONV_APART) { /* beside the others until the round, which knows what its steps take */
            plan->ns = c->best.ns > 0 ? c->best.ns : convs->measured ? 1 : 0; /* what is kept has a time */
            cuda_conv_add(convs->device, &c->best, plan);
            continue;
        }
        if (!is_right(convs, trial, plan))
            continue;
        c->is_by_library |=
            plan->form != CUDA_CONV_GEMM && plan->form != CUDA_CONV_ONCE && plan->form != CUDA_CONV_GEMV;
        plan->ns = convs->measured ? cuda_trial_time(trial, plan) : 0;
        cuda_conv_add(convs->device, &c->best, plan);
        if (!convs->measured)
            break;
    }
    cuda_conv_prune(convs->device, &c->best);
    free_plans(convs, c);
    c->at = 0;
    return 1;
}

/* Those of plans built late that there is room for. */
static void try_late_plans(const CudaConvs *convs, CudaTrial *trial, Candidates *c)
{
    size_t picture;

    for (int p = c->n - 1; p >= 0; p--)
        if (cuda_trial_bytes(&c->conv->key, c->plans[p].workspace, &picture) > trial->bytes) {
            cuda_conv_plan_free(convs->device, c->plans[p].plan);
            c->plans[p] = c->plans[--c->n];
        }
    try_plans(convs, trial, c, 0);
}

/* What all that libraries recommend is wrong for: our activation behind their convolution, then our own product, then
 * our direct kernel. */
static void choose_otherwise(const CudaConvs *convs, CudaTrial *trial, Candidates *c)
{
    if (cuda_conv_is_block(&c->conv->key)) /* its steps apart are always right */
        return;
    if (!c->is_by_library) {
        find_bare_plans(convs, convs->device->handles[0], c);
        try_late_plans(convs, trial, c);
    }
    if (!c->best.chosen && convs->device->cudnn != NULL) {
        c->n = cuda_gemm_plans(convs->device, &c->conv->key, c->plans, OWN_PLANS);
        try_late_plans(convs, trial, c);
    }
    if (!c->best.chosen)
        take_own(convs, trial, &c->best);
}

/* Until one is right: what was built, then all that can be had, then what is left. *done FALSE: to be called again. */
static GpudlStatus choose_one(const CudaConvs *convs, CudaTrial *trial, Candidates *c, int may_stop, int *done,
                              GpudlFault *fault)
{
    GpudlStatus status = cuda_trial_begin(trial, &c->conv->key, fault);

    if (status != GPUDL_STATUS_OK)
        return status;
    *done = try_plans(convs, trial, c, may_stop);
    if (!*done)
        return status;
    if (!c->best.chosen && !convs->measured) {
        find_plans(convs, convs->device->handles[0], c, 1);
        try_late_plans(convs, trial, c);
    }
    choose_otherwise(convs, trial, c);
    adopt(c);
    if (convs->measured)
        cuda_convs_keep_plan(convs, c->conv);
    return status;
}

static GpudlStatus open_trial(CudaTuning *tuning, GpudlFault *fault)
{
    size_t bytes = 0, picture_bytes = 0;

    for (uint32_t i = 0; i < tuning->n; i++)
        for (int p = 0; !tuning->candidates[i].is_known && (p == 0 || p < tuning->candidates[i].n); p++) {
            const Candidates *c = &tuning->candidates[i];
            size_t picture, all = cuda_trial_bytes(&c->conv->key, c->n > 0 ? c->plans[p].workspace : 0, &picture);

            bytes = all > bytes ? all : bytes;
            picture_bytes = picture > picture_bytes ? picture : picture_bytes;
        }
    tuning->is_open = 1;
    return cuda_trial_open(&tuning->trial, tuning->convs->device, tuning->candidates[0].conv->key.dtype, bytes,
                           picture_bytes, fault);
}

static GpudlStatus try_next(CudaTuning *tuning, int may_stop, GpudlFault *fault)
{
    CudaDevice *device = tuning->convs->device;
    Candidates *c = &tuning->candidates[tuning->tried];
    GpudlStatus status = GPUDL_STATUS_OK;
    int done = 1;

    pthread_mutex_lock(&device->lock);
    if (device->cudnn != NULL && cuda_handle(device, 0, fault) == NULL)
        status = GPUDL_STATUS_BACKEND;
    if (status == GPUDL_STATUS_OK && !c->conv->chosen && c->is_known) {
        cuda_conv_take(c->conv, &c->plans[0]);
        c->plans[0].plan = NULL;
    }
    if (status == GPUDL_STATUS_OK && !c->conv->chosen && !tuning->is_open)
        status = open_trial(tuning, fault);
    if (status == GPUDL_STATUS_OK && c->conv->chosen) { /* for another program meanwhile */
        free_plans(tuning->convs, c);
        drop_best(device, c);
    } else if (status == GPUDL_STATUS_OK) {
        status = cuda_bind(device, tuning->trial.stream, fault);
        if (status == GPUDL_STATUS_OK)
            status = choose_one(tuning->convs, &tuning->trial, c, may_stop, &done, fault);
    }
    pthread_mutex_unlock(&device->lock);
    tuning->tried += (uint32_t)done;
    return status;
}

GpudlStatus cuda_tuning_try(CudaTuning *tuning, uint64_t deadline_ns, int *done, GpudlFault *fault)
{
    const GpudlHost *host = tuning->convs->host;
    const int may_stop = deadline_ns != UINT64_MAX;
    GpudlStatus status = GPUDL_STATUS_OK;

    do {
        if (is_unwanted(host))
            return gpudl_module_fail(fault, GPUDL_STATUS_FAILED, "cancelled while trying convolutions");
        if (tuning->tried < tuning->n)
            status = try_next(tuning, may_stop, fault);
        tell_watcher(tuning);
        *done = tuning->tried == tuning->n;
    } while (status == GPUDL_STATUS_OK && !*done && gpudl_module_now_ns() < deadline_ns &&
             !(may_stop && host->waiting(host->host)));
    return status;
}

/* ---- without trying ---------------------------------------------------------------------------------------------- */

static void name_missing(const CudaConvs *convs, int32_t batch, const char *what)
{
    char named[CUDA_STEP_ROOM + 32];

    snprintf(named, sizeof named, "batch %d: %s", (int)batch, what);
    convs->host->missing(convs->host->host, named);
}

static void recall_one(const CudaConvs *convs, Candidates *c, GpudlOpenForecast *counted)
{
    char text[CUDA_STEP_ROOM];

    if (c->is_known) {
        cuda_conv_take(c->conv, &c->plans[0]);
        c->plans[0].plan = NULL;
    } else if (counted != NULL) {
        cuda_conv_key_text(&c->conv->key, text, sizeof text);
        name_missing(convs, c->conv->key.n, text);
    }
    if (counted != NULL) {
        counted->n_choices++;
        counted->n_known += (uint32_t)c->is_known;
    }
    c->conv->chosen = 1;
    free_plans(convs, c);
}

GpudlStatus cuda_tuning_recall(CudaTuning *tuning, GpudlOpenForecast *counted, GpudlFault *fault)
{
    const CudaConvs *convs = tuning->convs;
    CudaDevice *device = convs->device;
    const int32_t batch = tuning->n > 0 ? tuning->candidates[0].conv->key.n : 0;
    cudnnHandle_t handle = NULL;

    if (tuning->n == 0)
        return GPUDL_STATUS_OK;
    pthread_mutex_lock(&device->building);
    pthread_mutex_lock(&device->lock);
    if (device->cudnn != NULL)
        handle = cuda_handle(device, 0, fault);
    pthread_mutex_unlock(&device->lock);
    if (handle != NULL || device->cudnn == NULL)
        load_all(tuning);
    pthread_mutex_unlock(&device->building);
    if (handle == NULL && device->cudnn != NULL)
        return GPUDL_STATUS_BACKEND;
    for (uint32_t i = 0; i < tuning->n; i++)
        recall_one(convs, &tuning->candidates[i], counted);
    if (counted != NULL && tuning->network[0] != '\0') {
        counted->n_choices++;
        counted->n_known += tuning->streams > 0;
        if (tuning->streams == 0)
            name_missing(convs, batch, "those of its choices that are fastest inside the network");
    }
    return GPUDL_STATUS_OK;
}

/* Building takes about as long as trying. */
double cuda_tuning_done(const CudaTuning *tuning)
{
    const uint32_t next = atomic_load(&tuning->next), built = next < tuning->n ? next : tuning->n;

    return tuning->n > 0 ? 0.5 * (built + atomic_load(&tuning->tried)) / tuning->n : 1;
}

void cuda_tuning_watch(CudaTuning *tuning, void (*watch)(void *data), void *data)
{
    tuning->watch = watch;
    tuning->watch_data = data;
}

CudaTuning *cuda_tuning_new(CudaConvs *convs, const char *network, GpudlFault *fault)
{
    CudaTuning *tuning = calloc(1, sizeof *tuning);
    uint32_t n = 0;

    for (CudaConv *conv = convs->first; conv != NULL; conv = conv->next)
        n += !conv->chosen;
    if (tuning != NULL) {
        tuning->convs = convs;
        snprintf(tuning->network, sizeof tuning->network, "%s", network);
        tuning->candidates = calloc(n + 1u, sizeof *tuning->candidates);
    }
    if (tuning == NULL || tuning->candidates == NULL) {
        gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for %u convolutions", n);
        free(tuning);
        return NULL;
    }
    for (CudaConv *conv = convs->first; conv != NULL; conv = conv->next)
        if (!conv->chosen)
            tuning->candidates[tuning->n++].conv = conv;
    return tuning;
}

void cuda_tuning_free(CudaTuning *tuning)
{
    if (tuning == NULL)
        return;
    if (tuning->is_open)
        cuda_trial_close(&tuning->trial);
    for (uint32_t i = 0; i < tuning->n; i++) {
        free_plans(tuning->convs, &tuning->candidates[i]);
        drop_best(tuning->convs->device, &tuning->candidates[i]);
    }
    free(tuning->candidates);
    free(tuning);
}

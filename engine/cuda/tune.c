/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tune.h"

#include <stdlib.h>
#include <unistd.h>

#include "engine/module.h"
#include "lt.h"
#include "trial.h"

#define PLANS_PER_FORM 4
#define MOST_PLANS ((CUDA_CONV_FORMS + 1) * PLANS_PER_FORM) /* cuBLASLt's are a form more */

/* A problem being worked on, by one thread. */
typedef struct {
    CudaConv *conv;
    CudaConvPlan plans[MOST_PLANS];
    int n;
    int is_known; /* from the cache: plans[0], or our own kernel where n is 0 */
    float ns;     /* then */
} Candidates;

struct CudaTuning {
    const CudaConvs *convs;
    Candidates *candidates;
    uint32_t n;
    atomic_uint tried;
    atomic_uint next; /* threads that build take one after the other */
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

int cuda_convs_open_cache(CudaConvs *convs, const char *folder)
{
    const CudaDevice *device = convs->device;
    char line[512];
    int driver = 0;

    if (folder == NULL)
        return 1;
    device->driver->get_version(&driver);
    snprintf(line, sizeof line, "%.128s, %d.%d, %d multiprocessors, driver %d, CUDA %d, cuDNN %zu",
             device->properties.name, device->properties.major, device->properties.minor,
             device->properties.multiProcessorCount, driver, CUDART_VERSION, device->cudnn->get_version());
    return cuda_cache_open(&convs->cache, folder, GPUDL_CUDA_TUNING_DIR, line);
}

void cuda_convs_clear(CudaConvs *convs)
{
    cuda_cache_close(&convs->cache);
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
    if (all && convs->measured && cuda_lt_fits(&c->conv->key) && cuda_lt_open(convs->device, convs->host))
        c->n += cuda_lt_plans(convs->device, &c->conv->key, c->plans + c->n, PLANS_PER_FORM);
    if (c->n == 0)
        c->n = cuda_conv_plans(convs->device, handle, &c->conv->key, CUDA_CONV_BARE, 1, c->plans, wanted);
    if (c->n == 0)
        c->n = cuda_conv_plans(convs->device, handle, &c->conv->key, CUDA_CONV_BIAS_FIRST, 1, c->plans, wanted);
}

/* Where the activation is what is wrong: ours behind cuDNN's convolution. */
static void find_bare_plans(const CudaConvs *convs, cudnnHandle_t handle, Candidates *c)
{
    c->n = cuda_conv_plans(convs->device, handle, &c->conv->key, CUDA_CONV_BARE, 1, c->plans, PLANS_PER_FORM);
}

/* An entry's plan; FALSE if the libraries that are here can't make it. */
static int load_entry(const CudaConvs *convs, cudnnHandle_t handle, const CudaConvKey *key, const CudaCacheEntry *entry,
                      CudaConvPlan *plan)
{
    if (entry->form == CUDA_CONV_OWN)
        return 1;
    if (entry->form == CUDA_CONV_LT)
        return cuda_lt_open(convs->device, convs->host) &&
               cuda_lt_load(convs->device, key, entry->plan, entry->plan_bytes, plan);
    return cuda_conv_plan_load(convs->device, handle, entry->plan, entry->plan_bytes, plan);
}

/* What is known of a problem, ready to run. */
static void load_plan(const CudaConvs *convs, cudnnHandle_t handle, Candidates *c)
{
    CudaCacheEntry entry;
    char step[512];

    cuda_conv_key_text(&c->conv->key, step, sizeof step);
    if (convs->cache.device == NULL || !cuda_cache_read(&convs->cache, step, CUDA_CONV_OWN + 1, &entry))
        return;
    c->is_known = load_entry(convs, handle, &c->conv->key, &entry, &c->plans[0]);
    c->n = entry.plan != NULL && c->is_known;
    c->plans[0].form = (CudaConvForm)entry.form;
    memcpy(c->plans[0].name, entry.name, sizeof c->plans[0].name);
    c->ns = entry.ns;
    free(entry.plan);
}

static void keep_plan(const CudaConvs *convs, const CudaConv *conv)
{
    static atomic_int told;
    CudaCacheEntry entry = {.form = conv->form, .ns = conv->ns};
    char step[512], message[512];

    cuda_conv_key_text(&conv->key, step, sizeof step);
    snprintf(entry.name, sizeof entry.name, "%s", conv->name);
    if (conv->form == CUDA_CONV_LT)
        entry.plan = cuda_lt_save(convs->device, &conv->lt, &entry.plan_bytes);
    else if (conv->plan != NULL)
        entry.plan = cuda_conv_plan_save(convs->device, conv->plan, &entry.plan_bytes);
    if ((conv->form == CUDA_CONV_OWN || entry.plan != NULL) &&
        !cuda_cache_write(&convs->cache, step, &entry, message, sizeof message) && atomic_exchange(&told, 1) == 0)
        convs->host->log(convs->host->host, GPUDL_LOG_WARNING, message);
    free(entry.plan);
}

static int is_unwanted(const GpudlHost *host)
{
    return host->cancelled(host->host) || host->closing(host->host);
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

/* On as many threads as there are processors, or as can be had. The first handle is for running alone. */
void cuda_tuning_build(CudaTuning *tuning)
{
    CudaDevice *device = tuning->convs->device;
    Builder builders[CUDA_BUILDERS];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t n = 0, most = cores < 1 ? 1 : cores > CUDA_BUILDERS - 1 ? CUDA_BUILDERS - 1 : (uint32_t)cores;
    uint32_t started = 0, unknown = tuning->n;
    cudnnHandle_t handle;
    GpudlFault fault;

    pthread_mutex_lock(&device->building);
    cuda_enter(device);
    handle = tuning->n > 0 ? cuda_handle(device, 1, &fault) : NULL;
    for (uint32_t i = 0; i < tuning->n && handle != NULL && !is_unwanted(tuning->convs->host); i++) {
        load_plan(tuning->convs, handle, &tuning->candidates[i]);
        unknown -= (uint32_t)tuning->candidates[i].is_known;
    }
    for (; n < most && n < unknown; n++) {
        builders[n] = (Builder){.tuning = tuning, .handle = cuda_handle(device, 1 + (int)n, &fault)};
        if (builders[n].handle == NULL)
            break;
    }
    for (uint32_t i = 1; i < n; i++)
        if (pthread_create(&builders[i].thread, NULL, build_plans, &builders[i]) == 0)
            started |= 1u << i;
    if (n > 0) {
        builders[0].watched = 1;
        build_plans(&builders[0]);
    }
    for (uint32_t i = 1; i < n; i++)
        if ((started & 1u << i) != 0)
            pthread_join(builders[i].thread, NULL);
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
    const char *what = NULL;
    char message[160];

    if (!cuda_trial_check(trial, plan))
        what = "is wrong";
    else if (!cuda_trial_keeps_nan(trial, plan))
        what = "makes a number of NaN";
    if (what != NULL) {
        snprintf(message, sizeof message, "%s %s for %dx%dx%dx%d, %dx%d taps to %d channels in %d groups (cuDNN %zu)",
                 plan->name, what, key->n, key->c, key->h, key->w, key->r, key->s, key->k, key->groups,
                 convs->device->cudnn->get_version());
        convs->host->log(convs->host->host, GPUDL_LOG_INFO, message);
    }
    return what == NULL;
}

static void take(const CudaConvs *convs, CudaConv *conv, CudaConvPlan *plan, float ns)
{
    cuda_conv_plan_free(convs->device, conv->plan);
    conv->chosen = 1;
    conv->ns = ns;
    conv->plan = plan->plan;
    conv->form = plan->form;
    conv->lt = plan->lt;
    conv->workspace = plan->workspace;
    snprintf(conv->name, sizeof conv->name, "%s", plan->name);
    plan->plan = NULL;
}

/* The best of the plans that are right becomes the conv's. */
static void try_plans(const CudaConvs *convs, CudaTrial *trial, Candidates *c)
{

    for (int p = 0; p < c->n; p++) {
        CudaConvPlan *plan = &c->plans[p];
        float ns;

        if (!is_right(convs, trial, plan))
            continue;
        ns = convs->measured ? cuda_trial_time(trial, plan) : 0;
        if (c->conv->chosen && (ns <= 0 || ns >= c->conv->ns))
            continue;
        take(convs, c->conv, plan, ns);
        if (!convs->measured)
            break;
    }
    free_plans(convs, c);
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
    try_plans(convs, trial, c);
}

/* Until one is right: what was built, then all that can be had, then our own kernel behind or instead. */
static GpudlStatus choose_one(const CudaConvs *convs, CudaTrial *trial, Candidates *c, GpudlFault *fault)
{
    GpudlStatus status = cuda_trial_begin(trial, &c->conv->key, fault);

    if (status != GPUDL_STATUS_OK)
        return status;
    try_plans(convs, trial, c);
    if (!c->conv->chosen && !convs->measured) {
        find_plans(convs, convs->device->handles[0], c, 1);
        try_late_plans(convs, trial, c);
    }
    if (!c->conv->chosen) {
        find_bare_plans(convs, convs->device->handles[0], c);
        try_late_plans(convs, trial, c);
    }
    if (!c->conv->chosen) {
        CudaConvPlan own = {.form = CUDA_CONV_OWN, .name = "own kernel"};

        take(convs, c->conv, &own, 0);
    }
    if (convs->measured)
        keep_plan(convs, c->conv);
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
    return cuda_trial_open(&tuning->trial, tuning->convs->device, tuning->candidates[0].conv->key.half, bytes,
                           picture_bytes, fault);
}

static GpudlStatus try_next(CudaTuning *tuning, GpudlFault *fault)
{
    CudaDevice *device = tuning->convs->device;
    Candidates *c = &tuning->candidates[tuning->tried];
    GpudlStatus status = GPUDL_STATUS_OK;

    pthread_mutex_lock(&device->lock);
    if (cuda_handle(device, 0, fault) == NULL)
        status = GPUDL_STATUS_BACKEND;
    if (status == GPUDL_STATUS_OK && !c->conv->chosen && c->is_known)
        take(tuning->convs, c->conv, &c->plans[0], c->ns);
    if (status == GPUDL_STATUS_OK && !c->conv->chosen && !tuning->is_open)
        status = open_trial(tuning, fault);
    if (status == GPUDL_STATUS_OK && c->conv->chosen) /* for another program meanwhile */
        free_plans(tuning->convs, c);
    else if (status == GPUDL_STATUS_OK) {
        cudnnStatus_t error = device->cudnn->set_stream(device->handles[0], tuning->trial.stream);

        status = error == CUDNN_STATUS_SUCCESS ? choose_one(tuning->convs, &tuning->trial, c, fault)
                                               : cuda_fail_cudnn(device, fault, error, "cudnnSetStream()");
    }
    pthread_mutex_unlock(&device->lock);
    tuning->tried++;
    return status;
}

GpudlStatus cuda_tuning_try(CudaTuning *tuning, uint64_t deadline_ns, int *done, GpudlFault *fault)
{
    GpudlStatus status = GPUDL_STATUS_OK;

    do {
        if (is_unwanted(tuning->convs->host))
            return gpudl_module_fail(fault, GPUDL_STATUS_FAILED, "cancelled while trying convolutions");
        if (tuning->tried < tuning->n)
            status = try_next(tuning, fault);
        tell_watcher(tuning);
        *done = tuning->tried == tuning->n;
    } while (status == GPUDL_STATUS_OK && !*done && gpudl_module_now_ns() < deadline_ns);
    return status;
}

/* ---- without trying ---------------------------------------------------------------------------------------------- */

static void recall_one(const CudaConvs *convs, cudnnHandle_t handle, Candidates *c, int names, uint32_t *n_known)
{
    char text[512], named[560];

    load_plan(convs, handle, c);
    if (c->is_known) {
        take(convs, c->conv, &c->plans[0], c->ns);
        ++*n_known;
    } else if (names) {
        cuda_conv_key_text(&c->conv->key, text, sizeof text);
        snprintf(named, sizeof named, "batch %d: %s", c->conv->key.n, text);
        convs->host->missing(convs->host->host, named);
    }
    c->conv->chosen = 1;
    free_plans(convs, c);
}

GpudlStatus cuda_tuning_recall(CudaTuning *tuning, int names, uint32_t *n_known, GpudlFault *fault)
{
    CudaDevice *device = tuning->convs->device;
    cudnnHandle_t handle;

    if (tuning->n == 0)
        return GPUDL_STATUS_OK;
    pthread_mutex_lock(&device->building);
    handle = cuda_handle(device, 1, fault);
    for (uint32_t i = 0; i < tuning->n && handle != NULL && !is_unwanted(tuning->convs->host); i++)
        recall_one(tuning->convs, handle, &tuning->candidates[i], names, n_known);
    pthread_mutex_unlock(&device->building);
    return handle != NULL ? GPUDL_STATUS_OK : GPUDL_STATUS_BACKEND;
}

uint32_t cuda_tuning_size(const CudaTuning *tuning)
{
    return tuning->n;
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

CudaTuning *cuda_tuning_new(CudaConvs *convs, GpudlFault *fault)
{
    CudaTuning *tuning = calloc(1, sizeof *tuning);
    uint32_t n = 0;

    for (CudaConv *conv = convs->first; conv != NULL; conv = conv->next)
        n += !conv->chosen;
    if (tuning != NULL) {
        tuning->convs = convs;
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
    for (uint32_t i = 0; i < tuning->n; i++)
        free_plans(tuning->convs, &tuning->candidates[i]);
    free(tuning->candidates);
    free(tuning);
}

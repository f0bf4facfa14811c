/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module "cpu": workers of one thread each on shared weights. */
#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "compile.h"
#include "cores.h"
#include "engine/interface.h"
#include "engine/limits.h"
#include "engine/module.h"
#include "forecast.h"
#include "isa.h"
#include "preproc.h"
#include "share.h"

#define CPU_PRECISIONS (1u << GPUDL_PRECISION_FP32 | 1u << GPUDL_PRECISION_BF16)
/* Frames that ran twice in vain until that is told: some pictures may do it to a network, all of them are too many. */
#define VAIN_TOLD 16

/* A slot's instance of one batch's program. The one of batch 1 is made at open and comes first. */
typedef struct Bound Bound;
struct Bound {
    Bound *next;
    CpuInstance *instance;
    GpudlProfileRow *rows; /* of the last profile; made at the first */
};

typedef struct {
    CpuPreproc *preproc;
    Bound *bound;
} Slot;

typedef struct Compiled Compiled;
struct Compiled {
    Compiled *next;
    CpuProgram *program;
};

typedef struct {
    GpudlOpenParams params;
    CpuShared shared;
    pthread_mutex_t lock; /* compiled, shared, n_vain */
    Compiled *compiled;
    uint32_t n_vain; /* frames that ran twice for nothing that their outputs show */
    uint32_t n_slots;
    Slot *slots;
} Engine;

/* One OpenMP thread from here on in this thread: primitives are made for as many as there are, and run on as many.
 * Returns what to give back to leave_single(), so that a caller's own OpenMP code keeps its threads. */
static int enter_single(void)
{
    int before = omp_get_max_threads();

    if (before != 1)
        omp_set_num_threads(1);
    return before;
}

static void leave_single(int before)
{
    if (before != 1)
        omp_set_num_threads(before);
}

/* One per processor that may be kept busy. */
static uint32_t usable_workers(void)
{
    uint32_t cores = cpu_cores_usable();

    return cores < GPUDL_LIMIT_THREADS ? cores : GPUDL_LIMIT_THREADS;
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

/* Compiles for a batch and lists the program. Under the lock, with constants held. */
static CpuProgram *compile(Engine *engine, int64_t batch, int exact, GpudlStatus *status, GpudlFault *fault)
{
    const GpudlPlan *plan = engine->shared.host->plan(engine->shared.host->host, batch, fault);
    Compiled *entry = plan != NULL ? calloc(1, sizeof *entry) : NULL;

    if (plan == NULL) /* the host has written why */
        *status = GPUDL_STATUS_UNSUPPORTED;
    else if (entry == NULL)
        *status = gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    if (entry == NULL)
        return NULL;
    entry->program = cpu_program_new(&engine->shared, plan, exact, status, fault);
    if (entry->program == NULL) {
        free(entry);
        return NULL;
    }
    entry->next = engine->compiled;
    engine->compiled = entry;
    return entry->program;
}

/* The program of a batch, compiled on first demand. */
static const CpuProgram *program_for(Engine *engine, int64_t batch, int exact, GpudlStatus *status, GpudlFault *fault)
{
    const GpudlHost *host = engine->shared.host;
    CpuProgram *program = NULL;

    pthread_mutex_lock(&engine->lock);
    for (Compiled *c = engine->compiled; c != NULL && program == NULL; c = c->next)
        if (c->program->plan->batch == batch && c->program->exact == exact)
            program = c->program;
    if (program == NULL) {
        if (exact)
            host->log(host->host, GPUDL_LOG_INFO, "NaN was met: frames with it run once more, on reference kernels");
        *status = host->hold_constants(host->host, fault);
        if (*status == GPUDL_STATUS_OK) {
            program = compile(engine, batch, exact, status, fault);
            host->release_constants(host->host);
        }
        if (program == NULL && exact) {
            const GpudlFault why = *fault;

            gpudl_module_fail(fault, *status, "NaN was met, and what is needed to follow it can't be had: %.400s",
                              why.message);
        }
    }
    pthread_mutex_unlock(&engine->lock);
    return program;
}

/* The slot's own memory for a batch; kept. */
static Bound *bound_for(Engine *engine, Slot *slot, int64_t batch, int exact, GpudlStatus *status, GpudlFault *fault)
{
    const CpuProgram *program;
    Bound *bound;

    for (bound = slot->bound; bound != NULL; bound = bound->next)
        if (bound->instance->program->plan->batch == batch && bound->instance->program->exact == exact)
            return bound;
    program = program_for(engine, batch, exact, status, fault);
    if (program == NULL)
        return NULL;
    bound = calloc(1, sizeof *bound);
    if (bound != NULL)
        bound->instance = cpu_instance_new(engine->shared.dnn, program);
    if (bound == NULL || bound->instance == NULL) {
        free(bound);
        *status = gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for a workspace of %llu bytes",
                                    (unsigned long long)program->work_bytes);
        return NULL;
    }
    if (slot->bound == NULL) {
        slot->bound = bound;
    } else {
        bound->next = slot->bound->next;
        slot->bound->next = bound;
    }
    return bound;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static GpudlStatus cpu_probe(int32_t device_id, GpudlFault *fault)
{
    const dnnl_version_t *version = dnnl_version();

    if (version->major != DNNL_VERSION_MAJOR)
        return gpudl_module_fail(fault, GPUDL_STATUS_BACKEND,
                                 "oneDNN %d.%d is loaded, the module was built for %d.x: install libdnnl%d",
                                 version->major, version->minor, DNNL_VERSION_MAJOR, DNNL_VERSION_MAJOR);
    return GPUDL_STATUS_OK;
}

/* One device: the processor, with what it computes in by itself and on what. */
static GpudlStatus cpu_devices(GpudlBackendDevice *out, uint32_t room, uint32_t *n, GpudlFault *fault)
{
    const int bf16 = cpu_isa_prefers_bf16();
    char model[96];

    *n = 1;
    if (room < 1)
        return GPUDL_STATUS_OK;
    *out = (GpudlBackendDevice){0};
    cpu_name_processor(model, sizeof model);
    out->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    out->free_bytes = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    snprintf(out->name, sizeof out->name, "%s, %s, %s, oneDNN %d.%d.%d", model, bf16 ? "bf16" : "fp32",
             cpu_isa_name(bf16), dnnl_version()->major, dnnl_version()->minor, dnnl_version()->patch);
    return GPUDL_STATUS_OK;
}

static GpudlStatus cpu_resolve(void *device, GpudlOpenParams *params, GpudlFault *fault)
{
    const GpudlModuleAbility can = {"cpu", CPU_PRECISIONS,
                                    cpu_isa_prefers_bf16() ? GPUDL_PRECISION_BF16 : GPUDL_PRECISION_FP32, 1, 1};
    GpudlStatus status = gpudl_module_resolve(&can, params, fault);

    if (status != GPUDL_STATUS_OK)
        return status;
    if (params->precision == GPUDL_PRECISION_BF16 &&
        !cpu_isa_has_bf16()) /* as slow as fp32 or slower, and less exact */
        return gpudl_module_fail(
            fault, GPUDL_STATUS_UNSUPPORTED,
            "precision bf16 would only be emulated: oneDNN %d.%d.%d has %s to use here (processor, "
            "ONEDNN_MAX_CPU_ISA), bf16 needs AVX512_BF16 or AMX_BF16; use auto or fp32",
            dnnl_version()->major, dnnl_version()->minor, dnnl_version()->patch, cpu_isa_name(0));
    if (params->threads == 0)
        params->threads = usable_workers();
    if (params->deterministic) /* what is measured may come out otherwise next time, and so may the last bits */
        params->autotune = GPUDL_AUTOTUNE_OFF;
    params->deterministic = 0;
    params->priority = 0;
    params->memory_limit = 0; /* any of its forms will do for those who share an engine */
    return GPUDL_STATUS_OK;
}

static void cpu_close(void *data)
{
    Engine *engine = data;

    for (uint32_t i = 0; i < engine->n_slots && engine->slots != NULL; i++) {
        for (Bound *bound = engine->slots[i].bound; bound != NULL;) {
            Bound *next = bound->next;

            cpu_instance_free(bound->instance);
            free(bound->rows);
            free(bound);
            bound = next;
        }
        cpu_preproc_free(engine->slots[i].preproc);
    }
    free(engine->slots);
    for (Compiled *c = engine->compiled; c != NULL;) {
        Compiled *next = c->next;

        cpu_program_free(c->program);
        free(c);
        c = next;
    }
    cpu_packed_clear(&engine->shared.packed);
    gpudl_cache_close(&engine->shared.cache);
    free(engine->shared.forms);
    if (engine->shared.stream != NULL)
        dnnl_stream_destroy(engine->shared.stream);
    if (engine->shared.dnn != NULL)
        dnnl_engine_destroy(engine->shared.dnn);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

/* Runs one slot twice on zeros: code and weights are warm, which all slots share, and the second time is what a frame
 * has to wait for. The memory that each slot has of its own has been written to. */
static GpudlStatus warm_up(const Engine *engine, uint64_t *run_time, GpudlFault *fault)
{
    CpuInstance *instance = engine->slots[0].bound->instance;
    GpudlStatus status = cpu_instance_run(instance, engine->shared.host, fault);
    const uint64_t begin = gpudl_module_now_ns();

    if (status == GPUDL_STATUS_OK)
        status = cpu_instance_run(instance, engine->shared.host, fault);
    *run_time = gpudl_module_now_ns() - begin;
    return status;
}

static GpudlStatus make_slots(Engine *engine, const CpuProgram *program, GpudlFault *fault)
{
    GpudlStatus status = gpudl_module_check_memory(engine->params.memory_limit, program->weight_bytes, engine->n_slots,
                                                   program->work_bytes, fault);

    if (status != GPUDL_STATUS_OK)
        return status;
    engine->slots = calloc(engine->n_slots, sizeof *engine->slots);
    for (uint32_t i = 0; i < engine->n_slots && engine->slots != NULL && status == GPUDL_STATUS_OK; i++) {
        engine->slots[i].preproc = cpu_preproc_new(cpu_isa_preproc());
        if (engine->slots[i].preproc == NULL)
            status = gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for worker %u", i);
        else if (engine->shared.host->cancelled(engine->shared.host->host))
            status = gpudl_module_fail(fault, GPUDL_STATUS_FAILED, "cancelled before worker %u", i);
        else
            bound_for(engine, &engine->slots[i], 1, 0, &status, fault);
    }
    return engine->slots != NULL
               ? status
               : gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for %u workers", engine->n_slots);
}

/* NULL if there is no memory; cpu_close() ends it. */
static Engine *engine_new(const GpudlHost *host, const GpudlOpenParams *params)
{
    Engine *engine = calloc(1, sizeof *engine);

    if (engine == NULL)
        return NULL;
    pthread_mutex_init(&engine->lock, NULL);
    engine->params = *params;
    engine->params.cache_dir = NULL;
    cpu_share(&engine->shared, host, params);
    engine->n_slots = params->threads;
    return engine;
}

static GpudlStatus start_dnn(Engine *engine, GpudlFault *fault)
{
    if (dnnl_engine_create(&engine->shared.dnn, dnnl_cpu, 0) == dnnl_success &&
        dnnl_stream_create(&engine->shared.stream, engine->shared.dnn, dnnl_stream_default_flags) == dnnl_success)
        return GPUDL_STATUS_OK;
    return gpudl_module_fail(fault, GPUDL_STATUS_BACKEND, "oneDNN could not make its engine");
}

/* Chooses forms that the memory limit has room for; what those take. */
static GpudlStatus fit(Engine *engine, CpuNeeds *needs, GpudlFault *fault)
{
    const GpudlPlan *plan = engine->shared.host->plan(engine->shared.host->host, 1, fault);
    GpudlStatus status = GPUDL_STATUS_UNSUPPORTED;

    if (plan != NULL)
        status = gpudl_module_check_input(plan, &engine->params, fault);
    return status == GPUDL_STATUS_OK
               ? cpu_fit(&engine->shared, plan, engine->n_slots, engine->params.memory_limit, needs, fault)
               : status;
}

static GpudlStatus open_single(Engine *engine, GpudlEngineInfo *info, GpudlFault *fault)
{
    GpudlStatus status = start_dnn(engine, fault);
    const CpuProgram *program = NULL;
    uint64_t run_time = 0;
    CpuNeeds needs;

    if (status == GPUDL_STATUS_OK && engine->params.memory_limit != 0)
        status = fit(engine, &needs, fault);
    if (status == GPUDL_STATUS_OK)
        program = program_for(engine, 1, 0, &status, fault);
    if (program == NULL)
        return status;
    status = gpudl_module_check_input(program->plan, &engine->params, fault);
    if (status == GPUDL_STATUS_OK)
        status = make_slots(engine, program, fault);
    if (status == GPUDL_STATUS_OK)
        status = warm_up(engine, &run_time, fault);
    if (status != GPUDL_STATUS_OK)
        return status;
    info->n_slots = engine->n_slots;
    info->max_batch = 1;
    info->n_buckets = 1;
    info->buckets[0] = 1;
    info->bucket_ns[0] = run_time;
    info->depth = engine->n_slots + 1; /* each worker has one, and one waits or is being pushed on */
    info->precision = engine->params.precision;
    info->weight_bytes = program->weight_bytes;
    info->work_bytes = program->work_bytes * engine->n_slots;
    info->run_time_ns = run_time;
    info->memory_kinds = 1u << GPUDL_MEMORY_HOST;
    snprintf(info->device_name, sizeof info->device_name, "CPU, %s, %s, oneDNN %d.%d.%d, %u worker%s, pixels by %s",
             gpudl_module_precision_name(engine->params.precision),
             cpu_isa_name(engine->params.precision == GPUDL_PRECISION_BF16), dnnl_version()->major,
             dnnl_version()->minor, dnnl_version()->patch, engine->n_slots, engine->n_slots == 1 ? "" : "s",
             cpu_preproc_isa_name(cpu_isa_preproc()));
    return status;
}

/* What would be measured, as the tuning cache knows it. */
static GpudlStatus foresee_choices(Engine *engine, GpudlOpenForecast *forecast, GpudlFault *fault)
{
    const GpudlHost *host = engine->shared.host;
    const GpudlPlan *plan = host->plan(host->host, 1, fault);
    GpudlStatus status =
        plan != NULL ? cpu_program_foresee(&engine->shared, plan, forecast, fault) : GPUDL_STATUS_UNSUPPORTED;

    if (forecast->n_choices > 0)
        gpudl_cache_can_write(&engine->shared.cache, forecast->not_kept, sizeof forecast->not_kept);
    return status;
}

static GpudlStatus cpu_forecast(void *device, const GpudlHost *host, const GpudlOpenParams *params,
                                GpudlOpenForecast *forecast, GpudlFault *fault)
{
    GpudlStatus status = cpu_probe(-1, fault);
    CpuNeeds needs = {0, 0};
    Engine *engine;
    int threads;

    if (status != GPUDL_STATUS_OK)
        return status;
    engine = engine_new(host, params);
    if (engine == NULL)
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for the engine");
    threads = enter_single();
    status = cpu_share_cache(&engine->shared, params)
                 ? start_dnn(engine, fault)
                 : gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for the tuning cache");
    if (status == GPUDL_STATUS_OK)
        status = fit(engine, &needs, fault);
    if (status == GPUDL_STATUS_OK && engine->shared.autotune != GPUDL_AUTOTUNE_OFF)
        status = foresee_choices(engine, forecast, fault);
    leave_single(threads);
    forecast->weight_bytes = needs.weight_bytes;
    forecast->work_bytes = needs.work_bytes * params->threads;
    cpu_close(engine);
    return status;
}

static GpudlStatus cpu_open(void *device, const GpudlHost *host, const GpudlOpenParams *params, void **result,
                            GpudlEngineInfo *info, GpudlFault *fault)
{
    GpudlStatus status = cpu_probe(-1, fault);
    Engine *engine;
    int threads;

    if (status != GPUDL_STATUS_OK)
        return status;
    engine = engine_new(host, params);
    if (engine == NULL)
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for the engine");
    threads = enter_single();
    status = cpu_share_cache(&engine->shared, params)
                 ? open_single(engine, info, fault)
                 : gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for the tuning cache");
    leave_single(threads);
    gpudl_cache_close(&engine->shared.cache);
    if (status != GPUDL_STATUS_OK)
        cpu_close(engine);
    else
        *result = engine;
    return status;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static GpudlStatus preprocess(const Slot *slot, const GpudlFrame *frame, const GpudlPreproc *preproc,
                              CpuPreprocLayout layout, void *dst, GpudlFault *fault)
{
    const char *wrong = cpu_preproc_run(slot->preproc, frame, preproc, layout, dst);

    return wrong == NULL ? GPUDL_STATUS_OK
                         : gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "frame of %dx%d: %s", frame->width,
                                             frame->height, wrong);
}

/* The network on one job, from its input on. */
static GpudlStatus run_network(const Slot *slot, const CpuInstance *instance, const GpudlJob *job, GpudlFault *fault)
{
    GpudlStatus status = GPUDL_STATUS_OK;

    if (job->frame != NULL)
        status = preprocess(slot, job->frame, job->preproc, instance->program->input_layout,
                            cpu_instance_input(instance, 0), fault);
    else
        cpu_instance_set_input(instance, 0, job->values);
    cpu_forget_nan();
    return status == GPUDL_STATUS_OK ? cpu_instance_run(instance, NULL, fault) : status;
}

static int has_nan(const GpudlPlanTensor *tensor, const float *values)
{
    if (tensor->dtype != GPUDL_DTYPE_F32)
        return 0;
    for (uint64_t i = 0; i < tensor->bytes / sizeof *values; i++)
        if (isnan(values[i]))
            return 1;
    return 0;
}

/* After an exact run. A network that meets NaN frame by frame and shows none costs several times what it should, and
 * its answers tell nobody: it is said once. */
static void note_vain(Engine *engine, const CpuInstance *exact)
{
    const GpudlPlan *plan = exact->program->plan;
    uint32_t n_vain;

    for (uint32_t i = 0; i < plan->n_outputs; i++)
        if (has_nan(&plan->tensors[plan->outputs[i]], cpu_instance_output(exact, i)))
            return;
    pthread_mutex_lock(&engine->lock);
    n_vain = engine->n_vain < VAIN_TOLD + 1 ? ++engine->n_vain : engine->n_vain;
    pthread_mutex_unlock(&engine->lock);
    if (n_vain == VAIN_TOLD)
        engine->shared.host->log(engine->shared.host->host, GPUDL_LOG_WARNING,
                                 "frames run twice and slowly, since the network makes NaN within, though none is in "
                                 "its outputs: are its weights damaged, or mean, std and pixel scale not its own?");
}

static GpudlStatus run_job(Engine *engine, Slot *slot, const GpudlJob *job, GpudlFault *fault)
{
    const CpuInstance *instance = slot->bound->instance;
    const GpudlPlan *plan = instance->program->plan;
    GpudlStatus status = run_network(slot, instance, job, fault);

    if (status == GPUDL_STATUS_OK && cpu_met_nan()) { /* once more, so that it is seen */
        const Bound *exact = bound_for(engine, slot, 1, 1, &status, fault);

        if (exact == NULL)
            return status;
        instance = exact->instance;
        status = run_network(slot, instance, job, fault);
        if (status == GPUDL_STATUS_OK)
            note_vain(engine, instance);
    }
    for (uint32_t i = 0; i < plan->n_outputs && status == GPUDL_STATUS_OK; i++)
        status = gpudl_module_write_head(&plan->tensors[plan->outputs[i]], cpu_instance_output(instance, i),
                                         engine->params.activation, job->outputs[i], fault);
    return status;
}

static GpudlStatus cpu_submit(void *data, uint32_t slot, const GpudlJob *jobs, uint32_t n, GpudlFault *fault)
{
    Engine *engine = data;
    GpudlStatus status = gpudl_module_check_slot(slot, engine->n_slots, fault);
    int threads;

    if (status == GPUDL_STATUS_OK)
        status = gpudl_module_check_jobs(n, 1, fault);
    if (status != GPUDL_STATUS_OK)
        return status;
    threads = enter_single();
    status = run_job(engine, &engine->slots[slot], jobs, fault);
    leave_single(threads);
    return status;
}

/* submit() has done the work. */
static GpudlStatus cpu_wait(void *data, uint32_t slot, uint64_t timeout_ns, GpudlFault *fault)
{
    return gpudl_module_check_slot(slot, ((Engine *)data)->n_slots, fault);
}

static GpudlStatus run_whole(const CpuInstance *instance, const void *const *inputs, void *const *outputs,
                             GpudlFault *fault)
{
    const GpudlPlan *plan = instance->program->plan;
    GpudlStatus status;

    for (uint32_t i = 0; i < plan->n_inputs; i++)
        cpu_instance_set_input(instance, i, inputs[i]);
    cpu_forget_nan();
    status = cpu_instance_run(instance, NULL, fault);
    for (uint32_t i = 0; i < plan->n_outputs && status == GPUDL_STATUS_OK; i++)
        gpudl_module_copy(&plan->tensors[plan->outputs[i]], outputs[i], cpu_instance_output(instance, i));
    return status;
}

static GpudlStatus cpu_run_tensors(void *data, uint32_t slot, int64_t batch, const void *const *inputs,
                                   void *const *outputs, GpudlFault *fault)
{
    Engine *engine = data;
    GpudlStatus status = gpudl_module_check_slot(slot, engine->n_slots, fault);
    const Bound *bound;
    int threads;

    if (status == GPUDL_STATUS_OK)
        status = gpudl_module_check_batch(batch, fault);
    if (status != GPUDL_STATUS_OK)
        return status;
    threads = enter_single();
    bound = bound_for(engine, &engine->slots[slot], batch, 0, &status, fault);
    if (bound != NULL)
        status = run_whole(bound->instance, inputs, outputs, fault);
    if (bound != NULL && status == GPUDL_STATUS_OK && cpu_met_nan()) {
        bound = bound_for(engine, &engine->slots[slot], batch, 1, &status, fault);
        if (bound != NULL)
            status = run_whole(bound->instance, inputs, outputs, fault);
        if (bound != NULL && status == GPUDL_STATUS_OK)
            note_vain(engine, bound->instance);
    }
    leave_single(threads);
    return status;
}

static GpudlStatus cpu_profile(void *data, uint32_t slot, int64_t batch, uint32_t runs, const GpudlProfileRow **rows,
                               uint32_t *n_rows, GpudlFault *fault)
{
    Engine *engine = data;
    GpudlStatus status = gpudl_module_check_slot(slot, engine->n_slots, fault);
    Bound *bound;
    int threads;

    if (status == GPUDL_STATUS_OK)
        status = gpudl_module_check_batch(batch, fault);
    if (status == GPUDL_STATUS_OK && runs < 1)
        status = gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "%u runs, expected 1 or more", runs);
    if (status != GPUDL_STATUS_OK)
        return status;
    threads = enter_single();
    bound = bound_for(engine, &engine->slots[slot], batch, 0, &status, fault);
    if (bound != NULL && bound->rows == NULL) {
        bound->rows = calloc((size_t)bound->instance->program->n_steps + 1, sizeof *bound->rows);
        if (bound->rows == NULL)
            status = gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for the profile");
    }
    if (status == GPUDL_STATUS_OK)
        status = cpu_instance_profile(bound->instance, runs, bound->rows, n_rows, fault);
    if (status == GPUDL_STATUS_OK)
        *rows = bound->rows;
    leave_single(threads);
    return status;
}

static GpudlStatus cpu_run_preproc(void *data, uint32_t slot, const GpudlFrame *frame, const GpudlPreproc *preproc,
                                   float *dst, GpudlFault *fault)
{
    Engine *engine = data;
    GpudlStatus status = gpudl_module_check_slot(slot, engine->n_slots, fault);

    return status == GPUDL_STATUS_OK ? preprocess(&engine->slots[slot], frame, preproc, CPU_PREPROC_PLANAR, dst, fault)
                                     : status;
}

__attribute__((visibility("default"))) const GpudlBackend *gpudl_backend_entry(uint32_t abi_version,
                                                                               const char *interface);

const GpudlBackend *gpudl_backend_entry(uint32_t abi_version, const char *interface)
{
    static const GpudlBackend backend = {
        .abi_version = GPUDL_BACKEND_ABI,
        .interface = GPUDL_BACKEND_INTERFACE,
        .name = "cpu",
        .flags = 0,
        .precisions = CPU_PRECISIONS,
        .probe = cpu_probe,
        .devices = cpu_devices,
        .resolve = cpu_resolve,
        .forecast = cpu_forecast,
        .open = cpu_open,
        .close = cpu_close,
        .submit = cpu_submit,
        .wait = cpu_wait,
        .profile = cpu_profile,
        .run_tensors = cpu_run_tensors,
        .run_preproc = cpu_run_preproc,
    };

    return gpudl_module_table(&backend, abi_version, interface);
}

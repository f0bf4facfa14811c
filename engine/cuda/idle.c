/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is done while nothing is queued: the batch sizes between one and the largest, one at a time; then, where
 * programs run on first choices, all of them once more with choices that are measured. */
#include "engine.h"
#include "engine/module.h"

static void *build(void *data)
{
    CudaEngine *engine = data;

    cuda_tuning_build(engine->pending->tuning);
    pthread_mutex_lock(&engine->built_lock);
    engine->built = 1;
    pthread_mutex_unlock(&engine->built_lock);
    return NULL;
}

static int is_built(CudaEngine *engine)
{
    int built;

    pthread_mutex_lock(&engine->built_lock);
    built = engine->built;
    pthread_mutex_unlock(&engine->built_lock);
    return built;
}

static void join(CudaEngine *engine)
{
    if (engine->has_builder)
        pthread_join(engine->builder, NULL);
    engine->has_builder = 0;
}

void cuda_idle_end(CudaEngine *engine)
{
    join(engine);
    cuda_round_free(engine->round);
    engine->round = NULL;
    cuda_program_free(engine->ready);
    engine->ready = NULL;
    if (engine->pending != NULL)
        cuda_compile_free(engine->pending);
    engine->pending = NULL;
}

static GpudlStatus begin(CudaEngine *engine, GpudlFault *fault)
{
    const GpudlHost *host = engine->shared.host;
    GpudlStatus status = GPUDL_STATUS_UNSUPPORTED;
    const GpudlPlan *plan = host->plan(host->host, engine->wanted[--engine->n_wanted], fault);

    if (plan != NULL)
        engine->pending = cuda_compile_begin(&engine->shared, plan, &status, fault);
    if (engine->pending != NULL)
        status = cuda_compile_weights(engine->pending, fault); /* nobody holds constants here */
    if (status != GPUDL_STATUS_OK)
        return status;
    engine->built = 0;
    if (pthread_create(&engine->builder, NULL, build, engine) == 0)
        engine->has_builder = 1;
    else
        build(engine);
    return GPUDL_STATUS_OK;
}

/* Plans are chosen; now those inside the program's graph. */
static GpudlStatus end_compilation(CudaEngine *engine, GpudlFault *fault)
{
    GpudlStatus status = GPUDL_STATUS_OK;
    CudaCompilation *compilation = engine->pending;
    CudaProgram *program;
    int known;

    engine->pending = NULL;
    program = cuda_compile_end(compilation, &status, fault);
    if (program == NULL)
        return status;
    known = cuda_engine_bucket(engine, program->plan->batch, 1) != NULL;
    if (program->work_bytes > engine->work_bytes || (engine->n_buckets == GPUDL_MAX_BUCKETS && !known)) {
        gpudl_module_fail(fault, GPUDL_STATUS_UNSUPPORTED,
                          "batch %lld %s: it would take %llu bytes of work memory, more than the session's %llu",
                          (long long)program->plan->batch,
                          known ? "keeps its first choices, what was measured is for the next session" : "is left out",
                          (unsigned long long)program->work_bytes, (unsigned long long)engine->work_bytes);
        cuda_program_free(program);
        return GPUDL_STATUS_UNSUPPORTED;
    }
    engine->ready = program;
    engine->round = cuda_round_new(engine, program, fault);
    return engine->round != NULL ? GPUDL_STATUS_OK : GPUDL_STATUS_NO_MEMORY;
}

/* The program's turn to be listed. */
static GpudlStatus list(CudaEngine *engine, GpudlFault *fault)
{
    CudaProgram *program = engine->ready;
    GpudlStatus status;

    cuda_round_free(engine->round);
    engine->round = NULL;
    engine->ready = NULL;
    status = cuda_engine_add(engine, program, fault);
    if (status == GPUDL_STATUS_OK) {
        cuda_engine_tell(engine);
        engine->shared.host->changed(engine->shared.host->host, &engine->info);
    }
    return status;
}

static GpudlStatus advance(CudaEngine *engine, uint64_t deadline_ns, int *more, GpudlFault *fault)
{
    GpudlStatus status = GPUDL_STATUS_OK;
    int done = 0;

    if (engine->round != NULL) {
        status = cuda_round_go(engine->round, deadline_ns, &done, fault);
        return status == GPUDL_STATUS_OK && done ? list(engine, fault) : status;
    }
    if (engine->pending == NULL)
        status = begin(engine, fault);
    if (status == GPUDL_STATUS_OK && !is_built(engine))
        *more = GPUDL_IDLE_LATER;
    if (status != GPUDL_STATUS_OK || *more == GPUDL_IDLE_LATER)
        return status;
    join(engine);
    status = cuda_tuning_try(engine->pending->tuning, deadline_ns, &done, fault);
    return status == GPUDL_STATUS_OK && done ? end_compilation(engine, fault) : status;
}

static int has_more(const CudaEngine *engine)
{
    return engine->pending != NULL || engine->round != NULL || engine->n_wanted > 0;
}

/* What open() took because nothing was known, and had not the time to measure. */
static int has_first_choices(const CudaEngine *engine)
{
    const CudaConvs *convs = &engine->shared.convs;

    if (engine->params.autotune != GPUDL_AUTOTUNE_CACHED || convs->measured)
        return 0;
    for (const CudaConv *conv = convs->first; conv != NULL; conv = conv->next)
        if (conv->chosen && conv->ns <= 0)
            return 1;
    return 0;
}

/* Batch sizes that are measured once those that are wanted are there. */
static uint32_t n_later(const CudaEngine *engine)
{
    const uint32_t under_way = engine->pending != NULL || engine->round != NULL;

    return has_first_choices(engine) ? engine->n_buckets + engine->n_wanted + under_way : 0;
}

/* All that idle() does are batch sizes; the round in the graph takes about a fifth of one. */
static void tell(const CudaEngine *engine)
{
    const GpudlHost *host = engine->shared.host;
    const double under_way = engine->pending != NULL ? 1 - 0.8 * cuda_tuning_done(engine->pending->tuning)
                             : engine->round != NULL ? 0.2
                                                     : 0;
    const uint32_t later = n_later(engine);
    const double left = engine->n_wanted + under_way + later;

    if (engine->n_wanted_ever > 0)
        host->progress(host->host, 1 - left / (engine->n_wanted_ever + later), "choosing for further batches");
}

/* From now on choices are measured, and kept, as if tuning were asked for. Those of programs that run stay as they
 * are. */
static void begin_measuring(CudaEngine *engine)
{
    CudaConvs *convs = &engine->shared.convs;

    engine->first_choices = (CudaConvs){.first = convs->first, .device = convs->device, .host = convs->host};
    convs->first = NULL;
    convs->measured = 1;
    engine->shared.tries_branches = 1;
    for (uint32_t i = 0; i < engine->n_buckets; i++)
        engine->wanted[engine->n_wanted++] = (uint32_t)engine->buckets[i].program->plan->batch;
    engine->n_wanted_ever += engine->n_wanted;
}

/* One that can't be made is left out. */
GpudlStatus cuda_idle(void *data, uint64_t budget_ns, int *more, GpudlFault *fault)
{
    CudaEngine *engine = data;
    const GpudlHost *host = engine->shared.host;
    GpudlStatus status = GPUDL_STATUS_OK;

    *more = GPUDL_IDLE_MORE;
    if (!has_more(engine) && has_first_choices(engine))
        begin_measuring(engine);
    if (has_more(engine)) {
        cuda_enter(engine->shared.device);
        status = advance(engine, gpudl_module_now_ns() + budget_ns, more, fault);
        if (status != GPUDL_STATUS_OK)
            cuda_idle_end(engine);
        tell(engine);
        cuda_leave(engine->shared.device);
    }
    if (status != GPUDL_STATUS_OK && status != GPUDL_STATUS_DEVICE) {
        if (!host->closing(host->host))
            host->log(host->host, GPUDL_LOG_WARNING, fault->message);
        status = GPUDL_STATUS_OK;
    }
    if (!has_more(engine) && !has_first_choices(engine))
        *more = GPUDL_IDLE_DONE;
    return status;
}

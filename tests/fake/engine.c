/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Engines: what they are, their lives, and what is done between executions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/preproc.h"
#include "tests/fake/fake-module.h"

/* ---- parameters -------------------------------------------------------------------------------------------------- */

GpudlEngineInfo fake_info_locked(const GpudlOpenParams *params)
{
    GpudlEngineInfo info = {
        .n_slots = FAKE_ASYNC ? fake.is.n_slots : params->threads,
        .max_batch = params->batch_size + fake.is.more_frames,
        .depth = fake.is.depth,
        .precision = params->precision,
        .weight_bytes = fake.is.weight_bytes,
        .work_bytes = fake.is.work_bytes,
        .run_time_ns = fake.is.run_time_ns,
        .memory_kinds = fake.is.memory_kinds,
        .device_name = "fake",
    };

    for (uint32_t i = 0; i < fake.is.n_buckets && fake.is.buckets[i] <= info.max_batch; i++) {
        info.buckets[i] = fake.is.buckets[i];
        info.bucket_ns[i] = fake.is.bucket_ns[i];
        info.n_buckets++;
    }
    return info;
}

static GpudlStatus resolve_locked(GpudlOpenParams *params, GpudlFault *fault)
{
    if (fake.does.resolve_status != GPUDL_STATUS_OK)
        return fake_fail(fault, fake.does.resolve_status, "asked to refuse");
    if (params->batch_size > fake.is.max_batch)
        return fake_fail(fault, GPUDL_STATUS_UNSUPPORTED, "batches of %u, the fake can do up to %u", params->batch_size,
                         fake.is.max_batch);
    if (params->precision == GPUDL_PRECISION_AUTO)
        params->precision = FAKE_ASYNC ? GPUDL_PRECISION_FP16 : GPUDL_PRECISION_FP32;
    if (params->batch_size == 0)
        params->batch_size = fake.is.max_batch;
    if (!fake.is.limit_matters)
        params->memory_limit = 0;
    if (FAKE_ASYNC) {
        params->threads = 0;
        return GPUDL_STATUS_OK;
    }
    if (params->threads == 0)
        params->threads = fake.is.n_slots;
    params->deterministic = 0; /* it always is */
    params->autotune = 0;
    params->priority = 0;
    return GPUDL_STATUS_OK;
}

GpudlStatus fake_resolve(void *device, GpudlOpenParams *params, GpudlFault *fault)
{
    GpudlStatus status;

    pthread_mutex_lock(&fake.lock);
    fake.seen.resolves++;
    pthread_cond_broadcast(&fake.changed);
    status = resolve_locked(params, fault);
    pthread_mutex_unlock(&fake.lock);
    return status;
}

/* ---- constants and tuning ---------------------------------------------------------------------------------------- */

/* Reads all constants, which are to be held. */
static uint64_t sum_constants(const GpudlPlan *plan)
{
    uint64_t sum = 1469598103934665603u;

    for (uint32_t i = 0; i < plan->n_tensors; i++) {
        const GpudlPlanTensor *tensor = &plan->tensors[i];

        if (tensor->kind != GPUDL_PLAN_CONSTANT || tensor->bytes == 0)
            continue;
        if (!tensor->data || (uintptr_t)tensor->data % 64 != 0)
            fake_violation("constant \"%s\" is at %p while constants are held", tensor->name, tensor->data);
        for (uint64_t at = 0; at < tensor->bytes; at++)
            sum = (sum ^ ((const uint8_t *)tensor->data)[at]) * 1099511628211u;
    }
    return sum;
}

static void check_constants(const FakeEngine *engine)
{
    GpudlFault fault = {""};

    if (engine->host->hold_constants(engine->host->host, &fault) != GPUDL_STATUS_OK)
        return; /* the model's file has changed */
    if (sum_constants(engine->plan) != engine->constants)
        fake_violation("constants that are held again are not what they were in open()");
    engine->host->release_constants(engine->host->host);
}

/* What a module does in the background: compiles for other batches, measures, tells. */
static void *tune(void *data)
{
    FakeEngine *engine = data;
    const GpudlHost *host = engine->host;

    for (uint32_t round = 0; !host->closing(host->host); round++) {
        GpudlEngineInfo info = engine->info;
        GpudlFault fault = {""};
        const GpudlPlan *plan = host->plan(host->host, round % 8 + 1, &fault);

        if (plan && (plan->batch != (int64_t)(round % 8 + 1) || plan->n_nodes != engine->plan->n_nodes))
            fake_violation("the plan of batch %u is another network's", round % 8 + 1);
        check_constants(engine);
        if (host->cancelled(host->host))
            fake_violation("cancelled() after open()");
        info.run_time_ns += round % 2;
        for (uint32_t i = 0; i < info.n_buckets; i++)
            info.bucket_ns[i] = round % 3 ? 1000 * (i + round % 3) : 0;
        host->changed(host->host, &info);
        pthread_mutex_lock(&fake.lock);
        fake.seen.changes++;
        pthread_cond_broadcast(&fake.changed);
        pthread_mutex_unlock(&fake.lock);
        usleep(300);
    }
    return NULL;
}

/* ---- open and close ---------------------------------------------------------------------------------------------- */

static GpudlStatus read_heads(FakeEngine *engine, GpudlFault *fault)
{
    const GpudlPlan *plan = engine->plan;

    if (plan->n_outputs > FAKE_MAX_HEADS)
        return fake_fail(fault, GPUDL_STATUS_UNSUPPORTED, "%u outputs, the fake has %d", plan->n_outputs,
                         FAKE_MAX_HEADS);
    engine->n_heads = plan->n_outputs;
    for (uint32_t i = 0; i < plan->n_outputs; i++)
        engine->n_classes[i] = (uint32_t)gpudl_shape_elements(&plan->tensors[plan->outputs[i]].shape);
    engine->n_values =
        (uint32_t)(engine->params.input_channels * engine->params.input_height * engine->params.input_width);
    return GPUDL_STATUS_OK;
}

/* Takes open_us; FALSE if it was given up. */
static int take_time(const GpudlHost *host, uint32_t us)
{
    const uint64_t begin = fake_now(), length = (uint64_t)us * 1000;

    for (uint64_t now = begin; now - begin < length && !host->cancelled(host->host); now = fake_now()) {
        host->progress(host->host, (double)(now - begin) / (double)length, "taking time");
        usleep(1000);
    }
    if (length > 0)
        host->progress(host->host, 1.5, "taking time"); /* the host makes it 1 */
    return !host->cancelled(host->host);
}

static void check_open_locked(const FakeDevice *device, const GpudlOpenParams *params)
{
    if (!device != !fake.table->device_open)
        fake_violation("open() %s a device", device ? "with" : "without");
    if (params->precision == GPUDL_PRECISION_AUTO || params->batch_size == 0 || (!FAKE_ASYNC && params->threads == 0))
        fake_violation("open() with parameters that are not resolved");
    fake_check_context_locked(device, "open()");
    fake.seen.last_open = *params;
    fake.seen.last_device = device ? device->id : -1;
    snprintf(fake.seen.last_cache_dir, sizeof fake.seen.last_cache_dir, "%s",
             params->cache_dir ? params->cache_dir : "");
    fake.seen.last_open.cache_dir = params->cache_dir ? fake.seen.last_cache_dir : NULL;
}

static GpudlStatus fate_of_open_locked(const GpudlOpenParams *params, GpudlFault *fault)
{
    const uint64_t bytes = fake.is.weight_bytes + fake.is.work_bytes;

    if (fake.does.open_status != GPUDL_STATUS_OK)
        return fake_fail(fault, fake.does.open_status, "asked to refuse");
    if (params->memory_limit != 0 && params->memory_limit < bytes)
        return fake_fail(fault, GPUDL_STATUS_NO_MEMORY, "needs %llu bytes, %llu are allowed", (unsigned long long)bytes,
                         (unsigned long long)params->memory_limit);
    return GPUDL_STATUS_OK;
}

static GpudlStatus begin_engine(FakeEngine *engine, GpudlFault *fault)
{
    if (pthread_create(&engine->reader, NULL, fake_read_frames, engine) != 0)
        return fake_fail(fault, GPUDL_STATUS_NO_MEMORY, "no thread for the device");
    engine->has_tuner = (int)fake.is.tunes;
    if (engine->has_tuner && pthread_create(&engine->tuner, NULL, tune, engine) != 0)
        fake_violation("no thread for the tuner");
    engine->next = fake_engines;
    fake_engines = engine;
    if (engine->device)
        engine->device->n_engines++;
    fake.seen.opens++;
    fake.seen.engines++;
    pthread_cond_broadcast(&fake.changed);
    return GPUDL_STATUS_OK;
}

static void *tell_early(void *data)
{
    FakeEngine *engine = data;
    GpudlEngineInfo info = engine->info;

    info.run_time_ns = fake.is.early_run_time_ns;
    engine->host->changed(engine->host->host, &info);
    return NULL;
}

static void change_early(FakeEngine *engine)
{
    pthread_t thread;

    if (fake.is.early_run_time_ns == 0)
        return;
    if (pthread_create(&thread, NULL, tell_early, engine) != 0)
        fake_violation("no thread for an early change");
    pthread_join(thread, NULL);
}

GpudlStatus fake_open(void *device, const GpudlHost *host, const GpudlOpenParams *params, void **result,
                      GpudlEngineInfo *info, GpudlFault *fault)
{
    FakeEngine *engine;
    GpudlStatus status;
    int cancelled;
    uint32_t us, quiet;

    pthread_mutex_lock(&fake.lock);
    check_open_locked(device, params);
    us = fake.is.open_us;
    quiet = fake.is.quiet;
    fake.seen.loads++;
    fake.seen.loading++;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    cancelled = !take_time(host, us);
    pthread_mutex_lock(&fake.lock);
    fake.seen.loading--;
    status = cancelled ? fake_fail(fault, GPUDL_STATUS_FAILED, "cancelled") : fate_of_open_locked(params, fault);
    pthread_mutex_unlock(&fake.lock);
    if (status != GPUDL_STATUS_OK)
        return status;

    engine = calloc(1, sizeof *engine);
    engine->device = device;
    engine->host = host;
    engine->params = *params;
    engine->params.cache_dir = NULL;
    engine->plan = host->plan(host->host, 1, fault);
    status = engine->plan ? read_heads(engine, fault) : GPUDL_STATUS_UNSUPPORTED;
    if (status == GPUDL_STATUS_OK) {
        engine->constants = sum_constants(engine->plan);
        if (!quiet)
            host->log(host->host, GPUDL_LOG_DEBUG, "open");
        pthread_mutex_lock(&fake.lock);
        *info = engine->info = fake_info_locked(params);
        if (info->n_slots > FAKE_MAX_SLOTS)
            status = fake_fail(fault, GPUDL_STATUS_UNSUPPORTED, "%u slots, the fake has up to %d", info->n_slots,
                               FAKE_MAX_SLOTS);
        else
            status = begin_engine(engine, fault);
        pthread_mutex_unlock(&fake.lock);
    }
    if (status != GPUDL_STATUS_OK) {
        free(engine);
        return status;
    }
    change_early(engine);
    *result = engine;
    return GPUDL_STATUS_OK;
}

/* Which it names are the last ones. */
GpudlStatus fake_forecast(void *device, const GpudlHost *host, const GpudlOpenParams *params,
                          GpudlOpenForecast *forecast, GpudlFault *fault)
{
    const GpudlPlan *plan = host->plan(host->host, 1, fault);
    GpudlStatus status;
    uint32_t us;

    if (!plan)
        return GPUDL_STATUS_UNSUPPORTED;
    sum_constants(plan);
    pthread_mutex_lock(&fake.lock);
    check_open_locked(device, params);
    us = fake.does.forecast_us;
    fake.seen.forecasts++;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    if (!take_time(host, us))
        return fake_fail(fault, GPUDL_STATUS_FAILED, "cancelled");
    pthread_mutex_lock(&fake.lock);
    status = fake.does.forecast_status;
    forecast->n_choices = fake.is.n_choices;
    forecast->n_known = fake.is.n_known;
    forecast->weight_bytes = fake.is.weight_bytes;
    forecast->work_bytes = fake.is.work_bytes;
    snprintf(forecast->not_kept, sizeof forecast->not_kept, "%s", fake.is.not_kept);
    pthread_mutex_unlock(&fake.lock);
    for (uint32_t i = forecast->n_known; i < forecast->n_choices; i++) {
        char name[32];

        snprintf(name, sizeof name, "choice %u", i);
        host->missing(host->host, name);
    }
    return status == GPUDL_STATUS_OK ? status : fake_fail(fault, status, "asked to foresee nothing");
}

static void check_close_locked(const FakeEngine *engine)
{
    if (engine->closed)
        fake_violation("close() of a closed engine");
    if (engine->lost)
        fake_violation("close() after wait() has said TIMEOUT");
    if (engine->n_calls > 0 || engine->idling)
        fake_violation("close() beside another call");
    for (uint32_t i = 0; i < engine->info.n_slots; i++)
        if (engine->slots[i].state != FAKE_SLOT_FREE)
            fake_violation("close() with slot %u under way", i);
    if (engine->n_tickets > 0)
        fake_violation("close() with %u tickets alive", engine->n_tickets);
    fake_check_context_locked(engine->device, "close()");
}

void fake_close(void *data)
{
    FakeEngine *engine = data;
    FakeEngine **link = &fake_engines;

    /* without the lock: the host may take its own */
    if (!engine->host->closing(engine->host->host))
        fake_violation("close() while closing() says that it is not about to come");
    pthread_mutex_lock(&fake.lock);
    check_close_locked(engine);
    engine->closed = engine->stop = 1;
    while (*link != engine)
        link = &(*link)->next;
    *link = engine->next;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    pthread_join(engine->reader, NULL);
    if (engine->has_tuner)
        pthread_join(engine->tuner, NULL);
    pthread_mutex_lock(&fake.lock);
    if (engine->device)
        engine->device->n_engines--;
    fake.seen.closes++;
    fake.seen.abandoned -= (uint32_t)engine->abandoned; /* it has come back in time */
    fake.seen.engines--;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    free(engine->rows);
    free(engine);
}

/* ---- between executions ------------------------------------------------------------------------------------------ */

static void begin_idle_locked(FakeEngine *engine)
{
    if (engine->closed || engine->lost)
        fake_violation("idle() after close() or TIMEOUT");
    if (engine->idling || engine->n_calls > 0)
        fake_violation("idle() beside another call");
    if (engine->idle_is_over)
        fake_violation("idle() after it has said that nothing is left to do");
    if (engine->dead && !engine->dead_by_stage)
        fake_violation("idle() after DEVICE");
    engine->dead_by_stage = 0;
    for (uint32_t i = 0; i < engine->info.n_slots; i++)
        if (engine->slots[i].state != FAKE_SLOT_FREE)
            fake_violation("idle() with slot %u under way", i);
    if (engine->has_submitter && !pthread_equal(engine->submitter, pthread_self()))
        fake_violation("idle() on another thread than submit()");
    engine->has_submitter = 1;
    engine->submitter = pthread_self();
    fake_check_context_locked(engine->device, "idle()");
    engine->idling = 1;
    fake.seen.idles++;
    fake.seen.idling++;
}

GpudlStatus fake_idle(void *data, uint64_t budget_ns, int *more, GpudlFault *fault)
{
    FakeEngine *engine = data;
    GpudlStatus status;
    uint32_t number, tells;
    uint64_t until;

    pthread_mutex_lock(&fake.lock);
    begin_idle_locked(engine);
    number = fake.seen.idles;
    tells = fake.does.idle_tells;
    pthread_mutex_unlock(&fake.lock);
    check_constants(engine);
    if (tells > 0)
        engine->host->progress(engine->host->host, (double)number / tells, "idling");
    pthread_mutex_lock(&fake.lock);
    if (fake.does.hang_idle) {
        fake_begin_hang_locked(engine);
        while (fake.does.hang_idle)
            fake_sleep_locked(0);
        fake.seen.stuck--;
    }
    if (fake.does.idle_busy) {
        pthread_cond_broadcast(&fake.changed);
        pthread_mutex_unlock(&fake.lock);
        while (!engine->host->waiting(engine->host->host))
            usleep(100);
        pthread_mutex_lock(&fake.lock);
    }
    until = fake_now() + (uint64_t)fake.does.idle_us * 1000;
    while (fake_now() < until)
        fake_sleep_locked(until);
    *more = fake.does.idle_rounds == 0 ? GPUDL_IDLE_DONE : fake.does.idle_later ? GPUDL_IDLE_LATER : GPUDL_IDLE_MORE;
    if (fake.does.idle_rounds > 0)
        fake.does.idle_rounds--;
    engine->idle_is_over = *more == GPUDL_IDLE_DONE;
    status = engine->dead ? GPUDL_STATUS_DEVICE : fake.does.idle_status;
    if (status == GPUDL_STATUS_DEVICE)
        fake_die_locked(engine, NULL);
    if (status != GPUDL_STATUS_OK)
        fake_fail(fault, status, "asked to fail while idle");
    engine->idling = 0;
    fake.seen.idling--;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    return status;
}

static FakeSlot *take_slot(FakeEngine *engine, uint32_t slot, const char *what)
{
    FakeSlot *s;

    pthread_mutex_lock(&fake.lock);
    s = fake_check_slot_locked(engine, slot, FAKE_SLOT_FREE, what);
    if (engine->dead && s->late)
        fake_violation("%s after DEVICE", what);
    s->state = FAKE_SLOT_TAKEN;
    engine->n_calls++;
    pthread_mutex_unlock(&fake.lock);
    return s;
}

static void give_slot(FakeEngine *engine, FakeSlot *slot)
{
    pthread_mutex_lock(&fake.lock);
    slot->state = FAKE_SLOT_FREE;
    engine->n_calls--;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

GpudlStatus fake_profile(void *data, uint32_t slot, int64_t batch, uint32_t runs, const GpudlProfileRow **rows,
                         uint32_t *n_rows, GpudlFault *fault)
{
    FakeEngine *engine = data;
    FakeSlot *s = take_slot(engine, slot, "profile()");
    const uint32_t n = engine->plan->n_nodes;
    GpudlStatus status;

    if (batch < 1 || runs < 1)
        fake_violation("profile() of batch %lld in %u runs", (long long)batch, runs);
    usleep(1000);
    pthread_mutex_lock(&fake.lock);
    fake.seen.profiles++;
    status = batch > engine->info.max_batch ? GPUDL_STATUS_INVALID_ARGUMENT : fake.does.profile_status;
    free(engine->rows);
    engine->rows = calloc(n, sizeof *engine->rows);
    for (uint32_t i = 0; i < n; i++)
        engine->rows[i] = (GpudlProfileRow){.node = (int32_t)i,
                                            .last_node = (int32_t)i,
                                            .implementation = "fake",
                                            .ns = 1000 * (i + 1) * (uint64_t)batch,
                                            .bytes = 64 * (i + 1),
                                            .flops = 32 * (i + 1)};
    if (fake.does.wrong_rows == 1)
        engine->rows[n - 1].last_node = (int32_t)n;
    else if (fake.does.wrong_rows == 2)
        engine->rows[n - 1].last_node = (int32_t)n - 2;
    else if (fake.does.wrong_rows == 3)
        engine->rows[0].node = -1;
    if (status == GPUDL_STATUS_DEVICE)
        fake_die_locked(engine, FAKE_ASYNC ? NULL : s);
    pthread_mutex_unlock(&fake.lock);
    *rows = engine->rows;
    *n_rows = n;
    give_slot(engine, s);
    return status == GPUDL_STATUS_OK ? status : fake_fail(fault, status, "asked to time nothing");
}

/* A network of one input and outputs of its size, as networks that only reshape have. */
GpudlStatus fake_run_tensors(void *data, uint32_t slot, int64_t batch, const void *const *inputs, void *const *outputs,
                             GpudlFault *fault)
{
    FakeEngine *engine = data;
    const GpudlPlan *plan = engine->plan;
    FakeSlot *s = take_slot(engine, slot, "run_tensors()");
    const GpudlPlanTensor *input = &plan->tensors[plan->inputs[0]];
    GpudlStatus status = GPUDL_STATUS_OK;

    for (uint32_t i = 0; i < plan->n_outputs && status == GPUDL_STATUS_OK; i++) {
        const GpudlPlanTensor *output = &plan->tensors[plan->outputs[i]];

        if (plan->n_inputs != 1 || output->bytes != input->bytes)
            status = fake_fail(fault, GPUDL_STATUS_UNSUPPORTED, "the fake computes no network");
        else
            memcpy(outputs[i], inputs[0], (size_t)batch * input->bytes);
    }
    give_slot(engine, s);
    return status;
}

GpudlStatus fake_run_preproc(void *data, uint32_t slot, const GpudlFrame *frame, const GpudlPreproc *preproc,
                             float *dst, GpudlFault *fault)
{
    FakeEngine *engine = data;
    FakeSlot *s = take_slot(engine, slot, "run_preproc()");
    int bad = gpudl_preproc_ref(frame, preproc, dst);

    give_slot(engine, s);
    return bad ? fake_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "the frame is out of range") : GPUDL_STATUS_OK;
}

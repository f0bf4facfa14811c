/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/interface.h"
#include "tests/fake/fake-module.h"

static void reset(void);
static void change(void);

/* Everything that the fake can. */
static const GpudlBackend whole_table = {
    .abi_version = GPUDL_BACKEND_ABI,
    .interface = GPUDL_BACKEND_INTERFACE,
    .name = FAKE_ASYNC ? "cuda" : "cpu",
    .flags = FAKE_ASYNC ? GPUDL_BACKEND_ASYNC : 0,
    .precisions = 1u << GPUDL_PRECISION_FP32 | 1u << GPUDL_PRECISION_FP16 | 1u << GPUDL_PRECISION_BF16,
    .probe = fake_probe,
    .devices = fake_list_devices,
    .device_open = fake_device_open,
    .device_close = fake_device_close,
    .host_alloc = fake_host_alloc,
    .host_free = fake_host_free,
    .resolve = fake_resolve,
    .forecast = fake_forecast,
    .open = fake_open,
    .close = fake_close,
    .stage = fake_stage,
    .unstage = fake_unstage,
    .ticket_free = fake_ticket_free,
    .submit = fake_submit,
    .wait = fake_wait,
    .idle = fake_idle,
    .profile = fake_profile,
    .run_tensors = fake_run_tensors,
    .run_preproc = fake_run_preproc,
};

static GpudlBackend table;
static uint64_t random_state;

Fake fake = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .table = &table,
    .whole = &whole_table,
    .interface = GPUDL_BACKEND_INTERFACE,
    .reset = reset,
    .change = change,
};
FakeEngine *fake_engines;

/* ---- what the other files use ------------------------------------------------------------------------------------ */

void fake_violation(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "fake backend '%s': the host breaks the contract: ", whole_table.name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

GpudlStatus fake_fail(GpudlFault *fault, GpudlStatus status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(fault->message, sizeof fault->message, format, args);
    va_end(args);
    return status;
}

uint64_t fake_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void fake_sleep_locked(uint64_t until_ns)
{
    struct timespec until = {(time_t)(until_ns / 1000000000), (long)(until_ns % 1000000000)};

    if (until_ns == 0)
        pthread_cond_wait(&fake.changed, &fake.lock);
    else
        pthread_cond_timedwait(&fake.changed, &fake.lock, &until);
}

void fake_abandon_locked(FakeEngine *engine)
{
    if (!engine->abandoned)
        fake.seen.abandoned++;
    engine->abandoned = 1;
}

void fake_begin_hang_locked(FakeEngine *engine)
{
    fake_abandon_locked(engine);
    fake.seen.stuck++;
    pthread_cond_broadcast(&fake.changed);
}

int fake_chance_locked(uint32_t ppm)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % 1000000 < ppm;
}

/* ---- control ----------------------------------------------------------------------------------------------------- */

static void set_defaults(void)
{
    fake.is = (FakeNature){
        .n_devices = 1,
        .n_slots = 2,
        .max_batch = FAKE_ASYNC ? 4 : 1,
        .run_time_ns = 10 * 1000 * 1000,
        .weight_bytes = 400,
        .work_bytes = 600,
        .memory_kinds = FAKE_ASYNC ? 1u << GPUDL_MEMORY_HOST | 1u << GPUDL_MEMORY_CUDA | 1u << GPUDL_MEMORY_HOST_PINNED
                                   : 1u << GPUDL_MEMORY_HOST,
    };
    memset(&fake.does, 0, sizeof fake.does);
    fake.does.fail_status = GPUDL_STATUS_FAILED;
    fake.does.idle_status = fake.does.probe_status = GPUDL_STATUS_OK;
    memset(&fake.seen, 0, sizeof fake.seen);
    for (int32_t i = 0; i < FAKE_MAX_DEVICES; i++)
        fake.primary[i] = (FakeContext){.device = i, .alive = 1};
    fake.interface = whole_table.interface;
    random_state = 88172645463325252u;
    table = whole_table;
    if (!FAKE_ASYNC) {
        table.device_open = NULL;
        table.device_close = NULL;
        table.host_alloc = NULL;
        table.host_free = NULL;
        table.stage = NULL;
        table.unstage = NULL;
        table.ticket_free = NULL;
        table.idle = NULL;
        table.forecast = NULL; /* nothing to tune */
    }
}

static void reset(void)
{
    uint32_t engines, tickets, devices;

    pthread_mutex_lock(&fake.lock);
    engines = fake.seen.engines - fake.seen.abandoned;
    devices = fake.seen.devices;
    tickets = fake.seen.tickets;
    /* what an abandoned engine knows stays as long as the process */
    if (engines > 0 || (fake.seen.abandoned == 0 && (devices > 0 || tickets > 0 || fake.seen.blocks > 0)))
        fake_violation("reset with %u engines, %u devices, %u tickets and %u blocks of memory alive", engines, devices,
                       tickets, fake.seen.blocks);
    set_defaults();
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

/* changed() takes locks of the host, under which the module is never called: one engine after the other, the lock let
 * go. The caller sees to it that none of them is closed meanwhile. */
static void change(void)
{
    const GpudlHost *hosts[64];
    GpudlEngineInfo infos[64];
    uint32_t n = 0;

    pthread_mutex_lock(&fake.lock);
    for (FakeEngine *engine = fake_engines; engine && n < 64; engine = engine->next) {
        if (engine->abandoned)
            continue;
        infos[n] = fake_info_locked(&engine->params);
        hosts[n++] = engine->host;
    }
    fake.seen.changes += n;
    pthread_mutex_unlock(&fake.lock);
    for (uint32_t i = 0; i < n; i++)
        hosts[i]->changed(hosts[i]->host, &infos[i]);
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

static void init_changed(void)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&fake.changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* The parent's engines and devices are not this process' any more, nor are the threads that wait or hold the lock. It
 * is not taken before fork(): the host takes its own there, in no order with it. */
static void in_child(void)
{
    pthread_mutex_init(&fake.lock, NULL);
    init_changed();
    fake_engines = NULL;
    fake.seen.engines = fake.seen.devices = fake.seen.tickets = fake.seen.blocks = 0;
    fake.seen.staged = fake.seen.running = fake.seen.under_way = fake.seen.stuck = fake.seen.idling = 0;
    fake.seen.opening = fake.seen.probing = fake.seen.loading = 0;
}

__attribute__((constructor)) static void set_up(void)
{
    init_changed();
    pthread_atfork(NULL, NULL, in_child);
    set_defaults();
}

/* ---- symbols ----------------------------------------------------------------------------------------------------- */

__attribute__((visibility("default"))) Fake *gpudl_fake_entry(void);
__attribute__((visibility("default"))) const GpudlBackend *gpudl_backend_entry(uint32_t abi_version,
                                                                               const char *interface);

Fake *gpudl_fake_entry(void)
{
    return &fake;
}

const GpudlBackend *gpudl_backend_entry(uint32_t abi_version, const char *interface)
{
    return abi_version == GPUDL_BACKEND_ABI && strcmp(interface, fake.interface) == 0 ? &table : NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Inside of the fake module: what module.c (table and control), device.c, engine.c and ticket.c share. All state is
 * under fake.lock; functions called _locked want it held. */
#ifndef TESTS_FAKE_MODULE_H
#define TESTS_FAKE_MODULE_H

#include "tests/fake/fake.h"

#define FAKE_MAX_SLOTS 64
#define FAKE_MAX_HEADS 16

typedef struct FakeBlock FakeBlock;
typedef struct FakeDevice FakeDevice;
typedef struct FakeEngine FakeEngine;
typedef struct FakeTicket FakeTicket;

struct FakeDevice {
    int32_t id;
    FakeContext *context;
    uint32_t n_engines;
    FakeBlock *blocks; /* alive */
};

struct FakeTicket {
    uint32_t magic;
    FakeEngine *engine;
    int staged;
    int under_way; /* in a slot that has not been waited for */
    int has_frame;
    GpudlFrame frame; /* planes: the copy's, or of memory that the device reads itself */
    uint8_t *pixels;  /* the copy */
    size_t room;
    float *values; /* the copy */
};

typedef enum {
    FAKE_SLOT_FREE = 0,
    FAKE_SLOT_SUBMITTING, /* submit() is under way; the device may read already */
    FAKE_SLOT_UNDER_WAY,
    FAKE_SLOT_WAITING, /* wait() is under way */
    FAKE_SLOT_LOST,    /* wait() said TIMEOUT */
    FAKE_SLOT_TAKEN    /* profile() or run_*() */
} FakeSlotState;

typedef struct {
    FakeSlotState state;
    const GpudlJob *jobs;
    uint32_t n;
    uint64_t number;  /* counts submissions of the engine */
    uint64_t ends_ns; /* of the clock */
    int hangs, dies;
    GpudlStatus fails;
    int late; /* its thread knows that DEVICE has been said: no more submit() */
} FakeSlot;

struct FakeEngine {
    FakeEngine *next;
    FakeDevice *device;
    const GpudlHost *host;
    const GpudlPlan *plan;
    GpudlOpenParams params;
    GpudlEngineInfo info;
    uint32_t n_heads, n_classes[FAKE_MAX_HEADS], n_values;
    uint64_t constants; /* sum of them, as of open() */

    FakeSlot slots[FAKE_MAX_SLOTS];
    uint64_t n_submitted, n_waited;
    uint32_t n_tickets;
    uint32_t n_calls; /* of submit(), wait(), profile() and run_*() that are under way */
    int submitting, waiting, idling, idle_is_over;
    int dead;          /* DEVICE has been said */
    int dead_by_stage; /* ... to who may be any thread, so that one idle() may have begun */
    int lost;          /* a slot is lost: nothing but unstage() and ticket_free() may come */
    uint64_t lost_ns;  /* since when */
    int closed;
    int abandoned;                                 /* counted in fake.seen */
    pthread_t submitter, completer, reader, tuner; /* the first two: the host's, from the first call on */
    int has_submitter, has_completer, has_tuner, stop;
    GpudlProfileRow *rows;
};

extern Fake fake;
extern FakeEngine *fake_engines; /* alive or abandoned */

/** Says what the host did wrong, and ends the process. */
void fake_violation(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
GpudlStatus fake_fail(GpudlFault *fault, GpudlStatus status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
uint64_t fake_now(void);
/** Waits for a change, at most until a point of fake_now(); 0: for ever. */
void fake_sleep_locked(uint64_t until_ns);
/** The engine will not be closed, unless what hangs comes back in time. */
void fake_abandon_locked(FakeEngine *engine);
/** A call hangs from now on. */
void fake_begin_hang_locked(FakeEngine *engine);
/** TRUE that often of a million. */
int fake_chance_locked(uint32_t ppm);

/* device.c */
GpudlStatus fake_probe(int32_t device_id, GpudlFault *fault);
GpudlStatus fake_list_devices(GpudlBackendDevice *out, uint32_t room, uint32_t *n, GpudlFault *fault);
GpudlStatus fake_device_open(GpudlDeviceParams *params, void **device, GpudlFault *fault);
void fake_device_close(void *device);
GpudlStatus fake_host_alloc(void *device, uint64_t bytes, uint64_t align, void **data, GpudlFault *fault);
void fake_host_free(void *device, void *data);
/** Does the whole range lie in a block of the device that is alive? */
int fake_is_pinned_locked(const FakeDevice *device, const void *data, size_t bytes);
void fake_check_context_locked(const FakeDevice *device, const char *what);

/* ticket.c */
GpudlStatus fake_stage(void *engine, void **ticket, const GpudlFrame *frame, const float *values, GpudlFault *fault);
void fake_unstage(void *engine, void *ticket);
void fake_ticket_free(void *engine, void *ticket);
/** Checks what a job brings along, and says that it is under way. */
void fake_check_job_locked(FakeEngine *engine, const GpudlJob *job);
/** Where the device reads the job's frame or values. */
const GpudlFrame *fake_frame_of(const GpudlJob *job);
const float *fake_values_of(const GpudlJob *job);
/** Reads of the job's pixels or values what a device would at least: the ends of each row. */
void fake_read_job_locked(const FakeEngine *engine, const GpudlJob *job);

/* engine.c */
GpudlStatus fake_resolve(void *device, GpudlOpenParams *params, GpudlFault *fault);
GpudlStatus fake_open(void *device, const GpudlHost *host, const GpudlOpenParams *params, void **engine,
                      GpudlEngineInfo *info, GpudlFault *fault);
GpudlStatus fake_forecast(void *device, const GpudlHost *host, const GpudlOpenParams *params,
                          GpudlOpenForecast *forecast, GpudlFault *fault);
void fake_close(void *engine);
GpudlStatus fake_idle(void *engine, uint64_t budget_ns, int *more, GpudlFault *fault);
GpudlStatus fake_profile(void *engine, uint32_t slot, int64_t batch, uint32_t runs, const GpudlProfileRow **rows,
                         uint32_t *n_rows, GpudlFault *fault);
GpudlStatus fake_run_tensors(void *engine, uint32_t slot, int64_t batch, const void *const *inputs,
                             void *const *outputs, GpudlFault *fault);
GpudlStatus fake_run_preproc(void *engine, uint32_t slot, const GpudlFrame *frame, const GpudlPreproc *preproc,
                             float *dst, GpudlFault *fault);
/** What fake.is says, for an engine of these parameters. */
GpudlEngineInfo fake_info_locked(const GpudlOpenParams *params);

/* execution.c */
/** Ends the process if the slot is not there, or not in this state, or idle() is under way. */
FakeSlot *fake_check_slot_locked(FakeEngine *engine, uint32_t slot, FakeSlotState state, const char *what);
/** DEVICE is said to who submits: to this slot, NULL: to all. */
void fake_die_locked(FakeEngine *engine, FakeSlot *slot);
GpudlStatus fake_submit(void *engine, uint32_t slot, const GpudlJob *jobs, uint32_t n, GpudlFault *fault);
GpudlStatus fake_wait(void *engine, uint32_t slot, uint64_t timeout_ns, GpudlFault *fault);
/** The device's thread: reads the frames of all slots that are under way, over and over. */
void *fake_read_frames(void *engine);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A backend module that computes next to nothing and does what a test tells it: slow, in another order, late, wrong,
 * dead or hung. Built twice: "cpu" is synchronous, "cuda" asynchronous with a thread that reads frames as a device
 * does, until they have been waited for. It ends the process with a message when the host breaks the contract of
 * engine/backend.h.
 *
 * Answers. Values: score i of head h is value i + h (round the end of the input). Frames: the first byte of the first
 * plane, read by stage() for frames in host memory and otherwise when the frame runs: class (byte + h) % n_classes has
 * score 1, the next ones fall by 1 / n_classes each. Activations are ignored.
 *
 * values[0] of a job without a frame steers its execution: FAKE_FAILS, FAKE_DIES, FAKE_HANGS, else the microseconds it
 * takes at least.
 */
#ifndef TESTS_FAKE_H
#define TESTS_FAKE_H

#include <pthread.h>

#include "engine/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The module's symbol beside the backend's: a FakeEntry. */
#define FAKE_ENTRY "gpudl_fake_entry"
#define FAKE_MAX_DEVICES 12
#define FAKE_N_SIZES 256

#define FAKE_FAILS 1000000.f
#define FAKE_DIES 2000000.f
#define FAKE_HANGS 3000000.f

/** What a GpudlDeviceParams.context points to. It has to live until device_close(). */
typedef struct {
    int32_t device;
    uint32_t alive; /* 0: using it ends the process */
} FakeContext;

/** What a GpudlFrame.cuda_stream points to. While it is pending, an execution of the frame does not end; whoever
 * changes it tells with fake_unlock(). */
typedef struct {
    uint32_t pending;
} FakeStream;

/** What the device and its engines are like. Read by probe(), devices(), device_open(), resolve() and open(), and by
 * change(). */
typedef struct {
    uint32_t n_devices;          /* at most FAKE_MAX_DEVICES */
    uint32_t n_slots, max_batch; /* of engines whose configuration leaves them open */
    uint32_t more_frames;        /* added to the largest batch, which is the configuration's */
    uint32_t n_buckets;          /* those above an engine's largest batch are left out */
    uint32_t buckets[GPUDL_MAX_BUCKETS];
    uint64_t bucket_ns[GPUDL_MAX_BUCKETS];
    uint32_t depth;
    uint64_t run_time_ns, weight_bytes, work_bytes;
    uint32_t memory_kinds;
    uint32_t limit_matters;      /* resolve() leaves memory_limit: another limit is another engine */
    uint32_t early_run_time_ns;  /* not 0: a thread tells of this run time before open() has returned */
    uint32_t quiet;              /* open() logs nothing: GLib's log does not heed fork() */
    uint32_t open_us;            /* open() takes this long, or until it is cancelled */
    uint32_t n_choices, n_known; /* what forecast() says */
    char not_kept[512];
    uint32_t tunes; /* engines have a thread that asks for plans and constants and tells of changes
                       until closing() */
} FakeNature;

/** What happens. Statuses: GPUDL_STATUS_OK is for nothing. The how manieth: since reset(), from 1; 0: none. */
typedef struct {
    uint32_t hold;                   /* executions do not end; the device's time-out does not run */
    uint32_t scramble;               /* synchronous: of executions under way the newest ends first */
    uint32_t delay_us;               /* each execution takes this long */
    uint32_t not_finite;             /* bit h set: class 1 of head h of frames is NaN */
    uint32_t die;                    /* the next execution to end, or now if any is held, says DEVICE */
    uint32_t survive;                /* what is under way when the device dies ends as it would */
    uint32_t hang;                   /* executions submitted from now on never end */
    uint32_t hang_submit, hang_idle; /* the call does not return until it is 0 again */
    uint32_t hang_device_open;       /* likewise; forks within it as drivers do */
    uint32_t hang_probe;             /* likewise; does not fork */
    uint32_t slow_stage_us, slow_unstage_us;

    GpudlStatus fail_status; /* of the following; GPUDL_STATUS_FAILED */
    uint32_t fail_stage_at;  /* the how manieth stage() */
    uint32_t fail_submit_at; /* the how manieth submit(), before it is under way */
    uint32_t fail_run_at;    /* the how manieth submit()'s execution */
    /* of a million, at random */
    uint32_t fail_stage_ppm, fail_submit_ppm, fail_run_ppm, die_ppm;

    GpudlStatus probe_status, devices_status, device_status, alloc_status, resolve_status, open_status, idle_status,
        profile_status, forecast_status;
    uint32_t wrong_rows;  /* profile() tells of nodes: 1: beyond the last, 2: that end before they begin, 3: below 0 */
    uint32_t idle_rounds; /* calls of idle() that say there is more */
    uint32_t idle_us;     /* each takes this long */
    uint32_t idle_later;  /* they say that what they wait for goes on */
    uint32_t idle_busy;   /* each takes until the host says that something waits */
    uint32_t idle_tells;  /* each tells how many of so many have been */
    uint32_t forecast_us; /* forecast() takes this long, or until it is cancelled */
} FakeFate;

/** What has happened since reset(). */
typedef struct {
    uint32_t opens, closes, device_opens, device_closes; /* opens: that succeeded */
    uint32_t device_tries;                               /* calls of device_open() */
    uint32_t loads;                                      /* calls of open() */
    uint32_t forecasts;
    uint32_t resolves, stages, unstages, submits, waits, idles, profiles;
    uint32_t runs;                   /* executions that were computed */
    uint32_t jobs;                   /* in them */
    uint32_t failed, died, timeouts; /* executions, by how they ended */
    uint32_t late_submits;           /* that came after DEVICE had been said: the host could not know yet */
    uint32_t changes;                /* calls of changed() */
    uint32_t abandoned;              /* engines never closed, after TIMEOUT or a hang */
    uint32_t max_staged, max_running;
    uint32_t sizes[FAKE_N_SIZES]; /* frames of each submit(), the first ones */
    GpudlFrame last_frame;        /* of stage(), or of submit() without stage() */
    GpudlPreproc last_preproc;    /* of submit() */
    GpudlOpenParams last_open;    /* cache_dir is NULL, or last_cache_dir */
    char last_cache_dir[256];
    int32_t last_device; /* of the last open() */

    /* now */
    uint32_t engines, devices, blocks, tickets;
    uint32_t loading;   /* open() is under way */
    uint32_t opening;   /* device_open() hangs */
    uint32_t probing;   /* probe() hangs */
    uint32_t staged;    /* requests between stage() and unstage(): queued or running */
    uint32_t running;   /* jobs between the beginning of submit() and the end of wait() */
    uint32_t under_way; /* executions likewise */
    uint32_t stuck;     /* calls that hang in submit() or idle() */
    uint32_t idling;    /* idle() is under way */
} FakeSeen;

/** All but the functions under lock; changed is told of each change. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    FakeNature is;
    FakeFate does;
    FakeSeen seen;
    FakeContext primary[FAKE_MAX_DEVICES]; /* what context NULL means */
    /** What the host has got, or will get: functions may be taken out while nothing of the module is in use. */
    GpudlBackend *table;
    /** Everything that the module can, for what a test puts in. */
    const GpudlBackend *whole;
    /** What the module says it was built with. */
    const char *interface;

    /** Back to the defaults: no failures, one device; "cpu": 2 slots of 1, no stage(); "cuda": 2 slots of up to 4,
     * stage(), all kinds of memory. Nothing may be alive but abandoned engines. */
    void (*reset)(void);
    /** Tells the hosts of all engines what is says now. */
    void (*change)(void);
} Fake;

typedef Fake *(*FakeEntry)(void);

/* ---- for tests (fake-client.c) ----------------------------------------------------------------------------------- */

/** The module that libgpudl loads as this backend, found by GPUDL_BACKEND_PATH. Ends the process if there is none. */
Fake *fake_get(const char *backend);
void fake_lock(Fake *fake);
void fake_unlock(Fake *fake);
/** Sets one number of is or does. */
void fake_set(Fake *fake, uint32_t *number, uint32_t value);
/** Reads one number of seen. */
uint32_t fake_read(Fake *fake, const uint32_t *number);
/** Waits until a number of seen is at least (until: exactly) value; ends the process after a minute, saying what for.
 */
void fake_await(Fake *fake, const uint32_t *number, uint32_t value, const char *what);
void fake_await_exactly(Fake *fake, const uint32_t *number, uint32_t value, const char *what);
#define FAKE_AWAIT(fake, number, value) fake_await(fake, &(fake)->seen.number, value, #number)
#define FAKE_AWAIT_EXACTLY(fake, number, value) fake_await_exactly(fake, &(fake)->seen.number, value, #number)
#define FAKE_SET(fake, what, value) fake_set(fake, &(fake)->what, value)
#define FAKE_SEEN(fake, number) fake_read(fake, &(fake)->seen.number)

#ifdef __cplusplus
}
#endif
#endif

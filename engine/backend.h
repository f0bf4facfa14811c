/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The contract between the engine (the host) and a backend module ("cpu", "cuda", the built-in "ref"). docs/BACKENDS.md
 * is the guide to writing one.
 *
 * A module is a shared object that links nothing of libgpudl: it gets flat, read-only plans and a table of the host's
 * functions, and fills a table of its own. It exports one symbol, gpudl_backend_entry. Plain C; no GLib types cross.
 * engine/module.h has what modules share.
 *
 * Objects and their lives:
 *   device   device_open() .. device_close(). One per device and context in the process, shared by all engines on it;
 *            outlives them, and every block of host_alloc().
 *   engine   open() .. close(): one network compiled for one device.
 *   slot     one execution under way at a time: submit(), then wait(), over and over.
 *   ticket   what a module keeps for one request of the host, from its first stage() to ticket_free().
 *
 * Who calls what, and beside what:
 *   - devices(), probe(), resolve(), forecast(): any thread, beside anything; device_open(): likewise, but one at a
 *     time; open(): any thread; not beside other calls on the same engine.
 *   - submit() and wait() of one slot alternate. Slots are used side by side by different threads.
 *     Without GPUDL_BACKEND_ASYNC each slot has a thread of its own, submit() computes before it returns.
 *     With it, one thread (the submitter) calls submit() of all slots and idle(), another (the completer) calls wait()
 *     in the order of submission; submit() queues on the device and does not wait for it.
 *   - stage(), unstage(), ticket_free() are called by the owners of frames, on any thread, beside everything but
 *     open() and close(), on one ticket by one thread at a time.
 *   - idle() only while no slot is under way, and never beside submit(), wait(), profile() and run_*(): timing and
 *     swapping of graphs need no lock.
 *   - profile(), replay(), run_tensors(), run_preproc() take the slot's turn: nothing else uses that slot meanwhile.
 *   - close() comes last: no slot is under way, no ticket is left.
 *
 * Failure: a call that returns another status than OK has written fault->message. A submit() that fails leaves its slot
 * free, ready for the next submit(). GPUDL_STATUS_DEVICE says that the device failed: stage(), submit(), idle() and
 * profile() are not called again on this engine; wait() of each slot under way is still called, and must return soon
 * and not before the device has let go of the slot's frames; unstage() and ticket_free() follow; then close(). A wait()
 * that returns GPUDL_STATUS_TIMEOUT ends all calls on the engine but unstage() and ticket_free() from requests of other
 * slots, and those on its device object: the host never closes it, and leaves it, its device, pinned memory and the
 * frames under way to the end of the process. The same follows where a submit() or idle() of an asynchronous module
 * takes longer than the time-out. In either case another thread of the host may be in a call, or about to make one that
 * it decided on before: it may return as it will.
 */
#ifndef GPUDL_ENGINE_BACKEND_H
#define GPUDL_ENGINE_BACKEND_H

#include "engine/settings.h"
#include "kernels/frame.h"
#include "kernels/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Counted up when this header changes in a way that a reader of it has to know. What else the two sides have to agree
 * on (operators, attributes, frames) is in GPUDL_BACKEND_INTERFACE. */
#define GPUDL_BACKEND_ABI 2u
#define GPUDL_BACKEND_ENTRY "gpudl_backend_entry"

/** Status of a call. The host turns them into GpudlError by name (backends.c has the table). */
typedef enum {
    GPUDL_STATUS_OK = 0,
    GPUDL_STATUS_FAILED,
    GPUDL_STATUS_UNSUPPORTED,
    GPUDL_STATUS_INVALID_ARGUMENT,
    GPUDL_STATUS_BACKEND,
    GPUDL_STATUS_NO_DEVICE,
    GPUDL_STATUS_NO_MEMORY,
    GPUDL_STATUS_DEVICE, /* the device failed: the engine runs nothing any more */
    GPUDL_STATUS_TIMEOUT /* of wait() alone: the slot is still under way */
} GpudlStatus;

/** Room for one message; the module writes what, where, found, expected. */
typedef struct {
    char message[512];
} GpudlFault;

/* ---- plan: one graph at one batch -------------------------------------------------------------------------------- */

typedef enum {
    GPUDL_PLAN_VALUE = 0, /* written by a node */
    GPUDL_PLAN_INPUT,
    GPUDL_PLAN_CONSTANT
} GpudlPlanTensorKind;

typedef struct {
    const char *name;
    GpudlPlanTensorKind kind;
    GpudlDType dtype;
    GpudlShape shape;
    /** Constants: dense, aligned to 64 bytes. Readable during open(), and from hold_constants() to release_constants();
     * at other times NULL or gone. */
    const void *data;
    uint64_t bytes;
    int32_t first_node, last_node; /* lifetime in node indices; inputs begin at -1, outputs end at n_nodes */
    int32_t n_uses;                /* as node input and as graph output */
} GpudlPlanTensor;

/** op is GpudlOp and attrs points to GpudlAttrs of engine/graph/attrs.h. */
typedef struct {
    int32_t op;
    const char *name;
    const void *attrs;
    uint32_t n_inputs, n_outputs;
    const int32_t *inputs; /* tensor indices, -1: absent */
    const int32_t *outputs;
} GpudlPlanNode;

typedef struct {
    int64_t batch;
    uint32_t n_tensors, n_nodes, n_inputs, n_outputs;
    const GpudlPlanTensor *tensors;
    const GpudlPlanNode *nodes;
    const int32_t *inputs; /* tensor indices */
    const int32_t *outputs;
    const char *content; /* tells networks apart, for caches: what the file was verified to hold, at most 64 hexadecimal
                            digits; "" for a model that came from no file */
} GpudlPlan;

/* ---- what an engine is ------------------------------------------------------------------------------------------- */

#define GPUDL_MAX_BUCKETS 16

/**
 * What open() tells about the engine, and changed() later. n_slots, max_batch, precision and memory_kinds stay as
 * open() has set them.
 */
typedef struct {
    uint32_t n_slots;   /* executions that can be under way at once, at least 1 */
    uint32_t max_batch; /* most frames of one execution, at least 1 */
    /**
     * Batch sizes that are compiled, ascending, at most max_batch, and the time of one execution of each, ns, 0: not
     * measured. An execution of n frames takes as long as the smallest bucket that holds n. The host makes executions
     * as large as finish soonest by these times, and none larger than the largest bucket. n_buckets 0: any number up
     * to max_batch, each taking its time.
     */
    uint32_t n_buckets;
    uint32_t buckets[GPUDL_MAX_BUCKETS];
    uint64_t bucket_ns[GPUDL_MAX_BUCKETS];
    uint32_t depth;    /* frames of one stream to keep under way so that the device is never idle; 0: slots x batch */
    int32_t precision; /* GpudlPrecision, resolved */
    uint64_t weight_bytes, work_bytes;
    uint64_t run_time_ns;  /* of one execution of the largest batch, measured warm; 0: not measured */
    uint32_t memory_kinds; /* bit (1 << GpudlMemoryKind) set: frames there are taken */
    char device_name[128]; /* one line for people: device, library and version */
} GpudlEngineInfo;

/* ---- host's functions -------------------------------------------------------------------------------------------- */

typedef enum { GPUDL_LOG_DEBUG = 0, GPUDL_LOG_INFO, GPUDL_LOG_WARNING } GpudlLogLevel;

/** One per engine; valid from open() until close(). All functions but progress() may be called by any thread of the
 * module. */
typedef struct {
    void *host; /* first argument of all below */
    /** Plan for a batch; owned by the host, valid until close(). Tensor and node indices are the same for every batch.
     * NULL with *fault if the model does not hold for that batch. */
    const GpudlPlan *(*plan)(void *host, int64_t batch, GpudlFault *fault);
    /**
     * Makes the data of constants readable in all plans of this engine, until as many release_constants() have
     * followed. The host holds them during open() by itself. May read the model's file anew, and fails if that has
     * changed since.
     */
    GpudlStatus (*hold_constants)(void *host, GpudlFault *fault);
    void (*release_constants)(void *host);
    /**
     * NULL, or says that within this open() the bytes of a constant are not read again, of none that shares them,
     * unless hold_constants() is called anew: a host that is short of memory gives theirs back.
     */
    void (*spend_constant)(void *host, const void *data, uint64_t bytes);
    /**
     * Places n blocks of memory so that blocks alive at the same node do not overlap. sizes may differ from the plan's
     * (blocked layouts, other precisions); 0 takes no room. first/last as in GpudlPlanTensor. offsets are multiples of
     * alignment. Returns the bytes needed, or UINT64_MAX on overflow.
     */
    uint64_t (*place)(void *host, uint32_t n, const uint64_t *sizes, const int32_t *first, const int32_t *last,
                      uint64_t alignment, uint64_t *offsets);
    void (*log)(void *host, GpudlLogLevel level, const char *message);
    /** Nonzero once whoever waits for open() has given up: return GPUDL_STATUS_FAILED soon. Meaningful inside open()
     * alone; 0 after it. */
    int (*cancelled)(void *host);
    /** Nonzero once close() is about to come: what runs in the module's own threads ends soon. */
    int (*closing)(void *host);
    /** Nonzero while something waits that idle() keeps from running: return from it soon, there will be another call.
     */
    int (*waiting)(void *host);
    /** The engine has changed (buckets measured or added, another run time); *info is copied. Not from within open().
     */
    void (*changed)(void *host, const GpudlEngineInfo *info);
    /** Tells who waits how far it is: 0..1, and what is being done. From within open() or idle(), on its thread; in
     * idle() of all that idle() will do. */
    void (*progress)(void *host, double done, const char *what);
    /** Names a choice that the cache does not know, for people: batch, step. From within forecast(), on its thread. */
    void (*missing)(void *host, const char *what);
} GpudlHost;

/* ---- module's functions ------------------------------------------------------------------------------------------ */

/** One device, for listings and for choosing. */
typedef struct {
    int32_t id; /* what device_id means */
    char name[128];
    char address[32];                  /* "0000:65:00.0", or "" */
    uint64_t memory_bytes, free_bytes; /* 0: not known */
    int32_t capability[2];             /* major, minor; 0, 0: has none */
    /* What it could do at its highest clocks: bytes of its memory, and by precision operations, of which a multiply-add
     * is two. 0: not known. */
    uint64_t bytes_per_second, flops_per_second[GPUDL_PRECISION_FP8 + 1];
} GpudlBackendDevice;

/** Which device. device_open() replaces what was left open by what it found. */
typedef struct {
    int32_t id;    /* < 0: the first */
    void *context; /* CUcontext or NULL: the device's primary one */
} GpudlDeviceParams;

typedef struct {
    int32_t precision;   /* GpudlPrecision */
    int32_t activation;  /* GpudlActivation, never AUTO: applied to each head by the module */
    uint32_t threads;    /* 0: one per core */
    uint32_t batch_size; /* most frames of an execution; 0: module's choice */
    int32_t deterministic;
    int32_t autotune;      /* GpudlAutotune */
    int32_t priority;      /* of the work on the device; 0: normal, higher: sooner */
    uint64_t memory_limit; /* bytes of weights and work memory, 0: none; open() is refused (NO_MEMORY) beyond it */
    int32_t input_channels, input_height, input_width; /* of the network; requests' GpudlPreproc has the same */
    const char *cache_dir;                             /* where tuning is kept; NULL: nowhere. Valid during the call */
} GpudlOpenParams;

/**
 * One frame of an execution: a picture with its pre-processing, or ready values (frame NULL).
 *
 * NaN that the network makes arrives in the outputs as NaN, never as a number: what kernels/kernel.h says of NaN holds
 * for modules too, and the activation carries it on (softmax: to the whole head, as one of +infinity does). The host
 * tells of outputs that are no numbers; a module neither looks for them nor fails.
 *
 * With stage(): frames in GPUDL_MEMORY_HOST have been read by stage() and are not read any more. Other frames, and all
 * frames of modules without stage(), are read until the slot has been waited for.
 */
typedef struct {
    const GpudlFrame *frame;
    const GpudlPreproc *preproc;
    const float *values;   /* [channels][height][width] when frame is NULL; as a frame in host memory */
    float *const *outputs; /* per head: where its values go, after the activation; host memory. Written by wait() (or
                              submit() of a synchronous module) on the calling thread, never by the device */
    void *ticket;          /* what stage() left; NULL without stage() */
} GpudlJob;

/** One step of a network as it runs. Strings and the table belong to the engine, valid until close(). */
typedef struct {
    int32_t node, last_node; /* first and last node of the plan that the step computes */
    const char *implementation;
    uint64_t ns;           /* median of the runs */
    uint64_t bytes, flops; /* that the step has to move (inputs, constants, outputs) and compute; 0: not known */
} GpudlProfileRow;

/** What idle() says. */
typedef enum {
    GPUDL_IDLE_DONE = 0, /* there is nothing left to do: it is not called again */
    GPUDL_IDLE_MORE,     /* it is called again at once */
    GPUDL_IDLE_LATER     /* what it waits for (a thread that compiles) goes on: it is called again after budget_ns */
} GpudlIdle;

/** What open() with the same params would find in the cache and take of the device. */
typedef struct {
    uint32_t n_choices; /* that are made by measuring, in open() and idle() together */
    uint32_t n_known;   /* of them by the cache; the others have been named by missing() */
    /** As GpudlEngineInfo has them after open(), 0: not known. Exact where all choices are known; else what the
     * libraries' choices take for themselves is missing in work_bytes. */
    uint64_t weight_bytes, work_bytes;
    char not_kept[512]; /* why nothing that is measured could be kept in cache_dir; "": it could, or there is none */
} GpudlOpenForecast;

enum {
    GPUDL_BACKEND_ASYNC = 1 << 0 /* submit() queues, wait() waits */
};

/** The module's table; static. Functions marked optional may be NULL. */
typedef struct {
    uint32_t abi_version;  /* GPUDL_BACKEND_ABI */
    const char *interface; /* GPUDL_BACKEND_INTERFACE */
    const char *name;
    uint32_t flags;
    uint32_t precisions; /* bit (1 << GpudlPrecision) set: can do */

    /** Is there something to run on? Cheap; may be called often. On failure *fault says what is missing and how to get
     * it. */
    GpudlStatus (*probe)(int32_t device_id, GpudlFault *fault);
    /** Writes up to room devices, *n is how many there are. */
    GpudlStatus (*devices)(GpudlBackendDevice *out, uint32_t room, uint32_t *n, GpudlFault *fault);

    /**
     * Optional, all four or none. device_open() takes up what engines on one device and context share: the context
     * itself, handles, upload stream, pinned memory, tuning cache. params->context, if given, stays alive until
     * device_close(). Two opens of what is the same come back with equal params; the host then closes the second.
     * host_alloc(): memory that the device reads fast (pinned); aligned to align, a power of 2. Any thread.
     */
    GpudlStatus (*device_open)(GpudlDeviceParams *params, void **device, GpudlFault *fault);
    void (*device_close)(void *device);
    GpudlStatus (*host_alloc)(void *device, uint64_t bytes, uint64_t align, void **data, GpudlFault *fault);
    void (*host_free)(void *device, void *data);

    /**
     * Replaces what was left open, and what makes no difference, by what it means here, so that params which are the
     * same afterwards mean one engine (the host shares sessions by them): precision is never AUTO, threads and
     * batch_size what will run, fields without meaning 0. memory_limit 0 says that a limit only permits or refuses: the
     * host then leaves it out of the comparison, hands each open() its own, and checks those who join. Refuses what
     * can't be done, UNSUPPORTED, saying what can. cache_dir is not compared.
     */
    GpudlStatus (*resolve)(void *device, GpudlOpenParams *params, GpudlFault *fault);

    /**
     * Optional; without it there is nothing to choose and the memory is not known. Answers from the cache and the plans
     * alone: compiles no kernel, measures nothing, writes nothing, and leaves nothing behind on the device. forecast is
     * zeroed; constants are readable, as in open(); cancelled() means whoever waits for it.
     */
    GpudlStatus (*forecast)(void *device, const GpudlHost *host, const GpudlOpenParams *params,
                            GpudlOpenForecast *forecast, GpudlFault *fault);

    /** Compiles and warms up; info is zeroed. host and the plans it hands out stay valid until close(), constants as
     * said at GpudlPlanTensor. params are resolved ones. */
    GpudlStatus (*open)(void *device, const GpudlHost *host, const GpudlOpenParams *params, void **engine,
                        GpudlEngineInfo *info, GpudlFault *fault);
    void (*close)(void *engine);

    /**
     * Optional, all three or none. stage() is called on the thread that submits a request, before it is queued: copies
     * a frame in host memory to where the device reads it (pinned, uploading begins), or records the point of the
     * producer's stream from which a frame on the device is complete, so that submit() never copies. frame NULL:
     * values. *ticket is NULL at a request's first stage(), and from then on what the module made of it: the same
     * ticket is staged again and again. Each successful stage() is followed by one unstage(), when the execution has
     * been waited for or the request was cancelled; that does not wait for the device, since whoever cancels does not.
     * stage() may wait for memory to upload from, while the device answers. After ticket_free() it is gone; not between
     * stage() and unstage().
     */
    GpudlStatus (*stage)(void *engine, void **ticket, const GpudlFrame *frame, const float *values, GpudlFault *fault);
    void (*unstage)(void *engine, void *ticket);
    void (*ticket_free)(void *engine, void *ticket);

    /** Runs n (1..max_batch) jobs on a slot. The jobs and all they point to stay valid until the slot has been waited
     * for. */
    GpudlStatus (*submit)(void *engine, uint32_t slot, const GpudlJob *jobs, uint32_t n, GpudlFault *fault);
    /** Waits for the slot and writes the jobs' outputs. TIMEOUT if the device has not finished within timeout_ns. */
    GpudlStatus (*wait)(void *engine, uint32_t slot, uint64_t timeout_ns, GpudlFault *fault);

    /** Optional; asynchronous modules. Nothing is queued: tunes, measures or swaps for at most about budget_ns, and
     * less if the host's waiting() says so. *more is a GpudlIdle. It waits for no thread of the module's: a frame that
     * comes meanwhile would wait as long. */
    GpudlStatus (*idle)(void *engine, uint64_t budget_ns, int *more, GpudlFault *fault);

    /** Optional. Times the steps of one batch, runs times each, on whatever is in the input or on numbers of its own.
     */
    GpudlStatus (*profile)(void *engine, uint32_t slot, int64_t batch, uint32_t runs, const GpudlProfileRow **rows,
                           uint32_t *n_rows, GpudlFault *fault);

    /** Optional. Runs the network of a batch that is compiled runs times on numbers of its own, from input to
     * outputs without pre-processing, and writes what each took on the device to ns. */
    GpudlStatus (*replay)(void *engine, uint32_t slot, int64_t batch, uint32_t runs, uint64_t *ns, GpudlFault *fault);

    /**
     * Runs the network alone on whole tensors, for checks: inputs and outputs dense in the plan's dtypes and shapes at
     * this batch, in host memory, no pre-processing, no activation. Blocks.
     */
    GpudlStatus (*run_tensors)(void *engine, uint32_t slot, int64_t batch, const void *const *inputs,
                               void *const *outputs, GpudlFault *fault);

    /** Same for the frame alone: pre-processes one frame into dst [channels][height][width] float32 host memory.
     * Blocks. */
    GpudlStatus (*run_preproc)(void *engine, uint32_t slot, const GpudlFrame *frame, const GpudlPreproc *preproc,
                               float *dst, GpudlFault *fault);
} GpudlBackend;

/**
 * The module's one symbol. interface is the host's GPUDL_BACKEND_INTERFACE: a fingerprint, made by the build, of this
 * header and of those that say what a plan's numbers mean (operators, attributes, types, frames). Returns NULL unless
 * both are the module's own: a module and a libgpudl of different revisions would compute rubbish.
 */
typedef const GpudlBackend *(*GpudlBackendEntry)(uint32_t abi_version, const char *interface);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The contract between the engine and a backend module ("cpu", "cuda", the built-in "ref").
 *
 * A module is a shared object that links nothing of libgpudl: it gets flat, read-only plans and a table of the host's
 * functions, and fills a table of its own. It exports one symbol, gpudl_backend_entry. Plain C; no GLib types cross.
 *
 * Life of an engine: open() once, then per slot any number of submit()/wait() pairs, close() when no slot is busy.
 * Slots are used side by side by different threads; one slot by one thread at a time. submit() of a module without
 * GPUDL_BACKEND_ASYNC computes before it returns (the session gives each slot a worker thread); with it, submit()
 * queues on the device and wait() blocks until the slot's results are in host memory (the session has one scheduler and
 * one completion thread).
 */
#ifndef GPUDL_ENGINE_BACKEND_H
#define GPUDL_ENGINE_BACKEND_H

#include "kernels/frame.h"
#include "kernels/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GPUDL_BACKEND_ABI 1u
#define GPUDL_BACKEND_ENTRY "gpudl_backend_entry"

/** Status of a call; the numbers are those of GpudlError where both have one. 0 is success, so they are shifted by 1.
 */
typedef enum {
    GPUDL_STATUS_OK = 0,
    GPUDL_STATUS_FAILED,
    GPUDL_STATUS_UNSUPPORTED,
    GPUDL_STATUS_INVALID_ARGUMENT,
    GPUDL_STATUS_BACKEND,
    GPUDL_STATUS_NO_DEVICE,
    GPUDL_STATUS_NO_MEMORY,
    GPUDL_STATUS_DEVICE /* sticky: the engine is dead, only close() may follow */
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
    const void *data; /* constants: dense, aligned to 64 bytes, valid until close() */
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
    uint32_t struct_size;
    int64_t batch;
    uint32_t n_tensors, n_nodes, n_inputs, n_outputs;
    const GpudlPlanTensor *tensors;
    const GpudlPlanNode *nodes;
    const int32_t *inputs; /* tensor indices */
    const int32_t *outputs;
    const char *model_id; /* 64 hex digits */
} GpudlPlan;

/* ---- host's functions -------------------------------------------------------------------------------------------- */

typedef enum { GPUDL_LOG_DEBUG = 0, GPUDL_LOG_INFO, GPUDL_LOG_WARNING } GpudlLogLevel;

typedef struct {
    uint32_t abi_version, struct_size;
    void *host; /* first argument of all below */
    /** Plan for a batch; owned by the host, valid until close(). Tensor and node indices are the same for every batch.
     * NULL with *fault if the model does not hold for that batch. */
    const GpudlPlan *(*plan)(void *host, int64_t batch, GpudlFault *fault);
    /**
     * Places n blocks of memory so that blocks alive at the same node do not overlap. sizes may differ from the plan's
     * (blocked layouts, other precisions); 0 takes no room. first/last as in GpudlPlanTensor. offsets are multiples of
     * alignment. Returns the bytes needed, or UINT64_MAX on overflow.
     */
    uint64_t (*place)(void *host, uint32_t n, const uint64_t *sizes, const int32_t *first, const int32_t *last,
                      uint64_t alignment, uint64_t *offsets);
    void (*log)(void *host, GpudlLogLevel level, const char *message);
    /** Nonzero once whoever waits for open() has given up: return GPUDL_STATUS_FAILED soon. */
    int (*cancelled)(void *host);
} GpudlHost;

/* ---- module's functions ------------------------------------------------------------------------------------------ */

typedef struct {
    uint32_t struct_size;
    int32_t precision;   /* GpudlPrecision of gpudl.h, AUTO not resolved */
    int32_t activation;  /* GpudlActivation, resolved: applied to each head by the module */
    int32_t device_id;   /* < 0: first */
    void *context;       /* CUcontext or NULL */
    uint32_t threads;    /* 0: one per core */
    uint32_t batch_size; /* 0: module's choice */
    int32_t deterministic;
    uint64_t memory_limit;
    int32_t input_channels, input_height, input_width; /* of the network; requests' GpudlPreproc has the same */
} GpudlOpenParams;

/** What open() tells about the engine. */
typedef struct {
    uint32_t n_slots;   /* executions that can be under way at once */
    uint32_t max_batch; /* frames of one execution */
    int32_t precision;  /* resolved */
    uint64_t weight_bytes, work_bytes;
    uint64_t run_time_ns;  /* of the largest batch, measured at warm-up; 0: not measured */
    uint32_t memory_kinds; /* bit GPUDL_MEMORY_x set: frames there are taken */
    char device_name[128];
} GpudlEngineInfo;

/** One frame of an execution: a picture with its pre-processing, or ready values (frame NULL). */
typedef struct {
    const GpudlFrame *frame;
    const GpudlPreproc *preproc;
    const float *values;   /* [channels][height][width] when frame is NULL */
    float *const *outputs; /* per head: where its values go, after the activation; host memory */
} GpudlJob;

enum {
    GPUDL_BACKEND_ASYNC = 1 << 0 /* submit() queues, wait() waits */
};

typedef struct {
    uint32_t abi_version, struct_size;
    const char *name;
    uint32_t flags;
    uint32_t precisions; /* bit (1 << GpudlPrecision) set: can do */

    /** Is there something to run on? Cheap; may be called often. On failure *fault says what is missing and how to get
     * it. */
    GpudlStatus (*probe)(int32_t device_id, GpudlFault *fault);

    /** Compiles and warms up. host and the plans it hands out stay valid until close(). */
    GpudlStatus (*open)(const GpudlHost *host, const GpudlOpenParams *params, void **engine, GpudlEngineInfo *info,
                        GpudlFault *fault);
    void (*close)(void *engine);

    /** Runs n (1..max_batch) jobs on a slot. The jobs and all they point to stay valid until the slot is waited for. */
    GpudlStatus (*submit)(void *engine, uint32_t slot, const GpudlJob *jobs, uint32_t n, GpudlFault *fault);
    GpudlStatus (*wait)(void *engine, uint32_t slot, GpudlFault *fault);

    /**
     * Runs the network alone on whole tensors, for checks: inputs and outputs dense in the plan's dtypes and shapes at
     * this batch, in host memory, no pre-processing, no activation. Slot as in submit(). Blocks.
     */
    GpudlStatus (*run_tensors)(void *engine, uint32_t slot, int64_t batch, const void *const *inputs,
                               void *const *outputs, GpudlFault *fault);

    /** Same for the frame alone: pre-processes one frame into dst [channels][height][width] float32 host memory.
     * Blocks. */
    GpudlStatus (*run_preproc)(void *engine, uint32_t slot, const GpudlFrame *frame, const GpudlPreproc *preproc,
                               float *dst, GpudlFault *fault);
} GpudlBackend;

/** The module's one symbol. Returns NULL if it does not speak the host's ABI version. The table is static. */
typedef const GpudlBackend *(*GpudlBackendEntry)(uint32_t abi_version);

#ifdef __cplusplus
}
#endif
#endif

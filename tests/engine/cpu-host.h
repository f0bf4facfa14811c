/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A host for one backend module without a session: opens the module's file and a graph on it. For tests and benches.
 */
#ifndef GPUDL_TESTS_CPU_HOST_H
#define GPUDL_TESTS_CPU_HOST_H

#include "engine/backend.h"
#include "engine/graph/graph.h"
#include "engine/plan.h"

typedef struct CpuHost CpuHost;

struct CpuHost {
    const GpudlBackend *backend;
    GpudlPlanner *planner;
    GpudlHost host;
    GpudlEngineInfo info;
    void *engine;
    GpudlStatus status; /* of open() */
    GpudlFault fault;

    /* What a test may set before cpu_host_start(). Called on whatever thread the module calls from. */
    int (*cancelled)(CpuHost *host, guint nth);   /* the answer to the nth question, from 1; NULL: never */
    void (*planned)(CpuHost *host, gint64 batch); /* in plan(), before it answers; NULL: nothing */
    gpointer data;                                /* for these */
    gboolean tunes; /* params' autotune counts; else it is OFF, so that results do not depend on times */

    /* Constants: the module sees copies, which are spoilt and freed as soon as nobody holds them. */
    GMutex lock;
    gint holds;
    GPtrArray *seen_plans; /* GpudlPlan* */
    GPtrArray *originals;  /* by tensor index: the planner's data, or NULL */
    GPtrArray *copies;     /* likewise: what is to be seen now */
    gboolean no_constants; /* hold_constants() fails */

    /* What the module has done; atomic. */
    gint questions; /* whether it is cancelled */
    gint plans, places;
    gint steps;     /* of the programs that it has logged */
    gint warnings;  /* that it has logged */
    gint missing;   /* choices named by forecast() */
    gint64 host_ns; /* processor time of the opening thread spent in plan() and place() by open() */
};

/** What these tests compute in where they leave it open: fp32, whose bounds they have, or what GPUDL_TEST_PRECISION
 * names. */
GpudlPrecision cpu_host_precision(void);
/** Whether this machine computes in it. */
gboolean cpu_host_can(void);

/** A host for the graph (copied), not opened yet. */
CpuHost *cpu_host_new(const GpudlGraph *graph);
/** Resolves params and opens the graph on module gpudl-cpu.so in GPUDL_BACKEND_PATH; input sizes are the graph's,
 * precision AUTO is cpu_host_precision(), params' own fields count otherwise. status and fault say how it went; engine
 * is NULL after a failure. */
void cpu_host_start(CpuHost *host, const GpudlOpenParams *params);
/** What cpu_host_start() would take; status and fault say how it went. */
GpudlStatus cpu_host_foresee(CpuHost *host, const GpudlOpenParams *params, GpudlOpenForecast *forecast);
/** A new one, started. */
CpuHost *cpu_host_open(const GpudlGraph *graph, const GpudlOpenParams *params);
void cpu_host_close(CpuHost *host);

/** Removes a folder that engines were given as cache_dir: nothing but times is in it. */
void cpu_host_remove_cache(const gchar *folder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CpuHost, cpu_host_close)

#endif

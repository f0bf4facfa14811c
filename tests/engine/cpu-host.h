/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A host for one backend module without a session: opens the module's file and a graph on it. For tests and benches.
 */
#ifndef GPUDL_TESTS_CPU_HOST_H
#define GPUDL_TESTS_CPU_HOST_H

#include "engine/backend.h"
#include "engine/graph/graph.h"
#include "engine/plan.h"

typedef struct {
    const GpudlBackend *backend;
    GpudlPlanner *planner;
    GpudlHost host;
    GpudlEngineInfo info;
    void *engine;
    GpudlStatus status; /* of open() */
    GpudlFault fault;
} CpuHost;

/** Opens the graph (copied) on module gpudl-cpu.so in GPUDL_BACKEND_PATH; input sizes are the graph's. params' own
 * fields count otherwise. status and fault say how it went; engine is NULL after a failure. */
CpuHost *cpu_host_open(const GpudlGraph *graph, const GpudlOpenParams *params);
void cpu_host_close(CpuHost *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CpuHost, cpu_host_close)

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What all programs of one engine share: oneDNN's engine, and packed weights and other constants made at compile time.
 * Changed while compiling only, one compilation at a time; slots read the constants' memory.
 */
#ifndef GPUDL_ENGINE_CPU_PACKED_H
#define GPUDL_ENGINE_CPU_PACKED_H

#include "dnn.h"
#include "engine/backend.h"

typedef struct CpuPacked CpuPacked;
struct CpuPacked {
    CpuPacked *next;
    int32_t owner, part; /* plan tensor or node (owner), which of its constants */
    DnnMd md;            /* NULL: raw */
    uint64_t bytes;
    void *data;
};

typedef struct {
    const GpudlHost *host;
    dnnl_engine_t dnn;
    dnnl_stream_t stream; /* of the compiling thread */
    CpuPacked *packed;
    uint64_t packed_bytes;
} CpuShared;

/** NULL if there is none. */
CpuPacked *cpu_packed_find(const CpuShared *shared, int32_t owner, int32_t part, DnnMdRef md);
/** Keeps data (malloc'd, CPU_ALIGNMENT; taken over, also on failure). md is copied. NULL if there is no memory. */
CpuPacked *cpu_packed_add(CpuShared *shared, int32_t owner, int32_t part, DnnMdRef md, void *data, uint64_t bytes);
/** Frees the whole list. */
void cpu_packed_free(CpuPacked *packed);

/** Zeros; NULL if there is no memory. */
void *cpu_aligned_bytes(uint64_t bytes);
/** Reorders at compile time; 0 if oneDNN can't. */
int cpu_reorder_now(const CpuShared *shared, DnnMdRef from_md, const void *from, DnnMdRef to_md, void *to);

#endif

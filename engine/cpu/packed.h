/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What all programs of one engine share: oneDNN's engine, and packed weights and other constants made at compile time.
 * Changed while compiling only, one compilation at a time; slots read the constants' memory.
 */
#ifndef GPUDL_ENGINE_CPU_PACKED_H
#define GPUDL_ENGINE_CPU_PACKED_H

#include "dnn.h"
#include "engine/backend.h"
#include "engine/cache.h"

typedef struct CpuPacked CpuPacked;
struct CpuPacked {
    CpuPacked *next;     /* in the same bucket */
    int32_t owner, part; /* plan tensor or node (owner), which of its constants */
    DnnMd md;            /* NULL: raw */
    uint64_t bytes;
    void *data;
    uint32_t compilation; /* the last one that used it, */
    int32_t block;        /* and its block there */
};

/** All of them, found by owner and part: a constant has a few layouts, a network may have tens of thousands. */
typedef struct {
    CpuPacked **buckets;
    uint32_t n_buckets, n; /* n_buckets: 0 or a power of 2 */
} CpuPackedTable;

/** How a convolution is computed; of a fully connected layer CPU_FORM_OWN is a kernel of our own, all else oneDNN. */
typedef enum {
    CPU_FORM_FIRST = 0, /* as oneDNN would, but on its input as it lies where that is as good */
    CPU_FORM_BLOCKS,    /* oneDNN on blocks of channels */
    CPU_FORM_LAST,      /* oneDNN on channels last */
    CPU_FORM_OWN,       /* a kernel of our own on channels last */
    CPU_FORM_STRIPS,    /* with the convolutions behind it as one step of our own, on channels last */
    CPU_FORMS
} CpuForm;

typedef struct {
    const GpudlHost *host;
    dnnl_engine_t dnn;
    dnnl_stream_t stream;  /* of the compiling thread */
    dnnl_data_type_t type; /* what products multiply, and of what lies between steps: f32 or bf16; constants of it */
    CpuPackedTable packed;
    uint32_t compilations; /* begun so far */
    uint32_t packers;      /* threads that pack weights */
    int direct;            /* convolutions take no form that has more weights than the direct one */
    int dry;               /* what a program takes is asked for, not the program: no code is made, no constant packed */
    int32_t autotune;      /* GpudlAutotune */
    CpuForm forced;        /* CPU_FORM_FIRST: none is */
    GpudlCache cache;      /* of choices; open while opening */
    uint8_t *forms;        /* CpuForm per node, once chosen; the same for every batch. NULL: all are the first */
} CpuShared;

/** NULL if there is none. */
CpuPacked *cpu_packed_find(const CpuPackedTable *table, int32_t owner, int32_t part, DnnMdRef md);
/** Keeps data (malloc'd, CPU_ALIGNMENT; taken over, also on failure). md is copied. NULL if there is no memory. */
CpuPacked *cpu_packed_add(CpuPackedTable *table, int32_t owner, int32_t part, DnnMdRef md, void *data, uint64_t bytes);
void cpu_packed_clear(CpuPackedTable *table);

/** Memory not written to, in large pages where it fills some and the system has them; NULL if there is none. */
void *cpu_aligned_room(uint64_t bytes);
/** The same of zeros. */
void *cpu_aligned_bytes(uint64_t bytes);
/** Reorders at compile time, on a stream of this thread's; 0 if oneDNN can't. */
int cpu_reorder_now(dnnl_engine_t dnn, dnnl_stream_t stream, DnnMdRef from_md, const void *from, DnnMdRef to_md,
                    void *to);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What bench-kernels times, and how. */
#ifndef GPUDL_BENCH_BENCH_KERNELS_H
#define GPUDL_BENCH_BENCH_KERNELS_H

#include "engine/cpu/dnn.h"
#include "kernels/simd.h"
#include "kernels/types.h"

#define MOST_PARTIES (2 + GPUDL_SIMD_LAST + 1)

/* What is timed: a call of a primitive or of an own kernel. run is NULL where there is none. */
typedef struct Party Party;
struct Party {
    void (*run)(Party *party);
    char name[64];
    double least; /* seconds a call */
    int calls;    /* in a round */
    dnnl_primitive_t primitive;
    dnnl_memory_t memories[6];
    dnnl_exec_arg_t args[6];
    int n_args;
    Party *next;      /* primitives that follow in the same call, or NULL */
    const void *what; /* the own kernel's description, tables and tensors */
    const void *kernels;
    const void *x;
    const float *packed;
    void *y;
    float *scratch;
};

extern dnnl_engine_t engine;

/** Memory of values of about one in either type; free(). Zeroed memory would be one page. */
void *values(size_t bytes);
/** Takes pd over; NULL leaves the party without. */
void set_primitive(Party *party, dnnl_primitive_desc_t pd);
/** Runs those that can be run in turns, and fills in what they took. */
void compete(Party *parties, int n);
/** operations: of a call; own parties from the third on. */
void print_line(const char *name, GpudlDType type, double operations, const Party *parties, int n);
void free_parties(Party *parties, int n);

/** Dense convolutions: bench-kernels-dense.c. */
void bench_dense(const char *filter);
/** Inverted residuals: bench-kernels-inverted.c. */
void bench_inverted(const char *filter);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Squeeze-and-excite in a plan: a mean of all pixels, two small products of it, and what the mean was taken of times
 * their result. As one step of kernels/squeeze.h it reads its input twice and nothing else of size.
 */
#ifndef GPUDL_ENGINE_CPU_SQUEEZE_H
#define GPUDL_ENGINE_CPU_SQUEEZE_H

#include "lower.h"

/** The first product with r results, or the second with c: y[n] = act(factor * w x + beta * bias). */
typedef struct {
    int32_t weights, bias; /* constant tensors; bias -1: none */
    int by_rows;           /* weights are [results][operands], else [operands][results] */
    float factor, beta;
    GpudlAct act;
} CpuSqueezeProduct;

typedef struct {
    int32_t x, y;     /* tensors of rank 4 */
    int32_t nodes[8]; /* that are part of it behind the mean's, in their order; the last one writes y */
    int n_nodes;
    CpuSqueezeProduct products[2];
    GpudlSqueeze s; /* channels last */
    const GpudlSqueezeKernels *kernels;
} CpuSqueezeFound;

/** Whether the node is the mean that one begins with, which a step can compute: what lies between is read by nobody
 * else, weights are constant. */
int cpu_squeeze_find(const CpuCompiler *c, int32_t node, CpuSqueezeFound *found);

/** All of it as one step, at the mean's node, where the form that was chosen for that is CPU_FORM_OWN; FALSE, having
 * added nothing, where it is not or there is no such thing. */
CpuLower cpu_lower_squeeze;

#endif

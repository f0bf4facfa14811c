/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Squeeze-and-excite in a plan: a mean of all pixels, two small products of it, and what the mean was taken of times
 * their result. For modules that compute it, or all but the last, as one step.
 */
#ifndef GPUDL_ENGINE_SQUEEZE_H
#define GPUDL_ENGINE_SQUEEZE_H

#include "backend.h"
#include "kernels/kernel.h"

/** The first product with r results, or the second with c: y[n] = act(factor * w x + beta * bias). */
typedef struct {
    int32_t weights, bias; /* constant tensors; bias -1: none */
    int by_rows;           /* weights are [results][operands], else [operands][results] */
    float factor, beta;
    GpudlAct act;
} GpudlSqueezeProduct;

typedef struct {
    int32_t x, gate, y; /* tensors of rank 4: what is scaled, by what, and the result */
    int32_t nodes[8];   /* that are part of it behind the mean's, in their order; the last one writes y */
    int n_nodes;
    int32_t c, r; /* channels, and between the products */
    GpudlSqueezeProduct products[2];
} GpudlSqueezeFound;

/** Whether the node is the mean that one begins with: all is float32, what lies between is read by nobody else, weights
 * are constant. */
int gpudl_squeeze_find(const GpudlPlan *plan, int32_t node, GpudlSqueezeFound *found);

/** Weights as [results][operands] and behind them the bias, scaled; w and bias (NULL: none) are the constants' data,
 * the bias' elements 1 or results. The caller's (free()). NULL if there is no memory. */
float *gpudl_squeeze_dense(const GpudlSqueezeProduct *product, const float *w, const float *bias, int64_t bias_elements,
                           int64_t results, int64_t operands);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Inverted residuals as one step of kernels/inverted.h, in place of the convolutions that they are made of. */
#ifndef GPUDL_ENGINE_CPU_INVERTED_H
#define GPUDL_ENGINE_CPU_INVERTED_H

#include "kernels/inverted.h"
#include "lower.h"
#include "trial.h"

/** An inverted residual by a kernel of our own, and the nodes that it computes (-1: there is none). */
typedef struct {
    const GpudlInvertedKernels *kernels;
    GpudlInverted d;
    int32_t nodes[3];
} CpuInverted;

/** Convolutions, each of which alone reads what the one before it gives; nodes are in their order. Two at least. */
typedef struct {
    int32_t expand, filter, project; /* nodes; expand or project -1: there is none */
    CpuInverted own;
} CpuInvertedFound;

/** Whether a block begins with the node, a product or, where none comes before it, a depthwise convolution. All but
 * its choice is looked at. */
int cpu_inverted_find(const CpuCompiler *c, int32_t node, CpuInvertedFound *found);

/** All of it as one step, at the first node, where the form that was chosen for that is CPU_FORM_STRIPS; FALSE, having
 * added nothing, where it is not or there is no such block. */
CpuLower cpu_lower_inverted;

/** ns of one run, 0: it can't be made. */
uint64_t cpu_inverted_trial(CpuTrial *trial, const CpuInverted *own);

#endif

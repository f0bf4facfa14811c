/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Squeeze-and-excite as one step of kernels/squeeze.h, which reads its input twice and nothing else of size. */
#ifndef GPUDL_ENGINE_CPU_SQUEEZE_H
#define GPUDL_ENGINE_CPU_SQUEEZE_H

#include "engine/squeeze.h"
#include "kernels/squeeze.h"
#include "lower.h"
#include "trial.h"

typedef struct {
    GpudlSqueezeFound nodes;
    GpudlSqueeze s; /* channels last */
    const GpudlSqueezeKernels *kernels;
} CpuSqueezeFound;

/** Whether the node is the mean that one begins with, which a step can compute. */
int cpu_squeeze_find(const CpuCompiler *c, int32_t node, CpuSqueezeFound *found);

/** All of it as one step, at the mean's node, where the form that was chosen for that is CPU_FORM_OWN; FALSE, having
 * added nothing, where it is not or there is no such thing. */
CpuLower cpu_lower_squeeze;

/** ns of one run as one step, 0: it can't be made. */
uint64_t cpu_squeeze_trial(CpuTrial *trial, const CpuSqueezeFound *found);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Timing one implementation alone, on memory made for it. */
#ifndef GPUDL_ENGINE_CPU_TRIAL_H
#define GPUDL_ENGINE_CPU_TRIAL_H

#include "choose.h"
#include "conv.h"
#include "inverted.h"
#include "kernels/squeeze.h"
#include "packed.h"
#include "program.h"

typedef struct {
    const CpuShared *shared;
    CpuClock clock;
    uint64_t sample_ns; /* about as long as one is run */
    void *memory;       /* of the trials so far, filled with small numbers */
    uint64_t bytes;
} CpuTrial;

void cpu_trial_clear(CpuTrial *trial);

/** ns of one run of a convolution, reorder, pool or binary operation (pd stays the caller's), 0 if it can't be made or
 * run; see cpu_measure() for best. */
uint64_t cpu_trial_primitive(CpuTrial *trial, dnnl_primitive_desc_t pd, uint64_t best);
/** The same of a kernel of our own. */
uint64_t cpu_trial_depthwise(CpuTrial *trial, const CpuDepthwise *own, uint64_t best);
uint64_t cpu_trial_tiles(CpuTrial *trial, const CpuTiles *own, uint64_t best);
uint64_t cpu_trial_pointwise(CpuTrial *trial, const CpuPointwise *own, uint64_t best);
uint64_t cpu_trial_stem(CpuTrial *trial, const CpuStem *own, uint64_t best);
uint64_t cpu_trial_inverted(CpuTrial *trial, const CpuInverted *own, uint64_t best);
uint64_t cpu_trial_squeeze(CpuTrial *trial, const GpudlSqueezeKernels *kernels, const GpudlSqueeze *s, uint64_t best);

#endif

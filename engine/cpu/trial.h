/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Timing one implementation alone, on memory made for it. */
#ifndef GPUDL_ENGINE_CPU_TRIAL_H
#define GPUDL_ENGINE_CPU_TRIAL_H

#include "choose.h"
#include "packed.h"
#include "program.h"

typedef struct {
    const CpuShared *shared;
    CpuClock clock;
    uint64_t sample_ns; /* about as long as one is run */
    int cold;           /* weights come from memory, as a whole network's do; else from where the last run left them */
    void *memory;       /* of the trials so far, filled with small numbers */
    uint64_t bytes;
} CpuTrial;

void cpu_trial_clear(CpuTrial *trial);

/** ns of one run of a convolution, product, reorder, pool or binary operation (pd stays the caller's), 0 if it can't be
 * made or run; see cpu_measure() for best. */
uint64_t cpu_trial_primitive(CpuTrial *trial, dnnl_primitive_desc_t pd, uint64_t best);
/** The same of a kernel of our own on n values, CPU_TRIAL_VALUES at most, of these sizes in bytes, weights being the
 * second. */
#define CPU_TRIAL_VALUES 4
uint64_t cpu_trial_own(CpuTrial *trial, CpuOwnFunc *run, const void *problem, uint32_t n, const uint64_t *sizes,
                       uint64_t best);

#endif

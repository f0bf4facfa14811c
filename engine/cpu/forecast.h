/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** The memory that a program will take, before it is made. */
#ifndef GPUDL_ENGINE_CPU_FORECAST_H
#define GPUDL_ENGINE_CPU_FORECAST_H

#include "packed.h"

/** As CpuProgram has them, exactly: bytes of weights, and of work memory per slot. */
typedef struct {
    uint64_t weight_bytes, work_bytes;
} CpuNeeds;

/** What the program of a plan takes, whose constants are readable; the calling thread's OpenMP threads must be 1.
 * Nothing is kept. In bfloat16 oneDNN makes code of some convolutions, to see whether it can. */
GpudlStatus cpu_foresee(const CpuShared *shared, const GpudlPlan *plan, CpuNeeds *needs, GpudlFault *fault);

/** The same for so many slots within limit bytes (0: none): where they are too few for the fastest forms,
 * shared->direct is set, and *needs is what is left. That may still be too much. */
GpudlStatus cpu_fit(CpuShared *shared, const GpudlPlan *plan, uint32_t n_slots, uint64_t limit, CpuNeeds *needs,
                    GpudlFault *fault);

#endif

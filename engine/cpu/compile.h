/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** From a plan to a program. */
#ifndef GPUDL_ENGINE_CPU_COMPILE_H
#define GPUDL_ENGINE_CPU_COMPILE_H

#include "packed.h"
#include "program.h"

/**
 * exact: NaN goes through as kernels/kernel.h says. oneDNN's activations, exponential, maximum pools and softmax make
 * numbers of it, and there is nothing in its interface against that: here these operators are the reference's, and
 * convolutions and products have them behind instead of fused. That is slow, and for frames in which NaN was met.
 *
 * Compiles a plan, whose constants are readable now and need not be afterwards; the calling thread's OpenMP threads
 * must be 1. NULL with *fault and *status. */
CpuProgram *cpu_program_new(CpuShared *shared, const GpudlPlan *plan, int exact, GpudlStatus *status,
                            GpudlFault *fault);

/** Counts what the first program of an engine would choose among; shared needs no oneDNN engine. */
GpudlStatus cpu_program_foresee(CpuShared *shared, const GpudlPlan *plan, GpudlOpenForecast *forecast,
                                GpudlFault *fault);

#endif

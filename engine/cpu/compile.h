/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** From a plan to a program. */
#ifndef GPUDL_ENGINE_CPU_COMPILE_H
#define GPUDL_ENGINE_CPU_COMPILE_H

#include "packed.h"
#include "program.h"

/** Compiles a plan, whose constants are readable now and need not be afterwards; the calling thread's OpenMP threads
 * must be 1. NULL with *fault and *status. */
CpuProgram *cpu_program_new(CpuShared *shared, const GpudlPlan *plan, GpudlStatus *status, GpudlFault *fault);

#endif

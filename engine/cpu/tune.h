/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Which form each convolution and each fully connected layer of a network takes. Every problem is measured alone, once,
 * in each form that it has, and so are the reorders between blocks of channels and channels last; a network's steps
 * then get the forms whose times and reorders add up to the least. Times are kept in the cache, not choices: one
 * problem may be in many networks.
 */
#ifndef GPUDL_ENGINE_CPU_TUNE_H
#define GPUDL_ENGINE_CPU_TUNE_H

#include "lower.h"

/** Fills c->shared->forms as autotune says, from the cache and by measuring. c knows which tensors are wide. Fails the
 * compilation only where there is no memory. */
void cpu_tune(CpuCompiler *c);

/** Counts what cpu_tune() would measure in a forecast, and names to the host what the cache does not know. */
void cpu_tune_foresee(CpuCompiler *c, GpudlOpenForecast *forecast);

#endif

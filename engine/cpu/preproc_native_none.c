/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processors without loops of their own. */
#include "preproc_kernels.h"

const CpuPreprocKernels *cpu_preproc_native(int isa)
{
    return NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Which instructions may be used: what the processor has and oneDNN lets itself use (ONEDNN_MAX_CPU_ISA). Own kernels
 * keep to it as well, so that a limit means the same for all of a network.
 */
#ifndef GPUDL_ENGINE_CPU_ISA_H
#define GPUDL_ENGINE_CPU_ISA_H

#include "kernels/simd.h"
#include "preproc.h"

/** Nonzero if bfloat16 is multiplied by instructions for it (AVX512_BF16, AMX_BF16), not by way of float32. */
int cpu_isa_has_bf16(void);

/** Nonzero if "auto" is bfloat16: on AMX, and where vectors multiply at least 1.25 times as many products in it as
 * in float32. Measured once in a process. For any thread. */
int cpu_isa_prefers_bf16(void);

/** The widest that products run on, for people: "AMX" (for bf16 alone), "AVX-512", "AVX2", ... */
const char *cpu_isa_name(int bf16);

/** Channels of a block of oneDNN's: as many float32 as a vector holds, 8 or 16. */
int cpu_isa_block(void);

/** The widest that kernels of our own may use. */
GpudlSimd cpu_isa_simd(void);

/** The best that pre-processing may use. */
CpuPreprocIsa cpu_isa_preproc(void);

#endif

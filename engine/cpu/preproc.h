/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Pre-processing on the CPU: one pass over the source's bytes, single-threaded, equal to gpudl_preproc_ref within
 * 1/255 of a pixel's range. Rows are resampled first, over contiguous samples whatever they mean, so that each source
 * row is read only for the destination rows it belongs to; columns follow on the one row that is left, then the matrix
 * and the normalisation straight into the planar destination, or by way of three rows into an interleaved one.
 */
#ifndef GPUDL_ENGINE_CPU_PREPROC_H
#define GPUDL_ENGINE_CPU_PREPROC_H

#include "kernels/preproc.h"

/** Instruction sets. The generic one is there on every machine. */
typedef enum {
    CPU_PREPROC_GENERIC = 0,
    CPU_PREPROC_AVX2,   /* and FMA */
    CPU_PREPROC_AVX512, /* F, BW, VL */
    CPU_PREPROC_N_ISAS
} CpuPreprocIsa;

/** One worker's pre-processing with the tables of the geometries it met last. */
typedef struct CpuPreproc CpuPreproc;

/** The best instruction set this machine runs. */
CpuPreprocIsa cpu_preproc_best(void);

/** "generic", "avx2", "avx512". */
const char *cpu_preproc_isa_name(CpuPreprocIsa isa);

/** NULL if there is no memory or the machine does not run isa. Free with cpu_preproc_free(), which takes NULL. */
CpuPreproc *cpu_preproc_new(CpuPreprocIsa isa);
void cpu_preproc_free(CpuPreproc *self);

/** Order of the values of dst, the first two being the same for one channel. */
typedef enum {
    CPU_PREPROC_PLANAR = 0,      /* [channels][height][width] */
    CPU_PREPROC_INTERLEAVED,     /* [height][width][channels] */
    CPU_PREPROC_INTERLEAVED_BF16 /* the same of three channels, rounded to bfloat16 */
} CpuPreprocLayout;

/**
 * Fills dst, float32 unless layout says otherwise, dense. Allocates only when the geometry (frame's format, size, crop,
 * colour, pp) is none of the last 8. Returns NULL, or what is wrong (static text; nothing is written then).
 */
const char *cpu_preproc_run(CpuPreproc *self, const GpudlFrame *frame, const GpudlPreproc *pp, CpuPreprocLayout layout,
                            void *dst);

#endif

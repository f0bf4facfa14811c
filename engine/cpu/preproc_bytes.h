/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * bicubic-bytes on the CPU: Pillow's integers, equal to the reference's to the bit. All rows that are needed are
 * resampled along themselves first, into bytes; then columns, a destination row at a time.
 */
#ifndef GPUDL_ENGINE_CPU_PREPROC_BYTES_H
#define GPUDL_ENGINE_CPU_PREPROC_BYTES_H

#include "kernels/preproc_parts.h"

typedef struct CpuPreprocBytes CpuPreprocBytes;

/** Tables for frames of this format, size and crop, whose method (gpudl_preproc_method()) is bicubic-bytes. NULL: no
 * memory. Free with cpu_preproc_bytes_free(), which takes NULL. */
CpuPreprocBytes *cpu_preproc_bytes_new(const GpudlFrame *frame, const GpudlPreproc *pp,
                                       const GpudlPreprocGeometry *geometry);
void cpu_preproc_bytes_free(CpuPreprocBytes *self);

/** Takes in a frame: what cpu_preproc_bytes_row() makes is of it. */
void cpu_preproc_bytes_across(CpuPreprocBytes *self, const GpudlFrame *frame);

/** Row y of the destination rectangle: component k's bytes, as numbers, to out[k]. */
void cpu_preproc_bytes_row(const CpuPreprocBytes *self, int32_t y, float *const out[3]);

#endif

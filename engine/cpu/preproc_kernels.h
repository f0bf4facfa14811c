/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The inner loops of pre-processing, one table per instruction set. No state, no allocation.
 */
#ifndef GPUDL_ENGINE_CPU_PREPROC_KERNELS_H
#define GPUDL_ENGINE_CPU_PREPROC_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/preproc_parts.h"

/** Taps of a column are padded with zero weights to a multiple of this. */
#define CPU_PREPROC_LANES 8
/** Floats that a vertical pass may write past n, and a horizontal one past its n outputs. */
#define CPU_PREPROC_SLACK 64

/** Matrix, clamp and normalisation of one row: out = clamp(offset + matrix in, 0, 255) * gain + bias per channel. */
typedef struct {
    float matrix[3][3], offset[3], gain[3], bias[3];
    int32_t n_in, n_out; /* 1 or 3 each */
} CpuPreprocColor;

typedef struct {
    const char *name;

    /** out[i] = gain * sum over k < n_taps of weights[k] * src[k * stride + i], i < n. n_taps is even but for the last
     * row, which then does not exist: with n_rows odd the last weight is 0 and its row is not read. Reads only the n
     * bytes of n_rows rows. |weights| sums stay below 2^31 / 255. */
    void (*vertical)(const uint8_t *src, ptrdiff_t stride, const int16_t *weights, int32_t n_rows, int32_t n,
                     float gain, float *out);

    /** The same of n samples of two bytes each, as layout has them; stride is in bytes, src and stride may be odd.
     * |weights| sums stay below 2^31 / 1023. */
    void (*vertical_words)(const GpudlPixelLayout *layout, const uint8_t *src, ptrdiff_t stride, const int16_t *weights,
                           int32_t n_rows, int32_t n, float gain, float *out);

    /** out[j] = sum over i < k of weights[j * k + i] * row[first[j] + i], j < n rounded up to CPU_PREPROC_LANES (the
     * tables are padded so). k is a multiple of CPU_PREPROC_LANES, weights are aligned to 32 bytes. */
    void (*horizontal)(const float *row, const int32_t *first, const float *weights, int32_t k, int32_t n, float *out);

    /** n pixels; writes exactly n values of each output. */
    void (*color)(const CpuPreprocColor *color, const float *const in[3], int32_t n, float *const out[3]);
} CpuPreprocKernels;

extern const CpuPreprocKernels cpu_preproc_generic;

/** Tables of this machine's own instruction sets by CpuPreprocIsa, NULL where the machine does not run them. */
const CpuPreprocKernels *cpu_preproc_native(int isa);

#endif

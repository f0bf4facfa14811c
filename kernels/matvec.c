/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "matvec.h"

#include <string.h>

#include "lanes.h"
#include "matvec_x86.h"

#define MOST (1 << 28)

int gpudl_matvec_supported(const GpudlMatvec *d)
{
    if ((d->type != GPUDL_DTYPE_F32 && d->type != GPUDL_DTYPE_BF16) ||
        (d->y_type != GPUDL_DTYPE_F32 && d->y_type != d->type) || d->n < 1 || d->n > MOST || d->k < 1 || d->k > MOST)
        return 0;
    return gpudl_lanes_act(&d->act);
}

size_t gpudl_matvec_weights_size(const GpudlMatvec *d)
{
    return (size_t)gpudl_matvec_rows(d) * (sizeof(float) + (size_t)gpudl_matvec_chunks(d) * GPUDL_MATVEC_CHUNK);
}

void gpudl_matvec_pack_biases(const GpudlMatvec *d, const float *bias, int way, float factor, void *packed)
{
    float *to = packed;

    for (int64_t i = 0; i < gpudl_matvec_rows(d); i++)
        to[i] = bias != NULL && i < d->n ? factor * bias[i * way] : 0.f;
}

/* As gpudl_f32_to_bf16() has it; in line, since compilers make vectors of it. */
static inline uint16_t rounded(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* So many elements, way apart, as a chunk, which is zeros behind them. */
static void pack_chunk(GpudlDType type, const float *from, int64_t n, int64_t way, float factor, uint8_t *to)
{
    float values[GPUDL_MATVEC_CHUNK / sizeof(uint16_t)] = {0};

    if (way == 1)
        for (int64_t i = 0; i < n; i++)
            values[i] = factor * from[i];
    else
        for (int64_t i = 0; i < n; i++)
            values[i] = factor * from[i * way];
    if (type == GPUDL_DTYPE_F32) {
        memcpy(to, values, GPUDL_MATVEC_CHUNK);
    } else {
        uint16_t narrow[GPUDL_MATVEC_CHUNK / sizeof(uint16_t)];

        for (int i = 0; i < GPUDL_MATVEC_CHUNK / (int)sizeof(uint16_t); i++)
            narrow[i] = rounded(values[i]);
        memcpy(to, narrow, sizeof narrow);
    }
}

void gpudl_matvec_pack_weights(const GpudlMatvec *d, const float *w, int by_rows, float factor, void *packed)
{
    const int64_t rows = gpudl_matvec_rows(d), chunks = gpudl_matvec_chunks(d), elements = gpudl_matvec_elements(d);
    uint8_t *to = (uint8_t *)packed + rows * (int64_t)sizeof(float);

    for (int64_t row = 0; row < rows; row += GPUDL_MATVEC_ROWS)
        for (int64_t chunk = 0; chunk < chunks; chunk++)
            for (int64_t r = row; r < row + GPUDL_MATVEC_ROWS; r++, to += GPUDL_MATVEC_CHUNK) {
                const int64_t k = chunk * elements, left = d->k - k < elements ? d->k - k : elements;

                if (r >= d->n)
                    memset(to, 0, GPUDL_MATVEC_CHUNK);
                else if (by_rows)
                    pack_chunk(d->type, w + r * d->k + k, left, 1, factor, to);
                else
                    pack_chunk(d->type, w + k * d->n + r, left, d->n, factor, to);
            }
}

const GpudlMatvecKernels *gpudl_matvec_kernels(GpudlSimd simd, GpudlDType type)
{
    return gpudl_matvec_native(simd, type);
}

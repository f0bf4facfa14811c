/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "preproc_kernels.h"

static void vertical(const uint8_t *src, ptrdiff_t stride, const int16_t *weights, int32_t n_rows, int32_t n,
                     float gain, float *out)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t sum = 0;

        for (int32_t k = 0; k < n_rows; k++)
            sum += weights[k] * src[k * stride + i];
        out[i] = gain * (float)sum;
    }
}

static void vertical_words(const GpudlPixelLayout *layout, const uint8_t *src, ptrdiff_t stride, const int16_t *weights,
                           int32_t n_rows, int32_t n, float gain, float *out)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t sum = 0;

        for (int32_t k = 0; k < n_rows; k++)
            sum += weights[k] * gpudl_sample(layout, src + k * stride + 2 * (ptrdiff_t)i);
        out[i] = gain * (float)sum;
    }
}

static void horizontal(const float *row, const int32_t *first, const float *weights, int32_t k, int32_t n, float *out)
{
    for (int32_t j = 0; j < n; j++) {
        const float *from = row + first[j], *w = weights + (size_t)j * k;
        /* as many partial sums as lanes: compilers may keep them in vectors, and the sum rounds as the others do */
        float sums[CPU_PREPROC_LANES] = {0}, sum = 0;

        for (int32_t i = 0; i < k; i += CPU_PREPROC_LANES)
            for (int32_t l = 0; l < CPU_PREPROC_LANES; l++)
                sums[l] += w[i + l] * from[i + l];
        for (int32_t l = 0; l < CPU_PREPROC_LANES; l++)
            sum += sums[l];
        out[j] = sum;
    }
}

static void color(const CpuPreprocColor *t, const float *const in[3], int32_t n, float *const out[3])
{
    for (int32_t c = 0; c < t->n_out; c++) {
        for (int32_t i = 0; i < n; i++) {
            float pixel = t->offset[c];

            for (int32_t k = 0; k < t->n_in; k++)
                pixel += t->matrix[c][k] * in[k][i];
            pixel = pixel < 0.f ? 0.f : pixel > 255.f ? 255.f : pixel;
            out[c][i] = pixel * t->gain[c] + t->bias[c];
        }
    }
}

const CpuPreprocKernels cpu_preproc_generic = {"generic", vertical, vertical_words, horizontal, color};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>
#include <string.h>

#include "join_x86.h"

static void copy(const void *x, int64_t x_pitch, int64_t rows, int64_t n, void *y, int64_t y_pitch)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy((char *)y + r * y_pitch, (const char *)x + r * x_pitch, (size_t)n);
}

static void f32(const float *x, int64_t x_pitch, int64_t rows, int64_t n, const float *scale, const float *shift,
                int relu, float *y, int64_t y_pitch)
{
    for (int64_t r = 0; r < rows; r++, x += x_pitch, y += y_pitch) {
        for (int64_t i = 0; i < n; i++) {
            float value = x[i] * scale[i] + shift[i];

            y[i] = relu && value < 0.f ? 0.f : value;
        }
    }
}

static const GpudlJoinKernels generic = {"join:generic", copy, f32, NULL};

const GpudlJoinKernels *gpudl_join_kernels(GpudlJoinIsa isa)
{
    return isa == GPUDL_JOIN_GENERIC ? &generic : gpudl_join_native(isa);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pack.h"

#include <math.h>
#include <string.h>

#include "kernels/half.h"
#include "kernels/half_row.h"

#define PIECE 4096 /* halves that are turned round at once, near the processor */

uint64_t cuda_pack_bytes(const CudaPacking *packing, int64_t rows)
{
    return (uint64_t)(rows * packing->taps * packing->pitch) * gpudl_dtype_size(packing->dtype);
}

/* The largest stay finite: what the device cuts off of them leaves TF32's largest. */
static float to_tf32(float value)
{
    const uint32_t exponent = 0x7f800000u;
    uint32_t bits, rounded;

    memcpy(&bits, &value, sizeof bits);
    rounded = (bits + 0xfffu + (bits >> 13 & 1u)) & ~0x1fffu;
    if ((bits & exponent) != exponent && (rounded & exponent) != exponent)
        memcpy(&value, &rounded, sizeof value);
    return value;
}

/* n values that lie stride apart, by a function whose infinities have these bits. Returns how many became infinite. */
__attribute__((always_inline)) static inline int64_t narrow(const float *from, int64_t stride, float scale, int64_t n,
                                                            uint16_t (*convert)(float), uint16_t exponent, uint16_t *to,
                                                            float *large)
{
    int64_t wrong = 0;

    for (int64_t i = 0; i < n; i++) {
        const float value = scale * from[i * stride];

        to[i] = convert(value);
        if ((to[i] & exponent) == exponent && isfinite(value)) {
            *large = value;
            wrong++;
        }
    }
    return wrong;
}

static void to_single(const float *from, int64_t stride, float scale, int tf32, int64_t n, float *to)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = tf32 ? to_tf32(scale * from[i * stride]) : scale * from[i * stride];
}

/* Channels that lie one after the other. */
static int64_t narrow_row(const CudaPacking *p, GpudlHalfRowFunc *halves, const float *from, uint16_t *to, float *large)
{
    if (halves(from, p->scale, p->channels, to))
        return 0;
    return narrow(from, 1, p->scale, p->channels, gpudl_f32_to_f16, 0x7c00, to, large);
}

/* A kernel [channel][tap] to [tap][channel], so many channels at a time that what is turned round stays near. */
static int turn_kernel(const CudaPacking *p, GpudlHalfRowFunc *halves, const float *from, uint16_t *to)
{
    const int64_t most = PIECE / p->taps;
    uint16_t room[PIECE];

    for (int64_t first = 0; first < p->channels; first += most) {
        const int64_t n = p->channels - first < most ? p->channels - first : most;

        if (!halves(from + first * p->taps, p->scale, n * p->taps, room))
            return 0;
        for (int64_t i = 0; i < p->taps; i++)
            for (int64_t c = 0; c < n; c++)
                to[i * p->pitch + first + c] = room[c * p->taps + i];
    }
    return 1;
}

/* One kernel to float16, by whole rows where it lies so. What is infinite is looked at value by value. */
static int64_t pack_halves(const CudaPacking *p, GpudlHalfRowFunc *halves, const float *from, uint16_t *to,
                           float *large)
{
    int64_t wrong = 0;

    if (p->strides[1] == 1 && p->strides[2] == p->taps && p->taps > 1 && p->taps <= PIECE &&
        turn_kernel(p, halves, from, to))
        return 0;
    for (int64_t i = 0; i < p->taps; i++) {
        if (p->strides[2] == 1)
            wrong += narrow_row(p, halves, from + i * p->strides[1], to + i * p->pitch, large);
        else
            wrong += narrow(from + i * p->strides[1], p->strides[2], p->scale, p->channels, gpudl_f32_to_f16, 0x7c00,
                            to + i * p->pitch, large);
    }
    return wrong;
}

static int64_t pack_kernel(const CudaPacking *p, const float *from, uint8_t *to, float *large)
{
    const size_t size = gpudl_dtype_size(p->dtype);
    int64_t wrong = 0;

    for (int64_t i = 0; i < p->taps; i++, from += p->strides[1], to += (size_t)p->pitch * size)
        if (p->dtype == GPUDL_DTYPE_BF16)
            wrong += narrow(from, p->strides[2], p->scale, p->channels, gpudl_f32_to_bf16, 0x7f80,
                            (uint16_t *)(void *)to, large);
        else
            to_single(from, p->strides[2], p->scale, p->tf32, p->channels, (float *)(void *)to);
    return wrong;
}

int cuda_pack_rows(const CudaPacking *p, int64_t begin, int64_t end, void *to, float *large)
{
    GpudlHalfRowFunc *const halves = gpudl_half_row_best();
    int64_t wrong = 0;

    if (p->pitch > p->channels || end > p->kernels)
        memset(to, 0, cuda_pack_bytes(p, end - begin));
    for (int64_t k = begin; k < end && k < p->kernels; k++) {
        const float *from = p->from + k * p->strides[0];
        uint8_t *at = (uint8_t *)to + cuda_pack_bytes(p, k - begin);

        if (p->dtype == GPUDL_DTYPE_F16)
            wrong += pack_halves(p, halves, from, (uint16_t *)(void *)at, large);
        else
            wrong += pack_kernel(p, from, at, large);
    }
    return wrong == 0;
}

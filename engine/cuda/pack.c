/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pack.h"

#include <math.h>
#include <string.h>

#include "kernels/half.h"

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

int cuda_pack_rows(const CudaPacking *p, int64_t begin, int64_t end, void *to, float *large)
{
    const size_t size = gpudl_dtype_size(p->dtype);
    int64_t wrong = 0;

    if (p->pitch > p->channels || end > p->kernels)
        memset(to, 0, cuda_pack_bytes(p, end - begin));
    for (int64_t k = begin; k < end && k < p->kernels; k++)
        for (int64_t i = 0; i < p->taps; i++) {
            const float *from = p->from + k * p->strides[0] + i * p->strides[1];
            uint8_t *at = (uint8_t *)to + (size_t)(((k - begin) * p->taps + i) * p->pitch) * size;

            if (p->dtype == GPUDL_DTYPE_F16)
                wrong += narrow(from, p->strides[2], p->scale, p->channels, gpudl_f32_to_f16, 0x7c00,
                                (uint16_t *)(void *)at, large);
            else if (p->dtype == GPUDL_DTYPE_BF16)
                wrong += narrow(from, p->strides[2], p->scale, p->channels, gpudl_f32_to_bf16, 0x7f80,
                                (uint16_t *)(void *)at, large);
            else
                to_single(from, p->strides[2], p->scale, p->tf32, p->channels, (float *)(void *)at);
        }
    return wrong == 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "squeeze.h"

#include <string.h>

#include "half.h"
#include "squeeze_x86.h"

static int known(const GpudlAct *act)
{
    switch (act->kind) {
    case GPUDL_ACT_NONE:
    case GPUDL_ACT_RELU:
    case GPUDL_ACT_CLIP:
    case GPUDL_ACT_SIGMOID:
    case GPUDL_ACT_SILU:
    case GPUDL_ACT_HARD_SIGMOID:
    case GPUDL_ACT_HARD_SWISH:
        return 1;
    default:
        return 0;
    }
}

int gpudl_squeeze_supported(const GpudlSqueeze *s)
{
    return (s->type == GPUDL_DTYPE_F32 || s->type == GPUDL_DTYPE_BF16) && s->n >= 1 && s->pixels >= 1 && s->c >= 1 &&
           s->r >= 1 && s->x_pixel >= s->c && s->x_frame / s->pixels >= s->x_pixel && s->y_pixel >= s->c &&
           s->y_frame / s->pixels >= s->y_pixel && known(&s->inner) && known(&s->gate);
}

/* bias1 [r16], bias2 [c16] as float32; w1 [r][c16], w2 [c16 / 16][r][16] in the type */
size_t gpudl_squeeze_weights_size(const GpudlSqueeze *s)
{
    const int64_t c = gpudl_squeeze_round(s->c), r = gpudl_squeeze_round(s->r);

    return (size_t)(r + c) * sizeof(float) + ((size_t)(2 * s->r * c) * gpudl_dtype_size(s->type) + 63) / 64 * 64;
}

/* means and gates [c16], what is between [r16] */
size_t gpudl_squeeze_scratch_size(const GpudlSqueeze *s)
{
    return (size_t)(gpudl_squeeze_round(s->c) + gpudl_squeeze_round(s->r)) * sizeof(float);
}

static void put(const GpudlSqueeze *s, void *weights, int64_t i, float value)
{
    const uint16_t half = gpudl_f32_to_bf16(value);

    if (s->type == GPUDL_DTYPE_BF16)
        memcpy((uint8_t *)weights + i * 2, &half, 2);
    else
        memcpy((uint8_t *)weights + i * 4, &value, 4);
}

void gpudl_squeeze_pack(const GpudlSqueeze *s, const float *w1, const float *bias1, const float *w2, const float *bias2,
                        void *packed)
{
    const int64_t c = gpudl_squeeze_round(s->c), r = gpudl_squeeze_round(s->r), block = GPUDL_SQUEEZE_BLOCK;
    float *biases = packed;
    void *weights = biases + r + c;

    memset(packed, 0, gpudl_squeeze_weights_size(s));
    for (int64_t i = 0; i < s->r && bias1 != NULL; i++)
        biases[i] = bias1[i];
    for (int64_t i = 0; i < s->c && bias2 != NULL; i++)
        biases[r + i] = bias2[i];
    for (int64_t i = 0; i < s->r; i++)
        for (int64_t k = 0; k < s->c; k++) {
            put(s, weights, i * c + k, w1[i * s->c + k]);
            put(s, weights, s->r * c + (k / block * s->r + i) * block + k % block, w2[k * s->r + i]);
        }
}

const GpudlSqueezeKernels *gpudl_squeeze_kernels(GpudlSimd simd)
{
    return simd == GPUDL_SIMD_GENERIC ? &gpudl_squeeze_generic : gpudl_squeeze_native(simd);
}

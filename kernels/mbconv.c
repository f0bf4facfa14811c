/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mbconv.h"

#include <math.h>
#include <string.h>

#include "half.h"

/* Sides and channels beyond these would leave 32 bits somewhere, and no network has them. */
#define MOST_CHANNELS 65536
#define MOST_SIDE 32768

int gpudl_mbconv_has_act(GpudlActKind kind)
{
    return kind == GPUDL_ACT_NONE || kind == GPUDL_ACT_RELU || kind == GPUDL_ACT_CLIP || kind == GPUDL_ACT_LEAKY_RELU ||
           kind == GPUDL_ACT_SIGMOID || kind == GPUDL_ACT_SILU || kind == GPUDL_ACT_HARD_SIGMOID ||
           kind == GPUDL_ACT_HARD_SWISH;
}

static int is_picture(const GpudlNhwc *s)
{
    return s->n >= 0 && s->h >= 1 && s->w >= 1 && s->c >= 8 && s->c % 8 == 0 && s->c <= MOST_CHANNELS &&
           s->h <= MOST_SIDE && s->w <= MOST_SIDE && s->pitch >= s->c && s->pitch % 8 == 0 &&
           s->pitch <= INT32_MAX / ((int64_t)s->h * s->w);
}

int gpudl_mbconv_check(const GpudlMbconv *b)
{
    const int is_square = (b->taps == 3 || b->taps == 5) && (b->stride == 1 || b->stride == 2);

    if ((b->dtype != GPUDL_DTYPE_F16 && b->dtype != GPUDL_DTYPE_BF16) || !is_picture(&b->xs) || !is_picture(&b->ys) ||
        b->xs.n != b->ys.n || !is_square || b->hidden < 1 || b->hidden > MOST_CHANNELS ||
        (!b->expands && b->hidden != b->xs.c))
        return GPUDL_KERNEL_SHAPE;
    for (int d = 0; d < 2; d++)
        if (b->pad[d] < 0 || b->pad[d] >= b->taps)
            return GPUDL_KERNEL_SHAPE;
    if (b->z_pitch != 0 && (b->z_pitch < b->ys.c || b->z_pitch % 8 != 0))
        return GPUDL_KERNEL_SHAPE;
    return gpudl_mbconv_has_act(b->expand.kind) && gpudl_mbconv_has_act(b->depthwise.kind) &&
                   gpudl_mbconv_has_act(b->project.kind)
               ? GPUDL_KERNEL_OK
               : GPUDL_KERNEL_SHAPE;
}

int64_t gpudl_mbconv_weight_bytes(const GpudlMbconv *block)
{
    return (int64_t)gpudl_mbconv_sixteens(block->hidden) * gpudl_mbconv_slice(block).next;
}

/* ---- packing ----------------------------------------------------------------------------------------------------- */

/* A matrix [rows][columns]; what is beyond it is 0. */
typedef struct {
    GpudlDType dtype; /* as packed */
    const float *values;
    int64_t rows, columns;
} Matrix;

static int put(const Matrix *m, int64_t row, int64_t column, uint8_t *to)
{
    const float v = row < m->rows && column < m->columns ? m->values[row * m->columns + column] : 0.f;
    const int is_bf16 = m->dtype == GPUDL_DTYPE_BF16;
    const uint16_t bits = is_bf16 ? gpudl_f32_to_bf16(v) : gpudl_f32_to_f16(v);

    memcpy(to, &bits, sizeof bits);
    return (bits & 0x7fff) != (is_bf16 ? 0x7f80 : 0x7c00) || isinf(v);
}

/* Rows row .. row + 15 are the results', columns column .. column + 15 are summed over. */
static int put_operand(const Matrix *m, int64_t row, int64_t column, uint8_t *to)
{
    int fits = 1;

    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 8; i++) { /* of the lane: two results, each two words of two halfs */
            const int64_t result = row + i / 4 * 8 + lane / 4, term = column + i / 2 % 2 * 8 + lane % 4 * 2 + i % 2;

            fits &= put(m, result, term, to + (lane * 8 + i) * 2);
        }
    return fits;
}

/* Of a channel, in the order of mbconv.h. */
static int put_taps(const Matrix *m, int64_t channel, int32_t taps, uint8_t *to)
{
    const int32_t words = gpudl_mbconv_tap_words(taps), pairs = taps * (taps - 1);
    int fits = 1;

    for (int32_t i = 0; i < words; i++) {
        const int32_t behind = i - pairs, row = behind < taps - 1 ? behind : behind - (taps - 1) + 1;
        const int32_t tap = i < pairs ? i / (taps - 1) * taps + i % (taps - 1) : row * taps + taps - 1;

        fits &= put(m, channel, tap, to + i * 4 + channel % 2 * 2);
    }
    return fits;
}

static void put_biases(const GpudlMbconv *block, const float *bias, int64_t first, uint8_t *to)
{
    for (int i = 0; i < GPUDL_MBCONV_SLICE; i++) {
        const float v = bias != NULL && first + i < block->hidden ? bias[first + i] : 0.f;

        memcpy(to + i * 4, &v, sizeof v);
    }
}

int gpudl_mbconv_pack(const GpudlMbconv *block, const GpudlMbconvWeights *weights, void *packed)
{
    const GpudlMbconvSlice s = gpudl_mbconv_slice(block);
    const int area = block->taps * block->taps;
    const Matrix expand = {block->dtype, weights->expand, block->hidden, block->xs.c};
    const Matrix taps = {block->dtype, weights->depthwise, block->hidden, area};
    const Matrix project = {block->dtype, weights->project, block->ys.c, block->hidden};
    uint8_t *to = packed;
    int fits = 1;

    for (int64_t first = 0; first < block->hidden; first += GPUDL_MBCONV_SLICE, to += s.next) {
        for (int32_t k = 0; block->expands && k < gpudl_mbconv_sixteens(block->xs.c); k++)
            fits &= put_operand(&expand, first, k * 16, to + k * GPUDL_MBCONV_OPERAND);
        memset(to + s.taps, 0, (size_t)(s.biases - s.taps));
        for (int i = 0; i < GPUDL_MBCONV_SLICE; i++)
            fits &= put_taps(&taps, first + i, block->taps, to + s.taps + i * gpudl_mbconv_tap_bytes(block->taps));
        put_biases(block, block->expands ? weights->expand_bias : NULL, first, to + s.biases);
        put_biases(block, weights->depthwise_bias, first, to + s.biases + GPUDL_MBCONV_SLICE * 4);
        for (int32_t k = 0; k < gpudl_mbconv_sixteens(block->ys.c); k++)
            fits &= put_operand(&project, k * 16, first, to + s.project + k * GPUDL_MBCONV_OPERAND);
    }
    return fits;
}

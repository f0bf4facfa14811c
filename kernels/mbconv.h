/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * How the weights of an inverted residual lie for its kernels (mbconv_cuda.h has the contract).
 *
 * Hidden channels go by in slices of 16, and what a slice needs lies together, so that any number of slices is one
 * copy:
 *   expand     for each 16 input channels: 32 lanes x 4 words, the second operands of the products that make channels
 *              0..7 and 8..15 of the slice (mma.m16n8k16's b0 and b1, twice)
 *   taps       for each of 16 channels its taps, and as much of nothing behind them: words that have a tap in the half
 *              that is the channel's of a pair of channels (the diagonal of a second operand), in this order, so that
 *              what one product takes of two lies in neighbours: of each row all but its last tap; the last taps of
 *              the rows but the last one; those of the rows but the first one
 *   biases     float32 expand [16], depthwise [16]
 *   project    for each 16 output channels: 32 lanes x 4 words, likewise
 * What is beyond the channels is 0.
 */
#ifndef GPUDL_KERNELS_MBCONV_H
#define GPUDL_KERNELS_MBCONV_H

#include "mbconv_cuda.h"

#define GPUDL_MBCONV_SLICE 16    /* hidden channels */
#define GPUDL_MBCONV_OPERAND 512 /* bytes of second operands for 16 x 16 */

/** Words of a channel's taps, and bytes to the next one's. */
static inline int32_t gpudl_mbconv_tap_words(int32_t taps)
{
    return (taps - 1) * (taps + 2);
}

static inline int32_t gpudl_mbconv_tap_bytes(int32_t taps)
{
    return (gpudl_mbconv_tap_words(taps) + 3) / 4 * 16;
}

/** Bytes from the begin of a slice to each part, and to the next slice. */
typedef struct {
    int32_t taps, biases, project, next;
} GpudlMbconvSlice;

static inline int32_t gpudl_mbconv_sixteens(int32_t channels)
{
    return channels / 16 + (channels % 16 != 0);
}

static inline GpudlMbconvSlice gpudl_mbconv_slice(const GpudlMbconv *block)
{
    GpudlMbconvSlice s;

    s.taps = block->expands ? gpudl_mbconv_sixteens(block->xs.c) * GPUDL_MBCONV_OPERAND : 0;
    s.biases = s.taps + (GPUDL_MBCONV_SLICE + 1) * gpudl_mbconv_tap_bytes(block->taps);
    s.project = s.biases + 128;
    s.next = s.project + gpudl_mbconv_sixteens(block->ys.c) * GPUDL_MBCONV_OPERAND;
    return s;
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * How the weights of an inverted residual lie for its kernels (mbconv_cuda.h has the contract).
 *
 * Hidden channels go by in slices of 16, and what a slice needs lies together, so that any number of slices is one
 * copy:
 *   expand     for each 16 input channels: 32 lanes x 4 words, the second operands of the products that make channels
 *              0..7 and 8..15 of the slice (mma.m16n8k16's b0 and b1, twice)
 *   taps       float16 [taps * taps][16]
 *   biases     float32 expand [16], depthwise [16]
 *   project    for each 16 output channels: 32 lanes x 4 words, likewise
 * What is beyond the channels is 0.
 */
#ifndef GPUDL_KERNELS_MBCONV_H
#define GPUDL_KERNELS_MBCONV_H

#include "mbconv_cuda.h"

#define GPUDL_MBCONV_SLICE 16    /* hidden channels */
#define GPUDL_MBCONV_OPERAND 512 /* bytes of second operands for 16 x 16 */

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
    s.biases = s.taps + block->taps * block->taps * GPUDL_MBCONV_SLICE * 2;
    s.project = s.biases + 128;
    s.next = s.project + gpudl_mbconv_sixteens(block->ys.c) * GPUDL_MBCONV_OPERAND;
    return s;
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Tables that depthwise.c chooses from. */
#ifndef GPUDL_KERNELS_DEPTHWISE_X86_H
#define GPUDL_KERNELS_DEPTHWISE_X86_H

#include "depthwise.h"

extern const GpudlDepthwiseKernels gpudl_depthwise_generic, gpudl_depthwise_avx2, gpudl_depthwise_avx512,
    gpudl_depthwise_avx512_bf16;

/** What x and y are: both float32, both bfloat16, or float32 and bfloat16. */
typedef enum { GPUDL_DEPTHWISE_F32 = 0, GPUDL_DEPTHWISE_BF16, GPUDL_DEPTHWISE_NARROWS } GpudlDepthwiseTypes;

/** n rows of y whose rows of x, (n - 1) * stride + kernel, are told one by one, NULL: of padding. Of d columns,
 * channels, taps, stride, pad_left, activation and the ways from pixel to pixel and from row to row of y are read. Only
 * AVX512_BF16's narrows. */
typedef void GpudlDepthwiseRows(const GpudlDepthwise *d, GpudlDepthwiseTypes types, int32_t n, const void *const *x,
                                const float *packed, void *y);
GpudlDepthwiseRows gpudl_depthwise_rows_avx512, gpudl_depthwise_rows_avx512_bf16;

/** That of an instruction set other than GENERIC, NULL where the processor has it not. */
const GpudlDepthwiseKernels *gpudl_depthwise_native(GpudlSimd simd);

#endif

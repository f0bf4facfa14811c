/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Weights as products on the device read them, made of a plan's. On the host, any thread. */
#ifndef GPUDL_ENGINE_CUDA_PACK_H
#define GPUDL_ENGINE_CUDA_PACK_H

#include <stdint.h>

#include "kernels/kernel.h"

/** [rows][taps][pitch] of float32 values that lie by three strides; zeros beyond kernels and channels. */
typedef struct {
    const float *from;
    int64_t kernels, taps, channels; /* that there are */
    int64_t strides[3];              /* of these in from, elements */
    int64_t rows, pitch;             /* at least kernels, channels */
    GpudlDType dtype;                /* of the result: float32, float16 or bfloat16, to nearest, ties to even */
    int tf32;                        /* float32 is rounded so to what TF32 has, which the device only cuts off to */
    float scale;
} CudaPacking;

/** Bytes of so many rows. */
uint64_t cuda_pack_bytes(const CudaPacking *packing, int64_t rows);
/** Writes the rows begin <= row < end to to, which begins with the first of them. FALSE if a finite value is more than
 * the type holds; *large is one. */
int cuda_pack_rows(const CudaPacking *packing, int64_t begin, int64_t end, void *to, float *large);

#endif

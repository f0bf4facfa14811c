/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The end of a classification network on a CUDA device: activation and the best classes, in one kernel.
 */
#ifndef GPUDL_KERNELS_CLASSIFY_CUDA_H
#define GPUDL_KERNELS_CLASSIFY_CUDA_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Pairs per row, best first. */
#define GPUDL_CLASSIFY_BEST 16
/** Most classes of a row. */
#define GPUDL_CLASSIFY_CLASSES 65536

typedef enum {
    GPUDL_CLASSIFY_NONE = 0, /* scores are the logits */
    GPUDL_CLASSIFY_SOFTMAX,  /* softmax.h over a row */
    GPUDL_CLASSIFY_SIGMOID,  /* 1 / (1 + exp(-x)) */
    GPUDL_CLASSIFY_LAST = GPUDL_CLASSIFY_SIGMOID
} GpudlClassifyKind;

/** A class and its score. id UINT32_MAX, score 0: there are no more. */
typedef struct {
    uint32_t id;
    float score;
} GpudlClassifyPair;

/**
 * scores = activation of the logits; best = the highest scores of each row in the order of topk.h, NaN left out.
 *
 * logits   float32, float16 or bfloat16 [rows][classes], else GPUDL_KERNEL_DTYPE; rows pitch elements apart
 * scores   float32 [rows][classes], dense; computed in float32. Relative error at most 2^-19, and 2^-24 for each unit
 *          that a logit lies below the row's highest (float32 rounds the difference). Scores below 2^-126, which
 *          float32 holds with fewer bits or not at all, may be 0: the device's exponential has none of them
 * best     [rows][GPUDL_CLASSIFY_BEST], of the scores as they are written: equal ones by lower id
 *
 * classes is 1 .. GPUDL_CLASSIFY_CLASSES, else GPUDL_KERNEL_SHAPE. Returns before the device is done: 0, a status, or
 * the launch's CUDA error.
 */
typedef int GpudlClassifyCudaFunc(GpudlClassifyKind kind, GpudlDType dtype, const void *logits, int64_t pitch,
                                  int32_t rows, int32_t classes, float *scores, GpudlClassifyPair *best,
                                  GpudlKernelStream stream);

GpudlClassifyCudaFunc gpudl_classify_cuda;

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What a trial of a block needs beside that of a convolution: its weights in both forms, and the right result, by our
 * own direct kernel step by step. */
#ifndef GPUDL_ENGINE_CUDA_TRIAL_BLOCK_H
#define GPUDL_ENGINE_CUDA_TRIAL_BLOCK_H

#include "trial.h"

/** Bytes of the packed weights, and of what else the right result is made of. */
size_t cuda_trial_block_weights(const CudaConvKey *key);
size_t cuda_trial_block_extra(const CudaConvKey *key);
/** Writes the weights, and the right results of the first and the last picture. pattern: numbers of the problem's
 * type in -1..1, a power of two of them; extra: the memory for it. A status of the launcher's or the device's error. */
int cuda_trial_block_begin(const CudaTrial *trial, const uint16_t *pattern, size_t n, uint8_t *extra);
/** Writes the right results of a product of means, of all pictures; of a convolution's maxima, of the first and the
 * last one. As above. */
int cuda_trial_means_begin(const CudaTrial *trial, uint8_t *extra);
int cuda_trial_pooled_begin(const CudaTrial *trial, uint8_t *extra);

#endif

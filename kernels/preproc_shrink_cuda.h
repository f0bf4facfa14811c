/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Pre-processing of a whole batch on a CUDA device in one launch, where pictures of bytes shrink by large windows: a
 * kernel of two products of matrices, for tensor cores of compute capability 8 and newer.
 */
#ifndef GPUDL_KERNELS_PREPROC_SHRINK_CUDA_H
#define GPUDL_KERNELS_PREPROC_SHRINK_CUDA_H

#include "preproc_cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Largest difference to gpudl_preproc_ref() before normalisation, in units of a pixel's 255: weights of columns have 16
 * bits, so that each is off by 1.5e-5 of the largest at most. Of bilinear and area that is 5e-3; at a picture's edge
 * bicubic is left with a fifth of the weights' sum, and chroma is multiplied by up to 2.2. Beside the rounding of
 * float16 (some 0.06 of a normalised pixel's 255) and of bfloat16 that is nothing; float32 is made here, too, but
 * more exactly by the general kernel.
 */
#define GPUDL_PREPROC_SHRINK_BOUND 2e-2

/** So many jobs at most travel with the launch itself, and need no copy on the device. */
#define GPUDL_PREPROC_SHRINK_CARRIED_JOBS 8

/**
 * out[i] = what jobs[i] says, as of GpudlPreprocCudaFunc, for jobs that gpudl_preproc_jobs_shrink() has a kind for.
 *
 * jobs         host memory, read before the call returns
 * device_jobs  the same jobs, device-readable, 8-byte aligned, read when the kernel runs if there are more than
 *              GPUDL_PREPROC_SHRINK_CARRIED_JOBS; else it is not read, and may be NULL. A captured launch serves the
 *              frames of the jobs that travel with it; those that do not may be replaced by others of the same kind and
 *              no more steps
 *
 * Of a row, whole units of 16 bytes are read where they hold samples that are needed; nothing is read behind its end.
 * Right below compute capability 8 as well, but slow there. The bound is GPUDL_PREPROC_SHRINK_BOUND; the rest, and what
 * is returned, are as there; GPUDL_KERNEL_SHAPE for jobs without a common kind, too.
 */
int gpudl_preproc_shrink_cuda(const GpudlPreprocJob *jobs, const GpudlPreprocJob *device_jobs, int32_t count,
                              int32_t width, int32_t height, int32_t channels, GpudlPreprocLayout layout, void *out,
                              GpudlKernelStream stream);

#ifdef __cplusplus
}
#endif
#endif

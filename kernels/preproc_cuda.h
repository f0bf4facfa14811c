/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Pre-processing of a whole batch on a CUDA device in one launch, from the frames' pixels to the network's input.
 */
#ifndef GPUDL_KERNELS_PREPROC_CUDA_H
#define GPUDL_KERNELS_PREPROC_CUDA_H

#include "kernel.h"
#include "preproc_job.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How the network's input lies in memory; always dense. */
typedef enum {
    GPUDL_PREPROC_NHWC4_F16 = 0, /* float16 [n][height][width][4]: channels there are none of are 0 */
    GPUDL_PREPROC_NHWC4_F32,     /* float32, the same */
    GPUDL_PREPROC_NCHW_F32,      /* float32 [n][channels][height][width], as gpudl_preproc_ref() writes it */
    GPUDL_PREPROC_NHWC4_BF16,    /* bfloat16 [n][height][width][4] */
    GPUDL_PREPROC_LAYOUT_LAST = GPUDL_PREPROC_NHWC4_BF16
} GpudlPreprocLayout;

/**
 * out[i] = what jobs[i] says, for count jobs. Formats, sizes, geometries and methods may differ from job to job; width,
 * height and channels of the network's input are those that every job was filled for.
 *
 * jobs      device-readable, 8-byte aligned, read when the kernel runs: a captured launch serves other frames when the
 *           contents are other jobs. A job whose n_planes is 0 gives zeros
 * channels  1 or 3
 * out       device memory, aligned to 4 elements
 *
 * Differences to gpudl_preproc_ref() before normalisation are at most GPUDL_PREPROC_JOB_BOUND of 255; float16 and
 * bfloat16 add their rounding. Returns before the device is done: 0, GPUDL_KERNEL_SHAPE for sizes below 1 or more than
 * 65,535 jobs, or the launch's CUDA error.
 */
typedef int GpudlPreprocCudaFunc(const GpudlPreprocJob *jobs, int32_t count, int32_t width, int32_t height,
                                 int32_t channels, GpudlPreprocLayout layout, void *out, GpudlKernelStream stream);

GpudlPreprocCudaFunc gpudl_preproc_cuda;

#ifdef __cplusplus
}
#endif
#endif

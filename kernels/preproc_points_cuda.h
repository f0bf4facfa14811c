/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Pre-processing of a whole batch on a CUDA device in one launch, where each pixel of the network's input is made of
 * 2 x 2 samples of each component: a kernel that reads those and nothing else.
 */
#ifndef GPUDL_KERNELS_PREPROC_POINTS_CUDA_H
#define GPUDL_KERNELS_PREPROC_POINTS_CUDA_H

#include "preproc_cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Of jobs that are alike so many at most travel with the launch itself. */
#define GPUDL_PREPROC_ALIKE_JOBS 128

/**
 * Whether count jobs travel with the launch itself, and need no copy on the device: at most GPUDL_PREPROC_ALIKE_JOBS,
 * each of which either differs from the others by its planes alone (frames of one stream do) or has no frame.
 */
int gpudl_preproc_points_carried(const GpudlPreprocJob *jobs, int32_t count);

/**
 * device_jobs[i] = jobs[i], for count jobs, as arguments of kernels: a copy would queue behind what the same engine of
 * the device uploads, which may be frames of many batches to come.
 *
 * jobs         host memory, read before the call returns
 * device_jobs  device memory, 8-byte aligned
 *
 * Returns before the device is done: 0, GPUDL_KERNEL_SHAPE for a negative count, or the launch's CUDA error.
 */
int gpudl_preproc_put_jobs_cuda(const GpudlPreprocJob *jobs, int32_t count, GpudlPreprocJob *device_jobs,
                                GpudlKernelStream stream);

/**
 * out[i] = what jobs[i] says, as of GpudlPreprocCudaFunc, for jobs that gpudl_preproc_jobs_are_points() is true of.
 *
 * jobs         host memory, read before the call returns
 * device_jobs  the same jobs, device-readable, 8-byte aligned, read when the kernel runs if
 *              gpudl_preproc_points_carried() is false of them; else it is not read, and may be NULL. A captured launch
 *              serves the frames of the jobs that travel with it; those that do not may be replaced by others that
 *              gpudl_preproc_jobs_are_points() is true of
 *
 * The rest, the bound to the reference and what is returned are as there; GPUDL_KERNEL_SHAPE for a job that is none,
 * too.
 */
int gpudl_preproc_points_cuda(const GpudlPreprocJob *jobs, const GpudlPreprocJob *device_jobs, int32_t count,
                              int32_t width, int32_t height, int32_t channels, GpudlPreprocLayout layout, void *out,
                              GpudlKernelStream stream);

#ifdef __cplusplus
}
#endif
#endif

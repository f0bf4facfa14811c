/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Libraries' kernels begin when what is queued before them has ended.
 *
 * cuDNN 9 launches some of its kernels so that they may overlap what precedes them (programmatic dependent launch), and
 * those that it generates for a convolution with a residual read that before they wait. Where what precedes does not
 * let others come early nobody notices; our own kernels do (kernels/device.cuh).
 */
#ifndef GPUDL_ENGINE_CUDA_FENCE_H
#define GPUDL_ENGINE_CUDA_FENCE_H

#include "device.h"

/** What is queued on the stream next does not overlap what was queued on it before. On a stream that is captured that
 * takes a node which does nothing, else a store of some bytes of the device's own. In the device's context. */
cudaError_t cuda_fence(const CudaDevice *device, cudaStream_t stream);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** The plans of inverted residuals (blocks.h), by our own kernel. */
#ifndef GPUDL_ENGINE_CUDA_BLOCK_H
#define GPUDL_ENGINE_CUDA_BLOCK_H

#include "conv.h"

/** A problem that has hidden channels, as the kernel takes it. */
GpudlMbconv cuda_block_of(const CudaConvKey *key);
/** Up to room plans of CUDA_CONV_BLOCK, the one that is thought to be the fastest first. Needs no device. */
int cuda_block_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room);
/** Queues one: data->w as packed, data->bias that of the last product. Status of the launcher. */
int cuda_block_run(const CudaConvKey *key, const GpudlMbconvPlan *plan, const CudaConvData *data, cudaStream_t stream);

#endif

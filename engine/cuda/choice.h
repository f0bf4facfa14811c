/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** The plan that a problem has, and those that are about as fast: who owns which. All in the device's context. */
#ifndef GPUDL_ENGINE_CUDA_CHOICE_H
#define GPUDL_ENGINE_CUDA_CHOICE_H

#include "conv.h"

/** Takes NULL: plans of cuBLASLt's and own kernels have none. */
void cuda_conv_plan_free(const CudaDevice *device, cudnnBackendDescriptor_t plan);

/** The plan that a conv has, still its own. */
CudaConvPlan cuda_conv_plan(const CudaConv *conv);
/** Makes a plan the conv's; who has the one before frees it. */
void cuda_conv_take(CudaConv *conv, const CudaConvPlan *plan);

/** Takes a plan that is right over, plan->plan is NULL afterwards: as the conv's if it is its first or the fastest so
 * far, else among the others, unless these are enough and faster. A plan whose time is not known (ns 0) is taken only
 * if it is the first. */
void cuda_conv_add(const CudaDevice *device, CudaConv *conv, CudaConvPlan *plan);
/** Frees those of the others that are too slow to be faster in a network, or take more memory than is fair. */
void cuda_conv_prune(const CudaDevice *device, CudaConv *conv);
/** Frees the others. */
void cuda_conv_settle(const CudaDevice *device, CudaConv *conv);

#endif

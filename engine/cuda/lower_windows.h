/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What the lowering of convolutions shares with that of other windows. */
#ifndef GPUDL_ENGINE_CUDA_LOWER_WINDOWS_H
#define GPUDL_ENGINE_CUDA_LOWER_WINDOWS_H

#include "kernels/pool.h"
#include "lower.h"

/** Constants of a node that carries weights: parts for cuda_find_constant(). WIDE: depthwise weights with zeros behind
 * the channels, in place of the others. BLOCK: those of all steps of the block that ends with the node; SIBLINGS: those
 * of both convolutions (siblings.h); TURNED: a matrix whose columns lie as the terms of turned rows do, in place of
 * WEIGHTS. */
enum {
    CUDA_PART_WEIGHTS = 0,
    CUDA_PART_BIAS,
    CUDA_PART_HALF_BIAS,
    CUDA_PART_WIDE,
    CUDA_PART_BLOCK,
    CUDA_PART_SHORT_BLOCK,
    CUDA_PART_SIBLINGS,
    CUDA_PART_SIBLINGS_BIAS,
    CUDA_PART_SIBLINGS_HALF_BIAS,
    CUDA_PART_TURNED
};

/** Queues a convolution's plan. As a step's launch. */
int cuda_conv_queue(const CudaConv *conv, const CudaConvData *data, const CudaRun *run);

GpudlWindow cuda_window(const GpudlWindowAttrs *attrs);

/** A pool by the kernel that takes any; the second output is where the maxima lie. */
int cuda_lower_any_pool(CudaCompiler *c, const GpudlPlanNode *node, GpudlPoolKind kind);

/** Whether a step gives the means over all pixels of each picture that it reads. */
int cuda_gives_means(const CudaStep *step);
/** Whether a step gives maxima over windows. */
int cuda_gives_maxima(const CudaStep *step);

/** A convolution of 16-bit pictures with as many groups as channels, in and out. */
int cuda_lower_depthwise(CudaCompiler *c, const GpudlPlanNode *node);

#endif

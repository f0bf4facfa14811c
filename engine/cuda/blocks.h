/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Inverted residuals: steps that follow one another, a product, a depthwise convolution and a product, or only the last
 * two, which one launch of our own computes as well (kernels/mbconv_cuda.h). Their steps stay as they are; the last one
 * has a problem more, whose plans are that launch, or none: the steps apart. With a plan of the launch the steps before
 * do nothing.
 */
#ifndef GPUDL_ENGINE_CUDA_BLOCKS_H
#define GPUDL_ENGINE_CUDA_BLOCKS_H

#include "lower.h"

/** Finds the blocks among a compilation's steps, and packs their weights. Once all nodes are lowered. */
void cuda_blocks_find(CudaCompiler *c);

/** Where the plans of a block that take the least time alone are slower than its steps, as they were measured, the
 * steps apart become its choice, and that plan one of the others; where they are far quicker, steps that nothing else
 * has lose their others. Before a round of choices. */
void cuda_blocks_prefer(const CudaDevice *device, CudaProgram *program);
/** Names each step by what computes it. */
void cuda_blocks_name(CudaProgram *program);

#endif

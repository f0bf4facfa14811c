/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Steps that follow one another and that one launch of our own computes as well: inverted residuals, a product, a
 * depthwise convolution and a product, or only the last two (kernels/mbconv_cuda.h); a global average pool and a
 * product of few pictures (kernels/gemv_cuda.h); a convolution of a network's input and a maximum pool
 * (kernels/stem_cuda.h). Also two convolutions of the same picture (siblings.h), whose launch may be a library's. Their
 * steps stay as they are; the last one has a problem more, whose plans are that launch, or none: the steps apart. With
 * a plan of the launch the steps before do nothing.
 */
#ifndef GPUDL_ENGINE_CUDA_BLOCKS_H
#define GPUDL_ENGINE_CUDA_BLOCKS_H

#include "lower.h"

/** Finds the blocks among a compilation's steps, and packs their weights. Once all nodes are lowered. */
void cuda_blocks_find(CudaCompiler *c);

/** What a convolution's node has as its weights (input 1) or bias (2), float32; NULL: none, or not as many as wanted,
 * or not to be read any more. */
const float *cuda_step_constant(const CudaCompiler *c, const CudaStep *s, uint32_t input, int64_t elements);

/** Before a round of choices: the steps apart become the choice of each block that has them among its others, so that a
 * launch is taken where it makes the whole faster, and only there: alone it would be compared with launches that
 * overlap one another in a network. */
void cuda_blocks_begin_apart(CudaProgram *program);
/** Names each step by what computes it. */
void cuda_blocks_name(CudaProgram *program);

#endif

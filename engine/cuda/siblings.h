/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Two convolutions one behind the other that read the same picture and write neighbouring channels of another, as the
 * expanding ones of a fire module do, are also one of all their channels: a window of one tap is the middle of a larger
 * one with zeros around it. Of small pictures a launch takes longer than what is multiplied in vain; and nothing has to
 * run beside anything. It is a block (blocks.h) whose plans are those of any convolution, and its steps apart.
 *
 * Zeros times what is infinite or NaN are NaN: with the larger window such a value reaches as far as that does.
 */
#ifndef GPUDL_ENGINE_CUDA_SIBLINGS_H
#define GPUDL_ENGINE_CUDA_SIBLINGS_H

#include "lower.h"

/** Makes step i and the one before it such a block, and their weights, if that is what they are. TRUE if it did. */
int cuda_siblings_add(CudaCompiler *c, uint32_t i);

#endif

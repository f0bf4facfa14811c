/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Two convolutions one behind the other that read the same picture and write neighbouring channels of another, as the
 * expanding ones of a fire module do, are also one of all their channels: a window of one tap is the middle of a larger
 * one with zeros around it. Of small pictures a launch takes longer than what is multiplied in vain; and nothing has to
 * run beside anything. It is a block (blocks.h) whose plans are those of any convolution, and its steps apart.
 *
 * Zeros times what is infinite or NaN are NaN: beside a larger window such a value reaches as far as that does in the
 * channels of one tap, too, where the steps apart have numbers. Two windows of one tap are exact. The channels of the
 * larger window are no numbers there either, but where an activation makes one of an infinity; so what this costs is a
 * network that is right although float16 could not hold something in its middle. No shape tells such a network, and all
 * pairs with a larger window may belong to one.
 *
 * It can be made right in our own kernels, by a plan that is told which channels have one tap: a tile of these alone
 * may leave the other taps out, 4 of 9 products where both have as many channels (of 64, 128, 192 or 256 in SqueezeNet:
 * whole tiles), if it ends its depth between two steps; or the end of a block computes a NaN of them again, as
 * kernels/depthwise.cu does. Plans of cuDNN's would have to go, or to be followed by a launch of ours, which is what a
 * block of two saves. Neither can be chosen without times on a card.
 */
#ifndef GPUDL_ENGINE_CUDA_SIBLINGS_H
#define GPUDL_ENGINE_CUDA_SIBLINGS_H

#include "lower.h"

/** Makes step i and the one before it such a block, and their weights, if that is what they are. TRUE if it did. */
int cuda_siblings_add(CudaCompiler *c, uint32_t i);

#endif

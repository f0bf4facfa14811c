/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Inverted residuals on a CUDA device in one launch: a product that makes many channels of few, a depthwise convolution
 * of those, a product that makes few of them again. What lies between them never leaves a processor.
 */
#ifndef GPUDL_KERNELS_MBCONV_CUDA_H
#define GPUDL_KERNELS_MBCONV_CUDA_H

#include "nhwc.h"
#include "types.h"
#include "window.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y = project(P * depthwise(D * expand(E * x + e) + d) + p + z), of float16 or bfloat16.
 *
 * dtype     of pictures and, packed, of weights: F16 or BF16
 * xs, ys    pictures of as many; channels are multiples of 8, pitches too
 * hidden    channels between the products, at least 1
 * expands   0: there is no first product, hidden is xs.c and the depthwise convolution reads x
 * taps      of the depthwise convolution's square window: 3 or 5
 * stride    1 or 2, pad: before the first row and column; what lies outside is 0 behind the first activation. The end
 *           pads follow from ys
 * z_pitch   elements from pixel to pixel of z, a multiple of 8; 0: nothing is added
 * acts      behind each step: none, ReLU, clips and those of the kinds that need no function of the mathematical
 *           library (gpudl_mbconv_has_act())
 */
typedef struct {
    GpudlDType dtype;
    GpudlNhwc xs, ys;
    int64_t z_pitch;
    int32_t hidden, expands, taps, stride, pad[2];
    GpudlAct expand, depthwise, project;
} GpudlMbconv;

/** One way to compute it: a tile of output pixels that a block makes, by number, and how many blocks share the hidden
 * channels of a tile (a cluster: more than 1 from compute capability 9 on). */
typedef struct {
    int32_t tile, parts;
} GpudlMbconvPlan;

#define GPUDL_MBCONV_PLANS 24

/** What the three steps are made of: E [hidden][c], D [hidden][taps][taps], P [k][hidden] and their biases, each of
 * float32; a bias may be NULL, and E and e are where nothing expands. */
typedef struct {
    const float *expand, *depthwise, *project;
    const float *expand_bias, *depthwise_bias;
} GpudlMbconvWeights;

/** TRUE if an activation of the kind can stand behind a step. */
int gpudl_mbconv_has_act(GpudlActKind kind);

/** Whether the kernels have such a block, whatever the device: OK or SHAPE. */
int gpudl_mbconv_check(const GpudlMbconv *block);

/** Bytes of the packed weights, those of no plan in particular: the same for all pictures. */
int64_t gpudl_mbconv_weight_bytes(const GpudlMbconv *block);
/** Packs them, in host memory; FALSE if one is too large for the type. */
int gpudl_mbconv_pack(const GpudlMbconv *block, const GpudlMbconvWeights *weights, void *packed);

/** TRUE if the current device runs these kernels in clusters: from compute capability 9 on, if they were compiled for
 * that. */
int gpudl_mbconv_has_clusters(void);

/** Plans of a block on a device of so many multiprocessors, each with so many bytes of shared memory for one block of
 * threads; clusters: whether it has them. The one that is thought to be the fastest comes first; how many, 0 where
 * nothing is to be computed, the block is refused or finds no room. Needs no device. */
int gpudl_mbconv_plans(const GpudlMbconv *block, int32_t multiprocessors, int32_t shared_bytes, int clusters,
                       GpudlMbconvPlan plans[GPUDL_MBCONV_PLANS]);

/**
 * Queues a plan.
 *
 * x, z, y  at multiples of 16 bytes, else SHAPE; z may be x, y neither
 * weights  as packed, at a multiple of 16 bytes; bias float32 [k], at a multiple of 16 bytes, or NULL. Both are
 *          constants: they are read before what was queued last is done
 *
 * All three steps sum in float32 and round once where they are stored. NaN goes through; a hidden channel that is
 * infinite makes NaN of those that it lies with, eight by eight, and so of all channels of y there. Returns before the
 * device is done: 0, a status or the launch's CUDA error; SHAPE where the plan is none of
 * the block's or the device has no clusters for it.
 */
int gpudl_mbconv_cuda(const GpudlMbconv *block, const void *x, const void *weights, const float *bias, const void *z,
                      void *y, const GpudlMbconvPlan *plan, GpudlKernelStream stream);

#ifdef __cplusplus
}
#endif
#endif

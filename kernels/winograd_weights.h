/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Windows of 3x3 weights as Winograd's convolutions multiply them, G w G' (Lavin and Gray, "Fast Algorithms for
 * Convolutional Neural Networks"), float32, in the blocks that oneDNN 2.x reads: its own transform is plain loops
 * that take longer than a network's first run.
 */
#ifndef GPUDL_KERNELS_WINOGRAD_WEIGHTS_H
#define GPUDL_KERNELS_WINOGRAD_WEIGHTS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Channels in a block's innermost extents. */
#define GPUDL_WINOGRAD_BLOCK 16

typedef struct {
    int32_t points;             /* of a side: 4, for F(2x2, 3x3); 6, for F(4x4, 3x3) */
    int32_t k, c;               /* channels of the convolution's y and x: at least 1, whole numbers of blocks */
    int32_t k_blocks, c_blocks; /* blocks that lie together; divide those that there are */
} GpudlWinogradWeights;

/** Nonzero if d is as said there, k and c are 65536 at most: what follows relies on it. */
int gpudl_winograd_weights_supported(const GpudlWinogradWeights *d);

/** Floats of the transformed weights. */
int64_t gpudl_winograd_weights_count(const GpudlWinogradWeights *d);

/**
 * w: [k][c][3][3]. to: [k / (16 k_blocks)][points][points][c / (16 c_blocks)][k_blocks][c_blocks][16 of c][16 of k],
 * all of which is written; the first points are of rows. Both aligned to a float, apart. Row x of G is [1 x x^2] over
 * the product of x's differences to the other points, of 0 over its magnitude; the points are 0, 1, -1 and infinity, or
 * 0, 5/8, -5/8, 3/2, -3/2 and infinity, whose row is [0 0 1]. A value is off by up to 8 * 2^-24 of the sum of its
 * terms' magnitudes. Single-threaded.
 */
void gpudl_winograd_weights(const GpudlWinogradWeights *d, const float *w, float *to);

#ifdef __cplusplus
}
#endif
#endif

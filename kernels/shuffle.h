/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Channels in another order, channels last: those of groups dealt out in turns, as ShuffleNet does. */
#ifndef GPUDL_KERNELS_SHUFFLE_H
#define GPUDL_KERNELS_SHUFFLE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y[pixel][i][j] = x[pixel][j][i]; x: [pixels][groups][size], y: [pixels][size][groups], dense, of elements of so many
 * bytes (2 or 4), at any address. y has nothing in common with x. All extents are at least 1.
 * Single-threaded; keeps no state.
 */
void gpudl_shuffle(const void *x, int64_t pixels, int64_t groups, int64_t size, size_t element, void *y);

#ifdef __cplusplus
}
#endif
#endif

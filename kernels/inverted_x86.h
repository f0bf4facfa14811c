/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** How inverted.c cuts the work and lays out what it needs, and the table that it chooses from. */
#ifndef GPUDL_KERNELS_INVERTED_X86_H
#define GPUDL_KERNELS_INVERTED_X86_H

#include "depthwise.h"
#include "inverted.h"
#include "lanes.h"
#include "pointwise.h"

/** Rows of y at most that are made together, and rows of x that those see. */
#define GPUDL_INVERTED_ROWS 32
#define GPUDL_INVERTED_X_ROWS ((GPUDL_INVERTED_ROWS - 1) * 2 + 5)

/**
 * Strips of rows of y. For each, slice by slice of hidden channels, those rows of x are expanded that no strip before
 * has seen, into a ring of rows, [ring][w][slice] float32, and filtered, into [rows][q][way] of the type; then all is
 * projected. One strip for the whole picture needs one ring for all slices, more strips one for each.
 */
typedef struct {
    GpudlPointwise expand, project; /* channels and activations alone */
    GpudlDepthwise depthwise;       /* one frame of all hidden channels */
    size_t weights[4];              /* bytes before E, D, P, and of all */
    int32_t rows, ring;
    int64_t lanes, way;       /* hidden channels in whole vectors; from pixel to pixel of what is filtered */
    size_t filtered, scratch; /* bytes before it, and of all */
} GpudlInvertedCut;

void gpudl_inverted_cut(const GpudlInverted *d, GpudlInvertedCut *cut);

extern const GpudlInvertedKernels gpudl_inverted_avx512, gpudl_inverted_avx512_bf16;

/** That of an instruction set and type, NULL where there is none. */
const GpudlInvertedKernels *gpudl_inverted_native(GpudlSimd simd, GpudlDType type);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inverted.h"

#include <stddef.h>
#include <stdlib.h>

#include "inverted_x86.h"

#define MOST_SIDE ((int32_t)1 << 27)
#define MOST_HIDDEN ((int32_t)1 << 24)
#define SLICE (GPUDL_GROUP_VECTORS * GPUDL_LANES) /* hidden channels that are expanded together, at most */
#define NEAR ((int64_t)448 << 10)                 /* bytes that the second cache holds beside weights, x and y */

int gpudl_inverted_supported(const GpudlInverted *d)
{
    GpudlInvertedCut cut;

    if ((d->type != GPUDL_DTYPE_BF16 && d->type != GPUDL_DTYPE_F32) || d->n < 1 || d->h < 1 || d->w < 1 || d->c < 1 ||
        d->hidden < 1 || d->k < 1 || d->p < 1 || d->q < 1 || d->h > MOST_SIDE || d->w > MOST_SIDE || d->p > MOST_SIDE ||
        d->q > MOST_SIDE || d->hidden > MOST_HIDDEN || (!d->expands && d->hidden != d->c) ||
        (!d->projects && d->hidden != d->k) || (!d->expands && !d->projects))
        return 0;
    if (d->hidden > INT64_MAX / ((int64_t)d->h * d->w) || d->hidden > INT64_MAX / ((int64_t)d->p * d->q))
        return 0;
    if (d->x_pixel < d->c || d->x_row / d->w < d->x_pixel || d->x_frame / d->h < d->x_row || d->y_pixel < d->k ||
        d->y_row / d->q < d->y_pixel || d->y_frame / d->p < d->y_row)
        return 0;
    if ((d->kernel != 3 && d->kernel != 5) || (d->stride != 1 && d->stride != 2) || d->pad_top < 0 ||
        d->pad_top >= d->kernel || d->pad_left < 0 || d->pad_left >= d->kernel)
        return 0;
    if (d->shortcut && (!d->projects || d->k != d->c || d->p != d->h || d->q != d->w || d->stride != 1))
        return 0;
    gpudl_inverted_cut(d, &cut);
    return gpudl_depthwise_supported(&cut.depthwise) && (!d->projects || gpudl_pointwise_supported(&cut.project)) &&
           (!d->expands || gpudl_pointwise_supported(&cut.expand));
}

/* ---- cutting ----------------------------------------------------------------------------------------------------- */

static int64_t aligned(int64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Bytes of the ring (or of the rings) and of what is filtered, for so many rows of y in a strip. */
static int64_t ring_bytes(const GpudlInverted *d, int32_t rows, int32_t *ring)
{
    const int64_t seen = (int64_t)(rows - 1) * d->stride + d->kernel;
    const int64_t lanes = gpudl_lanes_vectors(d->hidden) * GPUDL_LANES;

    *ring = (int32_t)(seen < d->h ? seen : d->h);
    if (!d->expands)
        return 0;
    return aligned(*ring * (int64_t)d->w * (rows == d->p && lanes > SLICE ? SLICE : lanes) * (int64_t)sizeof(float));
}

static int64_t filtered_bytes(const GpudlInverted *d, int32_t rows)
{
    const int64_t lanes = gpudl_lanes_vectors(d->hidden) * GPUDL_LANES;

    return d->projects ? aligned(rows * (int64_t)d->q * lanes * (int64_t)gpudl_dtype_size(d->type)) : 0;
}

/* As many rows as stay near, in strips as even as can be. */
static int32_t choose_rows(const GpudlInverted *d)
{
    int32_t most = d->p < GPUDL_INVERTED_ROWS ? d->p : GPUDL_INVERTED_ROWS, ring, strips;

    while (most > 1 && ring_bytes(d, most, &ring) + filtered_bytes(d, most) > NEAR)
        most--;
    strips = (d->p + most - 1) / most;
    return (d->p + strips - 1) / strips;
}

void gpudl_inverted_cut(const GpudlInverted *d, GpudlInvertedCut *cut)
{
    const int64_t row = (int64_t)d->w * d->hidden, y_row = (int64_t)d->q * d->hidden;

    *cut = (GpudlInvertedCut){.rows = choose_rows(d), .lanes = gpudl_lanes_vectors(d->hidden) * GPUDL_LANES};
    cut->way = cut->lanes;
    cut->expand = (GpudlPointwise){d->type, 1,    1,    1,         d->c,      d->hidden, 1, 1,        1,
                                   d->c,    d->c, d->c, d->hidden, d->hidden, d->hidden, 0, d->expand};
    cut->project = (GpudlPointwise){d->type,   1,         1,         1,    d->hidden, d->k, 1, 1,         1,
                                    d->hidden, d->hidden, d->hidden, d->k, d->k,      d->k, 0, d->project};
    cut->depthwise = (GpudlDepthwise){
        GPUDL_DTYPE_BF16, 1,         d->h,  d->w,         d->hidden, d->p,      d->q,       d->hidden,   row,
        row * d->h,       d->hidden, y_row, y_row * d->p, d->kernel, d->stride, d->pad_top, d->pad_left, d->depthwise};
    cut->weights[1] = d->expands ? gpudl_pointwise_weights_size(&cut->expand) : 0;
    cut->weights[2] = cut->weights[1] + gpudl_depthwise_weights_size(&cut->depthwise);
    cut->weights[3] = cut->weights[2] + (d->projects ? gpudl_pointwise_weights_size(&cut->project) : 0);
    cut->filtered = (size_t)ring_bytes(d, cut->rows, &cut->ring);
    cut->scratch = cut->filtered + (size_t)filtered_bytes(d, cut->rows);
}

size_t gpudl_inverted_weights_size(const GpudlInverted *d)
{
    GpudlInvertedCut cut;

    gpudl_inverted_cut(d, &cut);
    return cut.weights[3];
}

size_t gpudl_inverted_scratch_size(const GpudlInverted *d)
{
    GpudlInvertedCut cut;

    gpudl_inverted_cut(d, &cut);
    return cut.scratch;
}

void gpudl_inverted_pack(const GpudlInverted *d, const GpudlInvertedWeights *weights, void *packed)
{
    GpudlInvertedCut cut;

    gpudl_inverted_cut(d, &cut);
    if (d->expands)
        gpudl_pointwise_pack(&cut.expand, weights->expand, weights->expand_bias, (char *)packed + cut.weights[0]);
    gpudl_depthwise_pack(&cut.depthwise, weights->depthwise, weights->depthwise_bias,
                         (void *)((char *)packed + cut.weights[1]));
    if (d->projects)
        gpudl_pointwise_pack(&cut.project, weights->project, weights->project_bias, (char *)packed + cut.weights[2]);
}

const GpudlInvertedKernels *gpudl_inverted_kernels(GpudlSimd simd, GpudlDType type)
{
    return gpudl_inverted_native(simd, type);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "ref_common.h"

void gpudl_ref_strides(const GpudlShape *shape, int64_t *strides)
{
    int64_t step = 1;

    for (int i = shape->rank - 1; i >= 0; i--) {
        strides[i] = step;
        step *= shape->dims[i];
    }
}

int64_t gpudl_ref_product(const GpudlShape *shape, int from, int to)
{
    int64_t n = 1;

    for (int i = from; i < to; i++)
        n *= shape->dims[i];
    return n;
}

int gpudl_walk_begin(GpudlWalk *walk, const GpudlShape *shape, int n_operands)
{
    memset(walk, 0, sizeof(*walk));
    if (shape->rank < 0 || shape->rank > GPUDL_MAX_RANK)
        return -1;
    walk->n_operands = n_operands;
    walk->elements = gpudl_shape_elements(shape);
    if (walk->elements < 0)
        return -1;
    walk->rank = shape->rank;
    for (int i = 0; i < shape->rank; i++)
        walk->dims[i] = shape->dims[i];
    if (walk->rank == 0) {
        walk->rank = 1;
        walk->dims[0] = 1;
    }
    return 0;
}

void gpudl_walk_dense(GpudlWalk *walk, int o)
{
    int64_t step = 1;

    for (int i = walk->rank - 1; i >= 0; i--) {
        walk->strides[o][i] = step;
        step *= walk->dims[i];
    }
}

int gpudl_walk_broadcast(GpudlWalk *walk, int o, const GpudlShape *shape)
{
    int64_t step = 1;

    if (shape->rank == 0)
        return 0;
    if (shape->rank > walk->rank)
        return -1;
    for (int i = shape->rank - 1, j = walk->rank - 1; i >= 0; i--, j--) {
        if (shape->dims[i] == walk->dims[j])
            walk->strides[o][j] = shape->dims[i] == 1 ? 0 : step;
        else if (shape->dims[i] != 1)
            return -1;
        step *= shape->dims[i];
    }
    return 0;
}

static int joins(const GpudlWalk *walk, int outer, int inner)
{
    for (int o = 0; o < walk->n_operands; o++)
        if (walk->strides[o][outer] != walk->strides[o][inner] * walk->dims[inner])
            return 0;
    return 1;
}

void gpudl_walk_merge(GpudlWalk *walk)
{
    int last = -1; /* dims[0..last] are done */

    for (int i = 0; i < walk->rank; i++) {
        if (walk->dims[i] == 1)
            continue;
        if (last >= 0 && joins(walk, last, i)) {
            walk->dims[last] *= walk->dims[i];
        } else {
            last++;
            walk->dims[last] = walk->dims[i];
        }
        for (int o = 0; o < walk->n_operands; o++)
            walk->strides[o][last] = walk->strides[o][i];
    }
    if (last < 0) {
        last = 0;
        walk->dims[0] = 1;
    }
    walk->rank = last + 1;
}

int gpudl_walk_next(GpudlWalk *walk)
{
    for (int i = walk->rank - 2; i >= 0; i--) {
        for (int o = 0; o < walk->n_operands; o++)
            walk->offset[o] += walk->strides[o][i];
        if (++walk->index[i] < walk->dims[i])
            return 1;
        for (int o = 0; o < walk->n_operands; o++)
            walk->offset[o] -= walk->strides[o][i] * walk->dims[i];
        walk->index[i] = 0;
    }
    return 0;
}

/* One row, strides in elements; the sizes that occur are spelled out so that each is a plain loop. */
static void copy_row(size_t size, char *dst, int64_t dst_stride, const char *src, int64_t src_stride, int64_t n)
{
    if (dst_stride == 1 && src_stride == 1) {
        memcpy(dst, src, (size_t)n * size);
        return;
    }
    switch (size) {
    case 1:
        for (int64_t i = 0; i < n; i++)
            dst[i * dst_stride] = src[i * src_stride];
        break;
    case 2:
        for (int64_t i = 0; i < n; i++)
            memcpy(dst + i * dst_stride * 2, src + i * src_stride * 2, 2);
        break;
    case 4:
        for (int64_t i = 0; i < n; i++)
            memcpy(dst + i * dst_stride * 4, src + i * src_stride * 4, 4);
        break;
    case 8:
        for (int64_t i = 0; i < n; i++)
            memcpy(dst + i * dst_stride * 8, src + i * src_stride * 8, 8);
        break;
    }
}

void gpudl_ref_copy(size_t size, int rank, const int64_t *dims, void *dst, const int64_t *dst_strides, const void *src,
                    const int64_t *src_strides)
{
    GpudlShape shape = {.rank = rank};
    GpudlWalk walk;
    int row;

    for (int i = 0; i < rank; i++)
        shape.dims[i] = dims[i];
    if (gpudl_walk_begin(&walk, &shape, 2) < 0 || walk.elements == 0)
        return;
    for (int i = 0; i < rank; i++) {
        walk.strides[0][i] = dst_strides[i];
        walk.strides[1][i] = src_strides[i];
    }
    gpudl_walk_merge(&walk);
    row = walk.rank - 1;
    /* a scalar, or all dimensions 1: one element, whatever the strides say */
    if (walk.elements == 1) {
        memcpy(dst, src, size);
        return;
    }
    do {
        copy_row(size, (char *)dst + walk.offset[0] * (int64_t)size, walk.strides[0][row],
                 (const char *)src + walk.offset[1] * (int64_t)size, walk.strides[1][row], walk.dims[row]);
    } while (gpudl_walk_next(&walk));
}

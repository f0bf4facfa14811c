/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Tools of the reference kernels: blocks of elements as double or int64, walks over broadcast shapes. Not for others.
 *
 * The references work in blocks: load up to GPUDL_REF_BLOCK elements into an array on the stack, compute in a plain
 * loop that a compiler can vectorise, store. So each formula stands once and holds for all element types.
 */
#ifndef GPUDL_KERNELS_REF_COMMON_H
#define GPUDL_KERNELS_REF_COMMON_H

#include "kernel.h"

/** Elements of one block; 2 kB as double, a few of them stay in the first cache. */
#define GPUDL_REF_BLOCK 256

/** Types that are computed with: float32, float16, bfloat16, float64. */
int gpudl_ref_is_float(GpudlDType dtype);
/** Types that are computed with: integers of 8 bits and more, and bool. */
int gpudl_ref_is_integer(GpudlDType dtype);

/** Smallest and largest value of an integer type; for uint64 the bits of the largest. */
void gpudl_ref_integer_range(GpudlDType dtype, int64_t *low, int64_t *high);

/** out[i] = base[index + i * stride], i < n, any dtype. uint64 and int64 beyond 2^53 are rounded. */
void gpudl_ref_load_f64(GpudlDType dtype, const void *base, int64_t index, int64_t stride, int64_t n, double *out);

/** out[i] = offsets[i] < 0 ? 0 : base[index + offsets[i]]. */
void gpudl_ref_gather_f64(GpudlDType dtype, const void *base, int64_t index, const int64_t *offsets, int64_t n,
                          double *out);

/** base[index + i * stride] = in[i], rounded once; to integers: truncated, then clamped to the type, those of 4 and 2
 * bits wrapped around instead; NaN is 0; to bool: not 0, so NaN is 1; to floats of 8 bits and less: saturated. */
void gpudl_ref_store_f64(GpudlDType dtype, void *base, int64_t index, int64_t stride, int64_t n, const double *in);

/** The same for integers; uint64 as its bits; no float types. Stores wrap around; bool: not 0. */
void gpudl_ref_load_i64(GpudlDType dtype, const void *base, int64_t index, int64_t stride, int64_t n, int64_t *out);
void gpudl_ref_store_i64(GpudlDType dtype, void *base, int64_t index, int64_t stride, int64_t n, const int64_t *in);

/** v[i] = act(v[i]); integers know none, relu and clip (others leave the value: ask gpudl_ref_act_takes_integers()). */
void gpudl_ref_activate_f64(const GpudlAct *act, double *v, int64_t n);
void gpudl_ref_activate_i64(const GpudlAct *act, GpudlDType dtype, int64_t *v, int64_t n);
int gpudl_ref_act_takes_integers(const GpudlAct *act);

/** Most operands of one walk. */
#define GPUDL_WALK_OPERANDS 4

/**
 * A walk over all indices of a shape with several operands, each with a stride (in elements) per dimension. The walk
 * steps from row to row; the row itself, dims[rank - 1] elements with strides[o][rank - 1], is the caller's loop:
 *
 *     gpudl_walk_begin(&w, &y->shape, 2); gpudl_walk_dense(&w, 0); gpudl_walk_broadcast(&w, 1, &x->shape);
 *     gpudl_walk_merge(&w);
 *     if (w.elements > 0) do { ... w.offset[0], w.offset[1] ... } while (gpudl_walk_next(&w));
 */
typedef struct {
    int rank, n_operands;
    int64_t elements;
    int64_t dims[GPUDL_MAX_RANK];
    int64_t index[GPUDL_MAX_RANK];
    int64_t strides[GPUDL_WALK_OPERANDS][GPUDL_MAX_RANK];
    int64_t offset[GPUDL_WALK_OPERANDS]; /* of the row's first element */
} GpudlWalk;

/** Starts at index 0 with all strides 0; a scalar becomes one row of one element. -1 for an impossible shape. */
int gpudl_walk_begin(GpudlWalk *walk, const GpudlShape *shape, int n_operands);
/** Operand o is dense in the walk's shape. */
void gpudl_walk_dense(GpudlWalk *walk, int o);
/** Operand o has this shape and is broadcast as numpy does. -1 if it does not broadcast onto the walk's shape. */
int gpudl_walk_broadcast(GpudlWalk *walk, int o, const GpudlShape *shape);
/** Joins neighbouring dimensions that every operand runs through evenly: longer rows, same order. */
void gpudl_walk_merge(GpudlWalk *walk);
/** Next row; 0 when there is none. */
int gpudl_walk_next(GpudlWalk *walk);

/** Dense strides of a shape, in elements. */
void gpudl_ref_strides(const GpudlShape *shape, int64_t *strides);
/** Product of dims[from] .. dims[to - 1]. */
int64_t gpudl_ref_product(const GpudlShape *shape, int from, int to);

/** Copies dims (rank of them) elements of size bytes from src to dst, strides in elements, of either sign or 0. */
void gpudl_ref_copy(size_t size, int rank, const int64_t *dims, void *dst, const int64_t *dst_strides, const void *src,
                    const int64_t *src_strides);

/** Two matrices of one type, elements at base[first + i * row + j * col]; a is (any) x k, b is k x (any). */
typedef struct {
    GpudlDType dtype;
    const void *a, *b;
    int64_t a_first, a_row, a_col;
    int64_t b_first, b_row, b_col;
    int64_t k;
} GpudlRefMatrices;

/** Columns computed at once by gpudl_ref_matrix_row_*. */
#define GPUDL_REF_COLUMNS 64

/** out[j] = sum over k of a[row][k] * b[k][col + j], j < n <= GPUDL_REF_COLUMNS. */
void gpudl_ref_matrix_row_f64(const GpudlRefMatrices *m, int64_t row, int64_t col, int n, double *out);
void gpudl_ref_matrix_row_i64(const GpudlRefMatrices *m, int64_t row, int64_t col, int n, int64_t *out);

static inline int64_t gpudl_ref_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t gpudl_ref_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/** Wrapping arithmetic: what two's complement hardware does, without C's undefined overflow. */
static inline int64_t gpudl_ref_wrap_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static inline int64_t gpudl_ref_wrap_mul(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a * (uint64_t)b);
}

#endif

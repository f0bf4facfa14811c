/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "matmul.h"

#include "ref_common.h"

typedef struct {
    GpudlRefMatrices m;
    int64_t rows, columns;
    const GpudlAct *act;
    void *y;
} Product;

static void one_matrix(const Product *p, int64_t y_first)
{
    double sum[GPUDL_REF_COLUMNS];
    int64_t whole[GPUDL_REF_COLUMNS];
    const GpudlDType dtype = p->m.dtype;

    for (int64_t i = 0; i < p->rows; i++) {
        for (int64_t j = 0; j < p->columns; j += GPUDL_REF_COLUMNS) {
            int n = (int)gpudl_ref_min(GPUDL_REF_COLUMNS, p->columns - j);
            int64_t index = y_first + i * p->columns + j;

            if (gpudl_ref_is_float(dtype)) {
                gpudl_ref_matrix_row_f64(&p->m, i, j, n, sum);
                gpudl_ref_activate_f64(p->act, sum, n);
                gpudl_ref_store_f64(dtype, p->y, index, 1, n, sum);
            } else {
                gpudl_ref_matrix_row_i64(&p->m, i, j, n, whole);
                gpudl_ref_activate_i64(p->act, dtype, whole, n);
                gpudl_ref_store_i64(dtype, p->y, index, 1, n, whole);
            }
        }
    }
}

/** Splits y's shape into batch and matrix, with a missing m or n counted as 1. -1 if y does not fit. */
static int split_output(const GpudlShape *y, int has_m, int has_n, const Product *p, GpudlShape *batch)
{
    int rank = y->rank - has_m - has_n;

    if (rank < 0 || (has_n && y->dims[y->rank - 1] != p->columns) || (has_m && y->dims[rank] != p->rows))
        return -1;
    batch->rank = rank;
    for (int i = 0; i < rank; i++)
        batch->dims[i] = y->dims[i];
    return 0;
}

/** Lays one operand's batch dimensions over the walk, whose strides then count elements. -1 if they do not broadcast.
 */
static int lay_batch(GpudlWalk *walk, int o, const GpudlShape *operand, int64_t matrix)
{
    GpudlShape batch = {.rank = operand->rank > 2 ? operand->rank - 2 : 0};

    for (int i = 0; i < batch.rank; i++)
        batch.dims[i] = operand->dims[i];
    if (gpudl_walk_broadcast(walk, o, &batch) < 0)
        return -1;
    for (int i = 0; i < walk->rank; i++)
        walk->strides[o][i] *= matrix;
    return 0;
}

int gpudl_matmul_ref(const GpudlTensorView *a, const GpudlTensorView *b, const GpudlAct *act, const GpudlTensorView *y,
                     GpudlKernelStream stream)
{
    const GpudlShape *as = &a->shape, *bs = &b->shape;
    const int a_matrix = as->rank > 1, b_matrix = bs->rank > 1;
    Product p = {.act = act, .y = y->data};
    int64_t y_first = 0;
    GpudlShape batch;
    GpudlWalk walk;
    int last;

    (void)stream;
    if (b->dtype != a->dtype || y->dtype != a->dtype)
        return GPUDL_KERNEL_DTYPE;
    if (!gpudl_ref_is_float(a->dtype) && (!gpudl_ref_is_integer(a->dtype) || !gpudl_ref_act_takes_integers(act)))
        return GPUDL_KERNEL_DTYPE;
    if (as->rank < 1 || bs->rank < 1)
        return GPUDL_KERNEL_SHAPE;
    p.rows = a_matrix ? as->dims[as->rank - 2] : 1;
    p.columns = b_matrix ? bs->dims[bs->rank - 1] : 1;
    p.m = (GpudlRefMatrices){a->dtype, a->data, b->data};
    p.m.k = as->dims[as->rank - 1];
    p.m.a_row = p.m.k;
    p.m.a_col = 1;
    p.m.b_row = p.columns;
    p.m.b_col = 1;
    if ((b_matrix ? bs->dims[bs->rank - 2] : bs->dims[0]) != p.m.k ||
        split_output(&y->shape, a_matrix, b_matrix, &p, &batch) < 0)
        return GPUDL_KERNEL_SHAPE;

    if (gpudl_walk_begin(&walk, &batch, 2) < 0 || lay_batch(&walk, 0, as, p.rows * p.m.k) < 0 ||
        lay_batch(&walk, 1, bs, p.m.k * p.columns) < 0)
        return GPUDL_KERNEL_SHAPE;
    if (walk.elements == 0)
        return GPUDL_KERNEL_OK;
    last = walk.rank - 1;
    do {
        for (int64_t i = 0; i < walk.dims[last]; i++) {
            p.m.a_first = walk.offset[0] + i * walk.strides[0][last];
            p.m.b_first = walk.offset[1] + i * walk.strides[1][last];
            one_matrix(&p, y_first);
            y_first += p.rows * p.columns;
        }
    } while (gpudl_walk_next(&walk));
    return GPUDL_KERNEL_OK;
}

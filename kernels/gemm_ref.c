/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gemm.h"

#include "ref_common.h"

/** c as seen from y: strides 0 where it is broadcast. */
typedef struct {
    const GpudlTensorView *view;
    int64_t row, col;
} Addend;

static void rows_f64(const GpudlRefMatrices *m, const Addend *c, const GpudlGemm *params, const GpudlTensorView *y)
{
    const int64_t rows = y->shape.dims[0], columns = y->shape.dims[1];
    double sum[GPUDL_REF_COLUMNS], add[GPUDL_REF_COLUMNS];

    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j += GPUDL_REF_COLUMNS) {
            int n = (int)gpudl_ref_min(GPUDL_REF_COLUMNS, columns - j);

            gpudl_ref_matrix_row_f64(m, i, j, n, sum);
            for (int l = 0; l < n; l++)
                sum[l] *= params->alpha;
            if (c->view) {
                gpudl_ref_load_f64(m->dtype, c->view->data, i * c->row + j * c->col, c->col, n, add);
                for (int l = 0; l < n; l++)
                    sum[l] += params->beta * add[l];
            }
            gpudl_ref_activate_f64(&params->act, sum, n);
            gpudl_ref_store_f64(m->dtype, y->data, i * columns + j, 1, n, sum);
        }
    }
}

static void rows_i64(const GpudlRefMatrices *m, const Addend *c, const GpudlGemm *params, const GpudlTensorView *y)
{
    const int64_t rows = y->shape.dims[0], columns = y->shape.dims[1];
    int64_t sum[GPUDL_REF_COLUMNS], add[GPUDL_REF_COLUMNS];

    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j += GPUDL_REF_COLUMNS) {
            int n = (int)gpudl_ref_min(GPUDL_REF_COLUMNS, columns - j);

            gpudl_ref_matrix_row_i64(m, i, j, n, sum);
            if (c->view) {
                gpudl_ref_load_i64(m->dtype, c->view->data, i * c->row + j * c->col, c->col, n, add);
                for (int l = 0; l < n; l++)
                    sum[l] = gpudl_ref_wrap_add(sum[l], add[l]);
            }
            gpudl_ref_activate_i64(&params->act, m->dtype, sum, n);
            gpudl_ref_store_i64(m->dtype, y->data, i * columns + j, 1, n, sum);
        }
    }
}

int gpudl_gemm_ref(const GpudlTensorView *a, const GpudlTensorView *b, const GpudlTensorView *c,
                   const GpudlGemm *params, const GpudlTensorView *y, GpudlKernelStream stream)
{
    GpudlRefMatrices m = {a->dtype, a->data, b->data};
    const int ta = params->trans_a != 0, tb = params->trans_b != 0;
    Addend addend = {c, 0, 0};
    GpudlWalk walk;

    (void)stream;
    if (b->dtype != a->dtype || y->dtype != a->dtype || (c && c->dtype != a->dtype))
        return GPUDL_KERNEL_DTYPE;
    if (!gpudl_ref_is_float(a->dtype) && (!gpudl_ref_is_integer(a->dtype) || params->alpha != 1 ||
                                          (c && params->beta != 1) || !gpudl_ref_act_takes_integers(&params->act)))
        return GPUDL_KERNEL_DTYPE;
    if (a->shape.rank != 2 || b->shape.rank != 2 || y->shape.rank != 2)
        return GPUDL_KERNEL_SHAPE;
    m.k = a->shape.dims[!ta];
    if (b->shape.dims[tb] != m.k || y->shape.dims[0] != a->shape.dims[ta] || y->shape.dims[1] != b->shape.dims[!tb])
        return GPUDL_KERNEL_SHAPE;
    m.a_row = ta ? 1 : a->shape.dims[1];
    m.a_col = ta ? a->shape.dims[1] : 1;
    m.b_row = tb ? 1 : b->shape.dims[1];
    m.b_col = tb ? b->shape.dims[1] : 1;
    if (c) {
        if (gpudl_walk_begin(&walk, &y->shape, 1) < 0 || gpudl_walk_broadcast(&walk, 0, &c->shape) < 0)
            return GPUDL_KERNEL_SHAPE;
        addend.row = walk.strides[0][0];
        addend.col = walk.strides[0][1];
    }
    if (gpudl_ref_is_float(a->dtype))
        rows_f64(&m, &addend, params, y);
    else
        rows_i64(&m, &addend, params, y);
    return GPUDL_KERNEL_OK;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Products of matrices that no convolution can be made of: batches, both made on the device, transposed, integers. */
#include "kernels/matmul_cuda.h"
#include "lower.h"

static int launch_product(const CudaStep *s, const CudaRun *run)
{
    const CudaProgram *p = run->program;
    const GpudlPlanNode *node = &p->plan->nodes[s->node];
    const GpudlGemmAttrs *attrs = &((const GpudlAttrs *)node->attrs)->gemm;
    const int is_gemm = node->op == GPUDL_OP_GEMM;
    const GpudlGemm params = {.alpha = is_gemm ? attrs->alpha : 1, .beta = is_gemm ? attrs->beta : 1, .act = s->act};
    const GpudlStrided a = cuda_value_strided(run, s->x), b = cuda_value_strided(run, s->w),
                       y = cuda_value_strided(run, s->y);
    const GpudlShape *as = &p->values[s->x].shape;
    GpudlStrided c;

    if (s->z >= 0)
        c = cuda_value_strided(run, s->z);
    return gpudl_matmul_cuda(&p->values[s->y].shape, (int32_t)as->dims[as->rank - 1], &a, &b, s->z >= 0 ? &c : NULL,
                             &params, &y, run->stream);
}

/* An operand as [batch...][rows][columns] of so many dimensions: repeated along those of the batch that it lacks. What
 * it lacks of a matrix, a row or a column, is 1. */
static int32_t as_matrices(CudaCompiler *c, int32_t value, const GpudlShape *batch, int lacks_row, int lacks_column,
                           int transposed)
{
    const int rank = batch->rank;
    CudaValue v, from;
    int left;

    if (value < 0)
        return -1;
    from = v = *cuda_value(c, value);
    left = from.shape.rank;
    v.finite = 0;
    v.shape.rank = rank;
    for (int i = rank - 1; i >= rank - 2; i--) {
        const int lacks = i == rank - 1 ? lacks_column : lacks_row;

        v.shape.dims[i] = lacks ? 1 : from.shape.dims[--left];
        v.strides[i] = lacks ? 0 : from.strides[left];
    }
    for (int i = rank - 3; i >= 0; i--) {
        left--;
        v.shape.dims[i] = batch->dims[i];
        v.strides[i] = left < 0 || from.shape.dims[left] == 1 ? 0 : from.strides[left];
    }
    if (transposed) {
        const int64_t dim = v.shape.dims[rank - 1], stride = v.strides[rank - 1];

        v.shape.dims[rank - 1] = v.shape.dims[rank - 2];
        v.strides[rank - 1] = v.strides[rank - 2];
        v.shape.dims[rank - 2] = dim;
        v.strides[rank - 2] = stride;
    }
    return cuda_add_value(c, &v);
}

int cuda_lower_any_product(CudaCompiler *c, const GpudlPlanNode *node, const GpudlGemmAttrs *attrs)
{
    const int a_vector = cuda_tensor(c, node->inputs[0])->shape.rank == 1,
              b_vector = cuda_tensor(c, node->inputs[1])->shape.rank == 1;
    const GpudlShape *ys = &cuda_tensor(c, node->outputs[0])->shape;
    const int32_t added = node->n_inputs > 2 && attrs->beta != 0 ? node->inputs[2] : -1;
    const int32_t a = cuda_use(c, node->inputs[0]), b = cuda_use(c, node->inputs[1]);
    const int32_t z = added >= 0 ? cuda_broadcast(c, cuda_use(c, added), ys) : -1;
    const int32_t y = cuda_define_plain(c, node->outputs[0]);
    GpudlShape batch = *ys;
    CudaStep *s;

    batch.rank = ys->rank + a_vector + b_vector;
    if (batch.rank > GPUDL_MAX_RANK)
        return cuda_refuse(c, "a batch of vectors with %d dimensions", ys->rank);
    s = c->status == GPUDL_STATUS_OK ? cuda_step(c, launch_product, "matrix kernel") : NULL;
    if (s == NULL)
        return 0;
    s->x = as_matrices(c, a, &batch, a_vector, 0, attrs->trans_a);
    s->w = as_matrices(c, b, &batch, 0, b_vector, attrs->trans_b);
    s->y = as_matrices(c, y, &batch, a_vector, b_vector, 0);
    s->z = z;
    s->act = attrs->act;
    if (c->status == GPUDL_STATUS_OK)
        cuda_touch(c, s);
    return c->status == GPUDL_STATUS_OK;
}

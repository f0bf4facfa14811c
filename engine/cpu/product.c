/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "product.h"

static const GpudlAct no_act = {GPUDL_ACT_NONE, 0.f, 0.f};

/* One value for all columns, or one for each: a scalar, [n] or [1][n]. */
static int is_bias(const CpuCompiler *c, int32_t tensor, int64_t n)
{
    const GpudlShape *shape = &cpu_tensor(c, tensor)->shape;
    const int64_t elements = gpudl_shape_elements(shape);

    return cpu_is_constant(c, tensor) && (elements == 1 || (elements == n && shape->dims[shape->rank - 1] == n));
}

/* What the node says of it besides its extents. */
static int read_node(const CpuCompiler *c, const GpudlPlanNode *node, CpuProduct *p)
{
    const GpudlGemmAttrs *gemm = &((const GpudlAttrs *)node->attrs)->gemm;

    *p = (CpuProduct){.w = node->inputs[1], .bias = -1, .factor = 1.f, .act = &no_act};
    if (node->op == GPUDL_OP_MATMUL)
        return 1;
    if (node->op != GPUDL_OP_GEMM || gemm->trans_a)
        return 0;
    p->by_rows = gemm->trans_b;
    p->factor = gemm->alpha;
    p->beta = gemm->beta;
    p->act = &gemm->act;
    if (node->n_inputs > 2 && gemm->beta != 0.f)
        p->bias = node->inputs[2];
    return 1;
}

int cpu_product_of(const CpuCompiler *c, const GpudlPlanNode *node, dnnl_data_type_t type, CpuProduct *product)
{
    const GpudlShape *x, *y;

    if ((node->op != GPUDL_OP_GEMM && node->op != GPUDL_OP_MATMUL) || !read_node(c, node, product) ||
        !cpu_is_f32(c, node->inputs[0]) || !cpu_is_constant(c, product->w) || !cpu_is_f32(c, node->outputs[0]))
        return 0;
    x = &cpu_tensor(c, node->inputs[0])->shape;
    y = &cpu_tensor(c, node->outputs[0])->shape;
    if (x->rank != 2 || y->rank != 2 || cpu_tensor(c, product->w)->shape.rank != 2)
        return 0;
    product->type = type;
    product->y_type = cpu_result_type(c, node->outputs[0], type);
    product->m = y->dims[0];
    product->n = y->dims[1];
    product->k = x->dims[1];
    product->fused = cpu_fused(c, product->act);
    return product->bias < 0 || is_bias(c, product->bias, product->n);
}

dnnl_primitive_desc_t cpu_product_describe(const CpuShared *shared, const CpuProduct *p)
{
    const DnnPost post = {0, p->fused};
    dnnl_primitive_attr_t attr = dnn_attr(&post);
    DnnMd x = dnn_md_dense(p->type, 2, (const int64_t[]){p->m, p->k});
    DnnMd w = dnn_md_typed(p->type, 2, (const int64_t[]){p->n, p->k}, dnnl_format_tag_any);
    DnnMd bias = p->bias >= 0 ? dnn_md_plain(1, &p->n) : NULL;
    DnnMd y = dnn_md_dense(p->y_type, 2, (const int64_t[]){p->m, p->n});
    dnnl_primitive_desc_t pd = NULL;

    if (attr != NULL && x != NULL && w != NULL && y != NULL && (bias != NULL || p->bias < 0))
        pd = dnn_inner_product(shared->dnn, attr, x, w, bias, y);
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    dnn_md_free(x);
    dnn_md_free(w);
    dnn_md_free(bias);
    dnn_md_free(y);
    return pd;
}

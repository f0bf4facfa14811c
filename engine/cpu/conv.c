/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conv.h"

#include <math.h>
#include <string.h>

#include "isa.h"

/* Weights [k][c / group][taps...] as oneDNN names them: with the groups in front where there are several. */
static int weight_dims(const GpudlShape *shape, int64_t group, int64_t *dims)
{
    if (group == 1) {
        memcpy(dims, shape->dims, (size_t)shape->rank * sizeof *dims);
        return shape->rank;
    }
    dims[0] = group;
    dims[1] = shape->dims[0] / group;
    memcpy(dims + 2, shape->dims + 1, (size_t)(shape->rank - 1) * sizeof *dims);
    return shape->rank + 1;
}

int cpu_conv_of(const CpuCompiler *c, const GpudlPlanNode *node, dnnl_data_type_t type, CpuConv *conv)
{
    const GpudlWindowAttrs *attrs = &((const GpudlAttrs *)node->attrs)->window;
    const GpudlShape *x = &cpu_tensor(c, node->inputs[0])->shape, *y = &cpu_tensor(c, node->outputs[0])->shape;
    const int skip = GPUDL_MAX_SPATIAL - attrs->n_spatial;
    int unusual = attrs->n_spatial < 1;

    *conv = (CpuConv){.type = type,
                      .dst_type = cpu_result_type(c, node->outputs[0], type),
                      .rank = x->rank,
                      .has_bias = node->n_inputs > 2 && node->inputs[2] >= 0,
                      .post = {node->n_inputs > 3 && node->inputs[3] >= 0, cpu_fused(c, &attrs->act)}};
    memcpy(conv->x, x->dims, sizeof conv->x);
    memcpy(conv->y, y->dims, sizeof conv->y);
    conv->weight_rank = weight_dims(&cpu_tensor(c, node->inputs[1])->shape, attrs->group, conv->weights);
    for (int i = 0; i < attrs->n_spatial; i++) {
        const int64_t extent = (attrs->kernel[skip + i] - 1) * (int64_t)attrs->dilation[skip + i] + 1;

        conv->strides[i] = attrs->stride[skip + i];
        conv->dilates[i] = attrs->dilation[skip + i] - 1;
        conv->pad_l[i] = attrs->pad_begin[skip + i];
        conv->pad_r[i] = attrs->pad_end[skip + i];
        unusual |= conv->pad_l[i] < 0 || conv->pad_r[i] < 0 || conv->pad_l[i] >= extent ||
                   (y->dims[2 + i] - 1) * conv->strides[i] - conv->pad_l[i] >= x->dims[2 + i];
    }
    return !unusual;
}

typedef dnnl_primitive_desc_t Describe(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef src, DnnMdRef weights,
                                       DnnMdRef bias, DnnMdRef dst, const int64_t *strides, const int64_t *dilates,
                                       const int64_t *pad_l, const int64_t *pad_r);

static dnnl_primitive_desc_t describe_by(Describe *how, const CpuShared *shared, const CpuConv *conv, DnnMdRef src,
                                         DnnMdRef dst)
{
    const int64_t k = conv->y[1];
    DnnMd any_src = src == NULL ? dnn_md_typed(conv->type, conv->rank, conv->x, dnnl_format_tag_any) : NULL;
    DnnMd any_dst = dst == NULL ? dnn_md_typed(conv->dst_type, conv->rank, conv->y, dnnl_format_tag_any) : NULL;
    DnnMd weights = dnn_md_typed(conv->type, conv->weight_rank, conv->weights, dnnl_format_tag_any);
    DnnMd bias = conv->has_bias ? dnn_md_plain(1, &k) : NULL;
    dnnl_primitive_attr_t attr = dnn_attr(&conv->post);
    dnnl_primitive_desc_t pd = NULL;

    src = src != NULL ? src : any_src;
    dst = dst != NULL ? dst : any_dst;
    if (src != NULL && dst != NULL && weights != NULL && attr != NULL && (bias != NULL || !conv->has_bias))
        pd = how(shared->dnn, attr, src, weights, bias, dst, conv->strides, conv->dilates, conv->pad_l, conv->pad_r);
    dnn_md_free(any_src);
    dnn_md_free(any_dst);
    dnn_md_free(weights);
    dnn_md_free(bias);
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    return pd;
}

dnnl_primitive_desc_t cpu_conv_describe(const CpuShared *shared, const CpuConv *conv, DnnMdRef src, DnnMdRef dst)
{
    return describe_by(dnn_convolution, shared, conv, src, dst);
}

static dnnl_primitive_desc_t winograd_of_4(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef src,
                                           DnnMdRef weights, DnnMdRef bias, DnnMdRef dst, const int64_t *strides,
                                           const int64_t *dilates, const int64_t *pad_l, const int64_t *pad_r)
{
    return dnn_winograd(engine, attr, src, weights, bias, dst, strides, dilates, pad_l, pad_r, 1);
}

static dnnl_primitive_desc_t winograd_of_2(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef src,
                                           DnnMdRef weights, DnnMdRef bias, DnnMdRef dst, const int64_t *strides,
                                           const int64_t *dilates, const int64_t *pad_l, const int64_t *pad_r)
{
    return dnn_winograd(engine, attr, src, weights, bias, dst, strides, dilates, pad_l, pad_r, 0);
}

dnnl_primitive_desc_t cpu_conv_describe_winograd(const CpuShared *shared, const CpuConv *conv, DnnMdRef src,
                                                 DnnMdRef dst, int large)
{
    return describe_by(large ? winograd_of_4 : winograd_of_2, shared, conv, src, dst);
}

dnnl_format_tag_t cpu_conv_block_tag(void)
{
    return cpu_isa_block() == 16 ? dnnl_aBcd16b : dnnl_aBcd8b;
}

/* Neither general code nor what rolls the input out into a matrix is a form of its own. */
static dnnl_primitive_desc_t unless_general(dnnl_primitive_desc_t pd)
{
    if (pd == NULL || cpu_quality(pd) >= CPU_LOOPS)
        return pd;
    dnnl_primitive_desc_destroy(pd);
    return NULL;
}

static dnnl_primitive_desc_t describe_tagged(const CpuShared *shared, const CpuConv *conv, dnnl_format_tag_t src_tag,
                                             dnnl_format_tag_t dst_tag)
{
    DnnMd src = dnn_md_typed(conv->type, conv->rank, conv->x, src_tag);
    DnnMd dst = dnn_md_typed(conv->dst_type, conv->rank, conv->y, dst_tag);
    dnnl_primitive_desc_t pd = src != NULL && dst != NULL ? cpu_conv_describe(shared, conv, src, dst) : NULL;

    dnn_md_free(src);
    dnn_md_free(dst);
    return unless_general(pd);
}

dnnl_primitive_desc_t cpu_conv_describe_form(const CpuShared *shared, const CpuConv *conv, CpuForm form)
{
    dnnl_primitive_desc_t pd;
    DnnMd last;
    int is_last;

    if (conv->rank != 4)
        return NULL;
    if (form == CPU_FORM_LAST)
        return describe_tagged(shared, conv, dnnl_acdb, dnnl_acdb);
    if (form != CPU_FORM_BLOCKS)
        return NULL;
    pd = unless_general(cpu_conv_describe(shared, conv, NULL, NULL));
    last = pd != NULL ? dnn_md_typed(conv->dst_type, 4, conv->y, dnnl_acdb) : NULL;
    is_last = last != NULL && dnn_md_equal(last, dnn_pd_md(pd, dnnl_query_dst_md, 0));
    dnn_md_free(last);
    if (!is_last)
        return pd;
    dnnl_primitive_desc_destroy(pd);
    pd = describe_tagged(shared, conv, cpu_conv_block_tag(), cpu_conv_block_tag());
    return pd != NULL ? pd : describe_tagged(shared, conv, dnnl_format_tag_any, cpu_conv_block_tag());
}

int cpu_weights_fit(const GpudlPlanTensor *t)
{
    const float *values = t->data;

    for (uint64_t i = 0; i < t->bytes / sizeof *values; i++)
        if (!(fabsf(values[i]) <= 0x1p124f)) /* or NaN */
            return 0;
    return 1;
}

int cpu_conv_is_dense(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv)
{
    if (conv->rank != 4 || conv->weight_rank != 4 || conv->type != conv->dst_type ||
        !cpu_is_constant(c, node->inputs[1]) || (conv->has_bias && !cpu_is_constant(c, node->inputs[2])))
        return 0;
    for (int i = 0; i < 4; i++)
        if (conv->x[i] > INT32_MAX || conv->y[i] > INT32_MAX)
            return 0;
    return 1;
}

int cpu_conv_is_dense_bf16(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv)
{
    return conv->type == dnnl_bf16 && cpu_conv_is_dense(c, node, conv);
}

int cpu_conv_own(const CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv, CpuOwnConv *own)
{
    /* of few channels before those that are good at many */
    static CpuFindOwn *const all[] = {cpu_own_depthwise, cpu_own_stem, cpu_own_tiles, cpu_own_pointwise};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i](c, node, conv, own))
            return 1;
    return 0;
}

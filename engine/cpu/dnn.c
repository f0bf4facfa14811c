/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dnn.h"

#include <stdlib.h>
#include <string.h>

/* Layouts that activations have. Rank 2 has no other than the first. */
static const dnnl_format_tag_t layout_kinds[][5] = {
    [1] = {dnnl_a},
    [2] = {dnnl_ab},
    [3] = {dnnl_abc, dnnl_acb, dnnl_aBc16b, dnnl_aBc8b, dnnl_aBc4b},
    [4] = {dnnl_abcd, dnnl_acdb, dnnl_aBcd16b, dnnl_aBcd8b, dnnl_aBcd4b},
    [5] = {dnnl_abcde, dnnl_acdeb, dnnl_aBcde16b, dnnl_aBcde8b, dnnl_aBcde4b},
    [6] = {dnnl_abcdef},
};
#define BATCH_NORM_FLAGS(relu)                                                                                         \
    ((unsigned)dnnl_use_global_stats | dnnl_use_scale | dnnl_use_shift | ((relu) ? dnnl_fuse_norm_relu : 0u))

static const int n_layout_kinds[] = {0, 1, 1, 5, 5, 5, 1};

DnnMd dnn_md_tag(int ndims, const int64_t *dims, dnnl_format_tag_t tag)
{
    return dnn_md_typed(dnnl_f32, ndims, dims, tag);
}

DnnMd dnn_md_plain(int ndims, const int64_t *dims)
{
    return dnn_md_dense(dnnl_f32, ndims, dims);
}

DnnMd dnn_md_dense(dnnl_data_type_t type, int ndims, const int64_t *dims)
{
    return dnn_md_typed(type, ndims, dims, layout_kinds[ndims][0]);
}

int dnn_activation(const GpudlAct *act, DnnEltwise out[2])
{
    switch (act->kind) {
    case GPUDL_ACT_RELU:
        out[0] = (DnnEltwise){dnnl_eltwise_relu, 0.f, 0.f};
        return 1;
    case GPUDL_ACT_CLIP:
        out[0] = (DnnEltwise){dnnl_eltwise_clip, act->alpha, act->beta};
        return 1;
    case GPUDL_ACT_LEAKY_RELU:
        out[0] = (DnnEltwise){dnnl_eltwise_relu, act->alpha, 0.f};
        return 1;
    case GPUDL_ACT_SIGMOID:
        out[0] = (DnnEltwise){dnnl_eltwise_logistic, 0.f, 0.f};
        return 1;
    case GPUDL_ACT_SILU:
        out[0] = (DnnEltwise){dnnl_eltwise_swish, 1.f, 0.f};
        return 1;
    case GPUDL_ACT_HARD_SIGMOID:
        out[0] = (DnnEltwise){dnnl_eltwise_linear, act->alpha, act->beta};
        out[1] = (DnnEltwise){dnnl_eltwise_clip, 0.f, 1.f};
        return 2;
    case GPUDL_ACT_HARD_SWISH: /* 2.x has 1/6 and 1/2 built in, 3.x takes them */
        out[0] = (DnnEltwise){dnnl_eltwise_hardswish, 1.f / 6.f, 0.5f};
        return 1;
    case GPUDL_ACT_TANH:
        out[0] = (DnnEltwise){dnnl_eltwise_tanh, 0.f, 0.f};
        return 1;
    case GPUDL_ACT_GELU:
        out[0] = (DnnEltwise){dnnl_eltwise_gelu_erf, 0.f, 0.f};
        return 1;
    case GPUDL_ACT_GELU_TANH:
        out[0] = (DnnEltwise){dnnl_eltwise_gelu_tanh, 0.f, 0.f};
        return 1;
    case GPUDL_ACT_MISH:
        out[0] = (DnnEltwise){dnnl_eltwise_mish, 0.f, 0.f};
        return 1;
    default:
        return 0;
    }
}

static dnnl_status_t append_eltwise(dnnl_post_ops_t ops, const DnnEltwise *op)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_post_ops_append_eltwise(ops, op->alg, op->alpha, op->beta);
#else
    return dnnl_post_ops_append_eltwise(ops, 1.f, op->alg, op->alpha, op->beta);
#endif
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_post_ops_append_sum(ops, 1.f, 0, dnnl_data_type_undef); /* of the result's type */
#else
    return dnnl_post_ops_append_sum(ops, 1.f);
#endif
}

dnnl_primitive_attr_t dnn_attr(const DnnPost *post)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    DnnEltwise steps[2];
    int n = post != NULL ? dnn_activation(&post->act, steps) : 0;
    int ok = dnnl_primitive_attr_create(&attr) == dnnl_success &&
             dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) == dnnl_success &&
             dnnl_post_ops_create(&ops) == dnnl_success;

    if (ok && post != NULL && post->sum)
        ok = append_sum(ops) == dnnl_success;
    for (int i = 0; ok && i < n; i++)
        ok = append_eltwise(ops, &steps[i]) == dnnl_success;
    ok = ok && dnnl_primitive_attr_set_post_ops(attr, ops) == dnnl_success;
    if (ops != NULL)
        dnnl_post_ops_destroy(ops);
    if (!ok && attr != NULL) {
        dnnl_primitive_attr_destroy(attr);
        attr = NULL;
    }
    return attr;
}

const char *dnn_pd_name(dnnl_primitive_desc_t pd)
{
    const char *name = NULL;

    if (dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name) != dnnl_success || name == NULL)
        return "";
    return name;
}

dnnl_primitive_kind_t dnn_primitive_kind(dnnl_primitive_t primitive)
{
    dnnl_primitive_kind_t kind = dnnl_undefined_primitive;
    const_dnnl_primitive_desc_t pd = NULL;

    if (primitive == NULL || dnnl_primitive_get_primitive_desc(primitive, &pd) != dnnl_success ||
        dnnl_primitive_desc_query(pd, dnnl_query_primitive_kind, 0, &kind) != dnnl_success)
        return dnnl_undefined_primitive;
    return kind;
}

DnnMdRef dnn_pd_md(dnnl_primitive_desc_t pd, dnnl_query_t what, int index)
{
    return dnnl_primitive_desc_query_md(pd, what, index);
}

dnnl_memory_t dnn_memory(dnnl_engine_t engine, DnnMdRef md, void *data)
{
    dnnl_memory_t memory = NULL;

    return dnnl_memory_create(&memory, md, engine, data) == dnnl_success ? memory : NULL;
}

/* What a call left in *pd, NULL where it failed. By address: the call is made before the value is looked at. */
static dnnl_primitive_desc_t made(dnnl_status_t status, const dnnl_primitive_desc_t *pd)
{
    return status == dnnl_success ? *pd : NULL;
}

#if DNNL_VERSION_MAJOR >= 3

/* ---- 3.x: opaque layouts, descriptors made in one call ----------------------------------------------------------- */

DnnMd dnn_md_typed(dnnl_data_type_t type, int ndims, const int64_t *dims, dnnl_format_tag_t tag)
{
    DnnMd md = NULL;

    return dnnl_memory_desc_create_with_tag(&md, ndims, dims, type, tag) == dnnl_success ? md : NULL;
}

DnnMd dnn_md_strides(dnnl_data_type_t type, int ndims, const int64_t *dims, const int64_t *strides)
{
    DnnMd md = NULL;

    return dnnl_memory_desc_create_with_strides(&md, ndims, dims, type, strides) == dnnl_success ? md : NULL;
}

DnnMd dnn_md_box(DnnMdRef parent, const int64_t *dims, const int64_t *offsets)
{
    DnnMd md = NULL;

    return dnnl_memory_desc_create_submemory(&md, parent, dims, offsets) == dnnl_success ? md : NULL;
}

DnnMd dnn_md_copy(DnnMdRef from)
{
    DnnMd md = NULL;

    return dnnl_memory_desc_clone(&md, from) == dnnl_success ? md : NULL;
}

void dnn_md_free(DnnMd md)
{
    if (md != NULL)
        dnnl_memory_desc_destroy(md);
}

int dnn_md_ndims(DnnMdRef md)
{
    int32_t ndims = 0;

    dnnl_memory_desc_query(md, dnnl_query_ndims_s32, &ndims);
    return ndims;
}

const int64_t *dnn_md_dims(DnnMdRef md)
{
    dnnl_dims_t *dims = NULL;

    return dnnl_memory_desc_query(md, dnnl_query_dims, &dims) == dnnl_success ? *dims : NULL;
}

dnnl_data_type_t dnn_md_type(DnnMdRef md)
{
    dnnl_data_type_t type = dnnl_data_type_undef;

    dnnl_memory_desc_query(md, dnnl_query_data_type, &type);
    return type;
}

dnnl_primitive_desc_t dnn_convolution(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef src, DnnMdRef weights,
                                      DnnMdRef bias, DnnMdRef dst, const int64_t *strides, const int64_t *dilates,
                                      const int64_t *pad_l, const int64_t *pad_r)
{
    dnnl_primitive_desc_t pd = NULL;

    return made(dnnl_convolution_forward_primitive_desc_create(&pd, engine, dnnl_forward_inference,
                                                               dnnl_convolution_direct, src, weights, bias, dst,
                                                               strides, dilates, pad_l, pad_r, attr),
                &pd);
}

int dnn_has_winograd(void)
{
    return 0; /* a request is answered with the direct code */
}

int dnn_md_winograd(DnnMdRef md, GpudlWinogradWeights *d)
{
    (void)md, (void)d;
    return 0;
}

dnnl_primitive_desc_t dnn_winograd(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef src, DnnMdRef weights,
                                   DnnMdRef bias, DnnMdRef dst, const int64_t *strides, const int64_t *dilates,
                                   const int64_t *pad_l, const int64_t *pad_r, int large)
{
    (void)engine, (void)attr, (void)src, (void)weights, (void)bias, (void)dst;
    (void)strides, (void)dilates, (void)pad_l, (void)pad_r, (void)large;
    return NULL;
}

dnnl_primitive_desc_t dnn_inner_product(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef src,
                                        DnnMdRef weights, DnnMdRef bias, DnnMdRef dst)
{
    dnnl_primitive_desc_t pd = NULL;

    return made(dnnl_inner_product_forward_primitive_desc_create(&pd, engine, dnnl_forward_inference, src, weights,
                                                                 bias, dst, attr),
                &pd);
}

dnnl_primitive_desc_t dnn_matmul(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef a, DnnMdRef b, DnnMdRef dst)
{
    dnnl_primitive_desc_t pd = NULL;

    return made(dnnl_matmul_primitive_desc_create(&pd, engine, a, b, NULL, dst, attr), &pd);
}

dnnl_primitive_desc_t dnn_pooling(dnnl_engine_t engine, dnnl_primitive_attr_t attr, dnnl_alg_kind_t alg, DnnMdRef src,
                                  DnnMdRef dst, const int64_t *strides, const int64_t *kernel, const int64_t *dilates,
                                  const int64_t *pad_l, const int64_t *pad_r)
{
    dnnl_primitive_desc_t pd = NULL;

    return made(dnnl_pooling_forward_primitive_desc_create(&pd, engine, dnnl_forward_inference, alg, src, dst, strides,
                                                           kernel, dilates, pad_l, pad_r, attr),
                &pd);
}

dnnl_primitive_desc_t dnn_eltwise(dnnl_engine_t engine, dnnl_primitive_attr_t attr, const DnnEltwise *op, DnnMdRef md)
{
    dnnl_primitive_desc_t pd = NULL;

    return made(dnnl_eltwise_forward_primitive_desc_create(&pd, engine, dnnl_forward_inference, op->alg, md, md,
                                                           op->alpha, op->beta, attr),
                &pd);
}

dnnl_primitive_desc_t dnn_binary(dnnl_engine_t engine, dnnl_primitive_attr_t attr, dnnl_alg_kind_t alg, DnnMdRef src0,
                                 DnnMdRef src1, DnnMdRef dst)
{
    dnnl_primitive_desc_t pd = NULL;

    return made(dnnl_binary_primitive_desc_create(&pd, engine, alg, src0, src1, dst, attr), &pd);
}

dnnl_primitive_desc_t dnn_softmax(dnnl_engine_t engine, dnnl_primitive_attr_t attr, int logarithm, DnnMdRef md,
                                  int axis)
{
    dnnl_primitive_desc_t pd = NULL;

    return made(dnnl_softmax_forward_primitive_desc_create(&pd, engine, dnnl_forward_inference,
                                                           logarithm ? dnnl_softmax_log : dnnl_softmax_accurate, md, md,
                                                           axis, attr),
                &pd);
}

dnnl_primitive_desc_t dnn_lrn(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef md, int64_t size, float alpha,
                              float beta, float k)
{
    dnnl_primitive_desc_t pd = NULL;

    return made(dnnl_lrn_forward_primitive_desc_create(&pd, engine, dnnl_forward_inference, dnnl_lrn_across_channels,
                                                       md, md, size, alpha, beta, k, attr),
                &pd);
}

dnnl_primitive_desc_t dnn_shuffle(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef md, int axis,
                                  int64_t group_size)
{
    dnnl_primitive_desc_t pd = NULL;

    return made(
        dnnl_shuffle_forward_primitive_desc_create(&pd, engine, dnnl_forward_inference, md, md, axis, group_size, attr),
        &pd);
}

dnnl_primitive_desc_t dnn_concat(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef dst, int n, int axis,
                                 const DnnMdRef *srcs)
{
    dnnl_primitive_desc_t pd = NULL;

    return made(dnnl_concat_primitive_desc_create(&pd, engine, dst, n, axis, srcs, attr), &pd);
}

dnnl_primitive_desc_t dnn_reorder(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef src, DnnMdRef dst)
{
    dnnl_primitive_desc_t pd = NULL;

    return made(dnnl_reorder_primitive_desc_create(&pd, src, engine, dst, engine, attr), &pd);
}

dnnl_primitive_desc_t dnn_batch_norm(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef md, float epsilon,
                                     int relu)
{
    dnnl_primitive_desc_t pd = NULL;

    return made(dnnl_batch_normalization_forward_primitive_desc_create(&pd, engine, dnnl_forward_inference, md, md,
                                                                       epsilon, BATCH_NORM_FLAGS(relu), attr),
                &pd);
}

#else

/* ---- 2.x: layouts are structs, operations have descriptors of their own ------------------------------------------ */

static DnnMd keep(dnnl_status_t status, const dnnl_memory_desc_t *value)
{
    DnnMd md = status == dnnl_success ? malloc(sizeof *md) : NULL;

    if (md != NULL)
        *md = *value;
    return md;
}

DnnMd dnn_md_typed(dnnl_data_type_t type, int ndims, const int64_t *dims, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t value;

    return keep(dnnl_memory_desc_init_by_tag(&value, ndims, dims, type, tag), &value);
}

DnnMd dnn_md_strides(dnnl_data_type_t type, int ndims, const int64_t *dims, const int64_t *strides)
{
    dnnl_memory_desc_t value;

    return keep(dnnl_memory_desc_init_by_strides(&value, ndims, dims, type, strides), &value);
}

DnnMd dnn_md_box(DnnMdRef parent, const int64_t *dims, const int64_t *offsets)
{
    dnnl_memory_desc_t value;

    return keep(dnnl_memory_desc_init_submemory(&value, parent, dims, offsets), &value);
}

DnnMd dnn_md_copy(DnnMdRef from)
{
    return keep(dnnl_success, from);
}

void dnn_md_free(DnnMd md)
{
    free(md);
}

int dnn_md_ndims(DnnMdRef md)
{
    return md->ndims;
}

const int64_t *dnn_md_dims(DnnMdRef md)
{
    return md->dims;
}

dnnl_data_type_t dnn_md_type(DnnMdRef md)
{
    return md->data_type;
}

/* The first implementation of an operation's descriptor. */
static dnnl_primitive_desc_t describe(dnnl_status_t status, const_dnnl_op_desc_t op, dnnl_primitive_attr_t attr,
                                      dnnl_engine_t engine)
{
    dnnl_primitive_desc_t pd = NULL;

    return status == dnnl_success ? made(dnnl_primitive_desc_create(&pd, op, attr, engine, NULL), &pd) : NULL;
}

/* The first implementation whose name does not begin with skip. */
static dnnl_primitive_desc_t describe_but(const char *skip, const_dnnl_op_desc_t op, dnnl_primitive_attr_t attr,
                                          dnnl_engine_t engine)
{
    dnnl_primitive_desc_iterator_t iterator = NULL;
    dnnl_primitive_desc_t pd = NULL;

    if (dnnl_primitive_desc_iterator_create(&iterator, op, attr, engine, NULL) != dnnl_success)
        return NULL;
    do {
        if (pd != NULL)
            dnnl_primitive_desc_destroy(pd);
        pd = dnnl_primitive_desc_iterator_fetch(iterator);
    } while (pd != NULL && strncmp(dnn_pd_name(pd), skip, strlen(skip)) == 0 &&
             dnnl_primitive_desc_iterator_next(iterator) == dnnl_success);
    dnnl_primitive_desc_iterator_destroy(iterator);
    if (pd != NULL && strncmp(dnn_pd_name(pd), skip, strlen(skip)) == 0) {
        dnnl_primitive_desc_destroy(pd);
        pd = NULL;
    }
    return pd;
}

dnnl_primitive_desc_t dnn_convolution(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef src, DnnMdRef weights,
                                      DnnMdRef bias, DnnMdRef dst, const int64_t *strides, const int64_t *dilates,
                                      const int64_t *pad_l, const int64_t *pad_r)
{
    dnnl_convolution_desc_t op;

    if (dnnl_dilated_convolution_forward_desc_init(&op, dnnl_forward_inference, dnnl_convolution_direct, src, weights,
                                                   bias, dst, strides, dilates, pad_l, pad_r) != dnnl_success)
        return NULL;
    /* 2.6.3's brdgmm crashes in its generated code, e.g. 8 channels, kernel 4, stride 3, pads 0 3 3 3 */
    return describe_but("brdgmm", &op, attr, engine);
}

int dnn_has_winograd(void)
{
    return 1;
}

int dnn_md_winograd(DnnMdRef md, GpudlWinogradWeights *d)
{
    const dnnl_wino_desc_t *w = &md->format_desc.wino_desc;

    if (md->format_kind != dnnl_format_kind_wino || md->data_type != dnnl_f32 || md->ndims != 4 || w->r != 3 ||
        w->ic_block != GPUDL_WINOGRAD_BLOCK || w->oc_block != GPUDL_WINOGRAD_BLOCK || w->adj_scale != 1.f ||
        w->oc != md->dims[0] || w->ic != md->dims[1])
        return 0;
    *d = (GpudlWinogradWeights){.points = w->alpha, .k = w->oc, .c = w->ic};
    if (w->wino_format == dnnl_wino_wei_OBaaIBOIio) {
        d->k_blocks = w->oc2_block;
        d->c_blocks = w->ic2_block;
    } else if (w->wino_format == dnnl_wino_wei_aaOio) { /* the same, all blocks lying together */
        d->k_blocks = d->k / GPUDL_WINOGRAD_BLOCK;
        d->c_blocks = d->c / GPUDL_WINOGRAD_BLOCK;
    } else {
        return 0;
    }
    return gpudl_winograd_weights_supported(d) && w->size == (size_t)gpudl_winograd_weights_count(d) * sizeof(float);
}

dnnl_primitive_desc_t dnn_winograd(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef src, DnnMdRef weights,
                                   DnnMdRef bias, DnnMdRef dst, const int64_t *strides, const int64_t *dilates,
                                   const int64_t *pad_l, const int64_t *pad_r, int large)
{
    dnnl_convolution_desc_t op;
    dnnl_primitive_desc_t pd = NULL;

    if (dnnl_dilated_convolution_forward_desc_init(&op, dnnl_forward_inference, dnnl_convolution_winograd, src, weights,
                                                   bias, dst, strides, dilates, pad_l, pad_r) != dnnl_success)
        return NULL;
    pd = describe_but(large ? "jit_fp32_wino_2x3" : "jit_wino_4x3", &op, attr, engine);
    pd = pd != NULL ? pd : describe_but("ref", &op, attr, engine);
    if (pd != NULL && strstr(dnn_pd_name(pd), "wino") == NULL) {
        dnnl_primitive_desc_destroy(pd);
        pd = NULL;
    }
    return pd;
}

dnnl_primitive_desc_t dnn_inner_product(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef src,
                                        DnnMdRef weights, DnnMdRef bias, DnnMdRef dst)
{
    dnnl_inner_product_desc_t op;

    return describe(dnnl_inner_product_forward_desc_init(&op, dnnl_forward_inference, src, weights, bias, dst), &op,
                    attr, engine);
}

dnnl_primitive_desc_t dnn_matmul(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef a, DnnMdRef b, DnnMdRef dst)
{
    dnnl_matmul_desc_t op;

    return describe(dnnl_matmul_desc_init(&op, a, b, NULL, dst), &op, attr, engine);
}

dnnl_primitive_desc_t dnn_pooling(dnnl_engine_t engine, dnnl_primitive_attr_t attr, dnnl_alg_kind_t alg, DnnMdRef src,
                                  DnnMdRef dst, const int64_t *strides, const int64_t *kernel, const int64_t *dilates,
                                  const int64_t *pad_l, const int64_t *pad_r)
{
    dnnl_pooling_v2_desc_t op;

    return describe(dnnl_pooling_v2_forward_desc_init(&op, dnnl_forward_inference, alg, src, dst, strides, kernel,
                                                      dilates, pad_l, pad_r),
                    &op, attr, engine);
}

dnnl_primitive_desc_t dnn_eltwise(dnnl_engine_t engine, dnnl_primitive_attr_t attr, const DnnEltwise *step, DnnMdRef md)
{
    dnnl_eltwise_desc_t op;

    return describe(dnnl_eltwise_forward_desc_init(&op, dnnl_forward_inference, step->alg, md, step->alpha, step->beta),
                    &op, attr, engine);
}

dnnl_primitive_desc_t dnn_binary(dnnl_engine_t engine, dnnl_primitive_attr_t attr, dnnl_alg_kind_t alg, DnnMdRef src0,
                                 DnnMdRef src1, DnnMdRef dst)
{
    dnnl_binary_desc_t op;

    return describe(dnnl_binary_desc_init(&op, alg, src0, src1, dst), &op, attr, engine);
}

dnnl_primitive_desc_t dnn_softmax(dnnl_engine_t engine, dnnl_primitive_attr_t attr, int logarithm, DnnMdRef md,
                                  int axis)
{
    dnnl_softmax_v2_desc_t op;

    return describe(dnnl_softmax_v2_forward_desc_init(&op, dnnl_forward_inference,
                                                      logarithm ? dnnl_softmax_log : dnnl_softmax_accurate, md, md,
                                                      axis),
                    &op, attr, engine);
}

dnnl_primitive_desc_t dnn_lrn(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef md, int64_t size, float alpha,
                              float beta, float k)
{
    dnnl_lrn_desc_t op;

    return describe(
        dnnl_lrn_forward_desc_init(&op, dnnl_forward_inference, dnnl_lrn_across_channels, md, size, alpha, beta, k),
        &op, attr, engine);
}

dnnl_primitive_desc_t dnn_shuffle(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef md, int axis,
                                  int64_t group_size)
{
    dnnl_shuffle_desc_t op;

    return describe(dnnl_shuffle_forward_desc_init(&op, dnnl_forward_inference, md, axis, group_size), &op, attr,
                    engine);
}

dnnl_primitive_desc_t dnn_concat(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef dst, int n, int axis,
                                 const DnnMdRef *srcs)
{
    dnnl_memory_desc_t *values = malloc((size_t)n * sizeof *values);
    dnnl_primitive_desc_t pd = NULL;

    if (values == NULL)
        return NULL;
    for (int i = 0; i < n; i++)
        values[i] = *srcs[i];
    pd = made(dnnl_concat_primitive_desc_create(&pd, dst, n, axis, values, attr, engine), &pd);
    free(values);
    return pd;
}

dnnl_primitive_desc_t dnn_reorder(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef src, DnnMdRef dst)
{
    dnnl_primitive_desc_t pd = NULL;

    return made(dnnl_reorder_primitive_desc_create(&pd, src, engine, dst, engine, attr), &pd);
}

dnnl_primitive_desc_t dnn_batch_norm(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef md, float epsilon,
                                     int relu)
{
    dnnl_batch_normalization_desc_t op;

    return describe(
        dnnl_batch_normalization_forward_desc_init(&op, dnnl_forward_inference, md, epsilon, BATCH_NORM_FLAGS(relu)),
        &op, attr, engine);
}

#endif

size_t dnn_md_bytes(DnnMdRef md)
{
    return dnnl_memory_desc_get_size(md);
}

int dnn_md_equal(DnnMdRef a, DnnMdRef b)
{
    return dnnl_memory_desc_equal(a, b);
}

int dnn_md_is_plain(DnnMdRef md)
{
    DnnMd plain = dnn_md_dense(dnn_md_type(md), dnn_md_ndims(md), dnn_md_dims(md));
    int same = plain != NULL && dnn_md_equal(plain, md);

    dnn_md_free(plain);
    return same;
}

/* The index in layout_kinds, -1: none. */
static int find_kind(DnnMdRef md)
{
    int ndims = dnn_md_ndims(md);

    for (int i = 0; i < n_layout_kinds[ndims]; i++) {
        DnnMd candidate = dnn_md_typed(dnn_md_type(md), ndims, dnn_md_dims(md), layout_kinds[ndims][i]);
        int same = candidate != NULL && dnn_md_equal(candidate, md);

        dnn_md_free(candidate);
        if (same)
            return i;
    }
    return -1;
}

int dnn_md_kind(DnnMdRef md)
{
    static const int kinds[] = {0, 1, 16, 8, 4};
    int kind = find_kind(md);

    return kind >= 0 ? kinds[kind] : -1;
}

/* Another layout of md's kind; NULL if that is none of layout_kinds. */
static DnnMd same_kind(DnnMdRef md, dnnl_data_type_t type, const int64_t *dims)
{
    int ndims = dnn_md_ndims(md), kind = find_kind(md);

    return kind >= 0 ? dnn_md_typed(type, ndims, dims, layout_kinds[ndims][kind]) : NULL;
}

DnnMd dnn_md_permuted(DnnMdRef md, const int64_t *dims, const int32_t *perm)
{
    int ndims = dnn_md_ndims(md);

    /* the first two kinds are row-major and channels last */
    for (int i = 0; i < n_layout_kinds[ndims] && i < 2; i++) {
        DnnMd seen = dnn_md_typed(dnn_md_type(md), ndims, dims, layout_kinds[ndims][i]), back = NULL;
        dnnl_dims_t strides = {0}, source_strides = {0}, source_dims = {0};
        int64_t stride = 1;

        if (seen == NULL)
            return NULL;
        for (int k = ndims - 1; k >= 0; k--) {
            /* channels last: 0, 2, 3, ..., 1 from the outermost to the innermost */
            int axis = i == 0 || k == 0 ? k : k == ndims - 1 ? 1 : k + 1;

            strides[axis] = stride;
            stride *= dims[axis];
        }
        for (int k = 0; k < ndims; k++) {
            source_dims[perm[k]] = dims[k];
            source_strides[perm[k]] = strides[k];
        }
        back = dnn_md_strides(dnn_md_type(md), ndims, source_dims, source_strides);
        if (back != NULL && dnn_md_equal(back, md)) {
            dnn_md_free(back);
            return seen;
        }
        dnn_md_free(back);
        dnn_md_free(seen);
    }
    return NULL;
}

DnnMd dnn_md_like(DnnMdRef md, const int64_t *dims)
{
    return same_kind(md, dnn_md_type(md), dims);
}

DnnMd dnn_md_as(DnnMdRef md, dnnl_data_type_t type)
{
    DnnMd as = same_kind(md, type, dnn_md_dims(md));

    return as != NULL ? as : dnn_md_dense(type, dnn_md_ndims(md), dnn_md_dims(md));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pools, local response normalisation, batch normalisation that could not be folded. */
#include <math.h>
#include <string.h>

#include "squeeze.h"

/* Numbers that are added up one after the other where there are many. */
#define LONG_CHAIN 256

typedef struct {
    int n;
    int64_t kernel[GPUDL_MAX_SPATIAL], strides[GPUDL_MAX_SPATIAL], dilates[GPUDL_MAX_SPATIAL];
    int64_t pad_l[GPUDL_MAX_SPATIAL], pad_r[GPUDL_MAX_SPATIAL];
} Window;

/* FALSE where oneDNN means something else than the graph: crops, windows that hang over the padded input and count
 * padding, windows that lie in the padding alone. */
static int pool_window(const GpudlWindowAttrs *attrs, const GpudlShape *x, const GpudlShape *y, int count_pad,
                       Window *w)
{
    int skip = GPUDL_MAX_SPATIAL - attrs->n_spatial;

    w->n = attrs->n_spatial;
    for (int i = 0; i < w->n; i++) {
        int64_t extent, needed;

        w->kernel[i] = attrs->kernel[skip + i];
        w->strides[i] = attrs->stride[skip + i];
        w->dilates[i] = attrs->dilation[skip + i] - 1;
        w->pad_l[i] = attrs->pad_begin[skip + i];
        w->pad_r[i] = attrs->pad_end[skip + i];
        extent = (w->kernel[i] - 1) * (w->dilates[i] + 1) + 1;
        /* oneDNN derives the output's size from the pads: rounding up means more padding at the end */
        needed = (y->dims[2 + i] - 1) * w->strides[i] + extent - x->dims[2 + i] - w->pad_l[i];
        if (needed > w->pad_r[i]) {
            if (count_pad)
                return 0;
            w->pad_r[i] = needed;
        }
        if (w->pad_l[i] < 0 || w->pad_r[i] < 0 || w->pad_l[i] >= w->kernel[i] || w->pad_r[i] >= w->kernel[i] ||
            (w->dilates[i] > 0 && (w->pad_l[i] > 0 || w->pad_r[i] > 0)))
            return 0;
    }
    return w->n >= 1;
}

/* A mean that drops its dimensions: what was computed with them is seen without. */
static void drop_dims(CpuCompiler *c, int32_t tensor, int32_t kept, const int64_t *dims)
{
    const GpudlShape *out = &cpu_tensor(c, tensor)->shape;
    DnnMdRef md = kept >= 0 ? cpu_value_md(c, kept) : NULL;
    dnnl_data_type_t type = md != NULL ? dnn_md_type(md) : dnnl_f32;
    int32_t plain = kept;

    if (md != NULL && !dnn_md_is_plain(md)) {
        plain = cpu_temporary(c, dnn_md_dense(type, dnn_md_ndims(md), dims));
        cpu_copy(c, kept, plain);
    }
    cpu_define_alias(c, tensor, dnn_md_dense(type, out->rank, out->dims), plain);
}

/* What an operation of one input is, given the input's layout; NULL if oneDNN has none. */
typedef dnnl_primitive_desc_t Describe(CpuCompiler *c, dnnl_primitive_attr_t attr, DnnMdRef src, const void *what);

/* On the input as it lies, but on float32 where oneDNN has only lesser code for bfloat16. *src is what it reads. */
static dnnl_primitive_desc_t describe_lying(CpuCompiler *c, int32_t tensor, Describe *describe, const void *what,
                                            int32_t *src)
{
    dnnl_primitive_attr_t attr = dnn_attr(NULL);
    int32_t value = cpu_use_lying(c, tensor);
    DnnMdRef md = value >= 0 ? cpu_value_md(c, value) : NULL;
    dnnl_primitive_desc_t pd = md != NULL && attr != NULL ? describe(c, attr, md, what) : NULL, other = NULL;

    if (md != NULL && attr != NULL && dnn_md_type(md) != dnnl_f32 && cpu_quality(pd) < CPU_WIDE_LOOPS) {
        DnnMd wide = dnn_md_as(md, dnnl_f32);

        other = wide != NULL ? describe(c, attr, wide, what) : NULL;
        dnn_md_free(wide);
    }
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    if (cpu_quality(other) > cpu_quality(pd)) {
        dnnl_primitive_desc_t lesser = pd;

        pd = other;
        other = lesser;
        value = cpu_use(c, tensor, NULL);
    }
    if (other != NULL)
        dnnl_primitive_desc_destroy(other);
    *src = value;
    return pd;
}

typedef struct {
    dnnl_alg_kind_t alg;
    const Window *window;
    const int64_t *y_dims;
} Pool;

static dnnl_primitive_desc_t describe_pool(CpuCompiler *c, dnnl_primitive_attr_t attr, DnnMdRef src, const void *what)
{
    const Pool *pool = what;
    const Window *w = pool->window;
    DnnMd any = dnn_md_typed(dnn_md_type(src), dnn_md_ndims(src), pool->y_dims, dnnl_format_tag_any);
    dnnl_primitive_desc_t pd = NULL;

    if (any != NULL)
        pd = dnn_pooling(c->shared->dnn, attr, pool->alg, src, any, w->strides, w->kernel, w->dilates, w->pad_l,
                         w->pad_r);
    dnn_md_free(any);
    return pd;
}

/* One pool, or two, of which the second reads what the first one gives. */
static int lower_pools(CpuCompiler *c, const GpudlPlanNode *node, const Pool *pools, int n)
{
    int same_rank = cpu_tensor(c, node->outputs[0])->shape.rank == cpu_tensor(c, node->inputs[0])->shape.rank;
    int32_t src, dst;
    dnnl_primitive_desc_t pd = describe_lying(c, node->inputs[0], describe_pool, &pools[0], &src), second = NULL;
    DnnMd md;

    if (pd == NULL)
        return 0;
    if (n > 1) {
        dnnl_primitive_attr_t attr = dnn_attr(NULL);

        second = attr != NULL ? describe_pool(c, attr, dnn_pd_md(pd, dnnl_query_dst_md, 0), &pools[1]) : NULL;
        if (attr != NULL)
            dnnl_primitive_attr_destroy(attr);
        if (second == NULL) {
            dnnl_primitive_desc_destroy(pd);
            return 0;
        }
        dst = cpu_temporary(c, dnn_md_copy(dnn_pd_md(pd, dnnl_query_dst_md, 0)));
        cpu_step(c, pd, 2, (const CpuArg[]){{DNNL_ARG_SRC, src}, {DNNL_ARG_DST, dst}});
        src = dst;
        pd = second;
    }
    md = dnn_md_copy(dnn_pd_md(pd, dnnl_query_dst_md, 0));
    dst = same_rank ? cpu_define(c, node->outputs[0], md) : cpu_temporary(c, md);
    cpu_step(c, pd, 2, (const CpuArg[]){{DNNL_ARG_SRC, src}, {DNNL_ARG_DST, dst}});
    if (!same_rank)
        drop_dims(c, node->outputs[0], dst, pools[n - 1].y_dims);
    return 1;
}

int cpu_lower_pool(CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlWindowAttrs *attrs = &((const GpudlAttrs *)node->attrs)->window;
    const GpudlShape *y = &cpu_tensor(c, node->outputs[0])->shape;
    int count_pad = node->op == GPUDL_OP_AVERAGE_POOL && attrs->count_include_pad;
    dnnl_alg_kind_t alg = node->op == GPUDL_OP_MAX_POOL ? dnnl_pooling_max
                          : count_pad                   ? dnnl_pooling_avg_include_padding
                                                        : dnnl_pooling_avg_exclude_padding;
    Window w;

    if (node->n_outputs != 1 || !pool_window(attrs, &cpu_tensor(c, node->inputs[0])->shape, y, count_pad, &w))
        return 0;
    return lower_pools(c, node, &(const Pool){alg, &w, y->dims}, 1);
}

int cpu_mean_window(const CpuCompiler *c, int n, const int64_t *dims, int64_t *window)
{
    int64_t all = 1, most, taken = 1;

    for (int i = 0; i < n; i++)
        all *= dims[i];
    if (all <= LONG_CHAIN || c->type != dnnl_f32)
        return 0;
    most = (int64_t)sqrt((double)all);
    most = most > LONG_CHAIN ? most : LONG_CHAIN;
    for (int i = n - 1; i >= 0; i--) {
        window[i] = dims[i] < most / taken ? dims[i] : most / taken;
        while (dims[i] % window[i] != 0)
            window[i]--;
        taken *= window[i];
    }
    return taken > 1;
}

/* One window as large as the picture. */
static int lower_whole(CpuCompiler *c, const GpudlPlanNode *node, dnnl_alg_kind_t alg)
{
    const GpudlShape *x = &cpu_tensor(c, node->inputs[0])->shape;
    int64_t dims[2][GPUDL_MAX_RANK];
    Window w[2] = {{.n = x->rank - 2}, {.n = x->rank - 2}};
    const Pool pools[2] = {{alg, &w[0], dims[0]}, {alg, &w[1], dims[1]}};
    int halves;

    if (x->rank < 3 || x->rank > 2 + GPUDL_MAX_SPATIAL)
        return 0;
    halves = alg != dnnl_pooling_max && cpu_mean_window(c, w[0].n, x->dims + 2, w[0].kernel);
    for (int i = 0; i < x->rank; i++)
        dims[0][i] = dims[1][i] = i < 2 ? x->dims[i] : 1;
    for (int i = 0; i < w[0].n; i++) {
        w[0].strides[i] = w[0].kernel[i];
        w[1].strides[i] = 1;
        dims[0][2 + i] = halves ? x->dims[2 + i] / w[0].kernel[i] : 1;
        w[1].kernel[i] = halves ? dims[0][2 + i] : x->dims[2 + i];
    }
    return halves ? lower_pools(c, node, pools, 2) : lower_pools(c, node, &pools[1], 1);
}

int cpu_lower_global_pool(CpuCompiler *c, const GpudlPlanNode *node)
{
    if (cpu_lower_squeeze(c, node))
        return 1;
    return lower_whole(c, node,
                       node->op == GPUDL_OP_GLOBAL_MAX_POOL ? dnnl_pooling_max : dnnl_pooling_avg_exclude_padding);
}

/* part[0] times, part[1] rows of part[2] numbers: a picture of one column with these as channels. */
static DnnMd column(const int64_t *part)
{
    return part[2] > 1 ? dnn_md_tag(4, (const int64_t[]){part[0], part[2], part[1], 1}, dnnl_acdb)
                       : dnn_md_plain(4, (const int64_t[]){1, part[0], part[1], 1});
}

/* Over neighbouring dimensions of what is row-major: with what follows them as channels, a pool of one column, or two.
 */
static int lower_column(CpuCompiler *c, const GpudlPlanNode *node, dnnl_alg_kind_t alg, unsigned over)
{
    const GpudlShape *x = &cpu_tensor(c, node->inputs[0])->shape, *y = &cpu_tensor(c, node->outputs[0])->shape;
    static const int64_t zeros[2] = {0, 0};
    int64_t part[3] = {1, 1, 1}, kernel[2] = {1, 1};
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd[2] = {NULL};
    DnnMd md[3] = {NULL};
    int at = 0, n = 1, good = 1;

    for (int i = 0; i < x->rank; i++) {
        if (x->dims[i] == 1)
            continue;
        if (at % 2 != (int)(over >> i & 1))
            at++;
        if (at > 2)
            return 0;
        part[at] *= x->dims[i];
    }
    kernel[0] = part[1];
    if (alg != dnnl_pooling_max && cpu_mean_window(c, 1, &part[1], kernel))
        n = 2;
    attr = dnn_attr(NULL);
    md[0] = column(part);
    for (int i = 0; i < n; i++) {
        part[1] /= kernel[0];
        md[i + 1] = column(part);
        if (attr != NULL && md[i] != NULL && md[i + 1] != NULL)
            pd[i] = dnn_pooling(c->shared->dnn, attr, alg, md[i], md[i + 1], kernel, kernel, zeros, zeros, zeros);
        good = good && pd[i] != NULL && strncmp(dnn_pd_name(pd[i]), "ref", 3) != 0;
        kernel[0] = part[1];
    }
    if (good) {
        int32_t src = cpu_view(c, dnn_md_copy(md[0]), cpu_use_plain(c, node->inputs[0]));

        for (int i = 0; i < n; i++) {
            int32_t dst = i + 1 < n ? cpu_temporary(c, dnn_md_copy(md[i + 1]))
                                    : cpu_view(c, dnn_md_copy(md[n]),
                                               cpu_define(c, node->outputs[0], dnn_md_plain(y->rank, y->dims)));

            cpu_step(c, pd[i], 2, (const CpuArg[]){{DNNL_ARG_SRC, src}, {DNNL_ARG_DST, dst}});
            src = dst;
        }
    }
    for (int i = 0; i < 2 && !good; i++)
        if (pd[i] != NULL)
            dnnl_primitive_desc_destroy(pd[i]);
    for (int i = 0; i < 3; i++)
        dnn_md_free(md[i]);
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    return good;
}

/* The mean, the sum or the maximum over neighbouring dimensions is a pool; the sum is the mean times their number. */
int cpu_lower_reduce(CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlReduceAttrs *attrs = &((const GpudlAttrs *)node->attrs)->reduce;
    const GpudlShape *x = &cpu_tensor(c, node->inputs[0])->shape;
    const dnnl_alg_kind_t alg = node->op == GPUDL_OP_REDUCE_MAX ? dnnl_pooling_max : dnnl_pooling_avg_exclude_padding;
    const unsigned all = (1u << x->rank) - 1, space = x->rank > 2 ? all & ~3u : 0;
    DnnEltwise times = {dnnl_eltwise_linear, 1.f, 0.f};
    unsigned over = attrs->n_axes == 0 ? all : 0;
    dnnl_primitive_attr_t attr;
    int32_t y;

    for (int i = 0; i < attrs->n_axes; i++)
        over |= 1u << attrs->axes[i];
    if (!(over == space && space != 0 && lower_whole(c, node, alg)) && !lower_column(c, node, alg, over))
        return 0;
    for (int i = 0; i < x->rank; i++)
        times.alpha *= (over >> i & 1) != 0 ? (float)x->dims[i] : 1.f;
    y = c->tensor_values[node->outputs[0]];
    if (node->op != GPUDL_OP_REDUCE_SUM || y < 0)
        return 1;
    attr = dnn_attr(NULL);
    cpu_step(c, dnn_eltwise(c->shared->dnn, attr, &times, cpu_value_md(c, y)), 2,
             (const CpuArg[]){{DNNL_ARG_SRC, y}, {DNNL_ARG_DST, y}});
    dnnl_primitive_attr_destroy(attr);
    return 1;
}

static dnnl_primitive_desc_t describe_lrn(CpuCompiler *c, dnnl_primitive_attr_t attr, DnnMdRef src, const void *what)
{
    const GpudlLrnAttrs *attrs = what;

    return dnn_lrn(c->shared->dnn, attr, src, attrs->size, attrs->alpha, attrs->beta, attrs->bias);
}

int cpu_lower_lrn(CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlLrnAttrs *attrs = &((const GpudlAttrs *)node->attrs)->lrn;
    dnnl_primitive_desc_t pd;
    int32_t src, dst;

    if (attrs->size % 2 == 0) /* an even window leans to one side, to which one differs */
        return 0;
    pd = describe_lying(c, node->inputs[0], describe_lrn, attrs, &src);
    if (pd == NULL)
        return 0;
    dst = cpu_define(c, node->outputs[0], dnn_md_copy(cpu_value_md(c, src)));
    cpu_step(c, pd, 2, (const CpuArg[]){{DNNL_ARG_SRC, src}, {DNNL_ARG_DST, dst}});
    return 1;
}

/* The ReLU that alone reads a node's output, or -1. It comes later in the list: fusing it is right because nothing else
 * sees the value between. */
static int32_t following_relu(const CpuCompiler *c, const GpudlPlanNode *node)
{
    int32_t reader = cpu_only_reader(c, node->outputs[0]);
    const GpudlPlanNode *next = reader >= 0 ? &c->plan->nodes[reader] : NULL;

    return next != NULL && next->op == GPUDL_OP_ACTIVATION &&
                   ((const GpudlAttrs *)next->attrs)->unary.act.kind == GPUDL_ACT_RELU
               ? reader
               : -1;
}

typedef struct {
    float epsilon;
    int relu;
} Norm;

static dnnl_primitive_desc_t describe_norm(CpuCompiler *c, dnnl_primitive_attr_t attr, DnnMdRef src, const void *what)
{
    const Norm *norm = what;

    return dnn_batch_norm(c->shared->dnn, attr, src, norm->epsilon, norm->relu);
}

int cpu_lower_batch_norm(CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlBatchNormAttrs *attrs = &((const GpudlAttrs *)node->attrs)->batch_norm;
    int32_t relu = c->exact ? -1 : following_relu(c, node), src, dst, output = node->outputs[0];
    const Norm norm = {attrs->epsilon, relu >= 0};
    dnnl_primitive_desc_t pd;
    DnnMdRef md;

    if (cpu_tensor(c, node->inputs[0])->shape.rank < 2 || node->n_outputs != 1)
        return 0;
    if (cpu_lower_joined_norm(c, node, relu))
        return 1;
    pd = describe_lying(c, node->inputs[0], describe_norm, &norm, &src);
    if (pd == NULL)
        return 0;
    if (relu >= 0) {
        cpu_cover(c, relu);
        output = c->plan->nodes[relu].outputs[0];
    }
    md = cpu_value_md(c, src);
    dst = cpu_may_overwrite(c, src) ? cpu_define_alias(c, output, dnn_md_copy(md), src)
                                    : cpu_define(c, output, dnn_md_copy(md));
    cpu_step(c, pd, 6,
             (const CpuArg[]){{DNNL_ARG_SRC, src},
                              {DNNL_ARG_SCALE, cpu_use_plain(c, node->inputs[1])},
                              {DNNL_ARG_SHIFT, cpu_use_plain(c, node->inputs[2])},
                              {DNNL_ARG_MEAN, cpu_use_plain(c, node->inputs[3])},
                              {DNNL_ARG_VARIANCE, cpu_use_plain(c, node->inputs[4])},
                              {DNNL_ARG_DST, dst}});
    return 1;
}

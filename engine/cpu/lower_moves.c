/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Data movement: views where nothing has to move, else oneDNN's reorders and concatenations. */
#include <stdlib.h>
#include <string.h>

#include "kernels/shuffle.h"
#include "lower.h"

int cpu_lower_identity(CpuCompiler *c, const GpudlPlanNode *node)
{
    int32_t value = cpu_use_lying(c, node->inputs[0]);
    DnnMdRef md = value >= 0 ? cpu_value_md(c, value) : NULL;

    if (value >= 0)
        cpu_define_alias(c, node->outputs[0], md != NULL ? dnn_md_copy(md) : NULL, value);
    return 1;
}

/* ---- channel shuffle --------------------------------------------------------------------------------------------- */

int32_t cpu_find_shuffle(const CpuCompiler *c, const GpudlPlanNode *node, int64_t *size)
{
    const GpudlShape *x = &cpu_tensor(c, node->inputs[0])->shape, *split = &cpu_tensor(c, node->outputs[0])->shape;
    int32_t second = cpu_only_reader(c, node->outputs[0]), third;
    const GpudlTransposeAttrs *attrs;

    if (node->op != GPUDL_OP_RESHAPE || !cpu_is_f32(c, node->inputs[0]) || second < 0 ||
        c->plan->nodes[second].op != GPUDL_OP_TRANSPOSE || x->rank < 3 || split->rank < 3 ||
        split->dims[0] != x->dims[0] || split->dims[1] * split->dims[2] != x->dims[1])
        return -1;
    attrs = &((const GpudlAttrs *)c->plan->nodes[second].attrs)->transpose;
    for (int i = 0; i < split->rank; i++)
        if (attrs->perm[i] != (i == 1 ? 2 : i == 2 ? 1 : i))
            return -1;
    third = cpu_only_reader(c, c->plan->nodes[second].outputs[0]);
    if (third < 0 || c->plan->nodes[third].op != GPUDL_OP_RESHAPE ||
        !gpudl_shape_equal(x, &cpu_tensor(c, c->plan->nodes[third].outputs[0])->shape))
        return -1;
    *size = split->dims[2];
    return third;
}

/* Channels, last, dealt out in turns by a kernel of our own. */
typedef struct {
    int64_t pixels, groups, size, bytes; /* bytes: of an element */
} Shuffle;

static void run_shuffle(const void *problem, void *const *data)
{
    const Shuffle *s = problem;

    gpudl_shuffle(data[0], s->pixels, s->groups, s->size, (int)s->bytes, data[1]);
}

/* On what lies channels last by a kernel of our own: oneDNN has only general code for that. */
static int lower_shuffle(CpuCompiler *c, const GpudlPlanNode *node)
{
    int64_t size;
    int32_t last = cpu_find_shuffle(c, node, &size);
    int32_t src = last >= 0 ? cpu_use_lying(c, node->inputs[0]) : -1, dst;
    dnnl_primitive_desc_t pd = NULL;
    DnnMdRef md;
    int own;

    if (src < 0)
        return 0;
    md = cpu_value_md(c, src);
    own = dnn_md_kind(md) == 1;
    if (!own) {
        dnnl_primitive_attr_t attr = dnn_attr(NULL);

        pd = dnn_shuffle(c->shared->dnn, attr, md, 1, size);
        dnnl_primitive_attr_destroy(attr);
        if (pd == NULL)
            return 0;
    }
    cpu_cover(c, cpu_only_reader(c, node->outputs[0]));
    cpu_cover(c, last);
    dst = cpu_define(c, c->plan->nodes[last].outputs[0], dnn_md_copy(md));
    if (own) {
        const GpudlShape *x = &cpu_tensor(c, node->inputs[0])->shape;

        const Shuffle shuffle = {.pixels = gpudl_shape_elements(x) / x->dims[1],
                                 .groups = x->dims[1] / size,
                                 .size = size,
                                 .bytes = dnn_md_type(md) == dnnl_bf16 ? sizeof(uint16_t) : sizeof(float)};

        cpu_own(c, "shuffle", run_shuffle, &shuffle, sizeof shuffle, 2, (const CpuUse[]){{src, 1}, {dst, 1}});
    } else {
        cpu_step(c, pd, 2, (const CpuArg[]){{DNNL_ARG_SRC, src}, {DNNL_ARG_DST, dst}});
    }
    return 1;
}

/* ---- views ------------------------------------------------------------------------------------------------------- */

int cpu_lower_reshape(CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlShape *shape = &cpu_tensor(c, node->outputs[0])->shape;
    dnnl_data_type_t type = dnnl_f32;
    DnnMd md = NULL;

    if (lower_shuffle(c, node))
        return 1;
    if (cpu_is_f32(c, node->outputs[0])) { /* else to a scalar, which oneDNN does not know, or of another type */
        if (cpu_is_f32(c, node->inputs[0]))
            type = cpu_lying_type(c, node->inputs[0]);
        md = type != dnnl_data_type_undef ? dnn_md_dense(type, shape->rank, shape->dims) : NULL;
    }
    cpu_define_alias(c, node->outputs[0], md, cpu_use_dense(c, node->inputs[0], type));
    return 1;
}

/* A copy from one layout to another of the same dimensions; what oneDNN can't copy leaves the node to the reference. */
static int try_copy(CpuCompiler *c, DnnMd from_md, int32_t from, int32_t tensor, DnnMd to_md)
{
    dnnl_primitive_attr_t attr = dnn_attr(NULL);
    dnnl_primitive_desc_t pd =
        from_md != NULL && to_md != NULL ? dnn_reorder(c->shared->dnn, attr, from_md, to_md) : NULL;
    int32_t view, dst;

    dnnl_primitive_attr_destroy(attr);
    if (pd == NULL) {
        dnn_md_free(from_md);
        dnn_md_free(to_md);
        return 0;
    }
    view = cpu_view(c, from_md, from);
    dst = cpu_define(c, tensor, to_md);
    cpu_step(c, pd, 2, (const CpuArg[]){{DNNL_ARG_FROM, view}, {DNNL_ARG_TO, dst}});
    return 1;
}

/* A transpose of a value whose layout, seen by the output's dimensions, is one of those that operators know: nothing
 * moves. Channels last becomes row-major this way, and row-major channels last. */
static int view_transposed(CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlTransposeAttrs *attrs = &((const GpudlAttrs *)node->attrs)->transpose;
    const GpudlShape *y = &cpu_tensor(c, node->outputs[0])->shape;

    for (int32_t v = c->tensor_values[node->inputs[0]]; v >= 0; v = c->next_value[v]) {
        DnnMd md = dnn_md_permuted(cpu_value_md(c, v), y->dims, attrs->perm);

        if (md != NULL) {
            cpu_define_alias(c, node->outputs[0], md, v);
            return 1;
        }
    }
    return 0;
}

int cpu_lower_transpose(CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlTransposeAttrs *attrs = &((const GpudlAttrs *)node->attrs)->transpose;
    const GpudlShape *x = &cpu_tensor(c, node->inputs[0])->shape, *y = &cpu_tensor(c, node->outputs[0])->shape;
    dnnl_data_type_t type = cpu_lying_type(c, node->inputs[0]);
    int64_t x_strides[GPUDL_MAX_RANK], strides[GPUDL_MAX_RANK], stride = 1;

    if (view_transposed(c, node))
        return 1;
    for (int i = x->rank - 1; i >= 0; i--) {
        x_strides[i] = stride;
        stride *= x->dims[i];
    }
    for (int i = 0; i < x->rank; i++)
        strides[i] = x_strides[attrs->perm[i]];
    return try_copy(c, dnn_md_strides(type, y->rank, y->dims, strides), cpu_use_dense(c, node->inputs[0], type),
                    node->outputs[0], dnn_md_dense(type, y->rank, y->dims));
}

/* A box of the input as a tensor of its own: in the input's layout if the box does not cut its blocks, else by way of
 * the plain one. */
static int copy_box(CpuCompiler *c, int32_t input, int32_t output, const int64_t *offsets)
{
    const GpudlShape *y = &cpu_tensor(c, output)->shape;
    int32_t src = cpu_use_lying(c, input);
    DnnMdRef md = src >= 0 ? cpu_value_md(c, src) : NULL;
    dnnl_data_type_t type = md != NULL ? dnn_md_type(md) : dnnl_f32;
    DnnMd box = md != NULL ? dnn_md_box(md, y->dims, offsets) : NULL, dense = NULL;

    if (box != NULL)
        dense = dnn_md_like(md, y->dims);
    if (dense != NULL && try_copy(c, box, src, output, dense))
        return 1;
    if (dense == NULL)
        dnn_md_free(box);
    src = cpu_use_dense(c, input, type);
    if (src < 0)
        return 0;
    return try_copy(c, dnn_md_box(cpu_value_md(c, src), y->dims, offsets), src, output,
                    dnn_md_dense(type, y->rank, y->dims));
}

int cpu_lower_split(CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlAxisAttrs *attrs = &((const GpudlAttrs *)node->attrs)->axis;
    int64_t offsets[GPUDL_MAX_RANK] = {0};

    for (uint32_t i = 0; i < node->n_outputs; i++) {
        if (!copy_box(c, node->inputs[0], node->outputs[i], offsets))
            cpu_fail(c, GPUDL_STATUS_UNSUPPORTED, "node '%s': oneDNN can't copy piece %u of the split", node->name, i);
        offsets[attrs->axis] += cpu_tensor(c, node->outputs[i])->shape.dims[attrs->axis];
    }
    return 1;
}

int cpu_lower_slice(CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlSliceAttrs *attrs = &((const GpudlAttrs *)node->attrs)->slice;
    const GpudlShape *x = &cpu_tensor(c, node->inputs[0])->shape;
    int64_t offsets[GPUDL_MAX_RANK];

    for (int i = 0; i < x->rank; i++) {
        int64_t start = attrs->start[i] < 0 ? attrs->start[i] + x->dims[i] : attrs->start[i];

        if (attrs->step[i] != 1)
            return 0;
        offsets[i] = start < 0 ? 0 : start > x->dims[i] ? x->dims[i] : start;
    }
    return copy_box(c, node->inputs[0], node->outputs[0], offsets);
}

/* ---- concatenation ----------------------------------------------------------------------------------------------- */

/* oneDNN numbers a primitive's arguments; from here on the sources' numbers mean something else. */
#define MOST_SOURCES (DNNL_ARG_MULTIPLE_DST - DNNL_ARG_MULTIPLE_SRC)

/* In the layout that most of the bytes have already; oneDNN's fast loop needs whole blocks of every piece but the last,
 * where it has none the plain layout is faster than its general loop. */
static int32_t leading_input(CpuCompiler *c, const GpudlPlanNode *node)
{
    int32_t best = -1;
    uint64_t most = 0;

    for (uint32_t i = 0; i < node->n_inputs; i++) {
        int32_t value =
            c->wide[node->outputs[0]] ? cpu_use(c, node->inputs[i], NULL) : cpu_use_lying(c, node->inputs[i]);

        if (value >= 0 && cpu_tensor(c, node->inputs[i])->bytes > most) {
            most = cpu_tensor(c, node->inputs[i])->bytes;
            best = value;
        }
    }
    return best;
}

int cpu_lower_concat_copy(CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlShape *y = &cpu_tensor(c, node->outputs[0])->shape;
    int axis = ((const GpudlAttrs *)node->attrs)->axis.axis;
    int32_t leading = node->n_inputs <= MOST_SOURCES ? leading_input(c, node) : -1;
    CpuArg *args;
    DnnMdRef *mds;
    dnnl_primitive_attr_t attr;
    DnnMd dst;
    dnnl_primitive_desc_t pd = NULL;

    if (leading < 0)
        return 0;
    args = calloc(node->n_inputs + 1, sizeof *args);
    mds = calloc(node->n_inputs, sizeof *mds);
    attr = dnn_attr(NULL);
    dst = dnn_md_like(cpu_value_md(c, leading), y->dims);
    if (args != NULL && mds != NULL && attr != NULL && dst != NULL) {
        for (uint32_t i = 0; i < node->n_inputs; i++) {
            DnnMd like = dnn_md_like(dst, cpu_tensor(c, node->inputs[i])->shape.dims);

            args[i] = (CpuArg){DNNL_ARG_MULTIPLE_SRC + (int)i, cpu_use(c, node->inputs[i], like)};
            dnn_md_free(like);
            mds[i] = args[i].value >= 0 ? cpu_value_md(c, args[i].value) : NULL;
        }
        if (c->status == GPUDL_STATUS_OK)
            pd = dnn_concat(c->shared->dnn, attr, dst, (int)node->n_inputs, axis, mds);
    }
    if (pd != NULL) {
        args[node->n_inputs] = (CpuArg){DNNL_ARG_DST, cpu_define(c, node->outputs[0], dnn_md_copy(dst))};
        cpu_step(c, pd, node->n_inputs + 1, args);
    }
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    dnn_md_free(dst);
    free(mds);
    free(args);
    return pd != NULL;
}

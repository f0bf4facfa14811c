/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Layer and group norms; batch norms by what is computed, of element-wise kernels. */
#include <stdlib.h>
#include <string.h>

#include "kernels/norm_cuda.h"
#include "lower.h"

/* ---- launches ---------------------------------------------------------------------------------------------------- */

static int launch_norm(const CudaStep *s, const CudaRun *run)
{
    const float epsilon = ((const GpudlAttrs *)run->program->plan->nodes[s->node].attrs)->norm.epsilon;
    const GpudlStrided x = cuda_value_strided(run, s->x), y = cuda_value_strided(run, s->y);
    GpudlStrided scale, bias;

    if (s->w >= 0)
        scale = cuda_value_strided(run, s->w);
    if (s->bias >= 0)
        bias = cuda_value_strided(run, s->bias);
    return gpudl_norm_cuda(&run->program->values[s->y].shape, (uint32_t)s->op, &x, s->w >= 0 ? &scale : NULL,
                           s->bias >= 0 ? &bias : NULL, epsilon, &y, run->stream);
}

static int launch_two(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided a = cuda_value_strided(run, s->x), b = cuda_value_strided(run, s->z),
                       y = cuda_value_strided(run, s->y);

    return gpudl_binary_cuda((GpudlBinaryOp)s->op, NULL, &run->program->values[s->y].shape, &a, &b, &y, run->stream);
}

static int launch_root(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided x = cuda_value_strided(run, s->x), y = cuda_value_strided(run, s->y);

    return gpudl_unary_cuda(GPUDL_UNARY_SQRT, NULL, &run->program->values[s->y].shape, &x, &y, run->stream);
}

static int launch_line(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided x = cuda_value_strided(run, s->x), y = cuda_value_strided(run, s->y);
    GpudlStrided scale, bias;

    if (s->w >= 0)
        scale = cuda_value_strided(run, s->w);
    if (s->bias >= 0)
        bias = cuda_value_strided(run, s->bias);
    return gpudl_affine_cuda(NULL, &run->program->values[s->y].shape, &x, s->w >= 0 ? &scale : NULL,
                             s->bias >= 0 ? &bias : NULL, NULL, &y, run->stream);
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

static void add_step(CudaCompiler *c, CudaLaunch *launch, const char *what, int op, int32_t x, int32_t z, int32_t y)
{
    CudaStep *s = x >= 0 && y >= 0 ? cuda_step(c, launch, what) : NULL;

    if (s == NULL)
        return;
    s->op = op;
    s->x = x;
    s->z = z;
    s->y = y;
    cuda_touch(c, s);
}

/* A value of extents that are the shape's or 1, repeated along the latter. */
static int32_t spread(CudaCompiler *c, int32_t value, const GpudlShape *shape)
{
    CudaValue v;

    if (value < 0)
        return -1;
    v = *cuda_value(c, value);
    for (int i = 0; i < shape->rank; i++)
        if (v.shape.dims[i] == 1)
            v.strides[i] = 0;
    v.shape = *shape;
    v.finite = 0;
    return cuda_add_value(c, &v);
}

/* ---- views ------------------------------------------------------------------------------------------------------- */

/* How x is seen: with channels split into groups if there are several of several, and which dimensions are one set. */
typedef struct {
    int32_t groups; /* 0: channels are not split */
    int32_t first, n;
} Sets;

static int32_t split_channels(CudaCompiler *c, int32_t value, int32_t groups)
{
    CudaValue v;
    int64_t stride;

    if (value < 0 || groups == 0)
        return value;
    v = *cuda_value(c, value);
    stride = v.strides[1];
    for (int i = v.shape.rank++; i > 2; i--) {
        v.shape.dims[i] = v.shape.dims[i - 1];
        v.strides[i] = v.strides[i - 1];
    }
    v.shape.dims[2] = v.shape.dims[1] / groups;
    v.strides[2] = stride;
    v.shape.dims[1] = groups;
    v.strides[1] = stride * v.shape.dims[2];
    v.finite = 0;
    return cuda_add_value(c, &v);
}

/* A parameter, dense over dimensions first .. first + n - 1 of the shape, as a value of the whole shape. */
static int32_t parameter(CudaCompiler *c, const GpudlPlanNode *node, uint32_t i, const GpudlShape *shape, int first,
                         int n)
{
    int32_t value;
    int64_t stride = 1;
    CudaValue v;

    if (i >= node->n_inputs || node->inputs[i] < 0)
        return -1;
    value = cuda_use(c, node->inputs[i]);
    if (value < 0)
        return -1;
    v = *cuda_value(c, value);
    if (!cuda_is_constant(c, node->inputs[i])) { /* computed: it may lie anyhow */
        value = cuda_temporary(c, GPUDL_DTYPE_F32, &v.shape, 0);
        cuda_copy(c, cuda_use(c, node->inputs[i]), value);
        if (value < 0)
            return -1;
        v = *cuda_value(c, value);
    }
    v.shape = *shape;
    v.finite = 0;
    memset(v.strides, 0, sizeof v.strides);
    for (int k = first + n - 1; k >= first; k--) {
        v.strides[k] = stride;
        stride *= shape->dims[k];
    }
    return cuda_add_value(c, &v);
}

static int32_t constant_epsilon(CudaCompiler *c, float epsilon, const GpudlShape *shape)
{
    int32_t value = cuda_find_constant(c, 0, GPUDL_DTYPE_F32, 1);
    CudaValue v;

    if (value < 0 && c->status == GPUDL_STATUS_OK) {
        float *values = malloc(sizeof *values);

        if (values != NULL)
            *values = epsilon;
        value = cuda_add_constant(c, 0, GPUDL_DTYPE_F32, 1, values);
    }
    if (value < 0)
        return -1;
    v = *cuda_value(c, value);
    v.shape = *shape;
    memset(v.strides, 0, sizeof v.strides);
    return cuda_add_value(c, &v);
}

/* y = x * factor + bias, all of y's shape */
static int add_line(CudaCompiler *c, int32_t x, int32_t factor, int32_t bias, int32_t y)
{
    CudaStep *s = c->status == GPUDL_STATUS_OK ? cuda_step(c, launch_line, "element-wise kernel") : NULL;

    if (s == NULL)
        return 0;
    s->x = x;
    s->w = factor;
    s->bias = bias;
    s->y = y;
    cuda_touch(c, s);
    return 1;
}

/* to = the norm of from */
static int add_norm(CudaCompiler *c, const GpudlPlanNode *node, int32_t from, int32_t to, Sets sets, int first, int n)
{
    const int32_t x = split_channels(c, from, sets.groups), y = split_channels(c, to, sets.groups);
    int32_t scale, bias;
    GpudlShape shape;
    CudaStep *s;

    if (x < 0 || y < 0)
        return 0;
    shape = cuda_value(c, x)->shape;
    scale = parameter(c, node, 1, &shape, first, n);
    bias = parameter(c, node, 2, &shape, first, n);
    s = c->status == GPUDL_STATUS_OK ? cuda_step(c, launch_norm, "normalisation kernel") : NULL;
    if (s == NULL)
        return 0;
    s->op = ((1 << sets.n) - 1) << sets.first;
    s->x = x;
    s->w = scale;
    s->bias = bias;
    s->y = y;
    cuda_touch(c, s);
    return 1;
}

static int lower_norm(CudaCompiler *c, const GpudlPlanNode *node, Sets sets, int first, int n)
{
    const int32_t from = cuda_use(c, node->inputs[0]), to = cuda_define_like(c, node->outputs[0], from);

    return add_norm(c, node, from, to, sets, first, n);
}

/* The last two dimensions as one, of what lies dense. */
static int32_t join_last(CudaCompiler *c, int32_t value)
{
    CudaValue v;

    if (value < 0)
        return -1;
    v = *cuda_value(c, value);
    v.shape.dims[v.shape.rank - 2] *= v.shape.dims[v.shape.rank - 1];
    v.strides[v.shape.rank - 2] = v.strides[v.shape.rank - 1];
    v.shape.rank--;
    v.finite = 0;
    return cuda_add_value(c, &v);
}

/* So many dimensions that channels can't be split: one less of them. */
static int lower_joined(CudaCompiler *c, const GpudlPlanNode *node, int32_t groups)
{
    const GpudlShape *shape = &cuda_tensor(c, node->inputs[0])->shape;
    const int32_t x = cuda_temporary(c, GPUDL_DTYPE_F32, shape, 0), y = cuda_temporary(c, GPUDL_DTYPE_F32, shape, 0);

    cuda_copy(c, cuda_use(c, node->inputs[0]), x);
    add_norm(c, node, join_last(c, x), join_last(c, y), (Sets){groups, 2, shape->rank - 2}, 1, 2);
    cuda_copy(c, y, cuda_define(c, node->outputs[0]));
    return c->status == GPUDL_STATUS_OK;
}

int cuda_lower_layer_norm(CudaCompiler *c, const GpudlPlanNode *node)
{
    const GpudlNormAttrs *attrs = &((const GpudlAttrs *)node->attrs)->norm;

    return lower_norm(c, node, (Sets){0, attrs->axis, attrs->n_axes}, attrs->axis, attrs->n_axes);
}

int cuda_lower_group_norm(CudaCompiler *c, const GpudlPlanNode *node)
{
    const int32_t groups = ((const GpudlAttrs *)node->attrs)->norm.groups;
    const GpudlShape *x = &cuda_tensor(c, node->inputs[0])->shape;

    if (groups == 1)
        return lower_norm(c, node, (Sets){0, 1, x->rank - 1}, 1, 1);
    if (groups == x->dims[1]) /* of rank 2: each value alone */
        return lower_norm(c, node, (Sets){0, 2, x->rank - 2}, 1, 1);
    if (x->rank == GPUDL_MAX_RANK)
        return lower_joined(c, node, groups);
    return lower_norm(c, node, (Sets){groups, 2, x->rank - 1}, 1, 2);
}

/* (x - mean) * scale / sqrt(variance + epsilon) + bias, of parameters that are not constant. */
int cuda_lower_any_batch_norm(CudaCompiler *c, const GpudlPlanNode *node)
{
    const int32_t x = cuda_use(c, node->inputs[0]), y = cuda_define_like(c, node->outputs[0], x);
    const GpudlShape shape = cuda_tensor(c, node->inputs[0])->shape;
    GpudlShape one = {shape.rank, {1, 1, 1, 1, 1, 1}};
    int32_t factor, centred, bias;

    one.dims[1] = shape.dims[1];
    factor = cuda_temporary(c, GPUDL_DTYPE_F32, &one, 0);
    centred = cuda_temporary(c, GPUDL_DTYPE_F32, &shape, 0);
    add_step(c, launch_two, "element-wise kernel", GPUDL_BINARY_ADD, parameter(c, node, 4, &one, 1, 1),
             constant_epsilon(c, ((const GpudlAttrs *)node->attrs)->batch_norm.epsilon, &one), factor);
    add_step(c, launch_root, "element-wise kernel", 0, factor, -1, factor);
    add_step(c, launch_two, "element-wise kernel", GPUDL_BINARY_DIV, parameter(c, node, 1, &one, 1, 1), factor, factor);
    add_step(c, launch_two, "element-wise kernel", GPUDL_BINARY_SUB, x, parameter(c, node, 3, &shape, 1, 1), centred);
    factor = spread(c, factor, &shape);
    bias = parameter(c, node, 2, &shape, 1, 1);
    return add_line(c, centred, factor, bias, y);
}

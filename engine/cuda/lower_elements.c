/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies, activations, arithmetic and what has the form of them. */
#include <math.h>
#include <stdlib.h>

#include "engine/module.h"
#include "lower.h"

/* ---- launches ---------------------------------------------------------------------------------------------------- */

static const GpudlShape *shape_of(const CudaRun *run, int32_t value)
{
    return &run->program->values[value].shape;
}

/* y = x * w + bias */
static int launch_affine(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided x = cuda_value_strided(run, s->x), w = cuda_value_strided(run, s->w),
                       bias = cuda_value_strided(run, s->bias), y = cuda_value_strided(run, s->y);

    return gpudl_affine_cuda(&s->act, shape_of(run, s->y), &x, &w, &bias, NULL, &y, run->stream);
}

/* ---- operators --------------------------------------------------------------------------------------------------- */

/* An activation that alone reads the batch norm just before it is part of that. */
static int join_norm(CudaCompiler *c, const GpudlPlanNode *node)
{
    const int32_t x = node->inputs[0];
    CudaStep *last = c->program->n_steps > 0 ? &c->program->steps[c->program->n_steps - 1] : NULL;

    if (node->op != GPUDL_OP_ACTIVATION || last == NULL || last->launch != launch_affine ||
        last->act.kind != GPUDL_ACT_NONE || c->tensor_values[x] != last->y || cuda_tensor(c, x)->n_uses != 1 ||
        c->targets[x].concat >= 0 || c->targets[node->outputs[0]].concat >= 0)
        return 0;
    last->act = ((const GpudlAttrs *)node->attrs)->unary.act;
    last->last_node = c->node;
    return cuda_define_view(c, node->outputs[0], cuda_value(c, last->y)) >= 0;
}

int cuda_lower_unary(CudaCompiler *c, const GpudlPlanNode *node)
{
    static const int ops[GPUDL_OP_LAST + 1] = {[GPUDL_OP_ACTIVATION] = GPUDL_UNARY_ACTIVATION,
                                               [GPUDL_OP_ELU] = GPUDL_UNARY_ELU,
                                               [GPUDL_OP_ABS] = GPUDL_UNARY_ABS,
                                               [GPUDL_OP_NEG] = GPUDL_UNARY_NEG,
                                               [GPUDL_OP_EXP] = GPUDL_UNARY_EXP,
                                               [GPUDL_OP_LOG] = GPUDL_UNARY_LOG,
                                               [GPUDL_OP_SQRT] = GPUDL_UNARY_SQRT,
                                               [GPUDL_OP_RECIPROCAL] = GPUDL_UNARY_RECIPROCAL,
                                               [GPUDL_OP_FLOOR] = GPUDL_UNARY_FLOOR,
                                               [GPUDL_OP_CEIL] = GPUDL_UNARY_CEIL,
                                               [GPUDL_OP_ROUND] = GPUDL_UNARY_ROUND,
                                               [GPUDL_OP_ERF] = GPUDL_UNARY_ERF};
    int32_t x, y;
    CudaStep *s;

    if (cuda_is_integer(cuda_tensor(c, node->inputs[0])->dtype))
        return cuda_lower_typed_unary(c, node);
    if (join_norm(c, node))
        return 1;
    x = cuda_use(c, node->inputs[0]);
    y = cuda_define_like(c, node->outputs[0], x);
    s = x >= 0 && y >= 0 ? cuda_step(c, cuda_launch_unary, "element-wise kernel") : NULL;
    if (s == NULL)
        return 0;
    s->op = ops[node->op];
    s->act = ((const GpudlAttrs *)node->attrs)->unary.act;
    s->x = x;
    s->y = y;
    cuda_touch(c, s);
    return 1;
}

int cuda_lower_binary(CudaCompiler *c, const GpudlPlanNode *node)
{
    static const int ops[GPUDL_OP_LAST + 1] = {
        [GPUDL_OP_ADD] = GPUDL_BINARY_ADD, [GPUDL_OP_SUB] = GPUDL_BINARY_SUB,    [GPUDL_OP_MUL] = GPUDL_BINARY_MUL,
        [GPUDL_OP_DIV] = GPUDL_BINARY_DIV, [GPUDL_OP_POW] = GPUDL_BINARY_POW,    [GPUDL_OP_MIN] = GPUDL_BINARY_MIN,
        [GPUDL_OP_MAX] = GPUDL_BINARY_MAX, [GPUDL_OP_PRELU] = GPUDL_BINARY_PRELU};
    const GpudlShape *shape = &cuda_tensor(c, node->outputs[0])->shape;
    const int carries = node->op == GPUDL_OP_ADD || node->op == GPUDL_OP_SUB || node->op == GPUDL_OP_MUL;
    const int first = gpudl_shape_equal(&cuda_tensor(c, node->inputs[0])->shape, shape) &&
                      !cuda_is_constant(c, node->inputs[0]); /* whose layout the result has */
    int32_t a, b, y;
    CudaStep *s;

    if (cuda_is_integer(cuda_tensor(c, node->inputs[0])->dtype) ||
        cuda_is_integer(cuda_tensor(c, node->inputs[1])->dtype))
        return cuda_lower_typed_binary(c, node);
    a = cuda_broadcast(c, cuda_use(c, node->inputs[0]), shape);
    b = cuda_broadcast(c, cuda_use(c, node->inputs[1]), shape);
    y = cuda_define_like(c, node->outputs[0], first ? a : b);
    s = a >= 0 && b >= 0 && y >= 0 ? cuda_step(c, cuda_launch_binary, "element-wise kernel") : NULL;
    if (s == NULL)
        return 0;
    s->op = ops[node->op];
    if (carries)
        s->act = ((const GpudlAttrs *)node->attrs)->binary.act;
    s->x = a;
    s->z = b;
    s->y = y;
    cuda_touch(c, s);
    return 1;
}

/* y = x * scale + shift */
static int lower_constant_batch_norm(CudaCompiler *c, const GpudlPlanNode *node)
{
    const float epsilon = ((const GpudlAttrs *)node->attrs)->batch_norm.epsilon;
    const GpudlShape *shape = &cuda_tensor(c, node->outputs[0])->shape;
    const int64_t channels = shape->dims[1];
    const int32_t x = cuda_use(c, node->inputs[0]);
    int32_t y, packed[2];
    GpudlShape one = {shape->rank, {1, 1, 1, 1, 1, 1}};
    CudaStep *s;

    one.dims[1] = channels;
    for (int part = 0; part < 2; part++) {
        packed[part] = cuda_find_constant(c, part, GPUDL_DTYPE_F32, channels);
        if (packed[part] < 0 && c->status == GPUDL_STATUS_OK) {
            const float *scale = cuda_constant_data(c, node->inputs[1]), *bias = cuda_constant_data(c, node->inputs[2]),
                        *mean = cuda_constant_data(c, node->inputs[3]),
                        *variance = cuda_constant_data(c, node->inputs[4]);
            float *values = malloc((size_t)channels * sizeof *values);

            for (int64_t i = 0; i < channels && values != NULL && c->status == GPUDL_STATUS_OK; i++) {
                const double factor = (double)scale[i] / sqrt((double)variance[i] + (double)epsilon);

                values[i] = (float)(part == 0 ? factor : (double)bias[i] - (double)mean[i] * factor);
            }
            packed[part] = cuda_add_constant(c, part, GPUDL_DTYPE_F32, channels, values);
        }
        if (c->status != GPUDL_STATUS_OK)
            return 0;
        else {
            CudaValue v = *cuda_value(c, packed[part]);

            v.shape = one;
            memset(v.strides, 0, sizeof v.strides);
            v.strides[1] = 1;
            packed[part] = cuda_broadcast(c, cuda_add_value(c, &v), shape);
        }
    }
    y = cuda_define_like(c, node->outputs[0], x);
    s = x >= 0 && y >= 0 ? cuda_step(c, launch_affine, "element-wise kernel") : NULL;
    if (s == NULL)
        return 0;
    s->x = x;
    s->w = packed[0];
    s->bias = packed[1];
    s->y = y;
    cuda_touch(c, s);
    return 1;
}

int cuda_lower_batch_norm(CudaCompiler *c, const GpudlPlanNode *node)
{
    for (uint32_t i = 1; i < node->n_inputs; i++)
        if (!cuda_is_constant(c, node->inputs[i]) || cuda_tensor(c, node->inputs[i])->dtype != GPUDL_DTYPE_F32)
            return cuda_lower_any_batch_norm(c, node);
    return lower_constant_batch_norm(c, node);
}

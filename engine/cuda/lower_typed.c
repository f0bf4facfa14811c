/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Element by element on integers and bool, and what makes them or chooses by them. */
#include <stdlib.h>

#include "engine/module.h"
#include "kernels/cast.h"
#include "kernels/typed_cuda.h"
#include "lower.h"

/* ---- launches ---------------------------------------------------------------------------------------------------- */

static const GpudlShape *shape_of(const CudaRun *run, int32_t value)
{
    return &run->program->values[value].shape;
}

static int launch_unary(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided x = cuda_value_strided(run, s->x), y = cuda_value_strided(run, s->y);

    return gpudl_typed_unary_cuda((GpudlUnaryOp)s->op, &s->act, shape_of(run, s->y), &x, &y, run->stream);
}

static int launch_binary(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided a = cuda_value_strided(run, s->x), b = cuda_value_strided(run, s->z),
                       y = cuda_value_strided(run, s->y);

    return gpudl_typed_binary_cuda((GpudlBinaryOp)s->op, &s->act, shape_of(run, s->y), &a, &b, &y, run->stream);
}

/* y = w ? x : z */
static int launch_where(const CudaStep *s, const CudaRun *run)
{
    const GpudlStrided condition = cuda_value_strided(run, s->w), a = cuda_value_strided(run, s->x),
                       b = cuda_value_strided(run, s->z), y = cuda_value_strided(run, s->y);

    return gpudl_where_cuda(shape_of(run, s->y), &condition, &a, &b, &y, run->stream);
}

/* ---- operators --------------------------------------------------------------------------------------------------- */

int cuda_lower_typed_unary(CudaCompiler *c, const GpudlPlanNode *node)
{
    static const int ops[GPUDL_OP_LAST + 1] = {[GPUDL_OP_ACTIVATION] = GPUDL_UNARY_ACTIVATION,
                                               [GPUDL_OP_ABS] = GPUDL_UNARY_ABS,
                                               [GPUDL_OP_NEG] = GPUDL_UNARY_NEG,
                                               [GPUDL_OP_NOT] = GPUDL_UNARY_NOT};
    const int32_t x = cuda_use(c, node->inputs[0]), y = cuda_define_like(c, node->outputs[0], x);
    CudaStep *s = x >= 0 && y >= 0 ? cuda_step(c, launch_unary, "element-wise kernel of integers") : NULL;

    if (s == NULL)
        return 0;
    s->op = ops[node->op];
    if (node->op == GPUDL_OP_ACTIVATION)
        s->act = ((const GpudlAttrs *)node->attrs)->unary.act;
    s->x = x;
    s->y = y;
    cuda_touch(c, s);
    return 1;
}

/* Constant integers as int64, uint64 as its bits: n of them, malloc'd. NULL after a failure. */
static int64_t *constant_integers(CudaCompiler *c, int32_t tensor, int64_t *n)
{
    const GpudlPlanTensor *t = cuda_tensor(c, tensor);
    const GpudlTensorView from = {t->dtype, t->shape, (void *)(uintptr_t)t->data};
    GpudlTensorView to = {t->dtype == GPUDL_DTYPE_U64 ? GPUDL_DTYPE_U64 : GPUDL_DTYPE_I64, t->shape, NULL};

    *n = gpudl_shape_elements(&t->shape);
    to.data = t->data != NULL ? malloc((size_t)*n * sizeof(int64_t) + 1) : NULL;
    if (t->data == NULL)
        cuda_compiler_fail(c, GPUDL_STATUS_FAILED, "constant '%s' can't be read any more", t->name);
    else if (to.data == NULL)
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    else
        gpudl_cast_ref(&from, &to, NULL, NULL);
    return to.data;
}

int cuda_check_integers(CudaCompiler *c, int32_t tensor, int64_t low, int64_t high, int64_t *found)
{
    int64_t n;
    int64_t *values;
    int good;

    if (cuda_was_checked(c, tensor))
        return 1;
    values = constant_integers(c, tensor, &n);
    good = values != NULL;
    for (int64_t i = 0; i < n && good; i++) {
        *found = values[i];
        good = values[i] >= low && values[i] <= high;
    }
    free(values);
    return good;
}

/* Integers are divided by constants alone that are not 0: the device can't tell of a division by 0. */
static int check_divisor(CudaCompiler *c, const GpudlPlanNode *node)
{
    const GpudlPlanTensor *b = cuda_tensor(c, node->inputs[1]);
    const int negative = node->op == GPUDL_OP_POW; /* a power divides where the exponent is negative */
    int64_t *values, n;
    int good = 1;

    if (!cuda_is_integer(cuda_tensor(c, node->inputs[0])->dtype) || !cuda_is_integer(b->dtype) ||
        (node->op != GPUDL_OP_DIV && node->op != GPUDL_OP_MOD && node->op != GPUDL_OP_POW) ||
        (negative && (b->dtype == GPUDL_DTYPE_U8 || b->dtype == GPUDL_DTYPE_U16 || b->dtype == GPUDL_DTYPE_U32 ||
                      b->dtype == GPUDL_DTYPE_U64 || b->dtype == GPUDL_DTYPE_BOOL)))
        return 1;
    if (b->kind != GPUDL_PLAN_CONSTANT)
        return cuda_refuse(c, "'%s', which integers are %s, is not constant: it might be %s", b->name,
                           negative ? "raised to" : "divided by", negative ? "negative" : "0");
    if (cuda_was_checked(c, node->inputs[1]))
        return 1;
    values = constant_integers(c, node->inputs[1], &n);
    for (int64_t i = 0; i < n && values != NULL && good; i++)
        good = negative ? values[i] >= 0 : values[i] != 0;
    if (values != NULL && !good)
        cuda_refuse(c, "'%s', which integers are %s, has a value that is %s", b->name,
                    negative ? "raised to" : "divided by", negative ? "negative" : "0");
    free(values);
    return good && c->status == GPUDL_STATUS_OK;
}

int cuda_lower_typed_binary(CudaCompiler *c, const GpudlPlanNode *node)
{
    static const int ops[GPUDL_OP_LAST + 1] = {
        [GPUDL_OP_ADD] = GPUDL_BINARY_ADD,         [GPUDL_OP_SUB] = GPUDL_BINARY_SUB,
        [GPUDL_OP_MUL] = GPUDL_BINARY_MUL,         [GPUDL_OP_DIV] = GPUDL_BINARY_DIV,
        [GPUDL_OP_POW] = GPUDL_BINARY_POW,         [GPUDL_OP_MIN] = GPUDL_BINARY_MIN,
        [GPUDL_OP_MAX] = GPUDL_BINARY_MAX,         [GPUDL_OP_PRELU] = GPUDL_BINARY_PRELU,
        [GPUDL_OP_MOD] = GPUDL_BINARY_MOD,         [GPUDL_OP_EQUAL] = GPUDL_BINARY_EQUAL,
        [GPUDL_OP_LESS] = GPUDL_BINARY_LESS,       [GPUDL_OP_LESS_OR_EQUAL] = GPUDL_BINARY_LESS_OR_EQUAL,
        [GPUDL_OP_GREATER] = GPUDL_BINARY_GREATER, [GPUDL_OP_GREATER_OR_EQUAL] = GPUDL_BINARY_GREATER_OR_EQUAL,
        [GPUDL_OP_AND] = GPUDL_BINARY_AND,         [GPUDL_OP_OR] = GPUDL_BINARY_OR,
        [GPUDL_OP_XOR] = GPUDL_BINARY_XOR};
    const GpudlBinaryAttrs *attrs = &((const GpudlAttrs *)node->attrs)->binary;
    const GpudlShape *shape = &cuda_tensor(c, node->outputs[0])->shape;
    const int carries = node->op == GPUDL_OP_ADD || node->op == GPUDL_OP_SUB || node->op == GPUDL_OP_MUL;
    const int first = gpudl_shape_equal(&cuda_tensor(c, node->inputs[0])->shape, shape) &&
                      !cuda_is_constant(c, node->inputs[0]); /* whose layout the result has */
    int32_t a, b, y;
    CudaStep *s;

    if (!check_divisor(c, node))
        return 0;
    a = cuda_broadcast(c, cuda_use(c, node->inputs[0]), shape);
    b = cuda_broadcast(c, cuda_use(c, node->inputs[1]), shape);
    y = cuda_define_like(c, node->outputs[0], first ? a : b);
    s = a >= 0 && b >= 0 && y >= 0 ? cuda_step(c, launch_binary, "element-wise kernel of any type") : NULL;
    if (s == NULL)
        return 0;
    s->op = node->op == GPUDL_OP_MOD && attrs->fmod ? (int)GPUDL_BINARY_FMOD : ops[node->op];
    if (carries)
        s->act = attrs->act;
    s->x = a;
    s->z = b;
    s->y = y;
    cuda_touch(c, s);
    return 1;
}

int cuda_lower_where(CudaCompiler *c, const GpudlPlanNode *node)
{
    const GpudlShape *shape = &cuda_tensor(c, node->outputs[0])->shape;
    int32_t values[3], like = -1, y;
    CudaStep *s;

    for (int i = 0; i < 3; i++) {
        values[i] = cuda_broadcast(c, cuda_use(c, node->inputs[i]), shape);
        if (like < 0 && gpudl_shape_equal(&cuda_tensor(c, node->inputs[i])->shape, shape) &&
            !cuda_is_constant(c, node->inputs[i]))
            like = values[i];
    }
    y = like >= 0 ? cuda_define_like(c, node->outputs[0], like) : cuda_define(c, node->outputs[0]);
    s = c->status == GPUDL_STATUS_OK && y >= 0 ? cuda_step(c, launch_where, "selection kernel") : NULL;
    if (s == NULL)
        return 0;
    s->w = values[0];
    s->x = values[1];
    s->z = values[2];
    s->y = y;
    cuda_touch(c, s);
    return 1;
}

int cuda_lower_cast(CudaCompiler *c, const GpudlPlanNode *node)
{
    const GpudlDType types[2] = {cuda_tensor(c, node->inputs[0])->dtype, cuda_tensor(c, node->outputs[0])->dtype};
    int32_t x, y;

    for (int i = 0; i < 2; i++)
        if (!cuda_is_float(types[i]) && !cuda_is_integer(types[i]) && types[0] != types[1])
            return cuda_refuse(c, "it converts %s to %s", gpudl_dtype_name(types[0]), gpudl_dtype_name(types[1]));
    x = cuda_use(c, node->inputs[0]);
    y = cuda_define_like(c, node->outputs[0], x);
    cuda_copy(c, x, y);
    return c->status == GPUDL_STATUS_OK;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Element by element, and along axes without moving anything. */
#include "ops.h"
#include "shape.h"

static const struct {
    guint types;
    const gchar *text;
} unary_types[GPUDL_OP_LAST + 1] = {
    [GPUDL_OP_ACTIVATION] = {GPUDL_TYPES_FLOAT, "a float type"},
    [GPUDL_OP_ELU] = {GPUDL_TYPES_FLOAT, "a float type"},
    [GPUDL_OP_ABS] = {GPUDL_TYPES_NUMBER, "a number type"},
    [GPUDL_OP_NEG] = {GPUDL_TYPES_FLOAT | GPUDL_TYPES_SIGNED, "a signed type"},
    [GPUDL_OP_EXP] = {GPUDL_TYPES_FLOAT, "a float type"},
    [GPUDL_OP_LOG] = {GPUDL_TYPES_FLOAT, "a float type"},
    [GPUDL_OP_SQRT] = {GPUDL_TYPES_FLOAT, "a float type"},
    [GPUDL_OP_RECIPROCAL] = {GPUDL_TYPES_FLOAT, "a float type"},
    [GPUDL_OP_FLOOR] = {GPUDL_TYPES_FLOAT, "a float type"},
    [GPUDL_OP_CEIL] = {GPUDL_TYPES_FLOAT, "a float type"},
    [GPUDL_OP_ROUND] = {GPUDL_TYPES_FLOAT, "a float type"},
    [GPUDL_OP_ERF] = {GPUDL_TYPES_FLOAT, "a float type"},
    [GPUDL_OP_NOT] = {GPUDL_TYPES_BOOL, "bool"},
};

gboolean gpudl_infer_unary(GpudlNode *node, GError **error)
{
    if (!gpudl_check_type(node, 0, unary_types[node->op].types, unary_types[node->op].text, error))
        return FALSE;
    return gpudl_set_output(node, node->inputs[0]->dtype, &node->inputs[0]->shape);
}

gboolean gpudl_infer_cast(GpudlNode *node, GError **error)
{
    if (!gpudl_check_type(node, 0, GPUDL_TYPES_ALL, "a known type", error))
        return FALSE;
    return gpudl_set_output(node, (GpudlDType)node->attrs.cast.to, &node->inputs[0]->shape);
}

/* Broadcast of all inputs from first on. */
static gboolean broadcast_inputs(const GpudlNode *node, guint first, GpudlShape *out, GError **error)
{
    *out = node->inputs[first]->shape;
    for (guint i = first + 1; i < node->n_inputs; i++) {
        if (!gpudl_broadcast(out, &node->inputs[i]->shape)) {
            g_autofree gchar *left = gpudl_shape_to_string(out);
            g_autofree gchar *right = gpudl_shape_to_string(&node->inputs[i]->shape);

            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "%s and input %u, '%s', of %s do not broadcast",
                                   left, i, node->inputs[i]->name, right);
        }
    }
    return TRUE;
}

gboolean gpudl_infer_binary(GpudlNode *node, GError **error)
{
    GpudlDType dtype = node->inputs[0]->dtype;
    guint types = GPUDL_TYPES_NUMBER;
    GpudlShape out;

    switch (node->op) {
    case GPUDL_OP_EQUAL:
        types = GPUDL_TYPES_NUMBER | GPUDL_TYPES_BOOL;
        dtype = GPUDL_DTYPE_BOOL;
        break;
    case GPUDL_OP_LESS:
    case GPUDL_OP_LESS_OR_EQUAL:
    case GPUDL_OP_GREATER:
    case GPUDL_OP_GREATER_OR_EQUAL:
        dtype = GPUDL_DTYPE_BOOL;
        break;
    case GPUDL_OP_AND:
    case GPUDL_OP_OR:
    case GPUDL_OP_XOR:
        types = GPUDL_TYPES_BOOL;
        break;
    case GPUDL_OP_ADD:
    case GPUDL_OP_SUB:
    case GPUDL_OP_MUL:
        if (!gpudl_check_act(node, &node->attrs.binary.act, error))
            return FALSE;
        break;
    default:
        break;
    }
    if (!gpudl_check_type(node, 0, types, types == GPUDL_TYPES_BOOL ? "bool" : "a number type", error))
        return FALSE;
    /* the exponent may be of any type */
    if (node->op == GPUDL_OP_POW ? !gpudl_check_type(node, 1, types, "a number type", error)
                                 : !gpudl_check_same_types(node, 1, error))
        return FALSE;
    if (!broadcast_inputs(node, 0, &out, error))
        return FALSE;
    return gpudl_set_output(node, dtype, &out);
}

gboolean gpudl_infer_prelu(GpudlNode *node, GError **error)
{
    GpudlShape out;

    if (!gpudl_check_type(node, 0, GPUDL_TYPES_FLOAT, "a float type", error) ||
        !gpudl_check_same_types(node, 1, error) || !broadcast_inputs(node, 0, &out, error))
        return FALSE;
    if (!gpudl_shape_equal(&out, &node->inputs[0]->shape))
        return gpudl_check_shape(node, 1, &node->inputs[0]->shape, "the input's shape, or one that broadcasts to it",
                                 error);
    return gpudl_set_output(node, node->inputs[0]->dtype, &out);
}

gboolean gpudl_infer_where(GpudlNode *node, GError **error)
{
    GpudlShape out;

    if (!gpudl_check_type(node, 0, GPUDL_TYPES_BOOL, "bool", error) ||
        !gpudl_check_type(node, 1, GPUDL_TYPES_ALL, "a known type", error))
        return FALSE;
    if (node->inputs[1]->dtype != node->inputs[2]->dtype)
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "inputs 1 and 2 are %s and %s, expected one type",
                               gpudl_dtype_name(node->inputs[1]->dtype), gpudl_dtype_name(node->inputs[2]->dtype));
    if (!broadcast_inputs(node, 0, &out, error))
        return FALSE;
    return gpudl_set_output(node, node->inputs[1]->dtype, &out);
}

gboolean gpudl_infer_softmax(GpudlNode *node, GError **error)
{
    const GpudlShape *x = &node->inputs[0]->shape;

    if (!gpudl_check_type(node, 0, GPUDL_TYPES_FLOAT, "a float type", error))
        return FALSE;
    if (node->attrs.axis.axis >= x->rank)
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "axis %d of an input of rank %d", node->attrs.axis.axis,
                               x->rank);
    return gpudl_set_output(node, node->inputs[0]->dtype, x);
}

gboolean gpudl_infer_reduce(GpudlNode *node, GError **error)
{
    const GpudlReduceAttrs *attrs = &node->attrs.reduce;
    const GpudlShape *x = &node->inputs[0]->shape;
    gboolean over[GPUDL_MAX_RANK] = {FALSE};
    /* the sum and the product of nothing are known, the others are not */
    gboolean may_be_empty = node->op == GPUDL_OP_REDUCE_SUM || node->op == GPUDL_OP_REDUCE_PROD;
    GpudlShape out = {0};

    if (!gpudl_check_type(node, 0, GPUDL_TYPES_NUMBER, "a number type", error))
        return FALSE;
    for (int i = 0; i < attrs->n_axes; i++) {
        if (attrs->axes[i] >= x->rank)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "axis %d of an input of rank %d", attrs->axes[i],
                                   x->rank);
        if (over[attrs->axes[i]])
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "axis %d is named twice", attrs->axes[i]);
        over[attrs->axes[i]] = TRUE;
    }
    for (int i = 0; i < x->rank; i++) {
        if (!over[i] && attrs->n_axes > 0) {
            out.dims[out.rank++] = x->dims[i];
            continue;
        }
        if (x->dims[i] == 0 && !may_be_empty)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "axis %d is empty", i);
        if (attrs->keepdims)
            out.dims[out.rank++] = 1;
    }
    return gpudl_set_output(node, node->inputs[0]->dtype, &out);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shape.h"

#include "ops.h"

gboolean gpudl_node_fail(const GpudlNode *node, GpudlError code, GError **error, const gchar *format, ...)
{
    g_autofree gchar *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, GPUDL_ERROR, code, "node '%s' (%s): %s", node->name, gpudl_op_info(node->op)->name, text);
    return FALSE;
}

gboolean gpudl_check_type(const GpudlNode *node, guint i, guint types, const gchar *expected, GError **error)
{
    if (types & GPUDL_TYPES(node->inputs[i]->dtype))
        return TRUE;
    return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "input %u, '%s', is %s, expected %s", i,
                           node->inputs[i]->name, gpudl_dtype_name(node->inputs[i]->dtype), expected);
}

gboolean gpudl_check_same_types(const GpudlNode *node, guint first, GError **error)
{
    for (guint i = first; i < node->n_inputs; i++) {
        if (node->inputs[i] != NULL && node->inputs[i]->dtype != node->inputs[0]->dtype)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "input %u, '%s', is %s, expected %s as input 0", i,
                                   node->inputs[i]->name, gpudl_dtype_name(node->inputs[i]->dtype),
                                   gpudl_dtype_name(node->inputs[0]->dtype));
    }
    return TRUE;
}

gboolean gpudl_check_rank(const GpudlNode *node, guint i, int low, int high, GError **error)
{
    int rank = node->inputs[i]->shape.rank;

    if (rank >= low && rank <= high)
        return TRUE;
    if (low == high)
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "input %u, '%s', has rank %d, expected %d", i,
                               node->inputs[i]->name, rank, low);
    return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "input %u, '%s', has rank %d, expected %d to %d", i,
                           node->inputs[i]->name, rank, low, high);
}

gboolean gpudl_check_shape(const GpudlNode *node, guint i, const GpudlShape *expected, const gchar *why, GError **error)
{
    g_autofree gchar *found = NULL, *wanted = NULL;

    if (gpudl_shape_equal(&node->inputs[i]->shape, expected))
        return TRUE;
    found = gpudl_shape_to_string(&node->inputs[i]->shape);
    wanted = gpudl_shape_to_string(expected);
    return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "input %u, '%s', is %s, expected %s (%s)", i,
                           node->inputs[i]->name, found, wanted, why);
}

gboolean gpudl_check_act(const GpudlNode *node, const GpudlAct *act, GError **error)
{
    if (act->kind == GPUDL_ACT_NONE)
        return TRUE;
    return gpudl_check_type(node, 0, GPUDL_TYPES_FLOAT, "a float type (it carries an activation)", error);
}

gboolean gpudl_broadcast(GpudlShape *into, const GpudlShape *other)
{
    GpudlShape result = {.rank = MAX(into->rank, other->rank)};

    for (int i = 1; i <= result.rank; i++) {
        gint64 a = i <= into->rank ? into->dims[into->rank - i] : 1;
        gint64 b = i <= other->rank ? other->dims[other->rank - i] : 1;

        if (a != b && a != 1 && b != 1)
            return FALSE;
        result.dims[result.rank - i] = a == 1 ? b : a;
    }
    *into = result;
    return TRUE;
}

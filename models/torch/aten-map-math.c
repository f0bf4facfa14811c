/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Element by element, and along axes. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "aten-internal.h"

/* Integers and flags go into these functions as float32. */
static GpudlTensor *as_float(AtenNode *node, GpudlTensor *x, GError **error)
{
    return x == NULL || aten_is_float(x->dtype) ? x : tf_cast(node->build, x, GPUDL_DTYPE_F32, error);
}

static GpudlTensor *with_number(AtenNode *node, GpudlOp op, GpudlTensor *x, double value, GError **error)
{
    GpudlTensor *number = x != NULL ? tf_scalar(node->build, x->dtype, value, error) : NULL;

    return number != NULL ? tf_binary(node->build, op, x, number, error) : NULL;
}

/* ---- one input --------------------------------------------------------------------------------------------------- */

gboolean aten_map_unary(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    const GpudlOp op = node->row->op;
    const gboolean exact = op == GPUDL_OP_NEG || op == GPUDL_OP_ABS || op == GPUDL_OP_FLOOR || op == GPUDL_OP_CEIL ||
                           op == GPUDL_OP_ROUND || op == GPUDL_OP_NOT;

    if (op == GPUDL_OP_NOT && x != NULL && x->dtype != GPUDL_DTYPE_BOOL)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "of %s; of flags it is taken",
                       gpudl_dtype_name(x->dtype));
    if (!exact)
        x = as_float(node, x, error);
    return x != NULL && aten_done(node, tf_unary(node->build, op, x, error));
}

gboolean aten_map_act(AtenNode *node, GError **error)
{
    GpudlTensor *x = as_float(node, aten_tensor(node, "self", error), error);

    return x != NULL &&
           aten_done(node, tf_activation(node->build, node->row->act, node->row->alpha, node->row->beta, x, error));
}

gboolean aten_map_leaky(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    double slope;

    return x != NULL && aten_number(node, "negative_slope", .01, &slope, error) &&
           aten_done(node, tf_activation(node->build, GPUDL_ACT_LEAKY_RELU, (float)slope, 0, x, error));
}

/* clamp, hardtanh: bounds that are numbers or None. */
gboolean aten_map_clamp(AtenNode *node, GError **error)
{
    const gboolean tanh = strcmp(node->row->name, "hardtanh") == 0;
    const gchar *low = tanh ? "min_val" : "min", *high = tanh ? "max_val" : "max";
    GpudlTensor *x = aten_tensor(node, "self", error);
    double bounds[2];

    if (x == NULL || !aten_number(node, low, tanh ? -1 : -DBL_MAX, &bounds[0], error) ||
        !aten_number(node, high, tanh ? 1 : DBL_MAX, &bounds[1], error))
        return FALSE;
    if (isnan(bounds[0]) || isnan(bounds[1]))
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "a bound that is no number");
    bounds[0] = MIN(bounds[0], bounds[1]); /* the upper one counts where they cross */
    if (!aten_is_float(x->dtype))
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "of %s", gpudl_dtype_name(x->dtype));
    return aten_done(node, tf_activation(node->build, GPUDL_ACT_CLIP, (float)CLAMP(bounds[0], -FLT_MAX, FLT_MAX),
                                         (float)CLAMP(bounds[1], -FLT_MAX, FLT_MAX), x, error));
}

static GpudlTensor *emit_elu(AtenNode *node, GpudlTensor *x, double alpha, GError **error)
{
    GpudlAttrs attrs = {.unary.act = {.alpha = (float)alpha}};

    return x != NULL ? tf_emit(node->build, GPUDL_OP_ELU, &attrs, &x, 1, error) : NULL;
}

gboolean aten_map_elu(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    double alpha, scale, input_scale;

    if (x == NULL || !aten_number(node, "alpha", 1, &alpha, error) || !aten_number(node, "scale", 1, &scale, error) ||
        !aten_number(node, "input_scale", 1, &input_scale, error))
        return FALSE;
    if (input_scale != 1)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "its input_scale is %g, expected 1", input_scale);
    x = emit_elu(node, x, alpha, error);
    return aten_done(node, scale != 1 ? with_number(node, GPUDL_OP_MUL, x, scale, error) : x);
}

gboolean aten_map_selu(AtenNode *node, GError **error)
{
    GpudlTensor *x = emit_elu(node, aten_tensor(node, "self", error), 1.6732632423543772848170429916717, error);

    return aten_done(node, with_number(node, GPUDL_OP_MUL, x, 1.0507009873554804934193349852946, error));
}

/* alpha elu(x / alpha) */
gboolean aten_map_celu(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    double alpha;

    if (x == NULL || !aten_number(node, "alpha", 1, &alpha, error))
        return FALSE;
    if (alpha == 0)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "its alpha is 0");
    x = emit_elu(node, with_number(node, GPUDL_OP_DIV, x, alpha, error), 1, error);
    return aten_done(node, with_number(node, GPUDL_OP_MUL, x, alpha, error));
}

gboolean aten_map_gelu(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    const gchar *how;

    if (x == NULL || !aten_text(node, "approximate", "none", &how, error))
        return FALSE;
    if (strcmp(how, "none") != 0 && strcmp(how, "tanh") != 0)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "approximated by '%s'", how);
    return aten_done(node,
                     tf_activation(node->build, how[0] == 't' ? GPUDL_ACT_GELU_TANH : GPUDL_ACT_GELU, 0, 0, x, error));
}

gboolean aten_map_prelu(AtenNode *node, GError **error)
{
    GpudlTensor *inputs[2] = {aten_tensor(node, "self", error)};
    gint64 column[GPUDL_MAX_RANK] = {-1, 1, 1, 1, 1, 1};

    if (inputs[0] == NULL || (inputs[1] = aten_tensor(node, "weight", error)) == NULL ||
        (inputs[1]->shape.rank == 1 && inputs[0]->shape.rank > 2 &&
         (inputs[1] = aten_reshape(node, inputs[1], column, (guint)inputs[0]->shape.rank - 1, error)) == NULL))
        return FALSE;
    return aten_done(node, tf_emit(node->build, GPUDL_OP_PRELU, NULL, inputs, 2, error));
}

/* log(1 + exp(beta x)) / beta = (max(beta x, 0) + log(1 + exp(-|beta x|))) / beta; above the threshold PyTorch takes x,
 * which differs by less than exp(-20) there. */
gboolean aten_map_softplus(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error), *t, *positive;
    double beta, threshold;

    if (x == NULL || !aten_number(node, "beta", 1, &beta, error) ||
        !aten_number(node, "threshold", 20, &threshold, error))
        return FALSE;
    if (!(beta > 0) || threshold < 15)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "its beta is %g and its threshold %g", beta,
                       threshold);
    if ((x = with_number(node, GPUDL_OP_MUL, x, beta, error)) == NULL ||
        (t = tf_unary(node->build, GPUDL_OP_ABS, x, error)) == NULL ||
        (t = tf_unary(node->build, GPUDL_OP_NEG, t, error)) == NULL ||
        (t = tf_unary(node->build, GPUDL_OP_EXP, t, error)) == NULL ||
        (t = with_number(node, GPUDL_OP_ADD, t, 1, error)) == NULL ||
        (t = tf_unary(node->build, GPUDL_OP_LOG, t, error)) == NULL ||
        (positive = tf_activation(node->build, GPUDL_ACT_RELU, 0, 0, x, error)) == NULL ||
        (t = tf_binary(node->build, GPUDL_OP_ADD, t, positive, error)) == NULL)
        return FALSE;
    return aten_done(node, with_number(node, GPUDL_OP_DIV, t, beta, error));
}

gboolean aten_map_rsqrt(AtenNode *node, GError **error)
{
    GpudlTensor *x = as_float(node, aten_tensor(node, "self", error), error);

    return x != NULL && aten_done(node, tf_rsqrt(node->build, x, error));
}

gboolean aten_map_square(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);

    return x != NULL && aten_done(node, tf_binary(node->build, GPUDL_OP_MUL, x, x, error));
}

/* ---- two inputs -------------------------------------------------------------------------------------------------- */

static gboolean are_numbers(const AtenNode *node)
{
    for (guint i = 0; i < 2; i++)
        if (node->args[i] == NULL || node->args[i]->kind == ATEN_TENSOR || node->args[i]->kind == ATEN_LIST)
            return FALSE;
    return TRUE;
}

/* add, sub: self + alpha other */
gboolean aten_map_binary(AtenNode *node, GError **error)
{
    GpudlTensor *two[2];
    double alpha;

    if (are_numbers(node))
        return aten_map_number(node, error);
    if (!aten_operands(node, node->names[0], node->names[1], two, error) ||
        !aten_number(node, "alpha", 1, &alpha, error))
        return FALSE;
    if (node->row->op == GPUDL_OP_POW)
        for (guint i = 0; i < 2; i++)
            if ((two[i] = as_float(node, two[i], error)) == NULL)
                return FALSE;
    if (alpha != 1 && (two[1] = with_number(node, GPUDL_OP_MUL, two[1], alpha, error)) == NULL)
        return FALSE;
    return aten_done(node, tf_binary(node->build, node->row->op, two[0], two[1], error));
}

/* self + value tensor1 tensor2, or their quotient */
gboolean aten_map_add_product(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error), *two[2], *y;
    double value;

    if (x == NULL || !aten_operands(node, "tensor1", "tensor2", two, error) ||
        !aten_number(node, "value", 1, &value, error) || !aten_in_common(node, &x, &two[0], error) ||
        !aten_in_common(node, &x, &two[1], error))
        return FALSE;
    if (node->row->op == GPUDL_OP_DIV && !aten_is_float(x->dtype))
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "of %s; of floats it is taken",
                       gpudl_dtype_name(x->dtype));
    y = tf_binary(node->build, node->row->op, two[0], two[1], error);
    if (y != NULL && value != 1)
        y = with_number(node, GPUDL_OP_MUL, y, value, error);
    return y != NULL && aten_done(node, tf_binary(node->build, GPUDL_OP_ADD, x, y, error));
}

/* other - alpha self */
gboolean aten_map_rsub(AtenNode *node, GError **error)
{
    GpudlTensor *two[2];
    double alpha;

    if (are_numbers(node))
        return aten_map_number(node, error);
    if (!aten_operands(node, "self", "other", two, error) || !aten_number(node, "alpha", 1, &alpha, error) ||
        (alpha != 1 && (two[0] = with_number(node, GPUDL_OP_MUL, two[0], alpha, error)) == NULL))
        return FALSE;
    return aten_done(node, tf_binary(node->build, GPUDL_OP_SUB, two[1], two[0], error));
}

/* A true quotient, or one that is rounded. */
gboolean aten_map_div(AtenNode *node, GError **error)
{
    const gboolean floored = strcmp(node->row->name, "floor_divide") == 0;
    const gchar *mode = NULL;
    GpudlTensor *two[2], *y;

    if (!floored && !aten_text(node, "rounding_mode", NULL, &mode, error))
        return FALSE;
    if (are_numbers(node))
        return aten_map_quotient(node, mode, error);
    if (!aten_operands(node, "self", "other", two, error))
        return FALSE;
    if (floored)
        mode = "floor";
    if (mode != NULL && (strcmp(mode, "floor") != 0 || !aten_is_float(two[0]->dtype)))
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "a quotient of %s rounded by '%s'",
                       gpudl_dtype_name(two[0]->dtype), mode);
    for (guint i = 0; i < 2; i++)
        if ((two[i] = as_float(node, two[i], error)) == NULL)
            return FALSE;
    y = tf_binary(node->build, GPUDL_OP_DIV, two[0], two[1], error);
    return aten_done(node, y != NULL && mode != NULL ? tf_unary(node->build, GPUDL_OP_FLOOR, y, error) : y);
}

/* fmod has the sign of the dividend, remainder the divisor's. */
gboolean aten_map_remainder(AtenNode *node, GError **error)
{
    GpudlAttrs attrs = {.binary.fmod = strcmp(node->row->name, "fmod") == 0};
    GpudlTensor *two[2];

    if (are_numbers(node))
        return aten_map_number(node, error);
    return aten_operands(node, "self", "other", two, error) &&
           aten_done(node, tf_emit(node->build, GPUDL_OP_MOD, &attrs, two, 2, error));
}

gboolean aten_map_compare(AtenNode *node, GError **error)
{
    GpudlTensor *two[2];

    return are_numbers(node) ? aten_map_number(node, error)
                             : aten_operands(node, "self", "other", two, error) &&
                                   aten_done(node, tf_binary(node->build, node->row->op, two[0], two[1], error));
}

gboolean aten_map_not_equal(AtenNode *node, GError **error)
{
    GpudlTensor *two[2], *y;

    if (are_numbers(node))
        return aten_map_number(node, error);
    y = aten_operands(node, "self", "other", two, error) ? tf_binary(node->build, GPUDL_OP_EQUAL, two[0], two[1], error)
                                                         : NULL;
    return y != NULL && aten_done(node, tf_unary(node->build, GPUDL_OP_NOT, y, error));
}

static gboolean emit_where(AtenNode *node, GpudlTensor *condition, GpudlTensor *x, GpudlTensor *y, GError **error)
{
    GpudlTensor *inputs[3] = {condition, x, y};

    if (condition->dtype != GPUDL_DTYPE_BOOL)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "a condition of %s, expected flags",
                       gpudl_dtype_name(condition->dtype));
    return aten_done(node, tf_emit(node->build, GPUDL_OP_WHERE, NULL, inputs, 3, error));
}

gboolean aten_map_where(AtenNode *node, GError **error)
{
    GpudlTensor *condition = aten_tensor(node, "condition", error), *two[2];

    return condition != NULL && aten_operands(node, "self", "other", two, error) &&
           emit_where(node, condition, two[0], two[1], error);
}

gboolean aten_map_masked_fill(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error), *mask = x != NULL ? aten_tensor(node, "mask", error) : NULL;
    GpudlTensor *value = mask != NULL ? aten_operand(node, "value", x, error) : NULL;

    value = value != NULL ? tf_cast(node->build, value, x->dtype, error) : NULL;
    return value != NULL && emit_where(node, mask, value, x, error);
}

/* ---- along axes -------------------------------------------------------------------------------------------------- */

gboolean aten_map_softmax(AtenNode *node, GError **error)
{
    GpudlTensor *x = as_float(node, aten_tensor(node, "self", error), error);
    GpudlAttrs attrs = {0};
    GpudlDType dtype = GPUDL_DTYPE_NONE;
    gint64 dim;
    gint axis;

    if (x == NULL || !aten_int(node, "dim", -1, &dim, error) || !aten_axis(node, dim, x->shape.rank, &axis, error) ||
        (node->row->name[0] != '_' && !aten_dtype(node, "dtype", &dtype, error)) ||
        (dtype != GPUDL_DTYPE_NONE && (x = tf_cast(node->build, x, dtype, error)) == NULL))
        return FALSE;
    attrs.axis.axis = axis;
    return aten_done(node, tf_emit(node->build, node->row->op, &attrs, &x, 1, error));
}

/* dim: one or several, absent or empty: all. */
static gboolean read_axes(AtenNode *node, const GpudlTensor *x, GpudlAttrs *attrs, gint64 *count, GError **error)
{
    gint64 dims[GPUDL_MAX_RANK];
    gboolean keep, seen[GPUDL_MAX_RANK] = {FALSE};
    guint n;

    if (!aten_ints(node, "dim", dims, GPUDL_MAX_RANK, &n, error) || !aten_flag(node, "keepdim", FALSE, &keep, error))
        return FALSE;
    *attrs = (GpudlAttrs){.reduce.keepdims = keep};
    *count = 1;
    for (guint i = 0; i < (n == 0 ? (guint)x->shape.rank : n); i++) {
        gint axis = (gint)i;

        if (n > 0 && !aten_axis(node, dims[i], x->shape.rank, &axis, error))
            return FALSE;
        if (seen[axis])
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "dimension %d is named twice", axis);
        seen[axis] = TRUE;
        attrs->reduce.axes[attrs->reduce.n_axes++] = axis;
        *count *= x->shape.dims[axis];
    }
    return TRUE;
}

gboolean aten_map_reduce(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    const gboolean sums = node->row->op == GPUDL_OP_REDUCE_SUM || node->row->op == GPUDL_OP_REDUCE_MEAN;
    GpudlDType dtype = GPUDL_DTYPE_NONE;
    GpudlAttrs attrs;
    gint64 count;

    if (x == NULL || (sums && !aten_dtype(node, "dtype", &dtype, error)) || !read_axes(node, x, &attrs, &count, error))
        return FALSE;
    if (dtype == GPUDL_DTYPE_NONE && sums && !aten_is_float(x->dtype))
        dtype = GPUDL_DTYPE_I64;
    if (dtype != GPUDL_DTYPE_NONE && (x = tf_cast(node->build, x, dtype, error)) == NULL)
        return FALSE;
    return aten_done(node, x->shape.rank == 0 ? x : tf_emit(node->build, node->row->op, &attrs, &x, 1, error));
}

/* any, all: the largest or smallest of flags. */
gboolean aten_map_any(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    GpudlAttrs attrs;
    gint64 count;

    if (x == NULL || !read_axes(node, x, &attrs, &count, error) ||
        (x = tf_cast(node->build, x, GPUDL_DTYPE_BOOL, error)) == NULL ||
        (x = tf_cast(node->build, x, GPUDL_DTYPE_F32, error)) == NULL ||
        (x = tf_emit(node->build, node->row->op, &attrs, &x, 1, error)) == NULL)
        return FALSE;
    return aten_done(node, tf_cast(node->build, x, GPUDL_DTYPE_BOOL, error));
}

/* max, min with a dim: values, and indices that are not computed. */
gboolean aten_map_max_dim(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error), *ys[2] = {NULL};
    GpudlAttrs attrs;
    gint64 count;

    if (x == NULL || !read_axes(node, x, &attrs, &count, error) ||
        (ys[0] = tf_emit(node->build, node->row->op, &attrs, &x, 1, error)) == NULL)
        return FALSE;
    return aten_done_list(node, ys, 2);
}

/* argmax, topk: the best of the scores, which stand for them where nothing else is computed of it. */
gboolean aten_map_best(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error), *none[2] = {NULL};
    const gboolean several = strcmp(node->row->name, "topk") == 0;
    gboolean largest = TRUE;
    gint64 dim;
    gint axis;

    if (x == NULL || !aten_int(node, "dim", several ? -1 : 0, &dim, error) ||
        !aten_axis(node, dim, x->shape.rank, &axis, error) ||
        (several && !aten_flag(node, "largest", TRUE, &largest, error)))
        return FALSE;
    if (axis != x->shape.rank - 1 || !largest || (!several && aten_arg(node, "dim") == NULL && x->shape.rank != 1))
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "the best along dimension %d of %d; the largest along the last one is taken", axis,
                       x->shape.rank);
    if (!aten_done_list(node, none, 2))
        return FALSE;
    for (guint i = 0; i < 2; i++)
        node->result.items[i].scores = x;
    if (!several)
        node->result = node->result.items[0];
    return TRUE;
}

/* var and var_mean: sum of (x - mean)^2 / (n - correction). */
gboolean aten_map_var(AtenNode *node, GError **error)
{
    const gboolean both = g_str_has_prefix(node->row->name, "var_mean");
    const gboolean root = g_str_has_prefix(node->row->name, "std");
    const gboolean flag = strchr(node->row->name, '.') == NULL; /* unbiased: a correction of 1 */
    GpudlTensor *x = aten_tensor(node, "self", error), *mean, *ys[2], *t;
    GpudlAttrs attrs, kept;
    gboolean unbiased;
    double correction;
    gint64 count;

    if (x == NULL || !read_axes(node, x, &attrs, &count, error) ||
        !aten_flag(node, flag ? "unbiased" : "none", TRUE, &unbiased, error) ||
        !aten_number(node, flag ? "none" : "correction", unbiased, &correction, error))
        return FALSE;
    if (count - correction <= 0 || !aten_is_float(x->dtype))
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                       "the variance of %" G_GINT64_FORMAT " values of %s, corrected by %g", count,
                       gpudl_dtype_name(x->dtype), correction);
    kept = attrs;
    kept.reduce.keepdims = 1;
    if ((mean = tf_emit(node->build, GPUDL_OP_REDUCE_MEAN, &kept, &x, 1, error)) == NULL ||
        (t = tf_binary(node->build, GPUDL_OP_SUB, x, mean, error)) == NULL ||
        (t = tf_binary(node->build, GPUDL_OP_MUL, t, t, error)) == NULL ||
        (t = tf_emit(node->build, GPUDL_OP_REDUCE_MEAN, &attrs, &t, 1, error)) == NULL ||
        (correction != 0 &&
         (t = with_number(node, GPUDL_OP_MUL, t, (double)count / ((double)count - correction), error)) == NULL) ||
        (root && (t = tf_unary(node->build, GPUDL_OP_SQRT, t, error)) == NULL))
        return FALSE;
    if (!both)
        return aten_done(node, t);
    ys[0] = t;
    ys[1] = tf_emit(node->build, GPUDL_OP_REDUCE_MEAN, &attrs, &x, 1, error);
    return ys[1] != NULL && aten_done_list(node, ys, 2);
}

/* The lengths of vectors: the first and second norm. */
gboolean aten_map_norm(AtenNode *node, GError **error)
{
    const gboolean linalg = strcmp(node->row->name, "linalg_vector_norm") == 0;
    GpudlTensor *x = aten_tensor(node, "self", error), *t;
    GpudlAttrs attrs;
    double order;
    gint64 count;

    if (x == NULL || !aten_number(node, linalg ? "ord" : "p", 2, &order, error) ||
        !read_axes(node, x, &attrs, &count, error))
        return FALSE;
    if ((order != 1 && order != 2) || !aten_is_float(x->dtype))
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "of order %g; 1 and 2 are taken", order);
    t = order == 1 ? tf_unary(node->build, GPUDL_OP_ABS, x, error) : tf_binary(node->build, GPUDL_OP_MUL, x, x, error);
    t = t != NULL ? tf_emit(node->build, GPUDL_OP_REDUCE_SUM, &attrs, &t, 1, error) : NULL;
    return t != NULL && aten_done(node, order == 1 ? t : tf_unary(node->build, GPUDL_OP_SQRT, t, error));
}

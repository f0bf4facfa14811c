/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Element by element and along axes. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/narrow.h"
#include "onnx-internal.h"

static gboolean is_float(GpudlDType dtype)
{
    return dtype == GPUDL_DTYPE_F32 || dtype == GPUDL_DTYPE_F16 || dtype == GPUDL_DTYPE_BF16 ||
           dtype == GPUDL_DTYPE_F64;
}

/* Operators that are one of ours, with no attributes. */
gboolean onnx_map_direct(OnnxNode *node, GError **error)
{
    return onnx_emit_output(node, node->row->op, NULL, node->inputs, node->n_inputs, error);
}

gboolean onnx_map_mod(OnnxNode *node, GError **error)
{
    GpudlAttrs attrs = {.binary.fmod = onnx_attr_int(node, "fmod", 0) != 0};

    if (!attrs.binary.fmod && is_float(node->inputs[0]->dtype) && node->import->opset < 28)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%s needs fmod = 1 before opset 28",
                         gpudl_dtype_name(node->inputs[0]->dtype));
    return onnx_emit_output(node, GPUDL_OP_MOD, &attrs, node->inputs, 2, error);
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

/* Name, kind and what alpha and beta are when the node does not say. */
static const struct {
    const gchar *name;
    GpudlActKind kind;
    float alpha, beta;
} activations[] = {
    {"Relu", GPUDL_ACT_RELU, 0.f, 0.f},
    {"LeakyRelu", GPUDL_ACT_LEAKY_RELU, .01f, 0.f},
    {"Sigmoid", GPUDL_ACT_SIGMOID, 0.f, 0.f},
    {"HardSigmoid", GPUDL_ACT_HARD_SIGMOID, .2f, .5f},
    {"HardSwish", GPUDL_ACT_HARD_SWISH, 0.f, 0.f},
    {"Mish", GPUDL_ACT_MISH, 0.f, 0.f},
    {"Tanh", GPUDL_ACT_TANH, 0.f, 0.f},
};

gboolean onnx_map_activation(OnnxNode *node, GError **error)
{
    guint i = 0;

    while (strcmp(activations[i].name, node->row->name) != 0)
        i++;
    node->outputs[0] = onnx_activation(node, activations[i].kind, onnx_attr_float(node, "alpha", activations[i].alpha),
                                       onnx_attr_float(node, "beta", activations[i].beta), node->inputs[0],
                                       onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

static GpudlTensor *emit_elu(OnnxNode *node, float alpha, GpudlTensor *x, const gchar *output, GError **error)
{
    GpudlAttrs attrs = {.unary.act.alpha = alpha};

    return onnx_emit(node, GPUDL_OP_ELU, &attrs, &x, 1, output, error);
}

gboolean onnx_map_elu(OnnxNode *node, GError **error)
{
    node->outputs[0] =
        emit_elu(node, onnx_attr_float(node, "alpha", 1.f), node->inputs[0], onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/* gamma * elu(x, alpha) */
gboolean onnx_map_selu(OnnxNode *node, GError **error)
{
    GpudlTensor *elu =
        emit_elu(node, onnx_attr_float(node, "alpha", 1.67326319217681884765625f), node->inputs[0], NULL, error);
    GpudlTensor *gamma =
        elu != NULL ? onnx_constant_scalar(node, elu->dtype,
                                           (double)onnx_attr_float(node, "gamma", 1.05070102214813232421875f), error)
                    : NULL;

    if (gamma == NULL)
        return FALSE;
    node->outputs[0] = onnx_binary(node, GPUDL_OP_MUL, elu, gamma, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/* max(0, x) + min(0, alpha (exp(x / alpha) - 1)) = alpha * elu(x / alpha, 1) */
gboolean onnx_map_celu(OnnxNode *node, GError **error)
{
    GpudlTensor *alpha =
        onnx_constant_scalar(node, node->inputs[0]->dtype, (double)onnx_attr_float(node, "alpha", 1.f), error);
    GpudlTensor *scaled = alpha != NULL ? onnx_binary(node, GPUDL_OP_DIV, node->inputs[0], alpha, NULL, error) : NULL;
    GpudlTensor *elu = scaled != NULL ? emit_elu(node, 1.f, scaled, NULL, error) : NULL;

    if (elu == NULL)
        return FALSE;
    node->outputs[0] = onnx_binary(node, GPUDL_OP_MUL, elu, alpha, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/* Bounds that are known numbers of a float network make an activation; other bounds are Max and Min nodes. */
gboolean onnx_map_clip(OnnxNode *node, GError **error)
{
    GpudlTensor *x = node->inputs[0], *low = onnx_input(node, 1), *high = onnx_input(node, 2);
    double bounds[2] = {(double)onnx_attr_float(node, "min", -FLT_MAX), (double)onnx_attr_float(node, "max", FLT_MAX)};
    gboolean known[2] = {TRUE, TRUE};

    if (low != NULL && !onnx_scalar(node, low, &known[0], &bounds[0], error))
        return FALSE;
    if (high != NULL && !onnx_scalar(node, high, &known[1], &bounds[1], error))
        return FALSE;
    if (is_float(x->dtype) && x->dtype != GPUDL_DTYPE_F64 && known[0] && known[1] && bounds[0] <= bounds[1]) {
        node->outputs[0] = onnx_activation(node, GPUDL_ACT_CLIP, (float)bounds[0], (float)bounds[1], x,
                                           onnx_output_name(node, 0), error);
        return node->outputs[0] != NULL;
    }
    if (low == NULL && onnx_attr(node, "min") != NULL &&
        (low = onnx_constant_scalar(node, x->dtype, bounds[0], error)) == NULL)
        return FALSE;
    if (high == NULL && onnx_attr(node, "max") != NULL &&
        (high = onnx_constant_scalar(node, x->dtype, bounds[1], error)) == NULL)
        return FALSE;
    if (low == NULL && high == NULL)
        return onnx_emit_output(node, GPUDL_OP_IDENTITY, NULL, &x, 1, error);
    /* the upper bound comes last: where min > max, ONNX wants max */
    if (low != NULL &&
        (x = onnx_binary(node, GPUDL_OP_MAX, x, low, high == NULL ? onnx_output_name(node, 0) : NULL, error)) == NULL)
        return FALSE;
    if (high != NULL && (x = onnx_binary(node, GPUDL_OP_MIN, x, high, onnx_output_name(node, 0), error)) == NULL)
        return FALSE;
    node->outputs[0] = x;
    return TRUE;
}

/* log(1 + exp(x)) as max(x, 0) + log(1 + exp(-|x|)), which does not overflow */
static GpudlTensor *emit_softplus(OnnxNode *node, GpudlTensor *x, const gchar *output, GError **error)
{
    GpudlTensor *positive, *absolute, *negative, *power, *one, *sum, *log;

    if ((positive = onnx_activation(node, GPUDL_ACT_RELU, 0.f, 0.f, x, NULL, error)) == NULL ||
        (absolute = onnx_unary(node, GPUDL_OP_ABS, x, NULL, error)) == NULL ||
        (negative = onnx_unary(node, GPUDL_OP_NEG, absolute, NULL, error)) == NULL ||
        (power = onnx_unary(node, GPUDL_OP_EXP, negative, NULL, error)) == NULL ||
        (one = onnx_constant_scalar(node, x->dtype, 1, error)) == NULL ||
        (sum = onnx_binary(node, GPUDL_OP_ADD, power, one, NULL, error)) == NULL ||
        (log = onnx_unary(node, GPUDL_OP_LOG, sum, NULL, error)) == NULL)
        return NULL;
    return onnx_binary(node, GPUDL_OP_ADD, positive, log, output, error);
}

gboolean onnx_map_softplus(OnnxNode *node, GError **error)
{
    node->outputs[0] = emit_softplus(node, node->inputs[0], onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/* x / (1 + |x|) */
gboolean onnx_map_softsign(OnnxNode *node, GError **error)
{
    GpudlTensor *x = node->inputs[0], *absolute, *one, *sum;

    if ((absolute = onnx_unary(node, GPUDL_OP_ABS, x, NULL, error)) == NULL ||
        (one = onnx_constant_scalar(node, x->dtype, 1, error)) == NULL ||
        (sum = onnx_binary(node, GPUDL_OP_ADD, absolute, one, NULL, error)) == NULL)
        return FALSE;
    node->outputs[0] = onnx_binary(node, GPUDL_OP_DIV, x, sum, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/* value * x, value a constant of x's type */
static GpudlTensor *scale(OnnxNode *node, GpudlTensor *x, double value, const gchar *output, GError **error)
{
    GpudlTensor *constant = onnx_constant_scalar(node, x->dtype, value, error);

    return constant != NULL ? onnx_binary(node, GPUDL_OP_MUL, x, constant, output, error) : NULL;
}

gboolean onnx_map_gelu(OnnxNode *node, GError **error)
{
    g_autofree gchar *approximate = onnx_attr_string(node, "approximate");
    GpudlActKind kind = GPUDL_ACT_GELU;

    if (approximate != NULL && strcmp(approximate, "tanh") == 0)
        kind = GPUDL_ACT_GELU_TANH;
    else if (approximate != NULL && strcmp(approximate, "none") != 0)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "approximate is '%s', expected none or tanh", approximate);
    node->outputs[0] = onnx_activation(node, kind, 0.f, 0.f, node->inputs[0], onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/* x sigmoid(alpha x) */
gboolean onnx_map_swish(OnnxNode *node, GError **error)
{
    const float alpha = onnx_attr_float(node, "alpha", 1.f);
    GpudlTensor *x = node->inputs[0], *t = x;

    if (alpha != 1.f && (t = scale(node, x, (double)alpha, NULL, error)) == NULL)
        return FALSE;
    if ((t = onnx_activation(node, GPUDL_ACT_SIGMOID, 0.f, 0.f, t, NULL, error)) == NULL)
        return FALSE;
    node->outputs[0] = onnx_binary(node, GPUDL_OP_MUL, x, t, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/* x > alpha ? x : 0 */
gboolean onnx_map_thresholded_relu(OnnxNode *node, GError **error)
{
    GpudlTensor *x = node->inputs[0], *inputs[3] = {NULL, x, NULL}, *alpha;

    if ((alpha = onnx_constant_scalar(node, x->dtype, (double)onnx_attr_float(node, "alpha", 1.f), error)) == NULL ||
        (inputs[2] = onnx_constant_scalar(node, x->dtype, 0, error)) == NULL ||
        (inputs[0] = onnx_binary(node, GPUDL_OP_GREATER, x, alpha, NULL, error)) == NULL)
        return FALSE;
    return onnx_emit_output(node, GPUDL_OP_WHERE, NULL, inputs, 3, error);
}

/* ---- types ------------------------------------------------------------------------------------------------------- */

static GpudlTensor *emit_cast(OnnxNode *node, GpudlTensor *x, GpudlDType to, const gchar *output, GError **error)
{
    GpudlAttrs attrs = {.cast = {.to = (gint32)to, .saturate = 1}};

    return onnx_emit(node, GPUDL_OP_CAST, &attrs, &x, 1, output, error);
}

/* What Cast and CastLike share: saturate, round_mode. */
static gboolean map_cast(OnnxNode *node, GpudlDType to, GError **error)
{
    static const gchar *const rounds[] = {
        [GPUDL_ROUND_UP] = "up", [GPUDL_ROUND_DOWN] = "down", [GPUDL_ROUND_NEAREST] = "nearest"};
    GpudlAttrs attrs = {.cast = {.to = (gint32)to, .saturate = onnx_attr_int(node, "saturate", 1) != 0}};
    g_autofree gchar *round = onnx_attr_string(node, "round_mode");

    while (round != NULL && strcmp(rounds[attrs.cast.round], round) != 0)
        if (++attrs.cast.round > GPUDL_ROUND_LAST)
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "round_mode is '%s', expected up, down or nearest",
                             round);
    return onnx_emit_output(node, GPUDL_OP_CAST, &attrs, node->inputs, 1, error);
}

gboolean onnx_map_cast(OnnxNode *node, GError **error)
{
    const gint64 to = onnx_attr_int(node, "to", 0);
    const GpudlDType dtype = to > 0 && to <= G_MAXINT32 ? onnx_dtype((gint32)to) : GPUDL_DTYPE_NONE;

    if (dtype == GPUDL_DTYPE_NONE)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "to element type %" G_GINT64_FORMAT " (%s)", to,
                         to >= 0 && to <= G_MAXINT32 ? onnx_dtype_name((gint32)to) : "unknown");
    return map_cast(node, dtype, error);
}

gboolean onnx_map_cast_like(OnnxNode *node, GError **error)
{
    return map_cast(node, node->inputs[1]->dtype, error);
}

/* The exponent may have another type than the base; the result has the base's. */
gboolean onnx_map_pow(OnnxNode *node, GError **error)
{
    GpudlTensor *base = node->inputs[0], *exponent = node->inputs[1];
    const GpudlDType result = base->dtype;
    const GpudlDType common = !is_float(result) && is_float(exponent->dtype) ? exponent->dtype : result;

    if (base->dtype != common && (base = emit_cast(node, base, common, NULL, error)) == NULL)
        return FALSE;
    if (exponent->dtype != common && (exponent = emit_cast(node, exponent, common, NULL, error)) == NULL)
        return FALSE;
    node->outputs[0] =
        onnx_binary(node, GPUDL_OP_POW, base, exponent, common == result ? onnx_output_name(node, 0) : NULL, error);
    if (node->outputs[0] != NULL && common != result)
        node->outputs[0] = emit_cast(node, node->outputs[0], result, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/* ---- any number of inputs ---------------------------------------------------------------------------------------- */

/* inputs[0] op inputs[1] op ...; `last` names the result. */
static GpudlTensor *chain(OnnxNode *node, GpudlOp op, const gchar *last, GError **error)
{
    GpudlTensor *sum = node->inputs[0];

    if (node->n_inputs == 1)
        return onnx_unary(node, GPUDL_OP_IDENTITY, sum, last, error);
    for (guint i = 1; i < node->n_inputs && sum != NULL; i++)
        sum = onnx_binary(node, op, sum, node->inputs[i], i + 1 == node->n_inputs ? last : NULL, error);
    return sum;
}

gboolean onnx_map_variadic(OnnxNode *node, GError **error)
{
    node->outputs[0] = chain(node, node->row->op, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

gboolean onnx_map_mean(OnnxNode *node, GError **error)
{
    GpudlTensor *sum = chain(node, GPUDL_OP_ADD, NULL, error), *n;

    if (sum == NULL || (n = onnx_constant_scalar(node, sum->dtype, node->n_inputs, error)) == NULL)
        return FALSE;
    node->outputs[0] = onnx_binary(node, GPUDL_OP_DIV, sum, n, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/* ---- along axes -------------------------------------------------------------------------------------------------- */

static gboolean map_softmax(OnnxNode *node, gint64 fallback, gboolean flatten, GError **error)
{
    GpudlAttrs attrs = {.axis.flatten = flatten};
    const GpudlTensor *x = node->inputs[0];

    if (!onnx_axis(node, onnx_attr_int(node, "axis", fallback), x->shape.rank, &attrs.axis.axis, error))
        return FALSE;
    return onnx_emit_output(node, node->row->op, &attrs, node->inputs, 1, error);
}

/* From opset 13 on: along one axis. */
gboolean onnx_map_softmax(OnnxNode *node, GError **error)
{
    return map_softmax(node, -1, FALSE, error);
}

/* Before: over all dimensions from axis on, as if they were one. */
gboolean onnx_map_softmax_flat(OnnxNode *node, GError **error)
{
    return map_softmax(node, 1, TRUE, error);
}

/* Axes, keepdims and noop_with_empty_axes of a reduction; *nothing: it reduces nothing. */
static gboolean read_reduce(OnnxNode *node, GpudlAttrs *attrs, gboolean *nothing, GError **error)
{
    const gint rank = node->inputs[0]->shape.rank;
    g_autofree gint64 *axes = NULL;
    gsize n;

    *nothing = FALSE;
    attrs->reduce.keepdims = onnx_attr_int(node, "keepdims", 1) != 0;
    if (!onnx_ints(node, "axes", 1, &axes, &n, error))
        return FALSE;
    if (n == 0) {
        *nothing = onnx_attr_int(node, "noop_with_empty_axes", 0) != 0;
        /* a scalar has no axes to name and nothing to reduce */
        *nothing = *nothing || rank == 0;
        return TRUE;
    }
    if (n > (gsize)rank)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " axes of a tensor of rank %d", n, rank);
    for (gsize i = 0; i < n; i++) {
        gint32 axis;

        if (!onnx_axis(node, axes[i], rank, &axis, error))
            return FALSE;
        for (gint k = 0; k < attrs->reduce.n_axes; k++)
            if (attrs->reduce.axes[k] == axis)
                return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "axis %d is named twice", axis);
        attrs->reduce.axes[attrs->reduce.n_axes++] = axis;
    }
    return TRUE;
}

/* Shape after a reduction; *empty: there is nothing under some output to take a maximum of. */
static GpudlShape reduced_shape(const GpudlShape *x, const GpudlReduceAttrs *attrs, gboolean *empty)
{
    GpudlShape out = {0};

    *empty = FALSE;
    for (gint i = 0; i < x->rank; i++) {
        gboolean reduced = attrs->n_axes == 0;

        for (gint k = 0; k < attrs->n_axes; k++)
            reduced = reduced || attrs->axes[k] == i;
        *empty = *empty || (reduced && x->dims[i] == 0);
        if (!reduced)
            out.dims[out.rank++] = x->dims[i];
        else if (attrs->keepdims)
            out.dims[out.rank++] = 1;
    }
    return out;
}

/* What a maximum (or minimum) of nothing is: the least (or greatest) number there is. */
static double bound(GpudlDType dtype, gboolean greatest)
{
    switch (dtype) {
    case GPUDL_DTYPE_BOOL:
        return greatest;
    case GPUDL_DTYPE_F16:
    case GPUDL_DTYPE_BF16:
    case GPUDL_DTYPE_F32:
    case GPUDL_DTYPE_F64:
        return greatest ? (double)INFINITY : (double)-INFINITY;
    default: /* integers are saturated to their own bounds */
        return greatest ? 1e30 : -1e30;
    }
}

/* A maximum or minimum; of bools by way of integers, of nothing a constant. */
static GpudlTensor *emit_extreme(OnnxNode *node, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *x,
                                 const gchar *output, GError **error)
{
    const GpudlDType dtype = x->dtype;
    gboolean empty;
    const GpudlShape shape = reduced_shape(&x->shape, &attrs->reduce, &empty);
    GpudlAttrs fill = {.shape.rank = shape.rank};

    if (empty) {
        for (gint i = 0; i < shape.rank; i++)
            fill.shape.dims[i] = shape.dims[i];
        x = onnx_constant_scalar(node, dtype, bound(dtype, op == GPUDL_OP_REDUCE_MIN), error);
        return x != NULL ? onnx_emit(node, GPUDL_OP_EXPAND, &fill, &x, 1, output, error) : NULL;
    }
    if (dtype != GPUDL_DTYPE_BOOL)
        return onnx_emit(node, op, attrs, &x, 1, output, error);
    if ((x = emit_cast(node, x, GPUDL_DTYPE_I32, NULL, error)) == NULL ||
        (x = onnx_emit(node, op, attrs, &x, 1, NULL, error)) == NULL)
        return NULL;
    return emit_cast(node, x, dtype, output, error);
}

/* Reduces x as the node says with op; where it reduces nothing, an Identity. */
static GpudlTensor *emit_reduce(OnnxNode *node, GpudlOp op, GpudlTensor *x, const gchar *output, GError **error)
{
    GpudlAttrs attrs = {0};
    gboolean nothing;

    if (!read_reduce(node, &attrs, &nothing, error))
        return NULL;
    if (nothing)
        return onnx_unary(node, GPUDL_OP_IDENTITY, x, output, error);
    if (op == GPUDL_OP_REDUCE_MAX || op == GPUDL_OP_REDUCE_MIN)
        return emit_extreme(node, op, &attrs, x, output, error);
    return onnx_emit(node, op, &attrs, &x, 1, output, error);
}

gboolean onnx_map_reduce(OnnxNode *node, GError **error)
{
    node->outputs[0] = emit_reduce(node, node->row->op, node->inputs[0], onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

gboolean onnx_map_reduce_l1(OnnxNode *node, GError **error)
{
    GpudlTensor *absolute = onnx_unary(node, GPUDL_OP_ABS, node->inputs[0], NULL, error);

    node->outputs[0] =
        absolute != NULL ? emit_reduce(node, GPUDL_OP_REDUCE_SUM, absolute, onnx_output_name(node, 0), error) : NULL;
    return node->outputs[0] != NULL;
}

static GpudlTensor *sum_square(OnnxNode *node, const gchar *output, GError **error)
{
    GpudlTensor *square = onnx_binary(node, GPUDL_OP_MUL, node->inputs[0], node->inputs[0], NULL, error);

    return square != NULL ? emit_reduce(node, GPUDL_OP_REDUCE_SUM, square, output, error) : NULL;
}

gboolean onnx_map_reduce_sum_square(OnnxNode *node, GError **error)
{
    node->outputs[0] = sum_square(node, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

gboolean onnx_map_reduce_l2(OnnxNode *node, GError **error)
{
    GpudlTensor *sum = sum_square(node, NULL, error);

    node->outputs[0] = sum != NULL ? onnx_unary(node, GPUDL_OP_SQRT, sum, onnx_output_name(node, 0), error) : NULL;
    return node->outputs[0] != NULL;
}

gboolean onnx_map_reduce_log_sum(OnnxNode *node, GError **error)
{
    GpudlTensor *sum = emit_reduce(node, GPUDL_OP_REDUCE_SUM, node->inputs[0], NULL, error);

    node->outputs[0] = sum != NULL ? onnx_unary(node, GPUDL_OP_LOG, sum, onnx_output_name(node, 0), error) : NULL;
    return node->outputs[0] != NULL;
}

/* Largest finite value of a float type. */
static double largest(GpudlDType dtype)
{
    switch (dtype) {
    case GPUDL_DTYPE_F16:
        return 65504;
    case GPUDL_DTYPE_BF16:
        return 0x1.fep127;
    case GPUDL_DTYPE_F64:
        return DBL_MAX;
    default:
        return (double)FLT_MAX;
    }
}

/* Maximum along the node's axes, kept finite: an infinite one would make inf - inf of the sums. */
static GpudlTensor *emit_peak(OnnxNode *node, GpudlTensor *x, const GpudlAttrs *attrs, GError **error)
{
    GpudlTensor *peak, *low, *high;

    if ((peak = emit_extreme(node, GPUDL_OP_REDUCE_MAX, attrs, x, NULL, error)) == NULL ||
        (low = onnx_constant_scalar(node, x->dtype, -largest(x->dtype), error)) == NULL ||
        (high = onnx_constant_scalar(node, x->dtype, largest(x->dtype), error)) == NULL ||
        (peak = onnx_binary(node, GPUDL_OP_MAX, peak, low, NULL, error)) == NULL)
        return NULL;
    return onnx_binary(node, GPUDL_OP_MIN, peak, high, NULL, error);
}

/* log(sum(exp(x - m))) + m, m = max(x), which does not overflow */
gboolean onnx_map_reduce_log_sum_exp(OnnxNode *node, GError **error)
{
    GpudlTensor *x = node->inputs[0], *kept, *peak, *t;
    GpudlAttrs attrs = {0}, keeping;
    gboolean nothing;

    if (!read_reduce(node, &attrs, &nothing, error))
        return FALSE;
    if (nothing) /* log(exp(x)) */
        return onnx_emit_output(node, GPUDL_OP_IDENTITY, NULL, &x, 1, error);
    keeping = attrs;
    keeping.reduce.keepdims = 1;
    if ((kept = emit_peak(node, x, &keeping, error)) == NULL ||
        (peak = attrs.reduce.keepdims ? kept : emit_peak(node, x, &attrs, error)) == NULL ||
        (t = onnx_binary(node, GPUDL_OP_SUB, x, kept, NULL, error)) == NULL ||
        (t = onnx_unary(node, GPUDL_OP_EXP, t, NULL, error)) == NULL ||
        (t = onnx_emit(node, GPUDL_OP_REDUCE_SUM, &attrs, &t, 1, NULL, error)) == NULL ||
        (t = onnx_unary(node, GPUDL_OP_LOG, t, NULL, error)) == NULL)
        return FALSE;
    node->outputs[0] = onnx_binary(node, GPUDL_OP_ADD, t, peak, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

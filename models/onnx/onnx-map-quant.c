/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Quantised networks, computed in float. Weights become (q - zero) scale; a layer between quantised tensors is the
 * float layer. What stands between two layers is not rounded to the steps of the file: the float value that a quantised
 * tensor was made of stands in for it ("shadow") where it is read with the same scale and zero point. Its range is kept
 * on one condition: a zero point at the end of the type is how quantisers write a ReLU or ReLU6. Whatever reads the
 * integers themselves gets them, rounded and saturated. Scales and zero points stay constants of the imported graph.
 */
#include <string.h>

#include "kernels/types.h"
#include "onnx-quant.h"

/* The float value of a quantised tensor. */
typedef struct {
    GpudlTensor *value, *scale, *zero; /* zero may be NULL: 0 */
} Shadow;

static gboolean integer_range(GpudlDType dtype, double *low, double *high)
{
    switch (dtype) {
    case GPUDL_DTYPE_U8:
        *low = 0, *high = 255;
        return TRUE;
    case GPUDL_DTYPE_I8:
        *low = -128, *high = 127;
        return TRUE;
    case GPUDL_DTYPE_U16:
        *low = 0, *high = 65535;
        return TRUE;
    case GPUDL_DTYPE_I16:
        *low = -32768, *high = 32767;
        return TRUE;
    case GPUDL_DTYPE_U4:
        *low = 0, *high = 15;
        return TRUE;
    case GPUDL_DTYPE_I4:
        *low = -8, *high = 7;
        return TRUE;
    case GPUDL_DTYPE_U2:
        *low = 0, *high = 3;
        return TRUE;
    case GPUDL_DTYPE_I2:
        *low = -2, *high = 1;
        return TRUE;
    default:
        return FALSE;
    }
}

static GpudlTensor *emit_cast(OnnxNode *node, GpudlTensor *x, GpudlDType to, gboolean saturate, const gchar *output,
                              GError **error)
{
    GpudlAttrs attrs = {.cast = {.to = (gint32)to, .saturate = saturate}};

    return x->dtype == to && output == NULL ? x : onnx_emit(node, GPUDL_OP_CAST, &attrs, &x, 1, output, error);
}

/* ---- scales and zero points -------------------------------------------------------------------------------------- */

/* One number for blocks of an axis: repeated, cut to the axis' extent. */
static GpudlTensor *spread_blocks(OnnxNode *node, GpudlTensor *t, const GpudlShape *x, gint32 axis, gint64 block,
                                  GError **error)
{
    GpudlAttrs wide = {.shape.rank = x->rank + 1}, cut = {.slice.rank = x->rank};
    gint64 column[GPUDL_MAX_RANK], all[GPUDL_MAX_RANK];

    if (x->rank + 1 > GPUDL_MAX_RANK || t->shape.dims[axis] * block < x->dims[axis]) {
        onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                  "%" G_GINT64_FORMAT " blocks of %" G_GINT64_FORMAT " for %" G_GINT64_FORMAT " elements of axis %d",
                  (gint64)t->shape.dims[axis], block, (gint64)x->dims[axis], axis);
        return NULL;
    }
    for (gint i = 0; i <= x->rank; i++) {
        column[i] = i <= axis ? t->shape.dims[i] : i == axis + 1 ? 1 : t->shape.dims[i - 1];
        wide.shape.dims[i] = i == axis + 1 ? block : column[i];
    }
    for (gint i = 0; i < x->rank; i++) {
        all[i] = t->shape.dims[i] * (i == axis ? block : 1);
        cut.slice.end[i] = x->dims[i];
        cut.slice.step[i] = 1;
    }
    if ((t = onnx_reshape(node, t, column, x->rank + 1, NULL, error)) == NULL ||
        (t = onnx_emit(node, GPUDL_OP_EXPAND, &wide, &t, 1, NULL, error)) == NULL ||
        (t = onnx_reshape(node, t, all, x->rank, NULL, error)) == NULL)
        return NULL;
    return onnx_emit(node, GPUDL_OP_SLICE, &cut, &t, 1, NULL, error);
}

/* A scale or zero point so that it broadcasts onto x: one number, one for each place along axis, one for each block of
 * it (block 0: not said), or already of x's rank. */
static GpudlTensor *spread(OnnxNode *node, GpudlTensor *t, const GpudlShape *x, gint64 axis, gint64 block,
                           GError **error)
{
    gint64 dims[GPUDL_MAX_RANK] = {0};
    gint32 at;

    if (gpudl_shape_elements(&t->shape) == 1)
        return t->shape.rank == 0 ? t : onnx_reshape(node, t, dims, 0, NULL, error);
    if (!onnx_axis(node, axis, x->rank, &at, error))
        return NULL;
    if (t->shape.rank == x->rank && t->shape.rank > 1)
        return block > 0 ? spread_blocks(node, t, x, at, block, error) : t;
    if (t->shape.rank != 1 || (t->shape.dims[0] != x->dims[at] && block == 0)) {
        g_autofree gchar *shape = gpudl_shape_to_string(&t->shape);

        onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                  "'%s' has shape %s, expected one number, or one for each of %" G_GINT64_FORMAT " along axis %d",
                  t->name, shape, (gint64)x->dims[at], at);
        return NULL;
    }
    if (block > 0)
        return spread_blocks(node, t, x, at, block, error);
    for (gint i = 0; i < x->rank; i++)
        dims[i] = i == at ? x->dims[i] : 1;
    return onnx_reshape(node, t, dims, x->rank, NULL, error);
}

/* TRUE if both are known and hold the same. */
static gboolean same_constant(OnnxNode *node, GpudlTensor *a, GpudlTensor *b)
{
    GBytes *left, *right;

    if (a == b)
        return TRUE;
    if (a == NULL || b == NULL || a->dtype != b->dtype ||
        gpudl_shape_elements(&a->shape) != gpudl_shape_elements(&b->shape))
        return FALSE;
    left = onnx_fold(node->import, a, NULL);
    right = onnx_fold(node->import, b, NULL);
    return left != NULL && right != NULL && g_bytes_equal(left, right);
}

/* ---- to float and back ------------------------------------------------------------------------------------------- */

/* (q - zero) scale */
GpudlTensor *onnx_quant_dequantize(OnnxNode *node, const OnnxQuantized *in, gint64 axis, gint64 block, GError **error)
{
    const Shadow *shadow = g_hash_table_lookup(node->import->shadows, in->q);
    const GpudlDType dtype = in->scale->dtype;
    GpudlTensor *x, *scale, *zero;

    if (shadow != NULL && shadow->value->dtype == dtype && same_constant(node, shadow->scale, in->scale) &&
        same_constant(node, shadow->zero, in->zero))
        return shadow->value;
    if ((x = emit_cast(node, in->q, dtype, TRUE, NULL, error)) == NULL ||
        (scale = spread(node, in->scale, &in->q->shape, axis, block, error)) == NULL)
        return NULL;
    if (in->zero != NULL && ((zero = spread(node, in->zero, &in->q->shape, axis, block, error)) == NULL ||
                             (zero = emit_cast(node, zero, dtype, TRUE, NULL, error)) == NULL ||
                             (x = onnx_binary(node, GPUDL_OP_SUB, x, zero, NULL, error)) == NULL))
        return NULL;
    return onnx_binary(node, GPUDL_OP_MUL, x, scale, NULL, error);
}

/* saturate(round(x / scale) + zero) as dtype */
static GpudlTensor *quantize(OnnxNode *node, GpudlTensor *x, const OnnxQuantized *out, GpudlDType dtype, gint64 axis,
                             gint64 block, const gchar *output, GError **error)
{
    const GpudlDType wide = out->scale->dtype;
    GpudlTensor *scale, *zero;
    double low = 0, high = 0;
    gboolean integers;

    if ((x = emit_cast(node, x, wide, TRUE, NULL, error)) == NULL ||
        (scale = spread(node, out->scale, &x->shape, axis, block, error)) == NULL ||
        (x = onnx_binary(node, GPUDL_OP_DIV, x, scale, NULL, error)) == NULL)
        return NULL;
    integers = integer_range(dtype, &low, &high);
    if (integers && (x = onnx_unary(node, GPUDL_OP_ROUND, x, NULL, error)) == NULL)
        return NULL;
    if (out->zero != NULL && ((zero = spread(node, out->zero, &x->shape, axis, block, error)) == NULL ||
                              (zero = emit_cast(node, zero, wide, TRUE, NULL, error)) == NULL ||
                              (x = onnx_binary(node, GPUDL_OP_ADD, x, zero, NULL, error)) == NULL))
        return NULL;
    if (!integers)
        return emit_cast(node, x, dtype, onnx_attr_int(node, "saturate", 1) != 0, output, error);
    x = onnx_activation(node, GPUDL_ACT_CLIP, (float)low, (float)high, x, NULL, error);
    return x != NULL ? emit_cast(node, x, dtype, TRUE, output, error) : NULL;
}

/* The float value that a quantised tensor of one scale is made of, cut off where the file means an activation. */
static GpudlTensor *limit(OnnxNode *node, GpudlTensor *x, const OnnxQuantized *out, GpudlDType dtype, GError **error)
{
    gboolean known = FALSE;
    double low, high, scale, zero = 0;

    if (!integer_range(dtype, &low, &high) || !onnx_scalar(node, out->scale, &known, &scale, error))
        return x;
    if (known && out->zero != NULL && !onnx_scalar(node, out->zero, &known, &zero, error))
        return x;
    if (!known || zero != low)
        return x;
    return onnx_activation(node, GPUDL_ACT_CLIP, 0, (float)((high - low) * scale), x, NULL, error);
}

static void remember(OnnxImport *import, GpudlTensor *q, GpudlTensor *value, GpudlTensor *scale, GpudlTensor *zero)
{
    Shadow *shadow = g_new(Shadow, 1);

    *shadow = (Shadow){value, scale, zero};
    g_hash_table_insert(import->shadows, q, shadow);
}

/* Output 0, quantised, of a float value. */
gboolean onnx_quant_finish(OnnxNode *node, GpudlTensor *x, const OnnxQuantized *out, GError **error)
{
    const GpudlDType dtype = out->zero != NULL ? out->zero->dtype : GPUDL_DTYPE_U8;
    const gboolean one = gpudl_shape_elements(&out->scale->shape) == 1;
    GpudlTensor *value = x;

    if (x == NULL || (one && (value = limit(node, x, out, dtype, error)) == NULL))
        return FALSE;
    node->outputs[0] = quantize(node, value, out, dtype, 1, 0, onnx_output_name(node, 0), error);
    if (node->outputs[0] == NULL)
        return FALSE;
    if (one)
        remember(node->import, node->outputs[0], value, out->scale, out->zero);
    return TRUE;
}

/* Operand of three inputs, the last of which may be absent. */
OnnxQuantized onnx_quant_operand(const OnnxNode *node, guint i)
{
    return (OnnxQuantized){onnx_input(node, i), onnx_input(node, i + 1), onnx_input(node, i + 2)};
}

OnnxQuantized onnx_quant_result(const OnnxNode *node, guint i)
{
    return (OnnxQuantized){NULL, onnx_input(node, i), onnx_input(node, i + 1)};
}

/* Present, and of a float type. */
gboolean onnx_quant_check_scale(const OnnxNode *node, const GpudlTensor *scale, guint i, GError **error)
{
    if (scale == NULL)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "input %u, a scale, is missing", i);
    if (scale->dtype != GPUDL_DTYPE_F32 && scale->dtype != GPUDL_DTYPE_F16 && scale->dtype != GPUDL_DTYPE_BF16)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "scale '%s' is %s, expected a float type", scale->name,
                         gpudl_dtype_name(scale->dtype));
    return TRUE;
}

void onnx_quant_follow(OnnxNode *node)
{
    const GpudlTensor *out = node->n_outputs > 0 ? node->outputs[0] : NULL;
    const GpudlNode *producer = out != NULL ? out->producer : NULL;
    const Shadow *shadow =
        onnx_input(node, 0) != NULL ? g_hash_table_lookup(node->import->shadows, node->inputs[0]) : NULL;
    GpudlTensor *value;

    if (shadow == NULL || producer == NULL || producer->n_inputs != 1 || producer->n_outputs != 1 ||
        producer->inputs[0] != node->inputs[0])
        return;
    if (producer->op != GPUDL_OP_RESHAPE && producer->op != GPUDL_OP_TRANSPOSE && producer->op != GPUDL_OP_MAX_POOL &&
        producer->op != GPUDL_OP_SLICE && producer->op != GPUDL_OP_IDENTITY)
        return;
    value = shadow->value;
    value = onnx_emit(node, producer->op, &producer->attrs, &value, 1, NULL, NULL);
    if (value != NULL)
        remember(node->import, node->outputs[0], value, shadow->scale, shadow->zero);
}

/* ---- ONNX -------------------------------------------------------------------------------------------------------- */

static GpudlDType output_type(OnnxNode *node, GpudlDType fallback)
{
    const gint64 said = onnx_attr_int(node, "output_dtype", 0);

    return said > 0 && said < G_MAXINT16 ? onnx_dtype((gint32)said) : fallback;
}

gboolean onnx_map_quantize_linear(OnnxNode *node, GError **error)
{
    const OnnxQuantized out = onnx_quant_result(node, 1);
    const gint64 axis = onnx_attr_int(node, "axis", 1), block = onnx_attr_int(node, "block_size", 0);
    const GpudlDType dtype = output_type(node, out.zero != NULL ? out.zero->dtype : GPUDL_DTYPE_U8);
    GpudlTensor *x = node->inputs[0], *value;
    double low, high;

    if (!onnx_quant_check_scale(node, out.scale, 1, error))
        return FALSE;
    if (dtype == GPUDL_DTYPE_NONE || (!integer_range(dtype, &low, &high) && gpudl_dtype_size(dtype) != 1))
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "to %s", gpudl_dtype_name(dtype));
    /* what is constant is rounded once and for all; else see above */
    if (gpudl_shape_elements(&out.scale->shape) == 1 && x->dtype == out.scale->dtype &&
        integer_range(dtype, &low, &high) && !onnx_is_computable(node->import, x) &&
        onnx_attr(node, "output_dtype") == NULL)
        return onnx_quant_finish(node, x, &out, error);
    value = quantize(node, x, &out, dtype, axis, block, onnx_output_name(node, 0), error);
    node->outputs[0] = value;
    return value != NULL;
}

gboolean onnx_map_dequantize_linear(OnnxNode *node, GError **error)
{
    const OnnxQuantized in = onnx_quant_operand(node, 0);
    GpudlTensor *x;

    if (!onnx_quant_check_scale(node, in.scale, 1, error) ||
        (x = onnx_quant_dequantize(node, &in, onnx_attr_int(node, "axis", 1), onnx_attr_int(node, "block_size", 0),
                                   error)) == NULL)
        return FALSE;
    node->outputs[0] = emit_cast(node, x, output_type(node, in.scale->dtype), TRUE, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/* A mapping of a float operator with other inputs than the node's own; the result has no name. */
GpudlTensor *onnx_quant_map_float(OnnxNode *node, OnnxMapFunc map, GpudlTensor **inputs, guint n_inputs, GpudlOp op,
                                  GError **error)
{
    GpudlTensor *output = NULL;
    OnnxOp row = *node->row;
    OnnxNode inner = *node;
    gboolean ok;

    row.op = op;
    inner.row = &row;
    inner.inputs = inputs;
    inner.n_inputs = n_inputs;
    inner.outputs = &output;
    inner.n_outputs = 0;
    ok = map(&inner, error);
    node->n_made = inner.n_made;
    return ok ? output : NULL;
}

/* A bias in steps of the product of both scales. */
GpudlTensor *onnx_quant_scale_bias(OnnxNode *node, GpudlTensor *bias, GpudlTensor *x_scale, GpudlTensor *w_scale,
                                   GError **error)
{
    GpudlTensor *scale;

    if ((x_scale = spread(node, x_scale, &bias->shape, 0, 0, error)) == NULL ||
        (w_scale = spread(node, w_scale, &bias->shape, 0, 0, error)) == NULL ||
        (scale = onnx_binary(node, GPUDL_OP_MUL, x_scale, w_scale, NULL, error)) == NULL ||
        (bias = emit_cast(node, bias, scale->dtype, TRUE, NULL, error)) == NULL)
        return NULL;
    return onnx_binary(node, GPUDL_OP_MUL, bias, scale, NULL, error);
}

gboolean onnx_map_qlinear_conv(OnnxNode *node, GError **error)
{
    const OnnxQuantized x = onnx_quant_operand(node, 0), w = onnx_quant_operand(node, 3),
                        y = onnx_quant_result(node, 6);
    GpudlTensor *inputs[3] = {NULL}, *bias = onnx_input(node, 8);

    if (!onnx_quant_check_scale(node, x.scale, 1, error) || !onnx_quant_check_scale(node, w.scale, 4, error) ||
        !onnx_quant_check_scale(node, y.scale, 6, error) ||
        (inputs[0] = onnx_quant_dequantize(node, &x, 1, 0, error)) == NULL ||
        (inputs[1] = onnx_quant_dequantize(node, &w, 0, 0, error)) == NULL ||
        (bias != NULL && (inputs[2] = onnx_quant_scale_bias(node, bias, x.scale, w.scale, error)) == NULL))
        return FALSE;
    return onnx_quant_finish(
        node, onnx_quant_map_float(node, onnx_map_conv, inputs, bias != NULL ? 3 : 2, GPUDL_OP_CONV, error), &y, error);
}

gboolean onnx_map_qlinear_matmul(OnnxNode *node, GError **error)
{
    const OnnxQuantized a = onnx_quant_operand(node, 0), b = onnx_quant_operand(node, 3),
                        y = onnx_quant_result(node, 6);
    GpudlTensor *left, *right;

    if (!onnx_quant_check_scale(node, a.scale, 1, error) || !onnx_quant_check_scale(node, b.scale, 4, error) ||
        !onnx_quant_check_scale(node, y.scale, 6, error) ||
        (left = onnx_quant_dequantize(node, &a, a.q->shape.rank > 1 ? -2 : -1, 0, error)) == NULL ||
        (right = onnx_quant_dequantize(node, &b, -1, 0, error)) == NULL)
        return FALSE;
    return onnx_quant_finish(node, onnx_binary(node, GPUDL_OP_MATMUL, left, right, NULL, error), &y, error);
}

/* An integer operand less its zero point, as float32: sums of products of bytes are whole numbers in it, exact up to
 * 2^24. */
static GpudlTensor *centred(OnnxNode *node, GpudlTensor *q, GpudlTensor *zero, gint64 axis, GError **error)
{
    GpudlTensor *x = emit_cast(node, q, GPUDL_DTYPE_F32, TRUE, NULL, error);

    if (x == NULL || zero == NULL)
        return x;
    if ((zero = spread(node, zero, &q->shape, axis, 0, error)) == NULL ||
        (zero = emit_cast(node, zero, GPUDL_DTYPE_F32, TRUE, NULL, error)) == NULL)
        return NULL;
    return onnx_binary(node, GPUDL_OP_SUB, x, zero, NULL, error);
}

gboolean onnx_map_conv_integer(OnnxNode *node, GError **error)
{
    GpudlTensor *inputs[2], *y;

    if ((inputs[0] = centred(node, node->inputs[0], onnx_input(node, 2), 1, error)) == NULL ||
        (inputs[1] = centred(node, node->inputs[1], onnx_input(node, 3), 0, error)) == NULL ||
        (y = onnx_quant_map_float(node, onnx_map_conv, inputs, 2, GPUDL_OP_CONV, error)) == NULL)
        return FALSE;
    node->outputs[0] = emit_cast(node, y, GPUDL_DTYPE_I32, TRUE, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

gboolean onnx_map_matmul_integer(OnnxNode *node, GError **error)
{
    GpudlTensor *a, *b, *y;

    if ((a = centred(node, node->inputs[0], onnx_input(node, 2), node->inputs[0]->shape.rank > 1 ? -2 : -1, error)) ==
            NULL ||
        (b = centred(node, node->inputs[1], onnx_input(node, 3), -1, error)) == NULL ||
        (y = onnx_binary(node, GPUDL_OP_MATMUL, a, b, NULL, error)) == NULL)
        return FALSE;
    node->outputs[0] = emit_cast(node, y, GPUDL_DTYPE_I32, TRUE, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/* scale = (max(x, 0) - min(x, 0)) / 255, zero = -min / scale */
gboolean onnx_map_dynamic_quantize(OnnxNode *node, GError **error)
{
    GpudlTensor *x = node->inputs[0], *none, *steps, *low, *high, *scale, *zero;
    GpudlAttrs all = {.reduce.keepdims = 0};
    OnnxQuantized out;

    if ((none = onnx_constant_scalar(node, x->dtype, 0, error)) == NULL ||
        (steps = onnx_constant_scalar(node, x->dtype, 255, error)) == NULL ||
        (low = onnx_emit(node, GPUDL_OP_REDUCE_MIN, &all, &x, 1, NULL, error)) == NULL ||
        (low = onnx_binary(node, GPUDL_OP_MIN, low, none, NULL, error)) == NULL ||
        (high = onnx_emit(node, GPUDL_OP_REDUCE_MAX, &all, &x, 1, NULL, error)) == NULL ||
        (high = onnx_binary(node, GPUDL_OP_MAX, high, none, NULL, error)) == NULL ||
        (scale = onnx_binary(node, GPUDL_OP_SUB, high, low, NULL, error)) == NULL ||
        (scale = onnx_binary(node, GPUDL_OP_DIV, scale, steps, onnx_output_name(node, 1), error)) == NULL ||
        (zero = onnx_binary(node, GPUDL_OP_DIV, low, scale, NULL, error)) == NULL ||
        (zero = onnx_unary(node, GPUDL_OP_NEG, zero, NULL, error)) == NULL ||
        (zero = onnx_unary(node, GPUDL_OP_ROUND, zero, NULL, error)) == NULL ||
        (zero = onnx_activation(node, GPUDL_ACT_CLIP, 0, 255, zero, NULL, error)) == NULL ||
        (zero = emit_cast(node, zero, GPUDL_DTYPE_U8, TRUE, onnx_output_name(node, 2), error)) == NULL)
        return FALSE;
    out = (OnnxQuantized){NULL, scale, zero};
    node->outputs[0] = quantize(node, x, &out, GPUDL_DTYPE_U8, 0, 0, onnx_output_name(node, 0), error);
    if (node->n_outputs > 1)
        node->outputs[1] = scale;
    if (node->n_outputs > 2)
        node->outputs[2] = zero;
    return node->outputs[0] != NULL;
}

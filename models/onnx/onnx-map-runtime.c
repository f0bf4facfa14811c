/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What ONNX Runtime writes of its own: quantised operators and convolutions with what follows them. */
#include <string.h>

#include "onnx-quant.h"

/* ---- quantised -----------------------------------------------------------------------------------------------------
 */

/* QLinearAdd, QLinearMul */
gboolean onnx_map_qlinear_binary(OnnxNode *node, GError **error)
{
    const OnnxQuantized a = onnx_quant_operand(node, 0), b = onnx_quant_operand(node, 3),
                        y = onnx_quant_result(node, 6);
    GpudlTensor *left, *right;

    if (!onnx_quant_check_scale(node, a.scale, 1, error) || !onnx_quant_check_scale(node, b.scale, 4, error) ||
        !onnx_quant_check_scale(node, y.scale, 6, error) ||
        (left = onnx_quant_dequantize(node, &a, 1, 0, error)) == NULL ||
        (right = onnx_quant_dequantize(node, &b, 1, 0, error)) == NULL)
        return FALSE;
    return onnx_quant_finish(node, onnx_binary(node, node->row->op, left, right, NULL, error), &y, error);
}

/* Of a picture with its channels last the same with them second, or back. NULL with an error. */
static GpudlTensor *turn_channels(OnnxNode *node, GpudlTensor *x, gboolean back, GError **error)
{
    const gint32 rank = x->shape.rank;
    GpudlAttrs attrs = {.transpose.rank = rank};

    for (gint32 i = 1; i < rank; i++)
        attrs.transpose.perm[i] = back ? (i + 1 < rank ? i + 1 : 1) : (i > 1 ? i - 1 : rank - 1);
    return onnx_emit(node, GPUDL_OP_TRANSPOSE, &attrs, &x, 1, NULL, error);
}

/* Operators of one input, whose attributes are those of the float operator. */
static gboolean map_qlinear_unary(OnnxNode *node, OnnxMapFunc map, GpudlOp op, GError **error)
{
    const OnnxQuantized x = onnx_quant_operand(node, 0), y = onnx_quant_result(node, 3);
    const gboolean last = onnx_attr_int(node, "channels_last", 0) != 0;
    GpudlTensor *input, *output;

    if (!onnx_quant_check_scale(node, x.scale, 1, error) || !onnx_quant_check_scale(node, y.scale, 3, error) ||
        (input = onnx_quant_dequantize(node, &x, 1, 0, error)) == NULL)
        return FALSE;
    if (last && input->shape.rank < 3)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "channels_last = 1 of rank %d, expected at least 3",
                         input->shape.rank);
    if (last && (input = turn_channels(node, input, FALSE, error)) == NULL)
        return FALSE;
    output = onnx_quant_map_float(node, map, &input, 1, op, error);
    if (last && output != NULL)
        output = turn_channels(node, output, TRUE, error);
    return output != NULL && onnx_quant_finish(node, output, &y, error);
}

gboolean onnx_map_qlinear_pool(OnnxNode *node, GError **error)
{
    return map_qlinear_unary(node, onnx_map_pool, GPUDL_OP_AVERAGE_POOL, error);
}

gboolean onnx_map_qlinear_direct(OnnxNode *node, GError **error)
{
    return map_qlinear_unary(node, onnx_map_direct, node->row->op, error);
}

static gboolean map_leaky(OnnxNode *node, GError **error)
{
    node->outputs[0] = onnx_activation(node, GPUDL_ACT_LEAKY_RELU, onnx_attr_float(node, "alpha", .01f), 0,
                                       node->inputs[0], NULL, error);
    return node->outputs[0] != NULL;
}

gboolean onnx_map_qlinear_leaky(OnnxNode *node, GError **error)
{
    return map_qlinear_unary(node, map_leaky, GPUDL_OP_ACTIVATION, error);
}

static gboolean map_sigmoid(OnnxNode *node, GError **error)
{
    node->outputs[0] = onnx_activation(node, GPUDL_ACT_SIGMOID, 0, 0, node->inputs[0], NULL, error);
    return node->outputs[0] != NULL;
}

gboolean onnx_map_qlinear_sigmoid(OnnxNode *node, GError **error)
{
    return map_qlinear_unary(node, map_sigmoid, GPUDL_OP_ACTIVATION, error);
}

/* The opset that the softmax is of stands in an attribute. */
gboolean onnx_map_qlinear_softmax(OnnxNode *node, GError **error)
{
    return map_qlinear_unary(node, onnx_attr_int(node, "opset", 13) < 13 ? onnx_map_softmax_flat : onnx_map_softmax,
                             GPUDL_OP_SOFTMAX, error);
}

/* Scale and zero point of the output, then each input with its own. */
gboolean onnx_map_qlinear_concat(OnnxNode *node, GError **error)
{
    const OnnxQuantized y = onnx_quant_result(node, 0);
    const guint n = (node->n_inputs - 2) / 3;
    g_autofree GpudlTensor **inputs = g_new0(GpudlTensor *, n + 1);

    if (n < 1 || node->n_inputs != 2 + 3 * n)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%u inputs, expected 2 and 3 for each part", node->n_inputs);
    if (!onnx_quant_check_scale(node, y.scale, 0, error))
        return FALSE;
    for (guint i = 0; i < n; i++) {
        const OnnxQuantized x = onnx_quant_operand(node, 2 + 3 * i);

        if (!onnx_quant_check_scale(node, x.scale, 3 + 3 * i, error) ||
            (inputs[i] = onnx_quant_dequantize(node, &x, 1, 0, error)) == NULL)
            return FALSE;
    }
    return onnx_quant_finish(node, onnx_quant_map_float(node, onnx_map_concat, inputs, n, GPUDL_OP_CONCAT, error), &y,
                             error);
}

/* Without a scale of the output the result is float. */
gboolean onnx_map_qgemm(OnnxNode *node, GError **error)
{
    const OnnxQuantized a = onnx_quant_operand(node, 0), b = onnx_quant_operand(node, 3),
                        y = onnx_quant_result(node, 7);
    const gboolean transposed = onnx_attr_int(node, "transB", 0) != 0;
    GpudlTensor *inputs[3] = {NULL}, *bias = onnx_input(node, 6), *product;

    if (onnx_attr_float(node, "alpha", 1) != 1)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "alpha is %g, expected 1",
                         (double)onnx_attr_float(node, "alpha", 1));
    if (!onnx_quant_check_scale(node, a.scale, 1, error) || !onnx_quant_check_scale(node, b.scale, 4, error) ||
        (inputs[0] = onnx_quant_dequantize(node, &a, 0, 0, error)) == NULL ||
        (inputs[1] = onnx_quant_dequantize(node, &b, transposed ? 0 : 1, 0, error)) == NULL ||
        (bias != NULL && (inputs[2] = onnx_quant_scale_bias(node, bias, a.scale, b.scale, error)) == NULL) ||
        (product = onnx_quant_map_float(node, onnx_map_gemm, inputs, bias != NULL ? 3 : 2, GPUDL_OP_GEMM, error)) ==
            NULL)
        return FALSE;
    if (y.scale != NULL)
        return onnx_quant_finish(node, product, &y, error);
    node->outputs[0] = onnx_unary(node, GPUDL_OP_IDENTITY, product, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/* ---- convolutions with what follows them ------------------------------------------------------------------------- */

/* act(conv(x, w, b) + z) */
gboolean onnx_map_fused_conv(OnnxNode *node, GError **error)
{
    static const struct {
        const gchar *name;
        GpudlActKind kind;
    } acts[] = {{"Relu", GPUDL_ACT_RELU}, {"Sigmoid", GPUDL_ACT_SIGMOID},
                {"Tanh", GPUDL_ACT_TANH}, {"LeakyRelu", GPUDL_ACT_LEAKY_RELU},
                {"Clip", GPUDL_ACT_CLIP}, {"HardSigmoid", GPUDL_ACT_HARD_SIGMOID}};
    const Onnx__AttributeProto *params = onnx_attr(node, "activation_params");
    g_autofree gchar *name = onnx_attr_string(node, "activation");
    GpudlTensor *sum = onnx_input(node, 3), *y;
    guint i = 0;

    y = onnx_quant_map_float(node, onnx_map_conv, node->inputs, MIN(node->n_inputs, 3), GPUDL_OP_CONV, error);
    if (y != NULL && sum != NULL)
        y = onnx_binary(node, GPUDL_OP_ADD, y, sum, NULL, error);
    if (y == NULL)
        return FALSE;
    if (name == NULL || name[0] == '\0')
        return onnx_emit_output(node, GPUDL_OP_IDENTITY, NULL, &y, 1, error);
    while (i < G_N_ELEMENTS(acts) && strcmp(acts[i].name, name) != 0)
        i++;
    if (i == G_N_ELEMENTS(acts))
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "activation '%s' is not known", name);
    if (acts[i].kind == GPUDL_ACT_HARD_SIGMOID || acts[i].kind == GPUDL_ACT_CLIP ||
        acts[i].kind == GPUDL_ACT_LEAKY_RELU) {
        const guint n = acts[i].kind == GPUDL_ACT_LEAKY_RELU ? 1 : 2;

        if (params == NULL || params->n_floats != n)
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "activation %s needs %u activation_params", name, n);
        node->outputs[0] = onnx_activation(node, acts[i].kind, params->floats[0], n > 1 ? params->floats[1] : 0, y,
                                           onnx_output_name(node, 0), error);
    } else {
        node->outputs[0] = onnx_activation(node, acts[i].kind, 0, 0, y, onnx_output_name(node, 0), error);
    }
    return node->outputs[0] != NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Element by element. */
#include <math.h>
#include <string.h>

#include "caffe-internal.h"

gboolean caffe_map_relu(CaffeLayer *layer, GError **error)
{
    const Caffe__ReLUParameter *p = layer->proto->relu_param;
    const float slope = p != NULL ? p->negative_slope : 0;
    GpudlAttrs attrs = {.unary.act = {slope != 0 ? GPUDL_ACT_LEAKY_RELU : GPUDL_ACT_RELU, slope, 0}};

    return caffe_emit_top(layer, GPUDL_OP_ACTIVATION, &attrs, layer->inputs, 1, error);
}

static gboolean clip(CaffeLayer *layer, float low, float high, GError **error)
{
    GpudlAttrs attrs = {.unary.act = {GPUDL_ACT_CLIP, low, high}};

    return caffe_emit_top(layer, GPUDL_OP_ACTIVATION, &attrs, layer->inputs, 1, error);
}

gboolean caffe_map_relu6(CaffeLayer *layer, GError **error)
{
    return clip(layer, 0, 6, error);
}

gboolean caffe_map_clip(CaffeLayer *layer, GError **error)
{
    const Caffe__ClipParameter *p = layer->proto->clip_param;

    if (p == NULL)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "no clip_param");
    return clip(layer, p->min, p->max, error);
}

gboolean caffe_map_prelu(CaffeLayer *layer, GError **error)
{
    const Caffe__PReLUParameter *p = layer->proto->prelu_param;
    const GpudlShape *x = &layer->inputs[0]->shape;
    const gboolean is_shared = p != NULL && p->channel_shared;
    GpudlShape slope = {.rank = x->rank - 1};
    GpudlTensor *inputs[2] = {layer->inputs[0]};

    if (x->rank < 2)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "an input of %d dimensions, expected at least 2", x->rank);
    for (gint i = 0; i < slope.rank; i++)
        slope.dims[i] = 1;
    if (!is_shared)
        slope.dims[0] = x->dims[1];
    if (!caffe_check_blobs(layer, 1, 1, error))
        return FALSE;
    {
        const GpudlShape stored = {.rank = 1, .dims = {slope.dims[0]}};
        g_autofree float *values = caffe_blob_floats(layer, 0, "slopes", &stored, error);

        inputs[1] = values != NULL ? caffe_floats(layer, values, &slope, error) : NULL;
    }
    return inputs[1] != NULL && caffe_emit_top(layer, GPUDL_OP_PRELU, NULL, inputs, 2, error);
}

gboolean caffe_map_elu(CaffeLayer *layer, GError **error)
{
    GpudlAttrs attrs = {.unary.act.alpha = layer->proto->elu_param != NULL ? layer->proto->elu_param->alpha : 1};

    return caffe_emit_top(layer, GPUDL_OP_ELU, &attrs, layer->inputs, 1, error);
}

gboolean caffe_map_activation(CaffeLayer *layer, GError **error)
{
    const GpudlActKind kind = strcmp(layer->type->name, "TanH") == 0 ? GPUDL_ACT_TANH : GPUDL_ACT_SIGMOID;
    GpudlAttrs attrs = {.unary.act.kind = kind};

    return caffe_emit_top(layer, GPUDL_OP_ACTIVATION, &attrs, layer->inputs, 1, error);
}

gboolean caffe_map_abs(CaffeLayer *layer, GError **error)
{
    return caffe_emit_top(layer, GPUDL_OP_ABS, NULL, layer->inputs, 1, error);
}

/* (shift + scale x)^power */
gboolean caffe_map_power(CaffeLayer *layer, GError **error)
{
    static const Caffe__PowerParameter usual = CAFFE__POWER_PARAMETER__INIT;
    const Caffe__PowerParameter *p = layer->proto->power_param != NULL ? layer->proto->power_param : &usual;
    GpudlTensor *x = caffe_affine(layer, layer->inputs[0], (double)p->scale, (double)p->shift, error), *power;

    if (x == NULL || p->power == 1)
        return caffe_top(layer, x, error);
    power = caffe_scalar(layer, (double)p->power, error);
    return power != NULL && caffe_top(layer, caffe_binary(layer, GPUDL_OP_POW, x, power, error), error);
}

static gboolean check_base(const CaffeLayer *layer, float base, GError **error)
{
    if (base == -1 || base > 0)
        return TRUE;
    return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "base is %g, expected more than 0, or -1 for e", (double)base);
}

/* base^(shift + scale x) */
gboolean caffe_map_exp(CaffeLayer *layer, GError **error)
{
    static const Caffe__ExpParameter usual = CAFFE__EXP_PARAMETER__INIT;
    const Caffe__ExpParameter *p = layer->proto->exp_param != NULL ? layer->proto->exp_param : &usual;
    const double base = p->base_ == -1 ? 1 : log((double)p->base_);
    GpudlTensor *x;

    if (!check_base(layer, p->base_, error))
        return FALSE;
    x = caffe_affine(layer, layer->inputs[0], (double)p->scale * base, (double)p->shift * base, error);
    return x != NULL && caffe_top(layer, caffe_unary(layer, GPUDL_OP_EXP, x, error), error);
}

/* log(shift + scale x) to the base */
gboolean caffe_map_log(CaffeLayer *layer, GError **error)
{
    static const Caffe__LogParameter usual = CAFFE__LOG_PARAMETER__INIT;
    const Caffe__LogParameter *p = layer->proto->log_param != NULL ? layer->proto->log_param : &usual;
    GpudlTensor *x;

    if (!check_base(layer, p->base_, error))
        return FALSE;
    if (p->base_ == 1)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "base is 1: there is no such logarithm");
    x = caffe_affine(layer, layer->inputs[0], (double)p->scale, (double)p->shift, error);
    x = x != NULL ? caffe_unary(layer, GPUDL_OP_LOG, x, error) : NULL;
    return x != NULL &&
           caffe_top(layer, caffe_affine(layer, x, p->base_ == -1 ? 1 : 1 / log((double)p->base_), 0, error), error);
}

/* log(1 + exp(x)), as max(x, 0) + log(1 + exp(-|x|)), which does not overflow */
gboolean caffe_map_bnll(CaffeLayer *layer, GError **error)
{
    GpudlTensor *x = layer->inputs[0], *positive, *y;

    return (positive = caffe_activation(layer, GPUDL_ACT_RELU, 0, 0, x, error)) != NULL &&
           (y = caffe_unary(layer, GPUDL_OP_ABS, x, error)) != NULL &&
           (y = caffe_unary(layer, GPUDL_OP_NEG, y, error)) != NULL &&
           (y = caffe_unary(layer, GPUDL_OP_EXP, y, error)) != NULL &&
           (y = caffe_affine(layer, y, 1, 1, error)) != NULL &&
           (y = caffe_unary(layer, GPUDL_OP_LOG, y, error)) != NULL &&
           caffe_top(layer, caffe_binary(layer, GPUDL_OP_ADD, positive, y, error), error);
}

gboolean caffe_map_swish(CaffeLayer *layer, GError **error)
{
    const float beta = layer->proto->swish_param != NULL ? layer->proto->swish_param->beta : 1;
    GpudlTensor *x = layer->inputs[0], *y = caffe_affine(layer, x, (double)beta, 0, error);

    return y != NULL && (y = caffe_activation(layer, GPUDL_ACT_SIGMOID, 0, 0, y, error)) != NULL &&
           caffe_top(layer, caffe_binary(layer, GPUDL_OP_MUL, x, y, error), error);
}

gboolean caffe_map_eltwise(CaffeLayer *layer, GError **error)
{
    static const Caffe__EltwiseParameter usual = CAFFE__ELTWISE_PARAMETER__INIT;
    static const GpudlOp ops[] = {GPUDL_OP_MUL, GPUDL_OP_ADD, GPUDL_OP_MAX};
    const Caffe__EltwiseParameter *p = layer->proto->eltwise_param != NULL ? layer->proto->eltwise_param : &usual;
    GpudlTensor *y = NULL;

    if ((guint)p->operation >= G_N_ELEMENTS(ops))
        return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "operation %d, expected PROD, SUM or MAX",
                          (gint)p->operation);
    if (p->n_coeff > 0 && p->operation != CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__SUM)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "coeff, which only SUM takes");
    if (p->n_coeff > 0 && p->n_coeff != layer->n_inputs)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " coeff for %u inputs", p->n_coeff,
                          layer->n_inputs);
    for (guint i = 0; i < layer->n_inputs; i++) {
        GpudlTensor *x = layer->inputs[i];

        if (!gpudl_shape_equal(&x->shape, &layer->inputs[0]->shape))
            return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "input '%s' has another shape than input '%s'", x->name,
                              layer->inputs[0]->name);
        if (p->n_coeff > 0 && (x = caffe_affine(layer, x, (double)p->coeff[i], 0, error)) == NULL)
            return FALSE;
        y = y == NULL ? x : caffe_binary(layer, ops[p->operation], y, x, error);
        if (y == NULL)
            return FALSE;
    }
    return caffe_top(layer, y, error);
}

gboolean caffe_map_softmax(CaffeLayer *layer, GError **error)
{
    const Caffe__SoftmaxParameter *p = layer->proto->softmax_param;
    GpudlAttrs attrs = {0};

    return caffe_axis(layer, p != NULL ? p->axis : 1, layer->inputs[0]->shape.rank, &attrs.axis.axis, error) &&
           caffe_emit_top(layer, GPUDL_OP_SOFTMAX, &attrs, layer->inputs, 1, error);
}

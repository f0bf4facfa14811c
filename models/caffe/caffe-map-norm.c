/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Scales, shifts and sums along axes. */
#include <string.h>

#include "caffe-internal.h"

static GpudlTensor *constant_of(CaffeLayer *layer, float *values, gint64 n, GError **error)
{
    const GpudlShape shape = {.rank = 1, .dims = {n}};

    return caffe_floats(layer, values, &shape, error);
}

/* Mean and variance are stored as sums, with the number that they are to be divided by. */
static gboolean read_statistics(CaffeLayer *layer, gint64 channels, GpudlTensor *inputs[5], GError **error)
{
    const GpudlShape each = {.rank = 1, .dims = {channels}}, one = {.rank = 1, .dims = {1}};
    g_autofree float *factor = caffe_blob_floats(layer, 2, "factor", &one, error), *ones = NULL, *zeros = NULL;

    if (factor == NULL)
        return FALSE;
    for (guint i = 0; i < 2; i++) {
        g_autofree float *values = caffe_blob_floats(layer, i, i == 0 ? "mean" : "variance", &each, error);
        const float by = factor[0] == 0 ? 0 : 1 / factor[0];

        if (values == NULL)
            return FALSE;
        for (gint64 c = 0; c < channels; c++)
            values[c] *= by;
        inputs[3 + i] = constant_of(layer, values, channels, error);
    }
    ones = g_new(float, (gsize)channels + 1);
    zeros = g_new0(float, (gsize)channels + 1);
    for (gint64 c = 0; c < channels; c++)
        ones[c] = 1;
    inputs[1] = constant_of(layer, ones, channels, error);
    inputs[2] = constant_of(layer, zeros, channels, error);
    return inputs[1] != NULL && inputs[2] != NULL && inputs[3] != NULL && inputs[4] != NULL;
}

gboolean caffe_map_batch_norm(CaffeLayer *layer, GError **error)
{
    const Caffe__BatchNormParameter *p = layer->proto->batch_norm_param;
    GpudlAttrs attrs = {.batch_norm.epsilon = p != NULL ? p->eps : 1e-5f};
    GpudlTensor *inputs[5] = {layer->inputs[0]};

    if (p != NULL && p->has_use_global_stats && !p->use_global_stats)
        return caffe_fail(
            layer, GPUDL_ERROR_UNSUPPORTED, error,
            "use_global_stats is false: it would normalise by what it sees, as in training. Expected true, "
            "or nothing said");
    if (layer->inputs[0]->shape.rank < 2)
        return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "an input of %d dimension, expected N x C x ..",
                          layer->inputs[0]->shape.rank);
    return caffe_check_blobs(layer, 3, 3, error) &&
           read_statistics(layer, layer->inputs[0]->shape.dims[1], inputs, error) &&
           caffe_emit_top(layer, GPUDL_OP_BATCH_NORM, &attrs, inputs, 5, error);
}

/* Blob i, or the second input, in a shape that broadcasts onto the first from an axis on. num_axes -1: all. */
static GpudlTensor *operand(CaffeLayer *layer, guint i, const gchar *what, gint32 axis, gint32 num_axes, GError **error)
{
    const GpudlShape *x = &layer->inputs[0]->shape;
    GpudlShape stored = {0}, wide = {0};
    g_autofree float *values = NULL;
    gint32 n = num_axes;

    if (layer->n_inputs > 1)
        n = layer->inputs[1]->shape.rank;
    if (n < -1 || (n >= 0 && axis + n > x->rank)) {
        caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "%d axes from axis %d of what has %d dimensions", n, axis,
                   x->rank);
        return NULL;
    }
    n = n < 0 ? x->rank - axis : n;
    stored.rank = n;
    wide.rank = n == 0 ? 0 : x->rank - axis;
    for (gint k = 0; k < wide.rank; k++)
        wide.dims[k] = k < n ? x->dims[axis + k] : 1;
    for (gint k = 0; k < n; k++)
        stored.dims[k] = x->dims[axis + k];
    if (layer->n_inputs > 1) {
        gint64 dims[GPUDL_MAX_RANK];

        if (!gpudl_shape_equal(&layer->inputs[1]->shape, &stored)) {
            caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "input '%s' does not fit input '%s' from axis %d on",
                       layer->inputs[1]->name, layer->inputs[0]->name, axis);
            return NULL;
        }
        for (gint k = 0; k < wide.rank; k++)
            dims[k] = axis == 0 && k == 0 ? 0 : wide.dims[k]; /* the batch, whatever it will be */
        return caffe_reshape(layer, layer->inputs[1], dims, wide.rank, error);
    }
    if (axis == 0 && n > 0) {
        caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "axis 0: a value for each frame");
        return NULL;
    }
    values = caffe_blob_floats(layer, i, what, &stored, error);
    return values != NULL ? caffe_floats(layer, values, &wide, error) : NULL;
}

gboolean caffe_map_scale(CaffeLayer *layer, GError **error)
{
    static const Caffe__ScaleParameter usual = CAFFE__SCALE_PARAMETER__INIT;
    const Caffe__ScaleParameter *p = layer->proto->scale_param != NULL ? layer->proto->scale_param : &usual;
    const guint n_blobs = (layer->n_inputs == 1) + (p->bias_term ? 1 : 0);
    GpudlTensor *y, *by;
    gint32 axis;

    if (!caffe_axis(layer, p->axis, layer->inputs[0]->shape.rank, &axis, error) ||
        !caffe_check_blobs(layer, n_blobs, n_blobs, error))
        return FALSE;
    by = operand(layer, 0, "scale", axis, p->num_axes, error);
    y = by != NULL ? caffe_binary(layer, GPUDL_OP_MUL, layer->inputs[0], by, error) : NULL;
    if (y == NULL || !p->bias_term)
        return caffe_top(layer, y, error);
    if (layer->n_inputs > 1)
        return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "bias_term with two inputs, expected a Bias layer");
    by = operand(layer, 1, "bias", axis, p->num_axes, error);
    return by != NULL && caffe_top(layer, caffe_binary(layer, GPUDL_OP_ADD, y, by, error), error);
}

gboolean caffe_map_bias(CaffeLayer *layer, GError **error)
{
    static const Caffe__BiasParameter usual = CAFFE__BIAS_PARAMETER__INIT;
    const Caffe__BiasParameter *p = layer->proto->bias_param != NULL ? layer->proto->bias_param : &usual;
    GpudlTensor *by;
    gint32 axis;

    if (!caffe_axis(layer, p->axis, layer->inputs[0]->shape.rank, &axis, error) ||
        !caffe_check_blobs(layer, layer->n_inputs == 1, layer->n_inputs == 1, error))
        return FALSE;
    by = operand(layer, 0, "bias", axis, p->num_axes, error);
    return by != NULL && caffe_top(layer, caffe_binary(layer, GPUDL_OP_ADD, layer->inputs[0], by, error), error);
}

/* a x + y, a one value for each frame and channel */
gboolean caffe_map_axpy(CaffeLayer *layer, GError **error)
{
    const gint64 dims[] = {0, layer->inputs[1]->shape.dims[1], 1, 1};
    GpudlTensor *a = layer->inputs[0], *y;

    if (layer->inputs[1]->shape.rank != 4 || a->shape.rank < 2)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "inputs of %d and %d dimensions, expected 4", a->shape.rank,
                          layer->inputs[1]->shape.rank);
    return (a = caffe_reshape(layer, a, dims, 4, error)) != NULL &&
           (y = caffe_binary(layer, GPUDL_OP_MUL, layer->inputs[1], a, error)) != NULL &&
           caffe_top(layer, caffe_binary(layer, GPUDL_OP_ADD, y, layer->inputs[2], error), error);
}

static GpudlTensor *power(CaffeLayer *layer, GpudlTensor *x, double exponent, GError **error)
{
    GpudlTensor *by = caffe_scalar(layer, exponent, error);

    return by != NULL ? caffe_binary(layer, GPUDL_OP_POW, x, by, error) : NULL;
}

/* x / sqrt(sum of squares + eps) * scale */
gboolean caffe_map_normalize(CaffeLayer *layer, GError **error)
{
    static const Caffe__NormalizeParameter usual = CAFFE__NORMALIZE_PARAMETER__INIT;
    const Caffe__NormalizeParameter *p = layer->proto->norm_param != NULL ? layer->proto->norm_param : &usual;
    const GpudlShape *x = &layer->inputs[0]->shape;
    const gint64 n = p->channel_shared ? 1 : x->dims[1];
    const GpudlShape stored = {.rank = 1, .dims = {n}}, wide = {.rank = 3, .dims = {n, 1, 1}};
    GpudlAttrs reduce = {.reduce = {.n_axes = p->across_spatial ? 3 : 1, .axes = {1, 2, 3}, .keepdims = 1}};
    g_autofree float *values = NULL;
    GpudlTensor *y, *scale;

    if (x->rank != 4)
        return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "an input of %d dimensions, expected N x C x H x W",
                          x->rank);
    if (!caffe_check_blobs(layer, 1, 1, error) ||
        (values = caffe_blob_floats(layer, 0, "scale", &stored, error)) == NULL)
        return FALSE;
    return (scale = caffe_floats(layer, values, &wide, error)) != NULL &&
           (y = caffe_binary(layer, GPUDL_OP_MUL, layer->inputs[0], layer->inputs[0], error)) != NULL &&
           (y = caffe_emit(layer, GPUDL_OP_REDUCE_SUM, &reduce, &y, 1, NULL, error)) != NULL &&
           (y = caffe_affine(layer, y, 1, (double)p->eps, error)) != NULL &&
           (y = power(layer, y, -.5, error)) != NULL &&
           (y = caffe_binary(layer, GPUDL_OP_MUL, layer->inputs[0], y, error)) != NULL &&
           caffe_top(layer, caffe_binary(layer, GPUDL_OP_MUL, y, scale, error), error);
}

/* (x - mean) / (deviation + eps) over a picture or each of its channels */
gboolean caffe_map_mvn(CaffeLayer *layer, GError **error)
{
    static const Caffe__MVNParameter usual = CAFFE__MVNPARAMETER__INIT;
    const Caffe__MVNParameter *p = layer->proto->mvn_param != NULL ? layer->proto->mvn_param : &usual;
    GpudlAttrs reduce = {.reduce = {.n_axes = p->across_channels ? 3 : 2, .keepdims = 1}};
    GpudlTensor *x = layer->inputs[0], *y;

    if (x->shape.rank != 4)
        return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "an input of %d dimensions, expected N x C x H x W",
                          x->shape.rank);
    for (gint i = 0; i < reduce.reduce.n_axes; i++)
        reduce.reduce.axes[i] = (p->across_channels ? 1 : 2) + i;
    y = caffe_emit(layer, GPUDL_OP_REDUCE_MEAN, &reduce, &x, 1, NULL, error);
    x = y != NULL ? caffe_binary(layer, GPUDL_OP_SUB, x, y, error) : NULL;
    if (x == NULL || !p->normalize_variance)
        return caffe_top(layer, x, error);
    return (y = caffe_binary(layer, GPUDL_OP_MUL, x, x, error)) != NULL &&
           (y = caffe_emit(layer, GPUDL_OP_REDUCE_MEAN, &reduce, &y, 1, NULL, error)) != NULL &&
           (y = caffe_unary(layer, GPUDL_OP_SQRT, y, error)) != NULL &&
           (y = caffe_affine(layer, y, 1, (double)p->eps, error)) != NULL &&
           caffe_top(layer, caffe_binary(layer, GPUDL_OP_DIV, x, y, error), error);
}

gboolean caffe_map_reduction(CaffeLayer *layer, GError **error)
{
    static const Caffe__ReductionParameter usual = CAFFE__REDUCTION_PARAMETER__INIT;
    const Caffe__ReductionParameter *p = layer->proto->reduction_param != NULL ? layer->proto->reduction_param : &usual;
    GpudlTensor *x = layer->inputs[0];
    GpudlAttrs reduce = {0};
    gint32 axis;

    if (!caffe_axis(layer, p->axis, x->shape.rank, &axis, error))
        return FALSE;
    if (axis == 0)
        return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "axis 0: over all frames together");
    for (gint i = axis; i < x->shape.rank; i++)
        reduce.reduce.axes[reduce.reduce.n_axes++] = i;
    if (p->operation == CAFFE__REDUCTION_PARAMETER__REDUCTION_OP__ASUM)
        x = caffe_unary(layer, GPUDL_OP_ABS, x, error);
    else if (p->operation == CAFFE__REDUCTION_PARAMETER__REDUCTION_OP__SUMSQ)
        x = caffe_binary(layer, GPUDL_OP_MUL, x, x, error);
    x = x != NULL ? caffe_emit(layer,
                               p->operation == CAFFE__REDUCTION_PARAMETER__REDUCTION_OP__MEAN ? GPUDL_OP_REDUCE_MEAN
                                                                                              : GPUDL_OP_REDUCE_SUM,
                               &reduce, &x, 1, NULL, error)
                  : NULL;
    return x != NULL && caffe_top(layer, caffe_affine(layer, x, (double)p->coeff, 0, error), error);
}

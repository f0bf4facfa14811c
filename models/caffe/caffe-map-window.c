/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sums of products, windows, normalisation by neighbours. */
#include <string.h>

#include "caffe-internal.h"
#include "models/transposed.h"

#define H (GPUDL_MAX_SPATIAL - 2)
#define W (GPUDL_MAX_SPATIAL - 1)

/* A parameter of a window: one value for all dimensions or one for each, or _h and _w. */
typedef struct {
    const gchar *name;
    const guint32 *values;
    gsize n;
    gboolean has_pair; /* _h and _w, either of them */
    guint32 h, w;
    guint32 fallback, min;
} Extent;

static gboolean read_extent(const CaffeLayer *layer, const Extent *e, gint32 out[GPUDL_MAX_SPATIAL], GError **error)
{
    guint32 values[2] = {e->fallback, e->fallback};

    if (e->has_pair && e->n > 0)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "both %s and its _h and _w, expected one of them", e->name);
    if (e->n > 2)
        return caffe_fail(layer, e->n == 3 ? GPUDL_ERROR_UNSUPPORTED : GPUDL_ERROR_FORMAT, error,
                          "%s has %" G_GSIZE_FORMAT " values, expected 1 or 2: height and width", e->name, e->n);
    if (e->has_pair) {
        values[0] = e->h;
        values[1] = e->w;
    } else if (e->n > 0) {
        values[0] = e->values[0];
        values[1] = e->values[e->n - 1];
    }
    for (guint i = 0; i < 2; i++) {
        if (values[i] < e->min || values[i] > G_MAXINT16)
            return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "%s is %u, expected %u to %d", e->name, values[i],
                              e->min, G_MAXINT16);
        out[H + i] = (gint32)values[i];
    }
    return TRUE;
}

static gboolean check_picture(const CaffeLayer *layer, GError **error)
{
    if (layer->inputs[0]->shape.rank == 4)
        return TRUE;
    return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "an input of %d dimensions, expected N x C x H x W",
                      layer->inputs[0]->shape.rank);
}

static gboolean read_convolution(const CaffeLayer *layer, const Caffe__ConvolutionParameter *p,
                                 GpudlWindowAttrs *window, GError **error)
{
    const Extent kernel = {"kernel_size",
                           p->kernel_size,
                           p->n_kernel_size,
                           p->has_kernel_h || p->has_kernel_w,
                           p->kernel_h,
                           p->kernel_w,
                           0,
                           1};
    const Extent stride = {"stride",    p->stride,   p->n_stride, p->has_stride_h || p->has_stride_w,
                           p->stride_h, p->stride_w, 1,           1};
    const Extent pad = {"pad", p->pad, p->n_pad, p->has_pad_h || p->has_pad_w, p->pad_h, p->pad_w, 0, 0};
    const Extent dilation = {"dilation", p->dilation, p->n_dilation, FALSE, 0, 0, 1, 1};

    if (p->axis != 1 && p->axis != -3)
        return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "axis %d, expected 1: the channels", p->axis);
    for (guint i = 0; i < GPUDL_MAX_SPATIAL; i++)
        window->kernel[i] = window->stride[i] = window->dilation[i] = 1;
    window->n_spatial = 2;
    if (!read_extent(layer, &kernel, window->kernel, error) || !read_extent(layer, &stride, window->stride, error) ||
        !read_extent(layer, &pad, window->pad_begin, error) || !read_extent(layer, &dilation, window->dilation, error))
        return FALSE;
    memcpy(window->pad_end, window->pad_begin, sizeof window->pad_end);
    return TRUE;
}

static gboolean check_groups(const CaffeLayer *layer, gint64 channels, guint32 outputs, guint32 group, GError **error)
{
    return (group >= 1 && outputs >= 1 && channels % group == 0 && outputs % group == 0) ||
           caffe_fail(layer, GPUDL_ERROR_FORMAT, error,
                      "%" G_GINT64_FORMAT " channels in and num_output %u in %u groups, expected multiples", channels,
                      outputs, group);
}

static gboolean convolve(CaffeLayer *layer, GpudlTensor *x, guint32 group, const gchar *top, GpudlTensor **y,
                         GError **error)
{
    const Caffe__ConvolutionParameter *p = layer->proto->convolution_param;
    const gint64 channels = x->shape.dims[1], k = p->num_output;
    GpudlAttrs attrs = {0};
    GpudlTensor *inputs[3] = {x};
    const GpudlShape bias = {.rank = 1, .dims = {k}};
    GpudlShape weights = {.rank = 4};

    if (!read_convolution(layer, p, &attrs.window, error))
        return FALSE;
    if (!check_groups(layer, channels, p->num_output, group, error))
        return FALSE;
    attrs.window.group = (gint32)group;
    weights.dims[0] = k;
    weights.dims[1] = channels / group;
    weights.dims[2] = attrs.window.kernel[H];
    weights.dims[3] = attrs.window.kernel[W];
    inputs[1] = caffe_blob(layer, 0, "weights", &weights, error);
    if (inputs[1] == NULL)
        return FALSE;
    if (p->bias_term && (inputs[2] = caffe_blob(layer, 1, "bias", &bias, error)) == NULL)
        return FALSE;
    *y = caffe_emit(layer, GPUDL_OP_CONV, &attrs, inputs, p->bias_term ? 3 : 2, top, error);
    return *y != NULL;
}

static gboolean map_convolution(CaffeLayer *layer, guint32 group, GError **error)
{
    const Caffe__ConvolutionParameter *p = layer->proto->convolution_param;

    if (p == NULL)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "no convolution_param");
    if (layer->n_inputs > 1)
        return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "%u inputs that share its values, expected one",
                          layer->n_inputs);
    return check_picture(layer, error) && caffe_check_blobs(layer, p->bias_term ? 2 : 1, p->bias_term ? 2 : 1, error) &&
           convolve(layer, layer->inputs[0], group, layer->proto->top[0], &layer->outputs[0], error);
}

gboolean caffe_map_convolution(CaffeLayer *layer, GError **error)
{
    const Caffe__ConvolutionParameter *p = layer->proto->convolution_param;

    return map_convolution(layer, p != NULL ? p->group : 1, error);
}

/* Of branches: a group for each channel, whether group says so or not. */
gboolean caffe_map_depthwise(CaffeLayer *layer, GError **error)
{
    const gint64 channels = layer->inputs[0]->shape.rank == 4 ? layer->inputs[0]->shape.dims[1] : 1;

    return map_convolution(layer, (guint32)MIN(channels, G_MAXINT32), error);
}

static GpudlTensor *emit(gpointer layer, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *input, GError **error)
{
    return caffe_emit(layer, op, attrs, &input, 1, NULL, error);
}

/* The convolution whose gradient this is: its padding is cut off, nothing is rounded. */
gboolean caffe_map_deconvolution(CaffeLayer *layer, GError **error)
{
    const Caffe__ConvolutionParameter *p = layer->proto->convolution_param;
    GpudlTensor *inputs[3] = {layer->inputs[0]};
    GpudlWindowAttrs said = {0};
    GpudlAttrs attrs = {0};
    GpudlTransposedSide sides[2];
    GpudlShape weights = {.rank = 4}, bias = {.rank = 1};
    gint64 channels;

    if (p == NULL)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "no convolution_param");
    if (!check_picture(layer, error) || !caffe_check_blobs(layer, p->bias_term ? 2 : 1, p->bias_term ? 2 : 1, error) ||
        !read_convolution(layer, p, &said, error))
        return FALSE;
    channels = inputs[0]->shape.dims[1];
    if (!check_groups(layer, channels, p->num_output, p->group, error))
        return FALSE;
    weights.dims[0] = channels;
    weights.dims[1] = p->num_output / p->group;
    bias.dims[0] = p->num_output;
    for (gint i = 0; i < 2; i++) {
        weights.dims[2 + i] = said.kernel[H + i];
        sides[i] = (GpudlTransposedSide){said.kernel[H + i], said.stride[H + i], said.dilation[H + i],
                                         said.pad_begin[H + i], said.pad_end[H + i]};
    }
    if ((inputs[1] = caffe_blob(layer, 0, "weights", &weights, error)) == NULL ||
        (p->bias_term && (inputs[2] = caffe_blob(layer, 1, "bias", &bias, error)) == NULL))
        return FALSE;
    return gpudl_transposed_lower(emit, layer, &inputs[0], &inputs[1], sides, p->group, &attrs.window, error) &&
           caffe_emit_top(layer, GPUDL_OP_CONV, &attrs, inputs, p->bias_term ? 3 : 2, error);
}

gboolean caffe_map_inner_product(CaffeLayer *layer, GError **error)
{
    const Caffe__InnerProductParameter *p = layer->proto->inner_product_param;
    const GpudlShape *x = &layer->inputs[0]->shape;
    GpudlAttrs attrs = {.gemm = {.alpha = 1, .beta = 1}};
    GpudlTensor *inputs[3] = {NULL};
    GpudlShape weights = {.rank = 2}, bias = {.rank = 1};
    gint64 depth = 1, rows = 1, dims[GPUDL_MAX_RANK];
    gint32 axis;
    GpudlTensor *y;

    if (p == NULL)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "no inner_product_param");
    if (!caffe_axis(layer, p->axis, x->rank, &axis, error) ||
        !caffe_check_blobs(layer, p->bias_term ? 2 : 1, p->bias_term ? 2 : 1, error))
        return FALSE;
    if (axis < 1)
        return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "axis 0: a product over all frames together");
    for (gint i = 0; i < x->rank; i++)
        *(i < axis ? &rows : &depth) *= x->dims[i];
    weights.dims[p->transpose ? 1 : 0] = bias.dims[0] = p->num_output;
    weights.dims[p->transpose ? 0 : 1] = depth;
    attrs.gemm.trans_b = !p->transpose;
    dims[0] = axis == 1 ? 0 : -1;
    dims[1] = axis == 1 ? -1 : depth;
    inputs[0] = x->rank == 2 ? layer->inputs[0] : caffe_reshape(layer, layer->inputs[0], dims, 2, error);
    if (inputs[0] == NULL || (inputs[1] = caffe_blob(layer, 0, "weights", &weights, error)) == NULL ||
        (p->bias_term && (inputs[2] = caffe_blob(layer, 1, "bias", &bias, error)) == NULL))
        return FALSE;
    y = caffe_emit(layer, GPUDL_OP_GEMM, &attrs, inputs, p->bias_term ? 3 : 2, NULL, error);
    if (y == NULL || axis == 1)
        return caffe_top(layer, y, error);
    for (gint i = 0; i < axis; i++)
        dims[i] = i == 0 ? 0 : x->dims[i];
    dims[0] = -1;
    dims[axis] = p->num_output;
    return caffe_top(layer, caffe_reshape(layer, y, dims, axis + 1, error), error);
}

static gboolean read_pooling(const CaffeLayer *layer, const Caffe__PoolingParameter *p, GpudlWindowAttrs *window,
                             GError **error)
{
    const Extent kernel = {"kernel_size",
                           &p->kernel_size,
                           p->has_kernel_size,
                           p->has_kernel_h || p->has_kernel_w,
                           p->kernel_h,
                           p->kernel_w,
                           0,
                           1};
    const Extent stride = {
        "stride", &p->stride, p->has_stride, p->has_stride_h || p->has_stride_w, p->stride_h, p->stride_w, 1, 1};
    const Extent pad = {"pad", &p->pad, p->has_pad, p->has_pad_h || p->has_pad_w, p->pad_h, p->pad_w, 0, 0};

    for (guint i = 0; i < GPUDL_MAX_SPATIAL; i++)
        window->kernel[i] = window->stride[i] = window->dilation[i] = 1;
    window->n_spatial = 2;
    window->group = 1;
    if (!read_extent(layer, &kernel, window->kernel, error) || !read_extent(layer, &stride, window->stride, error) ||
        !read_extent(layer, &pad, window->pad_begin, error))
        return FALSE;
    memcpy(window->pad_end, window->pad_begin, sizeof window->pad_end);
    window->ceil_mode = p->round_mode == CAFFE__POOLING_PARAMETER__ROUND_MODE__CEIL && p->ceil_mode;
    window->count_include_pad = 1; /* what the division is by, in Caffe */
    return TRUE;
}

/* Sizes are rounded up. Where there is padding, a last window that begins behind the input and the padding before it is
 * left out, as the graph's rule is; where there is none it stays, and would see nothing. */
static gboolean check_last_window(const CaffeLayer *layer, const GpudlWindowAttrs *window, GError **error)
{
    for (gint i = H; i <= W && window->ceil_mode && window->pad_begin[H] == 0 && window->pad_begin[W] == 0; i++) {
        const gint64 extent = layer->inputs[0]->shape.dims[2 + i - H], rest = extent - window->kernel[i];

        if (rest > 0 && (rest + window->stride[i] - 1) / window->stride[i] * window->stride[i] >= extent)
            return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error,
                              "its last window begins behind the input (%s %" G_GINT64_FORMAT ", kernel %d, stride %d)",
                              i == H ? "height" : "width", extent, window->kernel[i], window->stride[i]);
    }
    return TRUE;
}

gboolean caffe_map_pooling(CaffeLayer *layer, GError **error)
{
    const Caffe__PoolingParameter *p = layer->proto->pooling_param;
    GpudlAttrs attrs = {0};
    gboolean max;

    if (p == NULL)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "no pooling_param");
    if (!check_picture(layer, error))
        return FALSE;
    if (p->pool != CAFFE__POOLING_PARAMETER__POOL_METHOD__MAX && p->pool != CAFFE__POOLING_PARAMETER__POOL_METHOD__AVE)
        return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "pool is STOCHASTIC or unknown, expected MAX or AVE");
    max = p->pool == CAFFE__POOLING_PARAMETER__POOL_METHOD__MAX;
    if (p->global_pooling) {
        if (p->has_kernel_size || p->has_kernel_h || p->has_kernel_w)
            return caffe_fail(layer, GPUDL_ERROR_FORMAT, error,
                              "both global_pooling and a kernel, expected one of them");
        if (p->pad != 0 || p->pad_h != 0 || p->pad_w != 0)
            return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "global_pooling with padding");
        return caffe_emit_top(layer, max ? GPUDL_OP_GLOBAL_MAX_POOL : GPUDL_OP_GLOBAL_AVERAGE_POOL, NULL, layer->inputs,
                              1, error);
    }
    return read_pooling(layer, p, &attrs.window, error) && check_last_window(layer, &attrs.window, error) &&
           caffe_emit_top(layer, max ? GPUDL_OP_MAX_POOL : GPUDL_OP_AVERAGE_POOL, &attrs, layer->inputs, 1, error);
}

/* x * (1 + alpha * average of the squares in a window)^-beta; there k does not count. */
static gboolean lrn_within(CaffeLayer *layer, const Caffe__LRNParameter *p, GError **error)
{
    const gint32 size = (gint32)p->local_size, half = (size - 1) / 2;
    GpudlAttrs attrs = {.window = {.n_spatial = 2, .group = 1, .count_include_pad = 1}};
    GpudlTensor *x = layer->inputs[0], *y, *beta;

    for (guint i = 0; i < GPUDL_MAX_SPATIAL; i++)
        attrs.window.kernel[i] = attrs.window.stride[i] = attrs.window.dilation[i] = 1;
    for (gint i = H; i <= W; i++) {
        attrs.window.kernel[i] = size;
        attrs.window.pad_begin[i] = attrs.window.pad_end[i] = half;
    }
    return (y = caffe_binary(layer, GPUDL_OP_MUL, x, x, error)) != NULL &&
           (y = caffe_emit(layer, GPUDL_OP_AVERAGE_POOL, &attrs, &y, 1, NULL, error)) != NULL &&
           (y = caffe_affine(layer, y, (double)p->alpha, 1, error)) != NULL &&
           (beta = caffe_scalar(layer, -(double)p->beta, error)) != NULL &&
           (y = caffe_binary(layer, GPUDL_OP_POW, y, beta, error)) != NULL &&
           caffe_top(layer, caffe_binary(layer, GPUDL_OP_MUL, x, y, error), error);
}

gboolean caffe_map_lrn(CaffeLayer *layer, GError **error)
{
    static const Caffe__LRNParameter usual = CAFFE__LRNPARAMETER__INIT;
    const Caffe__LRNParameter *p = layer->proto->lrn_param != NULL ? layer->proto->lrn_param : &usual;
    GpudlAttrs attrs = {.lrn = {.size = (gint32)p->local_size, .alpha = p->alpha, .beta = p->beta, .bias = p->k}};

    if (!check_picture(layer, error))
        return FALSE;
    if (p->local_size % 2 == 0 || p->local_size > G_MAXINT16)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "local_size is %u, expected an odd number up to %d",
                          p->local_size, G_MAXINT16);
    if (p->norm_region == CAFFE__LRNPARAMETER__NORM_REGION__WITHIN_CHANNEL)
        return lrn_within(layer, p, error);
    return caffe_emit_top(layer, GPUDL_OP_LRN, &attrs, layer->inputs, 1, error);
}

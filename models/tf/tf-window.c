/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Windows over pictures, what is done per channel, products of matrices, and the picture that comes in. */
#include <math.h>

#include "engine/limits.h"
#include "kernels/resize.h"
#include "models/transposed.h"
#include "tf-layers.h"

#define MOST_VALUES ((gint64)3 * GPUDL_LIMIT_INPUT_SIDE * GPUDL_LIMIT_INPUT_SIDE)

static const gint64 to_channels_first[] = {0, 3, 1, 2}, to_channels_last[] = {0, 2, 3, 1};

/* ---- windows ----------------------------------------------------------------------------------------------------- */

static gboolean check_extent(TfBuild *build, const gchar *what, gint64 value, gint64 low, GError **error)
{
    if (value < low || value > G_MAXINT16)
        return tf_fail(build, GPUDL_ERROR_FORMAT, error, "its %s is %" G_GINT64_FORMAT ", expected %d to %d", what,
                       value, (gint)low, G_MAXINT16);
    return TRUE;
}

/* SAME: as many outputs as inputs / stride, rounded up; the odd one of the padding is behind. */
static gboolean resolve_padding(TfBuild *build, const TfWindow *window, gint i, gint64 in, gint64 *begin, gint64 *end,
                                GError **error)
{
    const gint64 extent = (window->kernel[i] - 1) * window->dilation[i] + 1, stride = window->stride[i];
    gint64 total;

    *begin = *end = 0;
    if (window->padding == TF_PADDING_EXPLICIT) {
        *begin = window->begin[i];
        *end = window->end[i];
    } else if (window->padding == TF_PADDING_SAME) {
        total = MAX(((in + stride - 1) / stride - 1) * stride + extent - in, 0);
        *begin = total / 2;
        *end = total - total / 2;
    }
    return check_extent(build, "padding", *begin, 0, error) && check_extent(build, "padding", *end, 0, error);
}

static gboolean make_window(TfBuild *build, const GpudlTensor *x, const TfWindow *window, GpudlWindowAttrs *attrs,
                            GError **error)
{
    if (x->shape.rank != 4)
        return tf_fail(build, GPUDL_ERROR_FORMAT, error, "an input of rank %d, expected 4", x->shape.rank);
    *attrs = (GpudlWindowAttrs){.n_spatial = 2, .group = 1};
    attrs->kernel[0] = attrs->stride[0] = attrs->dilation[0] = 1;
    for (gint i = 0; i < 2; i++) {
        const gint k = GPUDL_MAX_SPATIAL - 2 + i;
        gint64 begin, end;

        if (!check_extent(build, "window", window->kernel[i], 1, error) ||
            !check_extent(build, "stride", window->stride[i], 1, error) ||
            !check_extent(build, "dilation", window->dilation[i], 1, error) ||
            !resolve_padding(build, window, i, x->shape.dims[(window->channels_first ? 2 : 1) + i], &begin, &end,
                             error))
            return FALSE;
        attrs->kernel[k] = (gint32)window->kernel[i];
        attrs->stride[k] = (gint32)window->stride[i];
        attrs->dilation[k] = (gint32)window->dilation[i];
        attrs->pad_begin[k] = (gint32)begin;
        attrs->pad_end[k] = (gint32)end;
    }
    return TRUE;
}

/* An operator of pictures whose channels are first, on one that may have them last. */
static GpudlTensor *emit_picture(TfBuild *build, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor **inputs, guint n,
                                 gboolean channels_first, GError **error)
{
    GpudlTensor *y;

    if (channels_first)
        return tf_emit(build, op, attrs, inputs, n, error);
    inputs[0] = tf_transpose(build, inputs[0], to_channels_first, 4, error);
    y = inputs[0] != NULL ? tf_emit(build, op, attrs, inputs, n, error) : NULL;
    return y != NULL ? tf_transpose(build, y, to_channels_last, 4, error) : NULL;
}

GpudlTensor *tf_conv(TfBuild *build, GpudlTensor *x, GpudlTensor *weights, GpudlTensor *bias, const TfWindow *window,
                     gint64 groups, GError **error)
{
    GpudlTensor *inputs[3] = {x, weights, bias};
    GpudlAttrs attrs = {0};

    if (!make_window(build, x, window, &attrs.window, error))
        return NULL;
    if (groups < 1 || groups > G_MAXINT32) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error, "%" G_GINT64_FORMAT " groups of channels", groups);
        return NULL;
    }
    attrs.window.group = (gint32)groups;
    return emit_picture(build, GPUDL_OP_CONV, &attrs, inputs, bias != NULL ? 3 : 2, window->channels_first, error);
}

static GpudlTensor *emit_one(gpointer build, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *input, GError **error)
{
    return tf_emit(build, op, attrs, &input, 1, error);
}

/* An extent, padding included, of which the convolution makes one of `in`. */
static gboolean check_made(TfBuild *build, const TfWindow *window, gint i, gint64 padded, gint64 in, GError **error)
{
    const gint64 rest = padded - window->dilation[i] * (window->kernel[i] - 1) - 1;
    const gint64 made = rest < 0 ? 0 : rest / window->stride[i] + 1;

    return made == in || tf_fail(build, GPUDL_ERROR_FORMAT, error,
                                 "an input with %s %" G_GINT64_FORMAT ", expected %" G_GINT64_FORMAT
                                 " by its output's, the window, strides and padding",
                                 i == 0 ? "height" : "width", in, made);
}

/* What the padding of the convolution that makes x of a picture of `size` would have been. */
static gboolean transposed_sides(TfBuild *build, const GpudlTensor *x, const TfWindow *window, const gint64 size[2],
                                 GpudlTransposedSide sides[2], GError **error)
{
    for (gint i = 0; i < 2; i++) {
        const gint64 in = x->shape.dims[(window->channels_first ? 2 : 1) + i];
        gint64 begin, end;

        if (!check_extent(build, "window", window->kernel[i], 1, error) ||
            !check_extent(build, "stride", window->stride[i], 1, error) ||
            !check_extent(build, "dilation", window->dilation[i], 1, error) ||
            !check_extent(build, i == 0 ? "output height" : "output width", size[i], 1, error) ||
            !resolve_padding(build, window, i, size[i], &begin, &end, error))
            return FALSE;
        if (window->exact && !check_made(build, window, i, size[i] + begin + end, in, error))
            return FALSE;
        end = window->stride[i] * (in - 1) + window->dilation[i] * (window->kernel[i] - 1) + 1 - size[i] - begin;
        sides[i] = (GpudlTransposedSide){window->kernel[i], window->stride[i], window->dilation[i], begin, end};
    }
    return TRUE;
}

GpudlTensor *tf_conv_transpose(TfBuild *build, GpudlTensor *x, GpudlTensor *weights, GpudlTensor *bias,
                               const TfWindow *window, const gint64 size[2], gint64 groups, GError **error)
{
    const gboolean ranks = x->shape.rank == 4 && weights->shape.rank == 4;
    const gint64 channels = ranks ? x->shape.dims[window->channels_first ? 1 : 3] : 0;
    GpudlTensor *inputs[3] = {x, weights, bias}, *y;
    GpudlTransposedSide sides[2];
    GpudlAttrs attrs = {0};

    if (!ranks || channels != weights->shape.dims[0] || groups < 1 || channels % groups != 0) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error,
                "%" G_GINT64_FORMAT " channels in %" G_GINT64_FORMAT " groups for weights of %" G_GINT64_FORMAT,
                channels, groups, ranks ? (gint64)weights->shape.dims[0] : 0);
        return NULL;
    }
    if (!transposed_sides(build, x, window, size, sides, error))
        return NULL;
    if (!window->channels_first && (inputs[0] = tf_transpose(build, x, to_channels_first, 4, error)) == NULL)
        return NULL;
    if (!gpudl_transposed_lower(emit_one, build, &inputs[0], &inputs[1], sides, groups, &attrs.window, error))
        return NULL;
    y = tf_emit(build, GPUDL_OP_CONV, &attrs, inputs, bias != NULL ? 3 : 2, error);
    return y != NULL && !window->channels_first ? tf_transpose(build, y, to_channels_last, 4, error) : y;
}

GpudlTensor *tf_pool(TfBuild *build, GpudlOp op, GpudlTensor *x, const TfWindow *window, GError **error)
{
    GpudlAttrs attrs = {0};

    if (!make_window(build, x, window, &attrs.window, error))
        return NULL;
    return emit_picture(build, op, &attrs, &x, 1, window->channels_first, error);
}

GpudlTensor *tf_batch_norm(TfBuild *build, GpudlTensor *const parameters[5], float epsilon, gboolean channels_first,
                           GError **error)
{
    GpudlTensor *inputs[5] = {parameters[0], parameters[1], parameters[2], parameters[3], parameters[4]};
    GpudlAttrs attrs = {.batch_norm = {.epsilon = epsilon}};

    if (inputs[0]->shape.rank != 4) {
        tf_fail(build, GPUDL_ERROR_UNSUPPORTED, error, "an input of rank %d, expected 4", inputs[0]->shape.rank);
        return NULL;
    }
    return emit_picture(build, GPUDL_OP_BATCH_NORM, &attrs, inputs, 5, channels_first, error);
}

GpudlTensor *tf_resize(TfBuild *build, GpudlTensor *x, GpudlTensor *size, const TfResize *how, GError **error)
{
    GpudlAttrs attrs = {.resize = {.rank = 4, .mode = how->linear ? GPUDL_SAMPLE_LINEAR : GPUDL_SAMPLE_NEAREST}};
    g_autofree gint64 *sizes = NULL;
    gsize n;

    if (x->shape.rank != 4) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error, "an input of rank %d, expected 4", x->shape.rank);
        return NULL;
    }
    if (!tf_ints(build, size, "size", &sizes, &n, error))
        return NULL;
    if (n != 2 || how->align_corners + how->half_pixel_centers > 1) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error, "%s",
                n != 2 ? "its size is not height and width" : "both align_corners and half_pixel_centers");
        return NULL;
    }
    for (gint i = 0; i < 2; i++) {
        if (!check_extent(build, i == 0 ? "output height" : "output width", sizes[i], 1, error))
            return NULL;
        attrs.resize.sizes[2 + i] = sizes[i] != x->shape.dims[1 + i] ? sizes[i] : 0; /* 0: as it is */
    }
    attrs.resize.coordinate = how->align_corners         ? GPUDL_SAMPLE_ALIGN_CORNERS
                              : !how->half_pixel_centers ? GPUDL_SAMPLE_ASYMMETRIC
                              : how->linear              ? GPUDL_SAMPLE_HALF_PIXEL
                                                         : GPUDL_SAMPLE_TF_HALF_PIXEL;
    attrs.resize.nearest = how->align_corners ? GPUDL_SAMPLE_PREFER_CEIL : GPUDL_SAMPLE_FLOOR;
    if (how->linear && x->dtype != GPUDL_DTYPE_F16 && x->dtype != GPUDL_DTYPE_BF16 && x->dtype != GPUDL_DTYPE_F64 &&
        (x = tf_cast(build, x, GPUDL_DTYPE_F32, error)) == NULL)
        return NULL;
    return emit_picture(build, GPUDL_OP_RESIZE, &attrs, &x, 1, FALSE, error);
}

/* ---- per channel and value --------------------------------------------------------------------------------------- */

GpudlTensor *tf_lrn(TfBuild *build, GpudlTensor *x, gint64 radius, float bias, float alpha, float beta, GError **error)
{
    GpudlAttrs attrs = {.lrn = {.beta = beta, .bias = bias}};

    if (x->shape.rank != 4) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error, "an input of rank %d, expected 4", x->shape.rank);
        return NULL;
    }
    if (!check_extent(build, "radius", radius, 0, error))
        return NULL;
    attrs.lrn.size = (gint32)(2 * radius + 1);
    attrs.lrn.alpha = alpha * (float)attrs.lrn.size;
    return emit_picture(build, GPUDL_OP_LRN, &attrs, &x, 1, FALSE, error);
}

/* x * scale + shift, rounded down if wanted. */
static GpudlTensor *step(TfBuild *build, GpudlTensor *x, double scale, double shift, gboolean down, GError **error)
{
    GpudlTensor *by = tf_scalar(build, x->dtype, scale, error), *plus = tf_scalar(build, x->dtype, shift, error);

    if (by == NULL || plus == NULL || (x = tf_binary(build, GPUDL_OP_MUL, x, by, error)) == NULL ||
        (x = tf_binary(build, GPUDL_OP_ADD, x, plus, error)) == NULL)
        return NULL;
    return down ? tf_unary(build, GPUDL_OP_FLOOR, x, error) : x;
}

GpudlTensor *tf_fake_quant(TfBuild *build, GpudlTensor *x, double low, double high, gint64 bits, gboolean narrow,
                           GError **error)
{
    double first, last, scale, zero;

    if (!(low < high) || low > 0 || high < 0 || !isfinite(high - low) || bits < 2 || bits > 16) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error,
                "%" G_GINT64_FORMAT " bits from %g to %g, expected 2 to 16, and a range that holds 0", bits, low, high);
        return NULL;
    }
    first = narrow ? 1 : 0;
    last = (double)((1 << bits) - 1);
    scale = (high - low) / (last - first);
    zero = CLAMP(floor(first - low / scale + .5), first, last); /* 0 is a step itself */
    low = (first - zero) * scale;
    high = (last - zero) * scale;
    x = tf_activation(build, GPUDL_ACT_CLIP, (float)low, (float)high, x, error);
    if (x == NULL || !gpudl_tensor_is_constant(x))
        return x;
    x = step(build, x, 1 / scale, .5 - low / scale, TRUE, error);
    return x != NULL ? step(build, x, scale, low, FALSE, error) : NULL;
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

GpudlTensor *tf_matmul(TfBuild *build, GpudlTensor *a, GpudlTensor *b, gboolean transpose_a, gboolean transpose_b,
                       GError **error)
{
    GpudlTensor *inputs[2] = {a, b};
    const gboolean transposed[2] = {transpose_a, transpose_b};
    GpudlAttrs attrs = {.gemm = {.trans_a = transpose_a, .trans_b = transpose_b, .alpha = 1, .beta = 1}};

    if (a->shape.rank == 2 && b->shape.rank == 2)
        return tf_emit(build, GPUDL_OP_GEMM, &attrs, inputs, 2, error);
    for (guint i = 0; i < 2; i++) {
        const gint rank = inputs[i]->shape.rank;
        gint64 perm[GPUDL_MAX_RANK] = {0, 1, 2, 3, 4, 5};

        if (rank < 2) {
            tf_fail(build, GPUDL_ERROR_FORMAT, error, "an input of rank %d, expected at least 2", rank);
            return NULL;
        }
        perm[rank - 2] = rank - 1;
        perm[rank - 1] = rank - 2;
        if (transposed[i] && (inputs[i] = tf_transpose(build, inputs[i], perm, (gsize)rank, error)) == NULL)
            return NULL;
    }
    return tf_emit(build, GPUDL_OP_MATMUL, NULL, inputs, 2, error);
}

GpudlTensor *tf_dense(TfBuild *build, GpudlTensor *x, GpudlTensor *weights, GpudlTensor *bias, GError **error)
{
    GpudlAttrs attrs = {.gemm = {.trans_b = 1, .alpha = 1, .beta = 1}};
    const gint64 rows[2] = {-1, weights->shape.rank == 2 ? weights->shape.dims[1] : 0};
    GpudlTensor *inputs[3] = {x, weights, bias};

    if (weights->shape.rank != 2) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error, "weights of rank %d, expected 2", weights->shape.rank);
        return NULL;
    }
    if (x->shape.rank != 2 || x->shape.dims[1] != rows[1])
        inputs[0] = tf_reshape(build, x, rows, 2, error);
    return inputs[0] != NULL ? tf_emit(build, GPUDL_OP_GEMM, &attrs, inputs, bias != NULL ? 3 : 2, error) : NULL;
}

/* ---- the picture ------------------------------------------------------------------------------------------------- */

static gboolean is_channels(gint64 n)
{
    return n == 1 || n == 3;
}

/* 0: none is asked for. */
static gboolean check_side(const TfBuild *build, gint wanted, const gchar *what, GError **error)
{
    if (wanted >= 0 && wanted <= GPUDL_LIMIT_INPUT_SIDE)
        return TRUE;
    return tf_fail(build, GPUDL_ERROR_INVALID_ARGUMENT, error, "an input %s of %d, expected 1 to %d", what, wanted,
                   GPUDL_LIMIT_INPUT_SIDE);
}

static gboolean apply_size(TfBuild *build, const gchar *name, gint64 *extent, gint wanted, const gchar *what,
                           gboolean *size_chosen, GError **error)
{
    if (!check_side(build, wanted, what, error))
        return FALSE;
    if (*extent <= 0 && wanted == 0)
        return tf_fail(build, GPUDL_ERROR_FORMAT, error,
                       "the %s of input '%s' is free; " GPUDL_SOURCE_SIZE_ADVICE "224x224", what, name);
    if (*extent > 0 && wanted != 0 && *extent != wanted)
        return tf_fail(build, GPUDL_ERROR_INVALID_ARGUMENT, error,
                       "input '%s' has a fixed %s of %" G_GINT64_FORMAT ", it can't be %d", name, what, *extent,
                       wanted);
    *size_chosen = *size_chosen || *extent <= 0;
    *extent = *extent > 0 ? *extent : wanted;
    return TRUE;
}

/* Sides as near to each other as they can be with this product, the lower one. */
static gint64 lower_side(gint64 product)
{
    gint64 low = (gint64)sqrt((double)product);

    while (low > 1 && product % low != 0)
        low--;
    return low;
}

/* ", and is no picture of 30x30 (height x width)": what is asked of the values. */
static gchar *asked_of_flat(const GpudlSourceOptions *options, gint height, gint width)
{
    const gboolean said = options->input_height == 0 && options->input_width == 0 && options->default_from != NULL;

    if (height <= 0 || width <= 0)
        return g_strdup(" and does not say which picture they are");
    return g_strdup_printf(", and is no picture of %dx%d (height x width)%s%s", height, width,
                           said ? ", the size in " : "", said ? options->default_from : "");
}

/* A number of values a frame that is no picture of this size; none given: 0. */
static void fail_flat(const TfBuild *build, const gchar *name, gint64 values, const GpudlSourceOptions *options,
                      gint height, gint width, GError **error)
{
    const gboolean given = height > 0 && width > 0 && (options->input_height > 0 || options->input_width > 0);
    const gint64 pixels = values % 3 == 0 ? values / 3 : values;
    gint64 low;
    g_autofree gchar *asked = NULL, *colour = NULL;

    if (values <= 0 || values > MOST_VALUES) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error,
                "input '%s' has %" G_GINT64_FORMAT " values a frame, expected 1 to %" G_GINT64_FORMAT
                ": a picture. Freeze the graph with the picture's shape, N x H x W x C",
                name, values, MOST_VALUES);
        return;
    }
    low = lower_side(pixels);
    if (pixels / low > GPUDL_LIMIT_INPUT_SIDE) { /* then so it is of all values */
        tf_fail(build, GPUDL_ERROR_UNSUPPORTED, error,
                "input '%s' has %" G_GINT64_FORMAT " values a frame, expected those of a picture: height x width, or "
                "three times as many, with sides of 1 to %d",
                name, values, GPUDL_LIMIT_INPUT_SIDE);
        return;
    }
    asked = asked_of_flat(options, height, width);
    colour = values % 3 == 0 ? g_strdup_printf(" or, in colour, %" G_GINT64_FORMAT, values / 3) : g_strdup("");
    tf_fail(build, given ? GPUDL_ERROR_INVALID_ARGUMENT : GPUDL_ERROR_FORMAT, error,
            "input '%s' has %" G_GINT64_FORMAT " values a frame%s; " GPUDL_SOURCE_SIZE_ADVICE "%" G_GINT64_FORMAT
            "x%" G_GINT64_FORMAT ", whose product is %" G_GINT64_FORMAT "%s",
            name, values, asked, low, pixels / low, values, colour);
}

/* An extent of the picture that is asked for; 0: none. free: the file leaves it open. */
static gint wanted_extent(const GpudlSourceOptions *options, gint i, gboolean free)
{
    const gint given = i == 0 ? options->input_height : options->input_width;

    return given != 0 || !free ? given : i == 0 ? options->default_height : options->default_width;
}

/* N x values: a picture of the size that is given, row by row, its colours side by side. */
static GpudlTensor *flat_input(TfBuild *build, const gchar *name, GpudlDType dtype, const GpudlShape *flat,
                               const GpudlSourceOptions *options, gboolean *size_chosen, GError **error)
{
    static const GpudlSourceOptions fixed = {.picture = TRUE};
    const gint height = wanted_extent(options, 0, TRUE), width = wanted_extent(options, 1, TRUE);
    const gint64 values = flat->dims[1], area = (gint64)height * width;
    const gint64 rows[2] = {-1, values};
    GpudlShape shape = {.rank = 4, .dims = {flat->dims[0], height, width, area > 0 ? values / area : 0}};
    GpudlTensor *x;

    if (!check_side(build, height, "height", error) || !check_side(build, width, "width", error))
        return NULL;
    if (values <= 0 || area <= 0 || values % area != 0 || !is_channels(shape.dims[3])) {
        fail_flat(build, name, values, options, height, width, error);
        return NULL;
    }
    *size_chosen = TRUE;
    x = tf_input(build, name, dtype, &shape, &fixed, size_chosen, error);
    return x != NULL ? tf_reshape(build, x, rows, 2, error) : NULL;
}

GpudlTensor *tf_input(TfBuild *build, const gchar *name, GpudlDType dtype, const GpudlShape *said,
                      const GpudlSourceOptions *options, gboolean *size_chosen, GError **error)
{
    const gboolean picture = options != NULL && options->picture;
    const gboolean last = said->rank == 4 && !is_channels(said->dims[1]) && is_channels(said->dims[3]);
    GpudlShape shape = *said;
    GpudlTensor *input;

    if (shape.rank > 0 && shape.dims[0] <= 0)
        shape.dims[0] = 1;
    if (picture && shape.rank == 2)
        return flat_input(build, name, dtype, &shape, options, size_chosen, error);
    if (picture && shape.rank != 4) {
        tf_fail(build, GPUDL_ERROR_UNSUPPORTED, error,
                "input '%s' has %d dimension%s, expected N x H x W x C: pictures", name, shape.rank,
                shape.rank == 1 ? "" : "s");
        return NULL;
    }
    if (picture && !last && !is_channels(shape.dims[1])) {
        tf_fail(build, GPUDL_ERROR_UNSUPPORTED, error,
                "input '%s' has %" G_GINT64_FORMAT " channels, expected 1 or 3: pictures", name, (gint64)shape.dims[3]);
        return NULL;
    }
    for (gint i = 0; i < 2 && picture; i++)
        if (!apply_size(build, name, &shape.dims[(last ? 1 : 2) + i],
                        wanted_extent(options, i, shape.dims[(last ? 1 : 2) + i] <= 0), i == 0 ? "height" : "width",
                        size_chosen, error))
            return NULL;
    for (gint i = 0; i < shape.rank; i++)
        if (shape.dims[i] <= 0 || shape.dims[i] > GPUDL_LIMIT_TENSOR_BYTES) {
            tf_fail(build, GPUDL_ERROR_FORMAT, error, "dimension %d of input '%s' is %" G_GINT64_FORMAT, i, name,
                    (gint64)shape.dims[i]);
            return NULL;
        }
    if (!picture || !last)
        return gpudl_graph_add_input(build->graph, name, dtype, &shape);
    shape = (GpudlShape){.rank = 4, .dims = {shape.dims[0], shape.dims[3], shape.dims[1], shape.dims[2]}};
    input = gpudl_graph_add_input(build->graph, name, dtype, &shape);
    return tf_transpose(build, input, to_channels_last, 4, error);
}

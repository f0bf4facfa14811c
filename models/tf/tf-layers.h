/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * TensorFlow's layers, as GraphDef and TensorFlow Lite have them alike. All return NULL or FALSE with an error that
 * names the operator under way.
 */
#ifndef GPUDL_MODELS_TF_LAYERS_H
#define GPUDL_MODELS_TF_LAYERS_H

#include "models/source.h"
#include "models/tf/tf-build.h"

G_BEGIN_DECLS

typedef enum { TF_PADDING_SAME, TF_PADDING_VALID, TF_PADDING_EXPLICIT } TfPadding;

/** A window over height and width. */
typedef struct {
    gint64 kernel[2], stride[2], dilation[2];
    TfPadding padding;
    gint64 begin[2], end[2]; /* EXPLICIT */
    gboolean channels_first; /* else N x H x W x C */
    gboolean exact; /* tf_conv_transpose(): FORMAT unless the convolution gives what its input is, to the element */
} TfWindow;

/** weights: output channels, input channels / groups, height, width; bias may be NULL. */
GpudlTensor *tf_conv(TfBuild *build, GpudlTensor *x, GpudlTensor *weights, GpudlTensor *bias, const TfWindow *window,
                     gint64 groups, GError **error);
/** Makes pictures of height x width, what a convolution by window would have made its input of. weights: input
 * channels, output channels / groups, height, width; bias may be NULL. */
GpudlTensor *tf_conv_transpose(TfBuild *build, GpudlTensor *x, GpudlTensor *weights, GpudlTensor *bias,
                               const TfWindow *window, const gint64 size[2], gint64 groups, GError **error);
/** MAX_POOL or AVERAGE_POOL; padding is not counted into an average. */
GpudlTensor *tf_pool(TfBuild *build, GpudlOp op, GpudlTensor *x, const TfWindow *window, GError **error);
/** scale, offset, mean, variance of the channels, which are last or dimension 1. */
GpudlTensor *tf_batch_norm(TfBuild *build, GpudlTensor *const parameters[5], float epsilon, gboolean channels_first,
                           GError **error);

typedef struct {
    gboolean linear; /* else nearest */
    gboolean align_corners, half_pixel_centers;
} TfResize;

/** Pictures N x H x W x C to other sizes; size: height and width, a constant. Integers become float where linear. */
GpudlTensor *tf_resize(TfBuild *build, GpudlTensor *x, GpudlTensor *size, const TfResize *how, GError **error);
/** x / (bias + alpha * sum of the squares of radius channels on each side)^beta; N x H x W x C. */
GpudlTensor *tf_lrn(TfBuild *build, GpudlTensor *x, gint64 radius, float bias, float alpha, float beta, GError **error);
/** x limited to what steps from low to high can say; constants are rounded to these. */
GpudlTensor *tf_fake_quant(TfBuild *build, GpudlTensor *x, double low, double high, gint64 bits, gboolean narrow,
                           GError **error);

/** dims: -1 once takes the rest. */
GpudlTensor *tf_reshape(TfBuild *build, GpudlTensor *x, const gint64 *dims, gsize n, GError **error);
GpudlTensor *tf_transpose(TfBuild *build, GpudlTensor *x, const gint64 *perm, gsize n, GError **error);
GpudlTensor *tf_expand_dims(TfBuild *build, GpudlTensor *x, gint64 axis, GError **error);
/** n 0: all dimensions of extent 1. */
GpudlTensor *tf_squeeze(TfBuild *build, GpudlTensor *x, const gint64 *axes, gsize n, GError **error);
GpudlTensor *tf_concat(TfBuild *build, GpudlTensor *const *xs, guint n, gint64 axis, GError **error);
/** sizes NULL: n equal pieces; else one of them may be -1. */
gboolean tf_split(TfBuild *build, GpudlTensor *x, gint64 axis, const gint64 *sizes, guint n, GpudlTensor **outputs,
                  GError **error);
GpudlTensor *tf_pack(TfBuild *build, GpudlTensor *const *xs, guint n, gint64 axis, GError **error);
gboolean tf_unpack(TfBuild *build, GpudlTensor *x, gint64 axis, guint n, GpudlTensor **outputs, GError **error);

typedef struct {
    gint64 begin, end, ellipsis, new_axis, shrink_axis; /* bits as TensorFlow numbers them */
} TfMasks;

GpudlTensor *tf_strided_slice(TfBuild *build, GpudlTensor *x, const gint64 *begin, const gint64 *end,
                              const gint64 *strides, gsize n, const TfMasks *masks, GError **error);
GpudlTensor *tf_slice(TfBuild *build, GpudlTensor *x, const gint64 *begin, const gint64 *size, gsize n, GError **error);

/** Blocks of height and width into channels, and back. */
GpudlTensor *tf_space_to_depth(TfBuild *build, GpudlTensor *x, gint64 block, gboolean channels_first, GError **error);
GpudlTensor *tf_depth_to_space(TfBuild *build, GpudlTensor *x, gint64 block, gboolean channels_first, GError **error);
/** Blocks of the dimensions from 1 on into frames, and back; shape and two numbers for each block: constants. */
GpudlTensor *tf_space_to_batch(TfBuild *build, GpudlTensor *x, GpudlTensor *shape, GpudlTensor *paddings,
                               GError **error);
GpudlTensor *tf_batch_to_space(TfBuild *build, GpudlTensor *x, GpudlTensor *shape, GpudlTensor *crops, GError **error);
/** As often as repeats say along each dimension. */
GpudlTensor *tf_tile(TfBuild *build, GpudlTensor *x, const gint64 *repeats, gsize n, GError **error);
GpudlTensor *tf_reverse(TfBuild *build, GpudlTensor *x, const gint64 *axes, gsize n, GError **error);

typedef enum { TF_PAD_CONSTANT, TF_PAD_REFLECT, TF_PAD_SYMMETRIC } TfPadMode;

/** pads: a constant of two numbers for each dimension. */
GpudlTensor *tf_pad(TfBuild *build, GpudlTensor *x, GpudlTensor *pads, TfPadMode mode, double value, GError **error);
GpudlTensor *tf_reduce(TfBuild *build, GpudlOp op, GpudlTensor *x, const gint64 *axes, gsize n, gboolean keep_dims,
                       GError **error);
GpudlTensor *tf_gather(TfBuild *build, GpudlTensor *x, GpudlTensor *indices, gint64 axis, GError **error);
GpudlTensor *tf_broadcast(TfBuild *build, GpudlTensor *x, const gint64 *dims, gsize n, GError **error);
/** SOFTMAX or LOG_SOFTMAX along the last axis of x * beta. */
GpudlTensor *tf_softmax(TfBuild *build, GpudlOp op, GpudlTensor *x, double beta, GError **error);
GpudlTensor *tf_matmul(TfBuild *build, GpudlTensor *a, GpudlTensor *b, gboolean transpose_a, gboolean transpose_b,
                       GError **error);
/** x of any rank as rows of what weights' dimension has; bias may be NULL. */
GpudlTensor *tf_dense(TfBuild *build, GpudlTensor *x, GpudlTensor *weights, GpudlTensor *bias, GError **error);
/** The shape as a vector of int32 (or int64). */
GpudlTensor *tf_shape(TfBuild *build, const GpudlTensor *x, GpudlDType dtype, GError **error);
/** 1 / sqrt(x) */
GpudlTensor *tf_rsqrt(TfBuild *build, GpudlTensor *x, GError **error);

/** The network's input: in the graph N x channels x height x width, as the file has it what is returned. options NULL
 * or without picture: both as the file has it. A shape of rank 2 becomes a picture of the height and width that are
 * given. */
GpudlTensor *tf_input(TfBuild *build, const gchar *name, GpudlDType dtype, const GpudlShape *shape,
                      const GpudlSourceOptions *options, gboolean *size_chosen, GError **error);

G_END_DECLS
#endif

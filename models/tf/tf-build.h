/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What the importers of TensorFlow's formats and PyTorch's write a graph with. Each piece added is inferred at once,
 * and computed at once if it depends on constants alone, so that shapes, axes and weights are constants when they are
 * asked for.
 *
 * Pictures are channels last where TensorFlow has them so; what needs them otherwise has transposes round it, which the
 * passes take out again.
 */
#ifndef GPUDL_MODELS_TF_BUILD_H
#define GPUDL_MODELS_TF_BUILD_H

#include <gio/gio.h>

#include "engine/gpudl.h"
#include "engine/graph/graph.h"

G_BEGIN_DECLS

/** One import under way. */
typedef struct {
    GpudlGraph *graph;
    const gchar *node, *op; /* what is being imported, for messages and names; not owned */
    guint n_made;           /* graph nodes of this one so far */
    guint64 fold_left;      /* bytes that may still be computed at load time */
} TfBuild;

/** Begins a graph for a file of this many bytes; cleared by the caller, who takes the graph before. */
void tf_build_begin(TfBuild *build, gsize file_bytes);

/** Says which operator of the file follows. */
void tf_build_at(TfBuild *build, const gchar *node, const gchar *op);

/** Sets "node 'name' (OP): ..." and returns FALSE. */
gboolean tf_fail(const TfBuild *build, GpudlError code, GError **error, const gchar *format, ...) G_GNUC_PRINTF(4, 5);

/** Adds a node with one output. attrs NULL: the operator's defaults. NULL with error if the graph does not take it. */
GpudlTensor *tf_emit(TfBuild *build, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *const *inputs, guint n_inputs,
                     GError **error);
/** The same with n_outputs of them. */
gboolean tf_emit_many(TfBuild *build, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *const *inputs, guint n_inputs,
                      GpudlTensor **outputs, guint n_outputs, GError **error);

GpudlTensor *tf_unary(TfBuild *build, GpudlOp op, GpudlTensor *x, GError **error);
GpudlTensor *tf_binary(TfBuild *build, GpudlOp op, GpudlTensor *a, GpudlTensor *b, GError **error);
GpudlTensor *tf_activation(TfBuild *build, GpudlActKind kind, float alpha, float beta, GpudlTensor *x, GError **error);
GpudlTensor *tf_cast(TfBuild *build, GpudlTensor *x, GpudlDType to, GError **error);

/** A constant; takes the data. */
GpudlTensor *tf_constant(TfBuild *build, GpudlDType dtype, const GpudlShape *shape, GBytes *data, GError **error);
/** A scalar of this type, rounded to it. */
GpudlTensor *tf_scalar(TfBuild *build, GpudlDType dtype, double value, GError **error);
/** A vector of int32. */
GpudlTensor *tf_vector(TfBuild *build, const gint64 *values, gsize n, GError **error);

/** Integers of a constant of rank 0 or 1. what names the input in messages. Caller frees *values; *n at most
 * GPUDL_MAX_OUTPUTS. UNSUPPORTED if it depends on the network's input. */
gboolean tf_ints(TfBuild *build, GpudlTensor *x, const gchar *what, gint64 **values, gsize *n, GError **error);
/** One such integer. */
gboolean tf_int(TfBuild *build, GpudlTensor *x, const gchar *what, gint64 *value, GError **error);
/** One number of a constant. */
gboolean tf_number(TfBuild *build, GpudlTensor *x, const gchar *what, double *value, GError **error);

/** Axis -rank..rank-1 to 0..rank-1. */
gboolean tf_axis(TfBuild *build, gint64 value, gint rank, gint32 *axis, GError **error);

/** Names a tensor, and the node that makes it, as the file does. Inputs and constants keep theirs. */
void tf_name(GpudlTensor *tensor, const gchar *name);

G_END_DECLS
#endif

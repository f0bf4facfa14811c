/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What the passes share. A pass visits the nodes in order and looks backwards from each: the last node of a pattern
 * becomes the new operation (gpudl_rewrite_become()), in its place and with its output tensor, so that order, readers
 * and graph outputs stay as they are; what lies before it dies by having no readers.
 */
#ifndef GPUDL_ENGINE_REWRITE_H
#define GPUDL_ENGINE_REWRITE_H

#include "engine/gpudl.h"
#include "engine/graph/graph.h"
#include "passes.h"

G_BEGIN_DECLS

typedef struct {
    GpudlGraph *graph;
    GArray *uses;      /* guint by tensor id: as node input and as graph output */
    guint n_nodes;     /* nodes when the pass began; added ones come behind and are not visited */
    guint changed;     /* rewritten so far */
    gboolean unsorted; /* nodes were added */
} GpudlRewrite;

/** Counts the uses. End with gpudl_rewrite_finish(), always. */
void gpudl_rewrite_begin(GpudlRewrite *rw, GpudlGraph *graph);

/** Removes the dead, sorts and infers if anything changed; adds to *n_changed. */
gboolean gpudl_rewrite_finish(GpudlRewrite *rw, guint *n_changed, GError **error);

guint gpudl_rewrite_uses(const GpudlRewrite *rw, const GpudlTensor *tensor);

/** The tensor's producer if it is of this operator and the tensor has no other use than the caller's; else NULL. NULL
 * for NULL. */
GpudlNode *gpudl_rewrite_sole(const GpudlRewrite *rw, const GpudlTensor *tensor, GpudlOp op);

/** Turns a node into another operation with the same outputs. attrs NULL: the operator's defaults. name: copied; NULL
 * keeps the old one. inputs may be the node's own array. Counts as one change. */
void gpudl_rewrite_become(GpudlRewrite *rw, GpudlNode *node, GpudlOp op, const gchar *name, const GpudlAttrs *attrs,
                          GpudlTensor *const *inputs, guint n_inputs);

/** Adds a node with one output, whose type and shape the caller sets if it reads them before the pass ends. */
GpudlNode *gpudl_rewrite_add(GpudlRewrite *rw, GpudlOp op, const gchar *name, GpudlTensor *const *inputs,
                             guint n_inputs);

/* ---- constants --------------------------------------------------------------------------------------------------- */

/** Values of a float32 constant as doubles (data need not be aligned), or NULL if it is none. Free with g_free(). */
double *gpudl_constant_doubles(const GpudlTensor *tensor);

/**
 * Adds a constant of the same type and number of elements in place of another, which nobody reads afterwards if sole is
 * TRUE: then it lies where that did if that memory is its own, and the old one has no values any more. *to: where its
 * values have to be written; in place the old ones are still there, and *from, where they are to be read, is the same.
 */
GpudlTensor *gpudl_constant_replace(GpudlGraph *graph, GpudlTensor *old, gboolean sole, const GpudlShape *shape,
                                    const guint8 **from, guint8 **to);

/** Adds the float32 constant times one factor for each index of its first dimension, in double; NULL if it is none, or
 * a product is not finite as float. sole as for gpudl_constant_replace(). */
GpudlTensor *gpudl_constant_scaled(GpudlGraph *graph, GpudlTensor *tensor, gboolean sole, const double *factors);

/** Adds the float32 constant, a matrix, transposed, with a shape of as many elements. sole likewise. */
GpudlTensor *gpudl_constant_transposed(GpudlGraph *graph, GpudlTensor *tensor, gboolean sole, const GpudlShape *shape);

/** Whether all are finite as float. */
gboolean gpudl_doubles_fit(const double *values, gint64 n);

/** TRUE and the value if the tensor is a float32 constant of one element. */
gboolean gpudl_constant_scalar(const GpudlTensor *tensor, double *value);

/** The constant as one value per channel (dimension 1) of x when it broadcasts onto x along no other axis and does not
 * change x's shape; NULL otherwise. x has rank 2 or more. Free with g_free(). */
double *gpudl_constant_channels(const GpudlTensor *tensor, const GpudlShape *x);

/** Adds a float32 constant of these doubles, or NULL if one is not finite as float. */
GpudlTensor *gpudl_constant_from_doubles(GpudlGraph *graph, const gchar *name, const double *values,
                                         const GpudlShape *shape);

/** One of the two inputs of a binary node is a one-element float32 constant and the output has the other's shape: TRUE,
 * that other tensor, the value, and which input (0 or 1) the tensor is. */
gboolean gpudl_match_scalar(const GpudlNode *node, GpudlTensor **x, double *value, guint *x_index);

/* ---- activations ------------------------------------------------------------------------------------------------- */

/** The activation a node carries or is; NULL if its operator has none. */
GpudlAct *gpudl_node_act(GpudlNode *node);

/** outer(inner(x)) as one activation: FALSE if there is none. Knows RELU and CLIP. */
gboolean gpudl_act_compose(const GpudlAct *inner, const GpudlAct *outer, GpudlAct *both);

/* ---- scales and shifts ------------------------------------------------------------------------------------------- */

/** y = act(x * scale + shift), one scale and shift per channel (dimension 1). */
typedef struct {
    GpudlTensor *x;
    gint64 channels;
    double *scale, *shift;
    GpudlAct act;
} GpudlAffine;

void gpudl_affine_clear(GpudlAffine *a);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GpudlAffine, gpudl_affine_clear)

/** Reads a BATCH_NORM, or an ADD, SUB, MUL, DIV with a constant of one value per channel, on float32 of rank 2 or more
 * into a zeroed struct. FALSE if the node is none or a number is not finite; clear it in any case. */
gboolean gpudl_affine_read(const GpudlNode *node, GpudlAffine *a);

/** Turns a node into a BATCH_NORM of mean 0, variance 1; FALSE, and nothing done, if a value does not fit a float. */
gboolean gpudl_affine_become(GpudlRewrite *rw, GpudlNode *node, const gchar *name, GpudlTensor *x, const double *scale,
                             const double *shift, gint64 channels);

/* ---- the passes; GpudlPass each ---------------------------------------------------------------------------------- */

gboolean gpudl_pass_clean(GpudlGraph *graph, guint *n_changed, GError **error);
gboolean gpudl_pass_widen(GpudlGraph *graph, guint *n_changed, GError **error);
gboolean gpudl_pass_fold(GpudlGraph *graph, guint *n_changed, GError **error);
gboolean gpudl_pass_move(GpudlGraph *graph, guint *n_changed, GError **error);
gboolean gpudl_pass_layout(GpudlGraph *graph, guint *n_changed, GError **error);
gboolean gpudl_pass_norms(GpudlGraph *graph, guint *n_changed, GError **error);
gboolean gpudl_pass_compositions(GpudlGraph *graph, guint *n_changed, GError **error);
gboolean gpudl_pass_activations(GpudlGraph *graph, guint *n_changed, GError **error);
gboolean gpudl_pass_gemm(GpudlGraph *graph, guint *n_changed, GError **error);
gboolean gpudl_pass_pool(GpudlGraph *graph, guint *n_changed, GError **error);
gboolean gpudl_pass_affine(GpudlGraph *graph, guint *n_changed, GError **error);
gboolean gpudl_pass_channels(GpudlGraph *graph, guint *n_changed, GError **error);
gboolean gpudl_pass_pad(GpudlGraph *graph, guint *n_changed, GError **error);
gboolean gpudl_pass_residual(GpudlGraph *graph, guint *n_changed, GError **error);
gboolean gpudl_pass_fuse_act(GpudlGraph *graph, guint *n_changed, GError **error);

G_END_DECLS
#endif

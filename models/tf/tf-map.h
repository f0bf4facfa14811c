/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What the importers' tables consist of, and the mappings that both formats have alike. A mapping reads the inputs of
 * an operator and what the file says of it, and adds graph nodes with the functions of tf-layers.h.
 */
#ifndef GPUDL_MODELS_TF_MAP_H
#define GPUDL_MODELS_TF_MAP_H

#include "models/tf/tf-layers.h"

G_BEGIN_DECLS

typedef struct _TfNode TfNode;
/** Fills the node's outputs; FALSE with an error that names the operator under way. */
typedef gboolean (*TfMapFunc)(TfNode *node, GError **error);

/** One row of a table. */
typedef struct {
    const gchar *name; /* as the file has it */
    guint min_inputs, max_inputs;
    TfMapFunc map;
    GpudlOp op; /* for mappings that serve several operators */
    GpudlActKind act;
    float alpha, beta;
    gboolean needs_options; /* TensorFlow Lite: FORMAT where the operator has none */
    gboolean passes_choice; /* of input 0, where that is a choice among scores: for those the scores stand again */
} TfOp;

#define TF_MANY G_MAXUINT

/** The row of that name, of a format's own table or of those that both have, by TensorFlow Lite's name or GraphDef's;
 * or NULL. */
const TfOp *tf_op_find(const TfOp *table, gsize n, const gchar *name, gboolean lite);

/** One operator being mapped; the importers' own begin with it. */
struct _TfNode {
    TfBuild *build;
    const TfOp *row;
    GpudlTensor **inputs; /* NULL where absent */
    guint n_inputs;
    GpudlTensor *outputs[GPUDL_MAX_OUTPUTS];
    gboolean
        cut; /* outputs[0] are the scores that the operator would have chosen from; before it is mapped: inputs[0] */
};

/** Maps the node by its row, or hands on a choice that it does nothing else with. */
gboolean tf_map(TfNode *node, GError **error);

/** The first output; FALSE if it is NULL. */
gboolean tf_done(TfNode *node, GpudlTensor *y);

/* ---- for tables: all that they need is in row and inputs ---- */

gboolean tf_map_identity(TfNode *node, GError **error);
gboolean tf_map_unary(TfNode *node, GError **error);
gboolean tf_map_binary(TfNode *node, GError **error);
gboolean tf_map_act(TfNode *node, GError **error);
gboolean tf_map_elu(TfNode *node, GError **error);
gboolean tf_map_square(TfNode *node, GError **error);
gboolean tf_map_squared_difference(TfNode *node, GError **error);
gboolean tf_map_rsqrt(TfNode *node, GError **error);
gboolean tf_map_add_n(TfNode *node, GError **error);
gboolean tf_map_not_equal(TfNode *node, GError **error);
gboolean tf_map_floor_div(TfNode *node, GError **error);
gboolean tf_map_select(TfNode *node, GError **error);
/** Before version 2: a condition of rank 1 is along dimension 0. */
gboolean tf_map_select_rows(TfNode *node, GError **error);
gboolean tf_map_arg_max(TfNode *node, GError **error);
gboolean tf_map_top_k(TfNode *node, GError **error);
gboolean tf_map_reshape(TfNode *node, GError **error);
gboolean tf_map_expand_dims(TfNode *node, GError **error);
gboolean tf_map_transpose(TfNode *node, GError **error);
gboolean tf_map_slice(TfNode *node, GError **error);
gboolean tf_map_pad(TfNode *node, GError **error);
gboolean tf_map_tile(TfNode *node, GError **error);
gboolean tf_map_reverse(TfNode *node, GError **error);
gboolean tf_map_space_to_batch(TfNode *node, GError **error);
gboolean tf_map_batch_to_space(TfNode *node, GError **error);
/** Of constants. */
gboolean tf_map_range(TfNode *node, GError **error);
gboolean tf_map_rank(TfNode *node, GError **error);
gboolean tf_map_broadcast_args(TfNode *node, GError **error);
/** As many zeros, or row->alpha, as x has elements. */
gboolean tf_map_zeros_like(TfNode *node, GError **error);

/* ---- with what the file says beside the inputs ---- */

/** Axis first, then x: n equal pieces. */
gboolean tf_map_split(TfNode *node, guint n, GError **error);
/** x, sizes, axis: n pieces. */
gboolean tf_map_split_v(TfNode *node, guint n, GError **error);
/** Inputs x and dims, in either order: BROADCAST_TO has x first, FILL last. */
gboolean tf_map_broadcast(TfNode *node, guint x, GError **error);
gboolean tf_map_reduce(TfNode *node, gboolean keep_dims, GError **error);
gboolean tf_map_mirror_pad(TfNode *node, gboolean symmetric, GError **error);
gboolean tf_map_shape(TfNode *node, GpudlDType dtype, GError **error);
/** Inputs x, begin, end, strides; offset: end is counted from begin. */
gboolean tf_map_strided_slice(TfNode *node, const TfMasks *masks, gboolean offset, GError **error);

G_END_DECLS
#endif

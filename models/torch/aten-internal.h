/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Inside of the operators: one row of the table is one of them. */
#ifndef GPUDL_MODELS_TORCH_ATEN_INTERNAL_H
#define GPUDL_MODELS_TORCH_ATEN_INTERNAL_H

#include "models/tf/tf-layers.h"
#include "models/torch/aten.h"

G_BEGIN_DECLS

#define ATEN_MOST_ARGS 16

typedef struct _AtenNode AtenNode;
typedef gboolean (*AtenMapFunc)(AtenNode *node, GError **error);

typedef struct {
    const gchar *name; /* with the overload where others of it mean something else */
    const gchar *args; /* names in order, separated by spaces; "-" before one whose value does not matter */
    AtenMapFunc map;
    GpudlOp op; /* for mappings that serve several operators */
    GpudlActKind act;
    float alpha, beta;
    gboolean view; /* the result may be the first argument's memory */
} AtenOp;

/** The row of an operator without namespace, or NULL. */
const AtenOp *aten_op_find(const gchar *name);

/** One operator being mapped. */
struct _AtenNode {
    AtenContext *context;
    TfBuild *build;
    const AtenOp *row;
    gchar **names; /* of the row's arguments */
    AtenValue *args[ATEN_MOST_ARGS];
    guint n_names;
    guint32 used; /* bits: arguments that the mapping has looked at */
    AtenValue result;
};

/* ---- arguments: by name; absent ones and None are the fallback ----------------------------------------------------
 */

/** NULL if it is absent or None. */
const AtenValue *aten_arg(AtenNode *node, const gchar *name);
/** *x NULL: it is absent. */
gboolean aten_optional(AtenNode *node, const gchar *name, GpudlTensor **x, GError **error);
GpudlTensor *aten_tensor(AtenNode *node, const gchar *name, GError **error);
gboolean aten_int(AtenNode *node, const gchar *name, gint64 fallback, gint64 *value, GError **error);
gboolean aten_number(AtenNode *node, const gchar *name, double fallback, double *value, GError **error);
gboolean aten_flag(AtenNode *node, const gchar *name, gboolean fallback, gboolean *value, GError **error);
/** *text fallback if it is absent. */
gboolean aten_text(AtenNode *node, const gchar *name, const gchar *fallback, const gchar **text, GError **error);
/** At most `most` integers, of a list or one; *n 0: absent or empty. */
gboolean aten_ints(AtenNode *node, const gchar *name, gint64 *values, guint most, guint *n, GError **error);
/** Exactly n of them, of n, of one for all, or, absent, the fallback. */
gboolean aten_each(AtenNode *node, const gchar *name, gint64 fallback, gint64 *values, guint n, GError **error);
/** The tensors of a list, which the caller frees. */
GpudlTensor **aten_tensors(AtenNode *node, const gchar *name, guint *n, GError **error);
/** A type that we have; *dtype NONE: absent. */
gboolean aten_dtype(AtenNode *node, const gchar *name, GpudlDType *dtype, GError **error);
/** Counts memory for a constant that is not in the file. LIMIT: it is too much. */
gboolean aten_spend(AtenNode *node, guint64 bytes, GError **error);
/** Fails if an argument is there with something else than None. */
gboolean aten_absent(AtenNode *node, const gchar *name, GError **error);

/** Tensor or number as a tensor: of a number, a scalar of the type that PyTorch computes in together with `with`. */
GpudlTensor *aten_operand(AtenNode *node, const gchar *name, const GpudlTensor *with, GError **error);
/** Casts both to the type that PyTorch computes in. */
gboolean aten_in_common(AtenNode *node, GpudlTensor **a, GpudlTensor **b, GError **error);
/** Two arguments of which one at least is a tensor, in the type that PyTorch computes in. */
gboolean aten_operands(AtenNode *node, const gchar *a, const gchar *b, GpudlTensor *two[2], GError **error);

/** Axis -rank..rank-1 to 0..rank-1; of a scalar, 0 and -1 are taken. */
gboolean aten_axis(AtenNode *node, gint64 value, gint rank, gint *axis, GError **error);

gboolean aten_is_float(GpudlDType dtype);

/* ---- results ----------------------------------------------------------------------------------------------------- */

/** The result; FALSE if y is NULL. */
gboolean aten_done(AtenNode *node, GpudlTensor *y);
/** A list of tensors; one that is NULL can't be read. */
gboolean aten_done_list(AtenNode *node, GpudlTensor *const *ys, guint n);

/** A reshape; an extent of 0 is the input's at this place, -1 (once) takes the rest. */
GpudlTensor *aten_reshape(AtenNode *node, GpudlTensor *x, const gint64 *dims, guint rank, GError **error);
/** As a file says it, with the batch that it was made with. What can be said so that it holds for any batch is: extents
 * in front that stay, and the one behind them takes the rest. */
GpudlTensor *aten_view(AtenNode *node, GpudlTensor *x, const gint64 *dims, guint rank, GError **error);

/* ---- mappings ---------------------------------------------------------------------------------------------------- */

/* aten-map-window.c */
gboolean aten_map_conv(AtenNode *node, GError **error);
gboolean aten_map_max_pool(AtenNode *node, GError **error);
gboolean aten_map_avg_pool(AtenNode *node, GError **error);
gboolean aten_map_adaptive_avg(AtenNode *node, GError **error);
gboolean aten_map_adaptive_max(AtenNode *node, GError **error);
/* aten-map-norm.c */
gboolean aten_map_batch_norm(AtenNode *node, GError **error);
gboolean aten_map_layer_norm(AtenNode *node, GError **error);
gboolean aten_map_rms_norm(AtenNode *node, GError **error);
gboolean aten_map_group_norm(AtenNode *node, GError **error);
gboolean aten_map_instance_norm(AtenNode *node, GError **error);
gboolean aten_map_linear(AtenNode *node, GError **error);
gboolean aten_map_addmm(AtenNode *node, GError **error);
gboolean aten_map_matmul(AtenNode *node, GError **error);
gboolean aten_map_multi_head(AtenNode *node, GError **error);
gboolean aten_map_einsum(AtenNode *node, GError **error);
gboolean aten_map_attention(AtenNode *node, GError **error);
/* aten-map-math.c */
gboolean aten_map_unary(AtenNode *node, GError **error);
gboolean aten_map_act(AtenNode *node, GError **error);
gboolean aten_map_binary(AtenNode *node, GError **error);
gboolean aten_map_add_product(AtenNode *node, GError **error);
gboolean aten_map_rsub(AtenNode *node, GError **error);
gboolean aten_map_div(AtenNode *node, GError **error);
gboolean aten_map_compare(AtenNode *node, GError **error);
gboolean aten_map_remainder(AtenNode *node, GError **error);
gboolean aten_map_not_equal(AtenNode *node, GError **error);
gboolean aten_map_where(AtenNode *node, GError **error);
gboolean aten_map_masked_fill(AtenNode *node, GError **error);
gboolean aten_map_clamp(AtenNode *node, GError **error);
gboolean aten_map_leaky(AtenNode *node, GError **error);
gboolean aten_map_elu(AtenNode *node, GError **error);
gboolean aten_map_selu(AtenNode *node, GError **error);
gboolean aten_map_celu(AtenNode *node, GError **error);
gboolean aten_map_gelu(AtenNode *node, GError **error);
gboolean aten_map_prelu(AtenNode *node, GError **error);
gboolean aten_map_softplus(AtenNode *node, GError **error);
gboolean aten_map_rsqrt(AtenNode *node, GError **error);
gboolean aten_map_square(AtenNode *node, GError **error);
gboolean aten_map_softmax(AtenNode *node, GError **error);
gboolean aten_map_reduce(AtenNode *node, GError **error);
gboolean aten_map_any(AtenNode *node, GError **error);
gboolean aten_map_max_dim(AtenNode *node, GError **error);
gboolean aten_map_best(AtenNode *node, GError **error);
gboolean aten_map_var(AtenNode *node, GError **error);
gboolean aten_map_norm(AtenNode *node, GError **error);
/* aten-map-number.c */
gboolean aten_map_nothing(AtenNode *node, GError **error);
gboolean aten_map_size(AtenNode *node, GError **error);
gboolean aten_map_number(AtenNode *node, GError **error);
/** div of numbers; mode: its rounding_mode, or NULL. */
gboolean aten_map_quotient(AtenNode *node, const gchar *mode, GError **error);
gboolean aten_map_getitem(AtenNode *node, GError **error);
gboolean aten_map_arange(AtenNode *node, GError **error);
gboolean aten_map_fill(AtenNode *node, GError **error);
gboolean aten_map_full(AtenNode *node, GError **error);
/* aten-map-shape.c */
gboolean aten_map_same(AtenNode *node, GError **error);
gboolean aten_map_dropout(AtenNode *node, GError **error);
gboolean aten_map_to(AtenNode *node, GError **error);
gboolean aten_map_view(AtenNode *node, GError **error);
gboolean aten_map_flatten(AtenNode *node, GError **error);
gboolean aten_map_unflatten(AtenNode *node, GError **error);
gboolean aten_map_permute(AtenNode *node, GError **error);
gboolean aten_map_transpose(AtenNode *node, GError **error);
gboolean aten_map_t(AtenNode *node, GError **error);
gboolean aten_map_squeeze(AtenNode *node, GError **error);
gboolean aten_map_unsqueeze(AtenNode *node, GError **error);
gboolean aten_map_expand(AtenNode *node, GError **error);
gboolean aten_map_copy(AtenNode *node, GError **error);
gboolean aten_map_pixel_shuffle(AtenNode *node, GError **error);
gboolean aten_map_channel_shuffle(AtenNode *node, GError **error);
/* aten-map-repeat.c */
gboolean aten_map_unfold(AtenNode *node, GError **error);
gboolean aten_map_im2col(AtenNode *node, GError **error);
gboolean aten_map_col2im(AtenNode *node, GError **error);
gboolean aten_map_repeat_interleave(AtenNode *node, GError **error);
gboolean aten_map_repeat(AtenNode *node, GError **error);
gboolean aten_map_meshgrid(AtenNode *node, GError **error);
gboolean aten_map_flip(AtenNode *node, GError **error);
gboolean aten_map_trigonometric(AtenNode *node, GError **error);
gboolean aten_map_cumsum(AtenNode *node, GError **error);
gboolean aten_map_eye(AtenNode *node, GError **error);
/* aten-map-piece.c */
gboolean aten_map_cat(AtenNode *node, GError **error);
gboolean aten_map_stack(AtenNode *node, GError **error);
gboolean aten_map_split(AtenNode *node, GError **error);
gboolean aten_map_chunk(AtenNode *node, GError **error);
gboolean aten_map_unbind(AtenNode *node, GError **error);
gboolean aten_map_select(AtenNode *node, GError **error);
gboolean aten_map_slice(AtenNode *node, GError **error);
gboolean aten_map_slice_scatter(AtenNode *node, GError **error);
gboolean aten_map_narrow(AtenNode *node, GError **error);
gboolean aten_map_index(AtenNode *node, GError **error);
gboolean aten_map_index_select(AtenNode *node, GError **error);
gboolean aten_map_roll(AtenNode *node, GError **error);
gboolean aten_map_pad(AtenNode *node, GError **error);
gboolean aten_map_upsample(AtenNode *node, GError **error);

G_END_DECLS
#endif

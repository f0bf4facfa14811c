/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What the shape rules share. Rules read inputs' dtype and shape and write the outputs'; arity and the ranges of single
 * attributes have been checked by gpudl_op_check() before. Every error names node and operator.
 */
#ifndef GPUDL_ENGINE_SHAPE_H
#define GPUDL_ENGINE_SHAPE_H

#include "engine/gpudl.h"
#include "graph.h"

G_BEGIN_DECLS

/** Sets an error "node 'name' (Op): ..." and returns FALSE. */
gboolean gpudl_node_fail(const GpudlNode *node, GpudlError code, GError **error, const gchar *format, ...)
    G_GNUC_PRINTF(4, 5);

/** Sets of element types, one bit each. */
#define GPUDL_TYPES(dtype) (1u << (dtype))
#define GPUDL_TYPES_FLOAT                                                                                              \
    (GPUDL_TYPES(GPUDL_DTYPE_F32) | GPUDL_TYPES(GPUDL_DTYPE_F16) | GPUDL_TYPES(GPUDL_DTYPE_BF16) |                     \
     GPUDL_TYPES(GPUDL_DTYPE_F64))
#define GPUDL_TYPES_SIGNED                                                                                             \
    (GPUDL_TYPES(GPUDL_DTYPE_I8) | GPUDL_TYPES(GPUDL_DTYPE_I16) | GPUDL_TYPES(GPUDL_DTYPE_I32) |                       \
     GPUDL_TYPES(GPUDL_DTYPE_I64))
#define GPUDL_TYPES_UNSIGNED                                                                                           \
    (GPUDL_TYPES(GPUDL_DTYPE_U8) | GPUDL_TYPES(GPUDL_DTYPE_U16) | GPUDL_TYPES(GPUDL_DTYPE_U32) |                       \
     GPUDL_TYPES(GPUDL_DTYPE_U64))
#define GPUDL_TYPES_NUMBER (GPUDL_TYPES_FLOAT | GPUDL_TYPES_SIGNED | GPUDL_TYPES_UNSIGNED)
#define GPUDL_TYPES_BOOL GPUDL_TYPES(GPUDL_DTYPE_BOOL)
/** Converted and moved, not computed with. */
#define GPUDL_TYPES_STORAGE                                                                                            \
    ((GPUDL_TYPES(GPUDL_DTYPE_LAST) - GPUDL_TYPES(GPUDL_DTYPE_F8E4M3FN)) | GPUDL_TYPES(GPUDL_DTYPE_LAST))
#define GPUDL_TYPES_ALL (GPUDL_TYPES_NUMBER | GPUDL_TYPES_BOOL | GPUDL_TYPES_STORAGE)

/** FORMAT unless input i's type is in the set; expected: how the set is called in the message ("a float type"). */
gboolean gpudl_check_type(const GpudlNode *node, guint i, guint types, const gchar *expected, GError **error);

/** FORMAT unless all present inputs from first on have input 0's type. */
gboolean gpudl_check_same_types(const GpudlNode *node, guint first, GError **error);

/** FORMAT unless input i's rank is low..high. */
gboolean gpudl_check_rank(const GpudlNode *node, guint i, int low, int high, GError **error);

/** FORMAT unless input i has exactly this shape; why says where it comes from ("the output"). */
gboolean gpudl_check_shape(const GpudlNode *node, guint i, const GpudlShape *expected, const gchar *why,
                           GError **error);

/** FORMAT if the node's activation is set and the values are no floats. */
gboolean gpudl_check_act(const GpudlNode *node, const GpudlAct *act, GError **error);

/** numpy: *into is broadcast with other, in place; FALSE without error if they do not fit. */
gboolean gpudl_broadcast(GpudlShape *into, const GpudlShape *other);

/** Sets output 0. */
static inline gboolean gpudl_set_output(GpudlNode *node, GpudlDType dtype, const GpudlShape *shape)
{
    node->outputs[0]->dtype = dtype;
    node->outputs[0]->shape = *shape;
    return TRUE;
}

/* The rules; GpudlShapeRule each. */
gboolean gpudl_infer_conv(GpudlNode *node, GError **error);
gboolean gpudl_infer_gemm(GpudlNode *node, GError **error);
gboolean gpudl_infer_matmul(GpudlNode *node, GError **error);
gboolean gpudl_infer_pool(GpudlNode *node, GError **error);
gboolean gpudl_infer_global_pool(GpudlNode *node, GError **error);
gboolean gpudl_infer_resize(GpudlNode *node, GError **error);
gboolean gpudl_infer_lrn(GpudlNode *node, GError **error);
gboolean gpudl_infer_batch_norm(GpudlNode *node, GError **error);
gboolean gpudl_infer_layer_norm(GpudlNode *node, GError **error);
gboolean gpudl_infer_group_norm(GpudlNode *node, GError **error);

gboolean gpudl_infer_unary(GpudlNode *node, GError **error);
gboolean gpudl_infer_cast(GpudlNode *node, GError **error);
gboolean gpudl_infer_binary(GpudlNode *node, GError **error);
gboolean gpudl_infer_prelu(GpudlNode *node, GError **error);
gboolean gpudl_infer_where(GpudlNode *node, GError **error);
gboolean gpudl_infer_softmax(GpudlNode *node, GError **error);
gboolean gpudl_infer_reduce(GpudlNode *node, GError **error);

gboolean gpudl_infer_reshape(GpudlNode *node, GError **error);
gboolean gpudl_infer_transpose(GpudlNode *node, GError **error);
gboolean gpudl_infer_concat(GpudlNode *node, GError **error);
gboolean gpudl_infer_split(GpudlNode *node, GError **error);
gboolean gpudl_infer_slice(GpudlNode *node, GError **error);
gboolean gpudl_infer_pad(GpudlNode *node, GError **error);
gboolean gpudl_infer_expand(GpudlNode *node, GError **error);
gboolean gpudl_infer_gather(GpudlNode *node, GError **error);
gboolean gpudl_infer_identity(GpudlNode *node, GError **error);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Inside of the importer: one row of the table is one operator. */
#ifndef GPUDL_MODELS_GRAPHDEF_INTERNAL_H
#define GPUDL_MODELS_GRAPHDEF_INTERNAL_H

#include "models/tf/graphdef.pb-c.h"
#include "models/tf/tf-map.h"

G_BEGIN_DECLS

/** The row of an operator, or NULL. */
const TfOp *graphdef_op_find(const gchar *name);

/** One node being mapped. */
typedef struct {
    TfNode node;
    const Tensorflow__NodeDef *proto;
} GraphdefNode;

static inline const Tensorflow__NodeDef *graphdef_proto(const TfNode *node)
{
    return ((const GraphdefNode *)node)->proto;
}

const Tensorflow__AttrValue *graphdef_attr(const Tensorflow__NodeDef *proto, const gchar *name);
/** An attribute's value, or fallback where there is none of this type. */
gint64 graphdef_int(const TfNode *node, const gchar *name, gint64 fallback);
gboolean graphdef_bool(const TfNode *node, const gchar *name, gboolean fallback);
float graphdef_float(const TfNode *node, const gchar *name, float fallback);
/** TRUE if the attribute is this text. */
gboolean graphdef_is(const TfNode *node, const gchar *name, const gchar *text);
/** Element type of the file to ours, NONE if there is none. */
GpudlDType graphdef_dtype(gint32 type);
/** A constant's value; takes its bytes out of the message. */
GpudlTensor *graphdef_tensor(TfBuild *build, Tensorflow__TensorProto *proto, GError **error);

/* graphdef-window.c */
gboolean graphdef_map_conv(TfNode *node, GError **error);
gboolean graphdef_map_depthwise(TfNode *node, GError **error);
gboolean graphdef_map_conv_transpose(TfNode *node, GError **error);
gboolean graphdef_map_pool(TfNode *node, GError **error);
gboolean graphdef_map_bias_add(TfNode *node, GError **error);
gboolean graphdef_map_batch_norm(TfNode *node, GError **error);
gboolean graphdef_map_old_batch_norm(TfNode *node, GError **error);
gboolean graphdef_map_matmul(TfNode *node, GError **error);

G_END_DECLS
#endif

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

const Tensorflow__AttrValue *graphdef_attr(const Tensorflow__NodeDef *proto, const gchar *name);
/** Element type of the file to ours, NONE if there is none. */
GpudlDType graphdef_dtype(gint32 type);
/** A constant's value. */
GpudlTensor *graphdef_tensor(TfBuild *build, const Tensorflow__TensorProto *proto, GError **error);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Inside of the importer: one row of the table is one operator. */
#ifndef GPUDL_MODELS_GRAPHDEF_INTERNAL_H
#define GPUDL_MODELS_GRAPHDEF_INTERNAL_H

#include "models/tf/graphdef.pb-c.h"
#include "models/tf/tf-layers.h"

G_BEGIN_DECLS

typedef struct _GraphdefNode GraphdefNode;
typedef gboolean (*GraphdefMapFunc)(GraphdefNode *node, GError **error);

typedef struct {
    const gchar *name;
    guint min_inputs, max_inputs;
    GraphdefMapFunc map;
    GpudlOp op; /* for mappings that serve several operators */
    GpudlActKind act;
    float alpha, beta;
} GraphdefOp;

const GraphdefOp *graphdef_op_find(const gchar *name);

/** One node being mapped. */
struct _GraphdefNode {
    TfBuild *build;
    const Tensorflow__NodeDef *proto;
    const GraphdefOp *row;
    GpudlTensor **inputs;
    guint n_inputs, n_outputs;
    GpudlTensor *outputs[GPUDL_MAX_OUTPUTS];
    gboolean cut; /* outputs[0] are the scores that the operator would have chosen from */
};

const Tensorflow__AttrValue *graphdef_attr(const Tensorflow__NodeDef *proto, const gchar *name);
/** Element type of the file to ours, NONE if there is none. */
GpudlDType graphdef_dtype(gint32 type);
/** A constant's value. */
GpudlTensor *graphdef_tensor(TfBuild *build, const Tensorflow__TensorProto *proto, GError **error);

G_END_DECLS
#endif

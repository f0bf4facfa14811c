/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Inside of the importer: one row of the table is one operator, its mapping reads inputs and options and adds graph
 * nodes with the functions of models/tf.
 */
#ifndef GPUDL_MODELS_TFLITE_INTERNAL_H
#define GPUDL_MODELS_TFLITE_INTERNAL_H

#include "models/tf/tf-layers.h"
#include "models/tflite/tflite-file.h"

G_BEGIN_DECLS

typedef struct _TfliteNode TfliteNode;
typedef gboolean (*TfliteMapFunc)(TfliteNode *node, GError **error);

typedef struct {
    const gchar *name; /* as in the schema */
    guint min_inputs, max_inputs;
    gboolean needs_options;
    TfliteMapFunc map;
    GpudlOp op; /* for mappings that serve several operators */
    GpudlActKind act;
    float alpha, beta;
} TfliteOp;

/** The row of an operator, or NULL. */
const TfliteOp *tflite_op_find(const gchar *name);

/** One operator being mapped. */
struct _TfliteNode {
    TfBuild *build;
    const TfliteFile *file;
    const TfliteOperator *op;
    const TfliteOp *row;
    GpudlTensor **inputs; /* NULL where absent */
    guint n_inputs;
    GpudlTensor *outputs[GPUDL_MAX_OUTPUTS];
    gboolean cut; /* outputs[0] are the scores that the operator would have chosen from */
};

G_END_DECLS
#endif

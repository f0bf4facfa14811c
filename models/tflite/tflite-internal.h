/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Inside of the importer: one row of the table is one operator.
 */
#ifndef GPUDL_MODELS_TFLITE_INTERNAL_H
#define GPUDL_MODELS_TFLITE_INTERNAL_H

#include "models/tf/tf-map.h"
#include "models/tflite/tflite-file.h"

G_BEGIN_DECLS

/** The row of an operator, or NULL. */
const TfOp *tflite_op_find(const gchar *name);

/** One operator being mapped. */
typedef struct {
    TfNode node;
    const TfliteFile *file;
    const TfliteOperator *op;
} TfliteNode;

static inline const TfliteNode *tflite_node(const TfNode *node)
{
    return (const TfliteNode *)node;
}

static inline const TfliteOptions *tflite_options(const TfNode *node)
{
    return &tflite_node(node)->op->options;
}

/** The activation that the operator carries, and what its integers cut off of it. */
GpudlTensor *tflite_activate(TfNode *node, GpudlTensor *y, GError **error);
/** The first output, activated. FALSE if y is NULL. */
gboolean tflite_done(TfNode *node, GpudlTensor *y, GError **error);

/* tflite-window.c */
gboolean tflite_map_conv(TfNode *node, GError **error);
gboolean tflite_map_depthwise(TfNode *node, GError **error);
gboolean tflite_map_conv_transpose(TfNode *node, GError **error);
gboolean tflite_map_pool(TfNode *node, GError **error);
/** The root of the mean of the squares in a window. */
gboolean tflite_map_l2_pool(TfNode *node, GError **error);
gboolean tflite_map_dense(TfNode *node, GError **error);
gboolean tflite_map_batch_matmul(TfNode *node, GError **error);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * ONNX (opset 7 to the newest) into a graph, literally: no fusing, no folding beyond what shapes need.
 */
#ifndef GPUDL_MODELS_ONNX_H
#define GPUDL_MODELS_ONNX_H

#include "models/source.h"

G_BEGIN_DECLS

/** An input whose value is known. */
typedef struct {
    GpudlDType dtype;
    GpudlShape shape;
    GBytes *data;
} GpudlOnnxValue;

/** TRUE if the bytes look like an ONNX ModelProto (field tags of its first fields), cheaply. */
gboolean gpudl_onnx_sniff(const guint8 *data, gsize size);

/**
 * Imports; the result is sorted and inferred with the batch as exported (a free batch becomes 1). A free spatial
 * dimension that options do not give is FORMAT. What can't be taken is UNSUPPORTED naming node, operator, opset and
 * what is missing. info may be NULL.
 */
GpudlGraph *gpudl_onnx_import(GBytes *file, const GpudlSourceOptions *options, GpudlSourceInfo *info, GError **error);

G_END_DECLS
#endif

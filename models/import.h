/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Inside of loading: what the converter needs beside the finished model. Not installed.
 */
#ifndef GPUDL_MODELS_IMPORT_H
#define GPUDL_MODELS_IMPORT_H

#include "engine/graph/graph.h"
#include "models/gpudl-import.h"
#include "models/onnx/onnx.h"

G_BEGIN_DECLS

/**
 * Reads a model file of a framework into its graph, nothing rewritten but the input's layout: an input N x height x
 * width x (1 or 3 channels) becomes N x channels x height x width, with a Transpose behind it. Of the options the
 * input's size counts. info (may be NULL) is cleared by the caller after success. A net.bin is UNSUPPORTED here: it
 * holds a rewritten graph. Errors as gpudl_model_load()'s.
 */
gboolean gpudl_import_graph(const gchar *path, const GpudlImportOptions *options, GpudlGraph **unrewritten,
                            GpudlOnnxInfo *info, GError **error);

/** "a ZIP archive (PyTorch's .pt and .pth, Keras' .keras)": what bytes that are no model look like; static text. */
const gchar *gpudl_import_recognise(const guint8 *data, gsize size);

G_END_DECLS
#endif

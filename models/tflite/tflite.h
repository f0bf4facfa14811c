/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * TensorFlow Lite files (schema version 3) into a graph. Integers that stand for real numbers are lowered to them:
 * weights are what they stand for, and where an operator's result is cut off at zero by its type, it is cut off.
 */
#ifndef GPUDL_MODELS_TFLITE_H
#define GPUDL_MODELS_TFLITE_H

#include "models/source.h"

G_BEGIN_DECLS

/** TRUE if the bytes carry the format's identifier. */
gboolean gpudl_tflite_sniff(const guint8 *data, gsize size);

/** As gpudl_onnx_import(), but values and directory of the options are of no use here. Without picture
 * inputs and outputs are as in the file. UNSUPPORTED where the library was built without FlatBuffers. */
GpudlGraph *gpudl_tflite_import(GBytes *file, const GpudlSourceOptions *options, GpudlSourceInfo *info, GError **error);

G_END_DECLS
#endif

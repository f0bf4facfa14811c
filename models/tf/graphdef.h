/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * TensorFlow's frozen graphs (GraphDef, .pb) into a graph: what computes the nodes that nobody reads.
 */
#ifndef GPUDL_MODELS_GRAPHDEF_H
#define GPUDL_MODELS_GRAPHDEF_H

#include "models/source.h"

G_BEGIN_DECLS

/** TRUE if the bytes begin with a node that has a name and an operator. */
gboolean gpudl_graphdef_sniff(const guint8 *data, gsize size);

/** As gpudl_onnx_import(), but values and directory of the options are of no use here. */
GpudlGraph *gpudl_graphdef_import(GBytes *file, const GpudlSourceOptions *options, GpudlSourceInfo *info,
                                  GError **error);

G_END_DECLS
#endif

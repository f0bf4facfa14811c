/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What torch.export.save() writes (.pt2) into a graph: a ZIP archive with a graph of ATen operators as JSON and the raw
 * values of its weights. Nothing of it is executed, and pickled members are not looked at.
 */
#ifndef GPUDL_MODELS_TORCH_PT2_H
#define GPUDL_MODELS_TORCH_PT2_H

#include "models/onnx/onnx.h"

G_BEGIN_DECLS

/** As gpudl_onnx_import(): options and info mean the same, values and directory are of no use here. */
GpudlGraph *gpudl_pt2_import(GBytes *file, const GpudlSourceOptions *options, GpudlSourceInfo *info, GError **error);

G_END_DECLS
#endif

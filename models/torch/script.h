/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * TorchScript's archives (torch.jit.save) into a graph, whose code is a plain sequence of operators: what
 * torch.jit.trace() gives, and what of torch.jit.script() has no loops and no choices that depend on the picture.
 * Nothing of it is executed: its code is followed within bounds (script-internal.h).
 */
#ifndef GPUDL_MODELS_TORCH_SCRIPT_H
#define GPUDL_MODELS_TORCH_SCRIPT_H

#include "models/onnx/onnx.h"

G_BEGIN_DECLS

/** As gpudl_onnx_import(): options and info mean the same, values and directory are of no use here. */
GpudlGraph *gpudl_script_import(GBytes *file, const GpudlSourceOptions *options, GpudlSourceInfo *info, GError **error);

G_END_DECLS
#endif

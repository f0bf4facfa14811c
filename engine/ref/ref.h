/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The reference: a graph node by node over kernels' _ref functions. Constant folding, proofs, golden samples and tests
 * use it; nothing picks it by itself.
 */
#ifndef GPUDL_ENGINE_REF_H
#define GPUDL_ENGINE_REF_H

#include <gio/gio.h>

#include "engine/backend.h"
#include "engine/graph/graph.h"

G_BEGIN_DECLS

/**
 * Computes one operation. inputs[i] is NULL where absent; outputs have dtype, shape (as gpudl_graph_infer gives them)
 * and data of the caller, all dense. FALSE with GPUDL_ERROR_UNSUPPORTED naming op and dtype if there is no kernel.
 */
gboolean gpudl_ref_eval(GpudlOp op, const gchar *name, const GpudlAttrs *attrs, const GpudlTensorView *const *inputs,
                        guint n_inputs, const GpudlTensorView *outputs, guint n_outputs, GError **error);

/**
 * Runs a sorted, inferred graph. inputs: one GBytes per graph input, dense in its dtype and inferred shape. Returns one
 * GBytes per graph output, in a new array (free with g_ptr_array_unref), or NULL with error. Stops with CANCELLED
 * between nodes when cancellable (may be NULL) is.
 */
GPtrArray *gpudl_ref_run(const GpudlGraph *graph, GBytes *const *inputs, GCancellable *cancellable, GError **error);

/** The backend "ref": one slot, one frame at a time, float32, on plans as every module. */
const GpudlBackend *gpudl_ref_backend(void);

G_END_DECLS
#endif

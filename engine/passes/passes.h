/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Rewrites. Each pass takes a sorted graph inferred at batch 1, leaves it sorted and inferred, keeps its inputs and
 * outputs (count, order, names, shapes), and adds to *n_changed what it rewrote. FALSE with error only on internal
 * failure or lack of memory: a pattern that does not fit is left alone.
 */
#ifndef GPUDL_ENGINE_PASSES_H
#define GPUDL_ENGINE_PASSES_H

#include <gio/gio.h>

#include "engine/graph/graph.h"

G_BEGIN_DECLS

typedef gboolean (*GpudlPass)(GpudlGraph *graph, guint *n_changed, GError **error);

typedef struct {
    const gchar *name;
    GpudlPass run;
    const gchar *purpose; /* one line, for listings */
} GpudlPassInfo;

/** All passes in the order gpudl_passes_run() takes them; ends with name NULL. */
const GpudlPassInfo *gpudl_passes_list(void);

/** The whole pipeline, repeated until nothing changes (at most 8 rounds). Works in place. CANCELLED between two passes,
 * with a graph that is of no use then, once cancellable (may be NULL) is. */
gboolean gpudl_passes_run(GpudlGraph *graph, GCancellable *cancellable, GError **error);

/**
 * Makes dimension 0 of the inputs symbolic. Takes a sorted graph inferred at the batch it was exported with, before the
 * other passes. Rewrites constants that carry the exported batch (RESHAPE, EXPAND, SLICE attributes), then proves it:
 * at N=2 every output's dimension 0 has doubled, and every output holds the frames along dimension 0, each frame
 * depending on its own alone. The second is followed through the graph operator by operator; where that cannot tell, a
 * reference run at N=2 of two different random inputs must equal two runs at N=1 (within 1e-6 of the range).
 *
 * Sets graph->symbolic_batch and leaves the graph inferred at batch 1. Else sets batch_reason (naming the node) and
 * leaves the graph as it was, inferred at the exported batch: graph->batch then says whether it can be run with batch 1
 * at all. FALSE only on internal failure or cancellation.
 */
gboolean gpudl_graph_prove_batch(GpudlGraph *graph, GCancellable *cancellable, GError **error);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Flat plans of one model for backends, one per batch, made on demand and kept.
 */
#ifndef GPUDL_ENGINE_PLAN_H
#define GPUDL_ENGINE_PLAN_H

#include "engine/backend.h"
#include "engine/graph/graph.h"

G_BEGIN_DECLS

typedef struct _GpudlPlanner GpudlPlanner;

/** Copies the graph; constants are shared, but for those that are not aligned to 64 bytes. content is copied.
 * Thread-safe from here on. */
GpudlPlanner *gpudl_planner_new(const GpudlGraph *graph, const gchar *content);
void gpudl_planner_free(GpudlPlanner *planner);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlPlanner, gpudl_planner_free)

/** Plan for a batch; valid until the planner goes. INVALID_ARGUMENT for a batch below 1, UNSUPPORTED for another than 1
 * of a model not proven for it, LIMIT where a tensor of this batch is too large. */
const GpudlPlan *gpudl_planner_get(GpudlPlanner *planner, gint64 batch, GError **error);

/** Says whether large constants can be read: while they can't, their data is NULL in all plans, also those handed out.
 * At first they can. */
void gpudl_planner_set_held(GpudlPlanner *planner, gboolean held);

/** GpudlHost.place: see there. Takes n log n time where few blocks are alive at once, as in networks, and never much
 * more than a second. */
guint64 gpudl_place(guint n, const guint64 *sizes, const gint32 *first, const gint32 *last, guint64 alignment,
                    guint64 *offsets);

G_END_DECLS
#endif

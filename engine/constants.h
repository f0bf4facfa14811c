/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Where a graph's constants lie: aligned for backends, and the large ones apart from the small ones, since their memory
 * goes back to the system while nobody reads them.
 */
#ifndef GPUDL_ENGINE_CONSTANTS_H
#define GPUDL_ENGINE_CONSTANTS_H

#include "engine/graph/graph.h"
#include "engine/pages.h"

G_BEGIN_DECLS

#define GPUDL_CONSTANT_ALIGNMENT 64u
/** Bytes up to which a constant is small: it stays, and is what shapes and scalars are computed of. */
#define GPUDL_SMALL_CONSTANT 4096u

static inline gboolean gpudl_constant_is_large(const GpudlTensor *tensor)
{
    return tensor->data != NULL && g_bytes_get_size(tensor->data) > GPUDL_SMALL_CONSTANT;
}

static inline gboolean gpudl_constant_is_small(const GpudlTensor *tensor)
{
    return tensor->data != NULL && !gpudl_constant_is_large(tensor);
}

static inline gboolean gpudl_constant_is_unaligned(const GpudlTensor *tensor)
{
    return tensor->data != NULL && (guintptr)g_bytes_get_data(tensor->data, NULL) % GPUDL_CONSTANT_ALIGNMENT != 0;
}

/**
 * Moves the constants for which wants() is TRUE into pages of their own, aligned, one after the other, so that each
 * replaces the bytes it had; those that share bytes go on sharing them. The pages are not sealed; *pages (may be NULL)
 * gets a reference, NULL if there was nothing to move. NO_MEMORY.
 */
gboolean gpudl_constants_gather(GpudlGraph *graph, gboolean (*wants)(const GpudlTensor *tensor), GpudlPages **pages,
                                GError **error);

/** The same into a room in which some of them lie already: those stay, the others come behind what is used of it. FALSE
 * if there is no room for all, and nothing has moved then, or if less than half of all would stay. */
gboolean gpudl_constants_gather_behind(GpudlGraph *graph, gboolean (*wants)(const GpudlTensor *tensor),
                                       GpudlRoom *room);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** How many of the frames that wait go into the next execution. Not installed. */
#ifndef GPUDL_ENGINE_SESSION_BATCHES_H
#define GPUDL_ENGINE_SESSION_BATCHES_H

#include "engine/backend.h"

#include <glib.h>

G_BEGIN_DECLS

/** By the number that wait, the number to take: take[0] is 0. */
typedef struct {
    guint max;   /* more than these count as so many */
    guint *take; /* max + 1 entries */
} GpudlBatches;

/** Makes the table anew for an engine's buckets and times; see GpudlEngineInfo. */
void gpudl_batches_set(GpudlBatches *batches, const GpudlEngineInfo *info);
void gpudl_batches_clear(GpudlBatches *batches);

/** How many of n waiting frames to take now: 1..n, 0 for 0. */
guint gpudl_batches_take(const GpudlBatches *batches, guint n);

/** NULL, or what is wrong with the buckets (static text). */
const gchar *gpudl_batches_check(const GpudlEngineInfo *info);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What acquire.c, which decides what session a caller gets, and session.c, which makes and shares them, say to each
 * other. Not installed.
 */
#ifndef GPUDL_ENGINE_SESSION_ACQUIRE_H
#define GPUDL_ENGINE_SESSION_ACQUIRE_H

#include "engine/session/session.h"

G_BEGIN_DECLS

/** Everything that a session is made from but its model and device. The strings are the caller's. */
typedef struct {
    GpudlOpenParams params; /**< resolved; memory_limit 0: a limit of this one's own is in limit */
    guint64 limit;          /**< bytes, 0: none */
    gchar *cache_dir;       /**< NULL: nothing is kept */
    const GpudlSessionConfig *config;
} GpudlWanted;

/** Whether the precision was left to the backend, which took a lower one than fp32. */
gboolean gpudl_wanted_is_lowered(const GpudlWanted *wanted);

/** Takes the device. key NULL: it is not for the registry. */
GpudlSession *gpudl_session_new(GpudlModel *model, GpudlDevice *device, const GpudlWanted *wanted, const gchar *key,
                                GCancellable *cancellable);

/**
 * The session alive that is just so, or a new one, loaded. *strays: there is none because the model does not bear the
 * precision that "auto" came to; *told_first: nobody else tells of it, as who loads does to those that wait for him.
 */
GpudlSession *gpudl_session_share(GpudlModel *model, GpudlDevice *device, const GpudlWanted *wanted,
                                  GCancellable *cancellable, gboolean *strays, gboolean *told_first, GError **error);

G_END_DECLS
#endif

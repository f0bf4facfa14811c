/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Long work that its caller can leave. A single operation of a network may take minutes on the reference; whoever
 * cancels gets away at once all the same, and the work, told so, ends by itself soon and unseen.
 */
#ifndef GPUDL_MODELS_WORK_H
#define GPUDL_MODELS_WORK_H

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _GpudlWork GpudlWork;

/** Does it; NULL with error on failure. data and all it points to are the work's own: the caller may have left. */
typedef gpointer (*GpudlWorkFunc)(GpudlWork *work, gpointer data, GError **error);

/**
 * Runs func and returns what it does. With a cancellable it runs in a thread, and CANCELLED is returned as soon as the
 * cancellable is; without one it runs here. free_data is called when func has ended; a result that nobody waits for
 * goes to free_result.
 */
gpointer gpudl_work_run(GpudlWorkFunc func, gpointer data, GDestroyNotify free_data, GDestroyNotify free_result,
                        GCancellable *cancellable, GError **error);

/** Cancelled once the caller has left; NULL if it can't leave. */
GCancellable *gpudl_work_get_cancellable(GpudlWork *work);

/**
 * For what is the caller's own, or must not be left half done: between these two the caller does not leave. FALSE, and
 * no leave() may follow, if it has left already. Does not nest. Without leave() the caller stays to the end and gets
 * the result: for what can't be taken back.
 */
gboolean gpudl_work_enter(GpudlWork *work);
void gpudl_work_leave(GpudlWork *work);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Inside of promised devices: what comes of a search, and how an acquire gets it. Not installed. */
#ifndef GPUDL_ENGINE_SESSION_PROMISE_H
#define GPUDL_ENGINE_SESSION_PROMISE_H

#include "engine/session/device.h"

G_BEGIN_DECLS

/** What has come of looking for a device, a reference and an error of the holder's. Without a device: error is why.
 * With both: why "auto" has the device of its next backend. Neither: nobody has looked. */
typedef struct {
    GpudlDevice *device;
    GError *error;
} GpudlSearch;

/** acquire.c: looks for the device of a configuration of this backend and cuda_device_id. Says nothing. */
GpudlSearch gpudl_device_search(const gchar *backend, gint id);

/** Whether it is what a configuration of this backend and cuda_device_id would look for. */
gboolean gpudl_device_promise_is_for(const GpudlDevicePromise *promise, const gchar *backend, gint id);

/** Waits until the search has ended, and takes what has come of it, which is there once: later ones get neither. FALSE
 * with CANCELLED. */
gboolean gpudl_device_promise_take(GpudlDevicePromise *promise, GCancellable *cancellable, GpudlSearch *found,
                                   GError **error);

G_END_DECLS
#endif

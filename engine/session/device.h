/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Inside of devices: what sessions see of them. Not installed. */
#ifndef GPUDL_ENGINE_SESSION_DEVICE_H
#define GPUDL_ENGINE_SESSION_DEVICE_H

#include "engine/backend.h"
#include "engine/gpudl.h"

G_BEGIN_DECLS

struct _GpudlDevice {
    /* under the devices' lock */
    guint refs;        /* users, sessions and blocks of host memory */
    gboolean given_up; /* it does not answer: no call on it any more */

    /* fixed once it is made */
    const GpudlBackend *backend;
    gint id;
    gpointer context;
    void *handle; /* of the module; NULL if it has no devices */
    GDestroyNotify release;
    gpointer owner;
    guint generation; /* of the process that opened it */
};

/** gpudl_device_acquire() for a backend found already; id < 0: the first. No context of anybody's. */
GpudlDevice *gpudl_device_open(const GpudlBackend *backend, gint id, GError **error);

/** FALSE with DEVICE if it is the parent process' one, or given up. */
gboolean gpudl_device_check(GpudlDevice *device, GError **error);

/** The device failed: the next acquire opens it anew. Locks of sessions may be held. */
void gpudl_device_unlist(GpudlDevice *device);

/** The device does not answer: whoever calls the driver may wait for ever. Its memory stays, nothing new comes of it.
 * Some session that is never freed holds it. Locks of sessions may be held. */
void gpudl_device_give_up(GpudlDevice *device);

/** Finds a backend by name, or for "auto"/NULL the first usable of cuda, cpu. Modules stay loaded. INVALID_ARGUMENT for
 * an unknown name, BACKEND, or what the module's probe says (NO_DEVICE). */
const GpudlBackend *gpudl_backend_find(const gchar *name, gint device_id, GError **error);

/** What "auto" takes where it can't have this one, or NULL if nothing. */
const GpudlBackend *gpudl_backend_find_after(const GpudlBackend *backend, gint device_id);

/** GError of a module's fault; prefix is put before the message. */
void gpudl_set_fault(GError **error, GpudlStatus status, const GpudlFault *fault, const gchar *prefix);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A network as gpudlinfer uses it between start and stop: the model, a session
 * that others may share, a stream of its own. An open one does not change; for
 * another device a new one is made of it.
 */
#ifndef __GST_GPUDL_NET_H__
#define __GST_GPUDL_NET_H__

#include <gst/gst.h>

#include "engine/gpudl.h"
#include "models/gpudl-import.h"

G_BEGIN_DECLS

typedef struct
{
  GpudlModel *model;            /* NULL: nothing is open */
  GpudlSession *session;
  GpudlStream *stream;
  gchar *location, *name;       /* the file as given; the model's own name */
  guint depth;                  /* frames in flight, resolved */
  GstAllocator *allocator;      /* of memory that the device reads itself; NULL:
                                 * any memory of the host will do */
  GThread *hasher;              /* computes the hash of hashed, which takes as
                                 * long as reading it; or NULL */
  GpudlModel *hashed;
} GstGpudlNet;

/**
 * gst_gpudl_net_open:
 * @net: (out): zeroed; after a failure still so
 * @location: model file
 * @options: what the file may leave open
 * @depth: async-depth, 0 for the backend's own
 *
 * Loads the model and acquires a session, which may be one that other elements
 * have. Blocks. Errors: gpudl_model_load()'s and gpudl_session_acquire()'s.
 */
gboolean gst_gpudl_net_open (GstGpudlNet * net, const gchar * location,
    const GpudlImportOptions * options, const GpudlSessionConfig * config,
    guint depth, GError ** error);

/**
 * gst_gpudl_net_move:
 * @net: (out): zeroed; after a failure still so
 * @from: stays as it is
 *
 * The same network under another configuration, without reading it again.
 */
gboolean gst_gpudl_net_move (GstGpudlNet * net, const GstGpudlNet * from,
    const GpudlSessionConfig * config, guint depth, GError ** error);

/** All requests have been freed. Does nothing if nothing is open. */
void gst_gpudl_net_close (GstGpudlNet * net);

/** The device, if it reads its pinned memory itself; else NULL. */
GpudlDevice *gst_gpudl_net_get_pinning_device (const GstGpudlNet * net);

/** What a frame takes by what the backend has measured until now, ns; 0: it has
 * not. */
GstClockTime gst_gpudl_net_get_latency (const GstGpudlNet * net);

/** What gst_gpudl_net_describe() needs of a net that somebody else may close;
 * closed by the caller. */
void gst_gpudl_net_copy (GstGpudlNet * copy, const GstGpudlNet * net);

/** The structure "gpudlinfer-model-info", NULL if nothing is open. Waits for the
 * model's hash: no lock is held. */
GstStructure *gst_gpudl_net_describe (const GstGpudlNet * net);

G_END_DECLS

#endif /* __GST_GPUDL_NET_H__ */

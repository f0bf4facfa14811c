/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What gpudlinfer has of the engine between start and stop. Nothing of it
 * changes in between.
 */
#ifndef __GST_GPUDL_ENGINE_H__
#define __GST_GPUDL_ENGINE_H__

#include <gst/gst.h>

#include "engine/gpudl.h"

G_BEGIN_DECLS

typedef struct
{
  GpudlModel *model;            /* NULL: nothing is open */
  GpudlSession *session;
  GpudlStream *stream;
  gchar *location, *name;       /* the file as given; the model's own name */
  guint n_heads;
  guint max_classes;            /* of the head with the most */
  guint depth;                  /* frames in flight, resolved */
} GstGpudlEngine;

/**
 * gst_gpudl_engine_open:
 * @engine: (out): zeroed; after a failure still so
 * @location: model file
 * @depth: async-depth, 0 for the backend's own
 *
 * Loads the model and acquires a session, which may be one that other elements
 * have. Blocks. Errors: gpudl_model_load()'s and gpudl_session_acquire()'s.
 */
gboolean gst_gpudl_engine_open (GstGpudlEngine * engine, const gchar * location,
    const GpudlSessionConfig * config, guint depth, GError ** error);

/** All requests have been freed. Does nothing if nothing is open. */
void gst_gpudl_engine_close (GstGpudlEngine * engine);

/** The structure "gpudlinfer-model-info", NULL if nothing is open. */
GstStructure *gst_gpudl_engine_describe (const GstGpudlEngine * engine);

G_END_DECLS

#endif /* __GST_GPUDL_ENGINE_H__ */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include "gpudl-config.h"
#endif

#include "gstgpudlnet.h"

#include <string.h>

#include "gstgpudlallocator.h"
#include "gstgpudlsettings.h"
#include "models/gpudl-import.h"

/* A frame waits for the run that is under way, then for its own. */
#define RUNS_PER_FRAME 2

static gpointer
hash_model (gpointer model)
{
  gpudl_model_get_id (model);
  return NULL;
}

static gboolean
net_open (GstGpudlNet * net, GpudlModel * model, const gchar * location,
    const gchar * name, const GpudlSessionConfig * config, guint depth,
    GError ** error)
{
  g_autoptr (GpudlSession) session = NULL;
  GThread *hasher;

  /* beside compiling; NULL, without a thread: whoever needs the hash first
   * computes it */
  hasher = g_thread_try_new ("gpudl-hash", hash_model, model, NULL);
  session = gpudl_session_acquire (model, config, NULL, error);
  if (session != NULL
      && !gpudl_session_accepts_memory (session, GPUDL_MEMORY_HOST)) {
    g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
        "backend %s does not take frames in system memory",
        gpudl_session_get_backend (session));
    g_clear_pointer (&session, gpudl_session_unref);
  }
  if (session == NULL) {
    g_clear_pointer (&hasher, g_thread_join);
    return FALSE;
  }

  if (depth == 0)
    depth = gpudl_session_get_depth (session);
  net->depth = MIN (depth, GST_GPUDL_MAX_DEPTH);
  net->location = g_strdup (location);
  net->name = g_strdup (name);
  /* elements that share a session share its model: the one just read may go */
  net->model = gpudl_model_ref (gpudl_session_get_model (session));
  net->hashed = gpudl_model_ref (model);
  net->hasher = hasher;
  net->stream = gpudl_stream_new (session, net->model);
  if (gpudl_session_accepts_memory (session, GPUDL_MEMORY_HOST_PINNED))
    net->allocator =
        gst_gpudl_allocator_new (gpudl_session_get_device (session));
  net->session = g_steal_pointer (&session);
  return TRUE;
}

gboolean
gst_gpudl_net_open (GstGpudlNet * net, const gchar * location,
    const GpudlImportOptions * options, const GpudlSessionConfig * config,
    guint depth, GError ** error)
{
  GpudlDevicePromise *promise = NULL;
  g_autoptr (GpudlModel) model = NULL;
  GpudlSessionConfig with_device = *config;
  gboolean opened;

  if (config->device == NULL)
    promise = gpudl_device_promise (config->backend, config->cuda_device_id,
        location);
  with_device.promise = promise;
  model = gpudl_model_load (location, options, NULL, error);
  opened = model != NULL && net_open (net, model, location,
      gpudl_model_get_name (model), &with_device, depth, error);
  gpudl_device_promise_free (promise);
  return opened;
}

gboolean
gst_gpudl_net_move (GstGpudlNet * net, const GstGpudlNet * from,
    const GpudlSessionConfig * config, guint depth, GError ** error)
{
  return net_open (net, from->model, from->location, from->name, config, depth,
      error);
}

void
gst_gpudl_net_close (GstGpudlNet * net)
{
  g_clear_pointer (&net->hasher, g_thread_join);
  g_clear_pointer (&net->hashed, gpudl_model_unref);
  gst_clear_object (&net->allocator);
  g_clear_pointer (&net->stream, gpudl_stream_free);
  g_clear_pointer (&net->session, gpudl_session_unref);
  g_clear_pointer (&net->model, gpudl_model_unref);
  g_clear_pointer (&net->location, g_free);
  g_clear_pointer (&net->name, g_free);
  memset (net, 0, sizeof (*net));
}

GpudlDevice *
gst_gpudl_net_get_pinning_device (const GstGpudlNet * net)
{
  return net->allocator !=
      NULL ? gpudl_session_get_device (net->session) : NULL;
}

GstClockTime
gst_gpudl_net_get_latency (const GstGpudlNet * net)
{
  return RUNS_PER_FRAME * gpudl_session_get_run_time (net->session);
}

void
gst_gpudl_net_copy (GstGpudlNet * copy, const GstGpudlNet * net)
{
  memset (copy, 0, sizeof (*copy));
  if (net->model == NULL)
    return;
  copy->model = gpudl_model_ref (net->model);
  copy->session = gpudl_session_ref (net->session);
  copy->location = g_strdup (net->location);
  copy->name = g_strdup (net->name);
  copy->depth = net->depth;
}

GstStructure *
gst_gpudl_net_describe (const GstGpudlNet * net)
{
  GpudlSession *session = net->session;
  GpudlModel *model = net->model;
  const GpudlPreproc *preproc;
  g_autofree gchar *location = NULL;
  guint64 weights, workspace;

  if (model == NULL)
    return NULL;
  /* a file's name is bytes, a structure's string is UTF-8 or nothing */
  location = g_utf8_make_valid (net->location, -1);
  preproc = gpudl_model_get_preproc (model);
  gpudl_session_get_memory (session, &weights, &workspace);
  return gst_structure_new ("gpudlinfer-model-info",
      "location", G_TYPE_STRING, location,
      "name", G_TYPE_STRING, net->name,
      "hash", G_TYPE_STRING, gpudl_model_get_id (model),
      "input-width", G_TYPE_INT, preproc->width,
      "input-height", G_TYPE_INT, preproc->height,
      "input-channels", G_TYPE_INT, preproc->channels,
      "heads", G_TYPE_UINT, gpudl_model_get_n_heads (model),
      "classes", G_TYPE_UINT, gpudl_model_get_n_classes (model, 0),
      "has-labels", G_TYPE_BOOLEAN, gpudl_model_get_label (model, 0) != NULL,
      "parameters", G_TYPE_UINT64, gpudl_model_get_parameters (model),
      "macs", G_TYPE_UINT64, gpudl_model_get_macs (model),
      "backend", G_TYPE_STRING, gpudl_session_get_backend (session),
      "device", G_TYPE_STRING, gpudl_session_get_device_name (session),
      "precision", G_TYPE_STRING,
      gpudl_precision_name (gpudl_session_get_precision (session)),
      "max-batch", G_TYPE_UINT, gpudl_session_get_max_batch (session),
      "parallelism", G_TYPE_UINT, gpudl_session_get_parallelism (session),
      "async-depth", G_TYPE_UINT, net->depth,
      "weight-bytes", G_TYPE_UINT64, weights,
      "workspace-bytes", G_TYPE_UINT64, workspace, NULL);
}

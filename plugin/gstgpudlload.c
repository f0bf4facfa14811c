/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlload.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "gstgpudlerror.h"
#include "models/gpudl-import.h"

GST_DEBUG_CATEGORY_EXTERN (gst_gpudl_infer_debug);
#define GST_CAT_DEFAULT gst_gpudl_infer_debug

void
gst_gpudl_infer_fail (GstGpudlInfer * self, GError * error, const gchar * doing)
{
  if (g_atomic_int_compare_and_exchange (&self->failed, FALSE, TRUE))
    gst_gpudl_element_error (GST_ELEMENT (self), error, doing);
  else
    g_error_free (error);
}

static gboolean
may_use_cuda (GstGpudlBackend backend)
{
  return backend == GST_GPUDL_BACKEND_AUTO || backend == GST_GPUDL_BACKEND_CUDA;
}

/* The model is read while a device is opened. */
static void
preload (GstElement * element)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (element);

  GST_OBJECT_LOCK (self);
  self->preload = gst_gpudl_preload_new (&self->settings);
  GST_OBJECT_UNLOCK (self);
}

gboolean
gst_gpudl_infer_ensure_context (GstGpudlInfer * self)
{
  GError *error = NULL;
  GstGpudlBackend backend;
  gint id;

  GST_OBJECT_LOCK (self);
  backend = self->settings.backend;
  id = self->settings.cuda_device_id;
  GST_OBJECT_UNLOCK (self);
  if (!may_use_cuda (backend)
      || gst_gpudl_cuda_ensure (&self->cuda, GST_ELEMENT (self), id, preload,
          &error))
    return TRUE;
  if (backend == GST_GPUDL_BACKEND_CUDA) {
    g_clear_pointer (&self->preload, gst_gpudl_preload_free);
    gst_gpudl_infer_fail (self, error, "looking for a CUDA context");
    return FALSE;
  }
  GST_INFO_OBJECT (self, "no CUDA context: %s", error->message);
  g_error_free (error);
  return TRUE;
}

void
gst_gpudl_infer_unload (GstGpudlInfer * self)
{
  GstGpudlNet net;

  gst_gpudl_fifo_close (&self->fifo);
  gst_gpudl_result_close (&self->result);
  GST_OBJECT_LOCK (self);
  net = self->net;
  memset (&self->net, 0, sizeof (self->net));
  self->started = FALSE;
  GST_OBJECT_UNLOCK (self);
  gst_gpudl_live_start (&self->live, 0);
  gst_gpudl_net_close (&net);
}

void
gst_gpudl_infer_forget (GstGpudlInfer * self)
{
  self->may_hold = FALSE;
  gst_gpudl_result_forget (&self->result);
}

gboolean
gst_gpudl_infer_apply_preproc (GstGpudlInfer * self, GError ** error)
{
  gboolean ok;

  GST_OBJECT_LOCK (self);
  self->preproc_serial = self->settings.preproc_serial;
  ok = gst_gpudl_settings_resolve (&self->settings, &self->used,
      gpudl_model_get_preproc (self->net.model), &self->preproc, error);
  GST_OBJECT_UNLOCK (self);
  return ok;
}

gboolean
gst_gpudl_infer_apply_labels (GstGpudlInfer * self, GError ** error)
{
  g_autofree gchar *path = NULL;

  GST_OBJECT_LOCK (self);
  self->labels_serial = self->settings.labels_serial;
  path = g_strdup (self->settings.labels_file);
  GST_OBJECT_UNLOCK (self);
  /* what a script's unset variable comes to is unset */
  if (path != NULL && *path == '\0')
    g_clear_pointer (&path, g_free);
  return gst_gpudl_result_set_labels (&self->result, path, error);
}

/* The device that the element's context is on, NULL without one. With backend=auto
 * a context that can't be used is as none: the CPU needs none. */
static gboolean
get_own_device (GstGpudlInfer * self, GpudlDevice ** device, GError ** error)
{
  GError *failure = NULL;

  *device = NULL;
  if (!may_use_cuda (self->used.backend)
      || gst_gpudl_cuda_get_device (&self->cuda, self->used.cuda_device_id,
          device, &failure))
    return TRUE;
  if (self->used.backend != GST_GPUDL_BACKEND_AUTO) {
    g_propagate_error (error, failure);
    return FALSE;
  }
  GST_WARNING_OBJECT (self, "the CUDA context is not used: %s",
      failure->message);
  g_error_free (failure);
  return TRUE;
}

/* Naming a device rules out another backend, which auto takes for a network that
 * the first has no means for: this is asked for anew without. */
static gboolean
open_net (GstGpudlInfer * self, GstGpudlNet * net, const gchar * location,
    GpudlDevice * device, GError ** error)
{
  const gboolean is_auto = self->used.backend == GST_GPUDL_BACKEND_AUTO;
  const guint depth = self->used.async_depth;
  GpudlSessionConfig config = { 0, };
  GpudlImportOptions options;
  GError *failure = NULL;

  if (!gst_gpudl_settings_get_import (&self->used, &options, error))
    return FALSE;
  gst_gpudl_settings_get_config (&self->used, &config);
  config.device = device;
  if (gst_gpudl_net_open (net, location, &options, &config, depth, &failure))
    return TRUE;
  if (!is_auto || device == NULL
      || !g_error_matches (failure, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED)) {
    g_propagate_error (error, failure);
    return FALSE;
  }
  g_error_free (failure);
  config.device = NULL;
  return gst_gpudl_net_open (net, location, &options, &config, depth, error);
}

/* Warns of what nothing says: neither the model's file nor a property. */
static void
warn_of_assumed (GstGpudlInfer * self, GpudlModel * model, const gchar * name)
{
  const gchar *const *notes = gpudl_model_get_notes (model);
  g_autofree gchar *assumed = NULL;
  guint said = 0;

  if (self->used.mean->len > 0)
    said |= GPUDL_SET_MEAN;
  if (self->used.std->len > 0)
    said |= GPUDL_SET_STD;
  if (self->used.pixel_scale > 0)
    said |= GPUDL_SET_PIXEL_SCALE;
  if (self->used.channel_order != GPUDL_CHANNELS_AUTO)
    said |= GPUDL_SET_CHANNEL_ORDER;
  if (self->used.resize_mode != GPUDL_RESIZE_AUTO)
    said |= GPUDL_SET_RESIZE_MODE;
  assumed = gpudl_model_describe_assumed (model, said, TRUE);
  if (assumed != NULL)
    GST_ELEMENT_WARNING (self, RESOURCE, SETTINGS,
        ("Nothing says%s how the model %s wants its pixels; assumed is %s.",
            gpudl_model_is_all_assumed (model, said) ? "" : " all of", name,
            assumed),
        ("set these properties, or write down what is right with 'gpudl "
            "convert'"));
  for (guint i = 0; notes[i] != NULL; i++)
    GST_ELEMENT_INFO (self, RESOURCE, SETTINGS, ("%s: %s", name, notes[i]),
        (NULL));
}

/* Warns of a GPU that was named where the model runs on none. */
static void
warn_of_unused_device (GstGpudlInfer * self, GpudlSession * session)
{
  const gchar *backend = gpudl_session_get_backend (session);

  if (self->used.cuda_device_id >= 0 && strcmp (backend, "cuda") != 0)
    GST_ELEMENT_WARNING (self, RESOURCE, SETTINGS,
        (_("Property 'cuda-device-id' has no effect: the model runs on "
                "backend '%s'."), backend),
        ("found %d; backend=cuda makes a GPU that is not there an error",
            self->used.cuda_device_id));
}

/* What fails leaves things for gst_gpudl_infer_unload(). */
gboolean
gst_gpudl_infer_load (GstGpudlInfer * self, const gchar * location,
    GError ** error)
{
  g_autoptr (GpudlDevice) device = NULL;
  GstGpudlNet net = { 0, };

  if (!get_own_device (self, &device, error)
      || !open_net (self, &net, location, device, error))
    return FALSE;

  GST_OBJECT_LOCK (self);
  self->net = net;
  GST_OBJECT_UNLOCK (self);
  gst_gpudl_live_start (&self->live, gst_gpudl_net_get_latency (&net));
  gst_gpudl_result_open (&self->result, net.model, net.name);
  if (!gst_gpudl_infer_apply_labels (self, error)
      || !gst_gpudl_infer_apply_preproc (self, error))
    return FALSE;
  warn_of_assumed (self, net.model, location);
  warn_of_unused_device (self, net.session);
  gst_gpudl_fifo_open (&self->fifo, net.depth, net.stream);
  return TRUE;
}

GstFlowReturn
gst_gpudl_infer_switch (GstGpudlInfer * self, GpudlDevice * device)
{
  GpudlSessionConfig config = { 0, };
  GstGpudlNet net = { 0, }, old;
  GError *error = NULL;
  GstFlowReturn ret;
  gboolean changed;

  ret = gst_gpudl_fifo_drain (&self->fifo, GST_BASE_TRANSFORM_SRC_PAD (self));
  if (ret != GST_FLOW_OK)
    return ret;
  GST_INFO_OBJECT (self, "moving the network to device %d of backend %s",
      gpudl_device_get_id (device), gpudl_device_get_backend (device));
  gst_gpudl_settings_get_config (&self->used, &config);
  config.device = device;
  if (!gst_gpudl_net_move (&net, &self->net, &config, self->used.async_depth,
          &error)) {
    gst_gpudl_infer_fail (self, error, "moving the network to the device that "
        "a frame lies on");
    return GST_FLOW_ERROR;
  }

  gst_gpudl_fifo_close (&self->fifo);
  GST_OBJECT_LOCK (self);
  old = self->net;
  self->net = net;
  GST_OBJECT_UNLOCK (self);
  changed = gst_gpudl_live_move (&self->live, gst_gpudl_net_get_latency (&net))
      || net.depth != old.depth;
  gst_gpudl_net_close (&old);
  gst_gpudl_fifo_open (&self->fifo, net.depth, net.stream);

  g_object_notify (G_OBJECT (self), "model-info");
  if (changed)
    gst_element_post_message (GST_ELEMENT (self),
        gst_message_new_latency (GST_OBJECT (self)));
  return GST_FLOW_OK;
}

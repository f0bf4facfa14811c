/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlpreload.h"

#include "models/gpudl-import.h"

struct _GstGpudlPreload
{
  gchar *location;
  GpudlImportOptions options;   /* numbers alone: nothing in it is the settings' */
  GCancellable *cancellable;
  GThread *thread;
  GpudlModel *model;            /* the thread's, until it is joined */
};

static gpointer
load (gpointer data)
{
  GstGpudlPreload *self = (GstGpudlPreload *) data;

  self->model = gpudl_model_load (self->location, &self->options,
      self->cancellable, NULL);
  return NULL;
}

GstGpudlPreload *
gst_gpudl_preload_new (const GstGpudlSettings * settings)
{
  GpudlImportOptions options;
  GstGpudlPreload *self;

  if (settings->model == NULL || *settings->model == '\0'
      || !gst_gpudl_settings_get_import (settings, &options, NULL))
    return NULL;
  self = g_new0 (GstGpudlPreload, 1);
  self->location = g_strdup (settings->model);
  self->options = options;
  self->cancellable = g_cancellable_new ();
  /* NULL, without a thread: whoever needs the model reads it */
  self->thread = g_thread_try_new ("gpudl-preload", load, self, NULL);
  return self;
}

void
gst_gpudl_preload_free (GstGpudlPreload * self)
{
  if (self == NULL)
    return;
  g_cancellable_cancel (self->cancellable);
  g_clear_pointer (&self->thread, g_thread_join);
  g_clear_pointer (&self->model, gpudl_model_unref);
  g_object_unref (self->cancellable);
  g_free (self->location);
  g_free (self);
}

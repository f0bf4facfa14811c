/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlcaps.h"

#include "gstgpudlfeature.h"
#include "gstgpudlframe.h"

/* The session in use, with a reference; NULL: none is. */
static GpudlSession *
get_session (GstGpudlInfer * self)
{
  GpudlSession *session;

  GST_OBJECT_LOCK (self);
  session = self->net.session != NULL ?
      gpudl_session_ref (self->net.session) : NULL;
  GST_OBJECT_UNLOCK (self);
  return session;
}

static gboolean
reads (GpudlSession * session, GpudlMemoryKind kind)
{
  return session == NULL || gpudl_session_accepts_memory (session, kind);
}

GstCaps *
gst_gpudl_caps_transform (GstBaseTransform * trans, GstPadDirection direction,
    GstCaps * caps, GstCaps * filter)
{
  g_autoptr (GpudlSession) session = get_session (GST_GPUDL_INFER (trans));
  GstCaps *result = gst_caps_ref (caps);

  if (!reads (session, GPUDL_MEMORY_CUDA))
    result = gst_gpudl_feature_remove (result, GST_GPUDL_CUDA_FEATURE);
  if (filter != NULL) {
    GstCaps *all = result;

    result = gst_caps_intersect_full (filter, all, GST_CAPS_INTERSECT_FIRST);
    gst_caps_unref (all);
  }
  return result;
}

gboolean
gst_gpudl_caps_accept (GstBaseTransform * trans, GstPadDirection direction,
    GstCaps * caps)
{
  g_autoptr (GstCaps) template =
      gst_pad_get_pad_template_caps (direction == GST_PAD_SINK ?
      trans->sinkpad : trans->srcpad);

  return gst_caps_is_subset (caps, template);
}

static void
say_unread (GpudlSession * session, GError ** error)
{
  g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
      "frames lie in CUDA memory, and backend '%s', which the network runs on, "
      "reads system memory: write ... ! cudadownload ! gpudlinfer ! ..., or set "
      "backend=cuda", gpudl_session_get_backend (session));
}

gboolean
gst_gpudl_caps_check (GstGpudlInfer * self, GstCaps * caps, GError ** error)
{
  g_autoptr (GpudlSession) session = get_session (self);

  if (reads (session, gst_gpudl_frame_memory_kind (caps)))
    return TRUE;
  say_unread (session, error);
  return FALSE;
}

void
gst_gpudl_caps_answered (GstGpudlInfer * self, GstQuery * query)
{
  g_autoptr (GpudlSession) session = get_session (self);
  GError *error = NULL;

  if (reads (session, GPUDL_MEMORY_CUDA)
      || !gst_gpudl_feature_is_asked_for (query, GST_GPUDL_CUDA_FEATURE)
      || !g_atomic_int_compare_and_exchange (&self->memory_told, FALSE, TRUE))
    return;
  say_unread (session, &error);
  gst_gpudl_element_warning (GST_ELEMENT (self), error,
      "answering what can be read to upstream");
}

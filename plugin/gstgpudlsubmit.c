/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlsubmit.h"

#include "gstgpudlcaps.h"
#include "gstgpudlload.h"
#include "gstgpudlpush.h"

/* Settings that may change in PLAYING. */
static gboolean
gst_gpudl_infer_refresh (GstGpudlInfer * self, GError ** error)
{
  gboolean labels_changed, preproc_changed;
  GError *labels_error = NULL;

  GST_OBJECT_LOCK (self);
  labels_changed = self->labels_serial != self->settings.labels_serial;
  preproc_changed = self->preproc_serial != self->settings.preproc_serial;
  GST_OBJECT_UNLOCK (self);
  if (labels_changed) {
    /* a wrong file is an error at start only */
    if (gst_gpudl_infer_apply_labels (self, &labels_error))
      g_object_notify (G_OBJECT (self), "labels");
    else
      gst_gpudl_element_warning (GST_ELEMENT (self), labels_error,
          "changing labels-file; the labels stay as they were");
  }
  return !preproc_changed || gst_gpudl_infer_apply_preproc (self, error);
}

/* A buffer that does not hold what its caps and metas say. */
static gboolean
gst_gpudl_infer_map_frame (GstGpudlInfer * self, GstGpudlSlot * slot,
    GstBuffer * buffer, GError ** error)
{
  const gchar *wrong;

  if (!gst_gpudl_frame_map (&slot->frame, &self->info, buffer, self->kind,
          gst_gpudl_net_get_pinning_device (&self->net), error))
    return FALSE;
  wrong = gpudl_frame_check (&slot->frame.frame);
  if (wrong == NULL)
    return TRUE;
  gst_gpudl_frame_unmap (&slot->frame);
  g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s", wrong);
  return FALSE;
}

/* One frame that is damaged does not end a stream. */
static void
gst_gpudl_infer_pass_over (GstGpudlInfer * self, GError * error)
{
  const guint n =
      gst_gpudl_limit_pass (&self->frame_warnings, g_get_monotonic_time ());

  gst_gpudl_stats_error (&self->stats);
  GST_DEBUG_OBJECT (self, "frame can't be classified: %s", error->message);
  if (n > 0)
    gst_gpudl_element_frame_warning (GST_ELEMENT (self), error, n);
  else
    g_error_free (error);
}

/* What repeats another frame, or says that there is nothing to be seen, need not
 * be looked at. */
static gboolean
gst_gpudl_infer_needs_classifying (GstGpudlInfer * self, GstBuffer * buffer)
{
  return !GST_BUFFER_FLAG_IS_SET (buffer, GST_BUFFER_FLAG_GAP)
      || (!self->may_hold && gst_buffer_get_size (buffer) > 0);
}

/* FALSE: classifying fails. A frame that can't be read has no request. */
static gboolean
gst_gpudl_infer_submit_frame (GstGpudlInfer * self, GstGpudlSlot * slot,
    GstBuffer * buffer, GError ** error)
{
  GError *unreadable = NULL;

  if (!gst_gpudl_infer_refresh (self, error))
    return FALSE;
  if (!gst_gpudl_infer_map_frame (self, slot, buffer, &unreadable)) {
    if (g_error_matches (unreadable, GPUDL_ERROR, GPUDL_ERROR_FORMAT)) {
      gst_gpudl_infer_pass_over (self, unreadable);
      return TRUE;
    }
    g_propagate_error (error, unreadable);
    return FALSE;
  }
  if (!gpudl_request_submit (slot->request, &slot->frame.frame, &self->preproc,
          error)) {
    gst_gpudl_frame_unmap (&slot->frame);
    return FALSE;
  }
  gpudl_preproc_get_region (&self->preproc, &slot->frame.frame, slot->region);
  slot->submitted = self->may_hold = TRUE;
  return TRUE;
}

/* Frames of a device's memory are read by that device, in their context. */
static GstFlowReturn
gst_gpudl_infer_follow_buffer (GstGpudlInfer * self, GstBuffer * buffer)
{
  g_autoptr (GpudlDevice) device = NULL;
  GError *error = NULL;

  if (!self->get_buffer_device (self, buffer, &device, &error)) {
    gst_gpudl_infer_fail (self, error, "looking where a frame lies");
    return GST_FLOW_ERROR;
  }
  if (device == NULL || device == gpudl_session_get_device (self->net.session))
    return GST_FLOW_OK;
  return gst_gpudl_infer_switch (self, device);
}

static void
gst_gpudl_infer_arrive (GstGpudlInfer * self, GstBuffer * buffer)
{
  GpudlArrival arrival = {
    .running_time = GST_CLOCK_TIME_NONE,
    .before = gst_gpudl_fifo_get_count (&self->fifo),
    .depth = self->net.depth,
    .parallelism = gpudl_session_get_parallelism (self->net.session),
  };
  GpudlPaceReport report;

  if (self->segment.format == GST_FORMAT_TIME)
    arrival.running_time = gst_segment_to_running_time (&self->segment,
        GST_FORMAT_TIME, GST_BUFFER_PTS (buffer));
  if (GST_VIDEO_INFO_FPS_N (&self->info) > 0)
    arrival.rate = (gdouble) GST_VIDEO_INFO_FPS_N (&self->info) /
        GST_VIDEO_INFO_FPS_D (&self->info);
  if (gst_gpudl_live_arrive (&self->live, &arrival, &report))
    gst_gpudl_live_say (GST_ELEMENT (self), &self->net, &report);
}

static GstFlowReturn
gst_gpudl_infer_enqueue (GstGpudlInfer * self, GstBuffer * buffer)
{
  const gint64 arrived = g_get_monotonic_time ();
  GError *error = NULL;
  GstGpudlSlot *slot;
  GstFlowReturn ret;

  ret = gst_gpudl_infer_follow_buffer (self, buffer);
  if (ret == GST_FLOW_OK) {
    gst_gpudl_infer_arrive (self, buffer);
    ret = gst_gpudl_fifo_reserve (&self->fifo, &slot);
    gst_gpudl_live_admit (&self->live);
  }
  if (ret != GST_FLOW_OK) {
    gst_buffer_unref (buffer);
    return ret;
  }
  gst_gpudl_stats_frame (&self->stats);
  if (self->discont) {
    buffer = gst_buffer_make_writable (buffer);
    GST_BUFFER_FLAG_SET (buffer, GST_BUFFER_FLAG_DISCONT);
    self->discont = FALSE;
  }
  slot->arrived = arrived;
  if (gst_gpudl_infer_needs_classifying (self, buffer)
      && !gst_gpudl_infer_submit_frame (self, slot, buffer, &error)) {
    gst_buffer_unref (buffer);
    gst_gpudl_stats_error (&self->stats);
    gst_gpudl_infer_fail (self, error, "taking a frame");
    gst_gpudl_fifo_fail (&self->fifo, GST_FLOW_ERROR);
    return GST_FLOW_ERROR;
  }
  gst_gpudl_fifo_commit (&self->fifo, buffer);
  return GST_FLOW_OK;
}

/* The base class may renegotiate, which sends events: older frames go first. Where
 * a sink keeps one of them, there may still be room for this one: later, then.
 * TRUE in later: a reconfigure flag has been taken from the source pad. */
static GstFlowReturn
gst_gpudl_infer_prepare_negotiation (GstGpudlInfer * self, gboolean * later)
{
  GstPad *srcpad = GST_BASE_TRANSFORM_SRC_PAD (self);
  GstFlowReturn ret = GST_FLOW_OK;

  *later = gst_pad_needs_reconfigure (srcpad)
      && !gst_gpudl_fifo_settle (&self->fifo, srcpad, &ret)
      && gst_pad_check_reconfigure (srcpad);
  return ret;
}

GstFlowReturn
gst_gpudl_infer_submit_input_buffer (GstBaseTransform * trans,
    gboolean is_discont, GstBuffer * input)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (trans);
  GstFlowReturn ret;
  gboolean later;

  ret = gst_gpudl_infer_prepare_negotiation (self, &later);
  if (ret != GST_FLOW_OK) {
    gst_buffer_unref (input);
    return ret;
  }

  ret =
      gst_gpudl_infer_get_base_class ()->submit_input_buffer (trans, is_discont,
      input);
  if (later)
    gst_pad_mark_reconfigure (trans->srcpad);
  if (ret != GST_FLOW_OK) {
    /* is_discont is no help: it holds until the base class pushes something */
    if (ret == GST_BASE_TRANSFORM_FLOW_DROPPED)
      self->discont = TRUE;
    return ret;
  }
  return gst_gpudl_infer_enqueue (self, g_steal_pointer (&trans->queued_buf));
}

/* ---- events --------------------------------------------------------------- */

static void
gst_gpudl_infer_flush_start (GstGpudlInfer * self)
{
  gst_gpudl_fifo_set_flushing (&self->fifo);
  gst_pad_pause_task (GST_BASE_TRANSFORM_SRC_PAD (self));
}

/* EOS is what upstream sends when there is nothing left to return a bad result
 * for: say it now, as queue does. */
static void
gst_gpudl_infer_report_flow (GstGpudlInfer * self, GstFlowReturn ret)
{
  if ((ret == GST_FLOW_NOT_LINKED || ret < GST_FLOW_EOS)
      && !g_atomic_int_get (&self->failed))
    GST_ELEMENT_FLOW_ERROR (self, ret);
}

/* Most events go through the FIFO. These wait until it is empty, and have
 * effect before their sender goes on: a new segment or stream ends what
 * downstream's EOS has meant, caps can be refused, and EOS is the last chance to
 * tell of a bad result; who gets it behind this element may stop it, which its
 * own task could not be waited for in. So all that is in the FIFO belongs to one
 * segment. Before a sink that keeps its first frame they wait until it plays, as a
 * push would that does not return. */
static gboolean
waits_for_frames (GstEventType type)
{
  return type == GST_EVENT_STREAM_START || type == GST_EVENT_CAPS
      || type == GST_EVENT_SEGMENT || type == GST_EVENT_EOS;
}

static gboolean
gst_gpudl_infer_src_is_flushing (GstGpudlInfer * self)
{
  GstPad *srcpad = GST_BASE_TRANSFORM_SRC_PAD (self);
  gboolean flushing;

  GST_OBJECT_LOCK (srcpad);
  flushing = GST_PAD_IS_FLUSHING (srcpad);
  GST_OBJECT_UNLOCK (srcpad);
  return flushing;
}

static gboolean
gst_gpudl_infer_can_read (GstGpudlInfer * self, GstEvent * event)
{
  GError *error = NULL;
  GstCaps *caps;

  gst_event_parse_caps (event, &caps);
  if (gst_gpudl_caps_check (self, caps, &error))
    return TRUE;
  gst_gpudl_infer_fail (self, error, "taking caps");
  return FALSE;
}

/* Takes the event to downstream now: the FIFO is empty. */
static GstFlowReturn
gst_gpudl_infer_pass_event (GstGpudlInfer * self, GstEvent * event)
{
  const gboolean caps = GST_EVENT_TYPE (event) == GST_EVENT_CAPS;
  GstFlowReturn ret;

  if (caps && !gst_gpudl_infer_can_read (self, event)) {
    gst_event_unref (event);
    return GST_FLOW_NOT_NEGOTIATED;
  }
  if (gst_gpudl_infer_get_base_class ()->sink_event (GST_BASE_TRANSFORM (self),
          event))
    return GST_FLOW_OK;
  /* Core makes a pad that is being deactivated flush before it calls the pad's
   * own function, from which the FIFO knows. */
  if (gst_gpudl_fifo_is_flushing (&self->fifo)
      || gst_gpudl_infer_src_is_flushing (self))
    return GST_FLOW_FLUSHING;
  if (caps)
    return GST_FLOW_NOT_NEGOTIATED;
  ret = gst_gpudl_fifo_get_result (&self->fifo);
  return ret == GST_FLOW_OK ? GST_FLOW_ERROR : ret;
}

static GstFlowReturn
gst_gpudl_infer_serialized_event (GstGpudlInfer * self, GstEvent * event)
{
  GstPad *srcpad = GST_BASE_TRANSFORM_SRC_PAD (self);
  const GstEventType type = GST_EVENT_TYPE (event);
  GstFlowReturn ret;

  if (!waits_for_frames (type)) {
    ret = gst_gpudl_fifo_append_event (&self->fifo, event);
    if (ret == GST_FLOW_OK)
      return GST_FLOW_OK;
    if (!GST_EVENT_IS_STICKY (event)) {
      gst_event_unref (event);
      return ret;
    }
  }
  ret = gst_gpudl_fifo_drain (&self->fifo, srcpad);
  /* Also where downstream has been shut down first. Refused, an event that
   * sticks is sent again by its sender; passed on, it would stick to the source
   * pad for whoever is linked next. */
  if (ret == GST_FLOW_FLUSHING) {
    gst_event_unref (event);
    return GST_FLOW_FLUSHING;
  }
  if (type == GST_EVENT_STREAM_START || type == GST_EVENT_SEGMENT) {
    /* downstream's EOS was for the segment or stream before */
    gst_gpudl_fifo_forgive (&self->fifo, GST_FLOW_EOS, srcpad,
        gst_gpudl_infer_loop);
  }
  if (type == GST_EVENT_SEGMENT) {
    /* flushes and streams begin with one as well */
    gst_gpudl_infer_forget (self);
    gst_event_copy_segment (event, &self->segment);
  }
  if (type == GST_EVENT_EOS)
    gst_gpudl_infer_report_flow (self, ret);
  return gst_gpudl_infer_pass_event (self, event);
}

GstFlowReturn
gst_gpudl_infer_sink_event (GstPad * pad, GstObject * parent, GstEvent * event)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (parent);
  const GstBaseTransformClass *base = gst_gpudl_infer_get_base_class ();
  GstPad *srcpad = GST_BASE_TRANSFORM_SRC_PAD (self);
  gboolean ok;

  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_FLUSH_START:
      /* Downstream first: it ends the push that pausing the task waits for. */
      ok = base->sink_event (GST_BASE_TRANSFORM (self), event);
      gst_gpudl_infer_flush_start (self);
      return ok ? GST_FLOW_OK : GST_FLOW_ERROR;
    case GST_EVENT_FLUSH_STOP:
      gst_gpudl_infer_flush_start (self);
      self->discont = FALSE;
      g_atomic_int_set (&self->failed, FALSE);
      gst_gpudl_live_flush (&self->live);
      ok = base->sink_event (GST_BASE_TRANSFORM (self), event);
      gst_gpudl_fifo_start (&self->fifo, srcpad, gst_gpudl_infer_loop);
      /* only now: until the FIFO is empty, the task reads it */
      gst_segment_init (&self->segment, GST_FORMAT_UNDEFINED);
      return ok ? GST_FLOW_OK : GST_FLOW_ERROR;
    default:
      if (GST_EVENT_IS_SERIALIZED (event))
        return gst_gpudl_infer_serialized_event (self, event);
      ok = base->sink_event (GST_BASE_TRANSFORM (self), event);
      return ok ? GST_FLOW_OK : GST_FLOW_ERROR;
  }
}

/* ---- activation ----------------------------------------------------------- */

gboolean
gst_gpudl_infer_sink_activate_mode (GstPad * pad, GstObject * parent,
    GstPadMode mode, gboolean active)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (parent);
  gboolean ok;

  if (!active)
    return self->base_sink_activate_mode (pad, parent, mode, active);
  /* Core has let data in already. What has got past this lock before finds the
   * FIFO closed: events are refused, and no buffer comes without its caps. */
  GST_PAD_STREAM_LOCK (pad);
  ok = self->base_sink_activate_mode (pad, parent, mode, active);
  GST_PAD_STREAM_UNLOCK (pad);
  return ok;
}

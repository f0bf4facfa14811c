/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlpush.h"

#include "gstgpudlerror.h"
#include "gstgpudlload.h"

GST_DEBUG_CATEGORY_EXTERN (gst_gpudl_infer_debug);
#define GST_CAT_DEFAULT gst_gpudl_infer_debug

/* How long downstream may keep a task that has to end, us: longer than a sink
 * waits for its clock between two frames of a film. */
#define PATIENCE (200 * G_TIME_SPAN_MILLISECOND)

static void
gst_gpudl_infer_attach (GstGpudlInfer * self, GstGpudlSlot * slot,
    GstBuffer * buffer)
{
  GError *error;
  gfloat threshold;
  gboolean post;
  guint top_k;

  GST_OBJECT_LOCK (self);
  top_k = self->settings.top_k;
  threshold = self->settings.threshold;
  post = self->settings.post_messages == GST_GPUDL_POST_MESSAGES_ALL;
  GST_OBJECT_UNLOCK (self);

  error = gst_gpudl_result_attach (&self->result, slot->request,
      slot->region, top_k, threshold, buffer,
      post ? GST_ELEMENT (self) : NULL, &self->segment);
  if (error != NULL)
    gst_gpudl_element_warning (GST_ELEMENT (self), error,
        "classifying a frame; frames go on without metadata until the scores "
        "are numbers again");
}

/* Time spent waiting for downstream is not in what a frame took, so that a higher
 * latency does not raise itself. */
static void
gst_gpudl_infer_update_latency (GstGpudlInfer * self, GstClockTime took)
{
  GstClockTime warm_up;

  GST_OBJECT_LOCK (self);
  warm_up = gst_gpudl_net_get_latency (&self->net);
  GST_OBJECT_UNLOCK (self);
  if (gst_gpudl_live_took (&self->live, took, warm_up))
    gst_element_post_message (GST_ELEMENT (self),
        gst_message_new_latency (GST_OBJECT (self)));
}

static void
gst_gpudl_infer_count (GstGpudlInfer * self, const GstGpudlSlot * slot,
    const GpudlTiming * timing)
{
  const gint64 now = g_get_monotonic_time () * 1000;
  const guint64 times[GST_GPUDL_N_TIMES] = {
    [GST_GPUDL_TIME_QUEUE] = MAX (timing->started - timing->submitted, 0),
    [GST_GPUDL_TIME_INFER] = MAX (timing->finished - timing->started, 0),
    [GST_GPUDL_TIME_TOTAL] = MAX (now - slot->arrived * 1000, 0),
  };

  gst_gpudl_stats_inference (&self->stats, times);
  gst_gpudl_infer_update_latency (self,
      MAX (timing->finished - timing->submitted, 0));
}

/* Waits for the item's request; its buffer with metadata comes out. */
static GstFlowReturn
gst_gpudl_infer_finish (GstGpudlInfer * self, GstGpudlItem * item,
    GstBuffer ** buffer)
{
  GstGpudlSlot *slot = item->slot;
  const GpudlTiming *timing;
  GError *error = NULL;
  gboolean ok;

  *buffer = g_steal_pointer (&item->buffer);
  gst_gpudl_live_await (&self->live);
  if (!slot->submitted) {
    gst_gpudl_live_answer (&self->live);
    gst_gpudl_result_hold (&self->result, buffer);
    return GST_FLOW_OK;
  }

  ok = gpudl_request_wait (slot->request, &error);
  timing = self->live.get_timing (slot->request);
  gst_gpudl_live_answer (&self->live);
  /* a mapped buffer's memory is locked: metadata only after this */
  gst_gpudl_slot_release (slot, buffer);
  if (ok) {
    *buffer = gst_buffer_make_writable (*buffer);
    gst_gpudl_infer_count (self, slot, timing);
    gst_gpudl_infer_attach (self, slot, *buffer);
    return GST_FLOW_OK;
  }

  gst_clear_buffer (buffer);
  if (gst_gpudl_fifo_is_flushing (&self->fifo)) {
    g_error_free (error);
    return GST_FLOW_FLUSHING;
  }
  gst_gpudl_stats_error (&self->stats);
  gst_gpudl_infer_fail (self, error, "classifying a frame");
  return GST_FLOW_ERROR;
}

/* The task is about to push. */
static void
gst_gpudl_infer_begin_push (GstGpudlInfer * self, GstPad * pad)
{
  GstPad *peer = gst_pad_get_peer (pad);
  GstObject *parent = peer != NULL ? gst_pad_get_parent (peer) : NULL;

  GST_OBJECT_LOCK (self);
  self->pushing_to = peer;
  self->pushing_to_parent = parent;
  GST_OBJECT_UNLOCK (self);
}

static void
gst_gpudl_infer_end_push (GstGpudlInfer * self)
{
  GstObject *parent;
  GstPad *peer;

  GST_OBJECT_LOCK (self);
  peer = g_steal_pointer (&self->pushing_to);
  parent = g_steal_pointer (&self->pushing_to_parent);
  GST_OBJECT_UNLOCK (self);
  gst_clear_object (&peer);
  gst_clear_object (&parent);
}

/* How late a frame is for those who wait for the clock, as far as it is known
 * here. */
static void
gst_gpudl_infer_count_lag (GstGpudlInfer * self, GstBuffer * buffer)
{
  if (self->segment.format == GST_FORMAT_TIME)
    gst_gpudl_stats_lag (&self->stats, gst_gpudl_live_get_lag (&self->live,
            GST_ELEMENT (self), gst_segment_to_running_time (&self->segment,
                GST_FORMAT_TIME, GST_BUFFER_PTS (buffer))));
}

void
gst_gpudl_infer_loop (gpointer user_data)
{
  GstPad *pad = GST_PAD (user_data);
  GstGpudlInfer *self = GST_GPUDL_INFER (GST_PAD_PARENT (pad));
  GstFlowReturn ret = GST_FLOW_OK;
  GstGpudlItem *item;
  GstBuffer *buffer;

  if (!gst_gpudl_fifo_wait_head (&self->fifo, pad, &item))
    return;
  g_atomic_pointer_set (&self->task_thread, g_thread_self ());
  if (item->event != NULL) {
    GST_LOG_OBJECT (self, "pushing %" GST_PTR_FORMAT, item->event);
    /* What sticks goes again with the next buffer, whose push tells why it was
     * not taken; the rest is for those who are there. */
    gst_gpudl_infer_begin_push (self, pad);
    gst_pad_push_event (pad, g_steal_pointer (&item->event));
    gst_gpudl_infer_end_push (self);
  } else {
    ret = gst_gpudl_infer_finish (self, item, &buffer);
    if (gst_gpudl_fifo_is_outlived (&self->fifo)) {
      /* who got a message with the result has flushed */
      gst_clear_buffer (&buffer);
    } else if (ret == GST_FLOW_OK) {
      gst_gpudl_infer_count_lag (self, buffer);
      GST_LOG_OBJECT (self, "pushing %" GST_PTR_FORMAT, buffer);
      gst_gpudl_infer_begin_push (self, pad);
      ret = gst_pad_push (pad, buffer);
      gst_gpudl_infer_end_push (self);
    }
  }
  /* upstream asks anew, as in gst_gpudl_infer_change_state() */
  if (gst_gpudl_fifo_pop (&self->fifo, ret))
    gst_base_transform_reconfigure_sink (GST_BASE_TRANSFORM (self));
  g_atomic_pointer_set (&self->task_thread, NULL);
}

/* Elements are shut down from the sink on, so that nothing keeps the task. Where
 * the last reference has gone, nobody does that, and downstream may wait for a
 * state that never comes: who keeps the task for long is flushed. */
static void
gst_gpudl_infer_free_task (GstGpudlInfer * self)
{
  GstObject *parent = NULL;
  GstPad *peer = NULL;

  if (gst_gpudl_fifo_wait_idle (&self->fifo,
          g_get_monotonic_time () + PATIENCE))
    return;
  GST_OBJECT_LOCK (self);
  if (self->pushing_to != NULL)
    peer = gst_object_ref (self->pushing_to);
  if (self->pushing_to_parent != NULL)
    parent = gst_object_ref (self->pushing_to_parent);
  GST_OBJECT_UNLOCK (self);
  if (peer == NULL)
    return;                     /* the engine has it, and ends by itself */
  gst_pad_send_event (peer, gst_event_new_flush_start ());
  /* serialized: it waits for the push to return */
  gst_pad_send_event (peer, gst_event_new_flush_stop (FALSE));
  gst_object_unref (peer);
  gst_clear_object (&parent);
}

gboolean
gst_gpudl_infer_src_activate_mode (GstPad * pad, GstObject * parent,
    GstPadMode mode, gboolean active)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (parent);

  if (mode != GST_PAD_MODE_PUSH)
    return FALSE;
  if (active) {
    gst_segment_init (&self->segment, GST_FORMAT_UNDEFINED);
    /* The task is made before it may run: making it posts a message, which must
     * not happen under the FIFO's lock. */
    return self->base_src_activate_mode (pad, parent, mode, active)
        && gst_pad_start_task (pad, gst_gpudl_infer_loop, pad, NULL)
        && gst_gpudl_fifo_start (&self->fifo, pad, gst_gpudl_infer_loop);
  }
  gst_gpudl_fifo_set_flushing (&self->fifo);
  if (g_atomic_int_get (&self->lost))
    gst_gpudl_infer_free_task (self);
  return gst_pad_stop_task (pad)
      && self->base_src_activate_mode (pad, parent, mode, active);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlquery.h"

#include "gstgpudlallocation.h"
#include "gstgpudlcaps.h"

gboolean
gst_gpudl_infer_propose_allocation (GstBaseTransform * trans,
    GstQuery * decide_query, GstQuery * query)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (trans);

  /* FALSE: downstream has no answer, and the query is as upstream sent it */
  gst_gpudl_infer_get_base_class ()->propose_allocation (trans, decide_query,
      query);
  return gst_gpudl_allocation_propose (&self->net, &self->cuda, query);
}

static gboolean
gst_gpudl_infer_query_latency (GstGpudlInfer * self, GstQuery * query)
{
  GstClockTime min, max, latency, duration;
  gboolean live;
  guint depth;

  gst_query_parse_latency (query, &live, &min, &max);
  latency = gst_gpudl_live_query (&self->live, live);
  GST_OBJECT_LOCK (self);
  duration = self->frame_duration;
  depth = self->net.depth;
  GST_OBJECT_UNLOCK (self);

  /* A frame leaves as soon as it is done, however few follow it: the depth adds
   * to what can be held (max), not to what has to be waited for (min). */
  min += latency;
  if (max != GST_CLOCK_TIME_NONE) {
    max += latency;
    if (duration != GST_CLOCK_TIME_NONE)
      max += depth * duration;
  }
  gst_query_set_latency (query, live, min, max);
  return TRUE;
}

/* The frames before the query go first. FALSE: there is nothing more to do, and
 * the answer is in ok. DRAIN, and what else downstream has to answer, waits as long
 * as that takes. ALLOCATION does not wait for a sink that keeps its first frame:
 * that frame's push holds the stream lock which core takes for the query, and who
 * asks may be the one that has to feed another sink before any of them plays. It
 * is answered as if downstream had nothing to say, and upstream is told to ask
 * anew as soon as frames flow (gst_gpudl_fifo_set_playing()). */
static gboolean
gst_gpudl_infer_make_way (GstGpudlInfer * self, GstQuery * query, gboolean * ok)
{
  GstPad *srcpad = GST_BASE_TRANSFORM_SRC_PAD (self);
  GstFlowReturn ret;

  *ok = FALSE;
  if (GST_QUERY_TYPE (query) != GST_QUERY_ALLOCATION)
    return gst_gpudl_fifo_drain (&self->fifo, srcpad) != GST_FLOW_FLUSHING;
  if (gst_gpudl_fifo_settle (&self->fifo, srcpad, &ret))
    return ret != GST_FLOW_FLUSHING;
  GST_DEBUG_OBJECT (self,
      "downstream may keep its first frame until it plays: "
      "it is not asked for an allocation yet");
  *ok = gst_gpudl_allocation_propose (&self->net, &self->cuda, query);
  return FALSE;
}

gboolean
gst_gpudl_infer_query (GstBaseTransform * trans, GstPadDirection direction,
    GstQuery * query)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (trans);
  gboolean ok;

  if (GST_QUERY_TYPE (query) == GST_QUERY_CONTEXT
      && gst_gpudl_cuda_handle_query (&self->cuda, GST_ELEMENT (self), query))
    return TRUE;
  if (direction == GST_PAD_SINK && GST_QUERY_IS_SERIALIZED (query)
      && !gst_gpudl_infer_make_way (self, query, &ok))
    return ok;
  /* only push mode, whatever upstream can do */
  if (direction == GST_PAD_SRC
      && GST_QUERY_TYPE (query) == GST_QUERY_SCHEDULING) {
    gst_query_set_scheduling (query, GST_SCHEDULING_FLAG_SEQUENTIAL, 1, -1, 0);
    gst_query_add_scheduling_mode (query, GST_PAD_MODE_PUSH);
    return TRUE;
  }

  ok = gst_gpudl_infer_get_base_class ()->query (trans, direction, query);
  if (ok && direction == GST_PAD_SRC
      && GST_QUERY_TYPE (query) == GST_QUERY_LATENCY)
    return gst_gpudl_infer_query_latency (self, query);
  if (ok && direction == GST_PAD_SINK
      && GST_QUERY_TYPE (query) == GST_QUERY_CAPS)
    gst_gpudl_caps_answered (self, query);
  return ok;
}

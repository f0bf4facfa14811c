/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gpudlinfer
 * @title: gpudlinfer
 * @short_description: says what each video frame shows
 *
 * Runs an image classification network on each frame and attaches what it says
 * to the very same buffer: the custom metadata `GpudlClassificationMeta`, and
 * from GStreamer 1.24 a #GstAnalyticsClsMtd. The picture is not touched. Pixels
 * of any of the listed formats and of any size are converted, cropped, scaled
 * and normalised on the way into the network.
 *
 * Frames are classified asynchronously, up to #GstGpudlInfer:async-depth at a
 * time, and leave in order. Elements of one process with the same model and the
 * same settings of backend, precision, activation and batch share one copy of
 * the network.
 *
 * ## Metadata
 *
 * `v` (int, 1), `model`, `model-hash` (string), `labels` (array of string),
 * `ids` (array of int), `confidences` (array of double, descending), `fresh`
 * (boolean), `source-pts`, `age` (uint64), `region` (array of 4 double: x, y,
 * width, height of what the network saw, 0..1), and `head` (string) where a
 * network has several outputs, which give a metadata each.
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 -m filesrc location=birds.mp4 ! decodebin ! videoconvert ! gpudlinfer model=net.bin post-messages=all ! fakesink
 * ]| Prints what each frame of a file shows.
 * |[
 * gst-launch-1.0 v4l2src ! videoconvert ! gpudlinfer model=net.bin ! gpudloverlay ! videoconvert ! autovideosink
 * ]| Shows a camera's picture with what it shows written over it.
 *
 * Since: 0.1
 */
#include "gpudl-config.h"

#include "gstgpudlinfer.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "gstgpudlerror.h"

GST_DEBUG_CATEGORY_STATIC (gst_gpudl_infer_debug);
#define GST_CAT_DEFAULT gst_gpudl_infer_debug

/* A frame waits for the run that is under way, then for its own. */
#define RUNS_PER_FRAME 2

enum
{
  PROP_STATS = GST_GPUDL_PROP_LAST_SETTING + 1,
  PROP_MODEL_INFO
};

/* No framerate: the base class would add one to caps that have none, and they
 * would not leave as they came. */
#define TEMPLATE_CAPS "video/x-raw, format = (string) " GST_GPUDL_FRAME_FORMATS \
    ", width = (int) [ 1, " G_STRINGIFY (GST_GPUDL_FRAME_MAX_SIDE) " ]"          \
    ", height = (int) [ 1, " G_STRINGIFY (GST_GPUDL_FRAME_MAX_SIDE) " ]"

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink",
    GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (TEMPLATE_CAPS));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src",
    GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (TEMPLATE_CAPS));

#define parent_class gst_gpudl_infer_parent_class
G_DEFINE_TYPE_WITH_CODE (GstGpudlInfer, gst_gpudl_infer,
    GST_TYPE_BASE_TRANSFORM,
    GST_DEBUG_CATEGORY_INIT (gst_gpudl_infer_debug, "gpudlinfer", 0,
        "classification of video frames"));
GST_ELEMENT_REGISTER_DEFINE (gpudlinfer, "gpudlinfer", GST_RANK_NONE,
    GST_TYPE_GPUDL_INFER);

/* ---- errors ------------------------------------------------------------- */

/* Takes the error. Posts one message until the element is started again. */
static void
gst_gpudl_infer_fail (GstGpudlInfer * self, GError * error, const gchar * doing)
{
  if (g_atomic_int_compare_and_exchange (&self->failed, FALSE, TRUE))
    gst_gpudl_element_error (GST_ELEMENT (self), error, doing);
  else
    g_error_free (error);
}

/* ---- model -------------------------------------------------------------- */

static void
gst_gpudl_infer_unload (GstGpudlInfer * self)
{
  GstGpudlNet net;

  gst_gpudl_fifo_close (&self->fifo);
  gst_gpudl_result_close (&self->result);
  GST_OBJECT_LOCK (self);
  net = self->net;
  memset (&self->net, 0, sizeof (self->net));
  self->latency = 0;
  GST_OBJECT_UNLOCK (self);
  gst_gpudl_net_close (&net);
}

static gboolean
gst_gpudl_infer_apply_preproc (GstGpudlInfer * self, GError ** error)
{
  gboolean ok;

  GST_OBJECT_LOCK (self);
  self->preproc_serial = self->settings.preproc_serial;
  ok = gst_gpudl_settings_resolve (&self->settings,
      gpudl_model_get_preproc (self->net.model), &self->preproc, error);
  GST_OBJECT_UNLOCK (self);
  return ok;
}

static gboolean
gst_gpudl_infer_apply_labels (GstGpudlInfer * self, GError ** error)
{
  g_autofree gchar *path = NULL;

  GST_OBJECT_LOCK (self);
  self->labels_serial = self->settings.labels_serial;
  path = g_strdup (self->settings.labels_file);
  GST_OBJECT_UNLOCK (self);
  return gst_gpudl_result_set_labels (&self->result, &self->net, path, error);
}

/* What fails leaves things for gst_gpudl_infer_unload(). */
static gboolean
gst_gpudl_infer_load (GstGpudlInfer * self, const gchar * location,
    GError ** error)
{
  GpudlSessionConfig config = { 0, };
  GstGpudlNet net = { 0, };
  guint depth;

  GST_OBJECT_LOCK (self);
  gst_gpudl_settings_get_config (&self->settings, &config);
  depth = self->settings.async_depth;
  GST_OBJECT_UNLOCK (self);
  if (!gst_gpudl_net_open (&net, location, &config, depth, error))
    return FALSE;

  GST_OBJECT_LOCK (self);
  self->net = net;
  self->latency = RUNS_PER_FRAME * gpudl_session_get_run_time (net.session);
  GST_OBJECT_UNLOCK (self);
  gst_gpudl_result_open (&self->result, &net);
  if (!gst_gpudl_infer_apply_labels (self, error)
      || !gst_gpudl_infer_apply_preproc (self, error))
    return FALSE;
  gst_gpudl_fifo_open (&self->fifo, net.depth, net.stream);
  return TRUE;
}

static void
gst_gpudl_infer_progress (GstGpudlInfer * self, GstProgressType type,
    const gchar * text)
{
  gst_element_post_message (GST_ELEMENT (self),
      gst_message_new_progress (GST_OBJECT (self), type, "load", text));
}

static gboolean
gst_gpudl_infer_start (GstBaseTransform * trans)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (trans);
  g_autofree gchar *path = NULL;
  g_autofree gchar *doing = NULL;
  GError *error = NULL;

  g_atomic_int_set (&self->failed, FALSE);
  self->interlace_told = self->discont = FALSE;
  gst_gpudl_stats_reset (&self->stats);

  GST_OBJECT_LOCK (self);
  path = g_strdup (self->settings.model);
  GST_OBJECT_UNLOCK (self);
  if (path == NULL || *path == '\0') {
    g_set_error_literal (&error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
        "property 'model' is not set, a net.bin or .onnx file is expected");
    gst_gpudl_infer_fail (self, error, "starting");
    return FALSE;
  }

  gst_gpudl_infer_progress (self, GST_PROGRESS_TYPE_START,
      _("Loading the model"));
  if (!gst_gpudl_infer_load (self, path, &error)) {
    gst_gpudl_infer_progress (self, GST_PROGRESS_TYPE_ERROR,
        _("Loading the model failed"));
    doing = g_strdup_printf ("loading the model %s", path);
    gst_gpudl_infer_fail (self, error, doing);
    gst_gpudl_infer_unload (self);
    return FALSE;
  }
  gst_gpudl_infer_progress (self, GST_PROGRESS_TYPE_COMPLETE,
      _("The model is ready"));
  GST_INFO_OBJECT (self, "model %s on %s, %u frames in flight",
      self->net.name, gpudl_session_get_device_name (self->net.session),
      self->net.depth);

  g_object_notify (G_OBJECT (self), "model-info");
  if (self->latency > 0)
    gst_element_post_message (GST_ELEMENT (self),
        gst_message_new_latency (GST_OBJECT (self)));
  return TRUE;
}

static gboolean
gst_gpudl_infer_stop (GstBaseTransform * trans)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (trans);

  gst_gpudl_infer_unload (self);
  g_object_notify (G_OBJECT (self), "model-info");
  return TRUE;
}

/* ---- negotiation -------------------------------------------------------- */

static gboolean
gst_gpudl_infer_set_caps (GstBaseTransform * trans, GstCaps * incaps,
    GstCaps * outcaps)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (trans);
  GstClockTime duration = GST_CLOCK_TIME_NONE;
  gboolean changed;
  GstVideoInfo info;

  if (!gst_video_info_from_caps (&info, incaps)
      || gst_gpudl_frame_format (GST_VIDEO_INFO_FORMAT (&info)) ==
      GPUDL_PIXEL_UNKNOWN) {
    GST_WARNING_OBJECT (self, "can't take caps %" GST_PTR_FORMAT, incaps);
    return FALSE;
  }
  switch (GST_VIDEO_INFO_INTERLACE_MODE (&info)) {
    case GST_VIDEO_INTERLACE_MODE_PROGRESSIVE:
      break;
    case GST_VIDEO_INTERLACE_MODE_INTERLEAVED:
    case GST_VIDEO_INTERLACE_MODE_MIXED:
      if (!self->interlace_told) {
        self->interlace_told = TRUE;
        GST_ELEMENT_INFO (self, STREAM, FORMAT,
            (_("Interlaced frames are classified with both fields woven.")),
            ("put a deinterlacer before this element to avoid it"));
      }
      break;
    default:
      GST_WARNING_OBJECT (self, "fields lie apart in %" GST_PTR_FORMAT, incaps);
      return FALSE;
  }
  self->info = info;

  if (GST_VIDEO_INFO_FPS_N (&info) > 0)
    duration = gst_util_uint64_scale_ceil (GST_SECOND,
        GST_VIDEO_INFO_FPS_D (&info), GST_VIDEO_INFO_FPS_N (&info));
  GST_OBJECT_LOCK (self);
  changed = self->frame_duration != duration;
  self->frame_duration = duration;
  GST_OBJECT_UNLOCK (self);
  if (changed)
    gst_element_post_message (GST_ELEMENT (self),
        gst_message_new_latency (GST_OBJECT (self)));
  return TRUE;
}

/* The buffers go on downstream as they are, so downstream's wishes hold; only
 * more of them are under way at once. */
static gboolean
gst_gpudl_infer_propose_allocation (GstBaseTransform * trans,
    GstQuery * decide_query, GstQuery * query)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (trans);

  if (!GST_BASE_TRANSFORM_CLASS (parent_class)->propose_allocation (trans,
          decide_query, query))
    return FALSE;

  for (guint i = 0; i < gst_query_get_n_allocation_pools (query); i++) {
    GstBufferPool *pool;
    guint size, min, max;

    gst_query_parse_nth_allocation_pool (query, i, &pool, &size, &min, &max);
    gst_query_set_nth_allocation_pool (query, i, pool, size,
        min + self->net.depth, max == 0 ? 0 : max + self->net.depth);
    gst_clear_object (&pool);
  }
  return TRUE;
}

/* ---- source pad's task: out of the element ------------------------------ */

static void
gst_gpudl_infer_attach (GstGpudlInfer * self, GstGpudlItem * item,
    GstBuffer * buffer)
{
  gfloat threshold;
  gboolean post;
  guint top_k;

  GST_OBJECT_LOCK (self);
  top_k = self->settings.top_k;
  threshold = self->settings.threshold;
  post = self->settings.post_messages == GST_GPUDL_POST_MESSAGES_ALL;
  GST_OBJECT_UNLOCK (self);

  gst_gpudl_result_attach (&self->result, &self->net, item->request,
      item->frame.region, top_k, threshold, buffer,
      post ? GST_ELEMENT (self) : NULL, &self->segment);
}

/* Warm-up measures an idle machine. Where frames of a live source keep taking
 * longer, sinks have to know. Time spent waiting for downstream is not in it,
 * so that a higher latency does not raise itself. */
static void
gst_gpudl_infer_update_latency (GstGpudlInfer * self)
{
  const GstClockTime seen =
      gst_gpudl_stats_p95 (&self->stats, GST_GPUDL_LATENCY_ANSWER);
  gboolean changed;

  GST_OBJECT_LOCK (self);
  changed = self->live && seen > self->latency + self->latency / 4;
  if (changed)
    self->latency = seen;
  GST_OBJECT_UNLOCK (self);
  if (changed)
    gst_element_post_message (GST_ELEMENT (self),
        gst_message_new_latency (GST_OBJECT (self)));
}

static void
gst_gpudl_infer_count (GstGpudlInfer * self, const GstGpudlItem * item)
{
  const GpudlTiming *timing = gpudl_request_get_timing (item->request);
  const gint64 now = g_get_monotonic_time () * 1000;
  const guint64 latencies[GST_GPUDL_N_LATENCIES] = {
    [GST_GPUDL_LATENCY_QUEUE] = MAX (timing->started - timing->submitted, 0),
    [GST_GPUDL_LATENCY_INFER] = MAX (timing->finished - timing->started, 0),
    [GST_GPUDL_LATENCY_TOTAL] = MAX (now - item->arrived * 1000, 0),
    [GST_GPUDL_LATENCY_ANSWER] = MAX (timing->finished - timing->submitted, 0),
  };

  if (gst_gpudl_stats_inference (&self->stats, latencies))
    gst_gpudl_infer_update_latency (self);
}

/* Waits for the item's request; its buffer with metadata comes out. */
static GstFlowReturn
gst_gpudl_infer_finish (GstGpudlInfer * self, GstGpudlItem * item,
    GstBuffer ** buffer)
{
  GError *error = NULL;
  gboolean ok;

  *buffer = g_steal_pointer (&item->buffer);
  if (!item->submitted)
    return GST_FLOW_OK;

  ok = gpudl_request_wait (item->request, &error);
  item->submitted = FALSE;
  /* a mapped buffer's memory is locked: metadata only after this */
  gst_gpudl_frame_unmap (&item->frame);
  if (ok) {
    *buffer = gst_buffer_make_writable (*buffer);
    gst_gpudl_infer_count (self, item);
    gst_gpudl_infer_attach (self, item, *buffer);
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

static void
gst_gpudl_infer_loop (gpointer user_data)
{
  GstPad *pad = GST_PAD (user_data);
  GstGpudlInfer *self = GST_GPUDL_INFER (GST_PAD_PARENT (pad));
  GstGpudlItem *item;
  GstBuffer *buffer;
  GstFlowReturn ret;

  if (!gst_gpudl_fifo_wait_head (&self->fifo, pad, &item))
    return;
  ret = gst_gpudl_infer_finish (self, item, &buffer);
  if (ret == GST_FLOW_OK) {
    GST_LOG_OBJECT (self, "pushing %" GST_PTR_FORMAT, buffer);
    ret = gst_pad_push (pad, buffer);
  }
  gst_gpudl_fifo_pop (&self->fifo, ret);
}

/* ---- sink pad's streaming thread: into the element ---------------------- */

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
  /* a running stream does not die of a wrong labels file */
  if (labels_changed && !gst_gpudl_infer_apply_labels (self, &labels_error))
    gst_gpudl_element_warning (GST_ELEMENT (self), labels_error,
        "changing labels-file; the labels stay as they were");
  return !preproc_changed || gst_gpudl_infer_apply_preproc (self, error);
}

static gboolean
gst_gpudl_infer_submit_frame (GstGpudlInfer * self, GstGpudlItem * item,
    GError ** error)
{
  if (!gst_gpudl_infer_refresh (self, error)
      || !gst_gpudl_frame_map (&item->frame, &self->info, item->buffer, error))
    return FALSE;
  if (!gpudl_request_submit (item->request, &item->frame.frame, &self->preproc,
          error)) {
    gst_gpudl_frame_unmap (&item->frame);
    return FALSE;
  }
  item->submitted = TRUE;
  return TRUE;
}

static GstFlowReturn
gst_gpudl_infer_enqueue (GstGpudlInfer * self, GstBuffer * buffer)
{
  const gint64 arrived = g_get_monotonic_time ();
  GError *error = NULL;
  GstGpudlItem *item;
  GstFlowReturn ret;

  ret = gst_gpudl_fifo_reserve (&self->fifo, &item);
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
  item->arrived = arrived;
  item->buffer = buffer;
  /* nothing to be seen in a gap; it keeps its place in the order */
  if (!GST_BUFFER_FLAG_IS_SET (buffer, GST_BUFFER_FLAG_GAP)
      && !gst_gpudl_infer_submit_frame (self, item, &error)) {
    gst_clear_buffer (&item->buffer);
    gst_gpudl_stats_error (&self->stats);
    gst_gpudl_infer_fail (self, error, "taking a frame");
    gst_gpudl_fifo_fail (&self->fifo, GST_FLOW_ERROR);
    return GST_FLOW_ERROR;
  }
  gst_gpudl_fifo_commit (&self->fifo);
  return GST_FLOW_OK;
}

static GstFlowReturn
gst_gpudl_infer_submit_input_buffer (GstBaseTransform * trans,
    gboolean is_discont, GstBuffer * input)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (trans);
  GstFlowReturn ret;

  /* The parent may renegotiate, which sends events: older frames go first. */
  if (gst_pad_needs_reconfigure (trans->srcpad)) {
    ret = gst_gpudl_fifo_drain (&self->fifo);
    if (ret != GST_FLOW_OK) {
      gst_buffer_unref (input);
      return ret;
    }
  }

  ret =
      GST_BASE_TRANSFORM_CLASS (parent_class)->submit_input_buffer (trans,
      is_discont, input);
  if (ret != GST_FLOW_OK) {
    /* is_discont is no help: it holds until the base class pushes something */
    if (ret == GST_BASE_TRANSFORM_FLOW_DROPPED)
      self->discont = TRUE;
    return ret;
  }
  return gst_gpudl_infer_enqueue (self, g_steal_pointer (&trans->queued_buf));
}

static GstFlowReturn
gst_gpudl_infer_generate_output (GstBaseTransform * trans, GstBuffer ** out)
{
  *out = NULL;
  return GST_FLOW_OK;
}

/* Never called; with neither this nor transform the base class would hand
 * buffers through by itself. */
static GstFlowReturn
gst_gpudl_infer_transform_ip (GstBaseTransform * trans, GstBuffer * buffer)
{
  g_assert_not_reached ();
  return GST_FLOW_ERROR;
}

/* ---- events and queries ------------------------------------------------- */

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

static GstFlowReturn
gst_gpudl_infer_serialized_event (GstGpudlInfer * self, GstEvent * event)
{
  const GstEventType type = GST_EVENT_TYPE (event);
  GstFlowReturn ret;

  ret = gst_gpudl_fifo_drain (&self->fifo);
  if (ret == GST_FLOW_FLUSHING && gst_gpudl_fifo_is_flushing (&self->fifo)) {
    gst_event_unref (event);
    return GST_FLOW_FLUSHING;
  }
  if (type == GST_EVENT_STREAM_START || type == GST_EVENT_SEGMENT) {
    /* downstream may want what comes now */
    gst_gpudl_fifo_forgive (&self->fifo, GST_FLOW_EOS,
        GST_BASE_TRANSFORM_SRC_PAD (self), gst_gpudl_infer_loop);
  }
  if (type == GST_EVENT_SEGMENT)
    gst_event_copy_segment (event, &self->segment);
  if (type == GST_EVENT_EOS)
    gst_gpudl_infer_report_flow (self, ret);

  if (GST_BASE_TRANSFORM_CLASS (parent_class)->sink_event
      (GST_BASE_TRANSFORM (self), event))
    return GST_FLOW_OK;
  if (gst_gpudl_fifo_is_flushing (&self->fifo))
    return GST_FLOW_FLUSHING;
  if (type == GST_EVENT_CAPS)
    return GST_FLOW_NOT_NEGOTIATED;
  ret = gst_gpudl_fifo_get_result (&self->fifo);
  return ret == GST_FLOW_OK ? GST_FLOW_ERROR : ret;
}

/* A full event function: the base class's gboolean one makes an error of an
 * event that meets a flush or a shutdown. */
static GstFlowReturn
gst_gpudl_infer_sink_event (GstPad * pad, GstObject * parent, GstEvent * event)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (parent);
  GstBaseTransformClass *base = GST_BASE_TRANSFORM_CLASS (parent_class);
  GstPad *srcpad = GST_BASE_TRANSFORM_SRC_PAD (self);
  gboolean ok;

  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_FLUSH_START:
      /* downstream first, it lets go of a push */
      ok = base->sink_event (GST_BASE_TRANSFORM (self), event);
      gst_gpudl_infer_flush_start (self);
      return ok ? GST_FLOW_OK : GST_FLOW_ERROR;
    case GST_EVENT_FLUSH_STOP:
      gst_gpudl_infer_flush_start (self);
      gst_gpudl_fifo_reset (&self->fifo);
      gst_segment_init (&self->segment, GST_FORMAT_UNDEFINED);
      self->discont = FALSE;
      g_atomic_int_set (&self->failed, FALSE);
      ok = base->sink_event (GST_BASE_TRANSFORM (self), event);
      gst_pad_start_task (srcpad, gst_gpudl_infer_loop, srcpad, NULL);
      return ok ? GST_FLOW_OK : GST_FLOW_ERROR;
    default:
      if (GST_EVENT_IS_SERIALIZED (event))
        return gst_gpudl_infer_serialized_event (self, event);
      ok = base->sink_event (GST_BASE_TRANSFORM (self), event);
      return ok ? GST_FLOW_OK : GST_FLOW_ERROR;
  }
}

static gboolean
gst_gpudl_infer_src_event (GstBaseTransform * trans, GstEvent * event)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (trans);

  /* linked anew: pushing is worth another try */
  if (GST_EVENT_TYPE (event) == GST_EVENT_RECONFIGURE)
    gst_gpudl_fifo_forgive (&self->fifo, GST_FLOW_NOT_LINKED, trans->srcpad,
        gst_gpudl_infer_loop);
  return GST_BASE_TRANSFORM_CLASS (parent_class)->src_event (trans, event);
}

static gboolean
gst_gpudl_infer_query_latency (GstGpudlInfer * self, GstQuery * query)
{
  GstClockTime min, max, latency, duration;
  gboolean live;
  guint depth;

  gst_query_parse_latency (query, &live, &min, &max);
  GST_OBJECT_LOCK (self);
  self->live = live;
  latency = self->latency;
  duration = self->frame_duration;
  depth = self->net.depth;
  GST_OBJECT_UNLOCK (self);

  /* What is held back is not waited for: the depth is room, not delay. */
  min += latency;
  if (max != GST_CLOCK_TIME_NONE) {
    max += latency;
    if (duration != GST_CLOCK_TIME_NONE)
      max += depth * duration;
  }
  gst_query_set_latency (query, live, min, max);
  return TRUE;
}

static gboolean
gst_gpudl_infer_query (GstBaseTransform * trans, GstPadDirection direction,
    GstQuery * query)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (trans);
  gboolean ok;

  if (direction == GST_PAD_SINK && GST_QUERY_IS_SERIALIZED (query)
      && gst_gpudl_fifo_drain (&self->fifo) == GST_FLOW_FLUSHING)
    return FALSE;
  /* only push mode, whatever upstream can do */
  if (direction == GST_PAD_SRC
      && GST_QUERY_TYPE (query) == GST_QUERY_SCHEDULING) {
    gst_query_set_scheduling (query, GST_SCHEDULING_FLAG_SEQUENTIAL, 1, -1, 0);
    gst_query_add_scheduling_mode (query, GST_PAD_MODE_PUSH);
    return TRUE;
  }

  ok = GST_BASE_TRANSFORM_CLASS (parent_class)->query (trans, direction, query);
  if (ok && direction == GST_PAD_SRC
      && GST_QUERY_TYPE (query) == GST_QUERY_LATENCY)
    return gst_gpudl_infer_query_latency (self, query);
  return ok;
}

/* ---- object ------------------------------------------------------------- */

static gboolean
gst_gpudl_infer_src_activate_mode (GstPad * pad, GstObject * parent,
    GstPadMode mode, gboolean active)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (parent);

  if (mode != GST_PAD_MODE_PUSH)
    return FALSE;
  if (active) {
    gst_segment_init (&self->segment, GST_FORMAT_UNDEFINED);
    gst_gpudl_fifo_reset (&self->fifo);
    return self->base_src_activate_mode (pad, parent, mode, active)
        && gst_pad_start_task (pad, gst_gpudl_infer_loop, pad, NULL);
  }
  gst_gpudl_fifo_set_flushing (&self->fifo);
  return gst_pad_stop_task (pad)
      && self->base_src_activate_mode (pad, parent, mode, active);
}

static void
gst_gpudl_infer_set_property (GObject * object, guint prop_id,
    const GValue * value, GParamSpec * pspec)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (object);
  gboolean ok;

  GST_OBJECT_LOCK (self);
  ok = gst_gpudl_settings_set (&self->settings, prop_id, value);
  GST_OBJECT_UNLOCK (self);
  if (!ok)
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
}

static void
gst_gpudl_infer_get_property (GObject * object, guint prop_id, GValue * value,
    GParamSpec * pspec)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (object);
  gboolean ok;

  switch (prop_id) {
    case PROP_STATS:
      g_value_take_boxed (value, gst_gpudl_stats_to_structure (&self->stats,
              gst_gpudl_fifo_get_count (&self->fifo)));
      return;
    case PROP_MODEL_INFO:
      GST_OBJECT_LOCK (self);
      g_value_take_boxed (value, gst_gpudl_net_describe (&self->net));
      GST_OBJECT_UNLOCK (self);
      return;
    default:
      break;
  }
  GST_OBJECT_LOCK (self);
  ok = gst_gpudl_settings_get (&self->settings, prop_id, value);
  GST_OBJECT_UNLOCK (self);
  if (!ok)
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
}

static void
gst_gpudl_infer_finalize (GObject * object)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (object);

  gst_gpudl_settings_clear (&self->settings);
  gst_gpudl_fifo_clear (&self->fifo);
  gst_gpudl_result_clear (&self->result);
  gst_gpudl_stats_clear (&self->stats);
  G_OBJECT_CLASS (parent_class)->finalize (object);
}

static void
gst_gpudl_infer_init (GstGpudlInfer * self)
{
  GstBaseTransform *trans = GST_BASE_TRANSFORM (self);

  gst_gpudl_settings_init (&self->settings);
  gst_gpudl_fifo_init (&self->fifo);
  gst_gpudl_result_init (&self->result);
  gst_gpudl_stats_init (&self->stats);
  gst_segment_init (&self->segment, GST_FORMAT_UNDEFINED);
  self->frame_duration = GST_CLOCK_TIME_NONE;

  gst_base_transform_set_in_place (trans, TRUE);
  gst_pad_set_event_full_function (trans->sinkpad, gst_gpudl_infer_sink_event);
  self->base_src_activate_mode = GST_PAD_ACTIVATEMODEFUNC (trans->srcpad);
  gst_pad_set_activatemode_function (trans->srcpad,
      gst_gpudl_infer_src_activate_mode);
  gst_pad_set_getrange_function (trans->srcpad, NULL);
}

static void
gst_gpudl_infer_install_info (GObjectClass * klass)
{
  g_object_class_install_property (klass, PROP_STATS,
      g_param_spec_boxed ("stats", "Statistics",
          "frames, inferences, errors since start; in-flight now; queue-, "
          "infer- and total-latency-avg, -min, -max, -p50, -p95 of the last "
          G_STRINGIFY (GST_GPUDL_STATS_WINDOW) " inferences, ns",
          GST_TYPE_STRUCTURE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
  g_object_class_install_property (klass, PROP_MODEL_INFO,
      g_param_spec_boxed ("model-info", "Model information",
          "What is loaded and where it runs, from PAUSED on",
          GST_TYPE_STRUCTURE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
}

static void
gst_gpudl_infer_class_init (GstGpudlInferClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *trans_class = GST_BASE_TRANSFORM_CLASS (klass);

  gst_gpudl_meta_register ();
  object_class->set_property = gst_gpudl_infer_set_property;
  object_class->get_property = gst_gpudl_infer_get_property;
  object_class->finalize = gst_gpudl_infer_finalize;
  gst_gpudl_settings_install (object_class);
  gst_gpudl_infer_install_info (object_class);

  gst_element_class_set_static_metadata (element_class,
      "Image classification", "Filter/Analyzer/Video",
      "Classifies video frames with a convolutional network and attaches the "
      "result as metadata", "The gpudlinfer developers");
  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);

  trans_class->passthrough_on_same_caps = FALSE;
  trans_class->start = gst_gpudl_infer_start;
  trans_class->stop = gst_gpudl_infer_stop;
  trans_class->set_caps = gst_gpudl_infer_set_caps;
  trans_class->propose_allocation = gst_gpudl_infer_propose_allocation;
  trans_class->submit_input_buffer = gst_gpudl_infer_submit_input_buffer;
  trans_class->generate_output = gst_gpudl_infer_generate_output;
  trans_class->transform_ip = gst_gpudl_infer_transform_ip;
  trans_class->src_event = gst_gpudl_infer_src_event;
  trans_class->query = gst_gpudl_infer_query;
}

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
 * time, and leave in order, with the events between them. Elements of one
 * process with the same model whose settings of backend, precision, activation,
 * threads and batch come to the same share one copy of the network.
 *
 * ## Loading
 *
 * The model is loaded in the change from READY to PAUSED, which returns when the
 * network can run, and can't be cancelled; progress messages "load" tell of its
 * begin and end. It is short: what a backend wants to measure, it measures later,
 * while there is nothing to do, and the latency follows.
 *
 * Properties that can be changed in READY are read there, all at once. Set later,
 * they count from the next start, which a warning message says.
 *
 * ## Live pipelines
 *
 * No frame is dropped. What the LATENCY query gets is what warm-up has measured,
 * and after 32 frames 1.25 x the 95th percentile of what frames of the last 10 s
 * took (at least the newest 32): it rises when that passes it, falls when that has
 * been below 0.75 of it for 10 s, and changes at most once a second, each time with
 * a LATENCY message. Where the query says that nothing is live, it stays.
 *
 * A live pipeline that falls behind is told so by a warning, CORE CLOCK, with the
 * details `gpudlinfer-behind`: `limited-by` (string, "network" or "downstream"),
 * `rate-asked` (double, frames/s; 0: unknown, but more), `rate-reached` (double). It
 * comes once, and again only after 10 s without cause.
 *
 * #GstGpudlInfer:stats has `frames-late`: frames that left when the pipeline's
 * running time was beyond their own plus the latency that the last LATENCY event
 * set, so that a sink could not be in time any more; and `lag-max`, by how much at
 * most. Both are 0 where nothing is live and count from the first such event on.
 *
 * ## Memory
 *
 * Frames are taken from any system memory. Where the backend's device reads
 * memory of its own faster, upstream is offered a pool of it, unless downstream
 * names a pool or an allocator; these buffers go on downstream as any others and
 * may outlive the element.
 *
 * Where the plugin is built with GStreamer's CUDA library, frames in
 * `memory:CUDAMemory` (of NVIDIA's decoders, cudaupload) are read where they lie
 * by backend=cuda, and leave as they came. Nothing is copied to the host, and
 * nothing waits for the GPU: a frame is handed on when it has been read. The
 * network runs in the context that neighbours or the application have, else in
 * the GPU's primary one, which others are told of; it follows frames to another
 * context or GPU, which takes as long as a start. Networks on the CPU do not take
 * such frames: decoders hand over system memory then, and where CUDA memory is
 * insisted on an error or a warning names `cudadownload`.
 *
 * ## Metadata
 *
 * `v` (int, 1), `model`, `model-hash` (string), `labels` (array of string),
 * `ids` (array of int), `confidences` (array of double, descending), `fresh`
 * (boolean), `source-pts`, `age` (uint64), `region` (array of 4 double: x, y,
 * width, height of what the network saw, 0..1), and `head` (string) where a
 * network has several outputs, which give a metadata each. `label` (string), `id`
 * (int) and `confidence` (double) are those of the best class, and absent where
 * there is none. Python without python3-gst-1.0 reads arrays by
 * `structure.get_array("labels")`, and lists in messages by `get_list()`. A buffer
 * that has passed several gpudlinfer carries the metadata of all:
 * `gst_buffer_iterate_meta_filtered()` with the API of
 * `gst_meta_get_info ("GpudlClassificationMeta")`. The first frame waits
 * for the hash, which takes as long as reading the file; it is empty if that has
 * become another file by then.
 *
 * A frame that repeats another (flag GAP, as videorate and livesync set it) or
 * can't be read is not classified. It has the classification of the frame before
 * it: `fresh` is FALSE, `source-pts` that frame's time, `age` the time since
 * then. Where there is none, frames flagged GAP are classified; one that can't be
 * read goes on without, and a warning says why.
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

#include "gstgpudlcaps.h"
#include "gstgpudldoc.h"
#include "gstgpudlload.h"
#include "gstgpudlpush.h"
#include "gstgpudlquery.h"
#include "gstgpudlsubmit.h"
#include "video/describe.h"

GST_DEBUG_CATEGORY (gst_gpudl_infer_debug);
#define GST_CAT_DEFAULT gst_gpudl_infer_debug

enum
{
  PROP_STATS = GST_GPUDL_PROP_LAST_SETTING + 1,
  PROP_MODEL_INFO,
  PROP_LABELS
};

/* No framerate: the base class would add one to caps that have none, and they
 * would not leave as they came. */
#define TEMPLATE_CAPS "video/x-raw, format = (string) " GPUDL_VIDEO_FORMATS \
    ", width = (int) [ 1, " G_STRINGIFY (GST_GPUDL_FRAME_MAX_SIDE) " ]"          \
    ", height = (int) [ 1, " G_STRINGIFY (GST_GPUDL_FRAME_MAX_SIDE) " ]"

#define parent_class gst_gpudl_infer_parent_class
G_DEFINE_TYPE_WITH_CODE (GstGpudlInfer, gst_gpudl_infer,
    GST_TYPE_BASE_TRANSFORM,
    GST_DEBUG_CATEGORY_INIT (gst_gpudl_infer_debug, "gpudlinfer", 0,
        "classification of video frames"));
GST_ELEMENT_REGISTER_DEFINE (gpudlinfer, "gpudlinfer", GST_RANK_NONE,
    GST_TYPE_GPUDL_INFER);

const GstBaseTransformClass *
gst_gpudl_infer_get_base_class (void)
{
  return GST_BASE_TRANSFORM_CLASS (parent_class);
}

/* ---- start and stop ------------------------------------------------------ */

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
  const gchar *path;
  g_autofree gchar *doing = NULL;
  GError *error = NULL;

  g_atomic_int_set (&self->failed, FALSE);
  g_atomic_int_set (&self->memory_told, FALSE);
  self->interlace_told = self->discont = FALSE;
  memset (&self->frame_warnings, 0, sizeof (self->frame_warnings));
  gst_gpudl_stats_reset (&self->stats);

  GST_OBJECT_LOCK (self);
  gst_gpudl_settings_copy (&self->used, &self->settings);
  self->started = TRUE;
  GST_OBJECT_UNLOCK (self);
  path = self->used.model;
  if (path == NULL || *path == '\0') {
    g_set_error_literal (&error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
        "property 'model' is not set, a net.bin or a file of ONNX, PyTorch, "
        "TensorFlow or Caffe is expected");
    gst_gpudl_infer_fail (self, error, "starting");
    gst_gpudl_infer_unload (self);
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
  g_object_notify (G_OBJECT (self), "labels");
  if (gst_gpudl_live_get_latency (&self->live) > 0)
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
  g_object_notify (G_OBJECT (self), "labels");
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
      || gpudl_video_format (GST_VIDEO_INFO_FORMAT (&info)) ==
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
  gst_gpudl_infer_forget (self);
  self->info = info;
  self->kind = gst_gpudl_frame_memory_kind (incaps);

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

/* ---- events and buffers ------------------------------------------------- */

static gboolean
gst_gpudl_infer_src_event (GstBaseTransform * trans, GstEvent * event)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (trans);

  /* linked anew: pushing is worth another try */
  if (GST_EVENT_TYPE (event) == GST_EVENT_RECONFIGURE)
    gst_gpudl_fifo_forgive (&self->fifo, GST_FLOW_NOT_LINKED, trans->srcpad,
        gst_gpudl_infer_loop);
  if (GST_EVENT_TYPE (event) == GST_EVENT_LATENCY) {
    GstClockTime latency;

    gst_event_parse_latency (event, &latency);
    gst_gpudl_live_set_pipeline_latency (&self->live, latency);
  }
  return GST_BASE_TRANSFORM_CLASS (parent_class)->src_event (trans, event);
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

/* ---- contexts --------------------------------------------------------------- */

static gint
gst_gpudl_infer_get_cuda_device_id (GstGpudlInfer * self)
{
  gint id;

  GST_OBJECT_LOCK (self);
  id = self->settings.cuda_device_id;
  GST_OBJECT_UNLOCK (self);
  return id;
}

static GstStateChangeReturn
gst_gpudl_infer_change_state (GstElement * element, GstStateChange transition)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (element);
  GstStateChangeReturn ret;

  if (transition == GST_STATE_CHANGE_NULL_TO_READY) {
    g_atomic_int_set (&self->failed, FALSE);
    if (!gst_gpudl_infer_ensure_context (self))
      return GST_STATE_CHANGE_FAILURE;
  }
  if (transition == GST_STATE_CHANGE_PAUSED_TO_PLAYING
      || transition == GST_STATE_CHANGE_PLAYING_TO_PAUSED) {
    const gboolean playing = transition == GST_STATE_CHANGE_PAUSED_TO_PLAYING;

    gst_gpudl_live_set_playing (&self->live, playing);
    /* upstream asks anew: gst_gpudl_infer_make_way() has not asked downstream */
    if (gst_gpudl_fifo_set_playing (&self->fifo, playing))
      gst_base_transform_reconfigure_sink (GST_BASE_TRANSFORM (self));
  }
  ret = GST_ELEMENT_CLASS (parent_class)->change_state (element, transition);
  /* the network has the model by now */
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED
      || transition == GST_STATE_CHANGE_READY_TO_NULL)
    g_clear_pointer (&self->preload, gst_gpudl_preload_free);
  if (transition == GST_STATE_CHANGE_READY_TO_NULL)
    gst_gpudl_cuda_clear (&self->cuda);
  return ret;
}

static void
gst_gpudl_infer_set_context (GstElement * element, GstContext * context)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (element);

  gst_gpudl_cuda_set_context (&self->cuda, element,
      gst_gpudl_infer_get_cuda_device_id (self), context);
  GST_ELEMENT_CLASS (parent_class)->set_context (element, context);
}

/* Pinned memory of another device is any memory of the host: only what lies on a
 * device asks for that one. */
static gboolean
gst_gpudl_infer_get_buffer_device (GstGpudlInfer * self, GstBuffer * buffer,
    GpudlDevice ** device, GError ** error)
{
  *device = NULL;
  return self->kind != GPUDL_MEMORY_CUDA
      || gst_gpudl_cuda_get_buffer_device (buffer, self->used.cuda_device_id,
      gpudl_session_get_device (self->net.session), device, error);
}

/* ---- object ------------------------------------------------------------- */

static void
gst_gpudl_infer_set_property (GObject * object, guint prop_id,
    const GValue * value, GParamSpec * pspec)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (object);
  gboolean ok, changed, late;

  GST_OBJECT_LOCK (self);
  ok = gst_gpudl_settings_change (&self->settings, pspec, value, &changed);
  late = changed && self->started && (pspec->flags & GST_PARAM_MUTABLE_READY)
      && gst_gpudl_settings_differ (&self->settings, &self->used, pspec);
  GST_OBJECT_UNLOCK (self);
  if (!ok)
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
  if (late)
    GST_ELEMENT_WARNING (self, RESOURCE, SETTINGS,
        (_("Property '%s' counts from the next start."), pspec->name),
        ("it has been set in PAUSED or PLAYING, where the value of the start "
            "stays in use; set the element to READY first"));
}

static GstStructure *
gst_gpudl_infer_describe (GstGpudlInfer * self)
{
  GstStructure *description;
  GstGpudlNet net;

  GST_OBJECT_LOCK (self);
  gst_gpudl_net_copy (&net, &self->net);
  GST_OBJECT_UNLOCK (self);
  description = gst_gpudl_net_describe (&net);
  gst_gpudl_net_close (&net);
  return description;
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
      g_value_take_boxed (value, gst_gpudl_infer_describe (self));
      return;
    case PROP_LABELS:
      g_value_take_boxed (value, gst_gpudl_result_get_labels (&self->result));
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
gst_gpudl_infer_shut_down (GstElement * element, gpointer user_data)
{
  gst_element_set_state (element, GST_STATE_NULL);
}

/* Above NULL the base class complains and does nothing, and the element would be
 * freed with its task running and its session open. */
static void
gst_gpudl_infer_dispose (GObject * object)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (object);
  GstElement *element = GST_ELEMENT (object);

  G_OBJECT_CLASS (parent_class)->dispose (object);
  if (GST_STATE (self) == GST_STATE_NULL)
    return;

  g_atomic_int_set (&self->lost, TRUE);
  gst_element_set_bus (element, NULL);  /* messages would be references */
  if (g_atomic_pointer_get (&self->task_thread) == g_thread_self ()) {
    /* a thread can't wait for itself; this takes a reference until it is done */
    gst_element_call_async (element, gst_gpudl_infer_shut_down, NULL, NULL);
    return;
  }
  gst_gpudl_infer_shut_down (element, NULL);
  G_OBJECT_CLASS (parent_class)->dispose (object);
}

static void
gst_gpudl_infer_finalize (GObject * object)
{
  GstGpudlInfer *self = GST_GPUDL_INFER (object);

  gst_gpudl_preload_free (self->preload);
  gst_gpudl_cuda_clear (&self->cuda);
  gst_gpudl_settings_clear (&self->settings);
  gst_gpudl_settings_clear (&self->used);
  gst_gpudl_fifo_clear (&self->fifo);
  gst_gpudl_result_clear (&self->result);
  gst_gpudl_stats_clear (&self->stats);
  gst_gpudl_live_clear (&self->live);
  G_OBJECT_CLASS (parent_class)->finalize (object);
}

static void
gst_gpudl_infer_init (GstGpudlInfer * self)
{
  GstBaseTransform *trans = GST_BASE_TRANSFORM (self);

  gst_gpudl_settings_init (&self->settings);
  gst_gpudl_settings_init (&self->used);
  gst_gpudl_fifo_init (&self->fifo);
  gst_gpudl_result_init (&self->result);
  gst_gpudl_stats_init (&self->stats);
  gst_gpudl_live_init (&self->live);
  gst_segment_init (&self->segment, GST_FORMAT_UNDEFINED);
  self->frame_duration = GST_CLOCK_TIME_NONE;
  self->get_buffer_device = gst_gpudl_infer_get_buffer_device;

  gst_base_transform_set_in_place (trans, TRUE);
  gst_pad_set_event_full_function (trans->sinkpad, gst_gpudl_infer_sink_event);
  self->base_sink_activate_mode = GST_PAD_ACTIVATEMODEFUNC (trans->sinkpad);
  gst_pad_set_activatemode_function (trans->sinkpad,
      gst_gpudl_infer_sink_activate_mode);
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
          "frames, inferences, errors, frames-late and lag-max (live: beyond "
          "the pipeline's latency, ns) since start; in-flight now; queue-, "
          "infer- and total-latency-avg, -min, -max, -p50, -p95 of the last "
          G_STRINGIFY (GST_GPUDL_STATS_WINDOW) " inferences, ns",
          GST_TYPE_STRUCTURE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
  g_object_class_install_property (klass, PROP_MODEL_INFO,
      g_param_spec_boxed ("model-info", "Model information",
          "What is loaded and where it runs, from PAUSED on",
          GST_TYPE_STRUCTURE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
  g_object_class_install_property (klass, PROP_LABELS,
      g_param_spec_boxed ("labels", "Labels",
          "Those in use for the first output, by class number, from PAUSED on",
          G_TYPE_STRV, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
}

/* The same on both pads; memory of a GPU first, where it is taken. */
static void
gst_gpudl_infer_add_templates (GstElementClass * klass)
{
  const gchar *feature = gst_gpudl_cuda_get_caps_feature ();
  g_autoptr (GstCaps) caps = gst_caps_from_string (TEMPLATE_CAPS);

  if (feature != NULL) {
    GstCaps *device = gst_caps_copy (caps);

    gst_caps_set_features_simple (device,
        gst_caps_features_new (feature, NULL));
    caps = gst_caps_merge (device, g_steal_pointer (&caps));
  }
  gst_element_class_add_pad_template (klass,
      gst_pad_template_new ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, caps));
  gst_element_class_add_pad_template (klass,
      gst_pad_template_new ("src", GST_PAD_SRC, GST_PAD_ALWAYS, caps));
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
  object_class->dispose = gst_gpudl_infer_dispose;
  object_class->finalize = gst_gpudl_infer_finalize;
  gst_gpudl_settings_install (object_class);
  gst_gpudl_infer_install_info (object_class);

  gst_element_class_set_static_metadata (element_class,
      "Image classification", "Filter/Analyzer/Video",
      "Classifies video frames with a convolutional network and attaches the "
      "result as metadata", "The gpudlinfer developers");
  gst_gpudl_doc_add (element_class, "applications.md");
  gst_gpudl_infer_add_templates (element_class);

  element_class->change_state = gst_gpudl_infer_change_state;
  element_class->set_context = gst_gpudl_infer_set_context;

  trans_class->passthrough_on_same_caps = FALSE;
  trans_class->start = gst_gpudl_infer_start;
  trans_class->stop = gst_gpudl_infer_stop;
  trans_class->transform_caps = gst_gpudl_caps_transform;
  trans_class->accept_caps = gst_gpudl_caps_accept;
  trans_class->set_caps = gst_gpudl_infer_set_caps;
  trans_class->propose_allocation = gst_gpudl_infer_propose_allocation;
  trans_class->submit_input_buffer = gst_gpudl_infer_submit_input_buffer;
  trans_class->generate_output = gst_gpudl_infer_generate_output;
  trans_class->transform_ip = gst_gpudl_infer_transform_ip;
  trans_class->src_event = gst_gpudl_infer_src_event;
  trans_class->query = gst_gpudl_infer_query;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * gpudlinfer where flushes, shutdowns and relinks meet. The engine is the real one over a fake module.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"

static const gchar *model_path;

static GstElement *
new_pipeline (GstElement ** infer)
{
  GstElement *pipeline = gst_pipeline_new (NULL);
  GstElement *sink =
      plugin_test_element ("fakesink", "async=false", "sync=false", NULL);

  *infer = plugin_test_element ("gpudlinfer", NULL);
  g_object_set (*infer, "model", model_path, NULL);
  gst_bin_add_many (GST_BIN (pipeline), *infer, sink, NULL);
  g_assert_true (gst_element_link (*infer, sink));
  g_assert_cmpint (gst_element_set_state (pipeline, GST_STATE_PLAYING), !=,
      GST_STATE_CHANGE_FAILURE);
  return pipeline;
}

static void
drop_pipeline (GstElement * pipeline)
{
  g_assert_cmpint (gst_element_set_state (pipeline, GST_STATE_NULL), ==,
      GST_STATE_CHANGE_SUCCESS);
  gst_object_unref (pipeline);
}

/* A state change downwards deactivates the source pad first: the sink pad still lets a FLUSH_STOP in. */
static void
test_flush_stop_on_inactive_pad (void)
{
  g_autoptr (GstPad) sink = NULL;
  g_autoptr (GstPad) src = NULL;
  GstElement *infer, *pipeline;
  GstSegment segment;

  plugin_fake_reset ();
  pipeline = new_pipeline (&infer);
  sink = gst_element_get_static_pad (infer, "sink");
  src = gst_element_get_static_pad (infer, "src");
  gst_pad_send_event (sink, gst_event_new_stream_start ("test"));
  g_assert_true (gst_pad_send_event (sink, gst_event_new_flush_start ()));
  g_assert_true (gst_pad_set_active (src, FALSE));
  gst_pad_send_event (sink, gst_event_new_flush_stop (TRUE));
  g_assert_null (GST_PAD_TASK (src));
  /* nor does anything get in */
  gst_segment_init (&segment, GST_FORMAT_TIME);
  g_assert_false (gst_pad_send_event (sink, gst_event_new_segment (&segment)));
  drop_pipeline (pipeline);
}

/* An active pad's task goes on with the FLUSH_STOP. */
static void
test_flush_stop_on_active_pad (void)
{
  g_autoptr (GstPad) sink = NULL;
  g_autoptr (GstPad) src = NULL;
  GstElement *infer, *pipeline;

  plugin_fake_reset ();
  pipeline = new_pipeline (&infer);
  sink = gst_element_get_static_pad (infer, "sink");
  src = gst_element_get_static_pad (infer, "src");
  gst_pad_send_event (sink, gst_event_new_stream_start ("test"));
  g_assert_true (gst_pad_send_event (sink, gst_event_new_flush_start ()));
  g_assert_cmpint (gst_pad_get_task_state (src), ==, GST_TASK_PAUSED);
  g_assert_true (gst_pad_send_event (sink, gst_event_new_flush_stop (TRUE)));
  g_assert_cmpint (gst_pad_get_task_state (src), ==, GST_TASK_STARTED);
  drop_pipeline (pipeline);
}

static gint enough;

static gpointer
flush_all_the_time (gpointer pad)
{
  while (!g_atomic_int_get (&enough)) {
    gst_pad_send_event (pad, gst_event_new_flush_start ());
    gst_pad_send_event (pad, gst_event_new_flush_stop (TRUE));
  }
  return NULL;
}

/* The same met by chance: a flush of another thread beside the whole of a shutdown. */
static void
test_flushes_beside_shutdowns (void)
{
  plugin_fake_reset ();
  for (guint round = 0; round < 100; round++) {
    GstElement *infer, *pipeline = new_pipeline (&infer);
    g_autoptr (GstPad) sink = gst_element_get_static_pad (infer, "sink");
    GThread *thread;

    g_atomic_int_set (&enough, FALSE);
    thread = g_thread_new ("flushes", flush_all_the_time, sink);
    g_usleep (g_test_rand_int_range (0, 1500));
    g_assert_cmpint (gst_element_set_state (pipeline, GST_STATE_NULL), ==,
        GST_STATE_CHANGE_SUCCESS);
    g_atomic_int_set (&enough, TRUE);
    g_thread_join (thread);
    gst_object_unref (pipeline);
  }
}

static void
set_flushing (GstPad * pad, gboolean flushing)
{
  GST_OBJECT_LOCK (pad);
  if (flushing)
    GST_PAD_SET_FLUSHING (pad);
  else
    GST_PAD_UNSET_FLUSHING (pad);
  GST_OBJECT_UNLOCK (pad);
}

/* A segment that meets the first step of a shutdown, before the element knows of it, is no error. */
static void
test_segment_beside_deactivation (void)
{
  g_autoptr (GstPad) src = NULL;
  GstSegment segment;
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness (model_path, NULL, NULL);
  src = gst_element_get_static_pad (h->element, "src");
  set_flushing (src, TRUE);
  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.base = 1;
  gst_harness_push_event (h, gst_event_new_segment (&segment));
  g_assert_cmpint (gst_harness_push (h,
          plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 0, 0)), ==,
      GST_FLOW_FLUSHING);
  set_flushing (src, FALSE);
  plugin_test_teardown (h);
}

static gint flushed;

/* What an application does that looks at a result and seeks: the flush comes in the thread that pushes. */
static GstPadProbeReturn
flush_in_probe (GstPad * pad, GstPadProbeInfo * info, gpointer harness)
{
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);

  if (GST_BUFFER_PTS (buffer) != 20 * GST_MSECOND)
    return GST_PAD_PROBE_OK;
  g_assert_true (gst_harness_push_event (harness,
          gst_event_new_flush_start ()));
  g_assert_true (gst_harness_push_event (harness,
          gst_event_new_flush_stop (TRUE)));
  g_atomic_int_set (&flushed, TRUE);
  gst_buffer_unref (buffer);
  GST_PAD_PROBE_INFO_FLOW_RETURN (info) = GST_FLOW_FLUSHING;
  return GST_PAD_PROBE_HANDLED;
}

static void
await_flush (void)
{
  const gint64 end = g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND;

  while (!g_atomic_int_get (&flushed)) {
    g_assert_cmpint (g_get_monotonic_time (), <, end);
    g_usleep (1000);
  }
}

/* The frame in that thread's hands is not waited for, and what its push returns does not stick; those behind it go, and
 * of the events behind it the newest that stick stay. */
static void
test_flush_in_pushing_thread (void)
{
  for (guint depth = 2; depth <= 8; depth++) {
    g_autoptr (GstEvent) tag = NULL;
    g_autofree gchar *last = NULL;
    GstGpudlInfer *infer;
    GstSegment segment;
    GstTagList *tags;
    GstHarness *h;

    plugin_fake_reset ();
    fake->does.hold = 1;
    g_atomic_int_set (&flushed, FALSE);
    h = plugin_fake_harness_of_depth (model_path, depth);
    infer = GST_GPUDL_INFER (h->element);
    gst_pad_add_probe (h->sinkpad, GST_PAD_PROBE_TYPE_BUFFER, flush_in_probe, h,
        NULL);
    for (guint i = 0; i < depth; i++) {
      g_autofree gchar *title = g_strdup_printf ("%u", i);

      plugin_fake_push (h, i);
      g_assert_true (gst_harness_push_event (h,
              gst_event_new_tag (gst_tag_list_new (GST_TAG_TITLE, title,
                      NULL))));
      g_assert_true (gst_harness_push_event (h,
              gst_event_new_gap (i * 20 * GST_MSECOND, 1)));
    }
    plugin_fake_release (NULL);
    await_flush ();
    g_assert_true (gst_gpudl_fifo_wait_idle (&infer->fifo,
            g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND));
    g_assert_cmpuint (gst_gpudl_fifo_get_count (&infer->fifo), ==, 0);
    /* which was before: a sink may keep the next one */
    g_assert_false (infer->fifo.has_left);
    gst_segment_init (&segment, GST_FORMAT_TIME);
    g_assert_true (gst_harness_push_event (h,
            gst_event_new_segment (&segment)));
    for (guint i = 0; i < 2 * depth; i++)
      plugin_fake_push (h, 100 + i);
    plugin_fake_pull (h, 0);
    for (guint i = 0; i < 2 * depth; i++)
      plugin_fake_pull (h, 100 + i);
    g_assert_cmpuint (gst_harness_buffers_received (h), ==, 1 + 2 * depth);
    tag = gst_pad_get_sticky_event (h->sinkpad, GST_EVENT_TAG, 0);
    gst_event_parse_tag (tag, &tags);
    g_assert_true (gst_tag_list_get_string (tags, GST_TAG_TITLE, &last));
    g_assert_cmpuint (g_ascii_strtoull (last, NULL, 10), ==, depth - 1);
    plugin_test_no_error (h->element);
    plugin_test_teardown (h);
  }
}

static GstBusSyncReply
flush_in_handler (GstBus * bus, GstMessage * message, gpointer harness)
{
  guint64 pts;

  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ELEMENT
      && gst_structure_get_uint64 (gst_message_get_structure (message),
          "timestamp", &pts) && pts == 20 * GST_MSECOND) {
    g_assert_true (gst_harness_push_event (harness,
            gst_event_new_flush_start ()));
    g_assert_true (gst_harness_push_event (harness,
            gst_event_new_flush_stop (TRUE)));
    g_atomic_int_set (&flushed, TRUE);
  }
  gst_message_unref (message);
  return GST_BUS_DROP;
}

/* The frame that the message is about is of before the flush, and not seen behind it. */
static void
test_flush_in_message_handler (void)
{
  g_autoptr (GstBus) bus = NULL;
  GstSegment segment;
  GstHarness *h;

  plugin_fake_reset ();
  fake->does.hold = 1;
  g_atomic_int_set (&flushed, FALSE);
  h = plugin_fake_harness_of_depth (model_path, 3);
  g_object_set (h->element, "post-messages", GST_GPUDL_POST_MESSAGES_ALL, NULL);
  bus = gst_element_get_bus (h->element);
  gst_bus_set_sync_handler (bus, flush_in_handler, h, NULL);
  for (guint i = 0; i < 3; i++)
    plugin_fake_push (h, i);
  plugin_fake_release (NULL);
  await_flush ();
  gst_segment_init (&segment, GST_FORMAT_TIME);
  g_assert_true (gst_harness_push_event (h, gst_event_new_segment (&segment)));
  plugin_fake_push (h, 100);
  plugin_fake_pull (h, 0);
  plugin_fake_pull (h, 100);
  g_assert_cmpuint (gst_harness_buffers_received (h), ==, 2);
  plugin_test_teardown (h);
}

static GstPadProbeReturn
stop_in_probe (GstPad * pad, GstPadProbeInfo * info, gpointer element)
{
  if (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info)) != GST_EVENT_EOS)
    return GST_PAD_PROBE_OK;
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_NULL), ==,
      GST_STATE_CHANGE_SUCCESS);
  return GST_PAD_PROBE_DROP;
}

/* How GStreamer's manual takes an element out of a pipeline that plays: EOS comes out in the thread that has sent it,
 * where the element can be stopped. */
static void
test_stop_as_eos_leaves (void)
{
  g_autoptr (GstPad) src = NULL;
  GstHarness *h;
  gulong probe;

  plugin_fake_reset ();
  fake->does.delay_us = 1000;
  h = plugin_fake_harness_of_depth (model_path, 3);
  src = gst_element_get_static_pad (h->element, "src");
  probe = gst_pad_add_probe (src, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
      stop_in_probe, h->element, NULL);
  for (guint i = 0; i < 3; i++)
    plugin_fake_push (h, i);
  gst_harness_push_event (h, gst_event_new_eos ());
  plugin_fake_check_nothing_alive ();
  for (guint i = 0; i < 3; i++)
    plugin_fake_pull (h, i);
  plugin_test_no_error (h->element);
  gst_pad_remove_probe (src, probe);
  plugin_test_teardown (h);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", PLUGIN_FAKE_CLASSES, 1, FALSE);

#define ADD(name, func) g_test_add_func ("/flush/" name, func)
  ADD ("flush-stop-leaves-an-inactive-source-pad-alone",
      test_flush_stop_on_inactive_pad);
  ADD ("flush-stop-starts-an-active-source-pads-task",
      test_flush_stop_on_active_pad);
  ADD ("flushes-beside-shutdowns-end", test_flushes_beside_shutdowns);
  ADD ("segment-beside-deactivation-is-no-error",
      test_segment_beside_deactivation);
  ADD ("flush-in-the-thread-that-pushes-ends", test_flush_in_pushing_thread);
  ADD ("flush-in-a-messages-handler-ends-and-drops-its-frame",
      test_flush_in_message_handler);
  ADD ("element-is-stopped-as-its-eos-leaves", test_stop_as_eos_leaves);
  return plugin_test_run ();
}

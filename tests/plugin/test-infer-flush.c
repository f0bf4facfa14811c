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

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", 3, 1, FALSE);

#define ADD(name, func) g_test_add_func ("/flush/" name, func)
  ADD ("flush-stop-leaves-an-inactive-source-pad-alone",
      test_flush_stop_on_inactive_pad);
  ADD ("flush-stop-starts-an-active-source-pads-task",
      test_flush_stop_on_active_pad);
  ADD ("flushes-beside-shutdowns-end", test_flushes_beside_shutdowns);
  ADD ("segment-beside-deactivation-is-no-error",
      test_segment_beside_deactivation);
  return plugin_test_run ();
}

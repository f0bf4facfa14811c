/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * gpudlinfer in whole pipelines, through their states, and beside other elements with which it shares a session.
 * The engine is the real one over a fake module.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"

static const gchar *model_path;

/* ---- pipelines and states -----------------------------------------------------------------------------------------*/

static GstElement *
new_pipeline (const gchar * before, const gchar * after)
{
  g_autofree gchar *line =
      g_strdup_printf ("%s ! %s ! gpudlinfer name=infer model=%s ! %s", before,
      PLUGIN_TEST_GRAY, model_path, after);
  g_autoptr (GError) error = NULL;
  GstElement *pipeline = gst_parse_launch (line, &error);

  g_assert_no_error (error);
  return pipeline;
}

static void
wait_eos (GstElement * pipeline)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  g_autoptr (GstMessage) message =
      gst_bus_timed_pop_filtered (bus, 20 * GST_SECOND,
      GST_MESSAGE_EOS | GST_MESSAGE_ERROR);

  g_assert_nonnull (message);
  g_assert_cmpint (GST_MESSAGE_TYPE (message), ==, GST_MESSAGE_EOS);
}

static void
set_state (GstElement * element, GstState state)
{
  g_assert_cmpint (gst_element_set_state (element, state), !=,
      GST_STATE_CHANGE_FAILURE);
  g_assert_cmpint (gst_element_get_state (element, NULL, NULL, 10 * GST_SECOND),
      ==, GST_STATE_CHANGE_SUCCESS);
}

static void
test_seeks (void)
{
  GstElement *pipeline;

  plugin_fake_reset ();
  FAKE_SET (fake, does.delay_us, 500);
  FAKE_SET (fake, does.scramble, TRUE);
  pipeline = new_pipeline ("videotestsrc num-buffers=200", "fakesink");
  set_state (pipeline, GST_STATE_PLAYING);
  for (guint i = 0; i < 40; i++) {
    g_assert_true (gst_element_seek_simple (pipeline, GST_FORMAT_TIME,
            GST_SEEK_FLAG_FLUSH, g_test_rand_int_range (0,
                1000) * GST_MSECOND));
    g_usleep (g_test_rand_int_range (0, 4000));
  }
  wait_eos (pipeline);
  plugin_test_no_error (pipeline);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
}

static void
test_state_cycles (void)
{
  static const GstState tops[] =
      { GST_STATE_READY, GST_STATE_PAUSED, GST_STATE_PLAYING };
  static const GstState bottoms[] = { GST_STATE_NULL, GST_STATE_READY };
  GstElement *pipeline;

  plugin_fake_reset ();
  FAKE_SET (fake, does.delay_us, 300);
  pipeline =
      new_pipeline ("videotestsrc",
      "tee name=t ! queue ! fakesink t. ! queue ! fakesink");
  for (guint i = 0; i < 30; i++) {
    const GstState top = tops[i % 3];

    if (i % 2 == 0)
      set_state (pipeline, top);
    else
      gst_element_set_state (pipeline, top);    /* and down again while it is on its way up */
    g_usleep (g_test_rand_int_range (0, 3000));
    gst_element_set_state (pipeline, bottoms[i % 2]);
    plugin_test_no_error (pipeline);
  }
  set_state (pipeline, GST_STATE_NULL);
  plugin_fake_check_nothing_alive ();
  gst_object_unref (pipeline);
}

static void
test_state_cycles_without_model (void)
{
  g_autoptr (GstBus) bus = gst_bus_new ();
  GstElement *element;

  plugin_fake_reset ();
  element = plugin_test_element ("gpudlinfer", NULL);
  gst_object_ref_sink (element);
  gst_element_set_bus (element, bus);
  for (guint i = 0; i < 10; i++) {
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_READY), ==,
        GST_STATE_CHANGE_SUCCESS);
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
        GST_STATE_CHANGE_FAILURE);
    plugin_test_one_error (element, GST_RESOURCE_ERROR,
        GST_RESOURCE_ERROR_SETTINGS);
    if (i % 2 == 0)
      g_assert_cmpint (gst_element_set_state (element, GST_STATE_NULL), ==,
          GST_STATE_CHANGE_SUCCESS);
  }
  g_object_set (element, "model", model_path, NULL);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
      GST_STATE_CHANGE_SUCCESS);
  g_assert_cmpuint (FAKE_SEEN (fake, engines), ==, 1);
  gst_element_set_state (element, GST_STATE_NULL);
  plugin_fake_check_nothing_alive ();
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (element);
}

/* The sink waits for its clock, the engine for its device: going down still returns. */
static void
test_shutdown_while_sink_waits (void)
{
  GstElement *pipeline;
  GThread *later;

  plugin_fake_reset ();
  pipeline =
      new_pipeline ("videotestsrc timestamp-offset=3600000000000",
      "fakesink sync=true");
  set_state (pipeline, GST_STATE_PLAYING);
  g_usleep (20 * 1000);
  set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);

  plugin_fake_reset ();
  FAKE_SET (fake, does.hold, TRUE);
  pipeline = new_pipeline ("videotestsrc", "fakesink sync=true");
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  FAKE_AWAIT (fake, running, 1);
  later = plugin_test_later (plugin_fake_release, NULL);
  set_state (pipeline, GST_STATE_NULL);
  g_thread_join (later);
  plugin_fake_check_nothing_alive ();
  gst_object_unref (pipeline);
}

static void
test_property_changes_in_playing (void)
{
  g_autoptr (GstElement) infer = NULL;
  GstElement *pipeline;

  plugin_fake_reset ();
  pipeline = new_pipeline ("videotestsrc num-buffers=300", "fakesink");
  infer = gst_bin_get_by_name (GST_BIN (pipeline), "infer");
  set_state (pipeline, GST_STATE_PLAYING);
  for (guint i = 0; i < 200; i++) {
    g_object_set (infer, "top-k", i % 7, "threshold", (i % 10) / 10.0,
        "resize-mode", i % (GPUDL_RESIZE_LAST + 1), "scale-method",
        i % (GPUDL_SCALE_LAST + 1), "crop-fraction", (i % 11) / 10.0,
        "pad-color", i, "post-messages", i % 2, "labels-file", NULL, NULL);
  }
  wait_eos (pipeline);
  set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
}

/* With qos on, the base class drops late buffers; what follows says so. */
static void
test_discont_after_qos_drop (void)
{
  g_autoptr (GstBuffer) first = NULL;
  g_autoptr (GstBuffer) second = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 2);
  g_object_set (h->element, "qos", TRUE, NULL);
  plugin_fake_push (h, 0);
  first = gst_harness_pull (h);
  g_assert_false (GST_BUFFER_FLAG_IS_SET (first, GST_BUFFER_FLAG_DISCONT));
  g_assert_true (gst_harness_push_upstream_event (h,
          gst_event_new_qos (GST_QOS_TYPE_UNDERFLOW, 1.0, GST_SECOND, 0)));
  plugin_fake_push (h, 1);      /* a second too late */
  plugin_fake_push (h, 150);
  second = gst_harness_pull (h);
  plugin_fake_check_frame (h, second, 150);
  g_assert_true (GST_BUFFER_FLAG_IS_SET (second, GST_BUFFER_FLAG_DISCONT));
  g_assert_cmpuint (gst_harness_buffers_received (h), ==, 2);
  plugin_test_teardown (h);
}

static gpointer
read_structures (gpointer data)
{
  GstElement *element = data;

  while (!g_object_get_data (G_OBJECT (element), "enough")) {
    g_autoptr (GstStructure) stats = NULL;
    g_autoptr (GstStructure) info = NULL;

    g_object_get (element, "stats", &stats, "model-info", &info, NULL);
    g_assert_nonnull (stats);
    g_usleep (100);
  }
  return NULL;
}

static void
test_structures_at_any_time (void)
{
  g_autoptr (GstElement) infer = NULL;
  GstElement *pipeline;
  GThread *reader;

  plugin_fake_reset ();
  pipeline = new_pipeline ("videotestsrc", "fakesink");
  infer = gst_bin_get_by_name (GST_BIN (pipeline), "infer");
  reader = g_thread_new ("reader", read_structures, infer);
  for (guint i = 0; i < 10; i++) {
    set_state (pipeline, GST_STATE_PLAYING);
    g_usleep (2000);
    set_state (pipeline, GST_STATE_NULL);
  }
  g_object_set_data (G_OBJECT (infer), "enough", pipeline);
  g_thread_join (reader);
  gst_object_unref (pipeline);
}

/* ---- several elements ---------------------------------------------------------------------------------------------*/

static void
test_shared_session (void)
{
  for (guint first = 0; first < 2; first++) {
    GstHarness *h[2];
    GThread *thread;

    plugin_fake_reset ();
    h[0] = plugin_fake_harness_of_depth (model_path, 4);
    h[1] = plugin_fake_harness_of_depth (model_path, 4);
    g_assert_cmpuint (FAKE_SEEN (fake, opens), ==, 1);
    for (guint i = 0; i < 20; i++) {
      plugin_fake_push (h[0], i);
      plugin_fake_push (h[1], 100 + i);
    }
    for (guint i = 0; i < 20; i++) {
      plugin_fake_pull (h[1], 100 + i);
      plugin_fake_pull (h[0], i);
    }
    /* a flush of one does not touch the other */
    FAKE_SET (fake, does.hold, TRUE);
    plugin_fake_push (h[0], 1);
    plugin_fake_push (h[1], 2);
    thread = plugin_test_begin_flush (h[first]);
    FAKE_SET (fake, does.hold, FALSE);
    g_thread_join (thread);
    g_assert_true (gst_harness_push_event (h[first],
            gst_event_new_flush_stop (TRUE)));
    plugin_fake_pull (h[1 - first], 1 - first == 0 ? 1 : 2);

    plugin_test_teardown (h[first]);
    g_assert_cmpuint (FAKE_SEEN (fake, engines), ==, 1);
    plugin_fake_push (h[1 - first], 7);
    plugin_fake_pull (h[1 - first], 7);
    plugin_test_teardown (h[1 - first]);
    plugin_fake_check_nothing_alive ();
  }
}

static gint loaded;

static gpointer
start_and_stop (gpointer element)
{
  for (guint i = 0; i < 12; i++) {
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
        GST_STATE_CHANGE_SUCCESS);
    g_assert_cmpint (gst_element_set_state (element,
            i % 2 == 0 ? GST_STATE_READY : GST_STATE_NULL), ==,
        GST_STATE_CHANGE_SUCCESS);
  }
  g_atomic_int_inc (&loaded);
  return NULL;
}

/* Two elements load what they share, let go of it, and are asked and told meanwhile. */
static void
test_states_while_loading (void)
{
  GstElement *elements[2];
  GThread *threads[2];

  plugin_fake_reset ();
  fake->is.open_us = 3000;
  g_atomic_int_set (&loaded, 0);
  for (guint i = 0; i < 2; i++) {
    elements[i] = gst_object_ref_sink (plugin_test_element ("gpudlinfer",
            NULL));
    g_object_set (elements[i], "model", model_path, NULL);
    threads[i] = g_thread_new ("states", start_and_stop, elements[i]);
  }
  while (g_atomic_int_get (&loaded) < 2) {
    for (guint i = 0; i < 2; i++) {
      g_autoptr (GstStructure) stats = NULL;
      g_autoptr (GstStructure) info = NULL;
      g_auto (GStrv) labels = NULL;

      g_object_set (elements[i], "top-k", 2, "labels-file", NULL, "model",
          model_path, NULL);
      g_object_get (elements[i], "stats", &stats, "model-info", &info,
          "labels", &labels, NULL);
      g_assert_nonnull (stats);
    }
    g_usleep (200);
  }
  for (guint i = 0; i < 2; i++) {
    g_thread_join (threads[i]);
    gst_element_set_state (elements[i], GST_STATE_NULL);
    gst_object_unref (elements[i]);
  }
  plugin_fake_check_nothing_alive ();
}

static gint arrived;            /* data has been taken, or refused */

static gpointer
send (gpointer harness)
{
  const GstFlowReturn ret = gst_harness_push (harness,
      plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 7, 7));

  g_atomic_int_set (&arrived, TRUE);
  return GINT_TO_POINTER (ret);
}

/* In the thread that loads. What it sends itself has got past the pad's lock, as upstream's may have before. */
static GstBusSyncReply
send_while_loading (GstBus * bus, GstMessage * message, gpointer harness)
{
  GThread **thread = g_object_get_data (G_OBJECT (bus), "thread");
  g_autoptr (GstQuery) query = gst_query_new_drain ();
  g_autoptr (GstMessage) taken = message;
  GstHarness *h = harness;
  GstProgressType type;

  if (GST_MESSAGE_TYPE (taken) != GST_MESSAGE_PROGRESS)
    return GST_BUS_DROP;
  gst_message_parse_progress (taken, &type, NULL, NULL);
  if (type == GST_PROGRESS_TYPE_START) {
    g_assert_false (gst_harness_push_event (h, gst_event_new_gap (0, 1)));
    g_assert_false (gst_pad_peer_query (h->srcpad, query));
    g_assert_cmpint (GPOINTER_TO_INT (send (h)), ==, GST_FLOW_FLUSHING);
    g_atomic_int_set (&arrived, FALSE);
    *thread = g_thread_new ("send", send, h);
  }
  g_usleep (10 * 1000);
  g_assert_false (g_atomic_int_get (&arrived));
  return GST_BUS_DROP;
}

/* Core lets data in as soon as it begins to activate a pad, and loading is a part of that: upstream, which runs already,
 * waits, or is told that the pad is not active yet. */
static void
test_data_while_loading (void)
{
  g_autoptr (GstBus) bus = NULL;
  GThread *thread = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 2);
  gst_element_set_state (h->element, GST_STATE_READY);
  bus = gst_element_get_bus (h->element);
  g_object_set_data (G_OBJECT (bus), "thread", &thread);
  gst_bus_set_sync_handler (bus, send_while_loading, h, NULL);
  g_assert_cmpint (gst_element_set_state (h->element, GST_STATE_PLAYING), ==,
      GST_STATE_CHANGE_SUCCESS);
  g_assert_nonnull (thread);
  g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (thread)), ==, GST_FLOW_OK);
  plugin_fake_pull (h, 7);
  plugin_test_teardown (h);
}

/* One engine for all that comes to the same once it is resolved, and another for what does not. */
static void
test_shared_settings (void)
{
  const gchar *again = plugin_fake_model ("again.bin", 256, 1, FALSE);
  const gchar *labelled = plugin_fake_model ("labelled.bin", 256, 1, TRUE);
  const gboolean is_cpu = g_str_equal (fake_backend, "cpu");
  const struct
  {
    const gchar *model, *name, *value;
    gboolean shared;
  } cases[] = {
    {model_path, "backend", fake_backend, TRUE},
    {model_path, "precision", is_cpu ? "fp32" : "fp16", TRUE},
    {model_path, "precision", "bf16", FALSE},
    {model_path, "activation", "softmax", TRUE},
    {model_path, "activation", "sigmoid", FALSE},
    {model_path, "cpu-threads", "2", TRUE},
    {model_path, "cpu-threads", "3", !is_cpu},
    {model_path, "batch-size", "4", TRUE},
    {model_path, "batch-size", "2", FALSE},
    {model_path, "autotune", "full", TRUE},
    {model_path, "autotune", "cached", is_cpu},
    {model_path, "autotune", "off", is_cpu},
    {model_path, "deterministic", "true", is_cpu},
    {model_path, "memory-limit", "1000000000", TRUE},
    {model_path, "top-k", "1", TRUE},
    {model_path, "async-depth", "3", TRUE},
    {model_path, "resize-mode", "letterbox", TRUE},
    {again, "top-k", "5", TRUE},
    {labelled, "top-k", "5", FALSE},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    GstElement *element = plugin_test_element ("gpudlinfer", NULL);
    GstHarness *h[2];

    g_test_message ("%s=%s", cases[i].name, cases[i].value);
    plugin_fake_reset ();
    fake->is.max_batch = 4;
    h[0] = plugin_fake_harness_of_depth (model_path, 0);
    g_object_set (element, "model", cases[i].model, NULL);
    gst_util_set_object_arg (G_OBJECT (element), cases[i].name, cases[i].value);
    h[1] = plugin_test_harness (element, PLUGIN_TEST_GRAY);
    for (guint j = 0; j < 2; j++) {
      plugin_fake_push (h[j], j);
      plugin_fake_pull (h[j], j);
    }
    g_assert_cmpuint (FAKE_SEEN (fake, opens), ==, cases[i].shared ? 1 : 2);
    for (guint j = 0; j < 2; j++)
      plugin_test_teardown (h[j]);
  }
}

/* Of a network read twice, from two files, one copy stays. */
static void
test_shared_model (void)
{
  const gchar *copy = plugin_fake_model ("copy.bin", PLUGIN_FAKE_CLASSES, 1,
      FALSE);
  GstHarness *h[2];

  plugin_fake_reset ();
  h[0] = plugin_fake_harness_of_depth (model_path, 1);
  h[1] = plugin_fake_harness_of_depth (copy, 1);
  g_assert_cmpuint (FAKE_SEEN (fake, opens), ==, 1);
  g_assert_true (GST_GPUDL_INFER (h[0]->element)->net.model ==
      GST_GPUDL_INFER (h[1]->element)->net.model);
  plugin_test_teardown (h[0]);
  plugin_fake_push (h[1], 1);
  plugin_fake_pull (h[1], 1);
  plugin_test_teardown (h[1]);
}

static void
test_failure_stays_with_its_element (void)
{
  GstHarness *h[2];

  plugin_fake_reset ();
  h[0] = plugin_fake_harness_of_depth (model_path, 1);
  h[1] = plugin_fake_harness_of_depth (model_path, 1);
  plugin_fake_fail_at (PLUGIN_FAKE_AT_RUN, 1, GPUDL_STATUS_FAILED);
  plugin_fake_push (h[0], 0);
  plugin_test_one_error (h[0]->element, GST_LIBRARY_ERROR,
      GST_LIBRARY_ERROR_FAILED);
  plugin_fake_push (h[1], 5);
  plugin_fake_pull (h[1], 5);
  plugin_test_teardown (h[0]);
  plugin_test_teardown (h[1]);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", PLUGIN_FAKE_CLASSES, 1, FALSE);

  g_test_add_func ("/pipelines/flushing-seeks-end-in-eos", test_seeks);
  g_test_add_func ("/pipelines/state-cycles-with-model", test_state_cycles);
  g_test_add_func ("/pipelines/state-cycles-without-model-leave-element-usable",
      test_state_cycles_without_model);
  g_test_add_func ("/pipelines/shutdown-while-sink-or-engine-waits-returns",
      test_shutdown_while_sink_waits);
  g_test_add_func ("/pipelines/property-changes-in-playing",
      test_property_changes_in_playing);
  g_test_add_func ("/pipelines/discont-after-a-qos-drop",
      test_discont_after_qos_drop);
  g_test_add_func ("/pipelines/stats-and-model-info-are-read-at-any-time",
      test_structures_at_any_time);
  g_test_add_func ("/pipelines/elements-share-a-session-and-end-in-any-order",
      test_shared_session);
  g_test_add_func ("/pipelines/states-change-while-what-is-shared-is-loaded",
      test_states_while_loading);
  g_test_add_func ("/pipelines/data-that-comes-while-the-model-is-loaded",
      test_data_while_loading);
  g_test_add_func ("/pipelines/settings-that-come-to-the-same-share-a-session",
      test_shared_settings);
  g_test_add_func ("/pipelines/elements-that-share-a-session-share-its-model",
      test_shared_model);
  g_test_add_func ("/pipelines/failed-run-fails-only-its-element",
      test_failure_stays_with_its_element);
  return plugin_test_run ();
}

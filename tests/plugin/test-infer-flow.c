/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * gpudlinfer as a part of a stream: what goes in comes out in order, once, whatever happens around it.
 * The engine is the double of fake-gpudl.h, so that every order and every failure can be had.
 */
#include "fake-gpudl.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"

#define GRAY "video/x-raw,format=GRAY8,width=4,height=4,framerate=50/1"
#define GRAY_SIZE 16

static const gchar *model_path;

static void
setup (void)
{
  fake_gpudl_reset ();
  fake_gpudl.n_classes = 256;   /* one for each value that a frame can have */
}

static GstHarness *
new_harness (guint depth)
{
  GstElement *element = plugin_test_element ("gpudlinfer", NULL);

  g_object_set (element, "model", model_path, "async-depth", depth, NULL);
  return plugin_test_harness (element, GRAY);
}

static void
push (GstHarness * h, guint n)
{
  g_assert_cmpint (gst_harness_push (h, plugin_test_frame (GRAY_SIZE, n, n)),
      ==, GST_FLOW_OK);
}

/* The buffer is frame n with the classification of frame n. */
static void
check_frame (GstBuffer * buffer, guint n)
{
  g_autoptr (GstGpudlClassification) c = NULL;

  g_assert_nonnull (buffer);
  g_assert_cmpuint (GST_BUFFER_PTS (buffer), ==, n * 20 * GST_MSECOND);
  g_assert_cmpuint (GST_BUFFER_DURATION (buffer), ==, 20 * GST_MSECOND);
  c = gst_gpudl_meta_read (buffer, 0);
  g_assert_nonnull (c);
  g_assert_cmpuint (c->classes[0].id, ==, n % 256);
  g_assert_cmpuint (c->source_pts, ==, GST_BUFFER_PTS (buffer));
  g_assert_true (c->fresh);
}

static void
pull (GstHarness * h, guint n)
{
  g_autoptr (GstBuffer) buffer = gst_harness_pull (h);

  check_frame (buffer, n);
}

static gpointer
release (gpointer data)
{
  fake_gpudl_set_hold (FALSE);
  return NULL;
}

static void
test_order (void)
{
  for (guint depth = 1; depth <= 16; depth++) {
    GstHarness *h;

    setup ();
    fake_gpudl.scramble = TRUE;
    fake_gpudl.delay_us = 100;
    h = new_harness (depth);
    for (guint i = 0; i < 48; i++)
      push (h, i);
    g_assert_true (gst_harness_push_event (h, gst_event_new_eos ()));
    for (guint i = 0; i < 48; i++)
      pull (h, i);
    g_assert_cmpuint (gst_harness_buffers_received (h), ==, 48);
    g_assert_cmpuint (fake_gpudl.max_queued, <=, depth);
    g_assert_cmpuint (fake_gpudl.runs, ==, 48);
    plugin_test_teardown (h);
  }
}

static void
test_depth_bounds_frames (void)
{
  for (guint depth = 1; depth <= 16; depth++) {
    g_autoptr (GstStructure) stats = NULL;
    GstHarness *h;
    GThread *later;
    guint in_flight;

    setup ();
    fake_gpudl.hold = TRUE;
    h = new_harness (depth);
    for (guint i = 0; i < depth; i++)
      push (h, i);
    g_object_get (h->element, "stats", &stats, NULL);
    g_assert_true (gst_structure_get_uint (stats, "in-flight", &in_flight));
    g_assert_cmpuint (in_flight, ==, depth);
    fake_gpudl_wait_queued (depth);
    later = plugin_test_later (release, NULL);
    push (h, depth);            /* waits for room */
    g_assert_false (fake_gpudl.hold);
    g_thread_join (later);
    for (guint i = 0; i <= depth; i++)
      pull (h, i);
    plugin_test_teardown (h);
  }
}

/* async-depth 0 makes as many as the double's parallelism says, and one. */
static void
test_default_depth (void)
{
  static const struct
  {
    const gchar *backend;
    guint parallelism, depth;
  } cases[] = { {"cpu", 1, 2}, {"cpu", 4, 5}, {"cpu", 64, 16}, {"cuda", 8, 2} };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GstStructure) info = NULL;
    GstHarness *h;
    guint depth;

    setup ();
    fake_gpudl.backend = cases[i].backend;
    fake_gpudl.parallelism = cases[i].parallelism;
    h = new_harness (0);
    g_object_get (h->element, "model-info", &info, NULL);
    g_assert_true (gst_structure_get_uint (info, "async-depth", &depth));
    g_assert_cmpuint (depth, ==, cases[i].depth);
    plugin_test_teardown (h);
  }
}

/* With frames in flight, an event waits for them; what is recorded has to be expected. */
static void
check_event_order (GstEvent * event, const gchar * expected)
{
  g_autofree gchar *seen = NULL;
  PluginTestRecord *record;
  GstHarness *h;
  GThread *later;

  setup ();
  fake_gpudl.hold = TRUE;
  h = new_harness (4);
  record = plugin_test_record_new (h);
  for (guint i = 0; i < 3; i++)
    push (h, i);
  later = plugin_test_later (release, NULL);
  g_assert_true (gst_harness_push_event (h, event));
  g_thread_join (later);
  for (guint i = 0; i < 3; i++)
    pull (h, i);
  seen = plugin_test_record_take (record);
  g_assert_cmpstr (seen, ==, expected);
  plugin_test_teardown (h);
}

static void
test_serialized_events (void)
{
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.base = GST_SECOND;
  check_event_order (gst_event_new_eos (), "BBBE");
  check_event_order (gst_event_new_gap (GST_SECOND, GST_SECOND), "BBBG");
  check_event_order (gst_event_new_segment (&segment), "BBBS");
  check_event_order (gst_event_new_tag (gst_tag_list_new_empty ()), "BBBT");
}

static void
test_caps_change (void)
{
  g_autoptr (GstCaps) caps =
      gst_caps_from_string
      ("video/x-raw,format=RGB,width=8,height=6,framerate=50/1");
  g_autofree gchar *seen = NULL;
  PluginTestRecord *record;
  GstHarness *h;
  GThread *later;

  setup ();
  fake_gpudl.hold = TRUE;
  h = new_harness (4);
  record = plugin_test_record_new (h);
  for (guint i = 0; i < 3; i++)
    push (h, i);
  later = plugin_test_later (release, NULL);
  gst_harness_set_src_caps (h, g_steal_pointer (&caps));
  g_thread_join (later);
  for (guint i = 3; i < 6; i++)
    g_assert_cmpint (gst_harness_push (h, plugin_test_frame (8 * 6 * 3, i, i)),
        ==, GST_FLOW_OK);
  for (guint i = 0; i < 6; i++)
    pull (h, i);
  seen = plugin_test_record_take (record);
  g_assert_true (g_str_has_prefix (seen, "BBBC"));
  g_assert_true (g_str_has_suffix (seen, "BBB"));
  g_assert_cmpint (fake_gpudl.last_frame.format, ==, GPUDL_PIXEL_RGB);
  g_assert_cmpint (fake_gpudl.last_frame.width, ==, 8);
  g_assert_cmpint (fake_gpudl.last_frame.height, ==, 6);
  g_assert_cmpint (fake_gpudl.last_frame.strides[0], ==, 24);
  plugin_test_teardown (h);
}

static void
restart (GstHarness * h)
{
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  g_assert_true (gst_harness_push_event (h, gst_event_new_segment (&segment)));
}

static void
test_flush_levels (void)
{
  for (guint fill = 0; fill <= 8; fill++) {
    GstHarness *h;

    setup ();
    fake_gpudl.hold = TRUE;     /* all the time: a flush does not wait for what does not run */
    h = new_harness (8);
    for (guint i = 0; i < fill; i++)
      push (h, i);
    g_assert_true (gst_harness_push_event (h, gst_event_new_flush_start ()));
    g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
    g_assert_cmpuint (fake_gpudl.cancelled, ==, fill);
    release (NULL);
    restart (h);
    push (h, 100);
    push (h, 101);
    pull (h, 100);
    pull (h, 101);
    g_assert_cmpuint (gst_harness_buffers_received (h), ==, 2);
    plugin_test_teardown (h);
  }
}

static void
test_flush_running (void)
{
  GstHarness *h;

  setup ();
  fake_gpudl.delay_us = 2000;
  h = new_harness (8);
  for (guint round = 0; round < 60; round++) {
    g_autofree gchar *seen = NULL;
    const guint n = g_test_rand_int_range (0, 8);

    for (guint i = 0; i < n; i++)
      push (h, i);
    g_usleep (g_test_rand_int_range (0, 3000));
    g_assert_true (gst_harness_push_event (h, gst_event_new_flush_start ()));
    g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
    while (gst_harness_buffers_in_queue (h) > 0)
      gst_buffer_unref (gst_harness_pull (h));
    restart (h);
    push (h, 200);
    pull (h, 200);
  }
  plugin_test_teardown (h);
}

typedef struct
{
  GstHarness *h;
  guint n;
} Push;

static gpointer
push_blocking (gpointer data)
{
  Push *push = data;

  return GINT_TO_POINTER (gst_harness_push (push->h,
          plugin_test_frame (GRAY_SIZE, push->n, push->n)));
}

static void
test_flush_blocked_chain (void)
{
  GstHarness *h;
  GThread *thread;
  Push blocked;

  setup ();
  fake_gpudl.hold = TRUE;
  h = new_harness (1);
  push (h, 0);
  blocked = (Push) {
  h, 1};
  thread = g_thread_new ("push", push_blocking, &blocked);
  g_usleep (20 * 1000);
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_start ()));
  g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (thread)), ==,
      GST_FLOW_FLUSHING);
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
  release (NULL);
  restart (h);
  push (h, 2);
  pull (h, 2);
  plugin_test_teardown (h);
}

static gpointer
stop_element (gpointer data)
{
  gst_element_set_state (data, GST_STATE_NULL);
  return NULL;
}

/* An event that meets a shutdown is FLUSHING, not an error that upstream reports. */
static void
test_shutdown_blocked (void)
{
  GstHarness *h;
  GThread *thread, *stop;
  Push blocked;

  setup ();
  fake_gpudl.hold = TRUE;
  h = new_harness (1);
  push (h, 0);
  blocked = (Push) {
  h, 1};
  thread = g_thread_new ("push", push_blocking, &blocked);
  stop = plugin_test_later (stop_element, h->element);
  g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (thread)), ==,
      GST_FLOW_FLUSHING);
  g_thread_join (stop);
  g_assert_cmpint (fake_gpudl.requests, ==, 0);
  plugin_test_teardown (h);

  setup ();
  fake_gpudl.hold = TRUE;
  h = new_harness (2);
  push (h, 0);
  stop = plugin_test_later (stop_element, h->element);
  /* returns because of the shutdown: nothing runs */
  g_assert_false (gst_harness_push_event (h, gst_event_new_gap (0,
              GST_SECOND)));
  g_thread_join (stop);
  plugin_test_teardown (h);
}

static void
test_gap_buffers (void)
{
  g_autoptr (GstBuffer) out = NULL;
  GstBuffer *gap;
  GstHarness *h;

  setup ();
  fake_gpudl.hold = TRUE;
  h = new_harness (4);
  push (h, 0);
  gap = plugin_test_frame (GRAY_SIZE, 1, 1);
  GST_BUFFER_FLAG_SET (gap, GST_BUFFER_FLAG_GAP);
  g_assert_cmpint (gst_harness_push (h, gap), ==, GST_FLOW_OK);
  push (h, 2);
  release (NULL);
  pull (h, 0);
  out = gst_harness_pull (h);
  g_assert_true (out == gap);
  g_assert_null (gst_gpudl_meta_read (out, 0));
  pull (h, 2);
  g_assert_cmpuint (fake_gpudl.submits, ==, 2);
  plugin_test_teardown (h);
}

/* ---- downstream ---------------------------------------------------------------------------------------------------*/

static GstFlowReturn chain_result;

static GstFlowReturn
chain (GstPad * pad, GstObject * parent, GstBuffer * buffer)
{
  gst_buffer_unref (buffer);
  return chain_result;
}

/* Pushes until something else than OK comes back: after the depth and one more at the latest. */
static GstFlowReturn
push_until_told (GstHarness * h, guint depth)
{
  GstFlowReturn ret = GST_FLOW_OK;

  for (guint i = 0; i < depth + 2 && ret == GST_FLOW_OK; i++)
    ret = gst_harness_push (h, plugin_test_frame (GRAY_SIZE, i, i));
  return ret;
}

static void
test_downstream_results (void)
{
  static const GstFlowReturn results[] =
      { GST_FLOW_ERROR, GST_FLOW_EOS, GST_FLOW_FLUSHING,
    GST_FLOW_NOT_NEGOTIATED, GST_FLOW_NOT_LINKED, GST_FLOW_NOT_SUPPORTED
  };

  for (guint i = 0; i < G_N_ELEMENTS (results); i++) {
    for (guint depth = 1; depth <= 4; depth += 3) {
      GstHarness *h;

      setup ();
      h = new_harness (depth);
      gst_pad_set_chain_function (h->sinkpad, chain);
      chain_result = results[i];
      g_assert_cmpint (push_until_told (h, depth), ==, results[i]);
      /* and it stays so, without asking downstream again */
      chain_result = GST_FLOW_OK;
      g_assert_cmpint (gst_harness_push (h, plugin_test_frame (GRAY_SIZE, 0,
                  0)), ==, results[i]);
      /* until a flush */
      g_assert_true (gst_harness_push_event (h, gst_event_new_flush_start ()));
      g_assert_true (gst_harness_push_event (h,
              gst_event_new_flush_stop (TRUE)));
      restart (h);
      g_assert_cmpint (gst_harness_push (h, plugin_test_frame (GRAY_SIZE, 0,
                  0)), ==, GST_FLOW_OK);
      plugin_test_teardown (h);
    }
  }
}

static void
test_downstream_eos_until_segment (void)
{
  GstHarness *h;

  setup ();
  h = new_harness (3);
  gst_pad_set_chain_function (h->sinkpad, chain);
  chain_result = GST_FLOW_EOS;
  g_assert_cmpint (push_until_told (h, 3), ==, GST_FLOW_EOS);
  chain_result = GST_FLOW_OK;
  restart (h);
  for (guint i = 0; i < 10; i++)
    push (h, i);
  plugin_test_teardown (h);
}

static void
test_unlinked_until_relinked (void)
{
  g_autoptr (GstPad) src = NULL;
  GstHarness *h;

  setup ();
  h = new_harness (3);
  src = gst_element_get_static_pad (h->element, "src");
  push (h, 0);
  pull (h, 0);
  g_assert_true (gst_pad_unlink (src, h->sinkpad));
  g_assert_cmpint (push_until_told (h, 3), ==, GST_FLOW_NOT_LINKED);
  g_assert_cmpint (gst_pad_link (src, h->sinkpad), ==, GST_PAD_LINK_OK);
  push (h, 50);
  for (;;) {                    /* what was in flight when the pad was unlinked may come first */
    g_autoptr (GstBuffer) buffer = gst_harness_pull (h);

    if (GST_BUFFER_PTS (buffer) == 50 * 20 * GST_MSECOND)
      break;
  }
  plugin_test_teardown (h);
}

/* An error of downstream that no buffer takes back to upstream is said at EOS. */
static void
test_eos_after_bad_result (void)
{
  GstHarness *h;

  setup ();
  h = new_harness (4);
  gst_pad_set_chain_function (h->sinkpad, chain);
  chain_result = GST_FLOW_NOT_NEGOTIATED;
  push (h, 0);
  g_usleep (20 * 1000);
  gst_harness_push_event (h, gst_event_new_eos ());
  plugin_test_one_error (h->element, GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED);
  plugin_test_teardown (h);
}

/* ---- failures of the engine ---------------------------------------------------------------------------------------*/

static void
check_engine_failure (gboolean at_submit, GpudlError code, GQuark domain,
    gint gst_code)
{
  g_autoptr (GstStructure) stats = NULL;
  guint64 errors;
  GstHarness *h;

  setup ();
  if (at_submit)
    fake_gpudl.fail_submit_at = 3;
  else
    fake_gpudl.fail_run_at = 3;
  fake_gpudl.fail_code = code;
  h = new_harness (2);
  g_assert_cmpint (push_until_told (h, 6), ==, GST_FLOW_ERROR);
  g_assert_cmpint (gst_harness_push (h, plugin_test_frame (GRAY_SIZE, 0, 0)),
      ==, GST_FLOW_ERROR);
  gst_harness_push_event (h, gst_event_new_eos ());
  plugin_test_one_error (h->element, domain, gst_code);
  g_assert_cmpuint (gst_harness_buffers_received (h), <=, 2);
  g_object_get (h->element, "stats", &stats, NULL);
  g_assert_true (gst_structure_get_uint64 (stats, "errors", &errors));
  g_assert_cmpuint (errors, ==, 1);

  /* flushed it works again, and what fails then is said again */
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_start ()));
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
  restart (h);
  while (gst_harness_buffers_in_queue (h) > 0)
    gst_buffer_unref (gst_harness_pull (h));
  push (h, 77);
  pull (h, 77);
  fake_gpudl_lock ();
  *(at_submit ? &fake_gpudl.fail_submit_at : &fake_gpudl.fail_run_at) =
      fake_gpudl.submits + 1;
  fake_gpudl_unlock ();
  g_assert_cmpint (push_until_told (h, 3), ==, GST_FLOW_ERROR);
  plugin_test_one_error (h->element, domain, gst_code);

  /* so it does stopped and started */
  gst_element_set_state (h->element, GST_STATE_NULL);
  gst_harness_play (h);
  gst_harness_set_src_caps_str (h, GRAY);
  push (h, 78);
  pull (h, 78);
  plugin_test_teardown (h);
}

static void
test_engine_failures (void)
{
  check_engine_failure (FALSE, GPUDL_ERROR_DEVICE, GST_STREAM_ERROR,
      GST_STREAM_ERROR_FAILED);
  check_engine_failure (FALSE, GPUDL_ERROR_NO_MEMORY, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_NO_SPACE_LEFT);
  check_engine_failure (FALSE, GPUDL_ERROR_FAILED, GST_LIBRARY_ERROR,
      GST_LIBRARY_ERROR_FAILED);
  check_engine_failure (TRUE, GPUDL_ERROR_DEVICE, GST_STREAM_ERROR,
      GST_STREAM_ERROR_FAILED);
  check_engine_failure (TRUE, GPUDL_ERROR_INVALID_ARGUMENT, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_SETTINGS);
}

static void
test_too_small_buffer (void)
{
  GstHarness *h;

  setup ();
  h = new_harness (2);
  g_assert_cmpint (gst_harness_push (h, plugin_test_frame (GRAY_SIZE - 1, 0,
              0)), ==, GST_FLOW_ERROR);
  plugin_test_one_error (h->element, GST_STREAM_ERROR,
      GST_STREAM_ERROR_WRONG_TYPE);
  plugin_test_teardown (h);
}

/* ---- pipelines and states -----------------------------------------------------------------------------------------*/

static GstElement *
new_pipeline (const gchar * before, const gchar * after)
{
  g_autofree gchar *line =
      g_strdup_printf ("%s ! %s ! gpudlinfer name=infer model=%s ! %s", before,
      GRAY, model_path, after);
  g_autoptr (GError) error = NULL;
  GstElement *pipeline = gst_parse_launch (line, &error);

  g_assert_no_error (error);
  return pipeline;
}

static void
check_no_error (GstElement * pipeline)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  g_autoptr (GstMessage) message =
      gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);

  g_assert_null (message);
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

  setup ();
  fake_gpudl.delay_us = 500;
  fake_gpudl.scramble = TRUE;
  pipeline = new_pipeline ("videotestsrc num-buffers=200", "fakesink");
  set_state (pipeline, GST_STATE_PLAYING);
  for (guint i = 0; i < 40; i++) {
    g_assert_true (gst_element_seek_simple (pipeline, GST_FORMAT_TIME,
            GST_SEEK_FLAG_FLUSH, g_test_rand_int_range (0,
                1000) * GST_MSECOND));
    g_usleep (g_test_rand_int_range (0, 4000));
  }
  wait_eos (pipeline);
  check_no_error (pipeline);
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

  setup ();
  fake_gpudl.delay_us = 300;
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
    check_no_error (pipeline);
  }
  set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  g_assert_cmpint (fake_gpudl.sessions, ==, 0);
}

static void
test_state_cycles_without_model (void)
{
  GstElement *element;

  setup ();
  element = plugin_test_element ("gpudlinfer", NULL);
  gst_object_ref_sink (element);
  for (guint i = 0; i < 10; i++) {
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_READY), ==,
        GST_STATE_CHANGE_SUCCESS);
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
        GST_STATE_CHANGE_FAILURE);
    if (i % 2 == 0)
      g_assert_cmpint (gst_element_set_state (element, GST_STATE_NULL), ==,
          GST_STATE_CHANGE_SUCCESS);
  }
  g_object_set (element, "model", model_path, NULL);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
      GST_STATE_CHANGE_SUCCESS);
  g_assert_cmpint (fake_gpudl.sessions, ==, 1);
  gst_element_set_state (element, GST_STATE_NULL);
  gst_object_unref (element);
  g_assert_cmpint (fake_gpudl.models, ==, 0);
}

/* The sink waits for its clock, the engine for nothing: going down still returns. */
static void
test_shutdown_while_sink_waits (void)
{
  GstElement *pipeline;

  setup ();
  pipeline =
      new_pipeline ("videotestsrc timestamp-offset=3600000000000",
      "fakesink sync=true");
  set_state (pipeline, GST_STATE_PLAYING);
  g_usleep (20 * 1000);
  set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);

  setup ();
  fake_gpudl.hold = TRUE;
  pipeline = new_pipeline ("videotestsrc", "fakesink sync=true");
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  fake_gpudl_wait_queued (2);
  set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  g_assert_cmpint (fake_gpudl.requests, ==, 0);
}

static void
test_property_changes_in_playing (void)
{
  g_autoptr (GstElement) infer = NULL;
  GstElement *pipeline;

  setup ();
  pipeline = new_pipeline ("videotestsrc num-buffers=300", "fakesink");
  infer = gst_bin_get_by_name (GST_BIN (pipeline), "infer");
  set_state (pipeline, GST_STATE_PLAYING);
  for (guint i = 0; i < 200; i++) {
    g_object_set (infer, "top-k", i % 7, "threshold", (i % 10) / 10.0,
        "resize-mode", i % 4, "scale-method", i % 5, "crop-fraction",
        (i % 11) / 10.0, "pad-color", i, "post-messages", i % 2, "labels-file",
        NULL, NULL);
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

  setup ();
  h = new_harness (2);
  g_object_set (h->element, "qos", TRUE, NULL);
  push (h, 0);
  first = gst_harness_pull (h);
  g_assert_false (GST_BUFFER_FLAG_IS_SET (first, GST_BUFFER_FLAG_DISCONT));
  g_assert_true (gst_harness_push_upstream_event (h,
          gst_event_new_qos (GST_QOS_TYPE_UNDERFLOW, 1.0, GST_SECOND, 0)));
  push (h, 1);                  /* a second too late */
  push (h, 150);
  second = gst_harness_pull (h);
  check_frame (second, 150);
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

  setup ();
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

    setup ();
    h[0] = new_harness (4);
    h[1] = new_harness (4);
    g_assert_cmpuint (fake_gpudl.sessions_made, ==, 1);
    for (guint i = 0; i < 20; i++) {
      push (h[0], i);
      push (h[1], 100 + i);
    }
    for (guint i = 0; i < 20; i++) {
      pull (h[1], 100 + i);
      pull (h[0], i);
    }
    /* a flush of one does not touch the other */
    fake_gpudl_set_hold (TRUE);
    push (h[0], 1);
    push (h[1], 2);
    g_assert_true (gst_harness_push_event (h[first],
            gst_event_new_flush_start ()));
    g_assert_true (gst_harness_push_event (h[first],
            gst_event_new_flush_stop (TRUE)));
    fake_gpudl_set_hold (FALSE);
    pull (h[1 - first], 1 - first == 0 ? 1 : 2);

    plugin_test_teardown (h[first]);
    g_assert_cmpint (fake_gpudl.sessions, ==, 1);
    push (h[1 - first], 7);
    pull (h[1 - first], 7);
    plugin_test_teardown (h[1 - first]);
    g_assert_cmpint (fake_gpudl.sessions, ==, 0);
  }
}

static void
test_failure_stays_with_its_element (void)
{
  GstHarness *h[2];

  setup ();
  h[0] = new_harness (1);
  h[1] = new_harness (1);
  fake_gpudl_lock ();
  fake_gpudl.fail_run_at = 1;
  fake_gpudl.fail_code = GPUDL_ERROR_FAILED;
  fake_gpudl_unlock ();
  push (h[0], 0);
  plugin_test_one_error (h[0]->element, GST_LIBRARY_ERROR,
      GST_LIBRARY_ERROR_FAILED);
  push (h[1], 5);
  pull (h[1], 5);
  plugin_test_teardown (h[0]);
  plugin_test_teardown (h[1]);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  model_path = plugin_test_file ("net.bin", FAKE_GPUDL_MAGIC);

  g_test_add_func ("/flow/frames-leave-in-order-and-once-at-every-depth",
      test_order);
  g_test_add_func ("/flow/depth-bounds-frames-in-the-element",
      test_depth_bounds_frames);
  g_test_add_func ("/flow/depth-0-is-2-on-cuda-and-workers-plus-1-on-cpu",
      test_default_depth);
  g_test_add_func ("/flow/serialized-events-wait-for-frames",
      test_serialized_events);
  g_test_add_func ("/flow/caps-change-midstream-keeps-order", test_caps_change);
  g_test_add_func ("/flow/flush-at-every-fill-level-drops-all-and-returns",
      test_flush_levels);
  g_test_add_func ("/flow/flush-while-requests-run-leaves-nothing",
      test_flush_running);
  g_test_add_func ("/flow/flush-lets-a-blocked-chain-go",
      test_flush_blocked_chain);
  g_test_add_func ("/flow/shutdown-lets-blocked-chain-and-event-go",
      test_shutdown_blocked);
  g_test_add_func ("/flow/gap-buffers-keep-place-without-request",
      test_gap_buffers);
  g_test_add_func ("/flow/downstream-result-comes-back-and-sticks-until-flush",
      test_downstream_results);
  g_test_add_func ("/flow/downstream-eos-ends-with-next-segment",
      test_downstream_eos_until_segment);
  g_test_add_func ("/flow/not-linked-ends-with-next-link",
      test_unlinked_until_relinked);
  g_test_add_func ("/flow/bad-result-is-posted-at-eos",
      test_eos_after_bad_result);
  g_test_add_func ("/flow/engine-failure-is-one-element-error",
      test_engine_failures);
  g_test_add_func ("/flow/too-small-buffer-is-one-element-error",
      test_too_small_buffer);
  g_test_add_func ("/flow/flushing-seeks-end-in-eos", test_seeks);
  g_test_add_func ("/flow/state-cycles-with-model", test_state_cycles);
  g_test_add_func ("/flow/state-cycles-without-model-leave-element-usable",
      test_state_cycles_without_model);
  g_test_add_func ("/flow/shutdown-while-sink-or-engine-waits-returns",
      test_shutdown_while_sink_waits);
  g_test_add_func ("/flow/property-changes-in-playing",
      test_property_changes_in_playing);
  g_test_add_func ("/flow/discont-after-a-qos-drop",
      test_discont_after_qos_drop);
  g_test_add_func ("/flow/stats-and-model-info-are-read-at-any-time",
      test_structures_at_any_time);
  g_test_add_func ("/flow/elements-share-a-session-and-end-in-any-order",
      test_shared_session);
  g_test_add_func ("/flow/failed-run-fails-only-its-element",
      test_failure_stays_with_its_element);
  return plugin_test_run ();
}

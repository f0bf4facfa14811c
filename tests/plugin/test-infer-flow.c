/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * gpudlinfer as a part of a stream: what goes in comes out in order, once, whatever happens around it.
 * The engine runs on a fake module, so that every order and every failure can be had; once on the synchronous one and
 * once on the asynchronous one, which runs several frames at a time.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"

#include <string.h>

static const gchar *model_path;

static void
test_order (void)
{
  for (guint depth = 1; depth <= 16; depth++) {
    GstHarness *h;

    plugin_fake_reset ();
    fake->is.n_slots = 4;
    fake->does.scramble = TRUE;
    fake->does.delay_us = 100;
    h = plugin_fake_harness_of_depth (model_path, depth);
    for (guint i = 0; i < 48; i++)
      plugin_fake_push (h, i);
    g_assert_true (gst_harness_push_event (h, gst_event_new_eos ()));
    for (guint i = 0; i < 48; i++)
      plugin_fake_pull (h, i);
    g_assert_cmpuint (gst_harness_buffers_received (h), ==, 48);
    g_assert_cmpuint (FAKE_SEEN (fake, max_running), <=, depth);
    g_assert_cmpuint (FAKE_SEEN (fake, max_staged), <=, depth);
    g_assert_cmpuint (FAKE_SEEN (fake, jobs), ==, 48);
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

    plugin_fake_reset ();
    fake->is.n_slots = 17;      /* the element alone sees to it that no more run */
    fake->is.max_batch = 1;
    fake->does.hold = TRUE;
    h = plugin_fake_harness_of_depth (model_path, depth);
    for (guint i = 0; i < depth; i++)
      plugin_fake_push (h, i);
    g_object_get (h->element, "stats", &stats, NULL);
    g_assert_true (gst_structure_get_uint (stats, "in-flight", &in_flight));
    g_assert_cmpuint (in_flight, ==, depth);
    FAKE_AWAIT (fake, running, depth);
    later = plugin_test_later (plugin_fake_release, NULL);
    plugin_fake_push (h, depth);        /* waits for room */
    g_assert_cmpuint (fake_read (fake, &fake->does.hold), ==, FALSE);
    g_thread_join (later);
    for (guint i = 0; i <= depth; i++)
      plugin_fake_pull (h, i);
    g_assert_cmpuint (FAKE_SEEN (fake, max_running), ==, depth);
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

  plugin_fake_reset ();
  FAKE_SET (fake, does.hold, TRUE);
  h = plugin_fake_harness_of_depth (model_path, 4);
  record = plugin_test_record_new (h);
  for (guint i = 0; i < 3; i++)
    plugin_fake_push (h, i);
  later = plugin_test_later (plugin_fake_release, NULL);
  g_assert_true (gst_harness_push_event (h, event));
  g_thread_join (later);
  for (guint i = 0; i < 3; i++)
    plugin_fake_pull (h, i);
  seen = plugin_test_record_take (record, strlen (expected));
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

  plugin_fake_reset ();
  FAKE_SET (fake, does.hold, TRUE);
  h = plugin_fake_harness_of_depth (model_path, 4);
  record = plugin_test_record_new (h);
  for (guint i = 0; i < 3; i++)
    plugin_fake_push (h, i);
  later = plugin_test_later (plugin_fake_release, NULL);
  gst_harness_set_src_caps (h, g_steal_pointer (&caps));
  g_thread_join (later);
  for (guint i = 3; i < 6; i++)
    g_assert_cmpint (gst_harness_push (h, plugin_test_frame (8 * 6 * 3, i, i)),
        ==, GST_FLOW_OK);
  for (guint i = 0; i < 6; i++)
    plugin_fake_pull (h, i);
  seen = plugin_test_record_take (record, strlen ("BBBCBBB"));
  g_assert_true (g_str_has_prefix (seen, "BBBC"));
  g_assert_true (g_str_has_suffix (seen, "BBB"));
  g_assert_cmpint (fake->seen.last_frame.format, ==, GPUDL_PIXEL_RGB);
  g_assert_cmpint (fake->seen.last_frame.width, ==, 8);
  g_assert_cmpint (fake->seen.last_frame.height, ==, 6);
  g_assert_cmpint (fake->seen.last_frame.strides[0], ==, 24);
  plugin_test_teardown (h);
}

static GstHarness *asked;
static guint n_questions, received_before;

static gboolean
count_questions (GstPad * pad, GstObject * parent, GstQuery * query)
{
  if (n_questions++ == 0)
    received_before = gst_harness_buffers_received (asked);
  return gst_pad_query_default (pad, parent, query);
}

/* Downstream is asked about the next frame when it has those before it. */
static void
test_renegotiation (void)
{
  GThread *later;
  GstHarness *h;

  plugin_fake_reset ();
  asked = h = plugin_fake_harness_of_depth (model_path, 4);
  gst_pad_set_query_function (h->sinkpad, count_questions);
  plugin_fake_push (h, 0);
  plugin_fake_pull (h, 0);
  g_assert_true (gst_gpudl_fifo_wait_idle (&GST_GPUDL_INFER (h->element)->fifo,
          g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND));
  FAKE_SET (fake, does.hold, TRUE);
  for (guint i = 1; i < 4; i++)
    plugin_fake_push (h, i);
  g_assert_true (gst_harness_push_upstream_event (h,
          gst_event_new_reconfigure ()));
  n_questions = 0;
  later = plugin_test_later (plugin_fake_release, NULL);
  plugin_fake_push (h, 4);
  g_thread_join (later);
  for (guint i = 1; i < 5; i++)
    plugin_fake_pull (h, i);
  g_assert_cmpuint (n_questions, >, 0);
  g_assert_cmpuint (received_before, ==, 4);
  plugin_test_teardown (h);
}

static void
test_flush_levels (void)
{
  for (guint fill = 0; fill <= 8; fill++) {
    const guint running = MIN (fill, 1);
    GThread *thread;
    GstHarness *h;

    plugin_fake_reset ();
    fake->is.n_slots = fake->is.max_batch = 1;
    fake->does.hold = TRUE;
    h = plugin_fake_harness_of_depth (model_path, 8);
    for (guint i = 0; i < fill; i++)
      plugin_fake_push (h, i);
    FAKE_AWAIT (fake, running, running);
    thread = plugin_test_begin_flush (h);
    if (fake->table->stage != NULL)     /* without it, nothing is seen of frames that wait */
      FAKE_AWAIT_EXACTLY (fake, staged, running);
    plugin_fake_release (NULL);
    g_thread_join (thread);
    g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
    if (fake->table->stage != NULL)
      g_assert_cmpuint (FAKE_SEEN (fake, jobs), ==, running);
    plugin_test_restart (h);
    plugin_fake_push (h, 100);
    plugin_fake_push (h, 101);
    plugin_fake_pull (h, 100);
    plugin_fake_pull (h, 101);
    g_assert_cmpuint (gst_harness_buffers_received (h), ==, 2);
    plugin_test_teardown (h);
  }
}

/* Where another element's frame keeps the device, neither a flush nor a shutdown waits, and what they cancel is no
 * error. */
static void
test_flush_waiting (void)
{
  for (guint fill = 0; fill <= 8; fill++) {
    GstHarness *h[2];

    plugin_fake_reset ();
    fake->is.n_slots = fake->is.max_batch = 1;
    fake->does.hold = TRUE;
    h[0] = plugin_fake_harness_of_depth (model_path, 1);
    h[1] = plugin_fake_harness_of_depth (model_path, 8);
    plugin_fake_push (h[0], 0);
    FAKE_AWAIT (fake, running, 1);
    for (guint i = 0; i < fill; i++)
      plugin_fake_push (h[1], i);
    g_assert_true (gst_harness_push_event (h[1], gst_event_new_flush_start ()));
    g_assert_true (gst_harness_push_event (h[1],
            gst_event_new_flush_stop (TRUE)));
    plugin_test_no_error (h[1]->element);
    plugin_test_restart (h[1]);
    for (guint i = 0; i < fill; i++)
      plugin_fake_push (h[1], i);
    gst_element_set_state (h[1]->element, GST_STATE_NULL);
    plugin_test_no_error (h[1]->element);

    plugin_fake_release (NULL);
    plugin_fake_pull (h[0], 0);
    gst_harness_play (h[1]);
    gst_harness_set_src_caps_str (h[1], PLUGIN_TEST_GRAY);
    plugin_fake_push (h[1], 100);
    plugin_fake_pull (h[1], 100);
    g_assert_cmpuint (gst_harness_buffers_received (h[1]), ==, 1);
    g_assert_cmpuint (FAKE_SEEN (fake, jobs), ==, 2);
    plugin_test_teardown (h[0]);
    plugin_test_teardown (h[1]);
  }
}

static void
test_flush_running (void)
{
  GstHarness *h;

  plugin_fake_reset ();
  FAKE_SET (fake, does.delay_us, 2000);
  h = plugin_fake_harness_of_depth (model_path, 8);
  for (guint round = 0; round < 60; round++) {
    const guint n = g_test_rand_int_range (0, 8);

    for (guint i = 0; i < n; i++)
      plugin_fake_push (h, i);
    g_usleep (g_test_rand_int_range (0, 3000));
    g_assert_true (gst_harness_push_event (h, gst_event_new_flush_start ()));
    g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
    while (gst_harness_buffers_in_queue (h) > 0)
      gst_buffer_unref (gst_harness_pull (h));
    plugin_test_restart (h);
    plugin_fake_push (h, 200);
    plugin_fake_pull (h, 200);
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
          plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, push->n, push->n)));
}

/* Nor does the frame that a flush meets on its way into the engine. */
static void
test_flush_while_submitting (void)
{
  GThread *thread, *flush;
  GstHarness *h;
  Push late;

  plugin_fake_reset ();
  if (fake->table->stage == NULL) {
    g_test_skip ("nothing is seen of frames that wait");
    return;
  }
  fake->is.n_slots = fake->is.max_batch = 1;
  fake->does.hold = TRUE;
  h = plugin_fake_harness_of_depth (model_path, 4);
  plugin_fake_push (h, 0);
  FAKE_AWAIT (fake, running, 1);
  FAKE_SET (fake, does.slow_stage_us, 20 * 1000);
  late = (Push) {
  h, 1};
  thread = g_thread_new ("push", push_blocking, &late);
  FAKE_AWAIT (fake, stages, 2);
  flush = plugin_test_begin_flush (h);
  g_thread_join (thread);
  FAKE_AWAIT_EXACTLY (fake, staged, 1);
  plugin_fake_release (NULL);
  g_thread_join (flush);
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
  g_assert_cmpuint (FAKE_SEEN (fake, jobs), ==, 1);
  plugin_test_teardown (h);
}

static void
test_flush_blocked_chain (void)
{
  GThread *thread, *flush;
  GstHarness *h;
  Push blocked;

  plugin_fake_reset ();
  FAKE_SET (fake, does.hold, TRUE);
  h = plugin_fake_harness_of_depth (model_path, 1);
  plugin_fake_push (h, 0);
  FAKE_AWAIT (fake, running, 1);
  blocked = (Push) {
  h, 1};
  thread = g_thread_new ("push", push_blocking, &blocked);
  g_usleep (20 * 1000);
  flush = plugin_test_begin_flush (h);
  /* while the frame before it still runs */
  g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (thread)), ==,
      GST_FLOW_FLUSHING);
  plugin_fake_release (NULL);
  g_thread_join (flush);
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
  plugin_test_restart (h);
  plugin_fake_push (h, 2);
  plugin_fake_pull (h, 2);
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

  plugin_fake_reset ();
  FAKE_SET (fake, does.hold, TRUE);
  h = plugin_fake_harness_of_depth (model_path, 1);
  plugin_fake_push (h, 0);
  FAKE_AWAIT (fake, running, 1);
  blocked = (Push) {
  h, 1};
  thread = g_thread_new ("push", push_blocking, &blocked);
  stop = plugin_test_later (stop_element, h->element);
  /* because of the shutdown: nothing ends */
  g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (thread)), ==,
      GST_FLOW_FLUSHING);
  plugin_fake_release (NULL);
  g_thread_join (stop);
  plugin_fake_check_nothing_alive ();
  plugin_test_teardown (h);

  plugin_fake_reset ();
  FAKE_SET (fake, does.hold, TRUE);
  h = plugin_fake_harness_of_depth (model_path, 2);
  plugin_fake_push (h, 0);
  FAKE_AWAIT (fake, running, 1);
  stop = plugin_test_later (stop_element, h->element);
  /* returns because of the shutdown: nothing runs */
  g_assert_false (gst_harness_push_event (h, gst_event_new_eos ()));
  plugin_fake_release (NULL);
  g_thread_join (stop);
  plugin_test_teardown (h);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", PLUGIN_FAKE_CLASSES, 1, FALSE);

  g_test_add_func ("/flow/frames-leave-in-order-and-once-at-every-depth",
      test_order);
  g_test_add_func ("/flow/depth-bounds-frames-in-the-element",
      test_depth_bounds_frames);
  g_test_add_func ("/flow/serialized-events-wait-for-frames",
      test_serialized_events);
  g_test_add_func ("/flow/caps-change-midstream-keeps-order", test_caps_change);
  g_test_add_func ("/flow/renegotiation-waits-for-frames", test_renegotiation);
  g_test_add_func ("/flow/flush-at-every-fill-level-waits-for-what-runs-alone",
      test_flush_levels);
  g_test_add_func ("/flow/flush-and-shutdown-do-not-wait-for-what-waits",
      test_flush_waiting);
  g_test_add_func ("/flow/flush-while-requests-run-leaves-nothing",
      test_flush_running);
  g_test_add_func ("/flow/flush-drops-a-frame-that-is-being-submitted",
      test_flush_while_submitting);
  g_test_add_func ("/flow/flush-lets-a-blocked-chain-go",
      test_flush_blocked_chain);
  g_test_add_func ("/flow/shutdown-lets-blocked-chain-and-event-go",
      test_shutdown_blocked);
  return plugin_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Serialized events among the frames of gpudlinfer: their order, their refusal, and that they make nothing wait.
 * The engine is the real one over a fake module.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"

#include <string.h>

static const gchar *model_path;

static void
drain (GstHarness * h)
{
  g_autoptr (GstQuery) query = gst_query_new_drain ();

  gst_pad_peer_query (h->srcpad, query);
}

static GstEvent *
new_tag (const gchar * title)
{
  return gst_event_new_tag (gst_tag_list_new (GST_TAG_TITLE, title, NULL));
}

/* The title that a pad's peer has been told last; NULL: none. */
static gchar *
get_title (GstPad * pad)
{
  g_autoptr (GstEvent) event = gst_pad_get_sticky_event (pad, GST_EVENT_TAG, 0);
  GstTagList *tags;
  gchar *title = NULL;

  if (event != NULL) {
    gst_event_parse_tag (event, &tags);
    gst_tag_list_get_string (tags, GST_TAG_TITLE, &title);
  }
  return title;
}

/* ---- in flight ------------------------------------------------------------------------------------------------- */

/* One event before each frame, and all frames that there is room for run at once. */
static void
test_events_make_nothing_wait (void)
{
  for (guint depth = 1; depth <= 40; depth += 13) {
    GString *expected = g_string_new (NULL);
    g_autoptr (GstStructure) stats = NULL;
    g_autofree gchar *seen = NULL;
    PluginTestRecord *record;
    guint in_flight;
    GstHarness *h;

    plugin_fake_reset ();
    fake->does.hold = 1;
    h = plugin_fake_harness_of_depth (model_path, depth);
    record = plugin_test_record_new (h);
    for (guint i = 0; i < depth; i++) {
      g_assert_true (gst_harness_push_event (h, i % 2 == 0 ? new_tag ("x") :
              gst_event_new_gap (i * 20 * GST_MSECOND, 0)));
      plugin_fake_push (h, i);
      g_string_append (expected, i % 2 == 0 ? "TB" : "GB");
    }
    g_object_get (h->element, "stats", &stats, NULL);
    g_assert_true (gst_structure_get_uint (stats, "in-flight", &in_flight));
    g_assert_cmpuint (in_flight, ==, depth);
    FAKE_SET (fake, does.hold, 0);
    for (guint i = 0; i < depth; i++)
      plugin_fake_pull (h, i);
    seen = plugin_test_record_take (record, expected->len);
    g_assert_cmpstr (seen, ==, expected->str);
    g_string_free (expected, TRUE);
    plugin_test_teardown (h);
  }
}

/* A bound on events, whatever the depth; a flush lets go of who waits for room. */
static void
test_events_are_bounded (void)
{
  GThread *later;
  GstHarness *h;

  plugin_fake_reset ();
  fake->does.hold = 1;
  h = plugin_fake_harness_of_depth (model_path, 1);
  plugin_fake_push (h, 0);
  for (guint i = 0; i < GST_GPUDL_FIFO_EVENTS; i++)
    g_assert_true (gst_harness_push_event (h, gst_event_new_gap (0, 1)));
  later = plugin_test_later (plugin_fake_release, NULL);
  g_assert_true (gst_harness_push_event (h, gst_event_new_gap (0, 1)));
  g_assert_cmpuint (FAKE_SEEN (fake, runs), ==, 1);
  g_thread_join (later);
  plugin_fake_pull (h, 0);
  plugin_test_teardown (h);
}

/* Each message counts in the segment of its frame, though frames of the one before are in flight when it comes. */
static void
test_segments (void)
{
  GstSegment segment;
  GstHarness *h;

  plugin_fake_reset ();
  fake->does.delay_us = 3000;
  h = plugin_fake_harness_of_depth (model_path, 4);
  g_object_set (h->element, "post-messages", GST_GPUDL_POST_MESSAGES_ALL, NULL);
  gst_segment_init (&segment, GST_FORMAT_TIME);
  for (guint i = 0; i < 4; i++) {
    segment.base = i * GST_SECOND;
    g_assert_true (gst_harness_push_event (h,
            gst_event_new_segment (&segment)));
    plugin_fake_push (h, 0);
    plugin_fake_push (h, 1);
  }
  drain (h);
  for (guint i = 0; i < 8; i++) {
    g_autoptr (GstMessage) message = plugin_test_message (h->element,
        GST_MESSAGE_ELEMENT);
    guint64 time;

    g_assert_nonnull (message);
    g_assert_true (gst_structure_get_uint64 (gst_message_get_structure
            (message), "running-time", &time));
    g_assert_cmpuint (time, ==, i / 2 * GST_SECOND + i % 2 * 20 * GST_MSECOND);
  }
  plugin_test_teardown (h);
}

/* ---- flushes --------------------------------------------------------------------------------------------------- */

/* Its sender takes an event that sticks for sent: a flush does not lose it. */
static void
test_flush_keeps_what_sticks (void)
{
  g_autofree gchar *seen = NULL;
  g_autofree gchar *title = NULL;
  PluginTestRecord *record;
  GstSegment segment;
  GThread *later;
  GstHarness *h;

  plugin_fake_reset ();
  fake->does.hold = 1;
  h = plugin_fake_harness_of_depth (model_path, 4);
  record = plugin_test_record_new (h);
  plugin_fake_push (h, 0);
  g_assert_true (gst_harness_push_event (h, new_tag ("first")));
  plugin_fake_push (h, 1);
  g_assert_true (gst_harness_push_event (h, new_tag ("second")));
  g_assert_true (gst_harness_push_event (h, gst_event_new_gap (0, 1)));
  later = plugin_test_later (plugin_fake_release, NULL);
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_start ()));
  g_thread_join (later);
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
  gst_segment_init (&segment, GST_FORMAT_TIME);
  g_assert_true (gst_harness_push_event (h, gst_event_new_segment (&segment)));
  plugin_fake_push (h, 2);
  plugin_fake_pull (h, 2);
  title = get_title (h->sinkpad);
  g_assert_cmpstr (title, ==, "second");
  seen = plugin_test_record_take (record, 0);
  g_assert_null (strchr (seen, 'G'));
  plugin_test_teardown (h);
}

/* A frame that comes before the segment that a flush ends for has no times of the one before. */
static void
test_flush_forgets_segment (void)
{
  g_autoptr (GstMessage) message = NULL;
  const GstStructure *structure;
  GstSegment segment;
  guint64 time;
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 4);
  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.base = GST_SECOND;
  g_assert_true (gst_harness_push_event (h, gst_event_new_segment (&segment)));
  plugin_fake_push (h, 0);
  plugin_fake_pull (h, 0);
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_start ()));
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
  g_object_set (h->element, "post-messages", GST_GPUDL_POST_MESSAGES_ALL, NULL);
  for (guint i = 0; i < 4; i++) /* at each end of both links */
    g_test_expect_message ("GStreamer", G_LOG_LEVEL_WARNING,
        "*data flow before segment*");
  plugin_fake_push (h, 1);
  drain (h);
  g_test_assert_expected_messages ();
  message = plugin_test_message (h->element, GST_MESSAGE_ELEMENT);
  structure = gst_message_get_structure (message);
  g_assert_true (gst_structure_get_uint64 (structure, "running-time", &time));
  g_assert_cmpuint (time, ==, GST_CLOCK_TIME_NONE);
  g_assert_true (gst_structure_get_uint64 (structure, "stream-time", &time));
  g_assert_cmpuint (time, ==, GST_CLOCK_TIME_NONE);
  plugin_test_teardown (h);
}

/* ---- bad results ----------------------------------------------------------------------------------------------- */

static GstFlowReturn chain_result;
static gint chained;
static gboolean reconfigures;

static GstFlowReturn
chain (GstPad * pad, GstObject * parent, GstBuffer * buffer)
{
  gst_buffer_unref (buffer);
  g_atomic_int_inc (&chained);
  if (reconfigures)             /* what linking sends, while the push that failed is under way */
    g_assert_true (gst_pad_push_event (pad, gst_event_new_reconfigure ()));
  return chain_result;
}

/* Downstream was shut down first: nothing gets past it, and nothing is left on the pad for whoever is linked next. */
static void
test_flushing_result_refuses_events (void)
{
  g_autoptr (GstEvent) eos = NULL;
  g_autofree gchar *title = NULL;
  PluginTestRecord *record;
  GstHarness *h;
  g_autofree gchar *seen = NULL;
  g_autoptr (GstPad) src = NULL;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 2);
  src = gst_element_get_static_pad (h->element, "src");
  gst_pad_set_chain_function (h->sinkpad, chain);
  chain_result = GST_FLOW_FLUSHING;
  g_assert_cmpint (plugin_fake_push_until_told (h, 2), ==, GST_FLOW_FLUSHING);
  record = plugin_test_record_new (h);
  gst_harness_push_event (h, new_tag ("x"));
  g_assert_false (gst_harness_push_event (h, gst_event_new_gap (0, 1)));
  g_assert_false (gst_harness_push_event (h, gst_event_new_eos ()));
  seen = plugin_test_record_take (record, 0);
  g_assert_cmpstr (seen, ==, "");
  title = get_title (src);
  g_assert_null (title);
  eos = gst_pad_get_sticky_event (src, GST_EVENT_EOS, 0);
  g_assert_null (eos);
  plugin_test_teardown (h);
}

/* After another bad result what does not stick is refused, with that result. */
static void
test_bad_result_refuses_what_does_not_stick (void)
{
  static const GstFlowReturn results[] =
      { GST_FLOW_ERROR, GST_FLOW_NOT_NEGOTIATED, GST_FLOW_EOS };

  for (guint i = 0; i < G_N_ELEMENTS (results); i++) {
    g_autofree gchar *seen = NULL;
    PluginTestRecord *record;
    GstHarness *h;

    plugin_fake_reset ();
    h = plugin_fake_harness_of_depth (model_path, 2);
    gst_pad_set_chain_function (h->sinkpad, chain);
    chain_result = results[i];
    g_assert_cmpint (plugin_fake_push_until_told (h, 2), ==, results[i]);
    record = plugin_test_record_new (h);
    g_assert_false (gst_harness_push_event (h, gst_event_new_gap (0, 1)));
    g_assert_true (gst_harness_push_event (h, new_tag ("x")));
    seen = plugin_test_record_take (record, 1);
    g_assert_cmpstr (seen, ==, "T");
    plugin_test_teardown (h);
  }
}

/* What sticks is there for the next peer, whether it came before or after the pad was unlinked. */
static void
check_unlinked_keeps_what_sticks (gboolean later)
{
  g_autofree gchar *title = NULL;
  g_autoptr (GstPad) src = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 3);
  src = gst_element_get_static_pad (h->element, "src");
  FAKE_SET (fake, does.hold, 1);
  plugin_fake_push (h, 0);
  g_assert_true (gst_harness_push_event (h, new_tag ("first")));
  plugin_fake_push (h, 1);
  g_assert_true (gst_pad_unlink (src, h->sinkpad));
  plugin_fake_release (NULL);
  g_assert_cmpint (plugin_fake_push_until_told (h, 3), ==, GST_FLOW_NOT_LINKED);
  title = get_title (h->sinkpad);
  g_assert_null (title);
  if (later)
    gst_harness_push_event (h, new_tag ("second"));
  gst_harness_set_src_caps_str (h, PLUGIN_TEST_GRAY ",pixel-aspect-ratio=2/1");
  g_assert_cmpint (gst_pad_link (src, h->sinkpad), ==, GST_PAD_LINK_OK);
  plugin_fake_push (h, 50);
  drain (h);
  title = get_title (h->sinkpad);
  g_assert_cmpstr (title, ==, later ? "second" : "first");
  plugin_test_teardown (h);
}

static void
test_unlinked_keeps_what_sticks (void)
{
  check_unlinked_keeps_what_sticks (FALSE);
  check_unlinked_keeps_what_sticks (TRUE);
}

/* A push that failed for want of a peer may come back after the link that mends it. */
static void
test_link_during_failing_push (void)
{
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 1);
  gst_pad_set_chain_function (h->sinkpad, chain);
  g_atomic_int_set (&chained, 0);
  chain_result = GST_FLOW_NOT_LINKED;
  reconfigures = TRUE;
  for (guint i = 0; i < 10; i++)
    plugin_fake_push (h, i);
  drain (h);
  g_assert_cmpint (g_atomic_int_get (&chained), ==, 10);
  /* but a link that came before the push is none for it */
  reconfigures = FALSE;
  g_assert_cmpint (plugin_fake_push_until_told (h, 1), ==, GST_FLOW_NOT_LINKED);
  plugin_test_teardown (h);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", PLUGIN_FAKE_CLASSES, 1, FALSE);

#define ADD(name, func) g_test_add_func ("/events/" name, func)
  ADD ("one-before-each-frame-leaves-all-frames-in-flight",
      test_events_make_nothing_wait);
  ADD ("as-many-as-there-is-room-for", test_events_are_bounded);
  ADD ("messages-count-in-their-frames-segment", test_segments);
  ADD ("flush-keeps-those-that-stick", test_flush_keeps_what_sticks);
  ADD ("flush-forgets-the-segment", test_flush_forgets_segment);
  ADD ("flushing-downstream-refuses-all", test_flushing_result_refuses_events);
  ADD ("bad-result-refuses-those-that-do-not-stick",
      test_bad_result_refuses_what_does_not_stick);
  ADD ("unlinked-keeps-those-that-stick", test_unlinked_keeps_what_sticks);
  ADD ("link-during-a-failing-push-counts", test_link_during_failing_push);
  return plugin_test_run ();
}

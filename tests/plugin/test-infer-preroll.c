/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * gpudlinfer before a sink that keeps its first frame until it plays: an ALLOCATION query and a renegotiation do not wait
 * for that, and are made up for as soon as frames flow. The engine is the real one over a fake module.
 */
#include "plugin-fake.h"
#include "plugin-pair.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"

static const gchar *model_path;

/* Upstream is told to ask again once frames flow, and only once; in PLAYING it gets downstream's answer. */
static void
check_asked_anew (PluginPairStream * stream)
{
  const gint64 end = g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND;
  const gint asked = g_atomic_int_get (&stream->asked);

  while (g_atomic_int_get (&stream->reconfigured) == 0) {
    g_assert_cmpint (g_get_monotonic_time (), <, end);
    g_usleep (1000);
  }
  for (guint n = 1; n < 4; n++)
    g_assert_cmpint (plugin_pair_push_frame (stream, n), ==, GST_FLOW_OK);
  plugin_pair_ask (stream);
  g_assert_cmpint (g_atomic_int_get (&stream->asked), ==, asked + 1);
  g_assert_cmpint (g_atomic_int_get (&stream->reconfigured), ==, 1);
}

/* One thread feeds both; until they play, the sinks have been asked before their first frame alone. */
static void
play (PluginPair * pair)
{
  GThread *thread;

  plugin_pair_init (pair, model_path);
  thread = g_thread_new ("feed", plugin_pair_feed, pair);
  plugin_pair_await_state (pair, GST_STATE_PAUSED);
  g_thread_join (thread);
  for (guint i = 0; i < 2; i++) {
    g_assert_cmpint (g_atomic_int_get (&pair->streams[i].asked), ==, 1);
    g_assert_cmpint (g_atomic_int_get (&pair->streams[i].reconfigured), ==, 0);
  }
  plugin_pair_set_state (pair, GST_STATE_PLAYING);
  for (guint i = 0; i < 2; i++)
    check_asked_anew (&pair->streams[i]);
}

static void
test_allocation_in_preroll (void)
{
  PluginPair pair;

  plugin_fake_reset ();
  play (&pair);
  plugin_pair_clear (&pair);
}

/* After a flush sinks keep their first frame as well, though all elements stay in PLAYING. */
static void
test_allocation_after_flush (void)
{
  GThread *thread;
  PluginPair pair;

  plugin_fake_reset ();
  play (&pair);
  for (guint i = 0; i < 2; i++) {
    g_assert_true (plugin_pair_push_event (&pair.streams[i],
            gst_event_new_flush_start ()));
    g_assert_true (plugin_pair_push_event (&pair.streams[i],
            gst_event_new_flush_stop (TRUE)));
    pair.streams[i].reconfigured = 0;
  }
  thread = g_thread_new ("feed", plugin_pair_feed, &pair);
  plugin_pair_await_state (&pair, GST_STATE_PLAYING);
  g_thread_join (thread);
  check_asked_anew (&pair.streams[0]);  /* with the other's frame both play */
  plugin_pair_clear (&pair);
}

static GstPadProbeReturn
delay_tag (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  if (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info)) == GST_EVENT_TAG)
    g_usleep (20 * 1000);
  return GST_PAD_PROBE_OK;
}

/* No sink keeps these: before its first frame, downstream is asked behind them. A gap it keeps like a frame. Of what a
 * flush drops, nothing is left to be kept. */
static void
test_allocation_behind_events (void)
{
  g_autoptr (GstPad) sink = NULL;
  PluginPairStream *stream;
  PluginPair pair;

  plugin_fake_reset ();
  plugin_pair_init (&pair, model_path);
  stream = &pair.streams[0];
  sink = gst_element_get_static_pad (stream->sink, "sink");
  gst_pad_add_probe (sink, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, delay_tag, NULL,
      NULL);
  for (gint round = 1; round <= 2; round++) {
    plugin_pair_begin (stream);
    g_assert_true (plugin_pair_push_event (stream,
            gst_event_new_tag (gst_tag_list_new (GST_TAG_TITLE, "x", NULL))));
    plugin_pair_ask (stream);
    g_assert_cmpint (g_atomic_int_get (&stream->asked), ==, round);

    g_assert_true (plugin_pair_push_event (stream, gst_event_new_gap (0,
                GST_MSECOND)));
    plugin_pair_await_preroll (stream);
    plugin_pair_ask (stream);
    g_assert_cmpint (g_atomic_int_get (&stream->asked), ==, round);
    g_assert_cmpint (plugin_pair_push_frame (stream, 0), ==, GST_FLOW_OK);
    g_assert_true (plugin_pair_push_event (stream, gst_event_new_gap (0,
                GST_MSECOND)));
    g_assert_true (plugin_pair_push_event (stream,
            gst_event_new_flush_start ()));
    g_assert_true (plugin_pair_push_event (stream,
            gst_event_new_flush_stop (TRUE)));
  }
  plugin_pair_clear (&pair);
}

static gpointer
ask_in_thread (gpointer data)
{
  plugin_pair_ask (data);
  return NULL;
}

/* A query that waits for frames on their way out is let go when they stop being on it. */
static void
test_allocation_meets_paused (void)
{
  GThread *asks;
  PluginPair pair;

  plugin_fake_reset ();
  play (&pair);
  /* the sink waits for its clock */
  g_assert_cmpint (plugin_pair_push_frame (&pair.streams[0], 180 * 1000), ==,
      GST_FLOW_OK);
  asks = g_thread_new ("ask", ask_in_thread, &pair.streams[0]);
  g_usleep (20 * 1000);
  g_assert_cmpint (gst_element_set_state (pair.pipeline, GST_STATE_PAUSED), ==,
      GST_STATE_CHANGE_ASYNC);
  g_thread_join (asks);
  plugin_pair_clear (&pair);
}

static GstPadProbeReturn
count_question (GstPad * pad, GstPadProbeInfo * info, gpointer n)
{
  g_atomic_int_inc ((gint *) n);
  return GST_PAD_PROBE_OK;
}

/* A frame for which there is room does not wait for a renegotiation that can't be yet. */
static void
test_reconfigure_in_preroll (void)
{
  g_autoptr (GstPad) sink = NULL;
  g_autoptr (GstPad) src = NULL;
  PluginPairStream *stream;
  PluginPair pair;
  gint asked = 0;

  plugin_fake_reset ();
  plugin_pair_init (&pair, model_path);
  stream = &pair.streams[0];
  sink = gst_element_get_static_pad (stream->sink, "sink");
  src = gst_element_get_static_pad (stream->infer, "src");
  plugin_pair_begin (stream);
  g_assert_cmpint (plugin_pair_push_frame (stream, 0), ==, GST_FLOW_OK);
  plugin_pair_await_preroll (stream);
  gst_pad_add_probe (sink, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM |
      GST_PAD_PROBE_TYPE_PUSH, count_question, &asked, NULL);
  plugin_pair_reconfigure (stream);
  g_assert_cmpint (plugin_pair_push_frame (stream, 1), ==, GST_FLOW_OK);
  g_assert_cmpint (g_atomic_int_get (&asked), ==, 0);
  g_assert_true (gst_pad_needs_reconfigure (src));
  plugin_pair_begin (&pair.streams[1]);
  g_assert_cmpint (plugin_pair_push_frame (&pair.streams[1], 0), ==,
      GST_FLOW_OK);
  plugin_pair_await_state (&pair, GST_STATE_PAUSED);
  plugin_pair_set_state (&pair, GST_STATE_PLAYING);
  g_assert_cmpint (plugin_pair_push_frame (stream, 2), ==, GST_FLOW_OK);
  g_assert_cmpint (plugin_pair_push_frame (stream, 3), ==, GST_FLOW_OK);
  g_assert_false (gst_pad_needs_reconfigure (src));
  g_assert_cmpint (g_atomic_int_get (&asked), >, 0);
  plugin_pair_clear (&pair);
}

static GstFlowReturn
refuse (GstPad * pad, GstObject * parent, GstBuffer * buffer)
{
  gst_buffer_unref (buffer);
  return GST_FLOW_EOS;
}

/* What downstream refuses while a renegotiation waits is returned, and the frames behind it are let go of. */
static void
test_reconfigure_meets_bad_result (void)
{
  GstGpudlFifo *fifo;
  GThread *later;
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 4);
  fifo = &GST_GPUDL_INFER (h->element)->fifo;
  plugin_fake_push (h, 0);
  plugin_fake_pull (h, 0);
  g_assert_true (gst_gpudl_fifo_wait_idle (fifo,
          g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND));
  gst_pad_set_chain_function (h->sinkpad, refuse);
  FAKE_SET (fake, does.hold, TRUE);
  for (guint i = 1; i < 4; i++)
    plugin_fake_push (h, i);
  g_assert_true (gst_harness_push_upstream_event (h,
          gst_event_new_reconfigure ()));
  later = plugin_test_later (plugin_fake_release, NULL);
  g_assert_cmpint (gst_harness_push (h,
          plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 4, 4)), ==, GST_FLOW_EOS);
  g_thread_join (later);
  g_assert_cmpuint (gst_gpudl_fifo_get_count (fifo), ==, 0);
  plugin_test_teardown (h);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", PLUGIN_FAKE_CLASSES, 1, FALSE);

#define ADD(name, func) g_test_add_func ("/preroll/" name, func)
  ADD ("allocation-query-does-not-wait-for-playing",
      test_allocation_in_preroll);
  ADD ("allocation-query-does-not-wait-for-playing-after-a-flush",
      test_allocation_after_flush);
  ADD ("allocation-query-waits-for-events-that-no-sink-keeps",
      test_allocation_behind_events);
  ADD ("allocation-query-in-wait-is-let-go-by-paused",
      test_allocation_meets_paused);
  ADD ("frame-does-not-wait-for-a-renegotiation", test_reconfigure_in_preroll);
  ADD ("bad-result-ends-the-wait-for-a-renegotiation",
      test_reconfigure_meets_bad_result);
  return plugin_test_run ();
}

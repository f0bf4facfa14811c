/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plugin-pair.h"

#include <string.h>

#include "plugin-fake.h"
#include "plugin-test.h"

static gboolean
count_reconfigure (GstPad * pad, GstObject * parent, GstEvent * event)
{
  PluginPairStream *stream = g_object_get_data (G_OBJECT (pad), "stream");

  if (GST_EVENT_TYPE (event) == GST_EVENT_RECONFIGURE)
    g_atomic_int_inc (&stream->reconfigured);
  gst_event_unref (event);
  return TRUE;
}

static GstPadProbeReturn
count_question (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  PluginPairStream *stream = user_data;

  if (GST_QUERY_TYPE (GST_PAD_PROBE_INFO_QUERY (info)) == GST_QUERY_ALLOCATION)
    g_atomic_int_inc (&stream->asked);
  return GST_PAD_PROBE_OK;
}

static void
stream_init (PluginPairStream * stream, GstBin * pipeline, const gchar * model)
{
  g_autoptr (GstPad) sink = NULL;
  g_autoptr (GstPad) infer = NULL;

  stream->infer = plugin_test_element ("gpudlinfer", "async-depth="
      G_STRINGIFY (PLUGIN_PAIR_DEPTH), NULL);
  stream->sink = plugin_test_element ("fakesink", "sync=true", NULL);
  g_object_set (stream->infer, "model", model, NULL);
  gst_bin_add_many (pipeline, stream->infer, stream->sink, NULL);
  g_assert_true (gst_element_link (stream->infer, stream->sink));
  infer = gst_element_get_static_pad (stream->infer, "sink");
  sink = gst_element_get_static_pad (stream->sink, "sink");
  gst_pad_add_probe (sink, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM |
      GST_PAD_PROBE_TYPE_PUSH, count_question, stream, NULL);
  stream->src = gst_pad_new ("src", GST_PAD_SRC);
  g_object_set_data (G_OBJECT (stream->src), "stream", stream);
  gst_pad_set_event_function (stream->src, count_reconfigure);
  gst_pad_set_active (stream->src, TRUE);
  g_assert_cmpint (gst_pad_link (stream->src, infer), ==, GST_PAD_LINK_OK);
}

void
plugin_pair_init (PluginPair * pair, const gchar * model)
{
  memset (pair, 0, sizeof (*pair));
  pair->pipeline = gst_pipeline_new (NULL);
  for (guint i = 0; i < 2; i++)
    stream_init (&pair->streams[i], GST_BIN (pair->pipeline), model);
  g_assert_cmpint (gst_element_set_state (pair->pipeline, GST_STATE_PAUSED), ==,
      GST_STATE_CHANGE_ASYNC);
  g_assert_cmpuint (FAKE_SEEN (fake, opens), ==, 1);
  for (guint i = 0; i < 2; i++)
    pair->streams[i].reconfigured = 0;
}

void
plugin_pair_clear (PluginPair * pair)
{
  plugin_test_no_error (pair->pipeline);
  g_assert_cmpint (gst_element_set_state (pair->pipeline, GST_STATE_NULL), ==,
      GST_STATE_CHANGE_SUCCESS);
  for (guint i = 0; i < 2; i++) {
    gst_pad_set_active (pair->streams[i].src, FALSE);
    gst_object_unref (pair->streams[i].src);
  }
  gst_object_unref (pair->pipeline);
}

void
plugin_pair_await_state (PluginPair * pair, GstState state)
{
  GstState found;

  g_assert_cmpint (gst_element_get_state (pair->pipeline, &found, NULL,
          20 * GST_SECOND), ==, GST_STATE_CHANGE_SUCCESS);
  g_assert_cmpint (found, ==, state);
}

void
plugin_pair_set_state (PluginPair * pair, GstState state)
{
  g_assert_cmpint (gst_element_set_state (pair->pipeline, state), !=,
      GST_STATE_CHANGE_FAILURE);
  plugin_pair_await_state (pair, state);
}

gboolean
plugin_pair_push_event (PluginPairStream * stream, GstEvent * event)
{
  return gst_pad_push_event (stream->src, event);
}

GstEvent *
plugin_pair_new_segment (GstClockTime base)
{
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.base = base;
  return gst_event_new_segment (&segment);
}

GstEvent *
plugin_pair_new_caps (const gchar * text)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (text);

  return gst_event_new_caps (caps);
}

GstFlowReturn
plugin_pair_push_frame (PluginPairStream * stream, guint n)
{
  return gst_pad_push (stream->src,
      plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, n, n));
}

void
plugin_pair_begin (PluginPairStream * stream)
{
  g_assert_true (plugin_pair_push_event (stream,
          gst_event_new_stream_start ("test")));
  g_assert_true (plugin_pair_push_event (stream,
          plugin_pair_new_caps (PLUGIN_TEST_GRAY)));
  g_assert_true (plugin_pair_push_event (stream, plugin_pair_new_segment (0)));
}

void
plugin_pair_await_preroll (PluginPairStream * stream)
{
  GstStateChangeReturn ret;

  do                            /* FAILURE: somebody has set its state meanwhile */
    ret = gst_element_get_state (stream->sink, NULL, NULL, 20 * GST_SECOND);
  while (ret == GST_STATE_CHANGE_FAILURE);
  g_assert_cmpint (ret, ==, GST_STATE_CHANGE_SUCCESS);
}

void
plugin_pair_ask (PluginPairStream * stream)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (PLUGIN_TEST_GRAY);
  g_autoptr (GstQuery) query = gst_query_new_allocation (caps, TRUE);
  guint size, min;

  g_assert_true (gst_pad_peer_query (stream->src, query));
  g_assert_cmpuint (gst_query_get_n_allocation_pools (query), ==, 1);
  gst_query_parse_nth_allocation_pool (query, 0, NULL, &size, &min, NULL);
  g_assert_cmpuint (size, ==, PLUGIN_TEST_GRAY_SIZE);
  g_assert_cmpuint (min, ==, PLUGIN_PAIR_DEPTH + 1);
  g_assert_cmpuint (gst_query_get_n_allocation_metas (query), ==, 0);
}

gpointer
plugin_pair_feed (gpointer data)
{
  PluginPair *pair = data;

  for (guint i = 0; i < 2; i++) {
    plugin_pair_begin (&pair->streams[i]);
    plugin_pair_ask (&pair->streams[i]);
    g_assert_cmpint (plugin_pair_push_frame (&pair->streams[i], 0), ==,
        GST_FLOW_OK);
    plugin_pair_await_preroll (&pair->streams[i]);
    plugin_pair_ask (&pair->streams[i]);
  }
  return NULL;
}

void
plugin_pair_reconfigure (PluginPairStream * stream)
{
  g_autoptr (GstPad) sink = gst_element_get_static_pad (stream->sink, "sink");

  g_assert_true (gst_pad_push_event (sink, gst_event_new_reconfigure ()));
}

void
plugin_pair_await_inside (PluginPairStream * stream)
{
  g_autoptr (GstPad) infer = gst_pad_get_peer (stream->src);
  const gint64 limit = g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND;

  while (g_rec_mutex_trylock (GST_PAD_GET_STREAM_LOCK (infer))) {
    GST_PAD_STREAM_UNLOCK (infer);
    g_assert_cmpint (g_get_monotonic_time (), <, limit);
    g_usleep (100);
  }
}

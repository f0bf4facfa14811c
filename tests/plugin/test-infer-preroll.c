/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * gpudlinfer before a sink that keeps its first frame until it plays: what waits for that, what does not, and what lets
 * go of it. Two streams share a session, and one must not wait for the other's sink. The engine is the real one over a
 * fake module.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"

#define DEPTH 2

static const gchar *model_path;

/* ---- two streams ----------------------------------------------------------------------------------------------- */

/* One of them: the test pushes into src, as an element before gpudlinfer would. */
typedef struct
{
  GstElement *infer, *sink;
  GstPad *src;
  gint reconfigured;            /* atomic: how often it has been asked to negotiate anew */
  gint asked;                   /* atomic: ALLOCATION queries that the sink has had */
} Stream;

typedef struct
{
  GstElement *pipeline;
  Stream streams[2];
} Pair;

static gboolean
count_reconfigure (GstPad * pad, GstObject * parent, GstEvent * event)
{
  Stream *stream = g_object_get_data (G_OBJECT (pad), "stream");

  if (GST_EVENT_TYPE (event) == GST_EVENT_RECONFIGURE)
    g_atomic_int_inc (&stream->reconfigured);
  gst_event_unref (event);
  return TRUE;
}

static GstPadProbeReturn
count_question (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Stream *stream = user_data;

  if (GST_QUERY_TYPE (GST_PAD_PROBE_INFO_QUERY (info)) == GST_QUERY_ALLOCATION)
    g_atomic_int_inc (&stream->asked);
  return GST_PAD_PROBE_OK;
}

static void
stream_init (Stream * stream, GstBin * pipeline)
{
  g_autoptr (GstPad) sink = NULL;
  g_autoptr (GstPad) infer = NULL;

  stream->infer = plugin_test_element ("gpudlinfer", "async-depth="
      G_STRINGIFY (DEPTH), NULL);
  stream->sink = plugin_test_element ("fakesink", "sync=true", NULL);
  g_object_set (stream->infer, "model", model_path, NULL);
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

static void
pair_init (Pair * pair)
{
  memset (pair, 0, sizeof (*pair));
  pair->pipeline = gst_pipeline_new (NULL);
  for (guint i = 0; i < 2; i++)
    stream_init (&pair->streams[i], GST_BIN (pair->pipeline));
  g_assert_cmpint (gst_element_set_state (pair->pipeline, GST_STATE_PAUSED), ==,
      GST_STATE_CHANGE_ASYNC);
  g_assert_cmpuint (FAKE_SEEN (fake, opens), ==, 1);
  for (guint i = 0; i < 2; i++)
    pair->streams[i].reconfigured = 0;
}

static void
pair_clear (Pair * pair)
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

/* Both sinks have a frame, or play. */
static void
await_state (Pair * pair, GstState state)
{
  GstState found;

  g_assert_cmpint (gst_element_get_state (pair->pipeline, &found, NULL,
          20 * GST_SECOND), ==, GST_STATE_CHANGE_SUCCESS);
  g_assert_cmpint (found, ==, state);
}

static void
set_state (Pair * pair, GstState state)
{
  g_assert_cmpint (gst_element_set_state (pair->pipeline, state), !=,
      GST_STATE_CHANGE_FAILURE);
  await_state (pair, state);
}

static gboolean
push_event (Stream * stream, GstEvent * event)
{
  return gst_pad_push_event (stream->src, event);
}

static GstEvent *
new_segment (GstClockTime base)
{
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.base = base;
  return gst_event_new_segment (&segment);
}

static GstEvent *
new_caps (const gchar * text)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (text);

  return gst_event_new_caps (caps);
}

static GstFlowReturn
push_frame (Stream * stream, guint n)
{
  return gst_pad_push (stream->src,
      plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, n, n));
}

static void
begin (Stream * stream)
{
  g_assert_true (push_event (stream, gst_event_new_stream_start ("test")));
  g_assert_true (push_event (stream, new_caps (PLUGIN_TEST_GRAY)));
  g_assert_true (push_event (stream, new_segment (0)));
}

/* The sink has got a frame and keeps it. */
static void
await_preroll (Stream * stream)
{
  GstStateChangeReturn ret;

  do                            /* FAILURE: somebody has set its state meanwhile */
    ret = gst_element_get_state (stream->sink, NULL, NULL, 20 * GST_SECOND);
  while (ret == GST_STATE_CHANGE_FAILURE);
  g_assert_cmpint (ret, ==, GST_STATE_CHANGE_SUCCESS);
}

/* As an element asks that has something to allocate; TRUE and with an entry, whoever has answered. */
static void
ask (Stream * stream)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (PLUGIN_TEST_GRAY);
  g_autoptr (GstQuery) query = gst_query_new_allocation (caps, TRUE);
  guint size, min;

  g_assert_true (gst_pad_peer_query (stream->src, query));
  g_assert_cmpuint (gst_query_get_n_allocation_pools (query), ==, 1);
  gst_query_parse_nth_allocation_pool (query, 0, NULL, &size, &min, NULL);
  g_assert_cmpuint (size, ==, PLUGIN_TEST_GRAY_SIZE);
  g_assert_cmpuint (min, ==, DEPTH + 1);
  g_assert_cmpuint (gst_query_get_n_allocation_metas (query), ==, 0);
}

/* ---- allocation ------------------------------------------------------------------------------------------------ */

/* For one thread: were it to wait until the first stream's sink plays, the second one's would never get the frame
 * that playing waits for. */
static gpointer
feed_both (gpointer data)
{
  Pair *pair = data;

  for (guint i = 0; i < 2; i++) {
    begin (&pair->streams[i]);
    ask (&pair->streams[i]);
    g_assert_cmpint (push_frame (&pair->streams[i], 0), ==, GST_FLOW_OK);
    await_preroll (&pair->streams[i]);
    ask (&pair->streams[i]);
  }
  return NULL;
}

/* Upstream is told to ask again once frames flow, and only once; in PLAYING it gets downstream's answer. */
static void
check_asked_anew (Stream * stream)
{
  const gint64 end = g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND;
  const gint asked = g_atomic_int_get (&stream->asked);

  while (g_atomic_int_get (&stream->reconfigured) == 0) {
    g_assert_cmpint (g_get_monotonic_time (), <, end);
    g_usleep (1000);
  }
  for (guint n = 1; n < 4; n++)
    g_assert_cmpint (push_frame (stream, n), ==, GST_FLOW_OK);
  ask (stream);
  g_assert_cmpint (g_atomic_int_get (&stream->asked), ==, asked + 1);
  g_assert_cmpint (g_atomic_int_get (&stream->reconfigured), ==, 1);
}

/* One thread feeds both; until they play, the sinks have been asked before their first frame alone. */
static void
play (Pair * pair)
{
  GThread *thread;

  pair_init (pair);
  thread = g_thread_new ("feed", feed_both, pair);
  await_state (pair, GST_STATE_PAUSED);
  g_thread_join (thread);
  for (guint i = 0; i < 2; i++) {
    g_assert_cmpint (g_atomic_int_get (&pair->streams[i].asked), ==, 1);
    g_assert_cmpint (g_atomic_int_get (&pair->streams[i].reconfigured), ==, 0);
  }
  set_state (pair, GST_STATE_PLAYING);
  for (guint i = 0; i < 2; i++)
    check_asked_anew (&pair->streams[i]);
}

static void
test_allocation_in_preroll (void)
{
  Pair pair;

  plugin_fake_reset ();
  play (&pair);
  pair_clear (&pair);
}

/* After a flush sinks keep their first frame as well, though all elements stay in PLAYING. */
static void
test_allocation_after_flush (void)
{
  GThread *thread;
  Pair pair;

  plugin_fake_reset ();
  play (&pair);
  for (guint i = 0; i < 2; i++) {
    g_assert_true (push_event (&pair.streams[i], gst_event_new_flush_start ()));
    g_assert_true (push_event (&pair.streams[i],
            gst_event_new_flush_stop (TRUE)));
    pair.streams[i].reconfigured = 0;
  }
  thread = g_thread_new ("feed", feed_both, &pair);
  await_state (&pair, GST_STATE_PLAYING);
  g_thread_join (thread);
  check_asked_anew (&pair.streams[0]);  /* with the other's frame both play */
  pair_clear (&pair);
}

static GstPadProbeReturn
delay_tag (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  if (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info)) == GST_EVENT_TAG)
    g_usleep (20 * 1000);
  return GST_PAD_PROBE_OK;
}

/* No sink keeps these: before its first frame, downstream is asked behind them. A gap it keeps like a frame. */
static void
test_allocation_behind_events (void)
{
  g_autoptr (GstPad) sink = NULL;
  Stream *stream;
  Pair pair;

  plugin_fake_reset ();
  pair_init (&pair);
  stream = &pair.streams[0];
  sink = gst_element_get_static_pad (stream->sink, "sink");
  gst_pad_add_probe (sink, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, delay_tag, NULL,
      NULL);
  begin (stream);
  g_assert_true (push_event (stream,
          gst_event_new_tag (gst_tag_list_new (GST_TAG_TITLE, "x", NULL))));
  ask (stream);
  g_assert_cmpint (g_atomic_int_get (&stream->asked), ==, 1);

  g_assert_true (push_event (stream, gst_event_new_gap (0, GST_MSECOND)));
  await_preroll (stream);
  ask (stream);
  g_assert_cmpint (g_atomic_int_get (&stream->asked), ==, 1);
  pair_clear (&pair);
}

static gpointer
ask_in_thread (gpointer data)
{
  ask (data);
  return NULL;
}

/* A query that waits for frames on their way out is let go when they stop being on it. */
static void
test_allocation_meets_paused (void)
{
  GThread *asks;
  Pair pair;

  plugin_fake_reset ();
  play (&pair);
  /* the sink waits for its clock */
  g_assert_cmpint (push_frame (&pair.streams[0], 180 * 1000), ==, GST_FLOW_OK);
  asks = g_thread_new ("ask", ask_in_thread, &pair.streams[0]);
  g_usleep (20 * 1000);
  g_assert_cmpint (gst_element_set_state (pair.pipeline, GST_STATE_PAUSED), ==,
      GST_STATE_CHANGE_ASYNC);
  g_thread_join (asks);
  pair_clear (&pair);
}

static void
reconfigure (Stream * stream)
{
  g_autoptr (GstPad) sink = gst_element_get_static_pad (stream->sink, "sink");

  g_assert_true (gst_pad_push_event (sink, gst_event_new_reconfigure ()));
}

/* A frame for which there is room does not wait for a renegotiation that can't be yet. */
static void
test_reconfigure_in_preroll (void)
{
  g_autoptr (GstPad) src = NULL;
  Stream *stream;
  Pair pair;

  plugin_fake_reset ();
  pair_init (&pair);
  stream = &pair.streams[0];
  src = gst_element_get_static_pad (stream->infer, "src");
  begin (stream);
  g_assert_cmpint (push_frame (stream, 0), ==, GST_FLOW_OK);
  await_preroll (stream);
  reconfigure (stream);
  g_assert_cmpint (push_frame (stream, 1), ==, GST_FLOW_OK);
  g_assert_true (gst_pad_needs_reconfigure (src));
  begin (&pair.streams[1]);
  g_assert_cmpint (push_frame (&pair.streams[1], 0), ==, GST_FLOW_OK);
  await_state (&pair, GST_STATE_PAUSED);
  set_state (&pair, GST_STATE_PLAYING);
  g_assert_cmpint (push_frame (stream, 2), ==, GST_FLOW_OK);
  g_assert_cmpint (push_frame (stream, 3), ==, GST_FLOW_OK);
  g_assert_false (gst_pad_needs_reconfigure (src));
  pair_clear (&pair);
}

/* ---- what waits for frames ------------------------------------------------------------------------------------- */

typedef enum
{
  WAIT_DRAIN,
  WAIT_CAPS,
  WAIT_SEGMENT,
  WAIT_STREAM_START,
  WAIT_EOS,
  WAIT_FRAMES,                  /* one more than there is room for */
  WAIT_GAPS,                    /* likewise */
  WAIT_RECONFIGURE,             /* a frame after one */
  WAIT_MOVE,                    /* a frame that lies on another device */
  N_WAITS
} Wait;

typedef enum
{
  LET_GO_PLAYING,
  LET_GO_FLUSH,
  LET_GO_SINK,                  /* it alone is shut down */
  LET_GO_READY,
  LET_GO_NULL,
  N_LET_GO
} LetGo;

typedef struct
{
  Stream *stream;
  Wait what;
  guint n;                      /* of the next frame */
  gint done;                    /* atomic */
} Waiter;

static GpudlDevice *devices[2];

/* In place of the element's own: frames lie on one and the other by turns. */
static gboolean
get_buffer_device (GstGpudlInfer * self, GstBuffer * buffer,
    GpudlDevice ** device, GError ** error)
{
  const guint n = GST_BUFFER_PTS (buffer) / (20 * GST_MSECOND);

  *device = gpudl_device_ref (devices[n % 2]);
  return TRUE;
}

static gboolean
wait_for_frames (Waiter * waiter)
{
  Stream *stream = waiter->stream;
  g_autoptr (GstQuery) query = gst_query_new_drain ();
  gboolean ok = TRUE;

  switch (waiter->what) {
    case WAIT_DRAIN:
      return gst_pad_peer_query (stream->src, query);
    case WAIT_CAPS:
      return push_event (stream, new_caps (PLUGIN_TEST_GRAY
              ",pixel-aspect-ratio=2/1"));
    case WAIT_SEGMENT:
      return push_event (stream, new_segment (GST_SECOND));
    case WAIT_STREAM_START:
      return push_event (stream, gst_event_new_stream_start ("next"));
    case WAIT_EOS:
      return push_event (stream, gst_event_new_eos ());
    case WAIT_GAPS:
      for (guint i = 0; i <= GST_GPUDL_FIFO_EVENTS && ok; i++)
        ok = push_event (stream, gst_event_new_gap (20 * GST_MSECOND, 1));
      return ok;
    case WAIT_FRAMES:
      for (guint i = 0; i < DEPTH && ok; i++)
        ok = push_frame (stream, waiter->n + i) == GST_FLOW_OK;
      return ok;
    default:
      return push_frame (stream, waiter->n) == GST_FLOW_OK;
  }
}

static gpointer
wait_in_thread (gpointer data)
{
  Waiter *waiter = data;
  const gboolean ok = wait_for_frames (waiter);

  g_atomic_int_set (&waiter->done, TRUE);
  return GINT_TO_POINTER (ok);
}

/* What sticks is sent again by its sender, and so counts as sent. */
static gboolean
is_refused (Wait what)
{
  return what != WAIT_CAPS && what != WAIT_SEGMENT && what != WAIT_STREAM_START;
}

static void
flush (Pair * pair, GstEvent * (*new_event) (void))
{
  for (guint i = 0; i < 2; i++)
    g_assert_true (push_event (&pair->streams[i], new_event ()));
}

static GstEvent *
new_flush_stop (void)
{
  return gst_event_new_flush_stop (TRUE);
}

static void
let_go (Pair * pair, LetGo how)
{
  switch (how) {
    case LET_GO_PLAYING:
      set_state (pair, GST_STATE_PLAYING);
      break;
    case LET_GO_FLUSH:
      flush (pair, gst_event_new_flush_start);
      break;
    case LET_GO_SINK:
      for (guint i = 0; i < 2; i++)
        g_assert_cmpint (gst_element_set_state (pair->streams[i].sink,
                GST_STATE_READY), ==, GST_STATE_CHANGE_SUCCESS);
      break;
    default:
      set_state (pair, how == LET_GO_READY ? GST_STATE_READY : GST_STATE_NULL);
  }
}

/* Both streams begin anew and get as far as before. */
static void
check_goes_on (Pair * pair, LetGo how, GstState state)
{
  GThread *thread;

  if (how == LET_GO_PLAYING)
    return;
  if (how == LET_GO_FLUSH)
    flush (pair, new_flush_stop);
  if (how == LET_GO_SINK)
    set_state (pair, GST_STATE_READY);
  if (how != LET_GO_FLUSH)
    g_assert_cmpint (gst_element_set_state (pair->pipeline, state), ==,
        GST_STATE_CHANGE_ASYNC);
  thread = g_thread_new ("feed", feed_both, pair);
  await_state (pair, state);
  g_thread_join (thread);
}

/* What may be set and asked at any time is, while the element waits. */
static void
look_at (Stream * stream)
{
  g_autoptr (GstStructure) stats = NULL;
  g_autoptr (GstStructure) info = NULL;
  g_auto (GStrv) labels = NULL;
  guint in_flight;

  g_object_set (stream->infer, "top-k", 2, "threshold", 0.5, "resize-mode", 1,
      "labels-file", NULL, "post-messages", GST_GPUDL_POST_MESSAGES_ALL, NULL);
  g_object_get (stream->infer, "stats", &stats, "model-info", &info, "labels",
      &labels, NULL);
  g_assert_nonnull (info);
  g_assert_true (gst_structure_get_uint (stats, "in-flight", &in_flight));
  g_assert_cmpuint (in_flight, <=, DEPTH);
}

/* playing: the sinks have a frame that is an hour ahead, else their first one. */
static void
check_wait (Wait what, LetGo how, gboolean playing)
{
  const GstState state = playing ? GST_STATE_PLAYING : GST_STATE_PAUSED;
  const guint n = playing ? 180 * 1000 : 0;
  GThread *threads[2];
  Waiter waiters[2];
  Pair pair;

  g_test_message ("wait %d, let go by %d, playing %d", what, how, playing);
  pair_init (&pair);
  for (guint i = 0; i < 2; i++) {
    if (what == WAIT_MOVE)
      GST_GPUDL_INFER (pair.streams[i].infer)->get_buffer_device =
          get_buffer_device;
    begin (&pair.streams[i]);
    g_assert_cmpint (push_frame (&pair.streams[i], 0), ==, GST_FLOW_OK);
  }
  await_state (&pair, GST_STATE_PAUSED);
  set_state (&pair, state);
  for (guint i = 0; i < 2; i++) {
    if (playing) {
      g_assert_true (gst_gpudl_fifo_wait_idle (&GST_GPUDL_INFER (pair.streams
                  [i].infer)->fifo,
              g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND));
      g_assert_cmpint (push_frame (&pair.streams[i], n), ==, GST_FLOW_OK);
    }
    if (what == WAIT_RECONFIGURE)
      reconfigure (&pair.streams[i]);
    waiters[i] = (Waiter) {
    .stream = &pair.streams[i],.what = what,.n = n + 1};
    threads[i] = g_thread_new ("wait", wait_in_thread, &waiters[i]);
  }
  g_usleep (5 * 1000);
  for (guint i = 0; i < 2; i++)
    look_at (&pair.streams[i]);
  for (guint i = 0; i < 2; i++)
    g_assert_false (g_atomic_int_get (&waiters[i].done));
  let_go (&pair, how);
  for (guint i = 0; i < 2; i++) {
    const gint ok = GPOINTER_TO_INT (g_thread_join (threads[i]));

    /* for a renegotiation alone, PAUSED on the way down is enough to go on without */
    if (what != WAIT_RECONFIGURE || how < LET_GO_READY)
      g_assert_cmpint (ok, ==, how == LET_GO_PLAYING || !is_refused (what));
  }
  check_goes_on (&pair, how, state);
  pair_clear (&pair);
}

static void
check_waits (gboolean playing)
{
  /* the double of the synchronous backend has one device */
  const Wait end = g_str_equal (fake_backend, "cuda") ? N_WAITS : WAIT_MOVE;

  for (Wait what = 0; what < end; what++) {
    if (what == WAIT_RECONFIGURE && !playing)
      continue;                 /* it does not */
    for (LetGo how = playing ? LET_GO_FLUSH : 0; how < N_LET_GO; how++) {
      plugin_fake_reset ();
      if (what == WAIT_MOVE)
        fake->is.n_devices = 2;
      for (gint i = 0; what == WAIT_MOVE && i < 2; i++)
        devices[i] = gpudl_device_acquire (fake_backend, i, NULL, NULL, NULL,
            NULL);
      check_wait (what, how, playing);
      for (guint i = 0; i < 2; i++)
        g_clear_pointer (&devices[i], gpudl_device_unref);
      plugin_fake_check_nothing_alive ();
    }
  }
}

static void
test_waits_in_preroll (void)
{
  check_waits (FALSE);
}

static void
test_waits_for_stalled_sink (void)
{
  check_waits (TRUE);
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
  ADD ("what-waits-for-the-first-frame-is-let-go", test_waits_in_preroll);
  ADD ("what-waits-for-a-stalled-sink-is-let-go", test_waits_for_stalled_sink);
  return plugin_test_run ();
}

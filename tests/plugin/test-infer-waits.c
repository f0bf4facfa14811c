/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What has to wait in gpudlinfer, before a sink that keeps its first frame until it plays or one that waits for its clock:
 * that it waits, and what lets go of it. The engine is the real one over a fake module.
 */
#include "plugin-fake.h"
#include "plugin-pair.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"

static const gchar *model_path;

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
  PluginPairStream *stream;
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
  PluginPairStream *stream = waiter->stream;
  g_autoptr (GstQuery) query = gst_query_new_drain ();
  gboolean ok = TRUE;

  switch (waiter->what) {
    case WAIT_DRAIN:
      return gst_pad_peer_query (stream->src, query);
    case WAIT_CAPS:
      return plugin_pair_push_event (stream,
          plugin_pair_new_caps (PLUGIN_TEST_GRAY ",pixel-aspect-ratio=2/1"));
    case WAIT_SEGMENT:
      return plugin_pair_push_event (stream,
          plugin_pair_new_segment (GST_SECOND));
    case WAIT_STREAM_START:
      return plugin_pair_push_event (stream,
          gst_event_new_stream_start ("next"));
    case WAIT_EOS:
      return plugin_pair_push_event (stream, gst_event_new_eos ());
    case WAIT_GAPS:
      for (guint i = 0; i <= GST_GPUDL_FIFO_EVENTS && ok; i++)
        ok = plugin_pair_push_event (stream,
            gst_event_new_gap (20 * GST_MSECOND, 1));
      return ok;
    case WAIT_FRAMES:
      for (guint i = 0; i < PLUGIN_PAIR_DEPTH && ok; i++)
        ok = plugin_pair_push_frame (stream, waiter->n + i) == GST_FLOW_OK;
      return ok;
    default:
      return plugin_pair_push_frame (stream, waiter->n) == GST_FLOW_OK;
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
flush (PluginPair * pair, GstEvent * (*new_event) (void))
{
  for (guint i = 0; i < 2; i++)
    g_assert_true (plugin_pair_push_event (&pair->streams[i], new_event ()));
}

static GstEvent *
new_flush_stop (void)
{
  return gst_event_new_flush_stop (TRUE);
}

static void
let_go (PluginPair * pair, LetGo how)
{
  switch (how) {
    case LET_GO_PLAYING:
      plugin_pair_set_state (pair, GST_STATE_PLAYING);
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
      plugin_pair_set_state (pair,
          how == LET_GO_READY ? GST_STATE_READY : GST_STATE_NULL);
  }
}

/* Both streams begin anew and get as far as before. */
static void
check_goes_on (PluginPair * pair, LetGo how, GstState state)
{
  GThread *thread;

  if (how == LET_GO_PLAYING)
    return;
  if (how == LET_GO_FLUSH)
    flush (pair, new_flush_stop);
  if (how == LET_GO_SINK)
    plugin_pair_set_state (pair, GST_STATE_READY);
  if (how != LET_GO_FLUSH)
    g_assert_cmpint (gst_element_set_state (pair->pipeline, state), ==,
        GST_STATE_CHANGE_ASYNC);
  thread = g_thread_new ("feed", plugin_pair_feed, pair);
  plugin_pair_await_state (pair, state);
  g_thread_join (thread);
}

/* What may be set and asked at any time is, while the element waits. */
static void
look_at (PluginPairStream * stream)
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
  g_assert_cmpuint (in_flight, <=, PLUGIN_PAIR_DEPTH);
}

/* playing: the sinks have a frame that is an hour ahead, else their first one. */
static void
check_wait (Wait what, LetGo how, gboolean playing)
{
  const GstState state = playing ? GST_STATE_PLAYING : GST_STATE_PAUSED;
  const guint n = playing ? 180 * 1000 : 0;
  GThread *threads[2];
  Waiter waiters[2];
  PluginPair pair;

  g_test_message ("wait %d, let go by %d, playing %d", what, how, playing);
  plugin_pair_init (&pair, model_path);
  for (guint i = 0; i < 2; i++) {
    if (what == WAIT_MOVE)
      GST_GPUDL_INFER (pair.streams[i].infer)->get_buffer_device =
          get_buffer_device;
    plugin_pair_begin (&pair.streams[i]);
    g_assert_cmpint (plugin_pair_push_frame (&pair.streams[i], 0), ==,
        GST_FLOW_OK);
  }
  plugin_pair_await_state (&pair, GST_STATE_PAUSED);
  plugin_pair_set_state (&pair, state);
  for (guint i = 0; i < 2; i++) {
    if (playing) {
      g_assert_true (gst_gpudl_fifo_wait_idle (&GST_GPUDL_INFER (pair.streams
                  [i].infer)->fifo,
              g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND));
      g_assert_cmpint (plugin_pair_push_frame (&pair.streams[i], n), ==,
          GST_FLOW_OK);
    }
    if (what == WAIT_RECONFIGURE)
      plugin_pair_reconfigure (&pair.streams[i]);
    waiters[i] = (Waiter) {
    .stream = &pair.streams[i],.what = what,.n = n + 1};
    threads[i] = g_thread_new ("wait", wait_in_thread, &waiters[i]);
  }
  for (guint i = 0; i < 2; i++)
    plugin_pair_await_inside (&pair.streams[i]);
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
  plugin_pair_clear (&pair);
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

#define ADD(name, func) g_test_add_func ("/waits/" name, func)
  ADD ("what-waits-for-the-first-frame-is-let-go", test_waits_in_preroll);
  ADD ("what-waits-for-a-stalled-sink-is-let-go", test_waits_for_stalled_sink);
  return plugin_test_run ();
}

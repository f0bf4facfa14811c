/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Elements whose last reference goes in a state above NULL: GStreamer complains, the rest is closed and freed, and no
 * thread stays. The engine is the real one over a fake module.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"
#include "plugin/gstgpudloverlay.h"

#include <unistd.h>

#define COMPLAINT "*Trying to dispose element*"

static const gchar *model_path;

static void
set_flag (gpointer flag, GObject * object)
{
  g_atomic_int_set ((gint *) flag, TRUE);
}

static void
await_flag (gint * flag)
{
  const gint64 end = g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND;

  while (!g_atomic_int_get (flag)) {
    g_assert_cmpint (g_get_monotonic_time (), <, end);
    g_usleep (1000);
  }
}

/* Threads of this process with this name. */
static guint
count_threads (const gchar * name)
{
  g_autoptr (GDir) tasks = g_dir_open ("/proc/self/task", 0, NULL);
  const gchar *task;
  guint n = 0;

  while ((task = g_dir_read_name (tasks)) != NULL) {
    g_autofree gchar *path = g_strdup_printf ("/proc/self/task/%s/comm", task);
    g_autofree gchar *text = NULL;

    n += g_file_get_contents (path, &text, NULL, NULL)
        && g_str_has_prefix (text, name);
  }
  return n;
}

static void
check_no_task_left (void)
{
  const gint64 end = g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND;

  /* GStreamer's pool keeps threads, under names of its own */
  while (count_threads ("lost-") > 0) {
    g_assert_cmpint (g_get_monotonic_time (), <, end);
    g_usleep (1000);
  }
}

static GstElement *
new_infer (void)
{
  GstElement *element = plugin_test_element ("gpudlinfer", "name=lost", NULL);

  g_object_set (element, "model", model_path, NULL);
  return gst_object_ref_sink (element);
}

static void
send_start (GstPad * pad)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (PLUGIN_TEST_GRAY);
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  g_assert_true (gst_pad_send_event (pad, gst_event_new_stream_start ("test")));
  g_assert_true (gst_pad_send_event (pad, gst_event_new_caps (caps)));
  g_assert_true (gst_pad_send_event (pad, gst_event_new_segment (&segment)));
}

/* Drops the last reference, which has to be one. */
static void
drop (GstElement * element, const gchar * complaint)
{
  gint gone = FALSE;

  g_object_weak_ref (G_OBJECT (element), set_flag, &gone);
  g_test_expect_message ("GStreamer", G_LOG_LEVEL_CRITICAL, complaint);
  gst_object_unref (element);
  g_test_assert_expected_messages ();
  g_assert_true (g_atomic_int_get (&gone));
}

static void
test_each_state (void)
{
  static const GstState states[] =
      { GST_STATE_READY, GST_STATE_PAUSED, GST_STATE_PLAYING };

  for (guint i = 0; i < G_N_ELEMENTS (states); i++) {
    g_autoptr (GstBus) bus = gst_bus_new ();
    GstElement *element;

    plugin_fake_reset ();
    element = new_infer ();
    gst_element_set_bus (element, bus);
    g_assert_cmpint (gst_element_set_state (element, states[i]), !=,
        GST_STATE_CHANGE_FAILURE);
    gst_bus_set_flushing (bus, TRUE);
    gst_bus_set_flushing (bus, FALSE);
    drop (element, COMPLAINT);
    g_assert_null (gst_bus_pop (bus));  /* it would have the element */
    plugin_fake_check_nothing_alive ();
    check_no_task_left ();
  }
}

static GMutex lock;
static GCond cond;
static gint held, let_go;

/* Keeps the pushing thread until it is flushed, as a sink that prerolls. */
static GstFlowReturn
keep_buffer (GstPad * pad, GstObject * parent, GstBuffer * buffer)
{
  gst_buffer_unref (buffer);
  g_mutex_lock (&lock);
  g_atomic_int_set (&held, TRUE);
  while (!let_go)
    g_cond_wait (&cond, &lock);
  g_mutex_unlock (&lock);
  return GST_FLOW_FLUSHING;
}

static gchar flushes[8];

static gboolean
let_buffer_go (GstPad * pad, GstObject * parent, GstEvent * event)
{
  const gboolean start = GST_EVENT_TYPE (event) == GST_EVENT_FLUSH_START;

  if (start || GST_EVENT_TYPE (event) == GST_EVENT_FLUSH_STOP)
    g_strlcat (flushes, start ? "<" : ">", sizeof (flushes));
  if (start) {
    g_mutex_lock (&lock);
    let_go = TRUE;
    g_cond_broadcast (&cond);
    g_mutex_unlock (&lock);
  }
  gst_event_unref (event);
  return TRUE;
}

/* Linked to a pad that has this chain function. */
static GstPad *
new_sink (GstElement * element, GstPadChainFunction function)
{
  g_autoptr (GstPad) src = gst_element_get_static_pad (element, "src");
  GstPad *sink = gst_pad_new ("sink", GST_PAD_SINK);

  gst_pad_set_chain_function (sink, function);
  gst_pad_set_event_function (sink, let_buffer_go);
  gst_pad_set_active (sink, TRUE);
  g_assert_cmpint (gst_pad_link (src, sink), ==, GST_PAD_LINK_OK);
  held = let_go = FALSE;
  flushes[0] = '\0';
  return sink;
}

static void
unlink_sink (GstElement * element, GstPad * sink)
{
  g_autoptr (GstPad) src = gst_element_get_static_pad (element, "src");

  g_assert_true (gst_pad_unlink (src, sink));
}

static void
send_frames (GstElement * element, guint n)
{
  g_autoptr (GstPad) sink = gst_element_get_static_pad (element, "sink");

  send_start (sink);
  for (guint i = 0; i < n; i++)
    g_assert_cmpint (gst_pad_chain (sink,
            plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, i, i)), ==, GST_FLOW_OK);
}

/* Downstream waits for something that nobody will do any more. */
static void
test_downstream_keeps (void)
{
  GstElement *element;
  GstPad *sink;

  plugin_fake_reset ();
  element = new_infer ();
  g_object_set (element, "async-depth", 4, NULL);
  sink = new_sink (element, keep_buffer);
  gst_element_set_state (element, GST_STATE_PAUSED);
  send_frames (element, 3);
  await_flag (&held);
  unlink_sink (element, sink);
  drop (element, COMPLAINT);
  g_assert_cmpstr (flushes, ==, "<>");
  plugin_fake_check_nothing_alive ();
  check_no_task_left ();
  gst_object_unref (sink);
}

static GstFlowReturn
keep_for_a_moment (GstPad * pad, GstObject * parent, GstBuffer * buffer)
{
  gst_buffer_unref (buffer);
  g_atomic_int_set (&held, TRUE);
  g_usleep (40 * 1000);
  return GST_FLOW_OK;
}

/* Nor is downstream flushed where it lets go by itself: it may be used on. */
static void
test_downstream_lets_go (void)
{
  GstElement *element;
  GstPad *sink;

  plugin_fake_reset ();
  element = new_infer ();
  sink = new_sink (element, keep_for_a_moment);
  gst_element_set_state (element, GST_STATE_PAUSED);
  send_frames (element, 2);
  await_flag (&held);
  unlink_sink (element, sink);
  drop (element, COMPLAINT);
  g_assert_cmpstr (flushes, ==, "");
  plugin_fake_check_nothing_alive ();
  gst_object_unref (sink);
}

/* Frames that run are waited for, those behind them are taken back. */
static void
test_engine_keeps (void)
{
  GstElement *element;
  GThread *later;

  plugin_fake_reset ();
  FAKE_SET (fake, does.hold, TRUE);
  element = new_infer ();
  g_object_set (element, "async-depth", 4, NULL);
  gst_element_set_state (element, GST_STATE_PLAYING);
  send_frames (element, 4);
  FAKE_AWAIT (fake, running, 1);
  later = plugin_test_later (plugin_fake_release, NULL);
  drop (element, COMPLAINT);
  g_thread_join (later);
  plugin_fake_check_nothing_alive ();
  check_no_task_left ();
}

static gint in_probe, may_drop;

/* Has the element as a script's callback has, and is the last that has it. */
static GstPadProbeReturn
drop_in_probe (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  GstElement *element = gst_pad_get_parent_element (pad);

  g_atomic_int_set (&in_probe, TRUE);
  await_flag (&may_drop);
  gst_object_unref (element);
  return GST_PAD_PROBE_OK;
}

static void
test_in_own_thread (void)
{
  g_autoptr (GstPad) src = NULL;
  GstElement *element;
  gint gone = FALSE;

  plugin_fake_reset ();
  element = new_infer ();
  g_atomic_int_set (&in_probe, FALSE);
  g_atomic_int_set (&may_drop, FALSE);
  src = gst_element_get_static_pad (element, "src");
  gst_pad_add_probe (src, GST_PAD_PROBE_TYPE_BUFFER, drop_in_probe, NULL, NULL);
  gst_element_set_state (element, GST_STATE_PLAYING);
  send_frames (element, 2);
  await_flag (&in_probe);
  g_object_weak_ref (G_OBJECT (element), set_flag, &gone);
  g_test_expect_message ("GStreamer", G_LOG_LEVEL_CRITICAL, COMPLAINT);
  gst_object_unref (element);
  g_assert_false (g_atomic_int_get (&gone));
  g_atomic_int_set (&may_drop, TRUE);
  await_flag (&gone);
  g_test_assert_expected_messages ();
  check_no_task_left ();
}

/* In a process of its own, which ends here: what others leak when they are lost is not looked at. */
static gboolean
is_inside (void)
{
  if (g_test_subprocess ())
    return TRUE;
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
  return FALSE;
}

/* A bin lets go of its elements one by one. */
static void
test_with_its_bin (void)
{
  static const gchar *const orders[][3] = {
    {"identity", "lost", "fakesink"}, {"fakesink", "lost", "identity"}
  };

  if (!is_inside ())
    return;
  for (guint i = 0; i < G_N_ELEMENTS (orders); i++) {
    GstElement *bin = gst_object_ref_sink (gst_bin_new ("bin"));
    GstElement *elements[3];
    gint gone = FALSE;

    plugin_fake_reset ();
    for (guint j = 0; j < 3; j++) {
      elements[j] = j == 1 ? new_infer () :
          plugin_test_element (orders[i][j], NULL);
      gst_bin_add (GST_BIN (bin), elements[j]);
    }
    gst_object_unref (elements[1]);
    g_assert_true (i == 0 ? gst_element_link_many (elements[0], elements[1],
            elements[2], NULL) : gst_element_link_many (elements[2],
            elements[1], elements[0], NULL));
    gst_element_set_state (bin, GST_STATE_PAUSED);
    {
      g_autoptr (GstPad) sink =
          gst_element_get_static_pad (elements[i == 0 ? 0 : 2], "sink");

      send_start (sink);
      /* the sink prerolls with it, and nobody sets it to PLAYING */
      g_assert_cmpint (gst_pad_chain (sink,
              plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 0, 0)), ==,
          GST_FLOW_OK);
    }
    g_assert_cmpint (gst_element_get_state (bin, NULL, NULL, 20 * GST_SECOND),
        ==, GST_STATE_CHANGE_SUCCESS);
    g_object_weak_ref (G_OBJECT (elements[1]), set_flag, &gone);
    for (guint j = 0; j < 4; j++)
      g_test_expect_message ("GStreamer", G_LOG_LEVEL_CRITICAL, COMPLAINT);
    gst_object_unref (bin);
    g_test_assert_expected_messages ();
    g_assert_true (g_atomic_int_get (&gone));
    plugin_fake_check_nothing_alive ();
    check_no_task_left ();
  }
  _exit (0);
}

/* What is taken out of a pipeline that goes on. */
static void
test_taken_out (void)
{
  for (guint round = 0; round < 10; round++) {
    g_autofree gchar *line =
        g_strdup_printf ("videotestsrc is-live=true ! %s ! gpudlinfer "
        "name=lost model=%s ! fakesink sync=false async=false",
        PLUGIN_TEST_GRAY, model_path);
    g_autoptr (GstBus) bus = NULL;
    GstElement *pipeline, *element;
    gint gone = FALSE;

    plugin_fake_reset ();
    pipeline = gst_parse_launch (line, NULL);
    g_assert_nonnull (pipeline);
    bus = gst_element_get_bus (pipeline);
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    FAKE_AWAIT (fake, runs, 1 + round % 3);
    gst_bus_set_flushing (bus, TRUE);   /* messages are references */
    element = gst_bin_get_by_name (GST_BIN (pipeline), "lost");
    g_object_weak_ref (G_OBJECT (element), set_flag, &gone);
    g_test_expect_message ("GStreamer", G_LOG_LEVEL_CRITICAL, COMPLAINT);
    gst_object_unref (element);
    g_assert_true (gst_bin_remove (GST_BIN (pipeline), element));
    await_flag (&gone);
    g_test_assert_expected_messages ();
    check_no_task_left ();
    gst_element_set_state (pipeline, GST_STATE_NULL);
    gst_object_unref (pipeline);
    plugin_fake_check_nothing_alive ();
  }
}

/* Its parts go with it, also one that somebody has a reference to. */
static void
test_overlay (void)
{
  g_autoptr (GstElementFactory) composing =
      gst_element_factory_find ("overlaycomposition");

  if (composing == NULL) {
    g_test_skip ("no overlaycomposition");
    return;
  }
  if (!is_inside ())
    return;
  for (guint held_part = 0; held_part < 2; held_part++) {
    GstElement *overlay =
        gst_object_ref_sink (plugin_test_element ("gpudloverlay", "name=lost",
            NULL));
    GstElement *composer = GST_GPUDL_OVERLAY (overlay)->composer;
    g_autoptr (GstPad) pad = gst_element_get_static_pad (composer, "sink");
    g_autoptr (GstPad) ghost = gst_element_get_static_pad (overlay, "sink");
    gint gone = FALSE;

    g_object_weak_ref (G_OBJECT (composer), set_flag, &gone);
    if (held_part)
      gst_object_ref (composer);
    g_assert_cmpint (gst_element_set_state (overlay, GST_STATE_PLAYING), !=,
        GST_STATE_CHANGE_FAILURE);
    drop (overlay, COMPLAINT "lost*");
    g_assert_cmpint (GST_OBJECT_REFCOUNT_VALUE (ghost), ==, 1);
    if (held_part) {
      g_assert_cmpint (GST_STATE (composer), ==, GST_STATE_NULL);
      g_assert_cmpuint (g_signal_handler_find (composer, G_SIGNAL_MATCH_ID,
              g_signal_lookup ("draw", G_OBJECT_TYPE (composer)), 0, NULL, NULL,
              NULL), ==, 0);
      gst_object_unref (composer);
    }
    g_assert_true (g_atomic_int_get (&gone));
  }
  _exit (0);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  GST_ELEMENT_REGISTER (gpudloverlay, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", PLUGIN_FAKE_CLASSES, 1, FALSE);

#define ADD(name, func) g_test_add_func ("/lost/" name, func)
  ADD ("in-each-state-all-is-closed", test_each_state);
  ADD ("downstream-that-keeps-the-task-is-flushed", test_downstream_keeps);
  ADD ("downstream-that-lets-go-is-not-flushed", test_downstream_lets_go);
  ADD ("what-runs-is-waited-for", test_engine_keeps);
  ADD ("in-its-own-thread", test_in_own_thread);
  ADD ("with-its-bin", test_with_its_bin);
  ADD ("taken-out-of-a-running-pipeline", test_taken_out);
  ADD ("overlay-with-its-parts", test_overlay);
  return plugin_test_run ();
}

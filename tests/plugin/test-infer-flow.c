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
restart (GstHarness * h)
{
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  g_assert_true (gst_harness_push_event (h, gst_event_new_segment (&segment)));
}

/* A flush waits for the frame that runs; those behind it never run. */
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
    restart (h);
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
    restart (h[1]);
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
    restart (h);
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
  restart (h);
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

/* ---- downstream ---------------------------------------------------------------------------------------------------*/

static GstFlowReturn chain_result;

static GstFlowReturn
chain (GstPad * pad, GstObject * parent, GstBuffer * buffer)
{
  gst_buffer_unref (buffer);
  return chain_result;
}

/* The element does not go round and round with a result that stays. */
static void
await_paused_task (GstHarness * h)
{
  g_autoptr (GstPad) src = gst_element_get_static_pad (h->element, "src");
  const gint64 end = g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND;

  while (gst_pad_get_task_state (src) != GST_TASK_PAUSED) {
    g_assert_cmpint (g_get_monotonic_time (), <, end);
    g_usleep (1000);
  }
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

      plugin_fake_reset ();
      h = plugin_fake_harness_of_depth (model_path, depth);
      gst_pad_set_chain_function (h->sinkpad, chain);
      chain_result = results[i];
      g_assert_cmpint (plugin_fake_push_until_told (h, depth), ==, results[i]);
      await_paused_task (h);
      /* and it stays so, without asking downstream again */
      chain_result = GST_FLOW_OK;
      g_assert_cmpint (gst_harness_push (h,
              plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 0, 0)), ==, results[i]);
      /* until a flush */
      g_assert_true (gst_harness_push_event (h, gst_event_new_flush_start ()));
      g_assert_true (gst_harness_push_event (h,
              gst_event_new_flush_stop (TRUE)));
      restart (h);
      g_assert_cmpint (gst_harness_push (h,
              plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 0, 0)), ==,
          GST_FLOW_OK);
      plugin_test_teardown (h);
    }
  }
}

static void
test_downstream_eos_until_segment (void)
{
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 3);
  gst_pad_set_chain_function (h->sinkpad, chain);
  chain_result = GST_FLOW_EOS;
  g_assert_cmpint (plugin_fake_push_until_told (h, 3), ==, GST_FLOW_EOS);
  chain_result = GST_FLOW_OK;
  restart (h);
  for (guint i = 0; i < 10; i++)
    plugin_fake_push (h, i);
  plugin_test_teardown (h);
}

static void
test_unlinked_until_relinked (void)
{
  g_autoptr (GstPad) src = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 3);
  src = gst_element_get_static_pad (h->element, "src");
  plugin_fake_push (h, 0);
  plugin_fake_pull (h, 0);
  g_assert_true (gst_pad_unlink (src, h->sinkpad));
  g_assert_cmpint (plugin_fake_push_until_told (h, 3), ==, GST_FLOW_NOT_LINKED);
  g_assert_cmpint (gst_pad_link (src, h->sinkpad), ==, GST_PAD_LINK_OK);
  plugin_fake_push (h, 50);
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

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 4);
  gst_pad_set_chain_function (h->sinkpad, chain);
  chain_result = GST_FLOW_NOT_NEGOTIATED;
  plugin_fake_push (h, 0);
  g_usleep (20 * 1000);
  gst_harness_push_event (h, gst_event_new_eos ());
  plugin_test_one_error (h->element, GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED);
  plugin_test_teardown (h);
}

/* What nobody takes any more does not run, but for what runs already. */
static void
test_bad_result_takes_back (void)
{
  GstHarness *h;

  plugin_fake_reset ();
  fake->is.n_slots = fake->is.max_batch = 1;
  fake->does.delay_us = 20 * 1000;
  h = plugin_fake_harness_of_depth (model_path, 8);
  gst_pad_set_chain_function (h->sinkpad, chain);
  chain_result = GST_FLOW_NOT_LINKED;
  for (guint i = 0; i < 8; i++)
    plugin_fake_push (h, i);
  gst_harness_set_src_caps_str (h, PLUGIN_TEST_GRAY ",pixel-aspect-ratio=2/1");
  g_assert_cmpuint (FAKE_SEEN (fake, runs), <, 6);
  plugin_test_teardown (h);
}

/* ---- failures of the engine ---------------------------------------------------------------------------------------*/

static void
flush (GstHarness * h)
{
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_start ()));
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
  restart (h);
  while (gst_harness_buffers_in_queue (h) > 0)
    gst_buffer_unref (gst_harness_pull (h));
}

static void
check_engine_failure (PluginFakeFailAt at, GpudlStatus status, GQuark domain,
    gint gst_code)
{
  g_autoptr (GstStructure) stats = NULL;
  guint64 errors;
  GstHarness *h;

  plugin_fake_reset ();
  if (at == PLUGIN_FAKE_AT_STAGE && fake->table->stage == NULL)
    return;
  fake->is.n_slots = fake->is.max_batch = 1;    /* frames run in their order */
  h = plugin_fake_harness_of_depth (model_path, 2);
  plugin_fake_fail_at (at, 3, status);
  g_assert_cmpint (plugin_fake_push_until_told (h, 6), ==, GST_FLOW_ERROR);
  g_assert_cmpint (gst_harness_push (h,
          plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 0, 0)), ==, GST_FLOW_ERROR);
  gst_harness_push_event (h, gst_event_new_eos ());
  plugin_test_one_error (h->element, domain, gst_code);
  g_assert_cmpuint (gst_harness_buffers_received (h), <=, 2);
  g_object_get (h->element, "stats", &stats, NULL);
  g_assert_true (gst_structure_get_uint64 (stats, "errors", &errors));
  g_assert_cmpuint (errors, >=, 1);
  /* a frame that comes meanwhile finds the device gone, too */
  g_assert_cmpuint (errors, <=, status == GPUDL_STATUS_DEVICE ? 2 : 1);

  /* flushed it works again, unless the device is gone; what fails then is said again */
  flush (h);
  if (status != GPUDL_STATUS_DEVICE) {
    plugin_fake_push (h, 77);
    plugin_fake_pull (h, 77);
    plugin_fake_fail_at (at, 1, status);
  }
  g_assert_cmpint (plugin_fake_push_until_told (h, 3), ==, GST_FLOW_ERROR);
  plugin_test_one_error (h->element, domain, gst_code);

  /* stopped and started it works in any case */
  gst_element_set_state (h->element, GST_STATE_NULL);
  plugin_fake_check_nothing_alive ();
  gst_harness_play (h);
  gst_harness_set_src_caps_str (h, PLUGIN_TEST_GRAY);
  plugin_fake_push (h, 78);
  plugin_fake_pull (h, 78);
  g_assert_cmpuint (FAKE_SEEN (fake, opens), ==, 2);
  plugin_test_teardown (h);
}

static void
test_engine_failures (void)
{
  static const struct
  {
    GpudlStatus status;
      GQuark (*domain) (void);
    gint code;
  } cases[] = {
    {GPUDL_STATUS_FAILED, gst_library_error_quark, GST_LIBRARY_ERROR_FAILED},
    {GPUDL_STATUS_UNSUPPORTED, gst_stream_error_quark,
        GST_STREAM_ERROR_NOT_IMPLEMENTED},
    {GPUDL_STATUS_INVALID_ARGUMENT, gst_resource_error_quark,
        GST_RESOURCE_ERROR_SETTINGS},
    {GPUDL_STATUS_BACKEND, gst_library_error_quark, GST_LIBRARY_ERROR_INIT},
    {GPUDL_STATUS_NO_MEMORY, gst_resource_error_quark,
        GST_RESOURCE_ERROR_NO_SPACE_LEFT},
    {GPUDL_STATUS_DEVICE, gst_stream_error_quark, GST_STREAM_ERROR_FAILED},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    for (PluginFakeFailAt at = PLUGIN_FAKE_AT_STAGE; at <= PLUGIN_FAKE_AT_RUN;
        at++)
      check_engine_failure (at, cases[i].status, cases[i].domain (),
          cases[i].code);
  }
}

/* All elements on the device fail, each with an error of its own, and all of them can be started again. */
static void
test_device_gone (void)
{
  GstHarness *h[2];

  plugin_fake_reset ();
  FAKE_SET (fake, does.hold, TRUE);
  for (guint i = 0; i < 2; i++)
    h[i] = plugin_fake_harness_of_depth (model_path, 4);
  for (guint i = 0; i < 8; i++)
    plugin_fake_push (h[i % 2], i);
  FAKE_AWAIT (fake, running, 2);
  FAKE_SET (fake, does.die, TRUE);
  for (guint i = 0; i < 2; i++) {
    g_assert_cmpint (plugin_fake_push_until_told (h[i], 4), ==, GST_FLOW_ERROR);
    plugin_test_one_error (h[i]->element, GST_STREAM_ERROR,
        GST_STREAM_ERROR_FAILED);
    g_assert_cmpuint (gst_harness_buffers_received (h[i]), ==, 0);
  }
  FAKE_SET (fake, does.hold, FALSE);
  for (guint i = 0; i < 2; i++) {
    gst_element_set_state (h[i]->element, GST_STATE_NULL);
    gst_harness_play (h[i]);
    gst_harness_set_src_caps_str (h[i], PLUGIN_TEST_GRAY);
    plugin_fake_push (h[i], 10 + i);
    plugin_fake_pull (h[i], 10 + i);
  }
  g_assert_cmpuint (FAKE_SEEN (fake, opens), ==, 2);
  g_assert_cmpuint (FAKE_SEEN (fake, engines), ==, 1);
  for (guint i = 0; i < 2; i++)
    plugin_test_teardown (h[i]);
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
  g_test_add_func ("/flow/downstream-result-comes-back-and-sticks-until-flush",
      test_downstream_results);
  g_test_add_func ("/flow/downstream-eos-ends-with-next-segment",
      test_downstream_eos_until_segment);
  g_test_add_func ("/flow/not-linked-ends-with-next-link",
      test_unlinked_until_relinked);
  g_test_add_func ("/flow/bad-result-takes-back-what-waits",
      test_bad_result_takes_back);
  g_test_add_func ("/flow/bad-result-is-posted-at-eos",
      test_eos_after_bad_result);
  g_test_add_func ("/flow/engine-failure-is-one-element-error",
      test_engine_failures);
  g_test_add_func ("/flow/device-that-fails-takes-all-its-elements-along",
      test_device_gone);
  return plugin_test_run ();
}

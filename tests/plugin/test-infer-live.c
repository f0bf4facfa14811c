/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * gpudlinfer in live pipelines: the latency it tells, whether it says that it falls behind, late frames. The engine is
 * the real one over a fake module; time and what a frame takes are scripted.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"

#define MS GST_MSECOND
#define S GST_SECOND
#define FRAME (40 * MS)
#define CAPS "video/x-raw,format=GRAY8,width=4,height=4,framerate=25/1"

static const gchar *model_path;

/* ---- the script ---------------------------------------------------------------------------------------------------- */

static struct
{
  GMutex lock;
  GCond changed;
  GstClockTime now;
  GstClockTime network;         /* what a frame takes */
  gboolean passes;              /* and the clock with it */
  GstClockTime push;            /* what the sink takes */
  guint steps;                  /* frames that may be answered; the rest wait */
  guint calls;                  /* of get_time() by the pusher */
  GThread *pusher;
  gboolean enough;
  guint pushed;
  gboolean unstamped;
} script;

static gboolean upstream_live;

static GstClockTime
get_time (void)
{
  GstClockTime now;

  g_mutex_lock (&script.lock);
  now = script.now;
  if (g_thread_self () == script.pusher) {
    script.calls++;
    g_cond_broadcast (&script.changed);
  }
  g_mutex_unlock (&script.lock);
  return now;
}

static void
pass (GstClockTime time)
{
  g_mutex_lock (&script.lock);
  script.now += time;
  g_mutex_unlock (&script.lock);
}

/* The source pad's task comes here when the request has been waited for. */
static const GpudlTiming *
get_timing (GpudlRequest * request)
{
  static GpudlTiming timing;

  g_mutex_lock (&script.lock);
  while (script.steps == 0)
    g_cond_wait (&script.changed, &script.lock);
  if (script.steps != G_MAXUINT)
    script.steps--;
  g_cond_broadcast (&script.changed);
  if (script.passes)
    script.now += script.network;
  timing.finished = script.now;
  timing.submitted = script.now - script.network;
  timing.started = script.now - script.network / 2;
  timing.batch = 1;
  g_mutex_unlock (&script.lock);
  return &timing;
}

static gboolean
upstream_query (GstPad * pad, GstObject * parent, GstQuery * query)
{
  if (GST_QUERY_TYPE (query) != GST_QUERY_LATENCY)
    return gst_pad_query_default (pad, parent, query);
  gst_query_set_latency (query, upstream_live, 0, GST_CLOCK_TIME_NONE);
  return TRUE;
}

static GstFlowReturn
slow_chain (GstPad * pad, GstObject * parent, GstBuffer * buffer)
{
  gst_buffer_unref (buffer);
  pass (script.push);
  return GST_FLOW_OK;
}

static guint
drop_messages (GstHarness * h, GstMessageType type)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (h->element);
  GstMessage *message;
  guint n = 0;

  while ((message = gst_bus_pop_filtered (bus, type)) != NULL) {
    gst_message_unref (message);
    n++;
  }
  return n;
}

/* Warm-up has measured 10 ms. */
static GstHarness *
new_harness (gboolean is_live, guint depth)
{
  GstGpudlLive *live;
  GstHarness *h;

  plugin_fake_reset ();
  fake->is.n_slots = fake->is.max_batch = 1;
  fake->is.run_time_ns = 10 * MS;
  script.now = 7000 * S;
  script.network = 10 * MS;
  script.passes = FALSE;
  script.push = 0;
  script.steps = G_MAXUINT;
  upstream_live = is_live;
  h = plugin_fake_harness_of_depth (model_path, depth);
  live = &GST_GPUDL_INFER (h->element)->live;
  live->get_time = get_time;
  live->get_timing = get_timing;
  gst_pad_set_query_function (h->srcpad, upstream_query);
  gst_harness_set_src_caps_str (h, CAPS);
  g_assert_cmpuint (plugin_test_query_latency (h), ==, 20 * MS);
  drop_messages (h, GST_MESSAGE_LATENCY);
  return h;
}

static GstBuffer *
new_frame (guint n)
{
  GstBuffer *buffer = plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, n, n);

  GST_BUFFER_PTS (buffer) = n * FRAME;
  GST_BUFFER_DURATION (buffer) = FRAME;
  return buffer;
}

/* ---- latency ----------------------------------------------------------------------------------------------------- */

/* Frames of a camera, each of which is answered before the next one comes. Returns how many times the latency has
 * changed; each of them is a message. */
static guint
answer (GstHarness * h, guint n, GstClockTime took)
{
  guint changes = 0;

  script.network = took;
  for (guint i = 0; i < n; i++) {
    const GstClockTime before = plugin_test_query_latency (h);

    pass (FRAME);
    g_assert_cmpint (gst_harness_push (h, new_frame (i)), ==, GST_FLOW_OK);
    gst_buffer_unref (gst_harness_pull (h));
    if (plugin_test_query_latency (h) != before)
      changes++;
  }
  g_assert_cmpuint (drop_messages (h, GST_MESSAGE_LATENCY), ==, changes);
  return changes;
}

/* A cold start, then a spell without processor time: no trace a minute later. */
static void
test_latency_falls (void)
{
  GstHarness *h = new_harness (TRUE, 1);

  g_assert_cmpuint (answer (h, 31, 432 * MS), ==, 0);
  g_assert_cmpuint (plugin_test_query_latency (h), ==, 20 * MS);
  g_assert_cmpuint (answer (h, 1, 432 * MS), ==, 1);
  g_assert_cmpuint (plugin_test_query_latency (h), ==, 540 * MS);
  g_assert_cmpuint (answer (h, 25 * 60, 10 * MS), ==, 1);
  g_assert_cmpuint (plugin_test_query_latency (h), ==, 12500 * GST_USECOND);
  g_assert_cmpuint (answer (h, 25, 400 * MS), ==, 1);
  g_assert_cmpuint (plugin_test_query_latency (h), ==, 500 * MS);
  g_assert_cmpuint (answer (h, 25 * 60, 10 * MS), ==, 1);
  g_assert_cmpuint (plugin_test_query_latency (h), ==, 12500 * GST_USECOND);
  plugin_test_teardown (h);
}

/* Where nobody waits for a clock, the latency stays what it was. */
static void
test_latency_not_live (void)
{
  GstHarness *h = new_harness (FALSE, 1);

  g_assert_cmpuint (answer (h, 500, 400 * MS), ==, 0);
  g_assert_cmpuint (plugin_test_query_latency (h), ==, 20 * MS);
  g_assert_cmpuint (answer (h, 500, 1 * MS), ==, 0);
  /* it turns out to be live: what frames take is known by then */
  upstream_live = TRUE;
  plugin_test_query_latency (h);
  g_assert_cmpuint (answer (h, 252, 1 * MS), ==, 1);
  g_assert_cmpuint (plugin_test_query_latency (h), ==, 1250 * GST_USECOND);
  plugin_test_teardown (h);
}

/* The queue in front of the network is part of it, the wait for downstream is not. */
static void
test_latency_of_what (void)
{
  GstHarness *h = new_harness (TRUE, 1);

  script.push = 700 * MS;
  gst_pad_set_chain_function (h->sinkpad, slow_chain);
  script.network = 40 * MS;
  for (guint i = 0; i < 100; i++)
    g_assert_cmpint (gst_harness_push (h, new_frame (i)), ==, GST_FLOW_OK);
  gst_harness_push_event (h, gst_event_new_eos ());
  g_assert_cmpuint (plugin_test_query_latency (h), ==, 50 * MS);
  plugin_test_teardown (h);
}

/* A seek or a pause loses no frame of the window, and waits for what is too much anew. */
static void
interrupt (GstHarness * h, gboolean flush)
{
  if (flush) {
    GstSegment segment;

    gst_segment_init (&segment, GST_FORMAT_TIME);
    gst_harness_push_event (h, gst_event_new_flush_start ());
    gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
    gst_harness_push_event (h, gst_event_new_segment (&segment));
  } else {
    gst_element_set_state (h->element, GST_STATE_PAUSED);
    gst_element_set_state (h->element, GST_STATE_PLAYING);
  }
}

static void
test_latency_interrupted (void)
{
  for (guint flush = 0; flush < 2; flush++) {
    GstHarness *h = new_harness (TRUE, 1);

    g_assert_cmpuint (answer (h, 250, 400 * MS), ==, 1);
    g_assert_cmpuint (plugin_test_query_latency (h), ==, 500 * MS);
    g_assert_cmpuint (answer (h, 245, 10 * MS), ==, 0);
    interrupt (h, flush);
    pass (3600 * S);
    g_assert_cmpuint (answer (h, 245, 10 * MS), ==, 0);
    g_assert_cmpuint (answer (h, 60, 10 * MS), ==, 1);
    g_assert_cmpuint (plugin_test_query_latency (h), ==, 12500 * GST_USECOND);
    plugin_test_teardown (h);
  }
}

/* Another start is another warm-up, and nothing is live until somebody asks. */
static void
test_latency_restart (void)
{
  GstHarness *h = new_harness (TRUE, 1);

  g_assert_cmpuint (answer (h, 100, 400 * MS), ==, 1);
  gst_element_set_state (h->element, GST_STATE_READY);
  g_assert_cmpuint (plugin_test_query_latency (h), ==, 0);
  gst_element_set_state (h->element, GST_STATE_PLAYING);
  gst_harness_push_event (h, gst_event_new_stream_start ("again"));
  gst_harness_set_src_caps_str (h, CAPS);
  for (guint i = 0; i < 100; i++) {
    pass (FRAME);
    g_assert_cmpint (gst_harness_push (h, new_frame (i)), ==, GST_FLOW_OK);
    gst_buffer_unref (gst_harness_pull (h));
  }
  g_assert_cmpuint (plugin_test_query_latency (h), ==, 20 * MS);
  plugin_test_teardown (h);
}

/* ---- falling behind ---------------------------------------------------------------------------------------------- */

static gpointer
push_frames (gpointer data)
{
  GstHarness *h = data;
  GstBuffer *buffer;

  g_mutex_lock (&script.lock);
  script.pusher = g_thread_self ();
  while (!script.enough) {
    g_mutex_unlock (&script.lock);
    buffer = new_frame (script.pushed++);
    if (script.unstamped)
      GST_BUFFER_PTS (buffer) = GST_CLOCK_TIME_NONE;
    gst_harness_push (h, buffer);
    g_mutex_lock (&script.lock);
  }
  g_mutex_unlock (&script.lock);
  return NULL;
}

/* Answers so many frames of a source that always has one more, one after the other: each when the queue is full and
 * the next one has arrived. */
static void
answer_full (GstHarness * h, guint depth, guint n)
{
  g_autoptr (GstQuery) drain = gst_query_new_drain ();
  GThread *pusher;

  g_mutex_lock (&script.lock);
  script.steps = 0;
  script.calls = 0;
  script.pusher = NULL;
  script.enough = FALSE;
  script.passes = TRUE;
  g_mutex_unlock (&script.lock);
  pusher = g_thread_new ("push", push_frames, h);
  g_mutex_lock (&script.lock);
  for (guint i = 0; i < n; i++) {
    /* two calls for a frame that has room, one for a frame that waits for it */
    while (script.calls < 2 * (i + depth) + 1)
      g_cond_wait (&script.changed, &script.lock);
    script.steps++;
    g_cond_broadcast (&script.changed);
  }
  script.enough = TRUE;
  script.steps = G_MAXUINT;
  g_cond_broadcast (&script.changed);
  g_mutex_unlock (&script.lock);
  g_thread_join (pusher);
  gst_pad_peer_query (h->srcpad, drain);
  while (gst_harness_buffers_in_queue (h) > 0)
    gst_buffer_unref (gst_harness_pull (h));
}

static GstMessage *
pop_warning (GstHarness * h)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (h->element);

  return gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING);
}

/* One warning, whose details are these. */
static void
check_warning (GstHarness * h, const gchar * limited_by, gdouble asked,
    gdouble reached, const gchar * text, const gchar * remedy)
{
  g_autoptr (GstMessage) message = pop_warning (h);
  g_autoptr (GError) warning = NULL;
  g_autofree gchar *debug = NULL;
  g_autofree gchar *rate = NULL;
  const GstStructure *details;
  gdouble value;

  g_assert_nonnull (message);
  gst_message_parse_warning (message, &warning, &debug);
  g_assert_error (warning, GST_CORE_ERROR, GST_CORE_ERROR_CLOCK);
  g_assert_nonnull (strstr (warning->message, text));
  g_assert_nonnull (strstr (warning->message, remedy));
  gst_message_parse_warning_details (message, &details);
  g_assert_cmpstr (gst_structure_get_string (details, "limited-by"), ==,
      limited_by);
  g_assert_true (gst_structure_get_double (details, "rate-asked", &value));
  g_assert_cmpfloat_with_epsilon (value, asked, 0.05 * asked);
  g_assert_true (gst_structure_get_double (details, "rate-reached", &value));
  /* of 2 s: whether a frame is answered before the next one has been noted is up to the threads */
  g_assert_cmpfloat_with_epsilon (value, reached, 0.7);
  /* what it names is below what it reaches */
  rate = g_strdup_printf ("framerate=%u/1 ", (guint) MAX (value * 0.8, 1));
  if (g_str_equal (limited_by, "network"))
    g_assert_nonnull (strstr (warning->message, rate));
  g_assert_null (pop_warning (h));
}

static void
test_behind (void)
{
  GstHarness *h = new_harness (TRUE, 3);

  script.pushed = 0;
  script.network = 100 * MS;
  answer_full (h, 3, 39);       /* 3.9 s: two to settle, and a spell of two */
  g_assert_null (pop_warning (h));
  answer_full (h, 3, 300);
  check_warning (h, "network", 25, 10, " of 25.0 frames/s", "Let fewer");
  plugin_test_teardown (h);
}

/* Frames without times: what the caps say is asked. */
static void
test_behind_unstamped (void)
{
  GstHarness *h = new_harness (TRUE, 3);

  script.pushed = 0;
  script.network = 100 * MS;
  script.unstamped = TRUE;
  answer_full (h, 3, 100);
  script.unstamped = FALSE;
  check_warning (h, "network", 25, 10, " of 25.0 frames/s", "Let fewer");
  plugin_test_teardown (h);
}

/* What can be done: by what the backend is. */
static void
test_remedies (void)
{
  const gchar *remedy = "a faster device";
  GstHarness *h = new_harness (TRUE, 3);

  if (g_str_equal (fake_backend, "cpu"))
    remedy = g_get_num_processors () > 1 ? "more cpu-threads than 1" :
        "a faster backend";
  script.pushed = 0;
  script.network = 500 * MS;
  answer_full (h, 3, 40);
  check_warning (h, "network", 25, 2, "a smaller network", remedy);
  plugin_test_teardown (h);
}

static void
test_slow_sink (void)
{
  GstHarness *h = new_harness (TRUE, 3);

  gst_pad_set_chain_function (h->sinkpad, slow_chain);
  script.pushed = 0;
  script.network = 0;
  script.push = 100 * MS;
  answer_full (h, 3, 300);
  check_warning (h, "downstream", 25, 10, "The elements after this one take ",
      "not what is slow");
  plugin_test_teardown (h);
}

static void
test_keeps_pace (void)
{
  GstHarness *h = new_harness (TRUE, 3);

  answer (h, 1000, 39 * MS);
  g_assert_null (pop_warning (h));
  plugin_test_teardown (h);
}

/* The next frames may be answered; returns when they are. */
static void
step (guint n)
{
  g_mutex_lock (&script.lock);
  script.steps = n;
  g_cond_broadcast (&script.changed);
  while (script.steps > 0)
    g_cond_wait (&script.changed, &script.lock);
  g_mutex_unlock (&script.lock);
}

/* Ends a script of steps. */
static void
step_all (GstHarness * h)
{
  g_autoptr (GstQuery) drain = gst_query_new_drain ();

  g_mutex_lock (&script.lock);
  script.steps = G_MAXUINT;
  g_cond_broadcast (&script.changed);
  g_mutex_unlock (&script.lock);
  gst_pad_peer_query (h->srcpad, drain);
}

/* Frames that need no answer are answered. */
static void
test_gaps (void)
{
  GstHarness *h = new_harness (TRUE, 4);
  guint n = 0;

  script.steps = 0;
  gst_harness_push (h, new_frame (n++));
  for (guint i = 0; i < 100; i++) {
    GstBuffer *gap = new_frame (n++);

    GST_BUFFER_FLAG_SET (gap, GST_BUFFER_FLAG_GAP);
    pass (FRAME);
    gst_harness_push (h, gap);
    pass (FRAME);
    gst_harness_push (h, new_frame (n++));
    step (1);
    while (gst_harness_buffers_received (h) < n - 1)
      g_usleep (100);
  }
  g_assert_null (pop_warning (h));
  step_all (h);
  plugin_test_teardown (h);
}

/* A deep queue fills, and nobody waits for room yet. */
static void
test_deep_queue (void)
{
  GstHarness *h = new_harness (TRUE, 1000);
  guint n = 0;

  script.steps = 0;
  for (guint i = 0; i < 30; i++) {
    for (guint j = 0; j < 5; j++) {
      pass (FRAME);
      gst_harness_push (h, new_frame (n++));
    }
    step (2);
  }
  check_warning (h, "network", 25, 10, " of 25.0 frames/s", "Let fewer");
  step_all (h);
  plugin_test_teardown (h);
}

static gpointer
push_one (gpointer data)
{
  GstHarness *h = data;

  g_mutex_lock (&script.lock);
  script.pusher = g_thread_self ();
  g_mutex_unlock (&script.lock);
  gst_harness_push (h, new_frame (script.pushed++));
  return NULL;
}

/* A source that has less than its caps say, two at a time: the second waits for the first, and all are answered before
 * the next ones come. */
static void
test_pairs (void)
{
  GstHarness *h = new_harness (TRUE, 1);

  script.pushed = 0;
  for (guint i = 0; i < 40; i++) {
    g_autoptr (GstQuery) drain = gst_query_new_drain ();
    GThread *second;

    script.steps = 0;
    script.calls = 0;
    script.pusher = NULL;
    gst_harness_push (h, new_frame (script.pushed++));
    second = g_thread_new ("push", push_one, h);
    g_mutex_lock (&script.lock);
    while (script.calls < 1)
      g_cond_wait (&script.changed, &script.lock);
    script.now += 100 * MS;
    g_mutex_unlock (&script.lock);
    step (1);
    g_thread_join (second);
    step (1);
    gst_pad_peer_query (h->srcpad, drain);
    pass (300 * MS);
  }
  g_assert_null (pop_warning (h));
  step_all (h);
  plugin_test_teardown (h);
}

/* A file goes as fast as the network: that is no fault. */
static void
test_not_live (void)
{
  GstHarness *h = new_harness (FALSE, 3);

  script.pushed = 0;
  script.network = 100 * MS;
  answer_full (h, 3, 300);
  g_assert_null (pop_warning (h));
  plugin_test_teardown (h);
}

/* Nor is what is shown in PAUSED. */
static void
test_paused (void)
{
  GstHarness *h = new_harness (TRUE, 3);

  gst_element_set_state (h->element, GST_STATE_PAUSED);
  script.pushed = 0;
  script.network = 100 * MS;
  answer_full (h, 3, 300);
  g_assert_null (pop_warning (h));
  gst_element_set_state (h->element, GST_STATE_PLAYING);
  answer_full (h, 3, 39);       /* it settles anew */
  g_assert_null (pop_warning (h));
  answer_full (h, 3, 100);
  check_warning (h, "network", 25, 10, "The network answers", "Let fewer");
  plugin_test_teardown (h);
}

/* After a flush it settles anew. */
static void
test_flushed (void)
{
  GstHarness *h = new_harness (TRUE, 3);

  script.network = 100 * MS;
  for (guint i = 0; i < 10; i++) {
    script.pushed = 0;
    answer_full (h, 3, 36);
    interrupt (h, TRUE);
  }
  g_assert_null (pop_warning (h));
  plugin_test_teardown (h);
}

/* Said once for each start. */
static void
test_started_anew (void)
{
  GstHarness *h = new_harness (TRUE, 3);

  script.network = 100 * MS;
  for (guint i = 0; i < 2; i++) {
    script.pushed = 0;
    answer_full (h, 3, 100);
    check_warning (h, "network", 25, 10, "The network answers", "Let fewer");
    gst_element_set_state (h->element, GST_STATE_READY);
    gst_element_set_state (h->element, GST_STATE_PLAYING);
    gst_harness_push_event (h, gst_event_new_stream_start ("again"));
    gst_harness_set_src_caps_str (h, CAPS);
    plugin_test_query_latency (h);
  }
  plugin_test_teardown (h);
}

/* ---- late frames -------------------------------------------------------------------------------------------------- */

static void
check_late (GstHarness * h, guint64 late, GstClockTime lag)
{
  g_autoptr (GstStructure) stats = NULL;
  guint64 value;

  g_object_get (h->element, "stats", &stats, NULL);
  g_assert_true (gst_structure_get_uint64 (stats, "frames-late", &value));
  g_assert_cmpuint (value, ==, late);
  g_assert_true (gst_structure_get_uint64 (stats, "lag-max", &value));
  g_assert_cmpuint (value, ==, lag);
}

/* Frame n leaves at this time of the pipeline's clock. */
static void
leave (GstHarness * h, guint n, GstClockTime at)
{
  g_assert_true (gst_harness_set_time (h, at));
  g_assert_cmpint (gst_harness_push (h, new_frame (n)), ==, GST_FLOW_OK);
  gst_buffer_unref (gst_harness_pull (h));
}

static void
test_lag (void)
{
  GstHarness *h = new_harness (TRUE, 1);
  GstBuffer *buffer;

  gst_harness_use_testclock (h);
  leave (h, 0, 1 * S);          /* nobody has said yet what is in time */
  check_late (h, 0, 0);
  gst_harness_push_upstream_event (h, gst_event_new_latency (100 * MS));
  leave (h, 25, 1 * S);         /* early */
  leave (h, 25, 1 * S + 100 * MS);
  check_late (h, 0, 0);
  leave (h, 25, 1 * S + 100 * MS + 1);
  check_late (h, 1, 1);
  leave (h, 50, 3 * S);
  check_late (h, 2, 900 * MS);
  leave (h, 75, 3 * S + 500 * MS);
  check_late (h, 3, 900 * MS);
  leave (h, 100, 4 * S);
  check_late (h, 3, 900 * MS);
  gst_harness_push_upstream_event (h, gst_event_new_latency (1000 * MS));
  leave (h, 100, 5 * S);
  check_late (h, 3, 900 * MS);
  buffer = new_frame (0);
  GST_BUFFER_PTS (buffer) = GST_CLOCK_TIME_NONE;
  g_assert_cmpint (gst_harness_push (h, buffer), ==, GST_FLOW_OK);
  gst_buffer_unref (gst_harness_pull (h));
  check_late (h, 3, 900 * MS);
  /* by running time, from the element's base time on */
  gst_element_set_base_time (h->element, 4 * S);
  leave (h, 50, 7 * S);
  check_late (h, 3, 900 * MS);
  leave (h, 50, 7 * S + 1);
  check_late (h, 4, 900 * MS);
  gst_element_set_state (h->element, GST_STATE_PAUSED);
  leave (h, 0, 60 * S);
  check_late (h, 4, 900 * MS);
  /* counted from each start */
  gst_element_set_state (h->element, GST_STATE_READY);
  gst_element_set_state (h->element, GST_STATE_PAUSED);
  check_late (h, 0, 0);
  plugin_test_teardown (h);
}

static void
test_lag_not_live (void)
{
  GstHarness *h = new_harness (FALSE, 1);

  gst_harness_use_testclock (h);
  gst_harness_push_upstream_event (h, gst_event_new_latency (100 * MS));
  leave (h, 0, 9 * S);
  check_late (h, 0, 0);
  plugin_test_teardown (h);
}

/* Frames whose segment has no time are never late. */
static void
test_segment_of_bytes (void)
{
  GstHarness *h = new_harness (TRUE, 1);
  GstSegment segment;

  gst_harness_use_testclock (h);
  gst_harness_push_upstream_event (h, gst_event_new_latency (100 * MS));
  gst_segment_init (&segment, GST_FORMAT_BYTES);
  gst_harness_push_event (h, gst_event_new_segment (&segment));
  leave (h, 0, 9 * S);
  check_late (h, 0, 0);
  plugin_test_teardown (h);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", PLUGIN_FAKE_CLASSES, 1, TRUE);
#define ADD(name, func) g_test_add_func ("/plugin/infer/live/" name, func)
  ADD ("latency-falls-again", test_latency_falls);
  ADD ("latency-stays-where-nothing-is-live", test_latency_not_live);
  ADD ("latency-without-downstream", test_latency_of_what);
  ADD ("latency-over-flush-and-pause", test_latency_interrupted);
  ADD ("latency-from-warm-up-at-each-start", test_latency_restart);
  ADD ("behind-is-said-once", test_behind);
  ADD ("behind-by-the-caps", test_behind_unstamped);
  ADD ("behind-names-remedies", test_remedies);
  ADD ("behind-for-a-slow-sink", test_slow_sink);
  ADD ("keeping-pace-is-not-said", test_keeps_pace);
  ADD ("behind-not-for-gaps", test_gaps);
  ADD ("behind-in-a-deep-queue", test_deep_queue);
  ADD ("behind-not-where-all-is-answered-in-between", test_pairs);
  ADD ("behind-only-where-live", test_not_live);
  ADD ("behind-not-in-paused", test_paused);
  ADD ("behind-settles-after-a-flush", test_flushed);
  ADD ("behind-once-for-each-start", test_started_anew);
  ADD ("late-frames-and-their-lag", test_lag);
  ADD ("late-only-where-live", test_lag_not_live);
  ADD ("late-only-by-time", test_segment_of_bytes);
  return plugin_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What gpudlinfer makes of what its backend says: depth, times, failures. The engine is the real one over the
 * fake of a GPU.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"

static const gchar *model_path;

/* ---- depth ----------------------------------------------------------------------------------------------------- */

static guint
get_depth (GstHarness * h)
{
  g_autoptr (GstStructure) info = NULL;
  guint depth;

  g_object_get (h->element, "model-info", &info, NULL);
  g_assert_true (gst_structure_get_uint (info, "async-depth", &depth));
  return depth;
}

/* async-depth 0 is what the backend says, or else its slots x batch; and that many frames are taken. */
static void
test_depth_of_backend (void)
{
  static const struct
  {
    guint says, slots, batch, depth;
  } cases[] = { {3, 2, 4, 3}, {0, 2, 4, 8}, {100, 2, 4, 100}, {1, 1, 1, 1} };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    GstHarness *h;

    plugin_fake_reset ();
    fake->is.depth = cases[i].says;
    fake->is.n_slots = cases[i].slots;
    fake->is.max_batch = cases[i].batch;
    fake->does.hold = 1;
    h = plugin_fake_harness_of_depth (model_path, 0);
    g_assert_cmpuint (get_depth (h), ==, cases[i].depth);
    for (guint j = 0; j < cases[i].depth; j++)
      plugin_fake_push (h, j);
    FAKE_AWAIT_EXACTLY (fake, staged, cases[i].depth);
    FAKE_SET (fake, does.hold, 0);
    plugin_test_teardown (h);
  }
}

static void
test_depth_of_property (void)
{
  GstHarness *h;

  plugin_fake_reset ();
  fake->is.depth = 3;
  h = plugin_fake_harness_of_depth (model_path, GST_GPUDL_MAX_DEPTH);
  g_assert_cmpuint (get_depth (h), ==, GST_GPUDL_MAX_DEPTH);
  plugin_test_teardown (h);

  plugin_fake_reset ();
  fake->is.depth = 2 * GST_GPUDL_MAX_DEPTH;     /* a backend may want more than anybody may ask for */
  h = plugin_fake_harness_of_depth (model_path, 0);
  g_assert_cmpuint (get_depth (h), ==, GST_GPUDL_MAX_DEPTH);
  plugin_test_teardown (h);
}

/* ---- latency --------------------------------------------------------------------------------------------------- */

static gboolean
upstream_query (GstPad * pad, GstObject * parent, GstQuery * query)
{
  if (GST_QUERY_TYPE (query) != GST_QUERY_LATENCY)
    return gst_pad_query_default (pad, parent, query);
  gst_query_set_latency (query, TRUE, 0, GST_CLOCK_TIME_NONE);
  return TRUE;
}

/* A backend that tunes while frames run says another time; the frames themselves are quick. */
static void
test_latency_follows_backend (void)
{
  g_autoptr (GstMessage) message = NULL;
  g_autoptr (GstBus) bus = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  fake->is.run_time_ns = 10 * GST_MSECOND;
  h = plugin_fake_harness_of_depth (model_path, 4);
  gst_pad_set_query_function (h->srcpad, upstream_query);
  g_assert_cmpuint (plugin_test_query_latency (h), ==, 2 * 10 * GST_MSECOND);
  bus = gst_element_get_bus (h->element);
  gst_bus_set_flushing (bus, TRUE);
  gst_bus_set_flushing (bus, FALSE);

  fake_lock (fake);
  fake->is.run_time_ns = 400 * GST_MSECOND;
  fake_unlock (fake);
  fake->change ();
  for (guint i = 0; i < 4; i++)
    plugin_fake_push (h, i);
  message = plugin_test_message (h->element, GST_MESSAGE_LATENCY);
  g_assert_nonnull (message);
  g_assert_cmpuint (plugin_test_query_latency (h), ==, 2 * 400 * GST_MSECOND);
  plugin_test_teardown (h);
}

/* ---- devices --------------------------------------------------------------------------------------------------- */

static GpudlDevice *devices[2];

/* In place of the element's own: the device that the frame's number says. */
static gboolean
get_buffer_device (GstGpudlInfer * self, GstBuffer * buffer,
    GpudlDevice ** device, GError ** error)
{
  const guint n = GST_BUFFER_PTS (buffer) / (20 * GST_MSECOND);

  *device = gpudl_device_ref (devices[n / 4 % 2]);
  return TRUE;
}

static GstHarness *
new_harness_of_two_devices_and_depth (guint depth)
{
  g_autoptr (GError) error = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  fake->is.n_devices = 2;
  for (gint i = 0; i < 2; i++) {
    devices[i] = gpudl_device_acquire (fake_backend, i, NULL, NULL, NULL,
        &error);
    g_assert_no_error (error);
  }
  h = plugin_fake_harness_of_depth (model_path, depth);
  GST_GPUDL_INFER (h->element)->get_buffer_device = get_buffer_device;
  return h;
}

static GstHarness *
new_harness_of_two_devices (void)
{
  return new_harness_of_two_devices_and_depth (4);
}

static void
drop_devices (GstHarness * h)
{
  plugin_test_teardown (h);
  for (gint i = 0; i < 2; i++)
    gpudl_device_unref (devices[i]);
  plugin_fake_check_nothing_alive ();
}

/* Four frames of each device in turn: in order, each read by its own, the network on one of them at a time. */
static void
test_switch (void)
{
  GstHarness *h = new_harness_of_two_devices ();
  GstGpudlInfer *self = GST_GPUDL_INFER (h->element);

  for (guint i = 0; i < 16; i++) {
    plugin_fake_push (h, i);
    g_assert_cmpint (fake->seen.last_device, ==, i / 4 % 2);
    g_assert_true (gpudl_session_get_device (self->net.session) ==
        devices[i / 4 % 2]);
    g_assert_cmpuint (FAKE_SEEN (fake, engines), ==, 1);
  }
  for (guint i = 0; i < 16; i++)
    plugin_fake_pull (h, i);
  g_assert_cmpuint (FAKE_SEEN (fake, opens), ==, 4);
  /* as many are taken as before */
  FAKE_SET (fake, does.hold, 1);
  for (guint i = 16; i < 20; i++)
    plugin_fake_push (h, i);
  FAKE_AWAIT_EXACTLY (fake, staged, 4);
  FAKE_SET (fake, does.hold, 0);
  drop_devices (h);
}

/* On its new device it is as it was started, whatever has been set since. */
static void
test_switch_keeps_settings (void)
{
  GstHarness *h = new_harness_of_two_devices ();

  g_object_set (h->element, "async-depth", 2, "activation",
      GPUDL_ACTIVATION_SIGMOID, NULL);
  plugin_fake_push (h, 4);
  plugin_fake_pull (h, 4);
  g_assert_cmpint (fake->seen.last_device, ==, 1);
  g_assert_cmpuint (get_depth (h), ==, 4);
  g_assert_cmpint (fake->seen.last_open.activation, ==,
      GPUDL_ACTIVATION_SOFTMAX);
  drop_devices (h);
}

/* A network that others have on the device already is shared. */
static void
test_switch_shares (void)
{
  GstHarness *h = new_harness_of_two_devices (), *other;

  other = plugin_fake_harness_of_depth (model_path, 1);
  GST_GPUDL_INFER (other->element)->get_buffer_device = get_buffer_device;
  plugin_fake_push (other, 4);  /* moves to the second */
  plugin_fake_pull (other, 4);
  for (guint i = 0; i < 8; i++)
    plugin_fake_push (h, i);
  for (guint i = 0; i < 8; i++)
    plugin_fake_pull (h, i);
  g_assert_cmpuint (FAKE_SEEN (fake, opens), ==, 2);
  plugin_test_teardown (other);
  drop_devices (h);
}

/* A switch tells of a latency that has risen and of room for other numbers of frames, and of nothing else. */
static void
test_switch_tells_latency (void)
{
  GstHarness *h = new_harness_of_two_devices_and_depth (0);
  GstGpudlInfer *self = GST_GPUDL_INFER (h->element);
  guint n = 0;

  plugin_fake_push (h, n);
  plugin_test_take_latency_messages (h);
  plugin_fake_push (h, n += 4);
  g_assert_cmpuint (plugin_test_take_latency_messages (h), ==, 0);
  fake_lock (fake);
  fake->is.run_time_ns = GST_SECOND;
  fake_unlock (fake);
  plugin_fake_push (h, n += 4);
  g_assert_cmpuint (plugin_test_take_latency_messages (h), ==, 1);
  g_assert_cmpuint (gst_gpudl_live_get_latency (&self->live), ==,
      2 * GST_SECOND);
  fake_lock (fake);
  fake->is.run_time_ns = GST_MSECOND;
  fake_unlock (fake);
  plugin_fake_push (h, n += 4);
  g_assert_cmpuint (plugin_test_take_latency_messages (h), ==, 0);
  g_assert_cmpuint (gst_gpudl_live_get_latency (&self->live), ==,
      2 * GST_SECOND);
  fake_lock (fake);
  fake->is.depth = 7;           /* which the element takes where nothing else is asked for */
  fake_unlock (fake);
  plugin_fake_push (h, n += 4);
  g_assert_cmpuint (plugin_test_take_latency_messages (h), ==, 1);
  drop_devices (h);
}

/* A switch waits for frames of the other device; a flush lets it go, and it happens with the next frame. */
static void
test_switch_meets_flush (void)
{
  GstHarness *h = new_harness_of_two_devices ();
  GThread *flushes, *releases;
  GstSegment segment;

  FAKE_SET (fake, does.hold, 1);
  plugin_fake_push (h, 3);
  FAKE_AWAIT (fake, running, 1);
  flushes = plugin_test_later (plugin_test_flush_start, h);
  g_assert_cmpint (gst_harness_push (h,
          plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 4, 4)), ==,
      GST_FLOW_FLUSHING);
  g_assert_cmpuint (FAKE_SEEN (fake, opens), ==, 1);
  releases = plugin_test_later (plugin_fake_release, NULL);
  g_thread_join (flushes);
  g_thread_join (releases);
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
  gst_segment_init (&segment, GST_FORMAT_TIME);
  g_assert_true (gst_harness_push_event (h, gst_event_new_segment (&segment)));
  plugin_fake_push (h, 4);
  plugin_fake_pull (h, 4);
  g_assert_cmpint (fake->seen.last_device, ==, 1);
  drop_devices (h);
}

/* A device that does not take the network is one error, and the network stays where it was. */
static void
test_switch_fails (void)
{
  GstHarness *h = new_harness_of_two_devices ();

  plugin_fake_push (h, 0);
  plugin_fake_pull (h, 0);
  FAKE_SET (fake, does.open_status, GPUDL_STATUS_NO_MEMORY);
  g_assert_cmpint (gst_harness_push (h,
          plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 4, 4)), ==, GST_FLOW_ERROR);
  plugin_test_one_error (h->element, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_NO_SPACE_LEFT);
  plugin_fake_push (h, 1);
  plugin_fake_pull (h, 1);
  drop_devices (h);
}

/* The network's whereabouts, asked for at any time. */
static gpointer
ask (gpointer data)
{
  GstHarness *h = data;

  while (!g_object_get_data (G_OBJECT (h->element), "enough")) {
    g_autoptr (GstStructure) info = NULL;
    g_autoptr (GstStructure) stats = NULL;

    g_object_get (h->element, "model-info", &info, "stats", &stats, NULL);
    g_assert_nonnull (info);
    plugin_test_query_latency (h);
  }
  return NULL;
}

static void
test_questions_beside_switch (void)
{
  GstHarness *h = new_harness_of_two_devices ();
  GThread *thread;

  gst_pad_set_query_function (h->srcpad, upstream_query);
  thread = g_thread_new ("ask", ask, h);
  for (guint i = 0; i < 200; i++) {
    plugin_fake_push (h, i);
    plugin_fake_pull (h, i);
  }
  g_object_set_data (G_OBJECT (h->element), "enough", h);
  g_thread_join (thread);
  drop_devices (h);
}

/* ---- without CUDA ---------------------------------------------------------------------------------------------- */

/* Contexts of other kinds are the element's as any element's: kept, and asked for next door. */
static void
test_contexts_of_others (void)
{
  g_autoptr (GstQuery) query = gst_query_new_context ("test.context");
  GstContext *context = gst_context_new ("test.context", FALSE);
  g_autoptr (GstContext) found = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 2);
  g_assert_false (gst_pad_peer_query (h->srcpad, query));
  gst_element_set_context (h->element, context);
  found = gst_element_get_context (h->element, "test.context");
  g_assert_true (found == context);
  gst_context_unref (context);
  plugin_test_teardown (h);
}

/* What is not built in is not offered, and said where it is asked for all the same. */
static void
test_no_cuda_memory (void)
{
  const gchar *feature = gst_gpudl_cuda_get_caps_feature ();
  g_autoptr (GstElementFactory) factory =
      gst_element_factory_find ("gpudlinfer");
  const GList *templates =
      gst_element_factory_get_static_pad_templates (factory);
  g_autoptr (GError) error = NULL;
  g_autoptr (GstBuffer) buffer = NULL;
  GstGpudlFrame frame = { 0, };
  GstVideoInfo info;

  if (feature != NULL) {
    g_test_skip ("the plugin takes CUDA memory");
    return;
  }
  for (; templates != NULL; templates = templates->next) {
    g_autoptr (GstCaps) caps = gst_static_pad_template_get_caps
        (templates->data);

    g_assert_cmpuint (gst_caps_get_size (caps), ==, 1);
    g_assert_true (gst_caps_features_is_equal (gst_caps_get_features (caps, 0),
            GST_CAPS_FEATURES_MEMORY_SYSTEM_MEMORY));
  }
  buffer = plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 0, 0);
  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_GRAY8, 4, 4);
  g_assert_false (gst_gpudl_frame_map (&frame, &info, buffer, GPUDL_MEMORY_CUDA,
          NULL, &error));
  g_assert_error (error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED);
  gst_gpudl_frame_unmap (&frame);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", PLUGIN_FAKE_CLASSES, 1, FALSE);

#define ADD(name, func) g_test_add_func ("/backend/" name, func)
  ADD ("its-depth-is-the-default", test_depth_of_backend);
  ADD ("depth-is-bounded-by-the-property", test_depth_of_property);
  ADD ("latency-follows-what-it-measures", test_latency_follows_backend);
  ADD ("network-follows-frames-to-their-device", test_switch);
  ADD ("network-on-the-other-device-is-as-it-was-started",
      test_switch_keeps_settings);
  ADD ("network-on-the-other-device-is-shared", test_switch_shares);
  ADD ("switch-tells-latency", test_switch_tells_latency);
  ADD ("switch-waits-for-frames-and-a-flush-ends-that",
      test_switch_meets_flush);
  ADD ("switch-that-fails-is-one-error", test_switch_fails);
  ADD ("switch-beside-questions", test_questions_beside_switch);
  ADD ("contexts-of-other-kinds-are-kept", test_contexts_of_others);
  ADD ("cuda-memory-is-not-offered-without-its-library", test_no_cuda_memory);
  return plugin_test_run ();
}

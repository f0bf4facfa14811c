/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What gpudlinfer makes of what its backend says: depth, times, failures. The engine is the real one, with the fake
 * module in place of a GPU.
 */
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"
#include "tests/fake/fake.h"

#define GRAY "video/x-raw,format=GRAY8,width=4,height=4,framerate=50/1"
#define GRAY_SIZE 16

static const gchar *model_path;
static Fake *fake;

static GstHarness *
new_harness (guint depth)
{
  GstElement *element = plugin_test_element ("gpudlinfer", "backend=cuda",
      NULL);

  g_object_set (element, "model", model_path, "async-depth", depth, NULL);
  return plugin_test_harness (element, GRAY);
}

static void
push (GstHarness * h, guint n)
{
  g_assert_cmpint (gst_harness_push (h, plugin_test_frame (GRAY_SIZE, n, n)),
      ==, GST_FLOW_OK);
}

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

    fake->reset ();
    fake->is.depth = cases[i].says;
    fake->is.n_slots = cases[i].slots;
    fake->is.max_batch = cases[i].batch;
    fake->does.hold = 1;
    h = new_harness (0);
    g_assert_cmpuint (get_depth (h), ==, cases[i].depth);
    for (guint j = 0; j < cases[i].depth; j++)
      push (h, j);
    FAKE_AWAIT_EXACTLY (fake, staged, cases[i].depth);
    FAKE_SET (fake, does.hold, 0);
    plugin_test_teardown (h);
  }
}

static void
test_depth_of_property (void)
{
  GstHarness *h;

  fake->reset ();
  fake->is.depth = 3;
  h = new_harness (GST_GPUDL_MAX_DEPTH);
  g_assert_cmpuint (get_depth (h), ==, GST_GPUDL_MAX_DEPTH);
  plugin_test_teardown (h);

  fake->reset ();
  fake->is.depth = 2 * GST_GPUDL_MAX_DEPTH;     /* a backend may want more than anybody may ask for */
  h = new_harness (0);
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

static GstClockTime
query_latency (GstHarness * h)
{
  g_autoptr (GstQuery) query = gst_query_new_latency ();
  GstClockTime min;

  g_assert_true (gst_pad_peer_query (h->sinkpad, query));
  gst_query_parse_latency (query, NULL, &min, NULL);
  return min;
}

/* A backend that tunes while frames run says another time; the frames themselves are quick. */
static void
test_latency_follows_backend (void)
{
  g_autoptr (GstMessage) message = NULL;
  g_autoptr (GstBus) bus = NULL;
  GstHarness *h;

  fake->reset ();
  fake->is.run_time_ns = 10 * GST_MSECOND;
  h = new_harness (4);
  gst_pad_set_query_function (h->srcpad, upstream_query);
  g_assert_cmpuint (query_latency (h), ==, 2 * 10 * GST_MSECOND);
  bus = gst_element_get_bus (h->element);
  gst_bus_set_flushing (bus, TRUE);
  gst_bus_set_flushing (bus, FALSE);

  fake_lock (fake);
  fake->is.run_time_ns = 400 * GST_MSECOND;
  fake_unlock (fake);
  fake->change ();
  for (guint i = 0; i < GST_GPUDL_STATS_WINDOW; i++)
    push (h, i);
  message = plugin_test_message (h->element, GST_MESSAGE_LATENCY);
  g_assert_nonnull (message);
  g_assert_cmpuint (query_latency (h), ==, 2 * 400 * GST_MSECOND);
  plugin_test_teardown (h);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  model_path = g_getenv ("GPUDL_TEST_MODEL");
  g_assert_nonnull (model_path);
  fake = fake_get ("cuda");

#define ADD(name, func) g_test_add_func ("/backend/" name, func)
  ADD ("its-depth-is-the-default", test_depth_of_backend);
  ADD ("depth-is-bounded-by-the-property", test_depth_of_property);
  ADD ("latency-follows-what-it-measures", test_latency_follows_backend);
  return plugin_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Frames that gpudlinfer does not classify: repetitions (flag GAP) and what can't be read. They keep their place and
 * have the classification of the frame before them. The engine is the real one over a fake module.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlerror.h"
#include "plugin/gstgpudlinfer.h"

#include <string.h>

static const gchar *model_path, *heads_path;

static GstBuffer *
gap_frame (guint n)
{
  GstBuffer *buffer = plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, n, n);

  GST_BUFFER_FLAG_SET (buffer, GST_BUFFER_FLAG_GAP);
  return buffer;
}

static void
push (GstHarness * h, GstBuffer * buffer)
{
  g_assert_cmpint (gst_harness_push (h, buffer), ==, GST_FLOW_OK);
}

/* Frame n with the classification of frame source. */
static void
pull_held (GstHarness * h, guint n, guint source)
{
  g_autoptr (GstBuffer) buffer = gst_harness_pull (h);
  g_autoptr (GstGpudlClassification) c = gst_gpudl_meta_read (buffer, 0);

  g_assert_cmpuint (GST_BUFFER_PTS (buffer), ==, n * 20 * GST_MSECOND);
  g_assert_nonnull (c);
  g_assert_false (c->fresh);
  g_assert_cmpuint (c->classes[0].id, ==, source);
  g_assert_cmpuint (c->n_classes, ==, 5);
  g_assert_cmpuint (c->source_pts, ==, source * 20 * GST_MSECOND);
  g_assert_cmpuint (c->age, ==, (MAX (n, source) - MIN (n,
              source)) * 20 * GST_MSECOND);
  g_assert_cmpuint (strlen (c->model_hash), ==, 64);
  g_assert_cmpfloat (c->region[2], ==, 1);
  g_assert_null (gst_gpudl_meta_read (buffer, 1));
}

static void
pull_bare (GstHarness * h, guint n)
{
  g_autoptr (GstBuffer) buffer = gst_harness_pull (h);

  g_assert_cmpuint (GST_BUFFER_PTS (buffer), ==, n * 20 * GST_MSECOND);
  g_assert_null (gst_gpudl_meta_read (buffer, 0));
}

/* A repetition has what the frame before it gets, though that is still under way when it comes. */
static void
test_repetitions (void)
{
  GstHarness *h;

  plugin_fake_reset ();
  FAKE_SET (fake, does.hold, TRUE);
  h = plugin_fake_harness_of_depth (model_path, 8);
  plugin_fake_push (h, 0);
  push (h, gap_frame (1));
  push (h, gap_frame (2));
  plugin_fake_push (h, 3);
  push (h, gap_frame (4));
  plugin_fake_release (NULL);
  plugin_fake_pull (h, 0);
  pull_held (h, 1, 0);
  pull_held (h, 2, 0);
  plugin_fake_pull (h, 3);
  pull_held (h, 4, 3);
  g_assert_cmpuint (FAKE_SEEN (fake, jobs), ==, 2);
  plugin_test_teardown (h);
}

static void
restart (GstHarness * h, GstClockTime base)
{
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.base = base;
  g_assert_true (gst_harness_push_event (h, gst_event_new_segment (&segment)));
}

/* Where nothing came before, in this place of this stream, it is looked at. */
static void
test_first_is_classified (void)
{
  g_autoptr (GstCaps) caps = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 4);
  push (h, gap_frame (1));
  plugin_fake_pull (h, 1);
  push (h, gap_frame (2));
  pull_held (h, 2, 1);

  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_start ()));
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
  restart (h, 0);
  push (h, gap_frame (3));
  plugin_fake_pull (h, 3);

  restart (h, GST_SECOND);
  push (h, gap_frame (4));
  plugin_fake_pull (h, 4);

  caps = gst_caps_from_string (PLUGIN_TEST_GRAY ",pixel-aspect-ratio=2/1");
  g_assert_true (gst_harness_push_event (h, gst_event_new_caps (caps)));
  push (h, gap_frame (5));
  plugin_fake_pull (h, 5);

  g_assert_true (gst_harness_push_event (h,
          gst_event_new_stream_start ("another")));
  gst_harness_set_src_caps_str (h, PLUGIN_TEST_GRAY);
  restart (h, 0);
  push (h, gap_frame (6));
  plugin_fake_pull (h, 6);

  gst_element_set_state (h->element, GST_STATE_READY);
  gst_harness_play (h);
  gst_harness_set_src_caps_str (h, PLUGIN_TEST_GRAY);
  push (h, gap_frame (7));
  plugin_fake_pull (h, 7);
  g_assert_cmpuint (FAKE_SEEN (fake, jobs), ==, 6);
  plugin_test_teardown (h);
}

/* Nor does what is held go to frames of another place that can't be read themselves. */
static void
test_flush_forgets (void)
{
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 4);
  plugin_fake_push (h, 0);
  plugin_fake_pull (h, 0);
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_start ()));
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
  restart (h, 0);
  push (h, plugin_test_frame (PLUGIN_TEST_GRAY_SIZE - 1, 1, 1));
  pull_bare (h, 1);
  plugin_test_teardown (h);
}

/* A gap without pixels is no frame that can't be read. */
static void
test_gap_without_pixels (void)
{
  GstBuffer *empty[2];
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 4);
  for (guint i = 0; i < 2; i++) {
    empty[i] = plugin_test_frame (0, 0, 2 * i);
    GST_BUFFER_FLAG_SET (empty[i], GST_BUFFER_FLAG_GAP);
  }
  push (h, empty[0]);
  pull_bare (h, 0);
  plugin_fake_push (h, 1);
  plugin_fake_pull (h, 1);
  push (h, empty[1]);
  pull_held (h, 2, 1);
  plugin_test_no_error (h->element);
  plugin_test_teardown (h);
}

/* Backwards the times fall; without times there is no age. */
static void
test_ages (void)
{
  g_autoptr (GstGpudlClassification) c = NULL;
  g_autoptr (GstBuffer) out = NULL;
  GstBuffer *timeless = gap_frame (0);
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 4);
  plugin_fake_push (h, 9);
  plugin_fake_pull (h, 9);
  push (h, gap_frame (7));
  pull_held (h, 7, 9);
  GST_BUFFER_PTS (timeless) = GST_CLOCK_TIME_NONE;
  push (h, timeless);
  out = gst_harness_pull (h);
  c = gst_gpudl_meta_read (out, 0);
  g_assert_cmpuint (c->age, ==, GST_CLOCK_TIME_NONE);
  g_assert_cmpuint (c->source_pts, ==, 9 * 20 * GST_MSECOND);
  plugin_test_teardown (h);
}

/* Each head that has said something; messages are for frames that are classified. */
static void
test_heads (void)
{
  for (guint wrong = 0; wrong < 4; wrong++) {
    g_autoptr (GstBuffer) first = NULL;
    g_autoptr (GstBuffer) held = NULL;
    g_autoptr (GstBus) bus = NULL;
    g_autoptr (GstBuffer) other = NULL;
    guint n = 0, messages = 0;
    GstMessage *message;
    GstHarness *h;

    plugin_fake_reset ();
    h = plugin_fake_harness (heads_path, "post-messages=all", "async-depth=1");
    FAKE_SET (fake, does.not_finite, wrong);
    plugin_fake_push (h, 4);
    first = gst_harness_pull (h);
    other = gap_frame (5);
    push (h, gst_buffer_ref (other));   /* somebody else has it, too */
    held = gst_harness_pull (h);
    for (guint head = 0; head < 2; head++) {
      g_autoptr (GstGpudlClassification) c = gst_gpudl_meta_read (held, n);

      if ((wrong & 1u << head) != 0)
        continue;
      g_assert_cmpstr (c->head, ==, head == 0 ? "first" : "second");
      g_assert_cmpuint (c->classes[0].id, ==, 4 + head);
      g_assert_false (c->fresh);
      n++;
    }
    g_assert_null (gst_gpudl_meta_read (held, n));
    g_assert_null (gst_gpudl_meta_read (other, 0));
    bus = gst_element_get_bus (h->element);
    while ((message = gst_bus_pop_filtered (bus, GST_MESSAGE_ELEMENT)) != NULL) {
      messages++;
      gst_message_unref (message);
    }
    g_assert_cmpuint (messages, ==, n);
    plugin_test_teardown (h);
  }
}

static void
check_warning (GstHarness * h, const gchar * words)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (h->element);
  g_autoptr (GstMessage) message =
      gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING | GST_MESSAGE_ERROR);
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (message);
  g_assert_cmpint (GST_MESSAGE_TYPE (message), ==, GST_MESSAGE_WARNING);
  gst_message_parse_warning (message, &error, NULL);
  g_assert_error (error, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT);
  g_assert_true (g_str_has_prefix (error->message,
          "Frame can't be classified: "));
  g_assert_nonnull (strstr (error->message, words));
  plugin_test_no_error (h->element);
}

static GstBuffer *
with_crop (guint n)
{
  GstBuffer *buffer = plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, n, n);
  GstVideoCropMeta *crop = gst_buffer_add_video_crop_meta (buffer);

  crop->x = crop->width = crop->height = 4;
  return buffer;
}

static GstBuffer *
with_stride (guint n)
{
  GstBuffer *buffer = plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, n, n);
  gsize offsets[GST_VIDEO_MAX_PLANES] = { 0, };
  gint strides[GST_VIDEO_MAX_PLANES] = { 3, };

  gst_buffer_add_video_meta_full (buffer, GST_VIDEO_FRAME_FLAG_NONE,
      GST_VIDEO_FORMAT_GRAY8, 4, 4, 1, offsets, strides);
  return buffer;
}

static GstBuffer *
shorter_than_meta (guint n)
{
  GstBuffer *buffer = plugin_test_frame (PLUGIN_TEST_GRAY_SIZE - 1, n, n);

  gst_buffer_add_video_meta (buffer, GST_VIDEO_FRAME_FLAG_NONE,
      GST_VIDEO_FORMAT_GRAY8, 4, 4);
  return buffer;
}

static GstBuffer *
too_short (guint n)
{
  return plugin_test_frame (PLUGIN_TEST_GRAY_SIZE - 1, n, n);
}

/* A warning in words about the frame, and the stream goes on. */
static void
test_unreadable (void)
{
  static const struct
  {
    GstBuffer *(*make) (guint n);
    const gchar *words;
  } cases[] = {
    {too_short, "15 bytes"}, {with_crop, "crop rectangle"},
    {with_stride, "stride"}, {shorter_than_meta, "GstVideoMeta"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GstStructure) stats = NULL;
    guint64 errors;
    GstHarness *h;

    plugin_fake_reset ();
    h = plugin_fake_harness_of_depth (model_path, 8);
    push (h, cases[i].make (0));
    pull_bare (h, 0);
    check_warning (h, cases[i].words);
    plugin_fake_push (h, 1);
    plugin_fake_pull (h, 1);
    /* later ones soon after are not told */
    push (h, cases[i].make (2));
    push (h, cases[i].make (3));
    plugin_fake_push (h, 4);
    pull_held (h, 2, 1);
    pull_held (h, 3, 1);
    plugin_fake_pull (h, 4);
    plugin_test_no_error (h->element);
    g_assert_cmpuint (FAKE_SEEN (fake, jobs), ==, 2);
    g_object_get (h->element, "stats", &stats, NULL);
    g_assert_true (gst_structure_get_uint64 (stats, "errors", &errors));
    g_assert_cmpuint (errors, ==, 3);

    /* but after each start */
    gst_element_set_state (h->element, GST_STATE_READY);
    gst_harness_play (h);
    gst_harness_set_src_caps_str (h, PLUGIN_TEST_GRAY);
    push (h, cases[i].make (5));
    pull_bare (h, 5);
    check_warning (h, cases[i].words);
    plugin_test_teardown (h);
  }
}

/* The first, then one every five seconds that says for how many. */
static void
test_limit (void)
{
  const gint64 second = G_TIME_SPAN_SECOND, start = 1;
  GstGpudlLimit limit = { 0, };

  g_assert_cmpuint (gst_gpudl_limit_pass (&limit, start), ==, 1);
  for (guint i = 0; i < 5; i++)
    g_assert_cmpuint (gst_gpudl_limit_pass (&limit, start + i * second), ==, 0);
  g_assert_cmpuint (gst_gpudl_limit_pass (&limit, start + 5 * second), ==, 6);
  g_assert_cmpuint (gst_gpudl_limit_pass (&limit, start + 9 * second), ==, 0);
  g_assert_cmpuint (gst_gpudl_limit_pass (&limit, start + 50 * second), ==, 2);
  g_assert_cmpuint (gst_gpudl_limit_pass (&limit, start + 60 * second), ==, 1);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", PLUGIN_FAKE_CLASSES, 1, FALSE);
  heads_path = plugin_fake_model ("heads.bin", 10, 2, FALSE);

#define ADD(name, func) g_test_add_func ("/held/" name, func)
  ADD ("repetitions-have-what-the-frame-before-them-has", test_repetitions);
  ADD ("first-repetition-of-a-place-is-classified", test_first_is_classified);
  ADD ("flush-forgets", test_flush_forgets);
  ADD ("gap-without-pixels-is-no-warning", test_gap_without_pixels);
  ADD ("age-is-a-distance-or-none", test_ages);
  ADD ("each-head-is-held-without-messages", test_heads);
  ADD ("unreadable-frames-are-a-warning-and-go-on", test_unreadable);
  ADD ("warnings-alike-are-few", test_limit);
  return plugin_test_run ();
}

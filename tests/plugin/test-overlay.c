/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * gpudloverlay: draws where and what it is told, and nothing without a classification.
 */
#include "overlay-test.h"
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"
#include "plugin/gstgpudloverlay.h"

static void
test_nothing_without_meta (void)
{
  GstHarness *h = overlay_harness (RGB, NULL, NULL, FALSE);
  GstBuffer *in = plugin_test_frame (WIDTH * HEIGHT * 3, 100, 0);
  g_autoptr (GstBuffer) out = overlay_pass (h, in);
  g_autoptr (GstBuffer) empty = NULL;

  g_assert_true (out == in);
  g_assert_cmpuint (overlay_look (out).changed, ==, 0);
  empty = overlay_pass (h, overlay_frame (WIDTH * HEIGHT * 3, 0, "", 0));
  g_assert_cmpuint (overlay_look (empty).changed, ==, 0);
  plugin_test_teardown (h);
}

static void
test_positions (void)
{
  static const struct
  {
    const gchar *position;
    gboolean right, bottom;
  } cases[] = { {"position=top-left", FALSE, FALSE},
  {"position=top-right", TRUE, FALSE}, {"position=bottom-left", FALSE, TRUE},
  {"position=bottom-right", TRUE, TRUE}
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const OverlayDrawn drawn =
        overlay_draw (cases[i].position, NULL, 2, "cat", 0.5);

    if (cases[i].right) {
      g_assert_cmpint (drawn.right, ==, WIDTH - 1);
      g_assert_cmpint (drawn.left, >, WIDTH / 3);
    } else {
      g_assert_cmpint (drawn.left, ==, 0);
      g_assert_cmpint (drawn.right, <, WIDTH * 2 / 3);
    }
    if (cases[i].bottom) {
      g_assert_cmpint (drawn.bottom, ==, HEIGHT - 1);
      g_assert_cmpint (drawn.top, >, HEIGHT / 2);
    } else {
      g_assert_cmpint (drawn.top, ==, 0);
      g_assert_cmpint (drawn.bottom, <, HEIGHT / 2);
    }
  }
}

static void
test_bar_length (void)
{
  const guint full = overlay_draw ("count=1", NULL, 1, "cat", 1).green;
  const guint half = overlay_draw ("count=1", NULL, 1, "cat", 0.5).green;
  const guint none = overlay_draw ("count=1", NULL, 1, "cat", 0).green;

  g_assert_cmpuint (none, ==, 0);
  g_assert_cmpuint (full, >, 50);
  g_assert_cmpfloat_with_epsilon (half / (gdouble) full, 0.5, 0.1);
}

static void
test_count_and_size (void)
{
  const gint one = overlay_draw ("count=1", NULL, 5, "cat", 1).bottom;
  const gint three = overlay_draw ("count=3", NULL, 5, "cat", 1).bottom;
  const gint fewer = overlay_draw ("count=20", NULL, 3, "cat", 1).bottom;
  const gint large = overlay_draw ("count=1", "size=0.2", 5, "cat", 1).bottom;

  g_assert_cmpint (three, >, 2 * one - one / 2);
  g_assert_cmpint (fewer, ==, three);   /* no more than there are */
  g_assert_cmpint (large, >=, 2 * one);
}

static void
test_text_shows (void)
{
  /* a wide label makes a wider box, one that is too wide is cut */
  const OverlayDrawn narrow = overlay_draw ("count=1", NULL, 1, "i", 1);
  const OverlayDrawn wide = overlay_draw ("count=1", NULL, 1, "mmmmmmmm", 1);
  const OverlayDrawn cut = overlay_draw ("count=1", NULL, 1,
      "a label that goes on and on and on and on and on and on and on and on "
      "and on and on and on and on and on and on and on and on", 1);

  g_assert_cmpint (wide.right, >, narrow.right + 20);
  g_assert_cmpint (cut.right, >, wide.right);
  g_assert_cmpint (cut.right, <, WIDTH - 1);
  g_assert_cmpint (cut.bottom, ==, narrow.bottom);
}

/* ---- several results ---------------------------------------------------- */

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Adds a result of one class to a frame. */
static void
add_result (GstBuffer * buffer, const gchar * model, const gchar * hash,
    const gchar * head, const gchar * label, gfloat confidence)
{
  const GstGpudlClass class = {.label = g_intern_string (label),.quark =
        g_quark_from_string (label),.confidence = confidence
  };
  const GstGpudlClassification c = {
    .model = model,.model_hash = hash,.head = head,.classes = &class,
    .n_classes = label != NULL,.fresh = TRUE,.region = {0, 0, 1, 1}
  };

  gst_gpudl_meta_attach (buffer, &c);
}

static GstBuffer *
frame_of_two (void)
{
  GstBuffer *buffer = plugin_test_frame (WIDTH * HEIGHT * 3, 100, 0);

  add_result (buffer, "birds", HASH, NULL, "robin", 1);
  add_result (buffer, "street", "9876543210", NULL, "tram", 0.5);
  return buffer;
}

static void
assert_same_pixels (GstBuffer * a, GstBuffer * b)
{
  GstMapInfo map;

  g_assert_true (gst_buffer_map (a, &map, GST_MAP_READ));
  g_assert_cmpint (gst_buffer_memcmp (b, 0, map.data, map.size), ==, 0);
  g_assert_cmpuint (gst_buffer_get_size (b), ==, map.size);
  gst_buffer_unmap (a, &map);
}

static void
test_all_results (void)
{
  GstHarness *h = overlay_harness (RGB, NULL, NULL, FALSE);
  GstBuffer *in = plugin_test_frame (WIDTH * HEIGHT * 3, 100, 0);
  g_autoptr (GstBuffer) one = NULL;
  g_autoptr (GstBuffer) two = NULL;
  OverlayDrawn of_one, of_two;

  add_result (in, "birds", HASH, NULL, "robin", 1);
  one = overlay_pass (h, in);
  two = overlay_pass (h, frame_of_two ());
  of_one = overlay_look (one);
  of_two = overlay_look (two);
  g_assert_cmpuint (of_one.blue, ==, 0);
  g_assert_cmpuint (of_two.blue, >, 50);
  /* a full bar and half a bar, and four lines, the titles', in place of one */
  g_assert_cmpfloat_with_epsilon (of_two.green / (gdouble) of_one.green, 1.5,
      0.1);
  g_assert_cmpint (of_two.bottom, >, 3 * of_one.bottom - of_one.bottom / 2);
  plugin_test_teardown (h);
}

/* With a model asked for the picture is as if there were no other. */
static void
test_one_of_them (void)
{
  static const struct
  {
    const gchar *wish;
    const gchar *model, *hash, *label;
    gfloat confidence;
  } cases[] = {
    {"model=birds", "birds", HASH, "robin", 1},
    {"model=street", "street", "9876543210", "tram", 0.5},
    {"model=01234567", "birds", HASH, "robin", 1},
    {"model=" HASH, "birds", HASH, "robin", 1},
    {"model=9876543210", "street", "9876543210", "tram", 0.5},
    /* too short for a hash, no name, longer than the hash */
    {"model=0123456", NULL,}, {"model=bird", NULL,}, {"model=birdsong", NULL,},
    {"model=98765432101", NULL,},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    GstHarness *plain = overlay_harness (RGB, NULL, NULL, FALSE);
    GstHarness *h = overlay_harness (RGB, cases[i].wish, NULL, FALSE);
    GstBuffer *in = plugin_test_frame (WIDTH * HEIGHT * 3, 100, 0);
    g_autoptr (GstBuffer) expected = NULL;
    g_autoptr (GstBuffer) out = NULL;
    g_autoptr (GstBuffer) next = NULL;
    g_autoptr (GstMessage) warning = NULL;

    if (cases[i].model != NULL)
      add_result (in, cases[i].model, cases[i].hash, NULL, cases[i].label,
          cases[i].confidence);
    expected = overlay_pass (plain, in);
    g_assert_cmpint (overlay_look (expected).changed > 0, ==,
        cases[i].model != NULL);
    out = overlay_pass (h, frame_of_two ());
    next = overlay_pass (h, frame_of_two ());
    assert_same_pixels (expected, out);
    assert_same_pixels (expected, next);

    warning = gst_bus_pop_filtered (GST_ELEMENT_BUS (h->element),
        GST_MESSAGE_WARNING);
    g_assert_cmpint (warning == NULL, ==, cases[i].model != NULL);
    g_assert_null (gst_bus_pop_filtered (GST_ELEMENT_BUS (h->element),
            GST_MESSAGE_WARNING));
    plugin_test_teardown (plain);
    plugin_test_teardown (h);
  }
}

static void
test_choice_in_playing (void)
{
  static const gchar *const wishes[] = { "birds", "street", NULL, "", "birds" };
  GstHarness *h = overlay_harness (RGB, NULL, NULL, FALSE);
  guint greens[G_N_ELEMENTS (wishes)];

  for (guint i = 0; i < G_N_ELEMENTS (wishes); i++) {
    g_autofree gchar *now = NULL;
    g_autoptr (GstBuffer) out = NULL;

    g_object_set (h->element, "model", wishes[i], NULL);
    out = overlay_pass (h, frame_of_two ());
    greens[i] = overlay_look (out).green;
    g_object_get (h->element, "model", &now, NULL);
    g_assert_cmpstr (now, ==, i == 3 ? NULL : wishes[i]);
  }
  g_assert_cmpfloat_with_epsilon (greens[0] / (gdouble) greens[1], 2, 0.2);
  g_assert_cmpuint (greens[2], ==, greens[0] + greens[1]);
  g_assert_cmpuint (greens[3], ==, greens[2]);
  g_assert_cmpuint (greens[4], ==, greens[0]);
  plugin_test_teardown (h);
}

/* A result without any class keeps its title, so that the next one stays where
 * it is; where none has a class, nothing is drawn. A meta of a version that is
 * not known hides none behind it. */
static void
test_empty_and_foreign (void)
{
  GstHarness *h = overlay_harness (RGB, NULL, NULL, FALSE);
  GstBuffer *in[3];
  OverlayDrawn drawn[3];

  for (guint i = 0; i < 3; i++) {
    in[i] = plugin_test_frame (WIDTH * HEIGHT * 3, 100, 0);
    add_result (in[i], "birds", HASH, NULL, NULL, 0);
    if (i == 2)
      gst_buffer_add_custom_meta (in[i], GST_GPUDL_CLASSIFICATION_META_NAME);
    add_result (in[i], "street", "9876", NULL, i > 0 ? "tram" : NULL, 1);
  }
  for (guint i = 0; i < 3; i++) {
    g_autoptr (GstBuffer) out = overlay_pass (h, in[i]);

    drawn[i] = overlay_look (out);
  }
  g_assert_cmpuint (drawn[0].changed, ==, 0);
  g_assert_cmpuint (drawn[1].green, >, 0);
  g_assert_cmpint (drawn[1].bottom, >, 3 * 12);
  g_assert_cmpuint (drawn[2].green, ==, drawn[1].green);
  g_assert_cmpint (drawn[2].bottom, ==, drawn[1].bottom);
  plugin_test_teardown (h);
}

static void
test_heads (void)
{
  GstHarness *h = overlay_harness (RGB, "model=m", NULL, FALSE);
  GstBuffer *in = plugin_test_frame (WIDTH * HEIGHT * 3, 100, 0);
  GstBuffer *in_long = plugin_test_frame (WIDTH * HEIGHT * 3, 100, 0);
  g_autoptr (GstBuffer) out = NULL;
  g_autoptr (GstBuffer) wide = NULL;

  add_result (in, "m", "h", "a", "cat", 1);
  add_result (in, "m", "h", "b", "dog", 1);
  add_result (in_long, "m", "h", "a head whose name is long", "cat", 1);
  add_result (in_long, "m", "h", "b", "dog", 1);
  out = overlay_pass (h, in);
  wide = overlay_pass (h, in_long);
  g_assert_cmpint (overlay_look (out).bottom, >, 4 * 12);
  /* the head's name is in the title */
  g_assert_cmpint (overlay_look (wide).right, >, overlay_look (out).right + 20);
  plugin_test_teardown (h);
}

/* A result that an element holds for a repeated frame is drawn as the fresh one
 * was: nothing flickers. */
static void
test_held_results (void)
{
  GstHarness *h = overlay_harness (RGB, NULL, NULL, FALSE);
  GstBuffer *held = plugin_test_frame (WIDTH * HEIGHT * 3, 100, 1);
  g_autoptr (GstBuffer) first =
      overlay_pass (h, overlay_frame (WIDTH * HEIGHT * 3, 1, "cat", 0.5));
  g_autoptr (GstBuffer) second = NULL;
  const GstGpudlClass class = {.label = g_intern_static_string ("cat"),.quark =
        g_quark_from_static_string ("cat"),.confidence = 0.5
  };
  const GstGpudlClassification c = {
    .model = "m",.model_hash = "h",.classes = &class,.n_classes = 1,
    .fresh = FALSE,.source_pts = 0,.age = 20 * GST_MSECOND,
    .region = {0, 0, 1, 1}
  };

  gst_gpudl_meta_attach (held, &c);
  second = overlay_pass (h, held);
  g_assert_cmpuint (overlay_look (first).green, >, 0);
  assert_same_pixels (first, second);
  plugin_test_teardown (h);
}

static GstBuffer *
run_elements (const gchar * elements)
{
  g_autofree gchar *line = g_strdup_printf ("videotestsrc num-buffers=1 "
      "pattern=black ! video/x-raw,format=RGB,width=%d,height=%d ! %s ! "
      "fakesink name=sink", WIDTH, HEIGHT, elements);
  g_autoptr (GError) error = NULL;
  g_autoptr (GstElement) pipeline = gst_parse_launch (line, &error);
  g_autoptr (GstElement) sink = NULL;
  g_autoptr (GstSample) sample = NULL;
  GstBuffer *out;

  g_assert_no_error (error);
  gst_element_set_state (pipeline, GST_STATE_PAUSED);
  g_assert_cmpint (gst_element_get_state (pipeline, NULL, NULL,
          10 * GST_SECOND), ==, GST_STATE_CHANGE_SUCCESS);
  sink = gst_bin_get_by_name (GST_BIN (pipeline), "sink");
  g_object_get (sink, "last-sample", &sample, NULL);
  out = gst_buffer_ref (gst_sample_get_buffer (sample));
  gst_element_set_state (pipeline, GST_STATE_NULL);
  return out;
}

/* Two gpudlinfer in a row, each with a network of its own. */
static void
test_two_elements (void)
{
  const gchar *few = plugin_fake_model ("few.bin", 3, 1, TRUE);
  const gchar *many = plugin_fake_model ("many.bin", 10, 1, FALSE);
  static const gchar *const names[] = { "few.bin", "many.bin" };
  const gchar *const paths[] = { few, many };
  g_autofree gchar *two = g_strdup_printf ("gpudlinfer model=%s ! gpudlinfer "
      "model=%s", few, many);
  g_autofree gchar *all = g_strdup_printf ("%s ! gpudloverlay", two);
  g_autoptr (GstBuffer) both = NULL;

  plugin_fake_reset ();
  both = run_elements (all);
  for (guint i = 0; i < 2; i++) {
    g_autofree gchar *picked =
        g_strdup_printf ("%s ! gpudloverlay model=%s", two, names[i]);
    g_autofree gchar *alone =
        g_strdup_printf ("gpudlinfer model=%s ! gpudloverlay", paths[i]);
    g_autoptr (GstBuffer) found = run_elements (picked);
    g_autoptr (GstBuffer) expected = run_elements (alone);

    assert_same_pixels (expected, found);
    g_assert_cmpint (overlay_look (both).green, >,
        overlay_look (expected).green);
  }
}

/* ---- formats and sizes -------------------------------------------------- */

static void
test_formats (void)
{
  static const gchar *const names[] = { "NV12", "I420", "YUY2", "Y444", "BGRA",
    "xRGB", "GRAY8", "P010_10LE", "I420_10LE", "ARGB64", "v210", "RGB16"
  };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree gchar *caps =
        g_strdup_printf
        ("video/x-raw,format=%s,width=%d,height=%d,framerate=1/1", names[i],
        WIDTH, HEIGHT);
    g_autoptr (GstBuffer) plain = NULL;
    g_autoptr (GstBuffer) out = NULL;
    GstVideoInfo info;
    GstMapInfo map;
    GstHarness *h;

    g_assert_true (gst_video_info_set_format (&info,
            gst_video_format_from_string (names[i]), WIDTH, HEIGHT));
    plain = plugin_test_frame (info.size, 100, 0);
    h = overlay_harness (caps, NULL, NULL, FALSE);
    out = overlay_pass (h, overlay_frame (info.size, 3, "cat", 0.7));
    g_assert_true (gst_buffer_map (plain, &map, GST_MAP_READ));
    g_assert_cmpint (gst_buffer_memcmp (out, 0, map.data, map.size), !=, 0);
    /* the other half of the picture is as it was; in planes, the luma's */
    g_assert_cmpint (gst_buffer_memcmp (out, info.stride[0] * (HEIGHT / 2 + 8),
            map.data, info.stride[0] * (HEIGHT / 2 - 8)), ==, 0);
    gst_buffer_unmap (plain, &map);
    plugin_test_teardown (h);
  }
}

static void
test_small_frames (void)
{
  static const gint sizes[][2] = { {1, 1}, {2, 2}, {7, 3}, {16, 16}, {3, 200} };
  static const gchar *const positions[] = { "position=top-left",
    "position=bottom-right"
  };

  for (guint i = 0; i < G_N_ELEMENTS (sizes) * 2; i++) {
    g_autofree gchar *caps =
        g_strdup_printf
        ("video/x-raw,format=I420,width=%d,height=%d,framerate=1/1",
        sizes[i / 2][0], sizes[i / 2][1]);
    GstHarness *h = overlay_harness (caps, positions[i % 2], NULL, FALSE);
    GstVideoInfo info;

    g_assert_true (gst_video_info_set_format (&info, GST_VIDEO_FORMAT_I420,
            sizes[i / 2][0], sizes[i / 2][1]));
    gst_buffer_unref (overlay_pass (h, overlay_frame (info.size, 3,
                "a longer label", 0.9)));
    plugin_test_teardown (h);
  }
}

static void
test_state_cycles (void)
{
  GstElement *element = plugin_test_element ("gpudloverlay", NULL);
  GstHarness *h = plugin_test_harness (element, RGB);

  for (guint i = 0; i < 5; i++) {
    gst_buffer_unref (overlay_pass (h, overlay_frame (WIDTH * HEIGHT * 3, 3,
                "cat", 0.1 * i)));
    gst_element_set_state (element, i % 2 ? GST_STATE_NULL : GST_STATE_READY);
    gst_harness_play (h);
    gst_harness_set_src_caps_str (h, RGB);
  }
  plugin_test_teardown (h);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudloverlay, NULL);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
#define ADD(name, func) g_test_add_func ("/overlay/" name, func)
  ADD ("frames-without-classification-pass", test_nothing_without_meta);
  ADD ("draws-in-the-corner-asked-for-only", test_positions);
  ADD ("bar-is-as-long-as-the-confidence", test_bar_length);
  ADD ("count-and-size-change-the-height", test_count_and_size);
  ADD ("label-is-drawn-and-cut-when-too-long", test_text_shows);
  ADD ("every-result-is-drawn-below-its-model", test_all_results);
  ADD ("model-picks-one-by-name-or-hash", test_one_of_them);
  ADD ("model-changes-in-playing", test_choice_in_playing);
  ADD ("results-without-classes-and-of-other-versions", test_empty_and_foreign);
  ADD ("heads-are-drawn-below-their-names", test_heads);
  ADD ("held-results-are-drawn-as-fresh-ones", test_held_results);
  ADD ("two-elements-in-a-row", test_two_elements);
  ADD ("draws-on-every-kind-of-format", test_formats);
  ADD ("frames-smaller-than-the-drawing", test_small_frames);
  ADD ("state-cycles-draw-again", test_state_cycles);
  return plugin_test_run ();
}

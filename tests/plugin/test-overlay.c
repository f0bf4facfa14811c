/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * gpudloverlay: draws where and what it is told, only when it has to, and nothing without a classification.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"
#include "plugin/gstgpudloverlay.h"

#include <string.h>

#define WIDTH 320
#define HEIGHT 240
#define RGB "video/x-raw,format=RGB,width=320,height=240,framerate=25/1"

static GstHarness *
new_harness (const gchar * caps, const gchar * first, const gchar * second,
    gboolean attaches)
{
  GstElement *element = plugin_test_element ("gpudloverlay", first,
      first ? second : NULL, NULL);
  GstHarness *h = plugin_test_harness (element, NULL);

  if (attaches)                 /* as a sink that composes by itself */
    gst_harness_add_propose_allocation_meta (h,
        GST_VIDEO_OVERLAY_COMPOSITION_META_API_TYPE, NULL);
  gst_harness_set_src_caps_str (h, caps);
  return h;
}

/* A frame of grey bytes with n classes: the first is certain as told, each other one half as much as the one before. */
static GstBuffer *
frame (gsize size, guint n, const gchar * label, gfloat confidence)
{
  GstBuffer *buffer = plugin_test_frame (size, 100, 0);
  GstGpudlClass classes[20] = { {0,}, };
  const GstGpudlClassification c = {
    .model = "m",.model_hash = "h",.classes = classes,.n_classes = n,
    .fresh = TRUE,.region = {0, 0, 1, 1}
  };

  g_assert_cmpuint (n, <=, G_N_ELEMENTS (classes));
  for (guint i = 0; i < n; i++) {
    classes[i].label = g_intern_string (label);
    classes[i].quark = g_quark_from_string (label);
    classes[i].id = i;
    classes[i].confidence = confidence / (1 << i);
  }
  gst_gpudl_meta_attach (buffer, &c);
  return buffer;
}

static GstBuffer *
pass (GstHarness * h, GstBuffer * buffer)
{
  GstBuffer *out;

  g_assert_cmpint (gst_harness_push (h, buffer), ==, GST_FLOW_OK);
  out = gst_harness_pull (h);
  g_assert_nonnull (out);
  return out;
}

/* Bounding box of what is not grey any more, and how much of it is green, as
 * bars are, and blue, as titles are. */
typedef struct
{
  gint left, top, right, bottom;
  guint changed, green, blue;
} Drawn;

static Drawn
look (GstBuffer * buffer)
{
  Drawn drawn = { WIDTH, HEIGHT, -1, -1, 0, 0, 0 };
  GstMapInfo map;

  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READ));
  g_assert_cmpuint (map.size, ==, WIDTH * HEIGHT * 3);
  for (gint y = 0; y < HEIGHT; y++) {
    for (gint x = 0; x < WIDTH; x++) {
      const guint8 *p = map.data + (y * WIDTH + x) * 3;

      if (p[0] == 100 && p[1] == 100 && p[2] == 100)
        continue;
      drawn.changed++;
      drawn.green += p[1] > 150 && p[0] < 120 && p[2] < 120;
      drawn.blue += p[2] > p[0] + 30;
      drawn.left = MIN (drawn.left, x);
      drawn.right = MAX (drawn.right, x);
      drawn.top = MIN (drawn.top, y);
      drawn.bottom = MAX (drawn.bottom, y);
    }
  }
  gst_buffer_unmap (buffer, &map);
  return drawn;
}

static Drawn
draw (const gchar * first, const gchar * second, guint n, const gchar * label,
    gfloat confidence)
{
  GstHarness *h = new_harness (RGB, first, second, FALSE);
  g_autoptr (GstBuffer) out =
      pass (h, frame (WIDTH * HEIGHT * 3, n, label, confidence));
  const Drawn drawn = look (out);

  plugin_test_teardown (h);
  return drawn;
}

static void
test_nothing_without_meta (void)
{
  GstHarness *h = new_harness (RGB, NULL, NULL, FALSE);
  GstBuffer *in = plugin_test_frame (WIDTH * HEIGHT * 3, 100, 0);
  g_autoptr (GstBuffer) out = pass (h, in);
  g_autoptr (GstBuffer) empty = NULL;

  g_assert_true (out == in);
  g_assert_cmpuint (look (out).changed, ==, 0);
  empty = pass (h, frame (WIDTH * HEIGHT * 3, 0, "", 0));
  g_assert_cmpuint (look (empty).changed, ==, 0);
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
    const Drawn drawn = draw (cases[i].position, NULL, 2, "cat", 0.5);

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
  const guint full = draw ("count=1", NULL, 1, "cat", 1).green;
  const guint half = draw ("count=1", NULL, 1, "cat", 0.5).green;
  const guint none = draw ("count=1", NULL, 1, "cat", 0).green;

  g_assert_cmpuint (none, ==, 0);
  g_assert_cmpuint (full, >, 50);
  g_assert_cmpfloat_with_epsilon (half / (gdouble) full, 0.5, 0.1);
}

static void
test_count_and_size (void)
{
  const gint one = draw ("count=1", NULL, 5, "cat", 1).bottom;
  const gint three = draw ("count=3", NULL, 5, "cat", 1).bottom;
  const gint fewer = draw ("count=20", NULL, 3, "cat", 1).bottom;
  const gint large = draw ("count=1", "size=0.2", 5, "cat", 1).bottom;

  g_assert_cmpint (three, >, 2 * one - one / 2);
  g_assert_cmpint (fewer, ==, three);   /* no more than there are */
  g_assert_cmpint (large, >=, 2 * one);
}

static void
test_text_shows (void)
{
  /* a wide label makes a wider box, one that is too wide is cut */
  const Drawn narrow = draw ("count=1", NULL, 1, "i", 1);
  const Drawn wide = draw ("count=1", NULL, 1, "mmmmmmmm", 1);
  const Drawn cut = draw ("count=1", NULL, 1,
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
  GstHarness *h = new_harness (RGB, NULL, NULL, FALSE);
  GstBuffer *in = plugin_test_frame (WIDTH * HEIGHT * 3, 100, 0);
  g_autoptr (GstBuffer) one = NULL;
  g_autoptr (GstBuffer) two = NULL;
  Drawn of_one, of_two;

  add_result (in, "birds", HASH, NULL, "robin", 1);
  one = pass (h, in);
  two = pass (h, frame_of_two ());
  of_one = look (one);
  of_two = look (two);
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
    GstHarness *plain = new_harness (RGB, NULL, NULL, FALSE);
    GstHarness *h = new_harness (RGB, cases[i].wish, NULL, FALSE);
    GstBuffer *in = plugin_test_frame (WIDTH * HEIGHT * 3, 100, 0);
    g_autoptr (GstBuffer) expected = NULL;
    g_autoptr (GstBuffer) out = NULL;
    g_autoptr (GstBuffer) next = NULL;
    g_autoptr (GstMessage) warning = NULL;

    if (cases[i].model != NULL)
      add_result (in, cases[i].model, cases[i].hash, NULL, cases[i].label,
          cases[i].confidence);
    expected = pass (plain, in);
    g_assert_cmpint (look (expected).changed > 0, ==, cases[i].model != NULL);
    out = pass (h, frame_of_two ());
    next = pass (h, frame_of_two ());
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
  GstHarness *h = new_harness (RGB, NULL, NULL, FALSE);
  guint greens[G_N_ELEMENTS (wishes)];

  for (guint i = 0; i < G_N_ELEMENTS (wishes); i++) {
    g_autofree gchar *now = NULL;
    g_autoptr (GstBuffer) out = NULL;

    g_object_set (h->element, "model", wishes[i], NULL);
    out = pass (h, frame_of_two ());
    greens[i] = look (out).green;
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
  GstHarness *h = new_harness (RGB, NULL, NULL, FALSE);
  GstBuffer *in[3];
  Drawn drawn[3];

  for (guint i = 0; i < 3; i++) {
    in[i] = plugin_test_frame (WIDTH * HEIGHT * 3, 100, 0);
    add_result (in[i], "birds", HASH, NULL, NULL, 0);
    if (i == 2)
      gst_buffer_add_custom_meta (in[i], GST_GPUDL_CLASSIFICATION_META_NAME);
    add_result (in[i], "street", "9876", NULL, i > 0 ? "tram" : NULL, 1);
  }
  for (guint i = 0; i < 3; i++) {
    g_autoptr (GstBuffer) out = pass (h, in[i]);

    drawn[i] = look (out);
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
  GstHarness *h = new_harness (RGB, "model=m", NULL, FALSE);
  GstBuffer *in = plugin_test_frame (WIDTH * HEIGHT * 3, 100, 0);
  GstBuffer *in_long = plugin_test_frame (WIDTH * HEIGHT * 3, 100, 0);
  g_autoptr (GstBuffer) out = NULL;
  g_autoptr (GstBuffer) wide = NULL;

  add_result (in, "m", "h", "a", "cat", 1);
  add_result (in, "m", "h", "b", "dog", 1);
  add_result (in_long, "m", "h", "a head whose name is long", "cat", 1);
  add_result (in_long, "m", "h", "b", "dog", 1);
  out = pass (h, in);
  wide = pass (h, in_long);
  g_assert_cmpint (look (out).bottom, >, 4 * 12);
  /* the head's name is in the title */
  g_assert_cmpint (look (wide).right, >, look (out).right + 20);
  plugin_test_teardown (h);
}

/* A result that an element holds for a repeated frame is drawn as the fresh one
 * was: nothing flickers. */
static void
test_held_results (void)
{
  GstHarness *h = new_harness (RGB, NULL, NULL, FALSE);
  GstBuffer *held = plugin_test_frame (WIDTH * HEIGHT * 3, 100, 1);
  g_autoptr (GstBuffer) first = pass (h, frame (WIDTH * HEIGHT * 3, 1, "cat",
          0.5));
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
  second = pass (h, held);
  g_assert_cmpuint (look (first).green, >, 0);
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
    g_assert_cmpint (look (both).green, >, look (expected).green);
  }
}

/* ---- caching ------------------------------------------------------------ */

static GstVideoOverlayComposition *
composition (GstBuffer * buffer)
{
  GstVideoOverlayCompositionMeta *meta =
      gst_buffer_get_video_overlay_composition_meta (buffer);

  g_assert_nonnull (meta);
  return gst_video_overlay_composition_ref (meta->overlay);
}

/* Sequence number of what is attached to a frame. */
static guint
drawing (GstHarness * h, const gchar * label, gfloat confidence)
{
  g_autoptr (GstBuffer) out =
      pass (h, frame (WIDTH * HEIGHT * 3, 1, label, confidence));
  GstVideoOverlayComposition *attached = composition (out);
  const guint seqnum = gst_video_overlay_composition_get_seqnum (attached);

  gst_video_overlay_composition_unref (attached);
  return seqnum;
}

static void
test_redrawn_only_on_change (void)
{
  GstHarness *h = new_harness (RGB, NULL, NULL, TRUE);
  const guint first = drawing (h, "cat", 0.5);
  guint now;

  g_assert_cmpuint (drawing (h, "cat", 0.5), ==, first);
  /* below the last digit shown */
  g_assert_cmpuint (drawing (h, "cat", 0.5003), ==, first);
  now = drawing (h, "cat", 0.52);
  g_assert_cmpuint (now, !=, first);
  g_assert_cmpuint (drawing (h, "cat", 0.52), ==, now);
  g_assert_cmpuint (drawing (h, "dog", 0.52), !=, now);
  now = drawing (h, "dog", 0.52);

  g_object_set (h->element, "position", GST_GPUDL_OVERLAY_BOTTOM_LEFT, NULL);
  g_assert_cmpuint (drawing (h, "dog", 0.52), !=, now);
  now = drawing (h, "dog", 0.52);
  g_object_set (h->element, "size", 0.1, NULL);
  g_assert_cmpuint (drawing (h, "dog", 0.52), !=, now);
  now = drawing (h, "dog", 0.52);
  gst_harness_set_src_caps_str (h,
      "video/x-raw,format=RGB,width=240,height=320,framerate=25/1");
  g_assert_cmpuint (drawing (h, "dog", 0.52), !=, now);
  plugin_test_teardown (h);
}

static void
test_attached_not_drawn (void)
{
  GstHarness *h = new_harness (RGB, NULL, NULL, TRUE);
  g_autoptr (GstBuffer) out = pass (h, frame (WIDTH * HEIGHT * 3, 2, "cat", 1));

  gst_video_overlay_composition_unref (composition (out));
  g_assert_cmpuint (look (out).changed, ==, 0);
  plugin_test_teardown (h);
}

static void
test_pixel_aspect_ratio (void)
{
  static const gchar *const caps[] = { RGB ",pixel-aspect-ratio=1/1",
    RGB ",pixel-aspect-ratio=2/1"
  };
  guint width[2], height[2];

  for (guint i = 0; i < 2; i++) {
    GstHarness *h = new_harness (caps[i], NULL, NULL, TRUE);
    g_autoptr (GstBuffer) out =
        pass (h, frame (WIDTH * HEIGHT * 3, 1, "cat", 1));
    GstVideoOverlayComposition *attached = composition (out);

    g_assert_true (gst_video_overlay_rectangle_get_render_rectangle
        (gst_video_overlay_composition_get_rectangle (attached, 0), NULL, NULL,
            &width[i], &height[i]));
    gst_video_overlay_composition_unref (attached);
    plugin_test_teardown (h);
  }
  g_assert_cmpuint (height[1], ==, height[0]);
  g_assert_cmpfloat_with_epsilon (width[1] / (gdouble) width[0], 0.5, 0.02);
}

/* ---- what it costs ------------------------------------------------------ */

/* Sums what buffers are given, in place of the default allocator. */
typedef GstAllocator Counter;
typedef GstAllocatorClass CounterClass;

static GType counter_get_type (void);
G_DEFINE_TYPE (Counter, counter, GST_TYPE_ALLOCATOR);

static gsize counted, allowed;

static GstMemory *
counter_alloc (GstAllocator * self, gsize size, GstAllocationParams * params)
{
  g_autoptr (GstAllocator) real = gst_allocator_find (GST_ALLOCATOR_SYSMEM);

  counted += size;
  return counted > allowed ? NULL : gst_allocator_alloc (real, size, params);
}

static void
counter_init (Counter * self)
{
}

static void
counter_class_init (CounterClass * klass)
{
  klass->alloc = counter_alloc;
}

/* From now on no more than so many bytes are there for buffers. */
static void
count_from_here (gsize limit)
{
  counted = 0;
  allowed = limit;
  gst_allocator_set_default (gst_object_ref_sink (g_object_new
          (counter_get_type (), NULL)));
}

static gsize
count_to_here (void)
{
  gst_allocator_set_default (gst_allocator_find (GST_ALLOCATOR_SYSMEM));
  return counted;
}

/* The only rectangle of a frame's drawing: where it is, and how many bytes its
 * pixels have. */
static gsize
rectangle_of (GstBuffer * buffer, gint * x, gint * y, guint * width,
    guint * height)
{
  GstVideoOverlayComposition *attached = composition (buffer);
  GstVideoOverlayRectangle *rectangle;
  gsize size;

  g_assert_cmpuint (gst_video_overlay_composition_n_rectangles (attached), ==,
      1);
  rectangle = gst_video_overlay_composition_get_rectangle (attached, 0);
  g_assert_true (gst_video_overlay_rectangle_get_render_rectangle (rectangle, x,
          y, width, height));
  size =
      gst_buffer_get_size (gst_video_overlay_rectangle_get_pixels_unscaled_raw
      (rectangle, GST_VIDEO_OVERLAY_FORMAT_FLAG_PREMULTIPLIED_ALPHA));
  gst_video_overlay_composition_unref (attached);
  return size;
}

static const struct
{
  const gchar *ratio;
  gboolean absurd;
} ratios[] = {
  {"1/1", FALSE}, {"16/1", FALSE}, {"1/16", FALSE}, {"59/54", FALSE},
  {"33/2", TRUE}, {"17/1", TRUE}, {"1/17", TRUE}, {"1/20000", TRUE},
  {"1/100000", TRUE},
  {"1/1000000", TRUE}, {"1/2147483647", TRUE}, {"2147483647/1", TRUE},
};

static void
test_absurd_ratios (void)
{
  static const gchar *const positions[] = { "position=top-left",
    "position=bottom-right"
  };
  guint square = 0;

  for (guint i = 0; i < G_N_ELEMENTS (ratios) * 2; i++) {
    g_autofree gchar *caps =
        g_strdup_printf (RGB ",pixel-aspect-ratio=%s", ratios[i / 2].ratio);
    GstHarness *h = new_harness (caps, positions[i % 2], NULL, TRUE);
    g_autoptr (GstBuffer) out = NULL;
    g_autoptr (GstMessage) warning = NULL;
    guint width, height;
    gsize counted_bytes, size;
    gint x, y;

    gst_buffer_unref (pass (h, frame (WIDTH * HEIGHT * 3, 3, "dog", 1)));
    count_from_here (2 * WIDTH * HEIGHT * 4);
    out = pass (h, frame (WIDTH * HEIGHT * 3, 3, "cat", 1));
    counted_bytes = count_to_here ();
    size = rectangle_of (out, &x, &y, &width, &height);
    g_assert_cmpuint (size, <=, WIDTH * HEIGHT * 4);
    /* the frame that the test made, and the drawing */
    g_assert_cmpuint (counted_bytes, <=, size + WIDTH * HEIGHT * 3);
    g_assert_cmpint (x, >=, 0);
    g_assert_cmpint (y, >=, 0);
    g_assert_cmpuint (x + width, <=, WIDTH);
    g_assert_cmpuint (y + height, <=, HEIGHT);

    if (i == 0)
      square = width;
    if (ratios[i / 2].absurd)
      g_assert_cmpuint (width, ==, square);
    /* it is said, once for the stream */
    warning = gst_bus_pop_filtered (GST_ELEMENT_BUS (h->element),
        GST_MESSAGE_WARNING);
    g_assert_cmpint (warning != NULL, ==, ratios[i / 2].absurd);
    g_assert_null (gst_bus_pop_filtered (GST_ELEMENT_BUS (h->element),
            GST_MESSAGE_WARNING));
    plugin_test_teardown (h);
  }
}

/* Blended into the picture: GStreamer makes copies of the drawing, in the
 * picture's format too. */
static void
test_absurd_ratios_blended (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (ratios); i++) {
    g_autofree gchar *caps = g_strdup_printf
        ("video/x-raw,format=I420,width=320,height=240,framerate=25/1,"
        "pixel-aspect-ratio=%s", ratios[i].ratio);
    GstHarness *h = new_harness (caps, NULL, NULL, FALSE);
    GstBuffer *in = frame (WIDTH * HEIGHT * 3 / 2, 3, "cat", 1);

    count_from_here (4 * WIDTH * HEIGHT * 4);
    gst_buffer_unref (pass (h, in));
    count_to_here ();
    plugin_test_teardown (h);
  }
}

static void
test_large_text (void)
{
  GstHarness *h =
      new_harness ("video/x-raw,format=GRAY8,width=1920,height=1080,"
      "framerate=25/1", "size=0.5", "count=20", TRUE);
  g_autoptr (GstBuffer) out = NULL;
  guint width, height;
  gint x, y;

  count_from_here (1920 * 1080 * 5);
  out = pass (h, frame (1920 * 1080, 20,
          "a label that is far too long for so large a letter", 1));
  count_to_here ();
  g_assert_cmpuint (rectangle_of (out, &x, &y, &width, &height), <=,
      1920 * 1080 * 4);
  g_assert_cmpuint (width, ==, 1920);
  g_assert_cmpuint (height, ==, 1080);
  plugin_test_teardown (h);
}

/* What is cut off is what lies outside: the rest is as wide as the ratio makes
 * it. */
static void
test_cut_not_squeezed (void)
{
  Drawn drawn[2];

  for (guint i = 0; i < 2; i++) {
    GstHarness *h = new_harness (i == 0 ? RGB : RGB ",pixel-aspect-ratio=1/2",
        "count=1", NULL, FALSE);
    g_autoptr (GstBuffer) out = pass (h, frame (WIDTH * HEIGHT * 3, 1,
            "mmmmmmmmmmmmmmmmmmmmmmmm", 1));

    drawn[i] = look (out);
    plugin_test_teardown (h);
  }
  g_assert_cmpint (drawn[1].right, ==, WIDTH - 1);
  g_assert_cmpfloat_with_epsilon (drawn[1].green / (gdouble) drawn[0].green, 2,
      0.1);
}

/* However large the text is, it is not the bar that fills the frame. */
static void
test_bar_leaves_room (void)
{
  const Drawn drawn = draw ("count=1", "size=0.5", 1, "cat", 1);

  /* a quarter of the width, half of a line's height */
  g_assert_cmpfloat_with_epsilon (drawn.green / (WIDTH / 4.0 * HEIGHT / 4), 1,
      0.3);
}

static void
test_invisible_lines (void)
{
  guint width[2];

  for (guint i = 0; i < 2; i++) {
    GstHarness *h =
        new_harness ("video/x-raw,format=GRAY8,width=320,height=32,"
        "framerate=25/1", "count=20", NULL, TRUE);
    GstBuffer *in = plugin_test_frame (320 * 32, 100, 0);
    g_autoptr (GstBuffer) out = NULL;
    GstGpudlClass classes[20] = { {0,}, };
    const GstGpudlClassification c = {
      .model = "m",.model_hash = "h",.classes = classes,.n_classes = 20,
      .region = {0, 0, 1, 1}
    };

    for (guint k = 0; k < 20; k++) {
      classes[k].label =
          g_intern_static_string (i == 1 && k > 10 ? "mmmmmm" : "i");
      classes[k].quark = g_quark_from_static_string (classes[k].label);
    }
    gst_gpudl_meta_attach (in, &c);
    out = pass (h, in);
    rectangle_of (out, NULL, NULL, &width[i], NULL);
    plugin_test_teardown (h);
  }
  g_assert_cmpuint (width[1], ==, width[0]);
}

static void
test_no_memory (void)
{
  GstHarness *h = new_harness (RGB, NULL, NULL, TRUE);
  GstBuffer *in = frame (WIDTH * HEIGHT * 3, 3, "cat", 1);
  g_autoptr (GstBuffer) out = NULL;
  g_autoptr (GstBuffer) again = NULL;

  count_from_here (0);
  out = pass (h, in);
  count_to_here ();
  g_assert_null (gst_buffer_get_video_overlay_composition_meta (out));
  g_assert_cmpuint (look (out).changed, ==, 0);
  again = pass (h, frame (WIDTH * HEIGHT * 3, 3, "cat", 1));
  gst_video_overlay_composition_unref (composition (again));
  plugin_test_teardown (h);
}

/* ---- memory that can't be written into ---------------------------------- */

/* The drawing goes with the buffer where downstream composes; where it does not,
 * caps are refused rather than the drawing left out. */
static void
test_other_memory (void)
{
  static const gchar *const sinks[] = { NULL,
    "video/x-raw(memory:GLMemory,meta:GstVideoOverlayComposition)",
    "video/x-raw(memory:GLMemory)"
  };

  for (guint i = 0; i < G_N_ELEMENTS (sinks); i++) {
    GstHarness *h =
        plugin_test_harness (plugin_test_element ("gpudloverlay", NULL), NULL);
    GstFlowReturn ret;

    if (sinks[i] != NULL)
      gst_harness_set_sink_caps_str (h, sinks[i]);
    if (i == 1)
      gst_harness_add_propose_allocation_meta (h,
          GST_VIDEO_OVERLAY_COMPOSITION_META_API_TYPE, NULL);
    gst_harness_set_src_caps_str (h, "video/x-raw(memory:GLMemory),"
        "format=RGB,width=320,height=240,framerate=25/1");
    ret = gst_harness_push (h, frame (WIDTH * HEIGHT * 3, 1, "cat", 1));
    if (i < 2) {
      g_autoptr (GstBuffer) out = gst_harness_pull (h);

      g_assert_cmpint (ret, ==, GST_FLOW_OK);
      gst_video_overlay_composition_unref (composition (out));
      g_assert_cmpuint (look (out).changed, ==, 0);
    } else {
      g_assert_cmpint (ret, ==, GST_FLOW_NOT_NEGOTIATED);
    }
    plugin_test_teardown (h);
  }
}

static void
check_says_cudadownload (GstHarness * h, GstMessageType type)
{
  g_autoptr (GstMessage) message = plugin_test_message (h->element, type);
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (message);
  if (type == GST_MESSAGE_ERROR)
    gst_message_parse_error (message, &error, NULL);
  else
    gst_message_parse_warning (message, &error, NULL);
  g_assert_error (error, GST_CORE_ERROR, GST_CORE_ERROR_NEGOTIATION);
  g_assert_nonnull (strstr (error->message,
          "... ! cudadownload ! gpudloverlay ! ..."));
}

static gboolean
has_cuda (GstCaps * caps)
{
  for (guint i = 0; i < gst_caps_get_size (caps); i++) {
    GstCapsFeatures *features = gst_caps_get_features (caps, i);

    if (!gst_caps_features_is_any (features)
        && gst_caps_features_contains (features, "memory:CUDAMemory"))
      return TRUE;
  }
  return FALSE;
}

/* Nothing composes in CUDA memory: it is not offered to who has a choice, whatever downstream takes, and who has none is
 * told what to write. */
static void
test_cuda_memory (void)
{
  static const gchar *const cuda =
      "video/x-raw(memory:CUDAMemory),format=RGB,width=320,height=240,"
      "framerate=25/1";
  static const gchar *const sinks[] = { NULL,
    "video/x-raw(memory:CUDAMemory,meta:GstVideoOverlayComposition);video/x-raw"
  };

  for (guint i = 0; i < G_N_ELEMENTS (sinks); i++) {
    GstHarness *h =
        plugin_test_harness (plugin_test_element ("gpudloverlay", NULL), NULL);
    g_autofree gchar *both = g_strdup_printf ("%s;" RGB, cuda);
    g_autoptr (GstCaps) choice = gst_caps_from_string (both);
    g_autoptr (GstCaps) only = gst_caps_from_string (cuda);
    g_autoptr (GstCaps) expected = gst_caps_from_string (RGB);
    g_autoptr (GstCaps) answer = NULL;

    if (sinks[i] != NULL)
      gst_harness_set_sink_caps_str (h, sinks[i]);
    answer = gst_pad_peer_query_caps (h->srcpad, NULL);
    g_assert_false (has_cuda (answer));
    gst_caps_unref (answer);
    answer = gst_pad_peer_query_caps (h->sinkpad, NULL);
    g_assert_false (has_cuda (answer));
    gst_caps_unref (answer);
    answer = gst_pad_peer_query_caps (h->srcpad, choice);
    g_assert_true (gst_caps_is_equal (answer, expected));
    plugin_test_no_error (h->element);
    for (guint j = 0; j < 2; j++) {
      gst_caps_unref (answer);
      answer = gst_pad_peer_query_caps (h->srcpad, only);
      g_assert_true (gst_caps_is_empty (answer));
    }
    check_says_cudadownload (h, GST_MESSAGE_WARNING);
    plugin_test_no_error (h->element);

    gst_harness_set_src_caps_str (h, cuda);
    g_assert_cmpint (gst_harness_push (h, frame (WIDTH * HEIGHT * 3, 1, "cat",
                1)), ==, GST_FLOW_NOT_NEGOTIATED);
    check_says_cudadownload (h, GST_MESSAGE_ERROR);
    plugin_test_teardown (h);
  }
}

/* Who links elements is told nothing, so they are linked; the reason comes with the start. */
static void
test_cuda_memory_links (void)
{
  GstElement *filter = gst_element_factory_make ("capsfilter", NULL);
  GstElement *overlay = plugin_test_element ("gpudloverlay", NULL);
  GstElement *bin = gst_bin_new (NULL);
  g_autoptr (GstCaps) caps =
      gst_caps_from_string ("video/x-raw(memory:CUDAMemory),format=RGB");

  g_autoptr (GstPad) pad = gst_element_get_static_pad (overlay, "sink");
  g_autoptr (GstCaps) answer = gst_pad_query_caps (pad, caps);

  g_assert_false (gst_caps_is_empty (answer));
  g_assert_nonnull (filter);
  g_object_set (filter, "caps", caps, NULL);
  gst_bin_add_many (GST_BIN (bin), filter, overlay, NULL);
  g_assert_true (gst_element_link (filter, overlay));
  gst_object_unref (bin);
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
    h = new_harness (caps, NULL, NULL, FALSE);
    out = pass (h, frame (info.size, 3, "cat", 0.7));
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
    GstHarness *h = new_harness (caps, positions[i % 2], NULL, FALSE);
    GstVideoInfo info;

    g_assert_true (gst_video_info_set_format (&info, GST_VIDEO_FORMAT_I420,
            sizes[i / 2][0], sizes[i / 2][1]));
    gst_buffer_unref (pass (h, frame (info.size, 3, "a longer label", 0.9)));
    plugin_test_teardown (h);
  }
}

static void
test_state_cycles (void)
{
  GstElement *element = plugin_test_element ("gpudloverlay", NULL);
  GstHarness *h = plugin_test_harness (element, RGB);

  for (guint i = 0; i < 5; i++) {
    gst_buffer_unref (pass (h, frame (WIDTH * HEIGHT * 3, 3, "cat", 0.1 * i)));
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
  ADD ("bar-leaves-room-for-the-text", test_bar_leaves_room);
  ADD ("count-and-size-change-the-height", test_count_and_size);
  ADD ("label-is-drawn-and-cut-when-too-long", test_text_shows);
  ADD ("every-result-is-drawn-below-its-model", test_all_results);
  ADD ("model-picks-one-by-name-or-hash", test_one_of_them);
  ADD ("model-changes-in-playing", test_choice_in_playing);
  ADD ("results-without-classes-and-of-other-versions", test_empty_and_foreign);
  ADD ("heads-are-drawn-below-their-names", test_heads);
  ADD ("held-results-are-drawn-as-fresh-ones", test_held_results);
  ADD ("two-elements-in-a-row", test_two_elements);
  ADD ("drawn-anew-only-when-text-or-size-changes",
      test_redrawn_only_on_change);
  ADD ("attached-where-downstream-composes", test_attached_not_drawn);
  ADD ("narrow-pixels-make-a-wide-drawing", test_pixel_aspect_ratio);
  ADD ("absurd-aspect-ratio-is-square-and-said-once", test_absurd_ratios);
  ADD ("blending-stays-within-the-frame", test_absurd_ratios_blended);
  ADD ("large-text-stays-within-the-frame", test_large_text);
  ADD ("what-lies-outside-is-cut-off", test_cut_not_squeezed);
  ADD ("lines-below-the-frame-do-not-count", test_invisible_lines);
  ADD ("frame-passes-where-no-memory-is-left", test_no_memory);
  ADD ("other-memory-is-drawn-on-by-downstream-or-refused", test_other_memory);
  ADD ("cuda-memory-links-in-null", test_cuda_memory_links);
  ADD ("cuda-memory-is-refused-and-cudadownload-named", test_cuda_memory);
  ADD ("draws-on-every-kind-of-format", test_formats);
  ADD ("frames-smaller-than-the-drawing", test_small_frames);
  ADD ("state-cycles-draw-again", test_state_cycles);
  return plugin_test_run ();
}

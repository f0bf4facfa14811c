/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * gpudloverlay's drawing: made only when it has to be, within the frame whatever it is told, attached where downstream
 * composes, and refused in memory where nothing can.
 */
#include "overlay-test.h"
#include "plugin-test.h"
#include "plugin/gstgpudlmeta.h"
#include "plugin/gstgpudloverlay.h"

#include <string.h>

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
      overlay_pass (h, overlay_frame (WIDTH * HEIGHT * 3, 1, label,
          confidence));
  GstVideoOverlayComposition *attached = composition (out);
  const guint seqnum = gst_video_overlay_composition_get_seqnum (attached);

  gst_video_overlay_composition_unref (attached);
  return seqnum;
}

static void
test_redrawn_only_on_change (void)
{
  GstHarness *h = overlay_harness (RGB, NULL, NULL, TRUE);
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
  GstHarness *h = overlay_harness (RGB, NULL, NULL, TRUE);
  g_autoptr (GstBuffer) out =
      overlay_pass (h, overlay_frame (WIDTH * HEIGHT * 3, 2, "cat", 1));

  gst_video_overlay_composition_unref (composition (out));
  g_assert_cmpuint (overlay_look (out).changed, ==, 0);
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
    GstHarness *h = overlay_harness (caps[i], NULL, NULL, TRUE);
    g_autoptr (GstBuffer) out =
        overlay_pass (h, overlay_frame (WIDTH * HEIGHT * 3, 1, "cat", 1));
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
    GstHarness *h = overlay_harness (caps, positions[i % 2], NULL, TRUE);
    g_autoptr (GstBuffer) out = NULL;
    g_autoptr (GstMessage) warning = NULL;
    guint width, height;
    gsize counted_bytes, size;
    gint x, y;

    gst_buffer_unref (overlay_pass (h, overlay_frame (WIDTH * HEIGHT * 3, 3,
                "dog", 1)));
    count_from_here (2 * WIDTH * HEIGHT * 4);
    out = overlay_pass (h, overlay_frame (WIDTH * HEIGHT * 3, 3, "cat", 1));
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
    GstHarness *h = overlay_harness (caps, NULL, NULL, FALSE);
    GstBuffer *in = overlay_frame (WIDTH * HEIGHT * 3 / 2, 3, "cat", 1);

    count_from_here (4 * WIDTH * HEIGHT * 4);
    gst_buffer_unref (overlay_pass (h, in));
    count_to_here ();
    plugin_test_teardown (h);
  }
}

static void
test_large_text (void)
{
  GstHarness *h =
      overlay_harness ("video/x-raw,format=GRAY8,width=1920,height=1080,"
      "framerate=25/1", "size=0.5", "count=20", TRUE);
  g_autoptr (GstBuffer) out = NULL;
  guint width, height;
  gint x, y;

  count_from_here (1920 * 1080 * 5);
  out = overlay_pass (h, overlay_frame (1920 * 1080, 20,
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
  OverlayDrawn drawn[2];

  for (guint i = 0; i < 2; i++) {
    GstHarness *h =
        overlay_harness (i == 0 ? RGB : RGB ",pixel-aspect-ratio=1/2",
        "count=1", NULL, FALSE);
    g_autoptr (GstBuffer) out =
        overlay_pass (h, overlay_frame (WIDTH * HEIGHT * 3, 1,
            "mmmmmmmmmmmmmmmmmmmmmmmm", 1));

    drawn[i] = overlay_look (out);
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
  const OverlayDrawn drawn = overlay_draw ("count=1", "size=0.5", 1, "cat", 1);

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
        overlay_harness ("video/x-raw,format=GRAY8,width=320,height=32,"
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
    out = overlay_pass (h, in);
    rectangle_of (out, NULL, NULL, &width[i], NULL);
    plugin_test_teardown (h);
  }
  g_assert_cmpuint (width[1], ==, width[0]);
}

static void
test_no_memory (void)
{
  GstHarness *h = overlay_harness (RGB, NULL, NULL, TRUE);
  GstBuffer *in = overlay_frame (WIDTH * HEIGHT * 3, 3, "cat", 1);
  g_autoptr (GstBuffer) out = NULL;
  g_autoptr (GstBuffer) again = NULL;

  count_from_here (0);
  out = overlay_pass (h, in);
  count_to_here ();
  g_assert_null (gst_buffer_get_video_overlay_composition_meta (out));
  g_assert_cmpuint (overlay_look (out).changed, ==, 0);
  again = overlay_pass (h, overlay_frame (WIDTH * HEIGHT * 3, 3, "cat", 1));
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
    ret = gst_harness_push (h, overlay_frame (WIDTH * HEIGHT * 3, 1, "cat", 1));
    if (i < 2) {
      g_autoptr (GstBuffer) out = gst_harness_pull (h);

      g_assert_cmpint (ret, ==, GST_FLOW_OK);
      gst_video_overlay_composition_unref (composition (out));
      g_assert_cmpuint (overlay_look (out).changed, ==, 0);
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
    g_assert_cmpint (gst_harness_push (h, overlay_frame (WIDTH * HEIGHT * 3, 1,
                "cat", 1)), ==, GST_FLOW_NOT_NEGOTIATED);
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

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudloverlay, NULL);
#define ADD(name, func) g_test_add_func ("/overlay/" name, func)
  ADD ("bar-leaves-room-for-the-text", test_bar_leaves_room);
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
  return plugin_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The plugin as it is installed, with the real library below it. The network says the mean of red, green and blue, so
 * that every answer is known.
 */
#include "plugin-test.h"
#include "plugin/gstgpudlmeta.h"

#include <math.h>
#include <string.h>

/* videoconvert's luma and chroma are up to 1.1 steps too low (it truncates, and
 * its coefficients have 8 bits); for blue, the worst, that makes
 * 1.1 * (1.164 + 2.018) of 255 */
#define TOLERANCE 3.5

static const gchar *model_path;

static const gchar *const backends[] = {
  "ref",
#if HAVE_CPU
  "cpu",
#endif
};

static GstGpudlClassification *
read_meta (GstBuffer * buffer)
{
  GstGpudlClassification *c = gst_gpudl_meta_read (buffer, 0);

  g_assert_nonnull (c);
  g_assert_cmpuint (c->n_classes, ==, 3);
  return c;
}

static gfloat
confidence_of (const GstGpudlClassification * c, guint id)
{
  for (guint i = 0; i < c->n_classes; i++) {
    if (c->classes[i].id == id)
      return c->classes[i].confidence;
  }
  g_assert_not_reached ();
}

/* What a pipeline of one frame ends with. */
static GstSample *
run (const gchar * format, ...)
{
  g_autofree gchar *line = NULL;
  g_autoptr (GstElement) pipeline = NULL;
  g_autoptr (GstElement) sink = NULL;
  g_autoptr (GError) error = NULL;
  GstSample *sample = NULL;
  va_list args;

  va_start (args, format);
  line = g_strdup_vprintf (format, args);
  va_end (args);
  pipeline = gst_parse_launch (line, &error);
  g_assert_no_error (error);
  gst_element_set_state (pipeline, GST_STATE_PAUSED);
  g_assert_cmpint (gst_element_get_state (pipeline, NULL, NULL,
          10 * GST_SECOND), ==, GST_STATE_CHANGE_SUCCESS);
  sink = gst_bin_get_by_name (GST_BIN (pipeline), "sink");
  g_object_get (sink, "last-sample", &sample, NULL);
  g_assert_nonnull (sample);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  return sample;
}

/* One colour in every format: GStreamer draws it, the network sees it. No
 * padding at this width: memcheck can't know that uninitialised bytes in it are
 * multiplied by 0; test_padding() shows that they do not count. */
static void
test_colours (gconstpointer backend)
{
  static const gchar *const formats[] = { "NV12", "NV21", "I420", "YV12",
    "Y42B", "Y444", "YUY2", "UYVY", "RGB", "BGR", "RGBA", "BGRA", "ARGB",
    "ABGR", "RGBx", "BGRx", "xRGB", "xBGR", "RGBP", "BGRP", "GBR", "GRAY8",
    "P010_10LE", "I420_10LE"
  };
  static const guint32 colours[] = { 0xe01020, 0x30c060, 0x2040f0, 0x808080 };

  for (guint i = 0; i < G_N_ELEMENTS (formats) * G_N_ELEMENTS (colours); i++) {
    const gchar *format = formats[i / G_N_ELEMENTS (colours)];
    const guint32 colour = colours[i % G_N_ELEMENTS (colours)];
    g_autoptr (GstSample) sample =
        run ("videotestsrc num-buffers=1 pattern=solid-color "
        "foreground-color=%u ! video/x-raw,format=RGB,width=36,height=17 ! "
        "videoconvert ! video/x-raw,format=%s ! gpudlinfer model=%s backend=%s activation=none ! fakesink name=sink",
        0xff000000u | colour, format, model_path, (const gchar *) backend);
    g_autoptr (GstGpudlClassification) c =
        read_meta (gst_sample_get_buffer (sample));

    for (guint id = 0; id < 3; id++) {
      gdouble expected = (colour >> (16 - 8 * id)) & 0xff;

      if (strcmp (format, "GRAY8") == 0)
        expected = 0.299 * (colour >> 16) + 0.587 * (colour >> 8 & 0xff) +
            0.114 * (colour & 0xff);
      g_assert_cmpfloat_with_epsilon (confidence_of (c, id) * 255, expected,
          TOLERANCE);
    }
    g_assert_cmpfloat (c->classes[0].confidence, >=, c->classes[1].confidence);
    g_assert_cmpfloat (c->classes[1].confidence, >=, c->classes[2].confidence);
  }
}

static void
test_labels_and_softmax (gconstpointer backend)
{
  g_autoptr (GstSample) sample =
      run ("videotestsrc num-buffers=1 pattern=green ! "
      "video/x-raw,format=RGB,width=16,height=16 ! gpudlinfer model=%s "
      "backend=%s ! fakesink name=sink", model_path, (const gchar *) backend);
  g_autoptr (GstGpudlClassification) c =
      read_meta (gst_sample_get_buffer (sample));
  const gdouble sum = exp (1) + 2;

  g_assert_cmpstr (c->model, ==, "mean-colour");
  g_assert_cmpuint (strlen (c->model_hash), ==, 64);
  g_assert_cmpstr (c->classes[0].label, ==, "green");
  g_assert_cmpfloat_with_epsilon (c->classes[0].confidence, exp (1) / sum,
      1e-5);
  g_assert_cmpfloat_with_epsilon (c->classes[1].confidence, 1 / sum, 1e-5);
}

/* Only the red half of a frame is inside the crop. */
static void
test_crop (gconstpointer backend)
{
  g_autoptr (GstGpudlClassification) c = NULL;
  g_autoptr (GstBuffer) out = NULL;
  GstElement *element = plugin_test_element ("gpudlinfer", "activation=none",
      NULL);
  GstBuffer *in = plugin_test_frame (16 * 8 * 4, 255, 0);
  GstVideoCropMeta *crop = gst_buffer_add_video_crop_meta (in);
  GstHarness *h;

  for (guint y = 0; y < 8; y++) {
    for (guint x = 0; x < 8; x++)
      gst_buffer_fill (in, (y * 16 + x) * 4, "\xff\0\0\0", 4);
  }
  crop->width = crop->height = 8;
  g_object_set (element, "model", model_path, NULL);
  gst_util_set_object_arg (G_OBJECT (element), "backend", backend);
  h = plugin_test_harness (element,
      "video/x-raw,format=RGBA,width=16,height=8,framerate=1/1");
  g_assert_cmpint (gst_harness_push (h, in), ==, GST_FLOW_OK);
  out = gst_harness_pull (h);
  c = read_meta (out);
  g_assert_cmpfloat_with_epsilon (confidence_of (c, 0), 1, 1e-5);
  g_assert_cmpfloat_with_epsilon (confidence_of (c, 1), 0, 1e-5);
  g_assert_cmpfloat (c->region[2], ==, 0.5);
  plugin_test_teardown (h);
}

/* A frame whose samples are made of their place; all other bytes, and bits beside
 * a sample's, are pad. */
static GstBuffer *
padded_frame (const GstVideoInfo * info, guint8 pad)
{
  GstBuffer *buffer = plugin_test_frame (GST_VIDEO_INFO_SIZE (info), pad, 0);
  GstVideoFrame frame;

  g_assert_true (gst_video_frame_map (&frame, info, buffer, GST_MAP_WRITE));
  for (guint c = 0; c < GST_VIDEO_FRAME_N_COMPONENTS (&frame); c++) {
    const gint stride = GST_VIDEO_FRAME_COMP_STRIDE (&frame, c);
    const gint step = GST_VIDEO_FRAME_COMP_PSTRIDE (&frame, c);
    const guint depth = GST_VIDEO_FRAME_COMP_DEPTH (&frame, c);
    const guint shift = GST_VIDEO_FORMAT_INFO_SHIFT (info->finfo, c);

    for (gint y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT (&frame, c); y++) {
      guint8 *row = GST_VIDEO_FRAME_COMP_DATA (&frame, c);

      /* V's word is behind U's, not at byte 1 as GstVideoFormatInfo has it */
      if (GST_VIDEO_INFO_FORMAT (info) == GST_VIDEO_FORMAT_P010_10LE && c == 2)
        row = (guint8 *) GST_VIDEO_FRAME_PLANE_DATA (&frame, 1) + 2;
      for (gint x = 0; x < GST_VIDEO_FRAME_COMP_WIDTH (&frame, c); x++) {
        const guint sample = 40 + (x * 5 + y * 3 + c * 50) % 160;

        if (depth == 8)
          row[y * stride + x * step] = sample;
        else
          GST_WRITE_UINT16_LE (row + y * stride + x * step,
              ((pad << 8 | pad) & ~(0x3ffu << shift)) | sample << (shift + 2));
      }
    }
  }
  gst_video_frame_unmap (&frame);
  return buffer;
}

static void
test_padding (gconstpointer backend)
{
  static const gchar *const formats[] = { "NV12", "NV21", "I420", "YV12",
    "Y42B", "Y444", "YUY2", "UYVY", "RGB", "BGR", "RGBx", "BGRx", "xRGB",
    "xBGR", "RGBP", "BGRP", "GBR", "GRAY8", "P010_10LE", "I420_10LE"
  };

  for (guint i = 0; i < G_N_ELEMENTS (formats); i++) {
    g_autofree gchar *text =
        g_strdup_printf ("video/x-raw,format=%s,width=33,height=17,"
        "framerate=1/1", formats[i]);
    g_autoptr (GstCaps) caps = gst_caps_from_string (text);
    GstElement *element = plugin_test_element ("gpudlinfer", "activation=none",
        NULL);
    gfloat answers[2][3];
    GstVideoInfo info;
    GstHarness *h;

    g_assert_true (gst_video_info_from_caps (&info, caps));
    g_object_set (element, "model", model_path, NULL);
    gst_util_set_object_arg (G_OBJECT (element), "backend", backend);
    h = plugin_test_harness (element, text);
    for (guint pass = 0; pass < 2; pass++) {
      g_autoptr (GstGpudlClassification) c = NULL;
      g_autoptr (GstBuffer) out = NULL;

      g_assert_cmpint (gst_harness_push (h, padded_frame (&info,
                  pass ? 255 : 0)), ==, GST_FLOW_OK);
      out = gst_harness_pull (h);
      c = read_meta (out);
      for (guint id = 0; id < 3; id++)
        answers[pass][id] = confidence_of (c, id);
    }
    for (guint id = 0; id < 3; id++)
      g_assert_cmpfloat (answers[0][id], ==, answers[1][id]);
    plugin_test_teardown (h);
  }
}

/* Frames of two elements with the same model, each of its own grey. */
static void
test_frames_do_not_mix (gconstpointer backend)
{
  GstHarness *h[2];

  for (guint i = 0; i < 2; i++) {
    GstElement *element = plugin_test_element ("gpudlinfer", "activation=none",
        "async-depth=8", NULL);

    g_object_set (element, "model", model_path, NULL);
    gst_util_set_object_arg (G_OBJECT (element), "backend", backend);
    h[i] = plugin_test_harness (element,
        "video/x-raw,format=RGB,width=20,height=10,framerate=50/1");
  }
  for (guint n = 0; n < 120; n++) {
    for (guint i = 0; i < 2; i++)
      g_assert_cmpint (gst_harness_push (h[i], plugin_test_frame (20 * 10 * 3 +
                  0, i * 120 + n, n)), ==, GST_FLOW_OK);
  }
  for (guint n = 0; n < 120; n++) {
    for (guint i = 0; i < 2; i++) {
      g_autoptr (GstBuffer) out = gst_harness_pull (h[i]);
      g_autoptr (GstGpudlClassification) c = read_meta (out);

      g_assert_cmpuint (GST_BUFFER_PTS (out), ==, n * 20 * GST_MSECOND);
      g_assert_cmpfloat_with_epsilon (confidence_of (c, 1) * 255, i * 120 + n,
          0.01);
    }
  }
  plugin_test_teardown (h[0]);
  plugin_test_teardown (h[1]);
}

/* ---- errors ------------------------------------------------------------- */

static void
check_error (const gchar * path, const gchar * setting, GQuark domain,
    gint code)
{
  GstElement *element = plugin_test_element ("gpudlinfer", setting, NULL);
  GstBus *bus = gst_bus_new ();

  gst_object_ref_sink (element);
  gst_element_set_bus (element, bus);
  g_object_set (element, "model", path, NULL);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
      GST_STATE_CHANGE_FAILURE);
  plugin_test_one_error (element, domain, code);
  gst_element_set_state (element, GST_STATE_NULL);
  gst_object_unref (element);
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (bus);
}

static void
test_errors (void)
{
  g_autofree gchar *model = NULL;
  const gchar *damaged = plugin_test_file ("damaged.bin", "");
  gsize size;

  check_error (plugin_test_missing (), "backend=ref", GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_NOT_FOUND);
  check_error (plugin_test_folder (), "backend=ref", GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_OPEN_READ);
  check_error (damaged, "backend=ref", GST_STREAM_ERROR,
      GST_STREAM_ERROR_WRONG_TYPE);
  check_error (plugin_test_file ("text.bin", "no model, but a line of text\n"),
      "backend=ref", GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE);
  check_error (model_path, "precision=fp16", GST_STREAM_ERROR,
      GST_STREAM_ERROR_NOT_IMPLEMENTED);

  g_assert_true (g_file_get_contents (model_path, &model, &size, NULL));
  for (guint i = 1; i < 8; i++) {
    g_assert_true (g_file_set_contents (damaged, model, size * i / 8, NULL));
    check_error (damaged, "backend=ref", GST_STREAM_ERROR,
        GST_STREAM_ERROR_WRONG_TYPE);
  }
  model[size / 2] ^= 0x10;
  g_assert_true (g_file_set_contents (damaged, model, size, NULL));
  check_error (damaged, "backend=ref", GST_STREAM_ERROR,
      GST_STREAM_ERROR_WRONG_TYPE);
}

/* ---- the plugin --------------------------------------------------------- */

static void
test_plugin (void)
{
  g_autoptr (GstPlugin) plugin = gst_registry_find_plugin (gst_registry_get (),
      "gpudl");
  GList *features;

  g_assert_nonnull (plugin);
  g_assert_cmpstr (gst_plugin_get_license (plugin), ==, "LGPL");
  features = gst_registry_get_feature_list_by_plugin (gst_registry_get (),
      "gpudl");
  g_assert_cmpuint (g_list_length (features), ==, 2);
  gst_plugin_feature_list_free (features);
}

static void
test_overlay_pipeline (void)
{
  g_autoptr (GstSample) sample =
      run ("videotestsrc num-buffers=5 pattern=blue ! "
      "video/x-raw,format=I420,width=320,height=240 ! gpudlinfer model=%s ! "
      "gpudloverlay ! videoconvert ! video/x-raw,format=RGB ! "
      "fakesink name=sink", model_path);
  GstBuffer *buffer = gst_sample_get_buffer (sample);
  g_autoptr (GstGpudlClassification) c = read_meta (buffer);
  GstMapInfo map;

  g_assert_cmpstr (c->classes[0].label, ==, "blue");
  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READ));
  /* the panel's dark corner, and plain blue in the far one */
  g_assert_cmpint (map.data[2], <, 150);
  g_assert_cmpint (map.data[map.size - 1], >, 240);
  gst_buffer_unmap (buffer, &map);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  gst_gpudl_meta_register ();
  model_path = g_getenv ("GPUDL_TEST_MODEL");
  g_assert_nonnull (model_path);

  g_test_add_func ("/real/plugin-is-found-with-two-elements", test_plugin);
  for (guint i = 0; i < G_N_ELEMENTS (backends); i++) {
    static const struct
    {
      const gchar *name;
      GTestDataFunc func;
    } tests[] = {
      {"one-colour-in-every-format", test_colours},
      {"labels-and-softmax", test_labels_and_softmax},
      {"crop-is-what-is-seen", test_crop},
      {"bytes-between-pixels-do-not-count", test_padding},
      {"frames-of-two-elements-do-not-mix", test_frames_do_not_mix},
    };

    for (guint j = 0; j < G_N_ELEMENTS (tests); j++) {
      g_autofree gchar *path = g_strdup_printf ("/real/%s/%s", backends[i],
          tests[j].name);

      g_test_add_data_func (path, backends[i], tests[j].func);
    }
  }
  g_test_add_func ("/real/unusable-models-are-one-error-each", test_errors);
  g_test_add_func ("/real/classified-and-drawn", test_overlay_pipeline);
  return plugin_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What gpudlinfer tells the engine about a buffer's pixels, and what it leaves and adds on the buffer.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"

#include <string.h>

static const gchar *model_path;

static GstHarness *
new_harness (const gchar * caps)
{
  GstElement *element = plugin_test_element ("gpudlinfer", NULL);

  g_object_set (element, "model", model_path, NULL);
  return plugin_test_harness (element, caps);
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

/* ---- description -------------------------------------------------------- */

static const struct
{
  const gchar *name;
  GpudlPixelFormat format;
} formats[] = {
  {"NV12", GPUDL_PIXEL_NV12}, {"NV21", GPUDL_PIXEL_NV21},
  {"I420", GPUDL_PIXEL_I420}, {"YV12", GPUDL_PIXEL_YV12},
  {"Y42B", GPUDL_PIXEL_Y42B}, {"Y444", GPUDL_PIXEL_Y444},
  {"YUY2", GPUDL_PIXEL_YUY2}, {"UYVY", GPUDL_PIXEL_UYVY},
  {"RGB", GPUDL_PIXEL_RGB}, {"BGR", GPUDL_PIXEL_BGR},
  {"RGBA", GPUDL_PIXEL_RGBA}, {"BGRA", GPUDL_PIXEL_BGRA},
  {"ARGB", GPUDL_PIXEL_ARGB}, {"ABGR", GPUDL_PIXEL_ABGR},
  {"RGBx", GPUDL_PIXEL_RGBX}, {"BGRx", GPUDL_PIXEL_BGRX},
  {"xRGB", GPUDL_PIXEL_XRGB}, {"xBGR", GPUDL_PIXEL_XBGR},
  {"RGBP", GPUDL_PIXEL_RGBP}, {"BGRP", GPUDL_PIXEL_BGRP},
  {"GBR", GPUDL_PIXEL_GBR}, {"GRAY8", GPUDL_PIXEL_GRAY8},
  {"P010_10LE", GPUDL_PIXEL_P010_10LE}, {"I420_10LE", GPUDL_PIXEL_I420_10LE},
};

/* Every format, odd sizes: planes where GStreamer's own layout has them. */
static void
test_formats (void)
{
  static const gint sizes[][2] = { {1, 1}, {5, 3}, {16, 9}, {641, 1} };

  g_assert_cmpint (G_N_ELEMENTS (formats), ==, GPUDL_PIXEL_LAST);
  for (guint i = 0; i < G_N_ELEMENTS (formats) * G_N_ELEMENTS (sizes); i++) {
    const guint f = i / G_N_ELEMENTS (sizes), s = i % G_N_ELEMENTS (sizes);
    g_autofree gchar *caps =
        g_strdup_printf ("video/x-raw,format=%s,width=%d,height=%d",
        formats[f].name, sizes[s][0], sizes[s][1]);
    const GpudlFrame *frame = &fake->seen.last_frame;
    const guint8 *base;
    GstVideoInfo info;
    GstMapInfo map;
    GstBuffer *buffer;
    GstHarness *h;

    gst_video_info_set_format (&info,
        gst_video_format_from_string (formats[f].name), sizes[s][0],
        sizes[s][1]);
    plugin_fake_reset ();
    h = new_harness (caps);
    buffer = plugin_test_frame (info.size, 0, 0);
    gst_buffer_map (buffer, &map, GST_MAP_READ);
    base = map.data;
    gst_buffer_unmap (buffer, &map);
    gst_buffer_unref (pass (h, buffer));

    g_assert_cmpint (frame->format, ==, formats[f].format);
    g_assert_cmpint (frame->memory, ==, GPUDL_MEMORY_HOST);
    g_assert_cmpint (frame->width, ==, sizes[s][0]);
    g_assert_cmpint (frame->height, ==, sizes[s][1]);
    g_assert_cmpint (frame->crop_width, ==, 0);
    for (guint p = 0; p < 4; p++) {
      if (p < GST_VIDEO_INFO_N_PLANES (&info)) {
        g_assert_true (frame->planes[p] ==
            base + GST_VIDEO_INFO_PLANE_OFFSET (&info, p));
        g_assert_cmpint (frame->strides[p], ==,
            GST_VIDEO_INFO_PLANE_STRIDE (&info, p));
      } else {
        g_assert_null (frame->planes[p]);
      }
    }
    plugin_test_teardown (h);
  }
}

static void
test_colours (void)
{
  /* what caps without a chroma-site mean differs between releases of GStreamer:
   * the site counts where it is said */
  static const struct
  {
    const gchar *caps;
    GpudlMatrix matrix;
    GpudlRange range;
    GpudlChromaSite site;
    gint par_n, par_d;
  } cases[] = {
    {"format=NV12,width=8,height=8,colorimetry=bt601,chroma-site=mpeg2",
        GPUDL_MATRIX_BT601, GPUDL_RANGE_LIMITED, GPUDL_CHROMA_H_COSITED, 1, 1},
    {"format=NV12,width=8,height=8,colorimetry=bt709,chroma-site=jpeg",
        GPUDL_MATRIX_BT709, GPUDL_RANGE_LIMITED, GPUDL_CHROMA_CENTERED, 1, 1},
    {"format=NV12,width=8,height=8,colorimetry=bt2020,chroma-site=cosited",
        GPUDL_MATRIX_BT2020, GPUDL_RANGE_LIMITED, GPUDL_CHROMA_COSITED, 1, 1},
    {"format=NV12,width=8,height=8,colorimetry=smpte240m,chroma-site=v-cosited",
          GPUDL_MATRIX_SMPTE240M, GPUDL_RANGE_LIMITED, GPUDL_CHROMA_V_COSITED,
        1, 1},
    {"format=NV12,width=8,height=8,colorimetry=(string)1:4:7:1",
        GPUDL_MATRIX_BT601, GPUDL_RANGE_FULL, GPUDL_CHROMA_H_COSITED, 1, 1},
    {"format=NV12,width=8,height=8,colorimetry=(string)2:2:5:1",
        GPUDL_MATRIX_FCC, GPUDL_RANGE_LIMITED, GPUDL_CHROMA_H_COSITED, 1, 1},
    {"format=NV12,width=8,height=720,pixel-aspect-ratio=4/3",
        GPUDL_MATRIX_BT709, GPUDL_RANGE_LIMITED, GPUDL_CHROMA_H_COSITED, 4, 3},
    {"format=NV12,width=8,height=8,chroma-site=none",
        GPUDL_MATRIX_BT601, GPUDL_RANGE_LIMITED, GPUDL_CHROMA_CENTERED, 1, 1},
    {"format=NV12,width=8,height=480",
        GPUDL_MATRIX_BT601, GPUDL_RANGE_LIMITED, GPUDL_CHROMA_CENTERED, 1, 1},
    {"format=RGB,width=8,height=8",
        GPUDL_MATRIX_BT601, GPUDL_RANGE_FULL, GPUDL_CHROMA_H_COSITED, 1, 1},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *text = g_strdup_printf ("video/x-raw,%s", cases[i].caps);
    g_autoptr (GstCaps) caps = gst_caps_from_string (text);
    const GpudlFrame *frame = &fake->seen.last_frame;
    GstVideoInfo info;
    GstHarness *h;

    g_assert_true (gst_video_info_from_caps (&info, caps));
    plugin_fake_reset ();
    h = new_harness (text);
    gst_buffer_unref (pass (h, plugin_test_frame (info.size, 0, 0)));
    if (frame->format == GPUDL_PIXEL_NV12) {
      g_assert_cmpint (frame->matrix, ==, cases[i].matrix);
      if (strstr (cases[i].caps, "chroma-site") != NULL)
        g_assert_cmpint (frame->chroma_site, ==, cases[i].site);
    }
    g_assert_cmpint (frame->range, ==, cases[i].range);
    g_assert_cmpint (frame->par_n, ==, cases[i].par_n);
    g_assert_cmpint (frame->par_d, ==, cases[i].par_d);
    plugin_test_teardown (h);
  }
}

static void
test_padded_strides (void)
{
  gsize offsets[GST_VIDEO_MAX_PLANES] = { 64, 64 + 48 * 6, };
  gint strides[GST_VIDEO_MAX_PLANES] = { 48, 40, };
  const GpudlFrame *frame = &fake->seen.last_frame;
  g_autoptr (GstGpudlClassification) c = NULL;
  g_autoptr (GstBuffer) out = NULL;
  const guint8 *base;
  GstBuffer *buffer;
  GstMapInfo map;
  GstHarness *h;

  plugin_fake_reset ();
  h = new_harness ("video/x-raw,format=NV12,width=9,height=6");
  buffer = plugin_test_frame (1024, 0, 0);
  gst_buffer_memset (buffer, 64, 6, 1);
  gst_buffer_add_video_meta_full (buffer, GST_VIDEO_FRAME_FLAG_NONE,
      GST_VIDEO_FORMAT_NV12, 9, 6, 2, offsets, strides);
  gst_buffer_map (buffer, &map, GST_MAP_READ);
  base = map.data;
  gst_buffer_unmap (buffer, &map);
  out = pass (h, buffer);
  g_assert_true (frame->planes[0] == base + 64);
  g_assert_true (frame->planes[1] == base + 64 + 48 * 6);
  g_assert_cmpint (frame->strides[0], ==, 48);
  g_assert_cmpint (frame->strides[1], ==, 40);
  c = gst_gpudl_meta_read (out, 0);
  g_assert_cmpuint (c->classes[0].id, ==, 6);
  plugin_test_teardown (h);
}

static GstBuffer *
cropped (guint x, guint y, guint width, guint height)
{
  GstBuffer *buffer = plugin_test_frame (16 * 8, 0, 0);
  GstVideoCropMeta *crop = gst_buffer_add_video_crop_meta (buffer);

  crop->x = x;
  crop->y = y;
  crop->width = width;
  crop->height = height;
  return buffer;
}

static void
test_crop (void)
{
  const GpudlFrame *frame = &fake->seen.last_frame;
  g_autoptr (GstGpudlClassification) c = NULL;
  g_autoptr (GstBuffer) out = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  h = new_harness ("video/x-raw,format=GRAY8,width=16,height=8");
  out = pass (h, cropped (4, 2, 8, 4));
  g_assert_cmpint (frame->crop_x, ==, 4);
  g_assert_cmpint (frame->crop_y, ==, 2);
  g_assert_cmpint (frame->crop_width, ==, 8);
  g_assert_cmpint (frame->crop_height, ==, 4);
  c = gst_gpudl_meta_read (out, 0);
  g_assert_cmpfloat (c->region[0], ==, 0.25);
  g_assert_cmpfloat (c->region[1], ==, 0.25);
  g_assert_cmpfloat (c->region[2], ==, 0.5);
  g_assert_cmpfloat (c->region[3], ==, 0.5);

  /* what lies outside the frame does not count */
  gst_buffer_unref (pass (h, cropped (12, 4, 100, G_MAXUINT)));
  g_assert_cmpint (frame->crop_width, ==, 4);
  g_assert_cmpint (frame->crop_height, ==, 4);

  plugin_test_teardown (h);
}

typedef struct
{
  const gchar *mode, *fraction; /* properties; "auto", "0": the model's */
  const gchar *par;
  gboolean crop;                /* 8x4 at 4,2 of 16x8 */
  gdouble region[4];
} Region;

/* The network's input is 32x24. */
static void
check_region (const gchar * model, const Region * wanted)
{
  g_autofree gchar *caps =
      g_strdup_printf ("video/x-raw,format=GRAY8,width=16,height=8,"
      "pixel-aspect-ratio=%s", wanted->par);
  g_autoptr (GstGpudlClassification) c = NULL;
  g_autoptr (GstBuffer) out = NULL;
  GstHarness *h;

  g_test_message ("%s %s %s %d", wanted->mode, wanted->fraction, wanted->par,
      wanted->crop);
  plugin_fake_reset ();
  h = new_harness (NULL);
  g_object_set (h->element, "model", model, NULL);
  gst_util_set_object_arg (G_OBJECT (h->element), "resize-mode", wanted->mode);
  gst_util_set_object_arg (G_OBJECT (h->element), "crop-fraction",
      wanted->fraction);
  gst_element_set_state (h->element, GST_STATE_READY);
  gst_harness_play (h);
  gst_harness_set_src_caps_str (h, caps);
  out = pass (h, wanted->crop ? cropped (4, 2, 8, 4) :
      plugin_test_frame (16 * 8, 0, 0));
  c = gst_gpudl_meta_read (out, 0);
  g_assert_nonnull (c);
  for (guint i = 0; i < 4; i++)
    g_assert_cmpfloat_with_epsilon (c->region[i], wanted->region[i], 1e-6);
  plugin_test_teardown (h);
}

static void
test_region (void)
{
  static const Region settings[] = {
    {"stretch", "0.5", "1/1", FALSE, {0, 0, 1, 1}},
    {"letterbox", "0.5", "1/1", FALSE, {0, 0, 1, 1}},
    {"center-crop", "1", "1/1", FALSE, {1 / 6., 0, 2 / 3., 1}},
    {"center-crop", "0.5", "1/1", FALSE, {1 / 3., 0.25, 1 / 3., 0.5}},
    {"center-crop", "1", "2/1", FALSE, {1 / 3., 0, 1 / 3., 1}},
    {"center-crop", "1", "1/2", FALSE, {0, 1 / 8., 1, 3 / 4.}},
    {"center-crop", "1", "1/1", TRUE, {1 / 3., 0.25, 1 / 3., 0.5}},
    {"center-crop", "0.5", "1/1", TRUE, {5 / 12., 3 / 8., 1 / 6., 0.25}},
    {"letterbox", "0.5", "1/1", TRUE, {0.25, 0.25, 0.5, 0.5}},
    {"border", "1", "1/1", FALSE, {0, 0, 1, 1}},
    {"border", "0.5", "1/1", FALSE, {0.25, 1 / 8., 0.5, 3 / 4.}},
  };
  static const Region models[] = {
    {"auto", "0", "1/1", FALSE, {1 / 3., 0.25, 1 / 3., 0.5}},
    {"auto", "1", "1/1", FALSE, {1 / 6., 0, 2 / 3., 1}},
    {"stretch", "0", "1/1", FALSE, {0, 0, 1, 1}},
  };
  const gchar *cropping = plugin_fake_cropping_model ("crop.bin", 10, 0.5f);

  for (guint i = 0; i < G_N_ELEMENTS (settings); i++)
    check_region (model_path, &settings[i]);
  for (guint i = 0; i < G_N_ELEMENTS (models); i++)
    check_region (cropping, &models[i]);
}

/* ---- pre-processing ----------------------------------------------------- */

static void
run_with (const gchar * first, const gchar * second)
{
  GstElement *element = plugin_test_element ("gpudlinfer", first,
      first ? second : NULL, NULL);
  GstHarness *h;

  plugin_fake_reset ();
  g_object_set (element, "model", model_path, NULL);
  h = plugin_test_harness (element,
      "video/x-raw,format=GRAY8,width=4,height=4");
  gst_buffer_unref (pass (h, plugin_test_frame (16, 0, 0)));
  plugin_test_teardown (h);
}

static void
test_preproc (void)
{
  const GpudlPreproc *pp = &fake->seen.last_preproc;

  run_with (NULL, NULL);        /* the model's */
  g_assert_cmpint (pp->resize_mode, ==, GPUDL_RESIZE_STRETCH);
  g_assert_cmpint (pp->scale_method, ==, GPUDL_SCALE_BILINEAR);
  g_assert_cmpint (pp->channel_order, ==, GPUDL_CHANNELS_RGB);
  g_assert_cmpfloat (pp->crop_fraction, ==, 0.875f);
  g_assert_cmpuint (pp->pad_color, ==, 0x727272);
  g_assert_cmpfloat (pp->pixel_scale, ==, 255);
  g_assert_cmpfloat (pp->mean[1], ==, 0.2f);
  g_assert_cmpfloat (pp->std[2], ==, 3);

  run_with ("mean=<7>", "std=<4,5,6>");
  g_assert_cmpfloat (pp->mean[0], ==, 7);
  g_assert_cmpfloat (pp->mean[2], ==, 7);
  g_assert_cmpfloat (pp->std[0], ==, 4);
  g_assert_cmpfloat (pp->std[2], ==, 6);
  run_with ("pixel-scale=1", "channel-order=bgr");
  g_assert_cmpfloat (pp->pixel_scale, ==, 1);
  g_assert_cmpint (pp->channel_order, ==, GPUDL_CHANNELS_BGR);
  run_with ("pad-color=0", NULL);       /* set, though to the default */
  g_assert_cmpuint (pp->pad_color, ==, 0);
}

static void
test_preproc_in_playing (void)
{
  const GpudlPreproc *pp = &fake->seen.last_preproc;
  GstHarness *h;

  plugin_fake_reset ();
  h = new_harness ("video/x-raw,format=GRAY8,width=4,height=4");
  gst_buffer_unref (pass (h, plugin_test_frame (16, 0, 0)));
  g_assert_cmpint (pp->resize_mode, ==, GPUDL_RESIZE_STRETCH);
  gst_util_set_object_arg (G_OBJECT (h->element), "resize-mode", "letterbox");
  gst_util_set_object_arg (G_OBJECT (h->element), "pad-color", "0x102030");
  gst_util_set_object_arg (G_OBJECT (h->element), "scale-method", "area");
  gst_util_set_object_arg (G_OBJECT (h->element), "crop-fraction", "0.5");
  gst_buffer_unref (pass (h, plugin_test_frame (16, 0, 1)));
  g_assert_cmpint (pp->resize_mode, ==, GPUDL_RESIZE_LETTERBOX);
  g_assert_cmpuint (pp->pad_color, ==, 0x102030);
  g_assert_cmpint (pp->scale_method, ==, GPUDL_SCALE_AREA);
  g_assert_cmpfloat (pp->crop_fraction, ==, 0.5f);
  gst_util_set_object_arg (G_OBJECT (h->element), "resize-mode", "auto");
  gst_util_set_object_arg (G_OBJECT (h->element), "scale-method",
      "bilinear-aliased");
  gst_buffer_unref (pass (h, plugin_test_frame (16, 0, 2)));
  g_assert_cmpint (pp->resize_mode, ==, GPUDL_RESIZE_STRETCH);
  g_assert_cmpint (pp->scale_method, ==, GPUDL_SCALE_BILINEAR_ALIASED);
  plugin_test_teardown (h);
}

/* ---- the buffer --------------------------------------------------------- */

static void
test_meta_fields (void)
{
  static const struct
  {
    const gchar *name;
      GType (*type) (void);
    GType fixed;
  } fields[] = {
    {"v", NULL, G_TYPE_INT}, {"model", NULL, G_TYPE_STRING},
    {"model-hash", NULL, G_TYPE_STRING}, {"labels", gst_value_array_get_type},
    {"ids", gst_value_array_get_type},
    {"confidences", gst_value_array_get_type}, {"fresh", NULL, G_TYPE_BOOLEAN},
    {"source-pts", NULL, G_TYPE_UINT64}, {"age", NULL, G_TYPE_UINT64},
    {"region", gst_value_array_get_type},
    {"label", NULL, G_TYPE_STRING}, {"id", NULL, G_TYPE_INT},
    {"confidence", NULL, G_TYPE_DOUBLE},
  };
  gdouble confidence;
  gint id;
  g_autoptr (GstBuffer) out = NULL;
  const GstStructure *structure;
  GstCustomMeta *meta;
  GstHarness *h;

  plugin_fake_reset ();
  h = new_harness ("video/x-raw,format=GRAY8,width=4,height=4");
  out = pass (h, plugin_test_frame (16, 2, 9));
  meta = gst_buffer_get_custom_meta (out, "GpudlClassificationMeta");
  g_assert_nonnull (meta);
  structure = gst_custom_meta_get_structure (meta);
  g_assert_cmpint (gst_structure_n_fields (structure), ==,
      G_N_ELEMENTS (fields));
  for (guint i = 0; i < G_N_ELEMENTS (fields); i++) {
    const GValue *value = gst_structure_get_value (structure, fields[i].name);

    g_assert_nonnull (value);
    g_assert_true (G_VALUE_TYPE (value) == (fields[i].type ?
            fields[i].type () : fields[i].fixed));
  }
  /* the best one once more, in plain types */
  g_assert_cmpstr (gst_structure_get_string (structure, "label"), ==, "2");
  g_assert_true (gst_structure_get_int (structure, "id", &id));
  g_assert_cmpint (id, ==, 2);
  g_assert_true (gst_structure_get_double (structure, "confidence",
          &confidence));
  g_assert_cmpfloat (confidence, ==, 1);
  plugin_test_teardown (h);
}

static void
test_buffer_is_the_same (void)
{
  GstBuffer *in = plugin_test_frame (16, 2, 9);
  GstReferenceTimestampMeta *times;
  g_autoptr (GstCaps) reference = gst_caps_from_string ("timestamp/x-test");
  g_autoptr (GstBuffer) out = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  h = new_harness ("video/x-raw,format=GRAY8,width=4,height=4");
  gst_buffer_unref (pass (h, plugin_test_frame (16, 1, 8)));
  GST_BUFFER_DTS (in) = 5;
  GST_BUFFER_OFFSET (in) = 6;
  GST_BUFFER_OFFSET_END (in) = 7;
  GST_BUFFER_FLAG_SET (in, GST_BUFFER_FLAG_MARKER | GST_BUFFER_FLAG_HEADER);
  gst_buffer_add_reference_timestamp_meta (in, reference, 42, 43);
  gst_buffer_add_video_region_of_interest_meta (in, "face", 1, 1, 2, 2);

  out = pass (h, in);
  g_assert_true (out == in);    /* not even the struct is copied */
  g_assert_cmpuint (GST_BUFFER_PTS (out), ==, 9 * 20 * GST_MSECOND);
  g_assert_cmpuint (GST_BUFFER_DTS (out), ==, 5);
  g_assert_cmpuint (GST_BUFFER_OFFSET (out), ==, 6);
  g_assert_cmpuint (GST_BUFFER_OFFSET_END (out), ==, 7);
  g_assert_cmpuint (GST_BUFFER_FLAGS (out) & ~GST_BUFFER_FLAG_TAG_MEMORY, ==,
      GST_BUFFER_FLAG_MARKER | GST_BUFFER_FLAG_HEADER);
  times = gst_buffer_get_reference_timestamp_meta (out, reference);
  g_assert_nonnull (times);
  g_assert_cmpuint (times->timestamp, ==, 42);
  g_assert_cmpuint (gst_buffer_get_n_meta (out,
          GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE), ==, 1);
  plugin_test_teardown (h);
}

static void
test_discont_is_kept (void)
{
  GstHarness *h;

  plugin_fake_reset ();
  h = new_harness ("video/x-raw,format=GRAY8,width=4,height=4");
  for (guint i = 0; i < 4; i++) {
    GstBuffer *in = plugin_test_frame (16, 2, i);
    g_autoptr (GstBuffer) out = NULL;

    if (i % 2 == 0)
      GST_BUFFER_FLAG_SET (in, GST_BUFFER_FLAG_DISCONT);
    out = pass (h, in);
    g_assert_cmpint (GST_BUFFER_FLAG_IS_SET (out, GST_BUFFER_FLAG_DISCONT) != 0,
        ==, i % 2 == 0);
  }
  plugin_test_teardown (h);
}

static void
test_no_timestamps (void)
{
  g_autoptr (GstGpudlClassification) c = NULL;
  g_autoptr (GstBuffer) out = NULL;
  GstHarness *h;
  GstBuffer *in = plugin_test_frame (16, 2, 0);

  plugin_fake_reset ();
  GST_BUFFER_PTS (in) = GST_BUFFER_DURATION (in) = GST_CLOCK_TIME_NONE;
  h = new_harness ("video/x-raw,format=GRAY8,width=4,height=4");
  out = pass (h, in);
  c = gst_gpudl_meta_read (out, 0);
  g_assert_cmpuint (c->source_pts, ==, GST_CLOCK_TIME_NONE);
  g_assert_cmpuint (GST_BUFFER_PTS (out), ==, GST_CLOCK_TIME_NONE);
  plugin_test_teardown (h);
}

/* As after a tee: somebody else has the buffer too. */
static void
test_shared_buffer (void)
{
  g_autoptr (GstBuffer) in = plugin_test_frame (16, 2, 1);
  g_autoptr (GstGpudlClassification) c = NULL;
  g_autoptr (GstBuffer) out = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  h = new_harness ("video/x-raw,format=GRAY8,width=4,height=4");
  out = pass (h, gst_buffer_ref (in));
  g_assert_true (out != in);
  g_assert_null (gst_gpudl_meta_read (in, 0));
  c = gst_gpudl_meta_read (out, 0);
  g_assert_nonnull (c);
  g_assert_cmpuint (GST_BUFFER_PTS (out), ==, GST_BUFFER_PTS (in));
  /* the struct is copied, the pixels are not */
  g_assert_true (gst_buffer_peek_memory (out, 0) ==
      gst_buffer_peek_memory (in, 0));
  plugin_test_teardown (h);
}

static void
test_meta_survives_conversion (void)
{
  g_autofree gchar *line = g_strdup_printf ("videotestsrc num-buffers=1 ! "
      "video/x-raw,format=I420,width=64,height=48 ! gpudlinfer model=%s ! "
      "videoconvert ! videoscale ! video/x-raw,format=RGB,width=20,height=20 ! "
      "fakesink name=sink", model_path);
  g_autoptr (GstElement) sink = NULL;
  g_autoptr (GstSample) sample = NULL;
  g_autoptr (GstGpudlClassification) c = NULL;
  GstElement *pipeline;

  plugin_fake_reset ();
  pipeline = gst_parse_launch (line, NULL);
  g_assert_nonnull (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PAUSED);
  g_assert_cmpint (gst_element_get_state (pipeline, NULL, NULL,
          10 * GST_SECOND), ==, GST_STATE_CHANGE_SUCCESS);
  sink = gst_bin_get_by_name (GST_BIN (pipeline), "sink");
  g_object_get (sink, "last-sample", &sample, NULL);
  g_assert_nonnull (sample);
  c = gst_gpudl_meta_read (gst_sample_get_buffer (sample), 0);
  g_assert_nonnull (c);
  g_assert_cmpuint (c->n_classes, ==, 5);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
}

/* A structure of another version or with fields missing is no classification. */
static void
test_reader_refuses (void)
{
  static const gchar *const broken[] = {
    "v,v=(int)2,model=m,model-hash=h,labels=<a>,ids=<1>,confidences=<0.5>,"
        "fresh=true,source-pts=(guint64)0,age=(guint64)0,"
        "region=<0.0,0.0,1.0,1.0>",
    "v,v=(int)1,model=m,model-hash=h,labels=<a,b>,ids=<1>,confidences=<0.5>,"
        "fresh=true,source-pts=(guint64)0,age=(guint64)0,"
        "region=<0.0,0.0,1.0,1.0>",
    "v,v=(int)1,model=m,labels=<a>,ids=<1>,confidences=<0.5>,"
        "fresh=true,source-pts=(guint64)0,age=(guint64)0,"
        "region=<0.0,0.0,1.0,1.0>",
    "v,v=(int)1",
  };

  gst_gpudl_meta_register ();
  for (guint i = 0; i < G_N_ELEMENTS (broken); i++) {
    g_autoptr (GstBuffer) buffer = gst_buffer_new ();
    g_autoptr (GstStructure) fields = gst_structure_from_string (broken[i],
        NULL);
    GstCustomMeta *meta = gst_buffer_add_custom_meta (buffer,
        GST_GPUDL_CLASSIFICATION_META_NAME);
    GstStructure *structure = gst_custom_meta_get_structure (meta);

    g_assert_nonnull (fields);
    for (gint j = 0; j < gst_structure_n_fields (fields); j++) {
      const gchar *name = gst_structure_nth_field_name (fields, j);

      gst_structure_set_value (structure, name,
          gst_structure_get_value (fields, name));
    }
    g_assert_null (gst_gpudl_meta_read (buffer, 0));
    g_assert_null (gst_gpudl_meta_read (buffer, 1));
  }
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", 10, 1, FALSE);

#define ADD(name, func) g_test_add_func ("/frame/" name, func)
  ADD ("every-format-has-its-planes", test_formats);
  ADD ("colorimetry-chroma-site-and-par-come-from-caps", test_colours);
  ADD ("video-meta-strides-and-offsets-count", test_padded_strides);
  ADD ("crop-meta-is-the-region", test_crop);
  ADD ("region-is-what-the-network-sees", test_region);
  ADD ("preprocessing-is-the-models-but-for-what-is-set", test_preproc);
  ADD ("preprocessing-changes-in-playing", test_preproc_in_playing);
  ADD ("metadata-has-exactly-the-documented-fields", test_meta_fields);
  ADD ("buffer-keeps-times-flags-and-metas", test_buffer_is_the_same);
  ADD ("discont-is-kept-and-not-spread", test_discont_is_kept);
  ADD ("buffers-without-timestamps-pass", test_no_timestamps);
  ADD ("shared-buffer-is-not-touched-and-not-copied", test_shared_buffer);
  ADD ("metadata-survives-convert-and-scale", test_meta_survives_conversion);
  ADD ("reader-refuses-what-it-does-not-know", test_reader_refuses);
  return plugin_test_run ();
}

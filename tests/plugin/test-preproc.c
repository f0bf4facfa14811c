/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pre-processing against GStreamer's own videoconvert ! videoscale on smooth pictures: what a user would get who puts
 * those two in front of a network. */
#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gst/gst.h>
#include <gst/video/video.h>
#include <math.h>

#include "engine/cpu/preproc.h"

/* Of 255, for RGB and grey: videoscale rounds to bytes and takes 2 taps however much it shrinks. */
#define BOUND 3.0
/* YCbCr by way of 16 bits: videoconvert 1.22 widens neutral chroma 128 to 0x8080, not 0x8000, which adds 1.5 to red and
 * blue. */
#define BOUND_WIDE 3.5
/* YCbCr by its fast paths to 8 bits, which cut off instead of rounding: limited-range white (235) comes out as 253,
 * grey 180 as 188 instead of 191, and each chroma component takes away as much again. */
#define BOUND_FAST 7.0
/* 10 bits have no fast path and are widened right but for 0.1: what is left is videoscale's two taps, and where it goes
 * by bytes a rounding before it and one behind */
#define BOUND_TEN 2.0
#define BOUND_TEN_WIDE 1.0

typedef struct
{
  GstVideoFormat gst;
  GpudlPixelFormat format;
} FormatPair;

static const FormatPair formats[] = {
  {GST_VIDEO_FORMAT_NV12, GPUDL_PIXEL_NV12}, {GST_VIDEO_FORMAT_NV21,
      GPUDL_PIXEL_NV21},
  {GST_VIDEO_FORMAT_I420, GPUDL_PIXEL_I420}, {GST_VIDEO_FORMAT_YV12,
      GPUDL_PIXEL_YV12},
  {GST_VIDEO_FORMAT_Y42B, GPUDL_PIXEL_Y42B}, {GST_VIDEO_FORMAT_Y444,
      GPUDL_PIXEL_Y444},
  {GST_VIDEO_FORMAT_YUY2, GPUDL_PIXEL_YUY2}, {GST_VIDEO_FORMAT_UYVY,
      GPUDL_PIXEL_UYVY},
  {GST_VIDEO_FORMAT_RGB, GPUDL_PIXEL_RGB}, {GST_VIDEO_FORMAT_BGR,
      GPUDL_PIXEL_BGR},
  {GST_VIDEO_FORMAT_RGBA, GPUDL_PIXEL_RGBA}, {GST_VIDEO_FORMAT_BGRA,
      GPUDL_PIXEL_BGRA},
  {GST_VIDEO_FORMAT_ARGB, GPUDL_PIXEL_ARGB}, {GST_VIDEO_FORMAT_ABGR,
      GPUDL_PIXEL_ABGR},
  {GST_VIDEO_FORMAT_RGBx, GPUDL_PIXEL_RGBX}, {GST_VIDEO_FORMAT_BGRx,
      GPUDL_PIXEL_BGRX},
  {GST_VIDEO_FORMAT_xRGB, GPUDL_PIXEL_XRGB}, {GST_VIDEO_FORMAT_xBGR,
      GPUDL_PIXEL_XBGR},
  {GST_VIDEO_FORMAT_RGBP, GPUDL_PIXEL_RGBP}, {GST_VIDEO_FORMAT_BGRP,
      GPUDL_PIXEL_BGRP},
  {GST_VIDEO_FORMAT_GBR, GPUDL_PIXEL_GBR}, {GST_VIDEO_FORMAT_GRAY8,
      GPUDL_PIXEL_GRAY8},
  {GST_VIDEO_FORMAT_P010_10LE, GPUDL_PIXEL_P010_10LE},
  {GST_VIDEO_FORMAT_I420_10LE, GPUDL_PIXEL_I420_10LE},
};

static const struct
{
  GstVideoColorMatrix gst;
  GpudlMatrix matrix;
} matrices[] = {
  {GST_VIDEO_COLOR_MATRIX_BT601, GPUDL_MATRIX_BT601},
  {GST_VIDEO_COLOR_MATRIX_BT709, GPUDL_MATRIX_BT709},
  {GST_VIDEO_COLOR_MATRIX_BT2020, GPUDL_MATRIX_BT2020},
  {GST_VIDEO_COLOR_MATRIX_FCC, GPUDL_MATRIX_FCC},
  {GST_VIDEO_COLOR_MATRIX_SMPTE240M, GPUDL_MATRIX_SMPTE240M},
};

/* Each component a slow wave of its own; chroma close enough to grey that no colour is out of range. */
static void
fill_smooth (GstVideoFrame * frame)
{
  gboolean yuv = GST_VIDEO_INFO_IS_YUV (&frame->info);

  for (guint c = 0; c < MIN (GST_VIDEO_FRAME_N_COMPONENTS (frame), 3); c++) {
    int width = GST_VIDEO_FRAME_COMP_WIDTH (frame, c), height =
        GST_VIDEO_FRAME_COMP_HEIGHT (frame, c);
    double middle = yuv && c > 0 ? 128 : 125, swing = yuv && c > 0 ? 12 : 50;
    guint depth = GST_VIDEO_FRAME_COMP_DEPTH (frame, c), shift =
        GST_VIDEO_FORMAT_INFO_SHIFT (frame->info.finfo, c);

    for (int y = 0; y < height; y++) {
      guint8 *row = (guint8 *) GST_VIDEO_FRAME_COMP_DATA (frame,
          c) + y * GST_VIDEO_FRAME_COMP_STRIDE (frame, c);

      /* V's word is behind U's, not at byte 1 as GstVideoFormatInfo has it */
      if (GST_VIDEO_FRAME_FORMAT (frame) == GST_VIDEO_FORMAT_P010_10LE
          && c == 2)
        row = (guint8 *) GST_VIDEO_FRAME_PLANE_DATA (frame, 1) + 2 +
            y * GST_VIDEO_FRAME_PLANE_STRIDE (frame, 1);
      for (int x = 0; x < width; x++) {
        guint8 *at = row + x * GST_VIDEO_FRAME_COMP_PSTRIDE (frame, c);
        double sample = middle + swing * sin (2.5 * x / width +
            c) * cos (2.0 * y / height + 0.5 * c);

        if (depth == 8)
          *at = (guint8) lround (sample);
        else
          GST_WRITE_UINT16_LE (at,
              (guint16) (lround (sample * (1 << (depth - 8))) << shift));
      }
    }
  }
}

/* The picture through videoconvert ! videoscale at out_width x out_height: as RGB, or as ARGB64, for which videoconvert
 * leaves its fast paths. */
static GstSample *
convert (GstBuffer * buffer, GstCaps * caps, gboolean exact, int out_width,
    int out_height)
{
  g_autofree gchar *launch =
      g_strdup_printf ("appsrc name=in format=time ! videoconvert ! %s"
      "videoscale add-borders=false ! video/x-raw,format=%s,width=%d,height=%d,pixel-aspect-ratio=1/1 ! "
      "appsink name=out sync=false",
      exact ? "video/x-raw,format=ARGB64 ! " : "", exact ? "ARGB64" : "RGB",
      out_width,
      out_height);
  g_autoptr (GError) error = NULL;
  g_autoptr (GstElement) pipeline = gst_parse_launch (launch, &error);
  g_autoptr (GstElement) src = NULL, sink = NULL;
  GstSample *sample;

  g_assert_no_error (error);
  src = gst_bin_get_by_name (GST_BIN (pipeline), "in");
  sink = gst_bin_get_by_name (GST_BIN (pipeline), "out");
  gst_app_src_set_caps (GST_APP_SRC (src), caps);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  gst_app_src_push_buffer (GST_APP_SRC (src), gst_buffer_ref (buffer));
  gst_app_src_end_of_stream (GST_APP_SRC (src));
  sample = gst_app_sink_try_pull_sample (GST_APP_SINK (sink), 10 * GST_SECOND);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  return sample;
}

/* R, G or B of a pixel in units of 255 */
static double
pixel (const GstVideoFrame * frame, int c, int x, int y)
{
  const guint8 *row = (const guint8 *) GST_VIDEO_FRAME_PLANE_DATA (frame, 0) +
      y * GST_VIDEO_FRAME_PLANE_STRIDE (frame, 0);

  if (GST_VIDEO_FRAME_FORMAT (frame) == GST_VIDEO_FORMAT_ARGB64)
    return ((const guint16 *) row)[4 * x + 1 + c] / 257.0;
  return row[3 * x + c];
}

static double
worst_difference (GstSample * sample, const float *ours)
{
  GstVideoInfo info;
  GstVideoFrame frame;
  double worst = 0;

  g_assert_true (gst_video_info_from_caps (&info,
          gst_sample_get_caps (sample)));
  g_assert_true (gst_video_frame_map (&frame, &info,
          gst_sample_get_buffer (sample), GST_MAP_READ));
  for (int c = 0; c < 3; c++)
    for (int y = 0; y < info.height; y++)
      for (int x = 0; x < info.width; x++)
        worst =
            MAX (worst, fabs (pixel (&frame, c, x,
                    y) - ours[((gsize) c * info.height + y) * info.width + x]));
  gst_video_frame_unmap (&frame);
  return worst;
}

static void
compare (CpuPreproc * preproc, const FormatPair * pair, guint matrix,
    gboolean full, int width, int height, int out_width, int out_height)
{
  const GpudlPreproc pp = {
    sizeof (pp), out_width, out_height, 3, GPUDL_CHANNELS_RGB,
    GPUDL_RESIZE_STRETCH,
    GPUDL_SCALE_BILINEAR, 1, 0, 1, {0}, {1, 1, 1}
  };
  g_autofree float *ours = g_new (float, (gsize) 3 * out_width * out_height);
  g_autoptr (GstBuffer) buffer = NULL;
  g_autoptr (GstCaps) caps = NULL;
  GpudlFrame frame = {.format = pair->format,.width = width,.height = height };
  GstVideoFrame mapped;
  GstVideoInfo info;

  gst_video_info_set_format (&info, pair->gst, width, height);
  if (GST_VIDEO_INFO_IS_YUV (&info)) {
    info.colorimetry.matrix = matrices[matrix].gst;
    info.colorimetry.range =
        full ? GST_VIDEO_COLOR_RANGE_0_255 : GST_VIDEO_COLOR_RANGE_16_235;
  }
  info.chroma_site = GST_VIDEO_CHROMA_SITE_H_COSITED;
  caps = gst_video_info_to_caps (&info);
  buffer = gst_buffer_new_allocate (NULL, info.size, NULL);
  /* what pads the rows counts for nobody, but memcheck sees it being read */
  gst_buffer_memset (buffer, 0, 0, info.size);
  g_assert_true (gst_video_frame_map (&mapped, &info, buffer,
          GST_MAP_READWRITE));
  fill_smooth (&mapped);
  frame.matrix = matrices[matrix].matrix;
  frame.chroma_site = GPUDL_CHROMA_H_COSITED;
  frame.range =
      info.colorimetry.range ==
      GST_VIDEO_COLOR_RANGE_16_235 ? GPUDL_RANGE_LIMITED : GPUDL_RANGE_FULL;
  for (guint p = 0; p < GST_VIDEO_FRAME_N_PLANES (&mapped); p++) {
    frame.planes[p] = GST_VIDEO_FRAME_PLANE_DATA (&mapped, p);
    frame.strides[p] = GST_VIDEO_FRAME_PLANE_STRIDE (&mapped, p);
  }
  g_assert_cmpstr (cpu_preproc_run (preproc, &frame, &pp, CPU_PREPROC_PLANAR,
          ours), ==, NULL);
  gst_video_frame_unmap (&mapped);
  for (int exact = 0; exact < 2; exact++) {
    g_autoptr (GstSample) sample =
        convert (buffer, caps, exact, out_width, out_height);
    double worst, bound = BOUND;

    if (GST_VIDEO_INFO_COMP_DEPTH (&info, 0) > 8)
      bound = exact ? BOUND_TEN_WIDE : BOUND_TEN;
    else if (GST_VIDEO_INFO_IS_YUV (&info))
      bound = exact ? BOUND_WIDE : BOUND_FAST;
    g_assert_nonnull (sample);
    worst = worst_difference (sample, ours);
    if (!(worst <= bound)) {
      g_test_message ("%s %dx%d to %dx%d, matrix %u, %s range, %s: %.2f of 255",
          gst_video_format_to_string (pair->gst), width, height, out_width,
          out_height, matrix, full ? "full" : "limited",
          exact ? "16 bits" : "as it goes", worst);
      g_test_fail ();
    }
  }
}

static void
test_formats (void)
{
  CpuPreproc *preproc = cpu_preproc_new (cpu_preproc_best ());

  for (guint i = 0; i < G_N_ELEMENTS (formats); i++) {
    compare (preproc, &formats[i], 0, FALSE, 320, 240, 96, 80);
    compare (preproc, &formats[i], 1, FALSE, 161, 121, 224, 224);
  }
  cpu_preproc_free (preproc);
}

static void
test_matrices_and_ranges (void)
{
  CpuPreproc *preproc = cpu_preproc_new (cpu_preproc_best ());

  for (guint m = 0; m < G_N_ELEMENTS (matrices); m++)
    for (int full = 0; full < 2; full++) {
      compare (preproc, &formats[2], m, full, 320, 240, 100, 75);
      compare (preproc, &formats[G_N_ELEMENTS (formats) - 1], m, full, 320, 240,
          100, 75);
    }
  cpu_preproc_free (preproc);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  g_test_add_func ("/preproc/gstreamer/formats", test_formats);
  g_test_add_func ("/preproc/gstreamer/matrices-and-ranges",
      test_matrices_and_ranges);
  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlframe.h"

#include <string.h>

#include "cuda/gstgpudlcuda.h"
#include "gstgpudlallocator.h"

static const struct
{
  GstVideoFormat gst;
  GpudlPixelFormat gpudl;
} formats[] = {
  {GST_VIDEO_FORMAT_NV12, GPUDL_PIXEL_NV12},
  {GST_VIDEO_FORMAT_NV21, GPUDL_PIXEL_NV21},
  {GST_VIDEO_FORMAT_I420, GPUDL_PIXEL_I420},
  {GST_VIDEO_FORMAT_YV12, GPUDL_PIXEL_YV12},
  {GST_VIDEO_FORMAT_Y42B, GPUDL_PIXEL_Y42B},
  {GST_VIDEO_FORMAT_Y444, GPUDL_PIXEL_Y444},
  {GST_VIDEO_FORMAT_YUY2, GPUDL_PIXEL_YUY2},
  {GST_VIDEO_FORMAT_UYVY, GPUDL_PIXEL_UYVY},
  {GST_VIDEO_FORMAT_RGB, GPUDL_PIXEL_RGB},
  {GST_VIDEO_FORMAT_BGR, GPUDL_PIXEL_BGR},
  {GST_VIDEO_FORMAT_RGBA, GPUDL_PIXEL_RGBA},
  {GST_VIDEO_FORMAT_BGRA, GPUDL_PIXEL_BGRA},
  {GST_VIDEO_FORMAT_ARGB, GPUDL_PIXEL_ARGB},
  {GST_VIDEO_FORMAT_ABGR, GPUDL_PIXEL_ABGR},
  {GST_VIDEO_FORMAT_RGBx, GPUDL_PIXEL_RGBX},
  {GST_VIDEO_FORMAT_BGRx, GPUDL_PIXEL_BGRX},
  {GST_VIDEO_FORMAT_xRGB, GPUDL_PIXEL_XRGB},
  {GST_VIDEO_FORMAT_xBGR, GPUDL_PIXEL_XBGR},
  {GST_VIDEO_FORMAT_RGBP, GPUDL_PIXEL_RGBP},
  {GST_VIDEO_FORMAT_BGRP, GPUDL_PIXEL_BGRP},
  {GST_VIDEO_FORMAT_GBR, GPUDL_PIXEL_GBR},
  {GST_VIDEO_FORMAT_GRAY8, GPUDL_PIXEL_GRAY8},
};

GpudlPixelFormat
gst_gpudl_frame_format (GstVideoFormat format)
{
  for (guint i = 0; i < G_N_ELEMENTS (formats); i++) {
    if (formats[i].gst == format)
      return formats[i].gpudl;
  }
  return GPUDL_PIXEL_UNKNOWN;
}

GpudlMemoryKind
gst_gpudl_frame_memory_kind (const GstCaps * caps)
{
  const gchar *feature = gst_gpudl_cuda_get_caps_feature ();
  const GstCapsFeatures *features = gst_caps_get_features (caps, 0);

  return feature != NULL && features != NULL
      && gst_caps_features_contains (features, feature) ?
      GPUDL_MEMORY_CUDA : GPUDL_MEMORY_HOST;
}

static GpudlMatrix
frame_matrix (const GstVideoInfo * info)
{
  switch (GST_VIDEO_INFO_COLORIMETRY (info).matrix) {
    case GST_VIDEO_COLOR_MATRIX_BT601:
      return GPUDL_MATRIX_BT601;
    case GST_VIDEO_COLOR_MATRIX_BT709:
      return GPUDL_MATRIX_BT709;
    case GST_VIDEO_COLOR_MATRIX_BT2020:
      return GPUDL_MATRIX_BT2020;
    case GST_VIDEO_COLOR_MATRIX_FCC:
      return GPUDL_MATRIX_FCC;
    case GST_VIDEO_COLOR_MATRIX_SMPTE240M:
      return GPUDL_MATRIX_SMPTE240M;
    default:
      /* GstVideoInfo's own line between SD and HD where caps say nothing */
      return GST_VIDEO_INFO_HEIGHT (info) > 576 ?
          GPUDL_MATRIX_BT709 : GPUDL_MATRIX_BT601;
  }
}

static GpudlRange
frame_range (const GstVideoInfo * info)
{
  switch (GST_VIDEO_INFO_COLORIMETRY (info).range) {
    case GST_VIDEO_COLOR_RANGE_0_255:
      return GPUDL_RANGE_FULL;
    case GST_VIDEO_COLOR_RANGE_16_235:
      return GPUDL_RANGE_LIMITED;
    default:
      return GST_VIDEO_INFO_IS_RGB (info) ?
          GPUDL_RANGE_FULL : GPUDL_RANGE_LIMITED;
  }
}

static GpudlChromaSite
frame_chroma_site (const GstVideoInfo * info)
{
  const GstVideoChromaSite site = GST_VIDEO_INFO_CHROMA_SITE (info);
  GpudlChromaSite out = GPUDL_CHROMA_CENTERED;

  /* caps that say "unknown"; where they say nothing, GstVideoInfo has a value.
   * This one is H.264's and MPEG-2's default. */
  if (site == GST_VIDEO_CHROMA_SITE_UNKNOWN)
    return GPUDL_CHROMA_H_COSITED;
  if (site & GST_VIDEO_CHROMA_SITE_H_COSITED)
    out |= GPUDL_CHROMA_H_COSITED;
  if (site & GST_VIDEO_CHROMA_SITE_V_COSITED)
    out |= GPUDL_CHROMA_V_COSITED;
  return out;
}

static gboolean
frame_crop (GstGpudlFrame * frame, GstBuffer * buffer, GError ** error)
{
  const GstVideoCropMeta *crop = gst_buffer_get_video_crop_meta (buffer);
  GpudlFrame *out = &frame->frame;
  const gdouble width = out->width, height = out->height;

  frame->region[0] = frame->region[1] = 0;
  frame->region[2] = frame->region[3] = 1;
  if (crop == NULL)
    return TRUE;

  if (crop->x >= (guint) out->width || crop->y >= (guint) out->height
      || crop->width == 0 || crop->height == 0) {
    g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
        "buffer's crop rectangle %ux%u at %u,%u has no pixel of its %dx%d frame",
        crop->width, crop->height, crop->x, crop->y, out->width, out->height);
    return FALSE;
  }
  out->crop_x = crop->x;
  out->crop_y = crop->y;
  out->crop_width = MIN (crop->width, (guint) out->width - crop->x);
  out->crop_height = MIN (crop->height, (guint) out->height - crop->y);
  frame->region[0] = out->crop_x / width;
  frame->region[1] = out->crop_y / height;
  frame->region[2] = out->crop_width / width;
  frame->region[3] = out->crop_height / height;
  return TRUE;
}

/* Looks at what has been mapped: planes that lie in several memories may have
 * been copied together. */
static gboolean
frame_is_pinned (GstVideoFrame * video, GpudlDevice * device)
{
  /* without a GstVideoMeta the buffer is mapped as a whole */
  const guint n_maps =
      video->meta != NULL ? GST_VIDEO_FRAME_N_PLANES (video) : 1;

  for (guint i = 0; i < n_maps; i++) {
    GstMemory *memory = video->map[i].memory;

    if (memory == NULL || !gst_is_gpudl_memory (memory)
        || gst_gpudl_memory_get_device (memory) != device)
      return FALSE;
  }
  return TRUE;
}

static gboolean
frame_map_host (GstVideoFrame * video, const GstVideoInfo * info,
    GstBuffer * buffer, GError ** error)
{
  if (!gst_video_frame_map (video, info, buffer,
          GST_MAP_READ | GST_VIDEO_FRAME_MAP_FLAG_NO_REF)) {
    g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
        "buffer of %" G_GSIZE_FORMAT " bytes can't be mapped as %s %dx%d, "
        "which has %" G_GSIZE_FORMAT " bytes", gst_buffer_get_size (buffer),
        GST_VIDEO_INFO_NAME (info), GST_VIDEO_INFO_WIDTH (info),
        GST_VIDEO_INFO_HEIGHT (info), GST_VIDEO_INFO_SIZE (info));
    return FALSE;
  }
  return TRUE;
}

gboolean
gst_gpudl_frame_map (GstGpudlFrame * frame, const GstVideoInfo * info,
    GstBuffer * buffer, GpudlMemoryKind kind, GpudlDevice * device,
    GError ** error)
{
  GstVideoFrame *video = &frame->video;
  GpudlFrame *out = &frame->frame;

  memset (out, 0, sizeof (*out));
  out->struct_size = sizeof (*out);
  out->memory = kind;
  if (kind == GPUDL_MEMORY_CUDA)
    frame->mapped = gst_gpudl_cuda_map (video, info, buffer, out, error);
  else
    frame->mapped = frame_map_host (video, info, buffer, error);
  if (!frame->mapped)
    return FALSE;
  if (kind == GPUDL_MEMORY_HOST && device != NULL
      && frame_is_pinned (video, device))
    out->memory = GPUDL_MEMORY_HOST_PINNED;

  /* format and size from the mapping: a GstVideoMeta may differ from the caps */
  out->format = gst_gpudl_frame_format (GST_VIDEO_FRAME_FORMAT (video));
  out->width = GST_VIDEO_FRAME_WIDTH (video);
  out->height = GST_VIDEO_FRAME_HEIGHT (video);
  for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES (video); i++) {
    out->planes[i] = GST_VIDEO_FRAME_PLANE_DATA (video, i);
    out->strides[i] = GST_VIDEO_FRAME_PLANE_STRIDE (video, i);
  }
  out->matrix = frame_matrix (info);
  out->range = frame_range (info);
  out->chroma_site = frame_chroma_site (info);
  out->par_n = GST_VIDEO_INFO_PAR_N (info);
  out->par_d = GST_VIDEO_INFO_PAR_D (info);

  if (!frame_crop (frame, buffer, error)) {
    gst_gpudl_frame_unmap (frame);
    return FALSE;
  }
  return TRUE;
}

void
gst_gpudl_frame_unmap (GstGpudlFrame * frame)
{
  if (!frame->mapped)
    return;
  gst_video_frame_unmap (&frame->video);
  frame->mapped = FALSE;
}

void
gst_gpudl_frame_abandon (GstGpudlFrame * frame)
{
  frame->mapped = FALSE;
}

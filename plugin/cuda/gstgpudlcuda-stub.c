/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The plugin is built without GStreamer's CUDA library.
 */
#include "gpudl-config.h"

#include "gstgpudlcuda.h"

const gchar *
gst_gpudl_cuda_get_caps_feature (void)
{
  return NULL;
}

gboolean
gst_gpudl_cuda_ensure (GstGpudlCuda * cuda, GstElement * element,
    gint device_id, void (*opening) (GstElement * element), GError ** error)
{
  return TRUE;
}

void
gst_gpudl_cuda_clear (GstGpudlCuda * cuda)
{
}

void
gst_gpudl_cuda_set_context (GstGpudlCuda * cuda, GstElement * element,
    gint device_id, GstContext * context)
{
}

gboolean
gst_gpudl_cuda_handle_query (GstGpudlCuda * cuda, GstElement * element,
    GstQuery * query)
{
  return FALSE;
}

gboolean
gst_gpudl_cuda_get_device (GstGpudlCuda * cuda, gint device_id,
    GpudlDevice ** device, GError ** error)
{
  *device = NULL;
  return TRUE;
}

gboolean
gst_gpudl_cuda_get_buffer_device (GstBuffer * buffer, gint device_id,
    GpudlDevice * in_use, GpudlDevice ** device, GError ** error)
{
  *device = NULL;
  return TRUE;
}

gboolean
gst_gpudl_cuda_map (GstVideoFrame * video, const GstVideoInfo * info,
    GstBuffer * buffer, GpudlFrame * frame, GError ** error)
{
  g_set_error_literal (error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
      "a frame in CUDA memory: this plugin is built without gstreamer-cuda-1.0; "
      "put cudadownload before the element");
  return FALSE;
}

GstBufferPool *
gst_gpudl_cuda_pool_new (GstGpudlCuda * cuda, GpudlDevice * in_use,
    GstCaps * caps, guint min, guint max)
{
  return NULL;
}

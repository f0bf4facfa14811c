/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlframe.h"

#include <string.h>

#include "cuda/gstgpudlcuda.h"
#include "gstgpudlallocator.h"
#include "video/describe.h"

GpudlMemoryKind
gst_gpudl_frame_memory_kind (const GstCaps * caps)
{
  const gchar *feature = gst_gpudl_cuda_get_caps_feature ();
  const GstCapsFeatures *features = gst_caps_get_features (caps, 0);

  return feature != NULL && features != NULL
      && gst_caps_features_contains (features, feature) ?
      GPUDL_MEMORY_CUDA : GPUDL_MEMORY_HOST;
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

gboolean
gst_gpudl_frame_map (GstGpudlFrame * frame, const GstVideoInfo * info,
    GstBuffer * buffer, GpudlMemoryKind kind, GpudlDevice * device,
    GError ** error)
{
  GstVideoFrame *video = &frame->video;
  GpudlFrame *out = &frame->frame;

  memset (out, 0, sizeof (*out));
  out->memory = kind;
  if (kind == GPUDL_MEMORY_CUDA)
    frame->mapped = gst_gpudl_cuda_map (video, info, buffer, out, error);
  else
    frame->mapped = gpudl_video_map (video, info, buffer,
        (GstMapFlags) GST_VIDEO_FRAME_MAP_FLAG_NO_REF, error);
  if (!frame->mapped)
    return FALSE;
  if (kind == GPUDL_MEMORY_HOST && device != NULL
      && frame_is_pinned (video, device))
    out->memory = GPUDL_MEMORY_HOST_PINNED;

  if (!gpudl_video_describe (video, out, error)) {
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

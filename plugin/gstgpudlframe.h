/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A GstBuffer as the engine sees it. The only file of the plugin that maps them;
 * what formats and colours mean says video/describe.h.
 */
#ifndef __GST_GPUDL_FRAME_H__
#define __GST_GPUDL_FRAME_H__

#include <gst/video/video.h>

#include "engine/gpudl.h"

G_BEGIN_DECLS

/** Longest side of a frame, pixels. */
#define GST_GPUDL_FRAME_MAX_SIDE 32768

/** One mapped buffer. */
typedef struct
{
  GstVideoFrame video;
  gboolean mapped;
  GpudlFrame frame;             /* describes the mapping; valid while mapped */
} GstGpudlFrame;

/** Where buffers with these caps lie: CUDA where they have its feature and the
 * plugin knows it, else HOST. */
GpudlMemoryKind gst_gpudl_frame_memory_kind (const GstCaps * caps);

/**
 * gst_gpudl_frame_map:
 * @frame: not mapped
 * @info: of the caps
 * @buffer: kept alive by the caller until gst_gpudl_frame_unmap(); no
 *   reference is taken, so that a buffer with one owner stays writable
 * @kind: of the caps, gst_gpudl_frame_memory_kind()
 * @device: (nullable): for HOST, one that takes frames in its own pinned memory; a buffer
 *   that lies there is described as such, another device's is any memory
 *
 * Maps for reading and describes what lies there. A GstVideoMeta's strides and
 * offsets and a GstVideoCropMeta's rectangle count. FALSE with
 * GPUDL_ERROR_FORMAT if the buffer does not hold such a frame.
 */
gboolean gst_gpudl_frame_map (GstGpudlFrame * frame, const GstVideoInfo * info,
    GstBuffer * buffer, GpudlMemoryKind kind, GpudlDevice * device,
    GError ** error);

/** Does nothing if not mapped. */
void gst_gpudl_frame_unmap (GstGpudlFrame * frame);

/** In place of unmap(), where the device may never have finished reading:
 * forgets the mapping, which stays for ever. The buffer's owner forgets it,
 * too. */
void gst_gpudl_frame_abandon (GstGpudlFrame * frame);

G_END_DECLS

#endif /* __GST_GPUDL_FRAME_H__ */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * GStreamer's video frames as the engine sees them: the one place that says what a format, a colorimetry, a chroma site
 * and a crop rectangle of GStreamer mean, so that the element and the gpudl command see the same picture.
 *
 * What caps leave unknown gets what GstVideoInfo takes where caps say nothing at all, which is also what GStreamer from
 * 1.28 on puts in place of an unknown chroma site of YCbCr:
 *   matrix        up to 576 rows BT.601, above BT.709
 *   range         YCbCr limited, RGB and grey full
 *   chroma site   up to 576 rows centred, above horizontally cosited
 */
#ifndef GPUDL_VIDEO_DESCRIBE_H
#define GPUDL_VIDEO_DESCRIBE_H

#include <gst/video/video.h>

#include "engine/gpudl.h"

G_BEGIN_DECLS

/** The formats that GpudlPixelFormat has, for caps. */
#define GPUDL_VIDEO_FORMATS                                                                                            \
    "{ NV12, NV21, I420, YV12, Y42B, Y444, YUY2, UYVY, RGB, BGR, RGBA, BGRA, ARGB, ABGR, RGBx, BGRx, xRGB, xBGR, "     \
    "RGBP, BGRP, GBR, GRAY8, P010_10LE, I420_10LE }"

/** GPUDL_PIXEL_UNKNOWN for a format that is not in the list. */
GpudlPixelFormat gpudl_video_format(GstVideoFormat format);

/** video/x-raw in system memory with this format; UNKNOWN: with any of the list. */
GstCaps *gpudl_video_caps(GpudlPixelFormat format);

/**
 * Maps a buffer in system memory for reading. info: of the caps. flags: those of GstVideoFrame beside GST_MAP_READ. The
 * caller calls gst_video_frame_unmap(). FALSE with GPUDL_ERROR_FORMAT if the buffer does not hold such a frame.
 */
gboolean gpudl_video_map(GstVideoFrame *video, const GstVideoInfo *info, GstBuffer *buffer, GstMapFlags flags,
                         GError **error);

/**
 * Fills frame with what is mapped: all but memory, cuda_stream and cuda_context, which stay. A GstVideoMeta's format,
 * size, strides and offsets and a GstVideoCropMeta's rectangle, cut to the frame, count. frame's addresses are the
 * mapping's. FALSE with GPUDL_ERROR_FORMAT if no pixel of the frame is inside the rectangle.
 */
gboolean gpudl_video_describe(const GstVideoFrame *video, GpudlFrame *frame, GError **error);

G_END_DECLS
#endif

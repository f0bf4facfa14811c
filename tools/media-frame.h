/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** A decoded sample as a frame of kernels/frame.h: the only part of media.h that knows pixel formats and colours. */
#ifndef GPUDL_TOOLS_MEDIA_FRAME_H
#define GPUDL_TOOLS_MEDIA_FRAME_H

#include <gst/gst.h>

#include "tools/media.h"

G_BEGIN_DECLS

/** Raw video in the formats that a frame can have; format other than GPUDL_PIXEL_UNKNOWN: in that one. */
GstCaps *media_frame_caps(GpudlPixelFormat format);
/** Maps the sample's buffer, which stays mapped until gpudl_media_frame_free(). pts is the buffer's, number 0. NULL: it
 * can't be read from memory. */
GpudlMediaFrame *media_frame_map(GstSample *sample);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** A decoded sample as a frame of kernels/frame.h. */
#ifndef GPUDL_TOOLS_MEDIA_FRAME_H
#define GPUDL_TOOLS_MEDIA_FRAME_H

#include <gst/gst.h>

#include "tools/media.h"

G_BEGIN_DECLS

/** Maps the sample's buffer, which stays mapped until gpudl_media_frame_free(). pts is the buffer's, number 0. Errors:
 * FORMAT, words about the frame alone. */
GpudlMediaFrame *media_frame_map(GstSample *sample, GError **error);

G_END_DECLS
#endif

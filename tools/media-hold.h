/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** A remedy for decodebin, apart from the rest of media.c. */
#ifndef GPUDL_TOOLS_MEDIA_HOLD_H
#define GPUDL_TOOLS_MEDIA_HOLD_H

#include <gst/gst.h>

G_BEGIN_DECLS

/**
 * Keeps elements that a decodebin within pipeline plugs behind its typefind from pulling data before it has exposed
 * their pads.
 *
 * decodebin starts such an element first and blocks its source pad a little later; it relies on holding up the thread
 * that pushes data. An element that pulls has a thread of its own. One whose source pad is there from the start (y4mdec
 * from GStreamer 1.28 on) can push its first frame in between: it gets "not linked", gives up, decodebin drops its
 * error, and the pipeline waits for ever.
 *
 * To be called before the pipeline leaves the state NULL. Serves its first start: one that is stopped and started again
 * is not held.
 */
void gpudl_media_hold_pullers(GstElement *pipeline);

G_END_DECLS
#endif

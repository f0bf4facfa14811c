/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** A decoder like y4mdec of GStreamer 1.28: its source pad is always there, and it pulls in a thread of its own. */
#ifndef GPUDL_TESTS_TOOLS_PULLER_H
#define GPUDL_TESTS_TOOLS_PULLER_H

#include <gst/gst.h>

G_BEGIN_DECLS

/** A file for it begins with this; every further byte is the value of one GRAY8 frame of 4 x 4. */
#define PULLER_MAGIC "gpudl-puller\n"
#define PULLER_SIDE 4
/** But this one: from there on it reads it again and again, and neither a frame nor the end comes. */
#define PULLER_HANGS 0xff

/** Registers the element and its type for this process. Whoever asks for its caps while it runs, as decodebin does
 * before it exposes the pad, waits PULLER_DELAY_US: its own thread is always the faster one. */
#define PULLER_DELAY_US 50000
void puller_register(void);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef __GST_GPUDL_MESSAGE_H__
#define __GST_GPUDL_MESSAGE_H__

#include "gstgpudlmeta.h"

G_BEGIN_DECLS

/**
 * gst_gpudl_message_new:
 * @segment: the buffer's
 *
 * The element message "gpudlinfer-result": timestamp, stream-time,
 * running-time, duration (uint64, ns), model (string), head (string, where a
 * network has several); label (string), id (int), confidence (double) of the
 * best class, absent if there is none; results, a list of structures with
 * label, id and confidence, best first.
 *
 * Returns: (transfer full): the message
 */
GstMessage *gst_gpudl_message_new (GstObject * source, GstBuffer * buffer,
    const GstSegment * segment, const GstGpudlClassification * classification);

G_END_DECLS

#endif /* __GST_GPUDL_MESSAGE_H__ */

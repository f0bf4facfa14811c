/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Which of its templates' caps gpudlinfer takes: those of memory that the
 * network's device reads. Before a network is loaded, all.
 *
 * Caps of other memory are left out of the answer to CAPS queries, so that
 * upstream chooses what can be read where it has a choice. Where it has none, a
 * message says what to do.
 */
#ifndef __GST_GPUDL_CAPS_H__
#define __GST_GPUDL_CAPS_H__

#include "gstgpudlinfer.h"

G_BEGIN_DECLS

/** The base class' transform_caps(): what passes, on either pad. */
GstCaps *gst_gpudl_caps_transform (GstBaseTransform * trans,
    GstPadDirection direction, GstCaps * caps, GstCaps * filter);

/** The base class' accept_caps(): the template's. What lies in memory that is not
 * read is refused by the event, which says why. */
gboolean gst_gpudl_caps_accept (GstBaseTransform * trans,
    GstPadDirection direction, GstCaps * caps);

/** FALSE with GPUDL_ERROR_UNSUPPORTED: frames of these caps lie in memory that
 * the network's device does not read. */
gboolean gst_gpudl_caps_check (GstGpudlInfer * self, GstCaps * caps,
    GError ** error);

/** After a CAPS query from upstream: warns once from start() to stop() if all
 * that it has to offer lies in memory that is not read. */
void gst_gpudl_caps_answered (GstGpudlInfer * self, GstQuery * query);

G_END_DECLS

#endif /* __GST_GPUDL_CAPS_H__ */

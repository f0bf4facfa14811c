/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Caps of a kind of memory, which a caps feature names.
 */
#ifndef __GST_GPUDL_FEATURE_H__
#define __GST_GPUDL_FEATURE_H__

#include <gst/gst.h>

G_BEGIN_DECLS

/** GStreamer's name for memory of CUDA, whether or not its library is there. */
#define GST_GPUDL_CUDA_FEATURE "memory:CUDAMemory"

/** The caps less those with the feature, which ANY is not. Takes caps. */
GstCaps *gst_gpudl_feature_remove (GstCaps * caps, const gchar * feature);

/** TRUE if all of the caps have the feature, and there is one. */
gboolean gst_gpudl_feature_is_all (const GstCaps * caps, const gchar * feature);

/**
 * gst_gpudl_feature_is_asked_for:
 * @query: a CAPS query that has been answered
 *
 * TRUE if whoever asked can do nothing but caps with the feature, and got no
 * caps: what has not been negotiated by then, will not be.
 */
gboolean gst_gpudl_feature_is_asked_for (GstQuery * query,
    const gchar * feature);

G_END_DECLS

#endif /* __GST_GPUDL_FEATURE_H__ */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What gpudlinfer answers to queries from both sides.
 */
#ifndef __GST_GPUDL_QUERY_H__
#define __GST_GPUDL_QUERY_H__

#include "gstgpudlinfer.h"

G_BEGIN_DECLS

/** The base class's virtual functions. */
gboolean gst_gpudl_infer_query (GstBaseTransform * trans,
    GstPadDirection direction, GstQuery * query);
gboolean gst_gpudl_infer_propose_allocation (GstBaseTransform * trans,
    GstQuery * decide_query, GstQuery * query);

G_END_DECLS

#endif /* __GST_GPUDL_QUERY_H__ */

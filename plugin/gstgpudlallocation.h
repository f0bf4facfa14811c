/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What gpudlinfer answers to upstream's ALLOCATION query.
 */
#ifndef __GST_GPUDL_ALLOCATION_H__
#define __GST_GPUDL_ALLOCATION_H__

#include <gst/gst.h>

#include "cuda/gstgpudlcuda.h"
#include "gstgpudlnet.h"

G_BEGIN_DECLS

/**
 * gst_gpudl_allocation_propose:
 * @query: as downstream has left it, answered or not
 *
 * The buffers go on downstream as they are, so its wishes hold: its pools, its
 * allocator, its parameters, and the metas it can take, none added. Only more
 * buffers are under way at once: depth more in each of its pools, or one and
 * depth if it has none. Where it leaves the memory open and the device reads
 * memory of its own, a pool with that memory is proposed, and the allocator; for
 * caps of CUDA memory, a pool of the element's context.
 *
 * FALSE: the query's caps are no video.
 */
gboolean gst_gpudl_allocation_propose (const GstGpudlNet * net,
    GstGpudlCuda * cuda, GstQuery * query);

G_END_DECLS

#endif /* __GST_GPUDL_ALLOCATION_H__ */

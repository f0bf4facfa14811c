/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlallocation.h"

#include <gst/video/video.h>

/* Adds n buffers to what each of downstream's entries asks for. TRUE if one of
 * them has a pool. */
static gboolean
raise_pools (GstQuery * query, guint n)
{
  gboolean has_pool = FALSE;

  for (guint i = 0; i < gst_query_get_n_allocation_pools (query); i++) {
    GstBufferPool *pool;
    guint size, min, max;

    gst_query_parse_nth_allocation_pool (query, i, &pool, &size, &min, &max);
    gst_query_set_nth_allocation_pool (query, i, pool, size, min + n,
        max == 0 ? 0 : max + n);
    has_pool |= pool != NULL;
    gst_clear_object (&pool);
  }
  return has_pool;
}

/* Puts our allocator where downstream names none. FALSE: it names its own. */
static gboolean
add_allocator (GstQuery * query, GstAllocator * allocator,
    GstAllocationParams * params)
{
  g_autoptr (GstAllocator) theirs = NULL;

  gst_allocation_params_init (params);
  if (gst_query_get_n_allocation_params (query) == 0) {
    gst_query_add_allocation_param (query, allocator, params);
    return TRUE;
  }
  gst_query_parse_nth_allocation_param (query, 0, &theirs, params);
  if (theirs != NULL)
    return FALSE;
  gst_query_set_nth_allocation_param (query, 0, allocator, params);
  return TRUE;
}

static GstBufferPool *
new_pool (GstAllocator * allocator, const GstAllocationParams * params,
    GstCaps * caps, guint size, guint min, guint max)
{
  g_autoptr (GstBufferPool) pool = gst_video_buffer_pool_new ();
  GstStructure *config = gst_buffer_pool_get_config (pool);

  gst_buffer_pool_config_set_params (config, caps, size, min, max);
  gst_buffer_pool_config_set_allocator (config, allocator, params);
  return gst_buffer_pool_set_config (pool, config) ?
      g_steal_pointer (&pool) : NULL;
}

gboolean
gst_gpudl_allocation_propose (const GstGpudlNet * net, GstQuery * query)
{
  const gboolean has_pool = raise_pools (query, net->depth);
  g_autoptr (GstBufferPool) pool = NULL;
  guint size, min = net->depth + 1, max = 0;
  GstAllocationParams params;
  gboolean need_pool;
  GstVideoInfo info;
  GstCaps *caps;

  gst_query_parse_allocation (query, &caps, &need_pool);
  if (caps == NULL || !gst_video_info_from_caps (&info, caps))
    return FALSE;
  if (gst_query_get_n_allocation_pools (query) == 0)
    gst_query_add_allocation_pool (query, NULL, info.size, min, max);
  if (net->allocator == NULL || has_pool
      || !add_allocator (query, net->allocator, &params) || !need_pool)
    return TRUE;

  gst_query_parse_nth_allocation_pool (query, 0, NULL, &size, &min, &max);
  size = MAX (size, info.size);
  pool = new_pool (net->allocator, &params, caps, size, min, max);
  if (pool != NULL)
    gst_query_set_nth_allocation_pool (query, 0, pool, size, min, max);
  return TRUE;
}

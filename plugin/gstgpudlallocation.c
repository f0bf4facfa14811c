/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlallocation.h"

#include "gstgpudlframe.h"

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

/* Puts a pool into the first entry, which has none; NULL: it stays so. */
static void
set_pool (GstQuery * query, GstBufferPool * pool)
{
  guint size, min, max;
  GstStructure *config;

  if (pool == NULL)
    return;
  gst_query_parse_nth_allocation_pool (query, 0, NULL, NULL, &min, &max);
  config = gst_buffer_pool_get_config (pool);
  gst_buffer_pool_config_get_params (config, NULL, &size, NULL, NULL);
  gst_structure_free (config);
  gst_query_set_nth_allocation_pool (query, 0, pool, size, min, max);
}

gboolean
gst_gpudl_allocation_propose (const GstGpudlNet * net, GstGpudlCuda * cuda,
    GstQuery * query)
{
  gboolean has_pool = raise_pools (query, net->depth), need_pool;
  g_autoptr (GstBufferPool) pool = NULL;
  GstAllocationParams params;
  guint size, min, max;
  GstVideoInfo info;
  GstCaps *caps;

  gst_query_parse_allocation (query, &caps, &need_pool);
  if (caps == NULL || !gst_video_info_from_caps (&info, caps))
    return FALSE;
  if (gst_query_get_n_allocation_pools (query) == 0)
    gst_query_add_allocation_pool (query, NULL, info.size, net->depth + 1, 0);
  if (has_pool)
    return TRUE;

  gst_query_parse_nth_allocation_pool (query, 0, NULL, &size, &min, &max);
  if (gst_gpudl_frame_memory_kind (caps) == GPUDL_MEMORY_CUDA) {
    if (need_pool)
      pool = gst_gpudl_cuda_pool_new (cuda,
          gpudl_session_get_device (net->session), caps, min, max);
  } else if (net->allocator != NULL
      && add_allocator (query, net->allocator, &params)) {
    if (need_pool)
      pool = new_pool (net->allocator, &params, caps, MAX (size, info.size),
          min, max);
  }
  set_pool (query, pool);
  return TRUE;
}

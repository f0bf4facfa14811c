/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What gpudlinfer does with GStreamer's CUDA library: contexts, and frames in
 * CUDA memory. gstgpudlcuda-stub.c stands in where the plugin is built without
 * it: no frames in CUDA memory are offered, and networks run in the context that
 * the backend opens.
 */
#ifndef __GST_GPUDL_CUDA_H__
#define __GST_GPUDL_CUDA_H__

#include <gst/video/video.h>

#include "engine/gpudl.h"

G_BEGIN_DECLS

/** An element's context; zeroed: it has none. */
typedef struct
{
  GstObject *context;           /* GstCudaContext; gstgpudlcuda.c has a lock for
                                 * it. Once there it stays until clear() */
} GstGpudlCuda;

/** The caps feature of CUDA memory; NULL: such frames are not taken. */
const gchar *gst_gpudl_cuda_get_caps_feature (void);

/**
 * gst_gpudl_cuda_ensure:
 * @device_id: < 0: the first
 * @opening: (nullable): called before a device is opened, if nobody has one,
 *   which may take half a second
 *
 * NULL to READY: finds a context with the neighbours (downstream first) and the
 * application; if nobody has one, takes the device's primary context, in which
 * networks run by default, and tells of it. Posts messages: no lock is held.
 *
 * TRUE without a context where the backend can't be used, which says why as it
 * is opened, and where GStreamer finds no driver: nobody can have frames in CUDA
 * memory then.
 * Errors: gpudl_device_acquire()'s.
 */
gboolean gst_gpudl_cuda_ensure (GstGpudlCuda * cuda, GstElement * element,
    gint device_id, void (*opening) (GstElement * element), GError ** error);

/** READY to NULL. */
void gst_gpudl_cuda_clear (GstGpudlCuda * cuda);

/** The element's set_context(): takes a context of CUDA's on this device (< 0:
 * any), if there is none yet. */
void gst_gpudl_cuda_set_context (GstGpudlCuda * cuda, GstElement * element,
    gint device_id, GstContext * context);

/** Answers a CONTEXT query for the element's context; FALSE: it is another
 * query, or there is none. */
gboolean gst_gpudl_cuda_handle_query (GstGpudlCuda * cuda, GstElement * element,
    GstQuery * query);

/**
 * gst_gpudl_cuda_get_device:
 * @device_id: < 0: any; a context on another device is as none
 * @device: (out) (transfer full) (nullable): where the element's context is;
 *   %NULL if there is none
 *
 * The device keeps the context. Errors: gpudl_device_acquire()'s.
 */
gboolean gst_gpudl_cuda_get_device (GstGpudlCuda * cuda, gint device_id,
    GpudlDevice ** device, GError ** error);

/**
 * gst_gpudl_cuda_get_buffer_device:
 * @device_id: the only device that will do, INVALID_ARGUMENT otherwise; < 0: any
 * @in_use: the device that the network is on
 * @device: (out) (transfer full) (nullable): where the context is that the
 *   buffer lies in; %NULL: that is in_use's, or the buffer is not in CUDA memory
 *
 * Frames are read in their own context alone: whether a stream of another one,
 * even on the same GPU, may wait for theirs and read them CUDA does not promise.
 */
gboolean gst_gpudl_cuda_get_buffer_device (GstBuffer * buffer,
    gint device_id, GpudlDevice * in_use, GpudlDevice ** device, GError ** error);

/**
 * gst_gpudl_cuda_map:
 * @video: (out): mapped, planes are device addresses; without a reference on
 *   the buffer
 * @frame: cuda_stream and cuda_context are set
 *
 * Nothing is waited for: cuda_stream is the one on which the frame's producer
 * completes it, NULL if it is complete. FALSE with GPUDL_ERROR_FORMAT if the
 * buffer holds no such frame, GPUDL_ERROR_UNSUPPORTED if the plugin knows no CUDA
 * memory.
 */
gboolean gst_gpudl_cuda_map (GstVideoFrame * video, const GstVideoInfo * info,
    GstBuffer * buffer, GpudlFrame * frame, GError ** error);

/** A configured pool of CUDA memory in the element's context; NULL: there is
 * none, the network is not in it, or GStreamer has none of that format. */
GstBufferPool *gst_gpudl_cuda_pool_new (GstGpudlCuda * cuda,
    GpudlDevice * in_use, GstCaps * caps, guint min, guint max);

G_END_DECLS

#endif /* __GST_GPUDL_CUDA_H__ */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * GStreamer's CUDA library, of any version: its headers, and what came with 1.24
 * for a plugin that is built against an older one and may run on a newer one.
 */
#ifndef __GST_GPUDL_CUDA_HEADERS_H__
#define __GST_GPUDL_CUDA_HEADERS_H__

#define GST_USE_UNSTABLE_API

#include <gst/cuda/gstcudautils.h>
#include <gst/cuda/gstcudaloader.h>
#include <gst/cuda/gstcudacontext.h>
#include <gst/cuda/gstcudamemory.h>
#include <gst/cuda/gstcudabufferpool.h>
#include <gst/cuda/cuda-gst.h>

/* From 1.24 on producers of CUDA memory hand buffers on before they are written,
 * and the memory says on which stream that happens. Absent, they have waited. */
#if GST_CHECK_VERSION (1, 24, 0)
#include <gst/cuda/gstcudastream.h>
#define GST_GPUDL_CUDA_HAS_STREAMS TRUE
#else
typedef struct _GstCudaStream GstCudaStream;
extern GstCudaStream *gst_cuda_memory_get_stream (GstCudaMemory * memory)
    __attribute__ ((weak));
extern CUstream gst_cuda_stream_get_handle (GstCudaStream * stream)
    __attribute__ ((weak));
#define GST_GPUDL_CUDA_HAS_STREAMS \
    (gst_cuda_memory_get_stream != NULL && gst_cuda_stream_get_handle != NULL)
#endif

#endif /* __GST_GPUDL_CUDA_HEADERS_H__ */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Frames in CUDA memory for gpudlinfer. GStreamer's CUDA library is the real one over a driver in this machine's memory
 * (tests/driver/works), which ends the process where it is misused.
 */
#ifndef __PLUGIN_CUDA_H__
#define __PLUGIN_CUDA_H__

#include <gst/check/gstharness.h>

#include "plugin/cuda/gstcudaheaders.h"
#include "plugin/gstgpudlinfer.h"
#include "tests/driver/works/fake-driver.h"

G_BEGIN_DECLS

#define PLUGIN_CUDA_FEATURE "(memory:CUDAMemory)"
#define PLUGIN_CUDA_NV12 "video/x-raw" PLUGIN_CUDA_FEATURE ",format=NV12,width=6,height=4,framerate=50/1"

/* GStreamer 1.22 has no cleanup function for its own name */
typedef GstCudaContext Context;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Context, gst_object_unref);

extern const gchar *plugin_cuda_model;
extern FakeDriver *plugin_cuda_driver;

/** Before anything else in main(). */
void plugin_cuda_init(int *argc, char ***argv);
/** Before each test: one device, and nothing has happened. */
void plugin_cuda_reset(void);
/** Nothing of GStreamer's is left on the device, and no context of ours current. */
void plugin_cuda_check_driver(void);

GstCudaContext *plugin_cuda_context_new(guint device);
/** Frame n of these caps in CUDA memory of this context; every byte is n. */
GstBuffer *plugin_cuda_frame_of(GstCudaContext *context, const gchar *caps, guint n);
/** Of PLUGIN_CUDA_NV12. */
GstBuffer *plugin_cuda_frame(GstCudaContext *context, guint n);

GstHarness *plugin_cuda_harness(const gchar *caps, const gchar *setting);
/** With plugin_cuda_check_driver(). */
void plugin_cuda_teardown(GstHarness *h);
/** The element's context, with a reference. */
GstCudaContext *plugin_cuda_context_of(GstHarness *h);
void plugin_cuda_push(GstHarness *h, GstBuffer *buffer);
/** The pool that the element proposes for these caps, and its least number of buffers. */
GstBufferPool *plugin_cuda_query_pool(GstHarness *h, const gchar *caps_text, guint *min);

G_END_DECLS
#endif

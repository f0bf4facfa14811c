/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The network of a gpudlinfer: what start() loads and stop() lets go, what
 * settings that change meanwhile make of it, and how failures are told.
 */
#ifndef __GST_GPUDL_LOAD_H__
#define __GST_GPUDL_LOAD_H__

#include "gstgpudlinfer.h"

G_BEGIN_DECLS

/** Posts error, which it takes, unless one has been posted since the element was
 * started or flushed. doing: as in gst_gpudl_element_error(). */
void gst_gpudl_infer_fail (GstGpudlInfer * self, GError * error,
    const gchar * doing);

/** NULL to READY: a CUDA context, where the backend may need one; if a device has
 * to be opened for it, the model is read meanwhile. Without one backend=cuda fails,
 * which has been told; backend=auto goes on without. */
gboolean gst_gpudl_infer_ensure_context (GstGpudlInfer * self);

/** Loads the file with the element's settings. What fails leaves things for
 * gst_gpudl_infer_unload(), which does nothing where nothing is loaded. */
gboolean gst_gpudl_infer_load (GstGpudlInfer * self, const gchar * location,
    GError ** error);
void gst_gpudl_infer_unload (GstGpudlInfer * self);

/**
 * gst_gpudl_infer_switch:
 * @device: where the network is to run from now on
 *
 * Waits for the frames under way and moves the network: sink pad's streaming
 * thread. Blocks while it is compiled, unless somebody has it there. After a
 * failure, which has been told, it is where it was. Returns: GST_FLOW_OK, ERROR,
 * or what the source pad stopped with.
 */
GstFlowReturn gst_gpudl_infer_switch (GstGpudlInfer * self,
    GpudlDevice * device);

/** Classifications of the frames before count no more for those that come: of
 * another place, stream or size. Sink pad's streaming thread, or while it is held
 * up; the FIFO is empty. */
void gst_gpudl_infer_forget (GstGpudlInfer * self);

/** Takes what the settings say now; after a failure it is as before. */
gboolean gst_gpudl_infer_apply_preproc (GstGpudlInfer * self, GError ** error);
gboolean gst_gpudl_infer_apply_labels (GstGpudlInfer * self, GError ** error);

G_END_DECLS

#endif /* __GST_GPUDL_LOAD_H__ */

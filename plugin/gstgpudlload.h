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

/** Loads the file with the element's settings. What fails leaves things for
 * gst_gpudl_infer_unload(), which does nothing where nothing is loaded. */
gboolean gst_gpudl_infer_load (GstGpudlInfer * self, const gchar * location,
    GError ** error);
void gst_gpudl_infer_unload (GstGpudlInfer * self);

/** Takes what the settings say now; after a failure it is as before. */
gboolean gst_gpudl_infer_apply_preproc (GstGpudlInfer * self, GError ** error);
gboolean gst_gpudl_infer_apply_labels (GstGpudlInfer * self, GError ** error);

G_END_DECLS

#endif /* __GST_GPUDL_LOAD_H__ */

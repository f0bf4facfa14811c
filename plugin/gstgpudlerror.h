/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The one place that says which GStreamer error a GpudlError becomes.
 */
#ifndef __GST_GPUDL_ERROR_H__
#define __GST_GPUDL_ERROR_H__

#include <gst/gst.h>

#include "engine/gpudl.h"

G_BEGIN_DECLS

/**
 * gst_gpudl_element_error:
 * @element: posts the message; its object lock must not be held
 * @error: (transfer full): any error; those of GPUDL_ERROR are mapped by the
 *   table, others are LIBRARY FAILED
 * @doing: what the element was at, for the debug text: "loading the model"
 *
 * Posts one error message.
 */
void gst_gpudl_element_error (GstElement * element, GError * error,
    const gchar * doing);

/**
 * gst_gpudl_element_warning:
 *
 * The same as a warning: the element carries on without what failed.
 */
void gst_gpudl_element_warning (GstElement * element, GError * error,
    const gchar * doing);

G_END_DECLS

#endif /* __GST_GPUDL_ERROR_H__ */

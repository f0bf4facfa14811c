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

/** Of many warnings that are alike, the first goes on and then one in a while.
 * Zeroed at first; by one thread at a time. */
typedef struct
{
  gint64 next;                  /* us; no other one before it */
  guint n;                      /* held back since the last one */
} GstGpudlLimit;

/** One more at a time now, us. How many it stands for if it goes on, itself
 * included; 0: it is held back. */
guint gst_gpudl_limit_pass (GstGpudlLimit * limit, gint64 now);

/**
 * gst_gpudl_element_frame_warning:
 * @error: (transfer full): what is wrong with a frame
 * @n: frames that this one stands for
 *
 * The frame goes on without being classified.
 */
void gst_gpudl_element_frame_warning (GstElement * element, GError * error,
    guint n);

G_END_DECLS

#endif /* __GST_GPUDL_ERROR_H__ */

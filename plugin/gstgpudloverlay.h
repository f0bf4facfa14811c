/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef __GST_GPUDL_OVERLAY_H__
#define __GST_GPUDL_OVERLAY_H__

#include <gst/gst.h>
#include <gst/video/video.h>
#include <pango/pangocairo.h>

#include "gstgpudlmeta.h"

G_BEGIN_DECLS

typedef enum
{
  GST_GPUDL_OVERLAY_TOP_LEFT,
  GST_GPUDL_OVERLAY_TOP_RIGHT,
  GST_GPUDL_OVERLAY_BOTTOM_LEFT,
  GST_GPUDL_OVERLAY_BOTTOM_RIGHT
} GstGpudlOverlayPosition;

#define GST_TYPE_GPUDL_OVERLAY_POSITION (gst_gpudl_overlay_position_get_type ())
GType gst_gpudl_overlay_position_get_type (void);

#define GST_TYPE_GPUDL_OVERLAY (gst_gpudl_overlay_get_type ())
G_DECLARE_FINAL_TYPE (GstGpudlOverlay, gst_gpudl_overlay, GST, GPUDL_OVERLAY,
    GstBin)

struct _GstGpudlOverlay
{
  GstBin parent;

  GstElement *composer;         /* base's overlaycomposition; NULL: missing */

  /* under the object lock */
  GstGpudlOverlayPosition position;
  gdouble size;
  guint count;
  gchar *model;                 /* NULL: all */

  gint memory_told;             /* atomic: one warning from PAUSED to READY of
                                 * memory that is not drawn on */

  /* the composer's streaming thread; between frames the last drawing */
  GString *key, *last_key;      /* everything the drawing depends on */
  GstVideoOverlayComposition *composition;      /* NULL: there was no memory */
  gboolean odd_ratio;           /* has been said */
  gchar *missed_model;          /* that there is none of it has been said */
  PangoContext *pango;          /* from PAUSED to READY */
};

GST_ELEMENT_REGISTER_DECLARE (gpudloverlay);

G_END_DECLS

#endif /* __GST_GPUDL_OVERLAY_H__ */

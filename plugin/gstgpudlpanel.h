/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The drawing that gpudloverlay lays over a frame: a box with a line for each
 * class, its bar, its confidence and its label, and a title where there are
 * several lists of them. Knows nothing of metadata.
 *
 * It is never larger than the frame: what would lie outside is not drawn. Sizes,
 * labels and the pixel aspect ratio come with the stream, and none of them may
 * decide how much memory is taken.
 */
#ifndef __GST_GPUDL_PANEL_H__
#define __GST_GPUDL_PANEL_H__

#include <gst/video/video.h>
#include <pango/pangocairo.h>

G_BEGIN_DECLS

/** Smallest line that can still be read, pixels. */
#define GST_GPUDL_PANEL_MIN_LINE 8

/** A pixel aspect ratio beyond this, in either direction, is a mistake: the
 * widest in use are those of anamorphic film and of interlaced fields, 2 to 4. */
#define GST_GPUDL_PANEL_MAX_RATIO 16

/** What is drawn, and what over. */
typedef struct
{
  const GstVideoInfo *info;     /* of the frame */
  gboolean right, bottom;       /* the corner */
  gint line;                    /* height of a line of text, pixels */
  gdouble narrow;               /* a square drawing's width in pixels, over its
                                 * height */
  gboolean odd_ratio;           /* beyond MAX_RATIO: taken as square pixels */
  GArray *rows;                 /* text for people, top to bottom */
} GstGpudlPanel;

/** An empty one for frames like this; size: of a line, as a part of the
 * frame's height. info is referred to. */
void gst_gpudl_panel_init (GstGpudlPanel * panel, const GstVideoInfo * info,
    gdouble size, gboolean right, gboolean bottom);
void gst_gpudl_panel_clear (GstGpudlPanel * panel);

/** Confidences between 0 and 1 are shown as percent, others as they are; the
 * bar ends at 0 and 1. The label is copied. */
void gst_gpudl_panel_add_class (GstGpudlPanel * panel, const gchar * label,
    gfloat confidence);

/** A line above the classes that follow: whose they are. The text is copied. */
void gst_gpudl_panel_add_title (GstGpudlPanel * panel, const gchar * title);

/** Writes all that the drawing depends on, as it is shown: a change of a
 * confidence below the last digit draws nothing anew. */
void gst_gpudl_panel_describe (const GstGpudlPanel * panel, GString * key);

/** pango: of the calling thread's own font map. NULL: there is no memory for
 * it. */
GstVideoOverlayComposition *gst_gpudl_panel_render (const GstGpudlPanel * panel,
    PangoContext * pango);

G_END_DECLS

#endif /* __GST_GPUDL_PANEL_H__ */

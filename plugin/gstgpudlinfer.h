/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef __GST_GPUDL_INFER_H__
#define __GST_GPUDL_INFER_H__

#include <gst/base/gstbasetransform.h>
#include <gst/video/video.h>

#include "cuda/gstgpudlcuda.h"
#include "gstgpudlerror.h"
#include "gstgpudlfifo.h"
#include "gstgpudllive.h"
#include "gstgpudlnet.h"
#include "gstgpudlpreload.h"
#include "gstgpudlresult.h"
#include "gstgpudlsettings.h"
#include "gstgpudlstats.h"

G_BEGIN_DECLS

#define GST_TYPE_GPUDL_INFER (gst_gpudl_infer_get_type ())
G_DECLARE_FINAL_TYPE (GstGpudlInfer, gst_gpudl_infer, GST, GPUDL_INFER,
    GstBaseTransform)

struct _GstGpudlInfer
{
  GstBaseTransform parent;

  /* under the object lock */
  GstGpudlSettings settings;
  gboolean started;             /* what is fixed above READY is fixed now */
  /* also changed by the sink pad's streaming thread alone, between start() and
   * stop(), while the FIFO is empty; that thread reads it without the lock */
  GstGpudlNet net;
  GstClockTime frame_duration;  /* of the caps; GST_CLOCK_TIME_NONE: unknown */

  /* between start() and stop() */
  GstGpudlSettings used;        /* the settings at the start; does not change */
  GpudlPreproc preproc;         /* what requests get; sink streaming thread */
  guint preproc_serial, labels_serial;  /* of the settings in use */
  GstGpudlResult result;

  GstGpudlCuda cuda;            /* from READY on */
  GstGpudlPreload *preload;     /* in READY, or NULL; state changes alone use it */

  /* sink pad's streaming thread */
  GstVideoInfo info;
  GpudlMemoryKind kind;         /* where the caps say that buffers lie */
  /* The device that a buffer has to be read by, with a reference; NULL: the one
   * in use will do. In its place, a test may have its own. */
    gboolean (*get_buffer_device) (GstGpudlInfer * self, GstBuffer * buffer,
      GpudlDevice ** device, GError ** error);
  gboolean interlace_told;      /* one INFO from start() to stop() */
  gboolean discont;             /* a buffer was dropped since the last one */
  gboolean may_hold;            /* frames that are not classified may have what a
                                 * frame before them has */
  GstGpudlLimit frame_warnings;

  GstPadActivateModeFunction base_sink_activate_mode, base_src_activate_mode;
  GstSegment segment;           /* of what is in the FIFO; changed when empty */
  gint memory_told;             /* atomic: one warning from start() to stop() of
                                 * memory that is not read */
  gint failed;                  /* atomic: an error message has been posted */
  gint lost;                    /* atomic: the last reference has gone in a
                                 * state above NULL */
  gpointer task_thread;         /* atomic: that in which the source pad's task
                                 * has an item in hands; NULL: in none */
  /* under the object lock, with references: the pad that may keep the task
   * waiting, and its parent, which may be lost as well while the task is in it */
  GstPad *pushing_to;
  GstObject *pushing_to_parent;
  GstGpudlFifo fifo;
  GstGpudlStats stats;
  GstGpudlLive live;
};

/** For the files that implement its virtual functions. */
const GstBaseTransformClass *gst_gpudl_infer_get_base_class (void);

GST_ELEMENT_REGISTER_DECLARE (gpudlinfer);

G_END_DECLS

#endif /* __GST_GPUDL_INFER_H__ */

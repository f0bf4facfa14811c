/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What gpudlinfer owes to a live pipeline: the latency it tells, whether it keeps
 * pace, how late frames leave. All calls are thread-safe.
 */
#ifndef __GST_GPUDL_LIVE_H__
#define __GST_GPUDL_LIVE_H__

#include <gst/gst.h>

#include "gstgpudllatency.h"
#include "gstgpudlnet.h"
#include "video/pace.h"

G_BEGIN_DECLS

typedef struct
{
  GMutex lock;                  /* nothing is called and no lock taken under it */
  GstGpudlLatency latency;
  GpudlPace pace;
  gboolean live;                /* upstream's last answer to the LATENCY query */
  gboolean playing;
  GstClockTime pipeline;        /* latency of the last LATENCY event, which sinks
                                 * wait by; GST_CLOCK_TIME_NONE: none came */

  /* The time, ns of g_get_monotonic_time() x 1000, and a finished request's times
   * by it. In their place, a test may have its own. */
    GstClockTime (*get_time) (void);
  const GpudlTiming *(*get_timing) (GpudlRequest * request);
} GstGpudlLive;

void gst_gpudl_live_init (GstGpudlLive * live);
void gst_gpudl_live_clear (GstGpudlLive * live);

/** A network has been loaded, and nothing else is known; or it is moved to another
 * device. warm_up: what the backend has measured, 0: nothing. move(): TRUE if the
 * latency has changed. */
void gst_gpudl_live_start (GstGpudlLive * live, GstClockTime warm_up);
gboolean gst_gpudl_live_move (GstGpudlLive * live, GstClockTime warm_up);

/** Frames flow and are to be on time; or not. */
void gst_gpudl_live_set_playing (GstGpudlLive * live, gboolean playing);
void gst_gpudl_live_flush (GstGpudlLive * live);

/** The element's own latency, 0: unknown. With query(), whether upstream is live,
 * as the query's answer says. */
GstClockTime gst_gpudl_live_get_latency (GstGpudlLive * live);
GstClockTime gst_gpudl_live_query (GstGpudlLive * live, gboolean is_live);
void gst_gpudl_live_set_pipeline_latency (GstGpudlLive * live,
    GstClockTime latency);

/** A frame took so long from when the session had it until it was done. TRUE: the
 * element's latency has changed. */
gboolean gst_gpudl_live_took (GstGpudlLive * live, GstClockTime took,
    GstClockTime warm_up);

/** As gpudl_pace_*(). The arrival's now is filled in; TRUE, only where upstream
 * is live and the element plays: the report is for gst_gpudl_live_say(). */
gboolean gst_gpudl_live_arrive (GstGpudlLive * live, GpudlArrival * arrival,
    GpudlPaceReport * report);
void gst_gpudl_live_admit (GstGpudlLive * live);
void gst_gpudl_live_await (GstGpudlLive * live);
void gst_gpudl_live_answer (GstGpudlLive * live);

/** Posts the warning. Sink pad's streaming thread, which may read net. */
void gst_gpudl_live_say (GstElement * element, const GstGpudlNet * net,
    const GpudlPaceReport * report);

/** By how much the element's running time is beyond what sinks wait for: the
 * frame's running time and the pipeline's latency. 0: by nothing, or nobody waits. */
GstClockTime gst_gpudl_live_get_lag (GstGpudlLive * live, GstElement * element,
    GstClockTime running_time);

G_END_DECLS

#endif /* __GST_GPUDL_LIVE_H__ */

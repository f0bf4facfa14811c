/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Counters and latencies of one element. All calls are thread-safe.
 */
#ifndef __GST_GPUDL_STATS_H__
#define __GST_GPUDL_STATS_H__

#include <gst/gst.h>

G_BEGIN_DECLS

/** Frames that the latencies are taken over. */
#define GST_GPUDL_STATS_WINDOW 256

/** The ways of a frame that are timed. */
typedef enum
{
  GST_GPUDL_TIME_QUEUE,         /* handed to the session until it runs */
  GST_GPUDL_TIME_INFER,         /* pre-processing and network */
  GST_GPUDL_TIME_TOTAL,         /* buffer received until it is ready to be pushed */
  GST_GPUDL_N_TIMES
} GstGpudlTime;

typedef struct
{
  GMutex lock;
  guint64 frames, inferences, errors, late;
  GstClockTime lag_max;
  guint n;                      /* filled entries of the window */
  guint next;
  guint64 window[GST_GPUDL_N_TIMES][GST_GPUDL_STATS_WINDOW];        /* ns */
} GstGpudlStats;

void gst_gpudl_stats_init (GstGpudlStats * stats);
void gst_gpudl_stats_clear (GstGpudlStats * stats);
void gst_gpudl_stats_reset (GstGpudlStats * stats);

/** A buffer came in; a request failed. */
void gst_gpudl_stats_frame (GstGpudlStats * stats);
void gst_gpudl_stats_error (GstGpudlStats * stats);

/** An inference was finished, which took so long, ns. */
void gst_gpudl_stats_inference (GstGpudlStats * stats,
    const guint64 times[GST_GPUDL_N_TIMES]);

/** A frame leaves so much too late; 0: in time. */
void gst_gpudl_stats_lag (GstGpudlStats * stats, GstClockTime lag);

/**
 * gst_gpudl_stats_to_structure:
 *
 * Returns: (transfer full): "gpudlinfer-stats" with frames, inferences, errors,
 * frames-late, lag-max (uint64; ns), in-flight (uint), and of the last frames
 * queue-, infer- and total-latency-avg, -min, -max, -p50, -p95 (uint64, ns).
 */
GstStructure *gst_gpudl_stats_to_structure (GstGpudlStats * stats,
    guint in_flight);

G_END_DECLS

#endif /* __GST_GPUDL_STATS_H__ */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What an element tells the LATENCY query of itself: arithmetic over the times
 * that its frames took. The caller has the clock, in ns from any origin, and the
 * lock; nothing here waits or asks for the time.
 *
 * Looked at are the frames of the last 10 s, or the newest 32 where those are
 * fewer. What is told rises to 1.25 x their 95th percentile when that passes what
 * is told, and falls to it when it has been below 0.75 of what is told for 10 s;
 * it changes at most once a second. As long as there have not been 32, it is what
 * warm-up has measured.
 *
 * The frames are kept as they are, so the percentile is exact: at 25 frames/s 250
 * of them, 4 kB. At most GST_GPUDL_LATENCY_MAX_FRAMES are, which are 10 s up to
 * 409 frames/s; above, the window is the newest so many, and one in 20 of them
 * still says as much.
 */
#ifndef __GST_GPUDL_LATENCY_H__
#define __GST_GPUDL_LATENCY_H__

#include <gst/base/gstqueuearray.h>
#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_GPUDL_LATENCY_WINDOW (10 * GST_SECOND)
#define GST_GPUDL_LATENCY_MIN_FRAMES 32
#define GST_GPUDL_LATENCY_MAX_FRAMES 4096
/** What is told has been too much for so long before it falls. */
#define GST_GPUDL_LATENCY_PATIENCE (10 * GST_SECOND)
/** Between two changes. */
#define GST_GPUDL_LATENCY_INTERVAL GST_SECOND

typedef struct
{
  GstQueueArray *window;        /* oldest first */
  GstClockTime told;
  guint n_above;                /* frames of the window that took more than told */
  guint n_low;                  /* that took less than what told falls at */
  GstClockTime changed;         /* the last time; GST_CLOCK_TIME_NONE: never */
  GstClockTime low_since;       /* GST_CLOCK_TIME_NONE: told is not too much */
} GstGpudlLatency;

void gst_gpudl_latency_init (GstGpudlLatency * latency);
void gst_gpudl_latency_clear (GstGpudlLatency * latency);

/** Forgets all frames; told is what warm-up has measured, 0: nothing. */
void gst_gpudl_latency_start (GstGpudlLatency * latency, GstClockTime warm_up);

/** Another device serves from now on: told is at least what its warm-up has
 * measured. TRUE: it has changed, whenever it did before. */
gboolean gst_gpudl_latency_move (GstGpudlLatency * latency,
    GstClockTime warm_up, GstClockTime now);

/** Time passes without frames: it is none in which told has been too much. */
void gst_gpudl_latency_interrupt (GstGpudlLatency * latency);

/** A frame took so long. now does not go back. */
void gst_gpudl_latency_add (GstGpudlLatency * latency, GstClockTime took,
    GstClockTime now);

/** After add(), where somebody waits for frames: TRUE if told has changed.
 * warm_up: what the backend has measured by now. */
gboolean gst_gpudl_latency_update (GstGpudlLatency * latency,
    GstClockTime warm_up, GstClockTime now);

G_END_DECLS

#endif /* __GST_GPUDL_LATENCY_H__ */

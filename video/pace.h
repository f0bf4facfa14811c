/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Whether what runs a network keeps pace with a live source: arithmetic over when frames arrive and are answered. The
 * caller has the clock, in ns from any origin, and the lock; nothing here waits or asks for the time.
 *
 * Frames are looked at in spells, of 1 s at least, which follow each other. A frame that finds nothing in the queue
 * begins anew. A spell is behind if
 *  - frames waited for room in the queue for a tenth of it or longer, or more frames arrived than were answered, by
 * more than run at once,
 *  - at least 3 frames are missing of those that were asked for: by the caps' frame rate, and by what lies between the
 *    frames' running times where these advance more slowly than the clock; where neither tells, frames waited for half
 *    of the spell, or arrived as above,
 *  - running time does not advance faster than the clock, by a tenth or more: then what has waited before is caught up.
 *
 * It is the network's fault if the queue's head had to be waited for during a tenth of the spell or longer. Else all
 * answers were there, and frames waited for whoever takes them: a sink that waits for its time does the same, so that
 * is behind only where frames are missing by their running times.
 *
 * After 2 s of spells that are behind this is said: shorter hiccups are not. It is said once; again only after 10 s
 * without one.
 */
#ifndef GPUDL_VIDEO_PACE_H
#define GPUDL_VIDEO_PACE_H

#include <gst/gst.h>

G_BEGIN_DECLS

/** How long a spell is at least, and where one that is not clear ends: what is long
 * past is no part of it. */
#define GPUDL_PACE_SPELL GST_SECOND
#define GPUDL_PACE_LONG_SPELL (10 * GST_SECOND)
#define GPUDL_PACE_LONG_SPELL_FRAMES 100
/** How long it is behind before it is said. */
#define GPUDL_PACE_PATIENCE (2 * GST_SECOND)
/** Frames that are missing where it is behind. */
#define GPUDL_PACE_MISSING 3
/** What is not judged, from the first frame on: pipelines start with a burst. */
#define GPUDL_PACE_SETTLING (2 * GST_SECOND)
/** After so long without being behind, it is worth saying again. */
#define GPUDL_PACE_RECOVERY (10 * GST_SECOND)

/** A frame arrives. */
typedef struct {
    GstClockTime now;
    GstClockTime running_time; /* of the frame; GST_CLOCK_TIME_NONE: unknown */
    guint before;              /* frames in the queue */
    guint depth;               /* that it holds, at least 1 */
    guint parallelism;         /* that run at once */
    gdouble rate;              /* of the caps, frames/s; 0: unknown */
} GpudlArrival;

/** What is to be said. */
typedef struct {
    gboolean downstream; /* the network is not what is slow */
    gdouble asked;       /* frames/s; 0: unknown, but more than reached */
    gdouble reached;
} GpudlPaceReport;

typedef struct {
    GstClockTime settled;      /* GST_CLOCK_TIME_NONE: no frame yet */
    GstClockTime since;        /* of the spell; GST_CLOCK_TIME_NONE: none */
    GstClockTime running_time; /* of its first frame */
    guint64 arrived, answered; /* after its first frame's arrival */
    GstClockTime blocked;      /* frames waited for room */
    GstClockTime awaited;      /* the head was waited for */
    GstClockTime awaiting;     /* it is, since then; GST_CLOCK_TIME_NONE: no */
    GstClockTime arrival;      /* the last one */
    GstClockTime behind_since; /* spells; GST_CLOCK_TIME_NONE: the last was not */
    guint64 behind_answered;   /* in them */
    gboolean said;
    GstClockTime well_since; /* while said; GST_CLOCK_TIME_NONE: not well */
} GpudlPace;

void gpudl_pace_init(GpudlPace *pace);

/** Frames begin to flow: after a pause or a flush. What has been said stays so. */
void gpudl_pace_resume(GpudlPace *pace);

/** A frame arrives; then it has been given room. now does not go back. TRUE: the
 * report is to be said. */
gboolean gpudl_pace_arrive(GpudlPace *pace, const GpudlArrival *arrival, GpudlPaceReport *report);
void gpudl_pace_admit(GpudlPace *pace, GstClockTime now);

/** The head of the queue is waited for; then it is answered. */
void gpudl_pace_await(GpudlPace *pace, GstClockTime now);
void gpudl_pace_answer(GpudlPace *pace, GstClockTime now);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlpace.h"

#include <string.h>

typedef enum
{
  VERDICT_WELL,
  VERDICT_OPEN,                 /* the spell goes on */
  VERDICT_BEHIND
} Verdict;

void
gst_gpudl_pace_init (GstGpudlPace * pace)
{
  memset (pace, 0, sizeof (*pace));
  pace->awaiting = GST_CLOCK_TIME_NONE;
  gst_gpudl_pace_resume (pace);
}

void
gst_gpudl_pace_resume (GstGpudlPace * pace)
{
  pace->settled = pace->since = pace->well_since = GST_CLOCK_TIME_NONE;
}

static void
begin_spell (GstGpudlPace * pace, const GstGpudlArrival * arrival)
{
  pace->since = arrival->now;
  pace->running_time = arrival->running_time;
  pace->arrived = pace->answered = 0;
  pace->blocked = pace->awaited = 0;
}

static gboolean
is_crowded (const GstGpudlArrival * arrival)
{
  return arrival->before > arrival->parallelism
      || arrival->before >= arrival->depth;
}

/* How far the running time of what arrives has advanced, ns; 0: unknown. */
static GstClockTime
progress (const GstGpudlPace * pace, const GstGpudlArrival * arrival)
{
  if (pace->running_time == GST_CLOCK_TIME_NONE
      || arrival->running_time == GST_CLOCK_TIME_NONE
      || arrival->running_time <= pace->running_time)
    return 0;
  return arrival->running_time - pace->running_time;
}

/* How long somebody has waited for the network, until now. */
static GstClockTime
awaited (const GstGpudlPace * pace, GstClockTime now)
{
  GstClockTime from;

  if (pace->awaiting == GST_CLOCK_TIME_NONE)
    return pace->awaited;
  /* two threads have asked for the time: it may be before */
  from = MAX (pace->awaiting, pace->since);
  return pace->awaited + (now > from ? now - from : 0);
}

/* The report says in which way it is behind. */
static Verdict
judge (const GstGpudlPace * pace, const GstGpudlArrival * arrival,
    GstGpudlPaceReport * report)
{
  const GstClockTime elapsed = arrival->now - pace->since;
  const GstClockTime advance = progress (pace, arrival);
  const gdouble seconds = (gdouble) elapsed / GST_SECOND;
  const gdouble missing = GST_GPUDL_PACE_MISSING / seconds;     /* frames/s */
  const gboolean grows = pace->arrived > pace->answered +
      MIN (arrival->parallelism, arrival->depth);
  gboolean drifts = FALSE;

  if (10 * advance >= 11 * elapsed || (10 * pace->blocked < elapsed && !grows))
    return VERDICT_WELL;
  report->downstream = 10 * awaited (pace, arrival->now) < elapsed;
  report->reached = pace->answered / seconds;
  report->asked = arrival->rate;
  if (advance > 0 && advance < elapsed) {
    const gdouble stamped = (gdouble) pace->arrived * GST_SECOND / advance;

    drifts = stamped - report->reached >= missing;
    report->asked = MAX (report->asked, stamped);
  }
  if (report->downstream)
    return drifts ? VERDICT_BEHIND : VERDICT_OPEN;
  if (report->asked > 0)
    return report->asked - report->reached >= missing ?
        VERDICT_BEHIND : VERDICT_OPEN;
  return grows || 2 * pace->blocked >= elapsed ? VERDICT_BEHIND : VERDICT_OPEN;
}

/* TRUE: this is the first time. */
static gboolean
note (GstGpudlPace * pace, Verdict verdict, GstClockTime now)
{
  if (verdict == VERDICT_BEHIND) {
    const gboolean said = pace->said;

    pace->well_since = GST_CLOCK_TIME_NONE;
    pace->said = TRUE;
    return !said;
  }
  if (pace->well_since == GST_CLOCK_TIME_NONE)
    pace->well_since = now;
  if (now - pace->well_since >= GST_GPUDL_PACE_RECOVERY)
    pace->said = FALSE;
  return FALSE;
}

gboolean
gst_gpudl_pace_arrive (GstGpudlPace * pace, const GstGpudlArrival * arrival,
    GstGpudlPaceReport * report)
{
  Verdict verdict = VERDICT_WELL;

  pace->arrival = arrival->now;
  if (pace->settled == GST_CLOCK_TIME_NONE)
    pace->settled = arrival->now + GST_GPUDL_PACE_SETTLING;
  if (arrival->now < pace->settled)
    return FALSE;
  if (arrival->before == 0)
    pace->since = GST_CLOCK_TIME_NONE;
  if (pace->since != GST_CLOCK_TIME_NONE) {
    const GstClockTime elapsed = arrival->now - pace->since;

    pace->arrived++;
    if (elapsed < GST_GPUDL_PACE_SPELL)
      return FALSE;
    verdict = judge (pace, arrival, report);
    if (verdict == VERDICT_OPEN && (elapsed < GST_GPUDL_PACE_LONG_SPELL
            || pace->arrived < GST_GPUDL_PACE_LONG_SPELL_FRAMES))
      return FALSE;
    pace->since = GST_CLOCK_TIME_NONE;
  }
  if (is_crowded (arrival))
    begin_spell (pace, arrival);
  return note (pace, verdict, arrival->now);
}

void
gst_gpudl_pace_admit (GstGpudlPace * pace, GstClockTime now)
{
  if (pace->since != GST_CLOCK_TIME_NONE)
    pace->blocked += now - MAX (pace->arrival, pace->since);
}

void
gst_gpudl_pace_await (GstGpudlPace * pace, GstClockTime now)
{
  pace->awaiting = now;
}

void
gst_gpudl_pace_answer (GstGpudlPace * pace, GstClockTime now)
{
  if (pace->since != GST_CLOCK_TIME_NONE) {
    pace->answered++;
    pace->awaited = awaited (pace, now);
  }
  pace->awaiting = GST_CLOCK_TIME_NONE;
}

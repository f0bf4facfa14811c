/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "video/pace.h"

#include <string.h>

typedef enum {
    VERDICT_WELL,
    VERDICT_OPEN, /* the spell goes on */
    VERDICT_BEHIND
} Verdict;

void gpudl_pace_init(GpudlPace *pace)
{
    memset(pace, 0, sizeof(*pace));
    pace->awaiting = GST_CLOCK_TIME_NONE;
    gpudl_pace_resume(pace);
}

void gpudl_pace_resume(GpudlPace *pace)
{
    pace->settled = pace->since = GST_CLOCK_TIME_NONE;
    pace->behind_since = pace->well_since = GST_CLOCK_TIME_NONE;
}

static void begin_spell(GpudlPace *pace, const GpudlArrival *arrival)
{
    pace->since = arrival->now;
    pace->running_time = arrival->running_time;
    pace->arrived = pace->answered = 0;
    pace->blocked = pace->awaited = 0;
}

/* How far the running time of what arrives has advanced, ns; 0: unknown. */
static GstClockTime progress(const GpudlPace *pace, const GpudlArrival *arrival)
{
    if (pace->running_time == GST_CLOCK_TIME_NONE || arrival->running_time == GST_CLOCK_TIME_NONE ||
        arrival->running_time <= pace->running_time)
        return 0;
    return arrival->running_time - pace->running_time;
}

/* How long somebody has waited for the network, until now. */
static GstClockTime awaited(const GpudlPace *pace, GstClockTime now)
{
    GstClockTime from;

    if (pace->awaiting == GST_CLOCK_TIME_NONE)
        return pace->awaited;
    /* two threads have asked for the time: it may be before */
    from = MAX(pace->awaiting, pace->since);
    return pace->awaited + (now > from ? now - from : 0);
}

/* The report says in which way it is behind. */
static Verdict judge(const GpudlPace *pace, const GpudlArrival *arrival, GpudlPaceReport *report)
{
    const GstClockTime elapsed = arrival->now - pace->since;
    const GstClockTime advance = progress(pace, arrival);
    const gdouble seconds = (gdouble)elapsed / GST_SECOND;
    const gdouble missing = GPUDL_PACE_MISSING / seconds; /* frames/s */
    const gboolean grows = pace->arrived > pace->answered + MIN(arrival->parallelism, arrival->depth);
    gboolean drifts = FALSE;

    if (10 * advance >= 11 * elapsed || (10 * pace->blocked < elapsed && !grows))
        return VERDICT_WELL;
    report->downstream = 10 * awaited(pace, arrival->now) < elapsed;
    report->reached = pace->answered / seconds;
    report->asked = arrival->rate;
    if (advance > 0 && advance < elapsed) {
        const gdouble stamped = (gdouble)pace->arrived * GST_SECOND / advance;

        drifts = stamped - report->reached >= missing;
        report->asked = MAX(report->asked, stamped);
    }
    if (report->downstream)
        return drifts ? VERDICT_BEHIND : VERDICT_OPEN;
    if (report->asked > 0)
        return report->asked - report->reached >= missing ? VERDICT_BEHIND : VERDICT_OPEN;
    return grows || 2 * pace->blocked >= elapsed ? VERDICT_BEHIND : VERDICT_OPEN;
}

/* TRUE: it is to be said. */
static gboolean note_behind(GpudlPace *pace, GstClockTime now, GpudlPaceReport *report)
{
    const gboolean said = pace->said;

    pace->well_since = GST_CLOCK_TIME_NONE;
    if (pace->behind_since == GST_CLOCK_TIME_NONE) {
        pace->behind_since = pace->since;
        pace->behind_answered = 0;
    }
    pace->behind_answered += pace->answered;
    if (now - pace->behind_since < GPUDL_PACE_PATIENCE)
        return FALSE;
    report->reached = (gdouble)pace->behind_answered * GST_SECOND / (now - pace->behind_since);
    pace->said = TRUE;
    return !said;
}

static void note_well(GpudlPace *pace, GstClockTime now)
{
    pace->behind_since = GST_CLOCK_TIME_NONE;
    if (pace->well_since == GST_CLOCK_TIME_NONE)
        pace->well_since = now;
    if (now - pace->well_since >= GPUDL_PACE_RECOVERY)
        pace->said = FALSE;
}

gboolean gpudl_pace_arrive(GpudlPace *pace, const GpudlArrival *arrival, GpudlPaceReport *report)
{
    const GstClockTime now = arrival->now;
    gboolean say = FALSE;

    pace->arrival = now;
    if (pace->settled == GST_CLOCK_TIME_NONE)
        pace->settled = now + GPUDL_PACE_SETTLING;
    if (now < pace->settled)
        return FALSE;
    if (arrival->before == 0) {
        note_well(pace, now);
    } else if (pace->since != GST_CLOCK_TIME_NONE) {
        Verdict verdict;

        pace->arrived++;
        if (now - pace->since < GPUDL_PACE_SPELL)
            return FALSE;
        verdict = judge(pace, arrival, report);
        if (verdict == VERDICT_OPEN &&
            (now - pace->since < GPUDL_PACE_LONG_SPELL || pace->arrived < GPUDL_PACE_LONG_SPELL_FRAMES))
            return FALSE;
        if (verdict == VERDICT_BEHIND)
            say = note_behind(pace, now, report);
        else
            note_well(pace, now);
    }
    begin_spell(pace, arrival);
    return say;
}

void gpudl_pace_admit(GpudlPace *pace, GstClockTime now)
{
    if (pace->since != GST_CLOCK_TIME_NONE)
        pace->blocked += now - MAX(pace->arrival, pace->since);
}

void gpudl_pace_await(GpudlPace *pace, GstClockTime now)
{
    pace->awaiting = now;
}

void gpudl_pace_answer(GpudlPace *pace, GstClockTime now)
{
    if (pace->since != GST_CLOCK_TIME_NONE) {
        pace->answered++;
        pace->awaited = awaited(pace, now);
    }
    pace->awaiting = GST_CLOCK_TIME_NONE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether whoever takes the frames of a live source keeps pace with it. */
#include "tools/media-internal.h"

static GstClockTime now(void)
{
    return (GstClockTime)g_get_monotonic_time() * 1000;
}

static GstClockTime running_time(GstPad *pad, GstBuffer *buffer)
{
    g_autoptr(GstEvent) event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0);
    const GstSegment *segment;

    if (event == NULL)
        return GST_CLOCK_TIME_NONE;
    gst_event_parse_segment(event, &segment);
    return segment->format == GST_FORMAT_TIME
               ? gst_segment_to_running_time(segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer))
               : GST_CLOCK_TIME_NONE;
}

static double frame_rate(GstPad *pad)
{
    g_autoptr(GstCaps) caps = gst_pad_get_current_caps(pad);
    gint n, d;

    if (caps == NULL || !gst_structure_get_fraction(gst_caps_get_structure(caps, 0), "framerate", &n, &d) || n <= 0 ||
        d <= 0)
        return 0.0;
    return (double)n / d;
}

/* Under the lock. Where nothing holds frames up, they come as often as they are made. */
static double arrival_rate(GpudlMedia *self, GstClockTime time)
{
    if (self->n_arrived++ == 0)
        self->first_arrival = time;
    if (!self->watch.newest || time - self->first_arrival < GST_SECOND)
        return 0.0;
    return (double)(self->n_arrived - 1) * GST_SECOND / (time - self->first_arrival);
}

/* Before the frame waits for room. */
static GstPadProbeReturn on_arrival(GstPad *pad, GstPadProbeInfo *info, gpointer user_data)
{
    GpudlMedia *self = user_data;
    GpudlArrival arrival = {.running_time = running_time(pad, GST_PAD_PROBE_INFO_BUFFER(info)),
                            .rate = frame_rate(pad)};
    GpudlPaceReport report;

    g_mutex_lock(&self->lock);
    if (self->live && self->n_at_once > 0) {
        double measured;

        arrival.now = now();
        measured = arrival_rate(self, arrival.now);
        if (arrival.rate == 0.0)
            arrival.rate = measured;
        arrival.before = self->n_queued + self->n_taken;
        arrival.parallelism = arrival.depth = self->n_at_once;
        if (gpudl_pace_arrive(&self->pace, &arrival, &report)) {
            self->behind =
                (GpudlMediaPace){.asked = report.asked, .reached = report.reached, .reader = report.downstream};
            self->is_behind = TRUE;
        }
    }
    g_mutex_unlock(&self->lock);
    return GST_PAD_PROBE_OK;
}

void media_pace_watch(GpudlMedia *self)
{
    g_autoptr(GstPad) pad = gst_element_get_static_pad(self->sink, "sink");

    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_arrival, self, NULL);
}

void media_pace_admit(GpudlMedia *self)
{
    gpudl_pace_admit(&self->pace, now());
}

void gpudl_media_expect_answers(GpudlMedia *self, guint n_at_once)
{
    g_mutex_lock(&self->lock);
    self->n_at_once = n_at_once;
    gpudl_pace_init(&self->pace);
    g_mutex_unlock(&self->lock);
}

void gpudl_media_await(GpudlMedia *self)
{
    g_mutex_lock(&self->lock);
    gpudl_pace_await(&self->pace, now());
    g_mutex_unlock(&self->lock);
}

void gpudl_media_answer(GpudlMedia *self)
{
    g_mutex_lock(&self->lock);
    gpudl_pace_answer(&self->pace, now());
    self->n_taken -= self->n_taken > 0;
    g_mutex_unlock(&self->lock);
}

gboolean gpudl_media_take_behind(GpudlMedia *self, GpudlMediaPace *pace)
{
    gboolean is_behind;

    g_mutex_lock(&self->lock);
    is_behind = self->is_behind;
    self->is_behind = FALSE;
    *pace = self->behind;
    g_mutex_unlock(&self->lock);
    return is_behind;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudllive.h"

#include <string.h>

#include <glib/gi18n-lib.h>

static GstClockTime
get_time (void)
{
  return g_get_monotonic_time () * GST_USECOND;
}

void
gst_gpudl_live_init (GstGpudlLive * live)
{
  memset (live, 0, sizeof (*live));
  g_mutex_init (&live->lock);
  gst_gpudl_latency_init (&live->latency);
  gst_gpudl_live_start (live, 0);
  live->get_time = get_time;
  live->get_timing = gpudl_request_get_timing;
}

void
gst_gpudl_live_clear (GstGpudlLive * live)
{
  gst_gpudl_latency_clear (&live->latency);
  g_mutex_clear (&live->lock);
}

void
gst_gpudl_live_start (GstGpudlLive * live, GstClockTime warm_up)
{
  g_mutex_lock (&live->lock);
  gst_gpudl_latency_start (&live->latency, warm_up);
  gpudl_pace_init (&live->pace);
  live->live = FALSE;
  live->pipeline = GST_CLOCK_TIME_NONE;
  g_mutex_unlock (&live->lock);
}

gboolean
gst_gpudl_live_move (GstGpudlLive * live, GstClockTime warm_up)
{
  const GstClockTime now = live->get_time ();
  gboolean changed;

  g_mutex_lock (&live->lock);
  changed = gst_gpudl_latency_move (&live->latency, warm_up, now);
  g_mutex_unlock (&live->lock);
  return changed;
}

static void
interrupt_locked (GstGpudlLive * live)
{
  gst_gpudl_latency_interrupt (&live->latency);
  gpudl_pace_resume (&live->pace);
}

void
gst_gpudl_live_set_playing (GstGpudlLive * live, gboolean playing)
{
  g_mutex_lock (&live->lock);
  live->playing = playing;
  interrupt_locked (live);
  g_mutex_unlock (&live->lock);
}

void
gst_gpudl_live_flush (GstGpudlLive * live)
{
  g_mutex_lock (&live->lock);
  interrupt_locked (live);
  g_mutex_unlock (&live->lock);
}

GstClockTime
gst_gpudl_live_get_latency (GstGpudlLive * live)
{
  GstClockTime latency;

  g_mutex_lock (&live->lock);
  latency = live->latency.told;
  g_mutex_unlock (&live->lock);
  return latency;
}

GstClockTime
gst_gpudl_live_query (GstGpudlLive * live, gboolean is_live)
{
  GstClockTime latency;

  g_mutex_lock (&live->lock);
  live->live = is_live;
  latency = live->latency.told;
  g_mutex_unlock (&live->lock);
  return latency;
}

void
gst_gpudl_live_set_pipeline_latency (GstGpudlLive * live, GstClockTime latency)
{
  g_mutex_lock (&live->lock);
  live->pipeline = latency;
  g_mutex_unlock (&live->lock);
}

gboolean
gst_gpudl_live_took (GstGpudlLive * live, GstClockTime took,
    GstClockTime warm_up)
{
  const GstClockTime now = live->get_time ();
  gboolean changed;

  g_mutex_lock (&live->lock);
  gst_gpudl_latency_add (&live->latency, took, now);
  /* where nothing is live, upstream keeps the queue full, and what frames take
   * says nothing of the network */
  changed = live->live
      && gst_gpudl_latency_update (&live->latency, warm_up, now);
  g_mutex_unlock (&live->lock);
  return changed;
}

gboolean
gst_gpudl_live_arrive (GstGpudlLive * live, GpudlArrival * arrival,
    GpudlPaceReport * report)
{
  gboolean behind;

  arrival->now = live->get_time ();
  g_mutex_lock (&live->lock);
  behind = live->live && live->playing
      && gpudl_pace_arrive (&live->pace, arrival, report);
  g_mutex_unlock (&live->lock);
  return behind;
}

void
gst_gpudl_live_admit (GstGpudlLive * live)
{
  const GstClockTime now = live->get_time ();

  g_mutex_lock (&live->lock);
  gpudl_pace_admit (&live->pace, now);
  g_mutex_unlock (&live->lock);
}

void
gst_gpudl_live_await (GstGpudlLive * live)
{
  const GstClockTime now = live->get_time ();

  g_mutex_lock (&live->lock);
  gpudl_pace_await (&live->pace, now);
  g_mutex_unlock (&live->lock);
}

void
gst_gpudl_live_answer (GstGpudlLive * live)
{
  const GstClockTime now = live->get_time ();

  g_mutex_lock (&live->lock);
  gpudl_pace_answer (&live->pace, now);
  g_mutex_unlock (&live->lock);
}

/* ---- warning -------------------------------------------------------------- */

static gchar *
say_downstream (const GpudlPaceReport * report)
{
  return g_strdup_printf (_("The elements after this one take %.1f of %.1f "
          "frames/s: what they get is more and more behind. The network is not "
          "what is slow. Put a queue after this element, let a sink not wait "
          "(sync=false) or an encoder do less."),
      report->reached, report->asked);
}

static void
append_remedies (GString * text, const GstGpudlNet * net,
    const GpudlPaceReport * report)
{
  const gchar *backend = gpudl_session_get_backend (net->session);
  const guint workers = gpudl_session_get_parallelism (net->session);
  const guint rate = MAX (report->reached * 0.8, 1);

  g_string_append_printf (text,
      _(" Let fewer frames in (videorate drop-only=true"
          " ! video/x-raw,framerate=%u/1 before this element), or take a smaller "
          "network"), rate);
  if (g_str_equal (backend, "ref"))
    g_string_append (text, _(", or backend=cpu"));
  else if (!g_str_equal (backend, "cpu"))
    g_string_append (text, _(", or a faster device"));
  else if (workers < g_get_num_processors ())
    g_string_append_printf (text, _(", or more cpu-threads than %u"), workers);
  else
    g_string_append (text,
        _(", or a faster backend (gpudl doctor lists them)"));
  g_string_append_c (text, '.');
}

static gchar *
say_network (const GstGpudlNet * net, const GpudlPaceReport * report)
{
  GString *text = g_string_new (NULL);

  if (report->asked > 0)
    g_string_append_printf (text,
        _("The network answers %.1f of %.1f frames/s"), report->reached,
        report->asked);
  else
    g_string_append_printf (text,
        _("The network answers %.1f frames/s, and more come"), report->reached);
  g_string_append (text,
      _(": frames wait for it and come out late, or are lost before it."));
  append_remedies (text, net, report);
  return g_string_free (text, FALSE);
}

void
gst_gpudl_live_say (GstElement * element, const GstGpudlNet * net,
    const GpudlPaceReport * report)
{
  gchar *text = report->downstream ? say_downstream (report) :
      say_network (net, report);
  gchar *debug =
      g_strdup_printf ("frames waited for %s; backend %s, %u at once, "
      "%u in the queue",
      report->downstream ? "downstream" : "the network",
      gpudl_session_get_backend (net->session),
      gpudl_session_get_parallelism (net->session), net->depth);
  GstStructure *details = gst_structure_new ("gpudlinfer-behind",
      "limited-by", G_TYPE_STRING,
      report->downstream ? "downstream" : "network",
      "rate-asked", G_TYPE_DOUBLE, report->asked,
      "rate-reached", G_TYPE_DOUBLE, report->reached, NULL);

  /* basesink's error for the same; takes both strings and the structure */
  gst_element_message_full_with_details (element, GST_MESSAGE_WARNING,
      GST_CORE_ERROR, GST_CORE_ERROR_CLOCK, text, debug, __FILE__,
      GST_FUNCTION, __LINE__, details);
}

/* ---- lag ------------------------------------------------------------------ */

GstClockTime
gst_gpudl_live_get_lag (GstGpudlLive * live, GstElement * element,
    GstClockTime running_time)
{
  GstClockTime due, now;
  GstClock *clock;

  g_mutex_lock (&live->lock);
  due = live->live && live->playing ? live->pipeline : GST_CLOCK_TIME_NONE;
  g_mutex_unlock (&live->lock);
  if (due == GST_CLOCK_TIME_NONE || running_time == GST_CLOCK_TIME_NONE)
    return 0;
  clock = gst_element_get_clock (element);
  if (clock == NULL)
    return 0;
  due += running_time + gst_element_get_base_time (element);
  now = gst_clock_get_time (clock);
  gst_object_unref (clock);
  return now > due ? now - due : 0;
}

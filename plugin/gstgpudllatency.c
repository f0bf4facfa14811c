/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudllatency.h"

#include <stdlib.h>
#include <string.h>

typedef struct
{
  GstClockTime at, took;
} Sample;

void
gst_gpudl_latency_init (GstGpudlLatency * latency)
{
  memset (latency, 0, sizeof (*latency));
  latency->window = gst_queue_array_new_for_struct (sizeof (Sample),
      2 * GST_GPUDL_LATENCY_MIN_FRAMES);
  gst_gpudl_latency_start (latency, 0);
}

void
gst_gpudl_latency_clear (GstGpudlLatency * latency)
{
  g_clear_pointer (&latency->window, gst_queue_array_free);
}

static const Sample *
nth (const GstGpudlLatency * latency, guint n)
{
  return gst_queue_array_peek_nth_struct (latency->window, n);
}

static gboolean
is_above (const GstGpudlLatency * latency, const Sample * sample)
{
  return sample->took > latency->told;
}

/* 1.25 x it is below 0.75 x what is told. */
static gboolean
is_low (const GstGpudlLatency * latency, const Sample * sample)
{
  return 5 * sample->took < 3 * latency->told;
}

/* Nearest rank: so many of n frames are 95 %. */
static guint
rank (guint n)
{
  return (n * 95 + 99) / 100;
}

static void
set_told (GstGpudlLatency * latency, GstClockTime told)
{
  const guint n = gst_queue_array_get_length (latency->window);

  latency->told = told;
  latency->low_since = GST_CLOCK_TIME_NONE;
  latency->n_above = latency->n_low = 0;
  for (guint i = 0; i < n; i++) {
    latency->n_above += is_above (latency, nth (latency, i));
    latency->n_low += is_low (latency, nth (latency, i));
  }
}

void
gst_gpudl_latency_start (GstGpudlLatency * latency, GstClockTime warm_up)
{
  gst_queue_array_clear (latency->window);
  set_told (latency, warm_up);
  latency->changed = GST_CLOCK_TIME_NONE;
}

gboolean
gst_gpudl_latency_move (GstGpudlLatency * latency, GstClockTime warm_up,
    GstClockTime now)
{
  if (warm_up <= latency->told)
    return FALSE;
  set_told (latency, warm_up);
  latency->changed = now;
  return TRUE;
}

void
gst_gpudl_latency_interrupt (GstGpudlLatency * latency)
{
  latency->low_since = GST_CLOCK_TIME_NONE;
}

static void
drop_oldest (GstGpudlLatency * latency)
{
  const Sample *sample = gst_queue_array_pop_head_struct (latency->window);

  latency->n_above -= is_above (latency, sample);
  latency->n_low -= is_low (latency, sample);
}

void
gst_gpudl_latency_add (GstGpudlLatency * latency, GstClockTime took,
    GstClockTime now)
{
  Sample sample = { now, took };

  if (gst_queue_array_get_length (latency->window) ==
      GST_GPUDL_LATENCY_MAX_FRAMES)
    drop_oldest (latency);
  gst_queue_array_push_tail_struct (latency->window, &sample);
  latency->n_above += is_above (latency, &sample);
  latency->n_low += is_low (latency, &sample);
  while (gst_queue_array_get_length (latency->window) >
      GST_GPUDL_LATENCY_MIN_FRAMES
      && nth (latency, 0)->at + GST_GPUDL_LATENCY_WINDOW < now)
    drop_oldest (latency);
}

static gint
compare_times (gconstpointer a, gconstpointer b)
{
  const GstClockTime x = *(const GstClockTime *) a;
  const GstClockTime y = *(const GstClockTime *) b;

  return x < y ? -1 : x > y;
}

static GstClockTime
measured (const GstGpudlLatency * latency)
{
  const guint n = gst_queue_array_get_length (latency->window);
  g_autofree GstClockTime *times = g_new (GstClockTime, n);
  GstClockTime p95;

  for (guint i = 0; i < n; i++)
    times[i] = nth (latency, i)->took;
  qsort (times, n, sizeof (*times), compare_times);
  p95 = times[rank (n) - 1];
  return p95 + p95 / 4;
}

/* TRUE: what frames took is to be told. */
static gboolean
is_due (GstGpudlLatency * latency, GstClockTime now)
{
  const guint n = gst_queue_array_get_length (latency->window);

  if (n - latency->n_above < rank (n))
    return TRUE;
  if (latency->n_low < rank (n)) {
    latency->low_since = GST_CLOCK_TIME_NONE;
    return FALSE;
  }
  if (latency->low_since == GST_CLOCK_TIME_NONE)
    latency->low_since = now;
  return now - latency->low_since >= GST_GPUDL_LATENCY_PATIENCE;
}

gboolean
gst_gpudl_latency_update (GstGpudlLatency * latency, GstClockTime warm_up,
    GstClockTime now)
{
  const gboolean warm = gst_queue_array_get_length (latency->window) >=
      GST_GPUDL_LATENCY_MIN_FRAMES;
  const gboolean due = warm ? is_due (latency, now) : warm_up != latency->told;

  if (!due || (latency->changed != GST_CLOCK_TIME_NONE
          && now - latency->changed < GST_GPUDL_LATENCY_INTERVAL))
    return FALSE;
  set_told (latency, warm ? measured (latency) : warm_up);
  latency->changed = now;
  return TRUE;
}

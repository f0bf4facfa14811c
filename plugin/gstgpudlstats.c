/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlstats.h"

#include <stdlib.h>
#include <string.h>

void
gst_gpudl_stats_init (GstGpudlStats * stats)
{
  memset (stats, 0, sizeof (*stats));
  g_mutex_init (&stats->lock);
}

void
gst_gpudl_stats_clear (GstGpudlStats * stats)
{
  g_mutex_clear (&stats->lock);
}

void
gst_gpudl_stats_reset (GstGpudlStats * stats)
{
  g_mutex_lock (&stats->lock);
  stats->frames = stats->inferences = stats->errors = stats->late = 0;
  stats->lag_max = 0;
  stats->n = stats->next = 0;
  g_mutex_unlock (&stats->lock);
}

void
gst_gpudl_stats_frame (GstGpudlStats * stats)
{
  g_mutex_lock (&stats->lock);
  stats->frames++;
  g_mutex_unlock (&stats->lock);
}

void
gst_gpudl_stats_error (GstGpudlStats * stats)
{
  g_mutex_lock (&stats->lock);
  stats->errors++;
  g_mutex_unlock (&stats->lock);
}

void
gst_gpudl_stats_inference (GstGpudlStats * stats,
    const guint64 times[GST_GPUDL_N_TIMES])
{
  g_mutex_lock (&stats->lock);
  stats->inferences++;
  for (guint i = 0; i < GST_GPUDL_N_TIMES; i++)
    stats->window[i][stats->next] = times[i];
  stats->next = (stats->next + 1) % GST_GPUDL_STATS_WINDOW;
  stats->n = MIN (stats->n + 1, GST_GPUDL_STATS_WINDOW);
  g_mutex_unlock (&stats->lock);
}

void
gst_gpudl_stats_lag (GstGpudlStats * stats, GstClockTime lag)
{
  g_mutex_lock (&stats->lock);
  stats->late += lag > 0;
  stats->lag_max = MAX (stats->lag_max, lag);
  g_mutex_unlock (&stats->lock);
}

static gint
compare_uint64 (gconstpointer a, gconstpointer b)
{
  const guint64 x = *(const guint64 *) a, y = *(const guint64 *) b;

  return x < y ? -1 : x > y;
}

/* Sorted copy of a window; returns how many. */
static guint
sorted (GstGpudlStats * stats, GstGpudlTime time,
    guint64 values[GST_GPUDL_STATS_WINDOW])
{
  guint n;

  g_mutex_lock (&stats->lock);
  n = stats->n;
  memcpy (values, stats->window[time], n * sizeof (guint64));
  g_mutex_unlock (&stats->lock);
  qsort (values, n, sizeof (guint64), compare_uint64);
  return n;
}

/* Nearest rank: the smallest value that percent of all do not exceed. */
static guint64
percentile (const guint64 * values, guint n, guint percent)
{
  return n == 0 ? 0 : values[(n * percent + 99) / 100 - 1];
}

static void
set_field (GstStructure * structure, const gchar * name, const gchar * what,
    guint64 value)
{
  gchar field[32];

  g_snprintf (field, sizeof (field), "%s-latency-%s", name, what);
  gst_structure_set (structure, field, G_TYPE_UINT64, value, NULL);
}

GstStructure *
gst_gpudl_stats_to_structure (GstGpudlStats * stats, guint in_flight)
{
  static const gchar *const names[] = {
    [GST_GPUDL_TIME_QUEUE] = "queue",
    [GST_GPUDL_TIME_INFER] = "infer",
    [GST_GPUDL_TIME_TOTAL] = "total",
  };
  GstStructure *structure;

  g_mutex_lock (&stats->lock);
  structure = gst_structure_new ("gpudlinfer-stats",
      "frames", G_TYPE_UINT64, stats->frames,
      "inferences", G_TYPE_UINT64, stats->inferences,
      "errors", G_TYPE_UINT64, stats->errors,
      "frames-late", G_TYPE_UINT64, stats->late,
      "lag-max", G_TYPE_UINT64, stats->lag_max,
      "in-flight", G_TYPE_UINT, in_flight, NULL);
  g_mutex_unlock (&stats->lock);

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    guint64 values[GST_GPUDL_STATS_WINDOW];
    const guint n = sorted (stats, i, values);
    guint64 sum = 0;

    for (guint j = 0; j < n; j++)
      sum += values[j];
    set_field (structure, names[i], "avg", n == 0 ? 0 : sum / n);
    set_field (structure, names[i], "min", n == 0 ? 0 : values[0]);
    set_field (structure, names[i], "max", n == 0 ? 0 : values[n - 1]);
    set_field (structure, names[i], "p50", percentile (values, n, 50));
    set_field (structure, names[i], "p95", percentile (values, n, 95));
  }
  return structure;
}

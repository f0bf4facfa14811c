/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The latency that gpudlinfer tells, by sequences of frames whose times are written down: no time passes.
 */
#include "plugin/gstgpudllatency.h"

#define MS GST_MSECOND
#define S GST_SECOND
#define WARM_UP (20 * MS)

typedef struct
{
  GstGpudlLatency latency;
  GstClockTime now;
  guint n_changes;
  GstClockTime changed;         /* the last one */
} Script;

static void
start (Script * s)
{
  gst_gpudl_latency_init (&s->latency);
  gst_gpudl_latency_start (&s->latency, WARM_UP);
  /* a clock's origin means nothing */
  s->now = 7000 * S;
  s->n_changes = 0;
  s->changed = 0;
}

static void
end (Script * s)
{
  gst_gpudl_latency_clear (&s->latency);
}

/* One frame, this long after the one before. */
static void
frame (Script * s, GstClockTime interval, GstClockTime took)
{
  s->now += interval;
  gst_gpudl_latency_add (&s->latency, took, s->now);
  if (!gst_gpudl_latency_update (&s->latency, WARM_UP, s->now))
    return;
  if (s->n_changes++ > 0)
    g_assert_cmpuint (s->now - s->changed, >=, S);
  s->changed = s->now;
}

static void
frames (Script * s, guint n, GstClockTime interval, GstClockTime took)
{
  for (guint i = 0; i < n; i++)
    frame (s, interval, took);
}

/* Frames until it has changed; returns after how long. */
static GstClockTime
until_change (Script * s, GstClockTime interval, GstClockTime took)
{
  const GstClockTime began = s->now;
  const guint n = s->n_changes;

  while (s->n_changes == n) {
    g_assert_cmpuint (s->now - began, <, 1000 * S);
    frame (s, interval, took);
  }
  return s->now - began;
}

static void
check (const Script * s, guint n_changes, GstClockTime told)
{
  g_assert_cmpuint (s->n_changes, ==, n_changes);
  g_assert_cmpuint (s->latency.told, ==, told);
}

static void
test_warm_up (void)
{
  Script s;

  start (&s);
  check (&s, 0, WARM_UP);
  frames (&s, 31, 40 * MS, 100 * MS);
  check (&s, 0, WARM_UP);       /* 31 frames say nothing yet */
  frame (&s, 40 * MS, 100 * MS);
  check (&s, 1, 125 * MS);
  end (&s);
}

/* The backend measures anew before there are frames enough. */
static void
test_warm_up_changes (void)
{
  Script s;

  start (&s);
  gst_gpudl_latency_add (&s.latency, 1, s.now);
  g_assert_true (gst_gpudl_latency_update (&s.latency, 400 * MS, s.now));
  g_assert_cmpuint (s.latency.told, ==, 400 * MS);
  g_assert_false (gst_gpudl_latency_update (&s.latency, 5 * MS, s.now + S - 1));
  g_assert_true (gst_gpudl_latency_update (&s.latency, 5 * MS, s.now + S));
  g_assert_cmpuint (s.latency.told, ==, 5 * MS);
  frames (&s, 31, 40 * MS, 5 * MS);
  /* from now on frames count, not what an idle machine has measured */
  g_assert_false (gst_gpudl_latency_update (&s.latency, 400 * MS,
          s.now + 2 * S));
  end (&s);
}

/* Nearest rank: of 100 frames 5 may take longer than the 95th percentile. */
static void
test_percentile (void)
{
  Script s;

  start (&s);
  frames (&s, 95, 40 * MS, WARM_UP);
  frames (&s, 5, 40 * MS, 80 * MS);
  check (&s, 0, WARM_UP);
  frame (&s, 40 * MS, 70 * MS); /* 96 of 101 are 95 % */
  check (&s, 1, 70 * MS * 5 / 4);
  end (&s);
}

static void
test_passes (void)
{
  Script s;

  start (&s);
  frames (&s, 500, 40 * MS, WARM_UP);
  check (&s, 0, WARM_UP);       /* not above it */
  until_change (&s, 40 * MS, WARM_UP + 1);
  check (&s, 1, WARM_UP + 1 + (WARM_UP + 1) / 4);
  end (&s);
}

/* Slow frames leave the window 10 s later; 10 s after that they are forgotten. */
static void
test_falls (void)
{
  GstClockTime took;
  Script s;

  start (&s);
  frames (&s, 250, 40 * MS, 10 * MS);
  frames (&s, 50, 40 * MS, 400 * MS);
  check (&s, 1, 500 * MS);
  took = until_change (&s, 40 * MS, 10 * MS);
  check (&s, 2, 12500 * GST_USECOND);
  /* of 251 frames 12 may be slow; a frame more or less at either end */
  g_assert_cmpuint (took, >=, 20 * S - 13 * 40 * MS);
  g_assert_cmpuint (took, <=, 20 * S - 11 * 40 * MS);
  frames (&s, 2000, 40 * MS, 10 * MS);
  check (&s, 2, 12500 * GST_USECOND);
  end (&s);
}

/* It falls where the new value is below 0.75 of what is told, and nowhere else. */
static void
test_three_quarters (void)
{
  Script s;

  start (&s);
  frames (&s, 250, 40 * MS, 80 * MS);
  check (&s, 1, 100 * MS);
  frames (&s, 2000, 40 * MS, 60 * MS);  /* 75 ms: not below */
  check (&s, 1, 100 * MS);
  frames (&s, 2000, 40 * MS, 60 * MS - 1);
  check (&s, 2, 75 * MS - 1 - 1);       /* integers */
  end (&s);
}

/* Ten seconds without a break: it begins anew with each window that is not low. */
static void
test_patience_begins_anew (void)
{
  GstClockTime low;
  Script s;

  start (&s);
  frames (&s, 250, 40 * MS, 400 * MS);
  check (&s, 1, 500 * MS);
  while (s.latency.low_since == GST_CLOCK_TIME_NONE)
    frame (&s, 40 * MS, 10 * MS);
  low = s.now;
  frames (&s, 225, 40 * MS, 10 * MS);   /* 9 s */
  check (&s, 1, 500 * MS);
  frames (&s, 14, 20 * MS, 390 * MS);
  g_assert_cmpuint (s.latency.low_since, ==, GST_CLOCK_TIME_NONE);
  until_change (&s, 40 * MS, 10 * MS);
  g_assert_cmpuint (s.now - low, >, 25 * S);
  end (&s);
}

/* A stop of the process is one frame that took as long, or as many as run at once. */
static void
test_stopped_process (void)
{
  Script s;

  start (&s);
  frames (&s, 500, 40 * MS, 10 * MS);
  check (&s, 1, 12500 * GST_USECOND);   /* warm-up said 20 */
  frames (&s, 3, 20 * S, 20 * S);
  frames (&s, 60 * 25, 40 * MS, 10 * MS);
  g_assert_cmpuint (s.latency.told, ==, 12500 * GST_USECOND);
  end (&s);
}

/* A cold start, and half a minute in which a frame takes 400 ms: no trace a minute later, at the rates of cameras. */
static void
test_no_trace (void)
{
  static const guint rates[] = { 1, 5, 25, 30, 60, 200 };

  for (guint i = 0; i < G_N_ELEMENTS (rates); i++) {
    const GstClockTime interval = S / rates[i];
    Script s;

    start (&s);
    frames (&s, 40, interval, 432 * MS);
    check (&s, 1, 540 * MS);
    frames (&s, 60 * rates[i], interval, 10 * MS);
    g_assert_cmpuint (s.latency.told, ==, 12500 * GST_USECOND);
    frames (&s, 30 * rates[i], interval, 400 * MS);
    g_assert_cmpuint (s.latency.told, ==, 500 * MS);
    frames (&s, 60 * rates[i], interval, 10 * MS);
    g_assert_cmpuint (s.latency.told, ==, 12500 * GST_USECOND);
    g_assert_cmpuint (s.n_changes, ==, 4);
    end (&s);
  }
}

/* Fewer than 32 frames in 10 s: the newest 32 count, however old. */
static void
test_low_rate (void)
{
  Script s;

  start (&s);
  frames (&s, 32, 2 * S, 100 * MS);
  check (&s, 1, 125 * MS);
  frames (&s, 30, 2 * S, 10 * MS);      /* two of 32 are more than 5 % */
  g_assert_cmpuint (s.latency.low_since, ==, GST_CLOCK_TIME_NONE);
  frame (&s, 2 * S, 10 * MS);
  g_assert_cmpuint (s.latency.low_since, ==, s.now);
  frames (&s, 4, 2 * S, 10 * MS);
  check (&s, 1, 125 * MS);
  frame (&s, 2 * S, 10 * MS);
  check (&s, 2, 12500 * GST_USECOND);
  end (&s);
}

/* Frames are older than 10 s one by one. */
static void
test_window (void)
{
  Script s;

  start (&s);
  frames (&s, 500, 40 * MS, 10 * MS);
  g_assert_cmpuint (gst_queue_array_get_length (s.latency.window), ==, 251);
  frame (&s, 10 * S, 10 * MS);  /* the last one is 10 s old */
  g_assert_cmpuint (gst_queue_array_get_length (s.latency.window), ==, 32);
  frames (&s, 100, 200 * MS, 10 * MS);
  g_assert_cmpuint (gst_queue_array_get_length (s.latency.window), ==, 51);
  end (&s);
}

/* Many frames a second: memory is bounded, and the newest count. */
static void
test_high_rate (void)
{
  Script s;

  start (&s);
  frames (&s, 8000, S / 400, 10 * MS);
  g_assert_cmpuint (gst_queue_array_get_length (s.latency.window), ==, 4001);
  frames (&s, 10 * GST_GPUDL_LATENCY_MAX_FRAMES, S / 5000, 10 * MS);
  g_assert_cmpuint (gst_queue_array_get_length (s.latency.window), ==,
      GST_GPUDL_LATENCY_MAX_FRAMES);
  frames (&s, GST_GPUDL_LATENCY_MAX_FRAMES / 20, S / 5000, 30 * MS);
  g_assert_cmpuint (s.latency.told, <=, WARM_UP);
  frame (&s, S / 5000, 30 * MS);
  g_assert_cmpuint (s.latency.told, ==, 37500 * GST_USECOND);
  end (&s);
}

/* It would pass what is told four times in the second second: frame() looks. */
static void
test_once_a_second (void)
{
  Script s;

  start (&s);
  for (guint i = 1; i <= 2000; i++)
    frame (&s, 10 * MS, i * MS);
  g_assert_cmpuint (s.n_changes, >=, 8);
  frames (&s, 100, 10 * MS, 2000 * MS);
  g_assert_cmpuint (s.latency.told, >=, 2000 * MS);
  end (&s);
}

/* A pause is no time in which anything has been measured; what was before it still counts. */
static void
test_pause (void)
{
  Script s;

  start (&s);
  frames (&s, 300, 40 * MS, 400 * MS);
  check (&s, 1, 500 * MS);
  while (s.latency.low_since == GST_CLOCK_TIME_NONE)
    frame (&s, 40 * MS, 10 * MS);
  frames (&s, 10, 40 * MS, 10 * MS);
  gst_gpudl_latency_interrupt (&s.latency);
  s.now += 3600 * S;
  frames (&s, 249, 40 * MS, 10 * MS);
  check (&s, 1, 500 * MS);
  frames (&s, 3, 40 * MS, 10 * MS);
  check (&s, 2, 12500 * GST_USECOND);
  end (&s);
}

/* Another device: told may only rise for it, at once; frames show the rest. */
static void
test_move (void)
{
  Script s;

  start (&s);
  frames (&s, 100, 40 * MS, 40 * MS);
  check (&s, 1, 50 * MS);
  g_assert_false (gst_gpudl_latency_move (&s.latency, 50 * MS, s.now));
  g_assert_true (gst_gpudl_latency_move (&s.latency, 300 * MS, s.now));
  g_assert_cmpuint (s.latency.told, ==, 300 * MS);
  g_assert_cmpuint (s.latency.changed, ==, s.now);
  frames (&s, 249, 40 * MS, 40 * MS);
  check (&s, 1, 300 * MS);
  frames (&s, 2, 40 * MS, 40 * MS);
  check (&s, 2, 50 * MS);
  end (&s);
}

/* A new start knows nothing of the one before. */
static void
test_start (void)
{
  Script s;

  start (&s);
  frames (&s, 32, 40 * MS, 400 * MS);
  check (&s, 1, 500 * MS);
  gst_gpudl_latency_start (&s.latency, WARM_UP);
  g_assert_cmpuint (s.latency.told, ==, WARM_UP);
  s.n_changes = 0;
  frames (&s, 31, MS, 400 * MS);
  check (&s, 0, WARM_UP);
  frame (&s, MS, 400 * MS);     /* and may change at once */
  check (&s, 1, 500 * MS);
  end (&s);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add_func ("/plugin/latency/" name, func)
  ADD ("warm-up-until-32-frames", test_warm_up);
  ADD ("warm-up-may-change", test_warm_up_changes);
  ADD ("nearest-rank", test_percentile);
  ADD ("rises-when-passed", test_passes);
  ADD ("falls-after-20-seconds", test_falls);
  ADD ("falls-below-three-quarters", test_three_quarters);
  ADD ("patience-begins-anew", test_patience_begins_anew);
  ADD ("stopped-process-leaves-no-trace", test_stopped_process);
  ADD ("no-trace-a-minute-later", test_no_trace);
  ADD ("low-rate-keeps-32-frames", test_low_rate);
  ADD ("window-is-10-seconds", test_window);
  ADD ("high-rate-is-bounded", test_high_rate);
  ADD ("changes-once-a-second", test_once_a_second);
  ADD ("pause-is-no-patience", test_pause);
  ADD ("another-device-raises", test_move);
  ADD ("start-forgets", test_start);
  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What is made of measurements before people read them: percentiles, units. Nothing here measures.
 */
#ifndef GPUDL_TOOLS_FIGURES_H
#define GPUDL_TOOLS_FIGURES_H

#include <glib.h>

G_BEGIN_DECLS

/** How times are spread, ns. All 0 where there are none. */
typedef struct {
    guint64 min, p50, p90, p99, max;
    double mean;
} Spread;

/** Sorts values. A percentile is one of them: the smallest that at least so many per cent do not exceed. */
Spread figures_spread(guint64 *values, gsize n);

/** A unit for times of about this size, so that a column of them has one: "us" or "ms". */
typedef struct {
    const gchar *name;
    double ns;    /* of one of it */
    int decimals; /* that make sense */
} TimeUnit;
const TimeUnit *figures_time_unit(guint64 largest_ns);
/** Without the unit's name. Freed by the caller, like all below. */
gchar *figures_time(const TimeUnit *unit, double ns);

/** "12 bytes", "3.4 kB", "5.6 MB", "7.89 GB": powers of 1000. */
gchar *figures_bytes(guint64 bytes);
/** What is done in a time per ns, that is 10^9 of it per second: "12.3"; "" where either is not known (0). */
gchar *figures_rate(guint64 amount, guint64 ns);
/** "12.3 %"; of nothing: "". */
gchar *figures_share(guint64 part, guint64 whole);

/** Now, local time with its zone: "2026-03-01T12:34:56+01:00". */
gchar *figures_now(void);
/** A command line as a shell takes it, to be done again. */
gchar *figures_command(gchar *const *argv);

G_END_DECLS
#endif

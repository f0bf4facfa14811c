/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/figures.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;

    return x < y ? -1 : x > y;
}

static guint64 percentile(const guint64 *sorted, gsize n, guint percent)
{
    return sorted[(n * percent + 99) / 100 - 1];
}

Spread figures_spread(guint64 *values, gsize n)
{
    Spread spread = {0};

    if (n == 0)
        return spread;
    qsort(values, n, sizeof *values, compare);
    spread = (Spread){.min = values[0],
                      .p50 = percentile(values, n, 50),
                      .p90 = percentile(values, n, 90),
                      .p99 = percentile(values, n, 99),
                      .max = values[n - 1]};
    for (gsize i = 0; i < n; i++)
        spread.mean += (double)values[i];
    spread.mean /= (double)n;
    return spread;
}

const TimeUnit *figures_time_unit(guint64 largest_ns)
{
    static const TimeUnit us = {"us", 1e3, 1}, ms = {"ms", 1e6, 3};

    return largest_ns < 10000000 ? &us : &ms;
}

gchar *figures_time(const TimeUnit *unit, double ns)
{
    return g_strdup_printf("%.*f", unit->decimals, ns / unit->ns);
}

gchar *figures_bytes(guint64 bytes)
{
    double v = (double)bytes;

    if (bytes >= 1000000000)
        return g_strdup_printf("%.2f GB", v / 1e9);
    if (bytes >= 1000000)
        return g_strdup_printf("%.1f MB", v / 1e6);
    if (bytes >= 1000)
        return g_strdup_printf("%.1f kB", v / 1e3);
    return g_strdup_printf("%" G_GUINT64_FORMAT " bytes", bytes);
}

gchar *figures_rate(guint64 amount, guint64 ns)
{
    double rate = ns > 0 ? (double)amount / (double)ns : 0.0;

    if (amount == 0 || ns == 0)
        return g_strdup("");
    return g_strdup_printf("%.*f", rate < 10 ? 2 : rate < 100 ? 1 : 0, rate);
}

gchar *figures_share(guint64 part, guint64 whole)
{
    return whole == 0 ? g_strdup("") : g_strdup_printf("%.1f %%", 100.0 * (double)part / (double)whole);
}

gchar *figures_now(void)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();

    return g_date_time_format(now, "%Y-%m-%dT%H:%M:%S%:z");
}

static gchar *as_typed(const gchar *word)
{
    static const gchar plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";

    return word[0] != '\0' && strspn(word, plain) == strlen(word) ? g_strdup(word) : g_shell_quote(word);
}

gchar *figures_command(gchar *const *argv)
{
    GString *line = g_string_new(NULL);

    for (guint i = 0; argv[i] != NULL; i++) {
        g_autofree gchar *word = as_typed(argv[i]);

        g_string_append_printf(line, "%s%s", i == 0 ? "" : " ", word);
    }
    return g_string_free(line, FALSE);
}

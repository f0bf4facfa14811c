/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/progress.h"

#include <stdio.h>
#include <unistd.h>

#define BAR_WIDTH 30
#define PATIENCE_US G_USEC_PER_SEC
#define REDRAW_US (G_USEC_PER_SEC / 10)

static gint64 started, last_drawn;
static gboolean standing;

void progress_start(void)
{
    started = g_get_monotonic_time();
    last_drawn = 0;
}

gboolean progress_is_due(void)
{
    gint64 now = g_get_monotonic_time();

    return isatty(STDERR_FILENO) && now - started >= PATIENCE_US && now - last_drawn >= REDRAW_US;
}

void progress_tell(const gchar *text)
{
    last_drawn = g_get_monotonic_time();
    standing = TRUE;
    fprintf(stderr, "\r\033[K%s", text);
    fflush(stderr);
}

void progress_update(double done, const gchar *what)
{
    int filled = (int)(CLAMP(done, 0.0, 1.0) * BAR_WIDTH + 0.5);
    g_autofree gchar *text = NULL;

    if (!progress_is_due())
        return;
    text = g_strdup_printf("[%.*s%*s] %3.0f %%  %s", filled, "##############################", BAR_WIDTH - filled, "",
                           100.0 * CLAMP(done, 0.0, 1.0), what != NULL ? what : "");
    progress_tell(text);
}

void progress_wipe(void)
{
    if (!standing)
        return;
    standing = FALSE;
    fputs("\r\033[K", stderr);
    fflush(stderr);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A progress bar for people: drawn on stderr when it is a terminal and the work has taken longer than a second.
 */
#ifndef GPUDL_TOOLS_PROGRESS_H
#define GPUDL_TOOLS_PROGRESS_H

#include <glib.h>

G_BEGIN_DECLS

/** Starts counting the second. */
void progress_start(void);
/** done within 0..1, what is being done. Cheap: draws ten times a second at most. */
void progress_update(double done, const gchar *what);
/** Takes the bar off the terminal; nothing if none stands there. */
void progress_wipe(void);

G_END_DECLS
#endif

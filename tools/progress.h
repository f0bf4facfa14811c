/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Progress for people, a bar or a line: drawn on stderr when it is a terminal and the work has taken longer than a
 * second.
 */
#ifndef GPUDL_TOOLS_PROGRESS_H
#define GPUDL_TOOLS_PROGRESS_H

#include <glib.h>

G_BEGIN_DECLS

/** Starts counting the second. */
void progress_start(void);
/** done within 0..1, what is being done. Cheap: draws ten times a second at most. */
void progress_update(double done, const gchar *what);
/** The same without a bar, for work whose end is unknown: what has been done. TRUE: it is time to call it; what it
 * costs to make the text is spent ten times a second at most. */
gboolean progress_is_due(void);
void progress_tell(const gchar *text);
/** Takes the bar off the terminal; nothing if none stands there. */
void progress_wipe(void);

G_END_DECLS
#endif

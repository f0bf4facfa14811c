/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Classifications as text: JSON lines for programs, a readable form for people.
 */
#ifndef GPUDL_TOOLS_RESULTS_H
#define GPUDL_TOOLS_RESULTS_H

#include "engine/gpudl.h"

G_BEGIN_DECLS

/** Label of a class: own[id] if own is not NULL, else the model's, else the id in decimal, written to room (at least 16
 * bytes) then. */
const gchar *results_label(GpudlModel *model, gchar **own, guint32 id, gchar room[16]);

/** Appends it printable. */
void results_append_label(GString *out, GpudlModel *model, gchar **own, guint32 id);

/**
 * Appends one object without a newline:
 * {"file": string, "frame": number, "pts": ns or null, "results": [{"id", "label", "confidence"}]}
 * Bytes of a file name that are not UTF-8 become U+FFFD; a confidence that is no number becomes null.
 */
void results_append_json(GString *out, const gchar *file, guint64 frame, gint64 pts, GpudlModel *model, gchar **own,
                         const GpudlClass *classes, guint n);

/** Appends text as a JSON string with its quotes. */
void results_append_json_string(GString *out, const gchar *text);

/** "98.5 %" for probabilities, else the number. */
void results_append_confidence(GString *out, float confidence, gboolean probability);

G_END_DECLS
#endif

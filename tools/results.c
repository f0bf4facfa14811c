/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/results.h"

#include <math.h>
#include <string.h>

#include "tools/text.h"

const gchar *results_label(GpudlModel *model, gchar **own, guint32 id, gchar room[16])
{
    const gchar *label = own != NULL ? own[id] : gpudl_model_get_label(model, id);

    if (label != NULL)
        return label;
    g_snprintf(room, 16, "%u", id);
    return room;
}

void results_append_label(GString *out, GpudlModel *model, gchar **own, guint32 id)
{
    gchar room[16];
    g_autofree gchar *text = text_printable(results_label(model, own, id, room));

    g_string_append(out, text);
}

void results_append_json_string(GString *out, const gchar *text)
{
    g_autofree gchar *valid = g_utf8_make_valid(text, -1);

    g_string_append_c(out, '"');
    for (const gchar *p = valid; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            g_string_append_printf(out, "\\%c", *p);
        else if ((guchar)*p < 0x20 || *p == 0x7f)
            g_string_append_printf(out, "\\u%04x", (guchar)*p);
        else
            g_string_append_c(out, *p);
    }
    g_string_append_c(out, '"');
}

void results_append_json(GString *out, const gchar *file, guint64 frame, gint64 pts, GpudlModel *model, gchar **own,
                         const GpudlClass *classes, guint n)
{
    gchar room[16], number[G_ASCII_DTOSTR_BUF_SIZE];

    g_string_append(out, "{\"file\": ");
    results_append_json_string(out, file);
    g_string_append_printf(out, ", \"frame\": %" G_GUINT64_FORMAT ", \"pts\": ", frame);
    if (pts >= 0)
        g_string_append_printf(out, "%" G_GINT64_FORMAT, pts);
    else
        g_string_append(out, "null");
    g_string_append(out, ", \"results\": [");
    for (guint i = 0; i < n; i++) {
        g_string_append_printf(out, "%s{\"id\": %u, \"label\": ", i == 0 ? "" : ", ", classes[i].id);
        results_append_json_string(out, results_label(model, own, classes[i].id, room));
        g_string_append_printf(out, ", \"confidence\": %s}",
                               isfinite(classes[i].confidence)
                                   ? g_ascii_formatd(number, sizeof number, "%.7g", classes[i].confidence)
                                   : "null");
    }
    g_string_append(out, "]}");
}

void results_append_confidence(GString *out, float confidence, gboolean probability)
{
    if (probability)
        g_string_append_printf(out, "%5.1f %%", 100.0 * confidence);
    else
        g_string_append_printf(out, "%8.4g", confidence);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/source.h"

#include <string.h>

#include "engine/shown.h"

#define MOST_NAMED 4u

void gpudl_source_info_clear(GpudlSourceInfo *info)
{
    g_free(info->producer);
    g_free(info->graph_name);
    g_free(info->doc);
    g_free(info->format);
    g_clear_pointer(&info->files, g_array_unref);
    g_clear_pointer(&info->reads, g_array_unref);
    g_strfreev(info->labels);
    g_clear_pointer(&info->notes, g_ptr_array_unref);
    if (info->metadata != NULL)
        g_hash_table_unref(info->metadata);
    memset(info, 0, sizeof *info);
}

void gpudl_source_name_input(GString *text, guint i, guint n, const gchar *name, const GpudlShape *shape)
{
    g_autofree gchar *shown = gpudl_shown(name, GPUDL_SHOWN_BYTES);

    if (i == MOST_NAMED)
        g_string_append_printf(text, " and %u more", n - MOST_NAMED);
    if (i >= MOST_NAMED)
        return;
    g_string_append_printf(text, "%s'%s'%s", i > 0 ? ", " : "", shown,
                           shape == NULL      ? " of an unknown shape"
                           : shape->rank == 0 ? " scalar"
                                              : "");
    for (gint k = 0; shape != NULL && k < shape->rank; k++)
        if (shape->dims[k] > 0)
            g_string_append_printf(text, "%c%" G_GINT64_FORMAT, k > 0 ? 'x' : ' ', (gint64)shape->dims[k]);
        else
            g_string_append_printf(text, "%c?", k > 0 ? 'x' : ' ');
}

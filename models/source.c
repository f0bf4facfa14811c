/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/source.h"

#include <string.h>

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

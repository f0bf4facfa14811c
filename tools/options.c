/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/options.h"

#include <string.h>

static gboolean takes_value(const GOptionEntry *entry)
{
    return entry->arg != G_OPTION_ARG_NONE &&
           !(entry->arg == G_OPTION_ARG_CALLBACK && (entry->flags & G_OPTION_FLAG_NO_ARG) != 0);
}

/* Of an option given by its letter or, where that is 0, its name; options that do not exist take none. */
static gboolean has_value(const GOptionEntry *entries, gchar letter, const gchar *name)
{
    for (const GOptionEntry *entry = entries; entry->long_name != NULL; entry++)
        if (letter != 0 ? entry->short_name == letter : strcmp(entry->long_name, name) == 0)
            return takes_value(entry);
    return FALSE;
}

/* Adds a cluster of short options; TRUE if the next argument is the value of its last. */
static gboolean part_cluster(GPtrArray *parted, const gchar *cluster, const GOptionEntry *entries)
{
    gsize i = 1;

    while (cluster[i] != '\0' && !has_value(entries, cluster[i], NULL))
        i++;
    if (cluster[i] == '\0' || cluster[i + 1] == '\0') {
        g_ptr_array_add(parted, g_strdup(cluster));
        return cluster[i] != '\0';
    }
    g_ptr_array_add(parted, g_strndup(cluster, i + 1));
    g_ptr_array_add(parted, g_strdup(cluster + i + 1));
    return FALSE;
}

gchar **options_part_values(gchar *const *argv, const GOptionEntry *entries)
{
    g_autoptr(GPtrArray) parted = g_ptr_array_new();
    gboolean value = TRUE; /* the program's name is no option either */

    for (; *argv != NULL; argv++) {
        if (!value && strcmp(*argv, "--") == 0)
            break;
        if (!value && (*argv)[0] == '-' && (*argv)[1] != '-' && (*argv)[1] != '\0') {
            value = part_cluster(parted, *argv, entries);
            continue;
        }
        value = !value && g_str_has_prefix(*argv, "--") && has_value(entries, 0, *argv + 2);
        g_ptr_array_add(parted, g_strdup(*argv));
    }
    for (; *argv != NULL; argv++)
        g_ptr_array_add(parted, g_strdup(*argv));
    g_ptr_array_add(parted, NULL);
    return (gchar **)g_ptr_array_free(g_steal_pointer(&parted), FALSE);
}

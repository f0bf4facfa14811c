/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shown.h"

#include <string.h>

gchar *gpudl_shown(const gchar *text, gsize most)
{
    g_autofree gchar *valid = g_utf8_make_valid(text != NULL ? text : "", -1);
    gsize n = most;

    if (strlen(valid) <= most)
        return g_steal_pointer(&valid);
    while (n > 0 && ((guchar)valid[n] & 0xc0) == 0x80) /* in the middle of a character */
        n--;
    valid[n] = '\0';
    return g_strconcat(valid, "...", NULL);
}

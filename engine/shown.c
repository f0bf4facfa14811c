/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/shown.h"

#include <string.h>

/* Valid UTF-8 without control characters, in place: those of two bytes become two blanks. */
static void make_one_line(gchar *text)
{
    for (gchar *at = text; *at != '\0';) {
        gchar *next = g_utf8_next_char(at);

        if (g_unichar_iscntrl(g_utf8_get_char(at)))
            memset(at, ' ', (gsize)(next - at));
        at = next;
    }
}

gchar *gpudl_shown(const gchar *text, gsize most)
{
    g_autofree gchar *valid = g_utf8_make_valid(text != NULL ? text : "", -1);
    gsize n = most;

    make_one_line(valid);
    if (strlen(valid) <= most)
        return g_steal_pointer(&valid);
    while (n > 0 && ((guchar)valid[n] & 0xc0) == 0x80) /* in the middle of a character */
        n--;
    valid[n] = '\0';
    return g_strconcat(valid, "...", NULL);
}

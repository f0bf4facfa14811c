/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/text.h"

/* Also what embeds, overrides or isolates a direction of writing: it would turn round what is shown after the text. */
static gboolean steers(gunichar c)
{
    return g_unichar_iscntrl(c) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

gchar *text_printable(const gchar *text)
{
    g_autofree gchar *valid = g_utf8_make_valid(text, -1);
    GString *shown = g_string_new(NULL);

    for (const gchar *p = valid; *p != '\0'; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        g_string_append_unichar(shown, steers(c) ? 0xfffd : c);
    }
    return g_string_free(shown, FALSE);
}

gchar *text_printable_lines(const gchar *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (guint i = 0; lines[i] != NULL; i++) {
        gchar *shown = text_printable(lines[i]);

        g_free(lines[i]);
        lines[i] = shown;
    }
    return g_strjoinv("\n", lines);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Texts that come from files, before they go to a terminal or a page: a name does not steer who shows it.
 */
#ifndef GPUDL_TOOLS_TEXT_H
#define GPUDL_TOOLS_TEXT_H

#include <glib.h>

G_BEGIN_DECLS

/** A copy without bytes that are no UTF-8, without control characters and without those that change the direction of
 * writing: U+FFFD in their places. Freed by the caller, like the next. */
gchar *text_printable(const gchar *text);
/** The same but for the ends of lines, which stay. */
gchar *text_printable_lines(const gchar *text);

G_END_DECLS
#endif

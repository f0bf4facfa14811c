/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Ctrl-C while something long is under way.
 */
#ifndef GPUDL_TOOLS_INTERRUPT_H
#define GPUDL_TOOLS_INTERRUPT_H

#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * From here to interrupt_end() SIGINT cancels what is returned, which is the caller's to unref; a second one ends the
 * program as ever. A SIGINT that the program was started to ignore stays ignored. Does not nest.
 */
GCancellable *interrupt_begin(void);
/** From here on a program that has not ended so long after the SIGINT is ended with EXIT_INTERRUPTED. */
void interrupt_limit(guint ms);
void interrupt_end(void);

/**
 * Says "interrupted" with what came of it (NULL: nothing more), and ends the program with EXIT_INTERRUPTED at once:
 * what was cancelled may still be winding up in a thread, which must not meet the libraries' own ends.
 */
void interrupt_exit(const gchar *command, const gchar *outcome) G_GNUC_NORETURN;

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Files that commands read and write.
 */
#ifndef GPUDL_TOOLS_FILES_H
#define GPUDL_TOOLS_FILES_H

#include "engine/gpudl.h"

G_BEGIN_DECLS

/** FALSE with INVALID_ARGUMENT if a file that is to be written is one that is read, by whatever name: a path, a file
 * URI, a link. option ("--html") says which, what what it is read as; input NULL: nothing is read. */
gboolean files_check_output(const gchar *option, const gchar *output, const gchar *input, const gchar *what,
                            GError **error);

/** A file can be written at path, as far as that can be told before there is something to write: what it would replace
 * is a regular file, if anything, and its folder lets it. Errors: WRITE, the message begins with the path. */
gboolean files_check_writable(const gchar *path, GError **error);

/** Writes a file, which is replaced at once, when all is there; what is no regular file (a device, a pipe) never is.
 * Errors: WRITE, the message begins with the path. */
gboolean files_write(const gchar *path, GBytes *bytes, GError **error);

G_END_DECLS
#endif

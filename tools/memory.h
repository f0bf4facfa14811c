/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GPUDL_TOOLS_MEMORY_H
#define GPUDL_TOOLS_MEMORY_H

#include <glib.h>

G_BEGIN_DECLS

/** From now on blocks of 256 kB and more are the system's again as soon as they are freed. Else the C library keeps
 * what lies between others, several times a network's weights after reading it twice. For commands that need a file's
 * weights one graph after the other; makes allocating slower. Does nothing where the C library can't be told so. */
void memory_give_back(void);

G_END_DECLS
#endif

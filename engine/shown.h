/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Text of foreign files in messages and notes, which are one line of UTF-8, short enough to be read, whatever stands
 * in the file. */
#ifndef GPUDL_ENGINE_SHOWN_H
#define GPUDL_ENGINE_SHOWN_H

#include <glib.h>

G_BEGIN_DECLS

#define GPUDL_SHOWN_BYTES 64          /* of a value that is wrong */
#define GPUDL_SHOWN_MESSAGE_BYTES 256 /* of a library's message, which may repeat what it has found */
#define GPUDL_SHOWN_NOTE_BYTES 1024   /* of a model's note; a net.bin's texts may have more */

/** text made valid UTF-8 with blanks for control characters, line ends too, and where it has more than `most` bytes
 * then, the characters that fit with "..." behind them. NULL: "". Caller frees. */
gchar *gpudl_shown(const gchar *text, gsize most);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Protobuf's text format, which protobuf-c does not read: into the wire format, which then is checked and unpacked like
 * any other file's.
 */
#ifndef GPUDL_MODELS_PROTOTXT_H
#define GPUDL_MODELS_PROTOTXT_H

#include <glib.h>
#include <protobuf-c/protobuf-c.h>

G_BEGIN_DECLS

/** Most bytes of a text. */
#define PROTOTXT_MAX_BYTES ((gsize)64 << 20)

/** A field that its message's type does not have; its value was read over. */
typedef struct {
    gchar *name, *type; /* the field's, and the message type's; owned */
    guint line, column; /* from 1 */
    gint top; /* index of the field of the outermost message that it is in, among those of top_name; else -1 */
    const gchar *top_name;
} PrototxtUnknown;

/**
 * Reads a text as a message of the given type and returns it in the wire format. All of the format is taken but
 * extensions and Any: '#' comments, ':' optional before a message, {} and <>, ',' and ';' between fields, [a, b] for
 * repeated fields, integers in decimal, octal and hexadecimal, enum values by name and number, strings with escapes and
 * in pieces. Fields that are not known are appended to unknown (PrototxtUnknown, made by prototxt_unknown_new()) and
 * left out. Errors: FORMAT or LIMIT, "NAME:line:column: " with what was found and what was expected; nesting is bounded
 * by GPUDL_LIMIT_NESTING.
 */
GByteArray *prototxt_read(const ProtobufCMessageDescriptor *type, const gchar *name, const gchar *text, gsize size,
                          GArray *unknown, GError **error);

/** An empty list. */
GArray *prototxt_unknown_new(void);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The protobuf wire format, walked before protobuf-c unpacks anything foreign: ONNX files and net.bin's message.
 *
 * protobuf-c recurses once per nested message without a bound and allocates what a length says. The walk here uses no
 * recursion and no memory: it follows the message structure of a descriptor, and refuses what is malformed, nested too
 * deep or would unpack into too much memory, with the byte offset.
 */
#ifndef GPUDL_ENGINE_MODELFILE_WIRE_H
#define GPUDL_ENGINE_MODELFILE_WIRE_H

#include <gio/gio.h>
#include <protobuf-c/protobuf-c.h>

#include "engine/limits.h"

G_BEGIN_DECLS

/** Most fields of a file, in all messages together. */
#define GPUDL_WIRE_MAX_FIELDS (G_GUINT64_CONSTANT(1) << 26)

/** What one unpacked message owns in memory; made by gpudl_wire_unpack(). */
typedef struct _GpudlWireMessage GpudlWireMessage;

/** Bytes that a message of this size may unpack into: its own size for the payload, and up to 64 times its size, at
 * most 1 GiB, for the structures around it. */
guint64 gpudl_wire_memory_limit(gsize size);

/**
 * Walks data as a message of the given type. Checks tags (field number not 0, no groups), varints (at most 10 bytes,
 * nothing above 64 bits, complete), lengths (inside the enclosing message), wire types of known fields, packed arrays,
 * nesting (GPUDL_LIMIT_NESTING), number of fields (GPUDL_WIRE_MAX_FIELDS) and the memory that unpacking takes
 * (gpudl_wire_memory_limit()). Errors: FORMAT or LIMIT, with byte offset, field, found and expected.
 */
gboolean gpudl_wire_check(const ProtobufCMessageDescriptor *type, const guint8 *data, gsize size, GError **error);

/**
 * Checks, then unpacks with an allocator that refuses to exceed gpudl_wire_memory_limit(). The message is freed with
 * gpudl_wire_message_free(). bytes fields are blocks of their own and may be taken over with gpudl_wire_steal_bytes().
 * Errors: as gpudl_wire_check(), and CANCELLED once cancellable (may be NULL) is.
 */
GpudlWireMessage *gpudl_wire_unpack(const ProtobufCMessageDescriptor *type, const guint8 *data, gsize size,
                                    GCancellable *cancellable, GError **error);

/** The unpacked message: cast to the type that was asked for. */
ProtobufCMessage *gpudl_wire_message_get(GpudlWireMessage *message);
void gpudl_wire_message_free(GpudlWireMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlWireMessage, gpudl_wire_message_free)

/** Takes a bytes field's content out of its unpacked message, without a copy; the field is empty afterwards. The block
 * is aligned as malloc aligns, a large one to 64 bytes. */
GBytes *gpudl_wire_steal_bytes(ProtobufCBinaryData *field);

G_END_DECLS
#endif

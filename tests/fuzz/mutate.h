/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Protobuf messages taken apart, damaged in their fields, and put together again with right lengths: damage that gets
 * past the wire format. Field numbers only; what a field means is not known here.
 */
#ifndef GPUDL_TESTS_FUZZ_MUTATE_H
#define GPUDL_TESTS_FUZZ_MUTATE_H

#include <glib.h>

G_BEGIN_DECLS

/** Which fields are messages: a list of message types, ends with one of name NULL; type 0 is the file's outermost. */
typedef struct {
    const gchar *name;
    struct {
        guint32 field;
        guint type; /* index in the list */
    } messages[8];  /* ends with field 0 */
} MutateSchema;

/** ONNX's ModelProto, and the MODEL section of a net.bin. */
extern const MutateSchema mutate_onnx[], mutate_netbin[];

typedef struct _MutateField MutateField;

/** Takes a message apart; aborts if it is not well-formed. */
MutateField *mutate_parse(const MutateSchema *schema, const guint8 *data, gsize size);
MutateField *mutate_copy(const MutateField *message);
void mutate_free(MutateField *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MutateField, mutate_free)

/** Changes, removes, doubles or moves one field picked by chance (g_test_rand_int). */
void mutate_once(MutateField *message);

/** The message's bytes. */
GByteArray *mutate_serialize(const MutateField *message);

G_END_DECLS
#endif

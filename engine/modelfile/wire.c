/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/modelfile/wire.h"

#include "engine/gpudl.h"
#include "engine/pages.h"

/* protobuf-c keeps one record of this size per field while it parses a message, in arrays that double. */
#define SCRATCH_PER_FIELD 96u
#define BLOCK_OVERHEAD 16u    /* of one allocation; counts where strings are empty */
#define OWN_PAGES_FROM 65536u /* bytes: such blocks come straight from the system */
#define FIELDS_PER_LOOK 4096u /* between two looks at the cancellable */

/* One message that the walk is inside of. */
typedef struct {
    const ProtobufCMessageDescriptor *type;
    gsize end;
} Level;

typedef struct {
    const guint8 *data;
    gsize pos;
    guint64 fields, memory, memory_limit;
    Level levels[GPUDL_LIMIT_NESTING];
    guint depth; /* levels in use */
} Walk;

struct _GpudlWireMessage {
    ProtobufCMessage *message;
    ProtobufCAllocator allocator;
    GCancellable *cancellable; /* while unpacking */
    guint64 left;              /* bytes that may still be allocated */
    gboolean exceeded;         /* the limit, not the system, refused */
};

/* Lies before each block. */
typedef struct {
    GpudlPages *pages; /* that hold it; NULL: the heap does */
} BlockHead;
#define HEAP_HEAD 16u /* room for the head that keeps malloc's alignment */
#define PAGES_HEAD 64u

guint64 gpudl_wire_memory_limit(gsize size)
{
    const guint64 structures = G_GUINT64_CONSTANT(1) << 30;

    return (guint64)size + MIN((guint64)size * 64, structures) + (1u << 20);
}

static gboolean fail(const Walk *walk, gint code, gsize at, const ProtobufCFieldDescriptor *field, GError **error,
                     const gchar *format, ...) G_GNUC_PRINTF(6, 7);

static gboolean fail(const Walk *walk, gint code, gsize at, const ProtobufCFieldDescriptor *field, GError **error,
                     const gchar *format, ...)
{
    const Level *level = &walk->levels[walk->depth - 1];
    g_autofree gchar *what = NULL;
    va_list args;

    va_start(args, format);
    what = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, GPUDL_ERROR, code, "byte %" G_GSIZE_FORMAT ", in %s%s%s: %s", at, level->type->name,
                field != NULL ? "." : "", field != NULL ? field->name : "", what);
    return FALSE;
}

/* Reads one varint that must end before `end`; *message says what is wrong otherwise. */
static gboolean read_varint(const guint8 *data, gsize *pos, gsize end, guint64 *value, const gchar **message)
{
    guint64 v = 0;

    for (guint i = 0; i < 10; i++) {
        guint8 byte;

        if (*pos >= end) {
            *message = "a number is cut off";
            return FALSE;
        }
        byte = data[(*pos)++];
        if (i == 9 && byte > 1) {
            *message = byte & 0x80 ? "a number is longer than 10 bytes" : "a number has more than 64 bits";
            return FALSE;
        }
        v |= (guint64)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *value = v;
            return TRUE;
        }
    }
    g_assert_not_reached(); /* the tenth byte either ends the number or is refused */
}

static guint8 scalar_wire_type(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return PROTOBUF_C_WIRE_TYPE_64BIT;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    default:
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    }
}

/* A packed array of `length` bytes at walk->pos: whole elements only. Counts its memory. */
static gboolean check_packed(Walk *walk, const ProtobufCFieldDescriptor *field, gsize length, GError **error)
{
    const guint8 wire = scalar_wire_type(field->type);
    const gsize end = walk->pos + length;
    const gsize start = walk->pos;

    if (wire == PROTOBUF_C_WIRE_TYPE_32BIT || wire == PROTOBUF_C_WIRE_TYPE_64BIT) {
        const gsize size = wire == PROTOBUF_C_WIRE_TYPE_32BIT ? 4 : 8;

        if (length % size != 0)
            return fail(walk, GPUDL_ERROR_FORMAT, start, field, error,
                        "an array of %" G_GSIZE_FORMAT " bytes, which is no multiple of %" G_GSIZE_FORMAT, length,
                        size);
        walk->memory += length;
        walk->pos = end;
        return TRUE;
    }
    while (walk->pos < end) {
        const gchar *message;
        const gsize at = walk->pos;
        guint64 value;

        if (!read_varint(walk->data, &walk->pos, end, &value, &message))
            return fail(walk, GPUDL_ERROR_FORMAT, at, field, error, "%s", message);
        walk->memory += 8;
    }
    return TRUE;
}

/* The content of a length-prefixed field: bytes, a packed array, or a message, which becomes the current level. */
static gboolean enter_length(Walk *walk, const ProtobufCFieldDescriptor *field, gsize at, GError **error)
{
    const gsize end = walk->levels[walk->depth - 1].end;
    const gchar *message;
    guint64 length;

    if (!read_varint(walk->data, &walk->pos, end, &length, &message))
        return fail(walk, GPUDL_ERROR_FORMAT, at, field, error, "%s", message);
    if (length > end - walk->pos)
        return fail(walk, GPUDL_ERROR_FORMAT, at, field, error,
                    "a length of %" G_GUINT64_FORMAT " bytes where %" G_GSIZE_FORMAT " are left", length,
                    end - walk->pos);
    if (field == NULL || field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_BYTES) {
        walk->memory += length + BLOCK_OVERHEAD;
        walk->pos += length;
        return TRUE;
    }
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return check_packed(walk, field, length, error);
    if (walk->depth == GPUDL_LIMIT_NESTING)
        return fail(walk, GPUDL_ERROR_LIMIT, at, field, error, "messages are nested deeper than %u",
                    GPUDL_LIMIT_NESTING);
    walk->levels[walk->depth].type = field->descriptor;
    walk->levels[walk->depth].end = walk->pos + length;
    walk->memory += walk->levels[walk->depth].type->sizeof_message + sizeof(gpointer) + BLOCK_OVERHEAD;
    walk->depth++;
    return TRUE;
}

static gboolean check_wire_type(const Walk *walk, const ProtobufCFieldDescriptor *field, guint wire, gsize at,
                                GError **error)
{
    const guint8 expected = scalar_wire_type(field->type);

    if (wire == expected)
        return TRUE;
    if (wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED && field->label == PROTOBUF_C_LABEL_REPEATED)
        return TRUE; /* packed */
    return fail(walk, GPUDL_ERROR_FORMAT, at, field, error, "wire type %u where %u is expected", wire, expected);
}

static gboolean check_field(Walk *walk, GError **error)
{
    const Level *level = &walk->levels[walk->depth - 1];
    const ProtobufCFieldDescriptor *field = NULL;
    const gsize at = walk->pos;
    const gchar *message;
    guint64 tag, value, number;
    guint wire;

    if (!read_varint(walk->data, &walk->pos, level->end, &tag, &message))
        return fail(walk, GPUDL_ERROR_FORMAT, at, NULL, error, "%s", message);
    number = tag >> 3;
    wire = tag & 7;
    if (number == 0 || number > 536870911)
        return fail(walk, GPUDL_ERROR_FORMAT, at, NULL, error, "field number %" G_GUINT64_FORMAT, number);
    if (++walk->fields > GPUDL_WIRE_MAX_FIELDS)
        return fail(walk, GPUDL_ERROR_LIMIT, at, NULL, error, "more than %" G_GUINT64_FORMAT " fields",
                    GPUDL_WIRE_MAX_FIELDS);
    field = protobuf_c_message_descriptor_get_field(level->type, (unsigned)number);
    if (field != NULL && !check_wire_type(walk, field, wire, at, error))
        return FALSE;
    walk->memory += field != NULL ? SCRATCH_PER_FIELD + sizeof(guint64)
                                  : SCRATCH_PER_FIELD + sizeof(ProtobufCMessageUnknownField) + BLOCK_OVERHEAD;
    switch (wire) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        if (!read_varint(walk->data, &walk->pos, level->end, &value, &message))
            return fail(walk, GPUDL_ERROR_FORMAT, at, field, error, "%s", message);
        break;
    case PROTOBUF_C_WIRE_TYPE_32BIT:
    case PROTOBUF_C_WIRE_TYPE_64BIT: {
        const gsize size = wire == PROTOBUF_C_WIRE_TYPE_32BIT ? 4 : 8;

        if (level->end - walk->pos < size)
            return fail(walk, GPUDL_ERROR_FORMAT, at, field, error,
                        "a value of %" G_GSIZE_FORMAT " bytes where %" G_GSIZE_FORMAT " are left", size,
                        level->end - walk->pos);
        walk->pos += size;
        break;
    }
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        if (!enter_length(walk, field, at, error))
            return FALSE;
        break;
    default:
        return fail(walk, GPUDL_ERROR_FORMAT, at, field, error, "wire type %u (%s)", wire,
                    wire <= 4 ? "groups are not taken" : "there is no such type");
    }
    if (walk->memory > walk->memory_limit)
        return fail(walk, GPUDL_ERROR_LIMIT, at, field, error,
                    "the file would take more than %" G_GUINT64_FORMAT " bytes of memory", walk->memory_limit);
    return TRUE;
}

static gboolean stopped(GCancellable *cancellable, GError **error)
{
    if (!g_cancellable_is_cancelled(cancellable))
        return FALSE;
    g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "reading was cancelled");
    return TRUE;
}

static gboolean check(const ProtobufCMessageDescriptor *type, const guint8 *data, gsize size, GCancellable *cancellable,
                      GError **error)
{
    Walk walk = {.data = data, .memory_limit = gpudl_wire_memory_limit(size), .depth = 1};

    walk.levels[0].type = type;
    walk.levels[0].end = size;
    walk.memory = type->sizeof_message;
    while (walk.depth > 0) {
        if (walk.pos == walk.levels[walk.depth - 1].end)
            walk.depth--;
        else if (!check_field(&walk, error) || (walk.fields % FIELDS_PER_LOOK == 0 && stopped(cancellable, error)))
            return FALSE;
    }
    return TRUE;
}

gboolean gpudl_wire_check(const ProtobufCMessageDescriptor *type, const guint8 *data, gsize size, GError **error)
{
    return check(type, data, size, NULL, error);
}

static BlockHead *head_of(void *block)
{
    return (BlockHead *)((guint8 *)block - HEAP_HEAD);
}

/* Tensors' data comes here as one block each: what the heap has to do with it would stay in the heap. */
static void *alloc_block(gsize size)
{
    GpudlPages *pages = NULL;
    guint8 *start;

    if (size > G_MAXSIZE - PAGES_HEAD)
        return NULL;
    if (size < OWN_PAGES_FROM) {
        start = g_try_malloc(size + HEAP_HEAD);
        if (start == NULL)
            return NULL;
        start += HEAP_HEAD;
    } else {
        pages = gpudl_pages_new(size + PAGES_HEAD);
        if (pages == NULL)
            return NULL;
        start = gpudl_pages_get_data(pages) + PAGES_HEAD;
    }
    head_of(start)->pages = pages;
    return start;
}

static void free_block(void *block)
{
    if (block == NULL)
        return;
    if (head_of(block)->pages != NULL)
        gpudl_pages_unref(head_of(block)->pages);
    else
        g_free((guint8 *)block - HEAP_HEAD);
}

static void *limited_alloc(void *data, size_t size)
{
    GpudlWireMessage *message = data;

    if (size > message->left || message->left - size < BLOCK_OVERHEAD) {
        message->exceeded = TRUE;
        return NULL;
    }
    message->left -= size + BLOCK_OVERHEAD;
    return g_cancellable_is_cancelled(message->cancellable) ? NULL : alloc_block(size);
}

static void limited_free(void *data, void *block)
{
    free_block(block);
}

GpudlWireMessage *gpudl_wire_unpack(const ProtobufCMessageDescriptor *type, const guint8 *data, gsize size,
                                    GCancellable *cancellable, GError **error)
{
    g_autoptr(GpudlWireMessage) message = NULL;

    if (!check(type, data, size, cancellable, error))
        return NULL;
    message = g_new0(GpudlWireMessage, 1);
    message->allocator.alloc = limited_alloc;
    message->allocator.free = limited_free;
    message->allocator.allocator_data = message;
    message->cancellable = cancellable;
    message->left = gpudl_wire_memory_limit(size);
    message->message = protobuf_c_message_unpack(type, &message->allocator, size, data);
    message->cancellable = NULL;
    if (message->message != NULL)
        return g_steal_pointer(&message);
    if (stopped(cancellable, error))
        return NULL;
    if (message->exceeded)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                    "unpacking %s takes more than %" G_GUINT64_FORMAT " bytes of memory", type->name,
                    gpudl_wire_memory_limit(size));
    else
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "%s can't be unpacked: a required field is missing or memory ran out", type->name);
    return NULL;
}

ProtobufCMessage *gpudl_wire_message_get(GpudlWireMessage *message)
{
    return message->message;
}

void gpudl_wire_message_free(GpudlWireMessage *message)
{
    if (message == NULL)
        return;
    if (message->message != NULL)
        protobuf_c_message_free_unpacked(message->message, &message->allocator);
    g_free(message);
}

GBytes *gpudl_wire_steal_bytes(ProtobufCBinaryData *field)
{
    GBytes *bytes = g_bytes_new_with_free_func(field->data, field->len, free_block, field->data);

    field->data = NULL;
    field->len = 0;
    return bytes;
}

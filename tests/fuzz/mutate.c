/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mutate.h"

#include <string.h>

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct _MutateField {
    guint32 number;
    guint wire;
    guint64 value;       /* numbers */
    GByteArray *bytes;   /* texts, packed numbers, raw data */
    GPtrArray *children; /* messages */
};

const MutateSchema mutate_onnx[] = {
    {"ModelProto", {{7, 1}, {8, 9}, {14, 9}}},
    {"GraphProto", {{1, 2}, {5, 4}, {11, 5}, {12, 5}, {13, 5}}},
    {"NodeProto", {{5, 3}}},
    {"AttributeProto", {{5, 4}, {6, 1}}},
    {"TensorProto", {{13, 9}}},
    {"ValueInfoProto", {{2, 6}}},
    {"TypeProto", {{1, 7}}},
    {"TypeProto.Tensor", {{2, 8}}},
    {"TensorShapeProto", {{1, 9}}},
    {"message of plain fields", {{0, 0}}},
    {NULL, {{0, 0}}},
};

const MutateSchema mutate_netbin[] = {
    {"Model", {{2, 2}, {3, 1}, {8, 2}, {11, 2}, {12, 2}}},
    {"Node", {{5, 2}}},
    {"message of plain fields", {{0, 0}}},
    {NULL, {{0, 0}}},
};

static guint64 read_varint(const guint8 **at, const guint8 *end)
{
    guint64 value = 0;
    for (guint shift = 0; shift < 70; shift += 7) {
        g_assert_true(*at < end);
        guint8 byte = *(*at)++;
        value |= (guint64)(byte & 127) << MIN(shift, 63);
        if (byte < 128)
            return value;
    }
    g_assert_not_reached();
}

static void write_varint(GByteArray *out, guint64 value)
{
    do {
        guint8 byte = (guint8)(value & 127) | (value > 127 ? 128 : 0);
        g_byte_array_append(out, &byte, 1);
        value >>= 7;
    } while (value != 0);
}

static MutateField *field_new(guint32 number, guint wire)
{
    MutateField *field = g_new0(MutateField, 1);
    field->number = number;
    field->wire = wire;
    return field;
}

void mutate_free(MutateField *field)
{
    g_clear_pointer(&field->bytes, g_byte_array_unref);
    g_clear_pointer(&field->children, g_ptr_array_unref);
    g_free(field);
}

static MutateField *message_new(guint32 number)
{
    MutateField *field = field_new(number, WIRE_BYTES);
    field->children = g_ptr_array_new_with_free_func((GDestroyNotify)mutate_free);
    return field;
}

static MutateField *parse(const MutateSchema *schema, guint type, guint32 number, const guint8 *at, gsize size)
{
    MutateField *message = message_new(number);
    const guint8 *end = at + size;
    while (at < end) {
        guint64 key = read_varint(&at, end);
        MutateField *field = field_new((guint32)(key >> 3), (guint)(key & 7));
        guint inner = 0;
        if (field->wire == WIRE_VARINT) {
            field->value = read_varint(&at, end);
        } else if (field->wire == WIRE_FIXED32 || field->wire == WIRE_FIXED64) {
            gsize width = field->wire == WIRE_FIXED32 ? 4 : 8;
            g_assert_cmpuint((gsize)(end - at), >=, width);
            memcpy(&field->value, at, width);
            at += width;
        } else {
            g_assert_cmpuint(field->wire, ==, WIRE_BYTES);
            guint64 length = read_varint(&at, end);
            g_assert_cmpuint((guint64)(end - at), >=, length);
            for (guint i = 0; schema[type].messages[i].field != 0; i++)
                if (schema[type].messages[i].field == field->number)
                    inner = schema[type].messages[i].type;
            if (inner != 0) {
                mutate_free(field);
                field = parse(schema, inner, (guint32)(key >> 3), at, (gsize)length);
            } else {
                field->bytes = g_byte_array_new();
                g_byte_array_append(field->bytes, at, (guint)length);
            }
            at += length;
        }
        g_ptr_array_add(message->children, field);
    }
    return message;
}

MutateField *mutate_parse(const MutateSchema *schema, const guint8 *data, gsize size)
{
    return parse(schema, 0, 0, data, size);
}

MutateField *mutate_copy(const MutateField *field)
{
    MutateField *copy = field_new(field->number, field->wire);
    copy->value = field->value;
    if (field->bytes != NULL) {
        copy->bytes = g_byte_array_new();
        g_byte_array_append(copy->bytes, field->bytes->data, field->bytes->len);
    }
    if (field->children != NULL) {
        copy->children = g_ptr_array_new_with_free_func((GDestroyNotify)mutate_free);
        for (guint i = 0; i < field->children->len; i++)
            g_ptr_array_add(copy->children, mutate_copy(g_ptr_array_index(field->children, i)));
    }
    return copy;
}

GByteArray *mutate_serialize(const MutateField *message)
{
    GByteArray *out = g_byte_array_new();
    for (guint i = 0; i < message->children->len; i++) {
        const MutateField *field = g_ptr_array_index(message->children, i);
        write_varint(out, (guint64)field->number << 3 | field->wire);
        if (field->wire == WIRE_VARINT) {
            write_varint(out, field->value);
        } else if (field->wire == WIRE_BYTES) {
            g_autoptr(GByteArray) inner = field->children != NULL ? mutate_serialize(field) : NULL;
            const GByteArray *bytes = inner != NULL ? inner : field->bytes;
            write_varint(out, bytes->len);
            g_byte_array_append(out, bytes->data, bytes->len);
        } else {
            g_byte_array_append(out, (const guint8 *)&field->value, field->wire == WIRE_FIXED32 ? 4 : 8);
        }
    }
    return out;
}

static guint chance(guint n)
{
    return (guint)g_test_rand_int_range(0, (gint32)n);
}

/* Every message of the tree, outermost first. */
static void collect(MutateField *message, GPtrArray *all)
{
    g_ptr_array_add(all, message);
    for (guint i = 0; i < message->children->len; i++) {
        MutateField *field = g_ptr_array_index(message->children, i);
        if (field->children != NULL)
            collect(field, all);
    }
}

static void change_number(MutateField *field)
{
    static const guint64 integers[] = {0,
                                       1,
                                       2,
                                       3,
                                       5,
                                       7,
                                       8,
                                       16,
                                       63,
                                       64,
                                       255,
                                       256,
                                       65535,
                                       65536,
                                       1u << 20,
                                       1u << 24,
                                       G_MAXINT32,
                                       1u << 31,
                                       G_MAXUINT32,
                                       G_GUINT64_CONSTANT(1) << 32,
                                       G_MAXINT64,
                                       G_MAXUINT64,
                                       G_MAXUINT64 - 1,
                                       G_GUINT64_CONSTANT(1) << 63};
    static const guint32 floats[] = {0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
                                     0xff800000, 0x7fc00000, 0x00000001, 0x7f7fffff, 0x5f000000};
    if (field->wire == WIRE_FIXED32)
        field->value = floats[chance(G_N_ELEMENTS(floats))];
    else if (chance(4) == 0)
        field->value ^= G_GUINT64_CONSTANT(1) << chance(64);
    else
        field->value = integers[chance(G_N_ELEMENTS(integers))];
}

static void change_bytes(GByteArray *bytes)
{
    guint length = bytes->len;
    switch (chance(4)) {
    case 0: /* shorter */
        g_byte_array_set_size(bytes, length > 0 ? chance(length) : 0);
        break;
    case 1: /* longer */
        g_byte_array_set_size(bytes, length + 1 + chance(16));
        memset(bytes->data + length, (gint)chance(256), bytes->len - length);
        break;
    case 2: /* one byte; the last one makes or ends a packed number */
        if (length > 0)
            bytes->data[chance(2) ? length - 1 : chance(length)] = (guint8)chance(256);
        break;
    default: /* a packed list of extremes */
        g_byte_array_set_size(bytes, 0);
        for (guint n = chance(9); n > 0; n--)
            write_varint(bytes, chance(3) == 0 ? G_MAXUINT64 >> chance(64) : chance(300));
    }
}

void mutate_once(MutateField *message)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    collect(message, all);
    /* the fields of all messages have the same chance, so the many small messages count as much as they should */
    guint total = 0;
    for (guint i = 0; i < all->len; i++)
        total += ((MutateField *)g_ptr_array_index(all, i))->children->len;
    if (total == 0)
        return;
    guint pick = chance(total);
    MutateField *parent = NULL;
    for (guint i = 0; parent == NULL; i++) {
        MutateField *candidate = g_ptr_array_index(all, i);
        if (pick < candidate->children->len)
            parent = candidate;
        else
            pick -= candidate->children->len;
    }
    MutateField *field = g_ptr_array_index(parent->children, pick);
    switch (chance(8)) {
    case 0:
        g_ptr_array_remove_index(parent->children, pick);
        break;
    case 1:
        g_ptr_array_insert(parent->children, (gint)chance(parent->children->len + 1), mutate_copy(field));
        break;
    case 2: { /* takes another's place */
        guint other = chance(parent->children->len);
        parent->children->pdata[pick] = parent->children->pdata[other];
        parent->children->pdata[other] = field;
        break;
    }
    case 3: /* becomes what a brother is */
        if (field->number == 0)
            break;
        field->number = chance(16) + 1;
        break;
    default:
        if (field->wire != WIRE_BYTES)
            change_number(field);
        else if (field->bytes != NULL)
            change_bytes(field->bytes);
        else
            g_ptr_array_set_size(field->children, (gint)chance(field->children->len + 1));
    }
}

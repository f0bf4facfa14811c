/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/onnx/onnx-apart.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "engine/constants.h"
#include "engine/gpudl.h"
#include "engine/modelfile/sum.h"
#include "engine/modelfile/wire.h"
#include "models/onnx/onnx.h"
#include "models/onnx/onnx.pb-c.h"

#define WINDOW ((gsize)64 << 10) /* what is read ahead of the walk */
#define PIECE ((gsize)512 << 10) /* read and summed at once: then it is still near the processor */
#define MOST_BYTES 10            /* of a varint */

enum { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5 };

/* The walk through the file; what it has passed is in rest, but for values that lie apart. */
typedef struct {
    gint fd;
    gsize size, read, at; /* bytes of the file, of those read, of those passed */
    guint8 window[WINDOW];
    gsize begin, end; /* of what is in the window and not passed */
    GpudlSum *sum;
    guint8 *rest;
    gsize n_rest;
    GpudlRoom *room;
    GPtrArray *values;
    gboolean graph_seen;
    guint graph, initializer, raw_data; /* field numbers */
    GCancellable *cancellable;
} Walk;

/* A message or field that was entered: where its length is in rest. */
typedef struct {
    gsize at, n_bytes; /* of the length itself */
    guint64 length;
    gsize end; /* in the file */
} Field;

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static gboolean read_on(Walk *walk, guint8 *to, gsize n)
{
    for (gsize done = 0; done < n;) {
        const gssize got = read(walk->fd, to + done, MIN(n - done, PIECE));

        if (g_cancellable_is_cancelled(walk->cancellable))
            return FALSE;
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return FALSE;
        gpudl_sum_add(walk->sum, to + done, (gsize)got);
        done += (gsize)got;
    }
    walk->read += n;
    return TRUE;
}

/* The next n bytes of the file, of which the caller knows that they are in it. */
static gboolean pass(Walk *walk, guint8 *to, gsize n)
{
    walk->at += n;
    while (n > 0) {
        gsize some = MIN(walk->end - walk->begin, n);

        memcpy(to, walk->window + walk->begin, some);
        walk->begin += some;
        to += some;
        n -= some;
        if (n >= WINDOW) {
            some = n / WINDOW * WINDOW;
            if (!read_on(walk, to, some))
                return FALSE;
            to += some;
            n -= some;
        }
        if (n > 0) {
            walk->begin = 0;
            walk->end = MIN(walk->size - walk->read, WINDOW);
            if (!read_on(walk, walk->window, walk->end))
                return FALSE;
        }
    }
    return TRUE;
}

static gboolean keep(Walk *walk, gsize n, gsize end)
{
    if (n > end - walk->at || !pass(walk, walk->rest + walk->n_rest, n))
        return FALSE;
    walk->n_rest += n;
    return TRUE;
}

static gboolean keep_varint(Walk *walk, gsize end, guint64 *value)
{
    *value = 0;
    for (guint i = 0; i < MOST_BYTES; i++) {
        guint8 byte;

        if (!keep(walk, 1, end))
            return FALSE;
        byte = walk->rest[walk->n_rest - 1];
        *value |= (guint64)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0)
            return TRUE;
    }
    return FALSE;
}

/* ---- fields ------------------------------------------------------------------------------------------------------ */

static gboolean enter(Walk *walk, gsize end, Field *field)
{
    field->at = walk->n_rest;
    if (!keep_varint(walk, end, &field->length) || field->length > end - walk->at)
        return FALSE;
    field->n_bytes = walk->n_rest - field->at;
    field->end = walk->at + field->length;
    return TRUE;
}

/* Says that a field is shorter now, in as many bytes as before. */
static void set_length(Walk *walk, const Field *field, guint64 length)
{
    for (gsize i = 0; i < field->n_bytes; i++, length >>= 7)
        walk->rest[field->at + i] = (guint8)(length & 0x7f) | (i + 1 < field->n_bytes ? 0x80 : 0);
}

/* What a message has lost of its length, which was all between `before` and here. */
static void leave(Walk *walk, const Field *field)
{
    set_length(walk, field, walk->n_rest - field->at - field->n_bytes);
}

/* A field of which the tag is passed. */
static gboolean keep_field(Walk *walk, guint64 tag, gsize end)
{
    guint64 value;

    switch (tag & 7) {
    case VARINT:
        return keep_varint(walk, end, &value);
    case FIXED64:
        return keep(walk, 8, end);
    case FIXED32:
        return keep(walk, 4, end);
    case LENGTH:
        return keep_varint(walk, end, &value) && value <= end - walk->at && keep(walk, (gsize)value, end);
    default:
        return FALSE;
    }
}

static gboolean is_field(guint64 tag, guint number)
{
    return tag == ((guint64)number << 3 | LENGTH);
}

/* raw_data, behind its tag; *values gets them if they lie apart now. */
static gboolean walk_values(Walk *walk, gsize end, GBytes **values)
{
    Field field;
    gsize offset;
    guint8 *to;

    if (!enter(walk, end, &field))
        return FALSE;
    to = field.length > GPUDL_SMALL_CONSTANT ? gpudl_room_take(walk->room, field.length, &offset) : NULL;
    if (to == NULL)
        return keep(walk, field.length, end);
    if (!pass(walk, to, field.length))
        return FALSE;
    set_length(walk, &field, 0);
    *values = gpudl_room_slice(walk->room, offset, field.length);
    return TRUE;
}

static gboolean walk_initializer(Walk *walk, gsize end)
{
    gboolean seen = FALSE;
    GBytes *values = NULL;
    Field field;
    guint64 tag;
    gboolean ok;

    for (ok = enter(walk, end, &field); ok && walk->at < field.end;) {
        ok = keep_varint(walk, field.end, &tag);
        if (!ok)
            break;
        if (!is_field(tag, walk->raw_data)) {
            ok = keep_field(walk, tag, field.end);
            continue;
        }
        ok = !seen && walk_values(walk, field.end, &values); /* of two the last counts */
        seen = TRUE;
    }
    if (ok)
        leave(walk, &field);
    g_ptr_array_add(walk->values, values);
    return ok && walk->values->len <= GPUDL_LIMIT_TENSORS;
}

static gboolean walk_graph(Walk *walk, gsize end)
{
    Field field;
    guint64 tag;

    if (walk->graph_seen || !enter(walk, end, &field)) /* two would become one */
        return FALSE;
    walk->graph_seen = TRUE;
    while (walk->at < field.end)
        if (!keep_varint(walk, field.end, &tag) ||
            !(is_field(tag, walk->initializer) ? walk_initializer(walk, field.end) : keep_field(walk, tag, field.end)))
            return FALSE;
    leave(walk, &field);
    return TRUE;
}

static gboolean walk_model(Walk *walk)
{
    guint64 tag;

    while (walk->at < walk->size)
        if (!keep_varint(walk, walk->size, &tag) ||
            !(is_field(tag, walk->graph) ? walk_graph(walk, walk->size) : keep_field(walk, tag, walk->size)))
            return FALSE;
    return TRUE;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static guint number_of(const ProtobufCMessageDescriptor *type, const gchar *name)
{
    return protobuf_c_message_descriptor_get_field_by_name(type, name)->id;
}

/* Whether the file begins as an ONNX file does. What was looked at is in the window. */
static gboolean looks_right(Walk *walk)
{
    walk->end = MIN(walk->size, WINDOW);
    return read_on(walk, walk->window, walk->end) && gpudl_onnx_sniff(walk->window, walk->end);
}

static void free_values(gpointer data)
{
    g_bytes_unref(data);
}

gboolean gpudl_onnx_read_apart(GpudlOnnxApart *apart, gint fd, gsize size, GpudlRoom *room, GCancellable *cancellable,
                               GError **error)
{
    g_autoptr(GpudlPages) rest = gpudl_pages_new(size);
    g_autoptr(GpudlSum) sum = gpudl_sum_new();
    g_autofree Walk *walk = g_new(Walk, 1);
    gboolean ok;

    if (rest == NULL)
        return FALSE;
    *walk = (Walk){.fd = fd,
                   .size = size,
                   .sum = sum,
                   .rest = gpudl_pages_get_data(rest),
                   .room = room,
                   .values = g_ptr_array_new_with_free_func(free_values),
                   .graph = number_of(&onnx__model_proto__descriptor, "graph"),
                   .initializer = number_of(&onnx__graph_proto__descriptor, "initializer"),
                   .raw_data = number_of(&onnx__tensor_proto__descriptor, "raw_data"),
                   .cancellable = cancellable};
    ok = looks_right(walk) && walk_model(walk) &&
         gpudl_wire_check(&onnx__model_proto__descriptor, walk->rest, walk->n_rest, NULL);
    if (ok) {
        gpudl_pages_shrink(rest, walk->n_rest);
        apart->rest = gpudl_pages_slice(rest, 0, walk->n_rest);
        apart->values = g_ptr_array_ref(walk->values);
        gpudl_sum_get(sum, apart->sum);
    } else if (g_cancellable_is_cancelled(cancellable)) {
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "reading was cancelled");
    }
    g_ptr_array_unref(walk->values);
    return ok;
}

void gpudl_onnx_apart_clear(GpudlOnnxApart *apart)
{
    g_clear_pointer(&apart->rest, g_bytes_unref);
    g_clear_pointer(&apart->values, g_ptr_array_unref);
    apart->sum[0] = '\0';
}

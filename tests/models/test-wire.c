/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The walk of the wire format: what it refuses, with which words and at which byte. Messages are ONNX's. */
#include <string.h>

#include "engine/gpudl.h"
#include "engine/modelfile/wire.h"
#include "models/onnx/onnx.pb-c.h"
#include "tests/models/onnx-writer.h"

static const OnnxText small = {13, "x:f32:1x2x3", "s:i64:2=1,-1", "Reshape x s -> y {allowzero=0}; Relu y -> z", "z"};

static void expect(GByteArray *data, gint code, const gchar *text)
{
    g_autoptr(GError) error = NULL;
    const gboolean ok = gpudl_wire_check(&onnx__model_proto__descriptor, data->data, data->len, &error);

    if (text == NULL) {
        g_assert_no_error(error);
        g_assert_true(ok);
    } else {
        g_assert_false(ok);
        g_assert_error(error, GPUDL_ERROR, code);
        if (strstr(error->message, text) == NULL)
            g_error("'%s' does not say '%s'", error->message, text);
    }
    g_byte_array_unref(data);
}

static GByteArray *bytes(const gchar *data, gsize size)
{
    GByteArray *array = g_byte_array_new();

    return g_byte_array_append(array, (const guint8 *)data, (guint)size);
}
#define BYTES(literal) bytes(literal, sizeof literal - 1)

static void test_good(void)
{
    g_autoptr(GByteArray) model = onnx_write(&small);
    g_autoptr(GpudlWireMessage) message = NULL;
    const Onnx__ModelProto *proto;
    g_autoptr(GError) error = NULL;

    message = gpudl_wire_unpack(&onnx__model_proto__descriptor, model->data, model->len, NULL, &error);
    g_assert_no_error(error);
    proto = (const Onnx__ModelProto *)gpudl_wire_message_get(message);
    g_assert_cmpint(proto->ir_version, ==, 8);
    g_assert_cmpuint(proto->graph->n_node, ==, 2);
    g_assert_cmpstr(proto->graph->node[1]->op_type, ==, "Relu");
    expect(g_byte_array_new(), 0, NULL); /* an empty message is one */
}

static void test_numbers(void)
{
    expect(BYTES("\x08"), GPUDL_ERROR_FORMAT, "byte 0, in onnx.ModelProto.ir_version: a number is cut off");
    expect(BYTES("\x08\x80\x80"), GPUDL_ERROR_FORMAT, "cut off");
    expect(BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 0, NULL);
    expect(BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), GPUDL_ERROR_FORMAT, "more than 64 bits");
    expect(BYTES("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), GPUDL_ERROR_FORMAT, "longer than 10 bytes");
    expect(BYTES("\x08\x01\x80"), GPUDL_ERROR_FORMAT, "byte 2, in onnx.ModelProto: a number is cut off");
}

static void test_tags(void)
{
    expect(BYTES("\x00\x01"), GPUDL_ERROR_FORMAT, "byte 0, in onnx.ModelProto: field number 0");
    expect(BYTES("\xf8\xff\xff\xff\x7f\x00"), GPUDL_ERROR_FORMAT, "field number 4294967295");
    expect(BYTES("\x0b\x0c"), GPUDL_ERROR_FORMAT, "wire type 3 where 0 is expected");
    expect(BYTES("\xa3\x06\xa4\x06"), GPUDL_ERROR_FORMAT, "wire type 3 (groups are not taken)");
    expect(BYTES("\xa6\x06"), GPUDL_ERROR_FORMAT, "wire type 6 (there is no such type)");
    expect(BYTES("\x3d\x01\x02\x03\x04"), GPUDL_ERROR_FORMAT, "ModelProto.graph: wire type 5 where 2 is expected");
    /* a field of a later version of the format is passed over, whatever its type */
    expect(BYTES("\xa0\x06\x01\xa1\x06"
                 "12345678"
                 "\xa5\x06"
                 "1234"
                 "\xa2\x06\x02"
                 "ab"),
           0, NULL);
}

static void test_lengths(void)
{
    expect(BYTES("\x12\x05"
                 "abcd"),
           GPUDL_ERROR_FORMAT, "byte 0, in onnx.ModelProto.producer_name: a length of 5 bytes where 4 are left");
    expect(BYTES("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), GPUDL_ERROR_FORMAT,
           "a length of 18446744073709551615 bytes where 0 are left");
    /* a length inside of a message may not leave it, though the file goes on */
    expect(BYTES("\x3a\x03\x12\x05"
                 "a"
                 "bcdefgh"),
           GPUDL_ERROR_FORMAT, "byte 2, in onnx.GraphProto.name: a length of 5 bytes where 1 are left");
    expect(BYTES("\xa5\x06"
                 "12"),
           GPUDL_ERROR_FORMAT, "a value of 4 bytes where 2 are left");
    expect(BYTES("\xa1\x06"
                 "1234567"),
           GPUDL_ERROR_FORMAT, "a value of 8 bytes where 7 are left");
}

/* graph > initializer > one packed field */
static GByteArray *packed(guint field, const gchar *data, gsize size)
{
    GByteArray *tensor = g_byte_array_new(), *graph = g_byte_array_new(), *model = g_byte_array_new();

    pb_data(tensor, field, data, size);
    pb_message(graph, 5, tensor);
    pb_message(model, 7, graph);
    return model;
}

static void test_packed(void)
{
    expect(packed(4, "12345678", 8), 0, NULL);
    expect(packed(4, "1234567", 7), GPUDL_ERROR_FORMAT, "TensorProto.float_data: an array of 7 bytes");
    expect(packed(10, "123456789", 9), GPUDL_ERROR_FORMAT, "no multiple of 8");
    expect(packed(7, "\x01\x02\x80\x01", 4), 0, NULL);
    expect(packed(7, "\x01\x02\x80", 3), GPUDL_ERROR_FORMAT, "TensorProto.int64_data: a number is cut off");
    expect(packed(1, "\x01\x02", 2), 0, NULL); /* dims, packed though declared otherwise */
}

/* AttributeProto.g of NodeProto of GraphProto ...: each round is three messages. */
static GByteArray *nested(guint rounds)
{
    GByteArray *graph = g_byte_array_new(), *model = g_byte_array_new();

    for (guint i = 0; i < rounds; i++) {
        GByteArray *attribute = g_byte_array_new(), *node = g_byte_array_new(), *outer = g_byte_array_new();

        pb_message(attribute, 6, graph);
        pb_message(node, 5, attribute);
        pb_message(outer, 1, node);
        graph = outer;
    }
    pb_message(model, 7, graph);
    return model;
}

static void test_nesting(void)
{
    /* the model, its graph and 20 rounds are 62 messages deep */
    expect(nested(20), 0, NULL);
    expect(nested(21), GPUDL_ERROR_LIMIT, "nested deeper than 64");
    expect(nested(10000), GPUDL_ERROR_LIMIT, "nested deeper than 64");
}

/* Two bytes in the file, some hundred in memory: the file would grow past what files of its size may take. */
static void test_memory(void)
{
    GByteArray *graph = g_byte_array_new(), *model = g_byte_array_new();

    for (guint i = 0; i < 1 << 20; i++)
        pb_data(graph, 1, "", 0);
    pb_message(model, 7, graph);
    expect(model, GPUDL_ERROR_LIMIT, "bytes of memory");
    g_assert_cmpuint(gpudl_wire_memory_limit(0), ==, 1 << 20);
    g_assert_cmpuint(gpudl_wire_memory_limit((gsize)1 << 31), <=, G_GUINT64_CONSTANT(4) << 30);
}

/* Cut anywhere, a model is an error or a shorter message; bytes that the walk passes, protobuf-c unpacks. */
static void test_truncation(void)
{
    g_autoptr(GByteArray) model = onnx_write(&small);

    for (guint n = 0; n < model->len; n++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GpudlWireMessage) message = NULL;
        /* a copy of its own: a read past the end is one that valgrind and ASan see */
        g_autofree guint8 *copy = g_memdup2(model->data, n);

        message = gpudl_wire_unpack(&onnx__model_proto__descriptor, copy, n, NULL, &error);
        if (message == NULL)
            g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
        else
            g_assert_no_error(error);
    }
}

/* Every bit of a model flipped: whatever the walk passes, unpacks. */
static void test_flips(void)
{
    g_autoptr(GByteArray) model = onnx_write(&small);

    for (guint bit = 0; bit < model->len * 8; bit++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GpudlWireMessage) message = NULL;
        g_autofree guint8 *copy = g_memdup2(model->data, model->len);

        copy[bit / 8] ^= (guint8)(1u << (bit % 8));
        message = gpudl_wire_unpack(&onnx__model_proto__descriptor, copy, model->len, NULL, &error);
        if (message == NULL)
            g_assert_true(g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT) ||
                          g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT));
        if (message == NULL && strstr(error->message, "can't be unpacked") != NULL)
            g_error("bit %u: the walk let through what protobuf-c refuses", bit);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire/good", test_good);
    g_test_add_func("/wire/numbers", test_numbers);
    g_test_add_func("/wire/tags", test_tags);
    g_test_add_func("/wire/lengths", test_lengths);
    g_test_add_func("/wire/packed", test_packed);
    g_test_add_func("/wire/nesting", test_nesting);
    g_test_add_func("/wire/memory", test_memory);
    g_test_add_func("/wire/truncation", test_truncation);
    g_test_add_func("/wire/flips", test_flips);
    return g_test_run();
}

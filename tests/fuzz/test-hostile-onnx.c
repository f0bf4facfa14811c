/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A damaged .onnx is an error or a working model: never a crash, a hang, a leak or a sanitizer's report. */
#include <string.h>

#include "hostile.h"
#include "mutate.h"

/* TRUE for each byte of the file that is no weight: damage there changes what the file says, not only values. */
static GArray *structure_bytes(GBytes *file)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(file, &size);
    g_autofree guint8 *weight = g_malloc0(size);
    g_autoptr(GpudlGraph) graph = hostile_testcard_graph();
    for (guint i = 0; i < graph->tensors->len; i++) {
        const GpudlTensor *tensor = g_ptr_array_index(graph->tensors, i);
        if (tensor->data == NULL || g_bytes_get_size(tensor->data) < 32)
            continue;
        gsize n = g_bytes_get_size(tensor->data);
        const guint8 *found = memmem(data, size, g_bytes_get_data(tensor->data, NULL), n);
        if (found != NULL)
            memset(weight + (found - data), 1, n);
    }
    GArray *places = g_array_new(FALSE, FALSE, sizeof(guint32));
    for (guint32 i = 0; i < size; i++)
        if (!weight[i])
            g_array_append_val(places, i);
    return places;
}

static void test_whole(void)
{
    g_autoptr(GBytes) file = hostile_testcard();
    gsize size;
    const guint8 *data = g_bytes_get_data(file, &size);
    HostileSeries series = {0};
    g_assert_cmpint(hostile_onnx(&series, data, size), ==, HOSTILE_WORKS);
    hostile_series_clear(&series);
}

static void test_truncated(void)
{
    g_autoptr(GBytes) file = hostile_testcard();
    gsize size;
    const guint8 *data = g_bytes_get_data(file, &size);
    HostileSeries series = {0};
    for (gsize n = 0; n < size; n++)
        hostile_onnx(&series, data, n);
    hostile_series_report(&series, "cut off after every byte");
    g_assert_cmpuint(series.outcomes[HOSTILE_REFUSED], >, size - 100);
    hostile_series_clear(&series);
}

static void test_bit_flips(void)
{
    g_autoptr(GBytes) file = hostile_testcard();
    gsize size;
    g_autofree guint8 *data = g_memdup2(g_bytes_get_data(file, NULL), g_bytes_get_size(file));
    HostileSeries series = {.run_every = 20};
    size = g_bytes_get_size(file);
    for (guint i = 0; i < 10000; i++) {
        gsize bit = (gsize)g_test_rand_int_range(0, (gint32)size * 8);
        data[bit / 8] ^= (guint8)(1u << bit % 8);
        hostile_onnx(&series, data, size);
        data[bit / 8] ^= (guint8)(1u << bit % 8);
    }
    hostile_series_report(&series, "one bit flipped anywhere");
    hostile_series_clear(&series);
}

/* The net is nearly all weights; what matters most is the rest. Every bit of it, one by one. */
static void test_structure_bit_flips(void)
{
    g_autoptr(GBytes) file = hostile_testcard();
    g_autoptr(GArray) places = structure_bytes(file);
    gsize size = g_bytes_get_size(file);
    g_autofree guint8 *data = g_memdup2(g_bytes_get_data(file, NULL), size);
    HostileSeries series = {0};
    g_assert_cmpuint(places->len, <, 8000);
    for (guint i = 0; i < places->len * 8; i++) {
        guint32 at = g_array_index(places, guint32, i / 8);
        data[at] ^= (guint8)(1u << i % 8);
        hostile_onnx(&series, data, size);
        data[at] ^= (guint8)(1u << i % 8);
    }
    hostile_series_report(&series, "every bit that is no weight flipped");
    hostile_series_clear(&series);
}

/* Bytes overwritten with extremes, pieces cut out, doubled, moved: what one flipped bit can't reach. */
static void test_structure_splices(void)
{
    g_autoptr(GBytes) file = hostile_testcard();
    g_autoptr(GArray) places = structure_bytes(file);
    gsize size = g_bytes_get_size(file);
    const guint8 *whole = g_bytes_get_data(file, NULL);
    static const guint8 extremes[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
    HostileSeries series = {0};
    for (guint i = 0; i < 6000; i++) {
        g_autoptr(GByteArray) data = g_byte_array_sized_new((guint)size + 256);
        g_byte_array_append(data, whole, (guint)size);
        for (gint n = g_test_rand_int_range(1, 4); n > 0; n--) {
            guint32 at = g_array_index(places, guint32, g_test_rand_int_range(0, (gint32)places->len));
            guint length = (guint)g_test_rand_int_range(1, 24);
            if (at + length >= data->len)
                continue;
            switch (g_test_rand_int_range(0, 4)) {
            case 0:
                memset(data->data + at, extremes[g_test_rand_int_range(0, G_N_ELEMENTS(extremes))], length);
                break;
            case 1:
                g_byte_array_remove_range(data, at, length);
                break;
            case 2: {
                g_autofree guint8 *piece = g_memdup2(data->data + at, length);
                guint rest = data->len - at;
                g_byte_array_set_size(data, data->len + length);
                memmove(data->data + at + length, data->data + at, rest);
                memcpy(data->data + at, piece, length);
                break;
            }
            default:
                memmove(data->data + at, data->data + g_test_rand_int_range(0, (gint32)(data->len - length)), length);
            }
        }
        hostile_onnx(&series, data->data, data->len);
    }
    hostile_series_report(&series, "bytes overwritten, cut out, doubled and moved");
    hostile_series_clear(&series);
}

/* Fields changed, removed, doubled and moved, lengths right: past the wire format, into what the fields mean. */
static void test_fields(void)
{
    g_autoptr(GBytes) file = hostile_testcard();
    g_autoptr(MutateField) whole = mutate_parse(mutate_onnx, g_bytes_get_data(file, NULL), g_bytes_get_size(file));
    g_autoptr(GByteArray) same = mutate_serialize(whole);
    HostileSeries series = {.run_every = 20};
    g_assert_cmpmem(same->data, same->len, g_bytes_get_data(file, NULL), g_bytes_get_size(file));
    for (guint i = 0; i < 20000; i++) {
        g_autoptr(MutateField) damaged = mutate_copy(whole);
        for (gint n = g_test_rand_int_range(1, 4); n > 0; n--)
            mutate_once(damaged);
        g_autoptr(GByteArray) data = mutate_serialize(damaged);
        hostile_onnx(&series, data->data, data->len);
    }
    hostile_series_report(&series, "fields changed, removed, doubled and moved");
    hostile_series_clear(&series);
}

/* A ModelProto whose graph holds an attribute that holds a graph ...: 10,000 messages deep in 60 kB. */
static void test_nested(void)
{
    static const guint8 tags[] = {0x0a, 0x2a, 0x32}; /* GraphProto.node, NodeProto.attribute, AttributeProto.g */
    g_autoptr(GByteArray) inside = g_byte_array_new();
    HostileSeries series = {0};
    for (guint depth = 0; depth < 10000; depth++) {
        guint8 head[8] = {tags[2 - depth % 3]};
        guint n = 1;
        gsize length = inside->len;
        for (; length > 127; length >>= 7)
            head[n++] = (guint8)(length & 127) | 128;
        head[n++] = (guint8)length;
        g_byte_array_prepend(inside, head, n);
    }
    g_autoptr(GByteArray) file = g_byte_array_new();
    static const guint8 version[] = {0x08, 0x08};
    g_byte_array_append(file, version, sizeof version);
    guint8 head[8] = {0x3a}; /* ModelProto.graph */
    guint n = 1;
    gsize length = inside->len;
    for (; length > 127; length >>= 7)
        head[n++] = (guint8)(length & 127) | 128;
    head[n++] = (guint8)length;
    g_byte_array_append(file, head, n);
    g_byte_array_append(file, inside->data, inside->len);
    g_assert_cmpint(hostile_onnx(&series, file->data, file->len), ==, HOSTILE_REFUSED);
    hostile_series_clear(&series);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hostile/onnx/whole-file-works", test_whole);
    g_test_add_func("/hostile/onnx/nested-10000-deep", test_nested);
    g_test_add_func("/hostile/onnx/truncated-at-every-byte", test_truncated);
    g_test_add_func("/hostile/onnx/10000-bit-flips", test_bit_flips);
    g_test_add_func("/hostile/onnx/every-structure-bit", test_structure_bit_flips);
    g_test_add_func("/hostile/onnx/structure-splices", test_structure_splices);
    g_test_add_func("/hostile/onnx/20000-damaged-fields", test_fields);
    return g_test_run();
}

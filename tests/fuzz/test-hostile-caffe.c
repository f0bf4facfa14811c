/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A damaged .prototxt or .caffemodel is an error or a working model: never a crash, a hang, a leak. */
#include <string.h>

#include "hostile.h"
#include "models/caffe/caffe.pb-c.h"
#include "models/caffe/prototxt.h"

static gchar *text; /* the seed */
static gsize text_size;

/* The seed, or the same in the wire format. */
static GByteArray *seed(gboolean as_text)
{
    g_autoptr(GArray) unknown = prototxt_unknown_new();
    g_autoptr(GError) error = NULL;
    GByteArray *data;

    if (as_text) {
        data = g_byte_array_new();
        return g_byte_array_append(data, (const guint8 *)text, (guint)text_size);
    }
    data = prototxt_read(&caffe__net_parameter__descriptor, "seed", text, text_size, unknown, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(unknown->len, ==, 0);
    return data;
}

static void test_whole(gconstpointer as_text)
{
    g_autoptr(GByteArray) data = seed(as_text != NULL);
    HostileSeries series = {0};

    g_assert_cmpint(hostile_caffe(&series, data->data, data->len, as_text != NULL), ==, HOSTILE_WORKS);
    hostile_series_clear(&series);
}

static void test_truncated(gconstpointer as_text)
{
    g_autoptr(GByteArray) data = seed(as_text != NULL);
    HostileSeries series = {0};

    for (guint n = 0; n < data->len; n++)
        hostile_caffe(&series, data->data, n, as_text != NULL);
    hostile_series_report(&series, "cut off after every byte");
    g_assert_cmpuint(series.outcomes[HOSTILE_REFUSED], >, data->len / 2);
    hostile_series_clear(&series);
}

static void test_bits(gconstpointer as_text)
{
    g_autoptr(GByteArray) data = seed(as_text != NULL);
    HostileSeries series = {0};

    for (guint bit = 0; bit < data->len * 8; bit++) {
        data->data[bit / 8] ^= (guint8)(1u << bit % 8);
        hostile_caffe(&series, data->data, data->len, as_text != NULL);
        data->data[bit / 8] ^= (guint8)(1u << bit % 8);
    }
    hostile_series_report(&series, "every bit flipped");
    hostile_series_clear(&series);
}

/* Pieces overwritten by others of the file, cut out and doubled. */
static void test_splices(gconstpointer as_text)
{
    g_autoptr(GByteArray) whole = seed(as_text != NULL);
    HostileSeries series = {0};

    for (guint i = 0; i < 4000; i++) {
        g_autoptr(GByteArray) data = g_byte_array_new();

        g_byte_array_append(data, whole->data, whole->len);
        for (gint n = g_test_rand_int_range(1, 4); n > 0; n--) {
            const guint length = (guint)g_test_rand_int_range(1, 24);
            const guint to = (guint)g_test_rand_int_range(0, (gint32)(data->len - length));
            const guint from = (guint)g_test_rand_int_range(0, (gint32)(whole->len - length));

            if (i % 3 == 0)
                memcpy(data->data + to, whole->data + from, length);
            else if (i % 3 == 1)
                g_byte_array_remove_range(data, to, length);
            else
                g_byte_array_append(data, whole->data + from, length);
        }
        hostile_caffe(&series, data->data, data->len, as_text != NULL);
    }
    hostile_series_report(&series, "pieces overwritten, cut out and doubled");
    hostile_series_clear(&series);
}

/* What a text can be that is small and asks for much. */
static void test_nested(void)
{
    static const gchar *const units[] = {"layer { include { ", "foo { ", "foo: [", "layer < ", "foo: < a: [ "};

    for (guint i = 0; i < G_N_ELEMENTS(units); i++) {
        g_autoptr(GString) deep = g_string_new("name: 'a' ");
        HostileSeries series = {0};

        for (guint k = 0; k < 100000; k++)
            g_string_append(deep, units[i]);
        g_assert_cmpint(hostile_caffe(&series, (const guint8 *)deep->str, deep->len, TRUE), ==, HOSTILE_REFUSED);
        hostile_series_clear(&series);
    }
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    static const struct {
        const gchar *name;
        GTestDataFunc func;
    } tests[] = {{"whole-file-works", test_whole},
                 {"truncated-at-every-byte", test_truncated},
                 {"every-bit", test_bits},
                 {"splices", test_splices}};

    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(argc, ==, 2);
    g_file_get_contents(argv[1], &text, &text_size, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        for (gint as_text = 0; as_text < 2; as_text++) {
            g_autofree gchar *path =
                g_strdup_printf("/hostile/caffe/%s/%s", as_text != 0 ? "text" : "binary", tests[i].name);

            g_test_add_data_func(path, GINT_TO_POINTER(as_text), tests[i].func);
        }
    }
    g_test_add_func("/hostile/caffe/text/nested-100000-deep", test_nested);
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A damaged TensorFlow file is an error or a working model: never a crash, a hang, a leak or a sanitizer's report. */
#include "hostile.h"

static void test_seed(gconstpointer path)
{
    HostileSeries series = {0};
    g_autoptr(GError) error = NULL;
    g_autofree gchar *file = NULL;
    guint8 *data;
    gsize size;

    g_file_get_contents(path, &file, &size, &error);
    g_assert_no_error(error);
    data = (guint8 *)file;
    g_assert_cmpint(hostile_tensorflow(&series, data, size), ==, HOSTILE_WORKS);
    for (gsize n = 0; n < size; n++)
        hostile_tensorflow(&series, data, n);
    for (gsize bit = 0; bit < 8 * size; bit++) {
        data[bit / 8] ^= (guint8)(1u << bit % 8);
        hostile_tensorflow(&series, data, size);
        data[bit / 8] ^= (guint8)(1u << bit % 8);
    }
    for (guint i = 0; i < 4000; i++) {
        const gsize at = (gsize)g_test_rand_int_range(0, (gint32)size);
        const guint8 before = data[at], next = data[(at + 1) % size];

        data[at] = (guint8)g_test_rand_int_range(0, 256);
        data[(at + 1) % size] = (guint8)g_test_rand_int_range(0, 256);
        hostile_tensorflow(&series, data, size);
        data[(at + 1) % size] = next;
        data[at] = before;
    }
    hostile_series_report(&series, path);
    hostile_series_clear(&series);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (int i = 1; i < argc; i++) {
        g_autofree gchar *base = g_path_get_basename(argv[i]);
        g_autofree gchar *name = g_strdup_printf("/hostile/tensorflow/%s", base);

        g_test_add_data_func(name, argv[i], test_seed);
    }
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A damaged file of PyTorch is an error or a working model: never a crash, a hang, a leak or a sanitizer's report. */
#include <string.h>

#include "hostile.h"

/* Both as it is and with checksums that are right again, so that what they guard is tried, too. */
static void try_both(HostileSeries *series, guint8 *data, gsize size)
{
    hostile_torch(series, data, size, FALSE);
    hostile_torch(series, data, size, TRUE);
}

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
    g_assert_cmpint(hostile_torch(&series, data, size, FALSE), ==, HOSTILE_WORKS);
    g_assert_cmpint(hostile_torch(&series, data, size, TRUE), ==, HOSTILE_SAME);
    for (gsize n = 0; n < size; n++)
        hostile_torch(&series, data, n, FALSE);
    for (gsize bit = 0; bit < 8 * size; bit += 3) {
        data[bit / 8] ^= (guint8)(1u << bit % 8);
        hostile_torch(&series, data, size, TRUE);
        data[bit / 8] ^= (guint8)(1u << bit % 8);
    }
    for (guint i = 0; i < 4000; i++) {
        const gsize at = (gsize)g_test_rand_int_range(0, (gint32)size);
        const guint8 before = data[at], next = data[(at + 1) % size];

        data[at] = (guint8)g_test_rand_int_range(0, 256);
        data[(at + 1) % size] = (guint8)g_test_rand_int_range(0, 256);
        try_both(&series, data, size);
        data[(at + 1) % size] = next;
        data[at] = before;
    }
    hostile_series_report(&series, path);
    hostile_series_clear(&series);
}

/* Pieces of the text of the graph in the place of others: names, kinds of arguments and numbers that mean something. */
static void test_spliced(gconstpointer path)
{
    HostileSeries series = {0};
    g_autofree gchar *file = NULL;
    g_autofree guint8 *data = NULL;
    gsize size;

    g_assert_true(g_file_get_contents(path, &file, &size, NULL));
    data = g_malloc(size);
    for (guint i = 0; i < 8000; i++) {
        const gsize n = (gsize)g_test_rand_int_range(1, 24), from = (gsize)g_test_rand_int_range(0, (gint32)(size - n));
        const gsize to = (gsize)g_test_rand_int_range(0, (gint32)(size - n));

        memcpy(data, file, size);
        memcpy(data + to, file + from, n);
        hostile_torch(&series, data, size, TRUE);
    }
    hostile_series_report(&series, path);
    hostile_series_clear(&series);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (int i = 1; i < argc; i++) {
        g_autofree gchar *base = g_path_get_basename(argv[i]);
        g_autofree gchar *name = g_strdup_printf("/hostile/torch/%s", base);
        g_autofree gchar *spliced = g_strconcat(name, "/spliced", NULL);

        g_test_add_data_func(name, argv[i], test_seed);
        g_test_add_data_func(spliced, argv[i], test_spliced);
    }
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A damaged file of TensorFlow or PyTorch is an error or a working model: never a crash, a hang, a leak or a
 * sanitizer's report. Arguments: files that work. */
#include <string.h>

#include "hostile.h"
#include "models/import.h"

typedef struct {
    const gchar *path;
    guint8 *data;
    gsize size;
    gboolean archive; /* PyTorch's, with checksums */
    HostileSeries series;
} Seed;

/* sealed: with checksums that are right again, so that what they guard is tried, too. */
static HostileOutcome try(Seed *seed, gsize size, gboolean sealed)
{
    return seed->archive ? hostile_torch(&seed->series, seed->data, size, sealed)
                         : hostile_tensorflow(&seed->series, seed->data, size);
}

static void try_both(Seed *seed)
{
    if (seed->archive)
        try(seed, seed->size, FALSE);
    try(seed, seed->size, TRUE);
}

static void open_seed(Seed *seed, const gchar *path)
{
    g_autoptr(GError) error = NULL;
    gchar *data = NULL;

    g_file_get_contents(path, &data, &seed->size, &error);
    g_assert_no_error(error);
    seed->path = path;
    seed->data = (guint8 *)data;
    seed->archive = gpudl_import_is_exported(seed->data, seed->size) || gpudl_import_is_script(seed->data, seed->size);
    g_assert_cmpint(try(seed, seed->size, FALSE), ==, HOSTILE_WORKS);
    g_assert_cmpint(try(seed, seed->size, TRUE), ==, HOSTILE_SAME);
}

static void close_seed(Seed *seed)
{
    hostile_series_report(&seed->series, seed->path);
    hostile_series_clear(&seed->series);
    g_free(seed->data);
}

/* Cut off after every byte; bits flipped, all of them or, where checksums take their time, one of three; two bytes
 * drawn anew. */
static void test_damaged(gconstpointer path)
{
    Seed seed = {0};

    open_seed(&seed, path);
    for (gsize n = 0; n < seed.size; n++)
        try(&seed, n, FALSE);
    for (gsize bit = 0; bit < 8 * seed.size; bit += seed.archive ? 3 : 1) {
        seed.data[bit / 8] ^= (guint8)(1u << bit % 8);
        try(&seed, seed.size, TRUE);
        seed.data[bit / 8] ^= (guint8)(1u << bit % 8);
    }
    for (guint i = 0; i < 4000; i++) {
        const gsize at = (gsize)g_test_rand_int_range(0, (gint32)seed.size), next = (at + 1) % seed.size;
        const guint8 before[2] = {seed.data[at], seed.data[next]};

        seed.data[at] = (guint8)g_test_rand_int_range(0, 256);
        seed.data[next] = (guint8)g_test_rand_int_range(0, 256);
        try_both(&seed);
        seed.data[next] = before[1];
        seed.data[at] = before[0];
    }
    close_seed(&seed);
}

/* Pieces in the place of others: names, kinds and numbers that mean something. */
static void test_spliced(gconstpointer path)
{
    Seed seed = {0};
    g_autofree guint8 *whole = NULL;

    open_seed(&seed, path);
    whole = g_memdup2(seed.data, seed.size);
    for (guint i = 0; i < 8000; i++) {
        const gsize n = (gsize)g_test_rand_int_range(1, 24);
        const gsize from = (gsize)g_test_rand_int_range(0, (gint32)(seed.size - n));
        const gsize to = (gsize)g_test_rand_int_range(0, (gint32)(seed.size - n));

        memcpy(seed.data, whole, seed.size);
        memcpy(seed.data + to, whole + from, n);
        try(&seed, seed.size, TRUE);
    }
    close_seed(&seed);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (int i = 1; i < argc; i++) {
        g_autofree gchar *base = g_path_get_basename(argv[i]);
        g_autofree gchar *name = g_strdup_printf("/hostile/seeds/%s", base);
        g_autofree gchar *spliced = g_strconcat(name, "/spliced", NULL);

        g_test_add_data_func(name, argv[i], test_damaged);
        g_test_add_data_func(spliced, argv[i], test_spliced);
    }
    return g_test_run();
}

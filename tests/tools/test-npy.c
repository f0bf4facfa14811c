/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "tools/npy.h"

typedef struct {
    gchar *dir, *path;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    f->dir = g_dir_make_tmp("gpudl-npy-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "a.npy", NULL);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_unlink(f->path);
    g_rmdir(f->dir);
    g_free(f->path);
    g_free(f->dir);
}

/* Writes magic, version, padded header and data as NumPy does (header and all before the data: a multiple of 64). */
static void write_npy(Fixture *f, guint8 version, const gchar *dict, gconstpointer data, gsize n_data)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    gsize before = version == 1 ? 10 : 12, header = (before + strlen(dict) + 1 + 63) / 64 * 64 - before;
    g_autofree gchar *padded = g_strnfill(header, ' ');
    guint8 start[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', version, 0, header & 0xff, header >> 8 & 0xff, 0, 0};

    memcpy(padded, dict, strlen(dict));
    padded[header - 1] = '\n';
    g_byte_array_append(out, start, before);
    g_byte_array_append(out, (guint8 *)padded, header);
    if (n_data > 0)
        g_byte_array_append(out, data, n_data);
    g_assert_true(g_file_set_contents(f->path, (gchar *)out->data, out->len, NULL));
}

static void assert_refused(Fixture *f, gint code, const gchar *says)
{
    g_autoptr(GError) error = NULL;
    gsize n;

    g_assert_null(gpudl_npy_read(f->path, &n, &error));
    g_assert_error(error, GPUDL_ERROR, code);
    g_assert_true(g_str_has_prefix(error->message, f->path));
    g_assert_nonnull(strstr(error->message, says));
}

static void reads_float32_of_every_version(Fixture *f, gconstpointer data)
{
    /* 1.5 and -2.0 as little-endian float32 */
    static const guint8 bytes[] = {0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0};

    for (guint8 version = 1; version <= 3; version++) {
        g_autoptr(GError) error = NULL;
        g_autofree float *values = NULL;
        gsize n = 0;

        write_npy(f, version, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }", bytes, sizeof bytes);
        values = gpudl_npy_read(f->path, &n, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(n, ==, 2);
        g_assert_cmpfloat(values[0], ==, 1.5f);
        g_assert_cmpfloat(values[1], ==, -2.0f);
    }
}

static void reads_float64_and_keys_in_any_order(Fixture *f, gconstpointer data)
{
    /* 0.1 as little-endian float64 */
    static const guint8 bytes[] = {0x9a, 0x99, 0x99, 0x99, 0x99, 0x99, 0xb9, 0x3f};
    g_autoptr(GError) error = NULL;
    g_autofree float *values = NULL;
    gsize n = 0;

    write_npy(f, 1, "{\"shape\": (), \"fortran_order\": False, \"descr\": \"<f8\"}", bytes, sizeof bytes);
    values = gpudl_npy_read(f->path, &n, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpfloat(values[0], ==, 0.1f);
}

static void refuses_other_types_and_orders(Fixture *f, gconstpointer data)
{
    static const guint8 bytes[8];

    write_npy(f, 1, "{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", bytes, 8);
    assert_refused(f, GPUDL_ERROR_UNSUPPORTED, ">f4");
    write_npy(f, 1, "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", bytes, 8);
    assert_refused(f, GPUDL_ERROR_UNSUPPORTED, "<i4");
    write_npy(f, 1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", bytes, 8);
    assert_refused(f, GPUDL_ERROR_UNSUPPORTED, "expected '<f4' or '<f8'");
    write_npy(f, 1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }", bytes, 8);
    assert_refused(f, GPUDL_ERROR_UNSUPPORTED, "Fortran");
}

static void refuses_a_type_that_is_no_text_briefly(Fixture *f, gconstpointer data)
{
    g_autofree gchar *all = g_strnfill(20000, 'a'),
                     *dict = g_strconcat("{'fortran_order': False, 'descr': ", all, NULL);
    g_autoptr(GError) error = NULL;
    gsize n;

    write_npy(f, 1, "{'descr': \xa0'<f4', 'fortran_order': False, 'shape': (1, 2), }", NULL, 0);
    g_assert_null(gpudl_npy_read(f->path, &n, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED);
    g_assert_true(g_utf8_validate(error->message, -1, NULL));
    g_clear_error(&error);
    write_npy(f, 1, dict, NULL, 0);
    g_assert_null(gpudl_npy_read(f->path, &n, &error));
    g_assert_cmpuint(strlen(error->message), <, 1000);
    /* nothing behind it: a header of NULs, of which the text ends with the colon */
    g_assert_true(g_file_set_contents(f->path, "\x93NUMPY\1\0\x22\0{'fortran_order': False, 'descr':\0", 44, NULL));
    assert_refused(f, GPUDL_ERROR_UNSUPPORTED, "expected '<f4' or '<f8'");
}

static void refuses_wrong_lengths(Fixture *f, gconstpointer data)
{
    static const guint8 bytes[8];

    write_npy(f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", bytes, 8);
    assert_refused(f, GPUDL_ERROR_FORMAT, "has 8 bytes of values, expected 12");
    write_npy(f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", bytes, 8);
    assert_refused(f, GPUDL_ERROR_FORMAT, "has 8 bytes of values, expected 4");
    write_npy(f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (65536, 65536, 65536, 65536), }", bytes, 8);
    assert_refused(f, GPUDL_ERROR_LIMIT, "more than");
    write_npy(f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", bytes, 8);
    assert_refused(f, GPUDL_ERROR_FORMAT, "malformed shape");
    write_npy(f, 1, "{'descr': '<f4', 'fortran_order': False, }", bytes, 8);
    assert_refused(f, GPUDL_ERROR_FORMAT, "no shape");
}

static void refuses_a_file_cut_anywhere(Fixture *f, gconstpointer data)
{
    static const guint8 bytes[8];
    g_autofree gchar *whole = NULL;
    gsize size;

    write_npy(f, 2, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", bytes, 8);
    g_assert_true(g_file_get_contents(f->path, &whole, &size, NULL));
    for (gsize cut = 0; cut < size; cut++) {
        g_assert_true(g_file_set_contents(f->path, whole, (gssize)cut, NULL));
        assert_refused(f, GPUDL_ERROR_FORMAT, "");
    }
}

static void says_what_is_not_there(Fixture *f, gconstpointer data)
{
    assert_refused(f, GPUDL_ERROR_NOT_FOUND, "no such file");
    g_assert_cmpint(g_mkdir(f->path, 0700), ==, 0);
    assert_refused(f, GPUDL_ERROR_OPEN_READ, "");
    g_rmdir(f->path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add("/npy/" #name, Fixture, NULL, set_up, name, tear_down)
    ADD(reads_float32_of_every_version);
    ADD(reads_float64_and_keys_in_any_order);
    ADD(refuses_other_types_and_orders);
    ADD(refuses_a_type_that_is_no_text_briefly);
    ADD(refuses_wrong_lengths);
    ADD(refuses_a_file_cut_anywhere);
    ADD(says_what_is_not_there);
    return g_test_run();
}

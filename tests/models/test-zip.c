/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Archives as programs write them, and as ill will does. */
#include <string.h>

#include "engine/gpudl.h"
#include "models/zip.h"

/* CRC-32 of "123456789" and of nothing */
#define NINE "123456789"
#define NINE_CRC 0xcbf43926u

/* A member of an archive under construction. */
typedef struct {
    const gchar *name, *data;
    guint32 crc;
    guint16 method, flags;
    guint32 unpacked; /* what the directory says; 0: the data's size */
    guint32 size;     /* of the data; 0: up to its NUL */
    gint over;        /* bytes that its header is said to lie before where it does */
} Member;

static void put(GByteArray *out, guint64 value, guint bytes)
{
    for (guint i = 0; i < bytes; i++) {
        const guint8 byte = i < 8 ? (guint8)(value >> 8 * i) : 0;

        g_byte_array_append(out, &byte, 1);
    }
}

static void put_member(GByteArray *out, const Member *member, gboolean entry, guint32 at)
{
    const guint32 n = member->size != 0 ? member->size : (guint32)strlen(member->data),
                  name = (guint32)strlen(member->name);

    put(out, entry ? 0x02014b50 : 0x04034b50, 4);
    put(out, 20, entry ? 4 : 2);
    put(out, member->flags, 2);
    put(out, member->method, 2);
    put(out, 0, 4);
    put(out, member->crc, 4);
    put(out, n, 4);
    put(out, member->unpacked != 0 ? member->unpacked : n, 4);
    put(out, name, 2);
    put(out, 0, entry ? 12 : 2);
    if (entry)
        put(out, at - (guint32)member->over, 4);
    g_byte_array_append(out, (const guint8 *)member->name, name);
    if (!entry)
        g_byte_array_append(out, (const guint8 *)member->data, n);
}

/* The offsets count from behind the prefix. long_end: with the records of the longer form before the usual one. */
static GBytes *write_archive(const Member *members, guint n, const gchar *prefix, gboolean long_end)
{
    GByteArray *out = g_byte_array_new();
    const guint32 before = (guint32)strlen(prefix);
    guint32 at[8], directory, length;

    g_byte_array_append(out, (const guint8 *)prefix, before);
    for (guint i = 0; i < n; i++) {
        at[i] = out->len - before;
        put_member(out, &members[i], FALSE, 0);
    }
    directory = out->len - before;
    for (guint i = 0; i < n; i++)
        put_member(out, &members[i], TRUE, at[i]);
    length = out->len - before - directory;
    if (long_end) {
        put(out, 0x06064b50, 4);
        for (guint i = 0; i < 13; i++)
            put(out, 0, 4);
        put(out, 0x07064b50, 4);
        put(out, 0, 4);
        put(out, directory + length, 8);
        put(out, 1, 4);
    }
    put(out, 0x06054b50, 4);
    put(out, 0, 4);
    put(out, n, 2);
    put(out, n, 2);
    put(out, length, 4);
    put(out, directory, 4);
    put(out, 0, 2);
    return g_byte_array_free_to_bytes(out);
}

static void test_read(void)
{
    const Member members[] = {{"net/a", NINE, NINE_CRC}, {"net/b", "", 0}};

    for (guint form = 0; form < 4; form++) {
        g_autoptr(GBytes) file = write_archive(members, 2, form & 1 ? "something in front" : "", form >= 2);
        g_autoptr(GError) error = NULL;
        g_autoptr(GpudlZip) zip = gpudl_zip_open(file, &error);
        g_autoptr(GBytes) a = NULL, b = NULL;

        g_assert_no_error(error);
        g_assert_cmpuint(gpudl_zip_get_count(zip), ==, 2);
        g_assert_cmpstr(gpudl_zip_get_name(zip, 1), ==, "net/b");
        g_assert_true(gpudl_zip_has(zip, "net/a") && !gpudl_zip_has(zip, "a"));
        a = gpudl_zip_get(zip, "net/a", 9, &error);
        g_assert_no_error(error);
        g_assert_cmpmem(g_bytes_get_data(a, NULL), g_bytes_get_size(a), NINE, 9);
        b = gpudl_zip_get(zip, "net/b", 0, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(g_bytes_get_size(b), ==, 0);
        g_assert_null(gpudl_zip_get(zip, "net/a", 8, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT);
        g_clear_error(&error);
        g_assert_null(gpudl_zip_get(zip, "net/c", 8, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND);
    }
}

static void test_no_archive(void)
{
    g_autoptr(GBytes) file = g_bytes_new_static("PK\3\4 and so on, but no end", 25);
    g_autoptr(GError) error = NULL;

    g_assert_null(gpudl_zip_open(file, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND);
}

static void test_refused(void)
{
    static const struct {
        Member members[2];
        const gchar *says;
    } rows[] = {
        {{{"a", NINE, NINE_CRC}, {"a", NINE, NINE_CRC}}, "'a': the name is there twice"},
        {{{"a", NINE, NINE_CRC}, {"../b", NINE, NINE_CRC}}, "'../b': a name that is no path inside of the archive"},
        {{{"a", NINE, NINE_CRC}, {"x/../b", NINE, NINE_CRC}}, "no path inside"},
        {{{"a", NINE, NINE_CRC}, {"/b", NINE, NINE_CRC}}, "no path inside"},
        {{{"a", NINE, NINE_CRC}, {"x\\b", NINE, NINE_CRC}}, "no path inside"},
        {{{"a", NINE, NINE_CRC}, {"b\xff", NINE, NINE_CRC}}, "a member's name is no UTF-8"},
        {{{"a", NINE, NINE_CRC}, {"b", NINE, NINE_CRC, .over = 40}}, "'b': it lies over another member"},
        {{{"a", NINE, NINE_CRC}, {"b", NINE, NINE_CRC, .over = -4}}, "'b': it lies outside of the file"},
        {{{"a", NINE, NINE_CRC}, {"b", NINE, NINE_CRC, .over = 1 << 20}}, "'b': it lies outside of the file"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GBytes) file = write_archive(rows[i].members, 2, "", FALSE);
        g_autoptr(GError) error = NULL;

        g_assert_null(gpudl_zip_open(file, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
        if (strstr(error->message, rows[i].says) == NULL)
            g_error("'%s' does not say '%s'", error->message, rows[i].says);
    }
}

static void test_members(void)
{
    /* nothing, deflated, and what says to be more than it is */
    static const struct {
        Member member;
        gint code;
        const gchar *says;
    } rows[] = {
        {{"a", "\x03", 0, 8}, GPUDL_ERROR_FORMAT, "does not unpack"},
        {{"a", "3426153\xb7\xb0\x04", NINE_CRC, 8, .unpacked = 9}, GPUDL_ERROR_FORMAT, "does not unpack"},
        {{"a", "34261536\xb7\xb0", NINE_CRC, 8, .unpacked = 9}, GPUDL_ERROR_FORMAT, "does not unpack"},
        {{"a", NINE, NINE_CRC + 1}, GPUDL_ERROR_FORMAT, "its checksum is another"},
        {{"a", NINE, NINE_CRC, .unpacked = 8}, GPUDL_ERROR_FORMAT, "does not unpack"},
        {{"a", NINE, NINE_CRC, 12}, GPUDL_ERROR_UNSUPPORTED, "packed in another way"},
        {{"a", NINE, NINE_CRC, .flags = 1}, GPUDL_ERROR_UNSUPPORTED, "encrypted"},
        {{"a", NINE, NINE_CRC, 8, .unpacked = 1u << 31}, GPUDL_ERROR_LIMIT, "at most 1000 are taken"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GBytes) file = write_archive(&rows[i].member, 1, "", FALSE);
        g_autoptr(GError) error = NULL;
        g_autoptr(GpudlZip) zip = gpudl_zip_open(file, &error);

        g_assert_no_error(error);
        g_assert_null(gpudl_zip_get(zip, "a", 1000, &error));
        g_assert_error(error, GPUDL_ERROR, rows[i].code);
        if (strstr(error->message, rows[i].says) == NULL)
            g_error("'%s' does not say '%s'", error->message, rows[i].says);
    }
}

/* A deflated member that many ask for is in memory once. */
static void test_again(void)
{
    const Member member = {"a", "3426153\xb7\xb0\x04", NINE_CRC, 8, .unpacked = 9, .size = 11};
    const Member whole = {"a", NINE, NINE_CRC};

    for (guint i = 0; i < 2; i++) {
        g_autoptr(GBytes) file = write_archive(i == 0 ? &whole : &member, 1, "", FALSE);
        g_autoptr(GError) error = NULL;
        g_autoptr(GpudlZip) zip = gpudl_zip_open(file, &error);
        g_autoptr(GBytes) first = gpudl_zip_get(zip, "a", 9, &error), second = gpudl_zip_get(zip, "a", 9, &error);

        g_assert_no_error(error);
        g_assert_cmpmem(g_bytes_get_data(first, NULL), g_bytes_get_size(first), NINE, 9);
        g_assert_true(g_bytes_get_data(first, NULL) == g_bytes_get_data(second, NULL));
        g_assert_null(gpudl_zip_get(zip, "a", 8, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT);
    }
}

/* Members of so many bytes each: the third is more than all may have, whatever it holds. */
static void test_all_too_large(void)
{
    const Member members[] = {{"a", "\x03", 0, 8, .unpacked = 1u << 30},
                              {"b", "\x03", 0, 8, .unpacked = 1u << 30},
                              {"c", "\x03", 0, 8, .unpacked = 1}};
    g_autoptr(GBytes) file = write_archive(members, 3, "", FALSE);
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlZip) zip = gpudl_zip_open(file, &error);

    g_assert_no_error(error);
    for (guint i = 0; i < 3; i++) {
        g_clear_error(&error);
        g_assert_null(gpudl_zip_get(zip, members[i].name, 1u << 30, &error));
        g_assert_error(error, GPUDL_ERROR, (gint)(i < 2 ? GPUDL_ERROR_FORMAT : GPUDL_ERROR_LIMIT));
    }
    g_assert_nonnull(strstr(error->message, "unpacks to more than 2147483648 bytes at 'c'"));
}

/* A member's memory goes with the last who has it, and that of its neighbours stays. */
static void test_pages(void)
{
    const guint32 size = 1u << 20;
    g_autofree gchar *zeros = g_malloc0(size);
    const Member members[] = {{"a", NINE, NINE_CRC}, {"b", zeros, 0xa738ea1c, .size = size}, {"c", NINE, NINE_CRC}};
    g_autoptr(GBytes) written = write_archive(members, 3, "", FALSE), file = NULL, c = NULL;
    g_autoptr(GpudlPages) pages = gpudl_pages_new(g_bytes_get_size(written));
    guint8 *data = gpudl_pages_get_data(pages);
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlZip) zip = NULL;
    GBytes *b;
    guint8 *inside;

    memcpy(data, g_bytes_get_data(written, NULL), g_bytes_get_size(written));
    file = gpudl_pages_slice(pages, 0, g_bytes_get_size(written));
    zip = gpudl_zip_open(file, &error);
    g_assert_no_error(error);
    gpudl_zip_take_pages(zip, pages);
    b = gpudl_zip_get(zip, "b", size, &error);
    c = gpudl_zip_get(zip, "c", size, &error);
    g_assert_no_error(error);
    inside = (guint8 *)g_bytes_get_data(b, NULL) + size / 2;
    *inside = 7;
    g_clear_pointer(&zip, gpudl_zip_free);
    g_assert_cmpuint(*inside, ==, 7);
    g_bytes_unref(b);
    g_assert_cmpuint(*inside, ==, 0);
    g_assert_cmpmem(g_bytes_get_data(c, NULL), g_bytes_get_size(c), NINE, 9);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/zip/members-are-read", test_read);
    g_test_add_func("/zip/no-archive", test_no_archive);
    g_test_add_func("/zip/directories-of-ill-will", test_refused);
    g_test_add_func("/zip/members-are-checked", test_members);
    g_test_add_func("/zip/a-member-is-unpacked-once", test_again);
    g_test_add_func("/zip/memory-goes-with-a-member", test_pages);
    g_test_add_func("/zip/all-that-is-unpacked-is-bounded", test_all_too_large);
    return g_test_run();
}

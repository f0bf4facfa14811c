/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory straight from the system. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/pages.h"

#define LARGE ((gsize)16 << 20)

static gboolean all_zeros(const guint8 *data, gsize size)
{
    for (gsize i = 0; i < size; i++)
        if (data[i] != 0)
            return FALSE;
    return TRUE;
}

static void test_dropped_and_restored(void)
{
    static const gsize sizes[] = {0, 1, 4097, LARGE + 5};

    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GpudlPages) pages = gpudl_pages_new(sizes[i]);
        guint8 *data;

        g_assert_nonnull(pages);
        data = gpudl_pages_get_data(pages);
        g_assert_cmpuint(gpudl_pages_get_size(pages), ==, sizes[i]);
        g_assert_true(all_zeros(data, sizes[i]));
        memset(data, 1, sizes[i]);
        gpudl_pages_drop(pages);
        g_assert_true(gpudl_pages_restore(pages));
        g_assert_true(gpudl_pages_get_data(pages) == data);
        g_assert_true(all_zeros(data, sizes[i]));
        memset(data, 1, sizes[i]);
    }
}

static guint64 resident(void)
{
    g_autofree gchar *text = NULL;
    gchar *end;

    g_assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
    g_ascii_strtoull(text, &end, 10);
    return g_ascii_strtoull(end, NULL, 10) * (guint64)sysconf(_SC_PAGESIZE);
}

/* The neighbours of a slice that goes stay, bytes of pages that it has a part of as well. */
static void test_slice_goes_back(void)
{
    g_autoptr(GpudlPages) pages = gpudl_pages_new(LARGE);
    guint8 *data = gpudl_pages_get_data(pages);
    const gsize begin = 5000, end = LARGE - 3000;
    GBytes *slice, *other;
    guint64 full;

    memset(data, 1, LARGE);
    slice = gpudl_pages_slice_once(pages, begin, end - begin);
    other = gpudl_pages_slice_once(pages, end, LARGE - end);
    g_bytes_unref(g_bytes_ref(slice));
    g_assert_cmpuint(data[LARGE / 2], ==, 1);
    full = resident();
    g_bytes_unref(slice);
    g_assert_cmpuint(resident() + LARGE - (1 << 20), <, full);
    for (gsize i = 0; i < begin; i++)
        g_assert_cmpuint(data[i], ==, 1);
    for (gsize i = end; i < LARGE; i++)
        g_assert_cmpuint(data[i], ==, 1);
    g_bytes_unref(other);
}

static void test_shrunk(void)
{
    static const gsize sizes[] = {0, 1, 4096, 4097, LARGE - 1, LARGE};

    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GpudlPages) pages = gpudl_pages_new(LARGE);
        guint8 *data = gpudl_pages_get_data(pages);

        memset(data, 1, sizes[i]);
        gpudl_pages_shrink(pages, sizes[i]);
        g_assert_cmpuint(gpudl_pages_get_size(pages), ==, sizes[i]);
        for (gsize k = 0; k < sizes[i]; k++)
            g_assert_cmpuint(data[k], ==, 1);
        gpudl_pages_drop(pages);
        g_assert_true(gpudl_pages_restore(pages));
        g_assert_true(all_zeros(data, sizes[i]));
    }
}

static void test_room(void)
{
    GpudlRoom room = {0};
    g_autoptr(GBytes) slice = NULL;
    gsize offset;
    guint8 *first;

    g_assert_null(gpudl_room_take(&room, 1, &offset)); /* there is none */
    g_assert_true(gpudl_room_make(&room, 64000));
    g_assert_cmpuint(room.limit, ==, 65000);
    first = gpudl_room_take(&room, 5000, &offset);
    g_assert_true(first == gpudl_pages_get_data(room.pages) && offset == 0);
    g_assert_null(gpudl_room_take(&room, 60000, &offset));
    g_assert_true(gpudl_room_take(&room, 59944, &offset) == first + 5056); /* to the end */
    g_assert_cmpuint(offset, ==, 5056);
    g_assert_null(gpudl_room_take(&room, 1, &offset));
    g_assert_null(gpudl_room_take(&room, G_MAXSIZE, &offset));
    room.limit = G_MAXSIZE; /* what the pages hold is all the same */
    g_assert_null(gpudl_room_take(&room, 30977, &offset));
    g_assert_nonnull(gpudl_room_take(&room, 30976, &offset));
    slice = gpudl_room_slice(&room, 5056, 100);
    g_assert_true(g_bytes_get_data(slice, NULL) == first + 5056);
    gpudl_pages_unref(room.pages);
}

/* Whether the system was asked for large pages where this lies. */
static gboolean wishes_large_pages(const guint8 *data)
{
    g_autofree gchar *content = NULL;
    g_auto(GStrv) lines = NULL;
    gboolean inside = FALSE;

    g_assert_true(g_file_get_contents("/proc/self/smaps", &content, NULL, NULL));
    lines = g_strsplit(content, "\n", -1);
    for (gchar **line = lines; *line != NULL; line++) {
        unsigned long long from, to;

        if (sscanf(*line, "%llx-%llx ", &from, &to) == 2)
            inside = (guintptr)data >= from && (guintptr)data < to;
        else if (inside && g_str_has_prefix(*line, "VmFlags:"))
            return strstr(*line, " hg") != NULL;
    }
    return FALSE;
}

static void test_large_pages_are_asked_for(void)
{
    g_autoptr(GpudlPages) pages = NULL;

    if (!g_file_test("/sys/kernel/mm/transparent_hugepage/enabled", G_FILE_TEST_EXISTS)) {
        g_test_skip("this system has no transparent large pages");
        return;
    }
    pages = gpudl_pages_new(LARGE);
    g_assert_true(wishes_large_pages(gpudl_pages_get_data(pages) + LARGE / 2));
    gpudl_pages_drop(pages);
    g_assert_true(gpudl_pages_restore(pages));
    g_assert_true(wishes_large_pages(gpudl_pages_get_data(pages) + LARGE / 2));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pages/dropped-and-restored", test_dropped_and_restored);
    g_test_add_func("/pages/large-pages-are-asked-for", test_large_pages_are_asked_for);
    g_test_add_func("/pages/slice-goes-back", test_slice_goes_back);
    g_test_add_func("/pages/shrunk", test_shrunk);
    g_test_add_func("/pages/room", test_room);
    return g_test_run();
}

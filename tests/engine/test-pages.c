/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory straight from the system. */
#include <stdio.h>
#include <string.h>

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
    return g_test_run();
}

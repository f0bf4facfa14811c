/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/models/load-files.h"

#include <stdio.h>
#include <unistd.h>

#include <glib/gstdio.h>

const OnnxText load_wide = {13, "x:f32:Nx3x8x8", "w:f32:1024x1024x1x1=0.5 v:f32:1024x3x1x1=0.25 b:f32:1024=0.125",
                            "Conv x v -> a; Conv a w b -> c; GlobalAveragePool c -> p; Flatten p -> y", "y"};
const OnnxText load_small = {13, "x:f32:1x3x2x4", "b:f32:3=0.5",
                             "GlobalAveragePool x -> p; Flatten p -> f; Add f b -> y", "y"};

static void load_set_up(LoadFixture *self, gconstpointer data)
{
    self->directory = g_dir_make_tmp("gpudl-load-XXXXXX", NULL);
}

void load_tear_down(LoadFixture *self, gconstpointer data)
{
    g_autoptr(GDir) dir = g_dir_open(self->directory, 0, NULL);
    const gchar *name;

    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree gchar *path = g_build_filename(self->directory, name, NULL);

        g_unlink(path);
    }
    g_assert_cmpint(g_rmdir(self->directory), ==, 0);
    g_free(self->directory);
}

void load_overwrite(const gchar *path, gconstpointer data, gsize size)
{
    FILE *file = fopen(path, "r+b");

    if (file == NULL)
        file = fopen(path, "wb");
    g_assert_nonnull(file);
    g_assert_cmpuint(fwrite(data, 1, size, file), ==, size);
    g_assert_cmpint(fclose(file), ==, 0);
    g_assert_cmpint(truncate(path, (off_t)size), ==, 0);
}

gchar *load_write_net(LoadFixture *self, const gchar *name, const OnnxText *text)
{
    g_autoptr(GByteArray) bytes = onnx_write(text);
    gchar *path = g_build_filename(self->directory, name, NULL);

    load_overwrite(path, bytes->data, bytes->len);
    return path;
}

GpudlModel *load_file(const gchar *path)
{
    g_autoptr(GError) error = NULL;
    GpudlModel *model = gpudl_model_load(path, NULL, NULL, &error);

    g_assert_no_error(error);
    return model;
}

void load_let_settle(void)
{
    g_usleep(3200 * 1000);
}

int load_run(const LoadCase *cases, guint n)
{
    for (guint i = 0; i < n; i++) {
        g_autofree gchar *path = g_strdup_printf("/load/%s", cases[i].name);

        g_test_add(path, LoadFixture, NULL, load_set_up, cases[i].run, load_tear_down);
    }
    return g_test_run();
}

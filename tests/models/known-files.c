/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/models/known-files.h"

#include <glib/gstdio.h>

const OnnxText known_plain = {13, "x:f32:Nx3x2x4", NULL, KNOWN_TAIL, "y"};
const OnnxText known_gray = {13, "x:f32:Nx1x2x4", NULL, KNOWN_TAIL, "y"};

void known_set_up(KnownFixture *self, gconstpointer data)
{
    self->directory = g_dir_make_tmp("gpudl-known-XXXXXX", NULL);
}

static void empty(const gchar *directory)
{
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
    const gchar *name;

    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree gchar *path = g_build_filename(directory, name, NULL);

        if (g_file_test(path, G_FILE_TEST_IS_DIR))
            empty(path);
        else
            g_unlink(path);
    }
    g_assert_cmpint(g_rmdir(directory), ==, 0);
}

void known_tear_down(KnownFixture *self, gconstpointer data)
{
    empty(self->directory);
    g_free(self->directory);
    g_free(self->path);
}

void known_put(KnownFixture *self, const gchar *name, const gchar *text)
{
    g_autofree gchar *path = g_build_filename(self->directory, name, NULL), *folder = g_path_get_dirname(path);

    g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

void known_put_net(KnownFixture *self, const gchar *name, const OnnxText *text, const gchar *const *metadata)
{
    g_autoptr(GByteArray) bytes = onnx_write(text);
    g_autofree gchar *folder = NULL;

    for (; metadata != NULL && metadata[0] != NULL; metadata += 2) {
        GByteArray *entry = g_byte_array_new();

        pb_string(entry, 1, metadata[0]);
        pb_string(entry, 2, metadata[1]);
        pb_message(bytes, 14, entry);
    }
    g_free(self->path);
    self->path = g_build_filename(self->directory, name, NULL);
    folder = g_path_get_dirname(self->path);
    g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
    g_assert_true(g_file_set_contents(self->path, (const gchar *)bytes->data, bytes->len, NULL));
}

GpudlModel *known_load(KnownFixture *self)
{
    g_autoptr(GError) error = NULL;
    GpudlModel *model = gpudl_model_load(self->path, NULL, NULL, &error);

    g_assert_no_error(error);
    return model;
}

gchar *known_said(GpudlModel *model)
{
    static const gchar *const orders[] = {"auto", "rgb", "bgr", "gray"};
    static const gchar *const modes[] = {"auto", "stretch", "letterbox", "crop", "squash", "border"};
    static const gchar *const methods[] = {"auto", "nearest", "bilinear",     "bicubic",
                                           "area", "aliased", "bicubic-bytes"};
    const GpudlPreproc *p = gpudl_model_get_preproc(model);
    g_autofree gchar *assumed = gpudl_model_describe_assumed(model, 0, FALSE);
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "%s %g mean %g,%g,%g std %g,%g,%g %s %g %s", orders[p->channel_order],
                           (double)p->pixel_scale, (double)p->mean[0], (double)p->mean[1], (double)p->mean[2],
                           (double)p->std[0], (double)p->std[1], (double)p->std[2], modes[p->resize_mode],
                           (double)p->crop_fraction, methods[p->scale_method]);
    if (gpudl_model_get_label(model, 0) != NULL)
        g_string_append_printf(text, " labels %s,%s", gpudl_model_get_label(model, 0), gpudl_model_get_label(model, 1));
    g_string_append_printf(text, "; from %s; assumed %s", model->known_from != NULL ? model->known_from : "nothing",
                           assumed != NULL ? assumed : "nothing");
    return g_string_free(text, FALSE);
}

void known_check(KnownFixture *self, const gchar *expected)
{
    g_autoptr(GpudlModel) model = known_load(self);
    g_autofree gchar *found = known_said(model);

    g_assert_cmpstr(found, ==, expected);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the gpudl command reads: arrays, sets of pictures, what pictures' own bytes say. */
#include <glib/gstdio.h>
#include <string.h>

#include "engine/limits.h"
#include "hostile.h"
#include "parsers.h"
#include "tools/dataset.h"
#include "tools/media-picture.h"
#include "tools/npy.h"

static void fuzz_npy(const guint8 *data, gsize size)
{
    g_autoptr(GError) error = NULL;
    gsize n = 0;
    g_autofree float *values = gpudl_npy_read(fuzz_as_file(data, size), &n, &error);

    if (values == NULL)
        hostile_check_error(error);
    else
        g_assert_cmpuint(n, <=, size / 4);
}

static void look_at(const Dataset *dataset)
{
    static const gchar *const names[] = {"a", "b", "1", "n02 c"};
    g_autoptr(GError) error = NULL;
    DatasetMatch match;
    g_autofree guint32 *ids = dataset_match(dataset, names, G_N_ELEMENTS(names), &match, &error);
    guint sum = 0;

    if (ids == NULL)
        hostile_check_error(error);
    for (guint i = 0; ids != NULL && i < dataset->pictures->len; i++)
        g_assert_cmpuint(ids[g_array_index(dataset->pictures, guint, i)], <, G_N_ELEMENTS(names));
    for (guint i = 0; i < MIN(dataset->pictures->len, 64); i++) {
        const guint picture = dataset->pictures->len - 1 - i;
        g_autofree gchar *name = dataset_name(dataset, picture);
        GpudlFrame frame;

        g_assert_cmpuint(g_array_index(dataset->pictures, guint, picture), <, dataset->labels->len);
        if (!dataset_frame(dataset, picture, &frame))
            continue;
        for (guint p = 0; p < G_N_ELEMENTS(frame.planes) && frame.planes[p] != NULL; p++)
            for (gint y = 0; y < frame.height; y++)
                sum += ((const guint8 *)frame.planes[p])[y * frame.strides[p] + frame.width - 1];
    }
    g_assert_cmpuint(sum, <, G_MAXUINT);
}

static void open_dataset(const gchar *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Dataset) dataset = dataset_open(path, &error);

    if (dataset != NULL)
        look_at(dataset);
    else
        hostile_check_error(error);
}

static void remove_folder(void)
{
    const gchar *folder = g_getenv("GPUDL_FUZZ_FOLDER"), *name;
    GDir *dir = g_dir_open(folder, 0, NULL);

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree gchar *path = g_build_filename(folder, name, NULL);

        g_unlink(path);
    }
    g_clear_pointer(&dir, g_dir_close);
    g_rmdir(folder);
}

static gchar *write_file(const gchar *name, const guint8 *data, gsize size)
{
    static gchar *folder;
    gchar *path;

    if (folder == NULL) {
        folder = g_dir_make_tmp("gpudl-fuzz-XXXXXX", NULL);
        g_assert_nonnull(folder);
        g_setenv("GPUDL_FUZZ_FOLDER", folder, TRUE);
        g_assert_cmpint(atexit(remove_folder), ==, 0);
    }
    path = g_build_filename(folder, name, NULL);
    g_assert_true(
        g_file_set_contents_full(path, (const gchar *)data, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    return path;
}

/* The last ten bytes are MNIST's labels to what is before them. */
static void fuzz_dataset(const guint8 *data, gsize size)
{
    const gsize labels = MIN(size, 10);
    g_autofree gchar *pictures = write_file("images-idx3", data, size - labels);
    g_autofree gchar *beside = write_file("labels-idx1", size > 0 ? data + size - labels : NULL, labels);

    open_dataset(pictures);
    open_dataset(beside);
}

static void fuzz_list(const guint8 *data, gsize size)
{
    g_autofree gchar *csv = write_file("list.csv", data, size);

    open_dataset(csv);
    open_dataset(fuzz_as_file(data, size));
}

static void fuzz_picture(const guint8 *data, gsize size)
{
    g_autofree guint8 *copy = g_memdup2(data, size);
    const MediaBytes bytes = {.fd = -1, .data = copy, .size = size};
    MediaPicture picture;

    media_picture_type(copy, size);
    media_picture_read(&bytes, &picture);
    g_assert_cmpuint(picture.orientation, >=, 1);
    g_assert_cmpuint(picture.orientation, <=, 8);
}

const FuzzParser fuzz_tools[] = {
    {"npy", fuzz_npy}, {"dataset", fuzz_dataset}, {"dataset-list", fuzz_list}, {"picture", fuzz_picture}, {NULL, NULL}};

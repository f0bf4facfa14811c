/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that are no model at all: one error each, of the right code, that begins with the path. */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostile.h"
#include "models/gpudl-import.h"

static gchar *folder;

static gchar *make_file(const gchar *name, const void *data, gssize size)
{
    gchar *path = g_build_filename(folder, name, NULL);
    g_autoptr(GError) error = NULL;
    g_file_set_contents(path, data, size, &error);
    g_assert_no_error(error);
    return path;
}

static void expect_error(const gchar *path, GpudlError code)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = gpudl_model_load(path, NULL, NULL, &error);
    g_assert_null(model);
    g_assert_error(error, GPUDL_ERROR, (gint)code);
    if (!g_str_has_prefix(error->message, path))
        g_error("the message does not begin with the path: %s", error->message);
    g_assert_cmpuint(strlen(error->message), >, strlen(path) + 5);
    g_assert_null(strchr(error->message, '\n'));
    g_test_message("%s", error->message);
}

static void test_absent(void)
{
    g_autofree gchar *path = g_build_filename(folder, "absent.bin", NULL);
    g_autofree gchar *below = g_build_filename(folder, "absent", "net.bin", NULL);
    expect_error(path, GPUDL_ERROR_NOT_FOUND);
    expect_error(below, GPUDL_ERROR_NOT_FOUND);
}

static void test_unreadable(void)
{
    g_autofree gchar *path = make_file("unreadable.bin", "x", 1);
    g_assert_cmpint(g_chmod(path, 0), ==, 0);
    if (g_access(path, R_OK) == 0)
        g_test_skip("this user may read everything (root)");
    else
        expect_error(path, GPUDL_ERROR_OPEN_READ);
}

static void test_no_file(void)
{
    expect_error(folder, GPUDL_ERROR_OPEN_READ);
    expect_error("/dev/null", GPUDL_ERROR_OPEN_READ);
    g_autofree gchar *fifo = g_build_filename(folder, "fifo", NULL);
    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    expect_error(fifo, GPUDL_ERROR_OPEN_READ); /* and does not wait for a writer */
}

static void test_empty(void)
{
    g_autofree gchar *path = make_file("empty.onnx", "", 0);
    expect_error(path, GPUDL_ERROR_FORMAT);
}

static void test_wrong_type(void)
{
    static const struct {
        const gchar *name, *data;
    } files[] = {{"text.onnx", "This is a letter, not a network.\n"},
                 {"script.bin", "#!/bin/sh\nexit 0\n"},
                 {"page.onnx", "<!DOCTYPE html><title>404</title>"},
                 {"pointer.onnx", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"},
                 {"picture.onnx", "\x89PNG\r\n\x1a\n"},
                 {"archive.bin", "PK\x03\x04"},
                 {"magic.bin", "\x89GPUDL\r\n"}};
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree gchar *path = make_file(files[i].name, files[i].data, (gssize)strlen(files[i].data));
        expect_error(path, GPUDL_ERROR_FORMAT);
    }
    g_autofree gchar *zeros = g_malloc0(1 << 20);
    g_autofree gchar *path = make_file("zeros.bin", zeros, 1 << 20);
    expect_error(path, GPUDL_ERROR_FORMAT);
}

/* ModelProto with a graph that has an input, an output and one Conv whose weight is nowhere. */
static void test_no_weights(void)
{
    /* clang-format off */
    static const guint8 file[] = {
        0x08, 0x08,                                                     /* ir_version 8 */
        0x3a, 0x4e,                                                     /* graph of 78 bytes */
        0x0a, 0x0f, 0x0a, 0x01, 'x', 0x0a, 0x01, 'w', 0x12, 0x01, 'y',  /* node with inputs x and w, output y */
        0x22, 0x04, 'C', 'o', 'n', 'v',
        0x12, 0x01, 'g',                                                /* name */
        0x5a, 0x1b, 0x0a, 0x01, 'x', 0x12, 0x16, 0x0a, 0x14, 0x08, 0x01, 0x12, 0x10, /* input x, float32 */
        0x0a, 0x02, 0x08, 0x01, 0x0a, 0x02, 0x08, 0x03, 0x0a, 0x02, 0x08, 0x08, 0x0a, 0x02, 0x08, 0x08,
        0x62, 0x1b, 0x0a, 0x01, 'y', 0x12, 0x16, 0x0a, 0x14, 0x08, 0x01, 0x12, 0x10, /* output y, float32 */
        0x0a, 0x02, 0x08, 0x01, 0x0a, 0x02, 0x08, 0x03, 0x0a, 0x02, 0x08, 0x08, 0x0a, 0x02, 0x08, 0x08,
        0x42, 0x02, 0x10, 0x0d,                                         /* opset 13 */
    };
    /* clang-format on */
    g_autofree gchar *path = make_file("no-weights.onnx", file, sizeof file);
    expect_error(path, GPUDL_ERROR_FORMAT);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("gpudl-hostile-XXXXXX", &error);
    g_assert_no_error(error);
    g_test_add_func("/hostile/files/absent", test_absent);
    g_test_add_func("/hostile/files/unreadable", test_unreadable);
    g_test_add_func("/hostile/files/no-regular-file", test_no_file);
    g_test_add_func("/hostile/files/empty", test_empty);
    g_test_add_func("/hostile/files/wrong-type", test_wrong_type);
    g_test_add_func("/hostile/files/no-weights", test_no_weights);
    int status = g_test_run();
    GDir *dir = g_dir_open(folder, 0, NULL);
    const gchar *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree gchar *path = g_build_filename(folder, name, NULL);
        g_unlink(path);
    }
    g_clear_pointer(&dir, g_dir_close);
    g_rmdir(folder);
    g_free(folder);
    return status;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MNIST's and CIFAR's files. No size or count in them is believed. */
#include <string.h>

#include "engine/limits.h"
#include "tools/dataset-internal.h"

#define IDX_BYTES 0x08
#define IDX_PICTURES_HEADER 16
#define IDX_LABELS_HEADER 8
#define CIFAR_SIDE 32
#define CIFAR_PIXELS (3 * CIFAR_SIDE * CIFAR_SIDE)

static void name_by_number(Dataset *self, guint n)
{
    for (guint i = 0; i < n; i++)
        g_ptr_array_add(self->labels, g_strdup_printf("%u", i));
}

/* ---- MNIST: yann.lecun.com/exdb/mnist, "IDX" --------------------------------------------------------------------- */

static guint32 big_endian(const guint8 *p)
{
    return (guint32)p[0] << 24 | (guint32)p[1] << 16 | (guint32)p[2] << 8 | p[3];
}

static gboolean is_idx(const guint8 *data, gsize size)
{
    return size >= 4 && data[0] == 0 && data[1] == 0 && data[2] >= 0x08 && data[2] <= 0x0e && data[3] >= 1 &&
           data[3] <= 8;
}

static gchar *replaced(const gchar *text, const gchar *from, const gchar *to)
{
    g_auto(GStrv) parts = g_strsplit(text, from, 2);

    return parts[1] != NULL ? g_strconcat(parts[0], to, parts[1], NULL) : NULL;
}

/* The file of labels has the name of that of pictures with other words in it; either may be packed. */
static gchar *labels_beside(const Dataset *self, GError **error)
{
    g_autofree gchar *folder = g_path_get_dirname(self->path), *base = g_path_get_basename(self->path);
    g_autofree gchar *labels = replaced(base, "images", "labels");
    g_autofree gchar *name = labels != NULL ? replaced(labels, "idx3", "idx1") : NULL, *other = NULL;
    g_autofree gchar *path = NULL, *second = NULL;

    if (labels == NULL) {
        g_set_error(
            error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
            "%s: is MNIST's file of pictures; its labels are looked for beside it by its name, which has to have "
            "'images' in it, as train-images-idx3-ubyte and train-labels-idx1-ubyte",
            self->path);
        return NULL;
    }
    if (name == NULL)
        name = g_steal_pointer(&labels);
    other = g_str_has_suffix(name, ".gz") ? g_strndup(name, strlen(name) - 3) : g_strconcat(name, ".gz", NULL);
    path = g_build_filename(folder, name, NULL);
    second = g_build_filename(folder, other, NULL);
    if (g_file_test(path, G_FILE_TEST_EXISTS))
        return g_steal_pointer(&path);
    if (g_file_test(second, G_FILE_TEST_EXISTS))
        return g_steal_pointer(&second);
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND, "%s: its labels are not beside it: expected %s or %s",
                self->path, name, other);
    return NULL;
}

static gboolean read_idx_labels(Dataset *self, guint n, GError **error)
{
    g_autofree gchar *path = labels_beside(self, error);
    g_autoptr(GBytes) bytes = path != NULL ? dataset_read_file(path, error) : NULL;
    const guint8 *data;
    guint highest = 0;
    gsize size;

    if (bytes == NULL)
        return FALSE;
    data = g_bytes_get_data(bytes, &size);
    if (!is_idx(data, size) || data[2] != IDX_BYTES || data[3] != 1 || size < IDX_LABELS_HEADER) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "%s: is no IDX file of labels, expected one that begins with the bytes 0 0 8 1", path);
        return FALSE;
    }
    if (big_endian(data + 4) != n || size - IDX_LABELS_HEADER < n) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "%s: says that it has %u labels and has %" G_GSIZE_FORMAT
                    ", expected %u, one for each picture of %s",
                    path, big_endian(data + 4), size - IDX_LABELS_HEADER, n, self->path);
        return FALSE;
    }
    for (guint i = 0; i < n; i++) {
        dataset_add(self, data[IDX_LABELS_HEADER + i], NULL);
        highest = MAX(highest, data[IDX_LABELS_HEADER + i]);
    }
    name_by_number(self, highest + 1);
    return TRUE;
}

static gboolean read_idx(Dataset *self, GBytes *bytes, GError **error)
{
    const guint8 *data;
    guint32 n, height, width;
    gsize size;

    data = g_bytes_get_data(bytes, &size);
    if (data[2] == IDX_BYTES && data[3] == 1) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "%s: is MNIST's file of labels, expected that of pictures (train-images-idx3-ubyte)", self->path);
        return FALSE;
    }
    if (data[2] != IDX_BYTES || data[3] != 3) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "%s: is an IDX file of type 0x%02x with %u dimensions, expected bytes (0x08) with 3", self->path,
                    data[2], data[3]);
        return FALSE;
    }
    if (size < IDX_PICTURES_HEADER) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "%s: has %" G_GSIZE_FORMAT " bytes, expected a header of %u: it is not all there", self->path, size,
                    IDX_PICTURES_HEADER);
        return FALSE;
    }
    n = big_endian(data + 4);
    height = big_endian(data + 8);
    width = big_endian(data + 12);
    if (height < 1 || width < 1 || height > GPUDL_LIMIT_INPUT_SIDE || width > GPUDL_LIMIT_INPUT_SIDE || n < 1 ||
        n > DATASET_MOST_PICTURES || (size - IDX_PICTURES_HEADER) / n < (guint64)height * width) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "%s: says that it has %u pictures of %u x %u pixels, and has %" G_GSIZE_FORMAT
                    " bytes of them: it is damaged, or not all there",
                    self->path, n, width, height, size - IDX_PICTURES_HEADER);
        return FALSE;
    }
    self->kind = DATASET_MNIST;
    self->data = g_bytes_ref(bytes);
    self->first = IDX_PICTURES_HEADER;
    self->step = (gsize)height * width;
    self->height = (gint)height;
    self->width = (gint)width;
    return read_idx_labels(self, n, error);
}

/* ---- CIFAR: cs.toronto.edu/~kriz/cifar, binary version ----------------------------------------------------------- */

/* A record is so many bytes, each below its bound, and the pixels; the last of the bytes is the label. */
static gboolean is_cifar(const guint8 *data, gsize size, guint n_bytes, const guint8 *bounds)
{
    gsize step = n_bytes + CIFAR_PIXELS;

    if (size % step != 0 || size / step > DATASET_MOST_PICTURES)
        return FALSE;
    for (gsize at = 0; at < size; at += step)
        for (guint i = 0; i < n_bytes; i++)
            if (data[at + i] >= bounds[i])
                return FALSE;
    return TRUE;
}

/* Names that the archive has beside its records, one a line; numbers where it has not. */
static void name_cifar(Dataset *self, const gchar *file, guint n)
{
    g_autofree gchar *folder = g_path_get_dirname(self->path), *path = g_build_filename(folder, file, NULL);
    g_auto(GStrv) names = NULL;
    guint n_names = 0;

    if (g_file_test(path, G_FILE_TEST_IS_REGULAR))
        names = gpudl_labels_read(path, &n_names, NULL);
    for (guint i = 0; n_names == n && i < n; i++)
        g_ptr_array_add(self->labels, g_strdup(names[i]));
    if (n_names != n)
        name_by_number(self, n);
}

static gboolean read_cifar(Dataset *self, GBytes *bytes, DatasetKind kind, guint n_bytes)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);

    self->kind = kind;
    self->data = g_bytes_ref(bytes);
    self->step = n_bytes + CIFAR_PIXELS;
    self->skip = n_bytes;
    self->height = self->width = CIFAR_SIDE;
    for (gsize at = 0; at < size; at += self->step)
        dataset_add(self, data[at + n_bytes - 1], NULL);
    name_cifar(self, kind == DATASET_CIFAR10 ? "batches.meta.txt" : "fine_label_names.txt",
               kind == DATASET_CIFAR10 ? 10 : 100);
    return TRUE;
}

gboolean dataset_read_binary(Dataset *self, GBytes *bytes, gboolean *known, GError **error)
{
    static const guint8 ten[] = {10}, hundred[] = {20, 100};
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);

    *known = TRUE;
    if (is_idx(data, size))
        return read_idx(self, bytes, error);
    if (is_cifar(data, size, 1, ten))
        return read_cifar(self, bytes, DATASET_CIFAR10, 1);
    if (is_cifar(data, size, 2, hundred))
        return read_cifar(self, bytes, DATASET_CIFAR100, 2);
    *known = FALSE;
    return TRUE;
}

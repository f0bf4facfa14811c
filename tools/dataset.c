/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/dataset.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/dataset-internal.h"

static const gchar *const kinds[] = {"folders", "list", "mnist", "cifar-10", "cifar-100"};

const gchar *dataset_kind_name(DatasetKind kind)
{
    return kinds[kind];
}

const gchar *dataset_match_name(DatasetMatch match)
{
    return match == DATASET_BY_NAME ? "name" : match == DATASET_BY_NUMBER ? "number" : "order";
}

void dataset_free(Dataset *self)
{
    g_free(self->path);
    g_ptr_array_unref(self->labels);
    g_array_unref(self->pictures);
    g_clear_pointer(&self->files, g_ptr_array_unref);
    g_clear_pointer(&self->data, g_bytes_unref);
    g_free(self);
}

void dataset_add(Dataset *self, guint label, gchar *file)
{
    g_array_append_val(self->pictures, label);
    if (file != NULL)
        g_ptr_array_add(self->files, file);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static GBytes *unpack(GBytes *packed, const gchar *path, GError **error)
{
    g_autoptr(GInputStream) from = g_memory_input_stream_new_from_bytes(packed);
    g_autoptr(GConverter) converter = G_CONVERTER(g_zlib_decompressor_new(G_ZLIB_COMPRESSOR_FORMAT_GZIP));
    g_autoptr(GInputStream) stream = g_converter_input_stream_new(from, converter);
    g_autoptr(GByteArray) all = g_byte_array_new();
    g_autoptr(GError) reason = NULL;
    guint8 block[65536];
    gssize n;

    while ((n = g_input_stream_read(stream, block, sizeof block, NULL, &reason)) > 0) {
        /* one that unpacks to all memory is no set of pictures */
        if (all->len + (guint64)n > DATASET_MOST_BYTES) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                        "%s: unpacks to more than %" G_GUINT64_FORMAT " MiB; unpack it (gunzip) and name that file",
                        path, DATASET_MOST_BYTES >> 20);
            return NULL;
        }
        g_byte_array_append(all, block, (guint)n);
    }
    if (n < 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: is damaged: its gzip data can't be unpacked: %s", path,
                    reason->message);
        return NULL;
    }
    return g_byte_array_free_to_bytes(g_steal_pointer(&all));
}

GBytes *dataset_read_file(const gchar *path, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) reason = NULL;
    gchar *data;
    GStatBuf st;
    gsize size;

    if (path[0] == '\0') {
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND,
                            "'': an empty name was given, expected that of a data set");
        return NULL;
    }
    if (g_stat(path, &st) != 0) {
        g_set_error(error, GPUDL_ERROR, errno == ENOENT ? GPUDL_ERROR_NOT_FOUND : GPUDL_ERROR_OPEN_READ, "%s: %s", path,
                    errno == ENOENT ? "no such file or folder" : g_strerror(errno));
        return NULL;
    }
    if (!S_ISREG(st.st_mode)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: is neither a folder nor a regular file", path);
        return NULL;
    }
    if ((guint64)st.st_size > DATASET_MOST_BYTES) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                    "%s: has %" G_GUINT64_FORMAT " bytes, expected at most %" G_GUINT64_FORMAT, path,
                    (guint64)st.st_size, DATASET_MOST_BYTES);
        return NULL;
    }
    if (!g_file_get_contents(path, &data, &size, &reason)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: can't be read: %s", path, reason->message);
        return NULL;
    }
    bytes = g_bytes_new_take(data, size);
    if (size >= 2 && (guint8)data[0] == 0x1f && (guint8)data[1] == 0x8b)
        return unpack(bytes, path, error);
    return g_steal_pointer(&bytes);
}

static gboolean refuse(const Dataset *self, const gchar *what, GError **error)
{
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                "%s: %s, expected a folder with a folder for each class, a list with a picture and its class a line "
                "(text), MNIST's IDX file of pictures, or CIFAR's binary records",
                self->path, what);
    return FALSE;
}

static gboolean read_file(Dataset *self, GError **error)
{
    g_autoptr(GBytes) bytes = dataset_read_file(self->path, error);
    g_autofree gchar *text = NULL;
    gboolean known = FALSE;
    const gchar *data;
    gsize size;

    if (bytes == NULL)
        return FALSE;
    data = g_bytes_get_data(bytes, &size);
    if (size == 0)
        return refuse(self, "is empty", error);
    if (!dataset_read_binary(self, bytes, &known, error))
        return FALSE;
    if (known)
        return TRUE;
    if (!g_utf8_validate_len(data, size, NULL))
        return refuse(self, "is neither text in UTF-8 nor a file of pictures that is known", error);
    if (g_str_has_prefix(data, "\xef\xbb\xbf")) {
        data += 3;
        size -= 3;
    }
    text = g_strndup(data, size);
    return dataset_read_list(self, text, error);
}

Dataset *dataset_open(const gchar *path, GError **error)
{
    g_autoptr(Dataset) self = g_new0(Dataset, 1);
    gboolean done;

    self->path = g_strdup(path);
    self->labels = g_ptr_array_new_with_free_func(g_free);
    self->pictures = g_array_new(FALSE, FALSE, sizeof(guint));
    self->files = g_ptr_array_new_with_free_func(g_free);
    done = g_file_test(path, G_FILE_TEST_IS_DIR) ? dataset_read_folders(self, error) : read_file(self, error);
    if (self->data != NULL)
        g_clear_pointer(&self->files, g_ptr_array_unref);
    return done ? g_steal_pointer(&self) : NULL;
}

/* ---- pictures ---------------------------------------------------------------------------------------------------- */

gchar *dataset_name(const Dataset *self, guint picture)
{
    return self->files != NULL ? g_strdup(self->files->pdata[picture]) : g_strdup_printf("%s #%u", self->path, picture);
}

gboolean dataset_frame(const Dataset *self, guint picture, GpudlFrame *frame)
{
    const guint8 *pixels;

    if (self->data == NULL)
        return FALSE;
    pixels = (const guint8 *)g_bytes_get_data(self->data, NULL) + self->first + picture * self->step + self->skip;
    *frame = (GpudlFrame){.struct_size = sizeof *frame,
                          .memory = GPUDL_MEMORY_HOST,
                          .format = self->kind == DATASET_MNIST ? GPUDL_PIXEL_GRAY8 : GPUDL_PIXEL_RGBP,
                          .width = self->width,
                          .height = self->height,
                          .range = GPUDL_RANGE_FULL};
    for (guint p = 0; p < (self->kind == DATASET_MNIST ? 1 : 3); p++) {
        frame->planes[p] = pixels + (gsize)p * self->width * self->height;
        frame->strides[p] = self->width;
    }
    return TRUE;
}

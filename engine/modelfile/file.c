/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "modelfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "engine/limits.h"

static gboolean set_open_error(const gchar *path, int code, GError **error)
{
    g_set_error(error, GPUDL_ERROR, code == ENOENT || code == ENOTDIR ? GPUDL_ERROR_NOT_FOUND : GPUDL_ERROR_OPEN_READ,
                "%s: %s", path, g_strerror(code));
    return FALSE;
}

/* A file that shrinks meanwhile is an error; one that grows is read up to the size it had. */
static gboolean read_all(int fd, const gchar *path, guint8 *data, gsize size, GError **error)
{
    gsize done = 0;

    while (done < size) {
        gssize n = read(fd, data + done, size - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return set_open_error(path, errno, error);
        if (n == 0) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ,
                        "%s: file became shorter while it was read: %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " bytes",
                        path, done, size);
            return FALSE;
        }
        done += (gsize)n;
    }
    return TRUE;
}

static gboolean check_kind(const gchar *path, const struct stat *st, guint64 limit, GError **error)
{
    if (S_ISDIR(st->st_mode)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: is a directory, expected a file", path);
        return FALSE;
    }
    if (!S_ISREG(st->st_mode)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: is not a regular file", path);
        return FALSE;
    }
    if (st->st_size == 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: the file is empty", path);
        return FALSE;
    }
    if ((guint64)st->st_size > limit) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                    "%s: file has %" G_GUINT64_FORMAT " bytes, at most %" G_GUINT64_FORMAT " are taken", path,
                    (guint64)st->st_size, limit);
        return FALSE;
    }
    return TRUE;
}

GBytes *gpudl_file_read_up_to(const gchar *path, guint64 limit, struct stat *st_out, GError **error)
{
    struct stat st;
    void *data = NULL;
    gsize size;
    int fd;

    /* O_NONBLOCK: opening a FIFO that nobody writes to must not hang */
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        set_open_error(path, errno, error);
        return NULL;
    }
    if (fstat(fd, &st) != 0) {
        set_open_error(path, errno, error);
        goto fail;
    }
    if (!check_kind(path, &st, limit, error))
        goto fail;
    size = (gsize)st.st_size;
    if (posix_memalign(&data, GPUDL_FILE_ALIGNMENT, size) != 0) {
        data = NULL;
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY, "%s: no memory for its %" G_GSIZE_FORMAT " bytes", path,
                    size);
        goto fail;
    }
    if (!read_all(fd, path, data, size, error))
        goto fail;
    close(fd);
    if (st_out)
        *st_out = st;
    return g_bytes_new_with_free_func(data, size, free, data);

fail:
    free(data);
    close(fd);
    return NULL;
}

GBytes *gpudl_file_read(const gchar *path, struct stat *st, GError **error)
{
    return gpudl_file_read_up_to(path, GPUDL_LIMIT_FILE_BYTES, st, error);
}

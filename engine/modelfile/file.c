/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "modelfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "engine/limits.h"

#define READ_BYTES ((gsize)4 << 20) /* between two looks at the cancellable */

static gboolean set_open_error(const gchar *path, int code, GError **error)
{
    g_set_error(error, GPUDL_ERROR, code == ENOENT || code == ENOTDIR ? GPUDL_ERROR_NOT_FOUND : GPUDL_ERROR_OPEN_READ,
                "%s: %s", path, g_strerror(code));
    return FALSE;
}

/* A file that shrinks meanwhile is an error; one that grows is read up to the size it had. */
static gboolean read_all(int fd, const gchar *path, guint8 *data, gsize size, GCancellable *cancellable, GError **error)
{
    gsize done = 0;

    while (done < size) {
        gssize n = read(fd, data + done, MIN(size - done, READ_BYTES));

        if (g_cancellable_is_cancelled(cancellable)) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "%s: reading was cancelled", path);
            return FALSE;
        }
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

/* -1 with error. */
static int open_file(const gchar *path, guint64 limit, struct stat *st, GError **error)
{
    int fd;

    /* O_NONBLOCK: opening a FIFO that nobody writes to must not hang */
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        set_open_error(path, errno, error);
        return -1;
    }
    if (fstat(fd, st) != 0)
        set_open_error(path, errno, error);
    else if (check_kind(path, st, limit, error))
        return fd;
    close(fd);
    return -1;
}

static gboolean fail_memory(const gchar *path, gsize size, GError **error)
{
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY, "%s: no memory for its %" G_GSIZE_FORMAT " bytes", path,
                size);
    return FALSE;
}

GpudlPages *gpudl_file_read_pages(const gchar *path, guint64 limit, struct stat *st_out, GCancellable *cancellable,
                                  GError **error)
{
    g_autoptr(GpudlPages) pages = NULL;
    struct stat st;
    gboolean good;
    int fd = open_file(path, limit, &st, error);

    if (fd < 0)
        return NULL;
    pages = gpudl_pages_new((gsize)st.st_size);
    good = pages ? read_all(fd, path, gpudl_pages_get_data(pages), (gsize)st.st_size, cancellable, error)
                 : fail_memory(path, (gsize)st.st_size, error);
    close(fd);
    if (good && st_out)
        *st_out = st;
    return good ? g_steal_pointer(&pages) : NULL;
}

gboolean gpudl_file_fill_pages(const gchar *path, GpudlPages *pages, GCancellable *cancellable, GError **error)
{
    struct stat st;
    gsize size = gpudl_pages_get_size(pages);
    gboolean good = FALSE;
    int fd = open_file(path, G_MAXUINT64, &st, error);

    if (fd < 0)
        return FALSE;
    if ((guint64)st.st_size != size)
        gpudl_file_set_changed(path, error);
    else if (!gpudl_pages_restore(pages))
        fail_memory(path, size, error);
    else if (!(good = read_all(fd, path, gpudl_pages_get_data(pages), size, cancellable, error)))
        gpudl_pages_drop(pages);
    close(fd);
    return good;
}

void gpudl_file_set_changed(const gchar *path, GError **error)
{
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: the file changed since it was loaded: load it again",
                path);
}

GBytes *gpudl_file_read_up_to(const gchar *path, guint64 limit, GError **error)
{
    g_autoptr(GpudlPages) pages = gpudl_file_read_pages(path, limit, NULL, NULL, error);

    return pages ? gpudl_pages_slice(pages, 0, gpudl_pages_get_size(pages)) : NULL;
}

GBytes *gpudl_file_read(const gchar *path, GError **error)
{
    return gpudl_file_read_up_to(path, GPUDL_LIMIT_FILE_BYTES, error);
}

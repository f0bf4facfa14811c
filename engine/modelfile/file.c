/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "modelfile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "engine/limits.h"

#define READ_BYTES ((gsize)4 << 20) /* between two looks at the cancellable */

static gboolean set_open_error(const gchar *path, int code, GError **error)
{
    if (path[0] == '\0')
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND,
                            "'': an empty name was given, expected that of a file");
    else
        g_set_error(error, GPUDL_ERROR,
                    code == ENOENT || code == ENOTDIR ? GPUDL_ERROR_NOT_FOUND : GPUDL_ERROR_OPEN_READ, "%s: %s", path,
                    g_strerror(code));
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

int gpudl_file_open(const gchar *path, guint64 limit, struct stat *st, GError **error)
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
    int fd = gpudl_file_open(path, limit, &st, error);

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
    int fd = gpudl_file_open(path, G_MAXUINT64, &st, error);

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

static GBytes *read_up_to(const gchar *path, guint64 limit, GError **error)
{
    g_autoptr(GpudlPages) pages = gpudl_file_read_pages(path, limit, NULL, NULL, error);

    return pages ? gpudl_pages_slice(pages, 0, gpudl_pages_get_size(pages)) : NULL;
}

GBytes *gpudl_file_read(const gchar *path, GError **error)
{
    return read_up_to(path, GPUDL_LIMIT_FILE_BYTES, error);
}

/* ---- pipes ------------------------------------------------------------------------------------------------------- */

/* Appends what is there, at most one byte beyond the limit. 1: more may come, 0: the end, -1 with error. fd does not
 * block. */
static int read_some(int fd, const gchar *path, guint64 limit, gint patience_ms, GByteArray *bytes, GError **error)
{
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    guint8 block[65536];
    gssize n;
    int ready = poll(&waiting, 1, patience_ms);

    if (ready == 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: is a pipe, and nothing came for %.3g s", path,
                    patience_ms / 1000.0);
        return -1;
    }
    n = ready > 0 ? read(fd, block, MIN(sizeof block, limit + 1 - bytes->len)) : -1;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 1;
    if (n < 0) {
        set_open_error(path, errno, error);
        return -1;
    }
    g_byte_array_append(bytes, block, (guint)n);
    if (bytes->len <= limit)
        return n > 0;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                "%s: more than %" G_GUINT64_FORMAT " bytes come out of the pipe, which is the most that is taken", path,
                limit);
    return -1;
}

static GBytes *read_pipe(int fd, const gchar *path, guint64 limit, gint patience_ms, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    int more;

    while ((more = read_some(fd, path, limit, patience_ms, bytes, error)) > 0)
        ;
    if (more == 0 && bytes->len == 0)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: nothing came out of the pipe", path);
    return more == 0 && bytes->len > 0 ? g_byte_array_free_to_bytes(g_steal_pointer(&bytes)) : NULL;
}

GBytes *gpudl_file_read_text(const gchar *path, guint64 limit, gint patience_ms, GError **error)
{
    GBytes *bytes = NULL;
    struct stat st;
    int fd;

    if (stat(path, &st) != 0 || !S_ISFIFO(st.st_mode))
        return read_up_to(path, limit, error);
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        set_open_error(path, errno, error);
        return NULL;
    }
    bytes = read_pipe(fd, path, limit, patience_ms, error);
    close(fd);
    return bytes;
}

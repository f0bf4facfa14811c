/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/files.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

gboolean files_check_output(const gchar *option, const gchar *output, const gchar *input, const gchar *what,
                            GError **error)
{
    g_autofree gchar *local = input != NULL ? g_filename_from_uri(input, NULL, NULL) : NULL;
    const gchar *path = local != NULL ? local : input;
    GStatBuf written, read;

    if (path == NULL || g_stat(output, &written) != 0 || g_stat(path, &read) != 0 || written.st_dev != read.st_dev ||
        written.st_ino != read.st_ino)
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                "%s: %s is %s, which would be lost: expected another file to write", option, output, what);
    return FALSE;
}

static gboolean refuse_write(const gchar *path, const gchar *reason, GError **error)
{
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_WRITE, "%s: can't be written: %s", path, reason);
    return FALSE;
}

gboolean files_check_writable(const gchar *path, GError **error)
{
    g_autofree gchar *folder = g_path_get_dirname(path);
    GStatBuf st;

    if (g_stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return refuse_write(path, "is not a regular file", error);
    /* the folder counts: a file is replaced, not written into */
    if (g_stat(folder, &st) == 0 && !S_ISDIR(st.st_mode))
        return refuse_write(path, g_strerror(ENOTDIR), error);
    return g_access(folder, W_OK | X_OK) == 0 || refuse_write(path, g_strerror(errno), error);
}

gboolean files_write(const gchar *path, GBytes *bytes, GError **error)
{
    g_autoptr(GError) reason = NULL;
    const gchar *data;
    gsize size;

    if (!files_check_writable(path, error))
        return FALSE;
    data = g_bytes_get_data(bytes, &size);
    return g_file_set_contents(path, data, (gssize)size, &reason) || refuse_write(path, reason->message, error);
}

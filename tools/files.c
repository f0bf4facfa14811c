/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/files.h"

#include <glib/gstdio.h>
#include <sys/stat.h>

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

gboolean files_write(const gchar *path, GBytes *bytes, GError **error)
{
    g_autoptr(GError) reason = NULL;
    const gchar *data;
    GStatBuf st;
    gsize size;

    if (g_stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_WRITE, "%s: can't be written: is not a regular file", path);
        return FALSE;
    }
    data = g_bytes_get_data(bytes, &size);
    if (g_file_set_contents(path, data, (gssize)size, &reason))
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_WRITE, "%s: can't be written: %s", path, reason->message);
    return FALSE;
}

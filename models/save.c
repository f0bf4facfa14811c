/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/save.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "engine/model.h"
#include "engine/modelfile/modelfile.h"
#include "models/gpudl-import.h"

#define WRITE_BYTES ((gsize)64 << 20) /* at once: no system takes more than 2 GB */

static gboolean fail_write(const gchar *path, const gchar *why, GError **error)
{
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_WRITE, "%s: can't be written: %s", path, why);
    return FALSE;
}

/* A rename would replace a device as it replaces a file. */
gboolean gpudl_save_check(const gchar *path, GError **error)
{
    g_autofree gchar *folder = g_path_get_dirname(path);
    g_autofree gchar *why = NULL;
    GStatBuf st;

    if (path[0] == '\0' || g_str_has_suffix(path, G_DIR_SEPARATOR_S))
        return fail_write(path, "expected the name of a file", error);
    if (g_stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return fail_write(path, S_ISDIR(st.st_mode) ? "is a directory" : "is not a regular file", error);
    if (g_access(folder, W_OK | X_OK) == 0)
        return TRUE;
    why = g_strdup_printf("folder %s: %s", folder, g_strerror(errno));
    return fail_write(path, why, error);
}

static gboolean put(gconstpointer data, gsize size, gpointer user_data, GError **error)
{
    const guint8 *at = data;
    const int fd = *(const int *)user_data;

    while (size > 0) {
        const gssize n = write(fd, at, MIN(size, WRITE_BYTES));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_WRITE, g_strerror(n < 0 ? errno : ENOSPC));
            return FALSE;
        }
        at += n;
        size -= (gsize)n;
    }
    return TRUE;
}

/* What stands in the file has to be a net.bin, whatever texts and sizes the model came with. The checksums have just
 * been computed; to verify them would have all weights in memory once more. */
static gboolean read_back(int fd, const gchar *path, GError **error)
{
    const gchar content[GPUDL_CONTENT_BYTES] = ""; /* of a model that nobody sees */
    g_autoptr(GError) fault = NULL;
    g_autoptr(GMappedFile) mapped = g_mapped_file_new_from_fd(fd, FALSE, &fault);
    g_autoptr(GBytes) file = mapped != NULL ? g_mapped_file_get_bytes(mapped) : NULL;
    g_autoptr(GpudlModel) model = file != NULL ? gpudl_modelfile_read_checked(file, path, content, NULL, &fault) : NULL;
    const gchar *why;

    if (model != NULL)
        return TRUE;
    why = fault->message + (g_str_has_prefix(fault->message, path) ? strlen(path) + strlen(": ") : 0);
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_WRITE, "what was written can't be read back: %s", why);
    return FALSE;
}

/* Into a file beside it, which takes its name once it is on the disk and can be read. */
static gboolean save(GpudlModel *model, const gchar *path, GError **error)
{
    g_autofree gchar *beside = g_strdup_printf("%s.XXXXXX", path);
    g_autoptr(GError) failure = NULL;
    int fd = g_mkstemp_full(beside, O_RDWR | O_CLOEXEC, 0666);
    gboolean good;

    if (fd < 0)
        return fail_write(path, g_strerror(errno), error);
    good = gpudl_modelfile_put(model, put, &fd, &failure);
    if (good && fsync(fd) != 0) {
        good = FALSE;
        g_set_error_literal(&failure, GPUDL_ERROR, GPUDL_ERROR_WRITE, g_strerror(errno));
    }
    good = good && read_back(fd, path, &failure);
    close(fd);
    if (good && g_rename(beside, path) != 0) {
        good = FALSE;
        g_set_error_literal(&failure, GPUDL_ERROR, GPUDL_ERROR_WRITE, g_strerror(errno));
    }
    if (good)
        return TRUE;
    g_unlink(beside);
    if (g_error_matches(failure, GPUDL_ERROR, GPUDL_ERROR_WRITE))
        return fail_write(path, failure->message, error);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

gboolean gpudl_model_save(GpudlModel *model, const gchar *path, GError **error)
{
    return gpudl_save_check(path, error) && save(model, path, error);
}

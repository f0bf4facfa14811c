/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/save.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "engine/model.h"
#include "engine/modelfile/modelfile.h"
#include "models/gpudl-import.h"

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

gboolean gpudl_model_save(GpudlModel *model, const gchar *path, GError **error)
{
    g_autoptr(GBytes) bytes = gpudl_save_check(path, error) ? gpudl_modelfile_write(model, error) : NULL;
    g_autoptr(GError) failure = NULL;
    const gchar *data;
    gsize size;

    if (!bytes)
        return FALSE;
    data = g_bytes_get_data(bytes, &size);
    if (!g_file_set_contents_full(path, data, (gssize)size,
                                  G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0666, &failure))
        return fail_write(path, failure->message, error);
    return TRUE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What tells one state of a file from another without reading it.
 */
#ifndef GPUDL_MODELS_FILE_VERSION_H
#define GPUDL_MODELS_FILE_VERSION_H

#include <sys/stat.h>

#include <glib.h>

G_BEGIN_DECLS

/** The time of the last change of the inode is among it since no user can set it: equal times of modification are
 * common (archives, packages, rsync -t), also over other content of the same size. */
typedef struct {
    guint64 device, inode, size;
    gint64 modified_s, modified_ns, changed_s, changed_ns;
} GpudlFileVersion;

GpudlFileVersion gpudl_file_version(const struct stat *st);
gboolean gpudl_file_version_equal(const GpudlFileVersion *a, const GpudlFileVersion *b);

/** TRUE if both names lead to one file that is there: by other spellings, symbolic and hard links. */
gboolean gpudl_file_is_same(const gchar *a, const gchar *b);

/**
 * TRUE if a change of the file after now (g_get_real_time()) is sure to give another version: file systems stamp in
 * steps, of 4 ms up to 2 s, so that a second change within a step does not show.
 */
gboolean gpudl_file_version_is_settled(const GpudlFileVersion *version, gint64 now);

G_END_DECLS
#endif

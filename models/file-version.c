/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/file-version.h"

#define LONGEST_STEP_S 2 /* FAT's */

GpudlFileVersion gpudl_file_version(const struct stat *st)
{
    return (GpudlFileVersion){
        .device = (guint64)st->st_dev,
        .inode = (guint64)st->st_ino,
        .size = (guint64)st->st_size,
        .modified_s = (gint64)st->st_mtim.tv_sec,
        .modified_ns = (gint64)st->st_mtim.tv_nsec,
        .changed_s = (gint64)st->st_ctim.tv_sec,
        .changed_ns = (gint64)st->st_ctim.tv_nsec,
    };
}

gboolean gpudl_file_version_equal(const GpudlFileVersion *a, const GpudlFileVersion *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size && a->modified_s == b->modified_s &&
           a->modified_ns == b->modified_ns && a->changed_s == b->changed_s && a->changed_ns == b->changed_ns;
}

gboolean gpudl_file_version_is_settled(const GpudlFileVersion *version, gint64 now)
{
    return now / G_USEC_PER_SEC - version->changed_s > LONGEST_STEP_S;
}

gboolean gpudl_file_is_same(const gchar *a, const gchar *b)
{
    struct stat first, second;

    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

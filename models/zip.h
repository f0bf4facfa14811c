/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * ZIP archives, which may lie behind something else. Every offset and size is checked against the bytes before it is
 * used, nothing is written to files, and what a member says of its size bounds what is unpacked.
 */
#ifndef GPUDL_MODELS_ZIP_H
#define GPUDL_MODELS_ZIP_H

#include <gio/gio.h>

#include "engine/pages.h"

G_BEGIN_DECLS

typedef struct _GpudlZip GpudlZip;

/**
 * Reads an archive's directory. NOT_FOUND if there is none; FORMAT for damage, members that lie over one another, a
 * name twice, and names that are no UTF-8 or no path inside of the archive; LIMIT for more than 65535 members.
 */
GpudlZip *gpudl_zip_open(GBytes *file, GError **error);
void gpudl_zip_free(GpudlZip *zip);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlZip, gpudl_zip_free)

/** What the file is a slice of, from its first byte on, if nobody else reads it: the memory of a stored member that is
 * large goes when the archive and all who were given the member have gone. NULL: it stays as long as the file. */
void gpudl_zip_take_pages(GpudlZip *zip, GpudlPages *pages);

/** Members in the directory's order. */
guint gpudl_zip_get_count(const GpudlZip *zip);
const gchar *gpudl_zip_get_name(const GpudlZip *zip, guint i);
gboolean gpudl_zip_has(const GpudlZip *zip, const gchar *name);

/** Unpacks the member of this name, stored or deflated, of at most `limit` bytes; its checksum is verified. NOT_FOUND
 * if there is no such member, FORMAT if it is damaged, LIMIT, UNSUPPORTED. A stored one is a part of the file; one that
 * is deflated is unpacked once, and all of them have at most GPUDL_LIMIT_FILE_BYTES: LIMIT. Not from several threads.
 */
GBytes *gpudl_zip_get(GpudlZip *zip, const gchar *name, gsize limit, GError **error);

/** The same in one call, of a file that may be no archive: NOT_FOUND. */
GBytes *gpudl_zip_read(const guint8 *data, gsize size, const gchar *name, gsize limit, GError **error);

G_END_DECLS
#endif

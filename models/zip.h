/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * One member of a ZIP archive, which may lie behind something else. Every offset and size is checked against the bytes
 * before it is used; what a member says of its size bounds what is unpacked, and the caller bounds that.
 */
#ifndef GPUDL_MODELS_ZIP_H
#define GPUDL_MODELS_ZIP_H

#include <gio/gio.h>

G_BEGIN_DECLS

/** Unpacks the member of this name, stored or deflated, of at most `limit` bytes; its checksum is verified. NOT_FOUND
 * if there is no archive or no such member, FORMAT if it is damaged, LIMIT, UNSUPPORTED. */
GBytes *gpudl_zip_read(const guint8 *data, gsize size, const gchar *name, gsize limit, GError **error);

G_END_DECLS
#endif

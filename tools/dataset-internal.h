/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What the files of dataset.h share. */
#ifndef GPUDL_TOOLS_DATASET_INTERNAL_H
#define GPUDL_TOOLS_DATASET_INTERNAL_H

#include "tools/dataset.h"

G_BEGIN_DECLS

/* of pictures, and of bytes that are kept of a file */
#define DATASET_MOST_PICTURES 20000000
#define DATASET_MOST_BYTES (G_GUINT64_CONSTANT(1) << 30)

/** Adds a picture of a label; takes file (may be NULL). */
void dataset_add(Dataset *self, guint label, gchar *file);

/** Fill a data set whose path and labels are set. */
gboolean dataset_read_folders(Dataset *self, GError **error);
/** text: the file's, without a BOM. */
gboolean dataset_read_list(Dataset *self, const gchar *text, GError **error);
/** What the bytes are: *known is FALSE, without error, where they are no file of pictures. Takes a reference. */
gboolean dataset_read_binary(Dataset *self, GBytes *bytes, gboolean *known, GError **error);

/** All of a file, unpacked where it is gzip's. Errors: NOT_FOUND, OPEN_READ, FORMAT, LIMIT. */
GBytes *dataset_read_file(const gchar *path, GError **error);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Checksums made right again, so that damage gets past them, and ZIP archives with another member in them.
 */
#ifndef GPUDL_TESTS_FUZZ_SEAL_H
#define GPUDL_TESTS_FUZZ_SEAL_H

#include "models/zip.h"

G_BEGIN_DECLS

/** Makes the sums of a net.bin, and its id, those of what it now holds. FALSE, and nothing is changed, if its sections
 * do not lie inside of it. */
gboolean seal_netbin(guint8 *data, gsize size);

/** Makes the checksums in a ZIP archive's directory those of its members, where they are found; of members that are
 * stored. */
void seal_archive(guint8 *data, gsize size);

/** An archive of all members, stored, with these bytes in the place of what the member called so has. */
GByteArray *seal_with_member(GpudlZip *zip, const gchar *name, const guint8 *data, gsize size);

G_END_DECLS
#endif

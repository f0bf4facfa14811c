/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/structs.h"

#include <string.h>

#include "engine/gpudl.h"

gboolean gpudl_struct_take(gpointer to, gsize size, gconstpointer from, gsize first_size, const gchar *name,
                           GError **error)
{
    const guint8 *bytes = from;
    guint32 given;

    memcpy(&given, from, sizeof given);
    if (given == 0)
        given = (guint32)first_size;
    if (given < first_size) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "%s.struct_size is %u, expected %" G_GSIZE_FORMAT " or more: set it to sizeof(%s)", name, given,
                    first_size, name);
        return FALSE;
    }
    for (gsize i = size; i < given; i++) {
        if (bytes[i] != 0) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                        "%s has a field set at byte %" G_GSIZE_FORMAT ", which this version of libgpudl (%s) does not "
                        "know: it knows %" G_GSIZE_FORMAT " bytes. Install the version the program was built for",
                        name, i, gpudl_version(), size);
            return FALSE;
        }
    }
    memset(to, 0, size);
    memcpy(to, from, MIN(size, given));
    given = (guint32)size;
    memcpy(to, &given, sizeof given);
    return TRUE;
}

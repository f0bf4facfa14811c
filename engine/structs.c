/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/structs.h"

#include <string.h>

#include "engine/gpudl.h"

static gsize size_of(gconstpointer first, gsize first_size)
{
    guint32 given;

    memcpy(&given, first, sizeof given);
    return given == 0 ? first_size : given;
}

gboolean gpudl_struct_has_room(gconstpointer to, gsize first_size, const gchar *name, GError **error)
{
    gsize given = size_of(to, first_size);

    if (given >= first_size && given <= GPUDL_STRUCT_LIMIT)
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                "%s.struct_size is %" G_GSIZE_FORMAT ", expected %" G_GSIZE_FORMAT "..%u: set it to sizeof(%s)", name,
                given, first_size, GPUDL_STRUCT_LIMIT, name);
    return FALSE;
}

gboolean gpudl_struct_take(gpointer to, gsize size, gconstpointer from, gsize first_size, const gchar *name,
                           GError **error)
{
    const guint8 *bytes = from;
    gsize given = size_of(from, first_size);
    guint32 own = (guint32)size;

    if (!gpudl_struct_has_room(from, first_size, name, error))
        return FALSE;
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
    memcpy(to, &own, sizeof own);
    return TRUE;
}

void gpudl_struct_give(gpointer to, gconstpointer from, gsize size, gsize first_size)
{
    gsize given = size_of(to, first_size);
    guint32 stays;

    memcpy(&stays, to, sizeof stays);
    memset(to, 0, given);
    memcpy(to, from, MIN(size, given));
    memcpy(to, &stays, sizeof stays);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/constants.h"

#include <string.h>

#include "engine/gpudl.h"

typedef struct {
    GpudlTensor *tensor;
    const guint8 *at;
    gsize size;
} Piece;

static gint by_address(gconstpointer a, gconstpointer b)
{
    const Piece *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->tensor->id < y->tensor->id ? -1 : 1;
}

static gboolean lies_in(const GpudlRoom *room, const guint8 *at)
{
    return room != NULL && room->pages != NULL && at >= gpudl_pages_get_data(room->pages) &&
           at < gpudl_pages_get_data(room->pages) + gpudl_pages_get_size(room->pages);
}

/* Those that do not lie in room; *inside (may be NULL): bytes of those that do. */
static GArray *collect(const GpudlGraph *graph, gboolean (*wants)(const GpudlTensor *tensor), const GpudlRoom *room,
                       guint64 *inside)
{
    GArray *pieces = g_array_new(FALSE, FALSE, sizeof(Piece));

    for (guint i = 0; i < graph->tensors->len; i++) {
        Piece piece = {.tensor = graph->tensors->pdata[i]};

        if (!wants(piece.tensor) || g_bytes_get_size(piece.tensor->data) == 0)
            continue;
        piece.at = g_bytes_get_data(piece.tensor->data, &piece.size);
        if (!lies_in(room, piece.at))
            g_array_append_val(pieces, piece);
        else if (inside != NULL)
            *inside += piece.size;
    }
    g_array_sort(pieces, by_address);
    return pieces;
}

/* The pieces from first on that lie in one another, as those of a file may that wants more memory than it has bytes:
 * they are copied as one. Returns how many, and the bytes of all. */
static guint find_cluster(const GArray *pieces, guint first, gsize *size)
{
    const Piece *begin = &g_array_index(pieces, Piece, first);
    guint n = 1;

    *size = begin->size;
    for (; first + n < pieces->len; n++) {
        const Piece *piece = &g_array_index(pieces, Piece, first + n);
        gsize offset = (gsize)(piece->at - begin->at);

        if ((offset >= *size && offset > 0) || offset % GPUDL_CONSTANT_ALIGNMENT != 0)
            break;
        *size = MAX(*size, offset + piece->size);
    }
    return n;
}

static gsize round_up(gsize size)
{
    return (size + GPUDL_CONSTANT_ALIGNMENT - 1) / GPUDL_CONSTANT_ALIGNMENT * GPUDL_CONSTANT_ALIGNMENT;
}

/* Bytes that the pieces take one after the other. */
static gsize measure(const GArray *pieces)
{
    gsize total = 0, size;

    for (guint i = 0; i < pieces->len;) {
        i += find_cluster(pieces, i, &size);
        total += round_up(size);
    }
    return total;
}

/* Copies the pieces to pages, from an offset on. */
static void move(const GArray *pieces, GpudlPages *pages, gsize to)
{
    gsize size;

    for (guint i = 0; i < pieces->len;) {
        guint n = find_cluster(pieces, i, &size);
        const guint8 *begin = g_array_index(pieces, Piece, i).at;

        memcpy(gpudl_pages_get_data(pages) + to, begin, size);
        for (guint end = i + n; i < end; i++) {
            const Piece *piece = &g_array_index(pieces, Piece, i);

            g_bytes_unref(piece->tensor->data);
            piece->tensor->data = gpudl_pages_slice(pages, to + (gsize)(piece->at - begin), piece->size);
        }
        to += round_up(size);
    }
}

gboolean gpudl_constants_gather(GpudlGraph *graph, gboolean (*wants)(const GpudlTensor *tensor), GpudlPages **pages_out,
                                GError **error)
{
    g_autoptr(GArray) pieces = collect(graph, wants, NULL, NULL);
    const gsize total = measure(pieces);
    g_autoptr(GpudlPages) pages = NULL;

    if (pages_out)
        *pages_out = NULL;
    if (pieces->len == 0)
        return TRUE;
    pages = gpudl_pages_new(total);
    if (!pages) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY, "no memory for %" G_GSIZE_FORMAT " bytes of constants",
                    total);
        return FALSE;
    }
    move(pieces, pages, 0);
    if (pages_out)
        *pages_out = g_steal_pointer(&pages);
    return TRUE;
}

gboolean gpudl_constants_gather_behind(GpudlGraph *graph, gboolean (*wants)(const GpudlTensor *tensor), GpudlRoom *room)
{
    guint64 inside = 0;
    g_autoptr(GArray) pieces = collect(graph, wants, room, &inside);
    const gsize total = measure(pieces);
    gsize offset;

    if (total > inside || gpudl_room_take(room, total, &offset) == NULL)
        return FALSE;
    move(pieces, room->pages, offset);
    return TRUE;
}

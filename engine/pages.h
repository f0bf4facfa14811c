/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Memory straight from the system, for what is large and goes again: freed, it goes back at once, whatever the heap
 * looks like. Its content can be dropped and put back at the same address, so that pointers to it need no care.
 */
#ifndef GPUDL_ENGINE_PAGES_H
#define GPUDL_ENGINE_PAGES_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct _GpudlPages GpudlPages;

/** Zeros, writable, at the start of a page. NULL if the system has no memory. size may be 0. */
GpudlPages *gpudl_pages_new(gsize size);
/** Thread-safe. The memory goes with the last reference. */
GpudlPages *gpudl_pages_ref(GpudlPages *pages);
void gpudl_pages_unref(GpudlPages *pages);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlPages, gpudl_pages_unref)

guint8 *gpudl_pages_get_data(GpudlPages *pages);
gsize gpudl_pages_get_size(GpudlPages *pages);

/** A part as GBytes; holds a reference. */
GBytes *gpudl_pages_slice(GpudlPages *pages, gsize offset, gsize size);

/** The same of a part that nobody else will ask for: its memory goes back to the system with the last reference to it,
 * those pages that lie in it whole, and reads as zeros from then on. The rest of the pages stays. */
GBytes *gpudl_pages_slice_once(GpudlPages *pages, gsize offset, gsize size);

/** Gives back what lies behind the first size bytes, addresses included. */
void gpudl_pages_shrink(GpudlPages *pages, gsize size);

/** From now on writing is a fault. */
void gpudl_pages_seal(GpudlPages *pages);

/** Gives the memory back and keeps the addresses: until gpudl_pages_restore() reading and writing are faults. */
void gpudl_pages_drop(GpudlPages *pages);

/** The same of those pages that lie whole in size bytes from data on, which are the pages'. */
void gpudl_pages_drop_part(GpudlPages *pages, const void *data, gsize size);

/** After gpudl_pages_drop(), or parts of it: zeros again, writable. FALSE if the system has no memory; dropped it stays
 * then. */
gboolean gpudl_pages_restore(GpudlPages *pages);

/** Where pages are handed out piece by piece, each aligned to 64 bytes. */
typedef struct {
    GpudlPages *pages; /* NULL: there is no room */
    gsize used, limit; /* limit: bytes that may be handed out; the same one gives the same places again */
    gboolean once;     /* slices are those of gpudl_pages_slice_once() */
} GpudlRoom;

/** Room for size bytes in pieces of more than 4096, and behind its limit half as much for what may be made of them; no
 * memory is there before it is written to. FALSE if the system has none. */
gboolean gpudl_room_make(GpudlRoom *room, gsize size);

/** A place for size bytes, its offset in *offset; NULL if there is no room for them. */
guint8 *gpudl_room_take(GpudlRoom *room, gsize size, gsize *offset);
GBytes *gpudl_room_slice(const GpudlRoom *room, gsize offset, gsize size);

G_END_DECLS
#endif

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

/** From now on writing is a fault. */
void gpudl_pages_seal(GpudlPages *pages);

/** Gives the memory back and keeps the addresses: until gpudl_pages_restore() reading and writing are faults. */
void gpudl_pages_drop(GpudlPages *pages);

/** After gpudl_pages_drop(): zeros again, writable. FALSE if the system has no memory; dropped it stays then. */
gboolean gpudl_pages_restore(GpudlPages *pages);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/pages.h"

#include <sys/mman.h>
#include <unistd.h>

#define ALIGNMENT 64u /* of a room's pieces */

struct _GpudlPages {
    gatomicrefcount refs;
    guint8 *data;
    gsize size;
};

/* What is mapped: mmap() takes no empty one. */
static gsize mapped_size(const GpudlPages *pages)
{
    return MAX(pages->size, 1);
}

/* To be told of each 4096 bytes as they are first written to takes longer than to read them from a file in the cache.
 * What fills no large page gets small ones. */
static void wish_large_pages(void *data, gsize size)
{
#ifdef MADV_HUGEPAGE
    madvise(data, MAX(size, 1), MADV_HUGEPAGE);
#endif
}

GpudlPages *gpudl_pages_new(gsize size)
{
    void *data = mmap(NULL, MAX(size, 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    GpudlPages *pages;

    if (data == MAP_FAILED)
        return NULL;
    wish_large_pages(data, size);
    pages = g_new0(GpudlPages, 1);
    g_atomic_ref_count_init(&pages->refs);
    pages->data = data;
    pages->size = size;
    return pages;
}

GpudlPages *gpudl_pages_ref(GpudlPages *pages)
{
    g_atomic_ref_count_inc(&pages->refs);
    return pages;
}

void gpudl_pages_unref(GpudlPages *pages)
{
    if (!pages || !g_atomic_ref_count_dec(&pages->refs))
        return;
    munmap(pages->data, mapped_size(pages));
    g_free(pages);
}

guint8 *gpudl_pages_get_data(GpudlPages *pages)
{
    return pages->data;
}

gsize gpudl_pages_get_size(GpudlPages *pages)
{
    return pages->size;
}

static void unref_slice(gpointer data)
{
    gpudl_pages_unref(data);
}

GBytes *gpudl_pages_slice(GpudlPages *pages, gsize offset, gsize size)
{
    g_assert(offset <= pages->size && size <= pages->size - offset);
    return g_bytes_new_with_free_func(pages->data + offset, size, unref_slice, gpudl_pages_ref(pages));
}

typedef struct {
    GpudlPages *pages;
    gsize offset, size;
} Slice;

/* The pages that lie in it whole: *begin and *end are offsets. */
static gboolean whole_pages(gsize offset, gsize size, gsize *begin, gsize *end)
{
    const gsize page = (gsize)sysconf(_SC_PAGESIZE);

    *begin = (offset + page - 1) / page * page;
    *end = (offset + size) / page * page;
    return *end > *begin;
}

static void give_back_slice(gpointer data)
{
    Slice *slice = data;
    gsize begin, end;

    /* locked memory stays, which does no harm */
    if (whole_pages(slice->offset, slice->size, &begin, &end))
        madvise(slice->pages->data + begin, end - begin, MADV_DONTNEED);
    gpudl_pages_unref(slice->pages);
    g_free(slice);
}

GBytes *gpudl_pages_slice_once(GpudlPages *pages, gsize offset, gsize size)
{
    Slice *slice = g_new(Slice, 1);

    g_assert(offset <= pages->size && size <= pages->size - offset);
    *slice = (Slice){gpudl_pages_ref(pages), offset, size};
    return g_bytes_new_with_free_func(pages->data + offset, size, give_back_slice, slice);
}

void gpudl_pages_shrink(GpudlPages *pages, gsize size)
{
    const gsize page = (gsize)sysconf(_SC_PAGESIZE);
    const gsize kept = (MAX(size, 1) + page - 1) / page * page, had = (mapped_size(pages) + page - 1) / page * page;

    g_assert(size <= pages->size);
    if (kept < had && munmap(pages->data + kept, had - kept) != 0)
        return; /* then they stay, of which nothing is seen */
    pages->size = size;
}

gboolean gpudl_room_make(GpudlRoom *room, gsize size)
{
    GpudlPages *pages = gpudl_pages_new(size + size / 2);

    if (pages == NULL)
        return FALSE;
    *room = (GpudlRoom){.pages = pages, .limit = size + size / ALIGNMENT, .once = TRUE};
    return TRUE;
}

guint8 *gpudl_room_take(GpudlRoom *room, gsize size, gsize *offset)
{
    const gsize limit = room->pages != NULL ? MIN(room->limit, room->pages->size) : 0;
    const gsize at = (room->used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

    if (at > limit || size > limit - at)
        return NULL;
    *offset = at;
    room->used = at + size;
    return room->pages->data + at;
}

GBytes *gpudl_room_slice(const GpudlRoom *room, gsize offset, gsize size)
{
    return room->once ? gpudl_pages_slice_once(room->pages, offset, size)
                      : gpudl_pages_slice(room->pages, offset, size);
}

void gpudl_pages_seal(GpudlPages *pages)
{
    mprotect(pages->data, mapped_size(pages), PROT_READ);
}

void gpudl_pages_drop(GpudlPages *pages)
{
    /* a mapping in its place, not madvise(): that does nothing to locked memory, which mlockall() makes of all there is
     */
    mmap(pages->data, mapped_size(pages), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

void gpudl_pages_drop_part(GpudlPages *pages, const void *data, gsize size)
{
    const gsize offset = (gsize)((const guint8 *)data - pages->data);
    gsize begin, end;

    g_assert(offset <= pages->size && size <= pages->size - offset);
    if (whole_pages(offset, size, &begin, &end))
        mmap(pages->data + begin, end - begin, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
             0);
}

gboolean gpudl_pages_restore(GpudlPages *pages)
{
    if (mmap(pages->data, mapped_size(pages), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
        MAP_FAILED)
        return FALSE;
    wish_large_pages(pages->data, pages->size);
    return TRUE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/pages.h"

#include <sys/mman.h>

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

gboolean gpudl_pages_restore(GpudlPages *pages)
{
    if (mmap(pages->data, mapped_size(pages), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
        MAP_FAILED)
        return FALSE;
    wish_large_pages(pages->data, pages->size);
    return TRUE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * GstMemory in memory of the host that a device reads fast (pinned). It may be
 * mapped, shared and copied as any system memory; a copy is plain system memory.
 *
 * Each memory keeps its allocator, which keeps the device: a buffer may outlive
 * the element, the session and the pool that it came from.
 */
#ifndef __GST_GPUDL_ALLOCATOR_H__
#define __GST_GPUDL_ALLOCATOR_H__

#include <gst/gst.h>

#include "engine/gpudl.h"

G_BEGIN_DECLS

#define GST_TYPE_GPUDL_ALLOCATOR (gst_gpudl_allocator_get_type ())
G_DECLARE_FINAL_TYPE (GstGpudlAllocator, gst_gpudl_allocator, GST,
    GPUDL_ALLOCATOR, GstAllocator)

#define GST_GPUDL_MEMORY_TYPE "GpudlHostMemory"

/** Free blocks that an allocator keeps for the next memory of the same size:
 * pinning is slow. Memory of another size lets them go. */
#define GST_GPUDL_ALLOCATOR_KEEP 32

/**
 * gst_gpudl_allocator_new:
 * @device: has host memory
 *
 * Its memory starts at a page at least; size, prefix, padding, alignment and the
 * flags ZERO_PREFIXED and ZERO_PADDED of #GstAllocationParams count.
 *
 * Returns: (transfer full): the allocator
 */
GstAllocator *gst_gpudl_allocator_new (GpudlDevice * device);

/** TRUE for memory of any such allocator, also for a part of one. */
gboolean gst_is_gpudl_memory (GstMemory * memory);

/** The device of memory for which gst_is_gpudl_memory() is TRUE; no reference is
 * given. */
GpudlDevice *gst_gpudl_memory_get_device (GstMemory * memory);

G_END_DECLS

#endif /* __GST_GPUDL_ALLOCATOR_H__ */

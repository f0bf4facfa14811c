/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlallocator.h"

#include <string.h>
#include <unistd.h>

GST_DEBUG_CATEGORY_EXTERN (gst_gpudl_infer_debug);
#define GST_CAT_DEFAULT gst_gpudl_infer_debug

/* What the device gives, always whole pages. */
typedef struct
{
  gpointer data;
  gsize bytes, align;           /* align: a power of 2 */
} Block;

typedef struct
{
  GstMemory memory;
  Block block;                  /* data NULL: another memory's, the parent's */
  guint8 *data;
} GstGpudlMemory;

struct _GstGpudlAllocator
{
  GstAllocator parent;
  GpudlDevice *device;

  GMutex lock;                  /* nothing is called under it */
  Block kept[GST_GPUDL_ALLOCATOR_KEEP]; /* all of one size and alignment */
  guint n_kept;
};

G_DEFINE_TYPE (GstGpudlAllocator, gst_gpudl_allocator, GST_TYPE_ALLOCATOR);

/* ---- blocks ------------------------------------------------------------- */

/* Takes a kept block of this size. FALSE if there is none; blocks of another
 * size are given up then. */
static gboolean
take_kept (GstGpudlAllocator * self, gsize bytes, gsize align, Block * block)
{
  Block old[GST_GPUDL_ALLOCATOR_KEEP];
  gboolean found = FALSE;
  guint n_old = 0;

  g_mutex_lock (&self->lock);
  if (self->n_kept > 0) {
    found = self->kept[0].bytes == bytes && self->kept[0].align == align;
    if (found) {
      *block = self->kept[--self->n_kept];
    } else {
      n_old = self->n_kept;
      memcpy (old, self->kept, n_old * sizeof (Block));
      self->n_kept = 0;
    }
  }
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < n_old; i++)
    gpudl_device_free_host (self->device, old[i].data);
  return found;
}

static void
give_back (GstGpudlAllocator * self, const Block * block)
{
  gboolean keep;

  g_mutex_lock (&self->lock);
  keep = self->n_kept < GST_GPUDL_ALLOCATOR_KEEP && (self->n_kept == 0
      || (self->kept[0].bytes == block->bytes
          && self->kept[0].align == block->align));
  if (keep)
    self->kept[self->n_kept++] = *block;
  g_mutex_unlock (&self->lock);
  if (!keep)
    gpudl_device_free_host (self->device, block->data);
}

/* ---- memory ------------------------------------------------------------- */

static GstMemory *
gst_gpudl_allocator_alloc (GstAllocator * allocator, gsize size,
    GstAllocationParams * params)
{
  GstGpudlAllocator *self = GST_GPUDL_ALLOCATOR (allocator);
  const gsize page = sysconf (_SC_PAGESIZE);
  const gsize align = MAX (params->align + 1, page);
  g_autoptr (GError) error = NULL;
  GstGpudlMemory *out;
  gsize maxsize, bytes;
  Block block;

  if (!g_size_checked_add (&maxsize, size, params->prefix)
      || !g_size_checked_add (&maxsize, maxsize, params->padding)
      || !g_size_checked_add (&bytes, MAX (maxsize, 1), page - 1)) {
    GST_ERROR_OBJECT (self, "%" G_GSIZE_FORMAT " bytes with a prefix of %"
        G_GSIZE_FORMAT " and a padding of %" G_GSIZE_FORMAT " are too many",
        size, params->prefix, params->padding);
    return NULL;
  }
  bytes = bytes / page * page;
  if (!take_kept (self, bytes, align, &block)) {
    block.bytes = bytes;
    block.align = align;
    block.data = gpudl_device_alloc_host (self->device, bytes, align, &error);
    if (block.data == NULL) {
      GST_ERROR_OBJECT (self, "no memory for a frame: %s", error->message);
      return NULL;
    }
  }

  out = g_new0 (GstGpudlMemory, 1);
  out->block = block;
  out->data = block.data;
  if (params->flags & GST_MEMORY_FLAG_ZERO_PREFIXED)
    memset (out->data, 0, params->prefix);
  if (params->flags & GST_MEMORY_FLAG_ZERO_PADDED)
    memset (out->data + params->prefix + size, 0, params->padding);
  gst_memory_init (&out->memory, params->flags, allocator, NULL, maxsize,
      align - 1, params->prefix, size);
  return &out->memory;
}

static void
gst_gpudl_allocator_free (GstAllocator * allocator, GstMemory * memory)
{
  GstGpudlMemory *gpudl = (GstGpudlMemory *) memory;

  if (gpudl->block.data != NULL)
    give_back (GST_GPUDL_ALLOCATOR (allocator), &gpudl->block);
  g_free (gpudl);
}

static gpointer
gst_gpudl_memory_map (GstMemory * memory, gsize maxsize, GstMapFlags flags)
{
  return ((GstGpudlMemory *) memory)->data;
}

static void
gst_gpudl_memory_unmap (GstMemory * memory)
{
}

static GstMemory *
gst_gpudl_memory_share (GstMemory * memory, gssize offset, gssize size)
{
  GstMemory *parent = memory->parent != NULL ? memory->parent : memory;
  GstGpudlMemory *out = g_new0 (GstGpudlMemory, 1);

  out->data = ((GstGpudlMemory *) memory)->data;
  gst_memory_init (&out->memory, GST_MINI_OBJECT_FLAGS (parent) |
      GST_MINI_OBJECT_FLAG_LOCK_READONLY, memory->allocator, parent,
      memory->maxsize, memory->align, memory->offset + offset,
      size == -1 ? memory->size - offset : (gsize) size);
  return &out->memory;
}

static gboolean
gst_gpudl_memory_is_span (GstMemory * a, GstMemory * b, gsize * offset)
{
  if (offset != NULL)
    *offset = a->offset - a->parent->offset;
  return ((GstGpudlMemory *) a)->data + a->offset + a->size ==
      ((GstGpudlMemory *) b)->data + b->offset;
}

gboolean
gst_is_gpudl_memory (GstMemory * memory)
{
  return GST_IS_GPUDL_ALLOCATOR (memory->allocator);
}

GpudlDevice *
gst_gpudl_memory_get_device (GstMemory * memory)
{
  return GST_GPUDL_ALLOCATOR (memory->allocator)->device;
}

/* ---- object ------------------------------------------------------------- */

static void
gst_gpudl_allocator_finalize (GObject * object)
{
  GstGpudlAllocator *self = GST_GPUDL_ALLOCATOR (object);

  for (guint i = 0; i < self->n_kept; i++)
    gpudl_device_free_host (self->device, self->kept[i].data);
  gpudl_device_unref (self->device);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (gst_gpudl_allocator_parent_class)->finalize (object);
}

static void
gst_gpudl_allocator_init (GstGpudlAllocator * self)
{
  GstAllocator *allocator = GST_ALLOCATOR (self);

  g_mutex_init (&self->lock);
  allocator->mem_type = GST_GPUDL_MEMORY_TYPE;
  allocator->mem_map = gst_gpudl_memory_map;
  allocator->mem_unmap = gst_gpudl_memory_unmap;
  allocator->mem_share = gst_gpudl_memory_share;
  allocator->mem_is_span = gst_gpudl_memory_is_span;
  /* with it, copies are made in system memory */
  GST_OBJECT_FLAG_SET (self, GST_ALLOCATOR_FLAG_CUSTOM_ALLOC);
}

static void
gst_gpudl_allocator_class_init (GstGpudlAllocatorClass * klass)
{
  G_OBJECT_CLASS (klass)->finalize = gst_gpudl_allocator_finalize;
  GST_ALLOCATOR_CLASS (klass)->alloc = gst_gpudl_allocator_alloc;
  GST_ALLOCATOR_CLASS (klass)->free = gst_gpudl_allocator_free;
}

GstAllocator *
gst_gpudl_allocator_new (GpudlDevice * device)
{
  GstGpudlAllocator *self = g_object_new (GST_TYPE_GPUDL_ALLOCATOR, NULL);

  gst_object_ref_sink (self);
  self->device = gpudl_device_ref (device);
  return GST_ALLOCATOR (self);
}

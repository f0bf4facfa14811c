/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Memory that the device reads itself: the allocator, what the engine is told of frames in it, and how long it lives.
 * The fake of a GPU ends the process if a frame that is called pinned is not in its memory, or is read after that has
 * been given back.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlallocator.h"
#include "plugin/gstgpudlinfer.h"

#include <stdlib.h>
#include <string.h>

#define GRAY "video/x-raw,format=GRAY8,width=4,height=4,framerate=50/1"
#define GRAY_SIZE 16

static const gchar *model_path;

static GpudlDevice *
open_device (gint id)
{
  g_autoptr (GError) error = NULL;
  GpudlDevice *device =
      gpudl_device_acquire (fake_backend, id, NULL, NULL, NULL, &error);

  g_assert_no_error (error);
  return device;
}

/* An allocator on a device of its own. */
static GstAllocator *
open_allocator (gint id)
{
  g_autoptr (GpudlDevice) device = open_device (id);

  return gst_gpudl_allocator_new (device);
}

/* ---- allocator ------------------------------------------------------------------------------------------------- */

static void
check_params (GstAllocator * allocator, gsize size, gsize align, gsize prefix,
    gsize padding)
{
  GstAllocationParams params = { GST_MEMORY_FLAG_ZERO_PREFIXED |
        GST_MEMORY_FLAG_ZERO_PADDED, align, prefix, padding
  };
  GstMemory *memory = gst_allocator_alloc (allocator, size, &params);
  gsize offset, maxsize;
  GstMapInfo map;

  g_assert_nonnull (memory);
  g_assert_true (gst_is_gpudl_memory (memory));
  g_assert_true (gst_memory_is_type (memory, GST_GPUDL_MEMORY_TYPE));
  g_assert_cmpuint (gst_memory_get_sizes (memory, &offset, &maxsize), ==, size);
  g_assert_cmpuint (offset, ==, prefix);
  g_assert_cmpuint (maxsize, ==, prefix + size + padding);
  g_assert_true (gst_memory_map (memory, &map, GST_MAP_WRITE));
  g_assert_cmpuint (map.size, ==, size);
  g_assert_cmpuint (((guintptr) map.data - prefix) % (align + 1), ==, 0);
  memset (map.data, 0x55, map.size);
  for (gsize i = 0; i < prefix; i++)
    g_assert_cmpuint (map.data[-1 - (gssize) i], ==, 0);
  for (gsize i = 0; i < padding; i++)
    g_assert_cmpuint (map.data[size + i], ==, 0);
  gst_memory_unmap (memory, &map);
  gst_memory_unref (memory);
}

static void
test_params (void)
{
  static const gsize sizes[] = { 0, 1, 4095, 4096, 4097, 100000 };
  g_autoptr (GstAllocator) allocator = NULL;
  GstAllocationParams params;

  plugin_fake_reset ();
  allocator = open_allocator (0);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    check_params (allocator, sizes[i], 0, 0, 0);
    check_params (allocator, sizes[i], 63, 7, 9);
    check_params (allocator, sizes[i], 65535, 0, 4096);
  }
  gst_allocation_params_init (&params);
  params.prefix = G_MAXSIZE;
  g_assert_null (gst_allocator_alloc (allocator, 16, &params));
  g_assert_null (gst_allocator_alloc (allocator, G_MAXSIZE - 100, NULL));
  /* and what the device has not is no memory */
  FAKE_SET (fake, does.alloc_status, GPUDL_STATUS_NO_MEMORY);
  g_assert_null (gst_allocator_alloc (allocator, 50000, NULL));
  gst_clear_object (&allocator);
  plugin_fake_check_nothing_alive ();
}

static guint8
byte_of (GstMemory * memory, gsize at)
{
  GstMapInfo map;
  guint8 byte;

  g_assert_true (gst_memory_map (memory, &map, GST_MAP_READ));
  byte = map.data[at];
  gst_memory_unmap (memory, &map);
  return byte;
}

static void
test_share_and_copy (void)
{
  g_autoptr (GstAllocator) allocator = NULL;
  GstMemory *memory, *first, *second, *part, *copy;
  GstMapInfo map;
  gsize offset;

  plugin_fake_reset ();
  allocator = open_allocator (0);
  memory = gst_allocator_alloc (allocator, 100, NULL);
  g_assert_true (gst_memory_map (memory, &map, GST_MAP_WRITE));
  for (guint i = 0; i < 100; i++)
    map.data[i] = i;
  gst_memory_unmap (memory, &map);

  copy = gst_memory_copy (memory, 10, 20);
  g_assert_false (gst_is_gpudl_memory (copy));
  g_assert_cmpuint (copy->size, ==, 20);
  g_assert_cmpuint (byte_of (copy, 3), ==, 13);
  gst_memory_unref (copy);

  first = gst_memory_share (memory, 0, 40);
  second = gst_memory_share (memory, 40, -1);
  part = gst_memory_share (second, 5, 10);
  g_assert_true (gst_is_gpudl_memory (part));
  g_assert_true (gst_gpudl_memory_get_device (part) ==
      gst_gpudl_memory_get_device (memory));
  g_assert_cmpuint (second->size, ==, 60);
  g_assert_cmpuint (byte_of (part, 0), ==, 45);
  g_assert_true (gst_memory_is_span (first, second, &offset));
  g_assert_cmpuint (offset, ==, 0);
  g_assert_false (gst_memory_is_span (first, part, NULL));
  /* parts are for reading, and keep the whole */
  g_assert_false (gst_memory_map (part, &map, GST_MAP_WRITE));
  gst_memory_unref (memory);
  gst_memory_unref (first);
  gst_memory_unref (second);
  g_assert_cmpuint (byte_of (part, 9), ==, 54);
  gst_memory_unref (part);
  gst_clear_object (&allocator);
  plugin_fake_check_nothing_alive ();
}

/* Blocks are kept for memory of the same size, up to a number, and end with the last of memory and allocator. */
static void
test_blocks_are_kept (void)
{
  GstMemory *memory[2 * GST_GPUDL_ALLOCATOR_KEEP];
  GstAllocator *allocator;
  GstMapInfo map;

  plugin_fake_reset ();
  allocator = open_allocator (0);
  for (guint i = 0; i < G_N_ELEMENTS (memory); i++)
    memory[i] = gst_allocator_alloc (allocator, 1000, NULL);
  g_assert_cmpuint (FAKE_SEEN (fake, blocks), ==, G_N_ELEMENTS (memory));
  for (guint i = 0; i < G_N_ELEMENTS (memory); i++)
    gst_memory_unref (memory[i]);
  g_assert_cmpuint (FAKE_SEEN (fake, blocks), ==, GST_GPUDL_ALLOCATOR_KEEP);

  FAKE_SET (fake, does.alloc_status, GPUDL_STATUS_NO_MEMORY);   /* none is asked for */
  memory[0] = gst_allocator_alloc (allocator, 999, NULL);
  g_assert_nonnull (memory[0]);
  FAKE_SET (fake, does.alloc_status, GPUDL_STATUS_OK);
  memory[1] = gst_allocator_alloc (allocator, 5000, NULL);
  g_assert_cmpuint (FAKE_SEEN (fake, blocks), ==, 2);

  /* the memory is there when allocator and device have no other user */
  gst_object_unref (allocator);
  gst_memory_unref (memory[1]);
  g_assert_cmpuint (FAKE_SEEN (fake, devices), ==, 1);
  g_assert_true (gst_memory_map (memory[0], &map, GST_MAP_WRITE));
  memset (map.data, 1, map.size);
  gst_memory_unmap (memory[0], &map);
  gst_memory_unref (memory[0]);
  plugin_fake_check_nothing_alive ();
}

/* ---- frames ---------------------------------------------------------------------------------------------------- */

static GstHarness *
new_harness (const gchar * caps)
{
  GstElement *element = plugin_test_element ("gpudlinfer", NULL);

  g_object_set (element, "model", model_path, "async-depth", 4, NULL);
  return plugin_test_harness (element, caps);
}

/* The element's own allocator. */
static GstAllocator *
allocator_of (GstHarness * h)
{
  return GST_GPUDL_INFER (h->element)->net.allocator;
}

/* Allocator NULL: system memory. */
static GstBuffer *
new_buffer (GstAllocator * allocator, gsize size)
{
  GstBuffer *buffer = gst_buffer_new_allocate (allocator, size, NULL);

  gst_buffer_memset (buffer, 0, 1, size);
  GST_BUFFER_PTS (buffer) = 0;
  return buffer;
}

/* What the module was told of the buffer's memory. */
static GpudlMemoryKind
pass (GstHarness * h, GstBuffer * buffer)
{
  g_autoptr (GstGpudlClassification) c = NULL;
  g_autoptr (GstBuffer) out = NULL;

  g_assert_cmpint (gst_harness_push (h, buffer), ==, GST_FLOW_OK);
  out = gst_harness_pull (h);
  g_assert_nonnull (out);
  c = gst_gpudl_meta_read (out, 0);
  g_assert_nonnull (c);
  g_assert_cmpuint (c->classes[0].id, ==, 1);
  return fake->seen.last_frame.memory;
}

static void
test_kind_of_frame (void)
{
  g_autoptr (GstAllocator) foreign = NULL;
  GstHarness *h;
  GstBuffer *buffer;

  plugin_fake_reset ();
  fake->is.n_devices = 2;
  h = new_harness (GRAY);
  g_assert_nonnull (allocator_of (h));
  g_assert_cmpint (pass (h, new_buffer (NULL, GRAY_SIZE)), ==,
      GPUDL_MEMORY_HOST);
  g_assert_cmpint (pass (h, new_buffer (allocator_of (h), GRAY_SIZE)), ==,
      GPUDL_MEMORY_HOST_PINNED);
  /* another allocator of the same device */
  foreign = gst_gpudl_allocator_new (gpudl_session_get_device (GST_GPUDL_INFER
          (h->element)->net.session));
  g_assert_cmpint (pass (h, new_buffer (foreign, GRAY_SIZE)), ==,
      GPUDL_MEMORY_HOST_PINNED);
  gst_clear_object (&foreign);
  /* another device's memory is any memory */
  foreign = open_allocator (1);
  g_assert_cmpint (pass (h, new_buffer (foreign, GRAY_SIZE)), ==,
      GPUDL_MEMORY_HOST);
  /* two memories are copied together */
  buffer = gst_buffer_append (new_buffer (allocator_of (h), GRAY_SIZE / 2),
      new_buffer (allocator_of (h), GRAY_SIZE / 2));
  g_assert_cmpint (pass (h, buffer), ==, GPUDL_MEMORY_HOST);
  gst_clear_object (&foreign);
  plugin_test_teardown (h);
}

/* Planes in memories of their own: all of them count. */
static void
test_kind_of_planes (void)
{
  GstHarness *h;

  plugin_fake_reset ();
  h = new_harness ("video/x-raw,format=NV12,width=4,height=4,framerate=1/1");
  for (guint i = 0; i < 2; i++) {
    gsize offsets[GST_VIDEO_MAX_PLANES] = { 0, 16 };
    gint strides[GST_VIDEO_MAX_PLANES] = { 4, 4 };
    GstBuffer *buffer = gst_buffer_append (new_buffer (allocator_of (h), 16),
        new_buffer (i == 0 ? allocator_of (h) : NULL, 8));

    gst_buffer_add_video_meta_full (buffer, GST_VIDEO_FRAME_FLAG_NONE,
        GST_VIDEO_FORMAT_NV12, 4, 4, 2, offsets, strides);
    g_assert_cmpint (pass (h, buffer), ==,
        i == 0 ? GPUDL_MEMORY_HOST_PINNED : GPUDL_MEMORY_HOST);
  }
  plugin_test_teardown (h);
}

/* A device that reads no pinned memory, or none through this network, is told of none. */
static void
test_kind_not_taken (void)
{
  g_autoptr (GstAllocator) allocator = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  allocator = open_allocator (0);
  fake->is.memory_kinds = 1u << GPUDL_MEMORY_HOST;
  h = new_harness (GRAY);
  g_assert_null (allocator_of (h));
  g_assert_cmpint (pass (h, new_buffer (allocator, GRAY_SIZE)), ==,
      GPUDL_MEMORY_HOST);
  plugin_test_teardown (h);
}

/* A buffer downstream has its memory still when element, session and allocator are gone. */
static void
test_memory_outlives_element (void)
{
  GstBuffer *buffer;
  GstHarness *h;

  plugin_fake_reset ();
  h = new_harness (GRAY);
  g_assert_cmpint (gst_harness_push (h, new_buffer (allocator_of (h),
              GRAY_SIZE)), ==, GST_FLOW_OK);
  buffer = gst_harness_pull (h);
  plugin_test_teardown (h);
  g_assert_cmpuint (FAKE_SEEN (fake, engines), ==, 0);
  g_assert_cmpuint (FAKE_SEEN (fake, blocks), ==, 1);
  g_assert_cmpuint (gst_buffer_memset (buffer, 0, 7, GRAY_SIZE), ==, GRAY_SIZE);
  g_assert_cmpint (gst_buffer_memcmp (buffer, 0, "\7\7\7\7", 4), ==, 0);
  gst_buffer_unref (buffer);
  plugin_fake_check_nothing_alive ();
}

/* ---- a device that never answers ------------------------------------------------------------------------------- */

static gint freed;

static void
count_freed (gpointer data, GstMiniObject * buffer)
{
  freed++;
}

/* Its process ends without looking for leaks: what is lost leaks. */
static void
lose_frames (void)
{
  GstHarness *h;

  plugin_fake_reset ();
  fake->does.hang = 1;
  h = new_harness (GRAY);
  for (guint i = 0; i < 2; i++) {       /* one for the task, one for stop() */
    GstBuffer *buffer = new_buffer (allocator_of (h), GRAY_SIZE);

    gst_mini_object_weak_ref (GST_MINI_OBJECT (buffer), count_freed, NULL);
    g_assert_cmpint (gst_harness_push (h, buffer), ==, GST_FLOW_OK);
    FAKE_AWAIT (fake, submits, i + 1);
  }
  while (gst_harness_push (h, new_buffer (NULL, GRAY_SIZE)) == GST_FLOW_OK);
  plugin_test_one_error (h->element, GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED);
  plugin_test_teardown (h);
  g_assert_cmpint (freed, ==, 0);
  g_assert_cmpuint (FAKE_SEEN (fake, blocks), ==, 2);
  _Exit (0);
}

static void
test_lost_frames (void)
{
  if (g_test_subprocess ()) {
    lose_frames ();
    return;
  }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", 3, 1, FALSE);

#define ADD(name, func) g_test_add_func ("/memory/" name, func)
  ADD ("allocator-honours-size-prefix-padding-and-alignment", test_params);
  ADD ("allocator-shares-in-place-and-copies-to-system-memory",
      test_share_and_copy);
  ADD ("allocator-keeps-blocks-of-one-size", test_blocks_are_kept);
  ADD ("frames-of-the-devices-memory-are-pinned", test_kind_of_frame);
  ADD ("frames-are-pinned-with-all-their-planes", test_kind_of_planes);
  ADD ("frames-are-not-pinned-where-that-is-not-taken", test_kind_not_taken);
  ADD ("buffers-outlive-the-element", test_memory_outlives_element);
  ADD ("frames-lost-to-the-device-are-never-given-back", test_lost_frames);
  return plugin_test_run ();
}

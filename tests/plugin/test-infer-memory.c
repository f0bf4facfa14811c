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
  h = new_harness (PLUGIN_TEST_GRAY);
  g_assert_nonnull (allocator_of (h));
  g_assert_cmpint (pass (h, new_buffer (NULL, PLUGIN_TEST_GRAY_SIZE)), ==,
      GPUDL_MEMORY_HOST);
  g_assert_cmpint (pass (h, new_buffer (allocator_of (h),
              PLUGIN_TEST_GRAY_SIZE)), ==, GPUDL_MEMORY_HOST_PINNED);
  /* another allocator of the same device */
  foreign = gst_gpudl_allocator_new (gpudl_session_get_device (GST_GPUDL_INFER
          (h->element)->net.session));
  g_assert_cmpint (pass (h, new_buffer (foreign, PLUGIN_TEST_GRAY_SIZE)), ==,
      GPUDL_MEMORY_HOST_PINNED);
  gst_clear_object (&foreign);
  /* another device's memory is any memory */
  foreign = open_allocator (1);
  g_assert_cmpint (pass (h, new_buffer (foreign, PLUGIN_TEST_GRAY_SIZE)), ==,
      GPUDL_MEMORY_HOST);
  /* two memories are copied together */
  buffer =
      gst_buffer_append (new_buffer (allocator_of (h),
          PLUGIN_TEST_GRAY_SIZE / 2), new_buffer (allocator_of (h),
          PLUGIN_TEST_GRAY_SIZE / 2));
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
  h = new_harness (PLUGIN_TEST_GRAY);
  g_assert_null (allocator_of (h));
  g_assert_cmpint (pass (h, new_buffer (allocator, PLUGIN_TEST_GRAY_SIZE)), ==,
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
  h = new_harness (PLUGIN_TEST_GRAY);
  g_assert_cmpint (gst_harness_push (h, new_buffer (allocator_of (h),
              PLUGIN_TEST_GRAY_SIZE)), ==, GST_FLOW_OK);
  buffer = gst_harness_pull (h);
  plugin_test_teardown (h);
  g_assert_cmpuint (FAKE_SEEN (fake, engines), ==, 0);
  g_assert_cmpuint (FAKE_SEEN (fake, blocks), ==, 1);
  g_assert_cmpuint (gst_buffer_memset (buffer, 0, 7, PLUGIN_TEST_GRAY_SIZE), ==,
      PLUGIN_TEST_GRAY_SIZE);
  g_assert_cmpint (gst_buffer_memcmp (buffer, 0, "\7\7\7\7", 4), ==, 0);
  gst_buffer_unref (buffer);
  plugin_fake_check_nothing_alive ();
}

/* ---- what upstream is offered ---------------------------------------------------------------------------------- */

/* Downstream's answer. */
static struct
{
  gboolean answers, has_pool;
  GstAllocator *allocator;
  GstAllocationParams *params;
} downstream;

static gboolean
downstream_query (GstPad * pad, GstObject * parent, GstQuery * query)
{
  g_autoptr (GstBufferPool) pool = NULL;

  if (GST_QUERY_TYPE (query) != GST_QUERY_ALLOCATION)
    return gst_pad_query_default (pad, parent, query);
  if (downstream.has_pool)
    pool = gst_video_buffer_pool_new ();
  if (downstream.answers)
    gst_query_add_allocation_pool (query, pool, 64, 3, 0);
  if (downstream.params != NULL)
    gst_query_add_allocation_param (query, downstream.allocator,
        downstream.params);
  return downstream.answers;
}

static GstQuery *
query_allocation (GstHarness * h, gboolean need_pool)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (PLUGIN_TEST_GRAY);
  GstQuery *query = gst_query_new_allocation (caps, need_pool);

  gst_pad_set_query_function (h->sinkpad, downstream_query);
  g_assert_true (gst_pad_peer_query (h->srcpad, query));
  g_assert_cmpuint (gst_query_get_n_allocation_pools (query), ==, 1);
  g_assert_cmpuint (gst_query_get_n_allocation_metas (query), ==, 0);
  return query;
}

/* A pool of ours in the first entry: size, fewest buffers, parameters. */
static void
check_own_pool (GstHarness * h, GstQuery * query, guint size, guint min,
    const GstAllocationParams * expected)
{
  g_autoptr (GstAllocator) allocator = NULL;
  g_autoptr (GstBufferPool) pool = NULL;
  g_autoptr (GstBuffer) buffer = NULL;
  GstAllocationParams params;
  guint found_size, found_min;
  GstMemory *memory;

  gst_query_parse_nth_allocation_param (query, 0, &allocator, &params);
  g_assert_true (allocator == allocator_of (h));
  g_assert_cmpuint (params.align, ==, expected->align);
  gst_query_parse_nth_allocation_pool (query, 0, &pool, &found_size, &found_min,
      NULL);
  g_assert_nonnull (pool);
  g_assert_cmpuint (found_size, ==, size);
  g_assert_cmpuint (found_min, ==, min);
  g_assert_true (gst_buffer_pool_set_active (pool, TRUE));
  g_assert_cmpint (gst_buffer_pool_acquire_buffer (pool, &buffer, NULL), ==,
      GST_FLOW_OK);
  memory = gst_buffer_peek_memory (buffer, 0);
  g_assert_true (gst_is_gpudl_memory (memory));
  g_assert_cmpuint (memory->offset, ==, expected->prefix);
  g_assert_cmpuint (memory->align & expected->align, ==, expected->align);
  gst_clear_buffer (&buffer);
  gst_buffer_pool_set_active (pool, FALSE);
}

static void
test_own_pool (void)
{
  GstAllocationParams params, aligned;
  GstQuery *query;
  GstHarness *h;

  plugin_fake_reset ();
  h = new_harness (PLUGIN_TEST_GRAY);
  gst_allocation_params_init (&params);
  memset (&downstream, 0, sizeof (downstream));
  query = query_allocation (h, TRUE);
  check_own_pool (h, query, PLUGIN_TEST_GRAY_SIZE, 4 + 1, &params);
  gst_query_unref (query);

  /* downstream asks for a number, and an alignment, of any memory */
  gst_allocation_params_init (&aligned);
  aligned.align = 8191;
  aligned.prefix = 32;
  downstream.answers = TRUE;
  downstream.params = &aligned;
  query = query_allocation (h, TRUE);
  check_own_pool (h, query, 64, 3 + 4, &aligned);
  gst_query_unref (query);
  plugin_test_teardown (h);
}

/* The entry of the query has no pool, or another one than ours; min buffers are asked for. */
static void
check_no_pool (GstQuery * query, gboolean other, guint min)
{
  g_autoptr (GstBufferPool) pool = NULL;
  guint found;

  gst_query_parse_nth_allocation_pool (query, 0, &pool, NULL, &found, NULL);
  g_assert_cmpint (pool != NULL, ==, other);
  g_assert_cmpuint (found, ==, min);
}

static void
test_pool_of_downstream (void)
{
  g_autoptr (GstAllocator) system = gst_allocator_find (NULL);
  g_autoptr (GstAllocator) allocator = NULL;
  GstAllocationParams params;
  GstQuery *query;
  GstHarness *h;

  plugin_fake_reset ();
  h = new_harness (PLUGIN_TEST_GRAY);
  gst_allocation_params_init (&params);
  memset (&downstream, 0, sizeof (downstream));
  downstream.answers = downstream.has_pool = TRUE;
  query = query_allocation (h, TRUE);
  check_no_pool (query, TRUE, 3 + 4);
  g_assert_cmpuint (gst_query_get_n_allocation_params (query), ==, 0);
  gst_query_unref (query);

  /* no pool, but memory of its own */
  downstream.has_pool = FALSE;
  downstream.allocator = system;
  downstream.params = &params;
  query = query_allocation (h, TRUE);
  check_no_pool (query, FALSE, 3 + 4);
  gst_query_parse_nth_allocation_param (query, 0, &allocator, NULL);
  g_assert_true (allocator == system);
  gst_clear_object (&allocator);
  gst_query_unref (query);

  /* upstream wants to know, and has a pool itself */
  memset (&downstream, 0, sizeof (downstream));
  query = query_allocation (h, FALSE);
  check_no_pool (query, FALSE, 4 + 1);
  gst_query_parse_nth_allocation_param (query, 0, &allocator, NULL);
  g_assert_true (allocator == allocator_of (h));
  gst_query_unref (query);
  plugin_test_teardown (h);
}

static void
test_no_own_memory (void)
{
  GstQuery *query;
  GstHarness *h;

  plugin_fake_reset ();
  fake->is.memory_kinds = 1u << GPUDL_MEMORY_HOST;
  h = new_harness (PLUGIN_TEST_GRAY);
  memset (&downstream, 0, sizeof (downstream));
  query = query_allocation (h, TRUE);
  check_no_pool (query, FALSE, 4 + 1);
  g_assert_cmpuint (gst_query_get_n_allocation_params (query), ==, 0);
  gst_query_unref (query);
  plugin_test_teardown (h);
}

/* What a probe saw come into the element. */
typedef struct
{
  guint n, pinned, min;
  GstBuffer *kept;
} Seen;

static GstPadProbeReturn
look (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  Seen *seen = user_data;

  seen->n++;
  seen->pinned += gst_is_gpudl_memory (gst_buffer_peek_memory (buffer, 0));
  if (buffer->pool != NULL) {
    GstStructure *config = gst_buffer_pool_get_config (buffer->pool);

    gst_buffer_pool_config_get_params (config, NULL, NULL, &seen->min, NULL);
    gst_structure_free (config);
  }
  if (seen->n == 5)
    seen->kept = gst_buffer_ref (buffer);
  return GST_PAD_PROBE_OK;
}

static void
check_pipeline (const gchar * source, const gchar * sink)
{
  g_autofree gchar *line =
      g_strdup_printf ("%s ! gpudlinfer name=infer async-depth=3 model=%s ! %s",
      source, model_path, sink);
  g_autoptr (GstMessage) message = NULL;
  g_autoptr (GstElement) infer = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GstPad) pad = NULL;
  g_autoptr (GstBus) bus = NULL;
  GstElement *pipeline;
  Seen seen = { 0, };

  plugin_fake_reset ();
  pipeline = gst_parse_launch (line, &error);
  g_assert_no_error (error);
  infer = gst_bin_get_by_name (GST_BIN (pipeline), "infer");
  pad = gst_element_get_static_pad (infer, "sink");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, look, &seen, NULL);
  bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  message = gst_bus_timed_pop_filtered (bus, 20 * GST_SECOND,
      GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_assert_nonnull (message);
  g_assert_cmpint (GST_MESSAGE_TYPE (message), ==, GST_MESSAGE_EOS);
  g_assert_cmpuint (seen.n, ==, 20);
  g_assert_cmpuint (seen.pinned, ==, 20);
  g_assert_cmpuint (seen.min, >=, 3 + 1);
  g_assert_cmpint (fake->seen.last_frame.memory, ==, GPUDL_MEMORY_HOST_PINNED);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_clear_pointer (&message, gst_message_unref);
  gst_clear_object (&pad);
  gst_clear_object (&infer);
  gst_object_unref (pipeline);

  /* the buffer that was kept has its memory, when all else is gone */
  g_assert_cmpuint (FAKE_SEEN (fake, engines), ==, 0);
  g_assert_cmpuint (FAKE_SEEN (fake, devices), ==, 1);
  g_assert_cmpuint (gst_buffer_memset (seen.kept, 0, 7, 16), ==, 16);
  gst_buffer_unref (seen.kept);
  plugin_fake_check_nothing_alive ();
}

static void
test_pipelines (void)
{
  static const gchar *const sinks[] =
      { "fakesink", "appsink wait-on-eos=false sync=false" };
  static const gchar *const sources[] = {
    "videotestsrc num-buffers=20",
    "videotestsrc num-buffers=20 ! videoconvert ! video/x-raw,format=RGB",
    "videotestsrc num-buffers=20 ! jpegenc ! jpegdec",
  };

  for (guint i = 0; i < G_N_ELEMENTS (sources); i++) {
    g_autoptr (GstElementFactory) factory =
        gst_element_factory_find ("jpegdec");

    if (strstr (sources[i], "jpegdec") != NULL && factory == NULL)
      g_test_message ("no jpegdec: %s", sources[i]);
    else
      for (guint j = 0; j < G_N_ELEMENTS (sinks); j++)
        check_pipeline (sources[i], sinks[j]);
  }
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
  h = new_harness (PLUGIN_TEST_GRAY);
  for (guint i = 0; i < 2; i++) {       /* one for the task, one for stop() */
    GstBuffer *buffer = new_buffer (allocator_of (h), PLUGIN_TEST_GRAY_SIZE);

    gst_mini_object_weak_ref (GST_MINI_OBJECT (buffer), count_freed, NULL);
    g_assert_cmpint (gst_harness_push (h, buffer), ==, GST_FLOW_OK);
    FAKE_AWAIT (fake, submits, i + 1);
  }
  while (gst_harness_push (h, new_buffer (NULL,
              PLUGIN_TEST_GRAY_SIZE)) == GST_FLOW_OK);
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
  ADD ("pool-of-pinned-memory-where-downstream-has-none", test_own_pool);
  ADD ("pool-and-allocator-of-downstream-are-kept", test_pool_of_downstream);
  ADD ("no-pool-where-any-memory-will-do", test_no_own_memory);
  ADD ("sources-and-decoders-write-into-it", test_pipelines);
  ADD ("frames-lost-to-the-device-are-never-given-back", test_lost_frames);
  return plugin_test_run ();
}

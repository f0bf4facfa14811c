/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Frames in CUDA memory that their producer has not completed yet when it hands them on, as all do from GStreamer 1.24 on:
 * the engine is told of the stream, and nobody waits for it. Built against an older GStreamer the program itself has what
 * 1.24 brought, as a newer one has that the plugin then runs on.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/cuda/gstcudaheaders.h"
#include "plugin/gstgpudlinfer.h"
#include "tests/driver/works/fake-driver.h"

#include <dlfcn.h>
#include <string.h>

#define NV12 "video/x-raw(memory:CUDAMemory),format=NV12,width=6,height=4,framerate=50/1"

static const gchar *model_path;
static FakeDriver *driver;

#if GST_CHECK_VERSION (1, 24, 0)
static GstCudaStream *
stream_new (GstCudaContext * context)
{
  return gst_cuda_stream_new (context);
}

static void
stream_unref (GstCudaStream * stream)
{
  gst_cuda_stream_unref (stream);
}

static void
config_set_stream (GstStructure * config, GstCudaStream * stream)
{
  gst_buffer_pool_config_set_cuda_stream (config, stream);
}

static void
memory_set_stream (GstMemory * memory, GstCudaStream * stream)
{
}
#else
#define STREAM_KEY (g_quark_from_static_string ("test-stream"))

GstCudaStream *
gst_cuda_memory_get_stream (GstCudaMemory * memory)
{
  return gst_mini_object_get_qdata (GST_MINI_OBJECT (memory), STREAM_KEY);
}

CUstream
gst_cuda_stream_get_handle (GstCudaStream * stream)
{
  return (CUstream) stream;
}

static GstCudaStream *
stream_new (GstCudaContext * context)
{
  return (GstCudaStream *) g_new0 (FakeStream, 1);
}

static void
stream_unref (GstCudaStream * stream)
{
  g_free (stream);
}

static void
config_set_stream (GstStructure * config, GstCudaStream * stream)
{
}

static void
memory_set_stream (GstMemory * memory, GstCudaStream * stream)
{
  gst_mini_object_set_qdata (GST_MINI_OBJECT (memory), STREAM_KEY, stream,
      NULL);
}
#endif

static FakeStream *
get_fake (GstCudaStream * stream)
{
  return (FakeStream *) gst_cuda_stream_get_handle (stream);
}

static void
set_pending (GstCudaStream * stream, guint pending)
{
  fake_set (fake, &get_fake (stream)->pending, pending);
}

static void
open_driver (void)
{
  gpointer library = dlopen ("libcuda.so.1", RTLD_NOW);
  FakeDriverEntry entry = library != NULL ?
      (FakeDriverEntry) (guintptr) dlsym (library, FAKE_DRIVER_ENTRY) : NULL;

  if (entry == NULL)
    g_error ("libcuda.so.1 is not the tests' own: LD_LIBRARY_PATH names it");
  driver = entry ();
}

/* Frame n, which its producer writes on this stream. */
static GstBuffer *
new_frame (GstCudaContext * context, GstCudaStream * stream, guint n)
{
  g_autoptr (GstBufferPool) pool = gst_cuda_buffer_pool_new (context);
  GstStructure *config = gst_buffer_pool_get_config (pool);
  g_autoptr (GstCaps) caps = gst_caps_from_string (NV12);
  GstBuffer *buffer;

  gst_cuda_memory_init_once ();
  gst_buffer_pool_config_set_params (config, caps, 36, 0, 0);
  config_set_stream (config, stream);
  g_assert_true (gst_buffer_pool_set_config (pool, config));
  g_assert_true (gst_buffer_pool_set_active (pool, TRUE));
  g_assert_cmpint (gst_buffer_pool_acquire_buffer (pool, &buffer, NULL), ==,
      GST_FLOW_OK);
  gst_buffer_pool_set_active (pool, FALSE);
  memory_set_stream (gst_buffer_peek_memory (buffer, 0), stream);
  GST_BUFFER_PTS (buffer) = n * 20 * GST_MSECOND;
  GST_BUFFER_DURATION (buffer) = 20 * GST_MSECOND;
  return buffer;
}

/* What the producer's kernels do, some time. */
static gpointer
write_frame (GstBuffer * buffer, guint n)
{
  GstMapInfo map;
  gpointer data;

  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READ | GST_MAP_CUDA));
  data = map.data;
  gst_buffer_unmap (buffer, &map);
  memset (data, n, map.size);
  return data;
}

static GstHarness *
new_harness (GstCudaContext ** context)
{
  GstElement *element = plugin_test_element ("gpudlinfer", NULL);
  GstHarness *h;

  plugin_fake_reset ();
  driver->waits = 0;
  g_object_set (element, "model", model_path, "async-depth", 4, NULL);
  h = plugin_test_harness (element, NV12);
  *context = (GstCudaContext *) GST_GPUDL_INFER (h->element)->cuda.context;
  return h;
}

/* In a process where nobody else has used CUDA memory before. */
static void
test_first_pool (void)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (NV12);
  g_autoptr (GstQuery) query = gst_query_new_allocation (caps, TRUE);
  g_autoptr (GstBufferPool) pool = NULL;
  GstCudaContext *context;
  GstHarness *h = new_harness (&context);

  g_assert_true (gst_pad_peer_query (h->srcpad, query));
  gst_query_parse_nth_allocation_pool (query, 0, &pool, NULL, NULL, NULL);
  g_assert_true (GST_IS_CUDA_BUFFER_POOL (pool));
  gst_clear_object (&pool);
  g_clear_pointer (&query, gst_query_unref);
  plugin_test_teardown (h);
}

/* Two frames of two streams are handed on before they are written; each is classified as what it becomes. */
static void
test_order (void)
{
  GstCudaStream *streams[2];
  GstCudaContext *context;
  GstHarness *h = new_harness (&context);
  GstBuffer *buffers[2];

  for (guint i = 0; i < 2; i++) {
    streams[i] = stream_new (context);
    set_pending (streams[i], 1);
    buffers[i] = new_frame (context, streams[i], 10 + i);
    gst_buffer_ref (buffers[i]);
    g_assert_cmpint (gst_harness_push (h, buffers[i]), ==, GST_FLOW_OK);
    g_assert_true (fake->seen.last_frame.cuda_stream == get_fake (streams[i]));
    g_assert_true (fake->seen.last_frame.cuda_context ==
        gst_cuda_context_get_handle (context));
  }
  FAKE_AWAIT (fake, running, 1);
  g_usleep (20000);
  g_assert_cmpuint (gst_harness_buffers_in_queue (h), ==, 0);
  for (guint i = 0; i < 2; i++) {
    write_frame (buffers[i], 10 + i);
    gst_buffer_unref (buffers[i]);
    set_pending (streams[i], 0);
  }
  plugin_fake_pull (h, 10);
  plugin_fake_pull (h, 11);
  g_assert_cmpuint (driver->waits, ==, 0);
  plugin_test_teardown (h);
  for (guint i = 0; i < 2; i++)
    stream_unref (streams[i]);
  g_assert_cmpuint (driver->blocks, ==, 0);
}

/* Memory without a stream is complete. */
static void
test_no_stream (void)
{
  GstCudaContext *context;
  GstHarness *h = new_harness (&context);
  GstBuffer *buffer = new_frame (context, NULL, 3);

  write_frame (buffer, 3);
  g_assert_cmpint (gst_harness_push (h, buffer), ==, GST_FLOW_OK);
  g_assert_null (fake->seen.last_frame.cuda_stream);
  plugin_fake_pull (h, 3);
  g_assert_cmpuint (driver->waits, ==, 0);
  plugin_test_teardown (h);
}

/* A flush while a frame is not complete ends once it is. */
static void
test_flush (void)
{
  GstCudaContext *context;
  GstHarness *h = new_harness (&context);
  GstCudaStream *stream = stream_new (context);
  GThread *thread;

  set_pending (stream, 1);
  g_assert_cmpint (gst_harness_push (h, new_frame (context, stream, 1)), ==,
      GST_FLOW_OK);
  FAKE_AWAIT (fake, running, 1);
  thread = plugin_test_begin_flush (h);
  g_assert_cmpuint (driver->blocks, ==, 1);
  set_pending (stream, 0);
  g_thread_join (thread);
  plugin_test_teardown (h);
  stream_unref (stream);
  g_assert_cmpuint (driver->blocks, ==, 0);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  open_driver ();
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", PLUGIN_FAKE_CLASSES, 1, FALSE);

#define ADD(name, func) g_test_add_func ("/cuda-streams/" name, func)
  ADD ("first-pool-of-the-process-is-the-elements", test_first_pool);
  ADD ("frames-are-read-when-their-stream-has-completed-them", test_order);
  ADD ("frames-without-a-stream-are-complete", test_no_stream);
  ADD ("flush-while-a-frame-is-incomplete", test_flush);
  return plugin_test_run ();
}

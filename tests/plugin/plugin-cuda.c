/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plugin-cuda.h"

#include <dlfcn.h>
#include <string.h>

#include "plugin-fake.h"
#include "plugin-test.h"

const gchar *plugin_cuda_model;
FakeDriver *plugin_cuda_driver;
static guint usual_depth;

static void
open_driver (void)
{
  gpointer library = dlopen ("libcuda.so.1", RTLD_NOW);
  FakeDriverEntry entry = library != NULL ?
      (FakeDriverEntry) (guintptr) dlsym (library, FAKE_DRIVER_ENTRY) : NULL;

  if (entry == NULL)
    g_error ("libcuda.so.1 is not the tests' own: LD_LIBRARY_PATH names it");
  plugin_cuda_driver = entry ();
}

/* GStreamer 1.22's own plugin leaves contexts pushed as it is loaded. */
static void
load_neighbours (void)
{
  GstElement *upload = gst_element_factory_make ("cudaupload", NULL);

  gst_clear_object (&upload);
  usual_depth = plugin_cuda_driver->get_depth ();
}

void
plugin_cuda_reset (void)
{
  plugin_fake_reset ();
  plugin_cuda_driver->n_devices = 1;
  plugin_cuda_driver->waits = plugin_cuda_driver->downloads =
      plugin_cuda_driver->uploads = 0;
}

/* Nothing of GStreamer's is left on the device, and no context of ours current. */
void
plugin_cuda_check_driver (void)
{
  g_assert_cmpuint (plugin_cuda_driver->blocks, ==, 0);
  g_assert_cmpuint (plugin_cuda_driver->contexts, ==, 0);
  g_assert_cmpuint (plugin_cuda_driver->get_depth (), ==, usual_depth);
  plugin_fake_check_nothing_alive ();
}

GstCudaContext *
plugin_cuda_context_new (guint device)
{
  GstCudaContext *context = gst_cuda_context_new (device);

  g_assert_nonnull (context);
  return context;
}

/* Frame n of these caps in CUDA memory of this context; every byte is n. */
GstBuffer *
plugin_cuda_frame_of (GstCudaContext * context, const gchar * text, guint n)
{
  g_autoptr (GstBufferPool) pool = gst_cuda_buffer_pool_new (context);
  GstStructure *config = gst_buffer_pool_get_config (pool);
  g_autoptr (GstCaps) caps = gst_caps_from_string (text);
  GstBuffer *buffer;
  GstVideoInfo info;
  GstMapInfo map;

  g_assert_true (gst_video_info_from_caps (&info, caps));
  gst_buffer_pool_config_set_params (config, caps, info.size, 0, 0);
  gst_buffer_pool_config_add_option (config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  g_assert_true (gst_buffer_pool_set_config (pool, config));
  g_assert_true (gst_buffer_pool_set_active (pool, TRUE));
  g_assert_cmpint (gst_buffer_pool_acquire_buffer (pool, &buffer, NULL), ==,
      GST_FLOW_OK);
  gst_buffer_pool_set_active (pool, FALSE);
  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_WRITE | GST_MAP_CUDA));
  memset (map.data, n, map.size);
  gst_buffer_unmap (buffer, &map);
  GST_BUFFER_PTS (buffer) = n * 20 * GST_MSECOND;
  GST_BUFFER_DURATION (buffer) = 20 * GST_MSECOND;
  return buffer;
}

GstBuffer *
plugin_cuda_frame (GstCudaContext * context, guint n)
{
  return plugin_cuda_frame_of (context, PLUGIN_CUDA_NV12, n);
}

/* The element's context, with a reference. */
GstCudaContext *
plugin_cuda_context_of (GstHarness * h)
{
  GstObject *context = GST_GPUDL_INFER (h->element)->cuda.context;

  return context != NULL ? GST_CUDA_CONTEXT (gst_object_ref (context)) : NULL;
}

GstHarness *
plugin_cuda_harness (const gchar * caps, const gchar * setting)
{
  GstElement *element = plugin_test_element ("gpudlinfer", setting, NULL);

  g_object_set (element, "model", plugin_cuda_model, "async-depth", 4, NULL);
  return plugin_test_harness (element, caps);
}

void
plugin_cuda_push (GstHarness * h, GstBuffer * buffer)
{
  g_assert_cmpint (gst_harness_push (h, buffer), ==, GST_FLOW_OK);
}

void
plugin_cuda_teardown (GstHarness * h)
{
  plugin_test_teardown (h);
  plugin_cuda_check_driver ();
}

GstBufferPool *
plugin_cuda_query_pool (GstHarness * h, const gchar * caps_text, guint * min)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (caps_text);
  g_autoptr (GstQuery) query = gst_query_new_allocation (caps, TRUE);
  GstBufferPool *pool;

  g_assert_true (gst_pad_peer_query (h->srcpad, query));
  g_assert_cmpuint (gst_query_get_n_allocation_metas (query), ==, 0);
  gst_query_parse_nth_allocation_pool (query, 0, &pool, NULL, min, NULL);
  return pool;
}

void
plugin_cuda_init (int *argc, char ***argv)
{
  plugin_test_init (argc, argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  open_driver ();
  plugin_fake_init ();
  plugin_cuda_model =
      plugin_fake_model ("net.bin", PLUGIN_FAKE_CLASSES, 1, FALSE);
  gst_cuda_load_library ();
  gst_cuda_memory_init_once ();
  load_neighbours ();
}

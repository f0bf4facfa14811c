/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Frames in CUDA memory: what the engine is told of them, whose context they lie in, how long they are held, and what
 * becomes of them where nobody reads them. GStreamer's CUDA library is the real one over a driver in this machine's memory
 * (tests/driver/works), which ends the process where it is misused; the fake of a GPU reads frames as a device does, and
 * memory that has been given back can't be read.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/cuda/gstcudaheaders.h"
#include "plugin/gstgpudlinfer.h"
#include "tests/driver/works/fake-driver.h"

#include <dlfcn.h>
#include <string.h>

#define FEATURE "(memory:CUDAMemory)"
#define NV12 "video/x-raw" FEATURE ",format=NV12,width=6,height=4,framerate=50/1"

/* GStreamer 1.22 has no cleanup function for its own name */
typedef GstCudaContext Context;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Context, gst_object_unref);

static GstBufferPool *query_pool (GstHarness * h, const gchar * caps_text,
    guint * min);

static const gchar *model_path;
static FakeDriver *driver;
static guint usual_depth;

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

/* GStreamer 1.22's own plugin leaves contexts pushed as it is loaded. */
static void
load_neighbours (void)
{
  GstElement *upload = gst_element_factory_make ("cudaupload", NULL);

  gst_clear_object (&upload);
  usual_depth = driver->get_depth ();
}

static void
reset (void)
{
  plugin_fake_reset ();
  driver->n_devices = 1;
  driver->waits = driver->downloads = driver->uploads = 0;
}

/* Nothing of GStreamer's is left on the device, and no context of ours current. */
static void
check_driver (void)
{
  g_assert_cmpuint (driver->blocks, ==, 0);
  g_assert_cmpuint (driver->contexts, ==, 0);
  g_assert_cmpuint (driver->get_depth (), ==, usual_depth);
  plugin_fake_check_nothing_alive ();
}

/* ---- frames ---------------------------------------------------------------------------------------------------- */

static GstCudaContext *
new_context (guint device)
{
  GstCudaContext *context = gst_cuda_context_new (device);

  g_assert_nonnull (context);
  return context;
}

/* Frame n of these caps in CUDA memory of this context; every byte is n. */
static GstBuffer *
new_frame_of (GstCudaContext * context, const gchar * text, guint n)
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

static GstBuffer *
new_frame (GstCudaContext * context, guint n)
{
  return new_frame_of (context, NV12, n);
}

/* The same frame without a GstVideoMeta: the memory itself knows how it is laid out. */
static GstBuffer *
without_meta (GstBuffer * buffer)
{
  GstBuffer *plain = gst_buffer_new ();

  gst_buffer_append_memory (plain, gst_buffer_get_memory (buffer, 0));
  gst_buffer_copy_into (plain, buffer, GST_BUFFER_COPY_TIMESTAMPS, 0, -1);
  gst_buffer_unref (buffer);
  return plain;
}

/* The element's context, with a reference. */
static GstCudaContext *
context_of (GstHarness * h)
{
  GstObject *context = GST_GPUDL_INFER (h->element)->cuda.context;

  return context != NULL ? GST_CUDA_CONTEXT (gst_object_ref (context)) : NULL;
}

static GstHarness *
new_harness (const gchar * caps, const gchar * setting)
{
  GstElement *element = plugin_test_element ("gpudlinfer", setting, NULL);

  g_object_set (element, "model", model_path, "async-depth", 4, NULL);
  return plugin_test_harness (element, caps);
}

static void
push (GstHarness * h, GstBuffer * buffer)
{
  g_assert_cmpint (gst_harness_push (h, buffer), ==, GST_FLOW_OK);
}

static void
teardown (GstHarness * h)
{
  plugin_test_teardown (h);
  check_driver ();
}

static gpointer
device_address (GstBuffer * buffer)
{
  gpointer data;
  GstMapInfo map;

  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READ | GST_MAP_CUDA));
  data = map.data;
  gst_buffer_unmap (buffer, &map);
  return data;
}

/* What the engine was told of a buffer. */
static void
check_described (GstBuffer * buffer, GpudlPixelFormat format)
{
  GstCudaMemory *memory =
      GST_CUDA_MEMORY_CAST (gst_buffer_peek_memory (buffer, 0));
  const GstVideoInfo *info = &memory->info;
  const GpudlFrame *frame = &fake->seen.last_frame;
  guint8 *data = device_address (buffer);

  g_assert_cmpint (frame->memory, ==, GPUDL_MEMORY_CUDA);
  g_assert_cmpint (frame->format, ==, format);
  g_assert_cmpint (frame->width, ==, GST_VIDEO_INFO_WIDTH (info));
  g_assert_cmpint (frame->height, ==, GST_VIDEO_INFO_HEIGHT (info));
  g_assert_true (frame->cuda_context ==
      gst_cuda_context_get_handle (memory->context));
  g_assert_true (driver->get_context (data) == frame->cuda_context);
  for (guint i = 0; i < 4; i++) {
    const gboolean there = i < GST_VIDEO_INFO_N_PLANES (info);

    g_assert_true (frame->planes[i] == (there ?
            data + GST_VIDEO_INFO_PLANE_OFFSET (info, i) : NULL));
    g_assert_cmpint (frame->strides[i], ==,
        there ? GST_VIDEO_INFO_PLANE_STRIDE (info, i) : 0);
  }
}

/* The same buffer comes out that went in, and neither its pixels nor the device have been waited for or copied. */
static void
test_frames (void)
{
  static const struct
  {
    const gchar *name;
    GpudlPixelFormat format;
  } formats[] = { {"NV12", GPUDL_PIXEL_NV12}, {"NV21", GPUDL_PIXEL_NV21},
  {"I420", GPUDL_PIXEL_I420}, {"YV12", GPUDL_PIXEL_YV12},
  {"Y42B", GPUDL_PIXEL_Y42B}, {"Y444", GPUDL_PIXEL_Y444},
  {"RGB", GPUDL_PIXEL_RGB}, {"BGR", GPUDL_PIXEL_BGR},
  {"RGBA", GPUDL_PIXEL_RGBA}, {"BGRA", GPUDL_PIXEL_BGRA},
  {"RGBx", GPUDL_PIXEL_RGBX}, {"BGRx", GPUDL_PIXEL_BGRX},
  {"ARGB", GPUDL_PIXEL_ARGB}, {"ABGR", GPUDL_PIXEL_ABGR},
  {"P010_10LE", GPUDL_PIXEL_P010_10LE}, {"I420_10LE", GPUDL_PIXEL_I420_10LE},
  };

  for (guint i = 0; i < 2 * G_N_ELEMENTS (formats); i++) {
    const gboolean has_meta = i % 2 == 0;
    g_autofree gchar *caps = g_strdup_printf ("video/x-raw" FEATURE
        ",format=%s,width=600,height=6,framerate=50/1", formats[i / 2].name);
    g_autoptr (Context) context = NULL;
    g_autoptr (GstBuffer) out = NULL;
    GstBuffer *in;
    GstHarness *h;

    reset ();
    h = new_harness (caps, NULL);
    context = context_of (h);
    g_assert_nonnull (context);
    in = new_frame_of (context, caps, i);
    if (!has_meta)
      in = without_meta (in);
    push (h, in);
    out = gst_harness_pull (h);
    g_assert_true (out == in);
    plugin_fake_check_frame (h, out, i);
    check_described (out, formats[i / 2].format);
    g_assert_null (fake->seen.last_frame.cuda_stream);
    g_assert_cmpuint (driver->downloads, ==, 0);
    g_assert_cmpuint (driver->waits, ==, 0);
    gst_clear_buffer (&out);
    g_clear_object (&context);
    teardown (h);
  }
}

/* A part of the frame, in memory that is laid out for more than it. */
static void
test_crop_and_offset (void)
{
  g_autoptr (Context) context = NULL;
  g_autoptr (GstBuffer) out = NULL;
  GstVideoCropMeta *crop;
  GstVideoMeta *meta;
  GstBuffer *in;
  GstHarness *h;

  reset ();
  h = new_harness (NV12, NULL);
  context = context_of (h);
  in = new_frame_of (context, "video/x-raw" FEATURE
      ",format=NV12,width=16,height=20,framerate=50/1", 7);
  meta = gst_buffer_get_video_meta (in);
  meta->width = 6;
  meta->height = 4;
  meta->offset[0] = 2 * meta->stride[0] + 4;
  meta->offset[1] = 21 * meta->stride[1] + 4;
  crop = gst_buffer_add_video_crop_meta (in);
  crop->x = crop->y = 1;
  crop->width = 3;
  crop->height = 2;
  push (h, in);
  out = gst_harness_pull (h);
  plugin_fake_check_frame (h, out, 7);
  g_assert_true (fake->seen.last_frame.planes[0] ==
      (guint8 *) device_address (out) + meta->offset[0]);
  g_assert_true (fake->seen.last_frame.planes[1] ==
      (guint8 *) device_address (out) + meta->offset[1]);
  g_assert_cmpint (fake->seen.last_frame.crop_x, ==, 1);
  g_assert_cmpint (fake->seen.last_frame.crop_height, ==, 2);
  gst_clear_buffer (&out);
  g_clear_object (&context);
  teardown (h);
}

/* ---- what is no such frame ------------------------------------------------------------------------------------- */

typedef enum
{
  PLANE_BEYOND,                 /* its last byte is not in the memory */
  STRIDE_BEYOND,
  SYSTEM_MEMORY,
  TWO_MEMORIES,
  NO_MEMORY,
  OTHER_FORMAT,                 /* of memory, without a GstVideoMeta */
  N_DAMAGES
} Damage;

static GstBuffer *
damage (GstBuffer * buffer, Damage kind, GstCudaContext * context)
{
  GstVideoMeta *meta = gst_buffer_get_video_meta (buffer);
  GstBuffer *other = NULL;

  switch (kind) {
    case PLANE_BEYOND:
      meta->offset[1] = gst_buffer_get_size (buffer) - meta->stride[1] - 5;
      break;
    case STRIDE_BEYOND:
      meta->stride[0] = gst_buffer_get_size (buffer);
      break;
    case SYSTEM_MEMORY:
      other = plugin_test_frame (36, 0, 0);
      break;
    case TWO_MEMORIES:
      return gst_buffer_append (buffer, new_frame (context, 1));
    case NO_MEMORY:
      other = gst_buffer_new ();
      break;
    default:
      gst_buffer_unref (buffer);
      return without_meta (new_frame_of (context, "video/x-raw" FEATURE
              ",format=RGBA,width=6,height=4,framerate=50/1", 1));
  }
  if (other == NULL)
    return buffer;
  gst_buffer_unref (buffer);
  return other;
}

/* It goes on without a result, nothing of it is read, and a warning says why; the next one is classified. */
static void
test_damaged (void)
{
  for (guint i = 0; i < N_DAMAGES; i++) {
    g_autoptr (Context) context = NULL;
    g_autoptr (GstMessage) message = NULL;
    g_autoptr (GstBuffer) out = NULL;
    GstHarness *h;

    reset ();
    h = new_harness (NV12, NULL);
    context = context_of (h);
    push (h, damage (new_frame (context, 1), i, context));
    out = gst_harness_pull (h);
    g_assert_cmpuint (gst_gpudl_meta_get_n (out), ==, 0);
    g_assert_cmpuint (FAKE_SEEN (fake, stages), ==, 0);
    g_assert_cmpuint (driver->downloads, ==, 0);
    message = plugin_test_message (h->element, GST_MESSAGE_WARNING);
    g_assert_nonnull (message);
    g_clear_pointer (&message, gst_message_unref);
    push (h, new_frame (context, 2));
    plugin_fake_pull (h, 2);
    gst_clear_buffer (&out);
    g_clear_object (&context);
    teardown (h);
  }
}

/* ---- how long they are held ------------------------------------------------------------------------------------ */

/* A frame belongs to the device until it has been read, and to nobody afterwards. */
static void
test_held (void)
{
  g_autoptr (Context) context = NULL;
  GstHarness *h;

  reset ();
  h = new_harness (NV12, NULL);
  context = context_of (h);
  FAKE_SET (fake, does.hold, 1);
  for (guint i = 0; i < 3; i++) {
    GstBuffer *buffer = new_frame (context, i);

    push (h, buffer);
    /* with one owner it stays writable */
    g_assert_cmpint (GST_MINI_OBJECT_REFCOUNT_VALUE (buffer), ==, 1);
  }
  FAKE_AWAIT (fake, running, 1);
  g_usleep (20000);             /* the fake reads them all the while */
  g_assert_cmpuint (driver->blocks, ==, 3);
  FAKE_SET (fake, does.hold, 0);
  for (guint i = 0; i < 3; i++)
    plugin_fake_pull (h, i);
  g_assert_cmpuint (driver->blocks, ==, 0);
  g_clear_object (&context);
  teardown (h);
}

/* A flush and a shutdown wait for the device to let go, and for nothing else. */
static void
test_flush (void)
{
  g_autoptr (Context) context = NULL;
  GThread *flushes, *releases;
  GstSegment segment;
  GstHarness *h;

  reset ();
  h = new_harness (NV12, NULL);
  context = context_of (h);
  FAKE_SET (fake, does.hold, 1);
  for (guint i = 0; i < 4; i++)
    push (h, new_frame (context, i));
  FAKE_AWAIT (fake, running, 1);
  flushes = plugin_test_begin_flush (h);
  g_assert_cmpuint (driver->blocks, >, 0);
  releases = plugin_test_later (plugin_fake_release, NULL);
  g_thread_join (flushes);
  g_thread_join (releases);
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
  g_assert_cmpuint (driver->blocks, ==, 0);
  gst_segment_init (&segment, GST_FORMAT_TIME);
  g_assert_true (gst_harness_push_event (h, gst_event_new_segment (&segment)));
  push (h, new_frame (context, 9));
  plugin_fake_pull (h, 9);

  FAKE_SET (fake, does.hold, 1);
  for (guint i = 0; i < 4; i++)
    push (h, new_frame (context, i));
  FAKE_AWAIT (fake, running, 1);
  releases = plugin_test_later (plugin_fake_release, NULL);
  g_clear_object (&context);
  teardown (h);
  g_thread_join (releases);
}

/* Flushes and stops at any time, over and over. */
static void
test_load (void)
{
  for (guint round = 0; round < 10; round++) {
    g_autoptr (Context) context = NULL;
    GstHarness *h;

    reset ();
    FAKE_SET (fake, does.delay_us, 300);
    h = new_harness (NV12, NULL);
    gst_harness_set_drop_buffers (h, TRUE);
    context = context_of (h);
    for (guint i = 0; i < 40; i++) {
      GstSegment segment;

      push (h, new_frame (context, i));
      if (i % 7 != round % 7)
        continue;
      gst_harness_push_event (h, gst_event_new_flush_start ());
      gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
      gst_segment_init (&segment, GST_FORMAT_TIME);
      gst_harness_push_event (h, gst_event_new_segment (&segment));
    }
    g_clear_object (&context);
    teardown (h);
  }
}

/* A device that is lost lets go of the frames: one error, and their memory goes back. */
static void
test_lost (void)
{
  g_autoptr (Context) context = NULL;
  GstHarness *h;

  reset ();
  h = new_harness (NV12, NULL);
  context = context_of (h);
  FAKE_SET (fake, does.hold, 1);
  for (guint i = 0; i < 2; i++)
    push (h, new_frame (context, i));
  FAKE_AWAIT (fake, running, 1);
  FAKE_SET (fake, does.die, 1);
  while (gst_harness_push (h, new_frame (context, 3)) == GST_FLOW_OK);
  plugin_test_one_error (h->element, GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED);
  g_clear_object (&context);
  teardown (h);
}

/* ---- contexts -------------------------------------------------------------------------------------------------- */

static GstContext *shared;
static guint asked;

/* A neighbour that has a context. */
static gboolean
neighbour_query (GstPad * pad, GstObject * parent, GstQuery * query)
{
  const gchar *type;

  if (GST_QUERY_TYPE (query) != GST_QUERY_CONTEXT)
    return gst_pad_query_default (pad, parent, query);
  asked++;
  return gst_query_parse_context_type (query, &type)
      && g_str_equal (type, GST_CUDA_CONTEXT_TYPE)
      && (gst_query_set_context (query, shared), TRUE);
}

/* An application that has one. */
static GstBusSyncReply
application (GstBus * bus, GstMessage * message, gpointer user_data)
{
  const gchar *type;

  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_NEED_CONTEXT) {
    asked++;
    g_assert_true (gst_message_parse_context_type (message, &type));
    g_assert_cmpstr (type, ==, GST_CUDA_CONTEXT_TYPE);
    gst_element_set_context (GST_ELEMENT (GST_MESSAGE_SRC (message)), shared);
  }
  return GST_BUS_PASS;
}

typedef enum
{
  FROM_DOWNSTREAM, FROM_UPSTREAM, FROM_APPLICATION, SET_BEFORE, N_SOURCES
} Source;

/* Whoever has a context is taken at his word, and no other context comes to be. */
static void
test_context_of_others (void)
{
  for (guint i = 0; i < N_SOURCES; i++) {
    g_autoptr (Context) theirs = NULL;
    g_autoptr (Context) found = NULL;
    g_autoptr (GstMessage) message = NULL;
    g_autoptr (GstBus) bus = NULL;
    GstHarness *h;

    reset ();
    h = new_harness (NULL, NULL);
    gst_element_set_state (h->element, GST_STATE_NULL);
    bus = gst_element_get_bus (h->element);
    gst_bus_set_flushing (bus, TRUE);
    gst_bus_set_flushing (bus, FALSE);
    theirs = new_context (0);
    shared = gst_context_new_cuda_context (theirs);
    asked = 0;
    if (i == FROM_DOWNSTREAM)
      gst_pad_set_query_function (h->sinkpad, neighbour_query);
    if (i == FROM_UPSTREAM)
      gst_pad_set_query_function (h->srcpad, neighbour_query);
    if (i == FROM_APPLICATION)
      gst_bus_set_sync_handler (bus, application, NULL, NULL);
    if (i == SET_BEFORE)
      gst_element_set_context (h->element, shared);
    g_assert_cmpint (gst_element_set_state (h->element, GST_STATE_PLAYING), ==,
        GST_STATE_CHANGE_SUCCESS);
    g_assert_cmpuint (asked, ==, i == SET_BEFORE ? 0 : 1);
    found = context_of (h);
    g_assert_true (found == theirs);
    g_assert_cmpuint (driver->contexts, ==, 1);
    message = gst_bus_pop_filtered (bus, GST_MESSAGE_HAVE_CONTEXT);
    g_assert_null (message);
    g_assert_true (gpudl_device_get_context (gpudl_session_get_device
            (GST_GPUDL_INFER (h->element)->net.session)) ==
        gst_cuda_context_get_handle (theirs));

    gst_harness_set_src_caps_str (h, NV12);
    push (h, new_frame (theirs, 5));
    plugin_fake_pull (h, 5);
    gst_bus_set_sync_handler (bus, NULL, NULL, NULL);
    g_clear_pointer (&shared, gst_context_unref);
    g_clear_object (&found);
    g_clear_object (&theirs);
    teardown (h);
  }
}

/* Nobody has one: the device's primary one, told to all who ask. */
static void
test_primary (void)
{
  g_autoptr (Context) context = NULL;
  g_autoptr (Context) late = NULL;
  g_autoptr (GstContext) offered = NULL;
  g_autoptr (GstMessage) message = NULL;
  GstHarness *h;

  reset ();
  h = new_harness (NULL, NULL);
  context = context_of (h);
  g_assert_nonnull (context);
  g_assert_true (gst_cuda_context_get_handle (context) ==
      (gpointer) & fake->primary[0]);
  message = plugin_test_message (h->element, GST_MESSAGE_HAVE_CONTEXT);
  g_assert_nonnull (message);
  for (guint i = 0; i < 2; i++) {
    g_autoptr (GstQuery) query = gst_query_new_context (GST_CUDA_CONTEXT_TYPE);
    g_autoptr (Context) found = NULL;
    GstContext *answer;

    g_assert_true (gst_pad_peer_query (i == 0 ? h->srcpad : h->sinkpad, query));
    gst_query_parse_context (query, &answer);
    gst_structure_get (gst_context_get_structure (answer),
        GST_CUDA_CONTEXT_TYPE, GST_TYPE_CUDA_CONTEXT, &found, NULL);
    g_assert_true (found == context);
  }
  g_clear_pointer (&message, gst_message_unref);

  /* another one comes too late */
  late = new_context (0);
  offered = gst_context_new_cuda_context (late);
  gst_element_set_context (h->element, offered);
  g_assert_true (GST_GPUDL_INFER (h->element)->cuda.context ==
      GST_OBJECT (context));
  g_clear_pointer (&offered, gst_context_unref);
  g_clear_object (&late);
  plugin_test_teardown (h);
  /* who has it may use it, whoever made it */
  g_assert_cmpuint (FAKE_SEEN (fake, devices), ==, 1);
  g_clear_object (&context);
  check_driver ();
}

/* Two elements of a pipeline, and two pipelines, have one context, one device and one network. */
static void
test_sharing (void)
{
  g_autofree gchar *line = g_strdup_printf ("gpudlinfer name=a model=%s ! "
      "gpudlinfer name=b model=%s ! fakesink async=false", model_path,
      model_path);
  GstElement *pipelines[2];
  GstGpudlInfer *infers[4];

  reset ();
  for (guint i = 0; i < 2; i++) {
    g_autoptr (GError) error = NULL;

    pipelines[i] = gst_parse_launch (line, &error);
    g_assert_no_error (error);
    gst_element_set_state (pipelines[i], GST_STATE_PAUSED);
    infers[2 * i] = GST_GPUDL_INFER (gst_bin_get_by_name (GST_BIN
            (pipelines[i]), "a"));
    infers[2 * i + 1] = GST_GPUDL_INFER (gst_bin_get_by_name (GST_BIN
            (pipelines[i]), "b"));
    g_assert_true (infers[2 * i]->cuda.context ==
        infers[2 * i + 1]->cuda.context);
  }
  for (guint i = 1; i < 4; i++)
    g_assert_true (infers[i]->net.session == infers[0]->net.session);
  g_assert_cmpuint (FAKE_SEEN (fake, devices), ==, 1);
  g_assert_cmpuint (FAKE_SEEN (fake, opens), ==, 1);
  for (guint i = 0; i < 4; i++)
    gst_object_unref (infers[i]);
  for (guint i = 0; i < 2; i++) {
    gst_element_set_state (pipelines[i], GST_STATE_NULL);
    gst_object_unref (pipelines[i]);
  }
  check_driver ();
}

/* Frames of other contexts, on the same device and on another one: the network follows them, in order. */
static void
test_other_contexts (void)
{
  GstCudaContext *contexts[3];
  GstHarness *h;

  reset ();
  driver->n_devices = fake->is.n_devices = 2;
  h = new_harness (NV12, NULL);
  contexts[0] = context_of (h);
  contexts[1] = new_context (0);
  contexts[2] = new_context (1);
  for (guint i = 0; i < 18; i++) {
    GstCudaContext *context = contexts[i / 3 % 3];

    push (h, new_frame (context, i));
    g_assert_true (fake->seen.last_frame.cuda_context ==
        gst_cuda_context_get_handle (context));
    g_assert_true (gpudl_device_get_context (gpudl_session_get_device
            (GST_GPUDL_INFER (h->element)->net.session)) ==
        gst_cuda_context_get_handle (context));
    g_assert_cmpint (fake->seen.last_device, ==, i / 3 % 3 == 2 ? 1 : 0);
  }
  g_assert_cmpuint (FAKE_SEEN (fake, opens), ==, 6);
  for (guint i = 0; i < 18; i++)
    plugin_fake_pull (h, i);
  plugin_test_no_error (h->element);

  /* the network keeps the context of its frames, whoever else lets go of it */
  push (h, new_frame (contexts[2], 20));
  plugin_fake_pull (h, 20);
  for (guint i = 0; i < 3; i++)
    g_clear_object (&contexts[i]);
  g_assert_cmpuint (driver->contexts, ==, 1);
  teardown (h);
}

/* A device that is named is the only one: contexts of others are left to others, their frames are one error. */
static void
test_device_id (void)
{
  g_autoptr (Context) other = NULL;
  g_autoptr (Context) own = NULL;
  g_autoptr (GstContext) offered = NULL;
  GstHarness *h;
  guint min;

  reset ();
  driver->n_devices = fake->is.n_devices = 2;
  h = new_harness (NULL, "cuda-device-id=1");
  gst_element_set_state (h->element, GST_STATE_NULL);
  other = new_context (0);
  offered = gst_context_new_cuda_context (other);
  gst_element_set_context (h->element, offered);
  gst_harness_play (h);
  gst_harness_set_src_caps_str (h, NV12);
  own = context_of (h);
  g_assert_true (gst_cuda_context_get_handle (own) ==
      (gpointer) & fake->primary[1]);
  g_assert_cmpint (fake->seen.last_device, ==, 1);
  push (h, new_frame (own, 3));
  plugin_fake_pull (h, 3);
  plugin_test_no_error (h->element);
  g_assert_cmpint (gst_harness_push (h, new_frame (other, 4)), ==,
      GST_FLOW_ERROR);
  plugin_test_one_error (h->element, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_SETTINGS);

  /* named in READY, when there is a context of another one */
  gst_element_set_state (h->element, GST_STATE_READY);
  g_object_set (h->element, "cuda-device-id", 0, NULL);
  gst_harness_play (h);
  g_assert_cmpint (fake->seen.last_device, ==, 0);
  g_assert_null (query_pool (h, NV12, &min));
  g_clear_object (&own);
  g_clear_object (&other);
  g_clear_pointer (&offered, gst_context_unref);
  teardown (h);
}

/* From NULL to PLAYING and back, frames of either memory in one life: nothing adds up. */
static void
test_cycles (void)
{
  GstHarness *h;

  reset ();
  h = new_harness (NULL, NULL);
  for (guint i = 0; i < 100; i++) {
    g_autoptr (Context) context = NULL;
    g_autoptr (GstBufferPool) pool = NULL;
    guint min;

    gst_element_set_state (h->element, GST_STATE_NULL);
    gst_harness_play (h);
    context = context_of (h);
    g_assert_nonnull (context);
    for (guint j = 0; j < 2; j++) {
      const gboolean cuda = (i + j) % 2 == 0;

      gst_harness_set_src_caps_str (h, cuda ? NV12 : PLUGIN_TEST_GRAY);
      if (cuda)
        push (h, new_frame (context, i));
      else
        plugin_fake_push (h, i);
      plugin_fake_pull (h, i);
    }
    pool = query_pool (h, NV12, &min);
    g_assert_true (GST_IS_CUDA_BUFFER_POOL (pool));
    g_assert_cmpuint (driver->contexts, <=, 1);
  }
  plugin_test_no_error (h->element);
  teardown (h);
}

/* A context that the network can't be opened in is one error. */
static void
test_other_context_fails (void)
{
  g_autoptr (Context) context = NULL;
  GstHarness *h;

  reset ();
  h = new_harness (NV12, NULL);
  context = new_context (0);
  FAKE_SET (fake, does.device_status, GPUDL_STATUS_NO_MEMORY);
  g_assert_cmpint (gst_harness_push (h, new_frame (context, 0)), ==,
      GST_FLOW_ERROR);
  plugin_test_one_error (h->element, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_NO_SPACE_LEFT);
  g_clear_object (&context);
  teardown (h);
}

/* ---- without a network that reads them ------------------------------------------------------------------------- */

static GstCaps *
query_caps (GstHarness * h, const gchar * filter_text)
{
  g_autoptr (GstCaps) filter =
      filter_text != NULL ? gst_caps_from_string (filter_text) : NULL;

  return gst_pad_peer_query_caps (h->srcpad, filter);
}

static gboolean
has_cuda (const GstCaps * caps)
{
  for (guint i = 0; i < gst_caps_get_size (caps); i++)
    if (gst_caps_features_contains (gst_caps_get_features (caps, i),
            GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY))
      return TRUE;
  return FALSE;
}

static void
check_names_cudadownload (GstElement * element, GstMessageType type)
{
  g_autoptr (GstMessage) message = plugin_test_message (element, type);
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (message);
  if (type == GST_MESSAGE_ERROR)
    gst_message_parse_error (message, &error, NULL);
  else
    gst_message_parse_warning (message, &error, NULL);
  g_assert_error (error, GST_STREAM_ERROR, GST_STREAM_ERROR_NOT_IMPLEMENTED);
  g_assert_nonnull (strstr (error->message, "! cudadownload ! gpudlinfer"));
}

/* What the CPU runs is offered system memory alone; who insists is told what to write. */
static void
test_cpu (void)
{
  static const gchar *const settings[] = { "backend=cpu", "backend=ref" };

  for (guint i = 0; i < G_N_ELEMENTS (settings); i++) {
    g_autoptr (GstMessage) second = NULL;
    g_autoptr (GstCaps) caps = NULL;
    g_autoptr (GstBus) bus = NULL;
    GstHarness *h;

    reset ();
    fake_other->reset ();
    h = new_harness (NULL, settings[i]);
    bus = gst_element_get_bus (h->element);
    caps = query_caps (h, NULL);
    g_assert_false (has_cuda (caps));
    g_assert_false (gst_caps_is_empty (caps));
    gst_caps_unref (caps);
    caps = query_caps (h, NV12 ";video/x-raw,format=NV12");
    g_assert_cmpuint (gst_caps_get_size (caps), ==, 1);
    g_assert_false (has_cuda (caps));
    plugin_test_no_error (h->element);

    for (guint j = 0; j < 2; j++) {     /* the second time it is known */
      gst_caps_unref (caps);
      caps = query_caps (h, NV12);
      g_assert_true (gst_caps_is_empty (caps));
    }
    check_names_cudadownload (h->element, GST_MESSAGE_WARNING);
    g_clear_pointer (&caps, gst_caps_unref);
    plugin_test_no_error (h->element);

    gst_harness_set_src_caps_str (h, NV12);
    g_assert_cmpint (gst_harness_push (h, plugin_test_frame (36, 0, 0)), ==,
        GST_FLOW_NOT_NEGOTIATED);
    check_names_cudadownload (h->element, GST_MESSAGE_ERROR);
    second = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
    g_assert_null (second);
    /* and frames in system memory are classified as ever */
    gst_harness_set_src_caps_str (h, PLUGIN_TEST_GRAY);
    push (h, plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 0, 0));
    gst_buffer_unref (gst_harness_pull (h));
    teardown (h);
  }
}

/* CUDA memory first, on both pads, before and after the start. */
static void
test_offered (void)
{
  g_autoptr (GstElementFactory) factory =
      gst_element_factory_find ("gpudlinfer");
  const GList *templates =
      gst_element_factory_get_static_pad_templates (factory);
  g_autoptr (GstCaps) found = NULL;
  GstHarness *h;

  g_assert_cmpuint (g_list_length ((GList *) templates), ==, 2);
  for (; templates != NULL; templates = templates->next) {
    g_autoptr (GstCaps) caps =
        gst_static_pad_template_get_caps (templates->data);

    g_assert_cmpuint (gst_caps_get_size (caps), ==, 2);
    g_assert_true (gst_caps_features_contains (gst_caps_get_features (caps, 0),
            GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY));
  }
  reset ();
  h = new_harness (NULL, NULL);
  found = query_caps (h, NULL);
  g_assert_true (gst_caps_features_contains (gst_caps_get_features (found, 0),
          GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY));
  g_clear_pointer (&found, gst_caps_unref);
  teardown (h);
}

static gchar *
backend_of (GstHarness * h)
{
  g_autoptr (GstStructure) info = NULL;

  g_object_get (h->element, "model-info", &info, NULL);
  return g_strdup (gst_structure_get_string (info, "backend"));
}

/* A GPU that can't be used is none, to backend=auto; and an error to backend=cuda. */
static void
test_unusable_device (void)
{
  GpudlStatus *const places[] =
      { &fake->does.probe_status, &fake->does.device_status };

  for (guint i = 0; i < G_N_ELEMENTS (places); i++) {
    g_autofree gchar *backend = NULL;
    g_autoptr (GstBus) bus = NULL;
    GstElement *element;
    GstHarness *h;

    reset ();
    fake_other->reset ();
    *places[i] = GPUDL_STATUS_NO_DEVICE;
    h = new_harness (NULL, "backend=auto");
    backend = backend_of (h);
    g_assert_cmpstr (backend, ==, "cpu");
    plugin_test_no_error (h->element);
    teardown (h);

    element = plugin_test_element ("gpudlinfer", "backend=cuda", NULL);
    gst_object_ref_sink (element);
    bus = gst_bus_new ();
    gst_element_set_bus (element, bus);
    g_object_set (element, "model", model_path, NULL);
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
        GST_STATE_CHANGE_FAILURE);
    plugin_test_one_error (element, GST_RESOURCE_ERROR,
        GST_RESOURCE_ERROR_NOT_FOUND);
    gst_element_set_state (element, GST_STATE_NULL);
    gst_bus_set_flushing (bus, TRUE);
    gst_object_unref (element);
  }
  *places[0] = *places[1] = GPUDL_STATUS_OK;
}

/* A context that a neighbour has, in which nothing can be opened. */
static void
test_unusable_context (void)
{
  g_autofree gchar *backend = NULL;
  g_autoptr (Context) theirs = NULL;
  GstHarness *h;

  reset ();
  fake_other->reset ();
  h = new_harness (NULL, "backend=auto");
  gst_element_set_state (h->element, GST_STATE_NULL);
  theirs = new_context (0);
  shared = gst_context_new_cuda_context (theirs);
  gst_pad_set_query_function (h->srcpad, neighbour_query);
  FAKE_SET (fake, does.device_status, GPUDL_STATUS_NO_MEMORY);
  g_assert_cmpint (gst_element_set_state (h->element, GST_STATE_PLAYING), ==,
      GST_STATE_CHANGE_SUCCESS);
  backend = backend_of (h);
  g_assert_cmpstr (backend, ==, "cpu");
  g_clear_pointer (&shared, gst_context_unref);
  g_clear_object (&theirs);
  teardown (h);
}

/* A network that CUDA has no means for runs on the CPU by auto, context or not. */
static void
test_unsupported_model (void)
{
  g_autofree gchar *backend = NULL;
  GstHarness *h;

  reset ();
  fake_other->reset ();
  FAKE_SET (fake, does.open_status, GPUDL_STATUS_UNSUPPORTED);
  h = new_harness (NULL, "backend=auto");
  backend = backend_of (h);
  g_assert_cmpstr (backend, ==, "cpu");
  teardown (h);
}

/* ---- pool ------------------------------------------------------------------------------------------------------ */

static GstBufferPool *pool_of_downstream;

static gboolean
downstream_query (GstPad * pad, GstObject * parent, GstQuery * query)
{
  if (GST_QUERY_TYPE (query) != GST_QUERY_ALLOCATION
      || pool_of_downstream == NULL)
    return gst_pad_query_default (pad, parent, query);
  gst_query_add_allocation_pool (query, pool_of_downstream, 64, 3, 0);
  return TRUE;
}

static GstBufferPool *
query_pool (GstHarness * h, const gchar * caps_text, guint * min)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (caps_text);
  g_autoptr (GstQuery) query = gst_query_new_allocation (caps, TRUE);
  GstBufferPool *pool;

  g_assert_true (gst_pad_peer_query (h->srcpad, query));
  g_assert_cmpuint (gst_query_get_n_allocation_metas (query), ==, 0);
  gst_query_parse_nth_allocation_pool (query, 0, &pool, NULL, min, NULL);
  return pool;
}

static void
test_pool (void)
{
  g_autoptr (Context) context = NULL;
  g_autoptr (GstBufferPool) pool = NULL;
  GstBuffer *buffer;
  GstHarness *h;
  guint min;

  reset ();
  h = new_harness (NV12, NULL);
  gst_pad_set_query_function (h->sinkpad, downstream_query);
  context = context_of (h);
  pool = query_pool (h, NV12, &min);
  g_assert_true (GST_IS_CUDA_BUFFER_POOL (pool));
  g_assert_true (GST_CUDA_BUFFER_POOL (pool)->context == context);
  g_assert_cmpuint (min, ==, 4 + 1);
  g_assert_true (gst_buffer_pool_set_active (pool, TRUE));
  g_assert_cmpint (gst_buffer_pool_acquire_buffer (pool, &buffer, NULL), ==,
      GST_FLOW_OK);
  GST_BUFFER_PTS (buffer) = 0;
  GST_BUFFER_DURATION (buffer) = 20 * GST_MSECOND;
  push (h, buffer);
  buffer = gst_harness_pull (h);
  g_assert_true (buffer->pool == pool);
  gst_buffer_unref (buffer);
  gst_buffer_pool_set_active (pool, FALSE);
  gst_clear_object (&pool);

  /* as much for 10 bit, as nvh265dec has them */
  for (guint i = 0; i < 2; i++) {
    pool = query_pool (h, i == 0 ? "video/x-raw" FEATURE
        ",format=P010_10LE,width=6,height=4,framerate=50/1" : "video/x-raw"
        FEATURE ",format=I420_10LE,width=6,height=4,framerate=50/1", &min);
    g_assert_true (GST_IS_CUDA_BUFFER_POOL (pool));
    g_assert_true (gst_buffer_pool_set_active (pool, TRUE));
    gst_buffer_pool_set_active (pool, FALSE);
    gst_clear_object (&pool);
  }

  /* what GStreamer makes no memory of; and what downstream has is downstream's */
  pool = query_pool (h, "video/x-raw" FEATURE
      ",format=GRAY8,width=4,height=4,framerate=1/1", &min);
  g_assert_null (pool);
  pool_of_downstream = gst_cuda_buffer_pool_new (context);
  pool = query_pool (h, NV12, &min);
  g_assert_true (pool == pool_of_downstream);
  g_assert_cmpuint (min, ==, 3 + 4);
  gst_clear_object (&pool);
  gst_clear_object (&pool_of_downstream);
  g_clear_object (&context);
  teardown (h);
}

/* ---- other elements -------------------------------------------------------------------------------------------- */

typedef struct
{
  guint n, cuda;
} Seen;

static GstPadProbeReturn
look (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  Seen *seen = user_data;

  seen->n++;
  seen->cuda += gst_is_cuda_memory (gst_buffer_peek_memory (buffer, 0));
  return GST_PAD_PROBE_OK;
}

static void
check_pipeline (const gchar * source, const gchar * sink, gboolean cuda)
{
  g_autofree gchar *line =
      g_strdup_printf ("videotestsrc num-buffers=20 ! %s ! gpudlinfer "
      "name=infer async-depth=3 model=%s ! %s", source, model_path, sink);
  g_autoptr (GstMessage) message = NULL;
  g_autoptr (GstElement) infer = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GstPad) pad = NULL;
  g_autoptr (GstBus) bus = NULL;
  GstElement *pipeline;
  Seen seen = { 0, };

  reset ();
  pipeline = gst_parse_launch (line, &error);
  g_assert_no_error (error);
  infer = gst_bin_get_by_name (GST_BIN (pipeline), "infer");
  pad = gst_element_get_static_pad (infer, "src");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, look, &seen, NULL);
  bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  message = gst_bus_timed_pop_filtered (bus, 20 * GST_SECOND,
      GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_assert_nonnull (message);
  g_assert_cmpint (GST_MESSAGE_TYPE (message), ==, GST_MESSAGE_EOS);
  g_assert_cmpuint (seen.n, ==, 20);
  g_assert_cmpuint (seen.cuda, ==, cuda ? 20 : 0);
  g_assert_cmpint (fake->seen.last_frame.memory == GPUDL_MEMORY_CUDA, ==, cuda);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_clear_pointer (&message, gst_message_unref);
  gst_clear_object (&pad);
  gst_clear_object (&infer);
  gst_object_unref (pipeline);
  check_driver ();
}

static void
test_uploaded (void)
{
  g_autoptr (GstElementFactory) upload =
      gst_element_factory_find ("cudaupload");

  if (upload == NULL) {
    g_test_skip ("no cudaupload");
    return;
  }
  check_pipeline ("video/x-raw,format=NV12 ! cudaupload ! video/x-raw" FEATURE,
      "fakesink", TRUE);
  check_pipeline ("video/x-raw,format=RGBA ! cudaupload ! video/x-raw" FEATURE,
      "cudadownload ! video/x-raw ! fakesink", TRUE);
  check_pipeline ("video/x-raw,format=NV12 ! cudaupload ! video/x-raw" FEATURE
      " ! cudadownload ! video/x-raw", "fakesink", FALSE);
}

int
main (int argc, char **argv)
{
  int result;

  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  open_driver ();
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", PLUGIN_FAKE_CLASSES, 1, FALSE);
  gst_cuda_load_library ();
  gst_cuda_memory_init_once ();
  load_neighbours ();

#define ADD(name, func) g_test_add_func ("/cuda/" name, func)
  ADD ("cuda-memory-is-offered-first", test_offered);
  ADD ("frames-are-described-where-they-lie-and-leave-as-they-came",
      test_frames);
  ADD ("offsets-and-crop-rectangles-count", test_crop_and_offset);
  ADD ("what-is-no-such-frame-is-not-read", test_damaged);
  ADD ("frames-are-held-until-they-have-been-read", test_held);
  ADD ("flush-and-stop-wait-for-the-device", test_flush);
  ADD ("flushes-and-stops-under-load", test_load);
  ADD ("frames-of-a-lost-device-go-back", test_lost);
  ADD ("context-of-neighbours-and-application-is-taken",
      test_context_of_others);
  ADD ("primary-context-is-taken-and-told", test_primary);
  ADD ("elements-share-context-device-and-network", test_sharing);
  ADD ("network-follows-frames-of-other-contexts-and-devices",
      test_other_contexts);
  ADD ("a-hundred-lives-with-frames-of-either-memory", test_cycles);
  ADD ("device-that-is-named-is-the-only-one", test_device_id);
  ADD ("other-context-that-fails-is-one-error", test_other_context_fails);
  ADD ("what-the-cpu-runs-says-cudadownload", test_cpu);
  ADD ("unusable-device-is-none-to-auto", test_unusable_device);
  ADD ("unusable-context-is-none-to-auto", test_unusable_context);
  ADD ("unsupported-network-runs-on-the-cpu-by-auto", test_unsupported_model);
  ADD ("pool-of-cuda-memory-is-proposed", test_pool);
  ADD ("uploaded-frames-are-classified", test_uploaded);
  result = plugin_test_run ();
  return result;
}

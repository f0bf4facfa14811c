/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Frames in CUDA memory: what the engine is told of them, whose context they lie in, how long they are held, and what
 * becomes of them where nobody reads them. GStreamer's CUDA library is the real one over a driver in this machine's memory
 * (tests/driver/works), which ends the process where it is misused; the fake of a GPU reads frames as a device does, and
 * memory that has been given back can't be read.
 */
#include "plugin-cuda.h"
#include "plugin-fake.h"
#include "plugin-test.h"

#include <string.h>

/* ---- frames ---------------------------------------------------------------------------------------------------- */

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
  g_assert_true (plugin_cuda_driver->get_context (data) == frame->cuda_context);
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
    g_autofree gchar *caps = g_strdup_printf ("video/x-raw" PLUGIN_CUDA_FEATURE
        ",format=%s,width=600,height=6,framerate=50/1", formats[i / 2].name);
    g_autoptr (Context) context = NULL;
    g_autoptr (GstBuffer) out = NULL;
    GstBuffer *in;
    GstHarness *h;

    plugin_cuda_reset ();
    h = plugin_cuda_harness (caps, NULL);
    context = plugin_cuda_context_of (h);
    g_assert_nonnull (context);
    in = plugin_cuda_frame_of (context, caps, i);
    if (!has_meta)
      in = without_meta (in);
    plugin_cuda_push (h, in);
    out = gst_harness_pull (h);
    g_assert_true (out == in);
    plugin_fake_check_frame (h, out, i);
    check_described (out, formats[i / 2].format);
    g_assert_null (fake->seen.last_frame.cuda_stream);
    g_assert_cmpuint (plugin_cuda_driver->downloads, ==, 0);
    g_assert_cmpuint (plugin_cuda_driver->waits, ==, 0);
    gst_clear_buffer (&out);
    g_clear_object (&context);
    plugin_cuda_teardown (h);
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

  plugin_cuda_reset ();
  h = plugin_cuda_harness (PLUGIN_CUDA_NV12, NULL);
  context = plugin_cuda_context_of (h);
  in = plugin_cuda_frame_of (context, "video/x-raw" PLUGIN_CUDA_FEATURE
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
  plugin_cuda_push (h, in);
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
  plugin_cuda_teardown (h);
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
      return gst_buffer_append (buffer, plugin_cuda_frame (context, 1));
    case NO_MEMORY:
      other = gst_buffer_new ();
      break;
    default:
      gst_buffer_unref (buffer);
      return without_meta (plugin_cuda_frame_of (context,
              "video/x-raw" PLUGIN_CUDA_FEATURE
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

    plugin_cuda_reset ();
    h = plugin_cuda_harness (PLUGIN_CUDA_NV12, NULL);
    context = plugin_cuda_context_of (h);
    plugin_cuda_push (h, damage (plugin_cuda_frame (context, 1), i, context));
    out = gst_harness_pull (h);
    g_assert_cmpuint (gst_gpudl_meta_get_n (out), ==, 0);
    g_assert_cmpuint (FAKE_SEEN (fake, stages), ==, 0);
    g_assert_cmpuint (plugin_cuda_driver->downloads, ==, 0);
    message = plugin_test_message (h->element, GST_MESSAGE_WARNING);
    g_assert_nonnull (message);
    g_clear_pointer (&message, gst_message_unref);
    plugin_cuda_push (h, plugin_cuda_frame (context, 2));
    plugin_fake_pull (h, 2);
    gst_clear_buffer (&out);
    g_clear_object (&context);
    plugin_cuda_teardown (h);
  }
}

/* ---- how long they are held ------------------------------------------------------------------------------------ */

/* A frame belongs to the device until it has been read, and to nobody afterwards. */
static void
test_held (void)
{
  g_autoptr (Context) context = NULL;
  GstHarness *h;

  plugin_cuda_reset ();
  h = plugin_cuda_harness (PLUGIN_CUDA_NV12, NULL);
  context = plugin_cuda_context_of (h);
  FAKE_SET (fake, does.hold, 1);
  for (guint i = 0; i < 3; i++) {
    GstBuffer *buffer = plugin_cuda_frame (context, i);

    plugin_cuda_push (h, buffer);
    /* with one owner it stays writable */
    g_assert_cmpint (GST_MINI_OBJECT_REFCOUNT_VALUE (buffer), ==, 1);
  }
  FAKE_AWAIT (fake, running, 1);
  g_usleep (20000);             /* the fake reads them all the while */
  g_assert_cmpuint (plugin_cuda_driver->blocks, ==, 3);
  FAKE_SET (fake, does.hold, 0);
  for (guint i = 0; i < 3; i++)
    plugin_fake_pull (h, i);
  g_assert_cmpuint (plugin_cuda_driver->blocks, ==, 0);
  g_clear_object (&context);
  plugin_cuda_teardown (h);
}

/* A flush and a shutdown wait for the device to let go, and for nothing else. */
static void
test_flush (void)
{
  g_autoptr (Context) context = NULL;
  GThread *flushes, *releases;
  GstSegment segment;
  GstHarness *h;

  plugin_cuda_reset ();
  h = plugin_cuda_harness (PLUGIN_CUDA_NV12, NULL);
  context = plugin_cuda_context_of (h);
  FAKE_SET (fake, does.hold, 1);
  for (guint i = 0; i < 4; i++)
    plugin_cuda_push (h, plugin_cuda_frame (context, i));
  FAKE_AWAIT (fake, running, 1);
  flushes = plugin_test_begin_flush (h);
  g_assert_cmpuint (plugin_cuda_driver->blocks, >, 0);
  releases = plugin_test_later (plugin_fake_release, NULL);
  g_thread_join (flushes);
  g_thread_join (releases);
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
  g_assert_cmpuint (plugin_cuda_driver->blocks, ==, 0);
  gst_segment_init (&segment, GST_FORMAT_TIME);
  g_assert_true (gst_harness_push_event (h, gst_event_new_segment (&segment)));
  plugin_cuda_push (h, plugin_cuda_frame (context, 9));
  plugin_fake_pull (h, 9);

  FAKE_SET (fake, does.hold, 1);
  for (guint i = 0; i < 4; i++)
    plugin_cuda_push (h, plugin_cuda_frame (context, i));
  FAKE_AWAIT (fake, running, 1);
  releases = plugin_test_later (plugin_fake_release, NULL);
  g_clear_object (&context);
  plugin_cuda_teardown (h);
  g_thread_join (releases);
}

/* Flushes and stops at any time, over and over. */
static void
test_load (void)
{
  for (guint round = 0; round < 10; round++) {
    g_autoptr (Context) context = NULL;
    GstHarness *h;

    plugin_cuda_reset ();
    FAKE_SET (fake, does.delay_us, 300);
    h = plugin_cuda_harness (PLUGIN_CUDA_NV12, NULL);
    gst_harness_set_drop_buffers (h, TRUE);
    context = plugin_cuda_context_of (h);
    for (guint i = 0; i < 40; i++) {
      GstSegment segment;

      plugin_cuda_push (h, plugin_cuda_frame (context, i));
      if (i % 7 != round % 7)
        continue;
      gst_harness_push_event (h, gst_event_new_flush_start ());
      gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
      gst_segment_init (&segment, GST_FORMAT_TIME);
      gst_harness_push_event (h, gst_event_new_segment (&segment));
    }
    g_clear_object (&context);
    plugin_cuda_teardown (h);
  }
}

/* A device that is lost lets go of the frames: one error, and their memory goes back. */
static void
test_lost (void)
{
  g_autoptr (Context) context = NULL;
  GstHarness *h;

  plugin_cuda_reset ();
  h = plugin_cuda_harness (PLUGIN_CUDA_NV12, NULL);
  context = plugin_cuda_context_of (h);
  FAKE_SET (fake, does.hold, 1);
  for (guint i = 0; i < 2; i++)
    plugin_cuda_push (h, plugin_cuda_frame (context, i));
  FAKE_AWAIT (fake, running, 1);
  FAKE_SET (fake, does.die, 1);
  while (gst_harness_push (h, plugin_cuda_frame (context, 3)) == GST_FLOW_OK);
  plugin_test_one_error (h->element, GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED);
  g_clear_object (&context);
  plugin_cuda_teardown (h);
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

static void
test_pool (void)
{
  g_autoptr (Context) context = NULL;
  g_autoptr (GstBufferPool) pool = NULL;
  GstBuffer *buffer;
  GstHarness *h;
  guint min;

  plugin_cuda_reset ();
  h = plugin_cuda_harness (PLUGIN_CUDA_NV12, NULL);
  gst_pad_set_query_function (h->sinkpad, downstream_query);
  context = plugin_cuda_context_of (h);
  pool = plugin_cuda_query_pool (h, PLUGIN_CUDA_NV12, &min);
  g_assert_true (GST_IS_CUDA_BUFFER_POOL (pool));
  g_assert_true (GST_CUDA_BUFFER_POOL (pool)->context == context);
  g_assert_cmpuint (min, ==, 4 + 1);
  g_assert_true (gst_buffer_pool_set_active (pool, TRUE));
  g_assert_cmpint (gst_buffer_pool_acquire_buffer (pool, &buffer, NULL), ==,
      GST_FLOW_OK);
  GST_BUFFER_PTS (buffer) = 0;
  GST_BUFFER_DURATION (buffer) = 20 * GST_MSECOND;
  plugin_cuda_push (h, buffer);
  buffer = gst_harness_pull (h);
  g_assert_true (buffer->pool == pool);
  gst_buffer_unref (buffer);
  gst_buffer_pool_set_active (pool, FALSE);
  gst_clear_object (&pool);

  /* as much for 10 bit, as nvh265dec has them */
  for (guint i = 0; i < 2; i++) {
    pool = plugin_cuda_query_pool (h, i == 0 ? "video/x-raw" PLUGIN_CUDA_FEATURE
        ",format=P010_10LE,width=6,height=4,framerate=50/1" : "video/x-raw"
        PLUGIN_CUDA_FEATURE ",format=I420_10LE,width=6,height=4,framerate=50/1",
        &min);
    g_assert_true (GST_IS_CUDA_BUFFER_POOL (pool));
    g_assert_true (gst_buffer_pool_set_active (pool, TRUE));
    gst_buffer_pool_set_active (pool, FALSE);
    gst_clear_object (&pool);
  }

  /* what GStreamer makes no memory of; and what downstream has is downstream's */
  pool = plugin_cuda_query_pool (h, "video/x-raw" PLUGIN_CUDA_FEATURE
      ",format=GRAY8,width=4,height=4,framerate=1/1", &min);
  g_assert_null (pool);
  pool_of_downstream = gst_cuda_buffer_pool_new (context);
  /* the first frame's push may be on its way back: downstream is not asked until
   * it is, as by any upstream that asks before frames flow */
  for (guint i = 0; pool != pool_of_downstream; i++) {
    g_assert_cmpuint (i, <, 5000);
    g_usleep (i == 0 ? 0 : 1000);
    gst_clear_object (&pool);
    pool = plugin_cuda_query_pool (h, PLUGIN_CUDA_NV12, &min);
  }
  g_assert_cmpuint (min, ==, 3 + 4);
  gst_clear_object (&pool);
  gst_clear_object (&pool_of_downstream);
  g_clear_object (&context);
  plugin_cuda_teardown (h);
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
      "name=infer async-depth=3 model=%s ! %s", source, plugin_cuda_model,
      sink);
  g_autoptr (GstMessage) message = NULL;
  g_autoptr (GstElement) infer = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GstPad) pad = NULL;
  g_autoptr (GstBus) bus = NULL;
  GstElement *pipeline;
  Seen seen = { 0, };

  plugin_cuda_reset ();
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
  plugin_cuda_check_driver ();
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
  check_pipeline ("video/x-raw,format=NV12 ! cudaupload ! video/x-raw"
      PLUGIN_CUDA_FEATURE, "fakesink", TRUE);
  check_pipeline ("video/x-raw,format=RGBA ! cudaupload ! video/x-raw"
      PLUGIN_CUDA_FEATURE, "cudadownload ! video/x-raw ! fakesink", TRUE);
  check_pipeline ("video/x-raw,format=NV12 ! cudaupload ! video/x-raw"
      PLUGIN_CUDA_FEATURE " ! cudadownload ! video/x-raw", "fakesink", FALSE);
}

int
main (int argc, char **argv)
{
  plugin_cuda_init (&argc, &argv);

#define ADD(name, func) g_test_add_func ("/cuda/" name, func)
  ADD ("frames-are-described-where-they-lie-and-leave-as-they-came",
      test_frames);
  ADD ("offsets-and-crop-rectangles-count", test_crop_and_offset);
  ADD ("what-is-no-such-frame-is-not-read", test_damaged);
  ADD ("frames-are-held-until-they-have-been-read", test_held);
  ADD ("flush-and-stop-wait-for-the-device", test_flush);
  ADD ("flushes-and-stops-under-load", test_load);
  ADD ("frames-of-a-lost-device-go-back", test_lost);
  ADD ("pool-of-cuda-memory-is-proposed", test_pool);
  ADD ("uploaded-frames-are-classified", test_uploaded);
  return plugin_test_run ();
}

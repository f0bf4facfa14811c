/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlcuda.h"

#include "gstcudaheaders.h"
#include "video/describe.h"

GST_DEBUG_CATEGORY_EXTERN (gst_gpudl_infer_debug);
#define GST_CAT_DEFAULT gst_gpudl_infer_debug

#define BACKEND "cuda"
/* of a wrapped primary context: the GpudlDevice that keeps it */
#define OWNER_KEY "gpudl-device"

/* What GStreamer 1.22 can make memory of; it aborts the process for others. */
#define POOL_FORMATS "{ NV12, NV21, I420, YV12, Y42B, Y444, P010_10LE, " \
    "I420_10LE, RGB, BGR, RGBA, BGRA, ARGB, ABGR, RGBx, BGRx }"

/* Of all elements, for reading and writing GstGpudlCuda.context: a leaf, and
 * nothing is called under it. */
static GMutex context_lock;

/* ---- contexts ------------------------------------------------------------ */

const gchar *
gst_gpudl_cuda_get_caps_feature (void)
{
  return GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY;
}

/* A reference, or NULL. */
static GstCudaContext *
get_context (GstGpudlCuda * cuda)
{
  GstObject *context;

  g_mutex_lock (&context_lock);
  context = cuda->context != NULL ? gst_object_ref (cuda->context) : NULL;
  g_mutex_unlock (&context_lock);
  return (GstCudaContext *) context;
}

static gboolean
has_context (GstGpudlCuda * cuda)
{
  g_autoptr (GstObject) context = (GstObject *) get_context (cuda);

  return context != NULL;
}

static gint
get_device_id (GstCudaContext * context)
{
  guint id;

  g_object_get (context, "cuda-device-id", &id, NULL);
  return id;
}

/* Without a driver, or with one that does not start, each of GStreamer's calls
 * that follow may end the process (g_assert), and in 1.22 the second attempt to
 * make a context waits for ever. The backend is asked first, which remembers what
 * the driver said: one may take seconds to say that it fails, each time. */
static gboolean
have_driver (GstElement * element)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) devices = gpudl_devices_list (BACKEND, &error);
  static gsize state = 0;

  if (devices == NULL) {
    GST_INFO_OBJECT (element, "no CUDA context: %s", error->message);
    return FALSE;
  }
  if (g_once_init_enter (&state)) {
    const gboolean works = gst_cuda_load_library ()
        && CuInit (0) == CUDA_SUCCESS;

    g_once_init_leave (&state, works ? 1 : 2);
  }
  if (state != 1)
    GST_INFO_OBJECT (element, "GStreamer finds no usable NVIDIA driver");
  return state == 1;
}

static void
ask_neighbour (GstElement * element, GstPadDirection direction)
{
  g_autoptr (GstQuery) query = gst_query_new_context (GST_CUDA_CONTEXT_TYPE);
  g_autoptr (GstPad) pad = gst_element_get_static_pad (element,
      direction == GST_PAD_SRC ? "src" : "sink");
  GstContext *context = NULL;

  if (!gst_pad_peer_query (pad, query))
    return;
  gst_query_parse_context (query, &context);
  if (context != NULL)
    gst_element_set_context (element, context);
}

static void
tell (GstElement * element, GstCudaContext * cuda_context)
{
  GstContext *context = gst_context_new_cuda_context (cuda_context);

  gst_element_set_context (element, context);
  gst_element_post_message (element,
      gst_message_new_have_context (GST_OBJECT (element), context));
}

/* One context a GPU in a process, unless somebody insists on another one: each
 * costs half a GiB, and kernels of two never run side by side. */
static gboolean
take_primary (GstElement * element, gint device_id, GError ** error)
{
  g_autoptr (GpudlDevice) device = gpudl_device_acquire (BACKEND, device_id,
      NULL, NULL, NULL, error);
  GstCudaContext *context;

  if (device == NULL)
    return FALSE;
  context = gst_cuda_context_new_wrapped (gpudl_device_get_context (device),
      gpudl_device_get_id (device));
  if (context == NULL) {
    g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_NO_DEVICE,
        "GStreamer does not take the primary context of CUDA device %d; "
        "GST_DEBUG=cuda*:4 says why", gpudl_device_get_id (device));
    return FALSE;
  }
  g_object_set_data_full (G_OBJECT (context), OWNER_KEY,
      g_steal_pointer (&device), (GDestroyNotify) gpudl_device_unref);
  tell (element, context);
  gst_object_unref (context);
  return TRUE;
}

gboolean
gst_gpudl_cuda_ensure (GstGpudlCuda * cuda, GstElement * element,
    gint device_id, void (*opening) (GstElement * element), GError ** error)
{
  if (!have_driver (element))
    return TRUE;
  if (!has_context (cuda))
    ask_neighbour (element, GST_PAD_SRC);
  if (!has_context (cuda))
    ask_neighbour (element, GST_PAD_SINK);
  if (!has_context (cuda))
    gst_element_post_message (element,
        gst_message_new_need_context (GST_OBJECT (element),
            GST_CUDA_CONTEXT_TYPE));
  if (has_context (cuda))
    return TRUE;
  if (opening != NULL)
    opening (element);
  return take_primary (element, device_id, error);
}

void
gst_gpudl_cuda_clear (GstGpudlCuda * cuda)
{
  GstObject *context;

  g_mutex_lock (&context_lock);
  context = g_steal_pointer (&cuda->context);
  g_mutex_unlock (&context_lock);
  gst_clear_object (&context);
}

void
gst_gpudl_cuda_set_context (GstGpudlCuda * cuda, GstElement * element,
    gint device_id, GstContext * context)
{
  GstCudaContext *found = NULL;

  if (!gst_cuda_handle_set_context (element, context, device_id, &found)
      || found == NULL)
    return;
  g_mutex_lock (&context_lock);
  if (cuda->context == NULL) {
    cuda->context = GST_OBJECT (found);
    found = NULL;
  }
  g_mutex_unlock (&context_lock);
  gst_clear_object (&found);
}

gboolean
gst_gpudl_cuda_handle_query (GstGpudlCuda * cuda, GstElement * element,
    GstQuery * query)
{
  g_autoptr (GstObject) context = (GstObject *) get_context (cuda);

  return context != NULL
      && gst_cuda_handle_context_query (element, query,
      (GstCudaContext *) context);
}

/* ---- devices ------------------------------------------------------------- */

static GpudlDevice *
acquire_device (GstCudaContext * context, GError ** error)
{
  return gpudl_device_acquire (BACKEND, get_device_id (context),
      gst_cuda_context_get_handle (context), gst_object_unref,
      gst_object_ref (context), error);
}

gboolean
gst_gpudl_cuda_get_device (GstGpudlCuda * cuda, gint device_id,
    GpudlDevice ** device, GError ** error)
{
  g_autoptr (GstObject) context = (GstObject *) get_context (cuda);

  *device = NULL;
  if (context == NULL || (device_id >= 0
          && get_device_id ((GstCudaContext *) context) != device_id))
    return TRUE;
  *device = acquire_device ((GstCudaContext *) context, error);
  return *device != NULL;
}

/* The buffer's memory, if it is of CUDA and all that there is. */
static GstCudaMemory *
get_memory (GstBuffer * buffer)
{
  GstMemory *memory = gst_buffer_n_memory (buffer) == 1 ?
      gst_buffer_peek_memory (buffer, 0) : NULL;

  return gst_is_cuda_memory (memory) ? GST_CUDA_MEMORY_CAST (memory) : NULL;
}

gboolean
gst_gpudl_cuda_get_buffer_device (GstBuffer * buffer, gint device_id,
    GpudlDevice * in_use, GpudlDevice ** device, GError ** error)
{
  GstCudaMemory *memory = get_memory (buffer);

  *device = NULL;
  if (memory == NULL || gpudl_device_get_context (in_use) ==
      gst_cuda_context_get_handle (memory->context))
    return TRUE;
  if (device_id >= 0 && get_device_id (memory->context) != device_id) {
    g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
        "a frame lies in the memory of CUDA device %d, and property "
        "'cuda-device-id' is %d: decode on that one, put cudadownload before "
        "the element, or leave the property unset",
        get_device_id (memory->context), device_id);
    return FALSE;
  }
  *device = acquire_device (memory->context, error);
  return *device != NULL;
}

/* ---- frames --------------------------------------------------------------- */

static CUstream
get_stream (GstCudaMemory * memory)
{
  GstCudaStream *stream = GST_GPUDL_CUDA_HAS_STREAMS ?
      gst_cuda_memory_get_stream (memory) : NULL;

  return stream != NULL ? gst_cuda_stream_get_handle (stream) : NULL;
}

static gboolean
fail_memory (GstBuffer * buffer, GError ** error)
{
  const guint n = gst_buffer_n_memory (buffer);

  g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
      "buffer has %u memories%s%s, expected one of type "
      GST_CUDA_MEMORY_TYPE_NAME " as its caps say (%s)", n,
      n > 0 ? ", the first of type " : "",
      n > 0 ? gst_buffer_peek_memory (buffer, 0)->allocator->mem_type : "",
      GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY);
  return FALSE;
}

/* Rows in CUDA memory are padded: where no GstVideoMeta says how, the memory
 * knows. */
static gboolean
lay_out (GstVideoInfo * info, const GstCudaMemory * memory, GError ** error)
{
  const GstVideoInfo *there = &memory->info;

  if (GST_VIDEO_INFO_FORMAT (there) != GST_VIDEO_INFO_FORMAT (info)
      || GST_VIDEO_INFO_WIDTH (there) != GST_VIDEO_INFO_WIDTH (info)
      || GST_VIDEO_INFO_HEIGHT (there) != GST_VIDEO_INFO_HEIGHT (info)) {
    g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
        "buffer's CUDA memory is of %s %dx%d, and no GstVideoMeta says how %s "
        "%dx%d lies in it", GST_VIDEO_INFO_NAME (there),
        GST_VIDEO_INFO_WIDTH (there), GST_VIDEO_INFO_HEIGHT (there),
        GST_VIDEO_INFO_NAME (info), GST_VIDEO_INFO_WIDTH (info),
        GST_VIDEO_INFO_HEIGHT (info));
    return FALSE;
  }
  info->size = there->size;
  for (guint i = 0; i < GST_VIDEO_INFO_N_PLANES (info); i++) {
    info->offset[i] = there->offset[i];
    info->stride[i] = there->stride[i];
  }
  return TRUE;
}

gboolean
gst_gpudl_cuda_map (GstVideoFrame * video, const GstVideoInfo * info,
    GstBuffer * buffer, GpudlFrame * frame, GError ** error)
{
  GstCudaMemory *memory = get_memory (buffer);
  GstVideoInfo layout = *info;

  if (memory == NULL)
    return fail_memory (buffer, error);
  if (gst_buffer_get_video_meta (buffer) == NULL
      && !lay_out (&layout, memory, error))
    return FALSE;
  /* checks addresses, and reads nothing */
  if (!gpudl_video_map (video, &layout, buffer,
          (GstMapFlags) (GST_MAP_CUDA | GST_VIDEO_FRAME_MAP_FLAG_NO_REF),
          error))
    return FALSE;
  frame->cuda_context = gst_cuda_context_get_handle (memory->context);
  frame->cuda_stream = get_stream (memory);
  return TRUE;
}

/* ---- pool ------------------------------------------------------------------ */

static gboolean
can_make (GstCaps * caps)
{
  g_autoptr (GstCaps) known =
      gst_caps_from_string ("video/x-raw(" GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY
      "), format = (string) " POOL_FORMATS);

  return gst_caps_can_intersect (caps, known);
}

GstBufferPool *
gst_gpudl_cuda_pool_new (GstGpudlCuda * cuda, GpudlDevice * in_use,
    GstCaps * caps, guint min, guint max)
{
  g_autoptr (GstObject) context = (GstObject *) get_context (cuda);
  g_autoptr (GstBufferPool) pool = NULL;
  GstStructure *config;
  GstVideoInfo info;

  if (context == NULL
      || gst_cuda_context_get_handle ((GstCudaContext *) context) !=
      gpudl_device_get_context (in_use) || !can_make (caps)
      || !gst_video_info_from_caps (&info, caps))
    return NULL;
  gst_cuda_memory_init_once ();
  pool = gst_cuda_buffer_pool_new ((GstCudaContext *) context);
  config = gst_buffer_pool_get_config (pool);
  gst_buffer_pool_config_set_params (config, caps, info.size, min, max);
  gst_buffer_pool_config_add_option (config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  return gst_buffer_pool_set_config (pool, config) ?
      g_steal_pointer (&pool) : NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlsettings.h"

#include <string.h>

#define DEFAULT_TOP_K 5
#define MAX_TOP_K 65536
#define MAX_CPU_THREADS 1024
#define MAX_BATCH_SIZE 256

void
gst_gpudl_settings_get_config (const GstGpudlSettings * settings,
    GpudlSessionConfig * config)
{
  static const gchar *const backends[] = { "auto", "cuda", "cpu", "ref" };
  /* none that measures while loading: PLAYING would wait for minutes */
  static const GpudlAutotune autotunes[] = { GPUDL_AUTOTUNE_OFF,
    GPUDL_AUTOTUNE_KNOWN, GPUDL_AUTOTUNE_CACHED
  };

  memset (config, 0, sizeof (*config));
  config->struct_size = sizeof (*config);
  config->backend = backends[settings->backend];
  config->precision = settings->precision;
  config->activation = settings->activation;
  config->cpu_threads = settings->cpu_threads;
  config->batch_size = settings->batch_size;
  config->autotune = autotunes[settings->autotune];
  config->cache_dir = settings->cache_dir;
  config->memory_limit = settings->memory_limit;
  config->deterministic = settings->deterministic;
  config->cuda_device_id = settings->cuda_device_id;
}

gboolean
gst_gpudl_settings_get_import (const GstGpudlSettings * settings,
    GpudlImportOptions * options, GError ** error)
{
  const gchar *size = settings->input_size;
  guint64 height = 0, width = 0;
  gchar *end = NULL;

  memset (options, 0, sizeof (*options));
  options->struct_size = sizeof (*options);
  if (size == NULL || *size == '\0')
    return TRUE;
  if (g_ascii_isdigit (size[0]))
    height = g_ascii_strtoull (size, &end, 10);
  if (end != NULL && *end == 'x' && g_ascii_isdigit (end[1]))
    width = g_ascii_strtoull (end + 1, &end, 10);
  if (end == NULL || *end != '\0' || height < 1 || height > G_MAXINT
      || width < 1 || width > G_MAXINT) {
    g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
        "property 'input-size' is '%s', expected HEIGHTxWIDTH, e.g. 224x224",
        size);
    return FALSE;
  }
  options->input_height = height;
  options->input_width = width;
  return TRUE;
}

void
gst_gpudl_settings_init (GstGpudlSettings * settings)
{
  memset (settings, 0, sizeof (*settings));
  settings->top_k = DEFAULT_TOP_K;
  settings->cuda_device_id = -1;
  settings->autotune = GST_GPUDL_AUTOTUNE_FULL;
  settings->mean = g_array_new (FALSE, FALSE, sizeof (gdouble));
  settings->std = g_array_new (FALSE, FALSE, sizeof (gdouble));
}

void
gst_gpudl_settings_clear (GstGpudlSettings * settings)
{
  g_clear_pointer (&settings->model, g_free);
  g_clear_pointer (&settings->labels_file, g_free);
  g_clear_pointer (&settings->cache_dir, g_free);
  g_clear_pointer (&settings->input_size, g_free);
  g_clear_pointer (&settings->mean, g_array_unref);
  g_clear_pointer (&settings->std, g_array_unref);
}

void
gst_gpudl_settings_copy (GstGpudlSettings * copy,
    const GstGpudlSettings * settings)
{
  gst_gpudl_settings_clear (copy);
  *copy = *settings;
  copy->model = g_strdup (settings->model);
  copy->labels_file = g_strdup (settings->labels_file);
  copy->cache_dir = g_strdup (settings->cache_dir);
  copy->input_size = g_strdup (settings->input_size);
  copy->mean = g_array_copy (settings->mean);
  copy->std = g_array_copy (settings->std);
}

static void
install_ready (GObjectClass * klass)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
      GST_PARAM_MUTABLE_READY;

  g_object_class_install_property (klass, GST_GPUDL_PROP_MODEL,
      g_param_spec_string ("model", "Model",
          "Model file: net.bin, .onnx, .pt2, .pt, .tflite, .pb, .prototxt or "
          ".caffemodel (told apart by content)", NULL, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_INPUT_SIZE,
      g_param_spec_string ("input-size", "Input size",
          "Height x width, e.g. 224x224, of the input of a model that leaves "
          "them free (unset = the model's)", NULL, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_BACKEND,
      g_param_spec_enum ("backend", "Backend",
          "What computes; a backend asked for by name is that one or an error",
          GST_TYPE_GPUDL_BACKEND, GST_GPUDL_BACKEND_AUTO, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_PRECISION,
      g_param_spec_enum ("precision", "Precision",
          "Arithmetic of the network; what the backend can't do is an error",
          GST_TYPE_GPUDL_PRECISION, GPUDL_PRECISION_AUTO, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_CPU_THREADS,
      g_param_spec_uint ("cpu-threads", "CPU threads",
          "Workers of the CPU backend, a frame each (0 = one per core)",
          0, MAX_CPU_THREADS, 0, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_ACTIVATION,
      g_param_spec_enum ("activation", "Activation",
          "What makes confidences of the network's last values",
          GST_TYPE_GPUDL_ACTIVATION, GPUDL_ACTIVATION_AUTO, flags));
  /* No element spec: with one, GStreamer before 1.24 silently replaces the
   * integers of "<0,0,0>" by the element's default. */
  g_object_class_install_property (klass, GST_GPUDL_PROP_MEAN,
      gst_param_spec_array ("mean", "Mean",
          "Subtracted from pixel / pixel-scale: one number, as <0.5>, or one per "
          "channel in the network's own order, as <0.485,0.456,0.406> (empty = "
          "the model's)", NULL, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_STD,
      gst_param_spec_array ("std", "Standard deviation",
          "Divides what is left after mean: one number, as <0.5>, or one per "
          "channel in the network's own order, as <0.229,0.224,0.225> (empty = "
          "the model's)", NULL, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_PIXEL_SCALE,
      g_param_spec_double ("pixel-scale", "Pixel scale",
          "Divides the pixels of 0..255 before mean and std: 255 for networks "
          "trained on 0..1, 1 for 0..255 (0 = the model's)",
          0, 65535, 0, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_CHANNEL_ORDER,
      g_param_spec_enum ("channel-order", "Channel order",
          "Order of the channels that the network was trained with",
          GST_TYPE_GPUDL_CHANNEL_ORDER, GPUDL_CHANNELS_AUTO, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_ASYNC_DEPTH,
      g_param_spec_uint ("async-depth", "Asynchronous depth",
          "Frames in the element at most, 1 = one after the other (0 = as many "
          "as the backend needs to be always busy)",
          0, GST_GPUDL_MAX_DEPTH, 0, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_BATCH_SIZE,
      g_param_spec_uint ("batch-size", "Batch size",
          "Frames computed together at most, of all elements that share the "
          "model; the CPU takes one (0 = the backend's choice)",
          0, MAX_BATCH_SIZE, 0, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_CUDA_DEVICE_ID,
      g_param_spec_int ("cuda-device-id", "CUDA device",
          "The GPU, counted from 0; frames in the memory of another one are an "
          "error (-1 = that of the frames or neighbours, else the first)",
          -1, G_MAXINT, -1, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_AUTOTUNE,
      g_param_spec_enum ("autotune", "Automatic tuning",
          "How implementations are chosen; a start on a GPU waits for no "
          "measurement, one on the CPU for half a second at most ('gpudl tune' "
          "measures before)",
          GST_TYPE_GPUDL_AUTOTUNE, GST_GPUDL_AUTOTUNE_FULL, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_CACHE_DIR,
      g_param_spec_string ("cache-dir", "Cache directory",
          "Where what was measured is kept (unset = $GPUDL_CACHE_DIR, else "
          "gpudl in the user's cache folder; empty = nowhere)", NULL, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_MEMORY_LIMIT,
      g_param_spec_uint64 ("memory-limit", "Memory limit",
          "Bytes of weights and work memory; a network that needs more is an "
          "error at start (0 = no limit)", 0, G_MAXUINT64, 0, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_DETERMINISTIC,
      g_param_spec_boolean ("deterministic", "Deterministic",
          "Only implementations that give the same values each time; the CPU's "
          "always do", FALSE, flags));
}

static void
install_playing (GObjectClass * klass)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
      GST_PARAM_MUTABLE_PLAYING;

  g_object_class_install_property (klass, GST_GPUDL_PROP_LABELS_FILE,
      g_param_spec_string ("labels-file", "Labels file",
          "One label a line, UTF-8, a line for every class (unset or empty = "
          "those in the model, else the class number); a file that can't be used is an "
          "error at start, a warning and no change later", NULL, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_TOP_K,
      g_param_spec_uint ("top-k", "Top k",
          "Classes attached at most, best first (0 = all)",
          0, MAX_TOP_K, DEFAULT_TOP_K, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_THRESHOLD,
      g_param_spec_float ("threshold", "Threshold",
          "Classes with a smaller confidence are left out (0 = none is)",
          0, 1, 0, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_RESIZE_MODE,
      g_param_spec_enum ("resize-mode", "Resize mode",
          "How the picture is fitted to the network's input",
          GST_TYPE_GPUDL_RESIZE_MODE, GPUDL_RESIZE_AUTO, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_CROP_FRACTION,
      g_param_spec_float ("crop-fraction", "Crop fraction",
          "Part of the short side that center-crop takes, of both sides that "
          "squash does, of the long one that border does (0 = the model's)",
          0, 1, 0, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_PAD_COLOR,
      g_param_spec_uint ("pad-color", "Pad color",
          "Colour around the picture of letterbox and border, 0xRRGGBB; the "
          "model's own until this is set", 0, 0xffffff, 0x000000, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_SCALE_METHOD,
      g_param_spec_enum ("scale-method", "Scale method",
          "Filter for scaling the picture to the network's input",
          GST_TYPE_GPUDL_SCALE_METHOD, GPUDL_SCALE_AUTO, flags));
  g_object_class_install_property (klass, GST_GPUDL_PROP_POST_MESSAGES,
      g_param_spec_enum ("post-messages", "Post messages",
          "Which results are posted on the bus as element message "
          "gpudlinfer-result", GST_TYPE_GPUDL_POST_MESSAGES,
          GST_GPUDL_POST_MESSAGES_NONE, flags));
}

void
gst_gpudl_settings_install (GObjectClass * klass)
{
  install_ready (klass);
  install_playing (klass);

  gst_type_mark_as_plugin_api (GST_TYPE_GPUDL_BACKEND, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_GPUDL_PRECISION, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_GPUDL_ACTIVATION, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_GPUDL_RESIZE_MODE, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_GPUDL_SCALE_METHOD, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_GPUDL_CHANNEL_ORDER, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_GPUDL_POST_MESSAGES, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_GPUDL_AUTOTUNE, 0);
}

/* Numbers of any type become doubles. Something else refuses the whole value,
 * so that no half of an array is ever used. */
static void
set_doubles (GArray * array, const GValue * value, const gchar * property)
{
  guint n = gst_value_array_get_size (value);
  g_autoptr (GArray) numbers =
      g_array_sized_new (FALSE, FALSE, sizeof (gdouble), n);

  for (guint i = 0; i < n; i++) {
    const GValue *entry = gst_value_array_get_value (value, i);
    GValue number = G_VALUE_INIT;
    gdouble d;

    g_value_init (&number, G_TYPE_DOUBLE);
    if (G_VALUE_HOLDS_STRING (entry) || !g_value_transform (entry, &number)) {
      g_warning ("gpudlinfer: property '%s': entry %u is a %s, a number is "
          "expected; the property is left as it was", property, i,
          G_VALUE_TYPE_NAME (entry));
      return;
    }
    d = g_value_get_double (&number);
    g_array_append_val (numbers, d);
  }
  g_array_set_size (array, 0);
  g_array_append_vals (array, numbers->data, numbers->len);
}

static void
get_doubles (const GArray * array, GValue * value)
{
  for (guint i = 0; i < array->len; i++) {
    GValue number = G_VALUE_INIT;

    g_value_init (&number, G_TYPE_DOUBLE);
    g_value_set_double (&number, g_array_index (array, gdouble, i));
    gst_value_array_append_and_take_value (value, &number);
  }
}

gboolean
gst_gpudl_settings_set (GstGpudlSettings * settings, guint prop_id,
    const GValue * value)
{
  switch (prop_id) {
    case GST_GPUDL_PROP_MODEL:
      g_free (settings->model);
      settings->model = g_value_dup_string (value);
      break;
    case GST_GPUDL_PROP_INPUT_SIZE:
      g_free (settings->input_size);
      settings->input_size = g_value_dup_string (value);
      break;
    case GST_GPUDL_PROP_LABELS_FILE:
      g_free (settings->labels_file);
      settings->labels_file = g_value_dup_string (value);
      settings->labels_serial++;
      break;
    case GST_GPUDL_PROP_BACKEND:
      settings->backend = g_value_get_enum (value);
      break;
    case GST_GPUDL_PROP_PRECISION:
      settings->precision = g_value_get_enum (value);
      break;
    case GST_GPUDL_PROP_CPU_THREADS:
      settings->cpu_threads = g_value_get_uint (value);
      break;
    case GST_GPUDL_PROP_TOP_K:
      settings->top_k = g_value_get_uint (value);
      break;
    case GST_GPUDL_PROP_THRESHOLD:
      settings->threshold = g_value_get_float (value);
      break;
    case GST_GPUDL_PROP_ACTIVATION:
      settings->activation = g_value_get_enum (value);
      break;
    case GST_GPUDL_PROP_RESIZE_MODE:
      settings->resize_mode = g_value_get_enum (value);
      settings->preproc_serial++;
      break;
    case GST_GPUDL_PROP_CROP_FRACTION:
      settings->crop_fraction = g_value_get_float (value);
      settings->preproc_serial++;
      break;
    case GST_GPUDL_PROP_PAD_COLOR:
      settings->pad_color = g_value_get_uint (value);
      settings->pad_color_set = TRUE;
      settings->preproc_serial++;
      break;
    case GST_GPUDL_PROP_SCALE_METHOD:
      settings->scale_method = g_value_get_enum (value);
      settings->preproc_serial++;
      break;
    case GST_GPUDL_PROP_MEAN:
      set_doubles (settings->mean, value, "mean");
      break;
    case GST_GPUDL_PROP_STD:
      set_doubles (settings->std, value, "std");
      break;
    case GST_GPUDL_PROP_PIXEL_SCALE:
      settings->pixel_scale = g_value_get_double (value);
      break;
    case GST_GPUDL_PROP_CHANNEL_ORDER:
      settings->channel_order = g_value_get_enum (value);
      break;
    case GST_GPUDL_PROP_ASYNC_DEPTH:
      settings->async_depth = g_value_get_uint (value);
      break;
    case GST_GPUDL_PROP_BATCH_SIZE:
      settings->batch_size = g_value_get_uint (value);
      break;
    case GST_GPUDL_PROP_CUDA_DEVICE_ID:
      settings->cuda_device_id = g_value_get_int (value);
      break;
    case GST_GPUDL_PROP_AUTOTUNE:
      settings->autotune = g_value_get_enum (value);
      break;
    case GST_GPUDL_PROP_CACHE_DIR:
      g_free (settings->cache_dir);
      settings->cache_dir = g_value_dup_string (value);
      break;
    case GST_GPUDL_PROP_MEMORY_LIMIT:
      settings->memory_limit = g_value_get_uint64 (value);
      break;
    case GST_GPUDL_PROP_DETERMINISTIC:
      settings->deterministic = g_value_get_boolean (value);
      break;
    case GST_GPUDL_PROP_POST_MESSAGES:
      settings->post_messages = g_value_get_enum (value);
      break;
    default:
      return FALSE;
  }
  return TRUE;
}

gboolean
gst_gpudl_settings_get (const GstGpudlSettings * settings, guint prop_id,
    GValue * value)
{
  switch (prop_id) {
    case GST_GPUDL_PROP_MODEL:
      g_value_set_string (value, settings->model);
      break;
    case GST_GPUDL_PROP_INPUT_SIZE:
      g_value_set_string (value, settings->input_size);
      break;
    case GST_GPUDL_PROP_LABELS_FILE:
      g_value_set_string (value, settings->labels_file);
      break;
    case GST_GPUDL_PROP_BACKEND:
      g_value_set_enum (value, settings->backend);
      break;
    case GST_GPUDL_PROP_PRECISION:
      g_value_set_enum (value, settings->precision);
      break;
    case GST_GPUDL_PROP_CPU_THREADS:
      g_value_set_uint (value, settings->cpu_threads);
      break;
    case GST_GPUDL_PROP_TOP_K:
      g_value_set_uint (value, settings->top_k);
      break;
    case GST_GPUDL_PROP_THRESHOLD:
      g_value_set_float (value, settings->threshold);
      break;
    case GST_GPUDL_PROP_ACTIVATION:
      g_value_set_enum (value, settings->activation);
      break;
    case GST_GPUDL_PROP_RESIZE_MODE:
      g_value_set_enum (value, settings->resize_mode);
      break;
    case GST_GPUDL_PROP_CROP_FRACTION:
      g_value_set_float (value, settings->crop_fraction);
      break;
    case GST_GPUDL_PROP_PAD_COLOR:
      g_value_set_uint (value, settings->pad_color);
      break;
    case GST_GPUDL_PROP_SCALE_METHOD:
      g_value_set_enum (value, settings->scale_method);
      break;
    case GST_GPUDL_PROP_MEAN:
      get_doubles (settings->mean, value);
      break;
    case GST_GPUDL_PROP_STD:
      get_doubles (settings->std, value);
      break;
    case GST_GPUDL_PROP_PIXEL_SCALE:
      g_value_set_double (value, settings->pixel_scale);
      break;
    case GST_GPUDL_PROP_CHANNEL_ORDER:
      g_value_set_enum (value, settings->channel_order);
      break;
    case GST_GPUDL_PROP_ASYNC_DEPTH:
      g_value_set_uint (value, settings->async_depth);
      break;
    case GST_GPUDL_PROP_BATCH_SIZE:
      g_value_set_uint (value, settings->batch_size);
      break;
    case GST_GPUDL_PROP_CUDA_DEVICE_ID:
      g_value_set_int (value, settings->cuda_device_id);
      break;
    case GST_GPUDL_PROP_AUTOTUNE:
      g_value_set_enum (value, settings->autotune);
      break;
    case GST_GPUDL_PROP_CACHE_DIR:
      g_value_set_string (value, settings->cache_dir);
      break;
    case GST_GPUDL_PROP_MEMORY_LIMIT:
      g_value_set_uint64 (value, settings->memory_limit);
      break;
    case GST_GPUDL_PROP_DETERMINISTIC:
      g_value_set_boolean (value, settings->deterministic);
      break;
    case GST_GPUDL_PROP_POST_MESSAGES:
      g_value_set_enum (value, settings->post_messages);
      break;
    default:
      return FALSE;
  }
  return TRUE;
}

gboolean
gst_gpudl_settings_change (GstGpudlSettings * settings, GParamSpec * pspec,
    const GValue * value, gboolean * changed)
{
  GValue before = G_VALUE_INIT, after = G_VALUE_INIT;
  gboolean ok;

  g_value_init (&before, pspec->value_type);
  g_value_init (&after, pspec->value_type);
  ok = gst_gpudl_settings_get (settings, pspec->param_id, &before)
      && gst_gpudl_settings_set (settings, pspec->param_id, value)
      && gst_gpudl_settings_get (settings, pspec->param_id, &after);
  *changed = ok && gst_value_compare (&before, &after) != GST_VALUE_EQUAL;
  g_value_unset (&before);
  g_value_unset (&after);
  return ok;
}

gboolean
gst_gpudl_settings_differ (const GstGpudlSettings * a,
    const GstGpudlSettings * b, GParamSpec * pspec)
{
  GValue of_a = G_VALUE_INIT, of_b = G_VALUE_INIT;
  gboolean differ;

  g_value_init (&of_a, pspec->value_type);
  g_value_init (&of_b, pspec->value_type);
  differ = gst_gpudl_settings_get (a, pspec->param_id, &of_a)
      && gst_gpudl_settings_get (b, pspec->param_id, &of_b)
      && gst_value_compare (&of_a, &of_b) != GST_VALUE_EQUAL;
  g_value_unset (&of_a);
  g_value_unset (&of_b);
  return differ;
}

static gboolean
resolve_channels (const GArray * numbers, const gchar * property, gint channels,
    float *out, GError ** error)
{
  if (numbers->len == 0)
    return TRUE;
  if (numbers->len != 1 && numbers->len != (guint) channels) {
    g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
        "property '%s' has %u values, the network has %d channels", property,
        numbers->len, channels);
    return FALSE;
  }
  for (gint i = 0; i < channels; i++)
    out[i] = g_array_index (numbers, gdouble, numbers->len == 1 ? 0 : i);
  return TRUE;
}

gboolean
gst_gpudl_settings_resolve (const GstGpudlSettings * settings,
    const GstGpudlSettings * started, const GpudlPreproc * model,
    GpudlPreproc * preproc, GError ** error)
{
  const gchar *wrong;

  *preproc = *model;
  if (settings->resize_mode != GPUDL_RESIZE_AUTO)
    preproc->resize_mode = settings->resize_mode;
  if (settings->crop_fraction > 0)
    preproc->crop_fraction = settings->crop_fraction;
  if (settings->pad_color_set)
    preproc->pad_color = settings->pad_color;
  if (settings->scale_method != GPUDL_SCALE_AUTO)
    preproc->scale_method = settings->scale_method;
  if (started->pixel_scale > 0)
    preproc->pixel_scale = started->pixel_scale;
  if (started->channel_order != GPUDL_CHANNELS_AUTO)
    preproc->channel_order = started->channel_order;
  if (!resolve_channels (started->mean, "mean", model->channels, preproc->mean,
          error)
      || !resolve_channels (started->std, "std", model->channels, preproc->std,
          error))
    return FALSE;

  if ((preproc->channel_order == GPUDL_CHANNELS_GRAY) !=
      (preproc->channels == 1)) {
    g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
        "property 'channel-order' is %s, the network has %d channel%s",
        preproc->channel_order == GPUDL_CHANNELS_GRAY ? "gray" :
        preproc->channel_order == GPUDL_CHANNELS_RGB ? "rgb" : "bgr",
        preproc->channels, preproc->channels == 1 ? "" : "s");
    return FALSE;
  }
  wrong = gpudl_preproc_check (preproc);
  if (wrong != NULL) {
    g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
        "pre-processing: %s", wrong);
    return FALSE;
  }
  return TRUE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * gpudlinfer as an element: properties, caps and queries.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"
#include "plugin/gstgpudloverlay.h"

#include <string.h>

static const gchar *model_path;

/* ---- properties --------------------------------------------------------- */

typedef struct
{
  const gchar *name, *value;    /* default, as GStreamer writes it; NULL: none */
  GParamFlags mutability;
} Property;

static const Property infer_properties[] = {
  {"model", NULL, GST_PARAM_MUTABLE_READY},
  {"labels-file", NULL, GST_PARAM_MUTABLE_PLAYING},
  {"backend", "auto", GST_PARAM_MUTABLE_READY},
  {"precision", "auto", GST_PARAM_MUTABLE_READY},
  {"cpu-threads", "0", GST_PARAM_MUTABLE_READY},
  {"top-k", "5", GST_PARAM_MUTABLE_PLAYING},
  {"threshold", "0", GST_PARAM_MUTABLE_PLAYING},
  {"activation", "auto", GST_PARAM_MUTABLE_READY},
  {"resize-mode", "auto", GST_PARAM_MUTABLE_PLAYING},
  {"crop-fraction", "0", GST_PARAM_MUTABLE_PLAYING},
  {"pad-color", "0", GST_PARAM_MUTABLE_PLAYING},
  {"scale-method", "auto", GST_PARAM_MUTABLE_PLAYING},
  {"mean", "<  >", GST_PARAM_MUTABLE_READY},
  {"std", "<  >", GST_PARAM_MUTABLE_READY},
  {"pixel-scale", "0", GST_PARAM_MUTABLE_READY},
  {"channel-order", "auto", GST_PARAM_MUTABLE_READY},
  {"async-depth", "0", GST_PARAM_MUTABLE_READY},
  {"batch-size", "0", GST_PARAM_MUTABLE_READY},
  {"cuda-device-id", "-1", GST_PARAM_MUTABLE_READY},
  {"autotune", "full", GST_PARAM_MUTABLE_READY},
  {"cache-dir", NULL, GST_PARAM_MUTABLE_READY},
  {"input-size", NULL, GST_PARAM_MUTABLE_READY},
  {"memory-limit", "0", GST_PARAM_MUTABLE_READY},
  {"deterministic", "false", GST_PARAM_MUTABLE_READY},
  {"post-messages", "none", GST_PARAM_MUTABLE_PLAYING},
  {"stats", NULL, 0},
  {"model-info", NULL, 0},
  {"labels", NULL, 0},
};

static const Property overlay_properties[] = {
  {"position", "top-left", GST_PARAM_MUTABLE_PLAYING},
  {"size", "0.050000000000000003", GST_PARAM_MUTABLE_PLAYING},
  {"count", "3", GST_PARAM_MUTABLE_PLAYING},
  {"model", NULL, GST_PARAM_MUTABLE_PLAYING},
};

static void
check_property (GObject * object, const Property * property)
{
  const GParamFlags both = GST_PARAM_MUTABLE_READY | GST_PARAM_MUTABLE_PLAYING;
  GParamSpec *spec = g_object_class_find_property (G_OBJECT_GET_CLASS (object),
      property->name);
  g_autofree gchar *text = NULL;
  GValue value = G_VALUE_INIT;

  g_assert_nonnull (spec);
  g_assert_cmpuint (strlen (g_param_spec_get_nick (spec)), >=, 3);
  g_assert_cmpuint (strlen (g_param_spec_get_blurb (spec)), >=, 10);
  g_assert_cmpuint (spec->flags & both, ==, property->mutability);
  g_assert_cmpint (!!(spec->flags & G_PARAM_WRITABLE), ==,
      property->mutability != 0);

  if (property->mutability == 0)
    return;
  g_value_init (&value, spec->value_type);
  g_object_get_property (object, property->name, &value);
  if (G_IS_PARAM_SPEC_ENUM (spec)) {
    const GEnumValue *nick =
        g_enum_get_value (G_ENUM_CLASS (g_type_class_peek (spec->value_type)),
        g_value_get_enum (&value));

    text = g_strdup (nick->value_nick);
  } else if (!G_VALUE_HOLDS_STRING (&value)
      || g_value_get_string (&value) != NULL) {
    text = gst_value_serialize (&value);
  }
  g_assert_cmpstr (text, ==, property->value);
  /* and what the object has is what the spec says */
  if (!GST_VALUE_HOLDS_ARRAY (&value))
    g_assert_true (g_param_value_defaults (spec, &value));
  g_value_unset (&value);
}

static void
check_properties (const gchar * factory, const Property * properties, guint n)
{
  GstElement *element = plugin_test_element (factory, NULL);
  g_autofree GParamSpec **specs = NULL;
  guint n_specs, own = 0;

  gst_object_ref_sink (element);
  for (guint i = 0; i < n; i++)
    check_property (G_OBJECT (element), &properties[i]);
  specs = g_object_class_list_properties (G_OBJECT_GET_CLASS (element),
      &n_specs);
  for (guint i = 0; i < n_specs; i++)
    own += specs[i]->owner_type == G_OBJECT_TYPE (element);
  g_assert_cmpuint (own, ==, n);        /* none that this table does not know */
  gst_object_unref (element);
}

static void
test_properties (void)
{
  plugin_fake_reset ();
  check_properties ("gpudlinfer", infer_properties,
      G_N_ELEMENTS (infer_properties));
  check_properties ("gpudloverlay", overlay_properties,
      G_N_ELEMENTS (overlay_properties));
}

static void
test_factory (void)
{
  static const gchar *const names[] = { "gpudlinfer", "gpudloverlay" };
  static const gchar *const klasses[] =
      { "Filter/Analyzer/Video", "Filter/Editor/Video" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (GstElementFactory) factory = gst_element_factory_find (names[i]);
    const GList *templates;

    g_assert_nonnull (factory);
    g_assert_cmpstr (gst_element_factory_get_metadata (factory,
            GST_ELEMENT_METADATA_KLASS), ==, klasses[i]);
    g_assert_cmpstr (gst_element_factory_get_metadata (factory,
            GST_ELEMENT_METADATA_DOC_URI), ==, "https://docs.invalid/gpudl");
    g_assert_cmpuint (gst_element_factory_get_num_pad_templates (factory), ==,
        2);
    templates = gst_element_factory_get_static_pad_templates (factory);
    for (; templates != NULL; templates = templates->next) {
      GstStaticPadTemplate *template = templates->data;

      g_assert_cmpint (template->presence, ==, GST_PAD_ALWAYS);
      g_assert_cmpstr (template->name_template, ==,
          template->direction == GST_PAD_SINK ? "sink" : "src");
    }
  }
}

/* Integers in an array count as numbers, on every version of GStreamer. */
static void
test_arrays_from_launch (void)
{
  static const struct
  {
    const gchar *text;
    gdouble values[3];
    guint n;
  } cases[] = {
    {"<0.485,0.456,0.406>", {0.485, 0.456, 0.406}, 3},
    {"<127,116,104>", {127, 116, 104}, 3},
    {"<0.5,1,0>", {0.5, 1, 0}, 3},
    {"<127.5>", {127.5}, 1},
  };

  plugin_fake_reset ();
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *line = g_strdup_printf ("gpudlinfer mean=%s",
        cases[i].text);
    g_autoptr (GError) error = NULL;
    GstElement *element = gst_parse_launch (line, &error);
    GValue value = G_VALUE_INIT;

    g_assert_no_error (error);
    gst_object_ref_sink (element);
    g_value_init (&value, GST_TYPE_ARRAY);
    g_object_get_property (G_OBJECT (element), "mean", &value);
    g_assert_cmpuint (gst_value_array_get_size (&value), ==, cases[i].n);
    for (guint j = 0; j < cases[i].n; j++)
      g_assert_cmpfloat (g_value_get_double (gst_value_array_get_value (&value,
                  j)), ==, cases[i].values[j]);
    g_value_unset (&value);
    gst_object_unref (element);
  }
}

static void
test_array_of_strings_is_refused (void)
{
  GstElement *element = plugin_test_element ("gpudlinfer", "mean=<1,2,3>",
      NULL);
  GValue value = G_VALUE_INIT;

  gst_object_ref_sink (element);
  g_test_expect_message (NULL, G_LOG_LEVEL_WARNING, "*'mean'*entry 0*");
  gst_util_set_object_arg (G_OBJECT (element), "mean", "<one,two,three>");
  g_test_assert_expected_messages ();
  g_value_init (&value, GST_TYPE_ARRAY);
  g_object_get_property (G_OBJECT (element), "mean", &value);
  g_assert_cmpfloat (g_value_get_double (gst_value_array_get_value (&value, 2)),
      ==, 3);
  g_value_unset (&value);
  gst_object_unref (element);
}

/* Warnings that a property counts from the next start; the GPU that these tests
 * name may have been told to be without effect. */
static guint
count_late (GstHarness * h, const gchar * property)
{
  g_autofree gchar *words = g_strdup_printf ("'%s'", property);
  g_autoptr (GstBus) bus = gst_element_get_bus (h->element);
  GstMessage *message;
  guint n = 0;

  while ((message = gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING)) != NULL) {
    g_autoptr (GError) error = NULL;

    gst_message_parse_warning (message, &error, NULL);
    g_assert_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS);
    gst_message_unref (message);
    if (strstr (error->message, "'cuda-device-id' has no effect") != NULL)
      continue;
    g_assert_nonnull (strstr (error->message, words));
    g_assert_nonnull (strstr (error->message, "next start"));
    n++;
  }
  return n;
}

static void
set_arg (GstHarness * h, const gchar * property, const gchar * value)
{
  gst_util_set_object_arg (G_OBJECT (h->element), property, value);
}

/* What is fixed above READY says so where it is set later, and only there. */
static void
test_late_settings (void)
{
  static const gchar *const fixed[][2] = {
    {"model", "nothing.bin"}, {"backend", "ref"}, {"precision", "fp8"},
    {"cpu-threads", "3"}, {"activation", "sigmoid"}, {"mean", "<7,8,9>"},
    {"std", "<7,8,9>"}, {"pixel-scale", "9"}, {"channel-order", "rgb"},
    {"async-depth", "3"}, {"batch-size", "2"}, {"autotune", "off"},
    {"cuda-device-id", "0"}, {"cache-dir", "/elsewhere"}, {"memory-limit",
        "1000000000"},
    {"deterministic", "true"}, {"input-size", "24x32"},
  };
  static const gchar *const changing[][2] = {
    {"top-k", "2"}, {"threshold", "0.1"}, {"resize-mode", "letterbox"},
    {"crop-fraction", "0.5"}, {"pad-color", "1"}, {"scale-method", "area"},
    {"post-messages", "all"},
  };
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness (model_path, "pixel-scale=2", "channel-order=bgr");
  for (guint i = 0; i < G_N_ELEMENTS (infer_properties); i++) {
    guint n = 0;

    for (guint j = 0; j < G_N_ELEMENTS (fixed); j++)
      n += g_str_equal (fixed[j][0], infer_properties[i].name);
    g_assert_cmpuint (n, ==, infer_properties[i].mutability ==
        GST_PARAM_MUTABLE_READY);
  }
  for (guint i = 0; i < G_N_ELEMENTS (fixed); i++) {
    GValue used = G_VALUE_INIT;

    g_object_get_property (G_OBJECT (h->element), fixed[i][0], &used);
    set_arg (h, fixed[i][0], fixed[i][1]);
    g_assert_cmpuint (count_late (h, fixed[i][0]), ==, 1);
    /* taken back, it is what is in use */
    g_object_set_property (G_OBJECT (h->element), fixed[i][0], &used);
    g_assert_cmpuint (count_late (h, fixed[i][0]), ==, 0);
    g_value_unset (&used);
  }
  for (guint i = 0; i < G_N_ELEMENTS (fixed); i++) {
    set_arg (h, fixed[i][0], fixed[i][1]);
    g_assert_cmpuint (count_late (h, fixed[i][0]), ==, 1);
    set_arg (h, fixed[i][0], fixed[i][1]);      /* the same again */
    g_assert_cmpuint (count_late (h, fixed[i][0]), ==, 0);
  }
  for (guint i = 0; i < G_N_ELEMENTS (changing); i++)
    set_arg (h, changing[i][0], changing[i][1]);
  g_assert_cmpuint (count_late (h, "none"), ==, 0);

  /* nothing of it is used: not by frames, after what may change has changed */
  gst_gpudl_classification_free (plugin_fake_classify (h, 3));
  g_assert_cmpfloat (fake->seen.last_preproc.mean[0], ==, 0.1f);
  g_assert_cmpfloat (fake->seen.last_preproc.std[2], ==, 3);
  g_assert_cmpfloat (fake->seen.last_preproc.pixel_scale, ==, 2);
  g_assert_cmpint (fake->seen.last_preproc.channel_order, ==,
      GPUDL_CHANNELS_BGR);
  g_assert_cmpint (fake->seen.last_preproc.resize_mode, ==,
      GPUDL_RESIZE_LETTERBOX);

  /* and all of it after a start; in READY nothing is said */
  gst_element_set_state (h->element, GST_STATE_READY);
  set_arg (h, "model", model_path);
  set_arg (h, "backend", fake_backend);
  set_arg (h, "precision", "auto");
  set_arg (h, "batch-size", "0");
  g_assert_cmpuint (count_late (h, "none"), ==, 0);
  gst_harness_play (h);
  gst_harness_set_src_caps_str (h, PLUGIN_TEST_GRAY);
  gst_gpudl_classification_free (plugin_fake_classify (h, 3));
  g_assert_cmpfloat (fake->seen.last_preproc.mean[0], ==, 7);
  g_assert_cmpfloat (fake->seen.last_preproc.pixel_scale, ==, 9);
  g_assert_cmpint (fake->seen.last_preproc.channel_order, ==,
      GPUDL_CHANNELS_RGB);
  g_assert_cmpint (fake->seen.last_open.activation, ==,
      GPUDL_ACTIVATION_SIGMOID);
  gst_element_set_state (h->element, GST_STATE_NULL);
  set_arg (h, "backend", "ref");
  g_assert_cmpuint (count_late (h, "none"), ==, 0);

  /* nor after a start that failed */
  set_arg (h, "model", plugin_test_missing ());
  g_assert_cmpint (gst_element_set_state (h->element, GST_STATE_PAUSED), ==,
      GST_STATE_CHANGE_FAILURE);
  set_arg (h, "model", "");
  g_assert_cmpint (gst_element_set_state (h->element, GST_STATE_PAUSED), ==,
      GST_STATE_CHANGE_FAILURE);
  set_arg (h, "model", model_path);
  g_assert_cmpuint (count_late (h, "none"), ==, 0);
  plugin_test_teardown (h);
}

/* ---- caps --------------------------------------------------------------- */

static void
test_refused_caps (void)
{
  static const gchar *const refused[] = {
    "video/x-raw,format=GRAY16_LE,width=4,height=4,framerate=1/1",
    "video/x-raw,format=AYUV,width=4,height=4,framerate=1/1",
    "video/x-raw,format=GRAY8,width=32769,height=4,framerate=1/1",
    "video/x-raw,format=GRAY8,width=4,height=32769,framerate=1/1",
    "video/x-raw(memory:GLMemory),format=RGBA,width=4,height=4,framerate=1/1",
    "video/x-raw,format=GRAY8,width=4,height=4,framerate=1/1,"
        "interlace-mode=fields",
    "video/x-raw(format:Interlaced),format=GRAY8,width=4,height=4,"
        "framerate=1/1,interlace-mode=alternate",
    "image/jpeg,width=4,height=4,framerate=1/1",
  };

  for (guint i = 0; i < G_N_ELEMENTS (refused); i++) {
    g_autoptr (GstCaps) caps = gst_caps_from_string (refused[i]);
    g_autoptr (GstBus) bus = NULL;
    GstElement *element = plugin_test_element ("gpudlinfer", NULL);
    GstSegment segment;
    GstHarness *h;

    plugin_fake_reset ();
    g_object_set (element, "model", model_path, NULL);
    h = plugin_test_harness (element, NULL);
    gst_segment_init (&segment, GST_FORMAT_TIME);
    gst_harness_push_event (h, gst_event_new_stream_start ("test"));
    gst_harness_push_event (h, gst_event_new_caps (caps));
    gst_harness_push_event (h, gst_event_new_segment (&segment));
    g_assert_cmpint (gst_harness_push (h, plugin_test_frame (65536, 0, 0)), ==,
        GST_FLOW_NOT_NEGOTIATED);
    /* a negotiation failure, not an error of the element */
    bus = gst_element_get_bus (element);
    g_assert_null (gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR));
    plugin_test_teardown (h);
  }
}

static void
test_caps_leave_as_they_came (void)
{
  static const gchar *const texts[] = {
    "video/x-raw,format=GRAY8,width=4,height=4",
    "video/x-raw,format=I420,width=1,height=32768,framerate=0/1",
    "video/x-raw,format=NV12,width=32768,height=1,framerate=30/1,"
        "pixel-aspect-ratio=4/3,colorimetry=bt709,chroma-site=mpeg2,"
        "interlace-mode=mixed,multiview-mode=mono,any-field=1",
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autoptr (GstCaps) caps = gst_caps_from_string (texts[i]);
    g_autoptr (GstCaps) out = NULL;
    GstHarness *h;

    plugin_fake_reset ();
    h = plugin_fake_harness (model_path, NULL, NULL);
    gst_harness_set_src_caps_str (h, texts[i]);
    out = gst_pad_get_current_caps (h->sinkpad);
    g_assert_true (gst_caps_is_strictly_equal (out, caps));
    plugin_test_teardown (h);
  }
}

static void
test_interlaced_is_told_once (void)
{
  g_autoptr (GstGpudlClassification) c = NULL;
  g_autoptr (GstMessage) message = NULL;
  g_autoptr (GstBus) bus = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness (model_path, NULL, NULL);
  gst_harness_set_src_caps_str (h,
      PLUGIN_TEST_GRAY ",interlace-mode=interleaved");
  message = plugin_test_message (h->element, GST_MESSAGE_INFO);
  g_assert_nonnull (message);
  gst_harness_set_src_caps_str (h, PLUGIN_TEST_GRAY ",interlace-mode=mixed");
  bus = gst_element_get_bus (h->element);
  g_assert_null (gst_bus_pop_filtered (bus, GST_MESSAGE_INFO));
  c = plugin_fake_classify (h, 3);
  g_assert_cmpuint (c->classes[0].id, ==, 3);
  plugin_test_teardown (h);
}

/* Of a GPU that was named where the model runs on none: at each start once. */
static void
test_a_device_without_effect_is_told (void)
{
  const gboolean on_gpu = g_str_equal (fake_backend, "cuda");
  g_autoptr (GstBus) bus = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness (model_path, "cuda-device-id=0", NULL);
  bus = gst_element_get_bus (h->element);
  for (guint start = 0; start < 3; start++) {
    guint told = 0;
    GstMessage *message;

    gst_harness_set_src_caps_str (h, PLUGIN_TEST_GRAY);
    plugin_fake_push (h, 0);
    while ((message = gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING))) {
      g_autoptr (GError) error = NULL;

      gst_message_parse_warning (message, &error, NULL);
      if (strstr (error->message, "'cuda-device-id' has no effect") != NULL) {
        g_assert_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS);
        g_assert_nonnull (strstr (error->message, fake_backend));
        told++;
      }
      gst_message_unref (message);
    }
    g_assert_cmpuint (told, ==, !on_gpu && start < 2);
    gst_element_set_state (h->element, GST_STATE_READY);
    set_arg (h, "cuda-device-id", start == 0 ? "0" : "-1");
    gst_element_set_state (h->element, GST_STATE_PLAYING);
  }
  plugin_test_teardown (h);
}

/* ---- queries ------------------------------------------------------------ */

static GstClockTime upstream_max;
static gboolean upstream_live;

static gboolean
upstream_query (GstPad * pad, GstObject * parent, GstQuery * query)
{
  if (GST_QUERY_TYPE (query) != GST_QUERY_LATENCY)
    return gst_pad_query_default (pad, parent, query);
  gst_query_set_latency (query, upstream_live, 5 * GST_MSECOND, upstream_max);
  return TRUE;
}

static void
query_latency (GstHarness * h, GstClockTime * min, GstClockTime * max)
{
  g_autoptr (GstQuery) query = gst_query_new_latency ();
  gboolean live;

  g_assert_true (gst_pad_peer_query (h->sinkpad, query));
  gst_query_parse_latency (query, &live, min, max);
  g_assert_cmpint (live, ==, upstream_live);
}

static void
test_latency (void)
{
  GstClockTime min, max;
  GstHarness *h;

  plugin_fake_reset ();
  fake->is.run_time_ns = 10 * GST_MSECOND;
  h = plugin_fake_harness (model_path, "async-depth=4", NULL);
  gst_pad_set_query_function (h->srcpad, upstream_query);

  upstream_live = TRUE;
  upstream_max = GST_CLOCK_TIME_NONE;
  query_latency (h, &min, &max);
  g_assert_cmpuint (min, ==, (5 + 2 * 10) * GST_MSECOND);
  g_assert_cmpuint (max, ==, GST_CLOCK_TIME_NONE);

  /* four frames of 20 ms can be held: room, not delay */
  upstream_max = 7 * GST_MSECOND;
  query_latency (h, &min, &max);
  g_assert_cmpuint (min, ==, (5 + 2 * 10) * GST_MSECOND);
  g_assert_cmpuint (max, ==, (7 + 2 * 10 + 4 * 20) * GST_MSECOND);

  gst_harness_set_src_caps_str (h,
      "video/x-raw,format=GRAY8,width=4,height=4,framerate=0/1");
  query_latency (h, &min, &max);
  g_assert_cmpuint (max, ==, (7 + 2 * 10) * GST_MSECOND);
  plugin_test_teardown (h);
}

static void
test_latency_message (void)
{
  GstHarness *h;

  plugin_fake_reset ();
  fake->is.run_time_ns = GST_MSECOND / 2;
  h = plugin_fake_harness (model_path, "async-depth=1", NULL);
  gst_pad_set_query_function (h->srcpad, upstream_query);
  upstream_live = TRUE;
  upstream_max = GST_CLOCK_TIME_NONE;
  g_assert_cmpuint (plugin_test_take_latency_messages (h), >=, 1);      /* from the start */
  gst_harness_set_src_caps_str (h, PLUGIN_TEST_GRAY);
  g_assert_cmpuint (plugin_test_take_latency_messages (h), ==, 0);      /* nothing new */
  gst_harness_set_src_caps_str (h,
      "video/x-raw,format=GRAY8,width=4,height=4,framerate=25/1");
  g_assert_cmpuint (plugin_test_take_latency_messages (h), ==, 1);

  plugin_test_teardown (h);
}

static gboolean downstream_answers;

static gboolean
downstream_query (GstPad * pad, GstObject * parent, GstQuery * query)
{
  if (GST_QUERY_TYPE (query) != GST_QUERY_ALLOCATION)
    return gst_pad_query_default (pad, parent, query);
  if (!downstream_answers)
    return FALSE;
  gst_query_add_allocation_pool (query, NULL, 64, 2, 5);
  gst_query_add_allocation_pool (query, NULL, 32, 1, 0);
  gst_query_add_allocation_meta (query, GST_VIDEO_CROP_META_API_TYPE, NULL);
  return TRUE;
}

static void
check_pool (GstQuery * query, guint index, guint size, guint min, guint max)
{
  guint found_size, found_min, found_max;

  gst_query_parse_nth_allocation_pool (query, index, NULL, &found_size,
      &found_min, &found_max);
  g_assert_cmpuint (found_size, ==, size);
  g_assert_cmpuint (found_min, ==, min);
  g_assert_cmpuint (found_max, ==, max);
}

static void
test_allocation (void)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (PLUGIN_TEST_GRAY);
  g_autoptr (GstQuery) query = gst_query_new_allocation (caps, TRUE);
  g_autoptr (GstQuery) unanswered = gst_query_new_allocation (caps, TRUE);
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness (model_path, "async-depth=3", NULL);
  gst_pad_set_query_function (h->sinkpad, downstream_query);

  downstream_answers = TRUE;
  g_assert_true (gst_pad_peer_query (h->srcpad, query));
  g_assert_cmpuint (gst_query_get_n_allocation_pools (query), ==, 2);
  check_pool (query, 0, 64, 2 + 3, 5 + 3);
  check_pool (query, 1, 32, 1 + 3, 0);
  /* what downstream can take, and nothing on its behalf */
  g_assert_true (gst_query_find_allocation_meta (query,
          GST_VIDEO_CROP_META_API_TYPE, NULL));
  g_assert_false (gst_query_find_allocation_meta (query,
          GST_VIDEO_META_API_TYPE, NULL));

  /* without an answer, upstream still has to know how many are held */
  downstream_answers = FALSE;
  g_assert_true (gst_pad_peer_query (h->srcpad, unanswered));
  g_assert_cmpuint (gst_query_get_n_allocation_pools (unanswered), ==, 1);
  check_pool (unanswered, 0, PLUGIN_TEST_GRAY_SIZE, 3 + 1, 0);
  g_assert_cmpuint (gst_query_get_n_allocation_metas (unanswered), ==, 0);
  plugin_test_teardown (h);
}

static void
test_drain_query (void)
{
  g_autoptr (GstQuery) query = gst_query_new_drain ();
  GThread *later;
  GstHarness *h;

  plugin_fake_reset ();
  FAKE_SET (fake, does.hold, TRUE);
  h = plugin_fake_harness (model_path, "async-depth=4", NULL);
  for (guint i = 0; i < 3; i++)
    gst_harness_push (h, plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, i, i));
  later = plugin_test_later (plugin_fake_release, NULL);
  gst_pad_peer_query (h->srcpad, query);
  g_assert_cmpuint (gst_harness_buffers_received (h), ==, 3);
  g_thread_join (later);
  plugin_test_teardown (h);
}

static void
test_scheduling_query (void)
{
  g_autoptr (GstQuery) query = gst_query_new_scheduling ();
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness (model_path, NULL, NULL);
  g_assert_true (gst_pad_peer_query (h->sinkpad, query));
  g_assert_true (gst_query_has_scheduling_mode (query, GST_PAD_MODE_PUSH));
  g_assert_false (gst_query_has_scheduling_mode (query, GST_PAD_MODE_PULL));
  plugin_test_teardown (h);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  GST_ELEMENT_REGISTER (gpudloverlay, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", 10, 1, FALSE);

#define ADD(name, func) g_test_add_func ("/element/" name, func)
  ADD ("a-device-without-effect-is-told", test_a_device_without_effect_is_told);
  ADD ("properties-have-texts-defaults-and-mutability", test_properties);
  ADD ("factories-have-klass-and-templates", test_factory);
  ADD ("arrays-take-integers-and-fractions", test_arrays_from_launch);
  ADD ("arrays-of-strings-are-refused-whole", test_array_of_strings_is_refused);
  ADD ("settings-fixed-above-ready-warn-and-wait", test_late_settings);
  ADD ("caps-that-can-not-be-taken-are-refused", test_refused_caps);
  ADD ("caps-leave-as-they-came", test_caps_leave_as_they_came);
  ADD ("interlaced-is-told-once", test_interlaced_is_told_once);
  ADD ("latency-query-adds-depth-to-max-only", test_latency);
  ADD ("latency-message-when-it-changes", test_latency_message);
  ADD ("allocation-query-is-proxied-with-more-buffers", test_allocation);
  ADD ("drain-query-waits-for-frames", test_drain_query);
  ADD ("scheduling-query-offers-push-only", test_scheduling_query);
  return plugin_test_run ();
}

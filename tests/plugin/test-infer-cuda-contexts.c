/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Frames in CUDA memory: whose context they lie in and the network runs in, and what becomes of them where nobody reads
 * them. On the same doubles as test-infer-cuda.c.
 */
#include "plugin-cuda.h"
#include "plugin-fake.h"
#include "plugin-test.h"

#include <string.h>

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

    plugin_cuda_reset ();
    h = plugin_cuda_harness (NULL, NULL);
    gst_element_set_state (h->element, GST_STATE_NULL);
    bus = gst_element_get_bus (h->element);
    gst_bus_set_flushing (bus, TRUE);
    gst_bus_set_flushing (bus, FALSE);
    theirs = plugin_cuda_context_new (0);
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
    found = plugin_cuda_context_of (h);
    g_assert_true (found == theirs);
    g_assert_cmpuint (plugin_cuda_driver->contexts, ==, 1);
    message = gst_bus_pop_filtered (bus, GST_MESSAGE_HAVE_CONTEXT);
    g_assert_null (message);
    g_assert_true (gpudl_device_get_context (gpudl_session_get_device
            (GST_GPUDL_INFER (h->element)->net.session)) ==
        gst_cuda_context_get_handle (theirs));

    gst_harness_set_src_caps_str (h, PLUGIN_CUDA_NV12);
    plugin_cuda_push (h, plugin_cuda_frame (theirs, 5));
    plugin_fake_pull (h, 5);
    gst_bus_set_sync_handler (bus, NULL, NULL, NULL);
    g_clear_pointer (&shared, gst_context_unref);
    g_clear_object (&found);
    g_clear_object (&theirs);
    plugin_cuda_teardown (h);
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

  plugin_cuda_reset ();
  h = plugin_cuda_harness (NULL, NULL);
  context = plugin_cuda_context_of (h);
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
  late = plugin_cuda_context_new (0);
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
  plugin_cuda_check_driver ();
}

/* Two elements of a pipeline, and two pipelines, have one context, one device and one network. */
static void
test_sharing (void)
{
  g_autofree gchar *line = g_strdup_printf ("gpudlinfer name=a model=%s ! "
      "gpudlinfer name=b model=%s ! fakesink async=false", plugin_cuda_model,
      plugin_cuda_model);
  GstElement *pipelines[2];
  GstGpudlInfer *infers[4];

  plugin_cuda_reset ();
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
  plugin_cuda_check_driver ();
}

/* Frames of other contexts, on the same device and on another one: the network follows them, in order. */
static void
test_other_contexts (void)
{
  GstCudaContext *contexts[3];
  GstHarness *h;

  plugin_cuda_reset ();
  plugin_cuda_driver->n_devices = fake->is.n_devices = 2;
  h = plugin_cuda_harness (PLUGIN_CUDA_NV12, NULL);
  contexts[0] = plugin_cuda_context_of (h);
  contexts[1] = plugin_cuda_context_new (0);
  contexts[2] = plugin_cuda_context_new (1);
  for (guint i = 0; i < 18; i++) {
    GstCudaContext *context = contexts[i / 3 % 3];

    plugin_cuda_push (h, plugin_cuda_frame (context, i));
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
  plugin_cuda_push (h, plugin_cuda_frame (contexts[2], 20));
  plugin_fake_pull (h, 20);
  for (guint i = 0; i < 3; i++)
    g_clear_object (&contexts[i]);
  g_assert_cmpuint (plugin_cuda_driver->contexts, ==, 1);
  plugin_cuda_teardown (h);
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

  plugin_cuda_reset ();
  plugin_cuda_driver->n_devices = fake->is.n_devices = 2;
  h = plugin_cuda_harness (NULL, "cuda-device-id=1");
  gst_element_set_state (h->element, GST_STATE_NULL);
  other = plugin_cuda_context_new (0);
  offered = gst_context_new_cuda_context (other);
  gst_element_set_context (h->element, offered);
  gst_harness_play (h);
  gst_harness_set_src_caps_str (h, PLUGIN_CUDA_NV12);
  own = plugin_cuda_context_of (h);
  g_assert_true (gst_cuda_context_get_handle (own) ==
      (gpointer) & fake->primary[1]);
  g_assert_cmpint (fake->seen.last_device, ==, 1);
  plugin_cuda_push (h, plugin_cuda_frame (own, 3));
  plugin_fake_pull (h, 3);
  plugin_test_no_error (h->element);
  g_assert_cmpint (gst_harness_push (h, plugin_cuda_frame (other, 4)), ==,
      GST_FLOW_ERROR);
  plugin_test_one_error (h->element, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_SETTINGS);

  /* named in READY, when there is a context of another one */
  gst_element_set_state (h->element, GST_STATE_READY);
  g_object_set (h->element, "cuda-device-id", 0, NULL);
  gst_harness_play (h);
  g_assert_cmpint (fake->seen.last_device, ==, 0);
  g_assert_null (plugin_cuda_query_pool (h, PLUGIN_CUDA_NV12, &min));
  g_clear_object (&own);
  g_clear_object (&other);
  g_clear_pointer (&offered, gst_context_unref);
  plugin_cuda_teardown (h);
}

/* From NULL to PLAYING and back, frames of either memory in one life: nothing adds up. */
static void
test_cycles (void)
{
  GstHarness *h;

  plugin_cuda_reset ();
  h = plugin_cuda_harness (NULL, NULL);
  for (guint i = 0; i < 100; i++) {
    g_autoptr (Context) context = NULL;
    g_autoptr (GstBufferPool) pool = NULL;
    guint min;

    gst_element_set_state (h->element, GST_STATE_NULL);
    gst_harness_play (h);
    context = plugin_cuda_context_of (h);
    g_assert_nonnull (context);
    for (guint j = 0; j < 2; j++) {
      const gboolean cuda = (i + j) % 2 == 0;

      gst_harness_set_src_caps_str (h,
          cuda ? PLUGIN_CUDA_NV12 : PLUGIN_TEST_GRAY);
      if (cuda)
        plugin_cuda_push (h, plugin_cuda_frame (context, i));
      else
        plugin_fake_push (h, i);
      plugin_fake_pull (h, i);
    }
    pool = plugin_cuda_query_pool (h, PLUGIN_CUDA_NV12, &min);
    g_assert_true (GST_IS_CUDA_BUFFER_POOL (pool));
    g_assert_cmpuint (plugin_cuda_driver->contexts, <=, 1);
  }
  plugin_test_no_error (h->element);
  plugin_cuda_teardown (h);
}

/* A context that the network can't be opened in is one error. */
static void
test_other_context_fails (void)
{
  g_autoptr (Context) context = NULL;
  GstHarness *h;

  plugin_cuda_reset ();
  h = plugin_cuda_harness (PLUGIN_CUDA_NV12, NULL);
  context = plugin_cuda_context_new (0);
  FAKE_SET (fake, does.device_status, GPUDL_STATUS_NO_MEMORY);
  g_assert_cmpint (gst_harness_push (h, plugin_cuda_frame (context, 0)), ==,
      GST_FLOW_ERROR);
  plugin_test_one_error (h->element, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_NO_SPACE_LEFT);
  g_clear_object (&context);
  plugin_cuda_teardown (h);
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

    plugin_cuda_reset ();
    fake_other->reset ();
    h = plugin_cuda_harness (NULL, settings[i]);
    bus = gst_element_get_bus (h->element);
    caps = query_caps (h, NULL);
    g_assert_false (has_cuda (caps));
    g_assert_false (gst_caps_is_empty (caps));
    gst_caps_unref (caps);
    caps = query_caps (h, PLUGIN_CUDA_NV12 ";video/x-raw,format=NV12");
    g_assert_cmpuint (gst_caps_get_size (caps), ==, 1);
    g_assert_false (has_cuda (caps));
    plugin_test_no_error (h->element);

    for (guint j = 0; j < 2; j++) {     /* the second time it is known */
      gst_caps_unref (caps);
      caps = query_caps (h, PLUGIN_CUDA_NV12);
      g_assert_true (gst_caps_is_empty (caps));
    }
    check_names_cudadownload (h->element, GST_MESSAGE_WARNING);
    g_clear_pointer (&caps, gst_caps_unref);
    plugin_test_no_error (h->element);

    gst_harness_set_src_caps_str (h, PLUGIN_CUDA_NV12);
    g_assert_cmpint (gst_harness_push (h, plugin_test_frame (36, 0, 0)), ==,
        GST_FLOW_NOT_NEGOTIATED);
    check_names_cudadownload (h->element, GST_MESSAGE_ERROR);
    second = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
    g_assert_null (second);
    /* and frames in system memory are classified as ever */
    gst_harness_set_src_caps_str (h, PLUGIN_TEST_GRAY);
    plugin_cuda_push (h, plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 0, 0));
    gst_buffer_unref (gst_harness_pull (h));
    plugin_cuda_teardown (h);
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
  plugin_cuda_reset ();
  h = plugin_cuda_harness (NULL, NULL);
  found = query_caps (h, NULL);
  g_assert_true (gst_caps_features_contains (gst_caps_get_features (found, 0),
          GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY));
  g_clear_pointer (&found, gst_caps_unref);
  plugin_cuda_teardown (h);
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

    plugin_cuda_reset ();
    fake_other->reset ();
    *places[i] = GPUDL_STATUS_NO_DEVICE;
    h = plugin_cuda_harness (NULL, "backend=auto");
    backend = backend_of (h);
    g_assert_cmpstr (backend, ==, "cpu");
    plugin_test_no_error (h->element);
    plugin_cuda_teardown (h);

    element = plugin_test_element ("gpudlinfer", "backend=cuda", NULL);
    gst_object_ref_sink (element);
    bus = gst_bus_new ();
    gst_element_set_bus (element, bus);
    g_object_set (element, "model", plugin_cuda_model, NULL);
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

  plugin_cuda_reset ();
  fake_other->reset ();
  h = plugin_cuda_harness (NULL, "backend=auto");
  gst_element_set_state (h->element, GST_STATE_NULL);
  theirs = plugin_cuda_context_new (0);
  shared = gst_context_new_cuda_context (theirs);
  gst_pad_set_query_function (h->srcpad, neighbour_query);
  FAKE_SET (fake, does.device_status, GPUDL_STATUS_NO_MEMORY);
  g_assert_cmpint (gst_element_set_state (h->element, GST_STATE_PLAYING), ==,
      GST_STATE_CHANGE_SUCCESS);
  backend = backend_of (h);
  g_assert_cmpstr (backend, ==, "cpu");
  g_clear_pointer (&shared, gst_context_unref);
  g_clear_object (&theirs);
  plugin_cuda_teardown (h);
}

/* A network that CUDA has no means for runs on the CPU by auto, context or not. */
static void
test_unsupported_model (void)
{
  g_autofree gchar *backend = NULL;
  GstHarness *h;

  plugin_cuda_reset ();
  fake_other->reset ();
  FAKE_SET (fake, does.open_status, GPUDL_STATUS_UNSUPPORTED);
  h = plugin_cuda_harness (NULL, "backend=auto");
  backend = backend_of (h);
  g_assert_cmpstr (backend, ==, "cpu");
  plugin_cuda_teardown (h);
}

int
main (int argc, char **argv)
{
  plugin_cuda_init (&argc, &argv);

#define ADD(name, func) g_test_add_func ("/cuda-contexts/" name, func)
  ADD ("cuda-memory-is-offered-first", test_offered);
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
  return plugin_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * gpudlinfer at its start: what is wrong is one error, after which the same element starts; and what an engine is asked
 * for. The engine is the real one over a fake module.
 */
#include "engine/modelfile/modelfile.h"
#include "engine/model.h"
#include "models/gpudl-import.h"
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"

#include <string.h>

static const gchar *model_path;

/* An element with a bus that has been asked to start. */
static GstBus *
start (GstElement * element, GstStateChangeReturn expected)
{
  GstBus *bus = gst_bus_new ();

  gst_object_ref_sink (element);
  gst_element_set_bus (element, bus);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
      expected);
  return bus;
}

static void
finish (GstElement * element, GstBus * bus)
{
  gst_element_set_state (element, GST_STATE_NULL);
  gst_object_unref (element);
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (bus);
}

/* Start fails with one error; made right, the same element starts. */
static void
check_start_error (GstElement * element, GQuark domain, gint code)
{
  GstBus *bus = start (element, GST_STATE_CHANGE_FAILURE);

  plugin_test_one_error (element, domain, code);
  plugin_fake_reset ();

  g_object_set (element, "model", model_path, "labels-file", NULL, NULL);
  gst_util_set_object_arg (G_OBJECT (element), "precision", "auto");
  gst_util_set_object_arg (G_OBJECT (element), "mean", "<>");
  gst_util_set_object_arg (G_OBJECT (element), "std", "<>");
  gst_util_set_object_arg (G_OBJECT (element), "channel-order", "auto");
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
      GST_STATE_CHANGE_SUCCESS);
  g_assert_cmpuint (FAKE_SEEN (fake, opens), ==, 1);
  g_assert_null (gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR));
  finish (element, bus);
}

/* The model's file with other bytes from some place on. */
static const gchar *
changed_model (const gchar * name, gsize at, const gchar * bytes)
{
  const gchar *path = plugin_test_file (name, "");
  g_autofree gchar *text = NULL;
  gsize size;

  g_assert_true (g_file_get_contents (model_path, &text, &size, NULL));
  g_assert_cmpuint (at + strlen (bytes), <=, size);
  memcpy (text + at, bytes, strlen (bytes));
  g_assert_true (g_file_set_contents (path, text, size, NULL));
  return path;
}

static void
test_model_file_errors (void)
{
  const struct
  {
    const gchar *path;
    GQuark domain;
    gint code;
  } cases[] = {
    {NULL, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS},
    {"", GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS},
    {plugin_test_missing (), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND},
    {plugin_test_folder (), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_READ},
    {plugin_test_file ("text.bin", "this is no model"), GST_STREAM_ERROR,
        GST_STREAM_ERROR_WRONG_TYPE},
    {plugin_test_file ("empty.bin", ""), GST_STREAM_ERROR,
        GST_STREAM_ERROR_WRONG_TYPE},
    {changed_model ("damaged.bin", GPUDL_FILE_HEADER_BYTES + 20, "damaged"),
        GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE},
    {changed_model ("newer.bin", GPUDL_FILE_AT_VERSION, "\177"),
        GST_STREAM_ERROR, GST_STREAM_ERROR_NOT_IMPLEMENTED},
    {plugin_fake_onnx ("operator.onnx", "NoSuchOperator x -> y"),
          GST_STREAM_ERROR,
        GST_STREAM_ERROR_NOT_IMPLEMENTED},
    {plugin_fake_model ("heads17.bin", 10, 17, FALSE), GST_STREAM_ERROR,
        GST_STREAM_ERROR_NOT_IMPLEMENTED},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    GstElement *element = plugin_test_element ("gpudlinfer", NULL);

    plugin_fake_reset ();
    g_object_set (element, "model", cases[i].path, NULL);
    check_start_error (element, cases[i].domain, cases[i].code);
  }
}

/* A file's name is bytes. What applications are told is UTF-8, or GStreamer leaves
 * it out with a warning. */
static void
test_names_without_utf8 (void)
{
  const gchar *good = changed_model ("latin1-\351.bin", 0, "");
  const gchar *bad = plugin_test_file ("bad-\351.bin", "this is no model");
  GstElement *element = plugin_test_element ("gpudlinfer", NULL);
  g_autoptr (GstMessage) message = NULL;
  g_autoptr (GstStructure) info = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree gchar *debug = NULL;
  GstBus *bus;

  plugin_fake_reset ();
  g_object_set (element, "model", bad, NULL);
  bus = start (element, GST_STATE_CHANGE_FAILURE);
  message = plugin_test_message (element, GST_MESSAGE_ERROR);
  g_assert_nonnull (message);
  gst_message_parse_error (message, &error, &debug);
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  g_assert_nonnull (strstr (error->message, "bad-\357\277\275.bin"));
  g_assert_nonnull (debug);
  g_assert_nonnull (strstr (debug, "bad-\357\277\275.bin"));

  g_object_set (element, "model", good, NULL);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
      GST_STATE_CHANGE_SUCCESS);
  g_object_get (element, "model-info", &info, NULL);
  g_assert_true (g_str_has_suffix (gst_structure_get_string (info, "location"),
          "/latin1-\357\277\275.bin"));
  finish (element, bus);
}

/* Every status that a module can give, from each place where the engine asks it. */
static void
test_module_errors (void)
{
  static const struct
  {
    GpudlStatus status;
      GQuark (*domain) (void);
    gint code;
  } cases[] = {
    {GPUDL_STATUS_FAILED, gst_library_error_quark, GST_LIBRARY_ERROR_FAILED},
    {GPUDL_STATUS_UNSUPPORTED, gst_stream_error_quark,
        GST_STREAM_ERROR_NOT_IMPLEMENTED},
    {GPUDL_STATUS_INVALID_ARGUMENT, gst_resource_error_quark,
        GST_RESOURCE_ERROR_SETTINGS},
    {GPUDL_STATUS_BACKEND, gst_library_error_quark, GST_LIBRARY_ERROR_INIT},
    {GPUDL_STATUS_NO_DEVICE, gst_resource_error_quark,
        GST_RESOURCE_ERROR_NOT_FOUND},
    {GPUDL_STATUS_NO_MEMORY, gst_resource_error_quark,
        GST_RESOURCE_ERROR_NO_SPACE_LEFT},
    {GPUDL_STATUS_DEVICE, gst_stream_error_quark, GST_STREAM_ERROR_FAILED},
  };
  GpudlStatus *const places[] = { &fake->does.probe_status,
    &fake->does.device_status, &fake->does.resolve_status,
    &fake->does.open_status
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    for (guint place = 0; place < G_N_ELEMENTS (places); place++) {
      GstElement *element = plugin_test_element ("gpudlinfer", NULL);

      plugin_fake_reset ();
      if (places[place] == &fake->does.device_status
          && fake->table->device_open == NULL) {
        gst_object_unref (gst_object_ref_sink (element));
        continue;
      }
      fake_lock (fake);
      *places[place] = cases[i].status;
      fake_unlock (fake);
      g_object_set (element, "model", model_path, NULL);
      gst_util_set_object_arg (G_OBJECT (element), "backend", fake_backend);
      check_start_error (element, cases[i].domain (), cases[i].code);
    }
  }
}

/* What the engine and the element find wrong with a module by themselves. */
static void
test_unusable_modules (void)
{
  GstElement *element = plugin_test_element ("gpudlinfer", NULL);

  g_object_set (element, "model", model_path, NULL);
  plugin_fake_reset ();
  fake_lock (fake);
  fake->does.probe_status = GPUDL_STATUS_NO_DEVICE;
  fake_unlock (fake);
  check_start_error (element, GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_INIT);       /* "auto" finds none */

  element = plugin_test_element ("gpudlinfer", NULL);
  g_object_set (element, "model", model_path, NULL);
  plugin_fake_reset ();
  fake->is.memory_kinds = 1u << GPUDL_MEMORY_CUDA;
  check_start_error (element, GST_STREAM_ERROR, GST_STREAM_ERROR_NOT_IMPLEMENTED);      /* takes no frames of the host's */

  element = plugin_test_element ("gpudlinfer", NULL);
  g_object_set (element, "model", model_path, NULL);
  plugin_fake_reset ();
  fake->is.n_buckets = 2;
  fake->is.buckets[0] = fake->is.buckets[1] = 1;
  check_start_error (element, GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_INIT);       /* says nonsense about itself */

  element = plugin_test_element ("gpudlinfer", "precision=fp8", NULL);
  g_object_set (element, "model", model_path, NULL);
  plugin_fake_reset ();
  check_start_error (element, GST_STREAM_ERROR,
      GST_STREAM_ERROR_NOT_IMPLEMENTED);
}

/* In a process of its own: a module that has been found stays. */
static void
test_missing_module (void)
{
  if (g_test_subprocess ()) {
    g_autofree gchar *path = g_strdup (g_getenv ("GPUDL_BACKEND_PATH"));
    GstElement *element = plugin_test_element ("gpudlinfer", NULL);
    GstBus *bus;

    g_object_set (element, "model", model_path, NULL);
    g_setenv ("GPUDL_BACKEND_PATH", plugin_test_folder (), TRUE);
    bus = start (element, GST_STATE_CHANGE_FAILURE);
    plugin_test_one_error (element, GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_INIT);
    g_setenv ("GPUDL_BACKEND_PATH", path, TRUE);
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
        GST_STATE_CHANGE_SUCCESS);
    finish (element, bus);
    return;
  }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
}

static void
test_contradicting_settings (void)
{
  static const gchar *const settings[] = {
    "mean=<1,2>", "std=<1,2,3,4>", "std=<1,0,1>", "channel-order=gray"
  };

  for (guint i = 0; i < G_N_ELEMENTS (settings); i++) {
    GstElement *element = plugin_test_element ("gpudlinfer", settings[i], NULL);

    plugin_fake_reset ();
    g_object_set (element, "model", model_path, NULL);
    check_start_error (element, GST_RESOURCE_ERROR,
        GST_RESOURCE_ERROR_SETTINGS);
  }
}

static void
test_labels_errors_at_start (void)
{
  const gchar *few = plugin_test_file ("few2.txt", "a\nb\n");
  GstElement *element = plugin_test_element ("gpudlinfer", NULL);

  plugin_fake_reset ();
  g_object_set (element, "model", model_path, "labels-file", few, NULL);
  check_start_error (element, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS);

  element = plugin_test_element ("gpudlinfer", NULL);
  g_object_set (element, "model", model_path, "labels-file",
      plugin_test_missing (), NULL);
  plugin_fake_reset ();
  check_start_error (element, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND);
}

static GstProgressType
next_progress (GstElement * element)
{
  g_autoptr (GstMessage) message = plugin_test_message (element,
      GST_MESSAGE_PROGRESS);
  GstProgressType type;

  g_assert_nonnull (message);
  gst_message_parse_progress (message, &type, NULL, NULL);
  return type;
}

static void
test_progress (void)
{
  GstElement *element = plugin_test_element ("gpudlinfer", NULL);
  GstBus *bus;

  plugin_fake_reset ();
  g_object_set (element, "model", plugin_test_missing (), NULL);
  bus = start (element, GST_STATE_CHANGE_FAILURE);
  g_assert_cmpint (next_progress (element), ==, GST_PROGRESS_TYPE_START);
  g_assert_cmpint (next_progress (element), ==, GST_PROGRESS_TYPE_ERROR);
  g_object_set (element, "model", model_path, NULL);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
      GST_STATE_CHANGE_SUCCESS);
  g_assert_cmpint (next_progress (element), ==, GST_PROGRESS_TYPE_START);
  g_assert_cmpint (next_progress (element), ==, GST_PROGRESS_TYPE_COMPLETE);
  finish (element, bus);
}

static void
check_backend (const gchar * backend, const gchar * expected)
{
  g_autoptr (GstStructure) info = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  fake_other->reset ();         /* both can be used */
  h = plugin_fake_harness (model_path, backend, NULL);
  g_object_get (h->element, "model-info", &info, NULL);
  g_assert_cmpstr (gst_structure_get_string (info, "backend"), ==, expected);
  plugin_test_teardown (h);
}

static void
test_session_settings (void)
{
  const gboolean is_cpu = g_str_equal (fake_backend, "cpu");
  const GpudlOpenParams *open = &fake->seen.last_open;
  static const struct
  {
    const gchar *setting;
    GpudlAutotune autotune;
  } tunings[] = {
    {NULL, GPUDL_AUTOTUNE_CACHED},
    {"autotune=full", GPUDL_AUTOTUNE_CACHED},
    {"autotune=cached", GPUDL_AUTOTUNE_KNOWN},
    {"autotune=off", GPUDL_AUTOTUNE_OFF},
  };
  GstHarness *h;

  plugin_fake_reset ();
  fake->is.max_batch = 9;
  h = plugin_fake_harness (model_path, "precision=bf16", "activation=sigmoid");
  g_assert_cmpint (open->precision, ==, GPUDL_PRECISION_BF16);
  g_assert_cmpint (open->activation, ==, GPUDL_ACTIVATION_SIGMOID);
  g_assert_cmpint (open->input_width, ==, 32);
  g_assert_cmpint (open->input_height, ==, 24);
  g_assert_cmpint (fake->seen.last_device, <, 1);
  plugin_test_teardown (h);

  plugin_fake_reset ();
  fake->is.max_batch = 9;
  h = plugin_fake_harness (model_path, "cpu-threads=3", "batch-size=7");
  g_assert_cmpint (open->precision, ==, is_cpu ? GPUDL_PRECISION_FP32 : GPUDL_PRECISION_FP16);  /* what "auto" comes to there */
  g_assert_cmpint (open->activation, ==, GPUDL_ACTIVATION_SOFTMAX);
  g_assert_cmpuint (open->threads, ==, is_cpu ? 3 : 0);
  g_assert_cmpuint (open->batch_size, ==, 7);
  plugin_test_teardown (h);

  /* nothing is measured while loading, whatever is asked for; the CPU has nothing to choose */
  for (guint i = 0; i < G_N_ELEMENTS (tunings); i++) {
    plugin_fake_reset ();
    h = plugin_fake_harness (model_path, tunings[i].setting, NULL);
    g_assert_cmpint (open->autotune, ==, is_cpu ? 0 : tunings[i].autotune);
    plugin_test_teardown (h);
  }

  plugin_fake_reset ();
  fake->is.limit_matters = 1;
  h = plugin_fake_harness (model_path, "memory-limit=1000000000",
      "deterministic=true");
  g_assert_cmpuint (open->memory_limit, ==, 1000000000);
  g_assert_cmpint (open->deterministic, ==, !is_cpu);
  plugin_test_teardown (h);

  for (guint i = 0; i < 2; i++) {
    plugin_fake_reset ();
    h = plugin_fake_harness (model_path, i == 0 ? "cache-dir=/elsewhere" :
        "cache-dir=\"\"", NULL);
    g_assert_cmpstr (open->cache_dir, ==, i == 0 ? "/elsewhere" : NULL);
    plugin_test_teardown (h);
  }

  check_backend ("backend=auto", "cuda");
  check_backend ("backend=cuda", "cuda");
  check_backend ("backend=cpu", "cpu");
  check_backend ("backend=ref", "ref");
}

/* The network of model_path, of whose pixels nobody has said anything. */
static const gchar *
bare_model (void)
{
  const gchar *path = plugin_test_file ("bare.bin", "");
  g_autoptr (GError) error = NULL;
  g_autoptr (GpudlModel) model =
      gpudl_model_load (model_path, NULL, NULL, &error);

  g_assert_no_error (error);
  model->preproc_known = FALSE;
  model->assumed = GPUDL_ASSUMED_ALL;
  gpudl_model_add_note (model, "output 'label' is left out");
  gpudl_model_save (model, path, &error);
  g_assert_no_error (error);
  return path;
}

#define VALUES "values within 0 and 1 (mean, std, pixel-scale)"
#define WHOLE "the whole picture stretched (resize-mode)"
#define PART "Nothing says all of how the model %s wants its pixels; assumed is "

static void
test_assumed (void)
{
  static const struct
  {
    const gchar *properties[8], *says;
  } rows[] = {
    {{NULL}, "Nothing says how the model %s wants its pixels; assumed is RGB "
        "(channel-order), " VALUES ", " WHOLE "."},
    {{"mean", "<0.5>"}, PART "RGB (channel-order), " WHOLE "."},
    {{"std", "<0.5>"}, PART "RGB (channel-order), " WHOLE "."},
    {{"pixel-scale", "1"}, PART "RGB (channel-order), " WHOLE "."},
    {{"channel-order", "bgr"}, PART VALUES ", " WHOLE "."},
    {{"channel-order", "rgb", "mean", "<0.5>"}, PART WHOLE "."},
    {{"resize-mode", "stretch", "mean", "<0.5>"}, PART "RGB (channel-order)."},
    {{"resize-mode", "stretch", "mean", "<0.5>", "channel-order", "rgb"}, NULL},
  };
  const gchar *path = bare_model ();

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    GstElement *element = plugin_test_element ("gpudlinfer", NULL);
    GstBus *bus;
    g_autoptr (GstMessage) warning = NULL, note = NULL;
    g_autoptr (GError) error = NULL;

    plugin_fake_reset ();
    g_object_set (element, "model", path, NULL);
    for (guint j = 0; rows[i].properties[j] != NULL; j += 2)
      gst_util_set_object_arg (G_OBJECT (element), rows[i].properties[j],
          rows[i].properties[j + 1]);
    bus = start (element, GST_STATE_CHANGE_SUCCESS);
    warning = gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING);
    g_assert_cmpint (warning != NULL, ==, rows[i].says != NULL);
    if (warning != NULL) {
      g_auto (GStrv) parts = g_strsplit (rows[i].says, "%s", 2);
      g_autofree gchar *says = g_strjoinv (path, parts);

      gst_message_parse_warning (warning, &error, NULL);
      g_assert_cmpstr (error->message, ==, says);
    }
    g_assert_null (gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING));
    finish (element, bus);

    element = plugin_test_element ("gpudlinfer", NULL);
    g_object_set (element, "model", path, NULL);
    bus = start (element, GST_STATE_CHANGE_SUCCESS);
    note = gst_bus_pop_filtered (bus, GST_MESSAGE_INFO);
    g_assert_nonnull (note);
    finish (element, bus);
  }
}

static void
test_input_size (void)
{
  static const gchar *const wrong[] = { "9", "9x", "x9", "9x9x9", "-9x9",
    "9x0", "999x999"
  };

  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    GstElement *element = plugin_test_element ("gpudlinfer", NULL);
    GstBus *bus;

    plugin_fake_reset ();
    g_object_set (element, "model", model_path, "input-size", wrong[i], NULL);
    bus = start (element, GST_STATE_CHANGE_FAILURE);
    plugin_test_one_error (element, GST_RESOURCE_ERROR,
        GST_RESOURCE_ERROR_SETTINGS);
    finish (element, bus);
  }
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", 10, 1, FALSE);

#define ADD(name, func) g_test_add_func ("/errors/" name, func)
  ADD ("model-file-errors-are-one-message-each", test_model_file_errors);
  ADD ("names-without-utf8-are-told-in-utf8", test_names_without_utf8);
  ADD ("module-errors-are-one-message-each", test_module_errors);
  ADD ("unusable-modules-are-one-message-each", test_unusable_modules);
  ADD ("missing-module-is-one-message", test_missing_module);
  ADD ("contradicting-settings-are-one-error", test_contradicting_settings);
  ADD ("labels-file-errors-at-start", test_labels_errors_at_start);
  ADD ("progress-says-start-and-how-it-ended", test_progress);
  ADD ("session-gets-the-settings", test_session_settings);
  ADD ("assumed-pixels-are-warned-of", test_assumed);
  ADD ("wrong-input-size-is-one-error", test_input_size);
  return plugin_test_run ();
}

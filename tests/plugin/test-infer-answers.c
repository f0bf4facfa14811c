/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What gpudlinfer tells of frames and of itself: classes, labels, messages, heads, statistics and the model.
 */
#include "engine/model.h"
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"

#include <string.h>

static const gchar *model_path, *labelled_path, *heads_path;

static void
test_top_k_and_threshold (void)
{
  static const struct
  {
    guint top_k;
    gfloat threshold;
    guint n;
  } cases[] = { {5, 0, 5}, {1, 0, 1}, {0, 0, 10}, {100, 0, 10},
  {0, 0.75f, 3}, {2, 0.75f, 2}, {0, 1, 1}
  };
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness (model_path, NULL, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GstGpudlClassification) c = NULL;

    g_object_set (h->element, "top-k", cases[i].top_k, "threshold",
        cases[i].threshold, NULL);
    c = plugin_fake_classify (h, 7);
    g_assert_cmpuint (c->n_classes, ==, cases[i].n);
    for (guint j = 0; j < c->n_classes; j++) {
      g_assert_cmpuint (c->classes[j].id, ==, (7 + j) % 10);
      g_assert_cmpfloat_with_epsilon (c->classes[j].confidence, 1 - j * 0.1,
          1e-6);
    }
  }
  plugin_test_teardown (h);
}

static void
check_label (GstHarness * h, const gchar * label)
{
  g_autoptr (GstGpudlClassification) c = plugin_fake_classify (h, 3);
  g_auto (GStrv) labels = NULL;

  g_assert_cmpuint (c->classes[0].id, ==, 3);
  g_assert_cmpstr (c->classes[0].label, ==, label);
  g_object_get (h->element, "labels", &labels, NULL);
  g_assert_cmpuint (g_strv_length (labels), ==, 10);
  g_assert_cmpstr (labels[3], ==, label);
}

static void
count_notifies (GObject * object, GParamSpec * pspec, gint * n)
{
  g_atomic_int_inc (n);
}

static void
test_labels (void)
{
  const gchar *path = plugin_test_file ("labels.txt",
      "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
  const gchar *few = plugin_test_file ("few.txt", "a\nb\n");
  g_autoptr (GstBus) bus = NULL;
  g_auto (GStrv) none = NULL;
  GstHarness *h;
  gint notified = 0;

  plugin_fake_reset ();
  h = plugin_fake_harness (model_path, NULL, NULL);
  check_label (h, "3");
  g_signal_connect (h->element, "notify::labels", G_CALLBACK (count_notifies),
      &notified);
  g_object_set (h->element, "labels-file", path, NULL);
  check_label (h, "d");
  bus = gst_element_get_bus (h->element);
  g_assert_null (gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING));

  /* a wrong file later is a warning, and nothing changes */
  for (guint i = 0; i < 2; i++) {
    g_autoptr (GstMessage) warning = NULL;
    g_autoptr (GError) error = NULL;

    g_object_set (h->element, "labels-file", i == 0 ? few :
        plugin_test_missing (), "pad-color", 0x010203 + i, NULL);
    check_label (h, "d");
    /* what is set beside it is taken */
    g_assert_cmpuint (fake->seen.last_preproc.pad_color, ==, 0x010203 + i);
    warning = plugin_test_message (h->element, GST_MESSAGE_WARNING);
    g_assert_nonnull (warning);
    gst_message_parse_warning (warning, &error, NULL);
    g_assert_true (g_error_matches (error, GST_RESOURCE_ERROR, i == 0 ?
            GST_RESOURCE_ERROR_SETTINGS : GST_RESOURCE_ERROR_NOT_FOUND));
    check_label (h, "d");
    g_assert_null (gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING));
  }
  g_assert_cmpint (g_atomic_int_get (&notified), ==, 1);
  g_object_set (h->element, "labels-file", "", NULL);
  check_label (h, "3");
  g_object_set (h->element, "labels-file", path, NULL);
  check_label (h, "d");
  g_object_set (h->element, "labels-file", NULL, NULL);
  check_label (h, "3");
  g_assert_null (gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING));
  g_assert_cmpint (g_atomic_int_get (&notified), ==, 4);
  gst_element_set_state (h->element, GST_STATE_READY);
  g_object_get (h->element, "labels", &none, NULL);
  g_assert_null (none);
  plugin_test_teardown (h);

  plugin_fake_reset ();
  h = plugin_fake_harness (labelled_path, NULL, NULL);
  check_label (h, "label 3");
  plugin_test_teardown (h);
}

static void
check_uint64 (const GstStructure * structure, const gchar * field,
    guint64 expected)
{
  guint64 value;

  g_assert_true (gst_structure_get_uint64 (structure, field, &value));
  g_assert_cmpuint (value, ==, expected);
}

static void
test_messages (void)
{
  g_autoptr (GstMessage) message = NULL;
  g_autoptr (GstBus) bus = NULL;
  const GstStructure *structure;
  const GValue *results;
  GstSegment segment;
  GstHarness *h;
  gdouble confidence;
  gint id;

  plugin_fake_reset ();
  h = plugin_fake_harness (labelled_path, "post-messages=all", "top-k=2");
  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.start = 20 * GST_MSECOND;
  segment.time = 40 * GST_MSECOND;
  segment.base = GST_SECOND;
  g_assert_true (gst_harness_push_event (h, gst_event_new_segment (&segment)));
  g_assert_cmpint (gst_harness_push (h,
          plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 4, 2)), ==, GST_FLOW_OK);
  message = plugin_test_message (h->element, GST_MESSAGE_ELEMENT);
  g_assert_nonnull (message);
  structure = gst_message_get_structure (message);
  g_assert_true (gst_structure_has_name (structure, "gpudlinfer-result"));
  check_uint64 (structure, "timestamp", 40 * GST_MSECOND);
  check_uint64 (structure, "stream-time", 60 * GST_MSECOND);
  check_uint64 (structure, "running-time", GST_SECOND + 20 * GST_MSECOND);
  check_uint64 (structure, "duration", 20 * GST_MSECOND);
  g_assert_cmpstr (gst_structure_get_string (structure, "label"), ==,
      "label 4");
  g_assert_true (gst_structure_get_int (structure, "id", &id));
  g_assert_cmpint (id, ==, 4);
  g_assert_true (gst_structure_get_double (structure, "confidence",
          &confidence));
  g_assert_cmpfloat (confidence, ==, 1);
  g_assert_cmpstr (gst_structure_get_string (structure, "model"), ==,
      "labelled.bin");

  results = gst_structure_get_value (structure, "results");
  g_assert_cmpuint (gst_value_list_get_size (results), ==, 2);
  structure = gst_value_get_structure (gst_value_list_get_value (results, 1));
  g_assert_cmpstr (gst_structure_get_string (structure, "label"), ==,
      "label 5");
  g_assert_true (gst_structure_get_int (structure, "id", &id));
  g_assert_cmpint (id, ==, 5);

  /* and none when not asked for */
  gst_buffer_unref (gst_harness_pull (h));
  g_object_set (h->element, "post-messages", 0, NULL);
  gst_harness_push (h, plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 4, 3));
  gst_buffer_unref (gst_harness_pull (h));
  bus = gst_element_get_bus (h->element);
  g_assert_null (gst_bus_pop_filtered (bus, GST_MESSAGE_ELEMENT));
  plugin_test_teardown (h);
}

static void
test_heads (void)
{
  g_autoptr (GstBuffer) buffer = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness (heads_path, "post-messages=all", NULL);
  gst_harness_push (h, plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 4, 0));
  buffer = gst_harness_pull (h);
  for (guint i = 0; i < 2; i++) {
    g_autoptr (GstGpudlClassification) c = gst_gpudl_meta_read (buffer, i);
    g_autoptr (GstMessage) message = plugin_test_message (h->element,
        GST_MESSAGE_ELEMENT);

    g_assert_nonnull (c);
    g_assert_cmpstr (c->head, ==, i == 0 ? "first" : "second");
    g_assert_cmpuint (c->classes[0].id, ==, 4 + i);
    g_assert_nonnull (message);
    g_assert_cmpstr (gst_structure_get_string (gst_message_get_structure
            (message), "head"), ==, c->head);
  }
  g_assert_null (gst_gpudl_meta_read (buffer, 2));
  plugin_test_teardown (h);
}

/* Frame n, whose heads named by the bits of not_finite have NaN among their
 * scores: it has as many classifications and messages as heads are left, and a
 * warning that says this, NULL: none. */
static void
push_not_finite (GstHarness * h, guint n, guint32 not_finite,
    const gchar * warns)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (h->element);
  g_autoptr (GstBuffer) buffer = NULL;
  guint found = 0, messages = 0, warnings = 0;
  GstMessage *message;

  FAKE_SET (fake, does.not_finite, not_finite);
  g_assert_cmpint (gst_harness_push (h,
          plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 4, n)), ==, GST_FLOW_OK);
  buffer = gst_harness_pull (h);
  for (guint i = 0; i < 2; i++) {
    g_autoptr (GstGpudlClassification) c = gst_gpudl_meta_read (buffer, found);

    if ((not_finite & 1u << i) != 0)
      continue;
    g_assert_nonnull (c);
    g_assert_cmpstr (c->head, ==, i == 0 ? "first" : "second");
    found++;
  }
  g_assert_null (gst_gpudl_meta_read (buffer, found));
  while ((message = gst_bus_pop_filtered (bus,
              GST_MESSAGE_ELEMENT | GST_MESSAGE_WARNING)) != NULL) {
    if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_WARNING) {
      g_autoptr (GError) error = NULL;

      gst_message_parse_warning (message, &error, NULL);
      g_assert_error (error, GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED);
      g_assert_nonnull (warns);
      g_assert_nonnull (strstr (error->message, warns));
      warnings++;
    } else {
      messages++;
    }
    gst_message_unref (message);
  }
  g_assert_cmpuint (messages, ==, found);
  g_assert_cmpuint (warnings, ==, warns != NULL);
}

static void
test_scores_that_are_no_numbers (void)
{
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness (heads_path, "post-messages=all", "async-depth=1");
  push_not_finite (h, 0, 0, NULL);
  push_not_finite (h, 1, 1, "'first'");
  push_not_finite (h, 2, 1, NULL);
  push_not_finite (h, 3, 3, "'second'");        /* now the other one too */
  push_not_finite (h, 4, 3, NULL);
  push_not_finite (h, 5, 2, NULL);
  push_not_finite (h, 6, 3, "'first'"); /* once more */
  push_not_finite (h, 7, 0, NULL);
  push_not_finite (h, 8, 3, "'first'");
  plugin_test_no_error (h->element);
  plugin_test_teardown (h);
}

static void
test_stats (void)
{
  static const gchar *const names[] = { "queue", "infer", "total" };
  g_autoptr (GstQuery) drain = gst_query_new_drain ();
  g_autoptr (GstStructure) stats = NULL;
  guint64 averages[3];
  GstHarness *h;

  plugin_fake_reset ();
  fake->is.n_slots = fake->is.max_batch = 1;    /* one frame runs, the other waits */
  FAKE_SET (fake, does.delay_us, 1000);
  h = plugin_fake_harness (model_path, "async-depth=2", NULL);
  for (guint i = 0; i < 20; i++)
    gst_harness_push (h, plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, i, i));
  gst_pad_peer_query (h->srcpad, drain);
  g_object_get (h->element, "stats", &stats, NULL);
  g_assert_true (gst_structure_has_name (stats, "gpudlinfer-stats"));
  check_uint64 (stats, "frames", 20);
  check_uint64 (stats, "inferences", 20);
  check_uint64 (stats, "errors", 0);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    static const gchar *const fields[] = { "min", "p50", "p95", "max", "avg" };
    guint64 values[5];

    for (guint j = 0; j < 5; j++) {
      g_autofree gchar *field = g_strdup_printf ("%s-latency-%s", names[i],
          fields[j]);

      g_assert_true (gst_structure_get_uint64 (stats, field, &values[j]));
    }
    g_assert_cmpuint (values[0], <=, values[1]);
    g_assert_cmpuint (values[1], <=, values[2]);
    g_assert_cmpuint (values[2], <=, values[3]);
    g_assert_cmpuint (values[0], <=, values[4]);
    g_assert_cmpuint (values[4], <=, values[3]);
    if (i > 0)
      g_assert_cmpuint (values[0], >=, GST_MSECOND);
    averages[i] = values[4];
  }
  /* but for rounding */
  g_assert_cmpuint (averages[0] + averages[1], <=, averages[2] + 2);

  /* counted from each start */
  gst_element_set_state (h->element, GST_STATE_READY);
  gst_element_set_state (h->element, GST_STATE_PAUSED);
  g_clear_pointer (&stats, gst_structure_free);
  g_object_get (h->element, "stats", &stats, NULL);
  check_uint64 (stats, "frames", 0);
  check_uint64 (stats, "total-latency-max", 0);
  plugin_test_teardown (h);
}

static void
check_uint (const GstStructure * structure, const gchar * field, guint expected)
{
  guint value;

  g_assert_true (gst_structure_get_uint (structure, field, &value));
  g_assert_cmpuint (value, ==, expected);
}

static void
check_string (const GstStructure * structure, const gchar * field,
    const gchar * expected)
{
  g_assert_cmpstr (gst_structure_get_string (structure, field), ==, expected);
}

static void
test_model_info (void)
{
  const gboolean is_cpu = g_str_equal (fake_backend, "cpu");
  g_autoptr (GstStructure) info = NULL;
  GstHarness *h;
  gint width;

  plugin_fake_reset ();
  h = plugin_fake_harness (model_path, "async-depth=3", NULL);
  g_object_get (h->element, "model-info", &info, NULL);
  g_assert_nonnull (info);
  check_string (info, "location", model_path);
  check_string (info, "name", "net.bin");
  check_string (info, "backend", fake_backend);
  check_string (info, "device", "fake");
  check_string (info, "precision", is_cpu ? "fp32" : "fp16");
  g_assert_cmpuint (strlen (gst_structure_get_string (info, "hash")), ==, 64);
  g_assert_true (gst_structure_get_int (info, "input-width", &width));
  g_assert_cmpint (width, ==, 32);
  check_uint (info, "heads", 1);
  check_uint (info, "classes", 10);
  check_uint (info, "max-batch", is_cpu ? 1 : 4);
  check_uint (info, "parallelism", is_cpu ? 2 : 8);
  check_uint (info, "async-depth", 3);
  check_uint64 (info, "weight-bytes", 400);
  check_uint64 (info, "workspace-bytes", 600);
  g_clear_pointer (&info, gst_structure_free);
  gst_element_set_state (h->element, GST_STATE_READY);
  g_object_get (h->element, "model-info", &info, NULL);
  g_assert_null (info);
  plugin_test_teardown (h);
}

static gpointer
get_model_info (gpointer element)
{
  GstStructure *info = NULL;

  g_object_get (element, "model-info", &info, NULL);
  return info;
}

/* The hash of a large model takes as long as reading it. */
static void
test_model_info_lock (void)
{
  g_autoptr (GstStructure) info = NULL;
  gboolean locked = FALSE;
  GpudlModel *model;
  GThread *thread;
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness (model_path, NULL, NULL);
  model = GST_GPUDL_INFER (h->element)->net.model;
  gpudl_model_get_id (model);
  g_mutex_lock (&model->lock);
  g_atomic_int_set (&model->id_known, FALSE);
  thread = g_thread_new ("info", get_model_info, h->element);
  g_usleep (100000);
  for (guint i = 0; i < 100 && !locked; i++) {
    locked = GST_OBJECT_TRYLOCK (h->element);
    g_usleep (1000);
  }
  g_mutex_unlock (&model->lock);
  info = g_thread_join (thread);
  g_assert_true (locked);
  GST_OBJECT_UNLOCK (h->element);
  g_assert_cmpuint (strlen (gst_structure_get_string (info, "hash")), ==, 64);
  plugin_test_teardown (h);
}

/* Bytes that this process has read so far. */
static guint64
bytes_read (void)
{
  g_autofree gchar *text = NULL;

  g_assert_true (g_file_get_contents ("/proc/self/io", &text, NULL, NULL));
  return g_ascii_strtoull (strstr (text, "rchar:") + 6, NULL, 10);
}

/* The file is another one before the model's hash is known. */
static void
test_hash_of_lost_file (void)
{
  const gsize size = 1 << 20;
  const gchar *path = plugin_fake_onnx ("lost.onnx",
      "GlobalAveragePool x -> p; Flatten p -> y");
  g_autofree gchar *other = g_malloc0 (size);
  GpudlModel *model;
  guint64 before;
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness (path, NULL, NULL);
  /* the element's own thread has asked already, and does not come late */
  g_clear_pointer (&GST_GPUDL_INFER (h->element)->net.hasher, g_thread_join);
  model = GST_GPUDL_INFER (h->element)->net.model;
  g_assert_cmpuint (strlen (gpudl_model_get_id (model)), ==, 64);
  g_assert_true (g_file_set_contents (path, other, size, NULL));
  g_atomic_int_set (&model->id_known, FALSE);
  before = bytes_read ();
  for (guint i = 0; i < 10; i++) {
    g_autoptr (GstBuffer) buffer = NULL;
    GstGpudlClassification *c;

    gst_harness_push (h, plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 3, i));
    buffer = gst_harness_pull (h);
    c = gst_gpudl_meta_read (buffer, 0);
    g_assert_nonnull (c);
    g_assert_cmpstr (c->model_hash, ==, "");
    gst_gpudl_classification_free (c);
  }
  g_assert_cmpuint (bytes_read () - before, <, 2 * size);
  plugin_test_teardown (h);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", 10, 1, FALSE);
  labelled_path = plugin_fake_model ("labelled.bin", 10, 1, TRUE);
  heads_path = plugin_fake_model ("heads.bin", 10, 2, FALSE);

#define ADD(name, func) g_test_add_func ("/answers/" name, func)
  ADD ("top-k-and-threshold-change-in-playing", test_top_k_and_threshold);
  ADD ("labels-from-model-file-and-number", test_labels);
  ADD ("messages-carry-times-and-all-results", test_messages);
  ADD ("each-head-has-its-metadata-and-message", test_heads);
  ADD ("scores-that-are-no-numbers-are-one-warning",
      test_scores_that_are_no_numbers);
  ADD ("stats-count-and-time", test_stats);
  ADD ("model-info-while-a-model-is-loaded", test_model_info);
  ADD ("model-info-does-not-hold-the-element", test_model_info_lock);
  ADD ("hash-of-a-lost-file-is-asked-for-once", test_hash_of_lost_file);
  return plugin_test_run ();
}

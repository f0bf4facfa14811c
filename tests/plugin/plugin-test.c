/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plugin-test.h"

#include <glib/gstdio.h>
#include <stdarg.h>
#include <string.h>

static gchar *folder;
static GPtrArray *paths;        /* that tests were given */
static gint leaks;

void
plugin_test_init (int *argc, char ***argv)
{
  g_setenv ("GST_TRACERS", "leaks", FALSE);
  gst_init (argc, argv);
  g_test_init (argc, argv, NULL);
  folder = g_dir_make_tmp ("gpudl-plugin-XXXXXX", NULL);
  g_assert_nonnull (folder);
  paths = g_ptr_array_new_with_free_func (g_free);
}

/* The leaks tracer logs each object that is alive when GStreamer shuts down. */
static void
count_leaks (GstDebugCategory * category, GstDebugLevel level,
    const gchar * file, const gchar * function, gint line, GObject * object,
    GstDebugMessage * message, gpointer user_data)
{
  const gchar *text = gst_debug_message_get (message);

  if (strstr (text, "object-alive") != NULL) {
    g_printerr ("leaked: %s\n", text);
    leaks++;
  }
}

/* With all that tests and what they call left in it. */
static void
remove_folder (void)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const gchar *name;

  g_assert_nonnull (dir);
  while ((name = g_dir_read_name (dir)) != NULL) {
    g_autofree gchar *path = g_build_filename (folder, name, NULL);

    g_assert_cmpint (g_unlink (path), ==, 0);
  }
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

int
plugin_test_run (void)
{
  int result = g_test_run ();

  remove_folder ();
  g_ptr_array_unref (paths);
  g_free (folder);

  gst_debug_remove_log_function (gst_debug_log_default);
  gst_debug_add_log_function (count_leaks, NULL, NULL);
  gst_debug_set_active (TRUE);
  gst_debug_set_threshold_for_name ("GST_TRACER", GST_LEVEL_TRACE);
  gst_deinit ();
  if (leaks > 0)
    g_printerr ("%d objects leaked\n", leaks);
  return leaks > 0 ? 1 : result;
}

const gchar *
plugin_test_file (const gchar * name, const gchar * text)
{
  gchar *path = g_build_filename (folder, name, NULL);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_ptr_array_add (paths, path);
  return path;
}

const gchar *
plugin_test_folder (void)
{
  return folder;
}

const gchar *
plugin_test_missing (void)
{
  gchar *path = g_build_filename (folder, "nothing-is-here", NULL);

  g_ptr_array_add (paths, path);
  return path;
}

GstElement *
plugin_test_element (const gchar * factory, ...)
{
  GstElement *element = gst_element_factory_make (factory, NULL);
  const gchar *setting;
  va_list args;

  g_assert_nonnull (element);
  va_start (args, factory);
  while ((setting = va_arg (args, const gchar *)) != NULL)
  {
    g_auto (GStrv) parts = g_strsplit (setting, "=", 2);

    gst_util_set_object_arg (G_OBJECT (element), parts[0], parts[1]);
  }
  va_end (args);
  return element;
}

GstHarness *
plugin_test_harness (GstElement * element, const gchar * caps)
{
  g_autoptr (GstBus) bus = gst_bus_new ();
  GstHarness *h;

  gst_object_ref_sink (element);
  gst_element_set_bus (element, bus);
  h = gst_harness_new_with_element (element, "sink", "src");
  gst_object_unref (element);
  if (caps != NULL)
    gst_harness_set_src_caps_str (h, caps);
  return h;
}

void
plugin_test_teardown (GstHarness * h)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (h->element);

  gst_harness_teardown (h);
  /* the messages hold the element, which holds the bus */
  gst_bus_set_flushing (bus, TRUE);
}

GstMessage *
plugin_test_message (GstElement * element, GstMessageType types)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (element);

  return gst_bus_timed_pop_filtered (bus, 20 * GST_SECOND, types);
}

guint
plugin_test_take_latency_messages (GstHarness * h)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (h->element);
  GstMessage *message;
  guint n = 0;

  while ((message = gst_bus_pop_filtered (bus, GST_MESSAGE_LATENCY)) != NULL) {
    gst_message_unref (message);
    n++;
  }
  return n;
}

GstClockTime
plugin_test_query_latency (GstHarness * h)
{
  g_autoptr (GstQuery) query = gst_query_new_latency ();
  GstClockTime min;

  g_assert_true (gst_pad_peer_query (h->sinkpad, query));
  gst_query_parse_latency (query, NULL, &min, NULL);
  return min;
}

void
plugin_test_one_error (GstElement * element, GQuark domain, gint code)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (element);
  g_autoptr (GstMessage) message =
      plugin_test_message (element, GST_MESSAGE_ERROR);
  g_autoptr (GstMessage) second = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree gchar *debug = NULL;

  g_assert_nonnull (message);
  gst_message_parse_error (message, &error, &debug);
  g_assert_error (error, domain, code);
  g_assert_nonnull (debug);
  second = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
  g_assert_null (second);
}

void
plugin_test_no_error (GstElement * element)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (element);
  g_autoptr (GstMessage) message =
      gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);

  g_assert_null (message);
}

GstBuffer *
plugin_test_frame (gsize size, guint8 value, guint n)
{
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, size, NULL);

  gst_buffer_memset (buffer, 0, value, size);
  GST_BUFFER_PTS (buffer) = n * 20 * GST_MSECOND;
  GST_BUFFER_DURATION (buffer) = 20 * GST_MSECOND;
  return buffer;
}

static void
record_free (gpointer data)
{
  PluginTestRecord *record = data;

  g_string_free (record->text, TRUE);
  g_mutex_clear (&record->lock);
  g_cond_clear (&record->more);
  g_free (record);
}

static GstPadProbeReturn
record_probe (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  static const struct
  {
    GstEventType type;
    gchar letter;
  } letters[] = {
    {GST_EVENT_CAPS, 'C'}, {GST_EVENT_SEGMENT, 'S'}, {GST_EVENT_EOS, 'E'},
    {GST_EVENT_GAP, 'G'},
    {GST_EVENT_FLUSH_START, '<'}, {GST_EVENT_FLUSH_STOP, '>'}, {GST_EVENT_TAG,
        'T'},
  };
  PluginTestRecord *record = user_data;
  gchar letter = '\0';

  if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
    letter = 'B';
  } else {
    for (guint i = 0; i < G_N_ELEMENTS (letters); i++) {
      if (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info)) == letters[i].type)
        letter = letters[i].letter;
    }
  }
  g_mutex_lock (&record->lock);
  if (letter != '\0')
    g_string_append_c (record->text, letter);
  g_cond_broadcast (&record->more);
  g_mutex_unlock (&record->lock);
  return GST_PAD_PROBE_OK;
}

PluginTestRecord *
plugin_test_record_new (GstHarness * h)
{
  PluginTestRecord *record = g_new0 (PluginTestRecord, 1);
  g_autoptr (GstPad) pad = gst_element_get_static_pad (h->element, "src");

  g_mutex_init (&record->lock);
  g_cond_init (&record->more);
  record->text = g_string_new (NULL);
  gst_pad_add_probe (pad,
      GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM |
      GST_PAD_PROBE_TYPE_EVENT_FLUSH, record_probe, record, record_free);
  return record;
}

gchar *
plugin_test_record_take (PluginTestRecord * record, gsize letters)
{
  gchar *text;

  g_mutex_lock (&record->lock);
  while (record->text->len < letters)
    g_cond_wait (&record->more, &record->lock);
  text = g_strdup (record->text->str);
  g_string_truncate (record->text, 0);
  g_mutex_unlock (&record->lock);
  return text;
}

gpointer
plugin_test_flush_start (gpointer harness)
{
  g_assert_true (gst_harness_push_event (harness,
          gst_event_new_flush_start ()));
  return NULL;
}

GThread *
plugin_test_begin_flush (GstHarness * h)
{
  PluginTestRecord *record = plugin_test_record_new (h);
  GThread *thread = g_thread_new ("flush", plugin_test_flush_start, h);
  g_autofree gchar *seen = plugin_test_record_take (record, 1);

  g_assert_cmpstr (seen, ==, "<");
  return thread;
}

void
plugin_test_restart (GstHarness * h)
{
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  g_assert_true (gst_harness_push_event (h, gst_event_new_segment (&segment)));
}

typedef struct
{
  GThreadFunc func;
  gpointer data;
} Later;

static gpointer
call_later (gpointer data)
{
  Later *later = data;
  gpointer result;

  g_usleep (20 * 1000);
  result = later->func (later->data);
  g_free (later);
  return result;
}

GThread *
plugin_test_later (GThreadFunc func, gpointer data)
{
  Later *later = g_new0 (Later, 1);

  later->func = func;
  later->data = data;
  return g_thread_new ("later", call_later, later);
}

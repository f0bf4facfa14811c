/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Opening a GPU and reading a model take as long as each other: an element that opens the one in READY reads the other
 * meanwhile, and has nothing of it left where it goes no further.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/cuda/gstcudaheaders.h"
#include "plugin/gstgpudlinfer.h"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

static const gchar *model_path;

static GstElement *
new_element (const gchar * model, GstBus * bus)
{
  GstElement *element =
      plugin_test_element ("gpudlinfer", "backend=cuda", NULL);

  gst_object_ref_sink (element);
  gst_element_set_bus (element, bus);
  g_object_set (element, "model", model, NULL);
  return element;
}

static void
end (GstElement * element, GstBus * bus)
{
  gst_element_set_state (element, GST_STATE_NULL);
  g_assert_null (GST_GPUDL_INFER (element)->preload);
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (element);
  plugin_fake_check_nothing_alive ();
}

static gpointer
make_ready (gpointer element)
{
  g_assert_cmpint (gst_element_set_state (GST_ELEMENT (element),
          GST_STATE_READY), ==, GST_STATE_CHANGE_SUCCESS);
  return NULL;
}

/* Whether somebody opens the file within so many ms. */
static gboolean
is_opened (gint watch, gint ms)
{
  struct pollfd file = {.fd = watch,.events = POLLIN };

  return poll (&file, 1, ms) == 1;
}

static void
test_reading (void)
{
  g_autoptr (GstBus) bus = gst_bus_new ();
  const gint watch = inotify_init1 (IN_CLOEXEC);
  GstElement *element;
  GThread *thread;

  plugin_fake_reset ();
  element = new_element (model_path, bus);
  g_assert_cmpint (inotify_add_watch (watch, model_path, IN_OPEN), >=, 0);
  FAKE_SET (fake, does.hang_device_open, 1);
  thread = g_thread_new ("ready", make_ready, element);
  FAKE_AWAIT (fake, opening, 1);
  g_assert_true (is_opened (watch, 20000));
  close (watch);
  FAKE_SET (fake, does.hang_device_open, 0);
  g_thread_join (thread);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
      GST_STATE_CHANGE_SUCCESS);
  g_assert_null (GST_GPUDL_INFER (element)->preload);
  plugin_test_no_error (element);
  end (element, bus);
}

/* Who has a context opens nothing, and reads nothing before its time. */
static void
test_context_given (void)
{
  g_autoptr (GstBus) bus = gst_bus_new ();
  GstCudaContext *context;
  GstContext *given;
  GstElement *element;

  plugin_fake_reset ();
  element = new_element (model_path, bus);
  context = gst_cuda_context_new (0);
  given = gst_context_new_cuda_context (context);
  gst_element_set_context (element, given);
  make_ready (element);
  g_assert_null (GST_GPUDL_INFER (element)->preload);
  g_assert_cmpuint (FAKE_SEEN (fake, device_tries), ==, 0);
  gst_element_set_state (element, GST_STATE_NULL);
  gst_element_set_context (element, given);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
      GST_STATE_CHANGE_SUCCESS);
  g_assert_cmpuint (FAKE_SEEN (fake, devices), ==, 1);
  gst_element_set_state (element, GST_STATE_NULL);
  gst_context_unref (given);
  gst_object_unref (context);
  end (element, bus);
}

/* READY alone, another model than the one that was read, and none at all. */
static void
test_not_needed (void)
{
  const gchar *other = plugin_fake_model ("other.bin", 4, 1, FALSE);

  for (guint i = 0; i < 5; i++) {
    g_autoptr (GstBus) bus = gst_bus_new ();
    GstElement *element;
    const gchar *models[] =
        { model_path, model_path, "/nonexistent", "", NULL };

    plugin_fake_reset ();
    element = new_element (models[i], bus);
    make_ready (element);
    g_assert_true ((GST_GPUDL_INFER (element)->preload != NULL) == (i < 3));
    if (i > 0)
      g_object_set (element, "model", other, NULL);
    plugin_test_no_error (element);
    if (i > 0)
      g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
          GST_STATE_CHANGE_SUCCESS);
    plugin_test_no_error (element);
    end (element, bus);
  }
}

/* One error, as it is loaded. */
static void
test_failure (void)
{
  g_autoptr (GstBus) bus = gst_bus_new ();
  GstElement *element;

  plugin_fake_reset ();
  element = new_element ("/nonexistent/net.bin", bus);
  make_ready (element);
  plugin_test_no_error (element);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
      GST_STATE_CHANGE_FAILURE);
  plugin_test_one_error (element, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_NOT_FOUND);
  end (element, bus);
}

/* Nothing of the model is left where there is no device. */
static void
test_no_device (void)
{
  g_autoptr (GstBus) bus = gst_bus_new ();
  GstElement *element;

  plugin_fake_reset ();
  FAKE_SET (fake, does.device_status, GPUDL_STATUS_NO_MEMORY);
  element = new_element (model_path, bus);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_READY), ==,
      GST_STATE_CHANGE_FAILURE);
  g_assert_cmpuint (FAKE_SEEN (fake, device_tries), >=, 1);
  g_assert_null (GST_GPUDL_INFER (element)->preload);
  end (element, bus);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", PLUGIN_FAKE_CLASSES, 1, FALSE);

#define ADD(name, func) g_test_add_func ("/cuda-preload/" name, func)
  ADD ("model-is-read-while-a-device-is-opened", test_reading);
  ADD ("context-that-is-there-is-not-opened", test_context_given);
  ADD ("what-was-read-is-not-needed", test_not_needed);
  ADD ("failure-is-one-error-when-it-is-loaded", test_failure);
  ADD ("no-device-leaves-nothing-read", test_no_device);
  return plugin_test_run ();
}

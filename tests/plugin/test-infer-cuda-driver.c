/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * An NVIDIA driver that is there and does not start, as after an update without a reboot or in a container without device
 * nodes. GStreamer's CUDA library takes it badly: a second attempt to make a context waits for ever in 1.22.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/cuda/gstcudaheaders.h"
#include "plugin/gstgpudlinfer.h"
#include "tests/driver/works/fake-driver.h"

#include <dlfcn.h>

static const gchar *model_path;

static FakeDriver *
get_driver (void)
{
  gpointer library = dlopen ("libcuda.so.1", RTLD_NOW);
  FakeDriverEntry entry = library != NULL ?
      (FakeDriverEntry) (guintptr) dlsym (library, FAKE_DRIVER_ENTRY) : NULL;

  if (entry == NULL)
    g_error ("libcuda.so.1 is not the tests' own: LD_LIBRARY_PATH names it");
  return entry ();
}

static void
check_auto (void)
{
  g_autoptr (GstStructure) info = NULL;
  g_autoptr (GstCaps) caps = NULL;
  GstHarness *h = plugin_fake_harness (model_path, "backend=auto", NULL);

  g_object_get (h->element, "model-info", &info, NULL);
  g_assert_cmpstr (gst_structure_get_string (info, "backend"), ==, "cpu");
  g_assert_null (GST_GPUDL_INFER (h->element)->cuda.context);
  caps = gst_pad_peer_query_caps (h->srcpad, NULL);
  for (guint i = 0; i < gst_caps_get_size (caps); i++)
    g_assert_false (gst_caps_features_contains (gst_caps_get_features (caps, i),
            GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY));
  plugin_fake_push (h, 1);
  gst_buffer_unref (gst_harness_pull (h));
  plugin_test_no_error (h->element);
  plugin_test_teardown (h);
}

static void
check_cuda (void)
{
  GstElement *element =
      plugin_test_element ("gpudlinfer", "backend=cuda", NULL);
  g_autoptr (GstBus) bus = gst_bus_new ();

  gst_object_ref_sink (element);
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

/* The network runs on the GPU, without GStreamer's CUDA library. */
static void
check_alone (void)
{
  GstHarness *h = plugin_fake_harness (model_path, "backend=cuda", NULL);

  g_assert_null (GST_GPUDL_INFER (h->element)->cuda.context);
  plugin_fake_push (h, 1);
  gst_buffer_unref (gst_harness_pull (h));
  plugin_test_no_error (h->element);
  plugin_test_teardown (h);
}

/* The CPU by auto, an error for who wants CUDA, as often as it is tried. A driver may take seconds to say no: where the
 * backend has heard it, GStreamer does not ask again, and it asks once at most. */
static void
run (void)
{
  FakeDriver *driver = get_driver ();
  const guint before = driver->inits;

  plugin_fake_reset ();
  fake_other->reset ();
  FAKE_SET (fake, does.probe_status, GPUDL_STATUS_NO_DEVICE);
  for (guint i = 0; i < 3; i++) {
    check_auto ();
    check_cuda ();
  }
  FAKE_SET (fake, does.probe_status, GPUDL_STATUS_OK);
  g_assert_cmpuint (driver->inits, ==, before);
  for (guint i = 0; i < 2; i++)
    check_alone ();
  g_assert_cmpuint (driver->inits, ==, before + 1);
  plugin_fake_check_nothing_alive ();
}

static void
check_driver (const gchar * how)
{
  if (g_test_subprocess ()) {
    run ();
    return;
  }
  g_setenv ("GPUDL_TEST_DRIVER", how, TRUE);
  g_test_trap_subprocess (NULL, 20 * G_TIME_SPAN_SECOND,
      G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_unsetenv ("GPUDL_TEST_DRIVER");
  g_test_trap_assert_passed ();
}

static void
test_fails (void)
{
  check_driver ("fails");
}

static void
test_slow (void)
{
  check_driver ("slow");
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", PLUGIN_FAKE_CLASSES, 1, FALSE);

#define ADD(name, func) g_test_add_func ("/cuda-driver/" name, func)
  ADD ("one-that-fails-is-none", test_fails);
  ADD ("one-that-takes-seconds-to-fail-is-asked-once", test_slow);
  return plugin_test_run ();
}

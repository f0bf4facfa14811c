/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What gpudlinfer makes of failures: downstream's results, which come back and stick, and the engine's, which are one
 * error each. On the same modules as test-infer-flow.c.
 */
#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"

#include <string.h>

static const gchar *model_path;

/* ---- downstream ---------------------------------------------------------------------------------------------------*/

static GstFlowReturn chain_result;

static GstFlowReturn
chain (GstPad * pad, GstObject * parent, GstBuffer * buffer)
{
  gst_buffer_unref (buffer);
  return chain_result;
}

/* The element does not go round and round with a result that stays. */
static void
await_paused_task (GstHarness * h)
{
  g_autoptr (GstPad) src = gst_element_get_static_pad (h->element, "src");
  const gint64 end = g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND;

  while (gst_pad_get_task_state (src) != GST_TASK_PAUSED) {
    g_assert_cmpint (g_get_monotonic_time (), <, end);
    g_usleep (1000);
  }
}

static void
test_downstream_results (void)
{
  static const GstFlowReturn results[] =
      { GST_FLOW_ERROR, GST_FLOW_EOS, GST_FLOW_FLUSHING,
    GST_FLOW_NOT_NEGOTIATED, GST_FLOW_NOT_LINKED, GST_FLOW_NOT_SUPPORTED
  };

  for (guint i = 0; i < G_N_ELEMENTS (results); i++) {
    for (guint depth = 1; depth <= 4; depth += 3) {
      GstHarness *h;

      plugin_fake_reset ();
      h = plugin_fake_harness_of_depth (model_path, depth);
      gst_pad_set_chain_function (h->sinkpad, chain);
      chain_result = results[i];
      g_assert_cmpint (plugin_fake_push_until_told (h, depth), ==, results[i]);
      await_paused_task (h);
      /* and it stays so, without asking downstream again */
      chain_result = GST_FLOW_OK;
      g_assert_cmpint (gst_harness_push (h,
              plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 0, 0)), ==, results[i]);
      /* until a flush */
      g_assert_true (gst_harness_push_event (h, gst_event_new_flush_start ()));
      g_assert_true (gst_harness_push_event (h,
              gst_event_new_flush_stop (TRUE)));
      plugin_test_restart (h);
      g_assert_cmpint (gst_harness_push (h,
              plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 0, 0)), ==,
          GST_FLOW_OK);
      plugin_test_teardown (h);
    }
  }
}

static void
test_downstream_eos_until_segment (void)
{
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 3);
  gst_pad_set_chain_function (h->sinkpad, chain);
  chain_result = GST_FLOW_EOS;
  g_assert_cmpint (plugin_fake_push_until_told (h, 3), ==, GST_FLOW_EOS);
  chain_result = GST_FLOW_OK;
  plugin_test_restart (h);
  for (guint i = 0; i < 10; i++)
    plugin_fake_push (h, i);
  plugin_test_teardown (h);
}

static void
test_unlinked_until_relinked (void)
{
  g_autoptr (GstPad) src = NULL;
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 3);
  src = gst_element_get_static_pad (h->element, "src");
  plugin_fake_push (h, 0);
  plugin_fake_pull (h, 0);
  g_assert_true (gst_pad_unlink (src, h->sinkpad));
  g_assert_cmpint (plugin_fake_push_until_told (h, 3), ==, GST_FLOW_NOT_LINKED);
  g_assert_cmpint (gst_pad_link (src, h->sinkpad), ==, GST_PAD_LINK_OK);
  plugin_fake_push (h, 50);
  for (;;) {                    /* what was in flight when the pad was unlinked may come first */
    g_autoptr (GstBuffer) buffer = gst_harness_pull (h);

    if (GST_BUFFER_PTS (buffer) == 50 * 20 * GST_MSECOND)
      break;
  }
  plugin_test_teardown (h);
}

/* An error of downstream that no buffer takes back to upstream is said at EOS. */
static void
test_eos_after_bad_result (void)
{
  GstHarness *h;

  plugin_fake_reset ();
  h = plugin_fake_harness_of_depth (model_path, 4);
  gst_pad_set_chain_function (h->sinkpad, chain);
  chain_result = GST_FLOW_NOT_NEGOTIATED;
  plugin_fake_push (h, 0);
  g_usleep (20 * 1000);
  gst_harness_push_event (h, gst_event_new_eos ());
  plugin_test_one_error (h->element, GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED);
  plugin_test_teardown (h);
}

/* What nobody takes any more does not run, but for what runs already. */
static void
test_bad_result_takes_back (void)
{
  GstHarness *h;

  plugin_fake_reset ();
  fake->is.n_slots = fake->is.max_batch = 1;
  fake->does.delay_us = 20 * 1000;
  h = plugin_fake_harness_of_depth (model_path, 8);
  gst_pad_set_chain_function (h->sinkpad, chain);
  chain_result = GST_FLOW_NOT_LINKED;
  for (guint i = 0; i < 8; i++)
    plugin_fake_push (h, i);
  gst_harness_set_src_caps_str (h, PLUGIN_TEST_GRAY ",pixel-aspect-ratio=2/1");
  g_assert_cmpuint (FAKE_SEEN (fake, runs), <, 6);
  plugin_test_teardown (h);
}

/* ---- failures of the engine ---------------------------------------------------------------------------------------*/

static void
flush (GstHarness * h)
{
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_start ()));
  g_assert_true (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
  plugin_test_restart (h);
  while (gst_harness_buffers_in_queue (h) > 0)
    gst_buffer_unref (gst_harness_pull (h));
}

static void
check_engine_failure (PluginFakeFailAt at, GpudlStatus status, GQuark domain,
    gint gst_code)
{
  g_autoptr (GstStructure) stats = NULL;
  guint64 errors;
  GstHarness *h;

  plugin_fake_reset ();
  if (at == PLUGIN_FAKE_AT_STAGE && fake->table->stage == NULL)
    return;
  fake->is.n_slots = fake->is.max_batch = 1;    /* frames run in their order */
  h = plugin_fake_harness_of_depth (model_path, 2);
  plugin_fake_fail_at (at, 3, status);
  g_assert_cmpint (plugin_fake_push_until_told (h, 6), ==, GST_FLOW_ERROR);
  g_assert_cmpint (gst_harness_push (h,
          plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, 0, 0)), ==, GST_FLOW_ERROR);
  gst_harness_push_event (h, gst_event_new_eos ());
  plugin_test_one_error (h->element, domain, gst_code);
  g_assert_cmpuint (gst_harness_buffers_received (h), <=, 2);
  g_object_get (h->element, "stats", &stats, NULL);
  g_assert_true (gst_structure_get_uint64 (stats, "errors", &errors));
  g_assert_cmpuint (errors, >=, 1);
  /* a frame that comes meanwhile finds the device gone, too */
  g_assert_cmpuint (errors, <=, status == GPUDL_STATUS_DEVICE ? 2 : 1);

  /* flushed it works again, unless the device is gone; what fails then is said again */
  flush (h);
  if (status != GPUDL_STATUS_DEVICE) {
    plugin_fake_push (h, 77);
    plugin_fake_pull (h, 77);
    plugin_fake_fail_at (at, 1, status);
  }
  g_assert_cmpint (plugin_fake_push_until_told (h, 3), ==, GST_FLOW_ERROR);
  plugin_test_one_error (h->element, domain, gst_code);

  /* stopped and started it works in any case */
  gst_element_set_state (h->element, GST_STATE_NULL);
  plugin_fake_check_nothing_alive ();
  gst_harness_play (h);
  gst_harness_set_src_caps_str (h, PLUGIN_TEST_GRAY);
  plugin_fake_push (h, 78);
  plugin_fake_pull (h, 78);
  g_assert_cmpuint (FAKE_SEEN (fake, opens), ==, 2);
  plugin_test_teardown (h);
}

static void
test_engine_failures (void)
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
    {GPUDL_STATUS_NO_MEMORY, gst_resource_error_quark,
        GST_RESOURCE_ERROR_NO_SPACE_LEFT},
    {GPUDL_STATUS_DEVICE, gst_stream_error_quark, GST_STREAM_ERROR_FAILED},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    for (PluginFakeFailAt at = PLUGIN_FAKE_AT_STAGE; at <= PLUGIN_FAKE_AT_RUN;
        at++)
      check_engine_failure (at, cases[i].status, cases[i].domain (),
          cases[i].code);
  }
}

/* All elements on the device fail, each with an error of its own, and all of them can be started again. */
static void
test_device_gone (void)
{
  GstHarness *h[2];

  plugin_fake_reset ();
  FAKE_SET (fake, does.hold, TRUE);
  for (guint i = 0; i < 2; i++)
    h[i] = plugin_fake_harness_of_depth (model_path, 4);
  for (guint i = 0; i < 8; i++)
    plugin_fake_push (h[i % 2], i);
  FAKE_AWAIT (fake, running, 2);
  FAKE_SET (fake, does.die, TRUE);
  for (guint i = 0; i < 2; i++) {
    g_assert_cmpint (plugin_fake_push_until_told (h[i], 4), ==, GST_FLOW_ERROR);
    plugin_test_one_error (h[i]->element, GST_STREAM_ERROR,
        GST_STREAM_ERROR_FAILED);
    g_assert_cmpuint (gst_harness_buffers_received (h[i]), ==, 0);
  }
  FAKE_SET (fake, does.hold, FALSE);
  for (guint i = 0; i < 2; i++) {
    gst_element_set_state (h[i]->element, GST_STATE_NULL);
    gst_harness_play (h[i]);
    gst_harness_set_src_caps_str (h[i], PLUGIN_TEST_GRAY);
    plugin_fake_push (h[i], 10 + i);
    plugin_fake_pull (h[i], 10 + i);
  }
  g_assert_cmpuint (FAKE_SEEN (fake, opens), ==, 2);
  g_assert_cmpuint (FAKE_SEEN (fake, engines), ==, 1);
  for (guint i = 0; i < 2; i++)
    plugin_test_teardown (h[i]);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", PLUGIN_FAKE_CLASSES, 1, FALSE);

  g_test_add_func
      ("/results/downstream-result-comes-back-and-sticks-until-flush",
      test_downstream_results);
  g_test_add_func ("/results/downstream-eos-ends-with-next-segment",
      test_downstream_eos_until_segment);
  g_test_add_func ("/results/not-linked-ends-with-next-link",
      test_unlinked_until_relinked);
  g_test_add_func ("/results/bad-result-takes-back-what-waits",
      test_bad_result_takes_back);
  g_test_add_func ("/results/bad-result-is-posted-at-eos",
      test_eos_after_bad_result);
  g_test_add_func ("/results/engine-failure-is-one-element-error",
      test_engine_failures);
  g_test_add_func ("/results/device-that-fails-takes-all-its-elements-along",
      test_device_gone);
  return plugin_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * From GStreamer 1.24 on: the same classification as a GstAnalyticsClsMtd.
 */
#include <gst/analytics/analytics.h>

#include "plugin-fake.h"
#include "plugin-test.h"
#include "plugin/gstgpudlinfer.h"

static const gchar *model_path;

static GstHarness *
new_harness (void)
{
  GstElement *element = plugin_test_element ("gpudlinfer", "top-k=3", NULL);

  plugin_fake_reset ();
  g_object_set (element, "model", model_path, NULL);
  return plugin_test_harness (element,
      "video/x-raw,format=GRAY8,width=4,height=4,framerate=50/1");
}

static guint
count_classifications (GstBuffer * buffer, GstAnalyticsClsMtd * mtd)
{
  GstAnalyticsRelationMeta *relations =
      gst_buffer_get_analytics_relation_meta (buffer);
  gpointer state = NULL;
  guint n = 0;

  if (relations == NULL)
    return 0;
  while (gst_analytics_relation_meta_iterate (relations, &state,
          gst_analytics_cls_mtd_get_mtd_type (), (GstAnalyticsMtd *) mtd))
    n++;
  return n;
}

static void
test_same_as_custom_meta (void)
{
  GstHarness *h = new_harness ();
  g_autoptr (GstGpudlClassification) c = NULL;
  g_autoptr (GstBuffer) out = NULL;
  GstAnalyticsClsMtd mtd;

  gst_harness_push (h, plugin_test_frame (16, 4, 0));
  out = gst_harness_pull (h);
  c = gst_gpudl_meta_read (out, 0);
  g_assert_cmpuint (count_classifications (out, &mtd), ==, 1);
  g_assert_cmpuint (gst_analytics_cls_mtd_get_length (&mtd), ==, 3);
  for (guint i = 0; i < 3; i++) {
    g_assert_cmpstr (g_quark_to_string (gst_analytics_cls_mtd_get_quark (&mtd,
                i)), ==, c->classes[i].label);
    g_assert_cmpfloat (gst_analytics_cls_mtd_get_level (&mtd, i), ==,
        c->classes[i].confidence);
  }
  plugin_test_teardown (h);
}

/* Overlays read index 0 alone: the best one has to stand there. */
static void
test_best_first (void)
{
  GstHarness *h = new_harness ();
  g_autoptr (GstBuffer) out = NULL;
  GstAnalyticsClsMtd mtd;

  gst_harness_push (h, plugin_test_frame (16, 4, 0));
  out = gst_harness_pull (h);
  g_assert_cmpuint (count_classifications (out, &mtd), ==, 1);
  g_assert_cmpstr (g_quark_to_string (gst_analytics_cls_mtd_get_quark (&mtd,
              0)), ==, "label 4");
  for (guint i = 1; i < 3; i++)
    g_assert_cmpfloat (gst_analytics_cls_mtd_get_level (&mtd, i), <,
        gst_analytics_cls_mtd_get_level (&mtd, i - 1));
  g_assert_cmpint (gst_analytics_cls_mtd_get_index_by_quark (&mtd,
          g_quark_from_string ("label 4")), ==, 0);
  plugin_test_teardown (h);
}

static void
test_survives_conversion (void)
{
  g_autofree gchar *line = g_strdup_printf ("videotestsrc num-buffers=1 ! "
      "video/x-raw,format=I420,width=64,height=48 ! gpudlinfer model=%s ! "
      "videoconvert ! videoscale ! video/x-raw,format=RGB,width=20,height=20 ! "
      "fakesink name=sink", model_path);
  g_autoptr (GstElement) pipeline = NULL, sink = NULL;
  g_autoptr (GstSample) sample = NULL;
  GstAnalyticsClsMtd mtd;

  plugin_fake_reset ();
  pipeline = gst_parse_launch (line, NULL);
  g_assert_nonnull (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PAUSED);
  g_assert_cmpint (gst_element_get_state (pipeline, NULL, NULL,
          10 * GST_SECOND), ==, GST_STATE_CHANGE_SUCCESS);
  sink = gst_bin_get_by_name (GST_BIN (pipeline), "sink");
  g_object_get (sink, "last-sample", &sample, NULL);
  g_assert_nonnull (sample);
  g_assert_cmpuint (count_classifications (gst_sample_get_buffer (sample),
          &mtd), ==, 1);
  g_assert_cmpuint (gst_analytics_cls_mtd_get_length (&mtd), ==, 5);
  gst_element_set_state (pipeline, GST_STATE_NULL);
}

static void
test_joins_what_is_there (void)
{
  GstHarness *h = new_harness ();
  GstBuffer *in = plugin_test_frame (16, 4, 0);
  g_autoptr (GstBuffer) out = NULL;
  GstAnalyticsRelationMeta *relations;
  GstAnalyticsODMtd object;
  GstAnalyticsClsMtd mtd;

  relations = gst_buffer_add_analytics_relation_meta (in);
  g_assert_true (gst_analytics_relation_meta_add_od_mtd (relations,
          g_quark_from_string ("face"), 0, 0, 2, 2, 0.5, &object));
  gst_harness_push (h, in);
  out = gst_harness_pull (h);
  g_assert_true (gst_buffer_get_analytics_relation_meta (out) == relations);
  g_assert_cmpuint (gst_analytics_relation_get_length (relations), ==, 2);
  g_assert_cmpuint (count_classifications (out, &mtd), ==, 1);
  plugin_test_teardown (h);
}

static void
test_none_without_classes (void)
{
  GstHarness *h = new_harness ();
  g_autoptr (GstBuffer) out = NULL;
  GstAnalyticsClsMtd mtd;
  GstBuffer *gap = plugin_test_frame (16, 4, 0);

  GST_BUFFER_FLAG_SET (gap, GST_BUFFER_FLAG_GAP);
  gst_harness_push (h, gap);
  out = gst_harness_pull (h);
  g_assert_cmpuint (count_classifications (out, &mtd), ==, 0);
  plugin_test_teardown (h);
}

int
main (int argc, char **argv)
{
  plugin_test_init (&argc, &argv);
  GST_ELEMENT_REGISTER (gpudlinfer, NULL);
  plugin_fake_init ();
  model_path = plugin_fake_model ("net.bin", 10, 1, TRUE);

#define ADD(name, func) g_test_add_func ("/analytics/" name, func)
  ADD ("says-what-the-custom-meta-says", test_same_as_custom_meta);
  ADD ("best-class-first", test_best_first);
  ADD ("survives-convert-and-scale", test_survives_conversion);
  ADD ("joins-the-relations-of-other-elements", test_joins_what_is_there);
  ADD ("none-on-frames-that-are-not-classified", test_none_without_classes);
  return plugin_test_run ();
}

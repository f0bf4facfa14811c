/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plugin-fake.h"

#include "engine/model.h"
#include "engine/session/session.h"
#include "models/gpudl-import.h"
#include "plugin-test.h"
#include "tests/models/onnx-writer.h"

#define WIDTH 32
#define HEIGHT 24

Fake *fake, *fake_other;
const gchar *fake_backend;

void
plugin_fake_init (void)
{
  const gchar *asked = g_getenv ("GPUDL_TEST_BACKEND");

  fake_backend = asked != NULL ? asked : "cpu";
  fake = fake_get (fake_backend);
  fake_other = fake_get (g_str_equal (fake_backend, "cpu") ? "cuda" : "cpu");
}

static void
check_module (Fake * module)
{
  g_assert_cmpuint (FAKE_SEEN (module, engines), ==, 0);
  /* a device that was promised to a load that failed is closed by the thread that opens it */
  FAKE_AWAIT_EXACTLY (module, devices, 0);
  g_assert_cmpuint (FAKE_SEEN (module, tickets), ==, 0);
  g_assert_cmpuint (FAKE_SEEN (module, blocks), ==, 0);
}

void
plugin_fake_check_nothing_alive (void)
{
  g_assert_cmpuint (gpudl_session_count (), ==, 0);
  check_module (fake);
  check_module (fake_other);
}

void
plugin_fake_reset (void)
{
  plugin_fake_check_nothing_alive ();
  fake->reset ();
  fake_other->reset ();
  /* "auto" goes on to the next one */
  FAKE_SET (fake_other, does.probe_status, GPUDL_STATUS_NO_DEVICE);
}

gpointer
plugin_fake_release (gpointer data)
{
  FAKE_SET (fake, does.hold, FALSE);
  return NULL;
}

void
plugin_fake_fail_at (PluginFakeFailAt at, guint n, GpudlStatus status)
{
  fake_lock (fake);
  fake->does.fail_status = status;
  switch (at) {
    case PLUGIN_FAKE_AT_STAGE:
      fake->does.fail_stage_at = fake->seen.stages + n;
      break;
    case PLUGIN_FAKE_AT_SUBMIT:
      fake->does.fail_submit_at = fake->seen.submits + n;
      break;
    case PLUGIN_FAKE_AT_RUN:
      fake->does.fail_run_at = fake->seen.submits + n;
      break;
  }
  fake_unlock (fake);
}

/* ---- models ------------------------------------------------------------------------------------------------------ */

/* Pixels in a row, of which each head takes as many as it has classes. */
static GpudlGraph *
make_graph (guint n_classes, guint n_heads)
{
  static const gchar *const names[] = { "first", "second" };
  const GpudlShape shape = { 4, {1, 3, HEIGHT, WIDTH} };
  GpudlGraph *graph = gpudl_graph_new ();
  GpudlTensor *input, *flat;
  GpudlNode *node;

  input = gpudl_graph_add_input (graph, "pixels", GPUDL_DTYPE_F32, &shape);
  node = gpudl_graph_add_node (graph, GPUDL_OP_RESHAPE, "flat", &input, 1,
      NULL, 1);
  node->attrs.shape.rank = 2;
  node->attrs.shape.dims[1] = -1;
  flat = node->outputs[0];
  for (guint i = 0; i < n_heads; i++) {
    const gchar *name = i < G_N_ELEMENTS (names) ? names[i] : NULL;
    g_autofree gchar *number = g_strdup_printf ("head %u", i);

    node = gpudl_graph_add_node (graph, GPUDL_OP_SLICE, number, &flat, 1,
        &name, 1);
    node->attrs.slice.rank = 2;
    node->attrs.slice.start[1] = i;
    node->attrs.slice.end[0] = G_MAXINT64;
    node->attrs.slice.end[1] = i + n_classes;
    node->attrs.slice.step[0] = node->attrs.slice.step[1] = 1;
    gpudl_graph_add_output (graph, node->outputs[0]);
  }
  return graph;
}

static const gchar *
write_model (const gchar * name, guint n_classes, guint n_heads,
    gboolean labels, GpudlResizeMode resize_mode, gfloat crop_fraction)
{
  const GpudlPreproc preproc = {
    .width = WIDTH,.height = HEIGHT,.channels = 3,
    .channel_order = GPUDL_CHANNELS_RGB,
    .resize_mode = resize_mode,
    .scale_method = GPUDL_SCALE_BILINEAR,
    .crop_fraction = crop_fraction,.pad_color = 0x727272,.pixel_scale = 255,
    .mean = {0.1f, 0.2f, 0.3f},.std = {1, 2, 3}
  };
  const gchar *path = plugin_test_file (name, "");
  g_autoptr (GpudlModel) model = NULL;
  g_autoptr (GError) error = NULL;

  model = gpudl_model_new (make_graph (n_classes, n_heads), "", &preproc,
      &error);
  g_assert_no_error (error);
  if (labels) {
    g_auto (GStrv) texts = g_new0 (gchar *, n_classes + 1);

    for (guint i = 0; i < n_classes; i++)
      texts[i] = g_strdup_printf ("label %u", i);
    gpudl_model_set_labels (model, (const gchar * const *) texts, &error);
    g_assert_no_error (error);
  }
  gpudl_model_save (model, path, &error);
  g_assert_no_error (error);
  return path;
}

const gchar *
plugin_fake_model (const gchar * name, guint n_classes, guint n_heads,
    gboolean labels)
{
  return write_model (name, n_classes, n_heads, labels, GPUDL_RESIZE_STRETCH,
      0.875f);
}

const gchar *
plugin_fake_cropping_model (const gchar * name, guint n_classes,
    gfloat crop_fraction)
{
  return write_model (name, n_classes, 1, FALSE, GPUDL_RESIZE_CENTER_CROP,
      crop_fraction);
}

const gchar *
plugin_fake_onnx (const gchar * name, const gchar * nodes)
{
  const OnnxText text = { 17, "x:f32:1x3x24x32", NULL, nodes, "y" };
  const gchar *path = plugin_test_file (name, "");
  GByteArray *bytes = onnx_write (&text);

  g_assert_true (g_file_set_contents (path, (const gchar *) bytes->data,
          bytes->len, NULL));
  g_byte_array_unref (bytes);
  return path;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

GstHarness *
plugin_fake_harness (const gchar * model, const gchar * first,
    const gchar * second)
{
  GstElement *element =
      plugin_test_element ("gpudlinfer", first, first ? second : NULL, NULL);

  g_object_set (element, "model", model, NULL);
  return plugin_test_harness (element, PLUGIN_TEST_GRAY);
}

GstHarness *
plugin_fake_harness_of_depth (const gchar * model, guint depth)
{
  g_autofree gchar *setting = g_strdup_printf ("async-depth=%u", depth);

  return plugin_fake_harness (model, setting, NULL);
}

void
plugin_fake_push (GstHarness * h, guint n)
{
  g_assert_cmpint (gst_harness_push (h,
          plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, n, n)), ==, GST_FLOW_OK);
}

GstFlowReturn
plugin_fake_push_until_told (GstHarness * h, guint depth)
{
  GstFlowReturn ret = GST_FLOW_OK;

  for (guint i = 0; i < depth + 2 && ret == GST_FLOW_OK; i++)
    ret = gst_harness_push (h, plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, i, i));
  return ret;
}

void
plugin_fake_check_frame (GstHarness * h, GstBuffer * buffer, guint n)
{
  g_autoptr (GstGpudlClassification) c = NULL;
  g_autofree gchar *path = NULL;
  g_autofree gchar *model = NULL;

  g_assert_nonnull (buffer);
  g_assert_cmpuint (GST_BUFFER_PTS (buffer), ==, n * 20 * GST_MSECOND);
  g_assert_cmpuint (GST_BUFFER_DURATION (buffer), ==, 20 * GST_MSECOND);
  c = gst_gpudl_meta_read (buffer, 0);
  g_assert_nonnull (c);
  g_assert_cmpuint (c->classes[0].id, ==, n % PLUGIN_FAKE_CLASSES);
  g_assert_cmpuint (c->source_pts, ==, GST_BUFFER_PTS (buffer));
  g_assert_true (c->fresh);
  g_object_get (h->element, "model", &path, NULL);
  model = g_path_get_basename (path);
  g_assert_cmpstr (c->model, ==, model);
}

void
plugin_fake_pull (GstHarness * h, guint n)
{
  g_autoptr (GstBuffer) buffer = gst_harness_pull (h);

  plugin_fake_check_frame (h, buffer, n);
}

GstGpudlClassification *
plugin_fake_classify (GstHarness * h, guint8 value)
{
  g_autoptr (GstBuffer) buffer = NULL;
  GstGpudlClassification *c;

  g_assert_cmpint (gst_harness_push (h,
          plugin_test_frame (PLUGIN_TEST_GRAY_SIZE, value, 0)), ==,
      GST_FLOW_OK);
  buffer = gst_harness_pull (h);
  c = gst_gpudl_meta_read (buffer, 0);
  g_assert_nonnull (c);
  return c;
}

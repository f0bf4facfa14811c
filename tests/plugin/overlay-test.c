/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "overlay-test.h"

#include "plugin-test.h"
#include "plugin/gstgpudlmeta.h"

GstHarness *
overlay_harness (const gchar * caps, const gchar * first, const gchar * second,
    gboolean attaches)
{
  GstElement *element = plugin_test_element ("gpudloverlay", first,
      first ? second : NULL, NULL);
  GstHarness *h = plugin_test_harness (element, NULL);

  if (attaches)                 /* as a sink that composes by itself */
    gst_harness_add_propose_allocation_meta (h,
        GST_VIDEO_OVERLAY_COMPOSITION_META_API_TYPE, NULL);
  gst_harness_set_src_caps_str (h, caps);
  return h;
}

GstBuffer *
overlay_frame (gsize size, guint n, const gchar * label, gfloat confidence)
{
  GstBuffer *buffer = plugin_test_frame (size, 100, 0);
  GstGpudlClass classes[20] = { {0,}, };
  const GstGpudlClassification c = {
    .model = "m",.model_hash = "h",.classes = classes,.n_classes = n,
    .fresh = TRUE,.region = {0, 0, 1, 1}
  };

  g_assert_cmpuint (n, <=, G_N_ELEMENTS (classes));
  for (guint i = 0; i < n; i++) {
    classes[i].label = g_intern_string (label);
    classes[i].quark = g_quark_from_string (label);
    classes[i].id = i;
    classes[i].confidence = confidence / (1 << i);
  }
  gst_gpudl_meta_attach (buffer, &c);
  return buffer;
}

GstBuffer *
overlay_pass (GstHarness * h, GstBuffer * buffer)
{
  GstBuffer *out;

  g_assert_cmpint (gst_harness_push (h, buffer), ==, GST_FLOW_OK);
  out = gst_harness_pull (h);
  g_assert_nonnull (out);
  return out;
}

OverlayDrawn
overlay_look (GstBuffer * buffer)
{
  OverlayDrawn drawn = { WIDTH, HEIGHT, -1, -1, 0, 0, 0 };
  GstMapInfo map;

  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READ));
  g_assert_cmpuint (map.size, ==, WIDTH * HEIGHT * 3);
  for (gint y = 0; y < HEIGHT; y++) {
    for (gint x = 0; x < WIDTH; x++) {
      const guint8 *p = map.data + (y * WIDTH + x) * 3;

      if (p[0] == 100 && p[1] == 100 && p[2] == 100)
        continue;
      drawn.changed++;
      drawn.green += p[1] > 150 && p[0] < 120 && p[2] < 120;
      drawn.blue += p[2] > p[0] + 30;
      drawn.left = MIN (drawn.left, x);
      drawn.right = MAX (drawn.right, x);
      drawn.top = MIN (drawn.top, y);
      drawn.bottom = MAX (drawn.bottom, y);
    }
  }
  gst_buffer_unmap (buffer, &map);
  return drawn;
}

OverlayDrawn
overlay_draw (const gchar * first, const gchar * second, guint n,
    const gchar * label, gfloat confidence)
{
  GstHarness *h = overlay_harness (RGB, first, second, FALSE);
  g_autoptr (GstBuffer) out =
      overlay_pass (h, overlay_frame (WIDTH * HEIGHT * 3, n, label,
          confidence));
  const OverlayDrawn drawn = overlay_look (out);

  plugin_test_teardown (h);
  return drawn;
}

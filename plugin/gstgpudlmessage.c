/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include "gpudl-config.h"
#endif

#include "gstgpudlmessage.h"

static void
set_class (GstStructure * structure, const GstGpudlClass * class)
{
  gst_structure_set (structure, "label", G_TYPE_STRING, class->label,
      "id", G_TYPE_INT, (gint) class->id,
      "confidence", G_TYPE_DOUBLE, (gdouble) class->confidence, NULL);
}

GstMessage *
gst_gpudl_message_new (GstObject * source, GstBuffer * buffer,
    const GstSegment * segment, const GstGpudlClassification * classification)
{
  const GstGpudlClassification *c = classification;
  const GstClockTime pts = GST_BUFFER_PTS (buffer);
  GstClockTime stream_time = GST_CLOCK_TIME_NONE;
  GstClockTime running_time = GST_CLOCK_TIME_NONE;
  GValue results = G_VALUE_INIT;
  GstStructure *structure;

  if (segment->format == GST_FORMAT_TIME && GST_CLOCK_TIME_IS_VALID (pts)) {
    stream_time = gst_segment_to_stream_time (segment, GST_FORMAT_TIME, pts);
    running_time = gst_segment_to_running_time (segment, GST_FORMAT_TIME, pts);
  }
  structure = gst_structure_new ("gpudlinfer-result",
      "timestamp", G_TYPE_UINT64, pts,
      "stream-time", G_TYPE_UINT64, stream_time,
      "running-time", G_TYPE_UINT64, running_time,
      "duration", G_TYPE_UINT64, GST_BUFFER_DURATION (buffer),
      "model", G_TYPE_STRING, c->model, NULL);
  if (c->head != NULL)
    gst_structure_set (structure, "head", G_TYPE_STRING, c->head, NULL);
  if (c->n_classes > 0)
    set_class (structure, &c->classes[0]);

  gst_value_list_init (&results, c->n_classes);
  for (guint i = 0; i < c->n_classes; i++) {
    GstStructure *result = gst_structure_new_empty ("result");
    GValue value = G_VALUE_INIT;

    set_class (result, &c->classes[i]);
    g_value_init (&value, GST_TYPE_STRUCTURE);
    g_value_take_boxed (&value, result);
    gst_value_list_append_and_take_value (&results, &value);
  }
  gst_structure_take_value (structure, "results", &results);
  return gst_message_new_element (source, structure);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include "gpudl-config.h"
#endif

#include "gstgpudlresult.h"

#include <string.h>

void
gst_gpudl_result_init (GstGpudlResult * result)
{
  memset (result, 0, sizeof (*result));
  g_mutex_init (&result->lock);
}

void
gst_gpudl_result_clear (GstGpudlResult * result)
{
  g_assert (result->labels == NULL);
  g_mutex_clear (&result->lock);
}

void
gst_gpudl_result_open (GstGpudlResult * result, GpudlModel * model,
    const gchar * name)
{
  guint max_classes = 0;
  GstGpudlLabels **labels;

  result->model = gpudl_model_ref (model);
  result->name = g_strdup (name);
  result->n_heads = gpudl_model_get_n_heads (model);
  result->no_scores = 0;
  labels = g_new0 (GstGpudlLabels *, result->n_heads);
  result->answers = g_new0 (GstGpudlAnswer, result->n_heads);
  for (guint i = 0; i < result->n_heads; i++) {
    const guint n_classes = gpudl_model_get_n_classes (model, i);

    labels[i] = gst_gpudl_labels_new_embedded (model, i);
    result->answers[i].classes = g_new (GstGpudlClass, n_classes);
    max_classes = MAX (max_classes, n_classes);
  }
  result->best = g_new (GpudlClass, max_classes);
  gst_gpudl_result_forget (result);
  g_mutex_lock (&result->lock);
  result->labels = labels;
  g_mutex_unlock (&result->lock);
}

void
gst_gpudl_result_close (GstGpudlResult * result)
{
  GstGpudlLabels **labels;

  g_mutex_lock (&result->lock);
  labels = g_steal_pointer (&result->labels);
  g_mutex_unlock (&result->lock);
  for (guint i = 0; i < result->n_heads; i++) {
    gst_gpudl_labels_unref (labels[i]);
    g_free (result->answers[i].classes);
  }
  result->n_heads = 0;
  g_free (labels);
  g_clear_pointer (&result->best, g_free);
  g_clear_pointer (&result->answers, g_free);
  result->hash = NULL;
  g_clear_pointer (&result->model, gpudl_model_unref);
  g_clear_pointer (&result->name, g_free);
}

gboolean
gst_gpudl_result_set_labels (GstGpudlResult * result,
    const gchar * path, GError ** error)
{
  GstGpudlLabels *labels, *old;

  if (path != NULL)
    labels = gst_gpudl_labels_new_from_file (path,
        gpudl_model_get_n_classes (result->model, 0), error);
  else
    labels = gst_gpudl_labels_new_embedded (result->model, 0);
  if (labels == NULL)
    return FALSE;

  g_mutex_lock (&result->lock);
  old = result->labels[0];
  result->labels[0] = labels;
  g_mutex_unlock (&result->lock);
  gst_gpudl_labels_unref (old);
  return TRUE;
}

gchar **
gst_gpudl_result_get_labels (GstGpudlResult * result)
{
  g_autoptr (GstGpudlLabels) labels = NULL;

  g_mutex_lock (&result->lock);
  if (result->labels != NULL)
    labels = gst_gpudl_labels_ref (result->labels[0]);
  g_mutex_unlock (&result->lock);
  return labels != NULL ? gst_gpudl_labels_list (labels) : NULL;
}

/* The best classes of a head into its answer. */
static void
rank (GstGpudlResult * result, GpudlRequest * request, guint head, guint top_k,
    gfloat threshold)
{
  const guint n_classes = gpudl_model_get_n_classes (result->model, head);
  GstGpudlAnswer *answer = &result->answers[head];
  g_autoptr (GstGpudlLabels) labels = NULL;

  g_mutex_lock (&result->lock);
  labels = gst_gpudl_labels_ref (result->labels[head]);
  g_mutex_unlock (&result->lock);

  answer->n_classes =
      gpudl_request_top_k (request, head, MIN (top_k, n_classes),
      threshold > 0 ? threshold : -G_MAXFLOAT, result->best);
  for (guint i = 0; i < answer->n_classes; i++) {
    GstGpudlClass *class = &answer->classes[i];

    class->id = result->best[i].id;
    class->confidence = result->best[i].confidence;
    class->quark = gst_gpudl_labels_get (labels, class->id);
    class->label = g_quark_to_string (class->quark);
  }
}

/* FALSE if the head has no classification; *error is set to why at the first
 * frame of several, unless it is set. */
static gboolean
check_scores (GstGpudlResult * result, GpudlRequest * request, guint head,
    GError ** error)
{
  const guint32 bit = 1u << head;
  g_autoptr (GError) wrong = NULL;

  if (gpudl_request_check_scores (request, head, &wrong)) {
    result->no_scores &= ~bit;
    return TRUE;
  }
  if ((result->no_scores & bit) == 0 && *error == NULL)
    *error = g_steal_pointer (&wrong);
  result->no_scores |= bit;
  return FALSE;
}

/* The classification of the last frame by a head. */
static GstGpudlClassification
describe_answer (GstGpudlResult * result, guint head)
{
  GstGpudlClassification c = {
    .model = result->name,
    .model_hash = result->hash,
    .classes = result->answers[head].classes,
    .n_classes = result->answers[head].n_classes,
    .fresh = TRUE,
    .source_pts = result->pts,
    .age = 0,
  };

  if (result->n_heads > 1)
    c.head = gpudl_model_get_head_name (result->model, head);
  memcpy (c.region, result->region, sizeof (c.region));
  return c;
}

GError *
gst_gpudl_result_attach (GstGpudlResult * result, GpudlRequest * request,
    const gdouble region[4], guint top_k, gfloat threshold, GstBuffer * buffer,
    GstElement * poster, const GstSegment * segment)
{
  GError *error = NULL;

  if (result->hash == NULL)
    result->hash = gpudl_model_get_id (result->model);
  memcpy (result->region, region, sizeof (result->region));
  result->pts = GST_BUFFER_PTS (buffer);
  for (guint head = 0; head < result->n_heads; head++) {
    GstGpudlAnswer *answer = &result->answers[head];
    GstGpudlClassification c;

    answer->is_one = check_scores (result, request, head, &error);
    if (!answer->is_one)
      continue;
    rank (result, request, head, top_k, threshold);
    c = describe_answer (result, head);
    gst_gpudl_meta_attach (buffer, &c);
    if (poster != NULL)
      gst_element_post_message (poster,
          gst_gpudl_result_message_new (GST_OBJECT (poster), buffer, segment,
              &c));
  }
  g_atomic_int_set (&result->held, TRUE);
  return error;
}

void
gst_gpudl_result_hold (GstGpudlResult * result, GstBuffer ** buffer)
{
  const GstClockTime pts = GST_BUFFER_PTS (*buffer);

  if (!g_atomic_int_get (&result->held))
    return;
  *buffer = gst_buffer_make_writable (*buffer);
  for (guint head = 0; head < result->n_heads; head++) {
    GstGpudlClassification c = describe_answer (result, head);

    if (!result->answers[head].is_one)
      continue;
    c.fresh = FALSE;
    c.age = GST_CLOCK_TIME_NONE;
    /* played backwards, later frames have the smaller times */
    if (GST_CLOCK_TIME_IS_VALID (pts) && GST_CLOCK_TIME_IS_VALID (c.source_pts))
      c.age = pts > c.source_pts ? pts - c.source_pts : c.source_pts - pts;
    gst_gpudl_meta_attach (*buffer, &c);
  }
}

void
gst_gpudl_result_forget (GstGpudlResult * result)
{
  g_atomic_int_set (&result->held, FALSE);
}

/* ---- messages ----------------------------------------------------------- */

static void
set_class (GstStructure * structure, const GstGpudlClass * class)
{
  gst_structure_set (structure, "label", G_TYPE_STRING, class->label,
      "id", G_TYPE_INT, (gint) class->id,
      "confidence", G_TYPE_DOUBLE, (gdouble) class->confidence, NULL);
}

GstMessage *
gst_gpudl_result_message_new (GstObject * source, GstBuffer * buffer,
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

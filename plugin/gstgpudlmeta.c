/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlmeta.h"

void
gst_gpudl_meta_register (void)
{
  static gsize once = 0;
  /* No tags: nothing that converts or scales the picture makes it wrong. */
  static const gchar *tags[] = { NULL };

  if (g_once_init_enter (&once)) {
    /* another copy of this file, in an application, may have been first */
    if (gst_meta_get_info (GST_GPUDL_CLASSIFICATION_META_NAME) == NULL)
      gst_meta_register_custom (GST_GPUDL_CLASSIFICATION_META_NAME, tags, NULL,
          NULL, NULL);
    g_once_init_leave (&once, 1);
  }
}

static void
take_array (GstStructure * structure, const gchar * field, GValue * array)
{
  gst_structure_take_value (structure, field, array);
}

static void
set_classes (GstStructure * structure, const GstGpudlClassification * c)
{
  GValue labels = G_VALUE_INIT, ids = G_VALUE_INIT, confidences = G_VALUE_INIT;

  gst_value_array_init (&labels, c->n_classes);
  gst_value_array_init (&ids, c->n_classes);
  gst_value_array_init (&confidences, c->n_classes);
  for (guint i = 0; i < c->n_classes; i++) {
    GValue value = G_VALUE_INIT;

    g_value_init (&value, G_TYPE_STRING);
    g_value_set_interned_string (&value, c->classes[i].label);
    gst_value_array_append_and_take_value (&labels, &value);

    g_value_init (&value, G_TYPE_INT);
    g_value_set_int (&value, c->classes[i].id);
    gst_value_array_append_and_take_value (&ids, &value);

    g_value_init (&value, G_TYPE_DOUBLE);
    g_value_set_double (&value, c->classes[i].confidence);
    gst_value_array_append_and_take_value (&confidences, &value);
  }
  take_array (structure, "labels", &labels);
  take_array (structure, "ids", &ids);
  take_array (structure, "confidences", &confidences);

  if (c->n_classes > 0) {
    GValue label = G_VALUE_INIT;

    g_value_init (&label, G_TYPE_STRING);
    g_value_set_interned_string (&label, c->classes[0].label);
    gst_structure_take_value (structure, "label", &label);
    gst_structure_set (structure, "id", G_TYPE_INT, (gint) c->classes[0].id,
        "confidence", G_TYPE_DOUBLE, (gdouble) c->classes[0].confidence, NULL);
  }
}

void
gst_gpudl_meta_attach (GstBuffer * buffer,
    const GstGpudlClassification * classification)
{
  GstCustomMeta *meta =
      gst_buffer_add_custom_meta (buffer, GST_GPUDL_CLASSIFICATION_META_NAME);
  GstStructure *structure = gst_custom_meta_get_structure (meta);
  GValue region = G_VALUE_INIT;

  gst_structure_set (structure,
      "v", G_TYPE_INT, GST_GPUDL_CLASSIFICATION_META_VERSION,
      "model", G_TYPE_STRING, classification->model,
      "model-hash", G_TYPE_STRING, classification->model_hash, NULL);
  if (classification->head != NULL)
    gst_structure_set (structure, "head", G_TYPE_STRING, classification->head,
        NULL);
  set_classes (structure, classification);
  gst_structure_set (structure,
      "fresh", G_TYPE_BOOLEAN, classification->fresh,
      "source-pts", G_TYPE_UINT64, classification->source_pts,
      "age", G_TYPE_UINT64, classification->age, NULL);
  gst_value_array_init (&region, 4);
  for (guint i = 0; i < 4; i++) {
    GValue value = G_VALUE_INIT;

    g_value_init (&value, G_TYPE_DOUBLE);
    g_value_set_double (&value, classification->region[i]);
    gst_value_array_append_and_take_value (&region, &value);
  }
  take_array (structure, "region", &region);

  gst_gpudl_analytics_attach (buffer, classification);
}

guint
gst_gpudl_meta_get_n (GstBuffer * buffer)
{
  const GstMetaInfo *info =
      gst_meta_get_info (GST_GPUDL_CLASSIFICATION_META_NAME);

  return info != NULL ? gst_buffer_get_n_meta (buffer, info->api) : 0;
}

static GstStructure *
find_structure (GstBuffer * buffer, guint index)
{
  const GstMetaInfo *info =
      gst_meta_get_info (GST_GPUDL_CLASSIFICATION_META_NAME);
  gpointer state = NULL;
  GstMeta *meta;

  if (info == NULL)
    return NULL;
  while ((meta = gst_buffer_iterate_meta_filtered (buffer, &state,
              info->api)) != NULL) {
    if (index-- == 0)
      return gst_custom_meta_get_structure ((GstCustomMeta *) meta);
  }
  return NULL;
}

/* The array in a field, NULL unless it has n entries of this type. */
static const GValue *
get_array (const GstStructure * structure, const gchar * field, GType type,
    guint n)
{
  const GValue *array = gst_structure_get_value (structure, field);

  if (array == NULL || !GST_VALUE_HOLDS_ARRAY (array)
      || gst_value_array_get_size (array) != n)
    return NULL;
  for (guint i = 0; i < n; i++) {
    if (!G_VALUE_HOLDS (gst_value_array_get_value (array, i), type))
      return NULL;
  }
  return array;
}

static GstGpudlClass *
read_classes (const GstStructure * structure, guint * n_classes)
{
  const GValue *labels = gst_structure_get_value (structure, "labels");
  const GValue *ids, *confidences;
  GstGpudlClass *classes;
  guint n;

  if (labels == NULL || !GST_VALUE_HOLDS_ARRAY (labels))
    return NULL;
  n = gst_value_array_get_size (labels);
  labels = get_array (structure, "labels", G_TYPE_STRING, n);
  ids = get_array (structure, "ids", G_TYPE_INT, n);
  confidences = get_array (structure, "confidences", G_TYPE_DOUBLE, n);
  if (labels == NULL || ids == NULL || confidences == NULL)
    return NULL;

  classes = g_new0 (GstGpudlClass, n + 1);      /* not NULL when there are none */
  for (guint i = 0; i < n; i++) {
    const gchar *label =
        g_value_get_string (gst_value_array_get_value (labels, i));

    classes[i].label = g_strdup (label != NULL ? label : "");
    classes[i].id = g_value_get_int (gst_value_array_get_value (ids, i));
    classes[i].confidence =
        g_value_get_double (gst_value_array_get_value (confidences, i));
  }
  *n_classes = n;
  return classes;
}

GstGpudlClassification *
gst_gpudl_meta_read (GstBuffer * buffer, guint index)
{
  GstStructure *structure = find_structure (buffer, index);
  g_autoptr (GstGpudlClassification) out = NULL;
  const GValue *region;
  gint version;

  if (structure == NULL || !gst_structure_get_int (structure, "v", &version)
      || version != GST_GPUDL_CLASSIFICATION_META_VERSION)
    return NULL;

  out = g_new0 (GstGpudlClassification, 1);
  out->model = g_strdup (gst_structure_get_string (structure, "model"));
  out->model_hash =
      g_strdup (gst_structure_get_string (structure, "model-hash"));
  out->head = g_strdup (gst_structure_get_string (structure, "head"));
  out->classes = read_classes (structure, &out->n_classes);
  region = get_array (structure, "region", G_TYPE_DOUBLE, 4);
  if (out->model == NULL || out->model_hash == NULL || out->classes == NULL
      || region == NULL
      || !gst_structure_get_boolean (structure, "fresh", &out->fresh)
      || !gst_structure_get_uint64 (structure, "source-pts", &out->source_pts)
      || !gst_structure_get_uint64 (structure, "age", &out->age))
    return NULL;
  for (guint i = 0; i < 4; i++)
    out->region[i] = g_value_get_double (gst_value_array_get_value (region, i));
  return g_steal_pointer (&out);
}

void
gst_gpudl_classification_free (GstGpudlClassification * classification)
{
  for (guint i = 0; i < classification->n_classes; i++)
    g_free ((gchar *) classification->classes[i].label);
  g_free ((GstGpudlClass *) classification->classes);
  g_free ((gchar *) classification->model);
  g_free ((gchar *) classification->model_hash);
  g_free ((gchar *) classification->head);
  g_free (classification);
}

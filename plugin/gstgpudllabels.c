/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudllabels.h"

struct _GstGpudlLabels
{
  gatomicrefcount refs;
  guint n;
  GQuark quarks[];
};

static GstGpudlLabels *
labels_new (guint n)
{
  GstGpudlLabels *labels =
      g_malloc0 (sizeof (GstGpudlLabels) + n * sizeof (GQuark));

  g_atomic_ref_count_init (&labels->refs);
  labels->n = n;
  return labels;
}

GstGpudlLabels *
gst_gpudl_labels_new_embedded (GpudlModel * model, guint head)
{
  const guint n = gpudl_model_get_n_classes (model, head);
  GstGpudlLabels *labels = labels_new (n);

  for (guint i = 0; i < n; i++) {
    const gchar *label = head == 0 ? gpudl_model_get_label (model, i) : NULL;
    gchar id[16];

    g_snprintf (id, sizeof (id), "%u", i);
    labels->quarks[i] = g_quark_from_string (label != NULL ? label : id);
  }
  return labels;
}

GstGpudlLabels *
gst_gpudl_labels_new_from_file (const gchar * path, guint n_classes,
    GError ** error)
{
  g_auto (GStrv) lines = NULL;
  GstGpudlLabels *labels;
  guint n;

  lines = gpudl_labels_read (path, &n, error);
  if (lines == NULL)
    return NULL;
  if (n != n_classes) {
    g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
        "labels file %s has %u labels, the model has %u classes", path, n,
        n_classes);
    return NULL;
  }
  labels = labels_new (n);
  for (guint i = 0; i < n; i++)
    labels->quarks[i] = g_quark_from_string (lines[i]);
  return labels;
}

GstGpudlLabels *
gst_gpudl_labels_ref (GstGpudlLabels * labels)
{
  g_atomic_ref_count_inc (&labels->refs);
  return labels;
}

void
gst_gpudl_labels_unref (GstGpudlLabels * labels)
{
  if (g_atomic_ref_count_dec (&labels->refs))
    g_free (labels);
}

gchar **
gst_gpudl_labels_list (const GstGpudlLabels * labels)
{
  gchar **list = g_new0 (gchar *, labels->n + 1);

  for (guint i = 0; i < labels->n; i++)
    list[i] = g_strdup (g_quark_to_string (labels->quarks[i]));
  return list;
}

GQuark
gst_gpudl_labels_get (const GstGpudlLabels * labels, guint id)
{
  g_assert (id < labels->n);
  return labels->quarks[id];
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include <gst/analytics/analytics.h>

#include "gstgpudlmeta.h"

void
gst_gpudl_analytics_attach (GstBuffer * buffer,
    const GstGpudlClassification * classification)
{
  const gsize n = classification->n_classes;
  g_autofree gfloat *levels = NULL;
  g_autofree GQuark *quarks = NULL;
  GstAnalyticsRelationMeta *relations;
  GstAnalyticsClsMtd mtd;

  if (n == 0)
    return;
  relations = gst_buffer_get_analytics_relation_meta (buffer);
  if (relations == NULL)
    relations = gst_buffer_add_analytics_relation_meta (buffer);

  levels = g_new (gfloat, n);
  quarks = g_new (GQuark, n);
  for (gsize i = 0; i < n; i++) {
    levels[i] = classification->classes[i].confidence;
    quarks[i] = classification->classes[i].quark;
  }
  gst_analytics_relation_meta_add_cls_mtd (relations, n, levels, quarks, &mtd);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlfeature.h"

static gboolean
has_feature (const GstCapsFeatures * features, const gchar * feature)
{
  return features != NULL && !gst_caps_features_is_any (features)
      && gst_caps_features_contains (features, feature);
}

static gboolean
is_other (GstCapsFeatures * features, GstStructure * structure,
    gpointer feature)
{
  return !has_feature (features, feature);
}

GstCaps *
gst_gpudl_feature_remove (GstCaps * caps, const gchar * feature)
{
  if (gst_caps_is_any (caps))
    return caps;
  caps = gst_caps_make_writable (caps);
  gst_caps_filter_and_map_in_place (caps, is_other, (gpointer) feature);
  return caps;
}

gboolean
gst_gpudl_feature_is_all (const GstCaps * caps, const gchar * feature)
{
  const guint n = gst_caps_is_any (caps) ? 0 : gst_caps_get_size (caps);

  for (guint i = 0; i < n; i++)
    if (!has_feature (gst_caps_get_features (caps, i), feature))
      return FALSE;
  return n > 0;
}

gboolean
gst_gpudl_feature_is_asked_for (GstQuery * query, const gchar * feature)
{
  GstCaps *filter, *answer;

  gst_query_parse_caps (query, &filter);
  gst_query_parse_caps_result (query, &answer);
  return filter != NULL && gst_gpudl_feature_is_all (filter, feature)
      && answer != NULL && gst_caps_is_empty (answer);
}

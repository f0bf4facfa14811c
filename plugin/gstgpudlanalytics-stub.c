/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * GStreamer before 1.24 has no analytics metadata.
 */
#include "gstgpudlmeta.h"

void
gst_gpudl_analytics_attach (GstBuffer * buffer,
    const GstGpudlClassification * classification)
{
}

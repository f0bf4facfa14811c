/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Registers the types and nothing else: this runs in gst-plugin-scanner, on
 * machines without model, GPU or backend module.
 */
#include "gpudl-config.h"

#include "gstgpudlinfer.h"
#include "gstgpudloverlay.h"

static gboolean
plugin_init (GstPlugin * plugin)
{
  gboolean ok = FALSE;

  ok |= GST_ELEMENT_REGISTER (gpudlinfer, plugin);
  ok |= GST_ELEMENT_REGISTER (gpudloverlay, plugin);
  return ok;
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, gpudl,
    "Image classification networks on video frames", plugin_init, VERSION,
    "LGPL", PACKAGE_NAME, PACKAGE_ORIGIN)

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A model that is read from READY on, while a device is being opened: whoever
 * loads the same file with the same options before this is freed gets the same
 * model, and waits for no more than what is left of its reading. Nothing is said
 * of failures: who loads then meets them.
 */
#ifndef __GST_GPUDL_PRELOAD_H__
#define __GST_GPUDL_PRELOAD_H__

#include <gst/gst.h>

#include "gstgpudlsettings.h"

G_BEGIN_DECLS

typedef struct _GstGpudlPreload GstGpudlPreload;

/** Begins; NULL if the settings name no model, or are wrong. */
GstGpudlPreload *gst_gpudl_preload_new (const GstGpudlSettings * settings);

/** Ends it, also in the midst of it, and lets go of the model. */
void gst_gpudl_preload_free (GstGpudlPreload * preload);

G_END_DECLS

#endif /* __GST_GPUDL_PRELOAD_H__ */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The source side of gpudlinfer: from the FIFO downstream.
 */
#ifndef __GST_GPUDL_PUSH_H__
#define __GST_GPUDL_PUSH_H__

#include "gstgpudlinfer.h"

G_BEGIN_DECLS

/** The source pad's task; user_data is the pad. */
void gst_gpudl_infer_loop (gpointer user_data);

/** The source pad's activation, round the base class's. */
gboolean gst_gpudl_infer_src_activate_mode (GstPad * pad, GstObject * parent,
    GstPadMode mode, gboolean active);

G_END_DECLS

#endif /* __GST_GPUDL_PUSH_H__ */

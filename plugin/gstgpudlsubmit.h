/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The sink side of gpudlinfer: from the streaming thread into the FIFO.
 */
#ifndef __GST_GPUDL_SUBMIT_H__
#define __GST_GPUDL_SUBMIT_H__

#include "gstgpudlinfer.h"

G_BEGIN_DECLS

/** The base class's virtual function. */
GstFlowReturn gst_gpudl_infer_submit_input_buffer (GstBaseTransform * trans,
    gboolean is_discont, GstBuffer * input);

/** The sink pad's full event function: the base class's gboolean one makes an
 * error of an event that meets a flush or a shutdown. */
GstFlowReturn gst_gpudl_infer_sink_event (GstPad * pad, GstObject * parent,
    GstEvent * event);

/** The sink pad's activation, round the base class's, which starts the element:
 * what comes meanwhile waits. */
gboolean gst_gpudl_infer_sink_activate_mode (GstPad * pad, GstObject * parent,
    GstPadMode mode, gboolean active);

G_END_DECLS

#endif /* __GST_GPUDL_SUBMIT_H__ */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The enumerations that properties of gpudlinfer have as their types.
 */
#ifndef __GST_GPUDL_ENUMS_H__
#define __GST_GPUDL_ENUMS_H__

#include <gst/gst.h>

G_BEGIN_DECLS

/** Value of the backend property; the enumeration's nicks are the names that
 * gpudl_session_acquire() takes. */
typedef enum
{
  GST_GPUDL_BACKEND_AUTO,
  GST_GPUDL_BACKEND_CUDA,
  GST_GPUDL_BACKEND_CPU,
  GST_GPUDL_BACKEND_REF
} GstGpudlBackend;

typedef enum
{
  GST_GPUDL_POST_MESSAGES_NONE,
  GST_GPUDL_POST_MESSAGES_ALL
} GstGpudlPostMessages;

/** Value of the autotune property. No value measures before PLAYING: that is for
 * `gpudl tune`. */
typedef enum
{
  GST_GPUDL_AUTOTUNE_OFF,
  GST_GPUDL_AUTOTUNE_CACHED,
  GST_GPUDL_AUTOTUNE_FULL
} GstGpudlAutotune;

#define GST_TYPE_GPUDL_BACKEND (gst_gpudl_backend_get_type ())
#define GST_TYPE_GPUDL_PRECISION (gst_gpudl_precision_get_type ())
#define GST_TYPE_GPUDL_ACTIVATION (gst_gpudl_activation_get_type ())
#define GST_TYPE_GPUDL_RESIZE_MODE (gst_gpudl_resize_mode_get_type ())
#define GST_TYPE_GPUDL_SCALE_METHOD (gst_gpudl_scale_method_get_type ())
#define GST_TYPE_GPUDL_CHANNEL_ORDER (gst_gpudl_channel_order_get_type ())
#define GST_TYPE_GPUDL_POST_MESSAGES (gst_gpudl_post_messages_get_type ())
#define GST_TYPE_GPUDL_AUTOTUNE (gst_gpudl_autotune_get_type ())
GType gst_gpudl_backend_get_type (void);
GType gst_gpudl_precision_get_type (void);
GType gst_gpudl_activation_get_type (void);
GType gst_gpudl_resize_mode_get_type (void);
GType gst_gpudl_scale_method_get_type (void);
GType gst_gpudl_channel_order_get_type (void);
GType gst_gpudl_post_messages_get_type (void);
GType gst_gpudl_autotune_get_type (void);

G_END_DECLS

#endif /* __GST_GPUDL_ENUMS_H__ */

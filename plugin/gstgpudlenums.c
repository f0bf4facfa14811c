/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlenums.h"

#include "engine/gpudl.h"

static GType
register_enum (const gchar * name, const GEnumValue * values)
{
  return g_enum_register_static (name, values);
}

#define DEFINE_ENUM(function, name, ...)                                \
GType                                                                   \
function (void)                                                         \
{                                                                       \
  static const GEnumValue values[] = { __VA_ARGS__, {0, NULL, NULL} };  \
  static gsize type = 0;                                                \
                                                                        \
  if (g_once_init_enter (&type))                                        \
    g_once_init_leave (&type, register_enum (name, values));            \
  return type;                                                          \
}

/* *INDENT-OFF* */
DEFINE_ENUM (gst_gpudl_backend_get_type, "GstGpudlBackend",
    {GST_GPUDL_BACKEND_AUTO, "CUDA where a usable device is, else the CPU",
        "auto"},
    {GST_GPUDL_BACKEND_CUDA, "NVIDIA GPU", "cuda"},
    {GST_GPUDL_BACKEND_CPU, "CPU, oneDNN", "cpu"},
    {GST_GPUDL_BACKEND_REF, "CPU, slow reference code for checks", "ref"})

DEFINE_ENUM (gst_gpudl_precision_get_type, "GstGpudlPrecision",
    {GPUDL_PRECISION_AUTO, "fp16 on CUDA; on the CPU bf16 where the processor is faster in it, else fp32", "auto"},
    {GPUDL_PRECISION_FP32, "32 bit floating point", "fp32"},
    {GPUDL_PRECISION_TF32, "32 bit with products of 10 bit mantissas", "tf32"},
    {GPUDL_PRECISION_FP16, "16 bit floating point", "fp16"},
    {GPUDL_PRECISION_BF16, "16 bit brain floating point", "bf16"},
    {GPUDL_PRECISION_INT8, "8 bit integers", "int8"},
    {GPUDL_PRECISION_FP8, "8 bit floating point", "fp8"})

DEFINE_ENUM (gst_gpudl_activation_get_type, "GstGpudlActivation",
    {GPUDL_ACTIVATION_AUTO,
        "What the model says, else softmax unless the network ends in one",
        "auto"},
    {GPUDL_ACTIVATION_NONE, "The network's values as they are", "none"},
    {GPUDL_ACTIVATION_SOFTMAX, "One of the classes", "softmax"},
    {GPUDL_ACTIVATION_SIGMOID, "Any number of the classes", "sigmoid"})

DEFINE_ENUM (gst_gpudl_resize_mode_get_type, "GstGpudlResizeMode",
    {GPUDL_RESIZE_AUTO, "What the model says, else stretch", "auto"},
    {GPUDL_RESIZE_STRETCH, "Scale both sides on their own", "stretch"},
    {GPUDL_RESIZE_LETTERBOX, "Keep the shape, fill up with pad-color",
        "letterbox"},
    {GPUDL_RESIZE_CENTER_CROP, "Keep the shape, take the middle",
        "center-crop"},
    {GPUDL_RESIZE_SQUASH, "Scale both sides on their own, take the middle",
        "squash"},
    {GPUDL_RESIZE_BORDER, "Keep the shape, take the middle, fill up with "
        "pad-color", "border"})

DEFINE_ENUM (gst_gpudl_scale_method_get_type, "GstGpudlScaleMethod",
    {GPUDL_SCALE_AUTO, "What the model says, else bilinear", "auto"},
    {GPUDL_SCALE_NEAREST, "Nearest neighbour", "nearest"},
    {GPUDL_SCALE_BILINEAR, "Triangle, antialiased when shrinking", "bilinear"},
    {GPUDL_SCALE_BICUBIC, "Cubic, antialiased when shrinking", "bicubic"},
    {GPUDL_SCALE_AREA, "Mean of the area covered", "area"},
    {GPUDL_SCALE_BILINEAR_ALIASED,
        "Of the 2x2 nearest pixels, as OpenCV's INTER_LINEAR does it",
        "bilinear-aliased"},
    {GPUDL_SCALE_BICUBIC_BYTES,
        "Cubic, of RGB and grey in bytes as Pillow does it, bit for bit",
        "bicubic-bytes"})

DEFINE_ENUM (gst_gpudl_channel_order_get_type, "GstGpudlChannelOrder",
    {GPUDL_CHANNELS_AUTO, "What the model says, else rgb (gray for one channel)",
        "auto"},
    {GPUDL_CHANNELS_RGB, "Red, green, blue", "rgb"},
    {GPUDL_CHANNELS_BGR, "Blue, green, red", "bgr"},
    {GPUDL_CHANNELS_GRAY, "Luma", "gray"})

DEFINE_ENUM (gst_gpudl_post_messages_get_type, "GstGpudlPostMessages",
    {GST_GPUDL_POST_MESSAGES_NONE, "No messages", "none"},
    {GST_GPUDL_POST_MESSAGES_ALL, "One message for every classified frame",
        "all"})

DEFINE_ENUM (gst_gpudl_autotune_get_type, "GstGpudlAutotune",
    {GST_GPUDL_AUTOTUNE_OFF, "First choices, without a look at the cache",
        "off"},
    {GST_GPUDL_AUTOTUNE_CACHED,
        "What is in the cache, else first choices; nothing is measured",
        "cached"},
    {GST_GPUDL_AUTOTUNE_FULL,
        "As cached, and the rest is measured: at the start on the CPU, while no frame waits on a GPU",
        "full"})
/* *INDENT-ON* */

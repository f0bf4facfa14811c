/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Options that say how a network wants its pixels, in place of what its file says.
 */
#ifndef GPUDL_TOOLS_PREPROC_OPTIONS_H
#define GPUDL_TOOLS_PREPROC_OPTIONS_H

#include "models/gpudl-import.h"

G_BEGIN_DECLS

/** As given, NULL where they are not. Strings are the owner's. */
typedef struct {
    gchar *mean, *std, *scale, *channel_order, *resize_mode, *crop_fraction, *scale_method, *pad_color;
    /* what they mean */
    GpudlPreproc preproc;
} PreprocOptions;

/** Rows of a table of GOptionEntry that fill them, without their braces. */
#define PREPROC_MEAN(o)                                                                                                \
    "mean", 0, 0, G_OPTION_ARG_STRING, &(o).mean, "Subtracted, in the order of the network's channels", "A,B,C"
#define PREPROC_STD(o) "std", 0, 0, G_OPTION_ARG_STRING, &(o).std, "Divided by, after the mean", "A,B,C"
#define PREPROC_SCALE(o)                                                                                               \
    "scale", 0, 0, G_OPTION_ARG_STRING, &(o).scale,                                                                    \
        "Pixels are divided by this first: 255 for networks that want 0..1, 1 for 0..255", "S"
#define PREPROC_CHANNEL_ORDER(o)                                                                                       \
    "channel-order", 0, 0, G_OPTION_ARG_STRING, &(o).channel_order, "rgb, bgr or gray", "ORDER"
#define PREPROC_RESIZE_MODE(o)                                                                                         \
    "resize-mode", 0, 0, G_OPTION_ARG_STRING, &(o).resize_mode, "stretch, letterbox, center-crop, squash or border",   \
        "MODE"
#define PREPROC_CROP_FRACTION(o)                                                                                       \
    "crop-fraction", 0, 0, G_OPTION_ARG_STRING, &(o).crop_fraction,                                                    \
        "The short side (squash: both, border: the long one) becomes input / F before the middle is taken", "F"
#define PREPROC_SCALE_METHOD(o)                                                                                        \
    "scale-method", 0, 0, G_OPTION_ARG_STRING, &(o).scale_method,                                                      \
        "nearest, bilinear, bicubic, area, bilinear-aliased (2x2 pixels, as OpenCV's INTER_LINEAR) or bicubic-bytes "  \
        "(clamped between its passes, as Pillow's)",                                                                   \
        "METHOD"
#define PREPROC_PAD_COLOR(o)                                                                                           \
    "pad-color", 0, 0, G_OPTION_ARG_STRING, &(o).pad_color, "For letterbox and border", "RRGGBB"

void preproc_options_clear(PreprocOptions *options);

/** Reads them and lets import override the file's by them; options have to live as long as import is used. FALSE with
 * INVALID_ARGUMENT that names the option. */
gboolean preproc_options_read(PreprocOptions *options, GpudlImportOptions *import, GError **error);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/preproc-options.h"

#include "tools/command.h"

static const NamedValue channel_orders[] = {
    {"rgb", GPUDL_CHANNELS_RGB}, {"bgr", GPUDL_CHANNELS_BGR}, {"gray", GPUDL_CHANNELS_GRAY}, {NULL, 0}};
static const NamedValue resize_modes[] = {
    {"stretch", GPUDL_RESIZE_STRETCH}, {"letterbox", GPUDL_RESIZE_LETTERBOX}, {"center-crop", GPUDL_RESIZE_CENTER_CROP},
    {"squash", GPUDL_RESIZE_SQUASH},   {"border", GPUDL_RESIZE_BORDER},       {NULL, 0}};
static const NamedValue scale_methods[] = {{"nearest", GPUDL_SCALE_NEAREST},
                                           {"bilinear", GPUDL_SCALE_BILINEAR},
                                           {"bicubic", GPUDL_SCALE_BICUBIC},
                                           {"area", GPUDL_SCALE_AREA},
                                           {"bilinear-aliased", GPUDL_SCALE_BILINEAR_ALIASED},
                                           {"bicubic-bytes", GPUDL_SCALE_BICUBIC_BYTES},
                                           {NULL, 0}};

void preproc_options_clear(PreprocOptions *options)
{
    gchar *texts[] = {options->mean,        options->std,           options->scale,        options->channel_order,
                      options->resize_mode, options->crop_fraction, options->scale_method, options->pad_color};

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    *options = (PreprocOptions){0};
}

static gboolean read_normalisation(PreprocOptions *o, GpudlImportOptions *import, GError **error)
{
    double number;

    if (o->mean != NULL) {
        if (!parse_three("mean", o->mean, o->preproc.mean, NULL, error))
            return FALSE;
        import->preproc_set |= GPUDL_SET_MEAN;
    }
    if (o->std != NULL) {
        if (!parse_three("std", o->std, o->preproc.std, NULL, error))
            return FALSE;
        for (guint i = 0; i < 3; i++) {
            if (o->preproc.std[i] == 0.0f) {
                g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                            "--std: found '%s', expected numbers other than 0", o->std);
                return FALSE;
            }
        }
        import->preproc_set |= GPUDL_SET_STD;
    }
    if (o->scale != NULL) {
        if (!parse_number("scale", o->scale, 1e-6, 65536.0, &number, error))
            return FALSE;
        o->preproc.pixel_scale = (float)number;
        import->preproc_set |= GPUDL_SET_PIXEL_SCALE;
    }
    return TRUE;
}

static gboolean read_geometry(PreprocOptions *o, GpudlImportOptions *import, GError **error)
{
    double number;
    int value;

    if (o->channel_order != NULL) {
        if (!parse_name("channel-order", o->channel_order, channel_orders, &value, error))
            return FALSE;
        o->preproc.channel_order = (GpudlChannelOrder)value;
        import->preproc_set |= GPUDL_SET_CHANNEL_ORDER;
    }
    if (o->resize_mode != NULL) {
        if (!parse_name("resize-mode", o->resize_mode, resize_modes, &value, error))
            return FALSE;
        o->preproc.resize_mode = (GpudlResizeMode)value;
        import->preproc_set |= GPUDL_SET_RESIZE_MODE;
    }
    if (o->scale_method != NULL) {
        if (!parse_name("scale-method", o->scale_method, scale_methods, &value, error))
            return FALSE;
        o->preproc.scale_method = (GpudlScaleMethod)value;
        import->preproc_set |= GPUDL_SET_SCALE_METHOD;
    }
    if (o->crop_fraction != NULL) {
        if (!parse_number("crop-fraction", o->crop_fraction, 0.01, 1.0, &number, error))
            return FALSE;
        o->preproc.crop_fraction = (float)number;
        import->preproc_set |= GPUDL_SET_CROP_FRACTION;
    }
    if (o->pad_color != NULL) {
        if (!parse_color("pad-color", o->pad_color, &o->preproc.pad_color, error))
            return FALSE;
        import->preproc_set |= GPUDL_SET_PAD_COLOR;
    }
    return TRUE;
}

gboolean preproc_options_read(PreprocOptions *options, GpudlImportOptions *import, GError **error)
{
    import->struct_size = sizeof *import;
    import->preproc = &options->preproc;
    return read_normalisation(options, import, error) && read_geometry(options, import, error);
}

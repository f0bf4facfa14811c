/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/media-frame.h"

#include <gst/video/video.h>

static const struct {
    GstVideoFormat gst;
    GpudlPixelFormat gpudl;
} formats[] = {
    {GST_VIDEO_FORMAT_NV12, GPUDL_PIXEL_NV12}, {GST_VIDEO_FORMAT_NV21, GPUDL_PIXEL_NV21},
    {GST_VIDEO_FORMAT_I420, GPUDL_PIXEL_I420}, {GST_VIDEO_FORMAT_YV12, GPUDL_PIXEL_YV12},
    {GST_VIDEO_FORMAT_Y42B, GPUDL_PIXEL_Y42B}, {GST_VIDEO_FORMAT_Y444, GPUDL_PIXEL_Y444},
    {GST_VIDEO_FORMAT_YUY2, GPUDL_PIXEL_YUY2}, {GST_VIDEO_FORMAT_UYVY, GPUDL_PIXEL_UYVY},
    {GST_VIDEO_FORMAT_RGB, GPUDL_PIXEL_RGB},   {GST_VIDEO_FORMAT_BGR, GPUDL_PIXEL_BGR},
    {GST_VIDEO_FORMAT_RGBA, GPUDL_PIXEL_RGBA}, {GST_VIDEO_FORMAT_BGRA, GPUDL_PIXEL_BGRA},
    {GST_VIDEO_FORMAT_ARGB, GPUDL_PIXEL_ARGB}, {GST_VIDEO_FORMAT_ABGR, GPUDL_PIXEL_ABGR},
    {GST_VIDEO_FORMAT_RGBx, GPUDL_PIXEL_RGBX}, {GST_VIDEO_FORMAT_BGRx, GPUDL_PIXEL_BGRX},
    {GST_VIDEO_FORMAT_xRGB, GPUDL_PIXEL_XRGB}, {GST_VIDEO_FORMAT_xBGR, GPUDL_PIXEL_XBGR},
    {GST_VIDEO_FORMAT_RGBP, GPUDL_PIXEL_RGBP}, {GST_VIDEO_FORMAT_BGRP, GPUDL_PIXEL_BGRP},
    {GST_VIDEO_FORMAT_GBR, GPUDL_PIXEL_GBR},   {GST_VIDEO_FORMAT_GRAY8, GPUDL_PIXEL_GRAY8},
};

GstCaps *media_frame_caps(GpudlPixelFormat format)
{
    GValue list = G_VALUE_INIT, item = G_VALUE_INIT;
    GstCaps *caps = gst_caps_new_empty_simple("video/x-raw");

    g_value_init(&list, GST_TYPE_LIST);
    g_value_init(&item, G_TYPE_STRING);
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (format != GPUDL_PIXEL_UNKNOWN && formats[i].gpudl != format)
            continue;
        g_value_set_static_string(&item, gst_video_format_to_string(formats[i].gst));
        gst_value_list_append_value(&list, &item);
    }
    gst_caps_set_value(caps, "format", &list);
    g_value_unset(&item);
    g_value_unset(&list);
    return caps;
}

static GpudlMatrix matrix_of(const GstVideoInfo *info)
{
    switch (info->colorimetry.matrix) {
    case GST_VIDEO_COLOR_MATRIX_BT709:
        return GPUDL_MATRIX_BT709;
    case GST_VIDEO_COLOR_MATRIX_BT2020:
        return GPUDL_MATRIX_BT2020;
    case GST_VIDEO_COLOR_MATRIX_FCC:
        return GPUDL_MATRIX_FCC;
    case GST_VIDEO_COLOR_MATRIX_SMPTE240M:
        return GPUDL_MATRIX_SMPTE240M;
    default:
        return GPUDL_MATRIX_BT601;
    }
}

static GpudlChromaSite chroma_site_of(const GstVideoInfo *info)
{
    GpudlChromaSite site = GPUDL_CHROMA_CENTERED;

    if (info->chroma_site & GST_VIDEO_CHROMA_SITE_H_COSITED)
        site |= GPUDL_CHROMA_H_COSITED;
    if (info->chroma_site & GST_VIDEO_CHROMA_SITE_V_COSITED)
        site |= GPUDL_CHROMA_V_COSITED;
    return site;
}

static GpudlPixelFormat format_of(GstVideoFormat format)
{
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++)
        if (formats[i].gst == format)
            return formats[i].gpudl;
    return GPUDL_PIXEL_UNKNOWN;
}

GpudlMediaFrame *media_frame_map(GstSample *sample)
{
    g_autofree GstVideoFrame *video = g_new0(GstVideoFrame, 1);
    GstBuffer *buffer = gst_sample_get_buffer(sample);
    GpudlMediaFrame *out;
    GstVideoInfo info;

    if (buffer == NULL || !gst_video_info_from_caps(&info, gst_sample_get_caps(sample)) ||
        !gst_video_frame_map(video, &info, buffer, GST_MAP_READ))
        return NULL;
    out = g_new0(GpudlMediaFrame, 1);
    out->pts = GST_BUFFER_PTS_IS_VALID(buffer) ? (gint64)GST_BUFFER_PTS(buffer) : -1;
    out->frame.memory = GPUDL_MEMORY_HOST;
    out->frame.format = format_of(GST_VIDEO_INFO_FORMAT(&info));
    out->frame.width = GST_VIDEO_INFO_WIDTH(&info);
    out->frame.height = GST_VIDEO_INFO_HEIGHT(&info);
    for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES(video); i++) {
        out->frame.planes[i] = GST_VIDEO_FRAME_PLANE_DATA(video, i);
        out->frame.strides[i] = GST_VIDEO_FRAME_PLANE_STRIDE(video, i);
    }
    out->frame.matrix = matrix_of(&info);
    out->frame.range = info.colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255 || GST_VIDEO_INFO_IS_RGB(&info)
                           ? GPUDL_RANGE_FULL
                           : GPUDL_RANGE_LIMITED;
    out->frame.chroma_site = chroma_site_of(&info);
    out->frame.par_n = GST_VIDEO_INFO_PAR_N(&info);
    out->frame.par_d = GST_VIDEO_INFO_PAR_D(&info);
    out->held = g_steal_pointer(&video); /* the mapping holds a reference on the buffer */
    return out;
}

void gpudl_media_frame_free(GpudlMediaFrame *frame)
{
    if (frame == NULL)
        return;
    gst_video_frame_unmap(frame->held);
    g_free(frame->held);
    g_free(frame);
}

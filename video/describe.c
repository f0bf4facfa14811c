/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "video/describe.h"

/* GstVideoInfo's line between SD and HD, in rows */
#define MAX_SD_HEIGHT 576

static const struct {
    GstVideoFormat gst;
    GpudlPixelFormat gpudl;
} formats[] = {
    {GST_VIDEO_FORMAT_NV12, GPUDL_PIXEL_NV12},
    {GST_VIDEO_FORMAT_NV21, GPUDL_PIXEL_NV21},
    {GST_VIDEO_FORMAT_I420, GPUDL_PIXEL_I420},
    {GST_VIDEO_FORMAT_YV12, GPUDL_PIXEL_YV12},
    {GST_VIDEO_FORMAT_Y42B, GPUDL_PIXEL_Y42B},
    {GST_VIDEO_FORMAT_Y444, GPUDL_PIXEL_Y444},
    {GST_VIDEO_FORMAT_YUY2, GPUDL_PIXEL_YUY2},
    {GST_VIDEO_FORMAT_UYVY, GPUDL_PIXEL_UYVY},
    {GST_VIDEO_FORMAT_RGB, GPUDL_PIXEL_RGB},
    {GST_VIDEO_FORMAT_BGR, GPUDL_PIXEL_BGR},
    {GST_VIDEO_FORMAT_RGBA, GPUDL_PIXEL_RGBA},
    {GST_VIDEO_FORMAT_BGRA, GPUDL_PIXEL_BGRA},
    {GST_VIDEO_FORMAT_ARGB, GPUDL_PIXEL_ARGB},
    {GST_VIDEO_FORMAT_ABGR, GPUDL_PIXEL_ABGR},
    {GST_VIDEO_FORMAT_RGBx, GPUDL_PIXEL_RGBX},
    {GST_VIDEO_FORMAT_BGRx, GPUDL_PIXEL_BGRX},
    {GST_VIDEO_FORMAT_xRGB, GPUDL_PIXEL_XRGB},
    {GST_VIDEO_FORMAT_xBGR, GPUDL_PIXEL_XBGR},
    {GST_VIDEO_FORMAT_RGBP, GPUDL_PIXEL_RGBP},
    {GST_VIDEO_FORMAT_BGRP, GPUDL_PIXEL_BGRP},
    {GST_VIDEO_FORMAT_GBR, GPUDL_PIXEL_GBR},
    {GST_VIDEO_FORMAT_GRAY8, GPUDL_PIXEL_GRAY8},
    {GST_VIDEO_FORMAT_P010_10LE, GPUDL_PIXEL_P010_10LE},
    {GST_VIDEO_FORMAT_I420_10LE, GPUDL_PIXEL_I420_10LE},
};

GpudlPixelFormat gpudl_video_format(GstVideoFormat format)
{
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++)
        if (formats[i].gst == format)
            return formats[i].gpudl;
    return GPUDL_PIXEL_UNKNOWN;
}

GstCaps *gpudl_video_caps(GpudlPixelFormat format)
{
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++)
        if (formats[i].gpudl == format)
            return gst_caps_new_simple("video/x-raw", "format", G_TYPE_STRING,
                                       gst_video_format_to_string(formats[i].gst), NULL);
    g_return_val_if_fail(format == GPUDL_PIXEL_UNKNOWN, NULL);
    return gst_caps_from_string("video/x-raw, format=(string)" GPUDL_VIDEO_FORMATS);
}

/* Bytes of a row of a plane, without what pads it, and rows. */
static void measure_plane(const GstVideoInfo *info, guint plane, gint64 *row_bytes, gint64 *rows)
{
    const GstVideoFormatInfo *format = info->finfo;

    *row_bytes = *rows = 0;
    for (guint c = 0; c < GST_VIDEO_FORMAT_INFO_N_COMPONENTS(format); c++) {
        if (GST_VIDEO_FORMAT_INFO_PLANE(format, c) != plane)
            continue;
        *row_bytes = MAX(*row_bytes, (gint64)GST_VIDEO_INFO_COMP_WIDTH(info, c) * GST_VIDEO_INFO_COMP_PSTRIDE(info, c));
        *rows = MAX(*rows, GST_VIDEO_INFO_COMP_HEIGHT(info, c));
    }
}

/* GStreamer compares a buffer's size with the caps' alone, and takes a GstVideoMeta's word for where planes end. Where
 * its owner maps elsewhere than into the buffer's memory, only he knows. */
static gboolean check_planes(const GstVideoFrame *video, GError **error)
{
    for (guint i = 0; video->meta != NULL && i < GST_VIDEO_FRAME_N_PLANES(video); i++) {
        const GstMapInfo *map = &video->map[i];
        const guint8 *data = GST_VIDEO_FRAME_PLANE_DATA(video, i);
        gint64 row_bytes, rows, needed;

        measure_plane(&video->info, i, &row_bytes, &rows);
        needed = (rows - 1) * GST_VIDEO_FRAME_PLANE_STRIDE(video, i) + row_bytes;
        if (data < map->data || data > map->data + map->size || needed <= map->data + map->size - data)
            continue;
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "plane %u of buffer's %s %dx%d has %" G_GINT64_FORMAT " bytes by its GstVideoMeta, of which the "
                    "memory holds %" G_GINT64_FORMAT,
                    i, GST_VIDEO_INFO_NAME(&video->info), GST_VIDEO_INFO_WIDTH(&video->info),
                    GST_VIDEO_INFO_HEIGHT(&video->info), needed, (gint64)(map->data + map->size - data));
        return FALSE;
    }
    return TRUE;
}

gboolean gpudl_video_map(GstVideoFrame *video, const GstVideoInfo *info, GstBuffer *buffer, GstMapFlags flags,
                         GError **error)
{
    if (!gst_video_frame_map(video, info, buffer, GST_MAP_READ | flags)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "buffer of %" G_GSIZE_FORMAT " bytes can't be mapped as %s %dx%d, which has %" G_GSIZE_FORMAT
                    " bytes",
                    gst_buffer_get_size(buffer), GST_VIDEO_INFO_NAME(info), GST_VIDEO_INFO_WIDTH(info),
                    GST_VIDEO_INFO_HEIGHT(info), GST_VIDEO_INFO_SIZE(info));
        return FALSE;
    }
    if (check_planes(video, error))
        return TRUE;
    gst_video_frame_unmap(video);
    return FALSE;
}

static GpudlMatrix matrix_of(const GstVideoInfo *info)
{
    switch (GST_VIDEO_INFO_COLORIMETRY(info).matrix) {
    case GST_VIDEO_COLOR_MATRIX_BT601:
        return GPUDL_MATRIX_BT601;
    case GST_VIDEO_COLOR_MATRIX_BT709:
        return GPUDL_MATRIX_BT709;
    case GST_VIDEO_COLOR_MATRIX_BT2020:
        return GPUDL_MATRIX_BT2020;
    case GST_VIDEO_COLOR_MATRIX_FCC:
        return GPUDL_MATRIX_FCC;
    case GST_VIDEO_COLOR_MATRIX_SMPTE240M:
        return GPUDL_MATRIX_SMPTE240M;
    default:
        return GST_VIDEO_INFO_HEIGHT(info) > MAX_SD_HEIGHT ? GPUDL_MATRIX_BT709 : GPUDL_MATRIX_BT601;
    }
}

static GpudlRange range_of(const GstVideoInfo *info)
{
    switch (GST_VIDEO_INFO_COLORIMETRY(info).range) {
    case GST_VIDEO_COLOR_RANGE_0_255:
        return GPUDL_RANGE_FULL;
    case GST_VIDEO_COLOR_RANGE_16_235:
        return GPUDL_RANGE_LIMITED;
    default:
        return GST_VIDEO_INFO_IS_YUV(info) ? GPUDL_RANGE_LIMITED : GPUDL_RANGE_FULL;
    }
}

static GpudlChromaSite chroma_site_of(const GstVideoInfo *info)
{
    const GstVideoChromaSite site = GST_VIDEO_INFO_CHROMA_SITE(info);
    GpudlChromaSite out = GPUDL_CHROMA_CENTERED;

    if (site == GST_VIDEO_CHROMA_SITE_UNKNOWN)
        return GST_VIDEO_INFO_HEIGHT(info) > MAX_SD_HEIGHT ? GPUDL_CHROMA_H_COSITED : GPUDL_CHROMA_CENTERED;
    if (site & GST_VIDEO_CHROMA_SITE_H_COSITED)
        out |= GPUDL_CHROMA_H_COSITED;
    if (site & GST_VIDEO_CHROMA_SITE_V_COSITED)
        out |= GPUDL_CHROMA_V_COSITED;
    return out;
}

static gboolean describe_crop(GstBuffer *buffer, GpudlFrame *frame, GError **error)
{
    const GstVideoCropMeta *crop = gst_buffer_get_video_crop_meta(buffer);

    frame->crop_x = frame->crop_y = frame->crop_width = frame->crop_height = 0;
    if (crop == NULL)
        return TRUE;
    if (crop->x >= (guint)frame->width || crop->y >= (guint)frame->height || crop->width == 0 || crop->height == 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "buffer's crop rectangle %ux%u at %u,%u has no pixel of its %dx%d frame", crop->width, crop->height,
                    crop->x, crop->y, frame->width, frame->height);
        return FALSE;
    }
    frame->crop_x = (gint)crop->x;
    frame->crop_y = (gint)crop->y;
    frame->crop_width = (gint)MIN(crop->width, (guint)frame->width - crop->x);
    frame->crop_height = (gint)MIN(crop->height, (guint)frame->height - crop->y);
    return TRUE;
}

gboolean gpudl_video_describe(const GstVideoFrame *video, GpudlFrame *frame, GError **error)
{
    const GstVideoInfo *info = &video->info;

    frame->struct_size = sizeof(*frame);
    frame->format = gpudl_video_format(GST_VIDEO_INFO_FORMAT(info));
    frame->width = GST_VIDEO_INFO_WIDTH(info);
    frame->height = GST_VIDEO_INFO_HEIGHT(info);
    for (guint i = 0; i < G_N_ELEMENTS(frame->planes); i++) {
        const gboolean there = i < GST_VIDEO_FRAME_N_PLANES(video);

        frame->planes[i] = there ? GST_VIDEO_FRAME_PLANE_DATA(video, i) : NULL;
        frame->strides[i] = there ? GST_VIDEO_FRAME_PLANE_STRIDE(video, i) : 0;
    }
    frame->matrix = matrix_of(info);
    frame->range = range_of(info);
    frame->chroma_site = chroma_site_of(info);
    frame->par_n = GST_VIDEO_INFO_PAR_N(info);
    frame->par_d = GST_VIDEO_INFO_PAR_D(info);
    return describe_crop(video->buffer, frame, error);
}

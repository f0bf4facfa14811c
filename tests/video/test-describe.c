/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What GStreamer's words for a picture mean to the engine. */
#include "video/describe.h"

#include <string.h>

/* NV12 and the like of this size, all of its colours unknown. */
static GstVideoInfo unknown(GstVideoFormat format, gint width, gint height)
{
    GstVideoInfo info;

    g_assert_true(gst_video_info_set_format(&info, format, (guint)width, (guint)height));
    info.chroma_site = GST_VIDEO_CHROMA_SITE_UNKNOWN;
    memset(&info.colorimetry, 0, sizeof info.colorimetry);
    return info;
}

static GpudlFrame describe(const GstVideoInfo *info)
{
    g_autoptr(GstBuffer) buffer = gst_buffer_new_allocate(NULL, info->size, NULL);
    g_autoptr(GError) error = NULL;
    GpudlFrame frame;
    GstVideoFrame video;

    memset(&frame, 0x5a, sizeof frame);
    g_assert_true(gpudl_video_map(&video, info, buffer, 0, &error));
    g_assert_true(gpudl_video_describe(&video, &frame, &error));
    g_assert_no_error(error);
    gst_video_frame_unmap(&video);
    return frame;
}

static void each_matrix_range_and_site_is_itself(void)
{
    static const struct {
        GstVideoColorMatrix gst;
        GpudlMatrix gpudl;
    } matrices[] = {
        {GST_VIDEO_COLOR_MATRIX_BT601, GPUDL_MATRIX_BT601},         {GST_VIDEO_COLOR_MATRIX_BT709, GPUDL_MATRIX_BT709},
        {GST_VIDEO_COLOR_MATRIX_BT2020, GPUDL_MATRIX_BT2020},       {GST_VIDEO_COLOR_MATRIX_FCC, GPUDL_MATRIX_FCC},
        {GST_VIDEO_COLOR_MATRIX_SMPTE240M, GPUDL_MATRIX_SMPTE240M},
    };
    static const struct {
        GstVideoChromaSite gst;
        GpudlChromaSite gpudl;
    } sites[] = {
        {GST_VIDEO_CHROMA_SITE_JPEG, GPUDL_CHROMA_CENTERED},
        {GST_VIDEO_CHROMA_SITE_MPEG2, GPUDL_CHROMA_H_COSITED},
        {GST_VIDEO_CHROMA_SITE_V_COSITED, GPUDL_CHROMA_V_COSITED},
        {GST_VIDEO_CHROMA_SITE_COSITED, GPUDL_CHROMA_COSITED},
        {GST_VIDEO_CHROMA_SITE_DV, GPUDL_CHROMA_COSITED},
    };

    /* on both sides of the line that what is unknown goes by */
    for (gint height = 8; height <= 1080; height += 1072) {
        GstVideoInfo info = unknown(GST_VIDEO_FORMAT_NV12, 8, height);

        for (guint i = 0; i < G_N_ELEMENTS(matrices); i++) {
            info.colorimetry.matrix = matrices[i].gst;
            g_assert_cmpint(describe(&info).matrix, ==, matrices[i].gpudl);
        }
        for (guint i = 0; i < G_N_ELEMENTS(sites); i++) {
            info.chroma_site = sites[i].gst;
            g_assert_cmpint(describe(&info).chroma_site, ==, sites[i].gpudl);
        }
        info.colorimetry.range = GST_VIDEO_COLOR_RANGE_0_255;
        g_assert_cmpint(describe(&info).range, ==, GPUDL_RANGE_FULL);
        info.colorimetry.range = GST_VIDEO_COLOR_RANGE_16_235;
        g_assert_cmpint(describe(&info).range, ==, GPUDL_RANGE_LIMITED);
    }
}

static void rgb_and_grey_have_a_range(void)
{
    static const GstVideoFormat formats[] = {GST_VIDEO_FORMAT_RGB, GST_VIDEO_FORMAT_xBGR, GST_VIDEO_FORMAT_GBR,
                                             GST_VIDEO_FORMAT_GRAY8};

    for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
        GstVideoInfo info = unknown(formats[i], 8, 8);

        g_assert_cmpint(describe(&info).range, ==, GPUDL_RANGE_FULL);
        info.colorimetry.range = GST_VIDEO_COLOR_RANGE_16_235;
        g_assert_cmpint(describe(&info).range, ==, GPUDL_RANGE_LIMITED);
        info.colorimetry.range = GST_VIDEO_COLOR_RANGE_0_255;
        g_assert_cmpint(describe(&info).range, ==, GPUDL_RANGE_FULL);
    }
}

static void unknown_is_by_height(void)
{
    for (gint height = 576; height <= 577; height++) {
        GstVideoInfo info = unknown(GST_VIDEO_FORMAT_I420, 8, height);
        const GpudlFrame frame = describe(&info);

        g_assert_cmpint(frame.matrix, ==, height > 576 ? GPUDL_MATRIX_BT709 : GPUDL_MATRIX_BT601);
        g_assert_cmpint(frame.chroma_site, ==, height > 576 ? GPUDL_CHROMA_H_COSITED : GPUDL_CHROMA_CENTERED);
        g_assert_cmpint(frame.range, ==, GPUDL_RANGE_LIMITED);
    }
}

/* GStreamer's own values, of whichever release runs here, where caps say nothing. */
static void unknown_is_what_gstreamer_takes(void)
{
    g_autoptr(GstCaps) all = gpudl_video_caps(GPUDL_PIXEL_UNKNOWN);
    const GValue *names = gst_structure_get_value(gst_caps_get_structure(all, 0), "format");

    g_assert_cmpuint(gst_value_list_get_size(names), ==, GPUDL_PIXEL_LAST);
    for (guint i = 0; i < 2 * gst_value_list_get_size(names); i++) {
        const gchar *name = g_value_get_string(gst_value_list_get_value(names, i / 2));
        const gint height = i % 2 ? 480 : 720;
        g_autoptr(GstCaps) caps = gst_caps_new_simple("video/x-raw", "format", G_TYPE_STRING, name, "width", G_TYPE_INT,
                                                      8, "height", G_TYPE_INT, height, NULL);
        GstVideoInfo silent, nothing = unknown(gst_video_format_from_string(name), 8, height);
        GpudlFrame expected, found = describe(&nothing);

        g_assert_true(gst_video_info_from_caps(&silent, caps));
        expected = describe(&silent);
        g_assert_cmpint(found.format, !=, GPUDL_PIXEL_UNKNOWN);
        g_assert_cmpint(found.range, ==, expected.range);
        if (GST_VIDEO_INFO_IS_YUV(&silent)) {
            g_assert_cmpint(found.matrix, ==, expected.matrix);
            g_assert_cmpint(found.chroma_site, ==, expected.chroma_site);
        }
    }
}

static void formats_are_one_to_one(void)
{
    guint seen[GPUDL_PIXEL_LAST + 1] = {0};

    for (gint i = GST_VIDEO_FORMAT_ENCODED; i <= GST_VIDEO_FORMAT_AV12; i++)
        seen[gpudl_video_format((GstVideoFormat)i)]++;
    for (guint f = GPUDL_PIXEL_UNKNOWN + 1; f <= GPUDL_PIXEL_LAST; f++) {
        g_autoptr(GstCaps) caps = gpudl_video_caps((GpudlPixelFormat)f);
        const gchar *name = gst_structure_get_string(gst_caps_get_structure(caps, 0), "format");

        g_assert_cmpuint(seen[f], ==, 1);
        g_assert_cmpint(gpudl_video_format(gst_video_format_from_string(name)), ==, f);
    }
}

static void planes_of_others_and_of_old_frames_are_nothing(void)
{
    GstVideoInfo info = unknown(GST_VIDEO_FORMAT_NV12, 10, 6);
    const GpudlFrame frame = describe(&info);

    info.par_n = 16;
    info.par_d = 11;
    g_assert_cmpuint(frame.struct_size, ==, sizeof frame);
    g_assert_cmpint(frame.memory, ==, 0x5a5a5a5a); /* the caller's */
    g_assert_nonnull(frame.planes[1]);
    g_assert_null(frame.planes[2]);
    g_assert_null(frame.planes[3]);
    g_assert_cmpint(frame.strides[1], ==, info.stride[1]);
    g_assert_cmpint(frame.strides[2], ==, 0);
    g_assert_cmpint(frame.crop_width, ==, 0);
    g_assert_cmpint(describe(&info).par_n, ==, 16);
    g_assert_cmpint(describe(&info).par_d, ==, 11);
}

static void crop_is_cut_to_the_frame(void)
{
    static const struct {
        guint x, y, width, height;
        gint cut_width, cut_height; /* 0: refused */
    } cases[] = {
        {2, 1, 5, 4, 5, 4},          {0, 0, 16, 8, 16, 8},       {12, 6, 100, G_MAXUINT, 4, 2},
        {16, 0, 1, 1, 0, 0},         {0, 8, 1, 1, 0, 0},         {0, 0, 0, 4, 0, 0},
        {0, 0, 4, 0, 0, 0},          {G_MAXUINT, 0, 2, 2, 0, 0}, {15, 7, 1, 1, 1, 1},
        {1, 1, G_MAXUINT, 1, 15, 1},
    };
    const GstVideoInfo info = unknown(GST_VIDEO_FORMAT_GRAY8, 16, 8);

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GstBuffer) buffer = gst_buffer_new_allocate(NULL, info.size, NULL);
        GstVideoCropMeta *crop = gst_buffer_add_video_crop_meta(buffer);
        g_autoptr(GError) error = NULL;
        GpudlFrame frame;
        GstVideoFrame video;

        crop->x = cases[i].x;
        crop->y = cases[i].y;
        crop->width = cases[i].width;
        crop->height = cases[i].height;
        g_assert_true(gpudl_video_map(&video, &info, buffer, 0, &error));
        if (cases[i].cut_width == 0) {
            g_assert_false(gpudl_video_describe(&video, &frame, &error));
            g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
        } else {
            g_assert_true(gpudl_video_describe(&video, &frame, &error));
            g_assert_cmpint(frame.crop_x, ==, cases[i].x);
            g_assert_cmpint(frame.crop_y, ==, cases[i].y);
            g_assert_cmpint(frame.crop_width, ==, cases[i].cut_width);
            g_assert_cmpint(frame.crop_height, ==, cases[i].cut_height);
        }
        gst_video_frame_unmap(&video);
    }
}

static void a_buffer_too_short_is_refused(void)
{
    const GstVideoInfo info = unknown(GST_VIDEO_FORMAT_NV12, 16, 8);
    g_autoptr(GstBuffer) buffer = gst_buffer_new_allocate(NULL, info.size - 1, NULL);
    g_autoptr(GError) error = NULL;
    GstVideoFrame video;

    g_assert_false(gpudl_video_map(&video, &info, buffer, 0, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_nonnull(strstr(error->message, "191 bytes"));
}

/* Maps a buffer of so many bytes whose GstVideoMeta says where the planes of an odd 5x3 frame begin. */
static gboolean maps(GstVideoFormat format, gsize bytes, const gsize offsets[4], const gint strides[4], GError **error)
{
    const GstVideoInfo info = unknown(format, 5, 3);
    g_autoptr(GstBuffer) buffer = gst_buffer_new_allocate(NULL, bytes, NULL);
    GstVideoFrame video;

    gst_buffer_add_video_meta_full(buffer, GST_VIDEO_FRAME_FLAG_NONE, format, 5, 3, GST_VIDEO_INFO_N_PLANES(&info),
                                   (gsize *)offsets, (gint *)strides);
    if (!gpudl_video_map(&video, &info, buffer, 0, error))
        return FALSE;
    gst_video_frame_unmap(&video);
    return TRUE;
}

/* The last row needs no padding, and not a byte may be missing. */
static void a_plane_that_ends_beyond_its_memory_is_refused(void)
{
    static const struct {
        GstVideoFormat format;
        gsize offsets[4];
        gint strides[4];
        gsize bytes;
    } cases[] = {
        {GST_VIDEO_FORMAT_GRAY8, {7}, {16}, 7 + 2 * 16 + 5},
        {GST_VIDEO_FORMAT_RGB, {0}, {16}, 2 * 16 + 15},
        {GST_VIDEO_FORMAT_YUY2, {0}, {12}, 3 * 12},
        {GST_VIDEO_FORMAT_NV12, {0, 24}, {8, 8}, 24 + 8 + 6},
        {GST_VIDEO_FORMAT_NV12, {14, 0}, {8, 6}, 14 + 2 * 8 + 5},
        {GST_VIDEO_FORMAT_I420, {0, 24, 40}, {8, 8, 8}, 40 + 8 + 3},
        {GST_VIDEO_FORMAT_P010_10LE, {0, 36}, {12, 12}, 36 + 12 + 12},
        {GST_VIDEO_FORMAT_P010_10LE, {24, 0}, {11, 12}, 24 + 2 * 11 + 10},
        {GST_VIDEO_FORMAT_I420_10LE, {0, 36, 60}, {12, 12, 7}, 60 + 7 + 6},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_true(maps(cases[i].format, cases[i].bytes, cases[i].offsets, cases[i].strides, &error));
        g_assert_no_error(error);
        g_assert_false(maps(cases[i].format, cases[i].bytes - 1, cases[i].offsets, cases[i].strides, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
        g_assert_nonnull(strstr(error->message, "GstVideoMeta"));
    }
}

/* Where an owner has its planes, outside what it says is mapped; to both sides of it. */
static guint8 elsewhere[64];
static gsize where;

static gboolean map_elsewhere(GstVideoMeta *meta, guint plane, GstMapInfo *map, gpointer *data, gint *stride,
                              GstMapFlags flags)
{
    *map = (GstMapInfo){.flags = flags, .data = elsewhere + 4, .size = 1};
    *data = elsewhere + where;
    *stride = meta->stride[plane];
    return TRUE;
}

static gboolean unmap_elsewhere(GstVideoMeta *meta, guint plane, GstMapInfo *map)
{
    return TRUE;
}

static void planes_that_an_owner_has_elsewhere_are_taken(void)
{
    const GstVideoInfo info = unknown(GST_VIDEO_FORMAT_GRAY8, 4, 4);

    for (where = 0; where <= 16; where += 16) {
        g_autoptr(GstBuffer) buffer = gst_buffer_new_allocate(NULL, info.size, NULL);
        GstVideoMeta *meta = gst_buffer_add_video_meta(buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_GRAY8, 4, 4);
        g_autoptr(GError) error = NULL;
        GstVideoFrame video;

        meta->map = map_elsewhere;
        meta->unmap = unmap_elsewhere;
        gpudl_video_map(&video, &info, buffer, 0, &error);
        g_assert_no_error(error);
        g_assert_true(GST_VIDEO_FRAME_PLANE_DATA(&video, 0) == elsewhere + where);
        gst_video_frame_unmap(&video);
    }
}

int main(int argc, char **argv)
{
    gst_init(&argc, &argv);
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/describe/" #name, name)
    ADD(each_matrix_range_and_site_is_itself);
    ADD(rgb_and_grey_have_a_range);
    ADD(unknown_is_by_height);
    ADD(unknown_is_what_gstreamer_takes);
    ADD(formats_are_one_to_one);
    ADD(planes_of_others_and_of_old_frames_are_nothing);
    ADD(crop_is_cut_to_the_frame);
    ADD(a_buffer_too_short_is_refused);
    ADD(a_plane_that_ends_beyond_its_memory_is_refused);
    ADD(planes_that_an_owner_has_elsewhere_are_taken);
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A film whose truth is known: slow moves over one photograph after the other. */
#include <gst/app/gstappsrc.h>
#include <gst/gst.h>
#include <string.h>

#include "tools/demo/annotate.h"
#include "tools/demo/demo.h"
#include "tools/media.h"

cairo_surface_t *picture_load(const gchar *path, GError **error)
{
    g_autoptr(GpudlMedia) media = gpudl_media_open(path, GPUDL_PIXEL_BGRX, error);
    g_autoptr(GpudlMediaFrame) frame = media != NULL ? gpudl_media_next(media, error) : NULL;
    cairo_surface_t *surface;

    if (frame == NULL)
        return NULL;
    surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, frame->frame.width, frame->frame.height);
    if (cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY, "%s: %d x %d pixels are too many to draw", path,
                    frame->frame.width, frame->frame.height);
        cairo_surface_destroy(surface);
        return NULL;
    }
    cairo_surface_flush(surface);
    for (gint y = 0; y < frame->frame.height; y++)
        memcpy(cairo_image_surface_get_data(surface) + (gsize)y * (gsize)cairo_image_surface_get_stride(surface),
               (const guint8 *)frame->frame.planes[0] + (gsize)y * (gsize)frame->frame.strides[0],
               (gsize)frame->frame.width * 4);
    cairo_surface_mark_dirty(surface);
    return surface;
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

void film_draw(cairo_t *cr, cairo_surface_t *picture, guint shot, double t)
{
    double w = cairo_image_surface_get_width(picture), h = cairo_image_surface_get_height(picture);
    double eased = t * t * (3.0 - 2.0 * t); /* starts and stops softly */
    double forth = shot % 2 == 0 ? eased : 1.0 - eased;
    double scale = MAX(FILM_WIDTH / w, FILM_HEIGHT / h) * (1.0 + 0.15 * forth);
    double along = 0.35 + 0.3 * (shot % 4 < 2 ? eased : 1.0 - eased);

    cairo_save(cr);
    cairo_translate(cr, (FILM_WIDTH - w * scale) * along, (FILM_HEIGHT - h * scale) * (0.55 - 0.1 * eased));
    cairo_scale(cr, scale, scale);
    cairo_set_source_surface(cr, picture, 0.0, 0.0);
    cairo_pattern_set_extend(cairo_get_source(cr), CAIRO_EXTEND_PAD);
    cairo_pattern_set_filter(cairo_get_source(cr), CAIRO_FILTER_GOOD);
    cairo_paint(cr);
    cairo_restore(cr);
}

/* Moves are drawn from a copy not much larger than the film: quick, and free of the shimmer of strong shrinking. */
static cairo_surface_t *shrink(cairo_surface_t *picture)
{
    double w = cairo_image_surface_get_width(picture), h = cairo_image_surface_get_height(picture);
    double scale = MIN(1.3 * MAX(FILM_WIDTH / w, FILM_HEIGHT / h), 1.0);
    cairo_surface_t *small =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, MAX((int)(w * scale), 1), MAX((int)(h * scale), 1));
    cairo_t *cr = cairo_create(small);

    cairo_scale(cr, cairo_image_surface_get_width(small) / w, cairo_image_surface_get_height(small) / h);
    cairo_set_source_surface(cr, picture, 0.0, 0.0);
    cairo_pattern_set_extend(cairo_get_source(cr), CAIRO_EXTEND_PAD);
    cairo_pattern_set_filter(cairo_get_source(cr), CAIRO_FILTER_BEST);
    cairo_paint(cr);
    cairo_destroy(cr);
    return small;
}

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

static gboolean push_shot(GstAppSrc *source, cairo_surface_t *picture, guint shot, guint64 *n_frames)
{
    const gsize stride = FILM_WIDTH * 4;
    cairo_surface_t *small = shrink(picture);
    gboolean ok = TRUE;

    for (guint i = 0; i < SHOT_FRAMES && ok; i++) {
        GstBuffer *buffer = gst_buffer_new_allocate(NULL, stride * FILM_HEIGHT, NULL);
        cairo_surface_t *frame;
        GstMapInfo map;
        cairo_t *cr;

        if (!gst_buffer_map(buffer, &map, GST_MAP_WRITE)) {
            gst_buffer_unref(buffer);
            ok = FALSE;
            break;
        }
        frame = cairo_image_surface_create_for_data(map.data, CAIRO_FORMAT_RGB24, FILM_WIDTH, FILM_HEIGHT, (int)stride);
        cr = cairo_create(frame);
        film_draw(cr, small, shot, (double)i / (SHOT_FRAMES - 1));
        cairo_destroy(cr);
        cairo_surface_destroy(frame);
        gst_buffer_unmap(buffer, &map);
        GST_BUFFER_PTS(buffer) = gst_util_uint64_scale_int(*n_frames, GST_SECOND, FILM_FPS);
        GST_BUFFER_DURATION(buffer) = GST_SECOND / FILM_FPS;
        (*n_frames)++;
        ok = gst_app_src_push_buffer(source, buffer) == GST_FLOW_OK;
    }
    cairo_surface_destroy(small);
    return ok;
}

static gboolean encode(GstElement *pipeline, GPtrArray *photos, const gchar *path, GError **error)
{
    g_autoptr(GstElement) source = gst_bin_get_by_name(GST_BIN(pipeline), "source");
    g_autoptr(GstElement) sink = gst_bin_get_by_name(GST_BIN(pipeline), "sink");
    g_autoptr(GstBus) bus = gst_element_get_bus(pipeline);
    g_autoptr(GstMessage) message = NULL;
    guint64 n_frames = 0;
    guint shot = 0;

    g_object_set(sink, "location", path, NULL);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    for (guint i = 0; i < photos->len; i++) {
        const Photo *photo = photos->pdata[i];

        if (photo->picture != NULL && !push_shot(GST_APP_SRC(source), photo->picture, shot++, &n_frames))
            break;
    }
    gst_app_src_end_of_stream(GST_APP_SRC(source));
    message = gst_bus_timed_pop_filtered(bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    gst_element_set_state(pipeline, GST_STATE_NULL);
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
        g_autoptr(GError) reason = NULL;

        gst_message_parse_error(message, &reason, NULL);
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_WRITE, "%s: %s", path, reason->message);
        return FALSE;
    }
    return TRUE;
}

gboolean film_write(GPtrArray *photos, const gchar *base, gchar **path, GError **error)
{
    const VideoEncoder *encoder = video_encoder_find(VIDEO_ENCODER_EXACT, error);
    g_autofree gchar *text = NULL, *file = NULL;
    g_autoptr(GstElement) pipeline = NULL;

    if (encoder == NULL)
        return FALSE;
    file = g_strconcat(base, encoder->suffix, NULL);
    text = g_strdup_printf("appsrc name=source format=time block=true max-bytes=8000000 "
                           "caps=video/x-raw,format=BGRx,width=%d,height=%d,framerate=%d/1 "
                           "! videoconvert ! %s ! filesink name=sink",
                           FILM_WIDTH, FILM_HEIGHT, FILM_FPS, encoder->description);
    pipeline = gst_parse_launch(text, error);
    if (pipeline == NULL)
        return FALSE;
    gst_object_ref_sink(pipeline);
    if (!encode(pipeline, photos, file, error))
        return FALSE;
    *path = g_steal_pointer(&file);
    return TRUE;
}

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

/* What a shot is drawn from. */
typedef struct {
    cairo_surface_t *sharp; /* not much larger than the film: quick, and free of the shimmer of strong shrinking */
    cairo_surface_t *blur;  /* a few pixels that, enlarged, fill what a narrow picture leaves of the frame */
} ShotPictures;

#define BLUR_SIZE 12

static void paint_scaled(cairo_t *cr, cairo_surface_t *surface, double scale_x, double scale_y, cairo_filter_t filter)
{
    cairo_save(cr);
    cairo_scale(cr, scale_x, scale_y);
    cairo_set_source_surface(cr, surface, 0.0, 0.0);
    cairo_pattern_set_extend(cairo_get_source(cr), CAIRO_EXTEND_PAD);
    cairo_pattern_set_filter(cairo_get_source(cr), filter);
    cairo_rectangle(cr, 0.0, 0.0, cairo_image_surface_get_width(surface), cairo_image_surface_get_height(surface));
    cairo_fill(cr);
    cairo_restore(cr);
}

static cairo_surface_t *resized(cairo_surface_t *picture, int width, int height)
{
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    cairo_t *cr = cairo_create(surface);

    paint_scaled(cr, picture, (double)width / cairo_image_surface_get_width(picture),
                 (double)height / cairo_image_surface_get_height(picture), CAIRO_FILTER_BEST);
    cairo_destroy(cr);
    return surface;
}

static ShotPictures prepare_shot(cairo_surface_t *picture)
{
    int w = cairo_image_surface_get_width(picture), h = cairo_image_surface_get_height(picture);
    double scale = MIN(1.3 * FILM_HEIGHT / MIN(w, h), 1.0);

    return (ShotPictures){.sharp = resized(picture, MAX((int)(w * scale), 1), MAX((int)(h * scale), 1)),
                          .blur = resized(picture, BLUR_SIZE, BLUR_SIZE)};
}

static void clear_shot(ShotPictures *pictures)
{
    cairo_surface_destroy(pictures->sharp);
    cairo_surface_destroy(pictures->blur);
}

/* The short side fills the frame's height, a little more while zooming in; along the long side the view moves. shot
 * picks the directions, t in 0..1 is the place within the shot. */
static void draw_frame(cairo_t *cr, const ShotPictures *pictures, guint shot, double t)
{
    double w = cairo_image_surface_get_width(pictures->sharp), h = cairo_image_surface_get_height(pictures->sharp);
    double eased = t * t * (3.0 - 2.0 * t); /* starts and stops softly */
    double forth = shot % 2 == 0 ? eased : 1.0 - eased;
    double scale = FILM_HEIGHT / MIN(w, h) * (1.0 + 0.12 * forth);
    double along = 0.35 + 0.3 * (shot % 4 < 2 ? eased : 1.0 - eased);
    double x = (FILM_WIDTH - w * scale) * along, y = (FILM_HEIGHT - h * scale) * (0.55 - 0.1 * eased);

    if (w * scale < FILM_WIDTH) {
        paint_scaled(cr, pictures->blur, (double)FILM_WIDTH / BLUR_SIZE, (double)FILM_HEIGHT / BLUR_SIZE,
                     CAIRO_FILTER_BILINEAR);
        cairo_set_source_rgba(cr, 0.0, 0.0, 0.0, 0.35);
        cairo_paint(cr);
        x = (FILM_WIDTH - w * scale) / 2.0;
    }
    cairo_translate(cr, x, y);
    paint_scaled(cr, pictures->sharp, scale, scale, CAIRO_FILTER_GOOD);
}

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

static gboolean push_shot(GstAppSrc *source, cairo_surface_t *picture, guint shot, guint64 *n_frames)
{
    const gsize stride = FILM_WIDTH * 4;
    ShotPictures pictures = prepare_shot(picture);
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
        draw_frame(cr, &pictures, shot, (double)i / (SHOT_FRAMES - 1));
        cairo_destroy(cr);
        cairo_surface_destroy(frame);
        gst_buffer_unmap(buffer, &map);
        GST_BUFFER_PTS(buffer) = gst_util_uint64_scale_int(*n_frames, GST_SECOND, FILM_FPS);
        GST_BUFFER_DURATION(buffer) = GST_SECOND / FILM_FPS;
        (*n_frames)++;
        ok = gst_app_src_push_buffer(source, buffer) == GST_FLOW_OK;
    }
    clear_shot(&pictures);
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

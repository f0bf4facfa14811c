/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/media.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <gst/app/gstappsink.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/limits.h"
#include "tools/media-frame.h"
#include "tools/media-internal.h"

#define MAX_PICTURE_PIXELS 500000000
/* in which silence is counted */
#define SILENCE_STEPS 30
/* that any decoder does at least, on a machine with more to do */
#define PIXELS_A_SECOND 10000000

/* ---- what is asked for ------------------------------------------------------------------------------------------- */

/* Files are looked at before GStreamer is asked: its messages for these are about elements, not about the file. */
static gboolean check_file(GpudlMedia *self, const gchar *path, GError **error)
{
    const gchar *location = self->location;
    GStatBuf st;

    if (location[0] == '\0')
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND,
                            "'': an empty name was given, expected that of a picture or video");
    else if (g_stat(path, &st) != 0)
        g_set_error(error, GPUDL_ERROR, errno == ENOENT ? GPUDL_ERROR_NOT_FOUND : GPUDL_ERROR_OPEN_READ, "%s: %s",
                    location, errno == ENOENT ? "no such file" : g_strerror(errno));
    else if (S_ISDIR(st.st_mode))
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: is a directory, not a picture or video", location);
    /* one that nobody writes to would be waited for for ever, and what was read of it can't be read again */
    else if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: is a pipe, expected a file or a URI", location);
    else if (S_ISREG(st.st_mode) && st.st_size == 0)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: is empty", location);
    else if (g_access(path, R_OK) != 0)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: can't be read: %s", location, g_strerror(errno));
    else {
        if (S_ISREG(st.st_mode))
            self->path = g_strdup(path);
        return TRUE;
    }
    return FALSE;
}

gchar *gpudl_media_shown(const gchar *location)
{
    const gchar *host = strstr(location, "://"), *end, *at = NULL;

    if (host == NULL)
        return g_strdup(location);
    host += strlen("://");
    end = host + strcspn(host, "/?");
    for (const gchar *c = host; c < end; c++)
        if (*c == '@')
            at = c;
    return at == NULL ? g_strdup(location) : g_strdup_printf("%.*s%s", (int)(host - location), location, at + 1);
}

/* Sets uri, and path where it is a file's. */
static gboolean find_source(GpudlMedia *self, GError **error)
{
    g_autofree gchar *path = NULL;

    if (strstr(self->location, "://") == NULL || !gst_uri_is_valid(self->location)) {
        path = g_canonicalize_filename(self->location, NULL);
        return check_file(self, path, error) && (self->uri = g_filename_to_uri(path, NULL, error)) != NULL;
    }
    self->uri = g_steal_pointer(&self->location);
    self->location = gpudl_media_shown(self->uri);
    if (!gst_uri_has_protocol(self->uri, "file"))
        return TRUE;
    path = gst_uri_get_location(self->uri);
    return path == NULL || !g_path_is_absolute(path) || check_file(self, path, error);
}

/* A few bytes can claim a picture that fills all memory. */
static gboolean check_size(GpudlMedia *self, GError **error)
{
    guint32 width = self->picture.width, height = self->picture.height;

    if (width <= GPUDL_LIMIT_FRAME_SIDE && height <= GPUDL_LIMIT_FRAME_SIDE &&
        (guint64)width * height <= MAX_PICTURE_PIXELS)
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                "%s: says that it has %u x %u pixels, expected at most %d a side and %d million in all", self->location,
                width, height, GPUDL_LIMIT_FRAME_SIDE, MAX_PICTURE_PIXELS / 1000000);
    return FALSE;
}

/* A stream can't go to the decoder of single pictures. */
static gboolean check_stream(GpudlMedia *self, GError **error)
{
    if (self->picture.type != MEDIA_PICTURE_JPEG || self->picture.single || !self->picture.whole || !self->picture.rare)
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                "%s: a stream of JPEG pictures in a kind of colours (CMYK, 4:1:1, 4:1:0 or the like) that can only be "
                "decoded in a file of one picture, whose name ends in .jpg",
                self->location);
    return FALSE;
}

static gboolean look_at_picture(GpudlMedia *self, GError **error)
{
    g_autoptr(GError) reason = NULL;
    MediaBytes bytes = {.fd = -1};
    GStatBuf st;
    gsize size;

    if (self->path != NULL) {
        bytes.fd = g_open(self->path, O_RDONLY | O_CLOEXEC, 0);
        bytes.size = bytes.fd >= 0 && fstat(bytes.fd, &st) == 0 ? (guint64)st.st_size : 0;
    } else if ((self->fetched = media_fetch_picture(self->uri, &reason)) != NULL) {
        bytes.data = g_bytes_get_data(self->fetched, &size);
        bytes.size = size;
    }
    if (reason != NULL) {
        g_propagate_error(error, g_steal_pointer(&reason));
        return FALSE;
    }
    media_picture_read(&bytes, &self->picture);
    if (self->picture.type == MEDIA_PICTURE_JPEG && media_picture_has_name(self->location))
        self->picture.single = TRUE;
    if (bytes.fd >= 0)
        g_close(bytes.fd, NULL);
    return check_size(self, error) && check_stream(self, error);
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

/* Under the lock. Steps without anything new after which a source is given up; 0: never. */
static guint get_patience(GpudlMedia *self, gint64 *step)
{
    *step = G_TIME_SPAN_SECOND;
    if (self->path != NULL)
        return MEDIA_STALL_SECONDS + (guint)((guint64)self->picture.width * self->picture.height / PIXELS_A_SECOND);
    if (!self->live || self->watch.silence_ms == 0)
        return 0;
    *step = MAX((gint64)self->watch.silence_ms * G_TIME_SPAN_MILLISECOND / SILENCE_STEPS, 1);
    return SILENCE_STEPS;
}

static gboolean is_cancelled(GpudlMedia *self)
{
    return g_cancellable_is_cancelled(self->watch.cancellable);
}

/* Under the lock. TRUE: a frame is there to be pulled. */
static gboolean wait_for_frame(GpudlMedia *self)
{
    guint64 furthest = self->furthest;
    guint idle = 0;

    /* Steps are counted one by one: time in which the process was stopped is not the source's. */
    while (self->n_queued == 0 && !self->ended && self->failure == NULL && !is_cancelled(self)) {
        gint64 step;
        guint patience = get_patience(self, &step);

        if (g_cond_wait_until(&self->changed, &self->lock, g_get_monotonic_time() + step) || patience == 0)
            continue;
        idle = self->furthest == furthest || self->live ? idle + 1 : 0;
        furthest = self->furthest;
        if (idle < patience)
            continue;
        if (self->live)
            media_note_silence(self);
        else
            media_note_stall(self, idle);
    }
    return self->n_queued > 0 && !is_cancelled(self);
}

/* Not under the lock. Sets an error unless it is the end. */
static void say_why_none(GpudlMedia *self, gboolean end_is_error, GError **error)
{
    if (g_cancellable_set_error_if_cancelled(self->watch.cancellable, NULL)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "%s: cancelled", self->location);
        return;
    }
    media_find_reason(self);
    g_mutex_lock(&self->lock);
    if (end_is_error || self->failure != NULL)
        media_say_failure(self, error);
    g_mutex_unlock(&self->lock);
}

/* Buffers are stamped in their segment's time, which begins where its producer likes. */
static gint64 stream_time(GstSample *sample)
{
    const GstSegment *segment = gst_sample_get_segment(sample);
    GstBuffer *buffer = gst_sample_get_buffer(sample);
    guint64 time = GST_CLOCK_TIME_NONE;

    if (buffer != NULL && GST_BUFFER_PTS_IS_VALID(buffer) && segment != NULL && segment->format == GST_FORMAT_TIME)
        time = gst_segment_to_stream_time(segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer));
    return GST_CLOCK_TIME_IS_VALID(time) ? (gint64)time : -1;
}

GpudlMediaFrame *gpudl_media_next(GpudlMedia *self, GError **error)
{
    g_autoptr(GstSample) sample = NULL;
    GpudlMediaFrame *frame;
    guint64 number = 0;
    gboolean there;

    if (self->picture.single && self->n_frames > 0)
        return NULL;
    g_mutex_lock(&self->lock);
    there = wait_for_frame(self);
    if (there) {
        /* under the lock: none may be dropped between the counting and the pulling */
        sample = gst_app_sink_try_pull_sample(GST_APP_SINK(self->sink), 0);
        self->n_queued--;
        self->n_taken++;
        number = self->n_frames + self->n_dropped;
    }
    g_mutex_unlock(&self->lock);
    if (!there) {
        say_why_none(self, FALSE, error);
        return NULL;
    }
    if (sample == NULL) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED, "%s: frame %" G_GUINT64_FORMAT " was lost", self->location,
                    number);
        return NULL;
    }
    frame = media_frame_map(sample, error);
    if (frame == NULL) {
        g_prefix_error(error, "%s: frame %" G_GUINT64_FORMAT ": ", self->location, number);
        return NULL;
    }
    frame->pts = self->picture.single ? -1 : stream_time(sample);
    frame->number = number;
    self->n_frames++;
    return frame;
}

gboolean gpudl_media_wait(GpudlMedia *self, guint ms)
{
    gint64 until = g_get_monotonic_time() + (gint64)ms * G_TIME_SPAN_MILLISECOND;
    gboolean there;

    g_mutex_lock(&self->lock);
    do
        there = self->n_queued > 0 || self->ended || self->failure != NULL || is_cancelled(self);
    while (!there && g_cond_wait_until(&self->changed, &self->lock, until));
    g_mutex_unlock(&self->lock);
    return there;
}

/* Blocks until the first frame is there; *turn is what tags said by then. */
static gboolean wait_for_first(GpudlMedia *self, GstVideoOrientationMethod *turn, GError **error)
{
    gboolean there;

    g_mutex_lock(&self->lock);
    there = wait_for_frame(self);
    *turn = self->turn;
    g_mutex_unlock(&self->lock);
    if (!there)
        say_why_none(self, TRUE, error);
    return there;
}

gboolean gpudl_media_is_cut(GpudlMedia *self)
{
    return media_picture_has_end(self->picture.type) && !self->picture.whole;
}

gboolean gpudl_media_is_live(GpudlMedia *self)
{
    gboolean live;

    g_mutex_lock(&self->lock);
    live = self->live;
    g_mutex_unlock(&self->lock);
    return live;
}

GpudlMediaRetry gpudl_media_get_retry(GpudlMedia *self)
{
    GpudlMediaRetry retry;

    g_mutex_lock(&self->lock);
    retry = media_judge_failure(self);
    g_mutex_unlock(&self->lock);
    return retry;
}

guint64 gpudl_media_get_n_dropped(GpudlMedia *self)
{
    guint64 n;

    g_mutex_lock(&self->lock);
    n = self->n_dropped;
    g_mutex_unlock(&self->lock);
    return n;
}

/* How a decoder's picture has to be turned yet. */
static GstVideoOrientationMethod turn_left_to_do(const MediaPicture *picture)
{
    static const GstVideoOrientationMethod all[] = {
        GST_VIDEO_ORIENTATION_IDENTITY, GST_VIDEO_ORIENTATION_HORIZ, GST_VIDEO_ORIENTATION_180,
        GST_VIDEO_ORIENTATION_VERT,     GST_VIDEO_ORIENTATION_UL_LR, GST_VIDEO_ORIENTATION_90R,
        GST_VIDEO_ORIENTATION_UR_LL,    GST_VIDEO_ORIENTATION_90L,
    };
    /* libtiff mirrors as if the sides were not exchanged */
    static const GstVideoOrientationMethod after_libtiff[] = {
        GST_VIDEO_ORIENTATION_IDENTITY, GST_VIDEO_ORIENTATION_IDENTITY, GST_VIDEO_ORIENTATION_IDENTITY,
        GST_VIDEO_ORIENTATION_IDENTITY, GST_VIDEO_ORIENTATION_UL_LR,    GST_VIDEO_ORIENTATION_UR_LL,
        GST_VIDEO_ORIENTATION_UL_LR,    GST_VIDEO_ORIENTATION_UR_LL,
    };

    return (picture->type == MEDIA_PICTURE_TIFF ? after_libtiff : all)[picture->orientation - 1];
}

static gboolean start(GpudlMedia *self, GError **error)
{
    GstVideoOrientationMethod turn;

    if (!media_build(self, error) || !wait_for_first(self, &turn, error))
        return FALSE;
    if (self->turned != GST_VIDEO_ORIENTATION_IDENTITY || turn == GST_VIDEO_ORIENTATION_IDENTITY)
        return TRUE;
    self->turned = turn;
    return media_build(self, error) && wait_for_first(self, &turn, error);
}

/* Pictures for which GStreamer has no decoder of its own everywhere; gdk-pixbuf may have a loader. */
static gboolean may_have_loader(const MediaPicture *picture)
{
    return picture->type == MEDIA_PICTURE_WEBP || picture->type == MEDIA_PICTURE_HEIC ||
           picture->type == MEDIA_PICTURE_AVIF || picture->type == MEDIA_PICTURE_JXL;
}

static gboolean open_media(GpudlMedia *self, GError **error)
{
    g_autoptr(GError) reason = NULL;

    if (!find_source(self, error) || !look_at_picture(self, error))
        return FALSE;
    self->turned = turn_left_to_do(&self->picture);
    self->collect = self->picture.rare && (self->path != NULL || self->fetched != NULL);
    if (start(self, &reason))
        return TRUE;
    if (may_have_loader(&self->picture) && (self->path != NULL || self->fetched != NULL) &&
        gpudl_media_has_element(COLLECTING_DECODER, NULL, NULL)) {
        self->collect = TRUE;
        if (start(self, NULL))
            return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&reason));
    return FALSE;
}

static GpudlMedia *make_media(const gchar *location)
{
    GpudlMedia *self = g_new0(GpudlMedia, 1);

    g_mutex_init(&self->lock);
    gpudl_pace_init(&self->pace);
    g_cond_init(&self->changed);
    self->location = g_strdup(location);
    self->turn = GST_VIDEO_ORIENTATION_IDENTITY;
    return self;
}

GpudlMedia *gpudl_media_open(const gchar *location, GpudlPixelFormat format, GError **error)
{
    g_autoptr(GpudlMedia) self = NULL;

    g_return_val_if_fail(location != NULL, NULL);
    if (!media_ensure_gstreamer(error))
        return NULL;
    self = make_media(location);
    self->format = format;
    return open_media(self, error) ? g_steal_pointer(&self) : NULL;
}

/* In whatever thread cancels. */
static void on_cancelled(GCancellable *cancellable, gpointer user_data)
{
    GpudlMedia *self = user_data;

    g_mutex_lock(&self->lock);
    g_cond_broadcast(&self->changed);
    g_mutex_unlock(&self->lock);
}

GpudlMedia *gpudl_media_open_watched(const gchar *location, const GpudlMediaWatch *watch, gboolean *live,
                                     GpudlMediaRetry *retry, GError **error)
{
    g_autoptr(GpudlMedia) self = NULL;
    gboolean opened;

    if (live != NULL)
        *live = FALSE;
    if (retry != NULL)
        *retry = GPUDL_MEDIA_FINAL;
    if (!media_ensure_gstreamer(error))
        return NULL;
    self = make_media(location);
    self->watch = *watch;
    if (watch->cancellable != NULL)
        self->cancelled_id = g_cancellable_connect(watch->cancellable, G_CALLBACK(on_cancelled), self, NULL);
    opened = open_media(self, error);
    if (live != NULL)
        *live = gpudl_media_is_live(self);
    if (retry != NULL && !opened)
        *retry = gpudl_media_get_retry(self);
    return opened ? g_steal_pointer(&self) : NULL;
}

gchar *gpudl_media_describe_decoding(GpudlMedia *self)
{
    g_autoptr(GEnumClass) directions = g_type_class_ref(GST_TYPE_VIDEO_ORIENTATION_METHOD);
    const GEnumValue *direction = g_enum_get_value(directions, (gint)self->turned);
    const gchar *decoder = self->collect ? COLLECTING_DECODER : "decodebin";

    if (self->turned == GST_VIDEO_ORIENTATION_IDENTITY)
        return g_strdup(decoder);
    return g_strdup_printf("%s ! videoconvert ! videoflip video-direction=%s", decoder, direction->value_nick);
}

void gpudl_media_free(GpudlMedia *self)
{
    if (self == NULL)
        return;
    if (self->cancelled_id != 0)
        g_cancellable_disconnect(self->watch.cancellable, self->cancelled_id);
    media_tear_down(self);
    g_mutex_clear(&self->lock);
    g_cond_clear(&self->changed);
    g_free(self->location);
    g_free(self->uri);
    g_free(self->path);
    g_clear_pointer(&self->fetched, g_bytes_unref);
    g_free(self);
}

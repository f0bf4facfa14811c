/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/media.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <gst/app/gstappsink.h>
#include <string.h>
#include <unistd.h>

#include "tools/media-frame.h"
#include "tools/media-internal.h"

/* Files are looked at before GStreamer is asked: its messages for these are about elements, not about the file. */
static gchar *location_to_uri(const gchar *location, GError **error)
{
    g_autofree gchar *absolute = NULL;
    GStatBuf st;

    if (strstr(location, "://") != NULL && gst_uri_is_valid(location))
        return g_strdup(location);
    if (g_stat(location, &st) != 0) {
        g_set_error(error, GPUDL_ERROR, errno == ENOENT ? GPUDL_ERROR_NOT_FOUND : GPUDL_ERROR_OPEN_READ, "%s: %s",
                    location, errno == ENOENT ? "no such file" : g_strerror(errno));
        return NULL;
    }
    if (S_ISDIR(st.st_mode)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: is a directory, not a picture or video", location);
        return NULL;
    }
    /* one that nobody writes to would be waited for for ever, and what was read of it can't be read again */
    if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: is a pipe, expected a file or a URI", location);
        return NULL;
    }
    if (S_ISREG(st.st_mode) && st.st_size == 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: is empty", location);
        return NULL;
    }
    if (g_access(location, R_OK) != 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: can't be read: %s", location, g_strerror(errno));
        return NULL;
    }
    absolute = g_canonicalize_filename(location, NULL);
    return g_filename_to_uri(absolute, NULL, error);
}

/* Under the lock. TRUE: a frame is there to be pulled. */
static gboolean wait_for_frame(GpudlMedia *self)
{
    while (self->n_queued == 0 && !self->ended && self->failure == NULL)
        g_cond_wait(&self->changed, &self->lock);
    return self->n_queued > 0;
}

GpudlMediaFrame *gpudl_media_next(GpudlMedia *self, GError **error)
{
    g_autoptr(GstSample) sample = NULL;
    GpudlMediaFrame *frame;
    gboolean there;

    g_mutex_lock(&self->lock);
    there = wait_for_frame(self);
    if (there)
        self->n_queued--;
    else if (self->failure != NULL)
        media_say_failure(self, error);
    g_mutex_unlock(&self->lock);
    if (!there)
        return NULL;

    sample = gst_app_sink_try_pull_sample(GST_APP_SINK(self->sink), GST_SECOND);
    if (sample == NULL) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED, "%s: frame %" G_GUINT64_FORMAT " was lost", self->location,
                    self->n_frames);
        return NULL;
    }
    frame = media_frame_map(sample);
    if (frame == NULL) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED, "%s: frame %" G_GUINT64_FORMAT " can't be read from memory",
                    self->location, self->n_frames);
        return NULL;
    }
    frame->number = self->n_frames++;
    return frame;
}

/* Blocks until the first frame is there; *turn is what tags said by then. */
static gboolean wait_for_first(GpudlMedia *self, GstVideoOrientationMethod *turn, GError **error)
{
    gboolean there;

    g_mutex_lock(&self->lock);
    there = wait_for_frame(self);
    *turn = self->turn;
    if (!there)
        media_say_failure(self, error);
    g_mutex_unlock(&self->lock);
    return there;
}

GpudlMedia *gpudl_media_open(const gchar *location, GpudlPixelFormat format, GError **error)
{
    g_autoptr(GpudlMedia) self = NULL;
    GstVideoOrientationMethod turn;

    g_return_val_if_fail(location != NULL, NULL);
    if (!media_ensure_gstreamer(error))
        return NULL;
    self = g_new0(GpudlMedia, 1);
    g_mutex_init(&self->lock);
    g_cond_init(&self->changed);
    self->location = g_strdup(location);
    self->format = format;
    self->turn = GST_VIDEO_ORIENTATION_IDENTITY;
    self->uri = location_to_uri(location, error);
    if (self->uri == NULL)
        return NULL;
    self->turned = media_picture_orientation(location);
    if (!media_build(self, error) || !wait_for_first(self, &turn, error))
        return NULL;
    if (self->turned == GST_VIDEO_ORIENTATION_IDENTITY && turn != GST_VIDEO_ORIENTATION_IDENTITY) {
        self->turned = turn;
        if (!media_build(self, error) || !wait_for_first(self, &turn, error))
            return NULL;
    }
    return g_steal_pointer(&self);
}

void gpudl_media_free(GpudlMedia *self)
{
    if (self == NULL)
        return;
    media_tear_down(self);
    g_mutex_clear(&self->lock);
    g_cond_clear(&self->changed);
    g_free(self->location);
    g_free(self->uri);
    g_free(self);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/media.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <gst/app/gstappsink.h>
#include <gst/gst.h>
#include <gst/tag/tag.h>
#include <gst/video/video.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/media-hold.h"

/* decoded frames waiting in the appsink; more would only hold memory */
#define MAX_QUEUED 4
/* EXIF comes among the first segments of a JPEG file, each below 64 kB */
#define EXIF_SEARCH_BYTES (256 * 1024)
#define COLLECTING_DECODER "gdkpixbufdec"

struct _GpudlMedia {
    gchar *location, *uri;
    GpudlPixelFormat format;
    GstVideoOrientationMethod turned; /* what the pipeline does about it */
    GstElement *pipeline, *head, *sink;
    guint64 n_frames;

    GMutex lock;
    GCond changed;
    /* under lock, written by streaming threads */
    guint n_queued;
    gboolean ended, linked;
    GstVideoOrientationMethod turn; /* how the stream's tags want it turned */
    GError *failure;                /* first error of the pipeline, as GStreamer words it */
    gboolean decoding;              /* a decoder of pictures was found for something in it */
    gboolean recognised;            /* it comes from a parser or decoder: the type of the content was known */
    gboolean unreachable;           /* it comes from a source that is no file: what it says is about the network */
    gchar *missing_name;            /* what has no decoder, for people, and its caps name */
    gchar *missing_caps;
};

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

/* what to install where, by the name of the caps that found no decoder */
static const struct {
    const gchar *caps, *package;
} packages[] = {
    {"image/jpeg", "gstreamer1.0-plugins-good"},
    {"image/png", "gstreamer1.0-plugins-good"},
    {"image/webp", "gstreamer1.0-plugins-bad"},
    {"image/bmp", "gstreamer1.0-plugins-good"},
    {"image/x-portable-pixmap", "gstreamer1.0-plugins-good"},
    {"image/gif", "gstreamer1.0-libav"},
    {"image/tiff", "gstreamer1.0-plugins-good"},
    {"video/x-h264", "gstreamer1.0-libav or gstreamer1.0-plugins-bad"},
    {"video/x-h265", "gstreamer1.0-libav or gstreamer1.0-plugins-bad"},
    {"video/x-av1", "gstreamer1.0-plugins-bad"},
    {"video/x-vp8", "gstreamer1.0-plugins-good"},
    {"video/x-vp9", "gstreamer1.0-plugins-good"},
    {"video/x-theora", "gstreamer1.0-plugins-base"},
    {"video/mpeg", "gstreamer1.0-libav or gstreamer1.0-plugins-ugly"},
    {"video/x-divx", "gstreamer1.0-libav"},
    {"video/x-xvid", "gstreamer1.0-libav"},
    {"video/x-msvideo", "gstreamer1.0-plugins-good"},
    {"video/quicktime", "gstreamer1.0-plugins-good"},
    {"video/x-matroska", "gstreamer1.0-plugins-good"},
    {"video/webm", "gstreamer1.0-plugins-good"},
    {"video/mpegts", "gstreamer1.0-plugins-bad"},
    {"video/x-flv", "gstreamer1.0-plugins-good"},
    {"video/x-ms-asf", "gstreamer1.0-plugins-ugly or gstreamer1.0-libav"},
    {"application/ogg", "gstreamer1.0-plugins-base"},
    {"application/x-rtp", "gstreamer1.0-plugins-good"},
};

const gchar *gpudl_media_package_for(const gchar *caps_name)
{
    for (guint i = 0; i < G_N_ELEMENTS(packages); i++)
        if (g_strcmp0(packages[i].caps, caps_name) == 0)
            return packages[i].package;
    return NULL;
}

static gboolean ensure_gstreamer(GError **error)
{
    g_autoptr(GError) reason = NULL;

    if (gst_init_check(NULL, NULL, &reason)) {
        g_autoptr(GstPluginFeature) collecting = gst_registry_lookup_feature(gst_registry_get(), COLLECTING_DECODER);

        /* its rank is none: decodebin would never try it; this changes it for this process alone */
        if (collecting != NULL && gst_plugin_feature_get_rank(collecting) < GST_RANK_MARGINAL)
            gst_plugin_feature_set_rank(collecting, GST_RANK_MARGINAL);
        return TRUE;
    }
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_BACKEND, "GStreamer can't be started: %s",
                reason != NULL ? reason->message : "no reason given");
    return FALSE;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

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

static GstCaps *wanted_caps(GpudlPixelFormat format)
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

static GstElement *make_element(GpudlMedia *self, const gchar *factory, GError **error)
{
    GstElement *element = gst_element_factory_make(factory, NULL);

    if (element == NULL)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_BACKEND,
                    "%s: GStreamer's element %s is missing; it is part of %s (Debian)", self->location, factory,
                    strcmp(factory, "videoflip") == 0 ? "gstreamer1.0-plugins-good" : "gstreamer1.0-plugins-base");
    else
        gst_bin_add(GST_BIN(self->pipeline), element);
    return element;
}

static void note_failure(GpudlMedia *self, GError *failure, GstObject *source)
{
    const gchar *klass = source != NULL && GST_IS_ELEMENT(source) && !GST_IS_BIN(source)
                             ? gst_element_get_metadata(GST_ELEMENT(source), GST_ELEMENT_METADATA_KLASS)
                             : NULL;

    g_mutex_lock(&self->lock);
    if (klass != NULL && (strstr(klass, "Parser") != NULL || strstr(klass, "Decoder") != NULL))
        self->recognised = TRUE;
    if (self->failure == NULL) {
        self->failure = failure;
        self->unreachable = klass != NULL && strstr(klass, "Source") != NULL && !g_str_has_prefix(self->uri, "file:");
    } else {
        g_error_free(failure);
    }
    g_cond_broadcast(&self->changed);
    g_mutex_unlock(&self->lock);
}

static void note_missing(GpudlMedia *self, const GstStructure *s)
{
    const GValue *detail = gst_structure_get_value(s, "detail");
    const GstStructure *what = NULL;

    if (detail != NULL && GST_VALUE_HOLDS_CAPS(detail) && gst_caps_get_size(gst_value_get_caps(detail)) > 0)
        what = gst_caps_get_structure(gst_value_get_caps(detail), 0);
    /* no decoder for the sound is no loss */
    if (what != NULL && g_str_has_prefix(gst_structure_get_name(what), "audio/"))
        return;
    g_mutex_lock(&self->lock);
    if (self->missing_name == NULL) {
        self->missing_name = g_strdup(gst_structure_get_string(s, "name"));
        self->missing_caps = g_strdup(what != NULL ? gst_structure_get_name(what) : NULL);
    }
    g_mutex_unlock(&self->lock);
}

/* Called in whatever thread posts; everything worth knowing is noted at once, so nobody has to poll the bus. */
static GstBusSyncReply on_message(GstBus *bus, GstMessage *message, gpointer user_data)
{
    GpudlMedia *self = user_data;
    const GstStructure *s = gst_message_get_structure(message);

    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
        GError *failure = NULL;

        gst_message_parse_error(message, &failure, NULL);
        note_failure(self, failure, GST_MESSAGE_SRC(message));
    } else if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ELEMENT && s != NULL &&
               gst_structure_has_name(s, "missing-plugin")) {
        note_missing(self, s);
    }
    gst_message_unref(message);
    return GST_BUS_DROP;
}

static GstFlowReturn on_sample(GstAppSink *sink, gpointer user_data)
{
    GpudlMedia *self = user_data;

    g_mutex_lock(&self->lock);
    self->n_queued++;
    g_cond_broadcast(&self->changed);
    g_mutex_unlock(&self->lock);
    return GST_FLOW_OK;
}

static void on_end(GstAppSink *sink, gpointer user_data)
{
    GpudlMedia *self = user_data;

    g_mutex_lock(&self->lock);
    self->ended = TRUE;
    g_cond_broadcast(&self->changed);
    g_mutex_unlock(&self->lock);
}

static void on_pad(GstElement *source, GstPad *pad, gpointer user_data)
{
    GpudlMedia *self = user_data;
    g_autoptr(GstCaps) caps = gst_pad_get_current_caps(pad);
    g_autoptr(GstPad) target = gst_element_get_static_pad(self->head, "sink");

    if (caps == NULL)
        caps = gst_pad_query_caps(pad, NULL);
    if (gst_caps_is_empty(caps) || gst_caps_is_any(caps) ||
        !g_str_has_prefix(gst_structure_get_name(gst_caps_get_structure(caps, 0)), "video/x-raw"))
        return;
    if (gst_pad_is_linked(target))
        return;
    if (GST_PAD_LINK_FAILED(gst_pad_link(pad, target))) {
        note_failure(
            self,
            g_error_new(GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED, "frames of a kind that can't be read from system memory"),
            NULL);
        return;
    }
    g_mutex_lock(&self->lock);
    self->linked = TRUE;
    g_mutex_unlock(&self->lock);
}

/* decodebin feeds decoders of whole pictures a file's 4 kB blocks where no parser stands before them, and libav's take
 * each block for a picture: they fail on every file larger than that. gdkpixbufdec collects the blocks, so it goes
 * before them. The values are GstAutoplugSelectResult's, which no header has. */
static gint on_autoplug_select(GstElement *source, GstPad *pad, GstCaps *caps, GstElementFactory *factory,
                               gpointer user_data)
{
    enum { TRY = 0, SKIP = 2 };
    g_autoptr(GstElementFactory) collecting = gst_element_factory_find(COLLECTING_DECODER);
    GpudlMedia *self = user_data;

    if (collecting != NULL && g_str_has_prefix(GST_OBJECT_NAME(factory), "avdec_") &&
        g_str_has_prefix(gst_structure_get_name(gst_caps_get_structure(caps, 0)), "image/") &&
        gst_element_factory_can_sink_any_caps(collecting, caps))
        return SKIP;
    if (gst_element_factory_list_is_type(factory, GST_ELEMENT_FACTORY_TYPE_DECODER) &&
        !gst_element_factory_list_is_type(factory, GST_ELEMENT_FACTORY_TYPE_MEDIA_AUDIO)) {
        g_mutex_lock(&self->lock);
        self->decoding = TRUE;
        g_mutex_unlock(&self->lock);
    }
    return TRY;
}

static void on_no_more_pads(GstElement *source, gpointer user_data)
{
    GpudlMedia *self = user_data;

    g_mutex_lock(&self->lock);
    if (!self->linked)
        self->ended = TRUE; /* no picture in it; the wording is made in open */
    g_cond_broadcast(&self->changed);
    g_mutex_unlock(&self->lock);
}

/* Tags come before the first frame: by then it is known whether the picture lies on its side. */
static GstPadProbeReturn on_event(GstPad *pad, GstPadProbeInfo *info, gpointer user_data)
{
    GpudlMedia *self = user_data;
    GstEvent *event = GST_PAD_PROBE_INFO_EVENT(info);
    GstVideoOrientationMethod turn;
    GstTagList *tags = NULL;

    if (GST_EVENT_TYPE(event) != GST_EVENT_TAG)
        return GST_PAD_PROBE_OK;
    gst_event_parse_tag(event, &tags);
    if (gst_video_orientation_from_tag(tags, &turn)) {
        g_mutex_lock(&self->lock);
        self->turn = turn;
        g_mutex_unlock(&self->lock);
    }
    return GST_PAD_PROBE_OK;
}

/* The EXIF block of a JPEG file, after "Exif\0\0", or NULL. decodebin's JPEG decoder does not look at it. */
static GstBuffer *find_exif(const guint8 *data, gsize size)
{
    gsize at = 2;

    if (size < 4 || data[0] != 0xff || data[1] != 0xd8)
        return NULL;
    while (at + 4 <= size && data[at] == 0xff && data[at + 1] != 0xda) {
        gsize length = GST_READ_UINT16_BE(data + at + 2);

        if (length < 2 || length > size - at - 2)
            return NULL;
        if (data[at + 1] == 0xe1 && length > 8 && memcmp(data + at + 4, "Exif\0", 6) == 0)
            return gst_buffer_new_memdup(data + at + 10, length - 8);
        at += 2 + length;
    }
    return NULL;
}

static GstVideoOrientationMethod read_exif_orientation(const gchar *path)
{
    GstVideoOrientationMethod turn = GST_VIDEO_ORIENTATION_IDENTITY;
    g_autofree guint8 *head = g_malloc(EXIF_SEARCH_BYTES);
    g_autoptr(GstBuffer) exif = NULL;
    g_autoptr(GstTagList) tags = NULL;
    FILE *file = g_fopen(path, "rb");

    if (file == NULL)
        return turn;
    exif = find_exif(head, fread(head, 1, EXIF_SEARCH_BYTES, file));
    fclose(file);
    if (exif != NULL)
        tags = gst_tag_list_from_exif_buffer_with_tiff_header(exif);
    if (tags != NULL)
        gst_video_orientation_from_tag(tags, &turn);
    return turn;
}

static void tear_down(GpudlMedia *self)
{
    if (self->pipeline != NULL)
        gst_element_set_state(self->pipeline, GST_STATE_NULL);
    gst_clear_object(&self->pipeline);
    self->head = self->sink = NULL;
    self->n_queued = 0;
    self->ended = self->linked = self->decoding = self->recognised = self->unreachable = FALSE;
    g_clear_error(&self->failure);
    g_clear_pointer(&self->missing_name, g_free);
    g_clear_pointer(&self->missing_caps, g_free);
}

/* uridecodebin ! videoconvert [! videoflip ! videoconvert] ! appsink. videoconvert does not touch frames that the
 * appsink takes as they are; videoflip is only there when the file says that it has to be turned. */
static gboolean build(GpudlMedia *self, GError **error)
{
    GstAppSinkCallbacks callbacks = {.eos = on_end, .new_sample = on_sample};
    g_autoptr(GstCaps) raw = gst_caps_from_string("video/x-raw(ANY)");
    g_autoptr(GstCaps) caps = wanted_caps(self->format);
    g_autoptr(GstBus) bus = NULL;
    g_autoptr(GstPad) pad = NULL;
    GstElement *source, *tail;

    tear_down(self);
    self->pipeline = gst_object_ref_sink(gst_pipeline_new(NULL));
    gpudl_media_hold_pullers(self->pipeline);
    source = make_element(self, "uridecodebin", error);
    self->head = tail = source != NULL ? make_element(self, "videoconvert", error) : NULL;
    if (tail != NULL && self->turned != GST_VIDEO_ORIENTATION_IDENTITY) {
        GstElement *flip = make_element(self, "videoflip", error);
        GstElement *second = flip != NULL ? make_element(self, "videoconvert", error) : NULL;

        if (second == NULL || !gst_element_link_many(tail, flip, second, NULL))
            return FALSE;
        g_object_set(flip, "video-direction", self->turned, NULL);
        tail = second;
    }
    self->sink = tail != NULL ? make_element(self, "appsink", error) : NULL;
    if (self->sink == NULL)
        return FALSE;

    g_object_set(source, "uri", self->uri, "caps", raw, "expose-all-streams", FALSE, NULL);
    g_object_set(self->sink, "caps", caps, "sync", FALSE, "max-buffers", MAX_QUEUED, "enable-last-sample", FALSE, NULL);
    gst_app_sink_set_callbacks(GST_APP_SINK(self->sink), &callbacks, self, NULL);
    gst_element_link(tail, self->sink);
    g_signal_connect(source, "pad-added", G_CALLBACK(on_pad), self);
    g_signal_connect(source, "autoplug-select", G_CALLBACK(on_autoplug_select), self);
    g_signal_connect(source, "no-more-pads", G_CALLBACK(on_no_more_pads), self);
    pad = gst_element_get_static_pad(self->head, "sink");
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_event, self, NULL);
    bus = gst_element_get_bus(self->pipeline);
    gst_bus_set_sync_handler(bus, on_message, self, NULL);

    gst_element_set_state(self->pipeline, GST_STATE_PLAYING);
    return TRUE;
}

/* ---- wording ----------------------------------------------------------------------------------------------------- */

static void say_missing(GpudlMedia *self, GError **error)
{
    const gchar *package = gpudl_media_package_for(self->missing_caps);

    if (self->missing_caps != NULL && !g_str_has_prefix(self->missing_caps, "video/") &&
        !g_str_has_prefix(self->missing_caps, "image/") && package == NULL)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: not a picture or video (its content is %s)",
                    self->location, self->missing_caps);
    else
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED, "%s: no GStreamer plugin for it: %s%s%s%s",
                    self->location, self->missing_name != NULL ? self->missing_name : self->missing_caps,
                    package != NULL ? "; install " : "", package != NULL ? package : "",
                    package != NULL ? " (Debian)" : "");
}

static void say_damaged(GpudlMedia *self, GError **error)
{
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: damaged or cut short: nothing in it can be decoded",
                self->location);
}

/* Under the lock. Always sets an error. */
static void say_failure(GpudlMedia *self, GError **error)
{
    const GError *f = self->failure;

    if (self->n_frames == 0 && self->missing_name != NULL)
        say_missing(self, error);
    else if (self->n_frames == 0 && self->decoding && (f == NULL || f->domain == GST_STREAM_ERROR))
        say_damaged(self, error);
    else if (f == NULL || g_error_matches(f, GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN) ||
             g_error_matches(f, GST_STREAM_ERROR, GST_STREAM_ERROR_CODEC_NOT_FOUND))
        /* what could be missing for sound was not noted */
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: no picture in it", self->location);
    else if (g_error_matches(f, GST_STREAM_ERROR, GST_STREAM_ERROR_TYPE_NOT_FOUND) ||
             (g_error_matches(f, GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE) && !self->recognised))
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: not a picture or video", self->location);
    else if (g_error_matches(f, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND))
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND, "%s: %s", self->location, f->message);
    else if (f->domain == GST_RESOURCE_ERROR)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: %s", self->location, f->message);
    else if (self->n_frames == 0 && self->unreachable)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: nothing comes from there: %s", self->location,
                    f->message);
    else if (self->n_frames == 0 && f->domain == GST_STREAM_ERROR)
        say_damaged(self, error);
    else if (self->n_frames == 0)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: can't be decoded: %s", self->location, f->message);
    else
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: damaged after frame %" G_GUINT64_FORMAT ": %s",
                    self->location, self->n_frames - 1, f->message);
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

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

static GpudlMediaFrame *describe(GpudlMedia *self, GstSample *sample, GError **error)
{
    g_autofree GstVideoFrame *video = g_new0(GstVideoFrame, 1);
    GstBuffer *buffer = gst_sample_get_buffer(sample);
    GpudlMediaFrame *out;
    GstVideoInfo info;

    if (buffer == NULL || !gst_video_info_from_caps(&info, gst_sample_get_caps(sample)) ||
        !gst_video_frame_map(video, &info, buffer, GST_MAP_READ)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED, "%s: frame %" G_GUINT64_FORMAT " can't be read from memory",
                    self->location, self->n_frames);
        return NULL;
    }
    out = g_new0(GpudlMediaFrame, 1);
    out->pts = GST_BUFFER_PTS_IS_VALID(buffer) ? (gint64)GST_BUFFER_PTS(buffer) : -1;
    out->number = self->n_frames;
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
        say_failure(self, error);
    g_mutex_unlock(&self->lock);
    if (!there)
        return NULL;

    sample = gst_app_sink_try_pull_sample(GST_APP_SINK(self->sink), GST_SECOND);
    if (sample == NULL) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED, "%s: frame %" G_GUINT64_FORMAT " was lost", self->location,
                    self->n_frames);
        return NULL;
    }
    frame = describe(self, sample, error);
    if (frame != NULL)
        self->n_frames++;
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
        say_failure(self, error);
    g_mutex_unlock(&self->lock);
    return there;
}

GpudlMedia *gpudl_media_open(const gchar *location, GpudlPixelFormat format, GError **error)
{
    g_autoptr(GpudlMedia) self = NULL;
    GstVideoOrientationMethod turn;

    g_return_val_if_fail(location != NULL, NULL);
    if (!ensure_gstreamer(error))
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
    self->turned = read_exif_orientation(location);
    if (!build(self, error) || !wait_for_first(self, &turn, error))
        return NULL;
    if (self->turned == GST_VIDEO_ORIENTATION_IDENTITY && turn != GST_VIDEO_ORIENTATION_IDENTITY) {
        self->turned = turn;
        if (!build(self, error) || !wait_for_first(self, &turn, error))
            return NULL;
    }
    return g_steal_pointer(&self);
}

void gpudl_media_free(GpudlMedia *self)
{
    if (self == NULL)
        return;
    tear_down(self);
    g_mutex_clear(&self->lock);
    g_cond_clear(&self->changed);
    g_free(self->location);
    g_free(self->uri);
    g_free(self);
}

/* ---- for diagnostics --------------------------------------------------------------------------------------------- */

const gchar *gpudl_media_version(GError **error)
{
    static const gchar *text;

    if (!ensure_gstreamer(error))
        return NULL;
    if (g_once_init_enter(&text))
        g_once_init_leave(&text, gst_version_string());
    return text;
}

gboolean gpudl_media_has_element(const gchar *name, gchar **plugin_version, gchar **file)
{
    g_autoptr(GstElementFactory) factory = NULL;
    g_autoptr(GstPluginFeature) feature = NULL;
    g_autoptr(GstPlugin) plugin = NULL;

    if (!ensure_gstreamer(NULL) || (factory = gst_element_factory_find(name)) == NULL)
        return FALSE;
    /* a registry may remember a plugin that no longer loads */
    feature = gst_plugin_feature_load(GST_PLUGIN_FEATURE(factory));
    if (feature == NULL)
        return FALSE;
    plugin = gst_plugin_feature_get_plugin(feature);
    if (plugin_version != NULL)
        *plugin_version = g_strdup(plugin != NULL ? gst_plugin_get_version(plugin) : NULL);
    if (file != NULL)
        *file = g_strdup(plugin != NULL ? gst_plugin_get_filename(plugin) : NULL);
    return TRUE;
}

gboolean gpudl_media_has_decoder(const gchar *caps_text, gchar **name)
{
    g_autoptr(GstCaps) caps = NULL;
    GList *all, *able;
    gboolean found;

    if (!ensure_gstreamer(NULL) || (caps = gst_caps_from_string(caps_text)) == NULL)
        return FALSE;
    all = gst_element_factory_list_get_elements(GST_ELEMENT_FACTORY_TYPE_DECODABLE, GST_RANK_MARGINAL);
    able = gst_element_factory_list_filter(all, caps, GST_PAD_SINK, FALSE);
    able = g_list_sort(able, gst_plugin_feature_rank_compare_func);
    /* parsers and depayloaders alone give no pictures */
    for (GList *l = able, *next; l != NULL; l = next) {
        next = l->next;
        if (!gst_element_factory_list_is_type(l->data,
                                              GST_ELEMENT_FACTORY_TYPE_DECODER | GST_ELEMENT_FACTORY_TYPE_DEMUXER)) {
            gst_object_unref(l->data);
            able = g_list_delete_link(able, l);
        }
    }
    found = able != NULL;
    if (found && name != NULL)
        *name = g_strdup(GST_OBJECT_NAME(able->data));
    gst_plugin_feature_list_free(able);
    gst_plugin_feature_list_free(all);
    return found;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pipeline that decodes: made, watched, taken down. */
#include <gio/gio.h>
#include <gst/app/gstappsink.h>
#include <string.h>

#include "tools/media-hold.h"
#include "tools/media-internal.h"
#include "video/describe.h"

/* decoded frames waiting in the appsink; more would only hold memory */
#define MAX_QUEUED 4

static const gchar *package_of(const gchar *factory)
{
    static const gchar *const good[] = {"videoflip", COLLECTING_DECODER};

    for (guint i = 0; i < G_N_ELEMENTS(good); i++)
        if (g_str_equal(factory, good[i]))
            return "gstreamer1.0-plugins-good";
    return "gstreamer1.0-plugins-base";
}

static GstElement *make_element(GpudlMedia *self, const gchar *factory, GError **error)
{
    GstElement *element = gst_element_factory_make(factory, NULL);

    if (element == NULL)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_BACKEND,
                    "%s: GStreamer's element %s is missing; it is part of %s (Debian)", self->location, factory,
                    package_of(factory));
    else
        gst_bin_add(GST_BIN(self->pipeline), element);
    return element;
}

static GstFlowReturn on_sample(GstAppSink *sink, gpointer user_data)
{
    GpudlMedia *self = user_data;

    g_mutex_lock(&self->lock);
    media_pace_admit(self);
    self->n_queued++;
    while (self->live && self->watch.newest && self->n_queued > 1) {
        GstSample *older = gst_app_sink_try_pull_sample(sink, 0);

        g_clear_pointer(&older, gst_sample_unref);
        self->n_queued--;
        self->n_dropped++;
    }
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
        media_note_failure(
            self,
            g_error_new(GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED, "frames of a kind that can't be read from system memory"),
            NULL);
        return;
    }
    g_mutex_lock(&self->lock);
    self->linked = TRUE;
    g_mutex_unlock(&self->lock);
}

/* Raw video is followed, all else that ends in no picture is left as it is: no decoder for the sound is no loss.
 * Without this, uridecodebin would have to be told what to end in, and then it passes decoders by that are bins. */
static gboolean on_autoplug_continue(GstElement *source, GstPad *pad, GstCaps *caps, gpointer user_data)
{
    static const gchar *const others[] = {"audio/",
                                          "text/",
                                          "subpicture/",
                                          "closedcaption/",
                                          "meta/",
                                          "application/x-ass",
                                          "application/x-ssa",
                                          "application/x-subtitle"};
    const gchar *name = gst_structure_get_name(gst_caps_get_structure(caps, 0));

    for (guint i = 0; i < G_N_ELEMENTS(others); i++)
        if (g_str_has_prefix(name, others[i]))
            return FALSE;
    return TRUE;
}

static void note_live(GpudlMedia *self)
{
    g_mutex_lock(&self->lock);
    self->live = TRUE;
    g_mutex_unlock(&self->lock);
}

/* decodebin feeds decoders of whole pictures a file's 4 kB blocks where no parser stands before them, and libav's take
 * each block for a picture: they fail on every file larger than that. gdkpixbufdec collects the blocks, so it goes
 * before them. libav's demuxer of GIF reads on for ever after the end. The values are GstAutoplugSelectResult's, which
 * no header has. */
static gint on_autoplug_select(GstElement *source, GstPad *pad, GstCaps *caps, GstElementFactory *factory,
                               gpointer user_data)
{
    enum { TRY = 0, SKIP = 2 };
    g_autoptr(GstElementFactory) collecting = gst_element_factory_find(COLLECTING_DECODER);
    const gchar *type = gst_structure_get_name(gst_caps_get_structure(caps, 0));
    GpudlMedia *self = user_data;

    /* a camera's pictures in one answer without an end; the source does not know */
    if (g_str_equal(GST_OBJECT_NAME(factory), "multipartdemux") && self->path == NULL)
        note_live(self);
    if (g_str_equal(GST_OBJECT_NAME(factory), "avdemux_gif"))
        return SKIP;
    if (collecting != NULL && g_str_has_prefix(GST_OBJECT_NAME(factory), "avdec_") &&
        g_str_has_prefix(type, "image/") && gst_element_factory_can_sink_any_caps(collecting, caps))
        return SKIP;
    if (gst_element_factory_list_is_type(factory, GST_ELEMENT_FACTORY_TYPE_DECODER) &&
        !gst_element_factory_list_is_type(factory, GST_ELEMENT_FACTORY_TYPE_MEDIA_AUDIO))
        media_note_decoder(self, GST_OBJECT_NAME(factory), type);
    return TRY;
}

static void on_no_more_pads(GstElement *source, gpointer user_data)
{
    GpudlMedia *self = user_data;

    g_mutex_lock(&self->lock);
    if (!self->linked)
        self->ended = self->empty = TRUE; /* the wording is made in open */
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

void media_tear_down(GpudlMedia *self)
{
    if (self->pipeline != NULL)
        gst_element_set_state(self->pipeline, GST_STATE_NULL);
    gst_clear_object(&self->pipeline);
    self->head = self->sink = NULL;
    self->n_queued = 0;
    self->furthest = 0;
    self->live = self->silent = self->no_host = self->refused_tls = FALSE;
    g_clear_pointer(&self->reason, g_free);
    self->ended = self->linked = self->stalled = self->empty = self->recognised = self->unreachable = FALSE;
    g_clear_error(&self->failure);
    g_clear_pointer(&self->decoder, g_free);
    g_clear_pointer(&self->decoder_caps, g_free);
    g_clear_pointer(&self->missing_name, g_free);
    g_clear_pointer(&self->missing_caps, g_free);
}

/* ---- from the bytes to decoded frames ---------------------------------------------------------------------------- */

static GstPadProbeReturn on_bytes(GstPad *pad, GstPadProbeInfo *info, gpointer user_data)
{
    GpudlMedia *self = user_data;
    GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER(info);

    if (buffer != NULL && GST_BUFFER_OFFSET_END_IS_VALID(buffer)) {
        g_mutex_lock(&self->lock);
        self->furthest = MAX(self->furthest, GST_BUFFER_OFFSET_END(buffer));
        g_mutex_unlock(&self->lock);
    }
    return GST_PAD_PROBE_OK;
}

static void on_source_setup(GstElement *decodebin, GstElement *source, gpointer user_data)
{
    g_autoptr(GstPad) pad = gst_element_get_static_pad(source, "src");

    /* by itself rtspsrc connects again to a server that knows nothing of its session, and waits for ever */
    if (g_object_class_find_property(G_OBJECT_GET_CLASS(source), "udp-reconnect") != NULL)
        g_object_set(source, "udp-reconnect", FALSE, NULL);
    if (pad != NULL)
        gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_PULL, on_bytes, user_data, NULL);
}

/* The source of what is decoded without uridecodebin. */
static GstElement *make_source(GpudlMedia *self, GError **error)
{
    GstElement *source = make_element(self, self->fetched != NULL ? "giostreamsrc" : "filesrc", error);

    if (source != NULL && self->fetched != NULL) {
        g_autoptr(GInputStream) stream = g_memory_input_stream_new_from_bytes(self->fetched);

        g_object_set(source, "stream", stream, NULL);
    } else if (source != NULL) {
        g_object_set(source, "location", self->path, NULL);
    }
    return source;
}

/* Without a typefind there are no caps that could disagree with the decoder's template. */
static gboolean add_collecting_decoder(GpudlMedia *self, GError **error)
{
    GstElement *source = make_source(self, error);
    GstElement *decoder = source != NULL ? make_element(self, COLLECTING_DECODER, error) : NULL;

    if (decoder == NULL || !gst_element_link_many(source, decoder, self->head, NULL))
        return FALSE;
    on_source_setup(NULL, source, self);
    media_note_decoder(self, COLLECTING_DECODER, NULL);
    self->linked = TRUE;
    return TRUE;
}

static gboolean add_decodebin(GpudlMedia *self, GError **error)
{
    GstElement *decodebin = make_element(self, self->fetched != NULL ? "decodebin" : "uridecodebin", error);

    if (decodebin == NULL)
        return FALSE;
    g_signal_connect(decodebin, "pad-added", G_CALLBACK(on_pad), self);
    g_signal_connect(decodebin, "autoplug-continue", G_CALLBACK(on_autoplug_continue), self);
    g_signal_connect(decodebin, "autoplug-select", G_CALLBACK(on_autoplug_select), self);
    g_signal_connect(decodebin, "no-more-pads", G_CALLBACK(on_no_more_pads), self);
    if (self->fetched != NULL) {
        GstElement *source = make_source(self, error);

        return source != NULL && gst_element_link(source, decodebin);
    }
    g_object_set(decodebin, "uri", self->uri, NULL);
    g_signal_connect(decodebin, "source-setup", G_CALLBACK(on_source_setup), self);
    return TRUE;
}

/* The first picture of a stream, wherever it is packed, before it is decoded. */
static GstPadProbeReturn on_jpeg(GstPad *pad, GstPadProbeInfo *info, gpointer user_data)
{
    GpudlMedia *self = user_data;
    MediaPicture picture = {0};
    GstMapInfo map;

    if (gst_buffer_map(GST_PAD_PROBE_INFO_BUFFER(info), &map, GST_MAP_READ)) {
        MediaBytes bytes = {.fd = -1, .data = map.data, .size = map.size};

        media_picture_read(&bytes, &picture);
        gst_buffer_unmap(GST_PAD_PROBE_INFO_BUFFER(info), &map);
    }
    if (!picture.rare)
        return GST_PAD_PROBE_REMOVE;
    media_note_failure(self,
                       g_error_new(GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                                   "its frames are JPEG pictures in a kind of colours (CMYK, 4:1:1, 4:1:0 or the like) "
                                   "that jpegdec decodes wrongly"),
                       NULL);
    return GST_PAD_PROBE_DROP;
}

static void on_element(GstBin *pipeline, GstBin *bin, GstElement *element, gpointer user_data)
{
    GstElementFactory *factory = gst_element_get_factory(element);
    g_autoptr(GstPad) pad = NULL;

    if (factory == NULL || !g_str_equal(GST_OBJECT_NAME(factory), "jpegdec"))
        return;
    pad = gst_element_get_static_pad(element, "sink");
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_jpeg, user_data, NULL);
}

/* What decodes ! videoconvert [! videoflip ! videoconvert] ! appsink. videoconvert does not touch frames that the
 * appsink takes as they are; videoflip is only there when the file says that it has to be turned. */
gboolean media_build(GpudlMedia *self, GError **error)
{
    GstAppSinkCallbacks callbacks = {.eos = on_end, .new_sample = on_sample};
    g_autoptr(GstCaps) caps = gpudl_video_caps(self->format);
    g_autoptr(GstBus) bus = NULL;
    g_autoptr(GstPad) pad = NULL;
    GstElement *tail;

    media_tear_down(self);
    self->pipeline = gst_object_ref_sink(gst_pipeline_new(NULL));
    g_signal_connect(self->pipeline, "deep-element-added", G_CALLBACK(on_element), self);
    self->head = tail = make_element(self, "videoconvert", error);
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
    g_object_set(self->sink, "caps", caps, "sync", FALSE, "max-buffers", MAX_QUEUED, "enable-last-sample", FALSE, NULL);
    gst_app_sink_set_callbacks(GST_APP_SINK(self->sink), &callbacks, self, NULL);
    media_pace_watch(self);
    gst_element_link(tail, self->sink);
    if (!(self->collect ? add_collecting_decoder(self, error) : add_decodebin(self, error)))
        return FALSE;
    pad = gst_element_get_static_pad(self->head, "sink");
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_event, self, NULL);
    bus = gst_element_get_bus(self->pipeline);
    gst_bus_set_sync_handler(bus, media_on_message, self, NULL);
    gpudl_media_hold_pullers(self->pipeline);

    /* only the step to PAUSED tells */
    if (gst_element_set_state(self->pipeline, GST_STATE_PAUSED) == GST_STATE_CHANGE_NO_PREROLL)
        note_live(self);
    gst_element_set_state(self->pipeline, GST_STATE_PLAYING);
    return TRUE;
}

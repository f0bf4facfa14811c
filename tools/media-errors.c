/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What goes wrong in the pipeline: noted when it is posted, worded when it is asked for. */
#include <gio/gio.h>
#include <string.h>

#include "tools/media-internal.h"

/* for finding out why an address can't be reached */
#define REASON_SECONDS 5

/* what to install where, by the name of the caps that found no decoder */
static const struct {
    const gchar *caps, *package;
} packages[] = {
    {"image/jpeg", "gstreamer1.0-plugins-good"},
    {"image/png", "gstreamer1.0-plugins-good"},
    {"image/webp", "gstreamer1.0-plugins-bad"},
    {"image/bmp", "gstreamer1.0-plugins-good"},
    {"image/x-portable-pixmap", "gstreamer1.0-plugins-good"},
    {"image/gif", "gstreamer1.0-plugins-good"},
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

/* ---- noting -------------------------------------------------------------------------------------------------------
 */

/* The last line of a message's debug text is its poster's own; those before it say where in the source that is. */
static gchar *own_words(const gchar *debug)
{
    const gchar *line = debug != NULL ? strchr(debug, '\n') : NULL;
    gchar *words = line != NULL ? g_strstrip(g_strdup(line + 1)) : NULL;
    gchar *rest = words != NULL ? strstr(words, ", URL: ") : NULL;

    if (rest != NULL)
        *rest = '\0';
    if (words != NULL && g_str_has_suffix(words, " (Generic error)"))
        words[strlen(words) - strlen(" (Generic error)")] = '\0';
    return words;
}

void media_note_failure(GpudlMedia *self, GError *failure, GstObject *source)
{
    media_note_message(self, failure, NULL, source);
}

void media_note_message(GpudlMedia *self, GError *failure, const gchar *debug, GstObject *source)
{
    const gchar *klass = source != NULL && GST_IS_ELEMENT(source)
                             ? gst_element_get_metadata(GST_ELEMENT(source), GST_ELEMENT_METADATA_KLASS)
                             : NULL;

    g_mutex_lock(&self->lock);
    if (klass != NULL && !GST_IS_BIN(source) && (strstr(klass, "Parser") != NULL || strstr(klass, "Decoder") != NULL))
        self->recognised = TRUE;
    if (self->failure == NULL) {
        self->failure = failure;
        self->reason = own_words(debug);
        self->unreachable = klass != NULL && strstr(klass, "Source") != NULL && !g_str_has_prefix(self->uri, "file:");
    } else {
        g_error_free(failure);
    }
    g_cond_broadcast(&self->changed);
    g_mutex_unlock(&self->lock);
}

void media_note_decoder(GpudlMedia *self, const gchar *name, const gchar *caps_name)
{
    g_mutex_lock(&self->lock);
    g_free(self->decoder);
    g_free(self->decoder_caps);
    self->decoder = g_strdup(name);
    self->decoder_caps = g_strdup(caps_name);
    g_mutex_unlock(&self->lock);
}

void media_note_stall(GpudlMedia *self, guint seconds)
{
    self->stalled = TRUE;
    g_clear_error(&self->failure);
    self->failure =
        g_error_new(GPUDL_ERROR, GPUDL_ERROR_FAILED, "neither a frame nor the end comes for %u seconds", seconds);
}

void media_note_silence(GpudlMedia *self)
{
    self->silent = TRUE;
    g_clear_error(&self->failure);
    self->failure =
        g_error_new(GPUDL_ERROR, GPUDL_ERROR_FAILED, "no picture for %g s", self->watch.silence_ms / 1000.0);
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
GstBusSyncReply media_on_message(GstBus *bus, GstMessage *message, gpointer user_data)
{
    GpudlMedia *self = user_data;
    const GstStructure *s = gst_message_get_structure(message);

    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
        g_autofree gchar *debug = NULL;
        GError *failure = NULL;

        gst_message_parse_error(message, &failure, &debug);
        media_note_message(self, failure, debug, GST_MESSAGE_SRC(message));
    } else if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ELEMENT && s != NULL &&
               gst_structure_has_name(s, "missing-plugin")) {
        note_missing(self, s);
    }
    gst_message_unref(message);
    return GST_BUS_DROP;
}

/* ---- wording ------------------------------------------------------------------------------------------------------
 */

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

/* A decoder was there. "Damaged" alone is said of what is known to be. */
static void say_undecodable(GpudlMedia *self, GError **error)
{
    gboolean end_is_known = media_picture_has_end(self->picture.type);

    if (gpudl_media_is_cut(self))
        say_damaged(self, error);
    else
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "%s: nothing in it can be decoded: it is damaged%s, or of a kind that %s does not know",
                    self->location, end_is_known ? "" : " or cut short", self->decoder);
}

/* Kinds of pictures that GStreamer's own elements don't decode, or not in every release. */
static const gchar *special_kind(const MediaPicture *picture, const gchar **package)
{
    switch (picture->type) {
    case MEDIA_PICTURE_HEIC:
        *package = "heif-gdk-pixbuf";
        return "HEIC (HEIF) pictures";
    case MEDIA_PICTURE_AVIF:
        *package = "libavif-gdk-pixbuf";
        return "AVIF pictures";
    case MEDIA_PICTURE_JXL:
        *package = "libjxl-gdk-pixbuf";
        return "JPEG XL pictures";
    case MEDIA_PICTURE_WEBP:
        *package = "webp-pixbuf-loader";
        return picture->animated ? "animated WebP pictures" : NULL;
    default:
        return NULL;
    }
}

/* Before the first frame, for lack of a decoder or by a decoder's fault; FALSE: it is neither. */
static gboolean say_not_decoded(GpudlMedia *self, GError **error)
{
    const GError *f = self->failure;
    gboolean lacking = self->empty || f == NULL || g_error_matches(f, GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN) ||
                       g_error_matches(f, GST_STREAM_ERROR, GST_STREAM_ERROR_CODEC_NOT_FOUND);
    const gchar *package, *kind = special_kind(&self->picture, &package);

    if (kind != NULL && (lacking || f->domain == GST_STREAM_ERROR || f->domain == GST_CORE_ERROR))
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "%s: %s can't be decoded by what is installed; %s (Debian) has a decoder", self->location, kind,
                    package);
    else if (self->missing_name != NULL)
        say_missing(self, error);
    else if (self->decoder != NULL && f != NULL && f->domain == GST_STREAM_ERROR && !lacking)
        say_undecodable(self, error);
    else if (self->decoder != NULL && lacking && self->linked)
        say_undecodable(self, error);
    else if (self->decoder != NULL && lacking)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "%s: its pictures (%s) can't be decoded: %s is there for them, but does not take them",
                    self->location, self->decoder_caps, self->decoder);
    else if (lacking) /* what could be missing for sound was not noted */
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: no picture in it", self->location);
    else
        return FALSE;
    return TRUE;
}

static void say_stalled(GpudlMedia *self, GError **error)
{
    g_autofree gchar *after =
        self->n_frames > 0 ? g_strdup_printf(" after frame %" G_GUINT64_FORMAT, self->n_frames - 1) : g_strdup("");

    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: %s%s: %s hangs", self->location, self->failure->message,
                after, self->decoder != NULL ? self->decoder : "its decoder");
}

/* An address's own error: title and reason, the reason alone where it says all. */
static void say_unreachable(GpudlMedia *self, GError **error)
{
    const GError *f = self->failure;
    gboolean not_found = g_error_matches(f, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND);

    g_set_error(error, GPUDL_ERROR, not_found ? GPUDL_ERROR_NOT_FOUND : GPUDL_ERROR_OPEN_READ, "%s: %s", self->location,
                self->reason != NULL && self->reason[0] != '\0' ? self->reason : f->message);
}

void media_say_failure(GpudlMedia *self, GError **error)
{
    const GError *f = self->failure;

    if (self->silent)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: %s", self->location, f->message);
    else if (f != NULL && self->unreachable && self->reason != NULL)
        say_unreachable(self, error);
    else if (self->stalled)
        say_stalled(self, error);
    else if (self->n_frames == 0 && say_not_decoded(self, error))
        return;
    else if (f == NULL)
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
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "%s: no picture can be found in it: it is damaged or cut short, or holds none: %s", self->location,
                    f->message);
    else if (self->n_frames == 0)
        g_set_error(error, GPUDL_ERROR, f->domain == GPUDL_ERROR ? f->code : GPUDL_ERROR_FORMAT,
                    "%s: can't be decoded: %s", self->location, f->message);
    else
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: damaged after frame %" G_GUINT64_FORMAT ": %s",
                    self->location, self->n_frames - 1, f->message);
}

/* ---- addresses --------------------------------------------------------------------------------------------------- */

/* The number that a server's answer is known by, at the end of the words about it; 0: none. */
static gint status_of(const gchar *words)
{
    const gchar *open = words != NULL ? strrchr(words, '(') : NULL;
    gchar *end = NULL;
    guint64 status = open != NULL ? g_ascii_strtoull(open + 1, &end, 10) : 0;

    return status >= 100 && status < 600 && g_str_equal(end, ")") ? (gint)status : 0;
}

void media_find_reason(GpudlMedia *self)
{
    static const struct {
        const gchar *scheme;
        guint16 port;
        gboolean tls;
    } schemes[] = {{"http", 80, FALSE}, {"https", 443, TRUE}, {"rtsp", 554, FALSE}, {"rtsps", 322, TRUE}};
    g_autoptr(GSocketClient) client = NULL;
    g_autoptr(GSocketConnection) connection = NULL;
    g_autoptr(GError) reason = NULL;
    g_autofree gchar *scheme = NULL;
    gboolean ask;

    g_mutex_lock(&self->lock);
    /* before the first picture, and without an answer of the server's */
    ask = self->unreachable && self->n_frames == 0 && status_of(self->reason) == 0;
    g_mutex_unlock(&self->lock);
    scheme = g_uri_parse_scheme(self->uri);
    for (guint i = 0; ask && scheme != NULL && i < G_N_ELEMENTS(schemes); i++) {
        if (!g_str_equal(scheme, schemes[i].scheme))
            continue;
        client = g_socket_client_new();
        g_socket_client_set_timeout(client, REASON_SECONDS);
        g_socket_client_set_tls(client, schemes[i].tls);
        connection =
            g_socket_client_connect_to_uri(client, self->uri, schemes[i].port, self->watch.cancellable, &reason);
    }
    if (reason == NULL)
        return;
    g_mutex_lock(&self->lock);
    g_free(self->reason);
    self->reason = g_strdup(reason->message);
    self->no_host = reason->domain == G_RESOLVER_ERROR;
    self->refused_tls = reason->domain == G_TLS_ERROR;
    g_mutex_unlock(&self->lock);
}

GpudlMediaRetry media_judge_failure(GpudlMedia *self)
{
    static const gint passing[] = {408, 453, 454, 500, 502, 503, 504};
    gint status = status_of(self->reason);

    if (self->failure == NULL || self->silent)
        return self->ended && !self->empty ? GPUDL_MEDIA_AGAIN : self->silent ? GPUDL_MEDIA_AGAIN : GPUDL_MEDIA_FINAL;
    if (!self->unreachable || self->refused_tls)
        return GPUDL_MEDIA_FINAL;
    if (self->no_host || status == 404)
        return GPUDL_MEDIA_AGAIN_IF_SEEN;
    for (guint i = 0; i < G_N_ELEMENTS(passing); i++)
        if (status == passing[i])
            return GPUDL_MEDIA_AGAIN;
    return status == 0 ? GPUDL_MEDIA_AGAIN : GPUDL_MEDIA_FINAL;
}

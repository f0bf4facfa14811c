/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pictures behind an address: read whole, since what decides how they are decoded may lie at their end. */
#include <gst/app/gstappsink.h>
#include <string.h>

#include "tools/media-internal.h"

#define MAX_FETCH_BYTES (64 * 1024 * 1024)
#define MAX_QUEUED 4
#define STEP (GST_SECOND / 10)
/* without anything new */
#define MAX_IDLE_STEPS 150

/* Not among them: what is live, and what serves one reader once. */
static gboolean can_be_read_twice(const gchar *uri)
{
    static const gchar *const protocols[] = {"http", "https", "data", "ftp", "sftp", "smb", "dav", "davs"};

    for (guint i = 0; i < G_N_ELEMENTS(protocols); i++)
        if (gst_uri_has_protocol(uri, protocols[i]))
            return TRUE;
    return FALSE;
}

typedef struct {
    GByteArray *bytes;
    gboolean named;  /* a picture by its name */
    gsize looked_at; /* bytes when a JPEG file was last asked whether it is a stream */
} Fetch;

typedef enum { FETCH_ON, FETCH_DONE, FETCH_LEFT, FETCH_TOO_LARGE } FetchState;

/* Whether what is there is worth going on. The end of what is there is not the end of the file. */
static FetchState judge(Fetch *fetch)
{
    MediaBytes bytes = {.fd = -1, .data = fetch->bytes->data, .size = fetch->bytes->len};
    MediaPicture picture;

    if (bytes.size < MEDIA_PICTURE_MAGIC_BYTES)
        return FETCH_ON;
    if (media_picture_type(bytes.data, bytes.size) == MEDIA_PICTURE_NONE)
        return FETCH_LEFT;
    if (bytes.size > MAX_FETCH_BYTES)
        return FETCH_TOO_LARGE;
    if (fetch->named || bytes.size < 2 * fetch->looked_at)
        return FETCH_ON;
    fetch->looked_at = bytes.size;
    media_picture_read(&bytes, &picture);
    return picture.type == MEDIA_PICTURE_JPEG && picture.whole && !picture.single ? FETCH_LEFT : FETCH_ON;
}

static FetchState append(Fetch *fetch, GstSample *sample)
{
    GstBuffer *buffer = gst_sample_get_buffer(sample);
    GstMapInfo map;

    if (buffer == NULL || !gst_buffer_map(buffer, &map, GST_MAP_READ))
        return FETCH_LEFT;
    /* one more than the limit is enough to know */
    g_byte_array_append(fetch->bytes, map.data, (guint)MIN(map.size, MAX_FETCH_BYTES + 1));
    gst_buffer_unmap(buffer, &map);
    return judge(fetch);
}

static FetchState pull(Fetch *fetch, GstAppSink *sink, GstBus *bus)
{
    FetchState state = FETCH_ON;

    for (guint idle = 0; state == FETCH_ON && idle < MAX_IDLE_STEPS; idle++) {
        g_autoptr(GstSample) sample = gst_app_sink_try_pull_sample(sink, STEP);
        g_autoptr(GstMessage) error = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);

        if (error != NULL)
            return FETCH_LEFT;
        if (sample == NULL && gst_app_sink_is_eos(sink))
            return fetch->bytes->len >= MEDIA_PICTURE_MAGIC_BYTES ? FETCH_DONE : FETCH_LEFT;
        if (sample == NULL)
            continue;
        idle = 0;
        state = append(fetch, sample);
    }
    return state;
}

GBytes *media_fetch_picture(const gchar *uri, GError **error)
{
    g_autoptr(GstElement) pipeline = NULL;
    g_autoptr(GstBus) bus = NULL;
    GstElement *source, *sink;
    Fetch fetch = {.named = media_picture_has_name(uri)};
    FetchState state = FETCH_LEFT;

    if (!can_be_read_twice(uri))
        return NULL;
    source = gst_element_make_from_uri(GST_URI_SRC, uri, NULL, NULL);
    sink = gst_element_factory_make("appsink", NULL);
    if (source == NULL || sink == NULL) {
        gst_clear_object(&source);
        gst_clear_object(&sink);
        return NULL;
    }
    pipeline = gst_object_ref_sink(gst_pipeline_new(NULL));
    gst_bin_add_many(GST_BIN(pipeline), source, sink, NULL);
    g_object_set(sink, "sync", FALSE, "max-buffers", MAX_QUEUED, NULL);
    bus = gst_element_get_bus(pipeline);
    fetch.bytes = g_byte_array_new();
    if (gst_element_link(source, sink) &&
        gst_element_set_state(pipeline, GST_STATE_PLAYING) != GST_STATE_CHANGE_FAILURE)
        state = pull(&fetch, GST_APP_SINK(sink), bus);
    gst_element_set_state(pipeline, GST_STATE_NULL);
    if (state == FETCH_TOO_LARGE)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "%s: a picture of more than %d MB, which is not read from an address: download it first", uri,
                    MAX_FETCH_BYTES / (1024 * 1024));
    if (state == FETCH_DONE)
        return g_byte_array_free_to_bytes(fetch.bytes);
    g_byte_array_unref(fetch.bytes);
    return NULL;
}

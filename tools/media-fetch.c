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

static gboolean wanted(Fetch *fetch)
{
    MediaBytes bytes = {.fd = -1, .data = fetch->bytes->data, .size = fetch->bytes->len};
    MediaPicture picture;

    if (bytes.size < MEDIA_PICTURE_MAGIC_BYTES)
        return TRUE;
    if (media_picture_type(bytes.data, bytes.size) == MEDIA_PICTURE_NONE || bytes.size > MAX_FETCH_BYTES)
        return FALSE;
    if (fetch->named || bytes.size < 2 * fetch->looked_at)
        return TRUE;
    fetch->looked_at = bytes.size;
    media_picture_read(&bytes, &picture);
    /* the end of what is there is not the end of the file */
    return picture.type != MEDIA_PICTURE_JPEG || picture.single || !picture.whole;
}

static gboolean append(Fetch *fetch, GstSample *sample)
{
    GstBuffer *buffer = gst_sample_get_buffer(sample);
    GstMapInfo map;

    if (buffer == NULL || !gst_buffer_map(buffer, &map, GST_MAP_READ))
        return FALSE;
    if (map.size <= MAX_FETCH_BYTES)
        g_byte_array_append(fetch->bytes, map.data, (guint)map.size);
    gst_buffer_unmap(buffer, &map);
    return map.size <= MAX_FETCH_BYTES;
}

/* TRUE: all of a picture is there. */
static gboolean pull(Fetch *fetch, GstAppSink *sink, GstBus *bus)
{
    for (guint idle = 0; idle < MAX_IDLE_STEPS; idle++) {
        g_autoptr(GstSample) sample = gst_app_sink_try_pull_sample(sink, STEP);
        g_autoptr(GstMessage) error = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);

        if (error != NULL)
            return FALSE;
        if (sample == NULL && gst_app_sink_is_eos(sink))
            return fetch->bytes->len >= MEDIA_PICTURE_MAGIC_BYTES;
        if (sample == NULL)
            continue;
        if (!append(fetch, sample) || !wanted(fetch))
            return FALSE;
        idle = 0;
    }
    return FALSE;
}

GBytes *media_fetch_picture(const gchar *uri)
{
    g_autoptr(GstElement) pipeline = NULL;
    g_autoptr(GstBus) bus = NULL;
    GstElement *source, *sink;
    Fetch fetch = {.named = media_picture_has_name(uri)};
    gboolean done = FALSE;

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
        done = pull(&fetch, GST_APP_SINK(sink), bus);
    gst_element_set_state(pipeline, GST_STATE_NULL);
    if (done)
        return g_byte_array_free_to_bytes(fetch.bytes);
    g_byte_array_unref(fetch.bytes);
    return NULL;
}

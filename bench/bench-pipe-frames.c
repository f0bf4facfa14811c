/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames of system memory for another program: appsinks copy them to a shared file, places of it go round. */
#include "bench/bench-pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <gst/app/gstappsink.h>
#include <gst/video/video.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define OVER GINT_TO_POINTER(-1) /* instead of a place: no frame is wanted any more */

/* All that the streaming threads share. */
typedef struct {
    const PipeOptions *options;
    GAsyncQueue *free; /* places, their number + 1 */
    GMutex lock;       /* of what follows, and of lines on standard output */
    guint8 *data;      /* the file; NULL before the first frame */
    GstVideoInfo info; /* of the first frame; the others are alike */
    gsize bytes;       /* of a frame without padding */
} Exchange;

static gsize tight_bytes(const GstVideoInfo *info)
{
    gsize bytes = 0;

    for (guint p = 0; p < GST_VIDEO_INFO_N_PLANES(info); p++)
        bytes += (gsize)GST_VIDEO_INFO_COMP_WIDTH(info, p) * (gsize)GST_VIDEO_INFO_COMP_HEIGHT(info, p) *
                 (gsize)GST_VIDEO_INFO_COMP_PSTRIDE(info, p);
    return bytes;
}

/* Under the lock: makes the file at the first frame, and says what is in it. NULL: all is well. */
static const gchar *open_shared(Exchange *exchange, const GstVideoInfo *info)
{
    const gsize bytes = tight_bytes(info), all = bytes * (gsize)exchange->options->buffers;
    void *data = MAP_FAILED;
    int file;

    if (exchange->data != NULL)
        return bytes == exchange->bytes ? NULL : "a frame differs in size from the first one";
    if (GST_VIDEO_INFO_FORMAT(info) != GST_VIDEO_FORMAT_NV12 && GST_VIDEO_INFO_FORMAT(info) != GST_VIDEO_FORMAT_I420)
        return "expected NV12 or I420";
    file = open(exchange->options->shared, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0 && ftruncate(file, (off_t)all) == 0)
        data = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0)
        close(file);
    if (data == MAP_FAILED)
        return g_strerror(errno);
    exchange->data = data;
    exchange->bytes = bytes;
    printf("{\"format\": \"%s\", \"width\": %d, \"height\": %d, \"frame_bytes\": %" G_GSIZE_FORMAT
           ", \"places\": %d}\n",
           GST_VIDEO_INFO_NAME(info), GST_VIDEO_INFO_WIDTH(info), GST_VIDEO_INFO_HEIGHT(info), bytes,
           exchange->options->buffers);
    fflush(stdout);
    return NULL;
}

static void copy_tight(const GstVideoFrame *frame, guint8 *to)
{
    for (guint p = 0; p < GST_VIDEO_FRAME_N_PLANES(frame); p++) {
        const gsize row = (gsize)GST_VIDEO_FRAME_COMP_WIDTH(frame, p) * (gsize)GST_VIDEO_FRAME_COMP_PSTRIDE(frame, p);
        const guint8 *from = GST_VIDEO_FRAME_PLANE_DATA(frame, p);

        for (gint y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT(frame, p); y++, to += row)
            memcpy(to, from + (gsize)y * (gsize)GST_VIDEO_FRAME_PLANE_STRIDE(frame, p), row);
    }
}

static void say_place(Exchange *exchange, gint place)
{
    g_mutex_lock(&exchange->lock);
    printf("%d\n", place);
    fflush(stdout);
    g_mutex_unlock(&exchange->lock);
}

/* NULL: the frame is handed over. */
static const gchar *hand_over(Exchange *exchange, GstSample *sample)
{
    GstVideoInfo info;
    GstVideoFrame frame;
    const gchar *wrong;
    gint place;

    if (!gst_video_info_from_caps(&info, gst_sample_get_caps(sample)))
        return "expected raw video";
    g_mutex_lock(&exchange->lock);
    wrong = open_shared(exchange, &info);
    g_mutex_unlock(&exchange->lock);
    if (wrong != NULL)
        return wrong;
    place = GPOINTER_TO_INT(g_async_queue_pop(exchange->free)) - 1;
    if (place < 0) { /* for the next one, too */
        g_async_queue_push(exchange->free, OVER);
        return NULL;
    }
    if (!gst_video_frame_map(&frame, &info, gst_sample_get_buffer(sample), GST_MAP_READ))
        return "a frame can't be read";
    copy_tight(&frame, exchange->data + (gsize)place * exchange->bytes);
    gst_video_frame_unmap(&frame);
    say_place(exchange, place);
    return NULL;
}

static GstFlowReturn new_sample(GstAppSink *sink, gpointer data)
{
    g_autoptr(GstSample) sample = gst_app_sink_pull_sample(sink);
    const gchar *wrong = sample != NULL ? hand_over(data, sample) : NULL;

    if (wrong == NULL)
        return sample != NULL ? GST_FLOW_OK : GST_FLOW_EOS;
    GST_ELEMENT_ERROR(sink, STREAM, FAILED, ("%s", wrong), (NULL));
    return GST_FLOW_ERROR;
}

/* ---- the pipeline ------------------------------------------------------------------------------------------------ */

/* The main thread waits for standard input: what fails ends the process from where it is told. */
static GstBusSyncReply on_message(GstBus *bus, GstMessage *message, gpointer data)
{
    g_autoptr(GError) error = NULL;

    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
        gst_message_parse_error(message, &error, NULL);
        fprintf(stderr, "bench-pipe: %s: %s\n", GST_OBJECT_NAME(GST_MESSAGE_SRC(message)), error->message);
        _exit(1);
    }
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS) {
        fprintf(stderr, "bench-pipe: the streams ended before standard input did: a longer clip is needed\n");
        _exit(1);
    }
    return GST_BUS_DROP;
}

static GstElement *make_pipeline(const PipeOptions *options, Exchange *exchange, GError **error)
{
    GstAppSinkCallbacks callbacks = {.new_sample = new_sample};
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GstBus) bus = NULL;
    GstElement *pipeline;

    for (gint i = 0; i < options->streams; i++)
        g_string_append_printf(text, "%s ! appsink name=end%d sync=false max-buffers=4 enable-last-sample=false  ",
                               options->source, i);
    pipeline = gst_parse_launch_full(text->str, NULL, GST_PARSE_FLAG_FATAL_ERRORS, error);
    if (pipeline == NULL)
        return NULL;
    gst_object_ref_sink(pipeline);
    for (gint i = 0; i < options->streams; i++) {
        g_autofree gchar *name = g_strdup_printf("end%d", i);
        g_autoptr(GstElement) sink = gst_bin_get_by_name(GST_BIN(pipeline), name);

        gst_app_sink_set_callbacks(GST_APP_SINK(sink), &callbacks, exchange, NULL);
    }
    bus = gst_element_get_bus(pipeline);
    gst_bus_set_sync_handler(bus, on_message, NULL, NULL);
    return pipeline;
}

gboolean pipe_frames(const PipeOptions *options, GError **error)
{
    Exchange exchange = {.options = options, .free = g_async_queue_new()};
    GstElement *pipeline = make_pipeline(options, &exchange, error);
    char line[64];

    g_mutex_init(&exchange.lock);
    if (pipeline != NULL) {
        for (gint i = 0; i < options->buffers; i++)
            g_async_queue_push(exchange.free, GINT_TO_POINTER(i + 1));
        gst_element_set_state(pipeline, GST_STATE_PLAYING);
        while (fgets(line, sizeof line, stdin) != NULL) {
            const gint place = atoi(line);

            if (place >= 0 && place < options->buffers)
                g_async_queue_push(exchange.free, GINT_TO_POINTER(place + 1));
        }
        g_async_queue_push(exchange.free, OVER);
        gst_element_set_state(pipeline, GST_STATE_NULL);
        gst_object_unref(pipeline);
    }
    if (exchange.data != NULL)
        munmap(exchange.data, exchange.bytes * (gsize)options->buffers);
    g_async_queue_unref(exchange.free);
    g_mutex_clear(&exchange.lock);
    return pipeline != NULL;
}

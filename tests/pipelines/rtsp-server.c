/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * rtsp-server PORT CLIP [USER:PASSWORD]: a network camera at rtsp://127.0.0.1:PORT/cam that shows CLIP over and over at
 * 25 frames/s. CLIP is H.264 as a byte stream, one delimiter (NAL unit type 9) before each picture, a key frame first.
 * Prints "ready" once it listens, and runs until it is killed: with nothing said to its clients, as a camera without
 * power; SIGTERM ends it as a camera that is told to stop: clients get their end.
 */
#include <gio/gio.h>
#include <glib-unix.h>
#include <gst/app/gstappsrc.h>
#include <gst/rtsp-server/rtsp-server.h>
#include <stdio.h>
#include <string.h>

#define FPS 25
#define LAUNCH                                                                                                         \
    "( appsrc name=source is-live=true format=time caps=video/x-h264,stream-format=byte-stream,alignment=au,"          \
    "framerate=25/1 ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"

static const guint8 delimiter[] = {0, 0, 0, 1, 9};

static GPtrArray *pictures; /* GBytes */

/* Where the next delimiter is from there on, or the end. */
static gsize find_delimiter(const guint8 *data, gsize size, gsize from)
{
    for (; from + sizeof delimiter <= size; from++)
        if (memcmp(data + from, delimiter, sizeof delimiter) == 0)
            return from;
    return size;
}

static gboolean read_clip(const char *path)
{
    g_autoptr(GMappedFile) file = g_mapped_file_new(path, FALSE, NULL);
    const guint8 *data = file != NULL ? (const guint8 *)g_mapped_file_get_contents(file) : NULL;
    gsize size = file != NULL ? g_mapped_file_get_length(file) : 0;

    pictures = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    for (gsize at = find_delimiter(data, size, 0), next; at < size; at = next) {
        next = find_delimiter(data, size, at + 1);
        g_ptr_array_add(pictures, g_bytes_new(data + at, next - at));
    }
    return pictures->len > 0;
}

/* ---- one client's pictures --------------------------------------------------------------------------------------- */

typedef struct {
    GstElement *source;
    guint64 n; /* pictures pushed */
    gint64 start;
    GThread *thread;
    gint stop;
} Feed;

static gpointer push_pictures(gpointer data)
{
    Feed *feed = data;

    feed->start = g_get_monotonic_time();
    while (!g_atomic_int_get(&feed->stop)) {
        gint64 wait = feed->start + (gint64)(feed->n * G_USEC_PER_SEC / FPS) - g_get_monotonic_time();
        GstBuffer *buffer;

        if (wait > 0)
            g_usleep((gulong)wait);
        /* a camera that stood still goes on with what it sees now */
        if (wait < -G_USEC_PER_SEC)
            feed->n += (guint64)(-wait) * FPS / G_USEC_PER_SEC;
        buffer = gst_buffer_new_wrapped_bytes(pictures->pdata[feed->n % pictures->len]);
        GST_BUFFER_PTS(buffer) = GST_BUFFER_DTS(buffer) = gst_util_uint64_scale_int(feed->n, GST_SECOND, FPS);
        GST_BUFFER_DURATION(buffer) = GST_SECOND / FPS;
        feed->n++;
        if (gst_app_src_push_buffer(GST_APP_SRC(feed->source), buffer) != GST_FLOW_OK)
            break;
    }
    return NULL;
}

static void feed_free(gpointer data)
{
    Feed *feed = data;

    g_atomic_int_set(&feed->stop, 1);
    g_thread_join(feed->thread);
    gst_object_unref(feed->source);
    g_free(feed);
}

static void on_media(GstRTSPMediaFactory *factory, GstRTSPMedia *media, gpointer user_data)
{
    g_autoptr(GstElement) bin = gst_rtsp_media_get_element(media);
    Feed *feed = g_new0(Feed, 1);

    feed->source = gst_bin_get_by_name_recurse_up(GST_BIN(bin), "source");
    feed->thread = g_thread_new("feed", push_pictures, feed);
    g_object_set_data_full(G_OBJECT(media), "feed", feed, feed_free);
}

/* ---- the server -------------------------------------------------------------------------------------------------- */

static void ask_for_password(GstRTSPServer *server, GstRTSPMediaFactory *factory, const char *user_password)
{
    g_auto(GStrv) words = g_strsplit(user_password, ":", 2);
    g_autofree gchar *basic = gst_rtsp_auth_make_basic(words[0], words[1]);
    g_autoptr(GstRTSPAuth) auth = gst_rtsp_auth_new();
    GstRTSPToken *token = gst_rtsp_token_new(GST_RTSP_TOKEN_MEDIA_FACTORY_ROLE, G_TYPE_STRING, "viewer", NULL);

    gst_rtsp_auth_add_basic(auth, basic, token);
    gst_rtsp_token_unref(token);
    gst_rtsp_server_set_auth(server, auth);
    gst_rtsp_media_factory_add_role(factory, "viewer", GST_RTSP_PERM_MEDIA_FACTORY_ACCESS, G_TYPE_BOOLEAN, TRUE,
                                    GST_RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, G_TYPE_BOOLEAN, TRUE, NULL);
}

static GstRTSPFilterResult drop(GstRTSPServer *server, GstRTSPClient *client, gpointer user_data)
{
    return GST_RTSP_FILTER_REMOVE;
}

static gboolean on_term(gpointer data)
{
    g_main_loop_quit(data);
    return G_SOURCE_REMOVE;
}

int main(int argc, char **argv)
{
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_autoptr(GstRTSPServer) server = NULL;
    g_autoptr(GstRTSPMountPoints) mounts = NULL;
    GstRTSPMediaFactory *factory;

    gst_init(&argc, &argv);
    if (argc < 3 || !read_clip(argv[2])) {
        fprintf(stderr, "rtsp-server: expected PORT CLIP [USER:PASSWORD], CLIP with pictures in it\n");
        return 2;
    }
    server = gst_rtsp_server_new();
    factory = gst_rtsp_media_factory_new();
    gst_rtsp_server_set_address(server, "127.0.0.1");
    gst_rtsp_server_set_service(server, argv[1]);
    gst_rtsp_media_factory_set_launch(factory, LAUNCH);
    gst_rtsp_media_factory_set_shared(factory, FALSE);
    g_signal_connect(factory, "media-configure", G_CALLBACK(on_media), NULL);
    if (argc > 3)
        ask_for_password(server, factory, argv[3]);
    mounts = gst_rtsp_server_get_mount_points(server);
    gst_rtsp_mount_points_add_factory(mounts, "/cam", factory);
    if (gst_rtsp_server_attach(server, NULL) == 0) {
        fprintf(stderr, "rtsp-server: port %s can't be had\n", argv[1]);
        return 1;
    }
    g_unix_signal_add(SIGTERM, on_term, loop);
    puts("ready");
    fflush(stdout);
    g_main_loop_run(loop);
    gst_rtsp_server_client_filter(server, drop, NULL);
    return 0;
}

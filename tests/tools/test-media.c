/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Media are made by GStreamer's own encoders, then read back. Elements that are not installed skip their case. */
#include <glib/gstdio.h>
#include <gst/gst.h>
#include <string.h>

#include "decoder-bin.h"
#include "puller.h"
#include "tools/media-hold.h"
#include "tools/media.h"

typedef struct {
    gchar *dir, *path;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    f->dir = g_dir_make_tmp("gpudl-media-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "a file%20with #odd name", NULL);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_unlink(f->path);
    g_rmdir(f->dir);
    g_free(f->path);
    g_free(f->dir);
}

/* Runs a description ending in an encoder into the fixture's file; FALSE and a skip if an element is missing. */
static gboolean make_media(Fixture *f, const gchar *description)
{
    g_autofree gchar *whole = g_strdup_printf("%s ! filesink name=to", description);
    g_autoptr(GError) error = NULL;
    g_autoptr(GstElement) pipeline = NULL, sink = NULL;
    g_autoptr(GstBus) bus = NULL;
    g_autoptr(GstMessage) message = NULL;

    gst_init(NULL, NULL);
    pipeline = gst_parse_launch_full(whole, NULL, GST_PARSE_FLAG_FATAL_ERRORS, &error);
    if (pipeline == NULL) {
        g_test_skip(error->message);
        return FALSE;
    }
    gst_object_ref_sink(pipeline);
    sink = gst_bin_get_by_name(GST_BIN(pipeline), "to");
    g_object_set(sink, "location", f->path, NULL);
    bus = gst_element_get_bus(pipeline);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    message = gst_bus_timed_pop_filtered(bus, 20 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    g_assert_nonnull(message);
    g_assert_cmpstr(GST_MESSAGE_TYPE_NAME(message), ==, "eos");
    gst_element_set_state(pipeline, GST_STATE_NULL);
    return TRUE;
}

static void assert_refused(const gchar *location, gint code, const gchar *says)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(gpudl_media_open(location, GPUDL_PIXEL_UNKNOWN, &error));
    g_test_message("%s", error != NULL ? error->message : "no error");
    g_assert_error(error, GPUDL_ERROR, code);
    g_assert_true(g_str_has_prefix(error->message, location));
    g_assert_nonnull(strstr(error->message, says));
    g_assert_null(strchr(error->message, '\n'));
}

static guint count_frames(Fixture *f, GpudlPixelFormat *format)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlMedia) media = gpudl_media_open(f->path, GPUDL_PIXEL_UNKNOWN, &error);
    GpudlMediaFrame *frame;
    gint64 last = -2; /* -1: a picture without a time */
    guint n = 0;

    g_assert_no_error(error);
    while ((frame = gpudl_media_next(media, &error)) != NULL) {
        g_assert_cmpuint(frame->number, ==, n);
        g_assert_cmpint(frame->frame.memory, ==, GPUDL_MEMORY_HOST);
        g_assert_cmpint(frame->pts, >, last);
        last = frame->pts;
        *format = frame->frame.format;
        gpudl_media_frame_free(frame);
        n++;
    }
    g_assert_no_error(error);
    g_assert_null(gpudl_media_next(media, &error)); /* the end stays the end */
    g_assert_no_error(error);
    return n;
}

static void png_pixels_arrive_as_they_are(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlMedia) media = NULL;
    g_autoptr(GpudlMediaFrame) frame = NULL;

    if (!make_media(f, "videotestsrc num-buffers=1 pattern=solid-color foreground-color=0xff204060 ! "
                       "video/x-raw,format=RGB,width=33,height=17 ! pngenc"))
        return;
    media = gpudl_media_open(f->path, GPUDL_PIXEL_UNKNOWN, &error);
    g_assert_no_error(error);
    frame = gpudl_media_next(media, &error);
    g_assert_no_error(error);
    g_assert_cmpint(frame->frame.format, ==, GPUDL_PIXEL_RGB);
    g_assert_cmpint(frame->frame.width, ==, 33);
    g_assert_cmpint(frame->frame.height, ==, 17);
    g_assert_cmpint(frame->frame.range, ==, GPUDL_RANGE_FULL);
    for (gint y = 0; y < 17; y++) {
        const guint8 *row = (const guint8 *)frame->frame.planes[0] + y * frame->frame.strides[0];

        for (gint x = 0; x < 33; x++)
            g_assert_cmphex(row[3 * x] << 16 | row[3 * x + 1] << 8 | row[3 * x + 2], ==, 0x204060);
    }
    /* a frame outlives its media */
    g_clear_pointer(&media, gpudl_media_free);
    g_assert_cmphex(*(const guint8 *)frame->frame.planes[0], ==, 0x20);
}

static void a_format_can_be_asked_for(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlMedia) media = NULL;
    g_autoptr(GpudlMediaFrame) frame = NULL;

    if (!make_media(f, "videotestsrc num-buffers=1 pattern=red ! video/x-raw,format=RGB,width=8,height=8 ! pngenc"))
        return;
    media = gpudl_media_open(f->path, GPUDL_PIXEL_BGRX, &error);
    g_assert_no_error(error);
    frame = gpudl_media_next(media, &error);
    g_assert_cmpint(frame->frame.format, ==, GPUDL_PIXEL_BGRX);
    g_assert_cmphex(((const guint8 *)frame->frame.planes[0])[2], ==, 255);
    g_assert_cmphex(((const guint8 *)frame->frame.planes[0])[1], ==, 0);
}

/* 16-bit grey is not one of the formats taken: it is converted rather than refused. */
static void deep_pictures_are_converted(Fixture *f, gconstpointer data)
{
    GpudlPixelFormat format;

    if (make_media(f, "videotestsrc num-buffers=1 ! video/x-raw,format=GRAY16_BE,width=16,height=16 ! pngenc"))
        g_assert_cmpuint(count_frames(f, &format), ==, 1);
}

/* Larger than the 4 kB that sources read at a time. */
static void bitmaps_are_read_whole(Fixture *f, gconstpointer data)
{
    GpudlPixelFormat format;

    if (gpudl_media_has_element("gdkpixbufdec", NULL, NULL) &&
        make_media(f, "videotestsrc num-buffers=1 ! video/x-raw,width=100,height=100 ! videoconvert ! avenc_bmp"))
        g_assert_cmpuint(count_frames(f, &format), ==, 1);
    else
        g_test_skip("needs gdkpixbufdec and avenc_bmp");
}

static void every_frame_of_a_video_comes_in_order(Fixture *f, gconstpointer data)
{
    GpudlPixelFormat format;

    if (!make_media(f, "videotestsrc num-buffers=37 ! video/x-raw,width=64,height=48,framerate=25/1 ! jpegenc ! "
                       "avimux"))
        return;
    g_assert_cmpuint(count_frames(f, &format), ==, 37);
    g_assert_cmpint(format, ==, GPUDL_PIXEL_I420);
}

static void sound_is_left_alone(Fixture *f, gconstpointer data)
{
    GpudlPixelFormat format;

    if (make_media(f, "audiotestsrc num-buffers=20 ! audioconvert ! avimux name=m  videotestsrc num-buffers=5 ! "
                      "video/x-raw,width=64,height=48 ! jpegenc ! m.  m."))
        g_assert_cmpuint(count_frames(f, &format), ==, 5);
}

static void assert_first_frame(Fixture *f, gint width, gint height, gboolean white_left, gboolean white_top)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlMedia) media = gpudl_media_open(f->path, GPUDL_PIXEL_GRAY8, &error);
    g_autoptr(GpudlMediaFrame) frame = NULL;
    const guint8 *y;

    g_assert_no_error(error);
    frame = gpudl_media_next(media, &error);
    g_assert_no_error(error);
    g_assert_cmpint(frame->frame.width, ==, width);
    g_assert_cmpint(frame->frame.height, ==, height);
    y = (const guint8 *)frame->frame.planes[0] + (white_top ? 4 : height - 5) * frame->frame.strides[0] +
        (white_left ? 4 : width - 5);
    g_assert_cmpuint(*y, >, 200);
}

/* A black picture, its upper left quarter white. */
#define CORNER                                                                                                         \
    "videotestsrc num-buffers=1 pattern=white ! video/x-raw,format=I420,width=32,height=24,framerate=25/1 ! "          \
    "videobox right=-32 bottom=-24 fill=black ! "

/* EXIF orientation 6 says: turn by 90 degrees clockwise, so that the upper left corner comes to the upper right. */
static void orientation_in_exif_is_applied(Fixture *f, gconstpointer data)
{
    static const guint8 exif[] = {0xff, 0xe1, 0,   34,   'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8,
                                  0,    1,    0x1, 0x12, 0,   3,   0,   0,   0, 1, 0,   6,   0, 0,  0, 0, 0, 0};
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autofree gchar *plain = NULL;
    gsize size;

    if (!make_media(f, CORNER "jpegenc"))
        return;
    assert_first_frame(f, 64, 48, TRUE, TRUE);
    g_assert_true(g_file_get_contents(f->path, &plain, &size, NULL));
    g_byte_array_append(out, (guint8 *)plain, 2);
    g_byte_array_append(out, exif, sizeof exif);
    g_byte_array_append(out, (guint8 *)plain + 2, (guint)size - 2);
    g_assert_true(g_file_set_contents(f->path, (gchar *)out->data, out->len, NULL));
    assert_first_frame(f, 48, 64, FALSE, TRUE);
}

/* The same in an MP4's track header: its matrix begins 44 bytes after the box's type. */
static void orientation_in_mp4_is_applied(Fixture *f, gconstpointer data)
{
    static const guint8 quarter_turn[36] = {[5] = 1, [12] = 0xff, [13] = 0xff, [24] = 0, [25] = 48, [32] = 0x40};
    g_autofree gchar *file = NULL;
    gsize size, at = 0;

    if (!make_media(f, CORNER "jpegenc ! qtmux"))
        return;
    g_assert_true(g_file_get_contents(f->path, &file, &size, NULL));
    while (at + 80 < size && memcmp(file + at, "tkhd", 4) != 0)
        at++;
    g_assert_cmpuint(at + 80, <, size);
    memcpy(file + at + 44, quarter_turn, sizeof quarter_turn);
    g_assert_true(g_file_set_contents(f->path, file, (gssize)size, NULL));
    assert_first_frame(f, 48, 64, FALSE, TRUE);
}

static void sound_alone_is_refused(Fixture *f, gconstpointer data)
{
    if (make_media(f, "audiotestsrc num-buffers=5 ! wavenc"))
        assert_refused(f->path, GPUDL_ERROR_FORMAT, "no picture in it");
}

static void files_that_are_no_media_are_refused(Fixture *f, gconstpointer data)
{
    assert_refused(f->path, GPUDL_ERROR_NOT_FOUND, "no such file");
    assert_refused(f->dir, GPUDL_ERROR_OPEN_READ, "is a directory");
    g_assert_true(g_file_set_contents(f->path, "", 0, NULL));
    assert_refused(f->path, GPUDL_ERROR_FORMAT, "is empty");
    g_assert_true(g_file_set_contents(f->path, "just a few words\n", -1, NULL));
    assert_refused(f->path, GPUDL_ERROR_FORMAT, "not a picture or video");
    g_assert_true(g_file_set_contents(f->path, "\x01\x02\x03\x04 nothing known \x05\x06\x07\x08", -1, NULL));
    assert_refused(f->path, GPUDL_ERROR_FORMAT, "not a picture or video");
    g_assert_true(
        g_file_set_contents(f->path, "PK\x03\x04 a zip archive, it says, of nothing at all.......", -1, NULL));
    assert_refused(f->path, GPUDL_ERROR_FORMAT, "not a picture or video");
}

static void a_picture_cut_short_is_refused(Fixture *f, gconstpointer data)
{
    g_autofree gchar *whole = NULL;
    gsize size;

    if (!make_media(f, "videotestsrc num-buffers=1 pattern=snow ! video/x-raw,width=64,height=64 ! pngenc"))
        return;
    g_assert_true(g_file_get_contents(f->path, &whole, &size, NULL));
    g_assert_true(g_file_set_contents(f->path, whole, (gssize)size / 4, NULL));
    assert_refused(f->path, GPUDL_ERROR_FORMAT, "damaged or cut short");
}

/* A decoder taken out of the registry is a decoder that is not installed. */
static void a_missing_decoder_is_named_with_its_package(Fixture *f, gconstpointer data)
{
    GList *decoders, *all;
    g_autoptr(GstCaps) jpeg = NULL;

    if (!make_media(f, "videotestsrc num-buffers=1 ! video/x-raw,width=64,height=48 ! jpegenc"))
        return;
    jpeg = gst_caps_from_string("image/jpeg");
    all = gst_element_factory_list_get_elements(GST_ELEMENT_FACTORY_TYPE_DECODER, GST_RANK_MARGINAL);
    decoders = gst_element_factory_list_filter(all, jpeg, GST_PAD_SINK, FALSE);
    for (GList *l = decoders; l != NULL; l = l->next)
        gst_registry_remove_feature(gst_registry_get(), l->data);
    assert_refused(f->path, GPUDL_ERROR_UNSUPPORTED, "gstreamer1.0-plugins-good");
    for (GList *l = decoders; l != NULL; l = l->next)
        gst_registry_add_feature(gst_registry_get(), gst_object_ref(l->data));
    gst_plugin_feature_list_free(decoders);
    gst_plugin_feature_list_free(all);
}

/* decodebin exposes the pad after the decoder's thread has started: no frame may be lost, and nothing may wait for ever
 */
static void decoders_that_pull_wait_until_they_are_linked(Fixture *f, gconstpointer data)
{
    static const gchar content[] = PULLER_MAGIC "abcde";
    GpudlPixelFormat format;

    gst_init(NULL, NULL);
    puller_register();
    g_assert_true(g_file_set_contents(f->path, content, sizeof(content) - 1, NULL));
    g_assert_cmpuint(count_frames(f, &format), ==, 5);
    g_assert_cmpint(format, ==, GPUDL_PIXEL_GRAY8);
}

static void a_decodebin_that_is_there_is_held_too(Fixture *f, gconstpointer data)
{
    g_autoptr(GstElement) pipeline = NULL, source = NULL;
    g_autoptr(GstBus) bus = NULL;
    g_autoptr(GstMessage) message = NULL;

    gst_init(NULL, NULL);
    puller_register();
    g_assert_true(g_file_set_contents(f->path, PULLER_MAGIC "abc", -1, NULL));
    pipeline = gst_object_ref_sink(gst_parse_launch("filesrc name=from ! decodebin ! fakesink", NULL));
    source = gst_bin_get_by_name(GST_BIN(pipeline), "from");
    g_object_set(source, "location", f->path, NULL);
    gpudl_media_hold_pullers(pipeline);
    bus = gst_element_get_bus(pipeline);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    message = gst_bus_timed_pop_filtered(bus, 20 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    g_assert_nonnull(message);
    g_assert_cmpstr(GST_MESSAGE_TYPE_NAME(message), ==, "eos");
    gst_element_set_state(pipeline, GST_STATE_NULL);
}

static void frames_that_would_have_wrong_colours_are_refused(Fixture *f, gconstpointer data)
{
    g_autofree gchar *path = g_test_build_filename(G_TEST_DIST, "media", "yuv411.avi", NULL);

    if (gpudl_media_has_element("jpegdec", NULL, NULL))
        assert_refused(path, GPUDL_ERROR_UNSUPPORTED, "that jpegdec decodes wrongly");
    else
        g_test_skip("needs jpegdec");
}

static void a_decoder_that_hangs_is_given_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlMedia) media = NULL;
    g_autoptr(GpudlMediaFrame) first = NULL;

    gst_init(NULL, NULL);
    puller_register();
    g_assert_true(g_file_set_contents(f->path, PULLER_MAGIC "a\xff", -1, NULL));
    media = gpudl_media_open(f->path, GPUDL_PIXEL_UNKNOWN, &error);
    g_assert_no_error(error);
    first = gpudl_media_next(media, &error);
    g_assert_nonnull(first);
    g_assert_null(gpudl_media_next(media, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_true(g_str_has_prefix(error->message, f->path));
    g_assert_nonnull(strstr(error->message, "after frame 0"));
}

static void decoders_that_are_bins_are_taken(Fixture *f, gconstpointer data)
{
    g_autofree gchar *path = g_test_build_filename(G_TEST_DIST, "media", "alpha-vp8.webm", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlMedia) media = NULL;

    if (!gpudl_media_has_element("vp8dec", NULL, NULL)) {
        g_test_skip("needs vp8dec");
        return;
    }
    decoder_bin_register();
    media = gpudl_media_open(path, GPUDL_PIXEL_UNKNOWN, &error);
    g_assert_no_error(error);
}

/* Its segment begins at 0.2 s: the encoder put two frames before the first one. */
static void times_are_the_streams(Fixture *f, gconstpointer data)
{
    g_autofree gchar *path = g_test_build_filename(G_TEST_DIST, "media", "bframes.mp4", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlMedia) media = NULL;
    GpudlMediaFrame *frame;
    guint n = 0;

    if (!gpudl_media_has_decoder("video/x-h264", NULL)) {
        g_test_skip("needs a decoder of H.264");
        return;
    }
    media = gpudl_media_open(path, GPUDL_PIXEL_UNKNOWN, &error);
    g_assert_no_error(error);
    while ((frame = gpudl_media_next(media, &error)) != NULL) {
        g_assert_cmpint(frame->pts, ==, n++ * (gint64)(GST_SECOND / 10));
        gpudl_media_frame_free(frame);
    }
    g_assert_no_error(error);
    g_assert_cmpuint(n, ==, 10);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add("/media/" #name, Fixture, NULL, set_up, name, tear_down)
    ADD(png_pixels_arrive_as_they_are);
    ADD(a_format_can_be_asked_for);
    ADD(deep_pictures_are_converted);
    ADD(bitmaps_are_read_whole);
    ADD(every_frame_of_a_video_comes_in_order);
    ADD(sound_is_left_alone);
    ADD(orientation_in_exif_is_applied);
    ADD(orientation_in_mp4_is_applied);
    ADD(sound_alone_is_refused);
    ADD(files_that_are_no_media_are_refused);
    ADD(a_picture_cut_short_is_refused);
    ADD(a_missing_decoder_is_named_with_its_package);
    ADD(decoders_that_pull_wait_until_they_are_linked);
    ADD(a_decodebin_that_is_there_is_held_too);
    ADD(frames_that_would_have_wrong_colours_are_refused);
    ADD(a_decoder_that_hangs_is_given_up);
    ADD(decoders_that_are_bins_are_taken);
    ADD(times_are_the_streams);
    return g_test_run();
}

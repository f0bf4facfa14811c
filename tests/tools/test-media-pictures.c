/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Picture files as gpudl run sees them: the right way up, in their colours, one frame a file. Every picture shows four
 * quarters, upright: red, green, blue, white. */
#include <glib/gstdio.h>
#include <gst/gst.h>
#include <string.h>

#include "server.h"
#include "tools/media.h"

#define TOLERANCE 3 /* of 255: a JPEG's rounding */
/* cuts of each file that are tried on the decoders */
#define N_CUTS 12

/* r red, g green, b blue, w white: upper left, upper right, lower left, lower right */
#define UPRIGHT "rgbw"

typedef struct {
    gchar *dir;
    GPtrArray *paths; /* written, removed at the end */
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    f->dir = g_dir_make_tmp("gpudl-pictures-XXXXXX", NULL);
    f->paths = g_ptr_array_new_with_free_func(g_free);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    for (guint i = 0; i < f->paths->len; i++)
        g_unlink(g_ptr_array_index(f->paths, i));
    g_ptr_array_unref(f->paths);
    g_rmdir(f->dir);
    g_free(f->dir);
}

static gchar *picture(const gchar *name)
{
    return g_test_build_filename(G_TEST_DIST, "media", name, NULL);
}

static GByteArray *load(const gchar *name)
{
    g_autofree gchar *path = picture(name);
    g_autoptr(GError) error = NULL;
    gchar *data;
    gsize size;

    g_file_get_contents(path, &data, &size, &error);
    g_assert_no_error(error);
    return g_byte_array_new_take((guint8 *)data, size);
}

/* The path belongs to the fixture. */
static const gchar *save(Fixture *f, const gchar *name, const GByteArray *bytes)
{
    gchar *path = g_build_filename(f->dir, name, NULL);

    g_assert_true(g_file_set_contents(path, (const gchar *)bytes->data, bytes->len, NULL));
    g_ptr_array_add(f->paths, path);
    return path;
}

static gchar letter_of(const guint8 *rgb)
{
    static const struct {
        gchar letter;
        guint8 rgb[3];
    } colors[] = {{'r', {230, 20, 20}}, {'g', {20, 200, 20}}, {'b', {20, 20, 220}}, {'w', {240, 240, 240}}};

    for (guint i = 0; i < G_N_ELEMENTS(colors); i++)
        if (ABS(rgb[0] - colors[i].rgb[0]) <= TOLERANCE && ABS(rgb[1] - colors[i].rgb[1]) <= TOLERANCE &&
            ABS(rgb[2] - colors[i].rgb[2]) <= TOLERANCE)
            return colors[i].letter;
    g_test_message("%u %u %u", rgb[0], rgb[1], rgb[2]);
    return '?';
}

/* What is seen in the middles of the four quarters. */
static void assert_shows(const gchar *location, const gchar *quarters, guint n_frames)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlMedia) media = gpudl_media_open(location, GPUDL_PIXEL_RGB, &error);
    GpudlMediaFrame *frame;
    guint n = 0;

    g_test_message("%s", location);
    g_assert_no_error(error);
    while ((frame = gpudl_media_next(media, &error)) != NULL) {
        gchar seen[5] = "";

        for (gint i = 0; i < 4; i++) {
            gint x = frame->frame.width * (i % 2 == 0 ? 1 : 3) / 4, y = frame->frame.height * (i / 2 == 0 ? 1 : 3) / 4;

            seen[i] = letter_of((const guint8 *)frame->frame.planes[0] + y * frame->frame.strides[0] + 3 * x);
        }
        if (n++ == 0)
            g_assert_cmpstr(seen, ==, quarters);
        if (n_frames == 1)
            g_assert_cmpint(frame->pts, ==, -1);
        gpudl_media_frame_free(frame);
    }
    g_assert_no_error(error);
    g_assert_cmpuint(n, ==, n_frames);
}

static void assert_refused(const gchar *location, gint code, const gchar *says, const gchar *says_not)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(gpudl_media_open(location, GPUDL_PIXEL_UNKNOWN, &error));
    g_test_message("%s", error != NULL ? error->message : "no error");
    g_assert_error(error, GPUDL_ERROR, code);
    g_assert_true(g_str_has_prefix(error->message, location));
    g_assert_nonnull(strstr(error->message, says));
    g_assert_null(strstr(error->message, says_not));
}

/* gdk-pixbuf may have a loader. */
static void assert_seen_or_refused(const gchar *location, const gchar *says)
{
    g_autoptr(GpudlMedia) media = gpudl_media_open(location, GPUDL_PIXEL_UNKNOWN, NULL);

    if (media != NULL)
        assert_shows(location, UPRIGHT, 1);
    else
        assert_refused(location, GPUDL_ERROR_UNSUPPORTED, says, "damaged");
}

static gboolean has_element(const gchar *name)
{
    if (gpudl_media_has_element(name, NULL, NULL))
        return TRUE;
    g_test_skip(name);
    return FALSE;
}

/* ---- the right way up -------------------------------------------------------------------------------------------- */

/* How a picture stored as "gwrb" is seen under EXIF's orientations from 1 on. */
#define UPRIGHT_ORIENTATION 6
static const gchar *const seen_of_lying[] = {"gwrb", "wgbr", "brwg", "rbgw", "grwb", "rgbw", "bwrg", "wbgr"};

static guint32 crc32_of(const guint8 *data, gsize size)
{
    guint32 crc = 0xffffffff;

    for (gsize i = 0; i < size; i++) {
        crc ^= data[i];
        for (gint bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void every_orientation_of(Fixture *f, const gchar *name, gsize at, gsize chunk_at, gsize chunk_size)
{
    g_autoptr(GByteArray) bytes = load(name);

    g_assert_cmpuint(bytes->data[at], ==, UPRIGHT_ORIENTATION);
    for (guint8 orientation = 1; orientation <= 8; orientation++) {
        bytes->data[at] = orientation;
        if (chunk_size > 0) {
            guint32 crc = GUINT32_TO_BE(crc32_of(bytes->data + chunk_at, chunk_size));

            memcpy(bytes->data + chunk_at + chunk_size, &crc, sizeof crc);
        }
        assert_shows(save(f, name, bytes), seen_of_lying[orientation - 1], 1);
    }
}

static void orientation_of_jpeg(Fixture *f, gconstpointer data)
{
    every_orientation_of(f, "exif6.jpg", 49, 0, 0);
}

static void orientation_of_png(Fixture *f, gconstpointer data)
{
    every_orientation_of(f, "exif6.png", 60, 37, 30); /* the chunk's type and data */
}

static void orientation_of_webp(Fixture *f, gconstpointer data)
{
    if (has_element("webpdec"))
        every_orientation_of(f, "exif6.webp", 127, 0, 0);
}

#define TIFF_WIDTH 48
#define TIFF_HEIGHT 64

/* Uncompressed, one strip, the directory first. */
static GByteArray *make_tiff(guint8 orientation)
{
    static const struct {
        guint16 tag, type;
        guint32 n, value;
    } entries[] = {{256, 3, 1, TIFF_WIDTH},  {257, 3, 1, TIFF_HEIGHT},
                   {258, 3, 3, 134},         {259, 3, 1, 1},
                   {262, 3, 1, 2},           {273, 4, 1, 140},
                   {274, 3, 1, 0},           {277, 3, 1, 3},
                   {278, 3, 1, TIFF_HEIGHT}, {279, 4, 1, TIFF_WIDTH * TIFF_HEIGHT * 3}};
    static const guint8 head[] = {'I', 'I', 42, 0, 8, 0, 0, 0, G_N_ELEMENTS(entries), 0};
    static const guint8 tail[] = {0, 0, 0, 0, 8, 0, 8, 0, 8, 0}; /* no next directory, bits of the samples */
    static const guint8 colors[4][3] = {{20, 200, 20}, {240, 240, 240}, {230, 20, 20}, {20, 20, 220}};
    GByteArray *bytes = g_byte_array_new();

    g_byte_array_append(bytes, head, sizeof head);
    for (guint i = 0; i < G_N_ELEMENTS(entries); i++) {
        guint32 value = GUINT32_TO_LE(entries[i].tag == 274 ? orientation : entries[i].value);
        guint32 n = GUINT32_TO_LE(entries[i].n);
        guint16 tag = GUINT16_TO_LE(entries[i].tag), type = GUINT16_TO_LE(entries[i].type);

        g_byte_array_append(bytes, (guint8 *)&tag, 2);
        g_byte_array_append(bytes, (guint8 *)&type, 2);
        g_byte_array_append(bytes, (guint8 *)&n, 4);
        g_byte_array_append(bytes, (guint8 *)&value, 4);
    }
    g_byte_array_append(bytes, tail, sizeof tail);
    g_assert_cmpuint(bytes->len, ==, 140);
    for (guint y = 0; y < TIFF_HEIGHT; y++)
        for (guint x = 0; x < TIFF_WIDTH; x++)
            g_byte_array_append(bytes, colors[2 * (y >= TIFF_HEIGHT / 2) + (x >= TIFF_WIDTH / 2)], 3);
    return bytes;
}

static void orientation_of_tiff(Fixture *f, gconstpointer data)
{
    if (!has_element("gdkpixbufdec"))
        return;
    for (guint8 orientation = 1; orientation <= 8; orientation++) {
        g_autoptr(GByteArray) bytes = make_tiff(orientation);

        assert_shows(save(f, "a.tiff", bytes), seen_of_lying[orientation - 1], 1);
    }
}

static void every_address_of_a_file_is_the_file(Fixture *f, gconstpointer data)
{
    static const gchar *const names[] = {"exif6.jpg", "exif6.png", "still.gif", "rgb16.png"};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GByteArray) bytes = load(names[i]);
        g_autofree gchar *odd = g_strdup_printf("%s %%20 #%s", "odd name", names[i]);
        const gchar *path = save(f, odd, bytes);
        g_autofree gchar *uri = g_filename_to_uri(path, NULL, NULL);
        g_autofree gchar *plain = g_strdup_printf("file://%s", save(f, names[i], bytes));

        assert_shows(path, UPRIGHT, 1);
        assert_shows(uri, UPRIGHT, 1);
        assert_shows(plain, UPRIGHT, 1);
    }
}

static void pictures_come_from_the_web(Fixture *f, gconstpointer data)
{
    static const gchar *const names[] = {"exif6.jpg", "exif6.png", "still.gif", "cmyk.jpg", "two-pictures.jpg"};

    if (!has_element("souphttpsrc"))
        return;
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GByteArray) bytes = load(names[i]);
        g_autoptr(Server) server = server_new(bytes->data, bytes->len);
        g_autofree gchar *uri = server_get_uri(server, names[i]);

        assert_shows(uri, UPRIGHT, 1);
        g_assert_cmpuint(server_get_n_requests(server), ==, 1);
    }
}

static void streams_from_the_web_stay_streams(Fixture *f, gconstpointer data)
{
    if (has_element("souphttpsrc")) {
        g_autoptr(GByteArray) bytes = load("two-pictures.jpg");
        g_autoptr(Server) server = server_new(bytes->data, bytes->len);
        g_autofree gchar *uri = server_get_uri(server, "stream.mjpeg");

        assert_shows(uri, UPRIGHT, 2);
    }
}

static void what_the_web_sends_is_bounded(Fixture *f, gconstpointer data)
{
    if (has_element("souphttpsrc")) {
        g_autoptr(GByteArray) bytes = load("exif6.png");
        g_autoptr(Server) server = NULL;
        g_autofree gchar *uri = NULL;

        g_byte_array_set_size(bytes, 65 * 1024 * 1024);
        server = server_new(bytes->data, bytes->len);
        uri = server_get_uri(server, "exif6.png");
        assert_refused(uri, GPUDL_ERROR_UNSUPPORTED, "a picture of more than 64 MB", "damaged");
    }
}

static void files_at_addresses_are_looked_at_too(Fixture *f, gconstpointer data)
{
    g_autofree gchar *none = g_strdup_printf("file://%s/none.jpg", f->dir);
    g_autofree gchar *folder = g_strdup_printf("file://%s", f->dir);

    assert_refused(none, GPUDL_ERROR_NOT_FOUND, "no such file", "damaged");
    assert_refused(folder, GPUDL_ERROR_OPEN_READ, "is a directory", "damaged");
}

/* ---- kinds of pictures ------------------------------------------------------------------------------------------- */

static void rare_kinds_have_their_colours(Fixture *f, gconstpointer data)
{
    static const gchar *const names[] = {"rgb16.png", "yuv411.jpg", "yuv410.jpg", "yuv440.jpg",  "odd-chroma.jpg",
                                         "rgb.jpg",   "cmyk.jpg",   "still.gif",  "animated.gif"};

    if (!has_element("gdkpixbufdec"))
        return;
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree gchar *path = picture(names[i]);

        assert_shows(path, UPRIGHT, 1);
    }
}

static void what_decodes_rare_kinds_is_named_where_it_is_missing(Fixture *f, gconstpointer data)
{
    g_autoptr(GstPluginFeature) decoder = NULL;
    g_autofree gchar *deep = picture("rgb16.png"), *moving = picture("animated.gif");

    if (!has_element("gdkpixbufdec"))
        return;
    decoder = gst_registry_lookup_feature(gst_registry_get(), "gdkpixbufdec");
    gst_registry_remove_feature(gst_registry_get(), decoder);
    assert_refused(deep, GPUDL_ERROR_BACKEND, "gstreamer1.0-plugins-good", "damaged");
    assert_refused(moving, GPUDL_ERROR_BACKEND, "gstreamer1.0-plugins-good", "damaged");
    gst_registry_add_feature(gst_registry_get(), g_object_ref(decoder));
}

static void a_jpeg_file_is_one_picture(Fixture *f, gconstpointer data)
{
    static const guint8 mpf[] = {0xff, 0xe2, 0, 8, 'M', 'P', 'F', 0, 'I', 'I'};
    g_autoptr(GByteArray) bytes = load("two-pictures.jpg"), indexed = g_byte_array_new();

    g_byte_array_append(indexed, bytes->data, 2);
    g_byte_array_append(indexed, mpf, sizeof mpf);
    g_byte_array_append(indexed, bytes->data + 2, bytes->len - 2);
    assert_shows(save(f, "two.jpg", bytes), UPRIGHT, 1);
    assert_shows(save(f, "two.JPEG", bytes), UPRIGHT, 1);
    assert_shows(save(f, "two.mjpeg", bytes), UPRIGHT, 2);
    assert_shows(save(f, "two", bytes), UPRIGHT, 2);
    assert_shows(save(f, "indexed", indexed), UPRIGHT, 1);
}

static void streams_that_would_have_wrong_colours_are_refused(Fixture *f, gconstpointer data)
{
    static const gchar *const names[] = {"yuv411.jpg", "yuv410.jpg", "odd-chroma.jpg", "cmyk.jpg"};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GByteArray) bytes = load(names[i]), again = load(names[i]);

        g_byte_array_append(bytes, again->data, again->len);
        assert_refused(save(f, "two.mjpeg", bytes), GPUDL_ERROR_UNSUPPORTED, "a stream of JPEG pictures", "damaged");
        if (gpudl_media_has_element("gdkpixbufdec", NULL, NULL))
            assert_shows(save(f, "two.jpg", bytes), UPRIGHT, 1);
    }
}

static void whole_files_are_not_called_damaged(Fixture *f, gconstpointer data)
{
    g_autofree gchar *heic = picture("plain.heic"), *webp = picture("animated.webp");
    g_autoptr(GByteArray) lossless = load("yuv411.jpg");
    guint at = 0;

    assert_seen_or_refused(heic, "HEIC (HEIF) pictures can't be decoded");
    assert_seen_or_refused(webp, "animated WebP pictures can't be decoded");
    /* as a lossless JPEG file says that it is one */
    while (lossless->data[at] != 0xff || lossless->data[at + 1] != 0xc0)
        at++;
    lossless->data[at + 1] = 0xc3;
    assert_refused(save(f, "lossless.jpg", lossless), GPUDL_ERROR_FORMAT, "or of a kind that", "cut short");
}

/* A frame or one error line, never a hang. */
static void cut_files_end(Fixture *f, gconstpointer data)
{
    static const gchar *const names[] = {"exif6.jpg",    "exif6.png", "rgb16.png",  "yuv411.jpg",    "cmyk.jpg",
                                         "animated.gif", "still.gif", "exif6.webp", "animated.webp", "plain.heic"};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        for (guint cut = 1; cut <= N_CUTS; cut++) {
            g_autoptr(GByteArray) bytes = load(names[i]);
            g_autoptr(GpudlMedia) media = NULL;
            g_autoptr(GError) error = NULL;
            const gchar *path;

            g_byte_array_set_size(bytes, bytes->len * cut / (N_CUTS + 1));
            path = save(f, names[i], bytes);
            media = gpudl_media_open(path, GPUDL_PIXEL_UNKNOWN, &error);
            if (media != NULL)
                gpudl_media_frame_free(gpudl_media_next(media, &error));
            else
                g_assert_true(error != NULL && g_str_has_prefix(error->message, path));
        }
    }
}

/* Sizes within the files' own limits whose pixels would fill all memory, claimed by a few bytes. */
static void sizes_are_not_believed(Fixture *f, gconstpointer data)
{
    static const struct {
        const gchar *name;
        gsize at; /* of width and height, or height and width */
        const gchar *claim;
        gsize n;
    } files[] = {
        {"rgb16.png", 16, "\0\0\xea\x60\0\0\xea\x60", 8},
        {"exif6.png", 16, "\0\0\x75\x30\0\0\x75\x30", 8},
        {"still.gif", 6, "\xff\xff\xff\xff", 4},
    };

    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(GByteArray) bytes = load(files[i].name);

        memcpy(bytes->data + files[i].at, files[i].claim, files[i].n);
        assert_refused(save(f, files[i].name, bytes), GPUDL_ERROR_UNSUPPORTED, "pixels, expected at most", "damaged");
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    gst_init(NULL, NULL);
#define ADD(name) g_test_add("/media-pictures/" #name, Fixture, NULL, set_up, name, tear_down)
    ADD(orientation_of_jpeg);
    ADD(orientation_of_png);
    ADD(orientation_of_webp);
    ADD(orientation_of_tiff);
    ADD(every_address_of_a_file_is_the_file);
    ADD(pictures_come_from_the_web);
    ADD(streams_from_the_web_stay_streams);
    ADD(what_the_web_sends_is_bounded);
    ADD(files_at_addresses_are_looked_at_too);
    ADD(rare_kinds_have_their_colours);
    ADD(what_decodes_rare_kinds_is_named_where_it_is_missing);
    ADD(a_jpeg_file_is_one_picture);
    ADD(streams_that_would_have_wrong_colours_are_refused);
    ADD(whole_files_are_not_called_damaged);
    ADD(cut_files_end);
    ADD(sizes_are_not_believed);
    return g_test_run();
}

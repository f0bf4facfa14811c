/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What media-picture.c reads of picture files, whole, damaged and hostile ones. Bytes lie in blocks of exactly their
 * size, so that sanitizers and valgrind see a read beyond. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/media-picture.h"

#define FLIPS_A_FILE 3000
/* reading a hostile file may not take longer */
#define MAX_SECONDS 3.0

static const struct {
    const gchar *name;
    MediaPictureType type;
    guint32 width, height;
    gsize orientation_at; /* of the byte with the value; 0: there is none */
    guint orientation;
    gboolean rare, animated;
    gboolean end_known; /* a cut file is told from a whole one */
} files[] = {
    {"exif6.jpg", MEDIA_PICTURE_JPEG, 48, 64, 49, 6, FALSE, FALSE, TRUE},
    {"exif6.png", MEDIA_PICTURE_PNG, 48, 64, 60, 6, FALSE, FALSE, TRUE},
    {"exif6.webp", MEDIA_PICTURE_WEBP, 0, 0, 127, 6, FALSE, FALSE, TRUE},
    {"rgb16.png", MEDIA_PICTURE_PNG, 64, 48, 0, 1, TRUE, FALSE, TRUE},
    {"yuv411.jpg", MEDIA_PICTURE_JPEG, 64, 48, 0, 1, TRUE, FALSE, TRUE},
    {"yuv410.jpg", MEDIA_PICTURE_JPEG, 64, 64, 0, 1, TRUE, FALSE, TRUE},
    {"odd-chroma.jpg", MEDIA_PICTURE_JPEG, 64, 64, 0, 1, TRUE, FALSE, TRUE},
    {"yuv440.jpg", MEDIA_PICTURE_JPEG, 64, 64, 0, 1, FALSE, FALSE, TRUE},
    {"rgb.jpg", MEDIA_PICTURE_JPEG, 64, 64, 0, 1, FALSE, FALSE, TRUE},
    {"cmyk.jpg", MEDIA_PICTURE_JPEG, 64, 48, 0, 1, TRUE, FALSE, TRUE},
    {"still.gif", MEDIA_PICTURE_GIF, 64, 48, 0, 1, TRUE, FALSE, FALSE},
    {"animated.webp", MEDIA_PICTURE_WEBP, 0, 0, 0, 1, FALSE, TRUE, TRUE},
    {"plain.heic", MEDIA_PICTURE_HEIC, 0, 0, 0, 1, FALSE, FALSE, FALSE},
};

typedef struct {
    guint8 *data;
    gsize size;
} Copy;

static void copy_clear(Copy *copy)
{
    g_free(copy->data);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Copy, copy_clear)

static void load(const gchar *name, Copy *copy)
{
    g_autofree gchar *path = g_test_build_filename(G_TEST_DIST, "media", name, NULL);
    g_autoptr(GError) error = NULL;

    g_file_get_contents(path, (gchar **)&copy->data, &copy->size, &error);
    g_assert_no_error(error);
}

static MediaPicture read_bytes(const void *data, gsize size)
{
    g_autofree guint8 *exact = g_malloc(MAX(size, 1));
    MediaBytes bytes = {.fd = -1, .data = exact, .size = size};
    MediaPicture picture;

    if (size > 0)
        memcpy(exact, data, size);
    memset(&picture, 0x55, sizeof picture);
    media_picture_read(&bytes, &picture);
    g_assert_cmpuint(picture.orientation, >=, 1);
    g_assert_cmpuint(picture.orientation, <=, 8);
    return picture;
}

static void every_kind_is_told(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_auto(Copy) file = {0};
        MediaPicture picture;

        load(files[i].name, &file);
        picture = read_bytes(file.data, file.size);
        g_test_message("%s", files[i].name);
        g_assert_cmpint(picture.type, ==, files[i].type);
        g_assert_cmpuint(picture.width, ==, files[i].width);
        g_assert_cmpuint(picture.height, ==, files[i].height);
        g_assert_cmpuint(picture.orientation, ==, files[i].orientation);
        g_assert_cmpint(picture.rare, ==, files[i].rare);
        g_assert_cmpint(picture.animated, ==, files[i].animated);
        g_assert_true(picture.single);
        g_assert_true(picture.whole || !files[i].end_known);
        for (guint8 value = 0; files[i].orientation_at != 0 && value <= 9; value++) {
            file.data[files[i].orientation_at] = value;
            picture = read_bytes(file.data, file.size);
            g_assert_cmpuint(picture.orientation, ==, value >= 1 && value <= 8 ? value : 1);
        }
    }
}

/* Both byte orders, both widths of offsets, the directory before and behind the pixels. */
static void every_form_of_tiff_is_read(void)
{
    static const guint8 intel[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 8, 0, 0, 0};
    static const guint8 motorola[] = {'M', 'M', 0, 42, 0, 0, 0, 12, 9,    9, 9, 9, 0, 2, 1, 0, 0, 3, 0,
                                      0,   0,   1, 0,  1, 0, 0, 1,  0x12, 0, 3, 0, 0, 0, 1, 0, 5, 0, 0};
    static const guint8 big[] = {'I', 'I', 43,   0, 8, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0,
                                 0,   0,   0x12, 1, 3, 0, 1, 0, 0,  0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0};

    g_assert_cmpuint(read_bytes(intel, sizeof intel).orientation, ==, 8);
    g_assert_cmpuint(read_bytes(motorola, sizeof motorola).orientation, ==, 5);
    g_assert_cmpuint(read_bytes(big, sizeof big).orientation, ==, 7);
}

static void files_cut_at_every_byte(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_auto(Copy) file = {0};

        load(files[i].name, &file);
        for (gsize size = 0; size < file.size; size++) {
            MediaPicture picture = read_bytes(file.data, size);

            g_assert_false(picture.whole && files[i].end_known);
        }
    }
}

static void files_with_bits_flipped(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_auto(Copy) file = {0};

        load(files[i].name, &file);
        for (guint n = 0; n < FLIPS_A_FILE; n++) {
            g_autofree guint8 *damaged = g_memdup2(file.data, file.size);

            for (gint k = g_test_rand_int_range(1, 6); k > 0; k--)
                damaged[g_test_rand_int_range(0, (gint)file.size)] ^= (guint8)(1u << g_test_rand_int_range(0, 8));
            read_bytes(damaged, file.size);
        }
    }
}

/* Counts and sizes that no file holds. */
static void claims_are_not_believed(void)
{
    static const guint8 ifd_far[] = {'I', 'I', 42, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0};
    static const guint8 big_ifd_far[24] = {'I', 'I', 43, 0, 8, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const guint8 long_chunk[] = "\x89PNG\r\n\x1a\n\xff\xff\xff\xff"
                                       "eXIfII*\0\x08\0\0\0\x01\0\x12\x01";
    static const guint8 long_exif[] = "\xff\xd8\xff\xe1\xff\xff"
                                      "Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0";
    static const guint8 long_riff[] = "RIFF\xff\xff\xff\xffWEBPEXIF\xff\xff\xff\xffII*\0\x08\0\0\0\xff\xff";

    g_assert_cmpuint(read_bytes(ifd_far, sizeof ifd_far).orientation, ==, 1);
    g_assert_cmpuint(read_bytes(big_ifd_far, sizeof big_ifd_far).orientation, ==, 1);
    g_assert_false(read_bytes(long_chunk, sizeof long_chunk - 1).whole);
    g_assert_false(read_bytes(long_exif, sizeof long_exif - 1).whole);
    g_assert_false(read_bytes(long_riff, sizeof long_riff - 1).whole);
}

/* A decoder makes room by the first size that it meets: one behind that says less. */
static void the_first_size_counts(void)
{
    static const guint8 jpeg[] = "\xff\xd8"
                                 "\xff\xc0\0\x0b\x08\xff\xfe\xff\xfd\1\1\x11\0"
                                 "\xff\xda\0\2\x5a"
                                 "\xff\xc0\0\x0b\x08\0\1\0\2\1\1\x11\0\xff\xd9";
    static const guint8 tiff[] = "II*\0\x08\0\0\0\4\0"
                                 "\0\1\4\0\1\0\0\0\xff\xff\xff\x7f"
                                 "\0\1\3\0\1\0\0\0\2\0\0\0"
                                 "\1\1\x08\0\1\0\0\0\xfe\x7f\0\0"
                                 "\1\1\x09\0\1\0\0\0\3\0\0\0";
    static const guint8 big[] = "II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"
                                "\0\1\x10\0\1\0\0\0\0\0\0\0\xfc\xff\xff\x7f\0\0\0\0"
                                "\1\1\x10\0\1\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0";
    MediaPicture picture = read_bytes(jpeg, sizeof jpeg - 1);

    g_assert_true(picture.whole);
    g_assert_cmpuint(picture.width, ==, 0xfffd);
    g_assert_cmpuint(picture.height, ==, 0xfffe);
    picture = read_bytes(tiff, sizeof tiff - 1);
    g_assert_cmpuint(picture.width, ==, 0x7fffffff);
    g_assert_cmpuint(picture.height, ==, 0x7ffe);
    picture = read_bytes(big, sizeof big - 1);
    g_assert_cmpuint(picture.width, ==, 0x7ffffffc);
    g_assert_cmpuint(picture.height, ==, G_MAXUINT32); /* more than fits is not little */
}

/* From a file, where every read is a call of the system. */
static gdouble seconds_for(const guint8 *data, gsize size)
{
    g_autofree gchar *path = NULL;
    g_autoptr(GTimer) timer = NULL;
    MediaBytes bytes = {.size = size};
    MediaPicture picture;
    gdouble seconds;

    bytes.fd = g_file_open_tmp("gpudl-bytes-XXXXXX", &path, NULL);
    g_assert_cmpint(write(bytes.fd, data, size), ==, (gssize)size);
    timer = g_timer_new();
    media_picture_read(&bytes, &picture);
    seconds = g_timer_elapsed(timer, NULL);
    g_close(bytes.fd, NULL);
    g_unlink(path);
    return seconds;
}

/* Kinds that differ from the files by one byte. */
static void kinds_a_byte_apart_are_told(void)
{
    static const struct {
        const gchar *name;
        gsize at;
        guint8 was, is;
        gboolean rare;
    } changes[] = {
        {"rgb16.png", 25, 2, 0, FALSE},       {"rgb16.png", 25, 2, 6, FALSE},        {"rgb16.png", 24, 16, 8, FALSE},
        {"yuv410.jpg", 82, 0x42, 0x14, TRUE}, {"yuv410.jpg", 82, 0x42, 0x22, FALSE}, {"yuv440.jpg", 75, 8, 12, TRUE},
        {"yuv440.jpg", 85, 0x11, 0x21, TRUE}, {"yuv440.jpg", 72, 0xc0, 0xc2, FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(changes); i++) {
        g_auto(Copy) file = {0};

        load(changes[i].name, &file);
        g_test_message("%s %u", changes[i].name, changes[i].is);
        g_assert_cmphex(file.data[changes[i].at], ==, changes[i].was);
        file.data[changes[i].at] = changes[i].is;
        g_assert_cmpint(read_bytes(file.data, file.size).rare, ==, changes[i].rare);
    }
}

/* A marker behind coded pixels is found wherever it lies within what is read at a time. */
static void long_scans_are_read_to_their_end(void)
{
    static const guint8 head[] = {0xff, 0xd8, 0xff, 0xda, 0, 2}, tail[] = {0xff, 0xd9};

    for (guint n = 65520; n < 65550; n++) {
        g_autoptr(GByteArray) bytes = g_byte_array_new();

        g_byte_array_append(bytes, head, sizeof head);
        g_byte_array_set_size(bytes, sizeof head + n);
        memset(bytes->data + sizeof head, 0x5a, n);
        memcpy(bytes->data + sizeof head + n / 2, "\xff\0\xff\xd3", 4);
        g_byte_array_append(bytes, tail, sizeof tail);
        g_assert_true(read_bytes(bytes->data, bytes->len).whole);
    }
}

/* WebP's with JPEG's prefix; a directory that goes on behind its block is not read there. */
static void exif_keeps_to_its_block(void)
{
    static const guint8 prefixed[] = "RIFF\x28\0\0\0WEBPEXIF\x1c\0\0\0"
                                     "Exif\0\0II*\0\x08\0\0\0\x01\0"
                                     "\x12\x01\x03\0\x01\0\0\0\x03\0\0\0";
    static const guint8 beyond[] = "\xff\xd8\xff\xe1\0\x18"
                                   "Exif\0\0II*\0\x08\0\0\0\x01\0"
                                   "\x12\x01\x03\0\x01\0"
                                   "\0\0\x03\0\0\0";

    g_assert_cmpuint(read_bytes(prefixed, sizeof prefixed - 1).orientation, ==, 3);
    g_assert_cmpuint(read_bytes(beyond, sizeof beyond - 1).orientation, ==, 1);
}

/* 64 MB of segments, chunks or fill bytes as small as they get. */
static void long_files_end_soon(void)
{
    const gsize size = 64 * 1024 * 1024;
    g_autofree guint8 *data = g_malloc(size);

    memset(data, 0xff, size);
    data[1] = 0xd8;
    g_assert_cmpfloat(seconds_for(data, size), <, MAX_SECONDS);
    for (gsize i = 2; i + 4 <= size; i += 4)
        memcpy(data + i, "\xff\xe0\0\2", 4);
    g_assert_cmpfloat(seconds_for(data, size), <, MAX_SECONDS);
    for (gsize i = 2; i + 4 <= size; i += 4)
        memcpy(data + i, "\xff\xda\0\2", 4);
    g_assert_cmpfloat(seconds_for(data, size), <, MAX_SECONDS);
    memcpy(data + 2, "\xff\xda\0\2", 4);
    for (gsize i = 6; i + 2 <= size; i += 2)
        memcpy(data + i, "\xff\0", 2);
    g_assert_cmpfloat(seconds_for(data, size), <, MAX_SECONDS);
    memset(data, 0, size);
    memcpy(data, "\x89PNG\r\n\x1a\n", 8);
    g_assert_cmpfloat(seconds_for(data, size), <, MAX_SECONDS);
    memset(data, 0, size);
    memcpy(data, "RIFF\xff\xff\xff\x03WEBP", 12);
    g_assert_cmpfloat(seconds_for(data, size), <, MAX_SECONDS);
}

/* A stream of pictures, and what phones put behind one. */
static void a_second_picture_makes_a_stream(void)
{
    static const guint8 mpf[] = {0xff, 0xe2, 0, 8, 'M', 'P', 'F', 0, 'I', 'I'};
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_auto(Copy) file = {0};
    MediaPicture picture;

    load("two-pictures.jpg", &file);
    picture = read_bytes(file.data, file.size);
    g_assert_false(picture.single);
    g_assert_true(picture.whole);

    g_byte_array_append(bytes, file.data, 2);
    g_byte_array_append(bytes, mpf, sizeof mpf);
    g_byte_array_append(bytes, file.data + 2, (guint)file.size - 2);
    g_assert_true(read_bytes(bytes->data, bytes->len).single);

    g_byte_array_set_size(bytes, 0);
    g_byte_array_append(bytes, file.data, 779);
    g_byte_array_append(bytes, (const guint8 *)"\0\0\0\0", 4);
    g_byte_array_append(bytes, file.data + 779, (guint)file.size - 779);
    g_assert_false(read_bytes(bytes->data, bytes->len).single);

    g_byte_array_set_size(bytes, 779);
    g_byte_array_append(bytes, (const guint8 *)"ftypmp42: a motion photo", 24);
    g_assert_true(read_bytes(bytes->data, bytes->len).single);
}

static void a_name_tells_a_picture(void)
{
    g_assert_true(media_picture_has_name("/a/b.JPG"));
    g_assert_true(media_picture_has_name("/a/b?.jpg"));
    g_assert_true(media_picture_has_name("c.mpo"));
    g_assert_true(media_picture_has_name("http://host/a.jpeg?size=1#x"));
    g_assert_false(media_picture_has_name("/a/b.mjpeg"));
    g_assert_false(media_picture_has_name("/a.jpg/b"));
    g_assert_false(media_picture_has_name("http://host/stream?name=.jpg"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/media-bytes/" #name, name)
    ADD(every_kind_is_told);
    ADD(every_form_of_tiff_is_read);
    ADD(files_cut_at_every_byte);
    ADD(files_with_bits_flipped);
    ADD(claims_are_not_believed);
    ADD(kinds_a_byte_apart_are_told);
    ADD(long_scans_are_read_to_their_end);
    ADD(exif_keeps_to_its_block);
    ADD(the_first_size_counts);
    ADD(long_files_end_soon);
    ADD(a_second_picture_makes_a_stream);
    ADD(a_name_tells_a_picture);
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/media-picture.h"

#include <string.h>
#include <unistd.h>

/* More than any writer makes; whatever has more is not read to its end. */
#define MAX_SEGMENTS 65536
#define MAX_ENTRIES 4096
/* of one JPEG picture's coded pixels */
#define MAX_SCAN_BYTES (256 * 1024 * 1024)
#define SCAN_BLOCK_BYTES (64 * 1024)
/* zeros and the like between two pictures of a JPEG stream */
#define MAX_PADDING_BYTES 4096

#define WIDTH_TAG 0x0100
#define HEIGHT_TAG 0x0101
#define ORIENTATION_TAG 0x0112
#define GIF_TRAILER 0x3b

enum { BYTE = 1, SHORT = 3, LONG = 4, SBYTE = 6, SSHORT = 8, SLONG = 9, LONG8 = 16, SLONG8 = 17 };

enum { TEM = 0x01, SOF0 = 0xc0, DHT = 0xc4, JPG = 0xc8, DAC = 0xcc, SOF15 = 0xcf, RST0 = 0xd0, RST7 = 0xd7 };
enum { SOI = 0xd8, EOI = 0xd9, SOS = 0xda, APP1 = 0xe1, APP2 = 0xe2 };

/* What fits is read; the number of bytes is returned. */
static gsize read_some(const MediaBytes *bytes, guint64 at, guint8 *to, gsize n)
{
    gsize done = 0;

    if (at >= bytes->size)
        return 0;
    n = (gsize)MIN(n, bytes->size - at);
    if (bytes->fd < 0) {
        memcpy(to, bytes->data + at, n);
        return n;
    }
    while (done < n) {
        gssize got = pread(bytes->fd, to + done, n - done, (off_t)(at + done));

        if (got <= 0)
            break;
        done += (gsize)got;
    }
    return done;
}

/* All n bytes or none. */
static gboolean get(const MediaBytes *bytes, guint64 at, guint8 *to, gsize n)
{
    return read_some(bytes, at, to, n) == n;
}

/* ---- TIFF, and EXIF, which is one -------------------------------------------------------------------------------- */

static guint64 number(const guint8 *p, guint n, gboolean little)
{
    guint64 value = 0;

    for (guint i = 0; i < n; i++)
        value = value << 8 | p[little ? n - 1 - i : i];
    return value;
}

/* What is looked for in a TIFF directory; 0: it is not there. */
typedef struct {
    guint32 width, height, orientation;
} Directory;

/* Of several entries for one tag the first counts, as for libtiff. */
static void take_entry(Directory *directory, guint64 tag, guint64 value)
{
    guint32 *to = tag == WIDTH_TAG         ? &directory->width
                  : tag == HEIGHT_TAG      ? &directory->height
                  : tag == ORIENTATION_TAG ? &directory->orientation
                                           : NULL;

    if (to != NULL && *to == 0 && (tag != ORIENTATION_TAG || value <= 8))
        *to = (guint32)MIN(value, G_MAXUINT32);
}

/* Bytes of a whole number of a TIFF type, 0: it is another type. libtiff takes any of them for a size. */
static guint number_bytes(guint type)
{
    switch (type) {
    case BYTE:
    case SBYTE:
        return 1;
    case SHORT:
    case SSHORT:
        return 2;
    case LONG:
    case SLONG:
        return 4;
    case LONG8:
    case SLONG8:
        return 8;
    default:
        return 0;
    }
}

/* The first one of the TIFF whose header is at start. Offsets count from start, and nothing is read from end on. */
static Directory read_directory(const MediaBytes *bytes, guint64 start, guint64 end)
{
    Directory directory = {0};
    gboolean little, big;
    guint8 p[20];
    guint word, entry_size;
    guint64 at, n;

    if (end - start < 16 || !get(bytes, start, p, 16))
        return directory;
    little = p[0] == 'I';
    big = number(p + 2, 2, little) == 43; /* BigTIFF: 64-bit offsets */
    if (p[0] != p[1] || (p[0] != 'I' && p[0] != 'M') || (!big && number(p + 2, 2, little) != 42))
        return directory;
    at = big ? number(p + 8, 8, little) : number(p + 4, 4, little);
    word = big ? 8 : 2;
    entry_size = big ? 20 : 12;
    if (at > end - start || !get(bytes, start + at, p, word))
        return directory;
    n = MIN(number(p, word, little), MAX_ENTRIES);
    at += start + word;
    for (guint64 i = 0; i < n && at + entry_size <= end && get(bytes, at, p, entry_size); i++, at += entry_size) {
        const guint n_bytes = number_bytes((guint)number(p + 2, 2, little)), room = big ? 8 : 4;

        if (n_bytes > 0 && n_bytes <= room)
            take_entry(&directory, number(p, 2, little), number(p + entry_size - room, n_bytes, little));
    }
    return directory;
}

static void read_exif(const MediaBytes *bytes, guint64 start, guint64 end, MediaPicture *picture)
{
    Directory directory = read_directory(bytes, start, end);

    if (directory.orientation != 0)
        picture->orientation = directory.orientation;
}

static void read_tiff(const MediaBytes *bytes, MediaPicture *picture)
{
    Directory directory = read_directory(bytes, 0, bytes->size);

    picture->width = directory.width;
    picture->height = directory.height;
    if (directory.orientation != 0)
        picture->orientation = directory.orientation;
}

/* ---- JPEG -------------------------------------------------------------------------------------------------------- */

typedef struct {
    MediaPicture *picture;
    gboolean has_frame;  /* its header was met: a second one is an error to libjpeg, and its size that of nothing */
    gboolean photograph; /* carries what belongs to a photograph and not to a frame of a stream */
} Jpeg;

/* jpegdec's result is right for grey and for three components, chroma whole or halved in any direction. */
static void read_jpeg_frame(const MediaBytes *bytes, guint64 at, guint length, Jpeg *jpeg)
{
    guint8 p[6 + 3 * 3];
    guint8 luma;

    if (jpeg->has_frame || length < 6 || !get(bytes, at, p, 6))
        return;
    jpeg->has_frame = TRUE;
    jpeg->picture->height = (guint32)number(p + 1, 2, FALSE);
    jpeg->picture->width = (guint32)number(p + 3, 2, FALSE);
    if (p[5] == 1 && p[0] == 8)
        return;
    if (p[5] != 3 || length < sizeof p || !get(bytes, at, p, sizeof p)) {
        jpeg->picture->rare = TRUE;
        return;
    }
    luma = p[7];
    if (p[0] != 8 || p[10] != 0x11 || p[13] != 0x11 || luma >> 4 > 2 || (luma & 15) > 2)
        jpeg->picture->rare = TRUE;
}

static void read_jpeg_segment(const MediaBytes *bytes, guint8 marker, guint64 at, guint length, Jpeg *jpeg)
{
    guint8 p[12] = {0};

    if (marker >= SOF0 && marker <= SOF15 && marker != DHT && marker != JPG && marker != DAC) {
        read_jpeg_frame(bytes, at, length, jpeg);
        return;
    }
    if (!get(bytes, at, p, MIN(length, sizeof p)))
        return;
    if (marker == APP1 && length > 6 && memcmp(p, "Exif\0", 6) == 0) {
        read_exif(bytes, at + 6, at + length, jpeg->picture);
        jpeg->photograph = TRUE;
    } else if ((marker == APP2 && memcmp(p, "MPF", 4) == 0) || (marker == APP1 && memcmp(p, "http://ns.ad", 12) == 0)) {
        jpeg->photograph = TRUE;
    }
}

/* The first marker after coded pixels that does not belong to them. */
static gboolean skip_scan(const MediaBytes *bytes, guint64 *at)
{
    g_autofree guint8 *block = g_malloc(SCAN_BLOCK_BYTES);
    guint64 limit = *at + MAX_SCAN_BYTES;
    gsize n;

    while (*at < limit && (n = read_some(bytes, *at, block, SCAN_BLOCK_BYTES)) >= 2) {
        const guint8 *p = block;

        while ((p = memchr(p, 0xff, (gsize)(block + n - 1 - p))) != NULL) {
            if (p[1] != 0x00 && p[1] != 0xff && !(p[1] >= RST0 && p[1] <= RST7)) {
                *at += (guint64)(p - block);
                return TRUE;
            }
            p++;
        }
        *at += n - 1; /* the last byte may be the first half of a marker */
    }
    return FALSE;
}

static gboolean another_follows(const MediaBytes *bytes, guint64 at)
{
    g_autofree guint8 *p = g_malloc(MAX_PADDING_BYTES);
    gsize n = read_some(bytes, at, p, MAX_PADDING_BYTES), i = 0;

    while (i < n && (p[i] == 0x00 || (p[i] == 0xff && i + 1 < n && p[i + 1] != SOI)))
        i++;
    return i + 2 < n && p[i] == 0xff && p[i + 1] == SOI && p[i + 2] == 0xff;
}

static void read_jpeg(const MediaBytes *bytes, MediaPicture *picture)
{
    Jpeg jpeg = {.picture = picture};
    guint64 at = 2;
    guint8 p[4];

    for (guint i = 0; i < MAX_SEGMENTS && get(bytes, at, p, 2) && p[0] == 0xff; i++) {
        guint length;

        if (p[1] == 0xff) {
            at++;
            continue;
        }
        if (p[1] == EOI || p[1] == SOI) {
            picture->whole = p[1] == EOI;
            picture->single = picture->whole && !another_follows(bytes, at + 2);
            break;
        }
        if (p[1] == TEM || (p[1] >= RST0 && p[1] <= RST7)) {
            at += 2;
            continue;
        }
        length = get(bytes, at + 2, p + 2, 2) ? (guint)number(p + 2, 2, FALSE) : 0;
        if (length < 2)
            break;
        read_jpeg_segment(bytes, p[1], at + 4, length - 2, &jpeg);
        at += 2 + length;
        if (p[1] == SOS && !skip_scan(bytes, &at))
            break;
    }
    picture->single = picture->single || jpeg.photograph;
}

/* ---- chunks ------------------------------------------------------------------------------------------------------ */

/* pngdec takes 16 bits of red, green and blue for 16 bits of alpha, red, green and blue. */
static void read_png(const MediaBytes *bytes, MediaPicture *picture)
{
    guint64 at = 8;
    guint8 p[10];

    if (get(bytes, at + 8, p, 10)) {
        picture->width = (guint32)number(p, 4, FALSE);
        picture->height = (guint32)number(p + 4, 4, FALSE);
        picture->rare = p[8] == 16 && p[9] == 2;
    }
    for (guint i = 0; i < MAX_SEGMENTS && get(bytes, at, p, 8); i++) {
        guint64 length = number(p, 4, FALSE);

        if (memcmp(p + 4, "eXIf", 4) == 0 && at + 8 + length <= bytes->size)
            read_exif(bytes, at + 8, at + 8 + length, picture);
        at += 12 + length;
        if (memcmp(p + 4, "IEND", 4) == 0) {
            picture->whole = at <= bytes->size;
            return;
        }
    }
}

/* libav's demuxer never ends, and no other element of GStreamer says that it takes GIF. */
static void read_gif(const MediaBytes *bytes, MediaPicture *picture)
{
    guint8 p[4];

    picture->rare = TRUE;
    picture->whole = get(bytes, bytes->size - 1, p, 1) && p[0] == GIF_TRAILER;
    if (!get(bytes, 6, p, 4))
        return;
    picture->width = (guint32)number(p, 2, TRUE);
    picture->height = (guint32)number(p + 2, 2, TRUE);
}

/* Some writers put JPEG's "Exif\0\0" before the TIFF header. */
static void read_webp(const MediaBytes *bytes, MediaPicture *picture)
{
    guint64 at = 12, end;
    guint8 p[8];

    if (!get(bytes, 4, p, 4))
        return;
    end = 8 + number(p, 4, TRUE);
    picture->whole = end <= bytes->size;
    end = MIN(end, bytes->size);
    for (guint i = 0; i < MAX_SEGMENTS && at + 8 <= end && get(bytes, at, p, 8); i++) {
        guint64 length = number(p + 4, 4, TRUE);
        gboolean exif = memcmp(p, "EXIF", 4) == 0;

        at += 8;
        if (memcmp(p, "ANIM", 4) == 0 || memcmp(p, "ANMF", 4) == 0)
            picture->animated = TRUE;
        if (exif && at + length <= end && length > 6 && get(bytes, at, p, 6))
            read_exif(bytes, at + (memcmp(p, "Exif\0", 6) == 0 ? 6 : 0), at + length, picture);
        at += length + (length & 1);
    }
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static MediaPictureType type_of_brand(const guint8 *brand)
{
    static const struct {
        const gchar *brand;
        MediaPictureType type;
    } brands[] = {
        {"heic", MEDIA_PICTURE_HEIC}, {"heix", MEDIA_PICTURE_HEIC}, {"heim", MEDIA_PICTURE_HEIC},
        {"heis", MEDIA_PICTURE_HEIC}, {"mif1", MEDIA_PICTURE_HEIC}, {"avif", MEDIA_PICTURE_AVIF},
    };

    for (guint i = 0; i < G_N_ELEMENTS(brands); i++)
        if (memcmp(brand, brands[i].brand, 4) == 0)
            return brands[i].type;
    return MEDIA_PICTURE_NONE;
}

MediaPictureType media_picture_type(const guint8 *magic, gsize n)
{
    static const struct {
        const gchar *magic;
        guint n;
        MediaPictureType type;
    } magics[] = {
        {"\xff\xd8\xff", 3, MEDIA_PICTURE_JPEG},
        {"\x89PNG\r\n\x1a\n", 8, MEDIA_PICTURE_PNG},
        {"GIF8", 4, MEDIA_PICTURE_GIF},
        {"II*\0", 4, MEDIA_PICTURE_TIFF},
        {"MM\0*", 4, MEDIA_PICTURE_TIFF},
        {"II+\0", 4, MEDIA_PICTURE_TIFF},
        {"MM\0+", 4, MEDIA_PICTURE_TIFF},
        {"\xff\x0a", 2, MEDIA_PICTURE_JXL},
        {"\0\0\0\x0cJXL \r\n\x87\n", 12, MEDIA_PICTURE_JXL},
    };

    for (guint i = 0; i < G_N_ELEMENTS(magics); i++)
        if (n >= magics[i].n && memcmp(magic, magics[i].magic, magics[i].n) == 0)
            return magics[i].type;
    if (n >= 12 && memcmp(magic, "RIFF", 4) == 0 && memcmp(magic + 8, "WEBP", 4) == 0)
        return MEDIA_PICTURE_WEBP;
    if (n >= 12 && memcmp(magic + 4, "ftyp", 4) == 0)
        return type_of_brand(magic + 8);
    return MEDIA_PICTURE_NONE;
}

gboolean media_picture_has_end(MediaPictureType type)
{
    return type == MEDIA_PICTURE_JPEG || type == MEDIA_PICTURE_PNG || type == MEDIA_PICTURE_GIF ||
           type == MEDIA_PICTURE_WEBP;
}

gboolean media_picture_has_name(const gchar *location)
{
    static const gchar *const suffixes[] = {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"};
    gboolean is_address = strstr(location, "://") != NULL;
    g_autofree gchar *name = g_ascii_strdown(location, is_address ? (gssize)strcspn(location, "?#") : -1);

    for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++)
        if (g_str_has_suffix(name, suffixes[i]))
            return TRUE;
    return FALSE;
}

void media_picture_read(const MediaBytes *bytes, MediaPicture *picture)
{
    guint8 magic[MEDIA_PICTURE_MAGIC_BYTES];
    gsize n = read_some(bytes, 0, magic, sizeof magic);

    *picture = (MediaPicture){.type = media_picture_type(magic, n), .orientation = 1};
    picture->single = picture->type != MEDIA_PICTURE_NONE && picture->type != MEDIA_PICTURE_JPEG;
    switch (picture->type) {
    case MEDIA_PICTURE_JPEG:
        read_jpeg(bytes, picture);
        break;
    case MEDIA_PICTURE_PNG:
        read_png(bytes, picture);
        break;
    case MEDIA_PICTURE_GIF:
        read_gif(bytes, picture);
        break;
    case MEDIA_PICTURE_WEBP:
        read_webp(bytes, picture);
        break;
    case MEDIA_PICTURE_TIFF:
        read_tiff(bytes, picture);
        break;
    default:
        break;
    }
}

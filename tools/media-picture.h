/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What a picture file's own bytes say, read without decoding it. No size, offset or count in them is believed. */
#ifndef GPUDL_TOOLS_MEDIA_PICTURE_H
#define GPUDL_TOOLS_MEDIA_PICTURE_H

#include <glib.h>

G_BEGIN_DECLS

/** Bytes that can be read in any order. */
typedef struct {
    int fd;             /* a regular file's, or -1: data */
    const guint8 *data; /* size bytes */
    guint64 size;
} MediaBytes;

typedef enum {
    MEDIA_PICTURE_NONE, /* no picture, or of a kind that needs no look: decoders know it all */
    MEDIA_PICTURE_JPEG,
    MEDIA_PICTURE_PNG,
    MEDIA_PICTURE_GIF,
    MEDIA_PICTURE_WEBP,
    MEDIA_PICTURE_TIFF,
    MEDIA_PICTURE_HEIC,
    MEDIA_PICTURE_AVIF,
    MEDIA_PICTURE_JXL,
} MediaPictureType;

typedef struct {
    MediaPictureType type;
    /** In pixels as stored, of the first picture; 0: not known. JPEG, PNG, GIF and TIFF alone tell. */
    guint32 width, height;
    guint orientation; /* as EXIF counts, 1 to 8; 1 where the file says nothing valid */
    /** One picture, whatever follows it in the file: a gain map, a second view, another page. FALSE: a stream of them
     * (JPEG alone), or it can't be told. */
    gboolean single;
    /** Of the rare kinds that the decoder which GStreamer takes for the type decodes wrongly or not at all. */
    gboolean rare;
    gboolean animated; /* a WebP file */
    /** Nothing is missing at its end. Known of JPEG, PNG, GIF and WebP alone. */
    gboolean whole;
} MediaPicture;

/** Bytes at the beginning by which media_picture_type() tells the type. */
#define MEDIA_PICTURE_MAGIC_BYTES 16

/** Of the first n bytes of a file. */
MediaPictureType media_picture_type(const guint8 *magic, gsize n);
/** TRUE: MediaPicture.whole is known of this type. */
gboolean media_picture_has_end(MediaPictureType type);
/** TRUE: a file or address of this name is a picture by its suffix, though its bytes could be those of a stream. */
gboolean media_picture_has_name(const gchar *location);
/** Reads a few blocks, and a JPEG file up to the end of its first picture. *picture is set in any case. */
void media_picture_read(const MediaBytes *bytes, MediaPicture *picture);

G_END_DECLS
#endif

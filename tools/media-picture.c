/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What only a picture file's own bytes say. */
#include <glib/gstdio.h>
#include <gst/tag/tag.h>
#include <stdio.h>
#include <string.h>

#include "tools/media-internal.h"

/* EXIF comes among the first segments of a JPEG file, each below 64 kB */
#define EXIF_SEARCH_BYTES (256 * 1024)

/* The EXIF block of a JPEG file, after "Exif\0\0", or NULL. decodebin's JPEG decoder does not look at it. */
static GstBuffer *find_exif(const guint8 *data, gsize size)
{
    gsize at = 2;

    if (size < 4 || data[0] != 0xff || data[1] != 0xd8)
        return NULL;
    while (at + 4 <= size && data[at] == 0xff && data[at + 1] != 0xda) {
        gsize length = GST_READ_UINT16_BE(data + at + 2);

        if (length < 2 || length > size - at - 2)
            return NULL;
        if (data[at + 1] == 0xe1 && length > 8 && memcmp(data + at + 4, "Exif\0", 6) == 0)
            return gst_buffer_new_memdup(data + at + 10, length - 8);
        at += 2 + length;
    }
    return NULL;
}

GstVideoOrientationMethod media_picture_orientation(const gchar *path)
{
    GstVideoOrientationMethod turn = GST_VIDEO_ORIENTATION_IDENTITY;
    g_autofree guint8 *head = g_malloc(EXIF_SEARCH_BYTES);
    g_autoptr(GstBuffer) exif = NULL;
    g_autoptr(GstTagList) tags = NULL;
    FILE *file = g_fopen(path, "rb");

    if (file == NULL)
        return turn;
    exif = find_exif(head, fread(head, 1, EXIF_SEARCH_BYTES, file));
    fclose(file);
    if (exif != NULL)
        tags = gst_tag_list_from_exif_buffer_with_tiff_header(exif);
    if (tags != NULL)
        gst_video_orientation_from_tag(tags, &turn);
    return turn;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Pictures and videos as frames, decoded by GStreamer: the only part of the gpudl command that sees GStreamer.
 *
 *     g_autoptr(GpudlMedia) media = gpudl_media_open("street.avi", GPUDL_PIXEL_UNKNOWN, &error);
 *     while ((frame = gpudl_media_next(media, &error)) != NULL) { ...; gpudl_media_frame_free(frame); }
 *     if (error != NULL) ...
 */
#ifndef GPUDL_TOOLS_MEDIA_H
#define GPUDL_TOOLS_MEDIA_H

#include "engine/gpudl.h"

G_BEGIN_DECLS

typedef struct _GpudlMedia GpudlMedia;

/** One decoded frame. frame's pixels stay valid until gpudl_media_frame_free(). */
typedef struct {
    GpudlFrame frame;
    gint64 pts;     /* the stream's time in ns, from 0 at its beginning as players count; -1: none, as for pictures */
    guint64 number; /* from 0 within the file */
    /*< private >*/
    gpointer held;
} GpudlMediaFrame;

/**
 * Opens a file (by path) or anything GStreamer has a source for (by URI, "rtsp://..."). Blocks until the first frame is
 * decoded.
 *
 * Frames come in the format they are decoded to when kernels/frame.h has it, else converted to the nearest one that
 * does; format other than GPUDL_PIXEL_UNKNOWN: converted to that one. An orientation noted in the file (EXIF in JPEG,
 * PNG and WebP, TIFF, MP4) is applied. Only the first video stream is read; sound is not decoded. Of a picture file the
 * first picture is read: not the gain map or second view that a JPEG file has behind it, the first page of a TIFF, the
 * first frame of an animated GIF. A picture at an http address or the like is fetched whole.
 *
 * Errors: NOT_FOUND, OPEN_READ, FORMAT (not a picture or video, damaged), UNSUPPORTED (no decoder: the message names
 * what to install), BACKEND (GStreamer or one of its base plugins is missing). Every message begins with the location.
 */
GpudlMedia *gpudl_media_open(const gchar *location, GpudlPixelFormat format, GError **error);
/** Frames handed out may outlive the media. */
void gpudl_media_free(GpudlMedia *media);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlMedia, gpudl_media_free)

/** The next frame, to be freed by the caller; NULL without error at the end. Blocks. After an error or the end every
 * call gives that again. Errors as gpudl_media_open(). */
GpudlMediaFrame *gpudl_media_next(GpudlMedia *media, GError **error);
void gpudl_media_frame_free(GpudlMediaFrame *frame);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlMediaFrame, gpudl_media_frame_free)

/** What decodes the media in a description for gst-launch-1.0, to be put behind a source of its bytes. Freed by the
 * caller. */
gchar *gpudl_media_describe_decoding(GpudlMedia *media);

/* ---- for diagnostics --------------------------------------------------------------------------------------------- */

/** "GStreamer 1.22.0", or NULL with BACKEND if GStreamer can't be started. */
const gchar *gpudl_media_version(GError **error);
/** TRUE if an element of this name can be made. *plugin_version and *file (may be NULL; freed by the caller) are set to
 * its plugin's version and file. */
gboolean gpudl_media_has_element(const gchar *name, gchar **plugin_version, gchar **file);
/** TRUE if some decoder takes these caps ("image/jpeg"); *name (may be NULL, freed by the caller): the one taken first.
 */
gboolean gpudl_media_has_decoder(const gchar *caps, gchar **name);
/** Debian's package for a caps name ("video/x-h264"), a text for people; NULL if not known. Static. */
const gchar *gpudl_media_package_for(const gchar *caps_name);

G_END_DECLS
#endif

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

/** What an end or an error of a live source means for a new attempt; docs/live.md has the rule. */
typedef enum {
    GPUDL_MEDIA_FINAL,         /* waiting does not mend it */
    GPUDL_MEDIA_AGAIN_IF_SEEN, /* mistyped, if it has never given a picture */
    GPUDL_MEDIA_AGAIN,
} GpudlMediaRetry;

/** How an address is watched. All fields may be 0. */
typedef struct {
    gboolean newest;           /* a live source's frames that are not taken in time are dropped for newer ones */
    guint silence_ms;          /* without a picture for so long, a live source has gone; 0: it never has */
    GCancellable *cancellable; /* ends all waiting, with CANCELLED; borrowed, has to outlive the media */
} GpudlMediaWatch;

/** gpudl_media_open() with more to say. *live (may be NULL) and *retry (may be NULL) are set on failure as well:
 * whether it is known to be a live source, one that gives frames as time goes by, and what the failure means. */
GpudlMedia *gpudl_media_open_watched(const gchar *location, const GpudlMediaWatch *watch, gboolean *live,
                                     GpudlMediaRetry *retry, GError **error);
gboolean gpudl_media_is_live(GpudlMedia *media);
/** TRUE: a picture whose file lacks its end, so that a decoder may have filled the rest with anything. */
gboolean gpudl_media_is_cut(GpudlMedia *media);
/** After gpudl_media_next() has returned NULL; the end of a live source is AGAIN. */
GpudlMediaRetry gpudl_media_get_retry(GpudlMedia *media);
/** Frames that newer ones have replaced; their numbers are left out. */
guint64 gpudl_media_get_n_dropped(GpudlMedia *media);

/** What is to be said of somebody who does not keep pace with a live source. */
typedef struct {
    double asked, reached; /* frames/s; asked 0: not known, but more than reached */
    gboolean reader;       /* answers are there in time, and whoever reads them is slow */
} GpudlMediaPace;

/** From now on each frame that gpudl_media_next() returns is answered, n_at_once of them at once; before an answer is
 * waited for, and after each answer, that is told. Thread-safe. */
void gpudl_media_expect_answers(GpudlMedia *media, guint n_at_once);
void gpudl_media_await(GpudlMedia *media);
void gpudl_media_answer(GpudlMedia *media);
/** TRUE: a live source is not kept pace with, for 2 s, as video/pace.h has it; once, until it has been for 10 s. */
gboolean gpudl_media_take_behind(GpudlMedia *media, GpudlMediaPace *pace);

/** Frames handed out may outlive the media. */
void gpudl_media_free(GpudlMedia *media);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlMedia, gpudl_media_free)

/** The next frame, to be freed by the caller; NULL without error at the end. Blocks. After an error or the end every
 * call gives that again. Errors as gpudl_media_open(). */
GpudlMediaFrame *gpudl_media_next(GpudlMedia *media, GError **error);
/** The location as messages have it: without the user and password of an address. Freed by the caller. */
gchar *gpudl_media_shown(const gchar *location);
/** Whether within so many ms gpudl_media_next() has something to return. */
gboolean gpudl_media_wait(GpudlMedia *media, guint ms);
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
/** Names of elements, by comma, freed by the caller; NULL if there are none. Those that decode video with NVDEC, and
 * those of other plugins than ours that hand over frames in CUDA memory. */
gchar *gpudl_media_list_nvdec(void);
gchar *gpudl_media_list_cuda(void);
/** Debian's package for a caps name ("video/x-h264"), a text for people; NULL if not known. Static. */
const gchar *gpudl_media_package_for(const gchar *caps_name);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What the files of media.h share. */
#ifndef GPUDL_TOOLS_MEDIA_INTERNAL_H
#define GPUDL_TOOLS_MEDIA_INTERNAL_H

#include <gst/gst.h>
#include <gst/video/video.h>

#include "tools/media-picture.h"
#include "tools/media.h"
#include "video/pace.h"

G_BEGIN_DECLS

/* The decoder that collects a whole picture before it decodes. What it takes depends on gdk-pixbuf's loaders; its pad
 * template names a part of that. */
#define COLLECTING_DECODER "gdkpixbufdec"

/* A file of which nothing more is read and comes for so long is given up: no frame takes its decoder longer. Large
 * pictures have longer. */
#define MEDIA_STALL_SECONDS 10

struct _GpudlMedia {
    gchar *location, *uri;
    gchar *path; /* of a regular file, else NULL */
    GpudlPixelFormat format;
    MediaPicture picture;
    GBytes *fetched;                  /* the whole of a picture that is no file, else NULL */
    gboolean collect;                 /* COLLECTING_DECODER gets the bytes as they are; nothing is plugged by type */
    GstVideoOrientationMethod turned; /* what the pipeline does about it */
    GstElement *pipeline, *head, *sink;
    guint64 n_frames;
    GpudlMediaWatch watch;
    gulong cancelled_id;

    GMutex lock;
    GCond changed;
    /* under lock, written by streaming threads */
    guint n_queued;
    guint64 n_dropped;
    guint n_taken;   /* and not answered */
    guint n_at_once; /* run on the network; 0: nobody tells of answers */
    guint64 n_arrived;
    GstClockTime first_arrival;
    GpudlPace pace;
    GpudlMediaPace behind; /* to be said if is_behind */
    gboolean is_behind;
    gboolean live;   /* gives frames as time goes by */
    gboolean silent; /* the failure is that nothing came for watch.silence_ms */
    gboolean no_host, refused_tls;
    gchar *reason; /* what the failure's poster says beyond its title; may be NULL */
    gboolean ended, linked;
    guint64 furthest;               /* byte of the file that was read */
    GstVideoOrientationMethod turn; /* how the stream's tags want it turned */
    GError *failure;                /* first error of the pipeline, as GStreamer words it */
    gchar *decoder;                 /* the last one tried for pictures, and its input's caps name */
    gchar *decoder_caps;
    gboolean stalled;
    gboolean empty; /* all streams are there, and none is of pictures; errors that follow are about not being linked */
    gboolean recognised;  /* it comes from a parser or decoder: the type of the content was known */
    gboolean unreachable; /* it comes from a source that is no file: what it says is about the network */
    gchar *missing_name;  /* what has no decoder, for people, and its caps name */
    gchar *missing_caps;
};

/* ---- media-diagnostics.c ----------------------------------------------------------------------------------------- */

/** Starts GStreamer once; FALSE with BACKEND if it can't be. */
gboolean media_ensure_gstreamer(GError **error);

/* ---- media-pipeline.c -------------------------------------------------------------------------------------------- */

/** Makes the pipeline, in place of one that is there, and starts it. Errors: BACKEND, an element is missing. */
gboolean media_build(GpudlMedia *self, GError **error);
void media_tear_down(GpudlMedia *self);

/* ---- media-pace.c ------------------------------------------------------------------------------------------------ */

/** Looks at what arrives at the sink of a pipeline that is made. */
void media_pace_watch(GpudlMedia *self);
/** Under the lock. What arrived has been given room. */
void media_pace_admit(GpudlMedia *self);

/* ---- media-errors.c ---------------------------------------------------------------------------------------------- */

/** Sync handler of the pipeline's bus: notes what goes wrong, in whatever thread posts it. */
GstBusSyncReply media_on_message(GstBus *bus, GstMessage *message, gpointer media);
/** Takes failure over; the first one counts. source (may be NULL): what posted it. */
void media_note_failure(GpudlMedia *self, GError *failure, GstObject *source);
/** The same; debug (may be NULL) is the message's. */
void media_note_message(GpudlMedia *self, GError *failure, const gchar *debug, GstObject *source);
/** The last one counts. caps_name: what it gets; may be NULL. */
void media_note_decoder(GpudlMedia *self, const gchar *name, const gchar *caps_name);
/** Under the lock. No frame, no end and no byte read for so long. */
void media_note_stall(GpudlMedia *self, guint seconds);
/** Under the lock. A live source gives no picture for watch.silence_ms. */
void media_note_silence(GpudlMedia *self);
/** Not under the lock. Where the failure is that an address can't be reached, finds out why: sources keep that to
 * themselves. */
void media_find_reason(GpudlMedia *self);
/** Under the lock. */
GpudlMediaRetry media_judge_failure(GpudlMedia *self);
/** Under the lock. Words what was noted; always sets an error. */
void media_say_failure(GpudlMedia *self, GError **error);

/* ---- media-fetch.c --------------------------------------------------------------------------------------------- */

/** The whole of a picture at an address that gives the same bytes each time (http, https and the like). NULL without
 * error if there is none, and if it can't be had: whoever opens the address then is told why. NULL with UNSUPPORTED if
 * it is larger than what is kept in memory. */
GBytes *media_fetch_picture(const gchar *uri, GError **error);

G_END_DECLS
#endif

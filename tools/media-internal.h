/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What the files of media.h share. */
#ifndef GPUDL_TOOLS_MEDIA_INTERNAL_H
#define GPUDL_TOOLS_MEDIA_INTERNAL_H

#include <gst/gst.h>
#include <gst/video/video.h>

#include "tools/media.h"

G_BEGIN_DECLS

/* The decoder that collects a whole picture before it decodes. */
#define COLLECTING_DECODER "gdkpixbufdec"

struct _GpudlMedia {
    gchar *location, *uri;
    GpudlPixelFormat format;
    GstVideoOrientationMethod turned; /* what the pipeline does about it */
    GstElement *pipeline, *head, *sink;
    guint64 n_frames;

    GMutex lock;
    GCond changed;
    /* under lock, written by streaming threads */
    guint n_queued;
    gboolean ended, linked;
    GstVideoOrientationMethod turn; /* how the stream's tags want it turned */
    GError *failure;                /* first error of the pipeline, as GStreamer words it */
    gboolean decoding;              /* a decoder of pictures was found for something in it */
    gboolean recognised;            /* it comes from a parser or decoder: the type of the content was known */
    gboolean unreachable;           /* it comes from a source that is no file: what it says is about the network */
    gchar *missing_name;            /* what has no decoder, for people, and its caps name */
    gchar *missing_caps;
};

/* ---- media-diagnostics.c ----------------------------------------------------------------------------------------- */

/** Starts GStreamer once; FALSE with BACKEND if it can't be. */
gboolean media_ensure_gstreamer(GError **error);

/* ---- media-pipeline.c -------------------------------------------------------------------------------------------- */

/** Makes the pipeline, in place of one that is there, and starts it. Errors: BACKEND, an element is missing. */
gboolean media_build(GpudlMedia *self, GError **error);
void media_tear_down(GpudlMedia *self);

/* ---- media-errors.c ---------------------------------------------------------------------------------------------- */

/** Sync handler of the pipeline's bus: notes what goes wrong, in whatever thread posts it. */
GstBusSyncReply media_on_message(GstBus *bus, GstMessage *message, gpointer media);
/** Takes failure over; the first one counts. source (may be NULL): what posted it. */
void media_note_failure(GpudlMedia *self, GError *failure, GstObject *source);
/** Under the lock. Words what was noted; always sets an error. */
void media_say_failure(GpudlMedia *self, GError **error);

/* ---- media-picture.c --------------------------------------------------------------------------------------------- */

/** How the EXIF block of a JPEG file wants the picture turned; identity for all else. */
GstVideoOrientationMethod media_picture_orientation(const gchar *path);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The pipeline a user would write: ... ! gpudlinfer ! gpudloverlay ! ..., run to its end, with what it attached to each
 * frame read on the way.
 */
#ifndef GPUDL_TOOLS_DEMO_ANNOTATE_H
#define GPUDL_TOOLS_DEMO_ANNOTATE_H

#include "engine/gpudl.h"

G_BEGIN_DECLS

/** A way to write videos with what GStreamer's base and good plugins have. */
typedef struct {
    const gchar *suffix;      /* ".webm" */
    const gchar *description; /* "vp8enc ... ! webmmux" */
    const gchar *elements[3]; /* that it needs; NULL-terminated */
} VideoEncoder;

typedef enum {
    VIDEO_ENCODER_EXACT, /* each frame by itself, little loss: for films that are classified again */
    VIDEO_ENCODER_SHOWN  /* small, and opens in every browser and player */
} VideoEncoderUse;

/** The best one installed; static. NULL with BACKEND if none is. */
const VideoEncoder *video_encoder_find(VideoEncoderUse use, GError **error);

/**
 * TRUE if a window can be opened: *there says whether a display is (environment variables DISPLAY, WAYLAND_DISPLAY).
 * BACKEND if one is but no element that opens windows on it: without them autovideosink takes sinks that need the bare
 * screen, and those fail in ways of their own.
 */
gboolean window_check(gboolean *there, GError **error);

/** One class as attached to a frame. The label belongs to the metadata. */
typedef struct {
    guint32 id;
    const gchar *label;
    double confidence;
} SeenClass;

/** A frame that left gpudlinfer. */
typedef struct {
    guint64 number;  /* from 0 */
    gint64 pts;      /* the stream's time in ns, -1: none */
    guint n_classes; /* 0: the frame carries no label */
    SeenClass classes[5];
} SeenFrame;

/** Called for each frame, in order, from a streaming thread; frame is valid during the call. */
typedef void (*SeenFunc)(const SeenFrame *frame, gpointer user_data);

/** Frames that went in, that carried a label after gpudlinfer, that came to the end. */
typedef struct {
    guint64 n_in, n_labelled, n_out;
    gboolean interrupted; /* by SIGINT: frames may be missing at the end */
} AnnotateCounts;

typedef struct {
    const gchar *input; /* file, /dev/video*, or a URI */
    const gchar
        *still; /* a single picture in a file: what decodes it, see gpudl_media_describe_decoding(); else NULL */
    const gchar *model;
    const gchar *backend; /* NULL: auto */
    const gchar *output;  /* file to write; NULL: a window */
    SeenFunc seen;
    gpointer user_data;
} AnnotateJob;

/**
 * Runs until the end of the input, or until the window is closed or SIGINT comes: the file is finished with the frames
 * that gpudlinfer has taken by then; a second SIGINT does not wait for that. A file that no frame came for is removed.
 * *text (may be NULL, freed by the caller) is the pipeline as gst-launch-1.0 takes it.
 * Errors: BACKEND (an element is missing: the message says what to install), FAILED with the pipeline's own message.
 */
gboolean annotate_run(const AnnotateJob *job, AnnotateCounts *counts, gchar **text, GError **error);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Random storm over pipelines of gpudlinfer: what its parts share. One thread does one random thing after the other to
 * many branches
 *
 *     videotestsrc ! capsfilter ! tee ! queue ! gpudlinfer ! fakesink      tee ! queue ! fakesink
 *
 * and probes around gpudlinfer see that no buffer is lost, doubled, reordered, foreign or bare, and that each has the
 * result of its own picture.
 */
#ifndef TESTS_STORM_H
#define TESTS_STORM_H

#include <gst/gst.h>

/** Of the command line. */
typedef struct {
    const gchar *model, *labels; /* three classes, see branch.c */
    const gchar *backend;        /* "all": of each branch another */
    const gchar *element;        /* "gpudlinfer", or what stands in its place to see what the storm itself does wrong */
    gint seconds, seed, streams;
    gboolean verbose;
} StormOptions;

extern StormOptions storm;
/** Something else in gpudlinfer's place? */
gboolean storm_is_control(void);

/** Says what is wrong and counts it; many make an end of the process. */
void storm_bad(const gchar *format, ...) G_GNUC_PRINTF(1, 2);
/** What is not ours to mend. */
void storm_note(const gchar *format, ...) G_GNUC_PRINTF(1, 2);
/** The storm does this now: a watchdog ends the process if it does so for a minute. */
void storm_begin(const gchar *what);

/* ---- branches ---------------------------------------------------------------------------------------------------- */

typedef struct _Branch Branch;

struct _Branch {
    GstElement *bin, *source, *caps, *queue, *infer, *sink;
    guint number;
    gboolean calm;  /* nobody changes caps or properties: pictures are drawn and results are looked at */
    gboolean eos;   /* the storm has ended the stream */
    gint want_eos;  /* atomic: the streaming thread is to do so */
    gint want_seek; /* atomic: 1: the thread that gpudlinfer pushes with is to seek; 2: it does */

    GMutex lock;
    guint64 next_in;   /* serial of the next buffer */
    gint64 last_out;   /* -1: none came yet */
    guint64 epoch;     /* counts disturbances: buffers of one epoch all arrive */
    gboolean unlinked; /* each buffer is of an epoch of its own */
    guint64 last_epoch;
    gboolean eos_out;
    GQueue *trace; /* of gchar*, the last things that happened */
};

/** In a bin of its own, in a pipeline or to be put in one. */
Branch *branch_new(GRand *rand, gboolean calm);
/** Stops it and takes it out of its pipeline. */
void branch_stop(Branch *branch);
/** Once its elements are gone. */
void branch_free(Branch *branch);
/** Buffers may be lost about now. */
void branch_disturb(Branch *branch);
/** From now on there is no link behind gpudlinfer, or one again. */
void branch_set_unlinked(Branch *branch, gboolean unlinked);
/** Remembers what happened. */
void branch_trace(Branch *branch, const gchar *format, ...) G_GNUC_PRINTF(2, 3);
/** A caps filter of another format and size. */
void branch_set_random_caps(Branch *branch, GRand *rand);
/** Flushing seeks by pads: gst_element_send_event() takes the state lock, with which GStreamer itself deadlocks now and
 * then. */
void branch_seek(Branch *branch, gboolean from_sink);
/** The same in the thread that gpudlinfer pushes with, if it does so soon. */
void branch_seek_from_below(Branch *branch);
guint64 branch_count_buffers(void);

/* ---- operations -------------------------------------------------------------------------------------------------- */

typedef struct {
    GstElement *pipeline;
    GPtrArray *branches; /* of Branch */
} StormPipeline;

void pipeline_begin(StormPipeline *pipeline, GRand *rand, guint n_branches);
void pipeline_end(StormPipeline *pipeline);
/** Does something to it. */
void operation_run(StormPipeline *pipeline, GRand *rand);
/** "seek 12, flush 7, ...", freed by the caller. */
gchar *operation_counts(void);
void storm_set_state(GstElement *element, GstState state);

#endif

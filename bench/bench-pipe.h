/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of bench-pipe have in common; bench-pipe.c says what each measures. */
#ifndef GPUDL_BENCH_PIPE_H
#define GPUDL_BENCH_PIPE_H

#include <gst/gst.h>
#include <time.h>

typedef struct {
    gchar *source; /* what comes before the place, as gst-launch-1.0 has it; "%u" in it is the stream's number */
    gchar *place;  /* the element that is measured, with its properties */
    gchar *caps;   /* of the frames that are pushed or copied */
    gchar *memory; /* "pool": what the place proposes, "malloc", "pinned" (copies alone) */
    gchar *shared; /* file of the frames that are handed to another program */
    gint streams;
    gint warmup;  /* frames of each stream that are not counted */
    gint buffers; /* filled buffers of a stream; frames that the shared file has place for */
} PipeOptions;

typedef struct {
    GstElement *place, *end;
    gint frames; /* atomic: have reached the end */
} PipeStream;

/* Chains side by side in one pipeline; stopped where it was made. */
typedef struct {
    GstElement *pipeline;
    PipeStream *streams;
    guint n;
} PipeRun;

/* What was counted between two moments. */
typedef struct {
    gint64 ns;
    guint64 frames;    /* of all streams */
    gint first, after; /* stream 0: number of the first frame, and of the one after the last */
} PipeWindow;

static inline gint64 pipe_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * G_GINT64_CONSTANT(1000000000) + t.tv_nsec;
}

/* NULL and error where the pipeline can't be made. */
PipeRun *pipe_run_new(const PipeOptions *options, GError **error);
void pipe_run_free(PipeRun *run);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PipeRun, pipe_run_free)

/* The element of stream i whose name begins so; the caller unrefs it. NULL: there is none. */
GstElement *pipe_run_get(PipeRun *run, const gchar *name, guint i);

/* Plays, waits until each stream has had its warm-up, and counts for so long. FALSE and error if the pipeline fails,
 * ends before, or stands still. It goes on playing. */
gboolean pipe_run_measure(PipeRun *run, const PipeOptions *options, gdouble seconds, PipeWindow *window,
                          GError **error);

/* Prints one object of what was counted and, where the place has it, of its statistics. more: further members, or "".
 */
void pipe_run_print(PipeRun *run, const PipeWindow *window, const gchar *more);

/* The modes: one turn of so many seconds, told as one object on standard output. */
gboolean pipe_rate(const PipeOptions *options, gdouble seconds, GError **error);
gboolean pipe_delay(const PipeOptions *options, gdouble seconds, GError **error);
gboolean pipe_push(const PipeOptions *options, gdouble seconds, GError **error);
gboolean pipe_copy(const PipeOptions *options, gdouble seconds, GError **error);
/* Until standard input ends. */
gboolean pipe_frames(const PipeOptions *options, GError **error);

#endif

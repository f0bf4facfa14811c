/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Buffers and serialized events on their way through gpudlinfer, in order, each
 * buffer with a slot that has its request.
 *
 * Two threads meet here: the sink pad's streaming thread appends (reserve,
 * commit, append_event) and drains or settles; the source pad's task takes from
 * the head (wait_head, pop). set_flushing() may come from anywhere and lets go of
 * both, set_playing() comes with changes of state and lets go of settle().
 */
#ifndef __GST_GPUDL_FIFO_H__
#define __GST_GPUDL_FIFO_H__

#include <gst/gst.h>

#include "gstgpudlframe.h"

G_BEGIN_DECLS

/** Events that may wait at once, whatever the depth. */
#define GST_GPUDL_FIFO_EVENTS 64

/** What a buffer occupies while it is in the FIFO. */
typedef struct
{
  GstGpudlFrame frame;          /* mapped while the request may read it */
  gdouble region[4];            /* x, y, width, height of what the network sees,
                                 * in 0..1 */
  GpudlRequest *request;        /* the slot's own, used again and again */
  gboolean submitted;           /* the request is the buffer's */
  gint64 arrived;               /* g_get_monotonic_time(), us */
} GstGpudlSlot;

/** A buffer or an event. */
typedef struct
{
  GstBuffer *buffer;            /* one of these two, NULL once handed on */
  GstEvent *event;
  GstGpudlSlot *slot;           /* of a buffer */
  gboolean prerolls;            /* what a sink keeps until it plays: a buffer, a
                                 * gap */
} GstGpudlItem;

typedef struct
{
  /* Lock order: stream lock of the sink pad (streaming thread) or of the source
   * pad (its task) -> this one -> locks of a session (requests are made,
   * cancelled and freed under it), object lock of the source pad and lock of its
   * task. The element's object lock is never held together with this one.
   * Not under it: pushing or freeing a buffer or an event, submitting or waiting
   * for a request, posting a message, pausing the task from another thread,
   * which waits for the task. Not called in here from: a request's callback,
   * code that holds the object lock of a pad or an element. */
  GMutex lock;
  GCond cond;                   /* anything below has changed */
  GstGpudlItem *items;          /* ring of depth + GST_GPUDL_FIFO_EVENTS */
  guint head, n_items;          /* with the item being pushed */
  guint n_preroll;              /* those that preroll */
  GstGpudlSlot *slots;          /* ring of depth */
  guint depth, first_slot, n_buffers;
  gboolean busy;                /* the head is in somebody's hands */
  GThread *holder;              /* while busy: whose; may be gone otherwise */
  gboolean outlived;            /* while busy: start() has come meanwhile */
  gboolean reserved;            /* the slot after the last one is, too */
  gboolean flushing;
  gboolean playing;             /* as set_playing() has said */
  gboolean has_left;            /* a buffer has left since start() */
  gboolean gave_up;             /* settle() has, and nobody has been told yet */
  GstFlowReturn result;         /* of the last push; sticks until start() */
  GstFlowReturn forgiven;       /* while busy: the result that does not stick */
} GstGpudlFifo;

/** Starts flushing and without slots. */
void gst_gpudl_fifo_init (GstGpudlFifo * fifo);
void gst_gpudl_fifo_clear (GstGpudlFifo * fifo);

/** Makes depth (at least 1) slots with requests of this stream; close() frees
 * them, and does nothing when there are none. Both while flushing or empty, and
 * with no append under way. */
void gst_gpudl_fifo_open (GstGpudlFifo * fifo, guint depth,
    GpudlStream * stream);
void gst_gpudl_fifo_close (GstGpudlFifo * fifo);

/* What comes in from here on to settle() meets FLUSHING, too, where the FIFO is not
 * open. */

/** Waits for a free slot. GST_FLOW_OK and the slot, which is the caller's until
 * commit() or fail(); else FLUSHING or the result that the source pad stopped
 * with. */
GstFlowReturn gst_gpudl_fifo_reserve (GstGpudlFifo * fifo,
    GstGpudlSlot ** slot);

/** Appends the buffer, which it takes, with the slot. */
void gst_gpudl_fifo_commit (GstGpudlFifo * fifo, GstBuffer * buffer);

/** In place of commit(): gives the slot back and makes result stick, as if a
 * push had returned it. */
void gst_gpudl_fifo_fail (GstGpudlFifo * fifo, GstFlowReturn result);

/** Appends an event, waiting where GST_GPUDL_FIFO_EVENTS are. It is taken with
 * GST_FLOW_OK; other results as reserve()'s. */
GstFlowReturn gst_gpudl_fifo_append_event (GstGpudlFifo * fifo,
    GstEvent * event);

/** Waits until everything has been pushed. FLUSHING, the FIFO's own or the
 * result of a push, leaves the items where they are; after another result the
 * buffers, which nobody takes any more, are dropped, and events that stick are
 * left to the source pad for whoever is linked next. */
GstFlowReturn gst_gpudl_fifo_drain (GstGpudlFifo * fifo, GstPad * pad);

/** As drain() while frames flow: in PLAYING, from the first buffer on that has
 * left since start(). Else a sink may keep what it gets first, and may do so for
 * somebody who waits in here: FALSE, where there is such a one then, or is still
 * when PLAYING ends. What drain() would return is in result. */
gboolean gst_gpudl_fifo_settle (GstGpudlFifo * fifo, GstPad * pad,
    GstFlowReturn * result);

/** TRUE, from this or from pop(), and once: frames flow now, and settle() has
 * given up before. */
gboolean gst_gpudl_fifo_set_playing (GstGpudlFifo * fifo, gboolean playing);

/** Waits for an item, which is the caller's until pop(). FALSE while flushing or
 * after a bad result: the pad's task has been paused then. */
gboolean gst_gpudl_fifo_wait_head (GstGpudlFifo * fifo, GstPad * pad,
    GstGpudlItem ** item);
/** For who has it: start() has come meanwhile, in this thread, and nobody wants the
 * item any more. */
gboolean gst_gpudl_fifo_is_outlived (const GstGpudlFifo * fifo);
/** The item's buffer or event has been handed on or dropped. TRUE: as by
 * set_playing(). */
gboolean gst_gpudl_fifo_pop (GstGpudlFifo * fifo, GstFlowReturn result);

/** The slot's request has been waited for: unmaps the buffer's frame. FALSE, with
 * the buffer forgotten for ever, where the device may still read it. */
gboolean gst_gpudl_slot_release (GstGpudlSlot * slot, GstBuffer ** buffer);

/** Lets go of all who wait, and takes back requests that do not run yet. */
void gst_gpudl_fifo_set_flushing (GstGpudlFifo * fifo);

/** While flushing: waits until no item is in anybody's hands, but not beyond end
 * (g_get_monotonic_time(), us). FALSE: one still is. */
gboolean gst_gpudl_fifo_wait_idle (GstGpudlFifo * fifo, gint64 end);

/**
 * gst_gpudl_fifo_start:
 * @pad: the source pad
 * @func: its task's function
 *
 * Drops all items, waiting for requests that run (events that stick are left to
 * the pad), takes buffers again and starts the pad's task, unless the pad is not
 * active (any more): a flush may meet a shutdown, and a task on an inactive pad
 * would be waited for in vain. In the task's own thread, where a flush comes from a
 * probe or a callback below its push, the item in its hands stays, and counts no
 * more: result is of what comes after. Whoever deactivates the pad calls set_flushing()
 * after it has become inactive and before stopping the task, so that one of both
 * sees the other. No append is under way. FALSE: the pad is inactive, and the
 * FIFO still flushing.
 */
gboolean gst_gpudl_fifo_start (GstGpudlFifo * fifo, GstPad * pad,
    GstTaskFunction func);

/** If result is this one, forgets it and wakes the pad's task up again. If the
 * push under way returns it, that does not stick: it may have begun before what
 * is forgiven for. */
void gst_gpudl_fifo_forgive (GstGpudlFifo * fifo, GstFlowReturn result,
    GstPad * pad, GstTaskFunction func);

gboolean gst_gpudl_fifo_is_flushing (GstGpudlFifo * fifo);
GstFlowReturn gst_gpudl_fifo_get_result (GstGpudlFifo * fifo);
/** Buffers in it, with the one being pushed. */
guint gst_gpudl_fifo_get_count (GstGpudlFifo * fifo);

G_END_DECLS

#endif /* __GST_GPUDL_FIFO_H__ */

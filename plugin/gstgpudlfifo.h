/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Buffers on their way through gpudlinfer, in order, each with its request.
 *
 * Two threads meet here: the sink pad's streaming thread appends (reserve,
 * commit) and drains; the source pad's task takes from the head (wait_head,
 * pop). set_flushing() may come from anywhere and lets go of both.
 */
#ifndef __GST_GPUDL_FIFO_H__
#define __GST_GPUDL_FIFO_H__

#include <gst/gst.h>

#include "gstgpudlframe.h"
#include "gstgpudlsettings.h"

G_BEGIN_DECLS

typedef struct
{
  GstBuffer *buffer;            /* NULL once it has been handed on */
  GstGpudlFrame frame;          /* mapped while the request may read it */
  GpudlRequest *request;        /* the slot's own, used again and again */
  gboolean submitted;           /* the request is buffer's */
  gint64 arrived;               /* g_get_monotonic_time(), us */
} GstGpudlItem;

typedef struct
{
  GMutex lock;
  GCond cond;                   /* anything below has changed */
  GstGpudlItem items[GST_GPUDL_MAX_DEPTH];      /* ring */
  guint depth, head, count;     /* count includes the item being pushed */
  gboolean busy;                /* the head is in somebody's hands */
  gboolean reserved;            /* an append is under way */
  gboolean flushing;
  GstFlowReturn result;         /* of the last push; sticks until reset */
} GstGpudlFifo;

/** Starts flushing and without slots. */
void gst_gpudl_fifo_init (GstGpudlFifo * fifo);
void gst_gpudl_fifo_clear (GstGpudlFifo * fifo);

/** Makes depth (1..GST_GPUDL_MAX_DEPTH) slots with requests of this stream;
 * close() frees them, and does nothing when there are none. Both while flushing
 * or empty, and with no append under way. */
void gst_gpudl_fifo_open (GstGpudlFifo * fifo, guint depth,
    GpudlStream * stream);
void gst_gpudl_fifo_close (GstGpudlFifo * fifo);

/** Waits for a free slot. GST_FLOW_OK and the slot, which is the caller's until
 * commit(); else FLUSHING or the result that the source pad stopped with. */
GstFlowReturn gst_gpudl_fifo_reserve (GstGpudlFifo * fifo,
    GstGpudlItem ** item);
void gst_gpudl_fifo_commit (GstGpudlFifo * fifo);

/** Waits until everything has been pushed. FLUSHING leaves the items where they
 * are; after another result the items, which nobody takes any more, are
 * dropped. */
GstFlowReturn gst_gpudl_fifo_drain (GstGpudlFifo * fifo);

/** Waits for an item, which is the caller's until pop(). FALSE while flushing or
 * after a bad result: the pad's task has been paused then. */
gboolean gst_gpudl_fifo_wait_head (GstGpudlFifo * fifo, GstPad * pad,
    GstGpudlItem ** item);
void gst_gpudl_fifo_pop (GstGpudlFifo * fifo, GstFlowReturn result);

/** In place of commit(): gives the slot back and makes result stick, as if a
 * push had returned it. */
void gst_gpudl_fifo_fail (GstGpudlFifo * fifo, GstFlowReturn result);

/** Lets go of all who wait, and takes back requests that do not run yet. */
void gst_gpudl_fifo_set_flushing (GstGpudlFifo * fifo);

/**
 * gst_gpudl_fifo_start:
 * @pad: the source pad
 * @func: its task's function
 *
 * Drops all items, waiting for requests that run, takes buffers again and starts
 * the pad's task, unless the pad is not active (any more): a flush may meet a
 * shutdown, and a task on an inactive pad would be waited for in vain. Whoever
 * deactivates the pad calls set_flushing() after it has become inactive and
 * before stopping the task, so that one of both sees the other. No append is
 * under way. FALSE: the pad is inactive, and the FIFO still flushing.
 */
gboolean gst_gpudl_fifo_start (GstGpudlFifo * fifo, GstPad * pad,
    GstTaskFunction func);

/** If result is this one, forgets it and wakes the pad's task up again. */
void gst_gpudl_fifo_forgive (GstGpudlFifo * fifo, GstFlowReturn result,
    GstPad * pad, GstTaskFunction func);

gboolean gst_gpudl_fifo_is_flushing (GstGpudlFifo * fifo);
GstFlowReturn gst_gpudl_fifo_get_result (GstGpudlFifo * fifo);
guint gst_gpudl_fifo_get_count (GstGpudlFifo * fifo);

G_END_DECLS

#endif /* __GST_GPUDL_FIFO_H__ */

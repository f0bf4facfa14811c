/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlfifo.h"

#include <string.h>

GST_DEBUG_CATEGORY_EXTERN (gst_gpudl_infer_debug);
#define GST_CAT_DEFAULT gst_gpudl_infer_debug

void
gst_gpudl_fifo_init (GstGpudlFifo * fifo)
{
  memset (fifo, 0, sizeof (*fifo));
  g_mutex_init (&fifo->lock);
  g_cond_init (&fifo->cond);
  fifo->flushing = TRUE;
}

void
gst_gpudl_fifo_clear (GstGpudlFifo * fifo)
{
  g_assert (fifo->depth == 0);
  g_mutex_clear (&fifo->lock);
  g_cond_clear (&fifo->cond);
}

static GstGpudlItem *
nth_item (GstGpudlFifo * fifo, guint n)
{
  return &fifo->items[(fifo->head + n) % (fifo->depth + GST_GPUDL_FIFO_EVENTS)];
}

static GstGpudlSlot *
next_slot (GstGpudlFifo * fifo)
{
  return &fifo->slots[(fifo->first_slot + fifo->n_buffers) % fifo->depth];
}

static void
append_locked (GstGpudlFifo * fifo, const GstGpudlItem * item)
{
  *nth_item (fifo, fifo->n_items) = *item;
  fifo->n_items++;
  fifo->n_preroll += item->prerolls;
  fifo->n_buffers += item->slot != NULL;
  g_cond_broadcast (&fifo->cond);
}

static void
remove_head_locked (GstGpudlFifo * fifo)
{
  if (nth_item (fifo, 0)->slot != NULL) {
    fifo->first_slot = (fifo->first_slot + 1) % fifo->depth;
    fifo->n_buffers--;
  }
  fifo->n_preroll -= nth_item (fifo, 0)->prerolls;
  fifo->head = (fifo->head + 1) % (fifo->depth + GST_GPUDL_FIFO_EVENTS);
  fifo->n_items--;
}

/* Leaves so many items, counted from the head: the others have been dropped. */
static void
keep_locked (GstGpudlFifo * fifo, guint n)
{
  while (fifo->n_items > n) {
    const GstGpudlItem *last = nth_item (fifo, --fifo->n_items);

    fifo->n_buffers -= last->slot != NULL;
    fifo->n_preroll -= last->prerolls;
  }
}

gboolean
gst_gpudl_slot_release (GstGpudlSlot * slot, GstBuffer ** buffer)
{
  const gboolean lost = gpudl_request_is_lost (slot->request);

  slot->submitted = FALSE;
  if (lost) {
    GST_ERROR ("the device has not let go of %" GST_PTR_FORMAT
        ": its memory is never given back", *buffer);
    gst_gpudl_frame_abandon (&slot->frame);
    *buffer = NULL;
  }
  gst_gpudl_frame_unmap (&slot->frame);
  return !lost;
}

/* pad: takes the events that stick; NULL: nobody does. */
static void
drop_item (GstGpudlItem * item, GstPad * pad)
{
  GstGpudlSlot *slot = item->slot;

  if (slot != NULL) {
    if (slot->submitted) {
      /* the engine reads the mapped pixels until it says that it is done */
      gpudl_request_cancel (slot->request);
      gpudl_request_wait (slot->request, NULL);
      gst_gpudl_slot_release (slot, &item->buffer);
    }
    gst_clear_buffer (&item->buffer);
  } else {
    if (pad != NULL && GST_EVENT_IS_STICKY (item->event))
      gst_pad_store_sticky_event (pad, item->event);
    gst_clear_event (&item->event);
  }
}

/* Takes back requests that do not run yet. One that is not under way takes no
 * notice. */
static void
cancel_all_locked (GstGpudlFifo * fifo)
{
  for (guint i = 0; i < fifo->n_items; i++) {
    if (nth_item (fifo, i)->slot != NULL)
      gpudl_request_cancel (nth_item (fifo, i)->slot->request);
  }
}

/* Drops all items; the lock is held, and let go of while the engine is waited
 * for. The one in the calling thread's own hands stays. */
static void
drop_all_locked (GstGpudlFifo * fifo, GstPad * pad)
{
  const gboolean own = fifo->busy && fifo->holder == g_thread_self ();

  while (fifo->busy && !own)
    g_cond_wait (&fifo->cond, &fifo->lock);

  fifo->busy = TRUE;
  fifo->holder = g_thread_self ();
  cancel_all_locked (fifo);
  for (guint i = own; i < fifo->n_items; i++) {
    GstGpudlItem *item = nth_item (fifo, i);

    g_mutex_unlock (&fifo->lock);
    drop_item (item, pad);
    g_mutex_lock (&fifo->lock);
  }
  keep_locked (fifo, own);
  fifo->busy = own;
  g_cond_broadcast (&fifo->cond);
}

/* The source pad's task takes nothing and the streaming thread adds nothing. */
static void
assert_idle_locked (const GstGpudlFifo * fifo)
{
  g_assert (!fifo->reserved && (fifo->flushing || fifo->n_items == 0));
}

void
gst_gpudl_fifo_open (GstGpudlFifo * fifo, guint depth, GpudlStream * stream)
{
  g_mutex_lock (&fifo->lock);
  g_assert (fifo->depth == 0 && depth >= 1);
  assert_idle_locked (fifo);
  fifo->items = g_new0 (GstGpudlItem, depth + GST_GPUDL_FIFO_EVENTS);
  fifo->slots = g_new0 (GstGpudlSlot, depth);
  for (guint i = 0; i < depth; i++)
    fifo->slots[i].request = gpudl_request_new (stream);
  fifo->head = fifo->n_items = fifo->n_preroll = 0;
  fifo->first_slot = fifo->n_buffers = 0;
  fifo->depth = depth;
  g_mutex_unlock (&fifo->lock);
}

void
gst_gpudl_fifo_close (GstGpudlFifo * fifo)
{
  g_mutex_lock (&fifo->lock);
  assert_idle_locked (fifo);
  drop_all_locked (fifo, NULL);
  for (guint i = 0; i < fifo->depth; i++)
    gpudl_request_free (fifo->slots[i].request);
  g_clear_pointer (&fifo->slots, g_free);
  g_clear_pointer (&fifo->items, g_free);
  fifo->depth = 0;
  g_mutex_unlock (&fifo->lock);
}

static GstFlowReturn
result_locked (const GstGpudlFifo * fifo)
{
  return fifo->flushing ? GST_FLOW_FLUSHING : fifo->result;
}

/* For what comes in. */
static GstFlowReturn
entry_locked (const GstGpudlFifo * fifo)
{
  return fifo->depth == 0 ? GST_FLOW_FLUSHING : result_locked (fifo);
}

GstFlowReturn
gst_gpudl_fifo_reserve (GstGpudlFifo * fifo, GstGpudlSlot ** slot)
{
  GstFlowReturn ret;

  g_mutex_lock (&fifo->lock);
  g_assert (!fifo->reserved);
  while ((ret = entry_locked (fifo)) == GST_FLOW_OK
      && fifo->n_buffers == fifo->depth)
    g_cond_wait (&fifo->cond, &fifo->lock);
  fifo->reserved = ret == GST_FLOW_OK;
  *slot = fifo->reserved ? next_slot (fifo) : NULL;
  g_mutex_unlock (&fifo->lock);
  return ret;
}

void
gst_gpudl_fifo_commit (GstGpudlFifo * fifo, GstBuffer * buffer)
{
  GstGpudlItem item = {.buffer = buffer,.prerolls = TRUE };

  g_mutex_lock (&fifo->lock);
  g_assert (fifo->reserved);
  fifo->reserved = FALSE;
  item.slot = next_slot (fifo);
  /* set_flushing() may have come since reserve() and not seen this one */
  if (fifo->flushing)
    gpudl_request_cancel (item.slot->request);
  append_locked (fifo, &item);
  g_mutex_unlock (&fifo->lock);
}

void
gst_gpudl_fifo_fail (GstGpudlFifo * fifo, GstFlowReturn result)
{
  g_mutex_lock (&fifo->lock);
  g_assert (fifo->reserved);
  fifo->reserved = FALSE;
  if (fifo->result == GST_FLOW_OK)
    fifo->result = result;
  g_cond_broadcast (&fifo->cond);
  g_mutex_unlock (&fifo->lock);
}

GstFlowReturn
gst_gpudl_fifo_append_event (GstGpudlFifo * fifo, GstEvent * event)
{
  const GstGpudlItem item = {.event = event,
    .prerolls = GST_EVENT_TYPE (event) == GST_EVENT_GAP
  };
  GstFlowReturn ret;

  g_mutex_lock (&fifo->lock);
  while ((ret = entry_locked (fifo)) == GST_FLOW_OK
      && fifo->n_items - fifo->n_buffers == GST_GPUDL_FIFO_EVENTS)
    g_cond_wait (&fifo->cond, &fifo->lock);
  if (ret == GST_FLOW_OK)
    append_locked (fifo, &item);
  g_mutex_unlock (&fifo->lock);
  return ret;
}

/* After a bad result nobody takes the buffers any more. */
static void
drop_unwanted_locked (GstGpudlFifo * fifo, GstPad * pad, GstFlowReturn result)
{
  if (result != GST_FLOW_OK && result != GST_FLOW_FLUSHING)
    drop_all_locked (fifo, pad);
}

GstFlowReturn
gst_gpudl_fifo_drain (GstGpudlFifo * fifo, GstPad * pad)
{
  GstFlowReturn ret;

  g_mutex_lock (&fifo->lock);
  while ((ret = entry_locked (fifo)) == GST_FLOW_OK && fifo->n_items > 0)
    g_cond_wait (&fifo->cond, &fifo->lock);
  drop_unwanted_locked (fifo, pad, ret);
  g_mutex_unlock (&fifo->lock);
  return ret;
}

static gboolean
flows_locked (const GstGpudlFifo * fifo)
{
  return fifo->playing && fifo->has_left;
}

gboolean
gst_gpudl_fifo_settle (GstGpudlFifo * fifo, GstPad * pad,
    GstFlowReturn * result)
{
  gboolean settled;

  g_mutex_lock (&fifo->lock);
  while ((*result = entry_locked (fifo)) == GST_FLOW_OK && fifo->n_items > 0
      && (fifo->n_preroll == 0 || flows_locked (fifo)))
    g_cond_wait (&fifo->cond, &fifo->lock);
  settled = *result != GST_FLOW_OK || fifo->n_items == 0;
  fifo->gave_up |= !settled;
  drop_unwanted_locked (fifo, pad, *result);
  g_mutex_unlock (&fifo->lock);
  return settled;
}

static gboolean
take_gave_up_locked (GstGpudlFifo * fifo)
{
  const gboolean gave_up = fifo->gave_up && flows_locked (fifo);

  fifo->gave_up &= !gave_up;
  return gave_up;
}

gboolean
gst_gpudl_fifo_set_playing (GstGpudlFifo * fifo, gboolean playing)
{
  gboolean gave_up;

  g_mutex_lock (&fifo->lock);
  fifo->playing = playing;
  gave_up = take_gave_up_locked (fifo);
  g_cond_broadcast (&fifo->cond);
  g_mutex_unlock (&fifo->lock);
  return gave_up;
}

gboolean
gst_gpudl_fifo_wait_head (GstGpudlFifo * fifo, GstPad * pad,
    GstGpudlItem ** item)
{
  GstFlowReturn ret;

  g_mutex_lock (&fifo->lock);
  while ((ret = result_locked (fifo)) == GST_FLOW_OK
      && (fifo->n_items == 0 || fifo->busy))
    g_cond_wait (&fifo->cond, &fifo->lock);
  if (ret == GST_FLOW_OK) {
    fifo->busy = TRUE;
    fifo->holder = g_thread_self ();
    fifo->outlived = FALSE;
    fifo->forgiven = GST_FLOW_OK;
    *item = nth_item (fifo, 0);
  } else {
    /* under the lock, else forgive() could start the task before this */
    gst_pad_pause_task (pad);
  }
  g_mutex_unlock (&fifo->lock);
  return ret == GST_FLOW_OK;
}

gboolean
gst_gpudl_fifo_is_outlived (const GstGpudlFifo * fifo)
{
  return fifo->outlived;        /* changed by this thread alone meanwhile */
}

gboolean
gst_gpudl_fifo_pop (GstGpudlFifo * fifo, GstFlowReturn result)
{
  gboolean gave_up;

  g_mutex_lock (&fifo->lock);
  fifo->has_left |= nth_item (fifo, 0)->slot != NULL && !fifo->outlived;
  remove_head_locked (fifo);
  fifo->busy = FALSE;
  if (fifo->result == GST_FLOW_OK && result != fifo->forgiven
      && !fifo->outlived)
    fifo->result = result;
  gave_up = take_gave_up_locked (fifo);
  g_cond_broadcast (&fifo->cond);
  g_mutex_unlock (&fifo->lock);
  return gave_up;
}

void
gst_gpudl_fifo_set_flushing (GstGpudlFifo * fifo)
{
  g_mutex_lock (&fifo->lock);
  fifo->flushing = TRUE;
  cancel_all_locked (fifo);
  g_cond_broadcast (&fifo->cond);
  g_mutex_unlock (&fifo->lock);
}

gboolean
gst_gpudl_fifo_wait_idle (GstGpudlFifo * fifo, gint64 end)
{
  gboolean idle, in_time = TRUE;

  g_mutex_lock (&fifo->lock);
  while (fifo->busy && in_time)
    in_time = g_cond_wait_until (&fifo->cond, &fifo->lock, end);
  idle = !fifo->busy;
  g_mutex_unlock (&fifo->lock);
  return idle;
}

gboolean
gst_gpudl_fifo_start (GstGpudlFifo * fifo, GstPad * pad, GstTaskFunction func)
{
  gboolean active;

  g_mutex_lock (&fifo->lock);
  g_assert (!fifo->reserved);
  drop_all_locked (fifo, pad);
  active = gst_pad_is_active (pad);
  if (active) {
    fifo->flushing = fifo->has_left = FALSE;
    fifo->outlived = fifo->busy;
    fifo->result = GST_FLOW_OK;
    gst_pad_start_task (pad, func, pad, NULL);
  }
  g_mutex_unlock (&fifo->lock);
  return active;
}

void
gst_gpudl_fifo_forgive (GstGpudlFifo * fifo, GstFlowReturn result,
    GstPad * pad, GstTaskFunction func)
{
  g_mutex_lock (&fifo->lock);
  fifo->forgiven = result;
  if (!fifo->flushing && fifo->result == result) {
    fifo->result = GST_FLOW_OK;
    gst_pad_start_task (pad, func, pad, NULL);
    g_cond_broadcast (&fifo->cond);
  }
  g_mutex_unlock (&fifo->lock);
}

gboolean
gst_gpudl_fifo_is_flushing (GstGpudlFifo * fifo)
{
  gboolean flushing;

  g_mutex_lock (&fifo->lock);
  flushing = fifo->flushing;
  g_mutex_unlock (&fifo->lock);
  return flushing;
}

GstFlowReturn
gst_gpudl_fifo_get_result (GstGpudlFifo * fifo)
{
  GstFlowReturn result;

  g_mutex_lock (&fifo->lock);
  result = fifo->result;
  g_mutex_unlock (&fifo->lock);
  return result;
}

guint
gst_gpudl_fifo_get_count (GstGpudlFifo * fifo)
{
  guint count;

  g_mutex_lock (&fifo->lock);
  count = fifo->n_buffers;
  g_mutex_unlock (&fifo->lock);
  return count;
}

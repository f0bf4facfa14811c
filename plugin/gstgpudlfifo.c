/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlfifo.h"

#include <string.h>

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
  return &fifo->items[(fifo->head + n) % fifo->depth];
}

static void
drop_item (GstGpudlItem * item)
{
  if (item->submitted) {
    /* the engine reads the mapped pixels until it says that it is done */
    gpudl_request_cancel (item->request);
    gpudl_request_wait (item->request, NULL);
    item->submitted = FALSE;
  }
  gst_gpudl_frame_unmap (&item->frame);
  gst_clear_buffer (&item->buffer);
}

/* Drops all items; the lock is held, and let go of while the engine is waited
 * for. */
static void
drop_all_locked (GstGpudlFifo * fifo)
{
  while (fifo->busy)
    g_cond_wait (&fifo->cond, &fifo->lock);

  fifo->busy = TRUE;
  for (guint i = 0; i < fifo->count; i++) {
    if (nth_item (fifo, i)->submitted)
      gpudl_request_cancel (nth_item (fifo, i)->request);
  }
  while (fifo->count > 0) {
    GstGpudlItem *item = nth_item (fifo, 0);

    g_mutex_unlock (&fifo->lock);
    drop_item (item);
    g_mutex_lock (&fifo->lock);
    fifo->head = (fifo->head + 1) % fifo->depth;
    fifo->count--;
  }
  fifo->busy = FALSE;
  g_cond_broadcast (&fifo->cond);
}

/* The source pad's task takes nothing and the streaming thread adds nothing. */
static void
assert_idle_locked (const GstGpudlFifo * fifo)
{
  g_assert (!fifo->reserved && (fifo->flushing || fifo->count == 0));
}

void
gst_gpudl_fifo_open (GstGpudlFifo * fifo, guint depth, GpudlStream * stream)
{
  g_mutex_lock (&fifo->lock);
  g_assert (fifo->depth == 0 && depth >= 1 && depth <= GST_GPUDL_MAX_DEPTH);
  assert_idle_locked (fifo);
  memset (fifo->items, 0, sizeof (fifo->items));
  for (guint i = 0; i < depth; i++)
    fifo->items[i].request = gpudl_request_new (stream);
  fifo->head = fifo->count = 0;
  fifo->depth = depth;
  g_mutex_unlock (&fifo->lock);
}

void
gst_gpudl_fifo_close (GstGpudlFifo * fifo)
{
  g_mutex_lock (&fifo->lock);
  assert_idle_locked (fifo);
  drop_all_locked (fifo);
  for (guint i = 0; i < fifo->depth; i++)
    g_clear_pointer (&fifo->items[i].request, gpudl_request_free);
  fifo->depth = 0;
  g_mutex_unlock (&fifo->lock);
}

static GstFlowReturn
result_locked (const GstGpudlFifo * fifo)
{
  return fifo->flushing ? GST_FLOW_FLUSHING : fifo->result;
}

GstFlowReturn
gst_gpudl_fifo_reserve (GstGpudlFifo * fifo, GstGpudlItem ** item)
{
  GstFlowReturn ret;

  g_mutex_lock (&fifo->lock);
  while ((ret = result_locked (fifo)) == GST_FLOW_OK
      && fifo->count == fifo->depth)
    g_cond_wait (&fifo->cond, &fifo->lock);
  g_assert (!fifo->reserved);
  fifo->reserved = ret == GST_FLOW_OK;
  *item = fifo->reserved ? nth_item (fifo, fifo->count) : NULL;
  g_mutex_unlock (&fifo->lock);
  return ret;
}

void
gst_gpudl_fifo_commit (GstGpudlFifo * fifo)
{
  g_mutex_lock (&fifo->lock);
  g_assert (fifo->reserved);
  fifo->reserved = FALSE;
  /* set_flushing() may have come since reserve() and not seen this one */
  if (fifo->flushing && nth_item (fifo, fifo->count)->submitted)
    gpudl_request_cancel (nth_item (fifo, fifo->count)->request);
  fifo->count++;
  g_cond_broadcast (&fifo->cond);
  g_mutex_unlock (&fifo->lock);
}

GstFlowReturn
gst_gpudl_fifo_drain (GstGpudlFifo * fifo)
{
  GstFlowReturn ret;

  g_mutex_lock (&fifo->lock);
  while ((ret = result_locked (fifo)) == GST_FLOW_OK && fifo->count > 0)
    g_cond_wait (&fifo->cond, &fifo->lock);
  if (!fifo->flushing && ret != GST_FLOW_OK)
    drop_all_locked (fifo);
  g_mutex_unlock (&fifo->lock);
  return ret;
}

gboolean
gst_gpudl_fifo_wait_head (GstGpudlFifo * fifo, GstPad * pad,
    GstGpudlItem ** item)
{
  GstFlowReturn ret;

  g_mutex_lock (&fifo->lock);
  while ((ret = result_locked (fifo)) == GST_FLOW_OK
      && (fifo->count == 0 || fifo->busy))
    g_cond_wait (&fifo->cond, &fifo->lock);
  if (ret == GST_FLOW_OK) {
    fifo->busy = TRUE;
    *item = nth_item (fifo, 0);
  } else {
    /* under the lock, else forgive() could start the task before this */
    gst_pad_pause_task (pad);
  }
  g_mutex_unlock (&fifo->lock);
  return ret == GST_FLOW_OK;
}

void
gst_gpudl_fifo_pop (GstGpudlFifo * fifo, GstFlowReturn result)
{
  g_mutex_lock (&fifo->lock);
  fifo->head = (fifo->head + 1) % fifo->depth;
  fifo->count--;
  fifo->busy = FALSE;
  if (result != GST_FLOW_OK && fifo->result == GST_FLOW_OK)
    fifo->result = result;
  g_cond_broadcast (&fifo->cond);
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

void
gst_gpudl_fifo_set_flushing (GstGpudlFifo * fifo)
{
  g_mutex_lock (&fifo->lock);
  fifo->flushing = TRUE;
  /* a request that is not under way takes no notice */
  for (guint i = 0; i < fifo->count; i++)
    gpudl_request_cancel (nth_item (fifo, i)->request);
  g_cond_broadcast (&fifo->cond);
  g_mutex_unlock (&fifo->lock);
}

gboolean
gst_gpudl_fifo_start (GstGpudlFifo * fifo, GstPad * pad, GstTaskFunction func)
{
  gboolean active;

  g_mutex_lock (&fifo->lock);
  g_assert (!fifo->reserved);
  drop_all_locked (fifo);
  active = gst_pad_is_active (pad);
  if (active) {
    fifo->flushing = FALSE;
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
  count = fifo->count;
  g_mutex_unlock (&fifo->lock);
  return count;
}

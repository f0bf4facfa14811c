/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who runs what. A synchronous backend (CPU) has one worker thread per slot: take what is queued, run it, tell. An
 * asynchronous one (CUDA) has a scheduler thread that fills free slots and a completion thread that waits for them in
 * the order they were submitted. Both take frames the same way: round-robin over the streams, oldest first within one,
 * as many as there are up to the batch limit, at once (continuous batching): waiting for more never makes the first one
 * sooner.
 *
 * The session's lock guards queues and request states; it is never held while a backend or a callback runs.
 */
#include "engine/session/session.h"

static void set_ready(GpudlSession *session, GpudlStream *stream)
{
    g_queue_push_tail_link(&session->ready, &stream->ready_link);
}

void gpudl_scheduler_queue(GpudlSession *session, GpudlRequest *request)
{
    GpudlStream *stream = request->stream;

    if (g_queue_is_empty(&stream->queue))
        set_ready(session, stream);
    g_queue_push_tail_link(&stream->queue, &request->link);
    g_cond_signal(&session->work);
}

void gpudl_scheduler_cancel(GpudlSession *session, GpudlRequest *request)
{
    GpudlStream *stream = request->stream;

    g_queue_unlink(&stream->queue, &request->link);
    if (g_queue_is_empty(&stream->queue))
        g_queue_unlink(&session->ready, &stream->ready_link);
    request->state = GPUDL_REQUEST_DONE;
    request->timing.finished = g_get_monotonic_time() * 1000;
    g_set_error_literal(&request->error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "the request was cancelled");
    g_cond_broadcast(&request->done);
    if (request->func) {
        /* told by a session's thread: who cancels may hold locks that the callback takes */
        request->callbacks++;
        g_queue_push_tail(&session->cancelled, request);
        g_cond_signal(&session->work);
    }
}

/* Under the lock, which is let go meanwhile. */
static void call_back(GpudlSession *session, GpudlRequest *request)
{
    GpudlRequestFunc func = request->func;
    gpointer user_data = request->user_data;

    if (func) {
        g_mutex_unlock(&session->lock);
        func(request, user_data);
        g_mutex_lock(&session->lock);
    }
    if (--request->callbacks == 0)
        g_cond_broadcast(&request->done);
}

static void tell_cancelled(GpudlSession *session)
{
    GpudlRequest *request;

    while ((request = g_queue_pop_head(&session->cancelled)))
        call_back(session, request);
}

static guint take_batch(GpudlSession *session, GpudlExecution *execution)
{
    gint64 now = g_get_monotonic_time() * 1000;

    execution->n = 0;
    while (execution->n < session->info.max_batch && !g_queue_is_empty(&session->ready)) {
        GpudlStream *stream = g_queue_pop_head_link(&session->ready)->data;
        GpudlRequest *request = g_queue_pop_head_link(&stream->queue)->data;

        if (!g_queue_is_empty(&stream->queue))
            set_ready(session, stream);
        request->state = GPUDL_REQUEST_RUNNING;
        request->timing.started = now;
        execution->requests[execution->n++] = request;
    }
    for (guint i = 0; i < execution->n; i++) {
        GpudlRequest *request = execution->requests[i];

        request->timing.batch = execution->n;
        execution->jobs[i] = (GpudlJob){
            .frame = request->has_frame ? &request->frame : NULL,
            .preproc = &request->preproc,
            .values = request->values,
            .outputs = (float *const *)request->outputs,
        };
    }
    return execution->n;
}

/* Everything still queued fails as the device did. */
static void fail_queued(GpudlSession *session)
{
    while (!g_queue_is_empty(&session->ready)) {
        GpudlStream *stream = session->ready.head->data;
        GpudlRequest *request = stream->queue.head->data;

        gpudl_scheduler_cancel(session, request);
        g_clear_error(&request->error);
        request->error = g_error_copy(session->dead);
    }
}

static void finish(GpudlSession *session, GpudlExecution *execution, GpudlStatus status, const GpudlFault *fault)
{
    g_autoptr(GError) error = NULL;
    gint64 now = g_get_monotonic_time() * 1000;
    guint n = execution->n;

    if (status != GPUDL_STATUS_OK)
        gpudl_set_fault(&error, status, fault, session->backend->name);
    if (status == GPUDL_STATUS_DEVICE && !session->dead) {
        /* under one lock: whoever learns of it may acquire again at once, and must not find this session */
        session->dead = g_error_copy(error);
        gpudl_session_unlist(session);
        fail_queued(session);
    }
    for (guint i = 0; i < n; i++) {
        GpudlRequest *request = execution->requests[i];

        request->timing.finished = now;
        request->error = error ? g_error_copy(error) : NULL;
        request->state = GPUDL_REQUEST_DONE;
        if (request->func)
            request->callbacks++;
        else
            execution->requests[i] = NULL;
        g_cond_broadcast(&request->done);
    }
    for (guint i = 0; i < n; i++)
        if (execution->requests[i])
            call_back(session, execution->requests[i]);
}

static gpointer worker(gpointer data)
{
    GpudlExecution *execution = ((gpointer *)data)[0];
    GpudlSession *session = ((gpointer *)data)[1];

    g_free(data);
    g_mutex_lock(&session->lock);
    for (;;) {
        GpudlFault fault = {""};
        GpudlStatus status;

        tell_cancelled(session);
        if (take_batch(session, execution) == 0) {
            if (session->quit)
                break;
            g_cond_wait(&session->work, &session->lock);
            continue;
        }
        g_mutex_unlock(&session->lock);
        status = session->backend->submit(session->engine, execution->slot, execution->jobs, execution->n, &fault);
        if (status == GPUDL_STATUS_OK)
            status = session->backend->wait(session->engine, execution->slot, &fault);
        g_mutex_lock(&session->lock);
        finish(session, execution, status, &fault);
    }
    g_mutex_unlock(&session->lock);
    return NULL;
}

static gpointer submitter(gpointer data)
{
    GpudlSession *session = data;

    g_mutex_lock(&session->lock);
    for (;;) {
        GpudlExecution *execution;
        GpudlFault fault = {""};
        GpudlStatus status;

        tell_cancelled(session);
        if (g_queue_is_empty(&session->ready) || g_queue_is_empty(&session->free_slots)) {
            if (session->quit && g_queue_is_empty(&session->ready))
                break;
            g_cond_wait(&session->work, &session->lock);
            continue;
        }
        execution = g_queue_pop_head(&session->free_slots);
        take_batch(session, execution);
        g_mutex_unlock(&session->lock);
        status = session->backend->submit(session->engine, execution->slot, execution->jobs, execution->n, &fault);
        g_mutex_lock(&session->lock);
        if (status == GPUDL_STATUS_OK) {
            g_queue_push_tail(&session->in_flight, execution);
            g_cond_signal(&session->in_flight_work);
        } else {
            finish(session, execution, status, &fault);
            g_queue_push_tail(&session->free_slots, execution);
        }
    }
    g_mutex_unlock(&session->lock);
    return NULL;
}

static gpointer completer(gpointer data)
{
    GpudlSession *session = data;

    g_mutex_lock(&session->lock);
    for (;;) {
        GpudlExecution *execution = g_queue_pop_head(&session->in_flight);
        GpudlFault fault = {""};
        GpudlStatus status;

        if (!execution) {
            if (session->quit)
                break;
            g_cond_wait(&session->in_flight_work, &session->lock);
            continue;
        }
        if (session->dead) {
            /* nothing but close() may follow */
            status = GPUDL_STATUS_DEVICE;
            g_strlcpy(fault.message, "the device has failed before", sizeof fault.message);
        } else {
            g_mutex_unlock(&session->lock);
            status = session->backend->wait(session->engine, execution->slot, &fault);
            g_mutex_lock(&session->lock);
        }
        finish(session, execution, status, &fault);
        g_queue_push_tail(&session->free_slots, execution);
        g_cond_signal(&session->work);
    }
    g_mutex_unlock(&session->lock);
    return NULL;
}

/* GLib's plain call aborts the process when the system has no more threads. */
static gboolean add_thread(GpudlSession *session, const gchar *name, GThreadFunc func, gpointer data, GError **error)
{
    g_autoptr(GError) reason = NULL;
    GThread *thread = g_thread_try_new(name, func, data, &reason);

    if (!thread) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY, "thread %u of a session can't be started: %s",
                    session->threads->len + 1, reason->message);
        return FALSE;
    }
    g_ptr_array_add(session->threads, thread);
    return TRUE;
}

static gboolean add_worker(GpudlSession *session, GpudlExecution *execution, GError **error)
{
    gpointer *data = g_new(gpointer, 2);

    data[0] = execution;
    data[1] = session;
    if (add_thread(session, "gpudl-worker", worker, data, error))
        return TRUE;
    g_free(data);
    return FALSE;
}

gboolean gpudl_scheduler_start(GpudlSession *session, GError **error)
{
    gboolean is_async = (session->backend->flags & GPUDL_BACKEND_ASYNC) != 0;
    guint n = session->info.n_slots;

    session->executions = g_new0(GpudlExecution, n);
    session->threads = g_ptr_array_new();
    for (guint i = 0; i < n; i++) {
        GpudlExecution *execution = &session->executions[i];

        execution->slot = i;
        execution->requests = g_new0(GpudlRequest *, session->info.max_batch);
        execution->jobs = g_new0(GpudlJob, session->info.max_batch);
        if (is_async)
            g_queue_push_tail(&session->free_slots, execution);
        else if (!add_worker(session, execution, error))
            return FALSE;
    }
    return !is_async || (add_thread(session, "gpudl-submit", submitter, session, error) &&
                         add_thread(session, "gpudl-complete", completer, session, error));
}

void gpudl_scheduler_stop(GpudlSession *session)
{
    if (!session->threads)
        return;
    g_mutex_lock(&session->lock);
    session->quit = TRUE;
    g_cond_broadcast(&session->work);
    g_cond_broadcast(&session->in_flight_work);
    g_mutex_unlock(&session->lock);
    for (guint i = 0; i < session->threads->len; i++)
        g_thread_join(session->threads->pdata[i]);
    g_clear_pointer(&session->threads, g_ptr_array_unref);
    g_queue_clear(&session->free_slots);
    for (guint i = 0; i < session->info.n_slots; i++) {
        g_free(session->executions[i].requests);
        g_free(session->executions[i].jobs);
    }
    g_clear_pointer(&session->executions, g_free);
}

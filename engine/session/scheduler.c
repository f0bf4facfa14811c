/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who runs what. A synchronous backend (CPU) has one worker thread per slot: take what is queued, run it, tell. An
 * asynchronous one (CUDA) has a submitter thread that fills free slots and a completer thread that waits for them in
 * the order they were submitted. Both take frames the same way: round-robin over the streams, oldest first within one,
 * at once and as many as finish soonest by the engine's times (continuous batching): waiting for more frames to come
 * would only delay the first one.
 *
 * The session's lock guards queues and request states; it is never held while a backend or a callback runs.
 */
#include "engine/session/session.h"

/* How long a call of idle() may take, and how long it is left alone where it has to wait. */
#define IDLE_BUDGET_NS (2 * G_GUINT64_CONSTANT(1000000))
/* How long the end of a session waits for a thread that hangs in a module that has been given up. */
#define LAST_WAIT_US (100 * 1000)

/* ---- queue ------------------------------------------------------------------------------------------------------- */

static void set_ready(GpudlSession *session, GpudlStream *stream)
{
    g_queue_push_tail_link(&session->ready, &stream->ready_link);
}

void gpudl_scheduler_queue(GpudlSession *session, GpudlRequest *request)
{
    GpudlStream *stream = request->stream;

    request->state = GPUDL_REQUEST_QUEUED;
    if (g_queue_is_empty(&stream->queue))
        set_ready(session, stream);
    g_queue_push_tail_link(&stream->queue, &request->link);
    session->n_queued++;
    g_cond_signal(&session->work);
}

static void unqueue(GpudlSession *session, GpudlRequest *request)
{
    GpudlStream *stream = request->stream;

    g_queue_unlink(&stream->queue, &request->link);
    if (g_queue_is_empty(&stream->queue))
        g_queue_unlink(&session->ready, &stream->ready_link);
    session->n_queued--;
}

/* The module's end of a staged request; the lock is not held. */
static void unstage(GpudlSession *session, GpudlRequest *request)
{
    if (request->staged)
        session->backend->unstage(session->engine, request->ticket);
    request->staged = FALSE;
}

/* Takes the error. Whoever waits may submit the request again once the lock is let go. */
static void set_done(GpudlRequest *request, GError *error)
{
    request->timing.finished = g_get_monotonic_time() * 1000;
    request->error = error;
    request->state = GPUDL_REQUEST_DONE;
    g_cond_broadcast(&request->done);
}

void gpudl_scheduler_withdraw(GpudlSession *session, GpudlRequest *request, GError *error)
{
    if (request->state == GPUDL_REQUEST_QUEUED)
        unqueue(session, request);
    request->state = GPUDL_REQUEST_LEAVING;
    if (request->staged) {
        g_mutex_unlock(&session->lock);
        unstage(session, request);
        g_mutex_lock(&session->lock);
    }
    set_done(request, error);
    if (request->func) {
        /* told by a session's thread: who cancels may hold locks that the callback takes */
        request->callbacks++;
        g_queue_push_tail(&session->cancelled, request);
        g_cond_broadcast(&session->work);
        g_cond_broadcast(&session->in_flight_work);
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

static void call_back_cancelled(GpudlSession *session)
{
    GpudlRequest *request;

    while ((request = g_queue_pop_head(&session->cancelled)))
        call_back(session, request);
}

/* ---- executions -------------------------------------------------------------------------------------------------- */

/* Of free_slots or in_flight; NULL if it is empty. */
static GpudlExecution *pop_execution(GQueue *queue)
{
    GList *link = g_queue_pop_head_link(queue);

    return link ? link->data : NULL;
}

static guint take_batch(GpudlSession *session, GpudlExecution *execution)
{
    guint n = gpudl_batches_take(&session->batches, session->n_queued);
    gint64 now = g_get_monotonic_time() * 1000;

    for (execution->n = 0; execution->n < n; execution->n++) {
        GpudlStream *stream = g_queue_pop_head_link(&session->ready)->data;
        GpudlRequest *request = g_queue_pop_head_link(&stream->queue)->data;

        session->n_queued--;
        if (!g_queue_is_empty(&stream->queue))
            set_ready(session, stream);
        request->state = GPUDL_REQUEST_RUNNING;
        request->timing.started = now;
        request->timing.batch = n;
        execution->requests[execution->n] = request;
        execution->jobs[execution->n] = (GpudlJob){
            .frame = request->has_frame ? &request->frame : NULL,
            .preproc = &request->preproc,
            .values = request->values,
            .outputs = (float *const *)request->outputs,
            .ticket = request->ticket,
        };
    }
    return n;
}

/* From here on nothing is submitted, and nothing queued. Takes the error. Unlisted under one lock with the end: whoever
 * learns of it may acquire again at once, and must not find this session, nor the device that failed. */
static void set_dead(GpudlSession *session, GError *error)
{
    if (session->dead) {
        g_error_free(error);
        return;
    }
    session->dead = error;
    g_cond_broadcast(&session->settling);
    gpudl_session_unlist(session);
    gpudl_device_unlist(session->device);
}

/* What has not begun fails as the device did. The lock is let go within. */
static void fail_waiting(GpudlSession *session)
{
    GpudlErrand *errand;

    while (!g_queue_is_empty(&session->ready)) {
        GpudlStream *stream = session->ready.head->data;

        gpudl_scheduler_withdraw(session, stream->queue.head->data, g_error_copy(session->dead));
    }
    while ((errand = g_queue_pop_head(&session->errands))) {
        errand->status = GPUDL_STATUS_DEVICE;
        g_strlcpy(errand->fault.message, session->dead->message, sizeof errand->fault.message);
        errand->done = TRUE;
    }
    g_cond_broadcast(&session->errand_done);
    g_cond_broadcast(&session->work);
    g_cond_broadcast(&session->in_flight_work);
}

void gpudl_scheduler_die(GpudlSession *session, GError *error)
{
    set_dead(session, error);
    fail_waiting(session);
}

static GError *error_of(GpudlSession *session, GpudlStatus status, const GpudlFault *fault)
{
    GError *error = NULL;

    if (status != GPUDL_STATUS_OK)
        gpudl_set_fault(&error, status, fault, session->backend->name);
    return error;
}

/* What the slot ran is over: its requests are done, the slot is free, and then they are told, while the next execution
 * may be under way already. told has max_batch entries, and is the thread's own. Under the lock, which is let go
 * meanwhile. */
static void finish(GpudlSession *session, GpudlExecution *execution, GpudlStatus status, const GpudlFault *fault,
                   GpudlRequest **told)
{
    g_autoptr(GError) error = error_of(session, status, fault);
    guint n_told = 0;

    if (status == GPUDL_STATUS_DEVICE)
        gpudl_scheduler_die(session, g_error_copy(error));
    if (session->backend->unstage) {
        g_mutex_unlock(&session->lock);
        for (guint i = 0; i < execution->n; i++)
            unstage(session, execution->requests[i]);
        g_mutex_lock(&session->lock);
    }
    for (guint i = 0; i < execution->n; i++) {
        GpudlRequest *request = execution->requests[i];

        if (request->func) { /* without one its owner may free it once it is done and the lock let go */
            request->callbacks++;
            told[n_told++] = request;
        }
        set_done(request, error ? g_error_copy(error) : NULL);
    }
    execution->n = 0;
    if (session->backend->flags & GPUDL_BACKEND_ASYNC) {
        g_queue_push_tail_link(&session->free_slots, &execution->link);
        g_cond_signal(&session->work);
    }
    for (guint i = 0; i < n_told; i++)
        call_back(session, told[i]);
}

/* ---- a device that does not answer ------------------------------------------------------------------------------- */

/* The device may read and write what it was given for ever: requests are done with an error, and their memory, and
 * pixels that it reads itself, are given up. */
static void lose(GpudlSession *session, GpudlExecution *execution)
{
    for (guint i = 0; i < execution->n; i++) {
        GpudlRequest *request = execution->requests[i];

        request->held = TRUE;
        request->lost = !session->backend->stage || (request->has_frame && request->frame.memory != GPUDL_MEMORY_HOST);
        if (request->func) {
            request->callbacks++;
            g_queue_push_tail(&session->cancelled, request);
        }
        set_done(request, g_error_copy(session->dead));
    }
    execution->n = 0;
    g_cond_broadcast(&session->work);
}

/* Under the lock. slow: the execution that was waited for, or NULL. */
static void abandon(GpudlSession *session, GpudlExecution *slow)
{
    GpudlExecution *execution;
    guint n = 0;

    for (guint i = 0; i < session->n_slots; i++)
        n += session->executions[i].n;
    session->abandoned = TRUE;
    set_dead(session, g_error_new(GPUDL_ERROR, GPUDL_ERROR_DEVICE,
                                  "%s: the device has not answered for %.1f s and is given up, with %u frame%s under "
                                  "way. Restart the program once the driver is well again",
                                  session->backend->name, (double)session->timeout_ns / 1e9, n, n == 1 ? "" : "s"));
    gpudl_device_give_up(session->device);
    if (slow)
        lose(session, slow);
    while ((execution = pop_execution(&session->in_flight)))
        lose(session, execution);
    if (session->submitting)
        lose(session, session->submitting);
    fail_waiting(session);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static void run_errand(GpudlSession *session, guint32 slot)
{
    GpudlErrand *errand = g_queue_pop_head(&session->errands);

    g_mutex_unlock(&session->lock);
    errand->status = errand->func(session, slot, errand->data, &errand->fault);
    g_mutex_lock(&session->lock);
    if (errand->status == GPUDL_STATUS_DEVICE)
        gpudl_scheduler_die(session, error_of(session, errand->status, &errand->fault));
    errand->done = TRUE;
    g_cond_broadcast(&session->errand_done);
}

static void end_thread(GpudlSession *session)
{
    session->n_running--;
    g_cond_broadcast(&session->thread_ended);
    g_mutex_unlock(&session->lock);
}

/* TIMEOUT without asking if another slot timed out meanwhile: then wait() is not called any more. Under the lock, which
 * is let go meanwhile. */
static GpudlStatus wait_beside_others(GpudlSession *session, const GpudlExecution *execution, GpudlFault *fault)
{
    GpudlStatus status;

    if (session->abandoned)
        return GPUDL_STATUS_TIMEOUT;
    g_mutex_unlock(&session->lock);
    status = session->backend->wait(session->engine, execution->slot, session->timeout_ns, fault);
    g_mutex_lock(&session->lock);
    return status;
}

static gpointer worker(gpointer data)
{
    GpudlExecution *execution = data;
    GpudlSession *session = execution->session;
    g_autofree GpudlRequest **told = g_new(GpudlRequest *, session->max_batch);

    g_mutex_lock(&session->lock);
    for (;;) {
        GpudlFault fault = {""};
        GpudlStatus status;

        call_back_cancelled(session);
        if (!session->dead && !g_queue_is_empty(&session->errands)) {
            run_errand(session, execution->slot);
            continue;
        }
        if (session->dead || take_batch(session, execution) == 0) { /* dead: what is queued is being failed */
            if (session->quit)
                break;
            g_cond_wait(&session->work, &session->lock);
            continue;
        }
        g_mutex_unlock(&session->lock);
        status = session->backend->submit(session->engine, execution->slot, execution->jobs, execution->n, &fault);
        g_mutex_lock(&session->lock);
        if (status == GPUDL_STATUS_OK)
            status = wait_beside_others(session, execution, &fault);
        if (status == GPUDL_STATUS_TIMEOUT)
            abandon(session, execution);
        else
            finish(session, execution, status, &fault, told);
    }
    end_thread(session);
    return NULL;
}

/* The completer watches how long the submitter has been in the module. */
static void set_busy(GpudlSession *session, GpudlExecution *execution)
{
    session->submitting = execution;
    session->busy_since = g_get_monotonic_time();
    g_cond_signal(&session->in_flight_work);
    g_mutex_unlock(&session->lock);
}

static void set_not_busy(GpudlSession *session)
{
    g_mutex_lock(&session->lock);
    session->submitting = NULL;
    session->busy_since = 0;
    g_cond_signal(&session->in_flight_work);
}

static void submit_one(GpudlSession *session, GpudlRequest **told)
{
    GpudlExecution *execution = pop_execution(&session->free_slots);
    GpudlFault fault = {""};
    GpudlStatus status;
    guint n = take_batch(session, execution); /* abandon() may set that of the execution to 0 */

    set_busy(session, execution);
    status = session->backend->submit(session->engine, execution->slot, execution->jobs, n, &fault);
    set_not_busy(session);
    if (session->abandoned)
        return; /* its requests are lost */
    if (status == GPUDL_STATUS_OK) {
        g_queue_push_tail_link(&session->in_flight, &execution->link);
        g_cond_signal(&session->in_flight_work);
    } else {
        finish(session, execution, status, &fault, told);
    }
}

static gboolean all_slots_free(const GpudlSession *session)
{
    return g_queue_get_length((GQueue *)&session->free_slots) == session->n_slots;
}

static void use_idle_time(GpudlSession *session)
{
    GpudlFault fault = {""};
    GpudlStatus status;
    int more = GPUDL_IDLE_DONE;

    set_busy(session, NULL);
    status = session->backend->idle(session->engine, IDLE_BUDGET_NS, &more, &fault);
    if (status != GPUDL_STATUS_OK)
        session->host.log(session->host.host, GPUDL_LOG_WARNING, fault.message);
    set_not_busy(session);
    session->idle_due = status == GPUDL_STATUS_OK && more != GPUDL_IDLE_DONE;
    session->idle_from = more == GPUDL_IDLE_LATER ? g_get_monotonic_time() + (gint64)(IDLE_BUDGET_NS / 1000) : 0;
    if (status != GPUDL_STATUS_OK)
        session->idle_error = error_of(session, status, &fault);
    g_cond_broadcast(&session->settling);
    if (status == GPUDL_STATUS_DEVICE)
        gpudl_scheduler_die(session, error_of(session, status, &fault));
}

static gpointer submitter(gpointer data)
{
    GpudlSession *session = data;
    g_autofree GpudlRequest **told = g_new(GpudlRequest *, session->max_batch);

    g_mutex_lock(&session->lock);
    for (;;) {
        gboolean slot_free;

        call_back_cancelled(session);
        slot_free = !g_queue_is_empty(&session->free_slots) && !session->dead;
        if (slot_free && !g_queue_is_empty(&session->errands)) {
            GpudlExecution *execution = pop_execution(&session->free_slots);

            run_errand(session, execution->slot);
            g_queue_push_tail_link(&session->free_slots, &execution->link);
        } else if (slot_free && session->n_queued > 0) {
            submit_one(session, told);
        } else if (session->quit) {
            break; /* no request is queued */
        } else if (session->idle_due && !session->dead && all_slots_free(session)) {
            if (g_get_monotonic_time() >= session->idle_from)
                use_idle_time(session);
            else /* here, since a frame ends this */
                g_cond_wait_until(&session->work, &session->lock, session->idle_from);
        } else {
            g_cond_wait(&session->work, &session->lock);
        }
    }
    end_thread(session);
    return NULL;
}

/* Nothing is in flight. Waits for something, or until the submitter has been in the module for too long. */
static void await_flight(GpudlSession *session)
{
    gint64 timeout = (gint64)MIN(session->timeout_ns / 1000, (guint64)G_MAXINT64 / 4);

    if (session->busy_since == 0)
        g_cond_wait(&session->in_flight_work, &session->lock);
    else if (!g_cond_wait_until(&session->in_flight_work, &session->lock, session->busy_since + timeout) &&
             session->busy_since != 0 && g_get_monotonic_time() >= session->busy_since + timeout)
        abandon(session, NULL);
}

static gpointer completer(gpointer data)
{
    GpudlSession *session = data;
    g_autofree GpudlRequest **told = g_new(GpudlRequest *, session->max_batch);

    g_mutex_lock(&session->lock);
    for (;;) {
        GpudlExecution *execution = session->abandoned ? NULL : pop_execution(&session->in_flight);
        GpudlFault fault = {""};
        GpudlStatus status;

        if (session->abandoned)
            call_back_cancelled(session); /* the submitter may hang */
        if (!execution) {
            if (session->quit && (session->abandoned || session->busy_since == 0))
                break;
            if (session->abandoned)
                g_cond_wait(&session->in_flight_work, &session->lock);
            else
                await_flight(session);
            continue;
        }
        g_mutex_unlock(&session->lock);
        /* also when the device has failed meanwhile: frames are given back when it has let go of them */
        status = session->backend->wait(session->engine, execution->slot, session->timeout_ns, &fault);
        g_mutex_lock(&session->lock);
        if (status == GPUDL_STATUS_TIMEOUT)
            abandon(session, execution);
        else
            finish(session, execution, status, &fault, told);
    }
    end_thread(session);
    return NULL;
}

gboolean gpudl_scheduler_run(GpudlSession *session,
                             GpudlStatus (*func)(GpudlSession *session, guint32 slot, gpointer data, GpudlFault *fault),
                             gpointer data, GError **error)
{
    GpudlErrand errand = {.func = func, .data = data};

    if (!gpudl_session_check(session, error))
        return FALSE;
    g_mutex_lock(&session->lock);
    if (session->dead) {
        g_propagate_error(error, g_error_copy(session->dead));
        g_mutex_unlock(&session->lock);
        return FALSE;
    }
    g_queue_push_tail(&session->errands, &errand);
    g_cond_broadcast(&session->work);
    while (!errand.done)
        g_cond_wait(&session->errand_done, &session->lock);
    g_mutex_unlock(&session->lock);
    if (errand.status != GPUDL_STATUS_OK)
        gpudl_set_fault(error, errand.status, &errand.fault, session->backend->name);
    return errand.status == GPUDL_STATUS_OK;
}

/* ---- start and stop ---------------------------------------------------------------------------------------------- */

/* GLib's plain call aborts the process when the system has no more threads. */
static gboolean add_thread(GpudlSession *session, const gchar *name, GThreadFunc func, gpointer data, GError **error)
{
    g_autoptr(GError) reason = NULL;
    GThread *thread;

    g_mutex_lock(&session->lock);
    session->n_running++;
    g_mutex_unlock(&session->lock);
    thread = g_thread_try_new(name, func, data, &reason);
    if (!thread) {
        g_mutex_lock(&session->lock);
        session->n_running--;
        g_mutex_unlock(&session->lock);
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY, "thread %u of a session can't be started: %s",
                    session->threads->len + 1, reason->message);
        return FALSE;
    }
    g_ptr_array_add(session->threads, thread);
    return TRUE;
}

gboolean gpudl_scheduler_start(GpudlSession *session, GError **error)
{
    gboolean is_async = (session->backend->flags & GPUDL_BACKEND_ASYNC) != 0;

    session->executions = g_new0(GpudlExecution, session->n_slots);
    session->threads = g_ptr_array_new();
    session->idle_due = is_async && session->backend->idle != NULL;
    for (guint i = 0; i < session->n_slots; i++) {
        GpudlExecution *execution = &session->executions[i];

        execution->session = session;
        execution->link.data = execution;
        execution->slot = i;
        execution->requests = g_new0(GpudlRequest *, session->max_batch);
        execution->jobs = g_new0(GpudlJob, session->max_batch);
        if (is_async)
            g_queue_push_tail_link(&session->free_slots, &execution->link);
        else if (!add_thread(session, "gpudl-worker", worker, execution, error))
            return FALSE;
    }
    return !is_async || (add_thread(session, "gpudl-submit", submitter, session, error) &&
                         add_thread(session, "gpudl-complete", completer, session, error));
}

/* TRUE once all threads have ended, FALSE if one hangs in a module that was given up. */
static gboolean await_threads(GpudlSession *session)
{
    gint64 end = g_get_monotonic_time() + LAST_WAIT_US;
    gboolean ended;

    g_mutex_lock(&session->lock);
    session->quit = TRUE;
    g_cond_broadcast(&session->work);
    g_cond_broadcast(&session->in_flight_work);
    while (session->n_running > 0 && !session->abandoned)
        g_cond_wait(&session->thread_ended, &session->lock);
    while (session->n_running > 0 && g_cond_wait_until(&session->thread_ended, &session->lock, end))
        ;
    ended = session->n_running == 0;
    g_mutex_unlock(&session->lock);
    return ended;
}

gboolean gpudl_scheduler_stop(GpudlSession *session)
{
    gboolean ended;

    g_atomic_int_set(&session->closing, TRUE); /* the module's threads know without waiting for a lock */
    if (!session->threads)
        return TRUE;
    ended = await_threads(session);
    for (guint i = 0; i < session->threads->len; i++) {
        if (ended)
            g_thread_join(session->threads->pdata[i]);
        else
            g_thread_unref(session->threads->pdata[i]);
    }
    if (session->abandoned || !ended)
        return FALSE;
    g_clear_pointer(&session->threads, g_ptr_array_unref);
    for (guint i = 0; i < session->n_slots; i++) {
        g_free(session->executions[i].requests);
        g_free(session->executions[i].jobs);
    }
    g_clear_pointer(&session->executions, g_free);
    return TRUE;
}

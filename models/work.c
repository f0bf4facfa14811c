/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/work.h"

#include "engine/gpudl.h"

struct _GpudlWork {
    gint refs; /* the caller's and the thread's; atomic */
    GpudlWorkFunc func;
    gpointer data;
    GDestroyNotify free_data, free_result;
    GCancellable *cancellable; /* of the work; NULL: there is no thread */

    /* under the lock */
    GMutex lock;
    GCond changed; /* done, entered, or the caller's cancellable */
    gboolean done, left, entered;
    gpointer result;
    GError *error;
};

static void work_unref(GpudlWork *work)
{
    if (!g_atomic_int_dec_and_test(&work->refs))
        return;
    if (work->result != NULL)
        work->free_result(work->result);
    g_clear_error(&work->error);
    g_clear_object(&work->cancellable);
    g_cond_clear(&work->changed);
    g_mutex_clear(&work->lock);
    g_free(work);
}

static gpointer work_thread(gpointer user_data)
{
    GpudlWork *work = user_data;
    GError *error = NULL;
    gpointer result = work->func(work, work->data, &error);

    work->free_data(work->data);
    g_mutex_lock(&work->lock);
    work->result = result;
    work->error = error;
    work->done = TRUE;
    g_cond_broadcast(&work->changed);
    g_mutex_unlock(&work->lock);
    work_unref(work);
    return NULL;
}

static void wake(GCancellable *cancellable, gpointer user_data)
{
    GpudlWork *work = user_data;

    g_mutex_lock(&work->lock);
    g_cond_broadcast(&work->changed);
    g_mutex_unlock(&work->lock);
}

/* What the thread gives, or CANCELLED. */
static gpointer wait_for(GpudlWork *work, GCancellable *cancellable, GError **error)
{
    gpointer result = NULL;
    /* not under the lock: a cancellable already cancelled calls at once */
    gulong handler = g_cancellable_connect(cancellable, G_CALLBACK(wake), work, NULL);

    g_mutex_lock(&work->lock);
    while (!work->done && (work->entered || !g_cancellable_is_cancelled(cancellable)))
        g_cond_wait(&work->changed, &work->lock);
    if (work->done) {
        result = g_steal_pointer(&work->result);
        if (work->error != NULL)
            g_propagate_error(error, g_steal_pointer(&work->error));
    } else {
        work->left = TRUE;
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "it was cancelled");
    }
    g_mutex_unlock(&work->lock);
    g_cancellable_disconnect(cancellable, handler);
    if (work->left)
        g_cancellable_cancel(work->cancellable);
    return result;
}

static GpudlWork *work_new(GpudlWorkFunc func, gpointer data, GDestroyNotify free_data, GDestroyNotify free_result)
{
    GpudlWork *work = g_new0(GpudlWork, 1);

    work->refs = 1;
    work->func = func;
    work->data = data;
    work->free_data = free_data;
    work->free_result = free_result;
    g_mutex_init(&work->lock);
    g_cond_init(&work->changed);
    return work;
}

gpointer gpudl_work_run(GpudlWorkFunc func, gpointer data, GDestroyNotify free_data, GDestroyNotify free_result,
                        GCancellable *cancellable, GError **error)
{
    GpudlWork *work = work_new(func, data, free_data, free_result);
    GThread *thread = NULL;
    gpointer result;

    if (cancellable != NULL) {
        work->cancellable = g_cancellable_new();
        work->refs = 2;
        thread = g_thread_try_new("gpudl-load", work_thread, work, NULL);
        if (thread == NULL) {
            g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY, "the system has no thread left to load in");
            free_data(data);
            work->refs = 1;
            work_unref(work);
            return NULL;
        }
        g_thread_unref(thread);
        result = wait_for(work, cancellable, error);
    } else {
        result = func(work, data, error);
        free_data(data);
    }
    work_unref(work);
    return result;
}

GCancellable *gpudl_work_get_cancellable(GpudlWork *work)
{
    return work->cancellable;
}

gboolean gpudl_work_enter(GpudlWork *work)
{
    gboolean entered;

    g_mutex_lock(&work->lock);
    entered = work->entered = !work->left;
    g_mutex_unlock(&work->lock);
    return entered;
}

void gpudl_work_leave(GpudlWork *work)
{
    g_mutex_lock(&work->lock);
    work->entered = FALSE;
    g_cond_broadcast(&work->changed);
    g_mutex_unlock(&work->lock);
}

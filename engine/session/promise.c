/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that are opened beside something else, each by a thread that ends with its search. */
#include "engine/session/promise.h"

#include <stdlib.h>

#include "engine/process.h"

/* A driver that ends while a thread is in it may take the process along, so its end waits for those threads; most
 * devices are open in less. One that hangs does not keep it longer. */
#define EXIT_WAITS_US (5 * G_TIME_SPAN_SECOND)

struct _GpudlDevicePromise {
    /* fixed once it is made */
    gchar *backend; /* NULL: "auto" */
    gint id;
    guint generation; /* of the process that made it */

    /* under the promises' lock */
    gboolean searching; /* its thread has not come back */
    gboolean dropped;   /* the thread frees it */
    gboolean taken;     /* by an acquire; */
    GpudlSearch found;  /* what has come of it: the device stays, the error is who takes it's */
};

/* A leaf: no other lock of the library is taken while it is held, and no module runs. */
static GMutex promises_lock;
static GCond promises_changed; /* some thread has come back, or ended; or some waiter was cancelled */
static guint n_threads;
/* Atomic; not GLib's once: it has a lock that fork() may leave locked in a child. */
static gint guarded_threads, guarded_libraries;

static void forget_threads(void)
{
    n_threads = 0;
    g_cond_init(&promises_changed);
}

__attribute__((constructor)) static void guard_promises(void)
{
    gpudl_process_guard(&promises_lock, forget_threads);
}

static gboolean is_inherited(const GpudlDevicePromise *promise)
{
    return promise->generation != gpudl_process_generation();
}

static void destroy(GpudlDevicePromise *promise)
{
    gpudl_device_unref(promise->found.device);
    g_clear_error(&promise->found.error);
    g_free(promise->backend);
    g_free(promise);
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static void wait_at_exit(void)
{
    static gint64 end; /* of both waits together */

    g_mutex_lock(&promises_lock);
    if (end == 0)
        end = g_get_monotonic_time() + EXIT_WAITS_US;
    while (n_threads > 0 && g_cond_wait_until(&promises_changed, &promises_lock, end))
        ;
    g_mutex_unlock(&promises_lock);
}

/* What was registered last is called first at the end of the process. Twice: before there is a thread, so that an end
 * waits for one that opens the driver's libraries; and behind what they have registered, whose turn is then later. */
static void guard_exit(gint *guarded)
{
    if (g_atomic_int_compare_and_exchange(guarded, 0, 1))
        atexit(wait_at_exit);
}

static gpointer search(gpointer data)
{
    GpudlDevicePromise *promise = data;
    GpudlSearch found;
    gboolean dropped;

    gpudl_backend_find(promise->backend, promise->id, NULL); /* the libraries are opened */
    guard_exit(&guarded_libraries);
    found = gpudl_device_search(promise->backend, promise->id);
    g_mutex_lock(&promises_lock);
    promise->found = found;
    promise->searching = FALSE;
    dropped = promise->dropped;
    g_cond_broadcast(&promises_changed);
    g_mutex_unlock(&promises_lock);
    if (dropped)
        destroy(promise); /* else it is gone as soon as its owner wants */
    g_mutex_lock(&promises_lock);
    n_threads--;
    g_cond_broadcast(&promises_changed);
    g_mutex_unlock(&promises_lock);
    return NULL;
}

GpudlDevicePromise *gpudl_device_promise(const gchar *backend, gint id, const gchar *path)
{
    GpudlDevicePromise *promise = g_new0(GpudlDevicePromise, 1);
    GThread *thread;

    promise->backend = g_strdup(backend);
    promise->id = id;
    promise->generation = gpudl_process_generation();
    if (path && !g_file_test(path, G_FILE_TEST_EXISTS))
        return promise;
    promise->searching = TRUE;
    guard_exit(&guarded_threads);
    g_mutex_lock(&promises_lock);
    n_threads++;
    g_mutex_unlock(&promises_lock);
    thread = g_thread_try_new("gpudl-device", search, promise, NULL);
    if (thread) {
        g_thread_unref(thread);
        return promise;
    }
    promise->searching = FALSE; /* without a thread whoever acquires searches */
    g_mutex_lock(&promises_lock);
    n_threads--;
    g_mutex_unlock(&promises_lock);
    return promise;
}

void gpudl_device_promise_free(GpudlDevicePromise *promise)
{
    if (!promise || is_inherited(promise))
        return;
    g_mutex_lock(&promises_lock);
    promise->dropped = promise->searching;
    if (promise->dropped)
        promise = NULL;
    g_mutex_unlock(&promises_lock);
    if (promise)
        destroy(promise);
}

/* ---- what has come of it ----------------------------------------------------------------------------------------- */

static void wake_waiters(GCancellable *cancellable, gpointer data)
{
    g_mutex_lock(&promises_lock);
    g_cond_broadcast(&promises_changed);
    g_mutex_unlock(&promises_lock);
}

gboolean gpudl_device_promise_take(GpudlDevicePromise *promise, GCancellable *cancellable, GpudlSearch *found,
                                   GError **error)
{
    gboolean came;
    gulong handler = 0;

    *found = (GpudlSearch){NULL, NULL};
    if (is_inherited(promise))
        return TRUE;
    /* outside the lock: a cancellable already cancelled calls at once */
    if (cancellable)
        handler = g_cancellable_connect(cancellable, G_CALLBACK(wake_waiters), NULL, NULL);
    g_mutex_lock(&promises_lock);
    while (promise->searching && !(cancellable && g_cancellable_is_cancelled(cancellable)))
        g_cond_wait(&promises_changed, &promises_lock);
    came = !promise->searching;
    if (came && !promise->taken) {
        *found = promise->found;
        promise->found.error = NULL;
        promise->taken = TRUE;
    }
    g_mutex_unlock(&promises_lock);
    if (found->device)
        gpudl_device_ref(found->device);
    if (cancellable)
        g_cancellable_disconnect(cancellable, handler);
    if (!came)
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "opening the device was cancelled");
    return came;
}

gboolean gpudl_device_promise_is_for(const GpudlDevicePromise *promise, const gchar *backend, gint id)
{
    const gchar *wanted = backend ? backend : "auto", *promised = promise->backend ? promise->backend : "auto";

    return g_str_equal(wanted, promised) && MAX(id, -1) == MAX(promise->id, -1);
}

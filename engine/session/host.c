/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a module may call. */
#include <string.h>

#include "engine/session/session.h"

static const GpudlPlan *host_plan(void *host, int64_t batch, GpudlFault *fault)
{
    GpudlSession *session = host;
    g_autoptr(GError) error = NULL;
    const GpudlPlan *plan = gpudl_planner_get(session->planner, batch, &error);

    if (!plan)
        g_strlcpy(fault->message, error->message, sizeof fault->message);
    return plan;
}

static GpudlStatus host_hold_constants(void *host, GpudlFault *fault)
{
    GpudlSession *session = host;
    g_autoptr(GError) error = NULL;

    if (gpudl_model_hold(session->model, &error))
        return GPUDL_STATUS_OK;
    g_strlcpy(fault->message, error->message, sizeof fault->message);
    return g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY) ? GPUDL_STATUS_NO_MEMORY : GPUDL_STATUS_FAILED;
}

static void host_release_constants(void *host)
{
    GpudlSession *session = host;

    gpudl_model_release(session->model);
}

static void host_spend_constant(void *host, const void *data, uint64_t bytes)
{
    GpudlSession *session = host;

    gpudl_model_spend(session->model, data, (gsize)bytes);
}

static uint64_t host_place(void *host, uint32_t n, const uint64_t *sizes, const int32_t *first, const int32_t *last,
                           uint64_t alignment, uint64_t *offsets)
{
    return gpudl_place(n, (const guint64 *)sizes, first, last, alignment, (guint64 *)offsets);
}

static void host_log(void *host, GpudlLogLevel level, const char *message)
{
    GpudlSession *session = host;
    static const GLogLevelFlags levels[] = {G_LOG_LEVEL_DEBUG, G_LOG_LEVEL_INFO, G_LOG_LEVEL_MESSAGE};

    /* MESSAGE, not WARNING: a host that makes warnings fatal must not die of a slow kernel */
    g_log("gpudl", levels[MIN((guint)level, G_N_ELEMENTS(levels) - 1)], "%s: %s", session->backend->name, message);
}

static int host_cancelled(void *host)
{
    GpudlSession *session = host;

    return g_atomic_int_get(&session->loading) && session->cancellable &&
           g_cancellable_is_cancelled(session->cancellable);
}

static int host_closing(void *host)
{
    GpudlSession *session = host;

    return g_atomic_int_get(&session->closing);
}

static int host_waiting(void *host)
{
    GpudlSession *session = host;
    gboolean waiting;

    g_mutex_lock(&session->lock);
    waiting = session->n_queued > 0 || !g_queue_is_empty(&session->errands) || session->quit;
    g_mutex_unlock(&session->lock);
    return waiting;
}

static void ignore_change(const GpudlSession *session, const gchar *wrong)
{
    g_log("gpudl", G_LOG_LEVEL_MESSAGE, "%s: a change of the engine is ignored: %s", session->backend->name, wrong);
}

/* Takes what may change over. NULL, or what is wrong. Under the lock. */
static const gchar *change(GpudlSession *session, const GpudlEngineInfo *info)
{
    const gchar *wrong = gpudl_batches_check(info);
    GpudlEngineInfo *now = &session->info;

    if (!wrong && (info->n_slots != session->n_slots || info->max_batch != session->max_batch))
        wrong = "another number of slots, or another largest batch";
    if (wrong)
        return wrong;
    /* the rest is read without the lock */
    now->n_buckets = info->n_buckets;
    memcpy(now->buckets, info->buckets, sizeof now->buckets);
    memcpy(now->bucket_ns, info->bucket_ns, sizeof now->bucket_ns);
    now->depth = info->depth;
    now->weight_bytes = info->weight_bytes;
    now->work_bytes = info->work_bytes;
    now->run_time_ns = info->run_time_ns;
    gpudl_batches_set(&session->batches, now);
    return NULL;
}

static void host_changed(void *host, const GpudlEngineInfo *info)
{
    GpudlSession *session = host;
    const gchar *wrong = NULL;

    g_mutex_lock(&session->lock);
    if (session->opened) {
        wrong = change(session, info);
    } else { /* a thread of the module's was quicker than the return of open() */
        session->early = TRUE;
        session->tuned = *info;
    }
    g_mutex_unlock(&session->lock);
    if (wrong)
        ignore_change(session, wrong);
}

const gchar *gpudl_host_opened(GpudlSession *session, const GpudlEngineInfo *info)
{
    const gchar *wrong = gpudl_batches_check(info), *wrong_change = NULL;

    g_mutex_lock(&session->lock);
    session->info = *info;
    session->n_slots = info->n_slots;
    session->max_batch = info->max_batch;
    session->memory_kinds = info->memory_kinds;
    if (!wrong)
        gpudl_batches_set(&session->batches, info);
    if (!wrong && session->early)
        wrong_change = change(session, &session->tuned);
    session->opened = wrong == NULL;
    g_mutex_unlock(&session->lock);
    if (wrong_change)
        ignore_change(session, wrong_change);
    return wrong;
}

static void host_progress(void *host, double done, const char *what)
{
    GpudlSession *session = host;

    if (g_atomic_int_get(&session->loading)) {
        if (session->progress)
            session->progress(CLAMP(done, 0, 1), what, session->progress_data);
        return;
    }
    g_mutex_lock(&session->lock);
    session->idle_done = CLAMP(done, 0, 1);
    g_strlcpy(session->idle_what, what, sizeof session->idle_what);
    session->idle_told = TRUE;
    g_cond_broadcast(&session->settling);
    g_mutex_unlock(&session->lock);
}

static void host_missing(void *host, const char *what)
{
    GpudlSession *session = host;

    if (session->missing)
        g_ptr_array_add(session->missing, g_strdup(what));
}

void gpudl_host_init(GpudlHost *host, GpudlSession *session)
{
    *host = (GpudlHost){
        .host = session,
        .plan = host_plan,
        .hold_constants = host_hold_constants,
        .release_constants = host_release_constants,
        .spend_constant = session->model->spend ? host_spend_constant : NULL,
        .place = host_place,
        .log = host_log,
        .cancelled = host_cancelled,
        .closing = host_closing,
        .waiting = host_waiting,
        .changed = host_changed,
        .progress = host_progress,
        .missing = host_missing,
    };
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a session would find in the cache, and waiting until what it chooses in idle time is chosen. */
#include <string.h>

#include "engine/session/session.h"
#include "engine/structs.h"

/* ---- before loading ---------------------------------------------------------------------------------------------- */

void gpudl_forecast_free(GpudlForecast *forecast)
{
    if (!forecast)
        return;
    g_free(forecast->backend);
    g_strfreev(forecast->missing);
    g_free(forecast->cache_dir);
    g_free(forecast->not_kept);
    g_free(forecast);
}

static gchar **take_missing(GpudlSession *session)
{
    g_ptr_array_add(session->missing, NULL);
    return (gchar **)g_ptr_array_free(g_steal_pointer(&session->missing), FALSE);
}

static gboolean ask(GpudlSession *session, GpudlOpenForecast *found, GError **error)
{
    const GpudlBackend *backend = session->backend;
    GpudlOpenParams params = session->params;
    GpudlFault fault = {""};
    GpudlStatus status;

    if (!backend->forecast)
        return TRUE;
    if (!gpudl_model_hold_cancellable(session->model, session->cancellable, error))
        return FALSE;
    params.memory_limit = session->limit;
    g_atomic_int_set(&session->loading, TRUE);
    status = backend->forecast(session->device->handle, &session->host, &params, found, &fault);
    g_atomic_int_set(&session->loading, FALSE);
    gpudl_model_release(session->model);
    if (status == GPUDL_STATUS_OK && found->n_known <= found->n_choices)
        return TRUE;
    if (g_cancellable_set_error_if_cancelled(session->cancellable, NULL)) {
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "looking at the cache was cancelled");
    } else if (status == GPUDL_STATUS_OK) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_BACKEND, "backend '%s' knows %u of %u choices", backend->name,
                    found->n_known, found->n_choices);
    } else {
        g_autofree gchar *prefix =
            g_strdup_printf("backend '%s' refuses model '%s'", backend->name, session->model->name);

        gpudl_set_fault(error, status, &fault, prefix);
    }
    return FALSE;
}

static GpudlForecast *forecast_on(GpudlModel *model, const GpudlSessionConfig *config, GCancellable *cancellable,
                                  const GpudlBackend **refused, GError **error)
{
    g_autoptr(GpudlSession) session = gpudl_session_prepare(model, config, cancellable, error);
    GpudlOpenForecast found = {0};
    GpudlForecast *forecast;

    if (!session)
        return NULL;
    *refused = session->backend;
    session->missing = g_ptr_array_new();
    if (!ask(session, &found, error)) {
        g_strfreev(take_missing(session));
        return NULL;
    }
    forecast = g_new0(GpudlForecast, 1);
    *forecast = (GpudlForecast){
        .backend = g_strdup(session->backend->name),
        .precision = (GpudlPrecision)session->params.precision,
        .batch_size = session->params.batch_size,
        .n_choices = found.n_choices,
        .n_known = found.n_known,
        .missing = take_missing(session),
        .cache_dir = g_strdup(session->cache_dir),
        .not_kept = found.not_kept[0] ? g_strndup(found.not_kept, sizeof found.not_kept) : NULL,
        .weights = found.weight_bytes,
        .workspace = found.work_bytes,
    };
    return forecast;
}

GpudlForecast *gpudl_session_forecast(GpudlModel *model, const GpudlSessionConfig *given, GCancellable *cancellable,
                                      GError **error)
{
    GpudlSessionConfig config = {.cuda_device_id = -1};
    const GpudlBackend *refused = NULL;
    g_autoptr(GError) reason = NULL;
    GpudlForecast *forecast;

    if (given && !gpudl_struct_take(&config, sizeof config, given, GPUDL_SIZE_TO(GpudlSessionConfig, progress_data),
                                    "GpudlSessionConfig", error))
        return NULL;
    config.progress = NULL;
    forecast = forecast_on(model, &config, cancellable, &refused, &reason);
    if (!forecast && refused && !config.device && (!config.backend || strcmp(config.backend, "auto") == 0) &&
        g_error_matches(reason, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED)) { /* as an acquire would */
        const GpudlBackend *next = gpudl_backend_find_after(refused, config.cuda_device_id);

        config.backend = next ? next->name : NULL;
        forecast = next ? forecast_on(model, &config, cancellable, &refused, NULL) : NULL;
    }
    if (!forecast)
        g_propagate_error(error, g_steal_pointer(&reason));
    return forecast;
}

/* ---- after loading ----------------------------------------------------------------------------------------------- */

static void wake(GCancellable *cancellable, gpointer data)
{
    GpudlSession *session = data;

    g_mutex_lock(&session->lock);
    g_cond_broadcast(&session->settling);
    g_mutex_unlock(&session->lock);
}

/* Passes on what idle() has told. Under the lock, which is let go meanwhile. */
static void tell(GpudlSession *session, GpudlProgressFunc progress, gpointer user_data)
{
    const double done = session->idle_done;
    gchar what[sizeof session->idle_what];

    session->idle_told = FALSE;
    g_strlcpy(what, session->idle_what, sizeof what);
    g_mutex_unlock(&session->lock);
    progress(done, what, user_data);
    g_mutex_lock(&session->lock);
}

gboolean gpudl_session_settle(GpudlSession *session, GpudlProgressFunc progress, gpointer user_data,
                              GCancellable *cancellable, GError **error)
{
    const GError *failure;
    gulong handler = 0;
    gboolean good;

    if (!gpudl_session_check(session, error))
        return FALSE;
    /* outside the lock: a cancellable already cancelled calls at once */
    if (cancellable)
        handler = g_cancellable_connect(cancellable, G_CALLBACK(wake), session, NULL);
    g_mutex_lock(&session->lock);
    for (;;) {
        if (session->idle_told && progress)
            tell(session, progress, user_data);
        else if (!session->idle_due || session->dead || (cancellable && g_cancellable_is_cancelled(cancellable)))
            break;
        else
            g_cond_wait(&session->settling, &session->lock);
    }
    failure = session->dead ? session->dead : session->idle_error;
    good = !failure && !session->idle_due;
    if (failure)
        g_propagate_error(error, g_error_copy(failure));
    else if (!good)
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "tuning was cancelled");
    g_mutex_unlock(&session->lock);
    if (cancellable)
        g_cancellable_disconnect(cancellable, handler);
    return good;
}

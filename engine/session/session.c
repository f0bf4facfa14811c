/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Life of sessions: the registry of those that are alive, loading, the last reference. */
#include "engine/session/session.h"

#include <string.h>

#include "engine/limits.h"

static GMutex registry_lock;
static GCond registry_changed; /* some session left LOADING, or some waiter was cancelled */
static GHashTable *registry;   /* key -> GpudlSession*, no reference */

/* ---- what a module may call -------------------------------------------------------------------------------------- */

static const GpudlPlan *host_plan(void *host, int64_t batch, GpudlFault *fault)
{
    GpudlSession *session = host;
    g_autoptr(GError) error = NULL;
    const GpudlPlan *plan = gpudl_planner_get(session->planner, batch, &error);

    if (!plan)
        g_strlcpy(fault->message, error->message, sizeof fault->message);
    return plan;
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

    return session->cancellable && g_cancellable_is_cancelled(session->cancellable);
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static gboolean check_config(GpudlModel *model, const GpudlSessionConfig *config, const GpudlBackend *backend,
                             GError **error)
{
    if ((guint)config->precision > GPUDL_PRECISION_FP8 || (guint)config->activation > GPUDL_ACTIVATION_SIGMOID) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT, "precision %d or activation %d is unknown",
                    config->precision, config->activation);
        return FALSE;
    }
    if (config->precision != GPUDL_PRECISION_AUTO && !(backend->precisions & (1u << config->precision))) {
        g_autoptr(GString) can = g_string_new(NULL);

        for (guint i = GPUDL_PRECISION_FP32; i <= GPUDL_PRECISION_FP8; i++)
            if (backend->precisions & (1u << i))
                g_string_append_printf(can, "%s%s", can->len ? ", " : "", gpudl_precision_name((GpudlPrecision)i));
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED, "backend '%s' can't compute in %s, it can in %s",
                    backend->name, gpudl_precision_name(config->precision), can->str);
        return FALSE;
    }
    if (config->cpu_threads > GPUDL_LIMIT_THREADS) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT, "%u threads were asked for, at most %u are made",
                    config->cpu_threads, GPUDL_LIMIT_THREADS);
        return FALSE;
    }
    if (gpudl_model_get_n_heads(model) > GPUDL_MAX_HEADS) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT, "model '%s' has %u outputs, at most %d are taken",
                    model->name, gpudl_model_get_n_heads(model), GPUDL_MAX_HEADS);
        return FALSE;
    }
    return TRUE;
}

static gboolean open_engine(GpudlSession *session, GError **error)
{
    GpudlFault fault = {""};
    GpudlStatus status;
    g_autofree gchar *prefix =
        g_strdup_printf("backend '%s' refuses model '%s'", session->backend->name, session->model->name);

    session->planner = gpudl_planner_new(session->model->graph, session->model->id);
    session->n_heads = gpudl_model_get_n_heads(session->model);
    session->host = (GpudlHost){
        .abi_version = GPUDL_BACKEND_ABI,
        .struct_size = sizeof(GpudlHost),
        .host = session,
        .plan = host_plan,
        .place = host_place,
        .log = host_log,
        .cancelled = host_cancelled,
    };
    status = session->backend->open(&session->host, &session->params, &session->engine, &session->info, &fault);
    if (status != GPUDL_STATUS_OK) {
        session->engine = NULL;
        if (!g_cancellable_set_error_if_cancelled(session->cancellable, NULL))
            gpudl_set_fault(error, status, &fault, prefix);
        else
            g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "loading was cancelled");
        return FALSE;
    }
    if (session->info.n_slots < 1 || session->info.max_batch < 1) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_BACKEND, "%s: %u slots for batches of %u", prefix,
                    session->info.n_slots, session->info.max_batch);
        return FALSE;
    }
    return gpudl_scheduler_start(session, error);
}

static GpudlSession *session_new(GpudlModel *model, const GpudlSessionConfig *config, const GpudlBackend *backend,
                                 const gchar *key)
{
    GpudlSession *session = g_new0(GpudlSession, 1);

    session->refs = 1;
    session->key = g_strdup(key);
    session->model = gpudl_model_ref(model);
    session->backend = backend;
    g_mutex_init(&session->lock);
    g_cond_init(&session->work);
    g_cond_init(&session->in_flight_work);
    g_queue_init(&session->ready);
    g_queue_init(&session->cancelled);
    g_queue_init(&session->in_flight);
    g_queue_init(&session->free_slots);
    session->params = (GpudlOpenParams){
        .struct_size = sizeof(GpudlOpenParams),
        .precision = config->precision,
        .activation = config->activation == GPUDL_ACTIVATION_AUTO ? model->activation : config->activation,
        .device_id = config->cuda_device_id,
        .context = config->cuda_context,
        .threads = config->cpu_threads,
        .batch_size = config->batch_size,
        .deterministic = config->deterministic,
        .memory_limit = config->memory_limit,
        .input_channels = model->preproc.channels,
        .input_height = model->preproc.height,
        .input_width = model->preproc.width,
    };
    return session;
}

static void session_destroy(GpudlSession *session)
{
    gpudl_scheduler_stop(session);
    if (session->engine)
        session->backend->close(session->engine);
    gpudl_planner_free(session->planner);
    gpudl_model_unref(session->model);
    g_clear_error(&session->load_error);
    g_clear_error(&session->dead);
    g_queue_clear(&session->cancelled);
    g_queue_clear(&session->in_flight);
    g_cond_clear(&session->work);
    g_cond_clear(&session->in_flight_work);
    g_mutex_clear(&session->lock);
    g_free(session->key);
    g_free(session);
}

/* ---- registry ---------------------------------------------------------------------------------------------------- */

/* A model without an id was made by the caller and is shared only as the same object. */
static gchar *make_key(GpudlModel *model, const GpudlSessionConfig *config, const GpudlBackend *backend)
{
    g_autofree gchar *id = model->id[0] ? g_strdup(model->id) : g_strdup_printf("%p", (gpointer)model);
    GpudlActivation activation = config->activation == GPUDL_ACTIVATION_AUTO ? model->activation : config->activation;

    /* two ways to say the first device, and any number but 0 for TRUE */
    return g_strdup_printf("%s|%s|%d|%p|%d|%u|%u|%d|%d|%" G_GUINT64_FORMAT, id, backend->name,
                           MAX(config->cuda_device_id, 0), config->cuda_context, config->precision, config->batch_size,
                           config->cpu_threads, activation, config->deterministic != FALSE, config->memory_limit);
}

static void unlist_locked(GpudlSession *session)
{
    if (session->listed) {
        g_hash_table_remove(registry, session->key);
        session->listed = FALSE;
    }
}

void gpudl_session_unlist(GpudlSession *session)
{
    g_mutex_lock(&registry_lock);
    unlist_locked(session);
    g_mutex_unlock(&registry_lock);
}

GpudlSession *gpudl_session_ref(GpudlSession *session)
{
    g_mutex_lock(&registry_lock);
    session->refs++;
    g_mutex_unlock(&registry_lock);
    return session;
}

void gpudl_session_unref(GpudlSession *session)
{
    if (!session)
        return;
    g_mutex_lock(&registry_lock);
    if (--session->refs > 0) {
        g_mutex_unlock(&registry_lock);
        return;
    }
    unlist_locked(session);
    g_mutex_unlock(&registry_lock);
    session_destroy(session);
}

static void wake_waiters(GCancellable *cancellable, gpointer data)
{
    g_mutex_lock(&registry_lock);
    g_cond_broadcast(&registry_changed);
    g_mutex_unlock(&registry_lock);
}

/* Under the registry's lock. TRUE once it is loaded or failed, FALSE if the waiter was cancelled. */
static gboolean wait_loaded(GpudlSession *session, GCancellable *cancellable)
{
    while (session->state == GPUDL_SESSION_LOADING) {
        if (cancellable && g_cancellable_is_cancelled(cancellable))
            return FALSE;
        g_cond_wait(&registry_changed, &registry_lock);
    }
    return TRUE;
}

/* The caller has put the session into the registry as LOADING and holds a reference. */
static gboolean load(GpudlSession *session, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    gboolean good;

    session->cancellable = cancellable;
    good = open_engine(session, &failure);
    session->cancellable = NULL;
    g_mutex_lock(&registry_lock);
    session->state = good ? GPUDL_SESSION_READY : GPUDL_SESSION_FAILED;
    if (!good) {
        session->load_error = g_error_copy(failure);
        unlist_locked(session);
    }
    g_cond_broadcast(&registry_changed);
    g_mutex_unlock(&registry_lock);
    if (!good)
        g_propagate_error(error, g_steal_pointer(&failure));
    return good;
}

/* Finds the key's session or lists a new one, which the caller then has to load. */
static GpudlSession *find_or_list(GpudlModel *model, const GpudlSessionConfig *config, const GpudlBackend *backend,
                                  const gchar *key, gboolean *is_new)
{
    GpudlSession *session;

    if (!registry)
        registry = g_hash_table_new(g_str_hash, g_str_equal);
    session = g_hash_table_lookup(registry, key);
    *is_new = session == NULL;
    if (session) {
        session->refs++;
        return session;
    }
    session = session_new(model, config, backend, key);
    session->listed = TRUE;
    g_hash_table_insert(registry, session->key, session);
    return session;
}

static gboolean join_loading(GpudlSession *session, GCancellable *cancellable, gboolean *again, GError **error)
{
    gulong handler = 0;
    gboolean waited, good;

    /* connect outside the lock: a cancellable already cancelled calls at once */
    if (cancellable)
        handler = g_cancellable_connect(cancellable, G_CALLBACK(wake_waiters), NULL, NULL);
    g_mutex_lock(&registry_lock);
    waited = wait_loaded(session, cancellable);
    good = waited && session->state == GPUDL_SESSION_READY;
    /* who loaded gave up, we did not */
    *again = waited && !good && g_error_matches(session->load_error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
    if (waited && !good && !*again)
        g_propagate_error(error, g_error_copy(session->load_error));
    g_mutex_unlock(&registry_lock);
    if (cancellable)
        g_cancellable_disconnect(cancellable, handler);
    if (!waited)
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "loading was cancelled");
    return good;
}

GpudlSession *gpudl_session_acquire(GpudlModel *model, const GpudlSessionConfig *config, GCancellable *cancellable,
                                    GError **error)
{
    static const GpudlSessionConfig defaults = {.cuda_device_id = -1};
    const GpudlBackend *backend;
    g_autofree gchar *key = NULL;

    if (!config)
        config = &defaults;
    backend = gpudl_backend_find(config->backend, config->cuda_device_id, error);
    if (!backend || !check_config(model, config, backend, error))
        return NULL;
    key = make_key(model, config, backend);
    for (;;) {
        gboolean is_new, again = FALSE;
        GpudlSession *session;

        g_mutex_lock(&registry_lock);
        session = find_or_list(model, config, backend, key, &is_new);
        g_mutex_unlock(&registry_lock);
        if (is_new ? load(session, cancellable, error) : join_loading(session, cancellable, &again, error))
            return session;
        gpudl_session_unref(session);
        if (!again)
            return NULL;
    }
}

/* ---- what it is -------------------------------------------------------------------------------------------------- */

GpudlModel *gpudl_session_get_model(GpudlSession *session)
{
    return session->model;
}

const gchar *gpudl_session_get_backend(GpudlSession *session)
{
    return session->backend->name;
}

const gchar *gpudl_session_get_device_name(GpudlSession *session)
{
    return session->info.device_name;
}

GpudlPrecision gpudl_session_get_precision(GpudlSession *session)
{
    return (GpudlPrecision)session->info.precision;
}

guint gpudl_session_get_parallelism(GpudlSession *session)
{
    return session->info.n_slots * session->info.max_batch;
}

guint gpudl_session_get_max_batch(GpudlSession *session)
{
    return session->info.max_batch;
}

guint64 gpudl_session_get_run_time(GpudlSession *session)
{
    return session->info.run_time_ns;
}

guint64 gpudl_session_get_memory(GpudlSession *session, guint64 *weights, guint64 *workspace)
{
    if (weights)
        *weights = session->info.weight_bytes;
    if (workspace)
        *workspace = session->info.work_bytes;
    return session->info.weight_bytes + session->info.work_bytes;
}

gboolean gpudl_session_accepts_memory(GpudlSession *session, GpudlMemoryKind memory)
{
    return (guint)memory < 32 && (session->info.memory_kinds & (1u << memory)) != 0;
}

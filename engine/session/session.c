/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Life of sessions: the registry of those that are alive, loading, the last reference. */
#include "engine/session/session.h"

#include "engine/process.h"
#include "engine/session/acquire.h"
#include "engine/session/precision.h"

/* A GPU's driver gives up a kernel after some seconds where it drives a display, and not at all elsewhere. */
#define DEFAULT_TIMEOUT_NS (10 * G_GUINT64_CONSTANT(1000000000))

static GMutex registry_lock;
static GCond registry_changed; /* some session left LOADING, or some waiter was cancelled */
static GHashTable *registry;   /* key -> GpudlSession*, no reference */

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static gboolean check_limit(const GpudlEngineInfo *info, const GpudlWanted *wanted, const gchar *prefix, GError **error)
{
    if (wanted->limit == 0 ||
        (info->weight_bytes <= wanted->limit && info->work_bytes <= wanted->limit - info->weight_bytes))
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY,
                "%s: weights of %" G_GUINT64_FORMAT " and work memory of %" G_GUINT64_FORMAT
                " bytes are more than the memory limit of %" G_GUINT64_FORMAT,
                prefix, info->weight_bytes, info->work_bytes, wanted->limit);
    return FALSE;
}

/* The model's constants are held. */
static gboolean open_held(GpudlSession *session, const GpudlWanted *wanted, GError **error)
{
    GpudlFault fault = {""};
    GpudlStatus status;
    GpudlOpenParams params = session->params;
    GpudlEngineInfo info = {0};
    const gchar *wrong;
    g_autofree gchar *prefix =
        g_strdup_printf("backend '%s' refuses model '%s'", session->backend->name, session->model->name);

    session->planner = gpudl_model_get_planner(session->model);
    session->n_heads = gpudl_model_get_n_heads(session->model);
    gpudl_host_init(&session->host, session);
    params.memory_limit = wanted->limit;
    g_atomic_int_set(&session->loading, TRUE);
    status = session->backend->open(session->device->handle, &session->host, &params, &session->engine, &info, &fault);
    g_atomic_int_set(&session->loading, FALSE);
    if (status != GPUDL_STATUS_OK) {
        session->engine = NULL;
        if (!g_cancellable_set_error_if_cancelled(session->cancellable, NULL))
            gpudl_set_fault(error, status, &fault, prefix);
        else
            g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "loading was cancelled");
        return FALSE;
    }
    wrong = gpudl_host_opened(session, &info);
    if (wrong) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_BACKEND, "%s: its engine has %s (%u slots, batches of %u)", prefix,
                    wrong, info.n_slots, info.max_batch);
        return FALSE;
    }
    return check_limit(&info, wanted, prefix, error) && gpudl_scheduler_start(session, error);
}

/* On the session, whose engine nobody has yet. *strays: it moves the golden sample. That is an error where nobody has
 * asked for this precision. */
static gboolean prove(GpudlSession *session, const GpudlWanted *wanted, gboolean *strays, GError **error)
{
    const gchar *precision = gpudl_precision_name((GpudlPrecision)session->params.precision);
    g_autofree gchar *how = NULL;

    if (!gpudl_precision_prove(session, &how, error))
        return FALSE;
    *strays = how != NULL;
    if (!*strays || !gpudl_wanted_is_lowered(wanted))
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED, "model '%s' does not bear %s, its golden sample tells: %s",
                session->model->name, precision, how);
    return FALSE;
}

static gboolean open_engine(GpudlSession *session, const GpudlWanted *wanted, gboolean *strays, GError **error)
{
    gboolean good;

    if (!gpudl_model_hold_cancellable(session->model, session->cancellable, error))
        return FALSE;
    good = open_held(session, wanted, error) && prove(session, wanted, strays, error);
    gpudl_model_release(session->model); /* the module has what it needs */
    return good;
}

GpudlSession *gpudl_session_new(GpudlModel *model, GpudlDevice *device, const GpudlWanted *wanted, const gchar *key,
                                GCancellable *cancellable)
{
    GpudlSession *session = g_new0(GpudlSession, 1);

    session->refs = 1;
    session->key = g_strdup(key);
    session->model = gpudl_model_ref(model);
    session->device = device;
    session->backend = device->backend;
    session->params = wanted->params;
    session->cache_dir = g_strdup(wanted->cache_dir);
    session->params.cache_dir = session->cache_dir;
    session->limit = wanted->limit;
    session->timeout_ns = wanted->config->device_timeout ? wanted->config->device_timeout : DEFAULT_TIMEOUT_NS;
    session->generation = gpudl_process_generation();
    session->cancellable = cancellable ? g_object_ref(cancellable) : NULL;
    session->progress = wanted->config->progress;
    session->progress_data = wanted->config->progress_data;
    g_mutex_init(&session->lock);
    g_cond_init(&session->work);
    g_cond_init(&session->in_flight_work);
    g_cond_init(&session->errand_done);
    g_cond_init(&session->thread_ended);
    g_cond_init(&session->settling);
    g_queue_init(&session->ready);
    g_queue_init(&session->cancelled);
    g_queue_init(&session->in_flight);
    g_queue_init(&session->free_slots);
    g_queue_init(&session->errands);
    return session;
}

gboolean gpudl_session_is_inherited(const GpudlSession *session)
{
    return session->generation != gpudl_process_generation();
}

static void session_destroy(GpudlSession *session)
{
    /* a module that hangs, or a parent process, goes on using what it was given */
    if (gpudl_session_is_inherited(session) || !gpudl_scheduler_stop(session))
        return;
    if (session->engine)
        session->backend->close(session->engine);
    gpudl_model_unref(session->model);
    gpudl_device_unref(session->device);
    gpudl_batches_clear(&session->batches);
    g_clear_object(&session->cancellable);
    g_clear_error(&session->load_error);
    g_clear_error(&session->dead);
    g_clear_error(&session->idle_error);
    g_queue_clear(&session->cancelled);
    g_cond_clear(&session->work);
    g_cond_clear(&session->in_flight_work);
    g_cond_clear(&session->errand_done);
    g_cond_clear(&session->thread_ended);
    g_cond_clear(&session->settling);
    g_mutex_clear(&session->lock);
    g_free(session->cache_dir);
    g_free(session->key);
    g_free(session);
}

/* ---- registry ---------------------------------------------------------------------------------------------------- */

/* The content is what was verified as the model was read. A model without one was made by the caller and is shared only
 * as the same object. Callers size inputs and results by their own model: whatever the content says, a network of other
 * sizes is another one. */
static gchar *make_key(GpudlModel *model, GpudlDevice *device, const GpudlOpenParams *p)
{
    g_autoptr(GString) key = g_string_new(NULL);

    if (model->content[0])
        g_string_append(key, model->content);
    else
        g_string_append_printf(key, "%p", (gpointer)model);
    for (guint i = 0; i < gpudl_model_get_n_heads(model); i++)
        g_string_append_printf(key, "/%u", gpudl_model_get_n_classes(model, i));
    g_string_append_printf(key, "|%dx%dx%d|%p|%d|%d|%u|%u|%d|%d|%d|%" G_GUINT64_FORMAT, p->input_channels,
                           p->input_height, p->input_width, (gpointer)device, p->precision, p->activation, p->threads,
                           p->batch_size, p->deterministic, p->autotune, p->priority, p->memory_limit);
    return g_string_free(g_steal_pointer(&key), FALSE);
}

static void forget_sessions(void)
{
    registry = NULL;
}

__attribute__((constructor)) static void guard_registry(void)
{
    gpudl_process_guard(&registry_lock, forget_sessions);
}

static void lock_registry(void)
{
    g_mutex_lock(&registry_lock);
    if (!registry)
        registry = g_hash_table_new(g_str_hash, g_str_equal);
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
    lock_registry();
    unlist_locked(session);
    g_mutex_unlock(&registry_lock);
}

guint gpudl_session_count(void)
{
    guint n;

    lock_registry();
    n = g_hash_table_size(registry);
    g_mutex_unlock(&registry_lock);
    return n;
}

GpudlSession *gpudl_session_ref(GpudlSession *session)
{
    lock_registry();
    session->refs++;
    g_mutex_unlock(&registry_lock);
    return session;
}

void gpudl_session_unref(GpudlSession *session)
{
    if (!session)
        return;
    lock_registry();
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
    lock_registry();
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
static gboolean load(GpudlSession *session, const GpudlWanted *wanted, GError **error)
{
    g_autoptr(GError) failure = NULL;
    gboolean strays = FALSE, good = open_engine(session, wanted, &strays, &failure);

    lock_registry();
    session->strays = strays;
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

/* Finds the key's session or lists a new one, which the caller then has to load. The devices' lock is taken before the
 * registry's, not under it: fork() takes them in another order. */
static GpudlSession *find_or_list(GpudlModel *model, GpudlDevice *device, const GpudlWanted *wanted, const gchar *key,
                                  GCancellable *cancellable, gboolean *is_new)
{
    g_autoptr(GpudlDevice) held = gpudl_device_ref(device);
    GpudlSession *session;

    lock_registry();
    session = g_hash_table_lookup(registry, key);
    *is_new = session == NULL;
    if (session) {
        session->refs++;
    } else {
        session = gpudl_session_new(model, g_steal_pointer(&held), wanted, key, cancellable);
        session->listed = TRUE;
        g_hash_table_insert(registry, session->key, session);
    }
    g_mutex_unlock(&registry_lock);
    return session;
}

/* Who loaded gave up, or allowed another amount of memory, or did not insist on the precision: what comes of it says
 * nothing to others. Under the registry's lock. */
static gboolean failed_alone(const GpudlSession *session, const GpudlWanted *wanted)
{
    return (session->strays && !gpudl_wanted_is_lowered(wanted)) ||
           g_error_matches(session->load_error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED) ||
           (session->limit != wanted->limit &&
            g_error_matches(session->load_error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY));
}

static gboolean join_loading(GpudlSession *session, const GpudlWanted *wanted, GCancellable *cancellable,
                             gboolean *again, GError **error)
{
    gulong handler = 0;
    gboolean waited, good;

    /* connect outside the lock: a cancellable already cancelled calls at once */
    if (cancellable)
        handler = g_cancellable_connect(cancellable, G_CALLBACK(wake_waiters), NULL, NULL);
    lock_registry();
    waited = wait_loaded(session, cancellable);
    good = waited && session->state == GPUDL_SESSION_READY && !(session->strays && gpudl_wanted_is_lowered(wanted));
    *again = waited && session->state == GPUDL_SESSION_FAILED && failed_alone(session, wanted);
    if (waited && !good && !session->load_error) /* somebody insisted on the precision, and has it */
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED, "model '%s' does not bear %s", session->model->name,
                    gpudl_precision_name((GpudlPrecision)session->params.precision));
    else if (waited && !good && !*again)
        g_propagate_error(error, g_error_copy(session->load_error));
    g_mutex_unlock(&registry_lock);
    if (cancellable)
        g_cancellable_disconnect(cancellable, handler);
    if (!waited)
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "loading was cancelled");
    return good;
}

/* As it is now. Nobody changes an inherited one, whose lock may be held for ever. */
static GpudlEngineInfo get_info(GpudlSession *session)
{
    GpudlEngineInfo info;

    if (gpudl_session_is_inherited(session))
        return session->info;
    g_mutex_lock(&session->lock);
    info = session->info;
    g_mutex_unlock(&session->lock);
    return info;
}

/* A session found may be larger than this caller allows. */
static gboolean join(GpudlSession *session, const GpudlWanted *wanted, GCancellable *cancellable, gboolean *again,
                     GError **error)
{
    g_autofree gchar *prefix =
        g_strdup_printf("backend '%s' refuses model '%s'", session->backend->name, session->model->name);
    GpudlEngineInfo info;

    if (!join_loading(session, wanted, cancellable, again, error))
        return FALSE;
    info = get_info(session);
    return check_limit(&info, wanted, prefix, error);
}

GpudlSession *gpudl_session_share(GpudlModel *model, GpudlDevice *device, const GpudlWanted *wanted,
                                  GCancellable *cancellable, gboolean *strays, gboolean *told_first, GError **error)
{
    g_autofree gchar *key = make_key(model, device, &wanted->params);

    for (;;) {
        gboolean is_new, again = FALSE;
        GpudlSession *session = find_or_list(model, device, wanted, key, cancellable, &is_new);

        if (is_new ? load(session, wanted, error) : join(session, wanted, cancellable, &again, error))
            return session;
        lock_registry();
        *strays = session->state != GPUDL_SESSION_LOADING && session->strays && gpudl_wanted_is_lowered(wanted);
        *told_first = is_new || session->state == GPUDL_SESSION_READY;
        g_mutex_unlock(&registry_lock);
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

GpudlDevice *gpudl_session_get_device(GpudlSession *session)
{
    return session->device;
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
    return session->n_slots * session->max_batch;
}

guint gpudl_session_get_max_batch(GpudlSession *session)
{
    return session->max_batch;
}

guint gpudl_session_get_depth(GpudlSession *session)
{
    guint depth = get_info(session).depth;

    return depth ? depth : gpudl_session_get_parallelism(session);
}

guint64 gpudl_session_get_run_time(GpudlSession *session)
{
    return get_info(session).run_time_ns;
}

guint64 gpudl_session_get_memory(GpudlSession *session, guint64 *weights, guint64 *workspace)
{
    GpudlEngineInfo info = get_info(session);

    if (weights)
        *weights = info.weight_bytes;
    if (workspace)
        *workspace = info.work_bytes;
    return info.weight_bytes + info.work_bytes;
}

gboolean gpudl_session_accepts_memory(GpudlSession *session, GpudlMemoryKind memory)
{
    return (guint)memory <= GPUDL_MEMORY_LAST && (session->memory_kinds & (1u << memory)) != 0;
}

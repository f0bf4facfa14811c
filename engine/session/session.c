/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Life of sessions: the registry of those that are alive, loading, the last reference. */
#include "engine/session/session.h"

#include <string.h>

#include "engine/limits.h"
#include "engine/process.h"
#include "engine/session/precision.h"
#include "engine/structs.h"

/* A GPU's driver gives up a kernel after some seconds where it drives a display, and not at all elsewhere. */
#define DEFAULT_TIMEOUT_NS (10 * G_GUINT64_CONSTANT(1000000000))

static GMutex registry_lock;
static GCond registry_changed; /* some session left LOADING, or some waiter was cancelled */
static GHashTable *registry;   /* key -> GpudlSession*, no reference */

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static gboolean check_config(GpudlModel *model, const GpudlSessionConfig *config, const GpudlBackend *backend,
                             GError **error)
{
    if ((guint)config->precision > GPUDL_PRECISION_FP8 || (guint)config->activation > GPUDL_ACTIVATION_SIGMOID ||
        (guint)config->autotune > GPUDL_AUTOTUNE_KNOWN) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "precision %d, activation %d or autotune %d is unknown", config->precision, config->activation,
                    config->autotune);
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

/* Everything that a session is made from but its model and device. The strings are the caller's. */
typedef struct {
    GpudlOpenParams params; /* resolved; memory_limit 0: a limit of this one's own is in limit */
    guint64 limit;
    gchar *cache_dir;
    const GpudlSessionConfig *config;
} Wanted;

static void wanted_clear(Wanted *wanted)
{
    g_free(wanted->cache_dir);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Wanted, wanted_clear)

/* Asked for once: GLib has a lock there, which fork() may leave locked in a child. */
static const gchar *usual_cache_dir(void)
{
    static gsize once;
    const gchar *named = g_getenv("GPUDL_CACHE_DIR");

    if (g_once_init_enter(&once))
        g_once_init_leave(&once, (gsize)(named != NULL && named[0] != '\0'
                                             ? g_strdup(named)
                                             : g_build_filename(g_get_user_cache_dir(), "gpudl", NULL)));
    return (const gchar *)once;
}

static gboolean resolve(GpudlModel *model, GpudlDevice *device, const GpudlSessionConfig *config, Wanted *wanted,
                        GError **error)
{
    GpudlFault fault = {""};
    GpudlStatus status;

    if (!config->cache_dir)
        wanted->cache_dir = g_strdup(usual_cache_dir());
    else if (config->cache_dir[0])
        wanted->cache_dir = g_strdup(config->cache_dir);
    wanted->config = config;
    wanted->limit = config->memory_limit;
    wanted->params = (GpudlOpenParams){
        .precision = config->precision,
        .activation = config->activation == GPUDL_ACTIVATION_AUTO ? model->activation : config->activation,
        .threads = config->cpu_threads,
        .batch_size = config->batch_size,
        .deterministic = config->deterministic != FALSE,
        .autotune = config->autotune,
        .priority = config->priority,
        .memory_limit = config->memory_limit,
        .input_channels = model->preproc.channels,
        .input_height = model->preproc.height,
        .input_width = model->preproc.width,
        .cache_dir = wanted->cache_dir,
    };
    status = device->backend->resolve(device->handle, &wanted->params, &fault);
    if (status != GPUDL_STATUS_OK) {
        g_autofree gchar *prefix =
            g_strdup_printf("backend '%s' refuses model '%s'", device->backend->name, model->name);

        gpudl_set_fault(error, status, &fault, prefix);
        return FALSE;
    }
    return TRUE;
}

static gboolean check_limit(const GpudlEngineInfo *info, const Wanted *wanted, const gchar *prefix, GError **error)
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
static gboolean open_held(GpudlSession *session, const Wanted *wanted, GError **error)
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

/* Whether the precision was left to the backend, which took a lower one than fp32. */
static gboolean is_lowered(const Wanted *wanted)
{
    return wanted->config->precision == GPUDL_PRECISION_AUTO && wanted->params.precision != GPUDL_PRECISION_FP32;
}

/* On the session, whose engine nobody has yet. *strays: it moves the golden sample. That is an error where nobody has
 * asked for this precision. */
static gboolean prove(GpudlSession *session, const Wanted *wanted, gboolean *strays, GError **error)
{
    const gchar *precision = gpudl_precision_name((GpudlPrecision)session->params.precision);
    g_autofree gchar *how = NULL;

    if (!gpudl_precision_prove(session, &how, error))
        return FALSE;
    *strays = how != NULL;
    if (!*strays || !is_lowered(wanted))
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED, "model '%s' does not bear %s, its golden sample tells: %s",
                session->model->name, precision, how);
    return FALSE;
}

static gboolean open_engine(GpudlSession *session, const Wanted *wanted, gboolean *strays, GError **error)
{
    gboolean good;

    if (!gpudl_model_hold_cancellable(session->model, session->cancellable, error))
        return FALSE;
    good = open_held(session, wanted, error) && prove(session, wanted, strays, error);
    gpudl_model_release(session->model); /* the module has what it needs */
    return good;
}

/* Takes the device. */
static GpudlSession *session_new(GpudlModel *model, GpudlDevice *device, const Wanted *wanted, const gchar *key,
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
static gboolean load(GpudlSession *session, const Wanted *wanted, GError **error)
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
static GpudlSession *find_or_list(GpudlModel *model, GpudlDevice *device, const Wanted *wanted, const gchar *key,
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
        session = session_new(model, g_steal_pointer(&held), wanted, key, cancellable);
        session->listed = TRUE;
        g_hash_table_insert(registry, session->key, session);
    }
    g_mutex_unlock(&registry_lock);
    return session;
}

/* Who loaded gave up, or allowed another amount of memory, or did not insist on the precision: what comes of it says
 * nothing to others. Under the registry's lock. */
static gboolean failed_alone(const GpudlSession *session, const Wanted *wanted)
{
    return (session->strays && !is_lowered(wanted)) ||
           g_error_matches(session->load_error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED) ||
           (session->limit != wanted->limit &&
            g_error_matches(session->load_error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY));
}

static gboolean join_loading(GpudlSession *session, const Wanted *wanted, GCancellable *cancellable, gboolean *again,
                             GError **error)
{
    gulong handler = 0;
    gboolean waited, good;

    /* connect outside the lock: a cancellable already cancelled calls at once */
    if (cancellable)
        handler = g_cancellable_connect(cancellable, G_CALLBACK(wake_waiters), NULL, NULL);
    lock_registry();
    waited = wait_loaded(session, cancellable);
    good = waited && session->state == GPUDL_SESSION_READY && !(session->strays && is_lowered(wanted));
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
static gboolean join(GpudlSession *session, const Wanted *wanted, GCancellable *cancellable, gboolean *again,
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

/* *strays: there is none because the model does not bear the precision that "auto" came to; *told_first: nobody else
 * tells of it, as who loads does to those that wait for him. */
static GpudlSession *acquire(GpudlModel *model, GpudlDevice *device, const Wanted *wanted, GCancellable *cancellable,
                             gboolean *strays, gboolean *told_first, GError **error)
{
    g_autofree gchar *key = make_key(model, device, &wanted->params);

    for (;;) {
        gboolean is_new, again = FALSE;
        GpudlSession *session = find_or_list(model, device, wanted, key, cancellable, &is_new);

        if (is_new ? load(session, wanted, error) : join(session, wanted, cancellable, &again, error))
            return session;
        lock_registry();
        *strays = session->state != GPUDL_SESSION_LOADING && session->strays && is_lowered(wanted);
        *told_first = is_new || session->state == GPUDL_SESSION_READY;
        g_mutex_unlock(&registry_lock);
        gpudl_session_unref(session);
        if (!again)
            return NULL;
    }
}

static gboolean is_auto(const GpudlSessionConfig *config)
{
    return !config->backend || strcmp(config->backend, "auto") == 0;
}

/* "auto" goes on to the next backend, and says why. */
static void tell_next(const GError *reason, const GpudlBackend *next)
{
    g_log("gpudl", G_LOG_LEVEL_MESSAGE, "%s: backend '%s' is taken instead", reason->message, next->name);
}

/* The device of "auto"'s next backend, where the one found has one that can't be opened. */
static GpudlDevice *find_next_device(const GpudlBackend *refused, const GpudlSessionConfig *config,
                                     const GError *reason)
{
    const GpudlBackend *next = gpudl_backend_find_after(refused, config->cuda_device_id);
    GpudlDevice *device = next ? gpudl_device_open(next, config->cuda_device_id, NULL) : NULL;

    if (device)
        tell_next(reason, next);
    return device;
}

static GpudlDevice *find_device(const GpudlSessionConfig *config, GError **error)
{
    g_autoptr(GError) reason = NULL;
    const GpudlBackend *backend;
    GpudlDevice *device;

    if (config->device && !is_auto(config) && strcmp(config->backend, config->device->backend->name) != 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "backend '%s' was asked for, with a device of backend '%s'", config->backend,
                    config->device->backend->name);
        return NULL;
    }
    if (config->device)
        return gpudl_device_check(config->device, error) ? gpudl_device_ref(config->device) : NULL;
    backend = gpudl_backend_find(config->backend, config->cuda_device_id, error);
    if (!backend)
        return NULL;
    device = gpudl_device_open(backend, config->cuda_device_id, &reason);
    if (!device && is_auto(config))
        device = find_next_device(backend, config, reason);
    if (!device)
        g_propagate_error(error, g_steal_pointer(&reason));
    return device;
}

static GpudlSession *acquire_wide(GpudlModel *model, GpudlDevice *device, const GpudlSessionConfig *config,
                                  GCancellable *cancellable, GError **error)
{
    GpudlSessionConfig wide = *config;
    g_auto(Wanted) wanted = {.limit = 0};
    gboolean strays, told_first;

    wide.precision = GPUDL_PRECISION_FP32;
    return resolve(model, device, &wide, &wanted, error)
               ? acquire(model, device, &wanted, cancellable, &strays, &told_first, error)
               : NULL;
}

/* Where the backend takes a lower precision for "auto" that the model does not bear, fp32 is taken, and it is said. */
static GpudlSession *acquire_on(GpudlModel *model, GpudlDevice *device, const GpudlSessionConfig *config,
                                GCancellable *cancellable, GError **error)
{
    g_auto(Wanted) wanted = {.limit = 0};
    g_autoptr(GError) reason = NULL;
    gboolean strays = FALSE, told_first = FALSE;
    GpudlSession *session;

    if (!check_config(model, config, device->backend, error) || !resolve(model, device, config, &wanted, error))
        return NULL;
    if (is_lowered(&wanted) && gpudl_precision_is_refused(wanted.cache_dir, model, device, wanted.params.precision))
        return acquire_wide(model, device, config, cancellable, error);
    session = acquire(model, device, &wanted, cancellable, &strays, &told_first, &reason);
    if (session || !strays) {
        if (!session)
            g_propagate_error(error, g_steal_pointer(&reason));
        return session;
    }
    if (told_first) {
        g_log("gpudl", G_LOG_LEVEL_WARNING, "%s; fp32 is taken instead", reason->message);
        gpudl_precision_refuse(wanted.cache_dir, model, device, wanted.params.precision);
    }
    return acquire_wide(model, device, config, cancellable, error);
}

GpudlSession *gpudl_session_prepare(GpudlModel *model, const GpudlSessionConfig *config, GCancellable *cancellable,
                                    GError **error)
{
    g_autoptr(GpudlDevice) device = find_device(config, error);
    g_auto(Wanted) wanted = {.limit = 0};
    GpudlSession *session;

    if (!device || !check_config(model, config, device->backend, error) ||
        !resolve(model, device, config, &wanted, error))
        return NULL;
    session = session_new(model, g_steal_pointer(&device), &wanted, NULL, cancellable);
    session->planner = gpudl_model_get_planner(model);
    gpudl_host_init(&session->host, session);
    return session;
}

/* "auto" takes the next backend where one has no means for the model, and says so. reason: why the first refuses, which
 * is the error where the next can't be had either, unless it was cancelled. */
static GpudlSession *acquire_next(GpudlModel *model, const GpudlBackend *refused, const GpudlSessionConfig *config,
                                  GCancellable *cancellable, GError **reason)
{
    g_autoptr(GError) failure = NULL;
    const GpudlBackend *next = gpudl_backend_find_after(refused, config->cuda_device_id);
    g_autoptr(GpudlDevice) device = next ? gpudl_device_open(next, config->cuda_device_id, NULL) : NULL;
    GpudlSession *session = device ? acquire_on(model, device, config, cancellable, &failure) : NULL;

    if (session) {
        tell_next(*reason, next);
    } else if (g_error_matches(failure, GPUDL_ERROR, GPUDL_ERROR_CANCELLED)) {
        g_clear_error(reason);
        g_propagate_error(reason, g_steal_pointer(&failure));
    }
    return session;
}

GpudlSession *gpudl_session_acquire(GpudlModel *model, const GpudlSessionConfig *given, GCancellable *cancellable,
                                    GError **error)
{
    GpudlSessionConfig config = {.cuda_device_id = -1};
    g_autoptr(GpudlDevice) device = NULL;
    g_autoptr(GError) reason = NULL;
    GpudlSession *session;

    if (given && !gpudl_struct_take(&config, sizeof config, given, GPUDL_SIZE_TO(GpudlSessionConfig, progress_data),
                                    "GpudlSessionConfig", error))
        return NULL;
    device = find_device(&config, error);
    if (!device)
        return NULL;
    session = acquire_on(model, device, &config, cancellable, &reason);
    if (!session && !config.device && is_auto(&config) && g_error_matches(reason, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED))
        session = acquire_next(model, device->backend, &config, cancellable, &reason);
    if (!session)
        g_propagate_error(error, g_steal_pointer(&reason));
    return session;
}

gboolean gpudl_session_foresee(GpudlModel *model, const gchar *backend, GpudlPrecision *precision, gchar **device,
                               GError **error)
{
    const GpudlSessionConfig config = {.struct_size = sizeof config, .backend = backend, .cuda_device_id = -1};
    g_autoptr(GpudlDevice) found = find_device(&config, error);
    g_auto(Wanted) wanted = {.limit = 0};
    gchar name[sizeof((GpudlBackendDevice *)0)->name];

    if (!found || !resolve(model, found, &config, &wanted, error))
        return FALSE;
    *precision =
        is_lowered(&wanted) && gpudl_precision_is_refused(wanted.cache_dir, model, found, wanted.params.precision)
            ? GPUDL_PRECISION_FP32
            : (GpudlPrecision)wanted.params.precision;
    gpudl_precision_name_device(found, name, sizeof name);
    if (device)
        *device = g_strdup(name);
    return TRUE;
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

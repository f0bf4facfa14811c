/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From what a caller configures to a session: which backend, which device, which precision. */
#include "engine/session/acquire.h"

#include <string.h>

#include "engine/limits.h"
#include "engine/session/precision.h"
#include "engine/session/promise.h"
#include "engine/structs.h"

/* ---- what is wanted ---------------------------------------------------------------------------------------------- */

static void wanted_clear(GpudlWanted *wanted)
{
    g_free(wanted->cache_dir);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GpudlWanted, wanted_clear)

gboolean gpudl_wanted_is_lowered(const GpudlWanted *wanted)
{
    return wanted->config->precision == GPUDL_PRECISION_AUTO && wanted->params.precision != GPUDL_PRECISION_FP32;
}

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

static gboolean resolve(GpudlModel *model, GpudlDevice *device, const GpudlSessionConfig *config, GpudlWanted *wanted,
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

/* ---- where it is found ------------------------------------------------------------------------------------------- */

static gboolean is_auto(const gchar *backend)
{
    return !backend || strcmp(backend, "auto") == 0;
}

/* "auto" goes on to the next backend, and says why. */
static void tell_next(const GError *reason, const GpudlBackend *next)
{
    g_log("gpudl", G_LOG_LEVEL_MESSAGE, "%s: backend '%s' is taken instead", reason->message, next->name);
}

GpudlSearch gpudl_device_search(const gchar *name, gint id)
{
    GpudlSearch found = {NULL, NULL};
    const GpudlBackend *backend = gpudl_backend_find(name, id, &found.error), *next;

    if (!backend)
        return found;
    found.device = gpudl_device_open(backend, id, &found.error);
    if (!found.device && is_auto(name)) {
        next = gpudl_backend_find_after(backend, id);
        found.device = next ? gpudl_device_open(next, id, NULL) : NULL;
    }
    return found;
}

static gboolean search(const GpudlSessionConfig *config, GCancellable *cancellable, GpudlSearch *found, GError **error)
{
    *found = (GpudlSearch){NULL, NULL};
    if (config->promise && gpudl_device_promise_is_for(config->promise, config->backend, config->cuda_device_id) &&
        !gpudl_device_promise_take(config->promise, cancellable, found, error))
        return FALSE;
    if (!found->device && !found->error)
        *found = gpudl_device_search(config->backend, config->cuda_device_id);
    return TRUE;
}

static GpudlDevice *find_device(const GpudlSessionConfig *config, GCancellable *cancellable, GError **error)
{
    GpudlSearch found;

    if (config->device && !is_auto(config->backend) && strcmp(config->backend, config->device->backend->name) != 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "backend '%s' was asked for, with a device of backend '%s'", config->backend,
                    config->device->backend->name);
        return NULL;
    }
    if (config->device)
        return gpudl_device_check(config->device, error) ? gpudl_device_ref(config->device) : NULL;
    if (!search(config, cancellable, &found, error))
        return NULL;
    if (found.device && found.error)
        tell_next(found.error, found.device->backend);
    if (found.device)
        g_clear_error(&found.error);
    else
        g_propagate_error(error, found.error);
    return found.device;
}

static GpudlSession *acquire_wide(GpudlModel *model, GpudlDevice *device, const GpudlSessionConfig *config,
                                  GCancellable *cancellable, GError **error)
{
    GpudlSessionConfig wide = *config;
    g_auto(GpudlWanted) wanted = {.limit = 0};
    gboolean strays, told_first;

    wide.precision = GPUDL_PRECISION_FP32;
    return resolve(model, device, &wide, &wanted, error)
               ? gpudl_session_share(model, device, &wanted, cancellable, &strays, &told_first, error)
               : NULL;
}

/* Where the backend takes a lower precision for "auto" that the model does not bear, fp32 is taken, and it is said. */
static GpudlSession *acquire_on(GpudlModel *model, GpudlDevice *device, const GpudlSessionConfig *config,
                                GCancellable *cancellable, GError **error)
{
    g_auto(GpudlWanted) wanted = {.limit = 0};
    g_autoptr(GError) reason = NULL;
    gboolean strays = FALSE, told_first = FALSE;
    GpudlSession *session;

    if (!check_config(model, config, device->backend, error) || !resolve(model, device, config, &wanted, error))
        return NULL;
    if (gpudl_wanted_is_lowered(&wanted) && gpudl_precision_is_refused(wanted.cache_dir, model, device, &wanted.params))
        return acquire_wide(model, device, config, cancellable, error);
    session = gpudl_session_share(model, device, &wanted, cancellable, &strays, &told_first, &reason);
    if (session || !strays) {
        if (!session)
            g_propagate_error(error, g_steal_pointer(&reason));
        return session;
    }
    if (told_first) {
        g_log("gpudl", G_LOG_LEVEL_WARNING, "%s; fp32 is taken instead", reason->message);
        gpudl_precision_refuse(wanted.cache_dir, model, device, &wanted.params);
    }
    return acquire_wide(model, device, config, cancellable, error);
}

GpudlSession *gpudl_session_prepare(GpudlModel *model, const GpudlSessionConfig *config, GCancellable *cancellable,
                                    GError **error)
{
    g_autoptr(GpudlDevice) device = find_device(config, cancellable, error);
    g_auto(GpudlWanted) wanted = {.limit = 0};
    GpudlSessionConfig wide = *config;
    GpudlSession *session;

    if (!device || !check_config(model, config, device->backend, error) ||
        !resolve(model, device, config, &wanted, error))
        return NULL;
    wide.precision = GPUDL_PRECISION_FP32;
    if (gpudl_wanted_is_lowered(&wanted) &&
        gpudl_precision_is_refused(wanted.cache_dir, model, device, &wanted.params)) { /* as an acquire takes it */
        wanted_clear(&wanted);
        if (!resolve(model, device, &wide, &wanted, error))
            return NULL;
    }
    session = gpudl_session_new(model, g_steal_pointer(&device), &wanted, NULL, cancellable);
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
    device = find_device(&config, cancellable, error);
    if (!device)
        return NULL;
    session = acquire_on(model, device, &config, cancellable, &reason);
    if (!session && !config.device && is_auto(config.backend) &&
        g_error_matches(reason, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED))
        session = acquire_next(model, device->backend, &config, cancellable, &reason);
    if (!session)
        g_propagate_error(error, g_steal_pointer(&reason));
    return session;
}

gboolean gpudl_session_foresee(GpudlModel *model, const gchar *backend, GpudlPrecision *precision, gchar **device,
                               GError **error)
{
    const GpudlSessionConfig config = {.struct_size = sizeof config, .backend = backend, .cuda_device_id = -1};
    g_autoptr(GpudlDevice) found = find_device(&config, NULL, error);
    g_auto(GpudlWanted) wanted = {.limit = 0};
    gchar name[sizeof((GpudlBackendDevice *)0)->name];

    if (!found || !resolve(model, found, &config, &wanted, error))
        return FALSE;
    *precision =
        gpudl_wanted_is_lowered(&wanted) && gpudl_precision_is_refused(wanted.cache_dir, model, found, &wanted.params)
            ? GPUDL_PRECISION_FP32
            : (GpudlPrecision)wanted.params.precision;
    gpudl_precision_name_device(found, name, sizeof name);
    if (device)
        *device = g_strdup(name);
    return TRUE;
}

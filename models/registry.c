/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/registry.h"

#include <pthread.h>
#include <string.h>

#include "models/origin.h"

/* A file that is loaded or being loaded. */
typedef struct {
    guint refs;  /* the list's, and those of who waits */
    gchar *name; /* base name and options */
    GpudlFileVersion version;
    gboolean settled;
    gboolean loading;
    GpudlModel *model; /* no reference; NULL while loading and after a failure */
    GError *error;     /* of loading */
} Entry;

static GMutex lock;
static GCond changed; /* an entry is not loading any more, or somebody who waits was cancelled */
static GPtrArray *entries;

/* ---- entries; under the lock ------------------------------------------------------------------------------------- */

static void entry_unref(gpointer data)
{
    Entry *entry = data;

    if (--entry->refs > 0)
        return;
    g_free(entry->name);
    g_clear_error(&entry->error);
    g_free(entry);
}

/* What is known of a version of a file: that it is being loaded, else the model that it surely is, else any. */
static Entry *find(const gchar *name, const GpudlFileVersion *version)
{
    Entry *found = NULL;

    for (guint i = 0; i < entries->len; i++) {
        Entry *entry = entries->pdata[i];

        if (!gpudl_file_version_equal(&entry->version, version) || strcmp(entry->name, name) != 0)
            continue;
        if (found == NULL || entry->loading || (entry->settled && !found->loading))
            found = entry;
    }
    return found;
}

/* Lists a file as being loaded. What it was before stays listed: it may turn out to be the same. */
static Entry *add(const gchar *name, const GpudlFileVersion *version)
{
    Entry *entry = g_new0(Entry, 1);

    entry->refs = 2; /* one is the caller's */
    entry->name = g_strdup(name);
    entry->version = *version;
    entry->loading = TRUE;
    g_ptr_array_add(entries, entry);
    return entry;
}

static GpudlModel *find_live(const gchar *name, gboolean (*is)(const GpudlModel *model, gconstpointer data),
                             gconstpointer data)
{
    for (guint i = 0; entries != NULL && i < entries->len; i++) {
        Entry *entry = entries->pdata[i];

        if (entry->model != NULL && strcmp(entry->name, name) == 0 && is(entry->model, data) &&
            gpudl_model_try_ref(entry->model))
            return entry->model;
    }
    return NULL;
}

/* ---- set up ------------------------------------------------------------------------------------------------------ */

/* Whoever held the lock, or loads, is not there in the child; what the parent knows is left where it lies. */
static void begin_child(void)
{
    memset(&lock, 0, sizeof lock);
    memset(&changed, 0, sizeof changed);
    entries = g_ptr_array_new_with_free_func(entry_unref);
}

static void set_up(void)
{
    static gsize done;

    if (g_once_init_enter(&done)) {
        entries = g_ptr_array_new_with_free_func(entry_unref);
        pthread_atfork(NULL, NULL, begin_child);
        g_once_init_leave(&done, 1);
    }
}

static gchar *make_name(const gchar *path, const gchar *options)
{
    g_autofree gchar *base = g_path_get_basename(path);

    /* the name is part of the model */
    return g_strdup_printf("%s\n%s", base, options);
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

static gboolean has_content(const GpudlModel *model, gconstpointer content)
{
    return strcmp(model->content, content) == 0;
}

static gboolean has_bytes(const GpudlModel *model, gconstpointer content)
{
    const GpudlOrigin *origin = gpudl_model_get_origin(model);

    return origin->reads != NULL && origin->reads->len == 0 && strcmp(origin->bytes_content, content) == 0;
}

static GpudlModel *find_model(const gchar *path, const gchar *options,
                              gboolean (*is)(const GpudlModel *model, gconstpointer data), const gchar *content)
{
    g_autofree gchar *name = make_name(path, options);
    GpudlModel *model;

    g_mutex_lock(&lock);
    model = find_live(name, is, content);
    g_mutex_unlock(&lock);
    return model;
}

GpudlModel *gpudl_registry_find_content(const gchar *path, const gchar *options, const gchar *content)
{
    return find_model(path, options, has_content, content);
}

GpudlModel *gpudl_registry_find_bytes(const gchar *path, const gchar *options, const gchar *bytes_content)
{
    return find_model(path, options, has_bytes, bytes_content);
}

void gpudl_registry_forget(GpudlModel *model)
{
    g_mutex_lock(&lock);
    for (guint i = entries != NULL ? entries->len : 0; i-- > 0;)
        if (((Entry *)entries->pdata[i])->model == model)
            g_ptr_array_remove_index_fast(entries, i);
    g_mutex_unlock(&lock);
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

void gpudl_loaded_free(GpudlLoaded *loaded)
{
    if (loaded == NULL)
        return;
    gpudl_model_unref(loaded->model);
    g_free(loaded);
}

/* The same content, and external data at the same place: it comes from there when the model is used again. */
static gboolean is_twin(const GpudlModel *model, gconstpointer data)
{
    const GpudlModel *fresh = data;

    return has_content(model, fresh->content) &&
           g_strcmp0(gpudl_model_get_origin(model)->directory, gpudl_model_get_origin(fresh)->directory) == 0;
}

/* A model has just been read: what was known of the same file is old. */
static void supersede(const Entry *entry)
{
    for (guint i = entries->len; i-- > 0;) {
        Entry *other = entries->pdata[i];

        if (other == entry || other->loading)
            continue;
        if (other->model == entry->model && other->version.inode == entry->version.inode &&
            other->version.device == entry->version.device)
            g_ptr_array_remove_index_fast(entries, i);
        else if (gpudl_file_version_equal(&other->version, &entry->version) && strcmp(other->name, entry->name) == 0)
            other->settled = FALSE;
    }
}

/* Makes known what came of loading, which the caller has listed, and takes the model's reference out of it. */
static GpudlModel *publish(Entry *entry, const gchar *path, GpudlLoaded *loaded, const GError *failure)
{
    GpudlModel *twin = NULL, *model = NULL;

    g_mutex_lock(&lock);
    entry->loading = FALSE;
    if (loaded != NULL) {
        twin = find_live(entry->name, is_twin, loaded->model);
        model = twin != NULL ? twin : g_steal_pointer(&loaded->model);
        entry->version = loaded->version;
        entry->settled = loaded->settled;
        entry->model = model;
        supersede(entry);
    } else {
        entry->error = g_error_copy(failure);
        g_ptr_array_remove_fast(entries, entry);
    }
    g_cond_broadcast(&changed);
    entry_unref(entry);
    g_mutex_unlock(&lock);
    if (twin != NULL)
        gpudl_origin_also_at(twin, path);
    return model;
}

static void wake(GCancellable *cancellable, gpointer data)
{
    g_mutex_lock(&lock);
    g_cond_broadcast(&changed);
    g_mutex_unlock(&lock);
}

/* Waits until an entry, of which the caller has a reference, is loaded. FALSE with error if the caller gets nothing. */
static gboolean wait_for(Entry *entry, GCancellable *cancellable, GError **error)
{
    gboolean good = TRUE;
    gulong handler = 0;

    /* not under the lock: a cancellable already cancelled calls at once */
    if (cancellable != NULL)
        handler = g_cancellable_connect(cancellable, G_CALLBACK(wake), NULL, NULL);
    g_mutex_lock(&lock);
    while (entry->loading && !g_cancellable_is_cancelled(cancellable))
        g_cond_wait(&changed, &lock);
    if (entry->loading) {
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "it was cancelled");
        good = FALSE;
    } else if (entry->error != NULL && !g_error_matches(entry->error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED)) {
        g_propagate_error(error, g_error_copy(entry->error));
        good = FALSE;
    }
    entry_unref(entry);
    g_mutex_unlock(&lock);
    if (cancellable != NULL)
        g_cancellable_disconnect(cancellable, handler);
    return good;
}

/* The live model that was read of this version of the file. *wait: somebody loads it; *load: the caller has to. */
static GpudlModel *look_up(const gchar *name, const GpudlFileVersion *version, gboolean fresh, Entry **wait,
                           Entry **load)
{
    GpudlModel *model = NULL;
    Entry *entry;

    *wait = *load = NULL;
    g_mutex_lock(&lock);
    entry = find(name, version);
    if (entry != NULL && entry->loading) {
        entry->refs++;
        *wait = entry;
    } else if (entry != NULL && entry->settled && !fresh && gpudl_model_try_ref(entry->model)) {
        model = entry->model;
    } else {
        *load = add(name, version);
    }
    g_mutex_unlock(&lock);
    return model;
}

static GpudlModel *load_listed(Entry *entry, const gchar *path, GpudlLoadFunc load, gpointer data,
                               GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(GpudlLoaded) loaded = load(data, cancellable, &failure);
    GpudlModel *model = publish(entry, path, loaded, failure);

    if (model == NULL)
        g_propagate_error(error, g_steal_pointer(&failure));
    return model;
}

GpudlModel *gpudl_registry_get(const gchar *path, const gchar *options, GpudlLoadFunc load, gpointer data,
                               GCancellable *cancellable, GError **error)
{
    g_autofree gchar *name = make_name(path, options);
    gboolean fresh = FALSE;

    set_up();
    for (;;) {
        GpudlModel *model;
        Entry *wait, *mine;
        GpudlFileVersion version;
        struct stat st;

        if (stat(path, &st) != 0) {
            g_autoptr(GpudlLoaded) loaded = load(data, cancellable, error); /* knows what to say */

            return loaded != NULL ? g_steal_pointer(&loaded->model) : NULL;
        }
        version = gpudl_file_version(&st);
        model = look_up(name, &version, fresh, &wait, &mine);
        if (mine != NULL)
            return load_listed(mine, path, load, data, cancellable, error);
        if (wait != NULL && !wait_for(wait, cancellable, error))
            return NULL;
        if (model != NULL && gpudl_origin_is_current(gpudl_model_get_origin(model), path))
            return model;
        fresh = model != NULL; /* other files have changed */
        gpudl_model_unref(model);
    }
}

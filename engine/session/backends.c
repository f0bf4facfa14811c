/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding and opening backend modules. A module stays open for the life of the process: unloading a library that has
 * made threads or registered with a driver is not safe. */
#include <dlfcn.h>
#include <gmodule.h>
#include <string.h>

#include "engine/interface.h"
#include "engine/process.h"
#include "engine/ref/ref.h"
#include "engine/session/session.h"
#include "gpudl-config.h"

static const gchar *const module_names[] = {"cuda", "cpu"}; /* the order of "auto" */

static GMutex modules_lock; /* a leaf; a module is opened under it, its functions are called without */
static const GpudlBackend *modules[G_N_ELEMENTS(module_names)]; /* opened ones; a failure is tried again */

static const struct {
    GpudlStatus status;
    GpudlError error;
} status_errors[] = {
    {GPUDL_STATUS_FAILED, GPUDL_ERROR_FAILED},
    {GPUDL_STATUS_UNSUPPORTED, GPUDL_ERROR_UNSUPPORTED},
    {GPUDL_STATUS_INVALID_ARGUMENT, GPUDL_ERROR_INVALID_ARGUMENT},
    {GPUDL_STATUS_BACKEND, GPUDL_ERROR_BACKEND},
    {GPUDL_STATUS_NO_DEVICE, GPUDL_ERROR_NO_DEVICE},
    {GPUDL_STATUS_NO_MEMORY, GPUDL_ERROR_NO_MEMORY},
    {GPUDL_STATUS_DEVICE, GPUDL_ERROR_DEVICE},
};

void gpudl_set_fault(GError **error, GpudlStatus status, const GpudlFault *fault, const gchar *prefix)
{
    GpudlError code = GPUDL_ERROR_FAILED;
    g_autofree gchar *message =
        g_utf8_make_valid(fault->message, (gssize)strnlen(fault->message, sizeof fault->message));

    for (guint i = 0; i < G_N_ELEMENTS(status_errors); i++)
        if (status_errors[i].status == status)
            code = status_errors[i].error;
    g_set_error(error, GPUDL_ERROR, code, "%s: %s", prefix, message[0] ? message : "no reason given");
}

/* GPUDL_BACKEND_PATH alone if it is set; else beside the library, else where it was to be installed. */
static GPtrArray *search_path(void)
{
    GPtrArray *folders = g_ptr_array_new_with_free_func(g_free);
    const gchar *path = g_getenv("GPUDL_BACKEND_PATH");
    Dl_info self;

    if (path && path[0]) {
        g_auto(GStrv) parts = g_strsplit(path, G_SEARCHPATH_SEPARATOR_S, -1);

        for (guint i = 0; parts[i]; i++)
            if (parts[i][0])
                g_ptr_array_add(folders, g_strdup(parts[i]));
        return folders;
    }
    if (dladdr((const void *)search_path, &self) && self.dli_fname && strchr(self.dli_fname, '/')) {
        g_autofree gchar *dir = g_path_get_dirname(self.dli_fname);

        g_ptr_array_add(folders, g_build_filename(dir, "gpudl", NULL));
    }
    if (folders->len == 0 || strcmp(folders->pdata[0], GPUDL_BACKEND_DIR) != 0)
        g_ptr_array_add(folders, g_strdup(GPUDL_BACKEND_DIR));
    return folders;
}

/* NULL, or what is missing (static text). */
static const gchar *check_table(const GpudlBackend *b)
{
    if (b->abi_version != GPUDL_BACKEND_ABI || g_strcmp0(b->interface, GPUDL_BACKEND_INTERFACE) != 0)
        return "is of another version of the backend interface";
    if (!b->name || !b->probe || !b->devices || !b->resolve || !b->open || !b->close || !b->submit || !b->wait ||
        !b->run_tensors || !b->run_preproc)
        return "lacks a function of the backend interface";
    if (!b->device_open != !b->device_close || !b->device_open != !b->host_alloc || !b->device_open != !b->host_free ||
        !b->stage != !b->unstage || !b->stage != !b->ticket_free)
        return "has one function of a group of the backend interface, and not the others";
    return NULL;
}

static const GpudlBackend *open_module(const gchar *file, GString *tried)
{
    GModule *module = NULL;
    GpudlBackendEntry entry = NULL;
    gpointer symbol = NULL;
    const GpudlBackend *backend;
    const gchar *wrong;

    if (!g_file_test(file, G_FILE_TEST_EXISTS)) {
        g_string_append_printf(tried, "%s%s: not there", tried->len ? "; " : "", file);
        return NULL;
    }
    module = g_module_open(file, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
    if (!module || !g_module_symbol(module, GPUDL_BACKEND_ENTRY, &symbol) || !symbol) {
        g_string_append_printf(tried, "%s%s", tried->len ? "; " : "", g_module_error());
        goto fail;
    }
    /* ISO C has no cast from object to function pointer */
    memcpy(&entry, &symbol, sizeof entry);
    backend = entry(GPUDL_BACKEND_ABI, GPUDL_BACKEND_INTERFACE);
    wrong = backend ? check_table(backend) : "is of another version of the backend interface";
    if (wrong) {
        g_string_append_printf(tried, "%s%s: %s; it has to be built together with this libgpudl (%s, interface %u %s)",
                               tried->len ? "; " : "", file, wrong, gpudl_version(), GPUDL_BACKEND_ABI,
                               GPUDL_BACKEND_INTERFACE);
        goto fail;
    }
    g_module_make_resident(module);
    return backend;

fail:
    if (module)
        g_module_close(module);
    return NULL;
}

/* The modules stay what they are in a child: nothing to forget. */
static void forget_nothing(void)
{
}

__attribute__((constructor)) static void guard_modules(void)
{
    gpudl_process_guard(&modules_lock, forget_nothing);
}

static const GpudlBackend *load(guint index, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&modules_lock);
    g_autoptr(GPtrArray) folders = NULL;
    g_autoptr(GString) tried = NULL;

    if (modules[index])
        return modules[index];
    folders = search_path();
    tried = g_string_new(NULL);
    for (guint i = 0; i < folders->len && !modules[index]; i++) {
        g_autofree gchar *name = g_strdup_printf("gpudl-%s.so", module_names[index]);
        g_autofree gchar *file = g_build_filename(folders->pdata[i], name, NULL);

        modules[index] = open_module(file, tried);
    }
    if (!modules[index])
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_BACKEND, "backend '%s' can't be loaded (%s)", module_names[index],
                    tried->str);
    return modules[index];
}

static const GpudlBackend *load_usable(guint index, gint device_id, GError **error)
{
    const GpudlBackend *backend = load(index, error);
    GpudlFault fault = {""};
    GpudlStatus status;

    if (!backend)
        return NULL;
    status = backend->probe(device_id, &fault);
    if (status != GPUDL_STATUS_OK) {
        g_autofree gchar *prefix = g_strdup_printf("backend '%s' can't be used", module_names[index]);

        gpudl_set_fault(error, status, &fault, prefix);
        return NULL;
    }
    return backend;
}

/* The first usable one from a place in the order on. */
static const GpudlBackend *find_auto(guint from, gint device_id, GError **error)
{
    g_autoptr(GString) reasons = g_string_new(NULL);

    for (guint i = from; i < G_N_ELEMENTS(module_names); i++) {
        g_autoptr(GError) reason = NULL;
        const GpudlBackend *backend = load_usable(i, device_id, &reason);

        if (backend)
            return backend;
        g_string_append_printf(reasons, "%s%s", reasons->len ? "; " : "", reason->message);
    }
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_BACKEND, "no backend can be used: %s", reasons->str);
    return NULL;
}

const GpudlBackend *gpudl_backend_find(const gchar *name, gint device_id, GError **error)
{
    if (!name || strcmp(name, "auto") == 0)
        return find_auto(0, device_id, error);
    if (strcmp(name, "ref") == 0)
        return gpudl_ref_backend();
    for (guint i = 0; i < G_N_ELEMENTS(module_names); i++)
        if (strcmp(name, module_names[i]) == 0)
            return load_usable(i, device_id, error);
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                "unknown backend '%s', expected auto, cuda, cpu or ref", name);
    return NULL;
}

const GpudlBackend *gpudl_backend_find_after(const GpudlBackend *backend, gint device_id)
{
    for (guint i = 0; i + 1 < G_N_ELEMENTS(module_names); i++)
        if (strcmp(backend->name, module_names[i]) == 0)
            return find_auto(i + 1, device_id, NULL);
    return NULL;
}

gchar **gpudl_backends_list(gchar ***reasons)
{
    GPtrArray *names = g_ptr_array_new();
    GPtrArray *why = g_ptr_array_new();

    for (guint i = 0; i < G_N_ELEMENTS(module_names); i++) {
        g_autoptr(GError) error = NULL;
        const GpudlBackend *backend = load_usable(i, -1, &error);

        g_ptr_array_add(names, g_strdup(module_names[i]));
        g_ptr_array_add(why, g_strdup(backend ? "" : error->message));
    }
    g_ptr_array_add(names, g_strdup("ref"));
    g_ptr_array_add(why, g_strdup(""));
    g_ptr_array_add(names, NULL);
    g_ptr_array_add(why, NULL);
    if (reasons)
        *reasons = (gchar **)g_ptr_array_free(why, FALSE);
    else
        g_strfreev((gchar **)g_ptr_array_free(why, FALSE));
    return (gchar **)g_ptr_array_free(names, FALSE);
}

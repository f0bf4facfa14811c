/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices: one object for each place to run on, for as long as anything of it is in use. */
#include "engine/session/device.h"

#include <string.h>

#include "engine/process.h"

/* A leaf: no other lock of the library is taken while it is held, and no module runs. */
static GMutex devices_lock;
static GPtrArray *devices; /* of GpudlDevice, no reference */

/* Comes before the devices' lock and is taken by who opens a device alone: a module's device_open() runs under it, so
 * that two who want one place do not make two contexts. That may take seconds, and a driver may fork() within it:
 * neither references nor fork() wait for this lock. */
static GMutex opening_lock;

static void forget_devices(void)
{
    devices = NULL;
    g_mutex_init(&opening_lock); /* who holds it is not in the child */
}

__attribute__((constructor)) static void guard_devices(void)
{
    gpudl_process_guard(&devices_lock, forget_devices);
}

static void lock_devices(void)
{
    g_mutex_lock(&devices_lock);
    if (!devices)
        devices = g_ptr_array_new();
}

/* ---- finding and opening ----------------------------------------------------------------------------------------- */

/* A reference, or NULL. */
static GpudlDevice *find(const GpudlBackend *backend, gint id, gpointer context)
{
    GpudlDevice *found = NULL;

    lock_devices();
    for (guint i = 0; i < devices->len && !found; i++) {
        GpudlDevice *device = devices->pdata[i];

        if (device->backend == backend && device->id == id && device->context == context)
            found = device;
    }
    if (found)
        found->refs++;
    g_mutex_unlock(&devices_lock);
    return found;
}

/* Under the opening lock. */
static GpudlDevice *open_new(const GpudlBackend *backend, GpudlDeviceParams params, GDestroyNotify release,
                             gpointer owner, gboolean *is_new, GError **error)
{
    GpudlFault fault = {""};
    GpudlDevice *device;
    void *handle = NULL;

    *is_new = FALSE;
    if (backend->device_open) {
        GpudlStatus status = backend->device_open(&params, &handle, &fault);

        if (status != GPUDL_STATUS_OK) {
            g_autofree gchar *prefix = g_strdup_printf("backend '%s' can't open device %d", backend->name, params.id);

            gpudl_set_fault(error, status, &fault, prefix);
            return NULL;
        }
        device = find(backend, params.id, params.context);
        if (device) { /* another way to say a place that is open */
            backend->device_close(handle);
            return device;
        }
    } else if (params.context) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "backend '%s' has no contexts, expected none to be given", backend->name);
        return NULL;
    }
    device = g_new0(GpudlDevice, 1);
    device->refs = 1;
    device->backend = backend;
    device->id = params.id;
    device->context = params.context;
    device->handle = handle;
    device->release = release;
    device->owner = owner;
    device->generation = gpudl_process_generation();
    lock_devices();
    g_ptr_array_add(devices, device);
    g_mutex_unlock(&devices_lock);
    *is_new = TRUE;
    return device;
}

/* Takes the owner, whatever comes of it. */
static GpudlDevice *acquire(const GpudlBackend *backend, gint id, gpointer context, GDestroyNotify release,
                            gpointer owner, GError **error)
{
    GpudlDeviceParams params = {.id = id, .context = context};
    gboolean is_new = FALSE;
    GpudlDevice *device;

    if (!backend->device_open)
        params.id = 0; /* one place, whatever its number */
    device = find(backend, params.id, context);
    if (!device) {
        g_mutex_lock(&opening_lock);
        device = find(backend, params.id, context);
        if (!device)
            device = open_new(backend, params, release, owner, &is_new, error);
        g_mutex_unlock(&opening_lock);
    }
    if (!is_new && release)
        release(owner);
    return device;
}

GpudlDevice *gpudl_device_open(const GpudlBackend *backend, gint id, GError **error)
{
    return acquire(backend, id, NULL, NULL, NULL, error);
}

GpudlDevice *gpudl_device_acquire(const gchar *backend, gint id, gpointer context, GDestroyNotify release,
                                  gpointer owner, GError **error)
{
    const GpudlBackend *found = gpudl_backend_find(backend, id, error);

    /* what "auto" comes to is not what the number was said of: it counts GPUs */
    if (found && !found->device_open && id > 0 && backend && strcmp(backend, "auto") != 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_DEVICE,
                    "backend '%s': device index out of range, found %d, expected 0", found->name, id);
        found = NULL;
    }
    if (found)
        return acquire(found, id, context, release, owner, error);
    if (release)
        release(owner);
    return NULL;
}

static gboolean is_given_up(const GpudlDevice *device)
{
    gboolean given_up;

    lock_devices();
    given_up = device->given_up;
    g_mutex_unlock(&devices_lock);
    return given_up;
}

gboolean gpudl_device_check(GpudlDevice *device, GError **error)
{
    if (device->generation != gpudl_process_generation()) {
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE,
                            "the device belongs to the process that forked this one: acquire one here");
        return FALSE;
    }
    if (is_given_up(device)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE,
                    "device %d of backend '%s' did not answer and was given up: acquire it anew", device->id,
                    device->backend->name);
        return FALSE;
    }
    return TRUE;
}

GpudlDevice *gpudl_device_ref(GpudlDevice *device)
{
    lock_devices();
    device->refs++;
    g_mutex_unlock(&devices_lock);
    return device;
}

static void unlist_locked(GpudlDevice *device)
{
    g_ptr_array_remove_fast(devices, device); /* if it is there still */
}

void gpudl_device_unlist(GpudlDevice *device)
{
    lock_devices();
    unlist_locked(device);
    g_mutex_unlock(&devices_lock);
}

void gpudl_device_give_up(GpudlDevice *device)
{
    lock_devices();
    unlist_locked(device);
    device->given_up = TRUE;
    g_mutex_unlock(&devices_lock);
}

void gpudl_device_unref(GpudlDevice *device)
{
    if (!device)
        return;
    lock_devices();
    if (--device->refs > 0 || device->generation != gpudl_process_generation()) {
        g_mutex_unlock(&devices_lock);
        return;
    }
    unlist_locked(device);
    g_mutex_unlock(&devices_lock);
    if (device->handle)
        device->backend->device_close(device->handle);
    if (device->release)
        device->release(device->owner);
    g_free(device);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

gboolean gpudl_device_has_host_memory(GpudlDevice *device)
{
    return device->backend->host_alloc != NULL;
}

gpointer gpudl_device_alloc_host(GpudlDevice *device, gsize bytes, gsize align, GError **error)
{
    const GpudlBackend *backend = device->backend;
    GpudlFault fault = {""};
    void *data = NULL;
    GpudlStatus status;

    if (!backend->host_alloc) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "backend '%s' has no memory of its own: any memory of the host will do", backend->name);
        return NULL;
    }
    if (bytes == 0 || align == 0 || (align & (align - 1)) != 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "%" G_GSIZE_FORMAT " bytes aligned to %" G_GSIZE_FORMAT
                    " were asked for, expected at least 1 byte and a power of 2",
                    bytes, align);
        return NULL;
    }
    if (!gpudl_device_check(device, error))
        return NULL;
    status = backend->host_alloc(device->handle, bytes, align, &data, &fault);
    if (status != GPUDL_STATUS_OK) {
        g_autofree gchar *prefix =
            g_strdup_printf("backend '%s' has no %" G_GSIZE_FORMAT " bytes of host memory", backend->name, bytes);

        gpudl_set_fault(error, status, &fault, prefix);
        return NULL;
    }
    gpudl_device_ref(device);
    return data;
}

void gpudl_device_free_host(GpudlDevice *device, gpointer data)
{
    if (!data)
        return;
    if (gpudl_device_check(device, NULL))
        device->backend->host_free(device->handle, data);
    gpudl_device_unref(device);
}

/* ---- what it is -------------------------------------------------------------------------------------------------- */

const gchar *gpudl_device_get_backend(GpudlDevice *device)
{
    return device->backend->name;
}

gint gpudl_device_get_id(GpudlDevice *device)
{
    return device->id;
}

gpointer gpudl_device_get_context(GpudlDevice *device)
{
    return device->context;
}

void gpudl_device_info_free(GpudlDeviceInfo *info)
{
    g_free(info->name);
    g_free(info->address);
    g_free(info);
}

static gchar *text_of(const char *text, gsize room)
{
    return g_utf8_make_valid(text, (gssize)strnlen(text, room));
}

GPtrArray *gpudl_devices_list(const gchar *name, GError **error)
{
    g_autoptr(GPtrArray) infos = g_ptr_array_new_with_free_func((GDestroyNotify)gpudl_device_info_free);
    const GpudlBackend *backend = gpudl_backend_find(name, -1, error);
    g_autofree GpudlBackendDevice *found = NULL;
    GpudlStatus status = GPUDL_STATUS_OK;
    GpudlFault fault = {""};
    uint32_t n = 0, room = 8;

    if (!backend)
        return NULL;
    do { /* again where there are more than was thought */
        room = MAX(room, n);
        found = g_renew(GpudlBackendDevice, found, room);
        status = backend->devices(found, room, &n, &fault);
    } while (status == GPUDL_STATUS_OK && n > room);
    if (status != GPUDL_STATUS_OK) {
        g_autofree gchar *prefix = g_strdup_printf("backend '%s' can't list its devices", backend->name);

        gpudl_set_fault(error, status, &fault, prefix);
        return NULL;
    }
    for (guint i = 0; i < n; i++) {
        GpudlDeviceInfo *info = g_new0(GpudlDeviceInfo, 1);

        *info = (GpudlDeviceInfo){
            .id = found[i].id,
            .name = text_of(found[i].name, sizeof found[i].name),
            .address = text_of(found[i].address, sizeof found[i].address),
            .memory_bytes = found[i].memory_bytes,
            .free_bytes = found[i].free_bytes,
            .capability_major = found[i].capability[0],
            .capability_minor = found[i].capability[1],
            .bytes_per_second = found[i].bytes_per_second,
        };
        for (guint p = 0; p < G_N_ELEMENTS(found[i].flops_per_second); p++)
            info->flops_per_second[p] = found[i].flops_per_second[p];
        g_ptr_array_add(infos, info);
    }
    return g_steal_pointer(&infos);
}

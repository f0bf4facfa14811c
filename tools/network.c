/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/network.h"

#include "tools/command.h"
#include "tools/interrupt.h"

void network_options_clear(NetworkOptions *options)
{
    g_free(options->labels_file);
    g_free(options->input_size);
    g_free(options->backend);
    g_free(options->precision);
    g_free(options->threads);
    *options = (NetworkOptions){0};
}

gboolean network_options_read(const NetworkOptions *options, GpudlImportOptions *import, GpudlSessionConfig *config,
                              GError **error)
{
    gint threads = 0;

    if (!parse_optional_count(options->threads, &threads, THREADS, error) ||
        (options->input_size != NULL &&
         !parse_size("input-size", options->input_size, &import->input_height, &import->input_width, error)) ||
        !parse_backend("backend", options->backend, error) ||
        !parse_precision("precision", options->precision, &config->precision, error))
        return FALSE;
    config->struct_size = sizeof *config;
    config->backend = options->backend;
    config->cuda_device_id = -1;
    config->cpu_threads = (guint)threads;
    return TRUE;
}

static gboolean load_labels(Network *network, const gchar *path, GError **error)
{
    guint n;

    if (path == NULL)
        return TRUE;
    network->labels = gpudl_labels_read(path, &n, error);
    if (network->labels == NULL)
        return FALSE;
    if (n == network->n_classes)
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: has %u labels, expected %u, the classes of %s", path, n,
                network->n_classes, gpudl_model_get_name(network->model));
    return FALSE;
}

gboolean network_load(Network *network, const gchar *path, const GpudlImportOptions *import,
                      const GpudlSessionConfig *config, const gchar *labels_file, GError **error)
{
    g_autoptr(GpudlDevicePromise) promise = gpudl_device_promise(config->backend, config->cuda_device_id, path);
    g_autoptr(GCancellable) cancellable = interrupt_begin();
    GpudlSessionConfig with_device = *config;

    with_device.promise = promise;
    network->model = gpudl_model_load(path, import, cancellable, error);
    if (network->model != NULL)
        network->session = gpudl_session_acquire(network->model, &with_device, cancellable, error);
    interrupt_end();
    if (network->session == NULL)
        return FALSE;
    network->n_classes = gpudl_model_get_n_classes(network->model, 0);
    if (!load_labels(network, labels_file, error))
        return FALSE;
    network->stream = gpudl_stream_new(network->session, network->model);
    return TRUE;
}

void network_clear(Network *network)
{
    g_clear_pointer(&network->stream, gpudl_stream_free);
    g_clear_pointer(&network->session, gpudl_session_unref);
    g_clear_pointer(&network->model, gpudl_model_unref);
    g_clear_pointer(&network->labels, g_strfreev);
}

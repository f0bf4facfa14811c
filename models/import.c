/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/import.h"

#include <string.h>

#include "engine/limits.h"
#include "engine/model.h"
#include "engine/modelfile/modelfile.h"
#include "engine/passes/passes.h"
#include "models/caffe/caffe.h"
#include "models/input.h"
#include "models/onnx/onnx.h"
#include "models/tf/graphdef.h"
#include "models/tflite/tflite.h"
#include "models/torch/pt2.h"
#include "models/torch/script.h"

/* ---- what a file is ---------------------------------------------------------------------------------------------- */

GpudlImportKind gpudl_import_kind(GBytes *bytes, GError **error)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);

    if (gpudl_modelfile_sniff(data, size))
        return GPUDL_IMPORT_NET_BIN;
    if (gpudl_tflite_sniff(data, size))
        return GPUDL_IMPORT_TFLITE;
    if (gpudl_import_is_exported(data, size))
        return GPUDL_IMPORT_PT2;
    if (gpudl_import_is_script(data, size))
        return GPUDL_IMPORT_SCRIPT;
    if (gpudl_graphdef_sniff(data, size))
        return GPUDL_IMPORT_GRAPHDEF;
    if (gpudl_onnx_sniff(data, size) && gpudl_import_recognise_message(data, size) == NULL)
        return GPUDL_IMPORT_ONNX;
    if (gpudl_caffe_sniff(data, size) || gpudl_caffe_sniff_text(data, size))
        return GPUDL_IMPORT_CAFFE;
    g_set_error(
        error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
        "no model that can be read: expected a net.bin or a file of ONNX, TensorFlow (Lite, or a frozen graph), "
        "PyTorch (torch.export's .pt2, TorchScript) or Caffe, but "
        "it looks like %s",
        gpudl_import_recognise(data, size));
    return GPUDL_IMPORT_UNKNOWN;
}

gchar *gpudl_import_file_of(const gchar *path)
{
    static const gchar *const names[] = {"model.onnx", "onnx/model.onnx", /* to be told what they are: */
                                         "saved_model.pb", "model.safetensors", "pytorch_model.bin"};

    for (guint i = 0; i < G_N_ELEMENTS(names) && g_file_test(path, G_FILE_TEST_IS_DIR); i++) {
        g_autofree gchar *file = g_build_filename(path, names[i], NULL);

        if (g_file_test(file, G_FILE_TEST_IS_REGULAR))
            return g_steal_pointer(&file);
    }
    return g_strdup(path);
}

void gpudl_import_name_file(GError **error, const gchar *path)
{
    if (error != NULL && *error != NULL && !g_str_has_prefix((*error)->message, path))
        g_prefix_error(error, "%s: ", path);
}

/* ---- to a graph -------------------------------------------------------------------------------------------------- */

/* Of a file that is a network alone, or names the others. */
static GpudlGraph *import_one(GBytes *bytes, GpudlImportKind kind, const gchar *path, const GpudlImportOptions *options,
                              GpudlSourceInfo *info, GCancellable *cancellable, GError **error)
{
    g_autofree gchar *directory = g_path_get_dirname(path);
    const GpudlSourceOptions one = {.input_height = options != NULL ? options->input_height : 0,
                                    .input_width = options != NULL ? options->input_width : 0,
                                    .default_height = info != NULL ? info->default_height : 0,
                                    .default_width = info != NULL ? info->default_width : 0,
                                    .picture = TRUE,
                                    .directory = directory,
                                    .cancellable = cancellable};
    GpudlGraph *graph;

    if (kind == GPUDL_IMPORT_TFLITE)
        graph = gpudl_tflite_import(bytes, &one, info, error);
    else if (kind == GPUDL_IMPORT_GRAPHDEF)
        graph = gpudl_graphdef_import(bytes, &one, info, error);
    else if (kind == GPUDL_IMPORT_PT2)
        graph = gpudl_pt2_import(bytes, &one, info, error);
    else if (kind == GPUDL_IMPORT_SCRIPT)
        graph = gpudl_script_import(bytes, &one, info, error);
    else
        graph = gpudl_onnx_import(bytes, &one, info, error);
    g_bytes_unref(bytes);
    return graph;
}

/* By the importer of what the bytes are, which it takes. */
static GpudlGraph *import_bytes(GBytes *bytes, const gchar *path, const GpudlImportOptions *options,
                                GpudlSourceInfo *info, GCancellable *cancellable, GError **error)
{
    const GpudlImportKind kind = gpudl_import_kind(bytes, error);
    g_autoptr(GpudlGraph) graph = NULL;
    gint pixel_scale;

    if (kind == GPUDL_IMPORT_UNKNOWN) {
        g_bytes_unref(bytes);
        return NULL;
    }
    if (kind != GPUDL_IMPORT_CAFFE && options != NULL && options->with_file != NULL) {
        g_bytes_unref(bytes);
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "'%s' can't go with it: only Caffe's networks are in two files, and it is none of these",
                    options->with_file);
        return NULL;
    }
    if (kind == GPUDL_IMPORT_CAFFE)
        graph = gpudl_import_caffe(bytes, path, options, info, cancellable, error);
    else
        graph = import_one(bytes, kind, path, options, info, cancellable, error);
    if (graph == NULL || !gpudl_input_adapt(graph, &pixel_scale, error))
        return NULL;
    if (info != NULL)
        info->pixel_scale = pixel_scale;
    return g_steal_pointer(&graph);
}

GpudlGraph *gpudl_import_rewritten(GBytes *bytes, const gchar *path, const GpudlImportOptions *options,
                                   GpudlSourceInfo *info, GCancellable *cancellable, GError **error)
{
    g_autoptr(GpudlGraph) graph = import_bytes(bytes, path, options, info, cancellable, error);

    if (graph == NULL || !gpudl_graph_prove_batch(graph, cancellable, error))
        return NULL;
    if (graph->batch != 1) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "exported with batch %" G_GINT64_FORMAT ", and cannot run one frame at a time: %s", graph->batch,
                    graph->batch_reason);
        return NULL;
    }
    if (!gpudl_passes_run(graph, cancellable, error))
        return NULL;
    return g_steal_pointer(&graph);
}

gboolean gpudl_import_graph(const gchar *path, const GpudlImportOptions *options, GpudlGraph **unrewritten,
                            GpudlSourceInfo *info, GCancellable *cancellable, GError **error)
{
    g_autoptr(GpudlPages) pages = NULL;
    g_autoptr(GBytes) bytes = NULL;
    GpudlImportKind kind = GPUDL_IMPORT_UNKNOWN;

    *unrewritten = NULL;
    pages = gpudl_file_read_pages(path, GPUDL_LIMIT_FILE_BYTES, NULL, cancellable, error);
    if (pages != NULL) {
        bytes = gpudl_pages_slice(pages, 0, gpudl_pages_get_size(pages));
        g_clear_pointer(&pages, gpudl_pages_unref);
        kind = gpudl_import_kind(bytes, error);
    }
    if (kind == GPUDL_IMPORT_NET_BIN)
        g_set_error(
            error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
            "it is a net.bin, whose graph is rewritten already; expected a file of ONNX, TensorFlow, PyTorch or Caffe");
    else if (kind != GPUDL_IMPORT_UNKNOWN)
        *unrewritten = import_bytes(g_steal_pointer(&bytes), path, options, info, cancellable, error);
    if (*unrewritten == NULL)
        gpudl_import_name_file(error, path);
    return *unrewritten != NULL;
}

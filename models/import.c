/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/import.h"

#include <string.h>
#include <unistd.h>

#include "engine/limits.h"
#include "engine/model.h"
#include "engine/modelfile/modelfile.h"
#include "engine/modelfile/sum.h"
#include "engine/passes/passes.h"
#include "models/caffe/caffe.h"
#include "models/input.h"
#include "models/onnx/onnx-apart.h"
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
    g_autofree gchar *found = NULL;

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
    found = gpudl_import_recognise(data, size);
    g_set_error(
        error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
        "no model that can be read: expected a net.bin or a file of ONNX, TensorFlow (Lite, or a frozen graph), "
        "PyTorch (torch.export's .pt2, TorchScript) or Caffe, but "
        "it looks like %s",
        found);
    return GPUDL_IMPORT_UNKNOWN;
}

void gpudl_import_name_file(GError **error, const gchar *path)
{
    if (error != NULL && *error != NULL && !g_str_has_prefix((*error)->message, path))
        g_prefix_error(error, "%s: ", path);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

void gpudl_import_file_clear(GpudlImportFile *file)
{
    g_clear_pointer(&file->bytes, g_bytes_unref);
    g_clear_pointer(&file->apart, g_ptr_array_unref);
    g_clear_pointer(&file->pages, gpudl_pages_unref);
    g_clear_pointer(&file->room.pages, gpudl_pages_unref);
}

/* Leaves bytes NULL without error if the file has to be read as a whole. */
static gboolean read_onnx(GpudlImportFile *file, const gchar *path, const GpudlRoom *into, GCancellable *cancellable,
                          GError **error)
{
    g_auto(GpudlOnnxApart) apart = {0};
    const gint fd = gpudl_file_open(path, GPUDL_LIMIT_FILE_BYTES, &file->st, error);
    const gsize size = fd >= 0 ? (gsize)file->st.st_size : 0;
    GError *local = NULL;

    if (fd < 0)
        return FALSE;
    if (into != NULL)
        file->room = (GpudlRoom){.pages = gpudl_pages_ref(into->pages), .limit = into->limit};
    else if (!gpudl_room_make(&file->room, size))
        file->room = (GpudlRoom){0};
    if (gpudl_onnx_read_apart(&apart, fd, size, &file->room, cancellable, &local)) {
        file->bytes = g_steal_pointer(&apart.rest);
        file->apart = g_steal_pointer(&apart.values);
        g_strlcpy(file->sum, apart.sum, sizeof file->sum);
        file->kind = gpudl_import_kind(file->bytes, NULL);
    }
    close(fd);
    if (file->kind == GPUDL_IMPORT_ONNX && file->room.used == 0 && into == NULL) /* nothing is large: no need for it */
        g_clear_pointer(&file->room.pages, gpudl_pages_unref);
    else if (file->kind != GPUDL_IMPORT_ONNX)
        gpudl_import_file_clear(file);
    if (local == NULL)
        return TRUE;
    g_propagate_error(error, local);
    return FALSE;
}

gboolean gpudl_import_read(GpudlImportFile *file, const gchar *path, const GpudlRoom *into, GCancellable *cancellable,
                           GError **error)
{
    if (!gpudl_import_check_folder(path, error) || !read_onnx(file, path, into, cancellable, error))
        return FALSE;
    if (file->bytes != NULL)
        return TRUE;
    file->pages = gpudl_file_read_pages(path, GPUDL_LIMIT_FILE_BYTES, &file->st, cancellable, error);
    if (file->pages == NULL)
        return FALSE;
    file->bytes = gpudl_pages_slice(file->pages, 0, gpudl_pages_get_size(file->pages));
    file->kind = gpudl_import_kind(file->bytes, error);
    if (file->kind == GPUDL_IMPORT_UNKNOWN)
        return FALSE;
    if (file->kind != GPUDL_IMPORT_NET_BIN)
        gpudl_sum_of(gpudl_pages_get_data(file->pages), gpudl_pages_get_size(file->pages), file->sum);
    if (file->kind != GPUDL_IMPORT_NET_BIN && file->kind != GPUDL_IMPORT_PT2 && file->kind != GPUDL_IMPORT_SCRIPT)
        g_clear_pointer(&file->pages, gpudl_pages_unref); /* another file's bytes are not needed as long as its graph */
    return TRUE;
}

/* ---- to a graph -------------------------------------------------------------------------------------------------- */

/* Of a file that is a network alone, or names the others. Takes the bytes. */
static GpudlGraph *import_one(GpudlImportFile *file, const gchar *path, const GpudlImportOptions *options,
                              GpudlSourceInfo *info, GCancellable *cancellable, GError **error)
{
    g_autofree gchar *directory = g_path_get_dirname(path);
    const GpudlSourceOptions one = {.input_height = options != NULL ? options->input_height : 0,
                                    .input_width = options != NULL ? options->input_width : 0,
                                    .default_height = info != NULL ? info->default_height : 0,
                                    .default_width = info != NULL ? info->default_width : 0,
                                    .default_first = info != NULL && info->default_first,
                                    .default_from = info != NULL ? info->default_from : NULL,
                                    .picture = TRUE,
                                    .directory = directory,
                                    .cancellable = cancellable,
                                    .apart = file->apart,
                                    .pages = file->pages,
                                    .room = &file->room};
    GpudlGraph *graph;

    if (file->kind == GPUDL_IMPORT_TFLITE)
        graph = gpudl_tflite_import(file->bytes, &one, info, error);
    else if (file->kind == GPUDL_IMPORT_GRAPHDEF)
        graph = gpudl_graphdef_import(file->bytes, &one, info, error);
    else if (file->kind == GPUDL_IMPORT_PT2)
        graph = gpudl_pt2_import(file->bytes, &one, info, error);
    else if (file->kind == GPUDL_IMPORT_SCRIPT)
        graph = gpudl_script_import(file->bytes, &one, info, error);
    else
        graph = gpudl_onnx_import(file->bytes, &one, info, error);
    g_clear_pointer(&file->bytes, g_bytes_unref);
    g_clear_pointer(&file->pages, gpudl_pages_unref);
    g_clear_pointer(&file->apart, g_ptr_array_unref);
    return graph;
}

/* By the importer of what the file is. Takes the bytes. */
static GpudlGraph *import_file(GpudlImportFile *file, const gchar *path, const GpudlImportOptions *options,
                               GpudlSourceInfo *info, GCancellable *cancellable, GError **error)
{
    g_autoptr(GpudlGraph) graph = NULL;
    gint pixel_scale;

    if (file->kind != GPUDL_IMPORT_CAFFE && options != NULL && options->with_file != NULL) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "'%s' can't go with it: only Caffe's networks are in two files, and it is none of these",
                    options->with_file);
        return NULL;
    }
    if (file->kind == GPUDL_IMPORT_CAFFE)
        graph = gpudl_import_caffe(g_steal_pointer(&file->bytes), path, options, info, cancellable, error);
    else
        graph = import_one(file, path, options, info, cancellable, error);
    if (graph == NULL || !gpudl_input_adapt(graph, &pixel_scale, error))
        return NULL;
    if (info != NULL)
        info->pixel_scale = pixel_scale;
    return g_steal_pointer(&graph);
}

GpudlGraph *gpudl_import_rewritten(GpudlImportFile *file, const gchar *path, const GpudlImportOptions *options,
                                   GpudlSourceInfo *info, GCancellable *cancellable, GError **error)
{
    g_autoptr(GpudlGraph) graph = import_file(file, path, options, info, cancellable, error);

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
    g_auto(GpudlImportFile) file = {0};

    *unrewritten = NULL;
    if (!gpudl_import_read(&file, path, NULL, cancellable, error))
        gpudl_import_name_file(error, path);
    else if (file.kind == GPUDL_IMPORT_NET_BIN)
        g_set_error(
            error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
            "it is a net.bin, whose graph is rewritten already; expected a file of ONNX, TensorFlow, PyTorch or Caffe");
    else
        *unrewritten = import_file(&file, path, options, info, cancellable, error);
    if (*unrewritten == NULL)
        gpudl_import_name_file(error, path);
    return *unrewritten != NULL;
}

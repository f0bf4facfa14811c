/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From an archive to a graph: the picture, forward(), and what it gives. */
#include "models/torch/script.h"

#include <string.h>

#include "engine/limits.h"
#include "models/gpudl-import.h"
#include "models/tf/tf-layers.h"
#include "script-internal.h"

typedef struct {
    Script script;
    const GpudlSourceOptions *options;
    gboolean size_chosen, bytes; /* bytes: the input is uint8 */
} ScriptImport;

/* ---- the picture ------------------------------------------------------------------------------------------------- */

/* Channels of the first convolution's weights, in the order of the modules; 3 if there is none. */
static gint64 first_channels(const Pickle *pickle)
{
    for (guint i = 0; i < pickle->values->len; i++) {
        GpudlShape shape;
        GpudlDType dtype;

        if (script_tensor_shape(pickle->values->pdata[i], &shape, &dtype) && shape.rank == 4)
            return shape.dims[1] == 1 ? 1 : 3;
    }
    return 3;
}

/* The picture that the network was traced with, which the archive keeps in newer versions; else one whose size is
 * free. */
static gboolean traced_shape(const Pickle *inputs, GpudlShape *shape, GpudlDType *dtype)
{
    for (guint i = 0; inputs != NULL && i < inputs->values->len; i++)
        if (script_tensor_shape(inputs->values->pdata[i], shape, dtype))
            return TRUE;
    return FALSE;
}

static AtenValue *make_input(ScriptImport *import, GError **error)
{
    const gboolean picture = import->options != NULL && import->options->picture;
    AtenContext *context = &import->script.context;
    GpudlShape shape = {.rank = 4, .dims = {1, first_channels(import->script.data), 0, 0}};
    GpudlDType dtype = GPUDL_DTYPE_F32;
    GpudlTensor *input;
    AtenValue *value;

    tf_build_at(&context->build, "x", "input");
    traced_shape(import->script.inputs, &shape, &dtype);
    if (picture &&
        (shape.rank != 4 || (shape.dims[1] != 1 && shape.dims[1] != 3 && shape.dims[3] != 1 && shape.dims[3] != 3))) {
        g_autofree gchar *text = gpudl_shape_to_string(&shape);

        tf_fail(&context->build, GPUDL_ERROR_UNSUPPORTED, error,
                "the input is %s, expected N x C x H x W with 1 or 3 channels: pictures", text);
        return NULL;
    }
    import->bytes = dtype == GPUDL_DTYPE_U8;
    input = tf_input(&context->build, "x", import->bytes && picture ? GPUDL_DTYPE_F32 : dtype, &shape, import->options,
                     &import->size_chosen, error);
    if (input == NULL)
        return NULL;
    tf_build_at(&context->build, "network", "TorchScript");
    value = aten_alloc(context, 1, sizeof *value);
    *value = aten_of_tensor(context, input);
    return value;
}

/* ---- what comes out ---------------------------------------------------------------------------------------------- */

static gboolean add_outputs(ScriptImport *import, const AtenValue *value, guint depth, GError **error)
{
    GpudlGraph *graph = import->script.context.build.graph;
    GpudlTensor *output;

    if (value->kind == ATEN_LIST && depth < 2) {
        for (guint i = 0; i < value->n_items; i++)
            if (!add_outputs(import, &value->items[i], depth + 1, error))
                return FALSE;
        return TRUE;
    }
    if (value->kind == ATEN_NONE)
        return TRUE;
    if ((output = aten_output(value, "what forward() gives", error)) == NULL)
        return FALSE;
    if (gpudl_tensor_is_constant(output) || g_ptr_array_find(graph->outputs, output, NULL))
        return TRUE;
    if (graph->outputs->len == GPUDL_MAX_OUTPUTS) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "TorchScript's network with more than %d outputs; have forward() give the scores alone",
                    GPUDL_MAX_OUTPUTS);
        return FALSE;
    }
    gpudl_graph_add_output(graph, output);
    return TRUE;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static gboolean import_graph(ScriptImport *import, GError **error)
{
    const PickleValue *root = import->script.data->root;
    GpudlGraph *graph = import->script.context.build.graph;
    const ScriptObject self = {root, ""};
    AtenValue *input, *result;

    if (root->kind != PICKLE_CALL || root->of->kind != PICKLE_GLOBAL ||
        !g_str_has_prefix(root->of->text, "__torch__.")) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "TorchScript's archive without a module in data.pkl");
        return FALSE;
    }
    if (pickle_get(root->state, "training") != NULL && pickle_get(root->state, "training")->integer != 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "it was saved in training mode. model.eval() before torch.jit.trace() says that it is to classify");
        return FALSE;
    }
    input = make_input(import, error);
    result = input != NULL ? script_call(&import->script, &self, "forward", &input, 1, error) : NULL;
    if (result == NULL || !add_outputs(import, result, 0, error))
        return FALSE;
    if (graph->outputs->len == 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "TorchScript's network without an output that depends on its input");
        return FALSE;
    }
    gpudl_graph_remove_dead(graph);
    gpudl_graph_drop_unread(graph); /* weights of which others were computed */
    return gpudl_graph_sort(graph, error) && gpudl_graph_infer(graph, 0, error);
}

static void fill_info(const ScriptImport *import, GpudlSourceInfo *info)
{
    info->format = g_strdup("TorchScript");
    info->size_chosen = import->size_chosen;
    info->metadata = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    info->files = g_array_new(FALSE, FALSE, sizeof(GpudlSourceFile));
    info->reads = g_array_new(FALSE, FALSE, sizeof(GpudlSourceRead));
    if (import->bytes) {
        info->preproc.pixel_scale = 1;
        info->preproc_set = GPUDL_SET_PIXEL_SCALE;
        info->preproc_from = "the input's type";
    }
}

GpudlGraph *gpudl_script_import(GBytes *file, const GpudlSourceOptions *options, GpudlSourceInfo *info, GError **error)
{
    ScriptImport import = {.options = options};
    const gboolean opened = script_open(&import.script, file, options != NULL ? options->pages : NULL, error);
    GpudlGraph *graph = NULL;

    import.script.cancellable = options != NULL ? options->cancellable : NULL;
    if (opened && import_graph(&import, error)) {
        graph = g_steal_pointer(&import.script.context.build.graph);
        if (info != NULL)
            fill_info(&import, info);
    }
    g_clear_pointer(&import.script.context.build.graph, gpudl_graph_free);
    script_close(&import.script);
    return graph;
}

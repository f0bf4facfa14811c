/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From an archive to a graph: inputs and weights by the signature, then one node after the other. */
#include "models/torch/pt2.h"

#include <string.h>

#include "engine/limits.h"
#include "models/gpudl-import.h"
#include "models/tf/tf-layers.h"
#include "pt2-internal.h"

/* ---- inputs ------------------------------------------------------------------------------------------------------ */

/* 0 for an extent that the file leaves open. */
static gboolean read_input_shape(Pt2Import *import, const gchar *name, GpudlShape *shape, GpudlDType *dtype,
                                 GError **error)
{
    JsonObject *meta = gpudl_json_object(gpudl_json_object(import->graph, "tensor_values"), name);
    JsonArray *sizes = gpudl_json_array(meta, "sizes");
    const guint rank = sizes != NULL ? json_array_get_length(sizes) : 0;
    gint64 type;

    if (sizes == NULL || rank > GPUDL_MAX_RANK || !gpudl_json_integer(meta, "dtype", &type) ||
        (*dtype = pt2_dtype(type)) == GPUDL_DTYPE_NONE)
        return tf_fail(&import->context.build, GPUDL_ERROR_UNSUPPORTED, error,
                       "an input of a type or of more dimensions than are taken");
    *shape = (GpudlShape){.rank = (gint32)rank};
    for (guint i = 0; i < rank; i++)
        if (!gpudl_json_integer(gpudl_json_element(sizes, i), "as_int", &shape->dims[i]))
            shape->dims[i] = 0;
    return TRUE;
}

/* What the picture has to be: PyTorch's are channels first. */
static gboolean check_picture(Pt2Import *import, const gchar *name, const GpudlShape *shape, GError **error)
{
    g_autofree gchar *text = gpudl_shape_to_string(shape);

    if (import->n_pictures++ > 0)
        return tf_fail(&import->context.build, GPUDL_ERROR_UNSUPPORTED, error,
                       "a second input, '%s', expected one, a picture N x C x H x W", name);
    if (shape->rank == 4 && (shape->dims[1] == 1 || shape->dims[1] == 3 || shape->dims[3] == 1 || shape->dims[3] == 3))
        return TRUE;
    return tf_fail(&import->context.build, GPUDL_ERROR_UNSUPPORTED, error,
                   "input '%s' is %s, expected N x C x H x W with 1 or 3 channels: pictures", name, text);
}

static gboolean read_input(Pt2Import *import, const gchar *name, GError **error)
{
    const gboolean picture = import->options != NULL && import->options->picture;
    GpudlTensor *input;
    GpudlShape shape;
    GpudlDType dtype;
    AtenValue value;

    tf_build_at(&import->context.build, name, "input");
    if (!read_input_shape(import, name, &shape, &dtype, error) ||
        (picture && !check_picture(import, name, &shape, error)))
        return FALSE;
    import->bytes = dtype == GPUDL_DTYPE_U8;
    input = tf_input(&import->context.build, name, import->bytes && picture ? GPUDL_DTYPE_F32 : dtype, &shape,
                     import->options, &import->size_chosen, error);
    if (input == NULL)
        return FALSE;
    value = aten_of_tensor(&import->context, input);
    return pt2_define(import, name, &value, NULL, error);
}

/* ---- the signature ----------------------------------------------------------------------------------------------- */

/* Names that nodes read. */
static void add_read(GHashTable *read, JsonNode *node)
{
    if (JSON_NODE_HOLDS_ARRAY(node)) {
        for (guint i = 0; i < json_array_get_length(json_node_get_array(node)); i++)
            add_read(read, json_array_get_element(json_node_get_array(node), i));
    } else if (JSON_NODE_HOLDS_OBJECT(node)) {
        JsonObject *object = json_node_get_object(node);
        g_autoptr(GList) members = json_object_get_members(object);
        const gchar *name = gpudl_json_text(object, "name");

        if (name != NULL)
            g_hash_table_add(read, (gpointer)name);
        for (GList *at = members; at != NULL; at = at->next)
            add_read(read, json_object_get_member(object, at->data));
    }
}

static GHashTable *names_read(JsonArray *nodes)
{
    GHashTable *read = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < json_array_get_length(nodes); i++) {
        JsonArray *inputs = gpudl_json_array(gpudl_json_element(nodes, i), "inputs");

        for (guint k = 0; inputs != NULL && k < json_array_get_length(inputs); k++) {
            JsonNode *arg = gpudl_json_member(gpudl_json_element(inputs, k), "arg");

            if (arg != NULL)
                add_read(read, arg);
        }
    }
    return read;
}

/* One input of the graph: a weight, a picture, or a value that is nothing to the network. */
static gboolean read_spec(Pt2Import *import, JsonObject *spec, GHashTable *read, GError **error)
{
    static const gchar *const kinds[][2] = {
        {"parameter", "parameter_name"}, {"buffer", "buffer_name"}, {"tensor_constant", "tensor_constant_name"}};
    JsonObject *user = gpudl_json_object(spec, "user_input"), *arg = gpudl_json_object(user, "arg");
    const gchar *name = gpudl_json_text(gpudl_json_object(arg, "as_tensor"), "name");

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        JsonObject *entry = gpudl_json_object(spec, kinds[i][0]);
        const gchar *weight = gpudl_json_text(entry, kinds[i][1]);

        if (weight != NULL)
            return pt2_define(import, gpudl_json_text(gpudl_json_object(entry, "arg"), "name"), NULL, weight, error);
    }
    if (name != NULL)
        return !g_hash_table_contains(read, name) || read_input(import, name, error);
    if (user != NULL || gpudl_json_member(spec, "constant_input") != NULL)
        return TRUE; /* a number or None, whose value the nodes have */
    return tf_fail(&import->context.build, GPUDL_ERROR_UNSUPPORTED, error,
                   "an input that is no tensor: objects and tokens are not taken");
}

static gboolean read_signature(Pt2Import *import, JsonObject *signature, JsonArray *nodes, GError **error)
{
    JsonArray *specs = gpudl_json_array(signature, "input_specs");
    g_autoptr(GHashTable) read = names_read(nodes);

    tf_build_at(&import->context.build, "graph", "input_specs");
    if (specs == NULL || json_array_get_length(specs) > GPUDL_LIMIT_TENSORS)
        return tf_fail(&import->context.build, GPUDL_ERROR_FORMAT, error, "no list of at most %u inputs",
                       GPUDL_LIMIT_TENSORS);
    for (guint i = 0; i < json_array_get_length(specs); i++)
        if (!read_spec(import, gpudl_json_element(specs, i), read, error))
            return FALSE;
    return TRUE;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

static const gchar *name_of(JsonObject *node)
{
    JsonArray *outputs = gpudl_json_array(node, "outputs");
    const gchar *name = gpudl_json_text(node, "name");

    if (name == NULL)
        name = gpudl_json_text(gpudl_json_object(gpudl_json_element(outputs, 0), "as_tensor"), "name");
    return name != NULL && strlen(name) <= GPUDL_LIMIT_NAME_BYTES ? name : "unnamed";
}

static gboolean import_node(Pt2Import *import, JsonObject *node, GError **error)
{
    const gchar *target = gpudl_json_text(node, "target"), *op = target != NULL ? target : "nothing";
    JsonArray *inputs = gpudl_json_array(node, "inputs");
    const guint n = inputs != NULL ? json_array_get_length(inputs) : 0;
    AtenArg args[16];
    AtenValue result = {0};

    if (g_str_has_prefix(op, "torch.ops."))
        op += strlen("torch.ops.");
    if (strlen(op) > GPUDL_LIMIT_NAME_BYTES)
        op = "too long";
    tf_build_at(&import->context.build, name_of(node), op);
    if (n > G_N_ELEMENTS(args))
        return tf_fail(&import->context.build, GPUDL_ERROR_UNSUPPORTED, error, "%u arguments, at most %u are taken", n,
                       (guint)G_N_ELEMENTS(args));
    for (guint i = 0; i < n; i++) {
        JsonObject *input = gpudl_json_element(inputs, i);

        args[i].name = gpudl_json_text(input, "name");
        if (args[i].name != NULL && args[i].name[0] == '\0')
            args[i].name = NULL;
        args[i].value = pt2_argument(import, gpudl_json_object(input, "arg"), error);
        if (args[i].value == NULL)
            return FALSE;
    }
    return aten_call(&import->context, op, args, n, &result, error) &&
           pt2_results(import, gpudl_json_array(node, "outputs"), &result, error);
}

static gboolean read_outputs(Pt2Import *import, JsonObject *signature, GError **error)
{
    JsonArray *specs = gpudl_json_array(signature, "output_specs");
    GpudlGraph *graph = import->context.build.graph;

    tf_build_at(&import->context.build, "graph", "output_specs");
    for (guint i = 0; specs != NULL && i < json_array_get_length(specs); i++) {
        JsonObject *user = gpudl_json_object(gpudl_json_element(specs, i), "user_output");
        const gchar *name = gpudl_json_text(gpudl_json_object(gpudl_json_object(user, "arg"), "as_tensor"), "name");
        g_autofree gchar *what = g_strdup_printf("output '%s'", name != NULL ? name : "");
        const AtenValue *value;
        GpudlTensor *output;

        if (user == NULL)
            return tf_fail(&import->context.build, GPUDL_ERROR_UNSUPPORTED, error,
                           "the network changes its own weights or inputs. model.eval() before torch.export.export() "
                           "says that it is to classify");
        if (name == NULL)
            continue; /* a number or None */
        if ((value = pt2_value(import, name, error)) == NULL)
            return FALSE;
        if ((output = aten_output(value, what, error)) == NULL)
            return FALSE;
        if (!gpudl_tensor_is_constant(output) && !g_ptr_array_find(graph->outputs, output, NULL))
            gpudl_graph_add_output(graph, output);
    }
    return TRUE;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static gboolean import_graph(Pt2Import *import, GError **error)
{
    JsonObject *module = gpudl_json_object(json_node_get_object(import->file.model), "graph_module");
    JsonObject *signature = gpudl_json_object(module, "signature");
    GCancellable *cancellable = import->options != NULL ? import->options->cancellable : NULL;
    GpudlGraph *graph = import->context.build.graph;
    JsonArray *nodes;

    import->graph = gpudl_json_object(module, "graph");
    nodes = gpudl_json_array(import->graph, "nodes");
    tf_build_at(&import->context.build, "graph", "nodes");
    if (nodes == NULL || json_array_get_length(nodes) > GPUDL_LIMIT_NODES)
        return tf_fail(&import->context.build, GPUDL_ERROR_FORMAT, error, "no list of at most %u nodes",
                       GPUDL_LIMIT_NODES);
    if (!read_signature(import, signature, nodes, error))
        return FALSE;
    for (guint i = 0; i < json_array_get_length(nodes); i++) {
        if (g_cancellable_is_cancelled(cancellable)) {
            g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "it was cancelled");
            return FALSE;
        }
        if (!import_node(import, gpudl_json_element(nodes, i), error))
            return FALSE;
    }
    if (!read_outputs(import, signature, error))
        return FALSE;
    if (graph->outputs->len == 0 || graph->inputs->len == 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "torch.export's graph without %s, expected a picture and what is computed of it",
                    graph->inputs->len == 0 ? "an input" : "an output that depends on its input");
        return FALSE;
    }
    gpudl_graph_remove_dead(graph);
    gpudl_graph_drop_unread(graph); /* weights of which others were computed */
    return gpudl_graph_sort(graph, error) && gpudl_graph_infer(graph, 0, error);
}

static void fill_info(const Pt2Import *import, GpudlSourceInfo *info)
{
    const gchar *version = gpudl_json_text(json_node_get_object(import->file.model), "torch_version");

    info->format = g_strdup("torch.export");
    info->producer = version != NULL && strlen(version) < 64 ? g_strdup_printf("PyTorch %s", version) : NULL;
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

GpudlGraph *gpudl_pt2_import(GBytes *file, const GpudlSourceOptions *options, GpudlSourceInfo *info, GError **error)
{
    Pt2Import import = {.options = options};
    GpudlGraph *graph = NULL;

    if (pt2_open(&import.file, file, options != NULL ? options->pages : NULL, error)) {
        aten_begin(&import.context, g_bytes_get_size(file));
        import.values = g_hash_table_new(g_str_hash, g_str_equal);
        if (import_graph(&import, error)) {
            graph = g_steal_pointer(&import.context.build.graph);
            if (info != NULL)
                fill_info(&import, info);
        }
        g_clear_pointer(&import.context.build.graph, gpudl_graph_free);
        g_hash_table_unref(import.values);
        aten_end(&import.context);
    }
    pt2_close(&import.file);
    return graph;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From an archive to a graph: inputs and weights by the signature, then one node after the other. */
#include "models/torch/pt2.h"

#include <string.h>

#include "engine/limits.h"
#include "models/gpudl-import.h"
#include "models/tf/tf-layers.h"
#include "pt2-internal.h"

#define AUTOCAST "higher_order.wrap_with_autocast"
#define NO_GRADIENTS "higher_order.wrap_with_set_grad_enabled"
#define MOST_REGIONS 8 /* within each other */
#define MOST_ARGS 16u
#define MOST_OPERANDS 1024u

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

/* The tensor that a caller gives, if the nodes read it; NULL: the input is something else. */
static const gchar *given_input(JsonObject *spec, GHashTable *read)
{
    JsonObject *arg = gpudl_json_object(gpudl_json_object(spec, "user_input"), "arg");
    const gchar *name = gpudl_json_text(gpudl_json_object(arg, "as_tensor"), "name");

    return name != NULL && g_hash_table_contains(read, name) ? name : NULL;
}

/* FALSE where there is more than one, which are all named. */
static gboolean check_inputs(Pt2Import *import, JsonArray *specs, GHashTable *read, GError **error)
{
    g_autoptr(GString) named = g_string_new(NULL);
    guint n = 0, done = 0;

    for (guint i = 0; i < json_array_get_length(specs); i++)
        n += given_input(gpudl_json_element(specs, i), read) != NULL;
    for (guint i = 0; i < json_array_get_length(specs) && n > 1; i++) {
        const gchar *name = given_input(gpudl_json_element(specs, i), read);
        GpudlShape shape;
        GpudlDType dtype;

        if (name != NULL)
            gpudl_source_name_input(named, done++, n, name,
                                    read_input_shape(import, name, &shape, &dtype, NULL) ? &shape : NULL);
    }
    return n <= 1 || tf_fail(&import->context.build, GPUDL_ERROR_UNSUPPORTED, error,
                             "%u inputs, %s: expected one, a picture N x C x H x W. Export a module that takes the "
                             "picture alone, and has the others as buffers",
                             n, named->str);
}

static gboolean read_signature(Pt2Import *import, JsonObject *signature, JsonArray *nodes, GError **error)
{
    JsonArray *specs = gpudl_json_array(signature, "input_specs");
    g_autoptr(GHashTable) read = names_read(nodes);

    tf_build_at(&import->context.build, "graph", "input_specs");
    if (specs == NULL || json_array_get_length(specs) > GPUDL_LIMIT_TENSORS)
        return tf_fail(&import->context.build, GPUDL_ERROR_FORMAT, error, "no list of at most %u inputs",
                       GPUDL_LIMIT_TENSORS);
    if (import->options != NULL && import->options->picture && !check_inputs(import, specs, read, error))
        return FALSE;
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

static gboolean import_nodes(Pt2Import *import, JsonArray *nodes, GError **error);

/* A region of nodes with names of its own, which read nothing but its operands: torch.autocast(enabled=False) or
 * torch.no_grad() round a part of a module. It is read in place, since neither changes what is computed. */
static gboolean read_region(Pt2Import *import, JsonObject *graph, AtenArg *operands, guint n, AtenValue *result,
                            GError **error)
{
    JsonArray *inputs = gpudl_json_array(graph, "inputs"), *nodes = gpudl_json_array(graph, "nodes");
    JsonArray *outputs = gpudl_json_array(graph, "outputs");
    const guint n_outputs = outputs != NULL ? json_array_get_length(outputs) : 0;

    if (inputs == NULL || nodes == NULL || n_outputs == 0 || json_array_get_length(inputs) != n)
        return tf_fail(&import->context.build, GPUDL_ERROR_FORMAT, error,
                       "a region of %u operands, with inputs for these, nodes and outputs was expected", n);
    for (guint i = 0; i < n; i++) {
        JsonObject *tensor = gpudl_json_object(gpudl_json_element(inputs, i), "as_tensor");

        if (!pt2_define(import, gpudl_json_text(tensor, "name"), operands[i].value, NULL, error))
            return FALSE;
    }
    if (!import_nodes(import, nodes, error))
        return FALSE;
    result->kind = ATEN_LIST;
    result->n_items = n_outputs;
    result->items = aten_alloc(&import->context, n_outputs, sizeof *result->items);
    for (guint i = 0; i < n_outputs; i++) {
        JsonObject *tensor = gpudl_json_object(gpudl_json_element(outputs, i), "as_tensor");
        const AtenValue *value = pt2_value(import, gpudl_json_text(tensor, "name"), error);

        if (value == NULL)
            return FALSE;
        result->items[i] = *value;
    }
    return TRUE;
}

/* args: what is said of the region, then NULL where the graph is, then its operands. */
static gboolean import_region(Pt2Import *import, JsonObject *node, const gchar *op, AtenArg *args, guint n,
                              AtenValue *result, GError **error)
{
    const guint before = strcmp(op, AUTOCAST) == 0 ? 4 : 1;
    g_autoptr(GHashTable) values = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTable *outer = import->values;
    gchar *region = import->region;
    JsonObject *graph;
    JsonArray *made;
    gboolean ok;

    graph = gpudl_json_object(gpudl_json_element(gpudl_json_array(node, "inputs"), before), "arg");
    graph = gpudl_json_object(gpudl_json_object(graph, "as_graph"), "graph");
    if (n <= before || graph == NULL)
        return tf_fail(&import->context.build, GPUDL_ERROR_FORMAT, error, "no graph as its argument %u", before);
    if (before == 4 && (args[2].value == NULL || args[2].value->kind != ATEN_FLAG || args[2].value->integer != 0))
        return tf_fail(&import->context.build, GPUDL_ERROR_UNSUPPORTED, error,
                       "torch.autocast computes in another type than the file says; export it without, or with "
                       "enabled=False");
    if (import->depth == MOST_REGIONS)
        return tf_fail(&import->context.build, GPUDL_ERROR_LIMIT, error, "regions within regions, %d are taken",
                       MOST_REGIONS);
    for (guint i = before + 1; i < n; i++)
        if (args[i].value == NULL)
            return tf_fail(&import->context.build, GPUDL_ERROR_UNSUPPORTED, error, "a graph as an operand");
    import->region = g_strconcat(import->context.build.node, "/", NULL);
    import->values = values;
    import->depth++;
    ok = read_region(import, graph, args + before + 1, n - before - 1, result, error);
    import->depth--;
    import->values = outer;
    g_free(import->region);
    import->region = region;
    tf_build_at(&import->context.build, pt2_full_name(import, name_of(node)), op);
    made = gpudl_json_array(node, "outputs");
    if (ok && result->n_items == 1 && gpudl_json_array(gpudl_json_element(made, 0), "as_tensors") == NULL)
        *result = result->items[0];
    return ok;
}

static gboolean import_node(Pt2Import *import, JsonObject *node, GError **error)
{
    const gchar *target = gpudl_json_text(node, "target"), *op = target != NULL ? target : "nothing";
    JsonArray *inputs = gpudl_json_array(node, "inputs");
    const guint n = inputs != NULL ? json_array_get_length(inputs) : 0;
    AtenArg *args;
    AtenValue result = {0};
    gboolean region;

    if (g_str_has_prefix(op, "torch.ops."))
        op += strlen("torch.ops.");
    if (strlen(op) > GPUDL_LIMIT_NAME_BYTES)
        op = "too long";
    region = strcmp(op, AUTOCAST) == 0 || strcmp(op, NO_GRADIENTS) == 0;
    tf_build_at(&import->context.build, pt2_full_name(import, name_of(node)), op);
    if (n > (region ? MOST_OPERANDS : MOST_ARGS))
        return tf_fail(&import->context.build, GPUDL_ERROR_UNSUPPORTED, error, "%u arguments, at most %u are taken", n,
                       region ? MOST_OPERANDS : MOST_ARGS);
    args = aten_alloc(&import->context, n, sizeof *args);
    for (guint i = 0; i < n; i++) {
        JsonObject *input = gpudl_json_element(inputs, i);

        args[i].name = gpudl_json_text(input, "name");
        if (args[i].name != NULL && args[i].name[0] == '\0')
            args[i].name = NULL;
        if (region && gpudl_json_member(gpudl_json_object(input, "arg"), "as_graph") != NULL)
            continue; /* read where it is met */
        args[i].value = pt2_argument(import, gpudl_json_object(input, "arg"), error);
        if (args[i].value == NULL)
            return FALSE;
    }
    if (region ? !import_region(import, node, op, args, n, &result, error)
               : !aten_call(&import->context, op, args, n, &result, error))
        return FALSE;
    return pt2_results(import, gpudl_json_array(node, "outputs"), &result, error);
}

static gboolean import_nodes(Pt2Import *import, JsonArray *nodes, GError **error)
{
    GCancellable *cancellable = import->options != NULL ? import->options->cancellable : NULL;

    if (json_array_get_length(nodes) > GPUDL_LIMIT_NODES)
        return tf_fail(&import->context.build, GPUDL_ERROR_LIMIT, error, "a list of more than %u nodes",
                       GPUDL_LIMIT_NODES);
    for (guint i = 0; i < json_array_get_length(nodes); i++) {
        if (g_cancellable_is_cancelled(cancellable)) {
            g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "it was cancelled");
            return FALSE;
        }
        if (!import_node(import, gpudl_json_element(nodes, i), error))
            return FALSE;
    }
    return TRUE;
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
    if (!import_nodes(import, nodes, error))
        return FALSE;
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a GraphDef to a graph: which nodes are needed, in which order, and each through the table. */
#include "models/tf/graphdef.h"

#include <string.h>

#include "engine/constants.h"
#include "engine/limits.h"
#include "engine/modelfile/wire.h"
#include "graphdef-internal.h"
#include "models/gpudl-import.h"

typedef struct {
    GpudlTensor *outputs[GPUDL_MAX_OUTPUTS];
    gboolean made, open, cut;
    guint n_readers; /* inputs of nodes */
} State;

typedef struct {
    TfBuild build;
    const Tensorflow__GraphDef *graph;
    const GpudlSourceOptions *options;
    GHashTable *index; /* gchar* -> 1 + place of the node */
    State *states;
    GHashTable *pending; /* GpudlTensor* -> inputs of nodes that are still to be mapped */
    guint n_placeholders;
    gboolean size_chosen, bytes; /* bytes: the input is uint8 */
} GraphdefImport;

/* ---- what it is -------------------------------------------------------------------------------------------------- */

static gboolean varint(const guint8 *data, gsize size, gsize *at, guint64 *value)
{
    *value = 0;
    for (guint shift = 0; shift < 63 && *at < size; shift += 7) {
        *value |= (guint64)(data[*at] & 0x7f) << shift;
        if ((data[(*at)++] & 0x80) == 0)
            return TRUE;
    }
    return FALSE;
}

gboolean gpudl_graphdef_sniff(const guint8 *data, gsize size)
{
    guint64 node, name, op;
    gsize at = 1;

    if (size < 8 || data[0] != 0x0a || !varint(data, size, &at, &node) || at >= size || data[at++] != 0x0a ||
        !varint(data, size, &at, &name) || name == 0 || name > node || name >= size - at)
        return FALSE;
    at += name;
    if (data[at++] != 0x12 || !varint(data, size, &at, &op) || op < 2 || op > 64 || op > size - at)
        return FALSE;
    for (guint64 i = 0; i < op; i++)
        if (!g_ascii_isalnum(data[at + i]) && data[at + i] != '_')
            return FALSE;
    return TRUE;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

/* "name:2" or "name"; FALSE for "^name", which says only when. */
static gboolean parse_input(const GraphdefImport *import, const gchar *text, guint *node, guint *output)
{
    const gchar *colon = strrchr(text, ':');
    g_autofree gchar *name = colon != NULL ? g_strndup(text, (gsize)(colon - text)) : g_strdup(text);
    const guint place = GPOINTER_TO_UINT(g_hash_table_lookup(import->index, name));

    *output = 0;
    if (text[0] == '^' || place == 0)
        return FALSE;
    if (colon != NULL)
        *output = (guint)MIN(g_ascii_strtoull(colon + 1, NULL, 10), GPUDL_MAX_OUTPUTS);
    *node = place - 1;
    return TRUE;
}

static const gchar *op_of(const Tensorflow__NodeDef *proto)
{
    return proto->op != NULL ? proto->op : "";
}

static void copy_shape(const Tensorflow__TensorShapeProto *from, GpudlShape *to)
{
    to->rank = (gint32)MIN(from->n_dim, (gsize)GPUDL_MAX_RANK);
    for (gint i = 0; i < to->rank; i++)
        to->dims[i] = from->dim[i]->has_size ? from->dim[i]->size : 0;
}

/* More inputs than the picture, which are all named. */
static gboolean fail_inputs(const GraphdefImport *import, GError **error)
{
    g_autoptr(GString) named = g_string_new(NULL);
    guint n = 0, done = 0;

    for (gsize i = 0; i < import->graph->n_node; i++)
        n += strcmp(op_of(import->graph->node[i]), "Placeholder") == 0 && import->states[i].n_readers > 0;
    for (gsize i = 0; i < import->graph->n_node; i++) {
        const Tensorflow__NodeDef *proto = import->graph->node[i];
        const Tensorflow__AttrValue *attr = graphdef_attr(proto, "shape");
        GpudlShape shape = {0};

        if (strcmp(op_of(proto), "Placeholder") != 0 || import->states[i].n_readers == 0)
            continue;
        if (attr != NULL && attr->shape != NULL)
            copy_shape(attr->shape, &shape);
        gpudl_source_name_input(named, done++, n, proto->name,
                                attr != NULL && attr->shape != NULL && !attr->shape->unknown_rank ? &shape : NULL);
    }
    return tf_fail(&import->build, GPUDL_ERROR_UNSUPPORTED, error,
                   "one of %u inputs, %s: expected one, a picture N x H x W x C. Freeze the graph for inference, where "
                   "what switches training (keep_prob, is_training) is a constant",
                   n, named->str);
}

static gboolean import_placeholder(GraphdefImport *import, const Tensorflow__NodeDef *proto, State *state,
                                   GError **error)
{
    const Tensorflow__AttrValue *attr = graphdef_attr(proto, "shape"), *type = graphdef_attr(proto, "dtype");
    const GpudlSourceOptions *options = import->options;
    const gboolean picture = options != NULL && options->picture;
    const GpudlDType dtype = graphdef_dtype(type != NULL ? type->type : 0);
    GpudlShape shape = {0};

    if (picture && import->n_placeholders++ > 0)
        return fail_inputs(import, error);
    if (dtype == GPUDL_DTYPE_NONE)
        return tf_fail(&import->build, GPUDL_ERROR_UNSUPPORTED, error, "an input of a type that is not taken");
    if (attr == NULL || attr->shape == NULL || attr->shape->unknown_rank)
        return tf_fail(&import->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "an input whose number of dimensions is open. Freeze the graph with a shape for it");
    if (attr->shape->n_dim > GPUDL_MAX_RANK)
        return tf_fail(&import->build, GPUDL_ERROR_UNSUPPORTED, error, "an input of rank %" G_GSIZE_FORMAT,
                       attr->shape->n_dim);
    copy_shape(attr->shape, &shape);
    state->outputs[0] =
        tf_input(&import->build, proto->name, dtype == GPUDL_DTYPE_U8 && picture ? GPUDL_DTYPE_F32 : dtype, &shape,
                 options, &import->size_chosen, error);
    import->bytes = dtype == GPUDL_DTYPE_U8;
    return state->outputs[0] != NULL;
}

static gboolean collect(GraphdefImport *import, const Tensorflow__NodeDef *proto, TfNode *node, GError **error)
{
    for (gsize i = 0; i < proto->n_input; i++) {
        guint from, output;

        if (proto->input[i][0] == '^')
            continue;
        if (!parse_input(import, proto->input[i], &from, &output))
            return tf_fail(&import->build, GPUDL_ERROR_FORMAT, error,
                           "its input %" G_GSIZE_FORMAT " is a node that is not there", i);
        if (import->states[from].cut && (node->n_inputs > 0 || !node->row->passes_choice))
            return tf_fail(&import->build, GPUDL_ERROR_UNSUPPORTED, error,
                           "it goes on with a choice of the best scores; expected a network that ends in scores");
        if (output >= GPUDL_MAX_OUTPUTS || import->states[from].outputs[output] == NULL)
            return tf_fail(&import->build, GPUDL_ERROR_UNSUPPORTED, error,
                           "its input %" G_GSIZE_FORMAT " is output %u of '%s', which training alone computes", i,
                           output, import->graph->node[from]->name);
        node->cut = node->cut || import->states[from].cut;
        node->inputs[node->n_inputs++] = import->states[from].outputs[output];
    }
    if (node->n_inputs < node->row->min_inputs || node->n_inputs > node->row->max_inputs)
        return tf_fail(&import->build, GPUDL_ERROR_FORMAT, error, "%u inputs, expected %u to %u", node->n_inputs,
                       node->row->min_inputs, node->row->max_inputs);
    return TRUE;
}

static void add_pending(GraphdefImport *import, const GpudlTensor *tensor, gint n)
{
    const gint before = GPOINTER_TO_INT(g_hash_table_lookup(import->pending, tensor));

    g_hash_table_insert(import->pending, (gpointer)tensor, GINT_TO_POINTER(before + n));
}

/* Weights that have become others let their bytes go at once, not all together at the end. */
static void drop_mapped(GraphdefImport *import, const State *made, const TfNode *node)
{
    for (guint i = 0; i < GPUDL_MAX_OUTPUTS && made->outputs[i] != NULL; i++)
        if (gpudl_constant_is_large(made->outputs[i]))
            add_pending(import, made->outputs[i], (gint)made->n_readers);
    for (guint i = 0; i < node->n_inputs; i++) {
        GpudlTensor *tensor = node->inputs[i];

        if (!gpudl_constant_is_large(tensor))
            continue;
        add_pending(import, tensor, -1);
        if (GPOINTER_TO_INT(g_hash_table_lookup(import->pending, tensor)) <= 0 &&
            gpudl_graph_uses(import->build.graph, tensor, NULL) == 0)
            g_clear_pointer(&tensor->data, g_bytes_unref);
    }
}

static gboolean import_node(GraphdefImport *import, guint place, GError **error)
{
    const Tensorflow__NodeDef *proto = import->graph->node[place];
    State *state = &import->states[place];
    g_autofree gchar *op = g_utf8_make_valid(op_of(proto), -1);
    g_autofree GpudlTensor **inputs = g_new0(GpudlTensor *, proto->n_input + 1);
    GraphdefNode own = {.node = {.build = &import->build, .row = graphdef_op_find(op), .inputs = inputs},
                        .proto = proto};
    TfNode *node = &own.node;

    tf_build_at(&import->build, proto->name, op);
    if (import->options != NULL && g_cancellable_is_cancelled(import->options->cancellable)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "importing was cancelled");
        return FALSE;
    }
    if (strcmp(op, "Placeholder") == 0)
        return import_placeholder(import, proto, state, error);
    if (strcmp(op, "Switch") == 0 || strcmp(op, "Merge") == 0)
        return tf_fail(
            &import->build, GPUDL_ERROR_UNSUPPORTED, error,
            "a choice that is made while the network runs (dropout, batch norm in training). Freeze the graph "
            "for inference: is_training and keep_prob as constants, then TensorFlow's "
            "optimize_for_inference");
    if (strcmp(op, "VariableV2") == 0 || strcmp(op, "VarHandleOp") == 0 || strcmp(op, "ReadVariableOp") == 0)
        return tf_fail(
            &import->build, GPUDL_ERROR_UNSUPPORTED, error,
            "a variable, whose value is not in this file. Freeze the graph (convert_variables_to_constants)");
    if (strcmp(op, "PartitionedCall") == 0 || strcmp(op, "StatefulPartitionedCall") == 0)
        return tf_fail(&import->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "a function that is called. Freeze the graph with its functions inlined, which "
                       "convert_variables_to_constants_v2 does of those that are not compiled by XLA (jit_compile)");
    if (node->row == NULL)
        return tf_fail(&import->build, GPUDL_ERROR_UNSUPPORTED, error, "this operator is not taken");
    if (!collect(import, proto, node, error) || !tf_map(node, error))
        return FALSE;
    memcpy(state->outputs, node->outputs, sizeof state->outputs);
    state->cut = node->cut;
    if (!node->cut && state->outputs[0] != NULL && (node->n_inputs == 0 || state->outputs[0] != node->inputs[0]))
        tf_name(state->outputs[0], proto->name);
    drop_mapped(import, state, node);
    return TRUE;
}

/* What a node reads before the node itself; a stack of our own, since chains are long. */
static gboolean import_with_inputs(GraphdefImport *import, guint root, GError **error)
{
    g_autoptr(GArray) stack = g_array_new(FALSE, FALSE, sizeof(guint));

    g_array_append_val(stack, root);
    while (stack->len > 0) {
        const guint place = g_array_index(stack, guint, stack->len - 1), before = stack->len;
        const Tensorflow__NodeDef *proto = import->graph->node[place];
        State *state = &import->states[place];

        if (state->made) {
            g_array_set_size(stack, before - 1);
            continue;
        }
        for (gsize i = proto->n_input; i-- > 0;) { /* the first input comes to lie on top */
            guint from, output;

            if (!parse_input(import, proto->input[i], &from, &output) || import->states[from].made)
                continue;
            if (state->open) {
                tf_build_at(&import->build, proto->name, op_of(proto));
                return tf_fail(&import->build, GPUDL_ERROR_UNSUPPORTED, error, "a loop, which is not taken");
            }
            g_array_append_val(stack, from);
        }
        state->open = TRUE;
        if (stack->len > before)
            continue;
        if (!import_node(import, place, error))
            return FALSE;
        state->made = TRUE;
    }
    return TRUE;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static gboolean check_nodes(GraphdefImport *import, GError **error)
{
    const Tensorflow__GraphDef *graph = import->graph;

    if (graph->n_node == 0 || graph->n_node > GPUDL_LIMIT_NODES) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT, "%" G_GSIZE_FORMAT " nodes, 1 to %u are taken",
                    graph->n_node, GPUDL_LIMIT_NODES);
        return FALSE;
    }
    for (gsize i = 0; i < graph->n_node; i++) {
        const gchar *name = graph->node[i]->name;

        if (name == NULL || name[0] == '\0' || strlen(name) > GPUDL_LIMIT_NAME_BYTES ||
            !g_utf8_validate(name, -1, NULL)) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                        "node %" G_GSIZE_FORMAT " has no name of at most %u bytes of UTF-8", i, GPUDL_LIMIT_NAME_BYTES);
            return FALSE;
        }
        if (!g_hash_table_insert(import->index, (gpointer)name, GUINT_TO_POINTER((guint)i + 1))) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "the name '%s' is defined twice", name);
            return FALSE;
        }
    }
    for (gsize i = 0; i < graph->n_node; i++)
        for (gsize k = 0; k < graph->node[i]->n_input; k++) {
            guint from, output;

            if (parse_input(import, graph->node[i]->input[k], &from, &output))
                import->states[from].n_readers++;
        }
    return TRUE;
}

static gboolean is_end(const GraphdefImport *import, guint place)
{
    const gchar *op = op_of(import->graph->node[place]);

    return import->states[place].n_readers == 0 && strcmp(op, "Const") != 0 && strcmp(op, "Placeholder") != 0 &&
           strcmp(op, "NoOp") != 0 && strcmp(op, "PlaceholderWithDefault") != 0;
}

static gboolean import_graph(GraphdefImport *import, GError **error)
{
    GpudlGraph *graph = import->build.graph;

    if (!check_nodes(import, error))
        return FALSE;
    for (guint i = 0; i < import->graph->n_node; i++) {
        GpudlTensor *output;

        if (!is_end(import, i))
            continue;
        if (!import_with_inputs(import, i, error))
            return FALSE;
        output = import->states[i].outputs[0];
        /* what was chosen among scores and its places are both these */
        if (output != NULL && !gpudl_tensor_is_constant(output) && !g_ptr_array_find(graph->outputs, output, NULL))
            gpudl_graph_add_output(graph, output);
    }
    if (graph->outputs->len == 0 || graph->inputs->len == 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "a TensorFlow graph without %s, expected a picture and what is computed of it",
                    graph->inputs->len == 0 ? "an input (Placeholder)" : "an output that depends on its input");
        return FALSE;
    }
    gpudl_graph_remove_dead(graph);
    gpudl_graph_drop_unread(graph);
    return gpudl_graph_sort(graph, error) && gpudl_graph_infer(graph, 0, error);
}

static void fill_info(const GraphdefImport *import, GpudlSourceInfo *info)
{
    info->format = g_strdup("TensorFlow GraphDef");
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

GpudlGraph *gpudl_graphdef_import(GBytes *file, const GpudlSourceOptions *options, GpudlSourceInfo *info,
                                  GError **error)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(file, &size);
    g_autoptr(GpudlWireMessage) message = gpudl_wire_unpack(&tensorflow__graph_def__descriptor, data, size,
                                                            options != NULL ? options->cancellable : NULL, error);
    GraphdefImport import = {.options = options};
    gboolean ok;

    if (message == NULL)
        return NULL;
    import.graph = (const Tensorflow__GraphDef *)gpudl_wire_message_get(message);
    tf_build_begin(&import.build, size);
    import.index = g_hash_table_new(g_str_hash, g_str_equal);
    import.pending = g_hash_table_new(NULL, NULL);
    import.states = g_new0(State, MIN(import.graph->n_node, GPUDL_LIMIT_NODES) + 1);
    ok = import_graph(&import, error);
    if (ok && info != NULL)
        fill_info(&import, info);
    if (!ok)
        g_clear_pointer(&import.build.graph, gpudl_graph_free);
    g_hash_table_unref(import.index);
    g_hash_table_unref(import.pending);
    g_free(import.states);
    return import.build.graph;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a ModelProto to a graph: opsets, inputs, initializers, outputs. */
#include "models/onnx/onnx.h"

#include <string.h>

#include "engine/limits.h"
#include "engine/modelfile/wire.h"
#include "engine/shown.h"
#include "models/known.h"
#include "onnx-internal.h"

gboolean onnx_file_fail(GpudlError code, GError **error, const gchar *format, ...)
{
    g_autofree gchar *text = NULL, *shown = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    shown = gpudl_shown(text, ONNX_MESSAGE_BYTES);
    g_set_error_literal(error, GPUDL_ERROR, code, shown);
    return FALSE;
}

gboolean onnx_stopped(const OnnxImport *import, GError **error)
{
    if (import->options == NULL || !g_cancellable_is_cancelled(import->options->cancellable))
        return FALSE;
    onnx_file_fail(GPUDL_ERROR_CANCELLED, error, "importing was cancelled");
    return TRUE;
}

/* ---- what it is -------------------------------------------------------------------------------------------------- */

/* Reads a varint of at most 10 bytes; FALSE at the end of the data or if it is longer. */
static gboolean sniff_varint(const guint8 *data, gsize size, gsize *pos, guint64 *value)
{
    *value = 0;
    for (guint i = 0; i < 10 && *pos < size; i++) {
        const guint8 byte = data[(*pos)++];

        *value |= (guint64)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80))
            return TRUE;
    }
    return FALSE;
}

/* The first fields must be ModelProto's with their wire types, and its version or its graph be among them. A length
 * past the end still looks like ONNX: a cut file deserves to be called one. */
gboolean gpudl_onnx_sniff(const guint8 *data, gsize size)
{
    gboolean seen = FALSE;
    gsize pos = 0;

    for (guint i = 0; i < 16 && pos < size; i++) {
        const ProtobufCFieldDescriptor *field;
        guint64 tag, value;

        if (!sniff_varint(data, size, &pos, &tag) || tag >> 3 > G_MAXINT16)
            return FALSE;
        field = protobuf_c_message_descriptor_get_field(&onnx__model_proto__descriptor, (unsigned)(tag >> 3));
        if (field == NULL || (tag & 7) != (field->type == PROTOBUF_C_TYPE_INT64 ? 0u : 2u))
            return FALSE;
        seen = seen || strcmp(field->name, "ir_version") == 0 || strcmp(field->name, "graph") == 0;
        if (!sniff_varint(data, size, &pos, &value))
            return seen && pos == size;
        if (strcmp(field->name, "ir_version") == 0 && (value == 0 || value > 1000))
            return FALSE;
        if (field->type != PROTOBUF_C_TYPE_INT64) {
            if (value > size - pos)
                return seen;
            pos += value;
        }
    }
    return seen;
}

/* ---- names and values -------------------------------------------------------------------------------------------- */

gboolean onnx_check_name(const gchar *what, const gchar *name, GError **error)
{
    const gsize length = name != NULL ? strlen(name) : 0;

    if (length == 0)
        return onnx_file_fail(GPUDL_ERROR_FORMAT, error, "%s without a name", what);
    if (length > GPUDL_LIMIT_NAME_BYTES)
        return onnx_file_fail(GPUDL_ERROR_LIMIT, error,
                              "%s has a name of %" G_GSIZE_FORMAT " bytes, at most %u are taken", what, length,
                              GPUDL_LIMIT_NAME_BYTES);
    if (!g_utf8_validate(name, (gssize)length, NULL))
        return onnx_file_fail(GPUDL_ERROR_FORMAT, error, "%s has a name that is not UTF-8", what);
    return TRUE;
}

/* Gives a tensor its name; each name once. */
gboolean onnx_define(OnnxImport *import, const gchar *name, GpudlTensor *tensor, GError **error)
{
    if (g_hash_table_contains(import->values, name))
        return onnx_file_fail(GPUDL_ERROR_FORMAT, error, "the name '%s' is defined twice", name);
    g_hash_table_insert(import->values, g_strdup(name), tensor);
    return TRUE;
}

static gboolean add_constant(OnnxImport *import, const gchar *name, GpudlDType dtype, const GpudlShape *shape,
                             GBytes *data, gboolean own, GError **error)
{
    GpudlTensor *tensor = gpudl_graph_add_constant(import->graph, name, dtype, shape, data, error);

    if (tensor != NULL)
        tensor->own = own;
    return tensor != NULL && onnx_define(import, name, tensor, error);
}

/* The values of an initializer that were read apart from the file, no longer kept there; or NULL. */
static GBytes *take_apart(const OnnxImport *import, const Onnx__GraphProto *graph, gsize i)
{
    GPtrArray *apart = import->options != NULL && graph == import->proto ? import->options->apart : NULL;

    return apart != NULL && i < apart->len ? g_steal_pointer(&apart->pdata[i]) : NULL;
}

gboolean onnx_import_initializers(OnnxImport *import, const Onnx__GraphProto *graph, GError **error)
{
    if (graph->n_initializer > GPUDL_LIMIT_TENSORS)
        return onnx_file_fail(GPUDL_ERROR_LIMIT, error, "%" G_GSIZE_FORMAT " initializers, at most %u are taken",
                              graph->n_initializer, GPUDL_LIMIT_TENSORS);
    if (graph->n_sparse_initializer > 0)
        return onnx_file_fail(GPUDL_ERROR_UNSUPPORTED, error, "sparse initializers are not taken");
    for (gsize i = 0; i < graph->n_initializer; i++) {
        Onnx__TensorProto *proto = graph->initializer[i];
        g_autofree gchar *what = NULL;
        g_autoptr(GBytes) data = NULL, apart = take_apart(import, graph, i);
        GpudlDType dtype;
        GpudlShape shape;

        if (onnx_stopped(import, error) || !onnx_check_name("an initializer", proto->name, error))
            return FALSE;
        what = g_strdup_printf("initializer '%s'", proto->name);
        if (!onnx_tensor_read(import, proto, apart, what, &dtype, &shape, &data, error) ||
            !add_constant(import, proto->name, dtype, &shape, data, data == apart, error))
            return FALSE;
    }
    return TRUE;
}

/* ---- inputs ------------------------------------------------------------------------------------------------------ */

/* What the file says of a dimension: its extent, or 0 for a free one. */
static gint64 dimension(const Onnx__TensorShapeProto__Dimension *dim)
{
    if (dim->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE || dim->dim_value < 0)
        return 0;
    return dim->dim_value;
}

static gboolean is_channels(gint64 n)
{
    return n == 1 || n == 3 || n == 4;
}

static gboolean are_channels_last(const GpudlShape *shape)
{
    return !is_channels(shape->dims[1]) && is_channels(shape->dims[3]);
}

/* Index of the height; the width is behind it. */
static gint first_side(const GpudlShape *shape)
{
    return shape->rank == 3 || are_channels_last(shape) ? 1 : 2;
}

/* Sets height and width from the options where they are free, or checks them where they are not. */
static gboolean apply_size(OnnxImport *import, const gchar *name, GpudlShape *shape, GError **error)
{
    const gint first = first_side(shape);
    const gint wanted[2] = {import->options != NULL ? import->options->input_height : 0,
                            import->options != NULL ? import->options->input_width : 0};

    for (gint i = 0; i < 2; i++) {
        gint64 *extent = &shape->dims[first + i];

        if (wanted[i] == 0 && *extent == 0 && import->defaults[i] > 0 &&
            import->defaults[i] <= GPUDL_LIMIT_INPUT_SIDE) {
            import->size_chosen = TRUE;
            *extent = import->defaults[i];
        }
        if (wanted[i] == 0)
            continue;
        if (wanted[i] < 0 || wanted[i] > GPUDL_LIMIT_INPUT_SIDE)
            return onnx_file_fail(GPUDL_ERROR_INVALID_ARGUMENT, error, "an input %s of %d, expected 1 to %d",
                                  i == 0 ? "height" : "width", wanted[i], GPUDL_LIMIT_INPUT_SIDE);
        if (*extent != 0 && *extent != wanted[i])
            return onnx_file_fail(GPUDL_ERROR_INVALID_ARGUMENT, error,
                                  "input '%s' has a fixed %s of %" G_GINT64_FORMAT ", it can't be %d", name,
                                  i == 0 ? "height" : "width", *extent, wanted[i]);
        import->size_chosen = import->size_chosen || *extent == 0;
        *extent = wanted[i];
    }
    return TRUE;
}

/* Height or width of a picture. */
static gboolean is_side(const GpudlShape *shape, gint i)
{
    const gint first = first_side(shape);

    return (shape->rank == 3 || shape->rank == 4) && (i == first || i == first + 1);
}

static gboolean read_input_shape(OnnxImport *import, const gchar *name, const Onnx__TensorShapeProto *proto,
                                 GpudlShape *shape, GError **error)
{
    *shape = (GpudlShape){0};
    if (proto == NULL)
        return onnx_file_fail(GPUDL_ERROR_FORMAT, error, "input '%s' has no shape", name);
    if (proto->n_dim > GPUDL_MAX_RANK)
        return onnx_file_fail(GPUDL_ERROR_UNSUPPORTED, error,
                              "input '%s' has rank %" G_GSIZE_FORMAT ", at most %d is taken", name, proto->n_dim,
                              GPUDL_MAX_RANK);
    shape->rank = (gint32)proto->n_dim;
    for (gint i = 0; i < shape->rank; i++)
        shape->dims[i] = dimension(proto->dim[i]);
    if (import->options != NULL && import->options->picture)
        onnx_complete_picture(import, name, shape);
    if ((shape->rank == 4 || (shape->rank == 3 && import->options != NULL && import->options->picture)) &&
        !apply_size(import, name, shape, error))
        return FALSE;
    for (gint i = 0; i < shape->rank; i++) {
        const gboolean named = proto->dim[i]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;

        if (i == 0 && shape->dims[i] == 0)
            shape->dims[i] = 1;
        if (shape->dims[i] == 0)
            return onnx_file_fail(GPUDL_ERROR_FORMAT, error, "dimension %d%s%s%s of input '%s' is free; %s", i,
                                  named ? " ('" : "", named ? proto->dim[i]->dim_param : "", named ? "')" : "", name,
                                  is_side(shape, i) ? GPUDL_SOURCE_SIZE_ADVICE "224x224"
                                                    : "an input's height and width can be given, nothing else");
        if (shape->dims[i] > GPUDL_LIMIT_TENSOR_BYTES)
            return onnx_file_fail(GPUDL_ERROR_LIMIT, error,
                                  "dimension %d of input '%s' is %" G_GINT64_FORMAT ", at most %" G_GINT64_FORMAT
                                  " is taken",
                                  i, name, (gint64)shape->dims[i], (gint64)GPUDL_LIMIT_TENSOR_BYTES);
    }
    return TRUE;
}

static gboolean import_input(OnnxImport *import, const Onnx__ValueInfoProto *proto, GError **error)
{
    const GpudlOnnxValue *value = NULL;
    GpudlDType dtype;
    GpudlShape shape;

    if (!onnx_check_name("an input", proto->name, error))
        return FALSE;
    if (g_hash_table_contains(import->values, proto->name) || (import->options != NULL && import->options->picture &&
                                                               !g_hash_table_contains(import->used_names, proto->name)))
        return TRUE; /* the default of an initializer: files of IR version 3 list them as inputs, too; or nobody reads
                        it */
    if (import->options != NULL && import->options->values != NULL)
        value = g_hash_table_lookup(import->options->values, proto->name);
    if (value != NULL)
        return add_constant(import, proto->name, value->dtype, &value->shape, value->data, FALSE, error);
    if (proto->type == NULL || proto->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return onnx_file_fail(GPUDL_ERROR_UNSUPPORTED, error, "input '%s' is no tensor", proto->name);
    dtype = onnx_dtype(proto->type->tensor_type->elem_type);
    if (dtype == GPUDL_DTYPE_NONE)
        return onnx_file_fail(GPUDL_ERROR_UNSUPPORTED, error, "input '%s' is %s, which is not taken", proto->name,
                              onnx_dtype_name(proto->type->tensor_type->elem_type));
    if (!read_input_shape(import, proto->name, proto->type->tensor_type->shape, &shape, error))
        return FALSE;
    return onnx_define(import, proto->name, gpudl_graph_add_input(import->graph, proto->name, dtype, &shape), error);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static gboolean read_opset(OnnxImport *import, const Onnx__ModelProto *model, GError **error)
{
    gboolean found = FALSE;

    for (gsize i = 0; i < model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *set = model->opset_import[i];

        if (set->domain != NULL && set->domain[0] != '\0' && strcmp(set->domain, "ai.onnx") != 0)
            continue;
        if (found && set->version != import->opset)
            return onnx_file_fail(GPUDL_ERROR_FORMAT, error, "two opsets, %" G_GINT64_FORMAT " and %" G_GINT64_FORMAT,
                                  import->opset, set->version);
        found = TRUE;
        import->opset = set->version;
    }
    if (!found)
        return onnx_file_fail(GPUDL_ERROR_FORMAT, error, "the file does not say its opset");
    if (import->opset < ONNX_OPSET_OLDEST || import->opset > ONNX_OPSET_NEWEST)
        return onnx_file_fail(GPUDL_ERROR_UNSUPPORTED, error, "opset %" G_GINT64_FORMAT ", %d to %d are taken",
                              import->opset, ONNX_OPSET_OLDEST, ONNX_OPSET_NEWEST);
    return TRUE;
}

static gboolean is_live(const OnnxImport *import, const Onnx__NodeProto *node)
{
    return import->live == NULL || g_hash_table_contains(import->live, node);
}

static gsize n_heads(const OnnxImport *import, const Onnx__GraphProto *graph)
{
    return import->heads->len > 0 ? import->heads->len : graph->n_output;
}

static const gchar *head_name(const OnnxImport *import, const Onnx__GraphProto *graph, gsize i)
{
    return import->heads->len > 0 ? import->heads->pdata[i] : graph->output[i]->name;
}

static void collect_used_names(OnnxImport *import, const Onnx__GraphProto *graph)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (gsize i = 0; i < graph->n_node; i++)
        if (is_live(import, graph->node[i]))
            onnx_add_read_names(names, graph->node[i]);
    for (gsize i = 0; i < n_heads(import, graph); i++)
        if (head_name(import, graph, i) != NULL)
            g_ptr_array_add(names, (gpointer)head_name(import, graph, i));
    for (guint i = 0; i < names->len; i++)
        g_hash_table_add(import->used_names, names->pdata[i]);
}

/* Of a picture's network, what is not taken is left out if not every head needs it. What was made of the node stays in
 * the graph until the dead is removed. */
static gboolean take_node(OnnxImport *import, const Onnx__GraphProto *graph, gsize index, GError **error)
{
    g_autoptr(GError) own = NULL;

    if (onnx_import_node(import, graph, index, &own))
        return TRUE;
    if (g_error_matches(own, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED) && import->options != NULL &&
        import->options->picture && onnx_leave_out_heads(import, graph, graph->node[index], own->message)) {
        import->depth = 0;
        g_hash_table_remove_all(import->used_names);
        collect_used_names(import, graph);
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&own));
    return FALSE;
}

static gboolean import_graph(OnnxImport *import, const Onnx__ModelProto *model, GError **error)
{
    const Onnx__GraphProto *graph = model->graph;

    if (graph == NULL)
        return onnx_file_fail(GPUDL_ERROR_FORMAT, error, "the file holds no graph");
    if (!read_opset(import, model, error))
        return FALSE;
    if (graph->n_node > GPUDL_LIMIT_NODES)
        return onnx_file_fail(GPUDL_ERROR_LIMIT, error, "%" G_GSIZE_FORMAT " nodes, at most %u are taken",
                              graph->n_node, GPUDL_LIMIT_NODES);
    if (graph->n_output < 1)
        return onnx_file_fail(GPUDL_ERROR_FORMAT, error, "the graph has no outputs");
    if (import->options != NULL && import->options->picture)
        onnx_choose_heads(import, graph);
    collect_used_names(import, graph);
    onnx_make_room(import, graph);
    if (!onnx_import_initializers(import, graph, error))
        return FALSE;
    if (import->options != NULL && import->options->picture && !onnx_check_picture(import, graph, error))
        return FALSE;
    for (gsize i = 0; i < graph->n_input; i++)
        if (!import_input(import, graph->input[i], error))
            return FALSE;
    for (gsize i = 0; i < graph->n_node; i++)
        if (onnx_stopped(import, error) || (is_live(import, graph->node[i]) && !take_node(import, graph, i, error)))
            return FALSE;
    for (gsize i = 0; i < n_heads(import, graph); i++) {
        const gchar *name = head_name(import, graph, i);
        GpudlTensor *tensor;

        if (!onnx_check_name("an output", name, error))
            return FALSE;
        tensor = g_hash_table_lookup(import->values, name);
        if (tensor == NULL)
            return onnx_file_fail(GPUDL_ERROR_FORMAT, error, "output '%s' is made by no node", name);
        if (onnx_is_sequence(import, name))
            return onnx_file_fail(GPUDL_ERROR_UNSUPPORTED, error, "output '%s' is a sequence", name);
        gpudl_graph_add_output(import->graph, tensor);
    }
    gpudl_graph_remove_dead(import->graph);
    return gpudl_graph_sort(import->graph, error) && gpudl_graph_infer(import->graph, 0, error);
}

static gchar *text_or_null(const gchar *text)
{
    return text != NULL && text[0] != '\0' ? g_utf8_make_valid(text, -1) : NULL;
}

static void fill_info(OnnxImport *import, const Onnx__ModelProto *model, GpudlSourceInfo *info)
{
    g_autofree gchar *name = text_or_null(model->producer_name), *version = text_or_null(model->producer_version);

    if (name != NULL)
        info->producer = version != NULL ? g_strdup_printf("%s %s", name, version) : g_steal_pointer(&name);
    info->graph_name = text_or_null(model->graph->name);
    info->doc = text_or_null(model->doc_string);
    info->ir_version = model->ir_version;
    info->opset = import->opset;
    info->size_chosen = import->size_chosen;
    info->labels = g_steal_pointer(&import->labels);
    info->notes = g_ptr_array_ref(import->notes);
    info->files = g_array_ref(import->files);
    info->reads = g_array_ref(import->reads);
    if (import->reads->len > 0)
        gpudl_sum_get(import->external, info->external_content);
    info->metadata = g_hash_table_ref(import->metadata);
    if (import->own_size)
        info->default_from = GPUDL_KNOWN_METADATA;
}

static GHashTable *read_metadata(const Onnx__ModelProto *model)
{
    GHashTable *metadata = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

    for (gsize i = 0; i < model->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *entry = model->metadata_props[i];

        if (entry->key != NULL && entry->value != NULL)
            g_hash_table_insert(metadata, g_utf8_make_valid(entry->key, -1), g_utf8_make_valid(entry->value, -1));
    }
    return metadata;
}

/* What is said of a size that the graph leaves free, by the caller or by the metadata. */
static gboolean choose_defaults(OnnxImport *import, GError **error)
{
    const GpudlSourceOptions *options = import->options;
    g_auto(GpudlHint) hint = {0};

    if (options == NULL)
        return TRUE;
    if (options->picture && !gpudl_known_of_metadata(import->metadata, &hint, error))
        return FALSE;
    import->own_size = hint.height > 0 && (!options->default_first || options->default_height == 0);
    import->defaults[0] = import->own_size ? hint.height : options->default_height;
    import->defaults[1] = import->own_size ? hint.width : options->default_width;
    return TRUE;
}

static void file_clear(gpointer data)
{
    g_free(((GpudlSourceFile *)data)->path);
}

GpudlGraph *gpudl_onnx_import(GBytes *file, const GpudlSourceOptions *options, GpudlSourceInfo *info, GError **error)
{
    g_autoptr(GpudlWireMessage) message = NULL;
    const Onnx__ModelProto *model;
    OnnxImport import = {.options = options};
    gboolean ok;
    gsize size;
    const guint8 *data = g_bytes_get_data(file, &size);

    message = gpudl_wire_unpack(&onnx__model_proto__descriptor, data, size,
                                options != NULL ? options->cancellable : NULL, error);
    if (message == NULL)
        return NULL;
    model = (const Onnx__ModelProto *)gpudl_wire_message_get(message);
    import.graph = gpudl_graph_new();
    import.proto = model->graph;
    import.values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    import.used_names = g_hash_table_new(g_str_hash, g_str_equal);
    import.computable = g_hash_table_new(NULL, NULL);
    import.sequences = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_ptr_array_unref);
    import.model = model;
    import.shadows = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    import.folded = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_bytes_unref);
    import.files = g_array_new(FALSE, FALSE, sizeof(GpudlSourceFile));
    g_array_set_clear_func(import.files, file_clear);
    import.reads = g_array_new(FALSE, FALSE, sizeof(GpudlSourceRead));
    import.file_index = g_hash_table_new(g_str_hash, g_str_equal);
    import.external = gpudl_sum_new();
    import.heads = g_ptr_array_new();
    import.notes = g_ptr_array_new_with_free_func(g_free);
    import.metadata = read_metadata(model);
    ok = choose_defaults(&import, error) && import_graph(&import, model, error);
    if (ok && info != NULL)
        fill_info(&import, model, info);
    g_hash_table_unref(import.values);
    g_hash_table_unref(import.used_names);
    g_hash_table_unref(import.computable);
    g_hash_table_unref(import.folded);
    g_hash_table_unref(import.shadows);
    g_hash_table_unref(import.sequences);
    g_hash_table_unref(import.file_index);
    g_hash_table_unref(import.metadata);
    g_array_unref(import.files);
    g_array_unref(import.reads);
    gpudl_sum_free(import.external);
    g_ptr_array_unref(import.heads);
    g_ptr_array_unref(import.notes);
    g_clear_pointer(&import.live, g_hash_table_unref);
    g_strfreev(import.labels);
    if (!ok)
        g_clear_pointer(&import.graph, gpudl_graph_free);
    return import.graph;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a graph takes one picture: said before its nodes are looked at, which would only tell what follows. */
#include <string.h>

#include "onnx-internal.h"

/* Inputs that have no value in the file, as a set of names, and the first of them. */
static GHashTable *free_inputs(const OnnxImport *import, const Onnx__GraphProto *graph,
                               const Onnx__ValueInfoProto **first)
{
    GHashTable *names = g_hash_table_new(g_str_hash, g_str_equal);

    *first = NULL;
    for (gsize i = 0; i < graph->n_input; i++) {
        const Onnx__ValueInfoProto *input = graph->input[i];

        if (input->name == NULL || g_hash_table_contains(import->values, input->name))
            continue;
        if (!g_hash_table_contains(import->used_names, input->name))
            continue; /* nobody reads it */
        if (*first == NULL)
            *first = input;
        g_hash_table_add(names, input->name);
    }
    return names;
}

/* Operators whose further inputs are weights. */
static gboolean takes_weights(const Onnx__NodeProto *node)
{
    static const gchar *const types[] = {"Conv", "Gemm", "MatMul", "BatchNormalization", "PRelu", NULL};

    return node->op_type != NULL && g_strv_contains(types, node->op_type);
}

static gboolean are_weights_missing(const Onnx__GraphProto *graph, GHashTable *inputs)
{
    for (gsize i = 0; i < graph->n_node; i++)
        for (gsize k = 1; k < graph->node[i]->n_input && takes_weights(graph->node[i]); k++)
            if (g_hash_table_contains(inputs, graph->node[i]->input[k]))
                return TRUE;
    return FALSE;
}

/* These inputs, for a message. */
static gchar *name_inputs(const Onnx__GraphProto *graph, GHashTable *inputs)
{
    GString *text = g_string_new(NULL);
    guint named = 0;

    for (gsize i = 0; i < graph->n_input; i++) {
        const Onnx__ValueInfoProto *input = graph->input[i];
        const Onnx__TensorShapeProto *proto = NULL;
        GpudlShape shape = {0};

        if (input->name == NULL || !g_hash_table_contains(inputs, input->name))
            continue;
        if (input->type != NULL && input->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
            proto = input->type->tensor_type->shape;
        shape.rank = proto != NULL ? (gint32)MIN(proto->n_dim, (gsize)GPUDL_MAX_RANK) : 0;
        for (gint k = 0; k < shape.rank; k++)
            if (proto->dim[k]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
                shape.dims[k] = proto->dim[k]->dim_value;
        gpudl_source_name_input(text, named++, g_hash_table_size(inputs), input->name, proto != NULL ? &shape : NULL);
    }
    return g_string_free(text, FALSE);
}

/* "net/normalization_1/Sub/y:0", of a layer as Keras names it. */
static gboolean is_of_normalization(const gchar *name)
{
    static const gchar layer[] = "normalization";
    const gchar *at = name;

    while ((at = strstr(at, layer)) != NULL) {
        const gboolean begins = at == name || at[-1] == '/';

        at += strlen(layer);
        if (begins && (*at == '/' || (*at == '_' && g_ascii_isdigit(at[1]))))
            return TRUE;
    }
    return FALSE;
}

/* What makes a file of one input of it. Keras exports by tf2onnx. */
static const gchar *export_again(const OnnxImport *import, const Onnx__GraphProto *graph, GHashTable *inputs)
{
    const gboolean tf2onnx = g_strcmp0(import->model->producer_name, "tf2onnx") == 0;
    GHashTableIter iter;
    gpointer name;

    if (are_weights_missing(graph, inputs))
        return "exported without weights. Export it again with them (PyTorch: export_params=True)";
    g_hash_table_iter_init(&iter, inputs);
    while (g_hash_table_iter_next(&iter, &name, NULL))
        if (tf2onnx && is_of_normalization(name))
            return "Keras' own export leaves the values of Normalization out. In Python: model.export('DIR'); then: "
                   "python -m tf2onnx.convert --saved-model DIR --output net.onnx";
    return "expected one, a picture N x C x H x W. Export it again with the others as constants";
}

/* The channels that the first convolution of this input has weights for; 0: there is none. */
static gint64 channels_of_conv(const OnnxImport *import, const gchar *name)
{
    for (gsize i = 0; i < import->proto->n_node; i++) {
        const Onnx__NodeProto *node = import->proto->node[i];
        const GpudlTensor *weights;

        if (g_strcmp0(node->op_type, "Conv") != 0 || node->n_input < 2 || strcmp(node->input[0], name) != 0)
            continue;
        weights = g_hash_table_lookup(import->values, node->input[1]);
        return weights != NULL && weights->shape.rank == 4 ? weights->shape.dims[1] : 0;
    }
    return 0;
}

void onnx_complete_picture(const OnnxImport *import, const gchar *name, GpudlShape *shape)
{
    gint64 channels;

    if (shape->rank != 4 || shape->dims[1] != 0 || shape->dims[3] == 1 || shape->dims[3] == 3 || shape->dims[3] == 4)
        return;
    channels = channels_of_conv(import, name);
    shape->dims[1] = channels > 0 ? channels : 3;
}

/* N x height x width; a fixed number other than 1 in front is taken for channels without a batch. */
static gboolean is_without_channels(const Onnx__TensorShapeProto *shape)
{
    return shape->n_dim == 3 && (shape->dim[0]->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ||
                                 shape->dim[0]->dim_value <= 1);
}

gboolean onnx_check_picture(const OnnxImport *import, const Onnx__GraphProto *graph, GError **error)
{
    const Onnx__ValueInfoProto *input;
    g_autoptr(GHashTable) inputs = free_inputs(import, graph, &input);
    const guint n = g_hash_table_size(inputs);
    const Onnx__TensorShapeProto *shape;

    if (n == 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "has no inputs: all in it is constant, expected one input, a picture N x C x H x W");
        return FALSE;
    }
    if (n > 1) {
        g_autofree gchar *named = name_inputs(graph, inputs);

        return onnx_file_fail(GPUDL_ERROR_UNSUPPORTED, error, "has %u inputs, %s: %s", n, named,
                              export_again(import, graph, inputs));
    }
    if (input->type == NULL || input->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return TRUE; /* said where the input is read */
    shape = input->type->tensor_type->shape;
    if (shape == NULL || shape->n_dim == 4 || is_without_channels(shape))
        return TRUE;
    return onnx_file_fail(GPUDL_ERROR_UNSUPPORTED, error,
                          "input '%s' has %" G_GSIZE_FORMAT " dimension%s, expected N x C x H x W: pictures",
                          input->name, shape->n_dim, shape->n_dim == 1 ? "" : "s");
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One call: which operator it is, which argument is which, and what an operator in place does to other values. */
#include <string.h>

#include "aten-internal.h"

void aten_begin(AtenContext *context, gsize file_bytes)
{
    *context = (AtenContext){.owned = g_ptr_array_new_with_free_func(g_free)};
    tf_build_begin(&context->build, file_bytes);
}

void aten_end(AtenContext *context)
{
    g_clear_pointer(&context->owned, g_ptr_array_unref);
}

gpointer aten_alloc(AtenContext *context, gsize n, gsize size)
{
    gpointer memory = g_malloc0_n(MAX(n, 1), size);

    g_ptr_array_add(context->owned, memory);
    return memory;
}

AtenValue aten_of_tensor(AtenContext *context, GpudlTensor *tensor)
{
    return (AtenValue){.kind = ATEN_TENSOR, .tensor = tensor, .storage = aten_alloc(context, 1, sizeof(AtenStorage))};
}

gboolean aten_is_current(const AtenValue *value)
{
    return value->storage == NULL || value->version == value->storage->version;
}

GpudlTensor *aten_output(const AtenValue *value, const gchar *what, GError **error)
{
    GpudlTensor *tensor = value->tensor != NULL ? value->tensor : value->scores;

    if (value->kind == ATEN_TENSOR && tensor != NULL && aten_is_current(value))
        return tensor;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED, "%s is %s, expected the scores of classes", what,
                value->kind != ATEN_TENSOR ? "no tensor"
                : tensor == NULL           ? "not computed here (indices, statistics)"
                                           : "overwritten in place by another node");
    return NULL;
}

AtenValue aten_of_int(gint64 value)
{
    return (AtenValue){.kind = ATEN_INT, .integer = value};
}

AtenValue aten_of_number(double value)
{
    return (AtenValue){.kind = ATEN_NUMBER, .number = value};
}

AtenValue aten_of_flag(gboolean value)
{
    return (AtenValue){.kind = ATEN_FLAG, .integer = value};
}

/* ---- which operator ---------------------------------------------------------------------------------------------- */

/* "aten.add_.Tensor": as it stands, without the overload, without the underscore of operators in place. */
static const AtenOp *find_op(const gchar *op, gboolean *in_place)
{
    const gchar *dot = strchr(op, '.'), *name = dot != NULL ? dot + 1 : op;
    const gboolean aten = g_str_has_prefix(op, "aten."), python = g_str_has_prefix(op, "_operator.");
    g_auto(GStrv) parts = g_strsplit(name, ".", 2);
    const AtenOp *row = NULL;
    gsize length;

    *in_place = FALSE;
    if ((!aten && !python) || parts[0] == NULL)
        return NULL;
    if (python) {
        g_autofree gchar *full = g_strconcat("_operator.", name, NULL);

        return aten_op_find(full);
    }
    length = strlen(parts[0]);
    for (guint i = 0; i < 2 && row == NULL; i++) {
        g_autofree gchar *full = parts[1] != NULL ? g_strjoin(".", parts[0], parts[1], NULL) : NULL;

        row = full != NULL ? aten_op_find(full) : NULL;
        row = row != NULL ? row : aten_op_find(parts[0]);
        *in_place = i == 1;
        if (i == 1 || length < 2 || parts[0][length - 1] != '_' || parts[0][length - 2] == '_')
            break;
        if (row == NULL)
            parts[0][length - 1] = '\0';
    }
    return row;
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

/* Which argument a name is; without one, the one at this place. What others call their input is the operator in place's
 * self. n_names: none. */
static guint place_of(const AtenNode *node, const gchar *name, guint place, gboolean in_place)
{
    if (name == NULL)
        return MIN(place, node->n_names);
    for (guint i = 0; i < node->n_names; i++)
        if (strcmp(node->names[i] + (node->names[i][0] == '-'), name) == 0)
            return i;
    return in_place && strcmp(name, "self") == 0 ? 0 : node->n_names;
}

static gboolean sort_args(AtenNode *node, const AtenArg *args, guint n_args, gboolean in_place, GError **error)
{
    for (guint i = 0; i < n_args; i++) {
        const guint place = place_of(node, args[i].name, i, in_place);

        if (place >= node->n_names)
            return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "its argument %u, '%s', is not taken", i,
                           args[i].name != NULL ? args[i].name : "");
        if (node->args[place] != NULL)
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "its argument '%s' is there twice",
                           node->names[place]);
        node->args[place] = args[i].value;
    }
    return TRUE;
}

/* An argument that a mapping does not know what to do with would change what it computes. */
static gboolean check_used(AtenNode *node, GError **error)
{
    for (guint i = 0; i < node->n_names; i++)
        if (node->names[i][0] != '-' && (node->used >> i & 1) == 0 && node->args[i] != NULL &&
            node->args[i]->kind != ATEN_NONE)
            return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "with the argument '%s' it is not taken",
                           node->names[i]);
    return TRUE;
}

/* ---- memory that is shared --------------------------------------------------------------------------------------- */

static void share(AtenValue *value, const AtenValue *with)
{
    if (value->kind == ATEN_LIST)
        for (guint i = 0; i < value->n_items; i++)
            share(&value->items[i], with);
    else if (value->kind == ATEN_TENSOR && with->kind == ATEN_TENSOR) {
        value->storage = with->storage;
        value->version = with->version;
    }
}

/* What the first argument was is gone; it is now the result, and its views can't be read any more. */
static gboolean write_back(AtenNode *node, GError **error)
{
    AtenValue *first = node->args[0];

    if (first == NULL || first->kind != ATEN_TENSOR || first->tensor == NULL || node->result.kind != ATEN_TENSOR ||
        node->result.tensor == NULL)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "in place of something that is no tensor");
    if (!gpudl_shape_equal(&first->tensor->shape, &node->result.tensor->shape))
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "its result does not fit in its place");
    if (first->tensor->dtype != node->result.tensor->dtype &&
        (node->result.tensor = tf_cast(node->build, node->result.tensor, first->tensor->dtype, error)) == NULL)
        return FALSE;
    first->storage->version++;
    if (first->storage->writer == NULL || strcmp(first->storage->writer, node->build->node) != 0) {
        gchar *copy = g_strdup(node->build->node);

        g_ptr_array_add(node->context->owned, copy);
        first->storage->writer = copy;
    }
    node->result.storage = first->storage;
    node->result.version = first->storage->version;
    *first = node->result;
    return TRUE;
}

gboolean aten_call(AtenContext *context, const gchar *op, const AtenArg *args, guint n_args, AtenValue *result,
                   GError **error)
{
    gboolean in_place;
    const AtenOp *row = find_op(op, &in_place);
    g_auto(GStrv) names = row != NULL ? g_strsplit(row->args, " ", -1) : NULL;
    AtenNode node = {.context = context, .build = &context->build, .row = row, .names = names};

    if (row == NULL)
        return tf_fail(node.build, GPUDL_ERROR_UNSUPPORTED, error,
                       "this operator is not taken. docs/OPERATORS.md lists those that are; an ONNX file may do: "
                       "torch.onnx.export(model, inputs, 'net.onnx', dynamo=True)");
    node.n_names = row->args[0] != '\0' ? g_strv_length(names) : 0;
    if (!sort_args(&node, args, n_args, in_place, error) || !row->map(&node, error) || !check_used(&node, error))
        return FALSE;
    if (in_place && !write_back(&node, error))
        return FALSE;
    if (!in_place && row->view && node.args[0] != NULL)
        share(&node.result, node.args[0]);
    *result = node.result;
    return TRUE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The nodes of a graph, one after the other through the table; those of a branch of an If are a part of its graph. */
#include <string.h>

#include "engine/limits.h"
#include "onnx-internal.h"

/* The type letter that a row's list gives to an attribute, or 0. */
static gchar attribute_type(const gchar *list, const gchar *name)
{
    const gsize length = strlen(name);

    for (const gchar *p = list; p != NULL && *p != '\0'; p = strchr(p, ' ')) {
        p += *p == ' ';
        if (strncmp(p, name, length) == 0 && p[length] == ':')
            return p[length + 1];
    }
    return 0;
}

/* TRUE if the attribute holds a value of the type; files before IR version 2 do not say which they hold. */
static gboolean attribute_is(const Onnx__AttributeProto *attr, gchar type)
{
    const gint said = attr->has_type ? (gint)attr->type : 0;

    switch (type) {
    case 'i':
        return said == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT || (said == 0 && attr->has_i);
    case 'f':
        return said == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT || (said == 0 && attr->has_f);
    case 's':
        return (said == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING || said == 0) && attr->has_s;
    case 't':
        return (said == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR || said == 0) && attr->t != NULL;
    case 'g':
        return (said == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH || said == 0) && attr->g != NULL;
    case 'I':
        return said == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS || (said == 0 && attr->n_ints > 0);
    default: /* F */
        return said == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS || (said == 0 && attr->n_floats > 0);
    }
}

static gboolean check_attributes(const OnnxNode *node, GError **error)
{
    if (node->proto->n_attribute > 32)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " attributes", node->proto->n_attribute);
    for (gsize i = 0; i < node->proto->n_attribute; i++) {
        const Onnx__AttributeProto *attr = node->proto->attribute[i];
        g_autofree gchar *name = attr->name != NULL ? g_utf8_make_valid(attr->name, -1) : g_strdup("");
        const gchar type = attribute_type(node->row->attributes, name);

        if (type == 0)
            return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "attribute '%s' is not known", name);
        if (attr->ref_attr_name != NULL && attr->ref_attr_name[0] != '\0')
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "attribute '%s' refers to a function's outside of one",
                             name);
        if (!attribute_is(attr, type))
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "attribute '%s' has another type than the operator's",
                             name);
        for (gsize k = 0; k < i; k++)
            if (strcmp(node->proto->attribute[k]->name, name) == 0)
                return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "attribute '%s' is there twice", name);
    }
    return TRUE;
}

/* Whether a name is a sequence's. */
gboolean onnx_is_sequence(const OnnxImport *import, const gchar *name)
{
    const GpudlTensor *tensor = g_hash_table_lookup(import->values, name);

    return tensor != NULL && g_hash_table_contains(import->sequences, tensor);
}

static gboolean collect_inputs(OnnxNode *node, GError **error)
{
    const Onnx__NodeProto *proto = node->proto;
    gsize n = proto->n_input;

    while (n > 0 && proto->input[n - 1][0] == '\0')
        n--;
    if (n < node->row->min_inputs || n > node->row->max_inputs)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " inputs, expected %s%u", n,
                         node->row->max_inputs == node->row->min_inputs ? ""
                         : n < node->row->min_inputs                    ? "at least "
                                                                        : "at most ",
                         n < node->row->min_inputs ? node->row->min_inputs : node->row->max_inputs);
    if (n > GPUDL_LIMIT_TENSORS)
        return onnx_fail(node, GPUDL_ERROR_LIMIT, error, "%" G_GSIZE_FORMAT " inputs", n);
    node->n_inputs = (guint)n;
    node->inputs = g_new0(GpudlTensor *, n + 1);
    for (guint i = 0; i < n; i++) {
        const gboolean absent = proto->input[i][0] == '\0';

        if (absent && (i < node->row->min_inputs || node->row->max_inputs == G_MAXUINT))
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "input %u is missing", i);
        if (absent)
            continue;
        node->inputs[i] = g_hash_table_lookup(node->import->values, proto->input[i]);
        if (node->inputs[i] == NULL) {
            g_autofree gchar *name = g_utf8_make_valid(proto->input[i], -1);

            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "input %u, '%s', is made by no node before it", i, name);
        }
        if (onnx_is_sequence(node->import, proto->input[i]) && node->row->map != onnx_map_sequence_at)
            return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "input %u, '%s', is a sequence", i, proto->input[i]);
    }
    return TRUE;
}

static gboolean define_outputs(OnnxNode *node, GError **error)
{
    for (guint i = 0; i < node->n_outputs; i++) {
        const gchar *name = onnx_output_name(node, i);

        if (name == NULL || (node->outputs[i] == NULL && !onnx_output_used(node, i)))
            continue;
        if (node->outputs[i] == NULL)
            return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "its output %u is used, which is not computed", i);
        if (!onnx_define(node->import, name, node->outputs[i], error))
            return FALSE;
    }
    return TRUE;
}

static gboolean map_node(OnnxNode *node, GError **error)
{
    const Onnx__NodeProto *proto = node->proto;

    if (proto->n_output < 1 || proto->n_output > node->row->max_outputs)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " outputs, expected 1 to %u",
                         proto->n_output, node->row->max_outputs);
    node->n_outputs = (guint)proto->n_output;
    node->outputs = g_new0(GpudlTensor *, node->n_outputs);
    for (guint i = 0; i < node->n_outputs; i++)
        if (proto->output[i][0] != '\0' && !onnx_check_name("an output", proto->output[i], error))
            return FALSE;
    if (!check_attributes(node, error) || !collect_inputs(node, error) || !node->row->map(node, error))
        return FALSE;
    onnx_quant_follow(node);
    return define_outputs(node, error);
}

/* The row of a node, or why there is none. */
static const OnnxOp *find_row(const OnnxImport *import, const Onnx__ModelProto *model, const Onnx__NodeProto *proto,
                              const gchar *name, GError **error)
{
    g_autofree gchar *type = proto->op_type != NULL ? g_utf8_make_valid(proto->op_type, -1) : g_strdup("");
    g_autofree gchar *domain = proto->domain != NULL ? g_utf8_make_valid(proto->domain, -1) : g_strdup("");
    const OnnxOp *row;
    gboolean known;

    for (gsize i = 0; i < model->n_functions; i++) {
        if (g_strcmp0(model->functions[i]->name, type) == 0 &&
            g_strcmp0(model->functions[i]->domain != NULL ? model->functions[i]->domain : "", domain) == 0) {
            onnx_file_fail(GPUDL_ERROR_UNSUPPORTED, error, "node '%s' (%s%s%s): functions of the file are not taken",
                           name, domain, domain[0] != '\0' ? "." : "", type);
            return NULL;
        }
    }
    if (domain[0] != '\0' && strcmp(domain, "ai.onnx") != 0) {
        g_autofree gchar *full = g_strdup_printf("%s.%s", domain, type);

        row = onnx_op_find(full, import->opset, NULL);
        if (row == NULL)
            onnx_file_fail(GPUDL_ERROR_UNSUPPORTED, error, "node '%s' (%s): %s", name, full,
                           g_str_has_prefix(domain, "com.microsoft.nchwc")
                               ? "ONNX Runtime wrote this file for one machine; use the file that it was made of"
                           : strcmp(domain, "com.microsoft") == 0 ? "this operator is not taken"
                                                                  : "operators of this domain are not taken");
        return row;
    }
    row = onnx_op_find(type, import->opset, &known);
    if (row == NULL)
        onnx_file_fail(known ? GPUDL_ERROR_FORMAT : GPUDL_ERROR_UNSUPPORTED, error,
                       "node '%s' (%s, opset %" G_GINT64_FORMAT "): %s", name, type, import->opset,
                       known ? "the operator does not exist in this opset" : "this operator is not taken");
    return row;
}

gboolean onnx_import_node(OnnxImport *import, const Onnx__GraphProto *graph, gsize index, GError **error)
{
    const Onnx__NodeProto *proto = graph->node[index];
    OnnxNode node = {.import = import, .proto = proto};
    gboolean ok = FALSE;

    if (proto->name != NULL && proto->name[0] != '\0') {
        if (!onnx_check_name("a node", proto->name, error))
            return FALSE;
        node.name = g_strdup(proto->name);
    } else {
        g_autofree gchar *type = proto->op_type != NULL ? g_utf8_make_valid(proto->op_type, -1) : g_strdup("node");
        g_autofree gchar *beginning = g_utf8_substring(type, 0, MIN(g_utf8_strlen(type, -1), 64));

        node.name = g_strdup_printf("%s_%" G_GSIZE_FORMAT, beginning, index);
    }
    node.row = find_row(import, import->model, proto, node.name, error);
    ok = node.row != NULL && map_node(&node, error);
    g_free(node.inputs);
    g_free(node.outputs);
    g_free(node.name);
    return ok;
}

/* Most Ifs within each other. */
#define MAX_DEPTH 16

/* The branch that a known condition takes becomes a part of the graph; the other one is not looked at. */
gboolean onnx_map_if(OnnxNode *node, GError **error)
{
    OnnxImport *import = node->import;
    const Onnx__AttributeProto *branch;
    const Onnx__GraphProto *graph;
    gboolean known;
    double condition;

    if (!onnx_scalar(node, node->inputs[0], &known, &condition, error))
        return FALSE;
    if (!known)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                         "input 0 ('%s'), the condition, depends on the network's input values", node->inputs[0]->name);
    branch = onnx_attr(node, condition != 0 ? "then_branch" : "else_branch");
    if (branch == NULL)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "no %s", condition != 0 ? "then_branch" : "else_branch");
    graph = branch->g;
    if (import->depth >= MAX_DEPTH)
        return onnx_fail(node, GPUDL_ERROR_LIMIT, error, "more than %d graphs within each other", MAX_DEPTH);
    if (graph->n_output != node->n_outputs)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%s has %" G_GSIZE_FORMAT " outputs, the node %u",
                         branch->name, graph->n_output, node->n_outputs);
    import->depth++;
    if (!onnx_import_initializers(import, graph, error))
        return FALSE;
    for (gsize i = 0; i < graph->n_node; i++)
        if (onnx_stopped(import, error) || !onnx_import_node(import, graph, i, error))
            return FALSE;
    import->depth--;
    for (guint i = 0; i < node->n_outputs; i++) {
        GpudlTensor *tensor =
            graph->output[i]->name != NULL ? g_hash_table_lookup(import->values, graph->output[i]->name) : NULL;

        if (tensor == NULL)
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "output %u of its %s is made by no node", i,
                             branch->name);
        if (onnx_is_sequence(import, graph->output[i]->name))
            return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "output %u is a sequence", i);
        if ((node->outputs[i] = onnx_unary(node, GPUDL_OP_IDENTITY, tensor, onnx_output_name(node, i), error)) == NULL)
            return FALSE;
    }
    return TRUE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which of a graph's outputs are scores of classes: one that ends in the best class or a map of names is cut off where
 * its scores are, and the nodes that nobody needs then are not looked at. */
#include <string.h>

#include "engine/limits.h"
#include "onnx-internal.h"

#define MOST_STEPS 16

static gboolean is_one_of(const Onnx__NodeProto *node, const gchar *const *types)
{
    return node->op_type != NULL && g_strv_contains(types, node->op_type);
}

/* Nodes by the names of what they make. */
static GHashTable *producers_of(const Onnx__GraphProto *graph)
{
    GHashTable *producers = g_hash_table_new(g_str_hash, g_str_equal);

    for (gsize i = 0; i < graph->n_node; i++)
        for (gsize k = 0; k < graph->node[i]->n_output; k++)
            if (graph->node[i]->output[k][0] != '\0')
                g_hash_table_insert(producers, graph->node[i]->output[k], graph->node[i]);
    return producers;
}

/* The names of the classes that a ZipMap gives; NULL: it has none. */
static gchar **labels_of(const Onnx__NodeProto *node)
{
    for (gsize i = 0; i < node->n_attribute; i++) {
        const Onnx__AttributeProto *attr = node->attribute[i];
        g_autoptr(GPtrArray) labels = NULL;

        if (g_strcmp0(attr->name, "classlabels_strings") != 0 || attr->n_strings < 1 ||
            attr->n_strings > GPUDL_LIMIT_LABELS)
            continue;
        labels = g_ptr_array_new_with_free_func(g_free);
        for (gsize k = 0; k < attr->n_strings; k++) {
            if (attr->strings[k].len > GPUDL_LIMIT_NAME_BYTES)
                return NULL;
            g_ptr_array_add(labels,
                            g_utf8_make_valid((const gchar *)attr->strings[k].data, (gssize)attr->strings[k].len));
        }
        g_ptr_array_add(labels, NULL);
        return (gchar **)g_ptr_array_free(g_steal_pointer(&labels), FALSE);
    }
    return NULL;
}

/* What the output is, by the nodes that it ends in. */
typedef struct {
    const gchar *scores; /* name of the tensor that is cut off at; the output's own: it is not cut */
    gboolean mapped;     /* by a ZipMap: all scores are in it */
} End;

static End end_of(OnnxImport *import, GHashTable *producers, const gchar *name)
{
    static const gchar *const passing[] = {"Identity", "Cast",    "Squeeze", "Unsqueeze",
                                           "Reshape",  "Flatten", "Gather",  "LabelEncoder",
                                           "ArgMax",   "TopK",    "ZipMap",  "ArrayFeatureExtractor",
                                           "CastLike", NULL};
    static const gchar *const cutting[] = {"ArgMax", "TopK", "ZipMap", NULL};
    End end = {.scores = name};
    const gchar *at = name;

    for (guint i = 0; i < MOST_STEPS; i++) {
        const Onnx__NodeProto *node = g_hash_table_lookup(producers, at);
        const guint from = node != NULL && g_strcmp0(node->op_type, "ArrayFeatureExtractor") == 0 ? 1 : 0;

        if (node == NULL || node->n_input <= from || !is_one_of(node, passing))
            break;
        at = node->input[from];
        if (!is_one_of(node, cutting))
            continue;
        end.scores = at;
        if (strcmp(node->op_type, "ZipMap") == 0) {
            end.mapped = TRUE;
            if (import->labels == NULL)
                import->labels = labels_of(node);
        }
        break;
    }
    return end;
}

/* FALSE: of a type that scores are not. */
static gboolean may_be_scores(const Onnx__ValueInfoProto *output)
{
    const gint type = output->type != NULL && output->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE
                          ? output->type->tensor_type->elem_type
                          : 0;

    return type == 0 || type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
           type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 || type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16 ||
           type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
}

static gboolean has(const GPtrArray *names, const gchar *name)
{
    for (guint i = 0; i < names->len; i++)
        if (strcmp(names->pdata[i], name) == 0)
            return TRUE;
    return FALSE;
}

static void add(GPtrArray *names, const gchar *name)
{
    if (!has(names, name))
        g_ptr_array_add(names, (gpointer)name);
}

static void note(OnnxImport *import, const gchar *output, const gchar *text, const gchar *name)
{
    g_autofree gchar *shown = g_utf8_make_valid(output, -1), *scores = g_utf8_make_valid(name, -1);

    g_ptr_array_add(import->notes, g_strdup_printf("output '%s' %s '%s'", shown, text, scores));
}

void onnx_add_read_names(GPtrArray *names, const Onnx__NodeProto *node)
{
    for (gsize i = 0; i < node->n_input; i++)
        if (node->input[i][0] != '\0')
            g_ptr_array_add(names, node->input[i]);
    for (gsize i = 0; i < node->n_attribute; i++) {
        const Onnx__GraphProto *graph = node->attribute[i]->g;

        for (gsize k = 0; graph != NULL && k < graph->n_node; k++)
            onnx_add_read_names(names, graph->node[k]);
        for (gsize k = 0; graph != NULL && k < graph->n_output; k++)
            if (graph->output[k]->name != NULL)
                g_ptr_array_add(names, graph->output[k]->name);
    }
}

/* Marks what makes a tensor. */
static void mark(GHashTable *producers, GHashTable *live, const gchar *name)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    g_ptr_array_add(names, (gpointer)name);
    while (names->len > 0) {
        Onnx__NodeProto *node = g_hash_table_lookup(producers, names->pdata[names->len - 1]);

        g_ptr_array_set_size(names, (gint)names->len - 1);
        if (node == NULL || !g_hash_table_add(live, node))
            continue;
        onnx_add_read_names(names, node);
    }
}

/* What makes the heads is live, and nothing else. */
static void mark_heads(OnnxImport *import, GHashTable *producers)
{
    g_clear_pointer(&import->live, g_hash_table_unref);
    import->live = g_hash_table_new(NULL, NULL);
    for (guint i = 0; i < import->heads->len; i++)
        mark(producers, import->live, import->heads->pdata[i]);
}

gboolean onnx_leave_out_heads(OnnxImport *import, const Onnx__GraphProto *graph, const Onnx__NodeProto *node,
                              const gchar *why)
{
    g_autoptr(GHashTable) producers = producers_of(graph);
    g_autoptr(GPtrArray) heads = g_ptr_array_new(), kept = g_ptr_array_new(), left = g_ptr_array_new();

    for (guint i = 0; i < import->heads->len; i++)
        add(heads, import->heads->pdata[i]);
    for (gsize i = 0; import->heads->len == 0 && i < graph->n_output; i++) {
        if (graph->output[i]->name == NULL)
            return FALSE;
        add(heads, graph->output[i]->name);
    }
    for (guint i = 0; i < heads->len; i++) {
        g_autoptr(GHashTable) needed = g_hash_table_new(NULL, NULL);

        mark(producers, needed, heads->pdata[i]);
        g_ptr_array_add(g_hash_table_contains(needed, node) ? left : kept, heads->pdata[i]);
    }
    if (kept->len == 0)
        return FALSE;
    for (guint i = 0; i < left->len; i++) {
        g_autofree gchar *shown = g_utf8_make_valid(left->pdata[i], -1);

        g_ptr_array_add(import->notes, g_strdup_printf("output '%s' is left out: %s", shown, why));
    }
    g_ptr_array_set_size(import->heads, 0);
    for (guint i = 0; i < kept->len; i++)
        g_ptr_array_add(import->heads, kept->pdata[i]);
    mark_heads(import, producers);
    return TRUE;
}

void onnx_choose_heads(OnnxImport *import, const Onnx__GraphProto *graph)
{
    g_autoptr(GHashTable) producers = producers_of(graph);
    g_autoptr(GPtrArray) cut = g_ptr_array_new();
    gboolean any = FALSE;

    for (gsize i = 0; i < graph->n_output; i++) {
        const gchar *name = graph->output[i]->name;
        End end;

        if (name == NULL) {
            g_ptr_array_set_size(import->heads, 0); /* said where outputs are read */
            return;
        }
        end = end_of(import, producers, name);
        any = any || end.scores != name;
        if (end.scores == name && may_be_scores(graph->output[i]))
            add(import->heads, name);
        else if (end.mapped)
            add(import->heads, end.scores);
        else if (end.scores != name)
            add(cut, end.scores);
        else
            any = TRUE;
    }
    if (import->heads->len == 0)
        for (guint i = 0; i < cut->len; i++)
            add(import->heads, cut->pdata[i]);
    if (!any || import->heads->len == 0) {
        g_ptr_array_set_size(import->heads, 0);
        return; /* all outputs as they are */
    }
    for (gsize i = 0; i < graph->n_output; i++) {
        const gchar *name = graph->output[i]->name;
        const End end = end_of(import, producers, name);

        if (!has(import->heads, name))
            note(import, name, has(import->heads, end.scores) ? "is cut off at its scores," : "is left out beside",
                 has(import->heads, end.scores) ? end.scores : import->heads->pdata[0]);
    }
    mark_heads(import, producers);
}

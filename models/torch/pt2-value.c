/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the graph's names and arguments stand for. */
#include <math.h>
#include <string.h>

#include "engine/limits.h"
#include "pt2-internal.h"

static gboolean fail(Pt2Import *import, GError **error, const gchar *text)
{
    return tf_fail(&import->context.build, GPUDL_ERROR_FORMAT, error, "%s", text);
}

const gchar *pt2_full_name(Pt2Import *import, const gchar *name)
{
    const gsize before = import->region != NULL ? strlen(import->region) : 0, n = before + strlen(name);
    gchar *full;

    if (before == 0 || n > GPUDL_LIMIT_NAME_BYTES)
        return name;
    full = aten_alloc(&import->context, n + 1, 1);
    memcpy(full, import->region, before);
    memcpy(full + before, name, n - before);
    return full;
}

gboolean pt2_define(Pt2Import *import, const gchar *name, const AtenValue *value, const gchar *weight, GError **error)
{
    Pt2Value *entry = aten_alloc(&import->context, 1, sizeof *entry);

    if (name == NULL || name[0] == '\0' || strlen(name) > GPUDL_LIMIT_NAME_BYTES)
        return fail(import, error, "a value without a name, or with one that is too long");
    if (value != NULL)
        entry->value = *value;
    entry->weight = weight;
    if (!g_hash_table_insert(import->values, (gpointer)name, entry))
        return tf_fail(&import->context.build, GPUDL_ERROR_FORMAT, error, "the name '%s' is defined twice", name);
    return TRUE;
}

AtenValue *pt2_value(Pt2Import *import, const gchar *name, GError **error)
{
    Pt2Value *entry = name != NULL ? g_hash_table_lookup(import->values, name) : NULL;

    if (entry == NULL) {
        tf_fail(&import->context.build, GPUDL_ERROR_FORMAT, error, "'%s' is read before it is made",
                name != NULL ? name : "");
        return NULL;
    }
    if (entry->weight != NULL) {
        GpudlTensor *tensor = pt2_weight(&import->file, &import->context, entry->weight, error);

        if (tensor == NULL)
            return NULL;
        entry->value = aten_of_tensor(&import->context, tensor);
        entry->weight = NULL;
    }
    return &entry->value;
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

/* A number, or how JSON of Python writes what is none. */
static gboolean number_of(JsonNode *node, double *value)
{
    const gchar *text;

    if (gpudl_json_node_number(node, value))
        return TRUE;
    if (node == NULL || !JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING)
        return FALSE;
    text = json_node_get_string(node);
    *value = strcmp(text, "Infinity") == 0    ? (double)INFINITY
             : strcmp(text, "-Infinity") == 0 ? (double)-INFINITY
                                              : (double)NAN;
    return !isnan(*value) || strcmp(text, "NaN") == 0;
}

/* What is written as itself: [1, 2], true, 0.5, "none". FALSE: it is something else. */
static gboolean plain_value(JsonNode *node, gboolean real, AtenValue *value)
{
    const GType type = node != NULL && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_value_type(node) : G_TYPE_INVALID;

    if (real) {
        value->kind = ATEN_NUMBER;
        return number_of(node, &value->number);
    }
    if (type == G_TYPE_INT64)
        *value = aten_of_int(json_node_get_int(node));
    else if (type == G_TYPE_BOOLEAN)
        *value = aten_of_flag(json_node_get_boolean(node));
    else if (type == G_TYPE_STRING)
        *value = (AtenValue){.kind = ATEN_TEXT, .text = json_node_get_string(node)};
    else
        return FALSE;
    return TRUE;
}

/* {"name": ..} or {"as_name": ..}: what the name stands for; {"as_int": ..}: the number; {"as_none": true}. */
static gboolean named_value(Pt2Import *import, JsonObject *object, AtenValue *value, GError **error)
{
    const gchar *name = gpudl_json_text(object, "name");
    JsonObject *tensor = gpudl_json_object(object, "as_tensor");
    AtenValue *found;

    if (name == NULL)
        name = gpudl_json_text(tensor != NULL ? tensor : object, tensor != NULL ? "name" : "as_name");
    if (name == NULL) {
        *value = (AtenValue){.kind = ATEN_NONE};
        if (gpudl_json_member(object, "as_none") != NULL ||
            plain_value(gpudl_json_member(object, "as_int"), FALSE, value) ||
            plain_value(gpudl_json_member(object, "as_bool"), FALSE, value) ||
            plain_value(gpudl_json_member(object, "as_float"), TRUE, value))
            return TRUE;
        return fail(import, error, "an argument that is neither a name nor a number");
    }
    found = pt2_value(import, name, error);
    if (found == NULL)
        return FALSE;
    *value = *found;
    return TRUE;
}

static AtenValue *list_value(Pt2Import *import, JsonArray *array, gboolean real, GError **error)
{
    AtenValue *list = aten_alloc(&import->context, 1, sizeof *list);
    const guint n = json_array_get_length(array);

    list->kind = ATEN_LIST;
    list->items = aten_alloc(&import->context, n, sizeof *list->items);
    for (guint i = 0; i < n; i++) {
        JsonNode *node = json_array_get_element(array, i);

        if (JSON_NODE_HOLDS_OBJECT(node) ? !named_value(import, json_node_get_object(node), &list->items[i], error)
                                         : !plain_value(node, real, &list->items[i]) &&
                                               !fail(import, error, "a list of something that is not taken"))
            return NULL;
    }
    list->n_items = n;
    return list;
}

AtenValue *pt2_argument(Pt2Import *import, JsonObject *arg, GError **error)
{
    g_autoptr(GList) members = arg != NULL ? json_object_get_members(arg) : NULL;
    const gchar *kind = members != NULL ? members->data : "nothing";
    JsonNode *node = members != NULL ? json_object_get_member(arg, kind) : NULL;
    AtenValue *value = aten_alloc(&import->context, 1, sizeof *value);

    if (node == NULL || members->next != NULL)
        return fail(import, error, "an argument of several kinds, or of none"), NULL;
    if (strcmp(kind, "as_none") == 0)
        return value;
    if (strcmp(kind, "as_scalar_type") == 0 && plain_value(node, FALSE, value)) {
        *value = (AtenValue){.kind = ATEN_DTYPE, .integer = pt2_dtype(value->integer)};
        return value;
    }
    if (strcmp(kind, "as_layout") == 0 || strcmp(kind, "as_device") == 0 || strcmp(kind, "as_memory_format") == 0) {
        value->kind = ATEN_PLACING;
        return value;
    }
    if (strcmp(kind, "as_tensor") == 0 && JSON_NODE_HOLDS_OBJECT(node)) /* itself, since it may be changed in place */
        return pt2_value(import, gpudl_json_text(json_node_get_object(node), "name"), error);
    if (g_str_has_prefix(kind, "as_sym_") || g_str_has_prefix(kind, "as_optional_tensor"))
        if (JSON_NODE_HOLDS_OBJECT(node))
            return named_value(import, json_node_get_object(node), value, error) ? value : NULL;
    if (JSON_NODE_HOLDS_ARRAY(node))
        return list_value(import, json_node_get_array(node), strcmp(kind, "as_floats") == 0, error);
    if ((strcmp(kind, "as_int") == 0 || strcmp(kind, "as_bool") == 0 || strcmp(kind, "as_string") == 0 ||
         strcmp(kind, "as_float") == 0) &&
        plain_value(node, strcmp(kind, "as_float") == 0, value))
        return value;
    tf_fail(&import->context.build, GPUDL_ERROR_UNSUPPORTED, error, "an argument of the kind '%s'", kind);
    return NULL;
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* Tensors that this node has made are called as the file calls them. */
static gboolean name_result(Pt2Import *import, JsonObject *output, const AtenValue *value, GError **error)
{
    JsonObject *tensor = gpudl_json_object(output, "as_tensor");
    const gchar *name = gpudl_json_text(tensor != NULL ? tensor : output, "name");
    JsonObject *number = gpudl_json_object(output, "as_sym_int");

    if (gpudl_json_member(output, "as_none") != NULL)
        return TRUE;
    if (number == NULL)
        number = gpudl_json_object(output, "as_sym_bool");
    if (number == NULL)
        number = gpudl_json_object(output, "as_sym_float");
    if (number != NULL)
        name = gpudl_json_text(number, "as_name");
    if (name == NULL)
        return fail(import, error, "a result without a name");
    if (value->kind == ATEN_TENSOR && value->tensor != NULL && value->tensor->producer != NULL &&
        g_str_has_prefix(value->tensor->name, import->context.build.node))
        tf_name(value->tensor, pt2_full_name(import, name));
    return pt2_define(import, name, value, NULL, error);
}

gboolean pt2_results(Pt2Import *import, JsonArray *outputs, const AtenValue *result, GError **error)
{
    const guint n = outputs != NULL ? json_array_get_length(outputs) : 0;
    JsonObject *first = gpudl_json_element(outputs, 0);
    JsonArray *list = n == 1 ? gpudl_json_array(first, "as_tensors") : NULL;

    if (n == 0 || result->kind == ATEN_NONE)
        return TRUE;
    if (list == NULL && n == 1)
        return name_result(import, first, result, error);
    list = list != NULL ? list : outputs;
    if (result->kind != ATEN_LIST || json_array_get_length(list) > result->n_items)
        return fail(import, error, "another number of results than the operator has");
    for (guint i = 0; i < json_array_get_length(list); i++)
        if (!name_result(import, gpudl_json_element(list, i), &result->items[i], error))
            return FALSE;
    return TRUE;
}

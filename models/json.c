/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/json.h"

#include <math.h>
#include <string.h>

#include "engine/gpudl.h"

#define MOST_NESTED 64 /* the parser recurses */

static gboolean is_shallow(const gchar *text, gsize length)
{
    guint depth = 0;
    gboolean quoted = FALSE;

    for (gsize i = 0; i < length; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && (text[i] == '{' || text[i] == '['))
            depth++;
        else if (!quoted && (text[i] == '}' || text[i] == ']') && depth > 0)
            depth--;
        if (depth > MOST_NESTED)
            return FALSE;
    }
    return TRUE;
}

JsonNode *gpudl_json_parse(const gchar *text, gsize length, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) fault = NULL;
    JsonNode *root = NULL;

    if (length <= G_MAXSSIZE && g_utf8_validate_len(text, length, NULL) && is_shallow(text, length) &&
        json_parser_load_from_data(parser, text, (gssize)length, &fault))
        root = json_parser_steal_root(parser);
    if (root != NULL && JSON_NODE_HOLDS_OBJECT(root))
        return root;
    g_clear_pointer(&root, json_node_unref);
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "is no object of JSON%s%s", fault != NULL ? ": " : "",
                fault != NULL ? fault->message : "");
    return NULL;
}

JsonNode *gpudl_json_member(JsonObject *object, const gchar *name)
{
    return object != NULL ? json_object_get_member(object, name) : NULL;
}

static JsonNode *value_of(JsonObject *object, const gchar *name, GType type)
{
    JsonNode *node = gpudl_json_member(object, name);

    return node != NULL && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type ? node : NULL;
}

JsonObject *gpudl_json_object(JsonObject *object, const gchar *name)
{
    JsonNode *node = gpudl_json_member(object, name);

    return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

JsonArray *gpudl_json_array(JsonObject *object, const gchar *name)
{
    JsonNode *node = gpudl_json_member(object, name);

    return node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

const gchar *gpudl_json_text(JsonObject *object, const gchar *name)
{
    JsonNode *node = value_of(object, name, G_TYPE_STRING);

    return node != NULL ? json_node_get_string(node) : NULL;
}

gboolean gpudl_json_flag(JsonObject *object, const gchar *name, gboolean otherwise)
{
    JsonNode *node = value_of(object, name, G_TYPE_BOOLEAN);

    return node != NULL ? json_node_get_boolean(node) : otherwise;
}

gboolean gpudl_json_integer(JsonObject *object, const gchar *name, gint64 *value)
{
    JsonNode *node = value_of(object, name, G_TYPE_INT64);

    *value = node != NULL ? json_node_get_int(node) : 0;
    return node != NULL;
}

gboolean gpudl_json_node_number(JsonNode *node, gdouble *value)
{
    if (node == NULL || !JSON_NODE_HOLDS_VALUE(node) ||
        (json_node_get_value_type(node) != G_TYPE_INT64 && json_node_get_value_type(node) != G_TYPE_DOUBLE))
        return FALSE;
    *value = json_node_get_double(node);
    return isfinite(*value);
}

gdouble gpudl_json_number(JsonObject *object, const gchar *name, gdouble otherwise)
{
    gdouble value;

    return gpudl_json_node_number(gpudl_json_member(object, name), &value) ? value : otherwise;
}

JsonObject *gpudl_json_element(JsonArray *array, guint i)
{
    JsonNode *node = array != NULL && i < json_array_get_length(array) ? json_array_get_element(array, i) : NULL;

    return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

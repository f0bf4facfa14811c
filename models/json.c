/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/json.h"

#include <math.h>
#include <string.h>

#include "engine/gpudl.h"
#include "engine/shown.h"

#define MOST_NESTED 64               /* the parser recurses */
#define MOST_VALUES ((gsize)2 << 20) /* each takes some hundred bytes of memory, and as few as two of the text */

/* Value of the four hexadecimal digits behind "\u", or -1. */
static gint unit_at(const gchar *text, gsize length)
{
    gint unit = 0;

    if (length < 6 || text[0] != '\\' || text[1] != 'u')
        return -1;
    for (guint i = 2; i < 6; i++) {
        if (!g_ascii_isxdigit(text[i]))
            return -1;
        unit = 16 * unit + g_ascii_xdigit_value(text[i]);
    }
    return unit;
}

/* Bytes of what begins with a backslash; 0: JSON has no such thing, but the parser takes it, be it for a byte that
 * makes the text no UTF-8 or with the quote behind it. */
static gsize escape_length(const gchar *text, gsize length)
{
    const gint unit = unit_at(text, length), second = unit >= 0 ? unit_at(text + 6, length - 6) : -1;

    if (length < 2 || text[1] == '\0' || strchr("\"\\/bfnrtu", text[1]) == NULL)
        return 0;
    if (text[1] != 'u')
        return 2;
    if (unit < 0xd800 || unit > 0xdfff)
        return unit >= 0 ? 6 : 0;
    return unit < 0xdc00 && second >= 0xdc00 && second <= 0xdfff ? 12 : 0;
}

/* What is wrong before the parser sees it, or NULL. It also takes comments and texts in single quotes, which are no
 * JSON, and in which a quote would hide brackets from what counts them here. */
static const gchar *check_text(const gchar *text, gsize length)
{
    gsize depth = 0, values = 0, step;
    gboolean quoted = FALSE;

    for (gsize i = 0; i < length; i += step) {
        step = quoted && text[i] == '\\' ? escape_length(text + i, length - i) : 1;
        if (step == 0)
            return "a backslash before what is no character of JSON";
        if (text[i] == '"')
            quoted = !quoted;
        if (quoted)
            continue;
        if (text[i] == '/' || text[i] == '\'')
            return "a comment or a single quote";
        if (text[i] == '{' || text[i] == '[')
            depth++;
        else if ((text[i] == '}' || text[i] == ']') && depth > 0)
            depth--;
        values += text[i] == ',' || text[i] == '{' || text[i] == '[';
        if (depth > MOST_NESTED)
            return "nested more than 64 deep";
        if (values > MOST_VALUES)
            return "more than 2097152 values";
    }
    return NULL;
}

JsonNode *gpudl_json_parse(const gchar *text, gsize length, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autofree gchar *shown = NULL;
    const gchar *fault = length > G_MAXSSIZE || !g_utf8_validate_len(text, length, NULL) ? "no UTF-8" : NULL;
    g_autoptr(GError) found = NULL;
    JsonNode *root = NULL;

    if (length == 0)
        text = ""; /* there may be no pointer to no bytes */
    if (fault == NULL)
        fault = check_text(text, length);
    if (fault == NULL && json_parser_load_from_data(parser, text, (gssize)length, &found))
        root = json_parser_steal_root(parser);
    if (root != NULL && JSON_NODE_HOLDS_OBJECT(root))
        return root;
    g_clear_pointer(&root, json_node_unref);
    if (found != NULL)
        fault = shown = gpudl_shown(found->message, GPUDL_SHOWN_MESSAGE_BYTES);
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "is no object of JSON%s%s", fault != NULL ? ": " : "",
                fault != NULL ? fault : "");
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

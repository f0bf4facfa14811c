/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * JSON of files that nobody vouches for: parsed within bounds, and read member by member. A member of another type than
 * is asked for is as if it were not there.
 */
#ifndef GPUDL_MODELS_JSON_H
#define GPUDL_MODELS_JSON_H

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/** The object that so many bytes of text are; the caller frees. FORMAT for anything else, for what is nested more than
 * 64 deep or has more than 2^21 values, and for text that is no UTF-8 or has comments. */
JsonNode *gpudl_json_parse(const gchar *text, gsize length, GError **error);

/** Member of an object; NULL of none. Objects and arrays are the object's own. object may be NULL. */
JsonNode *gpudl_json_member(JsonObject *object, const gchar *name);
JsonObject *gpudl_json_object(JsonObject *object, const gchar *name);
JsonArray *gpudl_json_array(JsonObject *object, const gchar *name);
const gchar *gpudl_json_text(JsonObject *object, const gchar *name);
gboolean gpudl_json_flag(JsonObject *object, const gchar *name, gboolean otherwise);
gdouble gpudl_json_number(JsonObject *object, const gchar *name, gdouble otherwise);
/** An integer as it stands there; FALSE: there is none. */
gboolean gpudl_json_integer(JsonObject *object, const gchar *name, gint64 *value);

/** Number of a node that may be NULL; FALSE: it is no finite one. */
gboolean gpudl_json_node_number(JsonNode *node, gdouble *value);

/** Object at a place of an array, or NULL. */
JsonObject *gpudl_json_element(JsonArray *array, guint i);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <json-glib/json-glib.h>

#include "tools/demo/demo.h"

static void photo_free(gpointer data)
{
    Photo *photo = data;

    g_free(photo->name);
    g_free(photo->path);
    g_free(photo->ids);
    g_free(photo->truth);
    g_free(photo->label);
    g_clear_pointer(&photo->picture, cairo_surface_destroy);
    g_free(photo);
}

void manifest_free(Manifest *manifest)
{
    if (manifest == NULL)
        return;
    g_ptr_array_unref(manifest->photos);
    g_free(manifest->video);
    g_free(manifest);
}

gboolean photo_is_right(const Photo *photo, guint32 id)
{
    for (guint i = 0; i < photo->n_ids; i++)
        if (photo->ids[i] == id)
            return TRUE;
    return FALSE;
}

gboolean mostly_right(guint right, guint total)
{
    return right * 8 >= total * 7;
}

/* A member of the wanted kind, or NULL: json-glib's own getters complain on stderr about any other kind. */
static const gchar *get_string(JsonObject *object, const gchar *key)
{
    JsonNode *node = json_object_get_member(object, key);

    return node != NULL && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING
               ? json_node_get_string(node)
               : NULL;
}

static JsonArray *get_array(JsonObject *object, const gchar *key)
{
    JsonNode *node = json_object_get_member(object, key);

    return node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

static gchar *beside(const gchar *folder, const gchar *file)
{
    return g_path_is_absolute(file) ? g_strdup(file) : g_build_filename(folder, file, NULL);
}

static Photo *read_photo(JsonNode *node, const gchar *folder)
{
    JsonObject *object = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    const gchar *file = object != NULL ? get_string(object, "file") : NULL;
    const gchar *truth = object != NULL ? get_string(object, "truth") : NULL;
    JsonArray *ids = object != NULL ? get_array(object, "ids") : NULL;
    Photo *photo;

    if (file == NULL || truth == NULL || ids == NULL || json_array_get_length(ids) == 0)
        return NULL;
    photo = g_new0(Photo, 1);
    photo->name = g_path_get_basename(file);
    photo->path = beside(folder, file);
    photo->truth = g_strdup(truth);
    photo->n_ids = json_array_get_length(ids);
    photo->ids = g_new(guint32, photo->n_ids);
    for (guint i = 0; i < photo->n_ids; i++) {
        JsonNode *id = json_array_get_element(ids, i);

        if (!JSON_NODE_HOLDS_VALUE(id) || json_node_get_value_type(id) != G_TYPE_INT64 || json_node_get_int(id) < 0) {
            photo_free(photo);
            return NULL;
        }
        photo->ids[i] = (guint32)json_node_get_int(id);
    }
    return photo;
}

static gboolean read_photos(Manifest *manifest, JsonArray *list, const gchar *folder, const gchar *path, GError **error)
{
    for (guint i = 0; i < json_array_get_length(list); i++) {
        Photo *photo = read_photo(json_array_get_element(list, i), folder);

        if (photo == NULL) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                        "%s: photograph %u: expected {\"file\": text, \"ids\": [numbers], \"truth\": text}", path, i);
            return FALSE;
        }
        g_ptr_array_add(manifest->photos, photo);
    }
    return TRUE;
}

Manifest *manifest_read(const gchar *path, GError **error)
{
    g_autoptr(Manifest) manifest = g_new0(Manifest, 1);
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autofree gchar *folder = g_path_get_dirname(path);
    g_autoptr(GError) reason = NULL;
    JsonNode *root, *video;
    JsonArray *list;

    manifest->photos = g_ptr_array_new_with_free_func(photo_free);
    if (!json_parser_load_from_file(parser, path, &reason)) {
        gint code = reason->domain != G_FILE_ERROR                              ? GPUDL_ERROR_FORMAT
                    : g_error_matches(reason, G_FILE_ERROR, G_FILE_ERROR_NOENT) ? GPUDL_ERROR_NOT_FOUND
                                                                                : GPUDL_ERROR_OPEN_READ;

        g_set_error(error, GPUDL_ERROR, code, "%s: %s", path,
                    code == GPUDL_ERROR_NOT_FOUND ? "no such file" : reason->message);
        return NULL;
    }
    root = json_parser_get_root(parser);
    list = root != NULL && JSON_NODE_HOLDS_OBJECT(root) ? get_array(json_node_get_object(root), "photographs") : NULL;
    if (list == NULL || json_array_get_length(list) == 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: lists no photographs", path);
        return NULL;
    }
    if (!read_photos(manifest, list, folder, path, error))
        return NULL;
    video = json_object_get_member(json_node_get_object(root), "video");
    if (video != NULL && JSON_NODE_HOLDS_OBJECT(video)) {
        const gchar *file = get_string(json_node_get_object(video), "file");

        manifest->video = file != NULL ? beside(folder, file) : NULL;
    }
    return g_steal_pointer(&manifest);
}

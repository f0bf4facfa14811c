/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The archive: where its parts are, and its weights. */
#include <string.h>

#include "engine/limits.h"
#include "models/torch/tensor.h"
#include "pt2-internal.h"

#define JSON_BYTES ((gsize)64 << 20)
#define MODEL "models/model.json"

static const gchar *const tables[] = {"weights", "constants"};

/* ---- members ----------------------------------------------------------------------------------------------------- */

static GBytes *read_member(const Pt2File *pt2, const gchar *name, gsize limit, GError **error)
{
    g_autofree gchar *full = g_strconcat(pt2->root, name, NULL);

    return gpudl_zip_get(pt2->zip, full, limit, error);
}

static JsonNode *read_json(const Pt2File *pt2, const gchar *name, GError **error)
{
    g_autoptr(GBytes) bytes = read_member(pt2, name, JSON_BYTES, error);
    JsonNode *root;
    const gchar *text;
    gsize size;

    if (bytes == NULL)
        return NULL;
    text = g_bytes_get_data(bytes, &size);
    root = gpudl_json_parse(text, size, error);
    if (root == NULL)
        g_prefix_error(error, "'%s' in the ZIP archive ", name);
    return root;
}

/* All members are in one folder, which has the archive's name. */
static gboolean find_root(Pt2File *pt2, GError **error)
{
    for (guint i = 0; i < gpudl_zip_get_count(pt2->zip); i++) {
        const gchar *name = gpudl_zip_get_name(pt2->zip, i), *at = strstr(name, MODEL);

        if (at == NULL || strcmp(at, MODEL) != 0 || (at > name && at[-1] != '/'))
            continue;
        pt2->root = g_strndup(name, (gsize)(at - name));
        return TRUE;
    }
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                "torch.export's archive without " MODEL ": a package of compiled code, which is not read. In Python: "
                "torch.export.save(torch.export.export(model.eval(), (torch.zeros(1, 3, 224, 224),)), 'net.pt2')");
    return FALSE;
}

static gboolean check_version(const Pt2File *pt2, GError **error)
{
    JsonObject *version = gpudl_json_object(json_node_get_object(pt2->model), "schema_version");
    g_autofree gchar *name = g_strconcat(pt2->root, "byteorder", NULL);
    gint64 major;

    if (!gpudl_json_integer(version, "major", &major) || major != 8) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "torch.export's schema version %" G_GINT64_FORMAT ", expected 8. With a PyTorch that reads it and "
                    "writes that: torch.export.save(torch.export.load('FILE'), 'net.pt2')",
                    major);
        return FALSE;
    }
    if (gpudl_zip_has(pt2->zip, name)) {
        g_autoptr(GBytes) order = gpudl_zip_get(pt2->zip, name, 64, error);

        if (order == NULL)
            return FALSE;
        if (g_bytes_get_size(order) != 6 || memcmp(g_bytes_get_data(order, NULL), "little", 6) != 0) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                        "its byteorder is not 'little': it was saved on a machine of the other kind");
            return FALSE;
        }
    }
    return TRUE;
}

/* Its weights are there, and not a pickle of all of them. */
static gboolean check_weights(const Pt2File *pt2, GError **error)
{
    g_autofree gchar *pickle = g_strconcat(pt2->root, "data/weights/model.pt", NULL);

    if (pt2->tables[0] != NULL || !gpudl_zip_has(pt2->zip, pickle))
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                "its weights are pickled, as PyTorch 2.8 does. With a newer PyTorch: "
                "torch.export.save(torch.export.load('FILE'), 'net.pt2')");
    return FALSE;
}

gboolean pt2_open(Pt2File *pt2, GBytes *file, GpudlPages *pages, GError **error)
{
    *pt2 = (Pt2File){.zip = gpudl_zip_open(file, error)};
    if (pt2->zip != NULL)
        gpudl_zip_take_pages(pt2->zip, pages);
    if (pt2->zip == NULL || !find_root(pt2, error) || (pt2->model = read_json(pt2, MODEL, error)) == NULL ||
        !check_version(pt2, error))
        return FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(tables); i++) {
        g_autofree gchar *name = g_strdup_printf("data/%s/model_%s_config.json", tables[i], tables[i]);
        g_autofree gchar *full = g_strconcat(pt2->root, name, NULL);

        if (gpudl_zip_has(pt2->zip, full) && (pt2->tables[i] = read_json(pt2, name, error)) == NULL)
            return FALSE;
    }
    return check_weights(pt2, error);
}

void pt2_close(Pt2File *pt2)
{
    g_clear_pointer(&pt2->zip, gpudl_zip_free);
    g_clear_pointer(&pt2->root, g_free);
    g_clear_pointer(&pt2->model, json_node_unref);
    for (guint i = 0; i < G_N_ELEMENTS(tables); i++)
        g_clear_pointer(&pt2->tables[i], json_node_unref);
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

GpudlDType pt2_dtype(gint64 type)
{
    static const GpudlDType types[] = {GPUDL_DTYPE_NONE, GPUDL_DTYPE_U8,   GPUDL_DTYPE_I8,   GPUDL_DTYPE_I16,
                                       GPUDL_DTYPE_I32,  GPUDL_DTYPE_I64,  GPUDL_DTYPE_F16,  GPUDL_DTYPE_F32,
                                       GPUDL_DTYPE_F64,  GPUDL_DTYPE_NONE, GPUDL_DTYPE_NONE, GPUDL_DTYPE_NONE,
                                       GPUDL_DTYPE_BOOL, GPUDL_DTYPE_BF16};

    return type >= 0 && type < (gint64)G_N_ELEMENTS(types) ? types[type] : GPUDL_DTYPE_NONE;
}

static gboolean read_dims(JsonObject *meta, const gchar *name, gint64 *dims, gint32 *rank)
{
    JsonArray *array = gpudl_json_array(meta, name);

    if (array == NULL || json_array_get_length(array) > GPUDL_MAX_RANK)
        return FALSE;
    *rank = (gint32)json_array_get_length(array);
    for (gint i = 0; i < *rank; i++)
        if (!gpudl_json_integer(gpudl_json_element(array, (guint)i), "as_int", &dims[i]) || dims[i] < 0 ||
            dims[i] > GPUDL_LIMIT_TENSOR_BYTES)
            return FALSE;
    return TRUE;
}

static gboolean read_layout(JsonObject *meta, TorchLayout *layout)
{
    gint64 type, kind;
    gint32 n_strides;

    if (!gpudl_json_integer(meta, "dtype", &type) ||
        !read_dims(meta, "sizes", layout->shape.dims, &layout->shape.rank) ||
        !read_dims(meta, "strides", layout->stride, &n_strides) || n_strides != layout->shape.rank ||
        !gpudl_json_integer(gpudl_json_object(meta, "storage_offset"), "as_int", &layout->offset) ||
        layout->offset < 0 || layout->offset > GPUDL_LIMIT_TENSOR_BYTES || !gpudl_json_integer(meta, "layout", &kind) ||
        kind != 7)
        return FALSE;
    layout->dtype = pt2_dtype(type);
    return TRUE;
}

static GpudlTensor *read_weight(const Pt2File *pt2, AtenContext *context, const gchar *name, const gchar *folder,
                                JsonObject *entry, GError **error)
{
    const gchar *path = gpudl_json_text(entry, "path_name");
    g_autofree gchar *full = g_strdup_printf("data/%s/%s", folder, path != NULL ? path : "");
    g_autoptr(GBytes) member = NULL;
    TorchLayout layout = {0};

    if (path == NULL || gpudl_json_flag(entry, "use_pickle", TRUE)) {
        tf_fail(&context->build, GPUDL_ERROR_UNSUPPORTED, error,
                "weight '%s' is pickled, which is a program, and not read. Only plain tensors are taken", name);
        return NULL;
    }
    if (!read_layout(gpudl_json_object(entry, "tensor_meta"), &layout) || layout.dtype == GPUDL_DTYPE_NONE) {
        tf_fail(&context->build, GPUDL_ERROR_UNSUPPORTED, error,
                "weight '%s' is no dense tensor of at most %d dimensions and of a type that is taken", name,
                GPUDL_MAX_RANK);
        return NULL;
    }
    member = read_member(pt2, full, GPUDL_LIMIT_TENSOR_BYTES, error);
    return member != NULL ? torch_constant(context, name, &layout, member, error) : NULL;
}

GpudlTensor *pt2_weight(const Pt2File *pt2, AtenContext *context, const gchar *name, GError **error)
{
    for (guint i = 0; i < G_N_ELEMENTS(tables); i++) {
        JsonObject *root = pt2->tables[i] != NULL ? json_node_get_object(pt2->tables[i]) : NULL;
        JsonObject *entry = gpudl_json_object(gpudl_json_object(root, "config"), name);

        if (entry != NULL)
            return read_weight(pt2, context, name, tables[i], entry, error);
    }
    tf_fail(&context->build, GPUDL_ERROR_FORMAT, error, "weight '%s' is not in the archive", name);
    return NULL;
}

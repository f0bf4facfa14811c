/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The archive: its pickles, what their values are, and where its code is. */
#include <string.h>

#include "engine/limits.h"
#include "models/torch/tensor.h"
#include "script-internal.h"

#define PICKLE_BYTES ((gsize)4 << 20)
#define CODE_BYTES ((gsize)4 << 20)
#define STEPS (G_GUINT64_CONSTANT(1) << 22)
#define MOST_FILES 16384u
#define MOST_TOKENS ((gsize)2 << 20) /* of all files */

/* ---- the archive ------------------------------------------------------------------------------------------------- */

static Pickle *read_pickle(const Script *script, const gchar *name, GError **error)
{
    g_autofree gchar *full = g_strconcat(script->root, name, NULL);
    g_autoptr(GBytes) bytes = gpudl_zip_get(script->zip, full, PICKLE_BYTES, error);
    const guint8 *data;
    gsize size;
    Pickle *pickle;

    if (bytes == NULL)
        return NULL;
    data = g_bytes_get_data(bytes, &size);
    pickle = pickle_read(data, size, error);
    if (pickle == NULL)
        g_prefix_error(error, "'%s' in the ZIP archive: ", full);
    return pickle;
}

static gboolean has(const Script *script, const gchar *name)
{
    g_autofree gchar *full = g_strconcat(script->root, name, NULL);

    return gpudl_zip_has(script->zip, full);
}

static gboolean find_root(Script *script, GError **error)
{
    for (guint i = 0; i < gpudl_zip_get_count(script->zip); i++) {
        const gchar *name = gpudl_zip_get_name(script->zip, i), *slash = strchr(name, '/');

        if (slash != NULL && strcmp(slash, "/data.pkl") == 0) {
            script->root = g_strndup(name, (gsize)(slash - name) + 1);
            return TRUE;
        }
    }
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "TorchScript's archive without data.pkl");
    return FALSE;
}

static gboolean check_byte_order(const Script *script, GError **error)
{
    g_autofree gchar *name = g_strconcat(script->root, "byteorder", NULL);
    g_autoptr(GBytes) order = NULL;

    if (!gpudl_zip_has(script->zip, name))
        return TRUE;
    order = gpudl_zip_get(script->zip, name, 64, error);
    if (order == NULL)
        return FALSE;
    if (g_bytes_get_size(order) == 6 && memcmp(g_bytes_get_data(order, NULL), "little", 6) == 0)
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                "its byteorder is not 'little': it was saved on a machine of the other kind");
    return FALSE;
}

static void free_file(gpointer data)
{
    script_file_free(data);
}

gboolean script_open(Script *script, GBytes *file, GpudlPages *pages, GError **error)
{
    *script = (Script){.zip = gpudl_zip_open(file, error), .steps = STEPS};
    if (script->zip != NULL)
        gpudl_zip_take_pages(script->zip, pages);
    if (script->zip == NULL || !find_root(script, error) || !check_byte_order(script, error) ||
        (script->data = read_pickle(script, "data.pkl", error)) == NULL)
        return FALSE;
    if (has(script, "constants.pkl") && (script->constants = read_pickle(script, "constants.pkl", error)) == NULL)
        return FALSE;
    if (has(script, "traced_inputs.pkl") && (script->inputs = read_pickle(script, "traced_inputs.pkl", error)) == NULL)
        return FALSE;
    script->files = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_file);
    script->values = g_hash_table_new(NULL, NULL);
    aten_begin(&script->context, g_bytes_get_size(file));
    return TRUE;
}

void script_close(Script *script)
{
    g_clear_pointer(&script->files, g_hash_table_unref);
    g_clear_pointer(&script->values, g_hash_table_unref);
    g_clear_pointer(&script->data, pickle_free);
    g_clear_pointer(&script->constants, pickle_free);
    g_clear_pointer(&script->inputs, pickle_free);
    g_clear_pointer(&script->zip, gpudl_zip_free);
    g_clear_pointer(&script->root, g_free);
    aten_end(&script->context);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static GpudlDType storage_type(const gchar *name)
{
    static const struct {
        const gchar *name;
        GpudlDType dtype;
    } types[] = {{"torch.FloatStorage", GPUDL_DTYPE_F32}, {"torch.DoubleStorage", GPUDL_DTYPE_F64},
                 {"torch.HalfStorage", GPUDL_DTYPE_F16},  {"torch.BFloat16Storage", GPUDL_DTYPE_BF16},
                 {"torch.LongStorage", GPUDL_DTYPE_I64},  {"torch.IntStorage", GPUDL_DTYPE_I32},
                 {"torch.ShortStorage", GPUDL_DTYPE_I16}, {"torch.CharStorage", GPUDL_DTYPE_I8},
                 {"torch.ByteStorage", GPUDL_DTYPE_U8},   {"torch.BoolStorage", GPUDL_DTYPE_BOOL}};

    for (guint i = 0; i < G_N_ELEMENTS(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].dtype;
    return GPUDL_DTYPE_NONE;
}

static gboolean read_dims(const PickleValue *list, gint64 *dims, gint32 *rank)
{
    if (list == NULL || list->kind != PICKLE_LIST || list->items->len > GPUDL_MAX_RANK)
        return FALSE;
    *rank = (gint32)list->items->len;
    for (gint i = 0; i < *rank; i++) {
        const PickleValue *item = pickle_item(list, (guint)i);

        if (item->kind != PICKLE_INT || item->integer < 0 || item->integer > GPUDL_LIMIT_TENSOR_BYTES)
            return FALSE;
        dims[i] = item->integer;
    }
    return TRUE;
}

/* _rebuild_tensor_v2(('storage', torch.FloatStorage, key, 'cpu', n), offset, sizes, strides, ...) */
static gboolean read_tensor(const PickleValue *value, TorchLayout *layout, const gchar **key)
{
    const PickleValue *id = pickle_item(pickle_item(value, 0), 0), *offset = pickle_item(value, 1);
    const PickleValue *type = pickle_item(id, 1), *name = pickle_item(id, 2);
    gint32 n_strides;

    if (!pickle_is_call(value, "torch._utils._rebuild_tensor_v2") || type == NULL || type->kind != PICKLE_GLOBAL ||
        name == NULL || name->kind != PICKLE_TEXT || offset == NULL || offset->kind != PICKLE_INT ||
        offset->integer < 0 || offset->integer > GPUDL_LIMIT_TENSOR_BYTES ||
        !read_dims(pickle_item(value, 2), layout->shape.dims, &layout->shape.rank) ||
        !read_dims(pickle_item(value, 3), layout->stride, &n_strides) || n_strides != layout->shape.rank)
        return FALSE;
    layout->offset = offset->integer;
    layout->dtype = storage_type(type->text);
    *key = name->text;
    return layout->dtype != GPUDL_DTYPE_NONE;
}

gboolean script_tensor_shape(const PickleValue *value, GpudlShape *shape, GpudlDType *dtype)
{
    TorchLayout layout = {0};
    const gchar *key;

    if (!read_tensor(value, &layout, &key))
        return FALSE;
    *shape = layout.shape;
    *dtype = layout.dtype;
    return TRUE;
}

static gboolean make_tensor(Script *script, const PickleValue *value, const gchar *folder, const gchar *name,
                            AtenValue *out, GError **error)
{
    TorchLayout layout = {0};
    g_autofree gchar *full = NULL;
    g_autoptr(GBytes) storage = NULL;
    GpudlTensor *tensor;
    const gchar *key;

    if (!read_tensor(value, &layout, &key))
        return tf_fail(&script->context.build, GPUDL_ERROR_UNSUPPORTED, error,
                       "'%s' is no dense tensor of at most %d dimensions and of a type that is taken", name,
                       GPUDL_MAX_RANK);
    full = g_strdup_printf("%s%s/%s", script->root, folder, key);
    storage = gpudl_zip_get(script->zip, full, GPUDL_LIMIT_TENSOR_BYTES, error);
    tensor = storage != NULL ? torch_constant(&script->context, name, &layout, storage, error) : NULL;
    if (tensor == NULL)
        return FALSE;
    *out = aten_of_tensor(&script->context, tensor);
    return TRUE;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* A call that makes a list of one. */
static gboolean is_made_list(const PickleValue *value)
{
    return value->kind == PICKLE_CALL && value->of->kind == PICKLE_GLOBAL &&
           g_str_has_prefix(value->of->text, "torch.jit._pickle.build_") && pickle_item(value, 0) != NULL &&
           pickle_item(value, 0)->kind == PICKLE_LIST;
}

static gboolean make_list(Script *script, const PickleValue *list, const gchar *folder, const gchar *name,
                          AtenValue *out, GError **error)
{
    const guint n = list->items->len;

    *out = (AtenValue){.kind = ATEN_LIST, .items = aten_alloc(&script->context, n, sizeof *out->items)};
    for (guint i = 0; i < n; i++) {
        const PickleValue *item = pickle_item(list, i);
        const AtenValue *made;

        /* they may have themselves within */
        if (item->kind == PICKLE_LIST || item->kind == PICKLE_DICT || is_made_list(item))
            return tf_fail(&script->context.build, GPUDL_ERROR_UNSUPPORTED, error, "'%s' is a list of lists", name);
        made = script_value(script, item, folder, name, error);
        if (made == NULL)
            return FALSE;
        out->items[i] = *made;
    }
    out->n_items = n;
    return TRUE;
}

static gboolean make_value(Script *script, const PickleValue *value, const gchar *folder, const gchar *name,
                           AtenValue *out, GError **error)
{
    ScriptObject *object;

    switch (value->kind) {
    case PICKLE_NONE:
        return TRUE;
    case PICKLE_FLAG:
        *out = aten_of_flag(value->integer != 0);
        return TRUE;
    case PICKLE_INT:
        *out = aten_of_int(value->integer);
        return TRUE;
    case PICKLE_NUMBER:
        *out = aten_of_number(value->number);
        return TRUE;
    case PICKLE_TEXT:
        *out = (AtenValue){.kind = ATEN_TEXT, .text = value->text};
        return TRUE;
    case PICKLE_LIST:
        return make_list(script, value, folder, name, out, error);
    case PICKLE_CALL:
        if (is_made_list(value))
            return make_list(script, pickle_item(value, 0), folder, name, out, error);
        if (value->of->kind != PICKLE_GLOBAL || !g_str_has_prefix(value->of->text, "__torch__."))
            return make_tensor(script, value, folder, name, out, error);
        object = aten_alloc(&script->context, 1, sizeof *object);
        object->value = value;
        object->path = name;
        *out = (AtenValue){.kind = ATEN_OBJECT, .object = object};
        return TRUE;
    default:
        return tf_fail(&script->context.build, GPUDL_ERROR_UNSUPPORTED, error, "'%s' is nothing that is taken", name);
    }
}

AtenValue *script_value(Script *script, const PickleValue *value, const gchar *folder, const gchar *name,
                        GError **error)
{
    AtenValue *made = g_hash_table_lookup(script->values, value);
    gchar *copy;

    if (made != NULL)
        return made;
    made = aten_alloc(&script->context, 1, sizeof *made);
    copy = g_strdup(name);
    g_ptr_array_add(script->context.owned, copy);
    if (!make_value(script, value, folder, copy, made, error))
        return NULL;
    g_hash_table_insert(script->values, (gpointer)value, made);
    return made;
}

/* ---- code -------------------------------------------------------------------------------------------------------- */

static ScriptFile *read_file(Script *script, const gchar *path, GError **error)
{
    ScriptFile *file = g_hash_table_lookup(script->files, path);
    g_autofree gchar *full = NULL;
    g_autoptr(GBytes) bytes = NULL;
    const gchar *text;
    gsize size;

    if (file != NULL)
        return file;
    if (g_hash_table_size(script->files) >= MOST_FILES) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT, "more than %u files of code", MOST_FILES);
        return NULL;
    }
    full = g_strconcat(script->root, path, NULL);
    bytes = gpudl_zip_get(script->zip, full, CODE_BYTES, error);
    if (bytes == NULL)
        return NULL;
    text = g_bytes_get_data(bytes, &size);
    file = script_file_new(path, text, size, error);
    if (file == NULL)
        return NULL;
    g_hash_table_insert(script->files, file->path, file);
    script->tokens += file->tokens->len;
    if (script->tokens <= MOST_TOKENS)
        return file;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT, "%s: more code than a network can have", path);
    return NULL;
}

const ScriptFile *script_find(Script *script, const gchar *type, const gchar *method, guint *at, GError **error)
{
    const gchar *dot = strrchr(type, '.');
    g_autofree gchar *folder = dot != NULL ? g_strndup(type, (gsize)(dot - type)) : g_strdup("");
    g_autofree gchar *path = NULL, *name = NULL;
    ScriptFile *file;

    g_strdelimit(folder, ".", '/');
    path = g_strdup_printf("code/%s.py", folder);
    name = g_strjoin(".", dot != NULL ? dot + 1 : type, method, NULL);
    file = read_file(script, path, error);
    if (file == NULL)
        return NULL;
    *at = GPOINTER_TO_UINT(g_hash_table_lookup(file->functions, name));
    if (*at > 0) {
        (*at)--;
        return file;
    }
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s has no '%s'", path, name);
    return NULL;
}

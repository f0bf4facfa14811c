/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/import.h"

#include <string.h>
#include <sys/stat.h>

#include "engine/limits.h"
#include "engine/model.h"
#include "engine/modelfile/modelfile.h"
#include "engine/passes/passes.h"

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* A file's content with what tells one version of it from another. */
typedef struct {
    GBytes *bytes;
    struct stat st;
} File;

static void file_clear(File *file)
{
    g_clear_pointer(&file->bytes, g_bytes_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(File, file_clear)

static gboolean file_read(const gchar *path, File *file, GError **error)
{
    file->bytes = gpudl_file_read(path, &file->st, error);
    return file->bytes != NULL;
}

/* Readers that name the file themselves need no second time. */
static void name_file(GError **error, const gchar *path)
{
    if (error != NULL && !g_str_has_prefix((*error)->message, path))
        g_prefix_error(error, "%s: ", path);
}

/* ---- what a file is ---------------------------------------------------------------------------------------------- */

static gboolean is_text(const guint8 *data, gsize size)
{
    const gsize n = MIN(size, 512);
    const gchar *end;

    /* a character may be cut where we stop looking */
    if (!g_utf8_validate_len((const gchar *)data, n, &end) && (n == size || end + 4 <= (const gchar *)data + n))
        return FALSE;
    for (gsize i = 0; i < n; i++)
        if (data[i] < 32 && data[i] != '\t' && data[i] != '\n' && data[i] != '\r')
            return FALSE;
    return TRUE;
}

const gchar *gpudl_import_recognise(const guint8 *data, gsize size)
{
    static const struct {
        gsize offset, length;
        const gchar *magic, *what;
    } kinds[] = {
        {0, 4, "PK\3\4", "a ZIP archive (PyTorch's .pt and .pth, Keras' .keras)"},
        {0, 2, "\x80\x02", "a Python pickle (an older PyTorch file)"},
        {0, 8, "\x89HDF\r\n\x1a\n", "an HDF5 file (Keras' .h5)"},
        {4, 4, "TFL3", "a TensorFlow Lite model"},
        {4, 4, "ORTM", "an ONNX Runtime .ort file"},
        {0, 4, "GGUF", "a GGUF file"},
        {0, 4, "ftrt", "a TensorRT engine"},
        {0, 2, "\x1f\x8b", "gzip-compressed data"},
        {0, 6, "\x93NUMPY", "a NumPy array"},
        {0, 8, "\x89PNG\r\n\x1a\n", "a PNG picture"},
        {0, 3, "\xff\xd8\xff", "a JPEG picture"},
        {4, 4, "ftyp", "an MP4 video"},
        {0, 4,
         "\x7f"
         "ELF",
         "a program"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (size >= kinds[i].offset + kinds[i].length &&
            memcmp(data + kinds[i].offset, kinds[i].magic, kinds[i].length) == 0)
            return kinds[i].what;
    if (size >= 9 && data[8] == '{' && memcmp(data + 2, "\0\0\0\0\0\0", 6) == 0)
        return "a safetensors file";
    if (is_text(data, size))
        return "a text file";
    if (data[0] == 0x0a)
        return "a protobuf message that is not ONNX (TensorFlow's .pb, Caffe's .caffemodel)";
    return "something unknown";
}

static gboolean fail_unknown(GBytes *bytes, GError **error)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);

    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                "no model that can be read: it looks like %s, expected a net.bin or an ONNX file",
                gpudl_import_recognise(data, size));
    return FALSE;
}

/* ---- identity ---------------------------------------------------------------------------------------------------- */

/* SHA-256 of a file's bytes, remembered for as long as the file does not change. */
static gchar *file_digest(const File *file)
{
    static GMutex mutex;
    static GHashTable *known;
    const gsize size = g_bytes_get_size(file->bytes);
    g_autofree gchar *key =
        g_strdup_printf("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT ":%" G_GSIZE_FORMAT ":%" G_GINT64_FORMAT ".%ld",
                        (guint64)file->st.st_dev, (guint64)file->st.st_ino, size, (gint64)file->st.st_mtim.tv_sec,
                        file->st.st_mtim.tv_nsec);
    gchar *digest;

    g_mutex_lock(&mutex);
    if (known == NULL)
        known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    digest = g_strdup(g_hash_table_lookup(known, key));
    g_mutex_unlock(&mutex);
    if (digest != NULL)
        return digest;
    digest = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, file->bytes);
    g_mutex_lock(&mutex);
    if (g_hash_table_size(known) >= 64)
        g_hash_table_remove_all(known);
    g_hash_table_insert(known, g_steal_pointer(&key), g_strdup(digest));
    g_mutex_unlock(&mutex);
    return digest;
}

/* What the graph was made of: the file's bytes, and, where they count, other files' bytes and the size asked for. */
static void set_id(GpudlModel *model, const gchar *digest, const GpudlOnnxInfo *info)
{
    g_autoptr(GChecksum) sum = NULL;
    g_autofree gchar *size = NULL;

    if (info->external_digest == NULL && !info->size_chosen) {
        g_strlcpy(model->id, digest, sizeof model->id);
        return;
    }
    sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, (const guchar *)digest, -1);
    if (info->external_digest != NULL)
        g_checksum_update(sum, (const guchar *)info->external_digest, -1);
    if (info->size_chosen) {
        size = g_strdup_printf("%dx%d", model->preproc.height, model->preproc.width);
        g_checksum_update(sum, (const guchar *)size, -1);
    }
    g_strlcpy(model->id, g_checksum_get_string(sum), sizeof model->id);
}

/* ---- ONNX -------------------------------------------------------------------------------------------------------- */

/* Makes a picture input that has its channels last one that has them first. */
static gboolean channels_first(GpudlGraph *graph, GError **error)
{
    GpudlTensor *old = graph->inputs->len == 1 ? graph->inputs->pdata[0] : NULL, *input;
    const gint64 *dims = old != NULL ? old->shape.dims : NULL;
    GpudlShape shape = {.rank = 4};
    const gchar *name;
    GpudlNode *node;

    if (old == NULL || old->shape.rank != 4 || dims[1] == 1 || dims[1] == 3 || (dims[3] != 1 && dims[3] != 3))
        return TRUE;
    shape.dims[0] = dims[0];
    shape.dims[1] = dims[3];
    shape.dims[2] = dims[1];
    shape.dims[3] = dims[2];
    input = gpudl_graph_add_input(graph, old->name, old->dtype, &shape);
    name = old->name;
    node = gpudl_graph_add_node(graph, GPUDL_OP_TRANSPOSE, "channels-last", &input, 1, &name, 1);
    node->attrs.transpose = (GpudlTransposeAttrs){.rank = 4, .perm = {0, 2, 3, 1}};
    gpudl_graph_replace_uses(graph, old, node->outputs[0]);
    g_ptr_array_remove(graph->inputs, old);
    return gpudl_graph_sort(graph, error) && gpudl_graph_infer(graph, 0, error);
}

/* Takes the bytes: their memory is needed while the graph is built, and not after. */
static GpudlGraph *import_onnx(GBytes *bytes, const gchar *path, const GpudlImportOptions *options, GpudlOnnxInfo *info,
                               GError **error)
{
    g_autofree gchar *directory = g_path_get_dirname(path);
    const GpudlOnnxOptions onnx_options = {.input_height = options != NULL ? options->input_height : 0,
                                           .input_width = options != NULL ? options->input_width : 0,
                                           .directory = directory};
    g_autoptr(GpudlGraph) graph = gpudl_onnx_import(bytes, &onnx_options, info, error);

    g_bytes_unref(bytes);
    if (graph == NULL || !channels_first(graph, error))
        return NULL;
    return g_steal_pointer(&graph);
}

static gboolean is_onnx(GBytes *bytes)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);

    return gpudl_onnx_sniff(data, size);
}

static gboolean is_modelfile(GBytes *bytes)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);

    return gpudl_modelfile_sniff(data, size);
}

gboolean gpudl_import_graph(const gchar *path, const GpudlImportOptions *options, GpudlGraph **unrewritten,
                            GpudlOnnxInfo *info, GError **error)
{
    g_auto(File) file = {0};

    *unrewritten = NULL;
    if (!file_read(path, &file, error))
        ;
    else if (is_modelfile(file.bytes))
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "it is a net.bin, whose graph is rewritten already; expected an ONNX file");
    else if (!is_onnx(file.bytes))
        fail_unknown(file.bytes, error);
    else
        *unrewritten = import_onnx(g_steal_pointer(&file.bytes), path, options, info, error);
    if (*unrewritten == NULL)
        name_file(error, path);
    return *unrewritten != NULL;
}

/* The file's base name without its last suffix. */
static gchar *model_name(const gchar *path)
{
    gchar *name = g_path_get_basename(path), *dot = strrchr(name, '.');

    if (dot != NULL && dot != name)
        *dot = '\0';
    return name;
}

static GpudlModel *load_onnx(File *file, const gchar *path, const GpudlImportOptions *options, GError **error)
{
    g_auto(GpudlOnnxInfo) info = {0};
    g_autofree gchar *digest = file_digest(file), *name = model_name(path);
    g_autoptr(GpudlGraph) graph = import_onnx(g_steal_pointer(&file->bytes), path, options, &info, error);
    g_autoptr(GpudlModel) model = NULL;

    if (graph == NULL || !gpudl_graph_prove_batch(graph, NULL, error))
        return NULL;
    if (graph->batch != 1) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "exported with batch %" G_GINT64_FORMAT ", and cannot run one frame at a time: %s", graph->batch,
                    graph->batch_reason);
        return NULL;
    }
    if (!gpudl_passes_run(graph, error))
        return NULL;
    model = gpudl_model_new(g_steal_pointer(&graph), name, NULL, error);
    if (model == NULL)
        return NULL;
    set_id(model, digest, &info);
    model->source_file = g_path_get_basename(path);
    model->source_format = g_strdup_printf("ONNX, opset %" G_GINT64_FORMAT, info.opset);
    model->producer = g_steal_pointer(&info.producer);
    return g_steal_pointer(&model);
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static gboolean apply_preproc(GpudlModel *model, const GpudlPreproc *wanted, guint set, GError **error)
{
    GpudlPreproc *preproc = &model->preproc;
    const gchar *wrong;

    if (set & GPUDL_SET_MEAN)
        memcpy(preproc->mean, wanted->mean, sizeof preproc->mean);
    if (set & GPUDL_SET_STD)
        memcpy(preproc->std, wanted->std, sizeof preproc->std);
    if (set & GPUDL_SET_PIXEL_SCALE)
        preproc->pixel_scale = wanted->pixel_scale;
    if (set & GPUDL_SET_CHANNEL_ORDER)
        preproc->channel_order = wanted->channel_order;
    if (set & GPUDL_SET_RESIZE_MODE)
        preproc->resize_mode = wanted->resize_mode;
    if (set & GPUDL_SET_CROP_FRACTION)
        preproc->crop_fraction = wanted->crop_fraction;
    if (set & GPUDL_SET_SCALE_METHOD)
        preproc->scale_method = wanted->scale_method;
    if (set & GPUDL_SET_PAD_COLOR)
        preproc->pad_color = wanted->pad_color;
    model->preproc_known =
        model->preproc_known || (set & (GPUDL_SET_MEAN | GPUDL_SET_STD | GPUDL_SET_PIXEL_SCALE)) != 0;
    wrong = gpudl_preproc_check(preproc);
    if (wrong != NULL)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT, "pre-processing: %s", wrong);
    return wrong == NULL;
}

/* A net.bin's input size is fixed; asking for another one is a mistake to hear about. */
static gboolean check_size(const GpudlModel *model, const GpudlImportOptions *options, GError **error)
{
    if ((options->input_height == 0 || options->input_height == model->preproc.height) &&
        (options->input_width == 0 || options->input_width == model->preproc.width))
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                "its input is %dx%d (height x width), it can't be %dx%d", model->preproc.height, model->preproc.width,
                options->input_height != 0 ? options->input_height : model->preproc.height,
                options->input_width != 0 ? options->input_width : model->preproc.width);
    return FALSE;
}

static gboolean apply_options(GpudlModel *model, const GpudlImportOptions *options, GError **error)
{
    if (options == NULL)
        return TRUE;
    if (!check_size(model, options, error))
        return FALSE;
    if (options->preproc != NULL && options->preproc_set != 0 &&
        !apply_preproc(model, options->preproc, options->preproc_set, error))
        return FALSE;
    if (options->labels != NULL && !gpudl_model_set_labels(model, options->labels, error))
        return FALSE;
    if (options->activation != GPUDL_ACTIVATION_AUTO)
        model->activation = options->activation;
    return TRUE;
}

GpudlModel *gpudl_model_load(const gchar *path, const GpudlImportOptions *options, GError **error)
{
    g_auto(File) file = {0};
    g_autoptr(GpudlModel) model = NULL;
    GError *local = NULL;

    g_return_val_if_fail(path != NULL, NULL);
    if (!file_read(path, &file, &local))
        ;
    else if (is_modelfile(file.bytes))
        model = gpudl_modelfile_read(file.bytes, path, &local);
    else if (!is_onnx(file.bytes))
        fail_unknown(file.bytes, &local);
    else
        model = load_onnx(&file, path, options, &local);
    if (model != NULL && apply_options(model, options, &local))
        return g_steal_pointer(&model);
    name_file(&local, path);
    g_propagate_error(error, local);
    return NULL;
}

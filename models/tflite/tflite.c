/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a verified file to a graph: inputs, constants, and the operators one after the other through the table. */
#include "models/tflite/tflite.h"

#include <math.h>
#include <string.h>

#include "engine/limits.h"
#include "engine/shown.h"
#include "models/gpudl-import.h"
#include "models/known.h"
#include "models/tflite/tflite-labels.h"
#include "tflite-internal.h"

typedef struct {
    TfBuild build;
    const TfliteFile *file;
    GBytes *bytes; /* the file's; those of constants are slices of them */
    const GpudlSourceOptions *options;
    GpudlTensor **values;           /* of the file's tensors; NULL: not made yet */
    gboolean *cut;                  /* tensors that are no longer there: the scores stand in their place */
    gboolean size_chosen, own_size; /* own_size: the metadata says what is taken where it is free */
} TfliteImport;

gboolean gpudl_tflite_sniff(const guint8 *data, gsize size)
{
    return size >= 8 && memcmp(data + 4, "TFL3", 4) == 0;
}

static gboolean is_quantised(const TfliteTensor *tensor)
{
    return tensor->n_scales > 0 && tensor->scales[0] > 0 &&
           (tensor->dtype == GPUDL_DTYPE_I8 || tensor->dtype == GPUDL_DTYPE_U8 || tensor->dtype == GPUDL_DTYPE_I16 ||
            tensor->dtype == GPUDL_DTYPE_U16 || tensor->dtype == GPUDL_DTYPE_I32 || tensor->dtype == GPUDL_DTYPE_I64);
}

/* ---- constants --------------------------------------------------------------------------------------------------- */

static gint64 stored(const TfliteTensor *tensor, gsize i)
{
    const guint8 *at = tensor->data + i * gpudl_dtype_size(tensor->dtype);
    gint64 i64;
    gint32 i32;
    gint16 i16;
    guint16 u16;

    switch (tensor->dtype) {
    case GPUDL_DTYPE_I8:
        return (gint8)*at;
    case GPUDL_DTYPE_U8:
        return *at;
    case GPUDL_DTYPE_I16:
        memcpy(&i16, at, sizeof i16);
        return i16;
    case GPUDL_DTYPE_U16:
        memcpy(&u16, at, sizeof u16);
        return u16;
    case GPUDL_DTYPE_I32:
        memcpy(&i32, at, sizeof i32);
        return i32;
    default:
        memcpy(&i64, at, sizeof i64);
        return i64;
    }
}

/* What the stored integers stand for, with one scale for all or one for each place along a dimension. */
static GBytes *dequantise(const TfliteTensor *tensor, const GpudlShape *shape, gsize n)
{
    float *real = g_new(float, MAX(n, 1));
    gsize inner = 1;

    for (gint i = tensor->dimension + 1; i < shape->rank; i++)
        inner *= (gsize)shape->dims[i];
    for (gsize i = 0; i < n; i++) {
        const gsize channel = tensor->n_scales > 1 ? i / inner % tensor->n_scales : 0;
        const gint64 zero = tflite_zero(tensor, channel);

        real[i] = (float)((double)tensor->scales[channel] * ((double)stored(tensor, i) - (double)zero));
    }
    return g_bytes_new_take(real, n * sizeof *real);
}

/* Its bytes, or a copy where they don't lie as their type has to. */
static GBytes *bytes_of(const TfliteImport *import, const TfliteTensor *tensor)
{
    const guint8 *base = g_bytes_get_data(import->bytes, NULL);

    if ((guintptr)tensor->data % MAX(gpudl_dtype_size(tensor->dtype), 1) != 0)
        return g_bytes_new(tensor->data, tensor->size);
    return g_bytes_new_from_bytes(import->bytes, (gsize)(tensor->data - base), tensor->size);
}

/* Constants that are left as the file has them get bytes of their own: what most are made into lies apart, and a slice
 * would keep all of the file. */
static void own_constants(TfliteImport *import)
{
    const guint8 *base, *end;
    gsize size;

    base = g_bytes_get_data(import->bytes, &size);
    end = base + size;
    for (guint i = 0; i < import->build.graph->tensors->len; i++) {
        GpudlTensor *tensor = import->build.graph->tensors->pdata[i];
        const guint8 *data = tensor->data != NULL ? g_bytes_get_data(tensor->data, &size) : NULL;

        if (data == NULL || data < base || data >= end)
            continue;
        g_bytes_unref(tensor->data);
        tensor->data = g_bytes_new(data, size);
    }
}

static GpudlTensor *read_constant(TfliteImport *import, const TfliteTensor *tensor, GError **error)
{
    GpudlShape shape = tensor->shape;
    const gint64 n = gpudl_shape_elements(&shape);
    const gsize size = gpudl_dtype_size(tensor->dtype);
    g_autoptr(GBytes) data = NULL;
    gboolean good = TRUE;

    if (size == 0 || tensor->refused) {
        tf_fail(&import->build, GPUDL_ERROR_UNSUPPORTED, error, "constant '%s' is %s%s, which is not taken",
                tensor->name, tensor->type_name, tensor->refused ? " stored sparsely or in a way of its own" : "");
        return NULL;
    }
    for (gint i = 0; i < shape.rank; i++)
        good = good && shape.dims[i] >= 0;
    if (!good || n < 0 || (guint64)n > tensor->size / size || (guint64)n * size != tensor->size) {
        g_autofree gchar *text = gpudl_shape_to_string(&shape);

        tf_fail(&import->build, GPUDL_ERROR_FORMAT, error,
                "constant '%s' has %" G_GSIZE_FORMAT " bytes, expected those of %s %s", tensor->name, tensor->size,
                text, gpudl_dtype_name(tensor->dtype));
        return NULL;
    }
    if (!is_quantised(tensor)) {
        data = bytes_of(import, tensor);
        return gpudl_graph_add_constant(import->build.graph, tensor->name, tensor->dtype, &shape, data, error);
    }
    if (tensor->n_scales > 1 && (tensor->dimension < 0 || tensor->dimension >= shape.rank ||
                                 (guint64)shape.dims[tensor->dimension] != tensor->n_scales)) {
        tf_fail(&import->build, GPUDL_ERROR_FORMAT, error,
                "constant '%s' has %" G_GSIZE_FORMAT " scales along dimension %d", tensor->name, tensor->n_scales,
                tensor->dimension);
        return NULL;
    }
    data = dequantise(tensor, &shape, (gsize)n);
    return gpudl_graph_add_constant(import->build.graph, tensor->name, GPUDL_DTYPE_F32, &shape, data, error);
}

/* The graph's tensor for one of the file's; constants are read when they are asked for first. */
static GpudlTensor *value_of(TfliteImport *import, gint32 index, GError **error)
{
    const TfliteTensor *tensor = &import->file->tensors[index];

    if (import->cut[index]) {
        tf_fail(&import->build, GPUDL_ERROR_UNSUPPORTED, error,
                "it goes on with '%s', a choice of the best scores; expected a network that ends in scores",
                tensor->name);
        return NULL;
    }
    if (import->values[index] == NULL && tensor->data == NULL)
        tf_fail(&import->build, GPUDL_ERROR_FORMAT, error, "its input '%s' is made by no operator before it",
                tensor->name);
    else if (import->values[index] == NULL)
        import->values[index] = read_constant(import, tensor, error);
    return import->values[index];
}

/* ---- operators --------------------------------------------------------------------------------------------------- */

static gboolean map_operator(TfliteImport *import, TfNode *node, GError **error)
{
    const TfliteOperator *op = tflite_node(node)->op;
    const guint n = (guint)op->n_inputs;

    if (n < node->row->min_inputs || n > node->row->max_inputs)
        return tf_fail(&import->build, GPUDL_ERROR_FORMAT, error, "%u inputs, expected %u to %u", n,
                       node->row->min_inputs, node->row->max_inputs);
    if (node->row->needs_options && !op->has_options)
        return tf_fail(&import->build, GPUDL_ERROR_FORMAT, error, "it has no options");
    for (guint i = 0; i < n; i++) {
        if (op->inputs[i] < 0 && (i < node->row->min_inputs || node->row->max_inputs == G_MAXUINT))
            return tf_fail(&import->build, GPUDL_ERROR_FORMAT, error, "input %u is absent", i);
        if (i == 0 && op->inputs[i] >= 0 && import->cut[op->inputs[i]] && node->row->passes_choice) {
            node->cut = TRUE;
            node->inputs[i] = import->values[op->inputs[i]];
            continue;
        }
        if (op->inputs[i] >= 0 && (node->inputs[i] = value_of(import, op->inputs[i], error)) == NULL)
            return FALSE;
    }
    if (!tf_map(node, error))
        return FALSE;
    for (gsize i = 0; i < op->n_outputs; i++) {
        const gint32 index = op->outputs[i];

        if (node->outputs[i] == NULL)
            return tf_fail(&import->build, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " outputs", op->n_outputs);
        if (import->values[index] != NULL)
            return tf_fail(&import->build, GPUDL_ERROR_FORMAT, error, "its output '%s' is there already",
                           import->file->tensors[index].name);
        import->values[index] = node->outputs[i];
        import->cut[index] = node->cut;
        if (!node->cut)
            tf_name(node->outputs[i], import->file->tensors[index].name);
    }
    return TRUE;
}

static gboolean import_operator(TfliteImport *import, gsize i, GError **error)
{
    const TfliteOperator *op = &import->file->operators[i];
    g_autofree gchar *name = g_utf8_make_valid(op->name != NULL && op->name[0] != '\0' ? op->name : "?", -1);
    g_autofree GpudlTensor **inputs = g_new0(GpudlTensor *, op->n_inputs + 1);
    TfliteNode own = {.node = {.build = &import->build,
                               .row = tflite_op_find(name),
                               .inputs = inputs,
                               .n_inputs = (guint)op->n_inputs},
                      .file = import->file,
                      .op = op};

    tf_build_at(&import->build, import->file->tensors[op->outputs[0]].name, name);
    if (import->options != NULL && g_cancellable_is_cancelled(import->options->cancellable)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "importing was cancelled");
        return FALSE;
    }
    if (strcmp(name, "VAR_HANDLE") == 0 || strcmp(name, "READ_VARIABLE") == 0 || strcmp(name, "CALL_ONCE") == 0)
        return tf_fail(&import->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "a variable, whose value the graph does not have. Convert a whole model, which freezes them: "
                       "TFLiteConverter.from_keras_model or from_saved_model");
    if (own.node.row == NULL)
        return tf_fail(&import->build, GPUDL_ERROR_UNSUPPORTED, error, "this operator (code %d) is not taken",
                       op->code);
    return map_operator(import, &own.node, error);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* The metadata says a size, and one that can be. */
static gboolean has_size(const TfliteFile *file)
{
    return file->default_height >= 1 && file->default_height <= GPUDL_LIMIT_INPUT_SIDE && file->default_width >= 1 &&
           file->default_width <= GPUDL_LIMIT_INPUT_SIDE;
}

/* The options, or these of them with the file's own word on the size that is free, where that counts. */
static const GpudlSourceOptions *with_own_size(TfliteImport *import, GpudlSourceOptions *sized)
{
    const TfliteFile *file = import->file;

    if (import->options == NULL || (import->options->default_first && import->options->default_height > 0) ||
        !has_size(file))
        return import->options;
    import->own_size = TRUE;
    *sized = *import->options;
    sized->default_height = (gint)file->default_height;
    sized->default_width = (gint)file->default_width;
    sized->default_from = GPUDL_KNOWN_METADATA;
    return sized;
}

static gboolean import_input(TfliteImport *import, gint32 index, GError **error)
{
    const TfliteTensor *tensor = &import->file->tensors[index];
    GpudlSourceOptions sized = {0};
    const GpudlSourceOptions *options = with_own_size(import, &sized);
    const gboolean picture = options != NULL && options->picture;
    const gboolean bytes = tensor->dtype == GPUDL_DTYPE_U8 && picture;
    GpudlShape shape = tensor->shape;

    tf_build_at(&import->build, tensor->name, "input");
    if (tensor->dtype == GPUDL_DTYPE_NONE)
        return tf_fail(&import->build, GPUDL_ERROR_UNSUPPORTED, error, "it is %s, which is not taken",
                       tensor->type_name);
    if (import->values[index] != NULL)
        return tf_fail(&import->build, GPUDL_ERROR_FORMAT, error, "it is an input twice");
    import->values[index] =
        tf_input(&import->build, tensor->name, is_quantised(tensor) || bytes ? GPUDL_DTYPE_F32 : tensor->dtype, &shape,
                 options, &import->size_chosen, error);
    return import->values[index] != NULL;
}

static gboolean import_graph(TfliteImport *import, GError **error)
{
    const TfliteFile *file = import->file;

    if (import->options != NULL && import->options->picture && file->n_inputs != 1) {
        g_autoptr(GString) named = g_string_new(NULL);

        for (gsize i = 0; i < file->n_inputs; i++)
            gpudl_source_name_input(named, (guint)i, (guint)file->n_inputs, file->tensors[file->inputs[i]].name,
                                    &file->tensors[file->inputs[i]].shape);
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "has %" G_GSIZE_FORMAT " inputs%s%s: expected one, a picture N x H x W x C%s", file->n_inputs,
                    file->n_inputs > 0 ? ", " : "", named->str,
                    file->n_inputs > 0 ? ". Convert it again with the others as constants" : "");
        return FALSE;
    }
    if (file->n_outputs < 1) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "the graph has no outputs");
        return FALSE;
    }
    for (gsize i = 0; i < file->n_inputs; i++)
        if (!import_input(import, file->inputs[i], error))
            return FALSE;
    for (gsize i = 0; i < file->n_operators; i++)
        if (!import_operator(import, i, error))
            return FALSE;
    for (gsize i = 0; i < file->n_outputs; i++) {
        GpudlTensor *tensor = import->values[file->outputs[i]];

        if (tensor == NULL) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "output '%s' is made by no operator",
                        file->tensors[file->outputs[i]].name);
            return FALSE;
        }
        /* what was chosen among scores and its places are both these */
        if (!g_ptr_array_find(import->build.graph->outputs, tensor, NULL))
            gpudl_graph_add_output(import->build.graph, tensor);
    }
    gpudl_graph_remove_dead(import->build.graph);
    gpudl_graph_drop_unread(import->build.graph);
    own_constants(import);
    return gpudl_graph_sort(import->build.graph, error) && gpudl_graph_infer(import->build.graph, 0, error);
}

/* ---- what the file says of itself -------------------------------------------------------------------------------- */

/* "[127.5, 127.5]", of the first ones */
static gchar *list_of(const float *values, gsize n)
{
    GString *text = g_string_new("[");
    char shown[G_ASCII_DTOSTR_BUF_SIZE]; /* no decimal comma among these commas */

    for (gsize i = 0; i < MIN(n, 4); i++)
        g_string_append_printf(text, "%s%s", i > 0 ? ", " : "",
                               g_ascii_formatd(shown, sizeof shown, "%g", (double)values[i]));
    g_string_append(text, n > 4 ? ", ...]" : "]");
    return g_string_free(text, FALSE);
}

static gboolean are_numbers(const float *values, gsize n, gboolean positive)
{
    gboolean good = n == 1 || n == 3;

    for (gsize i = 0; i < n && good; i++)
        good = fabsf(values[i]) < 1e6f && (!positive || values[i] > 1e-6f);
    return good;
}

/* What NormalizationOptions say can be used; FALSE with notes where it can't be, or without where they say nothing. */
static gboolean is_sound(const TfliteFile *file, GpudlHint *hint)
{
    const gboolean good_mean = are_numbers(file->mean, file->n_mean, FALSE);
    const gboolean good_std = are_numbers(file->std, file->n_std, TRUE);
    g_autofree gchar *mean = list_of(file->mean, file->n_mean), *std = list_of(file->std, file->n_std);

    if (file->n_mean == 0 && file->n_std == 0)
        return FALSE;
    if (!good_mean)
        gpudl_hint_refuse(hint, "NormalizationOptions' mean", mean, "one or three numbers");
    if (!good_std)
        gpudl_hint_refuse(hint, "NormalizationOptions' std", std, "one or three numbers above 0");
    return good_mean && good_std;
}

/* How pixels become the values of the input: by its metadata, else by what its integers stand for. */
static void fill_preproc(const TfliteFile *file, GpudlHint *hint, GpudlSourceInfo *info)
{
    const TfliteTensor *input = &file->tensors[file->inputs[0]];
    const gboolean bytes = input->dtype == GPUDL_DTYPE_I8 || input->dtype == GPUDL_DTYPE_U8;
    const gboolean sound = is_sound(file, hint);

    info->preproc.pixel_scale = 1;
    for (guint i = 0; i < 3; i++) {
        info->preproc.mean[i] = 0;
        info->preproc.std[i] = 1;
        if (sound) {
            info->preproc.mean[i] = file->mean[MIN(i, file->n_mean - 1)];
            info->preproc.std[i] = file->std[MIN(i, file->n_std - 1)];
        } else if (is_quantised(input) && bytes) {
            info->preproc.mean[i] = (float)((double)tflite_zero(input, 0) + (input->dtype == GPUDL_DTYPE_I8 ? 128 : 0));
            info->preproc.std[i] = 1 / input->scales[0];
        }
    }
    if (sound || bytes)
        info->preproc_set = GPUDL_SET_MEAN | GPUDL_SET_STD | GPUDL_SET_PIXEL_SCALE;
    info->preproc_from = sound ? "NormalizationOptions" : "the input's quantization";
}

static void read_labels(const TfliteFile *file, GBytes *bytes, GpudlHint *hint, GpudlSourceInfo *info)
{
    g_autofree gchar *shown = gpudl_shown(file->labels_file, GPUDL_SHOWN_BYTES), *quoted = NULL, *expected = NULL;
    g_autoptr(GError) fault = NULL;

    info->labels = tflite_labels_read(bytes, file->labels_file, &fault);
    if (info->labels != NULL)
        return;
    quoted = g_strdup_printf("'%s'", shown);
    expected = g_strdup_printf("a file of one label a line in the archive behind the model (%s)", fault->message);
    gpudl_hint_refuse(hint, "the labels' file", quoted, expected);
}

/* A size that is said, and can't be. */
static void check_size(const TfliteFile *file, GpudlHint *hint)
{
    g_autofree gchar *found = g_strdup_printf("%ux%u", file->default_height, file->default_width);

    if ((file->default_height != 0 || file->default_width != 0) && !has_size(file))
        gpudl_hint_refuse(hint, "default_size", found, "sides of 1 to " G_STRINGIFY(GPUDL_LIMIT_INPUT_SIDE));
}

static void fill_info(const TfliteImport *import, GBytes *bytes, GpudlSourceInfo *info)
{
    const TfliteFile *file = import->file;
    g_auto(GpudlHint) hint = {.place = GPUDL_KNOWN_METADATA};

    info->format = g_strdup("TensorFlow Lite 3");
    info->producer = g_strdup(file->description);
    info->graph_name = g_strdup(file->name);
    info->size_chosen = import->size_chosen;
    if (import->own_size)
        info->default_from = GPUDL_KNOWN_METADATA;
    info->metadata = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    info->files = g_array_new(FALSE, FALSE, sizeof(GpudlSourceFile));
    info->reads = g_array_new(FALSE, FALSE, sizeof(GpudlSourceRead));
    if (file->licence != NULL)
        g_hash_table_insert(info->metadata, g_strdup("license"), g_strdup(file->licence));
    if (file->author != NULL)
        g_hash_table_insert(info->metadata, g_strdup("author"), g_strdup(file->author));
    if (file->metadata_damaged)
        gpudl_hint_refuse(&hint, "TFLITE_METADATA", "damaged", "what the metadata's schema has");
    if (file->n_inputs == 1)
        fill_preproc(file, &hint, info);
    if (file->labels_file != NULL)
        read_labels(file, bytes, &hint, info);
    check_size(file, &hint);
    info->notes = g_steal_pointer(&hint.notes);
}

/* FlatBuffers' fields are read in place, aligned as they are in the file. */
static GBytes *aligned(GBytes *bytes)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);

    return ((guintptr)data & 15) == 0 ? g_bytes_ref(bytes) : g_bytes_new(data, size);
}

GpudlGraph *gpudl_tflite_import(GBytes *bytes, const GpudlSourceOptions *options, GpudlSourceInfo *info, GError **error)
{
    g_autoptr(GBytes) own = aligned(bytes);
    TfliteImport import = {.options = options};
    TfliteFile file;
    gboolean ok;
    gsize size;
    const guint8 *data = g_bytes_get_data(own, &size);

    ok = tflite_file_read(&file, data, size, error);
    tf_build_begin(&import.build, size);
    import.file = &file;
    import.bytes = own;
    import.values = g_new0(GpudlTensor *, file.n_tensors + 1);
    import.cut = g_new0(gboolean, file.n_tensors + 1);
    ok = ok && import_graph(&import, error);
    if (ok && info != NULL)
        fill_info(&import, own, info);
    if (!ok)
        g_clear_pointer(&import.build.graph, gpudl_graph_free);
    g_free(import.values);
    g_free(import.cut);
    tflite_file_clear(&file);
    return import.build.graph;
}

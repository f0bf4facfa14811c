/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a file, with options, to a model. */
#include <string.h>

#include "engine/limits.h"
#include "engine/model.h"
#include "engine/modelfile/modelfile.h"
#include "engine/shown.h"
#include "engine/structs.h"
#include "models/import.h"
#include "models/known.h"
#include "models/origin.h"
#include "models/registry.h"
#include "models/work.h"

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
    model->assumed &= ~set;
    if (set & GPUDL_KNOWN_VALUES) { /* whoever says one of these has looked them up */
        model->preproc_known = TRUE;
        model->assumed &= ~GPUDL_KNOWN_VALUES;
    }
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
    if (!check_size(model, options, error))
        return FALSE;
    if (options->preproc != NULL && options->preproc_set != 0 &&
        !apply_preproc(model, options->preproc, options->preproc_set, error))
        return FALSE;
    if (options->labels != NULL && !gpudl_model_set_labels(model, options->labels, error)) {
        if (options->labels_name != NULL)
            g_prefix_error(error, "%s: ", options->labels_name);
        return FALSE;
    }
    if (options->activation != GPUDL_ACTIVATION_AUTO)
        model->activation = options->activation;
    return TRUE;
}

gboolean gpudl_import_options_take(GpudlImportOptions *known, GpudlPreproc *preproc, const GpudlImportOptions *options,
                                   GError **error)
{
    *known = (GpudlImportOptions){.struct_size = sizeof *known};
    if (options == NULL)
        return TRUE;
    if (!gpudl_struct_take(known, sizeof *known, options, GPUDL_SIZE_TO(GpudlImportOptions, activation),
                           "GpudlImportOptions", error))
        return FALSE;
    if (known->preproc == NULL)
        return TRUE;
    if (!gpudl_struct_take(preproc, sizeof *preproc, known->preproc, GPUDL_PREPROC_FIRST_SIZE, "GpudlPreproc", error))
        return FALSE;
    known->preproc = preproc;
    return TRUE;
}

GpudlImportOptions *gpudl_import_options_copy(const GpudlImportOptions *options)
{
    GpudlImportOptions *copy = g_new0(GpudlImportOptions, 1);

    if (options == NULL)
        return copy;
    *copy = *options;
    copy->preproc = options->preproc != NULL ? g_memdup2(options->preproc, sizeof *options->preproc) : NULL;
    copy->labels = (const gchar *const *)g_strdupv((gchar **)options->labels);
    copy->labels_name = g_strdup(options->labels_name);
    copy->with_file = g_strdup(options->with_file);
    return copy;
}

void gpudl_import_options_free(GpudlImportOptions *options)
{
    if (options == NULL)
        return;
    g_free((gpointer)options->preproc);
    g_strfreev((gchar **)options->labels);
    g_free((gpointer)options->labels_name);
    g_free((gpointer)options->with_file);
    g_free(options);
}

/* Only what is set counts: the rest of a GpudlPreproc may hold anything. */
static void add_preproc(GString *text, const GpudlPreproc *preproc, guint set)
{
    g_string_append_printf(text, " preproc %x", set);
    for (guint i = 0; i < 3 && (set & GPUDL_SET_MEAN); i++)
        g_string_append_printf(text, " mean %a", (double)preproc->mean[i]);
    for (guint i = 0; i < 3 && (set & GPUDL_SET_STD); i++)
        g_string_append_printf(text, " std %a", (double)preproc->std[i]);
    if (set & GPUDL_SET_PIXEL_SCALE)
        g_string_append_printf(text, " scale %a", (double)preproc->pixel_scale);
    if (set & GPUDL_SET_CHANNEL_ORDER)
        g_string_append_printf(text, " order %d", preproc->channel_order);
    if (set & GPUDL_SET_RESIZE_MODE)
        g_string_append_printf(text, " resize %d", preproc->resize_mode);
    if (set & GPUDL_SET_CROP_FRACTION)
        g_string_append_printf(text, " crop %a", (double)preproc->crop_fraction);
    if (set & GPUDL_SET_SCALE_METHOD)
        g_string_append_printf(text, " method %d", preproc->scale_method);
    if (set & GPUDL_SET_PAD_COLOR)
        g_string_append_printf(text, " pad %x", preproc->pad_color);
}

/* Text that is equal for equal options, with the same beside the file, alone. */
static gchar *options_text(const GpudlImportOptions *options, const gchar *beside)
{
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "size %dx%d activation %d", options->input_height, options->input_width,
                           options->activation);
    if (options->preproc != NULL && options->preproc_set != 0)
        add_preproc(text, options->preproc, options->preproc_set);
    if (options->labels != NULL) {
        g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);

        for (guint i = 0; options->labels[i] != NULL; i++)
            g_checksum_update(sum, (const guchar *)options->labels[i], (gssize)strlen(options->labels[i]) + 1);
        g_string_append_printf(text, " labels %s", g_checksum_get_string(sum));
    }
    if (beside[0] != '\0')
        g_string_append_printf(text, " beside %s", beside);
    if (options->with_file != NULL) {
        g_autofree gchar *absolute = g_canonicalize_filename(options->with_file, NULL);

        g_string_append_printf(text, " with %s", absolute);
    }
    return g_string_free(text, FALSE);
}

/* ---- one load ---------------------------------------------------------------------------------------------------- */

typedef struct {
    gchar *path, *text; /* text: of the options; NULL: for the caller alone */
    gchar beside[33];   /* what lies beside the file, as the text has it */
    GpudlImportOptions *options;
} Load;

static Load *load_new(const gchar *path, const GpudlImportOptions *options, const gchar *text, const gchar *beside)
{
    Load *load = g_new0(Load, 1);

    load->path = g_strdup(path);
    load->text = g_strdup(text);
    load->options = gpudl_import_options_copy(options);
    g_strlcpy(load->beside, beside, sizeof load->beside);
    return load;
}

static void load_free(gpointer data)
{
    Load *load = data;

    g_free(load->path);
    g_free(load->text);
    gpudl_import_options_free(load->options);
    g_free(load);
}

static GpudlModel *read_net_bin(const Load *load, const GpudlImportFile *file, GCancellable *cancellable,
                                GError **error)
{
    gchar content[GPUDL_CONTENT_BYTES];
    g_autoptr(GpudlModel) model = NULL;

    if (!gpudl_modelfile_check(file->bytes, load->path, content, error))
        return NULL;
    if (load->text != NULL && (model = gpudl_registry_find_content(load->path, load->text, content)) != NULL) {
        gpudl_origin_also_at(model, load->path);
        return g_steal_pointer(&model);
    }
    model = gpudl_modelfile_read_checked(file->bytes, load->path, content, cancellable, error);
    if (model == NULL || !gpudl_origin_of_modelfile(model, load->path, file->pages, error) ||
        !apply_options(model, load->options, error))
        return NULL;
    return g_steal_pointer(&model);
}

static void take_size(GpudlSourceInfo *info, const GpudlHint *hint, const gchar *from)
{
    if (info->default_height > 0 || hint->height <= 0 || hint->width <= 0)
        return;
    info->default_height = hint->height;
    info->default_width = hint->width;
    info->default_from = from;
}

/* What lies beside the file, which has to be what the request was made for. */
static gboolean read_beside(const Load *load, GpudlBeside *beside, GpudlSourceInfo *info, GError **error)
{
    if (!gpudl_beside_read(load->path, beside, error))
        return FALSE;
    if (load->text != NULL && strcmp(load->beside, beside->sum) != 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "files beside it changed while it was read: try again");
        return FALSE;
    }
    g_strlcpy(info->beside, beside->sum, sizeof info->beside);
    take_size(info, &beside->modelinfo, beside->modelinfo_name);
    info->default_first = info->default_height > 0;
    for (guint i = 0; i < beside->n_files; i++)
        take_size(info, &beside->files[i].hint, beside->files[i].name);
    return TRUE;
}

/* In the order of the places, as models/known.h has it. */
static gboolean apply_known(GpudlModel *model, GpudlBeside *beside, const GpudlSourceInfo *info,
                            const GpudlImportOptions *options, GError **error)
{
    g_auto(GpudlKnown) known = {0};
    g_auto(GpudlHint) said = {.preproc = info->preproc, .set = info->preproc_set};
    g_auto(GpudlHint) metadata = {0}, graph = {0}, labels = {0};

    if (info->size_chosen && (options->input_height == 0 || options->input_width == 0))
        known.size_from = info->default_from;
    if (beside->modelinfo_name != NULL)
        gpudl_known_add(&known, &beside->modelinfo, beside->modelinfo_name);
    gpudl_known_add(&known, &said, info->preproc_from);
    if (!gpudl_known_of_metadata(info->metadata, &metadata, error))
        return FALSE;
    gpudl_known_add(&known, &metadata, GPUDL_KNOWN_METADATA);
    labels.labels = g_strdupv(info->labels);
    gpudl_known_add(&known, &labels, info->format == NULL ? "the file's ZipMap" : "the file's labels");
    for (guint i = 0; i < beside->n_files; i++)
        gpudl_known_add(&known, &beside->files[i].hint, beside->files[i].name);
    if (info->pixel_scale != 0) {
        graph.preproc.pixel_scale = (float)info->pixel_scale;
        graph.set = GPUDL_SET_PIXEL_SCALE;
        gpudl_known_add(&known, &graph, "the graph's first nodes");
    }
    for (guint i = 0; info->notes != NULL && i < info->notes->len; i++)
        gpudl_model_add_note(model, "%s", (const gchar *)info->notes->pdata[i]);
    for (guint i = 0; beside->notes != NULL && i < beside->notes->len; i++)
        gpudl_model_add_note(model, "%s", (const gchar *)beside->notes->pdata[i]);
    gpudl_known_assume(model, &info->preproc, info->preproc_custom);
    return gpudl_known_apply(&known, model, error);
}

static GpudlModel *read_foreign(const Load *load, GpudlImportFile *file, GCancellable *cancellable, GError **error)
{
    /* no other file belongs to it that its bytes do not name */
    const gboolean alone = file->kind != GPUDL_IMPORT_CAFFE;
    g_auto(GpudlSourceInfo) info = {0};
    g_autoptr(GpudlModel) model = NULL;
    g_auto(GpudlBeside) beside = {0};
    g_autofree gchar *base = g_path_get_basename(load->path);
    GpudlGraph *graph;

    if (alone && load->text != NULL && (model = gpudl_registry_find_bytes(load->path, load->text, file->sum)) != NULL) {
        gpudl_origin_also_at(model, load->path);
        return g_steal_pointer(&model);
    }
    if (!read_beside(load, &beside, &info, error))
        return NULL;
    graph = gpudl_import_rewritten(file, load->path, load->options, &info, cancellable, error);
    model = graph != NULL ? gpudl_origin_make_onnx(graph, load->path, load->options, file, &info, error) : NULL;
    if (model == NULL || !apply_known(model, &beside, &info, load->options, error))
        return NULL;
    model->source_file = g_utf8_make_valid(base, -1);
    model->source_format = info.format != NULL ? g_steal_pointer(&info.format)
                                               : g_strdup_printf("ONNX, opset %" G_GINT64_FORMAT, info.opset);
    if (info.producer != NULL)
        model->producer = gpudl_shown(info.producer, GPUDL_SHOWN_MESSAGE_BYTES);
    return apply_options(model, load->options, error) ? g_steal_pointer(&model) : NULL;
}

static GpudlModel *read_model(const Load *load, struct stat *st, GCancellable *cancellable, GError **error)
{
    g_auto(GpudlImportFile) file = {0};

    if (!gpudl_import_read(&file, load->path, NULL, cancellable, error))
        return NULL;
    *st = file.st;
    return file.kind == GPUDL_IMPORT_NET_BIN ? read_net_bin(load, &file, cancellable, error)
                                             : read_foreign(load, &file, cancellable, error);
}

static gpointer load_work(GpudlWork *work, gpointer data, GError **error)
{
    const Load *load = data;
    const gint64 now = g_get_real_time();
    g_autoptr(GpudlLoaded) loaded = g_new0(GpudlLoaded, 1);
    struct stat st;

    loaded->model = read_model(load, &st, gpudl_work_get_cancellable(work), error);
    if (loaded->model == NULL) {
        gpudl_import_name_file(error, load->path);
        return NULL;
    }
    loaded->version = gpudl_file_version(&st);
    loaded->settled = gpudl_file_version_is_settled(&loaded->version, now) &&
                      gpudl_origin_is_settled(gpudl_model_get_origin(loaded->model), now);
    return g_steal_pointer(&loaded);
}

static void free_loaded(gpointer data)
{
    gpudl_loaded_free(data);
}

/* What the registry calls: the caller's options are read here, and not after. */
typedef struct {
    const gchar *path, *text;
    const GpudlImportOptions *options;
    gchar beside[33];
} Request;

static GpudlLoaded *load_file(gpointer data, GCancellable *cancellable, GError **error)
{
    const Request *request = data;
    GError *local = NULL;
    GpudlLoaded *loaded =
        gpudl_work_run(load_work, load_new(request->path, request->options, request->text, request->beside), load_free,
                       free_loaded, cancellable, &local);

    if (loaded == NULL) {
        gpudl_import_name_file(&local, request->path);
        g_propagate_error(error, local);
    }
    return loaded;
}

/* ---- for callers ------------------------------------------------------------------------------------------------- */

static const GpudlImportOptions no_options;

GpudlModel *gpudl_import_model(const gchar *path, const GpudlImportOptions *options, GCancellable *cancellable,
                               GError **error)
{
    g_autofree gchar *file = gpudl_import_file_of(path);
    Request request = {.path = file, .options = options != NULL ? options : &no_options};
    g_autoptr(GpudlLoaded) loaded = load_file(&request, cancellable, error);

    return loaded != NULL ? g_steal_pointer(&loaded->model) : NULL;
}

GpudlModel *gpudl_model_load(const gchar *path, const GpudlImportOptions *options, GCancellable *cancellable,
                             GError **error)
{
    g_autofree gchar *text = NULL;
    g_auto(GpudlBeside) beside = {0};
    GpudlImportOptions known;
    GpudlPreproc preproc;
    g_autofree gchar *file = gpudl_import_file_of(path);
    Request request = {.path = file, .options = &known};
    GpudlModel *model;
    GError *local = NULL;

    g_return_val_if_fail(path != NULL, NULL);
    if (!gpudl_import_options_take(&known, &preproc, options, error))
        return NULL;
    if (!gpudl_beside_read(file, &beside, error)) {
        gpudl_import_name_file(error, file);
        return NULL;
    }
    g_strlcpy(request.beside, beside.sum, sizeof request.beside);
    request.text = text = options_text(request.options, beside.sum);
    model = gpudl_registry_get(file, text, load_file, &request, cancellable, &local);
    if (model == NULL) {
        gpudl_import_name_file(&local, path);
        g_propagate_error(error, local);
    }
    return model;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/model.h"

#include <math.h>
#include <string.h>

#include "engine/limits.h"
#include "engine/passes/rewrite.h"
#include "engine/shown.h"

static GpudlPreproc default_preproc(const GpudlShape *input)
{
    return (GpudlPreproc){
        .struct_size = sizeof(GpudlPreproc),
        .width = (gint32)input->dims[3],
        .height = (gint32)input->dims[2],
        .channels = (gint32)input->dims[1],
        .channel_order = input->dims[1] == 1 ? GPUDL_CHANNELS_GRAY : GPUDL_CHANNELS_RGB,
        .resize_mode = GPUDL_RESIZE_STRETCH,
        .scale_method = GPUDL_SCALE_BILINEAR,
        .crop_fraction = 1,
        .pixel_scale = 255,
        .std = {1, 1, 1},
    };
}

static gboolean check_input(const GpudlGraph *graph, const gchar *name, GError **error)
{
    const GpudlTensor *input;
    g_autofree gchar *shape = NULL;

    if (graph->inputs->len != 1) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED, "model '%s' has %u inputs, expected one: the picture",
                    name, graph->inputs->len);
        return FALSE;
    }
    input = graph->inputs->pdata[0];
    shape = gpudl_shape_to_string(&input->shape);
    if (input->dtype != GPUDL_DTYPE_F32 || input->shape.rank != 4 ||
        (input->shape.dims[1] != 1 && input->shape.dims[1] != 3)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "model '%s': input '%s' is %s %s, expected float32 N x 1 or 3 x height x width", name, input->name,
                    gpudl_dtype_name(input->dtype), shape);
        return FALSE;
    }
    if (input->shape.dims[2] < 1 || input->shape.dims[3] < 1 || input->shape.dims[2] > GPUDL_LIMIT_INPUT_SIDE ||
        input->shape.dims[3] > GPUDL_LIMIT_INPUT_SIDE) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT, "model '%s': input '%s' is %s, sides of 1..%d are taken",
                    name, input->name, shape, GPUDL_LIMIT_INPUT_SIDE);
        return FALSE;
    }
    return TRUE;
}

static gboolean check_outputs(const GpudlGraph *graph, const gchar *name, GError **error)
{
    if (graph->outputs->len == 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "model '%s' has no output", name);
        return FALSE;
    }
    for (guint i = 0; i < graph->outputs->len; i++) {
        const GpudlTensor *output = graph->outputs->pdata[i];
        gint64 n = gpudl_shape_elements(&output->shape);

        if (output->dtype != GPUDL_DTYPE_F32 || n < 1 || n > GPUDL_LIMIT_LABELS) {
            g_autofree gchar *shape = gpudl_shape_to_string(&output->shape);

            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                        "model '%s': output '%s' is %s %s, expected the float32 scores of 1..%u classes", name,
                        output->name, gpudl_dtype_name(output->dtype), shape, GPUDL_LIMIT_LABELS);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean gpudl_graph_ends_in(const GpudlGraph *graph, GpudlActivation *activation)
{
    const GpudlTensor *tensor = graph->outputs->pdata[0];
    const GpudlAct *act;
    GpudlNode *node;

    while ((node = tensor->producer) && (node->op == GPUDL_OP_RESHAPE || node->op == GPUDL_OP_IDENTITY))
        tensor = node->inputs[0];
    if (!node)
        return FALSE;
    if (node->op == GPUDL_OP_SOFTMAX) {
        *activation = GPUDL_ACTIVATION_SOFTMAX;
        return TRUE;
    }
    act = gpudl_node_act(node);
    if (!act || act->kind != GPUDL_ACT_SIGMOID)
        return FALSE;
    *activation = GPUDL_ACTIVATION_SIGMOID;
    return TRUE;
}

GpudlModel *gpudl_model_new(GpudlGraph *graph, const gchar *name, const GpudlPreproc *preproc, GError **error)
{
    const GpudlTensor *input;
    GpudlActivation ends_in;
    GpudlModel *model;

    if (!gpudl_graph_infer(graph, 1, error) || !check_input(graph, name, error) || !check_outputs(graph, name, error) ||
        !gpudl_constants_gather(graph, gpudl_constant_is_unaligned, NULL, error)) {
        gpudl_graph_free(graph);
        return NULL;
    }
    input = graph->inputs->pdata[0];
    model = g_new0(GpudlModel, 1);
    model->refs = 1;
    g_mutex_init(&model->lock);
    g_mutex_init(&model->id_lock);
    model->name = g_utf8_make_valid(name, -1);
    model->graph = graph;
    model->preproc = preproc ? *preproc : default_preproc(&input->shape);
    model->preproc.struct_size = sizeof model->preproc;
    model->preproc_known = preproc != NULL;
    model->assumed = preproc != NULL ? 0 : GPUDL_ASSUMED_ALL;
    model->activation = gpudl_graph_ends_in(graph, &ends_in) ? GPUDL_ACTIVATION_NONE : GPUDL_ACTIVATION_SOFTMAX;
    if (model->preproc.channels != input->shape.dims[1] || model->preproc.height != input->shape.dims[2] ||
        model->preproc.width != input->shape.dims[3]) {
        g_autofree gchar *shape = gpudl_shape_to_string(&input->shape);

        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "model '%s': pre-processing makes %dx%dx%d (channels, height, width), the input '%s' is %s", name,
                    model->preproc.channels, model->preproc.height, model->preproc.width, input->name, shape);
        gpudl_model_unref(model);
        return NULL;
    }
    return model;
}

GpudlModel *gpudl_model_ref(GpudlModel *model)
{
    g_atomic_int_inc(&model->refs);
    return model;
}

gboolean gpudl_model_try_ref(GpudlModel *model)
{
    for (;;) {
        gint refs = g_atomic_int_get(&model->refs);

        if (refs == 0)
            return FALSE;
        if (g_atomic_int_compare_and_exchange(&model->refs, refs, refs + 1))
            return TRUE;
    }
}

void gpudl_model_unref(GpudlModel *model)
{
    if (!model || !g_atomic_int_dec_and_test(&model->refs))
        return;
    if (model->source) {
        model->source->forget(model);
        model->source->free(model->source_data);
    }
    gpudl_planner_free(model->planner);
    gpudl_graph_free(model->graph);
    g_strfreev(model->labels);
    gpudl_golden_free(model->golden);
    g_clear_pointer(&model->file, g_bytes_unref);
    g_clear_pointer(&model->pages, gpudl_pages_unref);
    g_free(model->source_file);
    g_free(model->source_format);
    g_free(model->producer);
    g_free(model->licence);
    g_free(model->converted_by);
    g_free(model->known_from);
    g_clear_pointer(&model->notes, g_ptr_array_unref);
    g_free(model->name);
    g_mutex_clear(&model->lock);
    g_mutex_clear(&model->id_lock);
    g_free(model);
}

void gpudl_model_add_note(GpudlModel *model, const gchar *format, ...)
{
    g_autofree gchar *note = NULL;
    va_list args;

    va_start(args, format);
    note = g_strdup_vprintf(format, args);
    va_end(args);
    if (model->notes == NULL)
        model->notes = g_ptr_array_new_with_free_func(g_free);
    else
        g_ptr_array_set_size(model->notes, (gint)model->notes->len - 1);
    g_ptr_array_add(model->notes, gpudl_shown(note, GPUDL_SHOWN_NOTE_BYTES));
    g_ptr_array_add(model->notes, NULL);
}

const gchar *const *gpudl_model_get_notes(GpudlModel *model)
{
    static const gchar *const none[] = {NULL};

    return model->notes != NULL ? (const gchar *const *)model->notes->pdata : none;
}

/* ---- constants, plans, identity ---------------------------------------------------------------------------------- */

gboolean gpudl_model_hold_cancellable(GpudlModel *model, GCancellable *cancellable, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&model->lock);

    if (model->dropped || model->spent) {
        if (!model->source->refill(model, cancellable, error))
            return FALSE;
        gpudl_pages_seal(model->pages);
        model->dropped = model->spent = FALSE;
        if (model->planner)
            gpudl_planner_set_held(model->planner, TRUE);
    }
    model->used = TRUE;
    model->holds++;
    return TRUE;
}

gboolean gpudl_model_hold(GpudlModel *model, GError **error)
{
    return gpudl_model_hold_cancellable(model, NULL, error);
}

void gpudl_model_release(GpudlModel *model)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&model->lock);

    g_return_if_fail(model->holds > 0);
    if (--model->holds > 0 || !model->pages || !model->used)
        return;
    if (model->planner)
        gpudl_planner_set_held(model->planner, FALSE);
    gpudl_pages_drop(model->pages);
    model->dropped = TRUE;
}

void gpudl_model_spend(GpudlModel *model, gconstpointer data, gsize size)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&model->lock);
    const guint8 *begin = model->pages != NULL ? gpudl_pages_get_data(model->pages) : NULL, *at = data;

    g_return_if_fail(model->spend && model->source != NULL);
    if (begin == NULL || at < begin || at >= begin + gpudl_pages_get_size(model->pages))
        return; /* a small one */
    gpudl_pages_drop_part(model->pages, data, size);
    model->spent = TRUE;
}

GpudlPlanner *gpudl_model_get_planner(GpudlModel *model)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&model->lock);

    if (!model->planner) {
        model->planner = gpudl_planner_new(model->graph, model->content);
        gpudl_planner_set_held(model->planner, !model->dropped);
    }
    return model->planner;
}

/* A hold that does not use the constants up. FALSE if they are not there. */
static gboolean hold_file(GpudlModel *model)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&model->lock);

    if (!model->file || model->dropped)
        return FALSE;
    model->holds++;
    return TRUE;
}

static gboolean compute_id(GpudlModel *model)
{
    if (!hold_file(model))
        return model->source && model->source->hash(model, model->id);
    model->hash_file(model->file, model->id);
    gpudl_model_release(model);
    return TRUE;
}

const gchar *gpudl_model_get_id(GpudlModel *model)
{
    gboolean known;

    if (g_atomic_int_get(&model->id_known))
        return model->id;
    g_mutex_lock(&model->id_lock);
    known = g_atomic_int_get(&model->id_known) || compute_id(model);
    g_atomic_int_set(&model->id_known, known);
    g_mutex_unlock(&model->id_lock);
    return known ? model->id : "";
}

const gchar *gpudl_model_get_false_id(GpudlModel *model)
{
    const gchar *id = gpudl_model_get_id(model);

    return model->claimed_id[0] && id[0] && strcmp(id, model->claimed_id) != 0 ? model->claimed_id : NULL;
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

void gpudl_golden_free(GpudlGolden *golden)
{
    if (!golden)
        return;
    g_free(golden->description);
    g_clear_pointer(&golden->input, g_bytes_unref);
    g_clear_pointer(&golden->output, g_bytes_unref);
    g_free(golden);
}

gboolean gpudl_model_set_labels(GpudlModel *model, const gchar *const *labels, GError **error)
{
    guint n = labels ? g_strv_length((gchar **)labels) : 0;

    if (n != 0 && n != gpudl_model_get_n_classes(model, 0)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%u labels for model '%s', which has %u classes", n,
                    model->name, gpudl_model_get_n_classes(model, 0));
        return FALSE;
    }
    g_strfreev(model->labels);
    model->labels = n ? g_strdupv((gchar **)labels) : NULL;
    model->n_labels = n;
    return TRUE;
}

const gchar *gpudl_model_get_name(GpudlModel *model)
{
    return model->name;
}

const GpudlPreproc *gpudl_model_get_preproc(GpudlModel *model)
{
    return &model->preproc;
}

guint gpudl_model_get_n_heads(GpudlModel *model)
{
    return model->graph->outputs->len;
}

const gchar *gpudl_model_get_head_name(GpudlModel *model, guint head)
{
    g_return_val_if_fail(head < model->graph->outputs->len, NULL);
    return ((GpudlTensor *)model->graph->outputs->pdata[head])->name;
}

guint gpudl_model_get_n_classes(GpudlModel *model, guint head)
{
    g_return_val_if_fail(head < model->graph->outputs->len, 0);
    return (guint)gpudl_shape_elements(&((GpudlTensor *)model->graph->outputs->pdata[head])->shape);
}

const gchar *gpudl_model_get_label(GpudlModel *model, guint id)
{
    return id < model->n_labels ? model->labels[id] : NULL;
}

GpudlActivation gpudl_model_get_activation(GpudlModel *model)
{
    return model->activation;
}

gboolean gpudl_model_get_symbolic_batch(GpudlModel *model, const gchar **reason)
{
    if (reason)
        *reason = model->graph->symbolic_batch ? NULL : model->graph->batch_reason;
    return model->graph->symbolic_batch;
}

guint64 gpudl_model_get_macs(GpudlModel *model)
{
    return gpudl_graph_macs(model->graph);
}

guint64 gpudl_model_get_parameters(GpudlModel *model)
{
    return gpudl_graph_parameters(model->graph);
}

const gchar *gpudl_preproc_check(const GpudlPreproc *pp)
{
    if (pp->width < 1 || pp->height < 1 || pp->width > GPUDL_LIMIT_INPUT_SIDE || pp->height > GPUDL_LIMIT_INPUT_SIDE)
        return "input sides must be 1..4096 pixels";
    if (pp->channels != 1 && pp->channels != 3)
        return "there must be 1 or 3 channels";
    if (pp->channel_order < GPUDL_CHANNELS_RGB || pp->channel_order > GPUDL_CHANNELS_GRAY ||
        (pp->channel_order == GPUDL_CHANNELS_GRAY) != (pp->channels == 1))
        return "channel order must be rgb or bgr for 3 channels, gray for one";
    if (pp->resize_mode < GPUDL_RESIZE_STRETCH || pp->resize_mode > GPUDL_RESIZE_LAST)
        return "unknown resize mode";
    if (pp->scale_method < GPUDL_SCALE_NEAREST || pp->scale_method > GPUDL_SCALE_LAST)
        return "unknown scale method";
    if (!(pp->crop_fraction > 0 && pp->crop_fraction <= 1))
        return "crop fraction must be above 0 and at most 1";
    if (pp->pad_color > 0xffffff)
        return "pad color must be 0x000000..0xffffff";
    if (!(pp->pixel_scale > 0 && isfinite(pp->pixel_scale)))
        return "pixel scale must be a positive number";
    for (gint c = 0; c < pp->channels; c++) {
        if (!isfinite(pp->mean[c]))
            return "means must be numbers";
        if (!isfinite(pp->std[c]) || fabsf(pp->std[c]) < 1e-20f)
            return "standard deviations must be numbers other than 0";
    }
    return NULL;
}

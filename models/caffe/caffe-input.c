/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The network's one input, and how it wants its pixels. */
#include <math.h>
#include <string.h>

#include "caffe-internal.h"
#include "engine/limits.h"
#include "models/source.h"

/* ---- pixels ------------------------------------------------------------------------------------------------------ */

/* The transformation of a layer, where it has one; older files have it among the data's parameters. */
static gboolean find_transform(const CaffeLayer *layer, Caffe__TransformationParameter *t)
{
    const Caffe__LayerParameter *p = layer->proto;
    const Caffe__DataParameter *data = p->data_param;
    const Caffe__ImageDataParameter *image = p->image_data_param;

    if (p->transform_param != NULL) {
        *t = *p->transform_param;
        return TRUE;
    }
    caffe__transformation_parameter__init(t);
    if (data != NULL && (data->has_scale || data->mean_file != NULL || data->has_crop_size)) {
        t->scale = data->scale;
        t->mean_file = data->mean_file;
        t->crop_size = data->crop_size;
        return TRUE;
    }
    if (image != NULL && (image->has_scale || image->mean_file != NULL || image->has_crop_size)) {
        t->scale = image->scale;
        t->mean_file = image->mean_file;
        t->crop_size = image->crop_size;
        return TRUE;
    }
    return FALSE;
}

static gboolean take_transform(CaffeImport *import, const CaffeLayer *layer, const Caffe__TransformationParameter *t,
                               GError **error)
{
    GpudlPreproc *preproc = &import->info->preproc;
    const gint channels = preproc->channels;

    if (!isfinite(t->scale) || t->scale <= 0)
        return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "scale is %g, expected more than 0", (double)t->scale);
    if (t->n_mean_value > 0 && t->mean_file != NULL)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "both mean_file and mean_value, expected one of them");
    if (t->n_mean_value > 1 && t->n_mean_value != (gsize)channels)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " mean_value for %d channels",
                          t->n_mean_value, channels);
    for (guint i = 0; i < 3; i++) {
        preproc->std[i] = 1 / t->scale;
        if (t->n_mean_value > 0)
            preproc->mean[i] = t->mean_value[t->n_mean_value > 1 ? i : 0];
        if (!isfinite(preproc->mean[i]))
            return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "mean_value is %g", (double)preproc->mean[i]);
    }
    import->info->preproc_said = TRUE;
    if (t->mean_file != NULL && (import->options == NULL || !import->options->mean_given))
        import->info->mean_file = g_utf8_make_valid(t->mean_file, -1);
    return TRUE;
}

/* The first data layer that has one, in the description, then in the file with the values, which often is of the
 * network that was trained; layers for tests first. */
static gboolean import_transform(CaffeImport *import, const CaffeLayer *input, const Caffe__NetParameter *values,
                                 GError **error)
{
    g_autoptr(GPtrArray) others = NULL;
    Caffe__TransformationParameter t;

    if (input != NULL && find_transform(input, &t))
        return take_transform(import, input, &t, error);
    if (values != NULL && (others = caffe_layers_new(values, error)) == NULL)
        return FALSE;
    for (guint pass = 0; pass < 2; pass++) {
        for (guint i = 0; others != NULL && i < others->len; i++) {
            CaffeLayer *layer = others->pdata[i];

            if (layer->type == NULL || layer->type->role != CAFFE_DATA ||
                (pass == 0 && !caffe_layer_is_included(layer, values)) || !find_transform(layer, &t))
                continue;
            return take_transform(import, layer, &t, error);
        }
    }
    return TRUE;
}

/* ---- shape ------------------------------------------------------------------------------------------------------- */

/* Channels as the first layer with values that reads the input says. 0: it does not. */
static gint64 channels_of_reader(const CaffeImport *import, const gchar *name)
{
    for (guint i = 0; i < import->layers->len; i++) {
        const CaffeLayer *layer = import->layers->pdata[i];
        const Caffe__ConvolutionParameter *p = layer->proto->convolution_param;
        GpudlShape shape;

        for (gsize k = 0; k < layer->proto->n_bottom; k++)
            if (strcmp(layer->proto->bottom[k], name) == 0 && p != NULL && layer->n_blobs > 0 &&
                caffe_blob_shape(layer->blobs[0], &shape) && shape.rank == 4 && shape.dims[1] <= G_MAXINT16 &&
                p->group <= G_MAXINT16)
                return shape.dims[1] * p->group;
    }
    return 0;
}

/* What a data layer tells of the pictures it reads. */
static void shape_of_data(const CaffeImport *import, const CaffeLayer *layer, const gchar *name, GpudlShape *shape)
{
    const Caffe__MemoryDataParameter *memory = layer->proto->memory_data_param;
    const Caffe__ImageDataParameter *image = layer->proto->image_data_param;
    Caffe__TransformationParameter t;

    *shape = (GpudlShape){.rank = 4, .dims = {1, 0, 0, 0}};
    if (memory != NULL) {
        shape->dims[1] = memory->channels;
        shape->dims[2] = memory->height;
        shape->dims[3] = memory->width;
    } else if (image != NULL) {
        shape->dims[1] = image->is_color ? 3 : 1;
        shape->dims[2] = image->new_height;
        shape->dims[3] = image->new_width;
    }
    if (find_transform(layer, &t)) {
        if (t.crop_size > 0)
            shape->dims[2] = shape->dims[3] = t.crop_size;
        if (t.n_mean_value == 3 || t.force_color)
            shape->dims[1] = 3;
        else if (t.force_gray)
            shape->dims[1] = 1;
    }
    if (shape->dims[1] == 0)
        shape->dims[1] = channels_of_reader(import, name);
}

static gboolean apply_size(CaffeImport *import, const gchar *name, GpudlShape *shape, GError **error)
{
    static const GpudlCaffeOptions none;
    const GpudlCaffeOptions *options = import->options != NULL ? import->options : &none;
    const gint wanted[2] = {options->input_height, options->input_width};
    const gint otherwise[2] = {options->default_height, options->default_width};

    for (gint i = 0; i < 2; i++) {
        gint64 *extent = &shape->dims[2 + i];
        const gchar *what = i == 0 ? "height" : "width";

        if (wanted[i] < 0 || wanted[i] > GPUDL_LIMIT_INPUT_SIDE)
            return caffe_fail_net(GPUDL_ERROR_INVALID_ARGUMENT, error, "an input %s of %d, expected 1 to %d", what,
                                  wanted[i], GPUDL_LIMIT_INPUT_SIDE);
        if (wanted[i] != 0 && *extent > 0 && *extent != wanted[i])
            return caffe_fail_net(GPUDL_ERROR_INVALID_ARGUMENT, error,
                                  "input '%s' has a fixed %s of %" G_GINT64_FORMAT ", it can't be %d", name, what,
                                  *extent, wanted[i]);
        if (*extent <= 0 && wanted[i] == 0 && otherwise[i] == 0)
            return caffe_fail_net(GPUDL_ERROR_FORMAT, error,
                                  "the %s of input '%s' is not said; " GPUDL_SOURCE_SIZE_ADVICE "224x224", what, name);
        import->info->size_chosen = import->info->size_chosen || *extent <= 0;
        if (*extent <= 0)
            *extent = wanted[i] != 0 ? wanted[i] : otherwise[i];
    }
    return TRUE;
}

static gboolean add_input(CaffeImport *import, const gchar *name, GpudlShape *shape, GError **error)
{
    GpudlTensor *tensor;

    if (shape->rank != 4 || (shape->dims[1] != 1 && shape->dims[1] != 3)) {
        g_autofree gchar *text = gpudl_shape_to_string(shape);

        return caffe_fail_net(GPUDL_ERROR_UNSUPPORTED, error,
                              "input '%s' is %s, expected N x C x H x W with 1 or 3 channels: pictures", name, text);
    }
    if (!apply_size(import, name, shape, error))
        return FALSE;
    for (gint i = 0; i < 4; i++) {
        shape->dims[i] = i == 0 && shape->dims[0] <= 0 ? 1 : shape->dims[i];
        if (shape->dims[i] < 1 || shape->dims[i] > G_MAXINT16)
            return caffe_fail_net(GPUDL_ERROR_LIMIT, error,
                                  "dimension %d of input '%s' is %" G_GINT64_FORMAT ", expected 1 to %d", i, name,
                                  (gint64)shape->dims[i], G_MAXINT16);
    }
    tensor = gpudl_graph_add_input(import->graph, name, GPUDL_DTYPE_F32, shape);
    g_hash_table_insert(import->tops, (gpointer)name, tensor);
    import->info->preproc.channels = (gint32)shape->dims[1];
    import->info->preproc.channel_order = shape->dims[1] == 1 ? GPUDL_CHANNELS_GRAY : GPUDL_CHANNELS_BGR;
    return TRUE;
}

/* ---- which it is ------------------------------------------------------------------------------------------------- */

/* A candidate. */
typedef struct {
    const gchar *name;
    GpudlShape shape;
    const CaffeLayer *layer; /* NULL: of the header */
} Input;

static void copy_shape(GpudlShape *to, const Caffe__BlobShape *from)
{
    *to = (GpudlShape){.rank = from != NULL ? (gint32)MIN(from->n_dim, GPUDL_MAX_RANK) : 0};
    for (gint i = 0; i < to->rank; i++)
        to->dims[i] = CLAMP(from->dim[i], -1, G_MAXINT32);
}

static gboolean is_read(const CaffeImport *import, const gchar *name)
{
    for (guint i = 0; i < import->layers->len; i++) {
        const CaffeLayer *layer = import->layers->pdata[i];

        if (layer->type != NULL && layer->type->role != CAFFE_MAPPED)
            continue;
        for (gsize k = 0; k < layer->proto->n_bottom; k++)
            if (strcmp(layer->proto->bottom[k], name) == 0)
                return TRUE;
    }
    return FALSE;
}

static void offer(const CaffeImport *import, GArray *inputs, const Input *input)
{
    for (guint i = 0; i < inputs->len; i++)
        if (strcmp(g_array_index(inputs, Input, i).name, input->name) == 0)
            return;
    if (is_read(import, input->name))
        g_array_append_vals(inputs, input, 1);
}

static gboolean offer_header(const CaffeImport *import, const Caffe__NetParameter *net, GArray *inputs, GError **error)
{
    for (gsize i = 0; i < net->n_input; i++) {
        Input input = {.name = net->input[i]};

        if (input.name[0] == '\0' || strlen(input.name) > GPUDL_LIMIT_NAME_BYTES ||
            !g_utf8_validate(input.name, -1, NULL))
            return caffe_fail_net(GPUDL_ERROR_FORMAT, error, "input %" G_GSIZE_FORMAT " has no name that can be taken",
                                  i);
        if (i < net->n_input_shape) {
            copy_shape(&input.shape, net->input_shape[i]);
        } else if (4 * i + 4 <= net->n_input_dim) {
            input.shape.rank = 4;
            for (guint k = 0; k < 4; k++)
                input.shape.dims[k] = net->input_dim[4 * i + k];
        } else {
            return caffe_fail_net(GPUDL_ERROR_FORMAT, error,
                                  "input '%s' has no shape, expected an input_shape or four input_dim", input.name);
        }
        offer(import, inputs, &input);
    }
    return TRUE;
}

static void offer_layers(const CaffeImport *import, GPtrArray *layers, GArray *inputs)
{
    for (guint i = 0; i < layers->len; i++) {
        const CaffeLayer *layer = layers->pdata[i];
        const Caffe__InputParameter *p = layer->proto->input_param;

        if (layer->type == NULL || (layer->type->role != CAFFE_INPUT && layer->type->role != CAFFE_DATA))
            continue;
        for (gsize k = 0; k < layer->proto->n_top; k++) {
            Input input = {.name = layer->proto->top[k], .layer = layer};

            if (layer->type->role == CAFFE_DATA)
                shape_of_data(import, layer, input.name, &input.shape);
            else if (p != NULL && p->n_shape > 0)
                copy_shape(&input.shape, p->shape[p->n_shape == 1 ? 0 : MIN(k, p->n_shape - 1)]);
            offer(import, inputs, &input);
        }
    }
}

gboolean caffe_import_input(CaffeImport *import, const Caffe__NetParameter *net, const Caffe__NetParameter *values,
                            GError **error)
{
    g_autoptr(GArray) inputs = g_array_new(FALSE, FALSE, sizeof(Input));
    Input *input;

    if (!offer_header(import, net, inputs, error))
        return FALSE;
    offer_layers(import, import->layers, inputs);
    if (inputs->len == 0) /* the network as it was trained: its data layer has another phase */
        offer_layers(import, import->left_out, inputs);
    if (inputs->len == 0)
        return caffe_fail_net(GPUDL_ERROR_UNSUPPORTED, error,
                              "has no input: expected an Input layer or 'input' and 'input_shape' of a picture");
    if (inputs->len > 1) {
        g_autoptr(GString) named = g_string_new(NULL);

        for (guint i = 0; i < inputs->len; i++) {
            input = &g_array_index(inputs, Input, i);
            gpudl_source_name_input(named, i, inputs->len, input->name, &input->shape);
        }
        return caffe_fail_net(GPUDL_ERROR_UNSUPPORTED, error,
                              "has %u inputs, %s: expected one, a picture N x C x H x W. Leave out of the .prototxt "
                              "what reads the others",
                              inputs->len, named->str);
    }
    input = &g_array_index(inputs, Input, 0);
    return add_input(import, input->name, &input->shape, error) &&
           import_transform(import, input->layer, values, error);
}

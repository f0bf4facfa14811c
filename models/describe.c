/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is inside a model, as JSON. */
#include <json-glib/json-glib.h>

#include "engine/graph/ops.h"
#include "engine/model.h"
#include "engine/plan.h"
#include "models/gpudl-import.h"

static void add_string(JsonBuilder *b, const gchar *name, const gchar *value)
{
    if (!value)
        return;
    json_builder_set_member_name(b, name);
    json_builder_add_string_value(b, value);
}

static void add_int(JsonBuilder *b, const gchar *name, gint64 value)
{
    json_builder_set_member_name(b, name);
    json_builder_add_int_value(b, value);
}

static void add_boolean(JsonBuilder *b, const gchar *name, gboolean value)
{
    json_builder_set_member_name(b, name);
    json_builder_add_boolean_value(b, value);
}

/* The shortest decimal that reads back as the same float: 0.485, not 0.48500001430511475. */
static void add_float(JsonBuilder *b, float value)
{
    gchar text[G_ASCII_DTOSTR_BUF_SIZE];

    for (gint digits = 6; digits <= 9; digits++) {
        gchar format[8];

        g_snprintf(format, sizeof format, "%%.%dg", digits);
        g_ascii_formatd(text, sizeof text, format, (gdouble)value);
        if ((float)g_ascii_strtod(text, NULL) == value)
            break;
    }
    json_builder_add_double_value(b, g_ascii_strtod(text, NULL));
}

static void add_floats(JsonBuilder *b, const gchar *name, const float *values, gint n)
{
    json_builder_set_member_name(b, name);
    json_builder_begin_array(b);
    for (gint i = 0; i < n; i++)
        add_float(b, values[i]);
    json_builder_end_array(b);
}

static void add_shape(JsonBuilder *b, const GpudlTensor *tensor)
{
    json_builder_set_member_name(b, "shape");
    json_builder_begin_array(b);
    for (gint i = 0; i < tensor->shape.rank; i++)
        json_builder_add_int_value(b, tensor->shape.dims[i]);
    json_builder_end_array(b);
    add_string(b, "type", gpudl_dtype_name(tensor->dtype));
}

/* Bytes of the values alive at the worst moment of one frame, float32, laid out by lifetime. */
static gint64 work_bytes(GpudlModel *model)
{
    const GpudlPlan *plan = gpudl_planner_get(gpudl_model_get_planner(model), 1, NULL);
    g_autofree guint64 *sizes = NULL, *offsets = NULL;
    g_autofree gint32 *first = NULL, *last = NULL;
    guint64 total;

    if (!plan)
        return -1;
    sizes = g_new0(guint64, plan->n_tensors);
    offsets = g_new0(guint64, plan->n_tensors);
    first = g_new0(gint32, plan->n_tensors);
    last = g_new0(gint32, plan->n_tensors);
    for (guint i = 0; i < plan->n_tensors; i++) {
        sizes[i] = plan->tensors[i].kind == GPUDL_PLAN_CONSTANT ? 0 : plan->tensors[i].bytes;
        first[i] = plan->tensors[i].first_node;
        last[i] = plan->tensors[i].last_node;
    }
    total = gpudl_place(plan->n_tensors, sizes, first, last, 64, offsets);
    return total == G_MAXUINT64 ? -1 : (gint64)total;
}

static gint64 constant_bytes(const GpudlGraph *graph)
{
    gint64 total = 0;

    for (guint i = 0; i < graph->tensors->len; i++) {
        const GpudlTensor *tensor = graph->tensors->pdata[i];

        if (tensor->data)
            total += (gint64)g_bytes_get_size(tensor->data);
    }
    return total;
}

static void add_model(JsonBuilder *b, GpudlModel *model)
{
    const gchar *reason = NULL;

    json_builder_set_member_name(b, "model");
    json_builder_begin_object(b);
    add_string(b, "name", model->name);
    add_string(b, "id", gpudl_model_get_id(model));
    add_string(b, "false_id", gpudl_model_get_false_id(model));
    add_string(b, "source_file", model->source_file);
    add_string(b, "source_format", model->source_format);
    add_string(b, "producer", model->producer);
    add_string(b, "licence", model->licence);
    add_string(b, "converted_by", model->converted_by);
    add_int(b, "parameters", (gint64)gpudl_model_get_parameters(model));
    add_int(b, "macs", (gint64)gpudl_model_get_macs(model));
    add_int(b, "weight_bytes", constant_bytes(model->graph));
    add_int(b, "work_bytes", work_bytes(model));
    add_int(b, "nodes", model->graph->nodes->len);
    add_boolean(b, "symbolic_batch", gpudl_model_get_symbolic_batch(model, &reason));
    add_string(b, "batch_reason", reason);
    add_string(b, "activation", gpudl_activation_name(model->activation));
    add_int(b, "labels", model->n_labels);
    if (model->golden)
        add_string(b, "golden", model->golden->description);
    json_builder_end_object(b);
}

static void add_preprocessing(JsonBuilder *b, GpudlModel *model)
{
    static const gchar *const orders[] = {"auto", "rgb", "bgr", "gray"};
    static const gchar *const modes[] = {"auto", "stretch", "letterbox", "center-crop", "squash", "border"};
    static const gchar *const methods[] = {"auto", "nearest",          "bilinear",     "bicubic",
                                           "area", "bilinear-aliased", "bicubic-bytes"};
    const GpudlPreproc *pp = &model->preproc;
    g_autofree gchar *color = g_strdup_printf("0x%06x", pp->pad_color);
    g_autofree gchar *assumed = gpudl_model_describe_assumed(model, 0, FALSE);

    G_STATIC_ASSERT(G_N_ELEMENTS(modes) == GPUDL_RESIZE_LAST + 1);
    G_STATIC_ASSERT(G_N_ELEMENTS(methods) == GPUDL_SCALE_LAST + 1);
    json_builder_set_member_name(b, "preprocessing");
    json_builder_begin_object(b);
    add_boolean(b, "known", assumed == NULL);
    add_string(b, "from", model->known_from);
    add_string(b, "assumed", assumed);
    add_int(b, "width", pp->width);
    add_int(b, "height", pp->height);
    add_int(b, "channels", pp->channels);
    add_string(b, "channel_order", orders[pp->channel_order]);
    add_string(b, "resize_mode", modes[pp->resize_mode]);
    add_string(b, "scale_method", methods[pp->scale_method]);
    json_builder_set_member_name(b, "crop_fraction");
    add_float(b, pp->crop_fraction);
    add_string(b, "pad_color", color);
    json_builder_set_member_name(b, "pixel_scale");
    add_float(b, pp->pixel_scale);
    add_floats(b, "mean", pp->mean, pp->channels);
    add_floats(b, "std", pp->std, pp->channels);
    json_builder_end_object(b);
}

static void add_tensors(JsonBuilder *b, const gchar *name, GPtrArray *tensors)
{
    json_builder_set_member_name(b, name);
    json_builder_begin_array(b);
    for (guint i = 0; i < tensors->len; i++) {
        const GpudlTensor *tensor = tensors->pdata[i];

        json_builder_begin_object(b);
        add_string(b, "name", tensor->name);
        add_shape(b, tensor);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
}

static void add_layers(JsonBuilder *b, const GpudlGraph *graph)
{
    json_builder_set_member_name(b, "layers");
    json_builder_begin_array(b);
    for (guint i = 0; i < graph->nodes->len; i++) {
        const GpudlNode *node = graph->nodes->pdata[i];
        gint64 parameters = 0;

        for (guint j = 0; j < node->n_inputs; j++)
            if (gpudl_tensor_is_constant(node->inputs[j]))
                parameters += gpudl_shape_elements(&node->inputs[j]->shape);
        json_builder_begin_object(b);
        add_string(b, "name", node->name);
        add_string(b, "op", gpudl_op_info(node->op)->name);
        add_int(b, "parameters", parameters);
        add_shape(b, node->outputs[0]);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
}

gchar *gpudl_model_describe(GpudlModel *model, gboolean layers)
{
    g_autoptr(JsonBuilder) b = json_builder_new();
    g_autoptr(JsonNode) root = NULL;

    json_builder_begin_object(b);
    add_model(b, model);
    add_tensors(b, "inputs", model->graph->inputs);
    add_tensors(b, "outputs", model->graph->outputs);
    add_preprocessing(b, model);
    if (layers)
        add_layers(b, model->graph);
    json_builder_end_object(b);
    root = json_builder_get_root(b);
    return json_to_string(root, TRUE);
}

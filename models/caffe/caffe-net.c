/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From one or two NetParameters to a graph: layers one after the other through the table. */
#include <string.h>

#include "caffe-internal.h"
#include "engine/limits.h"
#include "engine/modelfile/wire.h"
#include "models/caffe/prototxt.h"

void gpudl_caffe_info_clear(GpudlCaffeInfo *info)
{
    g_free(info->name);
    g_free(info->mean_file);
    memset(info, 0, sizeof *info);
}

/* ---- what it is -------------------------------------------------------------------------------------------------- */

static gboolean sniff_varint(const guint8 *data, gsize size, gsize *pos, guint64 *value)
{
    *value = 0;
    for (guint i = 0; i < 10 && *pos < size; i++) {
        const guint8 byte = data[(*pos)++];

        *value |= (guint64)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80))
            return TRUE;
    }
    return FALSE;
}

static gboolean is_line(const guint8 *data, gsize size)
{
    for (gsize i = 0; i < size; i++)
        if (data[i] < 32)
            return FALSE;
    return TRUE;
}

/* The first fields are NetParameter's with their wire types, a layer among them. A network's name is one line of text,
 * which tells it from messages whose first field is another one. */
gboolean gpudl_caffe_sniff(const guint8 *data, gsize size)
{
    gboolean named = FALSE;
    gsize pos = 0;

    for (guint i = 0; i < 64 && pos < size; i++) {
        const ProtobufCFieldDescriptor *field;
        guint64 tag, value;
        gboolean is_layer;

        if (!sniff_varint(data, size, &pos, &tag) || tag >> 3 > G_MAXINT16)
            return FALSE;
        field = protobuf_c_message_descriptor_get_field(&caffe__net_parameter__descriptor, (unsigned)(tag >> 3));
        if (field == NULL || ((tag & 7) != 0 && (tag & 7) != 2) || !sniff_varint(data, size, &pos, &value))
            return FALSE;
        is_layer = strcmp(field->name, "layer") == 0 || strcmp(field->name, "layers") == 0;
        if ((tag & 7) == 0) {
            if (field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_STRING)
                return FALSE;
            continue;
        }
        if (strcmp(field->name, "name") == 0) {
            if (named || value > size - pos || !is_line(data + pos, value))
                return FALSE;
            named = TRUE;
        }
        /* a layer begins with one of its fields: a name or the like */
        if (is_layer)
            return value > 1 && pos < size && (data[pos] & 7) != 3 && (data[pos] & 7) != 4 && data[pos] >> 3 != 0;
        if (value > size - pos)
            return FALSE;
        pos += value;
    }
    return FALSE;
}

gboolean gpudl_caffe_sniff_text(const guint8 *data, gsize size)
{
    static const gchar *const first[] = {"name",      "layer", "layers",         "input",      "input_shape",
                                         "input_dim", "state", "force_backward", "debug_info", NULL};
    const gchar *text = size > 0 ? (const gchar *)data : "", *end = text + size, *p = text;
    g_autofree gchar *word = NULL;
    const gchar *start;

    while (p < end && (g_ascii_isspace(*p) || *p == '#' || (p == text && (guchar)*p == 0xef && size >= 3))) {
        if (*p == '#')
            while (p < end && *p != '\n')
                p++;
        else
            p += (guchar)*p == 0xef ? 3 : 1;
    }
    for (start = p; p < end && (g_ascii_isalpha(*p) || *p == '_') && p - start < 32;)
        p++;
    word = g_strndup(start, (gsize)(p - start));
    while (p < end && g_ascii_isspace(*p))
        p++;
    if (!g_strv_contains(first, word) || p >= end || (*p != ':' && *p != '{' && *p != '<'))
        return FALSE;
    return g_strstr_len(start, end - start, "layer") != NULL && memchr(data, '\0', size) == NULL;
}

/* ---- fields that are not known ----------------------------------------------------------------------------------- */

/* TRUE if a message, or one in it, has fields of numbers that its type does not have; of a layer blobs do not count. */
static const gchar *unknown_in(const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;

    if (message->n_unknown_fields > 0)
        return type->short_name;
    for (guint i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        const guint8 *member = (const guint8 *)message + field->offset;
        const gchar *found = NULL;

        if (field->type != PROTOBUF_C_TYPE_MESSAGE || field->descriptor == &caffe__blob_proto__descriptor)
            continue;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            const gsize n = *(const size_t *)(const void *)((const guint8 *)message + field->quantifier_offset);

            for (gsize k = 0; k < n && found == NULL; k++)
                found = unknown_in((*(ProtobufCMessage *const *const *)(const void *)member)[k]);
        } else if (*(ProtobufCMessage *const *)(const void *)member != NULL) {
            found = unknown_in(*(ProtobufCMessage *const *)(const void *)member);
        }
        if (found != NULL)
            return found;
    }
    return NULL;
}

static const CaffeLayer *layer_at(GPtrArray *layers, guint index)
{
    for (guint i = 0; i < layers->len; i++)
        if (((CaffeLayer *)layers->pdata[i])->index == index)
            return layers->pdata[i];
    return NULL;
}

/* In a text, those of layers that are left out do not matter. */
static gboolean check_unknown(const CaffeImport *import, GArray *unknown, GError **error)
{
    for (guint i = 0; i < unknown->len; i++) {
        const PrototxtUnknown *u = &g_array_index(unknown, PrototxtUnknown, i);
        const CaffeLayer *layer = NULL;

        if (u->top >= 0 && g_str_has_prefix(u->top_name, "layer")) {
            layer = layer_at(import->layers, (guint)u->top);
            if (layer == NULL || (layer->type != NULL && layer->type->role != CAFFE_MAPPED))
                continue;
        }
        return caffe_fail_net(GPUDL_ERROR_UNSUPPORTED, error, "%s:%u:%u: found '%.64s', which %s does not have%s%s%s",
                              import->text_name, u->line, u->column, u->name, u->type, layer != NULL ? " (layer '" : "",
                              layer != NULL ? layer->name : "", layer != NULL ? "')" : "");
    }
    return TRUE;
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

static gboolean collect_inputs(CaffeLayer *layer, GError **error)
{
    CaffeImport *import = layer->import;
    const Caffe__LayerParameter *p = layer->proto;

    if (p->n_bottom < layer->type->min_bottoms || p->n_bottom > layer->type->max_bottoms)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " bottoms, expected %s%u", p->n_bottom,
                          p->n_bottom < layer->type->min_bottoms ? "at least " : "at most ",
                          p->n_bottom < layer->type->min_bottoms ? layer->type->min_bottoms : layer->type->max_bottoms);
    layer->n_inputs = (guint)p->n_bottom;
    layer->inputs = g_new0(GpudlTensor *, p->n_bottom + 1);
    for (guint i = 0; i < layer->n_inputs; i++) {
        layer->inputs[i] = g_hash_table_lookup(import->tops, p->bottom[i]);
        if (layer->inputs[i] == NULL)
            return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "bottom '%s' is made by no layer before it",
                              p->bottom[i]);
        g_hash_table_add(import->consumed, layer->inputs[i]);
    }
    return TRUE;
}

static gboolean map_layer(CaffeLayer *layer, GError **error)
{
    CaffeImport *import = layer->import;
    const Caffe__LayerParameter *p = layer->proto;
    const gchar *unknown = import->text_name == NULL ? unknown_in(&p->base) : NULL;

    if (unknown != NULL)
        return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "it has fields that %s does not have in Caffe",
                          unknown);
    if (p->n_top < 1)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "no top");
    layer->n_outputs = (guint)p->n_top;
    layer->outputs = g_new0(GpudlTensor *, p->n_top);
    if (!collect_inputs(layer, error) || !layer->type->map(layer, error))
        return FALSE;
    for (guint i = 0; i < layer->n_outputs; i++) {
        if (layer->outputs[i] == NULL) {
            g_hash_table_remove(import->tops, p->top[i]); /* a second output: said where it is read */
            continue;
        }
        g_hash_table_insert(import->tops, p->top[i], layer->outputs[i]);
        g_ptr_array_add(import->made, layer->outputs[i]);
    }
    return TRUE;
}

/* Remembers what a layer that is left out reads: nothing more is to come of it. */
static void leave_out(const CaffeLayer *layer)
{
    CaffeImport *import = layer->import;
    const Caffe__LayerParameter *p = layer->proto;

    for (gsize i = 0; i < p->n_bottom; i++) {
        GpudlTensor *tensor = g_hash_table_lookup(import->tops, p->bottom[i]);
        gfloat *weight;

        if (tensor == NULL)
            continue;
        if (layer->type->role == CAFFE_QUIET) {
            g_hash_table_add(import->consumed, tensor);
        } else if (i == 0 && p->n_loss_weight > 0) {
            weight = g_new(gfloat, 1);
            *weight = p->loss_weight[0];
            g_hash_table_insert(import->weights, tensor, weight);
        }
    }
}

static gboolean import_layers(CaffeImport *import, GError **error)
{
    for (guint i = 0; i < import->layers->len; i++) {
        CaffeLayer *layer = import->layers->pdata[i];

        if (import->options != NULL && g_cancellable_is_cancelled(import->options->cancellable))
            return caffe_fail_net(GPUDL_ERROR_CANCELLED, error, "importing was cancelled");
        if (layer->type == NULL)
            return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "layers of this type are not taken");
        if (layer->type->role == CAFFE_LOSS || layer->type->role == CAFFE_QUIET)
            leave_out(layer);
        else if (layer->type->role == CAFFE_MAPPED && !map_layer(layer, error))
            return FALSE;
    }
    return TRUE;
}

/* ---- outputs ----------------------------------------------------------------------------------------------------- */

static float loss_weight(const CaffeImport *import, const GpudlTensor *tensor)
{
    const gfloat *weight = g_hash_table_lookup(import->weights, tensor);

    return weight != NULL ? *weight : 1;
}

/* What nobody reads, as in Caffe; heads that helped training, which weigh less, behind the others. */
static gboolean add_outputs(CaffeImport *import, GError **error)
{
    g_autoptr(GPtrArray) outputs = g_ptr_array_new();

    for (guint i = 0; i < import->made->len; i++) {
        GpudlTensor *tensor = import->made->pdata[i];
        guint at = outputs->len;

        if (g_hash_table_contains(import->consumed, tensor))
            continue;
        while (at > 0 && loss_weight(import, outputs->pdata[at - 1]) < loss_weight(import, tensor))
            at--;
        g_ptr_array_insert(outputs, (gint)at, tensor);
    }
    for (guint i = 0; i < outputs->len; i++)
        gpudl_graph_add_output(import->graph, outputs->pdata[i]);
    return outputs->len > 0 || caffe_fail_net(GPUDL_ERROR_FORMAT, error, "no layer is left that makes an output");
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* Values of the layers by name; of equal names the first, as in Caffe. */
static void match_values(CaffeImport *import, GPtrArray *layers)
{
    for (guint i = 0; i < layers->len; i++) {
        CaffeLayer *layer = layers->pdata[i];

        if (!g_hash_table_contains(import->values, layer->name))
            g_hash_table_insert(import->values, (gpointer)layer->name, layer);
    }
    for (guint i = 0; i < import->layers->len; i++) {
        CaffeLayer *layer = import->layers->pdata[i];
        const CaffeLayer *from = g_hash_table_lookup(import->values, layer->name);

        layer->blobs = from != NULL ? from->blobs : NULL;
        layer->n_blobs = from != NULL ? from->n_blobs : 0;
    }
}

static gboolean import_net(CaffeImport *import, const Caffe__NetParameter *net, const Caffe__NetParameter *values,
                           GArray *unknown, GError **error)
{
    g_autoptr(GPtrArray) all = caffe_layers_new(net, error), others = NULL;

    if (all == NULL || (values != NULL && (others = caffe_layers_new(values, error)) == NULL))
        return FALSE;
    if (all->len == 0)
        return caffe_fail_net(GPUDL_ERROR_FORMAT, error, "no layers");
    for (guint i = 0; i < all->len; i++) {
        CaffeLayer *layer = all->pdata[i];

        layer->import = import;
        g_ptr_array_add(caffe_layer_is_included(layer, net) ? import->layers : import->left_out, layer);
    }
    if (others != NULL)
        match_values(import, others);
    if (!check_unknown(import, unknown, error) || !caffe_import_input(import, net, values, error) ||
        !import_layers(import, error) || !add_outputs(import, error))
        return FALSE;
    import->info->name = net->name != NULL && net->name[0] != '\0' ? g_utf8_make_valid(net->name, -1) : NULL;
    gpudl_graph_remove_dead(import->graph);
    return gpudl_graph_sort(import->graph, error) && gpudl_graph_infer(import->graph, 0, error);
}

static GpudlWireMessage *unpack(GBytes *bytes, const GpudlCaffeOptions *options, GError **error)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);

    return gpudl_wire_unpack(&caffe__net_parameter__descriptor, data, size,
                             options != NULL ? options->cancellable : NULL, error);
}

static GpudlWireMessage *read_text(const GpudlCaffeFiles *files, const GpudlCaffeOptions *options, GArray *unknown,
                                   GError **error)
{
    gsize size;
    const gchar *text = g_bytes_get_data(files->text, &size);
    GByteArray *wire = prototxt_read(&caffe__net_parameter__descriptor, files->text_name, text, size, unknown, error);
    g_autoptr(GBytes) bytes = wire != NULL ? g_byte_array_free_to_bytes(wire) : NULL;

    return bytes != NULL ? unpack(bytes, options, error) : NULL;
}

GpudlGraph *gpudl_caffe_import(const GpudlCaffeFiles *files, const GpudlCaffeOptions *options, GpudlCaffeInfo *info,
                               GError **error)
{
    g_auto(GpudlCaffeInfo) local = {0};
    g_autoptr(GpudlWireMessage) text = NULL, values = NULL;
    g_autoptr(GArray) unknown = prototxt_unknown_new();
    CaffeImport import = {.options = options, .info = info != NULL ? info : &local};
    Caffe__NetParameter *net, *stored = NULL;
    gboolean good;

    import.info->preproc = (GpudlPreproc){.pixel_scale = 1, .std = { 1, 1, 1 }};
    if (files->text != NULL && (text = read_text(files, options, unknown, error)) == NULL) {
        if (files->values != NULL)
            g_bytes_unref(files->values);
        return NULL;
    }
    if (files->values != NULL) {
        values = unpack(files->values, options, error);
        g_bytes_unref(files->values);
        if (values == NULL)
            return NULL;
        stored = (Caffe__NetParameter *)gpudl_wire_message_get(values);
    }
    net = text != NULL ? (Caffe__NetParameter *)gpudl_wire_message_get(text) : stored;
    import.has_values = stored != NULL;
    import.text_name = text != NULL ? files->text_name : NULL;
    import.graph = gpudl_graph_new();
    import.layers = g_ptr_array_new();
    import.left_out = g_ptr_array_new();
    import.made = g_ptr_array_new();
    import.values = g_hash_table_new(g_str_hash, g_str_equal);
    import.tops = g_hash_table_new(g_str_hash, g_str_equal);
    import.consumed = g_hash_table_new(NULL, NULL);
    import.weights = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    good = import_net(&import, net, text != NULL ? stored : NULL, unknown, error);
    g_ptr_array_unref(import.layers);
    g_ptr_array_unref(import.left_out);
    g_ptr_array_unref(import.made);
    g_hash_table_unref(import.values);
    g_hash_table_unref(import.tops);
    g_hash_table_unref(import.consumed);
    g_hash_table_unref(import.weights);
    if (!good)
        g_clear_pointer(&import.graph, gpudl_graph_free);
    return import.graph;
}

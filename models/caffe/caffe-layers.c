/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Layers of a NetParameter, in either form, and which of them count. */
#include <string.h>

#include "caffe-internal.h"
#include "engine/limits.h"

static void layer_free(gpointer data)
{
    CaffeLayer *layer = data;

    g_free(layer->own);
    g_free(layer->inputs);
    g_free(layer->outputs);
    g_free(layer);
}

static gsize member_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(gpointer);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    default:
        return 4;
    }
}

/* The fields that both forms have by the same name and type, not copied but pointed to. */
static Caffe__LayerParameter *upgrade(const Caffe__V1LayerParameter *old)
{
    const ProtobufCMessageDescriptor *from = &caffe__v1_layer_parameter__descriptor;
    const ProtobufCMessageDescriptor *to = &caffe__layer_parameter__descriptor;
    Caffe__LayerParameter *layer = g_new(Caffe__LayerParameter, 1);

    caffe__layer_parameter__init(layer);
    for (guint i = 0; i < from->n_fields; i++) {
        const ProtobufCFieldDescriptor *a = &from->fields[i];
        const ProtobufCFieldDescriptor *b = protobuf_c_message_descriptor_get_field_by_name(to, a->name);
        const gboolean repeated = a->label == PROTOBUF_C_LABEL_REPEATED;

        if (b == NULL || a->type != b->type || a->label != b->label || a->descriptor != b->descriptor)
            continue;
        memcpy((guint8 *)layer + b->offset, (const guint8 *)old + a->offset,
               repeated ? sizeof(gpointer) : member_size(a->type));
        if (b->quantifier_offset != 0)
            memcpy((guint8 *)layer + b->quantifier_offset, (const guint8 *)old + a->quantifier_offset,
                   repeated ? sizeof(size_t) : sizeof(protobuf_c_boolean));
    }
    layer->base.n_unknown_fields = old->base.n_unknown_fields;
    layer->base.unknown_fields = old->base.unknown_fields;
    return layer;
}

static gboolean check_text(const gchar *what, const gchar *text, guint index, GError **error)
{
    if (text == NULL || text[0] == '\0')
        return caffe_fail_net(GPUDL_ERROR_FORMAT, error, "layer %u has no %s", index, what);
    if (strlen(text) > GPUDL_LIMIT_NAME_BYTES)
        return caffe_fail_net(GPUDL_ERROR_LIMIT, error,
                              "layer %u has a %s of %" G_GSIZE_FORMAT " bytes, at most %u are taken", index, what,
                              strlen(text), GPUDL_LIMIT_NAME_BYTES);
    if (!g_utf8_validate(text, -1, NULL))
        return caffe_fail_net(GPUDL_ERROR_FORMAT, error, "layer %u has a %s that is not UTF-8", index, what);
    return TRUE;
}

static gboolean fill(CaffeLayer *layer, GError **error)
{
    Caffe__LayerParameter *proto = layer->proto;

    if (!check_text("name", proto->name, layer->index, error) ||
        !check_text("type", layer->type_name, layer->index, error))
        return FALSE;
    if (proto->n_blobs > G_MAXINT16 || proto->n_bottom > GPUDL_LIMIT_TENSORS || proto->n_top > GPUDL_MAX_OUTPUTS)
        return caffe_fail_net(GPUDL_ERROR_LIMIT, error,
                              "layer '%s' has %" G_GSIZE_FORMAT " bottoms, %" G_GSIZE_FORMAT
                              " tops and %" G_GSIZE_FORMAT " blobs, at most %u, %d and %d are taken",
                              proto->name, proto->n_bottom, proto->n_top, proto->n_blobs, GPUDL_LIMIT_TENSORS,
                              GPUDL_MAX_OUTPUTS, G_MAXINT16);
    for (gsize i = 0; i < proto->n_top; i++)
        if (!check_text("top", proto->top[i], layer->index, error))
            return FALSE;
    for (gsize i = 0; i < proto->n_bottom; i++)
        if (!check_text("bottom", proto->bottom[i], layer->index, error))
            return FALSE;
    layer->name = proto->name;
    layer->blobs = proto->blobs;
    layer->n_blobs = (guint)proto->n_blobs;
    return TRUE;
}

static gboolean fill_v1(CaffeLayer *layer, const Caffe__V1LayerParameter *old, GError **error)
{
    const ProtobufCEnumValue *value;

    if (old->layer != NULL)
        return caffe_fail_net(GPUDL_ERROR_UNSUPPORTED, error,
                              "layer %u is in the oldest form, V0: Caffe's upgrade_net_proto_text and "
                              "upgrade_net_proto_binary write it anew",
                              layer->index);
    layer->own = layer->proto = upgrade(old);
    value = protobuf_c_enum_descriptor_get_value(&caffe__v1_layer_parameter__layer_type__descriptor, (gint)old->type);
    layer->type = value != NULL ? caffe_type_find_v1(value->name) : NULL;
    layer->type_name = layer->type != NULL ? layer->type->name : value != NULL ? value->name : "unknown";
    return TRUE;
}

GPtrArray *caffe_layers_new(const Caffe__NetParameter *net, GError **error)
{
    const gsize n = net->n_layer + net->n_layers;
    g_autoptr(GPtrArray) layers = g_ptr_array_new_with_free_func(layer_free);

    if (net->n_layer > 0 && net->n_layers > 0) {
        caffe_fail_net(GPUDL_ERROR_FORMAT, error, "layers of both forms, 'layer' and 'layers', expected one of them");
        return NULL;
    }
    if (n > GPUDL_LIMIT_NODES) {
        caffe_fail_net(GPUDL_ERROR_LIMIT, error, "%" G_GSIZE_FORMAT " layers, at most %u are taken", n,
                       GPUDL_LIMIT_NODES);
        return NULL;
    }
    for (gsize i = 0; i < n; i++) {
        CaffeLayer *layer = g_new0(CaffeLayer, 1);

        g_ptr_array_add(layers, layer);
        layer->index = (guint)i;
        if (net->n_layers > 0) {
            if (!fill_v1(layer, net->layers[i], error))
                return NULL;
        } else {
            layer->proto = net->layer[i];
            layer->type_name = layer->proto->type;
            layer->type = layer->type_name != NULL ? caffe_type_find(layer->type_name) : NULL;
        }
        if (!fill(layer, error))
            return NULL;
    }
    return g_steal_pointer(&layers);
}

static gboolean is_met(const Caffe__NetStateRule *rule, const Caffe__NetState *state)
{
    const gint32 level = state != NULL ? state->level : 0;

    if ((rule->has_phase && rule->phase != CAFFE__PHASE__TEST) || (rule->has_min_level && level < rule->min_level) ||
        (rule->has_max_level && level > rule->max_level))
        return FALSE;
    for (gsize i = 0; i < rule->n_stage + rule->n_not_stage; i++) {
        const gboolean wanted = i < rule->n_stage;
        const gchar *stage = wanted ? rule->stage[i] : rule->not_stage[i - rule->n_stage];
        gboolean found = FALSE;

        for (gsize k = 0; state != NULL && k < state->n_stage; k++)
            found = found || strcmp(state->stage[k], stage) == 0;
        if (found != wanted)
            return FALSE;
    }
    return TRUE;
}

gboolean caffe_layer_is_included(const CaffeLayer *layer, const Caffe__NetParameter *net)
{
    const Caffe__LayerParameter *p = layer->proto;

    for (gsize i = 0; i < p->n_exclude; i++)
        if (is_met(p->exclude[i], net->state))
            return FALSE;
    for (gsize i = 0; i < p->n_include; i++)
        if (is_met(p->include[i], net->state))
            return TRUE;
    return p->n_include == 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/models/onnx-writer.h"

#include <string.h>

void pb_varint(GByteArray *message, guint64 value)
{
    do {
        const guint8 byte = (guint8)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));

        g_byte_array_append(message, &byte, 1);
        value >>= 7;
    } while (value != 0);
}

void pb_tag(GByteArray *message, guint field, guint wire_type)
{
    pb_varint(message, ((guint64)field << 3) | wire_type);
}

void pb_int(GByteArray *message, guint field, gint64 value)
{
    pb_tag(message, field, 0);
    pb_varint(message, (guint64)value);
}

void pb_float(GByteArray *message, guint field, float value)
{
    pb_tag(message, field, 5);
    g_byte_array_append(message, (const guint8 *)&value, 4);
}

void pb_data(GByteArray *message, guint field, gconstpointer data, gsize size)
{
    pb_tag(message, field, 2);
    pb_varint(message, size);
    g_byte_array_append(message, data, (guint)size);
}

void pb_string(GByteArray *message, guint field, const gchar *text)
{
    pb_data(message, field, text, strlen(text));
}

void pb_message(GByteArray *message, guint field, GByteArray *sub)
{
    pb_data(message, field, sub->data, sub->len);
    g_byte_array_unref(sub);
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

static const struct {
    const gchar *name;
    gint64 number;
    gsize size;
} types[] = {{"f32", 1, 4},  {"u8", 2, 1},   {"i8", 3, 1},  {"u16", 4, 2},  {"i16", 5, 2},
             {"i32", 6, 4},  {"i64", 7, 8},  {"str", 8, 0}, {"bool", 9, 1}, {"f16", 10, 2},
             {"f64", 11, 8}, {"u32", 12, 4}, {"f8", 17, 1}, {"f6", 27, 1}};

static guint find_type(const gchar *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return i;
    g_error("no type '%s'", name);
}

/* Words of a text; none for NULL. Free with g_strfreev(). */
static gchar **words(const gchar *text, const gchar *separator)
{
    gchar **all = g_strsplit(text != NULL ? text : "", separator, -1);
    guint n = 0;

    for (guint i = 0; all[i] != NULL; i++) {
        g_strstrip(all[i]);
        if (all[i][0] == '\0')
            g_free(all[i]);
        else
            all[n++] = all[i];
    }
    all[n] = NULL;
    return all;
}

GByteArray *onnx_write_value_info(const gchar *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ":", 3);
    g_auto(GStrv) dims = words(parts[2], "x");
    GByteArray *shape = g_byte_array_new(), *tensor = g_byte_array_new(), *type = g_byte_array_new(),
               *info = g_byte_array_new();

    for (guint i = 0; dims[i] != NULL; i++) {
        GByteArray *dim = g_byte_array_new();

        if (g_ascii_isdigit(dims[i][0]) || dims[i][0] == '-')
            pb_int(dim, 1, g_ascii_strtoll(dims[i], NULL, 10));
        else if (dims[i][0] != '?')
            pb_string(dim, 2, dims[i]);
        pb_message(shape, 1, dim);
    }
    pb_int(tensor, 1, types[find_type(parts[1])].number);
    if (parts[2] != NULL)
        pb_message(tensor, 2, shape);
    else
        g_byte_array_unref(shape);
    pb_message(type, 1, tensor);
    pb_string(info, 1, parts[0]);
    pb_message(info, 2, type);
    return info;
}

static void append_value(GByteArray *raw, guint type, const gchar *text)
{
    const double number = g_ascii_strtod(text, NULL);
    const float single = (float)number;
    const gint64 integer = g_ascii_strtoll(text, NULL, 0);

    if (strcmp(types[type].name, "f32") == 0)
        g_byte_array_append(raw, (const guint8 *)&single, 4);
    else if (strcmp(types[type].name, "f64") == 0)
        g_byte_array_append(raw, (const guint8 *)&number, 8);
    else
        g_byte_array_append(raw, (const guint8 *)&integer, (guint)types[type].size);
}

GByteArray *onnx_write_constant(const gchar *text)
{
    g_auto(GStrv) halves = g_strsplit(text, "=", 2);
    g_auto(GStrv) parts = g_strsplit(halves[0], ":", 3);
    g_auto(GStrv) dims = words(parts[2], "x");
    g_auto(GStrv) values = words(halves[1], ",");
    const guint type = find_type(parts[1]), n_values = g_strv_length(values);
    GByteArray *tensor = g_byte_array_new(), *raw = g_byte_array_new();
    guint64 n = 1; /* may wrap: tests ask for impossible shapes, too, but without values */

    for (guint i = 0; dims[i] != NULL; i++) {
        pb_int(tensor, 1, g_ascii_strtoll(dims[i], NULL, 10));
        n *= (guint64)g_ascii_strtoll(dims[i], NULL, 10);
    }
    pb_int(tensor, 2, types[type].number);
    pb_string(tensor, 8, parts[0]);
    for (guint64 i = 0; n_values > 0 && i < n; i++)
        append_value(raw, type, values[n_values == 1 ? 0 : i]);
    pb_message(tensor, 9, raw);
    return tensor;
}

static GByteArray *write_attribute(const gchar *text)
{
    g_auto(GStrv) halves = g_strsplit(text, "=", 2);
    GByteArray *attribute = g_byte_array_new();
    const gchar *value = halves[1];

    pb_string(attribute, 1, halves[0]);
    if (g_ascii_isalpha(value[0])) {
        pb_string(attribute, 4, value);
        pb_int(attribute, 20, 3);
    } else if (strchr(value, ',') != NULL) {
        g_auto(GStrv) list = words(value, ",");

        for (guint i = 0; list[i] != NULL; i++)
            pb_int(attribute, 8, g_ascii_strtoll(list[i], NULL, 10));
        pb_int(attribute, 20, 7);
    } else if (strchr(value, '.') != NULL) {
        pb_float(attribute, 2, (float)g_ascii_strtod(value, NULL));
        pb_int(attribute, 20, 1);
    } else {
        pb_int(attribute, 3, g_ascii_strtoll(value, NULL, 10));
        pb_int(attribute, 20, 2);
    }
    return attribute;
}

GByteArray *onnx_write_node(const gchar *text)
{
    g_auto(GStrv) sides = g_strsplit(text, "{", 2);
    g_auto(GStrv) names = words(sides[0], " ");
    g_autofree gchar *braced = g_strdup(sides[1] != NULL ? sides[1] : "");
    GByteArray *node = g_byte_array_new();
    gchar *dot = strchr(names[0], '.');
    guint field = 1; /* inputs, then outputs */

    g_strdelimit(braced, "}", ' ');
    for (guint i = 1; names[i] != NULL; i++) {
        if (strcmp(names[i], "->") == 0)
            field = 2;
        else
            pb_string(node, field, strcmp(names[i], "-") == 0 ? "" : names[i]);
    }
    if (dot != NULL) {
        *dot = '\0';
        pb_string(node, 7, dot + 1);
    }
    pb_string(node, 4, names[0]);
    {
        g_auto(GStrv) attributes = words(braced, " ");

        for (guint i = 0; attributes[i] != NULL; i++)
            pb_message(node, 5, write_attribute(attributes[i]));
    }
    return node;
}

GByteArray *onnx_write_model(gint64 opset, GByteArray *graph)
{
    GByteArray *model = g_byte_array_new(), *set = g_byte_array_new();

    pb_int(model, 1, 8); /* IR version */
    pb_string(model, 2, "test");
    pb_message(model, 7, graph);
    pb_string(set, 1, "");
    pb_int(set, 2, opset);
    pb_message(model, 8, set);
    return model;
}

/* For fuzzing, which begins from what tests make. */
static void keep(const GByteArray *model)
{
    const gchar *folder = g_getenv("GPUDL_KEEP_MODELS");
    g_autofree gchar *name = NULL, *path = NULL;

    if (folder == NULL)
        return;
    name = g_compute_checksum_for_data(G_CHECKSUM_SHA1, model->data, model->len);
    path = g_build_filename(folder, name, NULL);
    g_file_set_contents(path, (const gchar *)model->data, (gssize)model->len, NULL);
}

GByteArray *onnx_write(const OnnxText *text)
{
    g_auto(GStrv) nodes = words(text->nodes, ";");
    g_auto(GStrv) inputs = words(text->inputs, " ");
    g_auto(GStrv) constants = words(text->constants, " ");
    g_auto(GStrv) outputs = words(text->outputs, " ");
    GByteArray *graph = g_byte_array_new(), *model;

    for (guint i = 0; nodes[i] != NULL; i++)
        pb_message(graph, 1, onnx_write_node(nodes[i]));
    pb_string(graph, 2, "g");
    for (guint i = 0; constants[i] != NULL; i++)
        pb_message(graph, 5, onnx_write_constant(constants[i]));
    for (guint i = 0; inputs[i] != NULL; i++)
        pb_message(graph, 11, onnx_write_value_info(inputs[i]));
    for (guint i = 0; outputs[i] != NULL; i++) {
        GByteArray *info = g_byte_array_new();

        pb_string(info, 1, outputs[i]);
        pb_message(graph, 12, info);
    }
    model = onnx_write_model(text->opset, graph);
    keep(model);
    return model;
}

GBytes *onnx_write_bytes(const OnnxText *text)
{
    return g_byte_array_free_to_bytes(onnx_write(text));
}

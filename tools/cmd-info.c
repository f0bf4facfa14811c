/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gpudl info: what is inside a model file. The library describes it as JSON; the readable form is made of that, so
 * that both always say the same. */
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>

#include "models/gpudl-import.h"
#include "tools/command.h"
#include "tools/figures.h"
#include "tools/interrupt.h"
#include "tools/report.h"
#include "tools/table.h"
#include "tools/text.h"

#define NAME "info"
#define KEY_WIDTH 18

/* "input_height" reads "input height" */
static gchar *spoken(const gchar *key)
{
    gchar *text = g_strdup(key);

    g_strdelimit(text, "_-", ' ');
    return text;
}

static void append_grouped(GString *out, gint64 value)
{
    g_autofree gchar *digits = g_strdup_printf("%" G_GINT64_FORMAT, value);
    gsize n = strlen(digits), sign = digits[0] == '-' ? 1 : 0;

    for (gsize i = 0; i < n; i++) {
        if (i > sign && (n - i) % 3 == 0)
            g_string_append_c(out, ',');
        g_string_append_c(out, digits[i]);
    }
}

/* Large counts and sizes are read with a unit; everything else as it is. */
static void append_integer(GString *out, const gchar *key, gint64 value)
{
    gboolean bytes = key != NULL && (g_str_has_suffix(key, "bytes") || g_str_has_prefix(key, "bytes"));

    if (bytes && value >= 0) {
        g_autofree gchar *text = figures_bytes((guint64)value);

        g_string_append(out, text);
    } else {
        append_grouped(out, value);
        if (key != NULL && strcmp(key, "macs") == 0 && value >= 1000000)
            g_string_append_printf(out, " (%.3g G)", (double)value / 1e9);
    }
}

static void append_value(GString *out, const gchar *key, JsonNode *node);

/* Integers are dimensions unless the key says otherwise: "1x3x224x224"; other values "a, b, c". */
static void append_list(GString *out, const gchar *key, JsonArray *array)
{
    guint n = json_array_get_length(array);
    gboolean dims = n > 0;

    for (guint i = 0; i < n && dims; i++) {
        JsonNode *item = json_array_get_element(array, i);

        dims = JSON_NODE_HOLDS_VALUE(item) && json_node_get_value_type(item) == G_TYPE_INT64;
    }
    dims = dims && key != NULL && (strstr(key, "shape") != NULL || strstr(key, "dims") != NULL);
    for (guint i = 0; i < n; i++) {
        if (i > 0)
            g_string_append(out, dims ? "x" : ", ");
        if (dims)
            g_string_append_printf(out, "%" G_GINT64_FORMAT, json_array_get_int_element(array, i));
        else
            append_value(out, key, json_array_get_element(array, i));
    }
}

static void append_value(GString *out, const gchar *key, JsonNode *node)
{
    if (JSON_NODE_HOLDS_NULL(node)) {
        g_string_append_c(out, '-');
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        append_list(out, key, json_node_get_array(node));
    } else if (JSON_NODE_HOLDS_OBJECT(node)) {
        g_autoptr(GList) members = json_object_get_members(json_node_get_object(node));

        for (GList *l = members; l != NULL; l = l->next) {
            g_autofree gchar *name = spoken(l->data);

            g_string_append_printf(out, "%s%s ", l == members ? "" : ", ", name);
            append_value(out, l->data, json_object_get_member(json_node_get_object(node), l->data));
        }
    } else if (json_node_get_value_type(node) == G_TYPE_INT64) {
        append_integer(out, key, json_node_get_int(node));
    } else if (json_node_get_value_type(node) == G_TYPE_DOUBLE) {
        g_string_append_printf(out, "%g", json_node_get_double(node));
    } else if (json_node_get_value_type(node) == G_TYPE_BOOLEAN) {
        g_string_append(out, json_node_get_boolean(node) ? "yes" : "no");
    } else {
        g_autofree gchar *text = text_printable(json_node_get_string(node));

        g_string_append(out, text);
    }
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static gboolean is_number(JsonNode *node)
{
    return node != NULL && JSON_NODE_HOLDS_VALUE(node) &&
           (json_node_get_value_type(node) == G_TYPE_INT64 || json_node_get_value_type(node) == G_TYPE_DOUBLE);
}

/* Every key of any row is a column, in the order met. */
static GPtrArray *columns_of(JsonArray *rows)
{
    GPtrArray *columns = g_ptr_array_new();

    for (guint i = 0; i < json_array_get_length(rows); i++) {
        g_autoptr(GList) members = json_object_get_members(json_array_get_object_element(rows, i));

        for (GList *l = members; l != NULL; l = l->next)
            if (!g_ptr_array_find_with_equal_func(columns, l->data, g_str_equal, NULL))
                g_ptr_array_add(columns, l->data); /* owned by the tree */
    }
    return columns;
}

static void append_table(GString *out, JsonArray *rows)
{
    g_autoptr(GPtrArray) columns = columns_of(rows);
    g_autoptr(Table) table = NULL;

    if (columns->len == 0)
        return;
    table = table_new(columns->len);
    for (guint c = 0; c < columns->len; c++) {
        table_add(table, spoken(columns->pdata[c]));
        table_set_right(table, c, TRUE);
    }
    for (guint r = 0; r < json_array_get_length(rows); r++) {
        for (guint c = 0; c < columns->len; c++) {
            JsonNode *node = json_object_get_member(json_array_get_object_element(rows, r), columns->pdata[c]);
            GString *cell = g_string_new(NULL);

            if (node != NULL)
                append_value(cell, columns->pdata[c], node);
            if (node != NULL && !is_number(node))
                table_set_right(table, c, FALSE);
            table_add(table, g_string_free(cell, FALSE));
        }
    }
    table_append_to(table, out);
}

static gboolean is_table(JsonNode *node)
{
    JsonArray *array = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;

    if (array == NULL || json_array_get_length(array) == 0)
        return FALSE;
    for (guint i = 0; i < json_array_get_length(array); i++)
        if (!JSON_NODE_HOLDS_OBJECT(json_array_get_element(array, i)))
            return FALSE;
    return TRUE;
}

static void append_section(GString *out, const gchar *key, JsonNode *node)
{
    g_autofree gchar *heading = spoken(key);

    if (out->len > 0)
        g_string_append_c(out, '\n');
    heading[0] = g_ascii_toupper(heading[0]);
    g_string_append_printf(out, "%s\n", heading);
    if (is_table(node)) {
        append_table(out, json_node_get_array(node));
    } else if (JSON_NODE_HOLDS_OBJECT(node)) {
        JsonObject *object = json_node_get_object(node);
        g_autoptr(GList) members = json_object_get_members(object);

        for (GList *l = members; l != NULL; l = l->next) {
            g_autofree gchar *name = spoken(l->data);

            g_string_append(out, "  ");
            g_string_append_printf(out, "%-*s", KEY_WIDTH, name);
            append_value(out, l->data, json_object_get_member(object, l->data));
            g_string_append_c(out, '\n');
        }
    } else {
        g_string_append(out, "  ");
        append_value(out, key, node);
        g_string_append_c(out, '\n');
    }
}

static gboolean print_readable(const gchar *json, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(GList) sections = NULL;
    JsonObject *root;

    if (!json_parser_load_from_data(parser, json, -1, error))
        return FALSE;
    root = json_node_get_object(json_parser_get_root(parser));
    sections = json_object_get_members(root);
    for (GList *l = sections; l != NULL; l = l->next)
        append_section(out, l->data, json_object_get_member(root, l->data));
    fputs(out->str, stdout);
    return TRUE;
}

/* What it would run in here, and on what; nothing where there is nothing to run on, which doctor explains. */
static void print_here(GpudlModel *model)
{
    GpudlPrecision precision;
    g_autofree gchar *device = NULL, *name = NULL;

    if (!gpudl_session_foresee(model, NULL, &precision, &device, NULL))
        return;
    name = text_printable(device);
    printf("\nHere\n  %-*s%s\n  %-*s%s\n", KEY_WIDTH, "precision", gpudl_precision_name(precision), KEY_WIDTH, "device",
           name);
}

/* The header of a net.bin names an id that is not its content's: nobody has to trust it, but somebody wrote it. */
static void note_false_id(const gchar *path, const gchar *json)
{
    g_autoptr(JsonNode) root = json_from_string(json, NULL);
    JsonObject *model = json_object_get_object_member(json_node_get_object(root), "model");

    if (json_object_has_member(model, "false_id"))
        say_error(NAME, "note: the header of %s says id %s, its content has %s: it was not written by gpudl as it is",
                  path, json_object_get_string_member(model, "false_id"), json_object_get_string_member(model, "id"));
}

/* ---- a session's memory ------------------------------------------------------------------------------------------ */

static void add_session(JsonBuilder *b, const GpudlForecast *forecast)
{
    report_text(b, "precision", gpudl_precision_name(forecast->precision));
    report_integer(b, "largest_batch", forecast->batch_size);
    report_integer(b, "weight_bytes", forecast->weights);
    report_integer(b, "work_bytes", forecast->workspace);
    report_integer(b, "total_bytes", forecast->weights + forecast->workspace);
    if (forecast->n_choices == 0 && strcmp(forecast->backend, "cpu") == 0)
        return;
    json_builder_set_member_name(b, "tuned");
    json_builder_add_boolean_value(b, forecast->n_known == forecast->n_choices);
}

/* What a session with the defaults takes on this backend, or why there is none; NULL without a device. */
static JsonNode *describe_session(GpudlModel *model, const gchar *backend, GCancellable *cancellable)
{
    const GpudlSessionConfig config = {.struct_size = sizeof config, .backend = backend, .cuda_device_id = -1};
    g_autoptr(JsonBuilder) b = json_builder_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlForecast) forecast = gpudl_session_forecast(model, &config, cancellable, &error);

    if (g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_BACKEND) ||
        g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_NO_DEVICE) ||
        g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED) ||
        (forecast != NULL && forecast->weights + forecast->workspace == 0))
        return NULL;
    json_builder_begin_object(b);
    if (forecast != NULL)
        add_session(b, forecast);
    else
        report_text(b, "refused", error->message);
    json_builder_end_object(b);
    return json_builder_get_root(b);
}

/* The description with this section at its end; text is taken. */
static gchar *add_section(gchar *text, const gchar *name, JsonNode *session)
{
    g_autofree gchar *given = text;
    g_autoptr(JsonNode) root = json_from_string(text, NULL);

    json_object_set_member(json_node_get_object(root), name, session);
    return json_to_string(root, TRUE);
}

static int show(const gchar *path, const GpudlImportOptions *options, gboolean json, gboolean layers)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GCancellable) cancellable = interrupt_begin();
    g_autoptr(GpudlModel) model = gpudl_model_load(path, options, cancellable, &error);
    g_autofree gchar *text = NULL;
    JsonNode *on_gpu = model != NULL ? describe_session(model, "cuda", cancellable) : NULL;
    JsonNode *on_cpu = model != NULL && on_gpu == NULL ? describe_session(model, "cpu", cancellable) : NULL;

    if (error == NULL && g_cancellable_is_cancelled(cancellable))
        g_cancellable_set_error_if_cancelled(cancellable, &error);
    interrupt_end();
    if (model != NULL)
        text = gpudl_model_describe(model, layers);
    if (on_gpu != NULL)
        text = add_section(g_steal_pointer(&text), "cuda_session", on_gpu);
    if (on_cpu != NULL)
        text = add_section(g_steal_pointer(&text), "cpu_session", on_cpu);
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ||
        g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED))
        interrupt_exit(NAME, NULL);
    if (text != NULL)
        note_false_id(path, text);
    if (model != NULL)
        note_model(NAME, path, model);
    if (text != NULL && json)
        printf("%s%s", text, g_str_has_suffix(text, "\n") ? "" : "\n");
    if (text == NULL || (!json && !print_readable(text, &error))) {
        say_error(NAME, "%s", error->message);
        return EXIT_FAILED;
    }
    if (!json)
        print_here(model);
    return EXIT_OK;
}

int cmd_info(int argc, char **argv)
{
    gboolean json = FALSE, layers = FALSE;
    GpudlImportOptions options = {.struct_size = sizeof options};
    g_autofree gchar *size = NULL;
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) arguments = NULL;
    int status;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "As JSON", NULL},
        {"input-size", 0, 0, G_OPTION_ARG_STRING, &size, "For files with a free input size", "HxW"},
        {"layers", 0, 0, G_OPTION_ARG_NONE, &layers, "Every layer as well", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments, NULL, NULL},
        G_OPTION_ENTRY_NULL,
    };

    status = parse_options(argv, entries, "MODEL",
                           "Shows what is inside a net.bin or a file of ONNX, PyTorch, TensorFlow or Caffe: input,\n"
                           "pre-processing, outputs, labels, parameters, multiply-accumulates, memory, where it comes\n"
                           "from; and what a session with the defaults takes of an NVIDIA device where there is one,\n"
                           "else of memory on the CPU.");
    if (status >= 0)
        return status;
    if (arguments == NULL)
        return say_usage(NAME, "no model given");
    if (arguments[1] != NULL)
        return say_usage(NAME, "one model at a time; found '%s' as well", arguments[1]);
    if (size != NULL && !parse_size("input-size", size, &options.input_height, &options.input_width, &error))
        return say_usage(NAME, "%s", error->message);
    return finish_stdout(NAME, show(arguments[0], &options, json, layers));
}

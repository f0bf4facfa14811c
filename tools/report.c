/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/report.h"

#include <math.h>

#include "tools/figures.h"

void report_subject_init(ReportSubject *subject, GpudlModel *model, const gchar *file, gchar *const *argv)
{
    g_autofree gchar *line = figures_command(argv);

    *subject = (ReportSubject){.model = g_strdup(gpudl_model_get_name(model)),
                               .file = g_strdup(file),
                               .id = g_strdup(gpudl_model_get_id(model)),
                               .command = g_strdup_printf("gpudl %s", line),
                               .date = figures_now()};
}

void report_subject_clear(ReportSubject *subject)
{
    g_free(subject->model);
    g_free(subject->file);
    g_free(subject->id);
    g_free(subject->command);
    g_free(subject->date);
}

JsonBuilder *report_begin(const ReportSubject *subject)
{
    JsonBuilder *builder = json_builder_new();

    json_builder_begin_object(builder);
    report_text(builder, "gpudl", gpudl_version());
    report_text(builder, "date", subject->date);
    report_text(builder, "command", subject->command);
    json_builder_set_member_name(builder, "model");
    json_builder_begin_object(builder);
    report_text(builder, "name", subject->model);
    report_text(builder, "file", subject->file);
    report_text(builder, "id", subject->id);
    json_builder_end_object(builder);
    return builder;
}

gchar *report_end(JsonBuilder *builder)
{
    g_autoptr(JsonBuilder) owned = builder;
    g_autoptr(JsonNode) root = NULL;
    g_autofree gchar *text = NULL;

    json_builder_end_object(owned);
    root = json_builder_get_root(owned);
    text = json_to_string(root, TRUE);
    return g_strconcat(text, "\n", NULL);
}

void report_text(JsonBuilder *builder, const gchar *name, const gchar *text)
{
    g_autofree gchar *valid = text != NULL ? g_utf8_make_valid(text, -1) : NULL;

    json_builder_set_member_name(builder, name);
    if (valid != NULL)
        json_builder_add_string_value(builder, valid);
    else
        json_builder_add_null_value(builder);
}

void report_integer(JsonBuilder *builder, const gchar *name, guint64 value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_int_value(builder, (gint64)MIN(value, (guint64)G_MAXINT64));
}

void report_known(JsonBuilder *builder, const gchar *name, guint64 value)
{
    if (value != 0)
        report_integer(builder, name, value);
    else
        report_text(builder, name, NULL);
}

void report_number(JsonBuilder *builder, const gchar *name, double value)
{
    g_autofree gchar *digits = g_strdup_printf("%.6g", value);

    if (!isfinite(value)) {
        report_text(builder, name, NULL);
        return;
    }
    json_builder_set_member_name(builder, name);
    json_builder_add_double_value(builder, g_ascii_strtod(digits, NULL));
}

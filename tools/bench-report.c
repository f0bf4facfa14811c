/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/bench.h"
#include "tools/table.h"
#include "tools/text.h"

static double rate(const BenchResult *result)
{
    return (double)result->frames * 1e9 / (double)result->wall_ns;
}

static gchar *choice(guint value)
{
    return value == 0 ? g_strdup("auto") : g_strdup_printf("%u", value);
}

static gchar *describe_input(const BenchPlan *plan)
{
    if (plan->frames == NULL)
        return g_strdup("values for the network, no pre-processing");
    return g_strdup_printf("%dx%d %s", plan->frames->width, plan->frames->height,
                           synthetic_format_name(plan->frames->format));
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static void add_case(Table *table, const BenchResult *result)
{
    const gchar *asked = result->asked.backend, *took = result->backend;

    table_add(table,
              took != NULL && g_strcmp0(took, asked) != 0 ? g_strdup_printf("%s (%s)", asked, took) : g_strdup(asked));
    table_add(table, g_strdup(gpudl_precision_name(took != NULL ? result->precision : result->asked.precision)));
    table_add(table, choice(result->asked.threads));
    table_add(table, choice(result->asked.batch));
}

static void add_figures(Table *table, const BenchResult *result, const TimeUnit *unit)
{
    table_add(table, g_strdup_printf("%.1f", rate(result)));
    table_add(table, figures_time(unit, (double)result->latency.p50));
    table_add(table, figures_time(unit, (double)result->latency.p90));
    table_add(table, figures_time(unit, (double)result->latency.p99));
    table_add(table, figures_time(unit, (double)result->latency.max));
    table_add(table, figures_time(unit, (double)result->processor_ns / (double)result->frames));
    table_add(table, g_strdup_printf("%u", result->depth));
    table_add(table, g_strdup_printf("%.3g", result->mean_batch));
}

static void append_measured(GString *out, const BenchResult *results, guint n, const TimeUnit *unit)
{
    static const gchar *const headings[] = {"backend", "precision", "threads", "batch",     "frames/s",  "p50",
                                            "p90",     "p99",       "max",     "processor", "under way", "together"};
    g_autoptr(Table) table = table_new(G_N_ELEMENTS(headings));

    table_add_row(table, headings);
    for (guint c = 2; c < G_N_ELEMENTS(headings); c++)
        table_set_right(table, c, TRUE);
    for (guint i = 0; i < n; i++) {
        if (results[i].reason == NULL) {
            add_case(table, &results[i]);
            add_figures(table, &results[i], unit);
        }
    }
    table_append_to(table, out);
    g_string_append_printf(
        out,
        "\np50 to max: from submitting a frame to its result, %s; processor: its time per frame, %s, "
        "of all cores;\nunder way: frames kept so at once; together: frames of an execution\n",
        unit->name, unit->name);
}

static void append_refused(GString *out, const BenchResult *results, guint n)
{
    static const gchar *const headings[] = {"backend", "precision", "threads", "batch", "reason"};
    g_autoptr(Table) table = table_new(G_N_ELEMENTS(headings));

    table_add_row(table, headings);
    for (guint i = 0; i < n; i++) {
        if (results[i].reason == NULL)
            continue;
        add_case(table, &results[i]);
        table_add(table, g_strdup(results[i].reason));
    }
    g_string_append(out, "not measured:\n");
    table_append_to(table, out);
}

/* Each device once. */
static void append_devices(GString *out, const BenchResult *results, guint n)
{
    for (guint i = 0; i < n; i++) {
        g_autofree gchar *device = results[i].reason == NULL ? text_printable(results[i].device) : NULL;
        gboolean told = device == NULL;

        for (guint j = 0; j < i && !told; j++)
            told = g_strcmp0(results[j].device, results[i].device) == 0;
        if (!told)
            g_string_append_printf(out, "%s\n", device);
    }
}

gchar *bench_text(const ReportSubject *subject, const BenchPlan *plan, const BenchResult *results, guint n)
{
    g_autofree gchar *name = text_printable(subject->model), *input = describe_input(plan);
    GString *out = g_string_new(NULL);
    guint64 slowest = 0;
    guint n_measured = 0;

    g_string_append_printf(out, "%s, %s, %g s each\n", name, input, plan->seconds);
    append_devices(out, results, n);
    for (guint i = 0; i < n; i++) {
        slowest = MAX(slowest, results[i].latency.p50);
        n_measured += results[i].reason == NULL;
    }
    if (n_measured > 0) {
        g_string_append_c(out, '\n');
        append_measured(out, results, n, figures_time_unit(slowest));
    }
    if (n_measured < n) {
        g_string_append_c(out, '\n');
        append_refused(out, results, n);
    }
    return g_string_free(out, FALSE);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void add_json_case(JsonBuilder *builder, const BenchCase *asked)
{
    json_builder_set_member_name(builder, "asked");
    json_builder_begin_object(builder);
    report_text(builder, "backend", asked->backend);
    report_text(builder, "precision", gpudl_precision_name(asked->precision));
    report_integer(builder, "threads", asked->threads);
    report_integer(builder, "batch", asked->batch);
    json_builder_end_object(builder);
}

static void add_json_latency(JsonBuilder *builder, const Spread *latency)
{
    json_builder_set_member_name(builder, "latency_ns");
    json_builder_begin_object(builder);
    report_integer(builder, "min", latency->min);
    report_number(builder, "mean", latency->mean);
    report_integer(builder, "p50", latency->p50);
    report_integer(builder, "p90", latency->p90);
    report_integer(builder, "p99", latency->p99);
    report_integer(builder, "max", latency->max);
    json_builder_end_object(builder);
}

static void add_json_result(JsonBuilder *builder, const BenchResult *result)
{
    json_builder_begin_object(builder);
    add_json_case(builder, &result->asked);
    json_builder_set_member_name(builder, "measured");
    json_builder_add_boolean_value(builder, result->reason == NULL);
    if (result->reason != NULL) {
        report_text(builder, "reason", result->reason);
    } else {
        report_text(builder, "backend", result->backend);
        report_text(builder, "device", result->device);
        report_text(builder, "precision", gpudl_precision_name(result->precision));
        report_integer(builder, "parallelism", result->parallelism);
        report_integer(builder, "max_batch", result->max_batch);
        report_integer(builder, "depth", result->depth);
        report_integer(builder, "weight_bytes", result->weights);
        report_integer(builder, "work_bytes", result->workspace);
        report_integer(builder, "load_ns", result->load_ns);
        report_integer(builder, "settle_ns", result->settle_ns);
        report_integer(builder, "frames", result->frames);
        report_integer(builder, "wall_ns", result->wall_ns);
        report_integer(builder, "processor_ns", result->processor_ns);
        report_number(builder, "processor_ns_per_frame", (double)result->processor_ns / (double)result->frames);
        report_number(builder, "frames_per_second", rate(result));
        report_number(builder, "mean_batch", result->mean_batch);
        add_json_latency(builder, &result->latency);
    }
    json_builder_end_object(builder);
}

gchar *bench_json(const ReportSubject *subject, const BenchPlan *plan, const BenchResult *results, guint n)
{
    JsonBuilder *builder = report_begin(subject);

    json_builder_set_member_name(builder, "input");
    json_builder_begin_object(builder);
    report_text(builder, "kind", plan->frames != NULL ? "frames" : "values");
    if (plan->frames != NULL) {
        report_integer(builder, "width", (guint64)plan->frames->width);
        report_integer(builder, "height", (guint64)plan->frames->height);
        report_text(builder, "format", synthetic_format_name(plan->frames->format));
    }
    json_builder_end_object(builder);
    report_number(builder, "seconds", plan->seconds);
    report_number(builder, "warmup_seconds", plan->warmup);
    json_builder_set_member_name(builder, "results");
    json_builder_begin_array(builder);
    for (guint i = 0; i < n; i++)
        add_json_result(builder, &results[i]);
    json_builder_end_array(builder);
    return report_end(builder);
}

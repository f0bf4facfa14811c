/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/profile-report.h"

#include <math.h>

#include "tools/figures.h"
#include "tools/table.h"
#include "tools/text.h"

/* 0 of an amount or a rate that is not known. */
static double time_of(guint64 amount, guint64 per_second)
{
    return per_second > 0 ? (double)amount * 1e9 / (double)per_second : 0;
}

guint64 profile_floor(const Profile *profile, const GpudlProfileStep *step)
{
    const double move = time_of(step->bytes, profile->bytes_per_second);
    const double compute = time_of(step->flops, profile->flops_per_second);

    return (guint64)ceil(MAX(move, compute));
}

gboolean profile_has_floor(const Profile *profile)
{
    return profile->bytes_per_second > 0 || profile->flops_per_second > 0;
}

ProfileTotal profile_total(const Profile *profile)
{
    ProfileTotal total = {0};

    for (guint i = 0; i < profile->n_steps; i++) {
        total.ns += profile->steps[i].ns;
        total.bytes += profile->steps[i].bytes;
        total.flops += profile->steps[i].flops;
        total.floor_ns += profile_floor(profile, &profile->steps[i]);
    }
    return total;
}

ProfileTotal profile_reorders(const Profile *profile, guint *n)
{
    ProfileTotal total = {0};

    *n = 0;
    for (guint i = 0; i < profile->n_steps; i++) {
        const GpudlProfileStep *step = &profile->steps[i];

        if (step->implementation == NULL || !g_str_has_prefix(step->implementation, "reorder "))
            continue;
        total.ns += step->ns;
        total.bytes += step->bytes;
        total.flops += step->flops;
        (*n)++;
    }
    return total;
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

static gint by_time(gconstpointer a, gconstpointer b, gpointer data)
{
    const Profile *profile = data;
    guint i = *(const guint *)a, j = *(const guint *)b;
    guint64 x = profile->steps[i].ns, y = profile->steps[j].ns;

    if (x != y)
        return x > y ? -1 : 1;
    return i < j ? -1 : i > j;
}

static gint by_run(gconstpointer a, gconstpointer b)
{
    guint i = *(const guint *)a, j = *(const guint *)b;

    return i < j ? -1 : i > j;
}

GArray *profile_order(const Profile *profile, ProfileSort sort, guint top)
{
    GArray *order = g_array_sized_new(FALSE, FALSE, sizeof(guint), profile->n_steps);

    for (guint i = 0; i < profile->n_steps; i++)
        g_array_append_val(order, i);
    g_array_sort_with_data(order, by_time, (gpointer)profile);
    if (top > 0 && top < order->len)
        g_array_set_size(order, top);
    if (sort == PROFILE_BY_RUN)
        g_array_sort(order, by_run);
    return order;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static void add_figures(Table *table, const Profile *profile, const TimeUnit *unit, const ProfileTotal *of,
                        guint64 all_ns)
{
    table_add(table, figures_time(unit, (double)of->ns));
    table_add(table, figures_share(of->ns, all_ns));
    if (profile_has_floor(profile))
        table_add(table, of->floor_ns > 0 ? figures_time(unit, (double)of->floor_ns) : g_strdup(""));
    table_add(table, figures_rate(of->flops, of->ns));
    table_add(table, figures_rate(of->bytes, of->ns));
}

static void add_step(Table *table, const Profile *profile, guint i, const TimeUnit *unit, guint64 all_ns)
{
    const GpudlProfileStep *step = &profile->steps[i];
    const ProfileTotal figures = {step->ns, step->bytes, step->flops, profile_floor(profile, step)};

    table_add(table, g_strdup_printf("%u", i));
    add_figures(table, profile, unit, &figures, all_ns);
    table_add(table, g_strdup(step->op));
    table_add(table, g_strdup(step->implementation != NULL ? step->implementation : ""));
    table_add(table,
              step->n_nodes > 1 ? g_strdup_printf("%s (%u nodes)", step->node, step->n_nodes) : g_strdup(step->node));
}

static void append_floor(GString *out, const Profile *profile, const TimeUnit *unit, const ProfileTotal *total)
{
    g_autofree gchar *floor = figures_time(unit, (double)total->floor_ns);
    g_autofree gchar *share = figures_share(total->floor_ns, total->ns);
    g_autofree gchar *move = figures_rate(profile->bytes_per_second, 1000000000),
                     *compute = figures_rate(profile->flops_per_second, 1000000000);

    g_string_append_printf(out, "their floor: %s %s, %s, at the most that this device could do:%s%s%s%s%s%s\n", floor,
                           unit->name, share, move[0] != '\0' ? " " : "", move, move[0] != '\0' ? " GB/s" : "",
                           compute[0] != '\0' ? " " : "", compute, compute[0] != '\0' ? " GFLOP/s" : "");
}

static void append_sums(GString *out, const Profile *profile, const TimeUnit *unit, const ProfileTotal *total)
{
    g_autofree gchar *sum = figures_time(unit, (double)total->ns);
    g_autofree gchar *whole = figures_time(unit, (double)profile->whole_ns);
    guint n_reorders;
    const ProfileTotal reorders = profile_reorders(profile, &n_reorders);
    g_autofree gchar *moved = figures_time(unit, (double)reorders.ns), *share = figures_share(reorders.ns, total->ns);
    g_autofree gchar *between = figures_time(unit, fabs((double)profile->whole_ns - (double)total->ns));

    g_string_append_printf(out, "\n%u steps: %s %s\n", profile->n_steps, sum, unit->name);
    if (profile_has_floor(profile))
        append_floor(out, profile, unit, total);
    if (n_reorders > 0)
        g_string_append_printf(out, "of them %u reorder%s: %s %s, %s\n", n_reorders, n_reorders > 1 ? "s" : "", moved,
                               unit->name, share);
    if (profile->whole_ns == 0)
        g_string_append(out, "a whole run: not measured\n");
    else
        g_string_append_printf(out, "a whole run: %s %s, %s %s %s than the steps%s\n", whole, unit->name, between,
                               unit->name, profile->whole_ns >= total->ns ? "more" : "less",
                               profile->whole_by_frames ? "" : " (as the backend measured it)");
}

gchar *profile_text(const Profile *profile, ProfileSort sort, guint top)
{
    const gchar *with_floor[] = {"step", NULL,       "share",          "floor", "GFLOP/s",
                                 "GB/s", "operator", "implementation", "node"},
                *without[] = {"step", NULL, "share", "GFLOP/s", "GB/s", "operator", "implementation", "node"};
    const gboolean has_floor = profile_has_floor(profile);
    const gchar **headings = has_floor ? with_floor : without;
    g_autoptr(GArray) order = profile_order(profile, sort, top);
    g_autoptr(Table) table = table_new(has_floor ? G_N_ELEMENTS(with_floor) : G_N_ELEMENTS(without));
    ProfileTotal total = profile_total(profile), left = total;
    const TimeUnit *unit = figures_time_unit(MAX(profile->whole_ns, total.ns));
    g_autofree gchar *name = text_printable(profile->subject.model), *device = text_printable(profile->device);
    GString *out = g_string_new(NULL);

    g_string_append_printf(out, "%s on %s, %s, batch %u, median of %u runs\n%s\n\n", name, profile->backend,
                           profile->precision, profile->batch, profile->runs, device);
    headings[1] = unit->name;
    table_add_row(table, headings);
    for (guint c = 0; c < 5u + (guint)has_floor; c++)
        table_set_right(table, c, TRUE);
    for (guint i = 0; i < order->len; i++) {
        const GpudlProfileStep *step = &profile->steps[g_array_index(order, guint, i)];

        add_step(table, profile, g_array_index(order, guint, i), unit, total.ns);
        left.ns -= step->ns;
        left.bytes -= step->bytes;
        left.flops -= step->flops;
        left.floor_ns -= profile_floor(profile, step);
    }
    if (order->len < profile->n_steps) {
        table_add(table, g_strdup(""));
        add_figures(table, profile, unit, &left, total.ns);
        table_add(table, g_strdup(""));
        table_add(table, g_strdup(""));
        table_add(table, g_strdup_printf("the other %u", profile->n_steps - order->len));
    }
    table_append_to(table, out);
    append_sums(out, profile, unit, &total);
    return g_string_free(out, FALSE);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void add_json_step(JsonBuilder *builder, const Profile *profile, const GpudlProfileStep *step, guint64 all_ns)
{
    json_builder_begin_object(builder);
    report_text(builder, "node", step->node);
    report_integer(builder, "nodes", step->n_nodes);
    report_text(builder, "op", step->op);
    report_text(builder, "implementation", step->implementation);
    report_integer(builder, "ns", step->ns);
    report_number(builder, "share", all_ns > 0 ? (double)step->ns / (double)all_ns : 0.0);
    report_known(builder, "flops", step->flops);
    report_known(builder, "bytes", step->bytes);
    report_known(builder, "floor_ns", profile_floor(profile, step));
    json_builder_end_object(builder);
}

gchar *profile_json(const Profile *profile)
{
    guint n_reorders;
    ProfileTotal total = profile_total(profile), reorders = profile_reorders(profile, &n_reorders);
    JsonBuilder *builder = report_begin(&profile->subject);

    report_text(builder, "backend", profile->backend);
    report_text(builder, "device", profile->device);
    report_text(builder, "precision", profile->precision);
    report_integer(builder, "batch", profile->batch);
    report_integer(builder, "runs", profile->runs);
    json_builder_set_member_name(builder, "highest_rates");
    json_builder_begin_object(builder);
    report_known(builder, "bytes_per_second", profile->bytes_per_second);
    report_known(builder, "flops_per_second", profile->flops_per_second);
    json_builder_end_object(builder);
    json_builder_set_member_name(builder, "steps");
    json_builder_begin_array(builder);
    for (guint i = 0; i < profile->n_steps; i++)
        add_json_step(builder, profile, &profile->steps[i], total.ns);
    json_builder_end_array(builder);
    json_builder_set_member_name(builder, "total");
    json_builder_begin_object(builder);
    report_integer(builder, "ns", total.ns);
    report_known(builder, "flops", total.flops);
    report_known(builder, "bytes", total.bytes);
    report_known(builder, "floor_ns", total.floor_ns);
    json_builder_end_object(builder);
    json_builder_set_member_name(builder, "reorders");
    json_builder_begin_object(builder);
    report_integer(builder, "steps", n_reorders);
    report_integer(builder, "ns", reorders.ns);
    report_number(builder, "share", total.ns > 0 ? (double)reorders.ns / (double)total.ns : 0.0);
    report_known(builder, "bytes", reorders.bytes);
    json_builder_end_object(builder);
    report_known(builder, "whole_run_ns", profile->whole_ns);
    json_builder_set_member_name(builder, "difference_ns");
    if (profile->whole_ns > 0)
        json_builder_add_int_value(builder, (gint64)profile->whole_ns - (gint64)total.ns);
    else
        json_builder_add_null_value(builder);
    report_text(builder, "whole_run_by",
                profile->whole_ns == 0     ? NULL
                : profile->whole_by_frames ? "frames"
                                           : "backend");
    return report_end(builder);
}

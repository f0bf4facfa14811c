/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "tools/eval.h"
#include "tools/figures.h"
#include "tools/table.h"
#include "tools/text.h"

/* ---- text -------------------------------------------------------------------------------------------------------- */

static gchar *class_text(const Evaluation *e, guint32 id)
{
    return e->names[id] != NULL ? g_strdup_printf("%u %s", id, e->names[id]) : g_strdup_printf("%u", id);
}

static gchar *share_text(guint part, guint whole)
{
    return whole == 0 ? g_strdup("-") : g_strdup_printf("%.2f %%", 100.0 * part / whole);
}

static gchar *number_text(double value)
{
    return isnan(value) ? g_strdup("-") : g_strdup_printf("%.4f", value);
}

static void append_headline(GString *out, const Evaluation *e)
{
    g_autofree gchar *path = text_printable(e->dataset->path);

    g_string_append_printf(out, "%s: %u picture%s of %u, %u class%s found by %s", path, e->n, e->n == 1 ? "" : "s",
                           e->dataset->pictures->len, e->dataset->labels->len, e->dataset->labels->len == 1 ? "" : "es",
                           dataset_match_name(e->match));
    if (e->n_failures > 0)
        g_string_append_printf(out, "; %u could not be judged", e->n_failures);
    g_string_append_printf(out, "; %.1f pictures/s\n", e->n / MAX(e->seconds, 1e-9));
}

static gchar *side_text(const EvalSide *side)
{
    g_autofree gchar *base = g_path_get_basename(side->file);

    return g_strdup_printf("%s, %s, %s", base, side->backend, side->precision);
}

static gchar *figure_text(const EvalFigures *f, guint row)
{
    switch (row) {
    case 0:
        return share_text(f->n_right, f->n);
    case 1:
        return g_strdup_printf("%.2f .. %.2f", 100 * f->low, 100 * f->high);
    case 2:
        return share_text(f->n_best, f->n);
    case 3:
        return number_text(f->loss);
    case 4:
        return number_text(f->calibration_error);
    case 5:
        return number_text(f->confidence);
    default:
        return number_text(f->margin);
    }
}

static void append_figures(GString *out, const Evaluation *e)
{
    static const gchar *const rows[] = {
        "top-1",           "  95 % interval",          "top-5", "cross-entropy loss", "calibration error (ECE)",
        "mean confidence", "mean margin to the second"};
    g_autoptr(Table) table = table_new(1 + e->n_sides);

    table_add(table, g_strdup(""));
    for (guint s = 0; s < e->n_sides; s++) {
        table_set_right(table, 1 + s, TRUE);
        table_add(table, side_text(&e->sides[s]));
    }
    for (guint r = 0; r < G_N_ELEMENTS(rows); r++) {
        if (r == 2 && e->n_classes <= EVAL_BEST)
            continue;
        table_add(table, g_strdup(rows[r]));
        for (guint s = 0; s < e->n_sides; s++)
            table_add(table, figure_text(e->sides[s].figures, r));
    }
    table_append_to(table, out);
}

/* What is left out of a table. */
static void append_rest(GString *out, guint all, guint shown)
{
    if (all > shown)
        g_string_append_printf(out, "  and %u more (--top=0)\n", all - shown);
}

static gint by_share(gconstpointer a, gconstpointer b, gpointer data)
{
    const EvalFigures *f = data;
    guint i = *(const guint *)a, j = *(const guint *)b;
    const EvalClass *x = &f->classes[i], *y = &f->classes[j];
    guint64 left = (guint64)x->n_right * y->n, right = (guint64)y->n_right * x->n;

    if (left != right)
        return left < right ? -1 : 1;
    return i < j ? -1 : i > j;
}

/* Classes that have pictures, those that are answered worst by the first side in front. */
static GArray *order_classes(const Evaluation *e)
{
    const EvalFigures *f = e->sides[0].figures;
    GArray *order = g_array_new(FALSE, FALSE, sizeof(guint));

    for (guint c = 0; c < e->n_classes; c++)
        if (f->classes[c].n > 0)
            g_array_append_val(order, c);
    g_array_sort_with_data(order, by_share, (gpointer)f);
    return order;
}

static void append_classes(GString *out, const Evaluation *e, guint top)
{
    g_autoptr(GArray) order = order_classes(e);
    guint shown = top > 0 ? MIN(top, order->len) : order->len;
    gboolean best = e->n_classes > EVAL_BEST;
    guint columns = (best ? 3 : 2) * e->n_sides;
    g_autoptr(Table) table = table_new(2 + columns);

    g_string_append(out, "\nclasses, the worst first\n");
    table_add(table, g_strdup("pictures"));
    table_set_right(table, 0, TRUE);
    for (guint s = 0; s < e->n_sides; s++) {
        table_add(table, g_strdup("top-1"));
        if (best)
            table_add(table, g_strdup("top-5"));
        table_add(table, g_strdup("answered"));
    }
    for (guint c = 1; c <= columns; c++)
        table_set_right(table, c, TRUE);
    table_add(table, g_strdup("class"));
    for (guint i = 0; i < shown; i++) {
        guint id = g_array_index(order, guint, i);

        table_add(table, g_strdup_printf("%u", e->sides[0].figures->classes[id].n));
        for (guint s = 0; s < e->n_sides; s++) {
            const EvalClass *class = &e->sides[s].figures->classes[id];

            table_add(table, share_text(class->n_right, class->n));
            if (best)
                table_add(table, share_text(class->n_best, class->n));
            table_add(table, g_strdup_printf("%u", class->n_answers));
        }
        table_add(table, class_text(e, id));
    }
    table_append_to(table, out);
    append_rest(out, order->len, shown);
}

static void append_confusions(GString *out, const Evaluation *e, guint side, guint top)
{
    const GArray *all = e->sides[side].figures->confusions;
    guint shown = top > 0 ? MIN(top, all->len) : all->len;
    g_autoptr(Table) table = table_new(3);

    if (all->len == 0)
        return;
    g_string_append(out, "\nmost frequent confusions");
    g_string_append(out, e->n_sides == 1 ? "\n" : side == 0 ? " of the first\n" : " of the second\n");
    table_set_right(table, 0, TRUE);
    table_add_row(table, (const gchar *const[]){"pictures", "of", "taken for"});
    for (guint i = 0; i < shown; i++) {
        const EvalConfusion *one = &g_array_index(all, EvalConfusion, i);

        table_add(table, g_strdup_printf("%u", one->n));
        table_add(table, class_text(e, one->truth));
        table_add(table, class_text(e, one->answer));
    }
    table_append_to(table, out);
    append_rest(out, all->len, shown);
}

/* ---- two sides --------------------------------------------------------------------------------------------------- */

typedef struct {
    guint n_same, n_both, n_first, n_second, n_neither; /* right */
    GArray *differ;                                     /* of guint, within 0..n */
} Comparison;

static Comparison compare(const Evaluation *e)
{
    Comparison c = {.differ = g_array_new(FALSE, FALSE, sizeof(guint))};

    for (guint i = 0; i < e->n; i++) {
        guint32 first = e->sides[0].answers[i].answer, second = e->sides[1].answers[i].answer;
        gboolean a = first == e->truths[i], b = second == e->truths[i];

        c.n_both += a && b;
        c.n_first += a && !b;
        c.n_second += b && !a;
        c.n_neither += !a && !b;
        c.n_same += first == second;
        if (first != second)
            g_array_append_val(c.differ, i);
    }
    return c;
}

static gchar *answer_text(const Evaluation *e, const EvalAnswer *answer)
{
    g_autofree gchar *name = class_text(e, answer->answer);

    return g_strdup_printf("%s (%.4f)", name, answer->confidence);
}

static void append_comparison(GString *out, const Evaluation *e, guint top)
{
    Comparison c = compare(e);
    guint shown = top > 0 ? MIN(top, c.differ->len) : c.differ->len;
    g_autofree gchar *agreement = share_text(c.n_same, e->n);
    g_autofree gchar *worst = e->difference > 0 ? dataset_name(e->dataset, e->pictures[e->difference_at]) : NULL;
    g_autofree gchar *worst_shown = worst != NULL ? text_printable(worst) : NULL;
    g_autoptr(Table) table = table_new(4);

    g_string_append_printf(out,
                           "\nthe same answer: %s (%u of %u); right: both %u, only the first %u, only the second %u, "
                           "neither %u\n",
                           agreement, c.n_same, e->n, c.n_both, c.n_first, c.n_second, c.n_neither);
    if (e->difference > 0)
        g_string_append_printf(out, "largest difference of a score: %.4g, %s\n", e->difference, worst_shown);
    else if (e->n > 0)
        g_string_append(out, "no score differs\n");
    if (c.differ->len > 0) {
        g_string_append(out, "\nwhere they differ\n");
        table_add_row(table, (const gchar *const[]){"of", "the first", "the second", "picture"});
        for (guint k = 0; k < shown; k++) {
            guint i = g_array_index(c.differ, guint, k);

            table_add(table, class_text(e, e->truths[i]));
            for (guint s = 0; s < 2; s++)
                table_add(table, answer_text(e, &e->sides[s].answers[i]));
            table_add(table, dataset_name(e->dataset, e->pictures[i]));
        }
        table_append_to(table, out);
        append_rest(out, c.differ->len, shown);
    }
    g_array_unref(c.differ);
}

gchar *eval_text(const Evaluation *e, guint top)
{
    GString *out = g_string_new(NULL);

    append_headline(out, e);
    append_figures(out, e);
    if (e->n > 0) {
        append_classes(out, e, top);
        for (guint s = 0; s < e->n_sides; s++)
            append_confusions(out, e, s, top);
    }
    if (e->n_sides > 1)
        append_comparison(out, e, top);
    return g_string_free(out, FALSE);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static double share_of(guint part, guint whole)
{
    return whole > 0 ? (double)part / whole : NAN;
}

static void begin_array(JsonBuilder *b, const gchar *name)
{
    json_builder_set_member_name(b, name);
    json_builder_begin_array(b);
}

static void add_bins(JsonBuilder *b, const EvalFigures *f)
{
    begin_array(b, "calibration");
    for (guint i = 0; i < EVAL_BINS && !isnan(f->loss); i++) {
        const EvalBin *bin = &f->bins[i];

        json_builder_begin_object(b);
        report_number(b, "above", (double)i / EVAL_BINS);
        report_number(b, "up_to", (i + 1.0) / EVAL_BINS);
        report_integer(b, "pictures", bin->n);
        report_number(b, "confidence", bin->n > 0 ? bin->confidence : NAN);
        report_number(b, "right", share_of(bin->n_right, bin->n));
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
}

static void add_classes(JsonBuilder *b, const Evaluation *e, const EvalFigures *f)
{
    begin_array(b, "classes");
    for (guint c = 0; c < f->n_classes; c++) {
        const EvalClass *class = &f->classes[c];

        if (class->n == 0 && class->n_answers == 0)
            continue;
        json_builder_begin_object(b);
        report_integer(b, "id", c);
        report_text(b, "label", e->names[c]);
        report_integer(b, "pictures", class->n);
        report_number(b, "top1", share_of(class->n_right, class->n));
        report_number(b, "top5", share_of(class->n_best, class->n));
        report_integer(b, "answered", class->n_answers);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
    begin_array(b, "confusions");
    for (guint i = 0; i < f->confusions->len; i++) {
        const EvalConfusion *one = &g_array_index(f->confusions, EvalConfusion, i);

        json_builder_begin_object(b);
        report_integer(b, "truth", one->truth);
        report_integer(b, "answer", one->answer);
        report_integer(b, "pictures", one->n);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
}

static void add_side(JsonBuilder *b, const Evaluation *e, const EvalSide *side)
{
    const EvalFigures *f = side->figures;

    json_builder_begin_object(b);
    json_builder_set_member_name(b, "model");
    json_builder_begin_object(b);
    report_text(b, "name", side->name);
    report_text(b, "file", side->file);
    report_text(b, "id", side->id);
    json_builder_end_object(b);
    report_text(b, "backend", side->backend);
    report_text(b, "device", side->device);
    report_text(b, "precision", side->precision);
    report_number(b, "top1", share_of(f->n_right, f->n));
    report_number(b, "top1_low", f->low);
    report_number(b, "top1_high", f->high);
    report_number(b, "top5", share_of(f->n_best, f->n));
    report_number(b, "loss", f->loss);
    report_number(b, "calibration_error", f->calibration_error);
    report_number(b, "confidence", f->confidence);
    report_number(b, "margin", f->margin);
    add_classes(b, e, f);
    add_bins(b, f);
    json_builder_end_object(b);
}

static void add_picture(JsonBuilder *b, const gchar *name, const Evaluation *e, guint i)
{
    g_autofree gchar *picture = dataset_name(e->dataset, e->pictures[i]);

    report_text(b, name, picture);
}

static void add_comparison(JsonBuilder *b, const Evaluation *e)
{
    Comparison c = compare(e);

    json_builder_set_member_name(b, "comparison");
    json_builder_begin_object(b);
    report_number(b, "same", share_of(c.n_same, e->n));
    report_integer(b, "both_right", c.n_both);
    report_integer(b, "only_first", c.n_first);
    report_integer(b, "only_second", c.n_second);
    report_integer(b, "neither", c.n_neither);
    report_number(b, "largest_difference", e->n > 0 ? (double)e->difference : NAN);
    if (e->difference > 0)
        add_picture(b, "largest_at", e, e->difference_at);
    else
        report_text(b, "largest_at", NULL);
    begin_array(b, "differ");
    for (guint k = 0; k < c.differ->len; k++) {
        guint i = g_array_index(c.differ, guint, k);

        json_builder_begin_object(b);
        add_picture(b, "picture", e, i);
        report_integer(b, "truth", e->truths[i]);
        begin_array(b, "answers");
        for (guint s = 0; s < 2; s++) {
            json_builder_begin_object(b);
            report_integer(b, "id", e->sides[s].answers[i].answer);
            report_number(b, "confidence", e->sides[s].answers[i].confidence);
            json_builder_end_object(b);
        }
        json_builder_end_array(b);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
    json_builder_end_object(b);
    g_array_unref(c.differ);
}

gchar *eval_json(const Evaluation *e)
{
    JsonBuilder *b = report_begin(e->subject);

    json_builder_set_member_name(b, "dataset");
    json_builder_begin_object(b);
    report_text(b, "path", e->dataset->path);
    report_text(b, "kind", dataset_kind_name(e->dataset->kind));
    report_integer(b, "pictures", e->dataset->pictures->len);
    report_integer(b, "classes", e->dataset->labels->len);
    report_text(b, "matched_by", dataset_match_name(e->match));
    json_builder_end_object(b);
    report_integer(b, "judged", e->n);
    report_number(b, "seconds", e->seconds);
    report_number(b, "pictures_per_second", e->n / MAX(e->seconds, 1e-9));
    begin_array(b, "failures");
    for (guint i = 0; i < e->n_failures; i++) {
        g_autofree gchar *valid = g_utf8_make_valid(e->failures[i], -1);

        json_builder_add_string_value(b, valid);
    }
    json_builder_end_array(b);
    begin_array(b, "results");
    for (guint s = 0; s < e->n_sides; s++)
        add_side(b, e, &e->sides[s]);
    json_builder_end_array(b);
    if (e->n_sides > 1)
        add_comparison(b, e);
    return report_end(b);
}

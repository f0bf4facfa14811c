/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A profile as a page. All that comes from a model, a file or a command line goes through append(), which escapes. */
#include <math.h>
#include <string.h>

#include "tools/figures.h"
#include "tools/profile-report.h"
#include "tools/text.h"

/* ---- operators by what they do ----------------------------------------------------------------------------------- */

typedef enum { CONVOLUTION = 0, PRODUCT, POOLING, NORMALISATION, ELEMENTWISE, REDUCTION, MOVE, OTHER, N_CLASSES } Class;

static const gchar *const class_names[N_CLASSES] = {
    "convolution",        "matrix product", "pooling",     "normalisation",
    "element by element", "reduction",      "moving data", "other"};

static const struct {
    const gchar *op;
    Class class;
} classes[] = {
    {"Conv", CONVOLUTION},
    {"Gemm", PRODUCT},
    {"MatMul", PRODUCT},
    {"MaxPool", POOLING},
    {"AveragePool", POOLING},
    {"GlobalMaxPool", POOLING},
    {"GlobalAveragePool", POOLING},
    {"LRN", NORMALISATION},
    {"Resize", MOVE},
    {"BatchNorm", NORMALISATION},
    {"GroupNorm", NORMALISATION},
    {"LayerNorm", NORMALISATION},
    {"Softmax", NORMALISATION},
    {"LogSoftmax", NORMALISATION},
    {"Activation", ELEMENTWISE},
    {"Elu", ELEMENTWISE},
    {"Abs", ELEMENTWISE},
    {"Neg", ELEMENTWISE},
    {"Exp", ELEMENTWISE},
    {"Log", ELEMENTWISE},
    {"Sqrt", ELEMENTWISE},
    {"Reciprocal", ELEMENTWISE},
    {"Floor", ELEMENTWISE},
    {"Ceil", ELEMENTWISE},
    {"Round", ELEMENTWISE},
    {"Erf", ELEMENTWISE},
    {"Not", ELEMENTWISE},
    {"Cast", ELEMENTWISE},
    {"Add", ELEMENTWISE},
    {"Sub", ELEMENTWISE},
    {"Mul", ELEMENTWISE},
    {"Div", ELEMENTWISE},
    {"Pow", ELEMENTWISE},
    {"Min", ELEMENTWISE},
    {"Max", ELEMENTWISE},
    {"PRelu", ELEMENTWISE},
    {"Mod", ELEMENTWISE},
    {"Equal", ELEMENTWISE},
    {"Less", ELEMENTWISE},
    {"LessOrEqual", ELEMENTWISE},
    {"Greater", ELEMENTWISE},
    {"GreaterOrEqual", ELEMENTWISE},
    {"And", ELEMENTWISE},
    {"Or", ELEMENTWISE},
    {"Xor", ELEMENTWISE},
    {"Where", ELEMENTWISE},
    {"ReduceMean", REDUCTION},
    {"ReduceSum", REDUCTION},
    {"ReduceMax", REDUCTION},
    {"ReduceMin", REDUCTION},
    {"ReduceProd", REDUCTION},
    {"Reshape", MOVE},
    {"Transpose", MOVE},
    {"Concat", MOVE},
    {"Split", MOVE},
    {"Slice", MOVE},
    {"Pad", MOVE},
    {"Expand", MOVE},
    {"Gather", MOVE},
    {"Identity", MOVE},
};

static Class class_of(const GpudlProfileStep *step)
{
    for (guint i = 0; i < G_N_ELEMENTS(classes); i++)
        if (g_strcmp0(classes[i].op, step->op) == 0)
            return classes[i].class;
    return OTHER;
}

/* ---- the page's fixed parts -------------------------------------------------------------------------------------- */

static const gchar style[] =
    ":root{color-scheme:light "
    "dark;--page:#f6f6f4;--card:#fff;--ink:#1a1a19;--soft:#5d5d58;--line:#dcdcd6;--hit:#0000000d;"
    "--k0:#2a78d6;--k1:#c2410c;--k2:#0f9d78;--k3:#b7791f;--k4:#7c3aed;--k5:#be185d;--k6:#64748b;--k7:#a3a39b}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#161615;--card:#20201e;--ink:#f0f0ec;--soft:#a8a8a0;--line:#3a3a36;"
    "--hit:#ffffff14;--k0:#4c97ee;--k1:#f0804a;--k2:#2fc49a;--k3:#e0a83d;--k4:#a78bfa;--k5:#f06aa0;--k6:#94a3b8;"
    "--k7:#7d7d76}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.45 "
    "system-ui,sans-serif}\n"
    "main{max-width:1160px;margin:0 auto;padding:28px 20px 60px}h1{font-size:26px;margin:0 0 "
    "2px;overflow-wrap:anywhere}\n"
    "h2{font-size:16px;margin:0 0 12px}.of{color:var(--soft);margin:0 0 20px;overflow-wrap:anywhere}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:0 0 16px}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 18px;margin:0 0 16px}\n"
    ".tiles .card{margin:0}.tiles span{display:block;color:var(--soft);font-size:13px}\n"
    ".tiles b{font-size:22px;font-weight:600}svg{display:block;width:100%;height:auto}\n"
    "svg text{fill:var(--soft);font:12px system-ui,sans-serif}.rule{stroke:var(--line);stroke-width:1}\n"
    ".hit{fill:transparent}.s:hover .hit{fill:var(--hit)}\n"
    ".k0{fill:var(--k0);background:var(--k0)}.k1{fill:var(--k1);background:var(--k1)}\n"
    ".k2{fill:var(--k2);background:var(--k2)}.k3{fill:var(--k3);background:var(--k3)}\n"
    ".k4{fill:var(--k4);background:var(--k4)}.k5{fill:var(--k5);background:var(--k5)}\n"
    ".k6{fill:var(--k6);background:var(--k6)}.k7{fill:var(--k7);background:var(--k7)}\n"
    ".key{display:flex;flex-wrap:wrap;gap:6px 22px;margin:12px 0 0;padding:0;list-style:none}\n"
    ".key i,td i{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:7px}\n"
    ".key span{color:var(--soft)}.wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}\n"
    "th,td{text-align:left;padding:5px 10px;border-bottom:1px solid var(--line);white-space:nowrap}\n"
    "th{color:var(--soft);font-weight:600;cursor:pointer}th:hover{color:var(--ink)}.n{text-align:right}\n"
    "td:last-child{white-space:normal;overflow-wrap:anywhere;min-width:220px}\n";

/* a click on a heading sorts, a second one the other way round */
static const gchar script[] =
    "document.querySelectorAll('th').forEach((h,c)=>h.addEventListener('click',()=>{const "
    "b=h.closest('table').tBodies[0],"
    "d=h.dataset.d=h.dataset.d==='1'?'-1':'1',v=r=>r.cells[c].dataset.v??r.cells[c].textContent;"
    "[...b.rows].sort((x,y)=>{const p=v(x),q=v(y),n=p-q;return(Number.isNaN(n)?p.localeCompare(q):n)*d})"
    ".forEach(r=>b.append(r))}))";

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

static void append(GString *out, const gchar *text)
{
    g_autofree gchar *shown = text_printable(text != NULL ? text : "");
    g_autofree gchar *escaped = g_markup_escape_text(shown, -1);

    g_string_append(out, escaped);
}

/* ..., "literal", text, "literal", text, NULL: every other one is escaped. */
static void append_parts(GString *out, ...)
{
    const gchar *part;
    va_list args;

    va_start(args, out);
    for (guint i = 0; (part = va_arg(args, const gchar *)) != NULL; i++) {
        if (i % 2 == 0)
            g_string_append(out, part);
        else
            append(out, part);
    }
    va_end(args);
}

static void append_time(GString *out, const TimeUnit *unit, double ns)
{
    g_autofree gchar *text = figures_time(unit, ns);

    g_string_append_printf(out, "%s %s", text, strcmp(unit->name, "us") == 0 ? "\302\265s" : unit->name);
}

static void append_rates(GString *out, const gchar *before, const gchar *between, guint64 flops, guint64 bytes,
                         guint64 ns)
{
    g_autofree gchar *compute = figures_rate(flops, ns), *move = figures_rate(bytes, ns);

    g_string_append_printf(out, "%s%s%s%s%s%s", compute[0] || move[0] ? before : "", compute,
                           compute[0] ? " GFLOP/s" : "", compute[0] && move[0] ? between : "", move,
                           move[0] ? " GB/s" : "");
}

/* What a bar says when the pointer is on it. */
static void append_title(GString *out, const Profile *profile, guint i, const TimeUnit *unit, guint64 all_ns)
{
    const GpudlProfileStep *step = &profile->steps[i];
    g_autofree gchar *share = figures_share(step->ns, all_ns);

    g_string_append_printf(out, "<title>%u: ", i);
    append_parts(out, "", step->node, "\n", step->op, "", NULL);
    if (step->n_nodes > 1)
        g_string_append_printf(out, " (%u nodes)", step->n_nodes);
    append_parts(out, "\n", step->implementation != NULL ? step->implementation : "", "\n", NULL);
    append_time(out, unit, (double)step->ns);
    g_string_append_printf(out, ", %s", share);
    append_rates(out, "\n", ", ", step->flops, step->bytes, step->ns);
    g_string_append(out, "</title>");
}

/* 1, 2 or 5 times a power of ten, so that about want steps of it fill the range. */
static double nice_step(double range, guint want)
{
    double raw = range / want, power = pow(10.0, floor(log10(raw)));

    return raw <= power ? power : raw <= 2 * power ? 2 * power : raw <= 5 * power ? 5 * power : 10 * power;
}

/* ---- charts ------------------------------------------------------------------------------------------------------ */

#define WIDTH 1100.0
#define LEFT 62.0
#define TOP 10.0
#define HEIGHT 260.0

static void append_axes(GString *out, const Profile *profile, const TimeUnit *unit, double most)
{
    double step = nice_step(most, 4), x_step = MAX(nice_step(profile->n_steps, 12), 1.0);
    double decimals = MAX(-floor(log10(step / unit->ns)), 0.0);

    for (double at = 0; at <= most * 1.0001; at += step) {
        double y = TOP + HEIGHT * (1.0 - at / most);

        g_string_append_printf(out,
                               "<line class=\"rule\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                               "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>\n",
                               LEFT, WIDTH, y, y, LEFT - 8, y + 4, (int)decimals, at / unit->ns);
    }
    for (double at = 0; at < profile->n_steps; at += x_step)
        g_string_append_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.0f</text>\n",
                               LEFT + (WIDTH - LEFT) * (at + 0.5) / profile->n_steps, TOP + HEIGHT + 18, at);
}

static void append_bars(GString *out, const Profile *profile, const TimeUnit *unit, guint64 all_ns)
{
    double slot = (WIDTH - LEFT) / MAX(profile->n_steps, 1), gap = MIN(slot * 0.2, 4.0);
    double bar = MIN(slot - gap, 60.0);
    guint64 most = 1;

    for (guint i = 0; i < profile->n_steps; i++)
        most = MAX(most, profile->steps[i].ns);
    g_string_append_printf(out, "<svg id=\"steps\" viewBox=\"0 0 %.0f %.0f\" role=\"img\">\n<title>", WIDTH,
                           TOP + HEIGHT + 26);
    g_string_append(out, "Time of each step, in the order they run in</title>\n");
    append_axes(out, profile, unit, (double)most);
    for (guint i = 0; i < profile->n_steps; i++) {
        double height = HEIGHT * (double)profile->steps[i].ns / (double)most, x = LEFT + slot * i;

        g_string_append(out, "<g class=\"s\">");
        append_title(out, profile, i, unit, all_ns);
        g_string_append_printf(out,
                               "<rect class=\"hit\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\"/>"
                               "<rect class=\"k%d\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/></g>\n",
                               x, TOP, slot, HEIGHT, class_of(&profile->steps[i]), x + (slot - bar) / 2,
                               TOP + HEIGHT - height, bar, height);
    }
    g_string_append(out, "</svg>\n");
}

/* All the time in one bar, by class, and the key. */
static void append_classes(GString *out, const Profile *profile, const TimeUnit *unit, guint64 all_ns)
{
    guint64 ns[N_CLASSES] = {0};
    guint count[N_CLASSES] = {0};
    double x = 0;

    for (guint i = 0; i < profile->n_steps; i++) {
        ns[class_of(&profile->steps[i])] += profile->steps[i].ns;
        count[class_of(&profile->steps[i])]++;
    }
    g_string_append_printf(
        out, "<svg id=\"classes\" viewBox=\"0 0 %.0f 26\" role=\"img\"><title>Time by kind</title>\n", WIDTH);
    for (guint k = 0; k < N_CLASSES && all_ns > 0; k++) {
        double width = WIDTH * (double)ns[k] / (double)all_ns;

        g_string_append_printf(out, "<rect class=\"k%u\" x=\"%.2f\" y=\"0\" width=\"%.2f\" height=\"26\"/>\n", k, x,
                               MAX(width - 2, 0));
        x += width;
    }
    g_string_append(out, "</svg>\n<ul class=\"key\">\n");
    for (guint k = 0; k < N_CLASSES; k++) {
        g_autofree gchar *share = figures_share(ns[k], all_ns);

        if (count[k] == 0)
            continue;
        g_string_append_printf(out, "<li><i class=\"k%u\"></i>%s <span>", k, class_names[k]);
        append_time(out, unit, (double)ns[k]);
        g_string_append_printf(out, ", %s, %u step%s</span></li>\n", share, count[k], count[k] == 1 ? "" : "s");
    }
    g_string_append(out, "</ul>\n");
}

/* ---- table ------------------------------------------------------------------------------------------------------- */

static void append_row(GString *out, const Profile *profile, guint i, const TimeUnit *unit, guint64 all_ns)
{
    const GpudlProfileStep *step = &profile->steps[i];
    g_autofree gchar *time = figures_time(unit, (double)step->ns), *share = figures_share(step->ns, all_ns);
    g_autofree gchar *compute = figures_rate(step->flops, step->ns), *move = figures_rate(step->bytes, step->ns);
    const guint64 floor_ns = profile_floor(profile, step);
    g_autofree gchar *floor = floor_ns > 0 ? figures_time(unit, (double)floor_ns) : g_strdup("");

    g_string_append_printf(out,
                           "<tr><td class=\"n\">%u</td><td class=\"n\" data-v=\"%" G_GUINT64_FORMAT "\">%s</td>"
                           "<td class=\"n\" data-v=\"%" G_GUINT64_FORMAT "\">%s</td>",
                           i, step->ns, time, step->ns, share);
    if (profile_has_floor(profile))
        g_string_append_printf(out, "<td class=\"n\" data-v=\"%" G_GUINT64_FORMAT "\">%s</td>", floor_ns, floor);
    g_string_append_printf(out, "<td class=\"n\">%s</td><td class=\"n\">%s</td><td><i class=\"k%d\"></i>", compute,
                           move, class_of(step));
    append_parts(out, "", step->op, "</td><td>", step->implementation != NULL ? step->implementation : "", "</td><td>",
                 step->node, "", NULL);
    if (step->n_nodes > 1)
        g_string_append_printf(out, " (%u nodes)", step->n_nodes);
    g_string_append(out, "</td></tr>\n");
}

static void append_table(GString *out, const Profile *profile, const TimeUnit *unit, guint64 all_ns)
{
    g_string_append_printf(out,
                           "<div class=\"card wide\"><table><thead><tr><th class=\"n\">step</th><th class=\"n\">%s</th>"
                           "<th class=\"n\">share</th>%s<th class=\"n\">GFLOP/s</th><th class=\"n\">GB/s</th>"
                           "<th>operator</th><th>implementation</th><th>node</th></tr></thead>\n<tbody>\n",
                           strcmp(unit->name, "us") == 0 ? "\302\265s" : unit->name,
                           profile_has_floor(profile) ? "<th class=\"n\">floor</th>" : "");
    for (guint i = 0; i < profile->n_steps; i++)
        append_row(out, profile, i, unit, all_ns);
    g_string_append(out, "</tbody></table></div>\n");
}

/* ---- page -------------------------------------------------------------------------------------------------------- */

/* The browser fetches nothing, and runs this page's own script alone, whatever a name holds. */
static void append_head(GString *out, const Profile *profile)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_autofree gchar *code = NULL;
    guint8 digest[32];
    gsize length = sizeof digest;

    g_checksum_update(sum, (const guchar *)script, -1);
    g_checksum_get_digest(sum, digest, &length);
    code = g_base64_encode(digest, length);
    g_string_append_printf(out,
                           "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                           "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                           "style-src 'unsafe-inline'; script-src 'sha256-%s'\">\n"
                           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
                           code);
    append_parts(out, "<title>", profile->subject.model, ": gpudl profile</title>\n<style>\n", NULL);
    g_string_append_printf(out, "%s</style>\n</head>\n<body>\n<main>\n", style);
}

static void append_tile(GString *out, const gchar *what, const gchar *value)
{
    append_parts(out, "<div class=\"card\"><span>", what, "</span><b>", value, "</b></div>\n", NULL);
}

static void append_tiles(GString *out, const Profile *profile, const TimeUnit *unit, const ProfileTotal *total)
{
    g_autoptr(GString) sum = g_string_new(NULL), whole = g_string_new(NULL), between = g_string_new(NULL);
    g_autoptr(GString) compute = g_string_new(NULL), move = g_string_new(NULL), floor = g_string_new(NULL);
    g_autofree gchar *steps = g_strdup_printf("%u steps", profile->n_steps);

    append_time(sum, unit, (double)total->ns);
    append_tile(out, steps, sum->str);
    if (profile->whole_ns > 0) {
        append_time(whole, unit, (double)profile->whole_ns);
        append_time(between, unit, (double)profile->whole_ns - (double)total->ns);
        append_tile(out, profile->whole_by_frames ? "a whole run" : "a whole run, says the backend", whole->str);
        append_tile(out, "difference", between->str);
    } else {
        append_tile(out, "a whole run", "not measured");
    }
    append_rates(compute, "", "", total->flops, 0, total->ns);
    append_rates(move, "", "", 0, total->bytes, total->ns);
    if (compute->len > 0)
        append_tile(out, "computed by the steps", compute->str);
    if (move->len > 0)
        append_tile(out, "moved by the steps", move->str);
    if (total->floor_ns > 0) {
        append_time(floor, unit, (double)total->floor_ns);
        append_tile(out, "floor of the steps", floor->str);
    }
}

gchar *profile_html(const Profile *profile)
{
    GString *out = g_string_new(NULL);
    ProfileTotal total = profile_total(profile);
    const TimeUnit *unit = figures_time_unit(MAX(profile->whole_ns, total.ns));

    append_head(out, profile);
    append_parts(out, "<h1>", profile->subject.model, "</h1>\n<p class=\"of\">", profile->device, "<br>\n",
                 profile->backend, ", ", profile->precision, NULL);
    g_string_append_printf(out, ", batch %u, median of %u runs<br>\n", profile->batch, profile->runs);
    append_parts(out, "", profile->subject.file, "<br>\nid ", profile->subject.id, "<br>\n", profile->subject.date,
                 "<br>\n<code>", profile->subject.command, "</code></p>\n<div class=\"tiles\">\n", NULL);
    append_tiles(out, profile, unit, &total);
    g_string_append(out, "</div>\n<div class=\"card\"><h2>Time by kind of operator</h2>\n");
    append_classes(out, profile, unit, total.ns);
    g_string_append_printf(out, "</div>\n<div class=\"card\"><h2>Time of each step, %s</h2>\n",
                           strcmp(unit->name, "us") == 0 ? "\302\265s" : unit->name);
    append_bars(out, profile, unit, total.ns);
    g_string_append(out, "</div>\n");
    append_table(out, profile, unit, total.ns);
    g_string_append_printf(out, "</main>\n<script>%s</script>\n</body>\n</html>\n", script);
    return g_string_free(out, FALSE);
}

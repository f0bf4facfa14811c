/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Figures and reports made of measurements that are given: percentiles, units, order, sums, what a page says. */
#include <json-glib/json-glib.h>
#include <string.h>

#include "engine/graph/ops.h"
#include "tools/bench.h"
#include "tools/command.h"
#include "tools/figures.h"
#include "tools/profile-report.h"
#include "tools/table.h"
#include "tools/text.h"

static void percentiles_are_values_that_occurred(void)
{
    guint64 hundred[100], three[] = {30, 10, 20}, one[] = {7};
    Spread spread;

    for (guint i = 0; i < 100; i++)
        hundred[i] = (i * 37 + 11) % 100 + 1; /* 1..100, shuffled */
    spread = figures_spread(hundred, 100);
    g_assert_cmpuint(spread.min, ==, 1);
    g_assert_cmpuint(spread.p50, ==, 50);
    g_assert_cmpuint(spread.p90, ==, 90);
    g_assert_cmpuint(spread.p99, ==, 99);
    g_assert_cmpuint(spread.max, ==, 100);
    g_assert_cmpfloat_with_epsilon(spread.mean, 50.5, 1e-9);
    spread = figures_spread(three, 3);
    g_assert_cmpuint(spread.p50, ==, 20);
    g_assert_cmpuint(spread.p90, ==, 30);
    spread = figures_spread(one, 1);
    g_assert_cmpuint(spread.min, ==, 7);
    g_assert_cmpuint(spread.p50, ==, 7);
    g_assert_cmpuint(spread.p99, ==, 7);
    spread = figures_spread(one, 0);
    g_assert_cmpuint(spread.max, ==, 0);
}

#define SAYS(call, expected)                                                                                           \
    G_STMT_START                                                                                                       \
    {                                                                                                                  \
        g_autofree gchar *text_ = (call);                                                                              \
        g_assert_cmpstr(text_, ==, expected);                                                                          \
    }                                                                                                                  \
    G_STMT_END

static void units(void)
{
    SAYS(figures_time(figures_time_unit(9999999), 1234567), "1234.6");
    SAYS(figures_time(figures_time_unit(10000000), 1234567), "1.235");
    g_assert_cmpstr(figures_time_unit(9999999)->name, ==, "us");
    g_assert_cmpstr(figures_time_unit(10000000)->name, ==, "ms");
    SAYS(figures_bytes(0), "0 bytes");
    SAYS(figures_bytes(999), "999 bytes");
    SAYS(figures_bytes(1000), "1.0 kB");
    SAYS(figures_bytes(1234567), "1.2 MB");
    SAYS(figures_bytes(12345678900), "12.35 GB");
    SAYS(figures_rate(0, 5), "");
    SAYS(figures_rate(5, 0), "");
    SAYS(figures_rate(25, 10), "2.50");
    SAYS(figures_rate(255, 10), "25.5");
    SAYS(figures_rate(12345, 10), "1234");
    SAYS(figures_share(1, 8), "12.5 %");
    SAYS(figures_share(0, 0), "");
}

static void command_lines_can_be_pasted(void)
{
    gchar *argv[] = {(gchar *)"profile", (gchar *)"--top=3", (gchar *)"it's here.bin",
                     (gchar *)"",        (gchar *)"$x",      NULL};
    g_autofree gchar *line = figures_command(argv);
    g_auto(GStrv) again = NULL;

    g_assert_true(g_str_has_prefix(line, "profile --top=3 "));
    g_assert_true(g_shell_parse_argv(line, NULL, &again, NULL));
    g_assert_true(g_strv_equal((const gchar *const *)again, (const gchar *const *)argv));
}

static void counts(void)
{
    static const gchar *const bad[] = {"", "-1", "1025", "1.0", "0x3", " 1", "99999999999999999999"};
    gint value = 5;

    g_assert_true(parse_count("1024", &value, THREADS, NULL));
    g_assert_cmpint(value, ==, 1024);
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(parse_count(bad[i], &value, THREADS, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
        g_assert_true(g_str_has_suffix(error->message, "', expected 0 (one per core) to 1024"));
    }
    g_assert_cmpint(value, ==, 1024);
}

static void tables_hold_together(void)
{
    static const gchar *const rows[][3] = {{"a", "number", "last"}, {"\303\244\303\266", "5", "x"}, {"", NULL, "yy"}};
    g_autoptr(Table) table = table_new(3);
    g_autoptr(GString) out = g_string_new(NULL);

    table_set_right(table, 1, TRUE);
    for (guint i = 0; i < 3; i++)
        table_add_row(table, rows[i]);
    table_add(table, g_strdup("half a row"));
    table_append_to(table, out);
    g_assert_cmpstr(out->str, ==, "  a   number  last\n  \303\244\303\266       5  x\n              yy\n");
    SAYS(text_printable_lines("a\nb\r\n"), "a\nb\357\277\275\n");
    SAYS(text_printable("a\x1b[31m\tb\xff\x7f"), "a\357\277\275[31m\357\277\275b\357\277\275\357\277\275");
    SAYS(text_printable("a\342\200\256b\342\201\246c"), "a\357\277\275b\357\277\275c");
    SAYS(text_printable("\342\200\217\327\220\342\200\215"), "\342\200\217\327\220\342\200\215"); /* a mark, a joiner */
}

/* ---- profiles ---------------------------------------------------------------------------------------------------- */

static const GpudlProfileStep four_steps[] = {
    {"first", "Conv", 1, "direct", 4000000, 8000000, 40000000},
    {"second", "Add", 1, "reorder plain", 2000000, 2000000, 0},
    {"third", "Nonsense", 3, NULL, 4000000, 0, 0},
    {"fourth", "Gemm", 1, "product", 10000000, 5000000, 1000000},
};

static Profile make_profile(void)
{
    return (Profile){.subject = {.model = (gchar *)"net",
                                 .file = (gchar *)"net.bin",
                                 .id = (gchar *)"0123",
                                 .command = (gchar *)"gpudl profile net.bin",
                                 .date = (gchar *)"2026-01-02T03:04:05+00:00"},
                     .backend = "cpu",
                     .device = "some device",
                     .precision = "fp32",
                     .batch = 1,
                     .runs = 20,
                     .steps = four_steps,
                     .n_steps = G_N_ELEMENTS(four_steps),
                     .whole_ns = 21000000,
                     .whole_by_frames = TRUE};
}

static void assert_order(ProfileSort sort, guint top, const gchar *expected)
{
    Profile profile = make_profile();
    g_autoptr(GArray) order = profile_order(&profile, sort, top);
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < order->len; i++)
        g_string_append_printf(text, "%u", g_array_index(order, guint, i));
    g_assert_cmpstr(text->str, ==, expected);
}

static void steps_are_ordered(void)
{
    assert_order(PROFILE_BY_RUN, 0, "0123");
    assert_order(PROFILE_BY_TIME, 0, "3021");
    assert_order(PROFILE_BY_TIME, 2, "30");
    assert_order(PROFILE_BY_RUN, 2, "03");
    assert_order(PROFILE_BY_RUN, 9, "0123");
}

static void text_adds_up(void)
{
    Profile profile = make_profile();
    g_autofree gchar *text = profile_text(&profile, PROFILE_BY_TIME, 1);

    g_assert_nonnull(strstr(text, "net on cpu, fp32, batch 1, median of 20 runs\nsome device\n"));
    g_assert_nonnull(strstr(text, "   3  10.000  50.0 %     0.10  0.50  Gemm "));
    g_assert_nonnull(strstr(text, "      10.000  50.0 %     4.00  1.00 "));
    g_assert_nonnull(strstr(text, "the other 3\n"));
    g_assert_nonnull(strstr(text, "\n4 steps: 20.000 ms\nof them 1 reorder: 2.000 ms, 10.0 %\na whole run: 21.000 ms, "
                                  "1.000 ms more than the steps\n"));
    g_free(text);
    profile.whole_ns = 19000000;
    profile.whole_by_frames = FALSE;
    text = profile_text(&profile, PROFILE_BY_RUN, 0);
    g_assert_nonnull(strstr(text, "19.000 ms, 1.000 ms less than the steps (as the backend measured it)\n"));
    g_assert_nonnull(strstr(text, "third (3 nodes)\n"));
    g_assert_null(strstr(text, "the other"));
    g_free(text);
    profile.whole_ns = 0;
    text = profile_text(&profile, PROFILE_BY_RUN, 0);
    g_assert_nonnull(strstr(text, "a whole run: not measured\n"));
}

static void json_adds_up(void)
{
    Profile profile = make_profile();
    g_autofree gchar *text = profile_json(&profile);
    g_autoptr(JsonNode) root = json_from_string(text, NULL);
    JsonObject *object = json_node_get_object(root), *step, *total;

    step = json_array_get_object_element(json_object_get_array_member(object, "steps"), 2);
    g_assert_true(json_object_get_null_member(step, "implementation"));
    g_assert_true(json_object_get_null_member(step, "bytes"));
    g_assert_cmpint(json_object_get_int_member(step, "nodes"), ==, 3);
    g_assert_cmpfloat(json_object_get_double_member(step, "share"), ==, 0.2);
    total = json_object_get_object_member(object, "total");
    g_assert_cmpint(json_object_get_int_member(total, "ns"), ==, 20000000);
    g_assert_cmpint(json_object_get_int_member(total, "bytes"), ==, 15000000);
    g_assert_cmpint(json_object_get_int_member(total, "flops"), ==, 41000000);
    total = json_object_get_object_member(object, "reorders");
    g_assert_cmpint(json_object_get_int_member(total, "steps"), ==, 1);
    g_assert_cmpint(json_object_get_int_member(total, "ns"), ==, 2000000);
    g_assert_cmpint(json_object_get_int_member(total, "bytes"), ==, 2000000);
    g_assert_cmpfloat(json_object_get_double_member(total, "share"), ==, 0.1);
    g_assert_cmpint(json_object_get_int_member(object, "difference_ns"), ==, 1000000);
    g_clear_pointer(&root, json_node_unref);
    g_free(text);
    profile.whole_ns = 0;
    text = profile_json(&profile);
    root = json_from_string(text, NULL);
    g_assert_true(json_object_get_null_member(json_node_get_object(root), "difference_ns"));
    g_assert_true(json_object_get_null_member(json_node_get_object(root), "whole_run_by"));
}

/* Heights are to scale, colours by what an operator does. */
static void bars_are_to_scale(void)
{
    Profile profile = make_profile();
    g_autofree gchar *page = profile_html(&profile);

    g_assert_nonnull(strstr(page, "height=\"104.00\"/></g>")); /* 4 of 10 ms, of 260 */
    g_assert_nonnull(strstr(page, "height=\"260.00\"/></g>"));
    g_assert_nonnull(strstr(page, "<i class=\"k0\"></i>convolution <span>4.000 ms, 20.0 %, 1 step<"));
    g_assert_nonnull(strstr(page, "<i class=\"k7\"></i>other <span>"));
    g_assert_null(strstr(page, "</i>pooling"));
    profile.n_steps = 0;
    profile.whole_ns = 0;
    g_free(page);
    page = profile_html(&profile);
    g_assert_null(strstr(page, "nan"));
    g_assert_null(strstr(page, "inf"));
}

static void every_operator_has_a_kind(void)
{
    for (guint op = GPUDL_OP_NONE + 1; op <= GPUDL_OP_LAST; op++) {
        const GpudlProfileStep step = {.node = "n", .op = gpudl_op_info((GpudlOp)op)->name, .n_nodes = 1, .ns = 1};
        Profile profile = make_profile();
        g_autofree gchar *page = NULL;

        profile.steps = &step;
        profile.n_steps = 1;
        page = profile_html(&profile);
        if (strstr(page, "</i>other") != NULL)
            g_error("operator %s has no kind", step.op);
    }
}

/* ---- benches ----------------------------------------------------------------------------------------------------- */

static const BenchResult three_results[] = {
    {.asked = {.backend = "auto"},
     .backend = (gchar *)"cpu",
     .device = (gchar *)"a device",
     .precision = GPUDL_PRECISION_FP32,
     .parallelism = 2,
     .max_batch = 1,
     .depth = 3,
     .weights = 1000,
     .workspace = 2000,
     .load_ns = 5000,
     .frames = 50,
     .wall_ns = 2000000000,
     .processor_ns = 1000000000,
     .mean_batch = 1.0,
     .latency = {.min = 9000000, .p50 = 12000000, .p90 = 13000000, .p99 = 14000000, .max = 15000000, .mean = 12.5e6}},
    {.asked = {.backend = "ref", .precision = GPUDL_PRECISION_FP16, .threads = 2, .batch = 4},
     .reason = (gchar *)"it \x1b can't"},
    {.asked = {.backend = "cpu", .threads = 1, .batch = 1},
     .backend = (gchar *)"cpu",
     .device = (gchar *)"a device",
     .precision = GPUDL_PRECISION_FP32,
     .depth = 2,
     .frames = 1,
     .wall_ns = 500000000,
     .processor_ns = 7000000,
     .mean_batch = 2.5,
     .latency = {.min = 1, .p50 = 1, .p90 = 1, .p99 = 1, .max = 1, .mean = 1}},
};

static void bench_tells_what_was_measured_and_what_not(void)
{
    const ReportSubject subject = {.model = (gchar *)"net"};
    const SyntheticSize size = {1920, 1080, GPUDL_PIXEL_NV12};
    BenchPlan plan = {.seconds = 3, .warmup = 0.5};
    g_autofree gchar *text = bench_text(&subject, &plan, three_results, 3);

    g_assert_true(g_str_has_prefix(text, "net, values for the network, no pre-processing, 3 s each\na device\n\n"));
    g_assert_nonnull(strstr(text,
                            "  auto (cpu)  fp32          auto   auto      25.0  12.000  13.000  14.000  15.000     "
                            "20.000          3         1\n"));
    g_assert_nonnull(strstr(text, "  cpu         fp32             1      1       2.0   0.000 "));
    g_assert_nonnull(strstr(text, "7.000          2       2.5\n"));
    g_assert_nonnull(strstr(text, "not measured:\n"));
    g_assert_nonnull(strstr(text, "  ref      fp16       2        4      it \357\277\275 can't\n"));
    g_free(text);
    plan.frames = &size;
    text = bench_text(&subject, &plan, three_results + 1, 1);
    g_assert_true(g_str_has_prefix(text, "net, 1920x1080 NV12, 3 s each\n\nnot measured:\n"));
    g_free(text);
    text = bench_text(&subject, &plan, three_results + 2, 1);
    g_assert_null(strstr(text, "not measured"));
}

static void bench_json_is_what_was_measured(void)
{
    const ReportSubject subject = {.model = (gchar *)"net"};
    const SyntheticSize size = {1920, 1080, GPUDL_PIXEL_NV12};
    const BenchPlan plan = {.frames = &size, .seconds = 3, .warmup = 0.5};
    g_autofree gchar *text = bench_json(&subject, &plan, three_results, 3);
    g_autoptr(JsonNode) root = json_from_string(text, NULL);
    JsonObject *object = json_node_get_object(root), *input = json_object_get_object_member(object, "input"), *first,
               *second;
    JsonArray *results = json_object_get_array_member(object, "results");

    g_assert_cmpstr(json_object_get_string_member(input, "format"), ==, "NV12");
    g_assert_cmpint(json_object_get_int_member(input, "width"), ==, 1920);
    first = json_array_get_object_element(results, 0);
    g_assert_cmpfloat(json_object_get_double_member(first, "frames_per_second"), ==, 25.0);
    g_assert_cmpint(json_object_get_int_member(first, "processor_ns"), ==, 1000000000);
    g_assert_cmpfloat(json_object_get_double_member(first, "processor_ns_per_frame"), ==, 20000000.0);
    g_assert_cmpint(json_object_get_int_member(first, "work_bytes"), ==, 2000);
    g_assert_cmpint(json_object_get_int_member(json_object_get_object_member(first, "latency_ns"), "p99"), ==,
                    14000000);
    second = json_array_get_object_element(results, 1);
    g_assert_false(json_object_get_boolean_member(second, "measured"));
    g_assert_false(json_object_has_member(second, "frames"));
    g_assert_cmpstr(json_object_get_string_member(second, "reason"), ==, "it \x1b can't");
    g_assert_cmpint(json_object_get_int_member(json_object_get_object_member(second, "asked"), "batch"), ==, 4);
}

static void sizes_of_frames(void)
{
    static const gchar *const bad[] = {
        "",           "1920x1080",     "1920x1080:",  "1920x1080:nv12", "0x10:NV12", "10x0:NV12", "40000x10:NV12",
        "10:10xNV12", "10x10x10:NV12", "10x10:NV12:", "axb:NV12"};
    SyntheticSize size;

    g_assert_true(synthetic_parse("input", "1920x1080:NV12", &size, NULL));
    g_assert_cmpint(size.width, ==, 1920);
    g_assert_cmpint(size.height, ==, 1080);
    g_assert_cmpint(size.format, ==, GPUDL_PIXEL_NV12);
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(synthetic_parse("input", bad[i], &size, &error));
        g_assert_true(g_str_has_prefix(error->message, "--input: found '"));
        g_assert_nonnull(strstr(error->message, " GRAY8"));
    }
}

/* The library takes every one of them. */
static void frames_of_every_format(void)
{
    for (guint f = GPUDL_PIXEL_UNKNOWN + 1; f <= GPUDL_PIXEL_LAST; f++) {
        const SyntheticSize size = {13, 7, (GpudlPixelFormat)f};
        g_autoptr(GpudlFrame) frame = synthetic_frame_new(&size, NULL);

        g_assert_nonnull(frame);
        g_assert_cmpstr(gpudl_frame_check(frame), ==, NULL);
    }
}

static void lists(void)
{
    static const gchar *const bad[] = {"", ",", "a,", ",a", "a,,b", "a,b,c,d"};
    g_auto(GStrv) two = parse_list("threads", "1,2", "0", 3, NULL), none = parse_list("threads", NULL, "0", 3, NULL);

    g_assert_cmpuint(g_strv_length(two), ==, 2);
    g_assert_cmpstr(two[1], ==, "2");
    g_assert_cmpstr(none[0], ==, "0");
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(parse_list("threads", bad[i], "0", 3, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/figures/percentiles-are-values-that-occurred", percentiles_are_values_that_occurred);
    g_test_add_func("/figures/units", units);
    g_test_add_func("/figures/command-lines-can-be-pasted", command_lines_can_be_pasted);
    g_test_add_func("/figures/counts", counts);
    g_test_add_func("/figures/tables-hold-together", tables_hold_together);
    g_test_add_func("/profile/steps-are-ordered", steps_are_ordered);
    g_test_add_func("/profile/text-adds-up", text_adds_up);
    g_test_add_func("/profile/json-adds-up", json_adds_up);
    g_test_add_func("/profile/bars-are-to-scale", bars_are_to_scale);
    g_test_add_func("/profile/every-operator-has-a-kind", every_operator_has_a_kind);
    g_test_add_func("/bench/tells-what-was-measured-and-what-not", bench_tells_what_was_measured_and_what_not);
    g_test_add_func("/bench/json-is-what-was-measured", bench_json_is_what_was_measured);
    g_test_add_func("/bench/sizes-of-frames", sizes_of_frames);
    g_test_add_func("/bench/frames-of-every-format", frames_of_every_format);
    g_test_add_func("/bench/lists", lists);
    return g_test_run();
}

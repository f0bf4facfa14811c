/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How times are taken, by a clock that the test moves, and the layouts that follow from them. */
#include <glib.h>
#include <string.h>

#include "engine/cpu/choose.h"

/* ---- times ------------------------------------------------------------------------------------------------------- */

/* Runs take what the script says, one after the other, the last over and over; 0 fails. */
typedef struct {
    guint64 now;
    const guint64 *script;
    guint n, runs, before;
} Script;

static uint64_t script_now(void *data)
{
    return ((Script *)data)->now;
}

static int script_run(void *data)
{
    Script *script = data;
    const guint64 ns = script->script[MIN(script->runs, script->n - 1)];

    script->runs++;
    script->now += ns;
    return ns != 0;
}

static guint64 measure(Script *script, guint64 sample_ns, guint64 best)
{
    const CpuClock clock = {script_now, script};

    return cpu_measure(&clock, sample_ns, best, NULL, script_run, script);
}

#define SCRIPT(...)                                                                                                    \
    (Script)                                                                                                           \
    {                                                                                                                  \
        .script = (const guint64[]){__VA_ARGS__}, .n = G_N_ELEMENTS(((const guint64[]){__VA_ARGS__}))                  \
    }

static void test_the_shortest_of_several_counts(void)
{
    Script script = SCRIPT(900000, 500000, 700000, 400000, 600000);

    g_assert_cmpuint(measure(&script, 2000000, 0), ==, 400000);
    g_assert_cmpuint(script.runs, ==, 5);
}

static void test_the_first_run_warms_up(void)
{
    Script script = SCRIPT(100000, 300000);

    g_assert_cmpuint(measure(&script, 100000, 0), ==, 300000);
    g_assert_cmpuint(script.runs, ==, 2);
}

static void test_what_is_short_runs_many_times_between_two_looks(void)
{
    Script script = SCRIPT(1000, 1000, 1000, 5000, 1000);

    g_assert_cmpuint(measure(&script, 100000, 0), <=, 1200);
    g_assert_cmpuint(script.runs, >, 60);
    g_assert_cmpuint(script.now, <, 200000);
}

static void test_what_is_hopeless_runs_once(void)
{
    Script slow = SCRIPT(5000000, 100), near = SCRIPT(3000000, 1500000);

    g_assert_cmpuint(measure(&slow, 1000000, 1000000), ==, 5000000);
    g_assert_cmpuint(slow.runs, ==, 1);
    g_assert_cmpuint(measure(&near, 1000000, 1000000), ==, 1500000);
}

static void script_before(void *data)
{
    Script *script = data;

    script->before++;
    script->now += 1000000;
}

/* However short a run is, it comes right behind what is done before it. */
static void test_what_comes_before_does_not_count(void)
{
    Script script = SCRIPT(1000, 3000, 2000, 2500);
    const CpuClock clock = {script_now, &script};

    g_assert_cmpuint(cpu_measure(&clock, 7000, 0, script_before, script_run, &script), ==, 2000);
    g_assert_cmpuint(script.runs, ==, 4);
    g_assert_cmpuint(script.before, ==, 4);
}

static void test_a_failure_is_no_time(void)
{
    Script first = SCRIPT(0), second = SCRIPT(100000, 0);

    g_assert_cmpuint(measure(&first, 1000000, 0), ==, 0);
    g_assert_cmpuint(measure(&second, 1000000, 0), ==, 0);
}

static uint64_t stopped(void *data)
{
    return 7;
}

static void test_a_clock_that_stands_still_is_survived(void)
{
    Script script = SCRIPT(1);
    const CpuClock clock = {stopped, NULL};

    g_assert_cmpuint(cpu_measure(&clock, 1000000, 0, NULL, script_run, &script), ==, 1);
    g_assert_cmpuint(script.runs, <, 1000);
}

static void test_the_thread_s_clock_goes(void)
{
    const uint64_t begin = cpu_thread_clock(NULL);
    volatile guint sum = 0;

    while (cpu_thread_clock(NULL) == begin && sum < G_MAXUINT)
        sum++;
    g_assert_cmpuint(cpu_thread_clock(NULL), >, begin);
}

/* ---- layouts ----------------------------------------------------------------------------------------------------- */

static guint64 cost_of(guint n, const guint64 (*costs)[2], guint n_links, const CpuLink *links, const guint8 *layouts)
{
    guint64 sum = 0;

    for (guint i = 0; i < n; i++)
        sum += costs[i][layouts[i]];
    for (guint i = 0; i < n_links; i++)
        if (layouts[links[i].from] != layouts[links[i].to])
            sum += links[i].cost[layouts[links[i].from]];
    return sum;
}

static void test_a_reorder_has_to_pay(void)
{
    const guint64 costs[3][2] = {{10, 100}, {60, 20}, {10, 100}};
    guint8 layouts[3];

    for (guint64 reorder = 10; reorder <= 30; reorder += 20) {
        const CpuLink links[] = {{0, 1, {reorder, 1000}}, {1, 2, {1000, reorder}}};

        g_assert_true(cpu_choose_layouts(3, costs, 2, links, layouts));
        g_assert_cmpint(layouts[0], ==, 0);
        g_assert_cmpint(layouts[1], ==, reorder == 10);
        g_assert_cmpint(layouts[2], ==, 0);
    }
}

static void test_what_is_as_good_is_0_unless_it_has_neighbours(void)
{
    const guint64 costs[3][2] = {{5, 5}, {9, 1}, {0, 0}};
    const CpuLink links[] = {{1, 2, {3, 3}}};
    guint8 layouts[3] = {7, 7, 7};

    g_assert_true(cpu_choose_layouts(3, costs, 1, links, layouts));
    g_assert_cmpint(layouts[0], ==, 0);
    g_assert_cmpint(layouts[1], ==, 1);
    g_assert_cmpint(layouts[2], ==, 1);
    g_assert_true(cpu_choose_layouts(0, NULL, 0, NULL, NULL));
}

static void test_nothing_is_cheaper(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(g_test_rand_int() & 0x7fffffff);

    for (guint round = 0; round < 300; round++) {
        const guint n = (guint)g_rand_int_range(rand, 1, 11),
                    n_links = n > 1 ? (guint)g_rand_int_range(rand, 0, 20) : 0;
        guint64 costs[10][2], least = G_MAXUINT64;
        CpuLink links[20];
        guint8 layouts[10];

        for (guint i = 0; i < n; i++)
            for (guint k = 0; k < 2; k++)
                costs[i][k] = (guint64)g_rand_int_range(rand, 0, 50);
        for (guint i = 0; i < n_links; i++) {
            const int to = g_rand_int_range(rand, 1, (int)n);

            links[i] = (CpuLink){g_rand_int_range(rand, 0, to),
                                 to,
                                 {(guint64)g_rand_int_range(rand, 0, 20), (guint64)g_rand_int_range(rand, 0, 20)}};
        }
        for (guint all = 0; all < 1u << n; all++) {
            guint64 cost;

            for (guint i = 0; i < n; i++)
                layouts[i] = all >> i & 1;
            cost = cost_of(n, (const guint64(*)[2])costs, n_links, links, layouts);
            least = MIN(least, cost);
        }
        g_assert_true(cpu_choose_layouts(n, (const guint64(*)[2])costs, n_links, links, layouts));
        g_assert_cmpuint(cost_of(n, (const guint64(*)[2])costs, n_links, links, layouts), ==, least);
    }
}

/* A chain as long as a network may be, whose layouts settle one another over all of it. */
static void test_a_long_chain_is_soon_chosen_for(void)
{
    enum { N = 20000 };
    guint64(*costs)[2] = g_malloc0_n(N, sizeof *costs);
    g_autofree CpuLink *links = g_new0(CpuLink, N - 1);
    g_autofree guint8 *layouts = g_malloc0(N);

    for (guint i = 0; i + 1 < N; i++)
        links[i] = (CpuLink){(gint32)i, (gint32)i + 1, {1000, 1000}};
    costs[0][0] = 900;
    costs[N - 1][1] = 800;
    g_assert_true(cpu_choose_layouts(N, (const guint64(*)[2])costs, N - 1, links, layouts));
    for (guint i = 0; i < N; i++)
        g_assert_cmpint(layouts[i], ==, 1);
    g_free(costs);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cpu-choose/the-shortest-of-several-counts", test_the_shortest_of_several_counts);
    g_test_add_func("/cpu-choose/the-first-run-warms-up", test_the_first_run_warms_up);
    g_test_add_func("/cpu-choose/what-is-short-runs-many-times-between-two-looks",
                    test_what_is_short_runs_many_times_between_two_looks);
    g_test_add_func("/cpu-choose/what-is-hopeless-runs-once", test_what_is_hopeless_runs_once);
    g_test_add_func("/cpu-choose/what-comes-before-does-not-count", test_what_comes_before_does_not_count);
    g_test_add_func("/cpu-choose/a-failure-is-no-time", test_a_failure_is_no_time);
    g_test_add_func("/cpu-choose/a-clock-that-stands-still-is-survived", test_a_clock_that_stands_still_is_survived);
    g_test_add_func("/cpu-choose/the-thread-s-clock-goes", test_the_thread_s_clock_goes);
    g_test_add_func("/cpu-choose/a-reorder-has-to-pay", test_a_reorder_has_to_pay);
    g_test_add_func("/cpu-choose/what-is-as-good-is-0-unless-it-has-neighbours",
                    test_what_is_as_good_is_0_unless_it_has_neighbours);
    g_test_add_func("/cpu-choose/nothing-is-cheaper", test_nothing_is_cheaper);
    g_test_add_func("/cpu-choose/a-long-chain-is-soon-chosen-for", test_a_long_chain_is_soon_chosen_for);
    return g_test_run();
}

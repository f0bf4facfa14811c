/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Choices that make a whole fastest, found by measuring wholes whose times are known here. */
#include <glib.h>
#include <string.h>

#include "engine/cuda/search.h"

enum { GROUPS = 6, CHOICES = 4, MOST = 1000 };

/* A network: each group's choices take their time, and some pairs of choices cost or save more where they meet. */
typedef struct {
    guint32 n;
    CudaSearchGroup groups[GROUPS];
    float ns[GROUPS][CHOICES]; /* 0: can't be had */
    struct {
        guint32 group, choice, with, its;
        float ns;
    } pairs[4];
    float noise, drift; /* part of the time: at random; more with each measurement */
    GRand *rand;
    guint measured;
    guint32 asked[MOST][GROUPS];
} Model;

static float true_ns(const Model *m, const guint32 *choices)
{
    float ns = 0;

    for (guint32 i = 0; i < m->n; i++) {
        if (m->ns[i][choices[i]] <= 0)
            return 0;
        ns += m->ns[i][choices[i]];
    }
    for (guint i = 0; i < G_N_ELEMENTS(m->pairs); i++)
        if (m->pairs[i].ns != 0 && choices[m->pairs[i].group] == m->pairs[i].choice &&
            choices[m->pairs[i].with] == m->pairs[i].its)
            ns += m->pairs[i].ns;
    return ns;
}

static float measure(Model *m, const guint32 *choices)
{
    float ns = true_ns(m, choices);

    g_assert_cmpuint(m->measured, <, MOST);
    memcpy(m->asked[m->measured], choices, m->n * sizeof *choices);
    ns *= 1 + m->drift * (float)m->measured++;
    return m->rand != NULL ? ns * (1 + m->noise * (float)g_rand_double_range(m->rand, -1, 1)) : ns;
}

/* At most so many measurements. */
static CudaSearch *search_model(Model *m, guint most)
{
    CudaSearch *search = cuda_search_new(m->groups, m->n);
    const guint32 *choices;

    g_assert_nonnull(search);
    while (m->measured < most && (choices = cuda_search_next(search)) != NULL) {
        g_assert_true(cuda_search_next(search) == choices); /* asking twice is asking once */
        cuda_search_tell(search, measure(m, choices));
    }
    return search;
}

static void check_found(Model *m, const guint32 *expected)
{
    CudaSearch *search = search_model(m, MOST);
    const guint32 *best = cuda_search_best(search);

    g_assert_null(cuda_search_next(search));
    for (guint32 i = 0; i < m->n; i++)
        if (best[i] != expected[i])
            g_error("group %u: choice %u, expected %u", i, best[i], expected[i]);
    cuda_search_free(search);
}

/* Alone choice 0 is fastest everywhere; behind choice 0 of group 0, choice 2 of group 1 is. */
static Model chained(void)
{
    return (Model){.n = 3,
                   .groups = {{2, 50}, {3, 100}, {1, 10}},
                   .ns = {{100, 104}, {50, 51, 52}, {10}},
                   .pairs = {{0, 0, 1, 0, 8}, {0, 0, 1, 1, 9}}};
}

static void test_what_is_fastest_alone_need_not_be_so_in_the_whole(void)
{
    Model m = chained();
    CudaSearch *search;

    check_found(&m, (const guint32[]){0, 2, 0}); /* 162; at first 168, with choice 1 of group 0 164 */
    m.measured = 0;
    search = search_model(&m, MOST);
    g_assert_cmpfloat(cuda_search_first_ns(search), ==, 168);
    g_assert_cmpfloat(cuda_search_best_ns(search), ==, 162);
    cuda_search_free(search);
}

/* Choice 1 of group 0 pays only once group 1 has changed, which comes after it. */
static void test_what_changes_later_is_gone_back_for(void)
{
    Model m = {.n = 2,
               .groups = {{2, 100}, {2, 50}},
               .ns = {{100, 100}, {60, 50}},
               .pairs = {{0, 1, 1, 1, -20}, {0, 1, 1, 0, 5}}};

    check_found(&m, (const guint32[]){1, 1});
}

static void test_equal_times_change_nothing(void)
{
    Model m = {.n = 4, .groups = {{4, 1}, {4, 1}, {4, 1}, {4, 1}}};

    for (guint i = 0; i < GROUPS; i++)
        for (guint k = 0; k < CHOICES; k++)
            m.ns[i][k] = 10;
    check_found(&m, (const guint32[]){0, 0, 0, 0});
    g_assert_cmpuint(m.measured, <=, 4 + 4 * 4); /* the beginning; of each group the first and three others, once */
}

static void test_those_that_take_longest_come_first(void)
{
    Model m = {.n = 3, .groups = {{2, 1}, {2, 9}, {2, 9}}, .ns = {{10, 10}, {10, 10}, {10, 10}}};
    guint32 turns[3], n = 0;

    check_found(&m, (const guint32[]){0, 0, 0});
    for (guint i = 0; i < m.measured; i++)
        for (guint32 k = 0; k < 3; k++)
            if (m.asked[i][k] != 0)
                turns[n++] = k;
    g_assert_cmpuint(n, ==, 3);
    g_assert_cmpuint(turns[0], ==, 1);
    g_assert_cmpuint(turns[1], ==, 2);
    g_assert_cmpuint(turns[2], ==, 0);
}

/* Whatever the noise says, what is found is no slower than what it began with; what is clearly faster is found. */
static void test_noise(void)
{
    for (guint32 seed = 0; seed < 200; seed++) {
        Model m = {.n = GROUPS, .noise = 0.004f, .rand = g_rand_new_with_seed(seed)};
        const guint32 zeros[GROUPS] = {0};
        CudaSearch *search;
        float found;

        for (guint i = 0; i < GROUPS; i++) {
            m.groups[i] = (CudaSearchGroup){CHOICES, 1};
            for (guint k = 0; k < CHOICES; k++)
                m.ns[i][k] = 10;
        }
        m.ns[3][2] = 7; /* 5 % of the whole */
        search = search_model(&m, MOST);
        found = true_ns(&m, cuda_search_best(search));
        if (found > true_ns(&m, zeros) - 2.9f)
            g_error("seed %u: %g of %g", seed, (double)found, (double)true_ns(&m, zeros));
        cuda_search_free(search);
        g_rand_free(m.rand);
    }
}

static void test_noise_alone_changes_nothing(void)
{
    guint changed = 0;

    for (guint32 seed = 0; seed < 200; seed++) {
        Model m = {.n = 3, .groups = {{4, 1}, {4, 1}, {4, 1}}, .noise = 0.004f, .rand = g_rand_new_with_seed(seed)};
        CudaSearch *search;

        for (guint i = 0; i < GROUPS; i++)
            for (guint k = 0; k < CHOICES; k++)
                m.ns[i][k] = 10;
        search = search_model(&m, MOST);
        for (guint i = 0; i < m.n; i++)
            if (cuda_search_best(search)[i] != 0) {
                changed++;
                break;
            }
        cuda_search_free(search);
        g_rand_free(m.rand);
    }
    g_assert_cmpuint(changed, <, 20); /* the noise was taken for less than it is */
}

/* Choice 1 seems fast as often as it takes to be taken, but is not when compared with the beginning. */
static void test_what_does_not_beat_the_beginning_is_given_back(void)
{
    Model m = {.n = 1, .groups = {{2, 1}}, .ns = {{10, 11}}};
    CudaSearch *search = cuda_search_new(m.groups, m.n);
    const guint32 *choices;
    guint lies = 0;

    while ((choices = cuda_search_next(search)) != NULL) {
        const gboolean lie = choices[0] == 1 && lies++ < 2;

        cuda_search_tell(search, lie ? 9 : measure(&m, choices));
        if (lies == 2)
            g_assert_cmpuint(cuda_search_best(search)[0], ==, 1);
        lies += lies == 2;
    }
    g_assert_cmpuint(lies, >, 3);
    g_assert_cmpuint(cuda_search_best(search)[0], ==, 0);
    g_assert_cmpfloat(cuda_search_best_ns(search), ==, 10);
    cuda_search_free(search);
}

/* A single measurement that is far too good, at any time, changes nothing. */
static void test_one_good_measurement_is_not_enough(void)
{
    for (guint lucky = 4; lucky < 12; lucky++) {
        Model m = {.n = 2, .groups = {{3, 2}, {3, 1}}, .ns = {{10, 10.5f, 11}, {10, 10.5f, 11}}};
        CudaSearch *search = cuda_search_new(m.groups, m.n);
        const guint32 *choices;

        while ((choices = cuda_search_next(search)) != NULL) {
            const float ns = measure(&m, choices);

            cuda_search_tell(search, m.measured - 1 == lucky ? ns / 2 : ns);
        }
        g_assert_cmpuint(cuda_search_best(search)[0] + cuda_search_best(search)[1], ==, 0);
        cuda_search_free(search);
    }
}

/* A device that gets warm: all takes longer and longer, or, once it has woken up, shorter. */
static void test_drift(void)
{
    static const float drifts[] = {0.0005f, -0.0005f};

    for (guint i = 0; i < G_N_ELEMENTS(drifts); i++) {
        Model m = chained();

        m.drift = drifts[i];
        check_found(&m, (const guint32[]){0, 2, 0});
    }
}

static void test_what_cannot_be_had_is_not_chosen(void)
{
    Model m = {.n = 2, .groups = {{3, 2}, {2, 1}}, .ns = {{10, 0, 8}, {10, 0}}};

    check_found(&m, (const guint32[]){2, 0});
}

/* If what has run fails, nothing more is asked. */
static void test_an_end_of_all_measuring(void)
{
    Model m = chained();
    CudaSearch *search = search_model(&m, 4); /* now comes the current one */

    g_assert_nonnull(cuda_search_next(search));
    cuda_search_tell(search, -1);
    g_assert_null(cuda_search_next(search));
    g_assert_cmpfloat(true_ns(&m, cuda_search_best(search)), <=, 168);
    cuda_search_free(search);
}

/* However soon it ends, the best so far is one that was measured to be no slower. */
static void test_any_end_of_the_budget(void)
{
    Model whole = chained();
    CudaSearch *search = search_model(&whole, MOST);
    const guint all = whole.measured;
    float last = 168;

    cuda_search_free(search);
    for (guint most = 0; most <= all; most++) {
        Model m = chained();
        float ns;

        search = search_model(&m, most);
        ns = true_ns(&m, cuda_search_best(search));
        g_assert_cmpfloat(ns, <=, last);
        last = ns;
        cuda_search_free(search);
    }
    g_assert_cmpfloat(last, ==, 162);
}

static void test_the_same_answers_make_the_same_questions(void)
{
    Model a = chained(), b = chained();

    cuda_search_free(search_model(&a, MOST));
    cuda_search_free(search_model(&b, MOST));
    g_assert_cmpuint(a.measured, ==, b.measured);
    g_assert_cmpmem(a.asked, sizeof a.asked, b.asked, sizeof b.asked);
}

static void test_nothing_to_choose(void)
{
    Model m = {.n = 2, .groups = {{1, 1}, {1, 1}}, .ns = {{10}, {10}}};

    check_found(&m, (const guint32[]){0, 0});
    g_assert_cmpuint(m.measured, ==, 0);
    m.n = 0;
    check_found(&m, NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cuda-search/what-is-fastest-alone-need-not-be-so-in-the-whole",
                    test_what_is_fastest_alone_need_not_be_so_in_the_whole);
    g_test_add_func("/cuda-search/what-changes-later-is-gone-back-for", test_what_changes_later_is_gone_back_for);
    g_test_add_func("/cuda-search/equal-times-change-nothing", test_equal_times_change_nothing);
    g_test_add_func("/cuda-search/those-that-take-longest-come-first", test_those_that_take_longest_come_first);
    g_test_add_func("/cuda-search/noise", test_noise);
    g_test_add_func("/cuda-search/noise-alone-changes-nothing", test_noise_alone_changes_nothing);
    g_test_add_func("/cuda-search/what-does-not-beat-the-beginning-is-given-back",
                    test_what_does_not_beat_the_beginning_is_given_back);
    g_test_add_func("/cuda-search/one-good-measurement-is-not-enough", test_one_good_measurement_is_not_enough);
    g_test_add_func("/cuda-search/drift", test_drift);
    g_test_add_func("/cuda-search/what-cannot-be-had-is-not-chosen", test_what_cannot_be_had_is_not_chosen);
    g_test_add_func("/cuda-search/an-end-of-all-measuring", test_an_end_of_all_measuring);
    g_test_add_func("/cuda-search/any-end-of-the-budget", test_any_end_of_the_budget);
    g_test_add_func("/cuda-search/the-same-answers-make-the-same-questions",
                    test_the_same_answers_make_the_same_questions);
    g_test_add_func("/cuda-search/nothing-to-choose", test_nothing_to_choose);
    return g_test_run();
}

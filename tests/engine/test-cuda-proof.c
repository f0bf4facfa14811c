/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is left of choices that make a network's results wrong. The network is a double that says which do. */
#include <glib.h>
#include <math.h>

#include "engine/cuda/proof.h"

enum { GROUPS = 6 };
#define BOUND 0.01f

typedef struct {
    guint wrong;         /* groups whose choice is, a bit each */
    guint together;      /* groups whose choices are wrong together, not one without the other */
    CudaProofWay works;  /* the first way that does */
    gboolean is_nothing; /* wrong are no numbers */
    guint runs;
} Network;

static float run(void *data, const uint8_t *taken, CudaProofWay way)
{
    Network *network = data;
    guint bits = 0;

    network->runs++;
    for (guint i = 0; i < GROUPS; i++)
        bits |= taken[i] ? 1u << i : 0;
    if ((bits & network->wrong) != 0 || (network->together != 0 && (bits & network->together) == network->together) ||
        way < network->works)
        return network->is_nothing ? NAN : 0.06f;
    return 0.002f;
}

/* The groups that are left, a bit each. */
static guint prove(Network *network, CudaProofWay *way, gboolean *is_right)
{
    uint8_t taken[GROUPS];
    guint bits = 0;

    *is_right = cuda_proof(run, network, BOUND, GROUPS, taken, way);
    for (guint i = 0; i < GROUPS; i++)
        bits |= taken[i] ? 1u << i : 0;
    return bits;
}

static void check(Network network, guint expected, CudaProofWay expected_way, guint most_runs)
{
    for (guint i = 0; i < 2; i++) {
        gboolean is_right;
        CudaProofWay way;

        network.is_nothing = i != 0;
        network.runs = 0;
        g_assert_cmphex(prove(&network, &way, &is_right), ==, expected);
        g_assert_cmpint(way, ==, expected_way);
        g_assert_cmpint(is_right, ==, expected == 63 && way == CUDA_PROOF_GRAPH);
        g_assert_cmpuint(network.runs, <=, most_runs);
    }
}

static void test_what_is_right_takes_one_run(void)
{
    check((Network){0}, 63, CUDA_PROOF_GRAPH, 1);
}

static void test_a_wrong_choice_goes(void)
{
    for (guint i = 0; i < GROUPS; i++)
        check((Network){.wrong = 1u << i}, 63 & ~(1u << i), CUDA_PROOF_GRAPH, 3 + GROUPS);
    check((Network){.wrong = 5}, 63 & ~5u, CUDA_PROOF_GRAPH, 3 + GROUPS);
}

static void test_of_two_that_are_wrong_together_the_later_goes(void)
{
    check((Network){.together = 2 | 16}, 63 & ~16u, CUDA_PROOF_GRAPH, 3 + GROUPS);
}

static void test_a_graph_that_is_wrong_is_run_otherwise(void)
{
    check((Network){.works = CUDA_PROOF_ONE_STREAM}, 63, CUDA_PROOF_ONE_STREAM, 5);
    check((Network){.works = CUDA_PROOF_APART}, 63, CUDA_PROOF_APART, 5);
    check((Network){.wrong = 8, .works = CUDA_PROOF_APART}, 63 & ~8u, CUDA_PROOF_APART, 5 + GROUPS);
}

static void test_where_nothing_helps_references_are_left(void)
{
    check((Network){.works = CUDA_PROOF_STEPS}, 0, CUDA_PROOF_APART, 5);
    check((Network){.works = CUDA_PROOF_STEPS + 1}, 0, CUDA_PROOF_APART, 5 + GROUPS);
}

static void test_differences_are_of_the_range(void)
{
    const float right[] = {-1, 3, 0}, near[] = {-1, 3, 0.04f}, nothing[] = {-1, NAN, 0}, endless[] = {-1, 3, INFINITY};
    const float same[] = {2, 2}, other[] = {2, 2.2f};

    g_assert_cmpfloat(cuda_proof_difference(right, right, 3), ==, 0);
    g_assert_cmpfloat_with_epsilon(cuda_proof_difference(right, near, 3), 0.01f, 1e-6f);
    g_assert_true(isinf(cuda_proof_difference(right, nothing, 3)));
    g_assert_true(isinf(cuda_proof_difference(right, endless, 3)));
    g_assert_cmpfloat(cuda_proof_difference(nothing, near, 3), ==, 0);
    g_assert_cmpfloat(cuda_proof_difference(endless, right, 3), ==, 0);
    g_assert_cmpfloat_with_epsilon(cuda_proof_difference(same, other, 2), 0.1f, 1e-6f);
    g_assert_cmpfloat(cuda_proof_difference(right, right, 0), ==, 0);
}

/* As a half's rounding leaves them: heads that hardly vary, or whose scores are next to nothing. */
static void test_rounding_is_no_difference(void)
{
    const float close[] = {1, 1.001f, 1.002f}, rounded[] = {1, 1.001f, 1.003f}, far[] = {1, 1.001f, 1.1f};
    const float negative[] = {-1, -1.001f}, rounded_negative[] = {-1, -1.002f};
    const float tiny[] = {0, 0x1p-20f}, rounded_tiny[] = {0x1p-24f, 0x1p-20f}, not_tiny[] = {0x1p-15f, 0};

    g_assert_cmpfloat_with_epsilon(cuda_proof_difference(close, rounded, 3), 0.001f / (1.002f / 8), 1e-4f);
    g_assert_cmpfloat(cuda_proof_difference(close, far, 3), >, 0.5f);
    g_assert_cmpfloat_with_epsilon(cuda_proof_difference(negative, rounded_negative, 2), 0.001f / (1.001f / 8), 1e-4f);
    g_assert_cmpfloat(cuda_proof_difference(tiny, rounded_tiny, 2), ==, 0x1p-10f);
    g_assert_cmpfloat(cuda_proof_difference(tiny, not_tiny, 2), ==, 0.5f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cuda-proof/right", test_what_is_right_takes_one_run);
    g_test_add_func("/cuda-proof/wrong-choice", test_a_wrong_choice_goes);
    g_test_add_func("/cuda-proof/wrong-together", test_of_two_that_are_wrong_together_the_later_goes);
    g_test_add_func("/cuda-proof/wrong-graph", test_a_graph_that_is_wrong_is_run_otherwise);
    g_test_add_func("/cuda-proof/nothing-helps", test_where_nothing_helps_references_are_left);
    g_test_add_func("/cuda-proof/differences", test_differences_are_of_the_range);
    g_test_add_func("/cuda-proof/rounding", test_rounding_is_no_difference);
    return g_test_run();
}

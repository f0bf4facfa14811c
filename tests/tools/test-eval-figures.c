/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What gpudl eval makes of scores and answers, against sums made by hand. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "tools/eval.h"

static void equal_scores_go_by_number(void)
{
    static const float scores[] = {0.2f, 0.3f, 0.3f, 0.2f};
    EvalAnswer answer = eval_judge(scores, 4, 2);

    g_assert_cmpuint(answer.answer, ==, 1);
    g_assert_cmpuint(answer.rank, ==, 1);
    g_assert_cmpfloat(answer.margin, ==, 0.0f);
    g_assert_cmpfloat(answer.confidence, ==, 0.3f);
    g_assert_cmpfloat_with_epsilon(answer.loss, -logf(0.3f), 1e-6);
    g_assert_cmpuint(eval_judge(scores, 4, 0).rank, ==, 2);
    g_assert_cmpuint(eval_judge(scores, 4, 3).rank, ==, 3);
    g_assert_cmpuint(eval_judge(scores, 4, 1).rank, ==, 0);
}

static void losses_are_of_probabilities_alone(void)
{
    static const float logits[] = {3.0f, -2.0f}, above[] = {0.9f, 0.9f}, below[] = {0.3f, 0.3f};
    static const float rounded[] = {0.51f, 0.5f}, certain[] = {1.0f, 0.0f}, ruled_out[] = {-INFINITY, 5.0f};

    g_assert_true(isnan(eval_judge(logits, 2, 0).loss));
    g_assert_true(isnan(eval_judge(above, 2, 0).loss));
    g_assert_true(isnan(eval_judge(below, 2, 0).loss));
    g_assert_cmpfloat_with_epsilon(eval_judge(rounded, 2, 1).loss, logf(2.0f), 1e-6);
    g_assert_cmpfloat(eval_judge(certain, 2, 0).loss, ==, 0.0f);
    g_assert_cmpfloat_with_epsilon(eval_judge(certain, 2, 1).loss, -logf(FLT_MIN), 1e-4);
    g_assert_cmpuint(eval_judge(ruled_out, 2, 0).answer, ==, 1);
    g_assert_cmpuint(eval_judge(ruled_out, 2, 0).rank, ==, 1);
    /* a network of one class is always right */
    g_assert_cmpuint(eval_judge(certain, 1, 0).rank, ==, 0);
    g_assert_cmpfloat(eval_judge(certain, 1, 0).margin, ==, 1.0f);
}

static EvalAnswer answer(guint32 class, guint32 rank, float confidence)
{
    return (EvalAnswer){.answer = class, .rank = rank, .confidence = confidence, .margin = 0.25f, .loss = 0.5f};
}

static void sums_are_those_of_the_answers(void)
{
    const EvalAnswer answers[] = {answer(0, 0, 0.95f), answer(0, 0, 0.97f), answer(2, 4, 0.96f),
                                  answer(2, 5, 0.30f), answer(1, 0, 0.31f), answer(2, 6, 0.0f)};
    static const guint32 truths[] = {0, 0, 0, 1, 1, 1};
    g_autoptr(EvalFigures) f = eval_figures(answers, truths, 6, 7);
    const EvalConfusion *confusions = (const EvalConfusion *)(gconstpointer)f->confusions->data;

    g_assert_cmpuint(f->n_right, ==, 3);
    g_assert_cmpuint(f->n_best, ==, 4);
    g_assert_cmpfloat_with_epsilon(f->loss, 0.5, 1e-9);
    g_assert_cmpfloat_with_epsilon(f->margin, 0.25, 1e-9);
    g_assert_cmpfloat_with_epsilon(f->confidence, (0.95 + 0.97 + 0.96 + 0.30 + 0.31) / 6, 1e-6);
    /* bins of a fifteenth: 14 has three, of which two are right; 4 has two, of which one; 0 has one, wrong */
    g_assert_cmpuint(f->bins[14].n, ==, 3);
    g_assert_cmpuint(f->bins[4].n, ==, 2);
    g_assert_cmpuint(f->bins[0].n, ==, 1);
    g_assert_cmpfloat_with_epsilon(f->bins[14].confidence, 0.96, 1e-6);
    g_assert_cmpfloat_with_epsilon(f->calibration_error, (fabs(2 - 2.88) + fabs(1 - 0.61) + 0) / 6, 1e-6);
    g_assert_cmpuint(f->classes[0].n, ==, 3);
    g_assert_cmpuint(f->classes[0].n_right, ==, 2);
    g_assert_cmpuint(f->classes[0].n_best, ==, 3);
    g_assert_cmpuint(f->classes[1].n_best, ==, 1);
    g_assert_cmpuint(f->classes[2].n_answers, ==, 3);
    g_assert_cmpuint(f->classes[2].n, ==, 0);
    g_assert_cmpuint(f->confusions->len, ==, 2);
    g_assert_true(confusions[0].truth == 1 && confusions[0].answer == 2 && confusions[0].n == 2);
    g_assert_true(confusions[1].truth == 0 && confusions[1].answer == 2 && confusions[1].n == 1);
}

/* The float that is nearest to a fifth is above it. */
static void bins_end_at_fifteenths(void)
{
    const EvalAnswer answers[] = {answer(0, 0, 0.0f), answer(0, 0, nextafterf(0.2f, 0.0f)), answer(0, 0, 0.2f),
                                  answer(0, 0, nextafterf(1.0f, 0.0f)), answer(0, 0, 1.0f)};
    static const guint32 truths[G_N_ELEMENTS(answers)] = {0};
    g_autoptr(EvalFigures) f = eval_figures(answers, truths, G_N_ELEMENTS(answers), 1);

    g_assert_cmpuint(f->bins[0].n, ==, 1);
    g_assert_cmpuint(f->bins[2].n, ==, 1);
    g_assert_cmpuint(f->bins[3].n, ==, 1);
    g_assert_cmpuint(f->bins[14].n, ==, 2);
}

/* Of 10 right in 10 and none in 10: Wilson's interval by its formula. */
static void intervals_stay_within_0_and_1(void)
{
    EvalAnswer answers[10];
    guint32 truths[10] = {0};
    const double edge = 10 / (10 + 1.959964 * 1.959964);

    for (guint i = 0; i < 10; i++)
        answers[i] = answer(0, 0, 0.5f);
    for (guint right = 0; right < 2; right++) {
        g_autoptr(EvalFigures) f = NULL;

        for (guint i = 0; i < 10; i++)
            truths[i] = right ? 0 : 1;
        f = eval_figures(answers, truths, 10, 2);
        g_assert_cmpfloat_with_epsilon(right ? f->low : f->high, right ? edge : 1 - edge, 1e-9);
        g_assert_cmpfloat(right ? f->high : f->low, ==, right ? 1.0 : 0.0);
    }
}

static void one_without_a_loss_leaves_none(void)
{
    EvalAnswer answers[] = {answer(0, 0, 0.9f), answer(0, 0, 7.0f)};
    static const guint32 truths[] = {0, 0};
    g_autoptr(EvalFigures) f = NULL, none = eval_figures(answers, truths, 0, 2);

    answers[1].loss = NAN;
    f = eval_figures(answers, truths, 2, 2);
    g_assert_true(isnan(f->loss) && isnan(f->calibration_error));
    g_assert_cmpuint(f->n_right, ==, 2);
    g_assert_true(isnan(none->loss) && isnan(none->margin));
    g_assert_cmpfloat(none->low, ==, 0.0);
    g_assert_cmpfloat(none->high, ==, 1.0);
}

static void large_matrices_are_refused(void)
{
    const EvalAnswer one = answer(EVAL_MATRIX, 0, 0.9f);
    static const guint32 truth = EVAL_MATRIX;
    g_autoptr(EvalFigures) f = eval_figures(&one, &truth, 1, EVAL_MATRIX + 1);
    g_autoptr(GError) error = NULL;

    g_assert_null(eval_matrix_png(f, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT);
}

/* Above what a picture's side has as pixels each class is one. */
static void many_classes_are_a_pixel_each(void)
{
    static const guint8 size[8] = {0, 0, 0x04, 0x4c, 0, 0, 0x04, 0x4c};
    const EvalAnswer one = answer(3, 0, 0.9f);
    static const guint32 truth = 3;
    g_autoptr(EvalFigures) f = eval_figures(&one, &truth, 1, 1100);
    g_autoptr(GBytes) png = eval_matrix_png(f, NULL);

    g_assert_nonnull(png);
    g_assert_cmpmem((const guint8 *)g_bytes_get_data(png, NULL) + 16, 8, size, 8);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tools/eval/ties", equal_scores_go_by_number);
    g_test_add_func("/tools/eval/losses", losses_are_of_probabilities_alone);
    g_test_add_func("/tools/eval/sums", sums_are_those_of_the_answers);
    g_test_add_func("/tools/eval/bins", bins_end_at_fifteenths);
    g_test_add_func("/tools/eval/intervals", intervals_stay_within_0_and_1);
    g_test_add_func("/tools/eval/no-loss", one_without_a_loss_leaves_none);
    g_test_add_func("/tools/eval/large-matrix", large_matrices_are_refused);
    g_test_add_func("/tools/eval/many-classes", many_classes_are_a_pixel_each);
    return g_test_run();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <float.h>
#include <math.h>

#include "tools/eval.h"

/* of a sum of probabilities that were rounded to float16 on the way */
#define SUM_TOLERANCE 0.02

/* ---- one answer -------------------------------------------------------------------------------------------------- */

static float loss_of(const float *scores, guint n, guint32 truth)
{
    double sum = 0;

    for (guint i = 0; i < n; i++) {
        if (!(scores[i] >= 0.0f && scores[i] <= 1.0f))
            return NAN;
        sum += scores[i];
    }
    return fabs(sum - 1.0) <= SUM_TOLERANCE ? (float)-log(MAX(scores[truth], FLT_MIN)) : NAN;
}

EvalAnswer eval_judge(const float *scores, guint n, guint32 truth)
{
    EvalAnswer answer = {.loss = loss_of(scores, n, truth)};
    float second = -INFINITY;

    for (guint i = 1; i < n; i++)
        if (scores[i] > scores[answer.answer])
            answer.answer = i;
    for (guint i = 0; i < n; i++) {
        if (i != answer.answer)
            second = MAX(second, scores[i]);
        answer.rank += scores[i] > scores[truth] || (scores[i] == scores[truth] && i < truth);
    }
    answer.confidence = scores[answer.answer];
    answer.margin = n > 1 ? answer.confidence - second : answer.confidence;
    return answer;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static gint by_frequency(gconstpointer a, gconstpointer b)
{
    const EvalConfusion *x = a, *y = b;

    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    if (x->truth != y->truth)
        return x->truth < y->truth ? -1 : 1;
    return x->answer < y->answer ? -1 : x->answer > y->answer;
}

static GArray *find_confusions(const EvalAnswer *answers, const guint32 *truths, guint n)
{
    g_autoptr(GHashTable) counts = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    GArray *confusions = g_array_new(FALSE, FALSE, sizeof(EvalConfusion));
    GHashTableIter iterator;
    gpointer key, value;

    for (guint i = 0; i < n; i++) {
        gint64 pair = (gint64)((guint64)truths[i] << 32 | answers[i].answer);

        if (answers[i].answer == truths[i])
            continue;
        value = g_hash_table_lookup(counts, &pair);
        g_hash_table_insert(counts, g_memdup2(&pair, sizeof pair), GUINT_TO_POINTER(GPOINTER_TO_UINT(value) + 1));
    }
    g_hash_table_iter_init(&iterator, counts);
    while (g_hash_table_iter_next(&iterator, &key, &value)) {
        guint64 pair = (guint64) * (const gint64 *)key;
        const EvalConfusion one = {(guint32)(pair >> 32), (guint32)pair, GPOINTER_TO_UINT(value)};

        g_array_append_val(confusions, one);
    }
    g_array_sort(confusions, by_frequency);
    return confusions;
}

/* Wilson 1927: holds for few pictures and for shares near 0 and 1, too. */
static void find_interval(EvalFigures *figures)
{
    const double z = 1.959964, n = figures->n, share = figures->n_right / n;
    double middle = (share + z * z / (2 * n)) / (1 + z * z / n);
    double half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n));

    /* not left to rounding */
    figures->low = figures->n_right > 0 ? MAX(middle - half, 0.0) : 0.0;
    figures->high = figures->n_right < figures->n ? MIN(middle + half, 1.0) : 1.0;
}

static guint bin_of(float confidence)
{
    return (guint)CLAMP(ceil((double)confidence * EVAL_BINS) - 1, 0.0, EVAL_BINS - 1.0);
}

static void add_answer(EvalFigures *figures, const EvalAnswer *answer, guint32 truth)
{
    EvalClass *class = &figures->classes[truth];
    gboolean right = answer->answer == truth;
    EvalBin *bin;

    figures->n_right += right;
    figures->n_best += answer->rank < EVAL_BEST;
    figures->loss += answer->loss;
    figures->margin += answer->margin;
    figures->confidence += answer->confidence;
    class->n++;
    class->n_right += right;
    class->n_best += answer->rank < EVAL_BEST;
    figures->classes[answer->answer].n_answers++;
    if (isnan(answer->loss))
        return;
    bin = &figures->bins[bin_of(answer->confidence)];
    bin->n++;
    bin->n_right += right;
    bin->confidence += answer->confidence;
}

EvalFigures *eval_figures(const EvalAnswer *answers, const guint32 *truths, guint n, guint n_classes)
{
    EvalFigures *figures = g_new0(EvalFigures, 1);

    figures->n = n;
    figures->n_classes = n_classes;
    figures->classes = g_new0(EvalClass, n_classes);
    figures->confusions = find_confusions(answers, truths, n);
    for (guint i = 0; i < n; i++)
        add_answer(figures, &answers[i], truths[i]);
    for (guint b = 0; b < EVAL_BINS; b++) {
        EvalBin *bin = &figures->bins[b];

        figures->calibration_error += fabs(bin->n_right - bin->confidence) / MAX(n, 1);
        bin->confidence /= MAX(bin->n, 1);
    }
    if (isnan(figures->loss))
        figures->calibration_error = NAN;
    if (n == 0) {
        figures->loss = figures->margin = figures->confidence = figures->calibration_error = NAN;
        figures->high = 1.0;
        return figures;
    }
    figures->loss /= n;
    figures->margin /= n;
    figures->confidence /= n;
    find_interval(figures);
    return figures;
}

void eval_figures_free(EvalFigures *figures)
{
    g_free(figures->classes);
    g_array_unref(figures->confusions);
    g_free(figures);
}

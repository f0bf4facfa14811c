/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * How well a network does on pictures whose classes are known: answers are judged one by one by eval_judge(), summed up
 * by eval_figures(), and told by eval_text() and eval_json(), which judge nothing.
 */
#ifndef GPUDL_TOOLS_EVAL_H
#define GPUDL_TOOLS_EVAL_H

#include "tools/dataset.h"
#include "tools/report.h"

G_BEGIN_DECLS

#define EVAL_BINS 15 /* of calibration: Guo et al., On Calibration of Modern Neural Networks, 2017 */
#define EVAL_BEST 5

/** What a network said of one picture. */
typedef struct {
    guint32 answer;   /* the class of the highest score, of equal ones the lower id */
    guint32 rank;     /* of the true class among all, from 0; of equal scores the lower id comes first */
    float confidence; /* the answer's score */
    float margin;     /* how much that is above the next one's; of a single class: above 0 */
    float loss;       /* -ln of the true class's probability, at most 87.3, of what float32 can tell from 0; NAN: scores
                         are no probabilities of one class out of all, within 0 and 1 and 1 in sum */
} EvalAnswer;

/** scores: n of them, none of them NaN; truth < n. */
EvalAnswer eval_judge(const float *scores, guint n, guint32 truth);

typedef struct {
    guint n, n_right;
    double confidence; /* mean, 0 of none */
} EvalBin;

typedef struct {
    guint n, n_right, n_best; /* pictures of the class, answered right, right among the best five */
    guint n_answers;          /* of any picture */
} EvalClass;

typedef struct {
    guint32 truth, answer;
    guint n;
} EvalConfusion;

/** Sums of answers. */
typedef struct {
    guint n, n_right, n_best;
    double low, high;                /* of the share that is right: Wilson's interval of 95 % */
    double loss, margin, confidence; /* means; loss is NAN if that of any answer is */
    double calibration_error;        /* expected, of EVAL_BINS equal bins by confidence; NAN with loss */
    EvalBin bins[EVAL_BINS];         /* bin i: confidences above i / EVAL_BINS, up to (i + 1) / EVAL_BINS */
    guint n_classes;
    EvalClass *classes; /* of the network */
    GArray *confusions; /* of EvalConfusion: wrong answers, the most frequent first */
} EvalFigures;

/** n answers, truths[i] < n_classes the true class of the i-th. Freed by the caller. */
EvalFigures *eval_figures(const EvalAnswer *answers, const guint32 *truths, guint n, guint n_classes);
void eval_figures_free(EvalFigures *figures);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EvalFigures, eval_figures_free)

/** One network of one or two. Strings are the owner's. */
typedef struct {
    const gchar *file, *name, *id, *backend, *device, *precision;
    const EvalAnswer *answers;
    const EvalFigures *figures;
} EvalSide;

/** What has been judged, for reports. */
typedef struct {
    const ReportSubject *subject;
    const Dataset *dataset;
    DatasetMatch match;
    const gchar *const *names; /* of the network's classes; NULL: has none */
    guint n_classes;
    EvalSide sides[2];
    guint n_sides;
    guint n;                      /* judged pictures */
    const guint *pictures;        /* their numbers in the data set, ascending */
    const guint32 *truths;        /* their classes */
    const gchar *const *failures; /* what was said of pictures that could not be judged */
    guint n_failures;
    double seconds;
    /* of two sides: the largest difference of any score, and, if it is above 0, the picture (0..n) that has it */
    float difference;
    guint difference_at;
} Evaluation;

/** For people, in a terminal: at most top rows in each table, 0: all. Freed by the caller, as below. */
gchar *eval_text(const Evaluation *evaluation, guint top);
/** cmd-eval.c has the schema. */
gchar *eval_json(const Evaluation *evaluation);

/**
 * The confusion matrix: a row for each true class, a column for each answer. As CSV with counts, the classes' names
 * around; as a PNG picture in which darker is a larger share of the row's pictures, the first class at the upper left.
 * NULL with LIMIT above EVAL_MATRIX classes, which eval_matrix_check() tells before.
 */
#define EVAL_MATRIX 4096
gboolean eval_matrix_check(guint n_classes, GError **error);
GBytes *eval_matrix_csv(const EvalFigures *figures, const gchar *const *names, GError **error);
GBytes *eval_matrix_png(const EvalFigures *figures, GError **error);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What checks of whole networks on CUDA share: options, bounds, sessions, and how an outcome is told. */
#ifndef GPUDL_TESTS_CUDA_NETS_RUN_H
#define GPUDL_TESTS_CUDA_NETS_RUN_H

#include "cuda-nets.h"
#include "engine/session/session.h"

G_BEGIN_DECLS

/** Of the command line; check-cuda-nets.c says what they are. */
typedef struct {
    gint seed, nets;
    gboolean bench, profiles, quick, single, settle, tensors;
    gchar *batches, *precision_name, *cache_dir, *autotune_name;
    gboolean all_run;  /* no network may be refused */
    gboolean of_files; /* a MODEL is being checked */
} NetsOptions;
extern NetsOptions nets_options;

typedef struct {
    GpudlPrecision precision;
    double bound, of_files;
} NetsPrecision;
#define NETS_PRECISIONS 4
extern const NetsPrecision nets_precisions[NETS_PRECISIONS];
double nets_bound(GpudlPrecision precision);
/** Whether the options ask for checks in it. */
gboolean nets_is_asked(GpudlPrecision precision);

/** What gpudl_scheduler_run() is given for nets_run_whole(): a batch of inputs, and each head's outputs. */
typedef struct {
    gint64 batch;
    const float *input;
    float **outputs;
} NetsWhole;
GpudlStatus nets_run_whole(GpudlSession *session, guint32 slot, gpointer data, GpudlFault *fault);

float **nets_make_outputs(GpudlModel *model, gint64 batch);
void nets_free_outputs(float **outputs);
/** Largest difference by range over all heads; NaN counts as infinite. */
double nets_compare(GpudlModel *model, gint64 batch, float **got, float **expected);
/** Of how many frames, by head, another class is the best, where what lies between the two best is more than the bound,
 * by range. */
guint nets_count_flips(GpudlModel *model, gint64 batch, float **got, float **expected, double bound);

GpudlSession *nets_acquire_for(GpudlModel *model, const gchar *backend, GpudlPrecision precision, guint batch,
                               GpudlAutotune autotune, GpudlActivation activation, GError **error);
/** With softmax. */
GpudlSession *nets_acquire(GpudlModel *model, const gchar *backend, GpudlPrecision precision, guint batch,
                           GpudlAutotune autotune, GError **error);
/** What the options say, else the usual one. */
GpudlAutotune nets_autotune(GpudlAutotune usual);

gsize nets_input_size(GpudlModel *model);
void nets_fill(float *values, gsize n, GRand *rand);

extern gint nets_failures, nets_tests;
/** A line of TAP. */
void nets_say(gboolean ok, const gchar *format, ...) G_GNUC_PRINTF(2, 3);

/** cuda-nets-frames.c: frames of several formats and sizes, and values among them, through a session. */
void nets_check_frames(GpudlModel *model, const gchar *name, GRand *rand);
/** cuda-nets-bench.c: times of the graphs, and of opening. */
void nets_bench(GpudlModel *model, const gchar *name, GpudlPrecision precision);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * How fast a network runs: one case is measured by bench_measure(), what came of all of them is told by bench_text()
 * and bench_json(), which measure nothing.
 */
#ifndef GPUDL_TOOLS_BENCH_H
#define GPUDL_TOOLS_BENCH_H

#include "tools/figures.h"
#include "tools/report.h"
#include "tools/synthetic.h"

G_BEGIN_DECLS

/** What is asked for. */
typedef struct {
    const gchar *backend; /* a name that the library knows */
    GpudlPrecision precision;
    guint threads, batch; /* 0: the backend's choice */
} BenchCase;

/** How every case is measured. */
typedef struct {
    const SyntheticSize *frames; /* NULL: values for the network itself, without pre-processing */
    double seconds, warmup;
    gint device; /* number of the GPU; -1: the first */
} BenchPlan;

/** What came of a case. All times in ns. */
typedef struct {
    BenchCase asked;
    gchar *reason;   /* NULL: measured; else why not, and nothing below is set */
    gboolean failed; /* the reason is one that came up while it ran */
    gchar *backend, *device;
    GpudlPrecision precision;
    guint parallelism, max_batch, depth; /* depth: frames kept under way */
    guint64 weights, workspace;          /* bytes */
    guint64 load_ns;
    guint64 settle_ns; /* until nothing was left to tune, which would go on between the frames; before the warm-up */
    guint64 frames, wall_ns, processor_ns; /* of the frames that were measured */
    double mean_batch;                     /* frames of an execution, as a frame sees it */
    Spread latency;                        /* from submitting a frame to its result */
} BenchResult;

void bench_result_clear(BenchResult *result);

/** Told now and then: 0..1 done; tuning: of what comes before measuring. */
typedef void (*BenchProgress)(gboolean tuning, double done, gpointer data);

/** Measures a case. What it can't do becomes the result's reason. FALSE if it was cancelled: then there is no result.
 */
gboolean bench_measure(GpudlModel *model, const BenchCase *asked, const BenchPlan *plan, BenchProgress progress,
                       gpointer data, GCancellable *cancellable, BenchResult *result);

/** For people, in a terminal. Freed by the caller, as below. */
gchar *bench_text(const ReportSubject *subject, const BenchPlan *plan, const BenchResult *results, guint n);
/** cmd-bench.c has the schema. */
gchar *bench_json(const ReportSubject *subject, const BenchPlan *plan, const BenchResult *results, guint n);

G_END_DECLS
#endif

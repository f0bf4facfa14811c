/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * One hostile file at a time: what a reader may do with it and what it may not. Used by the tests of this folder and by
 * the libFuzzer target.
 */
#ifndef GPUDL_TESTS_FUZZ_HOSTILE_H
#define GPUDL_TESTS_FUZZ_HOSTILE_H

#include "engine/gpudl.h"
#include "engine/graph/graph.h"

G_BEGIN_DECLS

/** What became of a file. Anything else (crash, wrong error, unclear error) aborts the process with a message. */
typedef enum {
    HOSTILE_REFUSED,    /* one clear error */
    HOSTILE_WORKS,      /* a model, and it ran */
    HOSTILE_SAME,       /* a model of a structure that was run before: not run again */
    HOSTILE_TOO_LARGE,  /* a model, more than HOSTILE_MAX_WORK of arithmetic or memory: not run */
    HOSTILE_NO_BATCH_1, /* a model whose rewriting or running was refused with one clear error */
    HOSTILE_N_OUTCOMES
} HostileOutcome;

/** Multiply-accumulates, and elements of all tensors together, up to which a damaged model is run. */
#define HOSTILE_MAX_WORK (G_GUINT64_CONSTANT(1) << 27)

/** Counters and worst cases of a series. Zero-filled before the first; clear after the last. */
typedef struct {
    guint64 outcomes[HOSTILE_N_OUTCOMES];
    guint64 cases;
    double slowest_seconds; /* processor time of the slowest case */
    guint64 slowest_case;
    GHashTable *structures; /* fingerprints of models that ran */
    guint run_every;        /* runs each n-th model of a known structure too; 0: none */
    guint64 max_work;       /* for HOSTILE_MAX_WORK; 0: that */
} HostileSeries;

void hostile_series_clear(HostileSeries *series);

/** Aborts unless it is one clear error: ours, with a message that can be printed. */
void hostile_check_error(const GError *error);

/**
 * Reads size bytes as an ONNX file; what imports goes on through rewriting, the proof of the batch and one run on the
 * reference backend with a picture of noise. The bytes are copied to memory of exactly their size, so that a sanitizer
 * sees any reading past the end.
 */
HostileOutcome hostile_onnx(HostileSeries *series, const guint8 *data, gsize size);

/** The same for one of Caffe's networks, whose values are in it: a .prototxt if it is text, else a .caffemodel. */
HostileOutcome hostile_caffe(HostileSeries *series, const guint8 *data, gsize size, gboolean text);

/** The same for a TensorFlow Lite file or a GraphDef. */
HostileOutcome hostile_tensorflow(HostileSeries *series, const guint8 *data, gsize size);

/** The same for a ZIP archive of PyTorch. sealed: the checksums of its members are made right first, where they are
 * found. */
HostileOutcome hostile_torch(HostileSeries *series, const guint8 *data, gsize size, gboolean sealed);

/** The same for a net.bin. may_work FALSE: anything but an error aborts. */
HostileOutcome hostile_netbin(HostileSeries *series, const guint8 *data, gsize size, gboolean may_work);

/** Prints the counts as a TAP comment and checks time and memory: no case above 20 s of processor time, the process
 * never above 2 GiB. Fails the running test otherwise. */
void hostile_series_report(const HostileSeries *series, const gchar *what);

/** The source tree's testcard.onnx (environment variable GPUDL_TESTCARD names it); fails the test if it can't be read.
 */
GBytes *hostile_testcard(void);

/** Makes the testcard model as readers do, rewritten, ready to be written; and as a net.bin. */
GpudlGraph *hostile_testcard_graph(void);
GBytes *hostile_testcard_netbin(void);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Inside of a GpudlModel: what readers fill, writers write and sessions compile. Not installed.
 */
#ifndef GPUDL_ENGINE_MODEL_H
#define GPUDL_ENGINE_MODEL_H

#include "engine/gpudl.h"
#include "engine/graph/graph.h"

G_BEGIN_DECLS

/** One input with the output that is expected for it: proves that a model computes on this machine what it did where it
 * was converted. */
typedef struct {
    gchar *description; /* "photo coffee.png" or "random, seed 1"; owned */
    GBytes *input;      /* float32 [channels][height][width] after pre-processing */
    GBytes *output;     /* float32, head 0, before the activation */
} GpudlGolden;

struct _GpudlModel {
    gatomicrefcount refs;
    gchar *name;
    gchar id[65];
    GpudlGraph *graph;      /* rewritten, sorted, inferred at batch 1; float32 NCHW input of rank 4; owned */
    GpudlPreproc preproc;   /* resolved */
    gboolean preproc_known; /* FALSE: nothing said how the network wants its pixels; the values are defaults */
    gchar **labels;         /* NULL-terminated, or NULL; owned */
    guint n_labels;
    GpudlActivation activation; /* resolved */
    GpudlGolden *golden;        /* or NULL; owned */
    /* provenance: where it comes from; owned, NULL where unknown */
    gchar *source_file, *source_format, *producer, *licence, *converted_by;
};

/**
 * Makes a model of a graph, taking ownership of the graph also on failure. The graph must be sorted, have one float32
 * input of rank 4 (N, 1 or 3 channels, H, W) and outputs whose elements at batch 1 are the classes. name is copied.
 * preproc NULL: defaults for the input's size (rgb or gray, stretch, bilinear, x / 255). id is left empty. Errors:
 * UNSUPPORTED, LIMIT.
 */
GpudlModel *gpudl_model_new(GpudlGraph *graph, const gchar *name, const GpudlPreproc *preproc, GError **error);

/** Sets the labels (copied). A number other than the classes of head 0 is FORMAT with both numbers. NULL removes them.
 */
gboolean gpudl_model_set_labels(GpudlModel *model, const gchar *const *labels, GError **error);

/** TRUE and the activation the graph's end already has (SOFTMAX, SIGMOID), FALSE if it ends otherwise. */
gboolean gpudl_graph_ends_in(const GpudlGraph *graph, GpudlActivation *activation);

void gpudl_golden_free(GpudlGolden *golden);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlGolden, gpudl_golden_free)

G_END_DECLS
#endif

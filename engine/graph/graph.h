/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The network as importers build it, passes rewrite it and backends compile it.
 *
 * A graph owns its tensors and nodes; nothing of it is freed alone (removed pieces stay until the graph goes). Shapes
 * are logical and N, C, spatial... ; physical layouts are the backends' affair. Dimension 0 of the graph's inputs is
 * the batch: gpudl_graph_infer() computes every shape for a given batch, so "symbolic" means "inferred again". A graph
 * is used by one thread while it is built; finished, it is read by any number.
 */
#ifndef GPUDL_ENGINE_GRAPH_H
#define GPUDL_ENGINE_GRAPH_H

#include <glib.h>

#include "engine/graph/attrs.h"
#include "kernels/types.h"

G_BEGIN_DECLS

typedef struct _GpudlGraph GpudlGraph;
typedef struct _GpudlNode GpudlNode;
typedef struct _GpudlTensor GpudlTensor;

/** A value: graph input, constant, or some node's output. */
struct _GpudlTensor {
    GpudlGraph *graph;
    guint id;    /* index in the graph's tensors */
    gchar *name; /* from the source file; owned; unique is not promised */
    GpudlDType dtype;
    GpudlShape shape;    /* of the batch last inferred; constants: fixed */
    GBytes *data;        /* constants: dense little-endian values; NULL otherwise */
    gboolean own;        /* of whoever rewrites the graph: nobody else reads these bytes, which may be written to */
    GpudlNode *producer; /* NULL for inputs and constants */
    guint output_index;  /* which of the producer's outputs */
};

/** One operation. */
struct _GpudlNode {
    GpudlGraph *graph;
    GpudlOp op;
    gchar *name; /* from the source file, or made; owned; used in messages */
    GpudlAttrs attrs;
    guint n_inputs, n_outputs;
    GpudlTensor **inputs;  /* an absent optional input is NULL; owned array */
    GpudlTensor **outputs; /* owned array */
};

struct _GpudlGraph {
    GPtrArray *tensors;      /* GpudlTensor*, owned, all ever made */
    GPtrArray *nodes;        /* GpudlNode*, owned; after gpudl_graph_sort() each comes after those it reads from */
    GPtrArray *inputs;       /* GpudlTensor*, not owned */
    GPtrArray *outputs;      /* GpudlTensor*, not owned */
    gint64 batch;            /* the batch of the shapes now in the tensors; 0 before the first inference */
    gboolean symbolic_batch; /* proven to hold for any batch; FALSE: batch 1 alone */
    gchar *batch_reason;     /* when not symbolic: the node and why; owned, else NULL */
    GPtrArray *removed;      /* nodes taken out, kept so that pointers stay valid */
};

GpudlGraph *gpudl_graph_new(void);
void gpudl_graph_free(GpudlGraph *graph);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlGraph, gpudl_graph_free)

/** Deep copy; constants share their GBytes. Only reachable tensors are copied (ids are new). */
GpudlGraph *gpudl_graph_copy(const GpudlGraph *graph);

/** Adds a graph input. The shape's dimension 0 is the batch the file was exported with. Returns the graph's tensor. */
GpudlTensor *gpudl_graph_add_input(GpudlGraph *graph, const gchar *name, GpudlDType dtype, const GpudlShape *shape);

/** Adds a constant; takes a reference on data, whose size must be elements x element size. NULL with
 * GPUDL_ERROR_FORMAT if not. */
GpudlTensor *gpudl_graph_add_constant(GpudlGraph *graph, const gchar *name, GpudlDType dtype, const GpudlShape *shape,
                                      GBytes *data, GError **error);

/** Convenience for passes: float32 constant from an array. */
GpudlTensor *gpudl_graph_add_constant_f32(GpudlGraph *graph, const gchar *name, const float *values, const gint64 *dims,
                                          gint rank);

/** Default attributes: zero, but windows: 1s, group 1; gemm: alpha = beta = 1. */
void gpudl_attrs_init(GpudlAttrs *attrs, GpudlOp op);

/**
 * Appends a node with default attributes (gpudl_attrs_init()) and n_outputs new output tensors called output_names[i]
 * (NULL array or entry: "<name>:i"). inputs are stored as given, NULL for absent. Arity is checked by
 * gpudl_graph_validate() and gpudl_graph_infer(), not here. Never NULL.
 */
GpudlNode *gpudl_graph_add_node(GpudlGraph *graph, GpudlOp op, const gchar *name, GpudlTensor *const *inputs,
                                guint n_inputs, const gchar *const *output_names, guint n_outputs);

/** Marks a tensor as the next graph output. */
void gpudl_graph_add_output(GpudlGraph *graph, GpudlTensor *tensor);

/** Replaces every use of old (inputs of nodes, graph outputs) by neu. */
void gpudl_graph_replace_uses(GpudlGraph *graph, GpudlTensor *old, GpudlTensor *neu);

/** Number of uses as node input plus as graph output; *node is set to the single reading node if exactly one node reads
 * it once and it is no graph output, else NULL. node may be NULL. O(nodes). */
guint gpudl_graph_uses(const GpudlGraph *graph, const GpudlTensor *tensor, GpudlNode **node);

/** Takes a node out of the node list; its output tensors must have no uses left. */
void gpudl_graph_remove_node(GpudlGraph *graph, GpudlNode *node);

/** Removes nodes whose outputs nobody reads, until none is left; returns how many went. */
guint gpudl_graph_remove_dead(GpudlGraph *graph);

/** Constants that no node reads and that are no output let their values go: they are no constants any more. */
void gpudl_graph_drop_unread(GpudlGraph *graph);

/** Orders nodes so that producers come first, else as they were. GPUDL_ERROR_FORMAT naming a node if there is a cycle.
 */
gboolean gpudl_graph_sort(GpudlGraph *graph, GError **error);

/**
 * Computes dtype and shape of every tensor for this batch (dimension 0 of every input of rank >= 1 is set to it; batch
 * 0 leaves the inputs as they are). Checks arity, attribute ranges, dtypes, and limits. Needs sorted nodes. Error:
 * GPUDL_ERROR_FORMAT, _UNSUPPORTED or _LIMIT, naming the node, with found and expected.
 */
gboolean gpudl_graph_infer(GpudlGraph *graph, gint64 batch, GError **error);

/** Multiply-accumulates of one inference at the batch last inferred (CONV, GEMM, MATMUL), and elements of all
 * constants. */
guint64 gpudl_node_macs(const GpudlNode *node); /* of one node; 0 for other operators */
guint64 gpudl_graph_macs(const GpudlGraph *graph);
guint64 gpudl_graph_parameters(const GpudlGraph *graph);

/** TRUE if the tensor is a constant. */
static inline gboolean gpudl_tensor_is_constant(const GpudlTensor *tensor)
{
    return tensor != NULL && tensor->data != NULL;
}

/** "1x3x224x224"; for a scalar "scalar". Caller frees. */
gchar *gpudl_shape_to_string(const GpudlShape *shape);

G_END_DECLS
#endif

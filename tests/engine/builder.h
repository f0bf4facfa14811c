/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Little graphs with random constants for the tests of passes. Everything is float32; tensors belong to the graph.
 */
#ifndef GPUDL_TESTS_BUILDER_H
#define GPUDL_TESTS_BUILDER_H

#include "engine/graph/graph.h"

G_BEGIN_DECLS

typedef struct {
    GpudlGraph *graph;
    GRand *rand;
} Builder;

/** An empty graph. */
Builder builder_new(void);
void builder_clear(Builder *b);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Builder, builder_clear)

/** Graph input of this shape, given as "1x3x8x8". */
GpudlTensor *builder_input(Builder *b, const gchar *shape);

/** Constant with random values from low to high. */
GpudlTensor *builder_random(Builder *b, const gchar *shape, double low, double high);

/** One-element constant of rank 0. */
GpudlTensor *builder_scalar(Builder *b, double value);

/** Any node with one output; trailing inputs may be NULL. Returns the output; its producer is the node. */
GpudlTensor *builder_node(Builder *b, GpudlOp op, GpudlTensor *x, GpudlTensor *y);

/** 2-D convolution to k channels with a square kernel, same padding, random weights and a bias unless told. channels
 * are the input's (shapes are not inferred yet). */
GpudlTensor *builder_conv(Builder *b, GpudlTensor *x, gint64 channels, gint64 k, gint kernel, gboolean bias);

/** Batch norm with random parameters over so many channels. */
GpudlTensor *builder_batch_norm(Builder *b, GpudlTensor *x, gint64 channels);

GpudlTensor *builder_act(Builder *b, GpudlTensor *x, GpudlActKind kind, float alpha, float beta);

/** dims: "0x-1". */
GpudlTensor *builder_reshape(Builder *b, GpudlTensor *x, const gchar *dims);

/** perm: "0x2x1". */
GpudlTensor *builder_transpose(Builder *b, GpudlTensor *x, const gchar *perm);

/** Constant padding of all axes; begin and end as "0x0x1x1". */
GpudlTensor *builder_pad(Builder *b, GpudlTensor *x, const gchar *begin, const gchar *end, double value);

/** 2-D pool with a square window. */
GpudlTensor *builder_pool(Builder *b, GpudlOp op, GpudlTensor *x, gint kernel, gint stride, gint pad);

/** x op value; op is ADD, SUB, MUL, DIV, MIN, MAX, PRELU. */
GpudlTensor *builder_scalar_op(Builder *b, GpudlOp op, GpudlTensor *x, double value);

/** clip(x + 3, 0, 6): what hard sigmoid and hard swish are made of. */
GpudlTensor *builder_clip6(Builder *b, GpudlTensor *x);

/** Marks an output. */
void builder_output(Builder *b, GpudlTensor *x);

/** "Conv:2 Add:1" in the order of the operators; caller frees. */
gchar *graph_histogram(const GpudlGraph *graph);

/** Nodes of an operator, and the first of them or NULL. */
guint graph_count(const GpudlGraph *graph, GpudlOp op);
GpudlNode *graph_first(const GpudlGraph *graph, GpudlOp op);

/** Runs both on the same random input at the batch they are inferred at; largest difference by range of the first's. */
double graph_difference(const GpudlGraph *a, const GpudlGraph *b, guint32 seed);

/**
 * Runs one pass by name (or, with NULL, all) on the builder's graph at batch 1. Asserts that the nodes are then as
 * expected (graph_histogram()), outputs keep names and shapes, results differ by less than 1e-5 of the range, and that
 * the pass finds nothing more to do.
 */
void builder_check(Builder *b, const gchar *pass, const gchar *expected);

G_END_DECLS
#endif

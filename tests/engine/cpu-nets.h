/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Nets for tests of the CPU module, made node by node with random constants, and held against the reference. Everything
 * is float32 but where said; tensors belong to the graph.
 */
#ifndef GPUDL_TESTS_CPU_NETS_H
#define GPUDL_TESTS_CPU_NETS_H

#include "engine/graph/graph.h"

G_BEGIN_DECLS

typedef struct {
    GpudlGraph *graph; /* net_check() frees it */
    GRand *rand;       /* not owned */
} Net;

static const GpudlAct net_no_act = {GPUDL_ACT_NONE, 0, 0};

/** A net of the one input 1 x c x h x w. */
Net net_new(GRand *rand, gint64 c, gint64 h, gint64 w);
GpudlTensor *net_input(const Net *net);

/**
 * Values in -1..1. For bfloat16 weights are as large as trained ones, so that sums of products are of the size of the
 * products' inputs: its errors are as large as the sums, however small an activation makes those.
 */
GpudlTensor *net_constant(const Net *net, int rank, const gint64 *dims);
/** n values in low..high: variances, slopes. */
GpudlTensor *net_constant_between(const Net *net, gint64 n, double low, double high);

/**
 * Appends a node and infers, so that the next one can look at its shape. attrs may be NULL; outputs (may be NULL) gets
 * its n_outputs. Returns the first output.
 */
GpudlTensor *net_apply_n(const Net *net, GpudlOp op, const GpudlAttrs *attrs, guint n_inputs,
                         GpudlTensor *const *inputs, guint n_outputs, GpudlTensor **outputs);

/** The same of a node of one output, whose inputs are the arguments after attrs. */
#define net_apply(net, op, attrs, ...)                                                                                 \
    net_apply_n(net, op, attrs, sizeof((GpudlTensor *[]){__VA_ARGS__}) / sizeof(GpudlTensor *),                        \
                (GpudlTensor *[]){__VA_ARGS__}, 1, NULL)

/** Of n spatial dimensions, the same in each. */
GpudlAttrs net_window(int n, int kernel, int stride, int pad, int dilation);

/** Dense convolution that keeps height and width; into the blocked layout for what follows. residual may be NULL. */
GpudlTensor *net_conv(const Net *net, GpudlTensor *x, gint64 k, int kernel, GpudlTensor *residual, GpudlAct act);

/** Any activation from least on; 0: may be none. */
GpudlAct net_act_from(GRand *rand, int least);
GpudlAct net_random_act(GRand *rand);
/** One of n values. */
int net_pick(GRand *rand, int n, const int *values);

/** n, or under valgrind, which takes fifty times as long, as many as that; every other run has them all. */
int net_as_many_as(int n, int under_valgrind);

/**
 * Runs the net on the CPU module (cpu-host.h) and on the reference and compares every output, at batch 1 and if
 * most_batch lets it at 2, twice each; a difference fails the test and is told. Frees the net's graph.
 */
gboolean net_check(Net *net, gint64 most_batch);

/** Nets of many nodes that read any earlier values that fit: finds what is overwritten too early. */
void test_random_nets(void);

G_END_DECLS
#endif

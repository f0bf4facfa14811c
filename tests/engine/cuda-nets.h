/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Networks of all kinds, grown at random, for checks of whole backends. */
#ifndef GPUDL_TESTS_CUDA_NETS_H
#define GPUDL_TESTS_CUDA_NETS_H

#include "builder.h"
#include "engine/model.h"

G_BEGIN_DECLS

typedef enum {
    NETS_RANDOM = 0, /* any operator */
    NETS_RESIDUAL,   /* convolutions, batch norm, residuals, pools: a small ResNet */
    NETS_INVERTED,   /* expand, depthwise, project, with gates: a small MobileNet */
    NETS_BRANCHES,   /* concatenations, splits and shuffled channels */
    NETS_KINDS
} NetsKind;

/** A model of that kind, its graph proven for any batch and rewritten as loading does it. *text (caller frees) says its
 * operators. */
GpudlModel *nets_grow(NetsKind kind, guint32 seed, gchar **text);

/** The i-th of the networks of single operators, likewise; NULL, as *name, behind the last. */
GpudlModel *nets_operator(guint i, const gchar **name, gchar **text);

/** Of these, those that bring the channels of x, 16 of 8 x 8, into another order, or gather them; flat. */
GpudlTensor *nets_shuffled(Builder *b, GpudlTensor *x);
GpudlTensor *nets_shuffled_often(Builder *b, GpudlTensor *x);
GpudlTensor *nets_shuffled_twice(Builder *b, GpudlTensor *x);
GpudlTensor *nets_one_channel(Builder *b, GpudlTensor *x);
GpudlTensor *nets_dense(Builder *b, GpudlTensor *x);
/** Of these, those of products that do more than multiply; x likewise, flat. */
GpudlTensor *nets_activations(Builder *b, GpudlTensor *x);
GpudlTensor *nets_gates(Builder *b, GpudlTensor *x);
GpudlTensor *nets_blocks(Builder *b, GpudlTensor *x);
GpudlTensor *nets_means(Builder *b, GpudlTensor *x);
GpudlTensor *nets_fires(Builder *b, GpudlTensor *x);
GpudlTensor *nets_cropped_blocks(Builder *b, GpudlTensor *x);
GpudlTensor *nets_turned(Builder *b, GpudlTensor *x);
GpudlTensor *nets_depthwise_of_half(Builder *b, GpudlTensor *x);

/**
 * The model with its input, its weights (not biases, which have rank 1) and what each node gives rounded to dtype
 * (float16, bfloat16), all else in float32: what that precision costs where nothing else is done. For the reference
 * backend. The caller owns the result.
 */
GpudlModel *nets_rounded(const GpudlModel *model, GpudlDType dtype);

G_END_DECLS
#endif

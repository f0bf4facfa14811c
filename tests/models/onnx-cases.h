/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Tables of models as texts: what the importer makes of them, and with which words it refuses them.
 */
#ifndef GPUDL_TESTS_ONNX_CASES_H
#define GPUDL_TESTS_ONNX_CASES_H

#include "engine/gpudl.h"
#include "engine/graph/graph.h"
#include "tests/models/onnx-writer.h"

G_BEGIN_DECLS

/** A model with one input, of which the elements are 0, 1, 2, ...; a zero called z is there for "Mul x z". */
typedef struct {
    const gchar *name;
    OnnxText text;
    const gchar *shape;  /* of output 0 */
    const gchar *values; /* of output 0, as float; NULL: not looked at */
} OnnxGood;

typedef struct {
    const gchar *name;
    OnnxText text;
    GpudlError code;
    const gchar *says; /* part of the message */
} OnnxBad;

/** A test PREFIX/good/NAME and PREFIX/bad/NAME for each row; the rows have to stay. */
void onnx_cases_add(const gchar *prefix, const OnnxGood *good, guint n_good, const OnnxBad *bad, guint n_bad);

/** Fails unless the model is taken, and output 0 has this shape and, unless NULL, these values. */
void onnx_case_check(GBytes *file, const gchar *shape, const gchar *values);

/** 0, 1, 2, ... in the input's type and shape. */
GBytes *onnx_counting(const GpudlTensor *input);

G_END_DECLS
#endif

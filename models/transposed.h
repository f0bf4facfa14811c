/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Transposed convolutions as convolutions, for importers: zeros between the elements where the stride is above 1, then
 * the mirrored kernel with its channels exchanged, which are constants. What the padding cuts off is left out before.
 */
#ifndef GPUDL_MODELS_TRANSPOSED_H
#define GPUDL_MODELS_TRANSPOSED_H

#include "engine/graph/graph.h"

G_BEGIN_DECLS

/** Adds a node with one output, as an importer does it; NULL with error. */
typedef GpudlTensor *(*GpudlEmitFunc)(gpointer importer, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *input,
                                      GError **error);

/**
 * One spatial dimension: of the output's stride (in - 1) + dilation (kernel - 1) + 1 elements, `begin` are cut off in
 * front and `end` behind; below 0, as many zeros are added. All 1 to 32767 but begin and end.
 */
typedef struct {
    gint64 kernel, stride, dilation, begin, end;
} GpudlTransposedSide;

/**
 * Emits what comes before the convolution: *x becomes its input, *weights its weights and *window its attributes, the
 * activation excepted. *x: N, channels, 1 to 3 spatial dimensions, last fastest, as many as sides. *weights: channels,
 * output channels / groups, the kernel's dimensions. The caller has checked that channels are a multiple of groups, and
 * that the kernel is what the sides say.
 */
gboolean gpudl_transposed_lower(GpudlEmitFunc emit, gpointer importer, GpudlTensor **x, GpudlTensor **weights,
                                const GpudlTransposedSide *sides, gint64 groups, GpudlWindowAttrs *window,
                                GError **error);

G_END_DECLS
#endif

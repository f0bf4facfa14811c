/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * From the input that a file has to the one that sessions feed: float32 N x 1 or 3 x height x width.
 */
#ifndef GPUDL_MODELS_INPUT_H
#define GPUDL_MODELS_INPUT_H

#include "engine/graph/graph.h"

G_BEGIN_DECLS

/**
 * Gives the graph such an input, with nodes behind it that make the file's of it: channels last by a Transpose; no
 * channels (N x height x width) by a Reshape; four channels by a plane of what is opaque; uint8 by rounding. Whatever
 * else the input is stays as it is. *pixel_scale: 1 if the graph wants pixels of 0..255, 255 if it normalises values of
 * 0..1, 0 if that does not show. The graph is sorted and inferred.
 */
gboolean gpudl_input_adapt(GpudlGraph *graph, gint *pixel_scale, GError **error);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Between quantised tensors and float ones (onnx-map-quant.c). Not installed. Whatever returns a tensor or gboolean has
 * set an error where that is NULL or FALSE.
 */
#ifndef GPUDL_MODELS_ONNX_QUANT_H
#define GPUDL_MODELS_ONNX_QUANT_H

#include "onnx-internal.h"

G_BEGIN_DECLS

/** A quantised operand: tensor (NULL: it is yet to be made), scale, zero point or NULL. */
typedef struct {
    GpudlTensor *q, *scale, *zero;
} OnnxQuantized;

/** The operand of inputs i, i + 1, i + 2, the last of which may be absent. */
OnnxQuantized onnx_quant_operand(const OnnxNode *node, guint i);

/** The result with the scale of input i and the zero point of i + 1, which may be absent. */
OnnxQuantized onnx_quant_result(const OnnxNode *node, guint i);

/** FALSE unless the scale, input i, is present and of a float type. */
gboolean onnx_quant_check_scale(const OnnxNode *node, const GpudlTensor *scale, guint i, GError **error);

/** (q - zero) scale; scale and zero point are one number, or one a place along axis, or a block of it (block 0: none).
 */
GpudlTensor *onnx_quant_dequantize(OnnxNode *node, const OnnxQuantized *in, gint64 axis, gint64 block, GError **error);

/** Output 0 of the node: a float value, quantised. x NULL: FALSE, the error is set. */
gboolean onnx_quant_finish(OnnxNode *node, GpudlTensor *x, const OnnxQuantized *out, GError **error);

/** A mapping of a float operator with other inputs than the node's own; the result has no name. */
GpudlTensor *onnx_quant_map_float(OnnxNode *node, OnnxMapFunc map, GpudlTensor **inputs, guint n_inputs, GpudlOp op,
                                  GError **error);

/** A bias in steps of the product of both scales, as float. */
GpudlTensor *onnx_quant_scale_bias(OnnxNode *node, GpudlTensor *bias, GpudlTensor *x_scale, GpudlTensor *w_scale,
                                   GError **error);

G_END_DECLS
#endif

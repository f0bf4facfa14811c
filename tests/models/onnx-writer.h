/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Writes protobuf messages and whole ONNX models from short texts, for tests: also such that no exporter would write.
 */
#ifndef GPUDL_TESTS_ONNX_WRITER_H
#define GPUDL_TESTS_ONNX_WRITER_H

#include <glib.h>

G_BEGIN_DECLS

/* ---- fields; each appends to the message ------------------------------------------------------------------------- */

void pb_varint(GByteArray *message, guint64 value);
void pb_tag(GByteArray *message, guint field, guint wire_type);
void pb_int(GByteArray *message, guint field, gint64 value);
void pb_float(GByteArray *message, guint field, float value);
void pb_data(GByteArray *message, guint field, gconstpointer data, gsize size);
void pb_string(GByteArray *message, guint field, const gchar *text);
/** Takes sub. */
void pb_message(GByteArray *message, guint field, GByteArray *sub);

/* ---- ONNX -------------------------------------------------------------------------------------------------------- */

/** A model as texts; NULL: none.
 * inputs: "x:f32:1x3x8x8 y:i64:4"; a dimension "?" is free, a word is a name (free, too), no dimensions: a scalar.
 * constants: "shape:i64:2=1,-1 w:f32:2x2=0.5" (one value fills the tensor; stored as raw data).
 * nodes: "Op in in -> out out {axis=1 pads=0,0,1,1 alpha=0.5 mode=reflect}; Op.domain ..."; "-" is an absent name; an
 *   attribute with a comma is a list of integers ("axes=1,"), with a point a float, a word is a string.
 * outputs: names. */
typedef struct {
    gint64 opset;
    const gchar *inputs, *constants, *nodes, *outputs;
} OnnxText;

/** The model's bytes. Also written into the folder that GPUDL_KEEP_MODELS in the environment names, if it does. */
GByteArray *onnx_write(const OnnxText *text);
GBytes *onnx_write_bytes(const OnnxText *text);

/** Pieces, for models that the texts cannot say: messages NodeProto, TensorProto (with an element type's number),
 * ValueInfoProto. */
GByteArray *onnx_write_node(const gchar *text);
GByteArray *onnx_write_constant(const gchar *text);
GByteArray *onnx_write_value_info(const gchar *text);
/** ModelProto round a GraphProto; takes graph. */
GByteArray *onnx_write_model(gint64 opset, GByteArray *graph);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Inside of the ONNX importer: what the table's mapping functions work with.
 *
 * One row of the table (onnx-ops.c) is one operator in one range of opsets. A mapping reads the node's attributes and
 * inputs, adds graph nodes with onnx_emit*() and says which tensors are the ONNX node's outputs. Every node added is
 * inferred at once, so a mapping sees the shape and type of all its inputs.
 */
#ifndef GPUDL_MODELS_ONNX_INTERNAL_H
#define GPUDL_MODELS_ONNX_INTERNAL_H

#include "engine/gpudl.h"
#include "engine/graph/graph.h"
#include "engine/modelfile/sum.h"
#include "models/onnx/onnx.h"
#include "models/onnx/onnx.pb-c.h"

G_BEGIN_DECLS

/** Opsets of the default domain that are taken. */
#define ONNX_OPSET_OLDEST 7
#define ONNX_OPSET_NEWEST 28

/** Of a message: names of 4096 bytes are taken, and may stand in it twice. */
#define ONNX_MESSAGE_BYTES 10000

typedef struct _OnnxNode OnnxNode;
typedef gboolean (*OnnxMapFunc)(OnnxNode *node, GError **error);

/** One row: an operator from opset `since` to `until` (0: the newest). */
typedef struct {
    const gchar *name;
    gint since, until;
    guint min_inputs, max_inputs; /* max G_MAXUINT: any number */
    guint max_outputs;
    /** Names and types of the attributes, "axis:i perm:I": i int, f float, s string, t tensor, g graph, I ints, F
     * floats; others are refused. */
    const gchar *attributes;
    OnnxMapFunc map;
    GpudlOp op; /* for mappings that serve several operators */
} OnnxOp;

/** The table, ordered by name, then by opset; *n rows. */
const OnnxOp *onnx_ops(guint *n);

/** The row for an operator in an opset, or NULL; *known (may be NULL) tells whether other opsets have one. */
const OnnxOp *onnx_op_find(const gchar *name, gint64 opset, gboolean *known);

/** One import under way. */
typedef struct {
    GpudlGraph *graph; /* owned until it is handed out */
    const GpudlSourceOptions *options;
    const Onnx__GraphProto *proto;
    gint64 opset;
    GHashTable *values;     /* gchar* (owned) -> GpudlTensor*: all names defined so far */
    GHashTable *used_names; /* set of gchar*, not owned: names that some node or the graph's outputs read */
    GHashTable *computable; /* set of GpudlTensor*: node outputs that depend on constants alone */
    GHashTable *folded;     /* GpudlTensor* -> GBytes*: values computed so far */
    gboolean size_chosen;   /* a free height or width came from the options */
    gint defaults[2];       /* height and width where the options give none and the graph leaves them free; 0: none */
    gboolean own_size;      /* the file's metadata says so */
    GHashTable *metadata;   /* metadata_props: gchar* -> gchar*, owned */
    GHashTable *sequences;  /* GpudlTensor* that stands for a sequence -> GPtrArray* (owned) of GpudlTensor* */
    const Onnx__ModelProto *model;
    guint depth;         /* of graphs within graphs */
    GHashTable *shadows; /* of quantised tensors, see onnx-map-quant.c: GpudlTensor* -> owned */
    guint64 folded_bytes;
    guint64 external_bytes;
    GArray *files, *reads;  /* GpudlSourceFile, GpudlSourceRead */
    GHashTable *file_index; /* path of a file -> index + 1 */
    GpudlSum *external;     /* of all external data read */
    GPtrArray *heads;       /* names of the outputs that count, not owned; empty: all, as they are */
    GHashTable *live;       /* set of Onnx__NodeProto*: those that make the heads; NULL: all */
    gchar **labels;         /* of the classes, by a node that is cut off; or NULL */
    GPtrArray *notes;       /* gchar*, owned: what is left out, for people */
} OnnxImport;

/** One ONNX node being mapped. */
struct _OnnxNode {
    OnnxImport *import;
    const Onnx__NodeProto *proto;
    const OnnxOp *row;
    gchar *name; /* the file's or made */
    guint n_inputs, n_outputs;
    GpudlTensor **inputs;  /* NULL where absent; n_inputs counts up to the last one present */
    GpudlTensor **outputs; /* filled by the mapping; NULL for those nobody reads */
    guint n_made;          /* inner tensors named so far */
};

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/** Sets "node 'name' (Op, opset N): ..." and returns FALSE. */
gboolean onnx_fail(const OnnxNode *node, GpudlError code, GError **error, const gchar *format, ...) G_GNUC_PRINTF(4, 5);

/** The same without a node; always FALSE. The message is valid UTF-8 whatever its arguments are, and bounded. */
gboolean onnx_file_fail(GpudlError code, GError **error, const gchar *format, ...) G_GNUC_PRINTF(3, 4);

/** TRUE with CANCELLED if the import is to end. */
gboolean onnx_stopped(const OnnxImport *import, GError **error);

/* ---- names and values (onnx.c) ----------------------------------------------------------------------------------- */

/** FALSE with an error unless the name is there, not too long and UTF-8; what: for the message, "an input". */
gboolean onnx_check_name(const gchar *what, const gchar *name, GError **error);

/** Gives a tensor its name; each name once. */
gboolean onnx_define(OnnxImport *import, const gchar *name, GpudlTensor *tensor, GError **error);

/** The initializers of a graph become constants. */
gboolean onnx_import_initializers(OnnxImport *import, const Onnx__GraphProto *graph, GError **error);

/* ---- nodes (onnx-graph.c) ---------------------------------------------------------------------------------------- */

/** Whether a name is a sequence's. */
gboolean onnx_is_sequence(const OnnxImport *import, const gchar *name);

/** Maps a graph's node and defines what it makes. */
gboolean onnx_import_node(OnnxImport *import, const Onnx__GraphProto *graph, gsize index, GError **error);

/* ---- attributes: types and names have been checked against the row ------------------------------------------------
 */

const Onnx__AttributeProto *onnx_attr(const OnnxNode *node, const gchar *name);
gint64 onnx_attr_int(const OnnxNode *node, const gchar *name, gint64 fallback);
float onnx_attr_float(const OnnxNode *node, const gchar *name, float fallback);
/** NULL if absent. Caller frees; not UTF-8 becomes valid UTF-8. */
gchar *onnx_attr_string(const OnnxNode *node, const gchar *name);
/** NULL if absent (*n 0); owned by the file's message. */
const gint64 *onnx_attr_ints(const OnnxNode *node, const gchar *name, gsize *n);

/* ---- inputs ------------------------------------------------------------------------------------------------------ */

/** Input i, or NULL if absent. */
static inline GpudlTensor *onnx_input(const OnnxNode *node, guint i)
{
    return i < node->n_inputs ? node->inputs[i] : NULL;
}

/** TRUE if output i has a name that somebody reads. */
gboolean onnx_output_used(const OnnxNode *node, guint i);

/** Axis -rank..rank-1 to 0..rank-1; UNSUPPORTED or FORMAT otherwise. */
gboolean onnx_axis(const OnnxNode *node, gint64 value, gint rank, gint32 *axis, GError **error);

/** Integers of input i (int32 or int64, scalar or vector), which must be computable from constants. Caller frees
 * *values. */
gboolean onnx_input_ints(OnnxNode *node, guint i, gint64 **values, gsize *n, GError **error);

/** Integers from attribute `name` or, where it is absent, from input i if present: old and new form of many operators.
 * *values NULL if neither is there; an empty list is *n 0 and *values not NULL. Caller frees. */
gboolean onnx_ints(OnnxNode *node, const gchar *name, guint i, gint64 **values, gsize *n, GError **error);

/** The one element of tensor as double if it depends on constants alone (*known), any number type. FALSE with error if
 * it has not exactly one element. */
gboolean onnx_scalar(OnnxNode *node, GpudlTensor *tensor, gboolean *known, double *value, GError **error);

/* ---- output ------------------------------------------------------------------------------------------------------ */

/** Adds a node with one output and infers it. attrs NULL: the operator's defaults. output: the tensor's name, NULL for
 * an inner one. NULL with error if the graph does not take it. */
GpudlTensor *onnx_emit(OnnxNode *node, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *const *inputs, guint n_inputs,
                       const gchar *output, GError **error);

/** Name of ONNX output i, NULL if there is none: what onnx_emit() takes as output. */
const gchar *onnx_output_name(const OnnxNode *node, guint i);

/** onnx_emit() for ONNX output 0. */
gboolean onnx_emit_output(OnnxNode *node, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *const *inputs,
                          guint n_inputs, GError **error);

/** One and two inputs, no attributes; output as in onnx_emit(). */
GpudlTensor *onnx_unary(OnnxNode *node, GpudlOp op, GpudlTensor *x, const gchar *output, GError **error);
GpudlTensor *onnx_binary(OnnxNode *node, GpudlOp op, GpudlTensor *a, GpudlTensor *b, const gchar *output,
                         GError **error);
GpudlTensor *onnx_activation(OnnxNode *node, GpudlActKind kind, float alpha, float beta, GpudlTensor *x,
                             const gchar *output, GError **error);

/** Infers a node just added; on failure says so in the ONNX node's name. Also tells whether its outputs are computable.
 */
gboolean onnx_infer(OnnxNode *node, GpudlNode *added, GError **error);

/** Adds a constant of the graph; takes the data. name NULL: an inner one. */
GpudlTensor *onnx_constant(OnnxNode *node, const gchar *name, GpudlDType dtype, const GpudlShape *shape, GBytes *data,
                           GError **error);
/** A vector (or, with scalar, a single value) of int64. */
GpudlTensor *onnx_constant_ints(OnnxNode *node, const gchar *name, const gint64 *values, gsize n, gboolean scalar,
                                GError **error);
/** A scalar of the given number type, rounded to it. */
GpudlTensor *onnx_constant_scalar(OnnxNode *node, GpudlDType dtype, double value, GError **error);

/** RESHAPE to dims as attrs.shape means them. */
GpudlTensor *onnx_reshape(OnnxNode *node, GpudlTensor *x, const gint64 *dims, gint rank, const gchar *output,
                          GError **error);

/* ---- values (onnx-fold.c) ---------------------------------------------------------------------------------------- */

/** TRUE if the tensor depends on constants alone. */
gboolean onnx_is_computable(const OnnxImport *import, const GpudlTensor *tensor);

/** The tensor's value, computed if need be; NULL without error if it depends on the network's inputs. Borrowed. Errors:
 * what the reference says; LIMIT if it is no shape arithmetic but large. */
GBytes *onnx_fold(OnnxImport *import, GpudlTensor *tensor, GError **error);

/** Counts memory for values made at load time that are not in the file. FALSE with LIMIT: it is too much. */
gboolean onnx_spend(const OnnxNode *node, guint64 bytes, GError **error);

/** One number of dense data as double; 64-bit integers are rounded. */
double onnx_number(GpudlDType dtype, gconstpointer data, gsize index);
/** Writes one number, rounded and, for integers, saturated. */
void onnx_store_number(GpudlDType dtype, gpointer data, gsize index, double value);

/** Appends the names of the tensors that a node reads, those that the graphs in it read or answer among them; the
 * nesting of these is bounded since the file was unpacked. The names are the node's (onnx-heads.c). */
void onnx_add_read_names(GPtrArray *names, const Onnx__NodeProto *node);

/** Chooses the outputs that are scores: heads, live, labels and notes (onnx-heads.c). */
void onnx_choose_heads(OnnxImport *import, const Onnx__GraphProto *graph);

/** Leaves out the heads that need a node which is not taken, with a note that says why. FALSE, and nothing is changed,
 * if no other head is left (onnx-heads.c). */
gboolean onnx_leave_out_heads(OnnxImport *import, const Onnx__GraphProto *graph, const Onnx__NodeProto *node,
                              const gchar *why);

/** Sets what is free in a picture's shape but follows from the file: the number of channels, by the first convolution,
 * else three (onnx-picture.c). */
void onnx_complete_picture(const OnnxImport *import, const gchar *name, GpudlShape *shape);

/** FALSE unless the graph reads one input without a value, of 3 or 4 dimensions; after its initializers. */
gboolean onnx_check_picture(const OnnxImport *import, const Onnx__GraphProto *graph, GError **error);

/** ScatterND without a reduction: where it writes a box of its input (*is_box), as slices and concatenations. FALSE if
 * it does not, without an error and nothing done, or with one (onnx-map-box.c). */
gboolean onnx_write_box(OnnxNode *node, gboolean *is_box, GError **error);

/** Lets the float value of a quantised tensor follow a node just mapped that only moves it (onnx-map-quant.c). */
void onnx_quant_follow(OnnxNode *node);

/* ---- tensors (onnx-tensor.c) ------------------------------------------------------------------------------------- */

/** Element type of the file to ours, NONE if there is none; the name of any of the file's types, static. */
GpudlDType onnx_dtype(gint32 data_type);
const gchar *onnx_dtype_name(gint32 data_type);

/** Content of a TensorProto; raw data is taken out of the message where that saves a copy, unless apart (may be NULL)
 * is it. what: for messages, "initializer 'w'". */
gboolean onnx_tensor_read(OnnxImport *import, Onnx__TensorProto *proto, GBytes *apart, const gchar *what,
                          GpudlDType *dtype, GpudlShape *shape, GBytes **data, GError **error);

/** Before the initializers: room for those that lie in other files, where the caller wants some and has none. */
void onnx_make_room(OnnxImport *import, const Onnx__GraphProto *graph);

/* ---- mappings ---------------------------------------------------------------------------------------------------- */

#define ONNX_MAP(name) gboolean onnx_map_##name(OnnxNode *node, GError **error)
/* onnx-map-window.c: sums of products, windows, normalisation of channels */
ONNX_MAP(conv);
ONNX_MAP(gemm);
ONNX_MAP(pool);
ONNX_MAP(lrn);
ONNX_MAP(batch_norm);
ONNX_MAP(group_norm);
ONNX_MAP(instance_norm);
ONNX_MAP(layer_norm);
/* onnx-map-math.c: element by element, along axes */
ONNX_MAP(direct);
ONNX_MAP(activation);
ONNX_MAP(elu);
ONNX_MAP(selu);
ONNX_MAP(celu);
ONNX_MAP(clip);
ONNX_MAP(softplus);
ONNX_MAP(softsign);
ONNX_MAP(gelu);
ONNX_MAP(swish);
ONNX_MAP(thresholded_relu);
ONNX_MAP(cast);
ONNX_MAP(cast_like);
ONNX_MAP(pow);
ONNX_MAP(mod);
ONNX_MAP(variadic);
ONNX_MAP(mean);
ONNX_MAP(softmax);
ONNX_MAP(softmax_flat);
ONNX_MAP(reduce);
ONNX_MAP(reduce_l1);
ONNX_MAP(reduce_l2);
ONNX_MAP(reduce_sum_square);
ONNX_MAP(reduce_log_sum);
ONNX_MAP(reduce_log_sum_exp);
/* onnx-map-constant.c: constants and shape arithmetic */
ONNX_MAP(identity);
ONNX_MAP(dropout);
ONNX_MAP(constant);
ONNX_MAP(constant_of_shape);
ONNX_MAP(shape);
ONNX_MAP(size);
ONNX_MAP(range);
/* onnx-map-shape.c: data movement */
ONNX_MAP(reshape);
ONNX_MAP(flatten);
ONNX_MAP(squeeze);
ONNX_MAP(unsqueeze);
ONNX_MAP(transpose);
ONNX_MAP(concat);
ONNX_MAP(split);
ONNX_MAP(slice);
ONNX_MAP(pad);
ONNX_MAP(expand);
ONNX_MAP(gather);
ONNX_MAP(tile);
ONNX_MAP(depth_to_space);
ONNX_MAP(space_to_depth);
/* onnx-map-nd.c: by tuples of indices */
ONNX_MAP(gather_nd);
ONNX_MAP(scatter_nd);
/* onnx-map-einsum.c, onnx-map-transposed.c */
ONNX_MAP(einsum);
ONNX_MAP(conv_transpose);
ONNX_MAP(col2im);
/* onnx-map-known.c: on constants, and sequences */
ONNX_MAP(trigonometric);
ONNX_MAP(cum_sum);
ONNX_MAP(eye_like);
ONNX_MAP(trilu);
ONNX_MAP(split_to_sequence);
ONNX_MAP(sequence_at);
/* onnx-graph.c: a part of the file's graph */
ONNX_MAP(if);
/* onnx-map-quant.c: quantised operators */
ONNX_MAP(quantize_linear);
ONNX_MAP(dequantize_linear);
ONNX_MAP(qlinear_conv);
ONNX_MAP(qlinear_matmul);
ONNX_MAP(conv_integer);
ONNX_MAP(matmul_integer);
ONNX_MAP(dynamic_quantize);
/* onnx-map-runtime.c: ONNX Runtime's own */
ONNX_MAP(qlinear_binary);
ONNX_MAP(qlinear_pool);
ONNX_MAP(qlinear_direct);
ONNX_MAP(qlinear_leaky);
ONNX_MAP(qlinear_sigmoid);
ONNX_MAP(qlinear_softmax);
ONNX_MAP(qlinear_concat);
ONNX_MAP(qgemm);
ONNX_MAP(fused_conv);
/* onnx-map-resize.c */
ONNX_MAP(resize);
#undef ONNX_MAP

G_END_DECLS
#endif

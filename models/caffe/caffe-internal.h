/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Inside of the Caffe importer: one row of the table (caffe-types.c) is one type of layer. A mapping reads the layer's
 * parameters, inputs and values, adds graph nodes with caffe_emit*() and says which tensors are the layer's tops. Every
 * node added is inferred at once, so a mapping sees the shapes of its inputs.
 */
#ifndef GPUDL_MODELS_CAFFE_INTERNAL_H
#define GPUDL_MODELS_CAFFE_INTERNAL_H

#include "models/caffe/caffe.h"
#include "models/caffe/caffe.pb-c.h"

G_BEGIN_DECLS

typedef struct _CaffeLayer CaffeLayer;
typedef gboolean (*CaffeMapFunc)(CaffeLayer *layer, GError **error);

/** What becomes of a layer. */
typedef enum {
    CAFFE_MAPPED,
    CAFFE_INPUT, /* says the input's shape */
    CAFFE_DATA,  /* reads pictures for training and tests: the input, of a size that may be known */
    CAFFE_LOSS,  /* left out; what it reads first is an output */
    CAFFE_QUIET  /* left out; what it reads is no output */
} CaffeRole;

/** One row. */
typedef struct {
    const gchar *name, *v1; /* v1: name of the V1LayerParameter.LayerType, or NULL */
    const gchar *param;     /* field of LayerParameter that it reads, or NULL */
    CaffeRole role;
    guint min_bottoms, max_bottoms;
    guint max_blobs;
    CaffeMapFunc map;
    GpudlOp op; /* for mappings that serve several types */
} CaffeType;

const CaffeType *caffe_type_find(const gchar *name);
const CaffeType *caffe_type_find_v1(const gchar *v1);

/** One import under way. */
typedef struct {
    GpudlGraph *graph; /* owned until it is handed out */
    const GpudlCaffeOptions *options;
    GpudlCaffeInfo *info;
    const gchar *text_name; /* of the description, NULL: the values' file */
    gboolean has_values;
    GPtrArray *layers;    /* CaffeLayer*, owned: those of the description that count, in order */
    GPtrArray *left_out;  /* CaffeLayer*, owned: those that another phase has */
    GHashTable *values;   /* name of a layer (borrowed) -> CaffeLayer* of the file with the values */
    GHashTable *tops;     /* name (borrowed) -> GpudlTensor*, as of the layer last mapped */
    GHashTable *consumed; /* set of GpudlTensor* */
    GHashTable *weights;  /* GpudlTensor* -> loss weight, of what loss layers read */
    GPtrArray *made;      /* GpudlTensor*: tops of mapped layers, in order */
    gint64 batch;
} CaffeImport;

struct _CaffeLayer {
    CaffeImport *import;
    Caffe__LayerParameter *proto;
    Caffe__LayerParameter *own; /* proto where it was made of a V1LayerParameter: freed, but not what it points to */
    const CaffeType *type;      /* NULL: not known */
    const gchar *name, *type_name;
    guint index; /* among the description's layers */
    guint n_inputs, n_outputs;
    GpudlTensor **inputs, **outputs; /* outputs filled by the mapping */
    Caffe__BlobProto **blobs;        /* values; borrowed */
    guint n_blobs;
    guint n_made; /* inner tensors named so far */
};

/** Sets "layer 'name' (Type): ..." and returns FALSE. */
gboolean caffe_fail(const CaffeLayer *layer, GpudlError code, GError **error, const gchar *format, ...)
    G_GNUC_PRINTF(4, 5);

/** The same without a layer. */
gboolean caffe_fail_net(GpudlError code, GError **error, const gchar *format, ...) G_GNUC_PRINTF(3, 4);

/* ---- layers (caffe-layers.c) ------------------------------------------------------------------------------------- */

/** Layers of a description or of the values; new and V1 form. NULL with error. */
GPtrArray *caffe_layers_new(const Caffe__NetParameter *net, GError **error);

/** TRUE if the rules of the layer include it when a network is used. */
gboolean caffe_layer_is_included(const CaffeLayer *layer, const Caffe__NetParameter *net);

/* ---- input (caffe-input.c) --------------------------------------------------------------------------------------- */

/** Makes the graph's input of the description's header, Input or data layers, and takes the transformation. */
gboolean caffe_import_input(CaffeImport *import, const Caffe__NetParameter *net, const Caffe__NetParameter *values,
                            GError **error);

/* ---- values (caffe-blob.c) --------------------------------------------------------------------------------------- */

/** Shape of a blob as the file says it: "20x1x5x5". FALSE for negative or too many dimensions. */
gboolean caffe_blob_shape(const Caffe__BlobProto *blob, GpudlShape *shape);

/** Values of blob i as a constant of the expected shape; dimensions of 1 in front do not count. what: "weights". The
 * values are taken out of the message where that saves a copy. */
GpudlTensor *caffe_blob(CaffeLayer *layer, guint i, const gchar *what, const GpudlShape *expected, GError **error);

/** The same as floats; the caller frees. */
float *caffe_blob_floats(CaffeLayer *layer, guint i, const gchar *what, const GpudlShape *expected, GError **error);

/** FALSE with error unless the layer has min to max blobs. */
gboolean caffe_check_blobs(const CaffeLayer *layer, guint min, guint max, GError **error);

/* ---- output (caffe-emit.c) --------------------------------------------------------------------------------------- */

/** Adds a node and infers it. attrs NULL: the operator's defaults. name: the tensor's, NULL for an inner one. */
GpudlTensor *caffe_emit(CaffeLayer *layer, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *const *inputs,
                        guint n_inputs, const gchar *name, GError **error);
/** caffe_emit() with top 0's name, whose tensor it sets. */
gboolean caffe_emit_top(CaffeLayer *layer, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *const *inputs,
                        guint n_inputs, GError **error);
GpudlTensor *caffe_unary(CaffeLayer *layer, GpudlOp op, GpudlTensor *x, GError **error);
GpudlTensor *caffe_binary(CaffeLayer *layer, GpudlOp op, GpudlTensor *a, GpudlTensor *b, GError **error);
GpudlTensor *caffe_activation(CaffeLayer *layer, GpudlActKind kind, float alpha, float beta, GpudlTensor *x,
                              GError **error);
GpudlTensor *caffe_reshape(CaffeLayer *layer, GpudlTensor *x, const gint64 *dims, gint rank, GError **error);
/** A constant that holds one number. */
GpudlTensor *caffe_scalar(CaffeLayer *layer, double value, GError **error);
/** A constant of floats, which are copied. */
GpudlTensor *caffe_floats(CaffeLayer *layer, const float *values, const GpudlShape *shape, GError **error);
/** x * scale + shift, each only where it does something; x itself if neither does. */
GpudlTensor *caffe_affine(CaffeLayer *layer, GpudlTensor *x, double scale, double shift, GError **error);
/** Makes a result the layer's only top: an inner tensor, or what the layer reads. NULL is a failure that is told. */
gboolean caffe_top(CaffeLayer *layer, GpudlTensor *tensor, GError **error);
/** Axis -rank..rank-1 to 0..rank-1. */
gboolean caffe_axis(const CaffeLayer *layer, gint64 value, gint rank, gint32 *axis, GError **error);

/* ---- mappings ---------------------------------------------------------------------------------------------------- */

#define CAFFE_MAP(name) gboolean caffe_map_##name(CaffeLayer *layer, GError **error)
/* caffe-map-window.c */
CAFFE_MAP(convolution);
CAFFE_MAP(depthwise);
CAFFE_MAP(inner_product);
CAFFE_MAP(pooling);
CAFFE_MAP(lrn);
CAFFE_MAP(deconvolution);
/* caffe-map-element.c */
CAFFE_MAP(relu);
CAFFE_MAP(relu6);
CAFFE_MAP(clip);
CAFFE_MAP(prelu);
CAFFE_MAP(elu);
CAFFE_MAP(activation);
CAFFE_MAP(abs);
CAFFE_MAP(power);
CAFFE_MAP(exp);
CAFFE_MAP(log);
CAFFE_MAP(bnll);
CAFFE_MAP(swish);
CAFFE_MAP(eltwise);
CAFFE_MAP(softmax);
/* caffe-map-norm.c */
CAFFE_MAP(batch_norm);
CAFFE_MAP(scale);
CAFFE_MAP(bias);
CAFFE_MAP(axpy);
CAFFE_MAP(normalize);
CAFFE_MAP(mvn);
CAFFE_MAP(reduction);
/* caffe-map-shape.c */
CAFFE_MAP(copy);
CAFFE_MAP(concat);
CAFFE_MAP(slice);
CAFFE_MAP(crop);
CAFFE_MAP(reshape);
CAFFE_MAP(flatten);
CAFFE_MAP(permute);
CAFFE_MAP(shuffle);
#undef CAFFE_MAP

G_END_DECLS
#endif

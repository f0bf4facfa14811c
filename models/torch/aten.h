/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * PyTorch's operators ("ATen") into graph nodes. What reads a file of PyTorch calls them one after the other, with
 * arguments as the file has them; shapes are known, so integers that are computed of them are numbers here.
 */
#ifndef GPUDL_MODELS_TORCH_ATEN_H
#define GPUDL_MODELS_TORCH_ATEN_H

#include "models/tf/tf-build.h"

G_BEGIN_DECLS

typedef enum {
    ATEN_NONE = 0,
    ATEN_TENSOR,
    ATEN_INT,
    ATEN_NUMBER,
    ATEN_FLAG,
    ATEN_TEXT,
    ATEN_DTYPE,   /* integer is a GpudlDType, NONE for types that we don't have */
    ATEN_LIST,    /* or a tuple */
    ATEN_PLACING, /* device, layout, memory format: nothing that changes values */
    ATEN_OBJECT   /* something of the reader's own */
} AtenKind;

/** What a tensor and its views have in common: an operator in place changes all of them. */
typedef struct {
    guint version;       /* how often it was written to */
    const gchar *writer; /* the node that did so last */
} AtenStorage;

typedef struct _AtenValue AtenValue;
struct _AtenValue {
    AtenKind kind;
    GpudlTensor *tensor; /* of the graph */
    AtenStorage *storage;
    guint version; /* of the storage, when the value was made: another one means that it is overwritten */
    gint64 integer;
    double number;
    const gchar *text; /* lives as long as the context */
    AtenValue *items;  /* the context's */
    guint n_items;
    gconstpointer object;
    GpudlTensor *scores; /* of a tensor that is not computed: the scores that it is a choice among, or NULL */
};

/** One import under way. */
typedef struct {
    TfBuild build;
    GPtrArray *owned; /* memory that goes with it */
} AtenContext;

void aten_begin(AtenContext *context, gsize file_bytes);
/** Frees all but the graph. */
void aten_end(AtenContext *context);

/** Zeroed memory that lives as long as the context. */
gpointer aten_alloc(AtenContext *context, gsize n, gsize size);

/** FALSE if the value was overwritten in place through another one that shares its memory. */
gboolean aten_is_current(const AtenValue *value);
/** The tensor of a network's output: the value's, or the scores among which it is the best. NULL with error. what:
 * which output. */
GpudlTensor *aten_output(const AtenValue *value, const gchar *what, GError **error);

AtenValue aten_of_tensor(AtenContext *context, GpudlTensor *tensor);
AtenValue aten_of_int(gint64 value);
AtenValue aten_of_number(double value);
AtenValue aten_of_flag(gboolean value);

/** An argument; name NULL: by its place. */
typedef struct {
    const gchar *name;
    AtenValue *value; /* an operator in place writes the new value to the first */
} AtenArg;

/**
 * Calls an operator: "aten.add.Tensor", "aten.add" where the file does not say which overload, or "_operator.mul".
 * The build says which node it is (tf_build_at()). *result: a list if the operator has several results.
 * UNSUPPORTED, FORMAT or LIMIT with node, operator and what to do.
 */
gboolean aten_call(AtenContext *context, const gchar *op, const AtenArg *args, guint n_args, AtenValue *result,
                   GError **error);

G_END_DECLS
#endif

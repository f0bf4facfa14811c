/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The operator table: one row per operator. Arity, attributes and the shape rule stand here once; validation, net.bin,
 * listings and tests read them from the rows. A new operator is a row, a kernel with its reference, and an importer
 * mapping.
 */
#ifndef GPUDL_ENGINE_OPS_H
#define GPUDL_ENGINE_OPS_H

#include "graph.h"

G_BEGIN_DECLS

typedef enum {
    GPUDL_ATTR_INT,    /* gint32 */
    GPUDL_ATTR_INTS,   /* gint32[count] */
    GPUDL_ATTR_LONGS,  /* gint64[count] */
    GPUDL_ATTR_FLOAT,  /* float */
    GPUDL_ATTR_DOUBLE, /* double */
    GPUDL_ATTR_ACT     /* GpudlAct: kind in min..max, written as int + two floats; of CLIP alpha <= beta */
} GpudlAttrType;

/** One attribute: where it lies in GpudlAttrs and what values it may have. */
typedef struct {
    const gchar *name;
    GpudlAttrType type;
    gsize offset;        /* in GpudlAttrs */
    guint count;         /* array length for INTS and LONGS */
    gssize count_offset; /* of the gint32 that says how many of count are used, or -1: all */
    gint64 min, max;     /* for the integer types, each element */
} GpudlAttrSpec;

typedef gboolean (*GpudlShapeRule)(GpudlNode *node, GError **error);

/** One row. */
typedef struct {
    GpudlOp op;
    const gchar *name;            /* as in net.bin and listings: "Conv" */
    guint min_inputs, max_inputs; /* max G_MAXUINT: any number */
    guint min_outputs, max_outputs;
    const GpudlAttrSpec *attrs; /* ends with name NULL; NULL: none */
    GpudlShapeRule infer;       /* reads inputs' dtype, shape (and constant data), writes the outputs' */
} GpudlOpInfo;

/** Row of an operator; never NULL for a value of the enumeration. */
const GpudlOpInfo *gpudl_op_info(GpudlOp op);

/** Row by name, or NULL. */
const GpudlOpInfo *gpudl_op_find(const gchar *name);

/**
 * Checks what a row says of a node: number of inputs and outputs, which inputs may be absent (those from min_inputs on,
 * unless any number is taken), attribute ranges (elements of an array up to the used ones), floats that are no number.
 * FORMAT naming node, operator and attribute. gpudl_graph_infer() calls it for every node.
 */
gboolean gpudl_op_check(const GpudlNode *node, GError **error);

G_END_DECLS
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GatherND and ScatterND by indices from constants: rows of the tensor whose first dimensions are one, read by Gather;
 * what is written is the same, read from old and new rows one behind the other.
 */
#include <string.h>

#include "onnx-internal.h"

/* Where tuples of indices lead */
typedef struct {
    gint64 *rows;                    /* owned; of a tensor whose n_dims first dimensions are one */
    gsize n;                         /* tuples */
    gint n_dims;                     /* indexed dimensions, batch dimensions among them */
    gint64 n_rows;                   /* of that tensor */
    GpudlShape shape;                /* of the indices without their last dimension */
    gint64 dims[GPUDL_MAX_RANK + 1]; /* n_rows, then what is left of the tensor's */
    gint rank;                       /* of dims */
} Targets;

static gboolean check_indices(const OnnxNode *node, gint batch_dims, gint64 depth, GError **error)
{
    const GpudlShape *x = &node->inputs[0]->shape, *shape = &node->inputs[1]->shape;

    if (shape->rank < 1 || batch_dims < 0 || batch_dims >= shape->rank || depth < 1 || depth > x->rank - batch_dims)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                         "tuples of %" G_GINT64_FORMAT " indices behind %d batch dimensions into a tensor of rank %d",
                         depth, batch_dims, x->rank);
    for (gint i = 0; i < batch_dims; i++)
        if (x->dims[i] != shape->dims[i])
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                             "batch dimension %d is %" G_GINT64_FORMAT " of input 0 and %" G_GINT64_FORMAT
                             " of the indices",
                             i, (gint64)x->dims[i], (gint64)shape->dims[i]);
    if (gpudl_shape_elements(x) == 0 || gpudl_shape_elements(shape) == 0)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "an empty tensor");
    return TRUE;
}

/* Of int32 or int64, to the last bit. */
static gint64 index_at(GpudlDType dtype, const guint8 *data, gsize i)
{
    gint64 wide;
    gint32 narrow;

    if (dtype == GPUDL_DTYPE_I32) {
        memcpy(&narrow, data + i * sizeof narrow, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, data + i * sizeof wide, sizeof wide);
    return wide;
}

/* The row of tuple j: its place among the batch dimensions, then its indices, each counted from the end if negative. */
static gboolean find_row(const OnnxNode *node, gconstpointer data, gint batch_dims, gint64 depth, Targets *to, gsize j,
                         GError **error)
{
    const GpudlTensor *indices = node->inputs[1];
    gint64 row = 0, per_batch = 1;

    for (gint i = batch_dims; i < indices->shape.rank - 1; i++)
        per_batch *= indices->shape.dims[i];
    row = (gint64)j / per_batch;
    for (gint64 i = 0; i < depth; i++) {
        const gint64 extent = node->inputs[0]->shape.dims[batch_dims + i];
        const gint64 value = index_at(indices->dtype, data, j * (gsize)depth + (gsize)i);

        if (value < -extent || value >= extent)
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                             "index %" G_GINT64_FORMAT " of dimension %d, which has %" G_GINT64_FORMAT " elements",
                             value, batch_dims + (gint)i, extent);
        row = row * extent + (value < 0 ? value + extent : value);
    }
    to->rows[j] = row;
    return TRUE;
}

static gboolean find_targets(OnnxNode *node, gint batch_dims, Targets *to, GError **error)
{
    const GpudlTensor *indices = node->inputs[1];
    const GpudlShape *x = &node->inputs[0]->shape;
    const gint64 depth = indices->shape.rank > 0 ? indices->shape.dims[indices->shape.rank - 1] : 0;
    g_autoptr(GError) local = NULL;
    GBytes *data = onnx_fold(node->import, node->inputs[1], &local);

    if (data == NULL)
        return onnx_fail(node, local != NULL ? (GpudlError)local->code : GPUDL_ERROR_UNSUPPORTED, error,
                         "input 1 ('%s'): %s", indices->name,
                         local != NULL ? local->message : "the indices depend on the network's input values");
    if (indices->dtype != GPUDL_DTYPE_I64 && indices->dtype != GPUDL_DTYPE_I32)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "input 1 ('%s') is %s, expected int64", indices->name,
                         gpudl_dtype_name(indices->dtype));
    if (!check_indices(node, batch_dims, depth, error))
        return FALSE;
    to->shape = indices->shape;
    to->shape.rank--;
    to->n = (gsize)gpudl_shape_elements(&to->shape);
    to->n_dims = batch_dims + (gint)depth;
    to->n_rows = to->rank = 1;
    for (gint i = 0; i < x->rank; i++) {
        if (i < to->n_dims)
            to->n_rows *= x->dims[i];
        else
            to->dims[to->rank++] = x->dims[i];
    }
    to->dims[0] = to->n_rows;
    if (!onnx_spend(node, 2 * to->n * sizeof *to->rows, error)) /* with what gather_rows() makes of them */
        return FALSE;
    to->rows = g_new(gint64, to->n);
    for (gsize j = 0; j < to->n; j++)
        if (!find_row(node, g_bytes_get_data(data, NULL), batch_dims, depth, to, j, error))
            return FALSE;
    return TRUE;
}

/* Rows of x by numbers, which are copied. */
static GpudlTensor *gather_rows(OnnxNode *node, GpudlTensor *x, const gint64 *rows, const GpudlShape *shape,
                                const gchar *output, GError **error)
{
    const GpudlAttrs attrs = {.axis.axis = 0};
    GBytes *data = g_bytes_new(rows, (gsize)gpudl_shape_elements(shape) * sizeof(gint64));
    GpudlTensor *inputs[2] = {x, onnx_constant(node, NULL, GPUDL_DTYPE_I64, shape, data, error)};

    return inputs[1] != NULL ? onnx_emit(node, GPUDL_OP_GATHER, &attrs, inputs, 2, output, error) : NULL;
}

gboolean onnx_map_gather_nd(OnnxNode *node, GError **error)
{
    const gint64 batch_dims = CLAMP(onnx_attr_int(node, "batch_dims", 0), -1, GPUDL_MAX_RANK);
    Targets to = {0};
    GpudlTensor *x = NULL;

    if (find_targets(node, (gint)batch_dims, &to, error) &&
        (x = onnx_reshape(node, node->inputs[0], to.dims, to.rank, NULL, error)) != NULL)
        node->outputs[0] = gather_rows(node, x, to.rows, &to.shape, onnx_output_name(node, 0), error);
    g_free(to.rows);
    return node->outputs[0] != NULL;
}

/* x with new rows in place of those that tuples lead to: for each row of `source` what it is, -1 for the old one, else
 * a row of updates. */
static GpudlTensor *replace_rows(OnnxNode *node, GpudlTensor *x, GpudlTensor *updates, const gint64 *source,
                                 GError **error)
{
    const GpudlAttrs attrs = {.axis.axis = 0};
    const GpudlShape shape = {.rank = 1, .dims[0] = x->shape.dims[0]};
    GpudlTensor *inputs[2] = {x, updates}, *all;
    g_autofree gint64 *rows = NULL;

    if (!onnx_spend(node, 2 * (guint64)shape.dims[0] * sizeof *rows, error))
        return NULL;
    all = onnx_emit(node, GPUDL_OP_CONCAT, &attrs, inputs, 2, NULL, error);
    rows = g_new(gint64, (gsize)shape.dims[0]);
    for (gint64 i = 0; i < shape.dims[0]; i++)
        rows[i] = source[i] < 0 ? i : shape.dims[0] + source[i];
    return all != NULL ? gather_rows(node, all, rows, &shape, NULL, error) : NULL;
}

/* One round of a reduction: of the tuples that are left the first one of each row; *left says how many remain then. The
 * updates of the others count in the next round. */
static GpudlTensor *reduce_round(OnnxNode *node, GpudlOp op, GpudlTensor *x, GpudlTensor *updates, const Targets *to,
                                 gboolean *done, gsize *left, GError **error)
{
    g_autofree gint64 *source = NULL, *old = NULL, *new = NULL;
    GpudlShape shape = {.rank = 1};
    GpudlTensor *was, *is;

    if (!onnx_spend(node, ((guint64)to->n_rows + 4 * to->n) * sizeof *source, error))
        return NULL;
    source = g_new(gint64, (gsize)to->n_rows);
    old = g_new(gint64, to->n);
    new = g_new(gint64, to->n);
    memset(source, -1, (gsize)to->n_rows * sizeof *source);
    for (gsize j = 0; j < to->n; j++) {
        if (done[j] || source[to->rows[j]] >= 0)
            continue;
        source[to->rows[j]] = shape.dims[0];
        old[shape.dims[0]] = to->rows[j];
        new[shape.dims[0]++] = (gint64)j;
        done[j] = TRUE;
        --*left;
    }
    if ((was = gather_rows(node, x, old, &shape, NULL, error)) == NULL ||
        (is = gather_rows(node, updates, new, &shape, NULL, error)) == NULL ||
        (is = onnx_binary(node, op, was, is, NULL, error)) == NULL)
        return NULL;
    return replace_rows(node, x, is, source, error);
}

/* Of several updates of one row the last one counts. */
static GpudlTensor *overwrite(OnnxNode *node, GpudlTensor *x, GpudlTensor *updates, const Targets *to, GError **error)
{
    g_autofree gint64 *source = NULL;

    if (!onnx_spend(node, (guint64)to->n_rows * sizeof *source, error))
        return NULL;
    source = g_new(gint64, (gsize)to->n_rows);
    memset(source, -1, (gsize)to->n_rows * sizeof *source);
    for (gsize j = 0; j < to->n; j++)
        source[to->rows[j]] = (gint64)j;
    return replace_rows(node, x, updates, source, error);
}

static GpudlTensor *reduce(OnnxNode *node, GpudlOp op, GpudlTensor *x, GpudlTensor *updates, const Targets *to,
                           GError **error)
{
    g_autofree gboolean *done = g_new0(gboolean, to->n);
    gsize left = to->n;

    for (guint round = 0; x != NULL && left > 0; round++) {
        if (round == GPUDL_MAX_OUTPUTS) {
            onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "more than %d updates of one element", GPUDL_MAX_OUTPUTS);
            return NULL;
        }
        x = reduce_round(node, op, x, updates, to, done, &left, error);
    }
    return x;
}

/* The updates have to be as the indices without their last dimension, then as what is left of the tensor. */
static gboolean check_updates(const OnnxNode *node, const Targets *to, GError **error)
{
    GpudlShape expected = to->shape;

    for (gint i = 1; i < to->rank && expected.rank < GPUDL_MAX_RANK; i++)
        expected.dims[expected.rank++] = to->dims[i];
    if (!gpudl_shape_equal(&expected, &node->inputs[2]->shape)) {
        g_autofree gchar *found = gpudl_shape_to_string(&node->inputs[2]->shape);
        g_autofree gchar *wanted = gpudl_shape_to_string(&expected);

        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "updates of %s, expected %s", found, wanted);
    }
    return TRUE;
}

gboolean onnx_map_scatter_nd(OnnxNode *node, GError **error)
{
    static const struct {
        const gchar *name;
        GpudlOp op;
    } reductions[] = {
        {"none", GPUDL_OP_NONE}, {"add", GPUDL_OP_ADD}, {"mul", GPUDL_OP_MUL},
        {"max", GPUDL_OP_MAX},   {"min", GPUDL_OP_MIN},
    };
    const GpudlShape *shape = &node->inputs[0]->shape;
    g_autofree gchar *reduction = onnx_attr_string(node, "reduction");
    GpudlTensor *x = NULL, *updates;
    gboolean is_box;
    Targets to = {0};
    guint i = 0;

    while (i < G_N_ELEMENTS(reductions) && reduction != NULL && strcmp(reduction, reductions[i].name) != 0)
        i++;
    if (i == G_N_ELEMENTS(reductions))
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "reduction '%s', expected none, add, mul, max or min",
                         reduction);
    if (reductions[i].op == GPUDL_OP_NONE && (onnx_write_box(node, &is_box, error) || is_box))
        return node->outputs[0] != NULL;
    if (find_targets(node, 0, &to, error) && check_updates(node, &to, error) &&
        (x = onnx_reshape(node, node->inputs[0], to.dims, to.rank, NULL, error)) != NULL) {
        to.dims[0] = (gint64)to.n;
        updates = onnx_reshape(node, node->inputs[2], to.dims, to.rank, NULL, error);
        x = updates == NULL                     ? NULL
            : reductions[i].op == GPUDL_OP_NONE ? overwrite(node, x, updates, &to, error)
                                                : reduce(node, reductions[i].op, x, updates, &to, error);
        if (x != NULL)
            node->outputs[0] = onnx_reshape(node, x, shape->dims, shape->rank, onnx_output_name(node, 0), error);
    }
    g_free(to.rows);
    return node->outputs[0] != NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operators that networks for pictures have on constants alone: tables of positions, masks. They are computed here, and
 * on anything else refused. Sequences are lists of tensors that are known by number.
 */
#include <math.h>
#include <string.h>

#include "engine/graph/ops.h"
#include "onnx-internal.h"

/* The value of input i, which must not depend on the network's input. NULL with error. */
static GBytes *known_input(OnnxNode *node, guint i, GError **error)
{
    g_autoptr(GError) local = NULL;
    GBytes *data = onnx_fold(node->import, node->inputs[i], &local);

    if (local != NULL)
        onnx_fail(node, local->code, error, "input %u ('%s'): %s", i, node->inputs[i]->name, local->message);
    else if (data == NULL)
        onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                  "input %u ('%s') depends on the network's input values; this operator is taken on constants alone", i,
                  node->inputs[i]->name);
    return data;
}

/* Output 0 as a constant of these bytes, which are taken. */
static gboolean set_constant(OnnxNode *node, GpudlDType dtype, const GpudlShape *shape, guint8 *data, GError **error)
{
    const gsize size = (gsize)gpudl_shape_elements(shape) * gpudl_dtype_size(dtype);

    node->outputs[0] =
        onnx_constant(node, onnx_output_name(node, 0), dtype, shape, g_bytes_new_take(data, size), error);
    return node->outputs[0] != NULL;
}

static guint8 *new_values(GpudlDType dtype, const GpudlShape *shape)
{
    return g_malloc0((gsize)gpudl_shape_elements(shape) * gpudl_dtype_size(dtype) + 1);
}

/* Sin and Cos */
gboolean onnx_map_trigonometric(OnnxNode *node, GError **error)
{
    const gboolean sine = strcmp(node->row->name, "Sin") == 0;
    const GpudlTensor *x = node->inputs[0];
    GBytes *data = known_input(node, 0, error);
    guint8 *out;

    if (data == NULL)
        return FALSE;
    if (x->dtype != GPUDL_DTYPE_F32 && x->dtype != GPUDL_DTYPE_F16 && x->dtype != GPUDL_DTYPE_BF16 &&
        x->dtype != GPUDL_DTYPE_F64)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "input 0 ('%s') is %s, expected a float type", x->name,
                         gpudl_dtype_name(x->dtype));
    out = new_values(x->dtype, &x->shape);
    for (gint64 i = 0; i < gpudl_shape_elements(&x->shape); i++) {
        const double v = onnx_number(x->dtype, g_bytes_get_data(data, NULL), (gsize)i);

        onnx_store_number(x->dtype, out, (gsize)i, sine ? sin(v) : cos(v));
    }
    return set_constant(node, x->dtype, &x->shape, out, error);
}

/* An integer type of 64 bits is summed as such: doubles would round. */
static void cumulate(GpudlDType dtype, const guint8 *x, guint8 *y, gint64 n, gint64 stride, gboolean exclusive,
                     gboolean reverse)
{
    double sum = 0;
    guint64 whole = 0;

    for (gint64 k = 0; k < n; k++) {
        const gsize at = (gsize)((reverse ? n - 1 - k : k) * stride);
        const double before = sum;
        guint64 value = 0, old = whole;

        if (dtype == GPUDL_DTYPE_I64 || dtype == GPUDL_DTYPE_U64) {
            memcpy(&value, x + 8 * at, 8);
            whole += value;
            memcpy(y + 8 * at, exclusive ? &old : &whole, 8);
        } else {
            sum += onnx_number(dtype, x, at);
            onnx_store_number(dtype, y, at, exclusive ? before : sum);
        }
    }
}

gboolean onnx_map_cum_sum(OnnxNode *node, GError **error)
{
    const GpudlTensor *x = node->inputs[0];
    const gsize size = gpudl_dtype_size(x->dtype);
    g_autofree gint64 *axes = NULL;
    gint64 outer = 1, inner = 1, n;
    GBytes *data;
    guint8 *out;
    gint32 axis;
    gsize count;

    if (!onnx_input_ints(node, 1, &axes, &count, error))
        return FALSE;
    if (count != 1)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " axes, expected one", count);
    if (!onnx_axis(node, axes[0], x->shape.rank, &axis, error) || (data = known_input(node, 0, error)) == NULL)
        return FALSE;
    n = x->shape.dims[axis];
    for (gint i = 0; i < x->shape.rank; i++) {
        outer *= i < axis ? x->shape.dims[i] : 1;
        inner *= i > axis ? x->shape.dims[i] : 1;
    }
    out = new_values(x->dtype, &x->shape);
    for (gint64 o = 0; o < outer; o++)
        for (gint64 i = 0; i < inner; i++) {
            const gsize at = (gsize)(o * n * inner + i) * size;

            cumulate(x->dtype, (const guint8 *)g_bytes_get_data(data, NULL) + at, out + at, n, inner,
                     onnx_attr_int(node, "exclusive", 0) != 0, onnx_attr_int(node, "reverse", 0) != 0);
        }
    return set_constant(node, x->dtype, &x->shape, out, error);
}

/* Ones at a diagonal; it is the input's shape alone that is asked for. */
gboolean onnx_map_eye_like(OnnxNode *node, GError **error)
{
    const GpudlTensor *x = node->inputs[0];
    const gint64 said = onnx_attr_int(node, "dtype", 0), k = onnx_attr_int(node, "k", 0);
    const GpudlDType dtype = said == 0                       ? x->dtype
                             : said > 0 && said < G_MAXINT16 ? onnx_dtype((gint32)said)
                                                             : GPUDL_DTYPE_NONE;
    guint8 *out;

    if (dtype == GPUDL_DTYPE_NONE)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "dtype is %" G_GINT64_FORMAT, said);
    if (x->shape.rank != 2)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "an input of rank %d, expected 2", x->shape.rank);
    if (!onnx_spend(node, (guint64)gpudl_shape_elements(&x->shape) * gpudl_dtype_size(dtype), error))
        return FALSE;
    out = new_values(dtype, &x->shape);
    for (gint64 row = 0; row < x->shape.dims[0]; row++)
        if (k >= -row && k < x->shape.dims[1] - row)
            onnx_store_number(dtype, out, (gsize)(row * x->shape.dims[1] + row + k), 1);
    return set_constant(node, dtype, &x->shape, out, error);
}

/* A mask of ones, which x is chosen by: so x may be anything. */
gboolean onnx_map_trilu(OnnxNode *node, GError **error)
{
    GpudlTensor *x = node->inputs[0], *inputs[3] = {NULL, x, NULL};
    const gboolean upper = onnx_attr_int(node, "upper", 1) != 0;
    GpudlShape shape = {.rank = 2};
    gboolean known = TRUE;
    double k = 0;
    guint8 *mask;

    if (x->shape.rank < 2)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "an input of rank %d, expected at least 2", x->shape.rank);
    if (onnx_input(node, 1) != NULL && !onnx_scalar(node, node->inputs[1], &known, &k, error))
        return FALSE;
    if (!known)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                         "input 1 ('%s'), the diagonal, depends on the network's input values", node->inputs[1]->name);
    shape.dims[0] = x->shape.dims[x->shape.rank - 2];
    shape.dims[1] = x->shape.dims[x->shape.rank - 1];
    mask = new_values(GPUDL_DTYPE_BOOL, &shape);
    for (gint64 i = 0; i < gpudl_shape_elements(&shape); i++) {
        const double diagonal = (double)(i % shape.dims[1] - i / shape.dims[1]);

        mask[i] = upper ? diagonal >= k : diagonal <= k;
    }
    inputs[0] = onnx_constant(node, NULL, GPUDL_DTYPE_BOOL, &shape,
                              g_bytes_new_take(mask, (gsize)gpudl_shape_elements(&shape)), error);
    if (inputs[0] == NULL || (inputs[2] = onnx_constant_scalar(node, x->dtype, 0, error)) == NULL)
        return FALSE;
    return onnx_emit_output(node, GPUDL_OP_WHERE, NULL, inputs, 3, error);
}

/* ---- sequences --------------------------------------------------------------------------------------------------- */

/* Extents of the pieces along an axis: of one size, but the last; each said; or all 1. */
static gboolean read_pieces(OnnxNode *node, gint64 extent, GpudlAxisAttrs *attrs, GError **error)
{
    g_autofree gint64 *sizes = NULL;
    gint64 size = 1, left = extent;
    gsize n = 0;

    if (onnx_input(node, 1) != NULL && !onnx_input_ints(node, 1, &sizes, &n, error))
        return FALSE;
    if (sizes != NULL && node->inputs[1]->shape.rank == 0)
        size = sizes[0];
    else if (sizes != NULL)
        size = 0;
    if (sizes == NULL || size != 0)
        n = size > 0 ? (gsize)(extent / size + (extent % size != 0)) : 0;
    if (n < 1 || n > GPUDL_MAX_OUTPUTS)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                         "%" G_GSIZE_FORMAT " pieces of %" G_GINT64_FORMAT " elements, 1 to %d are taken", n, extent,
                         GPUDL_MAX_OUTPUTS);
    attrs->n_sizes = (gint32)n;
    if (size == 0) { /* each is said; that they are the whole is seen where shapes are inferred */
        memcpy(attrs->sizes, sizes, n * sizeof *sizes);
        return TRUE;
    }
    for (gsize i = 0; i < n; i++) {
        attrs->sizes[i] = MIN(size, left);
        left -= attrs->sizes[i];
    }
    return TRUE;
}

/* A piece without the axis it was cut along. */
static GpudlTensor *drop_axis(OnnxNode *node, GpudlTensor *piece, gint32 axis, GError **error)
{
    gint64 dims[GPUDL_MAX_RANK];
    gint rank = 0;

    for (gint i = 0; i < piece->shape.rank; i++)
        if (i != axis)
            dims[rank++] = i < axis ? 0 : piece->shape.dims[i];
    return onnx_reshape(node, piece, dims, rank, NULL, error);
}

gboolean onnx_map_split_to_sequence(OnnxNode *node, GError **error)
{
    const GpudlShape *x = &node->inputs[0]->shape;
    const gboolean drop = onnx_attr_int(node, "keepdims", 1) == 0 && onnx_input(node, 1) == NULL;
    g_autoptr(GPtrArray) pieces = g_ptr_array_new();
    const gchar *names[GPUDL_MAX_OUTPUTS];
    gchar *made[GPUDL_MAX_OUTPUTS + 1] = {NULL};
    GpudlAttrs attrs = {0};
    GpudlNode *added;

    if (!onnx_axis(node, onnx_attr_int(node, "axis", 0), x->rank, &attrs.axis.axis, error) ||
        !read_pieces(node, x->dims[attrs.axis.axis], &attrs.axis, error))
        return FALSE;
    for (gint i = 0; i < attrs.axis.n_sizes; i++)
        names[i] = made[i] = g_strdup_printf("%s/%u", node->name, ++node->n_made);
    added = gpudl_graph_add_node(node->import->graph, GPUDL_OP_SPLIT, node->name, node->inputs, 1, names,
                                 (guint)attrs.axis.n_sizes);
    for (gint i = 0; i < attrs.axis.n_sizes; i++)
        g_free(made[i]);
    added->attrs = attrs;
    if (!onnx_infer(node, added, error))
        return FALSE;
    for (guint i = 0; i < added->n_outputs; i++) {
        GpudlTensor *piece = drop ? drop_axis(node, added->outputs[i], attrs.axis.axis, error) : added->outputs[i];

        if (piece == NULL)
            return FALSE;
        g_ptr_array_add(pieces, piece);
    }
    /* the first piece stands for the sequence, which SequenceAt alone may read */
    node->outputs[0] = pieces->pdata[0];
    g_hash_table_insert(node->import->sequences, node->outputs[0], g_steal_pointer(&pieces));
    return TRUE;
}

gboolean onnx_map_sequence_at(OnnxNode *node, GError **error)
{
    const GPtrArray *pieces = g_hash_table_lookup(node->import->sequences, node->inputs[0]);
    g_autofree gint64 *at = NULL;
    GpudlTensor *piece;
    gsize n;

    if (pieces == NULL)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "input 0 ('%s') is no sequence", node->inputs[0]->name);
    if (!onnx_input_ints(node, 1, &at, &n, error))
        return FALSE;
    if (n != 1 || at[0] < -(gint64)pieces->len || at[0] >= (gint64)pieces->len)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "element %" G_GINT64_FORMAT " of a sequence of %u",
                         n == 1 ? at[0] : 0, pieces->len);
    piece = pieces->pdata[at[0] < 0 ? at[0] + pieces->len : at[0]];
    return onnx_emit_output(node, GPUDL_OP_IDENTITY, NULL, &piece, 1, error);
}

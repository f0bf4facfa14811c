/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ScatterND that writes a box, x[a:b, c:d, ...] = updates: what TorchScript's exporter makes of that line. Its indices
 * are a table of tuples as large as the box times its dimensions, put together of one list of numbers for each of
 * these. Read from the lists, nothing of the table is computed, and what is written is slices and concatenations.
 */
#include <string.h>

#include "onnx-internal.h"

#define MOST_STEPS 8 /* between a list and the table: a file that has more wants to keep us busy */

typedef struct {
    gint n_dims; /* indexed ones, the first of x */
    gint64 start[GPUDL_MAX_RANK], end[GPUDL_MAX_RANK];
} Box;

/* Of each dimension of the table the one of a tensor that it is made of, on which its numbers depend; or -1 */
typedef struct {
    gint rank;
    gint of[GPUDL_MAX_RANK];
} Origin;

/* Dimension `from` of a tensor in the one that RESHAPE made it of, where both have the same extents but for ones; -1:
 * it is one of these. FALSE: they have others. */
static gboolean through_reshape(const GpudlShape *in, const GpudlShape *out, gint from, gint *to)
{
    gint i = 0;

    *to = -1;
    for (gint o = 0; o < out->rank; o++) {
        if (out->dims[o] == 1)
            continue;
        while (i < in->rank && in->dims[i] == 1)
            i++;
        if (i == in->rank || in->dims[i] != out->dims[o])
            return FALSE;
        if (o == from)
            *to = i;
        i++;
    }
    while (i < in->rank && in->dims[i] == 1)
        i++;
    return i == in->rank;
}

static gint through_expand(const GpudlShape *in, const GpudlShape *out, gint from)
{
    const gint i = from - (out->rank - in->rank);

    return i >= 0 && in->dims[i] != 1 ? i : -1;
}

/* Follows a tensor to what it repeats. */
static const GpudlTensor *source_of(const GpudlTensor *tensor, Origin *origin)
{
    for (gint i = 0; i < origin->rank; i++)
        origin->of[i] = i;
    for (guint step = 0; step < MOST_STEPS && tensor->data == NULL && tensor->producer != NULL; step++) {
        const GpudlOp op = tensor->producer->op;
        const GpudlTensor *input = tensor->producer->inputs[0];

        if (op != GPUDL_OP_RESHAPE && op != GPUDL_OP_EXPAND)
            break;
        for (gint i = 0; i < origin->rank; i++) {
            if (op == GPUDL_OP_EXPAND)
                origin->of[i] = origin->of[i] < 0 ? -1 : through_expand(&input->shape, &tensor->shape, origin->of[i]);
            else if (!through_reshape(&input->shape, &tensor->shape, origin->of[i], &origin->of[i]))
                return NULL;
        }
        tensor = input;
    }
    return tensor;
}

static gint64 number_at(const GpudlTensor *list, GBytes *data, gsize i)
{
    gint64 wide;
    gint32 narrow;

    if (list->dtype == GPUDL_DTYPE_I32) {
        memcpy(&narrow, (const guint8 *)g_bytes_get_data(data, NULL) + i * sizeof narrow, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, (const guint8 *)g_bytes_get_data(data, NULL) + i * sizeof wide, sizeof wide);
    return wide;
}

/* The numbers of dimension i are extent of them, one behind the other. */
static gboolean read_side(OnnxNode *node, const GpudlTensor *table, gint i, Box *box)
{
    const gint64 extent = table->shape.dims[i], size = node->inputs[0]->shape.dims[i];
    Origin origin = {.rank = box->n_dims};
    const GpudlTensor *list = source_of(table, &origin);
    GBytes *data;

    if (list == NULL || (list->dtype != GPUDL_DTYPE_I64 && list->dtype != GPUDL_DTYPE_I32) ||
        gpudl_shape_elements(&list->shape) != extent || (extent != 1 && origin.of[i] < 0))
        return FALSE;
    /* it may be computed of shapes; where that fails the ordinary way says why */
    if ((data = onnx_fold(node->import, (GpudlTensor *)list, NULL)) == NULL)
        return FALSE;
    box->start[i] = number_at(list, data, 0);
    if (box->start[i] < 0)
        box->start[i] += size;
    if (box->start[i] < 0 || box->start[i] > size - extent)
        return FALSE;
    box->end[i] = box->start[i] + extent;
    for (gint64 j = 0; j < extent; j++) {
        const gint64 value = number_at(list, data, (gsize)j);

        if ((value < 0 ? value + size : value) != box->start[i] + j)
            return FALSE;
    }
    return TRUE;
}

static gboolean find_box(OnnxNode *node, Box *box)
{
    const GpudlTensor *x = node->inputs[0], *indices = node->inputs[1], *updates = node->inputs[2];
    const gint rank = indices->shape.rank;
    const GpudlNode *joined = indices->producer;

    if (joined == NULL || joined->op != GPUDL_OP_CONCAT || joined->attrs.axis.axis != rank - 1 || rank < 2 ||
        joined->n_inputs != (guint)rank - 1 || rank - 1 > x->shape.rank || updates->shape.rank != x->shape.rank ||
        updates->dtype != x->dtype)
        return FALSE;
    box->n_dims = rank - 1;
    for (gint i = 0; i < x->shape.rank; i++)
        if (updates->shape.dims[i] != (i < box->n_dims ? indices->shape.dims[i] : x->shape.dims[i]) ||
            updates->shape.dims[i] < 1)
            return FALSE;
    for (gint i = 0; i < box->n_dims; i++) {
        const GpudlTensor *table = joined->inputs[i];

        if (table->shape.dims[rank - 1] != 1 || !read_side(node, table, i, box))
            return FALSE;
    }
    return TRUE;
}

static gboolean is_whole(const OnnxNode *node, const Box *box, gint i)
{
    return box->start[i] == 0 && box->end[i] == node->inputs[0]->shape.dims[i];
}

/* x from start to end of dimension `dim`, within the box in those before it. */
static GpudlTensor *piece(OnnxNode *node, const Box *box, gint dim, gint64 start, gint64 end, GError **error)
{
    GpudlAttrs attrs = {.slice.rank = node->inputs[0]->shape.rank};

    for (gint i = 0; i < attrs.slice.rank; i++) {
        const gboolean all = i > dim || (i < dim && is_whole(node, box, i));

        attrs.slice.start[i] = all ? 0 : i == dim ? start : box->start[i];
        attrs.slice.end[i] = all ? G_MAXINT64 : i == dim ? end : box->end[i];
        attrs.slice.step[i] = 1;
    }
    return onnx_emit(node, GPUDL_OP_SLICE, &attrs, node->inputs, 1, NULL, error);
}

/* The last dimension first: the box with all of x beside it, before and behind. */
static GpudlTensor *complete(OnnxNode *node, const Box *box, GError **error)
{
    GpudlTensor *whole = node->inputs[2];

    for (gint i = box->n_dims - 1; i >= 0 && whole != NULL; i--) {
        const gint64 size = node->inputs[0]->shape.dims[i];
        const GpudlAttrs attrs = {.axis.axis = i};
        GpudlTensor *pieces[3];
        guint n = 0;

        if (box->start[i] > 0 && (pieces[n++] = piece(node, box, i, 0, box->start[i], error)) == NULL)
            return NULL;
        pieces[n++] = whole;
        if (box->end[i] < size && (pieces[n++] = piece(node, box, i, box->end[i], size, error)) == NULL)
            return NULL;
        if (n > 1)
            whole = onnx_emit(node, GPUDL_OP_CONCAT, &attrs, pieces, n, NULL, error);
    }
    return whole;
}

gboolean onnx_write_box(OnnxNode *node, gboolean *is_box, GError **error)
{
    Box box;
    GpudlTensor *whole;

    *is_box = find_box(node, &box);
    if (!*is_box)
        return FALSE;
    whole = complete(node, &box, error);
    return whole != NULL && onnx_emit_output(node, GPUDL_OP_IDENTITY, NULL, &whole, 1, error);
}

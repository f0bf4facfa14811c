/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A tensor that is taken apart by channels, each scaled and shifted, and put together again is one BATCH_NORM: so do
 * torchvision's GoogLeNet and Inception v3 change the normalisation of their input.
 */
#include <string.h>

#include "rewrite.h"

/* Channels first .. first + n - 1 of x, scaled and shifted. */
typedef struct {
    GpudlTensor *x;
    gint64 first, n;
    GpudlAffine affine; /* or zeros: as they are */
} Piece;

/* A constant index of one element, int32 or int64, counted from the front. */
static gboolean read_index(const GpudlTensor *tensor, gint64 channels, gint64 *index)
{
    gint32 narrow;

    if (!gpudl_tensor_is_constant(tensor) || gpudl_shape_elements(&tensor->shape) != 1)
        return FALSE;
    if (tensor->dtype == GPUDL_DTYPE_I64) {
        memcpy(index, g_bytes_get_data(tensor->data, NULL), sizeof(*index));
    } else if (tensor->dtype == GPUDL_DTYPE_I32) {
        memcpy(&narrow, g_bytes_get_data(tensor->data, NULL), sizeof(narrow));
        *index = narrow;
    } else {
        return FALSE;
    }
    if (*index < 0)
        *index += channels;
    return *index >= 0 && *index < channels;
}

/* GATHER of one channel, with the dimension kept or put back by a RESHAPE. */
static gboolean read_gather(const GpudlRewrite *rw, GpudlTensor *tensor, Piece *piece)
{
    GpudlNode *reshape = gpudl_rewrite_sole(rw, tensor, GPUDL_OP_RESHAPE);
    GpudlNode *gather = gpudl_rewrite_sole(rw, reshape != NULL ? reshape->inputs[0] : tensor, GPUDL_OP_GATHER);
    GpudlShape expected;

    if (gather == NULL || gather->attrs.axis.axis != 1 || gather->inputs[0]->shape.rank < 2)
        return FALSE;
    expected = gather->inputs[0]->shape;
    expected.dims[1] = 1;
    piece->x = gather->inputs[0];
    piece->n = 1;
    return gpudl_shape_equal(&expected, &tensor->shape) &&
           read_index(gather->inputs[1], gather->inputs[0]->shape.dims[1], &piece->first);
}

/* SLICE of whole channels. */
static gboolean read_slice(const GpudlRewrite *rw, GpudlTensor *tensor, Piece *piece)
{
    GpudlNode *slice = gpudl_rewrite_sole(rw, tensor, GPUDL_OP_SLICE);
    const GpudlSliceAttrs *attrs;
    GpudlShape expected;

    if (slice == NULL || slice->inputs[0]->shape.rank < 2)
        return FALSE;
    attrs = &slice->attrs.slice;
    expected = slice->inputs[0]->shape;
    piece->x = slice->inputs[0];
    piece->n = tensor->shape.dims[1];
    piece->first = attrs->start[1] < 0 ? attrs->start[1] + expected.dims[1] : attrs->start[1];
    for (int i = 0; i < expected.rank; i++)
        if (attrs->step[i] != 1)
            return FALSE;
    expected.dims[1] = piece->n;
    return gpudl_shape_equal(&expected, &tensor->shape) && piece->first >= 0 && piece->n > 0;
}

static gboolean read_piece(const GpudlRewrite *rw, GpudlTensor *tensor, Piece *piece)
{
    GpudlNode *node = tensor->producer;

    if (node != NULL && gpudl_rewrite_sole(rw, tensor, node->op) != NULL && gpudl_affine_read(node, &piece->affine)) {
        if (piece->affine.act.kind != GPUDL_ACT_NONE)
            return FALSE;
        tensor = piece->affine.x;
    } else {
        gpudl_affine_clear(&piece->affine);
        memset(&piece->affine, 0, sizeof(piece->affine));
    }
    return read_gather(rw, tensor, piece) || read_slice(rw, tensor, piece);
}

static void join(GpudlRewrite *rw, GpudlNode *concat)
{
    gint64 channels = concat->outputs[0]->shape.rank >= 2 ? concat->outputs[0]->shape.dims[1] : 0, next = 0;
    g_autofree double *scale = g_new0(double, channels + 1), *shift = g_new0(double, channels + 1);
    GpudlTensor *x = NULL;
    gboolean fits = TRUE, changed = FALSE;

    for (guint i = 0; fits && i < concat->n_inputs; i++) {
        Piece piece = {0};

        fits = read_piece(rw, concat->inputs[i], &piece) && piece.first == next && (x == NULL || x == piece.x) &&
               next + piece.n <= channels;
        for (gint64 c = 0; fits && c < piece.n; c++) {
            scale[next + c] = piece.affine.x != NULL ? piece.affine.scale[c] : 1;
            shift[next + c] = piece.affine.x != NULL ? piece.affine.shift[c] : 0;
        }
        x = piece.x;
        next += piece.n;
        changed |= piece.affine.x != NULL;
        gpudl_affine_clear(&piece.affine);
    }
    if (fits && changed && gpudl_shape_equal(&x->shape, &concat->outputs[0]->shape))
        gpudl_affine_become(rw, concat, NULL, x, scale, shift, channels);
}

gboolean gpudl_pass_channels(GpudlGraph *graph, guint *n_changed, GError **error)
{
    GpudlRewrite rw;

    gpudl_rewrite_begin(&rw, graph);
    for (guint i = 0; i < rw.n_nodes; i++) {
        GpudlNode *node = graph->nodes->pdata[i];

        if (node->op == GPUDL_OP_CONCAT && node->attrs.axis.axis == 1 && node->outputs[0]->dtype == GPUDL_DTYPE_F32)
            join(&rw, node);
    }
    return gpudl_rewrite_finish(&rw, n_changed, error);
}

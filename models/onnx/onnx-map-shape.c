/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Data movement. */
#include <string.h>

#include "onnx-internal.h"

/* ---- shapes of the same values ----------------------------------------------------------------------------------- */

gboolean onnx_map_reshape(OnnxNode *node, GError **error)
{
    GpudlTensor *x = node->inputs[0];
    const gboolean allow_zero = onnx_attr_int(node, "allowzero", 0) != 0;
    g_autofree gint64 *dims = NULL;
    GpudlShape empty = {0};
    gboolean has_zero = FALSE;
    gsize n;

    if (!onnx_input_ints(node, 1, &dims, &n, error))
        return FALSE;
    if (n > GPUDL_MAX_RANK)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "rank %" G_GSIZE_FORMAT ", at most %d is taken", n,
                         GPUDL_MAX_RANK);
    for (gsize i = 0; i < n; i++) {
        has_zero = has_zero || dims[i] == 0;
        empty.dims[i] = dims[i];
    }
    if (allow_zero && has_zero) {
        /* a true extent of 0: nothing flows through here, the result is an empty constant */
        empty.rank = (gint32)n;
        if (gpudl_shape_elements(&empty) != 0 || gpudl_shape_elements(&x->shape) != 0)
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                             "a shape with an extent of 0 for %" G_GINT64_FORMAT " elements",
                             (gint64)gpudl_shape_elements(&x->shape));
        node->outputs[0] =
            onnx_constant(node, onnx_output_name(node, 0), x->dtype, &empty, g_bytes_new(NULL, 0), error);
        return node->outputs[0] != NULL;
    }
    node->outputs[0] = onnx_reshape(node, x, dims, (gint)n, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/* To two dimensions. The first is copied or left open, never written as a number: it carries the batch. */
gboolean onnx_map_flatten(OnnxNode *node, GError **error)
{
    GpudlTensor *x = node->inputs[0];
    gint64 axis = onnx_attr_int(node, "axis", 1), dims[2] = {0, -1}, tail = 1;

    if (axis < -x->shape.rank || axis > x->shape.rank)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "axis %" G_GINT64_FORMAT " of a tensor of rank %d", axis,
                         x->shape.rank);
    if (axis < 0)
        axis += x->shape.rank;
    /* of an empty tensor the other dimensions may be anything */
    for (gint i = (gint)axis; i < x->shape.rank; i++)
        if (__builtin_mul_overflow(tail, (gint64)x->shape.dims[i], &tail))
            return onnx_fail(node, GPUDL_ERROR_LIMIT, error, "more elements than can be counted");
    if (axis == 0) {
        dims[0] = 1;
    } else if (axis > 1 || tail == 0) {
        dims[0] = -1;
        dims[1] = tail;
    }
    node->outputs[0] = onnx_reshape(node, x, dims, 2, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/*
 * RESHAPE of x so that output dimension i is input dimension from[i], or 1 where from[i] is -1. A dimension in its old
 * place is copied; the batch in another place is left open.
 */
static gboolean reshape_by_source(OnnxNode *node, const gint *from, gint rank, GError **error)
{
    GpudlTensor *x = node->inputs[0];
    gint64 dims[GPUDL_MAX_RANK];
    gboolean empty = gpudl_shape_elements(&x->shape) == 0;

    for (gint i = 0; i < rank; i++) {
        if (from[i] < 0)
            dims[i] = 1;
        else if (from[i] == i)
            dims[i] = 0;
        else if (from[i] == 0 && !empty)
            dims[i] = -1;
        else
            dims[i] = x->shape.dims[from[i]];
        if (empty && dims[i] == 0 && from[i] != i)
            return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "an empty input whose empty dimension moves");
    }
    node->outputs[0] = onnx_reshape(node, x, dims, rank, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

/* Marks the axes of the list in set[rank]; each once. */
static gboolean mark_axes(const OnnxNode *node, const gint64 *axes, gsize n, gint rank, gboolean *set, GError **error)
{
    for (gsize i = 0; i < n; i++) {
        gint32 axis;

        if (!onnx_axis(node, axes[i], rank, &axis, error))
            return FALSE;
        if (set[axis])
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "axis %d is named twice", axis);
        set[axis] = TRUE;
    }
    return TRUE;
}

gboolean onnx_map_squeeze(OnnxNode *node, GError **error)
{
    const GpudlShape *x = &node->inputs[0]->shape;
    gboolean drop[GPUDL_MAX_RANK] = {FALSE};
    gint from[GPUDL_MAX_RANK], rank = 0;
    g_autofree gint64 *axes = NULL;
    gsize n;

    if (!onnx_ints(node, "axes", 1, &axes, &n, error) || !mark_axes(node, axes, n, x->rank, drop, error))
        return FALSE;
    for (gint i = 0; i < x->rank; i++) {
        if (axes == NULL)
            drop[i] = x->dims[i] == 1;
        else if (drop[i] && x->dims[i] != 1)
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "dimension %d is %" G_GINT64_FORMAT ", expected 1", i,
                             (gint64)x->dims[i]);
        if (!drop[i])
            from[rank++] = i;
    }
    return reshape_by_source(node, from, rank, error);
}

gboolean onnx_map_unsqueeze(OnnxNode *node, GError **error)
{
    const GpudlShape *x = &node->inputs[0]->shape;
    gboolean insert[GPUDL_MAX_RANK] = {FALSE};
    gint from[GPUDL_MAX_RANK], next = 0;
    g_autofree gint64 *axes = NULL;
    gsize n;

    if (!onnx_ints(node, "axes", 1, &axes, &n, error))
        return FALSE;
    if (axes == NULL)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "no axes");
    if (n > (gsize)(GPUDL_MAX_RANK - x->rank))
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "rank %" G_GSIZE_FORMAT ", at most %d is taken",
                         n + (gsize)x->rank, GPUDL_MAX_RANK);
    if (!mark_axes(node, axes, n, x->rank + (gint)n, insert, error))
        return FALSE;
    for (gint i = 0; i < x->rank + (gint)n; i++)
        from[i] = insert[i] ? -1 : next++;
    return reshape_by_source(node, from, x->rank + (gint)n, error);
}

/* ---- moves ------------------------------------------------------------------------------------------------------- */

gboolean onnx_map_transpose(OnnxNode *node, GError **error)
{
    const gint rank = node->inputs[0]->shape.rank;
    GpudlAttrs attrs = {.transpose.rank = rank};
    gsize n;
    const gint64 *perm = onnx_attr_ints(node, "perm", &n);

    if (perm != NULL && n != (gsize)rank)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "perm has %" G_GSIZE_FORMAT " values, the input has rank %d",
                         n, rank);
    for (gint i = 0; i < rank; i++) {
        if (perm != NULL && (perm[i] < 0 || perm[i] >= rank))
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "perm[%d] is %" G_GINT64_FORMAT ", the input has rank %d",
                             i, perm[i], rank);
        attrs.transpose.perm[i] = perm != NULL ? (gint32)perm[i] : rank - 1 - i;
    }
    return onnx_emit_output(node, GPUDL_OP_TRANSPOSE, &attrs, node->inputs, 1, error);
}

gboolean onnx_map_concat(OnnxNode *node, GError **error)
{
    GpudlAttrs attrs = {0};

    if (onnx_attr(node, "axis") == NULL)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "no axis");
    if (!onnx_axis(node, onnx_attr_int(node, "axis", 0), node->inputs[0]->shape.rank, &attrs.axis.axis, error))
        return FALSE;
    if (node->n_inputs == 1)
        return onnx_emit_output(node, GPUDL_OP_IDENTITY, NULL, node->inputs, 1, error);
    return onnx_emit_output(node, GPUDL_OP_CONCAT, &attrs, node->inputs, node->n_inputs, error);
}

/* Sizes of the pieces: given, or equal ones, rounded up, with the last smaller. */
static gboolean read_split(OnnxNode *node, gint64 extent, GpudlAxisAttrs *attrs, GError **error)
{
    g_autofree gint64 *sizes = NULL;
    gint64 n_outputs = onnx_attr_int(node, "num_outputs", node->n_outputs), piece, left = extent;
    gsize n;

    if (!onnx_ints(node, "split", 1, &sizes, &n, error))
        return FALSE;
    if (n_outputs < node->n_outputs || node->n_outputs > GPUDL_MAX_OUTPUTS || n_outputs > GPUDL_MAX_OUTPUTS)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                         "%" G_GINT64_FORMAT " pieces for %u outputs, at most %d are taken", n_outputs, node->n_outputs,
                         GPUDL_MAX_OUTPUTS);
    attrs->n_sizes = (gint32)n_outputs;
    if (sizes != NULL && n > 0) {
        if (n != (gsize)n_outputs)
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                             "%" G_GSIZE_FORMAT " sizes for %" G_GINT64_FORMAT " outputs", n, n_outputs);
        memcpy(attrs->sizes, sizes, n * sizeof(gint64));
        return TRUE;
    }
    piece = (extent + n_outputs - 1) / n_outputs;
    if (onnx_attr(node, "num_outputs") == NULL && extent % n_outputs != 0)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                         "%" G_GINT64_FORMAT " can't be split into %" G_GINT64_FORMAT " equal pieces", extent,
                         n_outputs);
    for (gint i = 0; i < n_outputs; i++) {
        attrs->sizes[i] = MIN(piece, left);
        left -= attrs->sizes[i];
    }
    return TRUE;
}

gboolean onnx_map_split(OnnxNode *node, GError **error)
{
    const GpudlShape *x = &node->inputs[0]->shape;
    const gchar *names[GPUDL_MAX_OUTPUTS] = {NULL};
    GpudlAttrs attrs = {0};
    GpudlNode *added;

    if (!onnx_axis(node, onnx_attr_int(node, "axis", 0), x->rank, &attrs.axis.axis, error) ||
        !read_split(node, x->dims[attrs.axis.axis], &attrs.axis, error))
        return FALSE;
    for (guint i = 0; i < node->n_outputs; i++)
        names[i] = onnx_output_name(node, i);
    added = gpudl_graph_add_node(node->import->graph, GPUDL_OP_SPLIT, node->name, node->inputs, 1, names,
                                 (guint)attrs.axis.n_sizes);
    added->attrs = attrs;
    if (!onnx_infer(node, added, error))
        return FALSE;
    for (guint i = 0; i < node->n_outputs; i++)
        node->outputs[i] = added->outputs[i];
    return TRUE;
}

gboolean onnx_map_slice(OnnxNode *node, GError **error)
{
    const gint rank = node->inputs[0]->shape.rank;
    GpudlAttrs attrs = {.slice.rank = rank};
    g_autofree gint64 *starts = NULL, *ends = NULL, *axes = NULL, *steps = NULL;
    gboolean set[GPUDL_MAX_RANK] = {FALSE};
    gsize n, n_ends, n_axes, n_steps;

    if (!onnx_ints(node, "starts", 1, &starts, &n, error) || !onnx_ints(node, "ends", 2, &ends, &n_ends, error) ||
        !onnx_ints(node, "axes", 3, &axes, &n_axes, error) || !onnx_ints(node, "steps", 4, &steps, &n_steps, error))
        return FALSE;
    if (starts == NULL || ends == NULL)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "no starts or no ends");
    if (n > (gsize)rank || n_ends != n || (axes != NULL && n_axes != n) || (steps != NULL && n_steps != n))
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                         "%" G_GSIZE_FORMAT " starts, %" G_GSIZE_FORMAT " ends, %" G_GSIZE_FORMAT
                         " axes, %" G_GSIZE_FORMAT " steps for rank %d",
                         n, n_ends, n_axes, n_steps, rank);
    for (gint i = 0; i < rank; i++) {
        attrs.slice.end[i] = G_MAXINT64;
        attrs.slice.step[i] = 1;
    }
    for (gsize i = 0; i < n; i++) {
        const gint64 given = axes != NULL ? axes[i] : (gint64)i;
        gint32 axis;

        if (!mark_axes(node, &given, 1, rank, set, error) || !onnx_axis(node, given, rank, &axis, error))
            return FALSE;
        attrs.slice.start[axis] = starts[i];
        attrs.slice.end[axis] = ends[i];
        attrs.slice.step[axis] = steps != NULL ? steps[i] : 1;
    }
    return onnx_emit_output(node, GPUDL_OP_SLICE, &attrs, node->inputs, 1, error);
}

static gboolean read_pad_mode(const OnnxNode *node, gint32 *mode, GError **error)
{
    static const struct {
        const gchar *name;
        GpudlPadMode mode;
    } modes[] = {{"constant", GPUDL_PAD_CONSTANT},
                 {"reflect", GPUDL_PAD_REFLECT},
                 {"edge", GPUDL_PAD_EDGE},
                 {"wrap", GPUDL_PAD_WRAP}};
    g_autofree gchar *name = onnx_attr_string(node, "mode");

    *mode = GPUDL_PAD_CONSTANT;
    for (guint i = 0; name != NULL && i < G_N_ELEMENTS(modes); i++) {
        if (strcmp(name, modes[i].name) == 0) {
            *mode = modes[i].mode;
            return TRUE;
        }
    }
    return name == NULL ||
           onnx_fail(node, GPUDL_ERROR_FORMAT, error, "mode is '%s', expected constant, reflect, edge or wrap", name);
}

gboolean onnx_map_pad(OnnxNode *node, GError **error)
{
    const gint rank = node->inputs[0]->shape.rank;
    GpudlAttrs attrs = {.pad = {.rank = rank, .value = (double)onnx_attr_float(node, "value", 0.f)}};
    GpudlTensor *value = onnx_input(node, 2);
    g_autofree gint64 *pads = NULL, *axes = NULL;
    gboolean set[GPUDL_MAX_RANK] = {FALSE};
    gsize n, n_axes;

    if (!read_pad_mode(node, &attrs.pad.mode, error) || !onnx_ints(node, "pads", 1, &pads, &n, error) ||
        !onnx_ints(node, "axes", 3, &axes, &n_axes, error))
        return FALSE;
    if (axes == NULL)
        n_axes = (gsize)rank;
    if (pads == NULL || n_axes > (gsize)rank || n != 2 * n_axes)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                         "pads has %" G_GSIZE_FORMAT " values for %" G_GSIZE_FORMAT " axes", n, n_axes);
    if (value != NULL) {
        gboolean known;

        if (!onnx_scalar(node, value, &known, &attrs.pad.value, error))
            return FALSE;
        if (!known)
            return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                             "input 2 ('%s'), the value, depends on the network's input values", value->name);
    }
    for (gsize i = 0; i < n_axes; i++) {
        const gint64 given = axes != NULL ? axes[i] : (gint64)i;
        gint32 axis;

        if (!mark_axes(node, &given, 1, rank, set, error) || !onnx_axis(node, given, rank, &axis, error))
            return FALSE;
        attrs.pad.begin[axis] = pads[i];
        attrs.pad.end[axis] = pads[n_axes + i];
    }
    return onnx_emit_output(node, GPUDL_OP_PAD, &attrs, node->inputs, 1, error);
}

gboolean onnx_map_expand(OnnxNode *node, GError **error)
{
    GpudlTensor *x = node->inputs[0];
    GpudlAttrs attrs = {0};
    g_autofree gint64 *dims = NULL;
    gsize n;

    if (!onnx_input_ints(node, 1, &dims, &n, error))
        return FALSE;
    if (n > GPUDL_MAX_RANK)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "rank %" G_GSIZE_FORMAT ", at most %d is taken", n,
                         GPUDL_MAX_RANK);
    /* ONNX's target may have fewer dimensions than x: the missing ones keep x's */
    attrs.shape.rank = MAX((gint32)n, x->shape.rank);
    for (gint i = 0; i < attrs.shape.rank; i++)
        attrs.shape.dims[i] = i < attrs.shape.rank - (gint)n ? 1 : dims[i - (attrs.shape.rank - (gint)n)];
    return onnx_emit_output(node, GPUDL_OP_EXPAND, &attrs, &x, 1, error);
}

/* 0, 1, 2, ... of a row that is a whole tensor: what torch makes of as_strided. It is that tensor in another shape,
 * whose batch is then not written into the indices. NULL if it is not that. */
static GpudlTensor *gathered_whole(OnnxNode *node)
{
    GpudlTensor *x = node->inputs[0], *indices = node->inputs[1];
    const gint64 n = gpudl_shape_elements(&x->shape);
    GBytes *data;

    if (x->shape.rank != 1 || x->producer == NULL || x->producer->op != GPUDL_OP_RESHAPE ||
        gpudl_shape_elements(&indices->shape) != n || indices->shape.rank == 0 ||
        (data = onnx_fold(node->import, indices, NULL)) == NULL)
        return NULL;
    for (gint64 i = 0; i < n; i++)
        if (onnx_number(indices->dtype, g_bytes_get_data(data, NULL), (gsize)i) != (double)i)
            return NULL;
    return x->producer->inputs[0];
}

gboolean onnx_map_gather(OnnxNode *node, GError **error)
{
    GpudlTensor *whole = gathered_whole(node);
    GpudlAttrs attrs = {0};

    if (whole != NULL && gpudl_shape_elements(&whole->shape) > 0) {
        const GpudlShape *shape = &node->inputs[1]->shape;

        node->outputs[0] = onnx_reshape(node, whole, shape->dims, shape->rank, onnx_output_name(node, 0), error);
        return node->outputs[0] != NULL;
    }

    if (!onnx_axis(node, onnx_attr_int(node, "axis", 0), node->inputs[0]->shape.rank, &attrs.axis.axis, error))
        return FALSE;
    return onnx_emit_output(node, GPUDL_OP_GATHER, &attrs, node->inputs, 2, error);
}

/* Repeats along an axis are a Concat of the same tensor. */
gboolean onnx_map_tile(OnnxNode *node, GError **error)
{
    GpudlTensor *x = node->inputs[0];
    g_autofree gint64 *repeats = NULL;
    gint last = -1;
    gsize n;

    if (!onnx_input_ints(node, 1, &repeats, &n, error))
        return FALSE;
    if (n != (gsize)x->shape.rank)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " repeats for rank %d", n, x->shape.rank);
    for (gint i = 0; i < x->shape.rank; i++) {
        if (repeats[i] < 1 || repeats[i] > 1024)
            return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "%" G_GINT64_FORMAT " repeats, 1 to 1024 are taken",
                             repeats[i]);
        if (repeats[i] > 1)
            last = i;
    }
    if (last < 0)
        return onnx_emit_output(node, GPUDL_OP_IDENTITY, NULL, &x, 1, error);
    for (gint i = 0; i <= last; i++) {
        GpudlAttrs attrs = {.axis.axis = i};
        g_autofree GpudlTensor **inputs = g_new(GpudlTensor *, repeats[i]);

        for (gint64 k = 0; k < repeats[i]; k++)
            inputs[k] = x;
        if (repeats[i] > 1 && (x = onnx_emit(node, GPUDL_OP_CONCAT, &attrs, inputs, (guint)repeats[i],
                                             i == last ? onnx_output_name(node, 0) : NULL, error)) == NULL)
            return FALSE;
    }
    node->outputs[0] = x;
    return TRUE;
}

/* Reshape to six dimensions, transpose, reshape to four: both ways of moving pixels between channels and space. The
 * batch is copied by both. */
static gboolean move_blocks(OnnxNode *node, const gint64 *split, const gint32 *perm, const gint64 *merged,
                            GError **error)
{
    GpudlAttrs attrs = {.transpose.rank = 6};
    GpudlTensor *t = onnx_reshape(node, node->inputs[0], split, 6, NULL, error);

    memcpy(attrs.transpose.perm, perm, 6 * sizeof(gint32));
    if (t == NULL || (t = onnx_emit(node, GPUDL_OP_TRANSPOSE, &attrs, &t, 1, NULL, error)) == NULL)
        return FALSE;
    node->outputs[0] = onnx_reshape(node, t, merged, 4, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

static gboolean read_blocks(OnnxNode *node, gint64 *block, gboolean *depth_first, GError **error)
{
    g_autofree gchar *mode = onnx_attr_string(node, "mode");

    *block = onnx_attr_int(node, "blocksize", 0);
    *depth_first = mode == NULL || strcmp(mode, "DCR") == 0;
    if (node->inputs[0]->shape.rank != 4)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "an input of rank %d, expected 4",
                         node->inputs[0]->shape.rank);
    if (*block < 1 || *block > G_MAXINT16)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "blocksize is %" G_GINT64_FORMAT, *block);
    if (!*depth_first && strcmp(mode, "CRD") != 0)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "mode is '%s', expected DCR or CRD", mode);
    return TRUE;
}

gboolean onnx_map_depth_to_space(OnnxNode *node, GError **error)
{
    static const gint32 depth_column_row[] = {0, 3, 4, 1, 5, 2}, column_row_depth[] = {0, 1, 4, 2, 5, 3};
    const gint64 *x = node->inputs[0]->shape.dims;
    gboolean depth_first;
    gint64 b;

    if (!read_blocks(node, &b, &depth_first, error))
        return FALSE;
    if (x[1] % (b * b) != 0)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                         "%" G_GINT64_FORMAT " channels are no multiple of %" G_GINT64_FORMAT, (gint64)x[1], b * b);
    return depth_first ? move_blocks(node, (gint64[]){0, b, b, x[1] / (b * b), x[2], x[3]}, depth_column_row,
                                     (gint64[]){0, x[1] / (b * b), x[2] * b, x[3] * b}, error)
                       : move_blocks(node, (gint64[]){0, x[1] / (b * b), b, b, x[2], x[3]}, column_row_depth,
                                     (gint64[]){0, x[1] / (b * b), x[2] * b, x[3] * b}, error);
}

gboolean onnx_map_space_to_depth(OnnxNode *node, GError **error)
{
    static const gint32 depth_column_row[] = {0, 3, 5, 1, 2, 4}, column_row_depth[] = {0, 1, 3, 5, 2, 4};
    const gint64 *x = node->inputs[0]->shape.dims;
    gboolean depth_first;
    gint64 b;

    if (!read_blocks(node, &b, &depth_first, error))
        return FALSE;
    if (x[2] % b != 0 || x[3] % b != 0)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                         "%" G_GINT64_FORMAT "x%" G_GINT64_FORMAT " is no multiple of blocks of %" G_GINT64_FORMAT,
                         (gint64)x[2], (gint64)x[3], b);
    return move_blocks(node, (gint64[]){0, x[1], x[2] / b, b, x[3] / b, b},
                       depth_first ? depth_column_row : column_row_depth,
                       (gint64[]){0, x[1] * b * b, x[2] / b, x[3] / b}, error);
}

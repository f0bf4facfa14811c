/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Elements that are read several times or backwards; and what is taken on weights alone: tables of positions. */
#include <math.h>
#include <string.h>

#include "aten-internal.h"
#include "models/transposed.h"

#define MOST_INDICES (1 << 24)

/* ---- by indices that are made here ------------------------------------------------------------------------------- */

/* x by indices of two dimensions, or of one where columns is 0, in place of an axis. Index (i, j) is
 * i * by / over + j * apart. */
static GpudlTensor *gather_regular(AtenNode *node, GpudlTensor *x, gint axis, gint64 rows, gint64 columns, gint64 by,
                                   gint64 over, gint64 apart, GError **error)
{
    const gint64 width = MAX(columns, 1);
    GpudlShape shape = {.rank = columns > 0 ? 2 : 1, .dims = {rows, columns}};
    GpudlTensor *indices;
    gint64 *values;

    if (rows < 1 || rows > MOST_INDICES / width) {
        tf_fail(node->build, GPUDL_ERROR_LIMIT, error,
                "a result of %" G_GINT64_FORMAT " by %" G_GINT64_FORMAT " along its dimension, at least 1 and at most "
                "%d in all are taken",
                rows, width, MOST_INDICES);
        return NULL;
    }
    if (!aten_spend(node, (guint64)(rows * width) * sizeof *values, error))
        return NULL;
    values = g_new(gint64, (gsize)(rows * width));
    for (gint64 i = 0; i < rows * width; i++)
        values[i] = i / width * by / over + i % width * apart;
    indices = tf_constant(node->build, GPUDL_DTYPE_I64, &shape,
                          g_bytes_new_take(values, (gsize)(rows * width) * sizeof *values), error);
    return indices != NULL ? tf_gather(node->build, x, indices, axis, error) : NULL;
}

/* Windows along a dimension: where they are takes its place, what is in them comes last. */
gboolean aten_map_unfold(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 dim, size, step, perm[GPUDL_MAX_RANK];
    gint axis, n = 0;

    if (x == NULL || !aten_int(node, "dimension", 0, &dim, error) || !aten_int(node, "size", 1, &size, error) ||
        !aten_int(node, "step", 1, &step, error) || !aten_axis(node, dim, x->shape.rank, &axis, error))
        return FALSE;
    if (x->shape.rank < 1 || size < 1 || size > x->shape.dims[axis] || step < 1)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                       "windows of %" G_GINT64_FORMAT " by %" G_GINT64_FORMAT " along a dimension of %" G_GINT64_FORMAT,
                       size, step, x->shape.rank < 1 ? 0 : (gint64)x->shape.dims[axis]);
    x = gather_regular(node, x, axis, (x->shape.dims[axis] - size) / step + 1, size, step, 1, 1, error);
    if (x == NULL)
        return FALSE;
    for (gint i = 0; i < x->shape.rank; i++)
        if (i != axis + 1)
            perm[n++] = i;
    perm[n] = axis + 1;
    return aten_done(node, tf_transpose(node->build, x, perm, (gsize)x->shape.rank, error));
}

/* Windows over a picture, height and width. */
typedef struct {
    gint64 kernel[2], dilation[2], padding[2], stride[2];
    gint64 size[2]; /* of the picture */
    gint64 n[2];    /* windows along it */
} Windows;

static gboolean read_windows(AtenNode *node, Windows *w, GError **error)
{
    if (!aten_each(node, "kernel_size", 1, w->kernel, 2, error) ||
        !aten_each(node, "dilation", 1, w->dilation, 2, error) ||
        !aten_each(node, "padding", 0, w->padding, 2, error) || !aten_each(node, "stride", 1, w->stride, 2, error))
        return FALSE;
    for (guint i = 0; i < 2; i++) {
        const gint64 least = MIN(MIN(w->kernel[i], w->dilation[i]), w->stride[i]);
        const gint64 most = MAX(MAX(w->kernel[i], w->dilation[i]), MAX(w->stride[i], w->padding[i]));
        const gboolean fits = least >= 1 && w->padding[i] >= 0 && most <= G_MAXINT16 && w->size[i] >= 1 &&
                              w->size[i] <= G_MAXINT32; /* else products may overflow */
        const gint64 reach = fits ? w->dilation[i] * (w->kernel[i] - 1) + 1 : 0;

        if (!fits || w->size[i] + 2 * w->padding[i] < reach)
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                           "windows of %" G_GINT64_FORMAT " by %" G_GINT64_FORMAT " with a padding of %" G_GINT64_FORMAT
                           " along a dimension of %" G_GINT64_FORMAT,
                           w->kernel[i], w->stride[i], w->padding[i], w->size[i]);
        w->n[i] = (w->size[i] + 2 * w->padding[i] - reach) / w->stride[i] + 1;
    }
    return TRUE;
}

/* N x channels x height x width to N x (channels x kernel) x windows. */
gboolean aten_map_im2col(AtenNode *node, GError **error)
{
    static const gint64 perm[] = {0, 1, 3, 5, 2, 4};
    GpudlTensor *x = aten_tensor(node, "self", error);
    GpudlAttrs pad = {.pad.rank = 4};
    gint64 dims[3] = {0};
    Windows w;

    if (x == NULL)
        return FALSE;
    if (x->shape.rank != 4)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "an input of rank %d, expected 4", x->shape.rank);
    dims[1] = x->shape.dims[1];
    for (guint i = 0; i < 2; i++)
        w.size[i] = x->shape.dims[2 + i];
    if (!read_windows(node, &w, error))
        return FALSE;
    for (guint i = 0; i < 2; i++) {
        pad.pad.begin[2 + i] = pad.pad.end[2 + i] = w.padding[i];
        dims[1] *= w.kernel[i];
    }
    dims[2] = w.n[0] * w.n[1];
    if ((w.padding[0] > 0 || w.padding[1] > 0) && (x = tf_emit(node->build, GPUDL_OP_PAD, &pad, &x, 1, error)) == NULL)
        return FALSE;
    x = gather_regular(node, x, 2, w.n[0], w.kernel[0], w.stride[0], 1, w.dilation[0], error);
    if (x == NULL ||
        (x = gather_regular(node, x, 4, w.n[1], w.kernel[1], w.stride[1], 1, w.dilation[1], error)) == NULL ||
        (x = tf_transpose(node->build, x, perm, 6, error)) == NULL)
        return FALSE;
    return aten_done(node, aten_reshape(node, x, dims, 3, error));
}

static GpudlTensor *emit_one(gpointer build, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *input, GError **error)
{
    return tf_emit(build, op, attrs, &input, 1, error);
}

/* x, N x (channels x kernel) x windows along both, added up where windows overlap: a transposed convolution, whose
 * kernel puts each of these at its place. */
static GpudlTensor *add_windows(AtenNode *node, GpudlTensor *x, gint64 channels, const Windows *w, GError **error)
{
    const gint64 area = w->kernel[0] * w->kernel[1];
    const GpudlShape shape = {.rank = 4, .dims = {channels * area, 1, w->kernel[0], w->kernel[1]}};
    GpudlTransposedSide sides[2];
    GpudlTensor *inputs[2] = {x, NULL};
    GpudlAttrs attrs = {0};
    float *values;

    if (!aten_spend(node, (guint64)(channels * area) * (guint64)area * sizeof *values, error))
        return NULL;
    values = g_new0(float, (gsize)(channels * area * area));
    for (gint64 i = 0; i < channels * area; i++)
        values[i * area + i % area] = 1;
    inputs[1] = tf_constant(node->build, GPUDL_DTYPE_F32, &shape,
                            g_bytes_new_take(values, (gsize)(channels * area * area) * sizeof *values), error);
    for (guint i = 0; i < 2; i++)
        sides[i] = (GpudlTransposedSide){w->kernel[i], w->stride[i], w->dilation[i], w->padding[i],
                                         w->stride[i] * (w->n[i] - 1) + w->dilation[i] * (w->kernel[i] - 1) + 1 -
                                             w->padding[i] - w->size[i]};
    if (inputs[1] == NULL ||
        !gpudl_transposed_lower(emit_one, node->build, &inputs[0], &inputs[1], sides, channels, &attrs.window, error))
        return NULL;
    return tf_emit(node->build, GPUDL_OP_CONV, &attrs, inputs, 2, error);
}

/* The same backwards: what lies in several windows is added up. */
gboolean aten_map_col2im(AtenNode *node, GError **error)
{
    static const gint64 perm[] = {0, 1, 4, 2, 5, 3};
    GpudlTensor *x = aten_tensor(node, "self", error);
    gboolean side_by_side = TRUE;
    gint64 area, channels;
    Windows w;

    if (x == NULL || !aten_each(node, "output_size", 1, w.size, 2, error) || !read_windows(node, &w, error))
        return FALSE;
    area = w.kernel[0] * w.kernel[1];
    if (x->shape.rank != 3 || x->shape.dims[1] < area || x->shape.dims[1] % area != 0 ||
        x->shape.dims[2] != w.n[0] * w.n[1])
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                       "%" G_GINT64_FORMAT " windows of %" G_GINT64_FORMAT
                       " elements of each channel are no such input",
                       w.n[0] * w.n[1], area);
    channels = x->shape.dims[1] / area;
    for (guint i = 0; i < 2; i++)
        side_by_side = side_by_side && w.stride[i] == w.kernel[i] && w.dilation[i] == 1 && w.padding[i] == 0 &&
                       w.size[i] == w.n[i] * w.kernel[i];
    if (!side_by_side) {
        x = aten_reshape(node, x, (const gint64[]){0, 0, w.n[0], w.n[1]}, 4, error);
        return x != NULL && aten_done(node, add_windows(node, x, channels, &w, error));
    }
    if ((x = aten_reshape(node, x, (const gint64[]){0, channels, w.kernel[0], w.kernel[1], w.n[0], w.n[1]}, 6,
                          error)) == NULL ||
        (x = tf_transpose(node->build, x, perm, 6, error)) == NULL)
        return FALSE;
    return aten_done(node, aten_reshape(node, x, (const gint64[]){0, 0, w.size[0], w.size[1]}, 4, error));
}

/* Each element as often as is said, one behind the other. */
gboolean aten_map_repeat_interleave(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 dim, repeats;
    gint axis = 0;

    if (x == NULL || !aten_int(node, "repeats", 1, &repeats, error) || !aten_int(node, "dim", 0, &dim, error))
        return FALSE;
    if (aten_arg(node, "dim") == NULL && (x = aten_reshape(node, x, (const gint64[]){-1}, 1, error)) == NULL)
        return FALSE;
    if (!aten_axis(node, dim, x->shape.rank, &axis, error))
        return FALSE;
    if (x->shape.rank < 1)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "its dim is %" G_GINT64_FORMAT " of a scalar", dim);
    if (repeats < 1 || repeats > MOST_INDICES)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "%" G_GINT64_FORMAT " repeats, 1 to %d are taken",
                       repeats, MOST_INDICES);
    return aten_done(node, gather_regular(node, x, axis, x->shape.dims[axis] * repeats, 0, 1, repeats, 1, error));
}

/* The whole, as often as is said along each dimension; there may be more dimensions than x has. */
gboolean aten_map_repeat(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 given[GPUDL_MAX_RANK], repeats[GPUDL_MAX_RANK], dims[GPUDL_MAX_RANK];
    gint more;
    guint n;

    if (x == NULL || !aten_ints(node, node->names[1], given, GPUDL_MAX_RANK, &n, error))
        return FALSE;
    more = (gint)n - x->shape.rank;
    if (more < 0 && strcmp(node->row->name, "repeat") == 0)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "%u repeats for a tensor of rank %d", n, x->shape.rank);
    for (gint i = 0; i < MAX(x->shape.rank, (gint)n); i++) {
        repeats[i] = i < -more ? 1 : given[i + MIN(more, 0)];
        dims[i] = i < more ? 1 : x->shape.dims[i - MAX(more, 0)];
    }
    if (more > 0 && (x = aten_reshape(node, x, dims, n, error)) == NULL)
        return FALSE;
    return aten_done(node, tf_tile(node->build, x, repeats, (gsize)x->shape.rank, error));
}

/* Of vectors, each along a dimension of its own and repeated along the others; "xy": the first two the other way round.
 */
gboolean aten_map_meshgrid(AtenNode *node, GError **error)
{
    gint64 extents[GPUDL_MAX_RANK];
    GpudlTensor *grids[GPUDL_MAX_RANK];
    g_autofree GpudlTensor **xs = NULL;
    const gchar *order;
    guint n;

    if (!aten_text(node, "indexing", "ij", &order, error) || (xs = aten_tensors(node, "tensors", &n, error)) == NULL)
        return FALSE;
    if (n < 1 || n > GPUDL_MAX_RANK || (strcmp(order, "ij") != 0 && strcmp(order, "xy") != 0))
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "%u vectors in the order '%s', 1 to %d in 'ij' or 'xy' are taken", n, order, GPUDL_MAX_RANK);
    for (guint i = 0; i < n; i++) {
        const guint at = i < 2 && n > 1 && order[0] == 'x' ? 1 - i : i;

        if (xs[i]->shape.rank > 1 || gpudl_shape_elements(&xs[i]->shape) < 1)
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                           "a tensor of rank %d and %" G_GINT64_FORMAT " elements, expected a vector of one or more",
                           xs[i]->shape.rank, gpudl_shape_elements(&xs[i]->shape));
        extents[at] = gpudl_shape_elements(&xs[i]->shape);
    }
    for (guint i = 0; i < n; i++) {
        const guint at = i < 2 && n > 1 && order[0] == 'x' ? 1 - i : i;
        gint64 dims[GPUDL_MAX_RANK];

        for (guint k = 0; k < n; k++)
            dims[k] = k == at ? extents[k] : 1;
        if ((grids[i] = aten_reshape(node, xs[i], dims, n, error)) == NULL ||
            (grids[i] = tf_broadcast(node->build, grids[i], extents, n, error)) == NULL)
            return FALSE;
    }
    return aten_done_list(node, grids, n);
}

gboolean aten_map_flip(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 dims[GPUDL_MAX_RANK];
    guint n;

    return x != NULL && aten_ints(node, "dims", dims, GPUDL_MAX_RANK, &n, error) &&
           aten_done(node, n > 0 ? tf_reverse(node->build, x, dims, n, error) : x);
}

/* ---- on weights alone -------------------------------------------------------------------------------------------- */

/* The values of what depends on nothing as float64, at least one, which the caller frees. NULL with error. */
static double *known_values(AtenNode *node, GpudlTensor *x, gsize *n, GError **error)
{
    GpudlTensor *wide;
    gsize size;
    gconstpointer data;

    if (x->data == NULL) {
        tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                "it depends on the network's input; this operator is taken on weights alone");
        return NULL;
    }
    *n = (gsize)gpudl_shape_elements(&x->shape);
    if (*n == 0) {
        tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "an empty tensor, which is not taken");
        return NULL;
    }
    if (!aten_spend(node, *n * sizeof(double), error) ||
        (wide = tf_cast(node->build, x, GPUDL_DTYPE_F64, error)) == NULL)
        return NULL;
    if (wide->data == NULL) { /* it was too much to be cast at load time */
        aten_spend(node, G_MAXUINT64, error);
        return NULL;
    }
    data = g_bytes_get_data(wide->data, &size);
    return g_memdup2(data, size);
}

/* The result of these, which are taken, in this type. */
static gboolean done_values(AtenNode *node, const GpudlShape *shape, double *values, GpudlDType dtype, GError **error)
{
    GBytes *data = g_bytes_new_take(values, (gsize)gpudl_shape_elements(shape) * sizeof *values);
    GpudlTensor *wide = tf_constant(node->build, GPUDL_DTYPE_F64, shape, data, error);

    return wide != NULL && aten_done(node, tf_cast(node->build, wide, dtype, error));
}

/* sin and cos */
gboolean aten_map_trigonometric(AtenNode *node, GError **error)
{
    const gboolean sine = strcmp(node->row->name, "sin") == 0;
    GpudlTensor *x = aten_tensor(node, "self", error);
    double *values;
    gsize n;

    if (x == NULL || (values = known_values(node, x, &n, error)) == NULL)
        return FALSE;
    for (gsize i = 0; i < n; i++)
        values[i] = sine ? sin(values[i]) : cos(values[i]);
    return done_values(node, &x->shape, values, aten_is_float(x->dtype) ? x->dtype : GPUDL_DTYPE_F32, error);
}

/* Sums of all up to each, of what was cast before. */
gboolean aten_map_cumsum(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 dim, inner = 1;
    GpudlDType dtype;
    double *values;
    gint axis;
    gsize n;

    if (x == NULL || !aten_int(node, "dim", 0, &dim, error) || !aten_axis(node, dim, x->shape.rank, &axis, error) ||
        !aten_dtype(node, "dtype", &dtype, error))
        return FALSE;
    if (dtype == GPUDL_DTYPE_NONE)
        dtype = aten_is_float(x->dtype) ? x->dtype : GPUDL_DTYPE_I64;
    if (!aten_is_float(dtype) && dtype != GPUDL_DTYPE_I32 && dtype != GPUDL_DTYPE_I64)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "sums in %s, which go round; floats, int32 and int64 are taken", gpudl_dtype_name(dtype));
    if ((x = tf_cast(node->build, x, dtype, error)) == NULL || (values = known_values(node, x, &n, error)) == NULL)
        return FALSE;
    for (gint i = axis + 1; i < x->shape.rank; i++)
        inner *= x->shape.dims[i];
    for (gsize i = 0; i < n; i++)
        if (x->shape.rank > 0 && (gint64)i / inner % x->shape.dims[axis] > 0)
            values[i] += values[i - (gsize)inner];
    return done_values(node, &x->shape, values, dtype, error);
}

/* Ones at the diagonal of n by m, or of n by n. */
gboolean aten_map_eye(AtenNode *node, GError **error)
{
    GpudlShape shape = {.rank = 2};
    GpudlDType dtype;
    double *values;
    gint64 n, m;

    if (!aten_int(node, "n", 0, &n, error) || !aten_dtype(node, "dtype", &dtype, error))
        return FALSE;
    m = n;
    if (node->row->name[3] == '.' && !aten_int(node, "m", 0, &m, error))
        return FALSE;
    if (n < 1 || m < 1 || n > MOST_INDICES / m)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "%" G_GINT64_FORMAT " by %" G_GINT64_FORMAT ", at least 1 by 1 and at most %d in all are taken",
                       n, m, MOST_INDICES);
    if (!aten_spend(node, (guint64)(n * m) * sizeof *values, error))
        return FALSE;
    shape.dims[0] = n;
    shape.dims[1] = m;
    values = g_new0(double, (gsize)(n * m));
    for (gint64 i = 0; i < MIN(n, m); i++)
        values[i * m + i] = 1;
    return done_values(node, &shape, values, dtype != GPUDL_DTYPE_NONE ? dtype : GPUDL_DTYPE_F32, error);
}

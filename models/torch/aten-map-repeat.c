/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Elements that are read several times or backwards; and what is taken on weights alone: tables of positions. */
#include <math.h>
#include <string.h>

#include "aten-internal.h"

#define MOST_INDICES (1 << 24)

/* ---- by indices that are made here ------------------------------------------------------------------------------- */

/* x by indices of two dimensions, or of one where columns is 0, in place of an axis. Index (i, j) is
 * i * by / over + j. */
static GpudlTensor *gather_regular(AtenNode *node, GpudlTensor *x, gint axis, gint64 rows, gint64 columns, gint64 by,
                                   gint64 over, GError **error)
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
        values[i] = i / width * by / over + i % width;
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
    x = gather_regular(node, x, axis, (x->shape.dims[axis] - size) / step + 1, size, step, 1, error);
    if (x == NULL)
        return FALSE;
    for (gint i = 0; i < x->shape.rank; i++)
        if (i != axis + 1)
            perm[n++] = i;
    perm[n] = axis + 1;
    return aten_done(node, tf_transpose(node->build, x, perm, (gsize)x->shape.rank, error));
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
    return aten_done(node, gather_regular(node, x, axis, x->shape.dims[axis] * repeats, 0, 1, repeats, error));
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

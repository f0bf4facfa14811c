/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pictures cut into blocks, put side by side, and turned round. */
#include <string.h>

#include "engine/limits.h"
#include "tf-layers.h"

static GpudlTensor *reshape_to(TfBuild *build, GpudlTensor *x, const gint64 *dims, gint rank, GError **error)
{
    GpudlAttrs attrs = {.shape.rank = rank};

    memcpy(attrs.shape.dims, dims, (gsize)rank * sizeof *dims);
    return tf_emit(build, GPUDL_OP_RESHAPE, &attrs, &x, 1, error);
}

/* To `apart`, into another order, to `together`; the first dimension of both as it is where it is 0. */
static GpudlTensor *regroup(TfBuild *build, GpudlTensor *x, const gint64 *apart, const gint64 *perm, gint n,
                            const gint64 *together, gint rank, GError **error)
{
    if ((x = reshape_to(build, x, apart, n, error)) == NULL ||
        (x = tf_transpose(build, x, perm, (gsize)n, error)) == NULL)
        return NULL;
    return reshape_to(build, x, together, rank, error);
}

/* ---- depth ------------------------------------------------------------------------------------------------------- */

static gboolean check_blocks(TfBuild *build, const GpudlTensor *x, gint64 block, GError **error)
{
    if (x->shape.rank != 4)
        return tf_fail(build, GPUDL_ERROR_FORMAT, error, "an input of rank %d, expected 4", x->shape.rank);
    return (block >= 1 && block <= G_MAXINT16) ||
           tf_fail(build, GPUDL_ERROR_FORMAT, error, "blocks of %" G_GINT64_FORMAT ", expected 1 to %d", block,
                   G_MAXINT16);
}

GpudlTensor *tf_depth_to_space(TfBuild *build, GpudlTensor *x, gint64 block, gboolean channels_first, GError **error)
{
    static const gint64 last[] = {0, 1, 3, 2, 4, 5}, first[] = {0, 3, 4, 1, 5, 2};
    const gint64 *d = x->shape.dims;
    gint64 channels;

    if (!check_blocks(build, x, block, error))
        return NULL;
    channels = d[channels_first ? 1 : 3];
    if (channels % (block * block) != 0) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error,
                "%" G_GINT64_FORMAT " channels, expected a multiple of %" G_GINT64_FORMAT, channels, block * block);
        return NULL;
    }
    channels /= block * block;
    if (channels_first) {
        const gint64 apart[] = {0, block, block, channels, d[2], d[3]},
                     together[] = {0, channels, d[2] * block, d[3] * block};

        return regroup(build, x, apart, first, 6, together, 4, error);
    }
    {
        const gint64 apart[] = {0, d[1], d[2], block, block, channels},
                     together[] = {0, d[1] * block, d[2] * block, channels};

        return regroup(build, x, apart, last, 6, together, 4, error);
    }
}

GpudlTensor *tf_space_to_depth(TfBuild *build, GpudlTensor *x, gint64 block, gboolean channels_first, GError **error)
{
    static const gint64 last[] = {0, 1, 3, 2, 4, 5}, first[] = {0, 3, 5, 1, 2, 4};
    const gint64 *d = x->shape.dims;
    const gint h = channels_first ? 2 : 1, c = channels_first ? 1 : 3;

    if (!check_blocks(build, x, block, error))
        return NULL;
    if (d[h] % block != 0 || d[h + 1] % block != 0) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error,
                "%" G_GINT64_FORMAT "x%" G_GINT64_FORMAT ", expected multiples of %" G_GINT64_FORMAT, (gint64)d[h],
                (gint64)d[h + 1], block);
        return NULL;
    }
    if (channels_first) {
        const gint64 apart[] = {0, d[c], d[h] / block, block, d[h + 1] / block, block},
                     together[] = {0, d[c] * block * block, d[h] / block, d[h + 1] / block};

        return regroup(build, x, apart, first, 6, together, 4, error);
    }
    {
        const gint64 apart[] = {0, d[h] / block, block, d[h + 1] / block, block, d[c]},
                     together[] = {0, d[h] / block, d[h + 1] / block, d[c] * block * block};

        return regroup(build, x, apart, last, 6, together, 4, error);
    }
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

/* Blocks of the dimensions from 1 on, and two numbers for each: what is added round them or cut off. */
typedef struct {
    gint n;
    gint64 block[GPUDL_MAX_RANK], begin[GPUDL_MAX_RANK], end[GPUDL_MAX_RANK], all;
} Blocks;

static gboolean read_blocks(TfBuild *build, const GpudlTensor *x, GpudlTensor *shape, GpudlTensor *borders,
                            const gchar *what, Blocks *blocks, GError **error)
{
    const gint64 flat[1] = {-1};
    g_autofree gint64 *sizes = NULL, *values = NULL;
    gsize n, n_values;

    if (!tf_ints(build, shape, "block shape", &sizes, &n, error) ||
        (borders = tf_reshape(build, borders, flat, 1, error)) == NULL ||
        !tf_ints(build, borders, what, &values, &n_values, error))
        return FALSE;
    if (n < 1 || (gint)n >= x->shape.rank || x->shape.rank + (gint)n > GPUDL_MAX_RANK || n_values != 2 * n)
        return tf_fail(build, GPUDL_ERROR_FORMAT, error,
                       "%" G_GSIZE_FORMAT " blocks and %" G_GSIZE_FORMAT " %s for a tensor of rank %d", n, n_values,
                       what, x->shape.rank);
    *blocks = (Blocks){.n = (gint)n, .all = 1};
    for (gsize i = 0; i < n; i++) {
        if (sizes[i] < 1 || sizes[i] > G_MAXINT16 || values[2 * i] < 0 || values[2 * i] > G_MAXINT16 ||
            values[2 * i + 1] < 0 || values[2 * i + 1] > G_MAXINT16 || blocks->all > G_MAXINT32)
            return tf_fail(build, GPUDL_ERROR_FORMAT, error,
                           "a block of %" G_GINT64_FORMAT " with %s %" G_GINT64_FORMAT " and %" G_GINT64_FORMAT,
                           sizes[i], what, values[2 * i], values[2 * i + 1]);
        blocks->block[i] = sizes[i];
        blocks->begin[i] = values[2 * i];
        blocks->end[i] = values[2 * i + 1];
        blocks->all *= sizes[i];
    }
    return TRUE;
}

GpudlTensor *tf_space_to_batch(TfBuild *build, GpudlTensor *x, GpudlTensor *shape, GpudlTensor *paddings,
                               GError **error)
{
    GpudlAttrs pad = {.pad = {.rank = x->shape.rank, .mode = GPUDL_PAD_CONSTANT}};
    gint64 apart[GPUDL_MAX_RANK], perm[GPUDL_MAX_RANK], together[GPUDL_MAX_RANK];
    gint rank = 1;
    Blocks b;

    if (!read_blocks(build, x, shape, paddings, "paddings", &b, error))
        return NULL;
    for (gint i = 0; i < b.n; i++) {
        pad.pad.begin[1 + i] = b.begin[i];
        pad.pad.end[1 + i] = b.end[i];
    }
    if ((x = tf_emit(build, GPUDL_OP_PAD, &pad, &x, 1, error)) == NULL)
        return NULL;
    apart[0] = x->shape.dims[0];
    together[0] = apart[0] * b.all;
    for (gint i = 1; i < x->shape.rank; i++) {
        const gint64 block = i <= b.n ? b.block[i - 1] : 1;

        if (x->shape.dims[i] % block != 0) {
            tf_fail(build, GPUDL_ERROR_FORMAT, error,
                    "%" G_GINT64_FORMAT " along dimension %d, expected a multiple of %" G_GINT64_FORMAT,
                    (gint64)x->shape.dims[i], i, block);
            return NULL;
        }
        perm[b.n + i] = rank;
        apart[rank++] = together[i] = x->shape.dims[i] / block;
        if (i <= b.n) {
            perm[i - 1] = rank;
            apart[rank++] = block;
        }
    }
    perm[b.n] = 0;
    return regroup(build, x, apart, perm, rank, together, x->shape.rank, error);
}

GpudlTensor *tf_batch_to_space(TfBuild *build, GpudlTensor *x, GpudlTensor *shape, GpudlTensor *crops, GError **error)
{
    GpudlAttrs slice = {.slice.rank = x->shape.rank};
    gint64 apart[GPUDL_MAX_RANK], perm[GPUDL_MAX_RANK], together[GPUDL_MAX_RANK];
    gint rank;
    Blocks b;

    if (!read_blocks(build, x, shape, crops, "crops", &b, error))
        return NULL;
    if (x->shape.dims[0] % b.all != 0) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error,
                "%" G_GINT64_FORMAT " along dimension 0, expected a multiple of %" G_GINT64_FORMAT,
                (gint64)x->shape.dims[0], b.all);
        return NULL;
    }
    memcpy(apart, b.block, sizeof apart);
    apart[b.n] = together[0] = x->shape.dims[0] / b.all;
    perm[0] = b.n;
    rank = 1;
    for (gint i = 1; i < x->shape.rank; i++) {
        const gint64 extent = x->shape.dims[i];

        apart[b.n + i] = extent;
        together[i] = extent * (i <= b.n ? b.block[i - 1] : 1);
        perm[rank++] = b.n + i;
        if (i <= b.n)
            perm[rank++] = i - 1;
    }
    for (gint i = 0; i < x->shape.rank; i++) {
        const gboolean cut = i >= 1 && i <= b.n;

        if (cut && b.begin[i - 1] + b.end[i - 1] >= together[i]) {
            tf_fail(build, GPUDL_ERROR_FORMAT, error, "crops that leave nothing of %" G_GINT64_FORMAT, together[i]);
            return NULL;
        }
        slice.slice.start[i] = cut ? b.begin[i - 1] : 0;
        slice.slice.end[i] = cut ? together[i] - b.end[i - 1] : G_MAXINT64;
        slice.slice.step[i] = 1;
    }
    x = regroup(build, x, apart, perm, rank, together, x->shape.rank, error);
    return x != NULL ? tf_emit(build, GPUDL_OP_SLICE, &slice, &x, 1, error) : NULL;
}

/* ---- more and other places --------------------------------------------------------------------------------------- */

GpudlTensor *tf_tile(TfBuild *build, GpudlTensor *x, const gint64 *repeats, gsize n, GError **error)
{
    if (n != (gsize)x->shape.rank) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " repeats for a tensor of rank %d", n,
                x->shape.rank);
        return NULL;
    }
    for (gsize i = 0; i < n; i++) {
        g_autofree GpudlTensor **each = NULL;

        if (repeats[i] < 1 || repeats[i] > 1024) {
            tf_fail(build, GPUDL_ERROR_UNSUPPORTED, error, "%" G_GINT64_FORMAT " repeats, 1 to 1024 are taken",
                    repeats[i]);
            return NULL;
        }
        if (repeats[i] == 1)
            continue;
        each = g_new(GpudlTensor *, repeats[i]);
        for (gint64 k = 0; k < repeats[i]; k++)
            each[k] = x;
        if ((x = tf_concat(build, each, (guint)repeats[i], (gint64)i, error)) == NULL)
            return NULL;
    }
    return x;
}

GpudlTensor *tf_reverse(TfBuild *build, GpudlTensor *x, const gint64 *axes, gsize n, GError **error)
{
    GpudlAttrs attrs = {.slice.rank = x->shape.rank};

    for (gint i = 0; i < x->shape.rank; i++) {
        attrs.slice.end[i] = G_MAXINT64;
        attrs.slice.step[i] = 1;
    }
    for (gsize i = 0; i < n; i++) {
        gint32 axis;

        if (!tf_axis(build, axes[i], x->shape.rank, &axis, error))
            return NULL;
        attrs.slice.start[axis] = -1;
        attrs.slice.end[axis] = G_MININT64;
        attrs.slice.step[axis] = -1;
    }
    return tf_emit(build, GPUDL_OP_SLICE, &attrs, &x, 1, error);
}

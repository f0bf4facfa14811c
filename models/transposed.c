/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/transposed.h"

#include <string.h>

/* The importer under way. */
typedef struct {
    GpudlEmitFunc emit;
    gpointer importer;
} Emitter;

static GpudlTensor *reshape(const Emitter *to, GpudlTensor *x, const gint64 *dims, gint rank, GError **error)
{
    GpudlAttrs attrs = {.shape.rank = rank};

    memcpy(attrs.shape.dims, dims, (gsize)rank * sizeof *dims);
    return to->emit(to->importer, GPUDL_OP_RESHAPE, &attrs, x, error);
}

/* stride - 1 zeros behind each element along an axis. */
static GpudlTensor *insert_zeros(const Emitter *to, GpudlTensor *x, gint axis, gint64 stride, GError **error)
{
    const gint rank = x->shape.rank;
    GpudlAttrs pad = {.pad = {.rank = rank + 1, .mode = GPUDL_PAD_CONSTANT}};
    gint64 apart[GPUDL_MAX_RANK], together[GPUDL_MAX_RANK];

    for (gint i = 0; i < rank; i++) {
        apart[i <= axis ? i : i + 1] = i == 0 ? 0 : x->shape.dims[i];
        together[i] = i == 0 ? 0 : x->shape.dims[i] * (i == axis ? stride : 1);
    }
    apart[axis + 1] = 1;
    pad.pad.end[axis + 1] = stride - 1;
    if ((x = reshape(to, x, apart, rank + 1, error)) == NULL ||
        (x = to->emit(to->importer, GPUDL_OP_PAD, &pad, x, error)) == NULL)
        return NULL;
    return reshape(to, x, together, rank, error);
}

/* [in][out / groups][kernel] to [out][in / groups][mirrored kernel] */
static GpudlTensor *turn_weights(const Emitter *to, GpudlTensor *w, gint64 groups, GError **error)
{
    const GpudlShape shape = w->shape;
    GpudlAttrs swap = {.transpose.rank = shape.rank + 1}, mirror = {.slice.rank = shape.rank};
    gint64 apart[GPUDL_MAX_RANK], together[GPUDL_MAX_RANK];

    apart[0] = groups;
    apart[1] = shape.dims[0] / groups;
    apart[2] = shape.dims[1];
    together[0] = groups * shape.dims[1];
    together[1] = shape.dims[0] / groups;
    swap.transpose.perm[0] = 0;
    swap.transpose.perm[1] = 2;
    swap.transpose.perm[2] = 1;
    for (gint i = 2; i < shape.rank; i++) {
        apart[i + 1] = together[i] = shape.dims[i];
        swap.transpose.perm[i + 1] = i + 1;
    }
    for (gint i = 0; i < shape.rank; i++) {
        mirror.slice.start[i] = i < 2 ? 0 : -1;
        mirror.slice.end[i] = i < 2 ? G_MAXINT64 : G_MININT64;
        mirror.slice.step[i] = i < 2 ? 1 : -1;
    }
    if ((w = reshape(to, w, apart, shape.rank + 1, error)) == NULL ||
        (w = to->emit(to->importer, GPUDL_OP_TRANSPOSE, &swap, w, error)) == NULL ||
        (w = reshape(to, w, together, shape.rank, error)) == NULL)
        return NULL;
    return to->emit(to->importer, GPUDL_OP_SLICE, &mirror, w, error);
}

gboolean gpudl_transposed_lower(GpudlEmitFunc emit, gpointer importer, GpudlTensor **x, GpudlTensor **weights,
                                const GpudlTransposedSide *sides, gint64 groups, GpudlWindowAttrs *window,
                                GError **error)
{
    const Emitter to = {emit, importer};
    const gint rank = (*x)->shape.rank, n = rank - 2;
    GpudlAttrs pad = {.pad = {.rank = rank, .mode = GPUDL_PAD_CONSTANT}};
    gboolean padded = FALSE;

    *window = (GpudlWindowAttrs){.n_spatial = n, .group = (gint32)groups};
    for (gint i = 0; i < GPUDL_MAX_SPATIAL; i++)
        window->kernel[i] = window->stride[i] = window->dilation[i] = 1;
    for (gint i = 0; i < n; i++) {
        const GpudlTransposedSide *side = &sides[i];
        const gint k = GPUDL_MAX_SPATIAL - n + i;
        const gint64 reach = (side->kernel - 1) * side->dilation;

        window->kernel[k] = (gint32)side->kernel;
        window->dilation[k] = (gint32)side->dilation;
        pad.pad.begin[2 + i] = reach - side->begin;
        pad.pad.end[2 + i] = reach - side->end - (side->stride - 1); /* the zeros behind the last element */
        padded = padded || pad.pad.begin[2 + i] != 0 || pad.pad.end[2 + i] != 0;
        if (side->stride > 1 && (*x = insert_zeros(&to, *x, 2 + i, side->stride, error)) == NULL)
            return FALSE;
    }
    if (padded && (*x = emit(importer, GPUDL_OP_PAD, &pad, *x, error)) == NULL)
        return FALSE;
    *weights = turn_weights(&to, *weights, groups, error);
    return *weights != NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Channels last becomes channels first, where that takes more transposes away than it brings.
 *
 * Tensors of rank 4 and 5 that are joined by operators which work in either order make a region: elements, reductions,
 * norms, pieces, sums of products along the last dimension with constant weights, which become convolutions by 1. The
 * whole region is seen with the channels as dimension 1. At its border transposes change their permutation, most of
 * them to nothing, and what works in one order alone gets a transpose of its own. Both are counted by the elements they
 * move; the region stays as it is unless fewer are moved afterwards.
 */
#include <string.h>

#include "rewrite.h"

typedef struct {
    GpudlGraph *graph;
    guint n_tensors;
    guint *region;       /* union-find by tensor id; the tensor's own: alone */
    guint8 *member;      /* by tensor id: of a region */
    guint8 *is_output;   /* by tensor id: of the graph */
    GPtrArray **readers; /* by tensor id: nodes, once for each input; NULL: none */
    GHashTable *inner;   /* the nodes of regions */
    guint8 *turning;     /* by region: is turned now */
    /* what constants became, by rank: many may read one */
    GHashTable *constants[GPUDL_MAX_RANK + 1], *weights[GPUDL_MAX_RANK + 1];
} Layout;

/* Dimension i of what is channels first is dimension from_last(i) of what is channels last; and the other way. */
static int from_last(int i, int rank)
{
    return i == 0 ? 0 : i == 1 ? rank - 1 : i - 1;
}

static int from_first(int i, int rank)
{
    return i == 0 ? 0 : i == rank - 1 ? 1 : i + 1;
}

/* ---- what works in either order ------------------------------------------------------------------------------------
 */

static gboolean is_picture(const GpudlTensor *tensor)
{
    return !gpudl_tensor_is_constant(tensor) && (tensor->shape.rank == 4 || tensor->shape.rank == 5) &&
           gpudl_shape_elements(&tensor->shape) > 0;
}

/* All inputs are pictures of the output's rank, or constants that broadcast. */
static gboolean inputs_fit(const GpudlNode *node)
{
    for (guint i = 0; i < node->n_inputs; i++) {
        const GpudlTensor *x = node->inputs[i];

        if (x == NULL || (gpudl_tensor_is_constant(x) ? x->shape.rank > node->outputs[0]->shape.rank
                                                      : x->shape.rank != node->outputs[0]->shape.rank))
            return FALSE;
    }
    return TRUE;
}

/* Without its dimensions the result's are in the same order either way. */
static gboolean drops_in_order(const GpudlNode *node)
{
    const int rank = node->inputs[0]->shape.rank;
    guint over = 0;

    for (int i = 0; i < node->attrs.reduce.n_axes; i++)
        over |= 1u << node->attrs.reduce.axes[i];
    /* the channels go, or all of height and width */
    return over != 0 && ((over >> (rank - 1) & 1) != 0 || (over & ~1u) == (1u << (rank - 1)) - 2);
}

static gboolean norm_fits(const GpudlNode *node)
{
    const int rank = node->inputs[0]->shape.rank, axis = node->attrs.norm.axis, n = node->attrs.norm.n_axes;

    /* of channels, of pixels, of both without parameters, whose order would change */
    return (n == 1 || axis + n < rank || (axis == 1 && node->n_inputs == 1)) &&
           (node->n_inputs < 2 || node->inputs[1] == NULL || !is_picture(node->inputs[1])) &&
           (node->n_inputs < 3 || node->inputs[2] == NULL || !is_picture(node->inputs[2]));
}

/* All pictures that the node reads and makes are of one region. */
static gboolean is_flexible(const Layout *l, const GpudlNode *node)
{
    for (guint i = 0; i < node->n_outputs; i++)
        if (l->is_output[node->outputs[i]->id] || !is_picture(node->outputs[i]))
            return FALSE;
    if (node->n_inputs == 0 || node->inputs[0] == NULL)
        return FALSE;
    switch (node->op) {
    case GPUDL_OP_MATMUL:
        return is_picture(node->inputs[0]) && node->inputs[0]->dtype == GPUDL_DTYPE_F32 &&
               gpudl_tensor_is_constant(node->inputs[1]) && node->inputs[1]->shape.rank == 2;
    case GPUDL_OP_LAYER_NORM:
        return is_picture(node->inputs[0]) && norm_fits(node);
    case GPUDL_OP_REDUCE_MEAN:
    case GPUDL_OP_REDUCE_SUM:
    case GPUDL_OP_REDUCE_MAX:
    case GPUDL_OP_REDUCE_MIN:
    case GPUDL_OP_REDUCE_PROD:
        return is_picture(node->inputs[0]) && node->attrs.reduce.keepdims;
    case GPUDL_OP_SOFTMAX:
    case GPUDL_OP_LOG_SOFTMAX:
        return is_picture(node->inputs[0]) && !node->attrs.axis.flatten;
    case GPUDL_OP_SPLIT:
    case GPUDL_OP_SLICE:
    case GPUDL_OP_PAD:
    case GPUDL_OP_RESIZE:
        return is_picture(node->inputs[0]);
    case GPUDL_OP_CONCAT:
        return inputs_fit(node);
    default:
        /* element by element */
        return node->op >= GPUDL_OP_ACTIVATION && node->op <= GPUDL_OP_WHERE && inputs_fit(node);
    }
}

/* The node reads a picture of a region and makes something outside of it, and can do so in either order. */
static gboolean is_exit(const GpudlNode *node)
{
    const GpudlShape *x = &node->inputs[0]->shape;

    switch (node->op) {
    case GPUDL_OP_TRANSPOSE:
        return TRUE;
    case GPUDL_OP_REDUCE_MEAN:
    case GPUDL_OP_REDUCE_SUM:
    case GPUDL_OP_REDUCE_MAX:
    case GPUDL_OP_REDUCE_MIN:
    case GPUDL_OP_REDUCE_PROD:
        return !node->attrs.reduce.keepdims && drops_in_order(node);
    case GPUDL_OP_RESHAPE: /* of one pixel */
        for (int i = 1; i < x->rank - 1; i++)
            if (x->dims[i] != 1)
                return FALSE;
        return TRUE;
    default:
        return FALSE;
    }
}

/* ---- regions -------------------------------------------------------------------------------------------------------
 */

static guint find(const Layout *l, guint id)
{
    while (l->region[id] != id) {
        l->region[id] = l->region[l->region[id]];
        id = l->region[id];
    }
    return id;
}

static void join(Layout *l, const GpudlTensor *a, const GpudlTensor *b)
{
    l->member[a->id] = l->member[b->id] = TRUE;
    l->region[find(l, a->id)] = find(l, b->id);
}

static void find_regions(Layout *l)
{
    for (guint i = 0; i < l->graph->nodes->len; i++) {
        GpudlNode *node = l->graph->nodes->pdata[i];

        for (guint k = 0; k < node->n_inputs; k++) {
            GPtrArray **readers = node->inputs[k] != NULL ? &l->readers[node->inputs[k]->id] : NULL;

            if (readers == NULL)
                continue;
            if (*readers == NULL)
                *readers = g_ptr_array_new();
            g_ptr_array_add(*readers, node);
        }
        /* what is transposed may be reduced at once, without anything between */
        if (node->op == GPUDL_OP_TRANSPOSE && is_picture(node->outputs[0]))
            l->member[node->outputs[0]->id] = TRUE;
        if (!is_flexible(l, node))
            continue;
        g_hash_table_add(l->inner, node);
        for (guint k = 0; k < node->n_outputs; k++)
            join(l, node->outputs[k], node->outputs[0]);
        for (guint k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] != NULL && is_picture(node->inputs[k]))
                join(l, node->inputs[k], node->outputs[0]);
    }
}

/* ---- gain ----------------------------------------------------------------------------------------------------------
 */

static gboolean moves(const GpudlTransposeAttrs *attrs)
{
    for (int i = 0; i < attrs->rank; i++)
        if (attrs->perm[i] != i)
            return TRUE;
    return FALSE;
}

/* The node's permutation when what it reads, or what it makes, has become channels first. */
static GpudlTransposeAttrs reading_first(const GpudlTransposeAttrs *attrs)
{
    GpudlTransposeAttrs now = *attrs;

    for (int i = 0; i < attrs->rank; i++)
        now.perm[i] = from_first(attrs->perm[i], attrs->rank);
    return now;
}

static GpudlTransposeAttrs making_first(const GpudlTransposeAttrs *attrs)
{
    GpudlTransposeAttrs now = *attrs;

    for (int i = 0; i < attrs->rank; i++)
        now.perm[i] = attrs->perm[from_last(i, attrs->rank)];
    return now;
}

static gboolean is_inner(const Layout *l, const GpudlNode *node)
{
    return g_hash_table_contains(l->inner, node);
}

/* The tensor's producer is part of the region, or a transpose, which can make either order. */
static gboolean is_made_inside(const Layout *l, const GpudlTensor *t)
{
    return t->producer != NULL && !l->is_output[t->id] &&
           (t->producer->op == GPUDL_OP_TRANSPOSE || is_inner(l, t->producer));
}

/* Both are turned, or neither. */
static gboolean turn_together(const Layout *l, const GpudlTensor *a, const GpudlTensor *b)
{
    return l->member[a->id] && l->member[b->id] && find(l, a->id) == find(l, b->id) && is_made_inside(l, a) &&
           is_made_inside(l, b);
}

/* Elements moved now less those moved when this tensor is channels first. */
static gint64 gain_at(const Layout *l, const GpudlTensor *t)
{
    const gint64 size = gpudl_shape_elements(&t->shape);
    const GPtrArray *readers = l->readers[t->id];
    gboolean read_outside = FALSE;
    gint64 gain = 0;

    if (!is_made_inside(l, t)) {
        gain -= size;
    } else if (t->producer->op == GPUDL_OP_TRANSPOSE && !turn_together(l, t->producer->inputs[0], t)) {
        const GpudlTransposeAttrs now = making_first(&t->producer->attrs.transpose);

        gain += ((gint64)moves(&t->producer->attrs.transpose) - (gint64)moves(&now)) * size;
    }
    for (guint i = 0; readers != NULL && i < readers->len; i++) {
        const GpudlNode *reader = readers->pdata[i];

        if (reader->op == GPUDL_OP_TRANSPOSE && is_made_inside(l, t)) {
            GpudlTransposeAttrs now = reading_first(&reader->attrs.transpose);

            if (turn_together(l, t, reader->outputs[0]))
                now = making_first(&now);

            gain += ((gint64)moves(&reader->attrs.transpose) - (gint64)moves(&now)) * size;
        } else if (!is_inner(l, reader) && !is_exit(reader)) {
            read_outside = TRUE;
        }
    }
    /* what is not made inside is read outside as it was */
    return read_outside && is_made_inside(l, t) ? gain - size : gain;
}

/* ---- constants -----------------------------------------------------------------------------------------------------
 */

/* The constant, seen with this rank, channels first. */
static GpudlTensor *turn_constant(Layout *l, GpudlTensor *constant, int rank, GError **error)
{
    const gsize size = gpudl_dtype_size(constant->dtype);
    const gint64 n = gpudl_shape_elements(&constant->shape);
    GpudlShape wide = {.rank = rank}, shape = {.rank = rank};
    gint64 strides[GPUDL_MAX_RANK], stride = 1;
    const guint8 *from;
    guint8 *to;
    g_autoptr(GBytes) data = NULL;

    if (n == 1)
        return constant;
    for (int i = rank - 1; i >= 0; i--) {
        int at = i - (rank - constant->shape.rank);

        wide.dims[i] = at >= 0 ? constant->shape.dims[at] : 1;
        strides[i] = stride;
        stride *= wide.dims[i];
    }
    for (int i = 0; i < rank; i++)
        shape.dims[i] = wide.dims[from_last(i, rank)];
    from = g_bytes_get_data(constant->data, NULL);
    to = g_malloc((gsize)n * size + 1);
    for (gint64 k = 0; k < n; k++) {
        gint64 rest = k, at = 0;

        for (int i = rank - 1; i >= 0; i--) {
            at += rest % shape.dims[i] * strides[from_last(i, rank)];
            rest /= shape.dims[i];
        }
        memcpy(to + (gsize)k * size, from + (gsize)at * size, size);
    }
    data = g_bytes_new_take(to, (gsize)n * size);
    return gpudl_graph_add_constant(l->graph, constant->name, constant->dtype, &shape, data, error);
}

/* make's answer, which is asked once for each. */
static GpudlTensor *turned(GHashTable **all, Layout *l, GpudlTensor *constant, int rank,
                           GpudlTensor *(*make)(Layout *l, GpudlTensor *constant, int rank, GError **error),
                           GError **error)
{
    GpudlTensor *result;

    if (*all == NULL)
        *all = g_hash_table_new(NULL, NULL);
    result = g_hash_table_lookup(*all, constant);
    if (result == NULL && (result = make(l, constant, rank, error)) != NULL)
        g_hash_table_insert(*all, constant, result);
    return result;
}

/* [k][n] of a product is [n][k][1]... of a convolution. */
static GpudlTensor *turn_weights(Layout *l, GpudlTensor *w, int rank, GError **error)
{
    const GPtrArray *readers = l->readers[w->id];
    const gboolean sole = readers != NULL && readers->len == 1 && !l->is_output[w->id];
    const GpudlShape shape = {.rank = rank, .dims = {w->shape.dims[1], w->shape.dims[0], 1, 1, 1}};

    return gpudl_constant_transposed(l->graph, w, sole, &shape);
}

/* ---- turning -------------------------------------------------------------------------------------------------------
 */

static void turn_axes(gint32 *axes, int n, int rank)
{
    for (int i = 0; i < n; i++)
        axes[i] = from_first(axes[i], rank);
}

static void turn_longs(gint64 *values, int rank)
{
    gint64 old[GPUDL_MAX_RANK];

    memcpy(old, values, sizeof(old));
    for (int i = 0; i < rank; i++)
        values[i] = old[from_last(i, rank)];
}

static void turn_doubles(double *values, int rank)
{
    double old[GPUDL_MAX_RANK];

    memcpy(old, values, sizeof(old));
    for (int i = 0; i < rank; i++)
        values[i] = old[from_last(i, rank)];
}

static void turn_norm(GpudlNormAttrs *norm, int rank)
{
    /* all stay all; the channels are the first; pixels move up */
    if (norm->axis + norm->n_axes < rank)
        norm->axis++;
    else if (norm->n_axes == 1)
        norm->axis = 1;
}

static gboolean turn_node(Layout *l, GpudlNode *node, GError **error)
{
    const int rank = node->outputs[0]->shape.rank;

    switch (node->op) {
    case GPUDL_OP_MATMUL:
        node->inputs[1] = turned(&l->weights[rank], l, node->inputs[1], rank, turn_weights, error);
        node->op = GPUDL_OP_CONV;
        gpudl_attrs_init(&node->attrs, GPUDL_OP_CONV);
        node->attrs.window.n_spatial = rank - 2;
        return TRUE;
    case GPUDL_OP_LAYER_NORM:
        turn_norm(&node->attrs.norm, rank);
        return TRUE;
    case GPUDL_OP_REDUCE_MEAN:
    case GPUDL_OP_REDUCE_SUM:
    case GPUDL_OP_REDUCE_MAX:
    case GPUDL_OP_REDUCE_MIN:
    case GPUDL_OP_REDUCE_PROD:
        turn_axes(node->attrs.reduce.axes, node->attrs.reduce.n_axes, rank);
        return TRUE;
    case GPUDL_OP_SOFTMAX:
    case GPUDL_OP_LOG_SOFTMAX:
    case GPUDL_OP_SPLIT:
        node->attrs.axis.axis = from_first(node->attrs.axis.axis, rank);
        return TRUE;
    case GPUDL_OP_SLICE:
        turn_longs(node->attrs.slice.start, rank);
        turn_longs(node->attrs.slice.end, rank);
        turn_longs(node->attrs.slice.step, rank);
        return TRUE;
    case GPUDL_OP_PAD:
        turn_longs(node->attrs.pad.begin, rank);
        turn_longs(node->attrs.pad.end, rank);
        return TRUE;
    case GPUDL_OP_RESIZE:
        turn_longs(node->attrs.resize.sizes, rank);
        turn_doubles(node->attrs.resize.scale, rank);
        return TRUE;
    case GPUDL_OP_CONCAT:
        node->attrs.axis.axis = from_first(node->attrs.axis.axis, rank);
        break;
    default:
        break;
    }
    for (guint i = 0; i < node->n_inputs; i++)
        if (gpudl_tensor_is_constant(node->inputs[i]) &&
            (node->inputs[i] = turned(&l->constants[rank], l, node->inputs[i], rank, turn_constant, error)) == NULL)
            return FALSE;
    return TRUE;
}

/* What reads a picture that is channels first now, and makes what it made. */
static void turn_exit(GpudlNode *node, const GpudlShape *x)
{
    if (node->op == GPUDL_OP_TRANSPOSE) {
        node->attrs.transpose = reading_first(&node->attrs.transpose);
    } else if (node->op == GPUDL_OP_RESHAPE) {
        for (int i = 1; i < node->attrs.shape.rank; i++)
            if (node->attrs.shape.dims[i] == 0)
                node->attrs.shape.dims[i] = x->dims[i];
    } else {
        turn_axes(node->attrs.reduce.axes, node->attrs.reduce.n_axes, x->rank);
    }
}

static GpudlTensor *add_transpose(Layout *l, GpudlTensor *x, gboolean to_first)
{
    GpudlNode *node = gpudl_graph_add_node(l->graph, GPUDL_OP_TRANSPOSE, x->name, &x, 1, NULL, 1);

    node->attrs.transpose.rank = x->shape.rank;
    for (int i = 0; i < x->shape.rank; i++)
        node->attrs.transpose.perm[i] = to_first ? from_last(i, x->shape.rank) : from_first(i, x->shape.rank);
    return node->outputs[0];
}

static void replace(GpudlNode *node, const GpudlTensor *from, GpudlTensor *to)
{
    for (guint i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] == from)
            node->inputs[i] = to;
}

/* At a tensor of the region: its producer, where that is a transpose, and what reads it. */
static void turn_border(Layout *l, GpudlTensor *t)
{
    const GPtrArray *readers = l->readers[t->id];
    const gboolean inside = is_made_inside(l, t);
    GpudlTensor *other = NULL;

    if (inside && t->producer->op == GPUDL_OP_TRANSPOSE)
        t->producer->attrs.transpose = making_first(&t->producer->attrs.transpose);
    for (guint i = 0; readers != NULL && i < readers->len; i++) {
        GpudlNode *reader = readers->pdata[i];
        const gboolean flexible = is_inner(l, reader);

        if (inside && is_exit(reader) && !flexible) {
            turn_exit(reader, &t->shape);
        } else if (inside != flexible) {
            if (other == NULL)
                other = add_transpose(l, t, !inside);
            replace(reader, t, other);
        }
    }
}

static gboolean is_turning(const Layout *l, const GpudlTensor *t)
{
    return l->member[t->id] && l->turning[find(l, t->id)];
}

/* Of two regions that a transpose joins only one is turned at a time: the other's gain may rest on the permutation that
 * this changes. */
static void keep_apart(Layout *l)
{
    for (guint i = 0; i < l->graph->nodes->len; i++) {
        const GpudlNode *node = l->graph->nodes->pdata[i];

        if (node->op == GPUDL_OP_TRANSPOSE && is_turning(l, node->inputs[0]) && is_turning(l, node->outputs[0]) &&
            find(l, node->inputs[0]->id) != find(l, node->outputs[0]->id))
            l->turning[find(l, node->outputs[0]->id)] = FALSE;
    }
}

static gboolean turn_regions(Layout *l, GError **error)
{
    g_autoptr(GPtrArray) inside = g_ptr_array_new();

    for (guint i = 0; i < l->graph->nodes->len; i++) {
        GpudlNode *node = l->graph->nodes->pdata[i];

        if (is_inner(l, node) && is_turning(l, node->outputs[0]))
            g_ptr_array_add(inside, node);
    }
    for (guint id = 0; id < l->n_tensors; id++)
        if (is_turning(l, l->graph->tensors->pdata[id]))
            turn_border(l, l->graph->tensors->pdata[id]);
    for (guint i = 0; i < inside->len; i++)
        if (!turn_node(l, inside->pdata[i], error))
            return FALSE;
    return TRUE;
}

static gboolean turn_all(Layout *l, guint *n_changed, GError **error)
{
    g_autofree gint64 *gains = g_new0(gint64, l->n_tensors + 1);

    for (guint id = 0; id < l->n_tensors; id++)
        if (l->member[id])
            gains[find(l, id)] += gain_at(l, l->graph->tensors->pdata[id]);
    for (guint id = 0; id < l->n_tensors; id++)
        l->turning[id] = gains[id] > 0;
    keep_apart(l);
    for (guint id = 0; id < l->n_tensors; id++)
        *n_changed += l->turning[id];
    return turn_regions(l, error);
}

static void layout_begin(Layout *l, GpudlGraph *graph)
{
    l->graph = graph;
    l->n_tensors = graph->tensors->len;
    l->region = g_new(guint, l->n_tensors + 1);
    l->member = g_new0(guint8, l->n_tensors + 1);
    l->is_output = g_new0(guint8, l->n_tensors + 1);
    l->turning = g_new0(guint8, l->n_tensors + 1);
    l->readers = g_new0(GPtrArray *, l->n_tensors + 1);
    for (guint i = 0; i < l->n_tensors; i++)
        l->region[i] = i;
    for (guint i = 0; i < graph->outputs->len; i++)
        l->is_output[((GpudlTensor *)graph->outputs->pdata[i])->id] = TRUE;
    l->inner = g_hash_table_new(NULL, NULL);
    find_regions(l);
}

static void layout_end(Layout *l)
{
    for (guint i = 0; i < l->n_tensors; i++)
        g_clear_pointer(&l->readers[i], g_ptr_array_unref);
    g_hash_table_unref(l->inner);
    for (guint rank = 0; rank <= GPUDL_MAX_RANK; rank++) {
        g_clear_pointer(&l->constants[rank], g_hash_table_unref);
        g_clear_pointer(&l->weights[rank], g_hash_table_unref);
    }
    g_free(l->turning);
    g_free(l->region);
    g_free(l->member);
    g_free(l->is_output);
    g_free(l->readers);
}

/* Each turn makes what is moved less, so there is an end to it; most networks have one or two. */
#define MOST_TURNS 64

gboolean gpudl_pass_layout(GpudlGraph *graph, guint *n_changed, GError **error)
{
    for (guint turn = 0; turn < MOST_TURNS; turn++) {
        Layout l = {0};
        guint changed = 0;
        gboolean ok;

        layout_begin(&l, graph);
        ok = turn_all(&l, &changed, error);
        layout_end(&l);
        if (!ok)
            return FALSE;
        if (changed == 0)
            return TRUE;
        *n_changed += changed;
        gpudl_graph_remove_dead(graph);
        if (!gpudl_graph_sort(graph, error) || !gpudl_graph_infer(graph, 0, error))
            return FALSE;
    }
    return TRUE;
}

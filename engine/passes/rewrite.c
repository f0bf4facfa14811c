/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rewrite.h"

#include <math.h>
#include <string.h>

#include "engine/pages.h"

#define OWN_PAGES_FROM 65536u /* bytes */
#define BLOCK 16              /* floats: a line of the cache */

static guint *uses_of(GpudlRewrite *rw, const GpudlTensor *tensor)
{
    if (tensor->id >= rw->uses->len)
        g_array_set_size(rw->uses, tensor->id + 1);
    return &g_array_index(rw->uses, guint, tensor->id);
}

void gpudl_rewrite_begin(GpudlRewrite *rw, GpudlGraph *graph)
{
    memset(rw, 0, sizeof(*rw));
    rw->graph = graph;
    rw->n_nodes = graph->nodes->len;
    rw->uses = g_array_sized_new(FALSE, TRUE, sizeof(guint), graph->tensors->len);
    g_array_set_size(rw->uses, graph->tensors->len);
    for (guint i = 0; i < graph->nodes->len; i++) {
        GpudlNode *node = graph->nodes->pdata[i];

        for (guint k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] != NULL)
                ++*uses_of(rw, node->inputs[k]);
    }
    for (guint i = 0; i < graph->outputs->len; i++)
        ++*uses_of(rw, graph->outputs->pdata[i]);
}

gboolean gpudl_rewrite_finish(GpudlRewrite *rw, guint *n_changed, GError **error)
{
    gboolean ok = TRUE;

    if (rw->changed > 0) {
        gpudl_graph_remove_dead(rw->graph);
        ok = (!rw->unsorted || gpudl_graph_sort(rw->graph, error)) && gpudl_graph_infer(rw->graph, 0, error);
        *n_changed += rw->changed;
    }
    g_clear_pointer(&rw->uses, g_array_unref);
    return ok;
}

guint gpudl_rewrite_uses(const GpudlRewrite *rw, const GpudlTensor *tensor)
{
    return tensor->id < rw->uses->len ? g_array_index(rw->uses, guint, tensor->id) : 0;
}

GpudlNode *gpudl_rewrite_sole(const GpudlRewrite *rw, const GpudlTensor *tensor, GpudlOp op)
{
    if (tensor == NULL || tensor->producer == NULL || tensor->producer->op != op || gpudl_rewrite_uses(rw, tensor) != 1)
        return NULL;
    return tensor->producer;
}

/* Takes a use away; nodes that thereby die read nothing any more, and constants let go of their bytes: a chain of
 * rewrites would else hold each step's. */
static void release(GpudlRewrite *rw, GpudlTensor *tensor)
{
    g_autoptr(GPtrArray) released = g_ptr_array_new();

    g_ptr_array_add(released, tensor);
    while (released->len > 0) {
        GpudlTensor *t = g_ptr_array_steal_index_fast(released, released->len - 1);
        guint left = 0;

        if (--*uses_of(rw, t) > 0)
            continue;
        g_clear_pointer(&t->data, g_bytes_unref);
        if (t->producer == NULL)
            continue;
        for (guint k = 0; k < t->producer->n_outputs; k++)
            left += gpudl_rewrite_uses(rw, t->producer->outputs[k]);
        if (left > 0)
            continue;
        for (guint k = 0; k < t->producer->n_inputs; k++)
            if (t->producer->inputs[k] != NULL)
                g_ptr_array_add(released, t->producer->inputs[k]);
    }
}

void gpudl_rewrite_become(GpudlRewrite *rw, GpudlNode *node, GpudlOp op, const gchar *name, const GpudlAttrs *attrs,
                          GpudlTensor *const *inputs, guint n_inputs)
{
    GpudlTensor **old = node->inputs, **neu = g_new0(GpudlTensor *, n_inputs);
    guint n_old = node->n_inputs;
    GpudlAttrs copy;

    if (attrs != NULL)
        copy = *attrs;
    else
        gpudl_attrs_init(&copy, op);
    for (guint i = 0; i < n_inputs; i++) {
        neu[i] = inputs[i];
        if (neu[i] != NULL)
            ++*uses_of(rw, neu[i]);
    }
    node->op = op;
    node->attrs = copy;
    node->inputs = neu;
    node->n_inputs = n_inputs;
    for (guint i = 0; i < n_old; i++)
        if (old[i] != NULL)
            release(rw, old[i]);
    g_free(old);
    if (name != NULL && name != node->name) {
        gchar *kept = g_strdup(name);

        g_free(node->name);
        node->name = kept;
    }
    rw->changed++;
}

GpudlNode *gpudl_rewrite_add(GpudlRewrite *rw, GpudlOp op, const gchar *name, GpudlTensor *const *inputs,
                             guint n_inputs)
{
    GpudlNode *node = gpudl_graph_add_node(rw->graph, op, name, inputs, n_inputs, NULL, 1);

    for (guint i = 0; i < n_inputs; i++)
        if (inputs[i] != NULL)
            ++*uses_of(rw, inputs[i]);
    rw->unsorted = TRUE;
    return node;
}

/* ---- constants --------------------------------------------------------------------------------------------------- */

double *gpudl_constant_doubles(const GpudlTensor *tensor)
{
    const guint8 *data;
    double *values;
    gsize bytes;

    if (!gpudl_tensor_is_constant(tensor) || tensor->dtype != GPUDL_DTYPE_F32)
        return NULL;
    data = g_bytes_get_data(tensor->data, &bytes);
    values = g_new(double, bytes / sizeof(float) + 1);
    for (gsize i = 0; i < bytes / sizeof(float); i++) {
        float value;

        memcpy(&value, data + i * sizeof(float), sizeof(value));
        values[i] = value;
    }
    return values;
}

/* Room for a constant: large ones, which may be replaced again, do not go through the heap. */
static GBytes *make_room(gsize bytes, guint8 **data)
{
    g_autoptr(GpudlPages) pages = bytes >= OWN_PAGES_FROM ? gpudl_pages_new(bytes) : NULL;

    if (pages != NULL) {
        *data = gpudl_pages_get_data(pages);
        return gpudl_pages_slice(pages, 0, bytes);
    }
    *data = g_malloc(bytes + 1);
    return g_bytes_new_take(*data, bytes);
}

GpudlTensor *gpudl_constant_replace(GpudlGraph *graph, GpudlTensor *old, gboolean sole, const GpudlShape *shape,
                                    const guint8 **from, guint8 **to)
{
    const gboolean in_place = sole && old->own;
    g_autoptr(GBytes) data = in_place ? g_bytes_ref(old->data) : NULL;
    GpudlTensor *tensor;
    gsize bytes;

    *from = g_bytes_get_data(old->data, &bytes);
    if (in_place)
        *to = (guint8 *)*from;
    else
        data = make_room(bytes, to);
    tensor = gpudl_graph_add_constant(graph, old->name, old->dtype, shape, data, NULL);
    tensor->own = TRUE;
    if (in_place) {
        old->own = FALSE;
        g_clear_pointer(&old->data, g_bytes_unref);
    }
    return tensor;
}

static float scaled_at(const guint8 *from, gsize i, double factor)
{
    float value;

    memcpy(&value, from + i * sizeof value, sizeof value);
    return (float)((double)value * factor);
}

/* from need not be aligned. */
static gboolean row_fits(const guint8 *from, double factor, gsize n)
{
    gboolean finite = TRUE;

    for (gsize i = 0; i < n; i++)
        finite &= isfinite(scaled_at(from, i, factor)) != 0;
    return finite;
}

/* to may be from. */
static void scale_row(const guint8 *from, double factor, gsize n, guint8 *to)
{
    for (gsize i = 0; i < n; i++) {
        const float value = scaled_at(from, i, factor);

        memcpy(to + i * sizeof value, &value, sizeof value);
    }
}

GpudlTensor *gpudl_constant_scaled(GpudlGraph *graph, GpudlTensor *tensor, gboolean sole, const double *factors)
{
    const gint64 rows = tensor->shape.rank > 0 ? tensor->shape.dims[0] : 0;
    GpudlTensor *scaled;
    const guint8 *from;
    guint8 *to;
    gsize bytes, row;

    if (!gpudl_tensor_is_constant(tensor) || tensor->dtype != GPUDL_DTYPE_F32 || rows == 0)
        return NULL;
    from = g_bytes_get_data(tensor->data, &bytes);
    row = bytes / (gsize)rows;
    for (gint64 i = 0; i < rows; i++)
        if (!row_fits(from + (gsize)i * row, factors[i], row / sizeof(float)))
            return NULL;
    scaled = gpudl_constant_replace(graph, tensor, sole, &tensor->shape, &from, &to);
    for (gint64 i = 0; i < rows; i++)
        scale_row(from + (gsize)i * row, factors[i], row / sizeof(float), to + (gsize)i * row);
    return scaled;
}

/* from, [k][n], becomes to, [n][k], by blocks: a row of one is a column of the other. from need not be aligned. */
static void transpose(const guint8 *from, gint64 k, gint64 n, guint8 *to)
{
    const gsize size = sizeof(float);

    for (gint64 i0 = 0; i0 < n; i0 += BLOCK)
        for (gint64 j0 = 0; j0 < k; j0 += BLOCK)
            for (gint64 i = i0; i < MIN(i0 + BLOCK, n); i++)
                for (gint64 j = j0; j < MIN(j0 + BLOCK, k); j++)
                    memcpy(to + (gsize)(i * k + j) * size, from + (gsize)(j * n + i) * size, size);
}

GpudlTensor *gpudl_constant_transposed(GpudlGraph *graph, GpudlTensor *tensor, gboolean sole, const GpudlShape *shape)
{
    const gint64 k = tensor->shape.dims[0], n = tensor->shape.dims[1];
    g_autofree guint8 *before = NULL;
    const guint8 *from;
    guint8 *to;
    GpudlTensor *transposed = gpudl_constant_replace(graph, tensor, sole, shape, &from, &to);

    if (from == to)
        from = before = g_memdup2(from, (gsize)(k * n) * sizeof(float));
    transpose(from, k, n, to);
    return transposed;
}

gboolean gpudl_doubles_fit(const double *values, gint64 n)
{
    for (gint64 i = 0; i < n; i++)
        if (!isfinite((float)values[i]))
            return FALSE;
    return TRUE;
}

gboolean gpudl_constant_scalar(const GpudlTensor *tensor, double *value)
{
    float single;

    if (!gpudl_tensor_is_constant(tensor) || tensor->dtype != GPUDL_DTYPE_F32 ||
        gpudl_shape_elements(&tensor->shape) != 1)
        return FALSE;
    memcpy(&single, g_bytes_get_data(tensor->data, NULL), sizeof(single));
    *value = single;
    return TRUE;
}

double *gpudl_constant_channels(const GpudlTensor *tensor, const GpudlShape *x)
{
    const GpudlShape *c = &tensor->shape;
    double *values, *channels;
    gboolean single;

    if (!gpudl_tensor_is_constant(tensor) || x->rank < 2 || c->rank > x->rank)
        return NULL;
    for (int i = 0; i < c->rank; i++) {
        int axis = x->rank - c->rank + i;

        if (c->dims[i] != 1 && (axis != 1 || c->dims[i] != x->dims[1]))
            return NULL;
    }
    values = gpudl_constant_doubles(tensor);
    if (values == NULL)
        return NULL;
    single = gpudl_shape_elements(c) == 1;
    channels = g_new(double, x->dims[1]);
    for (gint64 i = 0; i < x->dims[1]; i++)
        channels[i] = values[single ? 0 : i];
    g_free(values);
    return channels;
}

GpudlTensor *gpudl_constant_from_doubles(GpudlGraph *graph, const gchar *name, const double *values,
                                         const GpudlShape *shape)
{
    gint64 n = gpudl_shape_elements(shape);
    g_autofree float *floats = g_new(float, n);

    for (gint64 i = 0; i < n; i++) {
        floats[i] = (float)values[i];
        if (!isfinite(floats[i]))
            return NULL;
    }
    return gpudl_graph_add_constant_f32(graph, name, floats, shape->dims, shape->rank);
}

gboolean gpudl_match_scalar(const GpudlNode *node, GpudlTensor **x, double *value, guint *x_index)
{
    if (node->n_inputs != 2)
        return FALSE;
    for (guint i = 0; i < 2; i++) {
        if (gpudl_constant_scalar(node->inputs[1 - i], value) && !gpudl_tensor_is_constant(node->inputs[i]) &&
            gpudl_shape_equal(&node->inputs[i]->shape, &node->outputs[0]->shape)) {
            *x = node->inputs[i];
            *x_index = i;
            return TRUE;
        }
    }
    return FALSE;
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

GpudlAct *gpudl_node_act(GpudlNode *node)
{
    switch (node->op) {
    case GPUDL_OP_CONV:
        return &node->attrs.window.act;
    case GPUDL_OP_GEMM:
        return &node->attrs.gemm.act;
    case GPUDL_OP_ADD:
    case GPUDL_OP_SUB:
    case GPUDL_OP_MUL:
        return &node->attrs.binary.act;
    case GPUDL_OP_ACTIVATION:
        return &node->attrs.unary.act;
    default:
        return NULL;
    }
}

static gboolean as_interval(const GpudlAct *act, float *low, float *high)
{
    *low = act->kind == GPUDL_ACT_CLIP ? act->alpha : 0.f;
    *high = act->kind == GPUDL_ACT_CLIP ? act->beta : INFINITY;
    return act->kind == GPUDL_ACT_CLIP || act->kind == GPUDL_ACT_RELU;
}

gboolean gpudl_act_compose(const GpudlAct *inner, const GpudlAct *outer, GpudlAct *both)
{
    float low, high, inner_low, inner_high;

    if (!as_interval(inner, &inner_low, &inner_high) || !as_interval(outer, &low, &high))
        return FALSE;
    low = CLAMP(inner_low, low, high);
    high = CLAMP(inner_high, low, high);
    if (low == 0.f && isinf(high))
        *both = (GpudlAct){.kind = GPUDL_ACT_RELU};
    else
        *both = (GpudlAct){GPUDL_ACT_CLIP, low, high};
    return TRUE;
}

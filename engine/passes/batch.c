/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes the batch symbolic. Two steps: attributes that carry the exported batch are rewritten (what cannot be known yet
 * is only tried), then it is proven that a batch gives what its frames give one by one.
 *
 * The proof follows the batch through the graph: a tensor is the same for every frame (a constant), or has the frames
 * along dimension 0 with frame i depending on frame i of the input alone, or is neither as far as the rules here can
 * tell. If all outputs are of the second kind, no run could show more. If one is of the third, two random frames are
 * run alone and together and compared: that settles what rules cannot, at the price of four inferences.
 */
#include <math.h>

#include "engine/ref/ref.h"
#include "rewrite.h"

typedef enum {
    SAME = 0, /* no frame in it */
    FRAMES,   /* dimension 0 counts the frames */
    MIXED     /* unknown */
} Carry;

typedef struct {
    GpudlGraph *graph;
    gint64 batch;   /* as exported */
    guint8 *carry;  /* Carry by tensor id */
    GArray *undo;   /* Undo */
    GpudlNode *odd; /* first node whose output is MIXED though no input was */
} Walk;

typedef struct {
    GpudlNode *node;
    GpudlAttrs attrs;
} Undo;

static Carry carry_of(const Walk *walk, const GpudlTensor *tensor)
{
    return tensor != NULL ? (Carry)walk->carry[tensor->id] : SAME;
}

/* All present inputs from first on hold no frame. */
static gboolean rest_is_same(const Walk *walk, const GpudlNode *node, guint first)
{
    for (guint k = first; k < node->n_inputs; k++)
        if (carry_of(walk, node->inputs[k]) != SAME)
            return FALSE;
    return TRUE;
}

/* The tensor can be broadcast onto a shape of this rank without meaning frames in the shape's dimension 0. */
static gboolean spares_dim0(const GpudlTensor *tensor, int rank)
{
    return tensor->shape.rank < rank || rank == 0 || tensor->shape.dims[0] == 1;
}

/* ---- how operators carry frames ---------------------------------------------------------------------------------- */

/* numpy broadcasting of all inputs */
static Carry carry_broadcast(const Walk *walk, const GpudlNode *node)
{
    int rank = node->outputs[0]->shape.rank;

    for (guint k = 0; k < node->n_inputs; k++) {
        const GpudlTensor *input = node->inputs[k];

        if (carry_of(walk, input) == FRAMES ? input->shape.rank != rank : !spares_dim0(input, rank))
            return MIXED;
    }
    return FRAMES;
}

static Carry carry_gemm(const Walk *walk, const GpudlNode *node)
{
    const GpudlTensor *c = node->n_inputs > 2 ? node->inputs[2] : NULL;

    if (carry_of(walk, node->inputs[0]) != FRAMES || node->attrs.gemm.trans_a ||
        carry_of(walk, node->inputs[1]) != SAME)
        return MIXED;
    if (c != NULL && (carry_of(walk, c) == FRAMES ? c->shape.rank != 2 : !spares_dim0(c, 2)))
        return MIXED;
    return FRAMES;
}

static Carry carry_matmul(const Walk *walk, const GpudlNode *node)
{
    const GpudlTensor *a = node->inputs[0], *b = node->inputs[1];

    if (carry_of(walk, a) == FRAMES && carry_of(walk, b) == FRAMES)
        return a->shape.rank == b->shape.rank && a->shape.rank >= 3 ? FRAMES : MIXED;
    if (carry_of(walk, a) == FRAMES) /* rows of a matrix are as good as matrices of a stack */
        return a->shape.rank >= 2 && b->shape.rank <= MAX(a->shape.rank, 2) &&
                       (b->shape.rank == 2 || spares_dim0(b, a->shape.rank))
                   ? FRAMES
                   : MIXED;
    return b->shape.rank >= 3 && a->shape.rank <= b->shape.rank && spares_dim0(a, b->shape.rank) ? FRAMES : MIXED;
}

static Carry carry_concat(const Walk *walk, const GpudlNode *node)
{
    for (guint k = 0; k < node->n_inputs; k++)
        if (carry_of(walk, node->inputs[k]) != FRAMES)
            return MIXED;
    return node->attrs.axis.axis > 0 ? FRAMES : MIXED;
}

static Carry carry_reduce(const GpudlNode *node)
{
    for (int i = 0; i < node->attrs.reduce.n_axes; i++)
        if (node->attrs.reduce.axes[i] == 0)
            return MIXED;
    return node->attrs.reduce.n_axes > 0 ? FRAMES : MIXED;
}

/* Dimension 0 is copied, or is what remains when all else is fixed and makes up one frame. */
static Carry carry_reshape(const Walk *walk, const GpudlNode *node)
{
    const GpudlShapeAttrs *attrs = &node->attrs.shape;

    if (attrs->rank == 0 || node->outputs[0]->shape.dims[0] != walk->batch)
        return MIXED;
    return attrs->dims[0] == 0 || attrs->dims[0] == -1 ? FRAMES : MIXED;
}

static Carry carry_slice(const GpudlNode *node)
{
    const GpudlSliceAttrs *attrs = &node->attrs.slice;

    return attrs->start[0] == 0 && attrs->end[0] == G_MAXINT64 && attrs->step[0] == 1 ? FRAMES : MIXED;
}

static Carry carry_expand(const GpudlNode *node)
{
    const GpudlShapeAttrs *attrs = &node->attrs.shape;

    if (attrs->rank > node->inputs[0]->shape.rank)
        return MIXED;
    return attrs->rank < node->inputs[0]->shape.rank || attrs->dims[0] == 1 ? FRAMES : MIXED;
}

/* What the outputs carry when at least one input carries frames and none is MIXED. */
static Carry carry_node(const Walk *walk, const GpudlNode *node)
{
    switch (node->op) {
    case GPUDL_OP_CONV: /* the residual has the output's shape */
        return carry_of(walk, node->inputs[0]) == FRAMES && carry_of(walk, node->inputs[1]) == SAME &&
                       (node->n_inputs < 3 || carry_of(walk, node->inputs[2]) == SAME) &&
                       (node->n_inputs < 4 || node->inputs[3] == NULL || carry_of(walk, node->inputs[3]) == FRAMES)
                   ? FRAMES
                   : MIXED;
    case GPUDL_OP_GEMM:
        return carry_gemm(walk, node);
    case GPUDL_OP_MATMUL:
        return carry_matmul(walk, node);
    case GPUDL_OP_BATCH_NORM:
    case GPUDL_OP_LAYER_NORM:
    case GPUDL_OP_GROUP_NORM:
        return carry_of(walk, node->inputs[0]) == FRAMES && rest_is_same(walk, node, 1) ? FRAMES : MIXED;
    case GPUDL_OP_SOFTMAX:
    case GPUDL_OP_LOG_SOFTMAX:
        return node->attrs.axis.axis > 0 ? FRAMES : MIXED;
    case GPUDL_OP_REDUCE_MEAN:
    case GPUDL_OP_REDUCE_SUM:
    case GPUDL_OP_REDUCE_MAX:
    case GPUDL_OP_REDUCE_MIN:
    case GPUDL_OP_REDUCE_PROD:
        return carry_reduce(node);
    case GPUDL_OP_RESHAPE:
        return carry_reshape(walk, node);
    case GPUDL_OP_TRANSPOSE:
        return node->attrs.transpose.rank > 0 && node->attrs.transpose.perm[0] == 0 ? FRAMES : MIXED;
    case GPUDL_OP_CONCAT:
        return carry_concat(walk, node);
    case GPUDL_OP_SPLIT:
        return node->attrs.axis.axis > 0 ? FRAMES : MIXED;
    case GPUDL_OP_SLICE:
        return carry_slice(node);
    case GPUDL_OP_MAX_POOL: /* indices count from the first frame */
        return node->n_outputs == 1 ? FRAMES : MIXED;
    case GPUDL_OP_RESIZE:
        return node->attrs.resize.sizes[0] == 0 ? FRAMES : MIXED;
    case GPUDL_OP_PAD:
        return node->attrs.pad.begin[0] == 0 && node->attrs.pad.end[0] == 0 ? FRAMES : MIXED;
    case GPUDL_OP_EXPAND:
        return carry_expand(node);
    case GPUDL_OP_GATHER:
        return node->attrs.axis.axis > 0 && carry_of(walk, node->inputs[0]) == FRAMES && rest_is_same(walk, node, 1)
                   ? FRAMES
                   : MIXED;
    default:
        /* windows and what works element by element; all of these broadcast or have one input */
        return carry_broadcast(walk, node);
    }
}

/* ---- rewriting --------------------------------------------------------------------------------------------------- */

static void remember(Walk *walk, GpudlNode *node)
{
    Undo undo = {node, node->attrs};

    g_array_append_val(walk->undo, undo);
}

/* Takes the exported batch out of a node's attributes where dimension 0 of its input is the batch. */
static void free_node(Walk *walk, GpudlNode *node)
{
    const GpudlTensor *x = node->n_inputs > 0 ? node->inputs[0] : NULL;
    GpudlShapeAttrs *shape = &node->attrs.shape;
    GpudlSliceAttrs *slice = &node->attrs.slice;

    if (x == NULL || x->shape.rank == 0)
        return;
    if (node->op == GPUDL_OP_RESHAPE && carry_of(walk, x) == FRAMES && shape->rank > 0 &&
        shape->dims[0] == walk->batch && x->shape.dims[0] == walk->batch) {
        remember(walk, node);
        shape->dims[0] = 0;
    } else if (node->op == GPUDL_OP_EXPAND && shape->rank > 0 && shape->dims[0] == walk->batch && walk->batch != 1 &&
               (carry_of(walk, x) == FRAMES ? x->shape.rank == shape->rank : spares_dim0(x, shape->rank))) {
        /* of a constant: what reads it broadcasts it, or the proof fails */
        remember(walk, node);
        shape->dims[0] = 1;
    } else if (node->op == GPUDL_OP_SLICE && carry_of(walk, x) == FRAMES && slice->step[0] == 1 &&
               (slice->start[0] == 0 || slice->start[0] <= -walk->batch) && slice->end[0] >= walk->batch) {
        remember(walk, node);
        slice->start[0] = 0;
        slice->end[0] = G_MAXINT64;
    }
}

static void walk_node(Walk *walk, GpudlNode *node)
{
    Carry carry = SAME;

    for (guint k = 0; k < node->n_inputs; k++)
        carry = MAX(carry, carry_of(walk, node->inputs[k]));
    free_node(walk, node);
    if (carry == FRAMES) {
        carry = carry_node(walk, node);
        if (carry == MIXED && walk->odd == NULL)
            walk->odd = node;
    }
    for (guint k = 0; k < node->n_outputs; k++)
        walk->carry[node->outputs[k]->id] = (guint8)carry;
}

/* ---- proof ------------------------------------------------------------------------------------------------------- */

static gboolean check_outputs(const GpudlGraph *graph, const GArray *at_one, gchar **reason)
{
    for (guint i = 0; i < graph->outputs->len; i++) {
        const GpudlTensor *output = graph->outputs->pdata[i];
        GpudlShape expected = g_array_index(at_one, GpudlShape, i);
        g_autofree gchar *found = gpudl_shape_to_string(&output->shape), *wanted = NULL;

        if (expected.rank > 0)
            expected.dims[0] *= 2;
        wanted = gpudl_shape_to_string(&expected);
        if (expected.rank > 0 && gpudl_shape_equal(&expected, &output->shape))
            continue;
        *reason = g_strdup_printf("output '%s'%s%s%s is %s at batch 2, expected %s", output->name,
                                  output->producer != NULL ? " of node '" : "",
                                  output->producer != NULL ? output->producer->name : "",
                                  output->producer != NULL ? "'" : "", found, wanted);
        return FALSE;
    }
    return TRUE;
}

/* Random bytes of a tensor at the batch inferred: floats in -1..1, whole numbers 0 or 1. */
static GBytes *random_input(const GpudlTensor *tensor, GRand *rand)
{
    gint64 n = gpudl_shape_elements(&tensor->shape);
    gsize size = gpudl_dtype_size(tensor->dtype);
    guint8 *bytes = g_malloc0((gsize)n * size + 1);

    for (gint64 i = 0; i < n; i++) {
        if (tensor->dtype == GPUDL_DTYPE_F32)
            ((float *)(void *)bytes)[i] = (float)g_rand_double_range(rand, -1, 1);
        else if (tensor->dtype == GPUDL_DTYPE_F64)
            ((double *)(void *)bytes)[i] = g_rand_double_range(rand, -1, 1);
        else if (tensor->dtype == GPUDL_DTYPE_F16)
            ((guint16 *)(void *)bytes)[i] = (guint16)(0x3000 + g_rand_int_range(rand, 0, 0xc00)); /* 0.125..1 */
        else if (tensor->dtype == GPUDL_DTYPE_BF16)
            ((guint16 *)(void *)bytes)[i] = (guint16)(0x3e00 + g_rand_int_range(rand, 0, 0x180)); /* 0.125..1 */
        else
            bytes[(gsize)i * size] = (guint8)g_rand_int_range(rand, 0, 2); /* little-endian */
    }
    return g_bytes_new_take(bytes, (gsize)n * size);
}

static double value_at(GpudlDType dtype, const guint8 *data, gsize i)
{
    switch (dtype) {
    case GPUDL_DTYPE_F32:
        return ((const float *)(const void *)data)[i];
    case GPUDL_DTYPE_F64:
        return ((const double *)(const void *)data)[i];
    default: /* bytes, whatever they mean: equal or not */
        return data[i];
    }
}

/* Largest difference of a pair of results to the results of its halves, as a fraction of the range. */
static double compare_output(GpudlDType dtype, GBytes *both, GBytes *first, GBytes *second)
{
    gsize size = dtype == GPUDL_DTYPE_F32 ? 4 : dtype == GPUDL_DTYPE_F64 ? 8 : 1, bytes, half;
    const guint8 *pair = g_bytes_get_data(both, &bytes), *single[2];
    double low = INFINITY, high = -INFINITY, most = 0;
    gsize n;

    single[0] = g_bytes_get_data(first, &half);
    single[1] = g_bytes_get_data(second, NULL);
    if (bytes != 2 * half || g_bytes_get_size(second) != half)
        return INFINITY;
    n = half / size;
    for (gsize i = 0; i < 2 * n; i++) {
        double a = value_at(dtype, pair, i), b = value_at(dtype, single[i / n], i % n);

        low = MIN(low, b);
        high = MAX(high, b);
        /* infinities and NaN agree with themselves alone */
        if (a != b && !(isnan(a) && isnan(b)))
            most = isfinite(a - b) ? MAX(most, fabs(a - b)) : INFINITY;
    }
    if (most == 0)
        return 0;
    return high > low ? most / (high - low) : INFINITY;
}

static void free_outputs(GPtrArray **runs)
{
    for (guint i = 0; i < 3; i++)
        g_clear_pointer(&runs[i], g_ptr_array_unref);
}

/* Runs two random frames alone (runs 0, 1) and together (2). */
static gboolean run_thrice(GpudlGraph *graph, GPtrArray **runs, GCancellable *cancellable, GError **error)
{
    guint n = graph->inputs->len;
    g_autofree GBytes **inputs = g_new0(GBytes *, n * 3 + 1);
    g_autoptr(GRand) rand = g_rand_new_with_seed(20);
    gboolean ok = gpudl_graph_infer(graph, 1, error);

    for (guint run = 0; ok && run < 2; run++) {
        for (guint i = 0; i < n; i++)
            inputs[run * n + i] = random_input(graph->inputs->pdata[i], rand);
        runs[run] = gpudl_ref_run(graph, &inputs[run * n], cancellable, error);
        ok = runs[run] != NULL;
    }
    for (guint i = 0; ok && i < n; i++) {
        GByteArray *pair = g_byte_array_new();

        for (guint run = 0; run < 2; run++) {
            gsize size;
            const guint8 *data = g_bytes_get_data(inputs[run * n + i], &size);

            g_byte_array_append(pair, data, (guint)size);
        }
        inputs[2 * n + i] = g_byte_array_free_to_bytes(pair);
    }
    if (ok && gpudl_graph_infer(graph, 2, error))
        runs[2] = gpudl_ref_run(graph, &inputs[2 * n], cancellable, error);
    for (guint i = 0; i < n * 3; i++)
        g_clear_pointer(&inputs[i], g_bytes_unref);
    return runs[2] != NULL;
}

/* *reason is set if the frames of a pair do not give what they give alone. */
static gboolean prove_by_running(Walk *walk, gchar **reason, GCancellable *cancellable, GError **error)
{
    GpudlGraph *graph = walk->graph;
    GPtrArray *runs[3] = {NULL};

    if (!run_thrice(graph, runs, cancellable, error)) {
        free_outputs(runs);
        return FALSE;
    }
    for (guint i = 0; i < graph->outputs->len && *reason == NULL; i++) {
        const GpudlTensor *output = graph->outputs->pdata[i];
        double difference = compare_output(output->dtype, runs[2]->pdata[i], runs[0]->pdata[i], runs[1]->pdata[i]);

        if (!(difference <= 1e-6))
            *reason = g_strdup_printf("node '%s' mixes frames: two together differ from each alone by %g of the range "
                                      "of output '%s'",
                                      walk->odd->name, difference, output->name);
    }
    free_outputs(runs);
    return TRUE;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* All inputs have frames along dimension 0, the same number. */
static gboolean find_batch(Walk *walk, gchar **reason)
{
    GpudlGraph *graph = walk->graph;

    for (guint i = 0; i < graph->inputs->len; i++) {
        const GpudlTensor *input = graph->inputs->pdata[i];

        if (input->shape.rank == 0) {
            *reason = g_strdup_printf("input '%s' is a scalar: it has no dimension for the batch", input->name);
            return FALSE;
        }
        if (i > 0 && input->shape.dims[0] != walk->batch) {
            *reason = g_strdup_printf("input '%s' has %" G_GINT64_FORMAT " frames, '%s' %" G_GINT64_FORMAT, input->name,
                                      (gint64)input->shape.dims[0], ((GpudlTensor *)graph->inputs->pdata[0])->name,
                                      walk->batch);
            return FALSE;
        }
        walk->batch = input->shape.dims[0];
        walk->carry[input->id] = FRAMES;
    }
    if (graph->inputs->len == 0)
        *reason = g_strdup("the graph has no input");
    return *reason == NULL;
}

/* Leaves *reason NULL if the batch is symbolic now. FALSE with error on cancellation and internal failure only. */
static gboolean attempt(Walk *walk, gchar **reason, GCancellable *cancellable, GError **error)
{
    GpudlGraph *graph = walk->graph;
    g_autoptr(GArray) at_one = g_array_new(FALSE, FALSE, sizeof(GpudlShape));
    g_autoptr(GError) failure = NULL;
    gboolean mixed = FALSE;

    if (!find_batch(walk, reason))
        return TRUE;
    for (guint i = 0; i < graph->nodes->len; i++)
        walk_node(walk, graph->nodes->pdata[i]);
    if (!gpudl_graph_infer(graph, 1, &failure)) {
        *reason =
            g_strdup_printf("exported with batch %" G_GINT64_FORMAT "; at batch 1 %s", walk->batch, failure->message);
        return TRUE;
    }
    for (guint i = 0; i < graph->outputs->len; i++) {
        const GpudlTensor *output = graph->outputs->pdata[i];

        g_array_append_val(at_one, output->shape);
        mixed |= carry_of(walk, output) == MIXED;
    }
    if (!gpudl_graph_infer(graph, 2, &failure)) {
        *reason = g_strdup_printf("at batch 2 %s", failure->message);
        return TRUE;
    }
    if (!check_outputs(graph, at_one, reason) || !mixed)
        return TRUE;
    return prove_by_running(walk, reason, cancellable, error);
}

gboolean gpudl_graph_prove_batch(GpudlGraph *graph, GCancellable *cancellable, GError **error)
{
    Walk walk = {.graph = graph, .batch = graph->batch};
    g_autofree gchar *reason = NULL;
    gboolean ok;

    if (graph->batch == 0 && !gpudl_graph_infer(graph, 0, error))
        return FALSE;
    walk.batch = graph->batch;
    walk.carry = g_new0(guint8, graph->tensors->len + 1);
    walk.undo = g_array_new(FALSE, FALSE, sizeof(Undo));
    g_clear_pointer(&graph->batch_reason, g_free);
    ok = attempt(&walk, &reason, cancellable, error);
    graph->symbolic_batch = ok && reason == NULL;
    for (guint i = 0; !graph->symbolic_batch && i < walk.undo->len; i++) {
        const Undo *undo = &g_array_index(walk.undo, Undo, i);

        undo->node->attrs = undo->attrs;
    }
    g_array_unref(walk.undo);
    g_free(walk.carry);
    if (!ok) {
        gpudl_graph_infer(graph, walk.batch, NULL);
        return FALSE;
    }
    graph->batch_reason = g_steal_pointer(&reason);
    if (graph->symbolic_batch)
        return gpudl_graph_infer(graph, 1, error);
    return gpudl_graph_infer(graph, walk.batch, error);
}

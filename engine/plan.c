/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/plan.h"

#include <stdlib.h>
#include <string.h>

#include "engine/constants.h"
#include "engine/gpudl.h"

struct _GpudlPlanner {
    GMutex lock;
    GpudlGraph *graph; /* re-inferred for each new batch, under the lock */
    gchar *content;
    GHashTable *plans; /* gint64 batch (boxed) -> GpudlPlan* */
    gboolean held;     /* large constants can be read */
    GError *failure;   /* of making it: what every plan gets */
};

/* ---- placing ----------------------------------------------------------------------------------------------------- */

/*
 * Largest first, each at the lowest offset where nothing placed and alive at the same time lies: within a few percent
 * of the optimum on networks, and deterministic.
 *
 * The blocks stand in the order of their first node. Block i is alive for those behind it up to hi(i), the last that
 * begins before it ends: i and j > i are alive together if j <= hi(i). Two trees over that order answer what has to be
 * known of the placed ones: which are alive together with a block, and up to which offset anything is.
 */

/* Looking at all that is alive together is worth its time up to here, in comparisons: half a second, and more than any
 * network takes. What is left then, the small ones, goes above all that is alive. */
#define MOST_COMPARISONS (G_GUINT64_CONSTANT(1) << 26)

typedef struct {
    guint index;
    guint64 size; /* rounded up */
    guint64 at;
    gint32 first, last;
    guint hi;
} Block;

typedef struct {
    Block *blocks; /* by first node */
    guint n, leaves;
    gint64 *latest;      /* of a subtree: the largest hi of a placed block, -1: none */
    guint64 *top, *over; /* of a subtree: the highest end of all that is alive in it; in all of it */
    const Block **found; /* room for all */
    guint n_found;
    guint64 comparisons;
} Placer;

static int by_first(const void *a, const void *b)
{
    const Block *x = a, *y = b;

    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static int by_size(const void *a, const void *b)
{
    const Block *x = *(Block *const *)a, *y = *(Block *const *)b;

    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static int by_offset(const void *a, const void *b)
{
    const Block *x = *(const Block *const *)a, *y = *(const Block *const *)b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* The placed ones among begin..end, which are a subtree's, that are alive together with a block: at most up to its hi,
 * and not over before it. */
static void find_alive(Placer *p, guint node, guint begin, guint end, guint block)
{
    guint middle = begin + (end - begin) / 2;

    if (begin > p->blocks[block].hi || p->latest[node] < (gint64)block)
        return;
    if (begin == end) {
        p->found[p->n_found++] = &p->blocks[begin];
        return;
    }
    find_alive(p, 2 * node, begin, middle, block);
    find_alive(p, 2 * node + 1, middle + 1, end, block);
}

static guint64 find_top(const Placer *p, guint node, guint begin, guint end, guint from, guint to)
{
    guint middle = begin + (end - begin) / 2;
    guint64 left, right;

    if (begin > to || end < from)
        return 0;
    if (begin >= from && end <= to)
        return p->top[node];
    left = find_top(p, 2 * node, begin, middle, from, to);
    right = find_top(p, 2 * node + 1, middle + 1, end, from, to);
    return MAX(p->over[node], MAX(left, right));
}

static void raise_top(Placer *p, guint node, guint begin, guint end, guint from, guint to, guint64 height)
{
    guint middle = begin + (end - begin) / 2;

    if (begin > to || end < from)
        return;
    p->top[node] = MAX(p->top[node], height);
    if (begin >= from && end <= to) {
        p->over[node] = MAX(p->over[node], height);
        return;
    }
    raise_top(p, 2 * node, begin, middle, from, to, height);
    raise_top(p, 2 * node + 1, middle + 1, end, from, to, height);
}

static void set_placed(Placer *p, guint block)
{
    for (guint node = 1, begin = 0, end = p->leaves - 1;;) {
        guint middle = begin + (end - begin) / 2;

        p->latest[node] = MAX(p->latest[node], (gint64)p->blocks[block].hi);
        if (begin == end)
            break;
        node = 2 * node + (block > middle);
        if (block > middle)
            begin = middle + 1;
        else
            end = middle;
    }
    raise_top(p, 1, 0, p->leaves - 1, block, p->blocks[block].hi, p->blocks[block].at + p->blocks[block].size);
}

/* The lowest gap that is large enough between those that are alive. */
static guint64 find_gap(Placer *p, guint block)
{
    guint64 at = 0, size = p->blocks[block].size;

    p->n_found = 0;
    find_alive(p, 1, 0, p->leaves - 1, block);
    p->comparisons += (guint64)p->n_found * (g_bit_storage(p->n_found) + 1);
    qsort(p->found, p->n_found, sizeof *p->found, by_offset);
    for (guint i = 0; i < p->n_found; i++) {
        const Block *other = p->found[i];

        if (other->at >= at && other->at - at >= size)
            break;
        at = MAX(at, other->at + other->size);
    }
    return at;
}

static void placer_init(Placer *p, Block *blocks, guint n)
{
    qsort(blocks, n, sizeof *blocks, by_first);
    for (guint i = 0; i < n; i++) {
        guint low = i, high = n - 1; /* the last block that begins before this one ends */

        while (low < high) {
            guint middle = high - (high - low) / 2;

            if (blocks[middle].first <= blocks[i].last)
                low = middle;
            else
                high = middle - 1;
        }
        blocks[i].hi = low;
    }
    *p = (Placer){.blocks = blocks, .n = n, .leaves = 1};
    while (p->leaves < n)
        p->leaves *= 2;
    p->latest = g_new(gint64, 2 * (gsize)p->leaves);
    p->top = g_new0(guint64, 2 * (gsize)p->leaves);
    p->over = g_new0(guint64, 2 * (gsize)p->leaves);
    p->found = g_new(const Block *, n);
    for (guint i = 0; i < 2 * p->leaves; i++)
        p->latest[i] = -1;
}

static void placer_clear(Placer *p)
{
    g_free(p->latest);
    g_free(p->top);
    g_free(p->over);
    g_free(p->found);
}

/* G_MAXUINT64 on overflow. */
static guint64 place_all(Block *blocks, guint n)
{
    g_autofree Block **order = g_new(Block *, n);
    guint64 total = 0;
    Placer p;

    placer_init(&p, blocks, n);
    for (guint i = 0; i < n; i++)
        order[i] = &blocks[i];
    qsort(order, n, sizeof *order, by_size);
    for (guint i = 0; i < n && total != G_MAXUINT64; i++) {
        guint block = (guint)(order[i] - blocks);

        order[i]->at = p.comparisons < MOST_COMPARISONS ? find_gap(&p, block)
                                                        : find_top(&p, 1, 0, p.leaves - 1, block, order[i]->hi);
        if (order[i]->at > G_MAXUINT64 / 2 - order[i]->size) {
            total = G_MAXUINT64;
        } else {
            total = MAX(total, order[i]->at + order[i]->size);
            set_placed(&p, block);
        }
    }
    placer_clear(&p);
    return total;
}

guint64 gpudl_place(guint n, const guint64 *sizes, const gint32 *first, const gint32 *last, guint64 alignment,
                    guint64 *offsets)
{
    g_autofree Block *blocks = g_new(Block, (gsize)n + 1);
    guint n_blocks = 0;
    guint64 total;

    for (guint i = 0; i < n; i++) {
        offsets[i] = 0;
        if (sizes[i] > G_MAXUINT64 / 4)
            return G_MAXUINT64;
        if (sizes[i] > 0)
            blocks[n_blocks++] =
                (Block){i, (sizes[i] + alignment - 1) / alignment * alignment, 0, first[i], MAX(first[i], last[i]), 0};
    }
    total = n_blocks > 0 ? place_all(blocks, n_blocks) : 0;
    for (guint i = 0; i < n_blocks; i++)
        offsets[blocks[i].index] = blocks[i].at;
    return total;
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

static void free_plan(gpointer data)
{
    GpudlPlan *plan = data;

    for (guint i = 0; i < plan->n_nodes; i++) {
        g_free((gpointer)plan->nodes[i].inputs);
        g_free((gpointer)plan->nodes[i].outputs);
    }
    g_free((gpointer)plan->nodes);
    g_free((gpointer)plan->tensors);
    g_free((gpointer)plan->inputs);
    g_free((gpointer)plan->outputs);
    g_free(plan);
}

GpudlPlanner *gpudl_planner_new(const GpudlGraph *graph, const gchar *content)
{
    GpudlPlanner *planner = g_new0(GpudlPlanner, 1);

    g_mutex_init(&planner->lock);
    planner->graph = gpudl_graph_copy(graph);
    planner->content = g_strdup(content);
    planner->plans = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, free_plan);
    planner->held = TRUE;
    /* those of a model are aligned: it saw to that */
    gpudl_constants_gather(planner->graph, gpudl_constant_is_unaligned, NULL, &planner->failure);
    return planner;
}

void gpudl_planner_free(GpudlPlanner *planner)
{
    if (!planner)
        return;
    g_hash_table_unref(planner->plans);
    gpudl_graph_free(planner->graph);
    g_free(planner->content);
    g_clear_error(&planner->failure);
    g_mutex_clear(&planner->lock);
    g_free(planner);
}

/* What a plan shows of a tensor's data now. */
static const void *data_of(const GpudlPlanner *planner, const GpudlTensor *tensor)
{
    if (!tensor->data || (!planner->held && gpudl_constant_is_large(tensor)))
        return NULL;
    return g_bytes_get_data(tensor->data, NULL);
}

void gpudl_planner_set_held(GpudlPlanner *planner, gboolean held)
{
    GHashTableIter iter;
    gpointer value;

    g_mutex_lock(&planner->lock);
    planner->held = held;
    g_hash_table_iter_init(&iter, planner->plans);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GpudlPlan *plan = value;

        for (guint i = 0; i < plan->n_tensors; i++) {
            const GpudlTensor *tensor = planner->graph->tensors->pdata[i];

            if (gpudl_constant_is_large(tensor))
                ((GpudlPlanTensor *)plan->tensors)[i].data = data_of(planner, tensor);
        }
    }
    g_mutex_unlock(&planner->lock);
}

static void fill_tensors(GpudlPlanner *planner, GpudlPlanTensor *tensors)
{
    const GpudlGraph *graph = planner->graph;

    for (guint i = 0; i < graph->tensors->len; i++) {
        const GpudlTensor *from = graph->tensors->pdata[i];
        GpudlPlanTensor *to = &tensors[i];

        to->name = from->name;
        to->kind = from->data ? GPUDL_PLAN_CONSTANT : from->producer ? GPUDL_PLAN_VALUE : GPUDL_PLAN_INPUT;
        to->dtype = from->dtype;
        to->shape = from->shape;
        to->data = data_of(planner, from);
        to->bytes = (guint64)gpudl_shape_elements(&from->shape) * gpudl_dtype_size(from->dtype);
        to->first_node = to->last_node = -1;
    }
}

static const gint32 *tensor_ids(GpudlTensor *const *tensors, guint n)
{
    gint32 *ids = g_new(gint32, MAX(n, 1));

    for (guint i = 0; i < n; i++)
        ids[i] = tensors[i] ? (gint32)tensors[i]->id : -1;
    return ids;
}

static void fill_nodes(const GpudlGraph *graph, GpudlPlanNode *nodes, GpudlPlanTensor *tensors)
{
    for (guint i = 0; i < graph->nodes->len; i++) {
        const GpudlNode *from = graph->nodes->pdata[i];
        GpudlPlanNode *to = &nodes[i];

        to->op = from->op;
        to->name = from->name;
        to->attrs = &from->attrs;
        to->n_inputs = from->n_inputs;
        to->n_outputs = from->n_outputs;
        to->inputs = tensor_ids(from->inputs, from->n_inputs);
        to->outputs = tensor_ids(from->outputs, from->n_outputs);
        for (guint j = 0; j < from->n_inputs; j++) {
            if (from->inputs[j]) {
                tensors[from->inputs[j]->id].last_node = (gint32)i;
                tensors[from->inputs[j]->id].n_uses++;
            }
        }
        for (guint j = 0; j < from->n_outputs; j++)
            tensors[from->outputs[j]->id].first_node = tensors[from->outputs[j]->id].last_node = (gint32)i;
    }
    for (guint i = 0; i < graph->outputs->len; i++) {
        const GpudlTensor *output = graph->outputs->pdata[i];

        tensors[output->id].last_node = (gint32)graph->nodes->len;
        tensors[output->id].n_uses++;
    }
}

static GpudlPlan *make_plan(GpudlPlanner *planner, gint64 batch)
{
    const GpudlGraph *graph = planner->graph;
    GpudlPlan *plan = g_new0(GpudlPlan, 1);
    GpudlPlanTensor *tensors = g_new0(GpudlPlanTensor, graph->tensors->len);
    GpudlPlanNode *nodes = g_new0(GpudlPlanNode, MAX(graph->nodes->len, 1));

    fill_tensors(planner, tensors);
    fill_nodes(graph, nodes, tensors);
    plan->batch = batch;
    plan->n_tensors = graph->tensors->len;
    plan->n_nodes = graph->nodes->len;
    plan->n_inputs = graph->inputs->len;
    plan->n_outputs = graph->outputs->len;
    plan->tensors = tensors;
    plan->nodes = nodes;
    plan->inputs = tensor_ids((GpudlTensor *const *)graph->inputs->pdata, graph->inputs->len);
    plan->outputs = tensor_ids((GpudlTensor *const *)graph->outputs->pdata, graph->outputs->len);
    plan->content = planner->content;
    return plan;
}

const GpudlPlan *gpudl_planner_get(GpudlPlanner *planner, gint64 batch, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&planner->lock);
    GpudlPlan *plan = g_hash_table_lookup(planner->plans, &batch);

    if (plan)
        return plan;
    if (batch < 1) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "a plan for batch %" G_GINT64_FORMAT " was asked for, expected 1 or more", batch);
        return NULL;
    }
    if (batch != 1 && !planner->graph->symbolic_batch) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "the model holds for batch 1 only, batch %" G_GINT64_FORMAT " was asked for: %s", batch,
                    planner->graph->batch_reason ? planner->graph->batch_reason : "never proven for more");
        return NULL;
    }
    if (planner->failure) {
        g_propagate_error(error, g_error_copy(planner->failure));
        return NULL;
    }
    if (!gpudl_graph_infer(planner->graph, batch, error))
        return NULL;
    plan = make_plan(planner, batch);
    g_hash_table_insert(planner->plans, g_memdup2(&batch, sizeof batch), plan);
    return plan;
}

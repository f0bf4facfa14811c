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

/* Up to here the time of placing, which grows with the square, is not felt. */
#define MOST_PLACED_BEST 8192u

typedef struct {
    guint index;
    guint64 size; /* rounded up */
    guint64 at;
    gint32 first, last;
} Block;

static int by_size(const void *a, const void *b)
{
    const Block *x = a, *y = b;

    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static int by_first(const void *a, const void *b)
{
    const Block *x = a, *y = b;

    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static int by_last(const void *a, const void *b)
{
    const Block *x = *(const Block *const *)a, *y = *(const Block *const *)b;

    if (x->last != y->last)
        return x->last < y->last ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* Largest first; each at the lowest offset where nothing placed and alive at the same time lies: within a few percent
 * of the optimum on networks, and deterministic. placed is kept in the order of offsets. */
static guint64 place_best(Block *blocks, guint n)
{
    g_autofree const Block **placed = g_new(const Block *, n + 1);
    guint64 total = 0;

    qsort(blocks, n, sizeof *blocks, by_size);
    for (guint i = 0; i < n; i++) {
        Block *block = &blocks[i];
        guint where;

        for (guint j = 0; j < i; j++) {
            const Block *other = placed[j];

            if (other->last < block->first || other->first > block->last)
                continue;
            if (other->at >= block->at && other->at - block->at >= block->size)
                break;
            block->at = MAX(block->at, other->at + other->size);
        }
        if (block->at > G_MAXUINT64 / 2 - block->size)
            return G_MAXUINT64;
        total = MAX(total, block->at + block->size);
        for (where = i; where > 0 && placed[where - 1]->at > block->at; where--)
            placed[where] = placed[where - 1];
        placed[where] = block;
    }
    return total;
}

/* In the order of time, each where one of the same size has died, else above all. Sizes are rounded up to steps of at
 * most an eighth, so that there are few different ones. */
static guint64 place_quickly(Block *blocks, guint n, guint64 alignment)
{
    g_autoptr(GHashTable) dead = g_hash_table_new(g_int64_hash, g_int64_equal); /* size -> its last dead Block */
    g_autofree Block **ends = g_new(Block *, n + 1);
    g_autofree Block **below = g_new0(Block *, n + 1); /* by index in blocks: the one that died before it */
    guint64 total = 0;
    guint n_dead = 0;

    qsort(blocks, n, sizeof *blocks, by_first);
    for (guint i = 0; i < n; i++) {
        guint64 step = alignment;

        while (step <= blocks[i].size / 16)
            step *= 2;
        blocks[i].size = (blocks[i].size + step - 1) / step * step;
        ends[i] = &blocks[i];
    }
    qsort(ends, n, sizeof *ends, by_last);
    for (guint i = 0; i < n; i++) {
        Block *block = &blocks[i], *reused;

        for (; n_dead < i && ends[n_dead]->last < block->first; n_dead++) {
            below[ends[n_dead] - blocks] = g_hash_table_lookup(dead, &ends[n_dead]->size);
            g_hash_table_replace(dead, &ends[n_dead]->size, ends[n_dead]);
        }
        reused = g_hash_table_lookup(dead, &block->size);
        if (reused) {
            Block *next = below[reused - blocks];

            if (next)
                g_hash_table_replace(dead, &next->size, next);
            else
                g_hash_table_remove(dead, &block->size);
            block->at = reused->at;
        } else if (total > G_MAXUINT64 / 2 - block->size) {
            return G_MAXUINT64;
        } else {
            block->at = total;
            total += block->size;
        }
    }
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
            blocks[n_blocks++] = (Block){i, (sizes[i] + alignment - 1) / alignment * alignment, 0, first[i], last[i]};
    }
    total = n_blocks <= MOST_PLACED_BEST ? place_best(blocks, n_blocks) : place_quickly(blocks, n_blocks, alignment);
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

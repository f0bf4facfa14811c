/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chains that only bring channels into another order, as ShuffleNet has them: what two branches made is put together,
 * dealt out, and parted again. A tensor of such a chain is a list of channels of others. Nothing is made of it until a
 * node outside reads it, and then in one pass.
 */
#include <stdlib.h>
#include <string.h>

#include "lower.h"

typedef struct {
    int32_t tensor, channel;
} Channel;

struct CudaShuffles {
    Channel **channels; /* per tensor: where each of its channels comes from; NULL: it is made as others are */
    uint8_t *is_read;   /* per tensor: by a node outside, or as the network's output */
    uint8_t *is_inside; /* per node */
    int32_t *producer, *consumer; /* per tensor: nodes; the last one */
};

void cuda_shuffles_free(CudaShuffles *shuffles, uint32_t n_tensors)
{
    if (shuffles == NULL)
        return;
    for (uint32_t i = 0; i < n_tensors && shuffles->channels != NULL; i++)
        free(shuffles->channels[i]);
    free(shuffles->channels);
    free(shuffles->is_read);
    free(shuffles->is_inside);
    free(shuffles->producer);
    free(shuffles);
}

static CudaShuffles *shuffles_new(const GpudlPlan *plan)
{
    CudaShuffles *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    s->channels = calloc(plan->n_tensors + 1u, sizeof *s->channels);
    s->is_read = calloc(plan->n_tensors + 1u, 1);
    s->is_inside = calloc(plan->n_nodes + 1u, 1);
    s->producer = malloc((2 * (size_t)plan->n_tensors + 1) * sizeof *s->producer);
    if (s->channels == NULL || s->is_read == NULL || s->is_inside == NULL || s->producer == NULL) {
        cuda_shuffles_free(s, plan->n_tensors);
        return NULL;
    }
    s->consumer = s->producer + plan->n_tensors;
    for (uint32_t i = 0; i < plan->n_tensors; i++)
        s->producer[i] = s->consumer[i] = -1;
    for (int32_t n = 0; n < (int32_t)plan->n_nodes; n++) {
        for (uint32_t i = 0; i < plan->nodes[n].n_inputs; i++)
            if (plan->nodes[n].inputs[i] >= 0)
                s->consumer[plan->nodes[n].inputs[i]] = n;
        for (uint32_t i = 0; i < plan->nodes[n].n_outputs; i++)
            s->producer[plan->nodes[n].outputs[i]] = n;
    }
    return s;
}

/* ---- which nodes ------------------------------------------------------------------------------------------------- */

static int is_picture(const CudaCompiler *c, int32_t tensor)
{
    const GpudlPlanTensor *t = cuda_tensor(c, tensor);

    return t->kind != GPUDL_PLAN_CONSTANT && cuda_is_float(t->dtype) && t->shape.rank == 4 &&
           gpudl_shape_elements(&t->shape) > 0;
}

int32_t cuda_only_reader(const CudaCompiler *c, int32_t tensor, GpudlOp op)
{
    const int32_t n = c->shuffles->consumer[tensor];

    return cuda_tensor(c, tensor)->n_uses == 1 && n >= 0 && c->plan->nodes[n].op == (int32_t)op ? n : -1;
}

/* Whether node n is the RESHAPE that a shuffle begins with: [n][c][h][w] as [n][groups][size][h][w], of which groups
 * and size change places. *last: the RESHAPE that ends it. */
static int begins_shuffle(const CudaCompiler *c, int32_t n, int32_t *transposes, int32_t *last)
{
    const GpudlPlanNode *node = &c->plan->nodes[n];
    const GpudlShape *x, *parts;
    const int32_t *perm;

    if (node->op != GPUDL_OP_RESHAPE || !is_picture(c, node->inputs[0]))
        return 0;
    x = &cuda_tensor(c, node->inputs[0])->shape;
    parts = &cuda_tensor(c, node->outputs[0])->shape;
    if (parts->rank != 5 || parts->dims[0] != x->dims[0] || parts->dims[1] * parts->dims[2] != x->dims[1] ||
        parts->dims[3] != x->dims[2] || parts->dims[4] != x->dims[3] || x->dims[1] >= 1 << 24)
        return 0;
    *transposes = cuda_only_reader(c, node->outputs[0], GPUDL_OP_TRANSPOSE);
    if (*transposes < 0)
        return 0;
    perm = ((const GpudlAttrs *)c->plan->nodes[*transposes].attrs)->transpose.perm;
    *last = cuda_only_reader(c, c->plan->nodes[*transposes].outputs[0], GPUDL_OP_RESHAPE);
    return *last >= 0 && perm[0] == 0 && perm[1] == 2 && perm[2] == 1 && perm[3] == 3 && perm[4] == 4 &&
           gpudl_shape_equal(&cuda_tensor(c, c->plan->nodes[*last].outputs[0])->shape, x);
}

/* Whether a tensor is put together from few pictures' channels, and only for the one node that reads it. */
static int is_joined(const CudaCompiler *c, int32_t tensor)
{
    const GpudlPlanNode *node;

    if (c->shuffles->producer[tensor] < 0 || cuda_tensor(c, tensor)->n_uses != 1)
        return 0;
    node = &c->plan->nodes[c->shuffles->producer[tensor]];
    if (node->op != GPUDL_OP_CONCAT || ((const GpudlAttrs *)node->attrs)->axis.axis != 1 ||
        node->n_inputs > GPUDL_SHUFFLE_SOURCES)
        return 0;
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (!is_picture(c, node->inputs[i]))
            return 0;
    return 1;
}

static void find_shuffles(CudaCompiler *c)
{
    CudaShuffles *s = c->shuffles;

    for (int32_t n = 0; n < (int32_t)c->plan->n_nodes; n++) {
        int32_t transposes, last;

        if (!begins_shuffle(c, n, &transposes, &last))
            continue;
        s->is_inside[n] = s->is_inside[transposes] = s->is_inside[last] = 1;
        if (is_joined(c, c->plan->nodes[n].inputs[0]))
            s->is_inside[s->producer[c->plan->nodes[n].inputs[0]]] = 1;
    }
}

/* ---- which channels ---------------------------------------------------------------------------------------------- */

static Channel *new_channels(CudaCompiler *c, int64_t n)
{
    Channel *channels = malloc((size_t)n * sizeof *channels);

    if (channels == NULL)
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    return channels;
}

/* Tensors that n channels come from, each once; more than room: room + 1. */
static int32_t list_sources(const Channel *channels, int64_t n, int32_t *tensors, int32_t room)
{
    int32_t found = 0;

    for (int64_t k = 0; k < n; k++) {
        int32_t i = 0;

        while (i < found && tensors[i] != channels[k].tensor)
            i++;
        if (i < found)
            continue;
        if (found == room)
            return room + 1;
        tensors[found++] = channels[k].tensor;
    }
    return found;
}

/* A tensor's channels behind one another: those of others where it is made of them, if follow, else its own. */
static Channel *append(const CudaCompiler *c, Channel *to, int32_t tensor, int follow)
{
    const Channel *from = follow ? c->shuffles->channels[tensor] : NULL;
    const int64_t n = cuda_tensor(c, tensor)->shape.dims[1];

    for (int32_t k = 0; k < (int32_t)n; k++)
        *to++ = from != NULL ? from[k] : (Channel){tensor, k};
    return to;
}

/* Channels of what a shuffle's first node reads. */
static void gather(const CudaCompiler *c, int32_t tensor, Channel *to, int follow)
{
    const int32_t n = c->shuffles->producer[tensor];

    if (n >= 0 && c->shuffles->is_inside[n] && c->plan->nodes[n].op == GPUDL_OP_CONCAT) {
        for (uint32_t i = 0; i < c->plan->nodes[n].n_inputs; i++)
            to = append(c, to, c->plan->nodes[n].inputs[i], follow);
        return;
    }
    append(c, to, tensor, follow);
}

/* The shuffle that node n begins. Where its channels come from too many tensors, those that are lists are made. */
static void deal_out(CudaCompiler *c, int32_t n)
{
    const GpudlPlanNode *node = &c->plan->nodes[n];
    const GpudlShape *parts = &cuda_tensor(c, node->outputs[0])->shape;
    const int64_t groups = parts->dims[1], size = parts->dims[2];
    int32_t transposes, last, sources[GPUDL_SHUFFLE_SOURCES];
    Channel *from = new_channels(c, groups * size), *to = new_channels(c, groups * size);

    if (from == NULL || to == NULL || !begins_shuffle(c, n, &transposes, &last)) {
        free(from);
        free(to);
        return;
    }
    gather(c, node->inputs[0], from, 1);
    if (list_sources(from, groups * size, sources, GPUDL_SHUFFLE_SOURCES) > GPUDL_SHUFFLE_SOURCES) {
        gather(c, node->inputs[0], from, 0);
        for (int64_t k = 0; k < groups * size; k++)
            c->shuffles->is_read[from[k].tensor] = 1;
    }
    for (int64_t i = 0; i < size; i++)
        for (int64_t j = 0; j < groups; j++)
            to[i * groups + j] = from[j * size + i];
    free(from);
    c->shuffles->channels[c->plan->nodes[last].outputs[0]] = to;
}

/* First channel and step of a SLICE of channels alone; FALSE if it is another. */
static int chooses_channels(const CudaCompiler *c, const GpudlPlanNode *node, int64_t *start, int64_t *step)
{
    const GpudlSliceAttrs *attrs = &((const GpudlAttrs *)node->attrs)->slice;
    const GpudlShape *x = &cuda_tensor(c, node->inputs[0])->shape, *y = &cuda_tensor(c, node->outputs[0])->shape;

    for (int i = 0; i < x->rank; i++)
        if (i != 1 && (x->dims[i] != y->dims[i] || (attrs->step[i] != 1 && x->dims[i] > 1)))
            return 0;
    *step = attrs->step[1];
    *start = attrs->start[1] < 0 ? attrs->start[1] + x->dims[1] : attrs->start[1];
    return *step > 0 && *start >= 0 && y->dims[1] > 0 && *start + (y->dims[1] - 1) * *step < x->dims[1];
}

/* What SPLIT or SLICE make of a list is a list. FALSE if node n is neither of such. */
static int choose(CudaCompiler *c, int32_t n)
{
    const GpudlPlanNode *node = &c->plan->nodes[n];
    const Channel *from = node->n_inputs > 0 && node->inputs[0] >= 0 ? c->shuffles->channels[node->inputs[0]] : NULL;
    int64_t start = 0, step = 1;

    if (from == NULL)
        return 0;
    if (node->op == GPUDL_OP_SPLIT ? ((const GpudlAttrs *)node->attrs)->axis.axis != 1
                                   : node->op != GPUDL_OP_SLICE || !chooses_channels(c, node, &start, &step))
        return 0;
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (!is_picture(c, node->outputs[i]))
            return 0;
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        const int64_t extent = cuda_tensor(c, node->outputs[i])->shape.dims[1];
        Channel *to = new_channels(c, extent);

        for (int64_t k = 0; k < extent && to != NULL; k++)
            to[k] = from[start + k * step];
        c->shuffles->channels[node->outputs[i]] = to;
        start += extent;
    }
    return 1;
}

static void read_by_others(CudaShuffles *s, const int32_t *tensors, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (tensors[i] >= 0)
            s->is_read[tensors[i]] = 1;
}

void cuda_plan_shuffles(CudaCompiler *c)
{
    c->shuffles = shuffles_new(c->plan);
    if (c->shuffles == NULL) {
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        return;
    }
    find_shuffles(c);
    for (int32_t n = 0; n < (int32_t)c->plan->n_nodes && c->status == GPUDL_STATUS_OK; n++) {
        const GpudlPlanNode *node = &c->plan->nodes[n];

        if (c->shuffles->is_inside[n]) {
            if (node->op == GPUDL_OP_RESHAPE && cuda_tensor(c, node->outputs[0])->shape.rank == 5)
                deal_out(c, n);
        } else if (choose(c, n)) {
            c->shuffles->is_inside[n] = 1;
        } else {
            read_by_others(c->shuffles, node->inputs, node->n_inputs);
        }
    }
    read_by_others(c->shuffles, c->plan->outputs, c->plan->n_outputs);
}

int cuda_is_shuffle(const CudaCompiler *c, int32_t node)
{
    return c->shuffles->is_inside[node];
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

static int launch_shuffle(const CudaStep *s, const CudaRun *run)
{
    const CudaValue *values = run->program->values;
    GpudlShuffleSource sources[GPUDL_SHUFFLE_SOURCES];
    GpudlNhwc xs, ys;

    for (int32_t i = 0; i < s->n_more; i++) {
        cuda_value_nhwc(&values[s->more[i]], &xs);
        sources[i] = (GpudlShuffleSource){cuda_value_data(run, s->more[i]), xs.pitch};
    }
    cuda_value_nhwc(&values[s->y], &ys);
    return gpudl_shuffle_cuda(values[s->y].dtype, sources, s->n_more, cuda_value_data(run, s->w),
                              (int64_t)ys.n * ys.h * ys.w, (int32_t)values[s->w].shape.dims[0], ys.pitch,
                              cuda_value_data(run, s->y), run->stream);
}

/* The table of a tensor's channels, zeros behind them up to a whole vector. */
static int32_t make_table(CudaCompiler *c, int32_t tensor, int32_t part, const int32_t *sources)
{
    const Channel *channels = c->shuffles->channels[tensor];
    const int64_t n = cuda_tensor(c, tensor)->shape.dims[1],
                  made = (n + CUDA_CHANNELS - 1) / CUDA_CHANNELS * CUDA_CHANNELS;
    uint32_t *table = malloc((size_t)made * sizeof *table);
    int32_t value;

    if (table == NULL) {
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        return -1;
    }
    for (int64_t k = 0; k < made; k++) {
        uint32_t i = 0;

        while (k < n && sources[i] != channels[k].tensor)
            i++;
        table[k] = k < n ? GPUDL_SHUFFLE_FROM(i, channels[k].channel) : GPUDL_SHUFFLE_ZERO;
    }
    value = cuda_add_table(c, part, made, table);
    free(table);
    return value;
}

static void make(CudaCompiler *c, int32_t tensor, int32_t part)
{
    const int64_t channels = cuda_tensor(c, tensor)->shape.dims[1];
    int32_t sources[GPUDL_SHUFFLE_SOURCES], values[GPUDL_SHUFFLE_SOURCES];
    const int32_t n = list_sources(c->shuffles->channels[tensor], channels, sources, GPUDL_SHUFFLE_SOURCES);
    const int32_t table = make_table(c, tensor, part, sources);
    GpudlNhwc xs, ys;
    int32_t y;
    CudaStep *s;

    for (int32_t i = 0; i < n; i++)
        values[i] = cuda_use_nhwc(c, sources[i], 0, &xs);
    y = cuda_begin_picture(c, tensor, &ys);
    s = y >= 0 && table >= 0 ? cuda_step(c, launch_shuffle, "shuffling kernel") : NULL;
    if (s == NULL)
        return;
    s->w = table;
    s->y = y;
    s->n_more = n;
    memcpy(s->more, values, (size_t)n * sizeof *values);
    cuda_value(c, y)->finite = cuda_value(c, table)->shape.dims[0] > channels;
    cuda_touch(c, s);
    cuda_end_picture(c, tensor, y);
}

void cuda_lower_shuffle(CudaCompiler *c, const GpudlPlanNode *node)
{
    for (uint32_t i = 0; i < node->n_outputs && c->status == GPUDL_STATUS_OK; i++)
        if (c->shuffles->channels[node->outputs[i]] != NULL && c->shuffles->is_read[node->outputs[i]])
            make(c, node->outputs[i], (int32_t)i);
}

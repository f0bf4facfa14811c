/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "times.h"

#define SAMPLE_NS 1000000 /* about as long as an implementation is run, */
#define SAMPLE_FULL_NS 5000000
#define MOST_NS 400000000 /* and all of a network's, unless in full */

/* An inverted residual, whose steps, one less where nothing expands, may be one. */
typedef struct {
    int32_t node, problem, n;
    int32_t steps[3]; /* in their order */
    int taken;
} Block;

/* Steps are the convolutions and squeeze-and-excites that may be chosen for, links what goes from one to another. */
typedef struct {
    CpuCompiler *c;
    uint32_t n_problems, problem_room, n_steps, n_links, link_room;
    CpuProblem *problems;
    int32_t *step_nodes, *step_problems; /* per step */
    int32_t *tensor_steps;               /* per tensor: the step that settles its layout, -1: none does */
    int32_t *link_problems;              /* per link */
    CpuLink *links;
    uint32_t n_blocks;
    Block *blocks;
    uint32_t n_products; /* fully connected layers, which have no layouts to choose */
    int32_t *product_nodes, *product_problems;
} Tuning;

/* ---- what there is to choose ------------------------------------------------------------------------------------- */

static void *grown(void *array, uint32_t n, uint32_t *room, size_t size)
{
    void *larger = array;

    if (n == *room) {
        const uint32_t wanted = *room != 0 ? *room * 2 : 32;

        larger = realloc(array, wanted * size);
        if (larger != NULL)
            *room = wanted;
    }
    return larger;
}

/* The problem of that text, found or added; -1 if there is no memory. */
static int32_t add_problem(Tuning *t, const char text[CPU_PROBLEM_TEXT], CpuProblemKind kind, int32_t owner)
{
    CpuProblem *problems;

    for (uint32_t i = 0; i < t->n_problems; i++)
        if (strcmp(t->problems[i].text, text) == 0)
            return (int32_t)i;
    problems = grown(t->problems, t->n_problems, &t->problem_room, sizeof *problems);
    if (problems == NULL) {
        cpu_fail(t->c, GPUDL_STATUS_NO_MEMORY, "no memory for choosing implementations");
        return -1;
    }
    t->problems = problems;
    problems[t->n_problems] = (CpuProblem){.kind = kind, .owner = owner};
    memcpy(problems[t->n_problems].text, text, CPU_PROBLEM_TEXT);
    return (int32_t)t->n_problems++;
}

/* A convolution that has more than its first form: FALSE if it has none but that. */
static int describe_step(const CpuCompiler *c, const GpudlPlanNode *node, CpuConv *conv)
{
    if (node->op != GPUDL_OP_CONV || node->n_outputs != 1 || !cpu_is_f32(c, node->inputs[0]) ||
        !cpu_is_f32(c, node->outputs[0]) || !cpu_is_constant(c, node->inputs[1]) ||
        cpu_tensor(c, node->inputs[0])->shape.rank != 4)
        return 0;
    return cpu_conv_of(c, node, c->type, conv);
}

static dnnl_data_type_t tensor_type(const Tuning *t, int32_t tensor)
{
    return cpu_result_type(t->c, tensor, t->c->type);
}

/* The tensor is read in the layout of step to. */
static void add_link(Tuning *t, int32_t tensor, int32_t to)
{
    const GpudlShape *shape = &cpu_tensor(t->c, tensor)->shape;
    const int32_t from = t->tensor_steps[tensor];
    char text[CPU_PROBLEM_TEXT] = "";
    CpuLink *links;
    int32_t *problems;
    uint32_t room = t->link_room;

    /* a single pixel is the same in both, but for what blocks are filled up with */
    if (from < 0 || from == to || shape->rank != 4 || shape->dims[2] * shape->dims[3] == 1)
        return;
    links = grown(t->links, t->n_links, &room, sizeof *links);
    t->links = links != NULL ? links : t->links;
    problems = grown(t->link_problems, t->n_links, &t->link_room, sizeof *problems);
    t->link_problems = problems != NULL ? problems : t->link_problems;
    if (links == NULL || problems == NULL) {
        t->link_room = t->n_links;
        cpu_fail(t->c, GPUDL_STATUS_NO_MEMORY, "no memory for choosing implementations");
        return;
    }
    cpu_reorder_text(tensor_type(t, tensor), shape, text);
    links[t->n_links] = (CpuLink){from, to, {0, 0}};
    problems[t->n_links] = add_problem(t, text, CPU_PROBLEM_REORDER, tensor);
    if (problems[t->n_links] >= 0)
        t->n_links++;
}

/* Operators that take their first input as it lies and write their output so. */
static int follows(int32_t op)
{
    switch (op) {
    case GPUDL_OP_MAX_POOL:
    case GPUDL_OP_AVERAGE_POOL:
    case GPUDL_OP_GLOBAL_MAX_POOL:
    case GPUDL_OP_GLOBAL_AVERAGE_POOL:
    case GPUDL_OP_LRN:
    case GPUDL_OP_BATCH_NORM:
    case GPUDL_OP_ACTIVATION:
    case GPUDL_OP_ELU:
    case GPUDL_OP_ABS:
    case GPUDL_OP_NEG:
    case GPUDL_OP_ADD:
    case GPUDL_OP_SUB:
    case GPUDL_OP_MUL:
    case GPUDL_OP_DIV:
    case GPUDL_OP_IDENTITY:
    case GPUDL_OP_CONCAT:
    case GPUDL_OP_SPLIT:
    case GPUDL_OP_SLICE:
        return 1;
    default:
        return 0;
    }
}

/* Of a node that is no step: its outputs are laid out as what it reads first, to which other operands are brought. */
static void follow(Tuning *t, const GpudlPlanNode *node)
{
    const GpudlShape *y = &cpu_tensor(t->c, node->outputs[0])->shape;
    int32_t step = -1, shuffled;
    int64_t size;

    shuffled = cpu_find_shuffle(t->c, node, &size);
    if (shuffled >= 0)
        t->tensor_steps[t->c->plan->nodes[shuffled].outputs[0]] = t->tensor_steps[node->inputs[0]];
    if (!follows(node->op) || t->tensor_steps[node->outputs[0]] >= 0) /* it is part of a step */
        return;
    for (uint32_t i = 0; i < node->n_inputs && step < 0; i++)
        if (node->inputs[i] >= 0 &&
            (node->op == GPUDL_OP_CONCAT || i == 0 || gpudl_shape_equal(&cpu_tensor(t->c, node->inputs[i])->shape, y)))
            step = t->tensor_steps[node->inputs[i]];
    for (uint32_t i = 0; i < node->n_inputs && step >= 0; i++)
        if (node->inputs[i] >= 0)
            add_link(t, node->inputs[i], step);
    for (uint32_t i = 0; i < node->n_outputs; i++)
        t->tensor_steps[node->outputs[i]] = step;
}

/* What reads x and writes y, both of which lie as it is chosen to. */
static int32_t add_step(Tuning *t, CpuProblemKind kind, int32_t index, const char text[CPU_PROBLEM_TEXT], int32_t x,
                        int32_t y)
{
    const int32_t step = (int32_t)t->n_steps;

    t->step_nodes[step] = index;
    t->step_problems[step] = add_problem(t, text, kind, index);
    t->n_steps++;
    t->tensor_steps[y] = step;
    add_link(t, x, step);
    return step;
}

static void add_conv(Tuning *t, int32_t index, const CpuConv *conv)
{
    const GpudlPlanNode *node = &t->c->plan->nodes[index];
    char text[CPU_PROBLEM_TEXT] = "";
    int32_t step;

    cpu_conv_text(conv, text);
    step = add_step(t, CPU_PROBLEM_CONV, index, text, node->inputs[0], node->outputs[0]);
    if (conv->post.sum)
        add_link(t, node->inputs[3], step);
}

static void add_squeeze(Tuning *t, int32_t index, const CpuSqueezeFound *found)
{
    char text[CPU_PROBLEM_TEXT] = "";

    cpu_squeeze_text(&found->s, text);
    add_step(t, CPU_PROBLEM_SQUEEZE, index, text, found->nodes.x, found->nodes.y);
}

/* A fully connected layer that more than oneDNN can compute. */
static void add_product(Tuning *t, int32_t index)
{
    char text[CPU_PROBLEM_TEXT] = "";
    CpuProduct product;
    CpuMatvec own;

    if (!cpu_product_of(t->c, &t->c->plan->nodes[index], t->c->type, &product) || !cpu_product_own(&product, &own))
        return;
    cpu_product_text(&product, text);
    t->product_nodes[t->n_products] = index;
    t->product_problems[t->n_products++] = add_problem(t, text, CPU_PROBLEM_PRODUCT, index);
}

/* Blocks that begin with a product come first, so a depthwise convolution is not taken twice. */
static void add_blocks(Tuning *t)
{
    const GpudlPlan *plan = t->c->plan;
    uint8_t *taken = calloc(plan->n_nodes + 1, 1);

    t->blocks = calloc(plan->n_nodes + 1, sizeof *t->blocks);
    if (taken == NULL || t->blocks == NULL)
        cpu_fail(t->c, GPUDL_STATUS_NO_MEMORY, "no memory for choosing implementations");
    for (uint32_t i = 0; i < plan->n_nodes && t->c->status == GPUDL_STATUS_OK; i++) {
        char text[CPU_PROBLEM_TEXT] = "";
        CpuInvertedFound found;
        Block *block = &t->blocks[t->n_blocks];

        if (taken[i] || !cpu_inverted_find(t->c, (int32_t)i, &found))
            continue;
        *block = (Block){.node = (int32_t)i};
        for (int k = 0; k < 3; k++)
            if (found.own.nodes[k] >= 0) {
                block->steps[block->n++] = t->tensor_steps[plan->nodes[found.own.nodes[k]].outputs[0]];
                taken[found.own.nodes[k]] = 1;
            }
        cpu_inverted_text(&found.own.d, text);
        block->problem = add_problem(t, text, CPU_PROBLEM_INVERTED, (int32_t)i);
        t->n_blocks++;
    }
    free(taken);
}

static void clear(Tuning *t)
{
    free(t->blocks);
    free(t->problems);
    free(t->step_nodes);
    free(t->step_problems);
    free(t->product_nodes);
    free(t->product_problems);
    free(t->tensor_steps);
    free(t->link_problems);
    free(t->links);
}

static int collect(Tuning *t, CpuCompiler *c)
{
    const GpudlPlan *plan = c->plan;

    *t = (Tuning){.c = c,
                  .step_nodes = calloc(plan->n_nodes + 1, sizeof *t->step_nodes),
                  .step_problems = calloc(plan->n_nodes + 1, sizeof *t->step_problems),
                  .product_nodes = calloc(plan->n_nodes + 1, sizeof *t->product_nodes),
                  .product_problems = calloc(plan->n_nodes + 1, sizeof *t->product_problems),
                  .tensor_steps = calloc(plan->n_tensors + 1, sizeof *t->tensor_steps)};
    if (t->step_nodes == NULL || t->step_problems == NULL || t->product_nodes == NULL || t->product_problems == NULL ||
        t->tensor_steps == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for choosing implementations");
        return 0;
    }
    for (uint32_t i = 0; i < plan->n_tensors; i++)
        t->tensor_steps[i] = -1;
    for (uint32_t i = 0; i < plan->n_nodes && c->status == GPUDL_STATUS_OK; i++) {
        CpuSqueezeFound found;
        CpuConv conv;

        add_product(t, (int32_t)i);
        if (c->winograd) /* layouts are those of the transforms */
            continue;
        if (describe_step(c, &plan->nodes[i], &conv))
            add_conv(t, (int32_t)i, &conv);
        else
            follow(t, &plan->nodes[i]);
        if (cpu_squeeze_find(c, (int32_t)i, &found))
            add_squeeze(t, (int32_t)i, &found);
    }
    if (!c->winograd)
        add_blocks(t);
    return c->status == GPUDL_STATUS_OK;
}

/* Until all are known, or it has taken as long as it may. */
static void measure_all(Tuning *t)
{
    CpuShared *shared = t->c->shared;
    const GpudlHost *host = shared->host;
    const int full = shared->autotune == GPUDL_AUTOTUNE_FULL;
    CpuTrial trial = {
        .shared = shared, .clock = {cpu_thread_clock, NULL}, .sample_ns = full ? SAMPLE_FULL_NS : SAMPLE_NS};
    const uint64_t begin = trial.clock.now(trial.clock.data);
    uint32_t left = 0;

    for (uint32_t i = 0; i < t->n_problems && t->c->status == GPUDL_STATUS_OK; i++) {
        CpuProblem *problem = &t->problems[i];

        if (problem->known)
            continue;
        if (!full && trial.clock.now(trial.clock.data) - begin > MOST_NS) {
            left++;
            continue;
        }
        host->progress(host->host, (double)i / t->n_problems, "choosing implementations");
        cpu_times_measure(t->c, &trial, problem);
        if (host->cancelled(host->host))
            cpu_fail(t->c, GPUDL_STATUS_FAILED, "cancelled");
    }
    cpu_trial_clear(&trial);
    if (left > 0) {
        char message[128];

        snprintf(message, sizeof message, "%u of %u times are left to be measured by the next start", left,
                 t->n_problems);
        host->log(host->host, GPUDL_LOG_INFO, message);
    }
}

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

/* The best form that has a layout: 0 blocks, 1 channels last. */
static CpuForm best_form(const CpuProblem *problem, int layout)
{
    if (layout == 0)
        return CPU_FORM_BLOCKS;
    return problem->ns[CPU_FORM_OWN] != 0 &&
                   (problem->ns[CPU_FORM_LAST] == 0 || problem->ns[CPU_FORM_OWN] <= problem->ns[CPU_FORM_LAST])
               ? CPU_FORM_OWN
               : CPU_FORM_LAST;
}

#define NO_FORM ((uint64_t)1 << 39) /* ns; of a layout that a step can't have */
#define NEXT_TO 25                  /* one part in so many of a time does not decide */

/* What a step takes in its best form of either layout, 0: it is not known. */
static uint64_t best_ns(const Tuning *t, int32_t step)
{
    const CpuProblem *problem = &t->problems[t->step_problems[step]];
    uint64_t best = 0;

    for (CpuForm form = CPU_FORM_BLOCKS; form <= CPU_FORM_OWN && problem->ns[CPU_FORM_FIRST] == 0; form++)
        if (problem->ns[form] != 0 && (best == 0 || problem->ns[form] < best))
            best = problem->ns[form];
    return best;
}

/*
 * Blocks that take next to no longer as one step than their steps, whatever those' layouts: alone, these read what
 * lies between them from caches that other steps, and other workers, have too, and in bfloat16 they round it. In
 * channels last all of the time is the first one's, and none of them leaves that layout without the others.
 */
static void take_blocks(Tuning *t, uint64_t (*costs)[2])
{
    for (uint32_t i = 0; i < t->n_blocks; i++) {
        Block *block = &t->blocks[i];
        const uint64_t measured = t->problems[block->problem].ns[CPU_FORM_STRIPS], ns = measured - measured / NEXT_TO;
        uint64_t apart = 0;

        block->taken = ns != 0;
        for (int k = 0; k < block->n; k++) {
            block->taken = block->taken && best_ns(t, block->steps[k]) != 0;
            apart += best_ns(t, block->steps[k]);
        }
        block->taken = block->taken && ns <= apart;
        for (int k = 0; k < block->n && block->taken; k++)
            costs[block->steps[k]][1] = k == 0 ? ns : 0;
        for (uint32_t l = 0; l < t->n_links && block->taken; l++)
            for (int k = 0; k + 1 < block->n; k++)
                if (t->links[l].from == block->steps[k] && t->links[l].to == block->steps[k + 1])
                    t->links[l].cost[0] = t->links[l].cost[1] = NO_FORM;
    }
}

static void choose(Tuning *t)
{
    CpuShared *shared = t->c->shared;
    uint64_t(*costs)[2] = calloc(t->n_steps + 1, sizeof *costs);
    uint8_t *layouts = calloc(t->n_steps + 1, 1), *forms = calloc(t->c->plan->n_nodes + 1, 1);
    int chosen = costs != NULL && layouts != NULL && forms != NULL;

    for (uint32_t i = 0; i < t->n_steps && chosen; i++) {
        const CpuProblem *problem = &t->problems[t->step_problems[i]];

        for (int layout = 0; layout < 2; layout++) {
            const uint64_t ns = problem->ns[best_form(problem, layout)];

            costs[i][layout] = ns != 0 ? ns : NO_FORM;
        }
        if (!problem->known || problem->ns[CPU_FORM_FIRST] != 0)
            costs[i][0] = costs[i][1] = 0;
    }
    for (uint32_t i = 0; i < t->n_links; i++) {
        const CpuProblem *problem = &t->problems[t->link_problems[i]];

        t->links[i].cost[0] = problem->ns[CPU_FORM_LAST];
        t->links[i].cost[1] = problem->ns[CPU_FORM_BLOCKS];
    }
    if (chosen)
        take_blocks(t, costs);
    chosen = chosen && cpu_choose_layouts(t->n_steps, (const uint64_t(*)[2])costs, t->n_links, t->links, layouts);
    for (uint32_t i = 0; i < t->n_steps && chosen; i++) {
        const CpuProblem *problem = &t->problems[t->step_problems[i]];
        const CpuForm form = best_form(problem, layouts[i]);

        forms[t->step_nodes[i]] = (uint8_t)(problem->ns[form] != 0 ? form : CPU_FORM_FIRST);
    }
    for (uint32_t i = 0; i < t->n_blocks && chosen; i++)
        if (t->blocks[i].taken && layouts[t->blocks[i].steps[0]] == 1)
            forms[t->blocks[i].node] = CPU_FORM_STRIPS;
    for (uint32_t i = 0; i < t->n_products && chosen; i++) {
        const uint64_t *ns = t->problems[t->product_problems[i]].ns;

        if (ns[CPU_FORM_OWN] != 0 && (ns[CPU_FORM_BLOCKS] == 0 || ns[CPU_FORM_OWN] <= ns[CPU_FORM_BLOCKS]))
            forms[t->product_nodes[i]] = CPU_FORM_OWN;
    }
    if (!chosen)
        cpu_fail(t->c, GPUDL_STATUS_NO_MEMORY, "no memory for choosing implementations");
    else
        shared->forms = forms;
    free(costs);
    free(layouts);
    if (!chosen)
        free(forms);
}

static void force(CpuCompiler *c)
{
    const CpuForm alone = c->shared->forced == CPU_FORM_STRIPS ? CPU_FORM_OWN : c->shared->forced;
    CpuInvertedFound found;
    CpuProduct product;

    c->shared->forms = calloc(c->plan->n_nodes + 1, 1);
    if (c->shared->forms == NULL)
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for choosing implementations");
    for (uint32_t i = 0; i < c->plan->n_nodes && c->status == GPUDL_STATUS_OK; i++) {
        if (c->winograd && !cpu_product_of(c, &c->plan->nodes[i], c->type, &product))
            continue;
        c->shared->forms[i] = (uint8_t)alone; /* what is no block's begin has a kernel of its own */
        if (alone != c->shared->forced && cpu_inverted_find(c, (int32_t)i, &found))
            c->shared->forms[i] = CPU_FORM_STRIPS;
    }
}

void cpu_tune(CpuCompiler *c)
{
    CpuShared *shared = c->shared;
    Tuning t;

    if (shared->forced != CPU_FORM_FIRST) {
        force(c);
        return;
    }
    if (shared->autotune == GPUDL_AUTOTUNE_OFF)
        return;
    if (collect(&t, c) && t.n_problems > 0) {
        for (uint32_t i = 0; i < t.n_problems; i++)
            cpu_times_recall(shared, &t.problems[i]);
        if (shared->autotune != GPUDL_AUTOTUNE_KNOWN)
            measure_all(&t);
        if (c->status == GPUDL_STATUS_OK)
            choose(&t);
    }
    clear(&t);
}

void cpu_tune_foresee(CpuCompiler *c, GpudlOpenForecast *forecast)
{
    const GpudlHost *host = c->shared->host;
    Tuning t;

    if (collect(&t, c)) {
        for (uint32_t i = 0; i < t.n_problems; i++) {
            cpu_times_recall(c->shared, &t.problems[i]);
            forecast->n_choices++;
            forecast->n_known += t.problems[i].known != 0;
            if (!t.problems[i].known)
                host->missing(host->host, t.problems[i].text);
        }
    }
    clear(&t);
}

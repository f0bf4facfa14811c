/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compile.h"

#include <stdio.h>
#include <stdlib.h>

#include "lower.h"
#include "tune.h"

static CpuLower *const lowering[GPUDL_OP_LAST + 1] = {
    [GPUDL_OP_CONV] = cpu_lower_conv,
    [GPUDL_OP_GEMM] = cpu_lower_gemm,
    [GPUDL_OP_MATMUL] = cpu_lower_matmul,
    [GPUDL_OP_MAX_POOL] = cpu_lower_pool,
    [GPUDL_OP_AVERAGE_POOL] = cpu_lower_pool,
    [GPUDL_OP_GLOBAL_MAX_POOL] = cpu_lower_global_pool,
    [GPUDL_OP_GLOBAL_AVERAGE_POOL] = cpu_lower_global_pool,
    [GPUDL_OP_LRN] = cpu_lower_lrn,
    [GPUDL_OP_BATCH_NORM] = cpu_lower_batch_norm,
    [GPUDL_OP_LAYER_NORM] = cpu_lower_layer_norm,
    [GPUDL_OP_GROUP_NORM] = cpu_lower_group_norm,
    [GPUDL_OP_ACTIVATION] = cpu_lower_activation,
    [GPUDL_OP_ELU] = cpu_lower_unary,
    [GPUDL_OP_ABS] = cpu_lower_unary,
    [GPUDL_OP_NEG] = cpu_lower_unary,
    [GPUDL_OP_EXP] = cpu_lower_unary,
    [GPUDL_OP_LOG] = cpu_lower_unary,
    [GPUDL_OP_SQRT] = cpu_lower_unary,
    [GPUDL_OP_ADD] = cpu_lower_binary,
    [GPUDL_OP_SUB] = cpu_lower_binary,
    [GPUDL_OP_MUL] = cpu_lower_binary,
    [GPUDL_OP_DIV] = cpu_lower_binary,
    [GPUDL_OP_SOFTMAX] = cpu_lower_softmax,
    [GPUDL_OP_LOG_SOFTMAX] = cpu_lower_softmax,
    [GPUDL_OP_REDUCE_MEAN] = cpu_lower_reduce,
    [GPUDL_OP_REDUCE_SUM] = cpu_lower_reduce,
    [GPUDL_OP_REDUCE_MAX] = cpu_lower_reduce,
    [GPUDL_OP_RESHAPE] = cpu_lower_reshape,
    [GPUDL_OP_IDENTITY] = cpu_lower_identity,
    [GPUDL_OP_TRANSPOSE] = cpu_lower_transpose,
    [GPUDL_OP_CONCAT] = cpu_lower_concat,
    [GPUDL_OP_SPLIT] = cpu_lower_split,
    [GPUDL_OP_SLICE] = cpu_lower_slice,
};

/* What operators do with bfloat16. Others, and what the reference computes, read float32. */
typedef enum {
    NARROW_NEVER = 0,
    NARROW_READS,  /* reads it */
    NARROW_CARRIES /* and reads float32 as well, which it then writes: nothing is rounded on its way */
} Narrow;

static const uint8_t narrow[GPUDL_OP_LAST + 1] = {
    [GPUDL_OP_CONV] = NARROW_READS,
    [GPUDL_OP_GEMM] = NARROW_READS,
    [GPUDL_OP_MATMUL] = NARROW_READS,
    [GPUDL_OP_MAX_POOL] = NARROW_CARRIES,
    [GPUDL_OP_AVERAGE_POOL] = NARROW_CARRIES,
    [GPUDL_OP_GLOBAL_MAX_POOL] = NARROW_CARRIES,
    [GPUDL_OP_GLOBAL_AVERAGE_POOL] = NARROW_CARRIES,
    [GPUDL_OP_REDUCE_MEAN] = NARROW_CARRIES,
    [GPUDL_OP_LRN] = NARROW_CARRIES,
    [GPUDL_OP_BATCH_NORM] = NARROW_CARRIES,
    [GPUDL_OP_ACTIVATION] = NARROW_CARRIES,
    [GPUDL_OP_ELU] = NARROW_CARRIES,
    [GPUDL_OP_ABS] = NARROW_CARRIES,
    [GPUDL_OP_NEG] = NARROW_CARRIES,
    [GPUDL_OP_ADD] = NARROW_CARRIES,
    [GPUDL_OP_SUB] = NARROW_CARRIES,
    [GPUDL_OP_MUL] = NARROW_CARRIES,
    [GPUDL_OP_DIV] = NARROW_CARRIES,
    [GPUDL_OP_RESHAPE] = NARROW_CARRIES,
    [GPUDL_OP_IDENTITY] = NARROW_CARRIES,
    [GPUDL_OP_TRANSPOSE] = NARROW_CARRIES,
    [GPUDL_OP_CONCAT] = NARROW_CARRIES,
    [GPUDL_OP_SPLIT] = NARROW_CARRIES,
    [GPUDL_OP_SLICE] = NARROW_CARRIES,
};

static int all_f32(const CpuCompiler *c, const GpudlPlanNode *node)
{
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] >= 0 && !cpu_is_f32(c, node->inputs[i]))
            return 0;
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (!cpu_is_f32(c, node->outputs[i]))
            return 0;
    return 1;
}

/* What an exact program leaves to the reference. */
static int drops_nan(const GpudlPlanNode *node)
{
    const GpudlAttrs *attrs = node->attrs;

    switch (node->op) {
    case GPUDL_OP_ELU:
    case GPUDL_OP_EXP:
    case GPUDL_OP_MAX_POOL:
    case GPUDL_OP_GLOBAL_MAX_POOL:
    case GPUDL_OP_REDUCE_MAX:
    case GPUDL_OP_SOFTMAX:
    case GPUDL_OP_LOG_SOFTMAX:
        return 1;
    case GPUDL_OP_ACTIVATION:
        return cpu_act_drops_nan(&attrs->unary.act);
    case GPUDL_OP_ADD:
    case GPUDL_OP_SUB:
    case GPUDL_OP_MUL:
    case GPUDL_OP_DIV:
        return cpu_act_drops_nan(&attrs->binary.act);
    default: /* those with one fused put it behind */
        return 0;
    }
}

static void lower_node(CpuCompiler *c, const GpudlPlanNode *node)
{
    int any_dtype = node->op == GPUDL_OP_RESHAPE || node->op == GPUDL_OP_IDENTITY;
    CpuLower *lower = node->op >= 0 && node->op <= GPUDL_OP_LAST ? lowering[node->op] : NULL;

    if (c->done[c->node])
        return;
    if (lower != NULL && !(c->exact && drops_nan(node)) && (any_dtype || all_f32(c, node)) && lower(c, node))
        return;
    if (cpu_call_supported(node))
        cpu_call(c);
    else
        cpu_fail(c, GPUDL_STATUS_UNSUPPORTED, "node '%s': the CPU backend does not know operator %d", node->name,
                 node->op);
}

/* The node has read its inputs: what is read by nobody else may be overwritten from the next node on. */
static void release_inputs(CpuCompiler *c, const GpudlPlanNode *node)
{
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        if (node->inputs[i] >= 0)
            cpu_hold(c, node->inputs[i], -1);
    }
}

/* Where the network's input is only ever read by the reorder to channels last that the stem wants, the reorder goes:
 * the input is written that way at once, and rounded where the stem multiplies bfloat16. */
static void interleave_input(CpuCompiler *c)
{
    CpuProgram *p = c->program;
    const GpudlPlanTensor *t = c->plan->n_inputs > 0 ? cpu_tensor(c, c->plan->inputs[0]) : NULL;
    int32_t planar = t != NULL ? p->input_values[0] : -1, other = planar >= 0 ? c->next_value[planar] : -1;
    CpuStep *reorder = NULL;
    DnnMd last, last_narrow;
    int wanted, narrows;

    if (other < 0 || !cpu_is_f32(c, c->plan->inputs[0]) || t->shape.rank != 4 || t->shape.dims[1] != 3)
        return;
    last = dnn_md_tag(4, t->shape.dims, dnnl_acdb);
    last_narrow = last != NULL ? dnn_md_as(last, dnnl_bf16) : NULL;
    narrows = last_narrow != NULL && dnn_md_equal(last_narrow, cpu_value_md(c, other));
    wanted = narrows || (last != NULL && dnn_md_equal(last, cpu_value_md(c, other)));
    dnn_md_free(last_narrow);
    for (uint32_t i = 0; i < p->n_steps && wanted; i++) {
        CpuStep *step = &p->steps[i];

        for (uint32_t k = 0; k < step->n_args && wanted; k++) {
            if (!cpu_same_memory(c, step->args[k].value, planar))
                continue;
            wanted =
                reorder == NULL && step->n_args == 2 && step->args[0].value == planar && step->args[1].value == other;
            reorder = step;
        }
        for (uint32_t k = 0; step->own != NULL && k < step->own->n; k++)
            wanted = wanted && !cpu_same_memory(c, step->own->uses[k].value, planar);
        for (uint32_t k = 0; step->call != NULL && k < step->call->n_inputs; k++)
            wanted = wanted && !cpu_same_memory(c, step->call->values[k], planar);
    }
    for (uint32_t i = 0; i < c->plan->n_outputs; i++)
        wanted = wanted && !cpu_same_memory(c, p->output_values[i], planar);
    dnn_md_free(last);
    if (!wanted || reorder == NULL)
        return;
    dnnl_primitive_destroy(reorder->primitive);
    reorder->primitive = NULL;
    reorder->n_args = 0;
    reorder->what = "nothing: the input is written so";
    p->input_values[0] = other;
    p->input_layout = narrows ? CPU_PREPROC_INTERLEAVED_BF16 : CPU_PREPROC_INTERLEAVED;
    p->blocks[p->values[other].block].first = 0;
    p->blocks[p->values[planar].block].bytes = 0;
}

/* A part lives as long as the whole, which is there when the first of them is. */
static void join_lifetimes(CpuProgram *p)
{
    for (uint32_t i = 0; i < p->n_blocks; i++)
        for (int32_t whole = p->blocks[i].within; whole >= 0; whole = p->blocks[whole].within) {
            if (p->blocks[whole].first > p->blocks[i].first)
                p->blocks[whole].first = p->blocks[i].first;
            if (p->blocks[whole].last < p->blocks[i].last)
                p->blocks[whole].last = p->blocks[i].last;
        }
}

static void place_blocks(CpuCompiler *c)
{
    CpuProgram *p = c->program;
    uint64_t *sizes = calloc(p->n_blocks + 1, sizeof *sizes), *offsets = calloc(p->n_blocks + 1, sizeof *offsets);
    int32_t *first = calloc(p->n_blocks + 1, sizeof *first), *last = calloc(p->n_blocks + 1, sizeof *last);

    join_lifetimes(p);
    if (sizes == NULL || offsets == NULL || first == NULL || last == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    } else {
        for (uint32_t i = 0; i < p->n_blocks; i++) {
            sizes[i] = p->blocks[i].constant != NULL || p->blocks[i].within >= 0 ? 0 : p->blocks[i].bytes;
            first[i] = p->blocks[i].first;
            last[i] = p->blocks[i].last;
        }
        p->work_bytes =
            c->shared->host->place(c->shared->host->host, p->n_blocks, sizes, first, last, CPU_ALIGNMENT, offsets);
        if (p->work_bytes > SIZE_MAX / 2)
            cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "the network's work memory is larger than memory can be");
        for (uint32_t i = 0; i < p->n_blocks; i++) {
            int32_t block = (int32_t)i;
            uint64_t at = 0;

            for (; p->blocks[block].within >= 0; block = p->blocks[block].within)
                at += p->blocks[block].at;
            p->blocks[i].offset = offsets[block] + at;
        }
    }
    free(sizes);
    free(offsets);
    free(first);
    free(last);
}

/* A product's result is float32, as its sums are, where nothing multiplies it any more before the network's outputs
 * (the logits), and where all who read it would turn it into float32. */
static void mark_wide(CpuCompiler *c)
{
    const GpudlPlan *plan = c->plan;

    for (uint32_t i = 0; i < plan->n_tensors; i++)
        c->wide[i] = plan->tensors[i].n_uses > 0;
    for (uint32_t i = plan->n_nodes; i-- > 0;) {
        const GpudlPlanNode *node = &plan->nodes[i];
        int how = node->op >= 0 && node->op <= GPUDL_OP_LAST ? narrow[node->op] : NARROW_NEVER, wide = 1;

        for (uint32_t k = 0; k < node->n_outputs; k++)
            wide = wide && c->wide[node->outputs[k]];
        if (how == NARROW_NEVER || (how == NARROW_CARRIES && wide))
            continue;
        for (uint32_t k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] >= 0)
                c->wide[node->inputs[k]] = 0;
    }
    for (uint32_t i = 0; i < plan->n_outputs; i++)
        c->wide[plan->outputs[i]] = 1;
}

static uint64_t count_weights(const CpuProgram *p)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < p->n_blocks; i++)
        if (p->blocks[i].constant != NULL && p->blocks[i].used)
            bytes += p->blocks[i].bytes;
    return bytes;
}

static void log_program(const CpuCompiler *c)
{
    const GpudlHost *host = c->shared->host;
    char line[512];

    for (uint32_t i = 0; i < c->program->n_steps; i++) {
        const CpuStep *step = &c->program->steps[i];

        snprintf(line, sizeof line, "step %u: %s by %s", i, c->plan->nodes[step->node].name, step->what);
        host->log(host->host, GPUDL_LOG_DEBUG, line);
    }
}

/* What is known of the tensors before any node is lowered. */
static void begin(CpuCompiler *c)
{
    const GpudlPlan *plan = c->plan;

    for (uint32_t i = 0; i < plan->n_tensors; i++) {
        c->tensor_values[i] = c->raw_blocks[i] = c->readers[i] = -1;
        c->remaining[i] = plan->tensors[i].n_uses;
    }
    for (uint32_t i = 0; i < plan->n_nodes; i++)
        for (uint32_t k = 0; k < plan->nodes[i].n_inputs; k++)
            if (plan->nodes[i].inputs[k] >= 0)
                c->readers[plan->nodes[i].inputs[k]] = (int32_t)i;
    mark_wide(c);
    cpu_begin_winograd(c);
}

/* Where the host writes it may be decided anew at the end. */
static void define_input(CpuCompiler *c, uint32_t i)
{
    const int32_t value = cpu_define(c, c->plan->inputs[i], cpu_plain_md(c, c->plan->inputs[i]));

    c->program->input_values[i] = value;
    if (value >= 0)
        c->program->blocks[c->program->values[value].block].fixed = 1;
}

static void compile(CpuCompiler *c)
{
    const GpudlPlan *plan = c->plan;
    CpuProgram *p = c->program;

    begin(c);
    if (c->shared->compilations == 1) /* what is chosen for the first batch holds for all */
        cpu_tune(c);
    for (uint32_t i = 0; i < plan->n_inputs; i++)
        define_input(c, i);
    for (uint32_t i = 0; i < plan->n_nodes && c->status == GPUDL_STATUS_OK; i++) {
        c->node = c->last_node = (int32_t)i;
        lower_node(c, &plan->nodes[i]);
        release_inputs(c, &plan->nodes[i]);
        if (c->shared->host->cancelled(c->shared->host->host))
            cpu_fail(c, GPUDL_STATUS_FAILED, "cancelled");
    }
    for (uint32_t i = 0; i < plan->n_outputs && c->status == GPUDL_STATUS_OK; i++) {
        p->output_values[i] = cpu_use_plain(c, plan->outputs[i]);
        if (p->output_values[i] >= 0) {
            p->blocks[p->values[p->output_values[i]].block].last = INT32_MAX;
            p->blocks[p->values[p->output_values[i]].block].used = 1;
        }
    }
    if (c->status == GPUDL_STATUS_OK)
        interleave_input(c);
    for (uint32_t i = 0; i < p->n_blocks; i++)
        if (p->blocks[i].last > (int32_t)p->n_steps)
            p->blocks[i].last = (int32_t)p->n_steps;
    if (c->status == GPUDL_STATUS_OK)
        place_blocks(c);
    for (uint32_t i = 0; i < plan->n_tensors; i++)
        cpu_keep_raw(c, (int32_t)i);
    cpu_pack_weights(c);
    p->weight_bytes = count_weights(p);
    if (c->status == GPUDL_STATUS_OK && !c->shared->dry)
        log_program(c);
    free(c->waiting);
}

/* FALSE if there is no memory; clear_compiler() follows in any case. */
static int make_compiler(CpuCompiler *c, CpuShared *shared, const GpudlPlan *plan, int exact, GpudlFault *fault)
{
    *c = (CpuCompiler){.shared = shared,
                       .plan = plan,
                       .exact = exact,
                       .type = exact ? dnnl_f32 : shared->type,
                       .status = GPUDL_STATUS_OK,
                       .fault = fault,
                       .tensor_values = calloc(plan->n_tensors + 1, sizeof(int32_t)),
                       .remaining = calloc(plan->n_tensors + 1, sizeof(int32_t)),
                       .raw_blocks = calloc(plan->n_tensors + 1, sizeof(int32_t)),
                       .readers = calloc(plan->n_tensors + 1, sizeof(int32_t)),
                       .wide = calloc(plan->n_tensors + 1, 1),
                       .done = calloc(plan->n_nodes + 1, 1)};
    return c->tensor_values != NULL && c->remaining != NULL && c->raw_blocks != NULL && c->readers != NULL &&
           c->wide != NULL && c->done != NULL;
}

static void clear_compiler(CpuCompiler *c)
{
    free(c->tensor_values);
    free(c->remaining);
    free(c->wide);
    free(c->done);
    free(c->next_value);
    free(c->raw_blocks);
    free(c->readers);
    cpu_packing_clear(&c->packing);
}

GpudlStatus cpu_program_foresee(CpuShared *shared, const GpudlPlan *plan, GpudlOpenForecast *forecast,
                                GpudlFault *fault)
{
    CpuCompiler c;

    if (make_compiler(&c, shared, plan, 0, fault)) {
        begin(&c);
        cpu_tune_foresee(&c, forecast);
    } else {
        cpu_fail(&c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    }
    clear_compiler(&c);
    return c.status;
}

CpuProgram *cpu_program_new(CpuShared *shared, const GpudlPlan *plan, int exact, GpudlStatus *status, GpudlFault *fault)
{
    CpuCompiler c;
    const int made = make_compiler(&c, shared, plan, exact, fault);
    CpuProgram *p = calloc(1, sizeof *p);

    c.program = p;
    shared->compilations++;
    if (p != NULL) {
        p->plan = plan;
        p->exact = exact;
        p->input_values = calloc(plan->n_inputs + 1, sizeof(int32_t));
        p->output_values = calloc(plan->n_outputs + 1, sizeof(int32_t));
    }
    if (!made || p == NULL || p->input_values == NULL || p->output_values == NULL)
        cpu_fail(&c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    else
        compile(&c);
    clear_compiler(&c);
    *status = c.status;
    if (c.status != GPUDL_STATUS_OK) {
        cpu_program_free(p);
        return NULL;
    }
    return p;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a plan to a program: nodes are lowered, choices made by others (tune.h), memory placed. */
#include "compile.h"

#include <stdlib.h>

#include "blocks.h"
#include "branches.h"
#include "choice.h"
#include "engine/module.h"
#include "tell.h"

/* Most of what the choices of a problem may need. */
static uint64_t most_workspace(const CudaConv *conv)
{
    int64_t most = conv->workspace > conv->most_workspace ? conv->workspace : conv->most_workspace;

    for (int i = 0; i < conv->n_others; i++)
        most = conv->others[i].workspace > most ? conv->others[i].workspace : most;
    return (uint64_t)most;
}

/* Of a step's: its own, or those of the siblings that it is the last of. */
static uint64_t scratch_bytes(const CudaStep *step)
{
    const uint64_t own = most_workspace(step->conv);
    const uint64_t both = step->block != NULL && step->block->key.siblings != 0 ? most_workspace(step->block) : 0;

    return own > both ? own : both;
}

/* Everything gets its place. wide: branches don't wait for one another's memory. */
static void place_blocks(CudaCompiler *c, int wide)
{
    CudaProgram *p = c->program;
    uint64_t *sizes = calloc(p->n_blocks + 1u, 2 * sizeof *sizes), *offsets = sizes + p->n_blocks + 1;
    int32_t *first = calloc(p->n_blocks + 1u, 2 * sizeof *first), *last = first + p->n_blocks + 1;

    if (sizes == NULL || first == NULL) {
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        free(sizes);
        free(first);
        return;
    }
    for (uint32_t i = 0; i < p->n_steps; i++)
        if (p->steps[i].conv != NULL && p->steps[i].scratch >= 0)
            p->blocks[p->steps[i].scratch].bytes = scratch_bytes(&p->steps[i]);
    cuda_blocks_name(p);
    for (uint32_t i = 0; i < p->n_blocks; i++) {
        const int used = p->blocks[i].first != INT32_MAX && p->blocks[i].constant == NULL && !p->blocks[i].pinned;

        sizes[i] = used ? p->blocks[i].bytes : 0;
        first[i] = used ? p->blocks[i].first : 0;
        last[i] = used ? p->blocks[i].last : 0;
    }
    if (wide)
        cuda_branches_widen(p, first, last);
    p->work_bytes = c->host->place(c->host->host, p->n_blocks, sizes, first, last, CUDA_ALIGNMENT, offsets);
    if (p->work_bytes == UINT64_MAX)
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "the network's work memory at batch %lld has no size",
                           (long long)c->plan->batch);
    for (uint32_t i = 0; i < p->n_blocks; i++)
        p->blocks[i].offset = p->blocks[i].pinned ? p->blocks[i].offset : offsets[i];
    free(sizes);
    free(first);
}

static void settle(CudaCompiler *c, const CudaStep *step)
{
    if (step->conv != NULL)
        cuda_conv_settle(c->device, step->conv);
    if (step->block != NULL && step->block->key.siblings != 0)
        cuda_conv_settle(c->device, step->block);
}

static int is_too_large(const CudaCompiler *c)
{
    return c->status == GPUDL_STATUS_OK && c->work_limit > 0 && c->program->work_bytes > c->work_limit;
}

/* Choices are made, so scratch is known. Room for branches, then plans beside the fastest, are given up if they make
 * the memory too large; lanes whose steps share memory wait for one another. */
static void place(CudaCompiler *c)
{
    place_blocks(c, c->program->lanes.n > 0);
    if (is_too_large(c) && c->program->lanes.n > 0)
        place_blocks(c, 0);
    if (is_too_large(c)) {
        for (uint32_t i = 0; i < c->program->n_steps; i++)
            settle(c, &c->program->steps[i]);
        place_blocks(c, 0);
    }
    if (c->status == GPUDL_STATUS_OK && !cuda_branches_order(c->program))
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
}

/* Lanes where they were found to pay, or where that is to be found out. */
static void find_branches(CudaCompiler *c, uint32_t streams)
{
    c->program->is_settled = streams > 0;
    c->program->streams = streams == CUDA_APART ? CUDA_APART : 1;
    if (streams != CUDA_LANES && (streams > 0 || !c->tries_branches))
        return;
    if (!cuda_branches_split(c->program))
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    if (streams == CUDA_LANES && c->program->lanes.n > 0)
        c->program->streams = CUDA_LANES;
}

/* What a slot has, or may have by the session's limit; 0: any. */
static uint64_t find_limit(const CudaShared *shared)
{
    const uint64_t weights = shared->weights.bytes, limit = shared->memory_limit;
    const uint64_t left = limit > weights ? (limit - weights) / CUDA_SLOTS : 0;

    if (limit == 0 || (shared->work_limit > 0 && shared->work_limit < left))
        return shared->work_limit;
    return left > 0 ? left : 1;
}

/* What constants that nodes read take on the device, about: float types as pictures, biases in both types. */
static uint64_t estimate_weights(const CudaCompiler *c)
{
    const GpudlPlan *plan = c->plan;
    uint8_t *is_read = calloc(plan->n_tensors + 1u, 1);
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < plan->n_nodes && is_read != NULL; i++)
        for (uint32_t j = 0; j < plan->nodes[i].n_inputs; j++)
            if (plan->nodes[i].inputs[j] >= 0)
                is_read[plan->nodes[i].inputs[j]] = 1;
    for (uint32_t i = 0; i < plan->n_tensors && is_read != NULL; i++) {
        const GpudlPlanTensor *t = &plan->tensors[i];
        const uint64_t n = (uint64_t)gpudl_shape_elements(&t->shape);

        if (!is_read[i] || t->kind != GPUDL_PLAN_CONSTANT)
            continue;
        if (!cuda_is_float(t->dtype))
            bytes += cuda_weights_size(t->bytes);
        else if (t->shape.rank > 1)
            bytes += cuda_weights_size(n * gpudl_dtype_size(c->dtype));
        else
            bytes += cuda_weights_size(n * 4) + cuda_weights_size(n * 2);
    }
    free(is_read);
    return bytes;
}

static void lower_all(CudaCompiler *c)
{
    cuda_weights_begin(c->weights);
    cuda_weights_expect(c->weights, estimate_weights(c));
    cuda_plan_shuffles(c);
    if (c->status != GPUDL_STATUS_OK)
        return;
    cuda_plan_targets(c);
    cuda_define_input(c);
    for (c->node = 0; c->node < (int32_t)c->plan->n_nodes && c->status == GPUDL_STATUS_OK; c->node++)
        if (!c->covered[c->node])
            cuda_lower_node(c, &c->plan->nodes[c->node]);
    c->node = (int32_t)c->plan->n_nodes - 1;
    cuda_lower_heads(c);
    cuda_blocks_find(c);
}

/* What lowering needs, for each tensor. */
static int prepare(CudaCompiler *c)
{
    const uint32_t n = c->plan->n_tensors;

    c->program = calloc(1, sizeof *c->program);
    c->tensor_values = malloc((n + 1u) * sizeof *c->tensor_values);
    c->targets = malloc((n + 1u) * sizeof *c->targets);
    c->turned = calloc(n + 1u, sizeof *c->turned);
    c->covered = calloc(c->plan->n_nodes + 1u, sizeof *c->covered);
    if (c->program == NULL || c->tensor_values == NULL || c->targets == NULL || c->turned == NULL ||
        c->covered == NULL) {
        cuda_compiler_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        return 0;
    }
    if (c->plan->n_outputs > GPUDL_MAX_OUTPUTS || c->plan->n_nodes == 0) {
        cuda_compiler_fail(c, GPUDL_STATUS_UNSUPPORTED,
                           "%u nodes and %u outputs, expected at least one node and at most %d outputs",
                           c->plan->n_nodes, c->plan->n_outputs, GPUDL_MAX_OUTPUTS);
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        c->tensor_values[i] = -1;
        c->targets[i].concat = -1;
    }
    c->program->plan = c->plan;
    return 1;
}

void cuda_compile_free(CudaCompilation *compilation)
{
    cuda_packer_clear(&compilation->compiler.packer);
    cuda_tuning_free(compilation->tuning);
    cuda_program_free(compilation->compiler.program);
    free(compilation->compiler.tensor_values);
    free(compilation->compiler.targets);
    free(compilation->compiler.turned);
    cuda_shuffles_free(compilation->compiler.shuffles, compilation->compiler.plan->n_tensors);
    free(compilation->compiler.covered);
    free(compilation);
}

static void name_network(CudaCompiler *c)
{
    if (c->plan->content[0] != '\0')
        snprintf(c->program->network, sizeof c->program->network, "network %.64s batch %lld %s", c->plan->content,
                 (long long)c->plan->batch,
                 c->dtype == GPUDL_DTYPE_F16    ? "fp16"
                 : c->dtype == GPUDL_DTYPE_BF16 ? "bf16"
                 : c->tf32                      ? "tf32"
                                                : "fp32");
}

CudaCompilation *cuda_compile_begin(CudaShared *shared, const GpudlPlan *plan, GpudlStatus *status, GpudlFault *fault)
{
    CudaCompilation *compilation = calloc(1, sizeof *compilation);
    CudaCompiler *c = compilation != NULL ? &compilation->compiler : NULL;

    if (c == NULL) {
        *status = gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        return NULL;
    }
    *c = (CudaCompiler){.device = shared->device,
                        .host = shared->host,
                        .convs = &shared->convs,
                        .weights = &shared->weights,
                        .plan = plan,
                        .dtype = shared->dtype,
                        .tf32 = shared->tf32,
                        .activation = shared->activation,
                        .tries_blocks = shared->tries_blocks,
                        .tries_branches = shared->tries_branches,
                        .fault = fault};
    if (prepare(c))
        lower_all(c);
    if (c->status == GPUDL_STATUS_OK)
        cuda_tell(shared->host, "batch %lld: lowered", (long long)plan->batch);
    if (c->status == GPUDL_STATUS_OK) {
        name_network(c);
        compilation->tuning = cuda_tuning_new(c->convs, c->program->network, fault);
        c->status = compilation->tuning != NULL ? GPUDL_STATUS_OK : GPUDL_STATUS_NO_MEMORY;
    }
    compilation->shared = shared;
    *status = c->status;
    if (c->status == GPUDL_STATUS_OK) {
        cuda_packer_start(&c->packer, c->device);
        return compilation;
    }
    cuda_compile_free(compilation);
    return NULL;
}

GpudlStatus cuda_compile_weights(CudaCompilation *compilation, GpudlFault *fault)
{
    CudaCompiler *c = &compilation->compiler;
    const int is_new = !c->packer.finished;
    const GpudlStatus status = cuda_packer_finish(&c->packer, fault);

    const cudaError_t error = status == GPUDL_STATUS_OK && is_new ? cudaStreamSynchronize(NULL) : cudaSuccess;

    /* copies return when the host's memory has been read; the streams of slots and trials don't wait for them */
    if (error != cudaSuccess)
        return cuda_fail(c->device, fault, error, "uploading weights");
    if (status == GPUDL_STATUS_OK && is_new)
        cuda_tell(c->host, "batch %lld: weights packed and uploaded", (long long)c->plan->batch);
    return status;
}

CudaProgram *cuda_compile_end(CudaCompilation *compilation, GpudlStatus *status, GpudlFault *fault)
{
    CudaCompiler *c = &compilation->compiler;
    CudaProgram *program = NULL;

    c->fault = fault;
    c->status = cuda_compile_weights(compilation, fault);
    c->work_limit = find_limit(compilation->shared); /* now that its weights are there */
    if (c->status == GPUDL_STATUS_OK)
        find_branches(c, cuda_tuning_streams(compilation->tuning));
    if (c->status == GPUDL_STATUS_OK)
        place(c);
    *status = c->status;
    if (c->status == GPUDL_STATUS_OK) {
        program = c->program;
        c->program = NULL;
    }
    cuda_compile_free(compilation);
    return program;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What each step of a program takes, moves and computes. */
#include <stdlib.h>

#include "engine/module.h"
#include "program.h"

static uint64_t tensor_bytes(const GpudlPlan *plan, const int32_t *tensors, uint32_t n)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < n; i++)
        if (tensors[i] >= 0)
            bytes += plan->tensors[tensors[i]].bytes;
    return bytes;
}

/* Of what oneDNN knows no layout of, all of its memory. */
static uint64_t value_bytes(const CpuProgram *p, int32_t value)
{
    return p->values[value].md != NULL ? dnn_md_bytes(p->values[value].md) : p->blocks[p->values[value].block].bytes;
}

/* In the layouts that the step has, padding of blocks included. */
static uint64_t step_bytes(const CpuProgram *p, const CpuStep *step)
{
    const GpudlPlanNode *node = &p->plan->nodes[step->node];
    int onto = dnn_primitive_kind(step->primitive) == dnnl_convolution && node->n_inputs > 3 && node->inputs[3] >= 0;
    uint64_t bytes = 0;

    if (step->call != NULL)
        return tensor_bytes(p->plan, node->inputs, node->n_inputs) +
               tensor_bytes(p->plan, node->outputs, node->n_outputs);
    for (uint32_t i = 0; step->own != NULL && i < step->own->n; i++)
        bytes += (uint64_t)step->own->uses[i].moves * value_bytes(p, step->own->uses[i].value);
    for (uint32_t i = 0; i < step->n_args; i++) {
        size_t size = dnn_md_bytes(p->values[step->args[i].value].md);

        if (step->args[i].arg == DNNL_ARG_SCRATCHPAD)
            continue;
        /* a residual is read from where the result goes */
        bytes += step->args[i].arg == DNNL_ARG_DST && onto ? 2 * size : size;
    }
    return bytes;
}

/* Of the steps of a node, moves compute nothing, and an activation behind the step that counts once per element. */
static uint64_t step_flops(const CpuProgram *p, const CpuStep *step)
{
    const GpudlPlanNode *node = &p->plan->nodes[step->node];
    uint64_t flops = gpudl_module_flops(p->plan, step->node);

    if (step->own != NULL && step->own->flops != 0)
        return step->own->flops;
    switch (dnn_primitive_kind(step->primitive)) {
    case dnnl_reorder:
        return 0;
    case dnnl_eltwise:
        return (uint64_t)gpudl_shape_elements(&p->plan->tensors[node->outputs[0]].shape);
    default:
        return step->last_node > step->node ? flops + gpudl_module_flops(p->plan, step->last_node) : flops;
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* times: [steps][runs]. */
static GpudlStatus time_run(const CpuInstance *instance, uint64_t *times, uint32_t runs, GpudlFault *fault)
{
    const CpuProgram *p = instance->program;
    const dnnl_exec_arg_t *args = instance->args;
    GpudlStatus status = GPUDL_STATUS_OK;
    uint64_t before = gpudl_module_now_ns();

    for (uint32_t i = 0; i < p->n_steps && status == GPUDL_STATUS_OK; i++) {
        uint64_t after;

        status = cpu_instance_run_step(instance, &p->steps[i], args, fault);
        after = gpudl_module_now_ns();
        times[(size_t)i * runs] = after - before;
        before = after;
        args += p->steps[i].n_args;
    }
    return status;
}

GpudlStatus cpu_instance_profile(const CpuInstance *instance, uint32_t runs, GpudlProfileRow *rows, uint32_t *n_rows,
                                 GpudlFault *fault)
{
    const CpuProgram *p = instance->program;
    uint64_t *times = calloc((size_t)p->n_steps + 1, runs * sizeof *times);
    GpudlStatus status;

    if (times == NULL)
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for the times of %u steps in %u runs",
                                 p->n_steps, runs);
    status = cpu_instance_run(instance, NULL, fault); /* warm */
    for (uint32_t i = 0; i < runs && status == GPUDL_STATUS_OK; i++)
        status = time_run(instance, times + i, runs, fault);
    *n_rows = 0;
    for (uint32_t i = 0; i < p->n_steps && status == GPUDL_STATUS_OK; i++) {
        const CpuStep *step = &p->steps[i];

        if (step->primitive == NULL && step->call == NULL && step->own == NULL)
            continue;
        qsort(times + (size_t)i * runs, runs, sizeof *times, compare);
        rows[(*n_rows)++] = (GpudlProfileRow){.node = step->node,
                                              .last_node = step->last_node,
                                              .implementation = step->what,
                                              .ns = times[(size_t)i * runs + runs / 2],
                                              .bytes = step_bytes(p, step),
                                              .flops = step_flops(p, step)};
    }
    free(times);
    return status;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isa.h"
#include "kernels/elementwise.h"
#include "kernels/triples.h"
#include "packed.h"
#include "program.h"

void cpu_program_free(CpuProgram *p)
{
    if (p == NULL)
        return;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        CpuStep *step = &p->steps[i];

        if (step->primitive != NULL)
            dnnl_primitive_destroy(step->primitive);
        if (step->call != NULL) {
            free(step->call->views);
            free(step->call->values);
            free(step->call);
        }
        if (step->own != NULL) {
            free(step->own->problem);
            free(step->own);
        }
        free(step->args);
        free(step->label);
    }
    for (uint32_t i = 0; i < p->n_values; i++)
        dnn_md_free(p->values[i].md);
    free(p->steps);
    free(p->blocks);
    free(p->values);
    free(p->input_values);
    free(p->output_values);
    free(p);
}

static void *value_data(const CpuInstance *instance, int32_t value)
{
    const CpuBlock *block = &instance->program->blocks[instance->program->values[value].block];

    return block->constant != NULL ? block->constant : instance->workspace + block->offset;
}

static int make_memories(dnnl_engine_t dnn, CpuInstance *instance)
{
    const CpuProgram *p = instance->program;
    dnnl_exec_arg_t *arg = instance->args;

    for (uint32_t i = 0; i < p->n_values; i++) {
        if (p->values[i].md == NULL)
            continue;
        instance->memories[i] = dnn_memory(dnn, p->values[i].md, value_data(instance, (int32_t)i));
        if (instance->memories[i] == NULL)
            return 0;
    }
    for (uint32_t i = 0; i < p->n_steps; i++)
        for (uint32_t k = 0; k < p->steps[i].n_args; k++, arg++)
            *arg = (dnnl_exec_arg_t){p->steps[i].args[k].arg, instance->memories[p->steps[i].args[k].value]};
    return 1;
}

CpuInstance *cpu_instance_new(dnnl_engine_t dnn, const CpuProgram *program)
{
    CpuInstance *instance = calloc(1, sizeof *instance);
    uint64_t bytes = (program->work_bytes / CPU_ALIGNMENT + 1) * CPU_ALIGNMENT;
    size_t n_args = 0, n_views = 1, n_data = 1;

    if (instance == NULL)
        return NULL;
    instance->program = program;
    for (uint32_t i = 0; i < program->n_steps; i++) {
        const CpuCall *call = program->steps[i].call;

        n_args += program->steps[i].n_args;
        if (call != NULL && call->n_inputs + call->n_outputs > n_views)
            n_views = call->n_inputs + call->n_outputs;
        if (program->steps[i].own != NULL && program->steps[i].own->n > n_data)
            n_data = program->steps[i].own->n;
    }
    instance->workspace = cpu_aligned_bytes(bytes); /* the pages are there before the first frame */
    instance->memories = calloc(program->n_values + 1, sizeof *instance->memories);
    instance->args = calloc(n_args + 1, sizeof *instance->args);
    instance->views = calloc(n_views, sizeof *instance->views);
    instance->inputs = calloc(n_views, sizeof *instance->inputs);
    instance->data = calloc(n_data, sizeof *instance->data);
    if (instance->workspace == NULL || instance->memories == NULL || instance->args == NULL ||
        instance->views == NULL || instance->inputs == NULL || instance->data == NULL)
        goto fail;
    if (dnnl_stream_create(&instance->stream, dnn, dnnl_stream_default_flags) != dnnl_success ||
        !make_memories(dnn, instance))
        goto fail;
    return instance;
fail:
    cpu_instance_free(instance);
    return NULL;
}

void cpu_instance_free(CpuInstance *instance)
{
    if (instance == NULL)
        return;
    if (instance->memories != NULL)
        for (uint32_t i = 0; i < instance->program->n_values; i++)
            if (instance->memories[i] != NULL)
                dnnl_memory_destroy(instance->memories[i]);
    if (instance->stream != NULL)
        dnnl_stream_destroy(instance->stream);
    free(instance->memories);
    free(instance->args);
    free(instance->views);
    free(instance->inputs);
    free(instance->data);
    free(instance->workspace);
    free(instance);
}

void *cpu_instance_input(const CpuInstance *instance, uint32_t i)
{
    return value_data(instance, instance->program->input_values[i]);
}

void cpu_instance_set_input(const CpuInstance *instance, uint32_t i, const void *values)
{
    const GpudlPlan *plan = instance->program->plan;
    const GpudlPlanTensor *t = &plan->tensors[plan->inputs[i]];
    const CpuPreprocLayout layout = i == 0 ? instance->program->input_layout : CPU_PREPROC_PLANAR;
    void *dst = cpu_instance_input(instance, i);

    if (layout != CPU_PREPROC_PLANAR) {
        const GpudlTriplesKernels *kernels = gpudl_triples_kernels(cpu_isa_simd());
        const int64_t n = t->shape.dims[2] * t->shape.dims[3];

        for (int64_t b = 0; b < t->shape.dims[0]; b++) {
            const float *picture = (const float *)values + 3 * n * b;
            const float *const planes[3] = {picture, picture + n, picture + 2 * n};

            if (layout == CPU_PREPROC_INTERLEAVED_BF16)
                kernels->bf16(planes, n, (uint16_t *)dst + 3 * n * b);
            else
                kernels->f32(planes, n, (float *)dst + 3 * n * b);
        }
    } else if (t->bytes > 0) {
        memcpy(dst, values, t->bytes);
    }
}

const void *cpu_instance_output(const CpuInstance *instance, uint32_t i)
{
    return value_data(instance, instance->program->output_values[i]);
}

static int run_act(const CpuInstance *instance, const CpuStep *step)
{
    const CpuProgram *p = instance->program;
    const uint64_t bytes = p->blocks[p->values[step->act_value].block].bytes;
    const GpudlTensorView all = {GPUDL_DTYPE_F32,
                                 {.rank = 1, .dims = {(int64_t)(bytes / sizeof(float))}},
                                 value_data(instance, step->act_value)};

    return gpudl_unary_ref(GPUDL_UNARY_ACTIVATION, step->act, &all, &all, NULL);
}

static void run_own(const CpuInstance *instance, const CpuOwn *own)
{
    for (uint32_t i = 0; i < own->n; i++)
        instance->data[i] = value_data(instance, own->uses[i].value);
    own->run(own->problem, instance->data);
}

static int run_call(const CpuInstance *instance, const CpuCall *call)
{
    uint32_t n = call->n_inputs + call->n_outputs;

    for (uint32_t i = 0; i < n; i++) {
        instance->views[i] = call->views[i];
        if (call->values[i] >= 0)
            instance->views[i].data = value_data(instance, call->values[i]);
    }
    return cpu_call_run(call, instance->views, instance->inputs);
}

GpudlStatus cpu_instance_run_step(const CpuInstance *instance, const CpuStep *step, const dnnl_exec_arg_t *args,
                                  GpudlFault *fault)
{
    const char *node = instance->program->plan->nodes[step->node].name;

    if (step->call != NULL || step->act != NULL) {
        int status = step->act != NULL ? run_act(instance, step) : run_call(instance, step->call);

        if (status != 0) {
            snprintf(fault->message, sizeof fault->message, "node '%s': %s", node, cpu_call_status_text(status));
            return GPUDL_STATUS_FAILED;
        }
    } else if (step->own != NULL) {
        run_own(instance, step->own);
    } else if (step->primitive != NULL) {
        dnnl_status_t status = dnnl_primitive_execute(step->primitive, instance->stream, (int)step->n_args, args);

        if (status != dnnl_success) {
            snprintf(fault->message, sizeof fault->message, "node '%s': oneDNN status %d from %s", node, (int)status,
                     step->what);
            return GPUDL_STATUS_FAILED;
        }
    }
    return GPUDL_STATUS_OK;
}

/* Raises the flag of invalid operations where an input has NaN. */
static void look_for_nan(const CpuInstance *instance)
{
    const GpudlPlan *plan = instance->program->plan;

    for (uint32_t i = 0; i < plan->n_inputs; i++) {
        const GpudlPlanTensor *t = &plan->tensors[plan->inputs[i]];
        const float *values = cpu_instance_input(instance, i);
        const uint64_t n = t->dtype == GPUDL_DTYPE_F32 ? t->bytes / sizeof *values : 0;
        int found = 0;

        for (uint64_t k = 0; k < n; k++)
            found |= isnan(values[k]) != 0;
        if (found)
            feraiseexcept(FE_INVALID);
    }
}

GpudlStatus cpu_instance_run(const CpuInstance *instance, const GpudlHost *host, GpudlFault *fault)
{
    const CpuProgram *p = instance->program;
    const dnnl_exec_arg_t *args = instance->args;

    if (p->spreads_nan)
        look_for_nan(instance);
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const CpuStep *step = &p->steps[i];
        GpudlStatus status;
        int met;

        if (host != NULL && host->cancelled(host->host)) {
            snprintf(fault->message, sizeof fault->message, "cancelled before node '%s'",
                     p->plan->nodes[step->node].name);
            return GPUDL_STATUS_FAILED;
        }
        met = step->padded && cpu_met_nan();
        status = cpu_instance_run_step(instance, step, args, fault);
        if (step->padded && !met)
            cpu_forget_nan();
        if (status != GPUDL_STATUS_OK)
            return status;
        args += step->n_args;
    }
    if (dnnl_stream_wait(instance->stream) == dnnl_success)
        return GPUDL_STATUS_OK;
    snprintf(fault->message, sizeof fault->message, "oneDNN's stream failed");
    return GPUDL_STATUS_FAILED;
}

void cpu_forget_nan(void)
{
    feclearexcept(FE_INVALID);
}

int cpu_met_nan(void)
{
    return fetestexcept(FE_INVALID) != 0;
}

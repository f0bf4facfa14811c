/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "program.h"

#include <stdlib.h>

#include "engine/module.h"
#include "lt.h"

void cuda_program_free(CudaProgram *program)
{
    if (program == NULL)
        return;
    cuda_lanes_clear(&program->lanes);
    free(program->steps);
    free(program->blocks);
    free(program->values);
    free(program);
}

void *cuda_value_data(const CudaRun *run, int32_t value)
{
    const CudaValue *v = &run->program->values[value];
    const CudaBlock *block = &run->program->blocks[v->block];
    uint8_t *begin = block->constant != NULL ? block->constant
                     : block->pinned         ? run->outputs + block->offset
                                             : run->workspace + block->offset;

    return begin + (size_t)v->offset * gpudl_dtype_size(v->dtype);
}

GpudlStrided cuda_value_strided(const CudaRun *run, int32_t value)
{
    const CudaValue *v = &run->program->values[value];
    GpudlStrided strided = {v->dtype, cuda_value_data(run, value), {0}};

    memcpy(strided.strides, v->strides, sizeof strided.strides);
    return strided;
}

int cuda_value_nhwc(const CudaValue *value, GpudlNhwc *nhwc)
{
    const int64_t *d = value->shape.dims, *s = value->strides;
    const int rank = value->shape.rank;
    const int64_t n = d[0], c = d[1], h = rank == 4 ? d[2] : 1, w = rank == 4 ? d[3] : 1;
    const int64_t alone = s[rank == 4 ? 3 : 0] > c ? s[rank == 4 ? 3 : 0] : c; /* one pixel: its room */
    const int64_t pitch = w > 1 ? s[3] : h > 1 ? s[2] : n > 1 ? s[0] : alone;

    if ((rank != 4 && rank != 2) || n > INT32_MAX || c > INT32_MAX || h > INT32_MAX || w > INT32_MAX)
        return 0;
    *nhwc = (GpudlNhwc){(int32_t)n, (int32_t)h, (int32_t)w, (int32_t)c, pitch};
    return pitch >= c && (c == 1 || s[1] == 1) && (h == 1 || s[2] == w * pitch) && (n == 1 || s[0] == h * w * pitch);
}

int cuda_step_launches(const CudaStep *step)
{
    return step->block == NULL || !cuda_conv_is_one_launch(step->block) || step->block_steps == 1;
}

int cuda_step_launch(const CudaStep *step, const CudaRun *run)
{
    if (step->block == NULL || !cuda_conv_is_one_launch(step->block))
        return step->launch(step, run);
    return cuda_step_launches(step) ? step->launch_block(step, run) : 0;
}

int cuda_program_queue(const CudaRun *run, uint32_t begin, uint32_t end, uint32_t *failed)
{
    int status = 0;

    for (uint32_t i = begin; i < end && status == 0; i++) {
        *failed = i;
        status = cuda_step_launch(&run->program->steps[i], run);
    }
    return status;
}

static GpudlStatus fail_lt(const CudaRun *run, const char *node, const CudaStep *step, int status, GpudlFault *fault)
{
    const cudaError_t below = cudaPeekAtLastError();
    const char *name = cuda_lt_status_name(run->device, status);

    if (below != cudaSuccess)
        return cuda_fail(run->device, fault, below, "node '%s' by %s: %s", node, step->what, name);
    return gpudl_module_fail(fault, GPUDL_STATUS_BACKEND, "node '%s' by %s: %s", node, step->what, name);
}

/* Of what a step reads and writes, the largest. */
static int64_t most_elements(const CudaProgram *program, const CudaStep *step)
{
    int32_t values[CUDA_STEP_READS + 1];
    int n = cuda_step_reads(step, values);
    int64_t most = 0;

    if (step->y >= 0)
        values[n++] = step->y;
    for (int i = 0; i < n; i++) {
        const int64_t elements = gpudl_shape_elements(&program->values[values[i]].shape);

        most = elements > most ? elements : most;
    }
    return most;
}

GpudlStatus cuda_program_fault(const CudaRun *run, uint32_t step, int status, GpudlFault *fault)
{
    const CudaStep *s = &run->program->steps[step];
    const char *name = run->program->plan->nodes[s->node].name;

    if (status >= CUDA_STEP_LT)
        return fail_lt(run, name, s, status - CUDA_STEP_LT, fault);
    if (status >= CUDA_STEP_CUDNN)
        return cuda_fail_cudnn(run->device, fault, (cudnnStatus_t)(status - CUDA_STEP_CUDNN), "node '%s' by %s", name,
                               s->what);
    if (status > 0)
        return cuda_fail(run->device, fault, (cudaError_t)status, "node '%s' by %s", name, s->what);
    if (status == GPUDL_KERNEL_SHAPE && most_elements(run->program, s) > INT32_MAX)
        return gpudl_module_fail(fault, GPUDL_STATUS_UNSUPPORTED,
                                 "backend cuda can't run node '%s' by %s: a tensor of %lld elements at batch %lld, "
                                 "expected at most %d; use a smaller batch, or backend cpu",
                                 name, s->what, (long long)most_elements(run->program, s),
                                 (long long)run->program->plan->batch, INT32_MAX);
    return gpudl_module_fail(fault, GPUDL_STATUS_BACKEND, "node '%s' by %s: %s", name, s->what,
                             gpudl_kernel_status_text(status));
}

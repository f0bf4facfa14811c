/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "branches.h"

#include <stdlib.h>
#include <string.h>

/* Each step is compared with each before it. */
#define MOST_STEPS 2000

/* What costs are made of, ns: the least of a kernel; and bytes and operations that take one. Only which of two branches
 * is longer hangs on it. */
#define LEAST_NS 2000.0f
#define BYTES_PER_NS 2000.0f
#define FLOPS_PER_NS 200000.0f

/* ---- what steps touch -------------------------------------------------------------------------------------------- */

static int64_t down(int64_t n)
{
    return n / CUDA_CHANNELS * CUDA_CHANNELS;
}

static int64_t up(int64_t n)
{
    return down(n + CUDA_CHANNELS - 1);
}

/* Kernels may take whole vectors of channels, with those that fill a pixel up. */
static CudaAccess access_of(const CudaValue *v, int writes)
{
    const int64_t size = (int64_t)gpudl_dtype_size(v->dtype);
    int64_t begin = v->offset, end = v->offset, channels = 1, pitch = 0;
    CudaAccess access = {.block = v->block, .writes = writes};

    for (int i = 0; i < v->shape.rank; i++) {
        const int64_t d = v->shape.dims[i], s = v->strides[i], step = s < 0 ? -s : s;

        *(s < 0 ? &begin : &end) += (d - 1) * s;
        if (d > 1 && s == 1)
            channels = d;
        else if (d > 1 && step > 1 && (pitch == 0 || step < pitch))
            pitch = step;
    }
    for (int i = 0; i < v->shape.rank && pitch > 0; i++)
        if (v->shape.dims[i] > 1 && v->strides[i] != 1 && v->strides[i] % pitch != 0)
            pitch = 0;
    access.begin = down(begin) * size;
    access.end = up(end + 1 + up(channels) - channels) * size;
    if (pitch > 0 && up(v->offset % pitch + up(channels)) <= pitch) {
        access.period = pitch * size;
        access.low = down(v->offset % pitch) * size;
        access.high = up(v->offset % pitch + up(channels)) * size;
    }
    return access;
}

static CudaAccess whole_block(const CudaProgram *program, int32_t block, int writes)
{
    return (CudaAccess){.block = block, .writes = writes, .end = (int64_t)program->blocks[block].bytes};
}

int cuda_step_accesses(const CudaProgram *program, const CudaStep *step, CudaAccess accesses[CUDA_ACCESSES])
{
    int32_t read[CUDA_STEP_READS];
    const int n_read = cuda_step_reads(step, read);
    int n = 0;

    for (int i = 0; i < n_read; i++)
        if (program->blocks[program->values[read[i]].block].constant == NULL)
            accesses[n++] = access_of(&program->values[read[i]], 0);
    if (step->y >= 0) /* what reads nothing clears the whole block */
        accesses[n++] = n_read > 0 ? access_of(&program->values[step->y], 1)
                                   : whole_block(program, program->values[step->y].block, 1);
    if (step->block != NULL && step->block->key.siblings != 0 && step->block_steps == 1) {
        accesses[n] = access_of(&program->values[step[-1].y], 1);
        accesses[n++].instead = 1;
    }
    if (step->scratch >= 0)
        accesses[n++] = whole_block(program, step->scratch, 1);
    return n;
}

int cuda_accesses_meet(const CudaAccess *a, const CudaAccess *b)
{
    if (a->block != b->block || (!a->writes && !b->writes) || a->begin >= b->end || b->begin >= a->end)
        return 0;
    return a->period == 0 || a->period != b->period || (a->low < b->high && b->low < a->high);
}

/* ---- lanes ------------------------------------------------------------------------------------------------------- */

typedef struct {
    CudaAccess at[CUDA_ACCESSES];
    int n;
} Touched;

typedef struct {
    const CudaProgram *program;
    Touched *touched; /* per step */
    int placed;       /* blocks have their places */
} Memory;

/* Two blocks in the same place. */
static int blocks_meet(const CudaProgram *program, const CudaAccess *a, const CudaAccess *b)
{
    const CudaBlock *p = &program->blocks[a->block], *q = &program->blocks[b->block];

    return a->block != b->block && (a->writes || b->writes) && !p->pinned && !q->pinned &&
           p->offset < q->offset + q->bytes && q->offset < p->offset + p->bytes;
}

static int meet(const void *data, uint32_t before, uint32_t behind)
{
    const Memory *memory = data;
    const Touched *a = &memory->touched[before], *b = &memory->touched[behind];

    for (int i = 0; i < a->n; i++)
        for (int k = 0; k < b->n; k++)
            if (!(b->at[k].instead && before + 1 == behind) &&
                (cuda_accesses_meet(&a->at[i], &b->at[k]) ||
                 (memory->placed && blocks_meet(memory->program, &a->at[i], &b->at[k]))))
                return 1;
    return 0;
}

static int find_memory(Memory *memory, const CudaProgram *program, int placed)
{
    *memory = (Memory){program, calloc(program->n_frame_steps + 1u, sizeof *memory->touched), placed};
    for (uint32_t i = 0; i < program->n_frame_steps && memory->touched != NULL; i++)
        memory->touched[i].n = cuda_step_accesses(program, &program->steps[i], memory->touched[i].at);
    return memory->touched != NULL;
}

static float cost_of(const CudaProgram *program, const CudaStep *step)
{
    int32_t values[CUDA_STEP_READS + 1];
    int n = cuda_step_reads(step, values);
    float ns = LEAST_NS;

    if (step->y >= 0)
        values[n++] = step->y;
    for (int i = 0; i < n; i++)
        ns += (float)gpudl_shape_elements(&program->values[values[i]].shape) *
              (float)gpudl_dtype_size(program->values[values[i]].dtype) / BYTES_PER_NS;
    if (step->conv != NULL) {
        const CudaConvKey *key = &step->conv->key;

        ns += 2.0f * (float)key->n * (float)key->p * (float)key->q * (float)key->k * (float)key->r * (float)key->s *
              (float)key->c / (float)key->groups / FLOPS_PER_NS;
    }
    return ns;
}

int cuda_branches_split(CudaProgram *program)
{
    const uint32_t n = program->n_frame_steps;
    float *costs;
    Memory memory;
    int ok;

    if (n > MOST_STEPS)
        return 1;
    costs = calloc(n + 1u, sizeof *costs);
    ok = costs != NULL && find_memory(&memory, program, 0);
    for (uint32_t i = 0; i < n && ok; i++)
        costs[i] = cost_of(program, &program->steps[i]);
    if (ok) {
        ok = cuda_lanes_split(&program->lanes, n, costs, meet, &memory);
        free(memory.touched);
    }
    free(costs);
    if (program->lanes.n_side == 0)
        cuda_lanes_clear(&program->lanes);
    return ok;
}

void cuda_branches_widen(const CudaProgram *program, int32_t *first, int32_t *last)
{
    for (uint32_t i = 0; i < program->lanes.n; i++) {
        CudaAccess accesses[CUDA_ACCESSES];
        const int n = cuda_step_accesses(program, &program->steps[i], accesses);

        for (int k = 0; k < n; k++)
            cuda_lanes_widen(&program->lanes, i, &first[accesses[k].block], &last[accesses[k].block]);
    }
}

int cuda_branches_order(CudaProgram *program)
{
    Memory memory;

    if (program->lanes.n == 0)
        return 1;
    if (!find_memory(&memory, program, 1))
        return 0;
    cuda_lanes_order(&program->lanes, meet, &memory);
    free(memory.touched);
    return 1;
}

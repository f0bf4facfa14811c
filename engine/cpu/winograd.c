/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where products are fewer by Winograd's transforms: 3x3 windows in float32, by oneDNN 2.x on AVX-512 (3.x has none).
 * Measured on one core of Zen 4 against the direct code, which runs at 95 % of the multipliers: 64 channels 56x56 2.9
 * times as fast, 128 28x28 3.2, 256 14x14 2.0, 512 7x7 1.2. Results of such layers differ from exact sums by 1.1e-6
 * of their range at most, of 4x4 at a time, and by 0.4e-6, of 2x2. The code is for blocks of 16 channels.
 */
#include <math.h>
#include <string.h>

#include "conv.h"

#define BLOCK 16

/* F(4x4, 3x3) multiplies fewer numbers, but has four times the weights: worth it where these stay in a cache, or there
 * are many tiles for each. */
#define MOST_WEIGHTS (4 << 20)
#define MANY_TILES 49

static int has_nan(const CpuCompiler *c)
{
    for (uint32_t i = 0; i < c->plan->n_tensors; i++) {
        const float *values = c->plan->tensors[i].data;
        uint64_t n = c->plan->tensors[i].bytes / sizeof *values;
        int found = 0;

        if (!cpu_is_constant(c, (int32_t)i))
            continue;
        for (uint64_t k = 0; k < n; k++)
            found |= isnan(values[k]) != 0;
        if (found)
            return 1;
    }
    return 0;
}

/* The one shape that the transforms are for, and what they can have behind them. */
static int fits(const CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlWindowAttrs *a = &((const GpudlAttrs *)node->attrs)->window;
    const GpudlShape *x = &cpu_tensor(c, node->inputs[0])->shape, *y = &cpu_tensor(c, node->outputs[0])->shape;

    if ((a->act.kind != GPUDL_ACT_NONE && a->act.kind != GPUDL_ACT_RELU) || a->n_spatial != 2 || a->group != 1 ||
        x->rank != 4 || y->dims[2] < 4 || y->dims[3] < 4 || x->dims[1] % BLOCK != 0 || y->dims[1] % BLOCK != 0 ||
        !cpu_is_constant(c, node->inputs[1]))
        return 0;
    for (int i = GPUDL_MAX_SPATIAL - 2; i < GPUDL_MAX_SPATIAL; i++)
        if (a->kernel[i] != 3 || a->stride[i] != 1 || a->dilation[i] != 1 || a->pad_begin[i] != 1 || a->pad_end[i] != 1)
            return 0;
    return 1;
}

/* Of a convolution that they would be used for. Infinite weights, and sums of those that are next to it, become NaN
 * when they are transformed, before anything runs. */
static int weights_fit(const CpuCompiler *c)
{
    for (uint32_t i = 0; i < c->plan->n_nodes; i++) {
        const GpudlPlanNode *node = &c->plan->nodes[i];

        if (node->op == GPUDL_OP_CONV && fits(c, node) && !cpu_weights_fit(cpu_tensor(c, node->inputs[1])))
            return 0;
    }
    return 1;
}

void cpu_begin_winograd(CpuCompiler *c)
{
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();

    if (c->exact || c->shared->direct || c->type != dnnl_f32 || !dnn_has_winograd() ||
        (isa & dnnl_cpu_isa_avx512_core) != dnnl_cpu_isa_avx512_core)
        return;
    for (uint32_t i = 0; i < c->plan->n_nodes && !c->winograd; i++)
        c->winograd = c->plan->nodes[i].op == GPUDL_OP_CONV && fits(c, &c->plan->nodes[i]);
    /* a NaN would go further than it should, unseen: those of the input are looked for when it is run */
    c->winograd = c->winograd && !has_nan(c) && weights_fit(c);
    if (c->program != NULL)
        c->program->spreads_nan = c->winograd;
}

int cpu_prefers_blocks(const CpuCompiler *c, int32_t tensor)
{
    const GpudlShape *shape = &cpu_tensor(c, tensor)->shape;

    return c->winograd && shape->rank == 4 && shape->dims[1] % BLOCK == 0;
}

CpuWinograd cpu_winograd_of(const CpuCompiler *c, const GpudlPlanNode *node)
{
    const int64_t *x, *y;

    if (!c->winograd || !fits(c, node))
        return CPU_WINOGRAD_NONE;
    x = cpu_tensor(c, node->inputs[0])->shape.dims;
    y = cpu_tensor(c, node->outputs[0])->shape.dims;
    return x[1] * y[1] * 36 * (int64_t)sizeof(float) <= MOST_WEIGHTS || (y[2] + 3) / 4 * ((y[3] + 3) / 4) >= MANY_TILES
               ? CPU_WINOGRAD_LARGE
               : CPU_WINOGRAD_SMALL;
}
